/* bench.c - `quern bench`: speed of a model over a prompt (pp) and token by token (tg). */
#include "bench.h"
#include "commands.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_options {
    qn_cli_lm_options model;
    qn_cli_list prompts, steps, depths;
    uint32_t runs;
    bool profile, json, stepwise;
    qn_cli_bench_op op;
    qn_cli_engine engine;
} bench_options;

/* Which figures of an execution are taken. */
typedef enum taking {
    TAKE_NOTHING = 0,
    TAKE_HOST,    /* counts and times of the host           */
    TAKE_PASSES,  /* GPU time of the passes                 */
    TAKE_KERNELS, /* GPU time of each dispatch              */
} taking;

typedef struct bench {
    const bench_options *o;
    qn_cli_lm *lm;
    int32_t *tokens; /* scratch list */
    uint32_t random;
    qn_peaks peaks;
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

/* ---- figures --------------------------------------------------------------------------------- */

/* "blk.11.ffn_up.weight" to "blk.*.ffn_up.weight"; the operation where the node has no name. */
static void node_label(const qn_trace *d, char label[64])
{
    const char *from = d->node && d->node[0] ? d->node : d->op;
    size_t n = 0;
    for (; *from && n < 63; from++) {
        bool digit = isdigit((unsigned char)*from) != 0;
        if (digit && n > 0 && label[n - 1] == '*') continue;
        label[n++] = digit ? '*' : *from;
    }
    label[n] = '\0';
}

static void add_kernels(qn_bench_test *t, const qn_graph *graph)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(graph); i++) {
        qn_trace d = qn_graph_dispatch(graph, i);
        qn_bench_kernel new = {.kernel = d.kernel};
        node_label(&d, new.node);
        size_t k = 0;
        while (k < t->n_kernels &&
               (strcmp(t->kernels[k].kernel, d.kernel) != 0 || strcmp(t->kernels[k].node, new.node) != 0))
            k++;
        if (k == t->n_kernels) {
            t->kernels = qn_cli_resize(t->kernels, ++t->n_kernels, sizeof new);
            t->kernels[k] = new;
        }
        t->kernels[k].dispatches++;
        t->kernels[k].ns += d.gpu_ns;
        t->kernels[k].flops += d.flops;
        t->kernels[k].bytes += d.bytes;
    }
}

static void take_figures(qn_bench_test *t, const qn_graph *graph, taking what)
{
    qn_execute_counts counts = qn_graph_execute_counts(graph);
    if (what == TAKE_HOST) {
        t->executions++;
        t->dispatches += counts.dispatches;
        t->plan_ns += counts.plan_ns;
        t->encode_ns += counts.encode_ns;
    }
    if (what == TAKE_PASSES) t->pass_ns += qn_graph_gpu_ns(graph);
    if (what == TAKE_KERNELS) add_kernels(t, graph);
}

/* ---- one run --------------------------------------------------------------------------------- */

/* Waits for all queued tokens; t may be NULL for TAKE_NOTHING. */
static qn_status finish(bench *b, qn_bench_test *t, taking what)
{
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_READY;) {
        QN_CLI_TRY(b->lm->source->wait(b->lm, &state));
        qn_graph *graph;
        for (uint32_t i = 0; what && (graph = b->lm->source->graph(b->lm, i)); i++) take_figures(t, graph, what);
    }
    return qn_cli_ok();
}

/* Brings the model to `depth` tokens (for pp at depth 0: to nothing that the prompt could share). */
static qn_status go_to_depth(bench *b, uint32_t depth)
{
    if (depth == 0) return qn_cli_ok();
    QN_CLI_TRY(b->lm->source->set_tokens(b->lm, b->tokens, depth, QN_LOGITS_LAST, NULL));
    return finish(b, NULL, TAKE_NOTHING);
}

static qn_status set_profile(bench *b, qn_profile profile)
{
    qn_graph *graph;
    for (uint32_t i = 0; (graph = b->lm->source->graph(b->lm, i)); i++) QN_CLI_TRY(qn_cli_profile(graph, profile));
    return qn_cli_ok();
}

/* Tokens that the GPU picks (the likeliest) and goes on with by itself. */
static qn_status generate(bench *b, qn_bench_test *t, taking what)
{
    QN_CLI_TRY(qn_session_generate(b->lm->session, &(qn_generate_options){.max_tokens = t->steps}));
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_END;) {
        QN_CLI_TRY(qn_cli_wait(b->lm->session, &state));
        if (what && state == QN_STEP_TOKEN) take_figures(t, qn_session_graph(b->lm->session), what);
    }
    return qn_cli_ok();
}

