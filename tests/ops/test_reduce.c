/* Reductions over any dimensions on the software device, every kernel row forced, against float64. */
#include "ops/reduce_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const qn_kernel_table qn_reduce_kernels;

static const char *const names[] = {
    [QN_REDUCE_SUM] = "sum",       [QN_REDUCE_MEAN] = "mean", [QN_REDUCE_PROD] = "prod", [QN_REDUCE_AMAX] = "amax",
    [QN_REDUCE_AMIN] = "amin",     [QN_REDUCE_ANY] = "any",   [QN_REDUCE_ALL] = "all",   [QN_REDUCE_ARGMAX] = "argmax",
    [QN_REDUCE_ARGMIN] = "argmin", [QN_REDUCE_VAR] = "var",
};
enum { CORRECTION = 1 };

typedef struct reduction {
    uint32_t function;
    qn_dtype dtype;
    uint32_t mask;
    bool keepdim, from_end; /* dimensions are named from the end */
} reduction;

static qn_value add(qn_graph *g, const reduction *r, qn_value x, uint32_t rank)
{
    int32_t dims[QN_MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (r->mask >> i & 1) dims[n++] = (int32_t)i - (r->from_end ? (int32_t)rank : 0);
    const int32_t *dim = n == 1 ? dims : NULL;
    if (r->function == QN_REDUCE_ARGMAX) return qn_argmax(g, x, dim, r->keepdim);
    if (r->function == QN_REDUCE_ARGMIN) return qn_argmin(g, x, dim, r->keepdim);
    if (r->function == QN_REDUCE_VAR) return qn_var(g, x, dims, n, CORRECTION, r->keepdim);
    return qn_reduce(g, (qn_reduction)r->function, x, dims, n, r->keepdim);
}

static qn_shape result_shape(const reduction *r, const qn_shape *shape)
{
    qn_shape result = {0};
    for (uint32_t i = 0; i < shape->rank; i++) {
        bool reduced = r->mask >> i & 1;
        if (!reduced || r->keepdim) result.dim[result.rank++] = reduced ? 1 : shape->dim[i];
    }
    return result;
}

/* data: of the dtype. *want: of each line of the shape (free it). */
static size_t reference(const reduction *r, const qn_shape *shape, const void *data, double **want)
{
    size_t length = qn_line_ref(shape, r->mask, 0, NULL), lines = qn_shape_count(shape) / length;
    size_t *at = calloc(length, sizeof *at);
    double *v = calloc(length, sizeof *v);
    *want = calloc(lines, sizeof **want);
    for (size_t line = 0; line < lines; line++) {
        qn_line_ref(shape, r->mask, line, at);
        for (size_t i = 0; i < length; i++)
            v[i] = r->dtype == QN_I32 ? ((const int32_t *)data)[at[i]] : (double)((const float *)data)[at[i]];
        (*want)[line] = qn_reduce_ref(r->function, v, length, CORRECTION);
    }
    free(at);
    free(v);
    return lines;
}

static bool gives_ints(const reduction *r)
{
    return r->dtype == QN_I32 || (r->function >= QN_REDUCE_ANY && r->function <= QN_REDUCE_ARGMIN);
}

static void compare(const char *what, const reduction *r, const void *got, const double *want, size_t n)
{
    if (!gives_ints(r)) {
        qn_test_compare(what, got, want, n, (qn_tolerance){1e-6, 1e-5});
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (((const int32_t *)got)[i] != (int32_t)want[i])
            fail_msg("%s: element %zu is %d, not %.0f", what, i, ((const int32_t *)got)[i], want[i]);
}

/* A graph built for `max`, run at each live shape. */
static void check(qn_engine *engine, const reduction *r, const qn_shape *max, const qn_shape *live, size_t n_live,
                  const void *data)
{
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", r->dtype, *max), y = add(g, r, x, max->rank);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < n_live; i++) {
        double *want;
        char what[160], text[96];
        snprintf(what, sizeof what, "%s of %s%s, mask %u", names[r->function], r->dtype == QN_I32 ? "i32" : "f32",
                 qn_shape_text(&live[i], text, sizeof text), r->mask);
        qn_assert_ok(qn_graph_set_input(g, x, live[i], data));
        const void *got = qn_test_run(g, y, result_shape(r, &live[i]));
        size_t n = reference(r, &live[i], data, &want);
        compare(what, r, got, want, n);
        free(want);
    }
    qn_graph_close(g);
}

/* Small numbers, with zeros and equals among them; products stay near 1. */
static void *make_data(uint32_t function, qn_dtype dtype, size_t n, uint64_t seed)
{
    float *x = qn_test_floats(n, seed, 1.0f);
    for (size_t i = 0; i < n; i++) {
        if (function == QN_REDUCE_PROD) x[i] = 1.0f + x[i] / 16.0f;
        if (function >= QN_REDUCE_AMAX && function <= QN_REDUCE_ARGMIN) x[i] = rintf(x[i] * 40.0f) / 4.0f;
        if (function == QN_REDUCE_ANY && qn_test_random(seed + 1, i) % 8) x[i] = 0.0f;
        if (function == QN_REDUCE_ALL && x[i] == 0.0f && qn_test_random(seed + 1, i) % 8) x[i] = 1.0f;
        if (dtype == QN_I32) {
            int32_t k = (int32_t)(x[i] * (function == QN_REDUCE_PROD ? 2.5f : 9.0f));
            if (function == QN_REDUCE_PROD && i % 64) k = i % 3 ? 1 : -1;
            memcpy(&x[i], &k, sizeof k);
        }
    }
    return x;
}

static bool takes(uint32_t function, qn_dtype dtype)
{
    return dtype == QN_F32 || (function != QN_REDUCE_MEAN && function != QN_REDUCE_VAR);
}

/* Whether the function has code of its own, worth a compilation for every row. */
static bool differs(uint32_t function, qn_dtype dtype)
{
    return function == QN_REDUCE_SUM || function == QN_REDUCE_VAR ||
           (function == QN_REDUCE_ARGMIN && dtype == QN_F32) || (function == QN_REDUCE_PROD && dtype == QN_I32);
}

/* Every function and element type, with lines of every length that matters, alone and side by side. */
static void check_route(const char *route)
{
    static const uint32_t lengths[] = {1, 2, 31, 33, 63, 64, 65, 256, 1000};
    qn_engine *engine = qn_test_engine(route);
    for (uint32_t f = QN_REDUCE_SUM; f <= QN_REDUCE_VAR; f++) {
        for (qn_dtype dtype = QN_F32; dtype <= QN_I32; dtype++) {
            if (!takes(f, dtype) || (route && !differs(f, dtype))) continue;
            void *data = make_data(f, dtype, 5000, f);
            qn_shape live[9], columns[9];
            size_t n = sizeof lengths / sizeof lengths[0];
            for (size_t i = 0; i < n; i++) {
                live[i] = qn_shape_2(i % 2 ? 5 : 4, lengths[n - 1 - i]);
                columns[i] = qn_shape_2(lengths[i], i % 2 ? 5 : 1);
            }
            size_t first = f == QN_REDUCE_VAR; /* of one element it is not a number */
            check(engine, &(reduction){f, dtype, 2, true, false}, &(qn_shape){2, {5, 1000}}, live, n - first, data);
            check(engine, &(reduction){f, dtype, 1, false, false}, &(qn_shape){2, {1000, 5}}, columns + first,
                  n - first, data);
            free(data);
        }
    }
    qn_engine_close(engine);
}

static void every_function_and_row(void **state)
{
    (void)state;
    check_route(NULL);
    for (uint32_t i = 0; i < qn_reduce_kernels.n_rows; i++) check_route(qn_reduce_kernels.rows[i].name);
}

/* All sets of dimensions of rank 4 and some of rank 8, at several live shapes. */
static void every_set_of_dimensions(void **state)
{
    (void)state;
    static const qn_shape max4 = {4, {3, 4, 5, 36}}, max8 = {8, {2, 3, 2, 2, 3, 2, 2, 4}};
    static const qn_shape live4[] = {{4, {3, 4, 5, 36}}, {4, {1, 4, 1, 36}}, {4, {2, 1, 5, 7}}, {4, {3, 4, 1, 1}}};
    static const qn_shape live8[] = {{8, {2, 3, 2, 2, 3, 2, 2, 4}}, {8, {2, 1, 2, 2, 1, 2, 1, 3}}};
    static const uint32_t masks8[] = {0x55, 0xAA, 0xFF, 0x80, 0x01, 0x3C, 0xC3, 0x92};
    qn_engine *engine = qn_test_engine(NULL);
    for (uint32_t pass = 0; pass < 2; pass++) {
        uint32_t f = pass ? QN_REDUCE_AMIN : QN_REDUCE_SUM;
        void *data = make_data(f, QN_F32, 3000, 9);
        for (uint32_t mask = 1; mask < 16; mask++)
            check(engine, &(reduction){f, QN_F32, mask, mask % 2 == pass, pass}, &max4, live4, 4, data);
        for (size_t i = 0; i < sizeof masks8 / sizeof masks8[0]; i++)
            check(engine, &(reduction){f, QN_F32, masks8[i], i % 2 == pass, !pass}, &max8, live8, 2, data);
        free(data);
    }
    qn_engine_close(engine);
}

/* No dimensions given: all of them; also a scalar. */
static void whole_tensor(void **state)
{
    (void)state;
    static const qn_shape max = {3, {2, 30, 40}}, scalar = {0};
    static const qn_shape live[] = {{3, {2, 30, 40}}, {3, {1, 1, 1}}, {3, {2, 3, 4}}, {3, {1, 30, 39}}};
    qn_engine *engine = qn_test_engine(NULL);
    for (uint32_t f = QN_REDUCE_SUM; f <= QN_REDUCE_ARGMIN; f++) {
        void *data = make_data(f, QN_F32, 2400, f);
        check(engine, &(reduction){f, QN_F32, 7, f % 2, false}, &max, live, 4, data);
        check(engine, &(reduction){f, QN_F32, 0, false, false}, &scalar, &scalar, 1, data);
        free(data);
    }
    qn_engine_close(engine);
}

/* Lines that one invocation, or a narrow workgroup, could not finish; and more lines than a grid dimension has. */
static void long_lines_and_many(void **state)
{
    (void)state;
    static const qn_shape max = {2, {2, 100001}}, tall = {2, {70001, 3}};
    static const qn_shape live[] = {{2, {2, 100000}}, {2, {1, 100001}}, {2, {2, 65536}}, {2, {2, 65537}}};
    static const qn_shape tall_live[] = {{2, {70001, 3}}, {2, {65536, 3}}, {2, {1, 2}}};
    qn_engine *engine = qn_test_engine(NULL);
    float *x = qn_test_floats(210003, 3, 1.0f);
    for (size_t i = 0; i < 210003; i++) x[i] += 1.1f; /* means are not near 0 */
    check(engine, &(reduction){QN_REDUCE_MEAN, QN_F32, 2, false, false}, &max, live, 4, x);
    check(engine, &(reduction){QN_REDUCE_VAR, QN_F32, 3, false, false}, &max, live, 4, x);
    check(engine, &(reduction){QN_REDUCE_ARGMAX, QN_F32, 2, false, false}, &max, live, 4, x);
    check(engine, &(reduction){QN_REDUCE_SUM, QN_F32, 2, true, false}, &tall, tall_live, 3, x);
    check(engine, &(reduction){QN_REDUCE_SUM, QN_F32, 1, true, false}, &tall, tall_live, 3, x);
    for (size_t i = 0; i < 210003; i++) x[i] = 0.1f; /* the rounding of equal numbers adds up */
    check(engine, &(reduction){QN_REDUCE_MEAN, QN_F32, 2, false, false}, &max, live, 4, x);
    free(x);
    qn_engine_close(engine);
}

typedef struct literal {
    uint32_t function;
    float x[6];
    float want;
} literal;

/* Infinities, NaN, zeros of both signs, equals. */
static void special_numbers(void **state)
{
    (void)state;
    static const literal cases[] = {
        {QN_REDUCE_AMAX, {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, -INFINITY},
        {QN_REDUCE_AMIN, {INFINITY, 1, 2, INFINITY, 3, 4}, 1},
        {QN_REDUCE_AMIN, {1e-40f, 1, 2, 1, 3, 4}, 1e-40f},
        {QN_REDUCE_AMAX, {1, 2, NAN, 4, 5, 6}, NAN},
        {QN_REDUCE_AMIN, {1, 2, -NAN, 4, 5, 6}, NAN},
        {QN_REDUCE_ARGMAX, {1, NAN, 9, INFINITY, NAN, 6}, 1},
        {QN_REDUCE_ARGMIN, {1, 2, 9, -INFINITY, -NAN, NAN}, 4},
        {QN_REDUCE_ARGMAX, {-0.0f, 0.0f, 0.0f, -1, -2, -3}, 0},
        {QN_REDUCE_ARGMIN, {7, 0.0f, -0.0f, 1, 2, 3}, 1},
        {QN_REDUCE_ARGMAX, {5, 5, 5, 5, 5, 5}, 0},
        {QN_REDUCE_ARGMAX, {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, 0},
        {QN_REDUCE_ANY, {0, -0.0f, 0, 0, 0, 0}, 0},
        {QN_REDUCE_ANY, {0, 0, 0, 0, 0, 1e-42f}, 1},
        {QN_REDUCE_ALL, {1, -1, NAN, INFINITY, 1e-42f, 2}, 1},
        {QN_REDUCE_ALL, {1, -1, 1, 1, -0.0f, 2}, 0},
        {QN_REDUCE_SUM, {1, 2, 3, 4, 5, 6}, 21},
        {QN_REDUCE_PROD, {1, 2, 3, 4, 5, -6}, -720},
        {QN_REDUCE_MEAN, {1, 2, 3, 4, 5, 6}, 3.5f},
        {QN_REDUCE_VAR, {1, 2, 3, 4, 5, 6}, 3.5f},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const reduction r = {cases[i].function, QN_F32, 1, false, true};
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(6)), y = add(g, &r, x, 1);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(6), cases[i].x));
        double want = (double)cases[i].want;
        char what[32];
        snprintf(what, sizeof what, "case %zu", i);
        compare(what, &r, qn_test_run(g, y, (qn_shape){0}), &want, 1);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

/* The ends of the integers; sums wrap. */
static void special_integers(void **state)
{
    (void)state;
    static const int32_t least[4] = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
    static const int32_t mixed[4] = {INT32_MAX, INT32_MIN, INT32_MAX, 1};
    static const struct {
        uint32_t function;
        const int32_t *x;
        int32_t want;
    } cases[] = {
        {QN_REDUCE_AMAX, least, INT32_MIN}, {QN_REDUCE_ARGMAX, least, 0}, {QN_REDUCE_AMIN, mixed, INT32_MIN},
        {QN_REDUCE_ARGMIN, mixed, 1},       {QN_REDUCE_ARGMAX, mixed, 0}, {QN_REDUCE_SUM, mixed, INT32_MAX},
        {QN_REDUCE_SUM, least, 0},
    };
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const reduction r = {cases[i].function, QN_I32, 1, false, false};
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_I32, qn_shape_1(4)), y = add(g, &r, x, 1);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(4), cases[i].x));
        assert_int_equal(*(const int32_t *)qn_test_run(g, y, (qn_shape){0}), cases[i].want);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

