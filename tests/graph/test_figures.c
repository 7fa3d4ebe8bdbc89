/* What can be asked of a graph besides its results: the work of its dispatches, the host's time, and the device's
 * peaks to hold kernels against. */
#include "support/gpu_harness.h"

#include <stdlib.h>

#include "graph/graph.h"

enum { M = 6, N = 64, K = 96 };

typedef struct fixture {
    qn_engine *engine;
    qn_weight *w;
    qn_graph *g;
    qn_value x, y;
    float *data;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){0}, &f.engine));
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, 32, true, 1);
    qn_assert_ok(qn_weight_create(f.engine, &m.desc, &f.w));
    qn_test_matrix_free(&m);
    f.g = qn_test_graph(f.engine);
    f.x = qn_graph_input(f.g, "x", QN_F32, qn_shape_2(M, K));
    f.y = qn_silu(f.g, qn_linear(f.g, f.x, qn_graph_weight(f.g, f.w), 0));
    qn_graph_output(f.g, f.y, "y");
    qn_assert_ok(qn_graph_build(f.g));
    f.data = qn_test_floats(M * K, 1, 1.0f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    free(f->data);
    qn_graph_close(f->g);
    qn_weight_free(f->w);
    qn_engine_close(f->engine);
    return 0;
}

/* Products and sums of the live rows; every byte that has to be touched, once. */
static void work_is_that_of_the_live_shape(void **state)
{
    const fixture *f = *state;
    for (uint32_t m = 1; m <= M; m += M - 1) {
        qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(m, K), f->data));
        assert_non_null(qn_test_run(f->g, f->y, qn_shape_2(m, N)));
        assert_int_equal(qn_graph_n_dispatches(f->g), 2);
        qn_trace linear = qn_graph_dispatch(f->g, 0), silu = qn_graph_dispatch(f->g, 1);
        assert_true(linear.flops == 2.0 * m * N * K);
        assert_true(linear.bytes == N * K / 2 + N * K / 32 * 2 + 4.0 * m * (N + K));
        assert_true(silu.flops == 0 && silu.bytes == 4.0 * 2 * m * N);
    }
}

static void the_host_s_times_are_told(void **state)
{
    const fixture *f = *state;
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(2, K), f->data));
    assert_non_null(qn_test_run(f->g, f->y, qn_shape_2(2, N)));
    qn_execute_counts counts = qn_graph_execute_counts(f->g);
    assert_int_equal(counts.dispatches, 2);
    assert_true(counts.plan_ns > 0 && counts.plan_ns < 60e9);
    assert_true(counts.encode_ns > 0 && counts.encode_ns < 60e9);
}

#ifndef QN_NO_BLOCKING
static void peaks_are_measured(void **state)
{
    const fixture *f = *state;
    qn_peaks peaks;
    if (!qn_engine_device(f->engine)->timestamps) skip();
    uint64_t before = qn_engine_gpu_bytes(f->engine, NULL);
    qn_assert_ok(qn_engine_measure_peaks(f->engine, &peaks));
    assert_true(peaks.copy_bytes > 1e7 && peaks.copy_bytes < 1e14);
    assert_true(peaks.f32_flops > 1e8 && peaks.f32_flops < 1e16);
    assert_true(peaks.i8_ops > 1e8 && peaks.i8_ops < 1e17);
    assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), before);
}

static void peaks_that_cannot_be_measured(void **state)
{
    (void)state;
    qn_engine *engine = NULL;
    qn_peaks peaks = {1, 1, 1};
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_assert_fails(qn_engine_measure_peaks(engine, &peaks), QN_ERR_UNSUPPORTED, "timestamps");
    assert_true(peaks.copy_bytes == 0 && peaks.f32_flops == 0 && peaks.i8_ops == 0);
    qn_engine_close(engine);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.fail_allocation_after = 10 << 20}, &engine));
    uint64_t before = qn_engine_gpu_bytes(engine, NULL);
    qn_assert_fails(qn_engine_measure_peaks(engine, &peaks), QN_ERR_GPU_MEMORY, "peaks");
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), before);
    qn_engine_close(engine);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_that_of_the_live_shape),
        cmocka_unit_test(the_host_s_times_are_told),
#ifndef QN_NO_BLOCKING
        cmocka_unit_test(peaks_are_measured),
        cmocka_unit_test(peaks_that_cannot_be_measured),
#endif
    };
    return cmocka_run_group_tests_name("figures", tests, set_up, tear_down);
}
