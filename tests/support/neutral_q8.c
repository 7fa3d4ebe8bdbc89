/* neutral_q8.c - cases of the operations on 8-bit codes. Weights are an input of fixed shape here. */
#include "support/neutrality.h"

static const qn_quant in = {0.02, 5}, out = {0.05, -3};

static qn_value add_quantize(const built *b)
{
    return qn_quantize_per_tensor(b->g, b->in[0], in, -128, 127);
}

static qn_value add_dequantize(const built *b)
{
    return qn_dequantize_per_tensor(b->g, b->in[0], in);
}

static qn_value add_sum(const built *b)
{
    return qn_q8ta_add(b->g, b->in[0], b->in[1], &(qn_q8_add_options){in, in, out, 2.0});
}

static qn_value add_relu(const built *b)
{
    return qn_q8ta_relu(b->g, b->in[0], in, out);
}

static qn_value add_shuffle(const built *b)
{
    return qn_q8ta_pixel_shuffle(b->g, b->in[0], in, out, 2);
}

static qn_value add_conv(const built *b)
{
    qn_q8_conv_options o = {.conv = qn_conv_default(), .channels_out = 6, .kernel = {3, 2}, .input = in, .output = out};
    o.conv.padding[0] = 1;
    return qn_q8ta_conv2d(b->g, b->in[0], b->in[1], b->w[0], b->w[1], &o);
}

static qn_value add_linear(const built *b)
{
    return qn_q8ta_linear(b->g, b->in[0], b->in[1], b->w[0], b->w[1],
                          &(qn_q8_linear_options){.n = 6, .input = in, .output = out});
}

#define CODES(channels, width)                                                                                         \
    {                                                                                                                  \
        {4, {1, channels, 0, width}}, QN_I32                                                                           \
    }
#define WORDS(n)                                                                                                       \
    {                                                                                                                  \
        {1, {n}}, QN_I32                                                                                               \
    }
#define ELEMENT(text, ID, function)                                                                                    \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&qn_q8_kernels}, .in = {CODES(4, 5)}, .add = function               \
    }

static const op_case cases[] = {
    {.name = "E=5",
     .op = QN_OP_QUANTIZE_PER_TENSOR,
     .tables = {&qn_q8_kernels},
     .in = {ROWS_OF(5)},
     .add = add_quantize},
    ELEMENT("codes", DEQUANTIZE_PER_TENSOR, add_dequantize),
    {.name = "pairs",
     .op = QN_OP_Q8TA_ADD,
     .tables = {&qn_q8_kernels},
     .in = {CODES(4, 5), CODES(4, 5)},
     .add = add_sum},
    ELEMENT("codes", Q8TA_RELU, add_relu),
    ELEMENT("by 2", Q8TA_PIXEL_SHUFFLE, add_shuffle),
    {.name = "3 x 2",
     .op = QN_OP_Q8TA_CONV2D,
     .tables = {&qn_q8_conv_kernels},
     .in = {CODES(4, 5), WORDS(36)},
     .w = {VECTOR(6), VECTOR(6)},
     .add = add_conv},
    {.name = "K=8",
     .op = QN_OP_Q8TA_LINEAR,
     .tables = {&qn_q8_linear_kernels},
     .in = {{{3, {1, 0, 8}}, QN_I32}, WORDS(12)},
     .w = {VECTOR(6), VECTOR(6)},
     .add = add_linear},
};

const neutral_family qn_neutral_q8 = {cases, sizeof cases / sizeof cases[0]};
