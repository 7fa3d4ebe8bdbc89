/* Building a graph: the first failure stays and names the operation, nothing is added to a built graph, and the memory
 * table is what the engine holds. */
#include "support/op_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

static int set_up(void **state)
{
    *state = qn_test_engine(NULL);
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(*state);
    return 0;
}

/* ---- failures -------------------------------------------------------------------------------- */

static void the_first_failure_stays(void **state)
{
    qn_graph *g = qn_test_graph(*state);
    qn_value a = qn_graph_input(g, "a", QN_F32, qn_shape_2(2, 3)), b = qn_graph_input(g, "b", QN_F32, qn_shape_2(3, 2));
    qn_assert_ok(qn_graph_status(g));
    assert_int_equal(qn_add(g, a, b), 0);
    qn_status first = qn_graph_status(g);
    qn_assert_fails(first, QN_ERR_ARGUMENT, "add");
    /* Nothing that follows does anything, however wrong. */
    assert_int_equal(qn_mul(g, 0, 12345), 0);
    assert_int_equal(qn_graph_input(g, "c", QN_F32, qn_shape_1(0)), 0);
    assert_int_equal(qn_graph_int(g, "n", 3), 0);
    assert_int_equal(qn_graph_weight(g, NULL), 0);
    assert_int_equal(qn_view(g, a, qn_shape_1(0)), 0);
    qn_graph_output(g, a, "out");
    qn_status s = qn_graph_build(g);
    assert_string_equal(s.text, first.text);
    assert_string_equal(qn_graph_status(g).text, first.text);
    const float x[6] = {0};
    assert_string_equal(qn_graph_set_input(g, a, qn_shape_2(2, 3), x).text, first.text);
    assert_string_equal(qn_test_execute(g).text, first.text);
    qn_graph_close(g);
    qn_graph_close(NULL);
}

typedef struct failing {
    const char *part;
    qn_code code;
    void (*add)(qn_graph *g, qn_value x, qn_value n); /* x: f32 [4,8], n: an integer */
} failing;

static void rank_nine(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_input(g, "nine", QN_F32, (qn_shape){9, {1, 1, 1, 1, 1, 1, 1, 1}});
}

static void zero_dimension(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_state(g, "cache", QN_F32, qn_shape_3(1, 0, 4));
}

static void overflowing_size(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_input(g, "wide", QN_F32, qn_shape_4(UINT32_MAX, UINT32_MAX, UINT32_MAX, 2));
}

static void unknown_dtype(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_input(g, "typed", (qn_dtype)7, qn_shape_1(4));
}

static void null_weight(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_weight(g, NULL);
}

static void value_of_no_graph(qn_graph *g, qn_value x, qn_value n)
{
    (void)n;
    qn_mul(g, x, 4000);
}

static void absent_input(qn_graph *g, qn_value x, qn_value n)
{
    (void)n;
    qn_silu_mul(g, x, 0);
}

static void integer_for_tensor(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    qn_silu(g, n);
}

static void tensor_for_integer(qn_graph *g, qn_value x, qn_value n)
{
    (void)n;
    qn_last_rows(g, x, x, 4);
}

static void output_of_integer(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    qn_graph_output(g, n, "number");
}

static void output_of_nothing(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_graph_output(g, 0, "nothing");
}

static void odd_table(qn_graph *g, qn_value x, qn_value n)
{
    (void)x;
    (void)n;
    qn_rope_table(g, &(qn_rope_table_options){.head_dim = 7, .n_positions = 4, .freq_base = 1});
}

static void impossible_view(qn_graph *g, qn_value x, qn_value n)
{
    (void)n;
    qn_view(g, x, qn_shape_2(0, 5));
}

static void linear_without_matrix(qn_graph *g, qn_value x, qn_value n)
{
    (void)n;
    qn_linear(g, x, x, 0);
}

