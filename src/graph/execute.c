/* execute.c - running a built graph: plan what changed, upload, record, submit, read back. */
#include "base/clock.h"
#include "graph/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- inputs ---------------------------------------------------------------------------------- */

static qn_status check_runnable(const qn_graph *g)
{
    QN_TRY(g->status);
    if (!g->built) return qn_fail(QN_ERR_STATE, "the graph is not built yet");
    return qn_gpu_check_lost(g->engine->gpu);
}

static qn_status check_live(const qn_tensor *t, const qn_shape *live)
{
    char a[128], b[128];
    if (live->rank != t->max.rank)
        return qn_fail(QN_ERR_ARGUMENT, "input %s: live shape %s has rank %u, the graph was built for %s", t->name,
                       qn_shape_text(live, a, sizeof a), live->rank, qn_shape_text(&t->max, b, sizeof b));
    for (uint32_t i = 0; i < live->rank; i++)
        if (live->dim[i] == 0 || live->dim[i] > t->max.dim[i])
            return qn_fail(QN_ERR_ARGUMENT, "input %s: dimension %u of live shape %s is %s (maximum %s)", t->name, i,
                           qn_shape_text(live, a, sizeof a), live->dim[i] ? "beyond the maximum" : "zero",
                           qn_shape_text(&t->max, b, sizeof b));
    return qn_ok();
}

static qn_status check_input(const qn_graph *g, qn_value input, const qn_shape *live)
{
    QN_TRY(check_runnable(g));
    if (input == 0 || input >= g->n_values || qn_graph_place(g, input)->kind != QN_PLACE_INPUT)
        return qn_fail(QN_ERR_ARGUMENT, "value %u is not an input of this graph", input);
    const qn_tensor *t = qn_graph_tensor(g, input);
    if (live->rank > QN_MAX_RANK)
        return qn_fail(QN_ERR_ARGUMENT, "input %s: rank %u is over %d", t->name, live->rank, QN_MAX_RANK);
    return check_live(t, live);
}

static void set_live(qn_graph *g, qn_value input, qn_shape live, bool new_numbers)
{
    qn_tensor *t = qn_graph_tensor(g, input);
    qn_place *place = qn_graph_place(g, input);
    if (place->is_set && !new_numbers && qn_shape_equal(&t->live, &live)) return;
    t->live = live;
    place->changed_at = ++g->stamp;
    place->is_set = true;
}

qn_status qn_graph_set_input(qn_graph *g, qn_value input, qn_shape live, const void *data)
{
    QN_TRY(check_input(g, input, &live));
    const qn_place *place = qn_graph_place(g, input);
    if (!data) return qn_fail(QN_ERR_ARGUMENT, "input %s: no data", qn_graph_tensor(g, input)->name);
    size_t bytes = (size_t)qn_shape_count(&live) * 4;
    QN_TRY(qn_buffer_write(place->buffer, 0, data, bytes));
    bool new_numbers = place->host && memcmp(place->host, data, bytes) != 0;
    if (new_numbers) memcpy(place->host, data, bytes);
    set_live(g, input, live, new_numbers);
    return qn_ok();
}

qn_status qn_graph_set_live(qn_graph *g, qn_value input, qn_shape live)
{
    QN_TRY(check_input(g, input, &live));
    if (qn_graph_place(g, input)->host)
        return qn_fail(QN_ERR_ARGUMENT, "input %s: integers are read from it, so its data must be given",
                       qn_graph_tensor(g, input)->name);
    set_live(g, input, live, false);
    return qn_ok();
}

qn_status qn_graph_set_int(qn_graph *g, qn_value value, int64_t number)
{
    QN_TRY(check_runnable(g));
    if (value == 0 || value >= g->n_values || !qn_graph_tensor(g, value)->is_int)
        return qn_fail(QN_ERR_ARGUMENT, "value %u is not an integer of this graph", value);
    qn_tensor *t = qn_graph_tensor(g, value);
    qn_place *place = qn_graph_place(g, value);
    if (place->computed || t->is_const)
        return qn_fail(QN_ERR_ARGUMENT, "integer %s is %s by the graph itself", t->name,
                       t->is_const ? "fixed" : "computed");
    if (number < 0 || number > t->max_number)
        return qn_fail(QN_ERR_ARGUMENT, "integer %s: %" PRId64 " is outside 0..%" PRId64, t->name, number,
                       t->max_number);
    if (!place->is_set || t->number != number) {
        t->number = number;
        place->changed_at = ++g->stamp;
        place->is_set = true;
    }
    return qn_ok();
}

