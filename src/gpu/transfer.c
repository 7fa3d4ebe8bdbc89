/* transfer.c - readback of results and upload of weights through mappable buffers. */
#include "gpu/transfer.h"

#include <inttypes.h>

static void on_mapped(WGPUMapAsyncStatus status, WGPUStringView message, void *user, void *unused)
{
    (void)unused;
    qn_answer_settle(user, status == WGPUMapAsyncStatus_Success, message);
}

/* Asks for a mapping of the first `size` bytes. */
static void map_start(WGPUBuffer buffer, WGPUMapMode mode, uint64_t size, qn_answer *mapping)
{
    atomic_store(&mapping->state, QN_ANSWER_WAITING);
    WGPUBufferMapCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_mapped, .userdata1 = mapping};
    wgpuBufferMapAsync(buffer, mode, 0, (size_t)size, info);
}

static int state_of(const qn_readback *r)
{
    return r->mapping ? atomic_load(&r->mapping->state) : QN_ANSWER_NONE;
}

/* ---- readback -------------------------------------------------------------------------------- */

qn_status qn_readback_create(qn_gpu *gpu, uint64_t size, const char *label, qn_readback **readback)
{
    *readback = NULL;
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_readback), "readback", &p));
    qn_readback *r = p;
    r->gpu = gpu;
    r->size = qn_round_up_u64(size ? size : 1, 16);
    qn_status s = qn_answer_create(gpu->allocator, &r->mapping);
    if (s.code == QN_OK)
        s = qn_buffer_make(gpu, WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst, r->size, false, label, &r->handle);
    if (s.code != QN_OK) {
        qn_readback_free(r);
        return s;
    }
    *readback = r;
    return qn_ok();
}

void qn_readback_free(qn_readback *readback)
{
    if (!readback) return;
    qn_gpu *gpu = readback->gpu;
    qn_buffer_drop(gpu, readback->handle, readback->size);
    qn_answer_free(readback->mapping);
    qn_free(gpu->allocator, readback);
}

qn_status qn_readback_start(qn_readback *readback, uint64_t size)
{
    if (state_of(readback) != QN_ANSWER_NONE) return qn_fail(QN_ERR_STATE, "readback is in use");
    if (size > readback->size)
        return qn_fail(QN_ERR_INTERNAL, "readback of %" PRIu64 " bytes from %" PRIu64, size, readback->size);
    /* Not qn_gpu_check: the submission has happened, an error of something else must not hide its results. */
    QN_TRY(qn_gpu_check_lost(readback->gpu));
    if (!readback->mapping) QN_TRY(qn_answer_create(readback->gpu->allocator, &readback->mapping));
    readback->mapped_size = size;
    map_start(readback->handle, WGPUMapMode_Read, size, readback->mapping);
    return qn_ok();
}

qn_status qn_readback_poll(qn_readback *readback, const void **data)
{
    *data = NULL;
    int state = state_of(readback);
    if (state == QN_ANSWER_WAITING) {
        QN_TRY(qn_gpu_poll(readback->gpu, false));
        state = state_of(readback);
    }
    if (state == QN_ANSWER_FAILED) {
        atomic_store(&readback->mapping->state, QN_ANSWER_NONE);
        QN_TRY(qn_gpu_check(readback->gpu));
        return qn_fail(QN_ERR_GPU, "readback failed: %s", readback->mapping->message);
    }
    if (state != QN_ANSWER_READY) return qn_ok();
    /* wgpu-native aborts when the mapped buffer was destroyed with its device. */
    QN_TRY(qn_gpu_check_lost(readback->gpu));
    *data = wgpuBufferGetConstMappedRange(readback->handle, 0, (size_t)readback->mapped_size);
    return *data ? qn_ok() : qn_fail(QN_ERR_GPU, "readback: mapped range is missing");
}

void qn_readback_release(qn_readback *readback)
{
    qn_gpu *gpu = readback->gpu;
    int state = state_of(readback);
    if (state == QN_ANSWER_NONE) return;
    /* The buffer of a lost device is gone, and with it what was mapped. */
    if (state != QN_ANSWER_FAILED && !atomic_load(&gpu->lost)) wgpuBufferUnmap(readback->handle);
    for (int i = 0; i < 3 && state_of(readback) == QN_ANSWER_WAITING; i++)
        qn_impl_poll(gpu, !atomic_load(&gpu->lost), NULL);
    if (state_of(readback) == QN_ANSWER_WAITING) { /* the next mapping does not wait for this one's callback */
        qn_answer_free(readback->mapping);
        readback->mapping = NULL;
    } else
        atomic_store(&readback->mapping->state, QN_ANSWER_NONE);
}

