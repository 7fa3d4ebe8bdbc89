/* pool.h - placing tensors that live at different times in the same memory. No device. */
#ifndef QN_GRAPH_POOL_H
#define QN_GRAPH_POOL_H

#include "base/memory.h"

/* A tensor alive from node `first` (which writes it) to node `last` (which reads it last), inclusive. */
typedef struct qn_life {
    uint64_t bytes;
    uint32_t first, last;
    uint32_t slot; /* result */
} qn_life;

typedef struct qn_pool {
    uint64_t *slot_bytes;
    uint32_t n_slots;
} qn_pool;

/* Gives every life a slot such that lives that overlap in time never share one, and slots are few and small: in
 * order of `first` (lives must be sorted by it) take the smallest free slot that is large enough, else grow the
 * largest free one, else a new one. Each slot becomes a buffer of its own, because WebGPU does not let a dispatch
 * read and write one buffer. slot_bytes: room for n entries. */
void qn_pool_place(qn_life *lives, size_t n, qn_pool *pool, uint32_t *free_after);

#endif
