/* neutral_vision.c - cases of the operations on pictures. */
#include "support/neutrality.h"

static qn_value conv(const built *b, qn_shape w, const qn_conv_options *options)
{
    return qn_conv2d(b->g, b->in[0], qn_view(b->g, b->w[0], w), b->w[1], options);
}

static qn_value add_conv(const built *b)
{
    qn_conv_options o = qn_conv_default();
    o.padding[0] = o.padding[1] = 1;
    o.stride[1] = 2;
    return conv(b, qn_shape_4(5, 3, 3, 2), &o);
}

static qn_value add_conv_depthwise(const built *b)
{
    qn_conv_options o = qn_conv_default();
    o.groups = 6;
    o.padding[0] = 1;
    return conv(b, qn_shape_4(6, 1, 3, 2), &o);
}

static qn_value add_conv_pointwise(const built *b)
{
    return conv(b, qn_shape_4(5, 3, 1, 1), NULL);
}

static qn_value add_conv_transposed(const built *b)
{
    qn_conv_options o = qn_conv_default();
    o.transposed = true;
    o.stride[0] = o.stride[1] = 2;
    o.clamp = true;
    o.max = 1.0f;
    return conv(b, qn_shape_4(3, 5, 3, 2), &o);
}

static const qn_pool_options pool = {.kernel = {3, 2}, .padding = {1, 1}, .stride = {2, 1}, .ceil_mode = true};

static qn_value add_max_pool(const built *b)
{
    return qn_max_pool2d(b->g, b->in[0], &pool, NULL);
}

/* The indices are what is read. */
static qn_value add_max_pool_indices(const built *b)
{
    qn_value indices;
    qn_max_pool2d(b->g, b->in[0], &pool, &indices);
    return indices;
}

static qn_value add_avg_pool(const built *b)
{
    return qn_avg_pool2d(b->g, b->in[0], &pool);
}

static qn_value add_batch_norm(const built *b)
{
    qn_value square = qn_mul(b->g, b->w[1], b->w[1]); /* a variance is not negative */
    qn_batch_norm_operands o = {.weight = b->w[0], .mean = b->w[1], .var = square};
    return qn_batch_norm(b->g, b->in[0], &o, 1e-3f);
}

static qn_value add_upsample_nearest(const built *b)
{
    return qn_upsample2d(b->g, b->in[0], &(qn_upsample_options){.mode = QN_UPSAMPLE_NEAREST, .scale = {2.5, 1.5}});
}

static qn_value add_upsample_bilinear(const built *b)
{
    return qn_upsample2d(b->g, b->in[0],
                         &(qn_upsample_options){.mode = QN_UPSAMPLE_BILINEAR, .scale = {2.0, 0}, .size = {0, 7}});
}

static qn_value add_grid_sampler(const built *b)
{
    return qn_grid_sampler_2d(b->g, b->in[0], b->in[1], QN_GRID_ZEROS, false);
}

static qn_value add_grid_priors(const built *b)
{
    return qn_grid_priors(b->g, b->in[0], 8.0f, 0.5f);
}

#define PICTURE(channels, width)                                                                                       \
    {                                                                                                                  \
        {4, {1, channels, 0, width}}, QN_F32                                                                           \
    }
#define CONV(text, channels, width, weights, outputs, function)                                                        \
    {                                                                                                                  \
        .name = text, .op = QN_OP_CONV2D, .tables = {&qn_conv_kernels}, .in = {PICTURE(channels, width)},              \
        .w = {VECTOR(weights), VECTOR(outputs)}, .add = function                                                       \
    }
#define ONE(text, ID, table, function)                                                                                 \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&table}, .in = {PICTURE(3, 5)}, .add = function                     \
    }

static const op_case cases[] = {
    CONV("3 x 2", 3, 6, 5 * 3 * 3 * 2, 5, add_conv),
    CONV("depthwise", 6, 5, 6 * 3 * 2, 6, add_conv_depthwise),
    CONV("pointwise", 3, 6, 15, 5, add_conv_pointwise),
    CONV("transposed", 3, 4, 3 * 5 * 3 * 2, 5, add_conv_transposed),
    ONE("values", MAX_POOL2D, qn_pool_kernels, add_max_pool),
    ONE("indices", MAX_POOL2D, qn_pool_kernels, add_max_pool_indices),
    ONE("means", AVG_POOL2D, qn_pool_kernels, add_avg_pool),
    {.name = "3 channels",
     .op = QN_OP_BATCH_NORM,
     .tables = {&qn_batch_norm_kernels},
     .in = {PICTURE(3, 5)},
     .w = {VECTOR(3), VECTOR(3)},
     .add = add_batch_norm},
    ONE("nearest", UPSAMPLE2D, qn_upsample_kernels, add_upsample_nearest),
    ONE("bilinear", UPSAMPLE2D, qn_upsample_kernels, add_upsample_bilinear),
    {.name = "zeros outside",
     .op = QN_OP_GRID_SAMPLER_2D,
     .tables = {&qn_grid_sampler_kernels},
     .in = {PICTURE(3, 5), {{4, {1, 0, 3, 2}}, QN_F32}},
     .any_rows = true,
     .add = add_grid_sampler},
    ONE("H by 5", GRID_PRIORS, qn_grid_priors_kernels, add_grid_priors),
};

const neutral_family qn_neutral_vision = {cases, sizeof cases / sizeof cases[0]};
