/* weight.c - sizes, splitting and allocation of constants. */
#include "ops/weight.h"

#include <inttypes.h>
#include <string.h>

enum { SECTION_ALIGN = 256 };

/* Fills offsets and sizes of a part of n_rows rows; a plain tensor is one section. */
static void lay_out(const qn_weight *w, qn_weight_part *part)
{
    uint64_t at = 0;
    if (!w->matrix) {
        uint64_t n = 1;
        for (uint32_t i = 0; i < w->shape.rank; i++) n *= w->shape.dim[i];
        part->data_bytes = n * 4;
        part->bytes = qn_round_up_u64(part->data_bytes, 16);
        return;
    }
    qn_pack_size size = qn_pack_bytes(&w->format, part->n_rows, w->shape.dim[1]);
    part->data_bytes = size.data_bytes;
    at = qn_round_up_u64(size.data_bytes, SECTION_ALIGN);
    part->scale_offset = size.scale_bytes ? at : 0;
    part->scale_bytes = size.scale_bytes;
    at = qn_round_up_u64(at + size.scale_bytes, SECTION_ALIGN);
    part->min_offset = size.min_bytes ? at : 0;
    part->min_bytes = size.min_bytes;
    part->bytes = qn_round_up_u64(at + size.min_bytes, 16);
}

static bool fits(const qn_weight *w, const qn_device_info *device, uint32_t n_rows)
{
    qn_weight_part part = {.n_rows = n_rows};
    lay_out(w, &part);
    return part.bytes <= device->max_buffer_bytes && part.data_bytes <= device->max_binding_bytes &&
           part.scale_bytes <= device->max_binding_bytes && part.min_bytes <= device->max_binding_bytes;
}

/* Rows of a part: all of them where they fit, else the largest multiple of the row block that does. */
static uint32_t rows_per_part(const qn_weight *w, const qn_device_info *device, uint32_t n)
{
    if (!w->matrix || fits(w, device, n)) return n;
    uint32_t low = 0, high = n / QN_PACK_ROWS + 1; /* blocks: low fits, high does not */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (fits(w, device, middle * QN_PACK_ROWS))
            low = middle;
        else
            high = middle;
    }
    return low * QN_PACK_ROWS;
}

static qn_status split(qn_weight *w, const qn_device_info *device)
{
    uint32_t n = w->matrix ? w->shape.dim[0] : 1;
    uint32_t per_part = rows_per_part(w, device, n);
    if (per_part == 0 || (!w->matrix && !fits(w, device, 1)))
        return qn_fail(QN_ERR_LIMIT,
                       "%s: one row block is over this device's limits (buffer %" PRIu64 ", binding %" PRIu64 " bytes)",
                       w->name, device->max_buffer_bytes, device->max_binding_bytes);
    w->n_parts = qn_div_up(n, per_part);
    if (w->n_parts > UINT16_MAX) return qn_fail(QN_ERR_LIMIT, "%s: too many parts", w->name);
    void *p;
    QN_TRY(qn_alloc(w->allocator, w->n_parts, sizeof(qn_weight_part), w->name, &p));
    w->parts = p;
    for (uint32_t i = 0; i < w->n_parts; i++) {
        qn_weight_part *part = &w->parts[i];
        part->row0 = i * per_part;
        part->n_rows = n - part->row0 < per_part ? n - part->row0 : per_part;
        lay_out(w, part);
    }
    return qn_ok();
}

qn_status qn_weight_describe(const qn_allocator *a, const qn_device_info *device, const char *name, bool matrix,
                             qn_shape shape, const qn_pack_format *format, qn_weight **weight)
{
    *weight = NULL;
    uint64_t count = 1;
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0 || !qn_mul_u64(count, shape.dim[i], &count))
            return qn_fail(QN_ERR_ARGUMENT, "weight %s: dimension %u is zero or the size overflows", name, i);
    if (count > UINT64_MAX / 16)
        return qn_fail(QN_ERR_LIMIT, "weight %s: %" PRIu64 " elements are too many", name, count);
    if (matrix && shape.rank != 2)
        return qn_fail(QN_ERR_ARGUMENT, "weight %s: a matrix has rank 2, not %u", name, shape.rank);
    if (matrix && shape.dim[1] > UINT32_MAX - 32) return qn_fail(QN_ERR_LIMIT, "weight %s: row too long", name);
    if (matrix && format->storage >= QN_STORE_Q8 && format->group == 0)
        return qn_fail(QN_ERR_ARGUMENT, "weight %s: a quantized matrix needs a group size of at least 1", name);
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_weight), "weight", &p));
    qn_weight *w = p;
    w->allocator = a;
    w->matrix = matrix;
    w->shape = shape;
    w->format = matrix ? *format : (qn_pack_format){.storage = QN_STORE_F32};
    qn_status s = qn_copy_string(a, name ? name : "weight", name ? strlen(name) : 6, &w->name);
    if (s.code == QN_OK) s = split(w, device);
    if (s.code != QN_OK) {
        qn_weight_free(w);
        return s;
    }
    *weight = w;
    return qn_ok();
}

