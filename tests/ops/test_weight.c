/* How a constant is split and laid out in GPU memory, and weights given in other layouts. */
#include "support/gpu_harness.h"
#include "support/plan_harness.h"

#include <stdlib.h>
#include <string.h>

static qn_weight *describe(const qn_device_info *device, uint32_t n, uint32_t k, qn_pack_format format)
{
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_describe(NULL, device, "w", true, qn_shape_2(n, k), &format, &w));
    return w;
}

/* One section [offset, offset + bytes) behind `end`, aligned and within the binding limit; returns its end. */
static uint64_t check_section(const qn_device_info *device, uint64_t offset, uint64_t bytes, uint64_t end)
{
    if (bytes == 0) return end;
    assert_true(offset >= end);
    assert_int_equal(offset % 256, 0);
    assert_int_equal(bytes % 4, 0);
    assert_true(bytes <= device->max_binding_bytes);
    return offset + bytes;
}

/* The parts cover every row once, in order, in whole blocks, and respect both limits. */
static void check_parts(const qn_device_info *device, const qn_weight *w)
{
    uint32_t row = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const qn_weight_part *part = &w->parts[i];
        assert_int_equal(part->row0, row);
        assert_int_equal(part->row0 % QN_PACK_ROWS, 0);
        assert_true(part->n_rows > 0);
        assert_null(part->buffer);
        qn_pack_size size = qn_pack_bytes(&w->format, part->n_rows, w->shape.dim[1]);
        assert_int_equal(part->data_bytes, size.data_bytes);
        assert_int_equal(part->scale_bytes, size.scale_bytes);
        assert_int_equal(part->min_bytes, size.min_bytes);
        uint64_t end = check_section(device, part->data_offset, part->data_bytes, 0);
        end = check_section(device, part->scale_offset, part->scale_bytes, end);
        end = check_section(device, part->min_offset, part->min_bytes, end);
        assert_true(part->bytes >= end);
        assert_true(part->bytes <= device->max_buffer_bytes);
        row += part->n_rows;
        total += part->bytes;
    }
    assert_int_equal(row, w->shape.dim[0]);
    assert_int_equal(qn_weight_bytes(w), total);
}

/* The token embedding of Llama 3 at core limits: the binding limit decides for most, the buffer limit for fine groups.
 */
static void large_matrix_in_every_storage(void **state)
{
    (void)state;
    static const struct {
        qn_pack_format format;
        uint32_t parts;
    } cases[] = {
        {{QN_STORE_F32, 0, false}, 8},  {{QN_STORE_F16, 0, false}, 4}, {{QN_STORE_BF16, 0, false}, 4},
        {{QN_STORE_Q8, 32, false}, 2},  {{QN_STORE_Q8, 32, true}, 2},  {{QN_STORE_Q8, 16, false}, 2},
        {{QN_STORE_Q4, 32, true}, 1},   {{QN_STORE_Q4, 32, false}, 1}, {{QN_STORE_Q4, 128, false}, 1},
        {{QN_STORE_Q4A, 32, false}, 1}, {{QN_STORE_Q4A, 8, false}, 2}, {{QN_STORE_Q4A, 4, false}, 3},
        {{QN_STORE_Q4, 1, false}, 8},
    };
    qn_device_info device = qn_test_baseline_device();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        qn_weight *w = describe(&device, 128256, 2048, cases[c].format);
        check_parts(&device, w);
        assert_int_equal(w->n_parts, cases[c].parts);
        qn_weight_free(w);
    }
    device.max_buffer_bytes = device.max_binding_bytes = UINT64_C(4) << 30; /* a large GPU splits nothing */
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        qn_weight *w = describe(&device, 128256, 2048, cases[c].format);
        check_parts(&device, w);
        assert_int_equal(w->n_parts, 1);
        qn_weight_free(w);
    }
}

/* Rows around the exact limit: [16384, 2048] f32 is 128 MiB to the byte. */
static void exact_limits(void **state)
{
    (void)state;
    qn_device_info device = qn_test_baseline_device();
    static const struct {
        uint32_t rows, parts, first;
    } cases[] = {{16368, 1, 16368}, {16384, 1, 16384}, {16385, 2, 16384}, {32768, 2, 16384}, {32769, 3, 16384}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        qn_weight *w = describe(&device, cases[c].rows, 2048, (qn_pack_format){.storage = QN_STORE_F32});
        check_parts(&device, w);
        assert_int_equal(w->n_parts, cases[c].parts);
        assert_int_equal(w->parts[0].n_rows, cases[c].first);
        qn_weight_free(w);
    }
}

