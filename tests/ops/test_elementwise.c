/* add, mul, silu and silu_mul on the software device, both kernel rows, and their plans without a device. */
#include "ops/elementwise_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_elementwise_kernels;

static qn_value build_silu(qn_graph *g, qn_value a, qn_value b)
{
    (void)b;
    return qn_silu(g, a);
}

static const struct {
    const char *name;
    qn_op op;
    qn_value (*build)(qn_graph *g, qn_value a, qn_value b);
} ops[] = {
    {"add", QN_OP_ADD, qn_add},
    {"mul", QN_OP_MUL, qn_mul},
    {"silu", QN_OP_SILU, build_silu},
    {"silu_mul", QN_OP_SILU_MUL, qn_silu_mul},
};
enum { N_OPS = sizeof ops / sizeof ops[0] };

static void reference(qn_op op, const float *a, const float *b, size_t n, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = qn_function_ref(op, (double)a[i], (double)b[i], 0, 0, 0);
}

/* Builds op for [rows, e] and runs it at rows, 1, rows - 1 and again rows. */
static void check(qn_engine *engine, const char *route, size_t op, uint32_t rows, uint32_t e, const float *a,
                  const float *b)
{
    const uint32_t live[] = {rows, 1, rows > 1 ? rows - 1 : 1, rows};
    double *want = calloc((size_t)rows * e, sizeof *want);
    qn_graph *g = qn_test_graph(engine);
    qn_value va = qn_graph_input(g, "a", QN_F32, qn_shape_2(rows, e));
    qn_value vb = qn_graph_input(g, "b", QN_F32, qn_shape_2(rows, e));
    qn_value out = ops[op].build(g, va, vb);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
        qn_shape shape = qn_shape_2(live[i], e);
        uint32_t n = live[i] * e;
        qn_assert_ok(qn_graph_set_input(g, va, shape, a));
        qn_assert_ok(qn_graph_set_input(g, vb, shape, b));
        const float *got = qn_test_run(g, out, shape);
        reference(ops[op].op, a, b, n, want);
        char what[96];
        snprintf(what, sizeof what, "%s, %s: [%u,%u] of %u rows", ops[op].name, route ? route : "default", live[i], e,
                 rows);
        qn_test_compare(what, got, want, n, (qn_tolerance){1e-6, 1e-5});
        uint64_t window = qn_engine_device(engine)->max_binding_bytes / 4 / 64 * 64;
        assert_int_equal(qn_graph_n_dispatches(g), (n + window - 1) / window);
        bool four = n % 4 == 0 && !(route && strcmp(route, "elementwise.scalar") == 0);
        assert_string_equal(qn_graph_dispatch(g, 0).kernel, four ? "elementwise.vec4" : "elementwise.scalar");
    }
    qn_graph_close(g);
    free(want);
}

static void every_op_and_row(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1},   {1, 3},   {3, 1},    {4, 4},   {5, 7},
                                         {1, 256}, {9, 384}, {8, 1023}, {2, 4097}};
    float *a = qn_test_floats(9000, 1, 20.0f), *b = qn_test_floats(9000, 2, 3.0f);
    for (uint32_t r = 0; r <= qn_elementwise_kernels.n_rows; r++) {
        const char *route = r ? qn_elementwise_kernels.rows[r - 1].name : NULL;
        qn_engine *engine = qn_test_engine(route);
        for (size_t op = 0; op < N_OPS; op++)
            for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
                check(engine, route, op, shapes[i][0], shapes[i][1], a, b);
        qn_engine_close(engine);
    }
    free(a);
    free(b);
}

/* A device whose bindings hold 1,000 floats: windows of 960 elements. */
static void windows(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{4, 240}, {1, 961}, {4, 250}, {3, 333}, {5, 1920}, {7, 333}, {11, 700}};
    float *a = qn_test_floats(9600, 1, 2.0f), *b = qn_test_floats(9600, 2, 3.0f);
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4000);
    for (size_t op = 0; op < N_OPS; op++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            check(engine, NULL, op, shapes[i][0], shapes[i][1], a, b);
    qn_engine_close(engine);
    free(a);
    free(b);
}

/* silu far out: no NaN, no infinity. */
static void silu_of_large_numbers(void **state)
{
    (void)state;
    static const float x[] = {0.0f,   -0.0f,   1e-30f,   79.0f, -79.0f, -81.0f,
                              100.0f, -100.0f, -1000.0f, 1e30f, -1e30f, 88.8f};
    static const float ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    qn_engine *engine = qn_test_engine(NULL);
    check(engine, NULL, 2, 3, 4, x, ones);
    check(engine, NULL, 2, 4, 3, x, ones);
    qn_engine_close(engine);
}

