/* nodes_reduce.c - the functions of quern_graph.h that add a reduction, a normalization or a quantization of rows. */
#include "graph/graph.h"
#include "ops/reduce.h"

#include <float.h>
#include <string.h>

static qn_value add_reduce(qn_graph *g, uint32_t function, qn_value x, const qn_attrs *attrs)
{
    qn_node_desc d = {.op = QN_OP_REDUCE, .inputs = &x, .n_inputs = 1, .attrs = *attrs};
    d.attrs.reduce.function = (uint8_t)function;
    return qn_graph_add_node(g, &d, NULL);
}

/* False, and kept as the graph's failure: more dimensions than a tensor can have. */
static bool set_dims(qn_graph *g, qn_attrs *attrs, const int32_t *dims, uint32_t n)
{
    if (n > QN_MAX_RANK) {
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "reduce: %u dimensions are over %d", n, QN_MAX_RANK));
        return false;
    }
    attrs->reduce.n_dims = (uint8_t)n;
    if (n) memcpy(attrs->reduce.dims, dims, n * sizeof dims[0]);
    return true;
}

qn_value qn_reduce(qn_graph *g, qn_reduction function, qn_value x, const int32_t *dims, uint32_t n_dims, bool keepdim)
{
    qn_attrs attrs = {.reduce = {.keepdim = keepdim}};
    if (function < QN_REDUCE_SUM || function > QN_REDUCE_ALL) {
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "reduce: there is no function %d", (int)function));
        return 0;
    }
    return set_dims(g, &attrs, dims, n_dims) ? add_reduce(g, function, x, &attrs) : 0;
}

qn_value qn_var(qn_graph *g, qn_value x, const int32_t *dims, uint32_t n_dims, float correction, bool keepdim)
{
    qn_attrs attrs = {.reduce = {.keepdim = keepdim, .number = correction}};
    return set_dims(g, &attrs, dims, n_dims) ? add_reduce(g, QN_REDUCE_VAR, x, &attrs) : 0;
}

static qn_value add_arg(qn_graph *g, uint32_t function, qn_value x, const int32_t *dim, bool keepdim)
{
    qn_attrs attrs = {.reduce = {.keepdim = keepdim}};
    set_dims(g, &attrs, dim, dim ? 1 : 0);
    return add_reduce(g, function, x, &attrs);
}

qn_value qn_argmax(qn_graph *g, qn_value x, const int32_t *dim, bool keepdim)
{
    return add_arg(g, QN_REDUCE_ARGMAX, x, dim, keepdim);
}

qn_value qn_argmin(qn_graph *g, qn_value x, const int32_t *dim, bool keepdim)
{
    return add_arg(g, QN_REDUCE_ARGMIN, x, dim, keepdim);
}

static qn_value add_line(qn_graph *g, qn_op op, qn_value x, int32_t dim)
{
    qn_node_desc d = {.op = op, .inputs = &x, .n_inputs = 1};
    d.attrs.line.dim = dim;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_softmax(qn_graph *g, qn_value x, int32_t dim)
{
    return add_line(g, QN_OP_SOFTMAX, x, dim);
}

qn_value qn_log_softmax(qn_graph *g, qn_value x, int32_t dim)
{
    return add_line(g, QN_OP_LOG_SOFTMAX, x, dim);
}

qn_value qn_cumsum(qn_graph *g, qn_value x, int32_t dim)
{
    return add_line(g, QN_OP_CUMSUM, x, dim);
}

static qn_value add_norm(qn_graph *g, const qn_node_desc *kind, qn_value x, const qn_norm_options *o, qn_value stats[2])
{
    qn_value in[] = {x, o->weight, o->bias}, out[QN_MAX_OUTPUTS];
    qn_node_desc d = *kind;
    d.inputs = in;
    d.n_inputs = 3;
    d.optional = 6;
    d.n_outputs = stats ? 3 : 1;
    d.attrs.layer_norm.eps = o->eps;
    if (o->weight && o->weight < g->n_values) d.name = qn_graph_tensor(g, o->weight)->name;
    qn_value y = qn_graph_add_node(g, &d, out);
    if (stats) memcpy(stats, out + 1, 2 * sizeof out[0]);
    return y;
}

qn_value qn_layer_norm(qn_graph *g, qn_value x, uint32_t n_dims, const qn_norm_options *options, qn_value stats[2])
{
    return add_norm(g, &(qn_node_desc){.op = QN_OP_LAYER_NORM, .attrs = {.layer_norm = {.n = n_dims}}}, x, options,
                    stats);
}

qn_value qn_group_norm(qn_graph *g, qn_value x, uint32_t groups, const qn_norm_options *options, qn_value stats[2])
{
    return add_norm(g, &(qn_node_desc){.op = QN_OP_GROUP_NORM, .attrs = {.layer_norm = {.n = groups}}}, x, options,
                    stats);
}

qn_value qn_choose_qparams(qn_graph *g, qn_value x, float eps, qn_value *zero_point)
{
    qn_value out[QN_MAX_OUTPUTS];
    qn_node_desc d = {.op = QN_OP_CHOOSE_QPARAMS, .inputs = &x, .n_inputs = 1, .n_outputs = 2};
    d.attrs.qparams.eps = eps == 0.0f ? FLT_EPSILON : eps;
    qn_graph_add_node(g, &d, out);
    *zero_point = out[1];
    return out[0];
}

qn_value qn_quantize_rows(qn_graph *g, qn_value x, qn_value scale, qn_value zero_point)
{
    qn_value in[] = {x, scale, zero_point};
    return qn_graph_add_node(g, &(qn_node_desc){.op = QN_OP_QUANTIZE_ROWS, .inputs = in, .n_inputs = 3}, NULL);
}
