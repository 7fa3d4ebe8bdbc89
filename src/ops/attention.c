/* attention.c - sdpa_with_kv_cache: checks, kernel rows, plan. Five steps: write K, write V, Q.K^T, softmax over the
 * live context, times V. The last three come once for each round, and Q.K^T and times V once for each window of the
 * caches (attention.h). */
#include "ops/attention.h"

#include <math.h>

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

/* The node's inputs, in order. */
enum { IN_Q, IN_K, IN_V, IN_K_CACHE, IN_V_CACHE, IN_POS };

static qn_status check_inputs(const qn_plan *p)
{
    static const char *const names[] = {"q", "k", "v", "k_cache", "v_cache"};
    for (uint32_t i = IN_Q; i <= IN_V_CACHE; i++)
        QN_TRY(qn_plan_check_rows(p, qn_plan_in(p, i), names[i], i >= IN_K_CACHE));
    const uint32_t *q = qn_plan_in(p, IN_Q)->live.dim, *k = qn_plan_in(p, IN_K)->live.dim;
    if (q[3] % 4 != 0) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "head_dim %u is not a multiple of 4", q[3]);
    for (uint32_t i = IN_K; i <= IN_V_CACHE; i++) {
        const uint32_t *d = qn_plan_in(p, i)->live.dim;
        if (d[3] != q[3]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has head_dim %u, q has %u", names[i], d[3], q[3]);
        if (d[2] != k[2]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s has %u heads, k has %u", names[i], d[2], k[2]);
    }
    if (q[2] % k[2] != 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u query heads are no multiple of %u kv heads", q[2], k[2]);
    const uint32_t *kc = qn_plan_in(p, IN_K_CACHE)->live.dim, *vc = qn_plan_in(p, IN_V_CACHE)->live.dim;
    if (kc[1] != vc[1]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "k_cache has %u rows, v_cache has %u", kc[1], vc[1]);
    return qn_ok();
}

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

static qn_status make_shape(const qn_plan *p, qn_sdpa_shape *shape)
{
    const uint32_t *q = qn_plan_in(p, IN_Q)->live.dim, *cache = qn_plan_in(p, IN_K_CACHE)->live.dim;
    uint64_t limit = p->device->max_binding_bytes;
    float scale = p->node->attrs.sdpa.scale;
    *shape = (qn_sdpa_shape){.n_heads = q[2],
                             .n_kv_heads = cache[2],
                             .head_dim = q[3],
                             .scale = scale != 0.0f ? scale : (float)(1.0 / sqrt((double)q[3])),
                             .scratch_cap = (limit < scratch_cap ? limit : scratch_cap) / 256 * 256};
    uint64_t row_bytes = (uint64_t)cache[2] * cache[3] * sizeof(float);
    qn_status s = qn_cache_windows_make(cache[1], row_bytes, limit, &shape->windows);
    return s.code == QN_OK ? s : qn_plan_fail(p, s.code, "%s", s.text);
}

/* One dispatch of a step. */
static qn_status add_step(qn_plan *p, const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round,
                          uint32_t w, qn_sdpa_step step, const qn_kernel_row *row)
{
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    const qn_value *in = p->node->inputs;
    if (step != QN_SDPA_SOFTMAX) d->spec[0] = shape->head_dim / 4;
    if (step == QN_SDPA_QK) {
        qn_bind_value(d, in[IN_Q]);
        qn_cache_windows_bind(&shape->windows, w, d, in[IN_K_CACHE]);
    }
    qn_bind_scratch(d, 0);
    if (step == QN_SDPA_AV) {
        qn_cache_windows_bind(&shape->windows, w, d, in[IN_V_CACHE]);
        qn_bind_value(d, p->node->outputs[0]);
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

/* All dispatches of one live call. */
static qn_status add_call(qn_plan *p, const qn_sdpa_shape *shape, uint32_t seq, uint32_t pos)
{
    static const qn_kernel_table *const tables[] = {
        [QN_SDPA_QK] = &qn_sdpa_qk_kernels,
        [QN_SDPA_SOFTMAX] = &qn_sdpa_softmax_kernels,
        [QN_SDPA_AV] = &qn_sdpa_av_kernels,
    };
    const qn_kernel_row *rows[3];
    for (int i = 0; i < 3; i++) {
        uint32_t cache_rows = shape->windows.cache_rows;
        rows[i] = qn_plan_pick(p, tables[i], usable_rows(p, tables[i], cache_rows), seq);
        if (!rows[i])
            return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device serves a cache of %u rows",
                                cache_rows);
    }
    qn_sdpa_live live;
    qn_status s = qn_sdpa_live_make(shape, seq, pos, &live);
    if (s.code != QN_OK) return qn_plan_fail(p, s.code, "%s", s.text);
    /* Rounded up to the cap once rounds are needed: then no shorter context can need more. */
    QN_TRY(qn_plan_scratch(p, 0, live.n_rounds > 1 ? shape->scratch_cap : live.scratch_bytes));
    const qn_value *in = p->node->inputs;
    QN_TRY(qn_plan_write_cache(p, &shape->windows, in[IN_K], in[IN_K_CACHE], seq, pos));
    QN_TRY(qn_plan_write_cache(p, &shape->windows, in[IN_V], in[IN_V_CACHE], seq, pos));
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

/* Inputs: q[1, S, Hq, D], k, v[1, S, Hkv, D], k_cache, v_cache[1, C, Hkv, D], input_pos. Output: o[1, S, Hq, D]. */
qn_status qn_plan_sdpa(qn_plan *p)
{
    QN_TRY(check_inputs(p));
    uint32_t rows = 0, m;
    qn_sdpa_shape shape;
    QN_TRY(live_rows(p, &rows));
    QN_TRY(make_shape(p, &shape));
    /* The three tables may change their choice at different numbers of rows. */
    const qn_kernel_table *const tables[] = {&qn_sdpa_qk_kernels, &qn_sdpa_av_kernels, &qn_sdpa_softmax_kernels};
    for (int t = 0; t < (p->building ? 3 : 1); t++)
        for (uint32_t i = 0; qn_plan_probe(p, tables[t], rows, &i, &m);) {
            uint32_t seq, pos;
            QN_TRY(qn_plan_cache_rows(p, m, qn_plan_in(p, IN_POS), shape.windows.cache_rows, &seq, &pos));
            QN_TRY(add_call(p, &shape, seq, pos));
        }
    return qn_plan_set_out(p, 0, QN_F32, qn_plan_in(p, IN_Q)->live);
}
