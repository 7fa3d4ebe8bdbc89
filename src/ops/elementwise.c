/* elementwise.c - add, mul, silu and silu_mul. The live element count chooses the route: items of four elements
 * where it is a multiple of 4, else of one. */
#include "ops/check.h"

/* Values of the kernels' constant FUNCTION. */
typedef enum function { FUNCTION_ADD = 0, FUNCTION_MUL, FUNCTION_SILU, FUNCTION_SILU_MUL } function;

enum { ROW_VEC4, ROW_SCALAR };

static const qn_kernel_row rows[] = {
    [ROW_VEC4] = {.name = "elementwise.vec4",
                  .source = "elementwise",
                  .with = {"item4"},
                  .entry = "main",
                  .access = "rrw",
                  .workgroup = {256, 1, 1},
                  .consts = {{"ITEM", 4}},
                  .spec = {"FUNCTION"}},
    [ROW_SCALAR] = {.name = "elementwise.scalar",
                    .source = "elementwise",
                    .with = {"item1"},
                    .entry = "main",
                    .access = "rrw",
                    .workgroup = {256, 1, 1},
                    .consts = {{"ITEM", 1}},
                    .spec = {"FUNCTION"}},
};
const qn_kernel_table qn_elementwise_kernels = {rows, 2};

/* Elements first .. first + n - 1; `window` as of qn_plan_window. */
static qn_status dispatch_window(qn_plan *p, function f, const qn_kernel_row *row, uint32_t window, uint32_t first,
                                 uint32_t n)
{
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    const qn_node *node = p->node;
    uint32_t items = n / qn_row_const(row, "ITEM"), max = (uint32_t)qn_shape_count(&qn_plan_in(p, 0)->max);
    d->spec[0] = f;
    qn_bind_rows(p, d, node->inputs[0], 4, max, window, first);
    if (f == FUNCTION_SILU)
        qn_bind_dummy(d);
    else
        qn_bind_rows(p, d, node->inputs[1], 4, max, window, first);
    qn_bind_rows(p, d, node->outputs[0], 4, max, window, first);
    qn_param_u32(d, items);
    return qn_grid_1d(p, d, qn_div_up(items, row->workgroup[0]));
}

static qn_status dispatch(qn_plan *p, function f, uint64_t mask, uint32_t n)
{
    uint32_t window = 0;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_elementwise_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device takes %u elements", n);
    QN_TRY(qn_plan_window(p, 4, n, &window));
    for (uint32_t first = 0; first < n; first += window)
        QN_TRY(dispatch_window(p, f, row, window, first, n - first < window ? n - first : window));
    return qn_ok();
}

/* y[...] = f(a[...], b[...]) */
static qn_status plan(qn_plan *p, function f)
{
    qn_tensor *a, *b;
    QN_TRY(qn_check_f32(p, 0, &a));
    if (f != FUNCTION_SILU) {
        QN_TRY(qn_check_f32(p, 1, &b));
        char at[96], bt[96];
        if (!qn_shape_equal(&a->live, &b->live))
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s and %s%s have different shapes", a->name ? a->name : "",
                                qn_shape_text(&a->live, at, sizeof at), b->name ? b->name : "",
                                qn_shape_text(&b->live, bt, sizeof bt));
    }
    uint32_t n;
    QN_TRY(qn_check_elements(p, &a->live, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, a->live));
    const uint64_t scalar = 1u << ROW_SCALAR, any = scalar | 1u << ROW_VEC4;
    if (p->building) { /* live counts within the maximum may take either route */
        if (n >= 4) QN_TRY(dispatch(p, f, any, n - n % 4));
        return dispatch(p, f, scalar, n);
    }
    return dispatch(p, f, n % 4 == 0 ? any : scalar, n);
}

qn_status qn_plan_add(qn_plan *p)
{
    return plan(p, FUNCTION_ADD);
}

qn_status qn_plan_mul(qn_plan *p)
{
    return plan(p, FUNCTION_MUL);
}

qn_status qn_plan_silu(qn_plan *p)
{
    return plan(p, FUNCTION_SILU);
}

qn_status qn_plan_silu_mul(qn_plan *p)
{
    return plan(p, FUNCTION_SILU_MUL);
}
