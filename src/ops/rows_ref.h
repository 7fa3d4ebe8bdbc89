/* rows_ref.h - plain C reference of last_rows. */
#ifndef QN_OPS_ROWS_REF_H
#define QN_OPS_ROWS_REF_H

#include <stdint.h>

/* y[n, E] = the last n rows of x[m, E]. */
void qn_last_rows_ref(const float *x, uint32_t m, uint32_t e, uint32_t n, double *y);

#endif
