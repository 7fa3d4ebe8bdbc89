/* engine.h - the engine: a device and the kernels compiled for it. It lives beside the graph (and not in run/)
 * because graphs are built on it. */
#ifndef QN_GRAPH_ENGINE_H
#define QN_GRAPH_ENGINE_H

#include "gpu/gpu.h"
#include "ops/op.h"

#include <pthread.h>

typedef struct qn_cached_kernel {
    const qn_kernel_row *row;
    uint32_t spec[QN_MAX_SPEC];
    qn_kernel *kernel;
} qn_cached_kernel;

struct qn_engine {
    qn_allocator allocator_copy;
    const qn_allocator *allocator;
    qn_log log;
    qn_gpu *gpu;
    char *route;        /* forced kernel row, or NULL */
    char *dump_shaders; /* folder, or NULL            */
    bool trace;
    qn_buffer *dummy;     /* zeros for absent read-only operands */
    pthread_mutex_t lock; /* guards the kernel cache */
    void *kernels;        /* qn_cached_kernel[n_kernels] */
    size_t n_kernels, capacity;
};

enum { QN_DUMMY_BYTES = 256 };

/* The compiled kernel of a row with these constants; compiles it the first time. */
qn_status qn_engine_kernel(qn_engine *engine, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                           qn_kernel **kernel);

#endif
