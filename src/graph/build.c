/* build.c - values, nodes, and the functions of quern_graph.h that add them. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close -------------------------------------------------------------------------- */

qn_status qn_graph_open_dry(const qn_allocator *a, const qn_device_info *device, qn_graph **graph)
{
    *graph = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_graph), "graph", &p));
    qn_graph *g = p;
    g->allocator = a;
    g->status = qn_ok();
    g->dirty_low = UINT32_MAX;
    g->plan.device = device;
    g->plan.allocator = g->allocator;
    g->plan.building = true;
    qn_graph_new_value(g, QN_PLACE_INT, ""); /* value 0: none */
    if (g->status.code != QN_OK) {
        qn_status s = g->status;
        qn_graph_close(g);
        return s;
    }
    *graph = g;
    return qn_ok();
}

qn_status qn_graph_open(qn_engine *engine, qn_graph **graph)
{
    QN_TRY(qn_graph_open_dry(engine->allocator, qn_gpu_info(engine->gpu), graph));
    (*graph)->engine = engine;
    (*graph)->plan.forced = engine->route;
    return qn_ok();
}

static void close_nodes(qn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        qn_node_state *n = qn_graph_node(g, i);
        for (size_t k = 0; k < n->n_variants; k++) qn_bindings_free(((qn_variant *)n->variants)[k].bindings);
        qn_free(g->allocator, n->variants);
    }
    qn_free(g->allocator, g->nodes);
}

void qn_graph_close(qn_graph *graph)
{
    qn_graph *g = graph;
    if (!g) return;
    qn_readback_free(g->readback);
    qn_encoder_free(g->encoder);
    close_nodes(g);
    qn_buffer_free(g->params);
    for (qn_value v = 1; v < g->n_values; v++) {
        qn_place *place = qn_graph_place(g, v);
        if (place->kind == QN_PLACE_INPUT || place->kind == QN_PLACE_STATE) qn_buffer_free(place->buffer);
    }
    for (uint32_t i = 0; g->slot_buffers && i < g->n_pool; i++) qn_buffer_free(((qn_buffer **)g->slot_buffers)[i]);
    for (size_t i = 0; i < g->n_tables; i++) qn_weight_free(((qn_weight **)g->tables)[i]);
    for (size_t i = 0; i < g->n_strings; i++) qn_free(g->allocator, ((char **)g->strings)[i]);
    void *const blocks[] = {g->tensors,         g->places, g->outputs, g->strings, g->tables,
                            g->plan.dispatches, g->arena,  g->slots,   g->times,   g->slot_buffers};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) qn_free(g->allocator, blocks[i]);
    qn_free(g->allocator, g);
}

/* ---- values ---------------------------------------------------------------------------------- */

void qn_graph_failed(qn_graph *g, qn_status status)
{
    if (g->status.code == QN_OK && status.code != QN_OK) g->status = status;
}

qn_status qn_graph_status(const qn_graph *g)
{
    return g->status;
}

static qn_status keep_string(qn_graph *g, const char *text, const char **kept)
{
    char *copy;
    QN_TRY(qn_grow(g->allocator, &g->strings, &g->string_capacity, g->n_strings + 1, sizeof(char *), "names"));
    QN_TRY(qn_copy_string(g->allocator, text, strlen(text), &copy));
    ((char **)g->strings)[g->n_strings++] = copy;
    *kept = copy;
    return qn_ok();
}

static qn_status new_value(qn_graph *g, qn_place_kind kind, const char *name, qn_value *value)
{
    if (g->n_values >= UINT32_MAX) return qn_fail(QN_ERR_LIMIT, "too many values in one graph");
    QN_TRY(qn_grow(g->allocator, &g->tensors, &g->tensor_capacity, g->n_values + 1, sizeof(qn_tensor), "values"));
    QN_TRY(qn_grow(g->allocator, &g->places, &g->place_capacity, g->n_values + 1, sizeof(qn_place), "places"));
    qn_value v = (qn_value)g->n_values;
    QN_TRY(keep_string(g, name ? name : "", &qn_graph_tensor(g, v)->name));
    qn_graph_place(g, v)->kind = kind;
    g->n_values++;
    *value = v;
    return qn_ok();
}

