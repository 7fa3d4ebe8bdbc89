/* Neutrality of every operation and every kernel row: a graph built at the maximum and run at a live shape dispatches
 * the same kernels with the same grids and parameters, and gives the same bytes, as a graph built at that shape; in
 * any order of calls, after a failed call, and with the same rows at another position.
 *
 * An operation is a row of the tables of qn_neutral_families. Every row of the tables it names is forced in turn; at
 * the end each kernel row of ops.def must have run, or is listed as one that the software device cannot run. */
#include "support/neutrality.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Live rows and position of each call; the reverse order follows. */
static const struct call {
    uint32_t rows, pos;
} calls[] = {{40, 0}, {1, 40}, {3, 7}, {40, 24}, {1, 0}, {9, 5}, {8, 5}, {3, 220}, {33, 1}, {2, 2}};
enum { N_CALLS = sizeof calls / sizeof calls[0] };

/* ---- building and running -------------------------------------------------------------------- */

typedef struct fixture {
    qn_engine *engine;
    const op_case *c;
    qn_test_matrix matrix[MAX_WEIGHTS]; /* of the weights, where they are matrices */
    qn_weight *weight[MAX_WEIGHTS];
    void *data[MAX_INPUTS];   /* for MAX_ROWS rows; fewer take the first ones */
    float *state[MAX_STATES]; /* contents before every call                    */
} fixture;

static qn_shape with_rows(qn_shape shape, uint32_t rows)
{
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0) shape.dim[i] = rows;
    return shape;
}

static size_t bytes_of(qn_shape shape)
{
    return (size_t)qn_shape_count(&shape) * 4;
}

static qn_dtype state_type(const op_case *c)
{
    return c->state_type ? c->state_type : QN_F32;
}

/* Random contents; of 16-bit and 8-bit types small positive numbers. */
static float *fill_state(const op_case *c, uint32_t i)
{
    size_t n = (size_t)qn_state_bytes(state_type(c), &c->states[i]) / 4;
    float *x = qn_test_floats(n, 200 + i, 1.0f);
    for (size_t k = 0; k < n && state_type(c) != QN_F32; k++) {
        uint32_t word = qn_test_random(200 + i, k) & 0x3F3F3F3F;
        memcpy(&x[k], &word, sizeof word);
    }
    return x;
}

static void fixture_open(fixture *f, qn_engine *engine, const op_case *c)
{
    memset(f, 0, sizeof *f);
    f->engine = engine;
    f->c = c;
    for (uint32_t i = 0; i < MAX_WEIGHTS && c->w[i].kind; i++) {
        if (c->w[i].shape.rank == 2) {
            f->matrix[i] =
                qn_test_matrix_make(c->w[i].kind, c->w[i].shape.dim[0], c->w[i].shape.dim[1], c->w[i].group, false, i);
            qn_assert_ok(qn_weight_create(engine, &f->matrix[i].desc, &f->weight[i]));
        } else {
            float *data = qn_test_floats(c->w[i].shape.dim[0], i, 1.0f);
            f->weight[i] = qn_test_plain(engine, "plain", c->w[i].shape, data);
            free(data);
        }
    }
    for (uint32_t i = 0; i < MAX_INPUTS && c->in[i].dtype; i++) {
        size_t n = bytes_of(with_rows(c->in[i].shape, MAX_ROWS)) / 4;
        float *x = qn_test_floats(n, 100 + i, 1.0f);
        if (c->in[i].dtype == QN_I32) /* ids of a small vocabulary */
            for (size_t k = 0; k < n; k++) {
                int32_t id = (int32_t)(1 + qn_test_random(1, k) % 49);
                memcpy(&x[k], &id, sizeof id);
            }
        if (c->data[i]) memcpy(x, c->data[i], n * sizeof *x);
        f->data[i] = x;
    }
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++) f->state[i] = fill_state(c, i);
}

static void fixture_close(fixture *f)
{
    for (uint32_t i = 0; i < MAX_WEIGHTS; i++) {
        qn_weight_free(f->weight[i]);
        qn_test_matrix_free(&f->matrix[i]);
    }
    for (uint32_t i = 0; i < MAX_INPUTS; i++) free(f->data[i]);
    for (uint32_t i = 0; i < MAX_STATES; i++) free(f->state[i]);
}

/* The one-op graph of the case, built for at most `rows` rows. */
static built build(const fixture *f, uint32_t rows)
{
    const op_case *c = f->c;
    built b = {.g = qn_test_graph(f->engine), .rows = rows};
    qn_graph_set_precision(b.g, c->precision);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (uint32_t i = 0; i < MAX_INPUTS && c->in[i].dtype; i++)
        b.in[i] = qn_graph_input(b.g, names[i], c->in[i].dtype, with_rows(c->in[i].shape, rows));
    for (uint32_t i = 0; i < MAX_WEIGHTS && f->weight[i]; i++) b.w[i] = qn_graph_weight(b.g, f->weight[i]);
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++)
        b.state[i] = qn_graph_state(b.g, names[i], state_type(c), c->states[i]);
    if (c->number) b.number = qn_graph_int(b.g, "number", CONTEXT);
    b.out = c->add(&b);
    if (b.out) qn_graph_output(b.g, b.out, "out");
    qn_assert_ok(qn_graph_build(b.g));
    return b;
}

