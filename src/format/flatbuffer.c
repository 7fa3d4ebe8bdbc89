#include "format/flatbuffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Stands for a table where one of a failed reader is needed: everything in it is absent. */
static const qn_fb_table nothing = {0};

static void keep(qn_fb *fb, qn_code code, uint64_t at, const char *format, va_list args)
{
    if (fb->status.code != QN_OK) return;
    char text[QN_STATUS_TEXT];
    vsnprintf(text, sizeof text, format, args);
    fb->status = qn_fail(code, "byte %llu: %s", (unsigned long long)(fb->base + at), text);
}

void qn_fb_fail(qn_fb *fb, uint64_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep(fb, QN_ERR_FORMAT, at, format, args);
    va_end(args);
}

void qn_fb_refuse(qn_fb *fb, uint64_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep(fb, QN_ERR_UNSUPPORTED, at, format, args);
    va_end(args);
}

/* Whether bytes [at, at + n) are there. */
static bool inside(const qn_fb *fb, uint64_t at, uint64_t n)
{
    return at <= fb->bytes.size && n <= fb->bytes.size - at;
}

static uint64_t load(const qn_fb *fb, uint64_t at, uint32_t n)
{
    return qn_fb_le(fb->bytes.data + at, n);
}

void qn_fb_open(qn_fb *fb, qn_bytes bytes, uint64_t base, const char identifier[4])
{
    uint64_t most = UINT64_MAX / QN_FB_REUSE;
    *fb = (qn_fb){.bytes = bytes, .base = base, .tables = QN_FB_MAX_TABLES};
    fb->left = (bytes.size < most ? bytes.size : most) * QN_FB_REUSE;
    if (!inside(fb, 0, 8)) {
        qn_fb_fail(fb, 0, "%llu bytes are too few for a flatbuffer; the file is cut off",
                   (unsigned long long)bytes.size);
    } else if (memcmp(bytes.data + 4, identifier, 4) != 0) {
        char found[5] = {0};
        for (int i = 0; i < 4; i++) {
            uint8_t c = bytes.data[4 + i];
            found[i] = c >= 32 && c < 127 ? (char)c : '?';
        }
        qn_fb_fail(fb, 4, "the identifier is \"%s\", not \"%.4s\"", found, identifier);
    }
}

/* The table at `at`: its vtable and its own bytes are inside the buffer. */
static qn_fb_table table_at(qn_fb *fb, uint64_t at, const char *name)
{
    qn_fb_table t = {.fb = fb, .at = at};
    if (!inside(fb, at, 4)) {
        qn_fb_fail(fb, at, "table %s starts past the end of the flatbuffer", name);
        return nothing;
    }
    int64_t vtable = (int64_t)at - (int32_t)(uint32_t)load(fb, at, 4);
    if (vtable < 0 || !inside(fb, (uint64_t)vtable, 4)) {
        qn_fb_fail(fb, at, "the vtable of table %s is outside of the flatbuffer", name);
        return nothing;
    }
    t.vtable = (uint64_t)vtable;
    t.vtable_size = (uint16_t)load(fb, t.vtable, 2);
    t.size = (uint16_t)load(fb, t.vtable + 2, 2);
    if (t.vtable_size < 4 || t.vtable_size % 2 != 0 || !inside(fb, t.vtable, t.vtable_size)) {
        qn_fb_fail(fb, t.vtable, "the vtable of table %s has a bad size, %u bytes", name, t.vtable_size);
        return nothing;
    }
    if (t.size < 4 || !inside(fb, at, t.size)) {
        qn_fb_fail(fb, at, "table %s has a bad size, %u bytes", name, t.size);
        return nothing;
    }
    return t;
}

/* What the offset at `field` points at; 0 on a failure. */
static uint64_t follow(qn_fb *fb, uint64_t field, const char *name)
{
    uint64_t to = field + load(fb, field, 4);
    if (to >= field + 4 && inside(fb, to, 4)) return to;
    qn_fb_fail(fb, field, "the offset to %s points outside of the flatbuffer", name);
    return 0;
}

qn_fb_table qn_fb_root(qn_fb *fb)
{
    if (fb->status.code != QN_OK) return nothing;
    uint64_t at = follow(fb, 0, "the root table");
    return at ? table_at(fb, at, "(root)") : nothing;
}

/* Position of a field of n bytes; 0 when it is absent or the reader has failed. */
static uint64_t field_at(const qn_fb_table *t, uint16_t slot, uint32_t n)
{
    qn_fb *fb = t->fb;
    if (!fb || fb->status.code != QN_OK || slot + 2 > t->vtable_size) return 0;
    uint64_t offset = load(fb, t->vtable + slot, 2);
    if (offset == 0) return 0;
    if (offset >= 4 && offset + n <= t->size) return t->at + offset;
    qn_fb_fail(fb, t->vtable + slot, "a field of %u bytes lies outside of its table of %u bytes at byte %llu", n,
               t->size, (unsigned long long)(fb->base + t->at));
    return 0;
}

