/* Calls of a method: what it takes and refuses, instructions one after another, what its outputs are. */
#include <stdlib.h>
#include <string.h>

#include "support/program_harness.h"

static qn_engine *engine;

static int set_up(void **state)
{
    *state = engine = qn_test_engine(NULL);
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(*state);
    return 0;
}

#define F(...)   ((const float[]){__VA_ARGS__})
#define I64(...) ((const int64_t[]){__VA_ARGS__})
static const qn_tolerance exactly = {0, 0};

static qn_program_tensor given(qn_shape shape, const void *data)
{
    return (qn_program_tensor){shape, data};
}

/* y = x * number */
static qn_vk_maker *times(double number, qn_shape shape)
{
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, shape), y = qn_vk_f32(g, shape);
    qn_vk_input(g, x);
    qn_vk_output(g, y);
    QN_VK_CALL(g, "aten.mul.Scalar", x, qn_vk_double(g, number), y);
    return g;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void shapes_are_refused_by_the_number_of_the_input(void **state)
{
    (void)state;
    const float x[12] = {1, 2, 3, 4, 5, 6};
    qn_vk_maker *g = qn_vk_make();
    int32_t a = qn_vk_f32(g, qn_shape_2(4, 3)), b = qn_vk_f32(g, qn_shape_1(3)), y = qn_vk_f32(g, qn_shape_2(4, 3));
    qn_vk_input(g, a);
    qn_vk_input(g, b);
    qn_vk_output(g, y);
    QN_VK_CALL(g, "aten.add.Tensor", a, b, y);
    qn_test_program t = qn_test_program_open(engine, qn_dynamic_program_of(g));
    qn_program_tensor row = given(qn_shape_1(3), x);
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(5, 3), x), row), QN_ERR_ARGUMENT,
                    "input 0: the live shape [5,3] does not fit [4,3], the largest");
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(0, 3), x), row), QN_ERR_ARGUMENT, "input 0");
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(4, 3), x), given(qn_shape_2(1, 3), x)), QN_ERR_ARGUMENT, "input 1");
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(4, 3), x), given((qn_shape){.rank = 99}, x)), QN_ERR_ARGUMENT,
                    "input 1: rank 99");
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(4, 3), NULL), row), QN_ERR_ARGUMENT, "input 0: no data");
    qn_assert_fails(QN_CALL(t.p, row), QN_ERR_ARGUMENT, "1 inputs given, the method takes 2");
    qn_assert_fails(qn_test_call(t.p, 1, &row, 1), QN_ERR_ARGUMENT, "no method 1");
    /* What an operator refuses: rows that cannot be broadcast. */
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(4, 3), x), given(qn_shape_1(2), x)), QN_ERR_ARGUMENT, "forward");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(2, 3), x), row));
    qn_test_output_f32(t.p, 0, qn_shape_2(2, 3), F(2, 4, 6, 5, 7, 9), exactly);
    qn_test_program_close(&t);
}

static void static_shapes_are_the_only_ones(void **state)
{
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    qn_test_program t = qn_test_program_open(engine, qn_program_of(times(2, qn_shape_2(2, 3))));
    assert_false(qn_program_input(t.p, 0, 0).is_dynamic);
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(1, 3), x)), QN_ERR_ARGUMENT, "does not fit [2,3], which is static");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(2, 3), x)));
    qn_test_output_f32(t.p, 0, qn_shape_2(2, 3), F(2, 4, 6, 8, 10, 12), exactly);
    qn_test_program_close(&t);
}

/* Rows of a table by ids; the file's ids are 64-bit. */
static qn_fbb lookup(const char *op, bool list)
{
    qn_vk_maker *g = qn_vk_make();
    int32_t ids = qn_vk_tensor_of(g, QN_VK_INT64, qn_shape_1(3)), y = qn_vk_f32(g, qn_shape_2(3, 2));
    int32_t table = qn_vk_f32_constant(g, qn_shape_2(3, 2), F(1, 2, 3, 4, 5, 6));
    qn_vk_input(g, ids);
    qn_vk_output(g, y);
    if (list)
        QN_VK_CALL(g, op, table, QN_VK_LIST(g, ids), y);
    else
        QN_VK_CALL(g, op, table, ids, y);
    return qn_dynamic_program_of(g);
}

