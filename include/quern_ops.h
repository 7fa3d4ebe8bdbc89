/* quern_ops.h - the operations of a graph (quern_graph.h includes this): functions that add a node.
 *
 * Shapes are row-major, the last dimension fastest; "..." stands for any number of leading dimensions. Tensors are f32
 * or, where said, i32. Shapes are live: at every execution they are computed anew from those of the inputs. */
#ifndef QUERN_OPS_H
#define QUERN_OPS_H

#include "quern_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- language models ------------------------------------------------------------------------- */

/* y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]); any weight kind; bias 0: none. */
QN_API qn_value qn_linear(qn_graph *g, qn_value x, qn_value w, qn_value bias);
/* The same with what stands before and after a projection of a language model, as one node: where a kernel can, as one
 * dispatch. */
typedef struct qn_linear_options {
    qn_value x, w, bias;
    qn_value norm;     /* plain f32 weight [K], 0: none: x is normalized first, as by qn_rms_norm with eps         */
    float eps;         /* of the norm                                                                           */
    bool gated;        /* w is [2F, K], the gate's rows before the up's: y[..., F] = silu(gate) * up             */
    qn_value residual; /* [..., N], 0: none: added to the product; not with gated                                */
} qn_linear_options;
QN_API qn_value qn_linear_with(qn_graph *g, const qn_linear_options *options);
/* y[..., M, N] = scale * a[..., M, K] . b[..., K, N]; transpose_b: b is [..., N, K]. Ranks 2 to 4, f32 inputs,
 * activations or plain weights; batch dimensions are equal or 1 (repeated), a missing one is 1. For a packed weight:
 * qn_linear. */
QN_API qn_value qn_matmul(qn_graph *g, qn_value a, qn_value b, bool transpose_b, float scale);
/* y[..., K] = w[ids[...], K]; ids i32; ids outside 0..N-1 are clamped on the GPU (check them on the host). */
QN_API qn_value qn_embedding(qn_graph *g, qn_value w, qn_value ids);
/* y[outer..., ids..., inner...] = x[outer..., id, inner...] at dimension dim (negative: from the last); x f32 or i32,
 * an activation, input or plain weight; ids i32 of any rank. Negative ids count from the live end; ids outside are
 * clamped on the GPU (check them on the host). The output has x's rank - 1 + the ids' rank, at most QN_MAX_RANK. */
QN_API qn_value qn_index_select(qn_graph *g, qn_value x, int32_t dim, qn_value ids);
/* y of the ids' shape: y[i...] = x[i..., with ids[i...] in place of i at dim]. Ranks are equal, and outside dim the ids
 * are no larger than x. Ids as above. */
QN_API qn_value qn_gather(qn_graph *g, qn_value x, int32_t dim, qn_value ids);
/* y[..., E] = x / sqrt(mean(x^2 over E) + eps) * w[E]. */
QN_API qn_value qn_rms_norm(qn_graph *g, qn_value x, qn_value w, float eps);

typedef struct qn_rope_table_options {
    uint32_t head_dim; /* D, even                                                          */
    uint32_t n_positions;
    double freq_base;          /* angle(pos, i) = pos * freq_base^(-2i/D) / freq_factors[i]        */
    const float *freq_factors; /* [D/2], or NULL for ones (GGUF's rope_freqs.weight)                */
} qn_rope_table_options;

/* Table of cosine and sine, f32 [n_positions, D/2, 2], computed in float64. */
QN_API qn_value qn_rope_table(qn_graph *g, const qn_rope_table_options *options);

typedef enum qn_rope_mode {
    QN_ROPE_INTERLEAVED = 1, /* pairs (2i, 2i+1): GGUF's llama architecture */
    QN_ROPE_HALF,            /* pairs (i, i + D/2): Hugging Face            */
} qn_rope_mode;

