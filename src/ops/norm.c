/* norm.c - rms_norm. */
#include "ops/norm.h"

#include "ops/check.h"

#include <math.h>

#define RMS_NORM_ROW(variant, lanes, fan, item, prelude, where)                                                        \
    {                                                                                                                  \
        .name = "rms_norm." variant, .source = "norm", .with = {prelude}, .entry = "rms_norm", .access = "rrw",        \
        .workgroup = {lanes, 1, 1}, .consts = {{"ITEM", item}, {"FAN", fan}}, .preferred = where                       \
    }

/* Rows of four elements in an item come first; they need E to be a multiple of 4. On a software device a wide
 * workgroup costs more for its barriers than its lanes are worth: 16 lanes, two of its vectors, were the quickest
 * from 1 to 128 rows of 384 to 2048 elements. */
static const qn_kernel_row rows[] = {
    RMS_NORM_ROW("wide4", 256, 16, 4, "item4", QN_ROW_GPU),
    RMS_NORM_ROW("narrow4", 16, 16, 4, "item4", QN_ROW_SOFTWARE),
    RMS_NORM_ROW("wide1", 256, 16, 1, "item1", QN_ROW_GPU),
    RMS_NORM_ROW("narrow1", 16, 16, 1, "item1", QN_ROW_SOFTWARE),
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };
const qn_kernel_table qn_rms_norm_kernels = {rows, N_ROWS};

qn_status qn_check_eps(const qn_plan *p, float eps)
{
    if (eps >= 0.0f && !isinf(eps)) return qn_ok();
    return qn_plan_fail(p, QN_ERR_ARGUMENT, "eps = %g is not a number >= 0", (double)eps);
}

static qn_status check(const qn_plan *p, const qn_tensor *x, const qn_tensor *w)
{
    char xt[96], wt[96];
    qn_shape_text(&x->live, xt, sizeof xt);
    qn_shape_text(&w->live, wt, sizeof wt);
    if (!w->weight) return qn_plan_fail(p, QN_ERR_ARGUMENT, "w must be a weight");
    if (x->live.rank == 0 || w->live.rank != 1 || w->live.dim[0] != x->live.dim[x->live.rank - 1])
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "w%s does not fit the last dimension of x%s", wt, xt);
    return qn_check_eps(p, p->node->attrs.norm.eps);
}

/* Bit i: kernel row i can compute rows of e elements. */
static uint64_t usable(uint32_t e)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < N_ROWS; i++)
        if (e % qn_row_const(&rows[i], "ITEM") == 0) mask |= UINT64_C(1) << i;
    return mask;
}

qn_status qn_plan_norm_step(qn_plan *p, const qn_norm_step *step)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_rms_norm_kernels, usable(step->e), step->n);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device takes rows of %u elements", step->e);
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    qn_bind_to(d, step->x);
    qn_bind_to(d, step->w);
    qn_bind_to(d, step->y);
    qn_param_u32(d, step->n);
    qn_param_u32(d, step->e / qn_row_const(row, "ITEM"));
    qn_param_u32(d, step->e);
    qn_param_f32(d, step->eps);
    qn_plan_work(d, 0, 4.0 * step->e * (2.0 * step->n + 1));
    return qn_grid_1d(p, d, step->n);
}

/* y[..., E] = x / sqrt(mean(x^2 over E) + eps) * w[E] */
qn_status qn_plan_rms_norm(qn_plan *p)
{
    qn_tensor *x, *w;
    QN_TRY(qn_check_f32(p, 0, &x));
    QN_TRY(qn_check_f32(p, 1, &w));
    QN_TRY(check(p, x, w));
    const qn_node *node = p->node;
    uint32_t n = 0, e = w->live.dim[0];
    QN_TRY(qn_check_elements(p, &x->live, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, x->live));
    qn_row_window at = {.row_bytes = (uint64_t)e * 4, .max_rows = (uint32_t)(qn_shape_count(&x->max) / e)};
    QN_TRY(qn_plan_window(p, at.row_bytes, at.max_rows, &at.window));
    qn_norm_step step = {.w = qn_whole(p, node->inputs[1]), .e = e, .eps = node->attrs.norm.eps};
    for (uint32_t i = 0, m; qn_plan_probe(p, &qn_rms_norm_kernels, n / e, &i, &m);)
        for (at.row0 = 0; at.row0 < m; at.row0 += at.window) {
            step.n = m - at.row0 < at.window ? m - at.row0 : at.window;
            step.x = qn_window_of(p, node->inputs[0], &at);
            step.y = qn_window_of(p, node->outputs[0], &at);
            QN_TRY(qn_plan_norm_step(p, &step));
        }
    return qn_ok();
}
