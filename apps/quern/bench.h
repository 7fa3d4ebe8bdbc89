/* bench.h - what the parts of `quern bench` share. */
#ifndef QN_APP_BENCH_H
#define QN_APP_BENCH_H

#include "lm.h"

/* ---- a model --------------------------------------------------------------------------------- */

/* Dispatches of one kernel for nodes that differ only in numbers of their names ("blk.*.ffn_up.weight"). */
typedef struct qn_bench_kernel {
    const char *kernel;
    char node[64];
    uint64_t dispatches;
    double ns;           /* with the marks between dispatches      */
    double net_ns;       /* without them, as far as can be told    */
    double flops, bytes; /* 0: not counted                         */
} qn_bench_kernel;

typedef struct qn_bench_test {
    uint32_t prompt, steps,
        depth;     /* one of prompt and steps is 0: a prompt of so many tokens, or so many of one each */
    double *rates; /* [n_runs] tok/s, sorted                                                           */
    uint32_t n_runs;
    /* Of all measured runs together: */
    uint64_t executions, dispatches;
    double plan_ns, encode_ns;
    /* Of one more run, timed by the GPU; 0 without timestamps: */
    double pass_ns;
    /* Of one more, with a mark after each dispatch; none unless profiled: */
    qn_bench_kernel *kernels;
    size_t n_kernels;
} qn_bench_test;

/* Takes what the marks cost off the kernels' times, and sorts them by what is left. */
void qn_bench_settle(qn_bench_test *t);
/* "pp512", "tg128@2048"; returns text. */
const char *qn_bench_name(const qn_bench_test *t, char text[64]);
/* Prints a line, and the kernels if there are any; peaks all zero: not measured. */
void qn_bench_print_head(void);
void qn_bench_print(const qn_bench_test *t, const qn_peaks *peaks);
json_t *qn_bench_json(const qn_bench_test *t, const qn_peaks *peaks);
void qn_bench_print_peaks(const qn_peaks *peaks);
json_t *qn_bench_peaks_json(const qn_peaks *peaks);

/* The device's peaks; all zero, with a line on stderr, where they cannot be measured. */
void qn_bench_measure_peaks(qn_engine *engine, qn_peaks *peaks);

/* ---- one operation --------------------------------------------------------------------------- */

typedef struct qn_cli_bench_op {
    const char *op, *shape, *scales;
    uint32_t runs, copies;
    qn_precision precision;
    bool json, peaks;
} qn_cli_bench_op;

/* Times one operation. */
qn_status qn_cli_run_bench_op(const qn_cli_bench_op *o, const qn_cli_engine *e);

#endif
