/* Kernels and bindings: what WebGPU refuses comes back as an error with its own words, never reaches a submit, and
 * leaves the device as it was. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    qn_engine *engine;
    qn_gpu *gpu;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &f.engine));
    f.gpu = f.engine->gpu;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(((fixture *)*state)->engine);
    return 0;
}

/* The device still computes. */
static void assert_usable(qn_gpu *gpu)
{
    float y[70];
    qn_test_affine a = qn_test_affine_open(gpu, 70);
    qn_test_affine_set(&a, 0, 3.0f, -1.0f);
    qn_encoder *encoder = NULL;
    qn_assert_ok(qn_encoder_create(gpu, 0, &encoder));
    qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
    qn_test_affine_dispatch(&a, encoder, 0);
    qn_assert_ok(qn_encoder_submit(encoder));
    qn_assert_ok(qn_test_read_buffer(gpu, a.y, 0, y, sizeof y));
    qn_test_affine_check(y, 70, 3.0f, -1.0f);
    qn_encoder_free(encoder);
    qn_test_affine_close(&a);
}

static void assert_does_not_compile(qn_gpu *gpu, const char *source, const char *access, const char *part)
{
    qn_gpu_counts before = qn_gpu_get_counts(gpu);
    qn_kernel *kernel = (qn_kernel *)&kernel;
    qn_assert_fails(qn_test_compile(gpu, source, access, &kernel), QN_ERR_GPU, part);
    assert_null(kernel);
    assert_int_equal(qn_gpu_get_counts(gpu).kernels, before.kernels);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static void the_compiler_speaks_for_itself(void **state)
{
    fixture *f = *state;
    static const char *const unknown = "@compute @workgroup_size(1)\n"
                                       "fn main() {\n"
                                       "    let a = not_defined + 1;\n"
                                       "}\n";
    assert_does_not_compile(f->gpu, unknown, "", "not_defined"); /* the compiler's words, */
    assert_does_not_compile(f->gpu, unknown, "", "3:13");        /* the place,            */
    assert_does_not_compile(f->gpu, unknown, "", "test.kernel"); /* and which kernel      */
    assert_does_not_compile(f->gpu, "this is no WGSL", "", "test.kernel");
    assert_does_not_compile(f->gpu, "@compute @workgroup_size(1) fn other() {}", "", "main");
    qn_kernel *kernel = NULL;
    qn_status s = qn_test_compile(f->gpu, unknown, "", &kernel);
    assert_null(strchr(s.text, '\n')); /* one line */
    assert_usable(f->gpu);
}

static void trusted_kernels_fail_as_well(void **state)
{
    fixture *f = *state;
    qn_kernel_desc desc = {.label = "trusted.kernel", .source = "fn {", .entry = "main", .access = "", .trusted = true};
    qn_kernel *kernel = NULL;
    qn_assert_fails(qn_kernels_create(f->gpu, 1, &desc, 1, &kernel), QN_ERR_GPU, "trusted.kernel");
    assert_null(kernel);
    assert_usable(f->gpu);
}

static void access_must_be_what_the_source_declares(void **state)
{
    fixture *f = *state;
    assert_does_not_compile(f->gpu, qn_test_affine_source, "rr", "test.kernel"); /* y is written    */
    assert_does_not_compile(f->gpu, qn_test_affine_source, "r", "test.kernel");  /* y is not there  */
    assert_usable(f->gpu);
}

static void too_many_bindings_are_refused(void **state)
{
    fixture *f = *state;
    qn_kernel *kernel = NULL;
    qn_assert_fails(qn_test_compile(f->gpu, qn_test_affine_source, "rrrrrrrrr", &kernel), QN_ERR_INTERNAL, "9");
    assert_null(kernel);
    qn_assert_ok(qn_test_compile(f->gpu, qn_test_affine_source, "rwrrrrrr", &kernel)); /* eight is the core limit */
    qn_kernel_free(kernel);
    qn_kernel_free(NULL);
}

/* ---- bindings -------------------------------------------------------------------------------- */

static void bad_bindings_are_refused(void **state)
{
    fixture *f = *state;
    enum { N = 256 };
    qn_test_affine a = qn_test_affine_open(f->gpu, N);
    const uint64_t size = N * sizeof(float), limit = qn_gpu_info(f->gpu)->max_binding_bytes;
    qn_buffer *huge = NULL;
    qn_assert_ok(qn_buffer_create(f->gpu, QN_BUFFER_STORAGE, limit + 256, "huge", &huge));
    const qn_range good = {a.y, 0, size};
    const struct {
        const char *what;
        qn_range x, y;
    } cases[] = {
        {"past the end", {a.x, 256, size}, good},
        {"unaligned offset", {a.x, 4, size - 4}, good},
        {"unaligned size", {a.x, 0, size - 2}, good},
        {"a parameter arena as storage", {a.params, 0, QN_PARAM_SLOT}, good},
        {"over the binding limit", {huge, 0, limit + 256}, good},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_range ranges[] = {cases[i].x, cases[i].y};
        qn_bindings *bindings = (qn_bindings *)&bindings;
        qn_status s = qn_bindings_create(f->gpu, a.kernel, a.params, ranges, 2, &bindings);
        if (s.code != QN_ERR_GPU || bindings) fail_msg("%s: (%s) %s", cases[i].what, qn_code_name(s.code), s.text);
        assert_non_null(strstr(s.text, "test.kernel"));
    }
    qn_bindings *bindings = NULL;
    qn_assert_fails(qn_bindings_create(f->gpu, a.kernel, a.params, &good, 1, &bindings), QN_ERR_INTERNAL, "takes 2");
    assert_null(bindings);
    const qn_range shared[] = {{a.y, 0, 256}, {a.y, 256, 256}}; /* the second is written */
    qn_assert_fails(qn_bindings_create(f->gpu, a.kernel, a.params, shared, 2, &bindings), QN_ERR_INTERNAL,
                    "bindings 1 and 2 are one buffer");
    assert_null(bindings);
    qn_bindings_free(NULL);
    qn_buffer_free(huge);
    qn_test_affine_close(&a);
    assert_usable(f->gpu);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Two slots of the arena in one pass, then copies behind it. */
static void one_pass_one_submit(void **state)
{
    fixture *f = *state;
    enum { N = 130 };
    qn_test_affine a = qn_test_affine_open(f->gpu, N), b = qn_test_affine_open(f->gpu, N);
    qn_test_affine_set(&a, 0, 1.0f, 7.0f);
    qn_test_affine_set(&a, 1, 2.0f, 5.0f);
    qn_encoder *encoder = NULL;
    qn_readback *readback = NULL;
    qn_assert_ok(qn_encoder_create(f->gpu, 0, &encoder));
    qn_assert_ok(qn_readback_create(f->gpu, N * sizeof(float), "result", &readback));
    for (uint32_t turn = 0; turn < 3; turn++) {
        qn_gpu_counts before = qn_gpu_get_counts(f->gpu);
        qn_encoder_counts mine = qn_encoder_get_counts(encoder);
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
        qn_test_affine_dispatch(&a, encoder, 0);
        qn_test_affine_dispatch(&a, encoder, 1);
        qn_encoder_copy(encoder, a.y, 0, b.y, 0, N * sizeof(float));
        qn_encoder_copy_readback(encoder, b.y, 0, readback, 0, N * sizeof(float));
        qn_assert_ok(qn_encoder_submit(encoder));
        qn_assert_ok(qn_readback_start(readback, N * sizeof(float)));
        qn_assert_fails(qn_readback_start(readback, 4), QN_ERR_STATE, "in use");
        bool done = false;
        const void *data = NULL;
        while (!data) qn_assert_ok(qn_readback_poll(readback, &data));
        qn_test_affine_check(data, N, 2.0f, 5.0f);
        while (!done) qn_assert_ok(qn_encoder_poll(encoder, &done));
        qn_readback_release(readback);
        qn_gpu_counts after = qn_gpu_get_counts(f->gpu);
        assert_int_equal(after.submits - before.submits, 1);
        assert_int_equal(after.passes - before.passes, 1);
        assert_int_equal(after.encoders - before.encoders, 1);
        assert_int_equal(after.buffers + after.bindings + after.kernels,
                         before.buffers + before.bindings + before.kernels);
        assert_int_equal(qn_encoder_get_counts(encoder).submits - mine.submits, 1);
        assert_int_equal(qn_encoder_get_counts(encoder).passes - mine.passes, 1);
    }
    qn_readback_free(readback);
    qn_encoder_free(encoder);
    qn_test_affine_close(&a);
    qn_test_affine_close(&b);
}

static void an_invalid_recording_is_not_submitted(void **state)
{
    fixture *f = *state;
    qn_test_affine a = qn_test_affine_open(f->gpu, 64);
    qn_encoder *encoder = NULL;
    qn_assert_ok(qn_encoder_create(f->gpu, 0, &encoder));
    const uint32_t too_many[3] = {65536, 1, 1};
    for (int what = 0; what < 3; what++) {
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
        if (what == 0) qn_encoder_dispatch(encoder, a.kernel, a.bindings, 0, too_many);
        if (what == 1) qn_test_affine_dispatch(&a, encoder, 2);                      /* past the arena */
        if (what == 2) qn_encoder_copy(encoder, a.x, 0, a.y, 4, 64 * sizeof(float)); /* past the end */
        qn_assert_fails(qn_encoder_submit(encoder), QN_ERR_GPU, "WebGPU");
        assert_int_equal(qn_encoder_get_counts(encoder).submits, 0);
    }
    qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
    qn_test_affine_dispatch(&a, encoder, 0);
    qn_encoder_abort(encoder);
    qn_encoder_abort(encoder);
    qn_encoder_free(encoder);
    qn_encoder_free(NULL);
    qn_test_affine_close(&a);
    assert_usable(f->gpu);
}

/* Freed while a mapping is under way and while the GPU is at work. */
static void freeing_waits_for_callbacks(void **state)
{
    fixture *f = *state;
    qn_test_affine a = qn_test_affine_open(f->gpu, 1000);
    qn_test_affine_set(&a, 0, 1.0f, 0.0f);
    for (int i = 0; i < 10; i++) {
        qn_encoder *encoder = NULL;
        qn_readback *readback = NULL;
        qn_assert_ok(qn_encoder_create(f->gpu, 0, &encoder));
        qn_assert_ok(qn_readback_create(f->gpu, 4000, "result", &readback));
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
        qn_test_affine_dispatch(&a, encoder, 0);
        qn_encoder_copy_readback(encoder, a.y, 0, readback, 0, 4000);
        qn_assert_ok(qn_encoder_submit(encoder));
        if (i % 2) qn_assert_ok(qn_readback_start(readback, 4000));
        if (i % 3 == 0) {
            qn_readback_release(readback); /* cancels the mapping: the readback can be used again */
            qn_assert_ok(qn_readback_start(readback, 4000));
        }
        if (i % 4 < 2) {
            qn_readback_free(readback);
            qn_encoder_free(encoder);
        } else {
            qn_encoder_free(encoder);
            qn_readback_free(readback);
        }
    }
    qn_test_affine_close(&a);
    assert_usable(f->gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_compiler_speaks_for_itself),
        cmocka_unit_test(trusted_kernels_fail_as_well),
        cmocka_unit_test(access_must_be_what_the_source_declares),
        cmocka_unit_test(too_many_bindings_are_refused),
        cmocka_unit_test(bad_bindings_are_refused),
        cmocka_unit_test(one_pass_one_submit),
        cmocka_unit_test(an_invalid_recording_is_not_submitted),
        cmocka_unit_test(freeing_waits_for_callbacks),
    };
    return cmocka_run_group_tests_name("kernel", tests, set_up, tear_down);
}
