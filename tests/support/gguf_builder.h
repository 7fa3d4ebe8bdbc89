/* gguf_builder.h - writes GGUF files, to memory or to a stream: for tests, the fuzzer's seeds and tools/gen_gguf.
 * Support code: it ends the program when memory runs out or it is used wrongly. */
#ifndef QN_TESTS_GGUF_BUILDER_H
#define QN_TESTS_GGUF_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct qn_builder qn_builder;

qn_builder *qn_builder_new(uint32_t version);
void qn_builder_free(qn_builder *b);

/* Metadata, in the order of the calls. Keys are not checked: a test may add one twice. */
void qn_builder_u32(qn_builder *b, const char *key, uint32_t value);
void qn_builder_f32(qn_builder *b, const char *key, float value);
void qn_builder_bool(qn_builder *b, const char *key, bool value);
void qn_builder_str(qn_builder *b, const char *key, const char *value);
void qn_builder_strs(qn_builder *b, const char *key, const char *const *values, size_t n);
void qn_builder_i32s(qn_builder *b, const char *key, const int32_t *values, size_t n);
void qn_builder_f32s(qn_builder *b, const char *key, const float *values, size_t n);
/* A value as its bytes in the file, of any type number. */
void qn_builder_raw(qn_builder *b, const char *key, uint32_t type, const void *bytes, size_t size);
/* Writes general.alignment and aligns by it (default 32, not written). */
void qn_builder_alignment(qn_builder *b, uint32_t alignment);

/* Writes n bytes of a tensor's data, called in order from its start. */
typedef void (*qn_builder_fill)(void *user, void *out, size_t n);

/* A tensor of `size` bytes of data, dims[0] fastest. fill NULL: zeros. Every call of fill asks for a multiple of
 * `unit` bytes (its block; at least 1). Offsets are assigned in order. Returns the tensor's position. */
size_t qn_builder_tensor(qn_builder *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                         uint64_t size, size_t unit, qn_builder_fill fill, void *user);
/* For broken files: replaces the offset that the header gives for tensor i. */
void qn_builder_set_offset(qn_builder *b, size_t i, uint64_t offset);

/* The whole file in malloc'ed memory. */
uint8_t *qn_builder_bytes(qn_builder *b, size_t *size);
/* The whole file to a stream; false when writing fails. */
bool qn_builder_write(qn_builder *b, FILE *f);

#endif
