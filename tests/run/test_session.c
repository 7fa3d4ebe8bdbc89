/* Sessions: what they keep and compute, what they refuse, how they run side by side. Everything goes through the step
 * functions, so the same tests run where the blocking helpers are compiled out. */
#include "support/model_harness.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern_graph.h"

enum { N_VOCAB = 61, N_CTX = 96 }; /* of qn_test_small_model */

typedef struct fixture {
    qn_engine *engine;
    qn_model *model;
    int32_t tokens[N_CTX];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &f.engine));
    qn_random_model m = qn_test_small_model();
    f.model = qn_test_load_random(f.engine, &m);
    qn_test_tokens(f.tokens, N_CTX, N_VOCAB, 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_model_close(f->model);
    qn_engine_close(f->engine);
    return 0;
}

/* Logits behind tokens, by a session of its own. */
static void fresh(qn_model *model, const int32_t *tokens, size_t n, float *out)
{
    qn_session *s = qn_test_session(model, 0, 0);
    qn_test_feed(s, tokens, n, N_VOCAB, out);
    qn_session_close(s);
}

static void assert_holds(const qn_session *s, const int32_t *tokens, size_t n)
{
    size_t held = 0;
    const int32_t *got = qn_session_tokens(s, &held);
    assert_int_equal(held, n);
    assert_memory_equal(got, tokens, n * sizeof *tokens);
}

/* ---- prefix reuse ---------------------------------------------------------------------------- */

/* Logits of the same tokens. One row of x and several take different kernels, which agree to rounding. */
static void assert_same_logits(const float *got, const float *want)
{
    for (size_t i = 0; i < N_VOCAB; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("logit %zu is %g, not %g", i, (double)got[i], (double)want[i]);
}

static void longest_common_prefix_is_kept(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    int32_t other[N_CTX];
    memcpy(other, f->tokens, sizeof other);
    other[20] = (other[20] + 1) % N_VOCAB;
    const struct {
        const int32_t *tokens;
        size_t n, kept;
    } turns[] = {
        {f->tokens, 40, 0},  {f->tokens, 40, 39}, /* the last token is computed again for its logits */
        {f->tokens, 50, 40}, {f->tokens, 10, 9},  {f->tokens, 60, 10}, {other, 60, 20},
        {other, 21, 20},     {f->tokens, 96, 20}, {f->tokens, 1, 0},   {other + 1, 5, 0},
    };
    qn_session *s = qn_test_session(f->model, 0, 0);
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        assert_int_equal(qn_test_feed(s, turns[i].tokens, turns[i].n, N_VOCAB, got), turns[i].kept);
        assert_holds(s, turns[i].tokens, turns[i].n);
        fresh(f->model, turns[i].tokens, turns[i].n, want);
        assert_same_logits(got, want);
    }
    qn_session_close(s);
}

static void only_computed_tokens_count_as_kept(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    size_t kept = 99;
    qn_step_state step;
    qn_session *s = qn_test_session(f->model, 0, 8);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 30, QN_LOGITS_LAST, &kept));
    assert_int_equal(kept, 0);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 30, QN_LOGITS_LAST, &kept)); /* nothing was computed yet */
    assert_int_equal(kept, 0);
    qn_assert_ok(qn_test_step(s, &step));
    assert_int_equal(step, QN_STEP_CHUNK);
    assert_holds(s, f->tokens, 8);
    assert_int_equal(qn_test_feed(s, f->tokens, 12, N_VOCAB, got), 8);
    fresh(f->model, f->tokens, 12, want);
    assert_same_logits(got, want);
    /* A list that comes from the session itself. */
    size_t n = 0;
    const int32_t *own = qn_session_tokens(s, &n);
    assert_int_equal(qn_test_feed(s, own, n - 2, N_VOCAB, got), 9);
    fresh(f->model, f->tokens, 10, want);
    assert_same_logits(got, want);
    qn_session_close(s);
}

