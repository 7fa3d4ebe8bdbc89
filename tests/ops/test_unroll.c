/* Loops of WGSL whose ends are constants are written out where indices are checked. */
#include "ops/op.h"
#include "ops/unroll.h"
#include "support/host_memory.h"
#include "support/op_harness.h"

#include <string.h>

/* Blanks and line ends left out, since they mean nothing. */
static void squeeze(char *text)
{
    char *to = text;
    for (const char *c = text; *c; c++)
        if (*c != ' ' && *c != '\n') *to++ = *c;
    *to = 0;
}

static void expect(const char *wgsl, uint32_t most, const char *wanted)
{
    char *text, want[1024];
    qn_assert_ok(qn_unroll(NULL, wgsl, most, &text));
    assert_true(strlen(wanted) < sizeof want);
    strcpy(want, wanted);
    squeeze(want);
    squeeze(text);
    assert_string_equal(text, want);
    qn_free(NULL, text);
}

static void each_turn_is_a_block(void **state)
{
    (void)state;
    expect("for (var i = 0u; i < 3u; i++) { a[i] = b.i; }", 16,
           "{ const i = 0u + 0; a[i] = b.i; } { const i = 0u + 1; a[i] = b.i; } { const i = 0u + 2; a[i] = b.i; }");
    expect("for (var i = 2u; i < 9u; i += 4u) { f(i); } g();", 16,
           "{ const i = 2u + 0; f(i); } { const i = 2u + 4; f(i); } g();");
    expect("for (var i = 3u; i < 3u; i++) { f(i); } g();", 16, "g();");
}

static void ends_are_constant_expressions(void **state)
{
    (void)state;
    expect("const A: u32 = 6u; const B = select(1u, (A + 3u) / 4u, A >= 4u); for (var i = 0u; i < B * 2u - 3u; i++) { "
           "f(i); }",
           16, "const A: u32 = 6u; const B = select(1u, (A + 3u) / 4u, A >= 4u); { const i = 0u + 0; f(i); }");
    expect("const A: u32 = min(0x2u, max(1u, 5u)); for (var i = 0u; i < A % 2u + 1u; i++) { f(i); }", 16,
           "const A: u32 = min(0x2u, max(1u, 5u)); { const i = 0u + 0; f(i); }");
}

static void inner_loops_know_outer_variables(void **state)
{
    (void)state;
    expect("for (var r = 0u; r < 2u; r++) { for (var j = r * 2u; j < (r + 1u) * 2u; j += 2u) { f(r, j); } }", 16,
           "{ const r = 0u + 0; { const j = r * 2u + 0; f(r, j); } }"
           "{ const r = 0u + 1; { const j = r * 2u + 0; f(r, j); } }");
}

static void what_is_not_known_stays(void **state)
{
    (void)state;
    static const char *const loops[] = {
        "for (var i = lane; i < 4u; i++) { f(i); }",                   /* where it starts      */
        "for (var i = 0u; i < p.n; i++) { f(i); }",                    /* where it ends        */
        "for (var i = 0u; i < 1u << n; i++) { f(i); }",                /* an operator          */
        "for (var i = 0u; i < 2u - 3u; i++) { f(i); }",                /* no u32               */
        "for (var i = 0u; i < 4u / 0u; i++) { f(i); }",                /* no number            */
        "for (var i = 0u; i < 17u; i++) { f(i); }",                    /* too long             */
        "for (var i = 0u; i < 4u; i += 0u) { f(i); }",                 /* has no end           */
        "for (var i = 0u; i < 4u; i++) { if (a) { break; } }",         /* may be left          */
        "for (var i = 0u; i < 4u; i++) { workgroupBarrier(); f(i); }", /* of tiles          */
        "for (var i = 1u; i < 4u; i *= 2u) { f(i); }",                 /* steps                */
        "for (var i = 0.0; i < 4.0; i++) { f(i); }",                   /* floats               */
        "fn g() { const N = 4u; } for (var i = 0u; i < N; i++) { }",   /* a function's constant */
        "for (;;) { }",
        "for (var i = 0u; i < 4u; i++) { f(i);", /* torn                 */
        "for (var i = 0u; i < 4u",
        "for",
        "",
    };
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) expect(loops[i], 16, loops[i]);
}

static void comments_count_for_nothing(void **state)
{
    (void)state;
    expect("for (var i = 0u; i < 1u; i++) { // } break\n f(i); } // for (var i = 0u; i < 1u; i++) { }", 16,
           "{ const i = 0u + 0; // } break\n f(i); } // for (var i = 0u; i < 1u; i++) { }");
}

/* What the rows ask for is done: no loop over an array of an invocation is left where the tiles are multiplied. */
static void rows_are_written_out(void **state)
{
    (void)state;
    const qn_kernel_row *row = qn_row_find("linear.gemm8_split");
    assert_non_null(row);
    uint32_t spec[QN_MAX_SPEC] = {0};
    for (int checks = 0; checks < 2; checks++) {
        const qn_wgsl_target target = {.enable_subgroups = "", .checks = checks};
        char *text;
        qn_assert_ok(qn_row_source(NULL, row, spec, &target, &text));
        char *step = strstr(text, "fn compute_step"), *next = strstr(step, "\nfn ");
        assert_non_null(step);
        assert_non_null(next);
        *next = 0;
        assert_int_equal(strstr(step, "for (") == NULL, checks);
        qn_free(NULL, text);
    }
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const char wgsl[] =
        "const A = 2u; const B = 3u; for (var i = 0u; i < A; i++) { for (var j = i; j < B; j++) { } }";
    uint64_t calls = 1;
    for (uint64_t n = 0; n <= calls; n++) {
        qn_test_allocator a;
        qn_test_allocator_init(&a);
        a.fail_at = n; /* 0: none */
        char *text = NULL;
        qn_status s = qn_unroll(&a.allocator, wgsl, 16, &text);
        assert_int_equal(s.code, n ? QN_ERR_MEMORY : QN_OK);
        if (n == 0) calls = a.calls;
        qn_free(&a.allocator, text);
        assert_int_equal(a.blocks, 0);
    }
    assert_true(calls > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_turn_is_a_block),
        cmocka_unit_test(ends_are_constant_expressions),
        cmocka_unit_test(inner_loops_know_outer_variables),
        cmocka_unit_test(what_is_not_known_stays),
        cmocka_unit_test(comments_count_for_nothing),
        cmocka_unit_test(rows_are_written_out),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests_name("unroll", tests, NULL, NULL);
}
