/* sampler.c - picks the next token from logits on the host. base/sample_rule.h says which token that is. */
#include "base/memory.h"
#include "base/random.h"
#include "base/sample_rule.h"

#include <math.h>

typedef struct candidate {
    uint32_t key, id;
} candidate;

struct qn_sampler {
    qn_sample_rule rule;
    uint32_t n_vocab;
    uint64_t n_drawn;
    uint32_t *keys;  /* [n_vocab]; at the end of a pick: weights */
    candidate *list; /* [n_vocab], in order                      */
};

qn_status qn_sampler_open(const qn_sampler_options *options, uint32_t n_vocab, qn_sampler **sampler)
{
    *sampler = NULL;
    qn_sample_rule rule;
    QN_TRY(qn_sample_rule_make(options, &rule));
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return qn_fail(QN_ERR_ARGUMENT, "a sampler for a vocabulary of %u tokens cannot be made", n_vocab);
    void *p;
    QN_TRY(qn_alloc(NULL, 1, sizeof(qn_sampler), "sampler", &p));
    qn_sampler *s = p;
    s->rule = rule;
    s->n_vocab = n_vocab;
    qn_status status = qn_alloc(NULL, n_vocab, sizeof *s->keys, "sampler", &p);
    if (status.code == QN_OK) {
        s->keys = p;
        status = qn_alloc(NULL, n_vocab, sizeof *s->list, "sampler", &p);
    }
    if (status.code != QN_OK) {
        qn_sampler_close(s);
        return status;
    }
    s->list = p;
    *sampler = s;
    return status;
}

void qn_sampler_close(qn_sampler *sampler)
{
    if (!sampler) return;
    qn_free(NULL, sampler->keys);
    qn_free(NULL, sampler->list);
    qn_free(NULL, sampler);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static qn_status make_keys(qn_sampler *s, const float *logits)
{
    float spoilt = 0; /* x - x is 0, or NaN for what is not finite */
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        s->keys[i] = qn_sample_key(logits[i]);
        spoilt += logits[i] - logits[i];
    }
    for (uint32_t i = 0; spoilt != 0 && i < s->n_vocab; i++)
        if (logits[i] - logits[i] != 0)
            return qn_fail(QN_ERR_ARGUMENT, "the logit of token %u is %s: the model's output is damaged", i,
                           logits[i] != logits[i] ? "not a number" : "infinite");
    return qn_ok();
}

static qn_status apply_penalty(qn_sampler *s, const float *logits, const int32_t *history, size_t n_history)
{
    size_t n = n_history < s->rule.window ? n_history : s->rule.window;
    for (size_t i = 0; i < n; i++) {
        int32_t id = history[n_history - n + i];
        if (id < 0 || (uint32_t)id >= s->n_vocab)
            return qn_fail(QN_ERR_ARGUMENT, "token %d of the history is not in the vocabulary of %u", id, s->n_vocab);
        /* from the logit: a token counts once, however often it is there */
        s->keys[id] = qn_sample_penalize(&s->rule, qn_sample_key(logits[id]));
    }
    return qn_ok();
}

/* The largest key, and the first token that has it. */
static candidate find_best(const uint32_t *keys, uint32_t n)
{
    candidate best = {keys[0], 0};
    for (uint32_t i = 0; i < n; i++) best.key = keys[i] > best.key ? keys[i] : best.key;
    while (keys[best.id] != best.key) best.id++;
    return best;
}

/* ---- top-k and top-p ------------------------------------------------------------------------- */

static bool before(candidate a, candidate b)
{
    return a.key > b.key || (a.key == b.key && a.id < b.id);
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

/* Fills the list with the k first candidates, sorted. A heap of k with the worst on top: most tokens of a large
 * vocabulary are compared once, with that one. */
static void take_top_k(candidate *list, const uint32_t *keys, uint32_t n, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) list[i] = (candidate){keys[i], i};
    make_heap(list, k, true);
    for (uint32_t i = k; i < n; i++) /* an equal key with a higher id goes after */
        if (keys[i] > list[0].key) sift_down(list, k, 0, (candidate){keys[i], i}, true);
    for (uint32_t i = k; i-- > 1;) { /* heap sort: the worst goes to the end */
        candidate last = list[i];
        list[i] = list[0];
        sift_down(list, i, 0, last, true);
    }
}

