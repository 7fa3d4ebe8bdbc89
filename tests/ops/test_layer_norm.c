/* layer_norm and group_norm on the software device, every kernel row forced, against float64. */
#include "ops/reduce_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_layer_norm_kernels;

static const qn_tolerance tolerance = {2e-5, 2e-5};

typedef struct norm {
    qn_op op;
    uint32_t n; /* normalized dimensions, or groups */
    bool weight, bias, stats;
    float eps;
} norm;

typedef struct expected {
    double *y, *mean, *rstd;
    size_t lines;
} expected;

/* w and b by channel, or by element of a line. */
static expected reference(const norm *c, const qn_shape *shape, const float *x, const float *w, const float *b)
{
    size_t total = qn_shape_count(shape), length = 1, channels = 1;
    for (uint32_t i = shape->rank - (c->op == QN_OP_LAYER_NORM ? c->n : 0); i < shape->rank; i++)
        length *= shape->dim[i];
    if (c->op == QN_OP_GROUP_NORM) {
        channels = shape->dim[1];
        length = total / shape->dim[0] / c->n;
    }
    size_t spatial = total / shape->dim[0] / channels;
    expected e = {calloc(total, sizeof(double)), NULL, NULL, total / length};
    e.mean = calloc(e.lines, sizeof(double));
    e.rstd = calloc(e.lines, sizeof(double));
    for (size_t i = 0; i < total; i++) e.y[i] = (double)x[i];
    for (size_t l = 0; l < e.lines; l++) {
        e.mean[l] = qn_reduce_ref(QN_REDUCE_MEAN, e.y + l * length, length, 0.0);
        e.rstd[l] = qn_reduce_ref(QN_REDUCE_RSTD, e.y + l * length, length, (double)c->eps);
    }
    for (size_t i = 0; i < total; i++) {
        size_t of = c->op == QN_OP_LAYER_NORM ? i % length : i / spatial % channels;
        e.y[i] = (e.y[i] - e.mean[i / length]) * e.rstd[i / length] * (c->weight ? (double)w[of] : 1.0) +
                 (c->bias ? (double)b[of] : 0.0);
    }
    return e;
}

static qn_shape stats_shape(const norm *c, qn_shape shape)
{
    if (c->op == QN_OP_GROUP_NORM) return qn_shape_2(shape.dim[0], c->n);
    for (uint32_t i = shape.rank - c->n; i < shape.rank; i++) shape.dim[i] = 1;
    return shape;
}

static qn_shape affine_shape(const norm *c, const qn_shape *shape)
{
    if (c->op == QN_OP_GROUP_NORM) return qn_shape_1(shape->dim[1]);
    qn_shape affine = {.rank = c->n};
    memcpy(affine.dim, shape->dim + shape->rank - c->n, c->n * sizeof affine.dim[0]);
    return affine;
}

static void run(qn_graph *g, const norm *c, const qn_value v[4], const qn_shape *live, const float *x, const float *w,
                const float *b)
{
    char what[128], text[96];
    snprintf(what, sizeof what, "%s of %s over %u", qn_ops[c->op].name, qn_shape_text(live, text, sizeof text), c->n);
    qn_assert_ok(qn_graph_set_input(g, v[0], *live, x));
    expected e = reference(c, live, x, w, b);
    qn_test_compare(what, qn_test_run(g, v[1], *live), e.y, qn_shape_count(live), tolerance);
    if (c->stats) {
        qn_shape got;
        const float *mean = qn_graph_output_data(g, v[2], &got), *rstd = qn_graph_output_data(g, v[3], NULL);
        qn_shape want = stats_shape(c, *live);
        assert_true(qn_shape_equal(&got, &want));
        qn_test_compare("mean", mean, e.mean, e.lines, tolerance);
        qn_test_compare("rstd", rstd, e.rstd, e.lines, tolerance);
    }
    free(e.y);
    free(e.mean);
    free(e.rstd);
}

