/* pte.h - an ExecuTorch program (.pte): methods, their values and instructions, and the delegates' data.
 * Format: schema/program.fbs of github.com/pytorch/executorch.
 *
 * A method is a table of values, and instructions that name values by their index: calls of CPU kernels and of
 * delegates (what a backend compiled; see vk_graph.h). Opening checks every index, offset, size and kind in the file,
 * so that who reads a qn_pte need not. Data of tensors, delegates and names point into the file: nothing is copied. */
#ifndef QN_FORMAT_PTE_H
#define QN_FORMAT_PTE_H

#include "format/pte_container.h"
#include "quern_graph.h"

/* Element types, numbered as in the file. Others exist; they have no size here. */
typedef enum qn_pte_scalar {
    QN_PTE_BYTE = 0,
    QN_PTE_CHAR,
    QN_PTE_SHORT,
    QN_PTE_INT,
    QN_PTE_LONG,
    QN_PTE_HALF,
    QN_PTE_FLOAT,
    QN_PTE_DOUBLE,
    QN_PTE_BOOL = 11,
    QN_PTE_BFLOAT16 = 15,
} qn_pte_scalar;

/* Bytes of an element; 0 for a type that this version does not know. */
uint32_t qn_pte_scalar_bytes(int8_t scalar_type);

typedef enum qn_pte_dynamism {
    QN_PTE_STATIC = 0,
    QN_PTE_DYNAMIC_BOUND,   /* dim is the upper bound               */
    QN_PTE_DYNAMIC_UNBOUND, /* dim says nothing                     */
} qn_pte_dynamism;

typedef struct qn_pte_tensor {
    int8_t scalar_type; /* qn_pte_scalar, or a number that it lacks */
    uint8_t dynamism;   /* qn_pte_dynamism                          */
    bool planned;  /* has a place in the program's memory plan: it can be written, and data is its first contents */
    bool external; /* its data is the named data `name`                                                           */
    qn_shape shape;
    uint8_t dim_order[QN_MAX_RANK]; /* dimensions from the outermost in memory to the innermost; 0, 1, 2, ... mostly */
    uint32_t buffer;                /* index of its data; 0: none                                                    */
    uint64_t mutable_segment;       /* of `planned` tensors: in which table of offsets                               */
    const char *name;               /* "" when the file does not say                                                 */
} qn_pte_tensor;

/* Kinds of values, numbered as in the file. */
typedef enum qn_pte_kind {
    QN_PTE_NULL = 1,
    QN_PTE_INT64,
    QN_PTE_BOOLEAN,
    QN_PTE_DOUBLE64,
    QN_PTE_TENSOR,
    QN_PTE_STRING,
    QN_PTE_INT_LIST,             /* list, i64: indices of values that hold the integers */
    QN_PTE_DOUBLE_LIST,          /* list, f64                                           */
    QN_PTE_BOOL_LIST,            /* list, u8                                            */
    QN_PTE_TENSOR_LIST,          /* list, i32: indices of tensors                       */
    QN_PTE_OPTIONAL_TENSOR_LIST, /* list, i32: indices of tensors and nulls    */
} qn_pte_kind;

typedef struct qn_pte_value {
    qn_pte_kind kind;
    union {
        int64_t integer;
        bool boolean;
        double number;
        const char *string;
        qn_fb_vector list;
        qn_pte_tensor tensor;
    } u;
} qn_pte_value;

typedef struct qn_pte_operator {
    const char *name;     /* "aten::copy_"     */
    const char *overload; /* "out"; may be ""  */
} qn_pte_operator;

/* Numbered as in the file. */
typedef enum qn_pte_instruction_kind {
    QN_PTE_KERNEL_CALL = 1,
    QN_PTE_DELEGATE_CALL,
    QN_PTE_MOVE,
    QN_PTE_JUMP_FALSE,
    QN_PTE_FREE,
} qn_pte_instruction_kind;

typedef struct qn_pte_instruction {
    qn_pte_instruction_kind kind;
    uint32_t index;    /* operator, delegate; move: from value; jump: condition value; free: value */
    uint32_t target;   /* move: to value; jump: instruction of the chain (its length: the end)     */
    qn_fb_vector args; /* i32: values of a call, inputs and outputs                                */
} qn_pte_instruction;

typedef struct qn_pte_chain {
    uint32_t n_instructions;
    qn_pte_instruction *instructions;
} qn_pte_chain;

typedef struct qn_pte_spec {
    const char *key;
    qn_bytes value;
} qn_pte_spec;

typedef struct qn_pte_delegate {
    const char *id; /* "VulkanBackend" */
    bool in_segment;
    qn_bytes data;
    uint32_t n_specs;
    qn_pte_spec *specs;
} qn_pte_delegate;

typedef struct qn_pte_method {
    const char *name;     /* "forward" */
    qn_fb_vector inputs;  /* i32: values */
    qn_fb_vector outputs; /* i32: values; one may be there twice, or be an input */
    uint32_t n_values;
    qn_pte_value *values;
    uint32_t n_chains;
    qn_pte_chain *chains;
    uint32_t n_operators;
    qn_pte_operator *operators;
    uint32_t n_delegates;
    qn_pte_delegate *delegates;
} qn_pte_method;

/* A table of offsets into a segment: data of buffer i starts at offset i. */
typedef struct qn_pte_offsets {
    qn_bytes segment;
    qn_fb_vector offsets; /* u64 */
} qn_pte_offsets;

typedef struct qn_pte {
    qn_allocator allocator;
    qn_pte_container program;
    uint32_t version;
    uint32_t n_methods;
    qn_pte_method *methods;
    /* data of tensors, by qn_pte_tensor.buffer; buffer 0 stands for "none" */
    qn_pte_offsets constants;
    uint32_t n_inline_constants; /* of old files: inside the flatbuffer */
    qn_bytes *inline_constants;
    uint32_t n_mutable;
    qn_pte_offsets *mutable_data;
    /* named data of the program and of the data files, found by key */
    uint32_t n_data_files;
    qn_pte_container *data_files;
    uint32_t n_slots; /* a power of two, at least twice the number of keys */
    const qn_pte_blob **slots;
} qn_pte;

/* Opens a program and the .ptd files that hold some of its data (n_data_files may be 0). The files' bytes must stay
 * until qn_pte_close. Errors: QN_ERR_FORMAT with file, byte and field; QN_ERR_UNSUPPORTED (rank over QN_MAX_RANK, a
 * kind of value or instruction of later versions); QN_ERR_MEMORY. */
qn_status qn_pte_open(const qn_allocator *a, const qn_pte_file *file, const qn_pte_file *data_files,
                      uint32_t n_data_files, qn_pte **pte);
void qn_pte_close(qn_pte *pte);

/* NULL when there is no method of that name. */
const qn_pte_method *qn_pte_find_method(const qn_pte *pte, const char *name);

/* Named data: the program's own, then the data files' in their order. NULL when no file has the key. */
const qn_pte_blob *qn_pte_find_blob(const qn_pte *pte, const char *key);

/* Bytes of the tensor at its (maximum) shape. Errors: a type without a size, a product that passes 64 bits. */
qn_status qn_pte_tensor_bytes(const qn_pte_tensor *tensor, uint64_t *bytes);

/* The tensor's data in the file: the value of a constant, the first contents of a planned tensor; data->data NULL when
 * it has none (inputs, temporaries). Errors: the data is missing, too short, or (external) of another type or shape. */
qn_status qn_pte_tensor_data(const qn_pte *pte, const qn_pte_tensor *tensor, qn_bytes *data);

#endif
