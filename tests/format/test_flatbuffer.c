/* The FlatBuffers cursor: what it reads, and that it believes nothing. */
#include "format/flatbuffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/fb_builder.h"

/* ---- help ------------------------------------------------------------------------------------------------ */

/* Reads a copy of exactly the buffer's size, so that the sanitizer sees a read past its end. */
typedef struct fixture {
    uint8_t *copy;
    qn_fb fb;
    qn_fb_table root;
} fixture;

static fixture open_bytes(const uint8_t *data, size_t size)
{
    fixture f = {.copy = malloc(size ? size : 1)};
    if (size) memcpy(f.copy, data, size);
    qn_fb_open(&f.fb, (qn_bytes){f.copy, size}, 1000000, "TEST");
    return f;
}

/* Tables keep a pointer to the reader: it must not move once the root is read. */
static void open_built(fixture *f, qn_fbb *b)
{
    *f = open_bytes(b->data, b->size);
    f->root = qn_fb_root(&f->fb);
    qn_fbb_free(b);
}

static void expect_ok(fixture *f)
{
    if (f->fb.status.code != QN_OK) fail_msg("%s", f->fb.status.text);
    free(f->copy);
}

/* The reader has failed; the message has the text. */
static void expect_failed(fixture *f, const char *text)
{
    assert_int_equal(f->fb.status.code, QN_ERR_FORMAT);
    if (!strstr(f->fb.status.text, text)) fail_msg("no \"%s\" in: %s", text, f->fb.status.text);
    if (strncmp(f->fb.status.text, "byte 100", 8) != 0) fail_msg("no byte of the file in: %s", f->fb.status.text);
    free(f->copy);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void test_scalars(void **state)
{
    (void)state;
    qn_fbb b = qn_fbb_new("TEST", 0);
    qn_fbb_table(&b, 0,
                 QN_FIELDS({4, 1, 200}, {6, 1, 0xFF}, {8, 4, 4000000000u}, {10, 4, 0xFFFFFFFEu},
                           {12, 8, UINT64_MAX - 1}, {14, 8, (uint64_t)-5}, {16, 8, 0x3FF8000000000000u}));
    fixture f;
    open_built(&f, &b);
    assert_int_equal(qn_fb_u8(&f.root, 4, 0), 200);
    assert_int_equal(qn_fb_i8(&f.root, 6, 0), -1);
    assert_true(qn_fb_u32(&f.root, 8, 0) == 4000000000u);
    assert_int_equal(qn_fb_i32(&f.root, 10, 0), -2);
    assert_true(qn_fb_u64(&f.root, 12, 0) == UINT64_MAX - 1);
    assert_true(qn_fb_i64(&f.root, 14, 0) == -5);
    assert_true(qn_fb_f64(&f.root, 16, 0) == 1.5);
    expect_ok(&f);
}

static void test_absent_fields_have_their_defaults(void **state)
{
    (void)state;
    qn_fbb b = qn_fbb_new("TEST", 0);
    qn_fbb_table(&b, 0, QN_FIELDS({6, 4, 7})); /* slot 4 is in the vtable, but zero; slot 8 is past it */
    fixture f;
    open_built(&f, &b);
    assert_false(qn_fb_has(&f.root, 4));
    assert_true(qn_fb_has(&f.root, 6));
    assert_false(qn_fb_has(&f.root, 8));
    assert_int_equal(qn_fb_i32(&f.root, 4, -1), -1);
    assert_int_equal(qn_fb_u8(&f.root, 8, 127), 127);
    assert_true(qn_fb_f64(&f.root, 8, 0.25) == 0.25);
    assert_string_equal(qn_fb_string(&f.root, 8, "T.name"), "");
    assert_int_equal(qn_fb_scalars(&f.root, 8, 4, "T.items").count, 0);
    qn_fb_table sub = qn_fb_sub(&f.root, 8, "T.sub");
    assert_null(sub.fb);
    assert_int_equal(qn_fb_i32(&sub, 4, 3), 3); /* a table that is absent: so is everything in it */
    expect_ok(&f);
}

static void test_references(void **state)
{
    (void)state;
    const int32_t numbers[] = {5, -6, 7};
    const double doubles[] = {0.5, -2.0};
    qn_fbb b = qn_fbb_new("TEST", 0);
    size_t root = qn_fbb_table(&b, 0, QN_FIELDS({4, 4, 0}, {6, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}));
    qn_fbb_string(&b, qn_fbb_field_at(&b, root, 4), "a name");
    qn_fbb_scalars(&b, qn_fbb_field_at(&b, root, 6), numbers, 3, 4);
    qn_fbb_scalars(&b, qn_fbb_field_at(&b, root, 8), doubles, 2, 8);
    size_t refs = qn_fbb_refs(&b, qn_fbb_field_at(&b, root, 10), 2);
    qn_fbb_table(&b, refs + 4, QN_FIELDS({4, 4, 10}));
    qn_fbb_table(&b, refs + 8, QN_FIELDS({4, 4, 20}));
    qn_fbb_table(&b, qn_fbb_field_at(&b, root, 12), QN_FIELDS({4, 1, 9}));
    fixture f;
    open_built(&f, &b);
    assert_string_equal(qn_fb_string(&f.root, 4, "T.name"), "a name");
    qn_fb_vector v = qn_fb_scalars(&f.root, 6, 4, "T.numbers");
    assert_int_equal(v.count, 3);
    assert_int_equal(qn_fb_i32_at(&v, 1), -6);
    assert_int_equal(qn_fb_i32_at(&v, 3), 0); /* past the end */
    assert_int_equal(qn_fb_i64_at(&v, 0), 0); /* of another width */
    v = qn_fb_scalars(&f.root, 8, 8, "T.doubles");
    assert_true(qn_fb_f64_at(&v, 1) == -2.0);
    v = qn_fb_refs(&f.root, 10, "T.tables");
    qn_fb_table second = qn_fb_table_at(&f.fb, &v, 1, "E");
    assert_int_equal(qn_fb_i32(&second, 4, 0), 20);
    assert_null(qn_fb_table_at(&f.fb, &v, 2, "E").fb);
    qn_fb_table sub = qn_fb_sub(&f.root, 12, "T.sub");
    assert_int_equal(qn_fb_u8(&sub, 4, 0), 9);
    expect_ok(&f);
}

/* ---- hostile --------------------------------------------------------------------------------------------- */

static void test_no_flatbuffer_at_all(void **state)
{
    (void)state;
    fixture f = open_bytes((const uint8_t *)"TEST", 4);
    expect_failed(&f, "too few");
    f = open_bytes((const uint8_t *)"\x08\0\0\0ELF\x7f\0\0\0\0", 12);
    assert_null(qn_fb_root(&f.fb).fb);
    expect_failed(&f, "the identifier is \"ELF?\", not \"TEST\"");
}

/* One table with a number in slot 4 and a reference in slot 6; returns the table's place. */
static size_t small(qn_fbb *b)
{
    *b = qn_fbb_new("TEST", 0);
    return qn_fbb_table(b, 0, QN_FIELDS({4, 4, 7}, {6, 4, 0}));
}

static void test_bad_tables(void **state)
{
    (void)state;
    qn_fbb b;
    fixture f;

    small(&b);
    qn_fbb_put(&b, 0, 1u << 20, 4);
    open_built(&f, &b);
    expect_failed(&f, "the offset to the root table points outside");

    small(&b);
    qn_fbb_put(&b, 0, 0, 4); /* at itself */
    open_built(&f, &b);
    expect_failed(&f, "the offset to the root table");

    size_t table = small(&b);
    qn_fbb_put(&b, table, 0x80000000u, 4); /* a vtable 2 GiB further on */
    open_built(&f, &b);
    expect_failed(&f, "the vtable of table (root) is outside");

    table = small(&b);
    qn_fbb_put(&b, table, 0x7FFFFFFF, 4); /* before the first byte */
    open_built(&f, &b);
    expect_failed(&f, "the vtable of table (root) is outside");

    const uint16_t vtable_sizes[] = {0, 3, 7, 0xFFFE};
    for (size_t i = 0; i < 4; i++) {
        table = small(&b);
        qn_fbb_put(&b, table - (size_t)qn_fbb_get(&b, table, 4), vtable_sizes[i], 2);
        open_built(&f, &b);
        expect_failed(&f, "the vtable of table (root) has a bad size");
    }
    const uint16_t table_sizes[] = {0, 3, 0xFFFF};
    for (size_t i = 0; i < 3; i++) {
        table = small(&b);
        qn_fbb_put(&b, table - (size_t)qn_fbb_get(&b, table, 4) + 2, table_sizes[i], 2);
        open_built(&f, &b);
        expect_failed(&f, "table (root) has a bad size");
    }
}

static void test_field_outside_of_its_table(void **state)
{
    (void)state;
    const uint16_t offsets[] = {1, 3, 9, 12, 0xFFFF};
    for (size_t i = 0; i < 5; i++) {
        qn_fbb b;
        fixture f;
        size_t table = small(&b);
        qn_fbb_put(&b, table - (size_t)qn_fbb_get(&b, table, 4) + 4, offsets[i], 2);
        open_built(&f, &b);
        assert_int_equal(qn_fb_i32(&f.root, 4, 3), 3);
        expect_failed(&f, "a field of 4 bytes lies outside of its table");
    }
}

static void test_bad_references(void **state)
{
    (void)state;
    qn_fbb b;
    fixture f;
    const uint32_t offsets[] = {0, 3, 1000, 0xFFFFFFFFu};
    for (size_t i = 0; i < 4; i++) {
        size_t table = small(&b);
        qn_fbb_put(&b, qn_fbb_field_at(&b, table, 6), offsets[i], 4);
        open_built(&f, &b);
        assert_int_equal(qn_fb_scalars(&f.root, 6, 4, "T.items").count, 0);
        expect_failed(&f, "the offset to T.items points outside");
    }
    size_t table = small(&b);
    size_t at = qn_fbb_scalars(&b, qn_fbb_field_at(&b, table, 6), NULL, 4, 4);
    qn_fbb_put(&b, at, 0x40000001u, 4); /* times 4 is 4 in 32 bits */
    open_built(&f, &b);
    assert_int_equal(qn_fb_scalars(&f.root, 6, 4, "T.items").count, 0);
    expect_failed(&f, "T.items has 1073741825 elements of 4 bytes");
}

static void test_bad_strings(void **state)
{
    (void)state;
    qn_fbb b;
    fixture f;
    size_t table = small(&b);
    qn_fbb_scalars(&b, qn_fbb_field_at(&b, table, 6), "abcd", 4, 1); /* ends with the buffer, without a zero */
    open_built(&f, &b);
    assert_string_equal(qn_fb_string(&f.root, 6, "T.name"), "");
    expect_failed(&f, "T.name is no zero-terminated string");

    table = small(&b);
    qn_fbb_scalars(&b, qn_fbb_field_at(&b, table, 6), "a\0cd", 5, 1);
    qn_fbb_bytes(&b, NULL, 1);
    open_built(&f, &b);
    assert_string_equal(qn_fb_string(&f.root, 6, "T.name"), "");
    expect_failed(&f, "T.name is no zero-terminated string");
}

static void test_the_first_failure_stays(void **state)
{
    (void)state;
    qn_fbb b;
    fixture f;
    size_t table = small(&b);
    qn_fbb_put(&b, qn_fbb_field_at(&b, table, 6), 0xFFFFFFFFu, 4);
    open_built(&f, &b);
    assert_int_equal(qn_fb_i32(&f.root, 4, 0), 7);
    qn_fb_string(&f.root, 6, "T.first");
    qn_fb_scalars(&f.root, 6, 8, "T.second");
    qn_fb_fail(&f.fb, 0, "third");
    assert_int_equal(qn_fb_i32(&f.root, 4, 1), 1); /* nothing is read any more */
    assert_false(qn_fb_has(&f.root, 4));
    expect_failed(&f, "T.first");
}

static void test_one_vector_many_times(void **state)
{
    (void)state;
    enum { TABLES = 1000, NUMBERS = 1000 };
    qn_fbb b = qn_fbb_new("TEST", 0);
    fixture f;
    size_t root = qn_fbb_table(&b, 0, QN_FIELDS({4, 4, 0}));
    size_t refs = qn_fbb_refs(&b, qn_fbb_field_at(&b, root, 4), TABLES);
    size_t element = qn_fbb_table(&b, refs + 4, QN_FIELDS({4, 4, 0}));
    qn_fbb_scalars(&b, qn_fbb_field_at(&b, element, 4), NULL, NUMBERS, 4);
    for (size_t i = 1; i < TABLES; i++) qn_fbb_point(&b, refs + 4 + 4 * i, element);
    size_t size = b.size;
    open_built(&f, &b);
    qn_fb_vector v = qn_fb_refs(&f.root, 4, "T.tables");
    assert_int_equal(v.count, TABLES);
    uint64_t walked = 0;
    for (uint32_t i = 0; i < v.count; i++) {
        qn_fb_table t = qn_fb_table_at(&f.fb, &v, i, "E");
        walked += qn_fb_scalars(&t, 4, 4, "E.numbers").count;
    }
    assert_true(walked * 4 <= size * QN_FB_REUSE);
    expect_failed(&f, "refers to the same bytes too often");
}

static void test_too_many_tables(void **state)
{
    (void)state;
    qn_fbb b;
    fixture f;
    size_t table = small(&b);
    qn_fbb_refs(&b, qn_fbb_field_at(&b, table, 6), QN_FB_MAX_TABLES + 1);
    open_built(&f, &b);
    assert_int_equal(qn_fb_refs(&f.root, 6, "T.tables").count, 0);
    expect_failed(&f, "T.tables, with 1048577 entries");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_absent_fields_have_their_defaults),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_no_flatbuffer_at_all),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_field_outside_of_its_table),
        cmocka_unit_test(test_bad_references),
        cmocka_unit_test(test_bad_strings),
        cmocka_unit_test(test_the_first_failure_stays),
        cmocka_unit_test(test_one_vector_many_times),
        cmocka_unit_test(test_too_many_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
