/* A lost device: every call says so, everything closes, and a new engine computes in the same process. The one
 * exception, a loss first seen inside a submit, is docs/architecture.md's. Loading and sessions: model.load,
 * run.session. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdlib.h>
#include <string.h>

#define assert_lost(call) qn_assert_fails(call, QN_ERR_DEVICE_LOST, "open a new one")

static qn_engine *open_engine(void)
{
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    return engine;
}

/* ---- the graph ------------------------------------------------------------------------------- */

typedef struct small {
    qn_engine *engine;
    qn_weight *w;
    qn_graph *g;
    qn_value x, n, cache, y;
} small;

enum { ROWS = 8, WIDTH = 16 };

/* y = last n rows of silu(x) * w; x is also written to a cache. Not built yet. */
static small open_small(void)
{
    small s = {.engine = open_engine()};
    float *data = qn_test_floats(WIDTH, 1, 1.0f);
    s.w = qn_test_plain(s.engine, "w", qn_shape_1(WIDTH), data);
    free(data);
    s.g = qn_test_graph(s.engine);
    s.x = qn_graph_input(s.g, "x", QN_F32, qn_shape_2(ROWS, WIDTH));
    s.n = qn_graph_int(s.g, "n", ROWS);
    s.cache = qn_graph_state(s.g, "cache", QN_F32, qn_shape_4(1, 2 * ROWS, 1, WIDTH));
    qn_update_cache(s.g, qn_view(s.g, s.x, qn_shape_4(1, 0, 1, WIDTH)), s.cache, s.n);
    qn_value h = qn_rms_norm(s.g, qn_silu(s.g, s.x), qn_graph_weight(s.g, s.w), 1e-5f);
    s.y = qn_last_rows(s.g, h, s.n, ROWS);
    qn_graph_output(s.g, s.y, "y");
    return s;
}

static void close_small(small *s)
{
    qn_graph_close(s->g);
    qn_weight_free(s->w);
    assert_int_equal(qn_engine_gpu_bytes(s->engine, NULL), QN_DUMMY_BYTES);
    qn_engine_close(s->engine);
}

static void set_small(const small *s, uint32_t rows)
{
    float *x = qn_test_floats(ROWS * WIDTH, 2, 1.0f);
    qn_assert_ok(qn_graph_set_input(s->g, s->x, qn_shape_2(rows, WIDTH), x));
    qn_assert_ok(qn_graph_set_int(s->g, s->n, 2));
    free(x);
}

/* A fresh engine computes what the one before did. */
static void assert_works_again(const float *want)
{
    small s = open_small();
    qn_assert_ok(qn_graph_build(s.g));
    set_small(&s, 4);
    const float *y = qn_test_run(s.g, s.y, qn_shape_2(2, WIDTH));
    if (want) assert_memory_equal(y, want, 2 * WIDTH * sizeof *want);
    close_small(&s);
}

/* Every entry point of a built graph. */
static void assert_graph_lost(const small *s)
{
    float x[ROWS * WIDTH] = {0}, cache[2 * ROWS * WIDTH] = {0};
    bool done = true;
    for (int turn = 0; turn < 2; turn++) {
        assert_lost(qn_graph_set_input(s->g, s->x, qn_shape_2(3, WIDTH), x));
        assert_lost(qn_graph_set_int(s->g, s->n, 1));
        assert_lost(qn_graph_submit(s->g));
        assert_lost(qn_graph_poll(s->g, &done));
        assert_false(done);
        assert_lost(qn_graph_write_state(s->g, s->cache, cache));
        assert_lost(qn_graph_write_state(s->g, s->cache, NULL));
#ifndef QN_NO_BLOCKING
        assert_lost(qn_graph_execute(s->g));
        assert_lost(qn_graph_read_state(s->g, s->cache, cache));
#endif
    }
}

