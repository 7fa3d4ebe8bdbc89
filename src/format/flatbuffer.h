/* flatbuffer.h - reading a FlatBuffer that nobody vouches for.
 * Format: "FlatBuffer Internals" of the FlatBuffers documentation (https://flatbuffers.dev/internals/).
 *
 * Why an own reader: the alternative in C is flatcc, which Debian 12 does not package; it brings a code generator into
 * the build and, for these schemas, several times more generated code than this file, and its verifier is a second pass
 * that the generated accessors then trust. Here every access checks itself, so nothing depends on a file that stays
 * unchanged between a check and a use, and the message can name the field and the byte.
 *
 * A reader keeps its first failure (qn_fb.status). After it, every access gives the default of an absent field, so that
 * code reads field after field and asks once at the end. All offsets are computed in 64 bits. Offsets to vectors,
 * tables and strings only point forward, so there are no cycles, and nothing here recurses. Nothing is allocated or
 * copied. What a caller may be made to walk is bounded: all vectors and strings that are opened may have
 * QN_FB_ELEMENTS_PER_BYTE elements for every byte of the buffer, and those whose elements are tables or strings
 * QN_FB_MAX_TABLES in total, however often a hostile file points at the same bytes. */
#ifndef QN_FORMAT_FLATBUFFER_H
#define QN_FORMAT_FLATBUFFER_H

#include "base/status.h"

enum { QN_FB_MAX_TABLES = 1 << 20, QN_FB_REUSE = 4 };

/* Bytes inside a file that somebody else keeps alive. */
typedef struct qn_bytes {
    const uint8_t *data; /* NULL: none */
    uint64_t size;
} qn_bytes;

typedef struct qn_fb {
    qn_bytes bytes;   /* the flatbuffer; offsets count from its first byte      */
    uint64_t base;    /* where it lies in the file: messages name bytes of it   */
    uint64_t left;    /* bytes that may still be opened                         */
    uint64_t tables;  /* tables of vectors that may still be opened             */
    qn_status status; /* the first failure                                      */
} qn_fb;

/* A table. Fields are named by their vtable offset ("slot": 4 for the first field, 6 for the second, ...). */
typedef struct qn_fb_table {
    qn_fb *fb; /* NULL: absent; all of its fields are */
    uint64_t at, vtable;
    uint16_t vtable_size, size; /* bytes */
} qn_fb_table;

/* A vector of scalars, or of offsets to tables. Elements of scalars can be read without the reader. */
typedef struct qn_fb_vector {
    const uint8_t *data;
    uint32_t count;
    uint32_t width; /* bytes of an element */
} qn_fb_vector;

/* Starts reading; root gives the root table. The four characters at byte 4 must be `identifier`. */
void qn_fb_open(qn_fb *fb, qn_bytes bytes, uint64_t base, const char identifier[4]);
qn_fb_table qn_fb_root(qn_fb *fb);

/* Keep a failure of the caller's own at byte `at` of the flatbuffer, unless there is one already: QN_ERR_FORMAT for
 * what is damaged, QN_ERR_UNSUPPORTED for what this version does not read. */
void qn_fb_fail(qn_fb *fb, uint64_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void qn_fb_refuse(qn_fb *fb, uint64_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether a field is there. */
bool qn_fb_has(const qn_fb_table *table, uint16_t slot);

/* Scalars. A field that is absent has the default that its schema says. */
uint8_t qn_fb_u8(const qn_fb_table *table, uint16_t slot, uint8_t absent);
int8_t qn_fb_i8(const qn_fb_table *table, uint16_t slot, int8_t absent);
uint32_t qn_fb_u32(const qn_fb_table *table, uint16_t slot, uint32_t absent);
int32_t qn_fb_i32(const qn_fb_table *table, uint16_t slot, int32_t absent);
uint64_t qn_fb_u64(const qn_fb_table *table, uint16_t slot, uint64_t absent);
int64_t qn_fb_i64(const qn_fb_table *table, uint16_t slot, int64_t absent);
double qn_fb_f64(const qn_fb_table *table, uint16_t slot, double absent);

/* A table (a union's too), a vector of scalars of `width` bytes, a vector of tables. `name` is for messages
 * ("Program.values"). An absent vector is empty. */
qn_fb_table qn_fb_sub(const qn_fb_table *table, uint16_t slot, const char *name);
qn_fb_vector qn_fb_scalars(const qn_fb_table *table, uint16_t slot, uint32_t width, const char *name);
qn_fb_vector qn_fb_refs(const qn_fb_table *table, uint16_t slot, const char *name);
/* A string, zero-terminated where it lies in the file and without zeros inside; "" when absent. */
const char *qn_fb_string(const qn_fb_table *table, uint16_t slot, const char *name);

/* Table i of a vector of tables. */
qn_fb_table qn_fb_table_at(qn_fb *fb, const qn_fb_vector *vector, uint32_t i, const char *name);

/* n <= 8 little-endian bytes, at any address. */
static inline uint64_t qn_fb_le(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Element i of a vector of scalars of that width; 0 past its end. */
static inline uint64_t qn_fb_bits_at(const qn_fb_vector *v, uint32_t i, uint32_t width)
{
    return i < v->count && v->width == width ? qn_fb_le(v->data + (uint64_t)i * width, width) : 0;
}
static inline uint8_t qn_fb_u8_at(const qn_fb_vector *v, uint32_t i)
{
    return (uint8_t)qn_fb_bits_at(v, i, 1);
}
static inline uint32_t qn_fb_u32_at(const qn_fb_vector *v, uint32_t i)
{
    return (uint32_t)qn_fb_bits_at(v, i, 4);
}
static inline int32_t qn_fb_i32_at(const qn_fb_vector *v, uint32_t i)
{
    return (int32_t)(uint32_t)qn_fb_bits_at(v, i, 4);
}
static inline uint64_t qn_fb_u64_at(const qn_fb_vector *v, uint32_t i)
{
    return qn_fb_bits_at(v, i, 8);
}
static inline int64_t qn_fb_i64_at(const qn_fb_vector *v, uint32_t i)
{
    return (int64_t)qn_fb_bits_at(v, i, 8);
}
static inline double qn_fb_f64_at(const qn_fb_vector *v, uint32_t i)
{
    union {
        uint64_t u;
        double f;
    } bits = {qn_fb_bits_at(v, i, 8)};
    return bits.f;
}

#endif
