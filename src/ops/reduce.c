/* reduce.c - sum, mean, largest and least element, their like and where they are, over any dimensions. */
#include "ops/reduce.h"

#include "ops/check.h"

#include <math.h>

static const qn_kernel_row rows[] = {QN_LINE_ROWS("reduce", "reduce", "reduce", "rw", .spec = {"FUNCTION", "IS_INT"})};
const qn_kernel_table qn_reduce_kernels = {rows, sizeof rows / sizeof rows[0]};

static const struct {
    const char *name;
    bool takes_i32;
    qn_dtype gives; /* 0: what it takes */
} functions[] = {
    [QN_REDUCE_SUM] = {"sum", true, 0},
    [QN_REDUCE_MEAN] = {"mean", false, 0},
    [QN_REDUCE_PROD] = {"prod", true, 0},
    [QN_REDUCE_AMAX] = {"amax", true, 0},
    [QN_REDUCE_AMIN] = {"amin", true, 0},
    [QN_REDUCE_ANY] = {"any", true, QN_I32},
    [QN_REDUCE_ALL] = {"all", true, QN_I32},
    [QN_REDUCE_ARGMAX] = {"argmax", true, QN_I32},
    [QN_REDUCE_ARGMIN] = {"argmin", true, QN_I32},
    [QN_REDUCE_VAR] = {"var", false, 0},
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

static qn_status check(const qn_plan *p, qn_tensor **x)
{
    uint32_t f = p->node->attrs.reduce.function, n;
    if (f >= N_FUNCTIONS || !functions[f].name) return qn_plan_fail(p, QN_ERR_ARGUMENT, "there is no function %u", f);
    QN_TRY(qn_check_f32_or_i32(p, 0, x));
    if ((*x)->dtype == QN_I32 && !functions[f].takes_i32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s takes no i32 elements", functions[f].name);
    float number = p->node->attrs.reduce.number;
    if (!(number >= 0.0f) || isinf(number))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: the correction %g is not a number >= 0", functions[f].name,
                            (double)number);
    return qn_check_elements(p, &(*x)->live, &n);
}

/* The dimensions to reduce as a mask. */
static qn_status take_dims(const qn_plan *p, const qn_shape *shape, uint32_t *mask)
{
    uint32_t n = p->node->attrs.reduce.n_dims, dim;
    const char *name = functions[p->node->attrs.reduce.function].name;
    *mask = n ? 0 : UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        QN_TRY(qn_check_dim(p, name, shape, p->node->attrs.reduce.dims[i], &dim));
        if (*mask >> dim & 1)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: dimension %u is given more than once", name, dim);
        *mask |= 1u << dim;
    }
    return qn_ok();
}

static qn_shape reduced_shape(const qn_shape *shape, uint32_t mask, bool keepdim)
{
    qn_shape r = {0};
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (!(mask >> i & 1))
            r.dim[r.rank++] = shape->dim[i];
        else if (keepdim)
            r.dim[r.rank++] = 1;
    }
    return r;
}

qn_status qn_plan_statistic(qn_plan *p, uint32_t o, qn_reduce_function function, const qn_lines *lines, float number)
{
    return qn_plan_lines(p, &(qn_line_job){.table = &qn_reduce_kernels,
                                           .lines = lines,
                                           .n_inputs = 1,
                                           .first_output = o,
                                           .n_outputs = 1,
                                           .spec = {function, qn_plan_in(p, 0)->dtype == QN_I32},
                                           .number = number});
}

/* y = function of the elements of x along attrs.dims */
qn_status qn_plan_reduce(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(check(p, &x));
    uint32_t f = p->node->attrs.reduce.function, mask = 0;
    QN_TRY(take_dims(p, &x->live, &mask));
    qn_dtype dtype = functions[f].gives ? functions[f].gives : x->dtype;
    QN_TRY(qn_plan_set_out(p, 0, dtype, reduced_shape(&x->live, mask, p->node->attrs.reduce.keepdim)));
    qn_lines lines = qn_lines_of(&x->live, mask);
    return qn_plan_statistic(p, 0, (qn_reduce_function)f, &lines, p->node->attrs.reduce.number);
}
