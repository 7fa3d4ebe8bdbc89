/* The reader of the Vulkan partitioner's graphs: a graph of our own with every kind of value and both kinds of
 * constants (real exports are read by test_pte.c), and what must be refused. */
#include "format/vk_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/pte_builder.h"

enum { BASE = 5000 }; /* where the graphs are said to be in their file */

static uint8_t *copy_of(qn_fbb *b, size_t *size)
{
    uint8_t *copy = malloc(b->size);
    memcpy(copy, b->data, *size = b->size);
    qn_fbb_free(b);
    return copy;
}

static qn_vk_graph *open_graph(const uint8_t *data, size_t size)
{
    qn_vk_graph *g;
    qn_status s = qn_vk_graph_open(NULL, (qn_bytes){data, size}, BASE, &g);
    if (s.code != QN_OK) fail_msg("%s", s.text);
    return g;
}

static void check_values(const qn_vk_value *v)
{
    assert_true(v[0].kind == QN_VK_TENSOR && v[0].u.tensor.dtype == QN_VK_FLOAT32);
    assert_int_equal(v[0].u.tensor.constant_id, -1);
    assert_int_equal(v[0].u.tensor.mem_obj_id, -1);
    assert_int_equal(v[0].u.tensor.staging_dtype, 127);
    assert_true(v[0].u.tensor.shape.rank == 2 && v[0].u.tensor.shape.dim[1] == 3);
    assert_int_equal(v[1].u.tensor.constant_id, 0); /* absent from the file */
    assert_int_equal(v[1].u.tensor.mem_obj_id, 0);
    assert_int_equal(v[1].u.tensor.staging_dtype, QN_VK_FLOAT32);
    assert_true(v[3].kind == QN_VK_INT && v[3].u.integer == 4);
    assert_true(v[4].kind == QN_VK_DOUBLE && v[4].u.number == 1.5);
    assert_true(v[5].kind == QN_VK_BOOLEAN && v[5].u.boolean);
    assert_true(v[6].kind == QN_VK_INT_LIST && qn_fb_i64_at(&v[6].u.list, 0) == -1);
    assert_true(v[7].kind == QN_VK_DOUBLE_LIST && qn_fb_f64_at(&v[7].u.list, 0) == 0.5);
    assert_true(v[8].kind == QN_VK_BOOL_LIST && qn_fb_u8_at(&v[8].u.list, 0) == 1);
    assert_true(v[9].kind == QN_VK_VALUE_LIST && qn_fb_i32_at(&v[9].u.list, 2) == 10);
    assert_true(v[10].kind == QN_VK_SYMINT && v[10].u.integer == 0);
    assert_int_equal(v[11].kind, QN_VK_STRING);
    assert_string_equal(v[11].u.string, "mode");
    assert_int_equal(v[12].kind, QN_VK_NULL);
}

static void test_everything_in_a_graph(void **state)
{
    (void)state;
    size_t size;
    qn_vk_builder v = qn_vk_builder_new();
    qn_fbb blob = qn_vk_builder_finish(&v);
    uint8_t *data = copy_of(&blob, &size);
    qn_vk_graph *g = open_graph(data, size);
    assert_string_equal(g->version, "0");
    assert_int_equal(g->n_values, 13);
    check_values(g->values);
    assert_int_equal(g->n_ops, 1);
    assert_string_equal(g->ops[0].name, "aten.add.Tensor");
    assert_int_equal(g->ops[0].node_id, 3);
    assert_int_equal(g->ops[0].args.count, 4);
    assert_int_equal(qn_fb_i32_at(&g->ops[0].args, 2), 3);
    assert_int_equal(qn_fb_u32_at(&g->input_ids, 0), 0);
    assert_int_equal(g->output_ids.count, 1);
    qn_vk_graph_close(g);
    free(data);
}

/* ---- constants ------------------------------------------------------------------------------------------- */

typedef struct opened {
    uint8_t *data, *program;
    qn_vk_graph *g;
    qn_pte *pte;
} opened;

static opened open_both(void)
{
    opened o;
    size_t size, program_size;
    qn_vk_builder v = qn_vk_builder_new();
    qn_fbb blob = qn_vk_builder_finish(&v);
    o.data = copy_of(&blob, &size);
    o.g = open_graph(o.data, size);
    qn_pte_builder p = qn_pte_builder_new(32);
    qn_pte_builder_finish(&p);
    o.program = copy_of(&p.b, &program_size);
    qn_pte_file file = {"test.pte", {o.program, program_size}};
    qn_status s = qn_pte_open(NULL, &file, NULL, 0, &o.pte);
    if (s.code != QN_OK) fail_msg("%s", s.text);
    return o;
}

