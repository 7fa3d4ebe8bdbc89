#include "ops/check.h"

qn_status qn_check_f32(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    *t = qn_plan_in(p, i);
    if (!*t) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is missing", i);
    const qn_tensor *x = *t;
    const char *name = x->name ? x->name : "";
    if (x->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is an integer, not a tensor", i, name);
    if (x->weight && x->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is a packed matrix, not a plain tensor", i, name);
    if (x->dtype != QN_F32) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is not of type f32", i, name);
    return qn_ok();
}

qn_status qn_check_elements(const qn_plan *p, const qn_shape *shape, uint32_t *n)
{
    uint64_t count = qn_shape_count(shape);
    char text[96];
    qn_shape_text(shape, text, sizeof text);
    if (count == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has no elements", text);
    if (count > INT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "%s has 2^31 elements or more", text);
    *n = (uint32_t)count;
    return qn_ok();
}

void qn_bind_operand(const qn_plan *p, qn_dispatch *d, uint32_t i)
{
    qn_value value = p->node->inputs[i];
    if (p->tensors[value].weight)
        qn_bind_section(d, value, 0, QN_BIND_DATA);
    else
        qn_bind_value(d, value);
}
