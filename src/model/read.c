/* read.c - what a GGUF file's metadata says of a model. */
#include "model/model.h"

#include "format/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void copy_text(qn_gguf_string s, char *out, size_t capacity)
{
    size_t n = s.size < capacity - 1 ? s.size : capacity - 1;
    memcpy(out, s.data, n);
    out[n] = '\0';
}

/* ---- hyper-parameters ------------------------------------------------------------------------ */

/* No file may ask for more, so that products stay within 32 bits; real models stay far below. */
enum { MAX_EMBD = 1 << 20, MAX_FF = 1 << 24, MAX_LAYERS = 1024, MAX_HEADS = 65536, MAX_HEAD_DIM = 65536 };

typedef struct reader {
    const qn_gguf *gguf;
    const char *architecture;
} reader;

static const qn_gguf_kv *find(const reader *r, const char *key)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->architecture, key);
    return qn_gguf_find(r->gguf, full);
}

/* An integer of 1..max; absent: the fallback (0: required). */
static qn_status read_u32(const reader *r, const char *key, uint32_t fallback, uint32_t max, uint32_t *out)
{
    const qn_gguf_kv *kv = find(r, key);
    *out = fallback;
    if (!kv && fallback) return qn_ok();
    if (!kv) return qn_fail(QN_ERR_FORMAT, "metadata %s.%s is missing", r->architecture, key);
    uint64_t value;
    if (!qn_gguf_u64(kv, &value))
        return qn_fail(QN_ERR_UNSUPPORTED, "metadata %s.%s is not one non-negative integer", r->architecture, key);
    if (value == 0 || value > max)
        return qn_fail(QN_ERR_FORMAT, "metadata %s.%s is %llu, not within 1..%u", r->architecture, key,
                       (unsigned long long)value, max);
    *out = (uint32_t)value;
    return qn_ok();
}

static qn_status read_positive(const reader *r, const char *key, double fallback, double *out)
{
    const qn_gguf_kv *kv = find(r, key);
    *out = fallback;
    if (!kv) return qn_ok();
    if (!qn_gguf_f64(kv, out) || !(*out > 0) || !isfinite(*out))
        return qn_fail(QN_ERR_FORMAT, "metadata %s.%s is not a positive number", r->architecture, key);
    return qn_ok();
}

/* As llama.cpp reads it: a factor without a type is linear scaling, and so is scale_linear of old files. */
static qn_status read_rope_scaling(const reader *r, qn_hparams *h)
{
    h->rope_scale = 1.0;
    qn_gguf_string type;
    char text[32] = "linear";
    if (qn_gguf_str(find(r, "rope.scaling.type"), &type)) copy_text(type, text, sizeof text);
    if (strcmp(text, "none") == 0 || strcmp(text, "llama3") == 0) return qn_ok(); /* llama3: in rope_freqs.weight */
    if (strcmp(text, "linear") == 0) {
        QN_TRY(read_positive(r, "rope.scale_linear", 1.0, &h->rope_scale));
        return read_positive(r, "rope.scaling.factor", h->rope_scale, &h->rope_scale);
    }
    return qn_fail(QN_ERR_UNSUPPORTED, "RoPE scaling \"%s\" is not supported (none, linear and llama3 are)", text);
}

static qn_status check_heads(const reader *r, qn_hparams *h)
{
    if ((uint64_t)h->n_heads * h->head_dim > MAX_EMBD)
        return qn_fail(QN_ERR_FORMAT, "%u heads of %u elements are too many (the limit is %d elements)", h->n_heads,
                       h->head_dim, MAX_EMBD);
    if (h->n_heads % h->n_kv_heads)
        return qn_fail(QN_ERR_FORMAT, "%u query heads are not a multiple of %u key/value heads", h->n_heads,
                       h->n_kv_heads);
    uint32_t value_dim, rope_dim;
    QN_TRY(read_u32(r, "attention.value_length", h->head_dim, MAX_HEAD_DIM, &value_dim));
    QN_TRY(read_u32(r, "rope.dimension_count", h->head_dim, MAX_HEAD_DIM, &rope_dim));
    if (value_dim != h->head_dim)
        return qn_fail(QN_ERR_UNSUPPORTED, "keys of %u and values of %u elements a head differ", h->head_dim,
                       value_dim);
    if (rope_dim != h->head_dim)
        return qn_fail(QN_ERR_UNSUPPORTED, "RoPE over %u of %u elements a head is not supported", rope_dim,
                       h->head_dim);
    if (h->head_dim % 4) return qn_fail(QN_ERR_UNSUPPORTED, "head_dim %u is not a multiple of 4", h->head_dim);
    return qn_ok();
}

