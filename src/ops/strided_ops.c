/* strided_ops.c - operations that only move elements: permute, slice, select, expand, repeat, flip, cat, pad and
 * the pixel shuffles. Each is one strided copy or a few, of any element type. */
#include "ops/check.h"
#include "ops/strided.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- operands -------------------------------------------------------------------------------- */

static const char *name_of(const qn_tensor *t)
{
    return t->name ? t->name : "";
}

/* A tensor that kernels index with 32 bits and bind whole. */
static qn_status check_size(const qn_plan *p, const qn_shape *shape)
{
    uint32_t n;
    char text[96];
    QN_TRY(qn_check_elements(p, shape, &n));
    if (n * UINT64_C(4) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s takes %" PRIu64 " bytes, over the device's binding limit of %" PRIu64,
                            qn_shape_text(shape, text, sizeof text), n * UINT64_C(4), p->device->max_binding_bytes);
    return qn_ok();
}

/* Input i is a tensor of any type, no packed matrix. */
static qn_status check_input(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    *t = qn_plan_in(p, i);
    if (!*t || (*t)->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is not a tensor", i);
    if ((*t)->weight && (*t)->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is a packed matrix, not a plain tensor", i, name_of(*t));
    return check_size(p, &(*t)->max);
}

static qn_status set_out(qn_plan *p, const qn_tensor *x, const qn_shape *shape)
{
    QN_TRY(check_size(p, shape));
    return qn_plan_set_out(p, 0, x->dtype, *shape);
}

/* Dimension `dim` of a rank; a negative one counts from the end. */
static qn_status find_dim(const qn_plan *p, const qn_tensor *x, int32_t dim, uint32_t *found)
{
    int64_t rank = x->live.rank, d = dim < 0 ? dim + rank : dim;
    char text[96];
    if (d < 0 || d >= rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s has no dimension %d", name_of(x),
                            qn_shape_text(&x->live, text, sizeof text), dim);
    *found = (uint32_t)d;
    return qn_ok();
}

/* The copy of all of x's elements to where the same index lies under the strides of `y`. */
static qn_move copy_into(const qn_shape *x, const qn_shape *y)
{
    int64_t xs[QN_MAX_RANK], ys[QN_MAX_RANK];
    qn_move c = {0};
    qn_shape_strides(x, xs);
    qn_shape_strides(y, ys);
    for (uint32_t i = 0; i < x->rank; i++) qn_move_add_dim(&c, x->dim[i], xs[i], ys[i]);
    return c;
}

/* Sets the output and appends its one copy. */
static qn_status finish(qn_plan *p, const qn_tensor *x, const qn_shape *shape, const qn_move *move)
{
    QN_TRY(set_out(p, x, shape));
    return qn_plan_move(p, move, qn_move_from(p, 0), qn_move_to(p, 0));
}

/* ---- permute and flip ------------------------------------------------------------------------ */

/* The dimensions that the node lists, each at most once. */
static qn_status listed_dims(const qn_plan *p, const qn_tensor *x, uint32_t dims[QN_MAX_RANK])
{
    const int32_t *listed = p->node->attrs.dims.dim;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < p->node->attrs.dims.n; i++) {
        QN_TRY(find_dim(p, x, listed[i], &dims[i]));
        if (seen >> dims[i] & 1) return qn_plan_fail(p, QN_ERR_ARGUMENT, "dimension %d is there twice", listed[i]);
        seen |= 1u << dims[i];
    }
    return qn_ok();
}

/* y[idx] = x[...], where dimension i of y is dimension order[i] of x. */
qn_status qn_plan_permute(qn_plan *p)
{
    qn_tensor *x;
    uint32_t order[QN_MAX_RANK];
    QN_TRY(check_input(p, 0, &x));
    if (p->node->attrs.dims.n != x->live.rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "an order of %u dimensions for %s of rank %u", p->node->attrs.dims.n,
                            name_of(x), x->live.rank);
    QN_TRY(listed_dims(p, x, order));
    qn_shape shape = {.rank = x->live.rank};
    int64_t xs[QN_MAX_RANK], ys[QN_MAX_RANK];
    for (uint32_t i = 0; i < shape.rank; i++) shape.dim[i] = x->live.dim[order[i]];
    qn_shape_strides(&x->live, xs);
    qn_shape_strides(&shape, ys);
    qn_move c = {0};
    for (uint32_t i = 0; i < shape.rank; i++) qn_move_add_dim(&c, shape.dim[i], xs[order[i]], ys[i]);
    return finish(p, x, &shape, &c);
}

/* y[..., i, ...] = x[..., size - 1 - i, ...] in the listed dimensions. */
qn_status qn_plan_flip(qn_plan *p)
{
    qn_tensor *x;
    uint32_t dims[QN_MAX_RANK];
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(listed_dims(p, x, dims));
    qn_move c = copy_into(&x->live, &x->live);
    for (uint32_t i = 0; i < p->node->attrs.dims.n; i++) {
        uint32_t d = dims[i];
        c.x_first += (c.dim[d].size - 1) * c.dim[d].x;
        c.dim[d].x = -c.dim[d].x;
    }
    return finish(p, x, &x->live, &c);
}

/* ---- slice and select ------------------------------------------------------------------------ */

/* Whether the integer of input i is the same in every execution. */
static bool is_fixed(const qn_plan *p, uint32_t i)
{
    const qn_tensor *t = qn_plan_in(p, i);
    return !t || t->is_const;
}

/* Python's meaning of a bound: a negative one counts from the end; then it is clamped into 0..size. */
static int64_t slice_bound(const qn_plan *p, uint32_t i, int64_t absent, int64_t size)
{
    if (!qn_plan_in(p, i)) return absent;
    int64_t at = qn_plan_int(p, i);
    if (at < 0) at += size;
    return at < 0 ? 0 : at > size ? size : at;
}

/* First element and number of elements that the node's bounds take from a dimension now. */
static qn_status slice_live(const qn_plan *p, uint32_t dim, int64_t size, int64_t *first, int64_t *n)
{
    int64_t step = p->node->attrs.slice.step, exact = p->node->attrs.slice.exact;
    int64_t end = slice_bound(p, 2, size, size);
    *first = slice_bound(p, 1, 0, size);
    *n = end > *first ? (end - *first + step - 1) / step : 0;
    if (exact && *n != exact)
        return qn_plan_fail(p, QN_ERR_ARGUMENT,
                            "a piece of %" PRId64 " from %" PRId64 " on passes dimension %u of %" PRId64, exact, *first,
                            dim, size);
    if (*n == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%" PRId64 "..%" PRId64 " of dimension %u, of %" PRId64 ", is empty",
                            *first, end, dim, size);
    if (!p->building && *n > qn_plan_out(p, 0)->max.dim[dim])
        return qn_plan_fail(p, QN_ERR_LIMIT, "%" PRId64 " elements of dimension %u are over the maximum of %u", *n, dim,
                            qn_plan_out(p, 0)->max.dim[dim]);
    return qn_ok();
}

/* y[..., i, ...] = x[..., start + i * step, ...] */
qn_status qn_plan_slice(qn_plan *p)
{
    qn_tensor *x;
    uint32_t dim = 0;
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(find_dim(p, x, p->node->attrs.slice.dim, &dim));
    uint32_t step = p->node->attrs.slice.step, max_size = p->node->attrs.slice.max_size;
    if (step == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "the step must be 1 or more");
    qn_shape shape = x->live;
    int64_t first = 0, n = (int64_t)qn_div_up_u64(shape.dim[dim], step);
    if (p->building && max_size == 0 && !(is_fixed(p, 1) && is_fixed(p, 2)))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "a bound is computed and max_size is 0: give the largest size");
    if (!p->building || max_size == 0)
        QN_TRY(slice_live(p, dim, shape.dim[dim], &first, &n));
    else if (max_size < n)
        n = max_size;
    shape.dim[dim] = (uint32_t)n;
    qn_move c = copy_into(&x->live, &shape);
    c.x_first = first * c.dim[dim].x;
    c.dim[dim].x *= step;
    c.dim[dim].size = shape.dim[dim];
    return finish(p, x, &shape, &c);
}

