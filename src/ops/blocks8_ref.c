#include "ops/blocks8_ref.h"

#include <math.h>

void qn_blocks8_ref(const float *x, uint32_t m, uint32_t k, float *y)
{
    for (; m > 0; m--, x += k, y += k)
        for (uint32_t first = 0; first < k; first += 32) {
            uint32_t end = first + 32 < k ? first + 32 : k;
            float peak = 0.0f;
            for (uint32_t i = first; i < end; i++) peak = fmaxf(peak, fabsf(x[i]));
            float inverse = peak > 0.0f ? 127.0f / peak : 0.0f;
            for (uint32_t i = first; i < end; i++) y[i] = rintf(x[i] * inverse) * (peak / 127.0f);
        }
}
