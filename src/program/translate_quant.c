/* translate_quant.c - quantizing and dequantizing by tensors of scales and zero points: for the whole tensor, for each
 * channel, row or block. Formulas: torch.ao.quantization.fx._decomposed and torchao.quantization.quant_primitives. */
#include "program/translate.h"

#include <inttypes.h>

/* x, its scales and zero points, in shapes that broadcast; sizes of x as the caller has it. */
typedef struct quantized {
    qn_value x, scale, zero; /* zero 0: none */
    qn_shape back;           /* shape of the result, where x was seen as blocks; rank 0: as x */
    qn_value sizes[QN_MAX_RANK];
} quantized;

typedef enum form { QUANTIZE, QUANTIZE_LATE, DEQUANTIZE } form;

static qn_value as_float(const qn_call *c, qn_value x)
{
    return x && qn_dtype_of(c, x) != QN_F32 ? qn_convert(c->t->g, x, QN_F32) : x;
}

/* clamp(round(x / scale) + zero, low, high); QUANTIZE_LATE rounds after adding; DEQUANTIZE: (x - zero) * scale */
static qn_status compute(const qn_call *c, const quantized *q, form f, int64_t low, int64_t high)
{
    qn_graph *g = c->t->g;
    qn_value zero = as_float(c, q->zero), y;
    if (f == DEQUANTIZE) {
        y = as_float(c, q->x);
        if (zero) y = qn_binary(g, QN_FN_SUB, y, zero);
        y = qn_mul(g, y, q->scale);
    } else {
        y = qn_mul(g, q->x, qn_unary(g, QN_FN_RECIPROCAL, q->scale, 0, 0));
        if (f == QUANTIZE) y = qn_unary(g, QN_FN_ROUND, y, 0, 0);
        if (zero) y = qn_add(g, y, zero);
        if (f == QUANTIZE_LATE) y = qn_unary(g, QN_FN_ROUND, y, 0, 0);
        y = qn_convert(g, qn_unary(g, QN_FN_CLAMP, y, (double)low, (double)high), QN_I32);
    }
    if (q->back.rank) y = qn_view_computed(g, y, q->back, q->sizes);
    return qn_give(c, y);
}

/* Least and largest code in arguments i and i + 1. */
static qn_status codes(const qn_call *c, uint32_t i, int64_t *low, int64_t *high)
{
    QN_TRY(qn_arg_int(c, i, low));
    QN_TRY(qn_arg_int(c, i + 1, high));
    if (*low < INT32_MIN || *high > INT32_MAX || *low > *high)
        return qn_call_fail(c, QN_ERR_FORMAT, "codes from %" PRId64 " to %" PRId64, *low, *high);
    return qn_ok();
}

/* x, scales, zero points (both broadcast as they are), least and largest code, ..., out */
qn_status qn_translate_quantize_by(const qn_call *c)
{
    quantized q = {.x = 0};
    int64_t low = 0, high = 0;
    QN_TRY(qn_arg_tensor(c, 0, &q.x));
    QN_TRY(qn_arg_tensor(c, 1, &q.scale));
    QN_TRY(qn_arg_optional(c, 2, &q.zero));
    QN_TRY(codes(c, 3, &low, &high));
    return compute(c, &q, (form)c->row->variant, low, high);
}

/* A vector along dimension `axis` of a tensor of that rank. */
static qn_value along(const qn_call *c, qn_value v, uint32_t axis, uint32_t rank)
{
    int8_t from[QN_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) from[i] = (int8_t)(i == axis ? 0 : -1);
    return v ? qn_view_dims(c->t->g, v, rank, from) : 0;
}

/* x, scales [C], zero points [C] or Null, axis, least and largest code, ..., out */
qn_status qn_translate_quantize_channels(const qn_call *c)
{
    quantized q = {.x = 0};
    int64_t low = 0, high = 0;
    uint32_t axis = 0;
    QN_TRY(qn_arg_tensor(c, 0, &q.x));
    QN_TRY(qn_arg_tensor(c, 1, &q.scale));
    QN_TRY(qn_arg_optional(c, 2, &q.zero));
    uint32_t rank = qn_max_shape(c, q.x).rank;
    QN_TRY(qn_arg_dim(c, 3, rank, &axis));
    QN_TRY(codes(c, 4, &low, &high));
    q.scale = along(c, q.scale, axis, rank);
    q.zero = along(c, q.zero, axis, rank);
    return compute(c, &q, (form)c->row->variant, low, high);
}

/* Sees x in blocks: a dimension of n elements in blocks of b becomes [n / b, b], and scales [.., n / b, ..] become
 * [.., n / b, 1, ..]. Whole and single-element blocks need one dimension only. */
