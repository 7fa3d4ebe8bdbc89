/* open.c - opening a device in steps, since adapter and device may come later, and closing it. */
#include "gpu/adapter.h"
#include "gpu/answer.h"

#include <stdio.h>

/* ---- callbacks ------------------------------------------------------------------------------- */

void qn_gpu_hold(qn_gpu *gpu)
{
    atomic_fetch_add(&gpu->holders, 1);
}

void qn_gpu_let_go(qn_gpu *gpu)
{
    if (atomic_fetch_sub(&gpu->holders, 1) != 1) return;
    qn_lock_close(&gpu->scope_lock);
    qn_lock_close(&gpu->stray_lock);
    qn_lock_close(&gpu->submit_lock);
    qn_allocator a = gpu->allocator_copy;
    qn_free(&a, gpu);
}

static void on_lost(WGPUDevice const *device, WGPUDeviceLostReason reason, WGPUStringView message, void *user,
                    void *unused)
{
    (void)device;
    (void)unused;
    qn_gpu *gpu = user;
    /* Cancelled: the instance went away while closing. */
    if (reason != WGPUDeviceLostReason_CallbackCancelled && !atomic_load(&gpu->lost)) {
        qn_copy_view(message, gpu->lost_message, sizeof gpu->lost_message);
        atomic_store(&gpu->lost, true);
    }
    qn_gpu_let_go(gpu);
}

/* May come any number of times until the device is lost or released. */
static void on_error(WGPUDevice const *device, WGPUErrorType type, WGPUStringView message, void *user, void *unused)
{
    (void)device;
    (void)unused;
    qn_gpu *gpu = user;
    qn_lock_take(&gpu->stray_lock);
    if (!atomic_load(&gpu->stray)) {
        qn_copy_view(message, gpu->stray_message, sizeof gpu->stray_message);
        gpu->stray_type = type;
        atomic_store(&gpu->stray, true);
    }
    qn_lock_give(&gpu->stray_lock);
}

static void on_device(WGPURequestDeviceStatus status, WGPUDevice device, WGPUStringView message, void *user,
                      void *user_gpu)
{
    (void)status;
    qn_answer *answer = user;
    answer->object = device;
    bool wanted = qn_answer_settle(answer, device != NULL, message);
    if (!wanted && device) {
        wgpuDeviceDestroy(device);
        wgpuDeviceRelease(device);
    }
    if (!device) qn_gpu_let_go(user_gpu); /* none that can be lost */
}

/* ---- steps ----------------------------------------------------------------------------------- */

static qn_status request_device(qn_gpu *gpu)
{
    bool baseline = gpu->options.baseline;
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
        .uncapturedErrorCallbackInfo = {.callback = on_error, .userdata1 = gpu},
    };
    QN_TRY(qn_answer_create(gpu->allocator, &gpu->answer));
    atomic_store(&gpu->answer->state, QN_ANSWER_WAITING);
    WGPURequestDeviceCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_device, .userdata1 = gpu->answer, .userdata2 = gpu};
    qn_gpu_hold(gpu); /* until it is lost */
    wgpuAdapterRequestDevice(gpu->adapter, &desc, info);
    return qn_ok();
}

/* Testing: smaller limits than the device's, in core WebGPU's proportion of buffer to binding. */
static void cap_limits(qn_device_info *info, uint64_t max_binding_bytes)
{
    if (max_binding_bytes == 0 || max_binding_bytes >= info->max_binding_bytes) return;
    info->max_binding_bytes = max_binding_bytes;
    if (info->max_buffer_bytes > 2 * max_binding_bytes) info->max_buffer_bytes = 2 * max_binding_bytes;
}