static qn_output *find_output(const qn_graph *g, qn_value value)
{
    for (size_t i = 0; i < g->n_outputs; i++)
        if (qn_graph_output_at(g, i)->value == value) return qn_graph_output_at(g, i);
    return NULL;
}

qn_status qn_graph_want(qn_graph *g, qn_value output, bool wanted)
{
    qn_output *out = find_output(g, output);
    if (!out) return qn_fail(QN_ERR_ARGUMENT, "value %u is not an output of this graph", output);
    if (out->wanted != wanted) g->stamp++; /* what is encoded already reads back something else */
    out->wanted = wanted;
    return qn_ok();
}

/* ---- planning at the live shapes ------------------------------------------------------------- */

/* The integer whose 0 keeps what was added under this condition out of the next execution; 0: it takes part. */
static qn_value kept_out_by(const qn_graph *g, uint32_t condition)
{
    for (const qn_when *w = qn_graph_when(g, condition); w; w = qn_graph_when(g, w->outer))
        if (qn_graph_tensor(g, w->integer)->number == 0) return w->integer;
    return 0;
}

static bool needs_plan(const qn_graph *g, const qn_node_state *n)
{
    if (n->planned_at == 0) return true;
    for (uint32_t i = 0; i < n->node.n_inputs; i++)
        if (n->node.inputs[i] && qn_graph_place(g, n->node.inputs[i])->changed_at > n->planned_at) return true;
    return false;
}

/* Writes the planned dispatches of a node into its slots. */
static qn_status take_dispatches(qn_graph *g, qn_node_state *n)
{
    const qn_plan *p = &g->plan;
    if (p->n_dispatches > n->n_slots)
        return qn_fail(QN_ERR_INTERNAL, "%s (%s): %zu dispatches, %u planned at build", qn_ops[n->node.op].name,
                       n->node.name, p->n_dispatches, n->n_slots);
    for (size_t i = 0; i < p->n_dispatches; i++) {
        const qn_dispatch *d = &p->dispatches[i];
        qn_slot *slot = &g->slots[n->first_slot + i];
        slot->variant = qn_graph_find_variant(n, d, slot->variant);
        if (!slot->variant)
            return qn_fail(QN_ERR_INTERNAL, "%s (%s): kernel %s was not prepared at build", qn_ops[n->node.op].name,
                           n->node.name, d->row->name);
        slot->n_params = d->n_params;
        slot->flops = d->flops;
        slot->bytes = d->bytes;
        memcpy(slot->grid, d->grid, sizeof slot->grid);
        uint8_t *at = g->arena + (size_t)(n->first_slot + i) * QN_PARAM_SLOT;
        memcpy(at, d->params, d->n_params * sizeof d->params[0]);
    }
    n->n_live = (uint32_t)p->n_dispatches;
    return qn_ok();
}

static qn_status plan_live(qn_graph *g, qn_node_state *n)
{
    qn_tensor before[QN_MAX_OUTPUTS];
    for (uint32_t i = 0; i < n->node.n_outputs; i++) before[i] = *qn_graph_tensor(g, n->node.outputs[i]);
    g->plan.tensors = g->tensors;
    QN_TRY(qn_plan_node(&g->plan, &n->node));
    for (uint32_t k = 0; k < QN_MAX_SCRATCH; k++)
        if (g->plan.scratch[k] > n->scratch_bytes[k])
            return qn_fail(QN_ERR_INTERNAL, "%s (%s): needs %llu bytes of scratch, %llu were placed",
                           qn_ops[n->node.op].name, n->node.name, (unsigned long long)g->plan.scratch[k],
                           (unsigned long long)n->scratch_bytes[k]);
    QN_TRY(take_dispatches(g, n));
    bool first = n->planned_at == 0;
    n->planned_at = ++g->stamp;
    for (uint32_t i = 0; i < n->node.n_outputs; i++) {
        qn_value out = n->node.outputs[i];
        const qn_tensor *t = qn_graph_tensor(g, out);
        if (first || !qn_shape_equal(&before[i].live, &t->live) || before[i].number != t->number)
            qn_graph_place(g, out)->changed_at = ++g->stamp;
    }
    g->next.nodes_planned++;
    return qn_ok();
}

