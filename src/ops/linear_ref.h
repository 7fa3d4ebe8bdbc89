/* linear_ref.h - the plain C reference of linear, for tests. */
#ifndef QN_OPS_LINEAR_REF_H
#define QN_OPS_LINEAR_REF_H

#include <stdint.h>

/* y[m, n] = x[m, k] . w[n, k]^T (+ bias[n]); w: dequantized values; bias NULL: none. Sums in float64. */
void qn_linear_ref(const float *x, const double *w, const float *bias, uint32_t m, uint32_t n, uint32_t k, double *y);

#endif
