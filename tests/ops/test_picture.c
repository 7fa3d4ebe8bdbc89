/* Pooling, batch norm, upsampling, grid sampling and grid priors on the software device, at live sizes. */
#include "ops/picture_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 }; /* elements of a tensor here */

/* (i * 7 % 23) / 8 - 1: what the literal numbers were made of. */
static void ramp(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(i * 7 % 23) / 8.0f - 1.0f;
}

/* One operation on x (and on a second input), built at a maximum. */
typedef struct fixture {
    qn_engine *engine;
    qn_graph *g;
    qn_value x, other, out, indices;
    float *data;
} fixture;

static fixture begin(qn_engine *engine, qn_shape max)
{
    fixture f = {.engine = engine, .g = qn_test_graph(engine), .data = qn_test_floats(MOST, 1, 1.0f)};
    f.x = qn_graph_input(f.g, "x", QN_F32, max);
    return f;
}

static void finish(fixture *f)
{
    qn_graph_close(f->g);
    free(f->data);
}

static void build(fixture *f, qn_value out)
{
    f->out = out;
    qn_graph_output(f->g, out, "y");
    if (f->indices) qn_graph_output(f->g, f->indices, "indices");
    qn_assert_ok(qn_graph_build(f->g));
}

/* ---- pooling --------------------------------------------------------------------------------- */

typedef enum kind { MAX, MAX_INDICES, MEAN } kind;

static qn_value add_pool(fixture *f, kind k, const qn_pool_options *o)
{
    if (k == MEAN) return qn_avg_pool2d(f->g, f->x, o);
    return qn_max_pool2d(f->g, f->x, o, k == MAX_INDICES ? &f->indices : NULL);
}

/* Runs at x[n, c, in] (rank 3: [c, in]) against the reference. */
static void check_pool(fixture *f, kind k, const qn_pool_options *o, const uint32_t at[5])
{
    uint32_t in[2] = {at[3], at[4]}, out[2] = {qn_pool_ref_size(o, 0, at[3]), qn_pool_ref_size(o, 1, at[4])};
    qn_shape live = qn_shape_4(at[1], at[2], at[3], at[4]), want_shape = qn_shape_4(at[1], at[2], out[0], out[1]);
    if (at[0] == 3) {
        live = qn_shape_3(at[2], at[3], at[4]);
        want_shape = qn_shape_3(at[2], out[0], out[1]);
    }
    uint32_t planes = at[1] * at[2];
    size_t n = (size_t)planes * out[0] * out[1];
    double *want = calloc(n, sizeof *want);
    int32_t *indices = calloc(n, sizeof *indices);
    if (k == MEAN)
        qn_avg_pool_ref(o, f->data, planes, in, want);
    else
        qn_max_pool_ref(o, f->data, planes, in, want, indices);
    qn_assert_ok(qn_graph_set_input(f->g, f->x, live, f->data));
    const float *got = qn_test_run(f->g, f->out, want_shape);
    char what[64];
    snprintf(what, sizeof what, "pool %d of [%u,%u,%u,%u]", (int)k, at[1], at[2], at[3], at[4]);
    qn_test_compare(what, got, want, n, (qn_tolerance){1e-6, k == MEAN ? 1e-5 : 0.0});
    if (k == MAX_INDICES) assert_memory_equal(qn_graph_output_data(f->g, f->indices, &live), indices, n * 4);
    free(want);
    free(indices);
}

