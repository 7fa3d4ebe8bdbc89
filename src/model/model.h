/* model.h - a language model: hyper-parameters, weights on the GPU, and its forward pass as a graph. */
#ifndef QN_MODEL_MODEL_H
#define QN_MODEL_MODEL_H

#include "format/gguf.h"
#include "graph/engine.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct qn_hparams {
    uint32_t n_vocab, n_ctx_train, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
    float rms_eps;
    double rope_freq_base;
    double rope_scale; /* positions are divided by it ("linear" scaling); 1: none */
    bool tied_output;
} qn_hparams;

/* Matrices that read the same x are joined into one, so that one dispatch computes them: where they are of one type,
 * and else they stay apart and the joined one is NULL. */
typedef struct qn_layer {
    qn_weight *attn_norm;    /* [E]                                    */
    qn_weight *wqkv;         /* [(Hq + 2 Hkv) * D, E]; NULL: apart     */
    qn_weight *wq, *wk, *wv; /* [Hq*D, E], [Hkv*D, E] twice, or NULL   */
    qn_weight *wo;           /* [E, Hq*D]                              */
    qn_weight *ffn_norm;     /* [E]                                    */
    qn_weight *gate_up;      /* [2F, E]; NULL: apart                   */
    qn_weight *gate, *up;    /* [F, E], or NULL                        */
    qn_weight *down;         /* [E, F]                                 */
} qn_layer;

struct qn_model {
    const qn_allocator *allocator;
    qn_engine *engine; /* NULL in an inspection */
    qn_hparams hparams;
    qn_model_info info;
    qn_weight *token_embd;  /* [V, E]                                             */
    qn_weight *output_norm; /* [E]                                                */
    qn_weight *output;      /* [V, E]; token_embd itself when tied                */
    qn_layer *layers;
    float *freq_factors; /* [D/2], or NULL                                     */
    qn_tokenizer *tokenizer;
    char why_no_tokenizer[QN_STATUS_TEXT];
    qn_chat_kind chat;
};

/* A tensor of the file and the weight it becomes, or the rows of a joined one from row0 on. */
typedef struct qn_model_tensor {
    const qn_gguf_tensor *source;
    qn_weight *weight;
    uint32_t row0, rows; /* of a plain tensor: 0 and its elements */
} qn_model_tensor;

/* Reads what the header says into an unloaded model: hyper-parameters, tokenizer, chat template, info. Where the
 * file is not one that this version runs, *runnable says why and the info holds what could be read. */
qn_status qn_model_read(const qn_allocator *a, const qn_gguf *gguf, uint64_t file_bytes, bool no_tokenizer,
                        qn_model **model, qn_status *runnable);
/* Describes every weight for a device (no GPU memory yet) and lists the tensors to load. *tensors is freed by the
 * caller with qn_free. */
qn_status qn_model_describe(qn_model *model, const qn_gguf *gguf, const qn_device_info *device,
                            qn_model_tensor **tensors, size_t *n_tensors);

/* Values of a model's graph that a session sets and reads. */
typedef struct qn_model_io {
    qn_value tokens;   /* i32 [S]                            */
    qn_value pos;      /* integer: position of the first     */
    qn_value n_logits; /* integer: rows of logits, the last  */
    qn_value logits;   /* f32 [n_logits, V]; without where n_logits is 0 */
    /* Sampling: takes part where `sample` is 1 (n_logits must be 1), and leaves its token in tokens[0]. */
    qn_value sample;    /* integer                                      */
    qn_value penalized; /* integer: keep the tokens in the history      */
    qn_value settings;  /* i32 [QN_SAMPLE_WORDS], of the sampler        */
    qn_value history;   /* i32 [C], a state: the tokens by position     */
    qn_value n_history; /* integer: how many of them there are          */
    qn_value draw;      /* integer: number of the random choice         */
    qn_value token;     /* i32 [1]; 0 where the vocabulary is too large */
} qn_model_io;

typedef struct qn_model_sizes {
    uint32_t ctx;        /* C: positions of the KV cache      */
    uint32_t chunk;      /* most tokens of an execution       */
    uint32_t max_logits; /* most rows of logits               */
    uint32_t in_flight;  /* most executions under way         */
    qn_dtype kv_type;    /* of the KV cache: f32, f16 or q8_0 */
} qn_model_sizes;

/* The forward pass of the llama architecture. Failures are kept in the graph. */
qn_model_io qn_llama_graph(qn_graph *g, const qn_model *model, const qn_model_sizes *sizes);

#endif
