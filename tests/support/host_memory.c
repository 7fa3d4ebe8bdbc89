#include "support/host_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *counted(void *user, void *ptr, size_t size)
{
    qn_test_allocator *a = user;
    if (size == 0) {
        if (ptr) atomic_fetch_sub(&a->blocks, 1);
        free(ptr);
        return NULL;
    }
    uint64_t call = atomic_fetch_add(&a->calls, 1) + 1;
    if (a->fail_at && (call == a->fail_at || (a->for_good && call > a->fail_at))) return NULL;
    void *p = realloc(ptr, size);
    if (p && !ptr) atomic_fetch_add(&a->blocks, 1);
    if (p) atomic_fetch_add(&a->asked, size);
    uint64_t largest = atomic_load(&a->largest);
    while (p && size > largest && !atomic_compare_exchange_weak(&a->largest, &largest, size)) {
    }
    return p;
}

void qn_test_allocator_init(qn_test_allocator *a)
{
    memset(a, 0, sizeof *a);
    a->allocator = (qn_allocator){counted, a};
}

void *qn_test_allocate(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) fail_msg("no memory for %zu bytes", bytes);
    return p;
}