qn_status qn_weight_allocate(qn_weight *weight, qn_gpu *gpu)
{
    for (uint32_t i = 0; i < weight->n_parts; i++)
        QN_TRY(
            qn_buffer_create(gpu, QN_BUFFER_STORAGE, weight->parts[i].bytes, weight->name, &weight->parts[i].buffer));
    return qn_ok();
}

/* ---- staging --------------------------------------------------------------------------------- */

enum { CHUNK_SPARE = 2 * SECTION_ALIGN }; /* the gaps before scales and minimums */

static qn_pack_size block_size(const qn_weight *w)
{
    return qn_pack_bytes(&w->format, QN_PACK_ROWS, w->shape.dim[1]);
}

static const qn_weight_part *part_of(const qn_weight *w, uint64_t row)
{
    const qn_weight_part *part = w->parts;
    while (row >= part->row0 + (uint64_t)part->n_rows) part++;
    return part;
}

/* Offsets of the sections of n_blocks row blocks in a slot. */
static void chunk_offsets(qn_pack_size block, uint64_t n_blocks, uint64_t *scales, uint64_t *mins)
{
    *scales = qn_round_up_u64(n_blocks * block.data_bytes, SECTION_ALIGN);
    *mins = qn_round_up_u64(*scales + n_blocks * block.scale_bytes, SECTION_ALIGN);
}

uint64_t qn_weight_chunk_least(const qn_weight *weight)
{
    qn_pack_size block = block_size(weight);
    return block.data_bytes + block.scale_bytes + block.min_bytes + CHUNK_SPARE;
}

uint32_t qn_weight_chunk_rows(const qn_weight *weight, uint64_t row, uint64_t slot_bytes)
{
    const qn_weight_part *part = part_of(weight, row);
    uint64_t left = part->row0 + (uint64_t)part->n_rows - row;
    if (slot_bytes < qn_weight_chunk_least(weight)) return 0;
    uint64_t fit = (slot_bytes - CHUNK_SPARE) / (qn_weight_chunk_least(weight) - CHUNK_SPARE) * QN_PACK_ROWS;
    return (uint32_t)(left < fit ? left : fit);
}

qn_pack_rows qn_weight_chunk_place(const qn_weight *weight, uint32_t rows, void *slot)
{
    qn_pack_size block = block_size(weight);
    uint64_t scales, mins;
    chunk_offsets(block, qn_div_up(rows, QN_PACK_ROWS), &scales, &mins);
    qn_pack_rows out = {.data = slot};
    if (block.scale_bytes) out.scales = (char *)slot + scales;
    if (block.min_bytes) out.mins = (char *)slot + mins;
    return out;
}

qn_status qn_weight_chunk_submit(const qn_weight *weight, uint64_t row, uint32_t rows, qn_upload *upload)
{
    qn_pack_size block = block_size(weight);
    const qn_weight_part *part = part_of(weight, row);
    uint64_t n_blocks = qn_div_up(rows, QN_PACK_ROWS), b = (row - part->row0) / QN_PACK_ROWS, scales, mins;
    chunk_offsets(block, n_blocks, &scales, &mins);
    qn_upload_copy copies[3] = {
        {0, part->buffer, part->data_offset + b * block.data_bytes, n_blocks * block.data_bytes}};
    uint32_t n = 1;
    if (block.scale_bytes)
        copies[n++] = (qn_upload_copy){scales, part->buffer, part->scale_offset + b * block.scale_bytes,
                                       n_blocks * block.scale_bytes};
    if (block.min_bytes)
        copies[n++] =
            (qn_upload_copy){mins, part->buffer, part->min_offset + b * block.min_bytes, n_blocks * block.min_bytes};
    return qn_upload_submit(upload, copies, n);
}

uint64_t qn_weight_bytes(const qn_weight *weight)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < weight->n_parts; i++) n += weight->parts[i].bytes;
    return n;
}

void qn_weight_free(qn_weight *weight)
{
    if (!weight) return;
    for (uint32_t i = 0; weight->parts && i < weight->n_parts; i++) qn_buffer_free(weight->parts[i].buffer);
    qn_free(weight->allocator, weight->parts);
    qn_free(weight->allocator, weight->name);
    qn_free(weight->allocator, weight);
}
