/* What a program keeps from call to call: caches inside its delegates, values that kernels write, and inputs that a
 * delegate writes in place. */
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

#define F(...) ((const float[]){__VA_ARGS__})
static const qn_tolerance exactly = {0, 0};

/* A cache of 3 rows of 4; a row or two are written at a position that is an input. */
static const float first[12] = {1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};

static qn_shape rows(uint32_t n)
{
    return qn_shape_4(1, n, 1, 4);
}

typedef struct rig {
    qn_vk_maker *g;
    int32_t x, pos, dummy;
} rig;

static rig start(void)
{
    qn_vk_maker *g = qn_vk_make();
    rig r = {.g = g, .x = qn_vk_f32(g, rows(2)), .pos = qn_vk_symint(g)};
    int32_t at = qn_vk_tensor_of(g, QN_VK_INT64, qn_shape_1(1)), zero = qn_vk_int(g, 0);
    r.dummy = qn_vk_f32(g, qn_shape_1(1));
    qn_vk_input(g, r.x);
    qn_vk_input(g, at);
    QN_VK_CALL(g, "et_vk.select_as_symint.default", at, zero, zero, r.pos);
    return r;
}

/* x of n rows of the number, written at pos. */
static qn_status call(qn_program *p, float number, uint32_t n, int64_t pos)
{
    float x[8];
    for (int i = 0; i < 8; i++) x[i] = number;
    return QN_CALL(p, {rows(n), x}, {qn_shape_1(1), &pos});
}

/* Output i is a cache whose rows are these numbers. */
static void cache_is(const qn_program *p, uint32_t i, float a, float b, float c)
{
    const float want[12] = {a, a, a, a, b, b, b, b, c, c, c, c};
    qn_test_output_f32(p, i, rows(3), want, exactly);
}

/* ---- caches inside a delegate ---------------------------------------------------------------- */

/* The cache as the exporter writes it: a constant, prepacked, which update_cache then writes. */
static qn_fbb one_cache(void)
{
    rig r = start();
    int32_t cache = qn_vk_f32(r.g, rows(3));
    QN_VK_CALL(r.g, "et_vk.prepack.default", qn_vk_f32_constant(r.g, rows(3), first), cache);
    QN_VK_CALL(r.g, "update_cache.default", r.x, cache, r.pos, r.dummy);
    qn_vk_output(r.g, cache);
    qn_vk_output(r.g, r.dummy);
    return qn_dynamic_program_of(r.g);
}

static void caches_are_kept_until_reset(void **state)
{
    (void)state;
    qn_test_program t = qn_test_program_open(engine, one_cache());
    assert_int_equal(qn_program_method(t.p, 0).n_states, 1);
    qn_assert_ok(call(t.p, 7, 1, 1));
    cache_is(t.p, 0, 1, 7, 3);
    qn_assert_ok(call(t.p, 8, 2, 1));
    cache_is(t.p, 0, 1, 8, 8);
    qn_test_output_f32(t.p, 1, qn_shape_1(1), F(0), exactly); /* what nothing computes is zero */
    qn_assert_ok(qn_program_reset(t.p, 0));
    qn_assert_ok(call(t.p, 9, 1, 0));
    cache_is(t.p, 0, 9, 2, 3);
    qn_assert_fails(qn_program_reset(t.p, 1), QN_ERR_ARGUMENT, "no method 1");
    qn_test_program_close(&t);
}

static void failed_calls_leave_states_as_they_were(void **state)
{
    (void)state;
    const int64_t wrong[] = {3, 2, -1, INT32_MAX, INT64_C(1) << 40};
    qn_test_program t = qn_test_program_open(engine, one_cache());
    qn_assert_ok(call(t.p, 7, 1, 2));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        qn_assert_fails(call(t.p, 8, 2, wrong[i]), QN_ERR_ARGUMENT, "method forward");
        assert_null(qn_program_output_data(t.p, 0, 0).data);
    }
    qn_assert_fails(call(t.p, 8, 3, 0), QN_ERR_ARGUMENT, "input 0");
    qn_assert_ok(call(t.p, 6, 1, 0));
    cache_is(t.p, 0, 6, 2, 7);
    qn_test_program_close(&t);
}

