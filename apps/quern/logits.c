/* logits.c - `quern logits`: a model's raw output for given tokens. */
#include "commands.h"
#include "lm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct logits_options {
    const char *tokens, *out;
    bool all, json;
    qn_cli_lm_options model;
    qn_cli_engine engine;
} logits_options;

static bool parse(int argc, char **argv, logits_options *o, int *code)
{
    *o = (logits_options){.model = {.no_tokenizer = true}};
    const qn_cli_option own[] = {
        {.name = "tokens",
         .letter = 't',
         .kind = QN_CLI_TEXT,
         .argument = "IDS",
         .target = &o->tokens,
         .help = "token ids, for example 1,2,3, used as they are: no begin\ntoken is added"},
        {.name = "all",
         .letter = 'a',
         .kind = QN_CLI_FLAG,
         .target = &o->all,
         .help = "write the logits of every position, not of the last only"},
        {.name = "out",
         .letter = 'o',
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &o->out,
         .help = "the file to write"},
        qn_cli_ctx_option(&o->model.ctx, "context in tokens (default: as many as are given)"),
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print what was written as JSON"},
        {.name = NULL},
    };
    qn_cli_option model[QN_CLI_LM_OPTIONS], engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_lm_table(&o->model, model);
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "logits",
        .synopsis = "[-m FILE] --tokens IDS -o FILE [--all] [options]",
        .about =
            "Runs the model over token ids and writes its logits: raw little-endian 32-bit floats, the vocabulary\n"
            "of the last position, or with --all [positions, vocabulary]. It needs no tokenizer.",
        .tables = {model, own, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (o->tokens && o->out) return true;
    *code = qn_cli_misuse("logits", "%s is missing", o->tokens ? "-o FILE" : "--tokens IDS");
    return false;
}

static void swap_bytes(float *values, size_t n)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    for (size_t i = 0; first == 0 && i < n; i++) { /* big-endian host */
        unsigned char b[4], r[4];
        memcpy(b, &values[i], 4);
        for (int k = 0; k < 4; k++) r[k] = b[3 - k];
        memcpy(&values[i], r, 4);
    }
}

/* Steps through the tokens and writes each finished chunk's rows. */
static qn_status write_rows(qn_cli_lm *lm, bool all, const char *path, FILE *f, size_t *written)
{
    size_t n_vocab = lm->n_vocab;
    float *row = qn_cli_alloc(n_vocab, sizeof *row);
    qn_status s = qn_cli_ok();
    for (qn_step_state state = QN_STEP_PENDING; s.code == QN_OK && state != QN_STEP_READY;) {
        s = lm->source->wait(lm, &state);
        if (s.code != QN_OK || (!all && state != QN_STEP_READY)) continue;
        size_t n_rows, first;
        const float *logits = lm->source->logits(lm, &n_rows, &first);
        for (size_t i = all || n_rows == 0 ? 0 : n_rows - 1; s.code == QN_OK && i < n_rows; i++) {
            memcpy(row, logits + i * n_vocab, n_vocab * sizeof *row);
            swap_bytes(row, n_vocab);
            if (fwrite(row, sizeof *row, n_vocab, f) != n_vocab)
                s = qn_cli_fail(QN_ERR_IO, "cannot write %s: %s", path, strerror(errno));
            *written += 1;
        }
    }
    free(row);
    return s;
}

static qn_status write_logits(logits_options *o, qn_cli_lm *lm, const int32_t *tokens, size_t n, size_t *rows)
{
    if (n > UINT32_MAX) return qn_cli_fail(QN_ERR_ARGUMENT, "too many tokens");
    if (!o->model.ctx) o->model.ctx = (uint32_t)n;
    QN_CLI_TRY(qn_cli_open_lm(&o->engine, &o->model, lm));
    QN_CLI_TRY(lm->source->set_tokens(lm, tokens, n, o->all ? QN_LOGITS_ALL : QN_LOGITS_LAST, NULL));
    FILE *f = fopen(o->out, "wb");
    if (!f) return qn_cli_fail(QN_ERR_IO, "cannot open %s: %s", o->out, strerror(errno));
    qn_status s = write_rows(lm, o->all, o->out, f, rows);
    if (fclose(f) != 0 && s.code == QN_OK) s = qn_cli_fail(QN_ERR_IO, "cannot write %s: %s", o->out, strerror(errno));
    return s;
}

int qn_cli_logits(int argc, char **argv)
{
    logits_options o;
    int code;
    if (!parse(argc, argv, &o, &code)) return code;
    qn_cli_lm m = {.engine = NULL};
    int32_t *tokens = NULL;
    size_t n = 0, rows = 0;
    qn_status s = qn_cli_read_ids(o.tokens, &tokens, &n);
    if (s.code == QN_OK && n == 0) s = qn_cli_fail(QN_ERR_ARGUMENT, "--tokens: the list is empty");
    if (s.code == QN_OK) s = write_logits(&o, &m, tokens, n, &rows);
    if (s.code == QN_OK && o.json) {
        json_t *object = json_object();
        json_object_set_new(object, "out", qn_cli_json_text(o.out, strlen(o.out)));
        json_object_set_new(object, "rows", qn_cli_json_u64(rows));
        json_object_set_new(object, "n_vocab", qn_cli_json_u64(m.n_vocab));
        json_object_set_new(object, "tokens", qn_cli_json_u64(n));
        qn_cli_print_json(object);
    } else if (s.code == QN_OK)
        printf("%s: %zu x %" PRIu32 " f32\n", o.out, rows, m.n_vocab);
    qn_cli_close_lm(&m);
    free(tokens);
    return qn_cli_exit("logits", s);
}
