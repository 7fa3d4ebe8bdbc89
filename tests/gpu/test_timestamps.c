/* GPU timestamps: between the dispatches of one pass where the device can, a pass a dispatch where it cannot, or the
 * whole pass; and none in the baseline. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdlib.h>

enum { N = 4096, MOST = 8 };

/* The software device with all that it has. NULL, with a message, when it has no timestamps. */
static qn_engine *open_engine(void)
{
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){0}, &engine));
    if (qn_engine_device(engine)->timestamps) return engine;
    print_message("%s has no timestamps: not run\n", qn_engine_device(engine)->name);
    qn_engine_close(engine);
    return NULL;
}

/* Times n_dispatches; returns how many figures came. */
static uint32_t time_dispatches(qn_test_affine *a, qn_encoder *encoder, qn_timing timing, uint32_t n_dispatches,
                                double *ns)
{
    uint32_t n = 0;
    qn_assert_ok(qn_encoder_begin(encoder, timing));
    for (uint32_t i = 0; i < n_dispatches; i++) qn_test_affine_dispatch(a, encoder, 0);
    qn_assert_ok(qn_encoder_submit(encoder));
    for (bool done = false; !done;) {
        qn_assert_ok(qn_gpu_poll(a->gpu, true));
        qn_assert_ok(qn_encoder_timestamps(encoder, ns, MOST, &n, &done));
    }
    for (uint32_t i = 0; i < n; i++) assert_true(ns[i] >= 0.0 && ns[i] < 60e9);
    return n;
}

static void check_timing(qn_engine *engine)
{
    qn_test_affine a = qn_test_affine_open(engine->gpu, N);
    qn_test_affine_set(&a, 0, 1.0f, 1.0f);
    qn_encoder *encoder = NULL;
    double ns[MOST];
    qn_assert_ok(qn_encoder_create(engine->gpu, 5, &encoder));
    bool in_pass = qn_engine_device(engine)->timestamps_in_pass;
    for (int turn = 0; turn < 3; turn++) {
        uint32_t passes = qn_encoder_get_counts(encoder).passes;
        assert_int_equal(time_dispatches(&a, encoder, QN_TIME_DISPATCHES, 5, ns), 5);
        assert_int_equal(qn_encoder_get_counts(encoder).passes - passes, in_pass ? 1 : 5);
        passes = qn_encoder_get_counts(encoder).passes;
        assert_int_equal(time_dispatches(&a, encoder, QN_TIME_PASS, 5, ns), 1); /* always one pass */
        assert_int_equal(qn_encoder_get_counts(encoder).passes - passes, 1);
        assert_true(ns[0] > 0.0);
        assert_int_equal(time_dispatches(&a, encoder, QN_TIME_NOTHING, 5, ns), 0);
        /* More dispatches than marks: those past them are not timed, and not counted with the last that is. */
        passes = qn_encoder_get_counts(encoder).passes;
        assert_int_equal(time_dispatches(&a, encoder, QN_TIME_DISPATCHES, 9, ns), 5);
        assert_int_equal(qn_encoder_get_counts(encoder).passes - passes, in_pass ? 1 : 6);
        assert_int_equal(time_dispatches(&a, encoder, QN_TIME_DISPATCHES, 0, ns), 0);
    }
    float y[N];
    qn_assert_ok(qn_test_read_buffer(engine->gpu, a.y, 0, y, sizeof y));
    qn_test_affine_check(y, N, 1.0f, 1.0f);
    qn_encoder_free(encoder);
    qn_test_affine_close(&a);
}

static void dispatches_and_passes_are_timed(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    if (!engine) return;
    check_timing(engine);
    qn_engine_close(engine);
}

static void a_pass_a_dispatch_without_the_native_feature(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    if (!engine) return;
    /* Pretend to be a browser's device. */
    ((qn_device_info *)(uintptr_t)qn_engine_device(engine))->timestamps_in_pass = false;
    check_timing(engine);
    qn_engine_close(engine);
}

/* A set of queries holds 4,096: a longer submission is timed as far as they go. */
static void long_submissions_are_timed_in_part(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    if (!engine) return;
    qn_encoder *encoder = NULL;
    qn_assert_ok(qn_encoder_create(engine->gpu, 100000, &encoder));
    qn_encoder_free(encoder);
    qn_engine_close(engine);
}

