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

/* Where the description's matrix lies, with the strides that it leaves to be tight. */
static qn_pack_source source_of(const qn_weight_desc *d, const qn_pack_format *f)
{
    uint32_t n = d->shape.dim[0], k = d->shape.dim[1], groups = qn_pack_groups(f, k);
    qn_pack_source s = {.data = d->data, .scales = d->scales, .mins = d->mins};
    s.transposed = d->transposed;
    s.high_first = d->high_nibble_first;
    s.row_bytes = d->row_bytes ? d->row_bytes : qn_pack_source_row(f->storage, d->transposed ? n : k);
    uint32_t tight = d->scales_by_row ? groups : n, stride = d->scale_stride ? d->scale_stride : tight;
    s.scale_row = d->scales_by_row ? stride : 1;
    s.scale_group = d->scales_by_row ? 1 : stride;
    return s;
}

/* Scales that are all halves are stored as halves: the same values in half the memory. */
static bool all_halves(const qn_pack_source *s, const float *scales, uint32_t n, uint32_t groups)
{
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t g = 0; g < groups; g++) {
            float x = scales[i * s->scale_row + g * s->scale_group];
            float back = qn_half_to_float(qn_float_to_half(x));
            if (memcmp(&back, &x, sizeof back) != 0) return false;
        }
    return true;
}

