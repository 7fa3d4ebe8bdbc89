/* Tokenizers that lie beside a model: agreement with Hugging Face's tokenizers and OpenAI's tiktoken
 * (tools/make_tokenizer_goldens.py), what tokenizer_config.json adds, and what unsupported and damaged files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "support/host_memory.h"
#include "text/internal.h"
#include "text/tokenizer.h"

#define DATA QN_SOURCE_DIR "/tests/data/tokenizers/"

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        qn_status status_ = (expr);                                                                                    \
        if (status_.code != QN_OK) fail_msg("%s", status_.text);                                                       \
    } while (0)

/* A status that fails with this code and a text that contains `text`. */
static void assert_fails(qn_status s, qn_code code, const char *text)
{
    if (s.code != code || !strstr(s.text, text))
        fail_msg("expected %s with '%s', got %s: %s", qn_code_name(code), text, qn_code_name(s.code), s.text);
}

/* ---- agreement ------------------------------------------------------------------------------- */

typedef struct ids {
    int32_t *list;
    size_t n;
} ids;

/* Asks twice, as the interface wants it. */
static ids encode(const qn_tokenizer *t, const char *text, size_t n, bool special)
{
    qn_encode_options o = {.parse_special = special};
    ids out = {0};
    qn_status s = qn_tokenizer_encode(t, text, n, &o, NULL, 0, &out.n);
    if (s.code != QN_OK && s.code != QN_ERR_ARGUMENT) fail_msg("%s", s.text);
    out.list = malloc((out.n + 1) * sizeof *out.list);
    assert_non_null(out.list);
    assert_ok(qn_tokenizer_encode(t, text, n, &o, out.list, out.n, &out.n));
    return out;
}

