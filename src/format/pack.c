/* pack.c - packing matrices into the GPU layout that pack.h describes. */
#include "format/pack.h"

#include <string.h>

#include "base/memory.h"

enum { R = QN_PACK_ROWS };

/* ---- sizes --------------------------------------------------------------------------------------- */

uint32_t qn_pack_elements(qn_storage storage)
{
    switch (storage) {
    case QN_STORE_F32:
        return 1;
    case QN_STORE_F16:
    case QN_STORE_BF16:
        return 2;
    case QN_STORE_Q8:
        return 4;
    case QN_STORE_Q4:
    case QN_STORE_Q4A:
        return 8;
    }
    return 1;
}

uint32_t qn_pack_words(qn_storage storage, uint32_t k)
{
    uint64_t padded = ((uint64_t)k + 31) & ~(uint64_t)31;
    uint64_t words = padded / qn_pack_elements(storage);
    return words > UINT32_MAX ? UINT32_MAX : (uint32_t)words; /* f32 with K in the last 31 below 2^32 */
}

uint32_t qn_pack_groups(const qn_pack_format *format, uint32_t k)
{
    return format->group ? k / format->group + (k % format->group != 0) : 0;
}

/* Bytes of `blocks` blocks of R rows of `count` items */
static uint64_t section_bytes(uint64_t blocks, uint64_t count, uint64_t item_bytes)
{
    uint64_t bytes; /* the first product stays below 2^40 */
    return qn_mul_u64(count * item_bytes * R, blocks, &bytes) ? bytes : UINT64_MAX;
}

qn_pack_size qn_pack_bytes(const qn_pack_format *format, uint64_t n_rows, uint32_t k)
{
    uint64_t blocks = qn_div_up_u64(n_rows, R);
    uint64_t scales = section_bytes(blocks, qn_pack_groups(format, k), format->scale_f16 ? 2 : 4);
    return (qn_pack_size){
        .data_bytes = section_bytes(blocks, qn_pack_words(format->storage, k), 4),
        .scale_bytes = scales,
        .min_bytes = format->storage == QN_STORE_Q4A ? scales : 0,
    };
}

/* ---- half precision --------------------------------------------------------------------------------- */

float qn_half_to_float(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v;
    uint32_t exponent = h >> 10 & 31, fraction = h & 0x3FF;
    if (exponent == 0)
        v.f = (float)fraction * 0x1p-24f; /* no subnormal f32 on the way, which a caller's mode might flush to zero */
    else
        v.u = (exponent == 31 ? 255 : exponent + 127 - 15) << 23 | fraction << 13;
    v.u |= (uint32_t)(h & 0x8000) << 16;
    return v.f;
}

uint16_t qn_float_to_half(float f)
{
    union {
        float f;
        uint32_t u;
    } v = {f};
    uint32_t sign = v.u >> 16 & 0x8000;
    v.u &= 0x7FFFFFFF;
    if (v.u > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (v.u >> 13 & 0x3FF)); /* a quiet NaN */
    if (v.u >= 0x477FF000) return (uint16_t)(sign | 0x7C00);                      /* 65520 and up round to infinity */
    if (v.u < 0x38800000) { /* subnormal halves: adding 0.5 leaves multiples of 2^-24, rounded to even */
        v.f += 0.5f;
        return (uint16_t)(sign | (v.u - 0x3F000000));
    }
    v.u += 0xFFF + (v.u >> 13 & 1);
    return (uint16_t)(sign | (v.u - 0x38000000) >> 13);
}

/* ---- packing -------------------------------------------------------------------------------------------- */

/* Rows of the block that starts at row n0 */
static uint32_t rows_in_block(uint32_t n_rows, uint32_t n0)
{
    return n_rows - n0 < R ? n_rows - n0 : R;
}

/* What is packed goes to memory that may be the GPU's: it is put together in a tile of STRIP words of R rows, which
 * stays in the first cache wherever the rows lie, and written in order. */
enum { STRIP = 16 };

/* Words w0.. of a block's rows from a tile, to data + w0 * R. */
static void write_tile(const uint32_t tile[STRIP * R], size_t w0, size_t n_words, uint32_t *data)
{
    size_t n = n_words - w0 < STRIP ? n_words - w0 : STRIP;
    memcpy(data + w0 * R, tile, n * R * sizeof tile[0]);
}