/* Plans the nodes whose shapes or integers changed and notes which slots must be uploaded. */
static qn_status plan_changed(qn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        qn_node_state *n = qn_graph_node(g, i);
        if (kept_out_by(g, n->when)) {
            n->planned_at = n->n_live = 0;
            continue;
        }
        if (!needs_plan(g, n)) continue;
        qn_status s = plan_live(g, n);
        if (s.code != QN_OK) {
            n->planned_at = 0; /* its slots and shapes are of no use: plan it again next time */
            return s;
        }
        if (n->n_live == 0) continue;
        if (n->first_slot < g->dirty_low) g->dirty_low = n->first_slot;
        if (n->first_slot + n->n_live > g->dirty_high) g->dirty_high = n->first_slot + n->n_live;
    }
    return qn_ok();
}

static qn_status upload_params(qn_graph *g)
{
    if (g->dirty_low >= g->dirty_high) return qn_ok();
    uint64_t offset = (uint64_t)g->dirty_low * QN_PARAM_SLOT;
    uint64_t bytes = (uint64_t)(g->dirty_high - g->dirty_low) * QN_PARAM_SLOT;
    QN_TRY(qn_buffer_write(g->params, offset, g->arena + offset, bytes));
    g->next.param_bytes_uploaded = bytes;
    g->dirty_low = UINT32_MAX;
    g->dirty_high = 0;
    return qn_ok();
}

/* ---- submit and read back -------------------------------------------------------------------- */

static void trace_dispatch(const qn_graph *g, const qn_node_state *n, uint32_t index)
{
    const qn_slot *slot = &g->slots[index];
    const uint8_t *at = g->arena + (size_t)index * QN_PARAM_SLOT;
    char params[QN_MAX_PARAMS * 12] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < slot->n_params; i++) {
        uint32_t value;
        memcpy(&value, at + i * sizeof value, sizeof value);
        int written = snprintf(params + used, sizeof params - used, " %" PRIu32, value);
        used += written > 0 ? (size_t)written : 0;
    }
    qn_log_line(&g->engine->log, QN_LOG_DEBUG, "%-20s %-24s grid %u,%u,%u  %s, parameters%s", slot->variant->row->name,
                n->node.name, slot->grid[0], slot->grid[1], slot->grid[2], qn_ops[n->node.op].name, params);
}

/* A GPU with nothing to do gets the first dispatches at once, and works while the rest is recorded: in parts that grow,
 * since each costs a submit, but not so fast that the GPU waits for one. A graph of few dispatches is recorded too fast
 * for that. */
enum { FIRST_PART = 16, GROWTH = 4, LEAST_IN_PARTS = 32 };

/* The marks of a profile belong to one submit, and a software device computes in it. */
static bool goes_in_parts(const qn_graph *g)
{
    return g->n_in_flight == 0 && !g->profile && qn_gpu_info(g->engine->gpu)->type != QN_ADAPTER_SOFTWARE &&
           qn_graph_n_dispatches(g) >= LEAST_IN_PARTS;
}

static qn_status send_part(qn_graph *g)
{
    QN_TRY(qn_encoder_submit(g->encoder));
    g->next.submits++;
    return qn_encoder_begin(g->encoder, QN_TIME_NOTHING);
}

