/* Running a graph: what live shapes, integers and calls out of turn are refused, what is read back, what states keep,
 * what a view is. */
#include "support/op_harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

enum { ROWS = 6, WIDTH = 8, CACHE = 10 };

/* h = silu(x), y = last n rows of h, z = h seen as [rows * 2, 4]; x is also written to a cache at row n. */
typedef struct fixture {
    qn_engine *engine;
    qn_graph *g;
    qn_value x, n, cache, h, y, z;
    float data[ROWS * WIDTH];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->engine = qn_test_engine(NULL);
    f->g = qn_test_graph(f->engine);
    f->x = qn_graph_input(f->g, "x", QN_F32, qn_shape_2(ROWS, WIDTH));
    f->n = qn_graph_int(f->g, "count", CACHE);
    f->cache = qn_graph_state(f->g, "cache", QN_F32, qn_shape_4(1, CACHE, 1, WIDTH));
    f->h = qn_silu(f->g, f->x);
    f->y = qn_last_rows(f->g, f->h, f->n, ROWS);
    f->z = qn_view(f->g, f->h, qn_shape_2(0, 4));
    qn_update_cache(f->g, qn_view(f->g, f->x, qn_shape_4(1, 0, 1, WIDTH)), f->cache, f->n);
    qn_graph_output(f->g, f->y, "y");
    qn_graph_output(f->g, f->z, "z");
    qn_test_fill(f->data, ROWS * WIDTH, 1, 2.0f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_graph_close(f->g);
    qn_engine_close(f->engine);
    free(f);
    return 0;
}

static void build(const fixture *f)
{
    qn_assert_ok(qn_graph_build(f->g));
}

static void set(const fixture *f, uint32_t rows, int64_t n)
{
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(rows, WIDTH), f->data));
    qn_assert_ok(qn_graph_set_int(f->g, f->n, n));
}

static void check_silu(const fixture *f, const float *got, uint32_t first_row, uint32_t n)
{
    double want[ROWS * WIDTH];
    for (uint32_t i = 0; i < n * WIDTH; i++) {
        double x = (double)f->data[first_row * WIDTH + i];
        want[i] = x / (1.0 + exp(-x));
    }
    qn_test_compare("silu", got, want, n * WIDTH, (qn_tolerance){1e-6, 1e-5});
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void nothing_runs_before_build(void **state)
{
    fixture *f = *state;
    float cache[CACHE * WIDTH] = {0};
    bool done = true;
    qn_assert_fails(qn_graph_set_input(f->g, f->x, qn_shape_2(1, WIDTH), f->data), QN_ERR_STATE, "not built");
    qn_assert_fails(qn_graph_set_int(f->g, f->n, 1), QN_ERR_STATE, "not built");
    qn_assert_fails(qn_graph_submit(f->g), QN_ERR_STATE, "not built");
    qn_assert_fails(qn_graph_poll(f->g, &done), QN_ERR_STATE, "not built");
    assert_false(done);
    qn_assert_fails(qn_graph_write_state(f->g, f->cache, cache), QN_ERR_STATE, "not built");
#ifndef QN_NO_BLOCKING
    qn_assert_fails(qn_graph_execute(f->g), QN_ERR_STATE, "not built");
    qn_assert_fails(qn_graph_read_state(f->g, f->cache, cache), QN_ERR_STATE, "not built");
#endif
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
}

static void every_input_must_be_given_once(void **state)
{
    fixture *f = *state;
    build(f);
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_STATE, "input x");
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(2, WIDTH), f->data));
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_STATE, "integer count");
    qn_assert_ok(qn_graph_set_int(f->g, f->n, 1));
    qn_assert_ok(qn_test_execute(f->g));
    qn_assert_ok(qn_test_execute(f->g)); /* once is enough */
}