static void check(qn_engine *engine, const norm *c, const qn_shape *max, const qn_shape *live, size_t n_live,
                  float offset)
{
    size_t total = qn_shape_count(max);
    qn_shape affine = affine_shape(c, max);
    size_t n_affine = qn_shape_count(&affine);
    float *x = qn_test_floats(total, 1, 3.0f), *w = qn_test_floats(n_affine, 2, 2.0f),
          *b = qn_test_floats(n_affine, 3, 1.0f);
    for (size_t i = 0; i < total; i++) x[i] += offset;
    qn_weight *weight = qn_test_plain(engine, "w", affine, w), *bias = qn_test_plain(engine, "b", affine, b);
    qn_graph *g = qn_test_graph(engine);
    qn_norm_options o = {.eps = c->eps};
    if (c->weight) o.weight = qn_graph_weight(g, weight);
    if (c->bias) o.bias = qn_graph_weight(g, bias);
    qn_value v[4] = {qn_graph_input(g, "x", QN_F32, *max)};
    v[1] = c->op == QN_OP_LAYER_NORM ? qn_layer_norm(g, v[0], c->n, &o, c->stats ? v + 2 : NULL)
                                     : qn_group_norm(g, v[0], c->n, &o, c->stats ? v + 2 : NULL);
    qn_graph_output(g, v[1], "y");
    for (int i = 2; i < 4 && c->stats; i++) qn_graph_output(g, v[i], i == 2 ? "mean" : "rstd");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < n_live; i++) {
        run(g, c, v, &live[i], x, w, b);
        assert_int_equal(qn_graph_n_dispatches(g), c->stats ? 3 : 1);
    }
    qn_graph_close(g);
    qn_weight_free(weight);
    qn_weight_free(bias);
    free(x);
    free(w);
    free(b);
}

static void check_route(const char *route)
{
    static const uint32_t lengths[] = {1, 2, 4, 7, 63, 64, 65, 768, 1000};
    qn_engine *engine = qn_test_engine(route);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const qn_shape live[] = {{3, {1, 9, lengths[i]}}, {3, {1, 1, lengths[i]}}, {3, {1, 4, lengths[i]}}};
        check(engine, &(norm){QN_OP_LAYER_NORM, 1, i % 2, i % 3, i % 2, 1e-5f}, &live[0], live, 3, 0.0f);
    }
    static const qn_shape images[] = {{4, {3, 12, 5, 4}}, {4, {1, 12, 5, 4}}, {4, {3, 12, 1, 3}}};
    for (uint32_t groups = 1; groups <= 12; groups++)
        if (12 % groups == 0)
            check(engine, &(norm){QN_OP_GROUP_NORM, groups, groups % 2, true, groups != 3, 1e-5f}, &images[0], images,
                  3, 0.0f);
    qn_engine_close(engine);
}

static void every_row(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_layer_norm_kernels.n_rows; i++) check_route(qn_layer_norm_kernels.rows[i].name);
}

/* Any number of normalized dimensions, of any rank; without weight and bias they may be live, too. */
static void dimensions(void **state)
{
    (void)state;
    static const qn_shape max = {4, {3, 4, 5, 12}}, flat = {2, {7, 6}}, deep = {8, {2, 1, 2, 2, 1, 2, 2, 4}};
    static const qn_shape live[] = {{4, {3, 4, 5, 12}}, {4, {2, 3, 1, 7}}, {4, {1, 1, 1, 1}}, {4, {3, 4, 5, 11}}};
    qn_engine *engine = qn_test_engine(NULL);
    for (uint32_t n = 1; n <= 4; n++) {
        check(engine, &(norm){QN_OP_LAYER_NORM, n, false, false, true, 1e-3f}, &max, live, 4, 0.0f);
        check(engine, &(norm){QN_OP_LAYER_NORM, n, true, true, false, 1e-5f}, &max, &max, 1, 0.0f);
    }
    check(engine, &(norm){QN_OP_LAYER_NORM, 8, true, true, true, 1e-5f}, &deep, &deep, 1, 0.0f);
    check(engine, &(norm){QN_OP_GROUP_NORM, 2, true, true, true, 1e-5f}, &flat, &flat, 1, 0.0f);
    qn_engine_close(engine);
}

