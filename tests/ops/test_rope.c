/* rope on the software device against the plain reference. */
#include "ops/op.h"
#include "ops/rope_ref.h"
#include "support/op_harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const qn_tolerance tolerance = {1e-6, 1e-6};

/* The table's definition, in float64. */
static float *make_table(const qn_rope_table_options *o)
{
    uint32_t half = o->head_dim / 2;
    float *table = qn_test_floats((size_t)o->n_positions * half * 2, 0, 0.0f);
    for (uint32_t p = 0; p < o->n_positions; p++)
        for (uint32_t i = 0; i < half; i++) {
            double angle = p * pow(o->freq_base, -2.0 * i / o->head_dim);
            if (o->freq_factors) angle /= (double)o->freq_factors[i];
            table[2 * ((size_t)p * half + i)] = (float)cos(angle);
            table[2 * ((size_t)p * half + i) + 1] = (float)sin(angle);
        }
    return table;
}

typedef struct call {
    uint32_t rows, pos;
} call;

static void check_mode(qn_engine *engine, qn_rope_mode mode, uint32_t heads, uint32_t head_dim, const float *factors)
{
    enum { MAX_ROWS = 9, POSITIONS = 1200 };
    static const call calls[] = {{9, 0}, {1, 9}, {3, 1000}, {1, POSITIONS - 1}, {9, POSITIONS - 9}};
    qn_rope_table_options o = {
        .head_dim = head_dim, .n_positions = POSITIONS, .freq_base = 500000.0, .freq_factors = factors};
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_4(1, MAX_ROWS, heads, head_dim));
    qn_value pos = qn_graph_int(g, "input_pos", POSITIONS);
    qn_value y = qn_rope(g, x, qn_rope_table(g, &o), pos, mode);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    float *table = make_table(&o);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        size_t n = (size_t)calls[i].rows * heads * head_dim;
        float *in = qn_test_floats(n, i, 2.0f);
        double *want = malloc(n * sizeof *want);
        assert_non_null(want);
        qn_rope_ref(in, table, want, calls[i].rows, heads, head_dim, calls[i].pos, mode);
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_4(1, calls[i].rows, heads, head_dim), in));
        qn_assert_ok(qn_graph_set_int(g, pos, calls[i].pos));
        const float *got = qn_test_run(g, y, qn_shape_4(1, calls[i].rows, heads, head_dim));
        qn_test_compare("rope", got, want, n, tolerance);
        free(in);
        free(want);
    }
    qn_assert_ok(qn_graph_set_int(g, pos, POSITIONS - 8));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "passes the table's 1200 positions");
    qn_graph_close(g);
    free(table);
}

static void both_modes(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 2}, {3, 16}, {2, 64}, {5, 6}, {32, 80}, {7, 128}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int mode = QN_ROPE_INTERLEAVED; mode <= QN_ROPE_HALF; mode++)
            check_mode(engine, (qn_rope_mode)mode, shapes[i][0], shapes[i][1], NULL);
    qn_engine_close(engine);
}

static void frequency_factors(void **state)
{
    (void)state;
    static const float factors[8] = {1.0f, 1.0f, 1.5f, 2.0f, 4.0f, 8.0f, 32.0f, 32.0f};
    qn_engine *engine = qn_test_engine(NULL);
    check_mode(engine, QN_ROPE_INTERLEAVED, 4, 16, factors);
    check_mode(engine, QN_ROPE_HALF, 4, 16, factors);
    qn_engine_close(engine);
}

/* Position 0 turns nothing; a turn keeps the length of each pair. */
static void turns_pairs(void **state)
{
    (void)state;
    float x[8], table[2 * 4 * 2] = {1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1};
    double y[8];
    qn_test_fill(x, 8, 3, 1.0f);
    qn_rope_ref(x, table, y, 1, 1, 8, 0, QN_ROPE_HALF);
    for (int i = 0; i < 8; i++) assert_true(y[i] == (double)x[i]);
    qn_rope_ref(x, table, y, 1, 1, 8, 1, QN_ROPE_HALF); /* a quarter turn: (a, b) -> (-b, a) */
    for (int i = 0; i < 4; i++) assert_true(y[i] == -(double)x[i + 4] && y[i + 4] == (double)x[i]);
    qn_rope_ref(x, table, y, 1, 1, 8, 1, QN_ROPE_INTERLEAVED);
    for (int i = 0; i < 4; i++) assert_true(y[2 * i] == -(double)x[2 * i + 1] && y[2 * i + 1] == (double)x[2 * i]);
}

/* ---- two tables ------------------------------------------------------------------------------ */

