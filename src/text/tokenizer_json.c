/* tokenizer_json.c - Hugging Face's tokenizer.json: vocabulary, merges and special tokens. json_split.c and
 * json_decode.c read the components around them.
 *
 * Errors: an id that two tokens have, or far past the number of tokens; an added token that the vocabulary has under
 * another id, or that is there twice; a merge of unknown tokens; a bos or eos that is no token. Taken as it is: ids
 * that no token has (they decode to nothing), a repeated merge (its last place counts, as for Hugging Face's own
 * reader), a merge of a special token (left out: plain text must never become one).
 *
 * Other than in Hugging Face's library: a character without token, byte tokens and unk is an error of encoding (there
 * it is dropped); bytes that are not UTF-8 are encoded by themselves; an added token decodes to its own text, also
 * where that is not ASCII; Metaspace leaves out one space at the start of a text, not all of the first token's. */
#include <stdio.h>
#include <string.h>

#include "text/json.h"

/* Ids are counted up to twice the tokens and this many more. */
enum { FREE_IDS = 65536 };

/* What the file says of an id. */
typedef struct entry {
    const char *text; /* NULL: no token has this id */
    uint32_t n;
    bool in_vocab, added, normalized;
    uint8_t flags;
} entry;

typedef struct reader {
    qn_tokenizer *t;
    const json_t *root, *config, *model, *vocab, *added, *merges;
    qn_components components;
    qn_alphabet alphabet;
    entry *entries; /* [n_ids] */
    size_t n_ids, n_bytes, longest;
    char *room; /* for the texts of one merge, or for one decoded token */
} reader;

/* ---- the vocabulary's entries ---------------------------------------------------------------- */

static qn_status read_model(reader *r)
{
    const json_t *model = r->model = qn_json_get(r->root, "model");
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    qn_json_text type = {"BPE", 3}; /* old files do not say it */
    if (!json_is_object(model)) return qn_fail(QN_ERR_FORMAT, "model is missing or not an object");
    if (qn_json_get(model, "type") || !qn_json_get(model, "merges"))
        QN_TRY(qn_in(qn_json_string(model, "type", &type), "model"));
    if (!qn_json_is(type, "BPE"))
        return qn_fail(QN_ERR_UNSUPPORTED, "model: type %s is not supported (BPE is)", qn_show(type.text, type.n).text);
    for (size_t i = 0; i < 2; i++) {
        qn_json_text affix = {NULL, 0};
        if (qn_json_get(model, affixes[i])) QN_TRY(qn_in(qn_json_string(model, affixes[i], &affix), "model"));
        if (affix.n) return qn_fail(QN_ERR_UNSUPPORTED, "model: %s is not supported", affixes[i]);
    }
    const json_t *dropout = qn_json_get(model, "dropout");
    if (dropout && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return qn_fail(QN_ERR_UNSUPPORTED, "model: dropout is not supported");
    r->vocab = qn_json_get(model, "vocab");
    if (!json_is_object(r->vocab)) return qn_fail(QN_ERR_FORMAT, "model: vocab is missing or not an object");
    QN_TRY(qn_in(qn_json_array(model, "merges", &r->merges), "model"));
    if (!r->merges) return qn_fail(QN_ERR_FORMAT, "model: merges is missing");
    return qn_json_array(r->root, "added_tokens", &r->added);
}

/* The number of ids, from the largest. */
static qn_status count_ids(reader *r)
{
    const char *key;
    json_t *value; /* the macro's, and read only */
    const json_t *one;
    size_t i, n = json_object_size(r->vocab) + json_array_size(r->added);
    int32_t id, largest = -1;
    json_object_foreach((json_t *)(uintptr_t)r->vocab, key, value)
    {
        QN_TRY(qn_in(qn_json_id(value, &id), "model.vocab: '%s'", qn_show(key, strlen(key)).text));
        if (id > largest) largest = id;
    }
    json_array_foreach(r->added, i, one)
    {
        QN_TRY(qn_in(qn_json_id(qn_json_get(one, "id"), &id), "added_tokens[%zu]", i));
        if (id > largest) largest = id;
    }
    if (n == 0) return qn_fail(QN_ERR_FORMAT, "the vocabulary is empty");
    r->n_ids = (size_t)largest + 1;
    if (r->n_ids > 2 * n + FREE_IDS)
        return qn_fail(QN_ERR_FORMAT, "the vocabulary has the id %d, but there are %zu tokens", largest, n);
    return qn_ok();
}

static void measure(reader *r, size_t n)
{
    r->n_bytes += n;
    if (n > r->longest) r->longest = n;
}

static qn_status enter_vocab(reader *r)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->vocab, key, value)
    {
        entry *e = &r->entries[json_integer_value(value)];
        size_t n = strlen(key);
        if (e->text)
            return qn_fail(QN_ERR_FORMAT, "model.vocab: '%s' and '%s' both have the id %lld",
                           qn_show(e->text, e->n).text, qn_show(key, n).text, (long long)json_integer_value(value));
        *e = (entry){.text = key, .n = (uint32_t)n, .in_vocab = true};
        measure(r, n);
    }
    return qn_ok();
}

