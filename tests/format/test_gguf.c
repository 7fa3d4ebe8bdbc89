/* The GGUF reader: what it gives for well-formed files, and that nothing in a hostile one is believed. */
#include "format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/quant.h"
#include "support/gguf_builder.h"
#include "support/host_memory.h"
#include "support/random_model.h"

/* ---- help ------------------------------------------------------------------------------------------------ */

typedef struct memory {
    const uint8_t *data;
    size_t size;
    uint64_t end;    /* where the file claims to end; reads past the data fail the test */
    unsigned stalls; /* answers "pending" this many times before every read */
    unsigned stalled;
    unsigned reads;
} memory;

static const void *memory_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    memory *m = user;
    *status = qn_ok();
    *pending = m->stalled < m->stalls;
    if (*pending) {
        m->stalled++;
        return NULL;
    }
    m->stalled = 0;
    m->reads++;
    assert_true(offset <= m->end && size <= m->end - offset);
    if (offset + size <= m->size) return m->data + offset;
    static uint8_t zeros[2 << 20]; /* a file that is longer than its data holds zeros there */
    assert_true(size <= sizeof zeros);
    memset(zeros, 0, sizeof zeros);
    if (offset < m->size) memcpy(zeros, m->data + offset, m->size - (size_t)offset);
    return zeros;
}

static qn_source source_of(memory *m)
{
    if (!m->end) m->end = m->size;
    return (qn_source){.user = m, .size = m->end, .read = memory_read};
}

static qn_gguf *open_bytes(const uint8_t *data, size_t size)
{
    memory m = {.data = data, .size = size};
    qn_source source = source_of(&m);
    qn_gguf *g = NULL;
    qn_status status = qn_gguf_open(NULL, &source, &g);
    if (status.code != QN_OK) fail_msg("%s", status.text);
    assert_non_null(g);
    return g;
}

/* Opens what the builder made, and frees the builder. */
static qn_gguf *open_built(qn_builder *b)
{
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_gguf *g = open_bytes(data, size);
    free(data); /* the reader keeps a copy */
    qn_builder_free(b);
    return g;
}

static void expect_refused_bytes(const uint8_t *data, size_t size, uint64_t end, qn_code code, const char *text)
{
    memory m = {.data = data, .size = size, .end = end};
    qn_source source = source_of(&m);
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    qn_gguf *g = NULL;
    qn_status status = qn_gguf_open(&a.allocator, &source, &g);
    assert_null(g);
    assert_int_equal(a.blocks, 0);
    if (status.code != code || !strstr(status.text, text))
        fail_msg("expected %s with \"%s\", got %s: %s", qn_code_name(code), text, qn_code_name(status.code),
                 status.text);
    assert_true(a.largest <= (4u << 20)); /* no count of a hostile file decides an allocation */
}

