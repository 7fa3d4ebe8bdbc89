/* plan_harness.h - running one plan function without a device. */
#ifndef QN_TESTS_PLAN_HARNESS_H
#define QN_TESTS_PLAN_HARNESS_H

#include "ops/op.h"

enum { QN_TEST_MAX_VALUES = 16 };

/* A node, its values, and the device that it is planned for. Zero-initialized by qn_test_plan_init. */
typedef struct qn_test_plan {
    qn_device_info device;
    qn_tensor tensors[QN_TEST_MAX_VALUES];
    uint32_t n_values;
    qn_node node;
    qn_plan plan;
} qn_test_plan;

/* Core WebGPU limits, no optional feature, a discrete GPU. */
qn_device_info qn_test_baseline_device(void);

void qn_test_plan_init(qn_test_plan *t, qn_op op);
void qn_test_plan_free(qn_test_plan *t);
/* Each appends the node's next input, at its maximum; the result is its value. */
qn_value qn_test_plan_tensor(qn_test_plan *t, const char *name, qn_dtype dtype, qn_shape max);
qn_value qn_test_plan_integer(qn_test_plan *t, const char *name, int64_t max);
qn_value qn_test_plan_weight(qn_test_plan *t, const qn_weight *weight);
qn_value qn_test_plan_absent(qn_test_plan *t);

/* Plans at the maximum, as building does; then at the live shapes in t->tensors. The output is t->tensors[out]. */
qn_status qn_test_plan_build(qn_test_plan *t);
qn_status qn_test_plan_live(qn_test_plan *t);
qn_tensor *qn_test_plan_out(qn_test_plan *t);

#endif
