/* cells.c - the values of a method while it runs: room, and conversion between its types and those of graphs. */
#include "base/memory.h"
#include "program/program.h"

#include <inttypes.h>
#include <string.h>

/* ---- element types --------------------------------------------------------------------------- */

static const struct {
    qn_scalar scalar;
    uint32_t bytes;
    const char *name;
} scalars[] = {{QN_SCALAR_UINT8, 1, "u8"},  {QN_SCALAR_INT8, 1, "i8"}, {QN_SCALAR_INT32, 4, "i32"},
               {QN_SCALAR_INT64, 8, "i64"}, {QN_SCALAR_F32, 4, "f32"}, {QN_SCALAR_F64, 8, "f64"},
               {QN_SCALAR_BOOL, 1, "bool"}};

uint32_t qn_scalar_bytes(qn_scalar scalar)
{
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (scalars[i].scalar == scalar) return scalars[i].bytes;
    return 0;
}

const char *qn_scalar_name(qn_scalar scalar)
{
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (scalars[i].scalar == scalar) return scalars[i].name;
    return "?";
}

/* ---- layout ---------------------------------------------------------------------------------- */

bool qn_is_row_major(const qn_pte_tensor *tensor)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < tensor->shape.rank; i++) {
        uint32_t dim = tensor->dim_order[i];
        if (tensor->shape.dim[dim] == 1) continue;
        if (dim < next) return false;
        next = dim;
    }
    return true;
}

/* ---- room ------------------------------------------------------------------------------------ */

qn_status qn_cell_own(const qn_program *program, qn_method *method, uint32_t value)
{
    qn_cell *cell = &method->cells[value];
    const qn_pte_tensor *t = qn_program_tensor_of(method->pte, value);
    if (cell->own) return qn_ok();
    uint32_t size = qn_scalar_bytes((qn_scalar)t->scalar_type);
    uint64_t bytes = 0;
    if (!size)
        return qn_fail(QN_ERR_UNSUPPORTED, "value %u has an element type (%d) that is not supported", value,
                       t->scalar_type);
    if (!qn_mul_dims(size, t->shape.dim, t->shape.rank, &bytes) || bytes > SIZE_MAX / 2)
        return qn_fail(QN_ERR_LIMIT, "value %u is too large", value);
    return qn_alloc(&program->allocator, (size_t)bytes, 1, "value of a method", &cell->own);
}

/* ---- conversion ------------------------------------------------------------------------------ */

bool qn_scalar_is_direct(qn_scalar scalar)
{
    return scalar == QN_SCALAR_F32 || scalar == QN_SCALAR_INT32;
}

bool qn_scalar_fits(qn_scalar scalar, qn_dtype dtype)
{
    bool is_float = scalar == QN_SCALAR_F32 || scalar == QN_SCALAR_F64;
    return qn_scalar_bytes(scalar) != 0 && is_float == (dtype == QN_F32);
}

qn_status qn_words_from(qn_scalar scalar, const void *data, uint64_t n, uint32_t *words)
{
    const uint8_t *p = data;
    for (uint64_t i = 0; i < n; i++) {
        if (qn_scalar_is_direct(scalar)) {
            words[i] = (uint32_t)qn_fb_le(p + i * 4, 4);
        } else if (scalar == QN_SCALAR_INT64) {
            int64_t number = (int64_t)qn_fb_le(p + i * 8, 8);
            if (number < INT32_MIN || number > INT32_MAX)
                return qn_fail(QN_ERR_ARGUMENT, "element %" PRIu64 " is %" PRId64 ", which does not fit 32 bits", i,
                               number);
            words[i] = (uint32_t)number;
        } else if (scalar == QN_SCALAR_F64) {
            double wide;
            memcpy(&wide, p + i * 8, sizeof wide);
            float narrow = (float)wide;
            memcpy(&words[i], &narrow, sizeof narrow);
        } else if (scalar == QN_SCALAR_INT8) {
            words[i] = (uint32_t)(int32_t)(int8_t)p[i];
        } else {
            words[i] = scalar == QN_SCALAR_BOOL ? p[i] != 0 : p[i];
        }
    }
    return qn_ok();
}

void qn_words_to(qn_scalar scalar, const uint32_t *words, uint64_t n, void *data)
{
    uint8_t *p = data;
    for (uint64_t i = 0; i < n; i++) {
        if (scalar == QN_SCALAR_INT64) {
            int64_t number = (int32_t)words[i];
            memcpy(p + i * 8, &number, sizeof number);
        } else if (scalar == QN_SCALAR_F64) {
            float narrow;
            memcpy(&narrow, &words[i], sizeof narrow);
            double wide = (double)narrow;
            memcpy(p + i * 8, &wide, sizeof wide);
        } else {
            p[i] = scalar == QN_SCALAR_BOOL ? words[i] != 0 : (uint8_t)words[i];
        }
    }
}
