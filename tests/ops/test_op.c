/* Helpers of plan functions: shapes, choosing kernel rows, probing, grids. No device. */
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <string.h>

/* ---- shapes ---------------------------------------------------------------------------------- */

static void shapes(void **state)
{
    (void)state;
    qn_shape scalar = {0}, s = qn_shape_3(1, 5, 96), other = qn_shape_3(1, 5, 97);
    assert_int_equal(qn_shape_count(&scalar), 1);
    assert_int_equal(qn_shape_count(&s), 480);
    assert_true(qn_shape_equal(&s, &s));
    assert_false(qn_shape_equal(&s, &other));
    assert_false(qn_shape_equal(&s, &scalar));
    qn_shape huge = {3, {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    assert_true(qn_shape_count(&huge) == UINT64_MAX);
    qn_shape trailing = s; /* what lies behind the rank does not matter */
    trailing.dim[5] = 7;
    assert_true(qn_shape_equal(&s, &trailing));
}

static void shape_texts(void **state)
{
    (void)state;
    char text[128];
    qn_shape scalar = {0}, s = qn_shape_3(1, 5, 96);
    assert_string_equal(qn_shape_text(&scalar, text, sizeof text), "[]");
    assert_string_equal(qn_shape_text(&s, text, sizeof text), "[1,5,96]");
    qn_shape longest = {QN_MAX_RANK, {0}};
    for (uint32_t i = 0; i < QN_MAX_RANK; i++) longest.dim[i] = UINT32_MAX;
    assert_int_equal(strlen(qn_shape_text(&longest, text, sizeof text)), QN_MAX_RANK * 11 + 1);
    for (size_t n = 1; n < 10; n++) { /* cut, never past the end */
        memset(text, 'x', sizeof text);
        qn_shape_text(&s, text, n);
        assert_true(strlen(text) < n);
        assert_int_equal(text[n], 'x');
    }
}

/* ---- choosing rows --------------------------------------------------------------------------- */

static const qn_kernel_row pick_rows[] = {
    {.name = "t.one_gpu", .workgroup = {64, 1, 1}, .preferred = QN_ROW_GPU, .max_rows = 1},
    {.name = "t.few_f16", .workgroup = {64, 1, 1}, .needs = QN_NEEDS_F16, .min_rows = 2, .max_rows = 8},
    {.name = "t.few", .workgroup = {64, 1, 1}, .min_rows = 2, .max_rows = 8},
    {.name = "t.many_wide", .workgroup = {512, 1, 1}, .min_rows = 9},
    {.name = "t.many", .workgroup = {16, 16, 1}, .preferred = QN_ROW_GPU, .min_rows = 9},
    {.name = "t.software", .workgroup = {8, 1, 1}, .preferred = QN_ROW_SOFTWARE},
    {.name = "t.plain", .workgroup = {1, 1, 1}, .never_preferred = true},
};
static const qn_kernel_table pick_table = {pick_rows, sizeof pick_rows / sizeof pick_rows[0]};

static const char *pick(qn_test_plan *t, uint64_t mask, uint32_t rows)
{
    const qn_kernel_row *row = qn_plan_pick(&t->plan, &pick_table, mask, rows);
    return row ? row->name : "none";
}

static void picks_by_rows(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    assert_string_equal(pick(&t, ~UINT64_C(0), 1), "t.one_gpu");
    assert_string_equal(pick(&t, ~UINT64_C(0), 2), "t.few");
    assert_string_equal(pick(&t, ~UINT64_C(0), 8), "t.few");
    assert_string_equal(pick(&t, ~UINT64_C(0), 9), "t.many");
    assert_string_equal(pick(&t, ~UINT64_C(0), UINT32_MAX), "t.many");
}

static void picks_by_device(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.device.f16 = true;
    assert_string_equal(pick(&t, ~UINT64_C(0), 2), "t.few_f16");
    t.device.max_workgroup_invocations = 1024;
    assert_string_equal(pick(&t, ~UINT64_C(0), 9), "t.many"); /* 512 still passes max_workgroup_size */
    t.device.max_workgroup_size[0] = 1024;
    assert_string_equal(pick(&t, ~UINT64_C(0), 9), "t.many_wide");
    t.device = qn_test_baseline_device();
    t.device.type = QN_ADAPTER_SOFTWARE;
    assert_string_equal(pick(&t, ~UINT64_C(0), 1), "t.software");
    assert_string_equal(pick(&t, ~UINT64_C(0), 4), "t.few"); /* for any device, and first in the table */
    assert_string_equal(pick(&t, ~UINT64_C(0), 100), "t.software");
}

static void picks_by_mask(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    /* Nothing usable is preferred for the count: the first usable row serves. */
    assert_string_equal(pick(&t, 1u << 4 | 1u << 2, 1), "t.few");
    assert_string_equal(pick(&t, 1u << 5, 1), "t.software");
    /* A reference row is not chosen, only forced; a row that the device cannot run not even that. */
    assert_string_equal(pick(&t, 1u << 6, 1), "none");
    assert_string_equal(pick(&t, 1u << 1, 2), "none");
    assert_string_equal(pick(&t, 0, 1), "none");
    t.plan.forced = "t.plain";
    assert_string_equal(pick(&t, ~UINT64_C(0), 1), "t.plain");
    assert_string_equal(pick(&t, 1, 1), "t.one_gpu"); /* forced, but it cannot compute this node */
    t.plan.forced = "t.few_f16";
    assert_string_equal(pick(&t, ~UINT64_C(0), 4), "t.few");
}

/* ---- probing --------------------------------------------------------------------------------- */

static uint32_t probe(qn_test_plan *t, const qn_kernel_table *table, uint32_t rows, uint32_t *seen, uint32_t capacity)
{
    uint32_t n = 0;
    t->plan.n_dispatches = t->plan.probe_start = t->plan.max_dispatches = 0;
    for (uint32_t i = 0, m; qn_plan_probe(&t->plan, table, rows, &i, &m); n++) {
        assert_true(n < capacity);
        seen[n] = m;
    }
    return n;
}

static void probe_executing(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    uint32_t seen[4];
    assert_int_equal(probe(&t, &pick_table, 37, seen, 4), 1);
    assert_int_equal(seen[0], 37);
}

static void probe_boundaries(void **state)
{
    (void)state;
    static const struct {
        uint32_t rows, n, seen[5];
    } cases[] = {{128, 5, {1, 2, 8, 9, 128}}, {9, 4, {1, 2, 8, 9}}, {8, 3, {1, 2, 8}}, {2, 2, {1, 2}}, {1, 1, {1}}};
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.plan.building = true;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        uint32_t seen[8];
        assert_int_equal(probe(&t, &pick_table, cases[c].rows, seen, 8), cases[c].n);
        assert_memory_equal(seen, cases[c].seen, cases[c].n * sizeof seen[0]);
    }
}

/* Random tables: the rows picked at the probed counts are all the rows that any count could pick. */
static void probe_reaches_every_pick(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        qn_kernel_row rows[5];
        memset(rows, 0, sizeof rows);
        for (uint32_t r = 0; r < 5; r++) {
            rows[r].name = "t.row";
            rows[r].workgroup[0] = rows[r].workgroup[1] = rows[r].workgroup[2] = 1;
            rows[r].min_rows = qn_test_random(seed, r * 3) % 20;
            if (qn_test_random(seed, r * 3 + 1) % 3)
                rows[r].max_rows = rows[r].min_rows + qn_test_random(seed, r * 3 + 2) % 9;
        }
        qn_kernel_table table = {rows, 5};
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_ADD);
        t.plan.building = true;
        uint32_t max = 1 + qn_test_random(seed, 99) % 40, seen[40], by_probe = 0, by_any = 0;
        uint32_t n = probe(&t, &table, max, seen, 40);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(i == 0 || seen[i] > seen[i - 1]);
            by_probe |= 1u << (qn_plan_pick(&t.plan, &table, 31, seen[i]) - rows);
        }
        assert_int_equal(seen[n - 1], max);
        for (uint32_t m = 1; m <= max; m++) by_any |= 1u << (qn_plan_pick(&t.plan, &table, 31, m) - rows);
        assert_int_equal(by_probe, by_any);
    }
}

