/* axis.h - the geometry of windows that move over a picture: convolutions and pooling, in f32 and int8. */
#ifndef QN_OPS_AXIS_H
#define QN_OPS_AXIS_H

#include "ops/check.h"

/* One direction, height or width: output position o meets input o * stride - padding + k * dilation, k < kernel. */
typedef struct qn_axis {
    uint32_t input, output, kernel, stride, padding, dilation;
} qn_axis;

/* Each computes a->output from the rest, or says why there is none (QN_ERR_ARGUMENT, QN_ERR_LIMIT); `name` is "height"
 * or "width". The sizes are those of torch.nn.Conv2d, ConvTranspose2d (there input and output change sides) and
 * MaxPool2d; round_up: pooling's ceil_mode. */
qn_status qn_axis_conv(const qn_plan *p, const char *name, qn_axis *a);
qn_status qn_axis_transposed(const qn_plan *p, const char *name, qn_axis *a, uint32_t output_padding);
qn_status qn_axis_pool(const qn_plan *p, const char *name, qn_axis *a, bool round_up);

/* Eight words: Axis of axis.wgsl. */
void qn_param_axis(qn_dispatch *d, const qn_axis *a);

/* A tensor as pictures: [N, C, H, W], or [N, C, L] with H = 1. */
typedef struct qn_image {
    uint32_t n, c, h, w;
} qn_image;

/* Input i (`name` in messages) as pictures; a dtype of 0 takes any. */
qn_status qn_check_image(const qn_plan *p, uint32_t i, qn_image *image);
/* The shape of pictures [n, c, h, w], in as many dimensions as input 0 has. */
qn_shape qn_image_shape(const qn_plan *p, uint32_t n, uint32_t c, uint32_t h, uint32_t w);

/* ---- convolution ----------------------------------------------------------------------------- */

/* A checked convolution at live shapes. */
typedef struct qn_conv {
    qn_axis h, w;
    uint32_t n, groups, channels_in, channels_out; /* channels: of a group */
    uint32_t first, last;                          /* input channels of a group that a dispatch sums */
} qn_conv;

/* channels_in is [N, groups * channels_in, H, W] of the image; kernel: height, width. Sets output 0 to `dtype`. */
qn_status qn_conv_begin(qn_plan *p, const qn_conv_options *o, uint32_t channels_out, const uint32_t kernel[2],
                        qn_dtype dtype, qn_conv *c);
/* The parameters that all kernels of a convolution begin with (Conv of axis.wgsl), and the grid. A block is `outputs`
 * neighbouring channels of a group in `columns` neighbouring columns. */
qn_status qn_conv_params(const qn_plan *p, qn_dispatch *d, const qn_conv *c, uint32_t outputs, uint32_t columns);

#endif
