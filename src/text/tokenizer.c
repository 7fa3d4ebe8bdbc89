/* tokenizer.c - the byte-level BPE tokenizer of Llama 3 (GGUF: model gpt2, pre llama-bpe).
 *
 * Text goes the way: special tokens cut out -> valid UTF-8 and single invalid bytes -> pieces of the pre-tokenizer ->
 * tokens. Keys of the metadata: the GGUF specification of the ggml project (docs/gguf.md).
 *
 * What damaged metadata does. Errors: tokens or merges missing or of a wrong type; token_type of another length, of a
 * wrong type or with a number past 6; a merge that is not two texts, or that names or makes a text which is no token;
 * a special id outside the vocabulary. Harmless, and taken as it is: repeated tokens (the lowest id is the one that
 * encoding finds; all decode), empty tokens (never found), a repeated merge (its first place counts), a merge that
 * names a control token (left out: plain text must never become one), a normal token with characters outside the
 * byte alphabet (decodes to its own text, is never found). */
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "text/pretokenize.h"
#include "text/special.h"
#include "text/utf8.h"

/* tokenizer.ggml.token_type; all others are ordinary */
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_LAST = 6 };

enum { IS_CONTROL = 1, IS_USER = 2, IS_END = 4 };

struct qn_tokenizer {
    const qn_allocator *a;
    qn_bpe bpe;
    qn_pretokenizer *pretokenizer;
    qn_specials specials;
    uint8_t *flags; /* [n_vocab] IS_... */
    int32_t bos, eos;
    bool adds_bos;
    char description[64];
};

/* The byte-level alphabet: printable Latin-1 characters stand for their own byte, the other 68 bytes for U+0100 and
 * up, in order. Source: bytes_to_unicode() of GPT-2's encoder. */
enum { ALPHABET_END = 256 + 68 };

typedef struct alphabet {
    int16_t byte_of[ALPHABET_END]; /* -1: the character stands for no byte */
} alphabet;

static void make_alphabet(alphabet *alpha)
{
    memset(alpha->byte_of, 0xFF, sizeof alpha->byte_of);
    int next = 256;
    for (int b = 0; b < 256; b++) {
        bool own = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        alpha->byte_of[own ? b : next++] = (int16_t)b;
    }
}

/* Turns text of the alphabet into bytes (never more than text). False when a character stands for no byte. */
static bool to_bytes(const alphabet *alpha, const char *text, size_t n, char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t at = 0; at < n;) {
        uint32_t code = 0;
        int length = qn_utf8_read(text + at, n - at, &code);
        if (length <= 0 || code >= ALPHABET_END || alpha->byte_of[code] < 0) return false;
        out[(*n_out)++] = (char)alpha->byte_of[code];
        at += (size_t)length;
    }
    return true;
}

/* Text of the file, fit for a message: cut, and without control characters. */
typedef struct shown {
    char text[44];
} shown;

static shown show(qn_gguf_string s)
{
    shown out;
    size_t n = s.size < sizeof out.text - 1 ? s.size : sizeof out.text - 1;
    for (size_t i = 0; i < n; i++) out.text[i] = s.data[i];
    for (size_t i = 0; i < n; i++)
        if (out.text[i] < 0x20 || out.text[i] > 0x7E) out.text[i] = '?';
    out.text[n] = '\0';
    return out;
}

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
                       show(model).text, llama ? " (SentencePiece)" : "");
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
                   show(pre).text);
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
        if (type == TYPE_CONTROL || type == TYPE_UNKNOWN) t->flags[i] = IS_CONTROL;
        if (type == TYPE_USER) t->flags[i] = IS_USER;
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
    t->flags[value] = (uint8_t)(IS_CONTROL | (t->flags[value] & IS_END) | flags);
    return qn_ok();
}

static qn_status read_ids(const qn_gguf *gguf, qn_tokenizer *t, size_t n_tokens)
{
    int32_t end;
    QN_TRY(read_id(gguf, "tokenizer.ggml.bos_token_id", t, n_tokens, 0, &t->bos));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eos_token_id", t, n_tokens, IS_END, &t->eos));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eot_token_id", t, n_tokens, IS_END, &end));
    QN_TRY(read_id(gguf, "tokenizer.ggml.eom_token_id", t, n_tokens, IS_END, &end));
    t->adds_bos = true; /* llama-bpe's own default */
    const qn_gguf_kv *kv = qn_gguf_find(gguf, "tokenizer.ggml.add_bos_token");
    if (kv && !qn_gguf_bool(kv, &t->adds_bos))
        return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.add_bos_token is not a boolean");
    if (t->bos < 0) t->adds_bos = false;
    return qn_ok();
}

/* Files often name one end token only; Llama 3 has three, known by their text. */
static bool ends_by_name(qn_gguf_string text)
{
    static const char *const names[] = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (text.size == strlen(names[i]) && memcmp(text.data, names[i], text.size) == 0) return true;
    return false;
}