static qn_status read_added(const json_t *one, qn_json_text *content, uint8_t *flags, bool *normalized)
{
    bool special, single_word, lstrip, rstrip;
    QN_TRY(qn_json_string(one, "content", content));
    QN_TRY(qn_json_bool(one, "special", false, &special));
    QN_TRY(qn_json_bool(one, "single_word", false, &single_word));
    QN_TRY(qn_json_bool(one, "lstrip", false, &lstrip));
    QN_TRY(qn_json_bool(one, "rstrip", false, &rstrip));
    QN_TRY(qn_json_bool(one, "normalized", !special, normalized));
    if (content->n == 0) return qn_fail(QN_ERR_FORMAT, "content is empty");
    if (content->n > QN_SPECIAL_MAX_BYTES)
        return qn_fail(QN_ERR_UNSUPPORTED, "a token of more than %d bytes is not supported", QN_SPECIAL_MAX_BYTES);
    if (single_word) return qn_fail(QN_ERR_UNSUPPORTED, "single_word is not supported");
    *flags = (uint8_t)((special ? QN_TOKEN_CONTROL : QN_TOKEN_USER) | (lstrip ? QN_TOKEN_LSTRIP : 0) |
                       (rstrip ? QN_TOKEN_RSTRIP : 0));
    return qn_ok();
}

/* Makes an id an added token. */
static qn_status enter_added(reader *r, int32_t id, qn_json_text content, uint8_t flags, bool normalized)
{
    entry *e = &r->entries[id];
    if (e->text && (e->n != content.n || memcmp(e->text, content.text, content.n) != 0))
        return qn_fail(QN_ERR_FORMAT, "'%s' has the id %d, which is '%s' already",
                       qn_show(content.text, content.n).text, id, qn_show(e->text, e->n).text);
    if (e->added) return qn_fail(QN_ERR_FORMAT, "the id %d is there twice", id);
    const json_t *known = qn_json_get(r->vocab, content.text);
    if (known && json_integer_value(known) != id)
        return qn_fail(QN_ERR_FORMAT, "'%s' has the id %d, but %lld in the vocabulary",
                       qn_show(content.text, content.n).text, id, (long long)json_integer_value(known));
    if (!e->text) measure(r, content.n);
    *e = (entry){content.text, (uint32_t)content.n, e->in_vocab, true, normalized, flags};
    return qn_ok();
}

static qn_status enter_tokens(reader *r)
{
    const json_t *one;
    size_t i;
    void *p;
    QN_TRY(qn_alloc(r->t->a, r->n_ids, sizeof *r->entries, "tokens", &p));
    r->entries = p;
    QN_TRY(enter_vocab(r));
    json_array_foreach(r->added, i, one)
    {
        qn_json_text content = {NULL, 0};
        uint8_t flags = 0;
        bool normalized = false;
        qn_status s = read_added(one, &content, &flags, &normalized);
        int32_t id = (int32_t)json_integer_value(qn_json_get(one, "id"));
        if (s.code == QN_OK) s = enter_added(r, id, content, flags, normalized);
        QN_TRY(qn_in(s, "added_tokens[%zu]", i));
    }
    return qn_ok();
}

