/* batch_matmul_ref.h - plain C reference of matmul, in float64. */
#ifndef QN_OPS_BATCH_MATMUL_REF_H
#define QN_OPS_BATCH_MATMUL_REF_H

#include "quern_graph.h"

/* y = scale * a . b of live shapes as qn_matmul takes them; returns y's shape. size[i] (may be NULL): the sum of the
 * magnitudes of y[i]'s terms, by which rounding is measured. */
qn_shape qn_matmul_ref(const float *a, qn_shape as, const float *b, qn_shape bs, bool transpose_b, double scale,
                       double *y, double *size);

#endif
