/* What is known of kernel rows: choices, tests, their text, and plans that follow them. */
#include "support/op_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/choice.h"

static const char head[] = "quern kernels\nadapter test\n";

static qn_choices known(void)
{
    qn_choices c = {.allocator = NULL};
    qn_assert_ok(qn_choices_set(&c, 7, "linear 2x2 q4", qn_row_find("linear.gemv")));
    qn_assert_ok(qn_choices_set(&c, UINT64_MAX, "", qn_row_find("linear.any")));
    qn_assert_ok(qn_choices_set(&c, 7, "linear 2x2 q4", qn_row_find("linear.few")));
    qn_assert_ok(qn_choices_set_test(&c, qn_row_find("linear.gemv"), true));
    qn_assert_ok(qn_choices_set_test(&c, qn_row_find("linear.gemm"), false));
    return c;
}

static void assert_known(const qn_choices *c)
{
    assert_int_equal(c->n_chosen, 2);
    assert_string_equal(qn_choices_find(c, 7)->name, "linear.few");
    assert_string_equal(qn_choices_find(c, UINT64_MAX)->name, "linear.any");
    assert_null(qn_choices_find(c, 8));
    assert_true(qn_choices_wrong(c, qn_row_find("linear.gemv")));
    assert_false(qn_choices_wrong(c, qn_row_find("linear.gemm")));
    assert_false(qn_choices_wrong(c, qn_row_find("linear.any")));
    assert_non_null(qn_choices_test(c, qn_row_find("linear.gemm")));
    assert_null(qn_choices_test(c, qn_row_find("linear.any")));
}

static void choices_are_kept_and_forgotten(void **state)
{
    (void)state;
    qn_choices c = known(), copy;
    assert_known(&c);
    qn_assert_ok(qn_choices_copy(&c, NULL, &copy));
    qn_assert_ok(qn_choices_set(&c, 7, "", NULL));
    qn_assert_ok(qn_choices_set(&c, 7, "", NULL));
    qn_assert_ok(qn_choices_set_test(&c, qn_row_find("linear.gemv"), false));
    assert_null(qn_choices_find(&c, 7));
    assert_false(qn_choices_wrong(&c, qn_row_find("linear.gemv")));
    assert_known(&copy);
    qn_choices_free(&c);
    qn_choices_free(&copy);
}

/* Every text that is cut short, has a byte changed, or is for something else adds nothing. */
static void damaged_text_adds_nothing(void **state)
{
    (void)state;
    qn_choices c = known(), read = {.allocator = NULL};
    char *text;
    qn_assert_ok(qn_choices_write(&c, head, &text));
    size_t n = strlen(text);
    assert_true(qn_choices_read(&read, head, text, n));
    assert_known(&read);
    qn_choices_free(&read);
    for (size_t cut = 0; cut < n; cut++) assert_false(qn_choices_read(&read, head, text, cut));
    assert_false(qn_choices_read(&read, "quern kernels\nadapter other\n", text, n));
    static const char *const bad[] = {"end 1\n",
                                      "right linear.none\nend 1\n",
                                      "left linear.any\nend 1\n",
                                      "choose zz linear.any x\nend 1\n",
                                      "choose 12 linear.none x\nend 1\n",
                                      "right linear.any\nend 1\nmore",
                                      "\nend 1\n"};
    char line[400];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(line, sizeof line, "%s%s", head, bad[i]);
        assert_false(qn_choices_read(&read, head, line, strlen(line)));
    }
    memset(line, 'x', sizeof line);
    memcpy(line, head, sizeof head - 1);
    line[sizeof line - 1] = '\n';
    assert_false(qn_choices_read(&read, head, line, sizeof line));
    assert_int_equal(read.n_chosen + read.n_tests, 0);
    /* Random damage: whatever is read, nothing is read out of bounds (the sanitizers watch). */
    for (uint64_t i = 0; i < 2000; i++) {
        char *copy = malloc(n);
        memcpy(copy, text, n);
        copy[qn_test_random(1, i) % n] = (char)qn_test_random(2, i);
        qn_choices_read(&read, head, copy, n);
        qn_choices_free(&read);
        free(copy);
    }
    qn_free(NULL, text);
    qn_choices_free(&c);
}

static void rows_have_classes(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 2, 8, 9, 64, 65, UINT32_MAX}, classes[] = {0, 1, 1, 2, 2, 3, 3};
    for (int i = 0; i < 7; i++) assert_int_equal(qn_row_class_of(rows[i]), classes[i]);
    for (uint32_t c = 0; c < QN_ROW_CLASSES; c++) assert_int_equal(qn_row_class_of(qn_row_class_first(c)), c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_are_kept_and_forgotten),
        cmocka_unit_test(damaged_text_adds_nothing),
        cmocka_unit_test(rows_have_classes),
    };
    return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
