/* tune.c - `quern tune`: measures which kernels are the fastest for a model on this device, and keeps the choice.
 *
 * What is timed is the whole model: a decision between kernels is tried by opening a second session that takes another
 * candidate there, and by timing passes of both in turns, of as many tokens as the decision is for. So every operation
 * of every model is tuned alike, in the company in which it runs. Decisions are taken one after the other, each with
 * the best of those before it; what is not clearly faster changes nothing. */
#include "commands.h"
#include "lm.h"
#include "load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DECISIONS = 256, MIN_PAIRS = 5, MAX_PAIRS = 60, DEFAULT_DEPTH = 128, DEFAULT_PROMPT = 512 };
static const double pair_seconds = 0.3; /* of one candidate, after MIN_PAIRS                       */
static const double hopeless = 1.5;     /* slower by this in the first pair: not measured further  */
static const double margin = 0.003;     /* faster by less than this: no reason to change           */

typedef struct tune_options {
    const char *model;
    uint32_t depth, prompt;
    bool json, reset;
    qn_cli_engine engine;
} tune_options;

typedef struct tuner {
    const tune_options *o;
    qn_engine *engine;
    qn_model *model;
    int32_t *tokens; /* [n_tokens]: depth + prompt */
    uint32_t n_tokens;
    uint32_t rows; /* tokens of a pass                              */
    uint32_t n_passes;
    qn_session *best;  /* with all that is chosen so far                */
    qn_session *other; /* with one candidate more                       */
    bool gpu;          /* passes are timed by the GPU's clock           */
    json_t *list;
} tuner;

/* ---- measuring ------------------------------------------------------------------------------- */

static void close_session(qn_session **session)
{
    if (*session) qn_session_close(*session);
    *session = NULL;
}

static qn_status finish(qn_session *session)
{
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_READY;) QN_CLI_TRY(qn_cli_wait(session, &state));
    return qn_cli_ok();
}

/* Microseconds of a pass behind t->o->depth tokens. */
static qn_status time_pass(tuner *t, qn_session *session, double *us)
{
    size_t at = t->o->depth;
    uint32_t n_vocab = qn_model_get_info(t->model)->n_vocab;
    t->tokens[at] = (int32_t)(t->n_passes++ % n_vocab); /* one this session did not see there: all is computed again */
    QN_CLI_TRY(qn_session_set_tokens(session, t->tokens, at + t->rows, QN_LOGITS_LAST, NULL));
    double start = qn_cli_seconds();
    QN_CLI_TRY(finish(session));
    *us = t->gpu ? 1e-3 * qn_graph_gpu_ns(qn_session_graph(session)) : 1e6 * (qn_cli_seconds() - start);
    return qn_cli_ok();
}

/* A session with the choices as they are, the first tokens in its cache, warmed up. */
static qn_status open_session(tuner *t, qn_session **session)
{
    const qn_session_options options = {.ctx = t->n_tokens, .chunk = t->o->prompt, .precision = QN_PRECISION_AUTO};
    double us;
    QN_CLI_TRY(qn_session_open(t->model, &options, session));
    QN_CLI_TRY(qn_session_set_tokens(*session, t->tokens, t->o->depth, QN_LOGITS_LAST, NULL));
    QN_CLI_TRY(finish(*session));
    qn_status s = qn_cli_profile(qn_session_graph(*session), QN_PROFILE_TOTAL);
    if (s.code != QN_OK && s.code != QN_ERR_UNSUPPORTED) return s;
    t->gpu = s.code == QN_OK;
    return time_pass(t, *session, &us);
}

/* Whether both sessions' last passes ran the same kernels. */
static bool same_kernels(const tuner *t)
{
    const qn_graph *a = qn_session_graph(t->best), *b = qn_session_graph(t->other);
    size_t n = qn_graph_n_dispatches(a);
    if (n != qn_graph_n_dispatches(b)) return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(qn_graph_dispatch(a, i).kernel, qn_graph_dispatch(b, i).kernel) != 0) return false;
    return true;
}

