/* nodes_q8.c - the functions of quern_graph.h that add an operation on 8-bit codes. */
#include "graph/graph.h"

static qn_value add_element(qn_graph *g, qn_op op, qn_value a, qn_value b, const qn_attrs *attrs)
{
    qn_value in[] = {a, b};
    return qn_graph_add_node(
        g, &(qn_node_desc){.op = op, .inputs = in, .n_inputs = op == QN_OP_Q8TA_ADD ? 2 : 1, .attrs = *attrs}, NULL);
}

qn_value qn_quantize_per_tensor(qn_graph *g, qn_value x, qn_quant q, int32_t low, int32_t high)
{
    return add_element(g, QN_OP_QUANTIZE_PER_TENSOR, x, 0, &(qn_attrs){.q8 = {.output = q, .low = low, .high = high}});
}

qn_value qn_dequantize_per_tensor(qn_graph *g, qn_value x, qn_quant q)
{
    return add_element(g, QN_OP_DEQUANTIZE_PER_TENSOR, x, 0, &(qn_attrs){.q8 = {.a = q}});
}

qn_value qn_q8ta_add(qn_graph *g, qn_value a, qn_value b, const qn_q8_add_options *options)
{
    const qn_q8_add_options *o = options;
    return add_element(g, QN_OP_Q8TA_ADD, a, b,
                       &(qn_attrs){.q8 = {.a = o->a, .b = o->b, .output = o->output, .alpha = o->alpha}});
}

qn_value qn_q8ta_relu(qn_graph *g, qn_value x, qn_quant input, qn_quant output)
{
    return add_element(g, QN_OP_Q8TA_RELU, x, 0, &(qn_attrs){.q8 = {.a = input, .output = output}});
}

qn_value qn_q8ta_pixel_shuffle(qn_graph *g, qn_value x, qn_quant input, qn_quant output, uint32_t r)
{
    return add_element(g, QN_OP_Q8TA_PIXEL_SHUFFLE, x, 0,
                       &(qn_attrs){.q8 = {.a = input, .output = output, .factor = r}});
}

static qn_value add_weighted(qn_graph *g, qn_op op, const qn_value in[4], const qn_attrs *attrs)
{
    const char *name = in[1] && in[1] < g->n_values ? qn_graph_tensor(g, in[1])->name : NULL;
    return qn_graph_add_node(
        g, &(qn_node_desc){.op = op, .inputs = in, .n_inputs = 4, .optional = 1 << 3, .name = name, .attrs = *attrs},
        NULL);
}

qn_value qn_q8ta_conv2d(qn_graph *g, qn_value x, qn_value w, qn_value w_scales, qn_value bias,
                        const qn_q8_conv_options *options)
{
    const qn_value in[] = {x, w, w_scales, bias};
    return add_weighted(g, QN_OP_Q8TA_CONV2D, in, &(qn_attrs){.q8_conv = *options});
}

qn_value qn_q8ta_linear(qn_graph *g, qn_value x, qn_value w, qn_value w_scales, qn_value bias,
                        const qn_q8_linear_options *options)
{
    const qn_value in[] = {x, w, w_scales, bias};
    return add_weighted(g, QN_OP_Q8TA_LINEAR, in, &(qn_attrs){.q8_linear = *options});
}
