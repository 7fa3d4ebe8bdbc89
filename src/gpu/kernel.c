/* kernel.c - compiling WGSL and binding buffers. */
#include "base/file.h"
#include "base/parallel.h"
#include "gpu/internal.h"

#include <stdio.h>
#include <string.h>

static void dump_source(const qn_gpu *gpu, const qn_kernel_desc *desc, size_t i)
{
    if (!gpu->dump_shaders) return;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.%llu.wgsl", gpu->dump_shaders, desc->label,
             (unsigned long long)atomic_load(&gpu->n_kernels) + i);
    qn_status s = qn_file_replace(path, desc->source, strlen(desc->source));
    if (s.code != QN_OK) qn_log_line(gpu->log, QN_LOG_WARNING, "%s", s.text);
}

static WGPUBindGroupLayout make_layout(qn_gpu *gpu, const qn_kernel_desc *desc, uint32_t n)
{
    WGPUBindGroupLayoutEntry entries[QN_MAX_BINDINGS + 1];
    memset(entries, 0, sizeof entries);
    entries[0].visibility = WGPUShaderStage_Compute;
    entries[0].buffer = (WGPUBufferBindingLayout){
        .type = WGPUBufferBindingType_Uniform, .hasDynamicOffset = true, .minBindingSize = QN_PARAM_SLOT};
    for (uint32_t i = 0; i < n; i++) {
        entries[i + 1].binding = i + 1;
        entries[i + 1].visibility = WGPUShaderStage_Compute;
        entries[i + 1].buffer.type =
            desc->access[i] == 'w' ? WGPUBufferBindingType_Storage : WGPUBufferBindingType_ReadOnlyStorage;
    }
    WGPUBindGroupLayoutDescriptor layout = {.label = qn_string(desc->label), .entryCount = n + 1, .entries = entries};
    return wgpuDeviceCreateBindGroupLayout(gpu->device, &layout);
}

static WGPUComputePipeline make_pipeline(qn_gpu *gpu, const qn_kernel_desc *desc, WGPUBindGroupLayout layout)
{
    WGPUShaderSourceWGSL source = {.chain = {.sType = WGPUSType_ShaderSourceWGSL}, .code = qn_string(desc->source)};
    WGPUShaderModuleDescriptor module_desc = {.nextInChain = &source.chain, .label = qn_string(desc->label)};
    WGPUShaderModule module = qn_impl_shader_module(gpu->device, &module_desc, desc->trusted);
    WGPUPipelineLayoutDescriptor pl_desc = {
        .label = qn_string(desc->label), .bindGroupLayoutCount = 1, .bindGroupLayouts = &layout};
    WGPUPipelineLayout pipeline_layout = wgpuDeviceCreatePipelineLayout(gpu->device, &pl_desc);
    WGPUComputePipelineDescriptor desc_p = {.label = qn_string(desc->label),
                                            .layout = pipeline_layout,
                                            .compute = {.module = module, .entryPoint = qn_string(desc->entry)}};
    WGPUComputePipeline pipeline = wgpuDeviceCreateComputePipeline(gpu->device, &desc_p);
    wgpuPipelineLayoutRelease(pipeline_layout);
    wgpuShaderModuleRelease(module);
    return pipeline;
}

static qn_status new_kernel(qn_gpu *gpu, const qn_kernel_desc *desc, qn_kernel **kernel)
{
    *kernel = NULL;
    size_t n = strlen(desc->access);
    if (n > QN_MAX_BINDINGS)
        return qn_fail(QN_ERR_INTERNAL, "kernel %s binds %zu buffers, over %d", desc->label, n, QN_MAX_BINDINGS);
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_kernel), "kernel", &p));
    qn_kernel *k = p;
    k->gpu = gpu;
    k->n_bindings = (uint32_t)n;
    for (size_t i = 0; i < n; i++) k->written |= (uint32_t)(desc->access[i] == 'w') << i;
    snprintf(k->label, sizeof k->label, "%s", desc->label);
    *kernel = k;
    return qn_ok();
}

static void drop_objects(qn_kernel *k)
{
    if (k->pipeline) wgpuComputePipelineRelease(k->pipeline);
    if (k->layout) wgpuBindGroupLayoutRelease(k->layout);
    k->pipeline = NULL;
    k->layout = NULL;
}

typedef struct batch {
    qn_gpu *gpu;
    const qn_kernel_desc *descs;
    qn_kernel **kernels;
} batch;

static void compile_one(void *user, size_t i)
{
    const batch *b = user;
    qn_kernel *k = b->kernels[i];
    k->layout = make_layout(b->gpu, &b->descs[i], k->n_bindings);
    k->pipeline = make_pipeline(b->gpu, &b->descs[i], k->layout);
}

/* n of them inside one error scope. Scopes belong to the device and not to a thread: this one catches the errors of all
 * threads, and does not say whose they are when n > 1. For the same reason other threads cannot record or make buffers
 * until it ends: an own scope for each kernel would let them in between, but not two kernels at a time. */
