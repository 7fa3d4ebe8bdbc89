/* Operators of a delegate's file, each in a program of its own on the software device: what it computes. The last test
 * is the rule of the folder: every row of operators.def is executed here or by a committed export. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/program_harness.h"

static const char *const rows[] = {
#define QN_OPERATOR(name, function, variant, min_args, writes) name,
#include "program/operators.def"
#undef QN_OPERATOR
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };
static bool executed[N_ROWS];

/* ---- a program of one operator --------------------------------------------------------------- */

static qn_engine *engine;

static int set_up(void **state)
{
    *state = engine = qn_test_engine(NULL);
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(*state);
    return 0;
}

static void note(const qn_program *p)
{
    const qn_operator_use *uses;
    uint32_t n = qn_program_operators(p, &uses);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < N_ROWS; k++) executed[k] |= !uses[i].on_cpu && strcmp(rows[k], uses[i].name) == 0;
}

/* A graph, and what its inputs are given. */
typedef struct rig {
    qn_vk_maker *g;
    qn_program_tensor in[8];
    uint32_t n;
} rig;

static rig start(void)
{
    return (rig){.g = qn_vk_make()};
}

static int32_t input(rig *r, qn_vk_dtype dtype, qn_shape shape, const void *data)
{
    int32_t id = qn_vk_tensor_of(r->g, dtype, shape);
    qn_vk_input(r->g, id);
    r->in[r->n++] = (qn_program_tensor){shape, data};
    return id;
}

static int32_t in_f32(rig *r, qn_shape shape, const float *data)
{
    return input(r, QN_VK_FLOAT32, shape, data);
}

static int32_t in_i32(rig *r, qn_shape shape, const int32_t *data)
{
    return input(r, QN_VK_INT32, shape, data);
}

static qn_test_program run(rig *r, int32_t out)
{
    qn_vk_output(r->g, out);
    qn_test_program t = qn_test_program_open(engine, qn_program_of(r->g));
    note(t.p);
    qn_assert_ok(qn_test_call(t.p, 0, r->in, r->n));
    return t;
}

/* Output `out` of the graph, which has this shape in the file, becomes these floats. */
static void gives(rig *r, int32_t out, const float *want)
{
    qn_test_program t = run(r, out);
    qn_test_output_f32(t.p, 0, qn_program_output(t.p, 0, 0).shape, want, (qn_tolerance){2e-6, 1e-5});
    qn_test_program_close(&t);
}

static void gives_bytes(rig *r, int32_t out, const void *want, size_t bytes)
{
    qn_test_program t = run(r, out);
    qn_test_output_is(t.p, 0, qn_program_output(t.p, 0, 0).shape, want, bytes);
    qn_test_program_close(&t);
}

#define SHAPE(...) qn_shape_of(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})
static qn_shape qn_shape_of(size_t rank, const uint32_t *dims)
{
    qn_shape s = {.rank = (uint32_t)rank};
    memcpy(s.dim, dims, rank * sizeof *dims);
    return s;
}
#define F(...) ((const float[]){__VA_ARGS__})

/* ---- functions of one operand ---------------------------------------------------------------- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double silu(double x)
{
    return x * sigmoid(x);
}
static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double rsqrt(double x)
{
    return 1 / sqrt(x);
}
static double reciprocal(double x)
{
    return 1 / x;
}
static double negative(double x)
{
    return -x;
}
static double sign(double x)
{
    return (x > 0) - (x < 0);
}
static double clamped(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}
static double hardswish(double x)
{
    return x * clamped(x + 3, 0, 6) / 6;
}
static double hardsigmoid(double x)
{
    return clamped(x + 3, 0, 6) / 6;
}
static double gelu(double x)
{
    return x / 2 * (1 + erf(x / sqrt(2)));
}
static double relu6(double x)
{
    return clamped(x, 0, 6);
}
static double leaky_relu(double x)
{
    return x > 0 ? x : 0.01 * x;
}
static double elu(double x)
{
    return x > 0 ? x : expm1(x);
}
static double hardshrink(double x)
{
    return fabs(x) > 0.5 ? x : 0;
}

static void functions_of_one_operand(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double (*f)(double);
        float low; /* of the inputs, up to low + 8 */
    } cases[] = {
        {"aten.sigmoid.default", sigmoid, -4},
        {"aten.silu.default", silu, -4},
        {"aten.relu.default", relu, -4},
        {"aten.tanh.default", tanh, -4},
        {"aten.exp.default", exp, -4},
        {"aten.log.default", log, 0.125f},
        {"aten.log10.default", log10, 0.125f},
        {"aten.sqrt.default", sqrt, 0.125f},
        {"aten.rsqrt.default", rsqrt, 0.125f},
        {"aten.reciprocal.default", reciprocal, 0.125f},
        {"aten.sin.default", sin, -4},
        {"aten.cos.default", cos, -4},
        {"aten.neg.default", negative, -4},
        {"aten.abs.default", fabs, -4},
        {"aten.sign.default", sign, -4},
        {"aten.floor.default", floor, -4},
        {"aten.ceil.default", ceil, -4},
        {"aten.trunc.default", trunc, -4},
        {"aten.round.default", rint, -4},
        {"aten.hardswish.default", hardswish, -4},
        {"aten.hardsigmoid.default", hardsigmoid, -4},
        {"aten.gelu.default", gelu, -4},
        {"aten.relu6.default", relu6, -4},
        {"aten.leaky_relu.default", leaky_relu, -4},
        {"aten.elu.default", elu, -4},
        {"aten.hardshrink.default", hardshrink, -4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float x[33], y[33];
        for (size_t k = 0; k < 33; k++) {
            x[k] = cases[i].low + (float)k / 4;
            y[k] = (float)cases[i].f((double)x[k]);
        }
        rig r = start();
        int32_t a = in_f32(&r, SHAPE(3, 11), x), out = qn_vk_f32(r.g, SHAPE(3, 11));
        QN_VK_CALL(r.g, cases[i].name, a, out);
        gives(&r, out, y);
    }
}

