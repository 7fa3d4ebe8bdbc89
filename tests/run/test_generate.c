/* Generating on the GPU, several steps under way: the same tokens as one step at a time with the sampler on the host;
 * what the session holds after every way that a generation ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/gpu_harness.h"
#include "support/model_harness.h"

enum { N_VOCAB = 61, N_CTX = 96, CHUNK = 16 };

typedef struct fixture {
    qn_test_allocator allocator;
    qn_engine *engine;
    qn_model *model;
    int32_t tokens[N_CTX];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    qn_test_allocator_init(&f.allocator);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.allocator = &f.allocator.allocator}, &f.engine));
    qn_random_model small = qn_test_small_model();
    f.model = qn_test_load_random(f.engine, &small);
    qn_test_tokens(f.tokens, N_CTX, N_VOCAB, 3);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_model_close(f->model);
    qn_engine_close(f->engine);
    return f->allocator.blocks != 0;
}

/* ---- both ways ------------------------------------------------------------------------------- */

/* One step at a time: n tokens after the first n_prompt of the fixture's. */
static void stepwise(const fixture *f, const qn_sampler_options *o, size_t n_prompt, size_t n, int32_t *out)
{
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_sampler *sampler;
    qn_assert_ok(qn_sampler_open(o, N_VOCAB, &sampler));
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, n_prompt, QN_LOGITS_LAST, NULL));
    for (size_t i = 0; i < n; i++) {
        size_t n_history;
        qn_assert_ok(qn_test_finish(s));
        const int32_t *history = qn_session_tokens(s, &n_history);
        qn_assert_ok(qn_sampler_pick(sampler, qn_session_logits(s, NULL, NULL), history, n_history, &out[i]));
        if (i + 1 < n) qn_assert_ok(qn_session_append(s, out[i]));
    }
    qn_sampler_close(sampler);
    qn_session_close(s);
}

/* Steps to the next token; false at the end. */
static bool next(qn_session *s, int32_t *token)
{
    qn_step_state step;
    do qn_assert_ok(qn_test_step(s, &step));
    while (step == QN_STEP_CHUNK);
    *token = qn_session_token(s, NULL);
    if (step == QN_STEP_TOKEN) return true;
    assert_int_equal(step, QN_STEP_END);
    return false;
}

static qn_stop why(const qn_session *s)
{
    qn_stop stop;
    qn_session_token(s, &stop);
    return stop;
}

static void start(qn_session *s, const int32_t *tokens, size_t n, const qn_generate_options *o)
{
    qn_assert_ok(qn_session_set_tokens(s, tokens, n, QN_LOGITS_LAST, NULL));
    qn_assert_ok(qn_session_generate(s, o));
}

/* The session holds n of these, and goes on from them as one does that never generated. */
static void assert_content(const fixture *f, qn_session *s, const int32_t *tokens, size_t n)
{
    float got[N_VOCAB], want[N_VOCAB];
    size_t held;
    const int32_t *own = qn_session_tokens(s, &held);
    assert_int_equal(held, n);
    assert_memory_equal(own, tokens, n * sizeof *own);
    int32_t list[N_CTX];
    memcpy(list, tokens, n * sizeof *list);
    list[n] = 7;
    assert_int_equal(qn_test_feed(s, list, n + 1, N_VOCAB, got), n);
    qn_session *fresh = qn_test_session(f->model, 0, CHUNK);
    qn_test_feed(fresh, list, n + 1, N_VOCAB, want);
    qn_session_close(fresh);
    assert_true(qn_test_max_diff(got, want, N_VOCAB) <= 1e-4);
}

static const qn_sampler_options settings[] = {
    {.temperature = 0},
    {.temperature = 0, .repetition_penalty = 1.3f},
    {.temperature = 1, .seed = 1},
    {.temperature = 1.5f, .top_k = 1, .seed = 2},
    {.temperature = 1.5f, .top_k = 9, .seed = 3},
    {.temperature = 2, .top_p = 0.8f, .seed = 4, .repetition_penalty = 1.2f, .repetition_window = 5},
    {.temperature = 1.2f, .top_k = 20, .top_p = 0.9f, .min_p = 0.02f, .seed = 5},
};

