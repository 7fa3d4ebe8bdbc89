/* quant.c - ggml's block types. Blocks are read with memcpy: nothing in a file is aligned. */
#include "format/quant.h"

#include <string.h>

#include "base/memory.h"

enum {
    R = QN_PACK_ROWS,
    Q4_0_BYTES = 18,  /* f16 d; 16 bytes: element i low, i + 16 high                                    */
    Q8_0_BYTES = 34,  /* f16 d; 32 signed bytes                                                         */
    Q4_K_BYTES = 144, /* f16 d, f16 dmin; 12 bytes of 6-bit scales and minimums; 4 x 32 bytes, each with
                         32 elements low and the next 32 high                                           */
    Q6_K_BYTES = 210, /* 128 bytes low bits, 64 bytes high bits, 16 signed scales, f16 d                */
};

/* Names and sizes as in ggml's type table; the format is that of the types which are read. */
static const qn_quant_type types[] = {
    {QN_GGML_F32, "F32", 1, 4, true, {QN_STORE_F32, 0, false}},
    {QN_GGML_F16, "F16", 1, 2, true, {QN_STORE_F16, 0, false}},
    {QN_GGML_Q4_0, "Q4_0", 32, Q4_0_BYTES, true, {QN_STORE_Q4, 32, true}},
    {3, "Q4_1", 32, 20, false, {0}},
    {6, "Q5_0", 32, 22, false, {0}},
    {7, "Q5_1", 32, 24, false, {0}},
    {QN_GGML_Q8_0, "Q8_0", 32, Q8_0_BYTES, true, {QN_STORE_Q8, 32, true}},
    {9, "Q8_1", 32, 36, false, {0}},
    {10, "Q2_K", 256, 84, false, {0}},
    {11, "Q3_K", 256, 110, false, {0}},
    {QN_GGML_Q4_K, "Q4_K", 256, Q4_K_BYTES, true, {QN_STORE_Q4A, 32, false}},
    {13, "Q5_K", 256, 176, false, {0}},
    {QN_GGML_Q6_K, "Q6_K", 256, Q6_K_BYTES, true, {QN_STORE_Q8, 16, false}},
    {15, "Q8_K", 256, 292, false, {0}},
    {16, "IQ2_XXS", 256, 66, false, {0}},
    {17, "IQ2_XS", 256, 74, false, {0}},
    {18, "IQ3_XXS", 256, 98, false, {0}},
    {19, "IQ1_S", 256, 50, false, {0}},
    {20, "IQ4_NL", 32, 18, false, {0}},
    {21, "IQ3_S", 256, 110, false, {0}},
    {22, "IQ2_S", 256, 82, false, {0}},
    {23, "IQ4_XS", 256, 136, false, {0}},
    {24, "I8", 1, 1, false, {0}},
    {25, "I16", 1, 2, false, {0}},
    {26, "I32", 1, 4, false, {0}},
    {27, "I64", 1, 8, false, {0}},
    {28, "F64", 1, 8, false, {0}},
    {29, "IQ1_M", 256, 56, false, {0}},
    {QN_GGML_BF16, "BF16", 1, 2, true, {QN_STORE_BF16, 0, false}},
    {34, "TQ1_0", 256, 54, false, {0}},
    {35, "TQ2_0", 256, 66, false, {0}},
    {39, "MXFP4", 32, 17, false, {0}},
    {40, "NVFP4", 64, 36, false, {0}},
    {41, "Q1_0", 128, 18, false, {0}},
};

const qn_quant_type *qn_quant_find(uint32_t ggml_type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].ggml_type == ggml_type) return &types[i];
    return NULL;
}

bool qn_quant_bytes(const qn_quant_type *type, uint64_t n, uint64_t *bytes)
{
    return n % type->block == 0 && qn_mul_u64(n / type->block, type->block_bytes, bytes);
}

/* ---- loads ------------------------------------------------------------------------------------------ */

static uint16_t load_16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load_32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float load_half(const uint8_t *p)
{
    return qn_half_to_float(load_16(p));
}

/* Scale and minimum of sub-block j of a Q4_K block: 6 bits each in 12 bytes. Sub-blocks 0..3 have theirs in the
 * low bits of bytes j and j + 4; 4..7 the low four bits in byte j + 4 and the high two on top of those. */
static void q4_k_scales(const uint8_t *s, uint32_t j, uint32_t *scale, uint32_t *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (uint32_t)(s[j + 4] & 15) | (uint32_t)(s[j - 4] >> 6) << 4;
        *min = (uint32_t)(s[j + 4] >> 4) | (uint32_t)(s[j] >> 6) << 4;
    }
}

/* Codes 0..63 of four neighbours in each byte: elements i, i + 32, i + 64 and i + 96 and the three after each. */
typedef struct q6_k_codes {
    uint32_t at0, at32, at64, at96;
} q6_k_codes;

/* Q6_K: each half of 128 elements has 64 bytes of low bits (elements 0..63 low, 64..127 high) and 32 bytes with two
 * high bits of four elements that are 32 apart. */
