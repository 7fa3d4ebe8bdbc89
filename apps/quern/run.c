/* run.c - `quern run`: continue a text. */
#include "commands.h"
#include "generate.h"

#include <stdlib.h>
#include <string.h>

typedef struct run_options {
    const char *model, *prompt, *file;
    uint32_t n, ctx;
    bool special, stats, json;
    qn_cli_sampling sampling;
    qn_cli_engine engine;
} run_options;

static bool parse(int argc, char **argv, run_options *r, int *code)
{
    *r = (run_options){.n = 200};
    const qn_cli_option own[] = {
        {.name = "model",
         .letter = 'm',
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &r->model,
         .help = "GGUF file (default: the built-in model)"},
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
        {.name = "tokens",
         .letter = 'n',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &r->n,
         .help = "generate at most N tokens (200; 0: until the text ends\nor the context is full)"},
        {.name = "ctx",
         .letter = 'c',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &r->ctx,
         .help = "context in tokens (default: the model's own up to 4096,\nand what fits in --gpu-memory)"},
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
    qn_cli_option sampling[QN_CLI_SAMPLING_OPTIONS], engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_sampling_table(&r->sampling, sampling);
    qn_cli_engine_table(&r->engine, engine);
    const qn_cli_usage usage = {
        .command = "run",
        .synopsis = "[-m FILE] [-p TEXT | -f FILE] [-n N] [options]",
        .about = "Continues a text and streams it to standard output, the given beginning first. Without -p and -f\n"
                 "the beginning is read from standard input. Ctrl-C stops after the current token (exit code 130).\n"
                 "Everything but the text goes to standard error.",
        .tables = {own, sampling, engine},
    };
    qn_cli_rest rest;
    if (!qn_cli_parse(&usage, argc, argv, &rest, code)) return false;
    if (r->prompt && r->file) {
        *code = qn_cli_misuse("run", "--prompt and --file exclude each other");
        return false;
    }
    return true;
}

/* The beginning of the text; the caller frees it. */
static qn_status read_prompt(const run_options *r, char **text, size_t *size)
{
    if (r->prompt) {
        *size = strlen(r->prompt);
        *text = qn_cli_alloc(*size + 1, 1);
        memcpy(*text, r->prompt, *size);
        return qn_cli_ok();
    }
    if (!r->file && qn_cli_is_terminal(stdin)) fprintf(stderr, "Type the beginning of the text, then Ctrl-D.\n");
    QN_CLI_TRY(qn_cli_read_file(r->file ? r->file : "-", text, size));
    if (*size && (*text)[*size - 1] == '\n') *size -= 1;
    if (*size && (*text)[*size - 1] == '\r') *size -= 1;
    return qn_cli_ok();
}

static qn_status encode_prompt(const run_options *r, const qn_cli_model *m, const char *text, size_t size,
                               const qn_tokenizer **tokenizer, int32_t **tokens, size_t *n)
{
    const char *why = NULL;
    *tokenizer = qn_model_tokenizer(m->model, &why);
    if (!*tokenizer)
        return qn_cli_fail(QN_ERR_UNSUPPORTED,
                           "%s has no tokenizer that this version reads: %s (quern logits runs it on token ids)",
                           m->path, why ? why : "no reason given");
    QN_CLI_TRY(qn_cli_encode(*tokenizer, text, size, qn_tokenizer_adds_bos(*tokenizer), r->special, tokens, n));
    if (*n == 0) return qn_cli_fail(QN_ERR_ARGUMENT, "the prompt is empty, and this model has no token to begin with");
    return qn_cli_ok();
}

/* Everything after the prompt is known. *interrupted: Ctrl-C came. */
static qn_status run(run_options *r, qn_cli_model *m, const char *text, size_t size, bool *interrupted)
{
    QN_CLI_TRY(qn_cli_open_model(&r->engine, r->model, false, m));
    qn_cli_generation g = {.n_vocab = m->info->n_vocab, .n_max = r->n};
    int32_t *tokens = NULL;
    size_t n = 0;
    const qn_session_options session = {.ctx = r->ctx};
    qn_status s = encode_prompt(r, m, text, size, &g.tokenizer, &tokens, &n);
    if (s.code == QN_OK) s = qn_session_open(m->model, &session, &g.session);
    if (s.code == QN_OK) s = qn_cli_open_sampler(&r->sampling, g.n_vocab, &g.sampler);
    if (s.code == QN_OK) {
        if (n <= qn_session_ctx(g.session)) fwrite(text, 1, size, stdout);
        fflush(stdout);
        g.at_line_start = size == 0 || text[size - 1] == '\n';
        s = qn_cli_generate(&g, tokens, n);
    }
    if (s.code == QN_OK) {
        if (!g.at_line_start) putchar('\n');
        fflush(stdout);
        *interrupted = g.stop == QN_CLI_STOP_INTERRUPT;
        if (g.stop == QN_CLI_STOP_CONTEXT)
            fprintf(stderr, "quern run: stopped: the context of %u tokens is full (see --ctx)\n",
                    qn_session_ctx(g.session));
        if (r->stats || r->json) qn_cli_print_stats(&g, m, &r->sampling, r->json);
    }
    qn_cli_end_generation(&g);
    qn_sampler_close(g.sampler);
    if (g.session) qn_session_close(g.session);
    free(tokens);
    return s;
}

int qn_cli_run(int argc, char **argv)
{
    run_options r;
    int code;
    if (!parse(argc, argv, &r, &code)) return code;
    qn_cli_model m = {.engine = NULL};
    char *text = NULL;
    size_t size = 0;
    bool interrupted = false;
    qn_status s = read_prompt(&r, &text, &size);
    if (s.code == QN_OK) {
        qn_cli_arm_interrupt();
        s = run(&r, &m, text, size, &interrupted);
    }
    qn_cli_close_model(&m);
    free(text);
    /* An interrupted load ends in a failure that says so; the reason is the user's Ctrl-C all the same. */
    if (interrupted || (s.code != QN_OK && qn_cli_interrupted())) return 130;
    return qn_cli_exit("run", s);
}
