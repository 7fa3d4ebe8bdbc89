/* attention.c - sdpa_with_kv_cache and attend: checks, and the plan. Attention is fused (attend.c), or in three steps
 * whose rows are here: Q.K^T, softmax over the live context, times V; these come once for each round, and Q.K^T and
 * times V once for each window of the caches (attention.h). sdpa_with_kv_cache writes the rows of K and V before. */
#include "ops/attention.h"

#include <math.h>
#include <string.h>

/* Core WebGPU's binding limit: what scratch a plan takes must not depend on how much more a device offers. */
static const uint64_t scratch_cap = 128u << 20;

enum { FEW_ROWS = 4 }; /* up to here a call counts as decode */

/* SOFTWARE_CTX of a row: the longest cache for which a software device can run it (none: any). Mesa's software driver
 * silently leaves a shader invocation after 65,535 loop iterations in all, and these rows loop over the context. */

static const qn_kernel_row qk_rows[] = {
    {.name = "sdpa.qk_few",
     .source = "attention_qk_tile",
     .with = {"attention", "attention_qk"},
     .entry = "qk_tile",
     .access = "rrw",
     .workgroup = {32, 8, 1},
     .consts = {{"TILE_T", 8}, {"TILE_X", 32}, {"CHUNK", 8}},
     .spec = {"D4"},
     .preferred = QN_ROW_GPU,
     .max_rows = FEW_ROWS},
    {.name = "sdpa.qk_tile",
     .source = "attention_qk_tile",
     .with = {"attention", "attention_qk"},
     .entry = "qk_tile",
     .access = "rrw",
     .workgroup = {16, 16, 1},
     .consts = {{"TILE_T", 64}, {"TILE_X", 64}, {"CHUNK", 4}},
     .spec = {"D4"},
     .preferred = QN_ROW_GPU,
     .min_rows = FEW_ROWS + 1},
    {.name = "sdpa.qk_each",
     .source = "attention_qk_each",
     .with = {"attention", "attention_qk"},
     .entry = "qk_each",
     .access = "rrw",
     .workgroup = {16, 1, 1},
     .consts = {{"TILE_T", 4}, {"TILE_X", 64}},
     .spec = {"D4"},
     .preferred = QN_ROW_SOFTWARE},
};

static const qn_kernel_row softmax_rows[] = {
    {.name = "sdpa.softmax_row",
     .source = "attention_softmax",
     .with = {"attention"},
     .entry = "softmax_row",
     .access = "w",
     .workgroup = {128, 1, 1},
     .consts = {{"TILE_T", 1}, {"TILE_X", 1}, {"D4", 1}, {"SOFTWARE_CTX", 2700000}},
     .preferred = QN_ROW_GPU},
    {.name = "sdpa.softmax_each",
     .source = "attention_softmax",
     .with = {"attention"},
     .entry = "softmax_each",
     .access = "w",
     .workgroup = {8, 1, 1},
     .consts = {{"TILE_T", 8}, {"TILE_X", 1}, {"D4", 1}, {"SOFTWARE_CTX", 21000}},
     .preferred = QN_ROW_SOFTWARE},
};

static const qn_kernel_row av_rows[] = {
    {.name = "sdpa.av_split",
     .source = "attention_av_split",
     .with = {"attention", "attention_av"},
     .entry = "av_split",
     .access = "rrw",
     .workgroup = {4, 64, 1},
     .consts = {{"TILE_T", 4}, {"TILE_X", 4}, {"SOFTWARE_CTX", 4000000}},
     .spec = {"D4"},
     .preferred = QN_ROW_GPU,
     .max_rows = FEW_ROWS},
    {.name = "sdpa.av_tile",
     .source = "attention_av_tile",
     .with = {"attention", "attention_av"},
     .entry = "av_tile",
     .access = "rrw",
     .workgroup = {16, 16, 1},
     .consts = {{"TILE_T", 64}, {"TILE_X", 16}, {"CHUNK", 16}, {"SOFTWARE_CTX", 200000}},
     .spec = {"D4"},
     .preferred = QN_ROW_GPU,
     .min_rows = FEW_ROWS + 1},
    {.name = "sdpa.av",
     .source = "attention_av_each",
     .with = {"attention", "attention_av"},
     .entry = "av",
     .access = "rrw",
     .workgroup = {8, 1, 1},
     .consts = {{"TILE_T", 4}, {"TILE_X", 16}, {"SOFTWARE_CTX", 262000}},
     .spec = {"D4"},
     .preferred = QN_ROW_SOFTWARE},
    {.name = "sdpa.av_plain",
     .source = "attention_av_plain",
     .with = {"attention"},
     .entry = "av_plain",
     .access = "rrw",
     .workgroup = {64, 1, 1},
     .consts = {{"TILE_T", 1}, {"TILE_X", 16}, {"SOFTWARE_CTX", 65000}},
     .spec = {"D4"},
     .never_preferred = true},
};