static void the_same_tokens_as_stepwise(void **state)
{
    const fixture *f = *state;
    static const size_t prompts[] = {1, 5, CHUNK, 40};
    enum { N = 30 };
    qn_session *s = qn_test_session(f->model, 0, CHUNK); /* one for all: what is left behind does not count */
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        for (size_t p = 0; p < sizeof prompts / sizeof prompts[0]; p++) {
            int32_t want[N], token;
            stepwise(f, &settings[i], prompts[p], N, want);
            qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_LAST, NULL)); /* so that chunks are the same */
            start(s, f->tokens, prompts[p], &(qn_generate_options){.sampler = settings[i], .max_tokens = N});
            for (size_t k = 0; k < N; k++) {
                assert_true(next(s, &token));
                if (token != want[k])
                    fail_msg("settings %zu, prompt %zu: token %zu is %d, not %d", i, prompts[p], k, token, want[k]);
            }
            assert_false(next(s, &token));
            assert_int_equal(why(s), QN_STOP_LIMIT);
        }
    qn_session_close(s);
}

/* A second generation with the same seed goes on where the first stopped, as a sampler that is kept does. */
static void draws_go_on(void **state)
{
    const fixture *f = *state;
    enum { N = 20, HALF = 8 };
    int32_t want[N], token;
    stepwise(f, &settings[2], 5, N, want);
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_generate_options o = {.sampler = settings[2], .max_tokens = HALF};
    start(s, f->tokens, 5, &o);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < (turn ? N - HALF : HALF); i++) {
            assert_true(next(s, &token));
            assert_int_equal(token, want[turn * HALF + i]);
        }
        assert_false(next(s, &token));
        o = (qn_generate_options){.sampler = settings[2], .max_tokens = N - HALF, .first_draw = HALF};
        if (turn == 0) qn_assert_ok(qn_session_generate(s, &o)); /* the last token is queued: nothing is lost */
    }
    qn_session_close(s);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_limit(void **state)
{
    const fixture *f = *state;
    int32_t list[N_CTX], want;
    float logits[N_VOCAB];
    memcpy(list, f->tokens, sizeof list);
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    for (size_t n = 1; n <= 6; n++) {
        start(s, f->tokens, 10, &(qn_generate_options){.max_tokens = n});
        for (size_t i = 0; i < n; i++) assert_true(next(s, &list[10 + i]));
        assert_int_equal(why(s), QN_STOP_NONE);
        assert_false(next(s, &want));
        assert_int_equal(want, list[10 + n - 1]);
        assert_int_equal(why(s), QN_STOP_LIMIT);
        qn_assert_ok(qn_test_finish(s)); /* the last token is queued: a plain step computes it */
        memcpy(logits, qn_session_logits(s, NULL, NULL), sizeof logits);
        assert_content(f, s, list, 10 + n);
        stepwise(f, &settings[0], 10, n + 1, list + 10);
        assert_int_equal(qn_test_argmax(logits, N_VOCAB), list[10 + n]);
    }
    qn_session_close(s);
}

static void the_caller_stops(void **state)
{
    const fixture *f = *state;
    int32_t list[N_CTX];
    memcpy(list, f->tokens, sizeof list);
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_session_stop(s); /* nothing to stop */
    for (size_t n = 1; n <= 5; n++) {
        start(s, f->tokens, 10, NULL);
        for (size_t i = 0; i < n; i++) assert_true(next(s, &list[10 + i]));
        qn_session_stop(s);
        assert_int_equal(why(s), QN_STOP_CALLER);
        assert_content(f, s, list, 10 + n - 1); /* the last one was not computed for sure */
    }
    qn_session_close(s);
}

static void stopped_within_the_prompt(void **state)
{
    const fixture *f = *state;
    qn_step_state step;
    for (int chunks = 0; chunks < 3; chunks++) {
        qn_session *s = qn_test_session(f->model, 0, CHUNK);
        start(s, f->tokens, 60, NULL);
        qn_assert_ok(qn_session_step(s, &step)); /* submits */
        assert_int_equal(step, QN_STEP_PENDING);
        for (int i = 0; i < chunks; i++) {
            qn_assert_ok(qn_test_step(s, &step));
            assert_int_equal(step, QN_STEP_CHUNK);
        }
        qn_session_stop(s);
        assert_content(f, s, f->tokens, (size_t)chunks * CHUNK);
        qn_session_close(s);
    }
}

