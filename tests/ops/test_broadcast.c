/* Broadcasting of elementwise operands by their live shapes: known shapes, random ones, one graph at many live shapes,
 * tensors in windows, constants, and what is refused. */
#include "ops/elementwise_ref.h"
#include "support/op_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 15 };

/* A graph of one function, its inputs and their numbers. */
typedef struct bench {
    qn_graph *g;
    qn_op op;
    uint32_t n;
    qn_value in[3], y;
} bench;

static float data[3][MOST];
static double values[3][MOST], want[MOST];
static int32_t truth[MOST];

static void fill(void)
{
    for (uint32_t k = 0; k < 3; k++) {
        qn_test_fill(data[k], MOST, k, 10.0f);
        for (size_t i = 0; i < MOST; i++) values[k][i] = (double)data[k][i];
    }
    for (size_t i = 0; i < MOST; i++) truth[i] = (int32_t)(qn_test_random(9, i) % 2);
}

static qn_shape broadcast(const qn_shape *shapes, uint32_t n)
{
    qn_shape out = {0};
    for (uint32_t k = 0; k < n; k++)
        if (shapes[k].rank > out.rank) out.rank = shapes[k].rank;
    for (uint32_t i = 0; i < out.rank; i++) out.dim[i] = 1;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < shapes[k].rank; i++) {
            uint32_t *size = &out.dim[out.rank - shapes[k].rank + i];
            if (shapes[k].dim[i] > *size) *size = shapes[k].dim[i];
        }
    return out;
}

/* a - b, or where(c, a, b) of three shapes. */
static bench make(qn_engine *engine, const qn_shape *max, uint32_t n)
{
    static const char *const names[] = {"left", "right", "third"};
    bench b = {.g = qn_test_graph(engine), .op = n == 3 ? QN_OP_WHERE : QN_OP_SUB, .n = n};
    for (uint32_t k = 0; k < n; k++)
        b.in[k] = qn_graph_input(b.g, names[k], n == 3 && k == 0 ? QN_I32 : QN_F32, max[k]);
    b.y = n == 3 ? qn_where(b.g, b.in[0], b.in[1], b.in[2]) : qn_binary(b.g, QN_FN_SUB, b.in[0], b.in[1]);
    qn_graph_output(b.g, b.y, "y");
    qn_assert_ok(qn_graph_build(b.g));
    return b;
}

static void set_live(const bench *b, const qn_shape *live)
{
    for (uint32_t k = 0; k < b->n; k++)
        qn_assert_ok(qn_graph_set_input(b->g, b->in[k], live[k],
                                        b->n == 3 && k == 0 ? (const void *)truth : (const void *)data[k]));
}

static void check(const bench *b, const qn_shape *live)
{
    char text[3][96] = {"", "", ""}, what[320];
    qn_operand_ref operands[3] = {{0}};
    for (uint32_t k = 0; k < b->n; k++) {
        operands[k] = (qn_operand_ref){values[k], live[k]};
        qn_shape_text(&live[k], text[k], sizeof text[k]);
    }
    snprintf(what, sizeof what, "%s %s %s", text[0], text[1], text[2]);
    qn_shape out = broadcast(live, b->n);
    assert_true(qn_shape_count(&out) <= MOST);
    for (size_t i = 0; b->n == 3 && i < qn_shape_count(&live[0]); i++) values[0][i] = truth[i];
    qn_broadcast_ref(b->op, operands, 0, 0, out, want);
    for (size_t i = 0; b->n == 3 && i < qn_shape_count(&live[0]); i++) values[0][i] = (double)data[0][i];
    set_live(b, live);
    qn_test_compare(what, qn_test_run(b->g, b->y, out), want, qn_shape_count(&out), (qn_tolerance){1e-6, 1e-6});
}

/* Builds at the shapes, runs there, and all operands as one element and back. */
static void check_shapes(qn_engine *engine, const qn_shape *max, uint32_t n)
{
    bench b = make(engine, max, n);
    qn_shape ones[3];
    for (uint32_t k = 0; k < n; k++) {
        ones[k].rank = max[k].rank;
        for (uint32_t i = 0; i < max[k].rank; i++) ones[k].dim[i] = 1;
    }
    check(&b, max);
    check(&b, ones);
    for (uint32_t k = 0; k < n; k++) { /* one operand of a single element, the others whole */
        qn_shape live[3];
        memcpy(live, max, n * sizeof live[0]);
        live[k] = ones[k];
        check(&b, live);
    }
    check(&b, max);
    qn_graph_close(b.g);
}