static void pools(void **state)
{
    (void)state;
    static const qn_pool_options windows[] = {
        {.kernel = {2, 2}},
        {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}},
        {.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 1}, .ceil_mode = true, .count_include_pad = true},
        {.kernel = {2, 5}, .stride = {1, 4}, .padding = {0, 2}, .ceil_mode = true},
        {.kernel = {1, 4}, .stride = {3, 1}, .count_include_pad = true, .divisor_override = 3},
        {.kernel = {2, 3}, .stride = {1, 2}, .padding = {1, 1}, .dilation = {3, 2}, .ceil_mode = true},
        {.kernel = {7, 8}, .divisor_override = -2},
    };
    static const uint32_t sizes[][5] = {{4, 2, 3, 9, 10}, {4, 1, 3, 7, 8}, {4, 2, 3, 8, 9}, {3, 1, 5, 8, 11}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        for (kind k = MAX; k <= MEAN; k++) {
            if (k == MEAN && windows[i].dilation[0]) continue;
            fixture f = begin(engine, qn_shape_4(2, 3, 9, 10));
            build(&f, add_pool(&f, k, &windows[i]));
            for (size_t j = 0; j < 3; j++) check_pool(&f, k, &windows[i], sizes[j]);
            check_pool(&f, k, &windows[i], sizes[0]);
            finish(&f);
            f = begin(engine, qn_shape_3(5, 8, 11));
            build(&f, add_pool(&f, k, &windows[i]));
            check_pool(&f, k, &windows[i], sizes[3]);
            finish(&f);
        }
    qn_engine_close(engine);
}

/* Minus infinity everywhere, and windows with no element at all, as torch: the place where the window begins. */
static void empty_windows(void **state)
{
    (void)state;
    float x[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = begin(engine, qn_shape_3(1, 2, 2));
    qn_pool_options o = {.kernel = {2, 2}, .stride = {1, 1}};
    build(&f, add_pool(&f, MAX_INDICES, &o));
    qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_3(1, 2, 2), x));
    const float *got = qn_test_run(f.g, f.out, qn_shape_3(1, 1, 1));
    assert_true(isinf(got[0]) && got[0] < 0);
    assert_int_equal(*(const int32_t *)qn_graph_output_data(f.g, f.indices, NULL), 0);
    finish(&f);
    qn_engine_close(engine);
}

/* Numbers made with torch 2.13 from a ramp x[1,2,3,4]: F.max_pool2d(x, (2,3), (2,2), (1,1), (1,1), True, True) and
 * F.avg_pool2d of the same windows with count_include_pad, without it, and with ceil_mode False, divisor 4. */
static void pool_literals(void **state)
{
    (void)state;
    static const double max[] = {-0.125, 1.625, 1.625, 1.125, 1.375, 0, 1.75, 1.75, 0.625, 1.5, 1.25, 1.25};
    static const int32_t indices[] = {1, 3, 3, 9, 6, 11, 1, 1, 3, 4, 7, 7};
    static const double means[3][12] = {
        {-0.1875, 0.375, 0.40625, 0.25, 0.25, -0.15625, 0.4375, 0.3541667, 0.15625, 0.0625, 0.2083333, 0.0625},
        {-0.5625, 0.75, 1.625, 0.375, 0.25, -0.3125, 1.3125, 0.7083333, 0.625, 0.09375, 0.2083333, 0.125},
        {-0.28125, 0.5625, 0.375, 0.375, 0.65625, 0.53125, 0.09375, 0.3125}};
    qn_pool_options o = {.kernel = {2, 3}, .stride = {2, 2}, .padding = {1, 1}, .ceil_mode = true};
    qn_engine *engine = qn_test_engine(NULL);
    for (int i = 0; i < 4; i++) { /* the maximum, then the means */
        o.count_include_pad = i == 1 || i == 3;
        o.ceil_mode = i != 3;
        o.divisor_override = i == 3 ? 4 : 0;
        fixture f = begin(engine, qn_shape_4(1, 2, 3, 4));
        build(&f, add_pool(&f, i ? MEAN : MAX_INDICES, &o));
        ramp(f.data, 24);
        qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_4(1, 2, 3, 4), f.data));
        const float *got = qn_test_run(f.g, f.out, qn_shape_4(1, 2, 2, i == 3 ? 2 : 3));
        qn_test_compare("pool", got, i ? means[i - 1] : max, i == 3 ? 8 : 12, (qn_tolerance){1e-6, 1e-6});
        if (!i) assert_memory_equal(qn_graph_output_data(f.g, f.indices, NULL), indices, sizeof indices);
        finish(&f);
    }
    qn_engine_close(engine);
}

/* ---- batch norm ------------------------------------------------------------------------------ */

