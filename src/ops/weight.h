/* weight.h - a constant on the GPU: a plain f32 tensor, or a matrix [N, K] in the packed layout of
 * format/pack.h, split along N where it would pass the device's binding or buffer limit. */
#ifndef QN_OPS_WEIGHT_H
#define QN_OPS_WEIGHT_H

#include "format/pack.h"
#include "gpu/gpu.h"
#include "quern_graph.h"

/* Rows row0 .. row0 + n_rows - 1 (row0 a multiple of QN_PACK_ROWS) in one buffer; section offsets are multiples
 * of 256; a section that the storage does not have has size 0. */
typedef struct qn_weight_part {
    uint32_t row0, n_rows;
    uint64_t data_offset, data_bytes;
    uint64_t scale_offset, scale_bytes;
    uint64_t min_offset, min_bytes;
    uint64_t bytes;    /* of the buffer          */
    qn_buffer *buffer; /* NULL in dry plans      */
} qn_weight_part;

struct qn_weight {
    const qn_allocator *allocator;
    char *name;
    bool matrix;
    bool is_i32;           /* a plain tensor of i32 */
    qn_shape shape;        /* matrix: [N, K] */
    qn_pack_format format; /* of a matrix    */
    uint32_t n_parts;
    qn_weight_part *parts;
};

/* A weight without GPU memory: sizes and parts only (device gives the limits). */
qn_status qn_weight_describe(const qn_allocator *a, const qn_device_info *device, const char *name, bool matrix,
                             qn_shape shape, const qn_pack_format *format, qn_weight **weight);
/* Creates the buffers of a described weight. */
qn_status qn_weight_allocate(qn_weight *weight, qn_gpu *gpu);
/* Staging a matrix: rows from `row` on, row blocks of one part, through a slot of a qn_upload.
 * How many rows fit a slot of that size (0: not even a row block). */
uint32_t qn_weight_chunk_rows(const qn_weight *weight, uint64_t row, uint64_t slot_bytes);
/* Where their sections go in the slot. */
qn_pack_rows qn_weight_chunk_place(const qn_weight *weight, uint32_t rows, void *slot);
/* Copies them out of the acquired slot. */
qn_status qn_weight_chunk_submit(const qn_weight *weight, uint64_t row, uint32_t rows, qn_upload *upload);
/* Bytes of the smallest slot that a matrix can be staged through. */
uint64_t qn_weight_chunk_least(const qn_weight *weight);

/* Total GPU bytes of the parts. */
uint64_t qn_weight_bytes(const qn_weight *weight);

#endif
