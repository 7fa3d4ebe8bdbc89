/* constants.c - constants of a delegate's file as weights and states of its graph. */
#include "base/memory.h"
#include "program/translate.h"

#include <string.h>

/* ---- weights --------------------------------------------------------------------------------- */

enum { LARGE = 256 << 10, SLOT_BYTES = 8 << 20, N_SLOTS = 4 };

/* Large constants go through a ring of staging buffers, as many and as large as the engine's memory allows. */
static qn_upload *ring(qn_translator *t, const qn_weight_desc *desc)
{
    if (qn_shape_count(&desc->shape) < LARGE) return NULL;
    uint64_t limit = qn_gpu_memory_limit(t->engine->gpu), held = qn_gpu_bytes(t->engine->gpu, NULL);
    uint64_t slot = SLOT_BYTES, most = qn_gpu_info(t->engine->gpu)->max_buffer_bytes;
    if (slot > most) slot = most;
    bool room = limit == 0 || limit - held > 2 * N_SLOTS * slot;
    if (!t->upload && room && qn_upload_create(t->engine->gpu, slot, N_SLOTS, &t->upload).code != QN_OK)
        t->upload = NULL; /* without it, it is only slower */
    return t->upload;
}

/* Creates the weight, or only describes it for a dry graph; the delegate owns it. */
static qn_status make_weight(qn_translator *t, const qn_weight_desc *desc, qn_value *value)
{
    qn_delegate *d = t->delegate;
    qn_weight *w = NULL;
    QN_TRY(qn_grow(d->allocator, &d->weights, &d->weight_capacity, d->n_weights + 1, sizeof(qn_weight *), "weights"));
    if (t->engine)
        QN_TRY(qn_weight_create_staged(t->engine, desc, ring(t, desc), &w));
    else
        QN_TRY(qn_weight_plan(t->allocator, t->device, desc, &w));
    ((qn_weight **)d->weights)[d->n_weights++] = w;
    *value = qn_graph_weight(t->g, w);
    return qn_graph_status(t->g);
}

