/* Operations on 8-bit codes on the software device, every kernel row, at live sizes. */
#include "ops/conv_ref.h"
#include "ops/q8_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_q8_linear_kernels;

static void *zeros(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    assert_non_null(p);
    return p;
}

/* (i * step % 255) - 127: what the literal numbers were made of. */
static void ramp(int32_t *x, size_t n, uint32_t step)
{
    for (size_t i = 0; i < n; i++) x[i] = (int32_t)(i * step % 255) - 127;
}

static int32_t *random_codes(size_t n, uint64_t seed)
{
    int32_t *x = zeros(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (int32_t)(qn_test_random(seed, i) % 256) - 128;
    return x;
}

/* got[n] are integers within half a code of want, up to rounding of the sum. */
static void compare_codes(const char *what, const int32_t *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabs(got[i] - want[i]) > 0.502)
            fail_msg("%s: element %zu of %zu is %d, expected %g", what, i, n, (int)got[i], want[i]);
}

static qn_weight *words(qn_engine *engine, const int8_t *codes, size_t n)
{
    int32_t *data = zeros((n + 3) / 4, 4);
    memcpy(data, codes, n);
    qn_weight *w = NULL;
    qn_weight_desc d = {.name = "w", .kind = QN_WEIGHT_I32, .shape = qn_shape_1((uint32_t)(n + 3) / 4), .data = data};
    qn_assert_ok(qn_weight_create(engine, &d, &w));
    free(data);
    return w;
}

/* ---- element by element ---------------------------------------------------------------------- */

static const qn_quant qa = {0.02, 5}, qb = {0.03, -4};
static const qn_q8_add_options add_options = {{0.02, 5}, {0.03, -4}, {0.05, 1}, 0.5};
static const qn_quant relu_output = {0.03, -40}, shuffle_output = {0.03, -2};

/* Numbers made with torch 2.13 and executorch 1.5.1: torch.ops.quantized_decomposed.quantize_per_tensor of x with 0.25,
 * 3 (halves go to even) and with 0.03, -7; dequantize_per_tensor with 0.03, -7 and torch.ops.et_vk.q8ta_add, q8ta_relu,
 * q8ta_pixel_shuffle of codes ((arange(n) * step) % 255) - 127, step 37 (b: 53), with the quants above. */
