/* norm.h - rms_norm as a step of other operations. */
#ifndef QN_OPS_NORM_H
#define QN_OPS_NORM_H

#include "ops/op.h"

/* y[n, e] = x / sqrt(mean(x^2 over e) + eps) * w[e] */
typedef struct qn_norm_step {
    qn_bind x, w, y;
    uint32_t n, e;
    float eps;
} qn_norm_step;

/* Appends its dispatch. QN_ERR_UNSUPPORTED when no kernel of the device can. */
qn_status qn_plan_norm_step(qn_plan *p, const qn_norm_step *step);
/* Fails, naming the number, unless eps is finite and not negative. */
qn_status qn_check_eps(const qn_plan *p, float eps);

#endif