static const qn_shape pairs[][2] = {
    {{4, {3, 5, 7, 11}}, {4, {1, 5, 1, 11}}},
    {{2, {4, 4}}, {2, {1, 4}}},
    {{1, {4}}, {2, {3, 4}}},
    {{4, {1, 1, 7, 896}}, {4, {1, 1, 7, 1}}},
    {{0, {0}}, {8, {2, 1, 3, 1, 2, 1, 5, 4}}},
    {{8, {2, 1, 3, 1, 2, 1, 5, 4}}, {8, {1, 3, 1, 2, 1, 4, 1, 1}}},
    {{8, {2, 2, 2, 2, 2, 2, 2, 2}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}}, /* nothing merges */
    {{8, {2, 2, 2, 2, 2, 2, 2, 4}}, {8, {2, 1, 2, 1, 2, 1, 2, 1}}},
    {{0, {0}}, {0, {0}}},
    {{1, {1}}, {0, {0}}},
    {{2, {37, 41}}, {2, {37, 41}}},
    {{3, {5, 7, 11}}, {1, {11}}},
    {{3, {1, 9, 12}}, {1, {12}}},
    {{2, {6, 1}}, {2, {1, 8}}},
    {{2, {6, 1}}, {1, {5}}},
    {{3, {4, 1, 6}}, {3, {4, 5, 1}}},
    {{2, {1, 1023}}, {2, {3, 1}}},
};
enum { N_PAIRS = sizeof pairs / sizeof pairs[0] };

static void known_shapes(void **state)
{
    (void)state;
    static const char *const routes[] = {NULL, "elementwise.scalar"};
    for (int r = 0; r < 2; r++) {
        qn_engine *engine = qn_test_engine(routes[r]);
        for (size_t i = 0; i < N_PAIRS; i++) {
            const qn_shape swapped[] = {pairs[i][1], pairs[i][0]};
            check_shapes(engine, pairs[i], 2);
            check_shapes(engine, swapped, 2);
        }
        qn_engine_close(engine);
    }
}

static void three_operands(void **state)
{
    (void)state;
    static const qn_shape cases[][3] = {
        {{2, {4, 5}}, {2, {4, 5}}, {2, {4, 5}}},          {{2, {4, 1}}, {2, {4, 8}}, {1, {8}}},
        {{3, {3, 1, 1}}, {2, {5, 1}}, {1, {7}}},          {{0, {0}}, {3, {2, 3, 4}}, {3, {2, 1, 4}}},
        {{4, {1, 1, 6, 6}}, {4, {2, 3, 6, 6}}, {0, {0}}}, {{1, {12}}, {0, {0}}, {0, {0}}},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_shapes(engine, cases[i], 3);
    qn_engine_close(engine);
}

/* ---- live shapes ----------------------------------------------------------------------------- */

/* Shapes that broadcast: rank 0..8, each operand with its own rank and sizes of 1. */
static void random_shapes(uint64_t seed, uint32_t n, qn_shape *shapes)
{
    uint32_t rank = qn_test_random(seed, 0) % (QN_MAX_RANK + 1), at = 1;
    uint32_t most = rank > 5 ? 3 : 5;
    qn_shape out = {.rank = rank};
    for (uint32_t i = 0; i < rank; i++) out.dim[i] = 1 + qn_test_random(seed, at++) % (i + 1 == rank ? 8 : most);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t own = k == 0 ? rank : qn_test_random(seed, at++) % (rank + 1);
        shapes[k].rank = own;
        for (uint32_t i = 0; i < own; i++)
            shapes[k].dim[i] = qn_test_random(seed, at++) % 3 ? out.dim[rank - own + i] : 1;
    }
}

/* A live shape within the maximum for each operand, so that they broadcast; any of them may be 1. */
static void random_live(uint64_t seed, uint32_t n, const qn_shape *max, qn_shape *live)
{
    uint32_t size[QN_MAX_RANK], at = 100; /* by place from the end */
    for (uint32_t back = 0; back < QN_MAX_RANK; back++) {
        uint32_t most = 1;
        for (uint32_t k = 0; k < n; k++)
            if (back < max[k].rank && max[k].dim[max[k].rank - 1 - back] > most)
                most = max[k].dim[max[k].rank - 1 - back];
        size[back] = 1 + qn_test_random(seed, at++) % most;
    }
    for (uint32_t k = 0; k < n; k++) {
        live[k].rank = max[k].rank;
        for (uint32_t i = 0; i < max[k].rank; i++) {
            bool one = max[k].dim[i] == 1 || qn_test_random(seed, at++) % 4 == 0;
            live[k].dim[i] = one ? 1 : size[max[k].rank - 1 - i];
        }
    }
}

