/* gguf.c - reads the header of a GGUF file.
 *
 * The header is copied into memory of our own (a source's pointers are short-lived), in pieces that double in
 * size, and parsed entry by entry. An entry that reaches past the loaded bytes is parsed again from its start
 * once more are there, so that a source may be pending anywhere. */
#include "format/gguf.h"

#include <string.h>

#include "format/quant.h"

enum {
    FIRST_PIECE = 1 << 20,        /* bytes of the first read                                               */
    MAX_HEADER = 256 << 20,       /* real headers are below 32 MiB: a vocabulary and its merges            */
    MAX_KEY = 65535,              /* the specification's limit of a key; also taken for tensor names       */
    MIN_KV_BYTES = 8 + 1 + 4 + 1, /* key of one byte, type, the smallest value               */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, rank, one dimension, type, offset     */
};

/* A piece of the header; positions stay valid while the buffer grows. */
typedef struct span {
    uint32_t at;
    uint32_t size;
} span;

struct qn_gguf_kv {
    const qn_gguf *gguf;
    span key;
    qn_gguf_type type;
    qn_gguf_type element; /* of an array */
    uint32_t value;       /* position of the scalar, the string's bytes or the first array element */
    size_t count;         /* elements of an array, bytes of a string */
    size_t strings;       /* index of an array's first string in gguf->strings */
};

typedef struct tensor_entry {
    qn_gguf_tensor tensor;
    span name;
    uint32_t at; /* position of the entry, for messages */
} tensor_entry;

/* Open addressing: slot = entry + 1, 0 when free; the size is a power of two. */
typedef struct name_table {
    uint32_t *slots;
    size_t mask;
} name_table;

struct qn_gguf {
    const qn_allocator *a;
    uint32_t version;
    uint8_t *header;
    size_t header_capacity;
    qn_gguf_kv *kvs;
    size_t n_kv, kv_capacity;
    tensor_entry *tensors;
    size_t n_tensors, tensor_capacity;
    span *strings;
    size_t n_strings, string_capacity;
    name_table kv_table, tensor_table;
};

struct qn_gguf_reader {
    const qn_allocator *a;
    qn_gguf *gguf; /* being read; NULL once handed out */
    qn_source source;
    bool begun;               /* the fixed start of the header is read */
    uint64_t n_kv, n_tensors; /* as the file announces them            */
    uint64_t loaded, want;    /* bytes there, bytes needed to go on    */
    uint64_t at;              /* where parsing goes on                 */
    qn_status status;         /* what is wrong with the file, for good */
};

/* ---- reading from the loaded part ------------------------------------------------------------- */

/* Parse functions return false when they cannot go on: either status holds a failure, or want > loaded. */
static bool refuse(qn_gguf_reader *r, qn_status status)
{
    r->status = status;
    return false;
}

static bool need(qn_gguf_reader *r, uint64_t n, const char *what)
{
    unsigned long long at = r->at, size = n, end = r->source.size;
    if (n > r->source.size - r->at)
        return refuse(r,
                      qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu takes %llu bytes, but the file ends at byte %llu",
                              what, at, size, end));
    if (r->at + n > MAX_HEADER)
        return refuse(r,
                      qn_fail(QN_ERR_LIMIT, "GGUF: %s at byte %llu takes %llu bytes, past the limit of %d of a header",
                              what, at, size, MAX_HEADER));
    if (r->at + n <= r->loaded) return true;
    r->want = r->at + n;
    return false;
}

