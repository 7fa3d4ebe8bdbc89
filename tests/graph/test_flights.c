/* Several executions under way on one graph: their outputs come in order and are what each would give alone; parts of
 * the graph that take part only when asked for; inputs that change their shape without new data. */
#include "support/gpu_harness.h"
#include "support/op_harness.h"

#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

enum { WIDTH = 8, ROWS = 4, LARGE = 64 };

/* total += x (a state), y = last n rows of x; with `more`: large = total in many rows. */
typedef struct fixture {
    qn_test_allocator allocator;
    qn_engine *engine;
    qn_graph *g;
    qn_weight *ones;
    qn_value x, n, more, total, sum, y, large;
} fixture;

static void add_nodes(fixture *f)
{
    qn_graph *g = f->g;
    f->x = qn_graph_input(g, "x", QN_F32, qn_shape_2(ROWS, WIDTH));
    f->n = qn_graph_int(g, "n", ROWS);
    f->more = qn_graph_int(g, "more", 1);
    f->total = qn_graph_state(g, "total", QN_F32, qn_shape_4(1, 1, 1, WIDTH));
    qn_value last = qn_last_rows(g, f->x, qn_graph_const_int(g, 1), 1);
    f->sum = qn_add(g, qn_view(g, last, qn_shape_4(1, 0, 1, WIDTH)), f->total);
    qn_update_cache(g, f->sum, f->total, qn_graph_const_int(g, 0));
    f->y = qn_last_rows(g, f->x, f->n, ROWS);
    qn_graph_begin_when(g, f->more);
    f->large = qn_mul(g, qn_graph_weight(g, f->ones), qn_view(g, f->sum, qn_shape_2(1, WIDTH)));
    qn_graph_end_when(g);
    qn_graph_output(g, f->sum, "sum");
    qn_graph_output(g, f->y, "y");
    qn_graph_output(g, f->large, "large");
}

static int set_up(void **state)
{
    static float ones[LARGE * WIDTH];
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (int i = 0; i < LARGE * WIDTH; i++) ones[i] = 1;
    qn_test_allocator_init(&f->allocator);
    qn_engine_options options = {.baseline = true, .allocator = &f->allocator.allocator};
    qn_assert_ok(qn_test_open_engine(options, &f->engine));
    f->ones = qn_test_plain(f->engine, "ones", qn_shape_2(LARGE, WIDTH), ones);
    f->g = qn_test_graph(f->engine);
    add_nodes(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_graph_close(f->g);
    qn_weight_free(f->ones);
    qn_engine_close(f->engine);
    assert_int_equal(f->allocator.blocks, 0);
    free(f);
    return 0;
}

static void build(const fixture *f, uint32_t in_flight)
{
    qn_graph_set_in_flight(f->g, in_flight);
    qn_assert_ok(qn_graph_build(f->g));
    qn_assert_ok(qn_graph_want(f->g, f->large, false));
    qn_assert_ok(qn_graph_set_int(f->g, f->more, 0));
}

/* Execution i has x = i + 1 everywhere and shapes of its own. */
static uint32_t rows_of(uint32_t i)
{
    return 1 + qn_test_random(1, i) % ROWS;
}

static uint32_t taken_of(uint32_t i)
{
    return 1 + qn_test_random(2, i) % rows_of(i);
}

static void set(const fixture *f, uint32_t i)
{
    float x[ROWS * WIDTH];
    for (int k = 0; k < ROWS * WIDTH; k++) x[k] = (float)(i + 1);
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(rows_of(i), WIDTH), x));
    qn_assert_ok(qn_graph_set_int(f->g, f->n, taken_of(i)));
}

static void check(const fixture *f, uint32_t i)
{
    qn_shape live;
    const float *sum = qn_graph_output_data(f->g, f->sum, NULL), *y = qn_graph_output_data(f->g, f->y, &live);
    assert_non_null(sum);
    assert_non_null(y);
    assert_int_equal(live.dim[0], taken_of(i));
    for (uint32_t k = 0; k < WIDTH; k++) assert_true(sum[k] == (float)((i + 1) * (i + 2) / 2));
    for (uint32_t k = 0; k < taken_of(i) * WIDTH; k++) assert_true(y[k] == (float)(i + 1));
}

static void take(const fixture *f, uint32_t i)
{
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(f->g, &done));
    check(f, i);
}

static void outputs_come_in_order(void **state)
{
    fixture *f = *state;
    build(f, 3);
    enum { N = 60 };
    uint64_t calls = 0;
    uint32_t sent = 0, taken = 0;
    while (taken < N) {
        uint32_t room = sent < N ? 3 - (sent - taken) : 0;
        if (room == 3 || (room && qn_test_random(3, sent + 97 * taken) % 3)) {
            set(f, sent++);
            if (sent % 4 == 0) qn_assert_ok(qn_graph_prepare(f->g));
            qn_assert_ok(qn_graph_submit(f->g));
            qn_execute_counts c = qn_graph_execute_counts(f->g);
            assert_int_equal(c.submits, 1);
            assert_int_equal(c.passes, 1);
            assert_int_equal(c.objects_made, 0);
            if (sent == 1) calls = f->allocator.calls;
        } else {
            take(f, taken++);
        }
    }
    assert_int_equal(f->allocator.calls, calls);
    bool done = false;
    qn_assert_ok(qn_graph_poll(f->g, &done)); /* nothing is under way, and the last outputs stay */
    assert_true(done);
    take(f, N - 1);
}

