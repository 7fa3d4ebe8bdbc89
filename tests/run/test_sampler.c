/* The random generator and the sampler: known answers, every filter, and distributions against exact
 * probabilities. All draws come from fixed seeds, so a test that passes once passes always. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/sample_rule.h"

#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        qn_status status_ = (expr);                                                                                    \
        if (status_.code != QN_OK) fail_msg("%s", status_.text);                                                       \
    } while (0)

/* ---- the generator --------------------------------------------------------------------------- */

/* Known answers of the authors' Random123 library (kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t out[4];
        qn_philox(kat[i].counter, kat[i].key, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static void words_come_from_seed_and_index(void **state)
{
    (void)state;
    const uint32_t counter[4] = {0x89abcdef, 0x01234567, 0, 0}, key[2] = {0x76543210, 0xfedcba98};
    uint32_t out[4];
    qn_philox(counter, key, out);
    assert_int_equal(qn_random_word(0xfedcba9876543210, 0x0123456789abcdef), out[0]);
    assert_int_equal(qn_random_word(0, 0), 0x6627e8d5);
    assert_true(qn_random_unit(0, 0) == 0x6627e8d5 / 4294967296.0);
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double u = qn_random_unit(7, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.003);
}

/* ---- helpers --------------------------------------------------------------------------------- */

static qn_sampler *open_sampler(qn_sampler_options o, uint32_t n_vocab)
{
    qn_sampler *s;
    assert_ok(qn_sampler_open(&o, n_vocab, &s));
    return s;
}

static int32_t pick(qn_sampler *s, const float *logits, const int32_t *history, size_t n)
{
    int32_t token = -1;
    assert_ok(qn_sampler_pick(s, logits, history, n, &token));
    return token;
}

enum { DRAWS = 100000 };

/* Draws many tokens and compares how often each came with its exact probability: 5 standard deviations, and never a
 * token of probability 0. */
static void assert_distribution(qn_sampler_options o, const float *logits, uint32_t n, const int32_t *history,
                                size_t n_history, const double *expected)
{
    size_t *count = calloc(n, sizeof *count);
    assert_non_null(count);
    qn_sampler *s = open_sampler(o, n);
    for (int i = 0; i < DRAWS; i++) count[pick(s, logits, history, n_history)]++;
    qn_sampler_close(s);
    for (uint32_t i = 0; i < n; i++) {
        double p = expected[i], off = fabs((double)count[i] - p * DRAWS);
        if (off > 5 * sqrt(DRAWS * p * (1 - p)) + 1e-9)
            fail_msg("token %u came %zu times of %d, expected %.1f", i, count[i], DRAWS, p * DRAWS);
    }
    free(count);
}

/* Probabilities of the kept tokens at a temperature, in the plainest way. */
static void softmax(const double *logits, const bool *keep, size_t n, double temperature, double *p)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (keep[i] && logits[i] > max) max = logits[i];
    for (size_t i = 0; i < n; i++) sum += p[i] = keep[i] ? exp((logits[i] - max) / temperature) : 0;
    for (size_t i = 0; i < n; i++) p[i] /= sum;
}

/* Eight tokens of probabilities .30 .25 .15 .10 .08 .06 .04 .02, not in order. */
enum { N = 8 };
static const double probs[N] = {0.10, 0.02, 0.30, 0.06, 0.25, 0.04, 0.08, 0.15};

static void logits_of_probs(float *logits)
{
    for (size_t i = 0; i < N; i++) logits[i] = (float)log(probs[i]) + 3.0f; /* a shift changes nothing */
}

/* Keeps these tokens (a bit each) of `probs`, with a temperature. */
static void check_kept(qn_sampler_options o, unsigned kept, double temperature)
{
    float logits[N];
    double l[N], p[N];
    bool keep[N];
    logits_of_probs(logits);
    for (size_t i = 0; i < N; i++) {
        keep[i] = (kept >> i & 1) != 0;
        l[i] = log(probs[i]);
    }
    softmax(l, keep, N, temperature, p);
    o.temperature = (float)temperature;
    o.seed = 2026;
    assert_distribution(o, logits, N, NULL, 0, p);
}

#define BIT(i) (1u << (i))
enum { ALL = 0xFF };

