/* The pre-tokenizer: how text falls into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/host_memory.h"
#include "text/pretokenize.h"

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        qn_status status_ = (expr);                                                                                    \
        if (status_.code != QN_OK) fail_msg("%s", status_.text);                                                       \
    } while (0)

static qn_pretokenizer *open_llama3(const qn_allocator *a)
{
    qn_pretokenizer *p;
    assert_ok(qn_pretokenizer_open(a, qn_pattern_llama3(), &p));
    return p;
}

/* The pieces of a text, each followed by U+00A6 (not used in the cases). */
static void split(const qn_pretokenizer *p, const char *text, char *out)
{
    qn_piece_scan *scan;
    assert_ok(qn_piece_scan_open(p, &scan));
    assert_ok(qn_piece_scan_start(scan, text, strlen(text)));
    size_t start, end, last = 0;
    *out = '\0';
    for (;;) {
        assert_ok(qn_piece_scan_next(scan, &start, &end));
        assert_int_equal(start, last);
        if (start == end) break;
        strncat(out, text + start, end - start);
        strcat(out, "\u00A6");
        last = end;
    }
    assert_int_equal(last, strlen(text));
    assert_ok(qn_piece_scan_next(scan, &start, &end)); /* the end stays the end */
    assert_int_equal(start, end);
    qn_piece_scan_close(scan);
}

static void llama3_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pieces;
    } cases[] = {
        {"", ""},
        {"Once upon a time", "Once\u00A6 upon\u00A6 a\u00A6 time\u00A6"},
        {"Hello, world!", "Hello\u00A6,\u00A6 world\u00A6!\u00A6"},
        /* a letter run takes one character before it, if that is no letter, digit or line break */
        {"(see) _x \"quoted\"", "(see\u00A6)\u00A6 _\u00A6x\u00A6 \"\u00A6quoted\u00A6\"\u00A6"},
        /* contractions, in either case, and the long s */
        {"I'm you'RE it's d'x", "I\u00A6'm\u00A6 you\u00A6'RE\u00A6 it\u00A6's\u00A6 d\u00A6'x\u00A6"},
        {"o'\u017F", "o\u00A6'\u017F\u00A6"},
        {"'tis 'Lo", "'t\u00A6is\u00A6 '\u00A6Lo\u00A6"},
        /* digits in threes */
        {"12345 \u0661\u0662\u00BD\u2167", "123\u00A645\u00A6 \u00A6\u0661\u0662\u00BD\u00A6\u2167\u00A6"},
        /* marks go with line breaks; the last space of a run goes with the word */
        {"end.\n\nNext   word", "end\u00A6.\n\n\u00A6Next\u00A6  \u00A6 word\u00A6"},
        {" \n \n x", " \n \n\u00A6 x\u00A6"},
        {"tail   ", "tail\u00A6   \u00A6"},
        {"\r\n\t\tx", "\r\n\u00A6\t\u00A6\tx\u00A6"},
        /* Unicode white space is White_Space: U+0085 and U+2003 are, U+FEFF, U+180E and U+200B are not */
        {"a\u2003\u2003b", "a\u00A6\u2003\u00A6\u2003b\u00A6"},
        {"1\xC2\x85\xC2\x85"
         "1",
         "1\u00A6\xC2\x85\u00A6\xC2\x85\u00A6"
         "1\u00A6"},
        {"1\uFEFF\uFEFF1", "1\u00A6\uFEFF\uFEFF\u00A6"
                           "1\u00A6"},
        {"1\u180E\u180E1", "1\u00A6\u180E\u180E\u00A6"
                           "1\u00A6"},
        /* letters of all scripts; combining marks are none */
        {"\u4F60\u597D\uFF0C\u4E16", "\u4F60\u597D\u00A6\uFF0C\u4E16\u00A6"},
        {"e\u0301a", "e\u00A6\u0301a\u00A6"},
        {"\U0001F600\U0001F680 hi", "\U0001F600\U0001F680\u00A6 hi\u00A6"},
        {"int x[3] = {0};\n", "int\u00A6 x\u00A6[\u00A6"
                              "3\u00A6]\u00A6 =\u00A6 {\u00A6"
                              "0\u00A6};\n\u00A6"},
    };
    qn_pretokenizer *p = open_llama3(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[256];
        split(p, cases[i].text, out);
        assert_string_equal(out, cases[i].pieces);
    }
    qn_pretokenizer_close(p);
}