static void there_is_a_limit(void **state)
{
    fixture *f = *state;
    for (uint32_t i = 0; i < 2; i++) {
        qn_graph *g = qn_test_graph(f->engine);
        qn_graph_set_in_flight(g, i * (QN_MAX_IN_FLIGHT + 1));
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "1..4");
        qn_graph_close(g);
    }
    build(f, QN_MAX_IN_FLIGHT);
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < QN_MAX_IN_FLIGHT; i++) {
            set(f, turn * QN_MAX_IN_FLIGHT + i);
            qn_assert_ok(qn_graph_submit(f->g));
        }
        qn_assert_fails(qn_graph_submit(f->g), QN_ERR_STATE, "still running");
        for (uint32_t i = 0; i < QN_MAX_IN_FLIGHT; i++) take(f, turn * QN_MAX_IN_FLIGHT + i);
    }
}

#ifndef QN_NO_BLOCKING
static void waiting_is_for_the_oldest(void **state)
{
    fixture *f = *state;
    build(f, 3);
    qn_assert_ok(qn_graph_wait(f->g)); /* for nothing */
    for (uint32_t i = 0; i < 3; i++) {
        set(f, i);
        qn_assert_ok(qn_graph_submit(f->g));
    }
    for (uint32_t i = 0; i < 3; i++) {
        bool done = false;
        qn_assert_ok(qn_graph_wait(f->g));
        qn_assert_ok(qn_graph_poll(f->g, &done));
        assert_true(done);
        check(f, i);
    }
}
#endif

/* ---- large outputs, and parts that take part when asked for ----------------------------------- */

static void want_large(const fixture *f, bool wanted)
{
    qn_assert_ok(qn_graph_want(f->g, f->large, wanted));
    qn_assert_ok(qn_graph_set_int(f->g, f->more, wanted));
}

static void large_outputs_are_under_way_once(void **state)
{
    fixture *f = *state;
    build(f, 3);
    set(f, 0);
    qn_assert_ok(qn_graph_submit(f->g));
    want_large(f, true);
    set(f, 1);
    qn_assert_ok(qn_graph_submit(f->g));
    set(f, 2);
    qn_assert_fails(qn_graph_submit(f->g), QN_ERR_STATE, "in the way");
    want_large(f, false);
    qn_assert_ok(qn_graph_submit(f->g));
    take(f, 0);
    assert_null(qn_graph_output_data(f->g, f->large, NULL));
    take(f, 1);
    const float *large = qn_graph_output_data(f->g, f->large, NULL);
    assert_non_null(large);
    for (int i = 0; i < LARGE * WIDTH; i++) assert_true(large[i] == 3.0f);
    want_large(f, true);
    set(f, 3);
    qn_assert_ok(qn_graph_submit(f->g)); /* the data just read is given back first */
    take(f, 2);
    take(f, 3);
    large = qn_graph_output_data(f->g, f->large, NULL);
    assert_non_null(large);
    assert_true(large[LARGE * WIDTH - 1] == 10.0f);
}

static void what_is_not_asked_for_does_not_run(void **state)
{
    fixture *f = *state;
    build(f, 1);
    set(f, 0);
    qn_assert_ok(qn_graph_submit(f->g));
    take(f, 0);
    size_t few = qn_graph_n_dispatches(f->g);
    want_large(f, true);
    set(f, 1);
    qn_assert_ok(qn_graph_submit(f->g));
    take(f, 1);
    assert_int_equal(qn_graph_n_dispatches(f->g), few + 1);
    qn_assert_ok(qn_graph_set_int(f->g, f->more, 0));
    set(f, 2);
    qn_assert_fails(qn_graph_submit(f->g), QN_ERR_STATE, "only when more is not 0");
    qn_assert_ok(qn_graph_want(f->g, f->large, false));
    qn_assert_ok(qn_graph_submit(f->g));
    take(f, 2);
    assert_int_equal(qn_graph_n_dispatches(f->g), few);
}

static void conditions_are_checked(void **state)
{
    fixture *f = *state;
    assert_int_equal(qn_silu(f->g, f->large), 0);
    qn_assert_fails(qn_graph_status(f->g), QN_ERR_ARGUMENT, "only when more is not 0");
    qn_graph *g = qn_test_graph(f->engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4));
    qn_graph_begin_when(g, x);
    qn_assert_fails(qn_graph_status(g), QN_ERR_ARGUMENT, "not an integer given");
    qn_graph_close(g);
    g = qn_test_graph(f->engine);
    x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4));
    qn_graph_begin_when(g, qn_int_dim(g, x, 0));
    qn_assert_fails(qn_graph_status(g), QN_ERR_ARGUMENT, "not an integer given");
    qn_graph_close(g);
}

