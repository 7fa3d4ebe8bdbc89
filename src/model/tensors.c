/* tensors.c - which tensors a llama file must hold, their shapes, and the weights they become. */
#include "model/model.h"

#include "format/quant.h"

#include <stdio.h>
#include <string.h>

typedef struct wanted {
    const char *suffix; /* behind "blk.N." */
    size_t offset;      /* of the weight in qn_layer */
    bool matrix;
    uint32_t n, k; /* [N, K]; plain tensors: [K] */
} wanted;

/* Neighbours in the table of a layer's tensors that become one weight where they can. */
typedef struct joined {
    const char *suffix;
    size_t offset;
    uint32_t first, n; /* in the table */
} joined;

typedef struct describer {
    qn_model *model;
    const qn_gguf *gguf;
    const qn_device_info *device;
    qn_model_tensor *tensors;
    size_t n, capacity;
} describer;

static qn_status check_tensor(const qn_gguf_tensor *t, const char *name, bool matrix, uint32_t n, uint32_t k)
{
    if (!t) return qn_fail(QN_ERR_FORMAT, "tensor %s is missing", name);
    const qn_quant_type *type = qn_quant_find(t->type);
    if (!type) return qn_fail(QN_ERR_UNSUPPORTED, "tensor %s: type %u is not known", name, t->type);
    if (!type->supported) return qn_fail(QN_ERR_UNSUPPORTED, "tensor %s: type %s is not supported", name, type->name);
    bool fits = t->dims[0] == k && t->dims[1] == (matrix ? n : 1) && t->dims[2] == 1 && t->dims[3] == 1;
    if (!fits)
        return qn_fail(QN_ERR_FORMAT, "tensor %s has shape [%llu,%llu,%llu,%llu], expected [%u,%u]", name,
                       (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], (unsigned long long)t->dims[2],
                       (unsigned long long)t->dims[3], k, matrix ? n : 1);
    if (!matrix && t->type != QN_GGML_F32 && t->type != QN_GGML_F16 && t->type != QN_GGML_BF16)
        return qn_fail(QN_ERR_UNSUPPORTED, "tensor %s: a vector of type %s is not supported", name, type->name);
    return qn_ok();
}

static qn_status find(const describer *d, const char *name, const wanted *w, const qn_gguf_tensor **t)
{
    *t = qn_gguf_find_tensor(d->gguf, name);
    return check_tensor(*t, name, w->matrix, w->n, w->k);
}

static qn_status add(describer *d, const qn_gguf_tensor *t, qn_weight *weight, uint32_t row0, uint32_t rows)
{
    if (d->n >= d->capacity) return qn_fail(QN_ERR_INTERNAL, "more tensors than counted");
    d->tensors[d->n++] = (qn_model_tensor){t, weight, row0, rows};
    return qn_ok();
}

static qn_status take(describer *d, const char *name, const wanted *w, qn_weight **weight)
{
    const qn_gguf_tensor *t;
    QN_TRY(find(d, name, w, &t));
    qn_shape shape = w->matrix ? qn_shape_2(w->n, w->k) : qn_shape_1(w->k);
    const qn_pack_format *format = &qn_quant_find(t->type)->format;
    QN_TRY(qn_weight_describe(d->model->allocator, d->device, name, w->matrix, shape, format, weight));
    return add(d, t, *weight, 0, shape.dim[0]);
}

/* ---- layers ---------------------------------------------------------------------------------- */

enum { MAX_NAME = 64 };

static void layer_name(char name[MAX_NAME], uint32_t layer, const char *suffix)
{
    snprintf(name, MAX_NAME, "blk.%u.%s.weight", layer, suffix);
}

static qn_weight **layer_slot(const describer *d, uint32_t layer, size_t offset)
{
    return (qn_weight **)(void *)((char *)&d->model->layers[layer] + offset);
}

static bool same_format(const qn_gguf_tensor *a, const qn_gguf_tensor *b)
{
    const qn_pack_format *f = &qn_quant_find(a->type)->format, *g = &qn_quant_find(b->type)->format;
    return f->storage == g->storage && f->group == g->group && f->scale_f16 == g->scale_f16;
}

/* Makes the joined weight of `parts`, or leaves *done false where they do not fit together: another type, or rows that
 * end within a block of the packed layout. */
static qn_status take_joined(describer *d, uint32_t layer, const joined *j, const wanted *parts, bool *done)
{
    const qn_gguf_tensor *t[3] = {NULL};
    uint32_t rows = 0;
    char name[MAX_NAME];
    *done = false;
    for (uint32_t i = 0; i < j->n; i++) {
        layer_name(name, layer, parts[i].suffix);
        QN_TRY(find(d, name, &parts[i], &t[i]));
        if (!same_format(t[i], t[0]) || rows % QN_PACK_ROWS != 0 || parts[i].n > INT32_MAX - rows) return qn_ok();
        rows += parts[i].n;
    }
    qn_weight **slot = layer_slot(d, layer, j->offset);
    layer_name(name, layer, j->suffix);
    QN_TRY(qn_weight_describe(d->model->allocator, d->device, name, true, qn_shape_2(rows, parts[0].k),
                              &qn_quant_find(t[0]->type)->format, slot));
    for (uint32_t i = 0, row0 = 0; i < j->n; row0 += parts[i++].n) QN_TRY(add(d, t[i], *slot, row0, parts[i].n));
    *done = true;
    return qn_ok();
}

