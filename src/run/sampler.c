/* sampler.c - picks the next token from logits.
 *
 * The filters work in the order that users of llama.cpp expect: repetition penalty, top-k, top-p, min-p, temperature.
 * So top-p and min-p look at the probabilities before the temperature. Each pick draws one random number, number
 * 0, 1, 2, ... of the seed (base/random.h); greedy picks draw none.
 *
 * The token is the first one at which the running sum of the kept probabilities passes the random number times their
 * sum. With top-k or top-p the kept tokens are walked from the most probable down, else by id; equal logits go by id,
 * lowest first. Sums are made in double precision. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

typedef struct candidate {
    float logit;
    uint32_t id;
} candidate;

struct qn_sampler {
    qn_sampler_options options; /* with the defaults filled in */
    uint32_t n_vocab;
    uint64_t n_drawn;
    candidate *list;  /* [n_vocab] */
    float *penalized; /* [n_vocab], NULL without a repetition penalty */
    bool *seen;       /* [n_vocab], all false between picks, NULL without a repetition penalty */
};

/* ---- options --------------------------------------------------------------------------------- */

static qn_status check(const qn_sampler_options *o)
{
    /* written so that NaN fails every one */
    if (!(o->temperature >= 0 && o->temperature <= FLT_MAX))
        return qn_fail(QN_ERR_ARGUMENT, "temperature is %g; it must be 0 (greedy) or more", (double)o->temperature);
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return qn_fail(QN_ERR_ARGUMENT, "top-p is %g; it must be from 0 (off) to 1", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return qn_fail(QN_ERR_ARGUMENT, "min-p is %g; it must be from 0 (off) to 1", (double)o->min_p);
    if (!(o->repetition_penalty >= 0 && o->repetition_penalty <= FLT_MAX))
        return qn_fail(QN_ERR_ARGUMENT, "repetition penalty is %g; it must be above 0, or 0 or 1 (off)",
                       (double)o->repetition_penalty);
    return qn_ok();
}

static qn_status alloc_buffers(qn_sampler *s)
{
    void *p;
    QN_TRY(qn_alloc(NULL, s->n_vocab, sizeof *s->list, "sampler", &p));
    s->list = p;
    if (s->options.repetition_penalty == 1) return qn_ok();
    QN_TRY(qn_alloc(NULL, s->n_vocab, sizeof *s->penalized, "sampler", &p));
    s->penalized = p;
    QN_TRY(qn_alloc(NULL, s->n_vocab, sizeof *s->seen, "sampler", &p));
    s->seen = p;
    return qn_ok();
}

qn_status qn_sampler_open(const qn_sampler_options *options, uint32_t n_vocab, qn_sampler **sampler)
{
    *sampler = NULL;
    qn_sampler_options o = options ? *options : (qn_sampler_options){0};
    QN_TRY(check(&o));
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return qn_fail(QN_ERR_ARGUMENT, "a sampler for a vocabulary of %u tokens cannot be made", n_vocab);
    if (o.top_k == 0 || o.top_k > n_vocab) o.top_k = n_vocab;
    if (o.top_p == 0) o.top_p = 1;
    if (o.repetition_penalty == 0) o.repetition_penalty = 1;
    if (o.repetition_window == 0) o.repetition_window = 64;
    void *p;
    QN_TRY(qn_alloc(NULL, 1, sizeof(qn_sampler), "sampler", &p));
    qn_sampler *s = p;
    s->options = o;
    s->n_vocab = n_vocab;
    qn_status status = alloc_buffers(s);
    if (status.code != QN_OK) {
        qn_sampler_close(s);
        return status;
    }
    *sampler = s;
    return status;
}

void qn_sampler_close(qn_sampler *sampler)
{
    if (!sampler) return;
    qn_free(NULL, sampler->list);
    qn_free(NULL, sampler->penalized);
    qn_free(NULL, sampler->seen);
    qn_free(NULL, sampler);
}

/* ---- repetition penalty ---------------------------------------------------------------------- */

/* Keskar et al., "CTRL", 2019, as llama.cpp does it: positive logits are divided, others multiplied, once for each
 * token of the window. Results past the range of float stop at its end. */
static float penalize(float logit, float penalty)
{
    float out = logit > 0 ? logit / penalty : logit * penalty;
    return fminf(fmaxf(out, -FLT_MAX), FLT_MAX);
}

/* Returns the logits to go on with: the caller's, or a copy with the penalty applied. */
static qn_status apply_penalty(qn_sampler *s, const float *logits, const int32_t *history, size_t n_history,
                               const float **out)
{
    *out = logits;
    if (!s->penalized) return qn_ok();
    size_t n = n_history < s->options.repetition_window ? n_history : s->options.repetition_window;
    if (n == 0) return qn_ok();
    const int32_t *window = history + (n_history - n);
    for (size_t i = 0; i < n; i++)
        if (window[i] < 0 || (uint32_t)window[i] >= s->n_vocab)
            return qn_fail(QN_ERR_ARGUMENT, "token %d of the history is not in the vocabulary of %u", window[i],
                           s->n_vocab);
    memcpy(s->penalized, logits, s->n_vocab * sizeof *logits);
    for (size_t i = 0; i < n; i++) {
        int32_t id = window[i];
        if (s->seen[id]) continue;
        s->seen[id] = true;
        s->penalized[id] = penalize(logits[id], s->options.repetition_penalty);
    }
    for (size_t i = 0; i < n; i++) s->seen[window[i]] = false;
    *out = s->penalized;
    return qn_ok();
}

/* ---- choosing candidates --------------------------------------------------------------------- */

/* The largest of n >= 1 logits, the lowest id of equals. The lanes let compilers vectorize the first pass. */
static qn_status find_best(const float *logits, uint32_t n, uint32_t *best)
{
    enum { LANES = 16 };
    float top[LANES], spoilt[LANES]; /* x - x is 0, or NaN for what is not finite */
    for (int j = 0; j < LANES; j++) top[j] = logits[0], spoilt[j] = 0;
    uint32_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float x = logits[i + (uint32_t)j];
            top[j] = x > top[j] ? x : top[j];
            spoilt[j] += x - x;
        }
    }
    for (; i < n; i++) {
        top[0] = logits[i] > top[0] ? logits[i] : top[0];
        spoilt[0] += logits[i] - logits[i];
    }
    for (int j = 1; j < LANES; j++) {
        top[0] = top[j] > top[0] ? top[j] : top[0];
        spoilt[0] += spoilt[j];
    }
    for (i = 0; spoilt[0] != 0 && i < n; i++)
        if (!isfinite(logits[i]))
            return qn_fail(QN_ERR_ARGUMENT, "the logit of token %u is %s: the model's output is damaged", i,
                           isnan(logits[i]) ? "not a number" : "infinite");
    for (*best = 0; logits[*best] != top[0];) ++*best;
    return qn_ok();
}