qn_value qn_graph_new_value(qn_graph *g, qn_place_kind kind, const char *name)
{
    if (g->status.code != QN_OK) return 0;
    if (g->built) {
        qn_graph_failed(g, qn_fail(QN_ERR_STATE, "the graph is built: nothing can be added"));
        return 0;
    }
    qn_value v = 0;
    qn_graph_failed(g, new_value(g, kind, name, &v));
    return v;
}

static qn_status check_shape(const char *what, const char *name, const qn_shape *shape)
{
    if (shape->rank > QN_MAX_RANK)
        return qn_fail(QN_ERR_ARGUMENT, "%s %s: rank %u is over %d", what, name, shape->rank, QN_MAX_RANK);
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dim[i] == 0) return qn_fail(QN_ERR_ARGUMENT, "%s %s: dimension %u is 0", what, name, i);
    if (qn_shape_count(shape) > UINT64_MAX / 8) return qn_fail(QN_ERR_LIMIT, "%s %s: the size overflows", what, name);
    return qn_ok();
}

static qn_value add_tensor(qn_graph *g, qn_place_kind kind, const char *name, qn_dtype dtype, qn_shape shape)
{
    qn_value v = qn_graph_new_value(g, kind, name);
    if (!v) return 0;
    qn_status s = check_shape(kind == QN_PLACE_INPUT ? "input" : "state", name, &shape);
    if (s.code == QN_OK && dtype != QN_F32 && dtype != QN_I32)
        s = qn_fail(QN_ERR_ARGUMENT, "%s: unknown dtype %d", name, (int)dtype);
    qn_graph_failed(g, s);
    if (s.code != QN_OK) return 0;
    qn_tensor *t = qn_graph_tensor(g, v);
    t->dtype = dtype;
    t->max = t->live = shape;
    return v;
}

qn_value qn_graph_input(qn_graph *g, const char *name, qn_dtype dtype, qn_shape max_shape)
{
    return add_tensor(g, QN_PLACE_INPUT, name, dtype, max_shape);
}

qn_value qn_graph_state(qn_graph *g, const char *name, qn_dtype dtype, qn_shape shape)
{
    return add_tensor(g, QN_PLACE_STATE, name, dtype, shape);
}

qn_value qn_graph_int(qn_graph *g, const char *name, uint32_t max)
{
    qn_value v = qn_graph_new_value(g, QN_PLACE_INT, name);
    if (!v) return 0;
    qn_tensor *t = qn_graph_tensor(g, v);
    t->is_int = true;
    t->max_number = t->number = max;
    return v;
}

qn_value qn_graph_weight(qn_graph *g, qn_weight *weight)
{
    if (!weight) {
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "a weight of the graph is NULL"));
        return 0;
    }
    qn_value v = qn_graph_new_value(g, QN_PLACE_WEIGHT, weight->name);
    if (!v) return 0;
    qn_tensor *t = qn_graph_tensor(g, v);
    t->weight = weight;
    t->dtype = QN_F32;
    t->max = t->live = weight->shape;
    return v;
}

void qn_graph_output(qn_graph *g, qn_value value, const char *name)
{
    if (g->status.code != QN_OK) return;
    bool tensor = value != 0 && value < g->n_values && !qn_graph_tensor(g, value)->is_int;
    if (!tensor || qn_graph_place(g, qn_graph_root(g, value))->kind == QN_PLACE_WEIGHT) {
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "output %s is not %s of this graph", name ? name : "",
                                   tensor ? "computed: it is a weight" : "a tensor"));
        return;
    }
    qn_status s = g->built ? qn_fail(QN_ERR_STATE, "the graph is built: no output can be added") : qn_ok();
    if (s.code == QN_OK)
        s = qn_grow(g->allocator, &g->outputs, &g->output_capacity, g->n_outputs + 1, sizeof(qn_output), "outputs");
    if (s.code == QN_OK && name && name[0]) s = keep_string(g, name, &qn_graph_tensor(g, value)->name);
    qn_graph_failed(g, s);
    if (s.code != QN_OK) return;
    *qn_graph_output_at(g, g->n_outputs++) = (qn_output){.value = value, .wanted = true};
}

