/* The tokenizer: agreement with the built-in model's cases (made with Hugging Face's tokenizers), what it promises
 * for any bytes, speed, and damaged metadata. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pthread.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/random.h"
#include "support/host_memory.h"
#include "support/vocab.h"
#include "text/pretokenize.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MODEL QN_SOURCE_DIR "/models/quern-tales/"

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        qn_status status_ = (expr);                                                                                    \
        if (status_.code != QN_OK) fail_msg("%s", status_.text);                                                       \
    } while (0)

static qn_tokenizer *tales; /* the built-in model's */
static json_t *cases;       /* tokens.json */

static int open_tales(void **state)
{
    (void)state;
    qn_file file;
    qn_gguf *gguf = NULL;
    qn_status s = qn_file_open(MODEL "quern-tales-q4_0.gguf", &file);
    if (s.code == QN_OK) {
        qn_source source = qn_file_source(&file);
        s = qn_gguf_open(NULL, &source, &gguf);
    }
    if (s.code == QN_OK) s = qn_tokenizer_from_gguf(NULL, gguf, &tales);
    if (s.code != QN_OK) {
        fprintf(stderr, "%s\n", s.text);
        return -1;
    }
    qn_gguf_close(gguf); /* the tokenizer keeps nothing of it */
    qn_file_close(&file);
    cases = json_load_file(MODEL "tokens.json", JSON_ALLOW_NUL, NULL);
    return cases ? 0 : -1;
}

static int close_tales(void **state)
{
    (void)state;
    qn_tokenizer_close(tales);
    json_decref(cases);
    return 0;
}

/* Encodes into malloc'ed memory with room for the promised n_bytes + 1 ids. */
static int32_t *encode(const qn_tokenizer *t, const char *text, size_t n, qn_encode_options o, size_t *n_tokens)
{
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    assert_non_null(ids);
    assert_ok(qn_tokenizer_encode(t, text, n, &o, ids, n + 1, n_tokens));
    return ids;
}

static void assert_ids(const char *text, const int32_t *ids, size_t n, const json_t *expected)
{
    if (n != json_array_size(expected)) fail_msg("'%s': %zu tokens, not %zu", text, n, json_array_size(expected));
    for (size_t i = 0; i < n; i++)
        if (ids[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("'%s': token %zu is %d, not %lld", text, i, ids[i],
                     (long long)json_integer_value(json_array_get(expected, i)));
}

static void check_cases(const char *key, size_t least, qn_encode_options o)
{
    const json_t *list = json_object_get(cases, key), *c;
    size_t i;
    assert_true(json_array_size(list) >= least);
    json_array_foreach(list, i, c)
    {
        const json_t *text = json_object_get(c, "text");
        size_t n;
        int32_t *ids = encode(tales, json_string_value(text), json_string_length(text), o, &n);
        assert_ids(json_string_value(text), ids, n, json_object_get(c, "ids"));
        free(ids);
    }
}

/* The bytes of a list of tokens, malloc'ed. */
static char *decode(const qn_tokenizer *t, const int32_t *ids, size_t n, size_t *n_bytes)
{
    size_t k;
    *n_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        assert_non_null(qn_tokenizer_bytes(t, ids[i], &k));
        *n_bytes += k;
    }
    char *out = malloc(*n_bytes + 1), *end = out;
    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        const char *bytes = qn_tokenizer_bytes(t, ids[i], &k);
        memcpy(end, bytes, k);
        end += k;
    }
    return out;
}

static void assert_round_trip(const qn_tokenizer *t, const char *text, size_t n, qn_encode_options o)
{
    size_t n_tokens, n_bytes;
    int32_t *ids = encode(t, text, n, o, &n_tokens);
    char *back = decode(t, ids, n_tokens, &n_bytes);
    assert_int_equal(n_bytes, n);
    assert_memory_equal(back, text, n);
    free(back);
    free(ids);
}

/* ---- agreement ------------------------------------------------------------------------------- */

static void the_hundred_strings(void **state)
{
    (void)state;
    check_cases("cases", 100, (qn_encode_options){0});
    check_cases("cases", 100, (qn_encode_options){.parse_special = true}); /* none holds a special token */
}

static void bos_comes_first_when_asked_for(void **state)
{
    (void)state;
    check_cases("with_special", 2, (qn_encode_options){.add_bos = true});
}

