/* ggml's block types: sizes, and values against numbers that the `gguf` Python package made (tests/data/quant, by
 * tools/make_quant_goldens.py), dequantized directly and through the packed GPU layout. */
#include "format/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- help -------------------------------------------------------------------------------------------------- */

typedef struct golden {
    uint8_t *file;
    const qn_quant_type *type;
    uint32_t n;
    const uint8_t *blocks;
    float *values;
} golden;

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static golden load_golden(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/quant/%s.bin", QN_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    golden g = {.file = malloc(1 << 20)};
    size_t size = fread(g.file, 1, 1 << 20, f);
    fclose(f);
    assert_true(size > 16);
    g.type = qn_quant_find(load_u32(g.file));
    g.n = load_u32(g.file + 4);
    g.blocks = g.file + 16;
    uint32_t bytes = load_u32(g.file + 8);
    assert_int_equal(size, 16 + bytes + g.n * 4);
    uint64_t expected;
    assert_true(qn_quant_bytes(g.type, g.n, &expected));
    assert_int_equal(bytes, expected);
    g.values = malloc(g.n * sizeof(float));
    for (uint32_t i = 0; i < g.n; i++) {
        uint32_t bits = load_u32(g.blocks + bytes + 4 * i);
        memcpy(&g.values[i], &bits, 4);
    }
    return g;
}

static void free_golden(golden *g)
{
    free(g->file);
    free(g->values);
}

/* The largest error that is allowed for element i: none where the arithmetic is one exact product, else 1e-6 of the
 * block's largest magnitude. */
static float tolerance(const golden *g, uint32_t i)
{
    if (g->type->ggml_type != QN_GGML_Q4_K && g->type->ggml_type != QN_GGML_Q6_K) return 0.0f;
    float largest = 0.0f;
    uint32_t start = i / g->type->block * g->type->block;
    for (uint32_t j = 0; j < g->type->block; j++) largest = fmaxf(largest, fabsf(g->values[start + j]));
    return 1e-6f * largest;
}

static void check_value(const golden *g, uint32_t i, float value)
{
    if (!(fabsf(value - g->values[i]) <= tolerance(g, i)))
        fail_msg("%s element %u: %.9g, expected %.9g", g->type->name, i, (double)value, (double)g->values[i]);
}

enum { GUARD = 64, FILL = 0xA5 };

static void *guarded(uint64_t size)
{
    uint8_t *p = malloc((size_t)size + GUARD);
    memset(p, FILL, (size_t)size + GUARD);
    return p;
}

static void expect_guard(const void *p, uint64_t size)
{
    for (uint64_t i = size; i < size + GUARD; i++) assert_int_equal(((const uint8_t *)p)[i], FILL);
}

static const char *const names[] = {"f32", "f16", "bf16", "q4_0", "q8_0", "q4_k", "q6_k"};

/* ---- tests --------------------------------------------------------------------------------------------------- */

static void test_values_of_another_program(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof names / sizeof names[0]; t++) {
        golden g = load_golden(names[t]);
        float *values = malloc(g.n * sizeof *values);
        qn_quant_to_f32(g.type, g.blocks, g.n, values);
        for (uint32_t i = 0; i < g.n; i++) check_value(&g, i, values[i]);
        free(values);
        free_golden(&g);
    }
}

/* Packs the first n_rows rows of k elements, and checks every value, every missing row and every byte after. */
static void check_packing(const golden *g, const void *src, uint32_t n_rows, uint32_t k)
{
    const qn_pack_format *f = &g->type->format;
    qn_pack_size size = qn_pack_bytes(f, n_rows, k);
    qn_pack_rows rows = {guarded(size.data_bytes), guarded(size.scale_bytes), guarded(size.min_bytes)};
    qn_quant_pack(g->type, src, n_rows, k, &rows);
    expect_guard(rows.data, size.data_bytes);
    expect_guard(rows.scales, size.scale_bytes);
    expect_guard(rows.mins, size.min_bytes);
    for (uint32_t n = 0; n < n_rows; n++)
        for (uint32_t i = 0; i < k; i++) check_value(g, n * k + i, qn_pack_value(f, &rows, k, n, i));
    uint64_t words = size.data_bytes / 4, last = n_rows % QN_PACK_ROWS;
    for (uint64_t w = words - qn_pack_words(f->storage, k) * (uint64_t)QN_PACK_ROWS; last && w < words; w++)
        if (w % QN_PACK_ROWS >= last) assert_int_equal(rows.data[w], 0);
    for (uint32_t i = 0; last && i < k; i++) assert_true(qn_pack_value(f, &rows, k, n_rows, i) == 0.0f);
    free(rows.data);
    free(rows.scales);
    free(rows.mins);
}