/* ---- begin and end --------------------------------------------------------------------------- */

/* The id of a token by its text, or -1. */
static int32_t find_token(const reader *r, const char *text)
{
    const json_t *known = qn_json_get(r->vocab, text);
    if (known) return (int32_t)json_integer_value(known);
    size_t n = strlen(text);
    for (size_t i = 0; i < r->n_ids; i++)
        if (r->entries[i].added && r->entries[i].n == n && memcmp(r->entries[i].text, text, n) == 0) return (int32_t)i;
    return -1;
}

/* "bos_token" of tokenizer_config.json: a text, an object with its content, or null. */
static qn_status configured(const reader *r, const char *key, int32_t *id)
{
    const json_t *value = qn_json_get(r->config, key);
    const json_t *text = json_is_object(value) ? qn_json_get(value, "content") : value;
    *id = -1;
    if (!value) return qn_ok();
    if (!json_is_string(text)) return qn_fail(QN_ERR_FORMAT, "%s is not a text", key);
    *id = find_token(r, json_string_value(text));
    if (*id >= 0) return qn_ok();
    return qn_fail(QN_ERR_FORMAT, "%s '%s' is no token of tokenizer.json", key,
                   qn_show(json_string_value(text), json_string_length(text)).text);
}

/* A special token by one of the names that files give it. */
static int32_t well_known(const reader *r, const char *const *names)
{
    for (; *names; names++) {
        int32_t id = find_token(r, *names);
        if (id >= 0 && r->entries[id].flags & QN_TOKEN_CONTROL) return id;
    }
    return -1;
}

/* A begin or end token is special whatever the file says of it: else a user's text could end a turn. */
static void make_special(reader *r, int32_t id, int flags)
{
    if (id < 0) return;
    entry *e = &r->entries[id];
    e->added = true;
    e->flags = (uint8_t)((e->flags & ~QN_TOKEN_USER) | QN_TOKEN_CONTROL | flags);
}

static qn_status read_bos_eos(reader *r)
{
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>", NULL};
    static const char *const eos[] = {"<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>",
                                      "<|eot_id|>",      "<|im_end|>",    NULL};
    qn_tokenizer *t = r->t;
    bool add_eos;
    int32_t first = -1;
    QN_TRY(qn_in(configured(r, "bos_token", &t->bos), "tokenizer_config.json"));
    QN_TRY(qn_in(configured(r, "eos_token", &t->eos), "tokenizer_config.json"));
    QN_TRY(qn_in(qn_json_bool(r->config, "add_bos_token", r->components.begin_ids != NULL, &t->adds_bos),
                 "tokenizer_config.json"));
    QN_TRY(qn_in(qn_json_bool(r->config, "add_eos_token", false, &add_eos), "tokenizer_config.json"));
    if (add_eos) return qn_fail(QN_ERR_UNSUPPORTED, "tokenizer_config.json: add_eos_token is not supported");
    if (r->components.begin_ids) {
        QN_TRY(qn_in(qn_json_id(json_array_get(r->components.begin_ids, 0), &first), "post_processor"));
        if ((size_t)first >= r->n_ids || !r->entries[first].text)
            return qn_fail(QN_ERR_FORMAT, "post_processor: the id %d is no token", first);
        if (t->bos >= 0 && t->bos != first && t->adds_bos)
            return qn_fail(QN_ERR_FORMAT,
                           "the post_processor puts '%s' first, but tokenizer_config.json's bos_token "
                           "is '%s'",
                           qn_show(r->entries[first].text, r->entries[first].n).text,
                           qn_show(r->entries[t->bos].text, r->entries[t->bos].n).text);
        if (t->bos < 0) t->bos = first;
    }
    if (t->bos < 0 && !qn_json_get(r->config, "eos_token")) t->bos = well_known(r, bos);
    if (t->eos < 0) t->eos = well_known(r, eos);
    if (t->bos < 0) t->adds_bos = false;
    make_special(r, t->bos, 0);
    make_special(r, t->eos, QN_TOKEN_END);
    for (size_t i = 0; i < r->n_ids; i++) {
        entry *e = &r->entries[i];
        if (e->added && qn_token_ends_by_name(e->text, e->n)) make_special(r, (int32_t)i, QN_TOKEN_END);
    }
    return qn_ok();
}