static void special_tokens_are_read_when_asked_for(void **state)
{
    (void)state;
    check_cases("parsed_special", 2, (qn_encode_options){.parse_special = true});
    size_t n;
    int32_t *ids = encode(tales, "<|end_of_text|>", 15, (qn_encode_options){0}, &n);
    for (size_t i = 0; i < n; i++) assert_false(qn_tokenizer_is_special(tales, ids[i]));
    free(ids);
}

static void decoding_gives_the_bytes(void **state)
{
    (void)state;
    const json_t *list = json_object_get(cases, "decode"), *c, *id;
    size_t i, j;
    assert_true(json_array_size(list) >= 10);
    json_array_foreach(list, i, c)
    {
        int32_t ids[64];
        size_t n_bytes;
        json_array_foreach(json_object_get(c, "ids"), j, id) ids[j] = (int32_t)json_integer_value(id);
        char *bytes = decode(tales, ids, json_array_size(json_object_get(c, "ids")), &n_bytes);
        const char *hex = json_string_value(json_object_get(c, "bytes_hex"));
        assert_int_equal(strlen(hex), 2 * n_bytes);
        for (size_t k = 0; k < n_bytes; k++) {
            char two[3];
            snprintf(two, sizeof two, "%02x", (unsigned)(unsigned char)bytes[k]);
            assert_memory_equal(two, hex + 2 * k, 2);
        }
        free(bytes);
    }
}

static void facts_of_the_built_in_vocabulary(void **state)
{
    (void)state;
    size_t n = 1;
    assert_int_equal(qn_tokenizer_n_vocab(tales), 4096);
    assert_int_equal(qn_tokenizer_bos(tales), 0);
    assert_int_equal(qn_tokenizer_eos(tales), 1);
    assert_true(qn_tokenizer_adds_bos(tales));
    assert_true(qn_tokenizer_is_special(tales, 0));
    assert_true(qn_tokenizer_is_end(tales, 1));
    assert_false(qn_tokenizer_is_end(tales, 0));
    assert_false(qn_tokenizer_is_special(tales, 2));
    assert_int_equal(qn_tokenizer_find_special(tales, "<|end_of_text|>"), 1);
    assert_int_equal(qn_tokenizer_find_special(tales, "<|end_of_text|"), -1);
    assert_int_equal(qn_tokenizer_find_special(tales, ""), -1);
    assert_string_equal(qn_tokenizer_description(tales), "gpt2 / llama-bpe");
    assert_memory_equal(qn_tokenizer_bytes(tales, 0, &n), "<|begin_of_text|>", 17);
    assert_int_equal(n, 17);
    const int32_t outside[] = {-1, INT32_MIN, 4096, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        assert_null(qn_tokenizer_bytes(tales, outside[i], &n));
        assert_int_equal(n, 0);
        assert_false(qn_tokenizer_is_special(tales, outside[i]));
        assert_false(qn_tokenizer_is_end(tales, outside[i]));
    }
}

/* ---- any bytes ------------------------------------------------------------------------------- */

static void any_bytes_round_trip(void **state)
{
    (void)state;
    static const char *const parts[] = {"the ", "'s",       "\xC3",         "\xF0\x9F\x98\x80", "\x80", "12345",
                                        "\n\n", "<|end_of", "_text|>",      "\xED\xA0\x80",     "\xFF", "  ",
                                        "Once", "\xE4\xBD", "\xC2\xA0\xC2", "\xE4\xBD\xA0",     "",     "\xF4\x90"};
    for (uint64_t round = 0; round < 5000; round++) {
        char text[256];
        size_t n = 0;
        for (uint64_t i = 0; i < 12; i++) {
            uint32_t r = qn_random_word(round, i);
            if (r & 0x10000) {
                text[n++] = (char)r;
                continue;
            }
            const char *part = parts[r % (sizeof parts / sizeof parts[0])];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        assert_round_trip(tales, text, n, (qn_encode_options){0});
        assert_round_trip(tales, text, n, (qn_encode_options){.parse_special = true});
    }
}

static void an_invalid_byte_is_one_token(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab(NULL), NULL, &t));
    const char text[] = "the\xFF\xC3\xC3\xA9\xE4\xBD";
    const int32_t expected[] = {V_THE, 0xFF, 0xC3, 0xC3, 0xA9, 0xE4, 0xBD};
    size_t n;
    int32_t *ids = encode(t, text, sizeof text - 1, (qn_encode_options){0}, &n);
    assert_int_equal(n, sizeof expected / sizeof expected[0]);
    assert_memory_equal(ids, expected, sizeof expected);
    free(ids);
    qn_tokenizer_close(t);
}

