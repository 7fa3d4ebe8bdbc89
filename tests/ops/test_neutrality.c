/* Neutrality of every operation and every kernel row: a graph built at the maximum and run at a live shape dispatches
 * the same kernels with the same grids and parameters, and gives the same bytes, as a graph built at that shape; in
 * any order of calls, after a failed call, and with the same rows at another position.
 *
 * An operation is a row of `cases`. Every row of the tables it names is forced in turn; at the end each kernel row of
 * ops.def must have run, or is listed as one that the software device cannot run. */
#include "support/op_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/op.h"

#define QN_OP(ID, name, plan)
#define QN_KERNELS(table) extern const qn_kernel_table table;
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS

enum { MAX_INPUTS = 3, MAX_WEIGHTS = 2, MAX_STATES = 2, MAX_TABLES = 4, MAX_ROWS = 40, CONTEXT = 64, MAX_LAST = 24 };

/* ---- the cases ------------------------------------------------------------------------------- */

typedef struct built {
    qn_graph *g;
    qn_value in[MAX_INPUTS], w[MAX_WEIGHTS], state[MAX_STATES], number, out;
} built;

typedef enum number_kind { NO_NUMBER = 0, POSITION, LAST_ROWS } number_kind;

typedef struct op_case {
    const char *name;
    qn_op op;
    const qn_kernel_table *tables[MAX_TABLES];
    struct {
        qn_shape shape; /* dimension 0: the live rows */
        qn_dtype dtype; /* 0 ends                     */
    } in[MAX_INPUTS];
    struct {
        qn_weight_kind kind; /* 0 ends                */
        qn_shape shape;      /* rank 2: a matrix      */
        uint32_t group;
    } w[MAX_WEIGHTS];
    qn_shape states[MAX_STATES]; /* rank 0 ends       */
    number_kind number;
    qn_value (*add)(const built *b);
} op_case;

static qn_value add_linear(const built *b)
{
    return qn_linear(b->g, b->in[0], b->w[0], b->w[1]);
}

static qn_value add_embedding(const built *b)
{
    return qn_embedding(b->g, b->w[0], b->in[0]);
}

static qn_value add_rms_norm(const built *b)
{
    return qn_rms_norm(b->g, b->in[0], b->w[0], 1e-5f);
}

static qn_value rope(const built *b, qn_rope_mode mode)
{
    qn_rope_table_options table = {.head_dim = 8, .n_positions = CONTEXT, .freq_base = 10000.0};
    return qn_rope(b->g, b->in[0], qn_rope_table(b->g, &table), b->number, mode);
}

static qn_value add_rope_interleaved(const built *b)
{
    return rope(b, QN_ROPE_INTERLEAVED);
}

static qn_value add_rope_half(const built *b)
{
    return rope(b, QN_ROPE_HALF);
}

static qn_value add_update_cache(const built *b)
{
    qn_update_cache(b->g, b->in[0], b->state[0], b->number);
    return 0;
}

static qn_value add_sdpa(const built *b)
{
    return qn_sdpa_with_kv_cache(b->g, b->in[0], b->in[1], b->in[2], b->state[0], b->state[1], b->number, NULL);
}

static qn_value add_add(const built *b)
{
    return qn_add(b->g, b->in[0], b->in[1]);
}

static qn_value add_mul(const built *b)
{
    return qn_mul(b->g, b->in[0], b->in[1]);
}

static qn_value add_silu(const built *b)
{
    return qn_silu(b->g, b->in[0]);
}

static qn_value add_silu_mul(const built *b)
{
    return qn_silu_mul(b->g, b->in[0], b->in[1]);
}

static qn_value add_view(const built *b)
{
    return qn_view(b->g, b->in[0], qn_shape_4(1, 0, 3, 4));
}

static qn_value add_last_rows(const built *b)
{
    return qn_last_rows(b->g, b->in[0], b->number, MAX_LAST);
}

#define ROWS_OF(e)                                                                                                     \
    {                                                                                                                  \
        {3, {1, 0, e}}, QN_F32                                                                                         \
    }
