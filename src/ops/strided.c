/* strided.c - strided copies: merging of dimensions, the choice of the row, parameters. */
#include "ops/strided.h"

#include "ops/check.h"

enum { ROW_VEC4, ROW_ANY };

static const qn_kernel_row rows[] = {
    [ROW_VEC4] = {.name = "strided.vec4",
                  .source = "strided",
                  .with = {"word4"},
                  .entry = "copy",
                  .access = "rw",
                  .workgroup = {256, 1, 1},
                  .consts = {{"ITEM", 4}}},
    [ROW_ANY] = {.name = "strided.any",
                 .source = "strided",
                 .with = {"word1"},
                 .entry = "copy",
                 .access = "rw",
                 .workgroup = {256, 1, 1},
                 .consts = {{"ITEM", 1}}},
};
const qn_kernel_table qn_strided_kernels = {rows, 2};

static const qn_kernel_row fill_rows[] = {
    {.name = "strided.fill", .source = "strided_fill", .entry = "fill", .access = "w", .workgroup = {256, 1, 1}},
};
const qn_kernel_table qn_strided_fill_kernels = {fill_rows, 1};

/* ---- description ----------------------------------------------------------------------------- */

void qn_move_add_dim(qn_move *c, uint32_t size, int64_t x, int64_t y)
{
    c->dim[c->rank].size = size;
    c->dim[c->rank].x = x;
    c->dim[c->rank++].y = y;
}

void qn_move_merge(qn_move *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->rank; i++) {
        if (c->dim[i].size == 1) continue;
        uint32_t size = c->dim[i].size;
        bool joins = n > 0 && c->dim[n - 1].x == c->dim[i].x * size && c->dim[n - 1].y == c->dim[i].y * size;
        if (joins) size *= c->dim[--n].size;
        c->dim[n] = c->dim[i];
        c->dim[n++].size = size;
    }
    c->rank = n;
    if (n == 0) qn_move_add_dim(c, 1, 1, 1);
}

void qn_shape_strides(const qn_shape *shape, int64_t strides[QN_MAX_RANK])
{
    int64_t stride = 1;
    for (uint32_t i = shape->rank; i-- > 0; stride *= shape->dim[i]) strides[i] = stride;
}

qn_bind qn_move_from(const qn_plan *p, uint32_t i)
{
    qn_value value = p->node->inputs[i];
    return (qn_bind){.kind = p->tensors[value].weight ? QN_BIND_DATA : QN_BIND_VALUE, .value = value};
}

qn_bind qn_move_to(const qn_plan *p, uint32_t i)
{
    return (qn_bind){.kind = QN_BIND_VALUE, .value = p->node->outputs[i]};
}

/* ---- dispatches ------------------------------------------------------------------------------ */

/* The copy moves whole items of `item` elements: runs of them on both sides, each beginning at a multiple. */
static bool in_items(const qn_move *c, int64_t item)
{
    uint32_t inner = c->rank - 1;
    if (c->dim[inner].x != 1 || c->dim[inner].y != 1 || c->dim[inner].size % item) return false;
    if (c->x_first % item || c->y_first % item) return false;
    for (uint32_t i = 0; i < inner; i++)
        if (c->dim[i].x % item || c->dim[i].y % item) return false;
    return true;
}

static qn_status dispatch(qn_plan *p, const qn_move *c, uint64_t mask, qn_bind x, qn_bind y)
{
    qn_status s;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_strided_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->binds[d->n_binds++] = x;
    d->binds[d->n_binds++] = y;
    int64_t item = qn_row_const(row, "ITEM");
    uint32_t n = 1;
    for (uint32_t i = 0; i < c->rank; i++) n *= c->dim[i].size;
    n /= (uint32_t)item;
    qn_param_u32(d, n);
    qn_param_u32(d, c->rank);
    qn_param_u32(d, (uint32_t)(c->x_first / item));
    qn_param_u32(d, (uint32_t)(c->y_first / item));
    for (uint32_t i = c->rank; i-- > 0;) {
        bool inner = i + 1 == c->rank; /* its elements are contiguous, and so are its items */
        qn_param_u32(d, inner ? c->dim[i].size / (uint32_t)item : c->dim[i].size);
        qn_param_u32(d, (uint32_t)(inner ? c->dim[i].x : c->dim[i].x / item));
        qn_param_u32(d, (uint32_t)(inner ? c->dim[i].y : c->dim[i].y / item));
        qn_param_u32(d, 0);
    }
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

/* A constant of less than an item is too small to be bound as items; other memory has a multiple of 16 bytes. */
static bool holds_an_item(const qn_plan *p, qn_bind x)
{
    return x.kind != QN_BIND_DATA || qn_shape_count(&p->tensors[x.value].max) >= 4;
}

qn_status qn_plan_move(qn_plan *p, const qn_move *move, qn_bind x, qn_bind y)
{
    const uint64_t any = 1u << ROW_ANY, both = any | 1u << ROW_VEC4;
    qn_move c = *move;
    qn_move_merge(&c);
    if (c.rank > QN_MOVE_MERGED)
        return qn_plan_fail(p, QN_ERR_LIMIT, "a copy over %u dimensions; at most %d", c.rank, QN_MOVE_MERGED);
    if (p->building && holds_an_item(p, x)) QN_TRY(dispatch(p, &c, both, x, y)); /* a live shape may take either row */
    return dispatch(p, &c, !p->building && in_items(&c, 4) ? both : any, x, y);
}

qn_status qn_plan_fill_words(qn_plan *p, uint32_t n, uint32_t word, qn_bind y)
{
    qn_status s;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_strided_fill_kernels, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->binds[d->n_binds++] = y;
    qn_param_u32(d, qn_div_up(n, 4));
    qn_param_u32(d, word);
    return qn_grid_1d(p, d, qn_div_up(qn_div_up(n, 4), row->workgroup[0]));
}
