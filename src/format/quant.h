/* quant.h - ggml's block types: sizes, dequantization (the reference), and packing rows of blocks into the GPU
 * layout of pack.h without loss.
 * Formats: ggml's block structures (ggml-common.h) and the `gguf` Python package's quants.py. */
#ifndef QN_FORMAT_QUANT_H
#define QN_FORMAT_QUANT_H

#include "format/pack.h"

/* ggml type numbers that this version reads. */
enum {
    QN_GGML_F32 = 0,
    QN_GGML_F16 = 1,
    QN_GGML_Q4_0 = 2,
    QN_GGML_Q8_0 = 8,
    QN_GGML_Q4_K = 12,
    QN_GGML_Q6_K = 14,
    QN_GGML_BF16 = 30,
};

typedef struct qn_quant_type {
    uint32_t ggml_type;
    const char *name; /* "Q4_0"                                              */
    uint32_t block;   /* elements of a block                                 */
    uint32_t block_bytes;
    bool supported;        /* false: only name and sizes are known                */
    qn_pack_format format; /* the GPU storage it becomes                          */
} qn_quant_type;

/* NULL for a number that ggml does not define. Types known by name but not read have supported = false. */
const qn_quant_type *qn_quant_find(uint32_t ggml_type);

/* Bytes of n elements of a row-contiguous tensor; false when n is not a multiple of the block or overflows. */
bool qn_quant_bytes(const qn_quant_type *type, uint64_t n, uint64_t *bytes);

/* Dequantizes n elements (a multiple of the block) to f32. */
void qn_quant_to_f32(const qn_quant_type *type, const void *src, uint64_t n, float *dst);

/* Packs n_rows rows of K elements (K a multiple of the block), row i at src + i * row_bytes, into whole blocks
 * of QN_PACK_ROWS rows in type->format. Every word of the blocks is written. */
void qn_quant_pack(const qn_quant_type *type, const void *src, uint32_t n_rows, uint32_t k, const qn_pack_rows *out);

#endif
