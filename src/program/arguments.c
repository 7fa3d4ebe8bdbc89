/* arguments.c - reading an operator's arguments, and giving its outputs. */
#include "program/translate.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

qn_status qn_call_fail(const qn_call *c, qn_code code, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return qn_fail(code, "%s (node %u): %s", c->op->name, c->op->node_id, text);
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint32_t id_of(const qn_call *c, uint32_t i)
{
    return (uint32_t)qn_fb_i32_at(&c->op->args, i);
}

const qn_vk_value *qn_arg(const qn_call *c, uint32_t i)
{
    return &c->t->vk->values[id_of(c, i)];
}

bool qn_arg_is_null(const qn_call *c, uint32_t i)
{
    return qn_arg(c, i)->kind == QN_VK_NULL;
}

uint32_t qn_arg_out(const qn_call *c)
{
    return c->op->args.count - 1;
}

static qn_status wrong_kind(const qn_call *c, uint32_t i, const char *wanted)
{
    static const char *const kinds[] = {"?",        "Null",       "Int",       "Double",     "Bool",   "tensor",
                                        "int list", "float list", "bool list", "value list", "string", "SymInt"};
    qn_vk_kind kind = qn_arg(c, i)->kind;
    return qn_call_fail(c, QN_ERR_UNSUPPORTED, "argument %u is a %s, not a %s", i,
                        kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : "?", wanted);
}

/* ---- tensors --------------------------------------------------------------------------------- */

qn_status qn_arg_desc(const qn_call *c, uint32_t i, const qn_vk_tensor **tensor)
{
    const qn_vk_value *v = qn_arg(c, i);
    if (v->kind != QN_VK_TENSOR) return wrong_kind(c, i, "tensor");
    *tensor = &v->u.tensor;
    return qn_ok();
}

static qn_status tensor_of(const qn_call *c, uint32_t i, uint32_t id, qn_value *value)
{
    qn_status s = qn_translate_tensor(c->t, id, value);
    return s.code == QN_OK ? s : qn_call_fail(c, s.code, "argument %u: %s", i, s.text);
}

qn_status qn_arg_tensor(const qn_call *c, uint32_t i, qn_value *value)
{
    if (qn_arg(c, i)->kind != QN_VK_TENSOR) return wrong_kind(c, i, "tensor");
    return tensor_of(c, i, id_of(c, i), value);
}

qn_status qn_arg_optional(const qn_call *c, uint32_t i, qn_value *value)
{
    *value = 0;
    return qn_arg_is_null(c, i) ? qn_ok() : qn_arg_tensor(c, i, value);
}

qn_status qn_arg_tensors(const qn_call *c, uint32_t i, qn_value *values, uint32_t capacity, uint32_t *n)
{
    const qn_vk_value *v = qn_arg(c, i);
    if (v->kind != QN_VK_VALUE_LIST) return wrong_kind(c, i, "value list");
    if (v->u.list.count > capacity)
        return qn_call_fail(c, QN_ERR_LIMIT, "argument %u has %u tensors, more than %u", i, v->u.list.count, capacity);
    *n = v->u.list.count;
    for (uint32_t k = 0; k < *n; k++) {
        uint32_t id = (uint32_t)qn_fb_i32_at(&v->u.list, k);
        values[k] = 0;
        if (c->t->vk->values[id].kind == QN_VK_NULL) continue;
        if (c->t->vk->values[id].kind != QN_VK_TENSOR)
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "element %u of argument %u is no tensor", k, i);
        QN_TRY(tensor_of(c, i, id, &values[k]));
    }
    return qn_ok();
}

