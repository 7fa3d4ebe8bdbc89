/* glue.c - a small program on webgpu.h with which glue.test.js tries the functions of web/src/webgpu.js. JavaScript
 * calls one step after the other; callbacks write down what they were told. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <webgpu.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* What the last callback of each kind said, and how many came. */
typedef struct answer {
    uint32_t calls, status, type;
    char message[400];
} answer;

static struct {
    answer adapter, device, lost, error, popped, mapped, finished, pipeline;
} seen;

static WGPUInstance instance;
static WGPUAdapter adapter;
static WGPUDevice device;
static WGPUQueue queue;
static WGPUComputePipeline compiled;
static uint32_t grow_in_callback;

static void note(answer *a, uint32_t status, uint32_t type, WGPUStringView message)
{
    a->calls++;
    a->status = status;
    a->type = type;
    size_t n = message.length < sizeof a->message - 1 ? message.length : sizeof a->message - 1;
    if (n) memcpy(a->message, message.data, n);
    a->message[n] = '\0';
    if (grow_in_callback) __builtin_wasm_memory_grow(0, grow_in_callback);
}

/* The calls, status, type and message of a kind of callback, in that order in memory. */
EXPORT(answer_of) const answer *answer_of(uint32_t kind)
{
    return &seen.adapter + kind;
}

EXPORT(grow) void grow(uint32_t pages)
{
    __builtin_wasm_memory_grow(0, pages);
}

EXPORT(grow_in_callbacks) void grow_in_callbacks(uint32_t pages)
{
    grow_in_callback = pages;
}

static WGPUStringView text(const char *s)
{
    return (WGPUStringView){s, WGPU_STRLEN};
}

/* ---- opening ---- */

static void on_adapter(WGPURequestAdapterStatus status, WGPUAdapter made, WGPUStringView message, void *one, void *two)
{
    note(one, status, two != NULL, message);
    adapter = made;
}

static void on_device(WGPURequestDeviceStatus status, WGPUDevice made, WGPUStringView message, void *one, void *two)
{
    note(one, status, two != NULL, message);
    device = made;
}

static void on_lost(WGPUDevice const *of, WGPUDeviceLostReason reason, WGPUStringView message, void *one, void *two)
{
    (void)two;
    note(one, reason, *of != NULL, message);
}

static void on_error(WGPUDevice const *of, WGPUErrorType type, WGPUStringView message, void *one, void *two)
{
    (void)of, (void)two;
    note(one, 0, type, message);
}

EXPORT(open_instance) void open_instance(void)
{
    instance = wgpuCreateInstance(NULL);
}

EXPORT(request_adapter) void request_adapter(WGPUCallbackMode mode)
{
    WGPURequestAdapterCallbackInfo info = {
        .mode = mode, .callback = on_adapter, .userdata1 = &seen.adapter, .userdata2 = &seen};
    wgpuInstanceRequestAdapter(instance, NULL, info);
}

EXPORT(process_events) void process_events(void)
{
    wgpuInstanceProcessEvents(instance);
}

/* huge: asks for more than any device has. */
EXPORT(request_device) void request_device(uint32_t huge)
{
    WGPULimits limits = WGPU_LIMITS_INIT;
    wgpuAdapterGetLimits(adapter, &limits);
    if (huge) limits.maxBufferSize = UINT64_C(1) << 50;
    WGPUFeatureName features[] = {WGPUFeatureName_TimestampQuery};
    WGPUDeviceDescriptor desc = {
        .label = text("device"),
        .requiredFeatureCount = wgpuAdapterHasFeature(adapter, features[0]),
        .requiredFeatures = features,
        .requiredLimits = &limits,
        .deviceLostCallbackInfo = {.mode = WGPUCallbackMode_AllowSpontaneous,
                                   .callback = on_lost,
                                   .userdata1 = &seen.lost},
        .uncapturedErrorCallbackInfo = {.callback = on_error, .userdata1 = &seen.error},
    };
    WGPURequestDeviceCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_device, .userdata1 = &seen.device};
    wgpuAdapterRequestDevice(adapter, &desc, info);
}

EXPORT(get_queue) void get_queue(void)
{
    queue = wgpuDeviceGetQueue(device);
}

