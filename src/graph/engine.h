/* engine.h - the engine: a device and the kernels compiled for it. It lives beside the graph (and not in run/)
 * because graphs are built on it. */
#ifndef QN_GRAPH_ENGINE_H
#define QN_GRAPH_ENGINE_H

#include "base/lock.h"
#include "gpu/gpu.h"
#include "ops/choice.h"

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
    char *route;        /* forced kernel row, or NULL  */
    char *break_route;  /* whose kernels do nothing, or NULL */
    char *dump_shaders; /* folder, or NULL             */
    char *cache_dir;    /* likewise                    */
    bool trace, checked;
    uint32_t threads;
    qn_buffer *dummy; /* zeros for absent read-only operands */
    qn_lock lock;     /* guards what follows */
    void *kernels;    /* qn_cached_kernel[n_kernels] */
    size_t n_kernels, capacity;
    qn_choices choices; /* graphs take a copy when they are opened */
};

enum { QN_DUMMY_BYTES = 256 };

/* Fills in the kernels of n rows with their constants; those that are not compiled yet are compiled together. */
qn_status qn_engine_kernels(qn_engine *engine, qn_cached_kernel *wanted, size_t n);

/* cache.c: reads what the cache folder remembers of this adapter; a file that is damaged or for another driver or
 * version is left alone, with a warning. */
void qn_cache_load(qn_engine *engine);
/* Writes it. */
qn_status qn_cache_save(qn_engine *engine);

/* self_test.c: tries the rows that are not tested yet (all: every row of the device again), a step at a time, and notes
 * what it finds in engine->choices when it is *done. A step never blocks. */
typedef struct qn_self_test qn_self_test;
qn_status qn_self_test_open(qn_engine *engine, bool all, qn_self_test **test);
qn_status qn_self_test_step(qn_self_test *test, bool *done);
void qn_self_test_close(qn_self_test *test); /* NULL is allowed */
/* How many rows were tried. */
uint32_t qn_self_test_found(const qn_self_test *test);

#endif
