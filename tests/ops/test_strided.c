/* The operations that only move elements, on the software device: every kernel row, both element types, many live
 * shapes on one graph, bit for bit; and their plans without a device. */
#include "ops/strided_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_strided_kernels;

enum { MAX_WORDS = 1 << 17 };

/* Random bits: among them NaNs and denormals, which must arrive as they are. */
static uint32_t *random_words(size_t n, uint64_t seed)
{
    uint32_t *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = qn_test_random(seed, i);
    return x;
}

static void assert_words(const char *what, const uint32_t *got, const uint32_t *want, const qn_shape *shape)
{
    char text[96];
    for (size_t i = 0; i < qn_shape_count(shape); i++)
        if (got[i] != want[i])
            fail_msg("%s: element %zu of %s is %08x, not %08x", what, i, qn_shape_text(shape, text, sizeof text),
                     got[i], want[i]);
}

/* ---- operations of one operand --------------------------------------------------------------- */

typedef enum kind { PERMUTE, FLIP, SLICE, SELECT, EXPAND, REPEAT, PAD, SHUFFLE, UNSHUFFLE } kind;

enum { NO = INT32_MIN }; /* an absent bound */

/* One operation with its arguments as the public function takes them; `live` dimensions shrink in the calls. */
typedef struct move_case {
    kind kind;
    qn_shape max;
    uint32_t live; /* bit i: dimension i        */
    int32_t n;     /* entries of args           */
    int32_t args[16];
} move_case;

static const move_case move_cases[] = {
    /* the shapes of ExecuTorch's operator tests */
    {PERMUTE, {3, {2, 3, 4}}, 7, 3, {2, 0, 1}},
    {PERMUTE, {4, {1, 8, 4, 16}}, 6, 4, {0, 2, 1, 3}},
    {PERMUTE, {2, {3, 5}}, 3, 2, {1, 0}},
    {PERMUTE, {4, {2, 3, 4, 5}}, 15, 4, {3, 1, 0, 2}},
    {SELECT, {3, {3, 8, 4}}, 4, 2, {0, 1}},
    {SELECT, {3, {3, 8, 4}}, 1, 2, {1, 2}},
    {SELECT, {3, {3, 8, 4}}, 3, 2, {2, 3}},
    {SELECT, {3, {3, 8, 4}}, 7, 2, {1, -1}},
    {SLICE, {3, {3, 8, 4}}, 7, 4, {1, 1, 5, 1}},
    {SLICE, {3, {3, 8, 4}}, 3, 4, {-1, 1, 3, 1}},
    {SLICE, {3, {3, 8, 4}}, 7, 4, {1, 0, 8, 2}},
    {SLICE, {3, {3, 8, 4}}, 7, 4, {1, 1, -1, 1}},
    /* every rank, ends and corners */
    {PERMUTE, {0}, 0, 0, {0}},
    {PERMUTE, {1, {9}}, 1, 1, {-1}},
    {PERMUTE, {2, {70, 130}}, 3, 2, {1, 0}},
    {PERMUTE, {2, {64, 128}}, 3, 2, {-1, -2}},
    {PERMUTE, {3, {5, 33, 40}}, 6, 3, {0, 2, 1}},
    {PERMUTE, {8, {2, 3, 2, 3, 2, 3, 2, 3}}, 0xFF, 8, {7, 2, 5, 0, 3, 6, 1, 4}},
    {PERMUTE, {8, {2, 3, 2, 3, 2, 3, 2, 8}}, 0x7F, 8, {6, 5, 4, 3, 2, 1, 0, 7}},
    {PERMUTE, {5, {3, 4, 5, 6, 8}}, 31, 5, {0, 1, 2, 3, 4}},
    {FLIP, {0}, 0, 0, {0}},
    {FLIP, {1, {11}}, 1, 1, {0}},
    {FLIP, {3, {3, 5, 7}}, 7, 3, {0, 1, 2}},
    {FLIP, {3, {3, 5, 8}}, 7, 2, {-2, 0}},
    {FLIP, {8, {2, 3, 2, 3, 2, 3, 2, 3}}, 0xFF, 4, {0, 7, 3, 5}},
    {SLICE, {1, {100}}, 1, 4, {0, NO, NO, 1}},
    {SLICE, {1, {100}}, 1, 4, {0, -7, INT32_MAX, 1}},
    {SLICE, {1, {100}}, 1, 4, {0, -INT32_MAX, INT32_MAX, 3}},
    {SLICE, {1, {100}}, 1, 4, {0, 0, INT32_MAX, INT32_MAX}},
    {SLICE, {2, {9, 16}}, 3, 4, {0, -1, NO, 1}},
    {SLICE, {2, {9, 16}}, 1, 4, {-1, 4, -4, 1}},
    {SLICE, {2, {9, 16}}, 1, 4, {-1, 5, -4, 1}},
    {SLICE, {2, {9, 16}}, 3, 4, {-2, 2, NO, 4}},
    {SLICE, {8, {2, 3, 2, 3, 2, 3, 2, 3}}, 0, 4, {5, 1, NO, 1}},
    {SELECT, {1, {6}}, 1, 2, {0, 0}},
    {SELECT, {2, {5, 8}}, 3, 2, {0, -1}},
    {SELECT, {8, {2, 3, 2, 3, 2, 3, 2, 3}}, 0x77, 2, {3, 2}},
    {EXPAND, {0}, 0, 1, {5}},
    {EXPAND, {1, {7}}, 1, 2, {3, 0}},
    {EXPAND, {3, {1, 4, 1}}, 2, 3, {5, 0, 6}},
    {EXPAND, {3, {1, 3, 8}}, 6, 5, {2, 3, 4, 0, 0}},
    {EXPAND, {4, {2, 1, 3, 1}}, 5, 8, {2, 1, 3, 1, 0, 4, 0, 5}},
    {REPEAT, {0}, 0, 2, {2, 3}},
    {REPEAT, {2, {3, 4}}, 3, 2, {2, 3}},
    {REPEAT, {2, {3, 4}}, 3, 4, {2, 3, 1, 2}},
    {REPEAT, {3, {2, 3, 8}}, 7, 3, {3, 2, 1}},
    {REPEAT, {7, {2, 2, 2, 2, 2, 2, 2}}, 0x7F, 8, {3, 2, 2, 2, 2, 2, 2, 2}},
    {PAD, {0}, 0, 0, {0}},
    {PAD, {1, {5}}, 1, 2, {2, 3}},
    {PAD, {2, {6, 7}}, 0, 4, {-2, 1, 3, -4}},
    {PAD, {2, {6, 8}}, 1, 4, {1, 0, 4, 4}},
    {PAD, {3, {3, 4, 5}}, 7, 6, {0, 0, 0, 0, 0, 0}},
    {PAD, {2, {6, 12}}, 1, 4, {0, 0, -4, -4}},
    {PAD, {2, {4, 3}}, 0, 4, {-4, 2, 1, 1}}, /* nothing of x is left */
    {PAD, {8, {2, 1, 2, 1, 2, 1, 2, 3}}, 0x80, 16, {1, 0, 0, 1, -1, 1, 0, 0, 2, 0, 0, 1, 1, -1, 1, 1}},
    {SHUFFLE, {4, {1, 8, 2, 3}}, 13, 1, {2}},
    {SHUFFLE, {3, {9, 4, 4}}, 6, 1, {3}},
    {SHUFFLE, {8, {2, 1, 2, 1, 2, 4, 3, 2}}, 0xDF, 1, {2}},
    {SHUFFLE, {3, {3, 4, 5}}, 7, 1, {1}},
    {UNSHUFFLE, {4, {1, 2, 4, 6}}, 3, 1, {2}},
    {UNSHUFFLE, {3, {2, 9, 3}}, 1, 1, {3}},
    {UNSHUFFLE, {8, {2, 1, 2, 1, 2, 3, 4, 2}}, 0x3F, 1, {2}},
};

