#include "support/gpu_harness.h"

#include <stdlib.h>
#include <string.h>

/* ---- mishaps --------------------------------------------------------------------------------- */

/* Half a word is not mapped. */
void qn_test_cause_error(qn_engine *engine)
{
    qn_readback *readback = NULL;
    qn_assert_ok(qn_readback_create(engine->gpu, 16, "half a word", &readback));
    qn_assert_ok(qn_readback_start(readback, 2));
    qn_readback_free(readback);
}

/* Every dispatch is traced, by a line that begins with its row. */
static void on_trace(void *user, qn_log_level level, const char *line)
{
    qn_test_mishap *m = user;
    if (level != QN_LOG_DEBUG || !m->engine || !strstr(line, " grid ")) return;
    size_t n = m->kernel ? strlen(m->kernel) : 0;
    if (n && (strncmp(line, m->kernel, n) != 0 || line[n] != ' ')) return;
    if (m->n-- > 0) return;
    qn_engine *engine = m->engine;
    m->engine = NULL;
    m->happen(engine);
}

qn_engine_options qn_test_mishap_options(qn_test_mishap *mishap)
{
    return (qn_engine_options){.trace = true, .log = on_trace, .log_user = mishap};
}

/* ---- buffers --------------------------------------------------------------------------------- */

static qn_status read_through(qn_encoder *encoder, qn_readback *readback, qn_buffer *buffer, uint64_t offset,
                              void *data, uint64_t size)
{
    QN_TRY(qn_encoder_begin(encoder, QN_TIME_NOTHING));
    qn_encoder_copy_readback(encoder, buffer, offset, readback, 0, size);
    QN_TRY(qn_encoder_submit(encoder));
    QN_TRY(qn_readback_start(readback, size));
    const void *bytes = NULL;
    while (!bytes) QN_TRY(qn_readback_poll(readback, &bytes));
    memcpy(data, bytes, size);
    return qn_ok();
}

qn_status qn_test_read_buffer(qn_gpu *gpu, qn_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    qn_readback *readback = NULL;
    qn_encoder *encoder = NULL;
    qn_status s = qn_readback_create(gpu, size, "read", &readback);
    if (s.code == QN_OK) s = qn_encoder_create(gpu, 0, &encoder);
    if (s.code == QN_OK) s = read_through(encoder, readback, buffer, offset, data, size);
    qn_encoder_free(encoder);
    qn_readback_free(readback);
    return s;
}

/* ---- a kernel -------------------------------------------------------------------------------- */

const char *const qn_test_affine_source = "struct Params { n: u32, scale: f32, add: f32 }\n"
                                          "@group(0) @binding(0) var<uniform> p: Params;\n"
                                          "@group(0) @binding(1) var<storage, read> x: array<f32>;\n"
                                          "@group(0) @binding(2) var<storage, read_write> y: array<f32>;\n"
                                          "@compute @workgroup_size(64)\n"
                                          "fn main(@builtin(global_invocation_id) id: vec3<u32>) {\n"
                                          "    if (id.x < p.n) { y[id.x] = x[id.x] * p.scale + p.add; }\n"
                                          "}\n";

qn_status qn_test_compile(qn_gpu *gpu, const char *source, const char *access, qn_kernel **kernel)
{
    qn_kernel_desc desc = {.label = "test.kernel", .source = source, .entry = "main", .access = access};
    return qn_kernels_create(gpu, 1, &desc, 1, kernel);
}

qn_test_affine qn_test_affine_open(qn_gpu *gpu, uint32_t n)
{
    qn_test_affine a = {.gpu = gpu, .n = n};
    uint64_t bytes = (uint64_t)n * sizeof(float);
    qn_assert_ok(qn_buffer_create(gpu, QN_BUFFER_STORAGE, bytes, "x", &a.x));
    qn_assert_ok(qn_buffer_create(gpu, QN_BUFFER_STORAGE, bytes, "y", &a.y));
    qn_assert_ok(qn_buffer_create(gpu, QN_BUFFER_PARAMS, 2 * QN_PARAM_SLOT, "params", &a.params));
    qn_assert_ok(qn_test_compile(gpu, qn_test_affine_source, "rw", &a.kernel));
    const qn_range ranges[] = {{a.x, 0, bytes}, {a.y, 0, bytes}};
    qn_assert_ok(qn_bindings_create(gpu, a.kernel, a.params, ranges, 2, &a.bindings));
    return a;
}

void qn_test_affine_close(qn_test_affine *a)
{
    qn_bindings_free(a->bindings);
    qn_kernel_free(a->kernel);
    qn_buffer_free(a->params);
    qn_buffer_free(a->y);
    qn_buffer_free(a->x);
}

void qn_test_affine_set(const qn_test_affine *a, uint32_t slot, float scale, float add)
{
    float *x = calloc(a->n, sizeof *x);
    assert_non_null(x);
    for (uint32_t i = 0; i < a->n; i++) x[i] = (float)i;
    qn_assert_ok(qn_buffer_write(a->x, 0, x, a->n * sizeof *x));
    free(x);
    uint32_t words[4] = {a->n};
    memcpy(&words[1], &scale, sizeof scale);
    memcpy(&words[2], &add, sizeof add);
    qn_assert_ok(qn_buffer_write(a->params, (uint64_t)slot * QN_PARAM_SLOT, words, sizeof words));
}

void qn_test_affine_dispatch(const qn_test_affine *a, qn_encoder *encoder, uint32_t slot)
{
    const uint32_t grid[3] = {qn_div_up(a->n, QN_TEST_AFFINE_GROUP), 1, 1};
    qn_encoder_dispatch(encoder, a->kernel, a->bindings, slot * QN_PARAM_SLOT, grid);
}

void qn_test_affine_check(const float *y, uint32_t n, float scale, float add)
{
    assert_non_null(y);
    for (uint32_t i = 0; i < n; i++)
        if (y[i] != (float)i * scale + add)
            fail_msg("element %u is %g, not %g", i, (double)y[i], (double)((float)i * scale + add));
}