/* And of the engine: nothing new is made on it. */
static void assert_engine_lost(qn_engine *engine)
{
    float data[4] = {0};
    qn_weight *w = NULL;
    qn_graph *g = NULL;
    qn_buffer *buffer = NULL;
    qn_kernel *kernel = NULL;
    qn_encoder *encoder = NULL;
    qn_upload *upload = NULL;
    qn_readback *readback = NULL;
    qn_weight_desc desc = {.name = "late", .kind = QN_WEIGHT_F32, .shape = {1, {4}}, .data = data};
    assert_lost(qn_weight_create(engine, &desc, &w));
    qn_assert_ok(qn_graph_open(engine, &g));
    qn_graph_output(g, qn_silu(g, qn_graph_input(g, "x", QN_F32, qn_shape_1(4))), "y");
    assert_lost(qn_graph_build(g));
    assert_lost(qn_graph_status(g));
    qn_graph_close(g);
    assert_lost(qn_gpu_poll(engine->gpu, false));
    assert_lost(qn_gpu_poll(engine->gpu, true));
    assert_lost(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 64, "late", &buffer));
    assert_lost(qn_test_compile(engine->gpu, qn_test_affine_source, "rw", &kernel));
    assert_lost(qn_upload_create(engine->gpu, 4096, 2, &upload));
    assert_lost(qn_readback_create(engine->gpu, 64, "late", &readback));
    qn_status s = qn_encoder_create(engine->gpu, 0, &encoder);
    if (s.code == QN_OK) assert_lost(qn_encoder_begin(encoder, QN_TIME_NOTHING));
    qn_encoder_free(encoder);
    qn_engine_lose_device(engine); /* once more changes nothing */
}

static void lost_before_build(void **state)
{
    (void)state;
    small s = open_small();
    qn_engine_lose_device(s.engine);
    assert_lost(qn_graph_build(s.g));
    assert_lost(qn_graph_build(s.g));
    assert_lost(qn_graph_status(s.g));
    assert_lost(qn_test_execute(s.g));
    assert_engine_lost(s.engine);
    close_small(&s);
    assert_works_again(NULL);
}

static void lost_between_executes(void **state)
{
    (void)state;
    small s = open_small();
    qn_assert_ok(qn_graph_build(s.g));
    set_small(&s, 4);
    float want[2 * WIDTH];
    memcpy(want, qn_test_run(s.g, s.y, qn_shape_2(2, WIDTH)), sizeof want);
    qn_engine_lose_device(s.engine);
    assert_graph_lost(&s);
    assert_engine_lost(s.engine);
    close_small(&s);
    assert_works_again(want);
}

static void lost_with_a_submit_in_flight(void **state)
{
    (void)state;
    for (int turn = 0; turn < 4; turn++) {
        small s = open_small();
        qn_assert_ok(qn_graph_build(s.g));
        set_small(&s, 4);
        if (turn % 2) qn_assert_ok(qn_graph_want(s.g, s.y, false)); /* nothing is read back */
        qn_assert_ok(qn_graph_submit(s.g));
        qn_engine_lose_device(s.engine);
        bool done = true;
        if (turn < 2) {
            assert_lost(qn_graph_poll(s.g, &done));
            assert_false(done);
            assert_graph_lost(&s);
        }
        close_small(&s); /* also without another word */
    }
    assert_works_again(NULL);
}

static void lost_with_data_mapped(void **state)
{
    (void)state;
    small s = open_small();
    qn_assert_ok(qn_graph_build(s.g));
    set_small(&s, 4);
    assert_non_null(qn_test_run(s.g, s.y, qn_shape_2(2, WIDTH)));
    qn_engine_lose_device(s.engine);
    close_small(&s); /* the outputs were never let go */
    assert_works_again(NULL);
}

/* ---- the layer below ------------------------------------------------------------------------- */

static void lost_while_recording(void **state)
{
    (void)state;
    qn_engine *engine = open_engine();
    qn_test_affine a = qn_test_affine_open(engine->gpu, 64);
    qn_encoder *encoder = NULL;
    qn_assert_ok(qn_encoder_create(engine->gpu, 0, &encoder));
    qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
    qn_test_affine_dispatch(&a, encoder, 0);
    qn_engine_lose_device(engine);
    qn_test_affine_dispatch(&a, encoder, 0);
    assert_lost(qn_encoder_submit(encoder));
    bool done = true;
    assert_lost(qn_encoder_poll(encoder, &done));
    uint32_t word = 0;
    assert_lost(qn_buffer_write(a.x, 0, &word, 4));
    assert_lost(qn_test_read_buffer(engine->gpu, a.x, 0, &word, 4));
    const qn_range ranges[] = {{a.x, 0, 256}, {a.y, 0, 256}};
    qn_bindings *bindings = NULL;
    assert_lost(qn_bindings_create(engine->gpu, a.kernel, a.params, ranges, 2, &bindings));
    qn_encoder_free(encoder);
    qn_test_affine_close(&a);
    qn_engine_close(engine);
}

