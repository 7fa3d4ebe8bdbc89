/* attend.c - fused attention over the caches: kernel rows, the cut of a context into splits, dispatches (attend.wgsl).
 */
#include "ops/attention.h"
#include "ops/check.h"

#include <math.h>
#include <string.h>

/* Live rows up to which a row is preferred. */
enum { FEW_ROWS = 32, WAVE_ROWS = 128, BLOCK_ROWS = 1024 };

#define SPEC "D8", "N_KV", "G"
enum { N_SPEC = 3 };

/* TILE_T: queries of a workgroup. MAX_D: the largest head_dim; EACH_D: what it is a multiple of (none: 8). NO_CODES:
 * not for caches of q8_0. GROUPS: so many workgroups are wanted, which is what a context is cut for; into splits of at
 * least MIN_SPLIT cache rows, and not at all up to WHOLE rows, where the second dispatch takes longer than what it
 * saves. MAX_SPLIT: the most rows of a split (none: any). LANES: tiles of a workgroup. */
#define ATTEND_ROW(variant, file, x, y, ...)                                                                           \
    .name = "attend." variant, .source = "attend_" file,                                                               \
    .with = {"attend", "attend_in", "attend_split", "kv_load", __VA_ARGS__}, .entry = "attend_" file,                  \
    .access = "rrrww", .workgroup = {x, y, 1}, .spec = {SPEC, "KV_TYPE"}
#define WAVE                                                                                                           \
    .consts = {{"TILE_T", 4},         {"MAX_D", 64},      {"EACH_D", 64}, {"NO_CODES", 1},                             \
               {"LEAST_SUBGROUP", 8}, {"MIN_SPLIT", 128}, {"WHOLE", 512}, {"GROUPS", 264}},                            \
    .needs = QN_NEEDS_SUBGROUPS, .workgroup_bytes = 16896, .preferred = QN_ROW_GPU, .unroll = 16
#define SUBGROUPS .needs = QN_NEEDS_SUBGROUPS

static const qn_kernel_row attend_rows[] = {
    {ATTEND_ROW("wave", "wave", 128, 1, "attend_four", "attend_wave_q"), WAVE, .max_rows = WAVE_ROWS},
    {ATTEND_ROW("few", "few", 128, 1, "attend_four"),
     .consts = {{"TILE_T", 4}, {"MAX_D", 256}, {"MIN_SPLIT", 64}, {"WHOLE", 192}, {"GROUPS", 264}},
     .preferred = QN_ROW_GPU, .max_rows = FEW_ROWS},
    {ATTEND_ROW("block_narrow", "block", 64, 1, "attend_scores"),
     .consts =
         {{"TILE_T", 32}, {"MAX_D", 64}, {"LEAST_SUBGROUP", 8}, {"MIN_SPLIT", 256}, {"WHOLE", 1024}, {"GROUPS", 264}},
     SUBGROUPS, .workgroup_bytes = 30208, .preferred = QN_ROW_GPU, .min_rows = FEW_ROWS + 1, .max_rows = WAVE_ROWS},
    {ATTEND_ROW("block", "block", 128, 1, "attend_scores"),
     .consts =
         {{"TILE_T", 64}, {"MAX_D", 64}, {"LEAST_SUBGROUP", 8}, {"MIN_SPLIT", 256}, {"WHOLE", 1024}, {"GROUPS", 264}},
     SUBGROUPS, .workgroup_bytes = 42496, .preferred = QN_ROW_GPU, .min_rows = FEW_ROWS + 1, .max_rows = BLOCK_ROWS},
    {ATTEND_ROW("tile", "tile", 16, 8, "attend_scores"),
     .consts = {{"TILE_T", 64}, {"MAX_D", 128}, {"MIN_SPLIT", 256}, {"WHOLE", 1024}, {"GROUPS", 264}},
     .preferred = QN_ROW_GPU, .min_rows = FEW_ROWS + 1},
    {ATTEND_ROW("each", "each", 8, 1, NULL),
     .consts = {{"TILE_T", 1},
                {"LANES", 8},
                {"MAX_D", 256},
                {"MIN_SPLIT", 64},
                {"MAX_SPLIT", 1984},
                {"GROUPS", 64},
                {"PACKED", 1}},
     .preferred = QN_ROW_SOFTWARE},
};

