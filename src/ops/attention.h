/* attention.h - the dispatch math of attention with a KV cache: from a node's shape and a live (S, pos) to windows,
 * rounds and parameter blocks. Pure functions of their arguments, without a device.
 *
 * Attention weights of a round take n_heads * n_rows * ctx * 4 bytes of scratch. Where all of them would pass the
 * cap, query rows are taken in rounds; where one row of all heads would, heads too. A cache over the binding limit
 * is bound window by window (of whole rows); every round visits the windows in order. */
#ifndef QN_OPS_ATTENTION_H
#define QN_OPS_ATTENTION_H

#include "ops/op.h"

/* ---- windows of a cache ---------------------------------------------------------------------- */

/* A cache [1, C, H, D] in bindings of at most `rows` rows each. */
typedef struct qn_cache_windows {
    uint64_t row_bytes; /* as qn_state_bytes has them                                                  */
    uint32_t cache_rows, rows, n;
} qn_cache_windows;

/* Windows of at most cap bytes that begin at multiples of 256 bytes and of 4 rows. QN_ERR_LIMIT when even the
 * smallest such window is larger. */
qn_status qn_cache_windows_make(uint32_t cache_rows, uint64_t row_bytes, uint64_t cap, qn_cache_windows *windows);

/* Binds window w of a cache (the whole cache when there is one window only). */
void qn_cache_windows_bind(const qn_cache_windows *windows, uint32_t w, qn_dispatch *d, qn_value cache);

/* The windows of a cache tensor on the plan's device. */
qn_status qn_plan_cache_windows(const qn_plan *p, const qn_tensor *cache, qn_cache_windows *windows);

/* How kernels know a cache's type (KV_TYPE of kv_load.wgsl), and the elements of a row that one invocation writes
 * (UNIT of kv_store.wgsl). */
uint32_t qn_kv_type_number(qn_dtype dtype);
uint32_t qn_kv_unit(qn_dtype dtype);

/* Rows of a call in a cache: pos .. pos + seq - 1. */
typedef struct qn_rows_at {
    uint32_t seq, pos;
} qn_rows_at;

/* Rows that a call appends to a cache. Executing: x's live rows at the integer `pos`, or a failure that names the
 * numbers. Building: at most `rows` rows, as far back as any call can put them. */
qn_status qn_plan_cache_rows(const qn_plan *p, uint32_t rows, const qn_tensor *input_pos, uint32_t cache_rows,
                             qn_rows_at *at);

/* The rows from <= c < to of a cache that rows pos.. pos + seq - 1 of a call have in window w, counted from `begin`,
 * the window's first row. False when it has none; while building it then has the empty part at its beginning, so that
 * every window's dispatch is known. */
typedef struct qn_window_part {
    uint32_t begin, from, to;
} qn_window_part;
bool qn_plan_window_part(const qn_plan *p, const qn_cache_windows *windows, uint32_t w, qn_rows_at at,
                         qn_window_part *part);

/* Appends the dispatches that write x's rows into a cache: one a window that they touch. */
qn_status qn_plan_write_cache(qn_plan *p, const qn_cache_windows *windows, qn_value x, qn_value cache, qn_rows_at at);

/* What rope_append (rope_append.c) does at a call's rows. Inputs 0 to 4 of the node: qkv[S, (Hq + 2 Hkv) * D],
 * table[positions, D/2, 2], k_cache, v_cache[1, C, Hkv, D], input_pos. Output 0: q[1, S, Hq, D]. */
typedef struct qn_append_shape {
    uint32_t rows, n_heads, n_kv_heads, head_dim; /* S, Hq, Hkv, D */
    uint32_t positions;                           /* of the table  */
    qn_dtype dtype;
    qn_cache_windows windows;
} qn_append_shape;

/* Checks the inputs, and sets the output. */
qn_status qn_plan_append_shape(qn_plan *p, qn_append_shape *shape);
/* The rows that a call with m rows appends. */
qn_status qn_plan_append_at(const qn_plan *p, const qn_append_shape *shape, uint32_t m, qn_rows_at *at);
/* Appends its dispatches. */
qn_status qn_plan_append_call(qn_plan *p, const qn_append_shape *shape, qn_rows_at at);

