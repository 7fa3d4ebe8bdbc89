/* softmax.c - softmax, log_softmax and cumsum: what keeps the shape of x and works along one dimension of it. */
#include "ops/check.h"
#include "ops/lines.h"

static const qn_kernel_row softmax_rows[] = {QN_LINE_ROWS("softmax", "softmax", "softmax", "rw", .spec = {"LOG"})};
const qn_kernel_table qn_softmax_kernels = {softmax_rows, sizeof softmax_rows / sizeof softmax_rows[0]};

static const qn_kernel_row cumsum_rows[] = {
    {QN_LINE_ROW("cumsum", "narrow", "cumsum", "cumsum", "rw", "words1", 16, 16, 1, QN_LONGEST_NARROW),
     .spec = {"IS_INT"}, .preferred = QN_ROW_SOFTWARE},
    {QN_LINE_ROW("cumsum", "wide", "cumsum", "cumsum", "rw", "words1", 256, 256, 1, 0), .spec = {"IS_INT"},
     .preferred = QN_ROW_GPU},
};
const qn_kernel_table qn_cumsum_kernels = {cumsum_rows, sizeof cumsum_rows / sizeof cumsum_rows[0]};

/* y[...] = the kernel's function of x[...] along attrs.line.dim */
static qn_status plan(qn_plan *p, const qn_kernel_table *table, uint32_t spec)
{
    const qn_tensor *x = qn_plan_in(p, 0);
    uint32_t dim = 0, n;
    QN_TRY(qn_check_elements(p, &x->live, &n));
    QN_TRY(qn_check_dim(p, "", &x->live, p->node->attrs.line.dim, &dim));
    QN_TRY(qn_plan_set_out(p, 0, x->dtype, x->live));
    qn_lines lines = qn_lines_of(&x->live, 1u << dim);
    return qn_plan_lines(
        p, &(qn_line_job){.table = table, .lines = &lines, .n_inputs = 1, .n_outputs = 1, .spec = {spec}});
}

static qn_status plan_softmax(qn_plan *p, bool log)
{
    qn_tensor *x;
    QN_TRY(qn_check_f32(p, 0, &x));
    return plan(p, &qn_softmax_kernels, log);
}

qn_status qn_plan_softmax(qn_plan *p)
{
    return plan_softmax(p, false);
}

qn_status qn_plan_log_softmax(qn_plan *p)
{
    return plan_softmax(p, true);
}

qn_status qn_plan_cumsum(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(qn_check_f32_or_i32(p, 0, &x));
    return plan(p, &qn_cumsum_kernels, x->dtype == QN_I32);
}
