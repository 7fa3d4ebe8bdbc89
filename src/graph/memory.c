/* memory.c - where every value of a graph lives. */
#include "graph/graph.h"
#include "graph/pool.h"

#include <stdlib.h>
#include <string.h>

/* A pooled value while placing. */
typedef struct pooled {
    qn_life life;
    qn_value value;
} pooled;

/* Hidden values for the nodes' scratch, so that it is pooled like activations. */
static qn_status add_scratch(qn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < QN_MAX_SCRATCH; k++) {
            uint64_t bytes = qn_graph_node(g, i)->scratch_bytes[k];
            if (bytes == 0) continue;
            qn_value v = qn_graph_new_value(g, QN_PLACE_SCRATCH, "scratch");
            QN_TRY(g->status);
            qn_graph_place(g, v)->bytes = qn_round_up_u64(bytes, 16);
            qn_graph_node(g, i)->scratch[k] = v;
        }
    return qn_ok();
}

static void extend(qn_graph *g, pooled *lives, const uint32_t *index_of, qn_value v, uint32_t node, bool writes)
{
    if (v == 0) return;
    v = qn_graph_root(g, v);
    qn_place_kind kind = qn_graph_place(g, v)->kind;
    if (kind != QN_PLACE_ACTIVATION && kind != QN_PLACE_SCRATCH) return;
    qn_life *life = &lives[index_of[v]].life;
    if (writes && life->first == UINT32_MAX) life->first = node;
    if (life->last < node) life->last = node;
}

static void find_lives(qn_graph *g, pooled *lives, const uint32_t *index_of)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *n = qn_graph_node(g, i);
        for (uint32_t k = 0; k < n->node.n_outputs; k++) extend(g, lives, index_of, n->node.outputs[k], i, true);
        for (uint32_t k = 0; k < n->node.n_inputs; k++) extend(g, lives, index_of, n->node.inputs[k], i, false);
        for (uint32_t k = 0; k < QN_MAX_SCRATCH; k++) extend(g, lives, index_of, n->scratch[k], i, true);
    }
    /* Outputs are read after the last node. */
    for (size_t i = 0; i < g->n_outputs; i++)
        extend(g, lives, index_of, qn_graph_output_at(g, i)->value, (uint32_t)g->n_nodes, false);
}

static int by_first(const void *a, const void *b)
{
    const pooled *x = a, *y = b;
    if (x->life.first != y->life.first) return x->life.first < y->life.first ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value; /* a fixed order: the plan must not depend on qsort */
}

typedef struct place_work {
    pooled *lives;
    qn_life *sorted;
    uint64_t *slot_bytes;
    uint32_t *index_of, *free_after;
} place_work;

static qn_status make_slots(qn_graph *g, const qn_pool *pool)
{
    QN_TRY(qn_alloc(g->allocator, pool->n_slots, sizeof(qn_buffer *), "slots", &g->slot_buffers));
    g->n_pool = pool->n_slots;
    for (uint32_t s = 0; s < pool->n_slots && g->engine; s++) {
        qn_buffer **slot = (qn_buffer **)g->slot_buffers + s;
        QN_TRY(qn_buffer_create(g->engine->gpu, QN_BUFFER_STORAGE, pool->slot_bytes[s], "activations", slot));
    }
    g->memory.n_slots = pool->n_slots;
    return qn_ok();
}

static qn_status place_pooled(qn_graph *g, const place_work *w, size_t n)
{
    uint32_t at = 0;
    for (qn_value v = 1; v < g->n_values; v++) {
        const qn_place *place = qn_graph_place(g, v);
        if (place->kind != QN_PLACE_ACTIVATION && place->kind != QN_PLACE_SCRATCH) continue;
        w->index_of[v] = at;
        w->lives[at++] = (pooled){{place->bytes, UINT32_MAX, 0, 0}, v};
    }
    find_lives(g, w->lives, w->index_of);
    qsort(w->lives, n, sizeof(pooled), by_first);
    for (size_t i = 0; i < n; i++) w->sorted[i] = w->lives[i].life;
    qn_pool pool = {.slot_bytes = w->slot_bytes};
    qn_pool_place(w->sorted, n, &pool, w->free_after);
    QN_TRY(make_slots(g, &pool));
    for (size_t i = 0; i < n; i++) {
        qn_place *place = qn_graph_place(g, w->lives[i].value);
        place->slot = w->sorted[i].slot;
        place->buffer = ((qn_buffer **)g->slot_buffers)[place->slot];
    }
    /* The table: a slot counts as scratch where only scratch lives in it. */
    for (uint32_t s = 0; s < pool.n_slots; s++) g->memory.scratch += pool.slot_bytes[s];
    for (size_t i = 0; i < n; i++) {
        uint64_t *bytes = &pool.slot_bytes[w->sorted[i].slot];
        if (qn_graph_place(g, w->lives[i].value)->kind != QN_PLACE_ACTIVATION) continue;
        g->memory.scratch -= *bytes;
        g->memory.activations += *bytes;
        *bytes = 0;
    }
    return qn_ok();
}

