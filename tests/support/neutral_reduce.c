/* neutral_reduce.c - cases of the reductions, and of what works along lines of a tensor. */
#include "support/neutrality.h"

static qn_value sum_last(const built *b)
{
    return qn_reduce(b->g, QN_REDUCE_SUM, b->in[0], (const int32_t[]){-1}, 1, true);
}

static qn_value mean_rows(const built *b)
{
    return qn_reduce(b->g, QN_REDUCE_MEAN, b->in[0], (const int32_t[]){1}, 1, false);
}

static qn_value amax_outer_and_last(const built *b)
{
    return qn_reduce(b->g, QN_REDUCE_AMAX, b->in[0], (const int32_t[]){0, 2}, 2, false);
}

static qn_value var_all(const built *b)
{
    return qn_var(b->g, b->in[0], NULL, 0, 1.0f, false);
}

static qn_value argmin_flat(const built *b)
{
    return qn_argmin(b->g, b->in[0], NULL, false);
}

static qn_value softmax_last(const built *b)
{
    return qn_softmax(b->g, b->in[0], -1);
}

static qn_value softmax_rows(const built *b)
{
    return qn_softmax(b->g, b->in[0], 1);
}

static qn_value log_softmax_last(const built *b)
{
    return qn_log_softmax(b->g, b->in[0], -1);
}

static qn_value cumsum_rows(const built *b)
{
    return qn_cumsum(b->g, b->in[0], 1);
}

static qn_value layer_norm(const built *b)
{
    qn_value stats[2];
    return qn_layer_norm(b->g, b->in[0], 1, &(qn_norm_options){b->w[0], b->w[0], 1e-5f}, stats);
}

static qn_value layer_norm_mean(const built *b)
{
    qn_value stats[2];
    qn_layer_norm(b->g, b->in[0], 2, &(qn_norm_options){.eps = 1e-5f}, stats);
    return stats[0];
}

static qn_value group_norm(const built *b)
{
    return qn_group_norm(b->g, b->in[0], 3, &(qn_norm_options){b->w[0], 0, 1e-5f}, NULL);
}

static qn_value zero_points(const built *b)
{
    qn_value zero_point;
    qn_choose_qparams(b->g, b->in[0], 0.0f, &zero_point);
    return zero_point;
}

static qn_value quantize_rows(const built *b)
{
    qn_value zero_point, scale = qn_choose_qparams(b->g, b->in[0], 0.0f, &zero_point);
    return qn_quantize_rows(b->g, b->in[0], scale, zero_point);
}

#define LINE(text, ID, table, e, function)                                                                             \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&table}, .in = {ROWS_OF(e)}, .add = function                        \
    }

static const op_case cases[] = {
    LINE("sum of 20", REDUCE, qn_reduce_kernels, 20, sum_last),
    LINE("sum of 700", REDUCE, qn_reduce_kernels, 700, sum_last),
    LINE("columns of 37", REDUCE, qn_reduce_kernels, 37, mean_rows),
    LINE("columns of 4", REDUCE, qn_reduce_kernels, 4, mean_rows),
    LINE("around the rows", REDUCE, qn_reduce_kernels, 33, amax_outer_and_last),
    LINE("all of 40 x 31", REDUCE, qn_reduce_kernels, 31, var_all),
    LINE("all of 40 x 9", REDUCE, qn_reduce_kernels, 9, argmin_flat),
    LINE("E=64", SOFTMAX, qn_softmax_kernels, 64, softmax_last),
    LINE("E=601", SOFTMAX, qn_softmax_kernels, 601, softmax_last),
    LINE("columns of 35", SOFTMAX, qn_softmax_kernels, 35, softmax_rows),
    LINE("E=17", LOG_SOFTMAX, qn_softmax_kernels, 17, log_softmax_last),
    LINE("columns of 5", CUMSUM, qn_cumsum_kernels, 5, cumsum_rows),
    {.name = "E=48",
     .op = QN_OP_LAYER_NORM,
     .tables = {&qn_layer_norm_kernels, &qn_reduce_kernels},
     .in = {ROWS_OF(48)},
     .w = {VECTOR(48)},
     .add = layer_norm},
    LINE("mean of rows of 21", LAYER_NORM, qn_layer_norm_kernels, 21, layer_norm_mean),
    {.name = "3 groups of 2",
     .op = QN_OP_GROUP_NORM,
     .tables = {&qn_layer_norm_kernels},
     .in = {{{3, {0, 6, 10}}, QN_F32}},
     .w = {VECTOR(6)},
     .add = group_norm},
    LINE("K=64", CHOOSE_QPARAMS, qn_choose_qparams_kernels, 64, zero_points),
    LINE("K=37", CHOOSE_QPARAMS, qn_choose_qparams_kernels, 37, zero_points),
    LINE("K=32", QUANTIZE_ROWS, qn_quantize_rows_kernels, 32, quantize_rows),
    LINE("K=33", QUANTIZE_ROWS, qn_quantize_rows_kernels, 33, quantize_rows),
};

const neutral_family qn_neutral_reduce = {cases, sizeof cases / sizeof cases[0]};
