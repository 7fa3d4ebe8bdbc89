/* rows.c - view (the same elements under another shape) and last_rows (the end of a batch of rows). */
#include "ops/check.h"
#include "ops/strided.h"

#include <inttypes.h>

/* ---- view ------------------------------------------------------------------------------------ */

/* The asked shape with its open dimension (0), if any, filled so that it holds `count` elements. */
static qn_status resolve(const qn_plan *p, const qn_tensor *x, qn_shape *shape)
{
    char asked[96], have[96];
    qn_shape_text(shape, asked, sizeof asked);
    qn_shape_text(&x->live, have, sizeof have);
    uint64_t fixed = 1, count = qn_shape_count(&x->live);
    uint32_t open = QN_MAX_RANK;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->dim[i] == 0 && open != QN_MAX_RANK)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "the shape %s has more than one open (0) dimension", asked);
        if (shape->dim[i] == 0)
            open = i;
        else if (!qn_mul_u64(fixed, shape->dim[i], &fixed))
            return qn_plan_fail(p, QN_ERR_LIMIT, "the shape %s is too large", asked);
    }
    uint64_t rest = open == QN_MAX_RANK ? 1 : count / fixed;
    if (count == 0 || rest == 0 || rest > UINT32_MAX || count % fixed != 0 || count / fixed != rest)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s cannot be seen as %s: %" PRIu64 " elements",
                            x->name ? x->name : "", have, asked, count);
    if (open != QN_MAX_RANK) shape->dim[open] = (uint32_t)rest;
    return qn_ok();
}

/* Dimensions of x, and dimensions given by integers: what they say now. While building, the maximum of the latter
 * stands in the shape. */
static qn_status take_computed(const qn_plan *p, const qn_tensor *x, qn_shape *shape)
{
    uint32_t input = 1;
    for (uint32_t i = 0; p->node->attrs.view.from_dims && i < shape->rank; i++) {
        int8_t from = p->node->attrs.view.from[i];
        if (from >= (int)x->live.rank) return qn_plan_fail(p, QN_ERR_ARGUMENT, "x has no dimension %d", from);
        shape->dim[i] = from < 0 ? 1 : x->live.dim[from];
    }
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (!(p->node->attrs.view.computed >> i & 1)) continue;
        int64_t n = qn_plan_int(p, input++);
        if (p->building) continue;
        if (n < -1 || n == 0 || n > UINT32_MAX)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "dimension %u is to be %" PRId64, i, n);
        shape->dim[i] = n < 0 ? 0 : (uint32_t)n;
    }
    return qn_ok();
}

/* y[shape] is x's memory: only the shape is computed, nothing is dispatched. */
qn_status qn_plan_view(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0);
    if (!x || x->is_int || (x->weight && x->weight->matrix))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "only a tensor that is no packed matrix can be viewed");
    qn_shape shape = p->node->attrs.view.shape;
    if (shape.rank > QN_MAX_RANK)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "rank %u is over %d", shape.rank, QN_MAX_RANK);
    QN_TRY(take_computed(p, x, &shape));
    QN_TRY(resolve(p, x, &shape));
    return qn_plan_set_out(p, 0, x->dtype, shape);
}

/* ---- last_rows ------------------------------------------------------------------------------- */

/* The number of rows to copy: what the integer says, and while building the most that it may ever say. */
static qn_status count_rows(const qn_plan *p, uint32_t m, uint32_t *n)
{
    const qn_tensor *t = qn_plan_in(p, 1);
    uint32_t max_rows = p->node->attrs.last_rows.max_rows;
    if (!t || !t->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "the number of rows must be an integer value");
    if (max_rows == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "max_rows is 0: give the largest number of rows");
    uint32_t most = max_rows < m ? max_rows : m;
    if (!p->building && (t->number < 1 || t->number > most))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s = %" PRId64 " rows asked for; 1..%u are there (of %u, at most %u)",
                            t->name ? t->name : "n", t->number, most, m, max_rows);
    *n = p->building ? most : (uint32_t)t->number;
    return qn_ok();
}

/* y[n, E] = x[M - n .. M - 1, E] */
qn_status qn_plan_last_rows(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(qn_check_f32(p, 0, &x));
    char text[96];
    if (x->live.rank != 2)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x%s has rank %u, not 2", qn_shape_text(&x->live, text, sizeof text),
                            x->live.rank);
    uint32_t m = x->live.dim[0], e = x->live.dim[1], n = 0, elements;
    QN_TRY(qn_check_elements(p, &x->live, &elements));
    QN_TRY(count_rows(p, m, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, qn_shape_2(n, e)));
    qn_move move = {.x_first = (int64_t)(m - n) * e};
    qn_move_add_dim(&move, n * e, 1, 1);
    return qn_plan_move(p, &move, qn_move_from(p, 0), qn_move_to(p, 0));
}
