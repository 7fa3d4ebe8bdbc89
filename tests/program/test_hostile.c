/* Programs that nobody vouches for: damaged exports are planned, and those that can be are executed; files made to cost
 * much for their size are refused or done in seconds. Under the sanitizers a read past the end is seen: every file lies
 * in memory of exactly its size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "ops/op.h"
#include "support/gpu_harness.h"
#include "support/model_harness.h"
#include "support/program_harness.h"

enum { FLIPS = 10000, RUN_EVERY = 40, MOST_INPUTS = 8, MOST_ELEMENTS = 1 << 16, MOST_SECONDS = 20 };

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

static const char *const models[] = {QN_SOURCE_DIR "/tests/data/executorch/sdpa_dyn_state/model.pte",
                                     QN_SOURCE_DIR "/tests/data/executorch/dq8_m4/model.pte",
                                     QN_SOURCE_DIR "/tests/data/executorch/partial_cumsum/model.pte",
                                     QN_SOURCE_DIR "/tests/data/executorch/rope_table_dynpos/model.pte"};
enum { N_MODELS = sizeof models / sizeof models[0] };

/* ---- damaged files --------------------------------------------------------------------------- */

static bool is_planned(const uint8_t *data, size_t size)
{
    const qn_device_info device = qn_core_device();
    const qn_program_memory file = {"test.pte", data, size};
    qn_test_allocator a;
    qn_program *p = NULL;
    qn_test_allocator_init(&a);
    qn_status s = qn_program_read_memory(&a.allocator, &file, 1, &p);
    if (s.code == QN_OK) s = qn_program_plan(p, &device);
    if (s.code != QN_OK && (!s.text[0] || s.code == QN_ERR_INTERNAL)) fail_msg("a failure says \"%s\"", s.text);
    qn_program_close(p);
    assert_int_equal(a.blocks, 0);
    return s.code == QN_OK;
}

/* A call with inputs of the largest shapes, all zero, unless they are too large for a test. */
static void execute(const uint8_t *data, size_t size)
{
    static const uint64_t zeros[MOST_ELEMENTS];
    const qn_program_memory file = {"test.pte", data, size};
    qn_program_tensor inputs[MOST_INPUTS];
    qn_program *p = NULL;
    qn_assert_ok(qn_program_read_memory(NULL, &file, 1, &p));
    uint32_t n = qn_program_method(p, 0).n_inputs;
    bool fits = n <= MOST_INPUTS;
    for (uint32_t i = 0; fits && i < n; i++) {
        inputs[i] = (qn_program_tensor){qn_program_input(p, 0, i).shape, zeros};
        fits = qn_shape_count(&inputs[i].shape) <= MOST_ELEMENTS;
    }
    if (fits && qn_program_build(p, engine).code == QN_OK) {
        qn_status s = qn_test_call(p, 0, inputs, n);
        if (s.code != QN_OK) assert_true(s.text[0] && s.code != QN_ERR_INTERNAL);
    }
    qn_program_close(p);
}

static void cut_off(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MODELS; m++) {
        qn_test_bytes whole = qn_test_read(models[m] + sizeof QN_SOURCE_DIR);
        assert_true(is_planned(whole.data, whole.size));
        for (size_t size = 0; size < whole.size; size += 64) {
            uint8_t *part = malloc(size + !size);
            memcpy(part, whole.data, size);
            if (is_planned(part, size)) execute(part, size);
            free(part);
        }
        free(whole.data);
    }
}

static void flipped_bytes(void **state)
{
    (void)state;
    size_t n_planned = 0;
    for (size_t m = 0; m < N_MODELS; m++) {
        qn_test_bytes file = qn_test_read(models[m] + sizeof QN_SOURCE_DIR);
        uint8_t *copy = malloc(file.size);
        for (uint64_t i = 0; i < FLIPS / N_MODELS; i++) {
            memcpy(copy, file.data, file.size);
            for (uint64_t k = 0; k <= i % 3; k++) {
                uint32_t at = qn_test_random(m, i * 8 + k), change = qn_test_random(m, i * 8 + 4 + k);
                copy[at % file.size] ^= (uint8_t)(1 + change % 255);
            }
            if (is_planned(copy, file.size) && n_planned++ % RUN_EVERY == 0) execute(copy, file.size);
        }
        free(copy);
        free(file.data);
    }
    assert_true(n_planned > FLIPS / 10); /* most of a file is constants and names */
}

/* ---- files that cost much -------------------------------------------------------------------- */

/* Seconds of this process since a moment. */
static double seconds_since(clock_t from)
{
    return (double)(clock() - from) / CLOCKS_PER_SEC;
}

static qn_status planned_in_time(qn_fbb file)
{
    clock_t from = clock();
    qn_test_program t;
    qn_status s = qn_test_program_plan(file, &t);
    if (s.code == QN_OK) qn_test_program_close(&t);
    if (seconds_since(from) > MOST_SECONDS) fail_msg("%g seconds", seconds_since(from));
    return s;
}

