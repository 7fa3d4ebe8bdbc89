/* Host memory that runs out at any allocation of opening an engine, building and running a graph, and opening and
 * stepping a session: a clean error each time, and no block left behind. Loading a model: model.load. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdlib.h>

typedef qn_status (*work_fn)(qn_engine *engine, void *user);

/* Fails allocation 1, 2, ... of opening an engine and of `work` until none fails any more, in turns alone and with all
 * that follow it; returns how many failed. */
static uint64_t fail_each(work_fn work, void *user)
{
    for (uint64_t n = 1;; n++) {
        qn_test_allocator a;
        qn_engine *engine = NULL;
        qn_test_allocator_init(&a);
        a.fail_at = n;
        a.for_good = n % 2 == 0;
        qn_status s = qn_test_open_engine((qn_engine_options){.baseline = true, .allocator = &a.allocator}, &engine);
        if (s.code == QN_OK && work) s = work(engine, user);
        bool failed = a.calls >= a.fail_at;
        if (engine) assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
        qn_engine_close(engine);
        if (a.blocks != 0) fail_msg("allocation %d: %d blocks are left", (int)n, (int)a.blocks);
        if (!failed) {
            qn_assert_ok(s);
            return n - 1;
        }
        if (s.code != QN_ERR_MEMORY || !s.text[0])
            fail_msg("allocation %d: (%s) %s", (int)n, qn_code_name(s.code), s.text);
    }
}

static void opening_an_engine(void **state)
{
    (void)state;
    assert_true(fail_each(NULL, NULL) >= 3);
}

/* ---- a graph --------------------------------------------------------------------------------- */

static qn_status build_and_run(qn_engine *engine, qn_graph *g, qn_weight *w)
{
    (void)engine;
    float data[32 * 4] = {1, 2, 3};
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(4, 32));
    qn_value n = qn_graph_int(g, "n", 4);
    qn_value cache = qn_graph_state(g, "cache", QN_F32, qn_shape_4(1, 8, 1, 32));
    qn_rope_table_options table = {.head_dim = 32, .n_positions = 8, .freq_base = 10000};
    qn_value h = qn_rope(g, qn_view(g, x, qn_shape_4(1, 0, 1, 32)), qn_rope_table(g, &table), n, QN_ROPE_HALF);
    qn_update_cache(g, h, cache, n);
    qn_value y = qn_linear(g, qn_silu(g, x), qn_graph_weight(g, w), 0);
    qn_value last = qn_last_rows(g, y, n, 4);
    qn_graph_output(g, last, "last");
    QN_TRY(qn_graph_build(g));
    for (uint32_t rows = 4; rows > 1; rows--) {
        QN_TRY(qn_graph_set_input(g, x, qn_shape_2(rows, 32), data));
        QN_TRY(qn_graph_set_int(g, n, 1 + rows % 2));
        QN_TRY(qn_test_execute(g));
        if (!qn_graph_output_data(g, last, NULL)) return qn_fail(QN_ERR_INTERNAL, "no output");
    }
    return qn_test_read_state(g, cache, (float[8 * 32]){0});
}

static qn_status small_graph(qn_engine *engine, void *user)
{
    qn_weight *w = NULL;
    qn_graph *g = NULL;
    qn_status s = qn_weight_create(engine, &((const qn_test_matrix *)user)->desc, &w);
    if (s.code == QN_OK) s = qn_graph_open(engine, &g);
    if (s.code == QN_OK) s = build_and_run(engine, g, w);
    qn_graph_close(g);
    qn_weight_free(w);
    return s;
}

static void building_and_running_a_graph(void **state)
{
    (void)state;
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, 20, 32, 32, true, 1);
    assert_true(fail_each(small_graph, &m) > 40);
    qn_test_matrix_free(&m);
}

/* ---- a session ------------------------------------------------------------------------------- */

static qn_status run_session(qn_model *model)
{
    qn_session *session = NULL;
    static const int32_t tokens[5] = {1, 2, 3, 4, 5};
    QN_TRY(qn_session_open(model, &(qn_session_options){.ctx = 16, .chunk = 4}, &session));
    qn_status s = qn_session_set_tokens(session, tokens, 5, QN_LOGITS_LAST, NULL);
    if (s.code == QN_OK) s = qn_test_finish(session);
    if (s.code == QN_OK && !qn_session_logits(session, NULL, NULL)) s = qn_fail(QN_ERR_INTERNAL, "no logits");
    qn_session_close(session);
    return s;
}

/* One engine and model for all: opening the session is what fails. */
static void opening_a_session(void **state)
{
    (void)state;
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true, .allocator = &a.allocator}, &engine));
    qn_random_model description = qn_test_small_model();
    qn_model *model = qn_test_load_random(engine, &description);
    uint64_t bytes = qn_engine_gpu_bytes(engine, NULL), failures = 0;
    for (uint64_t n = 1;; n++) {
        uint64_t kernels = qn_gpu_get_counts(engine->gpu).kernels, blocks = a.blocks;
        a.calls = 0;
        a.fail_at = n;
        qn_status s = run_session(model);
        a.fail_at = 0;
        kernels = qn_gpu_get_counts(engine->gpu).kernels - kernels;
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), bytes);
        assert_in_range(a.blocks, blocks + kernels, blocks + kernels + 1); /* what the engine keeps, and their list */
        if (s.code == QN_OK) break;
        if (s.code != QN_ERR_MEMORY) fail_msg("allocation %d: (%s) %s", (int)n, qn_code_name(s.code), s.text);
        failures++;
    }
    assert_true(failures > 100);
    qn_model_close(model);
    qn_engine_close(engine);
    assert_int_equal(a.blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_an_engine),
        cmocka_unit_test(building_and_running_a_graph),
        cmocka_unit_test(opening_a_session),
    };
    return cmocka_run_group_tests_name("host_memory", tests, NULL, NULL);
}
