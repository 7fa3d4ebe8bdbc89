/* program.h - the inside of a program. */
#ifndef QN_PROGRAM_PROGRAM_H
#define QN_PROGRAM_PROGRAM_H

#include "base/file.h"
#include "format/vk_graph.h"
#include "graph/graph.h"
#include "quern_program.h"

/* A tensor that a delegate keeps between calls, and the bytes of the file that it starts with. */
typedef struct qn_delegate_state {
    qn_value value;
    const char *data; /* f32, at any address; NULL: zeros */
} qn_delegate_state;

/* An input or output of a delegate's graph. */
typedef struct qn_delegate_slot {
    qn_value value;  /* 0: nothing computes this output           */
    uint32_t rows;   /* an input of ids: how many there are; 0: none */
    bool negative;   /* ... which may count from the end             */
    uint32_t *words; /* an input's elements as the graph takes them, where the method has another type; owned */
} qn_delegate_slot;

/* What a delegate "VulkanBackend" is here: a graph, with everything that belongs to it. */
typedef struct qn_delegate {
    const qn_allocator *allocator;
    qn_vk_graph *vk; /* NULL: a delegate of another backend */
    qn_graph *graph;
    void *weights; /* qn_weight *[n_weights], owned    */
    size_t n_weights, weight_capacity;
    void *states; /* qn_delegate_state[n_states]      */
    size_t n_states, state_capacity;
    uint64_t constant_bytes;            /* in the file, each once                   */
    qn_delegate_slot *inputs, *outputs; /* in the order of vk->input_ids, output_ids */
    bool called;                        /* by an instruction */
} qn_delegate;

/* A value of a method while it runs; parallel to the method's values. */
typedef struct qn_cell {
    qn_shape live;
    const void *data; /* in the value's own type; NULL: nothing yet                                        */
    void *own;        /* room for the largest shape; NULL where data only points elsewhere                 */
    bool kept;        /* its contents stay from call to call: a state outside of the delegates             */
    bool stable;      /* data stays until the next call: constants, and what a delegate has given          */
    bool needed;      /* read by an instruction after the first, by a kernel, or by the caller             */
    bool read;        /* by an instruction after the first                                                 */
    bool skipped;     /* an output that the caller does not want, and nothing reads                        */
} qn_cell;

typedef struct qn_method {
    const qn_pte_method *pte;
    qn_delegate *delegates; /* [pte->n_delegates] */
    qn_cell *cells;         /* [pte->n_values]    */
    bool *skip_output;      /* [outputs.count]: the caller does not want it */
    bool finished;          /* a call has ended: outputs may be read */
} qn_method;

struct qn_program {
    qn_allocator allocator;
    qn_engine *engine; /* NULL until built */
    qn_file *files;    /* mapped; owned    */
    uint32_t n_files;
    qn_pte_file *sources;
    qn_pte *pte;
    qn_method *methods; /* [pte->n_methods] */
    void *uses;         /* qn_operator_use[n_uses] */
    size_t n_uses, use_capacity;
    bool built;
    /* the call that runs */
    bool running;
    uint32_t method, at; /* instruction */
    bool waiting;        /* for the delegate call at `at` */
};

/* The method's value as a tensor; NULL where it is none. */
static inline const qn_pte_tensor *qn_program_tensor_of(const qn_pte_method *method, uint32_t value)
{
    const qn_pte_value *v = &method->values[value];
    return v->kind == QN_PTE_TENSOR ? &v->u.tensor : NULL;
}

/* translate.c: makes and builds the graph of a delegate whose vk is open, of at most max_nodes nodes (QN_ERR_LIMIT);
 * engine NULL: a dry one for the device. */
qn_status qn_translate(qn_engine *engine, const qn_device_info *device, const qn_pte *pte, size_t max_nodes,
                       qn_delegate *delegate);
/* Whether the translator knows an operator of a delegate. */
bool qn_translates(const char *name);
void qn_delegate_close(qn_delegate *delegate);
/* Writes the first contents of the states. */
qn_status qn_delegate_reset(qn_delegate *delegate);

/* kernels.c: the operators that exporters leave to the CPU. args: the call's values. */
typedef struct qn_cpu_call {
    const qn_program *program;
    qn_method *method;
    const qn_pte_operator *op;
    qn_fb_vector args;
} qn_cpu_call;

bool qn_cpu_knows(const qn_pte_operator *op);
/* Whether a known operator reads argument i as a tensor. */
bool qn_cpu_reads(const qn_pte_operator *op, uint32_t i);
/* Checks the arguments once, at build. */
qn_status qn_cpu_check(const qn_cpu_call *call);
qn_status qn_cpu_run(const qn_cpu_call *call);

/* cells.c */
/* Whether a tensor's elements lie row by row, as qn_program_tensor has them (dimensions of size 1 may be anywhere). */
bool qn_is_row_major(const qn_pte_tensor *tensor);
/* Room of its own for the value's largest shape. */
qn_status qn_cell_own(const qn_program *program, qn_method *method, uint32_t value);
/* Whether a graph's tensor of that type can stand for one of the method's; whether their elements are the same. */
bool qn_scalar_fits(qn_scalar scalar, qn_dtype dtype);
bool qn_scalar_is_direct(qn_scalar scalar);
/* From a file's or a method's elements, at any address, to a graph's; and back, for types that are not the same. An i64
 * that does not fit 32 bits: QN_ERR_ARGUMENT. */
qn_status qn_words_from(qn_scalar scalar, const void *data, uint64_t n, uint32_t *words);
void qn_words_to(qn_scalar scalar, const uint32_t *words, uint64_t n, void *data);

/* program.c: "method forward" for messages. */
qn_status qn_in_method(const qn_method *method, qn_status status);
/* execute.c: rooms of a method's values, once its graphs are built. */
qn_status qn_method_prepare(qn_program *program, qn_method *method);

#endif