static void the_full_number_is_told_when_the_room_is_short(void **state)
{
    (void)state;
    const char text[] = "Once upon a time";
    int32_t ids[5] = {-7, -7, -7, -7, -7};
    size_t n = 0;
    const qn_encode_options bos = {.add_bos = true};
    qn_status s = qn_tokenizer_encode(tales, text, sizeof text - 1, &bos, ids, 3, &n);
    assert_int_equal(s.code, QN_ERR_ARGUMENT);
    assert_int_equal(n, 5);
    assert_int_equal(ids[2], 661);
    assert_int_equal(ids[3], -7); /* nothing is written past the room */
    s = qn_tokenizer_encode(tales, text, sizeof text - 1, &bos, NULL, 0, &n);
    assert_int_equal(s.code, QN_ERR_ARGUMENT);
    assert_int_equal(n, 5);
    assert_ok(qn_tokenizer_encode(tales, text, sizeof text - 1, &bos, ids, 5, &n));
    assert_ok(qn_tokenizer_encode(tales, text, sizeof text - 1, NULL, ids, 5, &n)); /* NULL: no bos */
    assert_int_equal(n, 4);
    assert_ok(qn_tokenizer_encode(tales, NULL, 0, NULL, NULL, 0, &n));
    assert_int_equal(n, 0);
}

/* ---- merges ---------------------------------------------------------------------------------- */

typedef struct symbol {
    char text[8];
} symbol;

typedef struct merge {
    const char *left, *right;
} merge;

static symbol join(const char *left, const char *between, const char *right)
{
    symbol s = {{0}};
    snprintf(s.text, sizeof s.text, "%s%s%s", left, between, right);
    return s;
}

/* Byte-pair encoding as its definition says it, on strings: of all neighbours the pair that stands first in the list
 * of merges, at its leftmost place, again and again. */
static size_t merge_by_definition(symbol *symbols, size_t n, const merge *merges, size_t n_merges)
{
    for (;;) {
        size_t m = 0, at = n;
        for (; m < n_merges; m++) {
            for (at = 0; at + 1 < n; at++)
                if (!strcmp(symbols[at].text, merges[m].left) && !strcmp(symbols[at + 1].text, merges[m].right)) break;
            if (at + 1 < n) break;
        }
        if (m == n_merges) return n;
        symbols[at] = join(merges[m].left, "", merges[m].right);
        for (n--, at++; at < n; at++) symbols[at] = symbols[at + 1];
    }
}

/* A vocabulary of the bytes and of what these merges make. Some of it is made in two ways: repeated tokens. */
static qn_tokenizer *open_merges(const merge *merges, size_t n)
{
    symbol lines[32], joined[32];
    const char *list[32], *tokens[256 + 32];
    assert_true(n <= 32);
    memcpy(tokens, qn_test_vocab_tokens(), 256 * sizeof *tokens);
    for (size_t i = 0; i < n; i++) {
        lines[i] = join(merges[i].left, " ", merges[i].right);
        joined[i] = join(merges[i].left, "", merges[i].right);
        list[i] = lines[i].text;
        tokens[256 + i] = joined[i].text;
    }
    qn_builder *b = qn_test_vocab("tokenizer.ggml.tokens tokenizer.ggml.token_type tokenizer.ggml.merges "
                                  "tokenizer.ggml.bos_token_id tokenizer.ggml.eos_token_id");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, 256 + n);
    qn_builder_strs(b, "tokenizer.ggml.merges", list, n);
    qn_tokenizer *t;
    assert_ok(qn_test_open(b, NULL, &t));
    return t;
}