static void numbers_beside_the_operand(void **state)
{
    (void)state;
    const float *x = F(-3, -0.5f, 0, 0.5f, 3, 9);
    qn_shape s = SHAPE(6);
    rig r = start();
    int32_t y = qn_vk_f32(r.g, s);
    QN_VK_CALL(r.g, "aten.clamp.default", in_f32(&r, s, x), qn_vk_int(r.g, -1), qn_vk_null(r.g), y);
    gives(&r, y, F(-1, -0.5f, 0, 0.5f, 3, 9));
    r = start();
    y = qn_vk_f32(r.g, s);
    QN_VK_CALL(r.g, "aten.hardtanh.default", in_f32(&r, s, x), qn_vk_double(r.g, -2), qn_vk_int(r.g, 2), y);
    gives(&r, y, F(-2, -0.5f, 0, 0.5f, 2, 2));
    r = start();
    y = qn_vk_f32(r.g, s);
    QN_VK_CALL(r.g, "aten.leaky_relu.default", in_f32(&r, s, x), qn_vk_double(r.g, 0.5), y);
    gives(&r, y, F(-1.5f, -0.25f, 0, 0.5f, 3, 9));
    r = start();
    y = qn_vk_f32(r.g, s);
    int32_t two = qn_vk_int(r.g, 2), one = qn_vk_int(r.g, 1);
    QN_VK_CALL(r.g, "aten.elu.default", in_f32(&r, s, x), two, qn_vk_double(r.g, 0.5), one, y);
    gives(&r, y, F(-0.95021293f, -0.39346934f, 0, 0.25f, 1.5f, 4.5f));
    r = start();
    y = qn_vk_f32(r.g, s);
    QN_VK_CALL(r.g, "aten.pow.Tensor_Scalar", in_f32(&r, s, x), qn_vk_int(r.g, 3), y);
    gives(&r, y, F(-27, -0.125f, 0, 0.125f, 27, 729));
    r = start();
    y = qn_vk_f32(r.g, s);
    QN_VK_CALL(r.g, "aten.gelu.default", in_f32(&r, s, x), qn_vk_string(r.g, "tanh"), y);
    gives(&r, y, F(-0.00363739f, -0.15428599f, 0, 0.34571401f, 2.9963627f, 9));
}

static void negations(void **state)
{
    (void)state;
    rig r = start();
    int32_t y = qn_vk_tensor_of(r.g, QN_VK_BOOL, SHAPE(3));
    QN_VK_CALL(r.g, "aten.logical_not.default", in_f32(&r, SHAPE(3), F(0, 2, -1)), y);
    gives_bytes(&r, y, "\1\0\0", 3);
    r = start();
    y = qn_vk_tensor_of(r.g, QN_VK_BOOL, SHAPE(2));
    QN_VK_CALL(r.g, "aten.bitwise_not.default", input(&r, QN_VK_BOOL, SHAPE(2), "\1\0"), y); /* of truth values */
    gives_bytes(&r, y, "\0\1", 2);
    r = start();
    y = qn_vk_tensor_of(r.g, QN_VK_INT32, SHAPE(2));
    QN_VK_CALL(r.g, "aten.bitwise_not.default", in_i32(&r, SHAPE(2), (const int32_t[]){0, 5}), y);
    gives_bytes(&r, y, (const int32_t[]){-1, -6}, 8);
}

/* ---- two operands ---------------------------------------------------------------------------- */

static double add(double a, double b)
{
    return a + b;
}
static double sub(double a, double b)
{
    return a - b;
}
static double mul(double a, double b)
{
    return a * b;
}
static double quotient(double a, double b)
{
    return a / b;
}
static double floor_divide(double a, double b)
{
    return floor(a / b);
}
static double remainder_of(double a, double b)
{
    return a - b * floor(a / b);
}
static double equal(double a, double b)
{
    return a == b;
}
static double not_equal(double a, double b)
{
    return a != b;
}
static double less(double a, double b)
{
    return a < b;
}
static double less_equal(double a, double b)
{
    return a <= b;
}
static double greater(double a, double b)
{
    return a > b;
}
static double greater_equal(double a, double b)
{
    return a >= b;
}

typedef struct binary_case {
    const char *name; /* before .Tensor or .Scalar, or the whole of it */
    double (*f)(double, double);
    bool truth;
} binary_case;