/* torch 2.13: F.batch_norm(ramp [1,2,3,4], mean [0.5,-0.25], var [2,0.5], weight [1.5,-1], bias [0,1], eps 1e-5) */
static const double batch_norm_literal[] = {-1.590986,  -0.6629109, 0.2651644,  1.19324,    -0.9280753, 0,
                                            0.9280753,  -1.19324,   -0.2651644, 0.6629109,  -1.458404,  -0.5303288,
                                            -0.5909743, -1.828399,  1,          -0.2374244, -1.474849,  1.35355,
                                            0.1161254,  -1.121299,  1.7071,     0.4696752,  -0.7677492, 2.060649};

static void batch_norm(void **state)
{
    (void)state;
    static const float data[4][2] = {{1.5f, -1.0f}, {0.0f, 1.0f}, {0.5f, -0.25f}, {2.0f, 0.5f}};
    static const qn_shape shapes[] = {{4, {1, 2, 3, 4}}, {2, {5, 2}}, {3, {3, 2, 7}}, {5, {2, 2, 2, 3, 2}}};
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *w[4];
    for (int i = 0; i < 4; i++) w[i] = qn_test_plain(engine, "w", qn_shape_1(2), data[i]);
    for (size_t i = 0; i < 4; i++)
        for (int with = 0; with < 4; with++) { /* weight, bias */
            fixture f = begin(engine, shapes[i]);
            qn_value v[4];
            for (int k = 0; k < 4; k++) v[k] = qn_graph_weight(f.g, w[k]);
            qn_batch_norm_operands o = {with & 1 ? v[0] : 0, with & 2 ? v[1] : 0, v[2], v[3]};
            build(&f, qn_batch_norm(f.g, f.x, &o, 1e-5f));
            ramp(f.data, 64);
            double want[64];
            qn_batch_norm_ref_operands r = {with & 1 ? data[0] : NULL, with & 2 ? data[1] : NULL, data[2], data[3]};
            for (uint32_t rows = shapes[i].dim[0]; rows > 0; rows--) {
                qn_shape live = shapes[i];
                live.dim[0] = rows;
                const uint32_t n = (uint32_t)qn_shape_count(&live), sizes[3] = {rows, 2, n / rows / 2};
                qn_batch_norm_ref(f.data, &r, 1e-5, sizes, want);
                qn_assert_ok(qn_graph_set_input(f.g, f.x, live, f.data));
                const float *got = qn_test_run(f.g, f.out, live);
                qn_test_compare("batch_norm", got, want, n, (qn_tolerance){2e-6, 2e-6});
                if (i == 0 && with == 3) qn_test_compare("torch", got, batch_norm_literal, n, (qn_tolerance){2e-6, 0});
            }
            finish(&f);
        }
    for (int i = 0; i < 4; i++) qn_weight_free(w[i]);
    qn_engine_close(engine);
}

/* ---- upsampling ------------------------------------------------------------------------------ */

static void check_upsample(fixture *f, const qn_upsample_options *o, qn_shape live)
{
    double *want = calloc(MOST, sizeof *want);
    uint32_t out[2];
    qn_upsample_ref(o, f->data, live.dim[0] * live.dim[1], live.dim + 2, out, want);
    qn_assert_ok(qn_graph_set_input(f->g, f->x, live, f->data));
    qn_shape shape = qn_shape_4(live.dim[0], live.dim[1], out[0], out[1]);
    char what[96];
    snprintf(what, sizeof what, "upsample %d of [%u,%u] to [%u,%u]", (int)o->mode, live.dim[2], live.dim[3], out[0],
             out[1]);
    qn_test_compare(what, qn_test_run(f->g, f->out, shape), want, (size_t)qn_shape_count(&shape),
                    (qn_tolerance){2e-6, 0});
    free(want);
}