static void expect_refused(qn_builder *b, qn_code code, const char *text)
{
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    expect_refused_bytes(data, size, 0, code, text);
    free(data);
    qn_builder_free(b);
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A tensor of f32 with zeros as data. */
static size_t add_f32(qn_builder *b, const char *name, uint64_t k, uint64_t n)
{
    uint64_t dims[2] = {k, n};
    return qn_builder_tensor(b, name, QN_GGML_F32, 2, dims, k * n * 4, 4, NULL, NULL);
}

/* A file with a bit of everything. */
static qn_builder *sample(uint32_t version)
{
    static const char *const words[] = {"one", "", "three"};
    static const int32_t ints[] = {-1, 2, 2000000000};
    static const float floats[] = {0.5f, -2.0f};
    qn_builder *b = qn_builder_new(version);
    qn_builder_str(b, "general.architecture", "llama");
    qn_builder_alignment(b, 64);
    qn_builder_u32(b, "a.u32", 7);
    qn_builder_f32(b, "a.f32", 1.5f);
    qn_builder_bool(b, "a.bool", true);
    qn_builder_strs(b, "a.strings", words, 3);
    qn_builder_i32s(b, "a.ints", ints, 3);
    qn_builder_f32s(b, "a.floats", floats, 2);
    qn_builder_strs(b, "a.none", NULL, 0);
    add_f32(b, "first", 3, 2);
    uint64_t dims[4] = {32, 2, 3, 1};
    qn_builder_tensor(b, "second", QN_GGML_Q4_0, 3, dims, 6 * 18, 18, NULL, NULL);
    return b;
}

static void expect_str(qn_gguf_string s, const char *text)
{
    assert_int_equal(s.size, strlen(text));
    assert_memory_equal(s.data, text, s.size);
}

/* ---- well-formed files ---------------------------------------------------------------------------------- */

static void check_sample(const qn_gguf *g)
{
    uint64_t u;
    bool flag;
    double f;
    qn_gguf_string s;
    assert_int_equal(qn_gguf_n_kv(g), 9);
    assert_int_equal(qn_gguf_n_tensors(g), 2);
    assert_true(qn_gguf_str(qn_gguf_find(g, "general.architecture"), &s));
    expect_str(s, "llama");
    assert_true(qn_gguf_u64(qn_gguf_find(g, "a.u32"), &u));
    assert_int_equal(u, 7);
    assert_true(qn_gguf_f64(qn_gguf_find(g, "a.f32"), &f));
    assert_true(f == 1.5);
    assert_true(qn_gguf_bool(qn_gguf_find(g, "a.bool"), &flag));
    assert_true(flag);
    assert_null(qn_gguf_find(g, "a"));
    assert_null(qn_gguf_find(g, ""));
    expect_str(qn_gguf_key(qn_gguf_kv_at(g, 2)), "a.u32");
    assert_null(qn_gguf_kv_at(g, 9));

    const qn_gguf_tensor *first = qn_gguf_find_tensor(g, "first"), *second = qn_gguf_tensor_at(g, 1);
    assert_non_null(first);
    expect_str(second->name, "second");
    assert_int_equal(first->n_dims, 2);
    assert_int_equal(first->dims[0], 3);
    assert_int_equal(first->dims[1], 2);
    assert_int_equal(first->dims[2], 1);
    assert_int_equal(first->size, 24);
    assert_int_equal(first->offset % 64, 0);
    assert_int_equal(second->offset, first->offset + 64);
    assert_int_equal(second->size, 108);
    assert_null(qn_gguf_find_tensor(g, "third"));
    assert_null(qn_gguf_tensor_at(g, 2));
}

static void test_versions_2_and_3(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        qn_gguf *g = open_built(sample(version));
        assert_int_equal(qn_gguf_version(g), version);
        check_sample(g);
        qn_gguf_close(g);
    }
    qn_gguf_close(NULL);
}

static void test_arrays(void **state)
{
    (void)state;
    qn_gguf *g = open_built(sample(3));
    const qn_gguf_kv *strings = qn_gguf_find(g, "a.strings"), *ints = qn_gguf_find(g, "a.ints");
    const qn_gguf_kv *floats = qn_gguf_find(g, "a.floats"), *none = qn_gguf_find(g, "a.none");
    qn_gguf_type type;
    size_t count;
    qn_gguf_string s;
    int64_t i;
    double f;
    assert_true(qn_gguf_array(strings, &type, &count));
    assert_int_equal(type, QN_GGUF_STRING);
    assert_int_equal(count, 3);
    assert_true(qn_gguf_array_str(strings, 0, &s));
    expect_str(s, "one");
    assert_true(qn_gguf_array_str(strings, 1, &s));
    assert_int_equal(s.size, 0);
    assert_true(qn_gguf_array_str(strings, 2, &s));
    expect_str(s, "three");
    assert_false(qn_gguf_array_str(strings, 3, &s));
    assert_false(qn_gguf_array_i64(strings, 0, &i));
    assert_true(qn_gguf_array_i64(ints, 0, &i));
    assert_int_equal(i, -1);
    assert_true(qn_gguf_array_i64(ints, 2, &i));
    assert_int_equal(i, 2000000000);
    assert_false(qn_gguf_array_i64(ints, 3, &i));
    assert_false(qn_gguf_array_f64(ints, 0, &f)); /* integers are not taken as floats */
    assert_true(qn_gguf_array_f64(floats, 1, &f));
    assert_true(f == -2.0);
    assert_true(qn_gguf_array(none, &type, &count));
    assert_int_equal(count, 0);
    assert_false(qn_gguf_array_str(none, 0, &s));
    assert_false(qn_gguf_array(qn_gguf_find(g, "a.u32"), &type, &count));
    assert_false(qn_gguf_array(NULL, &type, &count));
    qn_gguf_close(g);
}

