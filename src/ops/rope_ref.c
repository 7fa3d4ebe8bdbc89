/* rope_ref.c - see rope_ref.h. */
#include "ops/rope_ref.h"

void qn_rope_ref(const float *x, const float *table, double *y, uint32_t rows, uint32_t heads, uint32_t head_dim,
                 uint32_t pos, qn_rope_mode mode)
{
    uint32_t half = head_dim / 2;
    for (uint32_t s = 0; s < rows; s++)
        for (uint32_t h = 0; h < heads; h++)
            for (uint32_t i = 0; i < half; i++) {
                const float *angle = &table[2 * ((size_t)(pos + s) * half + i)];
                size_t head = ((size_t)s * heads + h) * head_dim;
                size_t a = head + (mode == QN_ROPE_INTERLEAVED ? 2 * i : i);
                size_t b = mode == QN_ROPE_INTERLEAVED ? a + 1 : a + half;
                double c = angle[0], d = angle[1];
                y[a] = x[a] * c - x[b] * d;
                y[b] = x[a] * d + x[b] * c;
            }
}
