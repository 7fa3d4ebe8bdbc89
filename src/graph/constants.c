/* constants.c - weights given as arrays through quern_graph.h, and tables that the graph computes itself. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

static bool is_quantized(qn_weight_kind kind)
{
    return kind >= QN_WEIGHT_Q8 && kind <= QN_WEIGHT_Q4A;
}

static qn_pack_format format_of(const qn_weight_desc *d)
{
    static const qn_storage storages[] = {
        [QN_WEIGHT_F32] = QN_STORE_F32, [QN_WEIGHT_F16] = QN_STORE_F16, [QN_WEIGHT_BF16] = QN_STORE_BF16,
        [QN_WEIGHT_Q8] = QN_STORE_Q8,   [QN_WEIGHT_Q4] = QN_STORE_Q4,   [QN_WEIGHT_Q4A] = QN_STORE_Q4A,
        [QN_WEIGHT_I32] = QN_STORE_F32};
    qn_pack_format f = {.storage = storages[d->kind]};
    if (is_quantized(d->kind)) f.group = d->group;
    return f;
}

/* Scales that are all halves are stored as halves: the same values in half the memory. */
static bool all_halves(const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        float back = qn_half_to_float(qn_float_to_half(x[i]));
        if (memcmp(&back, &x[i], sizeof back) != 0) return false;
    }
    return true;
}

static qn_status check_desc(const qn_weight_desc *d)
{
    const char *name = d->name ? d->name : "weight";
    if (d->kind < QN_WEIGHT_F32 || d->kind > QN_WEIGHT_I32)
        return qn_fail(QN_ERR_ARGUMENT, "%s: unknown weight kind %d", name, (int)d->kind);
    if (!d->data) return qn_fail(QN_ERR_ARGUMENT, "%s: no data", name);
    if (d->shape.rank > QN_MAX_RANK)
        return qn_fail(QN_ERR_ARGUMENT, "%s: rank %u is over %d", name, d->shape.rank, QN_MAX_RANK);
    if (d->kind == QN_WEIGHT_I32 && d->matrix)
        return qn_fail(QN_ERR_ARGUMENT, "%s: an i32 weight cannot be a matrix", name);
    if (is_quantized(d->kind) && (!d->scales || d->group == 0))
        return qn_fail(QN_ERR_ARGUMENT, "%s: a quantized weight needs scales and a group size of at least 1", name);
    if (d->kind == QN_WEIGHT_Q4A && !d->mins)
        return qn_fail(QN_ERR_ARGUMENT, "%s: an affine weight needs minimums", name);
    return qn_ok();
}

/* Packs rows row0 .. row0 + n_rows - 1 of the description into out. */
static void pack_rows(const qn_weight_desc *d, const qn_pack_format *f, uint32_t row0, uint32_t n_rows,
                      const qn_pack_rows *out)
{
    uint32_t n = d->shape.dim[0], k = d->shape.dim[1];
    size_t nibble_row = qn_div_up(k, 2);
    const float *scales = d->scales ? d->scales + row0 : NULL, *mins = d->mins ? d->mins + row0 : NULL;
    switch (d->kind) {
    case QN_WEIGHT_F32:
        qn_pack_f32((const float *)d->data + (size_t)row0 * k, n_rows, k, out);
        break;
    case QN_WEIGHT_F16:
    case QN_WEIGHT_BF16:
        qn_pack_16((const uint16_t *)d->data + (size_t)row0 * k, n_rows, k, out);
        break;
    case QN_WEIGHT_Q8:
        qn_pack_q8_codes(f, (const int8_t *)d->data + (size_t)row0 * k, scales, n, n_rows, k, out);
        break;
    case QN_WEIGHT_Q4:
        qn_pack_q4_nibbles(f, (const uint8_t *)d->data + row0 * nibble_row, scales, n, n_rows, k, out);
        break;
    case QN_WEIGHT_Q4A:
        qn_pack_q4a_nibbles(f, (const uint8_t *)d->data + row0 * nibble_row, scales, mins, n, n_rows, k, out);
        break;
    case QN_WEIGHT_I32:
        break; /* never a matrix */
    }
}