static void literals(void **state)
{
    (void)state;
    static const float x[] = {-3.0f, -0.75f, -0.25f, 0.0f, 0.125f, 0.25f, 0.375f, 0.625f, 1.9f, 40.0f};
    static const int32_t quarter[] = {-9, 0, 2, 3, 3, 4, 5, 5, 11, 127};
    static const int32_t fine[] = {-107, -32, -15, -7, -3, 1, 5, 14, 56, 127};
    static const double numbers[] = {-3.5999999046325684,  -2.490000009536743, -1.3799999952316284,
                                     -0.26999998092651367, 0.8399999737739563, 1.9499999284744263};
    static const int32_t sum[] = {-89, -58, -27, 3, 34, -12, 19, -52}, relu[] = {-40, -40, -40, -40, -29, -5, 20, -40};
    static const int32_t shuffled[] = {-90, 58,  -65, -87, -41, -63, 36,  14,  61,  39,  -85, 63,
                                       -16, -38, 9,   -13, 33,  11,  -60, -82, -35, -57, -11, -33};
    int32_t a[24], b[8];
    ramp(a, 24, 37);
    ramp(b, 8, 53);
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value vx = qn_graph_input(g, "x", QN_F32, qn_shape_1(10)), six = qn_graph_input(g, "six", QN_I32, qn_shape_1(6));
    qn_value va = qn_graph_input(g, "a", QN_I32, qn_shape_1(8)), vb = qn_graph_input(g, "b", QN_I32, qn_shape_1(8));
    qn_value vs = qn_graph_input(g, "s", QN_I32, qn_shape_4(1, 4, 2, 3));
    qn_value out[] = {qn_quantize_per_tensor(g, vx, (qn_quant){0.25, 3}, -128, 127),
                      qn_quantize_per_tensor(g, vx, (qn_quant){0.03, -7}, -128, 127),
                      qn_dequantize_per_tensor(g, six, (qn_quant){0.03, -7}),
                      qn_q8ta_add(g, va, vb, &add_options),
                      qn_q8ta_relu(g, va, qa, relu_output),
                      qn_q8ta_pixel_shuffle(g, vs, qa, shuffle_output, 2)};
    for (int i = 0; i < 6; i++) qn_graph_output(g, out[i], "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, vx, qn_shape_1(10), x));
    qn_assert_ok(qn_graph_set_input(g, six, qn_shape_1(6), a));
    qn_assert_ok(qn_graph_set_input(g, va, qn_shape_1(8), a));
    qn_assert_ok(qn_graph_set_input(g, vb, qn_shape_1(8), b));
    qn_assert_ok(qn_graph_set_input(g, vs, qn_shape_4(1, 4, 2, 3), a));
    assert_memory_equal(qn_test_run(g, out[0], qn_shape_1(10)), quarter, sizeof quarter);
    assert_memory_equal(qn_graph_output_data(g, out[1], NULL), fine, sizeof fine);
    qn_test_compare("dequantize", qn_graph_output_data(g, out[2], NULL), numbers, 6, (qn_tolerance){0, 1e-7});
    assert_memory_equal(qn_graph_output_data(g, out[3], NULL), sum, sizeof sum);
    assert_memory_equal(qn_graph_output_data(g, out[4], NULL), relu, sizeof relu);
    assert_memory_equal(qn_graph_output_data(g, out[5], NULL), shuffled, sizeof shuffled);
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* All of them at live shapes of [3, 8, 5, 4], against the references. */
static void elements(void **state)
{
    (void)state;
    static const qn_shape lives[] = {{4, {3, 8, 5, 4}}, {4, {1, 4, 1, 1}}, {4, {2, 8, 3, 4}}, {4, {3, 8, 5, 4}}};
    enum { MOST = 3 * 8 * 5 * 4 };
    int32_t *a = random_codes(MOST, 1), *b = random_codes(MOST, 2);
    float *x = qn_test_floats(MOST, 3, 5.0f);
    double want[MOST];
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value va = qn_graph_input(g, "a", QN_I32, lives[0]), vb = qn_graph_input(g, "b", QN_I32, lives[0]);
    qn_value vx = qn_graph_input(g, "x", QN_F32, lives[0]);
    qn_value sum = qn_q8ta_add(g, va, vb, &add_options), relu = qn_q8ta_relu(g, va, qa, relu_output);
    qn_value codes = qn_quantize_per_tensor(g, vx, qb, 0, 255), back = qn_dequantize_per_tensor(g, codes, qb);
    qn_value shuffled = qn_q8ta_pixel_shuffle(g, va, qa, shuffle_output, 2);
    const qn_value outputs[] = {sum, relu, codes, back, shuffled};
    for (int i = 0; i < 5; i++) qn_graph_output(g, outputs[i], "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < 4; i++) {
        const uint32_t *dim = lives[i].dim;
        size_t n = (size_t)dim[0] * dim[1] * dim[2] * dim[3];
        qn_assert_ok(qn_graph_set_input(g, va, lives[i], a));
        qn_assert_ok(qn_graph_set_input(g, vb, lives[i], b));
        qn_assert_ok(qn_graph_set_input(g, vx, lives[i], x));
        qn_q8ta_add_ref(a, b, n, &add_options, want);
        compare_codes("add", qn_test_run(g, sum, lives[i]), want, n);
        qn_q8ta_relu_ref(a, n, &qa, &relu_output, want);
        compare_codes("relu", qn_graph_output_data(g, relu, NULL), want, n);
        for (size_t k = 0; k < n; k++) want[k] = qn_q8_code_ref((double)x[k], &qb, 0, 255);
        const int32_t *got = qn_graph_output_data(g, codes, NULL);
        compare_codes("quantize", got, want, n);
        for (size_t k = 0; k < n; k++) want[k] = qn_q8_number_ref(got[k], &qb);
        qn_test_compare("dequantize", qn_graph_output_data(g, back, NULL), want, n, (qn_tolerance){0, 1e-6});
        const uint32_t sizes[3] = {dim[0] * dim[1], dim[2], dim[3]};
        qn_q8ta_pixel_shuffle_ref(a, sizes, 2, (const qn_quant[]){qa, shuffle_output}, want);
        qn_shape live;
        compare_codes("shuffle", qn_graph_output_data(g, shuffled, &live), want, n);
        assert_true(live.rank == 4 && live.dim[1] == dim[1] / 4 && live.dim[2] == dim[2] * 2 &&
                    live.dim[3] == dim[3] * 2);
    }
    qn_graph_close(g);
    qn_engine_close(engine);
    free(a);
    free(b);
    free(x);
}

/* ---- convolution ----------------------------------------------------------------------------- */

/* One convolution; codes of w in torch's order, packed as ExecuTorch's files have them. */
typedef struct conv_case {
    const char *name;
    qn_q8_conv_options o;
    uint32_t n, channels_in, input[2];
    bool bias;
} conv_case;

static int8_t *make_weights(const conv_case *c)
{
    size_t n = (size_t)c->o.channels_out * c->channels_in / c->o.conv.groups * c->o.kernel[0] * c->o.kernel[1];
    int8_t *w = zeros(n, 1);
    for (size_t i = 0; i < n; i++) w[i] = (int8_t)((int)(i * 29 % 255) - 127);
    return w;
}

/* *size: bytes of the result. */
static int8_t *pack(const conv_case *c, const int8_t *w, size_t *size)
{
    uint32_t taps = c->o.kernel[0] * c->o.kernel[1], groups = c->o.conv.groups, oc_all = c->o.channels_out;
    uint32_t cin = c->channels_in / groups, cout = oc_all / groups;
    uint32_t row = c->o.row_bytes ? c->o.row_bytes : (taps * cin + 3) / 4 * 4;
    *size = c->o.depthwise ? (size_t)taps * oc_all : (size_t)row * oc_all;
    int8_t *packed = zeros(*size, 1);
    for (uint32_t oc = 0; oc < oc_all; oc++)
        for (uint32_t ic = 0; ic < cin; ic++)
            for (uint32_t t = 0; t < taps; t++) {
                size_t k = (size_t)oc * cin + ic;
                if (c->o.conv.transposed) k = (size_t)(oc / cout * cin + ic) * cout + oc % cout;
                size_t to = c->o.depthwise ? (size_t)t * oc_all + oc : (size_t)oc * row + t * cin + ic;
                packed[to] = w[k * taps + t];
            }
    return packed;
}

/* The codes' numbers through the f32 reference, then codes before rounding. */
static double *reference(const conv_case *c, const int32_t *x, const uint32_t live[3], const int8_t *w,
                         const float *const scales_bias[2], qn_conv_sizes *s)
{
    const qn_conv_options *o = &c->o.conv;
    uint32_t cin = c->channels_in / o->groups, cout = c->o.channels_out / o->groups;
    *s = (qn_conv_sizes){
        live[0], c->channels_in, c->o.channels_out, {live[1], live[2]}, {c->o.kernel[0], c->o.kernel[1]}, {0}};
    qn_conv_ref_sizes(o, s);
    size_t n_x = (size_t)live[0] * c->channels_in * live[1] * live[2], taps = (size_t)s->kernel[0] * s->kernel[1];
    size_t n_w = (size_t)c->channels_in * cout * taps,
           n = (size_t)live[0] * c->o.channels_out * s->output[0] * s->output[1];
    float *xf = zeros(n_x, 4), *wf = zeros(n_w, 4);
    double *y = zeros(n, sizeof *y);
    for (size_t i = 0; i < n_x; i++) xf[i] = (float)qn_q8_number_ref(x[i], &c->o.input);
    for (size_t i = 0; i < n_w; i++) {
        size_t channel = o->transposed ? i / taps % cout : i / taps / cin;
        wf[i] = (float)w[i] * scales_bias[0][channel];
    }
    qn_conv_ref(o, s, xf, wf, scales_bias[1], y);
    for (size_t i = 0; i < n; i++) {
        if (c->o.relu && y[i] < 0.0) y[i] = 0.0;
        y[i] = qn_q8_code_ref(y[i], &c->o.output, -128, 127);
    }
    free(xf);
    free(wf);
    return y;
}

static void check_conv(qn_engine *engine, const conv_case *c, const int32_t *x, const float *scales, const float *bias,
                       const int32_t *literal)
{
    size_t size;
    uint32_t channels = c->o.channels_out;
    int8_t *w = make_weights(c), *packed = pack(c, w, &size);
    qn_weight *vw = words(engine, packed, size), *vs = qn_test_plain(engine, "s", qn_shape_1(channels), scales);
    qn_weight *vb = qn_test_plain(engine, "b", qn_shape_1(channels), bias);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_I32, qn_shape_4(c->n, c->channels_in, c->input[0], c->input[1]));
    qn_value out = qn_q8ta_conv2d(g, in, qn_graph_weight(g, vw), qn_graph_weight(g, vs),
                                  c->bias ? qn_graph_weight(g, vb) : 0, &c->o);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    const uint32_t lives[][3] = {
        {c->n, c->input[0], c->input[1]}, {1, c->input[0] - 1, c->input[1] - 1}, {c->n, c->input[0], c->input[1]}};
    for (int i = 0; i < 3; i++) {
        qn_conv_sizes s;
        const float *const scales_bias[2] = {scales, c->bias ? bias : NULL};
        double *want = reference(c, x, lives[i], w, scales_bias, &s);
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_4(lives[i][0], c->channels_in, lives[i][1], lives[i][2]), x));
        const int32_t *got = qn_test_run(g, out, qn_shape_4(lives[i][0], channels, s.output[0], s.output[1]));
        size_t n = (size_t)lives[i][0] * channels * s.output[0] * s.output[1];
        compare_codes(c->name, got, want, n);
        if (literal && i != 1) assert_memory_equal(got, literal, n * 4);
        free(want);
    }
    qn_graph_close(g);
    qn_weight_free(vw);
    qn_weight_free(vs);
    qn_weight_free(vb);
    free(w);
    free(packed);
}

