/* parallel.h - the same work on many items, on several threads. */
#ifndef QN_BASE_PARALLEL_H
#define QN_BASE_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

/* Threads that run at once on this machine, at most 16; 1 in builds without blocking calls, which have no threads. */
uint32_t qn_parallel_threads(void);

/* Calls work(user, i) once for each i < n, in any order, on at most `threads` threads, the caller's among them, and
 * returns when all are done. Where no thread can be started the caller does all. */
void qn_parallel(uint32_t threads, size_t n, void (*work)(void *user, size_t i), void *user);

#endif
