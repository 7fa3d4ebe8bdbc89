#include "ops/batch_matmul_ref.h"

#include <math.h>
#include <stddef.h>

/* Shape with leading ones up to rank 4. */
static qn_shape of_rank_4(qn_shape s)
{
    qn_shape r = {4, {1, 1, 1, 1}};
    for (uint32_t i = 0; i < s.rank; i++) r.dim[4 - s.rank + i] = s.dim[i];
    return r;
}

/* Where matrix (i, j) of a broadcast operand begins. */
static size_t matrix_at(const qn_shape *s, uint32_t i, uint32_t j)
{
    size_t outer = s->dim[0] == 1 ? 0 : i, inner = s->dim[1] == 1 ? 0 : j;
    return (outer * s->dim[1] + inner) * s->dim[2] * s->dim[3];
}

qn_shape qn_matmul_ref(const float *a, qn_shape as, const float *b, qn_shape bs, bool transpose_b, double scale,
                       double *y, double *size)
{
    qn_shape x = of_rank_4(as), z = of_rank_4(bs), out = x;
    for (int i = 0; i < 2; i++)
        if (z.dim[i] > out.dim[i]) out.dim[i] = z.dim[i];
    out.dim[3] = z.dim[transpose_b ? 2 : 3];
    uint32_t m = x.dim[2], k = x.dim[3], n = out.dim[3];
    size_t at = 0;
    for (uint32_t i = 0; i < out.dim[0] * out.dim[1]; i++) {
        const float *am = a + matrix_at(&x, i / out.dim[1], i % out.dim[1]);
        const float *bm = b + matrix_at(&z, i / out.dim[1], i % out.dim[1]);
        for (uint32_t row = 0; row < m; row++)
            for (uint32_t column = 0; column < n; column++, at++) {
                double sum = 0, magnitude = 0;
                for (size_t e = 0; e < k; e++) {
                    double term = (double)am[row * (size_t)k + e] *
                                  (double)(transpose_b ? bm[column * (size_t)k + e] : bm[e * n + column]);
                    sum += term;
                    magnitude += fabs(term);
                }
                y[at] = sum * scale;
                if (size) size[at] = magnitude * fabs(scale);
            }
    }
    uint32_t rank = as.rank > bs.rank ? as.rank : bs.rank;
    for (uint32_t i = 0; i < rank; i++) out.dim[i] = out.dim[4 - rank + i];
    out.rank = rank;
    return out;
}
