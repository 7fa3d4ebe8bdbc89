#include "format/pte_container.h"

#include <string.h>

enum {
    HEADER_AT = 8,             /* both headers follow the root offset and the identifier */
    PROGRAM_HEADER_MIN = 24,   /* magic, length, program size, segment base             */
    PROGRAM_HEADER_SIZED = 32, /* ... and the size of all segments                    */
    PTD_HEADER_MIN = 40,
};

static uint64_t u64_at(qn_bytes file, uint64_t at)
{
    return qn_fb_le(file.data + at, 8);
}

/* Length of the header with this magic; 0 when there is none. */
static qn_status find_header(qn_bytes file, const char magic[4], uint32_t least, uint32_t *length)
{
    *length = 0;
    if (file.size < HEADER_AT + 8 || memcmp(file.data + HEADER_AT, magic, 4) != 0) return qn_ok();
    uint32_t n = (uint32_t)qn_fb_le(file.data + HEADER_AT + 4, 4);
    if (n < least)
        return qn_fail(QN_ERR_FORMAT, "byte %d: the header \"%.4s\" has %u bytes, not %u or more; the file is damaged",
                       HEADER_AT, magic, n, least);
    if (n > file.size - HEADER_AT)
        return qn_fail(QN_ERR_FORMAT, "byte %d: the header has %u bytes, the file only %llu; it is cut off", HEADER_AT,
                       n, (unsigned long long)file.size);
    *length = n;
    return qn_ok();
}

/* What the header says must fit the file. */
static qn_status check_sizes(const qn_pte_container *c)
{
    uint64_t size = c->file.size, end;
    if (c->flatbuffer.size > size)
        return qn_fail(QN_ERR_FORMAT,
                       "byte %d: the header says %llu bytes of flatbuffer, the file has %llu; it is "
                       "cut off",
                       HEADER_AT, (unsigned long long)c->flatbuffer.size, (unsigned long long)size);
    if (!qn_add_u64(c->segment_base, c->segment_data_size, &end) || end > size)
        return qn_fail(QN_ERR_FORMAT,
                       "byte %d: the header says that %llu bytes of segments start at byte %llu, but the "
                       "file has %llu bytes; it is cut off",
                       HEADER_AT, (unsigned long long)c->segment_data_size, (unsigned long long)c->segment_base,
                       (unsigned long long)size);
    return qn_ok();
}

qn_status qn_pte_program_header(qn_bytes file, qn_pte_container *c)
{
    *c = (qn_pte_container){.file = file, .flatbuffer = file};
    QN_TRY(find_header(file, "eh00", PROGRAM_HEADER_MIN, &c->header_length));
    if (c->header_length == 0) return qn_ok();
    c->flatbuffer.size = u64_at(file, HEADER_AT + 8);
    c->segment_base = u64_at(file, HEADER_AT + 16);
    if (c->header_length >= PROGRAM_HEADER_SIZED) c->segment_data_size = u64_at(file, HEADER_AT + 24);
    return check_sizes(c);
}

static qn_status read_segments(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, uint16_t slot,
                               qn_pte_container *c)
{
    qn_fb_vector refs = qn_fb_refs(root, slot, "segments");
    if (refs.count > 0 && c->segment_base == 0)
        return qn_fail(QN_ERR_FORMAT,
                       "the flatbuffer lists %u segments, but the file has no header that says where they "
                       "start",
                       refs.count);
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *c->segments, "segments", &p));
    c->segments = p;
    c->n_segments = refs.count;
    for (uint32_t i = 0; i < refs.count; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "DataSegment");
        uint64_t offset = qn_fb_u64(&t, 4, 0), size = qn_fb_u64(&t, 6, 0);
        uint64_t room = c->file.size - c->segment_base;
        if (offset > room || size > room - offset) {
            qn_fb_fail(fb, t.at,
                       "segment %u, %llu bytes at %llu + %llu, passes the end of the file (%llu bytes); it is "
                       "cut off or damaged",
                       i, (unsigned long long)size, (unsigned long long)c->segment_base, (unsigned long long)offset,
                       (unsigned long long)c->file.size);
            break;
        }
        c->segments[i] = (qn_bytes){c->file.data + c->segment_base + offset, size};
    }
    return fb->status;
}

static void read_layout(const qn_fb_table *named, qn_pte_blob *blob)
{
    qn_fb_table layout = qn_fb_sub(named, 8, "NamedData.tensor_layout");
    blob->is_tensor = layout.fb != NULL;
    blob->scalar_type = qn_fb_i8(&layout, 4, 0);
    blob->sizes = qn_fb_scalars(&layout, 6, 4, "TensorLayout.sizes");
    blob->dim_order = qn_fb_scalars(&layout, 8, 1, "TensorLayout.dim_order");
}

static qn_status read_named(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, uint16_t slot,
                            qn_pte_container *c)
{
    qn_fb_vector refs = qn_fb_refs(root, slot, "named_data");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *c->blobs, "named data", &p));
    c->blobs = p;
    c->n_blobs = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_pte_blob *blob = &c->blobs[i];
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "NamedData");
        blob->key = qn_fb_string(&t, 4, "NamedData.key");
        blob->segment = qn_fb_u32(&t, 6, 0);
        read_layout(&t, blob);
        if (blob->segment < c->n_segments)
            blob->bytes = c->segments[blob->segment];
        else
            qn_fb_fail(fb, t.at, "named data \"%.80s\" is in segment %u, but there are %u", blob->key, blob->segment,
                       c->n_segments);
    }
    return fb->status;
}

qn_status qn_pte_container_read(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, uint16_t segments_slot,
                                uint16_t named_slot, qn_pte_container *c)
{
    QN_TRY(read_segments(a, fb, root, segments_slot, c));
    return read_named(a, fb, root, named_slot, c);
}

static qn_status ptd_header(qn_bytes file, qn_pte_container *c)
{
    *c = (qn_pte_container){.file = file, .flatbuffer = file};
    QN_TRY(find_header(file, "FH01", PTD_HEADER_MIN, &c->header_length));
    if (c->header_length == 0)
        return qn_fail(QN_ERR_FORMAT, "byte %d: there is no header \"FH01\": not a .ptd file of ExecuTorch", HEADER_AT);
    /* the flatbuffer starts at byte 0; the header's offset is where it goes on after the header */
    if (!qn_add_u64(u64_at(file, HEADER_AT + 8), u64_at(file, HEADER_AT + 16), &c->flatbuffer.size))
        c->flatbuffer.size = UINT64_MAX;
    c->segment_base = u64_at(file, HEADER_AT + 24);
    c->segment_data_size = u64_at(file, HEADER_AT + 32);
    return check_sizes(c);
}

qn_status qn_ptd_open(const qn_allocator *a, qn_bytes file, qn_pte_container *c)
{
    QN_TRY(ptd_header(file, c));
    qn_fb fb;
    qn_fb_open(&fb, c->flatbuffer, 0, "FT01");
    qn_fb_table root = qn_fb_root(&fb);
    qn_status s = qn_pte_container_read(a, &fb, &root, 6, 8, c);
    if (s.code != QN_OK) qn_pte_container_close(a, c);
    return s;
}

void qn_pte_container_close(const qn_allocator *a, qn_pte_container *c)
{
    qn_free(a, c->segments);
    qn_free(a, c->blobs);
    *c = (qn_pte_container){0};
}
