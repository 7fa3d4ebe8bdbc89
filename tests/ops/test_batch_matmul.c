/* matmul of two tensors on the software device, every kernel row against the plain reference. */
#include "ops/batch_matmul_ref.h"
#include "ops/op.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_matmul_kernels;

/* Within 1e-5 of the value; where terms cancel, within 4e-7 of the sum of their magnitudes. */
static void compare(const char *what, const float *got, const double *want, const double *size, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= 1e-5 * fabs(want[i]) || error <= 4e-7 * size[i]))
            fail_msg("%s: element %zu of %zu is %.9g, not %.9g (magnitude %g)", what, i, n, (double)got[i], want[i],
                     size[i]);
    }
}

typedef struct matmul_case {
    qn_shape a, b;
    bool transpose_b;
} matmul_case;

/* Runs the graph's product at live shapes. low: the smallest value of the data (-1: terms cancel). */
static void run(qn_graph *g, const qn_value v[3], const matmul_case *c, float scale, float low)
{
    size_t na = (size_t)qn_shape_count(&c->a), nb = (size_t)qn_shape_count(&c->b);
    float *a = qn_test_floats(na, 1, 1.0f), *b = qn_test_floats(nb, 2, 1.0f);
    if (low >= 0) {
        for (size_t i = 0; i < na; i++) a[i] = fabsf(a[i]) + low;
        for (size_t i = 0; i < nb; i++) b[i] = fabsf(b[i]) + low;
    }
    size_t n = na / c->a.dim[c->a.rank - 1] * nb; /* more than enough */
    double *want = calloc(n, sizeof *want), *size = calloc(n, sizeof *size);
    assert_true(want && size);
    qn_shape out = qn_matmul_ref(a, c->a, b, c->b, c->transpose_b, (double)scale, want, size);
    qn_assert_ok(qn_graph_set_input(g, v[0], c->a, a));
    qn_assert_ok(qn_graph_set_input(g, v[1], c->b, b));
    const float *got = qn_test_run(g, v[2], out);
    char what[200], at[64], bt[64];
    snprintf(what, sizeof what, "%s %s . %s%s", qn_graph_dispatch(g, 0).kernel, qn_shape_text(&c->a, at, sizeof at),
             qn_shape_text(&c->b, bt, sizeof bt), c->transpose_b ? "^T" : "");
    compare(what, got, want, size, (size_t)qn_shape_count(&out));
    free(a);
    free(b);
    free(want);
    free(size);
}

static qn_graph *build(qn_engine *engine, const matmul_case *most, float scale, qn_value v[3])
{
    qn_graph *g = qn_test_graph(engine);
    v[0] = qn_graph_input(g, "a", QN_F32, most->a);
    v[1] = qn_graph_input(g, "b", QN_F32, most->b);
    v[2] = qn_matmul(g, v[0], v[1], most->transpose_b, scale);
    qn_graph_output(g, v[2], "y");
    qn_assert_ok(qn_graph_build(g));
    return g;
}

/* Matrices [m, k] and [k, n] with these batches. */
static matmul_case sized(const uint32_t mnk[3], qn_shape a_batch, qn_shape b_batch, bool transpose_b)
{
    matmul_case c = {a_batch, b_batch, transpose_b};
    c.a.dim[c.a.rank++] = mnk[0];
    c.a.dim[c.a.rank++] = mnk[2];
    c.b.dim[c.b.rank++] = transpose_b ? mnk[1] : mnk[2];
    c.b.dim[c.b.rank++] = transpose_b ? mnk[2] : mnk[1];
    return c;
}

static const uint32_t sizes[][3] = {{1, 1, 1},   {1, 64, 64},  {1, 33, 7},   {2, 3, 5},     {4, 64, 16}, {5, 68, 12},
                                    {9, 31, 66}, {33, 65, 35}, {64, 64, 64}, {70, 132, 40}, {3, 4, 200}, {1, 100, 300}};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

static void check_route(const char *route)
{
    qn_engine *engine = qn_test_engine(route);
    bool forced = route == NULL;
    for (size_t i = 0; i < N_SIZES; i++)
        for (int t = 0; t < 2; t++) {
            static const qn_shape batches[] = {{0, {0}}, {1, {3}}};
            matmul_case c = sized(sizes[i], batches[i % 2], batches[i % 2], t);
            qn_value v[3];
            qn_graph *g = build(engine, &c, 0.5f, v);
            run(g, v, &c, 0.5f, -1.0f);
            forced = forced || strcmp(qn_graph_dispatch(g, 0).kernel, route) == 0;
            qn_graph_close(g);
        }
    assert_true(forced);
    qn_engine_close(engine);
}

