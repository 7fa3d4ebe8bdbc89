/* info.c - `quern info`: what a GGUF file holds, from its header alone. */
#include "info.h"
#include "commands.h"
#include "lm.h"
#include "program.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct type_count {
    const char *type;
    bool supported;
    uint64_t tensors, bytes;
} type_count;

typedef struct info_report {
    const char *path;
    const qn_model_info *info;
    const qn_inspection *file;
    type_count *types;
    size_t n_types;
    char device[128]; /* "" when none could be opened: then the core limits of WebGPU are assumed */
    qn_memory_plan memory;
    qn_status memory_status;
} info_report;

static void count_types(info_report *r)
{
    size_t n = qn_inspect_n_tensors(r->file);
    r->types = qn_cli_alloc(n, sizeof *r->types);
    for (size_t i = 0; i < n; i++) {
        const qn_tensor_info *t = qn_inspect_tensor(r->file, i);
        size_t k = 0;
        while (k < r->n_types && strcmp(r->types[k].type, t->type) != 0) k++;
        if (k == r->n_types) r->types[r->n_types++] = (type_count){.type = t->type, .supported = t->supported};
        r->types[k].tensors++;
        r->types[k].bytes += t->file_bytes;
    }
}

qn_engine *qn_cli_info_engine(const qn_cli_engine *e, char name[128])
{
    qn_engine *engine;
    qn_status s = qn_cli_open_engine(e, &engine);
    if (s.code == QN_OK)
        snprintf(name, 128, "%s", qn_engine_device(engine)->name);
    else
        fprintf(stderr, "quern info: %s; assuming the core limits of WebGPU\n", s.text);
    return engine;
}

