/* rope_append.c - a fused projection's row to q, rotated, and to the rows of the caches. */
#include "ops/attention.h"
#include "ops/check.h"

static const qn_kernel_row rope_append_rows[] = {
    {.name = "rope_append.any",
     .source = "rope_append",
     .with = {"kv_store"},
     .entry = "rope_append",
     .access = "rrwww",
     .workgroup = {64, 1, 1},
     .spec = {"INTERLEAVED", "KV_TYPE", "UNIT"}},
};

const qn_kernel_table qn_rope_append_kernels = {rope_append_rows, 1};

enum { IN_QKV, IN_TABLE, IN_K_CACHE, IN_V_CACHE, IN_POS };

static qn_status check_caches(const qn_plan *p, qn_append_shape *a)
{
    const qn_tensor *k = qn_plan_in(p, IN_K_CACHE), *v = qn_plan_in(p, IN_V_CACHE);
    QN_TRY(qn_plan_check_caches(p, k, v));
    a->n_kv_heads = k->live.dim[2];
    a->head_dim = k->live.dim[3];
    a->dtype = k->dtype;
    return qn_plan_cache_windows(p, k, &a->windows);
}

static qn_status check_shape(const qn_plan *p, qn_append_shape *a)
{
    char text[96];
    qn_tensor *x, *table;
    QN_TRY(check_caches(p, a));
    QN_TRY(qn_check_f32(p, IN_QKV, &x));
    QN_TRY(qn_check_f32(p, IN_TABLE, &table));
    uint64_t kv = 2 * (uint64_t)a->n_kv_heads * a->head_dim;
    uint32_t width = x->live.rank == 2 ? x->live.dim[1] : 0;
    if (width <= kv || (width - kv) % ((uint64_t)a->n_kv_heads * a->head_dim) != 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "qkv is %s, not [S, (Hq + 2 * %u) * %u] with Hq a multiple of %u",
                            qn_shape_text(&x->live, text, sizeof text), a->n_kv_heads, a->head_dim, a->n_kv_heads);
    a->rows = x->live.dim[0];
    a->n_heads = (uint32_t)(width - kv) / a->head_dim;
    if (qn_shape_count(&x->live) * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "qkv %s is over the device's binding limit of %llu bytes",
                            qn_shape_text(&x->live, text, sizeof text),
                            (unsigned long long)p->device->max_binding_bytes);
    const uint32_t *t = table->live.dim;
    if (table->live.rank != 3 || t[1] != a->head_dim / 2 || t[2] != 2 ||
        qn_shape_count(&table->live) * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the table is %s, not f32 [positions, %u, 2] within a binding",
                            qn_shape_text(&table->live, text, sizeof text), a->head_dim / 2);
    a->positions = t[0];
    qn_rope_mode mode = p->node->attrs.rope.mode;
    if (mode != QN_ROPE_INTERLEAVED && mode != QN_ROPE_HALF)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "there is no rope mode %d", (int)mode);
    return qn_ok();
}

/* The rows of one window; a row of q goes with its rows of k and v. */
static qn_status add_window(qn_plan *p, const qn_append_shape *a, uint32_t w, qn_rows_at at, const qn_window_part *part)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_rope_append_kernels, UINT64_MAX, at.seq);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this device");
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    const qn_value *in = p->node->inputs;
    uint32_t unit = qn_kv_unit(a->dtype), q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;
    d->spec[0] = p->node->attrs.rope.mode == QN_ROPE_INTERLEAVED;
    d->spec[1] = qn_kv_type_number(a->dtype);
    d->spec[2] = unit;
    qn_bind_operand(p, d, IN_QKV);
    qn_bind_operand(p, d, IN_TABLE);
    qn_bind_value(d, p->node->outputs[0]);
    qn_cache_windows_bind(&a->windows, w, d, in[IN_K_CACHE]);
    qn_cache_windows_bind(&a->windows, w, d, in[IN_V_CACHE]);
    uint32_t src = part->from > at.pos ? part->from - at.pos : 0;
    uint64_t n = (uint64_t)(part->to - part->from) * (q / 4 + 2 * qn_div_up(kv, unit));
    const uint32_t words[] = {
        (uint32_t)n, q, kv, a->head_dim, src, part->from - part->begin, (uint32_t)(a->windows.row_bytes / 4),
        at.pos + src};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) qn_param_u32(d, words[i]);
    double seq = part->to - part->from;
    qn_plan_work(d, 0, seq * (4.0 * (2.0 * q + 2.0 * kv + a->head_dim) + 2.0 * (double)a->windows.row_bytes));
    return qn_grid_1d(p, d, n ? qn_div_up_u64(n, row->workgroup[0]) : 1);
}

qn_status qn_plan_append_shape(qn_plan *p, qn_append_shape *a)
{
    *a = (qn_append_shape){0};
    QN_TRY(check_shape(p, a));
    return qn_plan_set_out(p, 0, QN_F32, qn_shape_4(1, a->rows, a->n_heads, a->head_dim));
}

qn_status qn_plan_append_at(const qn_plan *p, const qn_append_shape *a, uint32_t m, qn_rows_at *at)
{
    QN_TRY(qn_plan_cache_rows(p, m, qn_plan_in(p, IN_POS), a->windows.cache_rows, at));
    if (!p->building && at->pos + at->seq > a->positions)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos %u + %u rows passes the table's %u positions", at->pos,
                            at->seq, a->positions);
    return qn_ok();
}

qn_status qn_plan_append_call(qn_plan *p, const qn_append_shape *a, qn_rows_at at)
{
    for (uint32_t w = 0; w < a->windows.n; w++) {
        qn_window_part part;
        if (qn_plan_window_part(p, &a->windows, w, at, &part)) QN_TRY(add_window(p, a, w, at, &part));
    }
    return qn_ok();
}

qn_status qn_plan_rope_append(qn_plan *p)
{
    qn_append_shape a;
    QN_TRY(qn_plan_append_shape(p, &a));
    uint32_t m;
    for (uint32_t i = 0; qn_plan_probe(p, &qn_rope_append_kernels, a.rows, &i, &m);) {
        qn_rows_at at;
        QN_TRY(qn_plan_append_at(p, &a, m, &at));
        QN_TRY(qn_plan_append_call(p, &a, at));
    }
    return qn_ok();
}
