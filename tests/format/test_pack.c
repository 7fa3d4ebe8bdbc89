/* The GPU layout of weights: sizes, the place of every element, and half precision. */
#include "format/pack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- help ------------------------------------------------------------------------------------------------- */

static uint32_t random_state;

static uint32_t random_u32(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8 ^ random_state << 11;
}

/* A value that f16 holds exactly. */
static float random_half_value(void)
{
    return (float)((int32_t)(random_u32() % 4095) - 2047) / 1024.0f;
}

enum { GUARD = 64, FILL = 0xA5, MAX_ROWS = 40, MAX_K = 300 };

static void *guarded(uint64_t size)
{
    uint8_t *p = malloc((size_t)size + GUARD);
    memset(p, FILL, (size_t)size + GUARD);
    return p;
}

typedef struct packed {
    qn_pack_format format;
    qn_pack_size size;
    qn_pack_rows rows;
} packed;

static packed new_packed(qn_pack_format format, uint32_t n_rows, uint32_t k)
{
    packed p = {.format = format, .size = qn_pack_bytes(&format, n_rows, k)};
    p.rows = (qn_pack_rows){guarded(p.size.data_bytes), guarded(p.size.scale_bytes), guarded(p.size.min_bytes)};
    return p;
}

/* Nothing was written behind a section, and the words past K and past the last row are zero. */
static void check_and_free(packed *p, uint32_t n_rows, uint32_t k)
{
    const void *sections[] = {p->rows.data, p->rows.scales, p->rows.mins};
    const uint64_t sizes[] = {p->size.data_bytes, p->size.scale_bytes, p->size.min_bytes};
    for (size_t s = 0; s < 3; s++)
        for (uint64_t i = 0; i < GUARD; i++) assert_int_equal(((const uint8_t *)sections[s])[sizes[s] + i], FILL);
    uint32_t elements = qn_pack_elements(p->format.storage), n_words = qn_pack_words(p->format.storage, k);
    uint32_t bits = 32 / elements;
    for (uint64_t i = 0; i < p->size.data_bytes / 4; i++) {
        uint64_t row = i / 16 / n_words * 16 + i % 16, first = i / 16 % n_words * elements;
        uint32_t word = p->rows.data[i];
        if (row >= n_rows || first >= k) {
            assert_int_equal(word, 0);
        } else if (elements == 8) {
            for (uint32_t e = 0; e < 8; e++)
                if (first + e >= k) assert_int_equal(word >> (8 * (e % 4) + e / 4 * 4) & 15, 0);
        } else if (first + elements > k) {
            assert_int_equal(word >> bits * (k - first), 0);
        }
    }
    free(p->rows.data);
    free(p->rows.scales);
    free(p->rows.mins);
}

static const uint32_t rows_of[] = {1, 15, 16, 17, MAX_ROWS};
static const uint32_t ks_of[] = {1, 2, 7, 8, 31, 32, 33, 100, 256, MAX_K};
static const uint32_t groups_of[] = {1, 5, 16, 32, 48, 64, 128, 1000};

/* Calls check for every combination of rows, K, group and scale type. */
static void for_all_shapes(void (*check)(uint32_t n_rows, uint32_t k, uint32_t group, bool scale_f16))
{
    for (size_t n = 0; n < sizeof rows_of / sizeof rows_of[0]; n++)
        for (size_t k = 0; k < sizeof ks_of / sizeof ks_of[0]; k++)
            for (size_t g = 0; g < sizeof groups_of / sizeof groups_of[0]; g++)
                for (int f16 = 0; f16 < 2; f16++) check(rows_of[n], ks_of[k], groups_of[g], f16 != 0);
}

/* Scales [G, stride] with one spare column, minimums behind them. */
enum { STRIDE = MAX_ROWS + 1 };
static float scales[2 * MAX_K * STRIDE];
static const float *const mins = scales + MAX_K * STRIDE;
static uint8_t codes[MAX_ROWS * MAX_K];

static void randomize(void)
{
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) scales[i] = random_half_value();
    for (size_t i = 0; i < sizeof codes; i++) codes[i] = (uint8_t)random_u32();
}

