/* compare.c - computed against expected arrays of a case. */
#include "case.h"

#include <math.h>
#include <string.h>

/* "c2.y[0,5,17]" */
static void name_element(const qn_case_array *a, size_t call, size_t i, char *text, size_t capacity)
{
    uint32_t index[QN_MAX_RANK] = {0};
    for (uint32_t d = a->shape.rank; d-- > 0;) {
        index[d] = (uint32_t)(i % a->shape.dim[d]);
        i /= a->shape.dim[d];
    }
    const qn_shape at = {.rank = a->shape.rank};
    qn_shape named = at;
    memcpy(named.dim, index, sizeof index);
    char element[128];
    snprintf(text, capacity, "c%zu.%s%s", call, a->name, qn_cli_shape(&named, element));
}

static double ratio(double error, double tolerance)
{
    if (tolerance > 0) return error / tolerance;
    return error > 0 ? INFINITY : 0;
}

void qn_case_compare(const qn_case *c, const qn_case_array *expected, const float *got, size_t call, qn_case_result *r)
{
    const double smallest = 1e-6; /* below that a relative error says nothing */
    const float *want = expected->data;
    size_t worst_at = 0;
    bool found = false;
    for (size_t i = 0; i < expected->count; i++) {
        double e = (double)want[i], v = (double)got[i];
        if (e == v || (isnan(e) && isnan(v))) continue;
        double abs_error = fabs(e - v), rel_error = abs_error / fmax(fabs(e), smallest);
        if (!isfinite(e) || !isfinite(v)) abs_error = rel_error = INFINITY;
        r->max_abs = fmax(r->max_abs, abs_error);
        r->max_rel = fmax(r->max_rel, rel_error);
        double worst = fmin(ratio(abs_error, c->abs_tolerance), ratio(rel_error, c->rel_tolerance));
        if (worst <= r->worst && r->where[0]) continue;
        r->worst = worst;
        r->expected = e;
        r->got = v;
        worst_at = i;
        found = true;
        if (!r->where[0]) r->where[0] = '?'; /* named below */
    }
    if (found) name_element(expected, call, worst_at, r->where, sizeof r->where);
}

/* An element that is not f32. */
static double element_at(const qn_case_array *a, const void *data, size_t i)
{
    switch (a->dtype) {
    case QN_CASE_I64:
        return (double)((const int64_t *)data)[i];
    case QN_CASE_I32:
        return ((const int32_t *)data)[i];
    case QN_CASE_I8:
        return ((const int8_t *)data)[i];
    case QN_CASE_F64:
        return ((const double *)data)[i];
    default:
        return ((const uint8_t *)data)[i];
    }
}

void qn_case_compare_exact(const qn_case_array *expected, const void *got, size_t call, qn_case_result *r)
{
    for (size_t i = 0; i < expected->count; i++) {
        double want = element_at(expected, expected->data, i), is = element_at(expected, got, i);
        if (want == is || r->worst > 1) continue;
        r->worst = INFINITY;
        r->expected = want;
        r->got = is;
        r->max_abs = fmax(r->max_abs, fabs(want - is));
        name_element(expected, call, i, r->where, sizeof r->where);
    }
}

bool qn_case_compare_state(const qn_case_array *expected, const float *got, size_t call, qn_case_result *r)
{
    const float *want = expected->data;
    for (size_t i = 0; i < expected->count; i++) {
        if (want[i] == got[i] || (isnan(want[i]) && isnan(got[i]))) continue;
        r->worst = INFINITY;
        r->expected = (double)want[i];
        r->got = (double)got[i];
        name_element(expected, call, i, r->where, sizeof r->where);
        return false;
    }
    return true;
}
