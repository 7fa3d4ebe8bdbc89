/* bench.c - `quern bench`: speed of a model over a prompt (pp) and token by token (tg). */
#include "bench.h"
#include "commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KERNELS = 64, PROFILE_STEPS = 16 };

typedef struct bench_options {
    qn_cli_lm_options model;
    qn_cli_list prompts, steps, depths;
    uint32_t runs;
    bool profile, json;
    qn_cli_bench_op op;
    qn_cli_engine engine;
} bench_options;

/* A kernel's share of a profiled run. */
typedef struct kernel_time {
    const char *name;
    uint64_t dispatches;
    double ns;
} kernel_time;

typedef struct test {
    uint32_t prompt, steps, depth; /* one of prompt and steps is 0 */
    double median, min, max;       /* tok/s                        */
    uint32_t runs;
    kernel_time kernels[MAX_KERNELS];
    size_t n_kernels;
    double profiled_ns; /* of the profiled tokens: sum of the dispatches' GPU times,                     */
    double pass_ns;     /* GPU time of the whole passes, without the marks between dispatches,           */
    double wall_ns;     /* and the unprofiled median from start to end                                   */
    bool profiled;
} test;

typedef struct bench {
    const bench_options *o;
    qn_cli_lm *lm;
    int32_t *tokens; /* scratch list */
    uint32_t random;
    qn_profile profile;
} bench;

static int32_t random_token(bench *b)
{
    b->random = b->random * 1664525u + 1013904223u;
    return (int32_t)((b->random >> 8) % b->lm->n_vocab);
}

/* Fills tokens[from..to) so that tokens[from] differs from what it was: what is before it is kept. */
static void new_tokens(bench *b, uint32_t from, uint32_t to)
{
    int32_t old = b->tokens[from];
    for (uint32_t i = from; i < to; i++) b->tokens[i] = random_token(b);
    if (b->tokens[from] == old) b->tokens[from] = (old + 1) % (int32_t)b->lm->n_vocab;
}

/* ---- profile --------------------------------------------------------------------------------- */

static void add_kernels(test *t, const qn_graph *graph, qn_profile profile)
{
    if (profile == QN_PROFILE_TOTAL) {
        t->pass_ns += qn_graph_gpu_ns(graph);
        return;
    }
    for (size_t i = 0; i < qn_graph_n_dispatches(graph); i++) {
        qn_trace d = qn_graph_dispatch(graph, i);
        size_t k = 0;
        while (k < t->n_kernels && strcmp(t->kernels[k].name, d.kernel) != 0) k++;
        if (k == MAX_KERNELS) continue;
        if (k == t->n_kernels) t->kernels[t->n_kernels++] = (kernel_time){.name = d.kernel};
        t->kernels[k].dispatches++;
        t->kernels[k].ns += d.gpu_ns;
        t->profiled_ns += d.gpu_ns;
    }
}

static int by_time(const void *a, const void *b)
{
    const kernel_time *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

/* ---- one run --------------------------------------------------------------------------------- */

/* Waits for all queued tokens; adds each execution's kernels to t (NULL: not profiling). */
static qn_status finish(bench *b, test *t)
{
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_READY;) {
        QN_CLI_TRY(b->lm->source->wait(b->lm, &state));
        qn_graph *graph;
        for (uint32_t i = 0; t && (graph = b->lm->source->graph(b->lm, i)); i++) add_kernels(t, graph, b->profile);
    }
    return qn_cli_ok();
}

/* Brings the model to `depth` tokens (for pp at depth 0: to nothing that the prompt could share). */
static qn_status go_to_depth(bench *b, uint32_t depth)
{
    if (depth == 0) return qn_cli_ok();
    QN_CLI_TRY(b->lm->source->set_tokens(b->lm, b->tokens, depth, QN_LOGITS_LAST, NULL));
    return finish(b, NULL);
}

/* Seconds for the test's tokens. steps: as t->steps, or fewer for a profile. */
static qn_status run_once(bench *b, const test *t, uint32_t steps, test *profile, double *seconds)
{
    if (t->prompt) {
        QN_CLI_TRY(go_to_depth(b, t->depth));
        new_tokens(b, t->depth, t->depth + t->prompt);
        double start = qn_cli_seconds();
        QN_CLI_TRY(b->lm->source->set_tokens(b->lm, b->tokens, t->depth + t->prompt, QN_LOGITS_LAST, NULL));
        QN_CLI_TRY(finish(b, profile));
        *seconds = qn_cli_seconds() - start;
        return qn_cli_ok();
    }
    QN_CLI_TRY(go_to_depth(b, t->depth ? t->depth : 1)); /* a step needs something to follow */
    double start = qn_cli_seconds();
    for (uint32_t i = 0; i < steps; i++) {
        QN_CLI_TRY(b->lm->source->append(b->lm, random_token(b)));
        QN_CLI_TRY(finish(b, profile));
    }
    *seconds = qn_cli_seconds() - start;
    return qn_cli_ok();
}

