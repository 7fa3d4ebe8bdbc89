/* tokenize.c - `quern tokenize` and `quern detokenize`. Both read a model's header, or a tokenizer's file, and need no
 * GPU. */
#include "commands.h"
#include "lm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct token_options {
    const char *model, *tokenizer, *file, *device;
    bool bos, special, json;
} token_options;

/* A tokenizer and what it is part of. */
typedef struct vocabulary {
    char path[4096];
    qn_inspection *file; /* NULL: the tokenizer came by itself */
    qn_tokenizer *own;
    const qn_tokenizer *t;
} vocabulary;

static qn_status open_vocabulary(const token_options *o, vocabulary *v)
{
    *v = (vocabulary){.file = NULL};
    if (!o->tokenizer) {
        QN_CLI_TRY(qn_cli_inspect(o->model, &v->file, v->path, sizeof v->path));
        return qn_cli_tokenizer(v->file, v->path, &v->t);
    }
    snprintf(v->path, sizeof v->path, "%s", o->tokenizer);
    qn_status s = qn_tokenizer_open_file(NULL, o->tokenizer, &v->own);
    v->t = v->own;
    return s;
}

static void close_vocabulary(vocabulary *v)
{
    qn_tokenizer_close(v->own);
    qn_inspect_close(v->file);
}

/* --model and --tokenizer, of which one at most is given. */
static bool one_vocabulary(const char *command, const token_options *o, int *code)
{
    if (!o->model || !o->tokenizer) return true;
    *code = qn_cli_misuse(command, "--model and --tokenizer exclude each other");
    return false;
}

static qn_cli_option tokenizer_option(token_options *o)
{
    return (qn_cli_option){.name = "tokenizer",
                           .kind = QN_CLI_TEXT,
                           .argument = "FILE",
                           .target = &o->tokenizer,
                           .help = "tokenizer.json of Hugging Face, or tokenizer.model of Llama 3 (tiktoken),\n"
                                   "in place of a model"};
}

static qn_cli_option device_option(token_options *o)
{
    return (qn_cli_option){.name = "device",
                           .letter = 'd',
                           .kind = QN_CLI_TEXT,
                           .argument = "N|NAME",
                           .target = &o->device,
                           .help = "accepted for uniformity: this command uses no GPU"};
}

/* ---- tokenize -------------------------------------------------------------------------------- */

static bool parse_tokenize(int argc, char **argv, token_options *o, qn_cli_rest *rest, int *code)
{
    const qn_cli_option own[] = {
        qn_cli_model_option(&o->model, qn_cli_model_help),
        tokenizer_option(o),
        {.name = "file",
         .letter = 'f',
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &o->file,
         .help = "read the text from a file, byte for byte"},
        {.name = "bos", .kind = QN_CLI_FLAG, .target = &o->bos, .help = "put the file's begin token first"},
        {.name = "special",
         .kind = QN_CLI_FLAG,
         .target = &o->special,
         .help = "read special tokens such as <|eot_id|> in the text"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON: ids and the text of each"},
        device_option(o),
        {.name = NULL},
    };
    *o = (token_options){.model = NULL};
    const qn_cli_usage usage = {
        .command = "tokenize",
        .synopsis = "[-m FILE | --tokenizer FILE] [TEXT | -f FILE] [--bos] [--special] [--json]",
        .about =
            "Prints the token ids of a text on one line. Without TEXT and -f the text is read from standard input,\n"
            "byte for byte (a newline at its end counts).",
        .tables = {own},
        .max_rest = 1,
    };
    if (!qn_cli_parse(&usage, argc, argv, rest, code)) return false;
    if (rest->n && o->file) {
        *code = qn_cli_misuse("tokenize", "TEXT and --file exclude each other");
        return false;
    }
    return one_vocabulary("tokenize", o, code);
}

static void print_tokens(const qn_tokenizer *t, const int32_t *tokens, size_t n, bool json)
{
    if (!json) {
        for (size_t i = 0; i < n; i++) printf(i ? " %" PRId32 : "%" PRId32, tokens[i]);
        putchar('\n');
        return;
    }
    json_t *o = json_object(), *ids = json_array(), *pieces = json_array();
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const char *bytes = qn_tokenizer_bytes(t, tokens[i], &size);
        json_array_append_new(ids, json_integer(tokens[i]));
        json_array_append_new(pieces, qn_cli_json_text(bytes, size));
    }
    json_object_set_new(o, "count", qn_cli_json_u64(n));
    json_object_set_new(o, "ids", ids);
    json_object_set_new(o, "pieces", pieces);
    qn_cli_print_json(o);
}