/* Random pieces of a few letters, short ones (scanned) and long ones (with a heap), against the definition. */
static void merges_follow_the_definition(void **state)
{
    (void)state;
    static const merge merges[] = {{"a", "b"}, {"b", "a"},  {"aa", "b"}, {"a", "a"},  {"ab", "a"},  {"b", "b"},
                                   {"c", "a"}, {"ba", "b"}, {"a", "ba"}, {"aa", "a"}, {"aa", "aa"}, {"ca", "c"}};
    enum { N_MERGES = sizeof merges / sizeof merges[0], LONGEST = 160 };
    qn_tokenizer *t = open_merges(merges, N_MERGES);
    for (uint64_t round = 0; round < 3000; round++) {
        char piece[LONGEST];
        symbol expected[LONGEST];
        size_t n = 5 + qn_random_word(round, 1000) % (round % 2 ? LONGEST - 5 : 44); /* longer than any token */
        for (size_t i = 0; i < n; i++) {
            piece[i] = "aabbc"[qn_random_word(round, i) % 5];
            expected[i] = (symbol){{piece[i]}};
        }
        size_t n_ids, n_expected = merge_by_definition(expected, n, merges, N_MERGES);
        int32_t *ids = encode(t, piece, n, (qn_encode_options){0}, &n_ids);
        assert_int_equal(n_ids, n_expected);
        for (size_t i = 0; i < n_ids; i++) {
            size_t k;
            const char *bytes = qn_tokenizer_bytes(t, ids[i], &k);
            assert_int_equal(k, strlen(expected[i].text));
            assert_memory_equal(bytes, expected[i].text, k);
        }
        free(ids);
    }
    qn_tokenizer_close(t);
}

static void assert_encodes(const qn_tokenizer *t, const char *text, bool parse, const int32_t *expected, size_t n)
{
    size_t n_ids;
    int32_t *ids = encode(t, text, strlen(text), (qn_encode_options){.parse_special = parse}, &n_ids);
    assert_int_equal(n_ids, n);
    assert_memory_equal(ids, expected, n * sizeof *ids);
    free(ids);
}

#define ENCODES(t, text, parse, ...)                                                                                   \
    assert_encodes(t, text, parse, (const int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void a_whole_piece_that_is_a_token_needs_no_merges(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab(NULL), NULL, &t));
    ENCODES(t, "user", false, V_USER);
    ENCODES(t, "users", false, 'u', 's', 'e', 'r', 's');
    ENCODES(t, "the the\n\nthx", false, V_THE, V_SPACE_THE, V_NEWLINES, V_TH, 'x');
    qn_tokenizer_close(t);
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct job {
    const char *text;
    size_t n, n_tokens;
    int32_t *ids;
    qn_code code;
} job;

static void *encode_job(void *user)
{
    job *j = user;
    for (int i = 0; i < 5; i++) /* no cmocka call here: it belongs to the main thread */
        j->code = qn_tokenizer_encode(tales, j->text, j->n, NULL, j->ids, j->n + 1, &j->n_tokens).code;
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    enum { N_THREADS = 4 };
    qn_file held;
    assert_ok(qn_file_open(MODEL "heldout.txt", &held));
    job jobs[N_THREADS];
    pthread_t threads[N_THREADS];
    for (size_t i = 0; i < N_THREADS; i++) {
        jobs[i] = (job){.text = (const char *)held.data, .n = (size_t)held.size};
        jobs[i].ids = malloc((jobs[i].n + 1) * sizeof *jobs[i].ids);
        assert_non_null(jobs[i].ids);
        assert_int_equal(pthread_create(&threads[i], NULL, encode_job, &jobs[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].code, QN_OK);
        assert_int_equal(jobs[i].n_tokens, 13389);
        assert_memory_equal(jobs[i].ids, jobs[0].ids, 13389 * sizeof *jobs[i].ids);
    }
    for (size_t i = 0; i < N_THREADS; i++) free(jobs[i].ids);
    qn_file_close(&held);
}

/* ---- special tokens -------------------------------------------------------------------------- */

static void control_tokens_are_read_only_when_asked_for_user_defined_always(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab(NULL), NULL, &t));
    ENCODES(t, "the<|eot_id|>the", true, V_THE, V_EOT, V_THE);
    ENCODES(t, "<|eot", true, '<', '|', 'e', 'o', 't');
    ENCODES(t, "<|eot_id|>", false, '<', '|', 'e', 'o', 't', '_', 'i', 'd', '|', '>');
    ENCODES(t, "a<tool>b", false, 'a', V_TOOL, 'b');
    ENCODES(t, "<<tool><|eot_id|><|eot_id|", true, '<', V_TOOL, V_EOT, '<', '|', 'e', 'o', 't', '_', 'i', 'd', '|');
    /* the longest of those that begin at a place */
    ENCODES(t, "<tool>sx", false, V_TOOLS, 'x');
    assert_true(qn_tokenizer_is_special(t, V_EOT));
    assert_false(qn_tokenizer_is_special(t, V_TOOL)); /* its text is shown */
    qn_tokenizer_close(t);
}

