/* execute.c - a call of a method: one instruction after another, without blocking. */
#include "base/memory.h"
#include "program/program.h"

#include <string.h>

static const qn_pte_chain *chain_of(const qn_method *m)
{
    static const qn_pte_chain none = {0};
    return m->pte->n_chains ? &m->pte->chains[0] : &none;
}

static uint32_t arg(const qn_fb_vector *args, uint32_t i)
{
    return (uint32_t)qn_fb_i32_at(args, i);
}

/* ---- preparing ------------------------------------------------------------------------------- */

static qn_status check_slot(const qn_method *m, const qn_delegate *d, const qn_delegate_slot *slot, uint32_t value,
                            const char *what)
{
    const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
    if (!t) return qn_fail(QN_ERR_UNSUPPORTED, "value %u, %s of a delegate, is no tensor", value, what);
    char a[96], b[96];
    if (t->dynamism == QN_PTE_DYNAMIC_UNBOUND)
        return qn_fail(QN_ERR_UNSUPPORTED, "value %u, %s of a delegate, has no upper bound", value, what);
    if (!qn_is_row_major(t))
        return qn_fail(QN_ERR_UNSUPPORTED, "value %u, %s of a delegate, is not row-major (channels last?)", value,
                       what);
    if (!slot->value) return qn_ok();
    const qn_tensor *g = qn_graph_tensor(d->graph, slot->value);
    if (!qn_shape_equal(&t->shape, &g->max))
        return qn_fail(QN_ERR_FORMAT, "value %u, %s of a delegate, is %s there and %s in the method", value, what,
                       qn_shape_text(&g->max, a, sizeof a), qn_shape_text(&t->shape, b, sizeof b));
    if (!qn_scalar_fits((qn_scalar)t->scalar_type, g->dtype))
        return qn_fail(QN_ERR_UNSUPPORTED, "value %u, %s of a delegate, has the element type %s, which cannot be %s",
                       value, what, qn_scalar_name((qn_scalar)t->scalar_type), g->dtype == QN_F32 ? "f32" : "i32");
    return qn_ok();
}

static qn_status prepare_delegate(qn_program *p, qn_method *m, const qn_pte_instruction *in)
{
    qn_delegate *d = &m->delegates[in->index];
    uint32_t n_in = d->vk->input_ids.count, n_out = d->vk->output_ids.count;
    if (d->called) return qn_fail(QN_ERR_UNSUPPORTED, "delegate %u is called twice", in->index);
    d->called = true;
    if (in->args.count != n_in + n_out)
        return qn_fail(QN_ERR_FORMAT, "a delegate with %u inputs and %u outputs is called with %u values", n_in, n_out,
                       in->args.count);
    for (uint32_t i = 0; i < n_in; i++) {
        uint32_t value = arg(&in->args, i);
        QN_TRY(check_slot(m, d, &d->inputs[i], value, "an input"));
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
        if (qn_scalar_is_direct((qn_scalar)t->scalar_type)) continue;
        void *words;
        QN_TRY(qn_alloc(&p->allocator, (size_t)qn_shape_count(&t->shape), 4, "input of a delegate", &words));
        d->inputs[i].words = words;
    }
    for (uint32_t i = 0; i < n_out; i++) {
        uint32_t value = arg(&in->args, n_in + i);
        QN_TRY(check_slot(m, d, &d->outputs[i], value, "an output"));
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
        if (!d->outputs[i].value || !qn_scalar_is_direct((qn_scalar)t->scalar_type)) QN_TRY(qn_cell_own(p, m, value));
    }
    return qn_ok();
}

static qn_status prepare_kernel(qn_program *p, qn_method *m, const qn_pte_instruction *in)
{
    qn_cpu_call call = {p, m, &m->pte->operators[in->index], in->args};
    QN_TRY(qn_cpu_check(&call));
    return qn_cell_own(p, m, arg(&in->args, in->args.count - 1));
}

