/* translate_move.c - operators that move elements: permute, slice, cat, expand and the like. */
#include "program/translate.h"

#include <inttypes.h>

/* Of one tensor, and into one. */
enum { MOST_PIECES = 64 };

/* x of argument 0, and its largest shape. */
static qn_status first_tensor(const qn_call *c, qn_value *x, qn_shape *shape)
{
    QN_TRY(qn_arg_tensor(c, 0, x));
    *shape = qn_max_shape(c, *x);
    return qn_ok();
}

/* in, dims, out */
qn_status qn_translate_permute(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    int64_t list[QN_MAX_RANK];
    int32_t order[QN_MAX_RANK];
    uint32_t n = 0, dim = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_ints(c, 1, list, QN_MAX_RANK, &n));
    for (uint32_t i = 0; i < n; i++) {
        QN_TRY(qn_call_dim(c, list[i], shape.rank, &dim));
        order[i] = (int32_t)dim;
    }
    return qn_give(c, qn_permute(c->t->g, x, order, n));
}

/* in, dim0, dim1, out; without dims (t): of a matrix */
qn_status qn_translate_transpose(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    int32_t order[QN_MAX_RANK];
    uint32_t a = 0, b = 1;
    QN_TRY(first_tensor(c, &x, &shape));
    for (uint32_t i = 0; i < shape.rank; i++) order[i] = (int32_t)i;
    if (qn_arg_out(c) >= 3) {
        QN_TRY(qn_arg_dim(c, 1, shape.rank, &a));
        QN_TRY(qn_arg_dim(c, 2, shape.rank, &b));
    }
    if (shape.rank >= 2) {
        order[a] = (int32_t)b;
        order[b] = (int32_t)a;
    }
    return qn_give(c, qn_permute(c->t->g, x, order, shape.rank));
}

/* in, dims, out */
qn_status qn_translate_flip(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    uint32_t mask = 0, n = 0;
    int32_t dims[QN_MAX_RANK];
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_dims(c, 1, shape.rank, &mask));
    for (uint32_t i = 0; i < shape.rank; i++)
        if (mask >> i & 1) dims[n++] = (int32_t)i;
    return qn_give(c, qn_flip(c->t->g, x, dims, n));
}

static bool is_const(const qn_call *c, qn_value number)
{
    return !number || qn_graph_tensor(c->t->g, number)->is_const;
}

/* in, dim, start, end (Int, SymInt or Null), step, out */
qn_status qn_translate_slice(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    const qn_vk_tensor *out;
    qn_slice_options o = {.dim = 0};
    uint32_t dim = 0;
    int64_t step = 1;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_number(c, 2, &o.start));
    QN_TRY(qn_arg_number(c, 3, &o.end));
    QN_TRY(qn_arg_int_or(c, 4, 1, &step));
    QN_TRY(qn_out_desc(c, 0, &out));
    if (step < 1 || step > INT32_MAX) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the step is %" PRId64, step);
    o.dim = (int32_t)dim;
    o.step = (uint32_t)step;
    if (!is_const(c, o.start) || !is_const(c, o.end)) o.max_size = dim < out->shape.rank ? out->shape.dim[dim] : 0;
    return qn_give(c, qn_slice(c->t->g, x, &o));
}

/* in, dim, index, out */
qn_status qn_translate_select(const qn_call *c)
{
    qn_value x, index;
    qn_shape shape;
    uint32_t dim = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_number(c, 2, &index));
    if (!index) return qn_call_fail(c, QN_ERR_FORMAT, "there is no index");
    return qn_give(c, qn_select(c->t->g, x, (int32_t)dim, index));
}

/* The sizes of the pieces as the operator has them: a list, or one for all but the last, which may be smaller. The
 * pieces themselves are the file's outputs, so that both must agree. */