/* ---- building -------------------------------------------------------------------------------- */

/* Tokens into the vocabulary: added ones as their own text. */
static void add_tokens(reader *r)
{
    qn_tokenizer *t = r->t;
    for (size_t i = 0; i < r->n_ids; i++) {
        const entry *e = &r->entries[i];
        size_t n = 0;
        bool plain = !r->components.byte_level;
        if (r->components.byte_level) plain = qn_alphabet_bytes(&r->alphabet, e->text, e->n, r->room, &n);
        bool converted = r->components.byte_level && plain && !e->added;
        bool findable = e->in_vocab && plain && !(e->flags & QN_TOKEN_CONTROL);
        /* an added token is found as plain text only where its text in the alphabet is itself */
        if (e->added && r->components.byte_level && !(n == e->n && memcmp(r->room, e->text, n) == 0)) findable = false;
        qn_bpe_add(&t->bpe, (uint32_t)i, converted ? r->room : e->text, converted ? n : e->n, findable);
        t->flags[i] = e->flags;
    }
}

static qn_status add_special(reader *r, size_t i)
{
    qn_tokenizer *t = r->t;
    const entry *e = &r->entries[i];
    qn_specials *to = e->normalized ? &t->normalized_specials : &t->specials;
    qn_normalize_scratch scratch = {0};
    const char *text = e->text;
    size_t n = e->n, length = 0;
    qn_status s = qn_ok();
    if (e->normalized) s = qn_normalize(&t->normalizer, &scratch, text, n, &text, &n);
    if (s.code == QN_OK && n > QN_SPECIAL_MAX_BYTES)
        s = qn_fail(QN_ERR_UNSUPPORTED, "normalized it has more than %d bytes", QN_SPECIAL_MAX_BYTES);
    if (s.code == QN_OK) s = qn_specials_add(to, text, n, (int32_t)i, (e->flags & QN_TOKEN_CONTROL) != 0);
    if (s.code == QN_OK && !e->normalized &&
        (qn_specials_match(to, text, n, true, &length) != (int32_t)i || length != n))
        s = qn_fail(QN_ERR_FORMAT, "it is there twice");
    qn_normalize_scratch_free(&t->normalizer, &scratch);
    return qn_in(s, "added token '%s'", qn_show(e->text, e->n).text);
}

/* Control tokens first: of two that normalize to the same text, they are found. */
static qn_status add_specials(reader *r)
{
    for (int control = 1; control >= 0; control--)
        for (size_t i = 0; i < r->n_ids; i++)
            if (r->entries[i].added && ((r->entries[i].flags & QN_TOKEN_CONTROL) != 0) == control)
                QN_TRY(add_special(r, i));
    return qn_ok();
}

