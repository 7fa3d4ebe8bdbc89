/* tokenizer_gguf.c - the byte-level BPE tokenizer of Llama 3 out of GGUF metadata (model gpt2, pre llama-bpe).
 *
 * Keys of the metadata: the GGUF specification of the ggml project (docs/gguf.md).
 *
 * What damaged metadata does. Errors: tokens or merges missing or of a wrong type; token_type of another length, of a
 * wrong type or with a number past 6; a merge that is not two texts, or that names or makes a text which is no token;
 * a special id outside the vocabulary. Harmless, and taken as it is: repeated tokens (the lowest id is the one that
 * encoding finds; all decode), empty tokens (never found), a repeated merge (its first place counts), a merge that
 * names a control token (left out: plain text must never become one), a normal token with characters outside the
 * byte alphabet (decodes to its own text, is never found). */
#include <stdio.h>
#include <string.h>

#include "text/internal.h"

/* tokenizer.ggml.token_type; all others are ordinary */
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_LAST = 6 };

/* ---- reading the metadata -------------------------------------------------------------------- */

static qn_status read_kind(const qn_gguf *gguf, qn_tokenizer *t)
{
    static const char *const known[] = {"llama-bpe", "llama3", "llama-v3"}; /* one tokenizer under three names */
    qn_gguf_string model, pre;
    const qn_gguf_kv *kv = qn_gguf_find(gguf, "tokenizer.ggml.model");
    if (!kv) return qn_fail(QN_ERR_UNSUPPORTED, "the file has no tokenizer (no tokenizer.ggml.model)");
    if (!qn_gguf_str(kv, &model)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.model is not a string");
    if (model.size != 4 || memcmp(model.data, "gpt2", 4) != 0) {
        bool llama = model.size == 5 && memcmp(model.data, "llama", 5) == 0;
        return qn_fail(QN_ERR_UNSUPPORTED, "tokenizer '%s'%s is not supported; this version reads gpt2 / llama-bpe",
                       qn_show(model.data, model.size).text, llama ? " (SentencePiece)" : "");
    }
    kv = qn_gguf_find(gguf, "tokenizer.ggml.pre");
    if (!kv) return qn_fail(QN_ERR_UNSUPPORTED, "the file does not name its pre-tokenizer (no tokenizer.ggml.pre)");
    if (!qn_gguf_str(kv, &pre)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.pre is not a string");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (pre.size != strlen(known[i]) || memcmp(pre.data, known[i], pre.size) != 0) continue;
        snprintf(t->description, sizeof t->description, "gpt2 / %s", known[i]);
        return qn_ok();
    }
    return qn_fail(QN_ERR_UNSUPPORTED, "pre-tokenizer '%s' is not supported; this version reads llama-bpe",
                   qn_show(pre.data, pre.size).text);
}

static qn_status find_strings(const qn_gguf *gguf, const char *key, const qn_gguf_kv **kv, size_t *n)
{
    qn_gguf_type element;
    *kv = qn_gguf_find(gguf, key);
    if (!*kv) return qn_fail(QN_ERR_FORMAT, "%s is missing", key);
    if (!qn_gguf_array(*kv, &element, n) || element != QN_GGUF_STRING)
        return qn_fail(QN_ERR_FORMAT, "%s is not an array of strings", key);
    return qn_ok();
}

/* Fills flags from tokenizer.ggml.token_type. Without it no token is special, as for llama.cpp. */
static qn_status read_types(const qn_gguf *gguf, qn_tokenizer *t, size_t n_tokens)
{
    const qn_gguf_kv *kv = qn_gguf_find(gguf, "tokenizer.ggml.token_type");
    if (!kv) return qn_ok();
    qn_gguf_type element;
    size_t n;
    if (!qn_gguf_array(kv, &element, &n)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.token_type is not an array");
    if (n != n_tokens)
        return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.token_type has %zu entries for %zu tokens", n, n_tokens);
    for (size_t i = 0; i < n; i++) {
        int64_t type;
        if (!qn_gguf_array_i64(kv, i, &type) || type < 0 || type > TYPE_LAST)
            return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.token_type: entry %zu is not a token type (0 to %d)", i,
                           TYPE_LAST);
        if (type == TYPE_CONTROL || type == TYPE_UNKNOWN) t->flags[i] = QN_TOKEN_CONTROL;
        if (type == TYPE_USER) t->flags[i] = QN_TOKEN_USER;
    }
    return qn_ok();
}

/* An optional token id. It names a control token whatever its type says: a file whose <|eot_id|> is marked as
 * ordinary text must not let a user's text end a turn. */
static qn_status read_id(const qn_gguf *gguf, const char *key, qn_tokenizer *t, size_t n_tokens, uint8_t flags,
                         int32_t *id)
{
    *id = -1;
    const qn_gguf_kv *kv = qn_gguf_find(gguf, key);
    if (!kv) return qn_ok();
    uint64_t value;
    if (!qn_gguf_u64(kv, &value)) return qn_fail(QN_ERR_FORMAT, "%s is not a token id", key);
    if (value >= n_tokens)
        return qn_fail(QN_ERR_FORMAT, "%s is %llu, but there are %zu tokens", key, (unsigned long long)value, n_tokens);
    *id = (int32_t)value;
    t->flags[value] = (uint8_t)(QN_TOKEN_CONTROL | (t->flags[value] & QN_TOKEN_END) | flags);
    return qn_ok();
}

static qn_status read_ids(const qn_gguf *gguf, qn_tokenizer *t, size_t n_tokens)
{
    int32_t end;
    QN_TRY(read_id(gguf, "tokenizer.ggml.bos_token_id", t, n_tokens, 0, &t->bos));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eos_token_id", t, n_tokens, QN_TOKEN_END, &t->eos));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eot_token_id", t, n_tokens, QN_TOKEN_END, &end));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eom_token_id", t, n_tokens, QN_TOKEN_END, &end));
    t->adds_bos = true; /* llama-bpe's own default */
    const qn_gguf_kv *kv = qn_gguf_find(gguf, "tokenizer.ggml.add_bos_token");
    if (kv && !qn_gguf_bool(kv, &t->adds_bos))
        return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.add_bos_token is not a boolean");
    if (t->bos < 0) t->adds_bos = false;
    return qn_ok();
}