/* Which values are read after the first instruction, or by a kernel, or by the caller: inputs among them are copied. */
static void note_needed(qn_method *m)
{
    const qn_pte_chain *chain = chain_of(m);
    for (uint32_t i = 0; i < chain->n_instructions; i++) {
        const qn_pte_instruction *in = &chain->instructions[i];
        bool kernel = in->kind == QN_PTE_KERNEL_CALL;
        uint32_t n = kernel ? in->args.count - 1 : m->delegates[in->index].vk->input_ids.count;
        for (uint32_t k = 0; k < n; k++) {
            qn_cell *cell = &m->cells[arg(&in->args, k)];
            cell->needed |= kernel || i > 0;
            cell->read |= i > 0;
        }
    }
    for (uint32_t i = 0; i < m->pte->outputs.count; i++) {
        uint32_t value = arg(&m->pte->outputs, i);
        if (m->pte->values[value].kind == QN_PTE_TENSOR) m->cells[value].needed = true;
    }
}

/* First contents of tensors that the file has data for. */
static qn_status load_kept(qn_program *p, qn_method *m)
{
    for (uint32_t v = 0; v < m->pte->n_values; v++) {
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, v);
        qn_cell *cell = &m->cells[v];
        qn_bytes bytes = {0};
        if (!t) continue;
        QN_TRY(qn_pte_tensor_data(p->pte, t, &bytes));
        if (!bytes.data) continue;
        cell->live = t->shape;
        cell->stable = !t->planned;
        cell->kept = t->planned;
        cell->data = bytes.data;
        if (!t->planned) continue;
        QN_TRY(qn_cell_own(p, m, v));
        memcpy(cell->own, bytes.data, (size_t)(qn_shape_count(&t->shape) * qn_scalar_bytes((qn_scalar)t->scalar_type)));
        cell->data = cell->own;
    }
    return qn_ok();
}

/* Every value that an instruction reads is an input, has data in the file, or comes from an instruction before. */
static qn_status check_order(qn_program *p, qn_method *m)
{
    const qn_pte_chain *chain = chain_of(m);
    void *block;
    QN_TRY(qn_alloc(&p->allocator, m->pte->n_values, sizeof(bool), "values of a method", &block));
    bool *given = block;
    qn_status s = qn_ok();
    for (uint32_t v = 0; v < m->pte->n_values; v++) given[v] = m->cells[v].data != NULL;
    for (uint32_t i = 0; i < m->pte->inputs.count; i++) given[arg(&m->pte->inputs, i)] = true;
    for (uint32_t i = 0; i < chain->n_instructions && s.code == QN_OK; i++) {
        const qn_pte_instruction *in = &chain->instructions[i];
        bool kernel = in->kind == QN_PTE_KERNEL_CALL;
        uint32_t n_in = kernel ? 0 : m->delegates[in->index].vk->input_ids.count;
        for (uint32_t k = 0; k < in->args.count; k++) {
            uint32_t value = arg(&in->args, k);
            bool reads = kernel ? qn_cpu_reads(&m->pte->operators[in->index], k) : k < n_in;
            if (reads && !given[value] && s.code == QN_OK)
                s = qn_fail(QN_ERR_FORMAT, "value %u is read by instruction %u before anything gives it", value, i);
        }
        for (uint32_t k = n_in; k < in->args.count; k++) given[arg(&in->args, k)] = true;
    }
    qn_free(&p->allocator, block);
    return s;
}

