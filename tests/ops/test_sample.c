/* Sampling on the GPU picks the token that the host's sampler picks, for every kind of setting and logits, in one graph
 * whose settings change; the same rows forced one by one; tokens that stay on the GPU. */
#include "base/random.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY = 80, ROWS = 2 };

/* ---- a graph that samples -------------------------------------------------------------------- */

typedef struct fixture {
    qn_graph *g;
    uint32_t n_vocab;
    qn_value logits, history, n_history, settings, draw, token;
    float *data, *plain; /* [n_vocab]: for the GPU; as the host takes them */
    int32_t past[HISTORY];
} fixture;

static void open_fixture(fixture *f, qn_engine *engine, uint32_t n_vocab)
{
    *f = (fixture){.g = qn_test_graph(engine), .n_vocab = n_vocab};
    f->logits = qn_graph_input(f->g, "logits", QN_F32, qn_shape_2(ROWS, n_vocab));
    f->history = qn_graph_state(f->g, "history", QN_I32, qn_shape_1(HISTORY));
    f->n_history = qn_graph_int(f->g, "n_history", HISTORY);
    f->settings = qn_graph_input(f->g, "settings", QN_I32, qn_shape_1(QN_SAMPLE_WORDS));
    f->draw = qn_graph_int(f->g, "draw", 1000);
    f->token = qn_sample(f->g, &(qn_sample_inputs){f->logits, f->history, f->n_history, f->settings, f->draw});
    qn_graph_output(f->g, f->token, "token");
    qn_assert_ok(qn_graph_build(f->g));
    f->data = calloc(n_vocab, ROWS * sizeof *f->data);
    f->plain = calloc(n_vocab, sizeof *f->plain);
    assert_true(f->data && f->plain);
    for (uint32_t i = 0; i < HISTORY; i++) f->past[i] = (int32_t)(qn_test_random(3, i) % n_vocab);
    qn_assert_ok(qn_graph_write_state(f->g, f->history, f->past));
}

static void close_fixture(fixture *f)
{
    qn_graph_close(f->g);
    free(f->data);
    free(f->plain);
}

/* ---- logits ---------------------------------------------------------------------------------- */

static double unit(uint64_t seed, uint64_t i)
{
    return (qn_test_random(seed, i) + 0.5) / 4294967296.0;
}

/* A wide bell with a thin upper tail, as of a language model. */
static float bell(uint64_t seed, uint64_t i)
{
    return (float)(4 * (unit(seed, 3 * i) + unit(seed, 3 * i + 1)) - 6 - 1.5 * log(unit(seed, 3 * i + 2)));
}

static float bell_in_eighths(uint64_t seed, uint64_t i)
{
    return rintf(bell(seed, i) * 8) / 8;
}

static float narrow(uint64_t seed, uint64_t i)
{
    return 1e-3f * (float)unit(seed, i);
}

static float all_equal(uint64_t seed, uint64_t i)
{
    (void)seed;
    (void)i;
    return -2.5f;
}

/* Far apart, both signs, and numbers that devices treat in their own ways: zeros, subnormal and huge ones. */
static float extreme(uint64_t seed, uint64_t i)
{
    static const float some[] = {0, -0.0f, 1e-40f, -1e-40f, FLT_MIN, 1e38f, FLT_MAX, -FLT_MAX, -1e38f, 3, 1e9f, -1e9f};
    uint32_t r = qn_test_random(seed, i);
    return r % 16 < 12 ? some[r % 16] : (float)ldexp(unit(seed, 2 * i + 1) - 0.5, (int)(r >> 4) % 60);
}

/* What masks and damage leave: few numbers among -infinities and NaN. */
static float damaged(uint64_t seed, uint64_t i)
{
    uint32_t r = qn_test_random(seed, i) % 8;
    return r < 4 ? -INFINITY : r == 4 ? NAN : bell(seed, i);
}

static float (*const kinds[])(uint64_t seed, uint64_t i) = {bell, bell_in_eighths, narrow, all_equal, extreme, damaged};
enum { N_KINDS = sizeof kinds / sizeof kinds[0], DAMAGED = 5 };

/* Fills the last of `rows` rows. The host refuses what is not finite; it counts as the least number. */
static void fill_logits(fixture *f, uint32_t rows, size_t kind, uint64_t seed)
{
    float *x = f->data + (size_t)(rows - 1) * f->n_vocab;
    for (uint32_t i = 0; i < f->n_vocab; i++) x[i] = kinds[kind](seed, i);
    if (kind == DAMAGED) x[f->n_vocab / 2] = 1;
    for (uint32_t i = 0; i < f->n_vocab; i++) f->plain[i] = isfinite(x[i]) ? x[i] : -FLT_MAX;
    qn_assert_ok(qn_graph_set_input(f->g, f->logits, qn_shape_2(rows, f->n_vocab), f->data));
}

