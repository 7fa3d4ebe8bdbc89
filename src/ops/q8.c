/* q8.c - 8-bit codes: quantizing, dequantizing, and the operations that go element by element. */
#include "ops/quantize.h"

#include <math.h>

/* Values of the kernel's constant FUNCTION. */
typedef enum function {
    FUNCTION_QUANTIZE = 0,
    FUNCTION_DEQUANTIZE,
    FUNCTION_ADD,
    FUNCTION_RELU,
    FUNCTION_SHUFFLE
} function;

static const qn_kernel_row rows[] = {
    {.name = "q8.element",
     .source = "q8",
     .with = {"quantize"},
     .entry = "main",
     .access = "rrw",
     .workgroup = {256, 1, 1},
     .spec = {"FUNCTION"}},
};
const qn_kernel_table qn_q8_kernels = {rows, 1};

/* ---- shared with the convolution and the linear layer ----------------------------------------- */

qn_status qn_check_codes(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    *t = qn_plan_in(p, i);
    if (!*t) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is missing", i);
    if ((*t)->is_int || (*t)->dtype != QN_I32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is no i32 tensor", i, (*t)->name ? (*t)->name : "");
    return qn_ok();
}

qn_status qn_check_quant(const qn_plan *p, const char *name, const qn_quant *q)
{
    enum { MOST = 1 << 23 }; /* beyond it f32 has no every integer */
    if (!(q->scale > 0.0) || !isnormal((float)q->scale) || !isnormal((float)(1.0 / q->scale)))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the scale of %s is %g", name, q->scale);
    if (q->zero_point > MOST || q->zero_point < -MOST)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the zero point of %s is %d", name, (int)q->zero_point);
    return qn_ok();
}

static qn_status check_vector(const qn_plan *p, uint32_t i, const char *name, uint32_t n)
{
    qn_tensor *t;
    char text[96];
    QN_TRY(qn_check_f32(p, i, &t));
    if (t->live.rank != 1 || t->live.dim[0] < n)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s is too short for %u channels", name,
                            qn_shape_text(&t->live, text, sizeof text), n);
    return qn_ok();
}

qn_status qn_check_q8_weights(const qn_plan *p, uint64_t bytes, uint32_t n_scales, uint32_t n_bias)
{
    qn_tensor *w;
    QN_TRY(qn_check_codes(p, 1, &w));
    uint64_t words = qn_shape_count(&w->live);
    if (words < qn_div_up_u64(bytes, 4) || bytes > UINT32_MAX)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "w has %llu words; %llu bytes of codes are needed",
                            (unsigned long long)words, (unsigned long long)bytes);
    QN_TRY(check_vector(p, 2, "w_scales", n_scales));
    return p->node->inputs[3] ? check_vector(p, 3, "bias", n_bias) : qn_ok();
}

void qn_bind_q8(const qn_plan *p, qn_dispatch *d)
{
    for (uint32_t i = 0; i < 4; i++) {
        if (p->node->inputs[i])
            qn_bind_operand(p, d, i);
        else
            qn_bind_dummy(d);
    }
    qn_bind_value(d, p->node->outputs[0]);
}

void qn_param_quant(qn_dispatch *d, const qn_quant *q, int32_t low, int32_t high)
{
    qn_param_f32(d, (float)(1.0 / q->scale));
    qn_param_f32(d, (float)q->zero_point);
    qn_param_f32(d, (float)low);
    qn_param_f32(d, (float)high);
}

/* ---- element by element ---------------------------------------------------------------------- */

/* Checks what the function reads and writes. */
static qn_status check(const qn_plan *p, function f, qn_tensor **a)
{
    if (f == FUNCTION_QUANTIZE)
        QN_TRY(qn_check_f32(p, 0, a));
    else
        QN_TRY(qn_check_codes(p, 0, a));
    if (f != FUNCTION_QUANTIZE) QN_TRY(qn_check_quant(p, "the input", &p->node->attrs.q8.a));
    if (f != FUNCTION_DEQUANTIZE) QN_TRY(qn_check_quant(p, "the output", &p->node->attrs.q8.output));
    if (f != FUNCTION_ADD) return qn_ok();
    qn_tensor *b;
    char at[96], bt[96];
    QN_TRY(qn_check_codes(p, 1, &b));
    QN_TRY(qn_check_quant(p, "the second input", &p->node->attrs.q8.b));
    if (!qn_shape_equal(&(*a)->live, &b->live))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "a%s and b%s have different shapes",
                            qn_shape_text(&(*a)->live, at, sizeof at), qn_shape_text(&b->live, bt, sizeof bt));
    return qn_ok();
}