/* The tight source of k elements a row, its scales in rows of STRIDE. */
static qn_pack_source source_of(qn_storage storage, const void *data, uint32_t k)
{
    return (qn_pack_source){.data = data,
                            .row_bytes = qn_pack_source_row(storage, k),
                            .scales = scales,
                            .mins = mins,
                            .scale_row = 1,
                            .scale_group = STRIDE};
}

static uint32_t nibble(uint32_t k_total, uint32_t n, uint32_t k)
{
    return (uint32_t)codes[n * ((k_total + 1) / 2) + k / 2] >> (k % 2 * 4) & 15;
}

/* ---- packing ------------------------------------------------------------------------------------------------- */

static void check_q4(uint32_t n_rows, uint32_t k, uint32_t group, bool scale_f16)
{
    packed p = new_packed((qn_pack_format){QN_STORE_Q4, group, scale_f16}, n_rows, k);
    qn_pack_source source = source_of(QN_STORE_Q4, codes, k);
    qn_pack_matrix(&p.format, &source, 0, n_rows, k, &p.rows);
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t i = 0; i < k; i++)
            assert_true(qn_pack_value(&p.format, &p.rows, k, n, i) ==
                        scales[i / group * STRIDE + n] * (float)((int)nibble(k, n, i) - 8));
    check_and_free(&p, n_rows, k);
}

static void check_q4a(uint32_t n_rows, uint32_t k, uint32_t group, bool scale_f16)
{
    packed p = new_packed((qn_pack_format){QN_STORE_Q4A, group, scale_f16}, n_rows, k);
    qn_pack_source source = source_of(QN_STORE_Q4A, codes, k);
    qn_pack_matrix(&p.format, &source, 0, n_rows, k, &p.rows);
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t i = 0; i < k; i++) {
            float expected = scales[i / group * STRIDE + n] * (float)nibble(k, n, i) - mins[i / group * STRIDE + n];
            assert_true(qn_pack_value(&p.format, &p.rows, k, n, i) == expected); /* exact: 11-bit scale, 4-bit code */
        }
    check_and_free(&p, n_rows, k);
}

static void check_q8(uint32_t n_rows, uint32_t k, uint32_t group, bool scale_f16)
{
    packed p = new_packed((qn_pack_format){QN_STORE_Q8, group, scale_f16}, n_rows, k);
    qn_pack_source source = source_of(QN_STORE_Q8, codes, k);
    qn_pack_matrix(&p.format, &source, 0, n_rows, k, &p.rows);
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t i = 0; i < k; i++)
            assert_true(qn_pack_value(&p.format, &p.rows, k, n, i) ==
                        scales[i / group * STRIDE + n] * (float)(int8_t)codes[n * k + i]);
    check_and_free(&p, n_rows, k);
}

static void test_q4_nibbles(void **state)
{
    (void)state;
    randomize();
    for_all_shapes(check_q4);
}

static void test_q4a_nibbles(void **state)
{
    (void)state;
    randomize();
    for_all_shapes(check_q4a);
}

static void test_q8_codes(void **state)
{
    (void)state;
    randomize();
    for_all_shapes(check_q8);
}

static void test_float_storage(void **state)
{
    (void)state;
    static float f32[MAX_ROWS * MAX_K];
    static uint16_t f16[MAX_ROWS * MAX_K];
    for (size_t i = 0; i < MAX_ROWS * MAX_K; i++) {
        f32[i] = random_half_value();
        f16[i] = (uint16_t)(random_u32() & 0xBBFF); /* no infinity or NaN */
    }
    for (size_t r = 0; r < sizeof rows_of / sizeof rows_of[0]; r++)
        for (size_t c = 0; c < sizeof ks_of / sizeof ks_of[0]; c++)
            for (int storage = QN_STORE_F32; storage <= QN_STORE_BF16; storage++) {
                uint32_t n_rows = rows_of[r], k = ks_of[c];
                packed p = new_packed((qn_pack_format){(qn_storage)storage, 0, false}, n_rows, k);
                const void *data = storage == QN_STORE_F32 ? (const void *)f32 : (const void *)f16;
                qn_pack_source source = source_of((qn_storage)storage, data, k);
                qn_pack_matrix(&p.format, &source, 0, n_rows, k, &p.rows);
                for (uint32_t i = 0; i < n_rows * k; i++) {
                    float expected = storage == QN_STORE_F32   ? f32[i]
                                     : storage == QN_STORE_F16 ? qn_half_to_float(f16[i])
                                                               : qn_bf16_to_float(f16[i]);
                    assert_true(qn_pack_value(&p.format, &p.rows, k, i / k, i % k) == expected);
                }
                check_and_free(&p, n_rows, k);
            }
}

