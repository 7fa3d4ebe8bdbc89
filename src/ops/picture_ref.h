/* picture_ref.h - plain C references of pooling, batch norm, upsampling and grid sampling, in float64. */
#ifndef QN_OPS_PICTURE_REF_H
#define QN_OPS_PICTURE_REF_H

#include <stdint.h>

#include "quern_graph.h"

/* Output size of pooling in direction i (0: height, 1: width). */
uint32_t qn_pool_ref_size(const qn_pool_options *o, uint32_t i, uint32_t input);
/* y[planes, Ho, Wo] of x[planes, H, W] (in: H, W); indices as qn_max_pool2d gives them. */
void qn_max_pool_ref(const qn_pool_options *o, const float *x, uint32_t planes, const uint32_t in[2], double *y,
                     int32_t *indices);
void qn_avg_pool_ref(const qn_pool_options *o, const float *x, uint32_t planes, const uint32_t in[2], double *y);

/* y[N, C, inner]; weight and bias may be NULL. */
typedef struct qn_batch_norm_ref_operands {
    const float *weight, *bias, *mean, *var; /* [C] */
} qn_batch_norm_ref_operands;
void qn_batch_norm_ref(const float *x, const qn_batch_norm_ref_operands *operands, double eps, const uint32_t sizes[3],
                       double *y);

/* y[planes, Ho, Wo]; out gets Ho, Wo. */
void qn_upsample_ref(const qn_upsample_options *o, const float *x, uint32_t planes, const uint32_t in[2],
                     uint32_t out[2], double *y);

/* Sizes of x[N, C, H, W] and grid[N, Ho, Wo, 2]. */
typedef struct qn_grid_sizes {
    uint32_t n, c, in[2], out[2];
} qn_grid_sizes;
void qn_grid_sampler_ref(const float *x, const float *grid, const qn_grid_sizes *s, qn_grid_padding padding,
                         bool align_corners, double *y);

#endif