/* Little-endian loads that do not depend on the host; compilers make one load of them. */
static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load_u64(const uint8_t *p)
{
    return (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static bool read_u32(qn_gguf_reader *r, const char *what, uint32_t *out)
{
    if (!need(r, 4, what)) return false;
    *out = load_u32(r->gguf->header + r->at);
    r->at += 4;
    return true;
}

static bool read_u64(qn_gguf_reader *r, const char *what, uint64_t *out)
{
    if (!need(r, 8, what)) return false;
    *out = load_u64(r->gguf->header + r->at);
    r->at += 8;
    return true;
}

static bool read_string(qn_gguf_reader *r, const char *what, span *out)
{
    uint64_t size;
    if (!read_u64(r, what, &size) || !need(r, size, what)) return false;
    *out = (span){(uint32_t)r->at, (uint32_t)size}; /* need() keeps both below MAX_HEADER */
    r->at += size;
    return true;
}

/* A name of the file in a message: cut, and without bytes that a terminal might act on. */
typedef struct printable {
    char text[72];
} printable;

static printable show(const qn_gguf *g, span name)
{
    printable out;
    size_t n = name.size < sizeof out.text - 4 ? name.size : sizeof out.text - 4;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = g->header[name.at + i];
        out.text[i] = (char)(c >= 0x20 && c < 0x7F ? c : '?');
    }
    memcpy(out.text + n, n < name.size ? "..." : "", n < name.size ? 4 : 1);
    return out;
}

/* ---- the parts of a header --------------------------------------------------------------------- */

static bool read_magic(qn_gguf_reader *r)
{
    if (r->source.size < 4 || !need(r, 4, "the magic number")) {
        if (r->source.size >= 4) return false;
        return refuse(
            r, qn_fail(QN_ERR_FORMAT, "not a GGUF file: it has only %llu bytes", (unsigned long long)r->source.size));
    }
    const uint8_t *m = r->gguf->header;
    if (memcmp(m, "FUGG", 4) == 0)
        return refuse(
            r, qn_fail(QN_ERR_UNSUPPORTED, "GGUF: a big-endian file (magic at byte 0); convert it to little-endian"));
    if (memcmp(m, "GGUF", 4) != 0)
        return refuse(r,
                      qn_fail(QN_ERR_FORMAT, "not a GGUF file: it starts with bytes %02x %02x %02x %02x, not \"GGUF\"",
                              m[0], m[1], m[2], m[3]));
    r->at = 4;
    return true;
}

static bool read_version(qn_gguf_reader *r)
{
    uint32_t version;
    if (!read_u32(r, "the version", &version)) return false;
    if (version != 0 && (version & 0xFFFF) == 0)
        return refuse(r, qn_fail(QN_ERR_UNSUPPORTED,
                                 "GGUF: a big-endian file (version at byte 4 is 0x%08x); convert it to little-endian",
                                 version));
    if (version != 2 && version != 3)
        return refuse(r, qn_fail(QN_ERR_UNSUPPORTED, "GGUF: version %u at byte 4; this reader knows 2 and 3", version));
    r->gguf->version = version;
    return true;
}

static bool read_start(qn_gguf_reader *r)
{
    r->at = 0;
    if (!read_magic(r) || !read_version(r)) return false;
    if (!read_u64(r, "the tensor count", &r->n_tensors) || !read_u64(r, "the metadata count", &r->n_kv)) return false;
    uint64_t left = r->source.size - r->at;
    if (r->n_tensors > left / MIN_TENSOR_BYTES)
        return refuse(r,
                      qn_fail(QN_ERR_FORMAT, "GGUF: the count at byte 8 says %llu tensors, more than fit in %llu bytes",
                              (unsigned long long)r->n_tensors, (unsigned long long)left));
    if (r->n_kv > left / MIN_KV_BYTES)
        return refuse(r,
                      qn_fail(QN_ERR_FORMAT, "GGUF: the count at byte 16 says %llu keys, more than fit in %llu bytes",
                              (unsigned long long)r->n_kv, (unsigned long long)left));
    r->begun = true;
    return true;
}

/* Bytes of a scalar in the file; 0 for strings, arrays and unknown types. */
static uint32_t scalar_bytes(uint32_t type)
{
    static const uint8_t bytes[] = {
        [QN_GGUF_U8] = 1,  [QN_GGUF_I8] = 1,  [QN_GGUF_U16] = 2, [QN_GGUF_I16] = 2,
        [QN_GGUF_U32] = 4, [QN_GGUF_I32] = 4, [QN_GGUF_F32] = 4, [QN_GGUF_BOOL] = 1,
        [QN_GGUF_U64] = 8, [QN_GGUF_I64] = 8, [QN_GGUF_F64] = 8,
    };
    return type < sizeof bytes ? bytes[type] : 0;
}

static bool read_name(qn_gguf_reader *r, const char *what, span *out)
{
    uint64_t start = r->at;
    if (!read_string(r, what, out)) return false;
    if (out->size == 0 || out->size > MAX_KEY)
        return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu has %u bytes; 1 to %d are allowed", what,
                                 (unsigned long long)start, out->size, MAX_KEY));
    return true;
}

