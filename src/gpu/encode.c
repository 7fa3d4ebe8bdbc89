/* encode.c - recording one compute pass and submitting it, with GPU timestamps when asked for. */
#include "gpu/transfer.h"

#include <inttypes.h>

struct qn_encoder {
    qn_gpu *gpu;
    WGPUCommandEncoder encoder; /* while it records                          */
    WGPUComputePassEncoder pass;
    WGPUCommandBuffer commands; /* finished, not submitted yet               */
    uint32_t max_timestamps;    /* dispatches */
    WGPUQuerySet queries;       /* max_timestamps + 1 in-pass marks, or a pair for each dispatch */
    WGPUBuffer resolved;
    uint64_t resolved_size;
    qn_readback *times;
    qn_timing timing;
    uint32_t n_timed; /* dispatches (or the pass) of the current or last timed submission */
    bool past_marks;  /* the open pass holds dispatches that have no marks                */
    qn_encoder_counts counts;
    qn_submission submission; /* the last one */
};

/* Queries of a set: https://www.w3.org/TR/webgpu/#dom-gpudevice-createqueryset */
enum { MAX_QUERIES = 4096 };

static uint32_t query_count(const qn_encoder *e)
{
    uint32_t n = e->gpu->info.timestamps_in_pass ? e->max_timestamps + 1 : e->max_timestamps * 2;
    return n < 2 ? 2 : n; /* a pair for the whole pass */
}

/* Dispatches that fit a query set; those after them stay untimed. */
static uint32_t timed_dispatches(const qn_gpu *gpu, uint32_t wanted)
{
    uint32_t most = gpu->info.timestamps_in_pass ? MAX_QUERIES - 1 : MAX_QUERIES / 2;
    return wanted < most ? wanted : most;
}

static qn_status make_queries(qn_encoder *e)
{
    qn_gpu *gpu = e->gpu;
    qn_scope_begin(gpu);
    WGPUQuerySetDescriptor desc = {
        .label = qn_string("timestamps"), .type = WGPUQueryType_Timestamp, .count = query_count(e)};
    e->queries = wgpuDeviceCreateQuerySet(gpu->device, &desc);
    QN_TRY(qn_scope_end(gpu, "query set", "timestamps"));
    e->resolved_size = (uint64_t)query_count(e) * 8;
    QN_TRY(qn_buffer_make(gpu, WGPUBufferUsage_QueryResolve | WGPUBufferUsage_CopySrc, e->resolved_size, false,
                          "timestamps", &e->resolved));
    return qn_readback_create(gpu, e->resolved_size, "timestamps", &e->times);
}

qn_status qn_encoder_create(qn_gpu *gpu, uint32_t max_timestamps, qn_encoder **encoder)
{
    *encoder = NULL;
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_encoder), "encoder", &p));
    qn_encoder *e = p;
    e->gpu = gpu;
    e->max_timestamps = gpu->info.timestamps ? timed_dispatches(gpu, max_timestamps) : 0;
    if (max_timestamps && !gpu->info.timestamps) {
        qn_encoder_free(e);
        return qn_fail(QN_ERR_UNSUPPORTED, "%s has no GPU timestamps%s", gpu->info.name,
                       gpu->info.baseline ? " in baseline mode" : "");
    }
    if (e->max_timestamps) {
        qn_status s = make_queries(e);
        if (s.code != QN_OK) {
            qn_encoder_free(e);
            return s;
        }
    }
    *encoder = e;
    return qn_ok();
}

void qn_encoder_free(qn_encoder *encoder)
{
    if (!encoder) return;
    qn_encoder_abort(encoder);
    qn_readback_free(encoder->times);
    qn_buffer_drop(encoder->gpu, encoder->resolved, encoder->resolved_size);
    if (encoder->queries) wgpuQuerySetRelease(encoder->queries);
    qn_free(encoder->gpu->allocator, encoder);
}

static void open_pass(qn_encoder *e, const WGPUPassTimestampWrites *writes)
{
    WGPUComputePassDescriptor desc = {.label = qn_string("quern"), .timestampWrites = writes};
    e->pass = wgpuCommandEncoderBeginComputePass(e->encoder, &desc);
    e->counts.passes++;
    atomic_fetch_add(&e->gpu->n_passes, 1);
}

static void close_pass(qn_encoder *e)
{
    if (!e->pass) return;
    wgpuComputePassEncoderEnd(e->pass);
    wgpuComputePassEncoderRelease(e->pass);
    e->pass = NULL;
}

qn_status qn_encoder_begin(qn_encoder *encoder, qn_timing timing)
{
    qn_gpu *gpu = encoder->gpu;
    qn_encoder_abort(encoder);
    QN_TRY(qn_gpu_check(gpu));
    if (encoder->times) qn_readback_release(encoder->times);
    if (timing && !encoder->queries) return qn_fail(QN_ERR_STATE, "this encoder was made without timestamps");
    encoder->timing = timing;
    encoder->n_timed = 0;
    encoder->past_marks = false;
    encoder->encoder = qn_gpu_begin(gpu, "quern");
    if (!encoder->encoder) return qn_fail(QN_ERR_GPU, "WebGPU made no command encoder");
    atomic_fetch_add(&gpu->n_encoders, 1);
    return qn_ok();
}

/* Marks between the dispatches of one pass; otherwise a pass has a mark at its start and one at its end. */
static bool in_pass_marks(const qn_encoder *e)
{
    return e->gpu->info.timestamps_in_pass && e->timing == QN_TIME_DISPATCHES;
}