/* Passes of both in turns: median microseconds. *faster: the other one is, clearly. */
static qn_status compare(tuner *t, double *best, double *other, bool *faster)
{
    double us[2][MAX_PAIRS], begin = qn_cli_seconds();
    size_t n = 0, wins = 0;
    do {
        QN_CLI_TRY(time_pass(t, t->best, &us[0][n]));
        QN_CLI_TRY(time_pass(t, t->other, &us[1][n]));
        wins += us[1][n] < us[0][n];
        n++;
    } while (n < MAX_PAIRS && us[1][0] < hopeless * us[0][0] &&
             (n < MIN_PAIRS || qn_cli_seconds() - begin < pair_seconds));
    for (int i = 0; i < 2; i++) qsort(us[i], n, sizeof us[i][0], qn_cli_compare_doubles);
    *best = qn_cli_median(us[0], n);
    *other = qn_cli_median(us[1], n);
    *faster = n >= MIN_PAIRS && *other < *best * (1 - margin) && 4 * wins >= 3 * n;
    return qn_cli_ok();
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* What was found for one decision; microseconds of a pass, 0: it is the same pass. */
typedef struct findings {
    double as_is, us[QN_MAX_CANDIDATES];
    const char *chosen; /* NULL: the defaults */
} findings;

static void report(tuner *t, const qn_decision *d, const findings *f)
{
    if (!t->o->json) {
        printf("%-36s %4" PRIu32 "  %sas it is %.1f", d->what, t->rows, f->chosen ? "" : "*", f->as_is);
        for (uint32_t i = 0; i < d->n_rows; i++)
            if (f->us[i] > 0) printf(" %s%s %.1f", f->chosen == d->rows[i] ? "*" : "", d->rows[i], f->us[i]);
        printf("\n");
        fflush(stdout);
        return;
    }
    json_t *o = json_object(), *all = json_object();
    for (uint32_t i = 0; i < d->n_rows; i++)
        if (f->us[i] > 0) json_object_set_new(all, d->rows[i], qn_cli_json_real(f->us[i]));
    json_object_set_new(o, "what", json_string(d->what));
    json_object_set_new(o, "min_rows", qn_cli_json_u64(d->min_rows));
    json_object_set_new(o, "max_rows", qn_cli_json_u64(d->max_rows));
    json_object_set_new(o, "rows", qn_cli_json_u64(t->rows));
    json_object_set_new(o, "as_is_us", qn_cli_json_real(f->as_is));
    json_object_set_new(o, "candidates_us", all);
    json_object_set_new(o, "chosen", f->chosen ? json_string(f->chosen) : json_null());
    json_array_append_new(t->list, o);
}

/* Tries one candidate against the best so far; *us: of its passes, *best_us: of the best's. */
static qn_status try_candidate(tuner *t, double *us, double *best_us, bool *faster)
{
    *faster = false;
    qn_status s = open_session(t, &t->other);
    if (s.code == QN_ERR_DEVICE_LOST) return s;
    if (s.code == QN_OK && !same_kernels(t)) s = compare(t, best_us, us, faster);
    if (s.code == QN_OK && *faster) {
        qn_session *best = t->other;
        t->other = t->best;
        t->best = best;
    }
    close_session(&t->other);
    if (s.code != QN_OK) *us = 0; /* it does not run here */
    return s.code == QN_ERR_DEVICE_LOST ? s : qn_cli_ok();
}

static qn_status decide(tuner *t, const qn_decision *d)
{
    findings f = {.chosen = NULL};
    for (uint32_t i = 0; i < d->n_rows && !qn_cli_interrupted(); i++) {
        bool faster;
        double best_us = 0;
        QN_CLI_TRY(qn_engine_choose(t->engine, d, d->rows[i]));
        QN_CLI_TRY(try_candidate(t, &f.us[i], &best_us, &faster));
        if (f.as_is == 0) f.as_is = best_us;
        if (faster) f.chosen = d->rows[i];
    }
    QN_CLI_TRY(qn_engine_choose(t->engine, d, f.chosen));
    if (f.as_is > 0) report(t, d, &f);
    return qn_cli_ok();
}

static qn_status tune_rows(tuner *t, uint32_t rows)
{
    t->rows = rows;
    QN_CLI_TRY(open_session(t, &t->best));
    qn_decision *decisions = qn_cli_alloc(MAX_DECISIONS, sizeof *decisions);
    size_t n = qn_graph_decisions(qn_session_graph(t->best), decisions, MAX_DECISIONS);
    qn_status s = qn_cli_ok();
    for (size_t i = 0; s.code == QN_OK && i < n && i < MAX_DECISIONS; i++) {
        const qn_decision *d = &decisions[i];
        bool fits = rows >= d->min_rows && (d->max_rows == 0 || rows <= d->max_rows);
        if (fits && d->n_rows > 1) s = decide(t, d);
    }
    free(decisions);
    close_session(&t->best);
    return s;
}

/* ---- the command ----------------------------------------------------------------------------- */

static qn_status open_model(tuner *t)
{
    char path[4096];
    QN_CLI_TRY(qn_cli_model_path(t->o->model, path, sizeof path));
    QN_CLI_TRY(qn_cli_open_engine(&t->o->engine, &t->engine));
    const qn_model_options options = {.no_tokenizer = true};
    return qn_cli_load(t->engine, path, &options, &t->model);
}

/* Before minutes of work whose result could not be kept. */
static qn_status check_cache(const tune_options *o)
{
    char path[4096];
    if (o->engine.no_cache && o->reset)
        return qn_cli_fail(QN_ERR_ARGUMENT, "--reset and --no-cache exclude each other");
    if (o->engine.no_cache || qn_cli_user_cache(path, sizeof path)) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_IO,
                       "there is no folder to keep the choices in: set HOME or XDG_CACHE_HOME to one that can "
                       "be written, or give --no-cache to only measure");
}