static void close_both(opened *o)
{
    qn_vk_graph_close(o->g);
    qn_pte_close(o->pte);
    free(o->data);
    free(o->program);
}

static void test_constants(void **state)
{
    (void)state;
    static const float inline_values[] = {3.0f, 4.0f}, named_values[] = {30.0f, 40.0f};
    opened o = open_both();
    qn_bytes bytes;
    assert_int_equal(qn_vk_tensor_data(o.g, o.pte, &o.g->values[0].u.tensor, &bytes).code, QN_OK);
    assert_null(bytes.data);
    assert_int_equal(qn_vk_tensor_data(o.g, o.pte, &o.g->values[1].u.tensor, &bytes).code, QN_OK);
    assert_int_equal(bytes.size, 8);
    assert_memory_equal(bytes.data, inline_values, 8);
    assert_int_equal(qn_vk_tensor_data(o.g, o.pte, &o.g->values[2].u.tensor, &bytes).code, QN_OK);
    assert_int_equal(bytes.size, 8);
    assert_memory_equal(bytes.data, named_values, 8);
    assert_true(bytes.data > o.program); /* nothing is copied */
    close_both(&o);
}

static void expect_no_data(const opened *o, const qn_vk_tensor *t, qn_code code, const char *text)
{
    qn_bytes bytes;
    qn_status s = qn_vk_tensor_data(o->g, o->pte, t, &bytes);
    assert_int_equal(s.code, code);
    if (!strstr(s.text, text)) fail_msg("no \"%s\" in: %s", text, s.text);
}