/* Tokens into the vocabulary. `room` holds the longest of them. */
static qn_status add_tokens(qn_tokenizer *t, const qn_gguf_kv *kv, size_t n, const alphabet *alpha, char *room)
{
    for (size_t i = 0; i < n; i++) {
        qn_gguf_string text;
        if (!qn_gguf_array_str(kv, i, &text)) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.tokens: entry %zu", i);
        uint8_t *flags = &t->flags[i];
        if ((*flags & (IS_CONTROL | IS_USER)) && ends_by_name(text)) *flags = IS_CONTROL | IS_END;
        if (*flags & (IS_CONTROL | IS_USER)) { /* stored as their own text */
            bool control = (*flags & IS_CONTROL) != 0;
            qn_bpe_add(&t->bpe, (uint32_t)i, text.data, text.size, !control);
            QN_TRY(qn_specials_add(&t->specials, text.data, text.size, (int32_t)i, control));
            continue;
        }
        size_t n_bytes;
        bool plain = to_bytes(alpha, text.data, text.size, room, &n_bytes);
        qn_bpe_add(&t->bpe, (uint32_t)i, plain ? room : text.data, plain ? n_bytes : text.size, plain);
    }
    return qn_ok();
}

/* The token of one side of a merge, or of both (their bytes in `room`). -1: to be left out, for it is a control
 * token. */
static qn_status merge_token(const qn_tokenizer *t, const char *bytes, size_t n, size_t index, int32_t *id)
{
    *id = qn_bpe_find(&t->bpe, bytes, n);
    if (*id >= 0) return qn_ok();
    size_t length = 0;
    if (qn_specials_match(&t->specials, bytes, n, true, &length) >= 0 && length == n) return qn_ok();
    qn_gguf_string text = {bytes, n};
    return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu needs the token '%s', which is not there", index,
                   show(text).text);
}

static qn_status add_merge(qn_tokenizer *t, qn_gguf_string text, size_t index, const alphabet *alpha, char *room)
{
    const char *space = text.size > 1 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
    size_t n_left, n_right;
    if (!space) return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu is not two texts", index);
    size_t left_size = (size_t)(space - text.data), right_size = text.size - left_size - 1;
    if (right_size == 0 || !to_bytes(alpha, text.data, left_size, room, &n_left) ||
        !to_bytes(alpha, space + 1, right_size, room + n_left, &n_right))
        return qn_fail(QN_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu is not two texts of the byte alphabet", index);
    int32_t left, right, result;
    QN_TRY(merge_token(t, room, n_left, index, &left));
    QN_TRY(merge_token(t, room + n_left, n_right, index, &right));
    QN_TRY(merge_token(t, room, n_left + n_right, index, &result));
    if (left >= 0 && right >= 0 && result >= 0) qn_bpe_add_merge(&t->bpe, left, right, result, (uint32_t)index + 1);
    return qn_ok();
}

static qn_status add_merges(qn_tokenizer *t, const qn_gguf_kv *kv, size_t n, const alphabet *alpha, char *room)
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
    alphabet alpha;
    make_alphabet(&alpha);
    qn_status s = add_tokens(t, tokens, n_tokens, &alpha, p);
    if (s.code == QN_OK) s = add_merges(t, merges, n_merges, &alpha, p);
    qn_free(t->a, p);
    return s;
}

static qn_status build(const qn_gguf *gguf, qn_tokenizer *t)
{
    QN_TRY(read_kind(gguf, t));
    QN_TRY(read_vocabulary(gguf, t));
    return qn_pretokenizer_open(t->a, qn_pattern_llama3(), &t->pretokenizer);
}

qn_status qn_tokenizer_from_gguf(const qn_allocator *a, const qn_gguf *gguf, qn_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_tokenizer), "tokenizer", &p));
    qn_tokenizer *t = p;
    t->a = t->bpe.a = t->specials.a = a;
    qn_status s = build(gguf, t);
    if (s.code != QN_OK) {
        qn_tokenizer_close(t);
        return s;
    }
    *tokenizer = t;
    return s;
}