static const binary_case arithmetic[] = {
    {"aten.add", add, false},      {"aten.sub", sub, false},     {"aten.mul", mul, false},
    {"aten.div", quotient, false}, {"aten.fmod", fmod, false},   {"aten.remainder", remainder_of, false},
    {"aten.eq", equal, true},      {"aten.ne", not_equal, true}, {"aten.lt", less, true},
    {"aten.le", less_equal, true}, {"aten.gt", greater, true},   {"aten.ge", greater_equal, true},
};
enum { N_ARITHMETIC = sizeof arithmetic / sizeof arithmetic[0] };

static const float left[] = {-7.5f, -2, 0.5f, 1, 3, 6}, right[] = {2, -2, 0.5f};

/* left [2, 3] with right [3], or with a number (2). */
static void check_binary(const char *name, const binary_case *b, bool scalar)
{
    float want[6];
    uint8_t truths[6];
    rig r = start();
    int32_t a = in_f32(&r, SHAPE(2, 3), left);
    int32_t other = scalar ? qn_vk_int(r.g, 2) : in_f32(&r, SHAPE(3), right);
    int32_t out = qn_vk_tensor_of(r.g, b->truth ? QN_VK_BOOL : QN_VK_FLOAT32, SHAPE(2, 3));
    for (size_t i = 0; i < 6; i++) {
        double y = b->f((double)left[i], scalar ? 2 : (double)right[i % 3]);
        want[i] = (float)y;
        truths[i] = (uint8_t)y;
    }
    QN_VK_CALL(r.g, name, a, other, out);
    if (b->truth)
        gives_bytes(&r, out, truths, 6);
    else
        gives(&r, out, want);
}

static void functions_of_two_operands(void **state)
{
    (void)state;
    char name[64];
    for (size_t i = 0; i < N_ARITHMETIC; i++) {
        snprintf(name, sizeof name, "%s.Tensor", arithmetic[i].name);
        check_binary(name, &arithmetic[i], false);
        snprintf(name, sizeof name, "%s.Scalar", arithmetic[i].name);
        check_binary(name, &arithmetic[i], true);
    }
    static const binary_case others[] = {{"aten.minimum.default", fmin, false},
                                         {"aten.maximum.default", fmax, false},
                                         {"aten.floor_divide.default", floor_divide, false}};
    for (size_t i = 0; i < 3; i++) check_binary(others[i].name, &others[i], false);
    rig r = start();
    int32_t y = qn_vk_f32(r.g, SHAPE(3)), a = in_f32(&r, SHAPE(3), F(2, 4, 9));
    QN_VK_CALL(r.g, "aten.pow.Tensor_Tensor", a, in_f32(&r, SHAPE(3), F(3, -1, 0.5f)), y);
    gives(&r, y, F(8, 0.25f, 3));
}

/* a + alpha b; alpha may be a Double, an Int, or absent, and a number may stand for b. */
static void sums_with_alpha(void **state)
{
    (void)state;
    const float *a = F(1, 2), *b = F(10, 20);
    rig r = start();
    int32_t x = in_f32(&r, SHAPE(2), a), y = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "aten.add.Tensor", x, in_f32(&r, SHAPE(2), b), qn_vk_double(r.g, 0.5), y);
    gives(&r, y, F(6, 12));
    r = start();
    x = in_f32(&r, SHAPE(2), a), y = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "aten.sub.Tensor", x, in_f32(&r, SHAPE(2), b), qn_vk_int(r.g, 2), y);
    gives(&r, y, F(-19, -38));
    r = start();
    x = in_f32(&r, SHAPE(2), a), y = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "aten.sub.Scalar", x, qn_vk_double(r.g, 1.5), qn_vk_int(r.g, 2), y);
    gives(&r, y, F(-2, -1));
    r = start();
    x = in_i32(&r, SHAPE(2), (const int32_t[]){1, 2}), y = qn_vk_tensor_of(r.g, QN_VK_INT32, SHAPE(2));
    QN_VK_CALL(r.g, "aten.add.Scalar", x, qn_vk_int(r.g, 5), qn_vk_int(r.g, 2), y);
    gives_bytes(&r, y, (const int32_t[]){11, 12}, 8);
}

static void quotients_with_a_rounding(void **state)
{
    (void)state;
    static const char *const names[] = {"aten.div.Tensor_mode", "aten.div.Scalar_mode"};
    for (int scalar = 0; scalar < 2; scalar++) {
        for (int mode = 0; mode < 3; mode++) {
            rig r = start();
            int32_t x = in_f32(&r, SHAPE(3), F(-7, 7, 8));
            int32_t by = scalar ? qn_vk_double(r.g, 2) : in_f32(&r, SHAPE(3), F(2, 2, 2));
            int32_t how = mode == 0   ? qn_vk_null(r.g)
                          : mode == 1 ? qn_vk_string(r.g, "trunc")
                                      : qn_vk_string(r.g, "floor");
            int32_t y = qn_vk_f32(r.g, SHAPE(3));
            QN_VK_CALL(r.g, names[scalar], x, by, how, y);
            gives(&r, y, mode == 0 ? F(-3.5f, 3.5f, 4) : mode == 1 ? F(-3, 3, 4) : F(-4, 3, 4));
        }
    }
}

