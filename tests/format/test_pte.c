/* The reader of ExecuTorch programs: real exports against what flatc says of them, then programs of our own with what
 * those lack, and what must be refused. */
#include "format/pte.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/pte_builder.h"
#include "support/pte_text.h"

/* ---- real exports ---------------------------------------------------------------------------------------- */

static void expect_text(const char *folder)
{
    char path[1024];
    qn_file model, expected;
    qn_status s;
    snprintf(path, sizeof path, "%s/tests/data/executorch/%s/model.pte", QN_SOURCE_DIR, folder);
    if ((s = qn_file_open(path, &model)).code != QN_OK) fail_msg("%s", s.text);
    snprintf(path, sizeof path, "%s/tests/data/executorch/%s/expected.txt", QN_SOURCE_DIR, folder);
    if ((s = qn_file_open(path, &expected)).code != QN_OK) fail_msg("%s", s.text);

    qn_pte_file file = {folder, {model.data, model.size}};
    qn_pte *pte;
    if ((s = qn_pte_open(NULL, &file, NULL, 0, &pte)).code != QN_OK) fail_msg("%s", s.text);
    char *text = NULL;
    size_t size = 0, at = 0;
    FILE *out = open_memstream(&text, &size);
    s = qn_pte_text(pte, out);
    fclose(out);
    if (s.code != QN_OK) fail_msg("%s: %s", folder, s.text);
    while (at < size && at < expected.size && text[at] == (char)expected.data[at]) at++;
    if (at < size || at < expected.size) {
        while (at > 0 && text[at - 1] != '\n') at--;
        fail_msg("%s: read\n%.200s\nexpected\n%.*s", folder, text + at,
                 (int)(expected.size - at < 200 ? expected.size - at : 200), (const char *)expected.data + at);
    }
    free(text);
    qn_pte_close(pte);
    qn_file_close(&model);
    qn_file_close(&expected);
}

/* What each has that the others lack stands beside it. */
static void test_real_exports(void **state)
{
    (void)state;
    expect_text("q4_dyn");               /* a 4-bit linear                                            */
    expect_text("sdpa_dyn_state");       /* caches that share one constant; inputs in another order   */
    expect_text("emb_small");            /* quantized embedding, INT32 for the plan's LONG            */
    expect_text("q4_duplicate_final");   /* an output that is there twice                             */
    expect_text("io_passthrough");       /* an output that is an input                                */
    expect_text("partial_cumsum");       /* two delegates with a CPU operator between; 0-d constant   */
    expect_text("dq8_m4");               /* strings, lists, INT8                                      */
    expect_text("rope_table_dynpos");    /* integers computed at run time, slices                     */
    expect_text("sdpa_dyn_symsize_pos"); /* sym_size                                                  */
    expect_text("sdpa_reject_d6");       /* well-formed, though no runtime runs it; three CPU copies  */
}

/* ---- programs of our own --------------------------------------------------------------------------------- */

enum { PLAIN = 32 };

/* The program in memory of exactly its size. */
static uint8_t *built(qn_pte_builder *p, size_t *size)
{
    qn_pte_builder_finish(p);
    uint8_t *copy = malloc(p->b.size);
    memcpy(copy, p->b.data, *size = p->b.size);
    qn_fbb_free(&p->b);
    return copy;
}

static qn_pte *open_with(const uint8_t *data, size_t size, const qn_fbb *ptd, uint32_t n_ptd)
{
    qn_pte_file file = {"test.pte", {data, size}}, files[2] = {{0}};
    for (uint32_t i = 0; i < n_ptd; i++) files[i] = (qn_pte_file){"data.ptd", {ptd[i].data, ptd[i].size}};
    qn_pte *pte;
    qn_status s = qn_pte_open(NULL, &file, files, n_ptd, &pte);
    if (s.code != QN_OK) fail_msg("%s", s.text);
    return pte;
}