/* `count` scalars; bools must be 0 or 1. */
static bool read_scalars(qn_gguf_reader *r, qn_gguf_kv *kv, qn_gguf_type type, uint64_t count)
{
    uint32_t bytes = scalar_bytes(type);
    uint64_t total;
    if (!qn_mul_u64(count, bytes, &total)) total = UINT64_MAX;
    if (!need(r, total, "a value")) return false;
    kv->value = (uint32_t)r->at;
    for (uint64_t i = 0; type == QN_GGUF_BOOL && i < count; i++)
        if (r->gguf->header[r->at + i] > 1)
            return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu is a bool of value %u",
                                     show(r->gguf, kv->key).text, (unsigned long long)(r->at + i),
                                     r->gguf->header[r->at + i]));
    r->at += total;
    return true;
}

static bool read_strings(qn_gguf_reader *r, qn_gguf_kv *kv, uint64_t count)
{
    qn_gguf *g = r->gguf;
    unsigned long long start = r->at, left = r->source.size - r->at;
    if (count > left / 8)
        return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu says %llu strings, more than fit in %llu bytes",
                                 show(g, kv->key).text, start, (unsigned long long)count, left));
    kv->strings = g->n_strings;
    for (uint64_t i = 0; i < count; i++) {
        span s;
        if (!read_string(r, "a string", &s)) return false;
        void *p = g->strings;
        qn_status status = qn_grow(g->a, &p, &g->string_capacity, g->n_strings + 1, sizeof *g->strings, "GGUF strings");
        g->strings = p;
        if (status.code != QN_OK) return refuse(r, status);
        g->strings[g->n_strings++] = s;
    }
    return true;
}

static bool read_array(qn_gguf_reader *r, qn_gguf_kv *kv)
{
    uint32_t element;
    uint64_t count;
    if (!read_u32(r, "an array's type", &element) || !read_u64(r, "an array's count", &count)) return false;
    unsigned long long at = r->at - 12;
    if (element == QN_GGUF_ARRAY)
        return refuse(r, qn_fail(QN_ERR_UNSUPPORTED, "GGUF: %s at byte %llu is an array of arrays",
                                 show(r->gguf, kv->key).text, at));
    if (element != QN_GGUF_STRING && scalar_bytes(element) == 0)
        return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu is an array of the unknown type %u",
                                 show(r->gguf, kv->key).text, at, element));
    kv->element = (qn_gguf_type)element;
    if (element == QN_GGUF_STRING ? !read_strings(r, kv, count) : !read_scalars(r, kv, kv->element, count))
        return false;
    kv->count = (size_t)count; /* the elements were read, so it is small */
    return true;
}

static bool read_kv(qn_gguf_reader *r)
{
    qn_gguf *g = r->gguf;
    qn_gguf_kv kv = {.gguf = g};
    uint32_t type;
    if (!read_name(r, "a key", &kv.key) || !read_u32(r, "a value's type", &type)) return false;
    kv.type = (qn_gguf_type)type;
    if (type == QN_GGUF_STRING) {
        span s;
        if (!read_string(r, "a string", &s)) return false;
        kv.value = s.at;
        kv.count = s.size;
    } else if (type == QN_GGUF_ARRAY) {
        if (!read_array(r, &kv)) return false;
    } else if (scalar_bytes(type)) {
        if (!read_scalars(r, &kv, kv.type, 1)) return false;
    } else {
        return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: %s at byte %llu has the unknown value type %u",
                                 show(g, kv.key).text, (unsigned long long)(r->at - 4), type));
    }
    void *p = g->kvs;
    qn_status status = qn_grow(g->a, &p, &g->kv_capacity, g->n_kv + 1, sizeof kv, "GGUF metadata");
    g->kvs = p;
    if (status.code != QN_OK) return refuse(r, status);
    g->kvs[g->n_kv++] = kv;
    return true;
}