static qn_value bound(qn_graph *g, int32_t number)
{
    return number == NO ? 0 : qn_graph_const_int(g, number);
}

static qn_shape shape_of_args(const move_case *c)
{
    qn_shape s = {.rank = (uint32_t)c->n};
    for (int32_t i = 0; i < c->n; i++) s.dim[i] = (uint32_t)c->args[i];
    return s;
}

static qn_value build(const move_case *c, qn_graph *g, qn_value x, double pad)
{
    int32_t pads[8][2];
    memcpy(pads, c->args, sizeof pads);
    const qn_shape shape = c->n <= 8 ? shape_of_args(c) : (qn_shape){0};
    const qn_slice_options slice = {
        .dim = c->args[0], .start = bound(g, c->args[1]), .end = bound(g, c->args[2]), .step = (uint32_t)c->args[3]};
    switch (c->kind) {
    case PERMUTE:
        return qn_permute(g, x, c->args, (uint32_t)c->n);
    case FLIP:
        return qn_flip(g, x, c->args, (uint32_t)c->n);
    case SLICE:
        return qn_slice(g, x, &slice);
    case SELECT:
        return qn_select(g, x, c->args[0], slice.start);
    case EXPAND:
        return qn_expand(g, x, shape, NULL);
    case REPEAT:
        return qn_repeat(g, x, shape.dim, shape.rank);
    case PAD:
        return qn_pad(g, x, (const int32_t(*)[2])pads, (uint32_t)c->n / 2, pad);
    case SHUFFLE:
        return qn_pixel_shuffle(g, x, (uint32_t)c->args[0]);
    default:
        return qn_pixel_unshuffle(g, x, (uint32_t)c->args[0]);
    }
}

static uint32_t dim_of(int32_t dim, const qn_shape *s)
{
    return (uint32_t)(dim < 0 ? dim + (int32_t)s->rank : dim);
}

/* First and number of a slice, in Python's words: indices(size) of the slice object. */
static uint32_t slice_of(int64_t start, int64_t end, int64_t step, int64_t size, uint32_t *first)
{
    if (start == NO) start = 0;
    if (end == NO) end = size;
    if (start < 0 && (start += size) < 0) start = 0;
    if (end < 0 && (end += size) < 0) end = 0;
    if (start > size) start = size;
    if (end > size) end = size;
    *first = (uint32_t)start;
    uint32_t n = 0;
    for (int64_t i = start; i < end; i += step) n++;
    return n;
}

/* What the operation makes of x: ys and y. False: it must be refused. */
static bool reference_slice(const move_case *c, const uint32_t *x, const qn_shape *xs, qn_shape *ys, uint32_t *y)
{
    uint32_t dim = dim_of(c->args[0], xs), first = 0, size = xs->dim[dim];
    if (c->kind == SELECT) {
        if (c->args[1] >= (int32_t)size || c->args[1] < -(int32_t)size) return false;
        first = dim_of(c->args[1], &(qn_shape){.rank = size});
        ys->dim[dim] = 1;
    } else {
        ys->dim[dim] = slice_of(c->args[1], c->args[2], c->args[3], size, &first);
        if (ys->dim[dim] == 0) return false;
    }
    qn_slice_ref(x, xs, dim, first, c->kind == SELECT ? 1 : (uint32_t)c->args[3], ys, y);
    if (c->kind == SELECT) memmove(&ys->dim[dim], &ys->dim[dim + 1], (--ys->rank - dim) * sizeof ys->dim[0]);
    return true;
}

