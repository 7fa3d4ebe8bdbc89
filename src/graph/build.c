/* build.c - values, nodes and outputs of a graph, and building it. The functions that add each op: nodes.c. */
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
    g->max_in_flight = 1;
    g->plan.device = device;
    g->plan.allocator = g->allocator;
    g->plan.choices = &g->choices; /* none: of a device that nothing is known of */
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
    qn_graph *g = *graph;
    g->engine = engine;
    g->plan.forced = engine->route;
    g->decisions.allocator = g->allocator;
    g->decisions.status = qn_ok();
    g->plan.decisions = &g->decisions;
    g->plan.choices = &g->choices;
    qn_lock_take(&engine->lock);
    qn_status s = qn_choices_copy(&engine->choices, g->allocator, &g->choices);
    qn_lock_give(&engine->lock);
    if (s.code == QN_OK) return s;
    qn_graph_close(g);
    *graph = NULL;
    return s;
}

void qn_graph_set_precision(qn_graph *g, qn_precision precision)
{
    g->plan.precision = precision;
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
    for (uint32_t i = 0; i < QN_FLIGHTS; i++) qn_readback_free(g->small[i]);
    qn_encoder_free(g->encoder);
    close_nodes(g);
    qn_buffer_free(g->params);
    for (qn_value v = 1; v < g->n_values; v++) {
        qn_place *place = qn_graph_place(g, v);
        if (place->kind == QN_PLACE_INPUT || place->kind == QN_PLACE_STATE) qn_buffer_free(place->buffer);
        qn_free(g->allocator, place->host);
    }
    for (uint32_t i = 0; g->slot_buffers && i < g->n_pool; i++) qn_buffer_free(((qn_buffer **)g->slot_buffers)[i]);
    for (size_t i = 0; i < g->n_tables; i++) qn_weight_free(((qn_weight **)g->tables)[i]);
    for (size_t i = 0; i < g->n_strings; i++) qn_free(g->allocator, ((char **)g->strings)[i]);
    if (g->engine) qn_choices_free(&g->choices);
    void *const blocks[] = {g->tensors,         g->places, g->outputs, g->strings, g->tables,       g->whens,
                            g->plan.dispatches, g->arena,  g->slots,   g->times,   g->slot_buffers, g->decisions.items};
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

static qn_status check_shape(const qn_graph *g, const char *what, const char *name, qn_dtype dtype,
                             const qn_shape *shape)
{
    uint64_t most = g->plan.device->max_buffer_bytes;
    char text[96];
    if (shape->rank > QN_MAX_RANK)
        return qn_fail(QN_ERR_ARGUMENT, "%s %s: rank %u is over %d", what, name, shape->rank, QN_MAX_RANK);
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dim[i] == 0) return qn_fail(QN_ERR_ARGUMENT, "%s %s: dimension %u is 0", what, name, i);
    if (qn_state_bytes(dtype, shape) > most)
        return qn_fail(QN_ERR_LIMIT, "%s %s: %s is over the device's buffer limit of %llu bytes", what, name,
                       qn_shape_text(shape, text, sizeof text), (unsigned long long)most);
    return qn_ok();
}

static qn_status begin_when(qn_graph *g, qn_value integer)
{
    bool given = integer && integer < g->n_values && qn_graph_tensor(g, integer)->is_int &&
                 !qn_graph_place(g, integer)->computed;
    if (!given) return qn_fail(QN_ERR_ARGUMENT, "value %u is not an integer given to this graph", integer);
    QN_TRY(qn_grow(g->allocator, &g->whens, &g->when_capacity, g->n_whens + 1, sizeof(qn_when), "conditions"));
    ((qn_when *)g->whens)[g->n_whens++] = (qn_when){integer, g->when};
    g->when = (uint32_t)g->n_whens;
    return qn_ok();
}

void qn_graph_begin_when(qn_graph *g, qn_value integer)
{
    if (g->status.code == QN_OK) qn_graph_failed(g, begin_when(g, integer));
}

void qn_graph_end_when(qn_graph *g)
{
    if (g->status.code != QN_OK) return;
    if (g->when)
        g->when = qn_graph_when(g, g->when)->outer;
    else
        qn_graph_failed(g, qn_fail(QN_ERR_STATE, "no condition was begun"));
}

static qn_status check_dtype(qn_place_kind kind, const char *name, qn_dtype dtype, const qn_shape *shape)
{
    uint32_t unit = dtype == QN_F16 ? 8 : dtype == QN_Q8_0 ? 32 : 0;
    if (unit && kind == QN_PLACE_STATE) {
        if (shape->rank == 4 && shape->dim[3] % unit == 0) return qn_ok();
        return qn_fail(QN_ERR_ARGUMENT, "state %s: a cache of this type is [1, C, H, D] with D a multiple of %u", name,
                       unit);
    }
    if (dtype != QN_F32 && dtype != QN_I32) return qn_fail(QN_ERR_ARGUMENT, "%s: unknown dtype %d", name, (int)dtype);
    return qn_ok();
}

static qn_value add_tensor(qn_graph *g, qn_place_kind kind, const char *name, qn_dtype dtype, qn_shape shape)
{
    qn_value v = qn_graph_new_value(g, kind, name);
    if (!v) return 0;
    qn_status s = check_dtype(kind, name, dtype, &shape);
    if (s.code == QN_OK) s = check_shape(g, kind == QN_PLACE_INPUT ? "input" : "state", name, dtype, &shape);
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
    t->dtype = weight->is_i32 ? QN_I32 : QN_F32;
    t->max = t->live = weight->shape;
    return v;
}

