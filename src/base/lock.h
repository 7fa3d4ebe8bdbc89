/* lock.h - a mutex; nothing where there are no threads (wasm). */
#ifndef QN_BASE_LOCK_H
#define QN_BASE_LOCK_H

#if defined(__wasm__)

typedef struct qn_lock {
    char unused;
} qn_lock;

static inline void qn_lock_open(qn_lock *lock)
{
    (void)lock;
}
static inline void qn_lock_close(qn_lock *lock)
{
    (void)lock;
}
static inline void qn_lock_take(qn_lock *lock)
{
    (void)lock;
}
static inline void qn_lock_give(qn_lock *lock)
{
    (void)lock;
}

#else

#include <pthread.h>

typedef pthread_mutex_t qn_lock;

static inline void qn_lock_open(qn_lock *lock)
{
    pthread_mutex_init(lock, NULL);
}
static inline void qn_lock_close(qn_lock *lock)
{
    pthread_mutex_destroy(lock);
}
static inline void qn_lock_take(qn_lock *lock)
{
    pthread_mutex_lock(lock);
}
static inline void qn_lock_give(qn_lock *lock)
{
    pthread_mutex_unlock(lock);
}

#endif
#endif
