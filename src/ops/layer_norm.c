/* layer_norm.c - layer_norm and group_norm: contiguous lines brought to mean 0 and variance 1. */
#include "ops/check.h"
#include "ops/reduce.h"

#include <math.h>

static const qn_kernel_row rows[] = {
    QN_LONG_LINE_ROWS("layer_norm", "layer_norm", "layer_norm", "rrrw", .spec = {"HAS_W", "HAS_B", "GROUP"})};
const qn_kernel_table qn_layer_norm_kernels = {rows, sizeof rows / sizeof rows[0]};

/* x and eps. */
static qn_status check(const qn_plan *p, qn_tensor **x)
{
    uint32_t n;
    float eps = p->node->attrs.layer_norm.eps;
    QN_TRY(qn_check_f32(p, 0, x));
    if (!(eps >= 0.0f) || isinf(eps))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "eps = %g is not a number >= 0", (double)eps);
    return qn_check_elements(p, &(*x)->live, &n);
}

/* w and b, where they are given, have `shape`. */
static qn_status check_affine(const qn_plan *p, const qn_tensor *x, const qn_shape *shape)
{
    for (uint32_t i = 1; i <= 2; i++) {
        qn_tensor *t = qn_plan_in(p, i);
        if (!t) continue;
        QN_TRY(qn_check_f32(p, i, &t));
        char have[96], want[96], xt[96];
        if (!qn_shape_equal(&t->live, shape))
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s is not %s, as x%s needs it", i == 1 ? "weight" : "bias",
                                qn_shape_text(&t->live, have, sizeof have), qn_shape_text(shape, want, sizeof want),
                                qn_shape_text(&x->live, xt, sizeof xt));
    }
    return qn_ok();
}

/* Sets the outputs, and dispatches y and, where they are asked for, mean and 1 / sqrt(variance + eps) of the lines. */
static qn_status finish(qn_plan *p, const qn_tensor *x, qn_line_job *job, const qn_shape *statistics)
{
    float eps = p->node->attrs.layer_norm.eps;
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, x->live));
    job->table = &qn_layer_norm_kernels;
    job->n_inputs = 3;
    job->n_outputs = 1;
    job->spec[0] = qn_plan_in(p, 1) != NULL;
    job->spec[1] = qn_plan_in(p, 2) != NULL;
    job->number = eps;
    QN_TRY(qn_plan_lines(p, job));
    if (p->node->n_outputs < 3) return qn_ok();
    for (uint32_t i = 1; i <= 2; i++) QN_TRY(qn_plan_set_out(p, i, QN_F32, *statistics));
    QN_TRY(qn_plan_statistic(p, 1, (qn_reduce_function)QN_REDUCE_MEAN, job->lines, 0.0f));
    return qn_plan_statistic(p, 2, QN_REDUCE_RSTD, job->lines, eps);
}

/* y[..., D] = (x - mean) / sqrt(variance + eps) * w[D] + b[D]; D: the last n dimensions. */
qn_status qn_plan_layer_norm(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(check(p, &x));
    uint32_t n = p->node->attrs.layer_norm.n, rank = x->live.rank;
    if (n == 0 || n > rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u normalized dimensions of x with rank %u", n, rank);
    qn_shape normalized = {.rank = n}, statistics = x->live;
    for (uint32_t i = rank - n; i < rank; i++) {
        normalized.dim[i - (rank - n)] = x->live.dim[i];
        statistics.dim[i] = 1;
    }
    QN_TRY(check_affine(p, x, &normalized));
    qn_lines lines = qn_lines_of(&x->live, ((1u << n) - 1) << (rank - n));
    qn_line_job job = {.lines = &lines};
    return finish(p, x, &job, &statistics);
}

/* x[N, C, ...], the C channels in groups: y = (x - mean) / sqrt(variance + eps) * w[C] + b[C]. */
qn_status qn_plan_group_norm(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(check(p, &x));
    char text[96];
    uint32_t groups = p->node->attrs.layer_norm.n;
    if (x->live.rank < 2 || groups == 0 || x->live.dim[1] % groups != 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the channels of x%s cannot be parted into %u groups",
                            qn_shape_text(&x->live, text, sizeof text), groups);
    uint32_t images = x->live.dim[0], channels = x->live.dim[1];
    uint32_t of_image = (uint32_t)(qn_shape_count(&x->live) / images);
    qn_shape affine = qn_shape_1(channels), statistics = qn_shape_2(images, groups);
    QN_TRY(check_affine(p, x, &affine));
    qn_shape parted = qn_shape_2(images * groups, of_image / groups);
    qn_lines lines = qn_lines_of(&parted, 2);
    qn_line_job job = {.lines = &lines, .scalar = true, .spec = {0, 0, 1}, .a = groups, .b = of_image / channels};
    return finish(p, x, &job, &statistics);
}