static void truth_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } cases[] = {{"aten.logical_and.default", "\0\0\0\1"}, {"aten.logical_or.default", "\0\1\1\1"},
                 {"aten.logical_xor.default", "\0\1\1\0"}, {"aten.bitwise_and.Tensor", "\0\0\0\1"},
                 {"aten.bitwise_or.Tensor", "\0\1\1\1"},   {"aten.bitwise_xor.Tensor", "\0\1\1\0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r = start();
        int32_t a = input(&r, QN_VK_BOOL, SHAPE(4), "\0\0\1\1"), b = input(&r, QN_VK_BOOL, SHAPE(4), "\0\1\0\1");
        int32_t y = qn_vk_tensor_of(r.g, QN_VK_BOOL, SHAPE(4));
        QN_VK_CALL(r.g, cases[i].name, a, b, y);
        gives_bytes(&r, y, cases[i].want, 4);
    }
    rig r = start();
    int32_t c = input(&r, QN_VK_BOOL, SHAPE(2), "\1\0"), a = in_f32(&r, SHAPE(2), F(1, 2));
    int32_t y = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "aten.where.self", c, a, in_f32(&r, SHAPE(2), F(3, 4)), y);
    gives(&r, y, F(1, 4));
}

/* ---- conversions and filled tensors ---------------------------------------------------------- */

static void conversions(void **state)
{
    (void)state;
    static const char *const names[] = {"aten._to_copy.default", "dim_order_ops._to_dim_order_copy.default"};
    for (size_t i = 0; i < 2; i++) {
        rig r = start();
        int32_t y = qn_vk_tensor_of(r.g, QN_VK_INT32, SHAPE(3));
        QN_VK_CALL(r.g, names[i], in_f32(&r, SHAPE(3), F(-1.5f, 2.9f, 0)), y);
        gives_bytes(&r, y, (const int32_t[]){-1, 2, 0}, 12);
        r = start();
        y = qn_vk_tensor_of(r.g, QN_VK_BOOL, SHAPE(3));
        QN_VK_CALL(r.g, names[i], in_f32(&r, SHAPE(3), F(-1.5f, 0.25f, 0)), y);
        gives_bytes(&r, y, "\1\1\0", 3);
        r = start();
        y = qn_vk_f32(r.g, SHAPE(3));
        QN_VK_CALL(r.g, names[i], in_f32(&r, SHAPE(3), F(-1.5f, 0.25f, 0)), y);
        gives(&r, y, F(-1.5f, 0.25f, 0));
    }
}

static void filled_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool like, number;
        float want;
    } cases[] = {{"aten.full.default", false, true, 2.5f},    {"aten.zeros.default", false, false, 0},
                 {"aten.ones.default", false, false, 1},      {"aten.full_like.default", true, true, 2.5f},
                 {"aten.zeros_like.default", true, false, 0}, {"aten.ones_like.default", true, false, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r = start();
        float want[6];
        for (size_t k = 0; k < 6; k++) want[k] = cases[i].want;
        int32_t x = in_f32(&r, SHAPE(2, 3), left), y = qn_vk_f32(r.g, SHAPE(2, 3));
        int32_t first = cases[i].like ? x : QN_VK_INTS(r.g, 2, 3);
        if (cases[i].number)
            QN_VK_CALL(r.g, cases[i].name, first, qn_vk_double(r.g, 2.5), y);
        else
            QN_VK_CALL(r.g, cases[i].name, first, y);
        gives(&r, y, want);
    }
    rig r = start();
    int32_t y = qn_vk_f32(r.g, (qn_shape){.rank = 0});
    QN_VK_CALL(r.g, "aten.scalar_tensor.default", qn_vk_int(r.g, 7), y);
    gives(&r, y, F(7));
    r = start();
    y = qn_vk_tensor_of(r.g, QN_VK_INT32, SHAPE(3));
    QN_VK_CALL(r.g, "aten.arange.start_step", qn_vk_int(r.g, 3), qn_vk_int(r.g, 8), qn_vk_int(r.g, 2), y);
    gives_bytes(&r, y, (const int32_t[]){3, 5, 7}, 12);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void views(void **state)
{
    (void)state;
    rig r = start();
    int32_t y = qn_vk_f32(r.g, SHAPE(3, 2));
    QN_VK_CALL(r.g, "aten.view_copy.default", in_f32(&r, SHAPE(2, 3), left), QN_VK_INTS(r.g, -1, 2), y);
    gives(&r, y, left);
    static const char *const squeezes[] = {"aten.squeeze_copy.dim", "aten.squeeze_copy.dims"};
    for (size_t i = 0; i < 2; i++) {
        r = start();
        y = qn_vk_f32(r.g, SHAPE(2, 3));
        int32_t x = in_f32(&r, SHAPE(1, 2, 3), left), dim = i ? QN_VK_INTS(r.g, 0, 1) : qn_vk_int(r.g, -3);
        QN_VK_CALL(r.g, squeezes[i], x, dim, y);
        gives(&r, y, left);
    }
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 3, 1));
    QN_VK_CALL(r.g, "aten.unsqueeze_copy.default", in_f32(&r, SHAPE(2, 3), left), qn_vk_int(r.g, -1), y);
    gives(&r, y, left);
    static const char *const clones[] = {"aten.clone.default", "aten.alias_copy.default",
                                         "dim_order_ops._clone_dim_order.default"};
    for (size_t i = 0; i < 3; i++) {
        r = start();
        y = qn_vk_f32(r.g, SHAPE(2, 3));
        QN_VK_CALL(r.g, clones[i], in_f32(&r, SHAPE(2, 3), left), qn_vk_null(r.g), y);
        gives(&r, y, left);
    }
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2));
    int32_t c = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "et_vk.prepack.default", qn_vk_f32_constant(r.g, SHAPE(2), F(5, 6)), c);
    QN_VK_CALL(r.g, "aten.add.Tensor", c, in_f32(&r, SHAPE(2), F(1, 1)), y);
    gives(&r, y, F(6, 7));
}

