/* Every function of functions.def against its C reference, for f32 and i32 operands, in both kernel rows; numbers as
 * second operands; the values at which a function changes its form. Broadcasting: test_broadcast.c. */
#include "ops/elementwise_ref.h"
#include "support/op_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 204 };

/* Operands, as words, and what they stand for. */
typedef struct operand {
    uint32_t words[N];
    double values[N];
} operand;

static void put_f32(operand *x, size_t i, float value)
{
    memcpy(&x->words[i], &value, sizeof value);
    x->values[i] = (double)value;
}

static void put_i32(operand *x, size_t i, int32_t value)
{
    memcpy(&x->words[i], &value, sizeof value);
    x->values[i] = value;
}

static double value_of(qn_dtype dtype, const void *data, size_t i)
{
    float f;
    int32_t n;
    if (dtype == QN_F32) {
        memcpy(&f, (const char *)data + i * 4, 4);
        return (double)f;
    }
    memcpy(&n, (const char *)data + i * 4, 4);
    return n;
}

/* One function on operands of one type. */
typedef struct trial {
    qn_function f;
    qn_op op;
    const char *name;
    uint32_t arity;
    qn_dtype in, out;
    double s, t;
    bool number; /* s is the second operand */
    qn_tolerance tolerance;
} trial;

static qn_value add_trial(const trial *c, qn_graph *g, const qn_value *in)
{
    if (c->number) return qn_binary_scalar(g, c->f, in[0], c->s);
    if (c->f == QN_FN_WHERE) return qn_where(g, in[0], in[1], in[2]);
    if (c->f == QN_FN_ADD_SCALED) return qn_add_scaled(g, in[0], in[1], c->s);
    return c->arity == 1 ? qn_unary(g, c->f, in[0], c->s, c->t) : qn_binary(g, c->f, in[0], in[1]);
}

static void compare(const trial *c, const void *got, const operand *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double b = !c->number ? x[1].values[i] : c->in == QN_F32 ? (double)(float)c->s : c->s;
        double want = qn_function_ref(c->op, x[0].values[i], b, x[2].values[i], c->s, c->t);
        double have = value_of(c->out, got, i), error = fabs(have - want);
        bool same = have == want || (isnan(have) && isnan(want)) || (double)(float)want == have;
        if (same || error <= c->tolerance.abs || error <= c->tolerance.rel * fabs(want)) continue;
        fail_msg("%s (%s) of %.9g, %.9g, %.9g: %.9g, not %.9g (element %zu of %zu)", c->name,
                 c->in == QN_F32 ? "f32" : "i32", x[0].values[i], b, x[2].values[i], have, want, i, n);
    }
}

/* Runs at n (a multiple of 4: items of four), at n - 1 and 1 (items of one), and again at n. */
static void check(qn_engine *engine, const trial *c, const operand *x, uint32_t n)
{
    const uint32_t live[] = {n, n - 1, 1, n};
    static const char *const names[] = {"a", "b", "c"};
    qn_graph *g = qn_test_graph(engine);
    qn_value in[3] = {0};
    uint32_t n_in = c->number ? 1 : c->arity;
    for (uint32_t k = 0; k < n_in; k++)
        in[k] = qn_graph_input(g, names[k], c->f == QN_FN_WHERE && k == 0 ? QN_I32 : c->in, qn_shape_1(n));
    qn_value y = add_trial(c, g, in);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < 4; i++) {
        if (live[i] == 0) continue;
        for (uint32_t k = 0; k < n_in; k++) qn_assert_ok(qn_graph_set_input(g, in[k], qn_shape_1(live[i]), x[k].words));
        compare(c, qn_test_run(g, y, qn_shape_1(live[i])), x, live[i]);
        const char *row = qn_graph_dispatch(g, 0).kernel;
        assert_string_equal(row, live[i] % 4 ? "elementwise.scalar" : "elementwise.vec4");
    }
    qn_graph_close(g);
}

/* ---- all functions --------------------------------------------------------------------------- */

enum { SAME = 0, F32 = QN_F32, I32 = QN_I32, WORDS = -1 };

static const struct {
    qn_function f;
    qn_op op;
    const char *name;
    uint32_t arity;
    int result;
    const char *f32, *i32;
} all[] = {
#define QN_FUNCTION(ID, name, arity, result, f32, i32, c) {QN_FN_##ID, QN_OP_##ID, name, arity, result, f32, i32},
#include "ops/functions.def"
#undef QN_FUNCTION
};
enum { N_ALL = sizeof all / sizeof all[0] };

