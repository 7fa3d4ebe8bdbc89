/* Convolutions on the software device, every kernel row, at live sizes; and their plans without a device. */
#include "ops/conv_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_conv_kernels;

/* One convolution and the greatest size of its input. */
typedef struct conv_case {
    const char *name;
    qn_conv_options o;
    uint32_t rank, n, channels_in, channels_out, input[2], kernel[2];
    bool bias;
    const char *kernel_row; /* that the greatest size takes unless another is forced */
} conv_case;

static qn_shape image_shape(const conv_case *c, uint32_t n, uint32_t channels, const uint32_t size[2])
{
    return c->rank == 3 ? qn_shape_3(n, channels, size[1]) : qn_shape_4(n, channels, size[0], size[1]);
}

/* Runs the graph at one live size against the reference. */
static void check_live(qn_graph *g, const qn_value at[2], const conv_case *c, uint32_t n, const uint32_t size[2],
                       const float *const data[3])
{
    qn_conv_sizes s = {n, c->channels_in, c->channels_out, {size[0], size[1]}, {c->kernel[0], c->kernel[1]}, {0}};
    qn_conv_options o = c->o;
    if (c->rank == 3) { /* what the options say of height does not count */
        o.stride[0] = o.dilation[0] = 1;
        o.padding[0] = 0;
    }
    qn_conv_ref_sizes(&o, &s);
    size_t count = (size_t)n * c->channels_out * s.output[0] * s.output[1];
    double *want = calloc(count, sizeof *want);
    qn_conv_ref(&o, &s, data[0], data[1], c->bias ? data[2] : NULL, want);
    qn_assert_ok(qn_graph_set_input(g, at[0], image_shape(c, n, c->channels_in, size), data[0]));
    const float *got = qn_test_run(g, at[1], image_shape(c, n, c->channels_out, s.output));
    char what[128];
    snprintf(what, sizeof what, "%s: [%u,%u,%u,%u]", c->name, n, c->channels_in, size[0], size[1]);
    qn_test_compare(what, got, want, count,
                    (qn_tolerance){2e-5 * (c->channels_in * c->kernel[0] * c->kernel[1] > 10000 ? 250 : 1), 1e-5});
    free(want);
}

static qn_weight *weight(qn_engine *engine, const conv_case *c, const float *data)
{
    uint32_t a = c->channels_out, b = c->channels_in / c->o.groups;
    if (c->o.transposed) {
        a = c->channels_in;
        b = c->channels_out / c->o.groups;
    }
    return qn_test_plain(engine, "w", image_shape(c, a, b, c->kernel), data);
}

static void check(qn_engine *engine, const conv_case *c, bool default_route)
{
    size_t n_x = (size_t)c->n * c->channels_in * c->input[0] * c->input[1];
    size_t n_w = (size_t)c->channels_out * c->channels_in / c->o.groups * c->kernel[0] * c->kernel[1];
    float *x = qn_test_floats(n_x, 1, 1.0f), *w = qn_test_floats(n_w, 2, 1.0f);
    float *b = qn_test_floats(c->channels_out, 3, 1.0f);
    const float *const data[3] = {x, w, b};
    qn_weight *vw = weight(engine, c, w), *vb = qn_test_plain(engine, "b", qn_shape_1(c->channels_out), b);
    qn_graph *g = qn_test_graph(engine);
    qn_value at[2] = {qn_graph_input(g, "x", QN_F32, image_shape(c, c->n, c->channels_in, c->input)), 0};
    at[1] = qn_conv2d(g, at[0], qn_graph_weight(g, vw), c->bias ? qn_graph_weight(g, vb) : 0, &c->o);
    qn_graph_output(g, at[1], "y");
    qn_assert_ok(qn_graph_build(g));
    const uint32_t smaller[2] = {c->input[0] > 1 ? c->input[0] - 1 : 1, c->input[1] - 2};
    check_live(g, at, c, c->n, c->input, data);
    if (default_route && c->kernel_row) assert_string_equal(qn_graph_dispatch(g, 0).kernel, c->kernel_row);
    check_live(g, at, c, 1, smaller, data);
    check_live(g, at, c, c->n, c->input, data);
    qn_graph_close(g);
    qn_weight_free(vw);
    qn_weight_free(vb);
    free(x);
    free(w);
    free(b);
}

