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

void qn_rope_tables_ref(const float *x, const float *cosines, const float *sines, double *y, qn_rope_ref_size size,
                        qn_rope_mode mode)
{
    uint32_t d = size.head_dim, half = d / 2;
    bool halves = mode == QN_ROPE_HALF;
    for (uint32_t head = 0; head < size.batch * size.rows * size.heads; head++) {
        uint32_t row = size.pos + head / size.heads % size.rows;
        const float *c = cosines + (size_t)row * (halves ? d : half), *s = sines + (size_t)row * (halves ? d : half);
        const float *in = x + (size_t)head * d;
        double *out = y + (size_t)head * d;
        for (uint32_t i = 0; i < half; i++) {
            uint32_t a = halves ? i : 2 * i, b = halves ? i + half : a + 1, second = halves ? i + half : i;
            out[a] = (double)in[a] * c[i] - (double)in[b] * s[i];
            out[b] = (double)in[b] * c[second] + (double)in[a] * s[second];
        }
    }
}
