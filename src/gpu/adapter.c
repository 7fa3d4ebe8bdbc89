/* adapter.c - listing adapters, reading what they can do, choosing one. */
#include "gpu/adapter.h"

#include "base/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qn_copy_view(WGPUStringView view, char *out, size_t capacity)
{
    size_t n = 0, at = 0;
    if (view.data) n = view.length == WGPU_STRLEN ? strlen(view.data) : view.length;
    for (size_t i = 0; i < n && at < capacity - 1; i++) {
        bool space = isspace((unsigned char)view.data[i]) != 0;
        if (space && (at == 0 || out[at - 1] == ' ')) continue;
        out[at++] = space ? ' ' : view.data[i];
    }
    while (at > 0 && out[at - 1] == ' ') at--;
    out[at] = '\0';
}

static const char *backend_name(WGPUBackendType type)
{
    switch (type) {
    case WGPUBackendType_Vulkan:
        return "vulkan";
    case WGPUBackendType_Metal:
        return "metal";
    case WGPUBackendType_D3D12:
        return "d3d12";
    case WGPUBackendType_D3D11:
        return "d3d11";
    case WGPUBackendType_OpenGL:
        return "opengl";
    case WGPUBackendType_OpenGLES:
        return "opengles";
    case WGPUBackendType_WebGPU:
        return "webgpu";
    default:
        return "unknown";
    }
}

static void read_identity(WGPUAdapter adapter, qn_device_info *info)
{
    WGPUAdapterInfo raw = WGPU_ADAPTER_INFO_INIT;
    if (wgpuAdapterGetInfo(adapter, &raw) != WGPUStatus_Success) return;
    qn_copy_view(raw.device, info->name, sizeof info->name);
    qn_copy_view(raw.vendor, info->vendor, sizeof info->vendor);
    qn_copy_view(raw.description, info->driver, sizeof info->driver);
    /* Browsers say little: their "device" is mostly empty. */
    if (!info->name[0]) snprintf(info->name, sizeof info->name, "%s", info->driver);
    if (!info->name[0]) {
        qn_copy_view(raw.architecture, info->name, sizeof info->name);
        if (!info->name[0]) snprintf(info->name, sizeof info->name, "WebGPU adapter");
    }
    snprintf(info->backend, sizeof info->backend, "%s", backend_name(raw.backendType));
    info->type = raw.adapterType == WGPUAdapterType_DiscreteGPU     ? QN_ADAPTER_DISCRETE
                 : raw.adapterType == WGPUAdapterType_IntegratedGPU ? QN_ADAPTER_INTEGRATED
                 : raw.adapterType == WGPUAdapterType_CPU           ? QN_ADAPTER_SOFTWARE
                                                                    : QN_ADAPTER_UNKNOWN;
    static const char *const types[] = {"unknown", "discrete", "integrated", "software"};
    snprintf(info->type_name, sizeof info->type_name, "%s", types[info->type]);
    info->subgroup_min = raw.subgroupMinSize;
    info->subgroup_max = raw.subgroupMaxSize;
    wgpuAdapterInfoFreeMembers(raw);
}

void qn_adapter_read(WGPUAdapter adapter, bool baseline, qn_device_info *info)
{
    *info = qn_core_device();
    info->baseline = baseline;
    read_identity(adapter, info);
    WGPUFeatureName features[QN_MAX_FEATURES];
    qn_impl_features(adapter, baseline, features, info);
    WGPULimits limits = WGPU_LIMITS_INIT;
    if (baseline || wgpuAdapterGetLimits(adapter, &limits) != WGPUStatus_Success) return;
    info->max_buffer_bytes = limits.maxBufferSize;
    info->max_binding_bytes = limits.maxStorageBufferBindingSize;
    info->max_storage_buffers = limits.maxStorageBuffersPerShaderStage;
    info->max_workgroup_bytes = limits.maxComputeWorkgroupStorageSize;
    info->max_workgroup_invocations = limits.maxComputeInvocationsPerWorkgroup;
    info->max_workgroup_size[0] = limits.maxComputeWorkgroupSizeX;
    info->max_workgroup_size[1] = limits.maxComputeWorkgroupSizeY;
    info->max_workgroup_size[2] = limits.maxComputeWorkgroupSizeZ;
    info->max_grid = limits.maxComputeWorkgroupsPerDimension;
    /* Offsets stay multiples of 256 everywhere, so that the plan does not depend on the adapter's alignment. */
}

qn_status qn_gpu_list(qn_device_info *infos, size_t capacity, size_t *count)
{
    qn_adapter_list list;
    bool done = false;
    *count = 0;
    qn_status s = qn_impl_adapters(NULL, &list);
    if (s.code == QN_OK && qn_impl_adapters_poll(NULL, &list, &done).code == QN_OK && !done)
        s = qn_fail(QN_ERR_UNSUPPORTED, "this WebGPU does not list its adapters: open one and ask it");
    *count = list.count;
    for (size_t i = 0; i < list.count && i < capacity; i++) qn_adapter_read(list.adapters[i], false, &infos[i]);
    qn_impl_adapters_free(NULL, &list);
    return s;
}

static bool contains_nocase(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (i == n) return true;
    }
    return n == 0;
}

static int rank_of(qn_adapter_type type)
{
    static const int ranks[] = {
        [QN_ADAPTER_UNKNOWN] = 1, [QN_ADAPTER_DISCRETE] = 3, [QN_ADAPTER_INTEGRATED] = 2, [QN_ADAPTER_SOFTWARE] = 0};
    return ranks[type];
}

qn_status qn_adapter_pick(const qn_adapter_list *list, const char *device, size_t *index)
{
    char *end = NULL;
    unsigned long wanted = device ? strtoul(device, &end, 10) : 0;
    if (device && *device && end && *end == '\0') {
        if (wanted >= list->count)
            return qn_fail(QN_ERR_ARGUMENT, "device %s: there are %zu devices, numbered from 0 (see: quern devices)",
                           device, list->count);
        *index = wanted;
        return qn_ok();
    }
    int best = -1;
    for (size_t i = 0; i < list->count; i++) {
        qn_device_info info;
        qn_adapter_read(list->adapters[i], false, &info);
        if (device && *device && !contains_nocase(info.name, device)) continue;
        if (rank_of(info.type) > best) {
            best = rank_of(info.type);
            *index = i;
        }
    }
    if (best < 0)
        return qn_fail(QN_ERR_ARGUMENT, "device \"%s\": no adapter has that in its name (see: quern devices)", device);
    return qn_ok();
}
