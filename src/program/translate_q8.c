/* translate_q8.c - the 8-bit operators: tensors of codes with a scale and a zero point of their own. */
#include "program/translate.h"

#include <inttypes.h>
#include <string.h>

/* Scale and zero point in arguments i and i + 1. */
static qn_status quant(const qn_call *c, uint32_t i, qn_quant *q)
{
    int64_t zero = 0;
    QN_TRY(qn_arg_double(c, i, &q->scale));
    QN_TRY(qn_arg_int(c, i + 1, &zero));
    if (zero < INT32_MIN || zero > INT32_MAX) return qn_call_fail(c, QN_ERR_FORMAT, "the zero point is %" PRId64, zero);
    q->zero_point = (int32_t)zero;
    return qn_ok();
}

/* in, scale, zero point, least and largest code, type, out */
qn_status qn_translate_quantize(const qn_call *c)
{
    qn_value x;
    qn_quant q;
    int64_t low = 0, high = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(quant(c, 1, &q));
    if (c->row->variant) return qn_give(c, qn_dequantize_per_tensor(c->t->g, x, q));
    QN_TRY(qn_arg_int(c, 3, &low));
    QN_TRY(qn_arg_int(c, 4, &high));
    if (low < INT32_MIN || high > INT32_MAX || low > high)
        return qn_call_fail(c, QN_ERR_FORMAT, "codes from %" PRId64 " to %" PRId64, low, high);
    return qn_give(c, qn_quantize_per_tensor(c->t->g, x, q, (int32_t)low, (int32_t)high));
}

/* a, b, scale and zero point of a, of b, of the output, alpha, out */
qn_status qn_translate_q8_add(const qn_call *c)
{
    qn_value a, b;
    qn_q8_add_options o;
    QN_TRY(qn_arg_tensor(c, 0, &a));
    QN_TRY(qn_arg_tensor(c, 1, &b));
    QN_TRY(quant(c, 2, &o.a));
    QN_TRY(quant(c, 4, &o.b));
    QN_TRY(quant(c, 6, &o.output));
    QN_TRY(qn_arg_double(c, 8, &o.alpha));
    return qn_give(c, qn_q8ta_add(c->t->g, a, b, &o));
}

/* in, its scale and zero point, the output's, out; pixel_shuffle: 1 / the output's scale, and the factor before out */
qn_status qn_translate_q8_unary(const qn_call *c)
{
    qn_value x;
    qn_quant in, out;
    int64_t factor = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(quant(c, 1, &in));
    QN_TRY(quant(c, 3, &out));
    if (!c->row->variant) return qn_give(c, qn_q8ta_relu(c->t->g, x, in, out));
    QN_TRY(qn_arg_int(c, 5, &factor));
    if (factor < 1 || factor > INT32_MAX || out.scale == 0)
        return qn_call_fail(c, QN_ERR_FORMAT, "the factor is %" PRId64 ", the output's scale 1 / %g", factor,
                            out.scale);
    out.scale = 1 / out.scale;
    return qn_give(c, qn_q8ta_pixel_shuffle(c->t->g, x, in, out, (uint32_t)factor));
}

static qn_status activation(const qn_call *c, uint32_t i, bool *relu)
{
    const char *name;
    QN_TRY(qn_arg_string(c, i, &name));
    *relu = strcmp(name, "relu") == 0;
    if (!*relu && strcmp(name, "none") != 0)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the activation %s is not known", name);
    return qn_ok();
}

/* x, scale, zero point, weight [Cout, row] (depthwise: [kh, kw, Cout]), weight sums (of no use here), weight scales,
 * the output's scale and zero point, bias or Null, kernel, stride, padding, (output padding,) dilation, groups,
 * activation, out */
qn_status qn_translate_q8_conv(const qn_call *c)
{
    enum { PLAIN, DEPTHWISE, TRANSPOSED };
    qn_value x, w, scales, bias;
    const qn_vk_tensor *weight, *out;
    qn_q8_conv_options o = {.depthwise = c->row->variant == DEPTHWISE};
    int64_t kernel[2] = {0};
    uint32_t n = 0;
    bool transposed = c->row->variant == TRANSPOSED;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(quant(c, 1, &o.input));
    QN_TRY(qn_arg_desc(c, 3, &weight));
    QN_TRY(qn_arg_bytes(c, 3, &w));
    QN_TRY(qn_arg_tensor(c, 5, &scales));
    QN_TRY(quant(c, 6, &o.output));
    QN_TRY(qn_arg_optional(c, 8, &bias));
    QN_TRY(qn_arg_ints(c, 9, kernel, 2, &n));
    QN_TRY(qn_arg_conv(c, 10, transposed ? "spodg" : "spdg", &o.conv));
    o.conv.transposed = transposed;
    QN_TRY(activation(c, transposed ? 15 : 14, &o.relu));
    QN_TRY(qn_out_desc(c, 0, &out));
    if (n != 2 || out->shape.rank != 4 || weight->shape.rank < 2 || kernel[0] < 1 || kernel[1] < 1 ||
        kernel[0] > INT32_MAX || kernel[1] > INT32_MAX)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "only pictures with a kernel of two sizes are supported");
    o.kernel[0] = (uint32_t)kernel[0];
    o.kernel[1] = (uint32_t)kernel[1];
    o.channels_out = out->shape.dim[1];
    o.row_bytes = o.depthwise ? 0 : weight->shape.dim[1];
    return qn_give(c, qn_q8ta_conv2d(c->t->g, x, w, scales, bias, &o));
}

/* x, scale, zero point, weight [N, row], weight sums, weight scales, (the output's scale and zero point,) bias or Null,
 * (activation,) out */
qn_status qn_translate_q8_linear(const qn_call *c)
{
    qn_value x, w, scales, bias;
    const qn_vk_tensor *weight, *out;
    qn_q8_linear_options o = {.float_output = c->row->variant != 0};
    uint32_t at = 6;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(quant(c, 1, &o.input));
    QN_TRY(qn_arg_desc(c, 3, &weight));
    QN_TRY(qn_arg_bytes(c, 3, &w));
    QN_TRY(qn_arg_tensor(c, 5, &scales));
    if (!o.float_output) {
        QN_TRY(quant(c, at, &o.output));
        at += 2;
    }
    QN_TRY(qn_arg_optional(c, at, &bias));
    if (!o.float_output) QN_TRY(activation(c, at + 1, &o.relu));
    QN_TRY(qn_out_desc(c, 0, &out));
    if (out->shape.rank == 0 || weight->shape.rank != 2)
        return qn_call_fail(c, QN_ERR_FORMAT, "the output has rank %u, the weight %u", out->shape.rank,
                            weight->shape.rank);
    o.n = out->shape.dim[out->shape.rank - 1];
    o.row_bytes = weight->shape.dim[1];
    return qn_give(c, qn_q8ta_linear(c->t->g, x, w, scales, bias, &o));
}
