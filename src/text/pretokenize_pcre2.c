/* pretokenize_pcre2.c - the pre-tokenizer over PCRE2: UTF, UCP, compiled to machine code where PCRE2 can. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenize.h"

#include <pcre2.h>

/* Of patterns out of files, for one match. */
enum { LIMIT_STEPS = 100000, LIMIT_STEPS_PER_BYTE = 64, LIMIT_HEAP_KIB = 1 << 20 };

struct qn_pretokenizer {
    const qn_allocator *a;
    pcre2_general_context *memory;
    pcre2_code *code; /* read-only after compilation: PCRE2 lets threads share it */
    bool limited;
};

struct qn_piece_scan {
    const qn_pretokenizer *pretokenizer;
    pcre2_match_data *match;
    pcre2_match_context *context;
    const char *text;
    size_t n_bytes, at;
    size_t match_start, match_end; /* a match found past `at`, returned after the uncovered text before it */
    bool matched;                  /* the piece returned last is a match */
};

static void *pcre2_take(size_t size, void *user)
{
    const qn_allocator *a = qn_allocator_or_default(((const qn_pretokenizer *)user)->a);
    return a->resize(a->user, NULL, size ? size : 1);
}

static void pcre2_give(void *ptr, void *user)
{
    qn_free(((const qn_pretokenizer *)user)->a, ptr);
}

static qn_status compile(qn_pretokenizer *p, const char *pattern)
{
    p->memory = pcre2_general_context_create(pcre2_take, pcre2_give, p);
    if (!p->memory) return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    pcre2_compile_context *context = pcre2_compile_context_create(p->memory);
    if (!context) return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    int error = 0;
    PCRE2_SIZE where = 0;
    p->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &where, context);
    pcre2_compile_context_free(context);
    if (!p->code && error == PCRE2_ERROR_HEAP_FAILED) return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    if (!p->code) {
        PCRE2_UCHAR text[160] = {0};
        pcre2_get_error_message(error, text, sizeof text);
        return qn_fail(QN_ERR_ARGUMENT, "pre-tokenizer: pattern, byte %zu: %s", (size_t)where, (const char *)text);
    }
    /* Where machine code cannot be made (no JIT in this PCRE2, or executable memory is forbidden) pcre2_match
     * interprets the pattern: slower, the same pieces. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return qn_ok();
}

qn_status qn_pretokenizer_open(const qn_allocator *a, const char *pattern, qn_pretokenizer **pretokenizer)
{
    *pretokenizer = NULL;
    void *memory;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_pretokenizer), "pre-tokenizer", &memory));
    qn_pretokenizer *p = memory;
    p->a = a;
    qn_status s = compile(p, pattern);
    if (s.code != QN_OK) {
        qn_pretokenizer_close(p);
        return s;
    }
    *pretokenizer = p;
    return s;
}

void qn_pretokenizer_close(qn_pretokenizer *pretokenizer)
{
    if (!pretokenizer) return;
    pcre2_code_free(pretokenizer->code);
    pcre2_general_context_free(pretokenizer->memory);
    qn_free(pretokenizer->a, pretokenizer);
}

void qn_pretokenizer_limit(qn_pretokenizer *pretokenizer)
{
    pretokenizer->limited = true;
}

bool qn_pretokenizer_matches_empty(const qn_pretokenizer *pretokenizer)
{
    uint32_t may = 0;
    (void)pcre2_pattern_info(pretokenizer->code, PCRE2_INFO_MATCHEMPTY, &may);
    return may != 0;
}

qn_status qn_piece_scan_open(const qn_pretokenizer *pretokenizer, qn_piece_scan **scan)
{
    *scan = NULL;
    void *memory;
    QN_TRY(qn_alloc(pretokenizer->a, 1, sizeof(qn_piece_scan), "pre-tokenizer", &memory));
    qn_piece_scan *s = memory;
    s->pretokenizer = pretokenizer;
    s->match = pcre2_match_data_create(1, pretokenizer->memory);
    s->context = pcre2_match_context_create(pretokenizer->memory);
    if (!s->match || !s->context) {
        qn_piece_scan_close(s);
        return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    }
    /* The default stops a match after ten million steps, which megabytes of spaces take. Our patterns need a number
     * of steps linear in the text. */
    pcre2_set_match_limit(s->context, UINT32_MAX);
    *scan = s;
    return qn_ok();
}

void qn_piece_scan_close(qn_piece_scan *scan)
{
    if (!scan) return;
    pcre2_match_data_free(scan->match);
    pcre2_match_context_free(scan->context);
    qn_free(scan->pretokenizer->a, scan);
}

qn_status qn_piece_scan_start(qn_piece_scan *scan, const char *text, size_t n_bytes)
{
    scan->text = text;
    scan->n_bytes = n_bytes;
    scan->at = scan->match_start = scan->match_end = 0;
    scan->matched = false;
    if (scan->pretokenizer->limited) {
        uint64_t steps = LIMIT_STEPS + LIMIT_STEPS_PER_BYTE * (uint64_t)n_bytes;
        pcre2_set_match_limit(scan->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
        pcre2_set_heap_limit(scan->context, LIMIT_HEAP_KIB);
    }
    return qn_ok();
}

/* Sets match_start and match_end to the next match that is not empty, both to n_bytes when there is none. */
static qn_status find(qn_piece_scan *s)
{
    const pcre2_code *code = s->pretokenizer->code;
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int n = pcre2_match(code, (PCRE2_SPTR)s->text, s->n_bytes, s->at, options, s->match, s->context);
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) /* the machine code's small stack ran out: the interpreter has none */
        n = pcre2_match(code, (PCRE2_SPTR)s->text, s->n_bytes, s->at, options | PCRE2_NO_JIT, s->match, s->context);
    s->match_start = s->match_end = s->n_bytes;
    if (n == PCRE2_ERROR_NOMATCH) return qn_ok();
    if (n == PCRE2_ERROR_NOMEMORY) return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    if (n < 0)
        return qn_fail(QN_ERR_LIMIT, "pre-tokenizer: PCRE2 gave up at byte %zu of the text (error %d)", s->at, n);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(s->match);
    s->match_start = range[0];
    s->match_end = range[1];
    return qn_ok();
}

qn_status qn_piece_scan_next(qn_piece_scan *scan, size_t *start, size_t *end)
{
    *start = *end = scan->at;
    if (scan->at == scan->n_bytes) return qn_ok();
    if (scan->match_end <= scan->at) QN_TRY(find(scan));
    scan->matched = scan->at == scan->match_start;
    *end = scan->matched ? scan->match_end : scan->match_start;
    scan->at = *end;
    return qn_ok();
}

bool qn_piece_scan_matched(const qn_piece_scan *scan)
{
    return scan->matched;
}