/* ---- operators that move elements ------------------------------------------------------------ */

static void permutations(void **state)
{
    (void)state;
    const float *x = F(1, 2, 3, 4, 5, 6), *turned = F(1, 4, 2, 5, 3, 6);
    static const char *const permutes[] = {"aten.permute_copy.default", "aten.permute.default"};
    for (size_t i = 0; i < 2; i++) {
        rig r = start();
        int32_t y = qn_vk_f32(r.g, SHAPE(3, 2));
        QN_VK_CALL(r.g, permutes[i], in_f32(&r, SHAPE(2, 3), x), QN_VK_INTS(r.g, -1, 0), y);
        gives(&r, y, turned);
    }
    rig r = start();
    int32_t y = qn_vk_f32(r.g, SHAPE(3, 2));
    QN_VK_CALL(r.g, "aten.transpose_copy.int", in_f32(&r, SHAPE(2, 3), x), qn_vk_int(r.g, 0), qn_vk_int(r.g, -1), y);
    gives(&r, y, turned);
    r = start();
    y = qn_vk_f32(r.g, SHAPE(3, 2));
    QN_VK_CALL(r.g, "aten.t_copy.default", in_f32(&r, SHAPE(2, 3), x), y);
    gives(&r, y, turned);
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 3));
    QN_VK_CALL(r.g, "aten.flip.default", in_f32(&r, SHAPE(2, 3), x), QN_VK_INTS(r.g, 0, -1), y);
    gives(&r, y, F(6, 5, 4, 3, 2, 1));
}

static void pieces(void **state)
{
    (void)state;
    const float *x = F(1, 2, 3, 4, 5, 6, 7, 8);
    rig r = start();
    int32_t in = in_f32(&r, SHAPE(2, 4), x), y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten.slice_copy.Tensor", in, qn_vk_int(r.g, 1), qn_vk_int(r.g, -3), qn_vk_int(r.g, INT64_MAX),
               qn_vk_int(r.g, 2), y);
    gives(&r, y, F(2, 4, 6, 8));
    r = start();
    in = in_f32(&r, SHAPE(2, 4), x), y = qn_vk_f32(r.g, SHAPE(2));
    QN_VK_CALL(r.g, "aten.select_copy.int", in, qn_vk_int(r.g, -1), qn_vk_int(r.g, -2), y);
    gives(&r, y, F(3, 7));
    static const char *const splits[] = {"aten.split_with_sizes_copy.default", "aten.split_copy.Tensor"};
    for (size_t i = 0; i < 2; i++) {
        r = start();
        in = in_f32(&r, SHAPE(2, 4), x);
        int32_t a = qn_vk_f32(r.g, SHAPE(2, 3)), b = qn_vk_f32(r.g, SHAPE(2, 1));
        int32_t sizes = i ? qn_vk_int(r.g, 3) : QN_VK_INTS(r.g, 3, 1);
        QN_VK_CALL(r.g, splits[i], in, sizes, qn_vk_int(r.g, 1), QN_VK_LIST(r.g, a, b));
        gives(&r, b, F(4, 8));
    }
}

static void joined_and_repeated(void **state)
{
    (void)state;
    rig r = start();
    int32_t a = in_f32(&r, SHAPE(2, 1), F(1, 2)), b = in_f32(&r, SHAPE(2, 2), F(3, 4, 5, 6));
    int32_t y = qn_vk_f32(r.g, SHAPE(2, 3));
    QN_VK_CALL(r.g, "aten.cat.default", QN_VK_LIST(r.g, a, b), qn_vk_int(r.g, -1), y);
    gives(&r, y, F(1, 3, 4, 2, 5, 6));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 2, 2));
    QN_VK_CALL(r.g, "aten.expand_copy.default", in_f32(&r, SHAPE(2, 1), F(1, 2)), QN_VK_INTS(r.g, 2, -1, 2), y);
    gives(&r, y, F(1, 1, 2, 2, 1, 1, 2, 2));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 4));
    QN_VK_CALL(r.g, "aten.repeat.default", in_f32(&r, SHAPE(2), F(1, 2)), QN_VK_INTS(r.g, 2, 2), y);
    gives(&r, y, F(1, 2, 1, 2, 1, 2, 1, 2));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 3));
    QN_VK_CALL(r.g, "aten.constant_pad_nd.default", in_f32(&r, SHAPE(1, 2), F(1, 2)), QN_VK_INTS(r.g, 1, 0, 0, 1),
               qn_vk_int(r.g, 9), y);
    gives(&r, y, F(9, 1, 2, 9, 9, 9));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(1, 2, 2));
    QN_VK_CALL(r.g, "aten.pixel_shuffle.default", in_f32(&r, SHAPE(4, 1, 1), F(1, 2, 3, 4)), qn_vk_int(r.g, 2), y);
    gives(&r, y, F(1, 2, 3, 4));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(4, 1, 1));
    QN_VK_CALL(r.g, "aten.pixel_unshuffle.default", in_f32(&r, SHAPE(1, 2, 2), F(1, 2, 3, 4)), qn_vk_int(r.g, 2), y);
    gives(&r, y, F(1, 2, 3, 4));
}

