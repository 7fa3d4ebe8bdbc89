/* Calls after the first ones: no host allocation, no GPU object, one pass and one submit; nothing is planned again but
 * what a changed shape or number is for. */
#include <stdlib.h>
#include <string.h>

#include "support/gpu_harness.h"
#include "support/program_harness.h"

static qn_test_allocator allocator;
static qn_engine *engine;

static int set_up(void **state)
{
    qn_test_allocator_init(&allocator);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.allocator = &allocator.allocator}, &engine));
    *state = engine;
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(*state);
    return allocator.blocks != 0;
}

static qn_program *open_export(const char *path)
{
    qn_program *p;
    qn_assert_ok(qn_program_open(engine, path, NULL, &p));
    return p;
}

/* ---- a language model ------------------------------------------------------------------------ */

static uint64_t step(qn_program *p, uint32_t n, int64_t pos)
{
    int64_t tokens[64];
    for (int i = 0; i < 64; i++) tokens[i] = (pos + i * 7) % 250;
    qn_assert_ok(QN_CALL(p, {qn_shape_2(1, n), tokens}, {qn_shape_1(1), &pos}));
    qn_execute_counts counts = qn_graph_execute_counts(qn_program_graph(p, 0, 0));
    assert_int_equal(counts.objects_made, 0);
    assert_int_equal(counts.passes, 1);
    assert_int_equal(counts.submits, 1);
    assert_non_null(qn_program_output_data(p, 0, 0).data);
    return counts.nodes_planned;
}

static void a_language_model_allocates_nothing(void **state)
{
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        qn_program *p = open_export(m ? QN_SOURCE_DIR "/tests/data/executorch/qwen3_tiny/model.pte"
                                      : QN_SOURCE_DIR "/tests/data/executorch/llama_tiny/model.pte");
        uint64_t n_nodes = qn_program_method(p, 0).n_nodes;
        step(p, 17, 0);
        step(p, 1, 17);
        uint64_t calls = allocator.calls;
        for (int64_t pos = 18; pos < 30; pos++) { /* decoding: what the position says, and nothing else */
            uint64_t planned = step(p, 1, pos);
            assert_true(planned > 0 && planned < n_nodes / 2);
            assert_int_equal(step(p, 1, pos), 0); /* the same call again */
        }
        static const uint32_t lengths[] = {5, 40, 1, 2, 17, 33, 1};
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            assert_true(step(p, lengths[i], (int64_t)i) > 0);
            assert_int_equal(step(p, lengths[i], (int64_t)i), 0);
        }
        qn_assert_ok(qn_program_reset(p, 0));
        step(p, 17, 0);
        assert_int_equal(allocator.calls, calls);
        qn_program_close(p);
    }
}

/* Wrong calls in between take nothing either. */
static void refused_calls_allocate_nothing(void **state)
{
    (void)state;
    qn_program *p = open_export(QN_SOURCE_DIR "/tests/data/executorch/llama_tiny/model.pte");
    step(p, 17, 0);
    uint64_t calls = allocator.calls;
    const int64_t tokens[2] = {1, 2}, beyond = 1000, outside[1] = {256};
    for (int64_t pos = 17; pos < 20; pos++) {
        qn_assert_fails(QN_CALL(p, {qn_shape_2(1, 2), tokens}, {qn_shape_1(1), &beyond}), QN_ERR_ARGUMENT, "forward");
        qn_assert_fails(QN_CALL(p, {qn_shape_2(1, 1), outside}, {qn_shape_1(1), &pos}), QN_ERR_ARGUMENT,
                        "is the id 256");
        step(p, 1, pos);
    }
    assert_int_equal(allocator.calls, calls);
    qn_program_close(p);
}

/* ---- prepared calls -------------------------------------------------------------------------- */

enum { N_VOCAB = 256, N_STEPS = 6 };

/* Logits of a prompt and single tokens after it. prepare: 0 nothing; 1 the call that follows; 2 a call of another
 * length; 3 a call that is refused; 4 the call that follows, with another token. */
static void generate(qn_program *p, int prepare, float logits[N_STEPS][N_VOCAB])
{
    const int64_t tokens[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}, other[3] = {11, 12, 13};
    const int64_t beyond = 1000;
    int64_t pos = 0;
    qn_assert_ok(qn_program_reset(p, 0));
    for (uint32_t i = 0; i < N_STEPS; i++) {
        uint32_t n = i ? 1 : 5;
        int64_t next = pos + n;
        const qn_program_tensor in[] = {{qn_shape_2(1, n), tokens + pos}, {qn_shape_1(1), &pos}};
        const qn_program_tensor later[] = {{qn_shape_2(1, prepare == 2 ? 3 : 1), prepare == 1 ? tokens + next : other},
                                           {qn_shape_1(1), prepare == 3 ? &beyond : &next}};
        qn_assert_ok(qn_program_submit(p, 0, in, 2));
        if (prepare) qn_program_prepare(p, 0, later, 2);
        for (bool done = false; !done;) qn_assert_ok(qn_program_poll(p, &done));
        qn_program_tensor got = qn_program_output_data(p, 0, 0);
        assert_int_equal(got.shape.dim[1], N_VOCAB);
        memcpy(logits[i], got.data, sizeof logits[i]);
        if (prepare) qn_program_prepare(p, 0, later, 2); /* also after it: what was read stays as it is */
        assert_memory_equal(got.data, logits[i], sizeof logits[i]);
        pos = next;
    }
}