static void expect_floats(const qn_pte *pte, const qn_pte_tensor *t, float a, float b)
{
    qn_bytes data;
    float values[2];
    qn_status s = qn_pte_tensor_data(pte, t, &data);
    if (s.code != QN_OK) fail_msg("%s", s.text);
    assert_int_equal(data.size, sizeof values);
    memcpy(values, data.data, sizeof values);
    assert_true(values[0] == a && values[1] == b);
}

static void check_values(const qn_pte_method *m)
{
    const qn_pte_value *v = m->values;
    assert_int_equal(m->n_values, 14);
    assert_int_equal(v[0].kind, QN_PTE_TENSOR);
    assert_int_equal(v[0].u.tensor.shape.rank, 2);
    assert_int_equal(v[0].u.tensor.shape.dim[1], 3);
    assert_int_equal(v[0].u.tensor.scalar_type, QN_PTE_FLOAT);
    assert_false(v[0].u.tensor.planned);
    assert_true(v[1].kind == QN_PTE_INT64 && v[1].u.integer == -7);
    assert_true(v[2].kind == QN_PTE_BOOLEAN && v[2].u.boolean);
    assert_true(v[3].kind == QN_PTE_DOUBLE64 && v[3].u.number == 0.5);
    assert_int_equal(v[4].kind, QN_PTE_STRING);
    assert_string_equal(v[4].u.string, "text");
    assert_int_equal(v[5].kind, QN_PTE_NULL);
    assert_true(v[7].u.tensor.planned);
    assert_true(v[8].u.tensor.external);
    assert_string_equal(v[8].u.tensor.name, "outside");
    assert_true(v[9].kind == QN_PTE_INT_LIST && qn_fb_i64_at(&v[9].u.list, 0) == 1);
    assert_true(v[10].kind == QN_PTE_DOUBLE_LIST && qn_fb_f64_at(&v[10].u.list, 0) == 0.25);
    assert_true(v[11].kind == QN_PTE_BOOL_LIST && qn_fb_u8_at(&v[11].u.list, 0) == 1 && v[11].u.list.count == 2);
    assert_true(v[12].kind == QN_PTE_TENSOR_LIST && qn_fb_i32_at(&v[12].u.list, 1) == 6);
    assert_true(v[13].kind == QN_PTE_OPTIONAL_TENSOR_LIST && qn_fb_i32_at(&v[13].u.list, 1) == 5);
}

static void check_instructions(const qn_pte_method *m)
{
    static const struct {
        qn_pte_instruction_kind kind;
        uint32_t index, target, n_args;
    } want[] = {
        {QN_PTE_KERNEL_CALL, 0, 0, 3}, {QN_PTE_DELEGATE_CALL, 0, 0, 2}, {QN_PTE_DELEGATE_CALL, 1, 0, 2},
        {QN_PTE_MOVE, 1, 2, 0},        {QN_PTE_JUMP_FALSE, 2, 6, 0},    {QN_PTE_FREE, 0, 0, 0},
    };
    assert_int_equal(m->n_chains, 1);
    assert_int_equal(m->chains[0].n_instructions, 6);
    for (size_t i = 0; i < 6; i++) {
        const qn_pte_instruction *in = &m->chains[0].instructions[i];
        assert_int_equal(in->kind, want[i].kind);
        assert_int_equal(in->index, want[i].index);
        assert_int_equal(in->target, want[i].target);
        assert_int_equal(in->args.count, want[i].n_args);
    }
}

static void test_everything_in_a_program(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(PLAIN);
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_pte *pte = open_with(data, size, NULL, 0);
    assert_null(qn_pte_find_method(pte, "backward"));
    const qn_pte_method *m = qn_pte_find_method(pte, "forward");
    assert_non_null(m);
    check_values(m);
    check_instructions(m);
    assert_int_equal(qn_fb_i32_at(&m->outputs, 0), 6);
    assert_int_equal(qn_fb_i32_at(&m->outputs, 1), 0);
    assert_string_equal(m->operators[0].name, "aten::copy_");
    assert_string_equal(m->operators[0].overload, "out");
    assert_int_equal(m->n_delegates, 2);
    assert_string_equal(m->delegates[0].id, "VulkanBackend");
    assert_false(m->delegates[0].in_segment);
    assert_memory_equal(m->delegates[0].data.data + 4, "VH00", 4);
    assert_true(m->delegates[1].in_segment && m->delegates[1].data.size == 4);
    assert_memory_equal(m->delegates[1].data.data, "data", 4);
    assert_string_equal(m->delegates[1].specs[0].key, "key");
    assert_int_equal(m->delegates[1].specs[0].value.data[1], 2);
    /* nothing is copied */
    assert_true(m->delegates[1].data.data > data && m->delegates[1].data.data < data + size);
    qn_pte_close(pte);
    free(data);
}