static void ids_outside_of_their_table_are_refused(void **state)
{
    (void)state;
    qn_test_program t = qn_test_program_open(engine, lookup("aten.embedding.default", false));
    qn_shape three = qn_shape_1(3);
    qn_assert_fails(QN_CALL(t.p, given(three, I64(0, 3, 1))), QN_ERR_ARGUMENT,
                    "input 0 of the method: element 1 is the id 3; the table has 3 rows");
    qn_assert_fails(QN_CALL(t.p, given(three, I64(0, 1, -1))), QN_ERR_ARGUMENT, "element 2 is the id -1");
    qn_assert_fails(QN_CALL(t.p, given(three, I64(0, INT64_C(1) << 32, 1))), QN_ERR_ARGUMENT,
                    "element 1 is 4294967296, which does not fit 32 bits");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), I64(2, 0))));
    qn_test_output_f32(t.p, 0, qn_shape_2(2, 2), F(5, 6, 1, 2), exactly);
    qn_test_program_close(&t);
    t = qn_test_program_open(engine, lookup("aten.index.Tensor", true)); /* -1 is the last row here */
    qn_assert_fails(QN_CALL(t.p, given(three, I64(0, 1, -4))), QN_ERR_ARGUMENT, "element 2 is the id -4");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), I64(-1, -3))));
    qn_test_output_f32(t.p, 0, qn_shape_2(2, 2), F(5, 6, 1, 2), exactly);
    qn_test_program_close(&t);
}

/* Every element type that a method may have, in and out. */
static void elements_are_converted(void **state)
{
    (void)state;
    const struct {
        qn_vk_dtype dtype;
        const void *x, *twice;
        size_t bytes;
    } cases[] = {
        {QN_VK_INT64, (const int64_t[]){-3, 1 << 30}, (const int64_t[]){-6, INT32_MIN}, 16},
        {QN_VK_INT32, (const int32_t[]){-3, 7}, (const int32_t[]){-6, 14}, 8},
        {QN_VK_INT8, (const int8_t[]){-3, 7}, (const int8_t[]){-6, 14}, 2},
        {QN_VK_UINT8, (const uint8_t[]){3, 100}, (const uint8_t[]){6, 200}, 2},
        {QN_VK_FLOAT64, (const double[]){-0.5, 3}, (const double[]){-1, 6}, 16},
        {QN_VK_FLOAT32, (const float[]){-0.5f, 3}, (const float[]){-1, 6}, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_vk_maker *g = qn_vk_make();
        int32_t x = qn_vk_tensor_of(g, cases[i].dtype, qn_shape_1(2));
        int32_t y = qn_vk_tensor_of(g, cases[i].dtype, qn_shape_1(2));
        qn_vk_input(g, x);
        qn_vk_output(g, y);
        QN_VK_CALL(g, "aten.mul.Scalar", x, qn_vk_int(g, 2), y);
        qn_test_program t = qn_test_program_open(engine, qn_program_of(g));
        qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), cases[i].x)));
        qn_test_output_is(t.p, 0, qn_shape_1(2), cases[i].twice, cases[i].bytes);
        qn_test_program_close(&t);
    }
}

/* ---- inputs that are outputs, and the like --------------------------------------------------- */

static void outputs_may_be_inputs_and_come_twice(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(2)), unused = qn_vk_f32(g, qn_shape_1(3)), y = qn_vk_f32(g, qn_shape_1(2));
    qn_vk_input(g, x);
    qn_vk_input(g, unused);
    const int32_t outputs[] = {y, x, y, unused};
    for (size_t i = 0; i < 4; i++) qn_vk_output(g, outputs[i]);
    QN_VK_CALL(g, "aten.add.Tensor", x, x, y);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(g));
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), F(1, 2)), given(qn_shape_1(3), F(7, 8, 9))));
    qn_test_output_f32(t.p, 0, qn_shape_1(2), F(2, 4), exactly);
    qn_test_output_f32(t.p, 1, qn_shape_1(2), F(1, 2), exactly);
    qn_test_output_f32(t.p, 2, qn_shape_1(2), F(2, 4), exactly);
    qn_test_output_f32(t.p, 3, qn_shape_1(3), F(7, 8, 9), exactly);
    qn_test_program_close(&t);
}

