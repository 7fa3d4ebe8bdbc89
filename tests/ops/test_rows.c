/* view and last_rows. */
#include "ops/rows_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- view ------------------------------------------------------------------------------------ */

static void view_plans(void **state)
{
    (void)state;
    static const struct {
        qn_shape max, live, asked, got;
    } cases[] = {
        {{2, {40, 96}}, {2, {5, 96}}, {4, {1, 0, 6, 16}}, {4, {1, 5, 6, 16}}},
        {{4, {1, 40, 6, 16}}, {4, {1, 1, 6, 16}}, {2, {0, 96}}, {2, {1, 96}}},
        {{3, {1, 40, 96}}, {3, {1, 7, 96}}, {1, {0}}, {1, {672}}},
        {{2, {6, 4}}, {2, {6, 4}}, {3, {2, 3, 4}}, {3, {2, 3, 4}}},
        {{2, {40, 96}}, {2, {5, 96}}, {3, {0, 48, 2}}, {3, {5, 48, 2}}},
        {{2, {40, 96}}, {2, {5, 96}}, {3, {32, 3, 0}}, {3, {32, 3, 5}}},
        {{1, {1}}, {1, {1}}, {0, {0}}, {0, {0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_VIEW);
        qn_value x = qn_test_plan_tensor(&t, "x", i % 2 ? QN_I32 : QN_F32, cases[i].max);
        t.node.attrs.view.shape = cases[i].asked;
        qn_assert_ok(qn_test_plan_build(&t));
        t.tensors[x].live = cases[i].live;
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 0);
        assert_true(qn_shape_equal(&qn_test_plan_out(&t)->live, &cases[i].got));
        assert_int_equal(qn_test_plan_out(&t)->dtype, i % 2 ? QN_I32 : QN_F32);
        qn_test_plan_free(&t);
    }
}

static void view_refusals(void **state)
{
    (void)state;
    static const struct {
        qn_shape max, asked;
        const char *text;
    } cases[] = {
        {{2, {40, 96}}, {2, {0, 7}}, "x[40,96] cannot be seen as [0,7]"},
        {{2, {40, 96}}, {2, {40, 95}}, "x[40,96] cannot be seen as [40,95]"},
        {{2, {40, 96}}, {2, {40, 192}}, "cannot be seen as [40,192]"},
        {{2, {2, 3}}, {2, {0, 12}}, "cannot be seen as [0,12]"},
        {{2, {40, 96}}, {3, {0, 96, 0}}, "more than one open"},
        {{2, {40, 96}}, {9, {0}}, "rank 9"},
    };
    qn_test_plan t;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan_init(&t, QN_OP_VIEW);
        qn_test_plan_tensor(&t, "x", QN_F32, cases[i].max);
        t.node.attrs.view.shape = cases[i].asked;
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
    qn_test_plan_init(&t, QN_OP_VIEW);
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_1(4));
    t.node.attrs.view.shape = (qn_shape){3, {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "too large");
    qn_test_plan_free(&t);
    /* A fixed shape fits at the maximum, and then at no other live shape. */
    qn_test_plan_init(&t, QN_OP_VIEW);
    qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(4, 6));
    t.node.attrs.view.shape = qn_shape_2(3, 8);
    qn_assert_ok(qn_test_plan_build(&t));
    t.tensors[x].live = qn_shape_2(3, 6);
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "x[3,6] cannot be seen as [3,8]");
    qn_test_plan_free(&t);
}

/* Views of an input and of an activation, between other ops: the bytes stay where they are. */
static void view_in_a_graph(void **state)
{
    (void)state;
    float a[5 * 12];
    qn_test_fill(a, 60, 1, 1.0f);
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "a", QN_F32, qn_shape_2(5, 12));
    qn_value heads = qn_view(g, in, qn_shape_4(1, 0, 3, 4));
    qn_value doubled = qn_add(g, heads, heads);
    qn_value flat = qn_view(g, qn_view(g, doubled, qn_shape_1(0)), qn_shape_2(0, 12));
    qn_value sum = qn_add(g, flat, in);
    qn_graph_output(g, heads, "heads");
    qn_graph_output(g, flat, "flat");
    qn_graph_output(g, sum, "sum");
    qn_assert_ok(qn_graph_build(g));
    static const uint32_t lives[] = {5, 3, 1, 5};
    for (size_t call = 0; call < 4; call++) {
        uint32_t rows = lives[call];
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(rows, 12), a));
        double want[60];
        for (uint32_t i = 0; i < rows * 12; i++) want[i] = 3.0 * (double)a[i];
        qn_test_compare("sum", qn_test_run(g, sum, qn_shape_2(rows, 12)), want, rows * 12, (qn_tolerance){1e-6, 0});
        assert_int_equal(qn_graph_n_dispatches(g), 2);
        qn_shape live;
        assert_memory_equal(qn_graph_output_data(g, heads, &live), a, rows * 12 * sizeof a[0]);
        assert_true(live.rank == 4 && live.dim[1] == rows && live.dim[3] == 4);
        for (uint32_t i = 0; i < rows * 12; i++) want[i] = 2.0 * (double)a[i];
        qn_test_compare("flat", qn_graph_output_data(g, flat, &live), want, rows * 12, (qn_tolerance){0, 0});
    }
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- last_rows ------------------------------------------------------------------------------- */

