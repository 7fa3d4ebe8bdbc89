/* translate_reduce.c - reductions, softmax, norms, and the quantization of rows. */
#include "program/translate.h"

#include <inttypes.h>
#include <string.h>

/* Dimensions of argument i as a list; Null or an empty list: none, which means all. */
static qn_status dim_list(const qn_call *c, uint32_t i, uint32_t rank, int32_t dims[QN_MAX_RANK], uint32_t *n)
{
    uint32_t mask = 0;
    *n = 0;
    QN_TRY(qn_arg_dims(c, i, rank, &mask));
    for (uint32_t k = 0; k < rank; k++)
        if (mask >> k & 1) dims[(*n)++] = (int32_t)k;
    return qn_ok();
}

/* in, dims (a list, one; Null or empty: all), keepdim, ..., out */
qn_status qn_translate_reduce(const qn_call *c)
{
    qn_value x;
    int32_t dims[QN_MAX_RANK];
    uint32_t n = 0;
    bool keepdim = false;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(dim_list(c, 1, qn_max_shape(c, x).rank, dims, &n));
    QN_TRY(qn_arg_bool(c, 2, &keepdim));
    return qn_give(c, qn_reduce(c->t->g, (qn_reduction)c->row->variant, x, dims, n, keepdim));
}

/* in, dims, correction (or Null: 1), keepdim, out */
qn_status qn_translate_var(const qn_call *c)
{
    qn_value x;
    int32_t dims[QN_MAX_RANK];
    uint32_t n = 0;
    bool keepdim = false;
    double correction = 1;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(dim_list(c, 1, qn_max_shape(c, x).rank, dims, &n));
    QN_TRY(qn_arg_double_or(c, 2, 1, &correction)); /* var.dim: unbiased, a Bool */
    QN_TRY(qn_arg_bool(c, 3, &keepdim));
    return qn_give(c, qn_var(c->t->g, x, dims, n, (float)correction, keepdim));
}

/* in, dim or Null, keepdim, out */
qn_status qn_translate_argmax(const qn_call *c)
{
    qn_value x;
    uint32_t dim = 0;
    bool keepdim = false;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_bool(c, 2, &keepdim));
    bool flat = qn_arg_is_null(c, 1);
    if (!flat) QN_TRY(qn_arg_dim(c, 1, qn_max_shape(c, x).rank, &dim));
    int32_t along = (int32_t)dim;
    const int32_t *which = flat ? NULL : &along;
    return qn_give(c, c->row->variant ? qn_argmin(c->t->g, x, which, keepdim) : qn_argmax(c->t->g, x, which, keepdim));
}

/* in, dim, ..., out */
qn_status qn_translate_softmax(const qn_call *c)
{
    static qn_value (*const functions[])(qn_graph * g, qn_value x, int32_t dim) = {qn_softmax, qn_log_softmax,
                                                                                   qn_cumsum};
    qn_value x;
    uint32_t dim = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_dim(c, 1, qn_max_shape(c, x).rank, &dim));
    return qn_give(c, functions[c->row->variant](c->t->g, x, (int32_t)dim));
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* y, and mean and rstd where the output is a list. */
static qn_status give_norm(const qn_call *c, qn_value y, const qn_value stats[2])
{
    QN_TRY(qn_give_at(c, 0, y));
    const qn_vk_value *out = qn_arg(c, qn_arg_out(c));
    for (uint32_t i = 1; out->kind == QN_VK_VALUE_LIST && i < out->u.list.count && i < 3; i++)
        QN_TRY(qn_give_at(c, i, stats[i - 1]));
    return qn_ok();
}

/* in, shape, weight, bias, eps, out list */
qn_status qn_translate_layer_norm(const qn_call *c)
{
    qn_value x, stats[2] = {0};
    qn_norm_options o = {.eps = 0};
    int64_t shape[QN_MAX_RANK];
    uint32_t n = 0;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_ints(c, 1, shape, QN_MAX_RANK, &n));
    QN_TRY(qn_arg_optional(c, 2, &o.weight));
    QN_TRY(qn_arg_optional(c, 3, &o.bias));
    QN_TRY(qn_arg_double(c, 4, &eps));
    o.eps = (float)eps;
    bool list = qn_arg(c, qn_arg_out(c))->kind == QN_VK_VALUE_LIST;
    return give_norm(c, qn_layer_norm(c->t->g, x, n, &o, list ? stats : NULL), stats);
}

/* in, weight, bias, N, C, HxW, groups, eps, out list */
qn_status qn_translate_group_norm(const qn_call *c)
{
    qn_value x, stats[2] = {0};
    qn_norm_options o = {.eps = 0};
    int64_t groups = 0;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_optional(c, 1, &o.weight));
    QN_TRY(qn_arg_optional(c, 2, &o.bias));
    QN_TRY(qn_arg_int(c, 6, &groups));
    QN_TRY(qn_arg_double(c, 7, &eps));
    o.eps = (float)eps;
    if (groups < 1 || groups > INT32_MAX) return qn_call_fail(c, QN_ERR_FORMAT, "%" PRId64 " groups", groups);
    bool list = qn_arg(c, qn_arg_out(c))->kind == QN_VK_VALUE_LIST;
    return give_norm(c, qn_group_norm(c->t->g, x, (uint32_t)groups, &o, list ? stats : NULL), stats);
}

/* ---- 8-bit activations ----------------------------------------------------------------------- */

/* in [..., K], mapping "ASYMMETRIC", block [1, ..., K], target type, -128, 127, eps or Null, ..., out list [scale
 * [...], zero point [...]] */
qn_status qn_translate_choose_qparams(const qn_call *c)
{
    qn_value x, zero_point = 0;
    const char *mapping;
    int64_t block[QN_MAX_RANK], low = 0, high = 0;
    uint32_t n = 0;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_string(c, 1, &mapping));
    QN_TRY(qn_arg_ints(c, 2, block, QN_MAX_RANK, &n));
    QN_TRY(qn_arg_int(c, 4, &low));
    QN_TRY(qn_arg_int(c, 5, &high));
    QN_TRY(qn_arg_double_or(c, 6, 0, &eps));
    qn_shape shape = qn_max_shape(c, x);
    bool rows = n == shape.rank && n > 0 && block[n - 1] == shape.dim[n - 1];
    for (uint32_t i = 0; i + 1 < n; i++) rows = rows && block[i] == 1;
    if (strcmp(mapping, "ASYMMETRIC") != 0 || low != -128 || high != 127 || !rows)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "only asymmetric codes -128..127 of whole rows are supported");
    qn_value scale = qn_choose_qparams(c->t->g, x, (float)eps, &zero_point);
    QN_TRY(qn_give_at(c, 0, scale));
    return qn_give_at(c, 1, zero_point);
}