qn_status qn_graph_dtype(int8_t vk_dtype, const char *what, qn_dtype *dtype)
{
    switch (vk_dtype) {
    case QN_VK_FLOAT32:
    case QN_VK_FLOAT64:
        *dtype = QN_F32;
        return qn_ok();
    case QN_VK_BOOL:
    case QN_VK_UINT8:
    case QN_VK_INT8:
    case QN_VK_INT32:
    case QN_VK_INT64:
        *dtype = QN_I32;
        return qn_ok();
    default: {
        const char *name = qn_vk_dtype_name(vk_dtype);
        return qn_fail(QN_ERR_UNSUPPORTED, "%s has the element type %s; export in float32", what,
                       name ? name : "of a later version");
    }
    }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool value_as_int(const qn_vk_value *v, int64_t *number)
{
    if (v->kind == QN_VK_INT) {
        *number = v->u.integer;
        return true;
    }
    if (v->kind == QN_VK_BOOLEAN) {
        *number = v->u.boolean;
        return true;
    }
    double d = v->kind == QN_VK_DOUBLE ? v->u.number : (double)NAN;
    if (!(d == floor(d))) return false;
    /* 2^63 - 1, the end of a slice, came as the float next to it. */
    *number = d >= 9223372036854775808.0 ? INT64_MAX : d < -9223372036854775808.0 ? INT64_MIN : (int64_t)d;
    return true;
}

qn_status qn_arg_int(const qn_call *c, uint32_t i, int64_t *number)
{
    return value_as_int(qn_arg(c, i), number) ? qn_ok() : wrong_kind(c, i, "whole number");
}

qn_status qn_arg_double(const qn_call *c, uint32_t i, double *number)
{
    const qn_vk_value *v = qn_arg(c, i);
    if (v->kind == QN_VK_DOUBLE)
        *number = v->u.number;
    else if (v->kind == QN_VK_INT)
        *number = (double)v->u.integer;
    else if (v->kind == QN_VK_BOOLEAN)
        *number = v->u.boolean;
    else
        return wrong_kind(c, i, "number");
    return qn_ok();
}

qn_status qn_arg_int_or(const qn_call *c, uint32_t i, int64_t absent, int64_t *number)
{
    *number = absent;
    return qn_arg_is_null(c, i) ? qn_ok() : qn_arg_int(c, i, number);
}

qn_status qn_arg_double_or(const qn_call *c, uint32_t i, double absent, double *number)
{
    *number = absent;
    return qn_arg_is_null(c, i) ? qn_ok() : qn_arg_double(c, i, number);
}

qn_status qn_arg_bool(const qn_call *c, uint32_t i, bool *flag)
{
    int64_t number = 0;
    QN_TRY(qn_arg_int(c, i, &number));
    *flag = number != 0;
    return qn_ok();
}

qn_status qn_arg_string(const qn_call *c, uint32_t i, const char **text)
{
    if (qn_arg(c, i)->kind != QN_VK_STRING) return wrong_kind(c, i, "string");
    *text = qn_arg(c, i)->u.string;
    return qn_ok();
}

/* Integer `id` of the file as one of the graph. */
static qn_status number_of(const qn_call *c, uint32_t i, uint32_t id, qn_value *value)
{
    qn_translated *known = &c->t->values[id];
    const qn_vk_value *v = &c->t->vk->values[id];
    int64_t number;
    if (!known->number && v->kind != QN_VK_SYMINT && value_as_int(v, &number)) {
        if (number > INT32_MAX) number = INT32_MAX;
        if (number < INT32_MIN) number = INT32_MIN;
        known->number = qn_graph_const_int(c->t->g, (int32_t)number);
        QN_TRY(qn_graph_status(c->t->g));
    }
    *value = known->number;
    if (known->number) return qn_ok();
    if (v->kind == QN_VK_SYMINT) return qn_call_fail(c, QN_ERR_FORMAT, "argument %u is not computed yet", i);
    return wrong_kind(c, i, "whole number");
}

qn_status qn_arg_number(const qn_call *c, uint32_t i, qn_value *value)
{
    *value = 0;
    return qn_arg_is_null(c, i) ? qn_ok() : number_of(c, i, id_of(c, i), value);
}

/* ---- lists ----------------------------------------------------------------------------------- */

qn_status qn_arg_sizes(const qn_call *c, uint32_t i, qn_sizes *sizes)
{
    const qn_vk_value *v = qn_arg(c, i);
    if (v->kind != QN_VK_INT_LIST && v->kind != QN_VK_VALUE_LIST) return wrong_kind(c, i, "list of sizes");
    *sizes = (qn_sizes){.n = v->u.list.count};
    if (sizes->n > QN_MAX_RANK)
        return qn_call_fail(c, QN_ERR_LIMIT, "argument %u has %u sizes, more than %d", i, sizes->n, QN_MAX_RANK);
    for (uint32_t k = 0; k < sizes->n; k++) {
        if (v->kind == QN_VK_INT_LIST) {
            sizes->number[k] = qn_fb_i64_at(&v->u.list, k);
            continue;
        }
        uint32_t id = (uint32_t)qn_fb_i32_at(&v->u.list, k);
        if (value_as_int(&c->t->vk->values[id], &sizes->number[k])) continue;
        QN_TRY(number_of(c, i, id, &sizes->computed[k]));
    }
    return qn_ok();
}

qn_status qn_check_sizes(const qn_call *c, const qn_sizes *sizes, const qn_shape *out)
{
    if (sizes->n != out->rank)
        return qn_call_fail(c, QN_ERR_FORMAT, "%u sizes for an output of rank %u", sizes->n, out->rank);
    for (uint32_t i = 0; i < out->rank; i++)
        if (!sizes->computed[i] && sizes->number[i] != -1 && sizes->number[i] != out->dim[i])
            return qn_call_fail(c, QN_ERR_FORMAT, "size %u is %" PRId64 ", the file's output has %u there", i,
                                sizes->number[i], out->dim[i]);
    return qn_ok();
}

qn_status qn_arg_ints(const qn_call *c, uint32_t i, int64_t *list, uint32_t capacity, uint32_t *n)
{
    const qn_vk_value *v = qn_arg(c, i);
    *n = 0;
    if (v->kind == QN_VK_NULL) return qn_ok();
    if (v->kind != QN_VK_INT_LIST && v->kind != QN_VK_VALUE_LIST) {
        if (capacity == 0 || !value_as_int(v, &list[0])) return wrong_kind(c, i, "list of whole numbers");
        *n = 1; /* a single one may come by itself */
        return qn_ok();
    }
    if (v->u.list.count > capacity)
        return qn_call_fail(c, QN_ERR_LIMIT, "argument %u has %u numbers, more than %u", i, v->u.list.count, capacity);
    for (uint32_t k = 0; k < v->u.list.count; k++) {
        bool ok = true;
        if (v->kind == QN_VK_INT_LIST)
            list[k] = qn_fb_i64_at(&v->u.list, k);
        else
            ok = value_as_int(&c->t->vk->values[(uint32_t)qn_fb_i32_at(&v->u.list, k)], &list[k]);
        if (!ok) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "number %u of argument %u is not constant", k, i);
    }
    *n = v->u.list.count;
    return qn_ok();
}