static void random_graphs_at_many_live_shapes(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    for (uint64_t seed = 0; seed < 60; seed++) {
        uint32_t n = 2 + (uint32_t)(seed % 3 == 2);
        qn_shape max[3], live[3];
        random_shapes(seed, n, max);
        bench b = make(engine, max, n);
        check(&b, max);
        for (uint64_t i = 0; i < 8; i++) {
            random_live(seed * 100 + i, n, max, live);
            check(&b, live);
        }
        check(&b, max);
        qn_graph_close(b.g);
    }
    qn_engine_close(engine);
}

/* Kernels, and how far dimensions merge: params[1] is the rank, params[12 ...] size and strides. */
static void merged_dimensions(void **state)
{
    (void)state;
    static const struct {
        qn_shape a, b;
        const char *kernel;
        uint32_t rank, inner;
    } cases[] = {
        {{3, {2, 3, 4}}, {3, {2, 3, 4}}, "elementwise.vec4", 1, 24},
        {{3, {2, 3, 5}}, {3, {2, 3, 5}}, "elementwise.scalar", 1, 30},
        {{3, {2, 3, 4}}, {0, {0}}, "elementwise.vec4", 1, 24},
        {{3, {2, 3, 4}}, {1, {4}}, "elementwise.vec4", 2, 4},
        {{3, {2, 3, 4}}, {3, {2, 1, 1}}, "elementwise.vec4", 2, 12},
        {{3, {2, 3, 4}}, {3, {1, 3, 1}}, "elementwise.vec4", 3, 4},
        {{3, {4, 3, 1}}, {3, {1, 3, 1}}, "elementwise.scalar", 2, 3},
        {{3, {1, 7, 1}}, {3, {1, 1, 1}}, "elementwise.scalar", 1, 7},
        {{1, {1}}, {2, {1, 1}}, "elementwise.scalar", 1, 1},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_shape shapes[] = {cases[i].a, cases[i].b};
        bench b = make(engine, shapes, 2);
        check(&b, shapes);
        qn_trace t = qn_graph_dispatch(b.g, 0);
        assert_int_equal(qn_graph_n_dispatches(b.g), 1);
        assert_string_equal(t.kernel, cases[i].kernel);
        assert_int_equal(t.params[1], cases[i].rank);
        assert_int_equal(t.params[12], cases[i].inner);
        qn_graph_close(b.g);
    }
    qn_engine_close(engine);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* A device whose bindings hold 1,000 floats: y in windows of 960 elements; small operands are read whole. */
static void windows(void **state)
{
    (void)state;
    static const qn_shape cases[][2] = {
        {{2, {40, 50}}, {2, {40, 1}}},  {{2, {40, 52}}, {1, {52}}}, {{2, {33, 77}}, {2, {33, 77}}},
        {{2, {40, 1}}, {2, {1, 48}}},   {{1, {961}}, {0, {0}}},     {{2, {20, 96}}, {2, {1, 96}}},
        {{2, {2, 500}}, {2, {2, 500}}}, {{2, {50, 40}}, {1, {1}}},
    };
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_shapes(engine, cases[i], 2);
        const qn_shape swapped[] = {cases[i][1], cases[i][0]};
        check_shapes(engine, swapped, 2);
    }
    /* a constant between a window and a binding: bound whole, its elements where they are */
    static const qn_shape shape = {2, {4, 250}};
    qn_weight *w = qn_test_plain(engine, "w", shape, data[1]);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, shape), y = qn_binary(g, QN_FN_SUB, x, qn_graph_weight(g, w));
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, x, shape, data[0]));
    qn_broadcast_ref(QN_OP_SUB, (qn_operand_ref[3]){{values[0], shape}, {values[1], shape}, {0}}, 0, 0, shape, want);
    qn_test_compare("x - w", qn_test_run(g, y, shape), want, 1000, (qn_tolerance){1e-6, 1e-6});
    assert_int_equal(qn_graph_n_dispatches(g), 2);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_engine_close(engine);
}

/* What was made for more than a binding holds cannot repeat; the graph still runs where nothing has to. */
static void large_operands_do_not_repeat(void **state)
{
    (void)state;
    static const qn_shape max[] = {{2, {40, 50}}, {2, {40, 50}}};
    static const qn_shape row[] = {{2, {40, 50}}, {2, {1, 50}}}, one[] = {{2, {40, 50}}, {2, {1, 1}}};
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4000);
    bench b = make(engine, max, 2);
    check(&b, max);
    set_live(&b, row);
    qn_assert_fails(qn_test_execute(b.g), QN_ERR_LIMIT, "right was made for 2000 elements");
    check(&b, one);
    check(&b, max);
    qn_graph_close(b.g);
    qn_graph *g = qn_test_graph(engine);
    qn_value wide = qn_graph_input(g, "wide", QN_F32, qn_shape_3(1, 40, 50));
    qn_binary(g, QN_FN_ADD, wide, qn_graph_input(g, "deep", QN_F32, qn_shape_3(3, 1, 1)));
    qn_assert_fails(qn_graph_build(g), QN_ERR_LIMIT, "wide was made for 2000 elements");
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- constants and states -------------------------------------------------------------------- */

