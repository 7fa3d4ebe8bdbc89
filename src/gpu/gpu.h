/* gpu.h - the GPU as the rest of Quern sees it: device, buffers, kernels, encoding, readback, timestamps.
 * src/gpu is the only folder that names WebGPU types; wgpu_native.c is the only file that knows wgpu-native. */
#ifndef QN_GPU_GPU_H
#define QN_GPU_GPU_H

#include "base/log.h"
#include "base/memory.h"

typedef struct qn_gpu qn_gpu;           /* device and queue                            */
typedef struct qn_buffer qn_buffer;     /* GPU memory                                  */
typedef struct qn_kernel qn_kernel;     /* compiled pipeline with its binding layout   */
typedef struct qn_bindings qn_bindings; /* bind group: buffers of one dispatch         */
typedef struct qn_encoder qn_encoder;   /* reusable recorder of one submission         */
typedef struct qn_readback qn_readback; /* mappable copy of GPU results                */
typedef struct qn_upload qn_upload;     /* ring of staging buffers for weights         */

enum {
    QN_PARAM_SLOT = 256, /* bytes of a dispatch's slot in the parameter arena (core dynamic-offset alignment) */
    QN_MAX_BINDINGS = 8, /* storage buffers of a dispatch (core limit)                                        */
};

/* ---- device ---------------------------------------------------------------------------------- */

typedef struct qn_gpu_options {
    const char *device; /* as qn_engine_options.device          */
    bool baseline;
    uint64_t memory_limit;      /* 0: none                              */
    uint64_t fail_after;        /* injected out-of-memory; 0: never     */
    uint64_t max_binding_bytes; /* as qn_engine_options.max_binding_bytes */
    const char *dump_shaders;   /* folder, or NULL                    */
    uint32_t guard_bytes;       /* as in qn_engine_options             */
    uint8_t guard_byte;
} qn_gpu_options;

qn_status qn_gpu_list(qn_device_info *infos, size_t capacity, size_t *count);
/* Opening in steps: then qn_gpu_open_step until *open. The gpu serves nothing before; what the options point to must
 * stay until then. */
qn_status qn_gpu_open(const qn_allocator *a, const qn_log *log, const qn_gpu_options *options, qn_gpu **gpu);
qn_status qn_gpu_open_step(qn_gpu *gpu, bool *open);
void qn_gpu_close(qn_gpu *gpu);
const qn_device_info *qn_gpu_info(const qn_gpu *gpu);
uint64_t qn_gpu_bytes(const qn_gpu *gpu, uint64_t *peak);
uint64_t qn_gpu_memory_limit(const qn_gpu *gpu); /* 0: none */
/* Keeps, for qn_gpu_refused, that there was no memory for `size` more bytes: what would have been held with them. */
void qn_gpu_refuse(qn_gpu *gpu, uint64_t size);
uint64_t qn_gpu_refused(const qn_gpu *gpu);
/* Lets callbacks run; wait: until all submitted work is done. Reports a lost device. */
qn_status qn_gpu_poll(qn_gpu *gpu, bool wait);

/* One submission: its number in the queue's order, from 1 on (0: none), and the implementation's own index of it. */
typedef struct qn_submission {
    uint64_t number, index;
} qn_submission;

/* *done: the GPU has finished it. Never blocks. */
qn_status qn_submission_poll(qn_gpu *gpu, qn_submission submission, bool *done);
/* Waits until the GPU has finished it, not for what was submitted after it, and lets callbacks run. */
qn_status qn_submission_wait(qn_gpu *gpu, qn_submission submission);
/* QN_ERR_DEVICE_LOST once the device is lost. */
qn_status qn_gpu_check_lost(const qn_gpu *gpu);
void qn_gpu_lose(qn_gpu *gpu);
/* What compiles WGSL. */
typedef struct qn_wgsl_target {
    const char *enable_subgroups; /* lines that enable subgroup operations in its dialect */
    bool checks;                  /* it checks every index, also those of trusted kernels  */
} qn_wgsl_target;
/* This implementation. */
qn_wgsl_target qn_gpu_wgsl_target(void);

/* WebGPU objects made since the device was opened (tests count them: DESIGN rule 8). */
typedef struct qn_gpu_counts {
    uint64_t buffers, kernels, bindings, encoders, passes, submits, writes;
} qn_gpu_counts;
qn_gpu_counts qn_gpu_get_counts(const qn_gpu *gpu);

/* ---- buffers --------------------------------------------------------------------------------- */

typedef enum qn_buffer_kind {
    QN_BUFFER_STORAGE, /* kernels read and write it; copies to and from it */
    QN_BUFFER_PARAMS,  /* uniform parameter arena                          */
} qn_buffer_kind;

/* Makes a zero-filled buffer of `size` bytes (rounded up to 16). QN_ERR_GPU_MEMORY with the numbers when the
 * engine's account or the device refuses, QN_ERR_LIMIT over max_buffer_bytes. */
