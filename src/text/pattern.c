/* pattern.c - regular expressions of tokenizer.json (Oniguruma, Ruby syntax) put into the subset that our engines
 * read alike. What the two would read differently is rewritten or refused, never passed on.
 *
 * Source: doc/RE and doc/SYNTAX.md of Oniguruma; pcre2pattern(3). */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "text/pretokenize.h"
#include "text/utf8.h"

enum { MAX_PATTERN = 4096, MAX_DEPTH = 100 };

typedef struct translation {
    const char *in;
    size_t n, at; /* of `in` */
    qn_text out;
    bool any_case[MAX_DEPTH + 1]; /* (?i: ...), by depth of groups */
    size_t depth;
    bool after_class; /* within [...]: the item before is a class such as \s */
} translation;

static qn_status put(translation *t, const char *text, size_t n)
{
    qn_text_put(&t->out, text, n);
    return t->out.status;
}

static qn_status put_text(translation *t, const char *text)
{
    return put(t, text, strlen(text));
}

/* The whole translation, or what went wrong. */
static qn_status finish(translation *t, qn_status s, char **out)
{
    if (s.code == QN_OK) return qn_text_take(&t->out, out);
    qn_free(t->out.allocator, t->out.data);
    return s;
}

static qn_status refuse(const translation *t, const char *what)
{
    return qn_fail(QN_ERR_UNSUPPORTED, "pattern, byte %zu: %s is not supported", t->at, what);
}

