/* attention_math.c - rounds and parameter blocks of attention (see attention.h). */
#include "ops/attention.h"

#include <string.h>

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

qn_status qn_sdpa_live_make(const qn_sdpa_shape *shape, uint32_t seq, uint32_t pos, qn_sdpa_live *live)
{
    uint32_t group = shape->n_heads / shape->n_kv_heads;
    qn_sdpa_live l = {.seq = seq, .pos = pos, .ctx = pos + seq};
    /* Weights of one head of one query row; how many of these fit. */
    uint64_t line = (uint64_t)l.ctx * sizeof(float);
    uint64_t lines = shape->scratch_cap / line;
    if (lines == 0)
        return qn_fail(QN_ERR_LIMIT,
                       "the attention weights of one query row over a context of %u are %llu bytes, over %llu", l.ctx,
                       (unsigned long long)line, (unsigned long long)shape->scratch_cap);
    if (lines >= shape->n_heads) {
        uint64_t rows = lines / shape->n_heads;
        l.rows_per_round = rows < seq ? (uint32_t)rows : seq;
        l.heads_per_round = shape->n_heads;
        l.n_head_rounds = 1;
    } else if (lines >= group) {
        l.rows_per_round = 1;
        l.heads_per_round = (uint32_t)lines / group * group;
        l.n_head_rounds = qn_div_up(shape->n_heads, l.heads_per_round);
    } else {
        l.rows_per_round = 1;
        l.heads_per_round = (uint32_t)lines;
        l.n_head_rounds = shape->n_kv_heads * qn_div_up(group, l.heads_per_round);
    }
    l.n_row_rounds = qn_div_up(seq, l.rows_per_round);
    l.n_rounds = l.n_row_rounds * l.n_head_rounds;
    l.n_windows = qn_div_up(l.ctx, shape->windows.rows);
    l.scratch_bytes = line * l.rows_per_round * l.heads_per_round;
    *live = l;
    return qn_ok();
}

qn_sdpa_round qn_sdpa_round_at(const qn_sdpa_shape *shape, const qn_sdpa_live *live, uint32_t round)
{
    uint32_t group = shape->n_heads / shape->n_kv_heads;
    uint32_t heads = round / live->n_row_rounds; /* number of the head round */
    qn_sdpa_round r = {.row0 = round % live->n_row_rounds * live->rows_per_round};
    r.n_rows = min_u32(live->rows_per_round, live->seq - r.row0);
    if (live->heads_per_round >= group) {
        r.kv0 = heads * (live->heads_per_round / group);
        r.n_kv = min_u32(live->heads_per_round / group, shape->n_kv_heads - r.kv0);
        r.gn = group;
    } else {
        uint32_t parts = qn_div_up(group, live->heads_per_round); /* rounds of one kv head */
        r.kv0 = heads / parts;
        r.n_kv = 1;
        r.g0 = heads % parts * live->heads_per_round;
        r.gn = min_u32(live->heads_per_round, group - r.g0);
    }
    return r;
}

/* Live rows c0 <= c < c1 of window w. */
static uint32_t window_begin(const qn_sdpa_shape *shape, uint32_t w)
{
    return w * shape->windows.rows;
}

static uint32_t window_end(const qn_sdpa_shape *shape, const qn_sdpa_live *live, uint32_t w)
{
    return w + 1 < live->n_windows ? (w + 1) * shape->windows.rows : live->ctx;
}

void qn_sdpa_params(const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round, uint32_t w,
                    uint32_t params[QN_SDPA_PARAMS])
{
    const uint32_t words[QN_SDPA_PARAMS - 1] = {
        live->pos,
        live->ctx,
        window_begin(shape, w),
        window_end(shape, live, w),
        round->row0,
        round->n_rows * round->gn,
        round->kv0,
        round->n_kv,
        shape->n_heads / shape->n_kv_heads,
        round->g0,
        round->gn,
        shape->n_kv_heads,
    };
    memcpy(params, words, sizeof words);
    memcpy(&params[QN_SDPA_PARAMS - 1], &shape->scale, sizeof shape->scale);
}

uint64_t qn_sdpa_workgroups(const qn_sdpa_shape *shape, const qn_sdpa_live *live, const qn_sdpa_round *round,
                            uint32_t w, qn_sdpa_step step, const qn_kernel_row *row)
{
    uint32_t columns = 1;
    if (step == QN_SDPA_QK) columns = window_end(shape, live, w) - window_begin(shape, w);
    if (step == QN_SDPA_AV) columns = shape->head_dim / 4;
    uint64_t tiles = (uint64_t)qn_div_up(round->n_rows * round->gn, qn_row_const(row, "TILE_T")) *
                     qn_div_up(columns, qn_row_const(row, "TILE_X"));
    return tiles * round->n_kv;
}
