/* What goes wrong around a program: host and GPU memory that ends at any moment, a device that is lost. Everything is
 * given back, and a failure that passes leaves a program that works. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "graph/engine.h"
#include "support/gpu_harness.h"
#include "support/program_harness.h"

static const char path[] = QN_SOURCE_DIR "/tests/data/executorch/sdpa_dyn_state/model.pte";

#define F(...) ((const float[]){__VA_ARGS__})

/* ---- host memory ----------------------------------------------------------------------------- */

/* Opens and plans a program without a device, the allocation numbered fail_at failing. */
static qn_status plan(qn_test_allocator *a, uint64_t fail_at, const char *file)
{
    const qn_device_info device = qn_core_device();
    qn_program *p = NULL;
    qn_test_allocator_init(a);
    a->fail_at = fail_at;
    qn_status s = qn_program_read(&a->allocator, file, NULL, &p);
    if (s.code == QN_OK) {
        s = qn_program_plan(p, &device);
        assert_true(qn_program_method(p, 0).name[0]);
        qn_program_close(p);
    } else {
        assert_null(p);
    }
    return s;
}

static void every_host_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const files[] = {path, QN_SOURCE_DIR "/tests/data/executorch/partial_cumsum/model.pte",
                                        QN_SOURCE_DIR "/tests/data/executorch/dq8_m4/model.pte"};
    for (size_t i = 0; i < 3; i++) {
        qn_test_allocator a;
        qn_assert_ok(plan(&a, 0, files[i]));
        assert_int_equal(a.blocks, 0);
        uint64_t calls = a.calls;
        for (uint64_t n = 1; n <= calls; n++) {
            qn_assert_fails(plan(&a, n, files[i]), QN_ERR_MEMORY, "");
            assert_int_equal(a.blocks, 0);
        }
    }
}

/* The same on a device: an engine that works, then no more host memory from the n-th allocation on, once or for good.
 */
static void host_memory_may_end_while_building(void **state)
{
    (void)state;
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    qn_engine *engine;
    qn_program *p = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.allocator = &a.allocator}, &engine));
    qn_assert_ok(qn_program_open(engine, path, NULL, &p)); /* kernels are the engine's: they stay */
    qn_program_close(p);
    uint64_t before = a.calls, blocks = a.blocks, bytes = qn_engine_gpu_bytes(engine, NULL);
    qn_assert_ok(qn_program_open(engine, path, NULL, &p));
    qn_program_close(p);
    uint64_t calls = a.calls - before;
    assert_int_equal(a.blocks, blocks);
    for (uint64_t n = 1; n <= calls; n += 3) {
        a.fail_at = a.calls + n;
        a.for_good = n % 2;
        qn_assert_fails(qn_program_open(engine, path, NULL, &p), QN_ERR_MEMORY, "");
        assert_null(p);
        a.fail_at = 0;
        assert_int_equal(a.blocks, blocks);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), bytes);
    }
    qn_assert_ok(qn_program_open(engine, path, NULL, &p));
    qn_program_close(p);
    qn_engine_close(engine);
    assert_int_equal(a.blocks, 0);
}

/* ---- GPU memory ------------------------------------------------------------------------------ */

static void gpu_memory_may_end_while_building(void **state)
{
    (void)state;
    uint64_t peak = 0;
    for (uint64_t after = 0, most = 1; after < most; after += most / 12 + 1) {
        qn_test_allocator a;
        qn_test_allocator_init(&a);
        qn_engine *engine;
        qn_program *p = NULL;
        const qn_engine_options options = {.allocator = &a.allocator,
                                           .fail_allocation_after = after ? QN_DUMMY_BYTES + after : 0};
        qn_assert_ok(qn_test_open_engine(options, &engine));
        qn_status s = qn_program_open(engine, path, NULL, &p);
        if (after == 0) { /* nothing fails: how much it takes */
            qn_assert_ok(s);
            most = qn_engine_gpu_bytes(engine, &peak) - QN_DUMMY_BYTES;
            qn_program_close(p);
        } else {
            qn_assert_fails(s, QN_ERR_GPU_MEMORY, "");
            assert_null(p);
        }
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
        qn_engine_close(engine);
        assert_int_equal(a.blocks, 0);
    }
}

/* ---- a lost device --------------------------------------------------------------------------- */

