/* neutral_matmul.c - cases of rope with two tables, of matmul of two tensors, and of selection by ids. */
#include "support/neutrality.h"

static qn_value add_rope_rows(const built *b)
{
    return qn_rope_tables(b->g, b->in[0], b->in[1], b->in[2], 0, QN_ROPE_INTERLEAVED);
}

static qn_value add_rope_positions(const built *b)
{
    return qn_rope_tables(b->g, b->in[0], b->in[1], b->in[2], b->number, QN_ROPE_HALF);
}

static qn_value add_matmul(const built *b)
{
    return qn_matmul(b->g, b->in[0], b->in[1], false, 0.5f);
}

static qn_value add_matmul_transposed(const built *b)
{
    return qn_matmul(b->g, b->in[0], b->in[1], true, 0.5f);
}

static qn_value add_index_select(const built *b)
{
    return qn_index_select(b->g, b->in[0], 1, b->in[1]);
}

static qn_value add_gather(const built *b)
{
    return qn_gather(b->g, b->in[0], 1, b->in[1]);
}

#define MATMUL(text, function, any, ...)                                                                               \
    {                                                                                                                  \
        .name = text, .op = QN_OP_MATMUL, .tables = {&qn_matmul_kernels}, .in = {__VA_ARGS__}, .any_rows = any,        \
        .add = function                                                                                                \
    }
#define F32_OF(...)                                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__, QN_F32                                                                                            \
    }

static const op_case cases[] = {
    {.name = "rows of inputs",
     .op = QN_OP_ROPE_TABLES,
     .tables = {&qn_rope_kernels},
     .in = {HEADS(3, 8), {{2, {0, 4}}, QN_F32}, {{2, {0, 4}}, QN_F32}},
     .add = add_rope_rows},
    {.name = "positions",
     .op = QN_OP_ROPE_TABLES,
     .tables = {&qn_rope_kernels},
     .in = {HEADS(3, 8), {{2, {CONTEXT, 8}}, QN_F32}, {{2, {CONTEXT, 8}}, QN_F32}},
     .number = POSITION,
     .add = add_rope_positions},
    MATMUL("rows", add_matmul, false, F32_OF({3, {2, 0, 12}}), F32_OF({3, {2, 12, 20}})),
    MATMUL("rows, ragged", add_matmul_transposed, false, F32_OF({2, {0, 10}}), F32_OF({3, {2, 7, 10}})),
    MATMUL("scores", add_matmul_transposed, true, F32_OF({3, {3, 0, 8}}), F32_OF({3, {3, 0, 8}})),
    MATMUL("values", add_matmul, false, F32_OF({3, {3, 2, 0}}), F32_OF({3, {3, 0, 8}})),
    {.name = "slices",
     .op = QN_OP_INDEX_SELECT,
     .tables = {&qn_index_kernels},
     .in = {{{3, {2, 0, 6}}, QN_F32}, {{1, {0}}, QN_I32}},
     .any_rows = true,
     .add = add_index_select},
    {.name = "slices of vec4",
     .op = QN_OP_INDEX_SELECT,
     .tables = {&qn_index_kernels},
     .in = {{{3, {0, 50, 8}}, QN_F32}, {{2, {2, 0}}, QN_I32}},
     .any_rows = true,
     .add = add_index_select},
    {.name = "elements",
     .op = QN_OP_GATHER,
     .tables = {&qn_index_kernels},
     .in = {{{3, {2, 0, 6}}, QN_F32}, {{3, {2, 0, 5}}, QN_I32}},
     .any_rows = true,
     .add = add_gather},
};

const neutral_family qn_neutral_matmul = {cases, sizeof cases / sizeof cases[0]};
