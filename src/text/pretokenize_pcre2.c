/* pretokenize_pcre2.c - the pre-tokenizer over PCRE2: UTF, UCP, compiled to machine code where PCRE2 can. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/piece_walk.h"

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
    qn_piece_walk walk;
    const qn_pretokenizer *pretokenizer;
    pcre2_match_data *match;
    pcre2_match_context *context;
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
    qn_piece_walk_start(&scan->walk, text, n_bytes);
    if (scan->pretokenizer->limited) {
        uint64_t steps = LIMIT_STEPS + LIMIT_STEPS_PER_BYTE * (uint64_t)n_bytes;
        pcre2_set_match_limit(scan->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
        pcre2_set_heap_limit(scan->context, LIMIT_HEAP_KIB);
    }
    return qn_ok();
}

qn_status qn_piece_scan_find(qn_piece_scan *scan)
{
    qn_piece_walk *w = &scan->walk;
    const pcre2_code *code = scan->pretokenizer->code;
    pcre2_match_data *match = scan->match;
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int n = pcre2_match(code, (PCRE2_SPTR)w->text, w->n_bytes, w->at, options, match, scan->context);
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) /* the machine code's small stack ran out: the interpreter has none */
        n = pcre2_match(code, (PCRE2_SPTR)w->text, w->n_bytes, w->at, options | PCRE2_NO_JIT, match, scan->context);
    w->match_start = w->match_end = w->n_bytes;
    if (n == PCRE2_ERROR_NOMATCH) return qn_ok();
    if (n == PCRE2_ERROR_NOMEMORY) return qn_fail(QN_ERR_MEMORY, "pre-tokenizer: no memory");
    if (n < 0)
        return qn_fail(QN_ERR_LIMIT, "pre-tokenizer: PCRE2 gave up at byte %zu of the text (error %d)", w->at, n);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    w->match_start = range[0];
    w->match_end = range[1];
    return qn_ok();
}