static bool begins(const translation *t, size_t at, const char *text)
{
    size_t n = strlen(text);
    return t->n - at >= n && memcmp(t->in + at, text, n) == 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A code point as itself; one of ASCII by number, since it may be special. */
static qn_status put_code(translation *t, uint32_t code)
{
    char s[8];
    if (code < 0x80) {
        snprintf(s, sizeof s, "\\x%02x", code);
        return put_text(t, s);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return refuse(t, "a number that is no character");
    if (code < 0x800) {
        s[0] = (char)(0xC0 | code >> 6);
        s[1] = (char)(0x80 | (code & 0x3F));
        return put(t, s, 2);
    }
    if (code < 0x10000) {
        s[0] = (char)(0xE0 | code >> 12);
        s[1] = (char)(0x80 | (code >> 6 & 0x3F));
        s[2] = (char)(0x80 | (code & 0x3F));
        return put(t, s, 3);
    }
    s[0] = (char)(0xF0 | code >> 18);
    s[1] = (char)(0x80 | (code >> 12 & 0x3F));
    s[2] = (char)(0x80 | (code >> 6 & 0x3F));
    s[3] = (char)(0x80 | (code & 0x3F));
    return put(t, s, 4);
}

/* \uHHHH, \x{H...}: `at` stands behind the letter. */
static qn_status number(translation *t, char letter)
{
    bool braces = letter == 'x' && t->at < t->n && t->in[t->at] == '{';
    if (letter == 'x' && !braces) return refuse(t, "\\xHH");
    size_t digits = 0;
    uint32_t code = 0;
    for (t->at += braces; t->at < t->n && digits < 6; t->at++, digits++) {
        char c = t->in[t->at];
        int value = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (value < 0 || (!braces && digits == 4)) break;
        code = code << 4 | (uint32_t)value;
    }
    if (braces ? digits == 0 || t->at >= t->n || t->in[t->at] != '}' : digits != 4)
        return refuse(t, "such a hexadecimal number");
    t->at += braces;
    return put_code(t, code);
}

/* \p{Name}: `at` stands behind the letter. */
static qn_status property(translation *t, char letter)
{
    const char *begin = t->in + t->at, *end = t->at < t->n ? memchr(begin, '}', t->n - t->at) : NULL;
    if (!end || *begin != '{' || end - begin > 40) return refuse(t, "\\p without {Name}");
    size_t n = (size_t)(end - begin) + 1;
    for (size_t i = 1; i + 1 < n; i++)
        if (!is_letter(begin[i]) && begin[i] != '_' && begin[i] != '^') return refuse(t, "such a property name");
    if (t->any_case[t->depth] && !(n == 3 && (begin[1] == 'L' || begin[1] == 'N')))
        return refuse(t, "\\p{...} in a group that ignores case");
    char start[] = {'\\', letter};
    QN_TRY(put(t, start, 2));
    QN_TRY(put(t, begin, n));
    t->at += n;
    return qn_ok();
}

static qn_status literal(translation *t, bool in_class);

static qn_status escape(translation *t, bool in_class)
{
    if (t->at + 1 >= t->n) return refuse(t, "a \\ at the end");
    char c = t->in[t->at + 1];
    char shown[] = {'\\', c, '\0'};
    bool after_class = strchr("pPdDsS", c) != NULL;
    if (is_letter(c) || is_digit(c)) {
        t->at += 2;
        t->after_class = in_class && after_class;
    }
    switch (c) {
    case 'p':
    case 'P':
        return property(t, c);
    case 'd':
        return put_text(t, "\\p{Nd}");
    case 'D':
        return put_text(t, "\\P{Nd}");
    case 's':
        return put_text(t, in_class ? QN_PATTERN_SPACE : "[" QN_PATTERN_SPACE "]");
    case 'S':
        return put_text(t, in_class ? "\\P{White_Space}" : "[^" QN_PATTERN_SPACE "]");
    case 'r':
    case 'n':
    case 't':
    case 'f':
        return put_text(t, shown);
    case 'x':
    case 'u':
        return number(t, c);
    default:
        break;
    }
    if (is_letter(c) || is_digit(c)) {
        t->at -= 2;
        return refuse(t, shown);
    }
    t->at++;
    if ((uint8_t)c >= 0x80) return literal(t, in_class);
    t->at++;
    t->after_class = false;
    if ((uint8_t)c < 0x20) return put_code(t, (uint8_t)c);
    return put_text(t, shown);
}

/* One character that stands for itself; in a group that ignores case also its other forms. */
static qn_status literal(translation *t, bool in_class)
{
    char c = t->in[t->at];
    int length = qn_utf8_read(t->in + t->at, t->n - t->at, NULL);
    if (length <= 0) return refuse(t, "ill-formed UTF-8");
    if (c == '\0') return refuse(t, "a zero byte");
    t->after_class = false;
    if (!t->any_case[t->depth] || !(is_letter(c) || length > 1)) {
        QN_TRY(put(t, t->in + t->at, (size_t)length));
        t->at += (size_t)length;
        return qn_ok();
    }
    if (length > 1) return refuse(t, "a letter outside ASCII in a group that ignores case");
    if (in_class && t->at + 1 < t->n && t->in[t->at + 1] == '-') return refuse(t, "a range that ignores case");
    char both[] = {c, (char)(c ^ 0x20)};
    if (!in_class) QN_TRY(put_text(t, "["));
    QN_TRY(put(t, both, 2));
    if (c == 's' || c == 'S') QN_TRY(put_text(t, "\u017f")); /* long s */
    if (c == 'k' || c == 'K') QN_TRY(put_text(t, "\u212a")); /* Kelvin sign */
    if (!in_class) QN_TRY(put_text(t, "]"));
    t->at++;
    return qn_ok();
}

/* [...]: `at` stands on the bracket. */
static qn_status class(translation *t)
{
    QN_TRY(put_text(t, "["));
    t->at++;
    t->after_class = false;
    if (begins(t, t->at, "^")) {
        QN_TRY(put_text(t, "^"));
        t->at++;
    }
    if (begins(t, t->at, "]")) return refuse(t, "a class that begins with ]");
    while (t->at < t->n && t->in[t->at] != ']') {
        char c = t->in[t->at];
        if (c == '[') return refuse(t, "a class within a class");
        if (begins(t, t->at, "&&")) return refuse(t, "&& in a class");
        if (c == '-' && !begins(t, t->at + 1, "]")) {
            bool to_class = t->at + 2 < t->n && t->in[t->at + 1] == '\\' && strchr("pPdDsS", t->in[t->at + 2]);
            if (t->after_class || to_class) return refuse(t, "a range from or to a class");
        }
        QN_TRY(c == '\\' ? escape(t, true) : literal(t, true));
    }
    if (t->at >= t->n) return refuse(t, "a class without end");
    t->at++;
    return put_text(t, "]");
}

/* (...: `at` stands on the parenthesis. Nothing refers to groups, so none captures. */
static qn_status group(translation *t)
{
    static const struct {
        const char *in, *out;
        int any_case; /* -1: as outside */
    } kinds[] = {{"(?:", "(?:", -1},   {"(?=", "(?=", -1}, {"(?!", "(?!", -1}, {"(?<=", "(?<=", -1},
                 {"(?<!", "(?<!", -1}, {"(?>", "(?>", -1}, {"(?i:", "(?:", 1}, {"(?-i:", "(?:", 0}};
    if (t->depth == MAX_DEPTH) return refuse(t, "so deep a nesting of groups");
    bool outside = t->any_case[t->depth];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!begins(t, t->at, kinds[i].in)) continue;
        t->at += strlen(kinds[i].in);
        t->any_case[++t->depth] = kinds[i].any_case < 0 ? outside : kinds[i].any_case;
        return put_text(t, kinds[i].out);
    }
    if (begins(t, t->at, "(?i)") && t->at == 0) {
        t->any_case[0] = true;
        t->at += 4;
        return qn_ok();
    }
    if (begins(t, t->at, "(?") || begins(t, t->at, "(*")) return refuse(t, "this kind of group");
    t->any_case[++t->depth] = outside;
    t->at++;
    return put_text(t, "(?:");
}

