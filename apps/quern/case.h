/* case.h - op case folders for `quern check`: case.json and raw arrays. */
#ifndef QN_APP_CASE_H
#define QN_APP_CASE_H

#include "common.h"

enum { QN_CASE_NAME = 64 };

typedef enum qn_case_dtype {
    QN_CASE_F32 = 1,
    QN_CASE_I32,
    QN_CASE_U8,
    QN_CASE_I8, /* these four only of programs */
    QN_CASE_I64,
    QN_CASE_BOOL,
    QN_CASE_F64,
} qn_case_dtype;

typedef struct qn_case_array {
    char name[QN_CASE_NAME];
    qn_case_dtype dtype;
    qn_shape shape;
    size_t count; /* elements */
    void *data;   /* [shape]; NULL for a maximum shape */
    bool ignored; /* an output that says nothing: no data, not compared */
} qn_case_array;

typedef struct qn_case_arrays {
    qn_case_array *items;
    size_t n;
} qn_case_arrays;

typedef struct qn_case_integer {
    char name[QN_CASE_NAME];
    int64_t value;
} qn_case_integer;

typedef struct qn_case_call {
    qn_case_arrays inputs, outputs, states_after;
    qn_case_integer *integers;
    size_t n_integers;
    bool reject; /* the call must fail */
} qn_case_call;

typedef struct qn_case {
    char op[QN_CASE_NAME]; /* "" for a program */
    json_t *root, *attrs;  /* attrs is part of root */
    double abs_tolerance, rel_tolerance;
    bool reject; /* building must fail */
    qn_case_arrays weights, states, max_shapes;
    qn_case_call *calls;
    size_t n_calls;
    qn_case_call *error_calls; /* of a program: inputs that must fail, and change nothing */
    size_t n_error_calls;
    char **data_files; /* of a program: paths of the .ptd files that belong to it */
    size_t n_data_files;
} qn_case;

/* Reads a folder. Everything in it is checked: a failure names the file and what is wrong there. */
qn_status qn_case_load(const char *folder, qn_case *c);
void qn_case_free(qn_case *c);
/* The case.json beside a program: inputs and outputs in the method's order, without names ("in0", "out0", ...). */
qn_status qn_case_load_program(const char *folder, qn_case *c);
/* "f32", "i64", ...; bytes of an element. */
const char *qn_case_dtype_name(qn_case_dtype dtype);
size_t qn_case_dtype_bytes(qn_case_dtype dtype);
/* NULL when there is none of that name. */
const qn_case_array *qn_case_find(const qn_case_arrays *arrays, const char *name);

/* ---- the graph of a case --------------------------------------------------------------------- */

enum { QN_CASE_SLOTS = 8 };

typedef struct qn_case_values {
    size_t n;
    const char *names[QN_CASE_SLOTS];
    qn_value values[QN_CASE_SLOTS];
} qn_case_values;

typedef struct qn_case_graph {
    qn_graph *graph;
    qn_weight *weights[QN_CASE_SLOTS];
    size_t n_weights;
    qn_case_values inputs, integers, states, outputs;
} qn_case_graph;

/* Builds the operation through the graph API. *refused: the failure is the operation's own refusal (what
 * "expect": "reject" waits for), not a mistake in the case. Close it in any case. */
qn_status qn_case_build(const qn_case *c, qn_engine *engine, qn_precision precision, qn_case_graph *g, bool *refused);
void qn_case_close(qn_case_graph *g);
/* 0 when there is none of that name. */
qn_value qn_case_value(const qn_case_values *values, const char *name);

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct qn_case_result {
    double max_abs, max_rel; /* over all outputs; relative to max(|expected|, 1e-6)                         */
    double worst;            /* the largest error in units of the tolerance; above 1: failed                */
    char where[160];         /* that element: "c0.o[0,3,2,11]"                                              */
    double expected, got;    /* its values                                                                  */
} qn_case_result;

/* Compares an output with its expectation and updates the result. */
void qn_case_compare(const qn_case *c, const qn_case_array *expected, const float *got, size_t call, qn_case_result *r);
/* The same for integers, exactly. */
void qn_case_compare_exact(const qn_case_array *expected, const void *got, size_t call, qn_case_result *r);
/* Compares a state exactly (a NaN equals a NaN): false at the first difference, which goes into the result. */
bool qn_case_compare_state(const qn_case_array *expected, const float *got, size_t call, qn_case_result *r);

#endif