static void reference_grown(const move_case *c, const uint32_t *x, const qn_shape *xs, qn_shape *ys, uint32_t *y)
{
    uint32_t lead = (uint32_t)c->n - xs->rank;
    ys->rank = (uint32_t)c->n;
    for (uint32_t i = 0; i < ys->rank; i++) {
        uint32_t size = i < lead ? 1 : xs->dim[i - lead], arg = (uint32_t)c->args[i];
        ys->dim[i] = c->kind == REPEAT ? size * arg : arg ? arg : size;
    }
    qn_repeat_ref(x, xs, ys, y);
}

/* Unshuffling undoes shuffling: y is what the reference shuffles to x. */
static void reference_unshuffle(const uint32_t *x, uint32_t r, qn_shape *ys, uint32_t *y)
{
    uint32_t *c = &ys->dim[ys->rank - 3], n = (uint32_t)qn_shape_count(ys);
    c[0] *= r * r;
    c[1] /= r;
    c[2] /= r;
    uint32_t *index = malloc(2 * n * sizeof *index), *shuffled = index + n;
    for (uint32_t i = 0; i < n; i++) index[i] = i;
    qn_pixel_shuffle_ref(index, ys, r, shuffled);
    for (uint32_t i = 0; i < n; i++) y[shuffled[i]] = x[i];
    free(index);
}

static bool reference(const move_case *c, const uint32_t *x, const qn_shape *xs, uint32_t pad, qn_shape *ys,
                      uint32_t *y)
{
    uint32_t order[8] = {0}, mask = 0, r = (uint32_t)c->args[0];
    int32_t pads[8][2];
    memcpy(pads, c->args, sizeof pads);
    *ys = *xs;
    if (c->kind == PERMUTE || c->kind == FLIP)
        for (int32_t i = 0; i < c->n; i++) mask |= 1u << (order[i] = dim_of(c->args[i], xs));
    switch (c->kind) {
    case PERMUTE:
        for (uint32_t i = 0; i < xs->rank; i++) ys->dim[i] = xs->dim[order[i]];
        qn_permute_ref(x, xs, order, y);
        return true;
    case FLIP:
        qn_flip_ref(x, xs, mask, y);
        return true;
    case SLICE:
    case SELECT:
        return reference_slice(c, x, xs, ys, y);
    case EXPAND:
    case REPEAT:
        reference_grown(c, x, xs, ys, y);
        return true;
    case PAD:
        for (uint32_t i = 0; i < xs->rank; i++) ys->dim[i] += (uint32_t)(pads[i][0] + pads[i][1]);
        qn_pad_ref(x, xs, (const int32_t(*)[2])pads, pad, y);
        return true;
    case SHUFFLE:
        ys->dim[xs->rank - 3] /= r * r;
        ys->dim[xs->rank - 2] *= r;
        ys->dim[xs->rank - 1] *= r;
        qn_pixel_shuffle_ref(x, xs, r, y);
        return true;
    default:
        reference_unshuffle(x, r, ys, y);
        return true;
    }
}

/* The shapes of the calls: all, one in each live dimension, one less, half, all. */
static qn_shape live_shape(const move_case *c, uint32_t call)
{
    qn_shape s = c->max;
    for (uint32_t i = 0; i < s.rank; i++) {
        uint32_t max = s.dim[i], live[] = {max, 1, max > 1 ? max - 1 : 1, (max + 1) / 2, max};
        if (c->live >> i & 1) s.dim[i] = live[call];
    }
    return s;
}

static void check_move(qn_engine *engine, const move_case *c, qn_dtype dtype, const uint32_t *data, uint32_t *want)
{
    const double pad = dtype == QN_F32 ? -INFINITY : -7;
    const uint32_t pad_word = dtype == QN_F32 ? 0xFF800000u : (uint32_t)-7;
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", dtype, c->max), y = build(c, g, x, pad);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t call = 0; call < 5; call++) {
        qn_shape xs = live_shape(c, call), ys;
        char what[96], text[64];
        snprintf(what, sizeof what, "case %d, call %u, x%s", (int)(c - move_cases), call,
                 qn_shape_text(&xs, text, sizeof text));
        qn_assert_ok(qn_graph_set_input(g, x, xs, data));
        if (!reference(c, data, &xs, pad_word, &ys, want)) {
            qn_status s = qn_test_execute(g);
            if (s.code != QN_ERR_ARGUMENT) fail_msg("%s: not refused: %s", what, s.text);
            continue;
        }
        assert_words(what, qn_test_run(g, y, ys), want, &ys);
    }
    qn_graph_close(g);
}

static void every_move_and_row(void **state)
{
    (void)state;
    uint32_t *data = random_words(MAX_WORDS, 1), *want = malloc(MAX_WORDS * sizeof *want);
    for (uint32_t r = 0; r <= qn_strided_kernels.n_rows; r++) {
        qn_engine *engine = qn_test_engine(r ? qn_strided_kernels.rows[r - 1].name : NULL);
        for (size_t i = 0; i < sizeof move_cases / sizeof move_cases[0]; i++) {
            check_move(engine, &move_cases[i], QN_F32, data, want);
            check_move(engine, &move_cases[i], QN_I32, data, want);
        }
        qn_engine_close(engine);
    }
    free(want);
    free(data);
}