const qn_kernel_table qn_sdpa_qk_kernels = {qk_rows, sizeof qk_rows / sizeof qk_rows[0]};
const qn_kernel_table qn_sdpa_softmax_kernels = {softmax_rows, sizeof softmax_rows / sizeof softmax_rows[0]};
const qn_kernel_table qn_sdpa_av_kernels = {av_rows, sizeof av_rows / sizeof av_rows[0]};

/* ---- checks ---------------------------------------------------------------------------------- */

/* q[1, S, Hq, D] and caches [1, C, Hkv, D] that fit each other. */
static qn_status check_attend(const qn_plan *p, const qn_tensor *q, const qn_tensor *k_cache, const qn_tensor *v_cache)
{
    QN_TRY(qn_plan_check_rows(p, q, "q", false));
    QN_TRY(qn_plan_check_caches(p, k_cache, v_cache));
    const uint32_t *qd = q->live.dim, *k = k_cache->live.dim;
    if (k[3] != qd[3]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "k_cache has head_dim %u, q has %u", k[3], qd[3]);
    if (qd[2] % k[2] != 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u query heads are no multiple of %u kv heads", qd[2], k[2]);
    return qn_ok();
}

/* k or v[1, S, Hkv, D] as the cache's rows. */
static qn_status check_new_rows(const qn_plan *p, const qn_tensor *x, const char *what, const qn_tensor *cache)
{
    QN_TRY(qn_plan_check_rows(p, x, what, false));
    const uint32_t *d = x->live.dim, *c = cache->live.dim;
    if (d[3] != c[3]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has head_dim %u, its cache has %u", what, d[3], c[3]);
    if (d[2] != c[2]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has %u heads, its cache has %u", what, d[2], c[2]);
    return qn_ok();
}

static qn_status make_shape(const qn_plan *p, qn_value q, qn_value k_cache, qn_value v_cache, float scale,
                            qn_sdpa_shape *shape)
{
    const qn_tensor *cache = &p->tensors[k_cache];
    const uint32_t *d = p->tensors[q].live.dim;
    QN_TRY(check_attend(p, &p->tensors[q], cache, &p->tensors[v_cache]));
    uint64_t limit = p->device->max_binding_bytes;
    *shape = (qn_sdpa_shape){.n_heads = d[2],
                             .n_kv_heads = cache->live.dim[2],
                             .head_dim = d[3],
                             .scale = scale != 0.0f ? scale : (float)(1.0 / sqrt((double)d[3])),
                             .scratch_cap = (limit < scratch_cap ? limit : scratch_cap) / 256 * 256,
                             .kv_dtype = cache->dtype,
                             .q = q,
                             .k_cache = k_cache,
                             .v_cache = v_cache,
                             .o = p->node->outputs[0]};
    return qn_plan_cache_windows(p, cache, &shape->windows);
}

/* ---- three dispatches: Q.K^T, softmax, times V ------------------------------------------------- */

/* One dispatch of a step. */
static qn_status add_step(qn_plan *p, const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round,
                          uint32_t w, qn_sdpa_step step, const qn_kernel_row *row)
{
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    if (step != QN_SDPA_SOFTMAX) d->spec[0] = shape->head_dim / 4;
    if (step == QN_SDPA_QK) {
        qn_bind_value(d, shape->q);
        qn_cache_windows_bind(&shape->windows, w, d, shape->k_cache);
    }
    qn_bind_scratch(d, 0);
    if (step == QN_SDPA_AV) {
        qn_cache_windows_bind(&shape->windows, w, d, shape->v_cache);
        qn_bind_value(d, shape->o);
    }
    qn_sdpa_params(shape, live, round, w, d->params);
    d->n_params = QN_SDPA_PARAMS;
    return qn_grid_1d(p, d, qn_sdpa_workgroups(shape, live, round, w, step, row));
}

/* The rows of a table that can compute this node: a matter of the cache's length, never of the live context. */
static uint64_t usable_rows(const qn_plan *p, const qn_kernel_table *table, uint32_t cache_rows)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < table->n_rows; i++) {
        uint32_t longest = qn_row_const(&table->rows[i], "SOFTWARE_CTX");
        if (p->device->type == QN_ADAPTER_SOFTWARE && longest != 0 && cache_rows > longest) continue;
        mask |= UINT64_C(1) << i;
    }
    return mask;
}

static const qn_kernel_table *const step_tables[] = {
    [QN_SDPA_QK] = &qn_sdpa_qk_kernels,
    [QN_SDPA_SOFTMAX] = &qn_sdpa_softmax_kernels,
    [QN_SDPA_AV] = &qn_sdpa_av_kernels,
};

static qn_status add_steps(qn_plan *p, const qn_sdpa_shape *shape, qn_rows_at at)
{
    const qn_kernel_row *rows[3];
    for (int i = 0; i < 3; i++) {
        uint32_t cache_rows = shape->windows.cache_rows;
        rows[i] = qn_plan_pick(p, step_tables[i], usable_rows(p, step_tables[i], cache_rows), at.seq);
        if (!rows[i])
            return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device serves a cache of %u rows",
                                cache_rows);
    }
    qn_sdpa_live live;
    qn_status s = qn_sdpa_live_make(shape, at.seq, at.pos, &live);
    if (s.code != QN_OK) return qn_plan_fail(p, s.code, "%s", s.text);
    /* Rounded up to the cap once rounds are needed: then no shorter context can need more. */
    QN_TRY(qn_plan_scratch(p, 0, live.n_rounds > 1 ? shape->scratch_cap : live.scratch_bytes));
    for (uint32_t r = 0; r < live.n_rounds; r++) {
        qn_sdpa_round round = qn_sdpa_round_at(shape, &live, r);
        for (uint32_t w = 0; w < live.n_windows; w++)
            QN_TRY(add_step(p, shape, &live, &round, w, QN_SDPA_QK, rows[QN_SDPA_QK]));
        QN_TRY(add_step(p, shape, &live, &round, 0, QN_SDPA_SOFTMAX, rows[QN_SDPA_SOFTMAX]));
        for (uint32_t w = 0; w < live.n_windows; w++)
            QN_TRY(add_step(p, shape, &live, &round, w, QN_SDPA_AV, rows[QN_SDPA_AV]));
    }
    return qn_ok();
}