static qn_status encode_dispatches(qn_graph *g, bool in_parts)
{
    uint32_t part = in_parts ? FIRST_PART : UINT32_MAX, end = part; /* dispatches of this part; where it ends */
    for (size_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *n = qn_graph_node(g, i);
        for (uint32_t k = 0; k < n->n_live; k++) {
            const qn_slot *slot = &g->slots[n->first_slot + k];
            if (g->next.dispatches == end) {
                QN_TRY(send_part(g));
                end += part *= GROWTH;
            }
            if (g->engine->trace) trace_dispatch(g, n, n->first_slot + k);
            g->next.dispatches++;
            qn_encoder_dispatch(g->encoder, slot->variant->kernel, slot->variant->bindings,
                                (n->first_slot + k) * QN_PARAM_SLOT, slot->grid);
        }
    }
    return qn_ok();
}

/* The execution that is encoded or will be; the one whose outputs were taken. */
static uint32_t next_flight(const qn_graph *g)
{
    return (g->oldest + g->n_in_flight) % QN_FLIGHTS;
}

static uint32_t taken_flight(const qn_graph *g)
{
    return (g->oldest + QN_FLIGHTS - 1) % QN_FLIGHTS;
}

/* Gives the wanted outputs' live bytes places, in one row, in the readback that they fit. */
static qn_status place_outputs(qn_graph *g)
{
    uint32_t next = next_flight(g);
    qn_flight *flight = &g->flights[next];
    uint64_t end = 0;
    for (size_t i = 0; i < g->n_outputs; i++) {
        const qn_output *out = qn_graph_output_at(g, i);
        qn_output_part *part = &qn_graph_output_at(g, i)->parts[next];
        *part = (qn_output_part){.offset = end};
        if (!out->wanted) continue;
        qn_value by = kept_out_by(g, qn_graph_place(g, out->value)->when);
        if (by)
            return qn_fail(QN_ERR_STATE, "output %s is wanted, but computed only when %s is not 0",
                           qn_graph_tensor(g, out->value)->name, qn_graph_tensor(g, by)->name);
        part->live = qn_graph_tensor(g, out->value)->live;
        part->bytes = qn_shape_count(&part->live) * 4;
        end += qn_round_up_u64(part->bytes, 16);
    }
    flight->bytes = end;
    flight->readback = g->small[next] && end <= QN_SMALL_READBACK ? g->small[next] : g->readback;
    return qn_ok();
}

static void encode_readback(qn_graph *g)
{
    uint32_t next = next_flight(g);
    for (size_t i = 0; i < g->n_outputs; i++) {
        const qn_output *out = qn_graph_output_at(g, i);
        const qn_output_part *part = &out->parts[next];
        const qn_place *place = qn_graph_place(g, qn_graph_root(g, out->value));
        if (part->bytes)
            qn_encoder_copy_readback(g->encoder, place->buffer, 0, g->flights[next].readback, part->offset,
                                     part->bytes);
    }
}

static qn_status check_inputs_set(const qn_graph *g)
{
    for (qn_value v = 1; v < g->n_values; v++) {
        const qn_place *place = qn_graph_place(g, v);
        const qn_tensor *t = qn_graph_tensor(g, v);
        if ((place->kind == QN_PLACE_INPUT || t->is_int) && !place->is_set)
            return qn_fail(QN_ERR_STATE, "%s %s was not set", t->is_int ? "integer" : "input", t->name);
    }
    return qn_ok();
}

/* By the whole engine: another thread's objects count too. */
static uint64_t objects_made(const qn_graph *g)
{
    qn_gpu_counts c = qn_gpu_get_counts(g->engine->gpu);
    return c.buffers + c.kernels + c.bindings;
}

/* What can be refused is refused before anything is sent. */
static qn_status record(qn_graph *g, bool sending)
{
    uint64_t start = qn_clock_ns();
    QN_TRY(plan_changed(g));
    QN_TRY(place_outputs(g));
    uint64_t planned = qn_clock_ns();
    QN_TRY(upload_params(g));
    QN_TRY(qn_encoder_begin(g->encoder, (qn_timing)g->profile));
    QN_TRY(encode_dispatches(g, sending && goes_in_parts(g)));
    encode_readback(g);
    QN_TRY(qn_encoder_finish(g->encoder));
    g->next.plan_ns = (double)(planned - start);
    g->next.encode_ns = (double)(qn_clock_ns() - planned);
    return qn_ok();
}