/* Fails unless the tensor is f32 (caches: of any of their types) [1, n, H, D] and small enough for one binding (caches:
 * any size) and 32-bit indices. */
qn_status qn_plan_check_rows(const qn_plan *p, const qn_tensor *t, const char *what, bool cache);
/* That both are rows of a cache, alike in shape and type, with a head_dim that is a multiple of 4. */
qn_status qn_plan_check_caches(const qn_plan *p, const qn_tensor *k_cache, const qn_tensor *v_cache);

/* ---- attention ------------------------------------------------------------------------------- */

/* What never changes from call to call. */
typedef struct qn_sdpa_shape {
    uint32_t n_heads, n_kv_heads, head_dim; /* Hq, Hkv, D */
    float scale;
    uint64_t scratch_cap; /* bytes                        */
    qn_dtype kv_dtype;
    qn_cache_windows windows;
    qn_value q, k_cache, v_cache, o;
    bool joined; /* for a row of rope_attend: the node's inputs 0 and 1, qkv and the table, instead of q */
    bool interleaved;
} qn_sdpa_shape;

/* How a live call is cut up. */
typedef struct qn_sdpa_live {
    uint32_t seq, pos, ctx;                   /* S, pos, pos + S                                     */
    uint32_t rows_per_round, heads_per_round; /* heads: all, whole groups, or a part of one group   */
    uint32_t n_row_rounds, n_head_rounds, n_rounds;
    uint32_t n_windows;     /* of the cache that hold live rows                                     */
    uint64_t scratch_bytes; /* of the largest round                                                 */
} qn_sdpa_live;

/* One round: query rows row0.. of the heads kv * g + g0 .. + gn - 1 of the kv heads kv0.. */
typedef struct qn_sdpa_round {
    uint32_t row0, n_rows;
    uint32_t kv0, n_kv, g0, gn;
} qn_sdpa_round;

enum { QN_SDPA_PARAMS = 13 };

typedef enum qn_sdpa_step { QN_SDPA_QK, QN_SDPA_SOFTMAX, QN_SDPA_AV } qn_sdpa_step;

/* Requires 1 <= seq, pos + seq <= windows.cache_rows. QN_ERR_LIMIT when the weights of one head and row pass the cap.
 */
qn_status qn_sdpa_live_make(const qn_sdpa_shape *shape, uint32_t seq, uint32_t pos, qn_sdpa_live *live);
qn_sdpa_round qn_sdpa_round_at(const qn_sdpa_shape *shape, const qn_sdpa_live *live, uint32_t round);
/* Fills the parameter block of attention.wgsl for the live rows of window w (softmax: window 0). */
void qn_sdpa_params(const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round, uint32_t w,
                    uint32_t params[QN_SDPA_PARAMS]);
/* Workgroups of a step for the same window, from the row's TILE_T and TILE_X. */
uint64_t qn_sdpa_workgroups(const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round,
                            uint32_t w, qn_sdpa_step step, const qn_kernel_row *row);

extern const qn_kernel_table qn_attend_kernels, qn_rope_append_kernels, qn_rope_attend_kernels;

/* ---- fused (attend.c) ------------------------------------------------------------------------ */

/* Whether a row can compute a call of seq rows at any position: by head_dim and scratch. */
bool qn_attend_fits(const qn_sdpa_shape *shape, const qn_kernel_row *row, uint32_t seq);
/* The row of fused attention for `seq` query rows: one that is preferred, or with `any` the first that can do it. NULL:
 * none. */
const qn_kernel_row *qn_plan_pick_attend(const qn_plan *p, const qn_sdpa_shape *shape, uint32_t seq, bool any);
/* The row that makes rope_append's work as well, or NULL: both are apart. */
const qn_kernel_row *qn_plan_pick_rope_attend(const qn_plan *p, const qn_sdpa_shape *shape, uint32_t seq);
/* Appends its dispatches. max_seq: the most rows that any call may bring to this row. */
qn_status qn_plan_attend_call(qn_plan *p, const qn_sdpa_shape *shape, const qn_kernel_row *row, qn_rows_at at,
                              uint32_t max_seq);

#endif