/* y[...] = x[..., index, ...], without that dimension. */
qn_status qn_plan_select(qn_plan *p)
{
    qn_tensor *x;
    uint32_t dim = 0;
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(find_dim(p, x, p->node->attrs.slice.dim, &dim));
    int64_t size = x->live.dim[dim], index = p->building && !is_fixed(p, 1) ? 0 : qn_plan_int(p, 1);
    if (index < -size || index >= size)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "index %" PRId64 " is outside dimension %u of %" PRId64, index, dim,
                            size);
    qn_shape one = x->live, shape = {.rank = x->live.rank - 1};
    one.dim[dim] = 1;
    for (uint32_t i = 0; i < shape.rank; i++) shape.dim[i] = x->live.dim[i < dim ? i : i + 1];
    qn_move c = copy_into(&x->live, &one);
    c.x_first = (index < 0 ? index + size : index) * c.dim[dim].x;
    c.dim[dim].size = 1;
    return finish(p, x, &shape, &c);
}

/* ---- expand and repeat ----------------------------------------------------------------------- */

/* Size of dimension i of an expanded tensor where x has `size` there (0: x lacks it): as asked, or kept. While
 * building a computed size is its maximum. */
static qn_status expanded_size(const qn_plan *p, uint32_t i, uint32_t size, uint32_t input, uint32_t *expanded)
{
    int64_t asked = p->node->attrs.view.shape.dim[i];
    bool computed = p->node->attrs.view.computed >> i & 1;
    if (computed && (!p->building || is_fixed(p, input))) asked = qn_plan_int(p, input);
    if (asked == -1 || (asked == 0 && !computed)) asked = size;
    bool fits = asked > 0 && asked <= UINT32_MAX && (size <= 1 || asked == size || (computed && p->building));
    if (!fits)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "dimension %u of size %u cannot become %" PRId64, i, size, asked);
    if (!p->building && asked > qn_plan_out(p, 0)->max.dim[i])
        return qn_plan_fail(p, QN_ERR_LIMIT, "dimension %u is to be %" PRId64 ", over the maximum of %u", i, asked,
                            qn_plan_out(p, 0)->max.dim[i]);
    *expanded = (uint32_t)asked;
    return qn_ok();
}

