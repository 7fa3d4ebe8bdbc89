/* session.c - a conversation's tokens and their keys and values on the GPU. What computes them: steps.c. */
#include "run/session.h"

#include <inttypes.h>
#include <string.h>

enum {
    DEFAULT_CTX = 4096,
    SMALLEST_CTX = 256,
    CHUNK_DISCRETE = 2048,
    CHUNK_GPU = 512,   /* of GPUs that share the host's memory */
    IN_FLIGHT_GPU = 3, /* one runs, one waits behind it, one is being encoded */
    IN_FLIGHT_SOFTWARE = 2,
    CHUNK_SOFTWARE = 64, /* a chunk is also the longest time between two progress reports */
    MAX_LOGITS_BYTES = 32 << 20,
    MAX_ROPE_BYTES = 1 << 30, /* the host fills the table */
};

/* Attention scores of a layer, q . k in f32: they are computed in rounds of at most 128 MiB, and more than 1,024 rounds
 * would take more dispatches than anybody waits for. */
static const uint64_t max_score_bytes = UINT64_C(1) << 37;

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Elements of q, k and v of one token. */
static uint64_t qkv_row(const qn_hparams *h)
{
    return ((uint64_t)h->n_heads + 2 * (uint64_t)h->n_kv_heads) * h->head_dim;
}

/* Elements of the widest activation of one token. */
static uint64_t widest_row(const qn_hparams *h)
{
    uint64_t widest = h->n_ff > h->n_embd ? h->n_ff : h->n_embd;
    return qkv_row(h) > widest ? qkv_row(h) : widest;
}

/* Tokens of a chunk whose attention scores are within the bound. */
static uint64_t most_scored(const qn_hparams *h, uint32_t ctx)
{
    return max_score_bytes / ((uint64_t)h->n_heads * ctx * sizeof(float));
}

static uint32_t default_chunk(const qn_device_info *device)
{
    if (device->type == QN_ADAPTER_SOFTWARE) return CHUNK_SOFTWARE;
    return device->type == QN_ADAPTER_DISCRETE ? CHUNK_DISCRETE : CHUNK_GPU;
}

/* Where the choice is the session's, what head_dim allows. */
static qn_status choose_kv_type(const qn_hparams *h, const qn_device_info *device, const qn_session_options *o,
                                qn_dtype *type)
{
    static const qn_dtype types[] = {[QN_KV_F32] = QN_F32, [QN_KV_F16] = QN_F16, [QN_KV_Q8_0] = QN_Q8_0};
    uint32_t chosen = (uint32_t)o->kv_type;
    if (chosen > QN_KV_Q8_0) return qn_fail(QN_ERR_ARGUMENT, "there is no KV type %u", chosen);
    bool gpu = device->type != QN_ADAPTER_SOFTWARE; /* a processor pays more for the conversion than for the memory */
    bool half = gpu && o->precision == QN_PRECISION_AUTO && h->head_dim % 8 == 0;
    *type = chosen == QN_KV_DEFAULT ? half ? QN_F16 : QN_F32 : types[chosen];
    uint32_t unit = *type == QN_Q8_0 ? 32 : *type == QN_F16 ? 8 : 1;
    if (h->head_dim % unit == 0) return qn_ok();
    return qn_fail(QN_ERR_UNSUPPORTED, "a KV cache of this type needs heads of a multiple of %u, the model's are of %u",
                   unit, h->head_dim);
}