static void upsampling(void **state)
{
    (void)state;
    static const struct {
        uint32_t size[2];
        double scale[2];
    } sizes[] = {{{0, 0}, {2.0, 2.0}}, {{0, 0}, {1.5, 3.3}}, {{0, 0}, {0.5, 0.34}},
                 {{7, 11}, {0, 0}},    {{1, 2}, {0, 0}},     {{0, 12}, {1.0, 0}}};
    static const qn_shape lives[] = {{4, {2, 3, 5, 6}}, {4, {1, 3, 2, 3}}, {4, {2, 3, 4, 5}}, {4, {2, 3, 5, 6}}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int mode = 0; mode < 3; mode++) {
            qn_upsample_options o = {.mode = mode ? QN_UPSAMPLE_BILINEAR : QN_UPSAMPLE_NEAREST,
                                     .align_corners = mode == 2,
                                     .size = {sizes[i].size[0], sizes[i].size[1]},
                                     .scale = {sizes[i].scale[0], sizes[i].scale[1]}};
            fixture f = begin(engine, lives[0]);
            build(&f, qn_upsample2d(f.g, f.x, &o));
            for (size_t k = 0; k < 4; k++) check_upsample(&f, &o, lives[k]);
            finish(&f);
        }
    qn_engine_close(engine);
}

/* Numbers made with torch 2.13 from a ramp x[1,1,2,3]: F.interpolate(x, scale_factor=(1.5, 2), mode='nearest'), the
 * same 'bilinear', and F.interpolate(x, size=(3, 4), mode='bilinear', align_corners=True). */
static void upsampling_literals(void **state)
{
    (void)state;
    static const double nearest[] = {-1,     -1,   -0.125, -0.125, 0.75,  0.75,   -1,     -1,  -0.125,
                                     -0.125, 0.75, 0.75,   1.625,  1.625, -0.375, -0.375, 0.5, 0.5};
    static const double bilinear[] = {-1,     -0.78125, -0.34375,  0.09375,  0.53125, 0.75,
                                      0.3125, 0.171875, -0.109375, -0.03125, 0.40625, 0.625,
                                      1.625,  1.125,    0.125,     -0.15625, 0.28125, 0.5};
    static const double aligned[] = {-1,        -0.4166667, 0.1666667, 0.75,      0.3125,     -0.0625,
                                     0.0416667, 0.625,      1.625,     0.2916666, -0.0833333, 0.5};
    static const struct {
        qn_upsample_options o;
        uint32_t w;
        const double *want;
    } cases[] = {{{.mode = QN_UPSAMPLE_NEAREST, .scale = {1.5, 2}}, 6, nearest},
                 {{.mode = QN_UPSAMPLE_BILINEAR, .scale = {1.5, 2}}, 6, bilinear},
                 {{.mode = QN_UPSAMPLE_BILINEAR, .align_corners = true, .size = {3, 4}}, 4, aligned}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < 3; i++) {
        fixture f = begin(engine, qn_shape_4(1, 1, 2, 3));
        build(&f, qn_upsample2d(f.g, f.x, &cases[i].o));
        ramp(f.data, 6);
        qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_4(1, 1, 2, 3), f.data));
        const float *got = qn_test_run(f.g, f.out, qn_shape_4(1, 1, 3, cases[i].w));
        qn_test_compare("interpolate", got, cases[i].want, 3 * cases[i].w, (qn_tolerance){1e-6, 0});
        finish(&f);
    }
    qn_engine_close(engine);
}

/* ---- grids ----------------------------------------------------------------------------------- */

static fixture begin_grid(qn_engine *engine, qn_shape x, qn_shape grid, int mode)
{
    fixture f = begin(engine, x);
    f.other = qn_graph_input(f.g, "grid", QN_F32, grid);
    build(&f, qn_grid_sampler_2d(f.g, f.x, f.other, mode & 2 ? QN_GRID_BORDER : QN_GRID_ZEROS, mode & 1));
    return f;
}