/* Building counts the dispatches of the largest probe, not their sum. */
static void probe_counts_dispatches(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.plan.node = &t.node;
    t.plan.building = true;
    for (uint32_t i = 0, m; qn_plan_probe(&t.plan, &pick_table, 128, &i, &m);)
        for (uint32_t k = 0; k < (m == 2 ? 5 : 3); k++) {
            qn_status s;
            assert_non_null(qn_plan_dispatch(&t.plan, &pick_rows[0], &s));
        }
    assert_int_equal(t.plan.n_dispatches, 4 * 3 + 5);
    assert_int_equal(t.plan.max_dispatches, 5);
    /* Executing never grows the list. */
    t.plan.building = false;
    t.plan.n_dispatches = t.plan.capacity;
    qn_status s;
    assert_null(qn_plan_dispatch(&t.plan, &pick_rows[0], &s));
    assert_int_equal(s.code, QN_ERR_INTERNAL);
    qn_test_plan_free(&t);
}

/* ---- grids ----------------------------------------------------------------------------------- */

static void grids(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        uint32_t x, y;
    } cases[] = {{1, 1, 1},         {65534, 65534, 1},  {65535, 65535, 1},  {65536, 32768, 2},
                 {65537, 32769, 2}, {131070, 65535, 2}, {131071, 43691, 3}, {UINT64_C(65535) * 65535, 65535, 65535}};
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.plan.node = &t.node;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        qn_dispatch d = {0};
        qn_assert_ok(qn_grid_1d(&t.plan, &d, cases[c].n));
        assert_int_equal(d.grid[0], cases[c].x);
        assert_int_equal(d.grid[1], cases[c].y);
        assert_int_equal(d.grid[2], 1);
        uint64_t made = (uint64_t)d.grid[0] * d.grid[1];
        assert_true(made >= cases[c].n && made - cases[c].n < d.grid[1]);
    }
    qn_dispatch d = {0};
    qn_assert_fails(qn_grid_1d(&t.plan, &d, UINT64_C(65535) * 65535 + 1), QN_ERR_LIMIT, "grid");
}