static void the_context_fills_up(void **state)
{
    const fixture *f = *state;
    enum { CTX = 24, PROMPT = 20 };
    int32_t want[CTX], token;
    stepwise(f, &settings[0], PROMPT, CTX - PROMPT + 1, want);
    qn_session *s = qn_test_session(f->model, CTX, CHUNK);
    start(s, f->tokens, PROMPT, NULL);
    for (size_t i = 0; i < CTX - PROMPT + 1; i++) { /* the last one has no place in the context any more */
        assert_true(next(s, &token));
        assert_int_equal(token, want[i]);
    }
    assert_false(next(s, &token));
    assert_int_equal(why(s), QN_STOP_CONTEXT);
    size_t held;
    const int32_t *own = qn_session_tokens(s, &held);
    assert_int_equal(held, CTX);
    assert_memory_equal(own + PROMPT, want, (CTX - PROMPT) * sizeof *want);
    qn_assert_fails(qn_session_append(s, 1), QN_ERR_CONTEXT, "24");
    start(s, own, CTX, NULL); /* full from the start: still one token */
    assert_true(next(s, &token));
    assert_int_equal(token, want[CTX - PROMPT]);
    assert_false(next(s, &token));
    assert_int_equal(why(s), QN_STOP_CONTEXT);
    qn_session_close(s);
}

/* A tokenizer of N_VOCAB tokens, one of which ends the text. */
static qn_tokenizer *tokenizer_with_end(int32_t end)
{
    char json[4096], *at = json;
    at += sprintf(
        at,
        "{\"added_tokens\":[{\"id\":%d,\"content\":\"<end>\",\"special\":true}],\"pre_tokenizer\":"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{",
        end);
    for (int i = 0; i < N_VOCAB; i++)
        at += i == end ? sprintf(at, "%s\"<end>\":%d", i ? "," : "", i)
                       : sprintf(at, "%s\"%c\":%d", i ? "," : "", 'A' + i, i);
    sprintf(at, "},\"merges\":[]}}");
    for (char *p = json; *p; p++)
        if (*p == '\\') *p = '!'; /* 'A' + 27 */
    const char *config = "{\"eos_token\":\"<end>\"}";
    qn_tokenizer_files files = {.data = json, .size = strlen(json), .config = config, .config_size = strlen(config)};
    qn_tokenizer *t = NULL;
    qn_assert_ok(qn_tokenizer_open_memory(NULL, &files, &t));
    assert_true(qn_tokenizer_is_end(t, end));
    return t;
}

static void an_end_token(void **state)
{
    const fixture *f = *state;
    enum { N = 12 };
    int32_t list[N_CTX], token;
    memcpy(list, f->tokens, sizeof list);
    stepwise(f, &settings[2], 10, N, list + 10);
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    for (size_t n = 0; n < N; n += 3) {
        size_t first = 10;
        while (list[first] != list[10 + n]) first++; /* the token may have come before */
        qn_tokenizer *t = tokenizer_with_end(list[10 + n]);
        start(s, f->tokens, 10, &(qn_generate_options){.sampler = settings[2], .tokenizer = t});
        for (size_t i = 10; i < first; i++) {
            assert_true(next(s, &token));
            assert_int_equal(token, list[i]);
        }
        assert_false(next(s, &token));
        assert_int_equal(token, list[10 + n]);
        assert_int_equal(why(s), QN_STOP_TOKEN);
        assert_content(f, s, list, first);
        qn_tokenizer_close(t);
    }
    qn_session_close(s);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void calls_out_of_turn(void **state)
{
    const fixture *f = *state;
    int32_t token;
    qn_step_state step;
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_assert_fails(qn_session_generate(s, NULL), QN_ERR_STATE, "no tokens");
    assert_int_equal(qn_session_token(s, NULL), -1);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 5, QN_LOGITS_LAST, NULL));
    qn_generate_options wrong = {.sampler = {.top_p = 2}};
    qn_assert_fails(qn_session_generate(s, &wrong), QN_ERR_ARGUMENT, "top-p");
    wrong = (qn_generate_options){.first_draw = UINT64_MAX};
    qn_assert_fails(qn_session_generate(s, &wrong), QN_ERR_LIMIT, "draw");
    qn_assert_ok(qn_session_generate(s, NULL));
    assert_int_equal(qn_session_token(s, NULL), -1);
    for (int i = 0; i < 3; i++) { /* before, between and after tokens */
        qn_assert_fails(qn_session_generate(s, NULL), QN_ERR_STATE, "under way");
        qn_assert_fails(qn_session_set_tokens(s, f->tokens, 5, QN_LOGITS_LAST, NULL), QN_ERR_STATE, "under way");
        qn_assert_fails(qn_session_append(s, 1), QN_ERR_STATE, "under way");
        assert_null(qn_session_logits(s, NULL, NULL));
        assert_true(next(s, &token));
    }
    qn_session_stop(s);
    qn_assert_ok(qn_session_append(s, 1)); /* follows what was handed out */
    qn_assert_ok(qn_test_finish(s));
    assert_non_null(qn_session_logits(s, NULL, NULL));
    size_t held;
    qn_session_tokens(s, &held);
    assert_int_equal(held, 5 + 3 + 1);
    qn_assert_ok(qn_session_set_tokens(s, f->tokens, 5, QN_LOGITS_LAST, NULL));
    qn_assert_ok(qn_session_step(s, &step));
    qn_assert_fails(qn_session_generate(s, NULL), QN_ERR_STATE, "under way");
    qn_session_close(s);
}