/* Plans what changed, uploads its parameters and records the pass; sending: parts of it may be sent already. The
 * parameters go over in the order of submits, so that an execution under way still reads its own. */
static qn_status encode(qn_graph *g, bool sending)
{
    uint64_t objects = objects_made(g);
    uint32_t passes = qn_encoder_get_counts(g->encoder).passes;
    g->next = (qn_execute_counts){0};
    qn_status s = record(g, sending);
    if (s.code != QN_OK) qn_encoder_abort(g->encoder);
    g->next.objects_made = objects_made(g) - objects;
    g->next.passes = qn_encoder_get_counts(g->encoder).passes - passes;
    g->prepared = s.code == QN_OK;
    g->prepared_at = g->stamp;
    return s;
}

static bool is_prepared(const qn_graph *g)
{
    return g->prepared && g->prepared_at == g->stamp;
}

/* Sends what is encoded, or the rest of it. */
static qn_status send(qn_graph *g)
{
    uint64_t objects = objects_made(g);
    qn_flight *flight = &g->flights[next_flight(g)];
    g->prepared = false;
    g->counts = g->next;
    QN_TRY(qn_encoder_submit(g->encoder));
    g->counts.submits++;
    flight->submission = qn_encoder_submission(g->encoder);
    if (flight->bytes) QN_TRY(qn_readback_start(flight->readback, flight->bytes));
    g->n_in_flight++;
    g->counts.objects_made += objects_made(g) - objects;
    return qn_ok();
}

static void release_taken(qn_graph *g)
{
    if (g->readback_data) qn_readback_release(g->flights[taken_flight(g)].readback);
    g->readback_data = NULL;
}

/* The oldest execution is over, and the place of the one before it free. */
static void land(qn_graph *g)
{
    release_taken(g);
    g->oldest = (g->oldest + 1) % QN_FLIGHTS;
    g->n_in_flight--;
}

/* Large outputs have one readback: only one execution under way may have such. */
static bool readback_is_busy(const qn_graph *g)
{
    const qn_flight *next = &g->flights[next_flight(g)];
    for (uint32_t i = 0; next->bytes && i < g->n_in_flight; i++) {
        const qn_flight *f = &g->flights[(g->oldest + i) % QN_FLIGHTS];
        if (f->bytes && f->readback == next->readback) return true;
    }
    return false;
}

uint32_t qn_graph_in_flight(const qn_graph *g)
{
    return g->n_in_flight;
}

uint32_t qn_graph_room(const qn_graph *g)
{
    uint32_t most = g->profile ? 1 : g->max_in_flight; /* there is one set of timestamps */
    return g->n_in_flight < most ? most - g->n_in_flight : 0;
}

qn_status qn_graph_prepare(qn_graph *g)
{
    QN_TRY(check_runnable(g));
    if (g->profile) return qn_ok(); /* the timings of the last submit are still to be read */
    QN_TRY(check_inputs_set(g));
    return is_prepared(g) ? qn_ok() : encode(g, false);
}

qn_status qn_graph_submit(qn_graph *g)
{
    QN_TRY(check_runnable(g));
    uint32_t most = g->profile ? 1 : g->max_in_flight; /* there is one set of timestamps */
    if (g->n_in_flight >= most) return qn_fail(QN_ERR_STATE, "the last submit is still running: poll until it is done");
    QN_TRY(check_inputs_set(g));
    release_taken(g);
    g->counts = (qn_execute_counts){0};
    if (!is_prepared(g)) QN_TRY(encode(g, true));
    if (readback_is_busy(g))
        return qn_fail(QN_ERR_STATE, "outputs of a submit that is still running are in the way: poll until it is done");
    return send(g);
}