static uint32_t chain_of(const qn_weight_key *key)
{
    uint64_t address = (uintptr_t)key->data;
    return (uint32_t)((address * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % QN_MADE_CHAINS;
}

static bool same_key(const qn_weight_key *a, const qn_weight_key *b)
{
    return a->data == b->data && a->scales == b->scales && a->dtype == b->dtype && a->kind == b->kind &&
           a->matrix == b->matrix && a->transposed == b->transposed && a->high_nibble_first == b->high_nibble_first &&
           a->scales_by_row == b->scales_by_row && a->group == b->group && a->scale_stride == b->scale_stride &&
           a->row_bytes == b->row_bytes && qn_shape_equal(&a->shape, &b->shape);
}

/* In place of a type: bytes, four in a word. */
enum { RAW_BYTES = -1 };

/* Identical constants are stored once. desc may hold copies; data and scales: where they lie in the file. */
static qn_status share_weight(qn_translator *t, const qn_weight_desc *desc, int8_t dtype, const void *data,
                              const void *scales, qn_value *value)
{
    const qn_weight_key key = {.data = data,
                               .scales = scales,
                               .dtype = dtype,
                               .kind = desc->kind,
                               .matrix = desc->matrix,
                               .transposed = desc->transposed,
                               .high_nibble_first = desc->high_nibble_first,
                               .scales_by_row = desc->scales_by_row,
                               .group = desc->group,
                               .scale_stride = desc->scale_stride,
                               .row_bytes = desc->row_bytes,
                               .shape = desc->shape};
    uint32_t *first = &t->made_chains[chain_of(&key)];
    const qn_made_weight *made = t->made;
    for (uint32_t i = *first; i; i = made[i - 1].next)
        if (same_key(&made[i - 1].key, &key)) {
            *value = made[i - 1].value;
            return qn_ok();
        }
    QN_TRY(qn_grow(t->allocator, &t->made, &t->made_capacity, t->n_made + 1, sizeof(qn_made_weight), "constants"));
    QN_TRY(make_weight(t, desc, value));
    ((qn_made_weight *)t->made)[t->n_made++] = (qn_made_weight){key, *value, *first};
    *first = (uint32_t)t->n_made;
    return qn_ok();
}

/* ---- plain tensors --------------------------------------------------------------------------- */

/* The types of a delegate's tensors that constants have, as those of a method's. */
static const qn_scalar scalars[] = {
    [QN_VK_BOOL] = QN_SCALAR_BOOL,   [QN_VK_UINT8] = QN_SCALAR_UINT8, [QN_VK_INT8] = QN_SCALAR_INT8,
    [QN_VK_INT32] = QN_SCALAR_INT32, [QN_VK_FLOAT32] = QN_SCALAR_F32, [QN_VK_FLOAT64] = QN_SCALAR_F64,
    [QN_VK_INT64] = QN_SCALAR_INT64,
};

/* The data as 32-bit elements: itself where the file has it so, else `copy`, which the caller frees. */
static qn_status as_words(const qn_translator *t, const qn_vk_tensor *tensor, qn_bytes bytes, const void **words,
                          void **copy)
{
    qn_scalar scalar = scalars[tensor->dtype];
    *copy = NULL;
    *words = bytes.data;
    if (qn_scalar_is_direct(scalar) && (uintptr_t)bytes.data % 4 == 0) return qn_ok();
    uint64_t n = qn_shape_count(&tensor->shape);
    QN_TRY(qn_alloc(t->allocator, (size_t)n, 4, "constant", copy));
    *words = *copy;
    if (qn_words_from(scalar, bytes.data, n, *copy).code == QN_OK) return qn_ok();
    qn_free(t->allocator, *copy);
    *copy = NULL;
    return qn_fail(QN_ERR_LIMIT, "a 64-bit constant has a number that does not fit 32 bits");
}

static qn_status plain_weight(qn_translator *t, const qn_vk_tensor *tensor, qn_bytes bytes, qn_value *value)
{
    qn_dtype dtype = QN_F32;
    QN_TRY(qn_graph_dtype(tensor->dtype, "the constant", &dtype));
    const void *words;
    void *copy;
    QN_TRY(as_words(t, tensor, bytes, &words, &copy));
    qn_weight_desc desc = {.name = "constant",
                           .kind = dtype == QN_F32 ? QN_WEIGHT_F32 : QN_WEIGHT_I32,
                           .shape = tensor->shape,
                           .data = words};
    qn_status s = share_weight(t, &desc, tensor->dtype, bytes.data, NULL, value);
    qn_free(t->allocator, copy);
    return s;
}

static qn_status make_state(qn_translator *t, const qn_vk_tensor *tensor, qn_bytes bytes, qn_value *value)
{
    qn_delegate *d = t->delegate;
    if (tensor->dtype != QN_VK_FLOAT32)
        return qn_fail(QN_ERR_UNSUPPORTED, "a state of the element type %s; only FLOAT32 is supported",
                       qn_vk_dtype_name(tensor->dtype));
    QN_TRY(qn_grow(d->allocator, &d->states, &d->state_capacity, d->n_states + 1, sizeof(qn_delegate_state), "states"));
    *value = qn_graph_state(t->g, "state", QN_F32, tensor->shape);
    ((qn_delegate_state *)d->states)[d->n_states++] = (qn_delegate_state){*value, (const char *)bytes.data};
    return qn_graph_status(t->g);
}

qn_status qn_translate_tensor(qn_translator *t, uint32_t id, qn_value *value)
{
    qn_translated *known = &t->values[id];
    *value = known->value;
    if (known->value) return qn_ok();
    const qn_vk_tensor *tensor = &t->vk->values[id].u.tensor;
    qn_bytes bytes;
    QN_TRY(qn_vk_tensor_data(t->vk, t->pte, tensor, &bytes));
    if (!bytes.data) return qn_fail(QN_ERR_FORMAT, "value %u is used before an operator gives it", id);
    if (known->written)
        QN_TRY(make_state(t, tensor, bytes, value));
    else
        QN_TRY(plain_weight(t, tensor, bytes, value));
    known->value = *value;
    return qn_ok();
}

/* ---- matrices -------------------------------------------------------------------------------- */

static qn_status constant_of(const qn_call *c, uint32_t i, const qn_vk_tensor **tensor, qn_bytes *bytes)
{
    QN_TRY(qn_arg_desc(c, i, tensor));
    qn_status s = qn_vk_tensor_data(c->t->vk, c->t->pte, *tensor, bytes);
    if (s.code != QN_OK) return qn_call_fail(c, s.code, "argument %u: %s", i, s.text);
    if (!bytes->data) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "argument %u is no constant", i);
    return qn_ok();
}

qn_status qn_arg_bytes(const qn_call *c, uint32_t i, qn_value *value)
{
    const qn_vk_tensor *tensor;
    qn_bytes bytes;
    void *words;
    QN_TRY(constant_of(c, i, &tensor, &bytes));
    uint64_t n = qn_div_up_u64(bytes.size, 4);
    if (n > UINT32_MAX) return qn_call_fail(c, QN_ERR_LIMIT, "argument %u has too many bytes", i);
    QN_TRY(qn_alloc(c->t->allocator, (size_t)n, 4, "constant", &words));
    memcpy(words, bytes.data, (size_t)bytes.size);
    qn_weight_desc desc = {.name = "weight", .kind = QN_WEIGHT_I32, .shape = qn_shape_1((uint32_t)n), .data = words};
    qn_status s = share_weight(c->t, &desc, RAW_BYTES, bytes.data, NULL, value);
    qn_free(c->t->allocator, words);
    return s.code == QN_OK ? s : qn_call_fail(c, s.code, "argument %u: %s", i, s.text);
}

bool qn_arg_is_constant(const qn_call *c, uint32_t i)
{
    const qn_vk_value *v = qn_arg(c, i);
    return v->kind == QN_VK_TENSOR && v->u.tensor.constant_id >= 0;
}

bool qn_arg_is_float_matrix(const qn_call *c, uint32_t i)
{
    const qn_vk_tensor *t = &qn_arg(c, i)->u.tensor;
    return qn_arg_is_constant(c, i) && t->shape.rank == 2 && (t->dtype == QN_VK_FLOAT32 || t->dtype == QN_VK_FLOAT64);
}

qn_status qn_arg_state(const qn_call *c, uint32_t i, qn_value *value)
{
    const qn_vk_tensor *tensor;
    qn_bytes bytes;
    QN_TRY(constant_of(c, i, &tensor, &bytes));
    qn_status s = make_state(c->t, tensor, bytes, value);
    return s.code == QN_OK ? s : qn_call_fail(c, s.code, "argument %u: %s", i, s.text);
}

qn_status qn_arg_matrix(const qn_call *c, uint32_t i, uint32_t scales, qn_weight_desc *desc, qn_value *value)
{
    const qn_vk_tensor *tensor, *scale_tensor = NULL;
    qn_bytes bytes, scale_bytes = {0};
    void *copies[2] = {NULL, NULL};
    const void *words = NULL;
    QN_TRY(constant_of(c, i, &tensor, &bytes));
    desc->name = "weight";
    desc->data = bytes.data;
    desc->matrix = true;
    qn_status s = qn_ok();
    if (desc->kind == QN_WEIGHT_F32) {
        if (!qn_arg_is_float_matrix(c, i))
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "argument %u is no matrix of floats", i);
        s = as_words(c->t, tensor, bytes, &words, &copies[0]);
        desc->data = words;
    }
    if (s.code == QN_OK && scales) {
        s = constant_of(c, scales, &scale_tensor, &scale_bytes);
        if (s.code == QN_OK) s = as_words(c->t, scale_tensor, scale_bytes, &words, &copies[1]);
        desc->scales = words;
    }
    if (s.code == QN_OK) s = share_weight(c->t, desc, tensor->dtype, bytes.data, scale_bytes.data, value);
    qn_free(c->t->allocator, copies[0]);
    qn_free(c->t->allocator, copies[1]);
    return s.code == QN_OK ? s : qn_call_fail(c, s.code, "argument %u: %s", i, s.text);
}