/* True when a goes before b: more probable, or as probable with the lower id. */
static bool before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Puts c into the hole at `at` of a heap of n. worst_on_top: the root goes after all others, else before them. */
static void sift_down(candidate *heap, size_t n, size_t at, candidate c, bool worst_on_top)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && before(heap[child + 1], heap[child]) != worst_on_top) child++;
        if (before(heap[child], c) == worst_on_top) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = c;
}

static void make_heap(candidate *heap, size_t n, bool worst_on_top)
{
    for (size_t i = n / 2; i-- > 0;) sift_down(heap, n, i, heap[i], worst_on_top);
}

/* Fills the list with the k candidates that go before all others, sorted. A heap of k with the worst on top: most
 * logits of a large vocabulary are compared once, with that one. */
static void take_top_k(candidate *list, const float *logits, uint32_t n, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) list[i] = (candidate){logits[i], i};
    make_heap(list, k, true);
    for (uint32_t i = k; i < n; i++) /* an equal logit with a higher id goes after */
        if (logits[i] > list[0].logit) sift_down(list, k, 0, (candidate){logits[i], i}, true);
    for (uint32_t i = k; i-- > 1;) { /* heap sort: the worst goes to the end */
        candidate last = list[i];
        list[i] = list[0];
        sift_down(list, i, 0, last, true);
    }
}

/* e^x for x <= 0, to about 1e-7; 0 below e^-87. Shorter than the C library's and free of branches, so that compilers
 * vectorize it. x = k ln 2 + f with |f| <= ln 2 / 2, e^f by its Taylor series, 2^k by its bits. */