/* Elements of 2 or 4 bytes */
static void pack_elements(const uint8_t *src, uint64_t row_stride, uint32_t element_bytes, uint32_t n_rows, uint32_t k,
                          uint32_t *data)
{
    size_t row_bytes = (size_t)k * element_bytes;
    size_t n_words = qn_pack_words(element_bytes == 4 ? QN_STORE_F32 : QN_STORE_F16, k);
    for (uint32_t n0 = 0; n0 < n_rows; n0 += rows_in_block(n_rows, n0)) {
        uint32_t rows = rows_in_block(n_rows, n0), tile[STRIP * R];
        for (size_t w0 = 0; w0 < n_words; w0 += STRIP) {
            for (uint32_t r = 0; r < R; r++) {
                uint32_t strip[STRIP] = {0};
                size_t at = w0 * 4, left = r < rows && at < row_bytes ? row_bytes - at : 0;
                if (left >= sizeof strip)
                    memcpy(strip, src + (n0 + r) * row_stride + at, sizeof strip);
                else if (left)
                    memcpy(strip, src + (n0 + r) * row_stride + at, left);
                for (size_t i = 0; i < STRIP; i++) tile[i * R + r] = strip[i];
            }
            write_tile(tile, w0, n_words, data + n0 * n_words);
        }
    }
}

void qn_pack_plain(const void *src, uint32_t element_bytes, uint32_t n_rows, uint32_t k, const qn_pack_rows *out)
{
    pack_elements(src, (uint64_t)k * element_bytes, element_bytes, n_rows, k, out->data);
}

/* f32 from [K, rows]: the rows of a block are neighbours there as well. */
static void pack_transposed(const uint8_t *src, uint64_t k_stride, uint32_t n_rows, uint32_t k, uint32_t *data)
{
    size_t n_words = qn_pack_words(QN_STORE_F32, k);
    for (uint32_t n0 = 0; n0 < n_rows; n0 += rows_in_block(n_rows, n0)) {
        uint32_t rows = rows_in_block(n_rows, n0);
        uint32_t *dst = data + n0 * n_words;
        memset(dst, 0, n_words * R * sizeof *dst);
        for (size_t i = 0; i < k; i++) memcpy(dst + i * R, src + i * k_stride + (size_t)n0 * 4, (size_t)rows * 4);
    }
}

/* One section of scales or minimums to blocks of rows, f32 or f16. */
static void pack_scales(const qn_pack_format *format, const qn_pack_source *source, const float *src, uint32_t n_rows,
                        uint32_t k, void *out)
{
    size_t n_groups = qn_pack_groups(format, k);
    for (uint32_t n0 = 0; n0 < n_rows; n0 += rows_in_block(n_rows, n0)) {
        uint32_t rows = rows_in_block(n_rows, n0);
        for (size_t g = 0; g < n_groups; g++) {
            size_t at = n0 * n_groups + g * R;
            for (uint32_t r = 0; r < R; r++) {
                float s = r < rows ? src[(n0 + r) * source->scale_row + g * source->scale_group] : 0.0f;
                if (format->scale_f16)
                    ((uint16_t *)out)[at + r] = qn_float_to_half(s);
                else
                    ((float *)out)[at + r] = s;
            }
        }
    }
}

/* Four nibbles to the low halves of four bytes. */
static uint32_t spread_nibbles(uint32_t x)
{
    x = (x | x << 8) & 0x00FF00FF;
    return (x | x << 4) & 0x0F0F0F0F;
}

/* The first n <= 8 nibbles at p as a word, zero past them. */
static uint32_t nibble_word(const uint8_t *p, uint32_t n, bool high_first)
{
    uint32_t x = 0;
    memcpy(&x, p, n == 8 ? 4 : (n + 1) / 2);
    if (high_first) x = (x & 0x0F0F0F0F) << 4 | (x >> 4 & 0x0F0F0F0F);
    if (n < 8) x &= (1u << 4 * n) - 1;
    return spread_nibbles(x & 0xFFFF) | spread_nibbles(x >> 16) << 4;
}

/* The first n <= 4 bytes at p as a word, zero past them. */
static uint32_t byte_word(const uint8_t *p, uint32_t n)
{
    uint32_t x = 0;
    if (n == 4)
        memcpy(&x, p, 4);
    else
        memcpy(&x, p, n);
    return x;
}

/* How many of a row's k elements are in word w, which holds e at most. */
static uint32_t elements_in_word(uint32_t k, size_t w, uint32_t e)
{
    uint64_t first = (uint64_t)w * e;
    return first >= k ? 0 : k - first < e ? (uint32_t)(k - first) : e;
}

static void pack_nibbles(const uint8_t *codes, const qn_pack_source *source, uint32_t n_rows, uint32_t k,
                         uint32_t *data)
{
    size_t n_words = qn_pack_words(QN_STORE_Q4, k), whole = k / 8;
    for (uint32_t n0 = 0; n0 < n_rows; n0 += rows_in_block(n_rows, n0)) {
        uint32_t rows = rows_in_block(n_rows, n0), tile[STRIP * R];
        for (size_t w0 = 0; w0 < n_words; w0 += STRIP) {
            for (uint32_t r = 0; r < R; r++) {
                const uint8_t *row = codes + (n0 + (r < rows ? r : 0)) * source->row_bytes;
                size_t i = 0;
                for (; r < rows && i < STRIP && w0 + i < whole; i++)
                    tile[i * R + r] = nibble_word(row + (w0 + i) * 4, 8, source->high_first);
                for (; i < STRIP; i++) {
                    uint32_t n = r < rows ? elements_in_word(k, w0 + i, 8) : 0;
                    tile[i * R + r] = n ? nibble_word(row + (w0 + i) * 4, n, source->high_first) : 0;
                }
            }
            write_tile(tile, w0, n_words, data + n0 * n_words);
        }
    }
}

