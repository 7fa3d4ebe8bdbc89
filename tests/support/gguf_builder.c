#include "support/gguf_builder.h"

#include <stdlib.h>
#include <string.h>

enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9 }; /* value types, as in the file */
enum { CHUNK = 1 << 20 };

typedef struct bytes {
    uint8_t *data;
    size_t size, capacity;
} bytes;

typedef struct tensor {
    char *name;
    uint32_t type, n_dims;
    uint64_t dims[8], size, offset;
    size_t unit;
    qn_builder_fill fill;
    void *user;
} tensor;

struct qn_builder {
    uint32_t version, alignment;
    uint64_t n_kv;
    bytes kv;
    tensor *tensors;
    size_t n_tensors;
    uint64_t data_end; /* where the next tensor's data would go */
};

static void *check(void *p)
{
    if (!p) {
        fputs("gguf_builder: out of memory\n", stderr);
        exit(2);
    }
    return p;
}

static void put(bytes *b, const void *data, size_t n)
{
    if (b->size + n > b->capacity) {
        b->capacity = 2 * (b->size + n) + 256;
        b->data = check(realloc(b->data, b->capacity));
    }
    if (n) memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void put_int(bytes *b, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        put(b, &byte, 1);
    }
}

static void put_str(bytes *b, const char *s)
{
    size_t n = strlen(s);
    put_int(b, n, 8);
    put(b, s, n);
}

static void put_f32(bytes *b, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_int(b, bits, 4);
}

qn_builder *qn_builder_new(uint32_t version)
{
    qn_builder *b = check(calloc(1, sizeof *b));
    b->version = version;
    b->alignment = 32;
    return b;
}

void qn_builder_free(qn_builder *b)
{
    if (!b) return;
    for (size_t i = 0; i < b->n_tensors; i++) free(b->tensors[i].name);
    free(b->tensors);
    free(b->kv.data);
    free(b);
}

/* ---- metadata -------------------------------------------------------------------------------------- */

static bytes *begin(qn_builder *b, const char *key, uint32_t type)
{
    b->n_kv++;
    put_str(&b->kv, key);
    put_int(&b->kv, type, 4);
    return &b->kv;
}

static bytes *begin_array(qn_builder *b, const char *key, uint32_t element, size_t n)
{
    bytes *kv = begin(b, key, ARRAY);
    put_int(kv, element, 4);
    put_int(kv, n, 8);
    return kv;
}

void qn_builder_raw(qn_builder *b, const char *key, uint32_t type, const void *data, size_t size)
{
    put(begin(b, key, type), data, size);
}

void qn_builder_u32(qn_builder *b, const char *key, uint32_t value)
{
    put_int(begin(b, key, U32), value, 4);
}

void qn_builder_f32(qn_builder *b, const char *key, float value)
{
    put_f32(begin(b, key, F32), value);
}

void qn_builder_bool(qn_builder *b, const char *key, bool value)
{
    put_int(begin(b, key, BOOL), value, 1);
}

void qn_builder_str(qn_builder *b, const char *key, const char *value)
{
    put_str(begin(b, key, STRING), value);
}

void qn_builder_strs(qn_builder *b, const char *key, const char *const *values, size_t n)
{
    bytes *kv = begin_array(b, key, STRING, n);
    for (size_t i = 0; i < n; i++) put_str(kv, values[i]);
}

void qn_builder_i32s(qn_builder *b, const char *key, const int32_t *values, size_t n)
{
    bytes *kv = begin_array(b, key, I32, n);
    for (size_t i = 0; i < n; i++) put_int(kv, (uint32_t)values[i], 4);
}

void qn_builder_f32s(qn_builder *b, const char *key, const float *values, size_t n)
{
    bytes *kv = begin_array(b, key, F32, n);
    for (size_t i = 0; i < n; i++) put_f32(kv, values[i]);
}

