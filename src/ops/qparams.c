/* qparams.c - choose_qparams and quantize_rows: activations as 8-bit codes, a scale and zero point for each row. */
#include "ops/check.h"
#include "ops/lines.h"

#include <float.h>
#include <math.h>

#define QPARAMS_ROW(variant, words, lanes, item, longest)                                                              \
    {                                                                                                                  \
        .name = "choose_qparams." variant, .source = "choose_qparams", .with = {words, "lines", "divide"},             \
        .entry = "choose_qparams", .access = "rww", .workgroup = {lanes, 1, 1},                                        \
        .consts = {{"LANES", lanes}, {"ITEM", item}, {"LONGEST", longest}},                                            \
        .preferred = lanes == 16 ? QN_ROW_SOFTWARE : QN_ROW_GPU                                                        \
    }

static const qn_kernel_row qparams_rows[] = {
    QPARAMS_ROW("narrow4", "words4", 16, 4, QN_LONGEST_NARROW),
    QPARAMS_ROW("narrow1", "words1", 16, 1, QN_LONGEST_NARROW),
    QPARAMS_ROW("wide4", "words4", 256, 4, 0),
    QPARAMS_ROW("wide1", "words1", 256, 1, 0),
};
const qn_kernel_table qn_choose_qparams_kernels = {qparams_rows, sizeof qparams_rows / sizeof qparams_rows[0]};

/* scale[...], zero_point[...] of x[..., K] */
qn_status qn_plan_choose_qparams(qn_plan *p)
{
    qn_tensor *x;
    uint32_t n;
    float eps = p->node->attrs.qparams.eps;
    QN_TRY(qn_check_f32(p, 0, &x));
    QN_TRY(qn_check_elements(p, &x->live, &n));
    if (x->live.rank == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "x is a scalar: it has no rows");
    if (!(eps >= FLT_MIN) || isinf(eps))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "eps = %g is not a normal float above 0", (double)eps);
    qn_shape leading = x->live;
    leading.rank--;
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, leading));
    QN_TRY(qn_plan_set_out(p, 1, QN_I32, leading));
    qn_lines lines = qn_lines_of(&x->live, 1u << leading.rank);
    return qn_plan_lines(
        p, &(qn_line_job){
               .table = &qn_choose_qparams_kernels, .lines = &lines, .n_inputs = 1, .n_outputs = 2, .number = eps});
}

/* ---- quantize_rows --------------------------------------------------------------------------- */

#define QUANTIZE_ROW(variant, words, item)                                                                             \
    {                                                                                                                  \
        .name = "quantize_rows." variant, .source = "quantize_rows", .with = {words, "divide"},                        \
        .entry = "quantize_rows", .access = "rrrw", .workgroup = {256, 1, 1}, .consts = {                              \
            {"ITEM", item}                                                                                             \
        }                                                                                                              \
    }

enum { ROW_VEC4, ROW_SCALAR };

static const qn_kernel_row quantize_rows[] = {
    [ROW_VEC4] = QUANTIZE_ROW("vec4", "words4", 4),
    [ROW_SCALAR] = QUANTIZE_ROW("scalar", "words1", 1),
};
const qn_kernel_table qn_quantize_rows_kernels = {quantize_rows, 2};

static qn_status quantize(qn_plan *p, uint64_t mask, uint32_t n, uint32_t k)
{
    qn_status s;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_quantize_rows_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device takes rows of %u elements", k);
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    uint32_t item = qn_row_const(row, "ITEM");
    for (uint32_t i = 0; i < 3; i++) qn_bind_operand(p, d, i);
    qn_bind_value(d, p->node->outputs[0]);
    qn_param_u32(d, n / item);
    qn_param_u32(d, k / item);
    return qn_grid_1d(p, d, qn_div_up(n / item, row->workgroup[0]));
}

/* y[M, K] = what x[M, K] becomes in codes with scale[M] and zero_point[M] */
qn_status qn_plan_quantize_rows(qn_plan *p)
{
    qn_tensor *x, *scale, *zero;
    uint32_t n = 0;
    QN_TRY(qn_check_f32(p, 0, &x));
    QN_TRY(qn_check_f32(p, 1, &scale));
    QN_TRY(qn_check_f32_or_i32(p, 2, &zero));
    QN_TRY(qn_check_elements(p, &x->live, &n));
    uint32_t k = x->live.rank ? x->live.dim[x->live.rank - 1] : 1;
    char xt[96], st[96], zt[96];
    if (x->live.rank == 0 || qn_shape_count(&scale->live) != n / k || qn_shape_count(&zero->live) != n / k ||
        zero->dtype != QN_I32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "scale%s (f32) and zero point%s (i32) do not fit the rows of x%s",
                            qn_shape_text(&scale->live, st, sizeof st), qn_shape_text(&zero->live, zt, sizeof zt),
                            qn_shape_text(&x->live, xt, sizeof xt));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, x->live));
    const uint64_t scalar = 1u << ROW_SCALAR, any = scalar | 1u << ROW_VEC4;
    if (p->building) { /* a live row length within the maximum may take either route */
        if (k >= 4) QN_TRY(quantize(p, any, n, k));
        return quantize(p, scalar, n, k);
    }
    return quantize(p, k % 4 == 0 ? any : scalar, n, k);
}
