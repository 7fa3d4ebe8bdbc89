#include "base/parallel.h"

#ifdef QN_NO_BLOCKING

uint32_t qn_parallel_threads(void)
{
    return 1;
}

void qn_parallel(uint32_t threads, size_t n, void (*work)(void *user, size_t i), void *user)
{
    (void)threads;
    for (size_t i = 0; i < n; i++) work(user, i);
}

#else

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

typedef struct crew {
    void (*work)(void *user, size_t i);
    void *user;
    size_t n;
    atomic_size_t next;
} crew;

uint32_t qn_parallel_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (uint32_t)n;
}

static void *run(void *arg)
{
    crew *c = arg;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;) c->work(c->user, i);
    return NULL;
}

void qn_parallel(uint32_t threads, size_t n, void (*work)(void *user, size_t i), void *user)
{
    crew c = {.work = work, .user = user, .n = n};
    pthread_t started[MAX_THREADS];
    uint32_t n_started = 0, most = threads < MAX_THREADS ? threads : MAX_THREADS;
    while (n_started + 1 < most && n_started + 1 < n && pthread_create(&started[n_started], NULL, run, &c) == 0)
        n_started++;
    run(&c);
    for (uint32_t i = 0; i < n_started; i++) pthread_join(started[i], NULL);
}

#endif