static void failures_name_what_failed(void **state)
{
    static const failing cases[] = {
        {"nine", QN_ERR_ARGUMENT, rank_nine},
        {"state cache: dimension 1", QN_ERR_ARGUMENT, zero_dimension},
        {"wide", QN_ERR_LIMIT, overflowing_size},
        {"typed", QN_ERR_ARGUMENT, unknown_dtype},
        {"weight", QN_ERR_ARGUMENT, null_weight},
        {"mul: input 1", QN_ERR_ARGUMENT, value_of_no_graph},
        {"silu_mul: input 1", QN_ERR_ARGUMENT, absent_input},
        {"silu: input 0 (n) must be a tensor", QN_ERR_ARGUMENT, integer_for_tensor},
        {"last_rows: input 1 (x) must be an integer", QN_ERR_ARGUMENT, tensor_for_integer},
        {"output number", QN_ERR_ARGUMENT, output_of_integer},
        {"output nothing", QN_ERR_ARGUMENT, output_of_nothing},
        {"rope table: head_dim 7", QN_ERR_ARGUMENT, odd_table},
        {"view", QN_ERR_ARGUMENT, impossible_view},
        {"linear", QN_ERR_ARGUMENT, linear_without_matrix},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_graph *g = qn_test_graph(*state);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(4, 8)), n = qn_graph_int(g, "n", 4);
        cases[i].add(g, x, n);
        qn_assert_fails(qn_graph_status(g), cases[i].code, cases[i].part);
        qn_assert_fails(qn_graph_build(g), cases[i].code, cases[i].part);
        qn_graph_close(g);
    }
}

static void a_weight_is_no_output(void **state)
{
    float data[4] = {1, 2, 3, 4};
    qn_weight *w = qn_test_plain(*state, "plain", qn_shape_1(4), data);
    qn_graph *g = qn_test_graph(*state);
    qn_graph_output(g, qn_graph_weight(g, w), "constant");
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "output constant");
    qn_graph_close(g);
    qn_weight_free(w);
}

static void a_built_graph_is_closed(void **state)
{
    for (int what = 0; what < 4; what++) {
        qn_graph *g = qn_test_graph(*state);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4)), y = qn_silu(g, x);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_fails(qn_graph_build(g), QN_ERR_STATE, "built already"); /* does no harm */
        const float data[4] = {1, 2, 3, 4};
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(4), data));
        qn_assert_ok(qn_test_execute(g));
        if (what == 0) assert_int_equal(qn_silu(g, y), 0);
        if (what == 1) assert_int_equal(qn_graph_input(g, "late", QN_F32, qn_shape_1(1)), 0);
        if (what == 2) qn_graph_output(g, x, "late");
        if (what == 3) assert_int_equal(qn_graph_int(g, "late", 1), 0);
        /* An addition cannot be answered there, so the graph says it from then on. */
        qn_assert_fails(qn_graph_status(g), QN_ERR_STATE, "the graph is built");
        qn_assert_fails(qn_test_execute(g), QN_ERR_STATE, "the graph is built");
        qn_graph_close(g);
    }
}

static void graphs_close_at_any_time(void **state)
{
    uint64_t held = qn_engine_gpu_bytes(*state, NULL);
    qn_graph *g = qn_test_graph(*state);
    qn_graph_close(g);
    g = qn_test_graph(*state);
    qn_assert_ok(qn_graph_build(g)); /* nothing in it */
    qn_assert_ok(qn_test_execute(g));
    assert_int_equal(qn_graph_n_dispatches(g), 0);
    qn_graph_close(g);
    g = qn_test_graph(*state);
    qn_silu(g, qn_graph_input(g, "x", QN_F32, qn_shape_1(4)));
    qn_graph_close(g);
    assert_int_equal(qn_engine_gpu_bytes(*state, NULL), held);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A chain of n silus, with a state and every so often an output. */
static qn_graph *chain(qn_engine *engine, int n, uint32_t width, qn_weight *w)
{
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(5, width));
    qn_value s = qn_graph_state(g, "s", QN_F32, qn_shape_2(5, width)), v = qn_graph_weight(g, w);
    qn_value y = qn_add(g, x, s);
    for (int i = 0; i < n; i++) y = qn_silu(g, y);
    y = qn_add(g, qn_rms_norm(g, y, v, 1e-5f), qn_rms_norm(g, x, qn_graph_weight(g, w), 1e-5f));
    qn_graph_output(g, y, "y");
    return g;
}