/* Uploads one row block after another: a block's words are contiguous in every section. */
static qn_status upload_matrix(const qn_weight *w, const qn_weight_desc *d)
{
    qn_pack_size block = qn_pack_bytes(&w->format, QN_PACK_ROWS, w->shape.dim[1]);
    uint64_t bytes = block.data_bytes + block.scale_bytes + block.min_bytes;
    void *p;
    QN_TRY(qn_alloc(w->allocator, (size_t)bytes, 1, "packed rows", &p));
    char *host = p;
    qn_pack_rows out = {.data = p};
    if (block.scale_bytes) out.scales = host + block.data_bytes;
    if (block.min_bytes) out.mins = host + block.data_bytes + block.scale_bytes;
    qn_status s = qn_ok();
    for (uint32_t i = 0; i < w->n_parts && s.code == QN_OK; i++) {
        const qn_weight_part *part = &w->parts[i];
        for (uint32_t r = 0; r < part->n_rows && s.code == QN_OK; r += QN_PACK_ROWS) {
            uint64_t b = r / QN_PACK_ROWS;
            uint32_t rows = part->n_rows - r < QN_PACK_ROWS ? part->n_rows - r : QN_PACK_ROWS;
            pack_rows(d, &w->format, part->row0 + r, rows, &out);
            s = qn_buffer_write(part->buffer, part->data_offset + b * block.data_bytes, out.data, block.data_bytes);
            if (s.code == QN_OK && block.scale_bytes)
                s = qn_buffer_write(part->buffer, part->scale_offset + b * block.scale_bytes, out.scales,
                                    block.scale_bytes);
            if (s.code == QN_OK && block.min_bytes)
                s = qn_buffer_write(part->buffer, part->min_offset + b * block.min_bytes, out.mins, block.min_bytes);
        }
    }
    qn_free(w->allocator, p);
    return s;
}

qn_status qn_weight_create(qn_engine *engine, const qn_weight_desc *desc, qn_weight **weight)
{
    *weight = NULL;
    QN_TRY(check_desc(desc));
    bool matrix = desc->matrix || (desc->kind != QN_WEIGHT_F32 && desc->kind != QN_WEIGHT_I32);
    qn_pack_format format = format_of(desc);
    if (format.group && desc->shape.rank == 2) {
        uint64_t n = (uint64_t)qn_div_up(desc->shape.dim[1], format.group) * desc->shape.dim[0];
        format.scale_f16 = all_halves(desc->scales, n) && (!desc->mins || all_halves(desc->mins, n));
    }
    qn_weight *w;
    QN_TRY(
        qn_weight_describe(engine->allocator, qn_gpu_info(engine->gpu), desc->name, matrix, desc->shape, &format, &w));
    w->is_i32 = desc->kind == QN_WEIGHT_I32;
    qn_status s = qn_weight_allocate(w, engine->gpu);
    if (s.code == QN_OK && matrix) s = upload_matrix(w, desc);
    if (s.code == QN_OK && !matrix) s = qn_buffer_write(w->parts[0].buffer, 0, desc->data, w->parts[0].data_bytes);
    if (s.code != QN_OK) {
        qn_weight_free(w);
        return s;
    }
    *weight = w;
    return qn_ok();
}

/* ---- RoPE table ------------------------------------------------------------------------------ */

/* table[pos][i] = cosine, sine of pos * freq(i), in float64 until stored. */
static void fill_rope_table(const qn_rope_table_options *o, float *table)
{
    uint32_t half = o->head_dim / 2;
    for (uint32_t i = 0; i < half; i++) {
        double freq = pow(o->freq_base, -2.0 * i / o->head_dim) / (o->freq_factors ? (double)o->freq_factors[i] : 1.0);
        for (uint32_t pos = 0; pos < o->n_positions; pos++) {
            float *pair = table + ((size_t)pos * half + i) * 2;
            pair[0] = (float)cos(pos * freq);
            pair[1] = (float)sin(pos * freq);
        }
    }
}

static qn_status make_rope_table(qn_graph *g, const qn_rope_table_options *o, qn_weight **weight)
{
    if (o->head_dim == 0 || o->head_dim % 2)
        return qn_fail(QN_ERR_ARGUMENT, "rope table: head_dim %u is not a positive even number", o->head_dim);
    if (o->n_positions == 0 || !(o->freq_base > 0))
        return qn_fail(QN_ERR_ARGUMENT, "rope table: n_positions and freq_base must be positive");
    uint32_t half = o->head_dim / 2;
    qn_shape shape = qn_shape_3(o->n_positions, half, 2);
    if (!g->engine) return qn_weight_describe(g->allocator, g->plan.device, "rope", false, shape, NULL, weight);
    void *p;
    QN_TRY(qn_alloc(g->allocator, (size_t)o->n_positions * half, 2 * sizeof(float), "rope table", &p));
    fill_rope_table(o, p);
    qn_weight_desc desc = {.name = "rope", .kind = QN_WEIGHT_F32, .shape = shape, .data = p};
    qn_status s = qn_weight_create(g->engine, &desc, weight);
    qn_free(g->allocator, p);
    return s;
}

qn_value qn_rope_table(qn_graph *g, const qn_rope_table_options *options)
{
    if (g->status.code != QN_OK) return 0;
    qn_weight *w = NULL;
    qn_status s = qn_grow(g->allocator, &g->tables, &g->table_capacity, g->n_tables + 1, sizeof(qn_weight *), "tables");
    if (s.code == QN_OK) s = make_rope_table(g, options, &w);
    qn_graph_failed(g, s);
    if (s.code != QN_OK) return 0;
    ((qn_weight **)g->tables)[g->n_tables++] = w;
    return qn_graph_weight(g, w);
}
