/* case_build.c - a case's operation as a graph. */
#include "case.h"

#include <string.h>

typedef struct builder {
    const qn_case *c;
    qn_engine *engine;
    qn_case_graph *g;
    bool refused;
} builder;

static const char input_pos[] = "input_pos";

/* ---- parts ----------------------------------------------------------------------------------- */

/* A mistake in the case file, which no "reject" asks for. */
static qn_status mistake(const char *format, const char *name)
{
    return qn_cli_fail(QN_ERR_FORMAT, format, name);
}

static qn_status refuse(builder *b, qn_status s)
{
    b->refused = s.code != QN_OK;
    return s;
}

static void add_value(qn_case_values *v, const char *name, qn_value value)
{
    v->names[v->n] = name; /* no operation has more than QN_CASE_SLOTS */
    v->values[v->n++] = value;
}

qn_value qn_case_value(const qn_case_values *values, const char *name)
{
    for (size_t i = 0; i < values->n; i++)
        if (strcmp(values->names[i], name) == 0) return values->values[i];
    return 0;
}

static qn_status add_input(builder *b, const char *name, qn_value *value, qn_shape *shape)
{
    const qn_case_array *a = qn_case_find(&b->c->max_shapes, name);
    if (!a) return mistake("max_shapes has no \"%s\"", name);
    *value = qn_graph_input(b->g->graph, a->name, QN_F32, a->shape);
    if (shape) *shape = a->shape;
    add_value(&b->g->inputs, a->name, *value);
    return qn_cli_ok();
}

static qn_status add_state(builder *b, const char *name, qn_value *value, qn_shape *shape)
{
    const qn_case_array *a = qn_case_find(&b->c->states, name);
    if (!a) return mistake("states has no \"%s\"", name);
    if (a->dtype != QN_CASE_F32) return mistake("state %s is not f32", name);
    *value = qn_graph_state(b->g->graph, a->name, QN_F32, a->shape);
    *shape = a->shape;
    add_value(&b->g->states, a->name, *value);
    return qn_cli_ok();
}

static void add_output(builder *b, const char *name, qn_value value)
{
    qn_graph_output(b->g->graph, value, name);
    add_value(&b->g->outputs, name, value);
}

static qn_status find_weight(const builder *b, const char *name, qn_case_dtype dtype, const qn_case_array **a)
{
    *a = qn_case_find(&b->c->weights, name);
    if (!*a) return mistake("weights has no \"%s\"", name);
    if ((*a)->dtype != dtype) return mistake("weight %s has another dtype than its operation needs", name);
    return qn_cli_ok();
}

static qn_status add_weight(builder *b, const qn_weight_desc *desc, qn_value *value)
{
    qn_case_graph *g = b->g;
    QN_CLI_TRY(refuse(b, qn_weight_create(b->engine, desc, &g->weights[g->n_weights])));
    *value = qn_graph_weight(g->graph, g->weights[g->n_weights++]);
    return qn_cli_ok();
}

static qn_status add_vector(builder *b, const char *name, qn_value *value)
{
    const qn_case_array *a = NULL;
    QN_CLI_TRY(find_weight(b, name, QN_CASE_F32, &a));
    const qn_weight_desc desc = {.name = a->name, .kind = QN_WEIGHT_F32, .shape = a->shape, .data = a->data};
    return add_weight(b, &desc, value);
}

static qn_status read_attr(const builder *b, const char *name, double *number)
{
    const json_t *v = json_object_get(b->c->attrs, name);
    if (!json_is_number(v)) return mistake("attrs has no number \"%s\"", name);
    *number = json_number_value(v);
    return qn_cli_ok();
}

static uint32_t dim_or_0(const qn_shape *shape, uint32_t i)
{
    return i < shape->rank ? shape->dim[i] : 0;
}

static qn_status wrong_shape(builder *b, const qn_case_array *a, const char *needs)
{
    char text[128];
    return refuse(b, qn_cli_fail(QN_ERR_ARGUMENT, "%s has the shape %s; it needs %s", a->name,
                                 qn_cli_shape(&a->shape, text), needs));
}

/* ---- operations ------------------------------------------------------------------------------ */

/* y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]); w u8 [N, ceil(K/2)], scales f32 [ceil(K/group), N]. */
static qn_status build_linear(builder *b)
{
    const qn_case_array *w = NULL, *scales = NULL;
    qn_value x = 0, weight = 0, bias = 0;
    qn_shape shape = {0};
    double group = 0;
    QN_CLI_TRY(read_attr(b, "group_size", &group));
    QN_CLI_TRY(find_weight(b, "w", QN_CASE_U8, &w));
    QN_CLI_TRY(find_weight(b, "scales", QN_CASE_F32, &scales));
    QN_CLI_TRY(add_input(b, "x", &x, &shape));
    if (!(group >= 1 && group <= INT32_MAX) || group != (double)(uint32_t)group)
        return refuse(b, qn_cli_fail(QN_ERR_ARGUMENT, "group_size %g is not a positive whole number", group));
    if (w->shape.rank != 2 || w->shape.dim[0] == 0) return wrong_shape(b, w, "[N, ceil(K/2)]");
    uint32_t n = w->shape.dim[0], k = shape.rank ? shape.dim[shape.rank - 1] : 0, g = (uint32_t)group;
    if (w->shape.dim[1] != k / 2 + k % 2) k = 2 * w->shape.dim[1]; /* the operation refuses that x */
    if (scales->shape.rank != 2 || scales->shape.dim[0] != k / g + (k % g != 0) || scales->shape.dim[1] != n)
        return wrong_shape(b, scales, "[ceil(K/group_size), N]");
    const qn_weight_desc desc = {.name = "w",
                                 .kind = QN_WEIGHT_Q4,
                                 .matrix = true,
                                 .shape = qn_shape_2(n, k),
                                 .group = g,
                                 .data = w->data,
                                 .scales = scales->data};
    QN_CLI_TRY(add_weight(b, &desc, &weight));
    if (json_is_true(json_object_get(b->c->attrs, "bias"))) QN_CLI_TRY(add_vector(b, "bias", &bias));
    add_output(b, "y", qn_linear(b->g->graph, x, weight, bias));
    return qn_cli_ok();
}