static void prepared_calls_compute_the_same(void **state)
{
    (void)state;
    static float want[N_STEPS][N_VOCAB], got[N_STEPS][N_VOCAB];
    const int64_t token = 1, pos = 0;
    const qn_program_tensor in[] = {{qn_shape_2(1, 1), &token}, {qn_shape_1(1), &pos}};
    qn_program *p = open_export(QN_SOURCE_DIR "/tests/data/executorch/llama_tiny/model.pte");
    qn_program_prepare(p, 0, in, 2); /* before the first call; and what is none */
    qn_program_prepare(p, 0, in, 1);
    qn_program_prepare(p, 7, in, 2);
    generate(p, 0, want);
    uint64_t calls = allocator.calls;
    for (int prepare = 1; prepare <= 4; prepare++) {
        generate(p, prepare, got);
        assert_memory_equal(got, want, sizeof want);
    }
    assert_int_equal(allocator.calls, calls);
    /* What is wanted may change in between. */
    qn_program_prepare(p, 0, in, 2);
    qn_assert_ok(qn_program_want(p, 0, 0, false));
    qn_assert_ok(qn_test_call(p, 0, in, 2));
    assert_null(qn_program_output_data(p, 0, 0).data);
    qn_program_prepare(p, 0, in, 2);
    qn_assert_ok(qn_program_want(p, 0, 0, true));
    qn_assert_ok(qn_test_call(p, 0, in, 2));
    assert_non_null(qn_program_output_data(p, 0, 0).data);
    qn_program_close(p);
}

/* ---- kernels between delegates --------------------------------------------------------------- */

static void kernels_allocate_nothing(void **state)
{
    (void)state;
    const float x[15] = {1, 2, 3}, y[15] = {4, 5, 6};
    qn_program *p = open_export(QN_SOURCE_DIR "/tests/data/executorch/partial_cumsum/model.pte");
    uint64_t calls = 0;
    for (int i = 0; i < 4; i++) {
        qn_assert_ok(QN_CALL(p, {qn_shape_2(3, 5), x}, {qn_shape_2(3, 5), y}));
        if (i == 1) calls = allocator.calls;
    }
    assert_int_equal(allocator.calls, calls);
    qn_program_close(p);
}

/* ---- what is planned ------------------------------------------------------------------------- */

/* Two branches: relu(x) follows the shape of x; a row of y follows the position. */
static void only_what_depends_on_a_change_is_planned(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_2(8, 4)), a = qn_vk_f32(g, qn_shape_2(8, 4)), b = qn_vk_f32(g, qn_shape_2(8, 4));
    int32_t y = qn_vk_f32(g, qn_shape_2(6, 4)), at = qn_vk_tensor_of(g, QN_VK_INT64, qn_shape_1(1));
    int32_t pos = qn_vk_symint(g), row = qn_vk_f32(g, qn_shape_1(4)), zero = qn_vk_int(g, 0);
    qn_vk_input(g, x);
    qn_vk_input(g, y);
    qn_vk_input(g, at);
    QN_VK_CALL(g, "aten.relu.default", x, a);
    QN_VK_CALL(g, "aten.neg.default", a, b);
    QN_VK_CALL(g, "et_vk.select_as_symint.default", at, zero, zero, pos);
    QN_VK_CALL(g, "aten.select_copy.int", y, zero, pos, row);
    qn_vk_output(g, b);
    qn_vk_output(g, row);
    qn_test_program t = qn_test_program_open(engine, qn_dynamic_program_of(g));
    qn_graph *graph = qn_program_graph(t.p, 0, 0);
    const float data[32] = {-1, 2};
    static const struct {
        uint32_t rows;
        int64_t pos;
        uint64_t planned;
    } calls[] = {{8, 0, 4}, {8, 0, 0}, {3, 0, 2}, {3, 0, 0}, {3, 5, 2}, {3, 5, 0}, {8, 5, 2}, {1, 1, 4}, {1, 1, 0}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const float lines[24] = {[20] = 7, [4] = 5};
        qn_assert_ok(QN_CALL(t.p, {qn_shape_2(calls[i].rows, 4), data}, {qn_shape_2(6, 4), lines},
                             {qn_shape_1(1), &calls[i].pos}));
        assert_int_equal(qn_graph_execute_counts(graph).nodes_planned, calls[i].planned);
        const float *got = qn_program_output_data(t.p, 0, 1).data;
        assert_true(got[0] == lines[calls[i].pos * 4]);
        got = qn_program_output_data(t.p, 0, 0).data;
        assert_true(got[0] == 0 && got[1] == -2);
        assert_int_equal(qn_program_output_data(t.p, 0, 0).shape.dim[0], calls[i].rows);
    }
    qn_test_program_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_language_model_allocates_nothing),       cmocka_unit_test(refused_calls_allocate_nothing),
        cmocka_unit_test(prepared_calls_compute_the_same),          cmocka_unit_test(kernels_allocate_nothing),
        cmocka_unit_test(only_what_depends_on_a_change_is_planned),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
