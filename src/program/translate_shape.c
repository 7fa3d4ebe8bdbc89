/* translate_shape.c - integers, views and other operators that move no data or only move it. */
#include "program/translate.h"

#include <inttypes.h>

/* ---- integers -------------------------------------------------------------------------------- */

/* x (an input of the delegate), dim, index, out SymInt: an element of a tensor that is a vector or a scalar. */
qn_status qn_translate_symint(const qn_call *c)
{
    qn_value x;
    uint32_t dim = 0;
    int64_t index = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    qn_shape shape = qn_max_shape(c, x);
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_int(c, 2, &index));
    for (uint32_t i = 0; i < shape.rank; i++)
        if (i != dim && shape.dim[i] != 1)
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the tensor has more dimensions than the one selected from");
    if (index < INT32_MIN || index > INT32_MAX)
        return qn_call_fail(c, QN_ERR_FORMAT, "index %" PRId64 " is out of range", index);
    return qn_give_number(c, qn_int_from_tensor(c->t->g, x, (int32_t)index));
}

/* x, dim, out SymInt */
qn_status qn_translate_sym_size(const qn_call *c)
{
    qn_value x;
    uint32_t dim = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_dim(c, 1, qn_max_shape(c, x).rank, &dim));
    return qn_give_number(c, qn_int_dim(c->t->g, x, (int32_t)dim));
}

/* a, b, out SymInt */
qn_status qn_translate_int(const qn_call *c)
{
    qn_value a, b;
    QN_TRY(qn_arg_number(c, 0, &a));
    QN_TRY(qn_arg_number(c, 1, &b));
    qn_graph *g = c->t->g;
    switch (c->row->variant) {
    case QN_OP_INT_ADD:
        return qn_give_number(c, qn_int_add(g, a, b));
    case QN_OP_INT_SUB:
        return qn_give_number(c, qn_int_sub(g, a, b));
    case QN_OP_INT_MUL:
        return qn_give_number(c, qn_int_mul(g, a, b));
    default:
        return qn_give_number(c, qn_int_floordiv(g, a, b));
    }
}

/* ---- aliases --------------------------------------------------------------------------------- */

/* A constant tensor, out: the same. Where an operator writes out, it is a state that starts as the constant. */
qn_status qn_translate_prepack(const qn_call *c)
{
    uint32_t out = (uint32_t)qn_fb_i32_at(&c->op->args, qn_arg_out(c));
    qn_value x;
    if (!qn_arg_is_constant(c, 0)) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "argument 0 is no constant");
    QN_TRY(c->t->values[out].written ? qn_arg_state(c, 0, &x) : qn_arg_tensor(c, 0, &x));
    return qn_give(c, x);
}

/* in, size (IntList, or a ValueList with SymInts; one may be -1), out */
qn_status qn_translate_view(const qn_call *c)
{
    qn_value x;
    qn_sizes sizes;
    const qn_vk_tensor *out;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_sizes(c, 1, &sizes));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(qn_check_sizes(c, &sizes, &out->shape));
    qn_shape shape = {.rank = sizes.n};
    for (uint32_t i = 0; i < sizes.n; i++)
        shape.dim[i] = !sizes.computed[i] && sizes.number[i] == -1 ? 0 : out->shape.dim[i];
    return qn_give(c, qn_view_computed(c->t->g, qn_alias(c, 0, x), shape, sizes.computed));
}

/* in, dim, out: a dimension of size 1 more. */
qn_status qn_translate_unsqueeze(const qn_call *c)
{
    qn_value x;
    uint32_t dim = 0;
    int8_t from[QN_MAX_RANK];
    QN_TRY(qn_arg_tensor(c, 0, &x));
    uint32_t rank = qn_max_shape(c, x).rank + 1;
    if (rank > QN_MAX_RANK) return qn_call_fail(c, QN_ERR_LIMIT, "the output has rank %u", rank);
    QN_TRY(qn_arg_dim(c, 1, rank, &dim));
    for (uint32_t i = 0; i < rank; i++) from[i] = (int8_t)(i == dim ? -1 : i < dim ? (int)i : (int)i - 1);
    return qn_give(c, qn_view_dims(c->t->g, qn_alias(c, 0, x), rank, from));
}

/* in, dims (a list, one, or none for all), out: without those dimensions that are 1 by the file. */
qn_status qn_translate_squeeze(const qn_call *c)
{
    qn_value x;
    uint32_t mask = 0xFF, n = 0;
    int8_t from[QN_MAX_RANK];
    QN_TRY(qn_arg_tensor(c, 0, &x));
    qn_shape shape = qn_max_shape(c, x);
    if (qn_arg_out(c) > 1) QN_TRY(qn_arg_dims(c, 1, shape.rank, &mask));
    for (uint32_t i = 0; i < shape.rank; i++)
        if (!(mask >> i & 1) || shape.dim[i] != 1) from[n++] = (int8_t)i;
    return qn_give(c, qn_view_dims(c->t->g, qn_alias(c, 0, x), n, from));
}

/* in, ..., out: the same elements, in the file's shape of the output. */
qn_status qn_translate_clone(const qn_call *c)
{
    qn_value x;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    return qn_give(c, qn_alias(c, 0, x));
}
