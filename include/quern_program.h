/* quern_program.h - programs that ExecuTorch exported (.pte files with the Vulkan partitioner): opening, executing.
 *
 * A program has methods. A method takes and gives values in an order of its own; its tensors carry live shapes up to
 * the largest that the file names. Everything a method's delegates compute runs as one Quern graph each; states (KV
 * caches inside the program) are kept from call to call. */
#ifndef QUERN_PROGRAM_H
#define QUERN_PROGRAM_H

#include "quern_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_program qn_program;

/* Element types of a program's tensors, numbered as in the file. */
typedef enum qn_scalar {
    QN_SCALAR_UINT8 = 0,
    QN_SCALAR_INT8 = 1,
    QN_SCALAR_INT32 = 3,
    QN_SCALAR_INT64 = 4,
    QN_SCALAR_F32 = 6,
    QN_SCALAR_F64 = 7,
    QN_SCALAR_BOOL = 11,
} qn_scalar;

/* Bytes of an element; 0 for a number that is no element type of a program. */
QN_API uint32_t qn_scalar_bytes(qn_scalar scalar);
/* "f32", "i64", "bool", ...; "?" for a number that is none. */
QN_API const char *qn_scalar_name(qn_scalar scalar);

/* What an input or output of a method is. */
typedef struct qn_value_info {
    bool is_tensor;  /* false: a number that the file holds (outputs of methods that describe a model) */
    bool is_dynamic; /* a tensor whose dims may be smaller than `shape`                                */
    qn_scalar scalar;
    qn_shape shape; /* of a tensor: the largest */
    double number;  /* of a number              */
} qn_value_info;

typedef struct qn_method_info {
    const char *name; /* "forward" */
    uint32_t n_inputs, n_outputs;
    uint32_t n_states;       /* tensors kept between calls */
    uint64_t constant_bytes; /* in the file, each once     */
    qn_memory_table memory;  /* GPU bytes of its graphs, after qn_program_build or qn_program_plan */
    uint64_t n_nodes;        /* of its graphs, likewise                                            */
} qn_method_info;

/* A tensor given to or taken from a method: row-major without gaps, in the type of the method's description. */
typedef struct qn_program_tensor {
    qn_shape shape; /* live */
    const void *data;
} qn_program_tensor;

typedef struct qn_program_options {
    const char *const *data_files; /* .ptd files that hold some of the program's data */
    uint32_t n_data_files;
} qn_program_options;

/* Opens a program and builds it on the engine's device: qn_program_read, then qn_program_build. options may be NULL. */
QN_API qn_status qn_program_open(qn_engine *engine, const char *path, const qn_program_options *options,
                                 qn_program **program);
QN_API void qn_program_close(qn_program *program);

/* Reads and checks a program without a device; allocator NULL: malloc. What can be described afterwards: methods,
 * inputs, outputs, operators. Errors: QN_ERR_IO, QN_ERR_FORMAT (damaged: where and what), QN_ERR_UNSUPPORTED. */
QN_API qn_status qn_program_read(const qn_allocator *allocator, const char *path, const qn_program_options *options,
                                 qn_program **program);

/* A file in memory, which must stay until the program is closed. */
typedef struct qn_program_memory {
    const char *name; /* for messages; may be NULL */
    const void *data;
    size_t size;
} qn_program_memory;

/* files[0] is the program, the others its .ptd files. */
QN_API qn_status qn_program_read_memory(const qn_allocator *allocator, const qn_program_memory *files, uint32_t n_files,
                                        qn_program **program);

/* Builds the methods' graphs on the engine's device, once; constants are copied to the GPU straight from the mapped
 * file. Errors: QN_ERR_UNSUPPORTED (lists every operator of the program that this version does not run), QN_ERR_LIMIT,
 * QN_ERR_GPU_MEMORY, the refusal of an operator with its name. The program can only be closed then. */
QN_API qn_status qn_program_build(qn_program *program, qn_engine *engine);
/* Only plans them for a device that is not opened (NULL: core WebGPU limits), for what qn_program_method says of
 * memory. The same errors. */
QN_API qn_status qn_program_plan(qn_program *program, const qn_device_info *device);

QN_API uint32_t qn_program_n_methods(const qn_program *program);
/* Index of the method of that name; n_methods when there is none. */
QN_API uint32_t qn_program_find_method(const qn_program *program, const char *name);
QN_API qn_method_info qn_program_method(const qn_program *program, uint32_t method);
QN_API qn_value_info qn_program_input(const qn_program *program, uint32_t method, uint32_t i);
QN_API qn_value_info qn_program_output(const qn_program *program, uint32_t method, uint32_t i);

/* Starts a call: inputs[n_inputs] in the method's order (entries of inputs that are no tensors are ignored). The data
 * is copied. Errors: QN_ERR_ARGUMENT (a shape that the method does not take, with the input's number; a refusal of an
 * operator), after which the states are as before (in a method of several delegates: but for those that had run by
 * then); QN_ERR_STATE while a call of this program runs. */
QN_API qn_status qn_program_submit(qn_program *program, uint32_t method, const qn_program_tensor *inputs,
                                   uint32_t n_inputs);
/* Gets the next call of the method ready, also while one runs: plans and records it for these shapes and numbers that
 * its graph computes with (a position). Other data may still be different when the call is made. A failure comes back
 * from that call; where nothing can be prepared, nothing is done. */
QN_API void qn_program_prepare(qn_program *program, uint32_t method, const qn_program_tensor *inputs,
                               uint32_t n_inputs);
/* *done: the outputs are there. Never blocks. */
QN_API qn_status qn_program_poll(qn_program *program, bool *done);
/* Output i of the method's last finished call: live shape and data, valid until the next call of the method. data NULL:
 * no tensor, or no call has finished. */
QN_API qn_program_tensor qn_program_output_data(const qn_program *program, uint32_t method, uint32_t i);
/* Whether the next calls read output i back (at first: all). An output that is not wanted keeps data NULL. */
QN_API qn_status qn_program_want(qn_program *program, uint32_t method, uint32_t i, bool wanted);

/* The states of a method as the file has them. */
QN_API qn_status qn_program_reset(qn_program *program, uint32_t method);

#ifndef QN_NO_BLOCKING
/* Waits until the outputs of the last submit are there. */
QN_API qn_status qn_program_wait(qn_program *program);
/* submit, then wait. */
QN_API qn_status qn_program_execute(qn_program *program, uint32_t method, const qn_program_tensor *inputs,
                                    uint32_t n_inputs);
#endif

/* ---- looking inside -------------------------------------------------------------------------- */

/* An operator of a program. */
typedef struct qn_operator_use {
    char name[96]; /* "et_vk.linear_q4gsw.default", "aten::copy_.out" */
    uint32_t method;
    uint32_t count;
    bool supported;
    bool on_cpu; /* outside of the delegates */
} qn_operator_use;

/* The operators that the program calls, by method and name; returns their number. */
QN_API uint32_t qn_program_operators(const qn_program *program, const qn_operator_use **uses);

/* The method's graph of its delegate `i` (0-based), for profiles and traces; NULL past the last. It belongs to the
 * program: do not build, submit or close it. */
QN_API qn_graph *qn_program_graph(qn_program *program, uint32_t method, uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
