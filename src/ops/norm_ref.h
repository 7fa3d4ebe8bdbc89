/* norm_ref.h - plain C reference of rms_norm. */
#ifndef QN_OPS_NORM_REF_H
#define QN_OPS_NORM_REF_H

#include <stdint.h>

/* y[rows, E] = x / sqrt(mean(x^2 over E) + eps) * w[E], in float64. */
void qn_rms_norm_ref(const float *x, const float *w, double eps, uint32_t rows, uint32_t e, double *y);

#endif
