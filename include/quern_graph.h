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

typedef enum qn_dtype {
    QN_F32 = 1,
    QN_I32,
    /* Of states [1, C, H, D] that are caches of attention only: a row of H * D elements begins at a multiple of 16
       bytes. */
    QN_F16,  /* IEEE halves; D is a multiple of 8                                                          */
    QN_Q8_0, /* codes -127..127, H * D bytes, then a half for each block of 32, the scale; D is a multiple of 32 */
} qn_dtype;

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
    /* How a matrix lies in memory; all zero: without gaps, in the order of its kind. It is read in place. */
    uint64_t row_bytes;     /* from row to row of data; 0: no gaps                                       */
    bool transposed;        /* f32: data is [K, N] (row_bytes: from k to k + 1); shape stays [N, K]      */
    bool high_nibble_first; /* 4-bit kinds: even k in the high nibble                                    */
    bool scales_by_row;     /* scales and mins are [N, ceil(K/group)]                                    */
    uint32_t scale_stride;  /* elements from row to row of scales and mins; 0: no gaps                   */
} qn_weight_desc;

/* Copies a constant to the GPU. The weight may serve several graphs and must outlive them. */
QN_API qn_status qn_weight_create(qn_engine *engine, const qn_weight_desc *desc, qn_weight **weight);
QN_API void qn_weight_free(qn_weight *weight);

/* ---- building -------------------------------------------------------------------------------- */

QN_API qn_status qn_graph_open(qn_engine *engine, qn_graph **graph);
/* Which kernels the graph's nodes may take: QN_PRECISION_EXACT without this call. Before the first node. */
QN_API void qn_graph_set_precision(qn_graph *g, qn_precision precision);
QN_API void qn_graph_close(qn_graph *graph);

QN_API qn_value qn_graph_input(qn_graph *g, const char *name, qn_dtype dtype, qn_shape max_shape);
/* An integer given at every execution, 0..max. */
QN_API qn_value qn_graph_int(qn_graph *g, const char *name, uint32_t max);
/* An integer that never changes. */
QN_API qn_value qn_graph_const_int(qn_graph *g, int32_t number);
/* Nodes added between these two take part only in executions where the integer is not 0. What they compute can only go
 * to nodes between them, and is wanted only in such executions. May be nested: then all the integers count. */
QN_API void qn_graph_begin_when(qn_graph *g, qn_value integer);
QN_API void qn_graph_end_when(qn_graph *g);
/* A tensor kept between executions, zero at first. Its bytes: qn_state_bytes. */
QN_API qn_value qn_graph_state(qn_graph *g, const char *name, qn_dtype dtype, qn_shape shape);
QN_API qn_value qn_graph_weight(qn_graph *g, qn_weight *weight);
/* Bytes of such a tensor, rows of QN_F16 and QN_Q8_0 padded as said at qn_dtype. */
QN_API uint64_t qn_state_bytes(qn_dtype dtype, const qn_shape *shape);
QN_API void qn_graph_output(qn_graph *g, qn_value value, const char *name);

enum { QN_MAX_IN_FLIGHT = 4 };
/* How many executions may be submitted and not polled until done: 1 without this call, at most QN_MAX_IN_FLIGHT. They
 * run one after the other, and each has the states and the inputs' data that the one before it left. All but one of
 * those under way may read back at most 256 bytes of outputs; a profiled execution is under way alone. */
QN_API void qn_graph_set_in_flight(qn_graph *g, uint32_t most);

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

/* The operations: functions that add nodes. */
#include "quern_ops.h"

/* Plans at the maximum shapes, places the tensors, compiles every kernel that a live shape may route to. */
QN_API qn_status qn_graph_build(qn_graph *g);
/* The first failure so far (also before build). */
QN_API qn_status qn_graph_status(const qn_graph *g);

/* ---- running --------------------------------------------------------------------------------- */

/* Live shape and data (tightly packed) of an input. A shape of another rank, beyond the maximum or with a zero
 * is refused, with the value's name. The data is copied. */
