/* nodes_strided.c - the functions of quern_graph.h that add a node which only moves elements. */
#include "graph/graph.h"

#include <string.h>

/* Whether n entries fit a list of at most `most`; else the graph has failed. */
static bool check_length(qn_graph *g, qn_op op, const char *what, uint32_t n, uint32_t most)
{
    if (n > most) qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "%s: %u %s, at most %u", qn_ops[op].name, n, what, most));
    return n <= most;
}

static qn_value add_listed(qn_graph *g, qn_op op, qn_value x, const int32_t *dims, uint32_t n)
{
    qn_node_desc d = {.op = op, .inputs = &x, .n_inputs = 1};
    if (!check_length(g, op, "dimensions", n, QN_MAX_RANK)) return 0;
    d.attrs.dims.n = n;
    for (uint32_t i = 0; i < n; i++) d.attrs.dims.dim[i] = dims[i];
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_permute(qn_graph *g, qn_value x, const int32_t *order, uint32_t n)
{
    return add_listed(g, QN_OP_PERMUTE, x, order, n);
}

qn_value qn_flip(qn_graph *g, qn_value x, const int32_t *dims, uint32_t n)
{
    return add_listed(g, QN_OP_FLIP, x, dims, n);
}

static qn_value add_slice(qn_graph *g, qn_value x, const qn_slice_options *o, uint32_t exact)
{
    qn_value in[] = {x, o->start, o->end};
    qn_node_desc d = {.op = QN_OP_SLICE, .inputs = in, .n_inputs = 3, .optional = 6, .integers = 6};
    d.attrs.slice.dim = o->dim;
    d.attrs.slice.step = o->step ? o->step : 1;
    d.attrs.slice.max_size = o->max_size;
    d.attrs.slice.exact = exact;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_slice(qn_graph *g, qn_value x, const qn_slice_options *options)
{
    return add_slice(g, x, options, 0);
}

qn_value qn_select(qn_graph *g, qn_value x, int32_t dim, qn_value index)
{
    qn_value in[] = {x, index};
    qn_node_desc d = {.op = QN_OP_SELECT, .inputs = in, .n_inputs = 2, .integers = 2};
    d.attrs.slice.dim = dim;
    return qn_graph_add_node(g, &d, NULL);
}

/* The pieces must be the whole of x's dimension. */
static qn_status check_pieces(const qn_graph *g, qn_value x, int32_t dim, const uint32_t *sizes, uint32_t n)
{
    if (x == 0 || x >= g->n_values || qn_graph_tensor(g, x)->is_int)
        return qn_fail(QN_ERR_ARGUMENT, "split: input 0 is not a tensor of this graph");
    const qn_tensor *t = qn_graph_tensor(g, x);
    int64_t rank = t->max.rank, at = dim < 0 ? dim + rank : dim;
    if (at < 0 || at >= rank)
        return qn_fail(QN_ERR_ARGUMENT, "split: %s of rank %u has no dimension %d", t->name, t->max.rank, dim);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (sizes[i] == 0) return qn_fail(QN_ERR_ARGUMENT, "split: piece %u is empty", i);
        sum += sizes[i];
    }
    if (sum != t->max.dim[at])
        return qn_fail(QN_ERR_ARGUMENT, "split: the sizes of the %u pieces of %s add up to %llu, not to %u", n, t->name,
                       (unsigned long long)sum, t->max.dim[at]);
    return sum > INT32_MAX ? qn_fail(QN_ERR_LIMIT, "split: %s has a dimension of 2^31 or more", t->name) : qn_ok();
}

void qn_split(qn_graph *g, qn_value x, int32_t dim, const uint32_t *sizes, uint32_t n, qn_value *outputs)
{
    memset(outputs, 0, n * sizeof outputs[0]);
    if (g->status.code == QN_OK) qn_graph_failed(g, check_pieces(g, x, dim, sizes, n));
    uint32_t at = 0;
    for (uint32_t i = 0; i < n && g->status.code == QN_OK; at += sizes[i++]) {
        qn_slice_options o = {.dim = dim};
        o.start = qn_graph_const_int(g, (int32_t)at);
        o.end = qn_graph_const_int(g, (int32_t)(at + sizes[i]));
        outputs[i] = add_slice(g, x, &o, sizes[i]);
    }
}

static qn_value cat_node(qn_graph *g, const qn_value *values, uint32_t n, int32_t dim)
{
    qn_node_desc d = {.op = QN_OP_CAT, .inputs = values, .n_inputs = n};
    d.attrs.cat.dim = dim;
    return qn_graph_add_node(g, &d, NULL);
}

/* More values than a node takes are joined in equal runs, and the results then. */
qn_value qn_cat(qn_graph *g, const qn_value *values, uint32_t n, int32_t dim)
{
    if (n == 0) qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "cat: no values"));
    if (g->status.code != QN_OK) return 0;
    if (n <= QN_MAX_INPUTS) return cat_node(g, values, n, dim);
    qn_value joined[QN_MAX_INPUTS];
    uint32_t run = qn_div_up(n, QN_MAX_INPUTS), n_joined = 0;
    for (uint32_t at = 0; at < n; at += run) {
        uint32_t part = n - at < run ? n - at : run;
        joined[n_joined++] = part == 1 ? values[at] : qn_cat(g, values + at, part, dim);
    }
    return qn_cat(g, joined, n_joined, dim);
}