/* ---- outputs, scratch, messages ---------------------------------------------------------------- */

static void outputs_stay_within_their_place(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.plan.node = &t.node;
    t.plan.building = true;
    qn_assert_ok(qn_plan_set_out(&t.plan, 0, QN_F32, qn_shape_2(4, 8)));
    t.plan.building = false;
    qn_assert_ok(qn_plan_set_out(&t.plan, 0, QN_F32, qn_shape_2(3, 8)));
    assert_int_equal(t.tensors[1].live.dim[0], 3);
    assert_int_equal(t.tensors[1].max.dim[0], 4);
    qn_assert_fails(qn_plan_set_out(&t.plan, 0, QN_F32, qn_shape_2(5, 8)), QN_ERR_LIMIT, "maximum");
    qn_assert_fails(qn_plan_set_out(&t.plan, 0, QN_F32, qn_shape_1(8)), QN_ERR_INTERNAL, "rank");
}

static void scratch_is_the_largest_need(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_ADD);
    t.plan.node = &t.node;
    qn_assert_ok(qn_plan_scratch(&t.plan, 0, 100));
    qn_assert_ok(qn_plan_scratch(&t.plan, 0, 50));
    qn_assert_ok(qn_plan_scratch(&t.plan, 1, 128u << 20));
    assert_int_equal(t.plan.scratch[0], 100);
    assert_int_equal(t.plan.scratch[1], 128u << 20);
    qn_assert_fails(qn_plan_scratch(&t.plan, 1, (128u << 20) + 1), QN_ERR_LIMIT, "134217729");
    qn_assert_fails(qn_plan_fail(&t.plan, QN_ERR_ARGUMENT, "%d apples", 3), QN_ERR_ARGUMENT, "add (node): 3 apples");
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Names are unique; every row can be bound and compiled as far as the tables say; core limits suffice for the rows
 * that need no feature. */
static void tables_are_sound(void **state)
{
    (void)state;
    qn_device_info core = qn_test_baseline_device();
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++) {
        assert_true((*t)->n_rows >= 1 && (*t)->n_rows <= 64);
        for (uint32_t i = 0; i < (*t)->n_rows; i++) {
            const qn_kernel_row *row = &(*t)->rows[i];
            assert_non_null(strchr(row->name, '.'));
            assert_true(strlen(row->access) <= QN_MAX_BINDINGS && strspn(row->access, "rw") == strlen(row->access));
            assert_true(row->max_rows == 0 || row->min_rows <= row->max_rows);
            if (row->needs == 0 && !qn_row_runs_on(row, &core)) fail_msg("%s passes core limits", row->name);
            for (const qn_kernel_table *const *u = qn_kernel_tables; *u; u++)
                for (uint32_t k = 0; k < (*u)->n_rows; k++)
                    if (&(*u)->rows[k] != row && strcmp((*u)->rows[k].name, row->name) == 0)
                        fail_msg("two kernel rows are named %s", row->name);
            uint32_t spec[QN_MAX_SPEC] = {0};
            char *source = NULL;
            for (int checks = 0; checks < 2; checks++) {
                const qn_wgsl_target target = {.enable_subgroups = "", .checks = checks};
                qn_assert_ok(qn_row_source(NULL, row, spec, &target, &source));
                if (!strstr(source, row->entry)) fail_msg("%s: no entry point %s", row->name, row->entry);
                qn_free(NULL, source);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(shape_texts),
        cmocka_unit_test(picks_by_rows),
        cmocka_unit_test(picks_by_device),
        cmocka_unit_test(picks_by_mask),
        cmocka_unit_test(probe_executing),
        cmocka_unit_test(probe_boundaries),
        cmocka_unit_test(probe_reaches_every_pick),
        cmocka_unit_test(probe_counts_dispatches),
        cmocka_unit_test(grids),
        cmocka_unit_test(outputs_stay_within_their_place),
        cmocka_unit_test(scratch_is_the_largest_need),
        cmocka_unit_test(tables_are_sound),
    };
    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