static void conditions_nest(void **state)
{
    fixture *f = *state;
    qn_graph *g = qn_test_graph(f->engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4));
    qn_value a = qn_graph_int(g, "a", 1), b = qn_graph_int(g, "b", 1);
    qn_graph_begin_when(g, a);
    qn_value y = qn_silu(g, x);
    qn_graph_begin_when(g, b);
    qn_silu(g, y);
    qn_graph_end_when(g);
    qn_graph_begin_when(g, b);
    qn_silu(g, y);
    qn_graph_end_when(g);
    qn_graph_end_when(g);
    qn_assert_ok(qn_graph_build(g));
    float data[4] = {0};
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(4), data));
    for (int i = 0; i < 4; i++) {
        qn_assert_ok(qn_graph_set_int(g, a, i & 1));
        qn_assert_ok(qn_graph_set_int(g, b, i >> 1));
        qn_assert_ok(qn_test_execute(g));
        assert_int_equal(qn_graph_n_dispatches(g), i & 1 ? 1 + 2 * (i >> 1) : 0);
    }
    qn_graph_close(g);
    g = qn_test_graph(f->engine);
    qn_graph_end_when(g);
    qn_assert_fails(qn_graph_status(g), QN_ERR_STATE, "no condition");
    qn_graph_close(g);
}

/* ---- shapes without data --------------------------------------------------------------------- */

static void a_shape_alone_keeps_the_data(void **state)
{
    fixture *f = *state;
    build(f, 1);
    qn_assert_fails(qn_graph_set_live(f->g, f->n, qn_shape_1(1)), QN_ERR_ARGUMENT, "not an input");
    qn_assert_fails(qn_graph_set_live(f->g, f->x, qn_shape_2(ROWS + 1, WIDTH)), QN_ERR_ARGUMENT, "beyond the maximum");
    float x[ROWS * WIDTH];
    qn_test_fill(x, ROWS * WIDTH, 1, 1.0f);
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_2(ROWS, WIDTH), x));
    qn_assert_ok(qn_graph_set_int(f->g, f->n, 2));
    qn_assert_ok(qn_graph_set_live(f->g, f->x, qn_shape_2(2, WIDTH)));
    assert_memory_equal(qn_test_run(f->g, f->y, qn_shape_2(2, WIDTH)), x, 2 * WIDTH * sizeof *x);
}

static void inputs_read_by_the_host_need_data(void **state)
{
    fixture *f = *state;
    qn_graph *g = qn_test_graph(f->engine);
    qn_value ids = qn_graph_input(g, "ids", QN_I32, qn_shape_1(4));
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(4, 4));
    qn_graph_output(g, qn_last_rows(g, x, qn_int_from_tensor(g, ids, 0), 4), "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_fails(qn_graph_set_live(g, ids, qn_shape_1(2)), QN_ERR_ARGUMENT, "must be given");
    qn_graph_close(g);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void closes_with_several_under_way(void **state)
{
    fixture *f = *state;
    build(f, 3);
    for (uint32_t i = 0; i < 3; i++) {
        set(f, i);
        qn_assert_ok(qn_graph_submit(f->g)); /* tear_down closes it */
    }
}

static void a_lost_device_is_reported(void **state)
{
    fixture *f = *state;
    build(f, 3);
    for (uint32_t i = 0; i < 2; i++) {
        set(f, i);
        qn_assert_ok(qn_graph_submit(f->g));
    }
    take(f, 0);
    qn_engine_lose_device(f->engine);
    bool done;
    qn_assert_fails(qn_graph_poll(f->g, &done), QN_ERR_DEVICE_LOST, "open a new one");
    qn_assert_fails(qn_graph_submit(f->g), QN_ERR_DEVICE_LOST, "open a new one");
}

/* The execution that was polled is gone, and what it had been given to read into is free again. */
static void a_failed_poll_takes_one_execution(void **state)
{
    fixture *f = *state;
    build(f, 3);
    set(f, 0);
    qn_assert_ok(qn_graph_submit(f->g));
    qn_test_cause_error(f->engine);
    bool done = true;
    qn_assert_fails(qn_graph_poll(f->g, &done), QN_ERR_GPU, "WebGPU");
    assert_false(done);
    assert_null(qn_graph_output_data(f->g, f->y, NULL));
    assert_int_equal(qn_graph_in_flight(f->g), 0);
    for (uint32_t i = 1; i < 1 + 2 * QN_FLIGHTS; i++) { /* every readback in turn */
        set(f, i);
        qn_assert_ok(qn_graph_submit(f->g));
        take(f, i);
    }
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(outputs_come_in_order),
        test(there_is_a_limit),
#ifndef QN_NO_BLOCKING
        test(waiting_is_for_the_oldest),
#endif
        test(large_outputs_are_under_way_once),
        test(what_is_not_asked_for_does_not_run),
        test(conditions_are_checked),
        test(conditions_nest),
        test(a_shape_alone_keeps_the_data),
        test(inputs_read_by_the_host_need_data),
        test(closes_with_several_under_way),
        test(a_lost_device_is_reported),
        test(a_failed_poll_takes_one_execution),
    };
    return cmocka_run_group_tests_name("flights", tests, NULL, NULL);
}
