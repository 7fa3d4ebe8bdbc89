#include "base/sample_rule.h"

#include <float.h>
#include <math.h>

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

void qn_sample_scale(double temperature, float *scale, float *reach)
{
    const double units = 67108864.0 * 1.4426950408889634; /* 2^26 log2(e) */
    const double most = 2147481600.0;                     /* below 2^31 by more than the rounding of the product */
    double s = fmin(units / temperature, 1e30);           /* a gap is 0 or far above 1e-30 */
    *scale = (float)s;
    *reach = (float)fmin(most / s, (double)FLT_MAX);
}

qn_status qn_sample_rule_make(const qn_sampler_options *options, qn_sample_rule *rule)
{
    const qn_sampler_options o = options ? *options : (qn_sampler_options){0};
    *rule = (qn_sample_rule){.greedy = 1};
    QN_TRY(check(&o));
    rule->greedy = o.temperature == 0 || o.top_k == 1;
    rule->top_k = o.top_k ? o.top_k : UINT32_MAX;
    if (o.top_p > 0 && o.top_p < 1) rule->top_p = (uint32_t)fmax((double)o.top_p * 4294967296.0, 1);
    /* not less than a difference that may be flushed to 0 */
    rule->gap = o.min_p > 0 ? (float)fmax(-log((double)o.min_p), 1e-37) : FLT_MAX;
    if (o.temperature > 0) qn_sample_scale((double)o.temperature, &rule->scale, &rule->reach);
    if (o.repetition_penalty != 0 && o.repetition_penalty != 1) {
        rule->window = o.repetition_window ? o.repetition_window : 64;
        double penalty = fmin(fmax((double)o.repetition_penalty, 1e-37), 1e37); /* its reciprocal is normal */
        rule->below = (float)penalty;
        rule->above = (float)(1 / penalty);
    }
    rule->seed[0] = (uint32_t)o.seed;
    rule->seed[1] = (uint32_t)(o.seed >> 32);
    return qn_ok();
}
