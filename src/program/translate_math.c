/* translate_math.c - elementwise operators: functions of one, two and three operands, conversions, filled tensors. */
#include "program/translate.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- types ----------------------------------------------------------------------------------- */

static qn_status out_dtype(const qn_call *c, qn_dtype *dtype)
{
    const qn_vk_tensor *out;
    QN_TRY(qn_out_desc(c, 0, &out));
    qn_status s = qn_graph_dtype(out->dtype, "the output", dtype);
    return s.code == QN_OK ? s : qn_call_fail(c, s.code, "%s", s.text);
}

static qn_value as(const qn_call *c, qn_value x, qn_dtype dtype)
{
    return x && qn_dtype_of(c, x) != dtype ? qn_convert(c->t->g, x, dtype) : x;
}

/* Two operands of different types meet as f32, as in PyTorch. */
static void meet(const qn_call *c, qn_value *a, qn_value *b)
{
    if (qn_dtype_of(c, *a) == qn_dtype_of(c, *b)) return;
    *a = as(c, *a, QN_F32);
    *b = as(c, *b, QN_F32);
}

/* ---- one operand ----------------------------------------------------------------------------- */

/* The operand of a function whose result is f32 where the file says so. */
static qn_status operand(const qn_call *c, qn_value *x)
{
    qn_dtype dtype = QN_F32;
    QN_TRY(qn_arg_tensor(c, 0, x));
    QN_TRY(out_dtype(c, &dtype));
    if (dtype == QN_F32) *x = as(c, *x, QN_F32);
    return qn_ok();
}

/* in, ..., out */
qn_status qn_translate_unary(const qn_call *c)
{
    qn_value x;
    QN_TRY(operand(c, &x));
    return qn_give(c, qn_unary(c->t->g, (qn_function)c->row->variant, x, 0, 0));
}

/* in (bool or not), out bool */
qn_status qn_translate_logical_not(const qn_call *c)
{
    qn_value x;
    const qn_vk_tensor *in;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_desc(c, 0, &in));
    /* ~x of a truth value is its negation */
    bool bitwise = c->row->variant == QN_FN_BITWISE_NOT && in->dtype != QN_VK_BOOL;
    return qn_give(c, qn_unary(c->t->g, bitwise ? QN_FN_BITWISE_NOT : QN_FN_LOGICAL_NOT, x, 0, 0));
}

/* in, approximate "none" or "tanh", out */
qn_status qn_translate_gelu(const qn_call *c)
{
    qn_value x;
    const char *approximate = "none";
    QN_TRY(qn_arg_tensor(c, 0, &x));
    if (qn_arg_out(c) > 1) QN_TRY(qn_arg_string(c, 1, &approximate));
    bool tanh_form = strcmp(approximate, "tanh") == 0;
    if (!tanh_form && strcmp(approximate, "none") != 0)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the approximation %s is not known", approximate);
    return qn_give(c, qn_unary(c->t->g, tanh_form ? QN_FN_GELU_TANH : QN_FN_GELU, x, 0, 0));
}

/* in, slope, out */
qn_status qn_translate_leaky_relu(const qn_call *c)
{
    qn_value x;
    double slope = 0.01;
    QN_TRY(operand(c, &x));
    if (qn_arg_out(c) > 1) QN_TRY(qn_arg_double(c, 1, &slope));
    return qn_give(c, qn_unary(c->t->g, QN_FN_LEAKY_RELU, x, slope, 0));
}

/* in, alpha, scale, scale of the input, out: scale * (x > 0 ? x : alpha * (e^(x * input scale) - 1)) */
qn_status qn_translate_elu(const qn_call *c)
{
    qn_value x;
    double numbers[] = {1, 1, 1};
    QN_TRY(operand(c, &x));
    for (uint32_t i = 0; i < 3; i++)
        if (qn_arg_out(c) > i + 1) QN_TRY(qn_arg_double(c, i + 1, &numbers[i]));
    if (numbers[2] != 1)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the scale of the input is %g; only 1 is supported", numbers[2]);
    qn_value y = qn_unary(c->t->g, QN_FN_ELU, x, numbers[0], 0);
    return qn_give(c, numbers[1] == 1 ? y : qn_binary_scalar(c->t->g, QN_FN_MUL, y, numbers[1]));
}

/* in, min or Null, max or Null, out; relu6 has none: 0 and 6 */
qn_status qn_translate_clamp(const qn_call *c)
{
    qn_value x;
    double low = c->row->variant == 6 ? 0 : -(double)INFINITY, high = c->row->variant == 6 ? 6 : (double)INFINITY;
    QN_TRY(operand(c, &x));
    if (qn_arg_out(c) > 1) QN_TRY(qn_arg_double_or(c, 1, low, &low));
    if (qn_arg_out(c) > 2) QN_TRY(qn_arg_double_or(c, 2, high, &high));
    return qn_give(c, qn_unary(c->t->g, QN_FN_CLAMP, x, low, high));
}