/* The same operator's result under two names, one of which the method gives twice under values of its own. */
static void one_result_may_have_several_values(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(2)), y = qn_vk_f32(g, qn_shape_1(2)), z = qn_vk_f32(g, qn_shape_2(2, 1));
    qn_vk_input(g, x);
    qn_vk_output(g, y);
    qn_vk_output(g, z);
    qn_vk_output(g, y);
    QN_VK_CALL(g, "aten.neg.default", x, y);
    QN_VK_CALL(g, "aten.unsqueeze_copy.default", y, qn_vk_int(g, 1), z);
    qn_program_maker *p = qn_program_make();
    qn_program_make_method(p, "forward");
    int32_t in = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_1(2), false), out[3];
    for (int i = 0; i < 3; i++)
        out[i] = qn_make_tensor(p, QN_SCALAR_F32, i == 1 ? qn_shape_2(2, 1) : qn_shape_1(2), false);
    QN_MAKE_CALL(p, qn_make_delegate(p, g), in, out[0], out[1], out[2]);
    qn_make_input(p, in);
    for (int i = 0; i < 3; i++) qn_make_output(p, out[i]);
    qn_test_program t = qn_test_program_open(engine, qn_program_finish(p));
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), F(1, 2))));
    qn_test_output_f32(t.p, 0, qn_shape_1(2), F(-1, -2), exactly);
    qn_test_output_f32(t.p, 1, qn_shape_2(2, 1), F(-1, -2), exactly);
    qn_test_output_f32(t.p, 2, qn_shape_1(2), F(-1, -2), exactly);
    /* wanted is what any of them wants */
    qn_assert_ok(qn_program_want(t.p, 0, 0, false));
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), F(3, 4))));
    assert_null(qn_program_output_data(t.p, 0, 0).data);
    qn_test_output_f32(t.p, 2, qn_shape_1(2), F(-3, -4), exactly);
    qn_test_program_close(&t);
}

/* A constant as an output; one that no operator uses. */
static void constants_may_be_outputs(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(2)), c = qn_vk_f32_constant(g, qn_shape_1(2), F(3, 4));
    qn_vk_input(g, x);
    qn_vk_output(g, c);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(g));
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), F(1, 2))));
    qn_test_output_f32(t.p, 0, qn_shape_1(2), F(3, 4), exactly);
    qn_test_program_close(&t);
}

/* ---- several instructions -------------------------------------------------------------------- */

/* y = cumsum(x * 2) - 1 over two delegates and a kernel; the value between is an output as well. */
static qn_fbb with_a_kernel_between(void)
{
    qn_shape s = qn_shape_2(2, 3);
    qn_vk_maker *g = qn_vk_make();
    int32_t a = qn_vk_f32(g, s), b = qn_vk_f32(g, s);
    qn_vk_input(g, a);
    qn_vk_output(g, b);
    QN_VK_CALL(g, "aten.sub.Scalar", a, qn_vk_int(g, 1), b);
    qn_program_maker *p = qn_program_make();
    qn_program_use_segments(p);
    qn_program_make_method(p, "forward");
    int32_t x = qn_make_tensor(p, QN_SCALAR_F32, s, true), doubled = qn_make_tensor(p, QN_SCALAR_F32, s, true);
    int32_t sum = qn_make_tensor(p, QN_SCALAR_F32, s, true), y = qn_make_tensor(p, QN_SCALAR_F32, s, true);
    int32_t dim = qn_make_int(p, -1), none = qn_make_null(p);
    QN_MAKE_CALL(p, qn_make_delegate(p, times(2, s)), x, doubled);
    QN_MAKE_KERNEL(p, "aten::cumsum", "out", doubled, dim, none, sum, sum);
    QN_MAKE_CALL(p, qn_make_delegate(p, g), sum, y);
    qn_make_input(p, x);
    qn_make_output(p, y);
    qn_make_output(p, sum);
    return qn_program_finish(p);
}