#define WINDOW(s0, s1, p0, p1, d0, d1, g) .stride = {s0, s1}, .padding = {p0, p1}, .dilation = {d0, d1}, .groups = g

static void convolutions(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        {"3x3", {{WINDOW(1, 1, 1, 1, 1, 1, 1)}, 6, {3, 3}, false, 0, {0.02, 7}, {1.1, -5}, false}, 2, 5, {6, 7}, true},
        {"strided",
         {{WINDOW(2, 1, 0, 2, 2, 1, 1)}, 5, {2, 3}, false, 24, {0.03, -9}, {0.9, 3}, true},
         1,
         3,
         {7, 5},
         true},
        {"groups",
         {{WINDOW(1, 1, 1, 0, 1, 1, 2)}, 6, {3, 2}, false, 0, {0.02, 0}, {0.8, 0}, false},
         1,
         4,
         {5, 6},
         false},
        {"pointwise",
         {{WINDOW(1, 1, 0, 0, 1, 1, 1)}, 7, {1, 1}, false, 0, {0.02, 1}, {0.7, 0}, true},
         2,
         9,
         {3, 4},
         true},
        {"depthwise",
         {{WINDOW(2, 1, 1, 1, 1, 1, 8)}, 8, {3, 3}, true, 0, {0.02, 11}, {0.5, 2}, false},
         2,
         8,
         {7, 6},
         true},
        {"transposed",
         {{WINDOW(2, 2, 1, 0, 1, 1, 1), .transposed = true, .output_padding = {1, 0}},
          5,
          {3, 2},
          false,
          0,
          {0.02, 3},
          {0.9, 1},
          false},
         1,
         4,
         {4, 5},
         true},
        {"transposed groups",
         {{WINDOW(2, 1, 0, 0, 1, 1, 2), .transposed = true}, 6, {2, 2}, false, 0, {0.02, 3}, {0.6, 1}, true},
         2,
         4,
         {3, 5},
         true},
    };
    int32_t *x = random_codes(4096, 5);
    float *scales = qn_test_floats(16, 6, 0.005f), *bias = qn_test_floats(16, 7, 3.0f);
    for (int i = 0; i < 16; i++) scales[i] += 0.01f;
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_conv(engine, &cases[i], x, scales, bias, NULL);
    qn_engine_close(engine);
    free(x);
    free(scales);
    free(bias);
}

