/* nodes_elementwise.c - the functions of quern_graph.h that add an elementwise node, but for qn_silu_mul. */
#include "graph/graph.h"

#include <math.h>

static const struct {
    qn_op op;
    uint32_t arity;
} functions[QN_FN_COUNT] = {
#define QN_FUNCTION(ID, name, arity, result, f32, i32, c) [QN_FN_##ID] = {QN_OP_##ID, arity},
#include "ops/functions.def"
#undef QN_FUNCTION
};

/* A node of f on its tensors; with `number`, s is the last operand. */
static qn_value add_function(qn_graph *g, qn_function f, const qn_value *in, uint32_t n, bool number, double s,
                             double t)
{
    if (f <= 0 || f >= QN_FN_COUNT || functions[f].arity != n + (number ? 1 : 0)) {
        const char *name = f > 0 && f < QN_FN_COUNT ? qn_ops[functions[f].op].name : "unknown";
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "function %d (%s) does not take %u operands", (int)f, name,
                                   n + (number ? 1 : 0)));
        return 0;
    }
    qn_node_desc d = {.op = functions[f].op, .inputs = in, .n_inputs = n};
    d.attrs.function.number = number;
    d.attrs.function.s = s;
    d.attrs.function.t = t;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_unary(qn_graph *g, qn_function f, qn_value x, double s, double t)
{
    return add_function(g, f, &x, 1, false, s, t);
}

qn_value qn_binary(qn_graph *g, qn_function f, qn_value x, qn_value y)
{
    const qn_value in[] = {x, y};
    double scale = f == QN_FN_ADD_SCALED ? 1.0 : 0.0;
    return add_function(g, f, in, 2, false, scale, 0.0);
}

qn_value qn_add(qn_graph *g, qn_value a, qn_value b)
{
    return qn_binary(g, QN_FN_ADD, a, b);
}

qn_value qn_mul(qn_graph *g, qn_value a, qn_value b)
{
    return qn_binary(g, QN_FN_MUL, a, b);
}

qn_value qn_silu(qn_graph *g, qn_value x)
{
    return qn_unary(g, QN_FN_SILU, x, 0, 0);
}

/* x^number: the powers that have an exact form, or one by products, take it. */
static qn_value add_power(qn_graph *g, qn_value x, double number)
{
    enum { MOST_PRODUCTS = 64 }; /* beyond, the errors of the products exceed those of exp2 and log2 */
    static const struct {
        double number;
        qn_function f;
    } exact[] = {
        {1.0, QN_FN_COPY}, {2.0, QN_FN_SQUARE}, {0.5, QN_FN_SQRT}, {-0.5, QN_FN_RSQRT}, {-1.0, QN_FN_RECIPROCAL}};
    bool i32 = x && x < g->n_values && qn_graph_tensor(g, x)->dtype == QN_I32;
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        if (exact[i].number == number && !(i32 && number < 1.0)) return qn_unary(g, exact[i].f, x, 0.0, 0.0);
    if (!i32 && number == trunc(number) && fabs(number) <= MOST_PRODUCTS)
        return qn_unary(g, QN_FN_POW_WHOLE, x, number, 0.0);
    return add_function(g, QN_FN_POW, &x, 1, true, number, 0.0);
}

qn_value qn_binary_scalar(qn_graph *g, qn_function f, qn_value x, double number)
{
    if (f == QN_FN_POW) return add_power(g, x, number);
    if (f == QN_FN_ADD_SCALED) f = QN_FN_ADD;
    return add_function(g, f, &x, 1, true, number, 0.0);
}

qn_value qn_add_scaled(qn_graph *g, qn_value x, qn_value y, double alpha)
{
    const qn_value in[] = {x, y};
    if (alpha == 1.0) return qn_binary(g, QN_FN_ADD, x, y);
    if (alpha == -1.0) return qn_binary(g, QN_FN_SUB, x, y);
    return add_function(g, QN_FN_ADD_SCALED, in, 2, false, alpha, 0.0);
}

qn_value qn_where(qn_graph *g, qn_value condition, qn_value x, qn_value y)
{
    const qn_value in[] = {condition, x, y};
    return add_function(g, QN_FN_WHERE, in, 3, false, 0.0, 0.0);
}

qn_value qn_convert(qn_graph *g, qn_value x, qn_dtype dtype)
{
    bool same = x && x < g->n_values && qn_graph_tensor(g, x)->dtype == dtype;
    return qn_unary(g, same ? QN_FN_COPY : dtype == QN_F32 ? QN_FN_TO_F32 : QN_FN_TO_I32, x, 0.0, 0.0);
}

qn_value qn_copy(qn_graph *g, qn_value x)
{
    return qn_unary(g, QN_FN_COPY, x, 0.0, 0.0);
}

/* ---- full ------------------------------------------------------------------------------------ */

static qn_value add_full(qn_graph *g, qn_dtype dtype, double start, double step, qn_shape shape, const qn_value *sizes)
{
    qn_value in[QN_MAX_INPUTS] = {0};
    qn_node_desc d = {.op = QN_OP_FULL, .inputs = in};
    d.attrs.full.dtype = dtype;
    d.attrs.full.start = start;
    d.attrs.full.step = step;
    d.attrs.full.shape = shape;
    for (uint32_t i = 0; sizes && i < shape.rank && i < QN_MAX_RANK; i++) {
        if (!sizes[i]) continue;
        d.attrs.full.computed |= (uint8_t)(1u << i);
        d.integers |= 1u << d.n_inputs;
        in[d.n_inputs++] = sizes[i];
    }
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_full_like(qn_graph *g, qn_value x, qn_dtype dtype, double number)
{
    qn_node_desc d = {.op = QN_OP_FULL, .inputs = &x, .n_inputs = 1};
    d.attrs.full.dtype = dtype;
    d.attrs.full.start = number;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_full(qn_graph *g, qn_dtype dtype, double number, qn_shape max_shape, const qn_value *sizes)
{
    return add_full(g, dtype, number, 0.0, max_shape, sizes);
}

qn_value qn_arange(qn_graph *g, qn_dtype dtype, double start, double step, uint32_t max_n, qn_value n)
{
    return add_full(g, dtype, start, step, qn_shape_1(max_n), &n);
}