static int64_t number_of(const op_case *c, const struct call *call)
{
    if (c->number == POSITION) return call->pos;
    uint32_t most = call->rows < MAX_LAST ? call->rows : MAX_LAST;
    return 1 + call->pos % most;
}

static void set_call(const fixture *f, const built *b, const struct call *call)
{
    for (uint32_t i = 0; i < MAX_INPUTS && b->in[i]; i++)
        qn_assert_ok(qn_graph_set_input(b->g, b->in[i], with_rows(f->c->in[i].shape, call->rows), f->data[i]));
    for (uint32_t i = 0; i < MAX_STATES && b->state[i]; i++)
        qn_assert_ok(qn_graph_write_state(b->g, b->state[i], f->state[i]));
    if (f->c->number) qn_assert_ok(qn_graph_set_int(b->g, b->number, number_of(f->c, call)));
}

/* ---- what a call did ------------------------------------------------------------------------- */

/* Dispatches, output and states as bytes; two results are equal or not. */
typedef struct result {
    char *bytes;
    size_t size;
    char kernels[512]; /* for the message */
} result;

static void append(result *r, const void *data, size_t n)
{
    r->bytes = realloc(r->bytes, r->size + n + 1);
    assert_non_null(r->bytes);
    if (n) memcpy(r->bytes + r->size, data, n);
    r->size += n;
}

static void append_dispatches(result *r, const qn_graph *g)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++) {
        qn_trace t = qn_graph_dispatch(g, i);
        append(r, t.kernel, strlen(t.kernel) + 1);
        append(r, t.grid, sizeof t.grid);
        append(r, &t.n_params, sizeof t.n_params);
        append(r, t.params, t.n_params * sizeof t.params[0]);
        size_t used = strlen(r->kernels);
        snprintf(r->kernels + used, sizeof r->kernels - used, " %s(%u,%u,%u)", t.kernel, t.grid[0], t.grid[1],
                 t.grid[2]);
    }
}

static result run(const fixture *f, const built *b, const struct call *call)
{
    result r = {0};
    set_call(f, b, call);
    qn_assert_ok(qn_test_execute(b->g));
    append_dispatches(&r, b->g);
    if (b->out) {
        qn_shape live;
        const void *data = qn_graph_output_data(b->g, b->out, &live);
        assert_non_null(data);
        append(&r, &live.rank, sizeof live.rank);
        append(&r, live.dim, live.rank * sizeof live.dim[0]);
        append(&r, data, bytes_of(live));
    }
    for (uint32_t i = 0; i < MAX_STATES && b->state[i]; i++) {
        size_t bytes = (size_t)qn_state_bytes(state_type(f->c), &f->c->states[i]);
        void *contents = calloc(1, bytes);
        qn_assert_ok(qn_test_read_state(b->g, b->state[i], contents));
        append(&r, contents, bytes);
        free(contents);
    }
    return r;
}

static bool has_rows(qn_shape shape)
{
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0) return true;
    return false;
}

/* Calls that must fail: rows beyond the maximum, a number that does not fit, and inputs that differ in rows. */
static void fail_calls(const fixture *f, const built *b, const struct call *next)
{
    qn_shape beyond = with_rows(f->c->in[0].shape, MAX_ROWS + 1);
    qn_assert_fails(qn_graph_set_input(b->g, b->in[0], beyond, f->data[0]), QN_ERR_ARGUMENT, "maximum");
    set_call(f, b, next);
    if (f->c->number) {
        qn_assert_ok(qn_graph_set_int(b->g, b->number, CONTEXT)); /* pos + rows, or the rows wanted, pass the end */
        assert_int_equal(qn_test_execute(b->g).code, QN_ERR_ARGUMENT);
        set_call(f, b, next);
    }
    if (b->in[1] && !f->c->any_rows && has_rows(f->c->in[1].shape)) {
        qn_shape other = with_rows(f->c->in[1].shape, next->rows == 1 ? 2 : next->rows - 1);
        qn_assert_ok(qn_graph_set_input(b->g, b->in[1], other, f->data[1]));
        assert_int_equal(qn_test_execute(b->g).code, QN_ERR_ARGUMENT);
    }
}

static void assert_same(const fixture *f, const char *route, const struct call *call, const char *when,
                        const result *got, const result *want)
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
    fixture f;
    fixture_open(&f, engine, c);
    result want[N_CALLS];
    for (size_t i = 0; i < N_CALLS; i++) {
        built b = build(&f, calls[i].rows);
        want[i] = run(&f, &b, &calls[i]);
        note_kernels(&b, forced_ran, route);
        qn_graph_close(b.g);
    }
    built b = build(&f, MAX_ROWS);
    for (size_t k = 0; k < 3 * N_CALLS; k++) {
        size_t turn = k / N_CALLS, i = turn == 1 ? N_CALLS - 1 - k % N_CALLS : k % N_CALLS;
        static const char *const when[] = {"in order", "in reverse order", "after failed calls"};
        if (turn == 2) fail_calls(&f, &b, &calls[(i + 3) % N_CALLS]);
        result got = run(&f, &b, &calls[i]);
        assert_same(&f, route, &calls[i], when[turn], &got, &want[i]);
        free(got.bytes);
    }
    qn_graph_close(b.g);
    for (size_t i = 0; i < N_CALLS; i++) free(want[i].bytes);
    fixture_close(&f);
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
