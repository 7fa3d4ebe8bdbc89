/* info_program.c - `quern info` of a program. */
#include "info.h"
#include "program.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct program_report {
    const char *path;
    const qn_program *program;
    uint64_t file_bytes; /* with its .ptd files */
    const qn_operator_use *uses;
    uint32_t n_uses, n_methods;
    char device[128]; /* "" when none could be opened */
    qn_status plan;   /* why it does not run          */
    qn_status language_model;
    qn_cli_lm_facts facts;
} program_report;

static uint64_t memory_sum(const qn_memory_table *t)
{
    return t->weights + t->states + t->activations + t->scratch + t->io;
}

static uint64_t total_memory(const program_report *r)
{
    uint64_t sum = 0;
    for (uint32_t m = 0; m < r->n_methods; m++) {
        qn_memory_table t = qn_program_method(r->program, m).memory;
        sum += memory_sum(&t);
    }
    return sum;
}

/* What the device allows decides how tensors are split, so it is asked. */
static void plan_memory(program_report *r, qn_program *program, const qn_cli_engine *e)
{
    qn_engine *engine = qn_cli_info_engine(e, r->device);
    r->plan = qn_program_plan(program, engine ? qn_engine_device(engine) : NULL);
    qn_engine_close(engine);
    uint64_t total = r->plan.code == QN_OK ? total_memory(r) : 0;
    if (e->gpu_memory && total > e->gpu_memory)
        r->plan = qn_cli_fail(QN_ERR_GPU_MEMORY, "%" PRIu64 " bytes of GPU memory are needed, %" PRIu64 " are allowed",
                              total, e->gpu_memory);
}

/* A method that only gives numbers: a constant of the program. */
static bool is_constant(const program_report *r, uint32_t m)
{
    qn_method_info info = qn_program_method(r->program, m);
    bool numbers = info.n_inputs == 0 && info.n_outputs > 0;
    for (uint32_t i = 0; numbers && i < info.n_outputs; i++) numbers = !qn_program_output(r->program, m, i).is_tensor;
    return numbers;
}