static void saved_tokens_continue_in_another_session(void **state)
{
    fixture *f = *state;
    float a[N_VOCAB], b[N_VOCAB];
    int32_t saved[N_CTX];
    size_t n = 0;
    qn_session *s = qn_test_session(f->model, 0, 0);
    qn_test_feed(s, f->tokens, 12, N_VOCAB, a);
    for (int i = 0; i < 10; i++) qn_test_append(s, (int32_t)qn_test_argmax(a, N_VOCAB), N_VOCAB, a);
    const int32_t *tokens = qn_session_tokens(s, &n);
    assert_int_equal(n, 22);
    memcpy(saved, tokens, n * sizeof saved[0]);
    qn_session *t = qn_test_session(f->model, 64, 5);
    assert_int_equal(qn_test_feed(t, saved, n, N_VOCAB, b), 0);
    for (int i = 0; i < 10; i++) {
        assert_true(qn_test_max_diff(a, b, N_VOCAB) <= 1e-4);
        int32_t next = (int32_t)qn_test_argmax(a, N_VOCAB);
        qn_test_append(s, next, N_VOCAB, a);
        qn_test_append(t, next, N_VOCAB, b);
    }
    qn_session_close(s);
    qn_session_close(t);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void context_fills_up_and_stays_usable(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    qn_session *s = qn_test_session(f->model, 24, 0);
    assert_int_equal(qn_session_ctx(s), 24);
    qn_test_feed(s, f->tokens, 20, N_VOCAB, NULL);
    for (size_t i = 20; i < 24; i++) qn_test_append(s, f->tokens[i], N_VOCAB, got);
    for (int i = 0; i < 3; i++) qn_assert_fails(qn_session_append(s, 1), QN_ERR_CONTEXT, "24");
    assert_holds(s, f->tokens, 24);
    fresh(f->model, f->tokens, 24, want);
    assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
    size_t n_rows = 0;
    const float *last = qn_session_logits(s, &n_rows, NULL); /* still there */
    assert_non_null(last);
    assert_memory_equal(last, got, sizeof got);
    qn_assert_fails(qn_session_set_tokens(s, f->tokens, 25, QN_LOGITS_LAST, NULL), QN_ERR_CONTEXT, "25 tokens");
    assert_holds(s, f->tokens, 24);
    assert_int_equal(qn_test_feed(s, f->tokens, 15, N_VOCAB, got), 14);
    fresh(f->model, f->tokens, 15, want);
    assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
    for (size_t i = 15; i < 24; i++) qn_test_append(s, f->tokens[i], N_VOCAB, got);
    qn_assert_fails(qn_session_append(s, 1), QN_ERR_CONTEXT, "24");
    qn_session_close(s);
}

/* Queued tokens count, whether they are computed or not. */
static void queued_tokens_fill_the_context_too(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    qn_session *s = qn_test_session(f->model, 10, 4);
    for (size_t i = 0; i < 10; i++) qn_assert_ok(qn_session_append(s, f->tokens[i]));
    qn_assert_fails(qn_session_append(s, 1), QN_ERR_CONTEXT, "10");
    qn_assert_ok(qn_test_finish(s));
    memcpy(got, qn_session_logits(s, NULL, NULL), sizeof got);
    fresh(f->model, f->tokens, 10, want);
    assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
    qn_session_close(s);
}

static void a_context_of_one(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    qn_session *s = qn_test_session(f->model, 1, 0);
    qn_test_feed(s, f->tokens, 1, N_VOCAB, got);
    qn_assert_fails(qn_session_append(s, 1), QN_ERR_CONTEXT, "1");
    fresh(f->model, f->tokens, 1, want);
    assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
    qn_session_close(s);
}

static void foreign_ids_are_refused(void **state)
{
    fixture *f = *state;
    static const int32_t bad[] = {-1, N_VOCAB, INT32_MIN, INT32_MAX};
    float before[N_VOCAB], after[N_VOCAB];
    int32_t tokens[30];
    qn_session *s = qn_test_session(f->model, 0, 0);
    qn_test_feed(s, f->tokens, 20, N_VOCAB, before);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "is %d", bad[i]);
        memcpy(tokens, f->tokens + 5, sizeof tokens);
        tokens[29] = bad[i];
        qn_assert_fails(qn_session_set_tokens(s, tokens, 30, QN_LOGITS_ALL, NULL), QN_ERR_ARGUMENT, text);
        qn_assert_fails(qn_session_append(s, bad[i]), QN_ERR_ARGUMENT, "61");
        assert_holds(s, f->tokens, 20);
        size_t n_rows = 0;
        const float *logits = qn_session_logits(s, &n_rows, NULL);
        assert_int_equal(n_rows, 1);
        assert_memory_equal(logits, before, sizeof before);
    }
    qn_test_append(s, N_VOCAB - 1, N_VOCAB, after); /* the last id is fine */
    qn_session_close(s);
}

