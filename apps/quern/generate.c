/* generate.c - prompt in, tokens out. */
#include "generate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void qn_cli_sampling_table(qn_cli_sampling *s, qn_cli_option table[QN_CLI_SAMPLING_OPTIONS])
{
    *s = (qn_cli_sampling){.temperature = 0.8f, .top_p = 0.9f, .seed = UINT64_MAX};
    const qn_cli_option options[QN_CLI_SAMPLING_OPTIONS] = {
        {.name = "temp",
         .kind = QN_CLI_FLOAT,
         .argument = "T",
         .target = &s->temperature,
         .max = 100,
         .help = "temperature (0.8); 0 always takes the likeliest token"},
        {.name = "top-k",
         .kind = QN_CLI_U32,
         .argument = "K",
         .target = &s->top_k,
         .help = "choose among the K likeliest tokens (0: all)"},
        {.name = "top-p",
         .kind = QN_CLI_FLOAT,
         .argument = "P",
         .target = &s->top_p,
         .max = 1,
         .help = "choose among the likeliest tokens that together have\nprobability P (0.9; 1: all)"},
        {.name = "min-p",
         .kind = QN_CLI_FLOAT,
         .argument = "P",
         .target = &s->min_p,
         .max = 1,
         .help = "drop tokens less likely than P times the likeliest (0)"},
        {.name = "repeat-penalty",
         .kind = QN_CLI_FLOAT,
         .argument = "R",
         .target = &s->repeat_penalty,
         .max = 100,
         .help = "above 1 makes recent tokens less likely (0: off)"},
        {.name = "repeat-window",
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &s->repeat_window,
         .help = "how many tokens count as recent (64)"},
        {.name = "seed",
         .kind = QN_CLI_U64,
         .argument = "N",
         .target = &s->seed,
         .help = "the same seed gives the same text (default: random)"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
}

qn_status qn_cli_open_sampler(qn_cli_sampling *s, qn_cli_generation *g)
{
    if (s->seed == UINT64_MAX) s->seed = qn_cli_random_seed();
    g->sampling = (qn_sampler_options){
        .temperature = s->temperature,
        .top_k = s->top_k,
        .top_p = s->top_p,
        .min_p = s->min_p,
        .repetition_penalty = s->repeat_penalty,
        .repetition_window = s->repeat_window,
        .seed = s->seed,
    };
    return qn_sampler_open(&g->sampling, g->lm->n_vocab, &g->sampler);
}

const char *qn_cli_stop_name(qn_cli_stop stop)
{
    switch (stop) {
    case QN_CLI_STOP_LIMIT:
        return "as many tokens as asked for (-n)";
    case QN_CLI_STOP_END:
        return "the model ended the text";
    case QN_CLI_STOP_CONTEXT:
        return "the context is full (see --ctx)";
    case QN_CLI_STOP_INTERRUPT:
        return "interrupted";
    }
    return "";
}

/* ---- output ---------------------------------------------------------------------------------- */

typedef struct writer {
    qn_utf8_hold hold;
    char *text;
    size_t capacity;
} writer;

/* Writes a token's bytes, or with bytes NULL what is still held back. */
static qn_status write_bytes(writer *w, qn_cli_generation *g, const char *bytes, size_t n)
{
    if (w->capacity < 3 * (n + 4)) {
        w->capacity = 3 * (n + 4) + 64;
        w->text = qn_cli_resize(w->text, w->capacity, 1);
    }
    size_t size = qn_utf8_push(&w->hold, bytes, n, w->text);
    if (size == 0) return qn_cli_ok();
    g->at_line_start = w->text[size - 1] == '\n';
    if (fwrite(w->text, 1, size, stdout) != size || fflush(stdout) != 0)
        return qn_cli_fail(QN_ERR_IO, "cannot write to standard output");
    return qn_cli_ok();
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* A token as text, or as an id between spaces. */
static qn_status write_token(writer *w, qn_cli_generation *g, int32_t token)
{
    size_t n;
    if (!g->tokenizer) {
        char id[16];
        int size = snprintf(id, sizeof id, g->at_line_start ? "%" PRId32 : " %" PRId32, token);
        return write_bytes(w, g, id, (size_t)size);
    }
    const char *bytes = qn_tokenizer_bytes(g->tokenizer, token, &n);
    if (n == 0 || qn_tokenizer_is_special(g->tokenizer, token)) return qn_cli_ok();
    return write_bytes(w, g, bytes, n);
}

static void keep_token(qn_cli_generation *g, int32_t token)
{
    if (g->n_generated >= g->made_capacity) {
        g->made_capacity = 2 * g->made_capacity + 256;
        g->made = qn_cli_resize(g->made, g->made_capacity, sizeof *g->made);
    }
    g->made[g->n_generated++] = token;
}

void qn_cli_end_generation(qn_cli_generation *g)
{
    free(g->made);
    g->made = NULL;
    g->made_capacity = g->n_generated = 0;
}

/* Ends the time of the prompt and begins that of the generation. */
static void prompt_is_done(qn_cli_generation *g, double *start)
{
    double now = qn_cli_seconds();
    g->prompt_seconds = now - *start;
    *start = now;
}

/* The GPU picks the tokens, and goes on with them by itself. */
static qn_status stream_tokens(qn_cli_generation *g, writer *w, double *start)
{
    static const qn_cli_stop stops[] = {[QN_STOP_TOKEN] = QN_CLI_STOP_END,
                                        [QN_STOP_LIMIT] = QN_CLI_STOP_LIMIT,
                                        [QN_STOP_CONTEXT] = QN_CLI_STOP_CONTEXT,
                                        [QN_STOP_CALLER] = QN_CLI_STOP_INTERRUPT};
    qn_session *session = g->lm->session;
    const qn_generate_options o = {
        .sampler = g->sampling, .first_draw = g->n_drawn, .max_tokens = g->n_max, .tokenizer = g->lm->tokenizer};
    QN_CLI_TRY(qn_session_generate(session, &o));
    for (bool first = true;;) {
        qn_step_state state;
        qn_stop stop;
        if (qn_cli_interrupted()) {
            qn_session_stop(session);
            g->stop = QN_CLI_STOP_INTERRUPT;
            return qn_cli_ok();
        }
        QN_CLI_TRY(qn_cli_wait(session, &state));
        if (state == QN_STEP_CHUNK) continue;
        int32_t token = qn_session_token(session, &stop);
        if (first) prompt_is_done(g, start);
        if (!first && state == QN_STEP_TOKEN) g->n_steps++;
        first = false;
        g->n_drawn += state == QN_STEP_TOKEN || stop == QN_STOP_TOKEN;
        if (state == QN_STEP_END) {
            g->stop = stops[stop];
            return qn_cli_ok();
        }
        keep_token(g, token);
        QN_CLI_TRY(write_token(w, g, token));
    }
}

/* The host picks them from logits: tokens 1, 2, ... after the prompt's are there. */
static qn_status pick_tokens(qn_cli_generation *g, writer *w)
{
    qn_cli_lm *lm = g->lm;
    for (;;) {
        size_t n_rows, first_row, n_history;
        const float *logits = lm->source->logits(lm, &n_rows, &first_row);
        const int32_t *history = lm->source->tokens(lm, &n_history);
        if (!logits || n_rows == 0) return qn_cli_fail(QN_ERR_INTERNAL, "the model gave no logits");
        int32_t token;
        logits += (n_rows - 1) * lm->n_vocab;
        QN_CLI_TRY(qn_sampler_pick(g->sampler, logits, history, n_history, &token));
        if (lm->source->is_end(lm, token)) {
            g->stop = QN_CLI_STOP_END;
            return qn_cli_ok();
        }
        keep_token(g, token);
        QN_CLI_TRY(write_token(w, g, token));
        g->stop = qn_cli_interrupted() ? QN_CLI_STOP_INTERRUPT : QN_CLI_STOP_LIMIT;
        if (g->stop == QN_CLI_STOP_INTERRUPT || (g->n_max && g->n_generated >= g->n_max)) return qn_cli_ok();

        qn_status s = lm->source->append(lm, token);
        if (s.code == QN_ERR_CONTEXT) {
            g->stop = QN_CLI_STOP_CONTEXT;
            return qn_cli_ok();
        }
        QN_CLI_TRY(s);
        QN_CLI_TRY(qn_cli_lm_finish(lm, NULL));
        g->n_steps++;
    }
}

/* A software adapter draws a token more slowly than the host does; the likeliest it finds as fast. */
static bool gpu_picks(const qn_cli_generation *g)
{
    bool software = qn_engine_device(g->lm->engine)->type == QN_ADAPTER_SOFTWARE;
    bool greedy = g->sampling.temperature == 0 || g->sampling.top_k == 1;
    return g->lm->session && g->lm->n_vocab <= QN_SAMPLE_MAX_VOCAB && (!software || greedy);
}

/* Tokens after the logits of the prompt. */
static qn_status generate_stepwise(qn_cli_generation *g, writer *w, double *start)
{
    bool done;
    QN_CLI_TRY(qn_cli_lm_finish(g->lm, &done));
    prompt_is_done(g, start);
    g->stop = QN_CLI_STOP_INTERRUPT;
    return done ? pick_tokens(g, w) : qn_cli_ok();
}

qn_status qn_cli_generate(qn_cli_generation *g, const int32_t *tokens, size_t n)
{
    g->n_generated = g->n_steps = 0;
    g->n_prompt = n;
    double start = qn_cli_seconds();
    QN_CLI_TRY(g->lm->source->set_tokens(g->lm, tokens, n, QN_LOGITS_LAST, &g->n_reused));
    writer w = {.text = NULL};
    qn_status s = gpu_picks(g) ? stream_tokens(g, &w, &start) : generate_stepwise(g, &w, &start);
    g->step_seconds = qn_cli_seconds() - start;
    qn_status flushed = write_bytes(&w, g, NULL, 0);
    free(w.text);
    return s.code == QN_OK ? flushed : s;
}

/* ---- stats ----------------------------------------------------------------------------------- */

static double rate(size_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

static void print_stats_json(const qn_cli_generation *g, const qn_cli_sampling *s)
{
    const qn_cli_lm *m = g->lm;
    uint64_t peak;
    size_t evaluated = g->n_prompt - g->n_reused;
    json_t *o = json_object();
    json_object_set_new(o, "device", json_string(qn_engine_device(m->engine)->name));
    json_object_set_new(o, "device_seconds", json_real(m->device_seconds));
    json_object_set_new(o, "load_seconds", json_real(m->load_seconds));
    json_object_set_new(o, "ctx", m->ctx ? qn_cli_json_u64(m->ctx) : json_null());
    json_object_set_new(o, "prompt_tokens", qn_cli_json_u64(g->n_prompt));
    json_object_set_new(o, "prompt_reused", qn_cli_json_u64(g->n_reused));
    json_object_set_new(o, "prompt_seconds", json_real(g->prompt_seconds));
    json_object_set_new(o, "prompt_tokens_per_second", qn_cli_json_real(rate(evaluated, g->prompt_seconds)));
    json_object_set_new(o, "generated_tokens", qn_cli_json_u64(g->n_generated));
    json_object_set_new(o, "generation_seconds", json_real(g->step_seconds));
    json_object_set_new(o, "generation_tokens_per_second", qn_cli_json_real(rate(g->n_steps, g->step_seconds)));
    json_object_set_new(o, "gpu_bytes", qn_cli_json_u64(qn_engine_gpu_bytes(m->engine, &peak)));
    json_object_set_new(o, "gpu_peak_bytes", qn_cli_json_u64(peak));
    json_object_set_new(o, "host_peak_bytes", qn_cli_json_u64(qn_cli_peak_memory()));
    json_object_set_new(o, "seed", qn_cli_json_u64(s->seed));
    json_object_set_new(o, "stop", json_string(qn_cli_stop_name(g->stop)));
    json_dumpf(o, stderr, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', stderr);
    json_decref(o);
}

void qn_cli_print_stats(const qn_cli_generation *g, const qn_cli_sampling *s, bool json)
{
    const qn_cli_lm *m = g->lm;
    if (json) {
        print_stats_json(g, s);
        return;
    }
    char now[32], peak_text[32], host[32], ctx[16] = "not known";
    if (m->ctx) snprintf(ctx, sizeof ctx, "%" PRIu32, m->ctx);
    uint64_t peak, bytes = qn_engine_gpu_bytes(m->engine, &peak);
    size_t evaluated = g->n_prompt - g->n_reused;
    fprintf(stderr, "device      %s, opened in %.2f s\n", qn_engine_device(m->engine)->name, m->device_seconds);
    fprintf(stderr, "model       %s, loaded in %.2f s, context %s\n", m->path, m->load_seconds, ctx);
    fprintf(stderr, "prompt      %zu tokens (%zu reused) in %.3f s: %.1f tok/s\n", g->n_prompt, g->n_reused,
            g->prompt_seconds, rate(evaluated, g->prompt_seconds));
    fprintf(stderr, "generation  %zu tokens in %.3f s: %.1f tok/s\n", g->n_generated, g->step_seconds,
            rate(g->n_steps, g->step_seconds));
    fprintf(stderr, "memory      GPU %s (peak %s), host peak %s\n", qn_cli_bytes(bytes, now),
            qn_cli_bytes(peak, peak_text), qn_cli_bytes(qn_cli_peak_memory(), host));
    fprintf(stderr, "seed        %" PRIu64 "\n", s->seed);
    fprintf(stderr, "stopped     %s\n", qn_cli_stop_name(g->stop));
}
