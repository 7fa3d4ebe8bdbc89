/* perplexity.c - `quern perplexity`: how well a model predicts a text.
 *
 * The text is tokenized whole, without special tokens, and cut into pieces of window - 1 tokens (the last one is
 * shorter). Each piece runs behind a begin token with an empty cache, and -log p of every token of the piece is
 * summed, that of the first one (predicted from the begin token alone) included.
 * perplexity = exp(sum / number of piece tokens). */
#include "commands.h"
#include "lm.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct perplexity_options {
    const char *file;
    uint32_t window;
    bool json;
    qn_cli_lm_options model;
    qn_cli_engine engine;
} perplexity_options;

static bool parse(int argc, char **argv, perplexity_options *o, int *code)
{
    *o = (perplexity_options){.window = 512};
    const qn_cli_option own[] = {
        {.name = "file",
         .letter = 'f',
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &o->file,
         .help = "the text (-: standard input)"},
        {.name = "window",
         .letter = 'w',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->window,
         .min = 2,
         .max = UINT32_MAX,
         .help = "tokens of a piece, begin token included (512)"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON"},
        {.name = NULL},
    };
    qn_cli_option model[QN_CLI_LM_OPTIONS], engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_lm_table(&o->model, model);
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "perplexity",
        .synopsis = "-f FILE [-m FILE] [--window N] [options]",
        .about =
            "Measures how well a model predicts a text. The text is tokenized whole, without special tokens, and\n"
            "cut into pieces of window - 1 tokens; each piece runs behind a begin token with an empty cache; every\n"
            "token of a piece counts, the first one included. perplexity = exp(mean of -log p).",
        .tables = {model, own, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (o->file) return true;
    *code = qn_cli_misuse("perplexity", "-f FILE is missing");
    return false;
}

/* Adds up one piece; window[0] is the begin token. */
static qn_status score(qn_cli_lm *lm, const int32_t *window, size_t n, double *sum)
{
    /* An empty cache: a session keeps a common prefix, and this list shares none. It is never computed. */
    const int32_t other = window[0] == 0 ? 1 : 0;
    QN_CLI_TRY(lm->source->set_tokens(lm, &other, 1, QN_LOGITS_ALL, NULL));
    QN_CLI_TRY(lm->source->set_tokens(lm, window, n, QN_LOGITS_ALL, NULL));
    size_t scored = 0;
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_READY;) {
        QN_CLI_TRY(lm->source->wait(lm, &state));
        size_t n_rows, first;
        const float *logits = lm->source->logits(lm, &n_rows, &first);
        for (size_t i = 0; i < n_rows && first + i + 1 < n; i++, scored++)
            *sum += qn_surprise(logits + i * lm->n_vocab, lm->n_vocab, window[first + i + 1]);
    }
    if (scored == n - 1) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_INTERNAL, "%zu positions gave logits, not %zu", scored, n - 1);
}

typedef struct result {
    double sum, seconds;
    size_t tokens;
} result;

static qn_status measure(const perplexity_options *o, qn_cli_lm *lm, const int32_t *tokens, size_t n, int32_t bos,
                         result *r)
{
    size_t most = o->window - 1;
    int32_t *window = qn_cli_alloc(o->window, sizeof *window);
    window[0] = bos;
    double start = qn_cli_seconds();
    qn_status s = qn_cli_ok();
    for (size_t at = 0; s.code == QN_OK && at < n;) {
        size_t piece = n - at < most ? n - at : most;
        memcpy(window + 1, tokens + at, piece * sizeof *window);
        s = score(lm, window, piece + 1, &r->sum);
        at += piece;
        qn_cli_progress("perplexity", at, n);
    }
    qn_cli_progress("", 0, 0);
    r->seconds = qn_cli_seconds() - start;
    r->tokens = n;
    free(window);
    return s;
}

static qn_status run(perplexity_options *o, qn_cli_lm *m, const char *text, size_t size, result *r)
{
    const qn_tokenizer *t;
    o->model.ctx = o->window;
    QN_CLI_TRY(qn_cli_open_lm(&o->engine, &o->model, m));
    QN_CLI_TRY(qn_cli_lm_tokenizer(m, "", &t));
    if (qn_tokenizer_bos(t) < 0) return qn_cli_fail(QN_ERR_UNSUPPORTED, "%s names no begin token", m->path);
    int32_t *tokens = NULL;
    size_t n = 0;
    QN_CLI_TRY(qn_cli_encode(t, text, size, false, false, &tokens, &n));
    qn_status s =
        n ? measure(o, m, tokens, n, qn_tokenizer_bos(t), r) : qn_cli_fail(QN_ERR_ARGUMENT, "%s is empty", o->file);
    free(tokens);
    return s;
}

static void print_result(const perplexity_options *o, const qn_cli_lm *m, const result *r)
{
    double mean = r->sum / (double)r->tokens;
    if (!o->json) {
        printf("tokens       %zu\nnats/token   %.6f\nperplexity   %.4f\n", r->tokens, mean, exp(mean));
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "model", qn_cli_json_text(m->path, strlen(m->path)));
    json_object_set_new(object, "file", qn_cli_json_text(o->file, strlen(o->file)));
    json_object_set_new(object, "device", json_string(qn_engine_device(m->engine)->name));
    json_object_set_new(object, "precision", json_string(qn_cli_lm_precision(m)));
    json_object_set_new(object, "window", qn_cli_json_u64(o->window));
    json_object_set_new(object, "tokens", qn_cli_json_u64(r->tokens));
    json_object_set_new(object, "nats_per_token", qn_cli_json_real(mean));
    json_object_set_new(object, "perplexity", qn_cli_json_real(exp(mean)));
    json_object_set_new(object, "seconds", qn_cli_json_real(r->seconds));
    qn_cli_print_json(object);
}

int qn_cli_perplexity(int argc, char **argv)
{
    perplexity_options o;
    int code;
    if (!parse(argc, argv, &o, &code)) return code;
    qn_cli_lm m = {.engine = NULL};
    result r = {.sum = 0};
    char *text = NULL;
    size_t size = 0;
    qn_status s = qn_cli_read_file(o.file, &text, &size);
    if (s.code == QN_OK) s = run(&o, &m, text, size, &r);
    if (s.code == QN_OK) print_result(&o, &m, &r);
    qn_cli_close_lm(&m);
    free(text);
    return qn_cli_exit("perplexity", s);
}
