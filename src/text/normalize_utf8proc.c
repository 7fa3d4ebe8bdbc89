/* normalize_utf8proc.c - Unicode's normalization forms over utf8proc's tables.
 *
 * utf8proc_decompose itself sorts combining marks by insertion, quadratic in their number; a text may be nothing but
 * marks, so they are sorted here. */
#include "text/normalize.h"

#include <string.h>
#include <utf8proc.h>

/* The most code points that one code point decomposes to is 18 (U+FDFA). */
enum { MOST_PARTS = 24, CLASSES = 256 };

static uint8_t class_of(int32_t code)
{
    return (uint8_t)utf8proc_get_property(code)->combining_class;
}

/* Sorts marks by class, equals in their order: counting, so that any number of them is quick. */
static qn_status sort_marks(const qn_allocator *a, qn_normalize_scratch *scratch, int32_t *codes, size_t n)
{
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++) sorted = class_of(codes[i - 1]) <= class_of(codes[i]);
    if (sorted) return qn_ok();
    size_t place[CLASSES + 1] = {0};
    QN_TRY(qn_grow(a, &scratch->classes, &scratch->n_classes, n, sizeof *codes, "text"));
    int32_t *out = scratch->classes;
    for (size_t i = 0; i < n; i++) place[class_of(codes[i]) + 1]++;
    for (size_t c = 0; c < CLASSES; c++) place[c + 1] += place[c];
    for (size_t i = 0; i < n; i++) out[place[class_of(codes[i])]++] = codes[i];
    memcpy(codes, out, n * sizeof *codes);
    return qn_ok();
}

static qn_status decompose(const qn_allocator *a, qn_normalize_scratch *scratch, bool compatible, const char *text,
                           size_t n_bytes, size_t *n)
{
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    *n = 0;
    for (size_t at = 0; at < n_bytes;) {
        int32_t code, parts[MOST_PARTS];
        utf8proc_ssize_t length = utf8proc_iterate((const uint8_t *)text + at, (utf8proc_ssize_t)(n_bytes - at), &code);
        if (length <= 0) return qn_fail(QN_ERR_INTERNAL, "normalizing bytes that are not UTF-8");
        int boundary = 0;
        utf8proc_ssize_t k = utf8proc_decompose_char(code, parts, MOST_PARTS, options, &boundary);
        if (k < 0 || k > MOST_PARTS) return qn_fail(QN_ERR_INTERNAL, "U+%04X cannot be decomposed", (unsigned)code);
        QN_TRY(qn_grow(a, &scratch->codes, &scratch->n_codes, *n + (size_t)k, sizeof *parts, "text"));
        memcpy((int32_t *)scratch->codes + *n, parts, (size_t)k * sizeof *parts);
        *n += (size_t)k;
        at += (size_t)length;
    }
    int32_t *codes = scratch->codes;
    for (size_t start = 0; start < *n;) {
        size_t end = start + 1;
        if (class_of(codes[start]) != 0)
            while (end < *n && class_of(codes[end]) != 0) end++;
        QN_TRY(sort_marks(a, scratch, codes + start, end - start));
        start = end;
    }
    return qn_ok();
}

qn_status qn_normalize_form(const qn_allocator *a, qn_normalize_kind form, qn_normalize_scratch *scratch, size_t to,
                            const char *text, size_t n_bytes, size_t *n_out)
{
    size_t n;
    bool compose = form == QN_NORMALIZE_NFC || form == QN_NORMALIZE_NFKC;
    QN_TRY(decompose(a, scratch, form == QN_NORMALIZE_NFKC || form == QN_NORMALIZE_NFKD, text, n_bytes, &n));
    int32_t *codes = scratch->codes;
    if (compose) {
        utf8proc_ssize_t k = utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (k < 0) return qn_fail(QN_ERR_INTERNAL, "normalizing: %s", utf8proc_errmsg(k));
        n = (size_t)k;
    }
    QN_TRY(qn_grow(a, &scratch->text[to], &scratch->capacity[to], 4 * n, 1, "text"));
    uint8_t *out = scratch->text[to];
    *n_out = 0;
    for (size_t i = 0; i < n; i++) *n_out += (size_t)utf8proc_encode_char(codes[i], out + *n_out);
    return qn_ok();
}
