/* How much memory a session takes: what qn_inspect_memory predicts is what the engine holds, the default context
 * shrinks to what is allowed, and what cannot be is refused with numbers. */
#include "support/model_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/quant.h"
#include "quern_graph.h"

/* A model's file and its inspection. */
typedef struct subject {
    qn_test_bytes bytes;
    char path[512];
    qn_inspection *inspection;
} subject;

static subject subject_open(const qn_random_model *m)
{
    subject s = {.bytes = qn_test_random_bytes(m)};
    qn_test_write("memory.gguf", s.bytes.data, s.bytes.size, s.path);
    qn_assert_ok(qn_inspect_open(NULL, s.path, &s.inspection));
    remove(s.path); /* the header was copied */
    return s;
}

static void subject_close(subject *s)
{
    qn_inspect_close(s->inspection);
    free(s->bytes.data);
}

/* Opens everything for real and compares with the prediction, whether it succeeds or not. Returns the context, 0 when
 * it was refused with `code`. */
static uint32_t compare(const subject *s, qn_engine_options options, qn_session_options session_options, qn_code *code)
{
    qn_engine *engine;
    qn_model *model;
    qn_session *session;
    qn_assert_ok(qn_test_open_engine(options, &engine));
    qn_assert_ok(qn_test_load_bytes(engine, s->bytes, NULL, &model));
    uint64_t loaded = qn_engine_gpu_bytes(engine, NULL);
    qn_status opened = qn_session_open(model, &session_options, &session);
    uint64_t held = qn_engine_gpu_bytes(engine, NULL);
    qn_memory_plan plan;
    qn_status planned =
        qn_inspect_memory(s->inspection, qn_engine_device(engine), &session_options, options.gpu_memory, &plan);
    if (planned.code != opened.code)
        fail_msg("predicted (%s) %s\nopened (%s) %s", qn_code_name(planned.code), planned.text,
                 qn_code_name(opened.code), opened.text);
    uint32_t ctx = 0;
    if (opened.code == QN_OK) {
        ctx = qn_session_ctx(session);
        assert_int_equal(plan.ctx, ctx);
        assert_int_equal(plan.chunk, qn_session_chunk(session));
        assert_int_equal(plan.weights, qn_model_get_info(model)->weight_gpu_bytes);
        if (!options.max_binding_bytes) /* splitting may pad */
            assert_int_equal(plan.weights, qn_inspect_info(s->inspection)->weight_gpu_bytes);
        assert_int_equal(plan.kv, (uint64_t)ctx * qn_model_get_info(model)->kv_bytes_per_token);
        assert_int_equal(plan.total, plan.weights + plan.kv + plan.working);
        assert_int_equal(plan.total, held);
        if (options.gpu_memory) assert_true(held <= options.gpu_memory);
        float first[2048];
        int32_t token = 1;
        assert_true(qn_model_get_info(model)->n_vocab <= 2048);
        qn_test_feed(session, &token, 1, qn_model_get_info(model)->n_vocab, first);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), held); /* running takes no more */
    } else {
        assert_null(session);
        assert_int_equal(held, loaded);         /* nothing of it is left */
        if (opened.code == QN_ERR_GPU_MEMORY) { /* both say what is needed: the plan all of it, the engine so far */
            assert_true(plan.total > options.gpu_memory);
            assert_in_range(qn_engine_gpu_refused(engine), options.gpu_memory + 1, plan.total);
        } else {
            assert_int_equal(plan.total, 0);
        }
        if (code) *code = opened.code;
        print_message("refused: %s\n", opened.text);
    }
    qn_session_close(session);
    qn_model_close(model);
    assert_true(qn_engine_gpu_bytes(engine, NULL) < loaded);
    qn_engine_close(engine);
    return ctx;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void prediction_is_what_the_engine_holds(void **state)
{
    (void)state;
    qn_random_model models[4] = {qn_test_small_model(), qn_random_model_tiny(), qn_random_model_tiny(),
                                 qn_random_model_tiny()};
    models[1].n_ctx = 600;
    models[2].type = QN_GGML_Q4_K;
    models[2].embd_type = QN_GGML_Q6_K;
    models[2].untied = models[2].more_bits = true;
    models[3].type = models[3].embd_type = QN_GGML_F16;
    models[3].rope_freqs = true;
    static const qn_session_options sessions[] = {
        {0}, {.ctx = 1}, {.ctx = 17, .chunk = 5}, {.chunk = 1}, {.chunk = 90}};
    static const qn_engine_options engines[] = {
        {.baseline = true}, {0}, {.baseline = true, .max_binding_bytes = 1 << 18}};
    for (size_t m = 0; m < 4; m++) {
        subject s = subject_open(&models[m]);
        for (size_t e = 0; e < 3; e++)
            for (size_t i = 0; i < 5; i++) {
                if ((m + e + i) % 2) continue; /* half of the combinations */
                assert_true(compare(&s, engines[e], sessions[i], NULL) > 0);
            }
        subject_close(&s);
    }
}

static void a_context_follows_the_model(void **state)
{
    (void)state;
    static const uint32_t contexts[][2] = {{96, 96}, {1, 1}, {4095, 4095}, {4096, 4096}, {131072, 4096}};
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        qn_random_model m = qn_test_small_model();
        m.n_ctx = contexts[i][0];
        subject s = subject_open(&m);
        assert_int_equal(compare(&s, (qn_engine_options){.baseline = true}, (qn_session_options){0}, NULL),
                         contexts[i][1]);
        subject_close(&s);
    }
}

