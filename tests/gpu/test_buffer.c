/* Buffers, the account of GPU memory, injected out-of-memory, readback and the upload ring. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static qn_engine *open_engine(qn_engine_options options)
{
    qn_engine *engine = NULL;
    options.baseline = true;
    qn_assert_ok(qn_test_open_engine(options, &engine));
    return engine;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    enum { SIZE = 70000 };
    qn_buffer *buffer = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, SIZE, "data", &buffer));
    assert_int_equal(qn_buffer_size(buffer), 70000);
    uint8_t *want = calloc(1, SIZE), *got = malloc(SIZE);
    assert_true(want && got);
    memset(got, 1, SIZE);
    qn_assert_ok(qn_test_read_buffer(engine->gpu, buffer, 0, got, SIZE));
    assert_memory_equal(got, want, SIZE); /* zero at first */
    for (uint32_t turn = 0; turn < 20; turn++) {
        uint64_t offset = qn_test_random(1, turn) % SIZE / 4 * 4;
        uint64_t size = qn_test_random(2, turn) % (SIZE - offset + 1) / 4 * 4;
        for (uint64_t i = 0; i < size; i++) want[offset + i] = (uint8_t)qn_test_random(3 + turn, i);
        qn_assert_ok(qn_buffer_write(buffer, offset, want + offset, size));
        qn_assert_ok(qn_test_read_buffer(engine->gpu, buffer, 0, got, SIZE));
        assert_memory_equal(got, want, SIZE);
        qn_assert_ok(qn_test_read_buffer(engine->gpu, buffer, offset, got, size));
        assert_memory_equal(got, want + offset, size);
    }
    free(want);
    free(got);
    qn_buffer_free(buffer);
    qn_buffer_free(NULL);
    qn_engine_close(engine);
}

static void ranges_are_checked(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    qn_buffer *buffer = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 100, "data", &buffer));
    assert_int_equal(qn_buffer_size(buffer), 112); /* rounded up to 16 */
    uint8_t bytes[256] = {0};
    const struct {
        uint64_t offset, size;
    } bad[] = {{0, 116}, {112, 4}, {116, 0}, {4, 112}, {2, 4}, {0, 6}, {UINT64_MAX - 3, 4}, {4, UINT64_MAX - 3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_assert_fails(qn_buffer_write(buffer, bad[i].offset, bytes, bad[i].size), QN_ERR_INTERNAL, "112");
#ifndef QN_NO_BLOCKING
        qn_assert_fails(qn_buffer_read(buffer, bad[i].offset, bytes, bad[i].size), QN_ERR_INTERNAL, "112");
#endif
    }
    qn_assert_ok(qn_buffer_write(buffer, 112, bytes, 0));
#ifndef QN_NO_BLOCKING
    qn_assert_ok(qn_buffer_write(buffer, 108, "abcd", 4));
    qn_assert_ok(qn_buffer_read(buffer, 112, bytes, 0));
    qn_assert_ok(qn_buffer_read(buffer, 104, bytes, 8));
    assert_memory_equal(bytes, "\0\0\0\0abcd", 8);
#endif
    qn_buffer_free(buffer);
    qn_readback *readback = NULL;
    qn_assert_ok(qn_readback_create(engine->gpu, 64, "small", &readback));
    qn_assert_fails(qn_readback_start(readback, 68), QN_ERR_INTERNAL, "64");
    qn_readback_free(readback);
    qn_readback_free(NULL);
    qn_engine_close(engine);
}

static void a_buffer_over_the_limit_is_refused(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    uint64_t limit = qn_engine_device(engine)->max_buffer_bytes, held = qn_engine_gpu_bytes(engine, NULL);
    char number[32];
    snprintf(number, sizeof number, "%" PRIu64, limit);
    const uint64_t sizes[] = {limit + 1, UINT64_MAX - 17, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        qn_buffer *buffer = (qn_buffer *)&buffer;
        qn_status s = qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, sizes[i], "too large", &buffer);
        qn_assert_fails(s, QN_ERR_LIMIT, "too large");
        if (i == 0) assert_non_null(strstr(s.text, number));
        assert_null(buffer);
    }
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held);
    qn_engine_close(engine);
}

/* ---- the account ----------------------------------------------------------------------------- */

static void the_account_follows_buffers(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    uint64_t peak = 0, start = qn_engine_gpu_bytes(engine, NULL);
    qn_buffer *a = NULL, *b = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 1000, "a", &a));
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_PARAMS, 512, "b", &b));
    assert_int_equal(qn_engine_gpu_bytes(engine, &peak), start + 1008 + 512);
    assert_int_equal(peak, start + 1008 + 512);
    qn_buffer_free(a);
    assert_int_equal(qn_engine_gpu_bytes(engine, &peak), start + 512);
    assert_int_equal(peak, start + 1008 + 512);
    qn_buffer_free(b);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), start);
    qn_engine_close(engine);
}

