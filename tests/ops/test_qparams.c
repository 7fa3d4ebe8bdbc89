/* choose_qparams and quantize_rows on the software device, every kernel row forced: to the bit. */
#include "ops/reduce_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_choose_qparams_kernels, qn_quantize_rows_kernels;

typedef struct fixture {
    qn_graph *g;
    qn_value x, scale, zero, y;
} fixture;

static fixture build(qn_engine *engine, qn_shape max, float eps)
{
    fixture f = {.g = qn_test_graph(engine)};
    f.x = qn_graph_input(f.g, "x", QN_F32, max);
    f.scale = qn_choose_qparams(f.g, f.x, eps, &f.zero);
    f.y = qn_quantize_rows(f.g, f.x, f.scale, f.zero);
    qn_graph_output(f.g, f.scale, "scale");
    qn_graph_output(f.g, f.zero, "zero point");
    qn_graph_output(f.g, f.y, "y");
    qn_assert_ok(qn_graph_build(f.g));
    return f;
}

static void check(const fixture *f, const qn_shape *live, const float *x, float eps)
{
    uint32_t k = live->dim[live->rank - 1], m = (uint32_t)qn_shape_count(live) / k;
    qn_shape leading = *live;
    leading.rank--;
    float *row = calloc(k, sizeof *row);
    qn_assert_ok(qn_graph_set_input(f->g, f->x, *live, x));
    const float *scale = qn_test_run(f->g, f->scale, leading), *y = qn_graph_output_data(f->g, f->y, NULL);
    const int32_t *zero = qn_graph_output_data(f->g, f->zero, NULL);
    for (uint32_t i = 0; i < m; i++) {
        float s;
        int32_t z;
        qn_choose_qparams_ref(x + (size_t)i * k, k, eps, &s, &z);
        if (memcmp(&scale[i], &s, sizeof s) != 0 || zero[i] != z)
            fail_msg("row %u of %u: scale %a, zero point %d, not %a and %d", i, k, (double)scale[i], zero[i], (double)s,
                     z);
        qn_quantize_row_ref(x + (size_t)i * k, k, s, z, row);
        for (uint32_t e = 0; e < k; e++)
            if (row[e] != y[(size_t)i * k + e])
                fail_msg("row %u of %u: %a becomes %a, not %a (scale %a, zero point %d)", i, k,
                         (double)x[(size_t)i * k + e], (double)y[(size_t)i * k + e], (double)row[e], (double)s, z);
    }
    free(row);
}

static void check_route(const char *route)
{
    static const uint32_t lengths[] = {1, 2, 3, 4, 31, 64, 65, 512, 1000};
    qn_engine *engine = qn_test_engine(route);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint32_t k = lengths[i];
        const qn_shape live[] = {{3, {2, 7, k}}, {3, {1, 1, k}}, {3, {2, 3, k}}, {3, {2, 7, k > 1 ? k - 1 : 1}}};
        fixture f = build(engine, live[0], 0.0f);
        for (uint64_t seed = 0; seed < 4; seed++) {
            float *x = qn_test_floats((size_t)14 * k, seed, seed == 3 ? 1e-3f : 5.0f);
            for (size_t e = 0; e < (size_t)14 * k && seed; e++) x[e] += seed == 1 ? 6.0f : seed == 2 ? -2.5f : 0.0f;
            for (size_t n = 0; n < 4; n++) check(&f, &live[n], x, FLT_EPSILON);
            free(x);
        }
        qn_graph_close(f.g);
    }
    qn_engine_close(engine);
}

static void every_row(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_choose_qparams_kernels.n_rows; i++) check_route(qn_choose_qparams_kernels.rows[i].name);
    for (uint32_t i = 0; i < qn_quantize_rows_kernels.n_rows; i++) check_route(qn_quantize_rows_kernels.rows[i].name);
}

