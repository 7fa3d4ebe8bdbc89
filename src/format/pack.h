/* pack.h - the layout of weight matrices in GPU memory, and packing rows into it.
 *
 * A matrix w[N,K] is stored as 32-bit words of E consecutive elements along K (E = 8 for 4-bit codes, 4 for
 * 8-bit codes, 2 for f16 and bf16, 1 for f32), interleaved over blocks of QN_PACK_ROWS rows:
 *
 *     word(n, kw) = data[((n / R) * KW + kw) * R + n % R]      R = QN_PACK_ROWS, KW = words per row
 *
 * so that neighbouring rows' words are neighbours: a wave reads whole 128-byte lines, four rows come in one
 * vec4<u32>, and on a software device, with one invocation a row, neighbouring lanes read neighbouring words.
 * N is rounded up to whole blocks; the missing rows, and the elements from K to KW * E, hold zero bits.
 * KW = K rounded up to a multiple of 32, divided by E: a block of 32 elements never leaves the row.
 *
 * Order inside a word: 4-bit: element i (0..3) in bits 8i..8i+3, element i + 4 in bits 8i+4..8i+7, so that
 * (word & 0x0F0F0F0F) holds elements 0..3 in its bytes and (word >> 4) & 0x0F0F0F0F elements 4..7.
 * 8-bit: signed, element i in bits 8i. 16-bit: element i in bits 16i.
 *
 * Quantized matrices have one scale per row and group of `group` elements along K (the last group may be
 * short), G = ceil(K / group) groups a row:
 *
 *     scale(n, g) = scales[((n / R) * G + g) * R + n % R]      f32, or f16 (two rows in a word, even row low)
 *
 * and 4-bit affine ones a minimum of the same shape and type: value = scale * code - min. 4-bit symmetric:
 * value = scale * (code - 8). 8-bit: value = scale * code.
 *
 * `rows` of R rows are contiguous in every section, so a matrix can be split along N at multiples of R. */
#ifndef QN_FORMAT_PACK_H
#define QN_FORMAT_PACK_H

#include "base/status.h"

enum { QN_PACK_ROWS = 16 };

/* How the elements of a matrix are stored on the GPU. */
typedef enum qn_storage {
    QN_STORE_F32 = 0,
    QN_STORE_F16,
    QN_STORE_BF16,
    QN_STORE_Q8,  /* symmetric: scale * code, code -128..127               */
    QN_STORE_Q4,  /* symmetric: scale * (code - 8), code 0..15             */
    QN_STORE_Q4A, /* affine: scale * code - min                            */
} qn_storage;

typedef struct qn_pack_format {
    qn_storage storage;
    uint32_t group; /* elements of a scale group along K; 0 for float storage */
    bool scale_f16; /* scales (and minimums) as f16 instead of f32            */
} qn_pack_format;

/* Sizes of the sections of n_rows rows (rounded up to whole blocks) of K elements. */
typedef struct qn_pack_size {
    uint64_t data_bytes;
    uint64_t scale_bytes; /* of the scales section; 0 for float storage    */
    uint64_t min_bytes;   /* of the minimums section; 0 except for Q4A     */
} qn_pack_size;

/* Elements per 32-bit word of a storage. */
uint32_t qn_pack_elements(qn_storage storage);
/* Words per row: K rounded up to 32 elements. */
uint32_t qn_pack_words(qn_storage storage, uint32_t k);
/* Groups per row. */
uint32_t qn_pack_groups(const qn_pack_format *format, uint32_t k);
/* Sections that would pass 64 bits give UINT64_MAX. */
qn_pack_size qn_pack_bytes(const qn_pack_format *format, uint64_t n_rows, uint32_t k);

/* Destination of packing: whole row blocks. */
typedef struct qn_pack_rows {
    uint32_t *data;
    void *scales; /* f32 or f16 as the format says; NULL for float storage */
    void *mins;   /* NULL except for Q4A                                    */
} qn_pack_rows;

/* Where a matrix [N, K] lies in memory, read in place. f32, 16-bit and 8-bit elements are as they are, 4-bit ones two
 * in a byte, even k in the low half. Scales and minimums are f32, of row n and group g at
 * scales[n * scale_row + g * scale_group]. Data may be at any address, scales at multiples of 4. */
typedef struct qn_pack_source {
    const void *data;
    uint64_t row_bytes;              /* from row to row                                                            */
    bool transposed;                 /* f32 only: data is [K, N], row_bytes from k to k + 1                          */
    bool high_first;                 /* 4-bit only: even k in the high half                                        */
    const float *scales, *mins;      /* NULL where the storage has none                              */
    uint64_t scale_row, scale_group; /* in elements                                                   */
} qn_pack_source;

/* Bytes of a row of K elements of a storage without gaps. */
uint64_t qn_pack_source_row(qn_storage storage, uint32_t k);

/* Packs rows row0 .. row0 + n_rows - 1 of the source into whole blocks (every word of the blocks is written). */
void qn_pack_matrix(const qn_pack_format *format, const qn_pack_source *source, uint32_t row0, uint32_t n_rows,
                    uint32_t k, const qn_pack_rows *out);
/* Elements of 4 (f32) or 2 bytes (f16, bf16) as they are, [n_rows, K] without gaps, at any address. */
void qn_pack_plain(const void *src, uint32_t element_bytes, uint32_t n_rows, uint32_t k, const qn_pack_rows *out);

/* The value of element (n, k) of a packed matrix: the plain reference of the layout. */
float qn_pack_value(const qn_pack_format *format, const qn_pack_rows *rows, uint32_t k_total, uint32_t n, uint32_t k);

/* IEEE half to float and back (round to nearest even), and bf16 to float. */
float qn_half_to_float(uint16_t h);
uint16_t qn_float_to_half(float f);
static inline float qn_bf16_to_float(uint16_t b)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)b << 16};
    return v.f;
}

#endif