static void calls_in_the_wrong_state_are_refused(void **state)
{
    fixture *f = *state;
    qn_step_state step;
    size_t n_rows = 7;
    qn_session *s = qn_test_session(f->model, 0, 8);
    qn_assert_fails(qn_session_step(s, &step), QN_ERR_STATE, "no tokens");
    assert_null(qn_session_logits(s, &n_rows, NULL));
    assert_int_equal(n_rows, 0);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 20, QN_LOGITS_LAST, NULL));
    qn_assert_ok(qn_session_step(s, &step)); /* submits */
    assert_int_equal(step, QN_STEP_PENDING);
    qn_assert_fails(qn_session_set_tokens(s, f->tokens, 3, QN_LOGITS_LAST, NULL), QN_ERR_STATE, "under way");
    qn_assert_fails(qn_session_append(s, 1), QN_ERR_STATE, "under way");
    assert_null(qn_session_logits(s, NULL, NULL));
    qn_assert_ok(qn_test_step(s, &step));
    assert_int_equal(step, QN_STEP_CHUNK);
    assert_null(qn_session_logits(s, NULL, NULL)); /* in this mode the prompt's end has them */
    qn_assert_ok(qn_test_finish(s));
    for (int i = 0; i < 3; i++) { /* ready stays ready */
        qn_assert_ok(qn_session_step(s, &step));
        assert_int_equal(step, QN_STEP_READY);
        assert_non_null(qn_session_logits(s, NULL, NULL));
    }
    qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_LAST, NULL));
    assert_holds(s, f->tokens, 0);
    qn_assert_fails(qn_session_step(s, &step), QN_ERR_STATE, "no tokens");
    qn_session_close(s);
}

/* ---- logits ---------------------------------------------------------------------------------- */

static void all_rows_equal_the_last_of_every_prefix(void **state)
{
    fixture *f = *state;
    enum { N = 30 };
    static float all[N * N_VOCAB], chunked[N * N_VOCAB], one[N_VOCAB];
    qn_session *s = qn_test_session(f->model, 0, 0), *t = qn_test_session(f->model, 0, 7);
    assert_int_equal(qn_test_feed_all(s, f->tokens, N, N_VOCAB, all), 0);
    assert_int_equal(qn_test_feed_all(t, f->tokens, N, N_VOCAB, chunked), 0);
    assert_true(qn_test_max_diff(all, chunked, N * N_VOCAB) <= 1e-4);
    qn_session *u = qn_test_session(f->model, 0, 0);
    for (size_t n = 1; n <= N; n++) {
        qn_test_append(u, f->tokens[n - 1], N_VOCAB, one);
        assert_true(qn_test_max_diff(one, all + (n - 1) * N_VOCAB, N_VOCAB) <= 1e-4);
    }
    /* Of a continued list, only the new rows; then one row a token. */
    assert_int_equal(qn_test_feed_all(s, f->tokens, 10, N_VOCAB, chunked), 9);
    assert_int_equal(qn_test_feed_all(s, f->tokens, N, N_VOCAB, chunked), 10);
    assert_true(qn_test_max_diff(chunked, all + 10 * N_VOCAB, (N - 10) * N_VOCAB) <= 1e-4);
    size_t n_rows = 0, first = 0;
    qn_assert_ok(qn_session_append(s, 3));
    qn_assert_ok(qn_test_finish(s));
    assert_non_null(qn_session_logits(s, &n_rows, &first));
    assert_int_equal(n_rows, 1);
    assert_int_equal(first, N);
    qn_session_close(s);
    qn_session_close(t);
    qn_session_close(u);
}

