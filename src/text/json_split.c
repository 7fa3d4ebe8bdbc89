/* json_split.c - the normalizer and the pre-tokenizer of a tokenizer.json.
 *
 * Source of names and meanings: the documentation and behaviour of Hugging Face's tokenizers 0.2x. */
#include <string.h>

#include "text/json.h"

enum { MAX_NESTING = 8 };

/* {"String": ...} or {"Regex": ...}, compiled. */
static qn_status read_pattern(const qn_allocator *a, const json_t *component, qn_pretokenizer **out)
{
    const json_t *pattern = qn_json_get(component, "pattern");
    bool literal = json_is_string(qn_json_get(pattern, "String"));
    qn_json_text text;
    char *translated;
    if (!json_is_object(pattern)) return qn_fail(QN_ERR_FORMAT, "pattern is missing or not an object");
    QN_TRY(qn_json_string(pattern, literal ? "String" : "Regex", &text));
    if (text.n == 0) return qn_fail(QN_ERR_UNSUPPORTED, "an empty pattern is not supported");
    QN_TRY((literal ? qn_pattern_literal : qn_pattern_translate)(a, text.text, text.n, &translated));
    qn_status s = qn_pretokenizer_open(a, translated, out);
    qn_free(a, translated);
    if (s.code == QN_ERR_ARGUMENT) s.code = QN_ERR_UNSUPPORTED;
    if (s.code != QN_OK) return s;
    qn_pretokenizer_limit(*out);
    if (qn_pretokenizer_matches_empty(*out))
        return qn_fail(QN_ERR_UNSUPPORTED, "a pattern that matches the empty text is not supported");
    return s;
}

/* A pattern of our own. */
static qn_status own_pattern(const qn_allocator *a, const char *pattern, qn_split_step *step)
{
    return qn_pretokenizer_open(a, pattern, &step->pattern);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

static qn_status normalizer_text(const json_t *component, const char *key, qn_normalize_step *step)
{
    qn_json_text text;
    QN_TRY(qn_json_string(component, key, &text));
    if (text.n > QN_NORMALIZE_MAX_TEXT)
        return qn_fail(QN_ERR_UNSUPPORTED, "%s of more than %d bytes is not supported", key, QN_NORMALIZE_MAX_TEXT);
    memcpy(step->text, text.text, text.n);
    step->n_text = text.n;
    return qn_ok();
}

static qn_status add_normalizer(const json_t *component, qn_normalizer *normalizer, int depth);

static qn_status normalizer_sequence(const json_t *component, qn_normalizer *normalizer, int depth)
{
    const json_t *list, *one;
    size_t i;
    QN_TRY(qn_json_array(component, "normalizers", &list));
    if (!list) return qn_fail(QN_ERR_FORMAT, "normalizers is missing");
    if (depth == MAX_NESTING) return qn_fail(QN_ERR_UNSUPPORTED, "Sequences are nested too deep");
    json_array_foreach(list, i, one) QN_TRY(qn_in(add_normalizer(one, normalizer, depth + 1), "normalizers[%zu]", i));
    return qn_ok();
}

static qn_status add_normalizer(const json_t *component, qn_normalizer *normalizer, int depth)
{
    static const struct {
        const char *name;
        qn_normalize_kind kind;
    } kinds[] = {{"NFC", QN_NORMALIZE_NFC},   {"NFD", QN_NORMALIZE_NFD},         {"NFKC", QN_NORMALIZE_NFKC},
                 {"NFKD", QN_NORMALIZE_NFKD}, {"Prepend", QN_NORMALIZE_PREPEND}, {"Replace", QN_NORMALIZE_REPLACE}};
    qn_json_text type;
    size_t k = 0, n = sizeof kinds / sizeof kinds[0];
    QN_TRY(qn_json_string(component, "type", &type));
    if (qn_json_is(type, "Sequence")) return normalizer_sequence(component, normalizer, depth);
    while (k < n && !qn_json_is(type, kinds[k].name)) k++;
    if (k == n)
        return qn_fail(QN_ERR_UNSUPPORTED,
                       "the normalizer %s is not supported (NFC, NFD, NFKC, NFKD, Prepend, Replace are)",
                       qn_show(type.text, type.n).text);
#if !QN_WITH_UTF8PROC
    if (kinds[k].kind <= QN_NORMALIZE_NFKD)
        return qn_fail(QN_ERR_UNSUPPORTED, "this build has no %s (QN_WITH_UTF8PROC is off)", kinds[k].name);
#endif
    if (normalizer->n == QN_NORMALIZE_MAX_STEPS)
        return qn_fail(QN_ERR_UNSUPPORTED, "more than %d steps are not supported", QN_NORMALIZE_MAX_STEPS);
    qn_normalize_step *step = &normalizer->steps[normalizer->n++];
    step->kind = kinds[k].kind;
    if (step->kind == QN_NORMALIZE_PREPEND) return normalizer_text(component, "prepend", step);
    if (step->kind != QN_NORMALIZE_REPLACE) return qn_ok();
    QN_TRY(normalizer_text(component, "content", step));
    return read_pattern(normalizer->a, component, &step->pattern);
}

qn_status qn_json_normalizer(const json_t *root, qn_normalizer *normalizer)
{
    const json_t *component = qn_json_get(root, "normalizer");
    return component ? qn_in(add_normalizer(component, normalizer, 0), "normalizer") : qn_ok();
}

/* ---- pre-tokenizer --------------------------------------------------------------------------- */

static qn_status read_behaviour(const json_t *component, const char *missing, qn_split_behaviour *behaviour)
{
    static const char *const names[] = {
        [QN_SPLIT_ISOLATED] = "Isolated",        [QN_SPLIT_REMOVED] = "Removed",
        [QN_SPLIT_CONTIGUOUS] = "Contiguous",    [QN_SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
        [QN_SPLIT_WITH_NEXT] = "MergedWithNext",
    };
    qn_json_text name = {missing, missing ? strlen(missing) : 0};
    if (!missing || qn_json_get(component, "behavior")) QN_TRY(qn_json_string(component, "behavior", &name));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!qn_json_is(name, names[i])) continue;
        *behaviour = (qn_split_behaviour)i;
        return qn_ok();
    }
    return qn_fail(QN_ERR_FORMAT, "there is no behavior '%s'", qn_show(name.text, name.n).text);
}