static void none_mode_reads_no_special_token_at_all(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab(NULL), NULL, &t));
    int32_t ids[32];
    qn_token_sink sink = {ids, 32, 0};
    assert_ok(qn_tokenizer_append(t, "<tool><|eot_id|>", 16, QN_SPECIAL_NONE, &sink));
    assert_int_equal(sink.n, 16);
    for (size_t i = 0; i < sink.n; i++) assert_true(ids[i] < 256);
    qn_tokenizer_close(t);
}

static void every_end_token_ends(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab(NULL), NULL, &t));
    assert_true(qn_tokenizer_is_end(t, V_END));
    assert_true(qn_tokenizer_is_end(t, V_EOT));
    assert_true(qn_tokenizer_is_end(t, V_EOM));
    assert_false(qn_tokenizer_is_end(t, V_BEGIN));
    assert_false(qn_tokenizer_is_end(t, V_START_HEADER));
    assert_int_equal(qn_tokenizer_eos(t), V_END);
    qn_tokenizer_close(t);
    qn_builder *b = qn_test_vocab(NULL); /* by id, whatever their text */
    qn_builder_u32(b, "tokenizer.ggml.eot_token_id", V_TOOL);
    qn_builder_u32(b, "tokenizer.ggml.eom_token_id", V_TOOLS);
    assert_ok(qn_test_open(b, NULL, &t));
    assert_true(qn_tokenizer_is_end(t, V_TOOL));
    assert_true(qn_tokenizer_is_end(t, V_TOOLS));
    ENCODES(t, "<tool>", false, '<', 't', 'o', 'o', 'l', '>'); /* and is a control token from then on */
    ENCODES(t, "<tool>", true, V_TOOL);
    qn_tokenizer_close(t);
}

static void bos_is_optional(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab("tokenizer.ggml.bos_token_id tokenizer.ggml.eos_token_id"), NULL, &t));
    assert_int_equal(qn_tokenizer_bos(t), -1);
    assert_int_equal(qn_tokenizer_eos(t), -1);
    assert_false(qn_tokenizer_adds_bos(t));
    size_t n;
    free(encode(t, "the", 3, (qn_encode_options){.add_bos = true}, &n));
    assert_int_equal(n, 1);
    qn_tokenizer_close(t);
    qn_builder *b = qn_test_vocab(NULL);
    qn_builder_bool(b, "tokenizer.ggml.add_bos_token", false);
    assert_ok(qn_test_open(b, NULL, &t));
    assert_int_equal(qn_tokenizer_bos(t), V_BEGIN);
    assert_false(qn_tokenizer_adds_bos(t));
    qn_tokenizer_close(t);
}

/* ---- speed ----------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double encode_speed(const char *text, size_t n, size_t *n_tokens)
{
    double start = seconds();
    free(encode(tales, text, n, (qn_encode_options){.parse_special = true}, n_tokens));
    return (double)n / 1e6 / (seconds() - start);
}

/* The target is 5 MB/s on one core; the bound here only catches a wrong order of growth on a slow machine. */
static void prose_is_encoded_quickly(void **state)
{
    (void)state;
    qn_file held;
    assert_ok(qn_file_open(MODEL "heldout.txt", &held));
    size_t repeat = SANITIZED ? 10 : 200, n = (size_t)held.size * repeat, n_tokens;
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < repeat; i++) memcpy(text + i * held.size, held.data, held.size);
    double speed = encode_speed(text, n, &n_tokens);
    print_message("heldout.txt x %zu: %.1f MB/s, %zu tokens\n", repeat, speed, n_tokens);
    assert_true(n_tokens >= 13389 * repeat - repeat && n_tokens <= 13389 * repeat);
    if (!SANITIZED) assert_true(speed > 1);
    free(text);
    qn_file_close(&held);
}

