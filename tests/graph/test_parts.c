/* A long graph is sent in parts while nothing else is under way: its results are those of one submit, what is refused
 * has not begun, and what is prepared, follows another execution or is short goes whole. */
#include "support/gpu_harness.h"

#include "graph/graph.h"

enum { WIDTH = 8, CHAIN = 100, PARTS = 3 }; /* 16, 64 and the rest */

/* total += x (a state), y = total + CHAIN * x, later = 2 * y when `more` is set. */
typedef struct fixture {
    qn_engine *engine;
    qn_graph *g;
    qn_value x, more, total, y, later;
} fixture;

static fixture open_on(qn_engine_options options, uint32_t chain)
{
    fixture f = {.engine = NULL};
    qn_assert_ok(qn_test_open_engine(options, &f.engine));
    ((qn_device_info *)(uintptr_t)qn_engine_device(f.engine))->type = QN_ADAPTER_DISCRETE;
    qn_graph *g = f.g = qn_test_graph(f.engine);
    f.x = qn_graph_input(g, "x", QN_F32, qn_shape_4(1, 1, 1, WIDTH));
    f.more = qn_graph_int(g, "more", 1);
    f.total = qn_graph_state(g, "total", QN_F32, qn_shape_4(1, 1, 1, WIDTH));
    f.y = qn_add(g, f.x, f.total);
    qn_update_cache(g, f.y, f.total, qn_graph_const_int(g, 0));
    for (uint32_t i = 0; i < chain; i++) f.y = qn_add(g, f.y, f.x);
    qn_graph_begin_when(g, f.more);
    f.later = qn_add(g, f.y, f.y);
    qn_graph_end_when(g);
    qn_graph_output(g, f.y, "y");
    qn_graph_output(g, f.later, "later");
    qn_graph_set_in_flight(g, 2);
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_write_state(g, f.total, NULL));
    qn_assert_ok(qn_graph_set_int(g, f.more, 0));
    qn_assert_ok(qn_graph_want(g, f.later, false));
    return f;
}

static fixture open_fixture(uint32_t chain)
{
    return open_on((qn_engine_options){0}, chain);
}

static void close_fixture(const fixture *f)
{
    qn_graph_close(f->g);
    qn_engine_close(f->engine);
}

static void set_x(const fixture *f, float value)
{
    float x[WIDTH];
    for (int i = 0; i < WIDTH; i++) x[i] = value;
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_4(1, 1, 1, WIDTH), x));
}

static void submit(const fixture *f, uint32_t submits)
{
    qn_assert_ok(qn_graph_submit(f->g));
    qn_execute_counts c = qn_graph_execute_counts(f->g);
    assert_int_equal(c.submits, submits);
    assert_int_equal(c.passes, submits);
    assert_int_equal(c.objects_made, 0);
}

static void take(const fixture *f, float want)
{
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(f->g, &done));
    const float *y = qn_graph_output_data(f->g, f->y, NULL);
    assert_non_null(y);
    for (int i = 0; i < WIDTH; i++) assert_true(y[i] == want);
}

static void only_the_first_goes_in_parts(void **state)
{
    (void)state;
    fixture f = open_fixture(CHAIN);
    set_x(&f, 1);
    submit(&f, PARTS);
    set_x(&f, 2);
    submit(&f, 1);
    take(&f, 1 + CHAIN);
    take(&f, 3 + 2 * CHAIN);
    set_x(&f, 4);
    submit(&f, PARTS);
    take(&f, 7 + 4 * CHAIN);
    close_fixture(&f);
}

static void what_is_prepared_goes_whole(void **state)
{
    (void)state;
    fixture f = open_fixture(CHAIN);
    set_x(&f, 1);
    qn_assert_ok(qn_graph_prepare(f.g));
    submit(&f, 1);
    take(&f, 1 + CHAIN);
    close_fixture(&f);
}

static void a_short_graph_goes_whole(void **state)
{
    (void)state;
    fixture f = open_fixture(20);
    set_x(&f, 1);
    submit(&f, 1);
    take(&f, 1 + 20);
    close_fixture(&f);
}

