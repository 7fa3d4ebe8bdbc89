/* tokenizer.c - running a tokenizer, wherever it was read from.
 *
 * Text goes the way: special tokens cut out -> valid UTF-8 and single invalid bytes -> normalizer -> special tokens
 * that are looked for in normalized text cut out -> pieces of the pre-tokenizer -> tokens. */
#include "text/tokenizer.h"

#include <string.h>

#include "text/internal.h"
#include "text/utf8.h"

qn_status qn_tokenizer_new(const qn_allocator *a, qn_tokenizer **tokenizer)
{
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof **tokenizer, "tokenizer", &p));
    qn_tokenizer *t = p;
    t->a = t->bpe.a = t->specials.a = t->normalized_specials.a = t->normalizer.a = t->splitter.a = a;
    t->bos = t->eos = -1;
    *tokenizer = t;
    return qn_ok();
}

void qn_tokenizer_close(qn_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    const qn_allocator *a = tokenizer->a;
    qn_bpe_close(&tokenizer->bpe);
    qn_specials_close(&tokenizer->specials);
    qn_specials_close(&tokenizer->normalized_specials);
    qn_normalizer_close(&tokenizer->normalizer);
    qn_splitter_close(&tokenizer->splitter);
    qn_free(a, tokenizer->decoded);
    qn_free(a, tokenizer->decoded_offset);
    qn_free(a, tokenizer->flags);
    qn_free(a, tokenizer);
}

/* ---- shared by the readers ------------------------------------------------------------------- */

void qn_alphabet_make(qn_alphabet *alpha)
{
    memset(alpha->byte_of, 0xFF, sizeof alpha->byte_of);
    int next = 256;
    for (int b = 0; b < 256; b++) {
        bool own = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        alpha->byte_of[own ? b : next++] = (int16_t)b;
    }
}

bool qn_alphabet_bytes(const qn_alphabet *alpha, const char *text, size_t n, char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t at = 0; at < n;) {
        uint32_t code = 0;
        int length = qn_utf8_read(text + at, n - at, &code);
        if (length <= 0 || code >= QN_ALPHABET_END || alpha->byte_of[code] < 0) return false;
        out[(*n_out)++] = (char)alpha->byte_of[code];
        at += (size_t)length;
    }
    return true;
}

qn_shown qn_show(const char *text, size_t n_text)
{
    qn_shown out;
    size_t n = n_text < sizeof out.text - 1 ? n_text : sizeof out.text - 1;
    for (size_t i = 0; i < n; i++) out.text[i] = text[i];
    for (size_t i = 0; i < n; i++)
        if (out.text[i] < 0x20 || out.text[i] > 0x7E) out.text[i] = '?';
    out.text[n] = '\0';
    return out;
}

bool qn_token_ends_by_name(const char *text, size_t n)
{
    static const char *const names[] = {
        "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "<end_of_turn>", "<|end|>",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (n == strlen(names[i]) && memcmp(text, names[i], n) == 0) return true;
    return false;
}

qn_status qn_merge_token(const qn_tokenizer *t, const char *bytes, size_t n, int32_t *id)
{
    *id = qn_bpe_find(&t->bpe, bytes, n);
    if (*id >= 0) return qn_ok();
    size_t length = 0;
    if (qn_specials_match(&t->specials, bytes, n, true, &length) >= 0 && length == n) return qn_ok();
    if (qn_specials_match(&t->normalized_specials, bytes, n, true, &length) >= 0 && length == n) return qn_ok();
    return qn_fail(QN_ERR_FORMAT, "needs the token '%s', which is not there", qn_show(bytes, n).text);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* What one encode call works with. */
typedef struct encoder {
    const qn_tokenizer *t;
    qn_split_scan scan;
    qn_normalize_scratch normalized;
    qn_bpe_scratch scratch;
    qn_special_mode mode;
    qn_token_sink *sink;
} encoder;

static qn_status encode_piece(void *user, const char *piece, size_t n_bytes)
{
    encoder *e = user;
    return qn_bpe_encode(&e->t->bpe, &e->scratch, piece, n_bytes, e->sink);
}

/* Bytes of white space at the end of text[0..n), or at its start. */
static size_t space_at_end(const char *text, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t back = 1;
        uint32_t code;
        while (back < end && back < 4 && ((uint8_t)text[end - back] & 0xC0) == 0x80) back++;
        if (qn_utf8_read(text + end - back, back, &code) != (int)back || !qn_is_white_space(code)) break;
        end -= back;
    }
    return n - end;
}

static size_t space_at_start(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint32_t code;
        int length = qn_utf8_read(text + at, n - at, &code);
        if (length <= 0 || !qn_is_white_space(code)) break;
        at += (size_t)length;
    }
    return at;
}

typedef qn_status (*section_fn)(encoder *e, const char *text, size_t n_bytes, bool first);

/* Cuts special tokens out of a text and gives what is between them to `section`. `first`: the text is the start of
 * the whole. */