/* ---- nodes ----------------------------------------------------------------------------------- */

typedef struct node_desc {
    qn_op op;
    const qn_value *inputs;
    uint32_t n_inputs;
    uint32_t optional; /* bit i: input i may be 0   */
    uint32_t integers; /* bit i: input i is an int  */
    bool no_output;
    const char *name; /* NULL: the op's name       */
    qn_attrs attrs;
} node_desc;

static qn_status check_inputs(const qn_graph *g, const node_desc *d)
{
    const char *op = qn_ops[d->op].name;
    if (g->built) return qn_fail(QN_ERR_STATE, "%s: the graph is built: no node can be added", op);
    for (uint32_t i = 0; i < d->n_inputs; i++) {
        qn_value v = d->inputs[i];
        if (v == 0 && (d->optional >> i & 1)) continue;
        if (v == 0 || v >= g->n_values)
            return qn_fail(QN_ERR_ARGUMENT, "%s: input %u is not a value of this graph", op, i);
        if (qn_graph_tensor(g, v)->is_int != (bool)(d->integers >> i & 1))
            return qn_fail(QN_ERR_ARGUMENT, "%s: input %u (%s) must be %s", op, i, qn_graph_tensor(g, v)->name,
                           d->integers >> i & 1 ? "an integer" : "a tensor");
    }
    return qn_ok();
}

static qn_status append_node(qn_graph *g, const node_desc *d, qn_value output)
{
    QN_TRY(qn_grow(g->allocator, &g->nodes, &g->node_capacity, g->n_nodes + 1, sizeof(qn_node_state), "nodes"));
    qn_node_state *state = qn_graph_node(g, g->n_nodes);
    memset(state, 0, sizeof *state);
    qn_node *n = &state->node;
    n->op = d->op;
    n->n_inputs = d->n_inputs;
    memcpy(n->inputs, d->inputs, d->n_inputs * sizeof n->inputs[0]);
    n->n_outputs = d->no_output ? 0 : 1;
    n->outputs[0] = output;
    n->attrs = d->attrs;
    QN_TRY(keep_string(g, d->name ? d->name : "", &n->name));
    g->n_nodes++;
    /* Planning at the maximum right away gives the output's shape to the nodes that follow. */
    return qn_graph_plan_maximum(g, g->n_nodes - 1);
}

static qn_value add_node(qn_graph *g, const node_desc *d)
{
    if (g->status.code != QN_OK) return 0;
    qn_graph_failed(g, check_inputs(g, d));
    if (g->status.code != QN_OK) return 0;
    qn_value output = 0;
    if (!d->no_output) {
        output = qn_graph_new_value(g, d->op == QN_OP_VIEW ? QN_PLACE_ALIAS : QN_PLACE_ACTIVATION, d->name);
        if (!output) return 0;
        qn_graph_place(g, output)->alias_of = d->op == QN_OP_VIEW ? d->inputs[0] : 0;
    }
    qn_graph_failed(g, append_node(g, d, output));
    return g->status.code == QN_OK ? output : 0;
}

static const char *weight_name(const qn_graph *g, qn_value w)
{
    return w && w < g->n_values ? qn_graph_tensor(g, w)->name : NULL;
}

qn_value qn_linear(qn_graph *g, qn_value x, qn_value w, qn_value bias)
{
    qn_value in[] = {x, w, bias};
    return add_node(
        g, &(node_desc){.op = QN_OP_LINEAR, .inputs = in, .n_inputs = 3, .optional = 4, .name = weight_name(g, w)});
}

qn_value qn_embedding(qn_graph *g, qn_value w, qn_value ids)
{
    qn_value in[] = {w, ids};
    return add_node(g, &(node_desc){.op = QN_OP_EMBEDDING, .inputs = in, .n_inputs = 2, .name = weight_name(g, w)});
}

qn_value qn_rms_norm(qn_graph *g, qn_value x, qn_value w, float eps)
{
    qn_value in[] = {x, w};
    node_desc d = {.op = QN_OP_RMS_NORM, .inputs = in, .n_inputs = 2, .name = weight_name(g, w)};
    d.attrs.norm.eps = eps;
    return add_node(g, &d);
}

