/* load.c - opening models: header, description, then weights in chunks through bounded staging memory. */
#include "base/file.h"
#include "format/quant.h"
#include "model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOT_BYTES = 8 << 20, /* of staging: also the weights that one step loads */
    SMALL_SLOT = 1 << 20, /* where memory is short, slots shrink to this before they become fewer */
    N_SLOTS = 4,
    SLOT_SPARE = 1024, /* for the alignment of the sections in a slot */
};

struct qn_loader {
    const qn_allocator *allocator;
    qn_engine *engine;
    qn_source source;
    qn_model_options options;
    qn_gguf_reader *reader;
    qn_gguf *gguf;
    qn_model *model;
    qn_model_tensor *tensors;
    size_t n_tensors, at; /* tensor being loaded        */
    uint64_t row;         /* its next row (or element)  */
    uint64_t done, total; /* bytes of the file          */
    qn_upload *upload;
    bool finished;      /* the model was handed out                     */
    bool source_failed; /* in this step: may succeed when tried again   */
    qn_status failed;   /* the first failure of another kind: final     */
};

/* ---- model ----------------------------------------------------------------------------------- */

void qn_model_close(qn_model *model)
{
    qn_model *m = model;
    if (!m) return;
    if (m->output != m->token_embd) qn_weight_free(m->output);
    qn_weight_free(m->token_embd);
    qn_weight_free(m->output_norm);
    for (uint32_t i = 0; m->layers && i < m->hparams.n_layers; i++) {
        const qn_layer *l = &m->layers[i];
        qn_weight *const weights[] = {l->attn_norm, l->wqkv,    l->wq,   l->wk, l->wv,  l->wo,
                                      l->ffn_norm,  l->gate_up, l->gate, l->up, l->down};
        for (size_t k = 0; k < sizeof weights / sizeof weights[0]; k++) qn_weight_free(weights[k]);
    }
    qn_free(m->allocator, m->layers);
    qn_free(m->allocator, m->freq_factors);
    qn_tokenizer_close(m->tokenizer);
    qn_free(m->allocator, m);
}

const qn_model_info *qn_model_get_info(const qn_model *model)
{
    return &model->info;
}

const qn_tokenizer *qn_model_tokenizer(const qn_model *model, const char **why)
{
    if (why) *why = model->tokenizer ? NULL : model->why_no_tokenizer;
    return model->tokenizer;
}

qn_status qn_chat_encode(const qn_model *model, const qn_chat_message *messages, size_t n_messages,
                         bool add_generation_prompt, int32_t *tokens, size_t capacity, size_t *n_tokens)
{
    if (!model->tokenizer) return qn_fail(QN_ERR_UNSUPPORTED, "%s", model->why_no_tokenizer);
    return qn_chat_render(model->chat, model->tokenizer, messages, n_messages, add_generation_prompt, tokens, capacity,
                          n_tokens);
}

/* ---- loader ---------------------------------------------------------------------------------- */

qn_status qn_loader_open(qn_engine *engine, const qn_source *source, const qn_model_options *options,
                         qn_loader **loader)
{
    *loader = NULL;
    void *p;
    QN_TRY(qn_alloc(engine->allocator, 1, sizeof(qn_loader), "loader", &p));
    qn_loader *l = p;
    l->allocator = engine->allocator;
    l->engine = engine;
    l->source = *source;
    l->failed = qn_ok();
    if (options) l->options = *options;
    qn_status s = qn_gguf_reader_open(l->allocator, &l->source, &l->reader);
    if (s.code != QN_OK) {
        qn_loader_close(l);
        return s;
    }
    *loader = l;
    return qn_ok();
}

void qn_loader_close(qn_loader *loader)
{
    if (!loader) return;
    qn_upload_free(loader->upload);
    qn_model_close(loader->model);
    qn_gguf_close(loader->gguf);
    qn_gguf_reader_close(loader->reader);
    qn_free(loader->allocator, loader->tensors);
    qn_free(loader->allocator, loader);
}

/* size bytes of the file, or NULL: then *pending or *s says why. */
static const void *read_source(qn_loader *l, uint64_t offset, uint64_t size, bool *pending, qn_status *s)
{
    *s = qn_ok();
    const void *data = l->source.read(l->source.user, offset, (size_t)size, pending, s);
    l->source_failed = s->code != QN_OK;
    if (!data && s->code == QN_OK) *pending = true;
    return s->code == QN_OK ? data : NULL;
}