/* With rope_append's work, of one row. */
static const qn_kernel_row rope_attend_rows[] = {
    {.name = "rope_attend.wave",
     .source = "attend_wave",
     .with = {"attend", "attend_split", "kv_load", "attend_four", "attend_wave_qkv"},
     .entry = "attend_wave",
     .access = "rrwwww",
     .workgroup = {128, 1, 1},
     .spec = {SPEC, "KV_TYPE", "INTERLEAVED"},
     WAVE,
     .max_rows = 1,
     .joins = true},
};

static const qn_kernel_row reduce_rows[] = {
    {.name = "attend.reduce",
     .source = "attend_reduce",
     .with = {"attend"},
     .entry = "attend_reduce",
     .access = "rw",
     .workgroup = {16, 16, 1},
     .spec = {SPEC},
     .preferred = QN_ROW_GPU},
    {.name = "attend.reduce_each",
     .source = "attend_reduce",
     .with = {"attend"},
     .entry = "attend_reduce",
     .access = "rw",
     .workgroup = {16, 1, 1},
     .spec = {SPEC},
     .preferred = QN_ROW_SOFTWARE},
};

const qn_kernel_table qn_attend_kernels = {attend_rows, sizeof attend_rows / sizeof attend_rows[0]};
const qn_kernel_table qn_rope_attend_kernels = {rope_attend_rows, 1};
const qn_kernel_table qn_attend_reduce_kernels = {reduce_rows, sizeof reduce_rows / sizeof reduce_rows[0]};

/* ---- splits ---------------------------------------------------------------------------------- */

/* A live call, cut up: splits of split_rows cache rows, anew in every window. */
typedef struct attend_live {
    uint32_t ctx, n_t; /* queries of a kv head */
    uint32_t split_rows, n_windows, n_splits;
    uint64_t tiles;
} attend_live;

static uint32_t window_rows(const qn_cache_windows *windows, uint32_t ctx, uint32_t w)
{
    uint32_t left = ctx - w * windows->rows;
    return left < windows->rows ? left : windows->rows;
}

static attend_live make_live(const qn_sdpa_shape *shape, const qn_kernel_row *row, qn_rows_at at)
{
    attend_live l = {.ctx = at.pos + at.seq, .n_t = at.seq * (shape->n_heads / shape->n_kv_heads)};
    l.tiles = (uint64_t)shape->n_kv_heads * qn_div_up(l.n_t, qn_row_const(row, "TILE_T"));
    uint32_t groups = qn_row_const(row, "GROUPS"), least = qn_row_const(row, "MIN_SPLIT");
    bool whole = l.ctx <= qn_row_const(row, "WHOLE");
    uint32_t wanted = l.tiles < groups && !whole ? groups / (uint32_t)l.tiles : 1;
    l.split_rows = qn_div_up(qn_div_up(l.ctx, wanted), least) * least;
    uint32_t most = qn_row_const(row, "MAX_SPLIT");
    if (most && l.split_rows > most) l.split_rows = most;
    l.n_windows = qn_div_up(l.ctx, shape->windows.rows);
    for (uint32_t w = 0; w < l.n_windows; w++)
        l.n_splits += qn_div_up(window_rows(&shape->windows, l.ctx, w), l.split_rows);
    return l;
}

/* Bytes of n parts of a query: D elements, maximum and sum. */
static uint64_t part_bytes(const qn_sdpa_shape *shape, uint64_t n)
{
    return n * (shape->head_dim + 4) * sizeof(float);
}