static bool wants_positive(qn_function f)
{
    return f == QN_FN_LOG || f == QN_FN_SQRT || f == QN_FN_RSQRT || f == QN_FN_POW;
}

static bool is_shift_or_power(qn_function f)
{
    return f == QN_FN_SHIFT_LEFT || f == QN_FN_SHIFT_RIGHT || f == QN_FN_POW;
}

/* Random operands, some equal to each other, some 0 where the function has a value there. */
static void fill(operand *x, qn_function f, qn_dtype dtype)
{
    for (uint32_t k = 0; k < 3; k++)
        for (size_t i = 0; i < N; i++) {
            uint32_t r = qn_test_random(k, i);
            if (dtype == QN_I32 || (f == QN_FN_WHERE && k == 0)) {
                int32_t n = (int32_t)(r % 41) - 20;
                if (k == 1 && is_shift_or_power(f)) n = (int32_t)(r % (f == QN_FN_POW ? 6 : 32));
                if (k == 1 && n == 0) n = f == QN_FN_POW ? 0 : 7;
                put_i32(&x[k], i, f == QN_FN_WHERE && k == 0 ? n % 2 : n);
            } else {
                float v = (float)(r >> 8) / (float)(1 << 23) * 12.0f - 12.0f;
                if (wants_positive(f)) v = fabsf(v) + 1e-3f;
                if (wants_positive(f) && k == 1) v -= 6.0f;
                if (i % 7 == 3) v = roundf(v) + (v == 0.0f ? 1.0f : 0.0f);
                if (i % 9 == 4 && k == 1) v = (float)x[0].values[i];
                if (v == 0.0f) v = 2.0f;
                put_f32(&x[k], i, v);
            }
        }
}

static trial trial_of(size_t i, qn_dtype dtype)
{
    trial c = {.f = all[i].f, .op = all[i].op, .name = all[i].name, .arity = all[i].arity, .in = dtype};
    c.out = all[i].result > 0 ? (qn_dtype)all[i].result : dtype;
    c.s = c.f == QN_FN_CLAMP ? -3 : c.f == QN_FN_POW_WHOLE ? 3 : dtype == QN_F32 ? 0.3 : 3;
    c.t = 5;
    if (all[i].result == WORDS) c.s = 0;
    c.tolerance = dtype == QN_F32 ? (qn_tolerance){1e-6, 4e-6} : (qn_tolerance){0, 0};
    return c;
}

static bool takes(size_t i, qn_dtype dtype)
{
    if (all[i].result == WORDS) return true;
    return (dtype == QN_F32 ? all[i].f32 : all[i].i32) != NULL;
}

static void every_function(void **state)
{
    (void)state;
    static operand x[3];
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < N_ALL; i++)
        for (int dtype = QN_F32; dtype <= QN_I32; dtype++) {
            if (!takes(i, (qn_dtype)dtype)) continue;
            trial c = trial_of(i, (qn_dtype)dtype);
            fill(x, c.f, c.in);
            check(engine, &c, x, N);
            check(engine, &c, x, 1); /* a single element */
        }
    qn_engine_close(engine);
}

static void numbers_as_operands(void **state)
{
    (void)state;
    static operand x[3];
    static const double numbers[2][3] = {{2.5, -3.0, 0.1}, {2, -3, 7}};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t i = 0; i < N_ALL; i++)
        for (int dtype = QN_F32; dtype <= QN_I32; dtype++)
            for (int k = 0; k < 3; k++) {
                if (!takes(i, (qn_dtype)dtype) || all[i].arity != 2 || all[i].f == QN_FN_ADD_SCALED) continue;
                trial c = trial_of(i, (qn_dtype)dtype);
                c.number = true;
                c.s = numbers[dtype == QN_I32][k];
                if (c.f == QN_FN_POW && dtype == QN_I32) c.s = fabs(c.s);
                fill(x, c.f, c.in);
                check(engine, &c, x, 8);
            }
    qn_engine_close(engine);
}

/* ---- single values --------------------------------------------------------------------------- */

