/* pool.c - max_pool2d and avg_pool2d. */
#include "ops/axis.h"

#include <math.h>

enum { ROW_MAX, ROW_MAX_INDICES, ROW_MEAN, N_ROWS };

static const qn_kernel_row rows[] = {
    [ROW_MAX] = {.name = "pool2d.max",
                 .source = "pool",
                 .with = {"axis"},
                 .entry = "maximum",
                 .access = "rw",
                 .workgroup = {64, 1, 1}},
    [ROW_MAX_INDICES] = {.name = "pool2d.max_indices",
                         .source = "pool",
                         .with = {"axis"},
                         .entry = "maximum_and_index",
                         .access = "rww",
                         .workgroup = {64, 1, 1}},
    [ROW_MEAN] = {.name = "pool2d.mean",
                  .source = "pool",
                  .with = {"axis"},
                  .entry = "mean",
                  .access = "rw",
                  .workgroup = {64, 1, 1}},
};
const qn_kernel_table qn_pool_kernels = {rows, N_ROWS};

static uint32_t or_else(uint32_t number, uint32_t otherwise)
{
    return number ? number : otherwise;
}

static qn_axis make_axis(const qn_pool_options *o, uint32_t i, uint32_t input)
{
    return (qn_axis){.input = input,
                     .kernel = o->kernel[i],
                     .stride = or_else(o->stride[i], o->kernel[i]),
                     .padding = o->padding[i],
                     .dilation = or_else(o->dilation[i], 1)};
}

/* Both windows, and the live output shape in *out. */
static qn_status find_windows(qn_plan *p, qn_axis *h, qn_axis *w, qn_shape *out)
{
    enum { SOFTWARE_TAPS = 1 << 15 }; /* an invocation there ends silently after 65,535 iterations */
    const qn_pool_options *o = &p->node->attrs.pool;
    qn_tensor *x;
    uint32_t elements;
    char text[96];
    QN_TRY(qn_check_f32(p, 0, &x));
    *out = x->live;
    if (out->rank != 3 && out->rank != 4)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x%s is neither [C,H,W] nor [N,C,H,W]",
                            qn_shape_text(out, text, sizeof text));
    QN_TRY(qn_check_elements(p, &x->live, &elements));
    uint32_t *size = out->dim + out->rank - 2;
    *h = make_axis(o, 0, size[0]);
    *w = make_axis(o, 1, size[1]);
    QN_TRY(qn_axis_pool(p, "height", h, o->ceil_mode));
    QN_TRY(qn_axis_pool(p, "width", w, o->ceil_mode));
    if (p->device->type == QN_ADAPTER_SOFTWARE && (uint64_t)h->kernel * w->kernel > SOFTWARE_TAPS)
        return qn_plan_fail(p, QN_ERR_LIMIT, "a window of %u x %u is too large for a software device", h->kernel,
                            w->kernel);
    size[0] = h->output;
    size[1] = w->output;
    return qn_ok();
}

static qn_status plan(qn_plan *p, uint32_t route)
{
    qn_axis h, w;
    qn_shape out;
    uint32_t n = 0;
    QN_TRY(find_windows(p, &h, &w, &out));
    QN_TRY(qn_check_elements(p, &out, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    if (route == ROW_MAX_INDICES) QN_TRY(qn_plan_set_out(p, 1, QN_I32, out));
    const qn_kernel_row *row = qn_plan_pick(p, &qn_pool_kernels, UINT64_C(1) << route, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    qn_bind_operand(p, d, 0);
    for (uint32_t i = 0; i < p->node->n_outputs; i++) qn_bind_value(d, p->node->outputs[i]);
    qn_param_axis(d, &h);
    qn_param_axis(d, &w);
    qn_param_u32(d, n);
    qn_param_u32(d, p->node->attrs.pool.count_include_pad);
    qn_param_f32(d, (float)p->node->attrs.pool.divisor_override);
    qn_param_f32(d, -INFINITY);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

qn_status qn_plan_max_pool(qn_plan *p)
{
    return plan(p, p->node->n_outputs == 2 ? ROW_MAX_INDICES : ROW_MAX);
}

qn_status qn_plan_avg_pool(qn_plan *p)
{
    const uint32_t *dilation = p->node->attrs.pool.dilation;
    if (dilation[0] > 1 || dilation[1] > 1)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "windows of a mean have no dilation");
    return plan(p, ROW_MEAN);
}
