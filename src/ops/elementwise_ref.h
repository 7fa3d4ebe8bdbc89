/* elementwise_ref.h - plain C reference of the functions of functions.def, in float64. */
#ifndef QN_OPS_ELEMENTWISE_REF_H
#define QN_OPS_ELEMENTWISE_REF_H

#include "ops/op.h"

/* f(a, b, c) with the node's numbers s and t; operands that f does not take are ignored. */
double qn_function_ref(qn_op f, double a, double b, double c, double s, double t);

/* One operand of qn_broadcast_ref: its numbers, row-major. */
typedef struct qn_operand_ref {
    const double *data;
    qn_shape shape;
} qn_operand_ref;

/* y[out] = f(a, b, c), each operand (data NULL: none, 0) read where its aligned dimensions of size 1 repeat. */
void qn_broadcast_ref(qn_op f, const qn_operand_ref operands[3], double s, double t, qn_shape out, double *y);

#endif