static qn_status cut_specials(encoder *e, const qn_specials *specials, const char *text, size_t n_bytes, bool first,
                              section_fn section)
{
    size_t done = 0, at = 0;
    while (done < n_bytes) {
        size_t place = n_bytes, length = 0;
        int32_t token = -1;
        if (e->mode != QN_SPECIAL_NONE && at < n_bytes)
            token = qn_specials_find(specials, text, n_bytes, at, e->mode == QN_SPECIAL_ALL, &place, &length);
        at = place + length;
        size_t end = at;
        if (token >= 0 && e->t->flags[token] & QN_TOKEN_LSTRIP && place > done)
            place -= space_at_end(text + done, place - done);
        if (token >= 0 && e->t->flags[token] & QN_TOKEN_RSTRIP) end += space_at_start(text + end, n_bytes - end);
        if (place > done) QN_TRY(section(e, text + done, place - done, first && done == 0));
        if (token >= 0) qn_token_push(e->sink, token);
        done = end > done ? end : done;
    }
    return qn_ok();
}

static qn_status split_section(encoder *e, const char *text, size_t n_bytes, bool first)
{
    return qn_split_run(&e->scan, text, n_bytes, first);
}

static qn_status encode_valid(encoder *e, const char *text, size_t n_bytes, bool first)
{
    QN_TRY(qn_normalize(&e->t->normalizer, &e->normalized, text, n_bytes, &text, &n_bytes));
    return cut_specials(e, &e->t->normalized_specials, text, n_bytes, first, split_section);
}

/* Text without special tokens: runs of valid UTF-8, and each byte that is no part of one by itself. */
static qn_status encode_section(encoder *e, const char *text, size_t n_bytes, bool first)
{
    while (n_bytes > 0) {
        size_t n = qn_utf8_valid_prefix(text, n_bytes);
        if (n > 0) {
            QN_TRY(encode_valid(e, text, n, first));
        } else {
            n = 1;
            QN_TRY(encode_piece(e, text, n));
        }
        text += n;
        n_bytes -= n;
        first = false;
    }
    return qn_ok();
}

qn_status qn_tokenizer_append(const qn_tokenizer *tokenizer, const char *text, size_t n_bytes, qn_special_mode mode,
                              qn_token_sink *sink)
{
    if (n_bytes == 0) return qn_ok();
    if (n_bytes > INT32_MAX) /* positions are 32 bits wide */
        return qn_fail(QN_ERR_LIMIT, "a text of %zu bytes is too long to encode at once (2 GiB)", n_bytes);
    encoder e = {.t = tokenizer, .sink = sink, .mode = mode};
    qn_status s = qn_split_scan_open(&tokenizer->splitter, encode_piece, &e, &e.scan);
    if (s.code == QN_OK) s = cut_specials(&e, &tokenizer->specials, text, n_bytes, true, encode_section);
    qn_bpe_scratch_free(&tokenizer->bpe, &e.scratch);
    qn_normalize_scratch_free(&tokenizer->normalizer, &e.normalized);
    qn_split_scan_close(&e.scan);
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
    const uint32_t *offset = tokenizer->decoded_offset;
    if (!offset) return qn_bpe_token(&tokenizer->bpe, (uint32_t)token, n_bytes);
    *n_bytes = offset[token + 1] - offset[token];
    return tokenizer->decoded + offset[token];
}

static bool has_flag(const qn_tokenizer *t, int32_t token, int flag)
{
    return token >= 0 && (uint32_t)token < t->bpe.n_tokens && (t->flags[token] & flag) != 0;
}

bool qn_tokenizer_is_special(const qn_tokenizer *tokenizer, int32_t token)
{
    return has_flag(tokenizer, token, QN_TOKEN_CONTROL);
}

bool qn_tokenizer_is_end(const qn_tokenizer *tokenizer, int32_t token)
{
    return has_flag(tokenizer, token, QN_TOKEN_END);
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

uint32_t qn_tokenizer_strip_start(const qn_tokenizer *tokenizer)
{
    return tokenizer->strip_start;
}

int32_t qn_tokenizer_find_special(const qn_tokenizer *tokenizer, const char *text)
{
    size_t length = 0, n = strlen(text);
    int32_t token = qn_specials_match(&tokenizer->specials, text, n, true, &length);
    if (token >= 0 && length == n) return token;
    token = qn_specials_match(&tokenizer->normalized_specials, text, n, true, &length);
    return token >= 0 && length == n ? token : -1;
}

const char *qn_tokenizer_description(const qn_tokenizer *tokenizer)
{
    return tokenizer->description;
}

const char *qn_tokenizer_chat_template(const qn_tokenizer *tokenizer)
{
    return qn_chat_kind_name(tokenizer->chat);
}

qn_status qn_tokenizer_chat_encode(const qn_tokenizer *tokenizer, const qn_chat_message *messages, size_t n_messages,
                                   bool add_generation_prompt, int32_t *tokens, size_t capacity, size_t *n_tokens)
{
    return qn_chat_render(tokenizer->chat, tokenizer, messages, n_messages, add_generation_prompt, tokens, capacity,
                          n_tokens);
}
