/* graph.h - the inside of a graph. */
#ifndef QN_GRAPH_GRAPH_H
#define QN_GRAPH_GRAPH_H

#include "graph/engine.h"
#include "ops/op.h"

typedef enum qn_place_kind {
    QN_PLACE_INT = 0, /* an integer: no memory                    */
    QN_PLACE_INPUT,
    QN_PLACE_STATE,
    QN_PLACE_WEIGHT,
    QN_PLACE_ACTIVATION, /* pooled                                   */
    QN_PLACE_SCRATCH,    /* pooled, alive during one node            */
    QN_PLACE_ALIAS,      /* a view of another tensor's memory        */
} qn_place_kind;

/* Where a value lives; parallel to the tensors. */
typedef struct qn_place {
    qn_place_kind kind;
    uint64_t bytes; /* at the maximum shape                                    */
    qn_value alias_of;
    uint32_t slot;       /* of the pool: activations and scratch                    */
    qn_buffer *buffer;   /* of inputs and states: owned; of activations: the slot's */
    bool is_set;         /* inputs and integers: given at least once                */
    bool computed;       /* by a node                                               */
    uint32_t when;       /* condition under which it is computed                    */
    int32_t *host;       /* inputs that integers are read from: a copy, owned       */
    uint64_t changed_at; /* stamp of the last change of live shape or number        */
} qn_place;

/* A dispatch that a node may make: kernel and bind group, made once at build. */
typedef struct qn_variant {
    const qn_kernel_row *row;
    uint32_t spec[QN_MAX_SPEC];
    uint32_t n_binds;
    qn_bind binds[QN_MAX_BINDINGS];
    qn_kernel *kernel;
    qn_bindings *bindings;
} qn_variant;

typedef struct qn_node_state {
    qn_node node;
    uint32_t first_slot, n_slots; /* of the parameter arena           */
    uint32_t n_live;              /* dispatches of the last plan      */
    uint64_t planned_at;          /* stamp; 0: never                  */
    uint32_t when;                /* condition under which it runs    */
    void *variants;               /* qn_variant[n_variants]           */
    size_t n_variants, variant_capacity;
    uint64_t scratch_bytes[QN_MAX_SCRATCH];
    qn_value scratch[QN_MAX_SCRATCH]; /* 0: none */
} qn_node_state;

/* One slot of the parameter arena as last planned. */
typedef struct qn_slot {
    const qn_variant *variant;
    uint32_t grid[3];
    uint32_t n_params;
    double flops, bytes; /* as in qn_dispatch */
    double gpu_ns;
} qn_slot;

/* A condition: the integer is not 0, and the outer condition holds. */
typedef struct qn_when {
    qn_value integer;
    uint32_t outer;
} qn_when;

enum {
    QN_FLIGHTS = QN_MAX_IN_FLIGHT + 2, /* besides those under way: whose outputs are read, and what is encoded */
    QN_SMALL_READBACK = 256,           /* bytes of outputs that every execution under way may read back        */
};

/* An output in the readback of one execution; bytes 0: not read back. */
typedef struct qn_output_part {
    uint64_t offset, bytes;
    qn_shape live;
} qn_output_part;

typedef struct qn_output {
    qn_value value;
    bool wanted;
    qn_output_part parts[QN_FLIGHTS];
} qn_output;

/* An execution from its encoding until the next one's outputs are taken. */
typedef struct qn_flight {
    qn_submission submission;
    qn_readback *readback;
    uint64_t bytes; /* to read back */
} qn_flight;

struct qn_graph {
    qn_engine *engine; /* NULL: a dry graph, planned for a device that is not opened */
    const qn_allocator *allocator;
    qn_status status; /* first failure of building */
    bool built;
    void *tensors; /* qn_tensor[n_values], [0] unused */
    void *places;  /* qn_place[n_values]              */
    size_t n_values, tensor_capacity, place_capacity;
    void *nodes; /* qn_node_state[n_nodes]          */
    size_t n_nodes, node_capacity;
    void *outputs; /* qn_output[n_outputs]            */
    size_t n_outputs, output_capacity;
    void *strings; /* char *[n_strings], owned        */
    size_t n_strings, string_capacity;
    void *tables; /* qn_weight *[n_tables], owned (RoPE) */
    size_t n_tables, table_capacity;
    qn_plan plan;       /* workspace: dispatches of one node */
    qn_choices choices; /* the engine's when the graph was opened */
    qn_decisions decisions;
    void *whens; /* qn_when[n_whens]; condition 0: always, i: entry i - 1 */
    size_t n_whens, when_capacity;
    uint32_t when; /* of nodes that are added now */
    /* memory */
    void *slot_buffers; /* qn_buffer *[n_pool] */
    uint32_t n_pool;
    qn_memory_table memory;
    /* execution */
    qn_buffer *params;
    uint8_t *arena; /* host copy of params, n_slots * QN_PARAM_SLOT */
    uint32_t n_slots;
    qn_slot *slots;
    uint64_t stamp;
    qn_encoder *encoder;
    qn_readback *readback;          /* for outputs of any size */
    qn_readback *small[QN_FLIGHTS]; /* NULL where only one execution may be under way */
    qn_flight flights[QN_FLIGHTS];  /* a ring: the one taken, those under way, the next */
    uint32_t oldest, n_in_flight, max_in_flight;
    const uint8_t *readback_data; /* of the one taken */
    bool has_timestamps;
    bool prepared;        /* the next execution is encoded... */
    uint64_t prepared_at; /* ... as of this stamp             */
    qn_profile profile;
    double gpu_ns;
    uint32_t dirty_low, dirty_high; /* slots planned but not uploaded yet */
    double *times;                  /* [n_slots] when profiling    */
    qn_execute_counts counts, next; /* of the last submit; of what is encoded */
};