static void a_megabyte_of_one_piece_is_encoded_quickly(void **state)
{
    (void)state;
    static const char *const units[] = {"e", "the", "a", " ", "=", "\xC3\xA9", "\xFF"};
    enum { N = 1000000 };
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit = strlen(units[i]), n_tokens;
        for (size_t k = 0; k < N; k++) text[k] = units[i][k % unit];
        double speed = encode_speed(text, N, &n_tokens);
        print_message("1 MB of '%s': %.1f MB/s, %zu tokens\n", (uint8_t)units[i][0] < 0x80 ? units[i] : "\\x..", speed,
                      n_tokens);
        if (!SANITIZED) assert_true(speed > 0.5);
    }
    free(text);
}

/* ---- damaged metadata ------------------------------------------------------------------------ */

/* Opening fails with this code, and the text holds `part`. Frees the builder. */
static void assert_refused(qn_builder *b, qn_code code, const char *part)
{
    qn_tokenizer *t = (qn_tokenizer *)&b;
    qn_status s = qn_test_open(b, NULL, &t);
    if (s.code != code || !strstr(s.text, part))
        fail_msg("expected %s with '%s', got %s: %s", qn_code_name(code), part, qn_code_name(s.code), s.text);
    assert_null(t);
}

static void other_tokenizers_are_refused_by_name(void **state)
{
    (void)state;
    qn_builder *b = qn_test_vocab("tokenizer.ggml.model");
    assert_refused(b, QN_ERR_UNSUPPORTED, "no tokenizer");
    b = qn_test_vocab("tokenizer.ggml.model");
    qn_builder_str(b, "tokenizer.ggml.model", "llama");
    assert_refused(b, QN_ERR_UNSUPPORTED, "'llama' (SentencePiece)");
    b = qn_test_vocab("tokenizer.ggml.model");
    qn_builder_str(b, "tokenizer.ggml.model", "t5\x1b[31m and a name that would not fit on one line of a terminal");
    assert_refused(b, QN_ERR_UNSUPPORTED, "'t5?[31m and");
    b = qn_test_vocab("tokenizer.ggml.model");
    qn_builder_u32(b, "tokenizer.ggml.model", 1);
    assert_refused(b, QN_ERR_FORMAT, "tokenizer.ggml.model");
    b = qn_test_vocab("tokenizer.ggml.pre");
    assert_refused(b, QN_ERR_UNSUPPORTED, "tokenizer.ggml.pre");
    b = qn_test_vocab("tokenizer.ggml.pre");
    qn_builder_str(b, "tokenizer.ggml.pre", "qwen2");
    assert_refused(b, QN_ERR_UNSUPPORTED, "'qwen2'");
    b = qn_test_vocab("tokenizer.ggml.pre");
    qn_builder_bool(b, "tokenizer.ggml.pre", true);
    assert_refused(b, QN_ERR_FORMAT, "tokenizer.ggml.pre");
}

static void missing_or_mistyped_arrays_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    static const int32_t numbers[] = {1, 2, 3};
    for (size_t i = 0; i < 2; i++) {
        assert_refused(qn_test_vocab(keys[i]), QN_ERR_FORMAT, keys[i]);
        qn_builder *b = qn_test_vocab(keys[i]);
        qn_builder_i32s(b, keys[i], numbers, 3);
        assert_refused(b, QN_ERR_FORMAT, keys[i]);
        b = qn_test_vocab(keys[i]);
        qn_builder_str(b, keys[i], "the");
        assert_refused(b, QN_ERR_FORMAT, keys[i]);
    }
    qn_builder *b = qn_test_vocab("tokenizer.ggml.tokens");
    qn_builder_strs(b, "tokenizer.ggml.tokens", NULL, 0);
    assert_refused(b, QN_ERR_FORMAT, "empty");
}

static void bad_token_types_are_refused(void **state)
{
    (void)state;
    static const char key[] = "tokenizer.ggml.token_type";
    static const int32_t bad[] = {-1, 7, INT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        int32_t types[V_N];
        memcpy(types, qn_test_vocab_types(), sizeof types);
        types[100] = bad[i];
        qn_builder *b = qn_test_vocab(key);
        qn_builder_i32s(b, key, types, V_N);
        assert_refused(b, QN_ERR_FORMAT, "entry 100");
    }
    qn_builder *b = qn_test_vocab(key);
    qn_builder_i32s(b, key, qn_test_vocab_types(), V_N - 1);
    assert_refused(b, QN_ERR_FORMAT, key);
    b = qn_test_vocab(key);
    qn_builder_strs(b, key, qn_test_vocab_tokens(), V_N);
    assert_refused(b, QN_ERR_FORMAT, key);
    b = qn_test_vocab(key);
    qn_builder_u32(b, key, 3);
    assert_refused(b, QN_ERR_FORMAT, key);
}