static float exp_of(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves no fraction bits */
    float in = x > -87.0f ? x : -87.0f;
    float k = in * 1.44269504f + round - round;
    float f = in - k * 0.693359375f + k * 2.12194440e-4f; /* ln 2 in two parts, the first exact in few bits */
    float e = 1 + f * (1 + f * (1 / 2.0f + f * (1 / 6.0f + f * (1 / 24.0f + f * (1 / 120.0f + f * (1 / 720.0f))))));
    uint32_t bits = (uint32_t)((int32_t)k + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x > -87.0f ? e * scale : 0;
}

static double weight(float logit, float max)
{
    return (double)exp_of(logit - max);
}

/* Keeps the shortest beginning of a sorted list whose probability reaches p. */
static size_t cut_top_p(const candidate *list, size_t n, double p)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) total += weight(list[i].logit, list[0].logit);
    size_t kept = 0;
    while (kept < n && (kept == 0 || sum < p * total)) sum += weight(list[kept++].logit, list[0].logit);
    return kept;
}

/* top-p without top-k: fills the list with the kept candidates, sorted. Tokens that have less than (1 - p) / (n - 1)
 * each have less than 1 - p together, so none of them is needed to reach p; the others become a heap, from which only
 * as many are taken as are kept. */
static size_t take_top_p(candidate *list, const float *logits, uint32_t n, float max, double p)
{
    double total = 0, sum = 0, least = (double)max;
    for (uint32_t i = 0; i < n; i++) total += weight(logits[i], max);
    if (n > 1) least += fmin(log((1 - p) / (n - 1) * total), 0) - 1e-3; /* 1e-3: for rounding */
    size_t n_heap = 0, kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if ((double)logits[i] >= least) list[n_heap++] = (candidate){logits[i], i};
    make_heap(list, n_heap, false);
    while (kept < n_heap && (kept == 0 || sum < p * total)) { /* the best goes behind the shrinking heap */
        candidate best = list[0], last = list[n_heap - 1 - kept];
        kept++;
        sift_down(list, n_heap - kept, 0, last, false);
        list[n_heap - kept] = best;
        sum += weight(best.logit, max);
    }
    for (size_t i = 0, j = n_heap - 1; i < j; i++, j--) { /* best first */
        candidate c = list[i];
        list[i] = list[j];
        list[j] = c;
    }
    return kept;
}

/* Fills the list with the candidates that pass top-k and top-p. */
static size_t filter(qn_sampler *s, const float *logits, float max)
{
    const qn_sampler_options *o = &s->options;
    if (o->top_k < s->n_vocab) {
        take_top_k(s->list, logits, s->n_vocab, o->top_k);
        return o->top_p < 1 ? cut_top_p(s->list, o->top_k, (double)o->top_p) : o->top_k;
    }
    if (o->top_p < 1) return take_top_p(s->list, logits, s->n_vocab, max, (double)o->top_p);
    for (uint32_t i = 0; i < s->n_vocab; i++) s->list[i] = (candidate){logits[i], i};
    return s->n_vocab;
}

/* Keeps candidates with at least min_p times the highest probability, in their order. */
static size_t cut_min_p(candidate *list, size_t n, float max, float min_p)
{
    double least = (double)max + log((double)min_p);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)list[i].logit >= least) list[kept++] = list[i];
    return kept;
}

/* The candidate at which the running sum passes unit (0 <= unit < 1) times the whole. Overwrites the logits. */
static uint32_t draw(candidate *list, size_t n, float max, float temperature, double unit)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        list[i].logit = exp_of((list[i].logit - max) / temperature);
        total += (double)list[i].logit;
    }
    for (size_t i = 0; i < n; i++) {
        sum += (double)list[i].logit;
        if (sum > unit * total) return list[i].id;
    }
    return list[0].id; /* not reached: the sums are made in the same order, and unit is below 1 */
}

qn_status qn_sampler_pick(qn_sampler *sampler, const float *logits, const int32_t *history, size_t n_history,
                          int32_t *token)
{
    const qn_sampler_options *o = &sampler->options;
    uint32_t best;
    QN_TRY(find_best(logits, sampler->n_vocab, &best));
    QN_TRY(apply_penalty(sampler, logits, history, n_history, &logits));
    if (logits == sampler->penalized) QN_TRY(find_best(logits, sampler->n_vocab, &best));
    *token = (int32_t)best;
    if (o->temperature == 0 || o->top_k == 1) return qn_ok();
    float max = logits[best];
    size_t n = filter(sampler, logits, max);
    if (o->min_p > 0) n = cut_min_p(sampler->list, n, max, o->min_p);
    double unit = qn_random_unit(o->seed, sampler->n_drawn++);
    *token = (int32_t)draw(sampler->list, n, max, o->temperature, unit);
    return qn_ok();
}