/* Which row a line takes, without a device. */
static void routes(void **state)
{
    (void)state;
    static const struct {
        qn_adapter_type adapter;
        qn_shape x;
        int32_t dim;
        const char *row;
        uint32_t grid;
    } cases[] = {
        {QN_ADAPTER_DISCRETE, {2, {200, 32}}, 1, "reduce.each", 4},
        {QN_ADAPTER_DISCRETE, {2, {200, 33}}, 1, "reduce.team", 25},
        {QN_ADAPTER_DISCRETE, {2, {200, 512}}, 1, "reduce.team", 25},
        {QN_ADAPTER_DISCRETE, {2, {200, 513}}, 1, "reduce.wide1", 200},
        {QN_ADAPTER_DISCRETE, {2, {200, 516}}, 1, "reduce.wide4", 200},
        {QN_ADAPTER_DISCRETE, {2, {1000, 64}}, 0, "reduce.each", 1},
        {QN_ADAPTER_DISCRETE, {2, {1000, 31}}, 0, "reduce.wide1", 31},
        {QN_ADAPTER_DISCRETE, {2, {5000, 64}}, 0, "reduce.wide1", 64},
        {QN_ADAPTER_SOFTWARE, {2, {200, 32}}, 1, "reduce.each", 4},
        {QN_ADAPTER_SOFTWARE, {2, {200, 33}}, 1, "reduce.narrow1", 200},
        {QN_ADAPTER_SOFTWARE, {2, {2, 65536}}, 1, "reduce.narrow4", 2},
        {QN_ADAPTER_SOFTWARE, {2, {2, 65537}}, 1, "reduce.wide1", 2},
        {QN_ADAPTER_SOFTWARE, {2, {2, 65540}}, 1, "reduce.wide4", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_REDUCE);
        t.device.type = cases[i].adapter;
        qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_2(5000, 70000));
        t.node.attrs.reduce.function = QN_REDUCE_SUM;
        t.node.attrs.reduce.n_dims = 1;
        t.node.attrs.reduce.dims[0] = cases[i].dim;
        qn_assert_ok(qn_test_plan_build(&t));
        bool prepared = false;
        for (size_t k = 0; k < t.plan.n_dispatches; k++)
            prepared = prepared || strcmp(t.plan.dispatches[k].row->name, cases[i].row) == 0;
        assert_true(prepared);
        t.tensors[x].live = cases[i].x;
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 1);
        assert_string_equal(t.plan.dispatches[0].row->name, cases[i].row);
        assert_int_equal(t.plan.dispatches[0].grid[0], cases[i].grid);
        qn_test_plan_free(&t);
    }
}