static qn_status build_sdpa(builder *b)
{
    qn_value q = 0, k = 0, v = 0, k_cache = 0, v_cache = 0;
    qn_shape cache;
    const json_t *causal = json_object_get(b->c->attrs, "causal");
    if (causal && !json_is_true(causal)) return mistake("attrs: %s must be true", "causal");
    QN_CLI_TRY(add_input(b, "q", &q, NULL));
    QN_CLI_TRY(add_input(b, "k", &k, NULL));
    QN_CLI_TRY(add_input(b, "v", &v, NULL));
    QN_CLI_TRY(add_state(b, "v_cache", &v_cache, &cache));
    QN_CLI_TRY(add_state(b, "k_cache", &k_cache, &cache));
    /* Any position is let through to the operation, which has to refuse those past the cache by itself. */
    qn_value pos = qn_graph_int(b->g->graph, input_pos, INT32_MAX);
    add_value(&b->g->integers, input_pos, pos);
    const qn_sdpa_options options = {.scale = 0};
    add_output(b, "o", qn_sdpa_with_kv_cache(b->g->graph, q, k, v, k_cache, v_cache, pos, &options));
    return qn_cli_ok();
}

static qn_status build_rms_norm(builder *b)
{
    qn_value x = 0, w = 0;
    double eps = 0;
    QN_CLI_TRY(read_attr(b, "eps", &eps));
    QN_CLI_TRY(add_input(b, "x", &x, NULL));
    QN_CLI_TRY(add_vector(b, "w", &w));
    add_output(b, "y", qn_rms_norm(b->g->graph, x, w, (float)eps));
    return qn_cli_ok();
}

/* Positions that the accepted calls reach; at least one. */
static uint64_t rope_positions(const qn_case *c)
{
    uint64_t n = 1;
    for (size_t i = 0; i < c->n_calls; i++) {
        const qn_case_call *call = &c->calls[i];
        const qn_case_array *x = qn_case_find(&call->inputs, "x");
        if (call->reject || !x) continue;
        for (size_t k = 0; k < call->n_integers; k++) {
            const qn_case_integer *pos = &call->integers[k];
            if (strcmp(pos->name, input_pos) != 0 || pos->value < 0) continue;
            uint64_t end = (uint64_t)pos->value + dim_or_0(&x->shape, 1);
            if (end > n) n = end;
        }
    }
    return n;
}

static qn_status build_rope(builder *b)
{
    enum { MOST_POSITIONS = 1 << 22 };
    qn_value x = 0;
    qn_shape shape = {0};
    double base = 0;
    QN_CLI_TRY(read_attr(b, "freq_base", &base));
    const char *mode = json_string_value(json_object_get(b->c->attrs, "mode"));
    bool half = mode && strcmp(mode, "half") == 0;
    if (!half && !(mode && strcmp(mode, "interleaved") == 0))
        return mistake("attrs: %s is neither \"interleaved\" nor \"half\"", "mode");
    QN_CLI_TRY(add_input(b, "x", &x, &shape));
    uint64_t n = rope_positions(b->c);
    if (n > MOST_POSITIONS) return mistake("%s passes 4194304, the most that a case may use", input_pos);
    const qn_rope_table_options options = {
        .head_dim = shape.rank ? shape.dim[shape.rank - 1] : 0, .n_positions = (uint32_t)n, .freq_base = base};
    qn_value table = qn_rope_table(b->g->graph, &options);
    qn_value pos = qn_graph_int(b->g->graph, input_pos, (uint32_t)n);
    add_value(&b->g->integers, input_pos, pos);
    add_output(b, "y", qn_rope(b->g->graph, x, table, pos, half ? QN_ROPE_HALF : QN_ROPE_INTERLEAVED));
    return qn_cli_ok();
}

static const struct {
    const char *name;
    qn_status (*build)(builder *b);
} ops[] = {{"linear_q4gsw", build_linear},
           {"sdpa_with_kv_cache", build_sdpa},
           {"rms_norm", build_rms_norm},
           {"rope", build_rope}};

static qn_status build_op(builder *b)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].name, b->c->op) == 0) return ops[i].build(b);
    return mistake("the operation \"%s\" is not known; known are linear_q4gsw, sdpa_with_kv_cache, rms_norm, rope",
                   b->c->op);
}

qn_status qn_case_build(const qn_case *c, qn_engine *engine, qn_precision precision, qn_case_graph *g, bool *refused)
{
    *g = (qn_case_graph){.graph = NULL};
    *refused = false;
    QN_CLI_TRY(qn_graph_open(engine, &g->graph));
    qn_graph_set_precision(g->graph, precision);
    builder b = {.c = c, .engine = engine, .g = g};
    qn_status s = build_op(&b);
    *refused = b.refused;
    if (s.code != QN_OK) return s;
    s = qn_graph_build(g->graph);
    *refused = s.code != QN_OK;
    return s;
}

void qn_case_close(qn_case_graph *g)
{
    if (g->graph) qn_graph_close(g->graph);
    for (size_t i = 0; i < g->n_weights; i++) qn_weight_free(g->weights[i]);
    *g = (qn_case_graph){.graph = NULL};
}