/* Any integer type that can hold the value serves for integers. */
static void test_scalar_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, bytes;
        uint64_t value;
        bool as_u64, as_i64;
        int64_t expected;
    } cases[] = {
        {QN_GGUF_U8, 1, 200, true, true, 200},
        {QN_GGUF_I8, 1, 0x80, false, true, -128},
        {QN_GGUF_I8, 1, 5, true, true, 5},
        {QN_GGUF_U16, 2, 0xFFFF, true, true, 65535},
        {QN_GGUF_I16, 2, 0xFFFF, false, true, -1},
        {QN_GGUF_U32, 4, 0xFFFFFFFF, true, true, 4294967295},
        {QN_GGUF_I32, 4, 0x80000000, false, true, -2147483648LL},
        {QN_GGUF_U64, 8, UINT64_MAX, true, false, -1},
        {QN_GGUF_U64, 8, INT64_MAX, true, true, INT64_MAX},
        {QN_GGUF_I64, 8, 1ull << 63, false, true, INT64_MIN},
        {QN_GGUF_F32, 4, 0x3F800000, false, false, 0},
        {QN_GGUF_F64, 8, 0x3FF0000000000000, false, false, 0},
        {QN_GGUF_BOOL, 1, 1, false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[8];
        put_u64(bytes, cases[i].value);
        qn_builder *b = qn_builder_new(3);
        qn_builder_raw(b, "k", cases[i].type, bytes, cases[i].bytes);
        qn_gguf *g = open_built(b);
        const qn_gguf_kv *kv = qn_gguf_find(g, "k");
        uint64_t u = 0;
        int64_t s = 0;
        double f = 0;
        bool flag = false;
        assert_int_equal(qn_gguf_kv_type(kv), cases[i].type);
        assert_int_equal(qn_gguf_u64(kv, &u), cases[i].as_u64);
        assert_int_equal(qn_gguf_i64(kv, &s), cases[i].as_i64);
        if (cases[i].as_u64) assert_true(u == (uint64_t)cases[i].expected);
        if (cases[i].as_i64) assert_true(s == cases[i].expected);
        assert_int_equal(qn_gguf_f64(kv, &f), cases[i].type == QN_GGUF_F32 || cases[i].type == QN_GGUF_F64);
        assert_true(f == 0.0 || f == 1.0);
        assert_int_equal(qn_gguf_bool(kv, &flag), cases[i].type == QN_GGUF_BOOL);
        qn_gguf_close(g);
    }
    uint64_t u;
    qn_gguf_string s;
    assert_false(qn_gguf_u64(NULL, &u));
    assert_false(qn_gguf_str(NULL, &s));
}

static void test_empty_file_of_no_tensors(void **state)
{
    (void)state;
    qn_gguf *g = open_built(qn_builder_new(3));
    assert_int_equal(qn_gguf_n_kv(g), 0);
    assert_int_equal(qn_gguf_n_tensors(g), 0);
    assert_null(qn_gguf_find(g, "k"));
    assert_null(qn_gguf_find_tensor(g, "t"));
    qn_gguf_close(g);
}

