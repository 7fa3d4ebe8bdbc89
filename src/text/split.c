#include "text/split.h"

#include <string.h>

void qn_splitter_close(qn_splitter *splitter)
{
    for (size_t i = 0; i < splitter->n; i++) qn_pretokenizer_close(splitter->steps[i].pattern);
    *splitter = (qn_splitter){0};
}

qn_status qn_split_scan_open(const qn_splitter *splitter, qn_split_sink sink, void *user, qn_split_scan *scan)
{
    scan->splitter = splitter;
    scan->sink = sink;
    scan->user = user;
    for (size_t i = 0; i < splitter->n; i++)
        if (splitter->steps[i].pattern) QN_TRY(qn_piece_scan_open(splitter->steps[i].pattern, &scan->scans[i]));
    return qn_ok();
}

void qn_split_scan_close(qn_split_scan *scan)
{
    if (!scan->splitter) return;
    for (size_t i = 0; i < scan->splitter->n; i++) {
        qn_piece_scan_close(scan->scans[i]);
        qn_free(scan->splitter->a, scan->buffers[i]);
    }
    *scan = (qn_split_scan){0};
}

static qn_status run_steps(qn_split_scan *scan, size_t step, const char *text, size_t n, bool first);

/* A piece that may yet grow by its neighbour: text[start..end). */
typedef struct held {
    size_t start, end;
    bool any, match;
} held;

static qn_status flush(qn_split_scan *scan, size_t step, const char *text, bool first, const held *h)
{
    if (!h->any || h->start == h->end) return qn_ok();
    return run_steps(scan, step + 1, text + h->start, h->end - h->start, first && h->start == 0);
}

/* Whether a range joins the one held before it. */
static bool joins(qn_split_behaviour behaviour, const held *h, bool match, bool previous_match)
{
    if (!h->any) return false;
    if (behaviour == QN_SPLIT_CONTIGUOUS) return match == previous_match;
    if (behaviour == QN_SPLIT_WITH_PREVIOUS) return match && !previous_match;
    if (behaviour == QN_SPLIT_WITH_NEXT) return !match && h->match;
    return false;
}

static qn_status split_pattern(qn_split_scan *scan, size_t step, const char *text, size_t n, bool first)
{
    const qn_split_step *s = &scan->splitter->steps[step];
    qn_piece_scan *pieces = scan->scans[step];
    held h = {0};
    bool previous_match = false;
    QN_TRY(qn_piece_scan_start(pieces, text, n));
    for (;;) {
        size_t start, end;
        QN_TRY(qn_piece_scan_next(pieces, &start, &end));
        if (start == end) return flush(scan, step, text, first, &h);
        bool match = qn_piece_scan_matched(pieces) != s->invert;
        if (joins(s->behaviour, &h, match, previous_match)) {
            h.end = end;
            h.match = match;
        } else {
            QN_TRY(flush(scan, step, text, first, &h));
            h = (held){start, end, !(match && s->behaviour == QN_SPLIT_REMOVED), match};
        }
        previous_match = match;
    }
}

/* The text with its spaces replaced and its prefix, in the step's own buffer. */
static qn_status rewrite(qn_split_scan *scan, size_t step, const char **text, size_t *n, bool first)
{
    const qn_split_step *s = &scan->splitter->steps[step];
    size_t n_space = strlen(s->space), n_prefix = strlen(s->prefix), spaces = 0, at = 0;
    if (n_space)
        for (size_t i = 0; i < *n; i++) spaces += (*text)[i] == ' ';
    bool wanted = s->prefix_where == QN_PREFIX_ALWAYS || (s->prefix_where == QN_PREFIX_FIRST && first);
    bool has = *n >= n_prefix && memcmp(*text, s->prefix, n_prefix) == 0;
    has = has || (n_space && *n > 0 && (*text)[0] == ' ' && strcmp(s->space, s->prefix) == 0);
    if (spaces == 0 && (!wanted || has)) return qn_ok();
    size_t size = *n + spaces * n_space + n_prefix;
    QN_TRY(qn_grow(scan->splitter->a, &scan->buffers[step], &scan->capacities[step], size, 1, "text"));
    char *out = scan->buffers[step];
    if (wanted && !has) {
        memcpy(out, s->prefix, n_prefix);
        at = n_prefix;
    }
    for (size_t i = 0; i < *n; i++) {
        if (n_space && (*text)[i] == ' ') {
            memcpy(out + at, s->space, n_space);
            at += n_space;
        } else {
            out[at++] = (*text)[i];
        }
    }
    *text = out;
    *n = at;
    return qn_ok();
}

/* At most QN_SPLIT_MAX_STEPS deep. */
static qn_status run_steps(qn_split_scan *scan, size_t step, const char *text, size_t n, bool first)
{
    if (n == 0) return qn_ok();
    if (step == scan->splitter->n) return scan->sink(scan->user, text, n);
    QN_TRY(rewrite(scan, step, &text, &n, first));
    if (!scan->splitter->steps[step].pattern) return run_steps(scan, step + 1, text, n, first);
    return split_pattern(scan, step, text, n, first);
}

qn_status qn_split_run(qn_split_scan *scan, const char *text, size_t n_bytes, bool first)
{
    return run_steps(scan, 0, text, n_bytes, first);
}
