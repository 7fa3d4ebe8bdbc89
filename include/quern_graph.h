/* quern_graph.h - building a compute graph and running it at live shapes.
 *
 * A graph is built once at its maximum shapes; every execution carries live shapes within them. Building
 * functions return a value; the first failure is kept in the graph, later calls do nothing, and
 * qn_graph_build returns it: so a forward pass reads without a check behind every line.
 *
 * Shapes are row-major, the last dimension fastest. "..." stands for any number of leading dimensions. */
#ifndef QUERN_GRAPH_H
#define QUERN_GRAPH_H

#include "quern.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { QN_MAX_RANK = 8 };

typedef enum qn_dtype { QN_F32 = 1, QN_I32 } qn_dtype;

typedef struct qn_shape {
    uint32_t rank; /* 0..QN_MAX_RANK; rank 0 is a scalar */
    uint32_t dim[QN_MAX_RANK];
} qn_shape;

/* A tensor or an integer of one graph; 0 is "none". */
typedef uint32_t qn_value;

typedef struct qn_graph qn_graph;
typedef struct qn_weight qn_weight;

/* ---- weights --------------------------------------------------------------------------------- */

typedef enum qn_weight_kind {
    QN_WEIGHT_F32 = 1, /* data f32 [shape]                                                               */
    QN_WEIGHT_F16,     /* data u16 (IEEE half bits) [N, K]                                               */
    QN_WEIGHT_BF16,    /* data u16 (bfloat16 bits) [N, K]                                                */
    QN_WEIGHT_Q8,      /* data i8 [N, K], scales f32 [ceil(K/group), N]: value = code * scale            */
    QN_WEIGHT_Q4,      /* data u8 [N, ceil(K/2)], even k in the low nibble, scales as above:
                          value = (code - 8) * scale                                                     */
    QN_WEIGHT_Q4A,     /* as Q4, with mins f32 [ceil(K/group), N]: value = code * scale - min            */
    QN_WEIGHT_I32,     /* data i32 [shape]; always a plain tensor                                        */
} qn_weight_kind;

typedef struct qn_weight_desc {
    const char *name;
    qn_weight_kind kind;
    bool matrix; /* false: a plain f32 tensor (norm weight, bias, table); true: [N, K] in the packed
                    layout, for linear and embedding. Quantized and 16-bit kinds are always matrices */
    qn_shape shape;
    uint32_t group; /* elements of a scale group along K (quantized kinds); any positive number        */
    const void *data;
    const float *scales;
    const float *mins;
    bool scales_f16; /* store scales and mins as f16 (refused when a value does not survive it); false: f32 */
} qn_weight_desc;

/* Copies a constant to the GPU. The weight may serve several graphs and must outlive them. */
QN_API qn_status qn_weight_create(qn_engine *engine, const qn_weight_desc *desc, qn_weight **weight);
QN_API void qn_weight_free(qn_weight *weight);

/* ---- building -------------------------------------------------------------------------------- */

QN_API qn_status qn_graph_open(qn_engine *engine, qn_graph **graph);
QN_API void qn_graph_close(qn_graph *graph);

QN_API qn_value qn_graph_input(qn_graph *g, const char *name, qn_dtype dtype, qn_shape max_shape);
/* An integer given at every execution, 0..max. */
QN_API qn_value qn_graph_int(qn_graph *g, const char *name, uint32_t max);
/* An integer that never changes. */
QN_API qn_value qn_graph_const_int(qn_graph *g, int32_t number);
/* A tensor kept between executions, zero at first. */
QN_API qn_value qn_graph_state(qn_graph *g, const char *name, qn_dtype dtype, qn_shape shape);
QN_API qn_value qn_graph_weight(qn_graph *g, qn_weight *weight);
QN_API void qn_graph_output(qn_graph *g, qn_value value, const char *name);

static inline qn_shape qn_shape_1(uint32_t a)
{
    return (qn_shape){1, {a}};
}
static inline qn_shape qn_shape_2(uint32_t a, uint32_t b)
{
    return (qn_shape){2, {a, b}};
}
static inline qn_shape qn_shape_3(uint32_t a, uint32_t b, uint32_t c)
{
    return (qn_shape){3, {a, b, c}};
}
static inline qn_shape qn_shape_4(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return (qn_shape){4, {a, b, c, d}};
}