/* Dimensions, and the bytes that they make with the type. */
static bool read_shape(qn_gguf_reader *r, tensor_entry *e)
{
    qn_gguf_tensor *t = &e->tensor;
    if (!read_u32(r, "a tensor's rank", &t->n_dims)) return false;
    if (t->n_dims < 1 || t->n_dims > 4)
        return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: tensor %s at byte %u has %u dimensions; 1 to 4 are allowed",
                                 show(r->gguf, e->name).text, e->at, t->n_dims));
    uint64_t n = 1;
    for (uint32_t i = 0; i < 4; i++) t->dims[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (!read_u64(r, "a dimension", &t->dims[i])) return false;
        if (t->dims[i] == 0 || !qn_mul_u64(n, t->dims[i], &n) || n > INT64_MAX)
            return refuse(r, qn_fail(QN_ERR_FORMAT, "GGUF: tensor %s at byte %u: dimension %u (byte %llu) is %llu%s",
                                     show(r->gguf, e->name).text, e->at, i, (unsigned long long)(r->at - 8),
                                     (unsigned long long)t->dims[i], t->dims[i] ? ", the product passes 63 bits" : ""));
    }
    if (!read_u32(r, "a tensor's type", &t->type)) return false;
    const qn_quant_type *type = qn_quant_find(t->type);
    if (type && (t->dims[0] % type->block || !qn_quant_bytes(type, n, &t->size)))
        return refuse(
            r, qn_fail(QN_ERR_FORMAT, "GGUF: tensor %s at byte %u: rows of %llu elements do not fit %s (blocks of %u)",
                       show(r->gguf, e->name).text, e->at, (unsigned long long)t->dims[0], type->name, type->block));
    return true;
}

static bool read_tensor(qn_gguf_reader *r)
{
    qn_gguf *g = r->gguf;
    tensor_entry e = {.at = (uint32_t)r->at};
    if (!read_name(r, "a tensor's name", &e.name) || !read_shape(r, &e) ||
        !read_u64(r, "a tensor's offset", &e.tensor.offset))
        return false;
    void *p = g->tensors;
    qn_status status = qn_grow(g->a, &p, &g->tensor_capacity, g->n_tensors + 1, sizeof e, "GGUF tensors");
    g->tensors = p;
    if (status.code != QN_OK) return refuse(r, status);
    g->tensors[g->n_tensors++] = e;
    return true;
}

/* ---- names --------------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits, folded. */
static size_t hash_name(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001B3u;
    return (size_t)(h ^ h >> 32);
}