/* Small results written out by hand. */
static void known_results(void **state)
{
    (void)state;
    static const struct {
        move_case c;
        uint32_t y[16];
    } cases[] = {
        {{PERMUTE, {2, {2, 3}}, 0, 2, {1, 0}}, {0, 3, 1, 4, 2, 5}},
        {{FLIP, {2, {2, 3}}, 0, 1, {-1}}, {2, 1, 0, 5, 4, 3}},
        {{SLICE, {2, {2, 4}}, 0, 4, {1, -3, INT32_MAX, 2}}, {1, 3, 5, 7}},
        {{SELECT, {2, {2, 3}}, 0, 2, {1, -1}}, {2, 5}},
        {{EXPAND, {2, {2, 1}}, 0, 2, {0, 3}}, {0, 0, 0, 1, 1, 1}},
        {{REPEAT, {2, {1, 2}}, 0, 2, {2, 2}}, {0, 1, 0, 1, 0, 1, 0, 1}},
        {{PAD, {2, {2, 2}}, 0, 4, {0, 1, -1, 2}}, {1, 9, 9, 3, 9, 9, 9, 9, 9}},
        {{SHUFFLE, {3, {4, 1, 2}}, 0, 1, {2}}, {0, 2, 1, 3, 4, 6, 5, 7}},
        {{UNSHUFFLE, {3, {1, 2, 4}}, 0, 1, {2}}, {0, 2, 1, 3, 4, 6, 5, 7}},
    };
    uint32_t data[16];
    for (uint32_t i = 0; i < 16; i++) data[i] = i;
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_I32, cases[i].c.max), y = build(&cases[i].c, g, x, 9);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, x, cases[i].c.max, data));
        qn_shape ys = qn_graph_live_shape(g, y);
        assert_words("known", qn_test_run(g, y, ys), cases[i].y, &ys);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

/* ---- numbers that are computed --------------------------------------------------------------- */

/* x[S, 8] from row n on, from n rows before the end on, and row n: many n and S on one graph. */
static void computed_bounds(void **state)
{
    (void)state;
    enum { MAX_S = 20, E = 8, MOST = 12 };
    uint32_t *data = random_words(MAX_S * E, 2);
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(MAX_S, E)), n = qn_graph_int(g, "n", 100);
    qn_value back = qn_int_sub(g, qn_graph_const_int(g, 0), n), end = qn_int_add(g, n, qn_graph_const_int(g, 3));
    qn_value y[] = {
        qn_slice(g, x, &(qn_slice_options){.start = n, .end = end, .max_size = 3}),
        qn_slice(g, x, &(qn_slice_options){.start = back, .max_size = MAX_S}),
        qn_slice(g, x, &(qn_slice_options){.end = back, .step = 2, .max_size = 100}),
        qn_select(g, x, 0, n),
        qn_select(g, x, 0, qn_int_sub(g, back, qn_graph_const_int(g, 1))),
    };
    for (int i = 0; i < 5; i++) qn_graph_output(g, y[i], "y");
    qn_assert_ok(qn_graph_build(g));
    assert_int_equal(qn_graph_live_shape(g, y[2]).dim[0], MAX_S / 2);
    for (uint32_t call = 0; call < 60; call++) {
        uint32_t s = 1 + call * 7 % MAX_S, at = call * 3 % (s + 1);
        qn_shape xs = qn_shape_2(s, E), live;
        qn_assert_ok(qn_graph_set_input(g, x, xs, data));
        qn_assert_ok(qn_graph_set_int(g, n, at));
        if (at == 0 || at == s) { /* [-0:] is everything, [:-0] nothing, x[s:] nothing */
            qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "is empty");
            continue;
        }
        qn_assert_ok(qn_test_execute(g));
        const struct {
            uint32_t first, n, step;
        } want[] = {{at, s - at < 3 ? s - at : 3, 1},
                    {s - at, at, 1},
                    {0, (s - at + 1) / 2, 2},
                    {at, 1, 1},
                    {s - at - 1, 1, 1}};
        for (int i = 0; i < 5; i++) {
            const uint32_t *got = qn_graph_output_data(g, y[i], &live);
            assert_int_equal(qn_shape_count(&live), want[i].n * E);
            for (uint32_t k = 0; k < want[i].n; k++)
                assert_memory_equal(got + k * E, data + (want[i].first + k * want[i].step) * E, E * sizeof *data);
        }
    }
    qn_graph_close(g);
    qn_engine_close(engine);
    free(data);
}

/* A slice may be longest at a smaller live size: max_size says how long, and more is refused. */
static void longest_slice(void **state)
{
    (void)state;
    enum { MAX_S = 12 };
    uint32_t *data = random_words(MAX_S, 3);
    qn_engine *engine = qn_test_engine(NULL);
    for (uint32_t max_size = 0; max_size < 5; max_size += 4) {
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(MAX_S)), start = qn_graph_const_int(g, -10);
        qn_value y =
            qn_slice(g, x, &(qn_slice_options){.start = start, .end = qn_graph_const_int(g, 4), .max_size = max_size});
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        assert_int_equal(qn_graph_live_shape(g, y).dim[0], max_size ? 4 : 2);
        for (uint32_t s = MAX_S; s > 0; s--) {
            uint32_t first = s > 10 ? s - 10 : 0, n = (s < 4 ? s : 4) - first;
            qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(s), data));
            if (n > 2 && max_size == 0) {
                qn_assert_fails(qn_test_execute(g), QN_ERR_LIMIT, "over the maximum of 2");
                continue;
            }
            assert_memory_equal(qn_test_run(g, y, qn_shape_1(n)), data + first, n * sizeof *data);
        }
        qn_graph_close(g);
    }
    qn_engine_close(engine);
    free(data);
}