/* The layout in words, as the kernels read it: rows interleaved by 16, elements 0..3 in the low nibbles of the bytes
 * and 4..7 in the high ones. */
static void test_layout_spelled_out(void **state)
{
    (void)state;
    enum { N = 18, K = 64 };
    uint8_t bytes[N * K / 2];
    float s[2 * N];
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t i = 0; i < K / 2; i++)
            bytes[n * K / 2 + i] = (uint8_t)(((2 * i + n) & 15) | ((2 * i + 1 + n) & 15) << 4); /* element k is k + n */
    for (uint32_t i = 0; i < 2 * N; i++) s[i] = (float)i;
    packed p = new_packed((qn_pack_format){QN_STORE_Q4, 32, true}, N, K);
    qn_pack_source source = {.data = bytes, .row_bytes = K / 2, .scales = s, .scale_row = 1, .scale_group = N};
    qn_pack_matrix(&p.format, &source, 0, N, K, &p.rows);
    assert_int_equal(p.size.data_bytes, 32 * K / 2);
    assert_int_equal(p.size.scale_bytes, 32 * 2 * 2);
    assert_int_equal(p.rows.data[0], 0x73625140);          /* row 0, elements 0..7  */
    assert_int_equal(p.rows.data[1], 0x84736251);          /* row 1 is its neighbour */
    assert_int_equal(p.rows.data[16], 0xFBEAD9C8);         /* row 0, elements 8..15 */
    assert_int_equal(p.rows.data[16 * 8 + 1], 0x84736251); /* row 17 in the second block */
    const uint16_t *f16 = p.rows.scales;
    assert_int_equal(f16[3], qn_float_to_half(3));          /* row 3, group 0  */
    assert_int_equal(f16[16 + 3], qn_float_to_half(N + 3)); /* row 3, group 1  */
    assert_int_equal(f16[32 + 1], qn_float_to_half(17));    /* row 17, group 0 */
    assert_int_equal(f16[32 + 16 + 2], 0);                  /* row 18 is missing */
    check_and_free(&p, N, K);
}

/* A matrix may be packed in pieces of whole blocks. */
static void test_split_along_rows(void **state)
{
    (void)state;
    enum { N = 40, K = 100 };
    randomize();
    packed whole = new_packed((qn_pack_format){QN_STORE_Q4A, 32, true}, N, K);
    packed split = new_packed(whole.format, N, K);
    qn_pack_source source = source_of(QN_STORE_Q4A, codes, K);
    qn_pack_matrix(&whole.format, &source, 0, N, K, &whole.rows);
    for (uint32_t n = 0; n < N; n += 16) {
        qn_pack_size before = qn_pack_bytes(&split.format, n, K);
        qn_pack_rows at = {split.rows.data + before.data_bytes / 4, (uint8_t *)split.rows.scales + before.scale_bytes,
                           (uint8_t *)split.rows.mins + before.min_bytes};
        qn_pack_matrix(&split.format, &source, n, N - n < 16 ? N - n : 16, K, &at);
    }
    assert_memory_equal(whole.rows.data, split.rows.data, whole.size.data_bytes);
    assert_memory_equal(whole.rows.scales, split.rows.scales, whole.size.scale_bytes);
    assert_memory_equal(whole.rows.mins, split.rows.mins, whole.size.min_bytes);
    check_and_free(&whole, N, K);
    check_and_free(&split, N, K);
}

