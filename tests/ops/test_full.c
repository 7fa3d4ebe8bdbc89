/* full_like, full and arange: fixed shapes, another tensor's, and shapes computed by integers. */
#include "support/op_harness.h"

static void follows_a_shape(void **state)
{
    (void)state;
    static const float x[40] = {0};
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, qn_shape_2(8, 5));
    qn_value f32 = qn_full_like(g, in, QN_F32, 0.1), i32 = qn_full_like(g, in, QN_I32, -3);
    qn_graph_output(g, f32, "f32");
    qn_graph_output(g, i32, "i32");
    qn_assert_ok(qn_graph_build(g));
    static const uint32_t rows[] = {8, 1, 3, 8};
    for (size_t k = 0; k < 4; k++) {
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(rows[k], 5), x));
        const float *f = qn_test_run(g, f32, qn_shape_2(rows[k], 5));
        const int32_t *n = qn_graph_output_data(g, i32, NULL);
        for (uint32_t i = 0; i < rows[k] * 5; i++) assert_true(f[i] == 0.1f && n[i] == -3);
    }
    qn_graph_close(g);
    qn_engine_close(engine);
}

static void fixed_and_computed_shapes(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value n = qn_graph_int(g, "n", 300);
    const qn_value sizes[] = {0, n};
    qn_value scalar = qn_full(g, QN_F32, 2.5, (qn_shape){0}, NULL);
    qn_value grid = qn_full(g, QN_I32, 7, qn_shape_2(3, 300), sizes);
    qn_value steps = qn_arange(g, QN_F32, 1, -0.25, 300, n), all = qn_arange(g, QN_I32, -5, 3, 300, 0);
    qn_graph_output(g, scalar, "scalar");
    qn_graph_output(g, grid, "grid");
    qn_graph_output(g, steps, "steps");
    qn_graph_output(g, all, "all");
    qn_assert_ok(qn_graph_build(g));
    static const uint32_t numbers[] = {300, 1, 257, 2};
    for (size_t k = 0; k < 4; k++) {
        uint32_t m = numbers[k];
        qn_assert_ok(qn_graph_set_int(g, n, m));
        const int32_t *sevens = qn_test_run(g, grid, qn_shape_2(3, m));
        for (uint32_t i = 0; i < 3 * m; i++) assert_int_equal(sevens[i], 7);
        qn_shape live;
        const float *f = qn_graph_output_data(g, steps, &live);
        assert_true(live.rank == 1 && live.dim[0] == m);
        for (uint32_t i = 0; i < m; i++) assert_true(f[i] == 1.0f - 0.25f * (float)i);
        assert_true(*(const float *)qn_graph_output_data(g, scalar, NULL) == 2.5f);
        const int32_t *range = qn_graph_output_data(g, all, &live);
        assert_int_equal(live.dim[0], 300);
        for (int32_t i = 0; i < 300; i++) assert_int_equal(range[i], -5 + 3 * i);
    }
    qn_assert_ok(qn_graph_set_int(g, n, 0));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "is to be 0, outside 1..300");
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* A device whose bindings hold 1,000 words. */
static void windows(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4000);
    qn_graph *g = qn_test_graph(engine);
    qn_value n = qn_graph_int(g, "n", 2500), range = qn_arange(g, QN_I32, 0, 1, 2500, n);
    qn_graph_output(g, range, "range");
    qn_assert_ok(qn_graph_build(g));
    static const uint32_t numbers[] = {2500, 960, 961, 1};
    for (size_t k = 0; k < 4; k++) {
        qn_assert_ok(qn_graph_set_int(g, n, numbers[k]));
        const int32_t *got = qn_test_run(g, range, qn_shape_1(numbers[k]));
        for (uint32_t i = 0; i < numbers[k]; i++) assert_int_equal(got[i], i);
    }
    qn_graph_close(g);
    qn_engine_close(engine);
}

static void refused(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_full(g, QN_I32, 0.5, qn_shape_1(3), NULL);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "the number 0.5 is not an int32");
    qn_graph_close(g);
    g = qn_test_graph(engine);
    qn_full(g, QN_F32, 1, qn_shape_2(3, 0), NULL);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "[3,0] has no elements");
    qn_graph_close(g);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_a_shape),
        cmocka_unit_test(fixed_and_computed_shapes),
        cmocka_unit_test(windows),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
