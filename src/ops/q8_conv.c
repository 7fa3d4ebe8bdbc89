/* q8_conv.c - convolution of 8-bit codes with 8-bit weights. */
#include "ops/axis.h"
#include "ops/quantize.h"

static const qn_kernel_row rows[] = {
    {.name = "q8ta_conv2d.pixel",
     .source = "q8_conv",
     .with = {"axis", "quantize"},
     .entry = "main",
     .access = "rrrrw",
     .workgroup = {64, 1, 1},
     .spec = {"HAS_BIAS", "RELU", "TRANSPOSED"}},
};
const qn_kernel_table qn_q8_conv_kernels = {rows, 1};

/* Bytes between neighbours in w. */
typedef struct strides {
    uint32_t channel, tap, in;
} strides;

static qn_status check_weights(const qn_plan *p, const qn_q8_conv_options *o, const qn_conv *c, strides *s)
{
    uint64_t taps = (uint64_t)c->h.kernel * c->w.kernel, used = taps * c->channels_in;
    uint64_t row = o->row_bytes ? o->row_bytes : qn_round_up_u64(used, 4), bytes = row * o->channels_out;
    if (used > QN_Q8_MOST)
        return qn_plan_fail(p, QN_ERR_LIMIT, "sums of %llu products; at most %d are exact", (unsigned long long)used,
                            (int)QN_Q8_MOST);
    if (o->depthwise && (c->channels_in != 1 || c->channels_out != 1 || o->conv.transposed))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u groups of %u and %u channels are not depthwise", c->groups,
                            c->channels_in, c->channels_out);
    if (row < used)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "rows of %u bytes hold no %llu weights", o->row_bytes,
                            (unsigned long long)used);
    *s = (strides){(uint32_t)row, c->channels_in, 1};
    if (o->depthwise) {
        *s = (strides){1, o->channels_out, 0};
        bytes = taps * o->channels_out;
    }
    return qn_check_q8_weights(p, bytes, o->conv.transposed ? c->channels_out : o->channels_out, o->channels_out);
}

qn_status qn_plan_q8ta_conv(qn_plan *p)
{
    const qn_q8_conv_options *o = &p->node->attrs.q8_conv;
    qn_tensor *x;
    qn_conv c = {0};
    strides s = {0};
    QN_TRY(qn_check_codes(p, 0, &x));
    QN_TRY(qn_check_quant(p, "the input", &o->input));
    QN_TRY(qn_check_quant(p, "the output", &o->output));
    QN_TRY(qn_conv_begin(p, &o->conv, o->channels_out, o->kernel, QN_I32, &c));
    QN_TRY(check_weights(p, o, &c, &s));
    const qn_kernel_row *row = qn_plan_pick(p, &qn_q8_conv_kernels, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    d->spec[0] = p->node->inputs[3] != 0;
    d->spec[1] = o->relu;
    d->spec[2] = o->conv.transposed;
    qn_bind_q8(p, d);
    QN_TRY(qn_conv_params(p, d, &c, 4, 1));
    qn_param_quant(d, &o->output, -128, 127);
    qn_param_f32(d, (float)o->input.scale);
    qn_param_u32(d, (uint32_t)o->input.zero_point);
    qn_param_u32(d, s.channel);
    qn_param_u32(d, s.tap);
    qn_param_u32(d, s.in);
    return qn_ok();
}
