/* ints.c - integers that an execution computes on the host: sizes, elements of small inputs, and sums of them. They
 * have no kernels; what they say reaches a kernel through the plan of the op that takes them. */
#include "ops/op.h"

#include <inttypes.h>

/* index in 0..n-1, or negative and counted from the end. */
static qn_status resolve(const qn_plan *p, const char *what, int64_t index, uint32_t n, uint32_t *at)
{
    int64_t i = index < 0 ? index + n : index;
    if (i < 0 || i >= n)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s %" PRId64 " is outside the %u that are there", what, index, n);
    *at = (uint32_t)i;
    return qn_ok();
}

/* The element of a small i32 input; attribute: its index in row-major order, negative from the live end. */
qn_status qn_plan_int_from_tensor(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0);
    if (!x || x->is_int || x->dtype != QN_I32 || x->weight)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "only an i32 input can be read as an integer");
    uint32_t at = 0;
    QN_TRY(resolve(p, "index", p->node->attrs.integer.index, (uint32_t)qn_shape_count(&x->live), &at));
    return qn_plan_set_int(p, p->building ? INT32_MAX : x->host[at]);
}

/* The live size of a dimension; attribute: which, negative from the last. */
qn_status qn_plan_int_dim(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0);
    if (!x || x->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "only a tensor has sizes");
    uint32_t at = 0;
    QN_TRY(resolve(p, "dimension", p->node->attrs.integer.index, x->live.rank, &at));
    return qn_plan_set_int(p, x->live.dim[at]);
}

/* Both are within int32, so that neither sum nor product passes 64 bits. */
qn_status qn_plan_int_add(qn_plan *p)
{
    return qn_plan_set_int(p, qn_plan_int(p, 0) + qn_plan_int(p, 1));
}

qn_status qn_plan_int_sub(qn_plan *p)
{
    return qn_plan_set_int(p, qn_plan_int(p, 0) - (p->building ? 0 : qn_plan_int(p, 1)));
}

qn_status qn_plan_int_mul(qn_plan *p)
{
    return qn_plan_set_int(p, qn_plan_int(p, 0) * qn_plan_int(p, 1));
}

/* Rounds towards minus infinity, as Python's // does. */
qn_status qn_plan_int_floordiv(qn_plan *p)
{
    int64_t a = qn_plan_int(p, 0), b = qn_plan_int(p, 1);
    if (p->building) return qn_plan_set_int(p, a);
    if (b == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%" PRId64 " is divided by 0", a);
    return qn_plan_set_int(p, a / b - (a % b != 0 && (a < 0) != (b < 0)));
}
