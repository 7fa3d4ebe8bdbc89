/* vk_graph.h - the graph that ExecuTorch's Vulkan partitioner puts into a program: the data of a delegate
 * "VulkanBackend", a header "VH00", a flatbuffer "VK00" and the bytes of constants that are not named data.
 * Formats: backends/vulkan/serialization/schema.fbs and vulkan_graph_serialize.py of github.com/pytorch/executorch.
 *
 * Opening checks every id, offset, size and kind; names and data point into the file. */
#ifndef QN_FORMAT_VK_GRAPH_H
#define QN_FORMAT_VK_GRAPH_H

#include "format/pte.h"

/* Element types, numbered as in the file. */
typedef enum qn_vk_dtype {
    QN_VK_BOOL = 0,
    QN_VK_UINT8,
    QN_VK_INT8,
    QN_VK_INT32,
    QN_VK_FLOAT16,
    QN_VK_FLOAT32,
    QN_VK_FLOAT64,
    QN_VK_INT64,
} qn_vk_dtype;

/* "FLOAT32"; NULL for a number that is no element type. Bytes of an element (0 for those). */
const char *qn_vk_dtype_name(int8_t dtype);
uint32_t qn_vk_dtype_bytes(int8_t dtype);

/* Row-major, without gaps. */
typedef struct qn_vk_tensor {
    int8_t dtype;         /* qn_vk_dtype                                                                */
    int8_t staging_dtype; /* of the data that the caller gives or takes; 127: as dtype                  */
    int32_t constant_id;  /* -1: not in the file. Several tensors may share a constant and yet need memory
                             of their own: the initial values of states                                 */
    int32_t mem_obj_id;   /* tensors with the same id >= 0 share memory in Vulkan; -1: they do not      */
    qn_shape shape;       /* the largest; which dimensions are dynamic the file does not say            */
} qn_vk_tensor;

/* Kinds of values, numbered as in the file. */
typedef enum qn_vk_kind {
    QN_VK_NULL = 1,
    QN_VK_INT,
    QN_VK_DOUBLE,
    QN_VK_BOOLEAN,
    QN_VK_TENSOR,
    QN_VK_INT_LIST,    /* list, i64 */
    QN_VK_DOUBLE_LIST, /* list, f64 */
    QN_VK_BOOL_LIST,   /* list, u8  */
    QN_VK_VALUE_LIST,  /* list, i32: ids of values that are no lists */
    QN_VK_STRING,
    QN_VK_SYMINT, /* an integer that executions compute; `integer` is what the file holds, always 0 so far */
} qn_vk_kind;

typedef struct qn_vk_value {
    qn_vk_kind kind;
    union {
        int64_t integer;
        double number;
        bool boolean;
        const char *string;
        qn_fb_vector list;
        qn_vk_tensor tensor;
    } u;
} qn_vk_value;

typedef struct qn_vk_op {
    uint32_t node_id;  /* of the exporter, for messages                                 */
    const char *name;  /* "et_vk.linear_q4gsw.default"                                  */
    qn_fb_vector args; /* i32: ids of values, in the order of the operator's schema; the output is the last */
} qn_vk_op;

typedef struct qn_vk_constant {
    const char *key; /* of named data; "": inline                             */
    uint64_t offset; /* inline: into the bytes behind the flatbuffer          */
    uint64_t length; /* bytes                                                 */
} qn_vk_constant;

typedef struct qn_vk_graph {
    qn_allocator allocator;
    const char *version; /* "0" */
    uint32_t n_values;
    qn_vk_value *values;
    uint32_t n_ops;
    qn_vk_op *ops;           /* in the order of execution                              */
    qn_fb_vector input_ids;  /* u32; the first arguments of the DelegateCall, in order */
    qn_fb_vector output_ids; /* u32; the arguments after them; one may be an input     */
    uint32_t n_constants;
    qn_vk_constant *constants;
    qn_bytes inline_data; /* of all inline constants */
} qn_vk_graph;

/* Opens the data of a delegate. `base` is where the data starts in the file, for messages. The bytes must stay until
 * qn_vk_graph_close. Errors: QN_ERR_FORMAT with byte and field; QN_ERR_UNSUPPORTED; QN_ERR_MEMORY. */
qn_status qn_vk_graph_open(const qn_allocator *a, qn_bytes data, uint64_t base, qn_vk_graph **graph);
void qn_vk_graph_close(qn_vk_graph *graph);

/* Bytes of the tensor at its largest shape. */
qn_status qn_vk_tensor_bytes(const qn_vk_tensor *tensor, uint64_t *bytes);

/* Bytes of a constant, inline or named data of the program (or its .ptd files). Errors: QN_ERR_FORMAT when the named
 * data is missing or shorter than the constant. */
qn_status qn_vk_constant_data(const qn_vk_graph *graph, const qn_pte *pte, uint32_t constant, qn_bytes *data);

/* The data of a tensor, exactly its size; data->data NULL when it is no constant. Errors: as above, or the constant is
 * shorter than the tensor. */
qn_status qn_vk_tensor_data(const qn_vk_graph *graph, const qn_pte *pte, const qn_vk_tensor *tensor, qn_bytes *data);

#endif