/* ---- plans ----------------------------------------------------------------------------------- */

static bool names_step(const char *forced)
{
    for (int t = 0; forced && t < 3; t++)
        for (uint32_t i = 0; i < step_tables[t]->n_rows; i++)
            if (strcmp(step_tables[t]->rows[i].name, forced) == 0) return true;
    return false;
}

/* The part that is common: the rows are in the caches. Fused, where a row is preferred or the caches are not f32. */
static qn_status add_attend(qn_plan *p, const qn_sdpa_shape *shape, qn_rows_at at, uint32_t max_seq)
{
    bool steps = shape->kv_dtype == QN_F32;
    const qn_kernel_row *row = steps && names_step(p->forced) ? NULL : qn_plan_pick_attend(p, shape, at.seq, !steps);
    if (row) QN_TRY(qn_plan_attend_call(p, shape, row, at, max_seq));
    /* Longer calls of the row's range may not fit its scratch: they go in steps. */
    bool both = row && steps && p->building && !qn_attend_fits(shape, row, max_seq);
    if (row && !both) return qn_ok();
    if (steps) return add_steps(p, shape, at);
    return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device serves caches of this type and head_dim %u",
                        shape->head_dim);
}

/* The tables may change their choices at different numbers of rows. */
static const qn_kernel_table *const probed[] = {&qn_attend_kernels, &qn_sdpa_qk_kernels, &qn_sdpa_av_kernels,
                                                &qn_sdpa_softmax_kernels};
enum { N_PROBED = sizeof probed / sizeof probed[0] };

/* What a choice between kernels is for. */
static void sign(qn_plan *p, const qn_sdpa_shape *shape)
{
    qn_plan_sign(p, shape->n_heads);
    qn_plan_sign(p, shape->n_kv_heads);
    qn_plan_sign(p, shape->head_dim);
    qn_plan_sign(p, shape->kv_dtype);
}

/* Inputs: q[1, S, Hq, D], k_cache, v_cache[1, C, Hkv, D], input_pos. Output: o[1, S, Hq, D]. */
qn_status qn_plan_attend(qn_plan *p)
{
    enum { Q, K_CACHE, V_CACHE, POS };
    const qn_value *in = p->node->inputs;
    qn_sdpa_shape shape;
    QN_TRY(make_shape(p, in[Q], in[K_CACHE], in[V_CACHE], p->node->attrs.sdpa.scale, &shape));
    sign(p, &shape);
    uint32_t rows = qn_plan_in(p, Q)->live.dim[1], m;
    for (int t = 0; t < (p->building ? N_PROBED : 1); t++)
        for (uint32_t i = 0; qn_plan_probe(p, probed[t], rows, &i, &m);) {
            qn_rows_at at;
            QN_TRY(qn_plan_cache_rows(p, m, qn_plan_in(p, POS), shape.windows.cache_rows, &at));
            QN_TRY(add_attend(p, &shape, at, rows));
        }
    return qn_plan_set_out(p, 0, QN_F32, qn_plan_in(p, Q)->live);
}