#define WINDOW(s0, s1, p0, p1, d0, d1, g) .stride = {s0, s1}, .padding = {p0, p1}, .dilation = {d0, d1}, .groups = g
static const conv_case cases[] = {
    {"3x3", {WINDOW(1, 1, 1, 1, 1, 1, 1)}, 4, 1, 3, 8, {9, 11}, {3, 3}, true, "conv2d.direct"},
    {"ragged", {WINDOW(2, 3, 2, 0, 1, 2, 1)}, 4, 2, 5, 7, {10, 14}, {4, 3}, false, "conv2d.direct"},
    {"dilated", {WINDOW(1, 2, 4, 3, 3, 2, 1)}, 4, 1, 2, 4, {8, 9}, {3, 3}, true, "conv2d.direct"},
    {"groups", {WINDOW(1, 1, 1, 0, 1, 1, 3)}, 4, 2, 6, 9, {6, 7}, {3, 2}, true, "conv2d.direct"},
    {"depthwise", {WINDOW(1, 1, 1, 1, 1, 1, 10)}, 4, 2, 10, 10, {7, 9}, {3, 3}, true, "conv2d.depthwise"},
    {"depthwise by 2", {WINDOW(2, 2, 1, 1, 1, 1, 5)}, 4, 1, 5, 10, {7, 8}, {3, 3}, false, "conv2d.depthwise"},
    {"pointwise", {WINDOW(1, 1, 0, 0, 1, 1, 1)}, 4, 2, 12, 10, {4, 6}, {1, 1}, true, "conv2d.pointwise"},
    {"pointwise groups", {WINDOW(1, 1, 0, 0, 1, 1, 2)}, 4, 1, 6, 14, {3, 4}, {1, 1}, true, "conv2d.pointwise"},
    {"pointwise stride", {WINDOW(2, 2, 0, 0, 1, 1, 1)}, 4, 1, 6, 5, {5, 8}, {1, 1}, true, "conv2d.direct"},
    {"pointwise odd", {WINDOW(1, 1, 0, 0, 1, 1, 1)}, 4, 1, 3, 2, {3, 5}, {1, 1}, false, "conv2d.depthwise"},
    {"clamped",
     {WINDOW(1, 1, 1, 1, 1, 1, 1), .clamp = true, .min = 0.0f, .max = INFINITY},
     4,
     1,
     3,
     6,
     {5, 6},
     {3, 3},
     true,
     "conv2d.direct"},
    {"clamped pointwise",
     {WINDOW(1, 1, 0, 0, 1, 1, 1), .clamp = true, .min = -0.5f, .max = 0.75f},
     4,
     1,
     3,
     6,
     {4, 4},
     {1, 1},
     true,
     "conv2d.pointwise"},
    {"line", {WINDOW(1, 2, 0, 2, 1, 1, 1)}, 3, 2, 4, 6, {1, 15}, {1, 5}, true, "conv2d.direct"},
    {"line depthwise", {WINDOW(9, 1, 9, 1, 9, 1, 4)}, 3, 1, 4, 4, {1, 9}, {1, 3}, false, "conv2d.depthwise"},
    {"line pointwise", {WINDOW(1, 1, 0, 0, 1, 1, 1)}, 3, 2, 4, 5, {1, 12}, {1, 1}, true, "conv2d.pointwise"},
    {"transposed",
     {WINDOW(2, 3, 1, 0, 1, 1, 1), .transposed = true, .output_padding = {1, 2}},
     4,
     2,
     3,
     5,
     {5, 6},
     {3, 4},
     true,
     "conv2d.transposed"},
    {"transposed groups",
     {WINDOW(2, 1, 0, 1, 2, 3, 2), .transposed = true, .clamp = true, .min = -1.0f, .max = 1.0f},
     4,
     1,
     4,
     10,
     {4, 5},
     {2, 3},
     false,
     "conv2d.transposed"},
    {"transposed line",
     {WINDOW(1, 2, 0, 1, 1, 1, 1), .transposed = true},
     3,
     1,
     3,
     2,
     {1, 6},
     {1, 4},
     true,
     "conv2d.transposed"},
};

static void every_case_and_row(void **state)
{
    (void)state;
    for (uint32_t r = 0; r <= qn_conv_kernels.n_rows; r++) {
        const char *route = r ? qn_conv_kernels.rows[r - 1].name : NULL;
        qn_engine *engine = qn_test_engine(route);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check(engine, &cases[i], !route);
        qn_engine_close(engine);
    }
}

