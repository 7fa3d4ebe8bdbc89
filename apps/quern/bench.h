/* bench.h - `quern bench --op`. */
#ifndef QN_APP_BENCH_H
#define QN_APP_BENCH_H

#include "lm.h"

typedef struct qn_cli_bench_op {
    const char *op, *shape, *scales;
    uint32_t runs, copies;
    bool json;
} qn_cli_bench_op;

/* Times one operation. */
qn_status qn_cli_run_bench_op(const qn_cli_bench_op *o, const qn_cli_engine *e);

#endif
