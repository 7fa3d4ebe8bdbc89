/* wgpu_web.c - WebGPU as browsers have it, in plain webgpu.h: what is asked for comes later, by callbacks, and errors
 * come to the device's own callback. */
#include "gpu/answer.h"

void qn_scope_begin(qn_gpu *gpu)
{
    (void)gpu;
}

qn_status qn_scope_end(qn_gpu *gpu, const char *what, const char *label)
{
    (void)what;
    (void)label;
    return qn_gpu_check_lost(gpu);
}

WGPUInstance qn_impl_instance(void)
{
    return wgpuCreateInstance(NULL);
}

static void on_adapter(WGPURequestAdapterStatus status, WGPUAdapter adapter, WGPUStringView message, void *user,
                       void *unused)
{
    (void)status;
    (void)unused;
    qn_answer *answer = user;
    answer->object = adapter;
    if (!qn_answer_settle(answer, adapter != NULL, message) && adapter) wgpuAdapterRelease(adapter);
}

qn_status qn_impl_adapters(const qn_allocator *a, qn_adapter_list *list)
{
    *list = (qn_adapter_list){.instance = qn_impl_instance()};
    if (!list->instance) return qn_fail(QN_ERR_UNSUPPORTED, "there is no WebGPU here");
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(WGPUAdapter), "adapter list", &p));
    list->adapters = p;
    QN_TRY(qn_answer_create(a, &list->answer));
    atomic_store(&list->answer->state, QN_ANSWER_WAITING);
    WGPURequestAdapterOptions options = {.featureLevel = WGPUFeatureLevel_Core,
                                         .powerPreference = WGPUPowerPreference_HighPerformance};
    WGPURequestAdapterCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_adapter, .userdata1 = list->answer};
    wgpuInstanceRequestAdapter(list->instance, &options, info);
    return qn_ok();
}

qn_status qn_impl_adapters_poll(const qn_allocator *a, qn_adapter_list *list, bool *done)
{
    (void)a;
    *done = true;
    if (list->count) return qn_ok();
    int state = atomic_load(&list->answer->state);
    *done = state != QN_ANSWER_WAITING;
    if (state == QN_ANSWER_READY) list->adapters[list->count++] = list->answer->object;
    if (state != QN_ANSWER_FAILED) return qn_ok();
    return qn_fail(QN_ERR_GPU, "the browser gives no WebGPU adapter%s%s", list->answer->message[0] ? ": " : "",
                   list->answer->message);
}

void qn_impl_adapters_free(const qn_allocator *a, qn_adapter_list *list)
{
    bool untaken = list->answer && list->count == 0 && atomic_load(&list->answer->state) == QN_ANSWER_READY;
    if (untaken) wgpuAdapterRelease(list->answer->object);
    for (size_t i = 0; i < list->count; i++) wgpuAdapterRelease(list->adapters[i]);
    qn_answer_free(list->answer);
    qn_free(a, list->adapters);
    if (list->instance) wgpuInstanceRelease(list->instance);
    *list = (qn_adapter_list){0};
}

bool qn_impl_close(qn_gpu *gpu)
{
    wgpuDeviceDestroy(gpu->device); /* frees memory now; garbage collection would later */
    wgpuDeviceRelease(gpu->device);
    return false;
}

size_t qn_impl_features(WGPUAdapter adapter, bool baseline, WGPUFeatureName *features, qn_device_info *info)
{
    const struct {
        WGPUFeatureName name;
        bool *flag;
    } wanted[] = {
        {WGPUFeatureName_ShaderF16, &info->f16},
        {WGPUFeatureName_Subgroups, &info->subgroups},
        {WGPUFeatureName_TimestampQuery, &info->timestamps},
    };
    size_t n = 0;
    for (size_t i = 0; !baseline && i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].flag = wgpuAdapterHasFeature(adapter, wanted[i].name);
        if (*wanted[i].flag) features[n++] = wanted[i].name;
    }
    return n;
}

void qn_impl_poll(qn_gpu *gpu, bool wait, const uint64_t *index)
{
    (void)gpu; /* callbacks come between the calls into this module */
    (void)wait;
    (void)index;
}

uint64_t qn_impl_submit(WGPUQueue queue, WGPUCommandBuffer commands)
{
    wgpuQueueSubmit(queue, 1, &commands);
    return 0;
}

WGPUShaderModule qn_impl_shader_module(WGPUDevice device, const WGPUShaderModuleDescriptor *desc, bool trusted)
{
    (void)trusted; /* a browser always checks bounds */
    return wgpuDeviceCreateShaderModule(device, desc);
}

qn_wgsl_target qn_gpu_wgsl_target(void)
{
    return (qn_wgsl_target){.enable_subgroups = "enable subgroups;\n", .checks = true};
}

double qn_impl_timestamp_period_ns(qn_gpu *gpu)
{
    (void)gpu;
    return 1.0;
}

void qn_impl_pass_timestamp(WGPUComputePassEncoder pass, WGPUQuerySet set, uint32_t index)
{
    (void)pass; /* never: timestamps_in_pass is false */
    (void)set;
    (void)index;
}
