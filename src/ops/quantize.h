/* quantize.h - what the kernels on 8-bit codes share. */
#ifndef QN_OPS_QUANTIZE_H
#define QN_OPS_QUANTIZE_H

#include "ops/check.h"

/* Input i is an i32 tensor. *t: the tensor. */
qn_status qn_check_codes(const qn_plan *p, uint32_t i, qn_tensor **t);
/* The scale is a number above 0 that f32 holds, as its inverse; `name`: which, for the message. */
qn_status qn_check_quant(const qn_plan *p, const char *name, const qn_quant *q);
/* w of a convolution or linear layer (input 1) has at least `bytes` bytes of codes, w_scales (input 2) `n_scales` and
 * the bias (input 3, optional) n_bias elements. */
qn_status qn_check_q8_weights(const qn_plan *p, uint64_t bytes, uint32_t n_scales, uint32_t n_bias);
/* Binds x, w, w_scales, bias or a dummy, and the output. */
void qn_bind_q8(const qn_plan *p, qn_dispatch *d);
/* Four words: Quant of quantize.wgsl. */
void qn_param_quant(qn_dispatch *d, const qn_quant *q, int32_t low, int32_t high);

enum { QN_Q8_MOST = 65000 }; /* products of a sum: 32-bit integers hold it, and a software device's loop ends in time */

#endif
