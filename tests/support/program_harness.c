#include "support/program_harness.h"

#include "base/limits.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

qn_status qn_test_program_read(qn_fbb file, qn_test_program *t)
{
    const qn_program_memory memory = {"test.pte", file.data, file.size};
    *t = (qn_test_program){.file = file};
    qn_status s = qn_program_read_memory(NULL, &memory, 1, &t->p);
    if (s.code != QN_OK) qn_test_program_close(t);
    return s;
}

static qn_status finish(qn_test_program *t, qn_status s)
{
    if (s.code != QN_OK) qn_test_program_close(t);
    return s;
}

qn_status qn_test_program_build(qn_engine *engine, qn_fbb file, qn_test_program *t)
{
    qn_status s = qn_test_program_read(file, t);
    return s.code == QN_OK ? finish(t, qn_program_build(t->p, engine)) : s;
}

qn_status qn_test_program_plan(qn_fbb file, qn_test_program *t)
{
    const qn_device_info device = qn_core_device();
    qn_status s = qn_test_program_read(file, t);
    return s.code == QN_OK ? finish(t, qn_program_plan(t->p, &device)) : s;
}

qn_test_program qn_test_program_open(qn_engine *engine, qn_fbb file)
{
    qn_test_program t;
    qn_assert_ok(qn_test_program_build(engine, file, &t));
    return t;
}

void qn_test_program_close(qn_test_program *t)
{
    qn_program_close(t->p);
    qn_fbb_free(&t->file);
    *t = (qn_test_program){.p = NULL};
}

qn_status qn_test_call(qn_program *p, uint32_t method, const qn_program_tensor *inputs, uint32_t n)
{
    QN_TRY(qn_program_submit(p, method, inputs, n));
    for (bool done = false; !done;) QN_TRY(qn_program_poll(p, &done));
    return qn_ok();
}

static const void *output(const qn_program *p, uint32_t i, const qn_shape *live)
{
    qn_program_tensor got = qn_program_output_data(p, 0, i);
    char a[96], b[96];
    if (!got.data) fail_msg("output %u has no data", i);
    if (!qn_shape_equal(&got.shape, live))
        fail_msg("output %u is %s, not %s", i, qn_shape_text(&got.shape, a, sizeof a),
                 qn_shape_text(live, b, sizeof b));
    return got.data;
}

void qn_test_output_f32(const qn_program *p, uint32_t i, qn_shape live, const float *want, qn_tolerance tolerance)
{
    const float *got = output(p, i, &live);
    size_t n = (size_t)qn_shape_count(&live);
    double *wide = calloc(n, sizeof *wide);
    assert_non_null(wide);
    for (size_t k = 0; k < n; k++) wide[k] = (double)want[k];
    qn_test_compare("output", got, wide, n, tolerance);
    free(wide);
}

void qn_test_output_is(const qn_program *p, uint32_t i, qn_shape live, const void *want, size_t bytes)
{
    assert_memory_equal(output(p, i, &live), want, bytes);
}