/* Neighbours of a kind are one dimension. */
static void merged_dimensions(void **state)
{
    (void)state;
    qn_shape shape = {8, {2, 3, 1, 4, 5, 1, 6, 7}};
    qn_lines l = qn_lines_of(&shape, 1u << 3 | 1u << 4 | 1u << 5);
    assert_true(l.n == 2 * 3 * 6 * 7 && l.length == 20 && l.n_across == 2 && l.n_along == 1);
    assert_true(l.across[0][0] == 42 && l.across[0][1] == 1 && l.across[1][0] == 6 && l.across[1][1] == 840);
    assert_true(l.along[0][0] == 20 && l.along[0][1] == 42);
    shape = (qn_shape){8, {2, 2, 2, 2, 2, 2, 2, 2}};
    l = qn_lines_of(&shape, 0xAA);
    assert_true(l.n == 16 && l.length == 16 && l.n_across == 4 && l.n_along == 4);
    assert_true(l.along[0][1] == 1 && l.along[3][1] == 64 && l.across[3][1] == 128);
    l = qn_lines_of(&shape, 0);
    assert_true(l.n == 256 && l.length == 1 && l.n_across == 1 && l.n_along == 0);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        qn_shape x;
        qn_dtype dtype;
        uint32_t function;
        int32_t dims[2];
        float number;
        qn_code code;
        const char *text;
    } cases[] = {
        {{2, {3, 4}}, QN_F32, QN_REDUCE_SUM, {0, 2}, 0, QN_ERR_ARGUMENT, "sum: x[3,4] has no dimension 2"},
        {{2, {3, 4}}, QN_F32, QN_REDUCE_AMAX, {0, -3}, 0, QN_ERR_ARGUMENT, "amax: x[3,4] has no dimension -3"},
        {{2, {3, 4}}, QN_F32, QN_REDUCE_SUM, {1, -1}, 0, QN_ERR_ARGUMENT, "dimension 1 is given more than once"},
        {{2, {3, 4}}, QN_I32, QN_REDUCE_MEAN, {0, 1}, 0, QN_ERR_ARGUMENT, "mean takes no i32"},
        {{2, {3, 4}}, QN_F32, QN_REDUCE_VAR, {0, 1}, -1, QN_ERR_ARGUMENT, "correction -1"},
        {{2, {3, 4}}, QN_F32, 0, {0, 1}, 0, QN_ERR_ARGUMENT, "no function 0"},
        {{2, {1 << 16, 1 << 15}}, QN_F32, QN_REDUCE_SUM, {0, 1}, 0, QN_ERR_LIMIT, "[65536,32768]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_REDUCE);
        qn_test_plan_tensor(&t, "x", cases[i].dtype, cases[i].x);
        t.node.attrs.reduce.function = (uint8_t)cases[i].function;
        t.node.attrs.reduce.n_dims = 2;
        t.node.attrs.reduce.number = cases[i].number;
        memcpy(t.node.attrs.reduce.dims, cases[i].dims, sizeof cases[i].dims);
        qn_assert_fails(qn_test_plan_build(&t), cases[i].code, cases[i].text);
        qn_test_plan_free(&t);
    }
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4));
    qn_reduce(g, (qn_reduction)99, x, NULL, 0, false);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "no function 99");
    qn_graph_close(g);
    g = qn_test_graph(engine);
    qn_reduce(g, QN_REDUCE_SUM, qn_graph_input(g, "x", QN_F32, qn_shape_1(4)), (const int32_t[9]){0}, 9, false);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "9 dimensions");
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* A tensor over the binding limit of the device is refused when the graph is built, with the numbers. */
static void too_large_to_bind(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_limit_bindings(engine, 4096);
    for (uint32_t rows = 32; rows <= 33; rows++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(rows, 32));
        qn_graph_output(g, qn_reduce(g, QN_REDUCE_SUM, x, (const int32_t[]){1}, 1, false), "y");
        if (rows == 32)
            qn_assert_ok(qn_graph_build(g));
        else
            qn_assert_fails(qn_graph_build(g), QN_ERR_LIMIT, "4224");
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_and_row),
        cmocka_unit_test(every_set_of_dimensions),
        cmocka_unit_test(whole_tensor),
        cmocka_unit_test(long_lines_and_many),
        cmocka_unit_test(special_numbers),
        cmocka_unit_test(special_integers),
        cmocka_unit_test(routes),
        cmocka_unit_test(merged_dimensions),
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_large_to_bind),
    };
    return cmocka_run_group_tests_name("reduce", tests, NULL, NULL);
}
