/* batch_norm.c - normalization of channels by statistics that training has left. */
#include "ops/check.h"

#include <math.h>

enum { WEIGHT = 1, BIAS, MEAN, VAR, N_INPUTS };

static const qn_kernel_row rows[] = {
    {.name = "batch_norm.element",
     .source = "batch_norm",
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {256, 1, 1},
     .spec = {"HAS_WEIGHT", "HAS_BIAS"}},
};
const qn_kernel_table qn_batch_norm_kernels = {rows, 1};

static qn_status check(const qn_plan *p, const qn_tensor *x)
{
    static const char *const names[] = {[WEIGHT] = "weight", [BIAS] = "bias", [MEAN] = "mean", [VAR] = "var"};
    char text[96], xt[96];
    qn_shape_text(&x->live, xt, sizeof xt);
    if (x->live.rank < 2) return qn_plan_fail(p, QN_ERR_ARGUMENT, "x%s is not [N,C,...]", xt);
    for (uint32_t i = WEIGHT; i < N_INPUTS; i++) {
        qn_tensor *t;
        if (i < MEAN && !p->node->inputs[i]) continue;
        QN_TRY(qn_check_f32(p, i, &t));
        if (t->live.rank != 1 || t->live.dim[0] != x->live.dim[1])
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s does not fit the channels of x%s", names[i],
                                qn_shape_text(&t->live, text, sizeof text), xt);
    }
    float eps = p->node->attrs.norm.eps;
    if (!(eps >= 0.0f) || isinf(eps))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "eps = %g is not a number >= 0", (double)eps);
    return qn_ok();
}

qn_status qn_plan_batch_norm(qn_plan *p)
{
    qn_tensor *x;
    uint32_t n = 0;
    QN_TRY(qn_check_f32(p, 0, &x));
    QN_TRY(check(p, x));
    QN_TRY(qn_check_elements(p, &x->live, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, x->live));
    const qn_kernel_row *row = qn_plan_pick(p, &qn_batch_norm_kernels, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->spec[0] = p->node->inputs[WEIGHT] != 0;
    d->spec[1] = p->node->inputs[BIAS] != 0;
    for (uint32_t i = 0; i < N_INPUTS; i++) {
        if (p->node->inputs[i])
            qn_bind_operand(p, d, i);
        else
            qn_bind_dummy(d);
    }
    qn_bind_value(d, p->node->outputs[0]);
    qn_param_u32(d, n);
    qn_param_u32(d, n / x->live.dim[0] / x->live.dim[1]);
    qn_param_u32(d, x->live.dim[1]);
    qn_param_f32(d, p->node->attrs.norm.eps);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}