/* f32 values far out and at the seams of the functions' forms. */
static void values_far_out(void **state)
{
    (void)state;
    static const float values[] = {0.0f,   -0.0f,   1e-30f, -1e-30f, 1e-4f,   -1e-4f, 0.2499f, -0.25f, 0.251f, 0.5f,
                                   -0.5f,  1.5f,    2.5f,   -1.5f,   -2.5f,   3.5f,   9.99f,   -10.0f, 10.01f, 19.0f,
                                   -20.0f, 21.0f,   31.0f,  -31.0f,  79.0f,   -81.0f, 86.9f,   -87.1f, 88.0f,  -88.0f,
                                   100.0f, -100.0f, 1e3f,   -1e3f,   8388609, -16e6f, 1e10f,   -1e10f, 1e30f,  -1e30f};
    static const qn_function functions[] = {QN_FN_SIGMOID, QN_FN_SILU, QN_FN_TANH,  QN_FN_GELU,        QN_FN_GELU_TANH,
                                            QN_FN_RELU,    QN_FN_ELU,  QN_FN_ROUND, QN_FN_FLOOR,       QN_FN_CEIL,
                                            QN_FN_TRUNC,   QN_FN_SIGN, QN_FN_CLAMP, QN_FN_HARDSIGMOID, QN_FN_TO_I32};
    enum { N_VALUES = sizeof values / sizeof values[0] };
    static operand x[3];
    for (size_t i = 0; i < N_VALUES; i++) put_f32(&x[0], i, values[i]);
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++)
        for (size_t i = 0; i < N_ALL; i++) {
            if (all[i].f != functions[k]) continue;
            trial c = trial_of(i, QN_F32);
            check(engine, &c, x, N_VALUES);
        }
    qn_engine_close(engine);
}

/* Sweeps with the accuracy that quern_graph.h states. */
static void accuracy(void **state)
{
    (void)state;
    static const struct {
        qn_function f;
        float from, to;
        qn_tolerance tolerance;
    } sweeps[] = {
        {QN_FN_GELU, -12, 12, {1e-6, 1e-6}},    {QN_FN_GELU_TANH, -12, 12, {1e-6, 1e-6}},
        {QN_FN_TANH, -12, 12, {3e-7, 1e-6}},    {QN_FN_TANH, -0.3f, 0.3f, {0, 1e-6}},
        {QN_FN_SIN, -8192, 8192, {1e-6, 0}},    {QN_FN_COS, -8192, 8192, {1e-6, 0}},
        {QN_FN_SIN, -4, 4, {3e-7, 0}},          {QN_FN_COS, -4, 4, {3e-7, 0}},
        {QN_FN_SIGMOID, -20, 20, {3e-7, 3e-6}}, {QN_FN_ELU, -1e-3f, 0, {0, 2e-6}},
        {QN_FN_EXP, -20, 20, {0, 3e-6}},        {QN_FN_LOG, 0.1f, 30, {1e-6, 1e-6}},
        {QN_FN_RSQRT, 1e-3f, 1e3f, {0, 1e-6}},
    };
    static operand x[3];
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t k = 0; k < sizeof sweeps / sizeof sweeps[0]; k++)
        for (size_t i = 0; i < N_ALL; i++) {
            if (all[i].f != sweeps[k].f) continue;
            trial c = trial_of(i, QN_F32);
            c.tolerance = sweeps[k].tolerance;
            for (size_t e = 0; e < N; e++)
                put_f32(&x[0], e, sweeps[k].from + (sweeps[k].to - sweeps[k].from) * (float)e / (N - 1));
            check(engine, &c, x, N);
        }
    qn_engine_close(engine);
}

/* Runs f(x, y), or f(x, s), on pairs and compares with what is written here. */
static void check_pairs(qn_engine *engine, qn_function f, qn_dtype dtype, const double (*pairs)[3], size_t n)
{
    static operand x[3];
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < 2; k++) {
            if (dtype == QN_F32)
                put_f32(&x[k], i, (float)pairs[i][k]);
            else
                put_i32(&x[k], i, (int32_t)pairs[i][k]);
        }
    qn_graph *g = qn_test_graph(engine);
    qn_value in[2];
    for (uint32_t k = 0; k < 2; k++) in[k] = qn_graph_input(g, k ? "b" : "a", dtype, qn_shape_1((uint32_t)n));
    qn_value y = qn_binary(g, f, in[0], in[1]);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t k = 0; k < 2; k++) qn_assert_ok(qn_graph_set_input(g, in[k], qn_shape_1((uint32_t)n), x[k].words));
    const void *got = qn_test_run(g, y, qn_shape_1((uint32_t)n));
    for (size_t i = 0; i < n; i++) {
        double have = value_of(dtype, got, i), want = pairs[i][2];
        if (have == want || (isnan(have) && isnan(want)) || fabs(have - want) <= 2e-6 * fabs(want)) continue;
        fail_msg("function %d of %g, %g: %.9g, not %.9g", (int)f, pairs[i][0], pairs[i][1], have, want);
    }
    qn_graph_close(g);
}

