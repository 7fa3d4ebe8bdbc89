/* update_cache.c - writing K or V rows into a cache, alone and as the first steps of attention. */
#include "ops/attention.h"

static const qn_kernel_row update_cache_rows[] = {
    {.name = "update_cache.vec4",
     .source = "update_cache",
     .with = {"update_cache_4"},
     .entry = "update_cache",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .consts = {{"UNIT", 4}}},
    {.name = "update_cache.scalar",
     .source = "update_cache",
     .with = {"update_cache_1"},
     .entry = "update_cache",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .consts = {{"UNIT", 1}}},
    {.name = "update_cache.pack",
     .source = "update_cache_pack",
     .with = {"kv_store"},
     .entry = "update_cache_pack",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .spec = {"KV_TYPE", "UNIT"}},
};

enum { MASK_VEC4 = 1, MASK_SCALAR = 2, MASK_PACK = 4 };

const qn_kernel_table qn_update_cache_kernels = {update_cache_rows, 3};

uint32_t qn_kv_type_number(qn_dtype dtype)
{
    return dtype == QN_F16 ? 1 : dtype == QN_Q8_0 ? 2 : 0;
}

uint32_t qn_kv_unit(qn_dtype dtype)
{
    return dtype == QN_F16 ? 8 : dtype == QN_Q8_0 ? 64 : 4;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

qn_status qn_cache_windows_make(uint32_t cache_rows, uint64_t row_bytes, uint64_t cap, qn_cache_windows *windows)
{
    *windows = (qn_cache_windows){.row_bytes = row_bytes, .cache_rows = cache_rows, .rows = cache_rows, .n = 1};
    uint64_t bytes;
    if (qn_mul_u64(cache_rows, row_bytes, &bytes) && bytes <= cap) return qn_ok();
    /* Both factors are powers of two: the larger is their least common multiple. */
    uint64_t unit = 256 / gcd(256, row_bytes);
    if (unit < 4) unit = 4;
    uint64_t rows = cap / row_bytes / unit * unit;
    if (rows == 0)
        return qn_fail(QN_ERR_LIMIT, "cache rows of %llu bytes are too large for the device's binding limit of %llu",
                       (unsigned long long)row_bytes, (unsigned long long)cap);
    windows->rows = (uint32_t)rows;
    windows->n = qn_div_up(cache_rows, windows->rows);
    return qn_ok();
}

void qn_cache_windows_bind(const qn_cache_windows *windows, uint32_t w, qn_dispatch *d, qn_value cache)
{
    if (windows->n == 1) {
        qn_bind_value(d, cache);
        return;
    }
    uint32_t begin = w * windows->rows;
    uint32_t rows = w + 1 < windows->n ? windows->rows : windows->cache_rows - begin;
    qn_bind_window(d, cache, begin * windows->row_bytes, rows * windows->row_bytes);
}

qn_status qn_plan_check_rows(const qn_plan *p, const qn_tensor *t, const char *what, bool cache)
{
    char text[96];
    bool type = t && (t->dtype == QN_F32 || (cache && (t->dtype == QN_F16 || t->dtype == QN_Q8_0)));
    if (!type || t->is_int || t->live.rank != 4 || t->live.dim[0] != 1)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s is %s, not an f32 tensor [1, rows, heads, head_dim]", what,
                            t && !t->is_int ? qn_shape_text(&t->live, text, sizeof text) : "absent");
    uint64_t count = qn_shape_count(&t->live);
    if (count == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s is empty: %s", what, qn_shape_text(&t->live, text, sizeof text));
    if (count > UINT32_MAX)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s %s has more elements than a 32-bit index reaches", what,
                            qn_shape_text(&t->live, text, sizeof text));
    if (!cache && count * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s %s is over the device's binding limit of %llu bytes", what,
                            qn_shape_text(&t->live, text, sizeof text),
                            (unsigned long long)p->device->max_binding_bytes);
    return qn_ok();
}

qn_status qn_plan_check_caches(const qn_plan *p, const qn_tensor *k_cache, const qn_tensor *v_cache)
{
    QN_TRY(qn_plan_check_rows(p, k_cache, "k_cache", true));
    QN_TRY(qn_plan_check_rows(p, v_cache, "v_cache", true));
    const uint32_t *k = k_cache->live.dim, *v = v_cache->live.dim;
    if (k[3] % 4 != 0) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "head_dim %u is not a multiple of 4", k[3]);
    if (qn_shape_equal(&k_cache->live, &v_cache->live) && k_cache->dtype == v_cache->dtype) return qn_ok();
    return qn_plan_fail(p, QN_ERR_ARGUMENT,
                        "the caches differ: k_cache has %u rows of %u heads of head_dim %u, v_cache %u of %u of %u%s",
                        k[1], k[2], k[3], v[1], v[2], v[3],
                        k_cache->dtype != v_cache->dtype ? ", of another type" : "");
}

