/* translate_matmul.c - products of two tensors. A constant right one becomes a packed matrix. */
#include "program/translate.h"

#include <math.h>

/* a [..., M, K] . b [..., K, N]; b a constant matrix: as linear, with the bias where there is one */
static qn_status product(const qn_call *c, uint32_t a, uint32_t b, qn_value bias, qn_value *y)
{
    qn_value x, w;
    const qn_vk_tensor *right;
    QN_TRY(qn_arg_tensor(c, a, &x));
    QN_TRY(qn_arg_desc(c, b, &right));
    if (qn_arg_is_float_matrix(c, b)) {
        qn_weight_desc desc = {
            .kind = QN_WEIGHT_F32, .shape = qn_shape_2(right->shape.dim[1], right->shape.dim[0]), .transposed = true};
        QN_TRY(qn_arg_matrix(c, b, 0, &desc, &w));
        *y = qn_linear(c->t->g, x, w, bias);
        return qn_ok();
    }
    QN_TRY(qn_arg_tensor(c, b, &w));
    *y = qn_matmul(c->t->g, x, w, false, 1.0f);
    if (bias) *y = qn_add(c->t->g, *y, bias);
    return qn_ok();
}

/* a, b, out */
qn_status qn_translate_matmul(const qn_call *c)
{
    qn_value y;
    QN_TRY(product(c, 0, 1, 0, &y));
    return qn_give(c, y);
}

/* bias, a, b, beta, alpha, out: beta * bias + alpha * (a . b) */
qn_status qn_translate_addmm(const qn_call *c)
{
    qn_value bias, y;
    double beta = 1, alpha = 1;
    QN_TRY(qn_arg_tensor(c, 0, &bias));
    if (qn_arg_out(c) >= 5) {
        QN_TRY(qn_arg_double(c, 3, &beta));
        QN_TRY(qn_arg_double(c, 4, &alpha));
    }
    bool row = qn_arg_is_constant(c, 0) && qn_max_shape(c, bias).rank == 1;
    if (beta == 1 && alpha == 1 && row) {
        QN_TRY(product(c, 1, 2, bias, &y));
        return qn_give(c, y);
    }
    qn_graph *g = c->t->g;
    QN_TRY(product(c, 1, 2, 0, &y));
    if (alpha != 1) y = qn_binary_scalar(g, QN_FN_MUL, y, alpha);
    return qn_give(c, qn_add_scaled(g, y, bias, beta));
}

/* q, k, v [B, H, S, D], mask (added to the scores) or Null, scale or Null, out */
qn_status qn_translate_sdpa(const qn_call *c)
{
    qn_value in[3], mask;
    double scale = 0;
    for (uint32_t i = 0; i < 3; i++) QN_TRY(qn_arg_tensor(c, i, &in[i]));
    QN_TRY(qn_arg_optional(c, 3, &mask));
    qn_shape q = qn_max_shape(c, in[0]);
    if (q.rank < 2) return qn_call_fail(c, QN_ERR_FORMAT, "q has rank %u", q.rank);
    QN_TRY(qn_arg_double_or(c, 4, 1 / sqrt((double)q.dim[q.rank - 1]), &scale));
    qn_graph *g = c->t->g;
    qn_value scores = qn_matmul(g, in[0], in[1], true, (float)scale);
    if (mask) scores = qn_add(g, scores, mask);
    return qn_give(c, qn_matmul(g, qn_softmax(g, scores, -1), in[2], false, 1.0f));
}
