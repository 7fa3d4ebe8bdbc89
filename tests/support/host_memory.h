/* host_memory.h - an allocator that counts and fails on demand, from any thread. */
#ifndef QN_TESTS_HOST_MEMORY_H
#define QN_TESTS_HOST_MEMORY_H

#include "quern.h"

#include <stdatomic.h>

/* The call that takes memory numbered fail_at (the first is 1) fails, and with `for_good` every later one. */
typedef struct qn_test_allocator {
    qn_allocator allocator;
    _Atomic uint64_t calls, blocks;  /* that took memory; that were not given back         */
    _Atomic uint64_t asked, largest; /* bytes of all calls that got them; of one of them   */
    uint64_t fail_at;                /* 0: never */
    bool for_good;
} qn_test_allocator;

void qn_test_allocator_init(qn_test_allocator *a);

/* Zeros (free with free()); without memory the running cmocka test fails. */
void *qn_test_allocate(size_t bytes);

#endif