static void assert_ids(const char *name, const char *text, ids got, const json_t *expected)
{
    size_t n = json_array_size(expected);
    for (size_t i = 0; i < got.n && i < n; i++)
        if (got.list[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("%s: '%s': token %zu is %d, not %lld", name, text, i, got.list[i],
                     (long long)json_integer_value(json_array_get(expected, i)));
    if (got.n != n) fail_msg("%s: '%s': %zu tokens, not %zu", name, text, got.n, n);
}

/* What ids decode to, as valid UTF-8. Nothing is expected when it is null. */
static void assert_decodes(const char *name, const qn_tokenizer *t, ids in, const json_t *expected)
{
    if (json_is_null(expected)) return;
    qn_utf8_hold hold = {0};
    size_t room = 64, n = 0;
    for (size_t i = 0; i < in.n; i++) {
        size_t k;
        assert_non_null(qn_tokenizer_bytes(t, in.list[i], &k));
        room += 3 * (k + 4);
    }
    char *text = malloc(room);
    assert_non_null(text);
    for (size_t i = 0; i < in.n; i++) {
        size_t k;
        const char *bytes = qn_tokenizer_bytes(t, in.list[i], &k);
        n += qn_utf8_push(&hold, bytes, k, text + n);
    }
    n += qn_utf8_push(&hold, NULL, 0, text + n);
    size_t start = 0;
    while (start < n && start < qn_tokenizer_strip_start(t) && text[start] == ' ') start++;
    size_t m = json_string_length(expected);
    if (n - start != m || memcmp(text + start, json_string_value(expected), m) != 0)
        fail_msg("%s: decoded '%.*s', not '%s'", name, (int)(n - start), text + start, json_string_value(expected));
    free(text);
}

static void check_case(const char *name, const qn_tokenizer *t, const json_t *c)
{
    const json_t *text = json_object_get(c, "text");
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    ids special = encode(t, s, n, true), plain = encode(t, s, n, false);
    assert_ids(name, s, special, json_object_get(c, "ids"));
    assert_ids(name, s, plain, json_object_get(c, "plain"));
    assert_decodes(name, t, special, json_object_get(c, "decoded"));
    free(special.list);
    free(plain.list);
}

static void check_folder(const char *name, const char *file)
{
    char path[512];
    qn_tokenizer *t;
    const json_t *one, *id;
    size_t i, k;
    snprintf(path, sizeof path, "%s%s/%s", DATA, name, file);
    assert_ok(qn_tokenizer_open_file(NULL, path, &t));
    snprintf(path, sizeof path, "%s%s/cases.json", DATA, name);
    json_t *cases = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_non_null(cases);
    assert_true(json_array_size(json_object_get(cases, "cases")) >= 150);
    json_array_foreach(json_object_get(cases, "cases"), i, one) check_case(name, t, one);
    json_array_foreach(json_object_get(cases, "decode"), i, one)
    {
        int32_t list[32];
        json_array_foreach(json_object_get(one, "ids"), k, id) list[k] = (int32_t)json_integer_value(id);
        assert_decodes(name, t, (ids){list, json_array_size(json_object_get(one, "ids"))},
                       json_object_get(one, "text"));
    }
    const json_t *bos = json_object_get(cases, "bos");
    assert_int_equal(qn_tokenizer_adds_bos(t), json_is_integer(bos));
    if (json_is_integer(bos)) assert_int_equal(qn_tokenizer_bos(t), json_integer_value(bos));
    json_decref(cases);
    qn_tokenizer_close(t);
}

static void agreement_with_hugging_face(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2",   "llama3", "qwen",  "o200k",     "cl100k",          "digits",
                                        "splits", "llama2", "gemma", "metaspace", "metaspace_always"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check_folder(names[i], "tokenizer.json");
}

static void agreement_with_tiktoken(void **state)
{
    (void)state;
    check_folder("tiktoken", "tokenizer.model");
}

/* The built-in model's: the same ids as from its GGUF file. */
static void agreement_with_the_built_in_model(void **state)
{
    (void)state;
    qn_tokenizer *t;
    json_t *tokens = json_load_file(QN_SOURCE_DIR "/models/quern-tales/tokens.json", JSON_ALLOW_NUL, NULL);
    const json_t *c;
    size_t i;
    assert_non_null(tokens);
    assert_ok(qn_tokenizer_open_file(NULL, QN_SOURCE_DIR "/models/quern-tales/tokenizer.json", &t));
    json_array_foreach(json_object_get(tokens, "cases"), i, c)
    {
        const json_t *text = json_object_get(c, "text");
        ids got = encode(t, json_string_value(text), json_string_length(text), false);
        assert_ids("quern-tales", json_string_value(text), got, json_object_get(c, "ids"));
        free(got.list);
    }
    assert_int_equal(qn_tokenizer_bos(t), 0);
    assert_int_equal(qn_tokenizer_eos(t), 1);
    assert_true(qn_tokenizer_adds_bos(t));
    assert_true(qn_tokenizer_is_end(t, 1));
    json_decref(tokens);
    qn_tokenizer_close(t);
}

/* ---- files made here ------------------------------------------------------------------------- */

#define CHARS                   "\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"\\u2581\":5"
#define MERGES                  "\"a b\",[\"ab\",\"c\"]"
#define SPECIALS                "{\"id\":6,\"content\":\"<s>\",\"special\":true},{\"id\":7,\"content\":\"</s>\",\"special\":true}"
#define MODEL_OF(vocab, merges) "\"model\":{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[" merges "]}"
#define MODEL                   MODEL_OF(CHARS, MERGES)
#define DECODER                 "\"decoder\":{\"type\":\"Fuse\"}"
#define ADDED(list)             "\"added_tokens\":[" list "]"

static qn_status open_files(const char *data, const char *config, const char *jinja, qn_tokenizer **t)
{
    const qn_tokenizer_files files = {
        data, strlen(data), config, config ? strlen(config) : 0, jinja, jinja ? strlen(jinja) : 0};
    return qn_tokenizer_open_memory(NULL, &files, t);
}

static void assert_refused(const char *data, qn_code code, const char *text)
{
    qn_tokenizer *t;
    assert_fails(open_files(data, NULL, NULL, &t), code, text);
    assert_null(t);
}

static void a_small_file(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(open_files("{" MODEL "," DECODER "," ADDED(SPECIALS) "}", NULL, NULL, &t));
    ids got = encode(t, "abc<s>cab", 9, true);
    const int32_t expected[] = {4, 6, 2, 3};
    assert_int_equal(got.n, 4);
    assert_memory_equal(got.list, expected, sizeof expected);
    free(got.list);
    assert_int_equal(qn_tokenizer_n_vocab(t), 8);
    assert_int_equal(qn_tokenizer_bos(t), 6);
    assert_int_equal(qn_tokenizer_eos(t), 7);
    assert_false(qn_tokenizer_adds_bos(t));
    assert_true(qn_tokenizer_is_special(t, 7) && qn_tokenizer_is_end(t, 7));
    assert_string_equal(qn_tokenizer_chat_template(t), "");
    int32_t id;
    size_t n;
    assert_fails(qn_tokenizer_encode(t, "ax", 2, NULL, &id, 1, &n), QN_ERR_FORMAT, "no token for byte 0x78");
    qn_tokenizer_close(t);
}

static void unsupported_components_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *members, *text;
    } cases[] = {
        {"\"model\":{\"type\":\"Unigram\",\"vocab\":[]}", "type Unigram"},
        {"\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}", "type WordPiece"},
        {"\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}", "dropout"},
        {"\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{},\"merges\":[]}",
         "end_of_word_suffix"},
        {MODEL, "decoder: a file without one"},
        {MODEL ",\"decoder\":{\"type\":\"WordPiece\"}", "decoder: the decoder WordPiece"},
        {MODEL ",\"decoder\":{\"type\":\"ByteLevel\"}", "decoder: is ByteLevel, but the pre-tokenizer is not"},
        {MODEL "," DECODER ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", "decoder: is not only ByteLevel"},
        {MODEL "," DECODER ",\"normalizer\":{\"type\":\"Lowercase\"}", "normalizer: the normalizer Lowercase"},
        {MODEL "," DECODER
               ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Nmt\"}]}",
         "normalizer: normalizers[1]: the normalizer Nmt"},
        {MODEL "," DECODER ",\"pre_tokenizer\":{\"type\":\"Whitespace\"}",
         "pre_tokenizer: the pre-tokenizer Whitespace"},
        {MODEL "," DECODER ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
               "{\"type\":\"Digits\"}]}",
         "pre_tokenizer: pretokenizers[1]: Digits behind ByteLevel"},
        {MODEL "," DECODER
               ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"\\\\w+\"}}",
         "pre_tokenizer: Split: pattern, byte 0: \\w"},
        {MODEL "," DECODER
               ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"a*\"}}",
         "matches the empty text"},
        {MODEL "," DECODER
               ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"+\"}}",
         "Split: pre-tokenizer: pattern"},
        {MODEL "," DECODER ",\"post_processor\":{\"type\":\"BertProcessing\"}",
         "post_processor: the post-processor Bert"},
        {MODEL "," DECODER
               ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},"
               "{\"SpecialToken\":{\"id\":\"</s>\"}}]}",
         "a token put behind the text"},
        {MODEL "," DECODER "," ADDED("{\"id\":6,\"content\":\"x\",\"single_word\":true}"),
         "added_tokens[0]: single_word"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char data[1024];
        snprintf(data, sizeof data, "{%s}", cases[i].members);
        assert_refused(data, QN_ERR_UNSUPPORTED, cases[i].text);
    }
}

static void damaged_files_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *data, *text;
    } cases[] = {
        {"", "empty"},
        {" \n", "empty"},
        {"{", "line 1, column"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"a\":1}}}", "duplicate"},
        {"{\"model\":{\"vocab\":{\"a\":99999999999999999999}}}", "too big integer"},
        {"{\"a\":\"\xff\"}", "line 1"},
        {"{}", "model is missing"},
        {"{\"model\":7}", "model is missing or not an object"},
        {"{\"model\":{\"type\":7}}", "model: type is not a string"},
        {"{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", "vocab is missing"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", "merges is missing"},
        {"{" MODEL_OF("", "") "," DECODER "}", "the vocabulary is empty"},
        {"{" MODEL_OF("\"a\":\"0\"", "") "," DECODER "}", "model.vocab: 'a': the id is not a number"},
        {"{" MODEL_OF("\"a\":-1", "") "," DECODER "}", "model.vocab: 'a': the id is not a number"},
        {"{" MODEL_OF("\"a\":1.5", "") "," DECODER "}", "model.vocab: 'a': the id is not a number"},
        {"{" MODEL_OF("\"a\":2147483647", "") "," DECODER "}", "model.vocab: 'a': the id is not a number"},
        {"{" MODEL_OF("\"a\":1000000000", "") "," DECODER "}", "has the id 1000000000, but there are 1 tokens"},
        {"{" MODEL_OF("\"a\":0,\"b\":0", "") "," DECODER "}", "'a' and 'b' both have the id 0"},
        {"{" MODEL_OF(CHARS, "\"a x\"") "," DECODER "}", "model.merges[0]: needs the token 'x'"},
        {"{" MODEL_OF(CHARS, "\"b a\"") "," DECODER "}", "model.merges[0]: needs the token 'ba'"},
        {"{" MODEL_OF(CHARS, "\"ab\"") "," DECODER "}", "model.merges[0]: not two texts"},
        {"{" MODEL_OF(CHARS, "\"a b c\"") "," DECODER "}", "model.merges[0]: not two texts"},
        {"{" MODEL_OF(CHARS, "[\"a\"]") "," DECODER "}", "model.merges[0]: not two texts"},
        {"{" MODEL_OF(CHARS, "\"a b\",7") "," DECODER "}", "model.merges[1]: not two texts"},
        {"{" MODEL "," DECODER "," ADDED("{\"id\":6,\"content\":\"\"}") "}", "added_tokens[0]: content is empty"},
        {"{" MODEL "," DECODER "," ADDED("{\"content\":\"x\"}") "}", "added_tokens[0]: the id is not"},
        {"{" MODEL "," DECODER "," ADDED("{\"id\":0,\"content\":\"x\"}") "}", "'x' has the id 0, which is 'a' already"},
        {"{" MODEL "," DECODER "," ADDED("{\"id\":6,\"content\":\"a\"}") "}",
         "'a' has the id 6, but 0 in the vocabulary"},
        {"{" MODEL "," DECODER "," ADDED("{\"id\":6,\"content\":\"x\"},{\"id\":6,\"content\":\"x\"}") "}",
         "6 is there twice"},
        {"{" MODEL "," DECODER "," ADDED("{\"id\":6,\"content\":\"x\",\"normalized\":false},"
                                         "{\"id\":7,\"content\":\"x\",\"normalized\":false}") "}",
         "'x': it is there twice"},
        {"{" MODEL ",\"decoder\":7}", "decoder: type is missing"},
        {"{" MODEL "," DECODER ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[77]}}}}",
         "post_processor: the id 77 is no token"},
        {"{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"vocab\":{\"a\":0},\"merges\":[]}," DECODER "}",
         "unk_token '<unk>' is not in the vocabulary"},
        {"YQ== 0\nYg==\n", "line 2 is not \"base64 rank\""},
        {"YQ== 0\nYg== x\n", "line 2: 'x' is not a rank"},
        {"YQ== 0\nYg== \n", "line 2 has no rank"},
        {"YQ== 0\nYg== 2\n", "line 2: rank 2, but there are 2 tokens"},
        {"YQ== 0\nYg== 99999999999\n", "is not a rank"},
        {"YQ== 0\nYg== 0\n", "lines 1 and 2 both have rank 0"},
        {"YQ== 0\nYQ== 1\n", "lines 1 and 2 are the same token"},
        {"YQ== 0\nY*== 1\n", "line 2: 'Y*==' is not base64"},
        {"YQ== 0\nYQ= 1\n", "line 2: 'YQ=' is not base64"},
        {"YQ== 0\n==== 1\n", "line 2: '====' is not base64"},
        {"abc", "line 1 is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i].data, QN_ERR_FORMAT, cases[i].text);
    assert_refused("\n\x07\x08\x02", QN_ERR_UNSUPPORTED, "SentencePiece");
}

