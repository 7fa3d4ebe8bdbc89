/* nodes_matmul.c - products of tensors that are computed. */
#include "graph/graph.h"

qn_value qn_matmul(qn_graph *g, qn_value a, qn_value b, bool transpose_b, float scale)
{
    qn_value in[] = {a, b};
    qn_node_desc d = {.op = QN_OP_MATMUL, .inputs = in, .n_inputs = 2};
    d.attrs.matmul.scale = scale;
    d.attrs.matmul.transpose_b = transpose_b;
    return qn_graph_add_node(g, &d, NULL);
}