static void kernels_run_between_delegates(void **state)
{
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    qn_test_program t = qn_test_program_open(engine, with_a_kernel_between());
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(2, 3), x)));
    qn_test_output_f32(t.p, 0, qn_shape_2(2, 3), F(1, 5, 11, 7, 17, 29), exactly);
    qn_test_output_f32(t.p, 1, qn_shape_2(2, 3), F(2, 6, 12, 8, 18, 30), exactly);
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(1, 2), x)));
    qn_test_output_f32(t.p, 0, qn_shape_2(1, 2), F(1, 5), exactly);
    qn_assert_ok(qn_program_want(t.p, 0, 1, false)); /* still read by the delegate after it */
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(1, 3), x)));
    qn_test_output_f32(t.p, 0, qn_shape_2(1, 3), F(1, 5, 11), exactly);
    assert_null(qn_program_output_data(t.p, 0, 1).data);
    qn_test_program_close(&t);
}

/* A table of the program's own, ids that the method takes, and a delegate that goes on with the rows. */
static qn_fbb embedding_on_the_cpu(qn_scalar ids_type)
{
    qn_program_maker *p = qn_program_make();
    qn_program_make_method(p, "forward");
    int32_t table = qn_make_constant(p, QN_SCALAR_F32, qn_shape_2(3, 2), F(1, 2, 3, 4, 5, 6));
    int32_t ids = qn_make_tensor(p, ids_type, qn_shape_2(1, 4), true);
    int32_t rows = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_3(1, 4, 2), true);
    int32_t y = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_3(1, 4, 2), true);
    int32_t padding = qn_make_int(p, -1), no = qn_make_int(p, 0);
    QN_MAKE_KERNEL(p, "aten::embedding", "out", table, ids, padding, no, no, rows, rows);
    QN_MAKE_CALL(p, qn_make_delegate(p, times(10, qn_shape_3(1, 4, 2))), rows, y);
    qn_make_input(p, ids);
    qn_make_output(p, y);
    return qn_program_finish(p);
}

static void embedding_on_the_cpu_checks_its_ids(void **state)
{
    (void)state;
    qn_test_program t = qn_test_program_open(engine, embedding_on_the_cpu(QN_SCALAR_INT64));
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(1, 2), I64(0, 3))), QN_ERR_ARGUMENT,
                    "aten::embedding: id 1 is 3; the table has 3 rows");
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_2(1, 1), I64(INT64_MIN))), QN_ERR_ARGUMENT,
                    "id 0 is -9223372036854775808");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(1, 2), I64(2, 1))));
    qn_test_output_f32(t.p, 0, qn_shape_3(1, 2, 2), F(50, 60, 30, 40), exactly);
    qn_test_program_close(&t);
    t = qn_test_program_open(engine, embedding_on_the_cpu(QN_SCALAR_INT32));
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_2(1, 1), (const int32_t[]){1})));
    qn_test_output_f32(t.p, 0, qn_shape_3(1, 1, 2), F(30, 40), exactly);
    qn_test_program_close(&t);
}

/* x.mul_(2): the delegate's result is copied to the input, which is the method's output. */
static void copies_to_inputs(void **state)
{
    (void)state;
    qn_program_maker *p = qn_program_make();
    qn_program_make_method(p, "forward");
    int32_t x = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_1(3), true);
    int32_t doubled = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_1(3), true), no = qn_make_int(p, 0);
    QN_MAKE_CALL(p, qn_make_delegate(p, times(2, qn_shape_1(3))), x, doubled);
    QN_MAKE_KERNEL(p, "aten::copy_", "", x, doubled, no, x);
    qn_make_input(p, x);
    qn_make_output(p, x);
    qn_test_program t = qn_test_program_open(engine, qn_program_finish(p));
    float data[3] = {1, 2, 3};
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(3), data)));
    qn_test_output_f32(t.p, 0, qn_shape_1(3), F(2, 4, 6), exactly);
    assert_memory_equal(data, F(1, 2, 3), sizeof data); /* the caller's own stays */
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(2), data)));
    qn_test_output_f32(t.p, 0, qn_shape_1(2), F(2, 4), exactly);
    qn_test_program_close(&t);
}