/* Rotates x[..., S, H, D] at positions pos..pos+S-1. pos: an integer value; pos + S past the table is refused. */
QN_API qn_value qn_rope(qn_graph *g, qn_value x, qn_value table, qn_value pos, qn_rope_mode mode);
/* The same with a table of cosines and one of sines, any f32 tensors of one shape: [P, D/2] interleaved; [P, D] in half
 * mode, where each element of a pair has its own: y[i] = x[i] * cos[i] - x[i + D/2] * sin[i] and
 * y[i + D/2] = x[i + D/2] * cos[i + D/2] + x[i] * sin[i + D/2]. Row s of x takes row pos + s; pos 0 (none): row s, and
 * the live P must be S. */
QN_API qn_value qn_rope_tables(qn_graph *g, qn_value x, qn_value cosines, qn_value sines, qn_value pos,
                               qn_rope_mode mode);

/* cache[1, C, H, D] rows pos..pos+S-1 = x[1, S, H, D]. pos + S > C is refused and nothing is written. A cache may be of
 * any type of qn_dtype but QN_I32; here and below. */
QN_API void qn_update_cache(qn_graph *g, qn_value x, qn_value cache, qn_value pos);

typedef struct qn_sdpa_options {
    float scale; /* 0: 1 / sqrt(D) */
} qn_sdpa_options;

/* o[1, S, Hq, D]: writes k, v [1, S, Hkv, D] at rows pos.. of the caches [1, C, Hkv, D] and attends causally:
 * query row i over cache rows 0..pos+i; query head h uses kv head h / (Hq/Hkv). D is a multiple of 4. */
QN_API qn_value qn_sdpa_with_kv_cache(qn_graph *g, qn_value q, qn_value k, qn_value v, qn_value k_cache,
                                      qn_value v_cache, qn_value pos, const qn_sdpa_options *options);

/* Its two halves for a model that projects q, k and v at once. First: qkv[S, (Hq + 2 Hkv) * D], a row holding the heads
 * of q, then k, then v. q and k are rotated at positions pos.. by the table (qn_rope); the rows of k and v become rows
 * pos.. of the caches [1, C, Hkv, D], both of one type. Returns q[1, S, Hq, D]. pos + S > C is refused and nothing is
 * written. */
typedef struct qn_rope_append_options {
    qn_value qkv, table, k_cache, v_cache;
    qn_value pos; /* an integer value */
    qn_rope_mode mode;
} qn_rope_append_options;
QN_API qn_value qn_rope_append(qn_graph *g, const qn_rope_append_options *options);

/* Second: o[1, S, Hq, D] of q[1, S, Hq, D] at positions pos.. over caches that hold the rows 0..pos+S-1 already, this
 * call's among them. Otherwise as qn_sdpa_with_kv_cache. */
typedef struct qn_attend_options {
    qn_value q, k_cache, v_cache;
    qn_value pos; /* an integer value */
    float scale;  /* 0: 1 / sqrt(D)   */
} qn_attend_options;
QN_API qn_value qn_attend(qn_graph *g, const qn_attend_options *options);

/* Both in one: o[1, S, Hq, D] of qkv[S, (Hq + 2 Hkv) * D]. A single row may then take one dispatch less. */
typedef struct qn_rope_attend_options {
    qn_rope_append_options append;
    float scale; /* 0: 1 / sqrt(D) */
} qn_rope_attend_options;
QN_API qn_value qn_rope_attend(qn_graph *g, const qn_rope_attend_options *options);

/* ---- picking tokens --------------------------------------------------------------------------- */

enum { QN_SAMPLE_WORDS = 11, QN_SAMPLE_MAX_VOCAB = 1 << 19 };

typedef struct qn_sample_inputs {
    qn_value logits;    /* f32 [n, V], V <= QN_SAMPLE_MAX_VOCAB: the last live row counts                         */
    qn_value history;   /* i32 [C]: the tokens by position, for the repetition penalty; 0: none              */
    qn_value n_history; /* integer: how many of them count, 0..C (the window ends there); without history: 0 */
    qn_value settings;  /* i32 input [QN_SAMPLE_WORDS]: what qn_sample_settings writes                        */
    qn_value draw;      /* integer: number of this draw, as qn_sampler counts them: from 0, greedy picks none */
} qn_sample_inputs;