/* The built-in model: every tensor is found by name, and the data ends with the file. */
static void test_built_in_model(void **state)
{
    (void)state;
    qn_file file;
    assert_int_equal(qn_file_open(QN_SOURCE_DIR "/models/quern-tales/quern-tales-q4_0.gguf", &file).code, QN_OK);
    qn_source source = qn_file_source(&file);
    qn_gguf *g;
    assert_int_equal(qn_gguf_open(NULL, &source, &g).code, QN_OK);
    assert_int_equal(qn_gguf_n_tensors(g), 2 + 6 * 9);
    uint64_t end = 0;
    for (size_t i = 0; i < qn_gguf_n_tensors(g); i++) {
        const qn_gguf_tensor *t = qn_gguf_tensor_at(g, i);
        char name[64] = {0};
        memcpy(name, t->name.data, t->name.size);
        assert_ptr_equal(qn_gguf_find_tensor(g, name), t);
        if (t->offset + t->size > end) end = t->offset + t->size;
    }
    assert_true(end <= file.size && file.size - end < 32);
    const qn_gguf_tensor *q = qn_gguf_find_tensor(g, "blk.5.attn_q.weight");
    assert_non_null(q);
    assert_int_equal(q->dims[0], 384);
    assert_int_equal(q->dims[1], 384);
    assert_int_equal(q->type, QN_GGML_Q4_0);
    assert_int_equal(q->size, 384 * 384 / 32 * 18);
    qn_gguf_type type;
    size_t count;
    assert_true(qn_gguf_array(qn_gguf_find(g, "tokenizer.ggml.tokens"), &type, &count));
    assert_int_equal(count, 4096);
    qn_gguf_close(g);
    qn_file_close(&file);
}

/* Offsets beyond 32 bits: the data of the second tensor lies past 4 GiB. */
static void test_file_over_4_gib(void **state)
{
    (void)state;
    qn_builder *b = qn_builder_new(3);
    add_f32(b, "near", 8, 1);
    uint64_t offset = 5ull << 30;
    qn_builder_set_offset(b, add_f32(b, "far", 8, 2), offset);
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    memory m = {.data = data, .size = size, .end = 6ull << 30};
    qn_source source = source_of(&m);
    qn_gguf *g;
    assert_int_equal(qn_gguf_open(NULL, &source, &g).code, QN_OK);
    const qn_gguf_tensor *near = qn_gguf_find_tensor(g, "near"), *far = qn_gguf_find_tensor(g, "far");
    assert_true(far->offset == near->offset + offset);
    qn_gguf_close(g);
    expect_refused_bytes(data, size, offset, QN_ERR_FORMAT, "passes the end of the file");
    free(data);
}

/* A header of several megabytes is read in pieces, from a source that is pending before each of them. */
static void test_pending_source(void **state)
{
    (void)state;
    qn_random_model model = qn_random_model_tiny();
    model.n_vocab = 128256;
    model.n_layers = 1;
    size_t size;
    uint8_t *data = qn_random_model_bytes(&model, &size);
    memory m = {.data = data, .size = size, .stalls = 3};
    qn_source source = source_of(&m);
    qn_gguf *g = NULL;
    qn_status status = qn_gguf_open(NULL, &source, &g);
    assert_int_equal(status.code, QN_ERR_STATE);
    assert_null(g);

    m.stalled = m.reads = 0;
    qn_gguf_reader *reader;
    unsigned steps = 0;
    assert_int_equal(qn_gguf_reader_open(NULL, &source, &reader).code, QN_OK);
    for (; !g; steps++) assert_int_equal(qn_gguf_reader_step(reader, &g).code, QN_OK);
    assert_true(m.reads >= 2);
    assert_true(steps > 3 * m.reads);
    qn_gguf *again;
    assert_int_equal(qn_gguf_reader_step(reader, &again).code, QN_ERR_STATE);
    qn_gguf_reader_close(reader);

    qn_gguf_string s;
    assert_true(qn_gguf_array_str(qn_gguf_find(g, "tokenizer.ggml.tokens"), 128009, &s));
    expect_str(s, "<|eot_id|>");
    qn_gguf_close(g);
    free(data);
}

static const void *broken_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    (void)offset;
    (void)size;
    *pending = false;
    if (user) *status = qn_fail(QN_ERR_IO, "the disk is on fire");
    return NULL;
}

static void test_failing_source(void **state)
{
    (void)state;
    int any;
    qn_source source = {.user = &any, .size = 1000, .read = broken_read};
    qn_gguf *g;
    qn_status status = qn_gguf_open(NULL, &source, &g);
    assert_int_equal(status.code, QN_ERR_IO);
    assert_non_null(strstr(status.text, "on fire"));
    source.user = NULL; /* no bytes, and no reason */
    assert_int_equal(qn_gguf_open(NULL, &source, &g).code, QN_ERR_IO);
}

