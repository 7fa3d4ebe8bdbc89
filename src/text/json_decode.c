/* json_decode.c - the decoder and the post-processor of a tokenizer.json. */
#include <string.h>

#include "text/json.h"

enum { MAX_NESTING = 8 };

/* ---- decoder --------------------------------------------------------------------------------- */

static qn_status add_step(qn_components *c, qn_decode_step step)
{
    if (c->fused) return qn_fail(QN_ERR_UNSUPPORTED, "this decoder behind Fuse is not supported");
    if (c->n_decode == QN_DECODE_MAX_STEPS)
        return qn_fail(QN_ERR_UNSUPPORTED, "more than %d steps are not supported", QN_DECODE_MAX_STEPS);
    c->decode[c->n_decode++] = step;
    return qn_ok();
}

static qn_status add_replace(const json_t *component, qn_components *c)
{
    qn_decode_step step = {.kind = QN_DECODE_REPLACE};
    const json_t *pattern = qn_json_get(component, "pattern");
    if (!qn_json_get(pattern, "String"))
        return qn_fail(QN_ERR_UNSUPPORTED, "a pattern that is not a String is not supported");
    QN_TRY(qn_json_string(pattern, "String", &step.from));
    QN_TRY(qn_json_string(component, "content", &step.to));
    if (step.from.n == 0) return qn_fail(QN_ERR_UNSUPPORTED, "an empty pattern is not supported");
    return add_step(c, step);
}

static qn_status read_count(const json_t *component, const char *key, uint32_t *out)
{
    int32_t n;
    QN_TRY(qn_in(qn_json_id(qn_json_get(component, key), &n), "%s", key));
    *out = (uint32_t)n;
    return qn_ok();
}

static qn_status add_strip(const json_t *component, qn_components *c)
{
    qn_decode_step step = {.kind = QN_DECODE_STRIP};
    QN_TRY(qn_json_string(component, "content", &step.from));
    QN_TRY(read_count(component, "start", &step.start));
    QN_TRY(read_count(component, "stop", &step.end));
    if (step.from.n == 0 || step.from.n > 4) return qn_fail(QN_ERR_FORMAT, "content is not one character");
    if (!c->fused) return add_step(c, step);
    if (!qn_json_is(step.from, " ") || step.end != 0 || c->strip_start != 0)
        return qn_fail(QN_ERR_UNSUPPORTED, "behind Fuse only spaces at the start are supported");
    c->strip_start = step.start;
    return qn_ok();
}

static qn_status add_metaspace(const json_t *component, qn_components *c)
{
    qn_decode_step step = {.kind = QN_DECODE_REPLACE, .to = {" ", 1}};
    qn_json_text scheme = {"always", 6};
    bool prefix;
    QN_TRY(qn_json_string(component, "replacement", &step.from));
    QN_TRY(qn_json_bool(component, "add_prefix_space", true, &prefix));
    if (qn_json_get(component, "prepend_scheme")) QN_TRY(qn_json_string(component, "prepend_scheme", &scheme));
    if (step.from.n == 0 || step.from.n > 4) return qn_fail(QN_ERR_FORMAT, "replacement is not one character");
    if (prefix && !qn_json_is(scheme, "never")) c->strip_start = 1;
    return add_step(c, step);
}

static qn_status add_byte_level(const json_t *component, qn_components *c)
{
    (void)component;
    if (c->n_decode || c->fused) return qn_fail(QN_ERR_UNSUPPORTED, "not supported behind other decoders");
    c->byte_level_decoder = true;
    return qn_ok();
}

static qn_status add_byte_fallback(const json_t *component, qn_components *c)
{
    (void)component;
    return add_step(c, (qn_decode_step){.kind = QN_DECODE_BYTE_FALLBACK});
}

static qn_status add_fuse(const json_t *component, qn_components *c)
{
    (void)component;
    c->fused = true;
    return qn_ok();
}