/* ---- reductions ------------------------------------------------------------------------------ */

static void reductions(void **state)
{
    (void)state;
    const float *x = F(1, 5, 3, 4, 2, 9);
    static const struct {
        const char *name;
        float want[2];
    } cases[] = {{"aten.sum.dim_IntList", {9, 15}},
                 {"aten.mean.dim", {3, 5}},
                 {"aten.amax.default", {5, 9}},
                 {"aten.amin.default", {1, 2}}};
    for (size_t i = 0; i < 4; i++) {
        rig r = start();
        int32_t in = in_f32(&r, SHAPE(2, 3), x), y = qn_vk_f32(r.g, SHAPE(2, 1));
        if (i < 2)
            QN_VK_CALL(r.g, cases[i].name, in, QN_VK_INTS(r.g, -1), qn_vk_bool(r.g, true), qn_vk_null(r.g), y);
        else
            QN_VK_CALL(r.g, cases[i].name, in, QN_VK_INTS(r.g, 1), qn_vk_int(r.g, 1), y);
        gives(&r, y, cases[i].want);
    }
    static const char *const vars[] = {"aten.var.dim", "aten.var.correction"};
    for (size_t i = 0; i < 2; i++) { /* unbiased is a Bool, correction a number: 0 both */
        rig r = start();
        int32_t in = in_f32(&r, SHAPE(2, 3), x), y = qn_vk_f32(r.g, SHAPE(2));
        int32_t how = i ? qn_vk_int(r.g, 0) : qn_vk_bool(r.g, false);
        QN_VK_CALL(r.g, vars[i], in, QN_VK_INTS(r.g, 1), how, qn_vk_bool(r.g, false), y);
        gives(&r, y, F(8.0f / 3, 26.0f / 3));
    }
    static const char *const finds[] = {"aten.argmax.default", "aten.argmin.default"};
    static const int32_t places[][2] = {{1, 2}, {0, 1}};
    for (size_t i = 0; i < 2; i++) {
        rig r = start();
        int32_t in = in_f32(&r, SHAPE(2, 3), x), y = qn_vk_tensor_of(r.g, QN_VK_INT32, SHAPE(2));
        QN_VK_CALL(r.g, finds[i], in, qn_vk_int(r.g, -1), qn_vk_bool(r.g, false), y);
        gives_bytes(&r, y, places[i], 8);
    }
}

static void lines(void **state)
{
    (void)state;
    const float *x = F(0, 0.69314718f, 0, 0.69314718f); /* e^x: 1, 2 */
    rig r = start();
    int32_t in = in_f32(&r, SHAPE(2, 2), x), y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten._softmax.default", in, qn_vk_int(r.g, -1), qn_vk_bool(r.g, false), y);
    gives(&r, y, F(1.0f / 3, 2.0f / 3, 1.0f / 3, 2.0f / 3));
    r = start();
    in = in_f32(&r, SHAPE(2, 2), x), y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten._log_softmax.default", in, qn_vk_int(r.g, 1), qn_vk_bool(r.g, false), y);
    gives(&r, y, F(-1.0986123f, -0.40546511f, -1.0986123f, -0.40546511f));
    r = start();
    in = in_f32(&r, SHAPE(2, 2), F(1, 2, 3, 4)), y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten.cumsum.default", in, qn_vk_int(r.g, 0), y);
    gives(&r, y, F(1, 2, 4, 6));
}

static void norms(void **state)
{
    (void)state;
    rig r = start();
    int32_t x = in_f32(&r, SHAPE(1, 2), F(1, 3)), y = qn_vk_f32(r.g, SHAPE(1, 2));
    int32_t mean = qn_vk_f32(r.g, SHAPE(1, 1)), rstd = qn_vk_f32(r.g, SHAPE(1, 1));
    int32_t w = qn_vk_f32_constant(r.g, SHAPE(2), F(2, 4)), b = qn_vk_f32_constant(r.g, SHAPE(2), F(1, 1));
    QN_VK_CALL(r.g, "aten.native_layer_norm.default", x, QN_VK_INTS(r.g, 2), w, b, qn_vk_double(r.g, 0),
               QN_VK_LIST(r.g, y, mean, rstd));
    gives(&r, y, F(-1, 5));
    r = start();
    x = in_f32(&r, SHAPE(1, 2, 2), F(1, 3, 10, 10)), y = qn_vk_f32(r.g, SHAPE(1, 2, 2));
    mean = qn_vk_f32(r.g, SHAPE(1, 2)), rstd = qn_vk_f32(r.g, SHAPE(1, 2));
    int32_t none = qn_vk_null(r.g), two = qn_vk_int(r.g, 2);
    QN_VK_CALL(r.g, "aten.native_group_norm.default", x, none, none, qn_vk_int(r.g, 1), two, two, two,
               qn_vk_double(r.g, 1e-5), QN_VK_LIST(r.g, y, mean, rstd));
    gives(&r, mean, F(2, 10));
    r = start();
    y = qn_vk_f32(r.g, SHAPE(1, 2));
    QN_VK_CALL(r.g, "et_vk.rms_norm.default", in_f32(&r, SHAPE(1, 2), F(3, 4)),
               qn_vk_f32_constant(r.g, SHAPE(2), F(1, 2)), qn_vk_int(r.g, 0), y);
    gives(&r, y, F(0.84852814f, 2.2627417f));
}