#define HEADS(heads, dim)                                                                                              \
    {                                                                                                                  \
        {4, {1, 0, heads, dim}}, QN_F32                                                                                \
    }
#define MATRIX(kind, n, k, group)                                                                                      \
    {                                                                                                                  \
        QN_WEIGHT_##kind, {2, {n, k}}, group                                                                           \
    }
#define VECTOR(n)                                                                                                      \
    {                                                                                                                  \
        QN_WEIGHT_F32, {1, {n}}, 0                                                                                     \
    }
#define LINEAR(text, kind, n, k, group)                                                                                \
    {                                                                                                                  \
        .name = text, .op = QN_OP_LINEAR, .tables = {&qn_linear_kernels}, .in = {ROWS_OF(k)},                          \
        .w = {MATRIX(kind, n, k, group), VECTOR(n)}, .add = add_linear                                                 \
    }
#define EMBEDDING(text, kind, k, group)                                                                                \
    {                                                                                                                  \
        .name = text, .op = QN_OP_EMBEDDING, .tables = {&qn_embedding_kernels}, .in = {{{2, {1, 0}}, QN_I32}},         \
        .w = {MATRIX(kind, 50, k, group)}, .add = add_embedding                                                        \
    }
#define PAIR(text, ID, e, function)                                                                                    \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&qn_elementwise_kernels}, .in = {ROWS_OF(e), ROWS_OF(e)},           \
        .add = function                                                                                                \
    }
#define ROPE(text, function)                                                                                           \
    {                                                                                                                  \
        .name = text, .op = QN_OP_ROPE, .tables = {&qn_rope_kernels}, .in = {HEADS(3, 8)}, .number = POSITION,         \
        .add = function                                                                                                \
    }
#define CACHE(heads, dim)                                                                                              \
    {                                                                                                                  \
        4,                                                                                                             \
        {                                                                                                              \
            1, CONTEXT, heads, dim                                                                                     \
        }                                                                                                              \
    }
#define SDPA(text, heads, kv_heads, dim)                                                                               \
    {                                                                                                                  \
        .name = text, .op = QN_OP_SDPA,                                                                                \
        .tables = {&qn_sdpa_qk_kernels, &qn_sdpa_softmax_kernels, &qn_sdpa_av_kernels, &qn_update_cache_kernels},      \
        .in = {HEADS(heads, dim), HEADS(kv_heads, dim), HEADS(kv_heads, dim)},                                         \
        .states = {CACHE(kv_heads, dim), CACHE(kv_heads, dim)}, .number = POSITION, .add = add_sdpa                    \
    }
#define UPDATE_CACHE(text, heads, dim)                                                                                 \
    {                                                                                                                  \
        .name = text, .op = QN_OP_UPDATE_CACHE, .tables = {&qn_update_cache_kernels}, .in = {HEADS(heads, dim)},       \
        .states = {CACHE(heads, dim)}, .number = POSITION, .add = add_update_cache                                     \
    }

