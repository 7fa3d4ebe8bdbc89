/* conv_ref.h - plain C references of convolutions, in float64. */
#ifndef QN_OPS_CONV_REF_H
#define QN_OPS_CONV_REF_H

#include <stdint.h>

#include "quern_graph.h"

/* Sizes of one convolution; kernel, input and output: height, width. */
typedef struct qn_conv_sizes {
    uint32_t n, channels_in, channels_out; /* channels: all groups together */
    uint32_t input[2], kernel[2], output[2];
} qn_conv_sizes;

/* Fills in s->output from the rest. */
void qn_conv_ref_sizes(const qn_conv_options *o, qn_conv_sizes *s);
/* y[N, Cout, Ho, Wo] of x[N, Cin, Hi, Wi], w[Cout, Cin/groups, kh, kw] (transposed: [Cin, Cout/groups, kh, kw]) and
 * bias[Cout] (NULL: none), clamped if the options say so. */
void qn_conv_ref(const qn_conv_options *o, const qn_conv_sizes *s, const float *x, const float *w, const float *bias,
                 double *y);

#endif
