/* rms_norm on the software device, every kernel row forced, and its plan without a device. */
#include "ops/norm_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_rms_norm_kernels;

static const qn_tolerance tolerance = {1e-4, 1e-4};

/* A graph built for max_rows rows of e elements, run at each of the live counts. */
static void check_rows(qn_engine *engine, const char *route, uint32_t e, uint32_t max_rows, float eps, float scale)
{
    const uint32_t live[] = {max_rows, 1, 7 < max_rows ? 7 : max_rows, max_rows};
    float *x = qn_test_floats((size_t)max_rows * e, e, scale), *w = qn_test_floats(e, 5, 2.0f);
    double *want = calloc((size_t)max_rows * e, sizeof *want);
    qn_weight *weight = qn_test_plain(engine, "norm", qn_shape_1(e), w);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, qn_shape_3(1, max_rows, e));
    qn_value out = qn_rms_norm(g, in, qn_graph_weight(g, weight), eps);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
        qn_shape shape = qn_shape_3(1, live[i], e);
        qn_assert_ok(qn_graph_set_input(g, in, shape, x));
        const float *got = qn_test_run(g, out, shape);
        qn_rms_norm_ref(x, w, (double)eps, live[i], e, want);
        char what[96];
        snprintf(what, sizeof what, "%s: %u of %u rows of %u", route ? route : "default", live[i], max_rows, e);
        qn_test_compare(what, got, want, (size_t)live[i] * e, tolerance);
        bool four = route && route[strlen(route) - 1] == '4';
        if (route) assert_true(qn_test_dispatched(g, route) == (!four || e % 4 == 0));
    }
    qn_graph_close(g);
    qn_weight_free(weight);
    free(x);
    free(w);
    free(want);
}

static void check_route(const char *route)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 63, 64, 100, 101, 384, 1021, 2048};
    qn_engine *engine = qn_test_engine(route);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_rows(engine, route, sizes[i], 9, 1e-5f, 3.0f);
    check_rows(engine, route, 100, 1, 1e-6f, 1.0f);
    check_rows(engine, route, 64, 8, 1e-5f, 1e-6f); /* eps decides */
    check_rows(engine, route, 64, 8, 1e-5f, 1e15f);
    qn_engine_close(engine);
}

static void every_row(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_rms_norm_kernels.n_rows; i++) check_route(qn_rms_norm_kernels.rows[i].name);
}

/* More rows than a dimension of the grid has. */
static void folded_grid(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    check_rows(engine, NULL, 3, 65537, 1e-5f, 1.0f);
    qn_engine_close(engine);
}

/* Bindings of 4,000 bytes: windows of 64 rows of 15, of 128 rows of 7, and 9 rows of 100 only whole. */
static void windows(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4000);
    check_rows(engine, NULL, 15, 64, 1e-5f, 1.0f);
    check_rows(engine, NULL, 15, 65, 1e-5f, 1.0f);
    check_rows(engine, NULL, 15, 200, 1e-5f, 1.0f);
    check_rows(engine, NULL, 7, 300, 1e-5f, 1.0f);
    check_rows(engine, NULL, 4, 513, 1e-5f, 1.0f);
    check_rows(engine, NULL, 100, 9, 1e-5f, 1.0f);
    qn_engine_close(engine);
}

static void any_rank(void **state)
{
    (void)state;
    static const qn_shape shapes[] = {{1, {20}}, {2, {3, 20}}, {4, {1, 2, 3, 20}}};
    qn_engine *engine = qn_test_engine(NULL);
    float *x = qn_test_floats(120, 1, 1.0f), *w = qn_test_floats(20, 2, 1.0f);
    double want[120];
    qn_weight *weight = qn_test_plain(engine, "norm", qn_shape_1(20), w);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value in = qn_graph_input(g, "x", QN_F32, shapes[i]);
        qn_value out = qn_rms_norm(g, in, qn_graph_weight(g, weight), 1e-5f);
        qn_graph_output(g, out, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, in, shapes[i], x));
        uint32_t n = (uint32_t)qn_shape_count(&shapes[i]);
        qn_rms_norm_ref(x, w, (double)1e-5f, n / 20, 20, want);
        qn_test_compare("rank", qn_test_run(g, out, shapes[i]), want, n, tolerance);
        qn_graph_close(g);
    }
    qn_weight_free(weight);
    qn_engine_close(engine);
    free(x);
    free(w);
}

static void refusals(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_weight *w = NULL, *matrix = NULL, *narrow = NULL;
    qn_device_info device = qn_test_baseline_device();
    qn_pack_format f32 = {.storage = QN_STORE_F32};
    qn_assert_ok(qn_weight_describe(NULL, &device, "norm", false, qn_shape_1(64), NULL, &w));
    qn_assert_ok(qn_weight_describe(NULL, &device, "narrow", false, qn_shape_1(60), NULL, &narrow));
    qn_assert_ok(qn_weight_describe(NULL, &device, "matrix", true, qn_shape_2(1, 64), &f32, &matrix));
    const struct {
        qn_shape x;
        const qn_weight *w;
        float eps;
        qn_dtype dtype;
        const char *text;
    } cases[] = {
        {qn_shape_2(3, 65), w, 1e-5f, QN_F32, "w[64] does not fit the last dimension of x[3,65]"},
        {{0}, w, 1e-5f, QN_F32, "w[64] does not fit the last dimension of x[]"},
        {qn_shape_2(3, 64), w, -1.0f, QN_F32, "eps = -1"},
        {qn_shape_2(3, 64), matrix, 1e-5f, QN_F32, "packed matrix"},
        {qn_shape_2(3, 64), w, 1e-5f, QN_I32, "not of type f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan_init(&t, QN_OP_RMS_NORM);
        qn_test_plan_tensor(&t, "x", cases[i].dtype, cases[i].x);
        qn_test_plan_weight(&t, cases[i].w);
        t.node.attrs.norm.eps = cases[i].eps;
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
    qn_test_plan_init(&t, QN_OP_RMS_NORM);
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(1u << 25, 64));
    qn_test_plan_weight(&t, w);
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "2^31");
    qn_test_plan_free(&t);
    qn_test_plan_init(&t, QN_OP_RMS_NORM);
    t.device.max_binding_bytes = 256; /* a row fits, but the next one would not begin at a multiple of 256 bytes */
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(17, 60));
    qn_test_plan_weight(&t, narrow);
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "17 rows of 240 bytes");
    qn_test_plan_free(&t);
    qn_weight_free(w);
    qn_weight_free(narrow);
    qn_weight_free(matrix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row), cmocka_unit_test(folded_grid), cmocka_unit_test(windows),
        cmocka_unit_test(any_rank),  cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("norm", tests, NULL, NULL);
}