/* At least what any call of at most at.seq rows and at.pos + at.seq of context takes: tiles * wanted <= GROUPS where a
 * context is cut, and every further window cuts once more. */
static uint64_t most_scratch(const qn_sdpa_shape *shape, const qn_kernel_row *row, qn_rows_at at)
{
    uint64_t lines = (uint64_t)at.seq * shape->n_heads, n_windows = qn_div_up(at.pos + at.seq, shape->windows.rows);
    uint64_t cut = (uint64_t)qn_row_const(row, "GROUPS") * qn_row_const(row, "TILE_T");
    uint64_t fine = lines * qn_div_up(at.pos + at.seq, qn_row_const(row, "MIN_SPLIT"));
    uint64_t n = cut < fine ? cut : fine;
    uint32_t longest = qn_row_const(row, "MAX_SPLIT");
    if (longest) n += lines * qn_div_up(at.pos + at.seq, longest);
    if (n_windows > 1) n += lines * n_windows;
    return part_bytes(shape, n ? n : 1);
}

bool qn_attend_fits(const qn_sdpa_shape *shape, const qn_kernel_row *row, uint32_t seq)
{
    uint32_t each = qn_row_const(row, "EACH_D");
    if (qn_row_const(row, "NO_CODES") && shape->kv_dtype == QN_Q8_0) return false;
    if (shape->head_dim % (each ? each : 8) != 0 || shape->head_dim > qn_row_const(row, "MAX_D")) return false;
    qn_rows_at last = {seq, shape->windows.cache_rows - seq};
    return most_scratch(shape, row, last) <= shape->scratch_cap;
}

const qn_kernel_row *qn_plan_pick_attend(const qn_plan *p, const qn_sdpa_shape *shape, uint32_t seq, bool any)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < qn_attend_kernels.n_rows; i++)
        if (qn_attend_fits(shape, &attend_rows[i], seq)) mask |= UINT64_C(1) << i;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_attend_kernels, mask, seq);
    if (!row || any || row == qn_plan_decided(p, &qn_attend_kernels, mask, seq)) return row;
    bool in_range = seq >= row->min_rows && (row->max_rows == 0 || seq <= row->max_rows);
    return in_range && qn_row_preferred_on(row, p->device) && !qn_row_const(row, "PACKED") ? row : NULL;
}

const qn_kernel_row *qn_plan_pick_rope_attend(const qn_plan *p, const qn_sdpa_shape *shape, uint32_t seq)
{
    bool other = p->forced && strcmp(p->forced, rope_attend_rows[0].name) != 0 &&
                 (strncmp(p->forced, "attend.", 7) == 0 || strncmp(p->forced, "rope_append.", 12) == 0);
    if (other || seq != 1 || shape->windows.n != 1 || shape->windows.cache_rows < 2 ||
        !qn_attend_fits(shape, &rope_attend_rows[0], 1))
        return NULL;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_rope_attend_kernels, UINT64_MAX, seq);
    bool chosen = row && row == qn_plan_decided(p, &qn_rope_attend_kernels, UINT64_MAX, seq);
    return row && (chosen || qn_row_preferred_on(row, p->device)) ? row : NULL;
}

/* ---- dispatches ------------------------------------------------------------------------------ */

static void set_spec(qn_dispatch *d, const qn_sdpa_shape *shape)
{
    d->spec[0] = shape->head_dim / 8;
    d->spec[1] = shape->n_kv_heads;
    d->spec[2] = shape->n_heads / shape->n_kv_heads;
}

static void set_params(qn_dispatch *d, const qn_sdpa_shape *shape, const attend_live *l, uint32_t w, uint32_t split0)
{
    uint32_t c0 = w * shape->windows.rows, rows = window_rows(&shape->windows, l->ctx, w);
    uint32_t group = shape->n_heads / shape->n_kv_heads;
    const uint32_t words[] = {
        l->ctx - l->n_t / group,
        c0,
        c0 + rows,
        l->n_t,
        shape->n_kv_heads * shape->head_dim,
        (uint32_t)(shape->windows.row_bytes / 16),
        l->split_rows,
        qn_div_up(rows, l->split_rows),
        split0,
        l->n_splits,
    };
    memcpy(d->params, words, sizeof words);
    d->n_params = sizeof words / sizeof words[0];
    qn_param_f32(d, (float)((double)shape->scale * 1.4426950408889634)); /* log2(e) */
}

