/* Neutrality of every operation and every kernel row: a graph built at the maximum and run at a live shape dispatches
 * the same kernels with the same grids and parameters, and gives the same bytes, as a graph built at that shape; in
 * any order of calls, after a failed call, and with the same rows at another position.
 *
 * An operation is a row of the tables of qn_neutral_families. Every row of the tables it names is forced in turn; at
 * the end each kernel row of ops.def must have run, or is listed as one that the software device cannot run. */
#include "support/neutral_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Live rows and position of each call; the reverse order follows. */
static const qn_neutral_call calls[] = {{40, 0}, {1, 40}, {3, 7},   {40, 24}, {1, 0},
                                        {9, 5},  {8, 5},  {3, 220}, {33, 1},  {2, 2}};
enum { N_CALLS = sizeof calls / sizeof calls[0] };

static bool has_rows(qn_shape shape)
{
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0) return true;
    return false;
}

/* Calls that must fail: rows beyond the maximum, a number that does not fit, and inputs that differ in rows. */
static void fail_calls(const qn_neutral_fixture *f, const built *b, const qn_neutral_call *next)
{
    qn_shape beyond = qn_neutral_shape(f->c->in[0].shape, MAX_ROWS + 1);
    qn_assert_fails(qn_graph_set_input(b->g, b->in[0], beyond, f->data[0]), QN_ERR_ARGUMENT, "maximum");
    qn_neutral_set(f, b, next);
    if (f->c->number) {
        qn_assert_ok(qn_graph_set_int(b->g, b->number, CONTEXT)); /* pos + rows, or the rows wanted, pass the end */
        assert_int_equal(qn_test_execute(b->g).code, QN_ERR_ARGUMENT);
        qn_neutral_set(f, b, next);
    }
    if (b->in[1] && !f->c->any_rows && has_rows(f->c->in[1].shape)) {
        qn_shape other = qn_neutral_shape(f->c->in[1].shape, next->rows == 1 ? 2 : next->rows - 1);
        qn_assert_ok(qn_graph_set_input(b->g, b->in[1], other, f->data[1]));
        assert_int_equal(qn_test_execute(b->g).code, QN_ERR_ARGUMENT);
    }
}

static void assert_same(const qn_neutral_fixture *f, const char *route, const qn_neutral_call *call, const char *when,
                        const qn_neutral_result *got, const qn_neutral_result *want)
{
    if (got->size == want->size && memcmp(got->bytes, want->bytes, got->size) == 0) return;
    size_t at = 0, least = got->size < want->size ? got->size : want->size;
    while (at < least && got->bytes[at] == want->bytes[at]) at++;
    fail_msg(
        "%s (%s), route %s, %u rows at %u, %s: byte %zu differs from the graph built at this shape\n  got %s\n  want%s",
        qn_ops[f->c->op].name, f->c->name, route, call->rows, call->pos, when, at, got->kernels, want->kernels);
}

static void note_kernels(const built *b, bool *forced_ran, const char *route)
{
    if (qn_test_dispatched(b->g, route)) *forced_ran = true;
}

/* One case on an engine that forces `route`; *forced_ran is set when that row was dispatched. */
static void check_case(qn_engine *engine, const op_case *c, const char *route, bool *forced_ran)
{
    qn_neutral_fixture f;
    qn_neutral_open(&f, engine, c);
    qn_neutral_result want[N_CALLS];
    for (size_t i = 0; i < N_CALLS; i++) {
        built b = qn_neutral_build(&f, calls[i].rows);
        memset(&want[i], 0, sizeof want[i]);
        qn_neutral_run(&f, &b, &calls[i], &want[i]);
        note_kernels(&b, forced_ran, route);
        qn_graph_close(b.g);
    }
    built b = qn_neutral_build(&f, MAX_ROWS);
    for (size_t k = 0; k < 3 * N_CALLS; k++) {
        size_t turn = k / N_CALLS, i = turn == 1 ? N_CALLS - 1 - k % N_CALLS : k % N_CALLS;
        static const char *const when[] = {"in order", "in reverse order", "after failed calls"};
        if (turn == 2) fail_calls(&f, &b, &calls[(i + 3) % N_CALLS]);
        qn_neutral_result got = {0};
        qn_neutral_run(&f, &b, &calls[i], &got);
        assert_same(&f, route, &calls[i], when[turn], &got, &want[i]);
        free(got.bytes);
    }
    qn_graph_close(b.g);
    for (size_t i = 0; i < N_CALLS; i++) free(want[i].bytes);
    qn_neutral_close(&f);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static bool uses(const op_case *c, const qn_kernel_table *table)
{
    for (int i = 0; i < MAX_TABLES; i++)
        if (c->tables[i] == table) return true;
    return false;
}

static void default_routes(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    bool ran = false;
    for (const neutral_family *const *f = qn_neutral_families; *f; f++)
        for (size_t i = 0; i < (*f)->n; i++) check_case(engine, &(*f)->cases[i], "default", &ran);
    qn_engine_close(engine);
}

static void force_row(const qn_kernel_table *table, const qn_kernel_row *row)
{
    qn_engine *engine = qn_test_row_engine(row);
    if (!qn_row_runs_on(row, qn_engine_device(engine))) {
        print_message("%s: not run, the software device lacks what it needs\n", row->name);
        qn_engine_close(engine);
        return;
    }
    bool ran = false;
    for (const neutral_family *const *f = qn_neutral_families; *f; f++)
        for (size_t i = 0; i < (*f)->n; i++)
            if (uses(&(*f)->cases[i], table)) check_case(engine, &(*f)->cases[i], row->name, &ran);
    qn_engine_close(engine);
    if (!ran) fail_msg("no case dispatches the kernel row %s: add one", row->name);
}

static void every_forced_row(void **state)
{
    (void)state;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++) force_row(*t, &(*t)->rows[i]);
}

static bool has_case(qn_op op)
{
    for (const neutral_family *const *f = qn_neutral_families; *f; f++)
        for (size_t i = 0; i < (*f)->n; i++)
            if ((*f)->cases[i].op == op) return true;
    return false;
}

static void every_op_has_a_case(void **state)
{
    (void)state;
    for (int op = 0; op < QN_OP_COUNT; op++) {
        if (!has_case((qn_op)op)) fail_msg("%s has no case", qn_ops[op].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(default_routes),
        cmocka_unit_test(every_forced_row),
    };
    return cmocka_run_group_tests_name("neutrality", tests, NULL, NULL);
}