/* Many small rows of every magnitude: each is a division to round, and elements in the middle of two codes. */
static void exact_divisions(void **state)
{
    (void)state;
    enum { ROWS = 40000, K = 4 };
    float *x = qn_test_floats((size_t)ROWS * K, 11, 1.0f);
    for (size_t i = 0; i < (size_t)ROWS * K; i++) x[i] = ldexpf(x[i], (int)(qn_test_random(12, i / K) % 60) - 30);
    for (size_t i = 0; i < (size_t)ROWS / 2; i++) { /* a range of 255 steps of 2^e, and halves of it */
        float step = ldexpf(1.0f, (int)(i % 21) - 10);
        x[i * K] = step * 127.0f;
        x[i * K + 1] = step * -128.0f;
        x[i * K + 2] = step * ((float)(i % 255) - 127.5f);
        x[i * K + 3] = nextafterf(x[i * K + 2], i % 2 ? 1e9f : -1e9f);
    }
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = build(engine, qn_shape_2(ROWS, K), 0.0f);
    check(&f, &(qn_shape){2, {ROWS, K}}, x, FLT_EPSILON);
    qn_graph_close(f.g);
    qn_engine_close(engine);
    free(x);
}

/* Rows of zeros, of one sign, too small for eps, and of the largest floats; with their numbers written out. The float
 * 2 / 255 is a bit large, so that 1 / scale stays below 127.5. */
static void literal_numbers(void **state)
{
    (void)state;
    static const float x[][2] = {{0, 0},          {255, 1},     {-255, -1},    {-1, 1},
                                 {1e-9f, -1e-9f}, {FLT_MAX, 0}, {-FLT_MAX, 0}, {-128, 127}};
    static const float scale[] = {FLT_EPSILON, 1, 1, 2.0f / 255, FLT_EPSILON, FLT_MAX / 255, FLT_MAX / 255, 1};
    static const int32_t zero[] = {-128, -128, 127, -1, -128, -128, 127, 0};
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = build(engine, qn_shape_2(8, 2), 0.0f);
    check(&f, &(qn_shape){2, {8, 2}}, &x[0][0], FLT_EPSILON);
    assert_memory_equal(qn_graph_output_data(f.g, f.scale, NULL), scale, sizeof scale);
    assert_memory_equal(qn_graph_output_data(f.g, f.zero, NULL), zero, sizeof zero);
    qn_graph_close(f.g);
    f = build(engine, qn_shape_2(8, 2), 0.5f); /* another eps */
    check(&f, &(qn_shape){2, {8, 2}}, &x[0][0], 0.5f);
    qn_graph_close(f.g);
    qn_engine_close(engine);
}

static void refusals(void **state)
{
    (void)state;
    qn_test_plan t;
    static const float epsilons[] = {-1.0f, 1e-40f, INFINITY, NAN};
    for (size_t i = 0; i < sizeof epsilons / sizeof epsilons[0]; i++) {
        qn_test_plan_init(&t, QN_OP_CHOOSE_QPARAMS);
        qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(3, 4));
        t.node.attrs.qparams.eps = epsilons[i];
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, "not a normal float above 0");
        qn_test_plan_free(&t);
    }
    static const struct {
        qn_shape x, scale, zero;
        qn_dtype dtype;
        const char *text;
    } cases[] = {
        {{2, {3, 4}},
         {1, {4}},
         {1, {3}},
         QN_I32,
         "scale[4] (f32) and zero point[3] (i32) do not fit the rows of x[3,4]"},
        {{2, {3, 4}}, {1, {3}}, {1, {1}}, QN_I32, "zero point[1]"},
        {{2, {3, 4}}, {1, {3}}, {1, {3}}, QN_F32, "(i32) do not fit"},
        {{0}, {0}, {0}, QN_I32, "rows of x[]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan_init(&t, QN_OP_QUANTIZE_ROWS);
        qn_test_plan_tensor(&t, "x", QN_F32, cases[i].x);
        qn_test_plan_tensor(&t, "scale", QN_F32, cases[i].scale);
        qn_test_plan_tensor(&t, "zero", cases[i].dtype, cases[i].zero);
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(exact_divisions),
        cmocka_unit_test(literal_numbers),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("qparams", tests, NULL, NULL);
}
