/* device.c - an open device: loss, errors, submissions, the account of GPU memory. */
#include "gpu/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- loss and errors ------------------------------------------------------------------------- */

qn_status qn_gpu_lost_status(const qn_gpu *gpu)
{
    return qn_fail(QN_ERR_DEVICE_LOST, "%s: the device was lost%s%s; close the engine and open a new one",
                   gpu->info.name, gpu->lost_message[0] ? ": " : "", gpu->lost_message);
}

qn_status qn_gpu_error(qn_gpu *gpu, const char *what, WGPUErrorType type, const char *message)
{
    if (type != WGPUErrorType_OutOfMemory) return qn_fail(QN_ERR_GPU, "%sWebGPU: %s", what, message);
    qn_gpu_refuse(gpu, 0);
    return qn_fail(QN_ERR_GPU_MEMORY,
                   "%sthe device has no memory for it (with it, %" PRIu64 " bytes are taken here): %s", what,
                   atomic_load(&gpu->held), message);
}

qn_status qn_gpu_check_lost(const qn_gpu *gpu)
{
    return atomic_load(&gpu->lost) ? qn_gpu_lost_status(gpu) : qn_ok();
}

qn_status qn_gpu_check(qn_gpu *gpu)
{
    if (atomic_load(&gpu->lost)) return qn_gpu_lost_status(gpu);
    if (!atomic_load(&gpu->stray)) return qn_ok();
    qn_lock_take(&gpu->stray_lock);
    qn_status s = qn_gpu_error(gpu, "", gpu->stray_type, gpu->stray_message);
    atomic_store(&gpu->stray, false);
    qn_lock_give(&gpu->stray_lock);
    return s;
}

qn_status qn_gpu_poll(qn_gpu *gpu, bool wait)
{
    if (atomic_load(&gpu->lost)) return qn_gpu_lost_status(gpu);
    qn_impl_poll(gpu, wait, NULL);
    return qn_gpu_check(gpu);
}

qn_status qn_submission_poll(qn_gpu *gpu, qn_submission submission, bool *done)
{
    *done = false;
    QN_TRY(qn_gpu_check_lost(gpu));
    if (atomic_load(&gpu->finished) < submission.number) QN_TRY(qn_gpu_poll(gpu, false));
    *done = atomic_load(&gpu->finished) >= submission.number;
    return qn_ok();
}

qn_status qn_submission_wait(qn_gpu *gpu, qn_submission submission)
{
    if (submission.number == 0) return qn_gpu_poll(gpu, false);
    QN_TRY(qn_gpu_check_lost(gpu));
    qn_impl_poll(gpu, true, &submission.index);
    return qn_gpu_check(gpu);
}

void qn_gpu_lose(qn_gpu *gpu)
{
    wgpuDeviceDestroy(gpu->device);
    qn_impl_poll(gpu, false, NULL);
    if (!atomic_load(&gpu->lost)) {
        snprintf(gpu->lost_message, sizeof gpu->lost_message, "destroyed on request");
        atomic_store(&gpu->lost, true);
    }
}

/* ---- submissions ----------------------------------------------------------------------------- */

static void on_finished(WGPUQueueWorkDoneStatus status, WGPUStringView message, void *user, void *unused)
{
    (void)status;
    (void)message;
    (void)unused;
    atomic_fetch_add(&((qn_gpu *)user)->finished, 1);
    qn_gpu_let_go(user);
}

static qn_submission submit(qn_gpu *gpu, WGPUCommandBuffer commands)
{
    WGPUQueueWorkDoneCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_finished, .userdata1 = gpu};
    qn_lock_take(&gpu->submit_lock);
    qn_submission s = {.index = qn_impl_submit(gpu->queue, commands)};
    qn_gpu_hold(gpu);
    wgpuQueueOnSubmittedWorkDone(gpu->queue, info);
    s.number = ++gpu->submitted;
    qn_lock_give(&gpu->submit_lock);
    atomic_fetch_add(&gpu->n_submits, 1);
    return s;
}

WGPUCommandEncoder qn_gpu_begin(qn_gpu *gpu, const char *label)
{
    WGPUCommandEncoderDescriptor desc = {.label = qn_string(label)};
    return wgpuDeviceCreateCommandEncoder(gpu->device, &desc);
}