/* "a b", or ["a", "b"]. */
static bool merge_texts(const json_t *merge, qn_json_text *left, qn_json_text *right)
{
    if (json_is_array(merge)) {
        const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
        if (json_array_size(merge) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
        *left = (qn_json_text){json_string_value(a), json_string_length(a)};
        *right = (qn_json_text){json_string_value(b), json_string_length(b)};
    } else {
        const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
        if (!space || strchr(space + 1, ' ')) return false;
        *left = (qn_json_text){text, (size_t)(space - text)};
        *right = (qn_json_text){space + 1, json_string_length(merge) - left->n - 1};
    }
    return left->n > 0 && right->n > 0;
}

/* Text of the vocabulary as the bytes that tokens are found by. */
static bool vocab_bytes(const reader *r, qn_json_text text, char *out, size_t *n)
{
    if (r->components.byte_level) return qn_alphabet_bytes(&r->alphabet, text.text, text.n, out, n);
    memcpy(out, text.text, text.n);
    *n = text.n;
    return true;
}

static qn_status add_merge(reader *r, const json_t *merge, uint32_t order)
{
    qn_json_text left_text, right_text;
    size_t n_left, n_right;
    int32_t left, right, result;
    qn_tokenizer *t = r->t;
    if (!merge_texts(merge, &left_text, &right_text)) return qn_fail(QN_ERR_FORMAT, "not two texts");
    if (left_text.n > r->longest || right_text.n > r->longest)
        return qn_fail(QN_ERR_FORMAT, "names a text longer than any token");
    if (!vocab_bytes(r, left_text, r->room, &n_left) || !vocab_bytes(r, right_text, r->room + n_left, &n_right))
        return qn_fail(QN_ERR_FORMAT, "not two texts of the byte-level alphabet");
    QN_TRY(qn_merge_token(t, r->room, n_left, &left));
    QN_TRY(qn_merge_token(t, r->room + n_left, n_right, &right));
    QN_TRY(qn_merge_token(t, r->room, n_left + n_right, &result));
    if (left >= 0 && right >= 0 && result >= 0) qn_bpe_add_merge(&t->bpe, left, right, result, order);
    return qn_ok();
}

/* From the last to the first: of repeated ones the last place counts. */
static qn_status add_merges(reader *r)
{
    for (size_t i = json_array_size(r->merges); i-- > 0;)
        QN_TRY(qn_in(add_merge(r, json_array_get(r->merges, i), (uint32_t)i + 1), "model.merges[%zu]", i));
    return qn_ok();
}

/* What becomes of characters without a token. */
static qn_status read_unknown(reader *r)
{
    qn_bpe *bpe = &r->t->bpe;
    bool byte_fallback;
    qn_json_text unk;
    QN_TRY(qn_json_bool(r->model, "ignore_merges", false, &bpe->whole_first));
    QN_TRY(qn_json_bool(r->model, "fuse_unk", false, &bpe->fuse_unk));
    QN_TRY(qn_json_bool(r->model, "byte_fallback", false, &byte_fallback));
    bpe->by_char = !r->components.byte_level;
    bool whole = r->components.byte_level;
    for (int b = 0; b < 256 && whole; b++) whole = bpe->byte_token[b] >= 0;
    if (whole) return qn_ok(); /* no byte is unknown */
    if (byte_fallback && r->components.byte_level)
        return qn_fail(QN_ERR_UNSUPPORTED, "byte_fallback is not supported with ByteLevel");
    for (int b = 0; b < 256 && byte_fallback; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        bpe->fallback[b] = qn_bpe_find(bpe, text, 6);
    }
    if (!qn_json_get(r->model, "unk_token")) return qn_ok();
    QN_TRY(qn_json_string(r->model, "unk_token", &unk));
    const json_t *id = qn_json_get(r->vocab, unk.text);
    if (!id) return qn_fail(QN_ERR_FORMAT, "unk_token '%s' is not in the vocabulary", qn_show(unk.text, unk.n).text);
    bpe->unk = (int32_t)json_integer_value(id);
    return qn_ok();
}

/* What a token decodes to, in r->room. One that is looked for in normalized text stands for that text. */
static qn_status decode_token(reader *r, const entry *e, size_t *n_out)
{
    qn_tokenizer *t = r->t;
    qn_normalize_scratch scratch = {0};
    const char *text = e->text;
    size_t n = e->n;
    qn_status s = qn_ok();
    if (e->added && e->normalized) s = qn_normalize(&t->normalizer, &scratch, text, n, &text, &n);
    if (s.code == QN_OK) s = qn_components_decode(&r->components, text, n, r->room, n_out);
    qn_normalize_scratch_free(&t->normalizer, &scratch);
    return s;
}

/* What tokens decode to, where decoders change it. */
static qn_status decode_tokens(reader *r)
{
    qn_tokenizer *t = r->t;
    size_t capacity = 0, n = 0;
    void *bytes = NULL, *p;
    if (r->components.n_decode == 0) return qn_ok();
    QN_TRY(qn_alloc(t->a, r->n_ids + 1, sizeof *t->decoded_offset, "token offsets", &p));
    t->decoded_offset = p;
    for (size_t i = 0; i < r->n_ids; i++) {
        const entry *e = &r->entries[i];
        size_t k = 0;
        if (e->text) QN_TRY(decode_token(r, e, &k));
        QN_TRY(qn_grow(t->a, &bytes, &capacity, n + k + 1, 1, "token bytes"));
        t->decoded = bytes;
        if (k > 0) memcpy(t->decoded + n, r->room, k);
        n += k;
        if (n > UINT32_MAX) return qn_fail(QN_ERR_LIMIT, "too many bytes of tokens");
        t->decoded_offset[i + 1] = (uint32_t)n;
    }
    return qn_ok();
}

static qn_status build(reader *r)
{
    qn_tokenizer *t = r->t;
    void *p;
    QN_TRY(read_model(r));
    QN_TRY(qn_json_normalizer(r->root, &t->normalizer));
    QN_TRY(qn_json_pre_tokenizer(r->root, &t->splitter, &r->components));
    QN_TRY(qn_json_decoder(r->root, &r->components));
    QN_TRY(qn_json_post_processor(r->root, &r->components));
    t->strip_start = r->components.strip_start;
    QN_TRY(count_ids(r));
    QN_TRY(enter_tokens(r));
    QN_TRY(read_bos_eos(r));
    QN_TRY(qn_bpe_open(t->a, r->n_ids, r->n_bytes, json_array_size(r->merges), &t->bpe));
    QN_TRY(qn_alloc(t->a, r->n_ids, 1, "token flags", &p));
    t->flags = p;
    if (r->longest < QN_SPECIAL_MAX_BYTES) r->longest = QN_SPECIAL_MAX_BYTES; /* a special one, normalized */
    QN_TRY(qn_alloc(t->a, 4 * r->longest + 64, 1, "token text", &p));
    r->room = p;
    qn_alphabet_make(&r->alphabet);
    add_tokens(r);
    QN_TRY(add_specials(r));
    QN_TRY(add_merges(r));
    QN_TRY(qn_in(read_unknown(r), "model"));
    QN_TRY(decode_tokens(r));
    snprintf(t->description, sizeof t->description, "tokenizer.json / BPE, %s",
             r->components.byte_level ? "byte-level" : "by character");
    return qn_ok();
}

/* ---- companions ------------------------------------------------------------------------------ */

/* The default of tokenizer_config.json's templates: a text, or a list of {name, template}. */
static const json_t *configured_template(const json_t *config)
{
    const json_t *value = qn_json_get(config, "chat_template"), *one;
    size_t i;
    json_array_foreach(value, i, one)
    {
        const char *name = json_string_value(qn_json_get(one, "name"));
        if (name && strcmp(name, "default") == 0) return qn_json_get(one, "template");
    }
    return value;
}

static void read_chat(const reader *r, const qn_tokenizer_files *files)
{
    const json_t *text = configured_template(r->config);
    r->t->chat = files->chat_template_size
                     ? qn_chat_detect_text(files->chat_template, files->chat_template_size, r->t)
                     : qn_chat_detect_text(json_string_value(text), json_string_length(text), r->t);
}

qn_status qn_tokenizer_read_json(qn_tokenizer *t, const qn_tokenizer_files *files)
{
    json_t *root = NULL, *config = NULL;
    reader r = {.t = t};
    qn_status s = qn_json_parse(files->data, files->size, &root);
    if (s.code == QN_OK && files->config_size)
        s = qn_in(qn_json_parse(files->config, files->config_size, &config), "tokenizer_config.json");
    r.root = root;
    r.config = config;
    if (s.code == QN_OK) s = build(&r);
    if (s.code == QN_OK) read_chat(&r, files);
    qn_free(t->a, r.entries);
    qn_free(t->a, r.room);
    json_decref(root);
    json_decref(config);
    return s;
}