/* Marks the start of a dispatch: in one pass where the device can, else with a pass of its own. */
static void begin_timed(qn_encoder *e)
{
    uint32_t i = e->n_timed++;
    if (in_pass_marks(e)) {
        if (!e->pass) open_pass(e, NULL);
        if (i == 0) qn_impl_pass_timestamp(e->pass, e->queries, 0);
        return;
    }
    close_pass(e);
    WGPUPassTimestampWrites writes = {
        .querySet = e->queries, .beginningOfPassWriteIndex = 2 * i, .endOfPassWriteIndex = 2 * i + 1};
    open_pass(e, &writes);
}

void qn_encoder_dispatch(qn_encoder *encoder, const qn_kernel *kernel, const qn_bindings *bindings,
                         uint32_t param_offset, const uint32_t grid[3])
{
    bool room = encoder->timing == QN_TIME_PASS ? encoder->n_timed == 0 : encoder->n_timed < encoder->max_timestamps;
    bool timed = encoder->timing && room;
    if (timed) {
        begin_timed(encoder);
    } else {
        /* Past the last mark: a pass of its own, so that the last timed one ends in time. */
        bool past = encoder->timing == QN_TIME_DISPATCHES && !in_pass_marks(encoder);
        if (past && !encoder->past_marks) close_pass(encoder);
        encoder->past_marks = past;
        if (!encoder->pass) open_pass(encoder, NULL);
    }
    wgpuComputePassEncoderSetPipeline(encoder->pass, kernel->pipeline);
    wgpuComputePassEncoderSetBindGroup(encoder->pass, 0, bindings->handle, 1, &param_offset);
    wgpuComputePassEncoderDispatchWorkgroups(encoder->pass, grid[0], grid[1], grid[2]);
    if (timed && in_pass_marks(encoder)) qn_impl_pass_timestamp(encoder->pass, encoder->queries, encoder->n_timed);
}

void qn_encoder_copy(qn_encoder *encoder, qn_buffer *src, uint64_t src_offset, qn_buffer *dst, uint64_t dst_offset,
                     uint64_t size)
{
    close_pass(encoder);
    wgpuCommandEncoderCopyBufferToBuffer(encoder->encoder, src->handle, src_offset, dst->handle, dst_offset, size);
}

void qn_encoder_copy_readback(qn_encoder *encoder, qn_buffer *src, uint64_t src_offset, qn_readback *readback,
                              uint64_t dst_offset, uint64_t size)
{
    close_pass(encoder);
    wgpuCommandEncoderCopyBufferToBuffer(encoder->encoder, src->handle, src_offset, readback->handle, dst_offset, size);
}

/* Marks that the current or last timed submission wrote. */
static uint32_t mark_count(const qn_encoder *e)
{
    return in_pass_marks(e) ? e->n_timed + 1 : e->n_timed * 2;
}

qn_status qn_encoder_finish(qn_encoder *encoder)
{
    close_pass(encoder);
    if (encoder->timing && encoder->n_timed) {
        uint32_t n = mark_count(encoder);
        wgpuCommandEncoderResolveQuerySet(encoder->encoder, encoder->queries, 0, n, encoder->resolved, 0);
        wgpuCommandEncoderCopyBufferToBuffer(encoder->encoder, encoder->resolved, 0, encoder->times->handle, 0,
                                             (uint64_t)n * 8);
    }
    WGPUCommandEncoder recorded = encoder->encoder;
    encoder->encoder = NULL;
    qn_status s = qn_gpu_finish(encoder->gpu, recorded, "quern", &encoder->commands);
    if (s.code != QN_OK) encoder->n_timed = 0;
    return s;
}

qn_status qn_encoder_submit(qn_encoder *encoder)
{
    if (!encoder->commands) QN_TRY(qn_encoder_finish(encoder));
    WGPUCommandBuffer commands = encoder->commands;
    encoder->commands = NULL;
    qn_status s = qn_gpu_submit(encoder->gpu, commands, &encoder->submission);
    if (s.code == QN_OK) encoder->counts.submits++;
    if (s.code != QN_OK) encoder->n_timed = 0;
    if (s.code == QN_OK && encoder->timing && encoder->n_timed)
        s = qn_readback_start(encoder->times, (uint64_t)mark_count(encoder) * 8);
    return s;
}

qn_submission qn_encoder_submission(const qn_encoder *encoder)
{
    return encoder->submission;
}

qn_status qn_encoder_poll(qn_encoder *encoder, bool *done)
{
    return qn_submission_poll(encoder->gpu, encoder->submission, done);
}

qn_encoder_counts qn_encoder_get_counts(const qn_encoder *encoder)
{
    return encoder->counts;
}

void qn_encoder_abort(qn_encoder *encoder)
{
    close_pass(encoder);
    if (encoder->encoder) wgpuCommandEncoderRelease(encoder->encoder);
    if (encoder->commands) wgpuCommandBufferRelease(encoder->commands);
    encoder->encoder = NULL;
    encoder->commands = NULL;
}

qn_status qn_encoder_timestamps(qn_encoder *encoder, double *ns, uint32_t capacity, uint32_t *n, bool *done)
{
    *n = 0;
    *done = true;
    if (!encoder->timing || encoder->n_timed == 0) return qn_ok();
    const void *bytes = NULL;
    QN_TRY(qn_readback_poll(encoder->times, &bytes));
    *done = bytes != NULL;
    if (!bytes) return qn_ok();
    const uint64_t *t = bytes;
    bool in_pass = in_pass_marks(encoder);
    double period = qn_impl_timestamp_period_ns(encoder->gpu);
    for (uint32_t i = 0; i < encoder->n_timed && i < capacity; i++) {
        uint64_t begin = in_pass ? t[i] : t[2 * i], end = in_pass ? t[i + 1] : t[2 * i + 1];
        ns[(*n)++] = end > begin ? (double)(end - begin) * period : 0.0;
    }
    qn_readback_release(encoder->times);
    encoder->n_timed = 0;
    return qn_ok();
}
