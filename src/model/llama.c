/* llama.c - the llama architecture (Llama 2 and 3.x): forward pass.
 *
 * S live tokens, C positions of context, E embedding, Hq query heads, Hkv key/value heads of D, F feed-forward,
 * V vocabulary. One graph serves prompt (S many) and decode (S = 1). */
#include "model/model.h"

#include <stdio.h>

/* What the layers share. */
typedef struct pass {
    qn_graph *g;
    const qn_hparams *h;
    const qn_model_sizes *sizes;
    qn_value pos;  /* integer */
    qn_value rope; /* [C, D/2, 2] cosine, sine */
} pass;

static qn_value weight(const pass *f, qn_weight *w)
{
    return qn_graph_weight(f->g, w);
}

static qn_value cache(const pass *f, const char *name, uint32_t layer)
{
    char text[32];
    snprintf(text, sizeof text, "%s.%u", name, layer);
    return qn_graph_state(f->g, text, f->sizes->kv_type,
                          qn_shape_4(1, f->sizes->ctx, f->h->n_kv_heads, f->h->head_dim));
}

static qn_value linear(const pass *f, qn_value x, qn_weight *w)
{
    return qn_linear(f->g, x, weight(f, w), 0);
}

/* residual + x . w^T */
static qn_value add_linear(const pass *f, qn_value residual, qn_value x, qn_weight *w)
{
    return qn_linear_with(f->g, &(qn_linear_options){.x = x, .w = weight(f, w), .residual = residual});
}

static qn_value norm_linear(const pass *f, qn_value x, qn_weight *norm, qn_weight *w, bool gated)
{
    return qn_linear_with(
        f->g,
        &(qn_linear_options){.x = x, .w = weight(f, w), .norm = weight(f, norm), .eps = f->h->rms_eps, .gated = gated});
}

/* Attention of x [S, E] with q, k and v of one projection: [1, S, Hq, D]. */
static qn_value attend_joined(const pass *f, const qn_layer *l, qn_value x, qn_value k_cache, qn_value v_cache)
{
    qn_value qkv = norm_linear(f, x, l->attn_norm, l->wqkv, false); /* [S, (Hq + 2 Hkv) * D] */
    return qn_rope_attend(f->g, &(qn_rope_attend_options){.append = {.qkv = qkv,
                                                                     .table = f->rope,
                                                                     .k_cache = k_cache,
                                                                     .v_cache = v_cache,
                                                                     .pos = f->pos,
                                                                     .mode = QN_ROPE_INTERLEAVED}});
}

/* The same where they are apart. */
static qn_value attend_apart(const pass *f, const qn_layer *l, qn_value x, qn_value k_cache, qn_value v_cache)
{
    qn_graph *g = f->g;
    const qn_hparams *h = f->h;
    qn_shape q_heads = qn_shape_4(1, 0, h->n_heads, h->head_dim); /* 0: the live S */
    qn_shape kv_heads = qn_shape_4(1, 0, h->n_kv_heads, h->head_dim);
    qn_value y = qn_rms_norm(g, x, weight(f, l->attn_norm), h->rms_eps);
    qn_value q = qn_view(g, linear(f, y, l->wq), q_heads);  /* [1, S, Hq, D]  */
    qn_value k = qn_view(g, linear(f, y, l->wk), kv_heads); /* [1, S, Hkv, D] */
    qn_value v = qn_view(g, linear(f, y, l->wv), kv_heads); /* [1, S, Hkv, D] */
    q = qn_rope(g, q, f->rope, f->pos, QN_ROPE_INTERLEAVED);
    k = qn_rope(g, k, f->rope, f->pos, QN_ROPE_INTERLEAVED);
    return qn_sdpa_with_kv_cache(g, q, k, v, k_cache, v_cache, f->pos, NULL);
}