/* The numbers of ExecuTorch's own tests: ((i mod m) - off) / 16. */
static float *ramp(size_t n, uint32_t m, int off)
{
    float *x = qn_test_floats(n, 0, 0.0f);
    for (size_t i = 0; i < n; i++) x[i] = (float)((int)(i % m) - off) / 16.0f;
    return x;
}

typedef struct tables_case {
    uint32_t batch, max_rows, heads, head_dim, positions;
    qn_rope_mode mode;
    bool has_pos;
} tables_case;

/* The graph of a case at its maximum; the tables are inputs, or with positions weights. */
typedef struct tables_graph {
    qn_graph *g;
    qn_value x, cosines, sines, pos, y;
    qn_weight *weights[2];
    float *c, *s;
} tables_graph;

static tables_graph open_tables(qn_engine *engine, const tables_case *t)
{
    uint32_t width = t->mode == QN_ROPE_HALF ? t->head_dim : t->head_dim / 2;
    qn_shape table = qn_shape_2(t->positions, width);
    tables_graph b = {.g = qn_test_graph(engine)};
    b.c = ramp((size_t)t->positions * width, 11, 5);
    b.s = ramp((size_t)t->positions * width, 7, 3);
    b.x = qn_graph_input(b.g, "x", QN_F32, qn_shape_4(t->batch, t->max_rows, t->heads, t->head_dim));
    if (t->has_pos) {
        b.weights[0] = qn_test_plain(engine, "cos", table, b.c);
        b.weights[1] = qn_test_plain(engine, "sin", table, b.s);
        b.cosines = qn_graph_weight(b.g, b.weights[0]);
        b.sines = qn_graph_weight(b.g, b.weights[1]);
        b.pos = qn_graph_int(b.g, "input_pos", INT32_MAX);
    } else {
        b.cosines = qn_graph_input(b.g, "cos", QN_F32, table);
        b.sines = qn_graph_input(b.g, "sin", QN_F32, table);
    }
    b.y = qn_rope_tables(b.g, b.x, b.cosines, b.sines, b.pos, t->mode);
    qn_graph_output(b.g, b.y, "y");
    qn_assert_ok(qn_graph_build(b.g));
    return b;
}

static void close_tables(tables_graph *b)
{
    qn_graph_close(b->g);
    qn_weight_free(b->weights[0]);
    qn_weight_free(b->weights[1]);
    free(b->c);
    free(b->s);
}

static void set_rows(const tables_graph *b, const tables_case *t, uint32_t batch, call at, const float *x)
{
    uint32_t width = t->mode == QN_ROPE_HALF ? t->head_dim : t->head_dim / 2;
    qn_assert_ok(qn_graph_set_input(b->g, b->x, qn_shape_4(batch, at.rows, t->heads, t->head_dim), x));
    if (t->has_pos) {
        qn_assert_ok(qn_graph_set_int(b->g, b->pos, at.pos));
        return;
    }
    qn_assert_ok(qn_graph_set_input(b->g, b->cosines, qn_shape_2(at.rows, width), b->c));
    qn_assert_ok(qn_graph_set_input(b->g, b->sines, qn_shape_2(at.rows, width), b->s));
}

static void run_rows(const tables_graph *b, const tables_case *t, uint32_t batch, call at)
{
    size_t n = (size_t)batch * at.rows * t->heads * t->head_dim;
    float *x = ramp(n, 17, 8);
    double *want = malloc(n * sizeof *want);
    assert_non_null(want);
    qn_rope_ref_size size = {batch, at.rows, t->heads, t->head_dim, at.pos};
    qn_rope_tables_ref(x, b->c, b->s, want, size, t->mode);
    set_rows(b, t, batch, at, x);
    qn_test_compare("rope_tables", qn_test_run(b->g, b->y, qn_shape_4(batch, at.rows, t->heads, t->head_dim)), want, n,
                    tolerance);
    free(x);
    free(want);
}

