/* blocks8.h - activations in 8 bits: blocks of 32 signed codes with a scale each, as a step of other operations.
 *
 * x[M, K] becomes codes (K rounded up to whole blocks; missing elements are 0) and scales:
 *     x[m, k] ~ code * scale[k / 32, m],   scale = largest |x| of the block / 127,   code = round(x / scale)
 * Each scale comes with its product with the sum of the block's codes, which weights with minimums need. */
#ifndef QN_OPS_BLOCKS8_H
#define QN_OPS_BLOCKS8_H

#include "ops/op.h"

typedef struct qn_blocks8_step {
    qn_bind x;             /* [m, k], k a multiple of 4                              */
    qn_bind norm;          /* [k]: x is normalized first with eps; a dummy: it is not */
    qn_bind codes, scales; /* of the sizes below                                     */
    uint32_t m, k;
    float eps;
} qn_blocks8_step;

extern const qn_kernel_table qn_blocks8_kernels;

uint64_t qn_blocks8_code_bytes(uint32_t m, uint32_t k);
uint64_t qn_blocks8_scale_bytes(uint32_t m, uint32_t k);

/* Appends its dispatch. */
qn_status qn_plan_blocks8_step(qn_plan *p, const qn_blocks8_step *step);

#endif
