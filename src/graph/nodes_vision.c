/* nodes_vision.c - the functions of quern_graph.h that add an operation on pictures. */
#include "graph/graph.h"

static const char *value_name(const qn_graph *g, qn_value v)
{
    return v && v < g->n_values ? qn_graph_tensor(g, v)->name : NULL;
}

qn_value qn_conv2d(qn_graph *g, qn_value x, qn_value w, qn_value bias, const qn_conv_options *options)
{
    qn_value in[] = {x, w, bias};
    qn_node_desc d = {.op = QN_OP_CONV2D, .inputs = in, .n_inputs = 3, .optional = 4, .name = value_name(g, w)};
    d.attrs.conv = options ? *options : qn_conv_default();
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_max_pool2d(qn_graph *g, qn_value x, const qn_pool_options *options, qn_value *indices)
{
    qn_node_desc d = {.op = QN_OP_MAX_POOL2D, .inputs = &x, .n_inputs = 1, .n_outputs = indices ? 2 : 1};
    qn_value outputs[QN_MAX_OUTPUTS];
    d.attrs.pool = *options;
    qn_graph_add_node(g, &d, outputs);
    if (indices) *indices = outputs[1];
    return outputs[0];
}

qn_value qn_avg_pool2d(qn_graph *g, qn_value x, const qn_pool_options *options)
{
    qn_node_desc d = {.op = QN_OP_AVG_POOL2D, .inputs = &x, .n_inputs = 1};
    d.attrs.pool = *options;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_batch_norm(qn_graph *g, qn_value x, const qn_batch_norm_operands *operands, float eps)
{
    qn_value in[] = {x, operands->weight, operands->bias, operands->mean, operands->var};
    qn_node_desc d = {.op = QN_OP_BATCH_NORM,
                      .inputs = in,
                      .n_inputs = 5,
                      .optional = 1 << 1 | 1 << 2,
                      .name = value_name(g, operands->mean)};
    d.attrs.norm.eps = eps;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_upsample2d(qn_graph *g, qn_value x, const qn_upsample_options *options)
{
    qn_node_desc d = {.op = QN_OP_UPSAMPLE2D, .inputs = &x, .n_inputs = 1};
    d.attrs.upsample = *options;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_grid_sampler_2d(qn_graph *g, qn_value x, qn_value grid, qn_grid_padding padding, bool align_corners)
{
    qn_value in[] = {x, grid};
    qn_node_desc d = {.op = QN_OP_GRID_SAMPLER_2D, .inputs = in, .n_inputs = 2};
    d.attrs.grid_sampler.padding = padding;
    d.attrs.grid_sampler.align_corners = align_corners;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_grid_priors(qn_graph *g, qn_value x, float stride, float offset)
{
    qn_node_desc d = {.op = QN_OP_GRID_PRIORS, .inputs = &x, .n_inputs = 1};
    d.attrs.grid_priors.stride = stride;
    d.attrs.grid_priors.offset = offset;
    return qn_graph_add_node(g, &d, NULL);
}
