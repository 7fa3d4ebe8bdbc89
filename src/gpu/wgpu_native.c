/* wgpu_native.c - the one file that knows wgpu-native (wgpu.h). A build on another webgpu.h implementation
 * brings another file with the qn_impl_ functions of internal.h. Facts: docs/architecture.md, "WebGPU". */
#include "gpu/drivers.h"
#include "gpu/internal.h"

#include <stdio.h>
#include <wgpu.h>

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
    qn_lock_take(&gpu->scope_lock);
    for (int i = 0; i < N_SCOPES; i++) wgpuDevicePushErrorScope(gpu->device, scope_filters[i]);
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
    qn_lock_give(&gpu->scope_lock);
    if (atomic_load(&gpu->lost)) return qn_gpu_lost_status(gpu);
    for (int i = 0; i < N_SCOPES; i++) {
        if (!caught[i].done) return qn_fail(QN_ERR_GPU, "%s %s: WebGPU did not answer for an error scope", what, label);
        if (caught[i].type == WGPUErrorType_NoError) continue;
        char about[128];
        snprintf(about, sizeof about, "%s %s: ", what, label);
        return qn_gpu_error(gpu, about, caught[i].type, caught[i].message);
    }
    return qn_ok();
}

/* ---- adapters and devices -------------------------------------------------------------------- */

WGPUInstance qn_impl_instance(void)
{
    WGPUInstanceExtras extras = {
        .chain = {.sType = (WGPUSType)WGPUSType_InstanceExtras},
        /* OpenGL is left out: its adapters lack compute limits and repeat the software renderer. */
        .backends = WGPUInstanceBackend_Vulkan | WGPUInstanceBackend_Metal | WGPUInstanceBackend_DX12,
    };
    WGPUInstanceDescriptor desc = {.nextInChain = &extras.chain};
    return wgpuCreateInstance(&desc);
}

qn_status qn_impl_adapters(const qn_allocator *a, qn_adapter_list *list)
{
    *list = (qn_adapter_list){.instance = qn_impl_instance()};
    if (!list->instance) return qn_fail(QN_ERR_GPU, "cannot create a WebGPU instance");
    size_t n = wgpuInstanceEnumerateAdapters(list->instance, NULL, NULL);
    void *p;
    QN_TRY(qn_alloc(a, n, sizeof(WGPUAdapter), "adapter list", &p));
    list->adapters = p;
    if (n) list->count = wgpuInstanceEnumerateAdapters(list->instance, NULL, list->adapters);
    qn_drivers_keep();
    return qn_ok();
}

qn_status qn_impl_adapters_poll(const qn_allocator *a, qn_adapter_list *list, bool *done)
{
    (void)a;
    *done = true;
    if (list->count) return qn_ok();
    return qn_fail(QN_ERR_GPU, "no WebGPU adapter found: install a Vulkan driver (for machines without a GPU the "
                               "package mesa-vulkan-drivers)");
}

void qn_impl_adapters_free(const qn_allocator *a, qn_adapter_list *list)
{
    for (size_t i = 0; i < list->count; i++) wgpuAdapterRelease(list->adapters[i]);
    qn_free(a, list->adapters);
    if (list->instance) wgpuInstanceRelease(list->instance);
    *list = (qn_adapter_list){0};
}

bool qn_impl_close(qn_gpu *gpu)
{
    if (!atomic_load(&gpu->lost)) qn_impl_poll(gpu, true, NULL);
    wgpuDeviceRelease(gpu->device);
    return true;
}

size_t qn_impl_features(WGPUAdapter adapter, bool baseline, WGPUFeatureName *features, qn_device_info *info)
{
    size_t n = 0;
    WGPUFeatureName subgroup = (WGPUFeatureName)WGPUNativeFeature_Subgroup;
    WGPUFeatureName in_pass = (WGPUFeatureName)WGPUNativeFeature_TimestampQueryInsidePasses;
    WGPUFeatureName in_encoder = (WGPUFeatureName)WGPUNativeFeature_TimestampQueryInsideEncoders;
    if (!baseline && wgpuAdapterHasFeature(adapter, WGPUFeatureName_ShaderF16)) {
        info->f16 = true;
        features[n++] = WGPUFeatureName_ShaderF16;
    }
    if (!baseline && wgpuAdapterHasFeature(adapter, subgroup)) {
        info->subgroups = true;
        features[n++] = subgroup;
    }
    /* Timestamps are for measuring only, so the baseline keeps them out too. */
    if (!baseline && wgpuAdapterHasFeature(adapter, WGPUFeatureName_TimestampQuery)) {
        info->timestamps = true;
        features[n++] = WGPUFeatureName_TimestampQuery;
        if (wgpuAdapterHasFeature(adapter, in_pass) && wgpuAdapterHasFeature(adapter, in_encoder)) {
            info->timestamps_in_pass = true;
            features[n++] = in_encoder;
            features[n++] = in_pass;
        }
    }
    return n;
}

void qn_impl_poll(qn_gpu *gpu, bool wait, const uint64_t *index)
{
    wgpuDevicePoll(gpu->device, wait, index);
}

uint64_t qn_impl_submit(WGPUQueue queue, WGPUCommandBuffer commands)
{
    return wgpuQueueSubmitForIndex(queue, 1, &commands);
}

WGPUShaderModule qn_impl_shader_module(WGPUDevice device, const WGPUShaderModuleDescriptor *desc, bool trusted)
{
    const WGPUShaderRuntimeChecks none = 0;
    if (trusted) return wgpuDeviceCreateShaderModuleTrusted(device, desc, none);
    return wgpuDeviceCreateShaderModule(device, desc);
}

qn_wgsl_target qn_gpu_wgsl_target(void)
{
    /* wgpu-native 29 rejects `enable subgroups;` although the operations work. */
    return (qn_wgsl_target){.enable_subgroups = "", .checks = false};
}

double qn_impl_timestamp_period_ns(qn_gpu *gpu)
{
    return (double)wgpuQueueGetTimestampPeriod(gpu->queue);
}

void qn_impl_pass_timestamp(WGPUComputePassEncoder pass, WGPUQuerySet set, uint32_t index)
{
    wgpuComputePassEncoderWriteTimestamp(pass, set, index);
}
