/* translate.h - from the operators of a delegate's file to nodes of a graph.
 *
 * operators.def has a row for each operator: its name in the file, the function that translates it, a variant for
 * functions that serve several, how many arguments it has at least, and which of them it writes. A function reads
 * arguments with the getters below and hands its results to qn_give. Arguments come in the order of the operator's
 * schema, the output last; numbers were pooled by Python's equality, so an integer may stand where a float is meant and
 * the reverse. */
#ifndef QN_PROGRAM_TRANSLATE_H
#define QN_PROGRAM_TRANSLATE_H

#include "program/program.h"

/* A value of the file on its way into the graph. */
typedef struct qn_translated {
    qn_value value;  /* tensor; 0: not there yet                   */
    qn_value number; /* integer; 0: not there yet                  */
    bool written;    /* an operator writes into it: a state or a method's cache, never a constant */
    bool dummy;      /* the output of an operator that only writes caches: nothing computes it    */
} qn_translated;

/* What makes a weight of constants: where they lie in the file, and how they are read. */
typedef struct qn_weight_key {
    const void *data, *scales;
    int8_t dtype; /* qn_vk_dtype of data; -1: bytes, four in a word */
    qn_weight_kind kind;
    bool matrix, transposed, high_nibble_first, scales_by_row;
    uint32_t group, scale_stride;
    uint64_t row_bytes;
    qn_shape shape;
} qn_weight_key;

/* A constant that is a weight already. */
typedef struct qn_made_weight {
    qn_weight_key key;
    qn_value value;
    uint32_t next; /* of its chain: index + 1; 0: the last */
} qn_made_weight;

enum { QN_MADE_CHAINS = 256 };

typedef struct qn_translator {
    qn_engine *engine; /* NULL: a dry graph */
    const qn_device_info *device;
    const qn_allocator *allocator;
    const qn_pte *pte;
    qn_delegate *delegate;
    const qn_vk_graph *vk;
    qn_graph *g;
    qn_translated *values; /* [vk->n_values] */
    qn_upload *upload;     /* for large constants; made with the first */
    void *made;            /* qn_made_weight[n_made] */
    size_t n_made, made_capacity;
    uint32_t made_chains[QN_MADE_CHAINS]; /* by the address of the data: index + 1; 0: empty */
} qn_translator;

struct qn_operator_row;

/* One operator of the file. */
typedef struct qn_call {
    qn_translator *t;
    const qn_vk_op *op;
    const struct qn_operator_row *row;
} qn_call;

typedef struct qn_operator_row {
    const char *name;
    qn_status (*translate)(const qn_call *c);
    int variant;
    uint8_t min_args;
    uint32_t writes; /* bit i: argument i */
} qn_operator_row;