/* Numbers made with torch 2.13: aten.convolution of dequantized codes x ((arange * 37) % 255 - 127, scale 0.02, zero 5)
 * and w ((arange * 29) % 255 - 127, by channel [0.01, 0.02, 0.015]) with bias [0.5, -1, 2], quantized with 0.9 and -3,
 * or with -100 after relu. */
static void convolution_literals(void **state)
{
    (void)state;
    static const float scales[] = {0.01f, 0.02f, 0.015f}, bias[] = {0.5f, -1.0f, 2.0f};
    static const int32_t plain[] = {3,  -4, 2,  1,  -3, -4, 1,   -2, 7, -5, -9, -2,
                                    -2, 5,  -7, -5, 8,  1,  -12, 1,  7, -4, -6, 2};
    static const int32_t relu[] = {-94, -100, -95,  -96,  -100, -100, -96,  -99, -90, -100, -100, -99,
                                   -99, -92,  -100, -100, -89,  -96,  -100, -96, -90, -100, -100, -95};
    static const int32_t transposed[] = {0,  1,   0, -4, -3,  -3,  -4,  -6,  -1, 0, -3, -4, -4, -1, -1, -1, 2,  0, -2,
                                         -3, -1,  0, -4, -4,  -3,  -10, -18, -6, 3, -1, -6, -7, -4, 1,  -2, -1, 0, -1,
                                         -8, -11, 0, -4, -13, -10, -6,  -11, -6, 3, 1,  -2, 3,  6,  4,  0,  -1, 1, 1,
                                         0,  -10, 4, -1, -3,  -5,  2,   3,   -6, 2, 4,  2,  -1, 2,  4,  0,  -2, -2};
    conv_case c = {
        "torch", {{WINDOW(1, 2, 1, 0, 1, 1, 1)}, 3, {2, 2}, false, 0, {0.02, 5}, {0.9, -3}, false}, 1, 2, {3, 4}, true};
    int32_t x[24];
    ramp(x, 24, 37);
    qn_engine *engine = qn_test_engine(NULL);
    check_conv(engine, &c, x, scales, bias, plain);
    c.o.relu = true;
    c.o.output.zero_point = -100;
    check_conv(engine, &c, x, scales, bias, relu);
    c.o.relu = false;
    c.o.output.zero_point = -3;
    c.o.conv = (qn_conv_options){WINDOW(2, 1, 1, 0, 1, 1, 1), .transposed = true, .output_padding = {1, 0}};
    check_conv(engine, &c, x, scales, bias, transposed);
    qn_engine_close(engine);
}