static inline q6_k_codes load_q6_k(const uint8_t *low, const uint8_t *high)
{
    uint32_t a = load_32(low), b = load_32(low + 32), h = load_32(high);
    return (q6_k_codes){
        .at0 = (a & 0x0F0F0F0F) | (h & 0x03030303) << 4,
        .at32 = (b & 0x0F0F0F0F) | (h & 0x0C0C0C0C) << 2,
        .at64 = (a >> 4 & 0x0F0F0F0F) | (h & 0x30303030),
        .at96 = (b >> 4 & 0x0F0F0F0F) | (h >> 2 & 0x30303030),
    };
}

/* ---- dequantization ------------------------------------------------------------------------------------ */

static void q4_0_to_f32(const uint8_t *b, float *dst)
{
    float d = load_half(b);
    for (size_t i = 0; i < 16; i++) {
        dst[i] = d * (float)((b[2 + i] & 15) - 8);
        dst[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

static void q8_0_to_f32(const uint8_t *b, float *dst)
{
    float d = load_half(b);
    for (size_t i = 0; i < 32; i++) dst[i] = d * (float)(int8_t)b[2 + i];
}

static void q4_k_to_f32(const uint8_t *b, float *dst)
{
    float d = load_half(b), dmin = load_half(b + 2);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t sc, m;
        q4_k_scales(b + 4, j, &sc, &m);
        float scale = d * (float)sc, min = dmin * (float)m;
        const uint8_t *q = b + 16 + j / 2 * 32;
        for (size_t i = 0; i < 32; i++) dst[j * 32 + i] = scale * (float)(q[i] >> (j & 1) * 4 & 15) - min;
    }
}

static void q6_k_to_f32(const uint8_t *b, float *dst)
{
    float d = load_half(b + 208);
    for (uint32_t half = 0; half < 2; half++) {
        for (uint32_t l = 0; l < 32; l++) {
            q6_k_codes c = load_q6_k(b + half * 64 + (l & 28), b + 128 + half * 32 + (l & 28));
            const uint32_t quarters[4] = {c.at0, c.at32, c.at64, c.at96};
            for (uint32_t q = 0; q < 4; q++) {
                uint32_t i = half * 128 + q * 32 + l;
                float scale = d * (float)(int8_t)b[192 + i / 16];
                dst[i] = scale * (float)((int32_t)(quarters[q] >> (l & 3) * 8 & 63) - 32);
            }
        }
    }
}

void qn_quant_to_f32(const qn_quant_type *type, const void *src, uint64_t n, float *dst)
{
    const uint8_t *p = src;
    for (uint64_t i = 0; i < n; i += type->block, p += type->block_bytes) {
        switch (type->ggml_type) {
        case QN_GGML_F32:
            memcpy(dst + i, p, 4);
            break;
        case QN_GGML_F16:
            dst[i] = load_half(p);
            break;
        case QN_GGML_BF16:
            dst[i] = qn_bf16_to_float(load_16(p));
            break;
        case QN_GGML_Q4_0:
            q4_0_to_f32(p, dst + i);
            break;
        case QN_GGML_Q8_0:
            q8_0_to_f32(p, dst + i);
            break;
        case QN_GGML_Q4_K:
            q4_k_to_f32(p, dst + i);
            break;
        case QN_GGML_Q6_K:
            q6_k_to_f32(p, dst + i);
            break;
        default:
            return;
        }
    }
}

/* ---- packing --------------------------------------------------------------------------------------------- */

/* A strip packer writes the same source block of up to 16 rows: its words are strips of 16 (word w of row r at
 * w * R + r), its scales and minimums one strip per group. The strip of a block is at most 4 KiB, so the scattered
 * stores stay in the first cache. */
typedef void (*strip_packer)(const uint8_t *src, size_t row_bytes, uint32_t rows, uint32_t *data, void *scales,
                             void *mins);

static void strip_q4_0(const uint8_t *src, size_t row_bytes, uint32_t rows, uint32_t *data, void *scales, void *mins)
{
    const uint32_t low = 0x0F0F0F0F;
    (void)mins;
    for (uint32_t r = 0; r < rows; r++, src += row_bytes) {
        uint32_t a = load_32(src + 2), b = load_32(src + 6), c = load_32(src + 10), d = load_32(src + 14);
        ((uint16_t *)scales)[r] = load_16(src);
        data[r] = (a & low) | (b & low) << 4;
        data[R + r] = (c & low) | (d & low) << 4;
        data[2 * R + r] = (a >> 4 & low) | (b & ~low);
        data[3 * R + r] = (c >> 4 & low) | (d & ~low);
    }
}

static void strip_q8_0(const uint8_t *src, size_t row_bytes, uint32_t rows, uint32_t *data, void *scales, void *mins)
{
    (void)mins;
    for (uint32_t r = 0; r < rows; r++, src += row_bytes) {
        ((uint16_t *)scales)[r] = load_16(src);
        for (size_t w = 0; w < 8; w++) data[w * R + r] = load_32(src + 2 + 4 * w);
    }
}

static void strip_q4_k(const uint8_t *src, size_t row_bytes, uint32_t rows, uint32_t *data, void *scales, void *mins)
{
    const uint32_t low = 0x0F0F0F0F;
    for (uint32_t r = 0; r < rows; r++, src += row_bytes) {
        float d = load_half(src), dmin = load_half(src + 2);
        for (uint32_t j = 0; j < 8; j++) {
            uint32_t sc, m;
            q4_k_scales(src + 4, j, &sc, &m);
            ((float *)scales)[j * R + r] = d * (float)sc;
            ((float *)mins)[j * R + r] = dmin * (float)m;
        }
        for (size_t j = 0; j < 4; j++) /* 32 bytes hold sub-block 2j low and 2j + 1 high, 4 words each */
            for (size_t w = 0; w < 4; w++) {
                uint32_t a = load_32(src + 16 + j * 32 + w * 8), b = load_32(src + 20 + j * 32 + w * 8);
                data[(j * 8 + w) * R + r] = (a & low) | (b & low) << 4;
                data[(j * 8 + 4 + w) * R + r] = (a >> 4 & low) | (b & ~low);
            }
    }
}

/* Code - 32 in each byte; bit 7 keeps the borrows inside the bytes. */
static inline uint32_t signed_codes(uint32_t codes)
{
    return ((codes | 0x80808080) - 0x20202020) ^ 0x80808080;
}

static void strip_q6_k(const uint8_t *src, size_t row_bytes, uint32_t rows, uint32_t *data, void *scales, void *mins)
{
    (void)mins;
    for (uint32_t r = 0; r < rows; r++, src += row_bytes) {
        float d = load_half(src + 208);
        for (size_t g = 0; g < 16; g++) ((float *)scales)[g * R + r] = d * (float)(int8_t)src[192 + g];
        for (size_t half = 0; half < 2; half++) {
            uint32_t *word = data + half * 32 * R + r; /* a quarter is 8 words */
            for (size_t w = 0; w < 8; w++, word += R) {
                q6_k_codes c = load_q6_k(src + half * 64 + w * 4, src + 128 + half * 32 + w * 4);
                word[0] = signed_codes(c.at0);
                word[8 * R] = signed_codes(c.at32);
                word[16 * R] = signed_codes(c.at64);
                word[24 * R] = signed_codes(c.at96);
            }
        }
    }
}

static void pack_strips(const qn_quant_type *type, strip_packer pack, const uint8_t *src, uint32_t n_rows, uint32_t k,
                        const qn_pack_rows *out)
{
    const qn_pack_format *f = &type->format;
    size_t n_blocks = k / type->block, row_bytes = n_blocks * type->block_bytes;
    size_t block_words = type->block / qn_pack_elements(f->storage) * R;       /* words of 16 blocks  */
    size_t block_scales = type->block / f->group * R * (f->scale_f16 ? 2 : 4); /* bytes of 16 blocks */
    for (uint32_t n0 = 0; n0 < n_rows; n0 += R) {
        uint32_t rows = n_rows - n0 < R ? n_rows - n0 : R;
        uint32_t *data = out->data + n0 / R * n_blocks * block_words;
        uint8_t *scales = (uint8_t *)out->scales + n0 / R * n_blocks * block_scales;
        uint8_t *mins = f->storage == QN_STORE_Q4A ? (uint8_t *)out->mins + n0 / R * n_blocks * block_scales : NULL;
        if (rows < R) { /* the rows that are missing */
            memset(data, 0, n_blocks * block_words * 4);
            memset(scales, 0, n_blocks * block_scales);
            if (mins) memset(mins, 0, n_blocks * block_scales);
        }
        const uint8_t *row = src + n0 * row_bytes;
        for (size_t i = 0; i < n_blocks; i++)
            pack(row + i * type->block_bytes, row_bytes, rows, data + i * block_words, scales + i * block_scales,
                 mins ? mins + i * block_scales : NULL);
    }
}

void qn_quant_pack(const qn_quant_type *type, const void *src, uint32_t n_rows, uint32_t k, const qn_pack_rows *out)
{
    switch (type->ggml_type) {
    case QN_GGML_F32:
        qn_pack_plain(src, 4, n_rows, k, out);
        break;
    case QN_GGML_F16:
    case QN_GGML_BF16:
        qn_pack_plain(src, 2, n_rows, k, out);
        break;
    case QN_GGML_Q4_0:
        pack_strips(type, strip_q4_0, src, n_rows, k, out);
        break;
    case QN_GGML_Q8_0:
        pack_strips(type, strip_q8_0, src, n_rows, k, out);
        break;
    case QN_GGML_Q4_K:
        pack_strips(type, strip_q4_k, src, n_rows, k, out);
        break;
    case QN_GGML_Q6_K:
        pack_strips(type, strip_q6_k, src, n_rows, k, out);
        break;
    default:
        break;
    }
}
