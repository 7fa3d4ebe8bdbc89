/* device.c - opening a device, error scopes, device loss, the account of GPU memory. */
#include "gpu/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- loss and stray errors ------------------------------------------------------------------- */

static void on_lost(WGPUDevice const *device, WGPUDeviceLostReason reason, WGPUStringView message, void *user,
                    void *unused)
{
    (void)device;
    (void)unused;
    qn_gpu *gpu = user;
    if (reason == WGPUDeviceLostReason_CallbackCancelled) return; /* the instance went away while closing */
    if (atomic_load(&gpu->lost)) return;
    qn_copy_view(message, gpu->lost_message, sizeof gpu->lost_message);
    atomic_store(&gpu->lost, true);
}

static void on_stray_error(WGPUDevice const *device, WGPUErrorType type, WGPUStringView message, void *user,
                           void *unused)
{
    (void)device;
    (void)type;
    (void)unused;
    qn_gpu *gpu = user;
    pthread_mutex_lock(&gpu->stray_lock);
    if (!atomic_load(&gpu->stray)) {
        qn_copy_view(message, gpu->stray_message, sizeof gpu->stray_message);
        atomic_store(&gpu->stray, true);
    }
    pthread_mutex_unlock(&gpu->stray_lock);
}

static qn_status lost_status(const qn_gpu *gpu)
{
    return qn_fail(QN_ERR_DEVICE_LOST, "%s: the device was lost%s%s; close the engine and open a new one",
                   gpu->info.name, gpu->lost_message[0] ? ": " : "", gpu->lost_message);
}

qn_status qn_gpu_check_lost(const qn_gpu *gpu)
{
    return atomic_load(&gpu->lost) ? lost_status(gpu) : qn_ok();
}

qn_status qn_gpu_check(qn_gpu *gpu)
{
    if (atomic_load(&gpu->lost)) return lost_status(gpu);
    if (!atomic_load(&gpu->stray)) return qn_ok();
    pthread_mutex_lock(&gpu->stray_lock);
    qn_status s = qn_fail(QN_ERR_GPU, "WebGPU: %s", gpu->stray_message);
    atomic_store(&gpu->stray, false);
    pthread_mutex_unlock(&gpu->stray_lock);
    return s;
}

qn_status qn_gpu_poll(qn_gpu *gpu, bool wait)
{
    if (atomic_load(&gpu->lost)) return lost_status(gpu);
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

/* ---- error scopes ----------------------------------------------------------------------------
 * wgpu-native 29 aborts on the third filter, "internal": two it is. */

static const WGPUErrorFilter scope_filters[] = {WGPUErrorFilter_Validation, WGPUErrorFilter_OutOfMemory};
enum { N_SCOPES = sizeof scope_filters / sizeof scope_filters[0] };

typedef struct popped {
    bool done;
    WGPUErrorType type;
    char message[400];
} popped;

static void on_popped(WGPUPopErrorScopeStatus status, WGPUErrorType type, WGPUStringView message, void *user,
                      void *unused)
{
    (void)unused;
    popped *p = user;
    p->done = true;
    p->type = status == WGPUPopErrorScopeStatus_Success ? type : WGPUErrorType_Unknown;
    qn_copy_view(message, p->message, sizeof p->message);
}

void qn_scope_begin(qn_gpu *gpu)
{
    pthread_mutex_lock(&gpu->scope_lock);
    for (int i = 0; i < N_SCOPES; i++) wgpuDevicePushErrorScope(gpu->device, scope_filters[i]);
}

/* Collapses white space so that a message of several lines fits a status line. */
static void one_line(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        bool space = *in == '\n' || *in == '\r' || *in == '\t' || *in == ' ';
        if (space && (out == text || out[-1] == ' ')) continue;
        *out++ = space ? ' ' : *in;
    }
    while (out > text && out[-1] == ' ') out--;
    *out = '\0';
}