/* ---- greedy ---------------------------------------------------------------------------------- */

static void greedy_takes_the_largest_and_of_equals_the_lowest_id(void **state)
{
    (void)state;
    const float logits[6] = {1, 5, 3, 5, 5, -2};
    qn_sampler *s = open_sampler((qn_sampler_options){0}, 6);
    assert_int_equal(pick(s, logits, NULL, 0), 1);
    qn_sampler_close(s);
    s = open_sampler((qn_sampler_options){.temperature = 1, .top_k = 1}, 6);
    assert_int_equal(pick(s, logits, NULL, 0), 1);
    qn_sampler_close(s);
    qn_sampler *plain;
    assert_ok(qn_sampler_open(NULL, 6, &plain)); /* NULL: greedy */
    assert_int_equal(pick(plain, logits, NULL, 0), 1);
    qn_sampler_close(plain);
}

static void top_k_breaks_ties_by_the_lowest_id(void **state)
{
    (void)state;
    const float logits[6] = {1, 2, 2, 2, 2, 1};
    const double expected[6] = {0, 0.5, 0.5, 0, 0, 0};
    assert_distribution((qn_sampler_options){.temperature = 1, .top_k = 2}, logits, 6, NULL, 0, expected);
}

static void top_p_breaks_ties_by_the_lowest_id(void **state)
{
    (void)state;
    const float logits[5] = {0, 0, 0, 0, 0};
    const double expected[5] = {1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0};
    assert_distribution((qn_sampler_options){.temperature = 1, .top_p = 0.5f}, logits, 5, NULL, 0, expected);
}

/* ---- distributions --------------------------------------------------------------------------- */

static void temperature_alone(void **state)
{
    (void)state;
    check_kept((qn_sampler_options){0}, ALL, 1.0);
    check_kept((qn_sampler_options){0}, ALL, 0.5);
    check_kept((qn_sampler_options){0}, ALL, 2.0);
    check_kept((qn_sampler_options){.top_k = 100, .top_p = 1, .repetition_penalty = 1}, ALL, 1.0); /* all off */
}

static void top_k_keeps_the_k_largest(void **state)
{
    (void)state;
    check_kept((qn_sampler_options){.top_k = 3}, BIT(2) | BIT(4) | BIT(7), 1.0);
    check_kept((qn_sampler_options){.top_k = 7}, ALL & ~BIT(1), 0.7);
    check_kept((qn_sampler_options){.top_k = 1}, BIT(2), 1.0);
}

/* .30 + .25 = .55, + .15 = .70, + .10 = .80 */
static void top_p_keeps_the_shortest_beginning_that_reaches_p(void **state)
{
    (void)state;
    check_kept((qn_sampler_options){.top_p = 0.54f}, BIT(2) | BIT(4), 1.0);
    check_kept((qn_sampler_options){.top_p = 0.56f}, BIT(2) | BIT(4) | BIT(7), 1.0);
    check_kept((qn_sampler_options){.top_p = 0.01f}, BIT(2), 1.0);
    check_kept((qn_sampler_options){.top_p = 0.999f}, ALL, 1.0);
}

static void min_p_keeps_what_reaches_a_part_of_the_largest(void **state)
{
    (void)state;
    check_kept((qn_sampler_options){.min_p = 0.32f}, BIT(2) | BIT(4) | BIT(7) | BIT(0), 1.0); /* .096 */
    check_kept((qn_sampler_options){.min_p = 0.34f}, BIT(2) | BIT(4) | BIT(7), 1.0);          /* .102 */
    check_kept((qn_sampler_options){.min_p = 1}, BIT(2), 1.0);
}

/* Filters come before the temperature, and top-p sees what top-k left: of .30 .25 .15 .10 (sum .80) the first two are
 * 69 %, the first three 87 %. */
static void filters_work_one_after_another(void **state)
{
    (void)state;
    check_kept((qn_sampler_options){.top_p = 0.54f}, BIT(2) | BIT(4), 3.0);
    check_kept((qn_sampler_options){.min_p = 0.34f}, BIT(2) | BIT(4) | BIT(7), 0.3);
    check_kept((qn_sampler_options){.top_k = 4, .top_p = 0.67f}, BIT(2) | BIT(4), 1.0);
    check_kept((qn_sampler_options){.top_k = 4, .top_p = 0.72f}, BIT(2) | BIT(4) | BIT(7), 1.0);
    check_kept((qn_sampler_options){.top_k = 4, .top_p = 0.95f, .min_p = 0.4f}, BIT(2) | BIT(4) | BIT(7), 0.8);
}