/* Sources with gaps, in other orders: the packed bytes are those of the tight source. */
static void check_layout(qn_storage storage, uint32_t n_rows, uint32_t k, uint32_t gap)
{
    enum { GROUP = 16, ROW = MAX_K * 4 + 8 };
    static uint8_t spread[(MAX_ROWS + MAX_K) * ROW], tight[MAX_ROWS * MAX_K * 4];
    static float by_row[2][MAX_ROWS * MAX_K];
    bool grouped = storage >= QN_STORE_Q8, nibbles = storage >= QN_STORE_Q4, transposed = storage == QN_STORE_F32;
    qn_pack_source source = source_of(storage, tight, k);
    for (size_t i = 0; i < sizeof tight; i++) tight[i] = (uint8_t)random_u32();
    qn_pack_source other = {.data = spread, .row_bytes = source.row_bytes + gap, .transposed = transposed};
    if (transposed) other.row_bytes = n_rows * 4 + gap;
    memset(spread, 0xEE, sizeof spread);
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t i = 0; i < (transposed ? k : source.row_bytes); i++)
            if (transposed)
                memcpy(spread + i * other.row_bytes + n * 4, tight + n * source.row_bytes + i * 4, 4);
            else
                spread[n * other.row_bytes + i] = tight[n * source.row_bytes + i];
    other.high_first = nibbles;
    for (size_t i = 0; nibbles && i < sizeof spread; i++) spread[i] = (uint8_t)(spread[i] << 4 | spread[i] >> 4);
    uint32_t groups = (k + GROUP - 1) / GROUP;
    other.scales = by_row[0];
    other.mins = by_row[1];
    other.scale_row = groups + gap;
    other.scale_group = 1;
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t g = 0; g < groups; g++) {
            by_row[0][n * other.scale_row + g] = scales[g * STRIDE + n];
            by_row[1][n * other.scale_row + g] = mins[g * STRIDE + n];
        }
    qn_pack_format format = {storage, grouped ? GROUP : 0, false};
    packed want = new_packed(format, n_rows, k), got = new_packed(format, n_rows, k);
    qn_pack_matrix(&format, &source, 0, n_rows, k, &want.rows);
    qn_pack_matrix(&format, &other, 0, n_rows, k, &got.rows);
    assert_memory_equal(got.rows.data, want.rows.data, want.size.data_bytes);
    assert_memory_equal(got.rows.scales, want.rows.scales, want.size.scale_bytes);
    assert_memory_equal(got.rows.mins, want.rows.mins, want.size.min_bytes);
    check_and_free(&want, n_rows, k);
    check_and_free(&got, n_rows, k);
}

static void test_other_layouts(void **state)
{
    (void)state;
    randomize();
    for (int storage = QN_STORE_F32; storage <= QN_STORE_Q4A; storage++)
        for (size_t r = 0; r < sizeof rows_of / sizeof rows_of[0]; r++)
            for (size_t c = 0; c < sizeof ks_of / sizeof ks_of[0]; c++)
                for (uint32_t gap = 0; gap < 6; gap += 5) check_layout((qn_storage)storage, rows_of[r], ks_of[c], gap);
}