/* ---- products -------------------------------------------------------------------------------- */

static void products(void **state)
{
    (void)state;
    const float *a = F(1, 2, 3, 4), *b = F(5, 6, 7, 8), *ab = F(19, 22, 43, 50);
    for (int constant = 0; constant < 2; constant++) {
        rig r = start();
        int32_t x = in_f32(&r, SHAPE(2, 2), a), y = qn_vk_f32(r.g, SHAPE(2, 2));
        int32_t w = constant ? qn_vk_f32_constant(r.g, SHAPE(2, 2), b) : in_f32(&r, SHAPE(2, 2), b);
        QN_VK_CALL(r.g, "aten.mm.default", x, w, y);
        gives(&r, y, ab);
        r = start();
        x = in_f32(&r, SHAPE(2, 2), a), y = qn_vk_f32(r.g, SHAPE(2, 2));
        w = constant ? qn_vk_f32_constant(r.g, SHAPE(2, 2), b) : in_f32(&r, SHAPE(2, 2), b);
        int32_t bias = qn_vk_f32_constant(r.g, SHAPE(2), F(1, -1));
        QN_VK_CALL(r.g, "aten.addmm.default", bias, x, w, qn_vk_int(r.g, 2), qn_vk_double(r.g, 0.5), y);
        gives(&r, y, F(11.5f, 9, 23.5f, 23));
    }
    rig r = start();
    int32_t x = in_f32(&r, SHAPE(1, 2, 2), a), y = qn_vk_f32(r.g, SHAPE(1, 2, 2));
    QN_VK_CALL(r.g, "aten.bmm.default", x, in_f32(&r, SHAPE(1, 2, 2), b), y);
    gives(&r, y, ab);
    r = start();
    y = qn_vk_f32(r.g, SHAPE(2, 1));
    QN_VK_CALL(r.g, "aten.linear.default", in_f32(&r, SHAPE(2, 2), a), qn_vk_f32_constant(r.g, SHAPE(1, 2), F(1, 10)),
               qn_vk_f32_constant(r.g, SHAPE(1), F(100)), y);
    gives(&r, y, F(121, 143));
    r = start(); /* one key: its value is the answer */
    x = in_f32(&r, SHAPE(1, 1, 1, 2), a), y = qn_vk_f32(r.g, SHAPE(1, 1, 1, 2));
    QN_VK_CALL(r.g, "et_vk.sdpa.default", x, in_f32(&r, SHAPE(1, 1, 1, 2), b), in_f32(&r, SHAPE(1, 1, 1, 2), F(8, 9)),
               qn_vk_null(r.g), qn_vk_null(r.g), y);
    gives(&r, y, F(8, 9));
}

/* ---- lookups --------------------------------------------------------------------------------- */

static void lookups(void **state)
{
    (void)state;
    const float *table = F(1, 2, 3, 4, 5, 6);
    const int32_t ids[] = {2, 0};
    rig r = start();
    int32_t y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten.embedding.default", qn_vk_f32_constant(r.g, SHAPE(3, 2), table), in_i32(&r, SHAPE(2), ids),
               y);
    gives(&r, y, F(5, 6, 1, 2));
    r = start();
    int32_t x = in_f32(&r, SHAPE(2, 3), table);
    y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten.index_select.default", x, qn_vk_int(r.g, -1), in_i32(&r, SHAPE(2), ids), y);
    gives(&r, y, F(3, 1, 6, 4));
    r = start();
    x = in_f32(&r, SHAPE(3, 2), table);
    y = qn_vk_f32(r.g, SHAPE(2, 2));
    QN_VK_CALL(r.g, "aten.index.Tensor", x,
               QN_VK_LIST(r.g, in_i32(&r, SHAPE(2), (const int32_t[]){-1, 1}), qn_vk_null(r.g)), y);
    gives(&r, y, F(5, 6, 3, 4));
    r = start();
    x = in_f32(&r, SHAPE(3, 2), table);
    y = qn_vk_f32(r.g, SHAPE(1, 2));
    QN_VK_CALL(r.g, "aten.gather.default", x, qn_vk_int(r.g, 0), in_i32(&r, SHAPE(1, 2), ids), y);
    gives(&r, y, F(5, 2));
}

/* ---- language models ------------------------------------------------------------------------- */

