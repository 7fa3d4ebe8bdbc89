/* check.h - checks of operands that several plan functions share. */
#ifndef QN_OPS_CHECK_H
#define QN_OPS_CHECK_H

#include "ops/op.h"

/* Input i is an f32 tensor (a plain one, if it is a weight). *t: the tensor. */
qn_status qn_check_f32(const qn_plan *p, uint32_t i, qn_tensor **t);

/* Elements of a shape, below 2^31: kernels index with 32 bits, and a folded grid passes the end by less than that. */
qn_status qn_check_elements(const qn_plan *p, const qn_shape *shape, uint32_t *n);

/* Binds input i: the tensor, or the data of a plain weight. */
void qn_bind_operand(const qn_plan *p, qn_dispatch *d, uint32_t i);

#endif