/* in, exponent, out */
qn_status qn_translate_pow(const qn_call *c)
{
    qn_value x, y;
    double e = 0;
    QN_TRY(operand(c, &x));
    QN_TRY(qn_arg_double(c, 1, &e));
    qn_graph *g = c->t->g;
    if (e == 2.0)
        y = qn_unary(g, QN_FN_SQUARE, x, 0, 0);
    else if (e == 0.5)
        y = qn_unary(g, QN_FN_SQRT, x, 0, 0);
    else if (e == -0.5)
        y = qn_unary(g, QN_FN_RSQRT, x, 0, 0);
    else if (e == floor(e) && fabs(e) <= 64)
        y = qn_unary(g, QN_FN_POW_WHOLE, x, e, 0);
    else
        y = qn_binary_scalar(g, QN_FN_POW, x, e);
    return qn_give(c, y);
}

/* in, out */
qn_status qn_translate_log10(const qn_call *c)
{
    qn_value x;
    QN_TRY(operand(c, &x));
    x = qn_unary(c->t->g, QN_FN_LOG, x, 0, 0);
    return qn_give(c, qn_binary_scalar(c->t->g, QN_FN_MUL, x, 0.43429448190325182765));
}

/* in, limit, out: 0 where |x| is not above the limit */
qn_status qn_translate_hardshrink(const qn_call *c)
{
    qn_value x;
    double limit = 0.5;
    QN_TRY(operand(c, &x));
    if (qn_arg_out(c) > 1) QN_TRY(qn_arg_double(c, 1, &limit));
    qn_graph *g = c->t->g;
    qn_value large = qn_binary_scalar(g, QN_FN_GT, qn_unary(g, QN_FN_ABS, x, 0, 0), limit);
    return qn_give(c, qn_where(g, large, x, qn_full_like(g, x, QN_F32, 0)));
}

/* ---- two operands ---------------------------------------------------------------------------- */

/* f(a, b), b a tensor or a number. */
static qn_status binary(const qn_call *c, qn_function f, qn_value *y)
{
    qn_value a, b = 0;
    double number = 0;
    QN_TRY(qn_arg_tensor(c, 0, &a));
    if (qn_arg(c, 1)->kind == QN_VK_TENSOR) {
        QN_TRY(qn_arg_tensor(c, 1, &b));
        meet(c, &a, &b);
    } else {
        QN_TRY(qn_arg_double(c, 1, &number));
        if (number != floor(number)) a = as(c, a, QN_F32);
    }
    qn_dtype dtype = QN_F32;
    QN_TRY(out_dtype(c, &dtype));
    bool truth = f >= QN_FN_EQ && f <= QN_FN_LOGICAL_XOR;
    if (dtype == QN_F32 && !truth) { /* i32 operands of a quotient, for one */
        a = as(c, a, QN_F32);
        b = as(c, b, QN_F32);
    }
    *y = b ? qn_binary(c->t->g, f, a, b) : qn_binary_scalar(c->t->g, f, a, number);
    return qn_ok();
}

/* a, b, ..., out */
qn_status qn_translate_binary(const qn_call *c)
{
    qn_value y;
    QN_TRY(binary(c, (qn_function)c->row->variant, &y));
    return qn_give(c, y);
}

/* a, b, alpha, out: a + alpha b, or a - alpha b */
qn_status qn_translate_add(const qn_call *c)
{
    qn_value a, b, y;
    double alpha = 1;
    if (qn_arg_out(c) > 2) QN_TRY(qn_arg_double(c, 2, &alpha));
    if (alpha == 1) return qn_translate_binary(c);
    if (c->row->variant == QN_FN_SUB) alpha = -alpha;
    QN_TRY(qn_arg_tensor(c, 0, &a));
    if (qn_arg(c, 1)->kind == QN_VK_TENSOR) {
        QN_TRY(qn_arg_tensor(c, 1, &b));
        meet(c, &a, &b);
        y = qn_add_scaled(c->t->g, a, b, alpha);
    } else {
        double number = 0;
        QN_TRY(qn_arg_double(c, 1, &number));
        number *= alpha;
        y = qn_binary_scalar(c->t->g, QN_FN_ADD, number == floor(number) ? a : as(c, a, QN_F32), number);
    }
    return qn_give(c, y);
}

