/* compile.c - from nodes to kernels and bind groups, once, at build. */
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

const qn_variant *qn_graph_find_variant(const qn_node_state *node, const qn_dispatch *d)
{
    const qn_variant *variants = node->variants;
    for (size_t i = 0; i < node->n_variants; i++)
        if (same_variant(&variants[i], d)) return &variants[i];
    return NULL;
}

static qn_status note_variant(qn_graph *g, qn_node_state *node, const qn_dispatch *d)
{
    if (qn_graph_find_variant(node, d)) return qn_ok();
    QN_TRY(qn_grow(g->allocator, &node->variants, &node->variant_capacity, node->n_variants + 1, sizeof(qn_variant),
                   "kernel variants"));
    qn_variant *v = (qn_variant *)node->variants + node->n_variants++;
    *v = (qn_variant){.row = d->row, .n_binds = d->n_binds};
    memcpy(v->spec, d->spec, sizeof v->spec);
    memcpy(v->binds, d->binds, sizeof v->binds);
    return qn_ok();
}

qn_status qn_graph_plan_maximum(qn_graph *g, size_t index)
{
    qn_node_state *node = qn_graph_node(g, index);
    g->plan.tensors = g->tensors;
    QN_TRY(qn_plan_node(&g->plan, &node->node));
    for (size_t i = 0; i < g->plan.n_dispatches; i++) QN_TRY(note_variant(g, node, &g->plan.dispatches[i]));
    node->n_slots = (uint32_t)g->plan.max_dispatches;
    memcpy(node->scratch_bytes, g->plan.scratch, sizeof node->scratch_bytes);
    return qn_ok();
}

static qn_range weight_range(qn_graph *g, const qn_bind *b)
{
    const qn_weight_part *part = &qn_graph_tensor(g, b->value)->weight->parts[b->part];
    qn_range r = {part->buffer, part->data_offset, qn_round_up_u64(part->data_bytes, 4)};
    if (b->kind == QN_BIND_SCALES) r = (qn_range){part->buffer, part->scale_offset, part->scale_bytes};
    if (b->kind == QN_BIND_MINS) r = (qn_range){part->buffer, part->min_offset, part->min_bytes};
    if (r.size == 0) r = (qn_range){g->engine->dummy, 0, QN_DUMMY_BYTES};
    return r;
}

static qn_status resolve(qn_graph *g, const qn_node_state *node, const qn_bind *b, qn_range *range)
{
    switch ((qn_bind_kind)b->kind) {
    case QN_BIND_DUMMY:
        *range = (qn_range){g->engine->dummy, 0, QN_DUMMY_BYTES};
        return qn_ok();
    case QN_BIND_DATA:
    case QN_BIND_SCALES:
    case QN_BIND_MINS:
        *range = weight_range(g, b);
        break;
    case QN_BIND_SCRATCH: {
        const qn_place *place = qn_graph_place(g, node->scratch[b->value]);
        *range = (qn_range){place->buffer, 0, place->bytes};
        break;
    }
    case QN_BIND_VALUE: {
        const qn_place *place = qn_graph_place(g, qn_graph_root(g, b->value));
        if (b->offset >= place->bytes || b->size > place->bytes - b->offset)
            return qn_fail(QN_ERR_INTERNAL, "%s: a window passes its tensor", node->node.name);
        *range = (qn_range){place->buffer, b->offset, b->size ? b->size : place->bytes - b->offset};
        break;
    }
    }
    uint64_t limit = qn_gpu_info(g->engine->gpu)->max_binding_bytes;
    if (range->size > limit)
        return qn_fail(QN_ERR_LIMIT, "%s (%s): a binding of %llu bytes is over this device's limit of %llu",
                       qn_ops[node->node.op].name, node->node.name, (unsigned long long)range->size,
                       (unsigned long long)limit);
    return qn_ok();
}

/* WebGPU's rule for one dispatch: a buffer bound more than once is read-only in all its bindings, or read_write in
 * all and disjoint. wgpu-native lets overlaps pass, browsers reject them. */
static qn_status check_overlap(const qn_kernel_row *row, const qn_range *ranges, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = i + 1; k < n; k++) {
            if (ranges[i].buffer != ranges[k].buffer) continue;
            bool a = row->access[i] == 'w', b = row->access[k] == 'w';
            if (!a && !b) continue;
            bool disjoint = ranges[i].offset + ranges[i].size <= ranges[k].offset ||
                            ranges[k].offset + ranges[k].size <= ranges[i].offset;
            if (!(a && b && disjoint))
                return qn_fail(QN_ERR_INTERNAL,
                               "kernel %s binds one buffer for reading and writing (bindings %u and %u)", row->name,
                               i + 1, k + 1);
        }
    return qn_ok();
}

static qn_status compile_variant(qn_graph *g, const qn_node_state *node, qn_variant *v)
{
    qn_range ranges[QN_MAX_BINDINGS];
    if (strlen(v->row->access) != v->n_binds)
        return qn_fail(QN_ERR_INTERNAL, "kernel %s takes %zu bindings, the plan gave %u", v->row->name,
                       strlen(v->row->access), v->n_binds);
    for (uint32_t i = 0; i < v->n_binds; i++) QN_TRY(resolve(g, node, &v->binds[i], &ranges[i]));
    QN_TRY(check_overlap(v->row, ranges, v->n_binds));
    QN_TRY(qn_engine_kernel(g->engine, v->row, v->spec, &v->kernel));
    return qn_bindings_create(g->engine->gpu, v->kernel, g->params, ranges, v->n_binds, &v->bindings);
}

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
        qn_output *out = qn_graph_output_at(g, i);
        out->offset = bytes;
        bytes += qn_round_up_u64(qn_graph_place(g, out->value)->bytes, 16);
    }
    g->memory.io += bytes;
    if (bytes == 0 || !g->engine) return qn_ok();
    return qn_readback_create(g->engine->gpu, bytes, "outputs", &g->readback);
}

qn_status qn_graph_compile(qn_graph *g)
{
    QN_TRY(make_arena(g));
    if (!g->engine) return make_readback(g);
    for (size_t i = 0; i < g->n_nodes; i++) {
        qn_node_state *node = qn_graph_node(g, i);
        for (size_t k = 0; k < node->n_variants; k++)
            QN_TRY(compile_variant(g, node, (qn_variant *)node->variants + k));
    }
    QN_TRY(make_readback(g));
    return qn_encoder_create(g->engine->gpu, 0, &g->encoder);
}
