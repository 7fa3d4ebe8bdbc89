/* op.h - what an operation is: a node, and a pure function plan() from live shapes to dispatches.
 *
 * plan() touches no device. It checks the shapes, sets the outputs' live shapes, chooses kernel rows, and fills
 * parameter blocks and grids; nothing else computes these. It serves two callers:
 *   - build: at the maximum shapes, to reject what is unsupported. While building, qn_plan_probe visits every
 *     number of live rows at which the route changes, so that the collected dispatches name every kernel and
 *     binding that a live shape may use, and the largest scratch.
 *   - execute: at the live shapes. */
#ifndef QN_OPS_OP_H
#define QN_OPS_OP_H

#include "gpu/gpu.h"
#include "ops/weight.h"
#include "quern_graph.h"

enum {
    QN_MAX_INPUTS = 8,
    QN_MAX_OUTPUTS = 3,
    QN_MAX_PARAMS = 64, /* 32-bit words of a parameter block        */
    QN_MAX_SPEC = 12,   /* constants of a kernel set by the node    */
    QN_MAX_CONSTS = 12, /* constants of a kernel set by its row     */
    QN_MAX_WITH = 7,    /* WGSL files before a kernel's         */
    QN_MAX_SCRATCH = 3, /* scratch tensors of a node                */
    QN_MAX_SIGNS = 4,   /* numbers of a node that a choice is for   */
};

typedef enum qn_op {
#define QN_OP(ID, name, plan) QN_OP_##ID,
#define QN_KERNELS(table)
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS
    QN_OP_COUNT
} qn_op;

/* ---- kernel rows ----------------------------------------------------------------------------- */

enum { QN_NEEDS_F16 = 1, QN_NEEDS_SUBGROUPS = 2 };

/* On which kind of adapter plan() prefers a row. Every usable row computes the same result on any. */
typedef enum qn_row_class { QN_ROW_ANY = 0, QN_ROW_GPU, QN_ROW_SOFTWARE } qn_row_class;

typedef struct qn_const {
    const char *name; /* NULL ends the list */
    uint32_t value;
} qn_const;

/* A kernel variant. The constants become WGSL `const NAME: u32 = value;` and, read through qn_row_const, the C
 * grid math: one table for both. `spec` names the constants whose values each dispatch brings along (head_dim,
 * group, has_bias, ...); they depend on the node, never on the live shape. WG_X, WG_Y, WG_Z are defined from
 * `workgroup`. */
typedef struct qn_kernel_row {
    const char *name;              /* "linear.gemv": family.variant                                      */
    const char *source;            /* WGSL file (without ending) with the entry point                    */
    const char *with[QN_MAX_WITH]; /* WGSL files put before it; NULL ends                                */
    const char *entry;
    const char *access; /* "rrrw": storage bindings from 1 on                                 */
    uint32_t workgroup[3];
    qn_const consts[QN_MAX_CONSTS];
    const char *spec[QN_MAX_SPEC];
    void (*write)(const uint32_t *spec, char *text, size_t capacity); /* NULL, or writes WGSL that spec calls for */
    uint32_t needs;
    uint32_t workgroup_bytes; /* of workgroup memory, where it is over the 16 KiB that every device has */
    qn_row_class preferred;
    uint32_t min_rows, max_rows; /* live rows for which it is preferred; max 0: no bound        */
    uint32_t unroll;             /* where indices are checked, loops of so many turns are written out  */
    bool checked;                /* indexed by data: keep the implementation's bounds checks           */
    bool never_preferred;        /* only when forced (reference rows for comparison)                   */
    bool inexact;                /* rounds activations to fewer bits: QN_PRECISION_AUTO only            */
    bool joins;                  /* does in one dispatch what rows of other tables do in steps, where it can    */
} qn_kernel_row;

/* Value of a row's constant (0 if it has none of that name). */
uint32_t qn_row_const(const qn_kernel_row *row, const char *name);