/* y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]); any weight kind; bias 0: none. */
QN_API qn_value qn_linear(qn_graph *g, qn_value x, qn_value w, qn_value bias);
/* y[..., K] = w[ids[...], K]; ids i32; ids outside 0..N-1 are clamped on the GPU (check them on the host). */
QN_API qn_value qn_embedding(qn_graph *g, qn_value w, qn_value ids);
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

/* Rotates x[1, S, H, D] at positions pos..pos+S-1. pos: an integer value. */
QN_API qn_value qn_rope(qn_graph *g, qn_value x, qn_value table, qn_value pos, qn_rope_mode mode);

/* cache[1, C, H, D] rows pos..pos+S-1 = x[1, S, H, D]. pos + S > C is refused and nothing is written. */
QN_API void qn_update_cache(qn_graph *g, qn_value x, qn_value cache, qn_value pos);

typedef struct qn_sdpa_options {
    float scale; /* 0: 1 / sqrt(D) */
} qn_sdpa_options;

/* o[1, S, Hq, D]: writes k, v [1, S, Hkv, D] at rows pos.. of the caches [1, C, Hkv, D] and attends causally:
 * query row i over cache rows 0..pos+i; query head h uses kv head h / (Hq/Hkv). D is a multiple of 4. */
QN_API qn_value qn_sdpa_with_kv_cache(qn_graph *g, qn_value q, qn_value k, qn_value v, qn_value k_cache,
                                      qn_value v_cache, qn_value pos, const qn_sdpa_options *options);

QN_API qn_value qn_add(qn_graph *g, qn_value a, qn_value b);      /* same shapes */
QN_API qn_value qn_mul(qn_graph *g, qn_value a, qn_value b);      /* same shapes */
QN_API qn_value qn_silu(qn_graph *g, qn_value x);                 /* x / (1 + exp(-x)) */
QN_API qn_value qn_silu_mul(qn_graph *g, qn_value a, qn_value b); /* silu(a) * b, same shapes */

/* The same elements under another shape; at most one dimension is 0: what is left over ("-1"). No copy. */
QN_API qn_value qn_view(qn_graph *g, qn_value x, qn_shape shape);
/* The same, with the dimensions whose sizes[i] is an integer value given by it at each execution (-1: what is left
 * over); there max_shape.dim[i] is the largest that it may become. */
QN_API qn_value qn_view_computed(qn_graph *g, qn_value x, qn_shape max_shape, const qn_value sizes[QN_MAX_RANK]);

/* Integers that every execution computes on the host, from its inputs and live shapes: element `index` (row-major;
 * negative from the live end) of an i32 graph input of at most 64 elements; the live size of a dimension; a + b,
 * a - b, a * b, a // b rounded down. What does not fit int32, or a division by 0, fails the execution. */