qn_status qn_session_sizes(const qn_model *model, const qn_device_info *device, const qn_session_options *options,
                           qn_model_sizes *sizes)
{
    static const qn_session_options defaults;
    const qn_session_options *o = options ? options : &defaults;
    const qn_hparams *h = &model->hparams;
    uint32_t ctx = o->ctx ? o->ctx : h->n_ctx_train < DEFAULT_CTX ? h->n_ctx_train : DEFAULT_CTX;
    if (ctx > h->n_ctx_train)
        return qn_fail(QN_ERR_ARGUMENT, "a context of %u is longer than the %u that the model was made for", ctx,
                       h->n_ctx_train);
    uint32_t chunk = o->chunk ? o->chunk : default_chunk(device);
    uint64_t most = device->max_buffer_bytes / (widest_row(h) * sizeof(float)); /* rows of any activation */
    uint64_t whole = device->max_binding_bytes / (qkv_row(h) * sizeof(float));
    if (whole < most) most = whole;
    if (most_scored(h, ctx) < most) most = most_scored(h, ctx);
    if (!o->chunk && chunk > most) chunk = most ? (uint32_t)most : 1;
    if (chunk > ctx) chunk = ctx;
    uint64_t rows = (uint64_t)MAX_LOGITS_BYTES / ((uint64_t)h->n_vocab * sizeof(float));
    if (rows < 1) rows = 1;
    *sizes = (qn_model_sizes){
        .ctx = ctx,
        .chunk = chunk,
        .max_logits = rows < chunk ? (uint32_t)rows : chunk,
        .in_flight = device->type == QN_ADAPTER_SOFTWARE ? IN_FLIGHT_SOFTWARE : IN_FLIGHT_GPU,
    };
    return choose_kv_type(h, device, o, &sizes->kv_type);
}

qn_status qn_session_check(const qn_model *model, const qn_device_info *device, const qn_model_sizes *sizes)
{
    const qn_hparams *h = &model->hparams;
    uint64_t buffer = device->max_buffer_bytes, binding = device->max_binding_bytes;
    qn_shape keys = qn_shape_4(1, sizes->ctx, h->n_kv_heads, h->head_dim);
    const struct {
        const char *what;
        uint64_t bytes, most; /* no product passes 2^57: read.c bounds the factors */
    } tensors[] = {
        {"keys of a layer", qn_state_bytes(sizes->kv_type, &keys), buffer},
        {"the RoPE table", (uint64_t)sizes->ctx * h->head_dim * sizeof(float),
         binding < MAX_ROPE_BYTES ? binding : MAX_ROPE_BYTES},
        {"an activation", sizes->chunk * widest_row(h) * sizeof(float), buffer},
        {"q, k and v", sizes->chunk * qkv_row(h) * sizeof(float), binding},
        {"the logits", (uint64_t)sizes->max_logits * h->n_vocab * sizeof(float), buffer},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        if (tensors[i].bytes > tensors[i].most)
            return qn_fail(QN_ERR_LIMIT,
                           "%s would take %" PRIu64 " bytes for a context of %u in chunks of %u, but at most %" PRIu64
                           " fit on this device",
                           tensors[i].what, tensors[i].bytes, sizes->ctx, sizes->chunk, tensors[i].most);
    if (sizes->chunk > most_scored(h, sizes->ctx))
        return qn_fail(QN_ERR_LIMIT,
                       "chunks of %u tokens are too long for %u heads over a context of %u: take at most %" PRIu64,
                       sizes->chunk, h->n_heads, sizes->ctx, most_scored(h, sizes->ctx));
    return qn_ok();
}

bool qn_session_shrink(qn_model_sizes *sizes)
{
    if (sizes->ctx / 2 < SMALLEST_CTX) return false;
    sizes->ctx /= 2;
    if (sizes->chunk > sizes->ctx) sizes->chunk = sizes->ctx;
    if (sizes->max_logits > sizes->chunk) sizes->max_logits = sizes->chunk;
    return true;
}

/* ---- open and close -------------------------------------------------------------------------- */

static qn_status build_graph(qn_session *s)
{
    QN_TRY(qn_session_check(s->model, qn_engine_device(s->model->engine), &s->sizes));
    QN_TRY(qn_graph_open(s->model->engine, &s->graph));
    qn_graph_set_precision(s->graph, s->precision);
    s->io = qn_llama_graph(s->graph, s->model, &s->sizes);
    return qn_graph_build(s->graph);
}

/* What a graph wants to know before it runs, also where only a generation uses it. */
static qn_status prepare_graph(qn_session *s)
{
    static const int32_t no_settings[QN_SAMPLE_WORDS];
    const qn_value integers[] = {s->io.sample, s->io.penalized, s->io.n_history, s->io.draw};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++)
        QN_TRY(qn_graph_set_int(s->graph, integers[i], 0));
    return qn_graph_set_input(s->graph, s->io.settings, qn_shape_1(QN_SAMPLE_WORDS), no_settings);
}