/* ---- methods --------------------------------------------------------------------------------- */

static void methods_without_instructions_have_numbers(void **state)
{
    (void)state;
    qn_program_maker *p = qn_program_make();
    qn_make_method_of(p, "forward", times(3, qn_shape_1(1)), false);
    qn_program_make_method(p, "get_max_seq_len");
    qn_make_output(p, qn_make_int(p, 2048));
    qn_make_output(p, qn_make_double(p, 0.5));
    qn_make_output(p, qn_make_constant(p, QN_SCALAR_INT64, qn_shape_1(2), I64(5, -6)));
    qn_test_program t = qn_test_program_open(engine, qn_program_finish(p));
    uint32_t m = qn_program_find_method(t.p, "get_max_seq_len");
    assert_int_equal(m, 1);
    assert_int_equal(qn_program_find_method(t.p, "none"), 2);
    assert_false(qn_program_output(t.p, m, 0).is_tensor);
    assert_true(qn_program_output(t.p, m, 0).number == 2048 && qn_program_output(t.p, m, 1).number == 0.5);
    qn_assert_ok(qn_test_call(t.p, m, NULL, 0));
    assert_null(qn_program_output_data(t.p, m, 0).data);
    qn_program_tensor out = qn_program_output_data(t.p, m, 2);
    assert_int_equal(out.shape.dim[0], 2);
    assert_memory_equal(out.data, I64(5, -6), 16);
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(1), F(2))));
    qn_test_output_f32(t.p, 0, qn_shape_1(1), F(6), exactly);
    assert_memory_equal(qn_program_output_data(t.p, m, 2).data, I64(5, -6), 16); /* of the other method: as it was */
    qn_test_program_close(&t);
}

/* ---- outputs and polling --------------------------------------------------------------------- */

static void outputs_are_there_after_the_call_only(void **state)
{
    (void)state;
    qn_shape s = qn_shape_1(3);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(times(2, s)));
    assert_null(qn_program_output_data(t.p, 0, 0).data);
    assert_null(qn_program_output_data(t.p, 7, 0).data);
    assert_null(qn_program_output_data(t.p, 0, 7).data);
    float x[3] = {1, 2, 3};
    const qn_program_tensor in = given(s, x);
    qn_assert_ok(qn_program_submit(t.p, 0, &in, 1));
    memset(x, 0, sizeof x); /* the data was copied */
    bool done = false;
    while (!done) qn_assert_ok(qn_program_poll(t.p, &done));
    qn_test_output_f32(t.p, 0, s, F(2, 4, 6), exactly);
    qn_assert_ok(qn_program_poll(t.p, &done)); /* nothing runs: done */
    assert_true(done);
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_1(2), x)), QN_ERR_ARGUMENT, "input 0");
    assert_null(qn_program_output_data(t.p, 0, 0).data); /* of a call that failed */
    qn_assert_ok(qn_program_want(t.p, 0, 0, false));
    qn_assert_ok(QN_CALL(t.p, given(s, F(4, 5, 6))));
    assert_null(qn_program_output_data(t.p, 0, 0).data);
    qn_assert_ok(qn_program_want(t.p, 0, 0, true));
    qn_assert_ok(QN_CALL(t.p, given(s, F(4, 5, 6))));
    qn_test_output_f32(t.p, 0, s, F(8, 10, 12), exactly);
    qn_assert_fails(qn_program_want(t.p, 0, 1, true), QN_ERR_ARGUMENT, "no output 1");
    qn_test_program_close(&t);
}