/* ---- side by side ---------------------------------------------------------------------------- */

static void interleaved_sessions_do_not_meet(void **state)
{
    fixture *f = *state;
    enum { N = 3 };
    qn_session *s[N];
    float want[N_VOCAB];
    bool ready[N] = {false};
    size_t n_ready = 0;
    for (size_t i = 0; i < N; i++) {
        s[i] = qn_test_session(f->model, (uint32_t)(40 + i), (uint32_t)(3 + i));
        qn_assert_ok(qn_session_set_tokens(s[i], f->tokens + i, 20 + 5 * i, QN_LOGITS_LAST, NULL));
    }
    while (n_ready < N) /* a step each, in turns */
        for (size_t i = 0; i < N; i++) {
            qn_step_state step;
            if (ready[i]) continue;
            qn_assert_ok(qn_session_step(s[i], &step));
            ready[i] = step == QN_STEP_READY;
            n_ready += ready[i];
        }
    for (size_t i = 0; i < N; i++) {
        fresh(f->model, f->tokens + i, 20 + 5 * i, want);
        assert_true(qn_test_max_diff(qn_session_logits(s[i], NULL, NULL), want, N_VOCAB) <= 1e-4);
    }
    for (size_t i = 0; i < N; i++) qn_session_close(s[(i + 1) % N]);
}

enum { THREAD_TOKENS = 40 };

typedef struct job {
    qn_model *model;
    int32_t tokens[THREAD_TOKENS]; /* 10 of prompt, then what it generates */
    qn_status status;
} job;

/* Without assertions: cmocka's belong to the main thread. */
static qn_status generate(job *j)
{
    qn_session *s = NULL;
    QN_TRY(qn_session_open(j->model, &(qn_session_options){.chunk = 4}, &s));
    qn_status status = qn_session_set_tokens(s, j->tokens, 10, QN_LOGITS_LAST, NULL);
    for (size_t n = 10; status.code == QN_OK && n < THREAD_TOKENS; n++) {
        status = qn_test_finish(s);
        if (status.code != QN_OK) break;
        j->tokens[n] = (int32_t)qn_test_argmax(qn_session_logits(s, NULL, NULL), N_VOCAB);
        status = qn_session_append(s, j->tokens[n]);
    }
    qn_session_close(s);
    return status;
}

static void *run_job(void *p)
{
    job *j = p;
    j->status = generate(j);
    return NULL;
}

static void sessions_run_in_threads(void **state)
{
    fixture *f = *state;
    enum { N = 4 };
    job alone[N], beside[N];
    pthread_t threads[N];
    for (size_t i = 0; i < N; i++) {
        alone[i] = (job){.model = f->model};
        memcpy(alone[i].tokens, f->tokens + 7 * i, 10 * sizeof(int32_t));
        beside[i] = alone[i];
        qn_assert_ok(generate(&alone[i]));
    }
    for (size_t i = 0; i < N; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_job, &beside[i]), 0);
    for (size_t i = 0; i < N; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < N; i++) {
        qn_assert_ok(beside[i].status);
        assert_memory_equal(beside[i].tokens, alone[i].tokens, sizeof alone[i].tokens);
    }
}

#ifndef QN_NO_BLOCKING
static void waiting_gives_what_stepping_gives(void **state)
{
    fixture *f = *state;
    float want[N_VOCAB];
    qn_step_state step = QN_STEP_PENDING;
    size_t n_chunks = 0;
    fresh(f->model, f->tokens, 33, want);
    qn_session *s = qn_test_session(f->model, 0, 8);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 33, QN_LOGITS_LAST, NULL));
    for (; step != QN_STEP_READY; n_chunks++) qn_assert_ok(qn_session_wait(s, &step));
    assert_int_equal(n_chunks, 5);
    assert_true(qn_test_max_diff(qn_session_logits(s, NULL, NULL), want, N_VOCAB) <= 1e-4);
    qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_LAST, NULL));
    qn_assert_fails(qn_session_wait(s, &step), QN_ERR_STATE, "no tokens");
    qn_session_close(s);
}
#endif

