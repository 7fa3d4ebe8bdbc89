/* conv.c - convolution over one or two dimensions, also transposed, with an optional clamp of the result. */
#include "ops/axis.h"

#include <float.h>
#include <math.h>

enum { ROW_POINTWISE, ROW_DEPTHWISE, ROW_DIRECT, ROW_TRANSPOSED, N_ROWS };

#define CONV_ROW(variant, file, outputs, across, ...)                                                                  \
    {                                                                                                                  \
        .name = "conv2d." variant, .source = file, .with = {__VA_ARGS__}, .entry = "main", .access = "rrrw",           \
        .workgroup = {64, 1, 1}, .consts = {{"BLOCK", outputs}, {"COLUMNS", across}}, .spec = {                        \
            "HAS_BIAS",                                                                                                \
            "CLAMP"                                                                                                    \
        }                                                                                                              \
    }

/* pointwise reads and writes vectors of four pixels: for 1 x 1 kernels where four divide the live pixels. */
static const qn_kernel_row rows[] = {
    [ROW_POINTWISE] = CONV_ROW("pointwise", "conv_pointwise", 4, 1, "axis", "item4", "conv_sum"),
    [ROW_DEPTHWISE] = CONV_ROW("depthwise", "conv", 1, 4, "axis"),
    [ROW_DIRECT] = CONV_ROW("direct", "conv", 4, 4, "axis"),
    [ROW_TRANSPOSED] = CONV_ROW("transposed", "conv_transposed", 4, 1, "axis", "item1", "conv_sum"),
};
const qn_kernel_table qn_conv_kernels = {rows, N_ROWS};

/* ---- checks ---------------------------------------------------------------------------------- */

/* w[Cout, Cin/groups, kh, kw], transposed [Cin, Cout/groups, kh, kw]; of three dimensions without kh. */
static qn_status check_weight(const qn_plan *p, const qn_conv_options *o, uint32_t *channels_out, uint32_t kernel[2])
{
    qn_tensor *x, *w;
    QN_TRY(qn_check_f32(p, 0, &x));
    QN_TRY(qn_check_f32(p, 1, &w));
    qn_image xi = {0}, wi = {0};
    QN_TRY(qn_check_image(p, 0, &xi));
    QN_TRY(qn_check_image(p, 1, &wi));
    char xt[96], wt[96];
    uint32_t groups = o->groups ? o->groups : 1, in = o->transposed ? wi.n : wi.c * groups;
    if (in != xi.c || x->live.rank != w->live.rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "w%s does not fit x%s with %u groups",
                            qn_shape_text(&w->live, wt, sizeof wt), qn_shape_text(&x->live, xt, sizeof xt), o->groups);
    *channels_out = o->transposed ? wi.c * groups : wi.n;
    kernel[0] = wi.h;
    kernel[1] = wi.w;
    return qn_ok();
}

static qn_status check_rest(const qn_plan *p, const qn_conv_options *o, uint32_t channels_out)
{
    if (p->node->inputs[2]) {
        qn_tensor *bias;
        char text[96];
        QN_TRY(qn_check_f32(p, 2, &bias));
        if (bias->live.rank != 1 || bias->live.dim[0] < channels_out)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "bias%s is too short for %u channels",
                                qn_shape_text(&bias->live, text, sizeof text), channels_out);
    }
    if (o->clamp && !(o->min <= o->max))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the clamp's bounds are %g and %g", (double)o->min, (double)o->max);
    return qn_ok();
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* WGSL promises nothing about infinities. */
static float finite_bound(float bound)
{
    return fmaxf(-FLT_MAX, fminf(FLT_MAX, bound));
}

static qn_status dispatch(qn_plan *p, const qn_kernel_row *row, const qn_conv *c)
{
    const qn_conv_options *o = &p->node->attrs.conv;
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->spec[0] = p->node->inputs[2] != 0;
    d->spec[1] = o->clamp;
    qn_bind_operand(p, d, 0);
    qn_bind_operand(p, d, 1);
    if (p->node->inputs[2])
        qn_bind_operand(p, d, 2);
    else
        qn_bind_dummy(d);
    qn_bind_value(d, p->node->outputs[0]);
    QN_TRY(qn_conv_params(p, d, c, qn_row_const(row, "BLOCK"), qn_row_const(row, "COLUMNS")));
    qn_param_f32(d, finite_bound(o->min));
    qn_param_f32(d, finite_bound(o->max));
    return qn_ok();
}

/* The route of `mask`, in as many dispatches as the sum of one output needs: a software device ends an invocation
 * silently after 65,535 iterations, so each sums as many channels as stay below, on top of the last one's. */
static qn_status dispatch_route(qn_plan *p, const qn_conv *whole, uint64_t mask)
{
    enum { SOFTWARE_SUM = 1 << 15 };
    const qn_kernel_row *row = qn_plan_pick(p, &qn_conv_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    uint64_t taps = (uint64_t)whole->h.kernel * whole->w.kernel;
    uint32_t step = whole->channels_in;
    if (p->device->type == QN_ADAPTER_SOFTWARE) {
        if (taps > SOFTWARE_SUM)
            return qn_plan_fail(p, QN_ERR_LIMIT, "a kernel of %u x %u is too large for a software device",
                                whole->h.kernel, whole->w.kernel);
        if (step > SOFTWARE_SUM / taps) step = (uint32_t)(SOFTWARE_SUM / taps);
    }
    qn_conv c = *whole;
    if (row == &rows[ROW_POINTWISE]) c.w.input = c.w.output = c.w.output / 4;
    for (c.first = 0; c.first < c.channels_in; c.first = c.last) {
        c.last = c.channels_in - c.first < step ? c.channels_in : c.first + step;
        QN_TRY(dispatch(p, row, &c));
    }
    return qn_ok();
}

static bool is_pointwise(const qn_axis *a)
{
    return a->kernel == 1 && a->stride == 1 && a->padding == 0;
}

qn_status qn_plan_conv(qn_plan *p)
{
    const qn_conv_options *o = &p->node->attrs.conv;
    uint32_t channels_out = 0, kernel[2] = {0};
    qn_conv c;
    QN_TRY(check_weight(p, o, &channels_out, kernel));
    QN_TRY(check_rest(p, o, channels_out));
    QN_TRY(qn_conv_begin(p, o, channels_out, kernel, QN_F32, &c));
    if (o->transposed) return dispatch_route(p, &c, 1u << ROW_TRANSPOSED);
    uint64_t any = 1u << ROW_DIRECT;
    if (c.channels_out <= 2) any |= 1u << ROW_DEPTHWISE;
    if (!is_pointwise(&c.h) || !is_pointwise(&c.w)) return dispatch_route(p, &c, any);
    c.w.input = c.w.output = c.h.output * c.w.output; /* every pixel for itself: one row of them */
    c.h.input = c.h.output = 1;
    uint32_t pixels = c.w.output;
    if (p->building && pixels >= 4) { /* live sizes within the maximum may take either route */
        qn_conv four = c;
        four.w.input = four.w.output = pixels - pixels % 4;
        QN_TRY(dispatch_route(p, &four, any | 1u << ROW_POINTWISE));
    }
    return dispatch_route(p, &c, !p->building && pixels % 4 == 0 ? any | 1u << ROW_POINTWISE : any);
}
