/* run.c - `quern run`: continue a text. */
#include "commands.h"
#include "generate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_options {
    const char *prompt, *file, *ids;
    uint32_t n;
    bool special, stats, json;
    qn_cli_lm_options model;
    qn_cli_sampling sampling;
    qn_cli_engine engine;
} run_options;

enum { OWN_OPTIONS = 9 };

static void own_table(run_options *r, qn_cli_option table[OWN_OPTIONS])
{
    const qn_cli_option options[OWN_OPTIONS] = {
        {.name = "prompt",
         .letter = 'p',
         .kind = QN_CLI_TEXT,
         .argument = "TEXT",
         .target = &r->prompt,
         .help = "the beginning of the text"},
        {.name = "file",
         .letter = 'f',
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &r->file,
         .help = "read the beginning from a file; one newline at its end\nis left out"},
        {.name = "ids",
         .kind = QN_CLI_TEXT,
         .argument = "IDS",
         .target = &r->ids,
         .help = "the beginning as token ids, for example 1,2,3, used as\nthey are; ids are printed too, and no "
                 "tokenizer is needed"},
        {.name = "tokens",
         .letter = 'n',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &r->n,
         .help = "generate at most N tokens (200; 0: until the text ends\nor the context is full)"},
        qn_cli_ctx_option(&r->model.ctx, qn_cli_ctx_help),
        {.name = "special",
         .kind = QN_CLI_FLAG,
         .target = &r->special,
         .help = "read special tokens such as <|eot_id|> in the prompt"},
        {.name = "stats",
         .kind = QN_CLI_FLAG,
         .target = &r->stats,
         .help = "print speed and memory on stderr at the end"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &r->json, .help = "--stats as one JSON object (on stderr)"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
}

static bool parse(int argc, char **argv, run_options *r, int *code)
{
    *r = (run_options){.n = 200, .model = {.precision = QN_PRECISION_AUTO}};
    qn_cli_option model[QN_CLI_LM_OPTIONS], own[OWN_OPTIONS], sampling[QN_CLI_SAMPLING_OPTIONS],
        engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_lm_table(&r->model, model);
    own_table(r, own);
    qn_cli_sampling_table(&r->sampling, sampling);
    qn_cli_engine_table(&r->engine, engine);
    const qn_cli_usage usage = {
        .command = "run",
        .synopsis = "[-m FILE] [-p TEXT | -f FILE | --ids IDS] [-n N] [options]",
        .about =
            "Continues a text and streams it to standard output, the given beginning first. Without -p and -f\n"
            "the beginning is read from standard input. Ctrl-C stops after the current token (exit code 130).\n"
            "Everything but the text goes to standard error. A program (.pte) takes tokens [1,S] and a position [1]\n"
            "and gives logits [1,V] or [1,S,V], as exports of language models with a KV cache do.",
        .tables = {model, own, sampling, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if ((r->prompt != NULL) + (r->file != NULL) + (r->ids != NULL) > 1) {
        *code = qn_cli_misuse("run", "--prompt, --file and --ids exclude each other");
        return false;
    }
    return true;
}

/* The beginning of the text, or its ids as text; the caller frees it. */
static qn_status read_prompt(const run_options *r, char **text, size_t *size)
{
    const char *given = r->prompt ? r->prompt : r->ids;
    if (given) {
        *size = strlen(given);
        *text = qn_cli_alloc(*size + 1, 1);
        memcpy(*text, given, *size);
        return qn_cli_ok();
    }
    if (!r->file && qn_cli_is_terminal(stdin)) fprintf(stderr, "Type the beginning of the text, then Ctrl-D.\n");
    QN_CLI_TRY(qn_cli_read_file(r->file ? r->file : "-", text, size));
    if (*size && (*text)[*size - 1] == '\n') *size -= 1;
    if (*size && (*text)[*size - 1] == '\r') *size -= 1;
    return qn_cli_ok();
}

/* The prompt's tokens; the caller frees them. */
static qn_status encode_prompt(const run_options *r, qn_cli_generation *g, const char *text, size_t size,
                               int32_t **tokens, size_t *n)
{
    if (r->ids) {
        QN_CLI_TRY(qn_cli_in(qn_cli_read_ids(text, tokens, n), "--ids"));
        return *n ? qn_cli_ok() : qn_cli_fail(QN_ERR_ARGUMENT, "--ids: the list is empty");
    }
    QN_CLI_TRY(qn_cli_lm_tokenizer(g->lm, " (--ids runs it on token ids)", &g->tokenizer));
    QN_CLI_TRY(qn_cli_encode(g->tokenizer, text, size, qn_tokenizer_adds_bos(g->tokenizer), r->special, tokens, n));
    if (*n == 0) return qn_cli_fail(QN_ERR_ARGUMENT, "the prompt is empty, and this model has no token to begin with");
    return qn_cli_ok();
}

/* The beginning, as it was given. */
static void print_prompt(qn_cli_generation *g, const char *text, size_t size, const int32_t *tokens, size_t n)
{
    if (g->tokenizer) fwrite(text, 1, size, stdout);
    for (size_t i = 0; !g->tokenizer && i < n; i++) printf(i ? " %" PRId32 : "%" PRId32, tokens[i]);
    fflush(stdout);
    g->at_line_start = g->tokenizer && (size == 0 || text[size - 1] == '\n');
}

/* Everything after the prompt is known. *interrupted: Ctrl-C came. */
static qn_status run(run_options *r, qn_cli_lm *lm, const char *text, size_t size, bool *interrupted)
{
    QN_CLI_TRY(qn_cli_open_lm(&r->engine, &r->model, lm));
    qn_cli_generation g = {.lm = lm, .n_max = r->n};
    int32_t *tokens = NULL;
    size_t n = 0;
    qn_status s = encode_prompt(r, &g, text, size, &tokens, &n);
    if (s.code == QN_OK) s = qn_cli_open_sampler(&r->sampling, &g);
    if (s.code == QN_OK) {
        if (!lm->ctx || n <= lm->ctx) print_prompt(&g, text, size, tokens, n);
        s = qn_cli_generate(&g, tokens, n);
    }
    if (s.code == QN_OK) {
        if (!g.at_line_start) putchar('\n');
        fflush(stdout);
        *interrupted = g.stop == QN_CLI_STOP_INTERRUPT;
        if (g.stop == QN_CLI_STOP_CONTEXT)
            fprintf(stderr, "quern run: stopped: the context of %u tokens is full%s\n", lm->ctx,
                    lm->model ? " (see --ctx)" : "");
        if (r->stats || r->json) qn_cli_print_stats(&g, &r->sampling, r->json);
    }
    qn_cli_end_generation(&g);
    qn_sampler_close(g.sampler);
    free(tokens);
    return s;
}

int qn_cli_run(int argc, char **argv)
{
    run_options r;
    int code;
    if (!parse(argc, argv, &r, &code)) return code;
    qn_cli_lm lm = {.engine = NULL};
    char *text = NULL;
    size_t size = 0;
    bool interrupted = false;
    qn_status s = read_prompt(&r, &text, &size);
    if (s.code == QN_OK) {
        qn_cli_arm_interrupt();
        s = run(&r, &lm, text, size, &interrupted);
    }
    qn_cli_close_lm(&lm);
    free(text);
    /* An interrupted load ends in a failure that says so; the reason is the user's Ctrl-C all the same. */
    if (interrupted || (s.code != QN_OK && qn_cli_interrupted())) return 130;
    return qn_cli_exit("run", s);
}