/* ---- sizes ---------------------------------------------------------------------------------------------------- */

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(qn_pack_words(QN_STORE_Q4, 1), 4);
    assert_int_equal(qn_pack_words(QN_STORE_Q4A, 32), 4);
    assert_int_equal(qn_pack_words(QN_STORE_Q8, 33), 16);
    assert_int_equal(qn_pack_words(QN_STORE_F16, 64), 32);
    assert_int_equal(qn_pack_words(QN_STORE_BF16, 1), 16);
    assert_int_equal(qn_pack_words(QN_STORE_F32, 2048), 2048);
    qn_pack_format q4 = {QN_STORE_Q4, 32, true}, q4a = {QN_STORE_Q4A, 48, false}, f32 = {QN_STORE_F32, 0, false};
    assert_int_equal(qn_pack_groups(&q4, 33), 2);
    assert_int_equal(qn_pack_groups(&q4a, 96), 2);
    assert_int_equal(qn_pack_groups(&f32, 96), 0);
    qn_pack_size s = qn_pack_bytes(&q4, 128256, 2048); /* Llama 3.2 1B's embedding: Q4_0's 18 bytes a block */
    assert_true(s.data_bytes == 128256ull * 1024 && s.scale_bytes == 128256ull * 128 && s.min_bytes == 0);
    s = qn_pack_bytes(&q4a, 17, 100);
    assert_true(s.data_bytes == 32 * 16 * 4 && s.scale_bytes == 32 * 3 * 4 && s.min_bytes == s.scale_bytes);
    s = qn_pack_bytes(&f32, 0, 100);
    assert_true(s.data_bytes == 0 && s.scale_bytes == 0);
    s = qn_pack_bytes(&q4, 1ull << 31, UINT32_MAX);
    assert_true(s.data_bytes == 1ull << 62 && s.scale_bytes == 1ull << 59);
    s = qn_pack_bytes(&f32, UINT32_MAX, UINT32_MAX); /* nothing wraps */
    assert_true(s.data_bytes == UINT64_MAX);
    s = qn_pack_bytes(&q4a, UINT64_MAX, 32);
    assert_true(s.data_bytes == UINT64_MAX && s.scale_bytes == UINT64_MAX && s.min_bytes == UINT64_MAX);
}

/* ---- half precision --------------------------------------------------------------------------------------------- */

/* From the definition: sign, 5 bits of exponent with bias 15, 10 bits of fraction. */
static double half_by_definition(uint32_t h)
{
    int exponent = (int)(h >> 10 & 31);
    double fraction = (double)(h & 1023);
    double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -v : v;
}

static void test_every_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = qn_half_to_float((uint16_t)h);
        if ((h & 0x7C00) == 0x7C00) {
            assert_int_equal(isnan(f) != 0, (h & 0x3FF) != 0);
            if (h & 0x3FF)
                assert_true(isnan(qn_half_to_float(qn_float_to_half(f))));
            else
                assert_true(isinf(f) && (f < 0) == (h >> 15));
        } else {
            assert_true((double)f == half_by_definition(h));
        }
        if (!isnan(f)) assert_int_equal(qn_float_to_half(f), h);
    }
}

/* Between two neighbours: below the middle down, above it up, the middle to the even one. */
static void test_rounding_to_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7BFF; h++) {
        float middle = (float)((half_by_definition(h) + half_by_definition(h + 1)) / 2);
        assert_int_equal(qn_float_to_half(nextafterf(middle, 0.0f)), h);
        assert_int_equal(qn_float_to_half(middle), h % 2 ? h + 1 : h);
        assert_int_equal(qn_float_to_half(nextafterf(middle, 1e9f)), h + 1);
        assert_int_equal(qn_float_to_half(-middle), (h % 2 ? h + 1 : h) | 0x8000);
    }
    assert_int_equal(qn_float_to_half(65519.99f), 0x7BFF);
    assert_int_equal(qn_float_to_half(65520.0f), 0x7C00);
    assert_int_equal(qn_float_to_half(-1e30f), 0xFC00);
    assert_int_equal(qn_float_to_half(INFINITY), 0x7C00);
    assert_int_equal(qn_float_to_half(1e-40f), 0);
    assert_int_equal(qn_float_to_half(-1e-40f), 0x8000);
    assert_true(isnan(qn_half_to_float(qn_float_to_half(NAN))));
}

static void test_bf16(void **state)
{
    (void)state;
    assert_true(qn_bf16_to_float(0x3F80) == 1.0f);
    assert_true(qn_bf16_to_float(0xC049) == -3.140625f);
    assert_true(isinf(qn_bf16_to_float(0x7F80)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q4_nibbles),
        cmocka_unit_test(test_q4a_nibbles),
        cmocka_unit_test(test_q8_codes),
        cmocka_unit_test(test_float_storage),
        cmocka_unit_test(test_layout_spelled_out),
        cmocka_unit_test(test_split_along_rows),
        cmocka_unit_test(test_other_layouts),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_rounding_to_half),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
