/* linear.h - the kernel rows of linear, and what they can do beyond the product. */
#ifndef QN_OPS_LINEAR_H
#define QN_OPS_LINEAR_H

#include "ops/op.h"

/* Row constants of the linear kernels besides their tiles:
 *   MIN_GROUPS  the row gives way to the next below so many workgroups,
 *   MIN_K       and for shorter rows of w
 *   EACH, ONCE  what a workgroup costs beside others of a multiprocessor, and what it costs more that they do not hide:
 *               the cheapest of the rows that have them is taken
 *   NORMS       1: can normalize x itself (spec NORM)
 *   GATES       outputs of a workgroup that computes silu(gate) * up itself (spec GATED); 0: it cannot
 *   NO_CODES    1: not for quantized weights
 *   NO_FLOATS   1: for these only
 *   BLOCKS8     1: takes x in blocks of signed bytes (blocks8.h), normalized already
 * Rows without NORMS and GATES are served by dispatches before and after theirs. */
enum {
    QN_LINEAR_STORAGE,
    QN_LINEAR_GROUP,
    QN_LINEAR_SCALE_F16,
    QN_LINEAR_K,
    QN_LINEAR_HAS_BIAS,
    QN_LINEAR_HAS_RESIDUAL,
    QN_LINEAR_NORM,
    QN_LINEAR_GATED,
    QN_LINEAR_N,       /* rows of the weight's part */
    QN_LINEAR_N0,      /* the first of them; a GEMV that reads no parameter is 0.15 us faster */
    QN_LINEAR_COLUMNS, /* of y */
    QN_LINEAR_EPS,     /* bits of a float */
};
#define QN_LINEAR_SPEC                                                                                                 \
    "STORAGE", "GROUP", "SCALE_F16", "K", "HAS_BIAS", "HAS_RESIDUAL", "NORM", "GATED", "N", "N0", "COLUMNS", "EPS"

extern const qn_kernel_table qn_linear_kernels;

#endif
