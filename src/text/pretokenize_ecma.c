/* pretokenize_ecma.c - the pre-tokenizer over the regular expressions of JavaScript. A text is matched in one call,
 * since a call out of the module for each piece would cost more than the matching. */
#include "base/web.h"
#include "text/piece_walk.h"

#include <string.h>

struct qn_pretokenizer {
    const qn_allocator *a;
    uint32_t regex;
};

struct qn_piece_scan {
    qn_piece_walk walk;
    const qn_pretokenizer *pretokenizer;
    uint32_t *spans; /* start and end of every match, of malloc */
    uint32_t n_spans, next;
};

qn_status qn_pretokenizer_open(const qn_allocator *a, const char *pattern, qn_pretokenizer **pretokenizer)
{
    *pretokenizer = NULL;
    void *memory;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_pretokenizer), "pre-tokenizer", &memory));
    qn_pretokenizer *p = memory;
    p->a = a;
    p->regex = qn_web_regex_open(pattern, (uint32_t)strlen(pattern));
    if (p->regex == 0) {
        qn_free(a, p);
        return qn_fail(QN_ERR_ARGUMENT, "pre-tokenizer: JavaScript refuses the pattern");
    }
    *pretokenizer = p;
    return qn_ok();
}

void qn_pretokenizer_close(qn_pretokenizer *pretokenizer)
{
    if (!pretokenizer) return;
    qn_web_regex_close(pretokenizer->regex);
    qn_free(pretokenizer->a, pretokenizer);
}

void qn_pretokenizer_limit(qn_pretokenizer *pretokenizer)
{
    (void)pretokenizer; /* the engine has no such limit; patterns out of files are read by tokenizer_json.c only */
}

bool qn_pretokenizer_matches_empty(const qn_pretokenizer *pretokenizer)
{
    uint32_t *spans = NULL;
    bool may = qn_web_regex_scan(pretokenizer->regex, "", 0, &spans) != 0;
    qn_free(NULL, spans);
    return may;
}

qn_status qn_piece_scan_open(const qn_pretokenizer *pretokenizer, qn_piece_scan **scan)
{
    *scan = NULL;
    void *memory;
    QN_TRY(qn_alloc(pretokenizer->a, 1, sizeof(qn_piece_scan), "pre-tokenizer", &memory));
    *scan = memory;
    (*scan)->pretokenizer = pretokenizer;
    return qn_ok();
}

static void drop_spans(qn_piece_scan *scan)
{
    qn_free(NULL, scan->spans);
    scan->spans = NULL;
    scan->n_spans = scan->next = 0;
}

void qn_piece_scan_close(qn_piece_scan *scan)
{
    if (!scan) return;
    drop_spans(scan);
    qn_free(scan->pretokenizer->a, scan);
}

qn_status qn_piece_scan_start(qn_piece_scan *scan, const char *text, size_t n_bytes)
{
    qn_piece_walk_start(&scan->walk, text, n_bytes);
    drop_spans(scan);
    if (n_bytes) scan->n_spans = qn_web_regex_scan(scan->pretokenizer->regex, text, (uint32_t)n_bytes, &scan->spans);
    if (scan->n_spans == 0 || scan->spans) return qn_ok();
    scan->n_spans = 0;
    return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory for the pieces of %zu bytes", n_bytes);
}

qn_status qn_piece_scan_find(qn_piece_scan *scan)
{
    qn_piece_walk *w = &scan->walk;
    w->match_start = w->match_end = w->n_bytes;
    while (scan->next < scan->n_spans) {
        const uint32_t *span = scan->spans + 2 * (size_t)scan->next++;
        if (span[0] >= span[1] || span[0] < w->at || span[1] > w->n_bytes) continue; /* empty */
        w->match_start = span[0];
        w->match_end = span[1];
        return qn_ok();
    }
    return qn_ok();
}
