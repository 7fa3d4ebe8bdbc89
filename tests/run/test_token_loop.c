/* The token loop (architecture, rule 8): no host allocation at the allocator hook; of WebGPU objects one pass and one
 * submit a token, and no buffer, kernel or bind group; only nodes that depend on the position are planned again. */
#include <stdlib.h>

#include "support/gpu_harness.h"
#include "support/model_harness.h"

enum { WARM_UP = 3, STEPS = 50 };

typedef struct fixture {
    qn_test_allocator allocator;
    qn_engine *engine;
    qn_model *model;
    qn_session *session;
    qn_sampler *sampler;
    uint32_t n_vocab;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    qn_test_allocator_init(&f.allocator);
    qn_engine_options options = {.allocator = &f.allocator.allocator};
    qn_assert_ok(qn_test_open_engine(options, &f.engine));
    qn_random_model small = qn_test_small_model();
    qn_test_bytes bytes = qn_test_random_bytes(&small);
    qn_assert_ok(qn_test_load_bytes(f.engine, bytes, NULL, &f.model));
    free(bytes.data);
    f.session = qn_test_session(f.model, 0, 16);
    f.n_vocab = qn_model_get_info(f.model)->n_vocab;
    qn_sampler_options sampling = {.temperature = 0.8f, .top_p = 0.9f, .seed = 7, .repetition_penalty = 1.1f};
    qn_assert_ok(qn_sampler_open(&sampling, f.n_vocab, &f.sampler));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_sampler_close(f->sampler);
    qn_session_close(f->session);
    qn_model_close(f->model);
    qn_engine_close(f->engine);
    return f->allocator.blocks != 0; /* everything was given back */
}

/* Logits, a sampled token, the next step. */
static void next_token(fixture *f)
{
    size_t n_history;
    const int32_t *history = qn_session_tokens(f->session, &n_history);
    const float *logits = qn_session_logits(f->session, NULL, NULL);
    assert_non_null(logits);
    int32_t token;
    qn_assert_ok(qn_sampler_pick(f->sampler, logits, history, n_history, &token));
    qn_assert_ok(qn_session_append(f->session, token));
    qn_assert_ok(qn_test_finish(f->session));
}

static void decoding_allocates_nothing(void **state)
{
    fixture *f = *state;
    int32_t prompt[5];
    qn_test_tokens(prompt, 5, f->n_vocab, 1);
    qn_assert_ok(qn_session_set_tokens(f->session, prompt, 5, QN_LOGITS_LAST, NULL));
    qn_assert_ok(qn_test_finish(f->session));
    for (int i = 0; i < WARM_UP; i++) next_token(f);
    uint64_t calls = f->allocator.calls;
    for (int i = 0; i < STEPS; i++) {
        next_token(f);
        qn_execute_counts counts = qn_graph_execute_counts(qn_session_graph(f->session));
        assert_int_equal(counts.objects_made, 0);
        assert_int_equal(counts.passes, 1);
        assert_int_equal(counts.submits, 1);
        assert_true(counts.nodes_planned > 0);
        assert_true(counts.nodes_planned < qn_graph_n_dispatches(qn_session_graph(f->session)));
    }
    assert_int_equal(f->allocator.calls, calls);
}

static void other_prompts_allocate_nothing_either(void **state)
{
    fixture *f = *state;
    int32_t prompt[40];
    qn_test_tokens(prompt, 40, f->n_vocab, 2);
    uint64_t calls = f->allocator.calls;
    static const size_t lengths[] = {40, 1, 17, 16, 3};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        qn_assert_ok(qn_session_set_tokens(f->session, prompt, lengths[i], QN_LOGITS_LAST, NULL));
        qn_assert_ok(qn_test_finish(f->session));
        assert_int_equal(qn_graph_execute_counts(qn_session_graph(f->session)).objects_made, 0);
        prompt[0] = (prompt[0] + 1) % (int32_t)f->n_vocab; /* nothing of it can be reused */
    }
    assert_int_equal(f->allocator.calls, calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(other_prompts_allocate_nothing_either),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