static qn_status check_pieces(const qn_call *c, uint32_t whole, const uint32_t *sizes, uint32_t n)
{
    int64_t list[MOST_PIECES];
    uint32_t given = 0;
    bool equal = qn_arg(c, 1)->kind != QN_VK_INT_LIST && qn_arg(c, 1)->kind != QN_VK_VALUE_LIST;
    QN_TRY(qn_arg_ints(c, 1, list, MOST_PIECES, &given));
    if (given != (equal ? 1 : n)) return qn_call_fail(c, QN_ERR_FORMAT, "%u sizes for %u pieces", given, n);
    for (uint32_t i = 0, at = 0; i < n; at += sizes[i++]) {
        int64_t size = list[equal ? 0 : i];
        if (equal && size > (int64_t)whole - at) size = (int64_t)whole - at;
        if (size != sizes[i])
            return qn_call_fail(c, QN_ERR_FORMAT, "piece %u is %" PRId64 " by the operator, %u by the file", i, size,
                                sizes[i]);
    }
    return qn_ok();
}

/* in, sizes (a list; or one size for all pieces), dim, out list */
qn_status qn_translate_split(const qn_call *c)
{
    qn_value x, pieces[MOST_PIECES];
    qn_shape shape;
    uint32_t sizes[MOST_PIECES], dim = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_dim(c, 2, shape.rank, &dim));
    const qn_vk_value *out = qn_arg(c, qn_arg_out(c));
    uint32_t n = out->kind == QN_VK_VALUE_LIST ? out->u.list.count : 1;
    if (n > MOST_PIECES) return qn_call_fail(c, QN_ERR_LIMIT, "%u pieces, more than %d", n, MOST_PIECES);
    for (uint32_t i = 0; i < n; i++) {
        const qn_vk_tensor *piece;
        QN_TRY(qn_out_desc(c, i, &piece));
        sizes[i] = dim < piece->shape.rank ? piece->shape.dim[dim] : 0;
    }
    QN_TRY(check_pieces(c, dim < shape.rank ? shape.dim[dim] : 1, sizes, n));
    qn_split(c->t->g, x, (int32_t)dim, sizes, n, pieces);
    for (uint32_t i = 0; i < n; i++) QN_TRY(qn_give_at(c, i, pieces[i]));
    return qn_ok();
}

/* tensors, dim, out */
qn_status qn_translate_cat(const qn_call *c)
{
    qn_value parts[MOST_PIECES];
    const qn_vk_tensor *out;
    uint32_t n = 0, dim = 0;
    QN_TRY(qn_arg_tensors(c, 0, parts, MOST_PIECES, &n));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(qn_arg_dim(c, 1, out->shape.rank, &dim));
    return qn_give(c, qn_cat(c->t->g, parts, n, (int32_t)dim));
}

/* in, sizes (-1: as it is), ..., out */
qn_status qn_translate_expand(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    qn_sizes sizes;
    const qn_vk_tensor *out;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_sizes(c, 1, &sizes));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(qn_check_sizes(c, &sizes, &out->shape));
    if (sizes.n < shape.rank)
        return qn_call_fail(c, QN_ERR_FORMAT, "%u sizes for a tensor of rank %u", sizes.n, shape.rank);
    qn_shape target = {.rank = sizes.n};
    for (uint32_t i = 0; i < sizes.n; i++) {
        uint32_t lead = sizes.n - shape.rank;
        /* A size that is the input's own is kept, whatever it is at the time. */
        bool kept = i >= lead && shape.dim[i - lead] != 1 && out->shape.dim[i] == shape.dim[i - lead];
        target.dim[i] = kept && !sizes.computed[i] ? 0 : out->shape.dim[i];
    }
    return qn_give(c, qn_expand(c->t->g, x, target, sizes.computed));
}

/* in, repeats, out */
qn_status qn_translate_repeat(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    int64_t list[QN_MAX_RANK];
    uint32_t repeats[QN_MAX_RANK], n = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_ints(c, 1, list, QN_MAX_RANK, &n));
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] < 1 || list[i] > INT32_MAX)
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "%" PRId64 " repeats", list[i]);
        repeats[i] = (uint32_t)list[i];
    }
    return qn_give(c, qn_repeat(c->t->g, x, repeats, n));
}