static qn_value_info value_of(const program_report *r, uint32_t m, bool input, uint32_t i)
{
    return input ? qn_program_input(r->program, m, i) : qn_program_output(r->program, m, i);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *number_json(double number)
{
    bool whole = number >= -9e15 && number <= 9e15 && (double)(int64_t)number == number;
    return whole ? json_integer((json_int_t)number) : qn_cli_json_real(number);
}

static json_t *values_json(const program_report *r, uint32_t m, bool inputs)
{
    qn_method_info info = qn_program_method(r->program, m);
    json_t *list = json_array();
    for (uint32_t i = 0; i < (inputs ? info.n_inputs : info.n_outputs); i++) {
        qn_value_info v = value_of(r, m, inputs, i);
        json_t *o = json_object();
        if (v.is_tensor) {
            json_t *shape = json_array();
            for (uint32_t d = 0; d < v.shape.rank; d++) json_array_append_new(shape, qn_cli_json_u64(v.shape.dim[d]));
            json_object_set_new(o, "type", json_string(qn_scalar_name(v.scalar)));
            json_object_set_new(o, "shape", shape);
            json_object_set_new(o, "dynamic", json_boolean(v.is_dynamic));
        } else {
            json_object_set_new(o, "number", number_json(v.number));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *operators_json(const program_report *r, uint32_t m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_uses; i++) {
        const qn_operator_use *u = &r->uses[i];
        if (u->method != m) continue;
        json_t *o = json_object();
        json_object_set_new(o, "name", qn_cli_json_text(u->name, strlen(u->name)));
        json_object_set_new(o, "count", qn_cli_json_u64(u->count));
        json_object_set_new(o, "supported", json_boolean(u->supported));
        json_object_set_new(o, "on_cpu", json_boolean(u->on_cpu));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *memory_json(const qn_memory_table *t)
{
    json_t *o = json_object();
    json_object_set_new(o, "weights", qn_cli_json_u64(t->weights));
    json_object_set_new(o, "states", qn_cli_json_u64(t->states));
    json_object_set_new(o, "working", qn_cli_json_u64(t->activations + t->scratch + t->io));
    json_object_set_new(o, "total", qn_cli_json_u64(memory_sum(t)));
    return o;
}

static json_t *method_json(const program_report *r, uint32_t m)
{
    bool planned = r->plan.code == QN_OK;
    qn_method_info info = qn_program_method(r->program, m);
    json_t *o = json_object();
    json_object_set_new(o, "name", qn_cli_json_text(info.name, strlen(info.name)));
    json_object_set_new(o, "inputs", values_json(r, m, true));
    json_object_set_new(o, "outputs", values_json(r, m, false));
    json_object_set_new(o, "operators", operators_json(r, m));
    json_object_set_new(o, "constant_bytes", qn_cli_json_u64(info.constant_bytes));
    json_object_set_new(o, "states", planned ? qn_cli_json_u64(info.n_states) : json_null());
    json_object_set_new(o, "nodes", planned ? qn_cli_json_u64(info.n_nodes) : json_null());
    json_object_set_new(o, "gpu_memory", planned ? memory_json(&info.memory) : json_null());
    return o;
}

static json_t *constants_json(const program_report *r)
{
    json_t *o = json_object();
    for (uint32_t m = 0; m < r->n_methods; m++) {
        if (!is_constant(r, m)) continue;
        qn_method_info info = qn_program_method(r->program, m);
        json_t *list = json_array();
        for (uint32_t i = 0; i < info.n_outputs; i++)
            json_array_append_new(list, number_json(value_of(r, m, false, i).number));
        json_object_set_new(o, info.name, list);
    }
    return o;
}

static json_t *unsupported_json(const program_report *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_uses; i++) {
        bool named = r->uses[i].supported;
        for (uint32_t k = 0; k < i && !named; k++) named = strcmp(r->uses[k].name, r->uses[i].name) == 0;
        if (!named) json_array_append_new(list, qn_cli_json_text(r->uses[i].name, strlen(r->uses[i].name)));
    }
    return list;
}

static json_t *language_model_json(const program_report *r)
{
    const qn_cli_lm_facts *f = &r->facts;
    json_t *o = json_object(), *ends = json_array();
    if (r->language_model.code != QN_OK) {
        json_decref(ends);
        json_decref(o);
        return json_null();
    }
    json_object_set_new(o, "n_vocab", qn_cli_json_u64(f->n_vocab));
    json_object_set_new(o, "ctx", f->ctx ? qn_cli_json_u64(f->ctx) : json_null());
    json_object_set_new(o, "chunk", qn_cli_json_u64(f->chunk));
    json_object_set_new(o, "logits", json_string(f->logits_each ? "every token" : "last token"));
    for (uint32_t i = 0; i < f->n_ends; i++) json_array_append_new(ends, json_integer(f->ends[i]));
    json_object_set_new(o, "ends", ends);
    return o;
}

static void print_json(const program_report *r)
{
    json_t *o = json_object(), *methods = json_array(), *memory = json_object();
    json_object_set_new(o, "path", qn_cli_json_text(r->path, strlen(r->path)));
    json_object_set_new(o, "format", json_string("ExecuTorch program"));
    json_object_set_new(o, "file_bytes", qn_cli_json_u64(r->file_bytes));
    for (uint32_t m = 0; m < r->n_methods; m++)
        if (!is_constant(r, m)) json_array_append_new(methods, method_json(r, m));
    json_object_set_new(o, "methods", methods);
    json_object_set_new(o, "constants", constants_json(r));
    json_object_set_new(o, "unsupported", unsupported_json(r));
    json_object_set_new(o, "language_model", language_model_json(r));
    json_object_set_new(memory, "device", r->device[0] ? json_string(r->device) : json_null());
    if (r->plan.code == QN_OK)
        json_object_set_new(memory, "total", qn_cli_json_u64(total_memory(r)));
    else
        json_object_set_new(memory, "error", json_string(r->plan.text));
    json_object_set_new(o, "gpu_memory", memory);
    qn_cli_print_json(o);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_values(const program_report *r, uint32_t m, bool inputs)
{
    qn_method_info info = qn_program_method(r->program, m);
    for (uint32_t i = 0; i < (inputs ? info.n_inputs : info.n_outputs); i++) {
        qn_value_info v = value_of(r, m, inputs, i);
        char text[160];
        printf("  %-6s %-8" PRIu32 " %s\n", inputs ? "input" : "output", i, qn_cli_value_text(&v, text));
    }
}

static void print_operators(const program_report *r, uint32_t m)
{
    for (uint32_t i = 0; i < r->n_uses; i++) {
        const qn_operator_use *u = &r->uses[i];
        if (u->method == m)
            printf("    %5" PRIu32 " %s%s%s\n", u->count, u->name, u->on_cpu ? " (on the CPU)" : "",
                   u->supported ? "" : " (not supported)");
    }
}

static void print_method(const program_report *r, uint32_t m)
{
    qn_method_info info = qn_program_method(r->program, m);
    char size[32];
    printf("method %s\n", info.name);
    print_values(r, m, true);
    print_values(r, m, false);
    printf("  constants       %s\n", qn_cli_bytes(info.constant_bytes, size));
    if (r->plan.code == QN_OK)
        printf("  states          %" PRIu32 " (kept between calls), %" PRIu64 " graph nodes\n", info.n_states,
               info.n_nodes);
    printf("  operators\n");
    print_operators(r, m);
}

static void print_constants(const program_report *r)
{
    bool any = false;
    for (uint32_t m = 0; m < r->n_methods; m++) {
        if (!is_constant(r, m)) continue;
        qn_method_info info = qn_program_method(r->program, m);
        if (!any) printf("constants\n");
        any = true;
        printf("  %-26s", info.name);
        for (uint32_t i = 0; i < info.n_outputs; i++) printf(" %.17g", value_of(r, m, false, i).number);
        putchar('\n');
    }
}

static void print_language_model(const program_report *r)
{
    const qn_cli_lm_facts *f = &r->facts;
    char ctx[32] = "not known";
    if (r->language_model.code != QN_OK) return;
    if (f->ctx) snprintf(ctx, sizeof ctx, "%" PRIu32, f->ctx);
    printf("language model (quern run)\n");
    printf("  vocabulary      %" PRIu32 "\n", f->n_vocab);
    printf("  context         %s, at most %" PRIu32 " tokens a call\n", ctx, f->chunk);
    printf("  logits          of %s\n", f->logits_each ? "every token" : "the last token");
}

static void print_memory(const program_report *r)
{
    qn_memory_table sum = {.weights = 0};
    char a[32], b[32], c[32], d[32];
    printf("GPU memory on %s\n", r->device[0] ? r->device : "a device with core WebGPU limits");
    if (r->plan.code != QN_OK) {
        printf("  cannot run: %s\n", r->plan.text);
        return;
    }
    for (uint32_t m = 0; m < r->n_methods; m++) {
        qn_memory_table t = qn_program_method(r->program, m).memory;
        sum.weights += t.weights;
        sum.states += t.states;
        sum.activations += t.activations + t.scratch + t.io;
    }
    printf("  constants       %s\n", qn_cli_bytes(sum.weights, a));
    printf("  states          %s\n", qn_cli_bytes(sum.states, b));
    printf("  working memory  %s\n", qn_cli_bytes(sum.activations, c));
    printf("  total           %s\n", qn_cli_bytes(memory_sum(&sum), d));
}

static void print_text(const program_report *r)
{
    char size[32];
    printf("%s\n", r->path);
    printf("  format          ExecuTorch program\n");
    printf("  file            %s\n", qn_cli_bytes(r->file_bytes, size));
    for (uint32_t m = 0; m < r->n_methods; m++)
        if (!is_constant(r, m)) print_method(r, m);
    print_constants(r);
    print_language_model(r);
    print_memory(r);
}

qn_status qn_cli_info_program(const qn_cli_info_options *o, const char *path)
{
    qn_program *program;
    QN_CLI_TRY(qn_cli_read_program(path, &o->data, &program));
    program_report r = {.path = path, .program = program, .file_bytes = qn_cli_file_bytes(path)};
    for (uint32_t i = 0; i < o->data.n; i++) r.file_bytes += qn_cli_file_bytes(o->data.value[i]);
    r.n_methods = qn_program_n_methods(program);
    r.n_uses = qn_program_operators(program, &r.uses);
    r.language_model = qn_cli_program_facts(program, &r.facts);
    plan_memory(&r, program, &o->engine);
    if (o->json)
        print_json(&r);
    else
        print_text(&r);
    qn_program_close(program);
    return qn_cli_ok();
}
