/* inspect.c - looking inside a graph: dispatches, timings, memory. */
#include "graph/graph.h"

size_t qn_graph_n_dispatches(const qn_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += qn_graph_node(g, i)->n_live;
    return n;
}

/* Live bytes of the bound activations, each once: what a dispatch that says nothing else reads and writes. 0 where a
 * state or scratch is bound, of which it may use any part. */
static double bound_bytes(const qn_graph *g, const qn_variant *v)
{
    double sum = 0;
    for (uint32_t i = 0; i < v->n_binds; i++) {
        const qn_bind *b = &v->binds[i];
        if (b->kind == QN_BIND_SCRATCH) return 0;
        if (b->kind != QN_BIND_VALUE) continue;
        if (qn_graph_place(g, qn_graph_root(g, b->value))->kind == QN_PLACE_STATE) return 0;
        double bytes = 4.0 * (double)qn_shape_count(&qn_graph_tensor(g, b->value)->live) - (double)b->offset;
        if (b->size && bytes > (double)b->size) bytes = (double)b->size;
        sum += bytes > 0 ? bytes : 0;
    }
    return sum;
}

qn_trace qn_graph_dispatch(const qn_graph *g, size_t index)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *n = qn_graph_node(g, i);
        if (index >= n->n_live) {
            index -= n->n_live;
            continue;
        }
        const qn_slot *slot = &g->slots[n->first_slot + index];
        return (qn_trace){
            .kernel = slot->variant->row->name,
            .op = qn_ops[n->node.op].name,
            .node = n->node.name,
            .grid = {slot->grid[0], slot->grid[1], slot->grid[2]},
            .n_params = slot->n_params,
            .params = (const uint32_t *)(const void *)(g->arena + (n->first_slot + index) * (size_t)QN_PARAM_SLOT),
            .gpu_ns = slot->gpu_ns,
            .flops = slot->flops,
            .bytes = slot->bytes > 0 ? slot->bytes : bound_bytes(g, slot->variant),
        };
    }
    return (qn_trace){.kernel = "", .op = "", .node = ""};
}

qn_status qn_graph_set_profile(qn_graph *g, qn_profile profile)
{
    if (!g->built) return qn_fail(QN_ERR_STATE, "the graph is not built yet");
    if (profile && !g->has_timestamps) {
        qn_encoder *timed = NULL;
        QN_TRY(qn_encoder_create(g->engine->gpu, g->n_slots, &timed));
        void *p;
        qn_status s = qn_alloc(g->allocator, g->n_slots, sizeof(double), "timings", &p);
        if (s.code != QN_OK) {
            qn_encoder_free(timed);
            return s;
        }
        qn_encoder_free(g->encoder);
        g->encoder = timed;
        g->times = p;
        g->has_timestamps = true;
    }
    if (profile != g->profile) g->prepared = false; /* it was recorded with other marks */
    g->profile = profile;
    return qn_ok();
}

double qn_graph_gpu_ns(const qn_graph *g)
{
    return g->gpu_ns;
}

qn_memory_table qn_graph_memory(const qn_graph *g)
{
    return g->memory;
}

qn_execute_counts qn_graph_execute_counts(const qn_graph *g)
{
    return g->counts;
}