static void without_token_types_only_named_ids_are_special(void **state)
{
    (void)state;
    qn_tokenizer *t;
    assert_ok(qn_test_open(qn_test_vocab("tokenizer.ggml.token_type"), NULL, &t));
    assert_true(qn_tokenizer_is_special(t, V_BEGIN));
    assert_true(qn_tokenizer_is_special(t, V_END));
    assert_false(qn_tokenizer_is_special(t, V_EOT));
    assert_false(qn_tokenizer_is_end(t, V_EOT));
    qn_tokenizer_close(t);
}

static void special_ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    static const uint32_t bad[] = {V_N, INT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++) {
            qn_builder *b = qn_test_vocab(keys[i]);
            qn_builder_u32(b, keys[i], bad[k]);
            assert_refused(b, QN_ERR_FORMAT, keys[i]);
        }
        qn_builder *b = qn_test_vocab(keys[i]);
        qn_builder_str(b, keys[i], "0");
        assert_refused(b, QN_ERR_FORMAT, keys[i]);
    }
    qn_builder *b = qn_test_vocab(NULL);
    qn_builder_u32(b, "tokenizer.ggml.add_bos_token", 1);
    assert_refused(b, QN_ERR_FORMAT, "add_bos_token");
}

static void bad_merges_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *merge, *part;
    } bad[] = {
        {"", "entry 1 is not two texts"},
        {"t", "entry 1 is not two texts"},
        {"th", "entry 1 is not two texts"},
        {" th", "entry 1 is not two texts"},
        {"t ", "entry 1 is not two texts"},
        {"t h e", "entry 1 is not two texts of the byte alphabet"},
        {"\xFF h", "byte alphabet"},
        {"\xE4\xBD\xA0 h", "byte alphabet"},
        {"zz h", "entry 1: needs the token 'zz'"},
        {"t zz", "entry 1: needs the token 'zz'"},
        {"h t", "entry 1: needs the token 'ht'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *merges[] = {"t h", bad[i].merge};
        qn_builder *b = qn_test_vocab("tokenizer.ggml.merges");
        qn_builder_strs(b, "tokenizer.ggml.merges", merges, 2);
        assert_refused(b, QN_ERR_FORMAT, bad[i].part);
    }
}

/* Merges that would make a control token of plain text are left out; a repeated merge counts where it stands first. */
static void harmless_merges_are_taken_as_they_are(void **state)
{
    (void)state;
    const char *tokens[V_N];
    const char *const merges[] = {"t h", "th e", "t h", "h e"};
    memcpy(tokens, qn_test_vocab_tokens(), sizeof tokens);
    tokens[V_USER] = "he";
    tokens[V_EOM] = "th"; /* also a control token: the ordinary one is found */
    tokens[V_THE] = "<|the|>";
    tokens[V_EOT] = "the"; /* a control token only */
    qn_builder *b = qn_test_vocab("tokenizer.ggml.tokens tokenizer.ggml.merges");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, V_N);
    qn_builder_strs(b, "tokenizer.ggml.merges", merges, 4);
    qn_tokenizer *t;
    assert_ok(qn_test_open(b, NULL, &t));
    ENCODES(t, "the", false, V_TH, 'e');
    ENCODES(t, "he", false, V_USER);
    qn_tokenizer_close(t);
}

