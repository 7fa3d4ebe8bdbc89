#include "ops/reduce_ref.h"

#include <math.h>

size_t qn_line_ref(const qn_shape *shape, uint32_t mask, size_t line, size_t *at)
{
    size_t n = 1, start = 0, stride = 1;
    for (uint32_t i = shape->rank; i-- > 0; stride *= shape->dim[i]) {
        if (mask >> i & 1) {
            n *= shape->dim[i];
        } else {
            start += line % shape->dim[i] * stride;
            line /= shape->dim[i];
        }
    }
    for (size_t k = 0; at && k < n; k++) {
        size_t rest = k;
        at[k] = start;
        stride = 1;
        for (uint32_t i = shape->rank; i-- > 0; stride *= shape->dim[i]) {
            if (!(mask >> i & 1)) continue;
            at[k] += rest % shape->dim[i] * stride;
            rest /= shape->dim[i];
        }
    }
    return n;
}

/* Index of the first largest element of sign * v[n], NaN being the largest. */
static size_t first_most(const double *v, size_t n, double sign)
{
    size_t at = 0;
    for (size_t i = 1; i < n && !isnan(v[at]); i++)
        if (isnan(v[i]) || sign * v[i] > sign * v[at]) at = i;
    return at;
}

static double sum(const double *v, size_t n)
{
    double s = 0.0;
    for (size_t i = 0; i < n; i++) s += v[i];
    return s;
}

static double squares(const double *v, size_t n)
{
    double mean = sum(v, n) / (double)n, s = 0.0;
    for (size_t i = 0; i < n; i++) s += (v[i] - mean) * (v[i] - mean);
    return s;
}

static double product(const double *v, size_t n)
{
    double s = 1.0;
    for (size_t i = 0; i < n; i++) s *= v[i];
    return s;
}

static size_t zeros(const double *v, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += v[i] == 0.0;
    return count;
}

double qn_reduce_ref(uint32_t function, const double *v, size_t n, double number)
{
    switch (function) {
    case QN_REDUCE_SUM:
        return sum(v, n);
    case QN_REDUCE_MEAN:
        return sum(v, n) / (double)n;
    case QN_REDUCE_PROD:
        return product(v, n);
    case QN_REDUCE_AMAX:
        return v[first_most(v, n, 1.0)];
    case QN_REDUCE_AMIN:
        return v[first_most(v, n, -1.0)];
    case QN_REDUCE_ARGMAX:
        return (double)first_most(v, n, 1.0);
    case QN_REDUCE_ARGMIN:
        return (double)first_most(v, n, -1.0);
    case QN_REDUCE_ANY:
        return zeros(v, n) < n;
    case QN_REDUCE_ALL:
        return zeros(v, n) == 0;
    case QN_REDUCE_VAR:
        return squares(v, n) / fmax((double)n - number, 0.0);
    default:
        return 1.0 / sqrt(squares(v, n) / (double)n + number);
    }
}

void qn_softmax_ref(const double *v, size_t n, bool log_of, double *y)
{
    double most = v[first_most(v, n, 1.0)], s = 0.0;
    for (size_t i = 0; i < n; i++) s += exp(v[i] - most);
    for (size_t i = 0; i < n; i++) y[i] = log_of ? v[i] - most - log(s) : exp(v[i] - most) / s;
}

void qn_choose_qparams_ref(const float *x, size_t k, float eps, float *scale, int32_t *zero_point)
{
    float least = 0.0f, most = 0.0f;
    for (size_t i = 0; i < k; i++) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
    }
    float s = (most - least) / 255.0f;
    *scale = s > eps ? s : eps;
    float z = -128.0f - rintf(least / *scale);
    *zero_point = z > 127.0f ? 127 : (int32_t)z;
}

void qn_quantize_row_ref(const float *x, size_t k, float scale, int32_t zero_point, float *y)
{
    for (size_t i = 0; i < k; i++) {
        float code = rintf(x[i] / scale) + (float)zero_point;
        code = code < -128.0f ? -128.0f : code > 127.0f ? 127.0f : code;
        y[i] = (code - (float)zero_point) * scale;
    }
}