/* Passes of one, a few, some tokens and of a prompt, far enough apart to be tuned apart. */
static qn_status tune(tuner *t)
{
    QN_CLI_TRY(check_cache(t->o));
    QN_CLI_TRY(open_model(t));
    uint32_t most = qn_model_get_info(t->model)->n_ctx_train;
    t->n_tokens = t->o->depth + t->o->prompt;
    if (t->n_tokens > most)
        return qn_cli_fail(QN_ERR_ARGUMENT, "--depth and --prompt together pass the model's context of %" PRIu32, most);
    t->tokens = qn_cli_alloc(t->n_tokens, sizeof *t->tokens);
    for (uint32_t i = 0; i < t->n_tokens; i++) t->tokens[i] = 1;
    const uint32_t rows[] = {1, 4, 32};
    qn_engine_forget_choices(t->engine);
    if (!t->o->json) printf("%-36s %4s  microseconds of a pass by kernel, * chosen\n", "decision", "rows");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !qn_cli_interrupted(); i++)
        if (2 * rows[i] < t->o->prompt) QN_CLI_TRY(tune_rows(t, rows[i]));
    if (!qn_cli_interrupted()) QN_CLI_TRY(tune_rows(t, t->o->prompt));
    if (qn_cli_interrupted()) return qn_cli_fail(QN_ERR_STATE, "interrupted: nothing is kept");
    return t->o->engine.no_cache ? qn_cli_ok() : qn_engine_save_choices(t->engine);
}

static qn_status reset(tuner *t)
{
    QN_CLI_TRY(check_cache(t->o));
    QN_CLI_TRY(qn_cli_open_engine(&t->o->engine, &t->engine));
    qn_engine_forget_choices(t->engine);
    return qn_engine_save_choices(t->engine);
}

static void close_tuner(tuner *t)
{
    close_session(&t->best);
    close_session(&t->other);
    if (t->model) qn_model_close(t->model);
    if (t->engine) qn_engine_close(t->engine);
    free(t->tokens);
}

static bool parse(int argc, char **argv, tune_options *o, int *code)
{
    *o = (tune_options){.depth = DEFAULT_DEPTH, .prompt = DEFAULT_PROMPT};
    const qn_cli_option own[] = {
        qn_cli_model_option(&o->model, qn_cli_model_help),
        {.name = "depth",
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->depth,
         .help = "tokens in the cache before each pass (default: 128)",
         .min = 1,
         .max = INT32_MAX / 2},
        {.name = "prompt",
         .letter = 'p',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->prompt,
         .help = "tokens of the largest pass (default: 512)",
         .min = 1,
         .max = INT32_MAX / 2},
        {.name = "reset",
         .kind = QN_CLI_FLAG,
         .target = &o->reset,
         .help = "only forget what was chosen on this device"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON"},
        {.name = NULL},
    };
    qn_cli_option engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "tune",
        .synopsis = "[-m FILE] [options]",
        .about =
            "Measures on this device which kernels are the fastest for a model, for one token, a few and a prompt,\n"
            "and keeps the choice instead of what was chosen before: later commands use it, for every model with "
            "weights of\n"
            "the same shapes.",
        .tables = {own, engine},
    };
    qn_cli_rest rest;
    return qn_cli_parse(&usage, argc, argv, &rest, code);
}

int qn_cli_tune(int argc, char **argv)
{
    tune_options o;
    int code;
    if (!parse(argc, argv, &o, &code)) return code;
    tuner t = {.o = &o, .list = json_array()};
    qn_cli_arm_interrupt();
    qn_status s = o.reset ? reset(&t) : tune(&t);
    if (s.code == QN_OK && o.json) {
        json_t *object = json_object();
        json_object_set_new(object, "device", json_string(qn_engine_device(t.engine)->name));
        json_object_set(object, "decisions", t.list);
        qn_cli_print_json(object);
    }
    json_decref(t.list);
    close_tuner(&t);
    return qn_cli_exit("tune", s);
}