EXPORT(adapter_info) const WGPUAdapterInfo *adapter_info(void)
{
    static WGPUAdapterInfo info;
    if (info.vendor.data) wgpuAdapterInfoFreeMembers(info);
    wgpuAdapterGetInfo(adapter, &info);
    return &info;
}

EXPORT(max_buffer) double max_buffer(void)
{
    WGPULimits limits = WGPU_LIMITS_INIT;
    wgpuAdapterGetLimits(adapter, &limits);
    return (double)limits.maxBufferSize;
}

EXPORT(destroy_device) void destroy_device(void)
{
    wgpuDeviceDestroy(device);
}

EXPORT(release_device) void release_device(void)
{
    if (queue) wgpuQueueRelease(queue);
    wgpuDeviceRelease(device);
    queue = NULL;
    device = NULL;
}

EXPORT(release_instance) void release_instance(void)
{
    if (adapter) wgpuAdapterRelease(adapter);
    wgpuInstanceRelease(instance);
    adapter = NULL;
    instance = NULL;
}

/* ---- error scopes ---- */

static void on_popped(WGPUPopErrorScopeStatus status, WGPUErrorType type, WGPUStringView message, void *one, void *two)
{
    (void)two;
    note(one, status, type, message);
}

EXPORT(push_scope) void push_scope(WGPUErrorFilter filter)
{
    wgpuDevicePushErrorScope(device, filter);
}

EXPORT(pop_scope) void pop_scope(void)
{
    WGPUPopErrorScopeCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_popped, .userdata1 = &seen.popped};
    wgpuDevicePopErrorScope(device, info);
}

/* ---- objects ---- */

EXPORT(make_buffer) WGPUBuffer make_buffer(double size, uint32_t usage, WGPUBool mapped)
{
    WGPUBufferDescriptor desc = {
        .label = text("buffer"), .usage = usage, .size = (uint64_t)size, .mappedAtCreation = mapped};
    return wgpuDeviceCreateBuffer(device, &desc);
}

EXPORT(destroy_buffer) void destroy_buffer(WGPUBuffer buffer)
{
    wgpuBufferDestroy(buffer);
}

EXPORT(release_buffer) void release_buffer(WGPUBuffer buffer)
{
    wgpuBufferRelease(buffer);
}

static void on_mapped(WGPUMapAsyncStatus status, WGPUStringView message, void *one, void *two)
{
    (void)two;
    note(one, status, 0, message);
}

EXPORT(map) void map(WGPUBuffer buffer, uint32_t mode, uint32_t offset, uint32_t size)
{
    WGPUBufferMapCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_mapped, .userdata1 = &seen.mapped};
    wgpuBufferMapAsync(buffer, mode, offset, size, info);
}

EXPORT(range) void *range(WGPUBuffer buffer, uint32_t offset, uint32_t size)
{
    return wgpuBufferGetMappedRange(buffer, offset, size);
}

EXPORT(const_range) const void *const_range(WGPUBuffer buffer, uint32_t offset, uint32_t size)
{
    return wgpuBufferGetConstMappedRange(buffer, offset, size);
}

EXPORT(unmap) void unmap(WGPUBuffer buffer)
{
    wgpuBufferUnmap(buffer);
}

static WGPUShaderModule make_module(const char *code)
{
    WGPUShaderSourceWGSL source = {.chain = {.sType = WGPUSType_ShaderSourceWGSL}, .code = text(code)};
    WGPUShaderModuleDescriptor desc = {.nextInChain = &source.chain, .label = text("module")};
    return wgpuDeviceCreateShaderModule(device, &desc);
}

EXPORT(compile) void compile(const char *code)
{
    wgpuShaderModuleRelease(make_module(code));
}

static void on_pipeline(WGPUCreatePipelineAsyncStatus status, WGPUComputePipeline made, WGPUStringView message,
                        void *one, void *two)
{
    (void)two;
    note(one, status, 0, message);
    compiled = made;
}

EXPORT(compile_async) void compile_async(const char *code, const char *entry)
{
    WGPUShaderModule module = make_module(code);
    WGPUComputePipelineDescriptor desc = {.label = text("async"),
                                          .compute = {.module = module, .entryPoint = text(entry)}};
    WGPUCreateComputePipelineAsyncCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_pipeline, .userdata1 = &seen.pipeline};
    wgpuDeviceCreateComputePipelineAsync(device, &desc, info);
    wgpuShaderModuleRelease(module);
}