bool qn_fb_has(const qn_fb_table *table, uint16_t slot)
{
    return field_at(table, slot, 1) != 0;
}

static uint64_t scalar(const qn_fb_table *t, uint16_t slot, uint32_t n, uint64_t absent)
{
    uint64_t at = field_at(t, slot, n);
    return at ? load(t->fb, at, n) : absent;
}

uint8_t qn_fb_u8(const qn_fb_table *table, uint16_t slot, uint8_t absent)
{
    return (uint8_t)scalar(table, slot, 1, absent);
}

int8_t qn_fb_i8(const qn_fb_table *table, uint16_t slot, int8_t absent)
{
    return (int8_t)(uint8_t)scalar(table, slot, 1, (uint8_t)absent);
}

uint32_t qn_fb_u32(const qn_fb_table *table, uint16_t slot, uint32_t absent)
{
    return (uint32_t)scalar(table, slot, 4, absent);
}

int32_t qn_fb_i32(const qn_fb_table *table, uint16_t slot, int32_t absent)
{
    return (int32_t)(uint32_t)scalar(table, slot, 4, (uint32_t)absent);
}

uint64_t qn_fb_u64(const qn_fb_table *table, uint16_t slot, uint64_t absent)
{
    return scalar(table, slot, 8, absent);
}

int64_t qn_fb_i64(const qn_fb_table *table, uint16_t slot, int64_t absent)
{
    return (int64_t)scalar(table, slot, 8, (uint64_t)absent);
}

double qn_fb_f64(const qn_fb_table *table, uint16_t slot, double absent)
{
    union {
        double f;
        uint64_t u;
    } bits = {absent};
    bits.u = scalar(table, slot, 8, bits.u);
    return bits.f;
}

qn_fb_table qn_fb_sub(const qn_fb_table *table, uint16_t slot, const char *name)
{
    uint64_t field = field_at(table, slot, 4);
    uint64_t at = field ? follow(table->fb, field, name) : 0;
    return at ? table_at(table->fb, at, name) : nothing;
}

/* A vector: its elements are inside the buffer, and what may be opened has room for `cost` bytes for each of them. */
static qn_fb_vector vector(const qn_fb_table *t, uint16_t slot, uint32_t width, uint32_t cost, const char *name)
{
    qn_fb_vector none = {.width = width};
    uint64_t field = field_at(t, slot, 4);
    uint64_t at = field ? follow(t->fb, field, name) : 0;
    if (!at) return none;
    qn_fb *fb = t->fb;
    uint64_t count = load(fb, at, 4);
    if (!inside(fb, at + 4, count * width)) {
        qn_fb_fail(fb, at, "%s has %llu elements of %u bytes, which pass the end of the flatbuffer", name,
                   (unsigned long long)count, width);
        return none;
    }
    if (count * cost > fb->left) {
        qn_fb_fail(fb, at, "%s, with %llu elements: the file refers to the same bytes too often", name,
                   (unsigned long long)count);
        return none;
    }
    fb->left -= count * cost;
    return (qn_fb_vector){fb->bytes.data + at + 4, (uint32_t)count, width};
}

qn_fb_vector qn_fb_scalars(const qn_fb_table *table, uint16_t slot, uint32_t width, const char *name)
{
    return vector(table, slot, width, width, name);
}

qn_fb_vector qn_fb_refs(const qn_fb_table *table, uint16_t slot, const char *name)
{
    qn_fb_vector v = vector(table, slot, 4, 8, name);
    if (v.count == 0) return v;
    qn_fb *fb = table->fb;
    if (v.count <= fb->tables) {
        fb->tables -= v.count;
        return v;
    }
    qn_fb_fail(fb, (uint64_t)(v.data - fb->bytes.data) - 4, "%s, with %u entries, makes more than %d in the file", name,
               v.count, QN_FB_MAX_TABLES);
    return (qn_fb_vector){.width = 4};
}

const char *qn_fb_string(const qn_fb_table *table, uint16_t slot, const char *name)
{
    qn_fb_vector v = vector(table, slot, 1, 1, name);
    if (!v.data) return "";
    qn_fb *fb = table->fb;
    uint64_t at = (uint64_t)(v.data - fb->bytes.data);
    if (!inside(fb, at + v.count, 1) || v.data[v.count] != 0 || memchr(v.data, 0, v.count)) {
        qn_fb_fail(fb, at, "%s is no zero-terminated string", name);
        return "";
    }
    return (const char *)v.data;
}

qn_fb_table qn_fb_table_at(qn_fb *fb, const qn_fb_vector *refs, uint32_t i, const char *name)
{
    if (fb->status.code != QN_OK || i >= refs->count || refs->width != 4) return nothing;
    uint64_t at = follow(fb, (uint64_t)(refs->data - fb->bytes.data) + (uint64_t)i * 4, name);
    return at ? table_at(fb, at, name) : nothing;
}