/* A large vocabulary: the kept set must be the one that a full sort gives. */
static void top_p_of_a_large_vocabulary_is_exact(void **state)
{
    (void)state;
    enum { LARGE = 4000 };
    float *logits = malloc(LARGE * sizeof *logits);
    double *l = malloc(LARGE * sizeof *l), *p = malloc(LARGE * sizeof *p);
    bool *keep = calloc(LARGE, sizeof *keep);
    assert_true(logits && l && p && keep);
    static const double wanted[] = {0.5, 0.9, 0.99};
    for (size_t w = 0; w < 3; w++) {
        double sum = 0, total = 0;
        for (uint64_t i = 0; i < LARGE; i++) {
            double u = qn_random_unit(5, i);
            logits[i] = (float)(6 * u * u * u * u * u * u * u * u - 100); /* a few above many */
            l[i] = (double)logits[i];
            keep[i] = false;
            total += exp(l[i]);
        }
        while (sum < wanted[w] * total) { /* selection, the plain way */
            size_t best = LARGE;
            for (size_t i = 0; i < LARGE; i++)
                if (!keep[i] && (best == LARGE || l[i] > l[best])) best = i;
            keep[best] = true;
            sum += exp(l[best]);
        }
        softmax(l, keep, LARGE, 1.0, p);
        qn_sampler *s =
            open_sampler((qn_sampler_options){.temperature = 1e6f, .top_p = (float)wanted[w], .seed = w}, LARGE);
        size_t n_kept = 0, n_seen = 0;
        bool *seen = calloc(LARGE, sizeof *seen);
        assert_non_null(seen);
        for (size_t i = 0; i < LARGE; i++) n_kept += keep[i];
        for (int i = 0; i < 2000; i++) { /* so hot that every kept token is as probable as any other */
            int32_t t = pick(s, logits, NULL, 0);
            assert_true(keep[t]);
            n_seen += !seen[t];
            seen[t] = true;
        }
        assert_true((double)n_seen > 0.9 * (double)n_kept * (1 - exp(-2000 / (double)n_kept)));
        free(seen);
        qn_sampler_close(s);
    }
    free(logits);
    free(l);
    free(p);
    free(keep);
}

/* ---- the rule in integers ---------------------------------------------------------------------- */

/* Weights never rise with the gap, which top-p relies on, and are exact to some 1e-7. */
static void weights_fall_and_are_accurate(void **state)
{
    (void)state;
    float scale, reach;
    qn_sample_scale(1.0, &scale, &reach);
    uint32_t last = UINT32_MAX;
    double worst = 0;
    assert_int_equal(qn_sample_weight(0, scale, reach), UINT32_MAX);
    for (uint32_t i = 1; i <= 1u << 22; i++) {
        float gap = (float)i * 0x1p-17f; /* 0 to 32 */
        uint32_t w = qn_sample_weight(gap, scale, reach);
        assert_true(w <= last);
        last = w;
        double exact = exp(-(double)gap), off = fabs(w * 0x1p-32 - exact) - 0x1p-31;
        if (off / exact > worst) worst = off / exact;
    }
    assert_int_equal(last, 0);
    assert_true(worst < 3e-6);                    /* the gap in units of 2^-24 of itself, times up to 22 */
    for (uint32_t t = 1; t <= 1u << 27; t += 3) { /* every step of two octaves, the seam among them */
        uint32_t high = qn_sample_weight((float)(t >> 3) * 8, 1, 0x1p31f), low = qn_sample_weight((float)t, 1, 0x1p31f);
        assert_true(low <= high);
    }
}