/* ---- linear ---------------------------------------------------------------------------------- */

/* Builds at [most, k] and runs at fewer rows, on the route that is expected unless one is forced. */
static void check_linear(qn_engine *engine, uint32_t most, uint32_t k, const qn_q8_linear_options *o, bool with_bias,
                         const int32_t *literal)
{
    static const float three[] = {0.01f, 0.02f, 0.015f}, three_bias[] = {0.5f, -1.0f, 2.0f};
    int32_t *x = random_codes((size_t)most * k, 8);
    int8_t *w = zeros((size_t)o->n * k, 1);
    float *scales = qn_test_floats(o->n, 9, 0.005f), *bias = qn_test_floats(o->n, 10, 3.0f);
    double *want = zeros((size_t)most * o->n, sizeof *want);
    for (size_t i = 0; i < (size_t)o->n * k; i++) w[i] = (int8_t)((int)(i * 29 % 255) - 127);
    for (uint32_t i = 0; i < o->n; i++) scales[i] += 0.01f;
    if (literal) {
        ramp(x, (size_t)most * k, 37);
        memcpy(scales, three, sizeof three);
        memcpy(bias, three_bias, sizeof three_bias);
    }
    qn_weight *vw = words(engine, w, (size_t)o->n * k), *vs = qn_test_plain(engine, "s", qn_shape_1(o->n), scales);
    qn_weight *vb = qn_test_plain(engine, "b", qn_shape_1(o->n), bias);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_I32, qn_shape_3(1, most, k));
    qn_value out = qn_q8ta_linear(g, in, qn_graph_weight(g, vw), qn_graph_weight(g, vs),
                                  with_bias ? qn_graph_weight(g, vb) : 0, o);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t rows = most; rows > 0; rows = rows > 1 ? 1 : 0) {
        const uint32_t sizes[2] = {rows, k};
        qn_q8ta_linear_ref(x, w, scales, with_bias ? bias : NULL, sizes, o, want);
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_3(1, rows, k), x));
        const void *got = qn_test_run(g, out, qn_shape_3(1, rows, o->n));
        if (o->float_output)
            qn_test_compare("q8ta_linear", got, want, (size_t)rows * o->n, (qn_tolerance){1e-5, 1e-5});
        else
            compare_codes("q8ta_linear", got, want, (size_t)rows * o->n);
        if (literal) assert_memory_equal(got, literal, (size_t)rows * o->n * 4);
    }
    qn_graph_close(g);
    qn_weight_free(vw);
    qn_weight_free(vs);
    qn_weight_free(vb);
    free(x);
    free(w);
    free(scales);
    free(bias);
    free(want);
}

