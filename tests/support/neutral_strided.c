/* neutral_strided.c - cases of the operations that only move elements. */
#include "support/neutrality.h"

static qn_value add_permute_heads(const built *b)
{
    return qn_permute(b->g, b->in[0], (const int32_t[]){0, 2, 1, 3}, 4);
}

static qn_value add_permute_last(const built *b)
{
    return qn_permute(b->g, b->in[0], (const int32_t[]){-1, 0, 1}, 3);
}

static qn_value add_flip(const built *b)
{
    return qn_flip(b->g, b->in[0], (const int32_t[]){1, -1}, 2);
}

static qn_value add_slice(const built *b)
{
    qn_slice_options o = {.dim = 2, .start = qn_graph_const_int(b->g, -6), .end = qn_graph_const_int(b->g, -2)};
    return qn_slice(b->g, b->in[0], &o);
}

/* Rows number - 1 to the end. */
static qn_value add_slice_rows(const built *b)
{
    qn_value start = qn_int_sub(b->g, b->number, qn_graph_const_int(b->g, 1));
    return qn_slice(b->g, b->in[0], &(qn_slice_options){.dim = 1, .start = start, .max_size = b->rows});
}

static qn_value add_slice_every_second(const built *b)
{
    return qn_slice(b->g, b->in[0], &(qn_slice_options){.dim = 1, .step = 2});
}

static qn_value add_select(const built *b)
{
    return qn_select(b->g, b->in[0], 1, qn_int_sub(b->g, b->number, qn_graph_const_int(b->g, 1)));
}

static qn_value add_expand(const built *b)
{
    const qn_value sizes[QN_MAX_RANK] = {qn_int_dim(b->g, b->in[0], 1)};
    return qn_expand(b->g, b->in[0], qn_shape_3(b->rows, 0, 0), sizes);
}

static qn_value add_repeat(const built *b)
{
    return qn_repeat(b->g, b->in[0], (const uint32_t[]){2, 1, 2, 3}, 4);
}

static qn_value add_cat_rows(const built *b)
{
    return qn_cat(b->g, b->in, 2, 1);
}

static qn_value add_cat_last(const built *b)
{
    return qn_cat(b->g, b->in, 2, -1);
}

static qn_value add_pad(const built *b)
{
    return qn_pad(b->g, b->in[0], (const int32_t[][2]){{0, 0}, {2, 1}, {-1, 3}}, 3, 0.5);
}

static qn_value add_crop(const built *b)
{
    return qn_pad(b->g, b->in[0], (const int32_t[][2]){{0, 0}, {0, 0}, {-4, -4}}, 3, 0);
}

static qn_value add_pixel_shuffle(const built *b)
{
    return qn_pixel_shuffle(b->g, b->in[0], 2);
}

static qn_value add_pixel_unshuffle(const built *b)
{
    return qn_pixel_unshuffle(b->g, b->in[0], 2);
}

#define MOVE(text, ID, ...)                                                                                            \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&qn_strided_kernels}, __VA_ARGS__                                   \
    }
#define I32_ROWS_OF(e)                                                                                                 \
    {                                                                                                                  \
        {3, {1, 0, e}}, QN_I32                                                                                         \
    }

static const op_case cases[] = {
    MOVE("heads", PERMUTE, .in = {HEADS(3, 8)}, .add = add_permute_heads),
    MOVE("last first", PERMUTE, .in = {I32_ROWS_OF(5)}, .add = add_permute_last),
    MOVE("rows and E=7", FLIP, .in = {ROWS_OF(7)}, .add = add_flip),
    MOVE("E=10", SLICE, .in = {ROWS_OF(10)}, .add = add_slice),
    MOVE("E=8, from a row", SLICE, .in = {ROWS_OF(8)}, .number = LAST_ROWS, .add = add_slice_rows),
    MOVE("E=12, every second row", SLICE, .in = {ROWS_OF(12)}, .add = add_slice_every_second),
    MOVE("a row", SELECT, .in = {ROWS_OF(8)}, .number = LAST_ROWS, .add = add_select),
    MOVE("S copies", EXPAND, .in = {ROWS_OF(8)}, .add = add_expand),
    MOVE("E=6", REPEAT, .in = {ROWS_OF(6)}, .add = add_repeat),
    MOVE("rows", CAT, .in = {ROWS_OF(8), ROWS_OF(8)}, .any_rows = true, .add = add_cat_rows),
    MOVE("E=4 and 9", CAT, .in = {ROWS_OF(4), ROWS_OF(9)}, .add = add_cat_last),
    {.name = "E=10",
     .op = QN_OP_PAD,
     .tables = {&qn_strided_kernels, &qn_strided_fill_kernels},
     .in = {ROWS_OF(10)},
     .add = add_pad},
    MOVE("cut to E=4", PAD, .in = {ROWS_OF(12)}, .add = add_crop),
    MOVE("by 2", PIXEL_SHUFFLE, .in = {{{4, {1, 8, 0, 3}}, QN_F32}}, .add = add_pixel_shuffle),
    MOVE("by 2", PIXEL_UNSHUFFLE, .in = {{{4, {1, 0, 4, 6}}, QN_F32}}, .add = add_pixel_unshuffle),
};

const neutral_family qn_neutral_strided = {cases, sizeof cases / sizeof cases[0]};