/* What top-p weighs a key with. */
typedef struct scale {
    float top, scale, reach;
} scale;

static uint32_t weight(const scale *s, uint32_t key)
{
    return qn_sample_weight(s->top - qn_sample_value(key), s->scale, s->reach);
}

/* The sum of weights at which top-p has enough: at least that of one token. */
static uint64_t enough(const qn_sampler *s, uint64_t total)
{
    uint64_t need = qn_sample_part(total, s->rule.top_p);
    return need ? need : 1;
}

/* The last of the sorted list's shortest beginning that is enough for top-p. */
static candidate cut_top_p(const qn_sampler *s, size_t n, const scale *w)
{
    uint64_t total = 0, sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) total += weight(w, s->list[i].key);
    for (uint64_t need = enough(s, total); sum < need; kept++) sum += weight(w, s->list[kept].key);
    return s->list[kept - 1];
}

/* The same of all tokens. Those that weigh no more than what may be missing, divided by their number, are not needed;
 * the others become a heap, from which only as many are taken as are kept. */
static candidate take_top_p(qn_sampler *s, const scale *w)
{
    uint64_t total = 0, sum = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) total += weight(w, s->keys[i]);
    uint64_t need = enough(s, total), least = (total - need) / s->n_vocab;
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (weight(w, s->keys[i]) > least) s->list[n++] = (candidate){s->keys[i], i};
    make_heap(s->list, n, false);
    candidate best = s->list[0];
    while ((sum += weight(w, best.key)) < need) {
        n--;
        sift_down(s->list, n, 0, s->list[n], false);
        best = s->list[0];
    }
    return best;
}

/* The last candidate in order that top-k and top-p keep. */
static candidate find_last(qn_sampler *s, float top)
{
    scale w = {.top = top};
    qn_sample_scale(1.0, &w.scale, &w.reach);
    if (s->rule.top_k < s->n_vocab) {
        take_top_k(s->list, s->keys, s->n_vocab, s->rule.top_k);
        return s->rule.top_p ? cut_top_p(s, s->rule.top_k, &w) : s->list[s->rule.top_k - 1];
    }
    return s->rule.top_p ? take_top_p(s, &w) : (candidate){0, UINT32_MAX};
}

/* ---- the draw -------------------------------------------------------------------------------- */

static uint32_t draw(qn_sampler *s, float top, candidate last, uint32_t word)
{
    const qn_sample_rule *r = &s->rule;
    const scale w = {top, r->scale, r->reach};
    uint64_t total = 0, sum = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        uint32_t key = s->keys[i];
        bool kept = !before(last, (candidate){key, i}) && top - qn_sample_value(key) <= r->gap;
        s->keys[i] = kept ? weight(&w, key) : 0;
        total += s->keys[i];
    }
    uint64_t hit = qn_sample_part(total, word);
    uint32_t id = 0;
    while ((sum += s->keys[id]) <= hit) id++;
    return id;
}

qn_status qn_sampler_pick(qn_sampler *sampler, const float *logits, const int32_t *history, size_t n_history,
                          int32_t *token)
{
    qn_sampler *s = sampler;
    QN_TRY(make_keys(s, logits));
    QN_TRY(apply_penalty(s, logits, history, n_history));
    candidate best = find_best(s->keys, s->n_vocab);
    *token = (int32_t)best.id;
    if (s->rule.greedy) return qn_ok();
    float top = qn_sample_value(best.key);
    uint64_t seed = (uint64_t)s->rule.seed[1] << 32 | s->rule.seed[0];
    candidate last = find_last(s, top);
    *token = (int32_t)draw(s, top, last, qn_random_word(seed, s->n_drawn++));
    return qn_ok();
}

double qn_surprise(const float *logits, size_t n_vocab, int32_t token)
{
    float top = logits[0];
    for (size_t i = 1; i < n_vocab; i++)
        if (logits[i] > top) top = logits[i];
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++) sum += (double)expf(logits[i] - top);
    return log(sum) + (double)top - (double)logits[token];
}