typedef struct qn_kernel_table {
    const qn_kernel_row *rows; /* in order of preference */
    uint32_t n_rows;
} qn_kernel_table;

/* All tables, from ops.def; NULL ends. */
extern const qn_kernel_table *const qn_kernel_tables[];

/* The row of this name in any table, or NULL. */
const qn_kernel_row *qn_row_find(const char *name);

/* Whether a device can run a row at all (features, workgroup limits; a row with a constant LEAST_SUBGROUP is not for
 * smaller subgroups). */
bool qn_row_runs_on(const qn_kernel_row *row, const qn_device_info *device);
/* Whether plan() would choose it there for some number of rows without being forced. */
bool qn_row_preferred_on(const qn_kernel_row *row, const qn_device_info *device);

/* ---- nodes ----------------------------------------------------------------------------------- */

typedef union qn_attrs {
    struct {
        float eps;
    } norm;
    struct {
        float eps; /* of the norm of x */
        bool gated;
    } linear;
    struct {
        qn_rope_mode mode;
        float scale; /* of rope_attend */
    } rope;
    struct {
        float scale;
    } sdpa;
    struct {
        float scale;
        bool transpose_b;
    } matmul;
    struct {
        int32_t dim; /* negative from the last */
    } index;
    struct {
        qn_shape shape;   /* one dimension may be 0: inferred; of computed dimensions: the maximum */
        uint8_t computed; /* bit i: dimension i is the next of the integer inputs               */
        bool from_dims;   /* dimension i is the live one from[i] of x, or 1 where that is < 0   */
        int8_t from[QN_MAX_RANK];
    } view;
    struct {
        int32_t index; /* of an element or dimension; negative from the end */
    } integer;
    struct {
        uint32_t max_rows;
    } last_rows;
    struct {
        uint32_t n;
        int32_t dim[QN_MAX_RANK]; /* negative from the end */
    } dims;
    struct {
        int32_t dim; /* negative from the end */
        uint32_t step;
        uint32_t max_size; /* 0: what constant bounds take of the largest x */
        uint32_t exact;    /* 0: any size                                   */
    } slice;
    struct {
        int32_t dim;
    } cat;
    struct {
        uint32_t n;
        int32_t pads[QN_MAX_RANK][2]; /* before and after; negative crops */
        double value;
    } pad;
    struct {
        uint32_t factor;
    } shuffle;
    struct {
        uint8_t function; /* enum qn_reduce_function of reduce.h                */
        bool keepdim;
        uint8_t n_dims; /* 0: all                                             */
        int32_t dims[QN_MAX_RANK];
        float number; /* of var: the correction                             */
    } reduce;
    struct {
        int32_t dim; /* negative from the end */
    } line;
    struct {
        uint32_t n; /* layer_norm: normalized dimensions; group_norm: groups */
        float eps;
    } layer_norm;
    struct {
        float eps;
    } qparams;
    struct {
        bool number; /* s is the second operand        */
        double s, t; /* of functions.def               */
    } function;
    struct {
        qn_dtype dtype;
        double start, step;
        qn_shape shape;   /* without a tensor to follow                              */
        uint8_t computed; /* bit i: dimension i is the next of the integer inputs    */
    } full;
    qn_conv_options conv;
    qn_pool_options pool;
    qn_upsample_options upsample;
    struct {
        qn_grid_padding padding;
        bool align_corners;
    } grid_sampler;
    struct {
        float stride, offset;
    } grid_priors;
    struct {
        qn_quant a, b, output;
        double alpha;
        int32_t low, high;
        uint32_t factor; /* of a pixel shuffle */
    } q8;
    qn_q8_conv_options q8_conv;
    qn_q8_linear_options q8_linear;
} qn_attrs;

typedef struct qn_node {
    qn_op op;
    const char *name; /* for messages, traces and profiles: the output's or weight's name */
    uint32_t n_inputs, n_outputs;
    qn_value inputs[QN_MAX_INPUTS]; /* tensors and integers; 0: an optional one that is absent */
    qn_value outputs[QN_MAX_OUTPUTS];
    qn_attrs attrs;
} qn_node;