static qn_status open_session(qn_session *s, const qn_session_options *options)
{
    QN_TRY(qn_session_sizes(s->model, qn_engine_device(s->model->engine), options, &s->sizes));
    s->precision = options ? options->precision : QN_PRECISION_EXACT;
    bool chosen = options && options->ctx;
    for (;;) {
        qn_status status = build_graph(s);
        if (status.code == QN_OK) break;
        qn_graph_close(s->graph);
        s->graph = NULL;
        bool too_large = status.code == QN_ERR_GPU_MEMORY || status.code == QN_ERR_LIMIT;
        if (chosen || !too_large || !qn_session_shrink(&s->sizes))
            return qn_in(status, "session of %u positions", s->sizes.ctx);
    }
    void *p;
    QN_TRY(qn_alloc(s->allocator, s->sizes.ctx, sizeof(int32_t), "session tokens", &p));
    s->tokens = p;
    return prepare_graph(s);
}

qn_status qn_session_open(qn_model *model, const qn_session_options *options, qn_session **session)
{
    *session = NULL;
    void *p;
    QN_TRY(qn_alloc(model->allocator, 1, sizeof(qn_session), "session", &p));
    qn_session *s = p;
    s->allocator = model->allocator;
    s->model = model;
    s->generation.token = -1;
    qn_status status = open_session(s, options);
    if (status.code != QN_OK) {
        qn_session_close(s);
        return status;
    }
    *session = s;
    return qn_ok();
}

void qn_session_close(qn_session *session)
{
    if (!session) return;
    qn_graph_close(session->graph);
    qn_free(session->allocator, session->tokens);
    qn_free(session->allocator, session);
}

uint32_t qn_session_ctx(const qn_session *session)
{
    return session->sizes.ctx;
}

uint32_t qn_session_chunk(const qn_session *session)
{
    return session->sizes.chunk;
}

const int32_t *qn_session_tokens(const qn_session *session, size_t *n_tokens)
{
    if (n_tokens) *n_tokens = session->n_done;
    return session->tokens;
}

qn_graph *qn_session_graph(qn_session *session)
{
    return session->graph;
}

/* ---- content --------------------------------------------------------------------------------- */

static qn_status check_token(const qn_session *s, int32_t token, size_t at)
{
    if (token >= 0 && (uint32_t)token < s->model->hparams.n_vocab) return qn_ok();
    return qn_fail(QN_ERR_ARGUMENT, "token %zu is %d, outside the vocabulary of %u", at, token,
                   s->model->hparams.n_vocab);
}

qn_status qn_session_set_tokens(qn_session *session, const int32_t *tokens, size_t n_tokens, qn_logits_mode mode,
                                size_t *n_reused)
{
    qn_session *s = session;
    if (qn_session_is_busy(s)) return qn_fail(QN_ERR_STATE, "a step is under way: step until it is done");
    if (n_tokens > s->sizes.ctx)
        return qn_fail(QN_ERR_CONTEXT, "%zu tokens do not fit the context of %u", n_tokens, s->sizes.ctx);
    for (size_t i = 0; i < n_tokens; i++) QN_TRY(check_token(s, tokens[i], i));
    size_t kept = 0;
    while (kept < s->n_done && kept < n_tokens && s->tokens[kept] == tokens[kept]) kept++;
    if (kept == n_tokens && kept > 0) kept--; /* its logits are wanted */
    if (n_tokens > kept) memmove(s->tokens + kept, tokens + kept, (n_tokens - kept) * sizeof tokens[0]);
    qn_session_abandon(s); /* a chunk that was sent ahead */
    s->n_tokens = n_tokens;
    s->n_done = s->n_sent = kept;
    s->mode = mode;
    s->has_logits = false;
    if (n_reused) *n_reused = kept;
    return qn_ok();
}

qn_status qn_session_append(qn_session *session, int32_t token)
{
    qn_session *s = session;
    if (qn_session_is_busy(s)) return qn_fail(QN_ERR_STATE, "a step is under way: step until it is done");
    QN_TRY(check_token(s, token, s->n_tokens));
    if (s->n_tokens >= s->sizes.ctx)
        return qn_fail(QN_ERR_CONTEXT, "the context of %u positions is full", s->sizes.ctx);
    s->tokens[s->n_tokens++] = token;
    return qn_ok();
}