qn_status qn_buffer_create(qn_gpu *gpu, qn_buffer_kind kind, uint64_t size, const char *label, qn_buffer **buffer);
void qn_buffer_free(qn_buffer *buffer);
uint64_t qn_buffer_size(const qn_buffer *buffer);
#ifndef QN_NO_BLOCKING
/* Testing: *intact: the bytes behind a buffer of an engine with guard_bytes are as they were. */
qn_status qn_buffer_check_guard(qn_buffer *buffer, bool *intact);
#endif
/* Queues a write of size bytes (offset and size multiples of 4). */
qn_status qn_buffer_write(qn_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
/* Queues zeros over the whole buffer. */
qn_status qn_buffer_clear(qn_buffer *buffer);
#ifndef QN_NO_BLOCKING
/* Reads back, waiting for the GPU (offset and size multiples of 4). */
qn_status qn_buffer_read(qn_buffer *buffer, uint64_t offset, void *data, uint64_t size);
#endif

/* ---- kernels --------------------------------------------------------------------------------- */

typedef struct qn_kernel_desc {
    const char *label;  /* names the kernel in errors and profiles     */
    const char *source; /* WGSL, zero-terminated                       */
    const char *entry;  /* entry point                                 */
    const char *access; /* one letter a storage binding, from binding 1 on: 'r' read-only, 'w' read_write */
    bool trusted;       /* bounds checks may be dropped: plan() bounds every index */
} qn_kernel_desc;

/* Compiles n kernels on at most `threads` threads; all or none. Binding 0 is the uniform parameter slot with a dynamic
 * offset. QN_ERR_GPU names the kernel and carries the compiler's message. */
qn_status qn_kernels_create(qn_gpu *gpu, uint32_t threads, const qn_kernel_desc *descs, size_t n, qn_kernel **kernels);
void qn_kernel_free(qn_kernel *kernel);

typedef struct qn_range {
    qn_buffer *buffer;
    uint64_t offset; /* multiple of storage_alignment */
    uint64_t size;   /* bytes, multiple of 4          */
} qn_range;

/* A buffer may stand in several ranges only if the kernel reads it through all of them (QN_ERR_INTERNAL). */
qn_status qn_bindings_create(qn_gpu *gpu, const qn_kernel *kernel, qn_buffer *params, const qn_range *ranges,
                             uint32_t n_ranges, qn_bindings **bindings);
void qn_bindings_free(qn_bindings *bindings);

/* ---- encoding -------------------------------------------------------------------------------- */

/* max_timestamps: dispatches that one profiled submission can time (0: none). */
qn_status qn_encoder_create(qn_gpu *gpu, uint32_t max_timestamps, qn_encoder **encoder);
void qn_encoder_free(qn_encoder *encoder);
typedef enum qn_timing { QN_TIME_NOTHING = 0, QN_TIME_DISPATCHES, QN_TIME_PASS } qn_timing;

/* Begins a submission with one compute pass. */
qn_status qn_encoder_begin(qn_encoder *encoder, qn_timing timing);
void qn_encoder_dispatch(qn_encoder *encoder, const qn_kernel *kernel, const qn_bindings *bindings,
                         uint32_t param_offset, const uint32_t grid[3]);
/* Ends the pass and copies (multiples of 4). Copies come after all dispatches. */
void qn_encoder_copy(qn_encoder *encoder, qn_buffer *src, uint64_t src_offset, qn_buffer *dst, uint64_t dst_offset,
                     uint64_t size);
void qn_encoder_copy_readback(qn_encoder *encoder, qn_buffer *src, uint64_t src_offset, qn_readback *readback,
                              uint64_t dst_offset, uint64_t size);
/* Ends the recording, so that the submit has nothing left to do but to send it. Most of the cost of encoding is here.
 */
qn_status qn_encoder_finish(qn_encoder *encoder);
/* Finishes, unless that is done, and submits once; on an error nothing was submitted. */
qn_status qn_encoder_submit(qn_encoder *encoder);
/* The last one; *done: the GPU has finished it. Never blocks. */
qn_submission qn_encoder_submission(const qn_encoder *encoder);
qn_status qn_encoder_poll(qn_encoder *encoder, bool *done);
/* Passes and submits of this encoder so far. */
typedef struct qn_encoder_counts {
    uint32_t passes, submits;
} qn_encoder_counts;
qn_encoder_counts qn_encoder_get_counts(const qn_encoder *encoder);
/* Abandons what was recorded since begin. */
void qn_encoder_abort(qn_encoder *encoder);
/* Nanoseconds of GPU time of the last timed submission: of each dispatch, or one of the pass; *n: how many. *done is
 * false until they are there. Must be asked until done before the next timed submission. */
qn_status qn_encoder_timestamps(qn_encoder *encoder, double *ns, uint32_t capacity, uint32_t *n, bool *done);

/* ---- readback -------------------------------------------------------------------------------- */

qn_status qn_readback_create(qn_gpu *gpu, uint64_t size, const char *label, qn_readback **readback);
void qn_readback_free(qn_readback *readback);
/* Asks for the first `size` bytes after the submission that copied them. */
qn_status qn_readback_start(qn_readback *readback, uint64_t size);
/* *data is NULL until the bytes are there; then valid until qn_readback_release. */
qn_status qn_readback_poll(qn_readback *readback, const void **data);
/* Must be called before the next copy into it; also ends a mapping that is still under way. */
void qn_readback_release(qn_readback *readback);

/* ---- upload ---------------------------------------------------------------------------------- */

qn_status qn_upload_create(qn_gpu *gpu, uint64_t slot_bytes, uint32_t n_slots, qn_upload **upload);
void qn_upload_free(qn_upload *upload);
uint64_t qn_upload_slot_bytes(const qn_upload *upload);
/* A writable staging slot, or *slot = NULL while all are in flight (poll the device and call again). */
qn_status qn_upload_acquire(qn_upload *upload, void **slot);

typedef struct qn_upload_copy {
    uint64_t slot_offset;
    qn_buffer *dst;
    uint64_t dst_offset, size; /* multiples of 4 */
} qn_upload_copy;

/* Submits copies out of the acquired slot. */
qn_status qn_upload_submit(qn_upload *upload, const qn_upload_copy *copies, uint32_t n_copies);

#endif
