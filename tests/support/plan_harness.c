#include "support/plan_harness.h"

#include "base/limits.h"

#include <string.h>

qn_device_info qn_test_baseline_device(void)
{
    qn_device_info device = qn_core_device();
    device.type = QN_ADAPTER_DISCRETE;
    return device;
}

void qn_test_plan_init(qn_test_plan *t, qn_op op)
{
    memset(t, 0, sizeof *t);
    t->device = qn_test_baseline_device();
    t->plan.device = &t->device;
    t->plan.tensors = t->tensors;
    t->node.op = op;
    t->node.name = "node";
    t->node.n_outputs = 1;
    t->n_values = 2; /* 0: none, 1: the output */
    t->node.outputs[0] = 1;
    t->tensors[1].name = "out";
}

void qn_test_plan_free(qn_test_plan *t)
{
    qn_free(t->plan.allocator, t->plan.dispatches);
}

static qn_value add(qn_test_plan *t, qn_tensor tensor)
{
    qn_value v = t->n_values++;
    t->tensors[v] = tensor;
    t->node.inputs[t->node.n_inputs++] = v;
    return v;
}

qn_value qn_test_plan_tensor(qn_test_plan *t, const char *name, qn_dtype dtype, qn_shape max)
{
    return add(t, (qn_tensor){.name = name, .dtype = dtype, .max = max, .live = max});
}

qn_value qn_test_plan_integer(qn_test_plan *t, const char *name, int64_t max)
{
    return add(t, (qn_tensor){.name = name, .is_int = true, .number = max, .max_number = max});
}

qn_value qn_test_plan_weight(qn_test_plan *t, const qn_weight *weight)
{
    return add(
        t, (qn_tensor){
               .name = weight->name, .dtype = QN_F32, .max = weight->shape, .live = weight->shape, .weight = weight});
}

qn_value qn_test_plan_absent(qn_test_plan *t)
{
    t->node.inputs[t->node.n_inputs++] = 0;
    return 0;
}

qn_status qn_test_plan_build(qn_test_plan *t)
{
    t->plan.building = true;
    qn_status s = qn_plan_node(&t->plan, &t->node);
    t->plan.building = false;
    return s;
}

qn_status qn_test_plan_live(qn_test_plan *t)
{
    return qn_plan_node(&t->plan, &t->node);
}

qn_tensor *qn_test_plan_out(qn_test_plan *t)
{
    return &t->tensors[1];
}
