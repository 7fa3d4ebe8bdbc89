/* index_select and gather on the software device against the plain references: to the bit. */
#include "ops/index_ref.h"
#include "ops/op.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct index_case {
    qn_shape x, ids;
    int32_t dim;
} index_case;

/* Ids of the axis from both ends, and every seventh outside. */
static int32_t *make_ids(size_t n, uint32_t axis, uint64_t seed)
{
    static const int32_t outside[] = {INT32_MAX, INT32_MIN, 1 << 20, -(1 << 20)};
    int32_t *ids = calloc(n + 1, sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)(qn_test_random(seed, i) % (2 * axis)) - (int32_t)axis;
        if (i % 7 == 6) ids[i] = outside[i / 7 % 4];
    }
    return ids;
}

/* Words of every kind, also ones that are no ordinary f32. */
static uint32_t *make_words(size_t n)
{
    uint32_t *x = calloc(n + 1, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = i % 5 == 4 ? qn_test_random(3, i) : (uint32_t)i;
    return x;
}

static uint32_t axis_of(const index_case *c, uint32_t *dim)
{
    *dim = (uint32_t)(c->dim < 0 ? c->dim + (int32_t)(c->x.rank ? c->x.rank : 1) : c->dim);
    return c->x.rank ? c->x.dim[*dim] : 1;
}

/* Runs the graph of a case at live shapes. */
static void run(qn_graph *g, const qn_value v[3], const index_case *c, bool gather)
{
    size_t nx = (size_t)qn_shape_count(&c->x), n = (size_t)qn_shape_count(&c->ids);
    uint32_t dim, axis = axis_of(c, &dim);
    uint32_t *x = make_words(nx), *want = calloc(nx * n + 1, sizeof *want);
    int32_t *ids = make_ids(n, axis, 5);
    assert_non_null(want);
    qn_shape out = (gather ? qn_gather_ref : qn_index_select_ref)(x, c->x, dim, ids, c->ids, want);
    qn_assert_ok(qn_graph_set_input(g, v[0], c->x, x));
    qn_assert_ok(qn_graph_set_input(g, v[1], c->ids, ids));
    assert_memory_equal(qn_test_run(g, v[2], out), want, (size_t)qn_shape_count(&out) * sizeof *want);
    free(x);
    free(want);
    free(ids);
}

static qn_graph *build(qn_engine *engine, const index_case *most, bool gather, qn_dtype dtype, qn_value v[3])
{
    qn_graph *g = qn_test_graph(engine);
    v[0] = qn_graph_input(g, "x", dtype, most->x);
    v[1] = qn_graph_input(g, "ids", QN_I32, most->ids);
    v[2] = gather ? qn_gather(g, v[0], most->dim, v[1]) : qn_index_select(g, v[0], most->dim, v[1]);
    qn_graph_output(g, v[2], "y");
    qn_assert_ok(qn_graph_build(g));
    return g;
}

static void check(qn_engine *engine, const index_case *c, bool gather)
{
    qn_value v[3];
    qn_graph *g = build(engine, c, gather, c->x.rank % 2 ? QN_I32 : QN_F32, v);
    run(g, v, c, gather);
    qn_graph_close(g);
}

static void select_slices(void **state)
{
    (void)state;
    static const index_case cases[] = {
        {{0, {0}}, {0, {0}}, 0},
        {{1, {9}}, {0, {0}}, 0},
        {{1, {9}}, {1, {30}}, -1},
        {{2, {9, 5}}, {1, {12}}, 0},
        {{2, {9, 8}}, {1, {12}}, 0},
        {{2, {9, 8}}, {2, {3, 4}}, 0},
        {{2, {9, 8}}, {1, {11}}, 1},
        {{3, {4, 6, 5}}, {0, {0}}, 1},
        {{3, {4, 6, 12}}, {3, {2, 1, 3}}, 1},
        {{3, {4, 6, 5}}, {1, {8}}, -1},
        {{4, {2, 3, 4, 8}}, {1, {5}}, -2},
        {{4, {2, 3, 4, 8}}, {1, {1}}, 0},
        {{1, {3}}, {8, {1, 2, 1, 2, 1, 3, 1, 1}}, 0},
        {{8, {2, 1, 2, 1, 3, 2, 1, 2}}, {1, {3}}, 4},
        {{2, {300, 64}}, {1, {257}}, 0},
    };
    static const char *const routes[] = {NULL, "index.scalar"};
    for (size_t r = 0; r < 2; r++) {
        qn_engine *engine = qn_test_engine(routes[r]);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check(engine, &cases[i], false);
        qn_engine_close(engine);
    }
}

static void gather_elements(void **state)
{
    (void)state;
    static const index_case cases[] = {
        {{0, {0}}, {0, {0}}, 0},
        {{1, {9}}, {1, {30}}, 0},
        {{2, {9, 5}}, {2, {12, 5}}, 0},
        {{2, {9, 5}}, {2, {9, 7}}, 1},
        {{2, {9, 5}}, {2, {4, 7}}, -1},
        {{3, {4, 6, 5}}, {3, {2, 9, 3}}, 1},
        {{4, {2, 3, 4, 8}}, {4, {1, 3, 20, 8}}, 2},
        {{8, {2, 3, 2, 3, 2, 3, 2, 3}}, {8, {1, 2, 2, 2, 5, 2, 1, 2}}, 4},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check(engine, &cases[i], true);
    qn_engine_close(engine);
}

/* One graph at live shapes that take either row; negative ids count from the live end. */
static void live_shapes(void **state)
{
    (void)state;
    static const index_case live[] = {
        {{3, {4, 9, 12}}, {2, {3, 5}}, 1}, {{3, {4, 9, 11}}, {2, {3, 5}}, 1}, {{3, {1, 2, 4}}, {2, {1, 1}}, 1},
        {{3, {2, 1, 1}}, {2, {2, 2}}, 1},  {{3, {4, 9, 12}}, {2, {3, 5}}, 1},
    };
    static const index_case gathers[] = {
        {{2, {7, 9}}, {2, {7, 12}}, 1}, {{2, {7, 3}}, {2, {5, 12}}, 1}, {{2, {1, 1}}, {2, {1, 1}}, 1}};
    qn_engine *engine = qn_test_engine(NULL);
    qn_value v[3];
    qn_graph *g = build(engine, &live[0], false, QN_F32, v);
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
        run(g, v, &live[i], false);
        assert_int_equal(qn_graph_n_dispatches(g), 1);
        assert_string_equal(qn_graph_dispatch(g, 0).kernel, live[i].x.dim[2] % 4 ? "index.scalar" : "index.vec4");
    }
    qn_graph_close(g);
    g = build(engine, &gathers[0], true, QN_I32, v);
    for (size_t i = 0; i < sizeof gathers / sizeof gathers[0]; i++) run(g, v, &gathers[i], true);
    float x[49] = {0};
    int32_t ids[49] = {0};
    qn_assert_ok(qn_graph_set_input(g, v[0], qn_shape_2(3, 3), x));
    qn_assert_ok(qn_graph_set_input(g, v[1], qn_shape_2(4, 3), ids));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "ids [4,3] do not fit x [3,3] outside dimension 1");
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* aten.embedding on an f32 table, with constant ids as well. */
static void weights(void **state)
{
    (void)state;
    float table[7 * 6];
    uint32_t want[4 * 6];
    static const int32_t ids[] = {6, 0, -1, 3};
    qn_test_fill(table, 42, 1, 1.0f);
    qn_index_select_ref((const uint32_t *)(const void *)table, qn_shape_2(7, 6), 0, ids, qn_shape_2(2, 2), want);
    qn_engine *engine = qn_test_engine(NULL);
    qn_weight_desc desc = {.name = "ids", .kind = QN_WEIGHT_I32, .shape = qn_shape_2(2, 2), .data = ids};
    qn_weight *w = qn_test_plain(engine, "table", qn_shape_2(7, 6), table), *i = NULL;
    qn_assert_ok(qn_weight_create(engine, &desc, &i));
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "ids", QN_I32, qn_shape_2(2, 2)), t = qn_graph_weight(g, w);
    qn_value a = qn_index_select(g, t, 0, in), b = qn_index_select(g, t, 0, qn_graph_weight(g, i));
    qn_graph_output(g, a, "a");
    qn_graph_output(g, b, "b");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(2, 2), ids));
    assert_memory_equal(qn_test_run(g, a, qn_shape_3(2, 2, 6)), want, sizeof want);
    assert_memory_equal(qn_test_run(g, b, qn_shape_3(2, 2, 6)), want, sizeof want);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_weight_free(i);
    qn_engine_close(engine);
}