/* ---- one test -------------------------------------------------------------------------------- */

static qn_status set_profile(bench *b, qn_profile profile)
{
    qn_graph *graph;
    for (uint32_t i = 0; (graph = b->lm->source->graph(b->lm, i)); i++) QN_CLI_TRY(qn_cli_profile(graph, profile));
    return qn_cli_ok();
}

/* Runs the test's tokens once more, timed by the GPU. */
static qn_status run_profiled(bench *b, test *t, uint32_t steps, qn_profile profile)
{
    double seconds;
    b->profile = profile;
    qn_status s = set_profile(b, profile);
    if (s.code == QN_OK) s = run_once(b, t, steps, t, &seconds);
    qn_status off = set_profile(b, QN_PROFILE_OFF);
    return s.code == QN_OK ? off : s;
}

static qn_status profile_test(bench *b, test *t)
{
    uint32_t steps = t->steps < PROFILE_STEPS ? t->steps : PROFILE_STEPS;
    qn_status s = run_profiled(b, t, steps, QN_PROFILE_DISPATCHES);
    if (s.code == QN_ERR_UNSUPPORTED) {
        fprintf(stderr, "quern bench: no profile: %s\n", s.text);
        return qn_cli_ok();
    }
    if (s.code == QN_OK) s = run_profiled(b, t, steps, QN_PROFILE_TOTAL);
    qsort(t->kernels, t->n_kernels, sizeof t->kernels[0], by_time);
    t->wall_ns = 1e9 * (double)(t->prompt ? t->prompt : steps) / t->median;
    t->profiled = s.code == QN_OK;
    return s;
}

static qn_status run_test(bench *b, test *t)
{
    double *rates = qn_cli_alloc(b->o->runs, sizeof *rates), seconds;
    uint32_t n = t->prompt ? t->prompt : t->steps;
    new_tokens(b, 0, t->depth + 1);
    qn_status s = run_once(b, t, t->steps, NULL, &seconds); /* warm-up, not counted */
    for (t->runs = 0; s.code == QN_OK && t->runs < b->o->runs; t->runs++) {
        s = run_once(b, t, t->steps, NULL, &seconds);
        rates[t->runs] = seconds > 0 ? (double)n / seconds : 0;
    }
    if (s.code == QN_OK) {
        qsort(rates, t->runs, sizeof *rates, qn_cli_compare_doubles);
        t->median = qn_cli_median(rates, t->runs);
        t->min = rates[0];
        t->max = rates[t->runs - 1];
        if (b->o->profile) s = profile_test(b, t);
    }
    free(rates);
    return s;
}

/* ---- reporting ------------------------------------------------------------------------------- */

static const char *test_name(const test *t, char text[64])
{
    int n = snprintf(text, 64, "%s%" PRIu32, t->prompt ? "pp" : "tg", t->prompt ? t->prompt : t->steps);
    if (t->depth) snprintf(text + n, 64 - (size_t)n, "@%" PRIu32, t->depth);
    return text;
}

static void print_test(const test *t)
{
    char name[64];
    printf("%-14s %10.1f  (%.1f to %.1f, %" PRIu32 " runs)\n", test_name(t, name), t->median, t->min, t->max, t->runs);
    if (!t->profiled) return;
    printf("  %-30s %10s %12s %8s\n", "kernel", "dispatches", "GPU us", "share");
    for (size_t i = 0; i < t->n_kernels; i++)
        printf("  %-30s %10" PRIu64 " %12.1f %7.1f%%\n", t->kernels[i].name, t->kernels[i].dispatches,
               t->kernels[i].ns * 1e-3, t->profiled_ns > 0 ? 100 * t->kernels[i].ns / t->profiled_ns : 0);
    printf("  %-30s %10s %12.1f\n", "sum", "", t->profiled_ns * 1e-3);
    printf("  %-30s %10s %12.1f\n", "passes, undisturbed by marks", "", t->pass_ns * 1e-3);
    printf("  %-30s %10s %12.1f\n", "unprofiled, start to end", "", t->wall_ns * 1e-3);
}