qn_status qn_arg_doubles(const qn_call *c, uint32_t i, double *list, uint32_t capacity, uint32_t *n)
{
    const qn_vk_value *v = qn_arg(c, i);
    *n = 0;
    if (v->kind != QN_VK_DOUBLE_LIST) {
        int64_t whole[QN_MAX_RANK];
        QN_TRY(qn_arg_ints(c, i, whole, capacity < QN_MAX_RANK ? capacity : QN_MAX_RANK, n));
        for (uint32_t k = 0; k < *n; k++) list[k] = (double)whole[k];
        return qn_ok();
    }
    if (v->u.list.count > capacity)
        return qn_call_fail(c, QN_ERR_LIMIT, "argument %u has %u numbers, more than %u", i, v->u.list.count, capacity);
    *n = v->u.list.count;
    for (uint32_t k = 0; k < *n; k++) list[k] = qn_fb_f64_at(&v->u.list, k);
    return qn_ok();
}

qn_status qn_call_dim(const qn_call *c, int64_t dim, uint32_t rank, uint32_t *out)
{
    int64_t n = rank ? rank : 1; /* a scalar has a dimension 0 here, as in PyTorch */
    int64_t at = dim < 0 ? dim + n : dim;
    if (at < 0 || at >= n)
        return qn_call_fail(c, QN_ERR_FORMAT, "dimension %" PRId64 " of a tensor of rank %u", dim, rank);
    *out = (uint32_t)at;
    return qn_ok();
}

qn_status qn_arg_dim(const qn_call *c, uint32_t i, uint32_t rank, uint32_t *dim)
{
    int64_t number = 0;
    QN_TRY(qn_arg_int(c, i, &number));
    return qn_call_dim(c, number, rank, dim);
}

qn_status qn_arg_dims(const qn_call *c, uint32_t i, uint32_t rank, uint32_t *mask)
{
    int64_t list[QN_MAX_RANK];
    uint32_t n = 0, dim = 0;
    *mask = 0;
    QN_TRY(qn_arg_ints(c, i, list, QN_MAX_RANK, &n));
    for (uint32_t k = 0; k < n; k++) {
        QN_TRY(qn_call_dim(c, list[k], rank, &dim));
        *mask |= 1u << dim;
    }
    return qn_ok();
}