qn_value qn_rope(qn_graph *g, qn_value x, qn_value table, qn_value pos, qn_rope_mode mode)
{
    qn_value in[] = {x, table, pos};
    node_desc d = {.op = QN_OP_ROPE, .inputs = in, .n_inputs = 3, .integers = 4};
    d.attrs.rope.mode = mode;
    return add_node(g, &d);
}

void qn_update_cache(qn_graph *g, qn_value x, qn_value cache, qn_value pos)
{
    qn_value in[] = {x, cache, pos};
    add_node(g, &(node_desc){.op = QN_OP_UPDATE_CACHE,
                             .inputs = in,
                             .n_inputs = 3,
                             .integers = 4,
                             .no_output = true,
                             .name = weight_name(g, cache)});
}

qn_value qn_sdpa_with_kv_cache(qn_graph *g, qn_value q, qn_value k, qn_value v, qn_value k_cache, qn_value v_cache,
                               qn_value pos, const qn_sdpa_options *options)
{
    qn_value in[] = {q, k, v, k_cache, v_cache, pos};
    node_desc d = {.op = QN_OP_SDPA, .inputs = in, .n_inputs = 6, .integers = 1 << 5, .name = weight_name(g, k_cache)};
    d.attrs.sdpa.scale = options ? options->scale : 0.0f;
    return add_node(g, &d);
}

static qn_value add_simple(qn_graph *g, qn_op op, qn_value a, qn_value b)
{
    qn_value in[] = {a, b};
    return add_node(g, &(node_desc){.op = op, .inputs = in, .n_inputs = op == QN_OP_SILU ? 1 : 2});
}

qn_value qn_add(qn_graph *g, qn_value a, qn_value b)
{
    return add_simple(g, QN_OP_ADD, a, b);
}

qn_value qn_mul(qn_graph *g, qn_value a, qn_value b)
{
    return add_simple(g, QN_OP_MUL, a, b);
}

qn_value qn_silu(qn_graph *g, qn_value x)
{
    return add_simple(g, QN_OP_SILU, x, 0);
}

qn_value qn_silu_mul(qn_graph *g, qn_value a, qn_value b)
{
    return add_simple(g, QN_OP_SILU_MUL, a, b);
}

qn_value qn_view(qn_graph *g, qn_value x, qn_shape shape)
{
    node_desc d = {.op = QN_OP_VIEW, .inputs = &x, .n_inputs = 1};
    d.attrs.view.shape = shape;
    return add_node(g, &d);
}

qn_value qn_last_rows(qn_graph *g, qn_value x, qn_value n, uint32_t max_rows)
{
    qn_value in[] = {x, n};
    node_desc d = {.op = QN_OP_LAST_ROWS, .inputs = in, .n_inputs = 2, .integers = 2};
    d.attrs.last_rows.max_rows = max_rows;
    return add_node(g, &d);
}

/* ---- build ----------------------------------------------------------------------------------- */

/* The memory table of the plan, with --trace. */
static void trace_memory(const qn_graph *g)
{
    const qn_memory_table *m = &g->memory;
    if (!g->engine || !g->engine->trace) return;
    qn_log_line(
        &g->engine->log, QN_LOG_DEBUG,
        "memory: weights %llu, states %llu, activations %llu (%llu without reuse), scratch %llu, inputs, outputs "
        "and parameters %llu bytes; %u pooled buffers, %zu nodes, at most %u dispatches",
        (unsigned long long)m->weights, (unsigned long long)m->states, (unsigned long long)m->activations,
        (unsigned long long)m->activations_unpooled, (unsigned long long)m->scratch, (unsigned long long)m->io,
        m->n_slots, g->n_nodes, g->n_slots);
}

qn_status qn_graph_build(qn_graph *g)
{
    QN_TRY(g->status);
    if (g->built) return qn_fail(QN_ERR_STATE, "the graph is built already");
    qn_status s = qn_graph_place_values(g);
    if (s.code == QN_OK) s = qn_graph_compile(g);
    qn_graph_failed(g, s);
    g->built = s.code == QN_OK && g->engine;
    g->plan.building = false;
    if (g->built) trace_memory(g);
    return s;
}