/* A constant as the second operand, and one tensor as both. */
static void constant_and_shared_operands(void **state)
{
    (void)state;
    float a[6], w[6];
    double want[6];
    qn_test_fill(a, 6, 1, 1.0f);
    qn_test_fill(w, 6, 2, 1.0f);
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *weight = qn_test_plain(engine, "w", qn_shape_2(2, 3), w);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "a", QN_F32, qn_shape_2(2, 3));
    qn_value scaled = qn_mul(g, in, qn_graph_weight(g, weight)), squared = qn_mul(g, in, in);
    qn_graph_output(g, scaled, "scaled");
    qn_graph_output(g, squared, "squared");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(2, 3), a));
    reference(QN_OP_MUL, a, w, 6, want);
    qn_test_compare("a * w", qn_test_run(g, scaled, qn_shape_2(2, 3)), want, 6, (qn_tolerance){0, 1e-6});
    reference(QN_OP_MUL, a, a, 6, want);
    qn_test_compare("a * a", qn_graph_output_data(g, squared, NULL), want, 6, (qn_tolerance){0, 1e-6});
    qn_graph_close(g);
    qn_weight_free(weight);
    qn_engine_close(engine);
}

static void differing_shapes(void **state)
{
    (void)state;
    float a[20] = {0};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t op = 0; op < N_OPS; op++) {
        if (ops[op].op == QN_OP_SILU) continue;
        qn_graph *g = qn_test_graph(engine);
        qn_value va = qn_graph_input(g, "left", QN_F32, qn_shape_2(4, 5));
        qn_value vb = qn_graph_input(g, "right", QN_F32, qn_shape_2(4, 5));
        qn_value out = ops[op].build(g, va, vb);
        qn_graph_output(g, out, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, va, qn_shape_2(3, 5), a));
        qn_assert_ok(qn_graph_set_input(g, vb, qn_shape_2(4, 5), a));
        qn_status s = qn_test_execute(g);
        qn_assert_fails(s, QN_ERR_ARGUMENT, "left[3,5]");
        qn_assert_fails(s, QN_ERR_ARGUMENT, "right[4,5]");
        qn_assert_ok(qn_graph_set_input(g, vb, qn_shape_2(3, 5), a));
        qn_test_run(g, out, qn_shape_2(3, 5));
        qn_graph_close(g);
        g = qn_test_graph(engine);
        va = qn_graph_input(g, "left", QN_F32, qn_shape_2(4, 5));
        vb = qn_graph_input(g, "right", QN_F32, qn_shape_2(5, 4));
        ops[op].build(g, va, vb);
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "right[5,4]");
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

/* Plans of n elements, without a device. */
static void grids(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        const char *kernel;
        uint32_t x, y, items;
    } cases[] = {
        {1, "elementwise.scalar", 1, 1, 1},
        {1024, "elementwise.vec4", 1, 1, 256},
        {1028, "elementwise.vec4", 2, 1, 257},
        {65535 * 256 - 1, "elementwise.scalar", 65535, 1, 65535 * 256 - 1},
        {65535 * 256 + 1, "elementwise.scalar", 32768, 2, 65535 * 256 + 1},
        {65535 * 1024, "elementwise.vec4", 65535, 1, 65535 * 256},
        {65536 * 1024, "elementwise.vec4", 32768, 2, 65536 * 256},
        {65537 * 1024, "elementwise.vec4", 32769, 2, 65537 * 256},
        {INT32_MAX - 64, "elementwise.scalar", 65028, 129, INT32_MAX - 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_SILU);
        t.device.max_binding_bytes = UINT64_C(8) << 30; /* one window */
        qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_1(INT32_MAX - 63));
        qn_assert_ok(qn_test_plan_build(&t));
        assert_true(t.plan.n_dispatches == 2 && t.plan.max_dispatches == 2); /* both routes are prepared */
        t.tensors[x].live = qn_shape_1(cases[i].n);
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 1);
        const qn_dispatch *d = &t.plan.dispatches[0];
        assert_string_equal(d->row->name, cases[i].kernel);
        assert_int_equal(d->grid[0], cases[i].x);
        assert_int_equal(d->grid[1], cases[i].y);
        assert_int_equal(d->params[0], cases[i].items);
        qn_test_plan_free(&t);
    }
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_SILU);
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(1u << 16, 1u << 15));
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "[65536,32768]");
    qn_test_plan_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_and_row),      cmocka_unit_test(windows),
        cmocka_unit_test(silu_of_large_numbers), cmocka_unit_test(constant_and_shared_operands),
        cmocka_unit_test(differing_shapes),      cmocka_unit_test(grids),
    };
    return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