/* ---- settings -------------------------------------------------------------------------------- */

static const qn_sampler_options settings[] = {
    {.temperature = 0},
    {.temperature = 1, .top_k = 1},
    {.temperature = 0, .repetition_penalty = 1.3f},
    {.temperature = 1, .seed = 1},
    {.temperature = 0.05f, .seed = UINT64_C(0x123456789abcdef0)},
    {.temperature = 1e30f, .seed = 2},
    {.temperature = FLT_MIN, .seed = 2},
    {.temperature = 0.8f, .top_k = 40, .seed = 3},
    {.temperature = 3, .top_k = 2, .seed = 3},
    {.temperature = 1.5f, .top_k = 5000, .seed = 4},
    {.temperature = 0.8f, .top_p = 0.9f, .seed = 5},
    {.temperature = 2, .top_p = 0.999f, .seed = 5},
    {.temperature = 1, .top_p = 1e-6f, .seed = 5},
    {.temperature = 0.8f, .min_p = 0.05f, .seed = 6},
    {.temperature = 1, .min_p = 1, .seed = 6},
    {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.02f, .repetition_penalty = 1.1f, .seed = 7},
    {.temperature = 5, .top_k = 3000, .top_p = 0.6f, .repetition_penalty = 0.5f, .repetition_window = 7, .seed = 8},
    {.temperature = 5, .top_p = 0.6f, .repetition_penalty = 1e38f, .repetition_window = 1000, .seed = 8},
};
enum { N_SETTINGS = sizeof settings / sizeof settings[0] };

static int32_t pick_on_gpu(fixture *f, const qn_sampler_options *o, uint32_t n_history, uint32_t draw)
{
    int32_t words[QN_SAMPLE_WORDS];
    qn_assert_ok(qn_sample_settings(o, words));
    qn_assert_ok(qn_graph_set_input(f->g, f->settings, qn_shape_1(QN_SAMPLE_WORDS), words));
    qn_assert_ok(qn_graph_set_int(f->g, f->n_history, n_history));
    qn_assert_ok(qn_graph_set_int(f->g, f->draw, draw));
    return *(const int32_t *)qn_test_run(f->g, f->token, qn_shape_1(1));
}

/* `draws` picks of every setting from these logits. */
static void check_settings(fixture *f, uint32_t draws, const char *what)
{
    for (size_t s = 0; s < N_SETTINGS; s++) {
        const qn_sampler_options *o = &settings[s];
        qn_sampler *sampler;
        qn_assert_ok(qn_sampler_open(o, f->n_vocab, &sampler));
        for (uint32_t i = 0; i < draws; i++) {
            uint32_t n_history = i % 3 == 0 ? HISTORY : 11 * i % HISTORY;
            int32_t want = -1, got = pick_on_gpu(f, o, n_history, i);
            qn_assert_ok(qn_sampler_pick(sampler, f->plain, f->past, n_history, &want));
            if (got != want)
                fail_msg("%u tokens, %s, setting %zu, draw %u: token %d, the host picks %d", f->n_vocab, what, s, i,
                         got, want);
            bool greedy = o->temperature == 0 || o->top_k == 1;
            bool filters = (o->top_k && o->top_k < f->n_vocab) || o->top_p > 0;
            assert_int_equal(qn_graph_n_dispatches(f->g), greedy ? 2 : filters ? 4 : 3);
        }
        qn_sampler_close(sampler);
    }
}

static void check_vocabulary(qn_engine *engine, uint32_t n_vocab, uint32_t draws)
{
    fixture f;
    open_fixture(&f, engine, n_vocab);
    for (size_t kind = 0; kind < N_KINDS; kind++) {
        char what[32];
        snprintf(what, sizeof what, "logits %zu", kind);
        fill_logits(&f, 1 + (uint32_t)kind % ROWS, kind, 10 * n_vocab + kind);
        check_settings(&f, draws, what);
    }
    close_fixture(&f);
}

static void small_vocabularies(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 7, 512, 1024, 1025, 3000, 5000};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_vocabulary(engine, sizes[i], 2);
    qn_engine_close(engine);
}

static void a_vocabulary_of_32000(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    check_vocabulary(engine, 32000, 1);
    qn_engine_close(engine);
}

static void a_vocabulary_of_128256(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    check_vocabulary(engine, 128256, 1);
    qn_engine_close(engine);
}