/* A readback in each of its states: never started, waiting, ready, read. */
static void lost_while_a_readback_waits(void **state)
{
    (void)state;
    for (int turn = 0; turn < 4; turn++) {
        qn_engine *engine = open_engine();
        qn_test_affine a = qn_test_affine_open(engine->gpu, 1 << 16);
        qn_encoder *encoder = NULL;
        qn_readback *readback = NULL;
        qn_assert_ok(qn_encoder_create(engine->gpu, 0, &encoder));
        qn_assert_ok(qn_readback_create(engine->gpu, 4 << 16, "result", &readback));
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
        for (int i = 0; i < 20; i++) qn_test_affine_dispatch(&a, encoder, 0);
        qn_encoder_copy_readback(encoder, a.y, 0, readback, 0, 4 << 16);
        qn_assert_ok(qn_encoder_submit(encoder));
        if (turn > 0) qn_assert_ok(qn_readback_start(readback, 4 << 16));
        if (turn > 1) qn_assert_ok(qn_gpu_poll(engine->gpu, true));
        const void *data = NULL;
        if (turn > 2) qn_assert_ok(qn_readback_poll(readback, &data));
        qn_engine_lose_device(engine);
        if (turn == 0)
            assert_lost(qn_readback_start(readback, 4 << 16));
        else
            assert_lost(qn_readback_poll(readback, &data));
        assert_null(data);
        qn_readback_release(readback);
        qn_readback_free(readback);
        qn_encoder_free(encoder);
        qn_test_affine_close(&a);
        qn_engine_close(engine);
    }
    assert_works_again(NULL);
}

/* A staging slot handed out, being copied, free again. */
static void lost_during_upload(void **state)
{
    (void)state;
    for (int turn = 0; turn < 4; turn++) {
        qn_engine *engine = open_engine();
        qn_buffer *buffer = NULL;
        qn_upload *upload = NULL;
        void *slot = NULL;
        const qn_upload_copy copy = {0, NULL, 0, 1 << 16};
        qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 1 << 16, "weights", &buffer));
        qn_assert_ok(qn_upload_create(engine->gpu, 1 << 16, 2, &upload));
        qn_upload_copy to = copy;
        to.dst = buffer;
        qn_assert_ok(qn_upload_acquire(upload, &slot));
        if (turn > 0) qn_assert_ok(qn_upload_submit(upload, &to, 1));
        if (turn > 1) qn_assert_ok(qn_gpu_poll(engine->gpu, true));
        if (turn > 2) qn_assert_ok(qn_upload_acquire(upload, &slot));
        qn_engine_lose_device(engine);
        if (turn == 0 || turn == 3) assert_lost(qn_upload_submit(upload, &to, 1));
        assert_lost(qn_upload_acquire(upload, &slot));
        assert_null(slot);
        qn_upload_free(upload);
        qn_buffer_free(buffer);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), QN_DUMMY_BYTES);
        qn_engine_close(engine);
    }
    assert_works_again(NULL);
}

static void another_engine_does_not_notice(void **state)
{
    (void)state;
    small a = open_small(), b = open_small();
    qn_assert_ok(qn_graph_build(a.g));
    qn_assert_ok(qn_graph_build(b.g));
    set_small(&a, 4);
    set_small(&b, 4);
    qn_assert_ok(qn_graph_submit(a.g));
    qn_assert_ok(qn_graph_submit(b.g));
    qn_engine_lose_device(a.engine);
    bool done = false;
    while (!done) qn_assert_ok(qn_graph_poll(b.g, &done));
    assert_non_null(qn_graph_output_data(b.g, b.y, NULL));
    assert_lost(qn_graph_poll(a.g, &done));
    close_small(&a);
    assert_non_null(qn_test_run(b.g, b.y, qn_shape_2(2, WIDTH)));
    close_small(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_before_build),
        cmocka_unit_test(lost_between_executes),
        cmocka_unit_test(lost_with_a_submit_in_flight),
        cmocka_unit_test(lost_with_data_mapped),
        cmocka_unit_test(lost_while_recording),
        cmocka_unit_test(lost_while_a_readback_waits),
        cmocka_unit_test(lost_during_upload),
        cmocka_unit_test(another_engine_does_not_notice),
    };
    return cmocka_run_group_tests_name("lost", tests, NULL, NULL);
}