static void test_packed_values(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof names / sizeof names[0]; t++) {
        golden g = load_golden(names[t]);
        uint32_t n_blocks = g.n / g.type->block;
        for (uint32_t per_row = 1; per_row <= 3; per_row++) {
            uint32_t all = n_blocks / per_row;
            const uint32_t counts[] = {1, 15, 16, 17, all};
            for (size_t c = 0; c < 5; c++)
                if (counts[c] <= all) check_packing(&g, g.blocks, counts[c], per_row * g.type->block);
        }
        if (g.type->block == 1) check_packing(&g, g.blocks, 5, 45); /* K of no whole word or 32 elements */
        free_golden(&g);
    }
}

/* Tensors lie at any address. */
static void test_unaligned_source(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof names / sizeof names[0]; t++) {
        golden g = load_golden(names[t]);
        uint64_t bytes;
        uint32_t k = g.type->block == 1 ? 64 : g.type->block;
        assert_true(qn_quant_bytes(g.type, g.n, &bytes));
        uint8_t *moved = malloc((size_t)bytes + 1);
        memcpy(moved + 1, g.blocks, (size_t)bytes);
        check_packing(&g, moved + 1, g.n / k, k);
        float *values = malloc(g.n * sizeof *values);
        qn_quant_to_f32(g.type, moved + 1, g.n, values);
        for (uint32_t i = 0; i < g.n; i++) check_value(&g, i, values[i]);
        free(values);
        free(moved);
        free_golden(&g);
    }
}

/* Q4_0 and Q8_0 keep the very bits of their scales, Q4_0 its codes too. */
static void test_q4_0_is_lossless(void **state)
{
    (void)state;
    golden g = load_golden("q4_0");
    uint32_t n_rows = g.n / 32;
    qn_pack_size size = qn_pack_bytes(&g.type->format, n_rows, 32);
    qn_pack_rows rows = {guarded(size.data_bytes), guarded(size.scale_bytes), NULL};
    qn_quant_pack(g.type, g.blocks, n_rows, 32, &rows);
    for (uint32_t n = 0; n < n_rows; n++) {
        const uint8_t *block = g.blocks + n * 18;
        assert_memory_equal((const uint16_t *)rows.scales + n, block, 2);
        for (uint32_t i = 0; i < 32; i++) {
            uint32_t code = i < 16 ? block[2 + i] & 15u : (uint32_t)block[2 + i - 16] >> 4;
            uint32_t word = rows.data[(n / 16 * 4 + i / 8) * 16 + n % 16];
            assert_int_equal(word >> (8 * (i % 4) + (i % 8 / 4) * 4) & 15, code);
        }
    }
    free(rows.data);
    free(rows.scales);
    free_golden(&g);
}

static void test_type_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
        uint32_t block, bytes;
        bool supported;
        qn_pack_format format;
    } expected[] = {
        {0, "F32", 1, 4, true, {QN_STORE_F32, 0, false}},       {1, "F16", 1, 2, true, {QN_STORE_F16, 0, false}},
        {30, "BF16", 1, 2, true, {QN_STORE_BF16, 0, false}},    {2, "Q4_0", 32, 18, true, {QN_STORE_Q4, 32, true}},
        {8, "Q8_0", 32, 34, true, {QN_STORE_Q8, 32, true}},     {12, "Q4_K", 256, 144, true, {QN_STORE_Q4A, 32, false}},
        {14, "Q6_K", 256, 210, true, {QN_STORE_Q8, 16, false}}, {13, "Q5_K", 256, 176, false, {0}},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const qn_quant_type *t = qn_quant_find(expected[i].type);
        assert_non_null(t);
        assert_string_equal(t->name, expected[i].name);
        assert_int_equal(t->block, expected[i].block);
        assert_int_equal(t->block_bytes, expected[i].bytes);
        assert_int_equal(t->supported, expected[i].supported);
        assert_int_equal(t->format.storage, expected[i].format.storage);
        assert_int_equal(t->format.group, expected[i].format.group);
        assert_int_equal(t->format.scale_f16, expected[i].format.scale_f16);
    }
    assert_null(qn_quant_find(4)); /* removed from ggml */
    assert_null(qn_quant_find(1000));
    assert_null(qn_quant_find(UINT32_MAX));
}

static void test_sizes(void **state)
{
    (void)state;
    uint64_t bytes = 1;
    const qn_quant_type *q4_0 = qn_quant_find(QN_GGML_Q4_0), *f32 = qn_quant_find(QN_GGML_F32);
    assert_true(qn_quant_bytes(q4_0, 64, &bytes));
    assert_int_equal(bytes, 36);
    assert_true(qn_quant_bytes(q4_0, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_false(qn_quant_bytes(q4_0, 33, &bytes));
    assert_true(qn_quant_bytes(q4_0, 1ull << 40, &bytes));
    assert_true(bytes == (1ull << 35) * 18);
    assert_true(qn_quant_bytes(f32, UINT64_MAX / 4, &bytes));
    assert_false(qn_quant_bytes(f32, UINT64_MAX / 4 + 1, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_another_program),
        cmocka_unit_test(test_packed_values),
        cmocka_unit_test(test_unaligned_source),
        cmocka_unit_test(test_q4_0_is_lossless),
        cmocka_unit_test(test_type_table),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