/* The output's shape; *size: height and width of a shuffle's input. */
static qn_status find_shape(const qn_plan *p, function f, qn_shape *shape, uint32_t size[2])
{
    if (f != FUNCTION_SHUFFLE) return qn_ok();
    uint32_t r = p->node->attrs.q8.factor;
    char text[96];
    if (shape->rank < 3 || r == 0 || r > 1 << 15 || shape->dim[shape->rank - 3] % (r * r))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x%s cannot be shuffled by %u", qn_shape_text(shape, text, sizeof text),
                            r);
    uint32_t *dim = shape->dim + shape->rank - 3;
    size[0] = dim[1];
    size[1] = dim[2];
    dim[0] /= r * r;
    dim[1] *= r; /* the number of elements stays, and is below 2^31 */
    dim[2] *= r;
    return qn_ok();
}

static qn_status plan(qn_plan *p, function f)
{
    qn_tensor *a = NULL;
    uint32_t n = 0, size[2] = {0};
    QN_TRY(check(p, f, &a));
    qn_shape shape = a->live;
    QN_TRY(qn_check_elements(p, &a->live, &n));
    QN_TRY(find_shape(p, f, &shape, size));
    QN_TRY(qn_plan_set_out(p, 0, f == FUNCTION_DEQUANTIZE ? QN_F32 : QN_I32, shape));
    const qn_kernel_row *row = qn_plan_pick(p, &qn_q8_kernels, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->spec[0] = f;
    qn_bind_operand(p, d, 0);
    if (f == FUNCTION_ADD)
        qn_bind_operand(p, d, 1);
    else
        qn_bind_dummy(d);
    qn_bind_value(d, p->node->outputs[0]);
    qn_quant none = {1.0, 0}, out = f == FUNCTION_DEQUANTIZE ? none : p->node->attrs.q8.output;
    bool limits = f == FUNCTION_QUANTIZE;
    qn_param_quant(d, &out, limits ? p->node->attrs.q8.low : -128, limits ? p->node->attrs.q8.high : 127);
    qn_param_u32(d, n);
    qn_param_f32(d, (float)p->node->attrs.q8.alpha);
    qn_param_f32(d, (float)p->node->attrs.q8.a.scale);
    qn_param_u32(d, (uint32_t)p->node->attrs.q8.a.zero_point);
    qn_param_f32(d, (float)p->node->attrs.q8.b.scale);
    qn_param_u32(d, (uint32_t)p->node->attrs.q8.b.zero_point);
    qn_param_u32(d, p->node->attrs.q8.factor);
    qn_param_u32(d, size[0]);
    qn_param_u32(d, size[1]);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

qn_status qn_plan_quantize_per_tensor(qn_plan *p)
{
    enum { MOST = 1 << 23 };
    int32_t low = p->node->attrs.q8.low, high = p->node->attrs.q8.high;
    if (low > high || low < -MOST || high > MOST)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "codes from %d to %d", (int)low, (int)high);
    return plan(p, FUNCTION_QUANTIZE);
}

qn_status qn_plan_dequantize_per_tensor(qn_plan *p)
{
    return plan(p, FUNCTION_DEQUANTIZE);
}

qn_status qn_plan_q8ta_add(qn_plan *p)
{
    if (!isfinite((float)p->node->attrs.q8.alpha))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "alpha is %g", p->node->attrs.q8.alpha);
    return plan(p, FUNCTION_ADD);
}

qn_status qn_plan_q8ta_relu(qn_plan *p)
{
    return plan(p, FUNCTION_RELU);
}

qn_status qn_plan_q8ta_pixel_shuffle(qn_plan *p)
{
    return plan(p, FUNCTION_SHUFFLE);
}
