/* attention_ref.h - the plain references of update_cache and attention, summed in float64. */
#ifndef QN_OPS_ATTENTION_REF_H
#define QN_OPS_ATTENTION_REF_H

#include "base/status.h"

typedef struct qn_sdpa_ref_shape {
    uint32_t seq, pos;                      /* S rows at input_pos */
    uint32_t n_heads, n_kv_heads, head_dim; /* Hq, Hkv, D          */
    float scale;                            /* 0: 1 / sqrt(D)      */
} qn_sdpa_ref_shape;

/* Rows pos.. of cache[C, row_elements] = x[seq, row_elements]. */
void qn_update_cache_ref(const float *x, float *cache, uint32_t seq, uint32_t pos, size_t row_elements);

/* o[S, Hq, D] from q[S, Hq, D] and caches [C, Hkv, D] whose rows 0..pos+S-1 are already written; query row i sees
 * rows 0..pos+i. Fails only when memory runs out. */
qn_status qn_sdpa_ref(const qn_allocator *a, const qn_sdpa_ref_shape *shape, const float *q, const float *k_cache,
                      const float *v_cache, double *o);

#endif