/* Spreads the timings of a profiled submit over its dispatches. */
static qn_status take_timings(qn_graph *g, bool *done)
{
    uint32_t n = 0, at = 0;
    QN_TRY(qn_encoder_timestamps(g->encoder, g->times, g->n_slots, &n, done));
    if (!*done || n == 0) return qn_ok();
    g->gpu_ns = 0;
    for (uint32_t i = 0; i < n; i++) g->gpu_ns += g->times[i];
    if (g->profile == QN_PROFILE_TOTAL) return qn_ok();
    for (size_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *node = qn_graph_node(g, i);
        for (uint32_t k = 0; k < node->n_live; k++, at++)
            g->slots[node->first_slot + k].gpu_ns = at < n ? g->times[at] : 0.0;
    }
    return qn_ok();
}

/* The oldest execution's outputs, or, where none is read back, the end of its work. */
static qn_status poll_oldest(qn_graph *g, const void **data, bool *done)
{
    const qn_flight *flight = &g->flights[g->oldest];
    *data = NULL;
    if (flight->bytes == 0) return qn_submission_poll(g->engine->gpu, flight->submission, done);
    QN_TRY(qn_readback_poll(flight->readback, data));
    *done = *data != NULL;
    return qn_ok();
}

qn_status qn_graph_poll(qn_graph *g, bool *done)
{
    *done = false;
    QN_TRY(check_runnable(g));
    if (g->n_in_flight == 0) {
        *done = true;
        return qn_ok();
    }
    const void *data;
    bool there = false;
    qn_status s = poll_oldest(g, &data, &there);
    if (s.code == QN_OK && there && g->profile) s = take_timings(g, &there);
    if (s.code == QN_OK && !there) return s;
    land(g);
    const qn_flight *landed = &g->flights[taken_flight(g)];
    if (s.code != QN_OK && landed->bytes) qn_readback_release(landed->readback); /* else it would stay mapped */
    if (s.code == QN_OK) g->readback_data = data;
    *done = s.code == QN_OK;
    return s;
}

const void *qn_graph_output_data(qn_graph *g, qn_value output, qn_shape *live)
{
    const qn_output *out = find_output(g, output);
    const qn_output_part *part = out ? &out->parts[taken_flight(g)] : NULL;
    if (!g->readback_data || !part || part->bytes == 0) return NULL;
    if (live) *live = part->live;
    return g->readback_data + part->offset;
}

qn_shape qn_graph_live_shape(const qn_graph *g, qn_value value)
{
    return value < g->n_values ? qn_graph_tensor(g, value)->live : (qn_shape){0};
}

/* ---- states ---------------------------------------------------------------------------------- */

static qn_status check_state(const qn_graph *g, qn_value state)
{
    QN_TRY(check_runnable(g));
    if (state == 0 || state >= g->n_values || qn_graph_place(g, state)->kind != QN_PLACE_STATE)
        return qn_fail(QN_ERR_ARGUMENT, "value %u is not a state of this graph", state);
    return qn_ok();
}

qn_status qn_graph_write_state(qn_graph *g, qn_value state, const void *data)
{
    QN_TRY(check_state(g, state));
    qn_buffer *buffer = qn_graph_place(g, state)->buffer;
    if (!data) return qn_buffer_clear(buffer);
    const qn_tensor *t = qn_graph_tensor(g, state);
    return qn_buffer_write(buffer, 0, data, qn_state_bytes(t->dtype, &t->max));
}

#ifndef QN_NO_BLOCKING
qn_status qn_graph_wait(qn_graph *g)
{
    QN_TRY(check_runnable(g));
    if (g->n_in_flight == 0) return qn_ok();
    return qn_submission_wait(g->engine->gpu, g->flights[g->oldest].submission);
}

qn_status qn_graph_execute(qn_graph *g)
{
    QN_TRY(qn_graph_submit(g));
    bool done = false;
    while (!done) {
        QN_TRY(qn_graph_wait(g));
        QN_TRY(qn_graph_poll(g, &done));
    }
    return qn_ok();
}

qn_status qn_graph_read_state(qn_graph *g, qn_value state, void *data)
{
    QN_TRY(check_state(g, state));
    const qn_tensor *t = qn_graph_tensor(g, state);
    return qn_buffer_read(qn_graph_place(g, state)->buffer, 0, data, qn_state_bytes(t->dtype, &t->max));
}
#endif
