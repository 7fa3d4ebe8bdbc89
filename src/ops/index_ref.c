#include "ops/index_ref.h"

#include <string.h>

static uint32_t resolve(int32_t id, uint32_t n)
{
    int64_t at = id < 0 ? (int64_t)id + n : id;
    return at < 0 ? 0 : at >= n ? n - 1 : (uint32_t)at;
}

/* Elements of dimensions from..to - 1. */
static size_t count(const qn_shape *s, uint32_t from, uint32_t to)
{
    size_t n = 1;
    for (uint32_t i = from; i < to && i < s->rank; i++) n *= s->dim[i];
    return n;
}

qn_shape qn_index_select_ref(const uint32_t *x, qn_shape xs, uint32_t dim, const int32_t *ids, qn_shape is, uint32_t *y)
{
    size_t outer = count(&xs, 0, dim), n = count(&xs, dim, dim + 1), inner = count(&xs, dim + 1, xs.rank);
    size_t n_ids = count(&is, 0, is.rank);
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < n_ids; i++)
            memcpy(y + (o * n_ids + i) * inner, x + (o * n + resolve(ids[i], (uint32_t)n)) * inner, inner * sizeof *y);
    qn_shape out = {0};
    for (uint32_t i = 0; i < xs.rank || i == 0; i++) {
        for (uint32_t k = 0; i == dim && k < is.rank; k++) out.dim[out.rank++] = is.dim[k];
        if (i != dim) out.dim[out.rank++] = xs.dim[i];
    }
    return out;
}

qn_shape qn_gather_ref(const uint32_t *x, qn_shape xs, uint32_t dim, const int32_t *ids, qn_shape is, uint32_t *y)
{
    size_t n = count(&is, 0, is.rank);
    for (size_t e = 0; e < n; e++) {
        size_t rest = e, from = 0, stride = 1;
        for (uint32_t d = xs.rank; d-- > 0;) {
            size_t i = rest % is.dim[d];
            rest /= is.dim[d];
            from += (d == dim ? resolve(ids[e], xs.dim[d]) : i) * stride;
            stride *= xs.dim[d];
        }
        y[e] = x[from];
    }
    return is;
}