/* A file cut anywhere is an error, not a crash (the sanitizer build looks). */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    qn_file file;
    qn_tokenizer *t;
    assert_ok(qn_file_open(DATA "qwen/tokenizer.json", &file));
    for (size_t n = 0; n + 2 < file.size; n += 97) {
        const qn_tokenizer_files files = {.data = file.data, .size = n};
        assert_int_equal(qn_tokenizer_open_memory(NULL, &files, &t).code, QN_ERR_FORMAT);
    }
    qn_file_close(&file);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *data = malloc(DEEP + 16);
    assert_non_null(data);
    memcpy(data, "{\"model\":", 9);
    memset(data + 9, '[', DEEP);
    data[9 + DEEP] = '\0';
    assert_refused(data, QN_ERR_FORMAT, "depth");
    free(data);
    char many[2048] = "{" MODEL "," DECODER ",\"normalizer\":";
    for (int i = 0; i < 9; i++) strcat(many, "{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 9; i++) strcat(many, "]}");
    strcat(many, "}");
    assert_refused(many, QN_ERR_UNSUPPORTED, "nested too deep");
}

/* Gaps in the ids, merges that go round in circles, merges of special tokens. */
static void odd_files_are_read(void **state)
{
    (void)state;
    qn_tokenizer *t;
    size_t n = 7;
    assert_ok(open_files("{" MODEL_OF("\"a\":0,\"aa\":5,\"aaa\":9", "\"a a\",\"aa a\",\"a aa\"") "," DECODER "}", NULL,
                         NULL, &t));
    assert_int_equal(qn_tokenizer_n_vocab(t), 10);
    assert_non_null(qn_tokenizer_bytes(t, 3, &n));
    assert_int_equal(n, 0);
    ids got = encode(t, "aaaaa", 5, false);
    assert_int_equal(got.n, 2); /* aa aa a, then aa aaa: the first merge goes before all others */
    assert_int_equal(got.list[0], 5);
    assert_int_equal(got.list[1], 9);
    free(got.list);
    qn_tokenizer_close(t);
    assert_ok(open_files("{" MODEL_OF(CHARS ",\"</s>\":7,\"<\":8,\"/s>\":9", MERGES ",\"< /s>\"") "," DECODER "," ADDED(
                             "{\"id\":7,\"content\":\"</s>\",\"special\":true}") "}",
                         NULL, NULL, &t));
    got = encode(t, "</s>", 4, true);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.list[0], 7);
    free(got.list);
    int32_t id;
    assert_fails(qn_tokenizer_encode(t, "</s>", 4, NULL, &id, 1, &n), QN_ERR_FORMAT, "no token for byte 0x2F");
    qn_tokenizer_close(t);
}