static qn_status add_decoder(const json_t *component, qn_components *c, int depth)
{
    static const struct {
        const char *name;
        qn_status (*add)(const json_t *component, qn_components *c);
    } kinds[] = {{"ByteLevel", add_byte_level},       {"Replace", add_replace},     {"Strip", add_strip},
                 {"ByteFallback", add_byte_fallback}, {"Metaspace", add_metaspace}, {"Fuse", add_fuse}};
    qn_json_text type;
    QN_TRY(qn_json_string(component, "type", &type));
    if (qn_json_is(type, "Sequence")) {
        const json_t *list, *one;
        size_t i;
        QN_TRY(qn_json_array(component, "decoders", &list));
        if (!list) return qn_fail(QN_ERR_FORMAT, "decoders is missing");
        if (depth == MAX_NESTING) return qn_fail(QN_ERR_UNSUPPORTED, "Sequences are nested too deep");
        json_array_foreach(list, i, one) QN_TRY(qn_in(add_decoder(one, c, depth + 1), "decoders[%zu]", i));
        return qn_ok();
    }
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        if (qn_json_is(type, kinds[k].name)) return qn_in(kinds[k].add(component, c), "%s", kinds[k].name);
    return qn_fail(QN_ERR_UNSUPPORTED,
                   "the decoder %s is not supported (ByteLevel, Replace, Strip, ByteFallback, Metaspace, Fuse are)",
                   qn_show(type.text, type.n).text);
}

qn_status qn_json_decoder(const json_t *root, qn_components *c)
{
    const json_t *component = qn_json_get(root, "decoder");
    if (!component) /* the library that made the file would put spaces between all tokens */
        return qn_fail(QN_ERR_UNSUPPORTED, "decoder: a file without one is not supported");
    QN_TRY(qn_in(add_decoder(component, c, 0), "decoder"));
    if (c->byte_level_decoder == c->byte_level && !(c->byte_level && c->n_decode)) return qn_ok();
    return qn_fail(QN_ERR_UNSUPPORTED, "decoder: %s ByteLevel, but the pre-tokenizer %s",
                   c->byte_level_decoder ? "is" : "is not only", c->byte_level ? "is" : "is not");
}

/* The byte of a text like <0x0A>, or -1. */
static int byte_of(const char *text, size_t n)
{
    int value = 0;
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    for (size_t i = 3; i < 5; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = 16 * value + digit;
    }
    return value;
}

/* Replaces in place: text[0..*n) is moved to the end of its room and read from there while it is written. */
static bool replace(const qn_decode_step *step, char *text, size_t *n, size_t room)
{
    size_t from = room - *n, to = 0;
    memmove(text + from, text, *n);
    while (from < room) {
        bool match = room - from >= step->from.n && memcmp(text + from, step->from.text, step->from.n) == 0;
        size_t taken = match ? step->from.n : 1, given = match ? step->to.n : 1;
        if (to + given > from + taken) return false;
        if (match)
            memcpy(text + to, step->to.text, given);
        else
            text[to] = text[from];
        from += taken;
        to += given;
    }
    *n = to;
    return true;
}

static void strip(const qn_decode_step *step, char *text, size_t *n)
{
    size_t start = 0, k = step->from.n;
    for (uint32_t i = 0; i < step->start; i++, start += k)
        if (*n - start < k || memcmp(text + start, step->from.text, k) != 0) break;
    for (uint32_t i = 0; i < step->end; i++, *n -= k)
        if (*n - start < k || memcmp(text + *n - k, step->from.text, k) != 0) break;
    memmove(text, text + start, *n - start);
    *n -= start;
}