#define PAIRS(engine, f, dtype, pairs) check_pairs(engine, f, dtype, pairs, sizeof pairs / sizeof pairs[0])

static void powers(void **state)
{
    (void)state;
    static const double f32[][3] = {{-2, 3, -8},   {-2, 2, 4},        {-2, -1, -0.5}, {-2, 0.5, NAN}, {0, 0, 1},
                                    {0, 2, 0},     {0, -1, INFINITY}, {5, 0, 1},      {-5, 0, 1},     {2, 10, 1024},
                                    {1, 1e10, 1},  {9, 0.5, 3},       {4, -0.5, 0.5}, {-1, 101, -1},  {-1, 100, 1},
                                    {-3, 5, -243}, {10, -3, 1e-3},    {1e-3, 2, 1e-6}};
    static const double i32[][3] = {{-2, 3, -8}, {7, 0, 1},  {0, 0, 1},  {3, 19, 1162261467}, {-1, -3, -1},
                                    {-1, -2, 1}, {1, -9, 1}, {2, -1, 0}, {2, 31, INT32_MIN},  {2, 32, 0}};
    qn_engine *engine = qn_test_engine(NULL);
    PAIRS(engine, QN_FN_POW, QN_F32, f32);
    PAIRS(engine, QN_FN_POW, QN_I32, i32);
    static const double exponents[] = {2, 0.5, -0.5, 1, -1, 0, 3, -3, 7, 64, 65, 2.5, -1.25};
    static operand x[3];
    for (size_t k = 0; k < sizeof exponents / sizeof exponents[0]; k++) {
        trial c = {.f = QN_FN_POW,
                   .op = QN_OP_POW,
                   .name = "pow",
                   .arity = 2,
                   .in = QN_F32,
                   .out = QN_F32,
                   .s = exponents[k],
                   .number = true,
                   .tolerance = {1e-37, 2e-5}};
        for (size_t i = 0; i < 40; i++) {
            float v = ((float)i - 20.5f) / 17.0f;
            put_f32(&x[0], i, exponents[k] == floor(exponents[k]) ? v : fabsf(v));
        }
        check(engine, &c, x, 40);
    }
    qn_engine_close(engine);
}

static void quotients(void **state)
{
    (void)state;
    static const double trunc_f32[][3] = {{7, 2, 3},   {-7, 2, -3},      {7, -2, -3},     {-7, -2, 3},      {6, 3, 2},
                                          {-6, 3, -2}, {1, 0, INFINITY}, {0.3f, 0.1f, 3}, {1e7, 3, 3333333}};
    static const double floor_f32[][3] = {{7, 2, 3},   {-7, 2, -4},        {7, -2, -4},   {-7, -2, 3}, {6, 3, 2},
                                          {-6, 3, -2}, {-1, 0, -INFINITY}, {-0.5, 3, -1}, {5, 5, 1}};
    static const double fmod_f32[][3] = {
        {7, 2, 1}, {-7, 2, -1}, {7, -2, 1}, {-7, -2, -1}, {6, 3, 0}, {5.5, 2, 1.5}, {1, 0.1f, 0.099999986588954926}};
    static const double rest_f32[][3] = {{7, 2, 1}, {-7, 2, 1}, {7, -2, -1}, {-7, -2, -1}, {-6, 3, 0}, {-0.5, 2, 1.5}};
    static const double floor_i32[][3] = {{7, 2, 3},
                                          {-7, 2, -4},
                                          {7, -2, -4},
                                          {-7, -2, 3},
                                          {-6, 3, -2},
                                          {2147483647, -1, -2147483647},
                                          {INT32_MIN, 2, -1073741824}};
    static const double rest_i32[][3] = {{7, 2, 1}, {-7, 2, 1}, {7, -2, -1}, {-7, -2, -1}, {-6, 3, 0}};
    static const double trunc_i32[][3] = {{7, 2, 3}, {-7, 2, -3}, {7, -2, -3}, {-7, -2, 3}};
    static const double fmod_i32[][3] = {{7, 2, 1}, {-7, 2, -1}, {7, -2, 1}, {-7, -2, -1}};
    qn_engine *engine = qn_test_engine(NULL);
    PAIRS(engine, QN_FN_DIV_TRUNC, QN_F32, trunc_f32);
    PAIRS(engine, QN_FN_DIV_FLOOR, QN_F32, floor_f32);
    PAIRS(engine, QN_FN_FMOD, QN_F32, fmod_f32);
    PAIRS(engine, QN_FN_REMAINDER, QN_F32, rest_f32);
    PAIRS(engine, QN_FN_DIV_FLOOR, QN_I32, floor_i32);
    PAIRS(engine, QN_FN_REMAINDER, QN_I32, rest_i32);
    PAIRS(engine, QN_FN_DIV_TRUNC, QN_I32, trunc_i32);
    PAIRS(engine, QN_FN_FMOD, QN_I32, fmod_i32);
    /* every quotient of small whole numbers is exact */
    static double grid[200][3];
    size_t n = 0;
    for (int a = -24; a <= 24 && n < 196; a += 3)
        for (int b = -7; b <= 7 && n < 196; b++)
            if (b != 0) {
                grid[n][0] = a, grid[n][1] = b, grid[n][2] = floor((double)a / b);
                n++;
            }
    check_pairs(engine, QN_FN_DIV_FLOOR, QN_F32, (const double(*)[3])grid, n);
    check_pairs(engine, QN_FN_DIV_FLOOR, QN_I32, (const double(*)[3])grid, n);
    qn_engine_close(engine);
}