static void grid_sampling(void **state)
{
    (void)state;
    static const uint32_t sizes[][6] = {/* N, C, H, W, Ho, Wo */
                                        {2, 3, 5, 6, 7, 4},
                                        {1, 3, 1, 2, 2, 3},
                                        {2, 3, 4, 1, 7, 1},
                                        {2, 3, 5, 6, 7, 4}};
    float *grid = qn_test_floats(MOST, 7, 1.6f);
    grid[0] = grid[1] = -1.0f; /* corners, far outside */
    grid[2] = grid[3] = 1.0f;
    grid[4] = 1e30f;
    grid[5] = -1e30f;
    qn_engine *engine = qn_test_engine(NULL);
    for (int mode = 0; mode < 4; mode++) {
        fixture f = begin_grid(engine, qn_shape_4(2, 3, 5, 6), qn_shape_4(2, 7, 4, 2), mode);
        for (size_t i = 0; i < 4; i++) {
            const uint32_t *s = sizes[i];
            qn_grid_sizes r = {s[0], s[1], {s[2], s[3]}, {s[4], s[5]}};
            double *want = calloc(MOST, sizeof *want);
            qn_grid_sampler_ref(f.data, grid, &r, mode & 2 ? QN_GRID_BORDER : QN_GRID_ZEROS, mode & 1, want);
            qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_4(s[0], s[1], s[2], s[3]), f.data));
            qn_assert_ok(qn_graph_set_input(f.g, f.other, qn_shape_4(s[0], s[4], s[5], 2), grid));
            const float *got = qn_test_run(f.g, f.out, qn_shape_4(s[0], s[1], s[4], s[5]));
            qn_test_compare("grid_sampler_2d", got, want, s[0] * s[1] * s[4] * s[5], (qn_tolerance){5e-6, 0});
            free(want);
        }
        qn_assert_ok(qn_graph_set_input(f.g, f.other, qn_shape_4(1, 7, 4, 2), grid));
        qn_assert_fails(qn_test_execute(f.g), QN_ERR_ARGUMENT, "grid[1,7,4,2] does not fit x[2,3,5,6]");
        finish(&f);
    }
    free(grid);
    qn_engine_close(engine);
}

/* Numbers made with torch 2.13: F.grid_sample of a ramp x[1,2,3,4] at a grid [1,2,2,2], 'bilinear'; zeros, then zeros
 * with align_corners, border, border with align_corners. */
static void grid_literals(void **state)
{
    (void)state;
    static const float grid[] = {-1.0f, -1.0f, 0.25f, 0.5f, 1.5f, -0.75f, 0.9f, 1.2f};
    static const double want[4][8] = {{-0.25, -0.3125, 0, 0, 0.21875, 0.84375, 0, -0.14},
                                      {-1, 0.3203125, 0.265625, -0.105, 0.875, 0.578125, 0.1953125, -0.56},
                                      {-1, -0.3125, 1.625, 0, 0.875, 0.84375, 0.625, -1},
                                      {-1, 0.3203125, 1.0625, -0.13125, 0.875, 0.578125, 0.78125, -0.7}};
    qn_engine *engine = qn_test_engine(NULL);
    for (int mode = 0; mode < 4; mode++) {
        fixture f = begin_grid(engine, qn_shape_4(1, 2, 3, 4), qn_shape_4(1, 2, 2, 2), mode);
        ramp(f.data, 24);
        qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_4(1, 2, 3, 4), f.data));
        qn_assert_ok(qn_graph_set_input(f.g, f.other, qn_shape_4(1, 2, 2, 2), grid));
        const float *got = qn_test_run(f.g, f.out, qn_shape_4(1, 2, 2, 2));
        qn_test_compare("grid_sample", got, want[mode], 8, (qn_tolerance){1e-6, 0});
        finish(&f);
    }
    qn_engine_close(engine);
}