EXPORT(release_compiled) void release_compiled(void)
{
    if (compiled) wgpuComputePipelineRelease(compiled);
    compiled = NULL;
}

static void on_finished(WGPUQueueWorkDoneStatus status, WGPUStringView message, void *one, void *two)
{
    (void)two;
    note(one, status, 0, message);
}

EXPORT(when_done) void when_done(void)
{
    WGPUQueueWorkDoneCallbackInfo info = {
        .mode = WGPUCallbackMode_AllowSpontaneous, .callback = on_finished, .userdata1 = &seen.finished};
    wgpuQueueOnSubmittedWorkDone(queue, info);
}

EXPORT(write_buffer) void write_buffer(WGPUBuffer buffer, uint32_t offset, const void *data, uint32_t size)
{
    wgpuQueueWriteBuffer(queue, buffer, offset, data, size);
}

static void submit(WGPUCommandEncoder encoder)
{
    WGPUCommandBuffer commands = wgpuCommandEncoderFinish(encoder, NULL);
    wgpuCommandEncoderRelease(encoder);
    wgpuQueueSubmit(queue, 1, &commands);
    wgpuCommandBufferRelease(commands);
}

EXPORT(copy) void copy(WGPUBuffer from, double from_offset, WGPUBuffer to, double to_offset, double size)
{
    WGPUCommandEncoder encoder = wgpuDeviceCreateCommandEncoder(device, NULL);
    wgpuCommandEncoderCopyBufferToBuffer(encoder, from, (uint64_t)from_offset, to, (uint64_t)to_offset, (uint64_t)size);
    submit(encoder);
}

EXPORT(clear) void clear(WGPUBuffer buffer, double offset, double size)
{
    WGPUCommandEncoder encoder = wgpuDeviceCreateCommandEncoder(device, NULL);
    wgpuCommandEncoderClearBuffer(encoder, buffer, (uint64_t)offset, size < 0 ? WGPU_WHOLE_SIZE : (uint64_t)size);
    submit(encoder);
}

/* ---- c = a + b * k, k from a uniform buffer at a dynamic offset ---- */

static const char add_code[] = "@group(0) @binding(0) var<uniform> k: vec4f;\n"
                               "@group(0) @binding(1) var<storage, read> a: array<f32>;\n"
                               "@group(0) @binding(2) var<storage, read> b: array<f32>;\n"
                               "@group(0) @binding(3) var<storage, read_write> c: array<f32>;\n"
                               "@compute @workgroup_size(64) fn add(@builtin(global_invocation_id) id: vec3u) {\n"
                               "    if (id.x < arrayLength(&a)) { c[id.x] = a[id.x] + b[id.x] * k.x; }\n"
                               "}\n";
enum { N_BINDINGS = 4, SLOT = 256 };

typedef struct adder {
    WGPUBindGroupLayout layout;
    WGPUPipelineLayout pipeline_layout;
    WGPUComputePipeline pipeline;
    WGPUBindGroup group;
    WGPUQuerySet times;
} adder;

static adder add;

