/* translate.c - builds the graph of a delegate: inputs, one operator after another, outputs. */
#include "program/translate.h"

#include <stdio.h>
#include <string.h>

#define QN_OPERATOR(name, function, variant, min_args, writes) qn_status function(const qn_call *c);
#include "program/operators.def"
#undef QN_OPERATOR

static const qn_operator_row rows[] = {
#define QN_OPERATOR(name, function, variant, min_args, writes) {name, function, variant, min_args, writes},
#include "program/operators.def"
#undef QN_OPERATOR
};

static const qn_operator_row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

bool qn_translates(const char *name)
{
    return find_row(name) != NULL;
}

/* Inputs or outputs of a delegate. */
enum { MAX_SLOTS = 1024 };

/* ---- inputs and outputs ---------------------------------------------------------------------- */

static qn_status add_input(qn_translator *t, uint32_t i)
{
    uint32_t id = qn_fb_u32_at(&t->vk->input_ids, i);
    const qn_vk_value *v = &t->vk->values[id];
    char name[32], what[48];
    snprintf(name, sizeof name, "input %u", i);
    if (v->kind != QN_VK_TENSOR) return qn_fail(QN_ERR_UNSUPPORTED, "%s of the delegate is no tensor", name);
    qn_dtype dtype = QN_F32;
    snprintf(what, sizeof what, "%s of the delegate", name);
    QN_TRY(qn_graph_dtype(v->u.tensor.dtype, what, &dtype));
    qn_translated *known = &t->values[id];
    if (!known->value) known->value = qn_graph_input(t->g, name, dtype, v->u.tensor.shape);
    t->delegate->inputs[i] = (qn_delegate_slot){.value = known->value};
    return qn_graph_status(t->g);
}

static qn_status add_output(qn_translator *t, uint32_t i)
{
    uint32_t id = qn_fb_u32_at(&t->vk->output_ids, i);
    const qn_vk_value *v = &t->vk->values[id];
    if (v->kind != QN_VK_TENSOR) return qn_fail(QN_ERR_UNSUPPORTED, "output %u of the delegate is no tensor", i);
    qn_delegate_slot *out = &t->delegate->outputs[i];
    const qn_translated *known = &t->values[id];
    *out = (qn_delegate_slot){.value = known->value};
    if (!out->value && known->dummy) return qn_ok(); /* it stays without a value, and its data zero */
    if (!out->value) {
        qn_status s = qn_translate_tensor(t, id, &out->value);
        if (s.code != QN_OK) return qn_in(s, "output %u of the delegate", i);
    }
    if (qn_graph_place(t->g, qn_graph_root(t->g, out->value))->kind == QN_PLACE_WEIGHT)
        out->value = qn_copy(t->g, out->value); /* a constant: graphs only give what they compute */
    for (uint32_t k = 0; k < i; k++)
        if (t->delegate->outputs[k].value == out->value) return qn_ok(); /* one value, two outputs */
    char name[32];
    snprintf(name, sizeof name, "output %u", i);
    qn_graph_output(t->g, out->value, name);
    return qn_graph_status(t->g);
}

/* ---- operators ------------------------------------------------------------------------------- */

/* Which values operators write: their constants are states, and views of them copies. */
static qn_status note_written(qn_translator *t)
{
    for (uint32_t i = 0; i < t->vk->n_ops; i++) {
        const qn_vk_op *op = &t->vk->ops[i];
        const qn_operator_row *row = find_row(op->name);
        if (!row) return qn_fail(QN_ERR_UNSUPPORTED, "the operator %s is not supported", op->name);
        if (op->args.count < row->min_args)
            return qn_fail(QN_ERR_FORMAT, "%s (node %u) has %u arguments, at least %u are needed", op->name,
                           op->node_id, op->args.count, row->min_args);
        for (uint32_t k = 0; k < row->min_args; k++)
            if (row->writes >> k & 1) t->values[qn_fb_i32_at(&op->args, k)].written = true;
    }
    return qn_ok();
}