static qn_status add_byte_level(const qn_allocator *a, const json_t *component, qn_split_step *step)
{
    bool prefix, regex;
    QN_TRY(qn_json_bool(component, "add_prefix_space", true, &prefix));
    QN_TRY(qn_json_bool(component, "use_regex", true, &regex));
    if (prefix) {
        step->prefix[0] = ' ';
        step->prefix_where = QN_PREFIX_ALWAYS;
    }
    return regex ? own_pattern(a, qn_pattern_gpt2(), step) : qn_ok();
}

static qn_status add_split(const qn_allocator *a, const json_t *component, qn_split_step *step)
{
    QN_TRY(read_behaviour(component, NULL, &step->behaviour));
    QN_TRY(qn_json_bool(component, "invert", false, &step->invert));
    return read_pattern(a, component, &step->pattern);
}

static qn_status add_digits(const qn_allocator *a, const json_t *component, qn_split_step *step)
{
    bool individual;
    QN_TRY(qn_json_bool(component, "individual_digits", false, &individual));
    step->behaviour = individual ? QN_SPLIT_ISOLATED : QN_SPLIT_CONTIGUOUS;
    return own_pattern(a, "\\p{N}", step);
}

static qn_status add_punctuation(const qn_allocator *a, const json_t *component, qn_split_step *step)
{
    QN_TRY(read_behaviour(component, "Isolated", &step->behaviour));
    return own_pattern(a, "[!-\\/:-@\\[-`\\{-~\\p{P}]", step);
}