/* y[lead..., idx] = x[idx], where idx is 0 in the dimensions of x that have size 1. */
qn_status qn_plan_expand(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(check_input(p, 0, &x));
    qn_shape shape = p->node->attrs.view.shape;
    if (shape.rank > QN_MAX_RANK || shape.rank < x->live.rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s of rank %u cannot be expanded to rank %u", name_of(x), x->live.rank,
                            shape.rank);
    uint32_t lead = shape.rank - x->live.rank, input = 1;
    int64_t xs[QN_MAX_RANK], ys[QN_MAX_RANK];
    for (uint32_t i = 0; i < shape.rank; i++) {
        QN_TRY(expanded_size(p, i, i < lead ? 0 : x->live.dim[i - lead], input, &shape.dim[i]));
        input += p->node->attrs.view.computed >> i & 1;
    }
    qn_shape_strides(&x->live, xs);
    qn_shape_strides(&shape, ys);
    qn_move c = {0};
    for (uint32_t i = 0; i < shape.rank; i++) {
        bool repeated = i < lead || x->live.dim[i - lead] == 1;
        qn_move_add_dim(&c, shape.dim[i], repeated ? 0 : xs[i - lead], ys[i]);
    }
    return finish(p, x, &shape, &c);
}

/* y[idx] = x[idx modulo x's sizes]: each dimension becomes two, the outer one over the repeats. */
qn_status qn_plan_repeat(qn_plan *p)
{
    qn_tensor *x;
    QN_TRY(check_input(p, 0, &x));
    qn_shape shape = p->node->attrs.view.shape, one = {.rank = shape.rank}; /* repeats; x with leading ones */
    if (shape.rank > QN_MAX_RANK || shape.rank < x->live.rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u repeats for %s of rank %u", shape.rank, name_of(x), x->live.rank);
    uint32_t lead = shape.rank - x->live.rank;
    const uint32_t *repeats = p->node->attrs.view.shape.dim;
    for (uint32_t i = 0; i < shape.rank; i++) {
        one.dim[i] = i < lead ? 1 : x->live.dim[i - lead];
        uint64_t size = (uint64_t)repeats[i] * one.dim[i];
        if (size == 0 || size > UINT32_MAX)
            return qn_plan_fail(p, size ? QN_ERR_LIMIT : QN_ERR_ARGUMENT,
                                "dimension %u of size %u cannot be repeated %u times", i, one.dim[i], repeats[i]);
        shape.dim[i] = (uint32_t)size;
    }
    int64_t xs[QN_MAX_RANK], ys[QN_MAX_RANK];
    qn_shape_strides(&one, xs);
    qn_shape_strides(&shape, ys);
    qn_move c = {0};
    for (uint32_t i = 0; i < shape.rank; i++) {
        qn_move_add_dim(&c, repeats[i], 0, ys[i] * one.dim[i]);
        qn_move_add_dim(&c, one.dim[i], xs[i], ys[i]);
    }
    return finish(p, x, &shape, &c);
}

/* ---- cat and pad ----------------------------------------------------------------------------- */

/* The shape of all inputs behind one another. */
static qn_status joined_shape(const qn_plan *p, uint32_t dim, qn_shape *shape)
{
    uint64_t size = 0;
    *shape = qn_plan_in(p, 0)->live;
    for (uint32_t i = 0; i < p->node->n_inputs; i++) {
        qn_tensor *x, *first = qn_plan_in(p, 0);
        char a[96], b[96];
        QN_TRY(check_input(p, i, &x));
        if (x->dtype != first->dtype) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is of another type", i);
        qn_shape as_first = x->live;
        if (as_first.rank > dim) as_first.dim[dim] = first->live.dim[dim];
        if (!qn_shape_equal(&as_first, &first->live))
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s and %s%s differ outside of dimension %u", name_of(first),
                                qn_shape_text(&first->live, a, sizeof a), name_of(x),
                                qn_shape_text(&x->live, b, sizeof b), dim);
        size += x->live.dim[dim];
    }
    if (size > UINT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "dimension %u becomes too large", dim);
    shape->dim[dim] = (uint32_t)size;
    return qn_ok();
}