/* ---- costs and ends -------------------------------------------------------------------------- */

static void generating_allocates_nothing(void **state)
{
    fixture *f = *state;
    int32_t token;
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_graph *g = qn_session_graph(s);
    start(s, f->tokens, 5, &(qn_generate_options){.sampler = settings[5]});
    for (int i = 0; i < 3; i++) assert_true(next(s, &token));
    uint64_t calls = f->allocator.calls;
    while (next(s, &token)) {
        qn_execute_counts c = qn_graph_execute_counts(g);
        assert_int_equal(c.objects_made, 0);
        assert_int_equal(c.passes, 1);
        assert_int_equal(c.submits, 1);
        assert_true(c.nodes_planned > 0);
        assert_true(c.nodes_planned < qn_graph_n_dispatches(g));
    }
    assert_int_equal(why(s), QN_STOP_CONTEXT);
    assert_int_equal(f->allocator.calls, calls);
    qn_session_close(s);
}

static void sessions_generate_side_by_side(void **state)
{
    const fixture *f = *state;
    enum { N = 3, LENGTH = 20 };
    qn_session *s[N];
    int32_t want[N][LENGTH];
    size_t made[N] = {0}, n_made = 0;
    for (size_t i = 0; i < N; i++) {
        stepwise(f, &settings[2 + i], 20 + i, LENGTH, want[i]);
        s[i] = qn_test_session(f->model, 0, CHUNK);
        start(s[i], f->tokens, 20 + i, &(qn_generate_options){.sampler = settings[2 + i]});
    }
    while (n_made < N * LENGTH) /* a step each, in turns */
        for (size_t i = 0; i < N; i++) {
            qn_step_state step;
            if (made[i] == LENGTH) continue;
            qn_assert_ok(qn_session_step(s[i], &step));
            if (step != QN_STEP_TOKEN) continue;
            assert_int_equal(qn_session_token(s[i], NULL), want[i][made[i]++]);
            n_made++;
        }
    for (size_t i = 0; i < N; i++) qn_session_close(s[i]); /* with steps under way */
}

static void a_profile_changes_nothing(void **state)
{
    const fixture *f = *state;
    enum { N = 8 };
    int32_t want[N], token;
    qn_session *s = qn_test_session(f->model, 0, CHUNK);
    qn_status profiled = qn_graph_set_profile(qn_session_graph(s), QN_PROFILE_TOTAL);
    if (profiled.code != QN_ERR_UNSUPPORTED) {
        qn_assert_ok(profiled);
        stepwise(f, &settings[2], 20, N, want);
        start(s, f->tokens, 20, &(qn_generate_options){.sampler = settings[2], .max_tokens = N});
        for (int i = 0; i < N; i++) {
            assert_true(next(s, &token));
            assert_int_equal(token, want[i]);
            assert_true(qn_graph_gpu_ns(qn_session_graph(s)) > 0);
        }
        assert_false(next(s, &token));
    }
    qn_session_close(s);
}