/* Inputs as of rope_append, whose work it makes too. Outputs: q[1, S, Hq, D], which is written only where the work
 * takes more than one dispatch, and o[1, S, Hq, D]. */
qn_status qn_plan_rope_attend(qn_plan *p)
{
    enum { K_CACHE = 2, V_CACHE };
    const qn_node *n = p->node;
    qn_append_shape append;
    qn_sdpa_shape shape;
    QN_TRY(qn_plan_append_shape(p, &append));
    QN_TRY(make_shape(p, n->outputs[0], n->inputs[K_CACHE], n->inputs[V_CACHE], n->attrs.rope.scale, &shape));
    shape.o = n->outputs[1];
    sign(p, &shape);
    qn_sdpa_shape joined = shape;
    joined.joined = true;
    joined.interleaved = n->attrs.rope.mode == QN_ROPE_INTERLEAVED;
    uint32_t m;
    for (int t = 0; t < (p->building ? N_PROBED : 1); t++)
        for (uint32_t i = 0; qn_plan_probe(p, probed[t], append.rows, &i, &m);) {
            qn_rows_at at;
            QN_TRY(qn_plan_append_at(p, &append, m, &at));
            const qn_kernel_row *row = names_step(p->forced) ? NULL : qn_plan_pick_rope_attend(p, &joined, m);
            if (row) {
                QN_TRY(qn_plan_attend_call(p, &joined, row, at, 1));
                continue;
            }
            QN_TRY(qn_plan_append_call(p, &append, at));
            QN_TRY(add_attend(p, &shape, at, append.rows));
        }
    return qn_plan_set_out(p, 1, QN_F32, qn_plan_out(p, 0)->live);
}

/* The inputs of sdpa_with_kv_cache, in order. */
enum { IN_Q, IN_K, IN_V, IN_K_CACHE, IN_V_CACHE, IN_POS };

/* S of q, k and v: the same in every call; the graph may be built with different maximums. */
static qn_status live_rows(const qn_plan *p, uint32_t *rows)
{
    uint32_t q = qn_plan_in(p, IN_Q)->live.dim[1], k = qn_plan_in(p, IN_K)->live.dim[1];
    uint32_t v = qn_plan_in(p, IN_V)->live.dim[1];
    if (!p->building && (q != k || q != v))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "q, k and v have %u, %u and %u rows; they must be the same", q, k, v);
    *rows = q < k ? q : k;
    if (v < *rows) *rows = v;
    return qn_ok();
}

/* Inputs: q[1, S, Hq, D], k, v[1, S, Hkv, D], k_cache, v_cache[1, C, Hkv, D], input_pos. Output: o[1, S, Hq, D]. */
qn_status qn_plan_sdpa(qn_plan *p)
{
    const qn_value *in = p->node->inputs;
    qn_sdpa_shape shape;
    QN_TRY(make_shape(p, in[IN_Q], in[IN_K_CACHE], in[IN_V_CACHE], p->node->attrs.sdpa.scale, &shape));
    QN_TRY(check_new_rows(p, qn_plan_in(p, IN_K), "k", qn_plan_in(p, IN_K_CACHE)));
    QN_TRY(check_new_rows(p, qn_plan_in(p, IN_V), "v", qn_plan_in(p, IN_V_CACHE)));
    uint32_t rows = 0, m;
    QN_TRY(live_rows(p, &rows));
    sign(p, &shape);
    for (int t = 0; t < (p->building ? N_PROBED : 1); t++)
        for (uint32_t i = 0; qn_plan_probe(p, probed[t], rows, &i, &m);) {
            qn_rows_at at;
            QN_TRY(qn_plan_cache_rows(p, m, qn_plan_in(p, IN_POS), shape.windows.cache_rows, &at));
            QN_TRY(qn_plan_write_cache(p, &shape.windows, in[IN_K], in[IN_K_CACHE], at));
            QN_TRY(qn_plan_write_cache(p, &shape.windows, in[IN_V], in[IN_V_CACHE], at));
            QN_TRY(add_attend(p, &shape, at, rows));
        }
    return qn_plan_set_out(p, 0, QN_F32, qn_plan_in(p, IN_Q)->live);
}
