/* strided_ref.h - plain C references of the operations that only move elements (32-bit words). Each walks all indices
 * of the result and looks up where its element comes from; shapes are given whole, results are row-major. */
#ifndef QN_OPS_STRIDED_REF_H
#define QN_OPS_STRIDED_REF_H

#include "quern_graph.h"

/* y[idx] = x[...], dimension i of y is dimension order[i] of x. */
void qn_permute_ref(const uint32_t *x, const qn_shape *xs, const uint32_t *order, uint32_t *y);
/* Bit i of dims: dimension i is reversed. */
void qn_flip_ref(const uint32_t *x, const qn_shape *xs, uint32_t dims, uint32_t *y);
/* Elements first + i * step of a dimension, for i below the size in ys. */
void qn_slice_ref(const uint32_t *x, const qn_shape *xs, uint32_t dim, uint32_t first, uint32_t step,
                  const qn_shape *ys, uint32_t *y);
/* x repeated to fill ys, which may have more leading dimensions (also expand: there x's sizes are 1). */
void qn_repeat_ref(const uint32_t *x, const qn_shape *xs, const qn_shape *ys, uint32_t *y);
/* n values behind one another along dim. */
void qn_cat_ref(const uint32_t *const *x, const qn_shape *xs, uint32_t n, uint32_t dim, uint32_t *y);
/* x from index `before` on (negative: cropped), the word elsewhere. */
void qn_pad_ref(const uint32_t *x, const qn_shape *xs, const int32_t (*pads)[2], uint32_t word, uint32_t *y);
/* y[..., c, h * r + i, w * r + j] = x[..., (c * r + i) * r + j, h, w]; xs: the shape of x. */
void qn_pixel_shuffle_ref(const uint32_t *x, const qn_shape *xs, uint32_t r, uint32_t *y);

#endif