/* Numbers made with torch 2.13 and executorch 1.5.1: torch.ops.et_vk.q8ta_linear of x[2,5], w[3,5] made as above. */
static void linear(void **state)
{
    (void)state;
    static const int32_t plain[] = {4, -11, 6, -3, -7, -3}, relu[] = {-93, -100, -91, -100, -100, -100};
    qn_q8_linear_options o = {.n = 3, .input = {0.02, 5}, .output = {0.9, -3}};
    qn_engine *engine = qn_test_engine(NULL);
    check_linear(engine, 2, 5, &o, true, plain);
    o.relu = true;
    o.output.zero_point = -100;
    check_linear(engine, 2, 5, &o, true, relu);
    qn_engine_close(engine);
    for (uint32_t r = 0; r <= qn_q8_linear_kernels.n_rows; r++) {
        engine = qn_test_engine(r ? qn_q8_linear_kernels.rows[r - 1].name : NULL);
        for (uint32_t k = 61; k < 65; k++) {
            o = (qn_q8_linear_options){.n = k - 52, .input = {0.02, 5}, .output = {1.7, -3}, .relu = k % 2};
            check_linear(engine, 7, k, &o, k > 62, NULL);
            o.float_output = true;
            check_linear(engine, 3, k, &o, true, NULL);
        }
        qn_engine_close(engine);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse(qn_op op, qn_shape x, const qn_attrs *attrs, uint32_t w_words, const char *text)
{
    qn_test_plan t;
    qn_test_plan_init(&t, op);
    qn_test_plan_tensor(&t, "x", op == QN_OP_QUANTIZE_PER_TENSOR ? QN_F32 : QN_I32, x);
    if (op == QN_OP_Q8TA_ADD) qn_test_plan_tensor(&t, "b", QN_I32, qn_shape_1(3));
    if (w_words) {
        qn_test_plan_tensor(&t, "w", QN_I32, qn_shape_1(w_words));
        qn_test_plan_tensor(&t, "s", QN_F32, qn_shape_1(2));
        qn_test_plan_absent(&t);
    }
    t.node.attrs = *attrs;
    qn_status s = qn_test_plan_build(&t);
    if ((s.code != QN_ERR_ARGUMENT && s.code != QN_ERR_LIMIT) || !strstr(s.text, text))
        fail_msg("expected \"%s\", got \"%s\"", text, s.text);
    qn_test_plan_free(&t);
}

static void refusals(void **state)
{
    (void)state;
    const qn_shape flat = qn_shape_1(4), x = qn_shape_4(1, 3, 4, 4);
    refuse(QN_OP_QUANTIZE_PER_TENSOR, flat, &(qn_attrs){.q8 = {.output = {0.0, 0}}}, 0, "scale of the output is 0");
    refuse(QN_OP_QUANTIZE_PER_TENSOR, flat, &(qn_attrs){.q8 = {.output = {1e-45, 0}}}, 0, "scale of the output");
    refuse(QN_OP_QUANTIZE_PER_TENSOR, flat, &(qn_attrs){.q8 = {.output = {1, 0}, .low = 1}}, 0, "codes from 1 to 0");
    refuse(QN_OP_DEQUANTIZE_PER_TENSOR, flat, &(qn_attrs){.q8 = {.a = {NAN, 0}}}, 0, "scale of the input is nan");
    refuse(QN_OP_DEQUANTIZE_PER_TENSOR, flat, &(qn_attrs){.q8 = {.a = {1, INT32_MIN}}}, 0, "zero point of the input");
    refuse(QN_OP_Q8TA_ADD, flat, &(qn_attrs){.q8 = {.a = {1, 0}, .b = {1, 0}, .output = {1, 0}}}, 0, "a[4] and b[3]");
    refuse(QN_OP_Q8TA_PIXEL_SHUFFLE, x, &(qn_attrs){.q8 = {.a = {1, 0}, .output = {1, 0}, .factor = 2}}, 0,
           "x[1,3,4,4] cannot be shuffled by 2");
    qn_q8_conv_options c = {
        .conv = {WINDOW(1, 1, 0, 0, 1, 1, 1)}, .channels_out = 2, .kernel = {3, 3}, .input = {1, 0}, .output = {1, 0}};
    refuse(QN_OP_Q8TA_CONV2D, x, &(qn_attrs){.q8_conv = c}, 13, "w has 13 words; 56 bytes");
    c.depthwise = true;
    refuse(QN_OP_Q8TA_CONV2D, x, &(qn_attrs){.q8_conv = c}, 14, "are not depthwise");
    c.depthwise = false;
    c.row_bytes = 26;
    refuse(QN_OP_Q8TA_CONV2D, x, &(qn_attrs){.q8_conv = c}, 14, "rows of 26 bytes hold no 27 weights");
    c.row_bytes = 0;
    c.channels_out = 3;
    refuse(QN_OP_Q8TA_CONV2D, x, &(qn_attrs){.q8_conv = c}, 21, "w_scales[2] is too short for 3 channels");
    refuse(QN_OP_Q8TA_CONV2D, qn_shape_4(1, 70000, 4, 4), &(qn_attrs){.q8_conv = c}, 14, "at most 65000");
    qn_q8_linear_options l = {.n = 2, .input = {1, 0}, .output = {1, 0}};
    refuse(QN_OP_Q8TA_LINEAR, flat, &(qn_attrs){.q8_linear = l}, 1, "w has 1 words; 8 bytes");
    refuse(QN_OP_Q8TA_LINEAR, qn_shape_1(70000), &(qn_attrs){.q8_linear = l}, 1, "sums of 70000 products");
    l.row_bytes = 3;
    refuse(QN_OP_Q8TA_LINEAR, flat, &(qn_attrs){.q8_linear = l}, 2, "rows of 3 bytes");
    l.n = 0;
    refuse(QN_OP_Q8TA_LINEAR, flat, &(qn_attrs){.q8_linear = l}, 2, "0 outputs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals),     cmocka_unit_test(elements),
        cmocka_unit_test(convolutions), cmocka_unit_test(convolution_literals),
        cmocka_unit_test(linear),       cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("q8", tests, NULL, NULL);
}
