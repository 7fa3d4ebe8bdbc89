#include "ops/q8_ref.h"

double qn_q8_number_ref(int32_t code, const qn_quant *q)
{
    return (double)(code - q->zero_point) * q->scale;
}

double qn_q8_code_ref(double number, const qn_quant *q, int32_t low, int32_t high)
{
    double code = number / q->scale + q->zero_point;
    return code < low ? low : code > high ? high : code;
}

void qn_q8ta_add_ref(const int32_t *a, const int32_t *b, size_t n, const qn_q8_add_options *o, double *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = qn_q8_code_ref(qn_q8_number_ref(a[i], &o->a) + o->alpha * qn_q8_number_ref(b[i], &o->b), &o->output,
                              -128, 127);
}

static double positive(double x)
{
    return x > 0.0 ? x : 0.0;
}

void qn_q8ta_relu_ref(const int32_t *x, size_t n, const qn_quant *input, const qn_quant *output, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = qn_q8_code_ref(positive(qn_q8_number_ref(x[i], input)), output, -128, 127);
}

void qn_q8ta_pixel_shuffle_ref(const int32_t *x, const uint32_t sizes[3], uint32_t r, const qn_quant quants[2],
                               double *y)
{
    uint32_t h = sizes[1], w = sizes[2];
    for (uint32_t c = 0; c < sizes[0]; c++)
        for (uint32_t i = 0; i < h; i++)
            for (uint32_t j = 0; j < w; j++) {
                size_t plane = c / (r * r), row = i * r + c % (r * r) / r, column = j * r + c % r;
                y[(plane * h * r + row) * w * r + column] =
                    qn_q8_code_ref(qn_q8_number_ref(*x++, &quants[0]), &quants[1], -128, 127);
            }
}

void qn_q8ta_linear_ref(const int32_t *x, const int8_t *w, const float *w_scales, const float *bias,
                        const uint32_t sizes[2], const qn_q8_linear_options *o, double *y)
{
    for (size_t i = 0; i < (size_t)sizes[0] * o->n; i++) {
        size_t row = i / o->n, column = i % o->n;
        double sum = 0.0;
        for (uint32_t k = 0; k < sizes[1]; k++)
            sum += qn_q8_number_ref(x[row * sizes[1] + k], &o->input) * w[column * sizes[1] + k];
        sum = sum * (double)w_scales[column] + (bias ? (double)bias[column] : 0.0);
        if (o->relu) sum = positive(sum);
        y[i] = o->float_output ? sum : qn_q8_code_ref(sum, &o->output, -128, 127);
    }
}