/* in, pads (before and after of the last dimension, of the one before it, ...), value, out */
qn_status qn_translate_pad(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    int64_t list[2 * QN_MAX_RANK];
    int32_t pads[QN_MAX_RANK][2] = {{0}};
    uint32_t n = 0;
    double value = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_ints(c, 1, list, 2 * QN_MAX_RANK, &n));
    QN_TRY(qn_arg_double_or(c, 2, 0, &value));
    if (n % 2 || n / 2 > shape.rank)
        return qn_call_fail(c, QN_ERR_FORMAT, "%u pads for a tensor of rank %u", n, shape.rank);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] < -INT32_MAX || list[i] > INT32_MAX)
            return qn_call_fail(c, QN_ERR_LIMIT, "a pad of %" PRId64, list[i]);
        pads[shape.rank - 1 - i / 2][i % 2] = (int32_t)list[i];
    }
    return qn_give(c, qn_pad(c->t->g, x, (const int32_t(*)[2])pads, shape.rank, value));
}

/* in, factor, out */
qn_status qn_translate_pixel_shuffle(const qn_call *c)
{
    qn_value x;
    qn_shape shape;
    int64_t factor = 0;
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_int(c, 1, &factor));
    if (factor < 1 || factor > INT32_MAX) return qn_call_fail(c, QN_ERR_FORMAT, "the factor is %" PRId64, factor);
    bool unshuffle = c->row->variant != 0;
    return qn_give(c, unshuffle ? qn_pixel_unshuffle(c->t->g, x, (uint32_t)factor)
                                : qn_pixel_shuffle(c->t->g, x, (uint32_t)factor));
}

/* in, dim, size, step, out [..., windows, ..., size]: element k of every window is a slice */
qn_status qn_translate_unfold(const qn_call *c)
{
    enum { MOST = 64 };
    qn_value x, parts[MOST];
    qn_shape shape;
    int64_t size = 0, step = 0;
    uint32_t dim = 0;
    int8_t from[QN_MAX_RANK + 1];
    QN_TRY(first_tensor(c, &x, &shape));
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_int(c, 2, &size));
    QN_TRY(qn_arg_int(c, 3, &step));
    if (shape.rank == 0 || shape.rank == QN_MAX_RANK || size < 1 || size > MOST || step < 1 || step > INT32_MAX ||
        size > shape.dim[dim])
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "windows of %" PRId64 " by %" PRId64 ", at most %d are supported",
                            size, step, MOST);
    qn_graph *g = c->t->g;
    for (uint32_t i = 0; i <= shape.rank; i++) from[i] = (int8_t)(i < shape.rank ? (int)i : -1);
    /* Elements from the first of the first window to the first of the last: (windows - 1) * step + 1 */
    qn_value by = qn_graph_const_int(g, (int32_t)step), n = qn_int_dim(g, x, (int32_t)dim);
    n = qn_int_sub(g, n, qn_graph_const_int(g, (int32_t)size));
    qn_value span = qn_int_mul(g, qn_int_floordiv(g, n, by), by);
    uint32_t windows = (uint32_t)((shape.dim[dim] - size) / step) + 1;
    for (uint32_t k = 0; k < size; k++) {
        qn_slice_options o = {.dim = (int32_t)dim,
                              .start = qn_graph_const_int(g, (int32_t)k),
                              .end = qn_int_add(g, span, qn_graph_const_int(g, (int32_t)k + 1)),
                              .step = (uint32_t)step,
                              .max_size = windows};
        parts[k] = qn_view_dims(g, qn_slice(g, x, &o), shape.rank + 1, from);
    }
    return qn_give(c, qn_cat(g, parts, (uint32_t)size, (int32_t)shape.rank));
}
