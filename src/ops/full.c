/* full.c - tensors of one number or of a range: y[i] = start + i * step over a shape that is fixed, computed by
 * integers, or another tensor's. */
#include "ops/check.h"

#include <inttypes.h>
#include <string.h>

static const qn_kernel_row rows[] = {
    {.name = "full.scalar",
     .source = "full",
     .entry = "main",
     .access = "w",
     .workgroup = {256, 1, 1},
     .spec = {"DTYPE"}},
};
const qn_kernel_table qn_full_kernels = {rows, 1};

/* The shape as the inputs say it: the tensor's, or its computed dimensions from integers, within their maximum. */
static qn_status find_shape(const qn_plan *p, qn_shape *shape)
{
    const qn_tensor *like = qn_plan_in(p, 0);
    *shape = p->node->attrs.full.shape;
    if (like && !like->is_int) {
        *shape = like->live;
        return qn_ok();
    }
    if (shape->rank > QN_MAX_RANK)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "rank %u is over %d", shape->rank, QN_MAX_RANK);
    uint32_t input = 0;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (!(p->node->attrs.full.computed >> i & 1)) continue;
        int64_t n = qn_plan_int(p, input++);
        if (p->building) continue;
        if (n < 1 || n > shape->dim[i])
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "dimension %u is to be %" PRId64 ", outside 1..%u", i, n,
                                shape->dim[i]);
        shape->dim[i] = (uint32_t)n;
    }
    return qn_ok();
}

qn_status qn_plan_full(qn_plan *p)
{
    qn_shape shape;
    uint32_t n, window, start, step;
    qn_dtype dtype = p->node->attrs.full.dtype;
    if (dtype != QN_F32 && dtype != QN_I32) return qn_plan_fail(p, QN_ERR_ARGUMENT, "type %d is unknown", (int)dtype);
    QN_TRY(find_shape(p, &shape));
    QN_TRY(qn_check_elements(p, &shape, &n));
    QN_TRY(qn_plan_word(p, dtype, p->node->attrs.full.start, &start));
    QN_TRY(qn_plan_word(p, dtype, p->node->attrs.full.step, &step));
    QN_TRY(qn_plan_set_out(p, 0, dtype, shape));
    QN_TRY(qn_plan_window(p, 4, n, &window));
    const qn_kernel_row *row = qn_plan_pick(p, &qn_full_kernels, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    uint32_t max = (uint32_t)qn_shape_count(&qn_plan_out(p, 0)->max);
    for (uint32_t first = 0; first < n; first += window) {
        qn_status s;
        qn_dispatch *d = qn_plan_dispatch(p, row, &s);
        if (!d) return s;
        uint32_t count = n - first < window ? n - first : window;
        d->spec[0] = dtype;
        qn_bind_rows(p, d, p->node->outputs[0], 4, max, window, first);
        qn_param_u32(d, count);
        qn_param_u32(d, first);
        qn_param_u32(d, start);
        qn_param_u32(d, step);
        QN_TRY(qn_grid_1d(p, d, qn_div_up(count, row->workgroup[0])));
    }
    return qn_ok();
}
