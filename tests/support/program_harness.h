/* program_harness.h - what the tests of programs share: opening a file in memory, calling a method in builds with and
 * without the blocking calls, comparing what it gives. Every function fails the running cmocka test with a message. */
#ifndef QN_TESTS_PROGRAM_HARNESS_H
#define QN_TESTS_PROGRAM_HARNESS_H

#include "support/op_harness.h"

#include "support/program_builder.h"

/* A program and the bytes that it lies in. */
typedef struct qn_test_program {
    qn_fbb file; /* owned */
    qn_program *p;
} qn_test_program;

/* Each takes the file, and frees it on a failure. Reads it; and builds it on the engine; and plans it for a device with
 * core limits. */
qn_status qn_test_program_read(qn_fbb file, qn_test_program *t);
qn_status qn_test_program_build(qn_engine *engine, qn_fbb file, qn_test_program *t);
qn_status qn_test_program_plan(qn_fbb file, qn_test_program *t);
/* Builds it; a failure fails the test. */
qn_test_program qn_test_program_open(qn_engine *engine, qn_fbb file);
void qn_test_program_close(qn_test_program *t);

/* Submits and polls until the outputs are there. */
qn_status qn_test_call(qn_program *p, uint32_t method, const qn_program_tensor *inputs, uint32_t n);
#define QN_CALL(p, ...)                                                                                                \
    qn_test_call((p), 0, (const qn_program_tensor[]){__VA_ARGS__},                                                     \
                 sizeof((const qn_program_tensor[]){__VA_ARGS__}) / sizeof(qn_program_tensor))

/* Output i of method 0 has this live shape and these elements: floats within the tolerance; bytes. */
void qn_test_output_f32(const qn_program *p, uint32_t i, qn_shape live, const float *want, qn_tolerance tolerance);
void qn_test_output_is(const qn_program *p, uint32_t i, qn_shape live, const void *want, size_t bytes);

#endif