qn_status qn_gpu_finish(qn_gpu *gpu, WGPUCommandEncoder encoder, const char *label, WGPUCommandBuffer *commands)
{
    /* The scope catches an invalid command buffer here: submitting one would abort the process. */
    qn_scope_begin(gpu);
    WGPUCommandBufferDescriptor desc = {.label = qn_string(label)};
    *commands = wgpuCommandEncoderFinish(encoder, &desc);
    qn_status s = qn_scope_end(gpu, "commands", label);
    wgpuCommandEncoderRelease(encoder);
    if (s.code == QN_OK && !*commands) s = qn_fail(QN_ERR_GPU, "commands %s: WebGPU made none", label);
    if (s.code != QN_OK && *commands) {
        wgpuCommandBufferRelease(*commands);
        *commands = NULL;
    }
    return s;
}

qn_status qn_gpu_submit(qn_gpu *gpu, WGPUCommandBuffer commands, qn_submission *submission)
{
    qn_impl_poll(gpu, false, NULL); /* a loss shows up here, before submit, which could not report it */
    qn_status s = qn_gpu_check(gpu);
    if (s.code == QN_OK) {
        qn_submission made = submit(gpu, commands);
        if (submission) *submission = made;
    }
    wgpuCommandBufferRelease(commands);
    return s;
}

/* ---- account --------------------------------------------------------------------------------- */

qn_status qn_account_take(qn_gpu *gpu, uint64_t size, const char *label)
{
    uint64_t total = atomic_fetch_add(&gpu->allocated_total, size) + size;
    if (gpu->fail_after && total > gpu->fail_after) {
        qn_gpu_refuse(gpu, size);
        return qn_fail(QN_ERR_GPU_MEMORY,
                       "%s: no GPU memory for %" PRIu64 " bytes (failure injected after %" PRIu64 ")", label, size,
                       gpu->fail_after);
    }
    uint64_t held = atomic_fetch_add(&gpu->held, size) + size;
    if (gpu->memory_limit && held > gpu->memory_limit) {
        atomic_fetch_sub(&gpu->held, size);
        qn_gpu_refuse(gpu, size);
        return qn_fail(QN_ERR_GPU_MEMORY,
                       "%s: needs %" PRIu64 " bytes of GPU memory, but %" PRIu64 " of the allowed %" PRIu64
                       " are in use; allow more (--gpu-memory) or ask for a shorter context (--ctx)",
                       label, size, held - size, gpu->memory_limit);
    }
    uint64_t peak = atomic_load(&gpu->peak);
    while (held > peak && !atomic_compare_exchange_weak(&gpu->peak, &peak, held)) {
    }
    return qn_ok();
}

void qn_account_give(qn_gpu *gpu, uint64_t size)
{
    atomic_fetch_sub(&gpu->held, size);
}

uint64_t qn_gpu_bytes(const qn_gpu *gpu, uint64_t *peak)
{
    if (peak) *peak = atomic_load(&gpu->peak);
    return atomic_load(&gpu->held);
}

void qn_gpu_refuse(qn_gpu *gpu, uint64_t size)
{
    atomic_store(&gpu->refused, atomic_load(&gpu->held) + size);
}

uint64_t qn_gpu_refused(const qn_gpu *gpu)
{
    return atomic_load(&gpu->refused);
}

uint64_t qn_gpu_memory_limit(const qn_gpu *gpu)
{
    return gpu->memory_limit;
}

/* ---- facts ----------------------------------------------------------------------------------- */

const qn_device_info *qn_gpu_info(const qn_gpu *gpu)
{
    return &gpu->info;
}

qn_gpu_counts qn_gpu_get_counts(const qn_gpu *gpu)
{
    return (qn_gpu_counts){
        .buffers = atomic_load(&gpu->n_buffers),
        .kernels = atomic_load(&gpu->n_kernels),
        .bindings = atomic_load(&gpu->n_bindings),
        .encoders = atomic_load(&gpu->n_encoders),
        .passes = atomic_load(&gpu->n_passes),
        .submits = atomic_load(&gpu->n_submits),
        .writes = atomic_load(&gpu->n_writes),
    };
}