static span name_of(const qn_gguf *g, const name_table *table, size_t i)
{
    return table == &g->kv_table ? g->kvs[i].key : g->tensors[i].name;
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t find_slot(const qn_gguf *g, const name_table *table, const void *name, size_t size)
{
    size_t i = hash_name(name, size) & table->mask;
    for (; table->slots[i]; i = (i + 1) & table->mask) {
        span s = name_of(g, table, table->slots[i] - 1);
        if (s.size == size && memcmp(g->header + s.at, name, size) == 0) break;
    }
    return i;
}

static qn_status index_names(qn_gguf *g, name_table *table, size_t n, const char *what)
{
    size_t size = 8;
    while (size < 2 * n) size *= 2;
    void *p;
    QN_TRY(qn_alloc(g->a, size, sizeof *table->slots, "GGUF names", &p));
    table->slots = p;
    table->mask = size - 1;
    for (size_t i = 0; i < n; i++) {
        span name = name_of(g, table, i);
        size_t slot = find_slot(g, table, g->header + name.at, name.size);
        if (table->slots[slot])
            return qn_fail(QN_ERR_FORMAT, "GGUF: the %s %s at byte %u appears twice", what, show(g, name).text,
                           name.at);
        table->slots[slot] = (uint32_t)(i + 1);
    }
    return qn_ok();
}

/* ---- what needs the whole header ------------------------------------------------------------------ */

static qn_status read_alignment(const qn_gguf *g, uint64_t *out)
{
    const qn_gguf_kv *kv = qn_gguf_find(g, "general.alignment");
    *out = 32;
    if (!kv) return qn_ok();
    if (!qn_gguf_u64(kv, out))
        return qn_fail(QN_ERR_FORMAT, "GGUF: general.alignment at byte %u is not an unsigned integer", kv->value);
    if (*out < 8 || *out > UINT32_MAX || (*out & (*out - 1)) != 0)
        return qn_fail(QN_ERR_FORMAT,
                       "GGUF: general.alignment at byte %u is %llu; it must be a power of two from 8 to 2^31",
                       kv->value, (unsigned long long)*out);
    return qn_ok();
}

/* Turns offsets from the start of the data into offsets in the file, and checks them. */
static qn_status place_tensors(qn_gguf *g, uint64_t header_end, uint64_t file_size)
{
    uint64_t alignment;
    QN_TRY(read_alignment(g, &alignment));
    uint64_t data = qn_round_up_u64(header_end, alignment);
    for (size_t i = 0; i < g->n_tensors; i++) {
        tensor_entry *e = &g->tensors[i];
        qn_gguf_tensor *t = &e->tensor;
        if (t->offset % alignment)
            return qn_fail(QN_ERR_FORMAT,
                           "GGUF: tensor %s at byte %u: offset %llu is not a multiple of the alignment %llu",
                           show(g, e->name).text, e->at, (unsigned long long)t->offset, (unsigned long long)alignment);
        if (!qn_add_u64(t->offset, data, &t->offset) || t->offset > file_size || t->size > file_size - t->offset)
            return qn_fail(QN_ERR_FORMAT,
                           "GGUF: tensor %s at byte %u: its data at byte %llu, %llu bytes, passes the end of the file "
                           "at byte %llu",
                           show(g, e->name).text, e->at, (unsigned long long)t->offset, (unsigned long long)t->size,
                           (unsigned long long)file_size);
        t->name = (qn_gguf_string){(const char *)g->header + e->name.at, e->name.size};
    }
    return qn_ok();
}

static qn_status finish(qn_gguf_reader *r)
{
    qn_gguf *g = r->gguf;
    QN_TRY(index_names(g, &g->kv_table, g->n_kv, "key"));
    QN_TRY(index_names(g, &g->tensor_table, g->n_tensors, "tensor"));
    return place_tensors(g, r->at, r->source.size);
}

/* ---- the reader ------------------------------------------------------------------------------------ */

/* Goes on as far as the loaded bytes allow; true when the header is complete. */
static bool parse(qn_gguf_reader *r)
{
    qn_gguf *g = r->gguf;
    if (!r->begun && !read_start(r)) return false;
    while (g->n_kv < r->n_kv || g->n_tensors < r->n_tensors) {
        uint64_t start = r->at;
        size_t n_strings = g->n_strings;
        if (g->n_kv < r->n_kv ? read_kv(r) : read_tensor(r)) continue;
        r->at = start; /* the entry is read again when more bytes are there */
        g->n_strings = n_strings;
        return false;
    }
    return true;
}

/* Loads at least up to r->want; nothing changes while the source is pending. */
static qn_status load(qn_gguf_reader *r, bool *pending)
{
    qn_gguf *g = r->gguf;
    uint64_t end = r->loaded ? 2 * r->loaded : FIRST_PIECE;
    if (end < r->want) end = r->want;
    if (end > MAX_HEADER) end = MAX_HEADER;
    if (end > r->source.size) end = r->source.size;
    size_t n = (size_t)(end - r->loaded);
    qn_status status = qn_ok();
    const void *bytes = r->source.read(r->source.user, r->loaded, n, pending, &status);
    if (*pending) return qn_ok();
    if (status.code != QN_OK) return qn_in(status, "GGUF header");
    if (!bytes)
        return qn_fail(QN_ERR_IO, "GGUF header: the source gave no bytes at %llu", (unsigned long long)r->loaded);
    void *p = g->header;
    status = qn_grow(g->a, &p, &g->header_capacity, (size_t)end, 1, "GGUF header");
    g->header = p;
    if (status.code != QN_OK) return status;
    memcpy(g->header + r->loaded, bytes, n);
    r->loaded = end;
    return qn_ok();
}

qn_status qn_gguf_reader_open(const qn_allocator *a, const qn_source *source, qn_gguf_reader **reader)
{
    *reader = NULL;
    void *r, *g;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_gguf_reader), "GGUF reader", &r));
    qn_status status = qn_alloc(a, 1, sizeof(qn_gguf), "GGUF reader", &g);
    if (status.code != QN_OK) {
        qn_free(a, r);
        return status;
    }
    *reader = r;
    (*reader)->a = a;
    (*reader)->gguf = g;
    (*reader)->gguf->a = a;
    (*reader)->source = *source;
    return qn_ok();
}