static void constants(void **state)
{
    (void)state;
    static const qn_shape shapes[] = {{0, {0}}, {1, {3}}, {2, {7, 1}}, {2, {7, 3}}, {1, {1}}};
    static const int32_t numbers[] = {3, -1, 1 << 30, 4, 5, 6, 7, 8, 9};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (uint32_t e = 3; e <= 4; e++) {
            const qn_shape live = qn_shape_2(7, e);
            qn_shape own = shapes[i];
            if (own.rank && own.dim[own.rank - 1] == 3) own.dim[own.rank - 1] = e;
            qn_weight *w = qn_test_plain(engine, "w", own, data[1]);
            qn_graph *g = qn_test_graph(engine);
            qn_value x = qn_graph_input(g, "x", QN_F32, live), y = qn_binary(g, QN_FN_SUB, x, qn_graph_weight(g, w));
            qn_graph_output(g, y, "y");
            qn_assert_ok(qn_graph_build(g));
            qn_assert_ok(qn_graph_set_input(g, x, live, data[0]));
            qn_broadcast_ref(QN_OP_SUB, (qn_operand_ref[3]){{values[0], live}, {values[1], own}, {0}}, 0, 0, live,
                             want);
            qn_test_compare("x - w", qn_test_run(g, y, live), want, 7 * e, (qn_tolerance){1e-6, 1e-6});
            qn_graph_close(g);
            qn_weight_free(w);
        }
    /* i32: a constant with itself, and with a state */
    qn_weight *w = NULL;
    qn_weight_desc desc = {.name = "ids", .kind = QN_WEIGHT_I32, .shape = qn_shape_1(9), .data = numbers};
    qn_assert_ok(qn_weight_create(engine, &desc, &w));
    qn_graph *g = qn_test_graph(engine);
    qn_value ids = qn_graph_weight(g, w), kept = qn_graph_state(g, "kept", QN_I32, qn_shape_1(1));
    qn_value twice = qn_binary(g, QN_FN_ADD, ids, ids), sum = qn_binary(g, QN_FN_ADD, kept, ids);
    qn_graph_output(g, twice, "twice");
    qn_graph_output(g, sum, "sum");
    qn_assert_ok(qn_graph_build(g));
    const int32_t five = 5;
    qn_assert_ok(qn_graph_write_state(g, kept, &five));
    const int32_t *got = qn_test_run(g, twice, qn_shape_1(9)), *sums = qn_graph_output_data(g, sum, NULL);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal((uint32_t)got[i], 2u * (uint32_t)numbers[i]);
        assert_int_equal(sums[i], numbers[i] + 5);
    }
    qn_graph_close(g);
    qn_weight_free(w);
    qn_engine_close(engine);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void refused(void **state)
{
    (void)state;
    static const qn_shape cases[][2] = {
        {{2, {4, 5}}, {2, {4, 6}}}, {{2, {4, 5}}, {1, {4}}}, {{3, {2, 3, 4}}, {3, {3, 3, 4}}}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char left[96], right[96], text[200];
        qn_graph *g = qn_test_graph(engine);
        qn_value a = qn_graph_input(g, "left", QN_F32, cases[i][0]),
                 b = qn_graph_input(g, "right", QN_F32, cases[i][1]);
        qn_binary(g, QN_FN_MUL, a, b);
        snprintf(text, sizeof text, "mul: left%s and right%s do not broadcast",
                 qn_shape_text(&cases[i][0], left, sizeof left), qn_shape_text(&cases[i][1], right, sizeof right));
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, text);
        qn_graph_close(g);
    }
    /* live shapes likewise, and the graph goes on */
    static const qn_shape max[] = {{2, {4, 5}}, {2, {4, 5}}}, bad[] = {{2, {3, 5}}, {2, {2, 5}}};
    bench b = make(engine, max, 2);
    check(&b, max);
    set_live(&b, bad);
    qn_assert_fails(qn_test_execute(b.g), QN_ERR_ARGUMENT, "left[3,5] and right[2,5]");
    check(&b, max);
    qn_graph_close(b.g);
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_shapes),
        cmocka_unit_test(three_operands),
        cmocka_unit_test(random_graphs_at_many_live_shapes),
        cmocka_unit_test(merged_dimensions),
        cmocka_unit_test(windows),
        cmocka_unit_test(large_operands_do_not_repeat),
        cmocka_unit_test(constants),
        cmocka_unit_test(refused),
    };
    fill();
    return cmocka_run_group_tests_name("broadcast", tests, NULL, NULL);
}