qn_status qn_method_prepare(qn_program *program, qn_method *method)
{
    qn_program *p = program;
    qn_method *m = method;
    if (m->pte->n_chains > 1) return qn_fail(QN_ERR_UNSUPPORTED, "%u chains of instructions", m->pte->n_chains);
    const qn_pte_chain *chain = chain_of(m);
    for (uint32_t i = 0; i < chain->n_instructions; i++) {
        const qn_pte_instruction *in = &chain->instructions[i];
        QN_TRY(in->kind == QN_PTE_DELEGATE_CALL ? prepare_delegate(p, m, in) : prepare_kernel(p, m, in));
    }
    note_needed(m);
    QN_TRY(load_kept(p, m));
    QN_TRY(check_order(p, m));
    for (uint32_t i = 0; i < m->pte->inputs.count; i++) {
        uint32_t value = arg(&m->pte->inputs, i);
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
        if (t && m->cells[value].needed) QN_TRY(qn_cell_own(p, m, value));
    }
    return qn_ok();
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static qn_status check_input(const qn_pte_tensor *t, const qn_program_tensor *given, uint32_t i)
{
    char a[128], b[128];
    if (!given->data) return qn_fail(QN_ERR_ARGUMENT, "input %u: no data", i);
    bool fits = given->shape.rank == t->shape.rank;
    for (uint32_t k = 0; fits && k < t->shape.rank; k++) {
        uint32_t n = given->shape.dim[k], most = t->shape.dim[k];
        fits = n > 0 && n <= most && (n == most || t->dynamism != QN_PTE_STATIC);
    }
    if (fits) return qn_ok();
    if (given->shape.rank > QN_MAX_RANK)
        return qn_fail(QN_ERR_ARGUMENT, "input %u: rank %u is over %d", i, given->shape.rank, QN_MAX_RANK);
    return qn_fail(QN_ERR_ARGUMENT, "input %u: the live shape %s does not fit %s%s", i,
                   qn_shape_text(&given->shape, a, sizeof a), qn_shape_text(&t->shape, b, sizeof b),
                   t->dynamism == QN_PTE_STATIC ? ", which is static" : ", the largest");
}

static qn_status take_inputs(qn_method *m, const qn_program_tensor *inputs, uint32_t n)
{
    if (n != m->pte->inputs.count)
        return qn_fail(QN_ERR_ARGUMENT, "%u inputs given, the method takes %u", n, m->pte->inputs.count);
    for (uint32_t i = 0; i < n; i++) {
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, arg(&m->pte->inputs, i));
        if (t) QN_TRY(check_input(t, &inputs[i], i));
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t value = arg(&m->pte->inputs, i);
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
        qn_cell *cell = &m->cells[value];
        if (!t) continue;
        cell->live = inputs[i].shape;
        cell->stable = false;
        cell->data = cell->own ? cell->own : inputs[i].data;
        if (cell->own && cell->own != inputs[i].data)
            memcpy(cell->own, inputs[i].data,
                   (size_t)(qn_shape_count(&cell->live) * qn_scalar_bytes((qn_scalar)t->scalar_type)));
    }
    return qn_ok();
}

/* ---- delegates ------------------------------------------------------------------------------- */

/* Ids that the caller gives must be there. */
static qn_status check_ids(const qn_delegate_slot *slot, const void *ids, uint64_t n)
{
    const uint8_t *p = ids; /* of a file, perhaps at an odd address */
    int64_t low = slot->negative ? -(int64_t)slot->rows : 0;
    for (uint64_t i = 0; i < n; i++) {
        int32_t id = (int32_t)(uint32_t)qn_fb_le(p + i * 4, 4);
        if (id < low || id >= (int64_t)slot->rows)
            return qn_fail(QN_ERR_ARGUMENT, "element %llu is the id %d; the table has %u rows", (unsigned long long)i,
                           id, slot->rows);
    }
    return qn_ok();
}

/* Input i of a delegate, of the method's type `scalar`. */
static qn_status set_graph_input(qn_delegate *d, uint32_t i, qn_scalar scalar, qn_shape live, const void *data)
{
    qn_delegate_slot *slot = &d->inputs[i];
    if (slot->words) {
        QN_TRY(qn_words_from(scalar, data, qn_shape_count(&live), slot->words));
        data = slot->words;
    }
    if (slot->rows) QN_TRY(check_ids(slot, data, qn_shape_count(&live)));
    return qn_graph_set_input(d->graph, slot->value, live, data);
}

static qn_status set_delegate_input(const qn_method *m, qn_delegate *d, uint32_t i, uint32_t value)
{
    const qn_cell *cell = &m->cells[value];
    const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
    if (!cell->data) return qn_fail(QN_ERR_FORMAT, "value %u is read before anything gives it", value);
    return set_graph_input(d, i, (qn_scalar)t->scalar_type, cell->live, cell->data);
}

