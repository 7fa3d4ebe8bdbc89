/* program.c - reading a program, describing it, building its graphs. */
#include "program/program.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char backend[] = "VulkanBackend";

qn_status qn_in_method(const qn_method *method, qn_status status)
{
    return qn_in(status, "method %s", method->pte->name);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const qn_vk_constant *const *)a)->key, (*(const qn_vk_constant *const *)b)->key);
}

/* Bytes of the constants; named ones that are the same data count once. */
static qn_status count_constants(const qn_allocator *a, qn_delegate *d)
{
    void *block;
    uint32_t n = d->vk->n_constants;
    QN_TRY(qn_alloc(a, n, sizeof(qn_vk_constant *), "constants", &block));
    const qn_vk_constant **sorted = block;
    for (uint32_t i = 0; i < n; i++) sorted[i] = &d->vk->constants[i];
    if (n) qsort(block, n, sizeof *sorted, by_key);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || !sorted[i]->key[0] || strcmp(sorted[i]->key, sorted[i - 1]->key) != 0)
            d->constant_bytes += sorted[i]->length;
    qn_free(a, block);
    return qn_ok();
}

/* Delegates may share their data: a file of many that all name the same bytes must not take any time or memory. */
enum { MAX_DELEGATE_BYTES_PER_BYTE = 16 };

static qn_status open_delegate(qn_program *p, const qn_pte_delegate *source, uint64_t *left, qn_delegate *d)
{
    qn_bytes file = p->sources[0].bytes, data = source->data;
    d->allocator = &p->allocator;
    if (strcmp(source->id, backend) != 0) return qn_ok(); /* refused where it is called */
    if (data.size > *left) return qn_fail(QN_ERR_FORMAT, "too many delegates have the same data; the file is damaged");
    *left -= data.size;
    QN_TRY(qn_vk_graph_open(&p->allocator, data, data.size ? (uint64_t)(data.data - file.data) : 0, &d->vk));
    return count_constants(&p->allocator, d);
}

static qn_status open_method(qn_program *p, qn_method *method, uint64_t *left)
{
    void *block;
    QN_TRY(qn_alloc(&p->allocator, method->pte->n_values, sizeof(qn_cell), "values of a method", &block));
    method->cells = block;
    QN_TRY(qn_alloc(&p->allocator, method->pte->outputs.count, sizeof(bool), "outputs of a method", &block));
    method->skip_output = block;
    QN_TRY(qn_alloc(&p->allocator, method->pte->n_delegates, sizeof(qn_delegate), "delegates", &block));
    method->delegates = block;
    for (uint32_t i = 0; i < method->pte->n_delegates; i++)
        QN_TRY(qn_in_method(method, open_delegate(p, &method->pte->delegates[i], left, &method->delegates[i])));
    return qn_ok();
}

static qn_status open_methods(qn_program *p)
{
    uint64_t size = p->sources[0].bytes.size, most = UINT64_MAX / MAX_DELEGATE_BYTES_PER_BYTE;
    uint64_t left = (size < most ? size : most) * MAX_DELEGATE_BYTES_PER_BYTE;
    void *block;
    QN_TRY(qn_alloc(&p->allocator, p->pte->n_methods, sizeof(qn_method), "methods", &block));
    p->methods = block;
    for (uint32_t m = 0; m < p->pte->n_methods; m++) {
        p->methods[m].pte = &p->pte->methods[m];
        QN_TRY(open_method(p, &p->methods[m], &left));
    }
    return qn_ok();
}

/* One call of an operator; merge_uses counts them. */
static qn_status note_use(qn_program *p, uint32_t method, const char *name, bool on_cpu, bool supported)
{
    QN_TRY(qn_grow(&p->allocator, &p->uses, &p->use_capacity, p->n_uses + 1, sizeof(qn_operator_use), "operators"));
    qn_operator_use *use = (qn_operator_use *)p->uses + p->n_uses++;
    *use = (qn_operator_use){.method = method, .count = 1, .supported = supported, .on_cpu = on_cpu};
    snprintf(use->name, sizeof use->name, "%s", name);
    return qn_ok();
}

