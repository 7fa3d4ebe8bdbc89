/* elementwise_ref.h - plain C references of add, mul, silu and silu_mul, in float64. */
#ifndef QN_OPS_ELEMENTWISE_REF_H
#define QN_OPS_ELEMENTWISE_REF_H

#include <stddef.h>

void qn_add_ref(const float *a, const float *b, size_t n, double *y);      /* y[n] = a + b       */
void qn_mul_ref(const float *a, const float *b, size_t n, double *y);      /* y[n] = a * b       */
void qn_silu_ref(const float *a, const float *b, size_t n, double *y);     /* y[n] = silu(a); b is not read */
void qn_silu_mul_ref(const float *a, const float *b, size_t n, double *y); /* y[n] = silu(a) * b */

#endif