/* a, b, rounding Null, "trunc" or "floor", out */
qn_status qn_translate_div_mode(const qn_call *c)
{
    const char *mode = "";
    qn_value y;
    if (!qn_arg_is_null(c, 2)) QN_TRY(qn_arg_string(c, 2, &mode));
    qn_function f = strcmp(mode, "trunc") == 0   ? QN_FN_DIV_TRUNC
                    : strcmp(mode, "floor") == 0 ? QN_FN_DIV_FLOOR
                                                 : QN_FN_DIV;
    if (f == QN_FN_DIV && mode[0]) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the rounding %s is not known", mode);
    QN_TRY(binary(c, f, &y));
    return qn_give(c, y);
}

/* condition bool, a, b, out */
qn_status qn_translate_where(const qn_call *c)
{
    qn_value condition, a, b;
    QN_TRY(qn_arg_tensor(c, 0, &condition));
    QN_TRY(qn_arg_tensor(c, 1, &a));
    QN_TRY(qn_arg_tensor(c, 2, &b));
    meet(c, &a, &b);
    return qn_give(c, qn_where(c->t->g, condition, a, b));
}

/* ---- conversions ----------------------------------------------------------------------------- */

/* in, ..., out: in the output's type; the same elements where that is the same. */
qn_status qn_translate_to(const qn_call *c)
{
    qn_value x;
    const qn_vk_tensor *in, *out;
    qn_dtype dtype = QN_F32;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_desc(c, 0, &in));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(out_dtype(c, &dtype));
    if (out->dtype == QN_VK_BOOL && in->dtype != QN_VK_BOOL)
        return qn_give(c, qn_unary(c->t->g, QN_FN_TO_BOOL, x, 0, 0));
    if (qn_dtype_of(c, x) != dtype) return qn_give(c, qn_convert(c->t->g, x, dtype));
    return qn_give(c, qn_alias(c, 0, x));
}

/* ---- filled tensors -------------------------------------------------------------------------- */

/* size, number, ..., out */
qn_status qn_translate_full(const qn_call *c)
{
    qn_sizes sizes;
    const qn_vk_tensor *out;
    qn_dtype dtype = QN_F32;
    double number = c->row->variant; /* of zeros and ones, which bring none along */
    QN_TRY(qn_arg_sizes(c, 0, &sizes));
    if (c->row->variant < 0) QN_TRY(qn_arg_double(c, 1, &number));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(out_dtype(c, &dtype));
    QN_TRY(qn_check_sizes(c, &sizes, &out->shape));
    return qn_give(c, qn_full(c->t->g, dtype, number, out->shape, sizes.computed));
}

/* in, number, ..., out: of the live shape of in */
qn_status qn_translate_full_like(const qn_call *c)
{
    qn_value x;
    qn_dtype dtype = QN_F32;
    double number = c->row->variant;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    if (c->row->variant < 0) QN_TRY(qn_arg_double(c, 1, &number));
    QN_TRY(out_dtype(c, &dtype));
    return qn_give(c, qn_full_like(c->t->g, x, dtype, number));
}

/* number, ..., out: a scalar */
qn_status qn_translate_scalar_tensor(const qn_call *c)
{
    qn_dtype dtype = QN_F32;
    double number = 0;
    const qn_shape shape = {.rank = 0};
    QN_TRY(qn_arg_double(c, 0, &number));
    QN_TRY(out_dtype(c, &dtype));
    return qn_give(c, qn_full(c->t->g, dtype, number, shape, NULL));
}

/* start, end (a SymInt where start is 0 and step 1), step, ..., out */
qn_status qn_translate_arange(const qn_call *c)
{
    double start = 0, step = 1;
    const qn_vk_tensor *out;
    qn_dtype dtype = QN_F32;
    qn_value n = 0;
    QN_TRY(qn_arg_double_or(c, 0, 0, &start));
    QN_TRY(qn_arg_double_or(c, 2, 1, &step));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(out_dtype(c, &dtype));
    if (out->shape.rank != 1) return qn_call_fail(c, QN_ERR_FORMAT, "the output has rank %u", out->shape.rank);
    if (qn_arg(c, 1)->kind == QN_VK_SYMINT) {
        if (start != 0 || step != 1)
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the end is computed, and the range is not 0, 1, 2, ...");
        QN_TRY(qn_arg_number(c, 1, &n));
    } else {
        double end = 0;
        QN_TRY(qn_arg_double(c, 1, &end));
        if (!(ceil((end - start) / step) == out->shape.dim[0]) || out->shape.dim[0] > INT32_MAX)
            return qn_call_fail(c, QN_ERR_FORMAT, "%g to %g by %g are not the %u numbers of the output", start, end,
                                step, out->shape.dim[0]);
        n = qn_graph_const_int(c->t->g, (int32_t)out->shape.dim[0]);
    }
    return qn_give(c, qn_arange(c->t->g, dtype, start, step, out->shape.dim[0], n));
}
