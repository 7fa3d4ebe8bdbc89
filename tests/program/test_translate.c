/* From a file's operators to a graph: how arguments are read, and what is refused when a program is built. Nothing is
 * executed here: the graphs are dry. */
#include <stdio.h>
#include <string.h>

#include "support/program_harness.h"

#define F(...) ((const float[]){__VA_ARGS__})

/* A graph with an input x f32 [2, 3] and an output y of the given shape, for one operator. */
typedef struct rig {
    qn_vk_maker *g;
    int32_t x, y;
} rig;

static rig start(qn_vk_dtype dtype, qn_shape out)
{
    qn_vk_maker *g = qn_vk_make();
    rig r = {g, qn_vk_f32(g, qn_shape_2(2, 3)), qn_vk_tensor_of(g, dtype, out)};
    qn_vk_input(g, r.x);
    qn_vk_output(g, r.y);
    return r;
}

static rig start_f32(qn_shape out)
{
    return start(QN_VK_FLOAT32, out);
}

static qn_status plan(qn_vk_maker *g)
{
    qn_test_program t;
    qn_status s = qn_test_program_plan(qn_dynamic_program_of(g), &t);
    if (s.code == QN_OK) qn_test_program_close(&t);
    return s;
}

#define assert_planned(r)            qn_assert_ok(plan((r).g))
#define assert_refused(r, code, why) qn_assert_fails(plan((r).g), code, why)

/* ---- numbers --------------------------------------------------------------------------------- */

/* Values were pooled by Python's equality: 1, 1.0 and True are one. */
static void numbers_stand_for_one_another(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        rig r = start_f32(qn_shape_2(2, 1));
        int32_t one = kind == 0 ? qn_vk_int(r.g, 1) : kind == 1 ? qn_vk_double(r.g, 1.0) : qn_vk_bool(r.g, true);
        QN_VK_CALL(r.g, "aten.amax.default", r.x, one, one, r.y); /* a dimension and a flag */
        assert_planned(r);
        r = start_f32(qn_shape_2(2, 3));
        one = kind == 0 ? qn_vk_int(r.g, 1) : kind == 1 ? qn_vk_double(r.g, 1.0) : qn_vk_bool(r.g, true);
        QN_VK_CALL(r.g, "aten.add.Scalar", r.x, one, one, r.y);
        assert_planned(r);
    }
}

static void ends_of_slices_may_be_anything(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        rig r = start_f32(qn_shape_2(2, 2));
        int32_t end = kind == 0   ? qn_vk_int(r.g, INT64_MAX)
                      : kind == 1 ? qn_vk_double(r.g, 9223372036854775807.0) /* 2^63 */
                      : kind == 2 ? qn_vk_null(r.g)
                      : kind == 3 ? qn_vk_int(r.g, 3)
                                  : qn_vk_double(r.g, 1e300);
        int32_t dim = qn_vk_int(r.g, -1), start = kind % 2 ? qn_vk_int(r.g, 1) : qn_vk_double(r.g, -2.0);
        QN_VK_CALL(r.g, "aten.slice_copy.Tensor", r.x, dim, start, end, qn_vk_int(r.g, 1), r.y);
        assert_planned(r);
    }
    rig r = start_f32(qn_shape_2(2, 1));
    int32_t one = qn_vk_int(r.g, 1), least = qn_vk_int(r.g, INT64_MIN);
    QN_VK_CALL(r.g, "aten.slice_copy.Tensor", r.x, one, least, one, one, r.y);
    assert_planned(r);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char nan_text[] = "argument 1 is a Double, not a whole number";
    const double wrong[] = {0.5, -1e-9, (double)__builtin_nanf("")};
    for (size_t i = 0; i < 3; i++) {
        rig r = start_f32(qn_shape_2(2, 3));
        QN_VK_CALL(r.g, "aten._softmax.default", r.x, qn_vk_double(r.g, wrong[i]), qn_vk_bool(r.g, false), r.y);
        assert_refused(r, QN_ERR_UNSUPPORTED, nan_text);
    }
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten._softmax.default", r.x, qn_vk_null(r.g), qn_vk_bool(r.g, false), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "aten._softmax.default (node 0): argument 1 is a Null, not a whole number");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.add.Scalar", r.x, qn_vk_string(r.g, "1"), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "aten.add.Scalar (node 0): argument 1 is a string, not a number");
    r = start_f32(qn_shape_2(2, 3));
    int32_t one = qn_vk_int(r.g, 1);
    QN_VK_CALL(r.g, "aten.elu.default", r.x, one, one, qn_vk_double(r.g, 0.5), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "the scale of the input is 0.5");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.gelu.default", r.x, qn_vk_int(r.g, 1), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 1 is a Int, not a string");
}