void qn_tokenizer_close(qn_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    const qn_allocator *a = tokenizer->a;
    qn_bpe_close(&tokenizer->bpe);
    qn_specials_close(&tokenizer->specials);
    qn_pretokenizer_close(tokenizer->pretokenizer);
    qn_free(a, tokenizer->flags);
    qn_free(a, tokenizer);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* What one encode call works with. */
typedef struct encoder {
    const qn_tokenizer *t;
    qn_piece_scan *scan;
    qn_bpe_scratch scratch;
    qn_token_sink *sink;
} encoder;

static qn_status encode_valid(encoder *e, const char *text, size_t n_bytes)
{
    QN_TRY(qn_piece_scan_start(e->scan, text, n_bytes));
    for (;;) {
        size_t start, end;
        QN_TRY(qn_piece_scan_next(e->scan, &start, &end));
        if (start == end) return qn_ok();
        QN_TRY(qn_bpe_encode(&e->t->bpe, &e->scratch, text + start, end - start, e->sink));
    }
}

/* Text without special tokens: runs of valid UTF-8, and each byte that is no part of one by itself. */
static qn_status encode_plain(encoder *e, const char *text, size_t n_bytes)
{
    while (n_bytes > 0) {
        size_t n = qn_utf8_valid_prefix(text, n_bytes);
        if (n > 0) {
            QN_TRY(encode_valid(e, text, n));
        } else {
            n = 1;
            QN_TRY(qn_bpe_encode(&e->t->bpe, &e->scratch, text, n, e->sink));
        }
        text += n;
        n_bytes -= n;
    }
    return qn_ok();
}

static qn_status encode_all(encoder *e, const char *text, size_t n_bytes, qn_special_mode mode)
{
    size_t at = 0;
    while (at < n_bytes) {
        size_t place = n_bytes, length = 0;
        int32_t token = -1;
        if (mode != QN_SPECIAL_NONE)
            token = qn_specials_find(&e->t->specials, text, n_bytes, at, mode == QN_SPECIAL_ALL, &place, &length);
        QN_TRY(encode_plain(e, text + at, place - at));
        if (token >= 0) qn_token_push(e->sink, token);
        at = place + length;
    }
    return qn_ok();
}

qn_status qn_tokenizer_append(const qn_tokenizer *tokenizer, const char *text, size_t n_bytes, qn_special_mode mode,
                              qn_token_sink *sink)
{
    if (n_bytes == 0) return qn_ok();
    if (n_bytes > INT32_MAX) /* positions are 32 bits wide */
        return qn_fail(QN_ERR_LIMIT, "a text of %zu bytes is too long to encode at once (2 GiB)", n_bytes);
    encoder e = {.t = tokenizer, .sink = sink};
    QN_TRY(qn_piece_scan_open(tokenizer->pretokenizer, &e.scan));
    qn_status s = encode_all(&e, text, n_bytes, mode);
    qn_bpe_scratch_free(&tokenizer->bpe, &e.scratch);
    qn_piece_scan_close(e.scan);
    return s;
}

qn_status qn_tokenizer_encode(const qn_tokenizer *tokenizer, const char *text, size_t n_bytes,
                              const qn_encode_options *options, int32_t *tokens, size_t capacity, size_t *n_tokens)
{
    qn_encode_options o = options ? *options : (qn_encode_options){0};
    qn_token_sink sink = {tokens, capacity, 0};
    if (o.add_bos && tokenizer->bos >= 0) qn_token_push(&sink, tokenizer->bos);
    qn_special_mode mode = o.parse_special ? QN_SPECIAL_ALL : QN_SPECIAL_USER;
    qn_status s = qn_tokenizer_append(tokenizer, text, n_bytes, mode, &sink);
    *n_tokens = sink.n;
    if (s.code == QN_OK && sink.n > capacity)
        return qn_fail(QN_ERR_ARGUMENT, "the text is %zu tokens, but there is room for %zu", sink.n, capacity);
    return s;
}

/* ---- facts ----------------------------------------------------------------------------------- */

const char *qn_tokenizer_bytes(const qn_tokenizer *tokenizer, int32_t token, size_t *n_bytes)
{
    *n_bytes = 0;
    if (token < 0 || (uint32_t)token >= tokenizer->bpe.n_tokens) return NULL;
    return qn_bpe_token(&tokenizer->bpe, (uint32_t)token, n_bytes);
}

static bool has_flag(const qn_tokenizer *t, int32_t token, int flag)
{
    return token >= 0 && (uint32_t)token < t->bpe.n_tokens && (t->flags[token] & flag) != 0;
}

bool qn_tokenizer_is_special(const qn_tokenizer *tokenizer, int32_t token)
{
    return has_flag(tokenizer, token, IS_CONTROL);
}

bool qn_tokenizer_is_end(const qn_tokenizer *tokenizer, int32_t token)
{
    return has_flag(tokenizer, token, IS_END);
}

int32_t qn_tokenizer_bos(const qn_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t qn_tokenizer_eos(const qn_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool qn_tokenizer_adds_bos(const qn_tokenizer *tokenizer)
{
    return tokenizer->adds_bos;
}

uint32_t qn_tokenizer_n_vocab(const qn_tokenizer *tokenizer)
{
    return tokenizer->bpe.n_tokens;
}

int32_t qn_tokenizer_find_special(const qn_tokenizer *tokenizer, const char *text)
{
    size_t length = 0, n = strlen(text);
    int32_t token = qn_specials_match(&tokenizer->specials, text, n, true, &length);
    return length == n ? token : -1;
}

const char *qn_tokenizer_description(const qn_tokenizer *tokenizer)
{
    return tokenizer->description;
}
