/* buffer.c - GPU memory. */
#include "gpu/internal.h"

#include <inttypes.h>
#include <string.h>

qn_status qn_buffer_make(qn_gpu *gpu, WGPUBufferUsage usage, uint64_t size, bool mapped, const char *label,
                         WGPUBuffer *handle)
{
    *handle = NULL;
    if (size > gpu->info.max_buffer_bytes)
        return qn_fail(QN_ERR_LIMIT, "%s: %" PRIu64 " bytes are over this device's buffer limit of %" PRIu64, label,
                       size, gpu->info.max_buffer_bytes);
    QN_TRY(qn_gpu_check(gpu));
    QN_TRY(qn_account_take(gpu, size, label));
    qn_scope_begin(gpu);
    WGPUBufferDescriptor desc = {.label = qn_string(label), .usage = usage, .size = size, .mappedAtCreation = mapped};
    *handle = wgpuDeviceCreateBuffer(gpu->device, &desc);
    qn_status s = qn_scope_end(gpu, "buffer", label);
    if (s.code == QN_OK && !*handle) s = qn_gpu_error(gpu, "", WGPUErrorType_OutOfMemory, "WebGPU made none");
    if (s.code == QN_ERR_GPU_MEMORY) s = qn_in(s, "%s of %" PRIu64 " bytes", label, size);
    if (s.code != QN_OK) {
        if (*handle) wgpuBufferRelease(*handle);
        *handle = NULL;
        qn_account_give(gpu, size);
        return s;
    }
    atomic_fetch_add(&gpu->n_buffers, 1);
    return qn_ok();
}

void qn_buffer_drop(qn_gpu *gpu, WGPUBuffer handle, uint64_t size)
{
    if (!handle) return;
    wgpuBufferDestroy(handle);
    wgpuBufferRelease(handle);
    qn_account_give(gpu, size);
}

static qn_status write_guard(qn_buffer *b)
{
    void *bytes;
    QN_TRY(qn_alloc(b->gpu->allocator, (size_t)b->guard, 1, "guard", &bytes));
    memset(bytes, b->gpu->guard_byte, (size_t)b->guard);
    wgpuQueueWriteBuffer(b->gpu->queue, b->handle, b->size, bytes, (size_t)b->guard);
    qn_free(b->gpu->allocator, bytes);
    return qn_ok();
}

qn_status qn_buffer_create(qn_gpu *gpu, qn_buffer_kind kind, uint64_t size, const char *label, qn_buffer **buffer)
{
    *buffer = NULL;
    if (size > UINT64_MAX - 16) return qn_fail(QN_ERR_LIMIT, "%s: size overflows", label);
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_buffer), "buffer", &p));
    qn_buffer *b = p;
    b->gpu = gpu;
    b->size = qn_round_up_u64(size ? size : 1, 16);
    WGPUBufferUsage usage = WGPUBufferUsage_CopyDst | WGPUBufferUsage_CopySrc;
    usage |= kind == QN_BUFFER_PARAMS ? WGPUBufferUsage_Uniform : WGPUBufferUsage_Storage;
    b->guard = kind == QN_BUFFER_STORAGE ? gpu->guard_bytes : 0;
    qn_status s = qn_buffer_make(gpu, usage, b->size + b->guard, false, label, &b->handle);
    if (s.code == QN_OK && b->guard) s = write_guard(b);
    if (s.code != QN_OK) {
        if (b->handle) qn_buffer_drop(gpu, b->handle, b->size + b->guard);
        qn_free(gpu->allocator, b);
        return s;
    }
    *buffer = b;
    return qn_ok();
}

void qn_buffer_free(qn_buffer *buffer)
{
    if (!buffer) return;
    qn_buffer_drop(buffer->gpu, buffer->handle, buffer->size + buffer->guard);
    qn_free(buffer->gpu->allocator, buffer);
}

uint64_t qn_buffer_size(const qn_buffer *buffer)
{
    return buffer->size;
}

qn_status qn_buffer_write(qn_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    if (offset % 4 || size % 4 || offset > buffer->size || size > buffer->size - offset)
        return qn_fail(QN_ERR_INTERNAL, "write of %" PRIu64 " bytes at %" PRIu64 " does not fit a buffer of %" PRIu64,
                       size, offset, buffer->size);
    QN_TRY(qn_gpu_check(buffer->gpu));
    wgpuQueueWriteBuffer(buffer->gpu->queue, buffer->handle, offset, data, (size_t)size);
    atomic_fetch_add(&buffer->gpu->n_writes, 1);
    return qn_ok();
}

qn_status qn_buffer_clear(qn_buffer *buffer)
{
    qn_gpu *gpu = buffer->gpu;
    QN_TRY(qn_gpu_check(gpu));
    WGPUCommandEncoder encoder = qn_gpu_begin(gpu, "clear");
    wgpuCommandEncoderClearBuffer(encoder, buffer->handle, 0, buffer->size);
    WGPUCommandBuffer commands;
    QN_TRY(qn_gpu_finish(gpu, encoder, "clear", &commands));
    return qn_gpu_submit(gpu, commands, NULL);
}

#ifndef QN_NO_BLOCKING
static qn_status read_bytes(qn_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    qn_gpu *gpu = buffer->gpu;
    qn_readback *readback = NULL;
    qn_encoder *encoder = NULL;
    qn_status s = qn_readback_create(gpu, size, "read", &readback);
    if (s.code == QN_OK) s = qn_encoder_create(gpu, 0, &encoder);
    if (s.code == QN_OK) s = qn_encoder_begin(encoder, QN_TIME_NOTHING);
    if (s.code == QN_OK) {
        qn_encoder_copy_readback(encoder, buffer, offset, readback, 0, size);
        s = qn_encoder_submit(encoder);
    }
    if (s.code == QN_OK) s = qn_readback_start(readback, size);
    if (s.code == QN_OK) s = qn_gpu_poll(gpu, true);
    const void *bytes = NULL;
    if (s.code == QN_OK) s = qn_readback_poll(readback, &bytes);
    if (s.code == QN_OK && !bytes) s = qn_fail(QN_ERR_INTERNAL, "a finished readback has no data");
    if (s.code == QN_OK) memcpy(data, bytes, (size_t)size);
    qn_encoder_free(encoder);
    qn_readback_free(readback);
    return s;
}

qn_status qn_buffer_read(qn_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    if (offset % 4 || size % 4 || offset > buffer->size || size > buffer->size - offset)
        return qn_fail(QN_ERR_INTERNAL, "read of %" PRIu64 " bytes at %" PRIu64 " does not fit a buffer of %" PRIu64,
                       size, offset, buffer->size);
    return size ? read_bytes(buffer, offset, data, size) : qn_ok();
}

qn_status qn_buffer_check_guard(qn_buffer *buffer, bool *intact)
{
    *intact = true;
    if (!buffer->guard) return qn_ok();
    void *p;
    QN_TRY(qn_alloc(buffer->gpu->allocator, (size_t)buffer->guard, 1, "guard", &p));
    const uint8_t *bytes = p;
    qn_status s = read_bytes(buffer, buffer->size, p, buffer->guard);
    for (uint64_t i = 0; s.code == QN_OK && i < buffer->guard; i++)
        if (bytes[i] != buffer->gpu->guard_byte) *intact = false;
    qn_free(buffer->gpu->allocator, p);
    return s;
}
#endif