static void the_config_names_begin_and_end(void **state)
{
    (void)state;
    static const char data[] = "{" MODEL "," DECODER "," ADDED(SPECIALS) "}";
    qn_tokenizer *t;
    assert_ok(open_files(data, "{\"bos_token\":{\"content\":\"</s>\"},\"eos_token\":\"c\",\"add_bos_token\":true}",
                         NULL, &t));
    assert_int_equal(qn_tokenizer_bos(t), 7);
    assert_int_equal(qn_tokenizer_eos(t), 2);
    assert_true(qn_tokenizer_adds_bos(t));
    assert_true(qn_tokenizer_is_end(t, 2) && qn_tokenizer_is_special(t, 2));
    qn_tokenizer_close(t);
    assert_ok(open_files(data, "{\"bos_token\":null,\"eos_token\":\"</s>\",\"add_bos_token\":true}", NULL, &t));
    assert_int_equal(qn_tokenizer_bos(t), -1);
    assert_false(qn_tokenizer_adds_bos(t));
    qn_tokenizer_close(t);
    assert_fails(open_files(data, "{\"eos_token\":\"<x>\"}", NULL, &t), QN_ERR_FORMAT,
                 "tokenizer_config.json: eos_token '<x>' is no token");
    assert_fails(open_files(data, "{\"eos_token\":5}", NULL, &t), QN_ERR_FORMAT, "eos_token is not a text");
    assert_fails(open_files(data, "{\"add_eos_token\":true}", NULL, &t), QN_ERR_UNSUPPORTED, "add_eos_token");
    assert_fails(open_files(data, "{", NULL, &t), QN_ERR_FORMAT, "tokenizer_config.json: line 1");
}