static void every_route(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_matmul_kernels.n_rows; i++) check_route(qn_matmul_kernels.rows[i].name);
}

/* Batches of rank 0 to 2, of one size or repeated. */
static void batches(void **state)
{
    (void)state;
    static const qn_shape shapes[][2] = {
        {{0, {0}}, {1, {3}}},    {{1, {3}}, {0, {0}}},       {{1, {1}}, {1, {4}}},    {{2, {2, 3}}, {2, {2, 3}}},
        {{2, {2, 3}}, {1, {3}}}, {{2, {2, 1}}, {2, {1, 3}}}, {{2, {1, 3}}, {0, {0}}}, {{2, {2, 3}}, {2, {2, 1}}},
    };
    static const uint32_t mnk[][3] = {{6, 12, 8}, {1, 10, 9}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int k = 0; k < 4; k++) {
            matmul_case c = sized(mnk[k / 2], shapes[i][0], shapes[i][1], k % 2);
            qn_value v[3];
            qn_graph *g = build(engine, &c, 1.0f, v);
            run(g, v, &c, 1.0f, -1.0f);
            qn_graph_close(g);
        }
    qn_engine_close(engine);
}

/* One graph at live shapes that differ in every dimension. */
static void live_shapes(void **state)
{
    (void)state;
    static const char *const routes[] = {NULL, "matmul.tile", "matmul.few", "matmul.tile_narrow_any"};
    static const uint32_t most[3] = {70, 72, 80};
    static const uint32_t live[][3] = {{70, 72, 80}, {1, 72, 80}, {1, 71, 80}, {5, 72, 79}, {69, 4, 4},
                                       {2, 1, 1},    {4, 64, 8},  {1, 1, 80},  {70, 72, 80}};
    for (size_t r = 0; r < sizeof routes / sizeof routes[0]; r++) {
        qn_engine *engine = qn_test_engine(routes[r]);
        for (int t = 0; t < 2; t++) {
            matmul_case c = sized(most, (qn_shape){2, {2, 3}}, (qn_shape){2, {2, 3}}, t);
            qn_value v[3];
            qn_graph *g = build(engine, &c, 0.125f, v);
            for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
                qn_shape batch = {2, {1 + (uint32_t)i % 2, 3 - (uint32_t)i % 3}};
                matmul_case l = sized(live[i], batch, batch, t);
                run(g, v, &l, 0.125f, -1.0f);
            }
            qn_graph_close(g);
        }
        qn_engine_close(engine);
    }
}

/* Sums of 100,000 terms keep 1e-5, and no loop ends early. */
static void long_lines(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        uint32_t mnk[3];
    } cases[] = {
        {NULL, {1, 4, 100000}},          {NULL, {4, 5, 100003}},          {NULL, {9, 4, 100000}},
        {"matmul.gemv", {1, 4, 100000}}, {"matmul.few", {3, 8, 100000}},  {"matmul.tile_narrow", {33, 4, 40000}},
        {"matmul.tile", {9, 4, 8192}},   {"matmul.gemv", {1, 4, 400000}}, {NULL, {2, 3, 300001}},
        {"matmul.tile", {2, 4, 100000}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_engine *engine = qn_test_engine(cases[i].route);
        for (int t = 0; t < 2; t++) {
            matmul_case c = sized(cases[i].mnk, (qn_shape){0}, (qn_shape){0}, t);
            qn_value v[3];
            qn_graph *g = build(engine, &c, 1.0f, v);
            run(g, v, &c, 1.0f, 0.1f);
            qn_graph_close(g);
        }
        qn_engine_close(engine);
    }
}

static void weight_operands(void **state)
{
    (void)state;
    float a[2 * 5], b[5 * 3];
    double want[6];
    qn_test_fill(a, 10, 1, 1.0f);
    qn_test_fill(b, 15, 2, 1.0f);
    qn_matmul_ref(a, qn_shape_2(2, 5), b, qn_shape_2(5, 3), false, 1.0, want, NULL);
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *wa = qn_test_plain(engine, "wa", qn_shape_2(2, 5), a),
              *wb = qn_test_plain(engine, "wb", qn_shape_2(5, 3), b);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(2, 5));
    qn_value y = qn_matmul(g, x, qn_graph_weight(g, wb), false, 1.0f);
    qn_value z = qn_matmul(g, qn_graph_weight(g, wa), qn_graph_weight(g, wb), false, 1.0f);
    qn_graph_output(g, y, "y");
    qn_graph_output(g, z, "z");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(2, 5), a));
    qn_test_compare("weight b", qn_test_run(g, y, qn_shape_2(2, 3)), want, 6, (qn_tolerance){1e-6, 1e-6});
    qn_test_compare("two weights", qn_test_run(g, z, qn_shape_2(2, 3)), want, 6, (qn_tolerance){1e-6, 1e-6});
    qn_graph_close(g);
    qn_weight_free(wa);
    qn_weight_free(wb);
    qn_engine_close(engine);
}