static void grid_priors(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{3, 5}, {1, 1}, {2, 4}};
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = begin(engine, qn_shape_4(1, 2, 3, 5));
    build(&f, qn_grid_priors(f.g, f.x, 8.0f, 0.5f));
    for (size_t i = 0; i < 3; i++) {
        uint32_t h = sizes[i][0], w = sizes[i][1];
        qn_assert_ok(qn_graph_set_input(f.g, f.x, qn_shape_4(1, 2, h, w), f.data));
        const float *got = qn_test_run(f.g, f.out, qn_shape_2(h * w, 2));
        double want[30];
        for (uint32_t k = 0; k < h * w; k++) {
            want[2 * k] = (k % w + 0.5) * 8.0;
            want[2 * k + 1] = ((double)(k / w) + 0.5) * 8.0;
        }
        qn_test_compare("grid_priors", got, want, 2 * h * w, (qn_tolerance){0, 0});
    }
    finish(&f);
    qn_engine_close(engine);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse(qn_op op, qn_shape x, const qn_attrs *attrs, const char *text)
{
    qn_test_plan t;
    qn_test_plan_init(&t, op);
    qn_test_plan_tensor(&t, "x", QN_F32, x);
    t.node.attrs = *attrs;
    qn_status s = qn_test_plan_build(&t);
    if (s.code != QN_ERR_ARGUMENT && s.code != QN_ERR_LIMIT) fail_msg("not refused: %s (%s)", text, s.text);
    if (!strstr(s.text, text)) fail_msg("expected \"%s\", got \"%s\"", text, s.text);
    qn_test_plan_free(&t);
}

static void refusals(void **state)
{
    (void)state;
    const qn_shape x = qn_shape_4(1, 2, 5, 6), flat = qn_shape_2(5, 6);
    refuse(QN_OP_MAX_POOL2D, flat, &(qn_attrs){.pool = {.kernel = {2, 2}}}, "x[5,6] is neither");
    refuse(QN_OP_MAX_POOL2D, x, &(qn_attrs){.pool = {.kernel = {0, 2}}}, "height: kernel 0");
    refuse(QN_OP_MAX_POOL2D, x, &(qn_attrs){.pool = {.kernel = {2, 7}}}, "width: 6 with padding 0 is too small");
    refuse(QN_OP_MAX_POOL2D, x, &(qn_attrs){.pool = {.kernel = {2, 2}, .padding = {0, 2}}}, "padding 2 is over half");
    refuse(QN_OP_AVG_POOL2D, x, &(qn_attrs){.pool = {.kernel = {2, 2}, .dilation = {1, 2}}}, "dilation");
    refuse(QN_OP_UPSAMPLE2D, flat, &(qn_attrs){.upsample = {.mode = QN_UPSAMPLE_NEAREST}}, "rank 2, not 4");
    refuse(QN_OP_UPSAMPLE2D, x, &(qn_attrs){.upsample = {.size = {2, 2}}}, "unknown mode 0");
    refuse(QN_OP_UPSAMPLE2D, x, &(qn_attrs){.upsample = {.mode = QN_UPSAMPLE_NEAREST}}, "neither a size nor a scale");
    refuse(QN_OP_UPSAMPLE2D, x, &(qn_attrs){.upsample = {.mode = QN_UPSAMPLE_NEAREST, .scale = {0.1, 1}}},
           "output of 0");
    refuse(QN_OP_UPSAMPLE2D, x, &(qn_attrs){.upsample = {.mode = QN_UPSAMPLE_NEAREST, .scale = {1e30, 1}}}, "5e+30");
    refuse(QN_OP_UPSAMPLE2D, x, &(qn_attrs){.upsample = {.mode = QN_UPSAMPLE_NEAREST, .size = {1 << 20, 1 << 20}}},
           "2^31");
    refuse(QN_OP_GRID_PRIORS, qn_shape_1(3), &(qn_attrs){.grid_priors = {1, 0}}, "x[3] is not");
    qn_test_plan t; /* batch norm: channels that differ */
    qn_test_plan_init(&t, QN_OP_BATCH_NORM);
    qn_test_plan_tensor(&t, "x", QN_F32, x);
    qn_test_plan_absent(&t);
    qn_test_plan_absent(&t);
    qn_test_plan_tensor(&t, "mean", QN_F32, qn_shape_1(2));
    qn_test_plan_tensor(&t, "var", QN_F32, qn_shape_1(3));
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, "var[3] does not fit the channels of x[1,2,5,6]");
    qn_test_plan_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools),         cmocka_unit_test(empty_windows), cmocka_unit_test(pool_literals),
        cmocka_unit_test(batch_norm),    cmocka_unit_test(upsampling),    cmocka_unit_test(upsampling_literals),
        cmocka_unit_test(grid_sampling), cmocka_unit_test(grid_literals), cmocka_unit_test(grid_priors),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
