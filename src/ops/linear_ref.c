#include "ops/linear_ref.h"

#include <stddef.h>

void qn_linear_ref(const float *x, const double *w, const float *bias, uint32_t m, uint32_t n, uint32_t k, double *y)
{
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (uint32_t c = 0; c < k; c++) sum += x[(size_t)i * k + c] * w[(size_t)j * k + c];
            y[(size_t)i * n + j] = sum;
        }
}
