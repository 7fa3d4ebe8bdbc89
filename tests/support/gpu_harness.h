/* gpu_harness.h - what the tests of src/gpu and src/graph share: things that go wrong in the middle, and a small
 * kernel. Every function fails the running cmocka test with a message. */
#ifndef QN_TESTS_GPU_HARNESS_H
#define QN_TESTS_GPU_HARNESS_H

#include "support/op_harness.h"

#include "graph/engine.h"

/* ---- mishaps --------------------------------------------------------------------------------- */

/* WebGPU refuses something outside of any error scope: the next check of the device tells, as QN_ERR_GPU. */
void qn_test_cause_error(qn_engine *engine);

/* What happens to an engine, once, while its n-th dispatch from now on (the first is 0) is recorded. */
typedef struct qn_test_mishap {
    qn_engine *engine;  /* NULL: nothing                           */
    const char *kernel; /* only dispatches of this row; NULL: any  */
    uint32_t n;
    void (*happen)(qn_engine *engine); /* qn_test_cause_error, qn_engine_lose_device, ... */
} qn_test_mishap;

/* Options of an engine that lets it happen; *mishap may be set anew at any time. */
qn_engine_options qn_test_mishap_options(qn_test_mishap *mishap);

/* ---- buffers --------------------------------------------------------------------------------- */

/* As qn_buffer_read, but also in builds without the blocking calls. */
qn_status qn_test_read_buffer(qn_gpu *gpu, qn_buffer *buffer, uint64_t offset, void *data, uint64_t size);

/* ---- a kernel -------------------------------------------------------------------------------- */

/* y[i] = x[i] * scale + add for i < n; binding 0: n, scale, add. */
extern const char *const qn_test_affine_source;
enum { QN_TEST_AFFINE_GROUP = 64 };

/* A kernel of the given source with entry point "main". */
qn_status qn_test_compile(qn_gpu *gpu, const char *source, const char *access, qn_kernel **kernel);

/* x and y of n elements, the parameters in two slots, the affine kernel bound to them. */
typedef struct qn_test_affine {
    qn_gpu *gpu;
    uint32_t n;
    qn_buffer *x, *y, *params;
    qn_kernel *kernel;
    qn_bindings *bindings;
} qn_test_affine;

qn_test_affine qn_test_affine_open(qn_gpu *gpu, uint32_t n);
void qn_test_affine_close(qn_test_affine *a);
/* Writes x[i] = i and the parameters of a slot. */
void qn_test_affine_set(const qn_test_affine *a, uint32_t slot, float scale, float add);
/* Adds its dispatch to a submission. */
void qn_test_affine_dispatch(const qn_test_affine *a, qn_encoder *encoder, uint32_t slot);
/* y[i] must be i * scale + add. */
void qn_test_affine_check(const float *y, uint32_t n, float scale, float add);

#endif