/* Sums of more terms than an invocation of the software device may count: several dispatches, one on the other. */
static void long_sums(void **state)
{
    (void)state;
    static const conv_case deep[] = {
        {"deep",
         {WINDOW(1, 1, 0, 0, 1, 1, 1), .clamp = true, .max = 50.0f},
         4,
         1,
         70000,
         2,
         {1, 3},
         {1, 1},
         true,
         NULL},
        {"deep, 4", {WINDOW(1, 1, 0, 0, 1, 1, 1)}, 4, 1, 70000, 3, {2, 4}, {1, 1}, true, "conv2d.pointwise"},
        {"wide", {WINDOW(1, 1, 0, 0, 1, 1, 1)}, 4, 1, 9, 2, {101, 103}, {100, 100}, false, NULL},
        {"transposed", {WINDOW(1, 1, 0, 0, 1, 1, 1), .transposed = true}, 4, 1, 9000, 2, {2, 3}, {3, 3}, true, NULL},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof deep / sizeof deep[0]; i++) check(engine, &deep[i], true);
    qn_engine_close(engine);
}

/* (i * 7 % 23) / 8 - 1: what the literal numbers were made of. */
static void ramp(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(i * 7 % 23) / 8.0f - 1.0f;
}

static void check_literal(const qn_conv_options *o, qn_shape xs, qn_shape ws, const float *bias, qn_shape ys,
                          const double *want)
{
    float x[32], w[32];
    ramp(x, 32);
    ramp(w, 32);
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *vw = qn_test_plain(engine, "w", ws, w),
              *vb = bias ? qn_test_plain(engine, "b", qn_shape_1(2), bias) : NULL;
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, xs);
    qn_value out = qn_conv2d(g, in, qn_graph_weight(g, vw), bias ? qn_graph_weight(g, vb) : 0, o);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, in, xs, x));
    size_t n = 1;
    for (uint32_t i = 0; i < ys.rank; i++) n *= ys.dim[i];
    qn_test_compare("literal", qn_test_run(g, out, ys), want, n, (qn_tolerance){1e-6, 1e-6});
    qn_graph_close(g);
    qn_weight_free(vw);
    qn_weight_free(vb);
    qn_engine_close(engine);
}

