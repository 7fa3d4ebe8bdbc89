#include "text/normalize.h"

#include <string.h>

void qn_normalizer_close(qn_normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->n; i++) qn_pretokenizer_close(normalizer->steps[i].pattern);
    *normalizer = (qn_normalizer){0};
}

void qn_normalize_scratch_free(const qn_normalizer *normalizer, qn_normalize_scratch *scratch)
{
    qn_free(normalizer->a, scratch->text[0]);
    qn_free(normalizer->a, scratch->text[1]);
    qn_free(normalizer->a, scratch->codes);
    qn_free(normalizer->a, scratch->classes);
    *scratch = (qn_normalize_scratch){0};
}

/* A text that is being written into scratch->text[to]. */
typedef struct writer {
    const qn_allocator *a;
    qn_normalize_scratch *scratch;
    size_t to, n, limit;
} writer;

static qn_status put(writer *w, const char *text, size_t n)
{
    if (n > w->limit - w->n) return qn_fail(QN_ERR_LIMIT, "the normalizer makes more than 16 times the text");
    QN_TRY(qn_grow(w->a, &w->scratch->text[w->to], &w->scratch->capacity[w->to], w->n + n, 1, "text"));
    if (n > 0) memcpy((char *)w->scratch->text[w->to] + w->n, text, n);
    w->n += n;
    return qn_ok();
}

static qn_status replace(const qn_normalize_step *step, writer *w, const char *text, size_t n)
{
    qn_piece_scan *scan;
    QN_TRY(qn_piece_scan_open(step->pattern, &scan));
    qn_status s = qn_piece_scan_start(scan, text, n);
    while (s.code == QN_OK) {
        size_t start = 0, end = 0;
        s = qn_piece_scan_next(scan, &start, &end);
        if (s.code != QN_OK || start == end) break;
        bool match = qn_piece_scan_matched(scan);
        s = put(w, match ? step->text : text + start, match ? step->n_text : end - start);
    }
    qn_piece_scan_close(scan);
    return s;
}

static bool is_ascii(const char *text, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) any |= (uint8_t)text[i];
    return any < 0x80;
}

static qn_status run_step(const qn_normalize_step *step, writer *w, const char *text, size_t n)
{
    switch (step->kind) {
    case QN_NORMALIZE_PREPEND: {
        qn_status s = put(w, step->text, step->n_text);
        return s.code == QN_OK ? put(w, text, n) : s;
    }
    case QN_NORMALIZE_REPLACE:
        return replace(step, w, text, n);
    default:
        break;
    }
#if QN_WITH_UTF8PROC
    QN_TRY(qn_normalize_form(w->a, step->kind, w->scratch, w->to, text, n, &w->n));
    return w->n <= w->limit ? qn_ok() : qn_fail(QN_ERR_LIMIT, "the normalizer makes more than 16 times the text");
#else
    return qn_fail(QN_ERR_UNSUPPORTED, "this build has no Unicode normalization");
#endif
}

qn_status qn_normalize(const qn_normalizer *normalizer, qn_normalize_scratch *scratch, const char *text, size_t n_bytes,
                       const char **out, size_t *n_out)
{
    size_t most = INT32_MAX; /* positions are 32 bits wide */
    writer w = {normalizer->a, scratch, 0, 0, n_bytes < (most - 256) / 16 ? 16 * n_bytes + 256 : most};
    for (size_t i = 0; i < normalizer->n && n_bytes > 0; i++) {
        const qn_normalize_step *step = &normalizer->steps[i];
        if (step->kind <= QN_NORMALIZE_NFKD && is_ascii(text, n_bytes)) continue; /* which is in every form */
        w.n = 0;
        QN_TRY(run_step(step, &w, text, n_bytes));
        text = scratch->text[w.to];
        n_bytes = w.n;
        w.to = 1 - w.to;
    }
    *out = text;
    *n_out = n_bytes;
    return qn_ok();
}
