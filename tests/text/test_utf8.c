/* UTF-8: what is well-formed, how ill-formed bytes are counted, and the streaming decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/random.h"
#include "text/utf8.h"

static void every_code_point_reads_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        if (code >= 0xD800 && code <= 0xDFFF) continue;
        uint8_t bytes[4];
        int n = (int)utf8proc_encode_char((utf8proc_int32_t)code, bytes);
        uint32_t read = UINT32_MAX;
        assert_int_equal(qn_utf8_read((const char *)bytes, (size_t)n, &read), n);
        assert_int_equal(read, code);
        for (int k = 1; k < n; k++) assert_int_equal(qn_utf8_read((const char *)bytes, (size_t)k, NULL), 0);
    }
}

/* Another library decides what is well-formed: all leads with all second bytes, then two continuations. */
static void agrees_with_utf8proc(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            const uint8_t bytes[4] = {(uint8_t)a, (uint8_t)b, 0x80, 0xBF};
            utf8proc_int32_t code;
            utf8proc_ssize_t n = utf8proc_iterate(bytes, 4, &code);
            int ours = qn_utf8_read((const char *)bytes, 4, NULL);
            if (n > 0)
                assert_int_equal(ours, n);
            else
                assert_true(ours < 0);
        }
    }
}

static void overlong_surrogate_and_too_large_are_refused(void **state)
{
    (void)state;
    assert_int_equal(qn_utf8_read("\xC0\x80", 2, NULL), -1);
    assert_int_equal(qn_utf8_read("\xE0\x80\x80", 3, NULL), -1);
    assert_int_equal(qn_utf8_read("\xED\xA0\x80", 3, NULL), -1); /* U+D800 */
    assert_int_equal(qn_utf8_read("\xF4\x90\x80\x80", 4, NULL), -1);
    assert_int_equal(qn_utf8_read("\xF0\x9F\x98x", 4, NULL), -3);
}

static void valid_prefix_stops_at_the_first_bad_or_cut_sequence(void **state)
{
    (void)state;
    const char text[] = "twenty ASCII letters\xC3\xA9\xFF";
    assert_int_equal(qn_utf8_valid_prefix(text, sizeof text - 1), 22);
    assert_int_equal(qn_utf8_valid_prefix(text, 21), 20);
    assert_int_equal(qn_utf8_valid_prefix(text, 0), 0);
    for (size_t at = 0; at < 20; at++) {
        char broken[20];
        memcpy(broken, text, 20);
        broken[at] = '\x80';
        assert_int_equal(qn_utf8_valid_prefix(broken, 20), at);
    }
}

/* Pushes text in two parts, cut at `cut`, and flushes. */
static size_t push_cut(const char *text, size_t n, size_t cut, char *out)
{
    qn_utf8_hold hold = {0};
    size_t written = qn_utf8_push(&hold, text, cut, out);
    written += qn_utf8_push(&hold, text + cut, n - cut, out + written);
    return written + qn_utf8_push(&hold, NULL, 0, out + written);
}

/* The Unicode Standard, table 3-11: truncated and ill-formed sequences, one U+FFFD for each maximal subpart. */
static void maximal_subparts_become_one_replacement(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\uFFFD\uFFFD\uFFFD\uFFFDA"},
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB"},
        {"caf\xC3\xA9 \xF0\x9F\x98\x80", "caf\u00E9 \U0001F600"},
        {"cut \xF0\x9F\x98", "cut \uFFFD"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].in);
        for (size_t cut = 0; cut <= n; cut++) { /* however the bytes arrive */
            char out[128];
            size_t written = push_cut(cases[i].in, n, cut, out);
            assert_int_equal(written, strlen(cases[i].out));
            assert_memory_equal(out, cases[i].out, written);
        }
    }
}

static void an_unfinished_sequence_is_held_back(void **state)
{
    (void)state;
    qn_utf8_hold hold = {0};
    char out[32];
    assert_int_equal(qn_utf8_push(&hold, "a\xF0\x9F", 3, out), 1);
    assert_int_equal(out[0], 'a');
    assert_int_equal(hold.n, 2);
    assert_int_equal(qn_utf8_push(&hold, "\x98", 1, out), 0);
    assert_int_equal(qn_utf8_push(&hold, "", 0, out), 0);
    assert_int_equal(qn_utf8_push(&hold, "\x80", 1, out), 4);
    assert_memory_equal(out, "\xF0\x9F\x98\x80", 4);
    assert_int_equal(hold.n, 0);
    assert_int_equal(qn_utf8_push(&hold, NULL, 0, out), 0);
}

/* Random bytes: any cutting gives the same text, within the promised size, and the text is well-formed. */
static void random_bytes_however_cut_give_the_same_text(void **state)
{
    (void)state;
    static const uint8_t common[] = {'a', 0x80, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0xF4, 0x9F, 0x90};
    for (uint64_t round = 0; round < 20000; round++) {
        char in[16], whole[3 * (16 + 4)], parts[3 * (16 + 4)];
        for (uint64_t i = 0; i < sizeof in; i++) {
            uint32_t r = qn_random_word(round, i);
            in[i] = (char)(r & 0x100 ? common[(r >> 16) % sizeof common] : r & 0xFF);
        }
        size_t n = push_cut(in, sizeof in, sizeof in, whole);
        assert_true(n <= sizeof whole);
        assert_int_equal(qn_utf8_valid_prefix(whole, n), n);
        qn_utf8_hold hold = {0};
        size_t m = 0;
        for (size_t i = 0; i < sizeof in; i++) m += qn_utf8_push(&hold, in + i, 1, parts + m);
        m += qn_utf8_push(&hold, NULL, 0, parts + m);
        assert_int_equal(m, n);
        assert_memory_equal(parts, whole, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_reads_back),
        cmocka_unit_test(agrees_with_utf8proc),
        cmocka_unit_test(overlong_surrogate_and_too_large_are_refused),
        cmocka_unit_test(valid_prefix_stops_at_the_first_bad_or_cut_sequence),
        cmocka_unit_test(maximal_subparts_become_one_replacement),
        cmocka_unit_test(an_unfinished_sequence_is_held_back),
        cmocka_unit_test(random_bytes_however_cut_give_the_same_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