static void shifts_and_wraps(void **state)
{
    (void)state;
    static const double left[][3] = {{1, 31, INT32_MIN}, {-1, 4, -16}, {5, 32, 0}, {5, 0, 5}, {5, -1, 0}};
    static const double right[][3] = {{-16, 2, -4}, {INT32_MIN, 31, -1}, {-5, 40, -1}, {5, 40, 0}, {7, 1, 3}};
    static const double add[][3] = {{INT32_MAX, 1, INT32_MIN}, {INT32_MIN, -1, INT32_MAX}, {1, 2, 3}};
    qn_engine *engine = qn_test_engine(NULL);
    PAIRS(engine, QN_FN_SHIFT_LEFT, QN_I32, left);
    PAIRS(engine, QN_FN_SHIFT_RIGHT, QN_I32, right);
    PAIRS(engine, QN_FN_ADD, QN_I32, add);
    qn_engine_close(engine);
}

/* NaN and infinity go through; comparisons with a NaN are false, but ne. */
static void not_a_number(void **state)
{
    (void)state;
    static const qn_function keep[] = {QN_FN_RELU, QN_FN_CLAMP, QN_FN_TANH, QN_FN_SIGMOID, QN_FN_SILU, QN_FN_GELU,
                                       QN_FN_NEG,  QN_FN_SQRT,  QN_FN_COPY, QN_FN_SIN,     QN_FN_COS};
    static const float in[4] = {NAN, 1.0f, NAN, INFINITY};
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t k = 0; k < sizeof keep / sizeof keep[0]; k++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4)), y = qn_unary(g, keep[k], x, -INFINITY, INFINITY);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        for (uint32_t n = 3; n <= 4; n++) {
            qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(n), in));
            const float *got = qn_test_run(g, y, qn_shape_1(n));
            if (!isnan(got[0]) || isnan(got[1]) || !isnan(got[2])) fail_msg("function %d loses a NaN", (int)keep[k]);
        }
        qn_graph_close(g);
    }
    static const double eq[][3] = {{NAN, NAN, 0}, {1, NAN, 0}, {2, 2, 1}, {-0.0, 0.0, 1}};
    static const double ne[][3] = {{NAN, NAN, 1}, {1, NAN, 1}, {2, 2, 0}, {-0.0, 0.0, 0}};
    static const double less[][3] = {{NAN, NAN, 0}, {1, NAN, 0}, {2, 2, 0}, {-INFINITY, 0.0, 1}};
    static const double min[][3] = {{NAN, 1, NAN}, {1, NAN, NAN}, {2, 3, 2}, {-INFINITY, 0.0, -INFINITY}};
    static const struct {
        qn_function f;
        const double (*pairs)[3];
    } pairs[] = {{QN_FN_EQ, eq}, {QN_FN_NE, ne}, {QN_FN_LT, less}, {QN_FN_MINIMUM, min}};
    for (size_t k = 0; k < 4; k++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value a = qn_graph_input(g, "a", QN_F32, qn_shape_1(4)), b = qn_graph_input(g, "b", QN_F32, qn_shape_1(4));
        qn_value y = qn_binary(g, pairs[k].f, a, b);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        float x[2][4];
        for (size_t i = 0; i < 8; i++) x[i / 4][i % 4] = (float)pairs[k].pairs[i % 4][i / 4];
        qn_assert_ok(qn_graph_set_input(g, a, qn_shape_1(4), x[0]));
        qn_assert_ok(qn_graph_set_input(g, b, qn_shape_1(4), x[1]));
        const void *got = qn_test_run(g, y, qn_shape_1(4));
        for (size_t i = 0; i < 4; i++) {
            double have = value_of(k == 3 ? QN_F32 : QN_I32, got, i), want = pairs[k].pairs[i][2];
            if (have != want && !(isnan(have) && isnan(want)))
                fail_msg("function %d of %g, %g: %g", (int)pairs[k].f, (double)x[0][i], (double)x[1][i], have);
        }
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

/* ---- conversions and copies ------------------------------------------------------------------ */

static void conversions(void **state)
{
    (void)state;
    static const float in[] = {1.9f, -1.9f, 3e9f, -3e9f, INFINITY, -INFINITY, NAN, 2147483520.0f, -0.5f, 16777217.0f};
    static const int32_t want[] = {1, -1, INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN, 0, 2147483520, 0, 16777216};
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(10)), n = qn_convert(g, x, QN_I32);
    qn_value back = qn_convert(g, n, QN_F32), kept = qn_convert(g, n, QN_I32), copy = qn_copy(g, x);
    qn_value truth = qn_unary(g, QN_FN_TO_BOOL, x, 0, 0);
    const qn_value outputs[] = {n, back, kept, copy, truth};
    for (size_t i = 0; i < 5; i++) qn_graph_output(g, outputs[i], "y");
    qn_assert_ok(qn_graph_build(g));
    for (uint32_t live = 10; live >= 7; live--) {
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(live), in));
        assert_memory_equal(qn_test_run(g, n, qn_shape_1(live)), want, live * 4);
        assert_memory_equal(qn_graph_output_data(g, kept, NULL), want, live * 4);
        assert_memory_equal(qn_graph_output_data(g, copy, NULL), in, live * 4); /* bit for bit, NaN as well */
        const float *numbers = qn_graph_output_data(g, back, NULL);
        const int32_t *truths = qn_graph_output_data(g, truth, NULL);
        for (uint32_t i = 0; i < live; i++) {
            assert_true(numbers[i] == (float)want[i]);
            assert_int_equal(truths[i], 1);
        }
    }
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    for (int k = 0; k < 9; k++) {
        static const char *const texts[] = {"sqrt: ids is of type i32",
                                            "input 0 (x) is of type f32 and should be i32",
                                            "input 0 (x) is of type f32 and should be i32",
                                            "add: the number 1.5 is not an int32",
                                            "not take 1 operand",
                                            "not take 2 operand",
                                            "not take 1 operand",
                                            "bitwise_and: x is of type f32",
                                            "add: the number 3e+09 is not an int32"};
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_1(4)),
                 ids = qn_graph_input(g, "ids", QN_I32, qn_shape_1(4));
        switch (k) {
        case 0:
            qn_unary(g, QN_FN_SQRT, ids, 0, 0);
            break;
        case 1:
            qn_binary(g, QN_FN_ADD, x, ids);
            break;
        case 2:
            qn_where(g, x, x, x);
            break;
        case 3:
            qn_binary_scalar(g, QN_FN_ADD, ids, 1.5);
            break;
        case 4:
            qn_unary(g, QN_FN_ADD, x, 0, 0);
            break;
        case 5:
            qn_binary(g, QN_FN_EXP, x, x);
            break;
        case 6:
            qn_unary(g, QN_FN_COUNT, x, 0, 0);
            break;
        case 7:
            qn_binary(g, QN_FN_BITWISE_AND, x, x);
            break;
        default:
            qn_binary_scalar(g, QN_FN_ADD, ids, 3e9);
            break;
        }
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, texts[k]);
        qn_graph_close(g);
    }
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function),   cmocka_unit_test(numbers_as_operands),
        cmocka_unit_test(values_far_out),   cmocka_unit_test(accuracy),
        cmocka_unit_test(powers),           cmocka_unit_test(quotients),
        cmocka_unit_test(shifts_and_wraps), cmocka_unit_test(not_a_number),
        cmocka_unit_test(conversions),      cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("functions", tests, NULL, NULL);
}