qn_status qn_plan_cache_rows(const qn_plan *p, uint32_t rows, const qn_tensor *input_pos, uint32_t cache_rows,
                             qn_rows_at *at)
{
    if (!input_pos || !input_pos->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is not an integer");
    if (p->building) {
        /* Any call's rows end at most here; calls that would end later are refused when they come. */
        at->seq = rows < cache_rows ? rows : cache_rows;
        uint32_t back = cache_rows - at->seq;
        at->pos = input_pos->max_number < back ? (uint32_t)input_pos->max_number : back;
        return qn_ok();
    }
    int64_t n = input_pos->number;
    if (n < 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is %lld, below 0", (long long)n);
    if (rows > cache_rows || n > (int64_t)(cache_rows - rows))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos %lld + %u rows passes the end of the cache of %u rows",
                            (long long)n, rows, cache_rows);
    *at = (qn_rows_at){rows, (uint32_t)n};
    return qn_ok();
}

qn_status qn_plan_cache_windows(const qn_plan *p, const qn_tensor *cache, qn_cache_windows *windows)
{
    uint64_t row_bytes = qn_state_bytes(cache->dtype, &cache->max) / cache->max.dim[1];
    qn_status s = qn_cache_windows_make(cache->max.dim[1], row_bytes, p->device->max_binding_bytes, windows);
    return s.code == QN_OK ? s : qn_plan_fail(p, s.code, "%s", s.text);
}

bool qn_plan_window_part(const qn_plan *p, const qn_cache_windows *windows, uint32_t w, qn_rows_at at,
                         qn_window_part *part)
{
    uint32_t begin = w * windows->rows, end = w + 1 < windows->n ? begin + windows->rows : windows->cache_rows;
    uint32_t from = at.pos > begin ? at.pos : begin;
    uint32_t to = at.pos + at.seq < end ? at.pos + at.seq : end;
    if (from >= to) from = to = begin;
    *part = (qn_window_part){begin, from, to};
    return from < to || p->building;
}

static void copy_params(qn_dispatch *d, const qn_cache_windows *windows, uint32_t pos, const qn_window_part *part)
{
    uint64_t row_units = windows->row_bytes / sizeof(float) / qn_row_const(d->row, "UNIT");
    qn_param_u32(d, (uint32_t)((part->to - part->from) * row_units));
    qn_param_u32(d, (uint32_t)((part->from > pos ? part->from - pos : 0) * row_units));
    qn_param_u32(d, (uint32_t)((part->from - part->begin) * row_units));
}

static void pack_params(qn_dispatch *d, const qn_cache_windows *windows, uint32_t pos, const qn_window_part *part,
                        const qn_tensor *cache)
{
    uint32_t row = cache->max.dim[2] * cache->max.dim[3], unit = qn_kv_unit(cache->dtype);
    d->spec[0] = qn_kv_type_number(cache->dtype);
    d->spec[1] = unit;
    qn_param_u32(d, (part->to - part->from) * qn_div_up(row, unit));
    qn_param_u32(d, part->from > pos ? part->from - pos : 0);
    qn_param_u32(d, part->from - part->begin);
    qn_param_u32(d, row);
    qn_param_u32(d, (uint32_t)(windows->row_bytes / 4));
}

qn_status qn_plan_write_cache(qn_plan *p, const qn_cache_windows *windows, qn_value x, qn_value cache, qn_rows_at at)
{
    const qn_tensor *t = &p->tensors[cache];
    uint64_t mask = windows->row_bytes % 16 == 0 ? MASK_VEC4 | MASK_SCALAR : MASK_SCALAR;
    bool pack = t->dtype == QN_F16 || t->dtype == QN_Q8_0;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_update_cache_kernels, pack ? MASK_PACK : mask, at.seq);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this device");
    for (uint32_t w = 0; w < windows->n; w++) {
        qn_window_part part;
        if (!qn_plan_window_part(p, windows, w, at, &part)) continue;
        qn_status status;
        qn_dispatch *d = qn_plan_dispatch(p, row, &status);
        if (!d) return status;
        qn_bind_value(d, x);
        qn_cache_windows_bind(windows, w, d, cache);
        if (pack)
            pack_params(d, windows, at.pos, &part, t);
        else
            copy_params(d, windows, at.pos, &part);
        QN_TRY(qn_grid_1d(p, d, d->params[0] ? qn_div_up(d->params[0], row->workgroup[0]) : 1));
    }
    return qn_ok();
}

/* Inputs: x[1, S, H, D], cache[1, C, H, D], input_pos. */
qn_status qn_plan_update_cache(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0), *cache = qn_plan_in(p, 1);
    QN_TRY(qn_plan_check_rows(p, x, "x", false));
    QN_TRY(qn_plan_check_rows(p, cache, "cache", true));
    const uint32_t *xd = x->live.dim, *cd = cache->live.dim;
    if (xd[2] != cd[2] || xd[3] != cd[3])
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x has %u heads of head_dim %u, the cache %u of %u", xd[2], xd[3],
                            cd[2], cd[3]);
    qn_cache_windows windows;
    QN_TRY(qn_plan_cache_windows(p, cache, &windows));
    uint32_t m;
    for (uint32_t i = 0; qn_plan_probe(p, &qn_update_cache_kernels, xd[1], &i, &m);) {
        qn_rows_at at;
        QN_TRY(qn_plan_cache_rows(p, m, qn_plan_in(p, 2), cd[1], &at));
        QN_TRY(qn_plan_write_cache(p, &windows, p->node->inputs[0], p->node->inputs[1], at));
    }
    return qn_ok();
}
