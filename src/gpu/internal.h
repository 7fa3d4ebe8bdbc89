/* internal.h - what the files of src/gpu share. Nothing outside this folder includes it. */
#ifndef QN_GPU_INTERNAL_H
#define QN_GPU_INTERNAL_H

#include "base/lock.h"
#include "gpu/gpu.h"

#include <stdatomic.h>
#include <webgpu.h>

typedef struct qn_answer qn_answer;

typedef struct qn_adapter_list {
    WGPUInstance instance;
    WGPUAdapter *adapters;
    size_t count;
    qn_answer *answer; /* where they were asked for and come later */
} qn_adapter_list;

/* How far opening is. */
typedef enum qn_gpu_stage { QN_GPU_ADAPTERS, QN_GPU_DEVICE, QN_GPU_OPEN } qn_gpu_stage;

struct qn_gpu {
    qn_allocator allocator_copy; /* frees this, also after the engine is gone */
    const qn_allocator *allocator;
    const qn_log *log;
    qn_gpu_options options; /* while it opens */
    qn_gpu_stage stage;
    qn_adapter_list list;     /* likewise */
    qn_answer *answer;        /* likewise */
    _Atomic uint32_t holders; /* the owner, and each callback that is still to come */
    WGPUInstance instance;
    WGPUAdapter adapter;
    WGPUDevice device;
    WGPUQueue queue;
    qn_device_info info;
    const char *dump_shaders;
    uint64_t memory_limit, fail_after;
    uint32_t guard_bytes;
    uint8_t guard_byte;
    atomic_uint_fast64_t held, peak, allocated_total, refused;
    atomic_bool lost;
    char lost_message[256];  /* written once, before `lost` is set */
    char stray_message[400]; /* first error that no scope caught   */
    WGPUErrorType stray_type;
    atomic_bool stray;
    qn_lock scope_lock; /* error scopes belong to one creation at a time */
    qn_lock stray_lock;
    qn_lock submit_lock; /* numbers submissions in the queue's order */
    uint64_t submitted;
    _Atomic uint64_t finished; /* as many submissions the GPU has finished */
    _Atomic uint64_t n_buffers, n_kernels, n_bindings, n_encoders, n_passes, n_submits, n_writes;
};

struct qn_buffer {
    qn_gpu *gpu;
    WGPUBuffer handle;
    uint64_t size;
    uint64_t guard; /* bytes behind it, of tests */
};

struct qn_kernel {
    qn_gpu *gpu;
    WGPUBindGroupLayout layout;
    WGPUComputePipeline pipeline;
    uint32_t n_bindings;
    uint32_t written; /* bit i: binding i + 1 is read_write */
    char label[64];
};

struct qn_bindings {
    WGPUBindGroup handle;
    const qn_allocator *allocator;
};

/* A string view of a C string. */
static inline WGPUStringView qn_string(const char *text)
{
    return (WGPUStringView){text, text ? WGPU_STRLEN : 0};
}

/* Copies a string view into a zero-terminated array, its white space as single spaces: messages of several lines fit
 * a status line. */
void qn_copy_view(WGPUStringView view, char *out, size_t capacity);

/* Fails when the device is lost or an error was reported outside a scope. Called before every submit. */
qn_status qn_gpu_check(qn_gpu *gpu);

/* The status of an error that WebGPU reported, of what it was about. */
qn_status qn_gpu_error(qn_gpu *gpu, const char *what, WGPUErrorType type, const char *message);
qn_status qn_gpu_lost_status(const qn_gpu *gpu);
/* A callback that is to come needs the gpu until then, also when it is closed before. */
void qn_gpu_hold(qn_gpu *gpu);
void qn_gpu_let_go(qn_gpu *gpu);

/* A new command encoder; finishing it, which releases it (*commands NULL on an error); submitting, which releases the
 * commands. *submission (may be NULL): it is done once gpu->finished has reached its number. On an error nothing was
 * submitted. */
WGPUCommandEncoder qn_gpu_begin(qn_gpu *gpu, const char *label);
qn_status qn_gpu_finish(qn_gpu *gpu, WGPUCommandEncoder encoder, const char *label, WGPUCommandBuffer *commands);
qn_status qn_gpu_submit(qn_gpu *gpu, WGPUCommandBuffer commands, qn_submission *submission);

/* Account of GPU memory: take before creating, give back when freeing. */
qn_status qn_account_take(qn_gpu *gpu, uint64_t size, const char *label);
void qn_account_give(qn_gpu *gpu, uint64_t size);

/* A buffer of any usage inside a scope and on the account. */
qn_status qn_buffer_make(qn_gpu *gpu, WGPUBufferUsage usage, uint64_t size, bool mapped, const char *label,
                         WGPUBuffer *handle);
void qn_buffer_drop(qn_gpu *gpu, WGPUBuffer handle, uint64_t size);

/* ---- what differs between WebGPU implementations: wgpu_native.c, wgpu_web.c ---- */

/* Error scope around the creation of objects. Begin locks, end unlocks and reports what was caught: a failure with
 * WebGPU's own message. Every object is created inside one. A browser answers too late for that: there the scopes are
 * nothing, and errors come to qn_gpu_check. */
void qn_scope_begin(qn_gpu *gpu);
qn_status qn_scope_end(qn_gpu *gpu, const char *what, const char *label);

WGPUInstance qn_impl_instance(void);
/* Asks for the adapters; *done: they are in the list. To be freed also after a failure. */
qn_status qn_impl_adapters(const qn_allocator *a, qn_adapter_list *list);
qn_status qn_impl_adapters_poll(const qn_allocator *a, qn_adapter_list *list, bool *done);
void qn_impl_adapters_free(const qn_allocator *a, qn_adapter_list *list);
/* Releases the device, with what is under way there. true: nothing will call back any more. */
bool qn_impl_close(qn_gpu *gpu);
/* Features to request besides the standard ones, as the adapter has them; fills the info's flags. */
size_t qn_impl_features(WGPUAdapter adapter, bool baseline, WGPUFeatureName *features, qn_device_info *info);
/* wait: until the submission with this index is done; NULL: until all are. */
void qn_impl_poll(qn_gpu *gpu, bool wait, const uint64_t *index);
/* Submits and returns the submission's index. */
uint64_t qn_impl_submit(WGPUQueue queue, WGPUCommandBuffer commands);
WGPUShaderModule qn_impl_shader_module(WGPUDevice device, const WGPUShaderModuleDescriptor *desc, bool trusted);
double qn_impl_timestamp_period_ns(qn_gpu *gpu);
/* Timestamp between dispatches of a pass (only when info.timestamps_in_pass). */
void qn_impl_pass_timestamp(WGPUComputePassEncoder pass, WGPUQuerySet set, uint32_t index);

#endif
