/* fb_builder.h - writes FlatBuffers, parents first: a reference is patched when its target is appended. So a test can
 * also leave references dangling, point twice at one thing, or spoil a byte whose place it knows. */
#ifndef QN_TESTS_FB_BUILDER_H
#define QN_TESTS_FB_BUILDER_H

#include <stddef.h>
#include <stdint.h>

typedef struct qn_fbb {
    uint8_t *data; /* malloc */
    size_t size, capacity;
} qn_fbb;

/* A field of a table: the vtable offset ("slot"), bytes, value. References are 4 bytes, patched later. */
typedef struct qn_fbb_field {
    uint16_t slot;
    uint8_t width;
    uint64_t value;
} qn_fbb_field;

/* Root offset (its place is 0), identifier, then `reserved` zero bytes for a header. */
qn_fbb qn_fbb_new(const char identifier[4], size_t reserved);
void qn_fbb_free(qn_fbb *b);

/* Each appends something, lets the reference at `ref` point at it, and returns its place. */
size_t qn_fbb_table(qn_fbb *b, size_t ref, const qn_fbb_field *fields, size_t n);
size_t qn_fbb_scalars(qn_fbb *b, size_t ref, const void *values, size_t count, size_t width);
size_t qn_fbb_string(qn_fbb *b, size_t ref, const char *text);
/* A vector of references; reference i is at the returned place + 4 + 4 i. */
size_t qn_fbb_refs(qn_fbb *b, size_t ref, size_t count);
/* Place of a field of the table at `table`. */
size_t qn_fbb_field_at(const qn_fbb *b, size_t table, uint16_t slot);

/* The same for what a reference field of the table at `table` points at. */
size_t qn_fbb_child(qn_fbb *b, size_t table, uint16_t slot, const qn_fbb_field *fields, size_t n);
size_t qn_fbb_items(qn_fbb *b, size_t table, uint16_t slot, const void *values, size_t count, size_t width);
void qn_fbb_text(qn_fbb *b, size_t table, uint16_t slot, const char *text);
/* The place of the first reference; the others follow, 4 bytes each. */
size_t qn_fbb_children(qn_fbb *b, size_t table, uint16_t slot, size_t count);
/* A table of a kind and a table of its own (EValue, VkValue, Instruction); returns the inner one. */
size_t qn_fbb_tagged(qn_fbb *b, size_t ref, uint8_t kind, const qn_fbb_field *fields, size_t n);

void qn_fbb_align(qn_fbb *b, size_t to);
size_t qn_fbb_bytes(qn_fbb *b, const void *data, size_t n);
void qn_fbb_point(qn_fbb *b, size_t ref, size_t target);
void qn_fbb_put(qn_fbb *b, size_t at, uint64_t value, size_t width);
uint64_t qn_fbb_get(const qn_fbb *b, size_t at, size_t width);

/* Fields of a literal: qn_fbb_table(b, ref, QN_FIELDS({4, 4, 7}, {6, 4, 0})). */
#define QN_FIELDS(...)                                                                                                 \
    (const qn_fbb_field[]){__VA_ARGS__}, sizeof((const qn_fbb_field[]){__VA_ARGS__}) / sizeof(qn_fbb_field)

#endif
