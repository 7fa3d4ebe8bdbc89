/* session.c - a conversation's tokens, their keys and values on the GPU, and the steps that compute them. */
#include "run/session.h"

#include <inttypes.h>
#include <string.h>

enum {
    DEFAULT_CTX = 4096,
    SMALLEST_CTX = 256,
    CHUNK_GPU = 512,
    CHUNK_SOFTWARE = 64, /* a chunk is also the longest time between two progress reports */
    MAX_LOGITS_BYTES = 32 << 20,
    MAX_ROPE_BYTES = 1 << 30, /* the host fills the table */
};

/* Attention scores of a layer, q . k in f32: they are computed in rounds of at most 128 MiB, and more than 1,024 rounds
 * would take more dispatches than anybody waits for. */
static const uint64_t max_score_bytes = UINT64_C(1) << 37;

struct qn_session {
    const qn_allocator *allocator;
    qn_model *model;
    qn_graph *graph;
    qn_model_io io;
    qn_model_sizes sizes;
    qn_precision precision;
    int32_t *tokens;  /* [ctx] the session's content                             */
    size_t n_tokens;  /* its length                                              */
    size_t n_done;    /* tokens whose keys and values are in the cache           */
    size_t in_flight; /* tokens of the submitted chunk; 0: none                  */
    qn_logits_mode mode;
    bool has_logits; /* of the newest step: rows first_row .. first_row + n_rows - 1 */
    size_t n_rows, first_row;
};

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
    uint32_t chunk = o->chunk ? o->chunk : device->type == QN_ADAPTER_SOFTWARE ? CHUNK_SOFTWARE : CHUNK_GPU;
    uint64_t most = device->max_buffer_bytes / (widest_row(h) * sizeof(float)); /* rows of any activation */
    uint64_t whole = device->max_binding_bytes / (qkv_row(h) * sizeof(float));
    if (whole < most) most = whole;
    if (most_scored(h, ctx) < most) most = most_scored(h, ctx);
    if (!o->chunk && chunk > most) chunk = most ? (uint32_t)most : 1;
    if (chunk > ctx) chunk = ctx;
    uint64_t rows = (uint64_t)MAX_LOGITS_BYTES / ((uint64_t)h->n_vocab * sizeof(float));
    if (rows < 1) rows = 1;
    *sizes = (qn_model_sizes){ctx, chunk, rows < chunk ? (uint32_t)rows : chunk};
    return qn_ok();
}

