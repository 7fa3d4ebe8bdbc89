/* chat.c - `quern chat`: a conversation, line by line. A turn costs only its new tokens: what the model read and
 * wrote before stays in the session, and the next turn continues from exactly those tokens. */
#include "commands.h"
#include "generate.h"

#include <stdlib.h>
#include <string.h>

typedef struct chat_options {
    const char *system;
    uint32_t n;
    bool stats, json;
    qn_cli_lm_options model;
    qn_cli_sampling sampling;
    qn_cli_engine engine;
} chat_options;

typedef struct conversation {
    qn_chat_message *messages; /* contents are owned */
    size_t n, capacity;
    int32_t *held; /* the tokens that the model read and wrote so far */
    size_t n_held;
} conversation;

static bool parse(int argc, char **argv, chat_options *o, int *code)
{
    const qn_cli_option own[] = {
        {.name = "system",
         .letter = 's',
         .kind = QN_CLI_TEXT,
         .argument = "TEXT",
         .target = &o->system,
         .help = "system message"},
        {.name = "tokens",
         .letter = 'n',
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &o->n,
         .help = "at most N tokens an answer (0: no limit)"},
        qn_cli_ctx_option(&o->model.ctx, qn_cli_ctx_help),
        {.name = "stats",
         .kind = QN_CLI_FLAG,
         .target = &o->stats,
         .help = "print speed, memory and reused tokens after every answer"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "--stats as one JSON object (on stderr)"},
        {.name = NULL},
    };
    *o = (chat_options){.model = {.precision = QN_PRECISION_AUTO}};
    qn_cli_option model[QN_CLI_LM_OPTIONS], sampling[QN_CLI_SAMPLING_OPTIONS], engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_lm_table(&o->model, model);
    qn_cli_sampling_table(&o->sampling, sampling);
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "chat",
        .synopsis = "-m FILE [--system TEXT] [options]",
        .about =
            "Reads a line from standard input, answers on standard output, and so on. The line is read as the\n"
            "terminal gives it (for history and cursor keys run it under rlwrap). Commands: /help, /clear, /exit.\n"
            "Ctrl-C stops an answer; Ctrl-C or Ctrl-D at the prompt ends the program.\n"
            "The template of the model (or of the folder that --tokenizer lies in) is used; this version knows that\n"
            "of Llama 3; the built-in model has none.",
        .tables = {model, own, sampling, engine},
    };
    qn_cli_rest rest;
    return qn_cli_parse(&usage, argc, argv, &rest, code);
}

/* ---- conversation ---------------------------------------------------------------------------- */

static void add_message(conversation *c, const char *role, const char *content, size_t size)
{
    if (c->n == c->capacity) {
        c->capacity = 2 * c->capacity + 8;
        c->messages = qn_cli_resize(c->messages, c->capacity, sizeof *c->messages);
    }
    char *copy = qn_cli_alloc(size + 1, 1);
    memcpy(copy, content, size);
    c->messages[c->n++] = (qn_chat_message){role, copy};
}

static void drop_messages(conversation *c, size_t keep)
{
    while (c->n > keep) free((void *)(uintptr_t)c->messages[--c->n].content);
}

static void clear(conversation *c, const char *system)
{
    drop_messages(c, 0);
    c->n_held = 0;
    if (system) add_message(c, "system", system, strlen(system));
}

/* The first n messages as tokens; the caller frees them. */
static qn_status render(const qn_cli_lm *lm, const conversation *c, size_t n, bool prompt, int32_t **tokens,
                        size_t *n_tokens)
{
    size_t capacity = 64;
    for (size_t i = 0; i < n; i++) capacity += strlen(c->messages[i].content) + 64;
    *tokens = qn_cli_alloc(capacity, sizeof **tokens);
    *n_tokens = 0;
    qn_status s = lm->own ? qn_tokenizer_chat_encode(lm->own, c->messages, n, prompt, *tokens, capacity, n_tokens)
                          : qn_chat_encode(lm->model, c->messages, n, prompt, *tokens, capacity, n_tokens);
    if (s.code == QN_OK) return s;
    free(*tokens);
    *tokens = NULL;
    return s;
}

/* The tokens of the next prompt. An answer read back as text may split into other tokens than the model wrote, so
 * what is held stays, and only what the template puts behind the last answer is added: its closing token, and the
 * new message. */
static qn_status next_tokens(const qn_cli_lm *lm, const conversation *c, int32_t **tokens, size_t *n)
{
    QN_CLI_TRY(render(lm, c, c->n, true, tokens, n));
    if (c->n_held == 0) return qn_cli_ok();
    int32_t *before;
    size_t n_before;
    qn_status s = render(lm, c, c->n - 1, false, &before, &n_before);
    if (s.code != QN_OK) {
        free(*tokens);
        *tokens = NULL;
        return s;
    }
    bool extends = n_before > 0 && n_before <= *n && memcmp(before, *tokens, n_before * sizeof **tokens) == 0;
    if (extends) {
        size_t from = n_before - 1, added = *n - from;
        int32_t *list = qn_cli_alloc(c->n_held + added, sizeof *list);
        memcpy(list, c->held, c->n_held * sizeof *list);
        memcpy(list + c->n_held, *tokens + from, added * sizeof *list);
        free(*tokens);
        *tokens = list;
        *n = c->n_held + added;
    }
    free(before);
    return qn_cli_ok();
}

