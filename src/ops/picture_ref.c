#include "ops/picture_ref.h"

#include <math.h>
#include <stddef.h>

/* ---- pooling --------------------------------------------------------------------------------- */

/* A window over one axis: taps from, from + step, ... below `end`; `from` may be negative, `end` past the input. */
typedef struct window {
    int64_t from, end, step;
} window;

static window window_of(const qn_pool_options *o, uint32_t i, uint32_t at)
{
    uint32_t stride = o->stride[i] ? o->stride[i] : o->kernel[i], dilation = o->dilation[i] ? o->dilation[i] : 1;
    int64_t from = (int64_t)at * stride - o->padding[i];
    return (window){from, from + (int64_t)o->kernel[i] * dilation, dilation};
}

uint32_t qn_pool_ref_size(const qn_pool_options *o, uint32_t i, uint32_t input)
{
    uint32_t dilation = o->dilation[i] ? o->dilation[i] : 1, n = 0;
    int64_t reach = (int64_t)(o->kernel[i] - 1) * dilation + 1, padded = (int64_t)input + o->padding[i];
    for (;; n++) { /* windows are counted one by one */
        int64_t from = window_of(o, i, n).from;
        bool whole = from + reach <= padded, begins = from < input;
        bool part = o->ceil_mode && begins && n > 0 && window_of(o, i, n - 1).from + reach < padded;
        if (!whole && !part) return n;
    }
}

static void max_window(const float *x, const uint32_t in[2], const window *h, const window *w, double *y, int32_t *at)
{
    *y = -INFINITY;
    for (int64_t r = h->from; r < h->end; r += h->step)
        for (int64_t c = w->from; c < w->end; c += w->step) {
            if (r < 0 || r >= in[0] || c < 0 || c >= in[1] || (double)x[r * in[1] + c] <= *y) continue;
            *y = (double)x[r * in[1] + c];
            *at = (int32_t)(r * in[1] + c);
        }
}

void qn_max_pool_ref(const qn_pool_options *o, const float *x, uint32_t planes, const uint32_t in[2], double *y,
                     int32_t *indices)
{
    uint32_t out[2] = {qn_pool_ref_size(o, 0, in[0]), qn_pool_ref_size(o, 1, in[1])};
    size_t i = 0;
    for (uint32_t p = 0; p < planes; p++)
        for (uint32_t r = 0; r < out[0]; r++)
            for (uint32_t c = 0; c < out[1]; c++, i++) {
                window h = window_of(o, 0, r), w = window_of(o, 1, c);
                max_window(x + (size_t)p * in[0] * in[1], in, &h, &w, &y[i], &indices[i]);
            }
}

static double mean_window(const qn_pool_options *o, const float *x, const uint32_t in[2], const window *h,
                          const window *w)
{
    double sum = 0.0;
    uint32_t inside = 0, padded = 0;
    for (int64_t r = h->from; r < h->end; r++)
        for (int64_t c = w->from; c < w->end; c++) {
            if (r >= (int64_t)in[0] + o->padding[0] || c >= (int64_t)in[1] + o->padding[1]) continue;
            padded++;
            if (r < 0 || r >= in[0] || c < 0 || c >= in[1]) continue;
            sum += (double)x[r * in[1] + c];
            inside++;
        }
    if (!inside) return 0.0;
    return sum / (o->divisor_override ? o->divisor_override : o->count_include_pad ? (double)padded : (double)inside);
}

void qn_avg_pool_ref(const qn_pool_options *o, const float *x, uint32_t planes, const uint32_t in[2], double *y)
{
    uint32_t out[2] = {qn_pool_ref_size(o, 0, in[0]), qn_pool_ref_size(o, 1, in[1])};
    for (uint32_t p = 0; p < planes; p++)
        for (uint32_t r = 0; r < out[0]; r++)
            for (uint32_t c = 0; c < out[1]; c++) {
                window h = window_of(o, 0, r), w = window_of(o, 1, c);
                *y++ = mean_window(o, x + (size_t)p * in[0] * in[1], in, &h, &w);
            }
}

/* ---- batch norm ------------------------------------------------------------------------------ */

