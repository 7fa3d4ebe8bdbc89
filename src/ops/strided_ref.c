#include "ops/strided_ref.h"

#include <stddef.h>

static size_t count(const qn_shape *s)
{
    size_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* The index of element `at` of a shape. */
static void index_of(const qn_shape *s, size_t at, uint32_t *idx)
{
    for (uint32_t i = s->rank; i-- > 0; at /= s->dim[i]) idx[i] = (uint32_t)(at % s->dim[i]);
}

static size_t element(const qn_shape *s, const uint32_t *idx)
{
    size_t at = 0;
    for (uint32_t i = 0; i < s->rank; i++) at = at * s->dim[i] + idx[i];
    return at;
}

void qn_permute_ref(const uint32_t *x, const qn_shape *xs, const uint32_t *order, uint32_t *y)
{
    qn_shape ys = {.rank = xs->rank};
    uint32_t to[QN_MAX_RANK] = {0}, from[QN_MAX_RANK] = {0};
    for (uint32_t i = 0; i < xs->rank; i++) ys.dim[i] = xs->dim[order[i]];
    for (size_t at = 0; at < count(&ys); at++) {
        index_of(&ys, at, to);
        for (uint32_t i = 0; i < xs->rank; i++) from[order[i]] = to[i];
        y[at] = x[element(xs, from)];
    }
}

void qn_flip_ref(const uint32_t *x, const qn_shape *xs, uint32_t dims, uint32_t *y)
{
    uint32_t idx[QN_MAX_RANK] = {0};
    for (size_t at = 0; at < count(xs); at++) {
        index_of(xs, at, idx);
        for (uint32_t i = 0; i < xs->rank; i++)
            if (dims >> i & 1) idx[i] = xs->dim[i] - 1 - idx[i];
        y[at] = x[element(xs, idx)];
    }
}

void qn_slice_ref(const uint32_t *x, const qn_shape *xs, uint32_t dim, uint32_t first, uint32_t step,
                  const qn_shape *ys, uint32_t *y)
{
    uint32_t idx[QN_MAX_RANK] = {0};
    for (size_t at = 0; at < count(ys); at++) {
        index_of(ys, at, idx);
        idx[dim] = first + idx[dim] * step;
        y[at] = x[element(xs, idx)];
    }
}

void qn_repeat_ref(const uint32_t *x, const qn_shape *xs, const qn_shape *ys, uint32_t *y)
{
    uint32_t idx[QN_MAX_RANK] = {0}, lead = ys->rank - xs->rank;
    for (size_t at = 0; at < count(ys); at++) {
        index_of(ys, at, idx);
        for (uint32_t i = 0; i < xs->rank; i++) idx[lead + i] %= xs->dim[i];
        y[at] = x[element(xs, idx + lead)];
    }
}

void qn_cat_ref(const uint32_t *const *x, const qn_shape *xs, uint32_t n, uint32_t dim, uint32_t *y)
{
    qn_shape ys = xs[0];
    uint32_t idx[QN_MAX_RANK] = {0};
    for (uint32_t i = 1; i < n; i++) ys.dim[dim] += xs[i].dim[dim];
    for (size_t at = 0; at < count(&ys); at++) {
        uint32_t k = 0;
        index_of(&ys, at, idx);
        for (; idx[dim] >= xs[k].dim[dim]; k++) idx[dim] -= xs[k].dim[dim];
        y[at] = x[k][element(&xs[k], idx)];
    }
}

void qn_pad_ref(const uint32_t *x, const qn_shape *xs, const int32_t (*pads)[2], uint32_t word, uint32_t *y)
{
    qn_shape ys = *xs;
    uint32_t idx[QN_MAX_RANK] = {0};
    for (uint32_t i = 0; i < xs->rank; i++) ys.dim[i] = (uint32_t)((int64_t)xs->dim[i] + pads[i][0] + pads[i][1]);
    for (size_t at = 0; at < count(&ys); at++) {
        bool inside = true;
        index_of(&ys, at, idx);
        for (uint32_t i = 0; i < xs->rank; i++) {
            int64_t from = (int64_t)idx[i] - pads[i][0];
            inside = inside && from >= 0 && from < xs->dim[i];
            idx[i] = (uint32_t)from;
        }
        y[at] = inside ? x[element(xs, idx)] : word;
    }
}

void qn_pixel_shuffle_ref(const uint32_t *x, const qn_shape *xs, uint32_t r, uint32_t *y)
{
    qn_shape ys = *xs;
    uint32_t idx[QN_MAX_RANK] = {0}, c = xs->rank - 3, h = c + 1, w = c + 2;
    ys.dim[c] /= r * r;
    ys.dim[h] *= r;
    ys.dim[w] *= r;
    for (size_t at = 0; at < count(&ys); at++) {
        index_of(&ys, at, idx);
        idx[c] = (idx[c] * r + idx[h] % r) * r + idx[w] % r;
        idx[h] /= r;
        idx[w] /= r;
        y[at] = x[element(xs, idx)];
    }
}