/* A tensor or integer as plan() sees it. */
typedef struct qn_tensor {
    const char *name;
    qn_dtype dtype;
    qn_shape max, live;
    const qn_weight *weight; /* for weights, else NULL                 */
    bool is_int;
    bool is_const;              /* an integer that never changes: its number may be used at build too  */
    int64_t number, max_number; /* of an integer: now, and the most that it may be                     */
    const int32_t *host;        /* of an i32 input that integers are read from: its elements           */
} qn_tensor;

/* ---- dispatches ------------------------------------------------------------------------------ */

typedef enum qn_bind_kind {
    QN_BIND_VALUE = 0,
    QN_BIND_DATA,
    QN_BIND_SCALES,
    QN_BIND_MINS,
    QN_BIND_SCRATCH,
    QN_BIND_DUMMY
} qn_bind_kind;

typedef struct qn_bind {
    uint8_t kind;    /* qn_bind_kind                                               */
    uint16_t part;   /* of a weight                                                */
    qn_value value;  /* tensor; for scratch: its index                             */
    uint64_t offset; /* bytes; a multiple of 256                                   */
    uint64_t size;   /* bytes; 0: from offset to the end of the tensor's maximum   */
} qn_bind;

typedef struct qn_dispatch {
    const qn_kernel_row *row;
    uint32_t spec[QN_MAX_SPEC];
    uint32_t n_binds;
    qn_bind binds[QN_MAX_BINDINGS];
    uint32_t grid[3];
    uint32_t n_params;
    uint32_t params[QN_MAX_PARAMS];
    double flops, bytes; /* qn_plan_work; 0: not told */
} qn_dispatch;

/* ---- plan ------------------------------------------------------------------------------------ */

/* Besides the forced row only rows that need no feature: those of the defaults, or where there are any, others. */
typedef enum qn_plain { QN_PLAIN_NOT = 0, QN_PLAIN_DEFAULT, QN_PLAIN_OTHER } qn_plain;

struct qn_choices;   /* choice.h */
struct qn_decisions; /* choice.h */

typedef struct qn_plan {
    const qn_device_info *device;
    const char *forced;     /* row name, or NULL                                          */
    qn_precision precision; /* of the node                                                */
    qn_plain plain;
    const struct qn_choices *choices; /* what is known of the rows on this device; NULL: nothing */
    struct qn_decisions *decisions;   /* NULL: not noted                                */
    bool building;
    const qn_allocator *allocator; /* used while building only                          */
    const qn_node *node;
    qn_tensor *tensors; /* by value; [0] unused                                        */
    /* Results, besides the outputs' live shapes: */
    qn_dispatch *dispatches;
    size_t n_dispatches, capacity;
    size_t max_dispatches; /* while building: of one probe                   */
    size_t probe_start;
    uint32_t probed; /* live rows of the probe under way; 0: none */
    uint32_t n_signs, signs[QN_MAX_SIGNS];
    uint64_t scratch[QN_MAX_SCRATCH]; /* bytes needed (building: the most of all probes) */
} qn_plan;

typedef qn_status (*qn_plan_fn)(qn_plan *p);

typedef struct qn_op_info {
    const char *name;
    qn_plan_fn plan;
} qn_op_info;

extern const qn_op_info qn_ops[QN_OP_COUNT];

/* Runs the node's plan function. */
qn_status qn_plan_node(qn_plan *p, const qn_node *node);

/* Input and output tensors of the node; NULL for an absent optional input. */
qn_tensor *qn_plan_in(const qn_plan *p, uint32_t i);
qn_tensor *qn_plan_out(const qn_plan *p, uint32_t i);
/* An integer input. While building it is the most that the integer may be: plans must not take sizes from it then,
 * unless it is constant. */