EXPORT(add_open) void add_open(WGPUBuffer k, WGPUBuffer a, WGPUBuffer b, WGPUBuffer c)
{
    WGPUBindGroupLayoutEntry slots[N_BINDINGS] = {
        {.binding = 0,
         .visibility = WGPUShaderStage_Compute,
         .buffer = {.type = WGPUBufferBindingType_Uniform, .hasDynamicOffset = 1, .minBindingSize = 16}}};
    WGPUBuffer buffers[N_BINDINGS] = {k, a, b, c};
    WGPUBindGroupEntry entries[N_BINDINGS] = {{.buffer = k, .size = 16}};
    for (uint32_t i = 1; i < N_BINDINGS; i++) {
        WGPUBufferBindingType type = i == 3 ? WGPUBufferBindingType_Storage : WGPUBufferBindingType_ReadOnlyStorage;
        slots[i] =
            (WGPUBindGroupLayoutEntry){.binding = i, .visibility = WGPUShaderStage_Compute, .buffer = {.type = type}};
        entries[i] = (WGPUBindGroupEntry){.binding = i, .buffer = buffers[i], .size = WGPU_WHOLE_SIZE};
    }
    WGPUBindGroupLayoutDescriptor layout = {.label = text("add"), .entryCount = N_BINDINGS, .entries = slots};
    add.layout = wgpuDeviceCreateBindGroupLayout(device, &layout);
    WGPUPipelineLayoutDescriptor pl = {.bindGroupLayoutCount = 1, .bindGroupLayouts = &add.layout};
    add.pipeline_layout = wgpuDeviceCreatePipelineLayout(device, &pl);
    WGPUShaderModule module = make_module(add_code);
    WGPUComputePipelineDescriptor desc = {
        .label = text("add"), .layout = add.pipeline_layout, .compute = {.module = module, .entryPoint = text("add")}};
    add.pipeline = wgpuDeviceCreateComputePipeline(device, &desc);
    wgpuShaderModuleRelease(module);
    WGPUBindGroupDescriptor group = {
        .label = text("add"), .layout = add.layout, .entryCount = N_BINDINGS, .entries = entries};
    add.group = wgpuDeviceCreateBindGroup(device, &group);
    WGPUQuerySetDescriptor times = {.label = text("times"), .type = WGPUQueryType_Timestamp, .count = 2};
    add.times = wgpuDeviceCreateQuerySet(device, &times);
}

EXPORT(add_close) void add_close(void)
{
    wgpuBindGroupLayoutRelease(add.layout);
    wgpuPipelineLayoutRelease(add.pipeline_layout);
    wgpuComputePipelineRelease(add.pipeline);
    wgpuBindGroupRelease(add.group);
    wgpuQuerySetRelease(add.times);
}

/* Dispatches over n elements, `repeat` times in one pass, with slot k of the uniform buffer; resolves the pass's two
 * timestamps into `resolved` unless it is NULL. */
EXPORT(add_run) void add_run(uint32_t n, uint32_t slot, uint32_t repeat, WGPUBuffer resolved)
{
    uint32_t offset = slot * SLOT;
    WGPUCommandEncoderDescriptor label = {.label = text("encoder")};
    WGPUCommandEncoder encoder = wgpuDeviceCreateCommandEncoder(device, &label);
    WGPUPassTimestampWrites writes = {.querySet = add.times, .beginningOfPassWriteIndex = 0, .endOfPassWriteIndex = 1};
    WGPUComputePassDescriptor desc = {.label = text("pass"), .timestampWrites = resolved ? &writes : NULL};
    WGPUComputePassEncoder pass = wgpuCommandEncoderBeginComputePass(encoder, &desc);
    for (uint32_t i = 0; i < repeat; i++) {
        wgpuComputePassEncoderSetPipeline(pass, add.pipeline);
        wgpuComputePassEncoderSetBindGroup(pass, 0, add.group, 1, &offset);
        wgpuComputePassEncoderDispatchWorkgroups(pass, (n + 63) / 64, 1, 1);
    }
    wgpuComputePassEncoderEnd(pass);
    wgpuComputePassEncoderRelease(pass);
    if (resolved) wgpuCommandEncoderResolveQuerySet(encoder, add.times, 0, 2, resolved, 0);
    submit(encoder);
}

/* The pass alone, never submitted: what encoding costs. */
EXPORT(encode) void encode(uint32_t dispatches)
{
    WGPUCommandEncoder encoder = wgpuDeviceCreateCommandEncoder(device, NULL);
    WGPUComputePassEncoder pass = wgpuCommandEncoderBeginComputePass(encoder, NULL);
    for (uint32_t i = 0; i < dispatches; i++) {
        uint32_t offset = i % 2 * SLOT;
        wgpuComputePassEncoderSetPipeline(pass, add.pipeline);
        wgpuComputePassEncoderSetBindGroup(pass, 0, add.group, 1, &offset);
        wgpuComputePassEncoderDispatchWorkgroups(pass, 1, 1, 1);
    }
    wgpuComputePassEncoderEnd(pass);
    wgpuComputePassEncoderRelease(pass);
    WGPUCommandBuffer commands = wgpuCommandEncoderFinish(encoder, NULL);
    wgpuCommandEncoderRelease(encoder);
    wgpuCommandBufferRelease(commands);
}