static void rotary_embeddings(void **state)
{
    (void)state;
    /* a quarter turn takes (1, 2) to (-2, 1) */
    rig r = start();
    int32_t q = in_f32(&r, SHAPE(1, 1, 1, 2), F(1, 2)), k = in_f32(&r, SHAPE(1, 1, 1, 2), F(3, 4));
    int32_t cosine = in_f32(&r, SHAPE(1, 1), F(0)), sine = in_f32(&r, SHAPE(1, 1), F(1));
    int32_t yq = qn_vk_f32(r.g, SHAPE(1, 1, 1, 2)), yk = qn_vk_f32(r.g, SHAPE(1, 1, 1, 2));
    QN_VK_CALL(r.g, "et_vk.apply_rotary_emb.default", q, k, cosine, sine, QN_VK_LIST(r.g, yq, yk));
    gives(&r, yk, F(-4, 3));
    r = start(); /* row 1 of tables with both halves */
    q = in_f32(&r, SHAPE(1, 1, 1, 2), F(1, 2)), k = in_f32(&r, SHAPE(1, 1, 1, 2), F(3, 4));
    cosine = in_f32(&r, SHAPE(2, 2), F(1, 1, 0, 0)), sine = in_f32(&r, SHAPE(2, 2), F(0, 0, 1, 1));
    yq = qn_vk_f32(r.g, SHAPE(1, 1, 1, 2)), yk = qn_vk_f32(r.g, SHAPE(1, 1, 1, 2));
    QN_VK_CALL(r.g, "et_vk.apply_rotary_emb_hf.default", q, k, cosine, sine, qn_vk_int(r.g, 1),
               QN_VK_LIST(r.g, yq, yk));
    gives(&r, yq, F(-2, 1));
}

/* The cache is a constant that an operator writes: a state. */
static void caches(void **state)
{
    (void)state;
    rig r = start();
    int32_t x = in_f32(&r, SHAPE(1, 1, 1, 4), F(1, 2, 3, 4)), y = qn_vk_f32(r.g, SHAPE(1, 2, 1, 4));
    int32_t cache = qn_vk_f32(r.g, SHAPE(1, 2, 1, 4)), dummy = qn_vk_f32(r.g, SHAPE(1));
    int32_t first = qn_vk_f32_constant(r.g, SHAPE(1, 2, 1, 4), F(9, 9, 9, 9, 0, 0, 0, 0));
    QN_VK_CALL(r.g, "et_vk.prepack.default", first, cache);
    QN_VK_CALL(r.g, "update_cache.default", x, cache, qn_vk_int(r.g, 1), dummy);
    QN_VK_CALL(r.g, "aten.mul.Scalar", cache, qn_vk_int(r.g, 2), y);
    gives(&r, y, F(18, 18, 18, 18, 2, 4, 6, 8));
}

/* Sizes and positions that a call computes on the host. */
static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t want; /* of 7 and the size 3 */
    } cases[] = {{"add", 10}, {"sub", 4}, {"mul", 21}, {"floordiv", 2}};
    for (size_t i = 0; i < 4; i++) {
        rig r = start();
        float want[21];
        for (uint32_t k = 0; k < 21; k++) want[k] = (float)k;
        int32_t x = in_f32(&r, SHAPE(3), left), at = in_i32(&r, SHAPE(1), (const int32_t[]){7});
        int32_t size = qn_vk_symint(r.g), number = qn_vk_symint(r.g), n = qn_vk_symint(r.g);
        int32_t y = qn_vk_f32(r.g, SHAPE(21));
        QN_VK_CALL(r.g, "sym_size.int", x, qn_vk_int(r.g, -1), size);
        QN_VK_CALL(r.g, "et_vk.select_as_symint.default", at, qn_vk_int(r.g, 0), qn_vk_int(r.g, -1), number);
        QN_VK_CALL(r.g, cases[i].name, number, size, n);
        QN_VK_CALL(r.g, "aten.arange.start_step", qn_vk_int(r.g, 0), n, qn_vk_int(r.g, 1), y);
        qn_test_program t = run(&r, y);
        qn_test_output_f32(t.p, 0, qn_shape_1(cases[i].want), want, (qn_tolerance){0, 0});
        qn_test_program_close(&t);
    }
}

/* ---- the rule -------------------------------------------------------------------------------- */

/* program.goldens executes them. */
static void note_exports(void)
{
    DIR *folder = opendir(QN_SOURCE_DIR "/tests/data/executorch");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        char path[512];
        qn_program *p;
        snprintf(path, sizeof path, QN_SOURCE_DIR "/tests/data/executorch/%s/model.pte", e->d_name);
        FILE *f = fopen(path, "rb");
        if (!f) continue;
        fclose(f);
        qn_assert_ok(qn_program_read(NULL, path, NULL, &p));
        note(p);
        qn_program_close(p);
    }
    closedir(folder);
}

static void every_row_is_executed(void **state)
{
    (void)state;
    size_t wrong = 0;
    note_exports();
    for (size_t i = 0; i < N_ROWS; i++) {
        if (executed[i]) continue;
        print_error("%s: neither a test here nor a committed export has it\n", rows[i]);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_one_operand),
        cmocka_unit_test(numbers_beside_the_operand),
        cmocka_unit_test(negations),
        cmocka_unit_test(functions_of_two_operands),
        cmocka_unit_test(sums_with_alpha),
        cmocka_unit_test(quotients_with_a_rounding),
        cmocka_unit_test(truth_values),
        cmocka_unit_test(conversions),
        cmocka_unit_test(filled_tensors),
        cmocka_unit_test(views),
        cmocka_unit_test(permutations),
        cmocka_unit_test(pieces),
        cmocka_unit_test(joined_and_repeated),
        cmocka_unit_test(reductions),
        cmocka_unit_test(lines),
        cmocka_unit_test(norms),
        cmocka_unit_test(products),
        cmocka_unit_test(lookups),
        cmocka_unit_test(rotary_embeddings),
        cmocka_unit_test(caches),
        cmocka_unit_test(integers),
        cmocka_unit_test(every_row_is_executed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