static void odd_tokens_decode_and_are_never_produced(void **state)
{
    (void)state;
    const char *tokens[V_N];
    memcpy(tokens, qn_test_vocab_tokens(), sizeof tokens);
    tokens[V_USER] = "the";          /* a repetition: the lowest id is found */
    tokens[V_TOOL] = "";             /* empty */
    tokens[V_NEWLINES] = "\u4F60";   /* outside the byte alphabet: its own text */
    tokens[V_START_HEADER] = "\xFF"; /* a special token that is no text */
    const char *const merges[] = {"t h", "th e"};
    qn_builder *b = qn_test_vocab("tokenizer.ggml.tokens tokenizer.ggml.merges");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, V_N);
    qn_builder_strs(b, "tokenizer.ggml.merges", merges, 2);
    qn_tokenizer *t;
    assert_ok(qn_test_open(b, NULL, &t));
    ENCODES(t, "the", false, V_THE);
    ENCODES(t, "\u4F60", false, 0xE4, 0xBD, 0xA0);
    ENCODES(t, "a\xFF", true, 'a', V_START_HEADER);
    ENCODES(t, "a\xFF", false, 'a', 0xFF);
    size_t n;
    assert_memory_equal(qn_tokenizer_bytes(t, V_USER, &n), "the", 3);
    assert_memory_equal(qn_tokenizer_bytes(t, V_NEWLINES, &n), "\u4F60", 3);
    assert_int_equal(n, 3);
    assert_non_null(qn_tokenizer_bytes(t, V_TOOL, &n));
    assert_int_equal(n, 0);
    qn_tokenizer_close(t);
}

static void a_byte_without_a_token_is_an_error_of_encoding(void **state)
{
    (void)state;
    const char *tokens[V_N];
    memcpy(tokens, qn_test_vocab_tokens(), sizeof tokens);
    tokens['x'] = "unrelated";
    qn_builder *b = qn_test_vocab("tokenizer.ggml.tokens");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, V_N);
    qn_tokenizer *t;
    assert_ok(qn_test_open(b, NULL, &t));
    int32_t ids[8];
    size_t n;
    qn_status s = qn_tokenizer_encode(t, "the x", 5, NULL, ids, 8, &n);
    assert_int_equal(s.code, QN_ERR_FORMAT);
    assert_non_null(strstr(s.text, "0x78"));
    qn_tokenizer_close(t);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    char piece[100];
    memset(piece, 't', sizeof piece);
    for (uint64_t fail_at = 1;; fail_at++) {
        qn_test_allocator a;
        qn_test_allocator_init(&a);
        a.fail_at = fail_at;
        qn_tokenizer *t;
        int32_t ids[101];
        size_t n = 0;
        qn_status s = qn_test_open(qn_test_vocab(NULL), &a.allocator, &t);
        if (s.code == QN_OK) s = qn_tokenizer_encode(t, piece, sizeof piece, NULL, ids, 101, &n);
        qn_tokenizer_close(t);
        assert_int_equal(a.blocks, 0);
        if (a.calls < fail_at) {
            assert_ok(s);
            assert_int_equal(n, 100);
            assert_true(fail_at > 15);
            break;
        }
        assert_true(s.code == QN_ERR_MEMORY || s.code == QN_OK); /* OK: PCRE2 went on without its machine code */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hundred_strings),
        cmocka_unit_test(bos_comes_first_when_asked_for),
        cmocka_unit_test(special_tokens_are_read_when_asked_for),
        cmocka_unit_test(decoding_gives_the_bytes),
        cmocka_unit_test(facts_of_the_built_in_vocabulary),
        cmocka_unit_test(any_bytes_round_trip),
        cmocka_unit_test(an_invalid_byte_is_one_token),
        cmocka_unit_test(the_full_number_is_told_when_the_room_is_short),
        cmocka_unit_test(merges_follow_the_definition),
        cmocka_unit_test(a_whole_piece_that_is_a_token_needs_no_merges),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(control_tokens_are_read_only_when_asked_for_user_defined_always),
        cmocka_unit_test(none_mode_reads_no_special_token_at_all),
        cmocka_unit_test(every_end_token_ends),
        cmocka_unit_test(bos_is_optional),
        cmocka_unit_test(prose_is_encoded_quickly),
        cmocka_unit_test(a_megabyte_of_one_piece_is_encoded_quickly),
        cmocka_unit_test(other_tokenizers_are_refused_by_name),
        cmocka_unit_test(missing_or_mistyped_arrays_are_refused),
        cmocka_unit_test(bad_token_types_are_refused),
        cmocka_unit_test(without_token_types_only_named_ids_are_special),
        cmocka_unit_test(special_ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(bad_merges_are_refused),
        cmocka_unit_test(harmless_merges_are_taken_as_they_are),
        cmocka_unit_test(odd_tokens_decode_and_are_never_produced),
        cmocka_unit_test(a_byte_without_a_token_is_an_error_of_encoding),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_tales, close_tales);
}