/* y[..., (sizes before) + i, ...] = x_k[..., i, ...]: a copy for each input. */
qn_status qn_plan_cat(qn_plan *p)
{
    qn_tensor *x;
    qn_shape shape;
    uint32_t dim = 0;
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(find_dim(p, x, p->node->attrs.cat.dim, &dim));
    QN_TRY(joined_shape(p, dim, &shape));
    QN_TRY(set_out(p, x, &shape));
    int64_t before = 0;
    for (uint32_t i = 0; i < p->node->n_inputs; i++) {
        const qn_shape *part = &qn_plan_in(p, i)->live;
        qn_move c = copy_into(part, &shape);
        c.y_first = before * c.dim[dim].y;
        before += part->dim[dim];
        QN_TRY(qn_plan_move(p, &c, qn_move_from(p, i), qn_move_to(p, 0)));
    }
    return qn_ok();
}

/* The bits of the node's number as an element of x. */
static qn_status pad_word(const qn_plan *p, const qn_tensor *x, uint32_t *word)
{
    double value = p->node->attrs.pad.value;
    if (x->dtype == QN_F32) {
        float f = (float)value;
        memcpy(word, &f, sizeof f);
        return qn_ok();
    }
    if (!(value >= INT32_MIN && value <= INT32_MAX) || value != floor(value))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%g is no value of an i32 tensor", value);
    *word = (uint32_t)(int32_t)value;
    return qn_ok();
}

/* Shape of the padded tensor, and of the part of x that is left in it (a dimension may be 0: nothing is left). */
static qn_status padded_shape(const qn_plan *p, const qn_tensor *x, qn_shape *shape, qn_shape *left)
{
    char text[96];
    *shape = *left = x->live;
    if (p->node->attrs.pad.n != x->live.rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "pads of %u dimensions for %s of rank %u", p->node->attrs.pad.n,
                            name_of(x), x->live.rank);
    for (uint32_t i = 0; i < x->live.rank; i++) {
        int64_t before = p->node->attrs.pad.pads[i][0], after = p->node->attrs.pad.pads[i][1];
        int64_t size = x->live.dim[i] + before + after;
        int64_t kept = x->live.dim[i] + (before < 0 ? before : 0) + (after < 0 ? after : 0);
        if (size < 1 || kept < 0)
            return qn_plan_fail(p, QN_ERR_ARGUMENT,
                                "pads %" PRId64 " and %" PRId64 " leave nothing of dimension %u of %s%s", before, after,
                                i, name_of(x), qn_shape_text(&x->live, text, sizeof text));
        if (size > UINT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "dimension %u becomes too large", i);
        shape->dim[i] = (uint32_t)size;
        left->dim[i] = (uint32_t)kept;
    }
    return qn_ok();
}