qn_status qn_gguf_reader_step(qn_gguf_reader *reader, qn_gguf **gguf)
{
    *gguf = NULL;
    if (!reader->gguf) return qn_fail(QN_ERR_STATE, "GGUF: the header has been read already");
    while (reader->status.code == QN_OK && !parse(reader)) {
        bool pending = false;
        if (reader->status.code != QN_OK) break;
        QN_TRY(load(reader, &pending)); /* may succeed when tried again */
        if (pending) return qn_ok();
    }
    if (reader->status.code == QN_OK) reader->status = finish(reader);
    if (reader->status.code != QN_OK) return reader->status;
    *gguf = reader->gguf;
    reader->gguf = NULL;
    return qn_ok();
}

void qn_gguf_reader_close(qn_gguf_reader *reader)
{
    if (!reader) return;
    qn_gguf_close(reader->gguf);
    qn_free(reader->a, reader);
}

qn_status qn_gguf_open(const qn_allocator *a, const qn_source *source, qn_gguf **gguf)
{
    *gguf = NULL;
    qn_gguf_reader *reader;
    QN_TRY(qn_gguf_reader_open(a, source, &reader));
    qn_status status = qn_gguf_reader_step(reader, gguf);
    if (status.code == QN_OK && !*gguf) status = qn_fail(QN_ERR_STATE, "GGUF: the source is pending; read it in steps");
    qn_gguf_reader_close(reader);
    return status;
}

void qn_gguf_close(qn_gguf *gguf)
{
    if (!gguf) return;
    const qn_allocator *a = gguf->a;
    qn_free(a, gguf->header);
    qn_free(a, gguf->kvs);
    qn_free(a, gguf->tensors);
    qn_free(a, gguf->strings);
    qn_free(a, gguf->kv_table.slots);
    qn_free(a, gguf->tensor_table.slots);
    qn_free(a, gguf);
}

/* ---- looking things up ------------------------------------------------------------------------------ */

uint32_t qn_gguf_version(const qn_gguf *gguf)
{
    return gguf->version;
}

size_t qn_gguf_n_tensors(const qn_gguf *gguf)
{
    return gguf->n_tensors;
}

const qn_gguf_tensor *qn_gguf_tensor_at(const qn_gguf *gguf, size_t i)
{
    return i < gguf->n_tensors ? &gguf->tensors[i].tensor : NULL;
}

const qn_gguf_tensor *qn_gguf_find_tensor(const qn_gguf *gguf, const char *name)
{
    uint32_t found = gguf->tensor_table.slots[find_slot(gguf, &gguf->tensor_table, name, strlen(name))];
    return found ? &gguf->tensors[found - 1].tensor : NULL;
}

size_t qn_gguf_n_kv(const qn_gguf *gguf)
{
    return gguf->n_kv;
}

const qn_gguf_kv *qn_gguf_kv_at(const qn_gguf *gguf, size_t i)
{
    return i < gguf->n_kv ? &gguf->kvs[i] : NULL;
}