static void every_row(void **state)
{
    (void)state;
    extern const qn_kernel_table qn_sample_kernels;
    for (uint32_t i = 0; i < qn_sample_kernels.n_rows; i++) {
        qn_engine *engine = qn_test_engine(qn_sample_kernels.rows[i].name);
        check_vocabulary(engine, 5000, 1);
        qn_engine_close(engine);
    }
}

/* The row of a maximum that needs several bindings. */
static void rows_over_the_binding_limit(void **state)
{
    (void)state;
    enum { N = 2048, MANY = 200 };
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 64 * N * 4);
    qn_graph *g = qn_test_graph(engine);
    qn_value logits = qn_graph_input(g, "logits", QN_F32, qn_shape_2(MANY, N));
    qn_value words = qn_graph_input(g, "settings", QN_I32, qn_shape_1(QN_SAMPLE_WORDS));
    qn_value token = qn_sample(g, &(qn_sample_inputs){logits, 0, 0, words, qn_graph_const_int(g, 0)});
    qn_graph_output(g, token, "token");
    qn_assert_ok(qn_graph_build(g));
    int32_t greedy[QN_SAMPLE_WORDS];
    qn_assert_ok(qn_sample_settings(NULL, greedy));
    qn_assert_ok(qn_graph_set_input(g, words, qn_shape_1(QN_SAMPLE_WORDS), greedy));
    float *x = calloc((size_t)MANY * N, sizeof *x);
    assert_non_null(x);
    for (uint32_t row = 0; row < MANY; row++) x[(size_t)row * N + 5 * row] = 1;
    static const uint32_t lives[] = {200, 1, 64, 65, 128, 130};
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        qn_assert_ok(qn_graph_set_input(g, logits, qn_shape_2(lives[i], N), x));
        assert_int_equal(*(const int32_t *)qn_test_run(g, token, qn_shape_1(1)), 5 * (lives[i] - 1));
    }
    free(x);
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- tokens that stay on the GPU ------------------------------------------------------------- */