/* Two caches that start from one constant: by two prepacks, as two tensors with that constant, without prepack. */
static void caches_of_one_constant_are_two(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        rig r = start();
        int32_t c = qn_vk_f32_constant(r.g, rows(3), first);
        int32_t d = how == 0 ? c : qn_vk_shared(r.g, c, QN_VK_FLOAT32, rows(3)), a = c, b = d;
        if (how < 2) {
            a = qn_vk_f32(r.g, rows(3));
            b = qn_vk_f32(r.g, rows(3));
            QN_VK_CALL(r.g, "et_vk.prepack.default", c, a);
            QN_VK_CALL(r.g, "et_vk.prepack.default", d, b);
        }
        int32_t more = qn_vk_f32(r.g, rows(2)), unwritten = qn_vk_f32(r.g, rows(3)), y = qn_vk_f32(r.g, rows(3));
        QN_VK_CALL(r.g, "aten.add.Scalar", r.x, qn_vk_int(r.g, 1), more);
        QN_VK_CALL(r.g, "update_cache.default", r.x, a, r.pos, r.dummy);
        QN_VK_CALL(r.g, "update_cache.default", more, b, r.pos, r.dummy);
        /* the constant itself, read as one */
        QN_VK_CALL(r.g, "et_vk.prepack.default", qn_vk_shared(r.g, c, QN_VK_FLOAT32, rows(3)), unwritten);
        QN_VK_CALL(r.g, "aten.neg.default", unwritten, y);
        qn_vk_output(r.g, a);
        qn_vk_output(r.g, b);
        qn_vk_output(r.g, y);
        qn_test_program t = qn_test_program_open(engine, qn_dynamic_program_of(r.g));
        assert_int_equal(qn_program_method(t.p, 0).n_states, 2);
        qn_assert_ok(call(t.p, 7, 1, 0));
        qn_assert_ok(call(t.p, 5, 1, 2));
        cache_is(t.p, 0, 7, 2, 5);
        cache_is(t.p, 1, 8, 2, 6);
        cache_is(t.p, 2, -1, -2, -3);
        qn_test_program_close(&t);
    }
}

/* What an operator read of a cache before it was written stays. */
static void views_of_caches_are_copies(void **state)
{
    (void)state;
    rig r = start();
    int32_t cache = qn_vk_f32(r.g, rows(3)), before = qn_vk_f32(r.g, qn_shape_2(3, 4));
    int32_t after = qn_vk_f32(r.g, qn_shape_2(3, 4)), sizes = QN_VK_INTS(r.g, 3, 4);
    QN_VK_CALL(r.g, "et_vk.prepack.default", qn_vk_f32_constant(r.g, rows(3), first), cache);
    QN_VK_CALL(r.g, "aten.view_copy.default", cache, sizes, before);
    QN_VK_CALL(r.g, "update_cache.default", r.x, cache, r.pos, r.dummy);
    QN_VK_CALL(r.g, "aten.view_copy.default", cache, sizes, after);
    qn_vk_output(r.g, before);
    qn_vk_output(r.g, after);
    qn_test_program t = qn_test_program_open(engine, qn_dynamic_program_of(r.g));
    qn_assert_ok(call(t.p, 7, 1, 0));
    qn_test_output_f32(t.p, 0, qn_shape_2(3, 4), first, exactly);
    qn_test_output_f32(t.p, 1, qn_shape_2(3, 4), F(7, 7, 7, 7, 2, 2, 2, 2, 3, 3, 3, 3), exactly);
    qn_test_program_close(&t);
}

static void states_of_other_types_are_refused(void **state)
{
    (void)state;
    static const int32_t numbers[12] = {0};
    rig r = start();
    QN_VK_CALL(r.g, "update_cache.default", r.x, qn_vk_constant_of(r.g, QN_VK_INT32, rows(3), numbers), r.pos, r.dummy);
    qn_test_program t;
    qn_assert_fails(qn_test_program_plan(qn_dynamic_program_of(r.g), &t), QN_ERR_UNSUPPORTED,
                    "a state of the element type INT32");
}