static void chat_templates_are_recognised(void **state)
{
    (void)state;
    static const char data[] = "{" MODEL "," DECODER "," ADDED(SPECIALS) "}";
    static const char list[] = "{\"chat_template\":[{\"name\":\"x\",\"template\":\"\"},"
                               "{\"name\":\"default\",\"template\":\"<|im_start|>\"}]}";
    qn_tokenizer *t;
    int32_t out[64];
    size_t n = 0;
    const qn_chat_message hello = {"user", "the"};
    assert_ok(open_files(data, "{\"chat_template\":\"[INST]\"}", NULL, &t));
    assert_string_equal(qn_tokenizer_chat_template(t), "unsupported: mistral");
    assert_fails(qn_tokenizer_chat_encode(t, &hello, 1, true, out, 64, &n), QN_ERR_UNSUPPORTED, "mistral");
    qn_tokenizer_close(t);
    assert_ok(open_files(data, list, NULL, &t));
    assert_string_equal(qn_tokenizer_chat_template(t), "unsupported: chatml");
    qn_tokenizer_close(t);
    assert_ok(open_files(data, list, "<start_of_turn>", &t));
    assert_string_equal(qn_tokenizer_chat_template(t), "unsupported: gemma");
    qn_tokenizer_close(t);
    assert_ok(qn_tokenizer_open_file(NULL, DATA "tiktoken/tokenizer.model", &t));
    assert_string_equal(qn_tokenizer_chat_template(t), "llama3");
    int32_t bos = qn_tokenizer_bos(t);
    assert_ok(qn_tokenizer_chat_encode(t, &hello, 1, true, out, 64, &n));
    assert_int_equal(out[0], bos);
    assert_int_equal(out[1], bos + 6); /* <|start_header_id|> */
    assert_true(qn_tokenizer_is_end(t, bos + 1) && qn_tokenizer_is_end(t, bos + 8) && qn_tokenizer_is_end(t, bos + 9));
    assert_int_equal(qn_tokenizer_find_special(t, "<|eot_id|>"), bos + 9);
    assert_int_equal(qn_tokenizer_find_special(t, "<|reserved_special_token_245|>"), bos + 255);
    assert_int_equal(qn_tokenizer_n_vocab(t), bos + 256);
    qn_tokenizer_close(t);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* Text that a quadratic reader or encoder would not come back from. */
static void long_texts_are_quick(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen/tokenizer.json", "llama2/tokenizer.json", "splits/tokenizer.json",
                                        "tiktoken/tokenizer.model"};
    static const char *const units[] = {"a", " ", "\n", "\xCC\x80\xCC\xA7", "<", "1", "\xE2\x96\x81", "<tool>"};
    enum { BYTES = 300000 };
    char *text = malloc(BYTES + 8);
    assert_non_null(text);
    clock_t start = clock();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        qn_tokenizer *t;
        snprintf(path, sizeof path, "%s%s", DATA, names[i]);
        assert_ok(qn_tokenizer_open_file(NULL, path, &t));
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            size_t k = strlen(units[u]), n = BYTES / k * k;
            for (size_t at = 0; at < n; at += k) memcpy(text + at, units[u], k);
            ids got = encode(t, text, n, true);
            free(got.list);
        }
        qn_tokenizer_close(t);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (seconds > 60) fail_msg("%.1f s", seconds);
    free(text);
}