/* The next token is the one after the last; the GPU writes it into its own input and into the history. */
static void tokens_are_fed_back(void **state)
{
    (void)state;
    enum { N = 50, C = 16 };
    float table[N * N] = {0};
    for (uint32_t i = 0; i < N; i++) table[i * N + (i + 1) % N] = 1;
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *w;
    qn_weight_desc desc = {
        .name = "w", .kind = QN_WEIGHT_F32, .matrix = true, .shape = qn_shape_2(N, N), .data = table};
    qn_assert_ok(qn_weight_create(engine, &desc, &w));
    qn_graph *g = qn_test_graph(engine);
    qn_value tokens = qn_graph_input(g, "tokens", QN_I32, qn_shape_1(4));
    qn_value pos = qn_graph_int(g, "pos", C), zero = qn_graph_const_int(g, 0);
    qn_value words = qn_graph_input(g, "settings", QN_I32, qn_shape_1(QN_SAMPLE_WORDS));
    qn_value history = qn_graph_state(g, "history", QN_I32, qn_shape_1(C));
    assert_int_equal(qn_append_tokens(g, tokens, history, pos), history);
    qn_value logits = qn_embedding(g, qn_graph_weight(g, w), tokens);
    qn_value token = qn_sample(g, &(qn_sample_inputs){logits, 0, 0, words, zero});
    qn_feed_token(g, token, tokens);
    qn_graph_output(g, token, "token");
    qn_assert_ok(qn_graph_build(g));
    int32_t greedy[QN_SAMPLE_WORDS], kept[C];
    qn_assert_ok(qn_sample_settings(NULL, greedy));
    qn_assert_ok(qn_graph_set_input(g, words, qn_shape_1(QN_SAMPLE_WORDS), greedy));
    const int32_t prompt[4] = {3, 9, 20, 45}, more[1] = {7};
    qn_assert_ok(qn_graph_set_input(g, tokens, qn_shape_1(4), prompt));
    qn_assert_ok(qn_graph_set_int(g, pos, 0));
    assert_int_equal(*(const int32_t *)qn_test_run(g, token, qn_shape_1(1)), 46);
    qn_assert_ok(qn_graph_set_input(g, tokens, qn_shape_1(1), more));
    for (int32_t i = 0; i < 12; i++) { /* the host gives only the first of them */
        qn_assert_ok(qn_graph_set_int(g, pos, 4 + i));
        assert_int_equal(*(const int32_t *)qn_test_run(g, token, qn_shape_1(1)), 8 + i);
    }
    qn_assert_ok(qn_test_read_state(g, history, kept));
    assert_memory_equal(kept, prompt, sizeof prompt);
    for (int32_t i = 0; i < 12; i++) assert_int_equal(kept[4 + i], 7 + i);
    qn_assert_ok(qn_graph_set_int(g, pos, C));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "passes the end");
    qn_graph_close(g);
    qn_weight_free(w);
    qn_engine_close(engine);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse(qn_engine *engine, int what, qn_code code, const char *text)
{
    qn_graph *g = qn_test_graph(engine);
    qn_value logits = qn_graph_input(g, "logits", what == 0 ? QN_I32 : QN_F32, qn_shape_2(1, what == 1 ? 1 << 20 : 8));
    qn_value words = qn_graph_input(g, "settings", QN_I32, qn_shape_1(what == 2 ? 3 : QN_SAMPLE_WORDS));
    qn_value history = qn_graph_input(g, "history", what == 3 ? QN_F32 : QN_I32, qn_shape_1(8));
    qn_value n = what == 4 ? 0 : qn_graph_int(g, "n_history", 9), draw = qn_graph_const_int(g, 0);
    qn_value token = qn_sample(g, &(qn_sample_inputs){logits, history, n, what == 5 ? logits : words, draw});
    if (what == 6) qn_feed_token(g, token, token);
    if (what == 7) qn_append_tokens(g, history, token, n);
    if (what == 8) qn_feed_token(g, token, words);
    if (what == 9) qn_feed_token(g, history, history);
    qn_assert_fails(qn_graph_build(g), code, text);
    qn_graph_close(g);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    refuse(engine, 0, QN_ERR_ARGUMENT, "f32");
    refuse(engine, 1, QN_ERR_LIMIT, "1048576 tokens");
    refuse(engine, 2, QN_ERR_ARGUMENT, "settings");
    refuse(engine, 3, QN_ERR_ARGUMENT, "history");
    refuse(engine, 4, QN_ERR_ARGUMENT, "length");
    refuse(engine, 5, QN_ERR_ARGUMENT, "settings");
    refuse(engine, 6, QN_ERR_ARGUMENT, "feed_token");
    refuse(engine, 7, QN_ERR_ARGUMENT, "append_tokens");
    refuse(engine, 8, QN_ERR_ARGUMENT, "feed_token");
    refuse(engine, 9, QN_ERR_ARGUMENT, "one token");
    fixture f;
    open_fixture(&f, engine, 8);
    fill_logits(&f, 1, 0, 1);
    pick_on_gpu(&f, &settings[0], 0, 0);
    int32_t words[QN_SAMPLE_WORDS];
    qn_assert_fails(qn_sample_settings(&(qn_sampler_options){.temperature = NAN}, words), QN_ERR_ARGUMENT,
                    "temperature");
    close_fixture(&f);
    qn_engine_close(engine);
}

/* ---- speed ----------------------------------------------------------------------------------- */

/* Printed, not asserted, where the device has timestamps: microseconds of the GPU for each kernel of a pick. */
static void speed_of_a_large_vocabulary(void **state)
{
    (void)state;
    static const size_t some[] = {0, 3, 7, 10, 15};
    qn_engine *engine = qn_test_engine(NULL);
    fixture f;
    open_fixture(&f, engine, 128256);
    bool timed = qn_graph_set_profile(f.g, QN_PROFILE_DISPATCHES).code == QN_OK;
    for (size_t kind = 0; timed && kind < N_KINDS; kind++) {
        fill_logits(&f, 1, kind, 10);
        for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
            double best[8];
            for (uint32_t run = 0; run < 5; run++) {
                pick_on_gpu(&f, &settings[some[i]], HISTORY, run);
                for (size_t k = 0; k < qn_graph_n_dispatches(f.g); k++) {
                    double us = 1e-3 * qn_graph_dispatch(f.g, k).gpu_ns;
                    if (run == 0 || us < best[k]) best[k] = us;
                }
            }
            print_message("logits %zu, setting %2zu:", kind, some[i]);
            for (size_t k = 0; k < qn_graph_n_dispatches(f.g); k++)
                print_message("  %s %.1f", qn_graph_dispatch(f.g, k).kernel, best[k]);
            print_message("\n");
        }
    }
    close_fixture(&f);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_vocabularies),          cmocka_unit_test(a_vocabulary_of_32000),
        cmocka_unit_test(a_vocabulary_of_128256),      cmocka_unit_test(every_row),
        cmocka_unit_test(rows_over_the_binding_limit), cmocka_unit_test(tokens_are_fed_back),
        cmocka_unit_test(what_cannot_be_is_refused),   cmocka_unit_test(speed_of_a_large_vocabulary),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