static qn_status translate_all(qn_translator *t, size_t max_nodes)
{
    QN_TRY(note_written(t));
    for (uint32_t i = 0; i < t->vk->input_ids.count; i++) QN_TRY(add_input(t, i));
    for (uint32_t i = 0; i < t->vk->n_ops; i++) {
        qn_call c = {t, &t->vk->ops[i], find_row(t->vk->ops[i].name)};
        QN_TRY(c.row->translate(&c));
        qn_status s = qn_graph_status(t->g);
        if (s.code != QN_OK) return qn_call_fail(&c, s.code, "%s", s.text);
        if (t->g->n_nodes > max_nodes) return qn_fail(QN_ERR_LIMIT, "the program has too many operators");
    }
    for (uint32_t i = 0; i < t->vk->output_ids.count; i++) QN_TRY(add_output(t, i));
    return qn_graph_build(t->g);
}

static qn_status make_slots(const qn_allocator *a, uint32_t n, qn_delegate_slot **slots)
{
    void *p;
    QN_TRY(qn_alloc(a, n, sizeof(qn_delegate_slot), "slots of a delegate", &p));
    *slots = p;
    return qn_ok();
}

qn_status qn_translate(qn_engine *engine, const qn_device_info *device, const qn_pte *pte, size_t max_nodes,
                       qn_delegate *delegate)
{
    qn_delegate *d = delegate;
    if (engine)
        QN_TRY(qn_graph_open(engine, &d->graph));
    else
        QN_TRY(qn_graph_open_dry(d->allocator, device, &d->graph));
    qn_translator t = {.engine = engine,
                       .device = device,
                       .allocator = d->allocator,
                       .pte = pte,
                       .delegate = d,
                       .vk = d->vk,
                       .g = d->graph};
    void *values = NULL;
    if (d->vk->input_ids.count > MAX_SLOTS || d->vk->output_ids.count > MAX_SLOTS)
        return qn_fail(QN_ERR_LIMIT, "a delegate has %u inputs and %u outputs; at most %d are supported",
                       d->vk->input_ids.count, d->vk->output_ids.count, MAX_SLOTS);
    QN_TRY(make_slots(d->allocator, d->vk->input_ids.count, &d->inputs));
    QN_TRY(make_slots(d->allocator, d->vk->output_ids.count, &d->outputs));
    QN_TRY(qn_alloc(d->allocator, d->vk->n_values, sizeof(qn_translated), "values of a delegate", &values));
    t.values = values;
    qn_status s = translate_all(&t, max_nodes);
    qn_upload_free(t.upload);
    qn_free(d->allocator, values);
    qn_free(d->allocator, t.made);
    if (s.code == QN_OK && engine) s = qn_delegate_reset(d);
    return s;
}

/* ---- delegates ------------------------------------------------------------------------------- */

qn_status qn_delegate_reset(qn_delegate *delegate)
{
    const qn_delegate_state *states = delegate->states;
    for (size_t i = 0; i < delegate->n_states; i++)
        QN_TRY(qn_graph_write_state(delegate->graph, states[i].value, states[i].data));
    return qn_ok();
}

void qn_delegate_close(qn_delegate *delegate)
{
    qn_delegate *d = delegate;
    if (!d->allocator) return;
    qn_graph_close(d->graph);
    for (size_t i = 0; i < d->n_weights; i++) qn_weight_free(((qn_weight **)d->weights)[i]);
    qn_free(d->allocator, d->weights);
    qn_free(d->allocator, d->states);
    for (uint32_t i = 0; d->inputs && i < d->vk->input_ids.count; i++) qn_free(d->allocator, d->inputs[i].words);
    qn_free(d->allocator, d->inputs);
    qn_free(d->allocator, d->outputs);
    qn_vk_graph_close(d->vk);
    *d = (qn_delegate){.allocator = NULL};
}