static inline qn_tensor *qn_graph_tensor(const qn_graph *g, qn_value v)
{
    return (qn_tensor *)g->tensors + v;
}

static inline qn_place *qn_graph_place(const qn_graph *g, qn_value v)
{
    return (qn_place *)g->places + v;
}

static inline qn_node_state *qn_graph_node(const qn_graph *g, size_t i)
{
    return (qn_node_state *)g->nodes + i;
}

static inline qn_output *qn_graph_output_at(const qn_graph *g, size_t i)
{
    return (qn_output *)g->outputs + i;
}

/* Executions under way; how many more may be submitted now. */
uint32_t qn_graph_in_flight(const qn_graph *g);
uint32_t qn_graph_room(const qn_graph *g);

/* NULL for condition 0. */
static inline const qn_when *qn_graph_when(const qn_graph *g, uint32_t when)
{
    return when ? (const qn_when *)g->whens + (when - 1) : NULL;
}

/* The value whose memory this one uses. */
static inline qn_value qn_graph_root(const qn_graph *g, qn_value v)
{
    while (qn_graph_place(g, v)->kind == QN_PLACE_ALIAS) v = qn_graph_place(g, v)->alias_of;
    return v;
}

/* A graph that is planned and measured but cannot run: for predicting memory. */
qn_status qn_graph_open_dry(const qn_allocator *a, const qn_device_info *device, qn_graph **graph);

/* qn_weight_create through a ring of staging buffers (NULL: without): at the speed of memory, and without a copy of all
 * weights in the implementation's own staging. */
qn_status qn_weight_create_staged(qn_engine *engine, const qn_weight_desc *desc, qn_upload *upload, qn_weight **weight);
/* A weight as qn_weight_create makes it, without GPU memory: for dry graphs. */
qn_status qn_weight_plan(const qn_allocator *a, const qn_device_info *device, const qn_weight_desc *desc,
                         qn_weight **weight);

/* A new value (0 and g->status set on a failure). The name is copied. */
qn_value qn_graph_new_value(qn_graph *g, qn_place_kind kind, const char *name);
/* What a function of nodes.c asks for. */
typedef struct qn_node_desc {
    qn_op op;
    const qn_value *inputs;
    uint32_t n_inputs;
    uint32_t optional;   /* bit i: input i may be 0     */
    uint32_t integers;   /* bit i: input i is an int    */
    uint32_t n_outputs;  /* 0: one                      */
    bool no_output;      /* none at all                 */
    bool integer_output; /* the output is an integer    */
    const char *name;    /* NULL: none                  */
    qn_attrs attrs;
} qn_node_desc;

/* Adds a node and plans it at the maximum shapes. Returns its first output; `outputs` (may be NULL) gets all. 0 on a
 * failure, which is kept in the graph. */
qn_value qn_graph_add_node(qn_graph *g, const qn_node_desc *d, qn_value outputs[QN_MAX_OUTPUTS]);
/* Keeps a small input's elements on the host as well, where plan() reads them (qn_tensor.host). `op` for messages. */
qn_status qn_graph_keep_on_host(qn_graph *g, qn_value input, const char *op);
/* Keeps the first failure. */
void qn_graph_failed(qn_graph *g, qn_status status);

/* memory.c: places every value and scratch and creates the buffers. */
qn_status qn_graph_place_values(qn_graph *g);
/* compile.c: plans every node at the maximum shapes (before placing), then kernels and bindings (after). */
qn_status qn_graph_plan_maximum(qn_graph *g, size_t node);
qn_status qn_graph_compile(qn_graph *g);
/* The variant of a dispatch; `last` (may be NULL) is tried first. */
const qn_variant *qn_graph_find_variant(const qn_node_state *node, const qn_dispatch *d, const qn_variant *last);

#endif