qn_status qn_session_check(const qn_model *model, const qn_device_info *device, const qn_model_sizes *sizes)
{
    const qn_hparams *h = &model->hparams;
    uint64_t buffer = device->max_buffer_bytes, binding = device->max_binding_bytes;
    const struct {
        const char *what;
        uint64_t bytes, most; /* no product passes 2^57: read.c bounds the factors */
    } tensors[] = {
        {"keys of a layer", (uint64_t)sizes->ctx * h->n_kv_heads * h->head_dim * sizeof(float), buffer},
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
    return qn_ok();
}

qn_status qn_session_open(qn_model *model, const qn_session_options *options, qn_session **session)
{
    *session = NULL;
    void *p;
    QN_TRY(qn_alloc(model->allocator, 1, sizeof(qn_session), "session", &p));
    qn_session *s = p;
    s->allocator = model->allocator;
    s->model = model;
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
    if (s->in_flight) return qn_fail(QN_ERR_STATE, "a step is under way: step until it is done");
    if (n_tokens > s->sizes.ctx)
        return qn_fail(QN_ERR_CONTEXT, "%zu tokens do not fit the context of %u", n_tokens, s->sizes.ctx);
    for (size_t i = 0; i < n_tokens; i++) QN_TRY(check_token(s, tokens[i], i));
    size_t kept = 0;
    while (kept < s->n_done && kept < n_tokens && s->tokens[kept] == tokens[kept]) kept++;
    if (kept == n_tokens && kept > 0) kept--; /* its logits are wanted */
    if (n_tokens > kept) memmove(s->tokens + kept, tokens + kept, (n_tokens - kept) * sizeof tokens[0]);
    s->n_tokens = n_tokens;
    s->n_done = kept;
    s->mode = mode;
    s->has_logits = false;
    if (n_reused) *n_reused = kept;
    return qn_ok();
}

qn_status qn_session_append(qn_session *session, int32_t token)
{
    qn_session *s = session;
    if (s->in_flight) return qn_fail(QN_ERR_STATE, "a step is under way: step until it is done");
    QN_TRY(check_token(s, token, s->n_tokens));
    if (s->n_tokens >= s->sizes.ctx)
        return qn_fail(QN_ERR_CONTEXT, "the context of %u positions is full", s->sizes.ctx);
    s->tokens[s->n_tokens++] = token;
    return qn_ok();
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Encodes the step of the next token while the GPU works on this chunk: all of it is known but the token. A failure
 * comes back when the step is made. */
static void prepare_next(qn_session *s, size_t n)
{
    size_t pos = s->n_done + n;
    if (s->mode == QN_LOGITS_ALL || pos < s->n_tokens || pos >= s->sizes.ctx) return;
    /* After a single token the input has its shape already, and only that counts yet. */
    bool shaped =
        n == 1 || qn_graph_set_input(s->graph, s->io.tokens, qn_shape_1(1), s->tokens + pos - 1).code == QN_OK;
    bool set = shaped && qn_graph_set_int(s->graph, s->io.pos, (int64_t)pos).code == QN_OK &&
               qn_graph_set_int(s->graph, s->io.n_logits, 1).code == QN_OK;
    if (set) (void)qn_graph_prepare(s->graph);
}

/* Logits are read back from every chunk, if only one row: their arrival says that the chunk is done. */
static qn_status submit_chunk(qn_session *s)
{
    bool all = s->mode == QN_LOGITS_ALL;
    size_t left = s->n_tokens - s->n_done, most = all ? s->sizes.max_logits : s->sizes.chunk;
    size_t n = left < most ? left : most;
    s->has_logits = false;
    QN_TRY(qn_graph_set_input(s->graph, s->io.tokens, qn_shape_1((uint32_t)n), s->tokens + s->n_done));
    QN_TRY(qn_graph_set_int(s->graph, s->io.pos, (int64_t)s->n_done));
    QN_TRY(qn_graph_set_int(s->graph, s->io.n_logits, all ? (int64_t)n : 1));
    QN_TRY(qn_graph_submit(s->graph));
    s->in_flight = n;
    prepare_next(s, n);
    return qn_ok();
}

static void finish_chunk(qn_session *s)
{
    size_t n = s->in_flight;
    bool all = s->mode == QN_LOGITS_ALL;
    s->n_done += n;
    s->in_flight = 0;
    s->has_logits = all || s->n_done == s->n_tokens;
    s->n_rows = all ? n : 1;
    s->first_row = s->n_done - s->n_rows;
}

qn_status qn_session_step(qn_session *session, qn_step_state *state)
{
    qn_session *s = session;
    *state = QN_STEP_PENDING;
    if (s->in_flight == 0) {
        if (s->n_done < s->n_tokens) return submit_chunk(s);
        if (!s->has_logits) return qn_fail(QN_ERR_STATE, "the session has no tokens to compute");
        *state = QN_STEP_READY;
        return qn_ok();
    }
    bool done;
    qn_status status = qn_graph_poll(s->graph, &done);
    if (status.code != QN_OK) s->in_flight = 0; /* the chunk is not in the cache: it will be computed again */
    if (status.code != QN_OK || !done) return status;
    finish_chunk(s);
    *state = s->n_done == s->n_tokens ? QN_STEP_READY : QN_STEP_CHUNK;
    return qn_ok();
}

const float *qn_session_logits(const qn_session *session, size_t *n_rows, size_t *first_row)
{
    /* They lie in memory of the device, and go with it. */
    bool there = session->has_logits && qn_gpu_poll(session->model->engine->gpu, false).code == QN_OK;
    if (n_rows) *n_rows = there ? session->n_rows : 0;
    if (first_row) *first_row = session->first_row;
    return there ? qn_graph_output_data(session->graph, session->io.logits, NULL) : NULL;
}

#ifndef QN_NO_BLOCKING
qn_status qn_session_wait(qn_session *session, qn_step_state *state)
{
    for (;;) {
        QN_TRY(qn_session_step(session, state));
        if (*state != QN_STEP_PENDING) return qn_ok();
        QN_TRY(qn_gpu_poll(session->model->engine->gpu, true));
    }
}
#endif