static void what_is_refused_has_not_begun(void **state)
{
    (void)state;
    fixture f = open_fixture(CHAIN);
    set_x(&f, 1);
    qn_assert_ok(qn_graph_want(f.g, f.later, true));
    qn_assert_fails(qn_graph_submit(f.g), QN_ERR_STATE, "computed only when more is not 0");
    assert_int_equal(qn_graph_execute_counts(f.g).submits, 0);
    qn_assert_ok(qn_graph_want(f.g, f.later, false));
    submit(&f, PARTS);
    take(&f, 1 + CHAIN);
    close_fixture(&f);
}

/* Marks of a profile belong to one submit. */
static void a_profile_goes_whole(void **state)
{
    (void)state;
    fixture f = open_fixture(CHAIN);
    qn_status s = qn_graph_set_profile(f.g, QN_PROFILE_TOTAL);
    set_x(&f, 1);
    submit(&f, s.code == QN_OK ? 1 : PARTS); /* without timestamps there is no profile */
    take(&f, 1 + CHAIN);
    if (s.code == QN_OK) assert_true(qn_graph_gpu_ns(f.g) > 0);
    close_fixture(&f);
}

/* ---- WebGPU fails in the middle --------------------------------------------------------------- */

/* Dispatches of the first part, the second and the last; what the state holds if nothing was sent from there on. */
static const struct {
    uint32_t dispatch;
    float total;
} places[] = {{3, 0}, {20, 1}, {90, 1}};
enum { N_PLACES = sizeof places / sizeof places[0] };

static void assert_total(const fixture *f, float want)
{
    float total[WIDTH];
    qn_assert_ok(qn_test_read_state(f->g, f->total, total));
    for (int i = 0; i < WIDTH; i++) assert_true(total[i] == want);
}

/* A graph whose next submit meets it at that place. */
static fixture open_before(qn_test_mishap *mishap, int place, void (*happen)(qn_engine *engine))
{
    *mishap = (qn_test_mishap){0};
    fixture f = open_on(qn_test_mishap_options(mishap), CHAIN);
    set_x(&f, 1);
    *mishap = (qn_test_mishap){f.engine, NULL, places[place].dispatch, happen};
    return f;
}

/* The submit says so, nothing is under way, and the parts that were sent before have run. The next one starts anew. */
static void a_part_may_fail(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++) {
        qn_test_mishap mishap;
        bool done;
        fixture f = open_before(&mishap, i, qn_test_cause_error);
        qn_assert_fails(qn_graph_submit(f.g), QN_ERR_GPU, "WebGPU");
        assert_null(mishap.engine);
        assert_int_equal(qn_graph_in_flight(f.g), 0);
        qn_assert_ok(qn_graph_poll(f.g, &done));
        assert_true(done);
        assert_null(qn_graph_output_data(f.g, f.y, NULL));
        assert_total(&f, places[i].total);
        set_x(&f, 2);
        submit(&f, PARTS);
        take(&f, places[i].total + 2 + 2 * CHAIN);
        close_fixture(&f);
    }
}

static void the_device_may_be_lost_between_parts(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++) {
        qn_test_mishap mishap;
        bool done;
        fixture f = open_before(&mishap, i, qn_engine_lose_device);
        for (int turn = 0; turn < 2; turn++) {
            qn_assert_fails(qn_graph_submit(f.g), QN_ERR_DEVICE_LOST, "open a new one");
            qn_assert_fails(qn_graph_poll(f.g, &done), QN_ERR_DEVICE_LOST, "open a new one");
            assert_false(done);
        }
        assert_null(mishap.engine);
        assert_int_equal(qn_graph_in_flight(f.g), 0);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_first_goes_in_parts),
        cmocka_unit_test(what_is_prepared_goes_whole),
        cmocka_unit_test(a_short_graph_goes_whole),
        cmocka_unit_test(what_is_refused_has_not_begun),
        cmocka_unit_test(a_profile_goes_whole),
        cmocka_unit_test(a_part_may_fail),
        cmocka_unit_test(the_device_may_be_lost_between_parts),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
