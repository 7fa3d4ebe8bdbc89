#include "support/fb_builder.h"

#include <stdlib.h>
#include <string.h>

size_t qn_fbb_bytes(qn_fbb *b, const void *data, size_t n)
{
    size_t at = b->size;
    if (b->size + n > b->capacity) {
        b->capacity = 2 * (b->size + n);
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (data && n)
        memcpy(b->data + at, data, n);
    else
        memset(b->data + at, 0, n);
    b->size += n;
    return at;
}

void qn_fbb_align(qn_fbb *b, size_t to)
{
    if (b->size % to) qn_fbb_bytes(b, NULL, to - b->size % to);
}

void qn_fbb_put(qn_fbb *b, size_t at, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) b->data[at + i] = (uint8_t)(value >> 8 * i);
}

uint64_t qn_fbb_get(const qn_fbb *b, size_t at, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++) v |= (uint64_t)b->data[at + i] << 8 * i;
    return v;
}

void qn_fbb_point(qn_fbb *b, size_t ref, size_t target)
{
    qn_fbb_put(b, ref, target - ref, 4);
}

qn_fbb qn_fbb_new(const char identifier[4], size_t reserved)
{
    qn_fbb b = {0};
    qn_fbb_bytes(&b, NULL, 4);
    qn_fbb_bytes(&b, identifier, 4);
    qn_fbb_bytes(&b, NULL, reserved);
    return b;
}

void qn_fbb_free(qn_fbb *b)
{
    free(b->data);
    *b = (qn_fbb){0};
}

size_t qn_fbb_table(qn_fbb *b, size_t ref, const qn_fbb_field *fields, size_t n)
{
    size_t slots = 0, table_bytes = 4;
    for (size_t i = 0; i < n; i++)
        if (fields[i].slot + 2u > slots) slots = fields[i].slot + 2u;
    if (slots < 4) slots = 4;
    qn_fbb_align(b, 8);
    size_t vtable = qn_fbb_bytes(b, NULL, slots);
    qn_fbb_align(b, 8);
    size_t table = qn_fbb_bytes(b, NULL, 4);
    for (size_t i = 0; i < n; i++) {
        while ((table + table_bytes) % fields[i].width) table_bytes += (size_t)(qn_fbb_bytes(b, NULL, 1) != 0);
        qn_fbb_put(b, vtable + fields[i].slot, table_bytes, 2);
        qn_fbb_put(b, qn_fbb_bytes(b, NULL, fields[i].width), fields[i].value, fields[i].width);
        table_bytes += fields[i].width;
    }
    qn_fbb_put(b, vtable, slots, 2);
    qn_fbb_put(b, vtable + 2, table_bytes, 2);
    qn_fbb_put(b, table, table - vtable, 4);
    qn_fbb_point(b, ref, table);
    return table;
}

size_t qn_fbb_field_at(const qn_fbb *b, size_t table, uint16_t slot)
{
    size_t vtable = table - (size_t)qn_fbb_get(b, table, 4);
    return table + (size_t)qn_fbb_get(b, vtable + slot, 2);
}

size_t qn_fbb_scalars(qn_fbb *b, size_t ref, const void *values, size_t count, size_t width)
{
    qn_fbb_align(b, 4);
    size_t at = qn_fbb_bytes(b, NULL, 4);
    qn_fbb_put(b, at, count, 4);
    qn_fbb_bytes(b, values, count * width);
    qn_fbb_point(b, ref, at);
    return at;
}

size_t qn_fbb_string(qn_fbb *b, size_t ref, const char *text)
{
    size_t at = qn_fbb_scalars(b, ref, text, strlen(text), 1);
    qn_fbb_bytes(b, NULL, 1);
    return at;
}

size_t qn_fbb_refs(qn_fbb *b, size_t ref, size_t count)
{
    return qn_fbb_scalars(b, ref, NULL, count, 4);
}

size_t qn_fbb_child(qn_fbb *b, size_t table, uint16_t slot, const qn_fbb_field *fields, size_t n)
{
    return qn_fbb_table(b, qn_fbb_field_at(b, table, slot), fields, n);
}

size_t qn_fbb_items(qn_fbb *b, size_t table, uint16_t slot, const void *values, size_t count, size_t width)
{
    return qn_fbb_scalars(b, qn_fbb_field_at(b, table, slot), values, count, width);
}

void qn_fbb_text(qn_fbb *b, size_t table, uint16_t slot, const char *text)
{
    qn_fbb_string(b, qn_fbb_field_at(b, table, slot), text);
}

size_t qn_fbb_children(qn_fbb *b, size_t table, uint16_t slot, size_t count)
{
    return qn_fbb_refs(b, qn_fbb_field_at(b, table, slot), count) + 4;
}

size_t qn_fbb_tagged(qn_fbb *b, size_t ref, uint8_t kind, const qn_fbb_field *fields, size_t n)
{
    size_t outer = qn_fbb_table(b, ref, QN_FIELDS({4, 1, kind}, {6, 4, 0}));
    return qn_fbb_child(b, outer, 6, fields, n);
}