/* y[before + idx] = x[idx] and the value around it; a negative pad crops. */
qn_status qn_plan_pad(qn_plan *p)
{
    qn_tensor *x;
    qn_shape shape, left;
    uint32_t word = 0;
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(pad_word(p, x, &word));
    QN_TRY(padded_shape(p, x, &shape, &left));
    QN_TRY(set_out(p, x, &shape));
    qn_move c = copy_into(&x->live, &shape);
    bool has_border = false;
    for (uint32_t i = 0; i < shape.rank; i++) {
        const int32_t *pads = p->node->attrs.pad.pads[i];
        c.dim[i].size = left.dim[i];
        c.x_first -= pads[0] < 0 ? pads[0] * c.dim[i].x : 0;
        c.y_first += pads[0] > 0 ? pads[0] * c.dim[i].y : 0;
        has_border |= pads[0] > 0 || pads[1] > 0;
    }
    if (has_border) QN_TRY(qn_plan_fill_words(p, (uint32_t)qn_shape_count(&shape), word, qn_move_to(p, 0)));
    if (qn_shape_count(&left) == 0 && !p->building) return qn_ok();
    return qn_plan_move(p, &c, qn_move_from(p, 0), qn_move_to(p, 0));
}

/* ---- pixel shuffles -------------------------------------------------------------------------- */

/* The image tensors of both shuffles: `deep` [lead..., C * r * r, H, W] and `wide` [lead..., C, H * r, W * r]. */
static qn_status shuffle_shapes(const qn_plan *p, const qn_tensor *x, bool to_wide, qn_shape *deep, qn_shape *wide)
{
    uint64_t r = p->node->attrs.shuffle.factor, area = r * r;
    char text[96];
    *deep = *wide = x->live;
    if (r == 0 || x->live.rank < 3)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "a factor of %" PRIu64 " and an image of rank %u; at least 1 and 3", r,
                            x->live.rank);
    const uint32_t *size = &x->live.dim[x->live.rank - 3];
    bool divides = to_wide ? size[0] % area == 0 : size[1] % r == 0 && size[2] % r == 0;
    if (!divides)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s cannot be shuffled by %" PRIu64, name_of(x),
                            qn_shape_text(&x->live, text, sizeof text), r);
    /* Every new size is at most the number of elements, which 32 bits hold. */
    uint64_t grown[3] = {to_wide ? size[0] / area : size[0] * area, to_wide ? size[1] * r : size[1] / r,
                         to_wide ? size[2] * r : size[2] / r};
    qn_shape *other = to_wide ? wide : deep;
    for (uint32_t i = 0; i < 3; i++) other->dim[x->live.rank - 3 + i] = (uint32_t)grown[i];
    return qn_ok();
}

/* wide[..., c, h * r + i, w * r + j] = deep[..., (c * r + i) * r + j, h, w], or the reverse. */
static qn_status plan_shuffle(qn_plan *p, bool to_wide)
{
    qn_tensor *x;
    qn_shape deep, wide;
    QN_TRY(check_input(p, 0, &x));
    QN_TRY(shuffle_shapes(p, x, to_wide, &deep, &wide));
    uint32_t r = p->node->attrs.shuffle.factor, at = x->live.rank - 3, images = wide.dim[at];
    uint32_t h = deep.dim[at + 1], w = deep.dim[at + 2];
    for (uint32_t i = 0; i < at; i++) images *= wide.dim[i]; /* the leading dimensions and C */
    int64_t plane = (int64_t)h * w, line = (int64_t)w * r;
    const struct {
        uint32_t size;
        int64_t deep, wide;
    } dims[2][5] = {
        {{images, plane * r * r, plane * r * r}, {r, plane * r, line}, {r, plane, 1}, {h, w, line * r}, {w, 1, r}},
        {{images, plane * r * r, plane * r * r}, {h, w, line * r}, {r, plane * r, line}, {w, 1, r}, {r, plane, 1}},
    };
    qn_move c = {0};
    for (uint32_t i = 0; i < 5; i++) {
        int64_t d = dims[to_wide][i].deep, v = dims[to_wide][i].wide;
        qn_move_add_dim(&c, dims[to_wide][i].size, to_wide ? d : v, to_wide ? v : d);
    }
    return finish(p, x, to_wide ? &wide : &deep, &c);
}

qn_status qn_plan_pixel_shuffle(qn_plan *p)
{
    return plan_shuffle(p, true);
}

qn_status qn_plan_pixel_unshuffle(qn_plan *p)
{
    return plan_shuffle(p, false);
}