static void the_memory_table_is_what_is_held(void **state)
{
    qn_engine *engine = *state;
    float *ones = qn_test_floats(100, 1, 1.0f);
    for (int n = 1; n < 40; n += 13) {
        qn_weight *w = qn_test_plain(engine, "w", qn_shape_1(100), ones);
        uint64_t held = qn_engine_gpu_bytes(engine, NULL);
        qn_graph *g = chain(engine, n, 100, w);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held); /* nothing before build */
        qn_assert_ok(qn_graph_build(g));
        qn_memory_table m = qn_graph_memory(g);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL) - held, m.states + m.activations + m.scratch + m.io);
        assert_int_equal(m.weights, qn_weight_bytes(w)); /* though it is two values */
        assert_int_equal(m.states, 5 * 100 * 4);
        assert_true(m.activations <= m.activations_unpooled);
        assert_int_equal(m.n_slots, 3); /* however long the chain: two alternate, one waits for the end */
        assert_int_equal(m.activations, 3 * 2000);
        assert_int_equal(m.activations_unpooled, (uint64_t)(n + 4) * 2000);
        qn_graph_close(g);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held);
        qn_weight_free(w);
    }
    free(ones);
}

/* Planned without a device, the same graph takes the same memory. */
static void a_dry_graph_predicts_it(void **state)
{
    qn_engine *engine = *state;
    qn_memory_table tables[2];
    for (int dry = 0; dry < 2; dry++) {
        qn_graph *g = NULL;
        if (dry)
            qn_assert_ok(qn_graph_open_dry(NULL, qn_engine_device(engine), &g));
        else
            g = qn_test_graph(engine);
        qn_value q = qn_graph_input(g, "q", QN_F32, qn_shape_4(1, 6, 4, 8));
        qn_value k = qn_graph_input(g, "k", QN_F32, qn_shape_4(1, 6, 2, 8));
        qn_value kc = qn_graph_state(g, "kc", QN_F32, qn_shape_4(1, 30, 2, 8));
        qn_value vc = qn_graph_state(g, "vc", QN_F32, qn_shape_4(1, 30, 2, 8));
        qn_value pos = qn_graph_int(g, "pos", 30);
        qn_rope_table_options table = {.head_dim = 8, .n_positions = 30, .freq_base = 10000};
        qn_value a = qn_rope_table(g, &table);
        qn_value o = qn_sdpa_with_kv_cache(g, qn_rope(g, q, a, pos, QN_ROPE_HALF), k, k, kc, vc, pos, NULL);
        qn_graph_output(g, o, "o");
        qn_assert_ok(qn_graph_build(g));
        tables[dry] = qn_graph_memory(g);
        qn_graph_close(g);
    }
    assert_memory_equal(&tables[0], &tables[1], sizeof tables[0]);
    assert_true(tables[0].scratch > 0);
}

static void too_little_memory_is_an_error_of_build(void **state)
{
    qn_graph *g = qn_test_graph(*state);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(100u << 20)); /* 400 MiB, over core's buffer limit */
    qn_graph_output(g, qn_silu(g, x), "y");
    qn_status s = qn_graph_build(g);
    assert_int_equal(s.code, QN_ERR_LIMIT);
    assert_string_equal(qn_graph_build(g).text, s.text);
    qn_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_stays),  cmocka_unit_test(failures_name_what_failed),
        cmocka_unit_test(a_weight_is_no_output),    cmocka_unit_test(a_built_graph_is_closed),
        cmocka_unit_test(graphs_close_at_any_time), cmocka_unit_test(the_memory_table_is_what_is_held),
        cmocka_unit_test(a_dry_graph_predicts_it),  cmocka_unit_test(too_little_memory_is_an_error_of_build),
    };
    return cmocka_run_group_tests_name("build", tests, set_up, tear_down);
}