/* ---- outputs --------------------------------------------------------------------------------- */

static qn_status out_id(const qn_call *c, uint32_t i, uint32_t *id)
{
    uint32_t out = id_of(c, qn_arg_out(c));
    const qn_vk_value *v = &c->t->vk->values[out];
    if (v->kind == QN_VK_VALUE_LIST) {
        if (i >= v->u.list.count) return qn_call_fail(c, QN_ERR_FORMAT, "there is no output %u", i);
        out = (uint32_t)qn_fb_i32_at(&v->u.list, i);
    } else if (i > 0) {
        return qn_call_fail(c, QN_ERR_FORMAT, "there is no output %u", i);
    }
    *id = out;
    return qn_ok();
}

qn_status qn_out_desc(const qn_call *c, uint32_t i, const qn_vk_tensor **tensor)
{
    uint32_t id = 0;
    QN_TRY(out_id(c, i, &id));
    if (c->t->vk->values[id].kind != QN_VK_TENSOR) return qn_call_fail(c, QN_ERR_FORMAT, "output %u is no tensor", i);
    *tensor = &c->t->vk->values[id].u.tensor;
    return qn_ok();
}

qn_status qn_give_at(const qn_call *c, uint32_t i, qn_value value)
{
    qn_status s = qn_graph_status(c->t->g);
    if (s.code != QN_OK) return qn_call_fail(c, s.code, "%s", s.text);
    uint32_t id = 0;
    const qn_vk_tensor *want;
    QN_TRY(out_id(c, i, &id));
    QN_TRY(qn_out_desc(c, i, &want));
    const qn_tensor *got = qn_graph_tensor(c->t->g, value);
    char a[96], b[96];
    if (!qn_shape_equal(&got->max, &want->shape))
        return qn_call_fail(c, QN_ERR_FORMAT, "gives %s, the file says %s", qn_shape_text(&got->max, a, sizeof a),
                            qn_shape_text(&want->shape, b, sizeof b));
    qn_dtype dtype = QN_F32;
    s = qn_graph_dtype(want->dtype, "the output", &dtype);
    if (s.code != QN_OK) return qn_call_fail(c, s.code, "%s", s.text);
    if (dtype != got->dtype)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "gives %s, the file says %s", got->dtype == QN_F32 ? "f32" : "i32",
                            qn_vk_dtype_name(want->dtype));
    c->t->values[id].value = value;
    return qn_ok();
}

qn_status qn_give(const qn_call *c, qn_value value)
{
    return qn_give_at(c, 0, value);
}

qn_status qn_give_number(const qn_call *c, qn_value number)
{
    qn_status s = qn_graph_status(c->t->g);
    if (s.code != QN_OK) return qn_call_fail(c, s.code, "%s", s.text);
    uint32_t id = 0;
    QN_TRY(out_id(c, 0, &id));
    if (c->t->vk->values[id].kind != QN_VK_SYMINT) return qn_call_fail(c, QN_ERR_FORMAT, "the output is no SymInt");
    c->t->values[id].number = number;
    return qn_ok();
}

void qn_check_id_value(const qn_call *c, qn_value ids, uint32_t rows, bool negative)
{
    qn_delegate *d = c->t->delegate;
    for (uint32_t i = 0; i < d->vk->input_ids.count; i++) {
        qn_delegate_slot *slot = &d->inputs[i];
        if (slot->value != qn_graph_root(c->t->g, ids)) continue;
        slot->negative = negative && (!slot->rows || slot->negative);
        if (!slot->rows || rows < slot->rows) slot->rows = rows;
    }
}

void qn_check_ids(const qn_call *c, uint32_t i, uint32_t rows, bool negative)
{
    if (qn_arg(c, i)->kind == QN_VK_TENSOR) qn_check_id_value(c, c->t->values[id_of(c, i)].value, rows, negative);
}

qn_value qn_alias(const qn_call *c, uint32_t arg, qn_value x)
{
    const qn_translated *values = c->t->values;
    bool written = values[id_of(c, arg)].written || values[id_of(c, qn_arg_out(c))].written;
    return written ? qn_copy(c->t->g, x) : x;
}