static void pack_bytes(const uint8_t *codes, uint64_t row_stride, uint32_t n_rows, uint32_t k, uint32_t *data)
{
    size_t n_words = qn_pack_words(QN_STORE_Q8, k);
    for (uint32_t n0 = 0; n0 < n_rows; n0 += rows_in_block(n_rows, n0)) {
        uint32_t rows = rows_in_block(n_rows, n0), tile[STRIP * R];
        for (size_t w0 = 0; w0 < n_words; w0 += STRIP) {
            for (uint32_t r = 0; r < R; r++)
                for (size_t i = 0; i < STRIP; i++) {
                    uint32_t n = r < rows ? elements_in_word(k, w0 + i, 4) : 0;
                    tile[i * R + r] = n ? byte_word(codes + (n0 + r) * row_stride + (w0 + i) * 4, n) : 0;
                }
            write_tile(tile, w0, n_words, data + n0 * n_words);
        }
    }
}

uint64_t qn_pack_source_row(qn_storage storage, uint32_t k)
{
    uint32_t bits = 32 / qn_pack_elements(storage);
    return ((uint64_t)k * bits + 7) / 8;
}

void qn_pack_matrix(const qn_pack_format *format, const qn_pack_source *source, uint32_t row0, uint32_t n_rows,
                    uint32_t k, const qn_pack_rows *out)
{
    const uint8_t *data = (const uint8_t *)source->data + row0 * (source->transposed ? 4 : source->row_bytes);
    switch (format->storage) {
    case QN_STORE_F32:
        if (source->transposed)
            pack_transposed(data, source->row_bytes, n_rows, k, out->data);
        else
            pack_elements(data, source->row_bytes, 4, n_rows, k, out->data);
        break;
    case QN_STORE_F16:
    case QN_STORE_BF16:
        pack_elements(data, source->row_bytes, 2, n_rows, k, out->data);
        break;
    case QN_STORE_Q8:
        pack_bytes(data, source->row_bytes, n_rows, k, out->data);
        break;
    case QN_STORE_Q4:
    case QN_STORE_Q4A:
        pack_nibbles(data, source, n_rows, k, out->data);
        break;
    }
    if (format->storage >= QN_STORE_Q8)
        pack_scales(format, source, source->scales + row0 * source->scale_row, n_rows, k, out->scales);
    if (format->storage == QN_STORE_Q4A)
        pack_scales(format, source, source->mins + row0 * source->scale_row, n_rows, k, out->mins);
}

/* ---- the reference ----------------------------------------------------------------------------------------- */

static float grouped(const qn_pack_format *format, const void *section, uint32_t k_total, uint32_t n, uint32_t k)
{
    size_t at = ((size_t)(n / R) * qn_pack_groups(format, k_total) + k / format->group) * R + n % R;
    return format->scale_f16 ? qn_half_to_float(((const uint16_t *)section)[at]) : ((const float *)section)[at];
}

float qn_pack_value(const qn_pack_format *format, const qn_pack_rows *rows, uint32_t k_total, uint32_t n, uint32_t k)
{
    uint32_t e = qn_pack_elements(format->storage), i = k % e;
    size_t n_words = qn_pack_words(format->storage, k_total);
    uint32_t word = rows->data[((size_t)(n / R) * n_words + k / e) * R + n % R];
    uint32_t code = word >> (8 * (i % 4) + (i / 4) * 4); /* of 8-bit and 4-bit elements */
    union {
        uint32_t u;
        float f;
    } bits = {word};
    switch (format->storage) {
    case QN_STORE_F32:
        return bits.f;
    case QN_STORE_F16:
        return qn_half_to_float((uint16_t)(word >> 16 * i));
    case QN_STORE_BF16:
        return qn_bf16_to_float((uint16_t)(word >> 16 * i));
    case QN_STORE_Q8:
        return grouped(format, rows->scales, k_total, n, k) * (float)(int8_t)(code & 0xFF);
    case QN_STORE_Q4:
        return grouped(format, rows->scales, k_total, n, k) * (float)((int32_t)(code & 15) - 8);
    case QN_STORE_Q4A:
        return grouped(format, rows->scales, k_total, n, k) * (float)(code & 15) -
               grouped(format, rows->mins, k_total, n, k);
    }
    return 0.0f;
}