/* Random tokens, each given after the logits of the one before it are there. */
static qn_status append(bench *b, qn_bench_test *t, taking what)
{
    for (uint32_t i = 0; i < t->steps; i++) {
        QN_CLI_TRY(b->lm->source->append(b->lm, random_token(b)));
        QN_CLI_TRY(finish(b, t, what));
    }
    return qn_cli_ok();
}

/* Seconds for the test's tokens, behind what go_to_depth left. */
static qn_status run_tokens(bench *b, qn_bench_test *t, taking what, double *seconds)
{
    double start = qn_cli_seconds();
    if (t->prompt) {
        QN_CLI_TRY(b->lm->source->set_tokens(b->lm, b->tokens, t->depth + t->prompt, QN_LOGITS_LAST, NULL));
        QN_CLI_TRY(finish(b, t, what));
    }
    bool streams = b->lm->session && b->lm->n_vocab <= QN_SAMPLE_MAX_VOCAB && !b->o->stepwise;
    if (t->steps) QN_CLI_TRY(streams ? generate(b, t, what) : append(b, t, what));
    *seconds = qn_cli_seconds() - start;
    return qn_cli_ok();
}

static qn_status run_once(bench *b, qn_bench_test *t, taking what, double *seconds)
{
    static const qn_profile profiles[] = {[TAKE_PASSES] = QN_PROFILE_TOTAL, [TAKE_KERNELS] = QN_PROFILE_DISPATCHES};
    QN_CLI_TRY(go_to_depth(b, t->depth || t->prompt ? t->depth : 1)); /* a step needs something to follow */
    if (t->prompt) new_tokens(b, t->depth, t->depth + t->prompt);
    QN_CLI_TRY(set_profile(b, profiles[what]));
    qn_status s = run_tokens(b, t, what, seconds);
    qn_status off = set_profile(b, QN_PROFILE_OFF);
    return s.code == QN_OK ? off : s;
}

/* ---- one test -------------------------------------------------------------------------------- */

/* GPU times, where the device has a clock. */
static qn_status run_profiled(bench *b, qn_bench_test *t)
{
    double seconds = 0;
    qn_status s = run_once(b, t, TAKE_PASSES, &seconds);
    if (s.code == QN_OK && b->o->profile) s = run_once(b, t, TAKE_KERNELS, &seconds);
    qn_bench_settle(t);
    if (s.code != QN_ERR_UNSUPPORTED) return s;
    if (b->o->profile) fprintf(stderr, "quern bench: no profile: %s\n", s.text);
    return qn_cli_ok();
}

static qn_status run_test(bench *b, qn_bench_test *t)
{
    double seconds = 0;
    uint32_t n = t->prompt ? t->prompt : t->steps;
    new_tokens(b, 0, t->depth + 1);
    QN_CLI_TRY(run_once(b, t, TAKE_NOTHING, &seconds)); /* warm-up, not counted */
    while (t->n_runs < b->o->runs) {
        QN_CLI_TRY(run_once(b, t, TAKE_HOST, &seconds));
        t->rates[t->n_runs++] = seconds > 0 ? (double)n / seconds : 0;
    }
    qsort(t->rates, t->n_runs, sizeof t->rates[0], qn_cli_compare_doubles);
    return run_profiled(b, t);
}

static qn_status run_and_report(bench *b, qn_bench_test *t, json_t *tests)
{
    t->rates = qn_cli_alloc(b->o->runs, sizeof *t->rates);
    qn_status s = run_test(b, t);
    if (s.code == QN_OK && b->o->json) json_array_append_new(tests, qn_bench_json(t, &b->peaks));
    if (s.code == QN_OK && !b->o->json) qn_bench_print(t, &b->peaks);
    fflush(stdout);
    free(t->rates);
    free(t->kernels);
    return s;
}

static qn_status run_list(bench *b, const qn_cli_list *list, bool prompt, json_t *tests)
{
    for (uint32_t d = 0; d < b->o->depths.n; d++)
        for (uint32_t i = 0; i < list->n; i++) {
            if (list->value[i] == 0) continue; /* "-p 0": no prompt tests */
            qn_bench_test t = {.prompt = prompt ? list->value[i] : 0,
                               .steps = prompt ? 0 : list->value[i],
                               .depth = b->o->depths.value[d]};
            QN_CLI_TRY(run_and_report(b, &t, tests));
        }
    return qn_cli_ok();
}