qn_value qn_expand(qn_graph *g, qn_value x, qn_shape shape, const qn_value sizes[QN_MAX_RANK])
{
    qn_value in[1 + QN_MAX_RANK] = {x};
    qn_node_desc d = {.op = QN_OP_EXPAND, .inputs = in, .n_inputs = 1};
    if (!check_length(g, QN_OP_EXPAND, "dimensions", shape.rank, QN_MAX_RANK)) return 0;
    d.attrs.view.shape = shape;
    for (uint32_t i = 0; sizes && i < shape.rank; i++) {
        if (!sizes[i]) continue;
        d.attrs.view.computed |= (uint8_t)(1u << i);
        d.integers |= 1u << d.n_inputs;
        in[d.n_inputs++] = sizes[i];
    }
    if (!check_length(g, QN_OP_EXPAND, "computed sizes", d.n_inputs - 1, QN_MAX_INPUTS - 1)) return 0;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_repeat(qn_graph *g, qn_value x, const uint32_t *repeats, uint32_t n)
{
    qn_node_desc d = {.op = QN_OP_REPEAT, .inputs = &x, .n_inputs = 1};
    if (!check_length(g, QN_OP_REPEAT, "repeats", n, QN_MAX_RANK)) return 0;
    d.attrs.view.shape.rank = n;
    for (uint32_t i = 0; i < n; i++) d.attrs.view.shape.dim[i] = repeats[i];
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_pad(qn_graph *g, qn_value x, const int32_t (*pads)[2], uint32_t n, double value)
{
    qn_node_desc d = {.op = QN_OP_PAD, .inputs = &x, .n_inputs = 1};
    if (!check_length(g, QN_OP_PAD, "pairs of pads", n, QN_MAX_RANK)) return 0;
    d.attrs.pad.n = n;
    d.attrs.pad.value = value;
    for (uint32_t i = 0; i < n; i++) {
        d.attrs.pad.pads[i][0] = pads[i][0];
        d.attrs.pad.pads[i][1] = pads[i][1];
    }
    return qn_graph_add_node(g, &d, NULL);
}

static qn_value add_shuffle(qn_graph *g, qn_op op, qn_value x, uint32_t r)
{
    qn_node_desc d = {.op = op, .inputs = &x, .n_inputs = 1};
    d.attrs.shuffle.factor = r;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_pixel_shuffle(qn_graph *g, qn_value x, uint32_t r)
{
    return add_shuffle(g, QN_OP_PIXEL_SHUFFLE, x, r);
}

qn_value qn_pixel_unshuffle(qn_graph *g, qn_value x, uint32_t r)
{
    return add_shuffle(g, QN_OP_PIXEL_UNSHUFFLE, x, r);
}