static void computed_expand(void **state)
{
    (void)state;
    static const struct {
        int32_t lead, dim;
        uint32_t s, got[2];
        const char *refused;
    } calls[] = {
        {2, 5, 5, {2, 5}, NULL},
        {1, -1, 3, {1, 3}, NULL},
        {4, 6, 1, {4, 6}, NULL},
        {3, 1, 1, {3, 1}, NULL},
        {2, 4, 5, {0}, "dimension 1 of size 5 cannot become 4"},
        {5, 5, 5, {0}, "dimension 0 is to be 5, over the maximum of 4"},
        {-1, 5, 5, {0}, "dimension 0 of size 0 cannot become 0"},
        {2, 0, 5, {0}, "dimension 1 of size 5 cannot become 0"},
        {1, 6, 6, {1, 6}, NULL},
    };
    uint32_t data[6 * 3] = {0}, want[4 * 6 * 3];
    int32_t sizes[2];
    for (uint32_t i = 0; i < 18; i++) data[i] = i;
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_I32, qn_shape_2(6, 3));
    qn_value numbers = qn_graph_input(g, "sizes", QN_I32, qn_shape_1(2));
    qn_value computed[QN_MAX_RANK] = {qn_int_from_tensor(g, numbers, 0), qn_int_from_tensor(g, numbers, 1)};
    qn_value y = qn_expand(g, x, qn_shape_3(4, 6, 0), computed);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sizes[0] = calls[i].lead, sizes[1] = calls[i].dim;
        qn_shape xs = qn_shape_2(calls[i].s, 3), ys = qn_shape_3(calls[i].got[0], calls[i].got[1], 3);
        qn_assert_ok(qn_graph_set_input(g, x, xs, data));
        qn_assert_ok(qn_graph_set_input(g, numbers, qn_shape_1(2), sizes));
        if (calls[i].refused) {
            qn_code code = strstr(calls[i].refused, "over") ? QN_ERR_LIMIT : QN_ERR_ARGUMENT;
            qn_assert_fails(qn_test_execute(g), code, calls[i].refused);
            continue;
        }
        qn_repeat_ref(data, &xs, &ys, want);
        assert_words("expand", qn_test_run(g, y, ys), want, &ys);
    }
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- several operands ------------------------------------------------------------------------ */

/* n inputs of random sizes along `dim`, at several live shapes: each has `own` of them along dim. */
static void check_cat(qn_engine *engine, qn_shape rest, uint32_t dim, uint32_t n, qn_dtype dtype)
{
    enum { MAX_N = 70, MAX_SIZE = 5 };
    qn_value in[MAX_N];
    uint32_t *data[MAX_N];
    qn_shape max[MAX_N], live[MAX_N], ys;
    qn_graph *g = qn_test_graph(engine);
    for (uint32_t i = 0; i < n; i++) {
        max[i] = rest;
        max[i].dim[dim] = 1 + qn_test_random(7, i) % MAX_SIZE;
        if (rest.dim[rest.rank - 1] % 4 == 0 && dim + 1 == rest.rank) max[i].dim[dim] *= 4;
        data[i] = random_words(qn_shape_count(&max[i]), i);
        in[i] = qn_graph_input(g, "in", dtype, max[i]);
    }
    qn_value y = qn_cat(g, in, n, dim % 2 ? (int32_t)dim - (int32_t)rest.rank : (int32_t)dim);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t call = 0; call < 4; call++) {
        ys = rest;
        for (uint32_t k = 0; k < rest.rank; k++) ys.dim[k] = call == 0 ? rest.dim[k] : 1 + call * 5 % rest.dim[k];
        ys.dim[dim] = 0;
        for (uint32_t i = 0; i < n; i++) {
            live[i] = ys;
            live[i].dim[dim] = call == 0 ? max[i].dim[dim] : 1 + (call + i) % max[i].dim[dim];
            qn_assert_ok(qn_graph_set_input(g, in[i], live[i], data[i]));
        }
        for (uint32_t i = 0; i < n; i++) ys.dim[dim] += live[i].dim[dim];
        uint32_t *want = malloc(qn_shape_count(&ys) * sizeof *want);
        qn_cat_ref((const uint32_t *const *)data, live, n, dim, want);
        assert_words("cat", qn_test_run(g, y, ys), want, &ys);
        free(want);
    }
    qn_graph_close(g);
    for (uint32_t i = 0; i < n; i++) free(data[i]);
}

static void every_cat(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 7, 8, 9, 17, 65};
    for (uint32_t r = 0; r <= qn_strided_kernels.n_rows; r++) {
        qn_engine *engine = qn_test_engine(r ? qn_strided_kernels.rows[r - 1].name : NULL);
        for (uint32_t dim = 0; dim < 3; dim++) {
            check_cat(engine, qn_shape_3(2, 3, 4), dim, 3, QN_F32);
            check_cat(engine, qn_shape_3(2, 3, 5), dim, 4, QN_I32);
        }
        check_cat(engine, (qn_shape){8, {2, 1, 2, 3, 2, 1, 2, 3}}, 3, 5, QN_F32);
        check_cat(engine, (qn_shape){8, {2, 1, 2, 3, 2, 1, 2, 4}}, 0, 2, QN_F32);
        qn_engine_close(engine);
    }
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        check_cat(engine, qn_shape_2(1, 3), 0, counts[i], QN_F32);
    qn_engine_close(engine);
}