/* Factors by which RoPE's frequencies are divided: rope_freqs.weight, times the linear scale. */
static qn_status read_freq_factors(qn_loader *l, bool *pending)
{
    qn_model *m = l->model;
    uint32_t half = m->hparams.head_dim / 2;
    const qn_gguf_tensor *t = qn_gguf_find_tensor(l->gguf, "rope_freqs.weight");
    if ((!t && m->hparams.rope_scale == 1.0) || m->freq_factors) return qn_ok();
    const uint8_t *factors = NULL; /* at any address */
    qn_status s = qn_ok();
    if (t && !(factors = read_source(l, t->offset, half * sizeof(float), pending, &s))) return s;
    void *p;
    QN_TRY(qn_alloc(m->allocator, half, sizeof(float), "rope factors", &p));
    m->freq_factors = p;
    for (uint32_t i = 0; i < half; i++) {
        float factor = 1.0f;
        if (factors) memcpy(&factor, factors + i * sizeof factor, sizeof factor);
        m->freq_factors[i] = (float)((double)factor * m->hparams.rope_scale);
        if (!(m->freq_factors[i] > 0) || !isfinite(m->freq_factors[i]))
            return qn_fail(QN_ERR_FORMAT, "tensor rope_freqs.weight: element %u is %g, not a usable factor", i,
                           (double)factor);
    }
    return qn_ok();
}

static qn_status check_memory(const qn_loader *l)
{
    uint64_t limit = qn_gpu_memory_limit(l->engine->gpu), held = qn_gpu_bytes(l->engine->gpu, NULL);
    uint64_t need = l->model->info.weight_gpu_bytes;
    if (!limit || (held <= limit && need <= limit - held)) return qn_ok();
    qn_gpu_refuse(l->engine->gpu, need);
    return qn_fail(QN_ERR_GPU_MEMORY,
                   "the weights need %" PRIu64 " bytes of GPU memory, but %" PRIu64 " of the allowed %" PRIu64
                   " are in use (--gpu-memory)",
                   need, held, limit);
}

/* Staging: slots of up to SLOT_BYTES, no larger than the largest tensor, and smaller and fewer where gpu_memory leaves
 * little room beside the weights. A row block of every matrix fits a slot. */
static qn_status make_staging(qn_loader *l)
{
    uint64_t largest = 0, block = SLOT_SPARE;
    for (size_t i = 0; i < l->n_tensors; i++) {
        const qn_weight *w = l->tensors[i].weight;
        if (qn_weight_bytes(w) > largest) largest = qn_weight_bytes(w);
        if (!w->matrix) continue;
        if (qn_weight_chunk_least(w) > block) block = qn_weight_chunk_least(w);
    }
    uint64_t slot = largest + SLOT_SPARE < SLOT_BYTES ? largest + SLOT_SPARE : SLOT_BYTES;
    uint64_t most = qn_gpu_info(l->engine->gpu)->max_buffer_bytes;
    if (slot > most) slot = most;
    uint64_t limit = qn_gpu_memory_limit(l->engine->gpu), held = qn_gpu_bytes(l->engine->gpu, NULL);
    uint64_t room = limit ? limit - held : UINT64_MAX;
    uint32_t n_slots = N_SLOTS;
    while (slot > SMALL_SLOT && slot * n_slots > room) slot /= 2;
    while (n_slots > 1 && slot * n_slots > room) n_slots--;
    if (slot > room) slot = room / 256 * 256;
    return qn_upload_create(l->engine->gpu, slot > block ? slot : block, n_slots, &l->upload);
}

static int by_offset(const void *a, const void *b)
{
    const qn_model_tensor *x = a, *y = b;
    return x->source->offset < y->source->offset ? -1 : x->source->offset > y->source->offset;
}

