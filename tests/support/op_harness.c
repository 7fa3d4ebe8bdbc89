#include "support/op_harness.h"

#include "graph/graph.h"
#include "support/gpu_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/pack.h"

/* ---- status ---------------------------------------------------------------------------------- */

void qn_test_assert_ok(qn_status status, const char *what, const char *file, int line)
{
    if (status.code == QN_OK) return;
    print_error("%s\n  failed (%s): %s\n", what, qn_code_name(status.code), status.text);
    _fail(file, line);
}

void qn_test_assert_fails(qn_status status, qn_code code, const char *part, const char *what, const char *file,
                          int line)
{
    if (status.code == code && strstr(status.text, part)) return;
    print_error("%s\n  should have failed (%s) with \"%s\"; it gave (%s): %s\n", what, qn_code_name(code), part,
                qn_code_name(status.code), status.text);
    _fail(file, line);
}

/* ---- device ---------------------------------------------------------------------------------- */

qn_status qn_test_open_steps(const qn_engine_options *options, qn_engine **engine)
{
    qn_opening *opening;
    *engine = NULL;
    QN_TRY(qn_opening_open(options, &opening));
    qn_status s = qn_ok();
    while (s.code == QN_OK && !*engine) s = qn_opening_step(opening, engine, NULL);
    qn_opening_close(opening);
    return s;
}

qn_status qn_test_open_engine(qn_engine_options options, qn_engine **engine)
{
    setenv("XDG_RUNTIME_DIR", QN_BUILD_DIR, 0); /* unset, software Vulkan complains about it in the test's output */
    const char *device = getenv("QN_TEST_DEVICE");
    if (device) {
        options.device = device;
        return qn_test_open_steps(&options, engine);
    }
    qn_device_info infos[16];
    size_t n = 0, i = 0;
    qn_assert_ok(qn_devices(infos, 16, &n));
    if (n > 16) n = 16;
    while (i < n && infos[i].type != QN_ADAPTER_SOFTWARE) i++;
    if (i == n) fail_msg("%s", "no software adapter: install a software Vulkan driver (mesa-vulkan-drivers)");
    char position[16];
    snprintf(position, sizeof position, "%zu", i);
    options.device = position;
    return qn_test_open_steps(&options, engine);
}

qn_engine *qn_test_engine(const char *route)
{
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true, .route = route}, &engine));
    return engine;
}

qn_engine *qn_test_row_engine(const qn_kernel_row *row)
{
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = row->needs == 0, .route = row->name}, &engine));
    return engine;
}

void qn_test_limit_bindings(qn_engine *engine, uint64_t bytes)
{
    ((qn_device_info *)(uintptr_t)qn_engine_device(engine))->max_binding_bytes = bytes;
}

/* ---- data ------------------------------------------------------------------------------------ */

uint32_t qn_test_random(uint64_t seed, uint64_t index)
{
    uint64_t x = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) + index * UINT64_C(0xD1B54A32D192ED03);
    x = (x ^ x >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    x = (x ^ x >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(x >> 32);
}

void qn_test_fill(float *x, size_t n, uint64_t seed, float scale)
{
    for (size_t i = 0; i < n; i++) x[i] = scale * ((float)(qn_test_random(seed, i) >> 8) / (float)(1 << 23) - 1.0f);
}

float *qn_test_floats(size_t n, uint64_t seed, float scale)
{
    float *x = qn_test_allocate(n * sizeof *x);
    qn_test_fill(x, n, seed, scale);
    return x;
}

qn_weight *qn_test_plain(qn_engine *engine, const char *name, qn_shape shape, const float *data)
{
    qn_weight *w = NULL;
    qn_weight_desc desc = {.name = name, .kind = QN_WEIGHT_F32, .shape = shape, .data = data};
    qn_assert_ok(qn_weight_create(engine, &desc, &w));
    return w;
}

/* Positive numbers of about 0.01..0.03 (a scale) that are halves if asked for. */
static float *make_scales(size_t n, bool halves, uint64_t seed)
{
    float *x = qn_test_floats(n, seed, 0.01f);
    for (size_t i = 0; i < n; i++) {
        x[i] += 0.02f;
        if (halves) x[i] = qn_half_to_float(qn_float_to_half(x[i]));
    }
    return x;
}

/* Element e of row n, as the public layout defines it. */
static double stored_value(const qn_test_matrix *m, uint32_t n, uint32_t e)
{
    const qn_weight_desc *d = &m->desc;
    size_t rows = d->shape.dim[0], k = d->shape.dim[1], at = n * k + e;
    size_t group_at = d->group ? e / d->group * rows + n : 0;
    uint32_t nibble = 0;
    if (d->kind == QN_WEIGHT_Q4 || d->kind == QN_WEIGHT_Q4A)
        nibble = ((const uint8_t *)m->data)[n * ((k + 1) / 2) + e / 2] >> (e % 2 ? 4 : 0) & 15;
    switch (d->kind) {
    case QN_WEIGHT_F32:
        return (double)((const float *)m->data)[at];
    case QN_WEIGHT_F16:
        return (double)qn_half_to_float(((const uint16_t *)m->data)[at]);
    case QN_WEIGHT_BF16:
        return (double)qn_bf16_to_float(((const uint16_t *)m->data)[at]);
    case QN_WEIGHT_Q8:
        return (double)((const int8_t *)m->data)[at] * (double)m->scales[group_at];
    case QN_WEIGHT_Q4:
        return ((double)nibble - 8.0) * (double)m->scales[group_at];
    case QN_WEIGHT_Q4A:
        return (double)nibble * (double)m->scales[group_at] - (double)m->mins[group_at];
    case QN_WEIGHT_I32:
        break; /* never a matrix */
    }
    return 0.0;
}

static void *make_data(qn_weight_kind kind, size_t n, size_t k, uint64_t seed)
{
    static const size_t bits[] = {[QN_WEIGHT_F32] = 32, [QN_WEIGHT_F16] = 16, [QN_WEIGHT_BF16] = 16,
                                  [QN_WEIGHT_Q8] = 8,   [QN_WEIGHT_Q4] = 4,   [QN_WEIGHT_Q4A] = 4};
    size_t row = (k * bits[kind] + 7) / 8;
    uint8_t *data = qn_test_allocate(n * row);
    for (size_t i = 0; i < n * k; i++) {
        float x;
        qn_test_fill(&x, 1, seed * 1000003 + i, 0.5f);
        uint32_t word;
        memcpy(&word, &x, sizeof word);
        if (kind == QN_WEIGHT_F32) memcpy(data + i * 4, &x, 4);
        if (kind == QN_WEIGHT_F16) ((uint16_t *)(void *)data)[i] = qn_float_to_half(x);
        if (kind == QN_WEIGHT_BF16) ((uint16_t *)(void *)data)[i] = (uint16_t)(word >> 16);
    }
    if (kind >= QN_WEIGHT_Q8)
        for (size_t i = 0; i < n * row; i++) data[i] = (uint8_t)qn_test_random(seed, i);
    return data;
}

qn_test_matrix qn_test_matrix_make(qn_weight_kind kind, uint32_t n, uint32_t k, uint32_t group, bool half_scales,
                                   uint64_t seed)
{
    qn_test_matrix m = {.data = make_data(kind, n, k, seed)};
    bool quantized = kind >= QN_WEIGHT_Q8;
    size_t n_scales = quantized ? (size_t)n * ((k + group - 1) / group) : 0;
    if (quantized) m.scales = make_scales(n_scales, half_scales, seed + 1);
    if (kind == QN_WEIGHT_Q4A) m.mins = make_scales(n_scales, half_scales, seed + 2);
    m.desc = (qn_weight_desc){.name = qn_test_kind_name(kind),
                              .kind = kind,
                              .matrix = true,
                              .shape = qn_shape_2(n, k),
                              .group = quantized ? group : 0,
                              .data = m.data,
                              .scales = m.scales,
                              .mins = m.mins};
    m.values = qn_test_allocate((size_t)n * k * sizeof *m.values);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = 0; e < k; e++) m.values[(size_t)i * k + e] = stored_value(&m, i, e);
    return m;
}