/* token, i32 [1]: the one that qn_sampler_pick picks from the same logits, history, options and number of the draw. Two
 * dispatches where the settings are greedy, else three or, with top-k or top-p, four. Nothing is refused on the GPU: a
 * logit that is not a number never wins, and ids of the history outside the vocabulary are passed over. */
QN_API qn_value qn_sample(qn_graph *g, const qn_sample_inputs *inputs);
/* The settings for qn_sample; options NULL: greedy. Fails as qn_sampler_open does. */
QN_API qn_status qn_sample_settings(const qn_sampler_options *options, int32_t words[QN_SAMPLE_WORDS]);
/* history[pos..pos+S-1] = tokens[S], i32, live S; history: a state [C]. pos + S > C is refused and nothing is written.
 * Returns history. */
QN_API qn_value qn_append_tokens(qn_graph *g, qn_value tokens, qn_value history, qn_value pos);
/* tokens[0] = token[1]: writes a token into the graph's own input of i32 tokens, so that the next execution reads it
 * unless qn_graph_set_input gives another. */
QN_API void qn_feed_token(qn_graph *g, qn_value token, qn_value tokens);

/* ---- elementwise ----------------------------------------------------------------------------- */

/* Elementwise functions of f32 and i32 tensors (activations, inputs, states, plain weights). Operands broadcast as in
 * NumPy, by their live shapes: aligned at the last dimension, a size of 1 or a missing dimension repeats. Operands have
 * one type; truth values are i32, 0 or 1. Refused: shapes that do not broadcast, types that a function does not take,
 * and a tensor over the device's binding limit that would have to repeat. */