static void keys_order_logits(void **state)
{
    (void)state;
    static const float up[] = {-INFINITY, -0x1p126f, -3, -1, -0x1p-119f, 0, 0x1p-119f, 1, 3, 0x1p126f};
    enum { COUNT = sizeof up / sizeof up[0] };
    for (size_t i = 0; i < COUNT; i++) {
        if (i > 1) assert_true(qn_sample_key(up[i]) > qn_sample_key(up[i - 1]));
        if (i > 0) assert_true(qn_sample_value(qn_sample_key(up[i])) == up[i]);
        assert_true(qn_sample_key(NAN) < qn_sample_key(up[i]));
    }
    assert_int_equal(qn_sample_key(-INFINITY), qn_sample_key(-0x1p126f));
    assert_int_equal(qn_sample_key(INFINITY), qn_sample_key(FLT_MAX));
    assert_int_equal(qn_sample_key(-0.0f), qn_sample_key(0));
    assert_int_equal(qn_sample_key(-1e-40f), qn_sample_key(0));
}

/* The distribution that the weights make of a large vocabulary, against double precision: total variation. */
static void the_distribution_of_a_large_vocabulary_is_right(void **state)
{
    (void)state;
    enum { LARGE = 128256 };
    static const double temperatures[] = {0.1, 0.7, 1, 1.5, 4}, spreads[] = {0.5, 3, 20};
    float *logits = malloc(LARGE * sizeof *logits);
    assert_non_null(logits);
    for (size_t k = 0; k < 15; k++) {
        double temperature = temperatures[k % 5], total = 0, apart = 0;
        uint64_t weights = 0;
        float scale, reach, top = -FLT_MAX;
        for (uint64_t i = 0; i < LARGE; i++) {
            logits[i] = (float)(spreads[k / 5] * (qn_random_unit(k, 2 * i) + qn_random_unit(k, 2 * i + 1)) -
                                log(qn_random_unit(3, i) + 1e-9));
            top = fmaxf(top, logits[i]);
        }
        qn_sample_scale(temperature, &scale, &reach);
        for (uint32_t i = 0; i < LARGE; i++) {
            total += exp(((double)logits[i] - (double)top) / temperature);
            weights += qn_sample_weight(top - logits[i], scale, reach);
        }
        for (uint32_t i = 0; i < LARGE; i++)
            apart += fabs(exp(((double)logits[i] - (double)top) / temperature) / total -
                          qn_sample_weight(top - logits[i], scale, reach) / (double)weights);
        if (apart / 2 >= 1e-5) fail_msg("temperature %g, case %zu: total variation %g", temperature, k, apart / 2);
    }
    free(logits);
}

/* ---- repetition penalty ---------------------------------------------------------------------- */

static void penalty_divides_positive_and_multiplies_negative_logits_once(void **state)
{
    (void)state;
    const float logits[4] = {2, -1, 1, 0};
    const int32_t history[] = {0, 1, 0, 0};
    const double penalized[4] = {1, -2, 1, 0};
    const bool keep[4] = {true, true, true, true};
    double p[4];
    softmax(penalized, keep, 4, 1, p);
    assert_distribution((qn_sampler_options){.temperature = 1, .repetition_penalty = 2}, logits, 4, history, 4, p);
    const double raised[4] = {4, -0.5, 1, 0}; /* below 1 it rewards */
    softmax(raised, keep, 4, 1, p);
    assert_distribution((qn_sampler_options){.temperature = 1, .repetition_penalty = 0.5f}, logits, 4, history, 4, p);
}

static void penalty_looks_back_as_far_as_its_window(void **state)
{
    (void)state;
    const float logits[3] = {3, 2.5f, 2};
    int32_t history[65];
    for (size_t i = 0; i < 65; i++) history[i] = 2;
    history[0] = 0;
    qn_sampler *s = open_sampler((qn_sampler_options){.repetition_penalty = 2}, 3);
    assert_int_equal(pick(s, logits, history, 64), 1); /* 64 by default: token 0 is the first of them */
    assert_int_equal(pick(s, logits, history, 65), 0); /* now it is out of the window */
    assert_int_equal(pick(s, logits, NULL, 0), 0);
    qn_sampler_close(s);
    s = open_sampler((qn_sampler_options){.repetition_penalty = 2, .repetition_window = 65}, 3);
    assert_int_equal(pick(s, logits, history, 65), 1);
    qn_sampler_close(s);
}