/* The mean is large beside the spread; long lines. */
static void accuracy(void **state)
{
    (void)state;
    static const qn_shape shape = {2, {2, 2000}}, large = {2, {2, 100000}}, odd = {2, {1, 70001}};
    qn_engine *engine = qn_test_engine(NULL);
    check(engine, &(norm){QN_OP_LAYER_NORM, 1, true, true, true, 1e-5f}, &shape, &shape, 1, 20.0f);
    check(engine, &(norm){QN_OP_LAYER_NORM, 1, true, false, true, 1e-5f}, &large, &large, 1, 2.0f);
    check(engine, &(norm){QN_OP_LAYER_NORM, 1, false, true, false, 1e-5f}, &odd, &odd, 1, 2.0f);
    qn_engine_close(engine);
}

static void literal_numbers(void **state)
{
    (void)state;
    static const float x[] = {1, 2, 3, 4, 8, 8, 8, 8};
    /* (x - 2.5) / sqrt(1.25), in float64; a line without spread gives 0 */
    static const double want[] = {
        -1.3416407864998738, -0.4472135954999579, 0.4472135954999579, 1.3416407864998738, 0, 0, 0, 0};
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, qn_shape_2(2, 4));
    qn_value y = qn_layer_norm(g, in, 1, &(qn_norm_options){.eps = 1e-12f}, NULL);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(2, 4), x));
    qn_test_compare("1 2 3 4", qn_test_run(g, y, qn_shape_2(2, 4)), want, 8, (qn_tolerance){1e-6, 1e-6});
    qn_graph_close(g);
    qn_engine_close(engine);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_op op;
        uint32_t n;
        float eps;
        qn_shape w;
        qn_dtype dtype;
        const char *text;
    } cases[] = {
        {QN_OP_LAYER_NORM, 0, 1e-5f, {1, {6}}, QN_F32, "0 normalized dimensions of x with rank 3"},
        {QN_OP_LAYER_NORM, 4, 1e-5f, {1, {6}}, QN_F32, "4 normalized dimensions of x with rank 3"},
        {QN_OP_LAYER_NORM, 1, 1e-5f, {1, {5}}, QN_F32, "weight[5] is not [6], as x[2,4,6] needs it"},
        {QN_OP_LAYER_NORM, 2, 1e-5f, {1, {24}}, QN_F32, "weight[24] is not [4,6]"},
        {QN_OP_LAYER_NORM, 1, -1e-5f, {1, {6}}, QN_F32, "eps = -1e-05"},
        {QN_OP_LAYER_NORM, 1, 1e-5f, {1, {6}}, QN_I32, "not of type f32"},
        {QN_OP_GROUP_NORM, 3, 1e-5f, {1, {4}}, QN_F32, "the channels of x[2,4,6] cannot be parted into 3 groups"},
        {QN_OP_GROUP_NORM, 0, 1e-5f, {1, {4}}, QN_F32, "into 0 groups"},
        {QN_OP_GROUP_NORM, 2, 1e-5f, {1, {6}}, QN_F32, "weight[6] is not [4]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, cases[i].op);
        qn_test_plan_tensor(&t, "x", cases[i].dtype, qn_shape_3(2, 4, 6));
        qn_test_plan_tensor(&t, "w", QN_F32, cases[i].w);
        qn_test_plan_absent(&t);
        t.node.attrs.layer_norm.n = cases[i].n;
        t.node.attrs.layer_norm.eps = cases[i].eps;
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),       cmocka_unit_test(dimensions), cmocka_unit_test(accuracy),
        cmocka_unit_test(literal_numbers), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("layer_norm", tests, NULL, NULL);
}