static qn_status take_layer(describer *d, uint32_t layer)
{
    const qn_hparams *h = &d->model->hparams;
    uint32_t e = h->n_embd, f = h->n_ff, q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    const wanted table[] = {
        {"attn_norm", offsetof(qn_layer, attn_norm), false, 0, e},
        {"attn_q", offsetof(qn_layer, wq), true, q, e},
        {"attn_k", offsetof(qn_layer, wk), true, kv, e},
        {"attn_v", offsetof(qn_layer, wv), true, kv, e},
        {"attn_output", offsetof(qn_layer, wo), true, e, q},
        {"ffn_norm", offsetof(qn_layer, ffn_norm), false, 0, e},
        {"ffn_gate", offsetof(qn_layer, gate), true, f, e},
        {"ffn_up", offsetof(qn_layer, up), true, f, e},
        {"ffn_down", offsetof(qn_layer, down), true, e, f},
    };
    static const joined joins[] = {
        {"attn_qkv", offsetof(qn_layer, wqkv), 1, 3},
        {"ffn_gate_up", offsetof(qn_layer, gate_up), 6, 2},
    };
    for (uint32_t k = 0, j = 0; k < sizeof table / sizeof table[0]; k++) {
        if (j < sizeof joins / sizeof joins[0] && k == joins[j].first) {
            bool done;
            QN_TRY(take_joined(d, layer, &joins[j], &table[k], &done));
            if (done) k += joins[j].n;
            j++;
        }
        char name[MAX_NAME];
        layer_name(name, layer, table[k].suffix);
        QN_TRY(take(d, name, &table[k], layer_slot(d, layer, table[k].offset)));
    }
    return qn_ok();
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Every tensor of the file must have a use: an unknown one (a bias, an expert) means another forward pass. */
static qn_status check_unused(const describer *d)
{
    for (size_t i = 0; i < qn_gguf_n_tensors(d->gguf); i++) {
        const qn_gguf_tensor *t = qn_gguf_tensor_at(d->gguf, i);
        bool used = t->name.size == 17 && memcmp(t->name.data, "rope_freqs.weight", 17) == 0;
        for (size_t k = 0; k < d->n && !used; k++) used = d->tensors[k].source == t;
        if (!used)
            return qn_fail(QN_ERR_UNSUPPORTED, "tensor %.*s is not part of the llama forward pass of this version",
                           (int)(t->name.size < 80 ? t->name.size : 80), t->name.data);
    }
    return qn_ok();
}

static qn_status check_rope_freqs(const describer *d)
{
    uint32_t half = d->model->hparams.head_dim / 2;
    const qn_gguf_tensor *t = qn_gguf_find_tensor(d->gguf, "rope_freqs.weight");
    if (!t) return qn_ok();
    QN_TRY(check_tensor(t, "rope_freqs.weight", false, 0, half));
    const qn_quant_type *type = qn_quant_find(t->type);
    if (t->type == QN_GGML_F32) return qn_ok();
    return qn_fail(QN_ERR_UNSUPPORTED, "tensor rope_freqs.weight: type %s is not supported (F32 is)", type->name);
}

static qn_status describe_all(describer *d)
{
    qn_model *m = d->model;
    const qn_hparams *h = &m->hparams;
    wanted embd = {NULL, 0, true, h->n_vocab, h->n_embd}, norm = {NULL, 0, false, 0, h->n_embd};
    QN_TRY(take(d, "token_embd.weight", &embd, &m->token_embd));
    for (uint32_t i = 0; i < h->n_layers; i++) QN_TRY(take_layer(d, i));
    QN_TRY(take(d, "output_norm.weight", &norm, &m->output_norm));
    if (h->tied_output)
        m->output = m->token_embd;
    else
        QN_TRY(take(d, "output.weight", &embd, &m->output));
    QN_TRY(check_rope_freqs(d));
    return check_unused(d);
}

qn_status qn_model_describe(qn_model *model, const qn_gguf *gguf, const qn_device_info *device,
                            qn_model_tensor **tensors, size_t *n_tensors)
{
    *tensors = NULL;
    *n_tensors = 0;
    /* A hostile count of layers fails here, before anything is allocated for them. */
    size_t needed = (size_t)model->hparams.n_layers * 9 + 2;
    if (needed > qn_gguf_n_tensors(gguf))
        return qn_fail(QN_ERR_FORMAT, "%u layers need at least %zu tensors, the file has %zu", model->hparams.n_layers,
                       needed, qn_gguf_n_tensors(gguf));
    describer d = {.model = model, .gguf = gguf, .device = device, .capacity = needed + 1};
    void *p;
    QN_TRY(qn_alloc(model->allocator, model->hparams.n_layers, sizeof(qn_layer), "layers", &p));
    model->layers = p;
    QN_TRY(qn_alloc(model->allocator, d.capacity, sizeof(qn_model_tensor), "tensor list", &p));
    d.tensors = p;
    qn_status s = describe_all(&d);
    if (s.code != QN_OK) {
        qn_free(model->allocator, d.tensors);
        return s;
    }
    model->info.weight_gpu_bytes = 0; /* each weight once */
    for (size_t i = 0; i < d.n; i++)
        if (d.tensors[i].row0 == 0) model->info.weight_gpu_bytes += qn_weight_bytes(d.tensors[i].weight);
    *tensors = d.tensors;
    *n_tensors = d.n;
    return qn_ok();
}