static void test_headers(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {24, 32, 48}; /* without the segments' size; as today; longer ones are to come */
    for (size_t i = 0; i < 3; i++) {
        qn_pte_builder p = qn_pte_builder_new(lengths[i]);
        size_t size;
        uint8_t *data = built(&p, &size);
        qn_pte *pte = open_with(data, size, NULL, 0);
        assert_int_equal(pte->program.header_length, lengths[i]);
        assert_int_equal(pte->program.n_segments, 4);
        expect_floats(pte, &pte->methods[0].values[6].u.tensor, 1.0f, 2.0f);
        qn_pte_close(pte);
        free(data);
    }
}

/* Old files, and small new ones: the whole file is the flatbuffer. */
static void test_no_header(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(0);
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_pte *pte = open_with(data, size, NULL, 0);
    assert_int_equal(pte->program.n_segments, 0);
    assert_true(pte->program.flatbuffer.size == size);
    expect_floats(pte, &pte->methods[0].values[6].u.tensor, 1.0f, 2.0f); /* from the flatbuffer */
    assert_memory_equal(pte->methods[0].delegates[0].data.data + 4, "VH00", 4);
    qn_pte_close(pte);
    free(data);
}

static void test_data_of_tensors(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(PLAIN);
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_fbb ptd = qn_ptd_build("outside");
    qn_pte *pte = open_with(data, size, &ptd, 1);
    const qn_pte_value *v = pte->methods[0].values;
    qn_bytes bytes;
    assert_int_equal(qn_pte_tensor_data(pte, &v[0].u.tensor, &bytes).code, QN_OK);
    assert_null(bytes.data); /* an input has none */
    expect_floats(pte, &v[6].u.tensor, 1.0f, 2.0f);
    expect_floats(pte, &v[8].u.tensor, 10.0f, 20.0f); /* from the .ptd file */
    assert_int_equal(qn_pte_tensor_data(pte, &v[7].u.tensor, &bytes).code, QN_OK);
    assert_true(bytes.size == 8 && bytes.data[0] == 5); /* the first contents of a mutable one */
    /* a key in both files: the program's own data counts */
    const qn_pte_blob *blob = qn_pte_find_blob(pte, "blob");
    assert_true(blob->bytes.size == 8 && memcmp(blob->bytes.data, "ptd blob", 8) != 0);
    assert_null(qn_pte_find_blob(pte, "no such key"));
    qn_pte_close(pte);
    qn_fbb_free(&ptd);
    free(data);
}

static void expect_no_data(const qn_pte *pte, const qn_pte_tensor *t, qn_code code, const char *text)
{
    qn_bytes bytes;
    qn_status s = qn_pte_tensor_data(pte, t, &bytes);
    assert_int_equal(s.code, code);
    if (!strstr(s.text, text)) fail_msg("no \"%s\" in: %s", text, s.text);
}

static void test_data_that_is_missing(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(PLAIN);
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_pte *pte = open_with(data, size, NULL, 0);
    const qn_pte_value *v = pte->methods[0].values;
    expect_no_data(pte, &v[8].u.tensor, QN_ERR_FORMAT, "\"outside\" is in another file: give the .ptd file");
    qn_pte_tensor t = v[6].u.tensor;
    t.buffer = 2;
    expect_no_data(pte, &t, QN_ERR_FORMAT, "constant buffer 2 does not exist, the file has 2");
    t = v[6].u.tensor;
    t.shape.dim[0] = 3;
    expect_no_data(pte, &t, QN_ERR_FORMAT,
                   "constant buffer 1, 12 bytes at 16, passes the end of its segment of 24 bytes");
    t.scalar_type = 9;
    expect_no_data(pte, &t, QN_ERR_UNSUPPORTED, "element type 9");
    t = v[6].u.tensor;
    t.shape = (qn_shape){4, {0x80000000u, 0x80000000u, 4, 4}};
    expect_no_data(pte, &t, QN_ERR_FORMAT, "passes 64 bits");
    t = v[7].u.tensor;
    t.mutable_segment = 1;
    expect_no_data(pte, &t, QN_ERR_FORMAT, "mutable data segment 1 does not exist");
    qn_pte_close(pte);
    free(data);
}