int64_t qn_plan_int(const qn_plan *p, uint32_t i);
/* A failure that names the op and node. */
qn_status qn_plan_fail(const qn_plan *p, qn_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Sets output i's live shape (while building also its maximum and dtype). */
qn_status qn_plan_set_out(qn_plan *p, uint32_t i, qn_dtype dtype, qn_shape shape);

/* Sets the integer output; while building, the most that it may be. Outside int32: QN_ERR_ARGUMENT. */
qn_status qn_plan_set_int(qn_plan *p, int64_t number);

/* Numbers of live rows to plan for: executing, just `rows`; building, every count up to `rows` at which a table's
 * choice changes, and `rows` last. Use: for (i = 0; qn_plan_probe(p, table, rows, &i, &m);) { ... } */
bool qn_plan_probe(qn_plan *p, const qn_kernel_table *table, uint32_t rows, uint32_t *i, uint32_t *m);

/* Adds a number of the node that never changes (head_dim, ...) to what a choice of tuning is for; the weights' shapes
 * and formats are in it anyway. Before the picks. */
void qn_plan_sign(qn_plan *p, uint32_t number);

/* Whether plan() may choose the row here at all. */
bool qn_plan_may_use(const qn_plan *p, const qn_kernel_row *row);

/* The row that is forced, or that tuning chose for this node (inside a probe only, which visits the rows at which
 * choices change), if it is usable; else NULL: the defaults decide. */
const qn_kernel_row *qn_plan_decided(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows);

/* The row that is decided; else the first row of the table that runs on the device, is usable (bit i of mask: row i can
 * compute this node) and is preferred for `rows` live rows; then the first usable one at all; the forced row if it is
 * usable. NULL if none. */
const qn_kernel_row *qn_plan_pick(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows);

/* Appends a zeroed dispatch. NULL with *status set when there is no room. */
qn_dispatch *qn_plan_dispatch(qn_plan *p, const qn_kernel_row *row, qn_status *status);
/* Reserves scratch `index` of `bytes` (at most the device's binding limit: else QN_ERR_LIMIT). */
qn_status qn_plan_scratch(qn_plan *p, uint32_t index, uint64_t bytes);

/* Bindings in the order of the row's access string. */
void qn_bind_to(qn_dispatch *d, qn_bind bind);
void qn_bind_value(qn_dispatch *d, qn_value value);
void qn_bind_window(qn_dispatch *d, qn_value value, uint64_t offset, uint64_t size);
void qn_bind_weight(qn_dispatch *d, qn_value weight, uint32_t part); /* data, scales, mins: three bindings */
void qn_bind_section(qn_dispatch *d, qn_value weight, uint32_t part, qn_bind_kind section);
void qn_bind_scratch(qn_dispatch *d, uint32_t index);
void qn_bind_dummy(qn_dispatch *d); /* a small read-only buffer of zeros for an absent optional operand */

void qn_param_u32(qn_dispatch *d, uint32_t value);
void qn_param_f32(qn_dispatch *d, float value);
/* The work of a dispatch, for profiles: products and sums, and bytes that have to be read or written once. Not needed
 * where it is no more than reading and writing the bound activations: that is the default. */
void qn_plan_work(qn_dispatch *d, double flops, double bytes);
/* A one-dimensional grid of n workgroups, folded over y when n passes the device's limit: the kernel's index is
 * y * num_workgroups.x + x and it must ignore indices >= n. QN_ERR_LIMIT when even that is too small. */
qn_status qn_grid_1d(const qn_plan *p, qn_dispatch *d, uint64_t n);

/* Elements of a shape (product of its dimensions). */
uint64_t qn_shape_count(const qn_shape *shape);
bool qn_shape_equal(const qn_shape *a, const qn_shape *b);
/* "[1,5,96]"; returns text. */
const char *qn_shape_text(const qn_shape *shape, char *text, size_t capacity);

/* The WGSL of a row with a dispatch's constants: feature lines, constants, `with` files, source. Free with qn_free. */
qn_status qn_row_source(const qn_allocator *a, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                        const qn_wgsl_target *target, char **text);

#endif