/* ---- plans without a device ------------------------------------------------------------------ */

/* The row that a GPU takes. */
static void routes_of_a_gpu(void **state)
{
    (void)state;
    static const struct {
        uint32_t batch, m, n, k;
        bool transpose_b;
        const char *row;
        uint32_t grid[2];
    } cases[] = {
        {32, 1, 4096, 64, true, "matmul.gemv", {2048, 1}},
        {32, 1, 4095, 64, true, "matmul.gemv", {2048, 1}},
        {32, 1, 64, 4095, false, "matmul.gemv_any", {32, 1}},
        {32, 8, 64, 128, false, "matmul.few", {64, 1}},
        {32, 9, 64, 128, false, "matmul.tile_narrow", {64, 1}},
        {32, 512, 512, 64, true, "matmul.tile", {2048, 1}},
        {32, 512, 510, 64, false, "matmul.tile_any", {2048, 1}},
        {4, 512, 512, 9000, true, "matmul.tile_narrow", {1024, 1}},
        {4096, 4, 64 * 17, 16, true, "matmul.few", {34816, 2}},
    };
    qn_test_plan t;
    for (int transposed = 0; transposed < 2; transposed++) {
        qn_test_plan_init(&t, QN_OP_MATMUL);
        t.node.attrs.matmul.scale = 1.0f;
        t.node.attrs.matmul.transpose_b = transposed;
        t.device.max_binding_bytes = UINT64_C(8) << 30;
        qn_value a = qn_test_plan_tensor(&t, "a", QN_F32, qn_shape_3(4096, 512, 1 << 9));
        qn_value b = qn_test_plan_tensor(&t, "b", QN_F32, qn_shape_3(4096, 512, 1 << 9));
        qn_assert_ok(qn_test_plan_build(&t));
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            if (cases[i].transpose_b != (bool)transposed) continue;
            uint32_t batch = cases[i].batch, n = cases[i].n, k = cases[i].k;
            t.tensors[a].live = qn_shape_3(batch, cases[i].m, k);
            t.tensors[b].live = transposed ? qn_shape_3(batch, n, k) : qn_shape_3(batch, k, n);
            qn_assert_ok(qn_test_plan_live(&t));
            assert_int_equal(t.plan.n_dispatches, 1);
            assert_string_equal(t.plan.dispatches[0].row->name, cases[i].row);
            assert_int_equal(t.plan.dispatches[0].grid[0], cases[i].grid[0]);
            assert_int_equal(t.plan.dispatches[0].grid[1], cases[i].grid[1]);
        }
        qn_test_plan_free(&t);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_shape a, b;
        bool transpose_b;
        qn_dtype dtype;
        qn_code code;
        const char *text;
    } cases[] = {
        {{2, {3, 4}}, {2, {5, 6}}, false, QN_F32, QN_ERR_ARGUMENT, "[3,4] and b[5,6] do not agree in K"},
        {{2, {3, 4}}, {2, {4, 6}}, true, QN_F32, QN_ERR_ARGUMENT, "(transposed) do not agree in K"},
        {{1, {4}}, {2, {4, 6}}, false, QN_F32, QN_ERR_ARGUMENT, "rank of 2 to 4"},
        {{5, {1, 1, 1, 3, 4}}, {2, {4, 6}}, false, QN_F32, QN_ERR_ARGUMENT, "rank of 2 to 4"},
        {{3, {2, 3, 4}}, {3, {3, 4, 6}}, false, QN_F32, QN_ERR_ARGUMENT, "do not broadcast"},
        {{2, {3, 4}}, {2, {4, 6}}, false, QN_I32, QN_ERR_ARGUMENT, "not of type f32"},
        {{2, {1 << 16, 1}}, {2, {1, 1 << 15}}, false, QN_F32, QN_ERR_LIMIT, "2^31 elements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_MATMUL);
        t.node.attrs.matmul.transpose_b = cases[i].transpose_b;
        qn_test_plan_tensor(&t, "a", QN_F32, cases[i].a);
        qn_test_plan_tensor(&t, "b", cases[i].dtype, cases[i].b);
        qn_assert_fails(qn_test_plan_build(&t), cases[i].code, cases[i].text);
        qn_test_plan_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route), cmocka_unit_test(batches),         cmocka_unit_test(live_shapes),
        cmocka_unit_test(long_lines),  cmocka_unit_test(weight_operands), cmocka_unit_test(routes_of_a_gpu),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("batch_matmul", tests, NULL, NULL);
}
