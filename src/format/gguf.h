/* gguf.h - GGUF versions 2 and 3: metadata and tensor table.
 * Format: the GGUF specification of the ggml project (docs/gguf.md). */
#ifndef QN_FORMAT_GGUF_H
#define QN_FORMAT_GGUF_H

#include "base/memory.h"

/* Metadata value types, numbered as in the file. */
typedef enum qn_gguf_type {
    QN_GGUF_U8 = 0,
    QN_GGUF_I8,
    QN_GGUF_U16,
    QN_GGUF_I16,
    QN_GGUF_U32,
    QN_GGUF_I32,
    QN_GGUF_F32,
    QN_GGUF_BOOL,
    QN_GGUF_STRING,
    QN_GGUF_ARRAY,
    QN_GGUF_U64,
    QN_GGUF_I64,
    QN_GGUF_F64,
} qn_gguf_type;

/* A string inside the file's header: not zero-terminated, may hold any bytes. */
typedef struct qn_gguf_string {
    const char *data;
    size_t size;
} qn_gguf_string;

typedef struct qn_gguf_kv qn_gguf_kv;

typedef struct qn_gguf_tensor {
    qn_gguf_string name;
    uint32_t n_dims;
    uint64_t dims[4]; /* as in the file: dims[0] is the fastest (K of a matrix), dims[1] is N; unused are 1 */
    uint32_t type;    /* ggml type number (see quant.h) */
    uint64_t offset;  /* absolute offset of the data in the file */
    uint64_t size;    /* bytes of the data; offset + size is within the file */
} qn_gguf_tensor;

typedef struct qn_gguf qn_gguf;

/* Reads the header (everything before the tensor data) through the source. Every count, offset, string,
 * dimension product, alignment and duplicate name is checked; QN_ERR_FORMAT says what is wrong and at
 * which byte. Tensors of a type that ggml does not define are kept with size 0, so that the caller can name
 * tensor and type (qn_quant_find gives NULL for the type).
 *
 * In one call, for a source that is never pending (a mapped file, memory); QN_ERR_STATE when it is. */
qn_status qn_gguf_open(const qn_allocator *a, const qn_source *source, qn_gguf **gguf);
void qn_gguf_close(qn_gguf *gguf);

/* In steps, for any source: open, step until *gguf is set, close. A reader keeps what it has read, and asks a
 * pending source for the same range again. The source must stay valid until the reader is closed. */
typedef struct qn_gguf_reader qn_gguf_reader;
qn_status qn_gguf_reader_open(const qn_allocator *a, const qn_source *source, qn_gguf_reader **reader);
/* QN_OK with *gguf NULL: the source is pending, or there is more to read; call again. */
qn_status qn_gguf_reader_step(qn_gguf_reader *reader, qn_gguf **gguf);
void qn_gguf_reader_close(qn_gguf_reader *reader);

uint32_t qn_gguf_version(const qn_gguf *gguf);

/* Tensors in file order; by name (NULL when there is none). */
size_t qn_gguf_n_tensors(const qn_gguf *gguf);
const qn_gguf_tensor *qn_gguf_tensor_at(const qn_gguf *gguf, size_t i);
const qn_gguf_tensor *qn_gguf_find_tensor(const qn_gguf *gguf, const char *name);

/* Metadata. find returns NULL when the key is absent. */
size_t qn_gguf_n_kv(const qn_gguf *gguf);
const qn_gguf_kv *qn_gguf_kv_at(const qn_gguf *gguf, size_t i);
const qn_gguf_kv *qn_gguf_find(const qn_gguf *gguf, const char *key);
qn_gguf_string qn_gguf_key(const qn_gguf_kv *kv);
qn_gguf_type qn_gguf_kv_type(const qn_gguf_kv *kv);

/* Typed access. Each checks the type (any integer type that can hold the value serves for integers, f32 and
 * f64 for floats) and returns false on a mismatch or when kv is NULL. */
bool qn_gguf_u64(const qn_gguf_kv *kv, uint64_t *out);
bool qn_gguf_i64(const qn_gguf_kv *kv, int64_t *out);
bool qn_gguf_f64(const qn_gguf_kv *kv, double *out); /* integers are not taken as floats */
bool qn_gguf_bool(const qn_gguf_kv *kv, bool *out);
bool qn_gguf_str(const qn_gguf_kv *kv, qn_gguf_string *out);

/* Arrays: element type and count; element i. Arrays of strings are indexed once at open, so that element i
 * costs O(1). Nested arrays are refused at open. */
bool qn_gguf_array(const qn_gguf_kv *kv, qn_gguf_type *element, size_t *count);
bool qn_gguf_array_str(const qn_gguf_kv *kv, size_t i, qn_gguf_string *out);
bool qn_gguf_array_i64(const qn_gguf_kv *kv, size_t i, int64_t *out);
bool qn_gguf_array_f64(const qn_gguf_kv *kv, size_t i, double *out);

#endif