/* What an instruction calls, as an operator. */
static qn_status note_instruction(qn_program *p, uint32_t m, const qn_pte_instruction *in)
{
    const qn_pte_method *method = p->methods[m].pte;
    char name[96] = "an instruction move, jump or free";
    size_t used = 0;
    bool supported = false;
    if (in->kind == QN_PTE_DELEGATE_CALL) {
        const char *id = method->delegates[in->index].id;
        if (strcmp(id, backend) == 0) return qn_ok();
        strcpy(name, "delegate ");
        strncat(name, id, sizeof name - 32);
    } else if (in->kind == QN_PTE_KERNEL_CALL) {
        const qn_pte_operator *op = &method->operators[in->index];
        name[0] = '\0';
        strncat(name, op->name, 60);
        used = strlen(name);
        if (op->overload[0]) {
            strcat(name, ".");
            strncat(name, op->overload, sizeof name - used - 2);
        }
        supported = qn_cpu_knows(op);
    }
    return note_use(p, m, name, true, supported);
}

static int by_method_and_name(const void *a, const void *b)
{
    const qn_operator_use *x = a, *y = b;
    if (x->method != y->method) return x->method < y->method ? -1 : 1;
    int order = strcmp(x->name, y->name);
    return order ? order : (int)x->on_cpu - (int)y->on_cpu;
}

/* Calls of the same operator become one entry with their number. */
static void merge_uses(qn_program *p)
{
    qn_operator_use *uses = p->uses;
    size_t n = 0;
    if (p->n_uses) qsort(uses, p->n_uses, sizeof uses[0], by_method_and_name);
    for (size_t i = 0; i < p->n_uses; i++)
        if (n > 0 && by_method_and_name(&uses[n - 1], &uses[i]) == 0)
            uses[n - 1].count++;
        else
            uses[n++] = uses[i];
    p->n_uses = n;
}

static qn_status note_uses(qn_program *p)
{
    for (uint32_t m = 0; m < p->pte->n_methods; m++) {
        const qn_method *method = &p->methods[m];
        for (uint32_t c = 0; c < method->pte->n_chains; c++)
            for (uint32_t i = 0; i < method->pte->chains[c].n_instructions; i++)
                QN_TRY(note_instruction(p, m, &method->pte->chains[c].instructions[i]));
        for (uint32_t d = 0; d < method->pte->n_delegates; d++) {
            const qn_vk_graph *vk = method->delegates[d].vk;
            for (uint32_t i = 0; vk && i < vk->n_ops; i++)
                QN_TRY(note_use(p, m, vk->ops[i].name, false, qn_translates(vk->ops[i].name)));
        }
    }
    merge_uses(p);
    return qn_ok();
}

static qn_status read_program(qn_program *p)
{
    QN_TRY(qn_pte_open(&p->allocator, &p->sources[0], p->sources + 1, p->n_files - 1, &p->pte));
    QN_TRY(open_methods(p));
    return note_uses(p);
}

static qn_status new_program(const qn_allocator *allocator, uint32_t n_files, qn_program **program)
{
    const qn_allocator *a = qn_allocator_or_default(allocator);
    void *block;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_program), "program", &block));
    qn_program *p = *program = block;
    p->allocator = *a;
    p->n_files = n_files;
    QN_TRY(qn_alloc(a, n_files, sizeof(qn_file), "files", &block));
    p->files = block;
    QN_TRY(qn_alloc(a, n_files, sizeof(qn_pte_file), "files", &block));
    p->sources = block;
    return qn_ok();
}

static qn_status finish(qn_program **program, qn_status s)
{
    if (s.code == QN_OK) return s;
    qn_program_close(*program);
    *program = NULL;
    return s;
}

static qn_status map_file(qn_program *p, uint32_t i, const char *path)
{
    QN_TRY(qn_file_open(path, &p->files[i]));
    p->sources[i] = (qn_pte_file){path, {p->files[i].data, p->files[i].size}};
    return qn_ok();
}

