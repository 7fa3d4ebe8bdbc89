/* embedding_ref.h - plain C reference of embedding. */
#ifndef QN_OPS_EMBEDDING_REF_H
#define QN_OPS_EMBEDDING_REF_H

#include <stdint.h>

/* y[T, K] = w[ids[T], K], ids clamped to 0..n-1; w: dequantized values [n, K]. */
void qn_embedding_ref(const double *w, uint32_t n, uint32_t k, const int32_t *ids, uint32_t n_tokens, double *y);

#endif