/* Constants of 1, 3 and 6 elements, of both types, a state, a view, and one tensor twice. */
static void operands_of_every_place(void **state)
{
    (void)state;
    static const float w[6] = {10, 11, 12, 13, 14, 15}, s[4] = {20, 21, 22, 23}, a[4] = {1, 2, 3, 4};
    static const float want[] = {10, 10, 10, 10, 10, 11, 12, 20, 21, 22, 23, 1, 2, 3, 4, 1, 2, 3, 4};
    static const int32_t ids[2] = {-5, 7}, ids_want[] = {-5, 7, -5, 7};
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight *one = qn_test_plain(engine, "one", qn_shape_1(1), w),
              *six = qn_test_plain(engine, "six", qn_shape_2(2, 3), w);
    qn_weight *numbers;
    qn_assert_ok(qn_weight_create(
        engine, &(qn_weight_desc){.name = "ids", .kind = QN_WEIGHT_I32, .shape = qn_shape_1(2), .data = ids},
        &numbers));
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(2, 2)), st = qn_graph_state(g, "s", QN_F32, qn_shape_1(4));
    qn_value parts[] = {
        qn_expand(g, qn_graph_weight(g, one), qn_shape_1(4), NULL),
        qn_select(g, qn_graph_weight(g, six), 0, qn_graph_const_int(g, 0)),
        st,
        qn_view(g, x, qn_shape_1(4)),
        0,
    };
    parts[4] = parts[3];
    qn_value y = qn_cat(g, parts, 5, 0), z = qn_repeat(g, qn_graph_weight(g, numbers), (const uint32_t[]){2}, 1);
    qn_graph_output(g, y, "y");
    qn_graph_output(g, z, "z");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(2, 2), a));
    qn_assert_ok(qn_graph_write_state(g, st, s));
    assert_memory_equal(qn_test_run(g, y, qn_shape_1(19)), want, sizeof want);
    assert_memory_equal(qn_graph_output_data(g, z, NULL), ids_want, sizeof ids_want);
    qn_graph_close(g);
    qn_weight_free(one);
    qn_weight_free(six);
    qn_weight_free(numbers);
    qn_engine_close(engine);
}