static const op_case cases[] = {
    LINEAR("q4 by 32", Q4, 48, 128, 32),
    LINEAR("q4 by 64", Q4, 40, 128, 64),
    LINEAR("q4 by 128", Q4, 33, 256, 128),
    LINEAR("q4, ragged", Q4, 17, 100, 20),
    LINEAR("q4a", Q4A, 48, 64, 32),
    LINEAR("q8", Q8, 48, 64, 16),
    LINEAR("f16", F16, 21, 96, 0),
    LINEAR("bf16", BF16, 16, 32, 0),
    LINEAR("f32", F32, 20, 37, 0),
    EMBEDDING("q4", Q4, 64, 32),
    EMBEDDING("f16", F16, 37, 0),
    {.name = "E=64",
     .op = QN_OP_RMS_NORM,
     .tables = {&qn_rms_norm_kernels},
     .in = {ROWS_OF(64)},
     .w = {VECTOR(64)},
     .add = add_rms_norm},
    {.name = "E=25",
     .op = QN_OP_RMS_NORM,
     .tables = {&qn_rms_norm_kernels},
     .in = {ROWS_OF(25)},
     .w = {VECTOR(25)},
     .add = add_rms_norm},
    ROPE("interleaved", add_rope_interleaved),
    ROPE("half", add_rope_half),
    UPDATE_CACHE("D=8", 2, 8),
    UPDATE_CACHE("D=3", 3, 3),
    SDPA("4 heads", 4, 4, 8),
    SDPA("6 heads on 2", 6, 2, 16),
    PAIR("E=16", ADD, 16, add_add),
    PAIR("E=5", ADD, 5, add_add),
    PAIR("E=6", MUL, 6, add_mul),
    {.name = "E=7", .op = QN_OP_SILU, .tables = {&qn_elementwise_kernels}, .in = {ROWS_OF(7)}, .add = add_silu},
    PAIR("E=20", SILU_MUL, 20, add_silu_mul),
    {.name = "heads", .op = QN_OP_VIEW, .in = {ROWS_OF(12)}, .add = add_view},
    {.name = "E=10",
     .op = QN_OP_LAST_ROWS,
     .tables = {&qn_last_rows_kernels},
     .in = {{{2, {0, 10}}, QN_F32}},
     .number = LAST_ROWS,
     .add = add_last_rows},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* Live rows and position of each call; the reverse order follows. */
static const struct call {
    uint32_t rows, pos;
} calls[] = {{40, 0}, {1, 40}, {3, 7}, {40, 24}, {1, 0}, {9, 5}, {8, 5}, {3, 50}, {33, 1}, {2, 2}};
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
                int32_t id = (int32_t)(qn_test_random(1, k) % 50);
                memcpy(&x[k], &id, sizeof id);
            }
        f->data[i] = x;
    }
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++)
        f->state[i] = qn_test_floats(bytes_of(c->states[i]) / 4, 200 + i, 1.0f);
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
    built b = {.g = qn_test_graph(f->engine)};
    static const char *const names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < MAX_INPUTS && c->in[i].dtype; i++)
        b.in[i] = qn_graph_input(b.g, names[i], c->in[i].dtype, with_rows(c->in[i].shape, rows));
    for (uint32_t i = 0; i < MAX_WEIGHTS && f->weight[i]; i++) b.w[i] = qn_graph_weight(b.g, f->weight[i]);
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++)
        b.state[i] = qn_graph_state(b.g, names[i], QN_F32, c->states[i]);
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
        size_t bytes = bytes_of(f->c->states[i]);
        void *contents = calloc(1, bytes);
        qn_assert_ok(qn_test_read_state(b->g, b->state[i], contents));
        append(&r, contents, bytes);
        free(contents);
    }
    return r;
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
    if (b->in[1]) {
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
    for (size_t i = 0; i < N_CASES; i++) check_case(engine, &cases[i], "default", &ran);
    qn_engine_close(engine);
}

static void force_row(const qn_kernel_table *table, const qn_kernel_row *row)
{
    qn_engine *engine = qn_test_engine(row->name);
    if (!qn_row_runs_on(row, qn_engine_device(engine))) {
        print_message("%s: not run, the software device with core features lacks what it needs\n", row->name);
        qn_engine_close(engine);
        return;
    }
    bool ran = false;
    for (size_t i = 0; i < N_CASES; i++)
        if (uses(&cases[i], table)) check_case(engine, &cases[i], row->name, &ran);
    qn_engine_close(engine);
    if (!ran) fail_msg("no case dispatches the kernel row %s: add one", row->name);
}

static void every_forced_row(void **state)
{
    (void)state;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++) force_row(*t, &(*t)->rows[i]);
}

static void every_op_has_a_case(void **state)
{
    (void)state;
    for (int op = 0; op < QN_OP_COUNT; op++) {
        size_t i = 0;
        while (i < N_CASES && cases[i].op != (qn_op)op) i++;
        if (i == N_CASES) fail_msg("%s has no case", qn_ops[op].name);
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