static void dimensions_are_those_of_the_tensor(void **state)
{
    (void)state;
    static const int64_t good[] = {-2, -1, 0, 1}, bad[] = {-3, 2, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 8; i++) {
        rig r = start_f32(qn_shape_2(2, 3));
        int64_t dim = i < 4 ? good[i] : bad[i - 4];
        QN_VK_CALL(r.g, "aten._softmax.default", r.x, qn_vk_int(r.g, dim), qn_vk_bool(r.g, false), r.y);
        if (i < 4)
            assert_planned(r);
        else
            assert_refused(r, QN_ERR_FORMAT, "of a tensor of rank 2");
    }
    /* A scalar has the dimensions 0 and -1. */
    for (int64_t dim = -2; dim <= 1; dim++) {
        rig r = {.g = qn_vk_make()};
        int32_t x = qn_vk_f32(r.g, (qn_shape){.rank = 0}), y = qn_vk_f32(r.g, (qn_shape){.rank = 0});
        qn_vk_input(r.g, x);
        qn_vk_output(r.g, y);
        QN_VK_CALL(r.g, "aten.amax.default", x, qn_vk_int(r.g, dim), qn_vk_bool(r.g, false), y);
        if (dim == 0 || dim == -1)
            assert_planned(r);
        else
            assert_refused(r, QN_ERR_FORMAT, "of a tensor of rank 0");
    }
}

/* ---- tensors and lists ----------------------------------------------------------------------- */

static void kinds_are_checked(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", qn_vk_int(r.g, 3), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "aten.relu.default (node 0): argument 0 is a Int, not a tensor");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", QN_VK_LIST(r.g, r.x), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 0 is a value list, not a tensor");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, qn_vk_int(r.g, 3));
    assert_refused(r, QN_ERR_FORMAT, "output 0 is no tensor");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.cat.default", r.x, qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 0 is a tensor, not a value list");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.cat.default", QN_VK_LIST(r.g, r.x, qn_vk_int(r.g, 1)), qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "element 1 of argument 0 is no tensor");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.cat.default", QN_VK_LIST(r.g, r.x, qn_vk_null(r.g)), qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_ARGUMENT, "aten.cat.default");
    r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.permute_copy.default", r.x, QN_VK_LIST(r.g, qn_vk_double(r.g, 1), qn_vk_double(r.g, 0)), r.y);
    assert_planned(r); /* a list of pooled numbers */
    r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.permute_copy.default", r.x, QN_VK_LIST(r.g, qn_vk_int(r.g, 1), r.x), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "number 1 of argument 1 is not constant");
    r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.permute_copy.default", r.x, QN_VK_INTS(r.g, 1, 0, 2, 3, 4, 5, 6, 7, 8), r.y);
    assert_refused(r, QN_ERR_LIMIT, "argument 1 has 9 numbers, more than 8");
    r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.view_copy.default", r.x, qn_vk_int(r.g, 6), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 1 is a Int, not a list of sizes");
}

