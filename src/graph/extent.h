/* extent.h - the memory that a dispatch binds, and WebGPU's rules for it. No device. */
#ifndef QN_GRAPH_EXTENT_H
#define QN_GRAPH_EXTENT_H

#include "base/status.h"

/* A range of one buffer. Two extents lie in the same buffer when owner and part are equal. */
typedef struct qn_extent {
    const void *owner; /* who the buffer belongs to: a place, a weight, the pool, ... */
    uint32_t part;     /* which of the owner's buffers                                */
    uint64_t offset, size;
} qn_extent;

/* Checks the bindings of a dispatch of `kernel`, one letter of `access` each ('r', 'w'), against what WebGPU's core
 * limits and the device's binding limit allow:
 *   - as many as the kernel takes, at most 8;
 *   - none empty, offsets multiples of 256 bytes, sizes multiples of 4 and at most max_binding_bytes (QN_ERR_LIMIT);
 *   - a buffer bound more than once is read-only in all its bindings, or read_write in all and disjoint
 *     (https://www.w3.org/TR/webgpu/#programming-model-resource-usages; wgpu-native lets overlapping read_write
 *     pass, browsers reject it). */
qn_status qn_check_extents(const char *kernel, const char *access, const qn_extent *extents, uint32_t n,
                           uint64_t max_binding_bytes);

#endif