/* Long enough that it still runs when the submit has returned. */
static void a_call_that_runs_refuses_others(void **state)
{
    (void)state;
    qn_shape s = qn_shape_3(8, 256, 256);
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, s), y = qn_vk_f32(g, s);
    qn_vk_input(g, x);
    qn_vk_output(g, y);
    QN_VK_CALL(g, "aten.bmm.default", x, x, y);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(g));
    float *data = qn_test_floats(8 * 256 * 256, 1, 1);
    const qn_program_tensor in = given(s, data);
    bool done = false;
    qn_assert_ok(qn_program_submit(t.p, 0, &in, 1));
    qn_assert_fails(qn_program_submit(t.p, 0, &in, 1), QN_ERR_STATE, "poll until it is done");
    qn_assert_fails(qn_program_reset(t.p, 0), QN_ERR_STATE, "runs");
    qn_assert_fails(qn_program_want(t.p, 0, 0, true), QN_ERR_STATE, "runs");
    assert_null(qn_program_output_data(t.p, 0, 0).data);
    while (!done) qn_assert_ok(qn_program_poll(t.p, &done));
    assert_non_null(qn_program_output_data(t.p, 0, 0).data);
    qn_assert_ok(qn_program_submit(t.p, 0, &in, 1));
    free(data);
    qn_test_program_close(&t); /* while it runs */
}

static void two_programs_run_at_a_time(void **state)
{
    (void)state;
    qn_shape s = qn_shape_1(3);
    qn_test_program a = qn_test_program_open(engine, qn_program_of(times(2, s)));
    qn_test_program b = qn_test_program_open(engine, with_a_kernel_between());
    const qn_program_tensor x = given(s, F(1, 2, 3)), y = given(qn_shape_2(1, 3), F(1, 1, 1));
    qn_assert_ok(qn_program_submit(a.p, 0, &x, 1));
    qn_assert_ok(qn_program_submit(b.p, 0, &y, 1));
    for (bool first = false, second = false; !first || !second;) {
        qn_assert_ok(qn_program_poll(a.p, &first));
        qn_assert_ok(qn_program_poll(b.p, &second));
    }
    qn_test_output_f32(a.p, 0, s, F(2, 4, 6), exactly);
    qn_test_output_f32(b.p, 0, qn_shape_2(1, 3), F(1, 3, 5), exactly);
    qn_test_program_close(&a);
    qn_test_output_f32(b.p, 0, qn_shape_2(1, 3), F(1, 3, 5), exactly);
    qn_test_program_close(&b);
}

static void programs_that_are_not_built_do_not_run(void **state)
{
    (void)state;
    qn_test_program t;
    qn_assert_ok(qn_test_program_read(qn_program_of(times(2, qn_shape_1(1))), &t));
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_1(1), F(1))), QN_ERR_STATE, "not built");
    bool done = false;
    qn_assert_ok(qn_program_poll(t.p, &done));
    assert_null(qn_program_output_data(t.p, 0, 0).data);
    qn_assert_ok(qn_program_build(t.p, engine));
    qn_assert_fails(qn_program_build(t.p, engine), QN_ERR_STATE, "built already");
    qn_assert_ok(QN_CALL(t.p, given(qn_shape_1(1), F(1))));
    qn_test_program_close(&t);
    qn_assert_ok(qn_test_program_plan(qn_program_of(times(2, qn_shape_1(1))), &t));
    assert_true(qn_program_method(t.p, 0).n_nodes == 1 && qn_program_method(t.p, 0).memory.io > 0);
    qn_assert_fails(QN_CALL(t.p, given(qn_shape_1(1), F(1))), QN_ERR_STATE, "not built");
    qn_test_program_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_refused_by_the_number_of_the_input),
        cmocka_unit_test(static_shapes_are_the_only_ones),
        cmocka_unit_test(ids_outside_of_their_table_are_refused),
        cmocka_unit_test(elements_are_converted),
        cmocka_unit_test(outputs_may_be_inputs_and_come_twice),
        cmocka_unit_test(one_result_may_have_several_values),
        cmocka_unit_test(constants_may_be_outputs),
        cmocka_unit_test(kernels_run_between_delegates),
        cmocka_unit_test(embedding_on_the_cpu_checks_its_ids),
        cmocka_unit_test(copies_to_inputs),
        cmocka_unit_test(methods_without_instructions_have_numbers),
        cmocka_unit_test(outputs_are_there_after_the_call_only),
        cmocka_unit_test(a_call_that_runs_refuses_others),
        cmocka_unit_test(two_programs_run_at_a_time),
        cmocka_unit_test(programs_that_are_not_built_do_not_run),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