/* A refusal that names the operator. */
qn_status qn_call_fail(const qn_call *c, qn_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- arguments (arguments.c) ----------------------------------------------------------------- */

/* The file's value of argument i. */
const qn_vk_value *qn_arg(const qn_call *c, uint32_t i);
bool qn_arg_is_null(const qn_call *c, uint32_t i);
/* The output: the last argument, whatever the operator's version has before it. */
uint32_t qn_arg_out(const qn_call *c);
/* Tensor argument i in the graph (a constant becomes a plain weight); *value 0 for Null where `optional`. */
qn_status qn_arg_tensor(const qn_call *c, uint32_t i, qn_value *value);
qn_status qn_arg_optional(const qn_call *c, uint32_t i, qn_value *value);
/* The file's description of tensor argument i. */
qn_status qn_arg_desc(const qn_call *c, uint32_t i, const qn_vk_tensor **tensor);
/* Tensors of a list (ValueList), at most `capacity`. */
qn_status qn_arg_tensors(const qn_call *c, uint32_t i, qn_value *values, uint32_t capacity, uint32_t *n);
qn_status qn_arg_int(const qn_call *c, uint32_t i, int64_t *number);
qn_status qn_arg_double(const qn_call *c, uint32_t i, double *number);
/* The number, or `absent` for Null. */
qn_status qn_arg_int_or(const qn_call *c, uint32_t i, int64_t absent, int64_t *number);
qn_status qn_arg_double_or(const qn_call *c, uint32_t i, double absent, double *number);
qn_status qn_arg_bool(const qn_call *c, uint32_t i, bool *flag);
/* Floats of a list (DoubleList, or a list of whole numbers); Null: none. */
qn_status qn_arg_doubles(const qn_call *c, uint32_t i, double *list, uint32_t capacity, uint32_t *n);
qn_status qn_arg_string(const qn_call *c, uint32_t i, const char **text);
/* Integers of a list (IntList, or a ValueList without SymInts); Null: none. */
qn_status qn_arg_ints(const qn_call *c, uint32_t i, int64_t *list, uint32_t capacity, uint32_t *n);
/* An integer of the graph: Int (saturated to 32 bits) or SymInt; *value 0 for Null. */
qn_status qn_arg_number(const qn_call *c, uint32_t i, qn_value *value);
/* The sizes of a list that may hold SymInts. */
typedef struct qn_sizes {
    uint32_t n;
    int64_t number[QN_MAX_RANK];    /* where computed is 0 */
    qn_value computed[QN_MAX_RANK]; /* 0: a constant       */
} qn_sizes;
qn_status qn_arg_sizes(const qn_call *c, uint32_t i, qn_sizes *sizes);
/* The constant ones must be the file's shape of the output; -1 may be any. */
qn_status qn_check_sizes(const qn_call *c, const qn_sizes *sizes, const qn_shape *out);
/* A dimension -rank..rank-1 as 0..rank-1. */
qn_status qn_call_dim(const qn_call *c, int64_t dim, uint32_t rank, uint32_t *out);
qn_status qn_arg_dim(const qn_call *c, uint32_t i, uint32_t rank, uint32_t *dim);
/* Dimensions of a list as a mask. */
qn_status qn_arg_dims(const qn_call *c, uint32_t i, uint32_t rank, uint32_t *mask);

/* Where the tensor (argument i) is an input of the delegate: its elements must be ids of `rows` rows, 0..rows - 1, or
 * with `negative` also -rows..-1, which a call then checks. */
void qn_check_ids(const qn_call *c, uint32_t i, uint32_t rows, bool negative);
void qn_check_id_value(const qn_call *c, qn_value ids, uint32_t rows, bool negative);

/* The file's description of output i of n (a list when n > 1, or when it is one). */
qn_status qn_out_desc(const qn_call *c, uint32_t i, const qn_vk_tensor **tensor);
/* Makes `value` the operator's (first) output, output i of a list. Its maximum shape must be the file's. */
qn_status qn_give(const qn_call *c, qn_value value);
qn_status qn_give_at(const qn_call *c, uint32_t i, qn_value value);
qn_status qn_give_number(const qn_call *c, qn_value number);
/* An alias of x; where some operator writes x or the output, a copy: neither may change with the other. */
qn_value qn_alias(const qn_call *c, uint32_t arg, qn_value x);

static inline qn_shape qn_max_shape(const qn_call *c, qn_value value)
{
    return qn_graph_tensor(c->t->g, value)->max;
}

static inline qn_dtype qn_dtype_of(const qn_call *c, qn_value value)
{
    return qn_graph_tensor(c->t->g, value)->dtype;
}

/* Element type in the graph of a type in the file: QN_ERR_UNSUPPORTED for FLOAT16. */
qn_status qn_graph_dtype(int8_t vk_dtype, const char *what, qn_dtype *dtype);

/* translate_vision.c: options of a convolution x (argument 0), from argument `first` on, in an order of its own: s
 * stride, p padding, d dilation, o output padding, t transposed, g groups. */
qn_status qn_arg_conv(const qn_call *c, uint32_t first, const char *order, qn_conv_options *o);

/* ---- constants (constants.c) ----------------------------------------------------------------- */

/* Tensor `id` of the file as a value of the graph, as qn_arg_tensor gives it. */
qn_status qn_translate_tensor(qn_translator *t, uint32_t id, qn_value *value);
/* Constant argument i as a state that starts with it: another one for every call. */
qn_status qn_arg_state(const qn_call *c, uint32_t i, qn_value *value);
bool qn_arg_is_constant(const qn_call *c, uint32_t i);
/* The bytes of constant argument i, four to a word of an i32 weight. */
qn_status qn_arg_bytes(const qn_call *c, uint32_t i, qn_value *value);
/* Whether argument i is a constant that qn_arg_matrix takes as QN_WEIGHT_F32: [N, K] of floats. */
bool qn_arg_is_float_matrix(const qn_call *c, uint32_t i);
/* A packed matrix of constant argument i. Fields of desc besides name, data and (for quantized ones) scales are the
 * caller's; scales: argument of the f32 scales, 0 for float matrices. */
qn_status qn_arg_matrix(const qn_call *c, uint32_t i, uint32_t scales, qn_weight_desc *desc, qn_value *value);

#endif