static qn_status compile(const batch *b, uint32_t threads, size_t n)
{
    qn_gpu *gpu = b->gpu;
    qn_scope_begin(gpu);
    qn_parallel(threads, n, compile_one, (void *)(uintptr_t)b);
    qn_status s = qn_scope_end(gpu, "kernel", b->descs[0].label);
    for (size_t i = 0; s.code == QN_OK && i < n; i++)
        if (!b->kernels[i]->pipeline || !b->kernels[i]->layout)
            s = qn_fail(QN_ERR_GPU, "kernel %s: WebGPU made no pipeline and gave no reason", b->descs[i].label);
    return s;
}

/* All at once; where that fails one after the other, to tell which. */
static qn_status compile_all(const batch *b, uint32_t threads, size_t n)
{
    qn_status s = compile(b, threads, n);
    if (s.code == QN_OK || n == 1 || s.code == QN_ERR_DEVICE_LOST) return s;
    for (size_t i = 0; i < n; i++) {
        drop_objects(b->kernels[i]);
        QN_TRY(compile(&(batch){b->gpu, b->descs + i, b->kernels + i}, 1, 1));
    }
    return qn_ok();
}

qn_status qn_kernels_create(qn_gpu *gpu, uint32_t threads, const qn_kernel_desc *descs, size_t n, qn_kernel **kernels)
{
    for (size_t i = 0; i < n; i++) kernels[i] = NULL;
    qn_status s = qn_gpu_check(gpu);
    for (size_t i = 0; s.code == QN_OK && i < n; i++) {
        s = new_kernel(gpu, &descs[i], &kernels[i]);
        if (s.code == QN_OK) dump_source(gpu, &descs[i], i);
    }
    if (s.code == QN_OK && n) s = compile_all(&(batch){gpu, descs, kernels}, threads, n);
    if (s.code == QN_OK) atomic_fetch_add(&gpu->n_kernels, n);
    for (size_t i = 0; s.code != QN_OK && i < n; i++) {
        qn_kernel_free(kernels[i]);
        kernels[i] = NULL;
    }
    return s;
}

void qn_kernel_free(qn_kernel *kernel)
{
    if (!kernel) return;
    drop_objects(kernel);
    qn_free(kernel->gpu->allocator, kernel);
}

/* WebGPU allows a buffer several bindings of a dispatch only if it is read through all of them; wgpu-native lets some
 * others pass that browsers refuse. */
static qn_status check_shared(const qn_kernel *kernel, const qn_range *ranges)
{
    for (uint32_t i = 0; i < kernel->n_bindings; i++)
        for (uint32_t j = 0; j < i; j++)
            if (ranges[i].buffer == ranges[j].buffer && (kernel->written >> i | kernel->written >> j) & 1)
                return qn_fail(QN_ERR_INTERNAL, "kernel %s: bindings %u and %u are one buffer, and it is written",
                               kernel->label, j + 1, i + 1);
    return qn_ok();
}

qn_status qn_bindings_create(qn_gpu *gpu, const qn_kernel *kernel, qn_buffer *params, const qn_range *ranges,
                             uint32_t n_ranges, qn_bindings **bindings)
{
    *bindings = NULL;
    if (n_ranges != kernel->n_bindings)
        return qn_fail(QN_ERR_INTERNAL, "kernel %s takes %u buffers, the plan gave %u", kernel->label,
                       kernel->n_bindings, n_ranges);
    QN_TRY(check_shared(kernel, ranges));
    QN_TRY(qn_gpu_check(gpu));
    WGPUBindGroupEntry entries[QN_MAX_BINDINGS + 1];
    memset(entries, 0, sizeof entries);
    entries[0].buffer = params->handle;
    entries[0].size = QN_PARAM_SLOT;
    for (uint32_t i = 0; i < n_ranges; i++) {
        entries[i + 1].binding = i + 1;
        entries[i + 1].buffer = ranges[i].buffer->handle;
        entries[i + 1].offset = ranges[i].offset;
        entries[i + 1].size = ranges[i].size;
        uint64_t end = ranges[i].offset + ranges[i].size, whole = ranges[i].buffer->size;
        if (ranges[i].buffer->guard && end + 16 > whole) entries[i + 1].size += whole + ranges[i].buffer->guard - end;
    }
    void *p;
    QN_TRY(qn_alloc(gpu->allocator, 1, sizeof(qn_bindings), "bindings", &p));
    qn_bindings *b = p;
    b->allocator = gpu->allocator;
    qn_scope_begin(gpu);
    WGPUBindGroupDescriptor desc = {
        .label = qn_string(kernel->label), .layout = kernel->layout, .entryCount = n_ranges + 1, .entries = entries};
    b->handle = wgpuDeviceCreateBindGroup(gpu->device, &desc);
    qn_status s = qn_scope_end(gpu, "bindings of", kernel->label);
    if (s.code == QN_OK && !b->handle) s = qn_fail(QN_ERR_GPU, "bindings of %s: WebGPU made none", kernel->label);
    if (s.code != QN_OK) {
        qn_bindings_free(b);
        return s;
    }
    atomic_fetch_add(&gpu->n_bindings, 1);
    *bindings = b;
    return qn_ok();
}

void qn_bindings_free(qn_bindings *bindings)
{
    if (!bindings) return;
    if (bindings->handle) wgpuBindGroupRelease(bindings->handle);
    qn_free(bindings->allocator, bindings);
}