/* Every row, called with nothing but numbers, Nulls and scalars: an error that names it, never a crash. */
static void wrong_arguments_of_every_operator(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t min_args;
    } rows[] = {
#define QN_OPERATOR(name, function, variant, min_args, writes) {name, min_args},
#include "program/operators.def"
#undef QN_OPERATOR
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int kind = 0; kind < 9; kind++) {
            qn_vk_maker *g = qn_vk_make();
            int32_t x = qn_vk_f32(g, (qn_shape){.rank = 0}), args[24];
            qn_vk_input(g, x);
            const int32_t values[] = {qn_vk_int(g, -1),     qn_vk_null(g),       qn_vk_double(g, 0.5),
                                      qn_vk_string(g, "?"), QN_VK_INTS(g, 0),    QN_VK_LIST(g, x),
                                      qn_vk_symint(g),      qn_vk_bool(g, true), x};
            for (int k = 0; k < 24; k++) args[k] = values[kind];
            qn_vk_op_of(g, rows[i].name, rows[i].min_args, args);
            qn_status s = plan(g);
            if (s.code != QN_OK && (!strstr(s.text, rows[i].name) || s.code == QN_ERR_INTERNAL))
                fail_msg("%s with values of kind %d: %s", rows[i].name, kind, s.text);
            /* A scalar is a fine operand of some; numbers alone are of those that make tensors or integers. */
            if (s.code == QN_OK && kind != 8 && kind != 0 && kind != 5 && kind != 7)
                fail_msg("%s with values of kind %d is accepted", rows[i].name, kind);
        }
    }
}

static void arguments_that_are_missing(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
    QN_VK_CALL(r.g, "aten.add.Tensor", r.x, r.y);
    assert_refused(r, QN_ERR_FORMAT, "aten.add.Tensor (node 1) has 2 arguments, at least 3 are needed");
    r = start_f32(qn_shape_2(2, 3));
    qn_vk_op_of(r.g, "aten.relu.default", 0, NULL);
    assert_refused(r, QN_ERR_FORMAT, "aten.relu.default (node 0) has 0 arguments");
}

static void values_must_be_computed_before_they_are_used(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 3));
    int32_t later = qn_vk_f32(r.g, qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", later, r.y);
    QN_VK_CALL(r.g, "aten.relu.default", r.x, later);
    assert_refused(r, QN_ERR_FORMAT, "aten.relu.default (node 0): argument 0: value 2 is used before an operator");
    r = start_f32(qn_shape_2(2, 3));
    int32_t n = qn_vk_symint(r.g), one = qn_vk_int(r.g, 1);
    QN_VK_CALL(r.g, "aten.slice_copy.Tensor", r.x, one, n, qn_vk_null(r.g), one, r.y);
    assert_refused(r, QN_ERR_FORMAT, "argument 2 is not computed yet");
    r = start_f32(qn_shape_2(2, 3)); /* an output that nothing computes */
    assert_refused(r, QN_ERR_FORMAT, "output 0 of the delegate: value 1 is used before an operator gives it");
}

/* ---- outputs against the file ---------------------------------------------------------------- */

static void shapes_that_contradict_the_file(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
    assert_refused(r, QN_ERR_FORMAT, "aten.relu.default (node 0): gives [2,3], the file says [3,2]");
    r = start(QN_VK_INT32, qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "gives f32, the file says INT32");
    r = start(QN_VK_FLOAT16, qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "FLOAT16; export in float32");
    /* Where the file's shape is what the operator would take, its arguments must say the same. */
    static const char *const made[] = {"aten.full.default", "aten.zeros.default", "aten.ones.default"};
    for (size_t i = 0; i < 3; i++) {
        r = start_f32(qn_shape_2(2, 3));
        int32_t sizes = QN_VK_INTS(r.g, 2, 4);
        if (i == 0)
            QN_VK_CALL(r.g, made[i], sizes, qn_vk_int(r.g, 1), r.y);
        else
            QN_VK_CALL(r.g, made[i], sizes, r.y);
        assert_refused(r, QN_ERR_FORMAT, "size 1 is 4, the file's output has 3 there");
    }
    r = start_f32(qn_shape_3(2, 2, 3));
    QN_VK_CALL(r.g, "aten.expand_copy.default", r.x, QN_VK_INTS(r.g, 5, 2, 3), r.y);
    assert_refused(r, QN_ERR_FORMAT, "size 0 is 5");
    r = start_f32(qn_shape_2(3, 2));
    QN_VK_CALL(r.g, "aten.view_copy.default", r.x, QN_VK_INTS(r.g, 2, 3), r.y);
    assert_refused(r, QN_ERR_FORMAT, "size 0 is 2, the file's output has 3 there");
    r = start_f32(qn_shape_1(4));
    QN_VK_CALL(r.g, "aten.arange.start_step", qn_vk_int(r.g, 0), qn_vk_int(r.g, 5), qn_vk_int(r.g, 1), r.y);
    assert_refused(r, QN_ERR_FORMAT, "0 to 5 by 1 are not the 4 numbers of the output");
    r = start_f32(qn_shape_1(4));
    QN_VK_CALL(r.g, "aten.arange.start_step", qn_vk_int(r.g, 0), qn_vk_int(r.g, 4), qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_FORMAT, "by 0");
    r = start_f32(qn_shape_2(1, 3));
    int32_t other = qn_vk_f32(r.g, qn_shape_2(1, 3));
    QN_VK_CALL(r.g, "aten.split_with_sizes_copy.default", r.x, QN_VK_INTS(r.g, 2, 0), qn_vk_int(r.g, 0),
               QN_VK_LIST(r.g, r.y, other));
    assert_refused(r, QN_ERR_FORMAT, "piece 0 is 2 by the operator, 1 by the file");
    r = start_f32(qn_shape_2(1, 3));
    other = qn_vk_f32(r.g, qn_shape_2(1, 3));
    QN_VK_CALL(r.g, "aten.split_copy.Tensor", r.x, qn_vk_int(r.g, 2), qn_vk_int(r.g, 0), QN_VK_LIST(r.g, r.y, other));
    assert_refused(r, QN_ERR_FORMAT, "piece 0 is 2 by the operator, 1 by the file");
}