static void a_lost_device_is_reported(void **state)
{
    const fixture *f = *state;
    qn_random_model m = qn_test_small_model();
    qn_engine *engine;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_model *model = qn_test_load_random(engine, &m);
    qn_session *s = qn_test_session(model, 0, CHUNK);
    int32_t token;
    qn_step_state step;
    start(s, f->tokens, 10, NULL);
    for (int i = 0; i < 3; i++) assert_true(next(s, &token));
    qn_engine_lose_device(engine);
    qn_status status = qn_ok();
    for (int i = 0; i < 1000 && status.code == QN_OK; i++) status = qn_session_step(s, &step);
    qn_assert_fails(status, QN_ERR_DEVICE_LOST, "open a new one");
    size_t held;
    assert_memory_equal(qn_session_tokens(s, &held), f->tokens, 10 * sizeof(int32_t));
    assert_in_range(held, 12, 13); /* the tokens are there to be taken over */
    qn_assert_fails(qn_session_generate(s, NULL), QN_ERR_DEVICE_LOST, "open a new one");
    qn_session_close(s);
    qn_model_close(model);
    qn_engine_close(engine);
}

/* ---- WebGPU fails once ------------------------------------------------------------------------ */

enum { PROMPT = 20, MOST = 5 };

/* A prompt and MOST tokens; where a step fails, generating goes on from what the session holds. Returns the failures.
 */
static int generate_on(const fixture *f, qn_model *model, int32_t *out)
{
    int n_failed = 0;
    qn_generate_options o = {.sampler = {.temperature = 1, .seed = 1}, .max_tokens = MOST};
    qn_session *s = qn_test_session(model, 0, CHUNK);
    start(s, f->tokens, PROMPT, &o);
    for (size_t n = 0; n < MOST;) {
        qn_step_state step;
        qn_status status = qn_session_step(s, &step);
        if (status.code == QN_OK) {
            if (step == QN_STEP_TOKEN) out[n++] = qn_session_token(s, NULL);
            continue;
        }
        qn_assert_fails(status, QN_ERR_GPU, "WebGPU");
        n_failed++;
        o.first_draw = n;
        o.max_tokens = MOST - n;
        qn_assert_ok(qn_session_generate(s, &o));
    }
    size_t held;
    const int32_t *own = qn_session_tokens(s, &held);
    assert_int_equal(held, PROMPT + MOST - 1); /* the last one's row is not in the cache */
    assert_memory_equal(own, f->tokens, PROMPT * sizeof *own);
    assert_memory_equal(own + PROMPT, out, (MOST - 1) * sizeof *own);
    qn_session_close(s);
    return n_failed;
}

/* Wherever that is, within the parts that a prompt is sent in or in a step behind another: the tokens are the same. */
static void an_error_costs_no_token(void **state)
{
    const fixture *f = *state;
    qn_random_model m = qn_test_small_model();
    qn_test_mishap mishap = {0};
    qn_engine_options options = qn_test_mishap_options(&mishap);
    qn_engine *engine;
    options.baseline = true;
    qn_assert_ok(qn_test_open_engine(options, &engine));
    ((qn_device_info *)(uintptr_t)qn_engine_device(engine))->type = QN_ADAPTER_DISCRETE; /* it goes in parts there */
    qn_model *model = qn_test_load_random(engine, &m);
    int32_t want[MOST], got[MOST];
    assert_int_equal(generate_on(f, model, want), 0);
    int n_turns = 0;
    for (uint32_t n = 0;; n += 9, n_turns++) {
        mishap = (qn_test_mishap){engine, NULL, n, qn_test_cause_error};
        int n_failed = generate_on(f, model, got);
        assert_memory_equal(got, want, sizeof want);
        if (mishap.engine) break; /* there are no more dispatches */
        assert_int_equal(n_failed, 1);
    }
    assert_true(n_turns > 10);
    mishap.engine = NULL;
    qn_model_close(model);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokens_as_stepwise),
        cmocka_unit_test(draws_go_on),
        cmocka_unit_test(a_limit),
        cmocka_unit_test(the_caller_stops),
        cmocka_unit_test(stopped_within_the_prompt),
        cmocka_unit_test(the_context_fills_up),
        cmocka_unit_test(an_end_token),
        cmocka_unit_test(calls_out_of_turn),
        cmocka_unit_test(generating_allocates_nothing),
        cmocka_unit_test(sessions_generate_side_by_side),
        cmocka_unit_test(a_profile_changes_nothing),
        cmocka_unit_test(a_lost_device_is_reported),
        cmocka_unit_test(an_error_costs_no_token),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