static void penalty_refuses_a_token_outside_the_vocabulary(void **state)
{
    (void)state;
    const float logits[3] = {1, 2, 3};
    static const int32_t bad[] = {-1, 3, INT32_MIN, INT32_MAX};
    qn_sampler *s = open_sampler((qn_sampler_options){.repetition_penalty = 1.1f}, 3);
    for (size_t i = 0; i < 4; i++) {
        int32_t history[2] = {1, bad[i]}, token;
        assert_int_equal(qn_sampler_pick(s, logits, history, 2, &token).code, QN_ERR_ARGUMENT);
    }
    const float large[3] = {-FLT_MAX, -FLT_MAX, FLT_MAX}; /* results stay finite */
    const int32_t history[] = {0, 2};
    assert_int_equal(pick(s, large, history, 2), 2);
    qn_sampler_close(s);
}

/* ---- seeds, errors --------------------------------------------------------------------------- */

static void the_seed_decides_everything(void **state)
{
    (void)state;
    float logits[N];
    logits_of_probs(logits);
    const qn_sampler_options o = {.temperature = 0.8f, .top_p = 0.9f, .seed = 42};
    qn_sampler *a = open_sampler(o, N), *b = open_sampler(o, N);
    qn_sampler *c = open_sampler((qn_sampler_options){.temperature = 0.8f, .top_p = 0.9f, .seed = 43}, N);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        int32_t t = pick(a, logits, NULL, 0);
        assert_int_equal(pick(b, logits, NULL, 0), t);
        differ += pick(c, logits, NULL, 0) != t;
    }
    assert_true(differ > 300);
    qn_sampler_close(a);
    qn_sampler_close(b);
    qn_sampler_close(c);
}

/* Draw number i of the seed lands where the running sum of the probabilities, by id, passes it: a sampler elsewhere
 * can repeat the choice. */
static void a_draw_is_the_seeds_next_number(void **state)
{
    (void)state;
    float logits[N];
    logits_of_probs(logits);
    qn_sampler *s = open_sampler((qn_sampler_options){.temperature = 1, .seed = 99}, N);
    for (uint64_t i = 0; i < 1000; i++) {
        double unit = qn_random_unit(99, i), sum = 0;
        int32_t expected = 0;
        while ((sum += probs[expected]) <= unit) expected++;
        if (fabs(sum - unit) < 1e-6) continue; /* rounding may decide */
        assert_int_equal(pick(s, logits, NULL, 0), expected);
    }
    qn_sampler_close(s);
}

static void damaged_logits_are_an_error_that_names_the_token(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const qn_sampler_options kinds[] = {{0},
                                               {.temperature = 1},
                                               {.temperature = 1, .top_k = 2},
                                               {.temperature = 1, .top_p = 0.5f},
                                               {.temperature = 1, .min_p = 0.1f}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        qn_sampler *s = open_sampler(kinds[k], 4);
        for (size_t i = 0; i < 3; i++) {
            float logits[4] = {1, 2, 3, 4};
            int32_t token = -5;
            logits[2] = bad[i];
            qn_status status = qn_sampler_pick(s, logits, NULL, 0, &token);
            assert_int_equal(status.code, QN_ERR_ARGUMENT);
            assert_non_null(strstr(status.text, "token 2"));
        }
        qn_sampler_close(s);
    }
}

static void extreme_logits_and_temperatures_are_fine(void **state)
{
    (void)state;
    const float logits[4] = {-FLT_MAX, FLT_MAX, 0, -1e30f};
    static const float temperatures[] = {FLT_MIN, 1e-30f, 1, 1e30f, FLT_MAX};
    static const qn_sampler_options kinds[] = {{0}, {.top_k = 3}, {.top_p = 0.9f}, {.min_p = 0.5f}};
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < 5; i++) {
            qn_sampler_options o = kinds[k];
            o.temperature = temperatures[i];
            qn_sampler *s = open_sampler(o, 4);
            int32_t t = pick(s, logits, NULL, 0);
            assert_true(t >= 0 && t < 4);
            if (temperatures[i] <= 1) assert_int_equal(t, 1);
            qn_sampler_close(s);
        }
    }
    const float one[1] = {-3};
    qn_sampler *s = open_sampler((qn_sampler_options){.temperature = 1, .top_p = 0.1f, .top_k = 5}, 1);
    assert_int_equal(pick(s, one, NULL, 0), 0);
    qn_sampler_close(s);
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    static const qn_sampler_options bad[] = {{.temperature = -1},
                                             {.temperature = NAN},
                                             {.temperature = INFINITY},
                                             {.top_p = -0.1f},
                                             {.top_p = 1.1f},
                                             {.top_p = NAN},
                                             {.min_p = -0.1f},
                                             {.min_p = 2},
                                             {.min_p = NAN},
                                             {.repetition_penalty = -1},
                                             {.repetition_penalty = NAN},
                                             {.repetition_penalty = INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_sampler *s = (qn_sampler *)&s;
        assert_int_equal(qn_sampler_open(&bad[i], 10, &s).code, QN_ERR_ARGUMENT);
        assert_null(s);
    }
    qn_sampler *s;
    assert_int_equal(qn_sampler_open(NULL, 0, &s).code, QN_ERR_ARGUMENT);
    qn_sampler_close(NULL);
}