/* Two delegates with a kernel between: the loss may be seen anywhere. */
static qn_fbb two_delegates(void)
{
    qn_shape s = qn_shape_3(4, 128, 128);
    qn_program_maker *p = qn_program_make();
    qn_program_make_method(p, "forward");
    int32_t v[4], dim = qn_make_int(p, 0), none = qn_make_null(p);
    for (int i = 0; i < 4; i++) v[i] = qn_make_tensor(p, QN_SCALAR_F32, s, false);
    for (int i = 0; i < 2; i++) {
        qn_vk_maker *g = qn_vk_make();
        int32_t x = qn_vk_f32(g, s), y = qn_vk_f32(g, s);
        qn_vk_input(g, x);
        qn_vk_output(g, y);
        QN_VK_CALL(g, "aten.bmm.default", x, x, y);
        if (i) QN_MAKE_KERNEL(p, "aten::cumsum", "out", v[1], dim, none, v[2], v[2]);
        QN_MAKE_CALL(p, qn_make_delegate(p, g), v[2 * i], v[2 * i + 1]);
    }
    qn_make_input(p, v[0]);
    qn_make_output(p, v[3]);
    return qn_program_finish(p);
}

static void a_lost_device_ends_calls(void **state)
{
    (void)state;
    float *data = qn_test_floats(4 * 128 * 128, 1, 0.1f);
    const qn_program_tensor in = {qn_shape_3(4, 128, 128), data};
    for (int when = 0; when < 3; when++) { /* before a call; while one runs, polled; while one runs, closed at once */
        qn_engine *engine = qn_test_engine(NULL);
        qn_test_program t = qn_test_program_open(engine, two_delegates());
        if (when > 0) qn_assert_ok(qn_program_submit(t.p, 0, &in, 1));
        qn_engine_lose_device(engine);
        if (when < 2) {
            bool done = false;
            qn_status s = qn_ok();
            for (int i = 0; when && i < 1000 && !done && s.code == QN_OK; i++) s = qn_program_poll(t.p, &done);
            if (when) qn_assert_fails(s, QN_ERR_DEVICE_LOST, "method forward");
            if (when) assert_false(done);
            assert_null(qn_program_output_data(t.p, 0, 0).data);
            for (int turn = 0; turn < 2; turn++) {
                qn_assert_fails(qn_program_submit(t.p, 0, &in, 1), QN_ERR_DEVICE_LOST, "open a new one");
#ifndef QN_NO_BLOCKING
                qn_assert_fails(qn_program_execute(t.p, 0, &in, 1), QN_ERR_DEVICE_LOST, "open a new one");
#endif
            }
            assert_null(qn_program_output_data(t.p, 0, 0).data);
        }
        qn_test_program_close(&t);
        qn_test_program late;
        qn_assert_fails(qn_test_program_build(engine, two_delegates(), &late), QN_ERR_DEVICE_LOST, "");
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
        qn_engine_close(engine);
    }
    free(data);
}

/* Resetting the states of a program whose device is lost. */
static void a_lost_device_cannot_be_reset(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_program *p = NULL;
    qn_assert_ok(qn_program_open(engine, path, NULL, &p));
    assert_true(qn_program_method(p, 0).n_states > 0);
    qn_assert_ok(qn_program_reset(p, 0));
    qn_engine_lose_device(engine);
    qn_assert_fails(qn_program_reset(p, 0), QN_ERR_DEVICE_LOST, "open a new one");
    qn_program_close(p);
    qn_engine_close(engine);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    qn_program *p;
    qn_assert_fails(qn_program_read(NULL, QN_BUILD_DIR "/no such file.pte", NULL, &p), QN_ERR_IO, "no such file.pte");
    assert_null(p);
    qn_assert_fails(qn_program_read_memory(NULL, NULL, 0, &p), QN_ERR_ARGUMENT, "no file");
    const char *const data_files[] = {QN_BUILD_DIR "/no such file.ptd"};
    const qn_program_options options = {data_files, 1};
    qn_assert_fails(qn_program_read(NULL, path, &options, &p), QN_ERR_IO, "no such file.ptd");
    const qn_program_memory nothing = {"nothing.pte", "", 0};
    qn_assert_fails(qn_program_read_memory(NULL, &nothing, 1, &p), QN_ERR_FORMAT, "nothing.pte");
    const qn_program_memory nameless = {NULL, "", 0};
    qn_assert_fails(qn_program_read_memory(NULL, &nameless, 1, &p), QN_ERR_FORMAT, "a file in memory");
    qn_program_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_host_allocation_may_fail),    cmocka_unit_test(host_memory_may_end_while_building),
        cmocka_unit_test(gpu_memory_may_end_while_building), cmocka_unit_test(a_lost_device_ends_calls),
        cmocka_unit_test(a_lost_device_cannot_be_reset),     cmocka_unit_test(files_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
