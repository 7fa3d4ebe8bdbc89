/* sample_rule.h - what sampling is, in arithmetic that is equal on every device: the sampler of the host
 * (run/sampler.c) and the one of the GPU (ops/sample*.wgsl) pick the same token from the same logits, settings and
 * number of the draw.
 *
 *  1. A logit becomes a key: an integer that orders logits. NaN is below all; infinities and what is beyond 2^126 count
 *     as 2^126, and what is nearer to 0 than 2^-120 counts as 0, so that no later operation overflows or meets a
 *     subnormal number (which devices may flush). Tokens are in order of their keys, largest first, equal ones by id,
 *     lowest first.
 *  2. Repetition penalty (Keskar et al., "CTRL", 2019, as llama.cpp does it): the logit of a token of the window is
 *     multiplied by `below` where it is not positive, else by `above`, the penalty's reciprocal (shaders do not promise
 *     correctly rounded division), and becomes a key again.
 *  3. top-k keeps the first k tokens in order. top-p keeps of these the shortest beginning whose weights reach the part
 *     p of all their weights. min-p keeps those whose gap, the largest logit minus theirs, is at most -ln(min_p).
 *  4. The weight of a token is 2^-t in units of 2^-32, rounded down, t being its gap times log2(e) / temperature in
 *     units of 2^-26, rounded down; that of top-p has the temperature 1. It never rises with the gap. Below 2^-31 it
 *     is 0.
 *  5. Of the kept tokens, by id, that one is drawn at which the running sum of weights passes word * sum / 2^32,
 * rounded down: `word` is number `draw` of the seed (random.h).
 *
 * Floating point is used in single operations that IEEE 754 rounds correctly (a difference, a product, a comparison of
 * normal numbers); weights and their sums are integers, which no order of summation changes. */
#ifndef QN_BASE_SAMPLE_RULE_H
#define QN_BASE_SAMPLE_RULE_H

#include <stdbool.h>
#include <string.h>

#include "base/status.h"

/* The settings as both samplers use them: 32-bit words. */
typedef struct qn_sample_rule {
    uint32_t greedy;    /* the first token in order, and no draw */
    uint32_t top_k;     /* UINT32_MAX: off                       */
    uint32_t top_p;     /* in units of 2^-32; 0: off             */
    float gap;          /* that min-p allows                     */
    float scale, reach; /* of weights: t = gap * scale, and weight 0 for gaps over reach */
    float above, below; /* factors of the repetition penalty     */
    uint32_t window;    /* tokens that it looks back; 0: off     */
    uint32_t seed[2];   /* low, high                             */
} qn_sample_rule;

/* QN_ERR_ARGUMENT for options that make no sense; options NULL: greedy. */
qn_status qn_sample_rule_make(const qn_sampler_options *options, qn_sample_rule *rule);

/* scale and reach of weights at a temperature above 0. */
void qn_sample_scale(double temperature, float *scale, float *reach);

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* Tokens that lie after all others. */
#define QN_SAMPLE_LEAST_KEY UINT32_C(0x017fffff) /* of -2^126 */

static inline uint32_t qn_sample_key(float logit)
{
    uint32_t bits;
    memcpy(&bits, &logit, sizeof bits);
    uint32_t size = bits & UINT32_C(0x7fffffff);
    if (size > UINT32_C(0x7f800000)) return 0;
    if (size > UINT32_C(0x7e800000)) size = UINT32_C(0x7e800000);
    if (size < UINT32_C(0x03800000)) size = bits = 0;
    return bits >> 31 ? UINT32_C(0x7fffffff) - size : UINT32_C(0x80000000) | size;
}

/* The logit that a key stands for. */
static inline float qn_sample_value(uint32_t key)
{
    uint32_t k = key > QN_SAMPLE_LEAST_KEY ? key : QN_SAMPLE_LEAST_KEY;
    uint32_t bits = k >> 31 ? k & UINT32_C(0x7fffffff) : ~k;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t qn_sample_penalize(const qn_sample_rule *rule, uint32_t key)
{
    float value = qn_sample_value(key);
    return qn_sample_key(value * (value > 0 ? rule->above : rule->below));
}

static inline uint32_t qn_mul_high(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}

/* The weight of a token by its gap. 1 - 2^-f of the fraction f of t is a polynomial that meets it at both ends, to
 * 1.5e-7 between. */
static inline uint32_t qn_sample_weight(float gap, float scale, float reach)
{
    uint32_t t = (uint32_t)(int32_t)((gap < reach ? gap : reach) * scale), f = t << 6;
    uint32_t v = UINT32_C(0x003e1950);
    v = UINT32_C(0x025c178d) - qn_mul_high(f, v);
    v = UINT32_C(0x0e290391) - qn_mul_high(f, v);
    v = UINT32_C(0x3d7cf79e) - qn_mul_high(f, v);
    v = UINT32_C(0xb171f24b) - qn_mul_high(f, v);
    uint32_t weight = ~qn_mul_high(f, v) >> (t >> 26);
    return gap <= reach ? weight : 0;
}

/* The part `of` / 2^32 of a sum, rounded down. */
static inline uint64_t qn_sample_part(uint64_t sum, uint32_t of)
{
    return (sum >> 32) * of + ((sum & UINT32_MAX) * of >> 32);
}

#endif