/* Every allocation may fail: the error says so and nothing leaks. */
static void test_out_of_memory(void **state)
{
    (void)state;
    qn_builder *b = sample(3);
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    qn_gguf *g = NULL;
    for (size_t n = 1; !g; n++) {
        qn_test_allocator a;
        qn_test_allocator_init(&a);
        a.fail_at = n;
        memory m = {.data = data, .size = size};
        qn_source source = source_of(&m);
        qn_status status = qn_gguf_open(&a.allocator, &source, &g);
        assert_int_equal(status.code, g ? QN_OK : QN_ERR_MEMORY);
        if (g) qn_gguf_close(g);
        assert_int_equal(a.blocks, 0);
        assert_true(n < 100);
    }
    free(data);
}

/* ---- hostile files ---------------------------------------------------------------------------------------- */

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    qn_builder *b = sample(3);
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    expect_refused_bytes(data, 0, 0, QN_ERR_FORMAT, "it has only 0 bytes");
    for (size_t n = 1; n < size; n++) {
        uint8_t *exact = malloc(n); /* so that a sanitizer sees any read past the end */
        memcpy(exact, data, n);
        expect_refused_bytes(exact, n, 0, QN_ERR_FORMAT, n < 4 ? "not a GGUF file" : "byte");
        free(exact);
    }
    free(data);
}

/* Any byte of the header may be anything: the file opens or is refused, and what opens stays within the file. */
static void test_every_byte_changed(void **state)
{
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x09, 0x7F, 0x80, 0xFF};
    qn_builder *b = sample(2);
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    for (size_t at = 0; at < size; at++) {
        uint8_t saved = data[at];
        for (size_t v = 0; v < sizeof values; v++) {
            data[at] = values[v];
            memory m = {.data = data, .size = size};
            qn_source source = source_of(&m);
            qn_gguf *g;
            qn_status status = qn_gguf_open(NULL, &source, &g);
            assert_int_equal(status.code == QN_OK, g != NULL);
            for (size_t i = 0; g && i < qn_gguf_n_tensors(g); i++) {
                const qn_gguf_tensor *t = qn_gguf_tensor_at(g, i);
                assert_true(t->offset <= size && t->size <= size - t->offset);
            }
            qn_gguf_close(g);
        }
        data[at] = saved;
    }
    free(data);
}

static void test_not_gguf(void **state)
{
    (void)state;
    expect_refused_bytes((const uint8_t *)"PK\3\4abcdefghijklmnopqrst", 24, 0, QN_ERR_FORMAT, "50 4b 03 04");
    expect_refused(qn_builder_new(1), QN_ERR_UNSUPPORTED, "version 1 at byte 4");
    expect_refused(qn_builder_new(4), QN_ERR_UNSUPPORTED, "version 4 at byte 4");
    expect_refused(qn_builder_new(0), QN_ERR_UNSUPPORTED, "version 0 at byte 4");
    expect_refused(qn_builder_new(3u << 24), QN_ERR_UNSUPPORTED, "big-endian");
    expect_refused_bytes((const uint8_t *)"FUGG\0\0\0\3", 8, 0, QN_ERR_UNSUPPORTED, "big-endian");
}

/* Counts at byte 8 (tensors) and 16 (metadata), within the file and in one of 1 TiB. */
static void test_huge_counts(void **state)
{
    (void)state;
    static const uint64_t counts[] = {3, 1000, 1ull << 32, 1ull << 63, UINT64_MAX};
    qn_builder *b = sample(3);
    size_t size;
    uint8_t *data = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    for (size_t i = 1; i < sizeof counts / sizeof counts[0]; i++) {
        put_u64(data + 8, counts[i]);
        expect_refused_bytes(data, size, 0, QN_ERR_FORMAT, "at byte 8 says");
        put_u64(data + 8, 2);
        put_u64(data + 16, counts[i]);
        expect_refused_bytes(data, size, 0, QN_ERR_FORMAT, "at byte 16 says");
        put_u64(data + 16, 9);
    }
    put_u64(data + 8, 1ull << 34); /* may fit in 1 TiB of zeros, but those are no tensors */
    expect_refused_bytes(data, size, 1ull << 40, QN_ERR_FORMAT, "0 bytes; 1 to 65535 are allowed");
    free(data);
}

