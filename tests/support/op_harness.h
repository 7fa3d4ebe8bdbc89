/* op_harness.h - what the op tests share: the software device, random data, weights with known values, running a
 * graph, comparing. Every function fails the running cmocka test with a message. */
#ifndef QN_TESTS_OP_HARNESS_H
#define QN_TESTS_OP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"
#include "ops/op.h"
#include "quern_graph.h"
#include "support/host_memory.h"

/* ---- status ---------------------------------------------------------------------------------- */

#define qn_assert_ok(status) qn_test_assert_ok((status), #status, __FILE__, __LINE__)
/* The call fails with this code, and its text contains `part`. */
#define qn_assert_fails(status, code, part) qn_test_assert_fails((status), (code), (part), #status, __FILE__, __LINE__)

void qn_test_assert_ok(qn_status status, const char *what, const char *file, int line);
void qn_test_assert_fails(qn_status status, qn_code code, const char *part, const char *what, const char *file,
                          int line);

/* ---- device ---------------------------------------------------------------------------------- */

/* The software adapter, or the one that the environment variable QN_TEST_DEVICE names (as --device does), opened with
 * these options (device is filled in). */
qn_status qn_test_open_engine(qn_engine_options options, qn_engine **engine);
/* qn_engine_open for builds that have it not. */
qn_status qn_test_open_steps(const qn_engine_options *options, qn_engine **engine);
/* The software adapter with core limits and no optional feature; route: a kernel row to force, or NULL. */
qn_engine *qn_test_engine(const char *route);
/* The same with the row forced; with the device's features where the row needs one. */
qn_engine *qn_test_row_engine(const qn_kernel_row *row);
/* Pretends that bindings of this device end at `bytes`, to see tensors computed in windows. */
void qn_test_limit_bindings(qn_engine *engine, uint64_t bytes);

/* ---- data ------------------------------------------------------------------------------------ */

/* A number that depends on seed and index only. */
uint32_t qn_test_random(uint64_t seed, uint64_t index);
/* x[n], uniform in [-scale, scale). */
void qn_test_fill(float *x, size_t n, uint64_t seed, float scale);
/* The same, allocated (free with free()). */
float *qn_test_floats(size_t n, uint64_t seed, float scale);

/* A plain f32 weight. */
qn_weight *qn_test_plain(qn_engine *engine, const char *name, qn_shape shape, const float *data);

/* A random matrix [n, k] as the public interface takes it, and the values that it stands for. */
typedef struct qn_test_matrix {
    qn_weight_desc desc;
    void *data;
    float *scales, *mins; /* NULL where the kind has none */
    double *values;       /* [n, k], dequantized          */
} qn_test_matrix;

/* half_scales: scales and minimums that f16 holds exactly (they are then stored as f16). */
qn_test_matrix qn_test_matrix_make(qn_weight_kind kind, uint32_t n, uint32_t k, uint32_t group, bool half_scales,
                                   uint64_t seed);
void qn_test_matrix_free(qn_test_matrix *m);
/* "q4", "f16", ... */
const char *qn_test_kind_name(qn_weight_kind kind);

/* ---- graphs ---------------------------------------------------------------------------------- */

qn_graph *qn_test_graph(qn_engine *engine);
/* Submits and polls until done: as qn_graph_execute, but also in builds without the blocking calls. */
qn_status qn_test_execute(qn_graph *g);
/* Reads a whole state, likewise. */
qn_status qn_test_read_state(qn_graph *g, qn_value state, void *data);
/* Executes; the output's live shape must be `live`. Valid until the next execute. */
const void *qn_test_run(qn_graph *g, qn_value output, qn_shape live);
/* The last execute dispatched this kernel row (or, with false, did not). */
bool qn_test_dispatched(const qn_graph *g, const char *kernel);

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct qn_tolerance {
    double abs, rel; /* an element passes when either bound holds */
} qn_tolerance;

/* got[n] against want[n]; on a failure says how many are wrong, and the worst one with its place. */
void qn_test_compare(const char *what, const float *got, const double *want, size_t n, qn_tolerance tolerance);

#endif