static void last_rows(void **state)
{
    (void)state;
    enum { MAX_M = 20, E = 37, MAX_ROWS = 8 };
    static const uint32_t calls[][2] = {{20, 8}, {20, 1}, {1, 1}, {5, 5}, {5, 2}, {20, 3}, {9, 8}};
    float *x = qn_test_floats(MAX_M * E, 3, 1.0f);
    double want[MAX_ROWS * E];
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, qn_shape_2(MAX_M, E)), n = qn_graph_int(g, "n_last", 100);
    qn_value out = qn_last_rows(g, in, n, MAX_ROWS);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    static const int64_t bad[] = {0, 9, 21, 100};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(calls[i][0], E), x));
        if (i < 4) { /* refused, and without a trace on what follows */
            qn_assert_ok(qn_graph_set_int(g, n, bad[i]));
            char text[32];
            snprintf(text, sizeof text, "n_last = %d rows", (int)bad[i]);
            qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, text);
        }
        qn_assert_ok(qn_graph_set_int(g, n, calls[i][1]));
        const float *got = qn_test_run(g, out, qn_shape_2(calls[i][1], E));
        qn_last_rows_ref(x, calls[i][0], E, calls[i][1], want);
        qn_test_compare("last rows", got, want, (size_t)calls[i][1] * E, (qn_tolerance){0, 0});
    }
    qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(2, E), x)); /* more than are live */
    qn_assert_ok(qn_graph_set_int(g, n, 3));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "1..2 are there");
    qn_graph_close(g);
    qn_engine_close(engine);
    free(x);
}

static void last_rows_plans(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_LAST_ROWS);
    qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(70000, 1000));
    qn_value n = qn_test_plan_integer(&t, "n", 70000);
    t.node.attrs.last_rows.max_rows = 70000;
    qn_assert_ok(qn_test_plan_build(&t));
    assert_int_equal(qn_test_plan_out(&t)->max.dim[0], 70000);
    assert_int_equal(t.plan.n_dispatches, 2); /* both routes are prepared */
    static const uint32_t grids[][3] = {{1, 1, 1}, {16777, 16384, 1}, {70000, 34180, 2}};
    for (size_t i = 0; i < 3; i++) {
        t.tensors[n].number = grids[i][0];
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 1);
        const qn_dispatch *d = &t.plan.dispatches[0];
        assert_string_equal(d->row->name, "strided.vec4");
        assert_int_equal(d->params[0], grids[i][0] * 250); /* items of four */
        assert_int_equal(d->params[2], (70000 - grids[i][0]) * 250);
        assert_int_equal(d->grid[0], grids[i][1]);
        assert_int_equal(d->grid[1], grids[i][2]);
    }
    t.tensors[x].live.rank = 1;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "rank 1");
    qn_test_plan_free(&t);
    /* max_rows beyond the maximum of x can never be used. */
    qn_test_plan_init(&t, QN_OP_LAST_ROWS);
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(4, 3));
    qn_test_plan_integer(&t, "n", 100);
    t.node.attrs.last_rows.max_rows = 50;
    qn_assert_ok(qn_test_plan_build(&t));
    assert_int_equal(qn_test_plan_out(&t)->max.dim[0], 4);
    t.node.attrs.last_rows.max_rows = 0;
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, "max_rows");
    qn_test_plan_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_plans), cmocka_unit_test(view_refusals),   cmocka_unit_test(view_in_a_graph),
        cmocka_unit_test(last_rows),  cmocka_unit_test(last_rows_plans),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
