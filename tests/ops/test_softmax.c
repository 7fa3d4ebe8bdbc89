/* softmax, log_softmax and cumsum along any dimension on the software device, every kernel row forced. */
#include "ops/reduce_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_softmax_kernels, qn_cumsum_kernels;

static void cumsum_ref(const double *v, size_t n, double *y)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) y[i] = sum += v[i];
}

static qn_value add(qn_graph *g, qn_op op, qn_value x, int32_t dim)
{
    return op == QN_OP_CUMSUM    ? qn_cumsum(g, x, dim)
           : op == QN_OP_SOFTMAX ? qn_softmax(g, x, dim)
                                 : qn_log_softmax(g, x, dim);
}

static double *reference(qn_op op, const qn_shape *shape, uint32_t dim, const float *x)
{
    size_t total = qn_shape_count(shape), length = qn_line_ref(shape, 1u << dim, 0, NULL);
    size_t *at = calloc(length, sizeof *at);
    double *v = calloc(length, sizeof *v), *y = calloc(length, sizeof *y), *want = calloc(total, sizeof *want);
    for (size_t line = 0; line < total / length; line++) {
        qn_line_ref(shape, 1u << dim, line, at);
        for (size_t i = 0; i < length; i++) v[i] = (double)x[at[i]];
        if (op == QN_OP_CUMSUM)
            cumsum_ref(v, length, y);
        else
            qn_softmax_ref(v, length, op == QN_OP_LOG_SOFTMAX, y);
        for (size_t i = 0; i < length; i++) want[at[i]] = y[i];
    }
    free(at);
    free(v);
    free(y);
    return want;
}

static void check(qn_engine *engine, qn_op op, const qn_shape *max, int32_t dim, const qn_shape *live, size_t n_live,
                  const float *x)
{
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, *max), out = add(g, op, in, dim);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    uint32_t from_start = (uint32_t)(dim < 0 ? dim + (int32_t)max->rank : dim);
    for (size_t i = 0; i < n_live; i++) {
        char what[128], text[96];
        snprintf(what, sizeof what, "%s of %s along %d", qn_ops[op].name, qn_shape_text(&live[i], text, sizeof text),
                 dim);
        qn_assert_ok(qn_graph_set_input(g, in, live[i], x));
        double *want = reference(op, &live[i], from_start, x);
        const float *got = qn_test_run(g, out, live[i]);
        qn_test_compare(what, got, want, qn_shape_count(&live[i]),
                        (qn_tolerance){op == QN_OP_CUMSUM ? 2e-4 : 1e-6, 2e-5});
        free(want);
    }
    qn_graph_close(g);
}

static const qn_op ops[] = {QN_OP_SOFTMAX, QN_OP_LOG_SOFTMAX, QN_OP_CUMSUM};
enum { N_OPS = sizeof ops / sizeof ops[0] };

static void check_route(const char *route)
{
    static const qn_shape max = {2, {5, 1000}}, tall = {2, {1000, 5}}, wide = {2, {20, 40}};
    static const qn_shape live[] = {{2, {5, 1000}}, {2, {1, 1}},  {2, {5, 2}},  {2, {4, 32}},  {2, {5, 33}},
                                    {2, {2, 63}},   {2, {5, 64}}, {2, {5, 65}}, {2, {3, 514}}, {2, {3, 516}}};
    static const qn_shape tall_live[] = {{2, {1000, 5}}, {2, {1, 5}}, {2, {64, 1}}, {2, {999, 3}}};
    static const qn_shape wide_live[] = {{2, {20, 40}}, {2, {20, 31}}, {2, {1, 40}}};
    float *x = qn_test_floats(5000, 1, 8.0f);
    qn_engine *engine = qn_test_engine(route);
    for (size_t i = 0; i < N_OPS; i++) {
        check(engine, ops[i], &max, -1, live, sizeof live / sizeof live[0], x);
        check(engine, ops[i], &tall, 0, tall_live, 4, x);
        check(engine, ops[i], &wide, 0, wide_live, 3, x);
    }
    qn_engine_close(engine);
    free(x);
}

static void every_row(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_softmax_kernels.n_rows; i++) check_route(qn_softmax_kernels.rows[i].name);
    for (uint32_t i = 0; i < qn_cumsum_kernels.n_rows; i++) check_route(qn_cumsum_kernels.rows[i].name);
}