void qn_builder_alignment(qn_builder *b, uint32_t alignment)
{
    qn_builder_u32(b, "general.alignment", alignment);
    if (alignment == 0) exit(2);
    b->alignment = alignment;
}

/* ---- tensors ----------------------------------------------------------------------------------------- */

static uint64_t aligned(const qn_builder *b, uint64_t at)
{
    return (at + b->alignment - 1) / b->alignment * b->alignment;
}

size_t qn_builder_tensor(qn_builder *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                         uint64_t size, size_t unit, qn_builder_fill fill, void *user)
{
    tensor t = {.type = type, .n_dims = n_dims, .size = size, .unit = unit, .fill = fill, .user = user};
    if (n_dims > 8 || unit == 0 || unit > CHUNK || size % unit) {
        fprintf(stderr, "gguf_builder: tensor %s is described wrongly\n", name);
        exit(2);
    }
    t.name = check(malloc(strlen(name) + 1));
    strcpy(t.name, name);
    for (uint32_t i = 0; i < n_dims; i++) t.dims[i] = dims[i];
    t.offset = aligned(b, b->data_end);
    b->data_end = t.offset + size;
    b->tensors = check(realloc(b->tensors, (b->n_tensors + 1) * sizeof t));
    b->tensors[b->n_tensors] = t;
    return b->n_tensors++;
}

void qn_builder_set_offset(qn_builder *b, size_t i, uint64_t offset)
{
    b->tensors[i].offset = offset;
}

/* ---- output ---------------------------------------------------------------------------------------------- */

/* The header, padded to where the data starts. */
static bytes header(const qn_builder *b)
{
    bytes out = {0};
    put(&out, "GGUF", 4);
    put_int(&out, b->version, 4);
    put_int(&out, b->n_tensors, 8);
    put_int(&out, b->n_kv, 8);
    put(&out, b->kv.data, b->kv.size);
    for (size_t i = 0; i < b->n_tensors; i++) {
        const tensor *t = &b->tensors[i];
        put_str(&out, t->name);
        put_int(&out, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims; d++) put_int(&out, t->dims[d], 8);
        put_int(&out, t->type, 4);
        put_int(&out, t->offset, 8);
    }
    while (b->n_tensors && out.size % b->alignment) put_int(&out, 0, 1);
    return out;
}

/* The data of tensor t, chunk by chunk, to memory at out or, when that is NULL, to f. */
static bool put_tensor(const tensor *t, bytes *out, FILE *f)
{
    uint8_t *chunk = check(malloc(CHUNK));
    size_t most = CHUNK / t->unit * t->unit;
    bool ok = true;
    for (uint64_t at = 0; ok && at < t->size;) {
        size_t n = t->size - at < most ? (size_t)(t->size - at) : most;
        if (t->fill)
            t->fill(t->user, chunk, n);
        else
            memset(chunk, 0, n);
        if (out)
            put(out, chunk, n);
        else
            ok = fwrite(chunk, 1, n, f) == n;
        at += n;
    }
    free(chunk);
    return ok;
}

static bool put_data(const qn_builder *b, bytes *out, FILE *f)
{
    uint64_t at = 0;
    for (size_t i = 0; i < b->n_tensors; i++) {
        uint64_t start = aligned(b, at);
        static const uint8_t zero;
        for (; at < start; at++) {
            if (out)
                put(out, &zero, 1);
            else if (fwrite(&zero, 1, 1, f) != 1)
                return false;
        }
        if (!put_tensor(&b->tensors[i], out, f)) return false;
        at += b->tensors[i].size;
    }
    return true;
}

uint8_t *qn_builder_bytes(qn_builder *b, size_t *size)
{
    bytes out = header(b);
    put_data(b, &out, NULL);
    *size = out.size;
    return out.data;
}

bool qn_builder_write(qn_builder *b, FILE *f)
{
    bytes out = header(b);
    bool ok = fwrite(out.data, 1, out.size, f) == out.size && put_data(b, NULL, f);
    free(out.data);
    return ok;
}