qn_status qn_program_read(const qn_allocator *allocator, const char *path, const qn_program_options *options,
                          qn_program **program)
{
    *program = NULL;
    uint32_t n = options ? options->n_data_files : 0;
    qn_status s = new_program(allocator, n + 1, program);
    if (s.code == QN_OK) s = map_file(*program, 0, path);
    for (uint32_t i = 0; i < n && s.code == QN_OK; i++) s = map_file(*program, i + 1, options->data_files[i]);
    if (s.code == QN_OK) s = qn_in(read_program(*program), "%s", path);
    return finish(program, s);
}

qn_status qn_program_read_memory(const qn_allocator *allocator, const qn_program_memory *files, uint32_t n_files,
                                 qn_program **program)
{
    *program = NULL;
    if (n_files == 0) return qn_fail(QN_ERR_ARGUMENT, "no file is given");
    qn_status s = new_program(allocator, n_files, program);
    for (uint32_t i = 0; i < n_files && s.code == QN_OK; i++)
        (*program)->sources[i] =
            (qn_pte_file){files[i].name ? files[i].name : "a file in memory", {files[i].data, files[i].size}};
    if (s.code == QN_OK) s = read_program(*program);
    return finish(program, s);
}

/* ---- building -------------------------------------------------------------------------------- */

/* Whether a method before has the same unsupported operator. */
static bool is_named(const qn_operator_use *uses, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!uses[k].supported && strcmp(uses[k].name, uses[i].name) == 0) return true;
    return false;
}

/* Every operator that is not supported, once each, in one message, as long as it has room. */
static qn_status check_supported(const qn_program *p)
{
    const qn_operator_use *uses = p->uses;
    qn_status s = qn_ok();
    for (size_t i = 0; i < p->n_uses; i++) {
        if (uses[i].supported || is_named(uses, i)) continue;
        if (s.code == QN_OK) {
            s = qn_fail(QN_ERR_UNSUPPORTED, "operators that this version does not run: %s (method %.80s)", uses[i].name,
                        p->methods[uses[i].method].pte->name);
            continue;
        }
        if (sizeof s.text - strlen(s.text) < sizeof uses[i].name + sizeof ", , ...") {
            strcat(s.text, ", ...");
            break;
        }
        strcat(strcat(s.text, ", "), uses[i].name);
    }
    return s;
}

/* Nodes of all graphs together; the largest language models have some thousand. */
enum { MAX_NODES = 1 << 16 };

static qn_status build_methods(qn_program *p, qn_engine *engine, const qn_device_info *device)
{
    size_t left = MAX_NODES;
    QN_TRY(check_supported(p));
    for (uint32_t m = 0; m < p->pte->n_methods; m++) {
        qn_method *method = &p->methods[m];
        for (uint32_t i = 0; i < method->pte->n_delegates; i++) {
            qn_delegate *d = &method->delegates[i];
            if (!d->vk) continue;
            QN_TRY(qn_in_method(method, qn_translate(engine, device, p->pte, left, d)));
            left -= d->graph->n_nodes;
        }
        QN_TRY(qn_in_method(method, qn_method_prepare(p, method)));
    }
    return qn_ok();
}

static qn_status build(qn_program *p, qn_engine *engine, const qn_device_info *device)
{
    if (p->built) return qn_fail(QN_ERR_STATE, "the program is built already");
    p->built = true;
    qn_status s = build_methods(p, engine, device);
    if (s.code == QN_OK) p->engine = engine;
    return p->files[0].data ? qn_in(s, "%s", p->sources[0].name) : s;
}

qn_status qn_program_build(qn_program *program, qn_engine *engine)
{
    return build(program, engine, qn_gpu_info(engine->gpu));
}

qn_status qn_program_plan(qn_program *program, const qn_device_info *device)
{
    qn_device_info core = qn_core_device();
    return build(program, NULL, device ? device : &core);
}

qn_status qn_program_open(qn_engine *engine, const char *path, const qn_program_options *options, qn_program **program)
{
    QN_TRY(qn_program_read(engine->allocator, path, options, program));
    return finish(program, qn_program_build(*program, engine));
}