/* A computed value and a copy of an input: what is written is theirs alone. */
static void computed_values_may_be_written(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        rig r = start();
        int32_t cache = qn_vk_f32(r.g, rows(3)), source = qn_vk_f32(r.g, rows(3));
        qn_vk_input(r.g, source);
        if (i)
            QN_VK_CALL(r.g, "aten.clone.default", source, cache);
        else
            QN_VK_CALL(r.g, "aten.mul.Scalar", source, qn_vk_int(r.g, 1), cache);
        QN_VK_CALL(r.g, "update_cache.default", r.x, cache, r.pos, r.dummy);
        qn_vk_output(r.g, cache);
        qn_vk_output(r.g, source);
        qn_test_program t = qn_test_program_open(engine, qn_program_of(r.g));
        const float x[8] = {7, 7, 7, 7, 8, 8, 8, 8};
        const int64_t pos = 1;
        qn_assert_ok(QN_CALL(t.p, {rows(2), x}, {qn_shape_1(1), &pos}, {rows(3), first}));
        cache_is(t.p, 0, 1, 7, 8);
        cache_is(t.p, 1, 1, 2, 3);
        qn_test_program_close(&t);
    }
}

/* ---- caches that are inputs ------------------------------------------------------------------ */

/* The method takes a cache, the delegate writes it in place and gives it. */
static void inputs_are_written_in_place(void **state)
{
    (void)state;
    rig r = start();
    int32_t cache = qn_vk_f32(r.g, rows(3));
    qn_vk_input(r.g, cache);
    QN_VK_CALL(r.g, "update_cache.default", r.x, cache, r.pos, r.dummy);
    qn_vk_output(r.g, cache);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(r.g));
    assert_int_equal(qn_program_method(t.p, 0).n_states, 0);
    const float x[8] = {7, 7, 7, 7, 8, 8, 8, 8};
    for (int turn = 0; turn < 2; turn++) { /* nothing is left of the call before */
        const int64_t pos = turn;
        float mine[12];
        memcpy(mine, first, sizeof mine);
        qn_assert_ok(QN_CALL(t.p, {rows(2), x}, {qn_shape_1(1), &pos}, {rows(3), mine}));
        cache_is(t.p, 0, turn ? 1 : 7, turn ? 7 : 8, turn ? 8 : 3);
        assert_memory_equal(mine, first, sizeof mine);
    }
    qn_test_program_close(&t);
}

/* ---- values that kernels write --------------------------------------------------------------- */

/* total = total + x: a mutable buffer of the program, written by copy_. */
static void mutable_buffers_are_kept_until_reset(void **state)
{
    (void)state;
    qn_shape s = qn_shape_1(2);
    qn_vk_maker *g = qn_vk_make();
    int32_t a = qn_vk_f32(g, s), b = qn_vk_f32(g, s), sum = qn_vk_f32(g, s);
    qn_vk_input(g, a);
    qn_vk_input(g, b);
    qn_vk_output(g, sum);
    QN_VK_CALL(g, "aten.add.Tensor", a, b, sum);
    qn_program_maker *p = qn_program_make();
    qn_program_make_method(p, "forward");
    int32_t total = qn_make_state(p, QN_SCALAR_F32, s, F(10, 20)), x = qn_make_tensor(p, QN_SCALAR_F32, s, false);
    int32_t y = qn_make_tensor(p, QN_SCALAR_F32, s, false), no = qn_make_int(p, 0);
    QN_MAKE_CALL(p, qn_make_delegate(p, g), total, x, y);
    QN_MAKE_KERNEL(p, "aten::copy_", "", total, y, no, total);
    qn_make_input(p, x);
    qn_make_output(p, y);
    qn_test_program t = qn_test_program_open(engine, qn_program_finish(p));
    qn_assert_ok(QN_CALL(t.p, {s, F(1, 2)}));
    qn_test_output_f32(t.p, 0, s, F(11, 22), exactly);
    qn_assert_ok(QN_CALL(t.p, {s, F(1, 2)}));
    qn_test_output_f32(t.p, 0, s, F(12, 24), exactly);
    qn_assert_ok(qn_program_reset(t.p, 0));
    qn_assert_ok(QN_CALL(t.p, {s, F(5, 5)}));
    qn_test_output_f32(t.p, 0, s, F(15, 25), exactly);
    qn_test_program_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caches_are_kept_until_reset),       cmocka_unit_test(failed_calls_leave_states_as_they_were),
        cmocka_unit_test(caches_of_one_constant_are_two),    cmocka_unit_test(views_of_caches_are_copies),
        cmocka_unit_test(states_of_other_types_are_refused), cmocka_unit_test(computed_values_may_be_written),
        cmocka_unit_test(inputs_are_written_in_place),       cmocka_unit_test(mutable_buffers_are_kept_until_reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