static void wrong_live_shapes_are_refused_by_name(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 3, 2);
    assert_non_null(qn_test_run(f->g, f->y, qn_shape_2(2, WIDTH)));
    static const struct {
        qn_shape live;
        const char *part;
    } bad[] = {
        {{1, {WIDTH}}, "rank 1"},
        {{3, {1, 3, WIDTH}}, "rank 3"},
        {{0, {0}}, "rank 0"},
        {{9, {1, 1, 1, 1, 1, 1, 1, 1}}, "rank 9"},
        {{UINT32_MAX, {1}}, "rank"},
        {{2, {ROWS + 1, WIDTH}}, "beyond the maximum"},
        {{2, {ROWS, WIDTH + 1}}, "dimension 1"},
        {{2, {UINT32_MAX, UINT32_MAX}}, "[6,8]"},
        {{2, {0, WIDTH}}, "zero"},
        {{2, {3, 0}}, "dimension 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_status s = qn_graph_set_input(f->g, f->x, bad[i].live, f->data);
        qn_assert_fails(s, QN_ERR_ARGUMENT, bad[i].part);
        qn_assert_fails(s, QN_ERR_ARGUMENT, "input x");
    }
    qn_assert_fails(qn_graph_set_input(f->g, f->x, qn_shape_2(3, WIDTH), NULL), QN_ERR_ARGUMENT, "no data");
    const qn_value not_inputs[] = {0, f->n, f->cache, f->h, f->y, 10000};
    for (size_t i = 0; i < sizeof not_inputs / sizeof not_inputs[0]; i++)
        qn_assert_fails(qn_graph_set_input(f->g, not_inputs[i], qn_shape_2(3, WIDTH), f->data), QN_ERR_ARGUMENT,
                        "not an input");
    /* The shape and data of before are untouched. */
    const float *y = qn_test_run(f->g, f->y, qn_shape_2(2, WIDTH));
    check_silu(f, y, 1, 2);
}

static void wrong_integers_are_refused_by_name(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 3, 2);
    const int64_t bad[] = {-1, CACHE + 1, INT64_MAX, INT64_MIN, (int64_t)1 << 32};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        qn_assert_fails(qn_graph_set_int(f->g, f->n, bad[i]), QN_ERR_ARGUMENT, "integer count");
    const qn_value not_integers[] = {0, f->x, f->y, 10000};
    for (size_t i = 0; i < sizeof not_integers / sizeof not_integers[0]; i++)
        qn_assert_fails(qn_graph_set_int(f->g, not_integers[i], 1), QN_ERR_ARGUMENT, "not an integer");
    assert_non_null(qn_test_run(f->g, f->y, qn_shape_2(2, WIDTH)));
}

static void other_values_are_refused(void **state)
{
    fixture *f = *state;
    build(f);
    float cache[CACHE * WIDTH] = {0};
    qn_assert_fails(qn_graph_want(f->g, f->h, true), QN_ERR_ARGUMENT, "not an output");
    qn_assert_fails(qn_graph_want(f->g, 10000, true), QN_ERR_ARGUMENT, "not an output");
    const qn_value not_states[] = {0, f->x, f->y, f->n, 10000};
    for (size_t i = 0; i < sizeof not_states / sizeof not_states[0]; i++) {
        qn_assert_fails(qn_graph_write_state(f->g, not_states[i], cache), QN_ERR_ARGUMENT, "not a state");
#ifndef QN_NO_BLOCKING
        qn_assert_fails(qn_graph_read_state(f->g, not_states[i], cache), QN_ERR_ARGUMENT, "not a state");
#endif
    }
    assert_null(qn_graph_output_data(f->g, 10000, NULL));
    assert_int_equal(qn_graph_live_shape(f->g, 10000).rank, 0);
}

/* A plan that fails runs nothing, and the next good call is as if it had not been. */
static void a_failed_execute_runs_nothing(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 4, 3);
    float before[CACHE * WIDTH], after[CACHE * WIDTH];
    qn_assert_ok(qn_test_execute(f->g));
    qn_assert_ok(qn_test_read_state(f->g, f->cache, before));
    set(f, 4, 7); /* 7 of 4 rows */
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_ARGUMENT, "last_rows");
    assert_int_equal(qn_graph_execute_counts(f->g).submits, 0);
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_ARGUMENT, "last_rows"); /* again */
    set(f, 6, 5);
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_ARGUMENT, "update_cache"); /* rows 5..10 of 10 */
    qn_assert_ok(qn_test_read_state(f->g, f->cache, after));
    assert_memory_equal(before, after, sizeof before);
    set(f, 4, 3);
    const float *y = qn_test_run(f->g, f->y, qn_shape_2(3, WIDTH));
    check_silu(f, y, 1, 3);
    qn_assert_ok(qn_test_read_state(f->g, f->cache, after));
    assert_memory_equal(before, after, sizeof before);
}

