/* check.h - checking and binding of operands, shared by several plan functions. */
#ifndef QN_OPS_CHECK_H
#define QN_OPS_CHECK_H

#include "ops/op.h"

/* Input i is an f32 tensor (a plain one, if it is a weight). *t: the tensor. */
qn_status qn_check_f32(const qn_plan *p, uint32_t i, qn_tensor **t);
/* The same of either element type. */
qn_status qn_check_f32_or_i32(const qn_plan *p, uint32_t i, qn_tensor **t);

/* Elements of a shape, below 2^31: kernels index with 32 bits, and a folded grid passes the end by less than that. */
qn_status qn_check_elements(const qn_plan *p, const qn_shape *shape, uint32_t *n);

/* The whole of a value: a tensor, or the data of a plain weight. */
qn_bind qn_whole(const qn_plan *p, qn_value value);
/* Binds input i whole. */
void qn_bind_operand(const qn_plan *p, qn_dispatch *d, uint32_t i);

/* A tensor over the device's binding limit is computed in windows of rows, each with its dispatch. A window begins at a
 * multiple of 256 bytes: at a multiple of so many rows of row_bytes. */
uint32_t qn_window_granule(uint64_t row_bytes);
/* How many rows a window has where `widest` bytes a row have to fit a binding: a multiple of 64 where that fits, else
 * of `granule`. QN_ERR_LIMIT when not even that fits and there are more rows. */
qn_status qn_plan_windows(const qn_plan *p, uint64_t widest, uint32_t granule, uint32_t max_rows, uint32_t *rows);
/* The same for rows of one size. */
qn_status qn_plan_window(const qn_plan *p, uint64_t row_bytes, uint32_t max_rows, uint32_t *rows);
/* A tensor whole if its maximum of max_rows rows fits a window of `window` rows, else the window from row0. The bound
 * range depends on the maximum only, so that it is prepared at build for every live shape. */
typedef struct qn_row_window {
    uint64_t row_bytes;
    uint32_t max_rows, window, row0;
} qn_row_window;
qn_bind qn_window_of(const qn_plan *p, qn_value value, const qn_row_window *rows);
/* Binds it. */
void qn_bind_rows(const qn_plan *p, qn_dispatch *d, qn_value value, uint64_t row_bytes, uint32_t max_rows,
                  uint32_t window, uint32_t row0);
/* A number of the node as a word of the type. Infinities become the ends of int32; what else is not one is refused. */
qn_status qn_plan_word(const qn_plan *p, qn_dtype dtype, double number, uint32_t *word);

#endif
