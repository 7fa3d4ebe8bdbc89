/* nodes.c - the functions of quern_graph.h that add a node, one for each op. */
#include "graph/graph.h"

static const char *weight_name(const qn_graph *g, qn_value w)
{
    return w && w < g->n_values ? qn_graph_tensor(g, w)->name : NULL;
}

qn_value qn_linear(qn_graph *g, qn_value x, qn_value w, qn_value bias)
{
    return qn_linear_with(g, &(qn_linear_options){.x = x, .w = w, .bias = bias});
}

qn_value qn_linear_with(qn_graph *g, const qn_linear_options *o)
{
    qn_value in[] = {o->x, o->w, o->bias, o->norm, o->residual};
    qn_node_desc d = {
        .op = QN_OP_LINEAR, .inputs = in, .n_inputs = 5, .optional = 4 | 8 | 16, .name = weight_name(g, o->w)};
    d.attrs.linear.eps = o->eps;
    d.attrs.linear.gated = o->gated;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_embedding(qn_graph *g, qn_value w, qn_value ids)
{
    qn_value in[] = {w, ids};
    return qn_graph_add_node(
        g, &(qn_node_desc){.op = QN_OP_EMBEDDING, .inputs = in, .n_inputs = 2, .name = weight_name(g, w)}, NULL);
}

qn_value qn_rms_norm(qn_graph *g, qn_value x, qn_value w, float eps)
{
    qn_value in[] = {x, w};
    qn_node_desc d = {.op = QN_OP_RMS_NORM, .inputs = in, .n_inputs = 2, .name = weight_name(g, w)};
    d.attrs.norm.eps = eps;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_rope(qn_graph *g, qn_value x, qn_value table, qn_value pos, qn_rope_mode mode)
{
    qn_value in[] = {x, table, pos};
    qn_node_desc d = {.op = QN_OP_ROPE, .inputs = in, .n_inputs = 3, .integers = 4};
    d.attrs.rope.mode = mode;
    return qn_graph_add_node(g, &d, NULL);
}

void qn_update_cache(qn_graph *g, qn_value x, qn_value cache, qn_value pos)
{
    qn_value in[] = {x, cache, pos};
    qn_graph_add_node(g,
                      &(qn_node_desc){.op = QN_OP_UPDATE_CACHE,
                                      .inputs = in,
                                      .n_inputs = 3,
                                      .integers = 4,
                                      .no_output = true,
                                      .name = weight_name(g, cache)},
                      NULL);
}

qn_value qn_sdpa_with_kv_cache(qn_graph *g, qn_value q, qn_value k, qn_value v, qn_value k_cache, qn_value v_cache,
                               qn_value pos, const qn_sdpa_options *options)
{
    qn_value in[] = {q, k, v, k_cache, v_cache, pos};
    qn_node_desc d = {
        .op = QN_OP_SDPA, .inputs = in, .n_inputs = 6, .integers = 1 << 5, .name = weight_name(g, k_cache)};
    d.attrs.sdpa.scale = options ? options->scale : 0.0f;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_rope_append(qn_graph *g, const qn_rope_append_options *o)
{
    qn_value in[] = {o->qkv, o->table, o->k_cache, o->v_cache, o->pos};
    qn_node_desc d = {
        .op = QN_OP_ROPE_APPEND, .inputs = in, .n_inputs = 5, .integers = 1 << 4, .name = weight_name(g, o->k_cache)};
    d.attrs.rope.mode = o->mode;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_attend(qn_graph *g, const qn_attend_options *o)
{
    qn_value in[] = {o->q, o->k_cache, o->v_cache, o->pos};
    qn_node_desc d = {
        .op = QN_OP_ATTEND, .inputs = in, .n_inputs = 4, .integers = 1 << 3, .name = weight_name(g, o->k_cache)};
    d.attrs.sdpa.scale = o->scale;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_rope_attend(qn_graph *g, const qn_rope_attend_options *o)
{
    const qn_rope_append_options *a = &o->append;
    qn_value in[] = {a->qkv, a->table, a->k_cache, a->v_cache, a->pos}, out[QN_MAX_OUTPUTS] = {0};
    qn_node_desc d = {.op = QN_OP_ROPE_ATTEND,
                      .inputs = in,
                      .n_inputs = 5,
                      .n_outputs = 2,
                      .integers = 1 << 4,
                      .name = weight_name(g, a->k_cache)};
    d.attrs.rope.mode = a->mode;
    d.attrs.rope.scale = o->scale;
    qn_graph_add_node(g, &d, out);
    return out[1];
}

qn_value qn_silu_mul(qn_graph *g, qn_value a, qn_value b)
{
    const qn_value in[] = {a, b};
    return qn_graph_add_node(g, &(qn_node_desc){.op = QN_OP_SILU_MUL, .inputs = in, .n_inputs = 2}, NULL);
}

qn_value qn_view(qn_graph *g, qn_value x, qn_shape shape)
{
    qn_node_desc d = {.op = QN_OP_VIEW, .inputs = &x, .n_inputs = 1};
    d.attrs.view.shape = shape;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_view_computed(qn_graph *g, qn_value x, qn_shape max_shape, const qn_value sizes[QN_MAX_RANK])
{
    qn_value in[QN_MAX_INPUTS] = {x};
    qn_node_desc d = {.op = QN_OP_VIEW, .inputs = in, .n_inputs = 1};
    d.attrs.view.shape = max_shape;
    for (uint32_t i = 0; i < max_shape.rank && i < QN_MAX_RANK; i++) {
        if (!sizes[i]) continue;
        if (d.n_inputs == QN_MAX_INPUTS) {
            qn_graph_failed(g, qn_fail(QN_ERR_LIMIT, "view: more than %d computed sizes", QN_MAX_INPUTS - 1));
            return 0;
        }
        d.attrs.view.computed |= (uint8_t)(1u << i);
        d.integers |= 1u << d.n_inputs;
        in[d.n_inputs++] = sizes[i];
    }
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_view_dims(qn_graph *g, qn_value x, uint32_t rank, const int8_t *from)
{
    qn_node_desc d = {.op = QN_OP_VIEW, .inputs = &x, .n_inputs = 1};
    d.attrs.view.shape.rank = rank;
    d.attrs.view.from_dims = true;
    for (uint32_t i = 0; i < rank && i < QN_MAX_RANK; i++) d.attrs.view.from[i] = from[i];
    return qn_graph_add_node(g, &d, NULL);
}

static qn_value add_integer(qn_graph *g, qn_op op, qn_value a, qn_value b)
{
    qn_value in[] = {a, b};
    qn_node_desc d = {.op = op, .inputs = in, .n_inputs = 2, .integers = 3, .integer_output = true};
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_int_add(qn_graph *g, qn_value a, qn_value b)
{
    return add_integer(g, QN_OP_INT_ADD, a, b);
}

qn_value qn_int_sub(qn_graph *g, qn_value a, qn_value b)
{
    return add_integer(g, QN_OP_INT_SUB, a, b);
}

qn_value qn_int_mul(qn_graph *g, qn_value a, qn_value b)
{
    return add_integer(g, QN_OP_INT_MUL, a, b);
}

qn_value qn_int_floordiv(qn_graph *g, qn_value a, qn_value b)
{
    return add_integer(g, QN_OP_INT_FLOORDIV, a, b);
}

qn_value qn_int_dim(qn_graph *g, qn_value x, int32_t dim)
{
    qn_node_desc d = {.op = QN_OP_INT_DIM, .inputs = &x, .n_inputs = 1, .integer_output = true};
    d.attrs.integer.index = dim;
    return qn_graph_add_node(g, &d, NULL);
}

qn_status qn_graph_keep_on_host(qn_graph *g, qn_value input, const char *op)
{
    enum { MOST_ELEMENTS = 64 };
    if (input == 0 || input >= g->n_values || qn_graph_place(g, input)->kind != QN_PLACE_INPUT)
        return qn_fail(QN_ERR_ARGUMENT, "%s: value %u is not an input of this graph", op, input);
    qn_tensor *t = qn_graph_tensor(g, input);
    if (qn_shape_count(&t->max) > MOST_ELEMENTS)
        return qn_fail(QN_ERR_UNSUPPORTED, "%s: %s has more than %d elements", op, t->name, MOST_ELEMENTS);
    if (t->host) return qn_ok();
    void *p;
    QN_TRY(qn_alloc(g->allocator, MOST_ELEMENTS, sizeof(int32_t), t->name, &p));
    qn_graph_place(g, input)->host = p;
    t->host = p;
    return qn_ok();
}

qn_value qn_int_from_tensor(qn_graph *g, qn_value input, int32_t index)
{
    if (g->status.code != QN_OK) return 0;
    qn_graph_failed(g, qn_graph_keep_on_host(g, input, "int_from_tensor"));
    qn_node_desc d = {.op = QN_OP_INT_FROM_TENSOR, .inputs = &input, .n_inputs = 1, .integer_output = true};
    d.attrs.integer.index = index;
    return qn_graph_add_node(g, &d, NULL);
}

qn_value qn_last_rows(qn_graph *g, qn_value x, qn_value n, uint32_t max_rows)
{
    qn_value in[] = {x, n};
    qn_node_desc d = {.op = QN_OP_LAST_ROWS, .inputs = in, .n_inputs = 2, .integers = 2};
    d.attrs.last_rows.max_rows = max_rows;
    return qn_graph_add_node(g, &d, NULL);
}
