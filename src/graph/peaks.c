/* peaks.c - measuring what a device can do: copy memory, multiply and add, multiply bytes. */
#include "graph/engine.h"

#include "gpu/shaders.h"

#include <string.h>

#ifndef QN_NO_BLOCKING

enum {
    COPY_BYTES = 128 << 20, /* past the caches of today's GPUs         */
    SOFTWARE_COPY_BYTES = 8 << 20,
    WORKGROUP = 256, /* as in peaks.wgsl                         */
    COPY_GROUPS = 4096,
    GROUPS = 4096, /* of arithmetic                            */
    SOFTWARE_GROUPS = 16,
    ROUNDS = 64,
    PRODUCTS = 16 * 32, /* of a round of a lane                  */
    LEAST_RUNS = 5,
};
static const double warm_ns = 150e6; /* of GPU time: until its clocks have risen */

typedef struct bench {
    qn_gpu *gpu;
    qn_buffer *params, *src, *dst;
    qn_encoder *encoder;
    uint64_t copy_bytes;
    uint32_t groups;
} bench;

static const char *find_source(const char *name)
{
    const qn_shader_source *s = qn_shader_sources;
    while (s->name && strcmp(s->name, name) != 0) s++;
    return s->text;
}

static qn_status open_bench(bench *b)
{
    const qn_device_info *device = qn_gpu_info(b->gpu);
    bool software = device->type == QN_ADAPTER_SOFTWARE;
    b->groups = software ? SOFTWARE_GROUPS : GROUPS;
    b->copy_bytes = software ? SOFTWARE_COPY_BYTES : COPY_BYTES;
    if (b->copy_bytes > device->max_binding_bytes) b->copy_bytes = device->max_binding_bytes / 16 * 16;
    QN_TRY(qn_buffer_create(b->gpu, QN_BUFFER_PARAMS, QN_PARAM_SLOT, "peaks", &b->params));
    QN_TRY(qn_buffer_create(b->gpu, QN_BUFFER_STORAGE, b->copy_bytes, "peaks", &b->src));
    QN_TRY(qn_buffer_create(b->gpu, QN_BUFFER_STORAGE, b->copy_bytes, "peaks", &b->dst));
    const uint32_t params[] = {(uint32_t)(b->copy_bytes / 16), ROUNDS};
    QN_TRY(qn_buffer_write(b->params, 0, params, sizeof params));
    return qn_encoder_create(b->gpu, 1, &b->encoder);
}

static void close_bench(bench *b)
{
    qn_encoder_free(b->encoder);
    qn_buffer_free(b->dst);
    qn_buffer_free(b->src);
    qn_buffer_free(b->params);
}

static qn_status run_once(const bench *b, const qn_kernel *kernel, const qn_bindings *bindings, uint32_t groups,
                          double *ns)
{
    uint32_t n = 0;
    *ns = 0;
    QN_TRY(qn_encoder_begin(b->encoder, QN_TIME_PASS));
    qn_encoder_dispatch(b->encoder, kernel, bindings, 0, (const uint32_t[3]){groups, 1, 1});
    QN_TRY(qn_encoder_submit(b->encoder));
    for (bool done = false; !done;) {
        QN_TRY(qn_gpu_poll(b->gpu, true));
        QN_TRY(qn_encoder_timestamps(b->encoder, ns, 1, &n, &done));
    }
    return qn_ok();
}

/* Least nanoseconds of a dispatch, once the device is warm. */
static qn_status time_kernel(const bench *b, const char *entry, uint32_t groups, double *least)
{
    const qn_kernel_desc desc = {
        .label = entry, .source = find_source("peaks"), .entry = entry, .access = "rw", .trusted = true};
    const qn_range ranges[] = {{b->src, 0, b->copy_bytes}, {b->dst, 0, b->copy_bytes}};
    qn_kernel *kernel = NULL;
    qn_bindings *bindings = NULL;
    qn_status s = qn_kernels_create(b->gpu, 1, &desc, 1, &kernel);
    if (s.code == QN_OK) s = qn_bindings_create(b->gpu, kernel, b->params, ranges, 2, &bindings);
    double spent = 0, ns;
    *least = 0;
    for (uint32_t i = 0; s.code == QN_OK && (i < LEAST_RUNS || spent < warm_ns); i++) {
        s = run_once(b, kernel, bindings, groups, &ns);
        spent += ns > 0 ? ns : warm_ns / LEAST_RUNS; /* a clock too coarse must not keep us here */
        if (ns > 0 && (*least == 0 || ns < *least)) *least = ns;
    }
    qn_bindings_free(bindings);
    qn_kernel_free(kernel);
    return s;
}

static double per_second(double amount, double ns)
{
    return ns > 0 ? amount / ns * 1e9 : 0;
}

qn_status qn_engine_measure_peaks(qn_engine *engine, qn_peaks *peaks)
{
    *peaks = (qn_peaks){0};
    bench b = {.gpu = engine->gpu};
    double copy = 0, multiply_add = 0, dot = 0;
    qn_status s = open_bench(&b);
    if (s.code == QN_OK) s = time_kernel(&b, "copy", COPY_GROUPS, &copy);
    if (s.code == QN_OK) s = time_kernel(&b, "multiply_add", b.groups, &multiply_add);
    if (s.code == QN_OK) s = time_kernel(&b, "dot_bytes", b.groups, &dot);
    double products = (double)b.groups * WORKGROUP * ROUNDS * PRODUCTS;
    peaks->copy_bytes = per_second(2.0 * (double)b.copy_bytes, copy);
    peaks->f32_flops = per_second(products * 2, multiply_add);
    peaks->i8_ops = per_second(products * 8, dot); /* of four bytes each */
    close_bench(&b);
    return s;
}

#endif