qn_value qn_graph_const_int(qn_graph *g, int32_t number)
{
    qn_value v = qn_graph_new_value(g, QN_PLACE_INT, "constant");
    if (!v) return 0;
    qn_tensor *t = qn_graph_tensor(g, v);
    t->is_int = t->is_const = true;
    t->max_number = t->number = number;
    qn_graph_place(g, v)->is_set = true;
    return v;
}

void qn_graph_output(qn_graph *g, qn_value value, const char *name)
{
    if (g->status.code != QN_OK) return;
    bool tensor = value != 0 && value < g->n_values && !qn_graph_tensor(g, value)->is_int;
    if (tensor && qn_graph_tensor(g, value)->dtype > QN_I32) {
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "output %s is a cache of f16 or q8_0", name ? name : ""));
        return;
    }
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

void qn_graph_set_in_flight(qn_graph *g, uint32_t most)
{
    if (g->built) qn_graph_failed(g, qn_fail(QN_ERR_STATE, "the graph is built: its readbacks are made"));
    if (most == 0 || most > QN_MAX_IN_FLIGHT)
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "%u executions under way: 1..%d can be", most, QN_MAX_IN_FLIGHT));
    g->max_in_flight = most;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static qn_status check_inputs(const qn_graph *g, const qn_node_desc *d)
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
        uint32_t when = qn_graph_place(g, v)->when, here = g->when;
        while (here > when) here = qn_graph_when(g, here)->outer;
        if (here != when)
            return qn_fail(QN_ERR_ARGUMENT, "%s: input %u (%s) is computed only when %s is not 0", op, i,
                           qn_graph_tensor(g, v)->name, qn_graph_tensor(g, qn_graph_when(g, when)->integer)->name);
    }
    return qn_ok();
}

static qn_status add_output_values(qn_graph *g, const qn_node_desc *d, qn_node *n)
{
    n->n_outputs = d->no_output ? 0 : d->n_outputs ? d->n_outputs : 1;
    for (uint32_t i = 0; i < n->n_outputs; i++) {
        qn_place_kind kind = QN_PLACE_ACTIVATION;
        if (d->integer_output)
            kind = QN_PLACE_INT;
        else if (d->op == QN_OP_VIEW) /* a view of a constant is that constant */
            kind = qn_graph_place(g, d->inputs[0])->kind == QN_PLACE_WEIGHT ? QN_PLACE_WEIGHT : QN_PLACE_ALIAS;
        qn_value v = n->outputs[i] = qn_graph_new_value(g, kind, d->name);
        if (!v) return g->status;
        qn_graph_tensor(g, v)->is_int = d->integer_output;
        qn_graph_place(g, v)->is_set = d->integer_output; /* by its node, not by the caller */
        if (kind == QN_PLACE_ALIAS) qn_graph_place(g, v)->alias_of = d->inputs[0];
        if (kind == QN_PLACE_WEIGHT) qn_graph_tensor(g, v)->weight = qn_graph_tensor(g, d->inputs[0])->weight;
        qn_graph_place(g, v)->computed = true;
        qn_graph_place(g, v)->when = g->when;
    }
    return qn_ok();
}

static qn_status append_node(qn_graph *g, const qn_node_desc *d, qn_value *outputs)
{
    QN_TRY(check_inputs(g, d));
    QN_TRY(qn_grow(g->allocator, &g->nodes, &g->node_capacity, g->n_nodes + 1, sizeof(qn_node_state), "nodes"));
    qn_node_state *state = qn_graph_node(g, g->n_nodes);
    memset(state, 0, sizeof *state);
    state->when = g->when;
    qn_node *n = &state->node;
    n->op = d->op;
    n->n_inputs = d->n_inputs;
    memcpy(n->inputs, d->inputs, d->n_inputs * sizeof n->inputs[0]);
    n->attrs = d->attrs;
    QN_TRY(keep_string(g, d->name ? d->name : "", &n->name));
    QN_TRY(add_output_values(g, d, n));
    memcpy(outputs, n->outputs, sizeof n->outputs);
    g->n_nodes++;
    /* Planning at the maximum right away gives the outputs' shapes to the nodes that follow. */
    return qn_graph_plan_maximum(g, g->n_nodes - 1);
}

qn_value qn_graph_add_node(qn_graph *g, const qn_node_desc *d, qn_value outputs[QN_MAX_OUTPUTS])
{
    qn_value made[QN_MAX_OUTPUTS] = {0};
    if (g->status.code == QN_OK) qn_graph_failed(g, append_node(g, d, made));
    if (g->status.code != QN_OK) memset(made, 0, sizeof made);
    if (outputs) memcpy(outputs, made, sizeof made);
    return made[0];
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
    g->plan.decisions = NULL;
    if (g->built) trace_memory(g);
    return s;
}

size_t qn_graph_decisions(const qn_graph *g, qn_decision *decisions, size_t capacity)
{
    size_t n = g->decisions.n < capacity ? g->decisions.n : capacity;
    if (n) memcpy(decisions, g->decisions.items, n * sizeof *decisions);
    return g->decisions.n;
}