/* Small limits and ragged shapes: every part but the last is as large as fits. */
static void parts_are_as_large_as_fits(void **state)
{
    (void)state;
    qn_device_info device = qn_test_baseline_device();
    for (uint64_t seed = 0; seed < 400; seed++) {
        qn_pack_format f = {.storage = (qn_storage)(qn_test_random(seed, 0) % 6),
                            .scale_f16 = qn_test_random(seed, 1) % 2};
        if (f.storage >= QN_STORE_Q8) f.group = 1 + qn_test_random(seed, 2) % 70;
        uint32_t n = 1 + qn_test_random(seed, 3) % 700, k = 1 + qn_test_random(seed, 4) % 300;
        qn_pack_size block = qn_pack_bytes(&f, QN_PACK_ROWS, k);
        device.max_binding_bytes = block.data_bytes * (1 + qn_test_random(seed, 5) % 9) + block.scale_bytes;
        device.max_buffer_bytes = 2 * device.max_binding_bytes + block.min_bytes + 1024;
        qn_weight *w = describe(&device, n, k, f);
        check_parts(&device, w);
        if (w->n_parts > 1) {
            uint32_t more = w->parts[0].n_rows + QN_PACK_ROWS;
            qn_pack_size size = qn_pack_bytes(&f, more, k);
            uint64_t bytes =
                qn_round_up_u64(qn_round_up_u64(size.data_bytes, 256) + size.scale_bytes, 256) + size.min_bytes;
            assert_true(size.data_bytes > device.max_binding_bytes || size.scale_bytes > device.max_binding_bytes ||
                        qn_round_up_u64(bytes, 16) > device.max_buffer_bytes);
        }
        for (uint32_t i = 1; i + 1 < w->n_parts; i++) assert_int_equal(w->parts[i].n_rows, w->parts[0].n_rows);
        qn_weight_free(w);
    }
}

static void plain_tensors(void **state)
{
    (void)state;
    qn_device_info device = qn_test_baseline_device();
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_describe(NULL, &device, "norm", false, qn_shape_1(5), NULL, &w));
    assert_int_equal(w->n_parts, 1);
    assert_int_equal(w->parts[0].data_bytes, 20);
    assert_int_equal(w->parts[0].bytes, 32);
    assert_false(w->matrix);
    qn_weight_free(w);
    qn_assert_ok(qn_weight_describe(NULL, &device, "table", false, qn_shape_3(2048, 64, 256), NULL, &w)); /* 128 MiB */
    qn_weight_free(w);
    qn_assert_fails(qn_weight_describe(NULL, &device, "table", false, qn_shape_3(2049, 64, 256), NULL, &w),
                    QN_ERR_LIMIT, "table");
    assert_null(w);
}

static void refusals(void **state)
{
    (void)state;
    qn_device_info device = qn_test_baseline_device();
    qn_pack_format f32 = {.storage = QN_STORE_F32}, q4 = {.storage = QN_STORE_Q4};
    qn_shape huge = {3, {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    qn_weight *w = NULL;
    qn_assert_fails(qn_weight_describe(NULL, &device, "w", true, qn_shape_1(5), &f32, &w), QN_ERR_ARGUMENT, "rank 2");
    qn_assert_fails(qn_weight_describe(NULL, &device, "w", true, qn_shape_2(0, 5), &f32, &w), QN_ERR_ARGUMENT, "zero");
    qn_assert_fails(qn_weight_describe(NULL, &device, "w", false, huge, &f32, &w), QN_ERR_ARGUMENT, "overflows");
    qn_assert_fails(qn_weight_describe(NULL, &device, "w", true, qn_shape_2(8, 64), &q4, &w), QN_ERR_ARGUMENT, "group");
    /* 16 rows of 2^21 + 1 floats: not even one block fits a binding. */
    qn_assert_fails(qn_weight_describe(NULL, &device, "wide", true, qn_shape_2(16, (1u << 21) + 1), &f32, &w),
                    QN_ERR_LIMIT, "wide");
    qn_weight_free(NULL);
}

/* ---- given in other layouts ------------------------------------------------------------------ */

/* The GPU bytes of one weight are those of another. */
static void assert_same_bytes(qn_engine *engine, const qn_weight *a, const qn_weight *b)
{
    assert_int_equal(a->format.scale_f16, b->format.scale_f16);
    uint64_t bytes = a->parts[0].bytes;
    assert_int_equal(b->parts[0].bytes, bytes);
    char *x = calloc(2, bytes), *y = x + bytes;
    assert_non_null(x);
    qn_assert_ok(qn_test_read_buffer(engine->gpu, a->parts[0].buffer, 0, x, bytes));
    qn_assert_ok(qn_test_read_buffer(engine->gpu, b->parts[0].buffer, 0, y, bytes));
    assert_memory_equal(x, y, bytes);
    free(x);
}

/* As ExecuTorch's files hold a 4-bit linear weight and an embedding table: rows of ceil8(K)/2 bytes, scales of ceil4(N)
 * columns; or scales [N, G + gap] and swapped nibbles. The bytes and scales between are garbage. */
static void other_four_bit_layouts(void **state)
{
    (void)state;
    enum { N = 33, K = 36, GROUP = 12, G = 3, ROW = 20, COLUMNS = 36 };
    qn_engine *engine = qn_test_engine(NULL);
    for (int halves = 0; halves < 2; halves++) {
        qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, GROUP, halves, 5);
        uint8_t codes[N * ROW], swapped[N * ROW];
        float *columns = qn_test_floats(G * COLUMNS, 1, 1.0f), *by_row = qn_test_floats(N * (G + 1), 2, 1.0f);
        memset(codes, 0xAB, sizeof codes);
        for (uint32_t n = 0; n < N; n++) {
            memcpy(codes + n * ROW, (const uint8_t *)m.data + n * K / 2, K / 2);
            for (uint32_t g = 0; g < G; g++) columns[g * COLUMNS + n] = by_row[n * (G + 1) + g] = m.scales[g * N + n];
        }
        for (uint32_t i = 0; i < sizeof codes; i++) swapped[i] = (uint8_t)(codes[i] << 4 | codes[i] >> 4);
        qn_weight_desc linear = m.desc, table = m.desc;
        linear.row_bytes = table.row_bytes = ROW;
        linear.data = codes;
        linear.scales = columns;
        linear.scale_stride = COLUMNS;
        table.data = swapped;
        table.high_nibble_first = table.scales_by_row = true;
        table.scales = by_row;
        table.scale_stride = G + 1;
        qn_weight *want = NULL, *a = NULL, *b = NULL;
        qn_assert_ok(qn_weight_create(engine, &m.desc, &want));
        qn_assert_ok(qn_weight_create(engine, &linear, &a));
        qn_assert_ok(qn_weight_create(engine, &table, &b));
        assert_int_equal(want->format.scale_f16, halves);
        assert_same_bytes(engine, want, a);
        assert_same_bytes(engine, want, b);
        qn_weight_free(want);
        qn_weight_free(a);
        qn_weight_free(b);
        qn_test_matrix_free(&m);
        free(columns);
        free(by_row);
    }
    qn_engine_close(engine);
}

/* b[K, N] of aten.mm is the weight [N, K] of linear. */
static void transposed_f32(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {{1, 1, 0}, {16, 32, 0}, {17, 33, 3}, {40, 5, 1}, {5, 100, 0}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint32_t n = shapes[i][0], k = shapes[i][1], stride = n + shapes[i][2];
        qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_F32, n, k, 0, false, i);
        float *turned = qn_test_floats((size_t)k * stride, 9, 1.0f);
        for (uint32_t r = 0; r < n; r++)
            for (uint32_t e = 0; e < k; e++) turned[e * stride + r] = ((const float *)m.data)[r * k + e];
        qn_weight_desc desc = m.desc;
        desc.data = turned;
        desc.transposed = true;
        desc.row_bytes = shapes[i][2] ? stride * 4 : 0;
        qn_weight *want = NULL, *got = NULL;
        qn_assert_ok(qn_weight_create(engine, &m.desc, &want));
        qn_assert_ok(qn_weight_create(engine, &desc, &got));
        assert_same_bytes(engine, want, got);
        qn_weight_free(want);
        qn_weight_free(got);
        qn_test_matrix_free(&m);
        free(turned);
    }
    qn_engine_close(engine);
}