qn_status qn_scope_end(qn_gpu *gpu, const char *what, const char *label)
{
    popped caught[N_SCOPES] = {0};
    for (int i = N_SCOPES - 1; i >= 0; i--) {
        WGPUPopErrorScopeCallbackInfo info = {
            .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_popped, .userdata1 = &caught[i]};
        wgpuDevicePopErrorScope(gpu->device, info);
        if (!caught[i].done) wgpuInstanceProcessEvents(gpu->instance);
    }
    pthread_mutex_unlock(&gpu->scope_lock);
    if (atomic_load(&gpu->lost)) return lost_status(gpu);
    for (int i = 0; i < N_SCOPES; i++) {
        if (!caught[i].done) return qn_fail(QN_ERR_GPU, "%s %s: WebGPU did not answer for an error scope", what, label);
        if (caught[i].type == WGPUErrorType_NoError) continue;
        one_line(caught[i].message);
        qn_code code = caught[i].type == WGPUErrorType_OutOfMemory ? QN_ERR_GPU_MEMORY : QN_ERR_GPU;
        return qn_fail(code, "%s %s: WebGPU: %s", what, label, caught[i].message);
    }
    return qn_ok();
}

/* ---- submissions ----------------------------------------------------------------------------- */

static void on_finished(WGPUQueueWorkDoneStatus status, WGPUStringView message, void *user, void *unused)
{
    (void)status;
    (void)message;
    (void)unused;
    atomic_fetch_add(&((qn_gpu *)user)->finished, 1);
}

static qn_submission submit(qn_gpu *gpu, WGPUCommandBuffer commands)
{
    WGPUQueueWorkDoneCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_finished, .userdata1 = gpu};
    pthread_mutex_lock(&gpu->submit_lock);
    qn_submission s = {.index = qn_impl_submit(gpu->queue, commands)};
    wgpuQueueOnSubmittedWorkDone(gpu->queue, info);
    s.number = ++gpu->submitted;
    pthread_mutex_unlock(&gpu->submit_lock);
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
    if (gpu->fail_after && total > gpu->fail_after)
        return qn_fail(QN_ERR_GPU_MEMORY,
                       "%s: no GPU memory for %" PRIu64 " bytes (failure injected after %" PRIu64 ")", label, size,
                       gpu->fail_after);
    uint64_t held = atomic_fetch_add(&gpu->held, size) + size;
    if (gpu->memory_limit && held > gpu->memory_limit) {
        atomic_fetch_sub(&gpu->held, size);
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

uint64_t qn_gpu_memory_limit(const qn_gpu *gpu)
{
    return gpu->memory_limit;
}

/* ---- open and close -------------------------------------------------------------------------- */

typedef struct device_request {
    bool done;
    WGPUDevice device;
    char message[400];
} device_request;

static void on_device(WGPURequestDeviceStatus status, WGPUDevice device, WGPUStringView message, void *user,
                      void *unused)
{
    (void)status;
    (void)unused;
    device_request *r = user;
    r->done = true;
    r->device = device;
    qn_copy_view(message, r->message, sizeof r->message);
}

static qn_status request_device(qn_gpu *gpu, bool baseline)
{
    WGPUFeatureName features[QN_MAX_FEATURES];
    qn_device_info ignored = {0};
    size_t n_features = qn_impl_features(gpu->adapter, baseline, features, &ignored);
    WGPULimits limits = WGPU_LIMITS_INIT;
    if (!baseline && wgpuAdapterGetLimits(gpu->adapter, &limits) != WGPUStatus_Success)
        return qn_fail(QN_ERR_GPU, "%s: cannot read the adapter's limits", gpu->info.name);
    limits.nextInChain = NULL;
    WGPUDeviceDescriptor desc = {
        .label = qn_string("quern"),
        .requiredFeatureCount = n_features,
        .requiredFeatures = features,
        .requiredLimits = baseline ? NULL : &limits, /* NULL: core WebGPU's defaults */
        .deviceLostCallbackInfo = {.mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_lost, .userdata1 = gpu},
        .uncapturedErrorCallbackInfo = {.callback = on_stray_error, .userdata1 = gpu},
    };
    device_request request = {0};
    WGPURequestDeviceCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_device, .userdata1 = &request};
    wgpuAdapterRequestDevice(gpu->adapter, &desc, info);
    if (!request.done) wgpuInstanceProcessEvents(gpu->instance);
    if (!request.device)
        return qn_fail(QN_ERR_GPU, "%s: WebGPU gave no device: %s", gpu->info.name,
                       request.message[0] ? request.message : "no reason given");
    gpu->device = request.device;
    gpu->queue = wgpuDeviceGetQueue(gpu->device);
    return qn_ok();
}