QN_API qn_value qn_int_from_tensor(qn_graph *g, qn_value input, int32_t index);
QN_API qn_value qn_int_dim(qn_graph *g, qn_value x, int32_t dim);
QN_API qn_value qn_int_add(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_sub(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_mul(qn_graph *g, qn_value a, qn_value b);
QN_API qn_value qn_int_floordiv(qn_graph *g, qn_value a, qn_value b);

/* The last n rows of x[M, E] (n: an integer value, 1..M): y[n, E]. max_rows: the largest n. */
QN_API qn_value qn_last_rows(qn_graph *g, qn_value x, qn_value n, uint32_t max_rows);

/* Plans at the maximum shapes, places the tensors, compiles every kernel that a live shape may route to. */
QN_API qn_status qn_graph_build(qn_graph *g);
/* The first failure so far (also before build). */
QN_API qn_status qn_graph_status(const qn_graph *g);

/* ---- running --------------------------------------------------------------------------------- */

/* Live shape and data (tightly packed) of an input. A shape of another rank, beyond the maximum or with a zero
 * is refused, with the value's name. The data is copied. */
QN_API qn_status qn_graph_set_input(qn_graph *g, qn_value input, qn_shape live, const void *data);
QN_API qn_status qn_graph_set_int(qn_graph *g, qn_value value, int64_t number);
/* Whether the next executions read this output back (at first: all). */
QN_API qn_status qn_graph_want(qn_graph *g, qn_value output, bool wanted);
/* Plans what changed, uploads, encodes one pass, submits. On a failure nothing has run and states are as before. */
QN_API qn_status qn_graph_submit(qn_graph *g);
/* *done: the outputs of the last submit are there. Never blocks. */
QN_API qn_status qn_graph_poll(qn_graph *g, bool *done);
/* Data and live shape of an output after *done (valid until the next submit); NULL if not wanted. */
QN_API const void *qn_graph_output_data(qn_graph *g, qn_value output, qn_shape *live);
QN_API qn_shape qn_graph_live_shape(const qn_graph *g, qn_value value);
/* Writes a state (tightly packed, whole) between executions. data NULL: zeros. */
QN_API qn_status qn_graph_write_state(qn_graph *g, qn_value state, const void *data);

#ifndef QN_NO_BLOCKING
/* submit, then wait for the outputs. */
QN_API qn_status qn_graph_execute(qn_graph *g);
QN_API qn_status qn_graph_read_state(qn_graph *g, qn_value state, void *data);
#endif

/* ---- looking inside -------------------------------------------------------------------------- */

/* One dispatch of the last plan. */
typedef struct qn_trace {
    const char *kernel; /* row name, "linear.gemv"                    */
    const char *op;     /* "linear"                                   */
    const char *node;   /* name of the node's weight or output        */
    uint32_t grid[3];
    uint32_t n_params;
    const uint32_t *params;
    double gpu_ns; /* of the last profiled execution; 0 otherwise */
} qn_trace;

/* Number of dispatches of the last submit; dispatch i. */
QN_API size_t qn_graph_n_dispatches(const qn_graph *g);
QN_API qn_trace qn_graph_dispatch(const qn_graph *g, size_t i);
typedef enum qn_profile {
    QN_PROFILE_OFF = 0,
    QN_PROFILE_DISPATCHES, /* each dispatch, qn_trace.gpu_ns: the marks themselves take some microseconds each */
    QN_PROFILE_TOTAL,      /* only the whole pass: undisturbed, as it runs unprofiled                          */
} qn_profile;

/* What the following submits time on the GPU; the figures are there when qn_graph_poll says done.
 * QN_ERR_UNSUPPORTED without timestamps. */
QN_API qn_status qn_graph_set_profile(qn_graph *g, qn_profile profile);
/* GPU nanoseconds of the last profiled submit: of the pass, or the sum of its dispatches. */
QN_API double qn_graph_gpu_ns(const qn_graph *g);

typedef struct qn_memory_table {
    uint64_t weights, states, activations, scratch, io; /* GPU bytes; weights: those that this graph uses */
    uint64_t activations_unpooled;                      /* what the activations would take without reuse  */
    uint32_t n_slots;                                   /* pooled buffers                                 */
} qn_memory_table;

QN_API qn_memory_table qn_graph_memory(const qn_graph *g);
/* Host allocations, and GPU objects (buffers, bind groups, pipelines), made by this graph's executes: both stay 0
 * after the first ones (DESIGN rule 8). Also the number of nodes planned and bytes uploaded by the last submit. */
typedef struct qn_execute_counts {
    uint64_t objects_made;
    uint32_t nodes_planned;
    uint64_t param_bytes_uploaded;
    uint32_t submits, passes;
} qn_execute_counts;
QN_API qn_execute_counts qn_graph_execute_counts(const qn_graph *g);

/* The graph that a session runs, for profiling and looking inside (qn_graph_set_profile, qn_graph_dispatch,
 * qn_graph_memory). It belongs to the session: do not build, submit or close it. */
QN_API qn_graph *qn_session_graph(qn_session *session);

#ifdef __cplusplus
}
#endif
#endif