/* x [S, E] -> x + attention, [S, E] */
static qn_value attention(const pass *f, const qn_layer *l, uint32_t i, qn_value x)
{
    qn_value k_cache = cache(f, "k_cache", i), v_cache = cache(f, "v_cache", i); /* [1, C, Hkv, D] */
    qn_value o = l->wqkv ? attend_joined(f, l, x, k_cache, v_cache) : attend_apart(f, l, x, k_cache, v_cache);
    o = qn_view(f->g, o, qn_shape_2(0, f->h->n_heads * f->h->head_dim)); /* [S, Hq * D] */
    return add_linear(f, x, o, l->wo);
}

/* x [S, E] -> x + feed-forward, [S, E] */
static qn_value feed_forward(const pass *f, const qn_layer *l, qn_value x)
{
    qn_value hidden; /* [S, F] */
    if (l->gate_up) {
        hidden = norm_linear(f, x, l->ffn_norm, l->gate_up, true);
    } else {
        qn_value y = qn_rms_norm(f->g, x, weight(f, l->ffn_norm), f->h->rms_eps);
        hidden = qn_silu_mul(f->g, linear(f, y, l->gate), linear(f, y, l->up));
    }
    return add_linear(f, x, hidden, l->down);
}

/* The next token from the last row of logits, put where the next execution reads it. */
static void sample(qn_graph *g, qn_model_io *io, uint32_t vocab)
{
    if (vocab > QN_SAMPLE_MAX_VOCAB) return; /* the host samples */
    qn_graph_begin_when(g, io->sample);
    qn_graph_begin_when(g, io->penalized);
    qn_append_tokens(g, io->tokens, io->history, io->pos);
    qn_graph_end_when(g);
    qn_sample_inputs in = {io->logits, io->history, io->n_history, io->settings, io->draw};
    io->token = qn_sample(g, &in); /* [1] */
    qn_graph_output(g, io->token, "token");
    qn_feed_token(g, io->token, io->tokens);
    qn_graph_end_when(g);
}

qn_model_io qn_llama_graph(qn_graph *g, const qn_model *model, const qn_model_sizes *sizes)
{
    const qn_hparams *h = &model->hparams;
    qn_graph_set_in_flight(g, sizes->in_flight);
    qn_model_io io = {
        .tokens = qn_graph_input(g, "tokens", QN_I32, qn_shape_1(sizes->chunk)), /* [S] */
        .pos = qn_graph_int(g, "pos", sizes->ctx - 1),
        .n_logits = qn_graph_int(g, "n_logits", sizes->max_logits),
        .sample = qn_graph_int(g, "sample", 1),
        .penalized = qn_graph_int(g, "penalized", 1),
        .settings = qn_graph_input(g, "settings", QN_I32, qn_shape_1(QN_SAMPLE_WORDS)),
        .history = qn_graph_state(g, "history", QN_I32, qn_shape_1(sizes->ctx)),
        .n_history = qn_graph_int(g, "n_history", sizes->ctx),
        .draw = qn_graph_int(g, "draw", INT32_MAX),
    };
    qn_rope_table_options rope = {.head_dim = h->head_dim,
                                  .n_positions = sizes->ctx,
                                  .freq_base = h->rope_freq_base,
                                  .freq_factors = model->freq_factors};
    pass f = {.g = g, .h = h, .sizes = sizes, .pos = io.pos, .rope = qn_rope_table(g, &rope)};
    qn_value x = qn_embedding(g, weight(&f, model->token_embd), io.tokens); /* [S, E] */
    for (uint32_t i = 0; i < h->n_layers; i++) {
        x = attention(&f, &model->layers[i], i, x);
        x = feed_forward(&f, &model->layers[i], x);
    }
    qn_graph_begin_when(g, io.n_logits);
    x = qn_last_rows(g, x, io.n_logits, sizes->max_logits);                   /* [n_logits, E] */
    io.logits = norm_linear(&f, x, model->output_norm, model->output, false); /* [n_logits, V] */
    qn_graph_output(g, io.logits, "logits");
    sample(g, &io, h->n_vocab);
    qn_graph_end_when(g);
    return io;
}