/* ---- speed ----------------------------------------------------------------------------------- */

/* Printed, not asserted: about a millisecond for Llama 3's vocabulary is what a token loop can afford. */
static void speed_of_a_large_vocabulary(void **state)
{
    (void)state;
    enum { VOCAB = 128256, PICKS = 50 };
    static const struct {
        const char *name;
        qn_sampler_options options;
    } kinds[] = {
        {"greedy", {.temperature = 0}},
        {"temperature", {.temperature = 0.8f}},
        {"top-k 40", {.temperature = 0.8f, .top_k = 40}},
        {"top-p 0.9", {.temperature = 0.8f, .top_p = 0.9f}},
        {"min-p 0.05", {.temperature = 0.8f, .min_p = 0.05f}},
        {"top-k 40, top-p 0.9, penalty", {.temperature = 0.8f, .top_k = 40, .top_p = 0.9f, .repetition_penalty = 1.1f}},
    };
    float *logits = malloc(VOCAB * sizeof *logits);
    assert_non_null(logits);
    for (uint64_t i = 0; i < VOCAB; i++) { /* like a language model's: a wide bell with a thin upper tail */
        double u = qn_random_unit(1, 2 * i) + qn_random_unit(1, 2 * i + 1);
        logits[i] = (float)(4 * u - 6 - 3 * log(qn_random_unit(2, i) + 1e-9));
    }
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        qn_sampler *s = open_sampler(kinds[k].options, VOCAB);
        struct timespec start, end;
        timespec_get(&start, TIME_UTC);
        for (int i = 0; i < PICKS; i++) pick(s, logits, NULL, 0);
        timespec_get(&end, TIME_UTC);
        double ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) * 1e-6;
        print_message("%-30s %.3f ms a pick of %d\n", kinds[k].name, ms / PICKS, VOCAB);
        qn_sampler_close(s);
    }
    free(logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(words_come_from_seed_and_index),
        cmocka_unit_test(greedy_takes_the_largest_and_of_equals_the_lowest_id),
        cmocka_unit_test(top_k_breaks_ties_by_the_lowest_id),
        cmocka_unit_test(top_p_breaks_ties_by_the_lowest_id),
        cmocka_unit_test(temperature_alone),
        cmocka_unit_test(top_k_keeps_the_k_largest),
        cmocka_unit_test(top_p_keeps_the_shortest_beginning_that_reaches_p),
        cmocka_unit_test(min_p_keeps_what_reaches_a_part_of_the_largest),
        cmocka_unit_test(filters_work_one_after_another),
        cmocka_unit_test(top_p_of_a_large_vocabulary_is_exact),
        cmocka_unit_test(weights_fall_and_are_accurate),
        cmocka_unit_test(keys_order_logits),
        cmocka_unit_test(the_distribution_of_a_large_vocabulary_is_right),
        cmocka_unit_test(penalty_divides_positive_and_multiplies_negative_logits_once),
        cmocka_unit_test(penalty_looks_back_as_far_as_its_window),
        cmocka_unit_test(penalty_refuses_a_token_outside_the_vocabulary),
        cmocka_unit_test(the_seed_decides_everything),
        cmocka_unit_test(a_draw_is_the_seeds_next_number),
        cmocka_unit_test(damaged_logits_are_an_error_that_names_the_token),
        cmocka_unit_test(extreme_logits_and_temperatures_are_fine),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(speed_of_a_large_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
