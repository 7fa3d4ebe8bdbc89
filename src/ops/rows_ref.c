#include "ops/rows_ref.h"

#include <stddef.h>

void qn_last_rows_ref(const float *x, uint32_t m, uint32_t e, uint32_t n, double *y)
{
    const float *first = x + (size_t)(m - n) * e;
    for (size_t i = 0; i < (size_t)n * e; i++) y[i] = first[i];
}