static void every_dimension(void **state)
{
    (void)state;
    static const qn_shape max = {4, {3, 4, 5, 36}}, deep = {8, {2, 3, 2, 2, 3, 2, 2, 4}};
    static const qn_shape live[] = {{4, {3, 4, 5, 36}}, {4, {1, 4, 1, 36}}, {4, {2, 1, 5, 7}}, {4, {3, 4, 1, 1}}};
    static const qn_shape deep_live[] = {{8, {2, 3, 2, 2, 3, 2, 2, 4}}, {8, {2, 1, 2, 2, 1, 2, 1, 3}}};
    float *x = qn_test_floats(3000, 1, 3.0f);
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < N_OPS; i++) {
        for (int32_t dim = -4; dim < 4; dim++) check(engine, ops[i], &max, dim, live, 4, x);
        for (int32_t dim = 0; dim < 8; dim += 3) check(engine, ops[i], &deep, dim, deep_live, 2, x);
        check(engine, ops[i], &(qn_shape){0}, 0, &(qn_shape){0}, 1, x);
    }
    qn_engine_close(engine);
    free(x);
}

static void long_lines(void **state)
{
    (void)state;
    static const qn_shape max = {2, {2, 100001}};
    static const qn_shape live[] = {{2, {2, 100000}}, {2, {1, 100001}}, {2, {2, 65536}}};
    float *x = qn_test_floats(200002, 1, 3.0f);
    qn_engine *engine = qn_test_engine(NULL);
    check(engine, QN_OP_SOFTMAX, &max, 1, live, 3, x);
    check(engine, QN_OP_LOG_SOFTMAX, &max, 1, live, 3, x);
    for (size_t i = 0; i < 200002; i++) x[i] += 3.5f;
    check(engine, QN_OP_CUMSUM, &max, 1, live, 3, x);
    free(x);
    qn_engine_close(engine);
}

/* Large numbers, masked elements, and lines that are masked as a whole or hold an infinity. */
static void extremes(void **state)
{
    (void)state;
    static const float x[] = {1e30f,     1e30f,     -1e30f,    0,         -INFINITY, 2,        -INFINITY, 2,
                              -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1,         INFINITY, 2,         3,
                              -1000,     -1000,     -2000,     -1000,     88,        89,       90,        91};
    static const qn_shape shape = {2, {6, 4}};
    qn_engine *engine = qn_test_engine(NULL);
    check(engine, QN_OP_SOFTMAX, &shape, 1, &shape, 1, x);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, shape), out = qn_log_softmax(g, in, 1);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, in, shape, x));
    const float *y = qn_test_run(g, out, shape);
    assert_true(isinf(y[4]) && y[4] < 0 && fabsf(y[5] + logf(2.0f)) < 1e-6f);
    assert_true(isnan(y[8]) && isnan(y[11]));
    assert_true(fabsf(y[16] + logf(3.0f)) < 1e-5f && y[18] < -1000.0f);
    qn_graph_close(g);
    qn_engine_close(engine);
}

static void cumsum_of_integers(void **state)
{
    (void)state;
    static const int32_t x[] = {1, -2, 3, INT32_MAX, 5, 6};
    static const int32_t want[2][6] = {{1, -2, 3, INT32_MIN, 3, 9},
                                       {1, -1, 2, INT32_MAX, INT32_MIN + 4, INT32_MIN + 10}};
    qn_engine *engine = qn_test_engine(NULL);
    for (int32_t dim = 0; dim < 2; dim++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value in = qn_graph_input(g, "x", QN_I32, qn_shape_2(2, 3)), out = qn_cumsum(g, in, dim);
        qn_graph_output(g, out, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(2, 3), x));
        assert_memory_equal(qn_test_run(g, out, qn_shape_2(2, 3)), want[dim], sizeof want[dim]);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_op op;
        qn_dtype dtype;
        int32_t dim;
        const char *text;
    } cases[] = {
        {QN_OP_SOFTMAX, QN_F32, 2, "softmax (node): x[3,4] has no dimension 2"},
        {QN_OP_LOG_SOFTMAX, QN_F32, -3, "log_softmax (node): x[3,4] has no dimension -3"},
        {QN_OP_CUMSUM, QN_I32, 2, "cumsum (node): x[3,4] has no dimension 2"},
        {QN_OP_SOFTMAX, QN_I32, 0, "not of type f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, cases[i].op);
        qn_test_plan_tensor(&t, "x", cases[i].dtype, qn_shape_2(3, 4));
        t.node.attrs.line.dim = cases[i].dim;
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
}

/* A software device cannot finish such a line; a GPU can. */
static void too_long_for_software(void **state)
{
    (void)state;
    for (int software = 0; software < 2; software++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_SOFTMAX);
        t.device.type = software ? QN_ADAPTER_SOFTWARE : QN_ADAPTER_DISCRETE;
        qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_1(20000 * 256 + 1));
        qn_status s = qn_test_plan_build(&t);
        if (software)
            qn_assert_fails(s, QN_ERR_UNSUPPORTED, "lines of 5120001 elements");
        else
            qn_assert_ok(s);
        qn_test_plan_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(every_dimension),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(extremes),
        cmocka_unit_test(cumsum_of_integers),
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_long_for_software),
    };
    return cmocka_run_group_tests_name("softmax", tests, NULL, NULL);
}
