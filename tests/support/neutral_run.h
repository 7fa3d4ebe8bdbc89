/* neutral_run.h - running the cases of neutrality.h: one-node graphs, and what a call of one did, as bytes. */
#ifndef QN_TESTS_NEUTRAL_RUN_H
#define QN_TESTS_NEUTRAL_RUN_H

#include "support/neutrality.h"

/* Live rows and position of a call. */
typedef struct qn_neutral_call {
    uint32_t rows, pos;
} qn_neutral_call;

typedef struct qn_neutral_fixture {
    qn_engine *engine;            /* NULL: only planned */
    const qn_device_info *device; /* ... for this one, */
    const char *route;            /* with this kernel row forced; or NULL */
    const op_case *c;
    qn_test_matrix matrix[MAX_WEIGHTS]; /* of the weights, where they are matrices */
    qn_weight *weight[MAX_WEIGHTS];
    void *data[MAX_INPUTS];   /* for MAX_ROWS rows; fewer take the first ones */
    float *state[MAX_STATES]; /* contents before every call                    */
} qn_neutral_fixture;

/* Dispatches, output and states as bytes; two results are equal or not. */
typedef struct qn_neutral_result {
    char *bytes;
    size_t size;
    char kernels[2048]; /* for the message */
} qn_neutral_result;

void qn_neutral_open(qn_neutral_fixture *f, qn_engine *engine, const op_case *c);
/* For graphs that are planned for a device and never run. */
void qn_neutral_open_dry(qn_neutral_fixture *f, const qn_device_info *device, const op_case *c);
void qn_neutral_close(qn_neutral_fixture *f);
/* The shape with `rows` for its zeros. */
qn_shape qn_neutral_shape(qn_shape shape, uint32_t rows);
/* The one-op graph of the case, built for at most `rows` rows. */
built qn_neutral_build(const qn_neutral_fixture *f, uint32_t rows);
/* Sets inputs, states and the number for a call. */
void qn_neutral_set(const qn_neutral_fixture *f, const built *b, const qn_neutral_call *call);
/* Runs it and appends what it did to r. */
void qn_neutral_run(const qn_neutral_fixture *f, const built *b, const qn_neutral_call *call, qn_neutral_result *r);

#endif
