/* compile.c - from nodes to kernels and bind groups, once, at build. */
#include "graph/extent.h"
#include "graph/graph.h"

#include <string.h>

static bool same_variant(const qn_variant *v, const qn_dispatch *d)
{
    if (v->row != d->row || v->n_binds != d->n_binds || memcmp(v->spec, d->spec, sizeof v->spec) != 0) return false;
    for (uint32_t i = 0; i < d->n_binds; i++) {
        const qn_bind *a = &v->binds[i], *b = &d->binds[i];
        if (a->kind != b->kind || a->part != b->part || a->value != b->value || a->offset != b->offset ||
            a->size != b->size)
            return false;
    }
    return true;
}

const qn_variant *qn_graph_find_variant(const qn_node_state *node, const qn_dispatch *d, const qn_variant *last)
{
    if (last && same_variant(last, d)) return last;
    const qn_variant *variants = node->variants;
    for (size_t i = 0; i < node->n_variants; i++)
        if (same_variant(&variants[i], d)) return &variants[i];
    return NULL;
}

static qn_status note_variant(qn_graph *g, qn_node_state *node, const qn_dispatch *d)
{
    if (qn_graph_find_variant(node, d, NULL)) return qn_ok();
    QN_TRY(qn_grow(g->allocator, &node->variants, &node->variant_capacity, node->n_variants + 1, sizeof(qn_variant),
                   "kernel variants"));
    qn_variant *v = (qn_variant *)node->variants + node->n_variants++;
    *v = (qn_variant){.row = d->row, .n_binds = d->n_binds};
    memcpy(v->spec, d->spec, sizeof v->spec);
    memcpy(v->binds, d->binds, sizeof v->binds);
    return qn_ok();
}

/* What is planned must fit a buffer, also where there is no device that would refuse it. */
static qn_status check_outputs(const qn_graph *g, const qn_node *node)
{
    uint64_t most = g->plan.device->max_buffer_bytes;
    char text[96];
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const qn_tensor *t = qn_graph_tensor(g, node->outputs[i]);
        if (!t->is_int && !t->weight && qn_shape_count(&t->max) > most / 4)
            return qn_fail(QN_ERR_LIMIT, "%s (%s): the output %s is over the device's buffer limit of %llu bytes",
                           qn_ops[node->op].name, node->name, qn_shape_text(&t->max, text, sizeof text),
                           (unsigned long long)most);
    }
    return qn_ok();
}

qn_status qn_graph_plan_maximum(qn_graph *g, size_t index)
{
    qn_node_state *node = qn_graph_node(g, index);
    g->plan.tensors = g->tensors;
    QN_TRY(qn_plan_node(&g->plan, &node->node));
    if (g->plan.decisions) QN_TRY(g->decisions.status);
    QN_TRY(check_outputs(g, &node->node));
    for (size_t i = 0; i < g->plan.n_dispatches; i++) QN_TRY(note_variant(g, node, &g->plan.dispatches[i]));
    node->n_slots = (uint32_t)g->plan.max_dispatches;
    memcpy(node->scratch_bytes, g->plan.scratch, sizeof node->scratch_bytes);
    return qn_ok();
}

/* ---- bindings -------------------------------------------------------------------------------- */

/* Where a bind lies: the range as the rules see it, and the buffer (NULL in a dry graph). */
typedef struct target {
    qn_extent extent;
    qn_buffer *buffer;
} target;

static target dummy_target(const qn_graph *g)
{
    return (target){{&g->params, 0, 0, QN_DUMMY_BYTES}, g->engine ? g->engine->dummy : NULL};
}

static target weight_target(const qn_graph *g, const qn_bind *b)
{
    const qn_weight *w = qn_graph_tensor(g, b->value)->weight;
    const qn_weight_part *part = &w->parts[b->part];
    uint64_t data_bytes = w->matrix ? qn_round_up_u64(part->data_bytes, 4) : part->bytes; /* plain: padded to 16 */
    target t = {{w, b->part, part->data_offset, data_bytes}, part->buffer};
    if (b->kind == QN_BIND_SCALES) t.extent = (qn_extent){w, b->part, part->scale_offset, part->scale_bytes};
    if (b->kind == QN_BIND_MINS) t.extent = (qn_extent){w, b->part, part->min_offset, part->min_bytes};
    return t.extent.size ? t : dummy_target(g);
}

/* Pooled places share the pool's slots; inputs and states have a buffer each. */
static target place_target(const qn_graph *g, const qn_place *place)
{
    bool pooled = place->kind == QN_PLACE_ACTIVATION || place->kind == QN_PLACE_SCRATCH;
    return (target){{pooled ? (const void *)g : (const void *)place, place->slot, 0, place->bytes}, place->buffer};
}

