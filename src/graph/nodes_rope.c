/* nodes_rope.c - rope with tables that are tensors of the graph. */
#include "graph/graph.h"

qn_value qn_rope_tables(qn_graph *g, qn_value x, qn_value cosines, qn_value sines, qn_value pos, qn_rope_mode mode)
{
    qn_value in[] = {x, cosines, sines, pos};
    qn_node_desc d = {.op = QN_OP_ROPE_TABLES, .inputs = in, .n_inputs = 4, .optional = 8, .integers = 8};
    d.attrs.rope.mode = mode;
    return qn_graph_add_node(g, &d, NULL);
}
