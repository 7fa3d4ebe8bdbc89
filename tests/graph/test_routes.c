/* Routes: one graph, driven through 128, 1, 3, 128, 1 live rows, dispatches the many-row, one-row, few-row, many-row
 * and one-row kernel of the adapter's table, with exact grids and the same results as a graph built at each size. */
#include "support/op_harness.h"

#include <string.h>

enum { N = 96, K = 64, MAX_M = 128 };

static const uint32_t live[] = {128, 1, 3, 128, 1};
enum { N_CALLS = sizeof live / sizeof live[0] };

typedef struct graph_of_one {
    qn_graph *graph;
    qn_value x, y;
} graph_of_one;

static graph_of_one build(qn_engine *engine, qn_weight *w, uint32_t max_m)
{
    graph_of_one g = {.graph = qn_test_graph(engine)};
    g.x = qn_graph_input(g.graph, "x", QN_F32, qn_shape_2(max_m, K));
    g.y = qn_linear(g.graph, g.x, qn_graph_weight(g.graph, w), 0);
    qn_graph_output(g.graph, g.y, "y");
    qn_assert_ok(qn_graph_build(g.graph));
    return g;
}

static const float *run(const graph_of_one *g, uint32_t m, const float *x)
{
    qn_assert_ok(qn_graph_set_input(g->graph, g->x, qn_shape_2(m, K), x));
    return qn_test_run(g->graph, g->y, qn_shape_2(m, N));
}

/* What the table of the software device says for N = 96: tiles of 32 weight rows and 8, 1 or 4 rows of x. */
static void live_rows_choose_kernel_and_grid(void **state)
{
    static const struct {
        const char *kernel;
        uint32_t grid[3];
    } expected[N_CALLS] = {{"linear.quad8", {3, 16, 1}},
                           {"linear.quad1", {3, 1, 1}},
                           {"linear.quad4", {3, 1, 1}},
                           {"linear.quad8", {3, 16, 1}},
                           {"linear.quad1", {3, 1, 1}}};
    qn_engine *engine = *state;
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, 32, true, 1);
    qn_weight *w;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    float x[MAX_M * K], y[MAX_M * N];
    qn_test_fill(x, MAX_M * K, 2, 1.0f);
    graph_of_one g = build(engine, w, MAX_M);
    for (size_t i = 0; i < N_CALLS; i++) {
        memcpy(y, run(&g, live[i], x), sizeof(float) * live[i] * N);
        assert_int_equal(qn_graph_n_dispatches(g.graph), 1);
        qn_trace trace = qn_graph_dispatch(g.graph, 0);
        assert_string_equal(trace.kernel, expected[i].kernel);
        assert_memory_equal(trace.grid, expected[i].grid, sizeof trace.grid);
        assert_int_equal(trace.params[0], live[i]);
        graph_of_one exact = build(engine, w, live[i]);
        assert_memory_equal(run(&exact, live[i], x), y, sizeof(float) * live[i] * N);
        qn_graph_close(exact.graph);
    }
    qn_graph_close(g.graph);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
}

static int open_engine(void **state)
{
    *state = qn_test_engine(NULL);
    return 0;
}

static int close_engine(void **state)
{
    qn_engine_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(live_rows_choose_kernel_and_grid)};
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
