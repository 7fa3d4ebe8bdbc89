/* reduce.h - functions of the reduce op, and its dispatch for others (the statistics of a normalization). */
#ifndef QN_OPS_REDUCE_H
#define QN_OPS_REDUCE_H

#include "ops/lines.h"

/* Values of the kernel's constant FUNCTION; the first ones are enum qn_reduction. */
typedef enum qn_reduce_function {
    QN_REDUCE_ARGMAX = QN_REDUCE_ALL + 1,
    QN_REDUCE_ARGMIN,
    QN_REDUCE_VAR,
    QN_REDUCE_RSTD,
} qn_reduce_function;

/* Output o = function over the f32 lines of input 0; number: of VAR and RSTD. */
qn_status qn_plan_statistic(qn_plan *p, uint32_t o, qn_reduce_function function, const qn_lines *lines, float number);

#endif