/* Adds the answer to the conversation, as text and as the tokens that it is made of. */
static void keep_answer(conversation *c, const qn_cli_generation *g, const int32_t *prompt, size_t n_prompt)
{
    c->n_held = n_prompt + g->n_generated;
    c->held = qn_cli_resize(c->held, c->n_held, sizeof *c->held);
    memcpy(c->held, prompt, n_prompt * sizeof *prompt);
    if (g->n_generated) memcpy(c->held + n_prompt, g->made, g->n_generated * sizeof *prompt);
    char *text = NULL;
    size_t size = 0;
    for (size_t i = 0; i < g->n_generated; i++) {
        size_t n;
        const char *bytes = qn_tokenizer_bytes(g->tokenizer, g->made[i], &n);
        if (n == 0 || qn_tokenizer_is_special(g->tokenizer, g->made[i])) continue;
        text = qn_cli_resize(text, size + n, 1);
        memcpy(text + size, bytes, n);
        size += n;
    }
    add_message(c, "assistant", text ? text : "", size);
    free(text);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static qn_status turn(const chat_options *o, conversation *c, qn_cli_generation *g, const char *line, size_t size)
{
    add_message(c, "user", line, size);
    int32_t *tokens = NULL;
    size_t n = 0;
    qn_status s = next_tokens(g->lm, c, &tokens, &n);
    g->at_line_start = true;
    qn_cli_arm_interrupt();
    if (s.code == QN_OK) s = qn_cli_generate(g, tokens, n);
    if (s.code == QN_ERR_CONTEXT) {
        fprintf(stderr, "quern chat: no room: the conversation has %zu tokens, the context %u; /clear starts anew\n", n,
                g->lm->ctx);
        drop_messages(c, c->n - 1);
        free(tokens);
        return qn_cli_ok();
    }
    if (s.code == QN_OK) {
        keep_answer(c, g, tokens, n);
        if (!g->at_line_start) putchar('\n');
        fflush(stdout);
        if (g->stop == QN_CLI_STOP_CONTEXT) fprintf(stderr, "quern chat: the context is full; /clear starts anew\n");
        if (o->stats || o->json) qn_cli_print_stats(g, &o->sampling, o->json);
    }
    free(tokens);
    return s;
}

/* A line without its newline; NULL at the end of the input. */
static char *read_line(size_t *size)
{
    size_t n = 0, capacity = 256;
    char *line = qn_cli_alloc(capacity, 1);
    int ch;
    while ((ch = getchar()) != EOF && ch != '\n') {
        if (n + 1 >= capacity) {
            capacity *= 2;
            line = qn_cli_resize(line, capacity, 1);
        }
        line[n++] = (char)ch;
    }
    if (n && line[n - 1] == '\r') n--;
    line[n] = '\0';
    *size = n;
    if (ch != EOF || n) return line;
    free(line);
    return NULL;
}

/* True when the line was a command. */
static bool command(const char *line, conversation *c, const char *system)
{
    if (line[0] != '/') return false;
    if (strcmp(line, "/clear") == 0)
        clear(c, system);
    else if (strcmp(line, "/help") == 0)
        fprintf(stderr, "/clear forgets the conversation, /exit ends the program, Ctrl-C stops an answer\n");
    else
        fprintf(stderr, "quern chat: unknown command %s (see /help)\n", line);
    return true;
}

static qn_status talk(const chat_options *o, conversation *c, qn_cli_generation *g, bool *interrupted)
{
    bool terminal = qn_cli_is_terminal(stdin);
    qn_status s = qn_cli_ok();
    while (s.code == QN_OK) {
        if (terminal) fprintf(stderr, "> ");
        qn_cli_arm_interrupt();
        size_t size;
        char *line = read_line(&size);
        *interrupted = qn_cli_interrupted();
        bool over = !line || *interrupted || strcmp(line, "/exit") == 0;
        if (!over && size && !command(line, c, o->system)) s = turn(o, c, g, line, size);
        free(line);
        if (over) break;
    }
    if (terminal) fprintf(stderr, "\n");
    return s;
}

/* Refuses a model without a usable template before the first line is read. */
static qn_status probe_template(const qn_cli_lm *lm)
{
    const qn_tokenizer *t;
    QN_CLI_TRY(qn_cli_lm_tokenizer(lm, "", &t));
    const qn_chat_message hello = {"user", "hello"};
    const conversation c = {.messages = (qn_chat_message *)(uintptr_t)&hello, .n = 1};
    int32_t *tokens;
    size_t n;
    qn_status s = render(lm, &c, 1, true, &tokens, &n);
    if (s.code == QN_OK) free(tokens);
    return qn_cli_in(s, "%s", lm->path);
}

static qn_status chat(chat_options *o, qn_cli_lm *lm, bool *interrupted)
{
    QN_CLI_TRY(qn_cli_open_lm(&o->engine, &o->model, lm));
    QN_CLI_TRY(probe_template(lm));
    qn_cli_generation g = {.lm = lm, .n_max = o->n, .tokenizer = lm->tokenizer};
    conversation c = {.messages = NULL};
    qn_status s = qn_cli_open_sampler(&o->sampling, &g);
    if (s.code == QN_OK) {
        clear(&c, o->system);
        s = talk(o, &c, &g, interrupted);
    }
    drop_messages(&c, 0);
    free(c.messages);
    free(c.held);
    qn_cli_end_generation(&g);
    qn_sampler_close(g.sampler);
    return s;
}

int qn_cli_chat(int argc, char **argv)
{
    chat_options o;
    int code;
    if (!parse(argc, argv, &o, &code)) return code;
    qn_cli_lm lm = {.engine = NULL};
    bool interrupted = false;
    qn_cli_arm_interrupt();
    qn_status s = chat(&o, &lm, &interrupted);
    qn_cli_close_lm(&lm);
    if (interrupted || (s.code != QN_OK && qn_cli_interrupted())) return 130;
    return qn_cli_exit("chat", s);
}