/* Testing: smaller limits than the device's, in core WebGPU's proportion of buffer to binding. */
static void cap_limits(qn_device_info *info, uint64_t max_binding_bytes)
{
    if (max_binding_bytes == 0 || max_binding_bytes >= info->max_binding_bytes) return;
    info->max_binding_bytes = max_binding_bytes;
    if (info->max_buffer_bytes > 2 * max_binding_bytes) info->max_buffer_bytes = 2 * max_binding_bytes;
}

static qn_status open_adapter(qn_gpu *gpu, const qn_gpu_options *options)
{
    qn_adapter_list list;
    QN_TRY(qn_impl_adapters(gpu->allocator, &list));
    size_t index = 0;
    qn_status s = qn_adapter_pick(&list, options->device, &index);
    if (s.code == QN_OK) {
        gpu->adapter = list.adapters[index];
        wgpuAdapterAddRef(gpu->adapter);
        gpu->instance = list.instance;
        wgpuInstanceAddRef(gpu->instance);
        qn_adapter_read(gpu->adapter, options->baseline, &gpu->info);
        cap_limits(&gpu->info, options->max_binding_bytes);
        if (gpu->info.type == QN_ADAPTER_SOFTWARE && !options->device)
            qn_log_line(gpu->log, QN_LOG_WARNING, "no GPU found: using the software adapter %s", gpu->info.name);
        s = request_device(gpu, options->baseline);
    }
    qn_impl_adapters_free(gpu->allocator, &list);
    return s;
}

qn_status qn_gpu_open(const qn_allocator *a, const qn_log *log, const qn_gpu_options *options, qn_gpu **gpu)
{
    *gpu = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_gpu), "GPU device", &p));
    qn_gpu *g = p;
    g->allocator = a;
    g->log = log;
    g->memory_limit = options->memory_limit;
    g->fail_after = options->fail_after;
    g->dump_shaders = options->dump_shaders;
    g->guard_bytes = options->guard_bytes / 16 * 16;
    g->guard_byte = options->guard_byte;
    pthread_mutex_init(&g->scope_lock, NULL);
    pthread_mutex_init(&g->stray_lock, NULL);
    pthread_mutex_init(&g->submit_lock, NULL);
    qn_status s = open_adapter(g, options);
    if (s.code != QN_OK) {
        qn_gpu_close(g);
        return s;
    }
    *gpu = g;
    return qn_ok();
}

void qn_gpu_close(qn_gpu *gpu)
{
    if (!gpu) return;
    if (gpu->queue) wgpuQueueRelease(gpu->queue);
    if (gpu->device) {
        if (!atomic_load(&gpu->lost)) qn_impl_poll(gpu, true, NULL);
        wgpuDeviceRelease(gpu->device);
    }
    if (gpu->adapter) wgpuAdapterRelease(gpu->adapter);
    if (gpu->instance) wgpuInstanceRelease(gpu->instance);
    pthread_mutex_destroy(&gpu->scope_lock);
    pthread_mutex_destroy(&gpu->stray_lock);
    pthread_mutex_destroy(&gpu->submit_lock);
    qn_free(gpu->allocator, gpu);
}

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