/* ---- in flight ------------------------------------------------------------------------------- */

static void one_submit_at_a_time(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 4, 2);
    bool done = false;
    qn_assert_ok(qn_graph_poll(f->g, &done)); /* nothing is under way */
    assert_true(done);
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    qn_assert_ok(qn_graph_submit(f->g));
    qn_assert_fails(qn_graph_submit(f->g), QN_ERR_STATE, "still running");
    qn_assert_fails(qn_test_execute(f->g), QN_ERR_STATE, "still running");
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    /* The next call's data may be given already: it does not reach the one that runs. */
    float other[ROWS * WIDTH] = {0};
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(6, WIDTH), other));
    qn_assert_ok(qn_graph_set_int(f->g, f->n, 1));
    for (done = false; !done;) qn_assert_ok(qn_graph_poll(f->g, &done));
    qn_assert_ok(qn_graph_poll(f->g, &done));
    assert_true(done);
    qn_shape live;
    check_silu(f, qn_graph_output_data(f->g, f->y, &live), 2, 2);
    assert_int_equal(live.dim[0], 2);
    assert_non_null(qn_graph_output_data(f->g, f->z, &live));
    assert_int_equal(live.dim[0], 8); /* of the call that ran, not of the input given since */
    const float *y = qn_test_run(f->g, f->y, qn_shape_2(1, WIDTH));
    assert_true(y[0] == 0.0f);
}

#ifndef QN_NO_BLOCKING
/* The blocking calls do what submit and poll do. */
static void the_blocking_calls(void **state)
{
    fixture *f = *state;
    float cache[CACHE * WIDTH];
    build(f);
    set(f, 4, 2);
    qn_assert_ok(qn_graph_execute(f->g));
    check_silu(f, qn_graph_output_data(f->g, f->y, NULL), 2, 2);
    qn_assert_ok(qn_graph_read_state(f->g, f->cache, cache));
    assert_memory_equal(cache + 2 * WIDTH, f->data, 4 * WIDTH * sizeof *cache);
    qn_assert_ok(qn_graph_submit(f->g));
    qn_assert_fails(qn_graph_execute(f->g), QN_ERR_STATE, "still running");
    qn_assert_ok(qn_graph_read_state(f->g, f->cache, cache)); /* waits for it */
}
#endif

static void a_graph_closes_in_flight(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 4, 2);
    qn_assert_ok(qn_graph_submit(f->g)); /* tear_down closes it */
}

/* ---- outputs --------------------------------------------------------------------------------- */

static void outputs_not_wanted_are_not_read_back(void **state)
{
    fixture *f = *state;
    build(f);
    set(f, 4, 2);
    qn_assert_ok(qn_graph_want(f->g, f->y, false));
    qn_assert_ok(qn_test_execute(f->g));
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    check_silu(f, qn_graph_output_data(f->g, f->z, NULL), 0, 4);
    qn_assert_ok(qn_graph_want(f->g, f->z, false));
    qn_assert_ok(qn_test_execute(f->g)); /* none at all: it still runs to its end */
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    assert_null(qn_graph_output_data(f->g, f->z, NULL));
    float cache[CACHE * WIDTH] = {0};
    qn_assert_ok(qn_test_read_state(f->g, f->cache, cache));
    assert_memory_equal(cache + 2 * WIDTH, f->data, 4 * WIDTH * sizeof *cache);
    qn_assert_ok(qn_graph_want(f->g, f->y, true));
    qn_assert_ok(qn_test_execute(f->g));
    check_silu(f, qn_graph_output_data(f->g, f->y, NULL), 2, 2);
    assert_null(qn_graph_output_data(f->g, f->z, NULL));
    /* What a call read back stays readable when the next is not to. */
    qn_assert_ok(qn_graph_want(f->g, f->y, false));
    assert_non_null(qn_graph_output_data(f->g, f->y, NULL));
}