static json_t *test_json(const test *t)
{
    char name[64];
    json_t *o = json_object();
    json_object_set_new(o, "test", json_string(test_name(t, name)));
    json_object_set_new(o, "prompt", qn_cli_json_u64(t->prompt));
    json_object_set_new(o, "steps", qn_cli_json_u64(t->steps));
    json_object_set_new(o, "depth", qn_cli_json_u64(t->depth));
    json_object_set_new(o, "runs", qn_cli_json_u64(t->runs));
    json_object_set_new(o, "median_tokens_per_second", qn_cli_json_real(t->median));
    json_object_set_new(o, "min_tokens_per_second", qn_cli_json_real(t->min));
    json_object_set_new(o, "max_tokens_per_second", qn_cli_json_real(t->max));
    if (!t->profiled) return o;
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_kernels; i++) {
        json_t *k = json_object();
        json_object_set_new(k, "kernel", json_string(t->kernels[i].name));
        json_object_set_new(k, "dispatches", qn_cli_json_u64(t->kernels[i].dispatches));
        json_object_set_new(k, "gpu_us", qn_cli_json_real(t->kernels[i].ns * 1e-3));
        json_array_append_new(list, k);
    }
    json_object_set_new(o, "kernels", list);
    json_object_set_new(o, "kernels_gpu_us", qn_cli_json_real(t->profiled_ns * 1e-3));
    json_object_set_new(o, "passes_gpu_us", qn_cli_json_real(t->pass_ns * 1e-3));
    json_object_set_new(o, "unprofiled_us", qn_cli_json_real(t->wall_ns * 1e-3));
    return o;
}

static void print_report(const bench_options *o, const qn_cli_lm *m, json_t *tests)
{
    uint64_t peak;
    if (!o->json) {
        char text[32];
        qn_engine_gpu_bytes(m->engine, &peak);
        printf("GPU memory peak %s\n", qn_cli_bytes(peak, text));
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "model", qn_cli_json_text(m->path, strlen(m->path)));
    json_object_set_new(object, "device", json_string(qn_engine_device(m->engine)->name));
    json_object_set_new(object, "driver", json_string(qn_engine_device(m->engine)->driver));
    json_object_set_new(object, "ctx", m->ctx ? qn_cli_json_u64(m->ctx) : json_null());
    json_object_set_new(object, "chunk", qn_cli_json_u64(m->chunk));
    json_object_set_new(object, "load_seconds", qn_cli_json_real(m->load_seconds));
    json_object_set_new(object, "gpu_bytes", qn_cli_json_u64(qn_engine_gpu_bytes(m->engine, &peak)));
    json_object_set_new(object, "gpu_peak_bytes", qn_cli_json_u64(peak));
    json_object_set(object, "tests", tests);
    qn_cli_print_json(object);
}

/* ---- the command ----------------------------------------------------------------------------- */

static uint32_t largest(const qn_cli_list *list)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->value[i] > most) most = list->value[i];
    return most;
}

static qn_status run_list(bench *b, const qn_cli_list *list, bool prompt, json_t *tests)
{
    for (uint32_t d = 0; d < b->o->depths.n; d++)
        for (uint32_t i = 0; i < list->n; i++) {
            if (list->value[i] == 0) continue; /* "-p 0": no prompt tests */
            test t = {.prompt = prompt ? list->value[i] : 0,
                      .steps = prompt ? 0 : list->value[i],
                      .depth = b->o->depths.value[d]};
            QN_CLI_TRY(run_test(b, &t));
            if (b->o->json)
                json_array_append_new(tests, test_json(&t));
            else
                print_test(&t);
            fflush(stdout);
        }
    return qn_cli_ok();
}

static qn_status bench_model(bench_options *o, qn_cli_lm *m)
{
    uint32_t most = largest(&o->prompts) > largest(&o->steps) ? largest(&o->prompts) : largest(&o->steps);
    uint64_t ctx = (uint64_t)largest(&o->depths) + most + 1;
    if (ctx > INT32_MAX) return qn_cli_fail(QN_ERR_ARGUMENT, "depth and sizes together are too large");
    o->model.ctx = (uint32_t)ctx;
    QN_CLI_TRY(qn_cli_open_lm(&o->engine, &o->model, m));
    bench b = {.o = o, .lm = m, .random = 1};
    b.tokens = qn_cli_alloc((size_t)ctx + 1, sizeof *b.tokens);
    json_t *tests = json_array();
    if (!o->json) {
        char text[32];
        printf("%s on %s, loaded in %.2f s (%s), chunks of %" PRIu32 "\n", m->path, qn_engine_device(m->engine)->name,
               m->load_seconds, qn_cli_bytes(m->file_bytes, text), m->chunk);
        printf("%-14s %10s\n", "test", "tok/s median");
    }
    qn_status s = run_list(&b, &o->prompts, true, tests);
    if (s.code == QN_OK) s = run_list(&b, &o->steps, false, tests);
    if (s.code == QN_OK) print_report(o, m, tests);
    json_decref(tests);
    free(b.tokens);
    return s;
}