static qn_status pool_values(qn_graph *g)
{
    size_t n = 0;
    for (qn_value v = 1; v < g->n_values; v++) {
        qn_place *place = qn_graph_place(g, v);
        const qn_tensor *t = qn_graph_tensor(g, v);
        if (place->kind != QN_PLACE_SCRATCH && place->kind != QN_PLACE_WEIGHT && !t->is_int)
            place->bytes = qn_round_up_u64(qn_state_bytes(t->dtype, &t->max), 16);
        if (place->kind != QN_PLACE_ACTIVATION && place->kind != QN_PLACE_SCRATCH) continue;
        g->memory.activations_unpooled += place->bytes;
        n++;
    }
    place_work w = {0};
    void *p[5] = {0};
    size_t sizes[5] = {sizeof(pooled), sizeof(qn_life), sizeof(uint64_t), sizeof(uint32_t), sizeof(uint32_t)};
    qn_status s = qn_ok();
    for (int i = 0; i < 5 && s.code == QN_OK; i++)
        s = qn_alloc(g->allocator, i == 3 ? g->n_values : n, sizes[i], "memory plan", &p[i]);
    w = (place_work){p[0], p[1], p[2], p[3], p[4]};
    if (s.code == QN_OK) s = place_pooled(g, &w, n);
    for (int i = 0; i < 5; i++) qn_free(g->allocator, p[i]);
    return s;
}

static int by_address(const void *a, const void *b)
{
    const qn_weight *const *x = a, *const *y = b;
    return (uintptr_t)*x < (uintptr_t)*y ? -1 : (uintptr_t)*x > (uintptr_t)*y;
}

/* Bytes of the weights, each once: a tied one is several values. */
static qn_status count_weights(qn_graph *g)
{
    void *block;
    size_t n = 0;
    QN_TRY(qn_alloc(g->allocator, g->n_values, sizeof(const qn_weight *), "weights", &block));
    const qn_weight **weights = block;
    for (qn_value v = 1; v < g->n_values; v++)
        if (qn_graph_place(g, v)->kind == QN_PLACE_WEIGHT) weights[n++] = qn_graph_tensor(g, v)->weight;
    qsort(weights, n, sizeof weights[0], by_address);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || weights[i] != weights[i - 1]) g->memory.weights += qn_weight_bytes(weights[i]);
    qn_free(g->allocator, block);
    return qn_ok();
}

static qn_status make_own_buffers(qn_graph *g)
{
    for (qn_value v = 1; v < g->n_values; v++) {
        qn_place *place = qn_graph_place(g, v);
        const qn_tensor *t = qn_graph_tensor(g, v);
        if (place->kind == QN_PLACE_WEIGHT) place->bytes = qn_weight_bytes(t->weight);
        if (place->kind != QN_PLACE_INPUT && place->kind != QN_PLACE_STATE) continue;
        if (g->engine)
            QN_TRY(qn_buffer_create(g->engine->gpu, QN_BUFFER_STORAGE, place->bytes, t->name, &place->buffer));
        *(place->kind == QN_PLACE_STATE ? &g->memory.states : &g->memory.io) += place->bytes;
    }
    return qn_ok();
}

qn_status qn_graph_place_values(qn_graph *g)
{
    QN_TRY(add_scratch(g));
    QN_TRY(pool_values(g));
    QN_TRY(count_weights(g));
    return make_own_buffers(g);
}