/* Tokens into the vocabulary. `room` holds the longest of them. */
static qn_status add_tokens(qn_tokenizer *t, const qn_gguf_kv *kv, size_t n, const qn_alphabet *alpha, char *room)
{
    for (size_t i = 0; i < n; i++) {
        qn_gguf_string text;
        if (!qn_gguf_array_str(kv, i, &text)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.tokens: entry %zu", i);
        uint8_t *flags = &t->flags[i];
        if ((*flags & (QN_TOKEN_CONTROL | QN_TOKEN_USER)) && qn_token_ends_by_name(text.data, text.size))
            *flags = QN_TOKEN_CONTROL | QN_TOKEN_END;
        if (*flags & (QN_TOKEN_CONTROL | QN_TOKEN_USER)) { /* stored as their own text */
            bool control = (*flags & QN_TOKEN_CONTROL) != 0;
            qn_bpe_add(&t->bpe, (uint32_t)i, text.data, text.size, !control);
            QN_TRY(qn_specials_add(&t->specials, text.data, text.size, (int32_t)i, control));
            continue;
        }
        size_t n_bytes;
        bool plain = qn_alphabet_bytes(alpha, text.data, text.size, room, &n_bytes);
        qn_bpe_add(&t->bpe, (uint32_t)i, plain ? room : text.data, plain ? n_bytes : text.size, plain);
    }
    return qn_ok();
}

static qn_status merge_token(const qn_tokenizer *t, const char *bytes, size_t n, size_t index, int32_t *id)
{
    return qn_in(qn_merge_token(t, bytes, n, id), "tokenizer.ggml.merges: entry %zu", index);
}

static qn_status add_merge(qn_tokenizer *t, qn_gguf_string text, size_t index, const qn_alphabet *alpha, char *room)
{
    const char *space = text.size > 1 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
    size_t n_left, n_right;
    if (!space) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu is not two texts", index);
    size_t left_size = (size_t)(space - text.data), right_size = text.size - left_size - 1;
    if (right_size == 0 || !qn_alphabet_bytes(alpha, text.data, left_size, room, &n_left) ||
        !qn_alphabet_bytes(alpha, space + 1, right_size, room + n_left, &n_right))
        return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu is not two texts of the byte alphabet", index);
    int32_t left, right, result;
    QN_TRY(merge_token(t, room, n_left, index, &left));
    QN_TRY(merge_token(t, room + n_left, n_right, index, &right));
    QN_TRY(merge_token(t, room, n_left + n_right, index, &result));
    if (left >= 0 && right >= 0 && result >= 0) qn_bpe_add_merge(&t->bpe, left, right, result, (uint32_t)index + 1);
    return qn_ok();
}

static qn_status add_merges(qn_tokenizer *t, const qn_gguf_kv *kv, size_t n, const qn_alphabet *alpha, char *room)
{
    for (size_t i = 0; i < n; i++) {
        qn_gguf_string text;
        if (!qn_gguf_array_str(kv, i, &text)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu", i);
        QN_TRY(add_merge(t, text, i, alpha, room));
    }
    return qn_ok();
}

/* The sum and the largest of the sizes of an array's strings. */
static qn_status measure(const qn_gguf_kv *kv, size_t n, size_t *sum, size_t *largest)
{
    *sum = 0;
    for (size_t i = 0; i < n; i++) {
        qn_gguf_string text;
        if (!qn_gguf_array_str(kv, i, &text)) return qn_fail(QN_ERR_FORMAT, "tokenizer: string %zu cannot be read", i);
        if (text.size > SIZE_MAX - *sum) return qn_fail(QN_ERR_LIMIT, "tokenizer: too many bytes of text");
        *sum += text.size;
        if (text.size > *largest) *largest = text.size;
    }
    return qn_ok();
}

static qn_status read_vocabulary(const qn_gguf *gguf, qn_tokenizer *t)
{
    const qn_gguf_kv *tokens, *merges;
    size_t n_tokens, n_merges, n_bytes, n_merge_bytes, largest = 0;
    void *p;
    QN_TRY(find_strings(gguf, "tokenizer.ggml.tokens", &tokens, &n_tokens));
    QN_TRY(find_strings(gguf, "tokenizer.ggml.merges", &merges, &n_merges));
    if (n_tokens == 0) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.tokens is empty");
    QN_TRY(measure(tokens, n_tokens, &n_bytes, &largest));
    QN_TRY(measure(merges, n_merges, &n_merge_bytes, &largest));
    QN_TRY(qn_bpe_open(t->a, n_tokens, n_bytes, n_merges, &t->bpe));
    QN_TRY(qn_alloc(t->a, n_tokens, 1, "token flags", &p));
    t->flags = p;
    QN_TRY(read_types(gguf, t, n_tokens));
    QN_TRY(read_ids(gguf, t, n_tokens));
    QN_TRY(qn_alloc(t->a, largest, 1, "token text", &p));
    qn_alphabet alpha;
    qn_alphabet_make(&alpha);
    qn_status s = add_tokens(t, tokens, n_tokens, &alpha, p);
    if (s.code == QN_OK) s = add_merges(t, merges, n_merges, &alpha, p);
    qn_free(t->a, p);
    return s;
}

static qn_status build(const qn_gguf *gguf, qn_tokenizer *t)
{
    QN_TRY(read_kind(gguf, t));
    QN_TRY(read_vocabulary(gguf, t));
    t->splitter.n = 1;
    return qn_pretokenizer_open(t->a, qn_pattern_llama3(), &t->splitter.steps[0].pattern);
}

qn_status qn_tokenizer_from_gguf(const qn_allocator *a, const qn_gguf *gguf, qn_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    qn_tokenizer *t;
    QN_TRY(qn_tokenizer_new(a, &t));
    qn_status s = build(gguf, t);
    if (s.code != QN_OK) {
        qn_tokenizer_close(t);
        return s;
    }
    t->chat = qn_chat_detect(gguf, t);
    *tokenizer = t;
    return s;
}
