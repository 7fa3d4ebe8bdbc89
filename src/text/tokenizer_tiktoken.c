/* tokenizer_tiktoken.c - Llama 3's tokenizer.model: lines of "base64 rank", all byte sequences that are tokens.
 *
 * There are no merges in the file: of all neighbours whose bytes together are a token, those with the lowest rank are
 * joined first. So each way to cut a token into two tokens is a merge, in the order of the whole's rank. Pattern and
 * special tokens are not in the file either; they are those of Meta's tokenizer for Llama 3 and later. */
#include <stdio.h>
#include <string.h>

#include "text/internal.h"

/* The length bounds the work of finding a token's merges. */
enum { MAX_TOKEN_BYTES = 512, N_SPECIAL = 256, SPECIAL_TEXT = 48 };

/* Source of names and order: Meta's llama-models, the tokenizer of Llama 3.1 (Llama 3 calls some of them reserved;
 * those that both name have the same numbers). All others are <|reserved_special_token_N|>, N from 2. */
static const char *const special_names[] = {
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|image|>",
};
enum { N_NAMED = sizeof special_names / sizeof special_names[0] };

static void special_text(size_t i, char text[SPECIAL_TEXT])
{
    if (i < N_NAMED)
        snprintf(text, SPECIAL_TEXT, "%s", special_names[i]);
    else
        snprintf(text, SPECIAL_TEXT, "<|reserved_special_token_%zu|>", i - N_NAMED + 2);
}

/* A token of the file: its base64. */
typedef struct line {
    const char *text; /* NULL: no line has this rank yet */
    size_t n, number; /* number: of the line, from 1 */
} line;

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes of n characters of base64 with padding, 0 when it is none (or of nothing). */
static size_t decode(const char *text, size_t n, char *out)
{
    size_t n_out = 0;
    if (n == 0 || n % 4 != 0) return 0;
    size_t padding = (size_t)(text[n - 1] == '=') + (text[n - 1] == '=' && text[n - 2] == '=');
    for (size_t at = 0; at < n; at += 4) {
        uint32_t word = 0;
        size_t whole = at + 4 == n ? 4 - padding : 4;
        for (size_t i = 0; i < 4; i++) {
            int value = i < whole ? base64_value(text[at + i]) : 0;
            if (value < 0) return 0;
            word = word << 6 | (uint32_t)value;
        }
        for (size_t i = 0; i + 1 < whole; i++) out[n_out++] = (char)(word >> (16 - 8 * i) & 0xFF);
    }
    return n_out;
}

/* Reads a line without its newline. */
static qn_status read_line(const char *text, size_t n, line *l, uint64_t *rank)
{
    const char *space = memchr(text, ' ', n);
    if (!space) return qn_fail(QN_ERR_FORMAT, "line %zu is not \"base64 rank\"", l->number);
    l->text = text;
    l->n = (size_t)(space - text);
    if (l->n > MAX_TOKEN_BYTES / 3 * 4)
        return qn_fail(QN_ERR_LIMIT, "line %zu: a token of more than %d bytes", l->number, MAX_TOKEN_BYTES);
    const char *digits = space + 1, *end = text + n;
    *rank = 0;
    for (const char *p = digits; p < end; p++) {
        if (*p < '0' || *p > '9' || p - digits > 9)
            return qn_fail(QN_ERR_FORMAT, "line %zu: '%s' is not a rank", l->number,
                           qn_show(digits, (size_t)(end - digits)).text);
        *rank = 10 * *rank + (uint64_t)(*p - '0');
    }
    return digits < end ? qn_ok() : qn_fail(QN_ERR_FORMAT, "line %zu has no rank", l->number);
}

/* Fills lines[n_lines] by rank: every rank below n_lines once. */
static qn_status read_lines(const char *data, size_t size, line *lines, size_t n_lines)
{
    size_t number = 0;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(data + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - data) : size, n = end - at;
        line l = {.number = ++number};
        uint64_t rank = 0;
        if (n > 0 && data[end - 1] == '\r') n--;
        if (n > 0) {
            QN_TRY(read_line(data + at, n, &l, &rank));
            if (rank >= n_lines)
                return qn_fail(QN_ERR_FORMAT, "line %zu: rank %llu, but there are %zu tokens", number,
                               (unsigned long long)rank, n_lines);
            if (lines[rank].text)
                return qn_fail(QN_ERR_FORMAT, "lines %zu and %zu both have rank %llu", lines[rank].number, number,
                               (unsigned long long)rank);
            lines[rank] = l;
        }
        at = end + 1;
    }
    return qn_ok();
}

