/* One engine, several threads, a graph each: kernels are compiled once, errors reach the thread that made them, and
 * results do not mix. Sessions in threads: run.session. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_THREADS = 4, TURNS = 12, ROWS = 6, WIDTH = 64 };

typedef struct worker {
    pthread_t thread;
    qn_engine *engine;
    unsigned number;
    char trouble[600]; /* cmocka asserts in the main thread only */
} worker;

static void note(worker *w, const char *what, qn_status s)
{
    if (!w->trouble[0]) snprintf(w->trouble, sizeof w->trouble, "%s: (%s) %s", what, qn_code_name(s.code), s.text);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static qn_status run_graph(worker *w, uint32_t turn, float *y)
{
    qn_graph *g = NULL;
    QN_TRY(qn_graph_open(w->engine, &g));
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(ROWS, WIDTH));
    qn_value h = qn_silu(g, qn_add(g, x, x)), out = qn_mul(g, h, x);
    qn_graph_output(g, out, "y");
    qn_status s = qn_graph_build(g);
    float data[ROWS * WIDTH];
    for (uint32_t i = 0; i < 8 && s.code == QN_OK; i++) {
        uint32_t rows = 1 + (turn + i) % ROWS;
        qn_test_fill(data, ROWS * WIDTH, w->number + i, 1.0f);
        s = qn_graph_set_input(g, x, qn_shape_2(rows, WIDTH), data);
        if (s.code == QN_OK) s = qn_graph_submit(g);
        for (bool done = false; s.code == QN_OK && !done; sched_yield()) s = qn_graph_poll(g, &done);
        const float *got = s.code == QN_OK ? qn_graph_output_data(g, out, NULL) : NULL;
        if (got) memcpy(y, got, rows * WIDTH * sizeof *y);
        qn_execute_counts counts = qn_graph_execute_counts(g);
        if (s.code == QN_OK && (counts.submits != 1 || counts.passes != 1))
            s = qn_fail(QN_ERR_INTERNAL, "%u submits, %u passes", counts.submits, counts.passes);
    }
    qn_graph_close(g);
    return s;
}

static void *run_graphs(void *user)
{
    worker *w = user;
    float y[ROWS * WIDTH] = {0}, first[ROWS * WIDTH];
    for (uint32_t turn = 0; turn < TURNS && !w->trouble[0]; turn++) {
        qn_status s = run_graph(w, turn * ROWS, y); /* the same work every turn */
        if (s.code != QN_OK) note(w, "graph", s);
        if (turn == 0) memcpy(first, y, sizeof first);
        if (memcmp(first, y, sizeof first) != 0) note(w, "another result", s);
    }
    return NULL;
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* Odd threads make objects that WebGPU refuses, even ones good objects: each gets its own answer. */
static void *make_objects(void *user)
{
    worker *w = user;
    bool bad = w->number % 2;
    for (int turn = 0; turn < TURNS && !w->trouble[0]; turn++) {
        char source[200];
        snprintf(source, sizeof source, "@compute @workgroup_size(1) fn main() { let a = %s%u_%d; }",
                 bad ? "name_" : "1", w->number, turn);
        if (!bad) snprintf(source, sizeof source, "@compute @workgroup_size(1) fn main() { let a = %d; }", turn);
        qn_kernel *kernel = NULL;
        qn_status s = qn_test_compile(w->engine->gpu, source, "", &kernel);
        char mine[32];
        snprintf(mine, sizeof mine, "name_%u_%d", w->number, turn);
        if (bad ? s.code != QN_ERR_GPU || !strstr(s.text, mine) : s.code != QN_OK) note(w, "kernel", s);
        qn_kernel_free(kernel);
        qn_buffer *buffer = NULL;
        s = qn_buffer_create(w->engine->gpu, QN_BUFFER_STORAGE, 1024, "buffer", &buffer);
        if (s.code != QN_OK) note(w, "buffer", s);
        uint32_t word = w->number, got = 0;
        if (s.code == QN_OK) s = qn_buffer_write(buffer, 64, &word, 4);
        if (s.code == QN_OK) s = qn_test_read_buffer(w->engine->gpu, buffer, 64, &got, 4);
        if (s.code != QN_OK || got != word) note(w, "read", s);
        qn_buffer_free(buffer);
    }
    return NULL;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void run_threads(qn_engine *engine, void *(*work)(void *))
{
    static worker workers[N_THREADS];
    for (unsigned i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.engine = engine, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++) pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < N_THREADS; i++)
        if (workers[i].trouble[0]) fail_msg("thread %u: %s", i, workers[i].trouble);
}

static void graphs_run_side_by_side(void **state)
{
    (void)state;
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    worker alone = {.engine = engine};
    run_graphs(&alone);
    if (alone.trouble[0]) fail_msg("%s", alone.trouble);
    uint64_t kernels = qn_gpu_get_counts(engine->gpu).kernels;
    qn_engine_close(engine);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    run_threads(engine, run_graphs);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
    assert_int_equal(qn_gpu_get_counts(engine->gpu).kernels, kernels); /* each once for all threads */
    qn_engine_close(engine);
}

static void errors_reach_who_made_them(void **state)
{
    (void)state;
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    run_threads(engine, make_objects);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_run_side_by_side),
        cmocka_unit_test(errors_reach_who_made_them),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