static void refused_layouts(void **state)
{
    (void)state;
    enum { N = 4, K = 12 };
    static const float zeros[N * K];
    static const struct {
        qn_weight_desc desc;
        const char *text;
    } cases[] = {
        {{.kind = QN_WEIGHT_F32, .matrix = true, .row_bytes = 47}, "rows of 47 bytes do not hold 48"},
        {{.kind = QN_WEIGHT_F32, .matrix = true, .transposed = true, .row_bytes = 15}, "rows of 15 bytes"},
        {{.kind = QN_WEIGHT_F32, .matrix = true, .scales_by_row = true}, "quantized kinds"},
        {{.kind = QN_WEIGHT_F32, .matrix = true, .high_nibble_first = true}, "4-bit kinds"},
        {{.kind = QN_WEIGHT_F32, .row_bytes = 48}, "plain tensors"},
        {{.kind = QN_WEIGHT_F16, .transposed = true}, "only f32"},
        {{.kind = QN_WEIGHT_Q8, .group = 4, .high_nibble_first = true}, "4-bit kinds"},
        {{.kind = QN_WEIGHT_Q4, .group = 4, .row_bytes = 5}, "rows of 5 bytes"},
        {{.kind = QN_WEIGHT_Q4, .group = 4, .scale_stride = 3}, "hold 4 columns"},
        {{.kind = QN_WEIGHT_Q4, .group = 4, .scales_by_row = true, .scale_stride = 2}, "hold 3 columns"},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_weight_desc desc = cases[i].desc;
        desc.shape = qn_shape_2(N, K);
        desc.data = zeros;
        if (desc.group) desc.scales = zeros;
        qn_weight *w = NULL;
        qn_assert_fails(qn_weight_create(engine, &desc, &w), QN_ERR_ARGUMENT, cases[i].text);
        assert_null(w);
    }
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_matrix_in_every_storage),
        cmocka_unit_test(exact_limits),
        cmocka_unit_test(parts_are_as_large_as_fits),
        cmocka_unit_test(plain_tensors),
        cmocka_unit_test(refusals),
        cmocka_unit_test(other_four_bit_layouts),
        cmocka_unit_test(transposed_f32),
        cmocka_unit_test(refused_layouts),
    };
    return cmocka_run_group_tests_name("weight", tests, NULL, NULL);
}