/* A window's share of the causal products: all of them, by its share of the context. */
static void tell_work(const qn_sdpa_shape *shape, const attend_live *l, uint32_t rows, qn_dispatch *d)
{
    double ctx = l->ctx, seq = (double)l->n_t * shape->n_kv_heads / shape->n_heads;
    double width = (double)shape->n_heads * shape->head_dim, pairs = seq * (ctx - seq) + 0.5 * seq * (seq + 1);
    qn_plan_work(d, 4 * width * pairs * rows / ctx, 2.0 * rows * (double)shape->windows.row_bytes + 8 * seq * width);
}

static qn_status add_window(qn_plan *p, const qn_sdpa_shape *shape, const qn_kernel_row *row, const attend_live *l,
                            uint32_t w, uint32_t *split0)
{
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    set_spec(d, shape);
    d->spec[N_SPEC] = qn_kv_type_number(shape->kv_dtype);
    if (shape->joined) {
        d->spec[N_SPEC + 1] = shape->interleaved;
        qn_bind_operand(p, d, 0);
        qn_bind_operand(p, d, 1);
    } else {
        qn_bind_value(d, shape->q);
    }
    qn_cache_windows_bind(&shape->windows, w, d, shape->k_cache);
    qn_cache_windows_bind(&shape->windows, w, d, shape->v_cache);
    qn_bind_value(d, shape->o);
    qn_bind_scratch(d, 0);
    set_params(d, shape, l, w, *split0);
    tell_work(shape, l, window_rows(&shape->windows, l->ctx, w), d);
    uint32_t splits = qn_div_up(window_rows(&shape->windows, l->ctx, w), l->split_rows);
    *split0 += splits;
    uint32_t lanes = qn_row_const(row, "LANES");
    return qn_grid_1d(p, d, qn_div_up_u64(l->tiles * splits, lanes ? lanes : 1));
}

static qn_status add_reduce(qn_plan *p, const qn_sdpa_shape *shape, const attend_live *l)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_attend_reduce_kernels, UINT64_MAX, 1);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this device");
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    set_spec(d, shape);
    qn_bind_scratch(d, 0);
    qn_bind_value(d, shape->o);
    set_params(d, shape, l, 0, 0);
    uint64_t queries = (uint64_t)shape->n_kv_heads * l->n_t;
    return qn_grid_1d(p, d, queries * qn_div_up(shape->head_dim / 4, row->workgroup[0]));
}

qn_status qn_plan_attend_call(qn_plan *p, const qn_sdpa_shape *shape, const qn_kernel_row *row, qn_rows_at at,
                              uint32_t max_seq)
{
    attend_live l = make_live(shape, row, at);
    uint64_t need = part_bytes(shape, l.n_splits > 1 ? (uint64_t)at.seq * shape->n_heads * l.n_splits : 1);
    if (p->building) {
        uint32_t rows = shape->windows.cache_rows, most = max_seq < rows ? max_seq : rows;
        need = most_scratch(shape, row, (qn_rows_at){most, rows - most});
        if (need > shape->scratch_cap) need = shape->scratch_cap; /* more is for calls that the row does not take */
    }
    QN_TRY(qn_plan_scratch(p, 0, need));
    uint32_t split0 = 0;
    for (uint32_t w = 0; w < l.n_windows; w++) QN_TRY(add_window(p, shape, row, &l, w, &split0));
    if (l.n_splits > 1 || p->building) QN_TRY(add_reduce(p, shape, &l));
    return qn_ok();
}