enum { TEST_OPTIONS = 7, OP_OPTIONS = 6 };

static void test_table(bench_options *o, qn_cli_option table[TEST_OPTIONS])
{
    const qn_cli_option options[TEST_OPTIONS] = {
        {.name = "prompt",
         .letter = 'p',
         .kind = QN_CLI_LIST,
         .argument = "N,...",
         .target = &o->prompts,
         .help = "prompt sizes (512; 0: none)"},
        {.name = "tokens",
         .letter = 'n',
         .kind = QN_CLI_LIST,
         .argument = "N,...",
         .target = &o->steps,
         .help = "numbers of tokens generated one by one (128; 0: none)"},
        {.name = "depth",
         .kind = QN_CLI_LIST,
         .argument = "N,...",
         .target = &o->depths,
         .help = "tokens in the context before the test (0)"},
        {.name = "runs",
         .letter = 'r',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->runs,
         .min = 1,
         .max = 1e6,
         .help = "measured runs of each test, after one for warm-up (5;\nwith --op 30)"},
        {.name = "chunk",
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->model.chunk,
         .help = "tokens of one prompt step (default: chosen for the device)"},
        {.name = "profile",
         .kind = QN_CLI_FLAG,
         .target = &o->profile,
         .help = "also print the GPU time of each kernel"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
}

static void op_table(bench_options *o, qn_cli_option table[OP_OPTIONS])
{
    const qn_cli_option options[OP_OPTIONS] = {
        {.name = "op",
         .kind = QN_CLI_TEXT,
         .argument = "OP",
         .target = &o->op.op,
         .help = "time one operation instead of a model: linear_q4gsw,\nsdpa_with_kv_cache or sample"},
        {.name = "shape",
         .kind = QN_CLI_TEXT,
         .argument = "SHAPE",
         .target = &o->op.shape,
         .help =
             "M=1,N=2048,K=2048,group=32, or S=1,pos=511,Hq=32,Hkv=8,D=64\n(with C= the length of the cache, default "
             "pos+S), or\nV=128256,t=80,k=40,p=90 (percent; without t= greedy)"},
        {.name = "scales",
         .kind = QN_CLI_TEXT,
         .argument = "TYPE",
         .target = &o->op.scales,
         .help = "how linear_q4gsw stores its scales: f16 (as GGUF) or f32"},
        {.name = "copies",
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->op.copies,
         .max = 64,
         .help = "copies of the operation over its own weights (default:\nenough to pass the caches)"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
}

static bool parse(int argc, char **argv, bench_options *o, int *code)
{
    *o = (bench_options){.model = {.no_tokenizer = true},
                         .prompts = {1, {512}},
                         .steps = {1, {128}},
                         .depths = {1, {0}},
                         .op = {.scales = "f16", .runs = 30}};
    qn_cli_option model[QN_CLI_LM_OPTIONS], tests[TEST_OPTIONS], op[OP_OPTIONS], engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_lm_table(&o->model, model);
    test_table(o, tests);
    op_table(o, op);
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "bench",
        .synopsis =
            "[-m FILE] [-p N,...] [-n N,...] [options]\n       quern bench --op OP --shape SHAPE [--json] [options]",
        .about = "Measures tokens per second: over a prompt (pp) and one by one (tg), with random tokens and without\n"
                 "sampling; median and range of the runs. With --op: the time of one operation on weights that are\n"
                 "not in any cache, from GPU timestamps where there are any (median_us), and from start to end of an\n"
                 "execution of all copies (wall_us).",
        .tables = {model, tests, op, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (o->runs) o->op.runs = o->runs;
    if (!o->runs) o->runs = 5;
    o->op.json = o->json;
    if (!o->op.op == !o->op.shape) return true;
    *code = qn_cli_misuse("bench", "--op and --shape belong together");
    return false;
}

int qn_cli_bench(int argc, char **argv)
{
    bench_options o;
    int code;
    if (!parse(argc, argv, &o, &code)) return code;
    if (o.op.op) return qn_cli_exit("bench", qn_cli_run_bench_op(&o.op, &o.engine));
    qn_cli_lm m = {.engine = NULL};
    qn_status s = bench_model(&o, &m);
    qn_cli_close_lm(&m);
    return qn_cli_exit("bench", s);
}