/* ---- the command ----------------------------------------------------------------------------- */

static void print_begin(const bench *b)
{
    const qn_cli_lm *m = b->lm;
    const qn_device_info *device = qn_engine_device(m->engine);
    char text[32];
    if (b->o->json) return;
    printf("%s on %s, %s\nloaded in %.2f s (%s), chunks of %" PRIu32 ", precision %s\n", m->path, device->name,
           device->driver, m->load_seconds, qn_cli_bytes(m->file_bytes, text), m->chunk, qn_cli_lm_precision(m));
    if (b->o->profile) qn_bench_print_peaks(&b->peaks);
    putchar('\n');
    qn_bench_print_head();
}

static void print_end(const bench *b, json_t *tests)
{
    const qn_cli_lm *m = b->lm;
    uint64_t peak, bytes = qn_engine_gpu_bytes(m->engine, &peak);
    if (!b->o->json) {
        char text[32];
        printf("GPU memory peak %s\n", qn_cli_bytes(peak, text));
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "model", qn_cli_json_text(m->path, strlen(m->path)));
    json_object_set_new(object, "device", json_string(qn_engine_device(m->engine)->name));
    json_object_set_new(object, "driver", json_string(qn_engine_device(m->engine)->driver));
    json_object_set_new(object, "precision", json_string(qn_cli_lm_precision(m)));
    json_object_set_new(object, "ctx", m->ctx ? qn_cli_json_u64(m->ctx) : json_null());
    json_object_set_new(object, "chunk", qn_cli_json_u64(m->chunk));
    json_object_set_new(object, "load_seconds", qn_cli_json_real(m->load_seconds));
    json_object_set_new(object, "gpu_bytes", qn_cli_json_u64(bytes));
    json_object_set_new(object, "gpu_peak_bytes", qn_cli_json_u64(peak));
    if (b->o->profile) json_object_set_new(object, "peaks", qn_bench_peaks_json(&b->peaks));
    json_object_set(object, "tests", tests);
    qn_cli_print_json(object);
}

static uint32_t largest(const qn_cli_list *list)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->value[i] > most) most = list->value[i];
    return most;
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
    if (o->profile) qn_bench_measure_peaks(m->engine, &b.peaks);
    print_begin(&b);
    qn_status s = run_list(&b, &o->prompts, true, tests);
    if (s.code == QN_OK) s = run_list(&b, &o->steps, false, tests);
    if (s.code == QN_OK) print_end(&b, tests);
    json_decref(tests);
    free(b.tokens);
    return s;
}

enum { TEST_OPTIONS = 8, OP_OPTIONS = 6 };

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
        {.name = "stepwise",
         .kind = QN_CLI_FLAG,
         .target = &o->stepwise,
         .help = "generate with logits read back after every token, none\nsampled (default: greedily on the GPU)"},
        {.name = "profile",
         .kind = QN_CLI_FLAG,
         .target = &o->profile,
         .help = "also print the GPU time of each kernel, and what it reaches of\nthe device's measured peaks"},
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
         .help = "time one operation instead of a model: linear_q4gsw,\nsdpa_with_kv_cache, attend or sample"},
        {.name = "shape",
         .kind = QN_CLI_TEXT,
         .argument = "SHAPE",
         .target = &o->op.shape,
         .help =
             "M=1,N=2048,K=2048,group=32, or S=1,pos=511,Hq=32,Hkv=8,D=64\n(with C= the length of the cache, default "
             "pos+S; attend: kv=16\nor kv=8 for a cache of f16 or q8_0), or\nV=128256,t=80,k=40,p=90 (percent; without "
             "t= greedy)"},
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
    *o = (bench_options){.model = {.no_tokenizer = true, .precision = QN_PRECISION_AUTO},
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
        .about =
            "Measures tokens per second: over prompts of random tokens (pp), and one by one (tg), the likeliest\n"
            "picked on the GPU; median and range of the runs; times from start to end and on the GPU, and of the host "
            "for\n"
            "planning and recording (most of which is done while the GPU works). With --op: the time of one\n"
            "operation on weights that are not in any cache, from GPU timestamps where there are any (median_us),\n"
            "and from start to end of an execution of all copies (wall_us).",
        .tables = {model, tests, op, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (o->runs) o->op.runs = o->runs;
    if (!o->runs) o->runs = 5;
    o->op.json = o->json;
    o->op.peaks = o->profile;
    o->op.precision = (qn_precision)o->model.precision;
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