void qn_batch_norm_ref(const float *x, const qn_batch_norm_ref_operands *operands, double eps, const uint32_t sizes[3],
                       double *y)
{
    for (uint32_t plane = 0; plane < sizes[0] * sizes[1]; plane++) {
        uint32_t c = plane % sizes[1];
        double scale = 1.0 / sqrt((double)operands->var[c] + eps);
        if (operands->weight) scale *= (double)operands->weight[c];
        double shift = operands->bias ? (double)operands->bias[c] : 0.0;
        for (uint32_t i = 0; i < sizes[2]; i++) *y++ = ((double)*x++ - (double)operands->mean[c]) * scale + shift;
    }
}

/* ---- upsampling and sampling ----------------------------------------------------------------- */

/* Input position of output o, as torch defines it (in float32: the nearest neighbour depends on its rounding). */
static double source(const qn_upsample_options *o, uint32_t i, uint32_t at, uint32_t in, uint32_t out)
{
    double ratio = o->size[i] ? (double)((float)in / (float)out) : (double)(float)(1.0 / o->scale[i]);
    if (o->mode == QN_UPSAMPLE_NEAREST) {
        if (out == in) return at;
        if (out == 2 * in) return at / 2;
        return (double)floorf((float)at * (float)ratio);
    }
    if (o->align_corners) return out > 1 ? (double)at * (in - 1) / (out - 1) : 0.0;
    double s = ratio * (at + 0.5) - 0.5;
    return s > 0.0 ? s : 0.0;
}

/* The element of a plane, 0 outside (border: the nearest inside). */
static double pixel(const float *x, const uint32_t in[2], double r, double c, bool border)
{
    if (border) {
        r = fmin(fmax(r, 0.0), in[0] - 1);
        c = fmin(fmax(c, 0.0), in[1] - 1);
    }
    if (r < 0.0 || r >= in[0] || c < 0.0 || c >= in[1]) return 0.0;
    return (double)x[(size_t)r * in[1] + (size_t)c];
}

static double bilinear(const float *x, const uint32_t in[2], double r, double c, bool border)
{
    double r0 = floor(r), c0 = floor(c), fr = r - r0, fc = c - c0;
    double top = (1 - fc) * pixel(x, in, r0, c0, border) + fc * pixel(x, in, r0, c0 + 1, border);
    double bottom = (1 - fc) * pixel(x, in, r0 + 1, c0, border) + fc * pixel(x, in, r0 + 1, c0 + 1, border);
    return (1 - fr) * top + fr * bottom;
}

void qn_upsample_ref(const qn_upsample_options *o, const float *x, uint32_t planes, const uint32_t in[2],
                     uint32_t out[2], double *y)
{
    for (uint32_t i = 0; i < 2; i++) out[i] = o->size[i] ? o->size[i] : (uint32_t)(in[i] * o->scale[i]);
    for (uint32_t p = 0; p < planes; p++, x += (size_t)in[0] * in[1])
        for (uint32_t r = 0; r < out[0]; r++)
            for (uint32_t c = 0; c < out[1]; c++)
                *y++ = bilinear(x, in, source(o, 0, r, in[0], out[0]), source(o, 1, c, in[1], out[1]), true);
}

static double unnormalize(float at, uint32_t size, bool align_corners)
{
    return align_corners ? ((double)at + 1) / 2 * (size - 1) : (((double)at + 1) * size - 1) / 2;
}

void qn_grid_sampler_ref(const float *x, const float *grid, const qn_grid_sizes *s, qn_grid_padding padding,
                         bool align_corners, double *y)
{
    size_t places = (size_t)s->out[0] * s->out[1], plane = (size_t)s->in[0] * s->in[1];
    for (size_t i = 0; i < (size_t)s->n * s->c * places; i++) {
        size_t image = i / places / s->c, at = (image * places + i % places) * 2;
        double c = unnormalize(grid[at], s->in[1], align_corners);
        double r = unnormalize(grid[at + 1], s->in[0], align_corners);
        bool border = padding == QN_GRID_BORDER;
        if (border) {
            r = fmin(fmax(r, 0.0), s->in[0] - 1);
            c = fmin(fmax(c, 0.0), s->in[1] - 1);
        }
        y[i] = bilinear(x + i / places * plane, s->in, r, c, border);
    }
}