static qn_status tokenize(const token_options *o, const char *text, size_t size)
{
    vocabulary v;
    int32_t *tokens = NULL;
    size_t n;
    qn_status s = open_vocabulary(o, &v);
    if (s.code == QN_OK && o->bos && qn_tokenizer_bos(v.t) < 0)
        s = qn_cli_fail(QN_ERR_ARGUMENT, "--bos: %s names no begin token", v.path);
    if (s.code == QN_OK) s = qn_cli_encode(v.t, text, size, o->bos, o->special, &tokens, &n);
    if (s.code == QN_OK) print_tokens(v.t, tokens, n, o->json);
    free(tokens);
    close_vocabulary(&v);
    return s;
}

int qn_cli_tokenize(int argc, char **argv)
{
    token_options o;
    qn_cli_rest rest;
    int code;
    if (!parse_tokenize(argc, argv, &o, &rest, &code)) return code;
    if (rest.n) return qn_cli_exit("tokenize", tokenize(&o, rest.items[0], strlen(rest.items[0])));
    char *text;
    size_t size;
    qn_status s = qn_cli_read_file(o.file ? o.file : "-", &text, &size);
    if (s.code == QN_OK) {
        s = tokenize(&o, text, size);
        free(text);
    }
    return qn_cli_exit("tokenize", s);
}

/* ---- detokenize ------------------------------------------------------------------------------ */

static bool parse_detokenize(int argc, char **argv, token_options *o, qn_cli_rest *rest, int *code)
{
    const qn_cli_option own[] = {
        qn_cli_model_option(&o->model, qn_cli_model_help),
        tokenizer_option(o),
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON: the text, and its bytes in hex"},
        device_option(o),
        {.name = NULL},
    };
    *o = (token_options){.model = NULL};
    const qn_cli_usage usage = {
        .command = "detokenize",
        .synopsis = "[-m FILE | --tokenizer FILE] [ID...] [--json]",
        .about =
            "Prints the bytes of token ids, nothing added. The ids, separated by spaces, commas or newlines, come\n"
            "from the arguments or else from standard input.",
        .tables = {own},
        .max_rest = -1,
    };
    return qn_cli_parse(&usage, argc, argv, rest, code) && one_vocabulary("detokenize", o, code);
}

static qn_status read_ids(const qn_cli_rest *rest, int32_t **tokens, size_t *n)
{
    for (int i = 0; i < rest->n; i++) QN_CLI_TRY(qn_cli_read_ids(rest->items[i], tokens, n));
    if (rest->n) return qn_cli_ok();
    char *text;
    size_t size;
    QN_CLI_TRY(qn_cli_read_file("-", &text, &size));
    qn_status s = qn_cli_read_ids(text, tokens, n);
    free(text);
    return s;
}

static void print_text(const char *text, size_t size, bool json)
{
    if (!json) {
        fwrite(text, 1, size, stdout);
        return;
    }
    char *hex = qn_cli_alloc(2 * size + 1, 1);
    for (size_t i = 0; i < size; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text[i]);
    json_t *o = json_object();
    json_object_set_new(o, "text", qn_cli_json_text(text, size));
    json_object_set_new(o, "bytes_hex", json_string(hex));
    qn_cli_print_json(o);
    free(hex);
}

/* The bytes of tokens, one after another; the caller frees *text. */
static qn_status join(const qn_tokenizer *t, const int32_t *tokens, size_t n, char **text, size_t *size)
{
    size_t capacity = 0;
    for (size_t i = 0; i < n; i++) {
        size_t added;
        if ((uint32_t)tokens[i] >= qn_tokenizer_n_vocab(t))
            return qn_cli_fail(QN_ERR_ARGUMENT, "token %" PRId32 ": the vocabulary ends at %" PRIu32, tokens[i],
                               qn_tokenizer_n_vocab(t) - 1);
        const char *bytes = qn_tokenizer_bytes(t, tokens[i], &added);
        if (added == 0) continue;
        if (*size + added > capacity) {
            capacity = 2 * (*size + added);
            *text = qn_cli_resize(*text, capacity, 1);
        }
        memcpy(*text + *size, bytes, added);
        *size += added;
    }
    return qn_cli_ok();
}

static qn_status detokenize(const token_options *o, const int32_t *tokens, size_t n)
{
    vocabulary v;
    char *text = NULL;
    size_t size = 0, start = 0;
    qn_status s = open_vocabulary(o, &v);
    if (s.code == QN_OK) s = join(v.t, tokens, n, &text, &size);
    if (s.code == QN_OK) {
        while (start < size && start < qn_tokenizer_strip_start(v.t) && text[start] == ' ') start++;
        print_text(text ? text + start : "", size - start, o->json);
    }
    free(text);
    close_vocabulary(&v);
    return s;
}

int qn_cli_detokenize(int argc, char **argv)
{
    token_options o;
    qn_cli_rest rest;
    int code;
    if (!parse_detokenize(argc, argv, &o, &rest, &code)) return code;
    int32_t *tokens = NULL;
    size_t n = 0;
    qn_status s = read_ids(&rest, &tokens, &n);
    if (s.code == QN_OK) s = detokenize(&o, tokens, n);
    free(tokens);
    return qn_cli_exit("detokenize", s);
}