static void split_in_pieces(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 1, 4};
    uint32_t *data = random_words(5 * 7, 4), want[20];
    qn_value y[3];
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(5, 7));
    qn_split(g, x, -1, sizes, 3, y);
    for (int i = 0; i < 3; i++) qn_graph_output(g, y[i], "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t rows = 5; rows <= 5; rows -= 2) {
        qn_shape xs = qn_shape_2(rows, 7);
        uint32_t at = 0;
        qn_assert_ok(qn_graph_set_input(g, x, xs, data));
        qn_assert_ok(qn_test_execute(g));
        for (int i = 0; i < 3; at += sizes[i++]) {
            qn_shape ys = qn_shape_2(rows, sizes[i]), live;
            qn_slice_ref(data, &xs, 1, at, 1, &ys, want);
            assert_words("split", qn_graph_output_data(g, y[i], &live), want, &ys);
            assert_true(live.dim[0] == rows && live.dim[1] == sizes[i]);
        }
    }
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(5, 6), data));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "a piece of 4 from 3 on passes dimension 1 of 6");
    qn_graph_close(g);
    static const struct {
        int32_t dim;
        uint32_t sizes[2];
        const char *text;
    } bad[] = {{1, {3, 3}, "add up to 6, not to 7"}, {2, {3, 4}, "no dimension 2"}, {1, {7, 0}, "piece 1 is empty"}};
    for (int i = 0; i < 3; i++) {
        g = qn_test_graph(engine);
        x = qn_graph_input(g, "x", QN_F32, qn_shape_2(5, 7));
        qn_split(g, x, bad[i].dim, bad[i].sizes, 2, y);
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, bad[i].text);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
    free(data);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused_moves(void **state)
{
    (void)state;
    static const struct {
        move_case c;
        const char *text;
    } cases[] = {
        {{PERMUTE, {2, {2, 3}}, 0, 1, {0}}, "an order of 1 dimensions for x of rank 2"},
        {{PERMUTE, {2, {2, 3}}, 0, 2, {1, -1}}, "dimension -1 is there twice"},
        {{PERMUTE, {2, {2, 3}}, 0, 2, {0, 2}}, "x[2,3] has no dimension 2"},
        {{FLIP, {2, {2, 3}}, 0, 1, {-3}}, "x[2,3] has no dimension -3"},
        {{FLIP, {0}, 0, 1, {0}}, "x[] has no dimension 0"},
        {{SLICE, {2, {2, 3}}, 0, 4, {2, NO, NO, 1}}, "no dimension 2"},
        {{SLICE, {2, {2, 3}}, 0, 4, {1, 2, 1, 1}}, "2..1 of dimension 1, of 3, is empty"},
        {{SLICE, {2, {2, 3}}, 0, 4, {1, 3, NO, 1}}, "is empty"},
        {{SELECT, {2, {2, 3}}, 0, 2, {1, 3}}, "index 3 is outside dimension 1 of 3"},
        {{SELECT, {2, {2, 3}}, 0, 2, {1, -4}}, "index -4 is outside"},
        {{EXPAND, {2, {2, 3}}, 0, 1, {3}}, "rank 2 cannot be expanded to rank 1"},
        {{EXPAND, {2, {2, 3}}, 0, 2, {2, 6}}, "dimension 1 of size 3 cannot become 6"},
        {{EXPAND, {2, {2, 3}}, 0, 3, {0, 2, 3}}, "dimension 0 of size 0 cannot become 0"},
        {{REPEAT, {2, {2, 3}}, 0, 1, {2}}, "1 repeats for x of rank 2"},
        {{REPEAT, {2, {2, 3}}, 0, 2, {1, 0}}, "cannot be repeated 0 times"},
        {{PAD, {2, {2, 3}}, 0, 2, {1, 1}}, "pads of 1 dimensions for x of rank 2"},
        {{PAD, {2, {2, 3}}, 0, 4, {0, 0, -2, -1}}, "leave nothing of dimension 1 of x[2,3]"},
        {{PAD, {2, {2, 3}}, 0, 4, {0, 0, -4, 5}}, "leave nothing of dimension 1"},
        {{SHUFFLE, {2, {2, 3}}, 0, 1, {2}}, "a factor of 2 and an image of rank 2"},
        {{SHUFFLE, {3, {4, 2, 3}}, 0, 1, {0}}, "a factor of 0"},
        {{SHUFFLE, {3, {6, 2, 3}}, 0, 1, {2}}, "x[6,2,3] cannot be shuffled by 2"},
        {{UNSHUFFLE, {3, {6, 2, 3}}, 0, 1, {2}}, "x[6,2,3] cannot be shuffled by 2"},
        {{UNSHUFFLE, {3, {6, 2, 3}}, 0, 1, {INT32_MIN}}, "cannot be shuffled"},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_graph *g = qn_test_graph(engine);
        build(&cases[i].c, g, qn_graph_input(g, "x", QN_I32, cases[i].c.max), 1);
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, cases[i].text);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

static qn_value computed_without_maximum(qn_graph *g, qn_value x)
{
    return qn_slice(g, x, &(qn_slice_options){.end = qn_graph_int(g, "n", 4)});
}

static qn_value bound_is_a_tensor(qn_graph *g, qn_value x)
{
    return qn_slice(g, x, &(qn_slice_options){.start = x});
}

static qn_value index_absent(qn_graph *g, qn_value x)
{
    return qn_select(g, x, 0, 0);
}

static qn_value pad_of_half(qn_graph *g, qn_value x)
{
    return qn_pad(g, qn_graph_input(g, "ids", QN_I32, qn_shape_1(2)), (const int32_t[][2]){{1, 1}}, x ? 1 : 0, 0.5);
}

static qn_value pad_of_nan(qn_graph *g, qn_value x)
{
    return qn_pad(g, qn_graph_input(g, "ids", QN_I32, qn_shape_1(2)), (const int32_t[][2]){{1, 1}}, x ? 1 : 0, NAN);
}

static qn_value cat_of_nothing(qn_graph *g, qn_value x)
{
    return qn_cat(g, &x, 0, 0);
}

static qn_value cat_of_scalars(qn_graph *g, qn_value x)
{
    const qn_value both[] = {qn_graph_input(g, "s", QN_F32, (qn_shape){0}), x};
    return qn_cat(g, both, 2, 0);
}

static qn_value cat_of_shapes(qn_graph *g, qn_value x)
{
    const qn_value both[] = {x, qn_graph_input(g, "other", QN_F32, qn_shape_2(4, 7))};
    return qn_cat(g, both, 2, 0);
}

static qn_value cat_of_ranks(qn_graph *g, qn_value x)
{
    const qn_value both[] = {x, qn_graph_input(g, "other", QN_F32, qn_shape_1(6))};
    return qn_cat(g, both, 2, 1);
}

static qn_value cat_of_types(qn_graph *g, qn_value x)
{
    const qn_value both[] = {x, qn_graph_input(g, "other", QN_I32, qn_shape_2(4, 6))};
    return qn_cat(g, both, 2, 0);
}

static qn_value integer_operand(qn_graph *g, qn_value x)
{
    return qn_flip(g, qn_int_dim(g, x, 0), (const int32_t[]){0}, 1);
}

static qn_value order_too_long(qn_graph *g, qn_value x)
{
    return qn_permute(g, x, (const int32_t[9]){0}, 9);
}

static qn_value eight_computed_sizes(qn_graph *g, qn_value x)
{
    qn_value sizes[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) sizes[i] = qn_graph_const_int(g, 1);
    return qn_expand(g, x, (qn_shape){8, {1, 1, 1, 1, 1, 1, 4, 6}}, sizes);
}

static qn_value too_large(qn_graph *g, qn_value x)
{
    return qn_repeat(g, x, (const uint32_t[]){1u << 20, 1}, 2);
}

static qn_value dimension_overflows(qn_graph *g, qn_value x)
{
    return qn_repeat(g, x, (const uint32_t[]){1u << 31, 1}, 2);
}

/* Eight repeats of eight sizes are sixteen dimensions, none of which merge. */
static qn_value sixteen_dimensions(qn_graph *g, qn_value x)
{
    (void)x;
    const uint32_t two[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    return qn_repeat(g, qn_graph_input(g, "x8", QN_F32, (qn_shape){8, {2, 2, 2, 2, 2, 2, 2, 2}}), two, 8);
}

static void refused_otherwise(void **state)
{
    (void)state;
    static const struct {
        qn_value (*add)(qn_graph *g, qn_value x);
        qn_code code;
        const char *text;
    } cases[] = {
        {computed_without_maximum, QN_ERR_ARGUMENT, "slice: a bound is computed and max_size is 0"},
        {bound_is_a_tensor, QN_ERR_ARGUMENT, "slice: input 1 (x) must be an integer"},
        {index_absent, QN_ERR_ARGUMENT, "select: input 1 is not a value"},
        {pad_of_half, QN_ERR_ARGUMENT, "0.5 is no value of an i32 tensor"},
        {pad_of_nan, QN_ERR_ARGUMENT, "no value of an i32 tensor"},
        {cat_of_nothing, QN_ERR_ARGUMENT, "cat: no values"},
        {cat_of_scalars, QN_ERR_ARGUMENT, "s[] has no dimension 0"},
        {cat_of_shapes, QN_ERR_ARGUMENT, "x[4,6] and other[4,7] differ outside of dimension 0"},
        {cat_of_ranks, QN_ERR_ARGUMENT, "x[4,6] and other[6] differ"},
        {cat_of_types, QN_ERR_ARGUMENT, "input 1 is of another type"},
        {integer_operand, QN_ERR_ARGUMENT, "flip: input 0 () must be a tensor"},
        {order_too_long, QN_ERR_ARGUMENT, "permute: 9 dimensions, at most 8"},
        {eight_computed_sizes, QN_ERR_ARGUMENT, "expand: 8 computed sizes, at most 7"},
        {too_large, QN_ERR_LIMIT, "[4194304,6] takes 100663296 bytes, over the device's binding limit of 4096"},
        {dimension_overflows, QN_ERR_LIMIT, "cannot be repeated 2147483648 times"},
        {sixteen_dimensions, QN_ERR_LIMIT, "a copy over 16 dimensions; at most 15"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_engine *engine = qn_test_engine(NULL);
        if (cases[i].add == too_large) qn_test_limit_bindings(engine, 4096);
        qn_graph *g = qn_test_graph(engine);
        cases[i].add(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(4, 6)));
        qn_assert_fails(qn_graph_build(g), cases[i].code, cases[i].text);
        qn_graph_close(g);
        qn_engine_close(engine);
    }
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Route, items and merged dimensions of plans at live shapes. */
static void routes_and_merging(void **state)
{
    (void)state;
    static const struct {
        qn_shape max, live;
        int32_t order[4];
        const char *row;
        uint32_t items, rank;
    } cases[] = {
        {{4, {2, 8, 4, 16}}, {4, {2, 8, 4, 16}}, {0, 1, 2, 3}, "strided.vec4", 256, 1}, /* an identity is one run */
        {{4, {2, 8, 4, 16}}, {4, {2, 7, 1, 15}}, {0, 1, 2, 3}, "strided.any", 210, 1},
        {{4, {2, 8, 4, 16}}, {4, {2, 8, 4, 16}}, {0, 2, 1, 3}, "strided.vec4", 256, 4},
        {{4, {2, 8, 4, 16}}, {4, {1, 8, 4, 16}}, {0, 2, 1, 3}, "strided.vec4", 128, 3},
        {{4, {2, 8, 4, 16}}, {4, {1, 8, 4, 15}}, {0, 2, 1, 3}, "strided.any", 480, 3},
        {{4, {2, 8, 4, 16}}, {4, {2, 1, 4, 16}}, {0, 2, 1, 3}, "strided.vec4", 32, 1},
        {{4, {2, 8, 4, 16}}, {4, {2, 8, 4, 16}}, {2, 3, 0, 1}, "strided.any", 1024, 2},
        {{4, {2, 8, 4, 16}}, {4, {1, 1, 4, 16}}, {2, 3, 0, 1}, "strided.vec4", 16, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_PERMUTE);
        qn_value x = qn_test_plan_tensor(&t, "x", QN_I32, cases[i].max);
        t.node.attrs.dims.n = 4;
        memcpy(t.node.attrs.dims.dim, cases[i].order, sizeof cases[i].order);
        qn_assert_ok(qn_test_plan_build(&t));
        assert_true(t.plan.n_dispatches == 2 && t.plan.max_dispatches == 2); /* both rows are prepared */
        t.tensors[x].live = cases[i].live;
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 1);
        const qn_dispatch *d = &t.plan.dispatches[0];
        assert_string_equal(d->row->name, cases[i].row);
        assert_int_equal(d->params[0], cases[i].items);
        assert_int_equal(d->params[1], cases[i].rank);
        assert_int_equal(qn_test_plan_out(&t)->dtype, QN_I32);
        qn_test_plan_free(&t);
    }
}

/* Grids fold past 65,535 workgroups; offsets and negative strides wrap. */
static void large_plans(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 65535 * 256 - 1, 65535 * 256 + 1, 65536 * 256 + 3, INT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_FLIP);
        t.device.max_binding_bytes = UINT64_C(8) << 30;
        qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_1(INT32_MAX));
        t.node.attrs.dims.n = 1;
        qn_assert_ok(qn_test_plan_build(&t));
        t.tensors[x].live = qn_shape_1(sizes[i]);
        qn_assert_ok(qn_test_plan_live(&t));
        const qn_dispatch *d = &t.plan.dispatches[0];
        uint64_t groups = (uint64_t)d->grid[0] * d->grid[1];
        assert_true(d->grid[0] <= 65535 && d->grid[1] <= 65535 && groups * 256 >= sizes[i]);
        assert_true((groups - 1) * 256 < (uint64_t)sizes[i] + 256 * d->grid[1]);
        assert_int_equal(d->params[2], sizes[i] - 1);
        assert_int_equal(d->params[5], sizes[i] == 1 ? 1 : UINT32_MAX);
        qn_test_plan_free(&t);
    }
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_FLIP);
    qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(1u << 16, 1u << 15));
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "[65536,32768]");
    qn_test_plan_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_move_and_row), cmocka_unit_test(known_results),
        cmocka_unit_test(computed_bounds),    cmocka_unit_test(longest_slice),
        cmocka_unit_test(computed_expand),    cmocka_unit_test(every_cat),
        cmocka_unit_test(split_in_pieces),    cmocka_unit_test(operands_of_every_place),
        cmocka_unit_test(refused_moves),      cmocka_unit_test(refused_otherwise),
        cmocka_unit_test(routes_and_merging), cmocka_unit_test(large_plans),
    };
    return cmocka_run_group_tests_name("strided", tests, NULL, NULL);
}
