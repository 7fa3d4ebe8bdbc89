#include "ops/conv_ref.h"

#include <stddef.h>

void qn_conv_ref_sizes(const qn_conv_options *o, qn_conv_sizes *s)
{
    for (int i = 0; i < 2; i++) {
        uint32_t reach = (s->kernel[i] - 1) * o->dilation[i] + 1;
        if (o->transposed)
            s->output[i] = (s->input[i] - 1) * o->stride[i] + reach + o->output_padding[i] - 2 * o->padding[i];
        else
            s->output[i] = (s->input[i] + 2 * o->padding[i] - reach) / o->stride[i] + 1;
    }
}

/* Adds to y what input pixel (row, column) of channel ic gives to output channel oc over kernel k[kh, kw], where input
 * `from` and output `to` of each axis are met by from * stride - padding + k * dilation = to. */
static void scatter(const qn_conv_options *o, const qn_conv_sizes *s, const uint32_t at[2], double value,
                    const float *k, double *y)
{
    for (uint32_t kh = 0; kh < s->kernel[0]; kh++)
        for (uint32_t kw = 0; kw < s->kernel[1]; kw++) {
            int64_t h = (int64_t)at[0] * o->stride[0] + kh * o->dilation[0] - o->padding[0];
            int64_t w = (int64_t)at[1] * o->stride[1] + kw * o->dilation[1] - o->padding[1];
            if (h < 0 || h >= s->output[0] || w < 0 || w >= s->output[1]) continue;
            y[h * s->output[1] + w] += value * (double)k[kh * s->kernel[1] + kw];
        }
}

static double gather(const qn_conv_options *o, const qn_conv_sizes *s, const uint32_t at[2], const float *x,
                     const float *k)
{
    double sum = 0.0;
    for (uint32_t kh = 0; kh < s->kernel[0]; kh++)
        for (uint32_t kw = 0; kw < s->kernel[1]; kw++) {
            int64_t h = (int64_t)at[0] * o->stride[0] + kh * o->dilation[0] - o->padding[0];
            int64_t w = (int64_t)at[1] * o->stride[1] + kw * o->dilation[1] - o->padding[1];
            if (h < 0 || h >= s->input[0] || w < 0 || w >= s->input[1]) continue;
            sum += (double)x[h * s->input[1] + w] * (double)k[kh * s->kernel[1] + kw];
        }
    return sum;
}

/* One input plane into one output plane, through one kernel. */
static void add_plane(const qn_conv_options *o, const qn_conv_sizes *s, const float *x, const float *k, double *y)
{
    const uint32_t *over = o->transposed ? s->input : s->output;
    for (uint32_t h = 0; h < over[0]; h++)
        for (uint32_t w = 0; w < over[1]; w++) {
            const uint32_t at[2] = {h, w};
            size_t i = (size_t)h * over[1] + w;
            if (o->transposed)
                scatter(o, s, at, (double)x[i], k, y);
            else
                y[i] += gather(o, s, at, x, k);
        }
}

void qn_conv_ref(const qn_conv_options *o, const qn_conv_sizes *s, const float *x, const float *w, const float *bias,
                 double *y)
{
    size_t in = (size_t)s->input[0] * s->input[1], out = (size_t)s->output[0] * s->output[1];
    size_t taps = (size_t)s->kernel[0] * s->kernel[1];
    uint32_t cin = s->channels_in / o->groups, cout = s->channels_out / o->groups;
    for (uint32_t i = 0; i < s->n * s->channels_out; i++, y += out) {
        uint32_t image = i / s->channels_out, oc = i % s->channels_out, g = oc / cout;
        for (size_t j = 0; j < out; j++) y[j] = bias ? (double)bias[oc] : 0.0;
        for (uint32_t ic = 0; ic < cin; ic++) {
            size_t k = o->transposed ? (size_t)(g * cin + ic) * cout + oc % cout : (size_t)oc * cin + ic;
            add_plane(o, s, x + ((size_t)image * s->channels_in + g * cin + ic) * in, w + k * taps, y);
        }
        for (size_t j = 0; o->clamp && j < out; j++) {
            if (y[j] < (double)o->min) y[j] = (double)o->min;
            if (y[j] > (double)o->max) y[j] = (double)o->max;
        }
    }
}