const qn_gguf_kv *qn_gguf_find(const qn_gguf *gguf, const char *key)
{
    uint32_t found = gguf->kv_table.slots[find_slot(gguf, &gguf->kv_table, key, strlen(key))];
    return found ? &gguf->kvs[found - 1] : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static qn_gguf_string string_at(const qn_gguf *g, span s)
{
    return (qn_gguf_string){(const char *)g->header + s.at, s.size};
}

qn_gguf_string qn_gguf_key(const qn_gguf_kv *kv)
{
    return string_at(kv->gguf, kv->key);
}

qn_gguf_type qn_gguf_kv_type(const qn_gguf_kv *kv)
{
    return kv->type;
}

/* An integer of any type: its 64 bits, sign-extended, and whether they are those of a negative number. */
static bool load_integer(const uint8_t *p, qn_gguf_type type, uint64_t *bits, bool *negative)
{
    bool is_signed = true;
    int64_t v;
    switch (type) {
    case QN_GGUF_U8:
        v = p[0];
        break;
    case QN_GGUF_I8:
        v = (int8_t)p[0];
        break;
    case QN_GGUF_U16:
        v = (uint16_t)(p[0] | p[1] << 8);
        break;
    case QN_GGUF_I16:
        v = (int16_t)(p[0] | p[1] << 8);
        break;
    case QN_GGUF_U32:
        v = load_u32(p);
        break;
    case QN_GGUF_I32:
        v = (int32_t)load_u32(p);
        break;
    case QN_GGUF_I64:
        v = (int64_t)load_u64(p);
        break;
    case QN_GGUF_U64:
        v = (int64_t)load_u64(p);
        is_signed = false;
        break;
    default:
        return false;
    }
    *bits = (uint64_t)v;
    *negative = is_signed && v < 0;
    return true;
}

static bool load_i64(const uint8_t *p, qn_gguf_type type, int64_t *out)
{
    uint64_t bits;
    bool negative;
    if (!load_integer(p, type, &bits, &negative) || (!negative && bits > INT64_MAX)) return false;
    *out = (int64_t)bits;
    return true;
}

static bool load_f64(const uint8_t *p, qn_gguf_type type, double *out)
{
    if (type == QN_GGUF_F32) {
        uint32_t bits = load_u32(p);
        float f;
        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
        return true;
    }
    if (type != QN_GGUF_F64) return false;
    uint64_t bits = load_u64(p);
    memcpy(out, &bits, sizeof *out);
    return true;
}

bool qn_gguf_u64(const qn_gguf_kv *kv, uint64_t *out)
{
    bool negative;
    uint64_t bits;
    if (!kv || !load_integer(kv->gguf->header + kv->value, kv->type, &bits, &negative) || negative) return false;
    *out = bits;
    return true;
}

bool qn_gguf_i64(const qn_gguf_kv *kv, int64_t *out)
{
    return kv && load_i64(kv->gguf->header + kv->value, kv->type, out);
}

bool qn_gguf_f64(const qn_gguf_kv *kv, double *out)
{
    return kv && load_f64(kv->gguf->header + kv->value, kv->type, out);
}

bool qn_gguf_bool(const qn_gguf_kv *kv, bool *out)
{
    if (!kv || kv->type != QN_GGUF_BOOL) return false;
    *out = kv->gguf->header[kv->value] != 0;
    return true;
}

bool qn_gguf_str(const qn_gguf_kv *kv, qn_gguf_string *out)
{
    if (!kv || kv->type != QN_GGUF_STRING) return false;
    *out = string_at(kv->gguf, (span){kv->value, (uint32_t)kv->count});
    return true;
}

bool qn_gguf_array(const qn_gguf_kv *kv, qn_gguf_type *element, size_t *count)
{
    if (!kv || kv->type != QN_GGUF_ARRAY) return false;
    *element = kv->element;
    *count = kv->count;
    return true;
}

static bool has_element(const qn_gguf_kv *kv, size_t i)
{
    return kv && kv->type == QN_GGUF_ARRAY && i < kv->count;
}

bool qn_gguf_array_str(const qn_gguf_kv *kv, size_t i, qn_gguf_string *out)
{
    if (!has_element(kv, i) || kv->element != QN_GGUF_STRING) return false;
    *out = string_at(kv->gguf, kv->gguf->strings[kv->strings + i]);
    return true;
}

static const uint8_t *element_at(const qn_gguf_kv *kv, size_t i)
{
    return kv->gguf->header + kv->value + i * scalar_bytes(kv->element);
}

bool qn_gguf_array_i64(const qn_gguf_kv *kv, size_t i, int64_t *out)
{
    return has_element(kv, i) && load_i64(element_at(kv, i), kv->element, out);
}

bool qn_gguf_array_f64(const qn_gguf_kv *kv, size_t i, double *out)
{
    return has_element(kv, i) && load_f64(element_at(kv, i), kv->element, out);
}
