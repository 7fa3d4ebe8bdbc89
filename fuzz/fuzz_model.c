/* fuzz_model.c - libFuzzer target: reads the input as a model file, describes its weights for a device with core WebGPU
 * limits, and plans the memory of sessions, all of what happens before GPU memory is taken. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "format/quant.h"
#include "graph/graph.h"
#include "run/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static const void *input_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    const input *in = user;
    *status = qn_ok();
    *pending = false;
    if (offset > in->size || size > in->size - offset) abort();
    return in->data + offset;
}

static void check_failure(qn_status s)
{
    if (s.code != QN_OK && (s.text[0] == '\0' || s.code == QN_ERR_INTERNAL)) abort();
}

/* What loading relies on: every row lies in the file, and the parts of a weight hold all of them. */
static void check_tensors(const qn_model_tensor *tensors, size_t n, size_t file_size)
{
    for (size_t i = 0; i < n; i++) {
        const qn_gguf_tensor *t = tensors[i].source;
        const qn_weight *w = tensors[i].weight;
        uint64_t rows = w->shape.dim[0], next = 0;
        if (t->offset > file_size || t->size > file_size - t->offset || t->size % tensors[i].rows) abort();
        if (tensors[i].row0 % QN_PACK_ROWS || tensors[i].row0 + (uint64_t)tensors[i].rows > rows) abort();
        for (uint32_t k = 0; w->matrix && k < w->n_parts; k++) {
            if (w->parts[k].row0 != next || w->parts[k].row0 % QN_PACK_ROWS) abort();
            next += w->parts[k].n_rows;
        }
        if (w->matrix && next != rows) abort();
    }
}

static void plan(const qn_model *model, const qn_device_info *device, const qn_session_options *options)
{
    qn_model_sizes sizes;
    qn_graph *g = NULL;
    qn_status s = qn_session_sizes(model, device, options, &sizes);
    if (s.code == QN_OK) s = qn_session_check(model, device, &sizes);
    if (s.code == QN_OK) s = qn_graph_open_dry(model->allocator, device, &g);
    if (s.code == QN_OK) {
        qn_llama_graph(g, model, &sizes);
        s = qn_graph_build(g);
        if (s.code == QN_OK && qn_graph_memory(g).weights < model->info.weight_gpu_bytes) abort();
    }
    check_failure(s);
    qn_graph_close(g);
}

static void plan_all(const qn_model *model, const qn_device_info *device)
{
    const uint32_t longest = model->hparams.n_ctx_train;
    const qn_session_options options[] = {
        {0}, {.ctx = 1}, {.ctx = longest, .chunk = 33}, {.ctx = longest, .chunk = longest}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) plan(model, device, &options[i]);
}

static void read_model(const qn_gguf *gguf, size_t size)
{
    const qn_device_info device = qn_core_device();
    qn_model *model;
    qn_model_tensor *tensors = NULL;
    size_t n_tensors = 0;
    const qn_allocator *a = qn_allocator_or_default(NULL);
    qn_status runnable = qn_ok();
    if (qn_model_read(a, gguf, size, false, &model, &runnable).code != QN_OK) return;
    check_failure(runnable);
    if (runnable.code == QN_OK) {
        qn_status s = qn_model_describe(model, gguf, &device, &tensors, &n_tensors);
        check_failure(s);
        if (s.code == QN_OK) {
            check_tensors(tensors, n_tensors, size);
            plan_all(model, &device);
        }
    }
    qn_free(a, tensors);
    qn_model_close(model);
}

/* ---- mutation -------------------------------------------------------------------------------- */

/* The place behind a name in the input, or NULL. */
static uint8_t *behind(uint8_t *data, size_t size, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n + 8 <= size; i++)
        if (data[i] == (uint8_t)name[0] && memcmp(data + i, name, n) == 0) return data + i + n;
    return NULL;
}

/* Every second time changes up to four numbers where they mean something: values of metadata, and dimensions and types
 * of tensors. Bytes changed anywhere seldom leave a file that is still a model. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const names[] = {"llama.block_count",          "llama.context_length",
                                        "llama.embedding_length",     "llama.feed_forward_length",
                                        "llama.attention.head_count", "llama.attention.head_count_kv",
                                        "llama.attention.key_length", "llama.attention.value_length",
                                        "llama.rope.dimension_count", "llama.rope.freq_base",
                                        "token_embd.weight",          "blk.0.attn_q.weight",
                                        "blk.0.attn_k.weight",        "blk.0.attn_v.weight",
                                        "blk.0.attn_output.weight",   "blk.0.ffn_down.weight",
                                        "rope_freqs.weight"};
    enum { N = sizeof names / sizeof names[0], FIRST_TENSOR = 10 };
    if (seed % 2) return LLVMFuzzerMutate(data, size, max_size);
    uint32_t random = seed / 2;
    for (unsigned i = 0; i <= seed / 2 % 4; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t which = (random >> 8) % N, shift = (random >> 16) % 32, bits = random >> 24;
        uint8_t *p = behind(data, size, names[which]);
        if (!p) continue;
        /* a power of two, and around; a small number; a tensor's rank, first dimension or type */
        uint32_t number = bits % 4 == 0 ? bits / 4 : (1u << shift) + bits % 4 - 2;
        memcpy(p + (which < FIRST_TENSOR || bits & 4 ? 4 : 0), &number, 4);
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    qn_source source = {.user = &in, .size = size, .read = input_read};
    qn_gguf *gguf;
    if (qn_gguf_open(NULL, &source, &gguf).code != QN_OK) return 0;
    read_model(gguf, size);
    qn_gguf_close(gguf);
    return 0;
}