QN_API qn_value qn_add(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_mul(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_silu(qn_graph *g, qn_value x);                 /* x / (1 + exp(-x)) */
QN_API qn_value qn_silu_mul(qn_graph *g, qn_value a, qn_value b); /* silu(a) * b       */

/* By type of the operands: f32 unless noted; (both): f32 and i32. The result has their type unless noted. */
typedef enum qn_function {
    /* One operand: qn_unary. */
    QN_FN_COPY = 1, /* in memory of its own (both)                                    */
    QN_FN_TO_F32,   /* i32                                                            */
    QN_FN_TO_I32,   /* towards zero, saturating; a NaN: 0                             */
    QN_FN_TO_BOOL,  /* x != 0: i32 (both)                                             */
    QN_FN_SIGMOID,  /* 1 / (1 + exp(-x))                                              */
    QN_FN_SILU,     /* x sigmoid(x)                                                   */
    QN_FN_RELU,     /* max(x, 0) (both)                                               */
    QN_FN_TANH,
    QN_FN_EXP,
    QN_FN_LOG,
    QN_FN_SQRT,
    QN_FN_RSQRT,      /* 1 / sqrt(x)                                                     */
    QN_FN_RECIPROCAL, /* 1 / x                                                           */
    QN_FN_SIN,        /* to 1e-6 for |x| <= 8192; beyond 65536 as good as the device's   */
    QN_FN_COS,
    QN_FN_NEG,       /* (both)                                                         */
    QN_FN_ABS,       /* (both)                                                         */
    QN_FN_SIGN,      /* -1, 0 or 1 (both)                                              */
    QN_FN_SQUARE,    /* (both)                                                         */
    QN_FN_GELU,      /* x (1 + erf(x / sqrt(2))) / 2, to 1e-6                          */
    QN_FN_GELU_TANH, /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2              */
    QN_FN_FLOOR,     /* (both, as the next three)                                      */
    QN_FN_CEIL,
    QN_FN_TRUNC,
    QN_FN_ROUND,       /* halves to the even neighbour                                   */
    QN_FN_HARDSWISH,   /* x min(max(x + 3, 0), 6) / 6                                    */
    QN_FN_HARDSIGMOID, /* min(max(x + 3, 0), 6) / 6                                      */
    QN_FN_LEAKY_RELU,  /* x < 0 ? s x : x                                                */
    QN_FN_ELU,         /* x < 0 ? s (exp(x) - 1) : x                                     */
    QN_FN_CLAMP,       /* min(max(x, s), t); infinite bounds: none (both)                */
    QN_FN_POW_WHOLE,   /* x^s for whole s by products (both)                             */
    QN_FN_LOGICAL_NOT, /* x == 0: i32 (both)                                             */
    QN_FN_BITWISE_NOT, /* i32                                                            */
    /* Two operands: qn_binary, qn_binary_scalar. */
    QN_FN_ADD,      /* (both)                                                         */
    QN_FN_SUB,      /* (both)                                                         */
    QN_FN_RSUB,     /* y - x (both)                                                   */
    QN_FN_MUL,      /* (both)                                                         */
    QN_FN_SILU_MUL, /* silu(x) y                                                      */
    QN_FN_DIV,
    QN_FN_DIV_TRUNC, /* quotient towards zero (both; i32 by 0: some number)            */
    QN_FN_DIV_FLOOR, /* quotient rounded down (both)                                   */
    QN_FN_FMOD,      /* rest of DIV_TRUNC, with the sign of x (both)                   */
    QN_FN_REMAINDER, /* rest of DIV_FLOOR, with the sign of y (both); f32 quotients below 2^24 */
    QN_FN_MINIMUM,   /* (both)                                                         */
    QN_FN_MAXIMUM,   /* (both)                                                         */
    QN_FN_POW,       /* x^y (both); whole exponents also of a negative x               */
    QN_FN_EQ,        /* comparisons and logical functions: i32 (both)                  */
    QN_FN_NE,
    QN_FN_LT,
    QN_FN_LE,
    QN_FN_GT,
    QN_FN_GE,
    QN_FN_LOGICAL_AND,
    QN_FN_LOGICAL_OR,
    QN_FN_LOGICAL_XOR,
    QN_FN_BITWISE_AND, /* i32, as the next four                                          */
    QN_FN_BITWISE_OR,
    QN_FN_BITWISE_XOR,
    QN_FN_SHIFT_LEFT,  /* 32 bits or more: all are gone                                  */
    QN_FN_SHIFT_RIGHT, /* with the sign                                                  */
    /* By functions of their own: qn_add_scaled, qn_where. */
    QN_FN_ADD_SCALED,
    QN_FN_WHERE,
    QN_FN_COUNT,
} qn_function;

/* f(x) of one operand; s and t: its numbers (0 where it has none). */
QN_API qn_value qn_unary(qn_graph *g, qn_function f, qn_value x, double s, double t);
/* f(x, y) of two operands, or of one and a number. For i32 operands it must be an int32. */
QN_API qn_value qn_binary(qn_graph *g, qn_function f, qn_value x, qn_value y);
QN_API qn_value qn_binary_scalar(qn_graph *g, qn_function f, qn_value x, double number);
/* x + alpha y */
QN_API qn_value qn_add_scaled(qn_graph *g, qn_value x, qn_value y, double alpha);
/* condition (i32) not 0: x, else y. */
QN_API qn_value qn_where(qn_graph *g, qn_value condition, qn_value x, qn_value y);
/* x as another type: f32 to i32 towards zero, saturating (a NaN: 0); the same type: a copy. */
QN_API qn_value qn_convert(qn_graph *g, qn_value x, qn_dtype dtype);
/* x in memory of its own. */
QN_API qn_value qn_copy(qn_graph *g, qn_value x);
/* The number in every place of x's shape; of a shape (sizes as in qn_view_computed; NULL: max_shape is the shape). */
QN_API qn_value qn_full_like(qn_graph *g, qn_value x, qn_dtype dtype, double number);
QN_API qn_value qn_full(qn_graph *g, qn_dtype dtype, double number, qn_shape max_shape, const qn_value *sizes);
/* start, start + step, ... : n numbers (an integer value, 1..max_n; 0: max_n). */
QN_API qn_value qn_arange(qn_graph *g, qn_dtype dtype, double start, double step, uint32_t max_n, qn_value n);

/* ---- views and integers ---------------------------------------------------------------------- */

/* The same elements under another shape; at most one dimension is 0: what is left over ("-1"). No copy. */
QN_API qn_value qn_view(qn_graph *g, qn_value x, qn_shape shape);
/* The same, with the dimensions whose sizes[i] is an integer value given by it at each execution (-1: what is left
 * over); there max_shape.dim[i] is the largest that it may become. */
QN_API qn_value qn_view_computed(qn_graph *g, qn_value x, qn_shape max_shape, const qn_value sizes[QN_MAX_RANK]);

/* The same, dimension i being the live one from[i] of x, or 1 where from[i] < 0: dimensions of size 1 put in and left
 * out. */
QN_API qn_value qn_view_dims(qn_graph *g, qn_value x, uint32_t rank, const int8_t *from);

/* Integers that every execution computes on the host, from its inputs and live shapes: element `index` (row-major;
 * negative from the live end) of an i32 graph input of at most 64 elements; the live size of a dimension; a + b,
 * a - b, a * b, a // b rounded down. What does not fit int32, or a division by 0, fails the execution. */
QN_API qn_value qn_int_from_tensor(qn_graph *g, qn_value input, int32_t index);
QN_API qn_value qn_int_dim(qn_graph *g, qn_value x, int32_t dim);
QN_API qn_value qn_int_add(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_sub(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_mul(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_floordiv(qn_graph *g, qn_value a, qn_value b);

/* ---- reductions: along any dimensions of x, any rank; a negative dimension counts from the end ---- */

typedef enum qn_reduction {
    QN_REDUCE_SUM = 1,
    QN_REDUCE_MEAN, /* f32 only                                                     */
    QN_REDUCE_PROD,
    QN_REDUCE_AMAX, /* of f32: NaN where an element is one                          */
    QN_REDUCE_AMIN, /* likewise                                                     */
    QN_REDUCE_ANY,  /* i32: 1 where an element is not 0, else 0                     */
    QN_REDUCE_ALL,  /* i32: 1 where no element is 0, else 0                         */
} qn_reduction;

/* The function over the dimensions dims[n_dims] (n_dims 0: all) of x (f32 or i32; integers wrap at 32 bits): each
 * becomes 1, or without keepdim is dropped. QN_ERR_ARGUMENT: a dimension that x lacks, or one that is given twice. */
QN_API qn_value qn_reduce(qn_graph *g, qn_reduction function, qn_value x, const int32_t *dims, uint32_t n_dims,
                          bool keepdim);
/* The variance of x (f32): sum of (x - mean)^2 / (n - correction) over n elements; correction >= 0 (PyTorch: 1). */
QN_API qn_value qn_var(qn_graph *g, qn_value x, const int32_t *dims, uint32_t n_dims, float correction, bool keepdim);
/* i32: where along *dim the largest (least) element of x (f32 or i32) is, the first of equals; NaN passes for larger
 * (smaller) than any number. dim NULL: in the flattened tensor. */
QN_API qn_value qn_argmax(qn_graph *g, qn_value x, const int32_t *dim, bool keepdim);
QN_API qn_value qn_argmin(qn_graph *g, qn_value x, const int32_t *dim, bool keepdim);

/* Along dimension dim of x (f32): exp(x - m) / sum(exp(x - m)), m the largest element; and its logarithm. An element of
 * -infinity gives 0 (-infinity); where all are, or one is +infinity or NaN, the result is NaN as far as the device
 * computes with these (WGSL does not promise it). */
QN_API qn_value qn_softmax(qn_graph *g, qn_value x, int32_t dim);
QN_API qn_value qn_log_softmax(qn_graph *g, qn_value x, int32_t dim);
/* x[0] + .. + x[i] along dimension dim of x (f32 or i32). */
QN_API qn_value qn_cumsum(qn_graph *g, qn_value x, int32_t dim);

typedef struct qn_norm_options {
    qn_value weight, bias; /* f32, 0: none */
    float eps;             /* >= 0         */
} qn_norm_options;

/* y = (x - mean) / sqrt(variance + eps) * weight + bias of f32 x, over its last n_dims dimensions, which are also the
 * shape of weight and bias. stats: NULL, or it receives mean and 1 / sqrt(variance + eps), with these dimensions 1. */
QN_API qn_value qn_layer_norm(qn_graph *g, qn_value x, uint32_t n_dims, const qn_norm_options *options,
                              qn_value stats[2]);
/* The same of x[N, C, ...] over the elements of C / groups channels; weight[C], bias[C]; stats [N, groups]. */
QN_API qn_value qn_group_norm(qn_graph *g, qn_value x, uint32_t groups, const qn_norm_options *options,
                              qn_value stats[2]);

/* How each row of x[..., K] (f32, finite) is stored in codes -128..127, as torchao's choose_qparams_affine has it, to
 * the bit: scale[...] = max((max(x, 0) - min(x, 0)) / 255, eps), *zero_point[...] (i32) = -128 - round(min(x, 0) /
 * scale), bounded, ties to even. eps 0: that of float32, 2^-23. Returns scale. */
QN_API qn_value qn_choose_qparams(qn_graph *g, qn_value x, float eps, qn_value *zero_point);
/* What x[..., K] becomes in such codes: (clamp(round(x / s) + z, -128, 127) - z) * s; scale (f32) and zero_point (i32)
 * have an element for each row, the scales are normal positive numbers. Ties go to even. */
QN_API qn_value qn_quantize_rows(qn_graph *g, qn_value x, qn_value scale, qn_value zero_point);

/* The last n rows of x[M, E] (n: an integer value, 1..M): y[n, E]. max_rows: the largest n. */
QN_API qn_value qn_last_rows(qn_graph *g, qn_value x, qn_value n, uint32_t max_rows);

/* ---- moving elements ------------------------------------------------------------------------- */

/* Operations that move elements: x is f32 or i32 (also a plain weight), y has its type. A dimension is 0..rank - 1, or
 * negative from the end. All of them are computed at the live shapes. What does not fit x fails building where it can
 * be known, else the execution (QN_ERR_ARGUMENT); tensors over a binding of the device fail (QN_ERR_LIMIT). */

/* Dimension i of y is dimension order[i] of x; n: the rank of x. */
QN_API qn_value qn_permute(qn_graph *g, qn_value x, const int32_t *order, uint32_t n);
/* The elements of the n listed dimensions in reverse order. */
QN_API qn_value qn_flip(qn_graph *g, qn_value x, const int32_t *dims, uint32_t n);

/* Elements start, start + step, ... before end of one dimension; bounds as in Python: a negative one counts from the
 * live end, one that is out of range (INT32_MAX) is the nearest. An empty result is refused. */
typedef struct qn_slice_options {
    int32_t dim;
    qn_value start, end; /* integer values; 0: the beginning, the end                                       */
    uint32_t step;       /* 0: 1                                                                            */
    uint32_t max_size;   /* largest size of the result, more is refused (QN_ERR_LIMIT); 0: what the bounds, which must
                            then be constant, take from the largest x                                       */
} qn_slice_options;

QN_API qn_value qn_slice(qn_graph *g, qn_value x, const qn_slice_options *options);
/* y[...] = x[..., index, ...] without that dimension. index: an integer value; negative from the live end. */
QN_API qn_value qn_select(qn_graph *g, qn_value x, int32_t dim, qn_value index);
/* Consecutive pieces of a dimension whose sizes add up to its maximum: outputs[i] has sizes[i] there. A live dimension
 * that is shorter is refused. */
QN_API void qn_split(qn_graph *g, qn_value x, int32_t dim, const uint32_t *sizes, uint32_t n, qn_value *outputs);
/* The n >= 1 values behind one another along a dimension; equal in type and all other dimensions. */
QN_API qn_value qn_cat(qn_graph *g, const qn_value *values, uint32_t n, int32_t dim);

/* Dimensions of x of size 1 become larger, and new ones come before the first: 0 in shape keeps a size. Where sizes
 * (may be NULL) has an integer value for a dimension, it is the size (-1: kept), and shape its maximum. */
QN_API qn_value qn_expand(qn_graph *g, qn_value x, qn_shape shape, const qn_value sizes[QN_MAX_RANK]);
/* x repeats[i] times along dimension i of y; n at least the rank of x, whose missing dimensions have size 1. */
QN_API qn_value qn_repeat(qn_graph *g, qn_value x, const uint32_t *repeats, uint32_t n);
/* pads[i]: elements of `value` before and after dimension i (negative: so many are cut off); n: the rank of x. */
QN_API qn_value qn_pad(qn_graph *g, qn_value x, const int32_t (*pads)[2], uint32_t n, double value);
/* x[..., C * r * r, H, W] as y[..., C, H * r, W * r], y[..., c, h * r + i, w * r + j] = x[..., (c * r + i) * r + j, h,
 * w]; and the reverse. */
QN_API qn_value qn_pixel_shuffle(qn_graph *g, qn_value x, uint32_t r);
QN_API qn_value qn_pixel_unshuffle(qn_graph *g, qn_value x, uint32_t r);

/* ---- pictures: [N, C, H, W], in the order height, width; sizes may differ at every execution ---- */

typedef struct qn_conv_options {
    uint32_t stride[2], padding[2], dilation[2]; /* height, width; of [N, C, L] only the second counts */
    uint32_t groups;
    bool transposed;            /* ConvTranspose                                                       */
    uint32_t output_padding[2]; /* of a transposed one                                                 */
    bool clamp;                 /* the result to min..max (et_vk.conv_with_clamp)                      */
    float min, max;
} qn_conv_options;

/* Stride and dilation 1, no padding, one group. */
static inline qn_conv_options qn_conv_default(void)
{
    return (qn_conv_options){.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
}

/* y[N, Cout, Ho, Wo] of x[N, Cin, H, W], w[Cout, Cin/groups, kh, kw] (transposed: [Cin, Cout/groups, kh, kw]) and
 * bias[Cout or more] (0: none), as torch.nn.Conv2d; also x[N, C, L] with w[Cout, Cin/groups, k]. */
QN_API qn_value qn_conv2d(qn_graph *g, qn_value x, qn_value w, qn_value bias, const qn_conv_options *options);

typedef struct qn_pool_options {
    uint32_t kernel[2], padding[2]; /* height, width */
    uint32_t stride[2];             /* 0: the kernel's */
    uint32_t dilation[2];           /* of max_pool; 0: 1 */
    bool ceil_mode;                 /* round the number of windows up */
    bool count_include_pad;         /* avg_pool divides by what the padded window covers */
    int32_t divisor_override;       /* avg_pool divides by this; 0: by the elements */
} qn_pool_options;

/* y[.., C, Ho, Wo] of x[C, H, W] or [N, C, H, W], as torch.nn.MaxPool2d. indices (may be NULL): gets an i32 tensor of
 * the same shape, the place of each maximum in its plane, row * W + column. */
QN_API qn_value qn_max_pool2d(qn_graph *g, qn_value x, const qn_pool_options *options, qn_value *indices);
/* The same with the mean, as torch.nn.AvgPool2d. */
QN_API qn_value qn_avg_pool2d(qn_graph *g, qn_value x, const qn_pool_options *options);

/* y = (x[N, C, ...] - mean[C]) / sqrt(var[C] + eps) * weight[C] + bias[C]; weight and bias 0: none. */
typedef struct qn_batch_norm_operands {
    qn_value weight, bias, mean, var;
} qn_batch_norm_operands;
QN_API qn_value qn_batch_norm(qn_graph *g, qn_value x, const qn_batch_norm_operands *operands, float eps);

typedef enum qn_upsample_mode { QN_UPSAMPLE_NEAREST = 1, QN_UPSAMPLE_BILINEAR } qn_upsample_mode;

typedef struct qn_upsample_options {
    qn_upsample_mode mode;
    bool align_corners; /* of bilinear */
    uint32_t size[2];   /* of the output: height, width; 0: by the scale */
    double scale[2];    /* output = floor(input * scale); not read where a size is given */
} qn_upsample_options;

/* y[N, C, Ho, Wo] of x[N, C, H, W], as torch.nn.functional.interpolate. */
QN_API qn_value qn_upsample2d(qn_graph *g, qn_value x, const qn_upsample_options *options);

typedef enum qn_grid_padding { QN_GRID_ZEROS = 0, QN_GRID_BORDER } qn_grid_padding;

/* y[N, C, Ho, Wo] = x[N, C, H, W] at the places grid[N, Ho, Wo, 2] (x, y; -1..1 is the picture), bilinear, as
 * torch.nn.functional.grid_sample. Outside the picture are zeros, or its border. */
QN_API qn_value qn_grid_sampler_2d(qn_graph *g, qn_value x, qn_value grid, qn_grid_padding padding, bool align_corners);

/* y[H*W, 2]: row h * W + w is ((w + offset) * stride, (h + offset) * stride), of the live x[..., H, W]
 * (et_vk.grid_priors). */
QN_API qn_value qn_grid_priors(qn_graph *g, qn_value x, float stride, float offset);

/* ---- 8-bit quantized tensors: i32 tensors of codes ------------------------------------------------
 * Codes are rounded half to even and clamped to -128..127, as the et_vk.q8ta_ operations of ExecuTorch do. */

/* number = (code - zero_point) * scale */
typedef struct qn_quant {
    double scale;
    int32_t zero_point;
} qn_quant;

/* y = clamp(round(x / scale) + zero_point, low, high) */
QN_API qn_value qn_quantize_per_tensor(qn_graph *g, qn_value x, qn_quant q, int32_t low, int32_t high);
QN_API qn_value qn_dequantize_per_tensor(qn_graph *g, qn_value x, qn_quant q);
/* Codes of a + alpha * b, of one shape. */
typedef struct qn_q8_add_options {
    qn_quant a, b, output;
    double alpha;
} qn_q8_add_options;
QN_API qn_value qn_q8ta_add(qn_graph *g, qn_value a, qn_value b, const qn_q8_add_options *options);
QN_API qn_value qn_q8ta_relu(qn_graph *g, qn_value x, qn_quant input, qn_quant output);
/* y[..., C, H * r, W * r] of x[..., C * r * r, H, W]. */
QN_API qn_value qn_q8ta_pixel_shuffle(qn_graph *g, qn_value x, qn_quant input, qn_quant output, uint32_t r);

/* Weights of the following two are signed bytes, four to a word of an i32 tensor (QN_WEIGHT_I32 of any shape), as a
 * file has them; a channel's number is its code times w_scales[channel]. Sums are exact, of at most 65,000 products. */
typedef struct qn_q8_conv_options {
    qn_conv_options conv; /* without clamp */
    uint32_t channels_out, kernel[2];
    bool depthwise;     /* w is [kh, kw, Cout], and groups = C = Cout; else w is [Cout, row_bytes], of a row the first
                           kh * kw * Cin/groups bytes in the order [kh, kw, Cin/groups] (also of a transposed one) */
    uint32_t row_bytes; /* 0: kh * kw * Cin/groups rounded up to 4 */
    qn_quant input, output;
    bool relu;
} qn_q8_conv_options;
/* Codes y[N, Cout, Ho, Wo] of codes x[N, Cin, H, W]; w_scales f32 [Cout or more] (transposed with groups: [Cout/groups
 * or more], the same for every group), bias f32 [Cout or more] (0: none). */
QN_API qn_value qn_q8ta_conv2d(qn_graph *g, qn_value x, qn_value w, qn_value w_scales, qn_value bias,
                               const qn_q8_conv_options *options);

typedef struct qn_q8_linear_options {
    uint32_t n;         /* outputs */
    uint32_t row_bytes; /* of w[n, row_bytes], of which the first K count; 0: K */
    qn_quant input, output;
    bool relu;
    bool float_output; /* y is f32, not codes (et_vk.linear_q8ta_q8csw) */
} qn_q8_linear_options;
/* y[..., n] of codes x[..., K]; w_scales, bias f32 [n or more] (bias 0: none). */
QN_API qn_value qn_q8ta_linear(qn_graph *g, qn_value x, qn_value w, qn_value w_scales, qn_value bias,
                               const qn_q8_linear_options *options);

#ifdef __cplusplus
}
#endif
#endif