/* ---- upload ---------------------------------------------------------------------------------- */

typedef struct upload_slot {
    WGPUBuffer handle;
    qn_answer *mapping;
} upload_slot;

struct qn_upload {
    qn_gpu *gpu;
    uint64_t slot_bytes;
    uint32_t n_slots, current; /* current: the slot handed out last */
    bool acquired;
    upload_slot slots[8];
};

qn_status qn_upload_create(qn_gpu *gpu, uint64_t slot_bytes, uint32_t n_slots, qn_upload **upload)
{
    *upload = NULL;
    if (n_slots == 0 || n_slots > 8) return qn_fail(QN_ERR_INTERNAL, "an upload ring has 1 to 8 slots");
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_upload), "upload ring", &p));
    qn_upload *u = p;
    u->gpu = gpu;
    u->slot_bytes = qn_round_up_u64(slot_bytes, 256);
    u->n_slots = n_slots;
    for (uint32_t i = 0; i < n_slots; i++) {
        upload_slot *slot = &u->slots[i];
        qn_status s = qn_answer_create(gpu->allocator, &slot->mapping);
        if (s.code == QN_OK)
            s = qn_buffer_make(gpu, WGPUBufferUsage_MapWrite | WGPUBufferUsage_CopySrc, u->slot_bytes, true, "upload",
                               &slot->handle);
        if (s.code != QN_OK) {
            qn_upload_free(u);
            return s;
        }
        atomic_store(&slot->mapping->state, QN_ANSWER_READY);
    }
    *upload = u;
    return qn_ok();
}

void qn_upload_free(qn_upload *upload)
{
    if (!upload) return;
    qn_gpu *gpu = upload->gpu;
    for (uint32_t i = 0; i < upload->n_slots; i++) {
        upload_slot *s = &upload->slots[i];
        qn_buffer_drop(gpu, s->handle, upload->slot_bytes);
        qn_answer_free(s->mapping);
    }
    qn_free(gpu->allocator, upload);
}

uint64_t qn_upload_slot_bytes(const qn_upload *upload)
{
    return upload->slot_bytes;
}

qn_status qn_upload_acquire(qn_upload *upload, void **slot)
{
    *slot = NULL;
    QN_TRY(qn_gpu_poll(upload->gpu, false));
    for (uint32_t i = 0; i < upload->n_slots; i++) {
        upload_slot *s = &upload->slots[i];
        int state = atomic_load(&s->mapping->state);
        if (state == QN_ANSWER_FAILED) return qn_fail(QN_ERR_GPU, "upload: mapping failed: %s", s->mapping->message);
        if (state != QN_ANSWER_READY) continue;
        *slot = wgpuBufferGetMappedRange(s->handle, 0, (size_t)upload->slot_bytes);
        if (!*slot) return qn_fail(QN_ERR_GPU, "upload: mapped range is missing");
        upload->current = i;
        upload->acquired = true;
        return qn_ok();
    }
    return qn_ok();
}

qn_status qn_upload_submit(qn_upload *upload, const qn_upload_copy *copies, uint32_t n_copies)
{
    qn_gpu *gpu = upload->gpu;
    if (!upload->acquired) return qn_fail(QN_ERR_STATE, "upload: no slot was acquired");
    upload->acquired = false;
    upload_slot *slot = &upload->slots[upload->current];
    QN_TRY(qn_gpu_check(gpu));
    wgpuBufferUnmap(slot->handle);
    WGPUCommandEncoder encoder = qn_gpu_begin(gpu, "upload");
    for (uint32_t i = 0; i < n_copies; i++)
        wgpuCommandEncoderCopyBufferToBuffer(encoder, slot->handle, copies[i].slot_offset, copies[i].dst->handle,
                                             copies[i].dst_offset, copies[i].size);
    WGPUCommandBuffer commands;
    qn_status s = qn_gpu_finish(gpu, encoder, "upload", &commands);
    if (s.code == QN_OK) s = qn_gpu_submit(gpu, commands, NULL);
    if (atomic_load(&gpu->lost))
        atomic_store(&slot->mapping->state, QN_ANSWER_NONE);
    else /* also after a failure: the slot was unmapped */
        map_start(slot->handle, WGPUMapMode_Write, upload->slot_bytes, slot->mapping);
    return s;
}