qn_status qn_components_decode(const qn_components *c, const char *text, size_t n, char *out, size_t *n_out)
{
    size_t room = 4 * n + 64;
    memcpy(out, text, n);
    *n_out = n;
    for (size_t i = 0; i < c->n_decode; i++) {
        const qn_decode_step *step = &c->decode[i];
        int byte = step->kind == QN_DECODE_BYTE_FALLBACK ? byte_of(out, *n_out) : -1;
        if (byte >= 0) {
            out[0] = (char)byte;
            *n_out = 1;
            return qn_ok(); /* a byte is not text */
        }
        if (step->kind == QN_DECODE_STRIP) strip(step, out, n_out);
        if (step->kind == QN_DECODE_REPLACE && !replace(step, out, n_out, room))
            return qn_fail(QN_ERR_UNSUPPORTED, "decoder: makes more than four times the text of a token");
    }
    return qn_ok();
}

/* ---- post-processor -------------------------------------------------------------------------- */

/* {"SpecialToken": {"id": ...}}: the ids it stands for. */
static qn_status template_ids(const json_t *component, const json_t *special, const json_t **ids)
{
    qn_json_text name;
    QN_TRY(qn_json_string(special, "id", &name));
    const json_t *tokens = qn_json_get(component, "special_tokens");
    QN_TRY(qn_json_array(qn_json_get(tokens, name.text), "ids", ids));
    if (!*ids || json_array_size(*ids) == 0)
        return qn_fail(QN_ERR_FORMAT, "special_tokens has no ids for '%s'", qn_show(name.text, name.n).text);
    return qn_ok();
}

static qn_status read_template(const json_t *component, qn_components *c)
{
    const json_t *list, *one;
    bool text = false;
    size_t i;
    QN_TRY(qn_json_array(component, "single", &list));
    if (!list) return qn_fail(QN_ERR_FORMAT, "single is missing");
    json_array_foreach(list, i, one)
    {
        const json_t *special = qn_json_get(one, "SpecialToken");
        if (!special && !qn_json_get(one, "Sequence"))
            return qn_fail(QN_ERR_FORMAT, "single[%zu] is neither a SpecialToken nor a Sequence", i);
        if (!special && text) return qn_fail(QN_ERR_UNSUPPORTED, "a text taken twice is not supported");
        if (!special) {
            text = true;
            continue;
        }
        if (text) return qn_fail(QN_ERR_UNSUPPORTED, "a token put behind the text is not supported");
        if (c->begin_ids) return qn_fail(QN_ERR_UNSUPPORTED, "two tokens put before the text are not supported");
        QN_TRY(template_ids(component, special, &c->begin_ids));
        if (json_array_size(c->begin_ids) != 1)
            return qn_fail(QN_ERR_UNSUPPORTED, "several tokens put before the text are not supported");
    }
    return text ? qn_ok() : qn_fail(QN_ERR_FORMAT, "single has no Sequence");
}

static qn_status add_post_processor(const json_t *component, qn_components *c, int depth)
{
    qn_json_text type;
    const json_t *list, *one;
    size_t i;
    QN_TRY(qn_json_string(component, "type", &type));
    if (qn_json_is(type, "ByteLevel")) return qn_ok(); /* offsets only */
    if (qn_json_is(type, "TemplateProcessing")) return qn_in(read_template(component, c), "TemplateProcessing");
    if (!qn_json_is(type, "Sequence"))
        return qn_fail(QN_ERR_UNSUPPORTED,
                       "the post-processor %s is not supported (TemplateProcessing, ByteLevel, Sequence are)",
                       qn_show(type.text, type.n).text);
    QN_TRY(qn_json_array(component, "processors", &list));
    if (!list) return qn_fail(QN_ERR_FORMAT, "processors is missing");
    if (depth == MAX_NESTING) return qn_fail(QN_ERR_UNSUPPORTED, "Sequences are nested too deep");
    json_array_foreach(list, i, one) QN_TRY(qn_in(add_post_processor(one, c, depth + 1), "processors[%zu]", i));
    return qn_ok();
}

qn_status qn_json_post_processor(const json_t *root, qn_components *c)
{
    const json_t *component = qn_json_get(root, "post_processor");
    return component ? qn_in(add_post_processor(component, c, 0), "post_processor") : qn_ok();
}