void qn_test_matrix_free(qn_test_matrix *m)
{
    free(m->data);
    free(m->scales);
    free(m->mins);
    free(m->values);
}

const char *qn_test_kind_name(qn_weight_kind kind)
{
    static const char *const names[] = {[QN_WEIGHT_F32] = "f32", [QN_WEIGHT_F16] = "f16", [QN_WEIGHT_BF16] = "bf16",
                                        [QN_WEIGHT_Q8] = "q8",   [QN_WEIGHT_Q4] = "q4",   [QN_WEIGHT_Q4A] = "q4a"};
    return names[kind];
}

/* ---- graphs ---------------------------------------------------------------------------------- */

qn_graph *qn_test_graph(qn_engine *engine)
{
    qn_graph *g = NULL;
    qn_assert_ok(qn_graph_open(engine, &g));
    return g;
}

/* Asks now and then: the software device computes, and compiles, on the same processors. */
qn_status qn_test_execute(qn_graph *g)
{
    static const struct timespec pause = {.tv_nsec = 20000};
    QN_TRY(qn_graph_submit(g));
    for (bool done = false;;) {
        QN_TRY(qn_graph_poll(g, &done));
        if (done) return qn_ok();
        nanosleep(&pause, NULL);
    }
}

qn_status qn_test_read_state(qn_graph *g, qn_value state, void *data)
{
    uint64_t bytes = qn_state_bytes(qn_graph_tensor(g, state)->dtype, &qn_graph_tensor(g, state)->max);
    return qn_test_read_buffer(g->engine->gpu, qn_graph_place(g, state)->buffer, 0, data, bytes);
}

const void *qn_test_run(qn_graph *g, qn_value output, qn_shape live)
{
    qn_shape got = {0};
    qn_assert_ok(qn_test_execute(g));
    const void *data = qn_graph_output_data(g, output, &got);
    assert_non_null(data);
    assert_int_equal(got.rank, live.rank);
    for (uint32_t i = 0; i < live.rank; i++) assert_int_equal(got.dim[i], live.dim[i]);
    return data;
}

bool qn_test_dispatched(const qn_graph *g, const char *kernel)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++)
        if (strcmp(qn_graph_dispatch(g, i).kernel, kernel) == 0) return true;
    return false;
}

/* ---- comparing ------------------------------------------------------------------------------- */

void qn_test_compare(const char *what, const float *got, const double *want, size_t n, qn_tolerance tolerance)
{
    size_t n_wrong = 0, worst = 0;
    double worst_error = -1.0;
    for (size_t i = 0; i < n; i++) {
        if ((double)got[i] == want[i]) continue; /* infinities, too */
        double error = fabs((double)got[i] - want[i]);
        if (isnan(error)) error = isnan(got[i]) && isnan(want[i]) ? 0.0 : INFINITY;
        if (error <= tolerance.abs || error <= tolerance.rel * fabs(want[i])) continue;
        n_wrong++;
        if (error > worst_error) {
            worst = i;
            worst_error = error;
        }
    }
    if (n_wrong)
        fail_msg("%s: %zu of %zu elements are wrong; the worst is element %zu: got %.9g, expected %.9g, error %.3g",
                 what, n_wrong, n, worst, (double)got[worst], want[worst], worst_error);
}
