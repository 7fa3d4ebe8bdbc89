#include "ops/check.h"

#include <float.h>
#include <inttypes.h>
#include <string.h>

qn_status qn_check_f32_or_i32(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    *t = qn_plan_in(p, i);
    if (!*t) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is missing", i);
    const qn_tensor *x = *t;
    const char *name = x->name ? x->name : "";
    if (x->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is an integer, not a tensor", i, name);
    if (x->weight && x->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is a packed matrix, not a plain tensor", i, name);
    return qn_ok();
}

qn_status qn_check_f32(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    QN_TRY(qn_check_f32_or_i32(p, i, t));
    if ((*t)->dtype != QN_F32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is not of type f32", i, (*t)->name ? (*t)->name : "");
    return qn_ok();
}

qn_status qn_check_elements(const qn_plan *p, const qn_shape *shape, uint32_t *n)
{
    uint64_t count = qn_shape_count(shape);
    char text[96];
    qn_shape_text(shape, text, sizeof text);
    if (count == 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has no elements", text);
    if (count > INT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "%s has 2^31 elements or more", text);
    *n = (uint32_t)count;
    return qn_ok();
}

qn_bind qn_whole(const qn_plan *p, qn_value value)
{
    return (qn_bind){.kind = p->tensors[value].weight ? QN_BIND_DATA : QN_BIND_VALUE, .value = value};
}

void qn_bind_operand(const qn_plan *p, qn_dispatch *d, uint32_t i)
{
    qn_bind_to(d, qn_whole(p, p->node->inputs[i]));
}

uint32_t qn_window_granule(uint64_t row_bytes)
{
    uint32_t rows = 1;
    while (rows < 64 && rows * row_bytes % 256 != 0) rows *= 2;
    return rows;
}

qn_status qn_plan_windows(const qn_plan *p, uint64_t widest, uint32_t granule, uint32_t max_rows, uint32_t *rows)
{
    uint64_t fit = p->device->max_binding_bytes / widest;
    if (fit < granule && max_rows > fit)
        return qn_plan_fail(p, QN_ERR_LIMIT,
                            "%u rows of %" PRIu64 " bytes are over the device's binding limit of %" PRIu64, max_rows,
                            widest, p->device->max_binding_bytes);
    if (fit > INT32_MAX) fit = INT32_MAX;
    if (fit >= 64)
        fit = fit / 64 * 64;
    else if (max_rows > fit)
        fit = fit / granule * granule;
    *rows = (uint32_t)fit;
    return qn_ok();
}

qn_status qn_plan_window(const qn_plan *p, uint64_t row_bytes, uint32_t max_rows, uint32_t *rows)
{
    return qn_plan_windows(p, row_bytes, qn_window_granule(row_bytes), max_rows, rows);
}

qn_bind qn_window_of(const qn_plan *p, qn_value value, const qn_row_window *rows)
{
    qn_bind bind = qn_whole(p, value);
    if (bind.kind == QN_BIND_DATA || rows->max_rows <= rows->window) return bind;
    uint32_t left = rows->max_rows - rows->row0;
    bind.offset = rows->row0 * rows->row_bytes;
    bind.size = (left < rows->window ? left : rows->window) * rows->row_bytes;
    return bind;
}

void qn_bind_rows(const qn_plan *p, qn_dispatch *d, qn_value value, uint64_t row_bytes, uint32_t max_rows,
                  uint32_t window, uint32_t row0)
{
    qn_bind_to(d, qn_window_of(p, value, &(qn_row_window){row_bytes, max_rows, window, row0}));
}

qn_status qn_plan_word(const qn_plan *p, qn_dtype dtype, double number, uint32_t *word)
{
    if (dtype == QN_F32) {
        float f = (float)number;
        memcpy(word, &f, sizeof f);
        return qn_ok();
    }
    if (number > DBL_MAX) number = INT32_MAX;
    if (number < -DBL_MAX) number = INT32_MIN;
    if (!(number >= INT32_MIN && number <= INT32_MAX) || (double)(int32_t)number != number)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the number %g is not an int32, and its operand is of type i32",
                            number);
    *word = (uint32_t)(int32_t)number;
    return qn_ok();
}
