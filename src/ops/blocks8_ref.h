/* blocks8_ref.h - the reference of activations in 8-bit blocks (blocks8.h). */
#ifndef QN_OPS_BLOCKS8_REF_H
#define QN_OPS_BLOCKS8_REF_H

#include <stdint.h>

/* What x[m, k] becomes: y[m, k] = code * scale. */
void qn_blocks8_ref(const float *x, uint32_t m, uint32_t k, float *y);

#endif