/* Limits and kind of the device decide how weights are split and how long a chunk is, so it is asked. */
static void predict_memory(info_report *r, const qn_cli_engine *e, const qn_cli_info_options *o)
{
    const qn_session_options session = {
        .ctx = o->ctx, .precision = QN_PRECISION_AUTO, .kv_type = (qn_kv_type)o->kv_type}; /* as run and chat */
    qn_engine *engine = qn_cli_info_engine(e, r->device);
    r->memory_status =
        qn_inspect_memory(r->file, engine ? qn_engine_device(engine) : NULL, &session, e->gpu_memory, &r->memory);
    qn_engine_close(engine);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *tensors_json(const qn_inspection *file)
{
    json_t *list = json_array();
    for (size_t i = 0; i < qn_inspect_n_tensors(file); i++) {
        const qn_tensor_info *t = qn_inspect_tensor(file, i);
        json_t *o = json_object(), *dims = json_array();
        for (uint32_t d = 0; d < t->n_dims && d < 4; d++) json_array_append_new(dims, qn_cli_json_u64(t->dims[d]));
        json_object_set_new(o, "name", qn_cli_json_text(t->name, strlen(t->name)));
        json_object_set_new(o, "type", json_string(t->type));
        json_object_set_new(o, "dims", dims);
        json_object_set_new(o, "bytes", qn_cli_json_u64(t->file_bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *types_json(const info_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_types; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "type", json_string(r->types[i].type));
        json_object_set_new(o, "supported", json_boolean(r->types[i].supported));
        json_object_set_new(o, "tensors", qn_cli_json_u64(r->types[i].tensors));
        json_object_set_new(o, "bytes", qn_cli_json_u64(r->types[i].bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *memory_json(const info_report *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "device", r->device[0] ? json_string(r->device) : json_null());
    if (r->memory_status.code != QN_OK) {
        json_object_set_new(o, "error", json_string(r->memory_status.text));
        return o;
    }
    json_object_set_new(o, "ctx", qn_cli_json_u64(r->memory.ctx));
    json_object_set_new(o, "chunk", qn_cli_json_u64(r->memory.chunk));
    json_object_set_new(o, "weights", qn_cli_json_u64(r->memory.weights));
    json_object_set_new(o, "kv", qn_cli_json_u64(r->memory.kv));
    json_object_set_new(o, "working", qn_cli_json_u64(r->memory.working));
    json_object_set_new(o, "total", qn_cli_json_u64(r->memory.total));
    return o;
}

static void print_info_json(const info_report *r)
{
    const qn_model_info *i = r->info;
    json_t *o = json_object();
    json_object_set_new(o, "path", qn_cli_json_text(r->path, strlen(r->path)));
    json_object_set_new(o, "name", qn_cli_json_text(i->name, strlen(i->name)));
    json_object_set_new(o, "architecture", qn_cli_json_text(i->architecture, strlen(i->architecture)));
    json_object_set_new(o, "file_bytes", qn_cli_json_u64(i->file_bytes));
    json_object_set_new(o, "parameters", qn_cli_json_u64(i->n_parameters));
    const struct {
        const char *name;
        uint32_t value;
    } numbers[] = {
        {"n_vocab", i->n_vocab}, {"n_ctx_train", i->n_ctx_train}, {"n_embd", i->n_embd},     {"n_layers", i->n_layers},
        {"n_heads", i->n_heads}, {"n_kv_heads", i->n_kv_heads},   {"head_dim", i->head_dim}, {"n_ff", i->n_ff}};
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
        json_object_set_new(o, numbers[k].name, qn_cli_json_u64(numbers[k].value));
    json_object_set_new(o, "rope_freq_base", qn_cli_json_real((double)i->rope_freq_base));
    json_object_set_new(o, "rms_eps", qn_cli_json_real((double)i->rms_eps));
    json_object_set_new(o, "tied_output", json_boolean(i->tied_output));
    json_object_set_new(o, "has_tokenizer", json_boolean(i->has_tokenizer));
    json_object_set_new(o, "tokenizer", qn_cli_json_text(i->tokenizer, strlen(i->tokenizer)));
    json_object_set_new(o, "chat_template", qn_cli_json_text(i->chat_template, strlen(i->chat_template)));
    json_object_set_new(o, "kv_bytes_per_token", qn_cli_json_u64(i->kv_bytes_per_token));
    json_object_set_new(o, "gpu_memory", memory_json(r));
    json_object_set_new(o, "types", types_json(r));
    json_object_set_new(o, "tensors", tensors_json(r->file));
    qn_cli_print_json(o);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_tensors(const qn_inspection *file)
{
    for (size_t i = 0; i < qn_inspect_n_tensors(file); i++) {
        const qn_tensor_info *t = qn_inspect_tensor(file, i);
        char dims[96] = "", size[32];
        size_t at = 0;
        for (uint32_t d = 0; d < t->n_dims && d < 4; d++)
            at += (size_t)snprintf(dims + at, sizeof dims - at, d ? " x %" PRIu64 : "%" PRIu64, t->dims[d]);
        printf("  %-36s %-8s %-22s %s\n", t->name, t->type, dims, qn_cli_bytes(t->file_bytes, size));
    }
}

static void print_memory(const info_report *r)
{
    char a[32], b[32], c[32], d[32];
    printf("GPU memory on %s\n", r->device[0] ? r->device : "a device with core WebGPU limits");
    if (r->memory_status.code != QN_OK) {
        printf("  cannot run: %s\n", r->memory_status.text);
        return;
    }
    printf("  weights         %s\n", qn_cli_bytes(r->memory.weights, a));
    printf("  KV cache        %s (context %" PRIu32 ")\n", qn_cli_bytes(r->memory.kv, b), r->memory.ctx);
    printf("  working memory  %s (prompt in chunks of %" PRIu32 ")\n", qn_cli_bytes(r->memory.working, c),
           r->memory.chunk);
    printf("  total           %s\n", qn_cli_bytes(r->memory.total, d));
}

static void print_info(const info_report *r, bool tensors)
{
    const qn_model_info *i = r->info;
    char size[32];
    printf("%s\n", r->path);
    printf("  name            %s\n", i->name);
    printf("  architecture    %s\n", i->architecture);
    printf("  file            %s\n", qn_cli_bytes(i->file_bytes, size));
    printf("  parameters      %.1f million\n", (double)i->n_parameters * 1e-6);
    printf("  layers          %" PRIu32 "\n", i->n_layers);
    printf("  embedding       %" PRIu32 ", feed-forward %" PRIu32 "\n", i->n_embd, i->n_ff);
    printf("  heads           %" PRIu32 " (%" PRIu32 " for keys and values) of %" PRIu32 "\n", i->n_heads,
           i->n_kv_heads, i->head_dim);
    printf("  vocabulary      %" PRIu32 ", output %s\n", i->n_vocab,
           i->tied_output ? "tied to the embedding" : "untied");
    printf("  context         %" PRIu32 " as trained, %s of KV cache a token in f32\n", i->n_ctx_train,
           qn_cli_bytes(i->kv_bytes_per_token, size));
    printf("  rope base       %g, norm eps %g\n", (double)i->rope_freq_base, (double)i->rms_eps);
    printf("  tokenizer       %s%s\n", i->has_tokenizer ? "" : "not supported: ", i->tokenizer);
    printf("  chat template   %s\n", i->chat_template[0] ? i->chat_template : "none");
    printf("tensors           %zu\n", qn_inspect_n_tensors(r->file));
    for (size_t k = 0; k < r->n_types; k++)
        printf("  %-6s %5" PRIu64 "    %s%s\n", r->types[k].type, r->types[k].tensors,
               qn_cli_bytes(r->types[k].bytes, size), r->types[k].supported ? "" : " (not supported)");
    if (tensors) print_tensors(r->file);
    print_memory(r);
}

static int info_gguf(const qn_cli_info_options *o, const char *path)
{
    qn_inspection *file;
    qn_status s = qn_inspect_open(NULL, path, &file);
    if (s.code == QN_OK && o->data.n) {
        s = qn_cli_fail(QN_ERR_ARGUMENT, "--data: %s is no program", path);
        qn_inspect_close(file);
    }
    if (s.code != QN_OK) return qn_cli_exit("info", s);
    info_report r = {.path = path, .info = qn_inspect_info(file), .file = file};
    count_types(&r);
    predict_memory(&r, &o->engine, o);
    if (o->json)
        print_info_json(&r);
    else
        print_info(&r, o->tensors);
    free(r.types);
    qn_inspect_close(file);
    return 0;
}

static bool parse(int argc, char **argv, qn_cli_info_options *o, int *code)
{
    *o = (qn_cli_info_options){.model = NULL};
    const qn_cli_option own[] = {
        qn_cli_model_option(&o->model, "the same as FILE"),
        qn_cli_data_option(&o->data),
        qn_cli_ctx_option(
            &o->ctx, "predict the memory of a GGUF file for a context of N\ntokens (default: what `run` would take)"),
        qn_cli_kv_type_option(&o->kv_type),
        {.name = "tensors",
         .letter = 't',
         .kind = QN_CLI_FLAG,
         .target = &o->tensors,
         .help = "list every tensor of a GGUF file"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON (with every tensor)"},
        {.name = NULL},
    };
    qn_cli_option shared[QN_CLI_ENGINE_OPTIONS];
    qn_cli_engine_table(&o->engine, shared);
    const qn_cli_usage usage = {
        .command = "info",
        .synopsis = "[FILE] [--data FILE] [--ctx N] [--json]",
        .about =
            "Prints what a GGUF file or a program of ExecuTorch (.pte) holds and the GPU memory that it will take\n"
            "on the device: of a GGUF file from the header alone; of a program its methods with their inputs,\n"
            "outputs and operators, and which operators this version does not run.",
        .tables = {own, shared},
        .max_rest = 1,
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (rest.n && o->model) {
        *code = qn_cli_misuse("info", "give the file once");
        return false;
    }
    if (rest.n) o->model = rest.items[0];
    return true;
}

int qn_cli_info(int argc, char **argv)
{
    qn_cli_info_options o;
    int code;
    char path[4096];
    if (!parse(argc, argv, &o, &code)) return code;
    qn_status s = qn_cli_model_path(o.model, path, sizeof path);
    if (s.code != QN_OK) return qn_cli_exit("info", s);
    if (qn_cli_is_program(path)) return qn_cli_exit("info", qn_cli_info_program(&o, path));
    return info_gguf(&o, path);
}