/* The options that say how the source lies in memory fit the kind and the shape (of rank 2 if it is a matrix). */
static qn_status check_layout(const qn_weight_desc *d, bool matrix)
{
    const char *name = d->name ? d->name : "weight";
    bool laid_out = d->row_bytes || d->transposed || d->scale_stride || d->scales_by_row || d->high_nibble_first;
    if (!matrix && laid_out)
        return qn_fail(QN_ERR_ARGUMENT, "%s: strides and orders are for matrices, not for plain tensors", name);
    if (!matrix || d->shape.rank != 2) return qn_ok();
    if (d->transposed && d->kind != QN_WEIGHT_F32)
        return qn_fail(QN_ERR_ARGUMENT, "%s: only f32 matrices may be given transposed", name);
    if (d->high_nibble_first && d->kind != QN_WEIGHT_Q4 && d->kind != QN_WEIGHT_Q4A)
        return qn_fail(QN_ERR_ARGUMENT, "%s: the order of nibbles is for 4-bit kinds", name);
    if (!is_quantized(d->kind) && (d->scale_stride || d->scales_by_row))
        return qn_fail(QN_ERR_ARGUMENT, "%s: a layout of scales is for quantized kinds", name);
    qn_pack_format f = format_of(d);
    uint32_t n = d->shape.dim[0], k = d->shape.dim[1];
    uint64_t row = qn_pack_source_row(f.storage, d->transposed ? n : k);
    if (d->row_bytes && d->row_bytes < row)
        return qn_fail(QN_ERR_ARGUMENT, "%s: rows of %llu bytes do not hold %llu", name,
                       (unsigned long long)d->row_bytes, (unsigned long long)row);
    uint32_t columns = d->scales_by_row ? qn_pack_groups(&f, k) : n;
    if (d->scale_stride && d->scale_stride < columns)
        return qn_fail(QN_ERR_ARGUMENT, "%s: a scale stride of %u does not hold %u columns", name, d->scale_stride,
                       columns);
    return qn_ok();
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

/* Uploads one row block after another: a block's words are contiguous in every section. */
static qn_status write_matrix(const qn_weight *w, const qn_pack_source *source)
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
            qn_pack_matrix(&w->format, source, part->row0 + r, rows, w->shape.dim[1], &out);
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

/* Waits for a slot of the staging ring; *slot NULL: builds that cannot wait write directly. */
static qn_status acquire(qn_gpu *gpu, qn_upload *upload, void **slot)
{
    *slot = NULL;
#ifdef QN_NO_BLOCKING
    (void)gpu;
    (void)upload;
#else
    while (upload && !*slot) {
        QN_TRY(qn_upload_acquire(upload, slot));
        if (!*slot) QN_TRY(qn_gpu_poll(gpu, true));
    }
#endif
    return qn_ok();
}

/* The same through the ring, many blocks at a time: packed where the GPU reads them from. */
static qn_status stage_matrix(qn_gpu *gpu, const qn_weight *w, const qn_pack_source *source, qn_upload *upload)
{
    for (uint64_t row = 0; row < w->shape.dim[0];) {
        void *slot;
        uint32_t rows = qn_weight_chunk_rows(w, row, upload ? qn_upload_slot_bytes(upload) : 0);
        if (rows) QN_TRY(acquire(gpu, upload, &slot));
        if (!rows || !slot) return write_matrix(w, source);
        qn_pack_rows out = qn_weight_chunk_place(w, rows, slot);
        qn_pack_matrix(&w->format, source, (uint32_t)row, rows, w->shape.dim[1], &out);
        QN_TRY(qn_weight_chunk_submit(w, row, rows, upload));
        row += rows;
    }
    return qn_ok();
}

/* A plain tensor, whose bytes are a multiple of 4. */
static qn_status stage_plain(qn_gpu *gpu, const qn_weight *w, const void *data, qn_upload *upload)
{
    const qn_weight_part *part = &w->parts[0];
    uint64_t slot_bytes = upload ? qn_upload_slot_bytes(upload) / 4 * 4 : 0;
    for (uint64_t at = 0; at < part->data_bytes;) {
        void *slot;
        QN_TRY(acquire(gpu, upload, &slot));
        if (!slot) return qn_buffer_write(part->buffer, at, (const char *)data + at, part->data_bytes - at);
        uint64_t n = part->data_bytes - at < slot_bytes ? part->data_bytes - at : slot_bytes;
        memcpy(slot, (const char *)data + at, (size_t)n);
        qn_upload_copy copy = {0, part->buffer, at, n};
        QN_TRY(qn_upload_submit(upload, &copy, 1));
        at += n;
    }
    return qn_ok();
}

qn_status qn_weight_plan(const qn_allocator *a, const qn_device_info *device, const qn_weight_desc *desc,
                         qn_weight **weight)
{
    *weight = NULL;
    QN_TRY(check_desc(desc));
    bool matrix = desc->matrix || (desc->kind != QN_WEIGHT_F32 && desc->kind != QN_WEIGHT_I32);
    QN_TRY(check_layout(desc, matrix));
    qn_pack_format format = format_of(desc);
    qn_pack_source source = source_of(desc, &format);
    if (format.group && desc->shape.rank == 2) {
        uint32_t n = desc->shape.dim[0], groups = qn_pack_groups(&format, desc->shape.dim[1]);
        format.scale_f16 = all_halves(&source, source.scales, n, groups) &&
                           (!source.mins || all_halves(&source, source.mins, n, groups));
    }
    QN_TRY(qn_weight_describe(a, device, desc->name, matrix, desc->shape, &format, weight));
    (*weight)->is_i32 = desc->kind == QN_WEIGHT_I32;
    return qn_ok();
}

qn_status qn_weight_create_staged(qn_engine *engine, const qn_weight_desc *desc, qn_upload *upload, qn_weight **weight)
{
    *weight = NULL;
    qn_weight *w;
    QN_TRY(qn_weight_plan(engine->allocator, qn_gpu_info(engine->gpu), desc, &w));
    qn_pack_source source = source_of(desc, &w->format);
    qn_status s = qn_weight_allocate(w, engine->gpu);
    if (s.code == QN_OK)
        s = w->matrix ? stage_matrix(engine->gpu, w, &source, upload) : stage_plain(engine->gpu, w, desc->data, upload);
    if (s.code != QN_OK) {
        qn_weight_free(w);
        return s;
    }
    *weight = w;
    return qn_ok();
}

qn_status qn_weight_create(qn_engine *engine, const qn_weight_desc *desc, qn_weight **weight)
{
    return qn_weight_create_staged(engine, desc, NULL, weight);
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
