#include "ops/axis.h"

#include <inttypes.h>

/* Beyond these, 32-bit coordinates could overflow. */
enum { MOST = 1 << 20 };

static qn_status check(const qn_plan *p, const char *name, const qn_axis *a, uint64_t *reach)
{
    if (a->kernel == 0 || a->stride == 0 || a->dilation == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: kernel %u, stride %u and dilation %u must be at least 1", name,
                            a->kernel, a->stride, a->dilation);
    if (a->kernel > MOST || a->stride > MOST || a->dilation > MOST || a->padding > MOST)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s: kernel %u, stride %u, dilation %u or padding %u is over %d", name,
                            a->kernel, a->stride, a->dilation, a->padding, (int)MOST);
    *reach = (uint64_t)(a->kernel - 1) * a->dilation + 1;
    if (*reach > INT32_MAX / 4)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s: a kernel of %u with dilation %u is too large", name, a->kernel,
                            a->dilation);
    return qn_ok();
}

static qn_status set_output(const qn_plan *p, const char *name, qn_axis *a, int64_t output)
{
    if (output < 1)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: %u with padding %u is too small for a kernel of %u, dilation %u",
                            name, a->input, a->padding, a->kernel, a->dilation);
    if (output > INT32_MAX / 4) return qn_plan_fail(p, QN_ERR_LIMIT, "%s: an output of %" PRId64, name, output);
    a->output = (uint32_t)output;
    return qn_ok();
}

qn_status qn_axis_conv(const qn_plan *p, const char *name, qn_axis *a)
{
    uint64_t reach = 0;
    QN_TRY(check(p, name, a, &reach));
    int64_t room = (int64_t)a->input + 2 * (int64_t)a->padding - (int64_t)reach;
    return set_output(p, name, a, room < 0 ? 0 : room / a->stride + 1);
}

qn_status qn_axis_transposed(const qn_plan *p, const char *name, qn_axis *a, uint32_t output_padding)
{
    uint64_t reach = 0;
    QN_TRY(check(p, name, a, &reach));
    if (output_padding >= a->stride && output_padding >= a->dilation)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: output_padding %u must be below stride %u or dilation %u", name,
                            output_padding, a->stride, a->dilation);
    return set_output(p, name, a,
                      (int64_t)(a->input - 1) * a->stride - 2 * (int64_t)a->padding + (int64_t)reach + output_padding);
}

qn_status qn_axis_pool(const qn_plan *p, const char *name, qn_axis *a, bool round_up)
{
    uint64_t reach = 0;
    QN_TRY(check(p, name, a, &reach));
    if (a->padding > reach / 2)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s: padding %u is over half of the kernel of %u", name, a->padding,
                            a->kernel);
    int64_t room = (int64_t)a->input + 2 * (int64_t)a->padding - (int64_t)reach;
    if (round_up) room += a->stride - 1;
    int64_t output = room < 0 ? 0 : room / a->stride + 1;
    /* A last window that would begin in the far padding is left out. */
    if (round_up && output > 1 && (output - 1) * a->stride >= (int64_t)a->input + a->padding) output--;
    return set_output(p, name, a, output);
}

void qn_param_axis(qn_dispatch *d, const qn_axis *a)
{
    const uint32_t words[] = {a->input, a->output, a->kernel, a->stride, a->padding, a->dilation, 0, 0};
    for (uint32_t i = 0; i < 8; i++) qn_param_u32(d, words[i]);
}

qn_status qn_check_image(const qn_plan *p, uint32_t i, qn_image *image)
{
    const qn_tensor *t = qn_plan_in(p, i);
    const qn_shape *s = &t->live;
    uint32_t n;
    char text[96];
    if (s->rank != 3 && s->rank != 4)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u%s is neither [N,C,L] nor [N,C,H,W]", i,
                            qn_shape_text(s, text, sizeof text));
    QN_TRY(qn_check_elements(p, s, &n));
    *image = (qn_image){s->dim[0], s->dim[1], s->rank == 4 ? s->dim[2] : 1, s->dim[s->rank - 1]};
    return qn_ok();
}

qn_shape qn_image_shape(const qn_plan *p, uint32_t n, uint32_t c, uint32_t h, uint32_t w)
{
    return qn_plan_in(p, 0)->live.rank == 4 ? qn_shape_4(n, c, h, w) : qn_shape_3(n, c, w);
}

/* ---- convolution ----------------------------------------------------------------------------- */

static qn_status find_outputs(const qn_plan *p, const qn_conv_options *o, qn_conv *c)
{
    if (o->transposed) {
        QN_TRY(qn_axis_transposed(p, "height", &c->h, o->output_padding[0]));
        return qn_axis_transposed(p, "width", &c->w, o->output_padding[1]);
    }
    QN_TRY(qn_axis_conv(p, "height", &c->h));
    return qn_axis_conv(p, "width", &c->w);
}

qn_status qn_conv_begin(qn_plan *p, const qn_conv_options *o, uint32_t channels_out, const uint32_t kernel[2],
                        qn_dtype dtype, qn_conv *c)
{
    qn_image x = {0};
    QN_TRY(qn_check_image(p, 0, &x));
    if (o->groups == 0 || x.c % o->groups || channels_out % o->groups || channels_out == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u groups do not divide %u input and %u output channels", o->groups,
                            x.c, channels_out);
    bool line = qn_plan_in(p, 0)->live.rank == 3; /* of height 1, whatever the options say of height */
    c->h = (qn_axis){.input = x.h,
                     .kernel = kernel[0],
                     .stride = line ? 1 : o->stride[0],
                     .padding = line ? 0 : o->padding[0],
                     .dilation = line ? 1 : o->dilation[0]};
    c->w = (qn_axis){.input = x.w,
                     .kernel = kernel[1],
                     .stride = o->stride[1],
                     .padding = o->padding[1],
                     .dilation = o->dilation[1]};
    if (line && (kernel[0] != 1 || o->output_padding[0] != 0))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "a kernel of height %u on an input [N,C,L]", kernel[0]);
    QN_TRY(find_outputs(p, o, c));
    c->n = x.n;
    c->groups = o->groups;
    c->channels_in = x.c / o->groups;
    c->channels_out = channels_out / o->groups;
    c->first = 0;
    c->last = c->channels_in;
    uint32_t elements;
    qn_shape out = qn_image_shape(p, c->n, channels_out, c->h.output, c->w.output);
    QN_TRY(qn_check_elements(p, &out, &elements));
    return qn_plan_set_out(p, 0, dtype, out);
}

qn_status qn_conv_params(const qn_plan *p, qn_dispatch *d, const qn_conv *c, uint32_t outputs, uint32_t columns)
{
    uint32_t blocks = qn_div_up(c->channels_out, outputs), across = qn_div_up(c->w.output, columns);
    uint64_t n = (uint64_t)c->n * c->groups * blocks * c->h.output * across;
    qn_param_axis(d, &c->h);
    qn_param_axis(d, &c->w);
    const uint32_t words[] = {(uint32_t)n, c->groups, c->channels_in, c->channels_out,
                              blocks,      across,    c->first,       c->last};
    for (uint32_t i = 0; i < 8; i++) qn_param_u32(d, words[i]);
    return qn_grid_1d(p, d, qn_div_up_u64(n, d->row->workgroup[0]));
}