static qn_status prepare(qn_loader *l)
{
    qn_gpu *gpu = l->engine->gpu;
    qn_status runnable;
    QN_TRY(qn_model_read(l->allocator, l->gguf, l->source.size, l->options.no_tokenizer, &l->model, &runnable));
    QN_TRY(runnable);
    l->model->engine = l->engine;
    QN_TRY(qn_model_describe(l->model, l->gguf, qn_gpu_info(gpu), &l->tensors, &l->n_tensors));
    QN_TRY(check_memory(l));
    for (size_t i = 0; i < l->n_tensors; i++) {
        l->total += l->tensors[i].source->size;
        if (l->tensors[i].row0 == 0) QN_TRY(qn_weight_allocate(l->tensors[i].weight, gpu));
    }
    /* In the file's order: disks and servers like it, and a download can be read while it comes. */
    if (l->n_tensors) qsort(l->tensors, l->n_tensors, sizeof l->tensors[0], by_offset);
    return make_staging(l);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The next rows of a matrix that lie in one part and fit a slot. */
static qn_status load_rows(qn_loader *l, const qn_model_tensor *t, void *slot, bool *pending)
{
    const qn_weight *w = t->weight;
    const qn_quant_type *type = qn_quant_find(t->source->type);
    uint32_t rows = qn_weight_chunk_rows(w, t->row0 + l->row, qn_upload_slot_bytes(l->upload));
    if (rows > t->rows - l->row) rows = (uint32_t)(t->rows - l->row);
    uint64_t row_bytes = t->source->size / t->rows;
    qn_status s;
    const void *src = read_source(l, t->source->offset + l->row * row_bytes, rows * row_bytes, pending, &s);
    if (!src) return s;
    qn_pack_rows out = qn_weight_chunk_place(w, rows, slot);
    qn_quant_pack(type, src, rows, w->shape.dim[1], &out);
    QN_TRY(qn_weight_chunk_submit(w, t->row0 + l->row, rows, l->upload));
    l->row += rows;
    l->done += rows * row_bytes;
    return qn_ok();
}

/* The next elements of a plain tensor, as f32. */
static qn_status load_elements(qn_loader *l, const qn_model_tensor *t, void *slot, bool *pending)
{
    const qn_quant_type *type = qn_quant_find(t->source->type);
    uint64_t total = t->rows, fit = qn_upload_slot_bytes(l->upload) / 4;
    uint64_t n = total - l->row < fit ? total - l->row : fit;
    uint64_t size = type->block_bytes; /* of one element: plain tensors are not blocked */
    qn_status s;
    const void *src = read_source(l, t->source->offset + l->row * size, n * size, pending, &s);
    if (!src) return s;
    qn_quant_to_f32(type, src, n, slot);
    qn_upload_copy copy = {0, t->weight->parts[0].buffer, l->row * 4, n * 4};
    QN_TRY(qn_upload_submit(l->upload, &copy, 1));
    l->row += n;
    l->done += n * size;
    return qn_ok();
}

static qn_status load_chunk(qn_loader *l, bool *pending)
{
    void *slot;
    QN_TRY(qn_upload_acquire(l->upload, &slot));
    if (!slot) {
        *pending = true;
        return qn_ok();
    }
    const qn_model_tensor *t = &l->tensors[l->at];
    qn_status s = t->weight->matrix ? load_rows(l, t, slot, pending) : load_elements(l, t, slot, pending);
    QN_TRY(qn_in(s, "tensor %.*s", (int)t->source->name.size, t->source->name.data));
    if (l->row < t->rows) return qn_ok();
    l->row = 0;
    l->at++;
    return qn_ok();
}

/* One bounded piece of work; *pending when nothing could be done before the GPU or the source moves on. */
static qn_status step(qn_loader *l, qn_model **model, bool *pending)
{
    if (l->finished) return qn_fail(QN_ERR_STATE, "the model is loaded already");
    if (!l->gguf) {
        QN_TRY(qn_gguf_reader_step(l->reader, &l->gguf));
        *pending = !l->gguf;
        return qn_ok();
    }
    if (!l->model) return prepare(l);
    if (l->at < l->n_tensors) {
        if (l->at == 0 && l->row == 0) QN_TRY(read_freq_factors(l, pending));
        if (*pending) return qn_ok();
        QN_TRY(load_chunk(l, pending));
        if (!*pending && l->options.progress && !l->options.progress(l->options.progress_user, l->done, l->total))
            return qn_fail(QN_ERR_STATE, "loading was cancelled");
        return qn_ok();
    }
    *model = l->model;
    l->model = NULL;
    l->finished = true;
    return qn_ok();
}

qn_status qn_loader_step(qn_loader *loader, qn_model **model, bool *pending)
{
    qn_loader *l = loader;
    bool waits = false;
    *model = NULL;
    if (pending) *pending = false;
    QN_TRY(l->failed);
    l->source_failed = false;
    qn_status s = step(l, model, &waits);
    /* While the header is read, the reader itself knows which failures are final. */
    if (s.code != QN_OK && !l->source_failed && l->gguf) l->failed = s;
    if (pending) *pending = s.code == QN_OK && waits;
    return s;
}

#ifndef QN_NO_BLOCKING
qn_status qn_model_open(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model)
{
    *model = NULL;
    qn_file file;
    QN_TRY(qn_file_open(path, &file));
    qn_source source = qn_file_source(&file);
    qn_loader *loader = NULL;
    qn_status s = qn_loader_open(engine, &source, options, &loader);
    while (s.code == QN_OK && !*model) {
        bool pending = false;
        s = qn_loader_step(loader, model, &pending);
        if (s.code == QN_OK && pending) s = qn_gpu_poll(engine->gpu, true);
    }
    qn_loader_close(loader);
    qn_file_close(&file);
    return qn_in(s, "%s", path);
}
#endif