QN_API qn_status qn_graph_set_input(qn_graph *g, qn_value input, qn_shape live, const void *data);
/* The live shape alone: for an input whose data a node of the last execution wrote (qn_feed_token). */
QN_API qn_status qn_graph_set_live(qn_graph *g, qn_value input, qn_shape live);
QN_API qn_status qn_graph_set_int(qn_graph *g, qn_value value, int64_t number);
/* Whether the next executions read this output back (at first: all). */
QN_API qn_status qn_graph_want(qn_graph *g, qn_value output, bool wanted);
/* Plans what changed, uploads, encodes and submits: at once, or the first part of a long graph while the rest is being
 * encoded, where nothing else is under way. A call that is refused has run nothing, and states are as before; only
 * where WebGPU itself fails may a part have run. */
QN_API qn_status qn_graph_submit(qn_graph *g);
/* Does all of that but the submit, for the shapes and integers that are set now, also while the last submit still runs:
 * the next submit then only sends it, unless something other than the data of inputs has changed. With a profile it
 * does nothing. qn_graph_dispatch and qn_graph_live_shape speak of the last plan, which is then this one. */
QN_API qn_status qn_graph_prepare(qn_graph *g);
/* *done: the outputs of the oldest submit that was not done yet are there; also when none is under way. Never blocks.
 */
QN_API qn_status qn_graph_poll(qn_graph *g, bool *done);
/* Data and live shape of an output after *done, valid until the next submit and the next *done; NULL if not wanted. */
QN_API const void *qn_graph_output_data(qn_graph *g, qn_value output, qn_shape *live);
QN_API qn_shape qn_graph_live_shape(const qn_graph *g, qn_value value);
/* Writes a state (whole, its qn_state_bytes) between executions. data NULL: zeros. */
QN_API qn_status qn_graph_write_state(qn_graph *g, qn_value state, const void *data);

#ifndef QN_NO_BLOCKING
/* Waits for the oldest submit that is not done, not for those after it. */
QN_API qn_status qn_graph_wait(qn_graph *g);
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
    double flops;  /* products and sums that the result needs; 0: not counted                                 */
    double bytes;  /* of memory that must be read and written, each byte once; 0: not counted                 */
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

/* What a device reaches in kernels that do one thing only, per second: to hold a kernel's figures against. */
typedef struct qn_peaks {
    double copy_bytes; /* read and written: a copy past the caches                          */
    double f32_flops;  /* products and sums of fma on f32                                   */
    double i8_ops;     /* products and sums of dot4I8Packed                                 */
} qn_peaks;
#ifndef QN_NO_BLOCKING
/* Measures them, in about half a second of GPU time and 256 MiB. QN_ERR_UNSUPPORTED without timestamps. */
QN_API qn_status qn_engine_measure_peaks(qn_engine *engine, qn_peaks *peaks);
#endif

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
    uint32_t submits, passes, dispatches; /* a pass in each submit, more with a profile */
    double plan_ns, encode_ns; /* of the host: planning; uploading and recording (also where it was done ahead) */
} qn_execute_counts;
QN_API qn_execute_counts qn_graph_execute_counts(const qn_graph *g);

/* ---- choosing kernels ------------------------------------------------------------------------ */

enum { QN_MAX_CANDIDATES = 16 };

/* A decision of a graph's plans between kernel rows: the same for all nodes of the same operation and weight shapes. */
typedef struct qn_decision {
    uint64_t key;                /* tells decisions apart                              */
    char what[64];               /* "linear 2048x2048 q4"                              */
    uint32_t min_rows, max_rows; /* live rows that it is for; max 0: no bound          */
    uint32_t n_rows;             /* candidates: each computes the same                 */
    const char *rows[QN_MAX_CANDIDATES];
} qn_decision;

/* The decisions that a built graph met. Writes at most `capacity` of them; returns the full number. */
QN_API size_t qn_graph_decisions(const qn_graph *g, qn_decision *decisions, size_t capacity);
/* Graphs opened from now on take this candidate there; NULL: what they take by default. */
QN_API qn_status qn_engine_choose(qn_engine *engine, const qn_decision *decision, const char *row);
/* All as it is by default, likewise. */
QN_API void qn_engine_forget_choices(qn_engine *engine);
/* Keeps the choices made so far for later engines on this adapter: QN_ERR_STATE without qn_engine_options.cache_dir. */
QN_API qn_status qn_engine_save_choices(qn_engine *engine);

/* The graph that a session runs, for profiling and looking inside (qn_graph_set_profile, qn_graph_dispatch,
 * qn_graph_memory). It belongs to the session: do not build, submit or close it. */
QN_API qn_graph *qn_session_graph(qn_session *session);

#ifdef __cplusplus
}
#endif
#endif