/* ---- closing and losing ---------------------------------------------------------------------- */

static void sessions_close_with_work_under_way(void **state)
{
    fixture *f = *state;
    float got[N_VOCAB], want[N_VOCAB];
    uint64_t held = qn_engine_gpu_bytes(f->engine, NULL);
    qn_session *s = qn_test_session(f->model, 0, 0), *t = qn_test_session(f->model, 0, 0);
    qn_step_state step;
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 90, QN_LOGITS_ALL, NULL));
    qn_assert_ok(qn_session_step(s, &step));
    qn_session_close(s);
    qn_test_feed(t, f->tokens, 9, N_VOCAB, got);
    qn_session_close(t);
    qn_session_close(NULL);
    fresh(f->model, f->tokens, 9, want);
    assert_same_logits(got, want);
    assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), held);
}

static void a_lost_device_is_reported_and_a_new_engine_goes_on(void **state)
{
    fixture *f = *state;
    float want[N_VOCAB], got[N_VOCAB];
    qn_random_model m = qn_test_small_model();
    fresh(f->model, f->tokens, 12, want);
    for (int in_flight = 0; in_flight < 2; in_flight++) {
        qn_engine *engine;
        qn_step_state step = QN_STEP_PENDING;
        qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
        qn_model *model = qn_test_load_random(engine, &m);
        qn_session *s = qn_test_session(model, 0, 0), *none = NULL;
        qn_test_feed(s, f->tokens, 10, N_VOCAB, NULL);
        qn_assert_ok(qn_session_append(s, f->tokens[10]));
        if (in_flight) qn_assert_ok(qn_session_step(s, &step));
        assert_int_equal(qn_session_logits(s, NULL, NULL) != NULL, !in_flight);
        qn_engine_lose_device(engine);
        assert_null(qn_session_logits(s, NULL, NULL));
        qn_status status = qn_ok();
        for (int i = 0; i < 1000 && status.code == QN_OK; i++) status = qn_session_step(s, &step);
        qn_assert_fails(status, QN_ERR_DEVICE_LOST, "open a new one");
        qn_assert_fails(qn_session_step(s, &step), QN_ERR_DEVICE_LOST, "open a new one");
        qn_assert_fails(qn_session_open(model, NULL, &none), QN_ERR_DEVICE_LOST, "open a new one");
        assert_null(none);
        assert_holds(s, f->tokens, 10); /* the tokens are there to be taken over */
        qn_engine *again;
        qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &again));
        qn_model *model2 = qn_test_load_random(again, &m);
        qn_session *t = qn_test_session(model2, 0, 0);
        qn_test_feed(t, qn_session_tokens(s, NULL), 10, N_VOCAB, NULL);
        for (size_t i = 10; i < 12; i++) qn_test_append(t, f->tokens[i], N_VOCAB, got);
        assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
        qn_session_close(s);
        qn_model_close(model);
        qn_engine_close(engine);
        qn_session_close(t);
        qn_model_close(model2);
        qn_engine_close(again);
    }
}

/* ---- main ------------------------------------------------------------------------------------ */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_common_prefix_is_kept),
        cmocka_unit_test(only_computed_tokens_count_as_kept),
        cmocka_unit_test(saved_tokens_continue_in_another_session),
        cmocka_unit_test(context_fills_up_and_stays_usable),
        cmocka_unit_test(queued_tokens_fill_the_context_too),
        cmocka_unit_test(a_context_of_one),
        cmocka_unit_test(foreign_ids_are_refused),
        cmocka_unit_test(calls_in_the_wrong_state_are_refused),
        cmocka_unit_test(all_rows_equal_the_last_of_every_prefix),
        cmocka_unit_test(interleaved_sessions_do_not_meet),
        cmocka_unit_test(sessions_run_in_threads),
#ifndef QN_NO_BLOCKING
        cmocka_unit_test(waiting_gives_what_stepping_gives),
#endif
        cmocka_unit_test(sessions_close_with_work_under_way),
        cmocka_unit_test(a_lost_device_is_reported_and_a_new_engine_goes_on),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