/* Numbers made with torch 2.13: torch.ops.aten.convolution of ramps (((arange(n) * 7) % 23) / 8 - 1). */
static void literals(void **state)
{
    (void)state;
    static const float bias[] = {0.5f, -0.25f};
    static const double plain[] = {2.328125, 5.0625, -2.5625, 2.53125, 0.25, -0.1875, 3.765625, -0.71875};
    static const double transposed[] = {
        -1.015625, -2.75,    1.078125, 2.390625,  3.140625,  1.25,      1.609375, -1.40625,  1.6875,    1.984375,
        -1.09375,  0.703125, 2.015625, 1.171875,  -0.515625, 0.0625,    -1.46875, 1.625,     1.484375,  -0.625,
        1.34375,   1.640625, 0.796875, -0.046875, 0.5,       -1.84375,  0.3125,   2.015625,  1.203125,  -0.875,
        1.203125,  1.5625,   -1.0625,  2.421875,  1.625,     -1.140625, 1.734375, 0.921875,  -2.046875, 0.921875,
        -1.0,      -1.75,    1.734375, 0.1875,    -2.0,      0.28125,   0.640625, -2.328125, 1.171875,  -0.875};
    static const double line[] = {0.03125, 1.25, -1.578125, 0.5, 2.59375, -0.015625};
    /* x[1,2,3,4], w[2,2,2,2], stride (2,1), padding (1,0), dilation (1,2) */
    check_literal(&(qn_conv_options){WINDOW(2, 1, 1, 0, 1, 2, 1)}, qn_shape_4(1, 2, 3, 4), qn_shape_4(2, 2, 2, 2), bias,
                  qn_shape_4(1, 2, 2, 2), plain);
    /* the same transposed, dilation 1, output_padding (1,0) */
    check_literal(&(qn_conv_options){WINDOW(2, 1, 1, 0, 1, 1, 1), .transposed = true, .output_padding = {1, 0}},
                  qn_shape_4(1, 2, 3, 4), qn_shape_4(2, 2, 2, 2), bias, qn_shape_4(1, 2, 5, 5), transposed);
    /* x[1,2,5], w[2,1,3], stride 2, padding 1, 2 groups */
    check_literal(&(qn_conv_options){WINDOW(1, 2, 0, 1, 1, 1, 2)}, qn_shape_3(1, 2, 5), qn_shape_3(2, 1, 3), NULL,
                  qn_shape_3(1, 2, 3), line);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_conv_options o;
        qn_shape x, w;
        uint32_t bias;
        qn_code code;
        const char *text;
    } bad[] = {
        {{WINDOW(1, 1, 0, 0, 1, 1, 1)}, {2, {3, 4}}, {2, {3, 4}}, 3, QN_ERR_ARGUMENT, "neither [N,C,L]"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 1)},
         {4, {1, 3, 8, 8}},
         {4, {2, 4, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "w[2,4,3,3] does not fit"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 1)},
         {4, {1, 3, 8, 8}},
         {3, {2, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "does not fit x[1,3,8,8]"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 0)}, {4, {1, 3, 8, 8}}, {4, {2, 3, 3, 3}}, 2, QN_ERR_ARGUMENT, "0 groups"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 2)},
         {4, {1, 4, 8, 8}},
         {4, {3, 2, 3, 3}},
         3,
         QN_ERR_ARGUMENT,
         "2 groups do not divide"},
        {{WINDOW(0, 1, 0, 0, 1, 1, 1)},
         {4, {1, 3, 8, 8}},
         {4, {2, 3, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "height: kernel 3, stride 0"},
        {{WINDOW(1, 1, 0, 0, 1, 0, 1)}, {4, {1, 3, 8, 8}}, {4, {2, 3, 3, 3}}, 2, QN_ERR_ARGUMENT, "width: kernel 3"},
        {{WINDOW(1, 1, 0, UINT32_MAX, 1, 1, 1)},
         {4, {1, 3, 8, 8}},
         {4, {2, 3, 3, 3}},
         2,
         QN_ERR_LIMIT,
         "padding 4294967295"},
        {{WINDOW(1, 1, 0, 0, 1, 4, 1)},
         {4, {1, 3, 8, 8}},
         {4, {2, 3, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "width: 8 with padding 0"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 1)},
         {4, {1, 3, 8, 8}},
         {4, {2, 3, 3, 3}},
         1,
         QN_ERR_ARGUMENT,
         "bias[1] is too short"},
        {{WINDOW(1, 1, 0, 0, 1, 1, 1), .clamp = true, .min = 1.0f},
         {4, {1, 3, 8, 8}},
         {4, {2, 3, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "bounds are 1 and 0"},
        {{WINDOW(2, 2, 0, 0, 1, 1, 1), .transposed = true, .output_padding = {2, 0}},
         {4, {1, 3, 8, 8}},
         {4, {3, 2, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "output_padding 2"},
        {{WINDOW(1, 1, 9, 0, 1, 1, 1), .transposed = true},
         {4, {1, 3, 8, 8}},
         {4, {3, 2, 3, 3}},
         2,
         QN_ERR_ARGUMENT,
         "too small"},
        {{WINDOW(1, 1, 1 << 19, 1 << 19, 1, 1, 1)}, {4, {1, 3, 8, 8}}, {4, {2, 3, 3, 3}}, 2, QN_ERR_LIMIT, "2^31"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_CONV2D);
        qn_test_plan_tensor(&t, "x", QN_F32, bad[i].x);
        qn_test_plan_tensor(&t, "w", QN_F32, bad[i].w);
        qn_test_plan_tensor(&t, "b", QN_F32, qn_shape_1(bad[i].bias));
        t.node.attrs.conv = bad[i].o;
        qn_assert_fails(qn_test_plan_build(&t), bad[i].code, bad[i].text);
        qn_test_plan_free(&t);
    }
    /* Live sizes that the kernel does not fit are refused at execution. */
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_CONV2D);
    qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_4(1, 3, 8, 8));
    qn_test_plan_tensor(&t, "w", QN_F32, qn_shape_4(2, 3, 3, 3));
    qn_test_plan_absent(&t);
    t.node.attrs.conv = qn_conv_default();
    qn_assert_ok(qn_test_plan_build(&t));
    t.tensors[x].live = qn_shape_4(1, 3, 8, 2);
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "width: 2 with padding 0 is too small");
    t.tensors[x].live = qn_shape_4(1, 3, 3, 3);
    qn_assert_ok(qn_test_plan_live(&t));
    qn_test_plan_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_and_row),
        cmocka_unit_test(long_sums),
        cmocka_unit_test(literals),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("conv", tests, NULL, NULL);
}