static void the_allowed_memory_is_not_passed(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){.gpu_memory = 10000});
    uint64_t start = qn_engine_gpu_bytes(engine, NULL);
    qn_buffer *a = NULL, *b = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 8000, "first", &a));
    char held[32];
    snprintf(held, sizeof held, "%" PRIu64, start + 8000);
    qn_status s = qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 4000, "second", &b);
    qn_assert_fails(s, QN_ERR_GPU_MEMORY, "second"); /* which, */
    qn_assert_fails(s, QN_ERR_GPU_MEMORY, "4000");   /* what it needs, */
    qn_assert_fails(s, QN_ERR_GPU_MEMORY, held);     /* what is taken, */
    qn_assert_fails(s, QN_ERR_GPU_MEMORY, "10000");  /* what is allowed */
    assert_null(b);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), start + 8000);
    assert_int_equal(qn_engine_gpu_refused(engine), start + 8000 + 4000);
    qn_buffer_free(a);
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 4000, "second", &b));
    qn_buffer_free(b);
    qn_engine_close(engine);
    qn_assert_fails(qn_test_open_engine((qn_engine_options){.baseline = true, .gpu_memory = 100}, &engine),
                    QN_ERR_GPU_MEMORY, "100");
    assert_null(engine);
}

/* The next threshold at which an allocation fails: just behind the one that failed now. */
static uint64_t behind(const qn_status *s, uint64_t after)
{
    qn_assert_fails(*s, QN_ERR_GPU_MEMORY, "failure injected");
    const char *at = strstr(s->text, "for ");
    assert_non_null(at);
    uint64_t size = strtoull(at + 4, NULL, 10);
    assert_true(size > 0);
    return (after == 1 ? 0 : after) + size;
}

static qn_status small_graph(qn_engine *engine, qn_weight **weight, qn_graph **graph)
{
    static const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    qn_weight_desc desc = {.name = "w", .kind = QN_WEIGHT_F32, .shape = {1, {8}}, .data = ones};
    QN_TRY(qn_weight_create(engine, &desc, weight));
    QN_TRY(qn_graph_open(engine, graph));
    qn_graph *g = *graph;
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(4, 8));
    qn_value s = qn_graph_state(g, "s", QN_F32, qn_shape_2(4, 8));
    qn_value y = qn_rms_norm(g, qn_silu(g, qn_add(g, x, s)), qn_graph_weight(g, *weight), 1e-5f);
    qn_graph_output(g, y, "y");
    QN_TRY(qn_graph_build(g));
    float data[32] = {1, 2, 3};
    QN_TRY(qn_graph_set_input(g, x, qn_shape_2(4, 8), data));
    QN_TRY(qn_test_execute(g));
    return qn_test_read_state(g, s, data);
}

/* Every allocation of a small graph fails in turn: weight, state, input, pool, parameters, outputs, readback. */
static void every_gpu_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t after = 1, failures = 0;
    for (bool finished = false; !finished;) {
        qn_engine *engine = NULL;
        qn_engine_options options = {.baseline = true, .fail_allocation_after = after};
        qn_status s = qn_test_open_engine(options, &engine);
        if (s.code == QN_OK) {
            uint64_t held = qn_engine_gpu_bytes(engine, NULL);
            qn_weight *weight = NULL;
            qn_graph *graph = NULL;
            s = small_graph(engine, &weight, &graph);
            qn_graph_close(graph);
            qn_weight_free(weight);
            assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held);
        }
        qn_engine_close(engine);
        finished = s.code == QN_OK;
        if (finished) break;
        after = behind(&s, after);
        failures++;
    }
    assert_in_range(failures, 9, 20); /* dummy, weight, state, input, 2 of the pool, parameters, outputs, readback */
}

/* ---- upload ---------------------------------------------------------------------------------- */