static void figures_not_asked_for_do_no_harm(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    if (!engine) return;
    qn_test_affine a = qn_test_affine_open(engine->gpu, N);
    qn_encoder *encoder = NULL;
    double ns[MOST];
    qn_assert_ok(qn_encoder_create(engine->gpu, 2, &encoder));
    for (int i = 0; i < 3; i++) { /* begun again while the figures are still on their way, or there */
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_DISPATCHES));
        qn_test_affine_dispatch(&a, encoder, 0);
        qn_assert_ok(qn_encoder_submit(encoder));
        if (i == 1) qn_assert_ok(qn_gpu_poll(engine->gpu, true));
    }
    assert_int_equal(time_dispatches(&a, encoder, QN_TIME_DISPATCHES, 2, ns), 2);
    qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_PASS));
    qn_test_affine_dispatch(&a, encoder, 0);
    qn_assert_ok(qn_encoder_submit(encoder));
    qn_encoder_free(encoder); /* and freed with them on their way */
    qn_encoder *untimed = NULL;
    qn_assert_ok(qn_encoder_create(engine->gpu, 0, &untimed));
    qn_assert_fails(qn_encoder_begin(untimed, QN_TIME_PASS), QN_ERR_STATE, "without timestamps");
    qn_encoder_free(untimed);
    qn_test_affine_close(&a);
    qn_engine_close(engine);
}

static void the_baseline_has_none(void **state)
{
    (void)state;
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_encoder *encoder = (qn_encoder *)&encoder;
    qn_assert_fails(qn_encoder_create(engine->gpu, 1, &encoder), QN_ERR_UNSUPPORTED, "baseline");
    assert_null(encoder);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4)), y = qn_silu(g, x);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_fails(qn_graph_set_profile(g, QN_PROFILE_TOTAL), QN_ERR_UNSUPPORTED, "timestamps");
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_OFF));
    const float data[4] = {1, 2, 3, 4};
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(4), data)); /* and it goes on without */
    assert_non_null(qn_test_run(g, y, qn_shape_1(4)));
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static void graphs_spread_the_figures_over_their_dispatches(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    if (!engine) return;
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(N));
    qn_value a = qn_silu(g, x), y = qn_add(g, a, x);
    qn_graph_output(g, y, "y");
    qn_assert_fails(qn_graph_set_profile(g, QN_PROFILE_TOTAL), QN_ERR_STATE, "not built");
    qn_assert_ok(qn_graph_build(g));
    float *data = qn_test_floats(N, 1, 1.0f);
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(N), data));
    /* The first use of a profile, with an execution prepared that has none. */
    qn_assert_ok(qn_graph_prepare(g));
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_DISPATCHES));
    assert_non_null(qn_test_run(g, y, qn_shape_1(N)));
    double sum = 0;
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++) sum += qn_graph_dispatch(g, i).gpu_ns;
    assert_true(sum > 0 && sum == qn_graph_gpu_ns(g));
    /* The same in steps, with nothing read back. */
    qn_assert_ok(qn_graph_want(g, y, false));
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_TOTAL));
    qn_assert_ok(qn_graph_submit(g));
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(g, &done));
    assert_true(qn_graph_gpu_ns(g) > 0);
    assert_int_equal(qn_graph_execute_counts(g).passes, 1);
    /* Switched on when an execution is prepared without marks. */
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_OFF));
    qn_assert_ok(qn_graph_prepare(g));
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_DISPATCHES));
    qn_assert_ok(qn_graph_submit(g));
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(g, &done));
    sum = 0;
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++) sum += qn_graph_dispatch(g, i).gpu_ns;
    assert_true(sum > 0 && sum == qn_graph_gpu_ns(g));
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_TOTAL));
    /* Switched off with figures on their way. */
    qn_assert_ok(qn_graph_submit(g));
    qn_assert_ok(qn_graph_set_profile(g, QN_PROFILE_OFF));
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(g, &done));
    qn_assert_ok(qn_graph_want(g, y, true));
    assert_non_null(qn_test_run(g, y, qn_shape_1(N)));
    free(data);
    qn_graph_close(g);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dispatches_and_passes_are_timed),
        cmocka_unit_test(a_pass_a_dispatch_without_the_native_feature),
        cmocka_unit_test(long_submissions_are_timed_in_part),
        cmocka_unit_test(figures_not_asked_for_do_no_harm),
        cmocka_unit_test(the_baseline_has_none),
        cmocka_unit_test(graphs_spread_the_figures_over_their_dispatches),
    };
    return cmocka_run_group_tests_name("timestamps", tests, NULL, NULL);
}