/* Shapes of tables.md's section on RoPE, then ragged ones; positions with the first and the last row. */
static void two_tables(void **state)
{
    (void)state;
    static const tables_case cases[] = {
        {1, 5, 8, 64, 5, QN_ROPE_INTERLEAVED, false},  {1, 5, 2, 64, 5, QN_ROPE_INTERLEAVED, false},
        {1, 1, 32, 64, 1, QN_ROPE_INTERLEAVED, false}, {1, 16, 8, 64, 16, QN_ROPE_INTERLEAVED, false},
        {3, 7, 3, 10, 7, QN_ROPE_INTERLEAVED, false},  {2, 4, 1, 2, 4, QN_ROPE_HALF, false},
        {1, 16, 16, 128, 16, QN_ROPE_HALF, true},      {1, 5, 8, 64, 16, QN_ROPE_HALF, true},
        {3, 5, 2, 6, 16, QN_ROPE_HALF, true},          {2, 5, 3, 6, 16, QN_ROPE_INTERLEAVED, true},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const tables_case *t = &cases[i];
        tables_graph b = open_tables(engine, t);
        uint32_t most = t->max_rows, room = t->has_pos ? t->positions - 1 : 0;
        const call calls[] = {
            {most, 0}, {1, room}, {most, room ? t->positions - most : 0}, {(most + 1) / 2, 0}, {1, 0}};
        for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) run_rows(&b, t, t->batch, calls[c]);
        run_rows(&b, t, 1, calls[3]);
        assert_true(qn_test_dispatched(b.g, "rope.tables"));
        close_tables(&b);
    }
    qn_engine_close(engine);
}

/* Positions outside the tables, and rows that the tables do not have. */
static void two_tables_refuse(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    const tables_case half = {1, 5, 2, 8, 16, QN_ROPE_HALF, true};
    tables_graph b = open_tables(engine, &half);
    float x[5 * 2 * 8] = {0};
    static const struct {
        uint32_t rows;
        int64_t pos;
    } past[] = {{1, 16}, {5, 12}, {1, INT32_MAX}};
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        set_rows(&b, &half, 1, (call){past[i].rows, (uint32_t)past[i].pos}, x);
        qn_assert_fails(qn_test_execute(b.g), QN_ERR_ARGUMENT, "passes the table's 16 positions");
    }
    close_tables(&b);
    const tables_case pairs = {1, 5, 2, 8, 5, QN_ROPE_INTERLEAVED, false};
    b = open_tables(engine, &pairs);
    set_rows(&b, &pairs, 1, (call){4, 0}, x);
    qn_assert_ok(qn_graph_set_input(b.g, b.x, qn_shape_4(1, 3, 2, 8), x));
    qn_assert_fails(qn_test_execute(b.g), QN_ERR_ARGUMENT, "the tables have 4 rows for x's 3");
    close_tables(&b);
    static const struct {
        qn_shape x, c, s;
        qn_rope_mode mode;
        int32_t pos; /* -2: none */
        qn_code code;
        const char *text;
    } cases[] = {
        {{2, {4, 8}}, {2, {4, 4}}, {2, {4, 4}}, QN_ROPE_INTERLEAVED, -2, QN_ERR_ARGUMENT, "[4,8], not [..., rows"},
        {{4, {1, 4, 2, 7}}, {2, {4, 4}}, {2, {4, 4}}, QN_ROPE_INTERLEAVED, -2, QN_ERR_UNSUPPORTED, "7 is odd"},
        {{4, {1, 4, 2, 8}},
         {2, {4, 8}},
         {2, {4, 8}},
         QN_ROPE_INTERLEAVED,
         -2,
         QN_ERR_ARGUMENT,
         "not f32 [positions, 4]"},
        {{4, {1, 4, 2, 8}}, {2, {4, 4}}, {2, {4, 4}}, QN_ROPE_HALF, 0, QN_ERR_ARGUMENT, "not f32 [positions, 8]"},
        {{4, {1, 4, 2, 8}}, {2, {4, 4}}, {2, {5, 4}}, QN_ROPE_INTERLEAVED, -2, QN_ERR_ARGUMENT, "differ in shape"},
        {{4, {1, 4, 2, 8}}, {2, {5, 4}}, {2, {5, 4}}, QN_ROPE_INTERLEAVED, -2, QN_ERR_ARGUMENT, "5 rows for x's 4"},
        {{4, {1, 4, 2, 8}}, {2, {5, 8}}, {2, {5, 8}}, QN_ROPE_HALF, -1, QN_ERR_ARGUMENT, "-1, below 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value v = qn_graph_input(g, "x", QN_F32, cases[i].x), c = qn_graph_input(g, "c", QN_F32, cases[i].c);
        qn_value s = qn_graph_input(g, "s", QN_F32, cases[i].s);
        qn_value pos = cases[i].pos == -2 ? 0 : qn_graph_const_int(g, cases[i].pos);
        assert_int_equal(qn_rope_tables(g, v, c, s, pos, cases[i].mode), 0);
        qn_assert_fails(qn_graph_status(g), cases[i].code, cases[i].text);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_modes), cmocka_unit_test(frequency_factors), cmocka_unit_test(turns_pairs),
        cmocka_unit_test(two_tables), cmocka_unit_test(two_tables_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
