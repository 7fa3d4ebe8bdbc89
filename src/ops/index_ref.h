/* index_ref.h - plain C references of index_select and gather, on 32-bit words. */
#ifndef QN_OPS_INDEX_REF_H
#define QN_OPS_INDEX_REF_H

#include "quern_graph.h"

/* Both return y's shape; dim is not negative. Negative ids count from the end, ids outside are clamped. */
qn_shape qn_index_select_ref(const uint32_t *x, qn_shape xs, uint32_t dim, const int32_t *ids, qn_shape is,
                             uint32_t *y);
qn_shape qn_gather_ref(const uint32_t *x, qn_shape xs, uint32_t dim, const int32_t *ids, qn_shape is, uint32_t *y);

#endif
