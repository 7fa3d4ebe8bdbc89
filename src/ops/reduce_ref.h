/* reduce_ref.h - plain C references of the operations over lines, in float64 (of the 8-bit ones in float32: they are
 * to be exact). */
#ifndef QN_OPS_REDUCE_REF_H
#define QN_OPS_REDUCE_REF_H

#include "ops/reduce.h"

#include <stddef.h>

/* The elements of line `line` of a tensor, when bit i of mask says that lines run along dimension i: at[] receives
 * their places in order. Returns how many; at may be NULL. */
size_t qn_line_ref(const qn_shape *shape, uint32_t mask, size_t line, size_t *at);

/* The function of v[n]; indices and truths as numbers. number: the correction of VAR, eps of RSTD. */
double qn_reduce_ref(uint32_t function, const double *v, size_t n, double number);

/* y[n] = softmax of v[n], or its logarithm. */
void qn_softmax_ref(const double *v, size_t n, bool log, double *y);

/* Scale and zero point of x[k], and what x[k] becomes in such codes. */
void qn_choose_qparams_ref(const float *x, size_t k, float eps, float *scale, int32_t *zero_point);
void qn_quantize_row_ref(const float *x, size_t k, float scale, int32_t zero_point, float *y);

#endif