static void test_data_file_of_another_program(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(PLAIN);
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_fbb ptd = qn_ptd_build("outside");
    qn_pte *pte = open_with(data, size, &ptd, 1);
    qn_pte_tensor t = pte->methods[0].values[8].u.tensor;
    t.scalar_type = QN_PTE_INT; /* as many bytes */
    expect_no_data(pte, &t, QN_ERR_FORMAT, "belongs to another program");
    t.scalar_type = QN_PTE_FLOAT;
    t.shape = (qn_shape){1, {3}};
    expect_no_data(pte, &t, QN_ERR_FORMAT, "belongs to another program");
    qn_pte_close(pte);
    qn_fbb_free(&ptd);
    free(data);
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

static void expect_refused(const uint8_t *data, size_t size, qn_code code, const char *text)
{
    qn_pte_file file = {"test.pte", {data, size}};
    qn_pte *pte;
    qn_status s = qn_pte_open(NULL, &file, NULL, 0, &pte);
    assert_null(pte);
    if (s.code != code || !strstr(s.text, text))
        fail_msg("expected %s with \"%s\", got %s: %s", qn_code_name(code), text, qn_code_name(s.code), s.text);
    assert_memory_equal(s.text, "test.pte: ", 10);
}

/* Puts a number somewhere into a finished program. */
typedef struct spoil {
    size_t at, width;
    uint64_t value;
    qn_code code;
    const char *text;
} spoil;

static void expect_spoiled(qn_pte_builder *p, const spoil *s)
{
    size_t size;
    if (s->width) qn_fbb_put(&p->b, s->at, s->value, s->width);
    uint8_t *data = built(p, &size);
    expect_refused(data, size, s->code, s->text);
    free(data);
}

static size_t vector_at(const qn_fbb *b, size_t table, uint16_t slot)
{
    size_t field = qn_fbb_field_at(b, table, slot);
    return field + (size_t)qn_fbb_get(b, field, 4) + 4; /* its first element */
}

static void test_bad_indices(void **state)
{
    (void)state;
    for (int i = 0;; i++) {
        qn_pte_builder p = qn_pte_builder_new(PLAIN);
        const qn_fbb *b = &p.b;
        const size_t *in = p.instructions;
        const spoil cases[] = {
            {vector_at(b, p.plan, 10), 4, 14, QN_ERR_FORMAT, "ExecutionPlan.inputs 14 does not exist, there are 14"},
            {vector_at(b, p.plan, 12), 4, UINT32_MAX, QN_ERR_FORMAT, "ExecutionPlan.outputs -1 does not exist"},
            {qn_fbb_field_at(b, in[0], 4), 4, 1, QN_ERR_FORMAT, "KernelCall.op_index 1 does not exist, there are 1"},
            {vector_at(b, in[0], 6) + 8, 4, 14, QN_ERR_FORMAT, "KernelCall.args 14 does not exist"},
            {qn_fbb_field_at(b, in[1], 4), 4, 2, QN_ERR_FORMAT, "DelegateCall.delegate_index 2 does not exist"},
            {vector_at(b, in[1], 6), 4, 0x80000000u, QN_ERR_FORMAT, "DelegateCall.args -2147483648 does not exist"},
            {qn_fbb_field_at(b, in[3], 4), 4, 99, QN_ERR_FORMAT, "MoveCall.move_from 99"},
            {qn_fbb_field_at(b, in[3], 6), 4, 99, QN_ERR_FORMAT, "MoveCall.move_to 99"},
            {qn_fbb_field_at(b, in[4], 4), 4, 99, QN_ERR_FORMAT, "JumpFalseCall.cond_value_index 99"},
            {qn_fbb_field_at(b, in[4], 6), 4, 7, QN_ERR_FORMAT, "JumpFalseCall.destination_instruction 7"},
            {qn_fbb_field_at(b, in[5], 4), 4, 14, QN_ERR_FORMAT, "FreeCall.value_index 14"},
            {qn_fbb_field_at(b, p.delegates[0], 6), 4, 1, QN_ERR_FORMAT, "index (inline) 1 does not exist"},
            {qn_fbb_field_at(b, p.delegates[1], 6), 4, 4, QN_ERR_FORMAT, "index (segment) 4 does not exist"},
            {qn_fbb_field_at(b, p.delegates[1], 4), 1, 2, QN_ERR_UNSUPPORTED, "at location 2, which is unknown"},
            {qn_fbb_field_at(b, p.named, 6), 4, 4, QN_ERR_FORMAT,
             "named data \"blob\" is in segment 4, but there are 4"},
            {vector_at(b, p.values[9], 4), 8, 0, QN_ERR_FORMAT,
             "item 0 of list 9 refers to value 0, which is no integer"},
            {vector_at(b, p.values[9], 4), 8, 1ull << 32 | 1, QN_ERR_FORMAT, "which is no integer"},
            {vector_at(b, p.values[12], 4), 4, 5, QN_ERR_FORMAT, "refers to value 5, which is no tensor"},
            {vector_at(b, p.values[13], 4), 4, 13, QN_ERR_FORMAT, "item 0 of list 13 refers to value 13"},
        };
        if (i == (int)(sizeof cases / sizeof cases[0])) {
            qn_fbb_free(&p.b);
            return;
        }
        expect_spoiled(&p, &cases[i]);
    }
}

static void test_bad_tensors_and_kinds(void **state)
{
    (void)state;
    for (int i = 0;; i++) {
        qn_pte_builder p = qn_pte_builder_new(PLAIN);
        qn_fbb *b = &p.b;
        size_t sizes = vector_at(b, p.values[0], 8), order = vector_at(b, p.values[0], 10);
        const spoil cases[] = {
            {sizes, 4, UINT32_MAX, QN_ERR_FORMAT, "a tensor has dimension 0 of size -1"},
            {order, 1, 1, QN_ERR_FORMAT, "Tensor.dim_order is no order of 2 dimensions"},
            {order, 1, 200, QN_ERR_FORMAT, "Tensor.dim_order is no order of 2 dimensions"},
            {order - 4, 4, 1, QN_ERR_FORMAT, "Tensor.dim_order is no order of 2 dimensions"},
            {sizes - 4, 4, 9, QN_ERR_UNSUPPORTED, "a tensor has 9 dimensions; at most 8 are supported"},
            {p.values[5] + 4, 1, 12, QN_ERR_UNSUPPORTED, "a value is of kind 12, which is unknown"},
            {p.values[5] + 4, 1, 0, QN_ERR_UNSUPPORTED, "a value is of kind 0, which is unknown"},
        };
        if (i == (int)(sizeof cases / sizeof cases[0])) {
            qn_fbb_free(&p.b);
            return;
        }
        expect_spoiled(&p, &cases[i]);
    }
}

/* Numbers of the header and of the segments, spoiled in the finished file. */
static void test_bad_sizes(void **state)
{
    (void)state;
    static const spoil cases[] = {
        {12, 4, 23, QN_ERR_FORMAT, "the header \"eh00\" has 23 bytes, not 24 or more"},
        {12, 4, UINT32_MAX, QN_ERR_FORMAT, "the header has 4294967295 bytes"},
        {16, 8, UINT64_MAX, QN_ERR_FORMAT, "18446744073709551615 bytes of flatbuffer"},
        {16, 8, 60, QN_ERR_FORMAT, "byte 0: the offset to the root table points outside"},
        {24, 8, UINT64_MAX - 4, QN_ERR_FORMAT, "start at byte 18446744073709551611"},
        {24, 8, 0, QN_ERR_FORMAT, "the flatbuffer lists 4 segments, but the file has no header that says where"},
        {32, 8, 1u << 30, QN_ERR_FORMAT, "it is cut off"},
        {4, 4, 0x33315445, QN_ERR_FORMAT, "not an ExecuTorch program that this version reads: byte 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_pte_builder p = qn_pte_builder_new(PLAIN);
        size_t size;
        uint8_t *data = built(&p, &size);
        for (size_t k = 0; k < cases[i].width; k++) data[cases[i].at + k] = (uint8_t)(cases[i].value >> 8 * k);
        expect_refused(data, size, cases[i].code, cases[i].text);
        free(data);
    }
    for (int i = 0; i < 2; i++) {
        qn_pte_builder p = qn_pte_builder_new(PLAIN);
        size_t field = qn_fbb_field_at(&p.b, p.segments[2], i ? 6 : 4), size;
        uint8_t *data = built(&p, &size);
        memset(data + field, 0xFF, 8);
        expect_refused(data, size, QN_ERR_FORMAT, "segment 2");
        free(data);
    }
}

static void test_not_a_program(void **state)
{
    (void)state;
    expect_refused(NULL, 0, QN_ERR_FORMAT, "0 bytes are too few");
    expect_refused((const uint8_t *)"GGUF\3\0\0\0\0\0\0\0", 12, QN_ERR_FORMAT, "not an ExecuTorch program");
}

static void test_bad_data_files(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(PLAIN);
    size_t size;
    uint8_t *data = built(&p, &size);
    static const spoil cases[] = {
        {8, 1, 'X', QN_ERR_FORMAT, "data.ptd: byte 8: there is no header \"FH01\""},
        {7, 1, '2', QN_ERR_FORMAT, "the identifier is \"FT02\", not \"FT01\""},
        {12, 4, 39, QN_ERR_FORMAT, "has 39 bytes, not 40 or more"},
        {24, 8, UINT64_MAX, QN_ERR_FORMAT, "bytes of flatbuffer"},
        {40, 8, 1u << 20, QN_ERR_FORMAT, "it is cut off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_fbb ptd = qn_ptd_build("outside");
        qn_fbb_put(&ptd, cases[i].at, cases[i].value, cases[i].width);
        qn_pte_file file = {"test.pte", {data, size}}, extra = {"data.ptd", {ptd.data, ptd.size}};
        qn_pte *pte;
        qn_status s = qn_pte_open(NULL, &file, &extra, 1, &pte);
        assert_null(pte);
        assert_int_equal(s.code, cases[i].code);
        if (!strstr(s.text, cases[i].text)) fail_msg("no \"%s\" in: %s", cases[i].text, s.text);
        qn_fbb_free(&ptd);
    }
    free(data);
}

static void test_a_key_twice_in_one_file(void **state)
{
    (void)state;
    qn_pte_builder p = qn_pte_builder_new(0); /* without named data of its own */
    size_t size;
    uint8_t *data = built(&p, &size);
    qn_fbb twice = qn_ptd_build("blob"); /* two entries with this key */
    qn_pte_file file = {"test.pte", {data, size}}, extra = {"data.ptd", {twice.data, twice.size}};
    qn_pte *pte;
    qn_status s = qn_pte_open(NULL, &file, &extra, 1, &pte);
    assert_int_equal(s.code, QN_ERR_FORMAT);
    assert_string_equal(s.text, "data.ptd: two pieces of named data have the key \"blob\"");
    qn_fbb_free(&twice);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_exports),
        cmocka_unit_test(test_everything_in_a_program),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_no_header),
        cmocka_unit_test(test_data_of_tensors),
        cmocka_unit_test(test_data_that_is_missing),
        cmocka_unit_test(test_data_file_of_another_program),
        cmocka_unit_test(test_bad_indices),
        cmocka_unit_test(test_bad_tensors_and_kinds),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_not_a_program),
        cmocka_unit_test(test_bad_data_files),
        cmocka_unit_test(test_a_key_twice_in_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