static void add_array(qn_builder *b, uint32_t element, uint64_t count)
{
    uint8_t bytes[12] = {(uint8_t)element};
    put_u64(bytes + 4, count);
    qn_builder_raw(b, "k", QN_GGUF_ARRAY, bytes, sizeof bytes);
}

static void test_hostile_arrays_and_strings(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 1ull << 32, 1ull << 61, (1ull << 62) + 1, UINT64_MAX};
    static const uint32_t elements[] = {QN_GGUF_U8, QN_GGUF_U32, QN_GGUF_F64, QN_GGUF_BOOL, QN_GGUF_STRING};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t e = 0; e < sizeof elements / sizeof elements[0]; e++) {
            qn_builder *b = qn_builder_new(3);
            add_array(b, elements[e], counts[i]);
            expect_refused(b, QN_ERR_FORMAT, elements[e] == QN_GGUF_STRING ? "more than fit" : "the file ends at");
        }
        uint8_t size[8];
        put_u64(size, counts[i]);
        qn_builder *b = qn_builder_new(3);
        qn_builder_raw(b, "k", QN_GGUF_STRING, size, sizeof size);
        expect_refused(b, QN_ERR_FORMAT, "a string at byte 45 takes");
    }
    qn_builder *nested = qn_builder_new(3);
    add_array(nested, QN_GGUF_ARRAY, 0);
    expect_refused(nested, QN_ERR_UNSUPPORTED, "array of arrays");
    qn_builder *unknown = qn_builder_new(3);
    add_array(unknown, 13, 0);
    expect_refused(unknown, QN_ERR_FORMAT, "array of the unknown type 13");

    qn_builder *large = qn_builder_new(3); /* fits the file, but no header is that large */
    add_array(large, QN_GGUF_U8, 1ull << 32);
    size_t n;
    uint8_t *data = qn_builder_bytes(large, &n);
    qn_builder_free(large);
    expect_refused_bytes(data, n, 1ull << 40, QN_ERR_LIMIT, "past the limit");
    free(data);
}

static void test_hostile_values(void **state)
{
    (void)state;
    static const uint8_t two = 2;
    qn_builder *b = qn_builder_new(3);
    qn_builder_raw(b, "k", QN_GGUF_BOOL, &two, 1);
    expect_refused(b, QN_ERR_FORMAT, "k at byte 37 is a bool of value 2");
    b = qn_builder_new(3);
    qn_builder_raw(b, "k\x1b[31m", 99, &two, 1);
    expect_refused(b, QN_ERR_FORMAT, "k?[31m at byte 38 has the unknown value type 99"); /* nothing for a terminal */
    b = qn_builder_new(3);
    qn_builder_u32(b, "", 1);
    expect_refused(b, QN_ERR_FORMAT, "a key at byte 24 has 0 bytes");
    char *long_key = malloc(65537);
    memset(long_key, 'x', 65536);
    long_key[65536] = '\0';
    b = qn_builder_new(3);
    qn_builder_u32(b, long_key, 1);
    expect_refused(b, QN_ERR_FORMAT, "65536 bytes");
    b = qn_builder_new(3);
    qn_builder_u32(b, long_key + 1, 1);
    qn_gguf_close(open_built(b));
    free(long_key);
}

static void test_duplicate_names(void **state)
{
    (void)state;
    qn_builder *b = qn_builder_new(3);
    qn_builder_u32(b, "a", 1);
    qn_builder_u32(b, "b", 1);
    qn_builder_str(b, "a", "x");
    expect_refused(b, QN_ERR_FORMAT, "the key a at byte 66 appears twice");
    b = qn_builder_new(3);
    for (unsigned i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i % 299);
        add_f32(b, name, 1, 1);
    }
    expect_refused(b, QN_ERR_FORMAT, "the tensor t0");
}

