#include "ops/norm_ref.h"

#include <math.h>
#include <stddef.h>

void qn_rms_norm_ref(const float *x, const float *w, double eps, uint32_t rows, uint32_t e, double *y)
{
    for (uint32_t r = 0; r < rows; r++, x += e, y += e) {
        double squares = 0.0;
        for (uint32_t i = 0; i < e; i++) squares += (double)x[i] * x[i];
        double scale = 1.0 / sqrt(squares / e + eps);
        for (uint32_t i = 0; i < e; i++) y[i] = x[i] * scale * w[i];
    }
}