static qn_status find_target(const qn_graph *g, const qn_node_state *node, const qn_bind *b, target *t)
{
    switch ((qn_bind_kind)b->kind) {
    case QN_BIND_DUMMY:
        *t = dummy_target(g);
        break;
    case QN_BIND_DATA:
    case QN_BIND_SCALES:
    case QN_BIND_MINS:
        *t = weight_target(g, b);
        break;
    case QN_BIND_SCRATCH:
        *t = place_target(g, qn_graph_place(g, node->scratch[b->value]));
        break;
    case QN_BIND_VALUE:
        *t = place_target(g, qn_graph_place(g, qn_graph_root(g, b->value)));
        if (b->offset >= t->extent.size || b->size > t->extent.size - b->offset)
            return qn_fail(QN_ERR_INTERNAL, "%s: a window passes its tensor", node->node.name);
        t->extent.size = b->size ? b->size : t->extent.size - b->offset;
        t->extent.offset = b->offset;
        break;
    }
    return qn_ok();
}

static qn_status bind_variant(qn_graph *g, const qn_node_state *node, qn_variant *v)
{
    target targets[QN_MAX_BINDINGS];
    qn_extent extents[QN_MAX_BINDINGS];
    qn_range ranges[QN_MAX_BINDINGS];
    for (uint32_t i = 0; i < v->n_binds; i++) {
        QN_TRY(find_target(g, node, &v->binds[i], &targets[i]));
        extents[i] = targets[i].extent;
        ranges[i] = (qn_range){targets[i].buffer, extents[i].offset, extents[i].size};
    }
    qn_status s =
        qn_check_extents(v->row->name, v->row->access, extents, v->n_binds, g->plan.device->max_binding_bytes);
    QN_TRY(qn_in(s, "%s (%s)", qn_ops[node->node.op].name, node->node.name));
    if (!g->engine) return qn_ok();
    return qn_bindings_create(g->engine->gpu, v->kernel, g->params, ranges, v->n_binds, &v->bindings);
}

/* The kernels of all variants, compiled together. */
static qn_status find_kernels(qn_graph *g)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += qn_graph_node(g, i)->n_variants;
    void *p;
    QN_TRY(qn_alloc(g->allocator, n, sizeof(qn_cached_kernel), "wanted kernels", &p));
    qn_cached_kernel *wanted = p;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *node = qn_graph_node(g, i);
        const qn_variant *v = node->variants;
        for (size_t k = 0; k < node->n_variants; k++, at++) {
            wanted[at].row = v[k].row;
            memcpy(wanted[at].spec, v[k].spec, sizeof v[k].spec);
        }
    }
    qn_status s = qn_engine_kernels(g->engine, wanted, n);
    for (size_t i = at = 0; s.code == QN_OK && i < g->n_nodes; i++) {
        const qn_node_state *node = qn_graph_node(g, i);
        for (size_t k = 0; k < node->n_variants; k++) ((qn_variant *)node->variants)[k].kernel = wanted[at++].kernel;
    }
    qn_free(g->allocator, wanted);
    return s;
}

/* ---- arena and readback ---------------------------------------------------------------------- */

static qn_status make_arena(qn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        qn_node_state *node = qn_graph_node(g, i);
        node->first_slot = g->n_slots;
        g->n_slots += node->n_slots;
    }
    uint64_t bytes = (uint64_t)(g->n_slots ? g->n_slots : 1) * QN_PARAM_SLOT;
    g->memory.io += bytes;
    if (!g->engine) return qn_ok();
    QN_TRY(qn_buffer_create(g->engine->gpu, QN_BUFFER_PARAMS, bytes, "parameters", &g->params));
    void *p;
    QN_TRY(qn_alloc(g->allocator, (size_t)bytes, 1, "parameter arena", &p));
    g->arena = p;
    QN_TRY(qn_alloc(g->allocator, g->n_slots, sizeof(qn_slot), "dispatch slots", &p));
    g->slots = p;
    return qn_ok();
}

static qn_status make_readback(qn_graph *g)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < g->n_outputs; i++) {
        const qn_output *out = qn_graph_output_at(g, i);
        bytes += qn_round_up_u64(qn_graph_place(g, out->value)->bytes, 16);
    }
    uint32_t n_small = bytes && g->max_in_flight > 1 ? QN_FLIGHTS : 0;
    g->memory.io += bytes + n_small * QN_SMALL_READBACK;
    if (bytes == 0 || !g->engine) return qn_ok();
    for (uint32_t i = 0; i < n_small; i++)
        QN_TRY(qn_readback_create(g->engine->gpu, QN_SMALL_READBACK, "small outputs", &g->small[i]));
    return qn_readback_create(g->engine->gpu, bytes, "outputs", &g->readback);
}

qn_status qn_graph_compile(qn_graph *g)
{
    QN_TRY(make_arena(g));
    if (g->engine) QN_TRY(find_kernels(g));
    for (size_t i = 0; i < g->n_nodes; i++) {
        qn_node_state *node = qn_graph_node(g, i);
        for (size_t k = 0; k < node->n_variants; k++) QN_TRY(bind_variant(g, node, (qn_variant *)node->variants + k));
    }
    QN_TRY(make_readback(g));
    if (!g->engine) return qn_ok();
    return qn_encoder_create(g->engine->gpu, 0, &g->encoder);
}