static void the_upload_ring_brings_everything(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    enum { N_WORDS = 100000, SLOT = 4096 };
    uint64_t held = qn_engine_gpu_bytes(engine, NULL);
    qn_buffer *buffer = NULL;
    qn_upload *upload = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, N_WORDS * 4, "weights", &buffer));
    qn_assert_ok(qn_upload_create(engine->gpu, SLOT - 100, 3, &upload));
    assert_int_equal(qn_upload_slot_bytes(upload), SLOT); /* a multiple of 256 */
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held + N_WORDS * 4 + 3 * SLOT);
    uint32_t at = 0;
    while (at < N_WORDS) {
        void *slot = NULL;
        qn_assert_ok(qn_upload_acquire(upload, &slot));
        if (!slot) {
            qn_assert_ok(qn_gpu_poll(engine->gpu, true));
            continue;
        }
        /* Two copies of a slot, the second half first. */
        uint32_t n = N_WORDS - at < SLOT / 4 ? N_WORDS - at : SLOT / 4, half = n / 2;
        uint32_t *words = slot;
        for (uint32_t i = 0; i < n; i++) words[i] = qn_test_random(1, at + i);
        const qn_upload_copy copies[] = {
            {half * 4, buffer, (uint64_t)(at + half) * 4, (uint64_t)(n - half) * 4},
            {0, buffer, (uint64_t)at * 4, (uint64_t)half * 4},
        };
        qn_assert_ok(qn_upload_submit(upload, copies, 2));
        at += n;
    }
    uint32_t *got = malloc(N_WORDS * 4);
    assert_non_null(got);
    qn_assert_ok(qn_test_read_buffer(engine->gpu, buffer, 0, got, N_WORDS * 4));
    for (uint32_t i = 0; i < N_WORDS; i++)
        if (got[i] != qn_test_random(1, i)) fail_msg("word %u did not arrive", i);
    free(got);
    qn_upload_free(upload);
    qn_upload_free(NULL);
    qn_buffer_free(buffer);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held);
    qn_engine_close(engine);
}

static void wrong_uploads_are_refused(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    qn_upload *upload = NULL;
    qn_assert_fails(qn_upload_create(engine->gpu, 256, 0, &upload), QN_ERR_INTERNAL, "slots");
    qn_assert_fails(qn_upload_create(engine->gpu, 256, 9, &upload), QN_ERR_INTERNAL, "slots");
    assert_null(upload);
    qn_buffer *buffer = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 512, "weights", &buffer));
    qn_assert_ok(qn_upload_create(engine->gpu, 256, 1, &upload));
    qn_assert_fails(qn_upload_submit(upload, NULL, 0), QN_ERR_STATE, "acquired");
    for (int turn = 0; turn < 3; turn++) { /* the only slot comes back after a copy that WebGPU refuses */
        void *slot = NULL;
        while (!slot) qn_assert_ok(qn_upload_acquire(upload, &slot));
        const qn_upload_copy bad = {0, buffer, turn == 0 ? 512 : 2, 256}, good = {0, buffer, 256, 256};
        memset(slot, 0x40 + turn, 256);
        if (turn < 2)
            qn_assert_fails(qn_upload_submit(upload, &bad, 1), QN_ERR_GPU, "upload");
        else
            qn_assert_ok(qn_upload_submit(upload, &good, 1));
    }
    uint8_t got[512], want[512] = {0};
    memset(want + 256, 0x42, 256);
    qn_assert_ok(qn_test_read_buffer(engine->gpu, buffer, 0, got, sizeof got));
    assert_memory_equal(got, want, sizeof want);
    qn_upload_free(upload);
    qn_buffer_free(buffer);
    qn_engine_close(engine);
}

/* Freed with a slot handed out, and with copies under way. */
static void an_upload_closes_at_any_time(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){0});
    qn_buffer *buffer = NULL;
    qn_assert_ok(qn_buffer_create(engine->gpu, QN_BUFFER_STORAGE, 1 << 20, "weights", &buffer));
    for (int turn = 0; turn < 4; turn++) {
        qn_upload *upload = NULL;
        void *slot = NULL;
        qn_assert_ok(qn_upload_create(engine->gpu, 1 << 20, 2, &upload));
        if (turn > 0) qn_assert_ok(qn_upload_acquire(upload, &slot));
        if (turn > 1) qn_assert_ok(qn_upload_submit(upload, &(qn_upload_copy){0, buffer, 0, 1 << 20}, 1));
        if (turn > 2) qn_assert_ok(qn_upload_acquire(upload, &slot));
        qn_upload_free(upload);
    }
    qn_buffer_free(buffer);
    qn_engine_close(engine);
}

static void a_failed_ring_leaves_nothing(void **state)
{
    (void)state;
    qn_engine *engine = open_engine((qn_engine_options){.gpu_memory = 256 + 3 * 4096});
    uint64_t held = qn_engine_gpu_bytes(engine, NULL);
    qn_upload *upload = NULL;
    qn_assert_fails(qn_upload_create(engine->gpu, 4096, 4, &upload), QN_ERR_GPU_MEMORY, "upload");
    assert_null(upload);
    assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(a_buffer_over_the_limit_is_refused),
        cmocka_unit_test(the_account_follows_buffers),
        cmocka_unit_test(the_allowed_memory_is_not_passed),
        cmocka_unit_test(every_gpu_allocation_may_fail),
        cmocka_unit_test(the_upload_ring_brings_everything),
        cmocka_unit_test(wrong_uploads_are_refused),
        cmocka_unit_test(an_upload_closes_at_any_time),
        cmocka_unit_test(a_failed_ring_leaves_nothing),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