/* Lines that are not empty. */
static size_t count_lines(const char *data, size_t size)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(data + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - data) : size;
        if (end > at && !(end == at + 1 && data[at] == '\r')) n++;
        at = end + 1;
    }
    return n;
}

static qn_status add_tokens(qn_tokenizer *t, const line *lines, size_t n_lines)
{
    char bytes[MAX_TOKEN_BYTES + 4], text[SPECIAL_TEXT];
    for (size_t i = 0; i < n_lines; i++) {
        size_t n = decode(lines[i].text, lines[i].n, bytes);
        if (n == 0)
            return qn_fail(QN_ERR_FORMAT, "line %zu: '%s' is not base64", lines[i].number,
                           qn_show(lines[i].text, lines[i].n).text);
        qn_bpe_add(&t->bpe, (uint32_t)i, bytes, n, true);
        int32_t first = qn_bpe_find(&t->bpe, bytes, n);
        if (first != (int32_t)i)
            return qn_fail(QN_ERR_FORMAT, "lines %zu and %zu are the same token", lines[first].number, lines[i].number);
    }
    for (size_t i = 0; i < N_SPECIAL; i++) {
        int32_t id = (int32_t)(n_lines + i);
        special_text(i, text);
        qn_bpe_add(&t->bpe, (uint32_t)id, text, strlen(text), false);
        QN_TRY(qn_specials_add(&t->specials, text, strlen(text), id, true));
        bool end = qn_token_ends_by_name(text, strlen(text));
        t->flags[id] = (uint8_t)(QN_TOKEN_CONTROL | (end ? QN_TOKEN_END : 0));
    }
    return qn_ok();
}

/* Counts the merges of the tokens; adds them too if `add`. */
static size_t find_merges(qn_tokenizer *t, size_t n_tokens, bool add)
{
    size_t count = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        size_t n;
        const char *bytes = qn_bpe_token(&t->bpe, (uint32_t)i, &n);
        for (size_t cut = 1; cut < n; cut++) {
            int32_t left = qn_bpe_find(&t->bpe, bytes, cut);
            int32_t right = left < 0 ? -1 : qn_bpe_find(&t->bpe, bytes + cut, n - cut);
            if (right < 0) continue;
            count++;
            if (add) qn_bpe_add_merge(&t->bpe, left, right, (int32_t)i, (uint32_t)i + 1);
        }
    }
    return count;
}

static qn_status build(qn_tokenizer *t, const line *lines, size_t n_lines)
{
    size_t n_bytes = (size_t)N_SPECIAL * SPECIAL_TEXT;
    void *p;
    for (size_t i = 0; i < n_lines; i++) n_bytes += lines[i].n;
    QN_TRY(qn_bpe_open(t->a, n_lines + N_SPECIAL, n_bytes, 0, &t->bpe));
    QN_TRY(qn_alloc(t->a, n_lines + N_SPECIAL, 1, "token flags", &p));
    t->flags = p;
    QN_TRY(add_tokens(t, lines, n_lines));
    QN_TRY(qn_bpe_room_for_merges(&t->bpe, find_merges(t, n_lines, false)));
    (void)find_merges(t, n_lines, true);
    t->bos = (int32_t)n_lines;
    t->eos = (int32_t)n_lines + 1;
    t->adds_bos = true;
    t->chat = QN_CHAT_LLAMA3;
    snprintf(t->description, sizeof t->description, "tiktoken / llama3");
    t->splitter.n = 1;
    return qn_pretokenizer_open(t->a, qn_pattern_llama3(), &t->splitter.steps[0].pattern);
}

qn_status qn_tokenizer_read_tiktoken(qn_tokenizer *t, const char *data, size_t size)
{
    size_t n_lines = count_lines(data, size);
    void *lines;
    QN_TRY(qn_alloc(t->a, n_lines, sizeof(line), "tokens", &lines));
    qn_status s = read_lines(data, size, lines, n_lines);
    if (s.code == QN_OK) s = build(t, lines, n_lines);
    qn_free(t->a, lines);
    return s;
}