/* A chain of so many operators, all results alive to the end. */
static void many_operators(void **state)
{
    (void)state;
    for (uint32_t n = 20000; n <= 70000; n += 50000) {
        qn_vk_maker *g = qn_vk_make();
        int32_t x = qn_vk_f32(g, qn_shape_1(4)), sum = x;
        qn_vk_input(g, x);
        for (uint32_t i = 0; i < n; i++) {
            int32_t y = qn_vk_f32(g, qn_shape_1(4));
            QN_VK_CALL(g, "aten.add.Tensor", i % 2 ? sum : x, x, y);
            sum = y;
        }
        qn_vk_output(g, sum);
        qn_status s = planned_in_time(qn_program_of(g));
        if (n <= 65536)
            qn_assert_ok(s);
        else
            qn_assert_fails(s, QN_ERR_LIMIT, "too many operators");
    }
}

/* One operator that makes many nodes, named again and again. */
static void many_nodes_for_an_operator(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(64)), outs[64], dim = qn_vk_int(g, 0), one = qn_vk_int(g, 1);
    qn_vk_input(g, x);
    for (int i = 0; i < 64; i++) outs[i] = qn_vk_f32(g, qn_shape_1(1));
    int32_t list = qn_vk_list(g, 64, outs);
    for (int i = 0; i < 20000; i++) QN_VK_CALL(g, "aten.split_copy.Tensor", x, one, dim, list);
    qn_vk_output(g, outs[0]);
    qn_assert_fails(planned_in_time(qn_program_of(g)), QN_ERR_LIMIT, "too many operators");
}

/* Constants that are all different. */
static void many_constants(void **state)
{
    (void)state;
    const float data[8] = {0};
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(1)), sum = x;
    qn_vk_input(g, x);
    for (int i = 0; i < 20000; i++) {
        int32_t y = qn_vk_f32(g, qn_shape_1(1));
        QN_VK_CALL(g, "aten.add.Tensor", sum, qn_vk_f32_constant(g, qn_shape_1(1), data), y);
        sum = y;
    }
    qn_vk_output(g, sum);
    qn_assert_ok(planned_in_time(qn_program_of(g)));
}

/* Many names of operators, none of them known. */
static void many_unknown_operators(void **state)
{
    (void)state;
    qn_vk_maker *g = qn_vk_make();
    int32_t x = qn_vk_f32(g, qn_shape_1(1));
    qn_vk_input(g, x);
    for (int i = 0; i < 50000; i++) {
        char name[32];
        snprintf(name, sizeof name, "operator%d", i);
        QN_VK_CALL(g, name, x, x);
    }
    qn_assert_fails(planned_in_time(qn_program_of(g)), QN_ERR_UNSUPPORTED, ", ...");
}

/* Every delegate of the file has the same data, in the flatbuffer or in a segment. */
static void many_delegates_with_one_graph(void **state)
{
    (void)state;
    for (int segments = 0; segments < 2; segments++) {
        qn_vk_maker *g = qn_vk_make();
        int32_t x = qn_vk_f32(g, qn_shape_1(1));
        qn_vk_input(g, x);
        for (int i = 0; i < 3000; i++) {
            int32_t y = qn_vk_f32(g, qn_shape_1(1));
            QN_VK_CALL(g, "aten.relu.default", x, y);
            x = y;
        }
        qn_vk_output(g, x);
        qn_program_maker *p = qn_program_make();
        if (segments) qn_program_use_segments(p);
        qn_program_make_method(p, "forward");
        qn_make_delegate(p, g);
        for (int i = 0; i < 2000; i++) qn_make_same_delegate(p, 0);
        qn_assert_fails(planned_in_time(qn_program_finish(p)), QN_ERR_FORMAT,
                        segments ? "too many delegates have the same data" : "refers to the same bytes too often");
    }
}

/* Dimensions whose product is no size of a tensor, and those that nothing can hold. */
static void shapes_without_end(void **state)
{
    (void)state;
    const uint32_t most = UINT32_MAX, large = 1u << 31;
    const qn_shape shapes[] = {{8, {most, most, most, most, most, most, most, most}},
                               {2, {large, large}},
                               {1, {most}},
                               {3, {1 << 16, 1 << 16, 1}},
                               {2, {0, most}},
                               {1, {0}}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        qn_vk_maker *g = qn_vk_make();
        int32_t x = qn_vk_f32(g, shapes[i]), y = qn_vk_f32(g, shapes[i]);
        qn_vk_input(g, x);
        qn_vk_output(g, y);
        QN_VK_CALL(g, "aten.relu.default", x, y);
        qn_status s = planned_in_time(qn_program_of(g));
        assert_true(s.code == QN_ERR_LIMIT || s.code == QN_ERR_ARGUMENT || s.code == QN_ERR_FORMAT);
        g = qn_vk_make(); /* as the result of an operator that makes it of nothing */
        y = qn_vk_f32(g, shapes[i]);
        int32_t sizes[8];
        for (uint32_t k = 0; k < shapes[i].rank; k++) sizes[k] = qn_vk_int(g, shapes[i].dim[k]);
        QN_VK_CALL(g, "aten.zeros.default", qn_vk_list(g, shapes[i].rank, sizes), y);
        qn_vk_output(g, y);
        s = planned_in_time(qn_program_of(g));
        assert_true(s.code == QN_ERR_LIMIT || s.code == QN_ERR_ARGUMENT || s.code == QN_ERR_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_off),
        cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(many_operators),
        cmocka_unit_test(many_nodes_for_an_operator),
        cmocka_unit_test(many_constants),
        cmocka_unit_test(many_unknown_operators),
        cmocka_unit_test(many_delegates_with_one_graph),
        cmocka_unit_test(shapes_without_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