static void test_bad_alignment(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 12, 33, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_builder *b = qn_builder_new(3);
        qn_builder_u32(b, "general.alignment", bad[i]);
        add_f32(b, "t", 1, 1);
        expect_refused(b, QN_ERR_FORMAT, "must be a power of two");
    }
    qn_builder *b = qn_builder_new(3);
    qn_builder_str(b, "general.alignment", "32");
    expect_refused(b, QN_ERR_FORMAT, "not an unsigned integer");
    b = qn_builder_new(3);
    qn_builder_u32(b, "general.alignment", 1u << 31); /* allowed, but the file has no such size */
    add_f32(b, "t", 1, 1);
    expect_refused(b, QN_ERR_FORMAT, "passes the end of the file");
}

static void expect_bad_tensor(uint32_t type, uint32_t n_dims, const uint64_t *dims, const char *text)
{
    qn_builder *b = qn_builder_new(3);
    qn_builder_tensor(b, "t", type, n_dims, dims, 64, 1, NULL, NULL);
    expect_refused(b, QN_ERR_FORMAT, text);
}

static void test_hostile_shapes(void **state)
{
    (void)state;
    const uint64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, big = 1ull << 32;
    expect_bad_tensor(QN_GGML_F32, 0, ones, "tensor t at byte 24 has 0 dimensions");
    expect_bad_tensor(QN_GGML_F32, 5, ones, "has 5 dimensions");
    expect_bad_tensor(QN_GGML_F32, 2, (const uint64_t[]){4, 0}, "dimension 1 (byte 45) is 0");
    expect_bad_tensor(QN_GGML_F32, 2, (const uint64_t[]){big, big}, "passes 63 bits");
    expect_bad_tensor(QN_GGML_F32, 4, (const uint64_t[]){1 << 16, 1 << 16, 1 << 16, 1 << 16}, "passes 63 bits");
    expect_bad_tensor(QN_GGML_F32, 1, (const uint64_t[]){UINT64_MAX}, "passes 63 bits");
    expect_bad_tensor(QN_GGML_F32, 1, (const uint64_t[]){INT64_MAX}, "do not fit F32");
    expect_bad_tensor(QN_GGML_F32, 1, (const uint64_t[]){17}, "its data at byte 64, 68 bytes, passes the end");
    expect_bad_tensor(QN_GGML_Q4_0, 2, (const uint64_t[]){33, 1}, "rows of 33 elements do not fit Q4_0 (blocks of 32)");
    expect_bad_tensor(QN_GGML_Q4_K, 2, (const uint64_t[]){32, 8}, "rows of 32 elements do not fit Q4_K");
    qn_builder *b = qn_builder_new(3);
    uint64_t one = 1;
    qn_builder_tensor(b, "", QN_GGML_F32, 1, &one, 4, 4, NULL, NULL);
    expect_refused(b, QN_ERR_FORMAT, "a tensor's name at byte 24 has 0 bytes");
}

static void test_hostile_offsets(void **state)
{
    (void)state;
    static const uint64_t bad[] = {1, 31, 64, 1ull << 40, 0xFFFFFFFFFFFFFFE0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_builder *b = qn_builder_new(3);
        qn_builder_set_offset(b, add_f32(b, "t", 8, 1), bad[i]);
        expect_refused(b, QN_ERR_FORMAT, bad[i] % 32 ? "is not a multiple of the alignment" : "passes the end");
    }
}

/* Types that this version does not read stay in the table, so that the loader can name tensor and type. */
static void test_unknown_types(void **state)
{
    (void)state;
    qn_builder *b = qn_builder_new(3);
    uint64_t dims[2] = {256, 2};
    qn_builder_tensor(b, "known", 13, 2, dims, 352, 176, NULL, NULL);
    qn_builder_tensor(b, "unknown", 200, 2, dims, 0, 1, NULL, NULL);
    qn_gguf *g = open_built(b);
    const qn_gguf_tensor *known = qn_gguf_find_tensor(g, "known"), *unknown = qn_gguf_find_tensor(g, "unknown");
    assert_int_equal(known->size, 352);
    assert_false(qn_quant_find(known->type)->supported);
    assert_int_equal(unknown->size, 0);
    assert_null(qn_quant_find(unknown->type));
    qn_gguf_close(g);
}