/* Which outputs a list names, and how many there are. */
static void outputs_that_are_missing(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "et_vk.apply_rotary_emb.default", r.x, r.x, r.x, r.x, QN_VK_LIST(r.g, r.y));
    assert_refused(r, QN_ERR_ARGUMENT, "et_vk.apply_rotary_emb.default");
    r = start_f32(qn_shape_2(1, 3));
    QN_VK_CALL(r.g, "aten.split_with_sizes_copy.default", r.x, QN_VK_INTS(r.g, 1, 1), qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_FORMAT, "aten.split_with_sizes_copy.default (node 0)");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "sym_size.int", r.x, qn_vk_int(r.g, 0), r.y);
    assert_refused(r, QN_ERR_FORMAT, "the output is no SymInt");
}

/* ---- operators ------------------------------------------------------------------------------- */

static qn_vk_maker *unknown(const char *a, const char *b)
{
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, a, r.x, r.y);
    QN_VK_CALL(r.g, b, r.x, r.y);
    QN_VK_CALL(r.g, a, r.x, r.y);
    return r.g;
}

static void unknown_operators_are_listed_at_once(void **state)
{
    (void)state;
    qn_program_maker *p = qn_program_make();
    qn_make_method_of(p, "forward", unknown("my.first.default", "aten.relu.default"), false);
    qn_make_method_of(p, "other", unknown("my.second.default", "my.first.default"), false);
    int32_t x = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_1(1), false);
    QN_MAKE_KERNEL(p, "aten::mystery", "out", x);
    qn_fbb file = qn_program_finish(p);
    qn_test_program t;
    qn_assert_ok(qn_test_program_read(file, &t)); /* it can be described */
    const qn_operator_use *uses;
    assert_int_equal(qn_program_operators(t.p, &uses), 5);
    assert_string_equal(uses[1].name, "my.first.default");
    assert_true(uses[0].supported && uses[0].count == 1 && !uses[1].supported && uses[1].count == 2);
    assert_true(uses[2].on_cpu && uses[2].method == 1 && strcmp(uses[2].name, "aten::mystery.out") == 0);
    const qn_device_info device = {.max_buffer_bytes = 1};
    qn_assert_fails(qn_program_plan(t.p, &device), QN_ERR_UNSUPPORTED,
                    "operators that this version does not run: my.first.default (method forward), aten::mystery.out, "
                    "my.second.default");
    qn_test_program_close(&t);
}

/* More of them than a message holds. */
static void a_list_that_is_too_long_says_so(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 3));
    for (int i = 0; i < 100; i++) {
        char name[200];
        snprintf(name, sizeof name, "some.operator%d.%0100d", i, i);
        QN_VK_CALL(r.g, name, r.x, r.y);
    }
    assert_refused(r, QN_ERR_UNSUPPORTED, ", ...");
}