/* {n}, {n,}, {n,m}, {,m}; anything else is a brace. */
static qn_status interval(translation *t)
{
    size_t at = t->at + 1, first = at;
    while (at < t->n && is_digit(t->in[at])) at++;
    size_t n_first = at - first, n_second = 0;
    bool comma = begins(t, at, ",");
    if (comma)
        for (at++; at < t->n && is_digit(t->in[at]); at++) n_second++;
    if (!begins(t, at, "}") || n_first + n_second == 0) {
        t->at++;
        return put_text(t, "\\{");
    }
    at++;
    if (begins(t, at, "+")) return refuse(t, "+ behind {...}"); /* possessive to one, another repeat to the other */
    if (!comma && begins(t, at, "?")) return refuse(t, "? behind {n}");
    QN_TRY(put_text(t, n_first ? "{" : "{0"));
    QN_TRY(put(t, t->in + first, at - first));
    t->at = at;
    return qn_ok();
}

static qn_status item(translation *t)
{
    char c = t->in[t->at];
    switch (c) {
    case '\\':
        return escape(t, false);
    case '[':
        return class(t);
    case '(':
        return group(t);
    case '{':
        return interval(t);
    case ')':
        if (t->depth == 0) return refuse(t, "a ) without its (");
        t->depth--;
        break;
    case '.':
        t->at++;
        return put_text(t, "[^\\n]");
    case '^':
        t->at++;
        return put_text(t, "(?<![^\\n])"); /* lines, always */
    case '$':
        t->at++;
        return put_text(t, "(?![^\\n])");
    case ']':
    case '}':
        t->at++;
        return put(t, c == ']' ? "\\]" : "\\}", 2);
    default:
        break;
    }
    return literal(t, false);
}

qn_status qn_pattern_translate(const qn_allocator *a, const char *pattern, size_t n_bytes, char **out)
{
    *out = NULL;
    if (n_bytes > MAX_PATTERN)
        return qn_fail(QN_ERR_LIMIT, "a pattern of %zu bytes is too long (%d)", n_bytes, MAX_PATTERN);
    translation t = {.out = {.allocator = a}, .in = pattern, .n = n_bytes};
    qn_status s = put(&t, "", 0);
    while (s.code == QN_OK && t.at < t.n) s = item(&t);
    if (s.code == QN_OK && t.depth > 0) s = refuse(&t, "a ( without its )");
    return finish(&t, s, out);
}

qn_status qn_pattern_literal(const qn_allocator *a, const char *text, size_t n_bytes, char **out)
{
    *out = NULL;
    if (n_bytes > MAX_PATTERN)
        return qn_fail(QN_ERR_LIMIT, "a text of %zu bytes is too long to look for (%d)", n_bytes, MAX_PATTERN);
    translation t = {.out = {.allocator = a}, .in = text, .n = n_bytes};
    qn_status s = put(&t, "", 0);
    while (s.code == QN_OK && t.at < t.n) {
        char c = t.in[t.at];
        if ((uint8_t)c < 0x80 && !is_letter(c) && !is_digit(c)) {
            s = put_code(&t, (uint8_t)c);
            t.at++;
        } else {
            s = literal(&t, false);
        }
    }
    return finish(&t, s, out);
}