static void hostile_steps_are_bounded(void **state)
{
    (void)state;
    qn_tokenizer *t;
    int32_t id;
    size_t n;
    char text[4096];
    memset(text, 'a', sizeof text);
    assert_ok(open_files("{" MODEL "," DECODER ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
                         "\"pattern\":{\"Regex\":\"(?:a+)+[bc]\"}}}",
                         NULL, NULL, &t));
    assert_fails(qn_tokenizer_encode(t, text, sizeof text, NULL, &id, 1, &n), QN_ERR_LIMIT, "gave up");
    qn_tokenizer_close(t);
#define DOUBLE "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaa\"}"
    assert_ok(open_files("{" MODEL "," DECODER ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" DOUBLE
                         "," DOUBLE "," DOUBLE "," DOUBLE "]}}",
                         NULL, NULL, &t));
    assert_fails(qn_tokenizer_encode(t, text, sizeof text, NULL, &id, 1, &n), QN_ERR_LIMIT, "16 times");
    qn_tokenizer_close(t);
    assert_refused("{" MODEL ",\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":"
                   "\"012345678901234567890123456789012345678901234567890123456789012345678901234567890\"}}",
                   QN_ERR_UNSUPPORTED, "four times");
}

/* Every allocation fails in turn. */
static void memory_running_out_leaks_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen/tokenizer.json", "llama2/tokenizer.json", "tiktoken/tokenizer.model"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s%s", DATA, names[i]);
        for (uint64_t fail_at = 1;; fail_at++) {
            qn_test_allocator a;
            qn_test_allocator_init(&a);
            a.fail_at = fail_at;
            qn_tokenizer *t;
            int32_t out[64];
            size_t n;
            qn_status s = qn_tokenizer_open_file(&a.allocator, path, &t);
            if (s.code == QN_OK) s = qn_tokenizer_encode(t, "e\xCC\x81 the", 7, NULL, out, 64, &n);
            qn_tokenizer_close(t);
            assert_int_equal(a.blocks, 0);
            if (a.calls < fail_at) break;
            assert_true(s.code == QN_ERR_MEMORY || s.code == QN_OK); /* OK: PCRE2 went on without its machine code */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreement_with_hugging_face),
        cmocka_unit_test(agreement_with_tiktoken),
        cmocka_unit_test(agreement_with_the_built_in_model),
        cmocka_unit_test(a_small_file),
        cmocka_unit_test(unsupported_components_are_named),
        cmocka_unit_test(damaged_files_say_where),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(odd_files_are_read),
        cmocka_unit_test(the_config_names_begin_and_end),
        cmocka_unit_test(chat_templates_are_recognised),
        cmocka_unit_test(long_texts_are_quick),
        cmocka_unit_test(hostile_steps_are_bounded),
        cmocka_unit_test(memory_running_out_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
