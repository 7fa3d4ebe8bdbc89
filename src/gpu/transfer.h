/* transfer.h - mappable buffers inside src/gpu. */
#ifndef QN_GPU_TRANSFER_H
#define QN_GPU_TRANSFER_H

#include "gpu/internal.h"

typedef enum qn_map_state { QN_MAP_NONE, QN_MAP_WAITING, QN_MAP_READY, QN_MAP_FAILED, QN_MAP_ORPHANED } qn_map_state;

/* State of one asynchronous mapping: what the callback writes to. A lost device may call back as late as when it is
 * released, so a mapping that nobody waits for any more is left to the callback to free. */
typedef struct qn_mapping {
    const qn_allocator *allocator;
    _Atomic int state; /* qn_map_state */
    char message[160];
} qn_mapping;

struct qn_readback {
    qn_gpu *gpu;
    WGPUBuffer handle;
    uint64_t size, mapped_size;
    qn_mapping *mapping;
};

qn_status qn_map_create(const qn_allocator *a, qn_mapping **mapping);
/* The buffer must be dropped before: that cancels a mapping under way. NULL is allowed. */
void qn_map_free(qn_mapping *mapping);
/* Asks for a mapping of the first `size` bytes. */
void qn_map_start(WGPUBuffer buffer, WGPUMapMode mode, uint64_t size, qn_mapping *mapping);
/* Unmaps, or cancels a mapping under way and waits for its callback: then the state is QN_MAP_NONE. */
void qn_map_end(qn_gpu *gpu, WGPUBuffer buffer, qn_mapping *mapping);

#endif