static qn_status read_hparams(const qn_gguf *gguf, const char *architecture, qn_hparams *h)
{
    reader r = {gguf, architecture};
    const qn_gguf_tensor *embd = qn_gguf_find_tensor(gguf, "token_embd.weight");
    if (!embd || embd->n_dims != 2 || embd->dims[1] > INT32_MAX)
        return qn_fail(QN_ERR_FORMAT, "tensor token_embd.weight is missing or not a matrix");
    h->n_vocab = (uint32_t)embd->dims[1];
    QN_TRY(read_u32(&r, "context_length", 0, INT32_MAX, &h->n_ctx_train));
    QN_TRY(read_u32(&r, "embedding_length", 0, MAX_EMBD, &h->n_embd));
    QN_TRY(read_u32(&r, "block_count", 0, MAX_LAYERS, &h->n_layers));
    QN_TRY(read_u32(&r, "attention.head_count", 0, MAX_HEADS, &h->n_heads));
    QN_TRY(read_u32(&r, "attention.head_count_kv", h->n_heads, MAX_HEADS, &h->n_kv_heads));
    QN_TRY(read_u32(&r, "feed_forward_length", 0, MAX_FF, &h->n_ff));
    uint32_t head_dim = h->n_embd / h->n_heads;
    if (!find(&r, "attention.key_length") && (head_dim == 0 || h->n_embd % h->n_heads))
        return qn_fail(QN_ERR_FORMAT, "embedding length %u is not a multiple of %u heads", h->n_embd, h->n_heads);
    QN_TRY(read_u32(&r, "attention.key_length", head_dim, MAX_HEAD_DIM, &h->head_dim));
    double eps;
    QN_TRY(read_positive(&r, "attention.layer_norm_rms_epsilon", 1e-5, &eps));
    h->rms_eps = (float)eps;
    QN_TRY(read_positive(&r, "rope.freq_base", 10000.0, &h->rope_freq_base));
    QN_TRY(read_rope_scaling(&r, h));
    QN_TRY(check_heads(&r, h));
    h->tied_output = !qn_gguf_find_tensor(gguf, "output.weight");
    return qn_ok();
}

/* ---- info ------------------------------------------------------------------------------------ */

static void fill_info(qn_model *m, const qn_gguf *gguf, uint64_t file_bytes)
{
    const qn_hparams *h = &m->hparams;
    qn_model_info *info = &m->info;
    qn_gguf_string text;
    if (qn_gguf_str(qn_gguf_find(gguf, "general.name"), &text)) copy_text(text, info->name, sizeof info->name);
    info->file_bytes = file_bytes;
    for (size_t i = 0; i < qn_gguf_n_tensors(gguf); i++) {
        const qn_gguf_tensor *t = qn_gguf_tensor_at(gguf, i);
        info->n_parameters += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]; /* the product is checked at open */
    }
    info->n_vocab = h->n_vocab;
    info->n_ctx_train = h->n_ctx_train;
    info->n_embd = h->n_embd;
    info->n_layers = h->n_layers;
    info->n_heads = h->n_heads;
    info->n_kv_heads = h->n_kv_heads;
    info->head_dim = h->head_dim;
    info->n_ff = h->n_ff;
    info->rope_freq_base = (float)h->rope_freq_base;
    info->rms_eps = h->rms_eps;
    info->tied_output = h->tied_output;
    info->kv_bytes_per_token = 2ull * h->n_layers * h->n_kv_heads * h->head_dim * sizeof(float);
    info->has_tokenizer = m->tokenizer != NULL;
    snprintf(info->tokenizer, sizeof info->tokenizer, "%.63s",
             m->tokenizer ? qn_tokenizer_description(m->tokenizer) : m->why_no_tokenizer);
    snprintf(info->chat_template, sizeof info->chat_template, "%s", qn_chat_kind_name(m->chat));
}

static void read_tokenizer(qn_model *m, const qn_gguf *gguf, bool no_tokenizer)
{
    qn_status s = no_tokenizer ? qn_fail(QN_ERR_STATE, "the model was opened without its tokenizer")
                               : qn_tokenizer_from_gguf(m->allocator, gguf, &m->tokenizer);
    if (s.code == QN_OK && m->hparams.n_vocab && qn_tokenizer_n_vocab(m->tokenizer) > m->hparams.n_vocab) {
        s = qn_fail(QN_ERR_FORMAT, "the tokenizer has %u tokens, the embedding %u rows",
                    qn_tokenizer_n_vocab(m->tokenizer), m->hparams.n_vocab);
        qn_tokenizer_close(m->tokenizer);
        m->tokenizer = NULL;
    }
    if (s.code != QN_OK) snprintf(m->why_no_tokenizer, sizeof m->why_no_tokenizer, "%s", s.text);
}

qn_status qn_model_read(const qn_allocator *a, const qn_gguf *gguf, uint64_t file_bytes, bool no_tokenizer,
                        qn_model **model, qn_status *runnable)
{
    *model = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_model), "model", &p));
    qn_model *m = p;
    m->allocator = a;
    qn_gguf_string architecture;
    if (!qn_gguf_str(qn_gguf_find(gguf, "general.architecture"), &architecture)) {
        *runnable = qn_fail(QN_ERR_FORMAT, "metadata general.architecture is missing");
    } else {
        copy_text(architecture, m->info.architecture, sizeof m->info.architecture);
        *runnable =
            strcmp(m->info.architecture, "llama") == 0
                ? qn_ok()
                : qn_fail(QN_ERR_UNSUPPORTED, "architecture \"%s\" is not supported (llama is)", m->info.architecture);
        qn_status s = read_hparams(gguf, m->info.architecture, &m->hparams);
        if (runnable->code == QN_OK) *runnable = s;
    }
    read_tokenizer(m, gguf, no_tokenizer);
    m->chat = qn_chat_detect(gguf, m->tokenizer);
    fill_info(m, gguf, file_bytes);
    *model = m;
    return qn_ok();
}
