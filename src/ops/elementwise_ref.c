#include "ops/elementwise_ref.h"

#include <math.h>

void qn_add_ref(const float *a, const float *b, size_t n, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (double)a[i] + b[i];
}

void qn_mul_ref(const float *a, const float *b, size_t n, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (double)a[i] * b[i];
}

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

void qn_silu_ref(const float *a, const float *b, size_t n, double *y)
{
    (void)b;
    for (size_t i = 0; i < n; i++) y[i] = silu(a[i]);
}

void qn_silu_mul_ref(const float *a, const float *b, size_t n, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = silu(a[i]) * b[i];
}
