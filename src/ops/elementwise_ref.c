#include "ops/elementwise_ref.h"

#include <math.h>

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

static double bound(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double to_integer(double x)
{
    return x != x ? 0.0 : trunc(bound(x, INT32_MIN, INT32_MAX));
}

static double modulo_floor(double x, double d)
{
    double m = fmod(x, d);
    return m != 0 && (m < 0) != (d < 0) ? m + d : m;
}

static double shift_left(double x, double n)
{
    return n < 0 || n > 31 ? 0 : (double)(int32_t)((uint32_t)(int32_t)x << (uint32_t)n);
}

static double shift_right(double x, double n)
{
    return floor(ldexp(x, n < 0 || n > 31 ? -31 : -(int)n));
}

typedef double (*function)(double a, double b, double c, double s, double t);

#define QN_FUNCTION(ID, name, arity, result, f32, i32, expression)                                                     \
    static double function_##ID(double a, double b, double c, double s, double t)                                      \
    {                                                                                                                  \
        (void)a, (void)b, (void)c, (void)s, (void)t;                                                                   \
        return expression;                                                                                             \
    }
#include "ops/functions.def"
#undef QN_FUNCTION

static const function functions[QN_OP_COUNT] = {
#define QN_FUNCTION(ID, name, arity, result, f32, i32, expression) [QN_OP_##ID] = function_##ID,
#include "ops/functions.def"
#undef QN_FUNCTION
};

double qn_function_ref(qn_op f, double a, double b, double c, double s, double t)
{
    return functions[f](a, b, c, s, t);
}

/* The operand's element for element i of the shape out. */
static double element(const qn_operand_ref *x, const qn_shape *out, uint64_t i)
{
    if (!x->data) return 0.0;
    uint64_t at = 0, stride = 1;
    for (uint32_t back = 1; back <= x->shape.rank; back++) {
        uint32_t size = out->dim[out->rank - back], own = x->shape.dim[x->shape.rank - back];
        at += (own == 1 ? 0 : i % size) * stride;
        stride *= own;
        i /= size;
    }
    return x->data[at];
}

void qn_broadcast_ref(qn_op f, const qn_operand_ref operands[3], double s, double t, qn_shape out, double *y)
{
    uint64_t n = qn_shape_count(&out);
    for (uint64_t i = 0; i < n; i++)
        y[i] = qn_function_ref(f, element(&operands[0], &out, i), element(&operands[1], &out, i),
                               element(&operands[2], &out, i), s, t);
}