static qn_status add_metaspace(const qn_allocator *a, const json_t *component, qn_split_step *step)
{
    qn_json_text replacement, scheme = {"always", 6};
    bool prefix, split;
    QN_TRY(qn_json_string(component, "replacement", &replacement));
    if (replacement.n == 0 || replacement.n > 4 || qn_json_is(replacement, " "))
        return qn_fail(QN_ERR_FORMAT, "replacement is not one character");
    QN_TRY(qn_json_bool(component, "add_prefix_space", true, &prefix));
    if (qn_json_get(component, "prepend_scheme")) QN_TRY(qn_json_string(component, "prepend_scheme", &scheme));
    QN_TRY(qn_json_bool(component, "split", true, &split));
    if (!qn_json_is(scheme, "always") && !qn_json_is(scheme, "first") && !qn_json_is(scheme, "never"))
        return qn_fail(QN_ERR_FORMAT, "there is no prepend_scheme '%s'", qn_show(scheme.text, scheme.n).text);
    memcpy(step->space, replacement.text, replacement.n);
    memcpy(step->prefix, replacement.text, replacement.n);
    if (prefix && !qn_json_is(scheme, "never"))
        step->prefix_where = qn_json_is(scheme, "first") ? QN_PREFIX_FIRST : QN_PREFIX_ALWAYS;
    if (!split) return qn_ok();
    char *pattern;
    QN_TRY(qn_pattern_literal(a, replacement.text, replacement.n, &pattern));
    step->behaviour = QN_SPLIT_WITH_NEXT;
    qn_status s = own_pattern(a, pattern, step);
    qn_free(a, pattern);
    return s;
}

static qn_status add_pre_tokenizer(const json_t *component, qn_splitter *splitter, qn_components *c, int depth);

static qn_status pre_tokenizer_sequence(const json_t *component, qn_splitter *splitter, qn_components *c, int depth)
{
    const json_t *list, *one;
    size_t i;
    QN_TRY(qn_json_array(component, "pretokenizers", &list));
    if (!list) return qn_fail(QN_ERR_FORMAT, "pretokenizers is missing");
    if (depth == MAX_NESTING) return qn_fail(QN_ERR_UNSUPPORTED, "Sequences are nested too deep");
    json_array_foreach(list, i, one)
        QN_TRY(qn_in(add_pre_tokenizer(one, splitter, c, depth + 1), "pretokenizers[%zu]", i));
    return qn_ok();
}

static qn_status add_pre_tokenizer(const json_t *component, qn_splitter *splitter, qn_components *c, int depth)
{
    static const struct {
        const char *name;
        qn_status (*add)(const qn_allocator *a, const json_t *component, qn_split_step *step);
    } kinds[] = {{"ByteLevel", add_byte_level},
                 {"Split", add_split},
                 {"Digits", add_digits},
                 {"Punctuation", add_punctuation},
                 {"Metaspace", add_metaspace}};
    qn_json_text type;
    QN_TRY(qn_json_string(component, "type", &type));
    if (qn_json_is(type, "Sequence")) return pre_tokenizer_sequence(component, splitter, c, depth);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (!qn_json_is(type, kinds[k].name)) continue;
        if (c->byte_level) /* which has turned the text into its alphabet */
            return qn_fail(QN_ERR_UNSUPPORTED, "%s behind ByteLevel is not supported", kinds[k].name);
        if (splitter->n == QN_SPLIT_MAX_STEPS)
            return qn_fail(QN_ERR_UNSUPPORTED, "more than %d steps are not supported", QN_SPLIT_MAX_STEPS);
        c->byte_level = kinds[k].add == add_byte_level;
        return qn_in(kinds[k].add(splitter->a, component, &splitter->steps[splitter->n++]), "%s", kinds[k].name);
    }
    return qn_fail(QN_ERR_UNSUPPORTED,
                   "the pre-tokenizer %s is not supported (ByteLevel, Split, Digits, Punctuation, "
                   "Metaspace are)",
                   qn_show(type.text, type.n).text);
}

qn_status qn_json_pre_tokenizer(const json_t *root, qn_splitter *splitter, qn_components *c)
{
    const json_t *component = qn_json_get(root, "pre_tokenizer");
    return component ? qn_in(add_pre_tokenizer(component, splitter, c, 0), "pre_tokenizer") : qn_ok();
}