/* ---- random models, which other tests build on ------------------------------------------------------------ */

static size_t index_of(const qn_gguf_kv *tokens, size_t n, const char *text, size_t size)
{
    qn_gguf_string s;
    for (size_t i = 0; i < n; i++)
        if (qn_gguf_array_str(tokens, i, &s) && s.size == size && memcmp(s.data, text, size) == 0) return i;
    return n;
}

static void test_random_model_vocabulary(void **state)
{
    (void)state;
    qn_random_model model = qn_random_model_tiny();
    size_t size;
    uint8_t *data = qn_random_model_bytes(&model, &size);
    qn_gguf *g = open_bytes(data, size);
    const qn_gguf_kv *tokens = qn_gguf_find(g, "tokenizer.ggml.tokens"),
                     *merges = qn_gguf_find(g, "tokenizer.ggml.merges");
    qn_gguf_type type;
    size_t n, n_merges;
    qn_gguf_string s;
    assert_true(qn_gguf_array(tokens, &type, &n) && qn_gguf_array(merges, &type, &n_merges));
    assert_int_equal(n, model.n_vocab);
    for (size_t i = 0; i < n; i++) { /* no token twice */
        assert_true(qn_gguf_array_str(tokens, i, &s));
        assert_int_equal(index_of(tokens, n, s.data, s.size), i);
    }
    for (size_t i = 0; i < n_merges; i++) { /* merge i makes token 256 + i of two earlier ones */
        assert_true(qn_gguf_array_str(merges, i, &s));
        const char *space = memchr(s.data, ' ', s.size);
        assert_non_null(space);
        size_t left = (size_t)(space - s.data), right = s.size - left - 1;
        assert_true(index_of(tokens, n, s.data, left) < 256 + i);
        assert_true(index_of(tokens, n, space + 1, right) < 256 + i);
        char joined[64];
        memcpy(joined, s.data, left);
        memcpy(joined + left, space + 1, right);
        assert_int_equal(index_of(tokens, n, joined, left + right), 256 + i);
    }
    qn_gguf_close(g);
    free(data);
}

static void test_random_models_open(void **state)
{
    (void)state;
    static const uint32_t types[] = {QN_GGML_F32,  QN_GGML_F16,  QN_GGML_BF16, QN_GGML_Q4_0,
                                     QN_GGML_Q8_0, QN_GGML_Q4_K, QN_GGML_Q6_K};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int tokenizer = QN_RANDOM_TOKENIZER_NONE; tokenizer <= QN_RANDOM_TOKENIZER_SPM; tokenizer++) {
            qn_random_model model = qn_random_model_tiny();
            model.type = types[i];
            model.embd_type = QN_GGML_Q6_K;
            model.untied = model.rope_freqs = tokenizer % 2;
            model.tokenizer = (qn_random_tokenizer)tokenizer;
            assert_null(qn_random_model_check(&model));
            size_t size;
            uint8_t *data = qn_random_model_bytes(&model, &size);
            qn_gguf *g = open_bytes(data, size);
            assert_int_equal(qn_gguf_n_tensors(g), 2 + 2 * 9 + (tokenizer % 2) * 2);
            assert_int_equal(qn_gguf_find_tensor(g, "blk.1.ffn_down.weight")->type, types[i]);
            assert_int_equal(qn_gguf_find_tensor(g, "token_embd.weight")->type, QN_GGML_Q6_K);
            qn_gguf_close(g);
            free(data);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_2_and_3),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_scalar_types),
        cmocka_unit_test(test_empty_file_of_no_tensors),
        cmocka_unit_test(test_built_in_model),
        cmocka_unit_test(test_file_over_4_gib),
        cmocka_unit_test(test_pending_source),
        cmocka_unit_test(test_failing_source),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_not_gguf),
        cmocka_unit_test(test_huge_counts),
        cmocka_unit_test(test_hostile_arrays_and_strings),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_duplicate_names),
        cmocka_unit_test(test_bad_alignment),
        cmocka_unit_test(test_hostile_shapes),
        cmocka_unit_test(test_hostile_offsets),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_random_model_vocabulary),
        cmocka_unit_test(test_random_models_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