static qn_status choose_adapter(qn_gpu *gpu)
{
    const qn_gpu_options *o = &gpu->options;
    size_t index = 0;
    QN_TRY(qn_adapter_pick(&gpu->list, o->device, &index));
    gpu->adapter = gpu->list.adapters[index];
    wgpuAdapterAddRef(gpu->adapter);
    gpu->instance = gpu->list.instance;
    wgpuInstanceAddRef(gpu->instance);
    qn_impl_adapters_free(gpu->allocator, &gpu->list);
    qn_adapter_read(gpu->adapter, o->baseline, &gpu->info);
    cap_limits(&gpu->info, o->max_binding_bytes);
    if (gpu->info.type == QN_ADAPTER_SOFTWARE && !o->device)
        qn_log_line(gpu->log, QN_LOG_WARNING, "no GPU found: using the software adapter %s", gpu->info.name);
    return request_device(gpu);
}

static qn_status take_device(qn_gpu *gpu)
{
    int state = atomic_load(&gpu->answer->state);
    if (state == QN_ANSWER_WAITING) wgpuInstanceProcessEvents(gpu->instance);
    state = atomic_load(&gpu->answer->state);
    if (state == QN_ANSWER_WAITING) return qn_ok();
    if (state != QN_ANSWER_READY)
        return qn_fail(QN_ERR_GPU, "%s: WebGPU gave no device: %s", gpu->info.name,
                       gpu->answer->message[0] ? gpu->answer->message : "no reason given");
    gpu->device = gpu->answer->object;
    gpu->queue = wgpuDeviceGetQueue(gpu->device);
    qn_answer_free(gpu->answer);
    gpu->answer = NULL;
    gpu->stage = QN_GPU_OPEN;
    return qn_ok();
}

qn_status qn_gpu_open_step(qn_gpu *gpu, bool *open)
{
    *open = false;
    if (gpu->stage == QN_GPU_ADAPTERS) {
        bool there;
        QN_TRY(qn_impl_adapters_poll(gpu->allocator, &gpu->list, &there));
        if (!there) return qn_ok();
        QN_TRY(choose_adapter(gpu));
        gpu->stage = QN_GPU_DEVICE;
    }
    if (gpu->stage == QN_GPU_DEVICE) QN_TRY(take_device(gpu));
    *open = gpu->stage == QN_GPU_OPEN;
    return qn_ok();
}

qn_status qn_gpu_open(const qn_allocator *a, const qn_log *log, const qn_gpu_options *options, qn_gpu **gpu)
{
    *gpu = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_gpu), "GPU device", &p));
    qn_gpu *g = p;
    g->allocator_copy = *qn_allocator_or_default(a);
    g->allocator = &g->allocator_copy;
    g->log = log;
    g->options = *options;
    g->memory_limit = options->memory_limit;
    g->fail_after = options->fail_after;
    g->dump_shaders = options->dump_shaders;
    g->guard_bytes = options->guard_bytes / 16 * 16;
    g->guard_byte = options->guard_byte;
    atomic_store(&g->holders, 1);
    qn_lock_open(&g->scope_lock);
    qn_lock_open(&g->stray_lock);
    qn_lock_open(&g->submit_lock);
    qn_status s = qn_impl_adapters(g->allocator, &g->list);
    if (s.code != QN_OK) {
        qn_gpu_close(g);
        return s;
    }
    *gpu = g;
    return qn_ok();
}

/* ---- closing --------------------------------------------------------------------------------- */

static void drop_answer(qn_gpu *gpu)
{
    if (!gpu->answer) return;
    if (atomic_load(&gpu->answer->state) == QN_ANSWER_READY) wgpuDeviceRelease(gpu->answer->object);
    qn_answer_free(gpu->answer);
}

void qn_gpu_close(qn_gpu *gpu)
{
    if (!gpu) return;
    drop_answer(gpu);
    if (gpu->queue) wgpuQueueRelease(gpu->queue);
    if (gpu->device && qn_impl_close(gpu)) atomic_store(&gpu->holders, 1);
    if (gpu->adapter) wgpuAdapterRelease(gpu->adapter);
    if (gpu->instance) wgpuInstanceRelease(gpu->instance);
    qn_impl_adapters_free(gpu->allocator, &gpu->list);
    qn_gpu_let_go(gpu);
}
