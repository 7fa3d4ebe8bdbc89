/* attention_ref.c - see attention_ref.h. */
#include "ops/attention_ref.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

void qn_update_cache_ref(const float *x, float *cache, uint32_t seq, uint32_t pos, size_t row_elements)
{
    memcpy(cache + pos * row_elements, x, seq * row_elements * sizeof(float));
}

/* One query over n rows of stride `stride`; weights[n] is working memory. */
static void attend(const float *q, const float *k, const float *v, size_t stride, uint32_t n, uint32_t head_dim,
                   double scale, double *weights, double *o)
{
    double top = -INFINITY, total = 0.0;
    for (uint32_t c = 0; c < n; c++) {
        double score = 0.0;
        for (uint32_t d = 0; d < head_dim; d++) score += (double)q[d] * k[c * stride + d];
        weights[c] = score * scale;
        if (weights[c] > top) top = weights[c];
    }
    for (uint32_t c = 0; c < n; c++) total += weights[c] = exp(weights[c] - top);
    for (uint32_t d = 0; d < head_dim; d++) o[d] = 0.0;
    for (uint32_t c = 0; c < n; c++) {
        double weight = weights[c] / total;
        for (uint32_t d = 0; d < head_dim; d++) o[d] += weight * v[c * stride + d];
    }
}

qn_status qn_sdpa_ref(const qn_allocator *a, const qn_sdpa_ref_shape *shape, const float *q, const float *k_cache,
                      const float *v_cache, double *o)
{
    uint32_t head_dim = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
    size_t stride = (size_t)shape->n_kv_heads * head_dim, ctx = (size_t)shape->pos + shape->seq;
    double scale = shape->scale != 0.0f ? (double)shape->scale : 1.0 / sqrt((double)head_dim);
    void *work;
    QN_TRY(qn_alloc(a, ctx, sizeof(double), "attention reference", &work));
    for (uint32_t i = 0; i < shape->seq; i++)
        for (uint32_t h = 0; h < shape->n_heads; h++) {
            size_t at = ((size_t)i * shape->n_heads + h) * head_dim, kv = (size_t)(h / group) * head_dim;
            attend(q + at, k_cache + kv, v_cache + kv, stride, shape->pos + i + 1, head_dim, scale, work, o + at);
        }
    qn_free(a, work);
    return qn_ok();
}