static uint64_t total_at(const subject *s, uint32_t ctx)
{
    qn_engine *engine;
    qn_memory_plan plan;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_assert_ok(
        qn_inspect_memory(s->inspection, qn_engine_device(engine), &(qn_session_options){.ctx = ctx}, 0, &plan));
    qn_engine_close(engine);
    return plan.total;
}

static void the_default_context_shrinks_to_what_is_allowed(void **state)
{
    (void)state;
    qn_random_model m = qn_test_small_model();
    m.n_ctx = 8192;
    subject s = subject_open(&m);
    for (uint32_t ctx = 4096; ctx >= 256; ctx /= 2) {
        uint64_t exact = total_at(&s, ctx);
        qn_engine_options options = {.baseline = true, .gpu_memory = exact};
        assert_int_equal(compare(&s, options, (qn_session_options){0}, NULL), ctx);
        options.gpu_memory--; /* a byte too few */
        qn_code code = QN_OK;
        assert_int_equal(compare(&s, options, (qn_session_options){0}, &code), ctx > 256 ? ctx / 2 : 0);
        if (ctx == 256) assert_int_equal(code, QN_ERR_GPU_MEMORY);
        /* A context that was asked for is never made shorter. */
        assert_int_equal(compare(&s, options, (qn_session_options){.ctx = ctx}, &code), 0);
        assert_int_equal(code, QN_ERR_GPU_MEMORY);
    }
    subject_close(&s);
}

static void too_long_a_context_is_refused_with_numbers(void **state)
{
    (void)state;
    qn_random_model m = qn_test_small_model();
    m.n_ctx = 1 << 22;
    subject s = subject_open(&m);
    qn_engine *engine;
    qn_model *model;
    qn_session *session;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_assert_ok(qn_test_load_bytes(engine, s.bytes, NULL, &model));
    qn_session_options longer = {.ctx = (1 << 22) + 1};
    qn_assert_fails(qn_session_open(model, &longer, &session), QN_ERR_ARGUMENT, "4194305");
    qn_assert_fails(qn_session_open(model, &longer, &session), QN_ERR_ARGUMENT, "4194304");
    qn_session_options longest = {.ctx = 1 << 22}; /* 512 MiB of keys a layer, over core WebGPU's buffers */
    qn_assert_fails(qn_session_open(model, &longest, &session), QN_ERR_LIMIT, "536870912");
    qn_model_close(model);
    qn_engine_close(engine);
    qn_code code = QN_OK;
    assert_int_equal(compare(&s, (qn_engine_options){.baseline = true}, longest, &code), 0);
    assert_int_equal(code, QN_ERR_LIMIT);
    assert_int_equal(compare(&s, (qn_engine_options){.baseline = true}, longer, &code), 0);
    assert_int_equal(code, QN_ERR_ARGUMENT);
    subject_close(&s);
}

static void too_large_a_chunk_is_refused_with_numbers(void **state)
{
    (void)state;
    qn_random_model m = qn_test_small_model();
    m.n_ctx = 1 << 20;
    subject s = subject_open(&m);
    qn_memory_plan plan;
    qn_session_options o = {.ctx = 1 << 20, .chunk = 1 << 20}; /* 128 elements are the widest row */
    qn_assert_fails(qn_inspect_memory(s.inspection, NULL, &o, 0, &plan), QN_ERR_LIMIT, "536870912 bytes");
    o.chunk = 1 << 18;
    qn_assert_fails(qn_inspect_memory(s.inspection, NULL, &o, 0, &plan), QN_ERR_LIMIT, "take at most 16384");
    o.chunk = 16384;
    qn_assert_ok(qn_inspect_memory(s.inspection, NULL, &o, 0, &plan));
    assert_int_equal(plan.chunk, 16384);
    subject_close(&s);
}

/* Every allocation of GPU memory fails once: nothing is left behind, and a later session works. */
static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    qn_random_model m = qn_test_small_model();
    qn_test_bytes bytes = qn_test_random_bytes(&m);
    qn_engine *engine;
    qn_model *model;
    qn_session *session = NULL;
    uint64_t after_session = 0, step = 1;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    qn_assert_ok(qn_test_load_bytes(engine, bytes, NULL, &model));
    qn_assert_ok(qn_session_open(model, NULL, &session));
    qn_engine_gpu_bytes(engine, &after_session);
    qn_session_close(session);
    qn_model_close(model);
    qn_engine_close(engine);
    size_t n_failed = 0;
    step = after_session / 24;
    for (uint64_t after = 256; after < 2 * after_session; after += step) {
        qn_assert_ok(
            qn_test_open_engine((qn_engine_options){.baseline = true, .fail_allocation_after = after}, &engine));
        session = NULL;
        qn_status status = qn_test_load_bytes(engine, bytes, NULL, &model);
        if (status.code == QN_OK) status = qn_session_open(model, &(qn_session_options){.ctx = 96}, &session);
        if (status.code != QN_OK) {
            assert_int_equal(status.code, QN_ERR_GPU_MEMORY);
            assert_null(session);
            n_failed++;
        }
        qn_session_close(session);
        qn_model_close(model);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), 256); /* the engine's own */
        qn_engine_close(engine);
    }
    assert_true(n_failed > 20);
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prediction_is_what_the_engine_holds),
        cmocka_unit_test(a_context_follows_the_model),
        cmocka_unit_test(the_default_context_shrinks_to_what_is_allowed),
        cmocka_unit_test(too_long_a_context_is_refused_with_numbers),
        cmocka_unit_test(too_large_a_chunk_is_refused_with_numbers),
        cmocka_unit_test(failed_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