static qn_status see_blocks(const qn_call *c, const int64_t *block, quantized *q)
{
    qn_graph *g = c->t->g;
    qn_shape shape = qn_max_shape(c, q->x), split = {0}, scales = {0};
    qn_value sizes[QN_MAX_RANK] = {0}, scale_sizes[QN_MAX_RANK] = {0};
    q->back = shape;
    for (uint32_t i = 0; i < shape.rank; i++) {
        uint32_t n = shape.dim[i];
        bool single = block[i] == 1, whole = block[i] == n;
        if (block[i] < 1 || n % (uint64_t)block[i])
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "blocks of %" PRId64 " in a dimension of %u", block[i], n);
        if (split.rank + (single || whole ? 1u : 2u) > QN_MAX_RANK)
            return qn_call_fail(c, QN_ERR_LIMIT, "more dimensions and blocks than %d", QN_MAX_RANK);
        if (single && n > 1) /* the only ones that may be live */
            q->sizes[i] = sizes[split.rank] = scale_sizes[split.rank] = qn_int_dim(g, q->x, (int32_t)i);
        split.dim[split.rank++] = single || whole ? n : (uint32_t)(n / block[i]);
        scales.dim[scales.rank++] = whole && !single ? 1 : (uint32_t)(n / block[i]);
        if (single || whole) continue;
        split.dim[split.rank++] = (uint32_t)block[i];
        scales.dim[scales.rank++] = 1;
    }
    q->x = qn_view_computed(g, q->x, split, sizes);
    q->scale = qn_view_computed(g, q->scale, scales, scale_sizes);
    if (q->zero) q->zero = qn_view_computed(g, q->zero, scales, scale_sizes);
    return qn_ok();
}

/* x, block sizes, scales, zero points or Null, type, least and largest code, ..., out */
qn_status qn_translate_quantize_blocks(const qn_call *c)
{
    quantized q = {.x = 0};
    int64_t block[QN_MAX_RANK], low = 0, high = 0;
    uint32_t n = 0;
    QN_TRY(qn_arg_tensor(c, 0, &q.x));
    QN_TRY(qn_arg_ints(c, 1, block, QN_MAX_RANK, &n));
    QN_TRY(qn_arg_tensor(c, 2, &q.scale));
    QN_TRY(qn_arg_optional(c, 3, &q.zero));
    QN_TRY(codes(c, 5, &low, &high));
    if (n != qn_max_shape(c, q.x).rank)
        return qn_call_fail(c, QN_ERR_FORMAT, "%u block sizes for rank %u", n, qn_max_shape(c, q.x).rank);
    QN_TRY(see_blocks(c, block, &q));
    return compute(c, &q, (form)c->row->variant, low, high);
}

/* ---- choosing them --------------------------------------------------------------------------- */

/* in, -128, 127, eps, type, out list [scale [1], zero point [1]]: of the whole tensor */
qn_status qn_translate_choose_tensor_qparams(const qn_call *c)
{
    qn_value x, zero = 0;
    int64_t low = 0, high = 0;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(codes(c, 1, &low, &high));
    QN_TRY(qn_arg_double(c, 3, &eps));
    if (low != -128 || high != 127) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "codes other than -128..127");
    qn_value scale = qn_choose_qparams(c->t->g, qn_view(c->t->g, x, qn_shape_2(1, 0)), (float)eps, &zero);
    QN_TRY(qn_give_at(c, 0, scale));
    return qn_give_at(c, 1, zero);
}

/* in [..., K], type, out list [scale [..., 1], zero point [..., 1]]. Of the two zero points that make the least or the
 * largest number exact, the one whose error is smaller. */
qn_status qn_translate_choose_token_qparams(const qn_call *c)
{
    qn_value x, unused = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    uint32_t rank = qn_max_shape(c, x).rank;
    if (rank == 0) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the tensor is a scalar");
    qn_graph *g = c->t->g;
    int8_t from[QN_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) from[i] = (int8_t)(i + 1 < rank ? (int)i : -1);
    const int32_t last = -1;
    qn_value scale = qn_view_dims(g, qn_choose_qparams(g, x, 0, &unused), rank, from);
    qn_value least = qn_binary_scalar(g, QN_FN_MINIMUM, qn_reduce(g, QN_REDUCE_AMIN, x, &last, 1, true), 0);
    qn_value most = qn_binary_scalar(g, QN_FN_MAXIMUM, qn_reduce(g, QN_REDUCE_AMAX, x, &last, 1, true), 0);
    least = qn_binary(g, QN_FN_DIV, least, scale);
    most = qn_binary(g, QN_FN_DIV, most, scale);
    qn_value errors = qn_add(g, qn_binary_scalar(g, QN_FN_ADD, least, -128), qn_binary_scalar(g, QN_FN_ADD, most, 127));
    qn_value by_least = qn_binary_scalar(g, QN_FN_RSUB, least, -128),
             by_most = qn_binary_scalar(g, QN_FN_RSUB, most, 127);
    qn_value zero = qn_where(g, qn_binary_scalar(g, QN_FN_GT, errors, 0), by_least, by_most);
    zero = qn_unary(g, QN_FN_ROUND, qn_unary(g, QN_FN_CLAMP, zero, -128, 127), 0, 0);
    QN_TRY(qn_give_at(c, 0, scale));
    return qn_give_at(c, 1, qn_convert(g, zero, QN_I32));
}
