/* tokens.c - token ids that stay on the GPU: the history of a session, and the sampled token as the next input. Both
 * are copies of words, as rows are written into a cache. */
#include "ops/attention.h"
#include "ops/check.h"

static qn_status check_ids(const qn_plan *p, uint32_t i, const char *what, uint32_t *n)
{
    const qn_tensor *t = qn_plan_in(p, i);
    if (!t || t->is_int || t->dtype != QN_I32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s must be an i32 tensor", what);
    return qn_check_elements(p, &t->live, n);
}

static qn_status copy(qn_plan *p, uint32_t size, qn_rows_at at)
{
    qn_cache_windows windows;
    qn_status s = qn_cache_windows_make(size, sizeof(int32_t), p->device->max_binding_bytes, &windows);
    if (s.code != QN_OK) return qn_plan_fail(p, s.code, "%s", s.text);
    return qn_plan_write_cache(p, &windows, p->node->inputs[0], p->node->inputs[1], at);
}

/* history[pos + i] = tokens[i] */
qn_status qn_plan_append_tokens(qn_plan *p)
{
    uint32_t n, size;
    qn_rows_at at;
    QN_TRY(check_ids(p, 0, "the tokens", &n));
    QN_TRY(check_ids(p, 1, "the history", &size));
    QN_TRY(qn_plan_cache_rows(p, n, qn_plan_in(p, 2), size, &at));
    return copy(p, size, at);
}

/* tokens[0] = token[0] */
qn_status qn_plan_feed_token(qn_plan *p)
{
    uint32_t n, size;
    QN_TRY(check_ids(p, 0, "the token", &n));
    QN_TRY(check_ids(p, 1, "the tokens", &size));
    if (n != 1) return qn_plan_fail(p, QN_ERR_ARGUMENT, "one token is fed back, not %u", n);
    return copy(p, (uint32_t)qn_shape_count(&qn_plan_in(p, 1)->max), (qn_rows_at){1, 0});
}