void qn_program_close(qn_program *program)
{
    qn_program *p = program;
    if (!p) return;
    qn_allocator a = p->allocator;
    for (uint32_t m = 0; p->methods && m < p->pte->n_methods; m++) {
        qn_method *method = &p->methods[m];
        for (uint32_t i = 0; method->delegates && i < method->pte->n_delegates; i++)
            qn_delegate_close(&method->delegates[i]);
        for (uint32_t v = 0; method->cells && v < method->pte->n_values; v++) qn_free(&a, method->cells[v].own);
        qn_free(&a, method->delegates);
        qn_free(&a, method->cells);
        qn_free(&a, method->skip_output);
    }
    qn_free(&a, p->methods);
    qn_free(&a, p->uses);
    qn_pte_close(p->pte);
    for (uint32_t i = 0; p->files && i < p->n_files; i++) qn_file_close(&p->files[i]);
    qn_free(&a, p->files);
    qn_free(&a, p->sources);
    qn_free(&a, p);
}

/* ---- describing ------------------------------------------------------------------------------ */

uint32_t qn_program_n_methods(const qn_program *program)
{
    return program->pte->n_methods;
}

uint32_t qn_program_find_method(const qn_program *program, const char *name)
{
    uint32_t m = 0;
    while (m < program->pte->n_methods && strcmp(program->methods[m].pte->name, name) != 0) m++;
    return m;
}

qn_method_info qn_program_method(const qn_program *program, uint32_t method)
{
    if (method >= program->pte->n_methods) return (qn_method_info){.name = ""};
    const qn_method *m = &program->methods[method];
    qn_method_info info = {.name = m->pte->name, .n_inputs = m->pte->inputs.count, .n_outputs = m->pte->outputs.count};
    for (uint32_t i = 0; i < m->pte->n_delegates; i++) {
        const qn_delegate *d = &m->delegates[i];
        info.constant_bytes += d->constant_bytes;
        if (!d->graph) continue;
        qn_memory_table t = qn_graph_memory(d->graph);
        info.n_states += (uint32_t)d->n_states;
        info.n_nodes += d->graph->n_nodes;
        info.memory.weights += t.weights;
        info.memory.states += t.states;
        info.memory.activations += t.activations;
        info.memory.activations_unpooled += t.activations_unpooled;
        info.memory.scratch += t.scratch;
        info.memory.io += t.io;
        info.memory.n_slots += t.n_slots;
    }
    return info;
}

static qn_value_info describe(const qn_pte_method *method, uint32_t value)
{
    const qn_pte_value *v = &method->values[value];
    qn_value_info info = {.number = 0};
    if (v->kind == QN_PTE_TENSOR) {
        info.is_tensor = true;
        info.is_dynamic = v->u.tensor.dynamism != QN_PTE_STATIC;
        info.scalar = (qn_scalar)v->u.tensor.scalar_type;
        info.shape = v->u.tensor.shape;
    } else if (v->kind == QN_PTE_INT64) {
        info.number = (double)v->u.integer;
    } else if (v->kind == QN_PTE_DOUBLE64) {
        info.number = v->u.number;
    } else if (v->kind == QN_PTE_BOOLEAN) {
        info.number = v->u.boolean;
    }
    return info;
}

qn_value_info qn_program_input(const qn_program *program, uint32_t method, uint32_t i)
{
    qn_value_info none = {.number = 0};
    if (method >= program->pte->n_methods || i >= program->methods[method].pte->inputs.count) return none;
    const qn_pte_method *m = program->methods[method].pte;
    return describe(m, (uint32_t)qn_fb_i32_at(&m->inputs, i));
}

qn_value_info qn_program_output(const qn_program *program, uint32_t method, uint32_t i)
{
    qn_value_info none = {.number = 0};
    if (method >= program->pte->n_methods || i >= program->methods[method].pte->outputs.count) return none;
    const qn_pte_method *m = program->methods[method].pte;
    return describe(m, (uint32_t)qn_fb_i32_at(&m->outputs, i));
}

uint32_t qn_program_operators(const qn_program *program, const qn_operator_use **uses)
{
    *uses = program->uses;
    return (uint32_t)program->n_uses;
}

qn_graph *qn_program_graph(qn_program *program, uint32_t method, uint32_t i)
{
    if (method >= program->pte->n_methods || i >= program->methods[method].pte->n_delegates) return NULL;
    return program->methods[method].delegates[i].graph;
}
