/* neutral_elementwise.c - a case for every function of functions.def: x[1, S, E] with a column [1, S, 1], f32 or i32.
 */
#include "support/neutrality.h"

enum { F32_ROWS, F32_COLUMN, I32_ROWS, I32_COLUMN };

static qn_value add_function(const built *b, qn_function f, uint32_t arity, bool f32)
{
    qn_value x = b->in[f32 ? F32_ROWS : I32_ROWS], column = b->in[f32 ? F32_COLUMN : I32_COLUMN];
    if (f == QN_FN_WHERE) return qn_where(b->g, b->in[I32_COLUMN], b->in[F32_ROWS], b->in[F32_COLUMN]);
    return arity == 1 ? qn_unary(b->g, f, x, 2.0, 3.0) : qn_binary(b->g, f, x, column);
}

#define QN_FUNCTION(ID, name, arity, result, f32, i32, c)                                                              \
    static qn_value add_##ID(const built *b)                                                                           \
    {                                                                                                                  \
        return add_function(b, QN_FN_##ID, arity, (f32) != NULL);                                                      \
    }
#include "ops/functions.def"
#undef QN_FUNCTION

static qn_value add_number(const built *b)
{
    return qn_binary_scalar(b->g, QN_FN_MUL, b->in[F32_ROWS], 0.1);
}

static qn_value add_row_and_column(const built *b)
{
    return qn_binary(b->g, QN_FN_SUB, b->in[F32_COLUMN], b->w[0]);
}

static qn_value add_full(const built *b)
{
    return qn_full_like(b->g, b->in[F32_ROWS], QN_F32, 0.1);
}

static qn_value add_arange(const built *b)
{
    return qn_arange(b->g, QN_I32, -7, 3, b->rows, qn_int_dim(b->g, b->in[F32_ROWS], 1));
}

#define SHAPES(e)                                                                                                      \
    {                                                                                                                  \
        {{3, {1, 0, e}}, QN_F32}, {{3, {1, 0, 1}}, QN_F32}, {{3, {1, 0, e}}, QN_I32},                                  \
        {                                                                                                              \
            {3, {1, 0, 1}}, QN_I32                                                                                     \
        }                                                                                                              \
    }

static const op_case cases[] = {
#define QN_FUNCTION(ID, label, arity, result, f32, i32, c)                                                             \
    {.name = "a column",                                                                                               \
     .op = QN_OP_##ID,                                                                                                 \
     .tables = {&qn_elementwise_kernels},                                                                              \
     .in = SHAPES(8),                                                                                                  \
     .any_rows = true,                                                                                                 \
     .add = add_##ID},
#include "ops/functions.def"
#undef QN_FUNCTION
    {.name = "a column, E=5",
     .op = QN_OP_ADD,
     .tables = {&qn_elementwise_kernels},
     .in = SHAPES(5),
     .any_rows = true,
     .add = add_ADD},
    {.name = "a number",
     .op = QN_OP_MUL,
     .tables = {&qn_elementwise_kernels},
     .in = SHAPES(6),
     .any_rows = true,
     .add = add_number},
    {.name = "a row by a column",
     .op = QN_OP_SUB,
     .tables = {&qn_elementwise_kernels},
     .in = SHAPES(1),
     .w = {VECTOR(12)},
     .any_rows = true,
     .add = add_row_and_column},
    {.name = "full_like",
     .op = QN_OP_FULL,
     .tables = {&qn_full_kernels},
     .in = SHAPES(6),
     .any_rows = true,
     .add = add_full},
    {.name = "arange",
     .op = QN_OP_FULL,
     .tables = {&qn_full_kernels},
     .in = SHAPES(1),
     .any_rows = true,
     .add = add_arange},
};

const neutral_family qn_neutral_elementwise = {cases, sizeof cases / sizeof cases[0]};