/* Inputs, states and views of them may be outputs too. */
static void anything_computed_or_given_may_be_read_back(void **state)
{
    fixture *f = *state;
    qn_graph *g = qn_test_graph(f->engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(3, 4)), s = qn_graph_state(g, "s", QN_F32, qn_shape_1(5));
    qn_value v = qn_view(g, qn_view(g, x, qn_shape_1(0)), qn_shape_3(1, 0, 2));
    qn_graph_output(g, x, "x");
    qn_graph_output(g, s, "s");
    qn_graph_output(g, v, "v");
    qn_assert_ok(qn_graph_build(g));
    const float five[5] = {5, 6, 7, 8, 9};
    qn_assert_ok(qn_graph_write_state(g, s, five));
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(2, 4), f->data));
    assert_memory_equal(qn_test_run(g, x, qn_shape_2(2, 4)), f->data, 8 * sizeof(float));
    assert_memory_equal(qn_graph_output_data(g, s, NULL), five, sizeof five);
    qn_shape live;
    assert_memory_equal(qn_graph_output_data(g, v, &live), f->data, 8 * sizeof(float));
    assert_int_equal(live.rank, 3);
    assert_int_equal(live.dim[1], 4);
    assert_int_equal(qn_graph_n_dispatches(g), 0);
    qn_graph_close(g);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void states_are_kept(void **state)
{
    fixture *f = *state;
    build(f);
    float want[CACHE * WIDTH] = {0}, got[CACHE * WIDTH];
    memset(got, 1, sizeof got);
    qn_assert_ok(qn_test_read_state(f->g, f->cache, got));
    assert_memory_equal(got, want, sizeof want); /* zero at first */
    set(f, 2, 1);
    qn_assert_ok(qn_test_execute(f->g));
    set(f, 3, 3);
    qn_assert_ok(qn_test_execute(f->g));
    memcpy(want + WIDTH, f->data, 2 * WIDTH * sizeof *want);
    memcpy(want + 3 * WIDTH, f->data, 3 * WIDTH * sizeof *want);
    qn_assert_ok(qn_test_read_state(f->g, f->cache, got));
    assert_memory_equal(got, want, sizeof want);
    qn_test_fill(want, CACHE * WIDTH, 9, 1.0f);
    qn_assert_ok(qn_graph_write_state(f->g, f->cache, want));
    qn_assert_ok(qn_test_read_state(f->g, f->cache, got));
    assert_memory_equal(got, want, sizeof want);
    qn_assert_ok(qn_test_execute(f->g));
    memcpy(want + 3 * WIDTH, f->data, 3 * WIDTH * sizeof *want);
    qn_assert_ok(qn_test_read_state(f->g, f->cache, got));
    assert_memory_equal(got, want, sizeof want);
    qn_assert_ok(qn_graph_write_state(f->g, f->cache, NULL)); /* zeros */
    memset(want, 0, sizeof want);
    qn_assert_ok(qn_test_read_state(f->g, f->cache, got));
    assert_memory_equal(got, want, sizeof want);
}

static void large_states_are_cleared_whole(void **state)
{
    fixture *f = *state;
    enum { N = 300001 };
    qn_graph *g = qn_test_graph(f->engine);
    qn_value s = qn_graph_state(g, "large", QN_F32, qn_shape_1(N));
    qn_assert_ok(qn_graph_build(g));
    float *data = qn_test_floats(N, 1, 1.0f);
    qn_assert_ok(qn_graph_write_state(g, s, data));
    qn_assert_ok(qn_graph_write_state(g, s, NULL));
    qn_assert_ok(qn_test_read_state(g, s, data));
    for (int i = 0; i < N; i++)
        if (data[i] != 0.0f) fail_msg("element %d was not cleared", i);
    free(data);
    qn_graph_close(g);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(nothing_runs_before_build),
        test(every_input_must_be_given_once),
        test(wrong_live_shapes_are_refused_by_name),
        test(wrong_integers_are_refused_by_name),
        test(other_values_are_refused),
        test(a_failed_execute_runs_nothing),
        test(one_submit_at_a_time),
#ifndef QN_NO_BLOCKING
        test(the_blocking_calls),
#endif
        test(a_graph_closes_in_flight),
        test(outputs_not_wanted_are_not_read_back),
        test(anything_computed_or_given_may_be_read_back),
        test(states_are_kept),
        test(large_states_are_cleared_whole),
    };
    return cmocka_run_group_tests_name("execute", tests, NULL, NULL);
}
