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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_modes),
        cmocka_unit_test(frequency_factors),
        cmocka_unit_test(turns_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
