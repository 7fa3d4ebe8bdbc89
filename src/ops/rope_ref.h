/* rope_ref.h - the plain reference of rope, in float64. */
#ifndef QN_OPS_ROPE_REF_H
#define QN_OPS_ROPE_REF_H

#include "quern_graph.h"

/* y[rows, heads, head_dim] = x rotated at positions pos.. by table[positions, head_dim/2, 2] (cosine, sine). */
void qn_rope_ref(const float *x, const float *table, double *y, uint32_t rows, uint32_t heads, uint32_t head_dim,
                 uint32_t pos, qn_rope_mode mode);

/* y[batch, rows, heads, head_dim] with a table of each: cosines and sines [positions, head_dim/2] interleaved,
 * [positions, head_dim] in half mode. */
typedef struct qn_rope_ref_size {
    uint32_t batch, rows, heads, head_dim, pos;
} qn_rope_ref_size;
void qn_rope_tables_ref(const float *x, const float *cosines, const float *sines, double *y, qn_rope_ref_size size,
                        qn_rope_mode mode);

#endif
