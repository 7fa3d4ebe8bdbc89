/* neutrality.h - the cases of tests/ops/test_neutrality.c: operations as one-node graphs. A family of operations has a
 * table of them in tests/support/neutral_FAMILY.c, named in qn_neutral_families (neutral_base.c). */
#ifndef QN_TESTS_NEUTRALITY_H
#define QN_TESTS_NEUTRALITY_H

#include "support/op_harness.h"

#include "ops/op.h"

#define QN_OP(ID, name, plan)
#define QN_KERNELS(table) extern const qn_kernel_table table;
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS

enum { MAX_INPUTS = 4, MAX_WEIGHTS = 2, MAX_STATES = 2, MAX_TABLES = 4, MAX_ROWS = 40, CONTEXT = 256, MAX_LAST = 24 };

typedef struct built {
    qn_graph *g;
    qn_value in[MAX_INPUTS], w[MAX_WEIGHTS], state[MAX_STATES], number, out;
    uint32_t rows; /* that it is built for */
} built;

typedef enum number_kind { NO_NUMBER = 0, POSITION, LAST_ROWS } number_kind;

typedef struct op_case {
    const char *name;
    qn_op op;
    const qn_kernel_table *tables[MAX_TABLES];
    struct {
        qn_shape shape; /* dimension 0: the live rows */
        qn_dtype dtype; /* 0 ends                     */
    } in[MAX_INPUTS];
    const void *data[MAX_INPUTS]; /* contents of an input; NULL: random */
    struct {
        qn_weight_kind kind; /* 0 ends                */
        qn_shape shape;      /* rank 2: a matrix      */
        uint32_t group;
    } w[MAX_WEIGHTS];
    bool halves;                 /* scales that are stored as f16 */
    qn_shape states[MAX_STATES]; /* rank 0 ends       */
    qn_dtype state_type;         /* 0: QN_F32         */
    number_kind number;
    bool any_rows; /* inputs may differ in their rows */
    qn_precision precision;
    qn_value (*add)(const built *b);
} op_case;

#define ROWS_OF(e)                                                                                                     \
    {                                                                                                                  \
        {3, {1, 0, e}}, QN_F32                                                                                         \
    }
#define HEADS(heads, dim)                                                                                              \
    {                                                                                                                  \
        {4, {1, 0, heads, dim}}, QN_F32                                                                                \
    }
#define MATRIX(kind, n, k, group)                                                                                      \
    {                                                                                                                  \
        QN_WEIGHT_##kind, {2, {n, k}}, group                                                                           \
    }
#define VECTOR(n)                                                                                                      \
    {                                                                                                                  \
        QN_WEIGHT_F32, {1, {n}}, 0                                                                                     \
    }

typedef struct neutral_family {
    const op_case *cases;
    size_t n;
} neutral_family;

/* All of them; NULL ends. */
extern const neutral_family *const qn_neutral_families[];

#endif