/* ---- plans without a device ------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_op op;
        qn_shape x, ids;
        qn_dtype dtype;
        int32_t dim;
        qn_code code;
        const char *text;
    } cases[] = {
        {QN_OP_INDEX_SELECT, {2, {3, 4}}, {1, {3}}, QN_F32, 0, QN_ERR_ARGUMENT, "must be an i32 tensor"},
        {QN_OP_INDEX_SELECT, {2, {3, 4}}, {1, {3}}, QN_I32, 2, QN_ERR_ARGUMENT, "dimension 2 is outside the 2"},
        {QN_OP_INDEX_SELECT, {2, {3, 4}}, {1, {3}}, QN_I32, -3, QN_ERR_ARGUMENT, "dimension -3"},
        {QN_OP_INDEX_SELECT, {2, {3, 4}}, {8, {1, 1, 1, 1, 1, 1, 1, 1}}, QN_I32, 0, QN_ERR_ARGUMENT, "ranks 2 of x"},
        {QN_OP_INDEX_SELECT, {2, {3, 1 << 16}}, {1, {1 << 15}}, QN_I32, 0, QN_ERR_LIMIT, "2^31 elements"},
        {QN_OP_GATHER, {2, {3, 4}}, {1, {3}}, QN_I32, 0, QN_ERR_ARGUMENT, "do not fit x [3,4]"},
        {QN_OP_GATHER, {2, {3, 4}}, {2, {3, 5}}, QN_I32, 0, QN_ERR_ARGUMENT, "outside dimension 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, cases[i].op);
        t.node.attrs.index.dim = cases[i].dim;
        qn_test_plan_tensor(&t, "x", QN_F32, cases[i].x);
        qn_test_plan_tensor(&t, "ids", cases[i].dtype, cases[i].ids);
        qn_assert_fails(qn_test_plan_build(&t), cases[i].code, cases[i].text);
        qn_test_plan_free(&t);
    }
    qn_device_info device = qn_test_baseline_device();
    qn_pack_format f32 = {.storage = QN_STORE_F32};
    qn_weight *matrix = NULL;
    qn_assert_ok(qn_weight_describe(NULL, &device, "matrix", true, qn_shape_2(4, 4), &f32, &matrix));
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_INDEX_SELECT);
    qn_test_plan_weight(&t, matrix);
    qn_test_plan_tensor(&t, "ids", QN_I32, qn_shape_1(3));
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, "packed matrix");
    qn_test_plan_free(&t);
    qn_weight_free(matrix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select_slices), cmocka_unit_test(gather_elements), cmocka_unit_test(live_shapes),
        cmocka_unit_test(weights),       cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
