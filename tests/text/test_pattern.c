/* Patterns of tokenizer.json: what they become, what they match, and what is refused. (test_tokenizer_file compares
 * the patterns of real tokenizers with what Hugging Face's tokenizers does.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/pretokenize.h"

static void patterns_are_rewritten(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a|b+?", "a|b+?"},
        {"\\d\\D", "\\p{Nd}\\P{Nd}"},
        {"\\s", "[" QN_PATTERN_SPACE "]"},
        {"[^\\s\\d]", "[^" QN_PATTERN_SPACE "\\p{Nd}]"},
        {"[\\S]", "[\\P{White_Space}]"},
        {"\\p{Lu}\\P{^N}", "\\p{Lu}\\P{^N}"},
        {"(?i:'ks|[dt])x", "(?:'[kK\u212a][sS\u017f]|[dDtT])x"},
        {"(?i)a(?-i:b)c", "[aA](?:b)[cC]"},
        {"(a(?i:b)c)", "(?:a(?:[bB])c)"},
        {"(?=a)(?!b)(?<=c)(?<!d)(?>e)", "(?=a)(?!b)(?<=c)(?<!d)(?>e)"},
        {".^$", "[^\\n](?<![^\\n])(?![^\\n])"},
        {"a{2}b{3,}c{,4}d{5,6}?", "a{2}b{3,}c{0,4}d{5,6}?"},
        {"{x}{,}", "\\{x\\}\\{,\\}"},
        {"\\x{e9}\\u00e9\\x{41}\\\\", "\u00e9\u00e9\\x41\\\\"},
        {"[a-z\\-\\]]", "[a-z\\-\\]]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out;
        qn_pretokenizer *p;
        qn_status s = qn_pattern_translate(NULL, cases[i][0], strlen(cases[i][0]), &out);
        if (s.code != QN_OK) fail_msg("%s: %s", cases[i][0], s.text);
        assert_string_equal(out, cases[i][1]);
        s = qn_pretokenizer_open(NULL, out, &p);
        if (s.code != QN_OK) fail_msg("%s: %s", cases[i][0], s.text);
        qn_pretokenizer_close(p);
        free(out);
    }
}

static void what_is_read_differently_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\\w", "byte 0: \\w"},
        {"a\\b", "byte 1: \\b"},
        {"\\h", "\\h"},
        {"\\v", "\\v"},
        {"(a)\\1", "\\1"},
        {"\\x41", "\\xHH"},
        {"\\x{110000}", "no character"},
        {"\\x{d800}", "no character"},
        {"\\u12", "hexadecimal"},
        {"\\", "a \\ at the end"},
        {"\\pL", "\\p without"},
        {"\\p{L", "\\p without"},
        {"\\p{Script=Han}", "property name"},
        {"[a[b]]", "class within"},
        {"[a&&b]", "&&"},
        {"[]a]", "begins with ]"},
        {"[a", "without end"},
        {"[\\d-z]", "range"},
        {"[a-\\d]", "range"},
        {"(?i:[a-z])", "range"},
        {"(?i:\u00e9)", "outside ASCII"},
        {"(?i:\\p{Lu})", "ignores case"},
        {"a(?i)b", "this kind of group"},
        {"(?<name>a)", "this kind of group"},
        {"(*UTF)", "this kind of group"},
        {"(?#x)", "this kind of group"},
        {"a{1,3}+", "+ behind"},
        {"a{3}?", "? behind"},
        {"a)", ") without"},
        {"(a", "( without"},
        {"\xff", "ill-formed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out;
        qn_status s = qn_pattern_translate(NULL, cases[i][0], strlen(cases[i][0]), &out);
        if (s.code != QN_ERR_UNSUPPORTED || !strstr(s.text, cases[i][1])) fail_msg("%s: '%s'", cases[i][0], s.text);
        assert_null(out);
    }
    char deep[400];
    char *out;
    memset(deep, '(', sizeof deep);
    assert_int_equal(qn_pattern_translate(NULL, deep, sizeof deep, &out).code, QN_ERR_UNSUPPORTED);
    assert_int_equal(qn_pattern_translate(NULL, deep, 5000, &out).code, QN_ERR_LIMIT); /* not read */
    assert_int_equal(qn_pattern_translate(NULL, "a\0b", 3, &out).code, QN_ERR_UNSUPPORTED);
}

static void literals_match_themselves_only(void **state)
{
    (void)state;
    static const char text[] = "\\E.*+?()[]{}^$|#/-&\n \xC3\xA9";
    char *pattern;
    qn_pretokenizer *p;
    qn_piece_scan *scan;
    size_t start, end;
    assert_int_equal(qn_pattern_literal(NULL, text, sizeof text - 1, &pattern).code, QN_OK);
    assert_int_equal(qn_pretokenizer_open(NULL, pattern, &p).code, QN_OK);
    assert_false(qn_pretokenizer_matches_empty(p));
    assert_int_equal(qn_piece_scan_open(p, &scan).code, QN_OK);
    char around[2 * sizeof text];
    int n = snprintf(around, sizeof around, "ab%sc", text);
    assert_int_equal(qn_piece_scan_start(scan, around, (size_t)n).code, QN_OK);
    const size_t ends[] = {2, sizeof text + 1, sizeof text + 2};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(qn_piece_scan_next(scan, &start, &end).code, QN_OK);
        assert_int_equal(end, ends[i]);
        assert_int_equal(qn_piece_scan_matched(scan), i == 1);
    }
    qn_piece_scan_close(scan);
    qn_pretokenizer_close(p);
    free(pattern);
    assert_int_equal(qn_pretokenizer_open(NULL, "a*", &p).code, QN_OK);
    assert_true(qn_pretokenizer_matches_empty(p));
    qn_pretokenizer_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_rewritten),
        cmocka_unit_test(what_is_read_differently_is_refused),
        cmocka_unit_test(literals_match_themselves_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