static void test_constants_that_are_missing_or_short(void **state)
{
    (void)state;
    opened o = open_both();
    qn_vk_tensor t = o.g->values[1].u.tensor;
    t.shape.dim[0] = 3;
    expect_no_data(&o, &t, QN_ERR_FORMAT, "constant 0 has 8 bytes, its tensor 12");
    t.constant_id = 2;
    expect_no_data(&o, &t, QN_ERR_ARGUMENT, "constant 2 does not exist, the graph has 2");
    t = o.g->values[2].u.tensor;
    o.g->constants[1].length = 9;
    expect_no_data(&o, &t, QN_ERR_FORMAT, "constant 1 has 9 bytes, its named data \"blob\" only 8");
    o.g->constants[1].key = "elsewhere";
    expect_no_data(&o, &t, QN_ERR_FORMAT, "named data \"elsewhere\", is not in the file: give the .ptd file");
    t.shape = (qn_shape){8, {1u << 31, 1u << 31, 4, 1, 1, 1, 1, 1}};
    expect_no_data(&o, &t, QN_ERR_FORMAT, "passes 64 bits");
    t.shape.dim[7] = 0; /* no elements at all */
    uint64_t bytes;
    assert_int_equal(qn_vk_tensor_bytes(&t, &bytes).code, QN_OK);
    assert_int_equal(bytes, 0);
    close_both(&o);
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

typedef struct spoil {
    size_t at, width;
    uint64_t value;
    qn_code code;
    const char *text;
} spoil;

static void expect_refused(const uint8_t *data, size_t size, const spoil *s)
{
    qn_vk_graph *g;
    qn_status status = qn_vk_graph_open(NULL, (qn_bytes){data, size}, BASE, &g);
    assert_null(g);
    if (status.code != s->code || !strstr(status.text, s->text))
        fail_msg("expected %s with \"%s\", got %s: %s", qn_code_name(s->code), s->text, qn_code_name(status.code),
                 status.text);
    assert_memory_equal(status.text, "byte 5", 6); /* of the file */
}

static size_t vector_at(const qn_fbb *b, size_t table, uint16_t slot)
{
    size_t field = qn_fbb_field_at(b, table, slot);
    return field + (size_t)qn_fbb_get(b, field, 4) + 4; /* its first element */
}

static void test_bad_graphs(void **state)
{
    (void)state;
    for (int i = 0;; i++) {
        qn_vk_builder v = qn_vk_builder_new();
        qn_fbb *b = &v.b;
        const spoil cases[] = {
            {4, 4, 0x31304B56, QN_ERR_FORMAT, "the identifier is \"VK01\", not \"VK00\""},
            {vector_at(b, v.op, 8) + 4, 4, 13, QN_ERR_FORMAT, "OperatorCall.args names value 13, but there are 13"},
            {vector_at(b, v.op, 8), 4, UINT32_MAX, QN_ERR_FORMAT, "OperatorCall.args names value -1"},
            {vector_at(b, v.graph, 10), 4, 13, QN_ERR_FORMAT, "VkGraph.input_ids names value 13"},
            {vector_at(b, v.graph, 12), 4, 13, QN_ERR_FORMAT, "VkGraph.output_ids names value 13"},
            {vector_at(b, v.values[9], 4), 4, 13, QN_ERR_FORMAT, "ValueList.items names value 13"},
            {vector_at(b, v.values[9], 4), 4, 9, QN_ERR_UNSUPPORTED, "value 9 is a list of lists"},
            {qn_fbb_field_at(b, v.values[0], 8), 4, 2, QN_ERR_FORMAT, "VkTensor.constant_id 2 does not exist"},
            {qn_fbb_field_at(b, v.values[0], 8), 4, UINT32_MAX - 1, QN_ERR_FORMAT, "VkTensor.constant_id -2"},
            {qn_fbb_field_at(b, v.values[0], 4), 1, 8, QN_ERR_UNSUPPORTED, "the element type 8, which is unknown"},
            {qn_fbb_field_at(b, v.values[0], 4), 1, 127, QN_ERR_UNSUPPORTED, "the element type 127"},
            {vector_at(b, v.values[0], 6) - 4, 4, 9, QN_ERR_UNSUPPORTED, "9 dimensions; at most 8 are supported"},
            {v.values[12] + 4, 1, 12, QN_ERR_UNSUPPORTED, "a value is of kind 12, which is unknown"},
            {qn_fbb_field_at(b, v.constants[0], 6), 8, 9, QN_ERR_FORMAT, "constant 0, 9 bytes at 0, passes the end"},
            {qn_fbb_field_at(b, v.constants[0], 4), 8, UINT64_MAX - 1, QN_ERR_FORMAT,
             "passes the end of the graph's data"},
            {qn_fbb_field_at(b, v.constants[0], 4), 8, UINT64_MAX, QN_ERR_FORMAT, "is named data, but has no key"},
        };
        size_t size, n = sizeof cases / sizeof cases[0];
        if (i < (int)n) qn_fbb_put(b, cases[i].at, cases[i].value, cases[i].width);
        qn_fbb blob = qn_vk_builder_finish(&v);
        uint8_t *data = copy_of(&blob, &size);
        if (i < (int)n) expect_refused(data, size, &cases[i]);
        free(data);
        if (i == (int)n) return;
    }
}

static void test_bad_headers(void **state)
{
    (void)state;
    static const spoil cases[] = {
        {4, 1, 'v', QN_ERR_FORMAT, "no header \"VH00\": not the data of a Vulkan delegate"},
        {8, 2, 29, QN_ERR_FORMAT, "the header says"},
        {10, 4, 29, QN_ERR_FORMAT, "bytes of flatbuffer at 29"},
        {10, 4, UINT32_MAX, QN_ERR_FORMAT, "bytes of flatbuffer at 4294967295"},
        {14, 4, UINT32_MAX, QN_ERR_FORMAT, "4294967295 bytes of flatbuffer at 32"},
        {18, 4, UINT32_MAX, QN_ERR_FORMAT, "8 bytes of constants at 4294967295"},
        {22, 8, UINT64_MAX, QN_ERR_FORMAT, "18446744073709551615 bytes of constants"},
        {22, 8, 0, QN_ERR_FORMAT, "constant 0, 8 bytes at 0, passes the end of the graph's data (0 bytes)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size;
        qn_vk_builder v = qn_vk_builder_new();
        qn_fbb blob = qn_vk_builder_finish(&v);
        qn_fbb_put(&blob, cases[i].at, cases[i].value, cases[i].width);
        uint8_t *data = copy_of(&blob, &size);
        expect_refused(data, size, &cases[i]);
        free(data);
    }
    const spoil empty = {0, 0, 0, QN_ERR_FORMAT, "no header \"VH00\""};
    expect_refused(NULL, 0, &empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_in_a_graph),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_constants_that_are_missing_or_short),
        cmocka_unit_test(test_bad_graphs),
        cmocka_unit_test(test_bad_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
