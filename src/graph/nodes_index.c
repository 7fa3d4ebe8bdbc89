/* nodes_index.c - elements of a tensor by ids. */
#include "graph/graph.h"

static qn_value add_index(qn_graph *g, qn_op op, qn_value x, int32_t dim, qn_value ids)
{
    qn_value in[] = {x, ids};
    qn_node_desc d = {.op = op, .inputs = in, .n_inputs = 2};
    d.attrs.index.dim = dim;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_index_select(qn_graph *g, qn_value x, int32_t dim, qn_value ids)
{
    return add_index(g, QN_OP_INDEX_SELECT, x, dim, ids);
}

qn_value qn_gather(qn_graph *g, qn_value x, int32_t dim, qn_value ids)
{
    return add_index(g, QN_OP_GATHER, x, dim, ids);
}
