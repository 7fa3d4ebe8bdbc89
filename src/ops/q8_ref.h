/* q8_ref.h - plain C references of the operations on 8-bit codes, in float64. Results are codes before they are
 * rounded: what a kernel gives lies within half a code of them (and of its rounding). */
#ifndef QN_OPS_Q8_REF_H
#define QN_OPS_Q8_REF_H

#include <stddef.h>
#include <stdint.h>

#include "quern_graph.h"

double qn_q8_number_ref(int32_t code, const qn_quant *q);
/* number / scale + zero_point, clamped to low..high. */
double qn_q8_code_ref(double number, const qn_quant *q, int32_t low, int32_t high);

void qn_q8ta_add_ref(const int32_t *a, const int32_t *b, size_t n, const qn_q8_add_options *o, double *y);
void qn_q8ta_relu_ref(const int32_t *x, size_t n, const qn_quant *input, const qn_quant *output, double *y);
/* y[planes / r^2, h * r, w * r] of x[planes, h, w]. */
void qn_q8ta_pixel_shuffle_ref(const int32_t *x, const uint32_t sizes[3], uint32_t r, const qn_quant quants[2],
                               double *y);
/* y[m, n] of x[m, k] and w[n, k]; numbers instead of codes with float_output. */
void qn_q8ta_linear_ref(const int32_t *x, const int8_t *w, const float *w_scales, const float *bias,
                        const uint32_t sizes[2], const qn_q8_linear_options *o, double *y);

#endif