static qn_status start_delegate(qn_method *m, const qn_pte_instruction *in)
{
    qn_delegate *d = &m->delegates[in->index];
    uint32_t n_in = d->vk->input_ids.count;
    for (uint32_t i = 0; i < n_in; i++) {
        qn_status s = set_delegate_input(m, d, i, arg(&in->args, i));
        if (s.code == QN_OK) continue;
        for (uint32_t k = 0; k < m->pte->inputs.count; k++)
            if (arg(&m->pte->inputs, k) == arg(&in->args, i)) return qn_in(s, "input %u of the method", k);
        return s;
    }
    for (uint32_t i = 0; i < d->vk->output_ids.count; i++) {
        if (!d->outputs[i].value) continue;
        bool wanted = false; /* of two outputs with one value, either */
        for (uint32_t k = 0; k < d->vk->output_ids.count; k++)
            wanted |= d->outputs[k].value == d->outputs[i].value && !m->cells[arg(&in->args, n_in + k)].skipped;
        QN_TRY(qn_graph_want(d->graph, d->outputs[i].value, wanted));
    }
    return qn_graph_submit(d->graph);
}

static void take_outputs(qn_method *m, const qn_pte_instruction *in)
{
    qn_delegate *d = &m->delegates[in->index];
    uint32_t n_in = d->vk->input_ids.count;
    for (uint32_t i = 0; i < d->vk->output_ids.count; i++) {
        uint32_t value = arg(&in->args, n_in + i);
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, value);
        qn_cell *cell = &m->cells[value];
        cell->stable = true;
        cell->live = t->shape;
        cell->data = cell->own;
        if (!d->outputs[i].value) continue;
        const void *data = qn_graph_output_data(d->graph, d->outputs[i].value, &cell->live);
        if (data && !qn_scalar_is_direct((qn_scalar)t->scalar_type))
            qn_words_to((qn_scalar)t->scalar_type, data, qn_shape_count(&cell->live), cell->own);
        else
            cell->data = data;
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Goes on until a delegate has to be waited for, or to the end. */
static qn_status go_on(qn_program *p)
{
    qn_method *m = &p->methods[p->method];
    const qn_pte_chain *chain = chain_of(m);
    for (; p->at < chain->n_instructions; p->at++) {
        const qn_pte_instruction *in = &chain->instructions[p->at];
        if (in->kind == QN_PTE_KERNEL_CALL) {
            qn_cpu_call call = {p, m, &m->pte->operators[in->index], in->args};
            QN_TRY(qn_cpu_run(&call));
            continue;
        }
        if (!p->waiting) QN_TRY(start_delegate(m, in));
        p->waiting = true;
        bool done = false;
        QN_TRY(qn_graph_poll(m->delegates[in->index].graph, &done));
        if (!done) return qn_ok();
        take_outputs(m, in);
        p->waiting = false;
    }
    p->running = false;
    m->finished = true;
    return qn_ok();
}

static qn_status advance(qn_program *p)
{
    qn_status s = go_on(p);
    if (s.code == QN_OK) return s;
    p->running = p->waiting = false;
    return qn_in_method(&p->methods[p->method], s);
}

static qn_status check_method(const qn_program *p, uint32_t method)
{
    if (!p->engine) return qn_fail(QN_ERR_STATE, "the program is not built");
    if (method >= p->pte->n_methods)
        return qn_fail(QN_ERR_ARGUMENT, "there is no method %u: the program has %u", method, p->pte->n_methods);
    if (p->running) return qn_fail(QN_ERR_STATE, "a call of this program runs: poll until it is done");
    return qn_ok();
}

qn_status qn_program_submit(qn_program *program, uint32_t method, const qn_program_tensor *inputs, uint32_t n_inputs)
{
    QN_TRY(check_method(program, method));
    qn_method *m = &program->methods[method];
    m->finished = false;
    QN_TRY(qn_in_method(m, take_inputs(m, inputs, n_inputs)));
    program->method = method;
    program->at = 0;
    program->running = true;
    program->waiting = false;
    return advance(program);
}

/* The first instruction's graph is given the inputs that are the method's own. */
static qn_status prepare_first(qn_method *m, const qn_program_tensor *inputs, uint32_t n)
{
    const qn_pte_instruction *in = &chain_of(m)->instructions[0];
    qn_delegate *d = &m->delegates[in->index];
    for (uint32_t i = 0; i < d->vk->input_ids.count; i++) {
        uint32_t k = 0;
        while (k < n && arg(&m->pte->inputs, k) != arg(&in->args, i)) k++;
        if (k == n) continue; /* a constant */
        const qn_pte_tensor *t = qn_program_tensor_of(m->pte, arg(&in->args, i));
        QN_TRY(check_input(t, &inputs[k], k));
        QN_TRY(set_graph_input(d, i, (qn_scalar)t->scalar_type, inputs[k].shape, inputs[k].data));
    }
    return qn_graph_prepare(d->graph);
}

void qn_program_prepare(qn_program *program, uint32_t method, const qn_program_tensor *inputs, uint32_t n_inputs)
{
    qn_program *p = program;
    if (!p->engine || method >= p->pte->n_methods) return;
    qn_method *m = &p->methods[method];
    const qn_pte_chain *chain = chain_of(m);
    bool first = !p->running || p->method != method || p->at == 0; /* its graph has all that this call needs of it */
    if (!first || chain->n_instructions == 0 || chain->instructions[0].kind != QN_PTE_DELEGATE_CALL) return;
    if (n_inputs == m->pte->inputs.count) (void)prepare_first(m, inputs, n_inputs);
}

qn_status qn_program_poll(qn_program *program, bool *done)
{
    *done = false;
    if (program->running) QN_TRY(advance(program));
    *done = !program->running;
    return qn_ok();
}

qn_program_tensor qn_program_output_data(const qn_program *program, uint32_t method, uint32_t i)
{
    qn_program_tensor none = {.data = NULL};
    if (method >= program->pte->n_methods) return none;
    const qn_method *m = &program->methods[method];
    if (!m->finished || i >= m->pte->outputs.count || m->skip_output[i]) return none;
    uint32_t value = arg(&m->pte->outputs, i);
    if (m->pte->values[value].kind != QN_PTE_TENSOR) return none;
    return (qn_program_tensor){m->cells[value].live, m->cells[value].data};
}

qn_status qn_program_want(qn_program *program, uint32_t method, uint32_t i, bool wanted)
{
    QN_TRY(check_method(program, method));
    qn_method *m = &program->methods[method];
    if (i >= m->pte->outputs.count)
        return qn_fail(QN_ERR_ARGUMENT, "there is no output %u: the method has %u", i, m->pte->outputs.count);
    m->skip_output[i] = !wanted;
    uint32_t value = arg(&m->pte->outputs, i);
    qn_cell *cell = &m->cells[value];
    cell->skipped = !cell->read;
    for (uint32_t k = 0; k < m->pte->outputs.count; k++)
        if (arg(&m->pte->outputs, k) == value && !m->skip_output[k]) cell->skipped = false;
    return qn_ok();
}

qn_status qn_program_reset(qn_program *program, uint32_t method)
{
    QN_TRY(check_method(program, method));
    qn_method *m = &program->methods[method];
    for (uint32_t i = 0; i < m->pte->n_delegates; i++) QN_TRY(qn_delegate_reset(&m->delegates[i]));
    return load_kept(program, m);
}

#ifndef QN_NO_BLOCKING
qn_status qn_program_wait(qn_program *program)
{
    for (bool done = !program->running; !done;) {
        QN_TRY(qn_gpu_poll(program->engine->gpu, true));
        QN_TRY(qn_program_poll(program, &done));
    }
    return qn_ok();
}

qn_status qn_program_execute(qn_program *program, uint32_t method, const qn_program_tensor *inputs, uint32_t n_inputs)
{
    QN_TRY(qn_program_submit(program, method, inputs, n_inputs));
    return qn_program_wait(program);
}
#endif