static void uncovered_text_is_a_piece(void **state)
{
    (void)state;
    qn_pretokenizer *p;
    assert_ok(qn_pretokenizer_open(NULL, "[0-9]+", &p));
    char out[64];
    split(p, "ab12c3", out);
    assert_string_equal(out, "ab\u00A6"
                             "12\u00A6"
                             "c\u00A6"
                             "3\u00A6");
    split(p, "12ab", out);
    assert_string_equal(out, "12\u00A6"
                             "ab\u00A6");
    qn_pretokenizer_close(p);
}

static void empty_matches_do_not_stop_the_walk(void **state)
{
    (void)state;
    qn_pretokenizer *p;
    assert_ok(qn_pretokenizer_open(NULL, "[0-9]*", &p));
    char out[64];
    split(p, "a1b", out);
    assert_string_equal(out, "a\u00A6"
                             "1\u00A6"
                             "b\u00A6");
    qn_pretokenizer_close(p);
}

static void a_broken_pattern_is_refused(void **state)
{
    (void)state;
    qn_pretokenizer *p;
    qn_status s = qn_pretokenizer_open(NULL, "a(b", &p);
    assert_int_equal(s.code, QN_ERR_ARGUMENT);
    assert_non_null(strstr(s.text, "parenthesis"));
    assert_null(p);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void nothing_is_allocated_for_a_piece(void **state)
{
    (void)state;
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    qn_pretokenizer *p = open_llama3(&a.allocator);
    qn_piece_scan *scan;
    assert_ok(qn_piece_scan_open(p, &scan));
    uint64_t before = 0;
    for (int i = 0; i < 100; i++) {
        const char text[] = "A few words, 12345 numbers   and\n\nlines.";
        size_t start, end;
        assert_ok(qn_piece_scan_start(scan, text, sizeof text - 1));
        do assert_ok(qn_piece_scan_next(scan, &start, &end));
        while (start < end);
        if (i == 0) before = a.calls; /* PCRE2's interpreter takes its memory with the first match */
    }
    assert_int_equal(a.calls, before);
    qn_piece_scan_close(scan);
    qn_pretokenizer_close(p);
}

static void memory_running_out_is_an_error(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        qn_test_allocator a;
        qn_test_allocator_init(&a);
        a.fail_at = fail_at;
        qn_pretokenizer *p;
        qn_piece_scan *scan = NULL;
        qn_status s = qn_pretokenizer_open(&a.allocator, qn_pattern_llama3(), &p);
        if (s.code == QN_OK) s = qn_piece_scan_open(p, &scan);
        qn_piece_scan_close(scan);
        qn_pretokenizer_close(p);
        if (a.calls < fail_at) {
            assert_int_equal(s.code, QN_OK);
            assert_true(fail_at > 3);
            break;
        }
        assert_true(s.code == QN_ERR_MEMORY || s.code == QN_OK); /* OK: PCRE2 went on without its machine code */
    }
}

/* Runs of 32 MiB take no stack and no quadratic time. */
static void long_runs_are_one_piece(void **state)
{
    (void)state;
    enum { N = 1 << 25 };
    char *text = malloc(N);
    assert_non_null(text);
    qn_pretokenizer *p = open_llama3(NULL);
    qn_piece_scan *scan;
    assert_ok(qn_piece_scan_open(p, &scan));
    static const char runs[] = "a =\n";
    for (const char *c = runs; *c; c++) {
        size_t start, end;
        memset(text, *c, N);
        assert_ok(qn_piece_scan_start(scan, text, N));
        assert_ok(qn_piece_scan_next(scan, &start, &end));
        assert_int_equal(end - start, N);
    }
    size_t start, end; /* the whole run is tried for a line break, and given back */
    memset(text, ' ', N);
    text[N - 1] = 'x';
    assert_ok(qn_piece_scan_start(scan, text, N));
    assert_ok(qn_piece_scan_next(scan, &start, &end));
    assert_int_equal(end - start, N - 2);
    qn_piece_scan_close(scan);
    qn_pretokenizer_close(p);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama3_pieces),
        cmocka_unit_test(uncovered_text_is_a_piece),
        cmocka_unit_test(empty_matches_do_not_stop_the_walk),
        cmocka_unit_test(a_broken_pattern_is_refused),
        cmocka_unit_test(nothing_is_allocated_for_a_piece),
        cmocka_unit_test(memory_running_out_is_an_error),
        cmocka_unit_test(long_runs_are_one_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