static void delegates_of_others_are_refused_where_they_are_called(void **state)
{
    (void)state;
    for (int called = 0; called < 2; called++) {
        rig r = start_f32(qn_shape_2(2, 3));
        QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
        qn_program_maker *p = qn_program_make();
        qn_program_make_method(p, "forward");
        int32_t x = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_2(2, 3), false);
        int32_t y = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_2(2, 3), false);
        int32_t d = qn_make_delegate_for(p, r.g, "XnnpackBackend");
        if (called) QN_MAKE_CALL(p, d, x, y);
        qn_test_program t;
        qn_status s = qn_test_program_plan(qn_program_finish(p), &t);
        if (called)
            qn_assert_fails(s, QN_ERR_UNSUPPORTED, "delegate XnnpackBackend");
        else
            qn_test_program_close(&t);
    }
}

/* ---- constants ------------------------------------------------------------------------------- */

static void constants_of_other_types(void **state)
{
    (void)state;
    static const int8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    rig r = start_f32(qn_shape_2(2, 2));
    QN_VK_CALL(r.g, "aten.linear.default", r.x, qn_vk_constant_of(r.g, QN_VK_INT8, qn_shape_2(2, 3), bytes),
               qn_vk_null(r.g), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 1 is no matrix of floats");
    r = start_f32(qn_shape_2(2, 2));
    static const uint16_t halves[6] = {0};
    QN_VK_CALL(r.g, "aten.linear.default", r.x, qn_vk_constant_of(r.g, QN_VK_FLOAT16, qn_shape_2(2, 3), halves),
               qn_vk_null(r.g), r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 1 is no matrix of floats");
    r = start_f32(qn_shape_2(2, 3));
    const int64_t large[] = {1, 2, INT64_C(1) << 40};
    QN_VK_CALL(r.g, "aten.add.Tensor", r.x, qn_vk_constant_of(r.g, QN_VK_INT64, qn_shape_1(3), large), r.y);
    assert_refused(r, QN_ERR_LIMIT, "64-bit constant");
    r = start_f32(qn_shape_2(2, 3));
    int32_t c = qn_vk_constant_of(r.g, QN_VK_UINT8, qn_shape_1(6), bytes);
    QN_VK_CALL(r.g, "aten.add.Tensor", r.x, qn_vk_shared(r.g, c, QN_VK_FLOAT32, qn_shape_1(3)), r.y);
    assert_refused(r, QN_ERR_FORMAT, "constant 0 has 6 bytes, its tensor 12");
    r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "et_vk.prepack.default", r.x, r.y);
    assert_refused(r, QN_ERR_UNSUPPORTED, "argument 0 is no constant");
}

static void embedding_tables_without_rows(void **state)
{
    (void)state;
    rig r = start_f32(qn_shape_2(2, 4));
    int32_t ids = qn_vk_tensor_of(r.g, QN_VK_INT32, qn_shape_1(2));
    qn_vk_input(r.g, ids);
    int32_t codes = qn_vk_constant_of(r.g, QN_VK_UINT8, qn_shape_2(0, 2), "");
    int32_t scales = qn_vk_f32_constant(r.g, qn_shape_2(0, 1), F(0));
    QN_VK_CALL(r.g, "et_vk.embedding_q4gsw.default", codes, scales, qn_vk_int(r.g, 4), ids, qn_vk_bool(r.g, true), r.y);
    assert_refused(r, QN_ERR_FORMAT, "the weight is no matrix of 4-bit codes");
}

/* ---- methods --------------------------------------------------------------------------------- */

static qn_vk_maker *relu(void)
{
    rig r = start_f32(qn_shape_2(2, 3));
    QN_VK_CALL(r.g, "aten.relu.default", r.x, r.y);
    return r.g;
}

static qn_status plan_program(qn_program_maker *p)
{
    qn_test_program t;
    qn_status s = qn_test_program_plan(qn_program_finish(p), &t);
    if (s.code == QN_OK) qn_test_program_close(&t);
    return s;
}

static void calls_that_do_not_fit_the_delegate(void **state)
{
    (void)state;
    static const char *const whys[] = {"with 1 inputs and 1 outputs is called with 3 values",
                                       "is [2,3] there and [2,4] in the method",
                                       "has the element type i32, which cannot be f32",
                                       "is no tensor",
                                       "is not row-major",
                                       "delegate 0 is called twice"};
    for (int i = 0; i < 7; i++) {
        qn_program_maker *p = qn_program_make();
        qn_program_make_method(p, "forward");
        int32_t x = qn_make_tensor(p, i == 2 ? QN_SCALAR_INT32 : QN_SCALAR_F32, qn_shape_2(2, i == 1 ? 4 : 3), false);
        int32_t y = qn_make_tensor(p, QN_SCALAR_F32, qn_shape_2(2, 3), false), n = qn_make_int(p, 1);
        int32_t d = qn_make_delegate(p, relu());
        if (i == 4) qn_make_dim_order(p, x, (const uint8_t[]){1, 0});
        if (i == 0)
            QN_MAKE_CALL(p, d, x, x, y);
        else
            QN_MAKE_CALL(p, d, i == 3 ? n : x, y);
        if (i == 5) QN_MAKE_CALL(p, d, x, y);
        qn_make_input(p, x);
        qn_make_output(p, y);
        if (i < 6)
            qn_assert_fails(plan_program(p), i == 0 || i == 1 ? QN_ERR_FORMAT : QN_ERR_UNSUPPORTED, whys[i]);
        else
            qn_assert_ok(plan_program(p));
    }
}

static void kernels_are_checked(void **state)
{
    (void)state;
    qn_shape s = qn_shape_2(2, 3);
    for (int i = 0; i < 8; i++) {
        qn_program_maker *p = qn_program_make();
        qn_program_make_method(p, "forward");
        int32_t x = qn_make_tensor(p, i == 1 ? QN_SCALAR_INT32 : QN_SCALAR_F32, s, true);
        int32_t y = qn_make_tensor(p, QN_SCALAR_F32, s, true), z = qn_make_tensor(p, QN_SCALAR_F32, s, true);
        int32_t dim = qn_make_int(p, i == 2 ? 2 : 1), none = qn_make_null(p);
        qn_make_input(p, x);
        qn_make_output(p, y);
        if (i == 5) qn_make_dim_order(p, x, (const uint8_t[]){1, 0});
        if (i == 3)
            QN_MAKE_KERNEL(p, "aten::cumsum", "out", x, dim, none, y);
        else if (i == 4)
            QN_MAKE_KERNEL(p, "aten::cumsum", "out", none, dim, none, y, y);
        else if (i == 6)
            QN_MAKE_KERNEL(p, "aten::cumsum", "out", y, dim, none, y, y);
        else if (i == 7)
            QN_MAKE_KERNEL(p, "aten::cumsum", "out", x, dim, none, z, y);
        else
            QN_MAKE_KERNEL(p, "aten::cumsum", "out", x, dim, none, y, y);
        static const char *const whys[] = {"",
                                           "only f32 is supported",
                                           "its dimension is none of the tensor's",
                                           "4 arguments, 5 are needed",
                                           "argument 0 is no tensor",
                                           "argument 0 is not row-major",
                                           "argument 0 is the output",
                                           "argument 3 is not the output"};
        qn_status status = plan_program(p);
        if (i == 0)
            qn_assert_ok(status);
        else
            qn_test_assert_fails(status, status.code, whys[i], "a wrong kernel call", __FILE__, __LINE__);
        assert_true((i == 0) == (status.code == QN_OK) && (i == 0 || strstr(status.text, "aten::cumsum")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_stand_for_one_another),
        cmocka_unit_test(ends_of_slices_may_be_anything),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(dimensions_are_those_of_the_tensor),
        cmocka_unit_test(kinds_are_checked),
        cmocka_unit_test(wrong_arguments_of_every_operator),
        cmocka_unit_test(arguments_that_are_missing),
        cmocka_unit_test(values_must_be_computed_before_they_are_used),
        cmocka_unit_test(shapes_that_contradict_the_file),
        cmocka_unit_test(outputs_that_are_missing),
        cmocka_unit_test(unknown_operators_are_listed_at_once),
        cmocka_unit_test(a_list_that_is_too_long_says_so),
        cmocka_unit_test(delegates_of_others_are_refused_where_they_are_called),
        cmocka_unit_test(constants_of_other_types),
        cmocka_unit_test(embedding_tables_without_rows),
        cmocka_unit_test(calls_that_do_not_fit_the_delegate),
        cmocka_unit_test(kernels_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
