/* index.c - elements of a tensor by i32 ids: index_select takes whole slices, gather single elements. Both move words
 * as they are, so that f32 and i32 are one. */
#include "ops/check.h"

/* Indexed by data: the kernel clamps the ids, and the bounds checks stay as well. */
enum { ROW_VEC4, ROW_SCALAR };

static const qn_kernel_row rows[] = {
    [ROW_VEC4] = {.name = "index.vec4",
                  .source = "index",
                  .with = {"word4"},
                  .entry = "main",
                  .access = "rrw",
                  .workgroup = {128, 1, 1},
                  .consts = {{"ITEM", 4}},
                  .checked = true},
    [ROW_SCALAR] = {.name = "index.scalar",
                    .source = "index",
                    .with = {"word1"},
                    .entry = "main",
                    .access = "rrw",
                    .workgroup = {128, 1, 1},
                    .consts = {{"ITEM", 1}},
                    .checked = true},
};
const qn_kernel_table qn_index_kernels = {rows, 2};

/* y's dimensions, neighbours merged where their strides allow it, and the axis that the ids stand for. */
typedef struct index_map {
    uint32_t n, rank;
    uint32_t size[QN_MAX_RANK], x[QN_MAX_RANK], ids[QN_MAX_RANK]; /* strides in elements */
    uint32_t axis, axis_stride;
} index_map;

/* Appends a dimension inside the others. */
static void append(index_map *map, uint32_t size, uint32_t x, uint32_t ids)
{
    uint32_t last = map->rank - 1;
    if (size == 1) return;
    if (map->rank && map->x[last] == x * size && map->ids[last] == ids * size) {
        map->size[last] *= size;
    } else {
        last = map->rank++;
        map->size[last] = size;
    }
    map->x[last] = x;
    map->ids[last] = ids;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static qn_status check_inputs(const qn_plan *p, qn_tensor **x, qn_tensor **ids, uint32_t *dim)
{
    *x = qn_plan_in(p, 0);
    *ids = qn_plan_in(p, 1);
    uint32_t elements;
    if (!*x || (*x)->is_int || ((*x)->weight && (*x)->weight->matrix))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x must be a plain tensor; a packed matrix is for embedding");
    if (!*ids || (*ids)->is_int || (*ids)->dtype != QN_I32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the ids must be an i32 tensor");
    QN_TRY(qn_check_elements(p, &(*x)->live, &elements));
    QN_TRY(qn_check_elements(p, &(*ids)->live, &elements));
    int64_t rank = (*x)->live.rank ? (*x)->live.rank : 1, given = p->node->attrs.index.dim;
    if (given < -rank || given >= rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "dimension %d is outside the %d that x has", (int)given, (int)rank);
    *dim = (uint32_t)(given < 0 ? given + rank : given);
    return qn_ok();
}

/* Product of the live dimensions from..to - 1. */
static uint32_t product(const qn_shape *s, uint32_t from, uint32_t to)
{
    uint32_t n = 1;
    for (uint32_t i = from; i < to && i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static qn_status dispatch(qn_plan *p, const index_map *map, uint64_t mask)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_index_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    uint32_t item = qn_row_const(row, "ITEM"), n = map->n / item;
    qn_bind_operand(p, d, 0);
    qn_bind_operand(p, d, 1);
    qn_bind_value(d, p->node->outputs[0]);
    qn_param_u32(d, n);
    qn_param_u32(d, map->rank);
    qn_param_u32(d, map->axis);
    qn_param_u32(d, map->axis_stride / item);
    for (uint32_t i = 0; i < map->rank; i++) {
        bool inner = i + 1 == map->rank; /* whose elements the items are made of */
        qn_param_u32(d, inner ? map->size[i] / item : map->size[i]);
        qn_param_u32(d, inner ? map->x[i] : map->x[i] / item);
        qn_param_u32(d, map->ids[i]);
        qn_param_u32(d, 0);
    }
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

/* y[outer, ids..., inner] = x[outer, id, inner] */
qn_status qn_plan_index_select(qn_plan *p)
{
    qn_tensor *x, *ids;
    uint32_t dim = 0;
    QN_TRY(check_inputs(p, &x, &ids, &dim));
    const qn_shape *xs = &x->live, *is = &ids->live;
    uint32_t inner = product(xs, dim + 1, xs->rank), count = product(is, 0, is->rank);
    index_map map = {.axis = product(xs, dim, dim + 1), .axis_stride = inner};
    if (xs->rank + is->rank > QN_MAX_RANK + 1)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "ranks %u of x and %u of the ids make more than %d dimensions",
                            xs->rank, is->rank, QN_MAX_RANK);
    qn_shape out = {0};
    for (uint32_t i = 0; i < dim; i++) out.dim[out.rank++] = xs->dim[i];
    for (uint32_t i = 0; i < is->rank; i++) out.dim[out.rank++] = is->dim[i];
    for (uint32_t i = dim + 1; i < xs->rank; i++) out.dim[out.rank++] = xs->dim[i];
    QN_TRY(qn_check_elements(p, &out, &map.n));
    QN_TRY(qn_plan_set_out(p, 0, x->dtype, out));
    append(&map, product(xs, 0, dim), map.axis * inner, 0);
    append(&map, count, 0, 1);
    append(&map, inner, 1, 0);
    const uint64_t scalar = 1u << ROW_SCALAR, any = scalar | 1u << ROW_VEC4;
    if (p->building && inner >= 4) QN_TRY(dispatch(p, &map, any)); /* live sizes may divide by 4 or not */
    return dispatch(p, &map, inner % 4 == 0 && !p->building ? any : scalar);
}

/* y[i...] = x[i... with ids[i...] for i at dim] */
qn_status qn_plan_gather(qn_plan *p)
{
    qn_tensor *x, *ids;
    uint32_t dim = 0;
    char at[96], bt[96];
    QN_TRY(check_inputs(p, &x, &ids, &dim));
    const qn_shape *xs = &x->live, *is = &ids->live;
    bool fits = xs->rank == is->rank;
    for (uint32_t i = 0; fits && i < xs->rank; i++) fits = i == dim || is->dim[i] <= xs->dim[i];
    if (!fits)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "ids %s do not fit x %s outside dimension %u",
                            qn_shape_text(is, at, sizeof at), qn_shape_text(xs, bt, sizeof bt), dim);
    index_map map = {.axis = product(xs, dim, dim + 1), .axis_stride = product(xs, dim + 1, xs->rank)};
    QN_TRY(qn_check_elements(p, is, &map.n));
    QN_TRY(qn_plan_set_out(p, 0, x->dtype, *is));
    for (uint32_t i = 0; i < is->rank; i++)
        append(&map, is->dim[i], i == dim ? 0 : product(xs, i + 1, xs->rank), product(is, i + 1, is->rank));
    return dispatch(p, &map, 1u << ROW_SCALAR);
}
