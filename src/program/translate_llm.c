/* translate_llm.c - the operators that language models are made of: linear, embedding, norm, attention, caches. */
#include "program/translate.h"

#include <inttypes.h>

/* ---- linear ---------------------------------------------------------------------------------- */

static uint32_t last_dim(qn_shape shape)
{
    return shape.rank ? shape.dim[shape.rank - 1] : 1;
}

static qn_status check_group(const qn_call *c, int64_t group)
{
    if (group < 1 || group > INT32_MAX) return qn_call_fail(c, QN_ERR_FORMAT, "the group size is %" PRId64, group);
    return qn_ok();
}

/* A 4-bit matrix [N, K]: codes u8 [N, row bytes], two a byte, even k in the low nibble; scales f32 [groups, columns].
 */
static qn_status q4_matrix(const qn_call *c, uint32_t weight, uint32_t scales, int64_t group, qn_shape shape,
                           qn_value *value)
{
    const qn_vk_tensor *w, *s;
    char text[96], have[96];
    QN_TRY(check_group(c, group));
    QN_TRY(qn_arg_desc(c, weight, &w));
    QN_TRY(qn_arg_desc(c, scales, &s));
    uint32_t n = shape.dim[0], k = shape.dim[1], groups = qn_div_up(k, (uint32_t)group);
    bool codes = (w->dtype == QN_VK_UINT8 || w->dtype == QN_VK_INT8) && w->shape.rank == 2 && w->shape.dim[0] >= n &&
                 w->shape.dim[1] >= qn_div_up(k, 2);
    if (!codes)
        return qn_call_fail(c, QN_ERR_FORMAT, "the weight %s is no matrix of 4-bit codes for %s",
                            qn_shape_text(&w->shape, have, sizeof have), qn_shape_text(&shape, text, sizeof text));
    if (s->dtype != QN_VK_FLOAT32 || s->shape.rank != 2 || s->shape.dim[0] < groups || s->shape.dim[1] < n)
        return qn_call_fail(c, QN_ERR_FORMAT, "the scales %s are not those of %u groups of %u rows",
                            qn_shape_text(&s->shape, have, sizeof have), groups, n);
    qn_weight_desc desc = {.kind = QN_WEIGHT_Q4,
                           .shape = shape,
                           .group = (uint32_t)group,
                           .row_bytes = w->shape.dim[1],
                           .scale_stride = s->shape.dim[1]};
    return qn_arg_matrix(c, weight, scales, &desc, value);
}

/* in [..., K], weight, scales, group, bias [N] or Null, out [..., N] */
qn_status qn_translate_linear_q4(const qn_call *c)
{
    const qn_vk_tensor *out;
    qn_value x, w, bias;
    int64_t group = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_int(c, 3, &group));
    QN_TRY(qn_arg_optional(c, 4, &bias));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(q4_matrix(c, 1, 2, group, qn_shape_2(last_dim(out->shape), last_dim(qn_max_shape(c, x))), &w));
    return qn_give(c, qn_linear(c->t->g, x, w, bias));
}

/* A weight that is computed (a . b^T is exported as this): a product of two activations. */
static qn_status linear_of_activations(const qn_call *c, qn_value x, qn_value bias)
{
    qn_value w;
    QN_TRY(qn_arg_tensor(c, 1, &w));
    qn_value y = qn_matmul(c->t->g, x, w, true, 1.0f);
    return qn_give(c, bias ? qn_add(c->t->g, y, bias) : y);
}

/* x [..., K], weight f32 [N, K], bias or Null, out */
qn_status qn_translate_linear(const qn_call *c)
{
    const qn_vk_tensor *weight;
    qn_value x, w, bias;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_desc(c, 1, &weight));
    QN_TRY(qn_arg_optional(c, 2, &bias));
    if (!qn_arg_is_constant(c, 1)) return linear_of_activations(c, x, bias);
    qn_weight_desc desc = {.kind = QN_WEIGHT_F32, .shape = weight->shape};
    QN_TRY(qn_arg_matrix(c, 1, 0, &desc, &w));
    return qn_give(c, qn_linear(c->t->g, x, w, bias));
}

/* ---- embedding ------------------------------------------------------------------------------- */

/* weight u8 [V, E/2], scales f32 [V, groups], group, ids, is_linear (even element in the low nibble; else in the high
 * one), out [ids..., E] */
qn_status qn_translate_embedding_q4(const qn_call *c)
{
    const qn_vk_tensor *w, *s;
    qn_value ids, table;
    int64_t group = 0;
    bool even_low = false;
    QN_TRY(qn_arg_desc(c, 0, &w));
    QN_TRY(qn_arg_desc(c, 1, &s));
    QN_TRY(qn_arg_int(c, 2, &group));
    QN_TRY(qn_arg_tensor(c, 3, &ids));
    QN_TRY(qn_arg_bool(c, 4, &even_low));
    QN_TRY(check_group(c, group));
    if (w->dtype != QN_VK_UINT8 || w->shape.rank != 2 || w->shape.dim[0] == 0 || w->shape.dim[1] > UINT32_MAX / 2)
        return qn_call_fail(c, QN_ERR_FORMAT, "the weight is no matrix of 4-bit codes");
    uint32_t n = w->shape.dim[0], k = w->shape.dim[1] * 2, groups = qn_div_up(k, (uint32_t)group);
    if (s->dtype != QN_VK_FLOAT32 || s->shape.rank == 0 || s->shape.dim[0] < n ||
        qn_shape_count(&s->shape) / s->shape.dim[0] < groups)
        return qn_call_fail(c, QN_ERR_FORMAT, "the scales are not those of %u rows of %u groups", n, groups);
    qn_weight_desc desc = {.kind = QN_WEIGHT_Q4,
                           .shape = qn_shape_2(n, k),
                           .group = (uint32_t)group,
                           .scale_stride = (uint32_t)(qn_shape_count(&s->shape) / s->shape.dim[0]),
                           .scales_by_row = true,
                           .high_nibble_first = !even_low};
    QN_TRY(qn_arg_matrix(c, 0, 1, &desc, &table));
    qn_check_ids(c, 3, n, false);
    return qn_give(c, qn_embedding(c->t->g, table, ids));
}

/* ---- norm ------------------------------------------------------------------------------------ */

/* x [..., E], weight f32 [E], eps, out */
qn_status qn_translate_rms_norm(const qn_call *c)
{
    qn_value x, w;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &w));
    QN_TRY(qn_arg_double(c, 2, &eps));
    return qn_give(c, qn_rms_norm(c->t->g, x, w, (float)eps));
}

/* ---- attention and caches -------------------------------------------------------------------- */

/* A position that the file fixes must fit: the runtime that the file was made for refuses it when it loads. */
static qn_status check_fixed_position(const qn_call *c, qn_value x, qn_value cache, qn_value pos)
{
    const qn_tensor *p = qn_graph_tensor(c->t->g, pos);
    qn_shape xs = qn_max_shape(c, x), cs = qn_max_shape(c, cache);
    if (!p->is_const || xs.rank != 4 || cs.rank != 4) return qn_ok();
    if (p->number < 0 || p->number + xs.dim[1] > cs.dim[1])
        return qn_call_fail(c, QN_ERR_ARGUMENT, "%u rows at position %" PRId64 " pass the cache of %u rows", xs.dim[1],
                            p->number, cs.dim[1]);
    return qn_ok();
}

static qn_status check_sdpa_options(const qn_call *c)
{
    double dropout = 0;
    bool causal = true;
    if (!qn_arg_is_null(c, 7)) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "an attention mask is not supported");
    QN_TRY(qn_arg_double_or(c, 8, 0, &dropout));
    if (dropout != 0) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "dropout is %g, not 0", dropout);
    if (!qn_arg_is_null(c, 9)) QN_TRY(qn_arg_bool(c, 9, &causal));
    if (!causal) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "is_causal is false; only causal attention is supported");
    return qn_ok();
}

/* q [1,S,Hq,D], k, v [1,S,Hkv,D], k_cache, v_cache [1,C,Hkv,D], start_pos, seq_len (of no use: S says it), mask Null,
 * dropout 0, causal true, scale or Null, out [1,S,Hq,D] */
qn_status qn_translate_sdpa_with_kv_cache(const qn_call *c)
{
    qn_value in[5], pos;
    double scale = 0;
    for (uint32_t i = 0; i < 5; i++) QN_TRY(qn_arg_tensor(c, i, &in[i]));
    QN_TRY(qn_arg_number(c, 5, &pos));
    QN_TRY(check_sdpa_options(c));
    QN_TRY(qn_arg_double_or(c, 10, 0, &scale));
    if (!pos) return qn_call_fail(c, QN_ERR_FORMAT, "there is no start position");
    if (!qn_arg_is_null(c, 10) && scale == 0) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the scale is 0");
    QN_TRY(check_fixed_position(c, in[1], in[3], pos));
    const qn_sdpa_options options = {.scale = (float)scale};
    return qn_give(c, qn_sdpa_with_kv_cache(c->t->g, in[0], in[1], in[2], in[3], in[4], pos, &options));
}

/* value [1,S,H,D], cache [1,C,H,D], start_pos, out (a dummy that nobody writes) */
qn_status qn_translate_update_cache(const qn_call *c)
{
    qn_value x, cache, pos;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &cache));
    QN_TRY(qn_arg_number(c, 2, &pos));
    if (!pos) return qn_call_fail(c, QN_ERR_FORMAT, "there is no start position");
    QN_TRY(check_fixed_position(c, x, cache, pos));
    qn_update_cache(c->t->g, x, cache, pos);
    c->t->values[qn_fb_u32_at(&c->op->args, qn_arg_out(c))].dummy = true;
    return qn_ok();
}

/* ---- rotary position embedding --------------------------------------------------------------- */

/* xq, xk [B,S,H,D], cos, sin, (start_pos,) out list [xq, xk]; halves: cos, sin [P,D] from row start_pos on; else pairs
 * (2i, 2i+1) and cos, sin [S,D/2] */
qn_status qn_translate_rope(const qn_call *c)
{
    qn_rope_mode mode = (qn_rope_mode)c->row->variant;
    qn_value x[2], tables[2], pos = 0;
    for (uint32_t i = 0; i < 2; i++) {
        QN_TRY(qn_arg_tensor(c, i, &x[i]));
        QN_TRY(qn_arg_tensor(c, i + 2, &tables[i]));
    }
    if (mode == QN_ROPE_HALF) {
        QN_TRY(qn_arg_number(c, 4, &pos));
        if (!pos) return qn_call_fail(c, QN_ERR_FORMAT, "there is no start position");
    }
    for (uint32_t i = 0; i < 2; i++)
        QN_TRY(qn_give_at(c, i, qn_rope_tables(c->t->g, x[i], tables[0], tables[1], pos, mode)));
    return qn_ok();
}

/* ---- 8-bit activations, 4-bit weights -------------------------------------------------------- */

/* in [..., K], its rows' scales and zero points, weight, weight sums (of no use here), weight scales, group, bias or
 * Null, out: the rows as they are in 8 bits, then the 4-bit matrix. */
qn_status qn_translate_linear_dq8ca_q4(const qn_call *c)
{
    const qn_vk_tensor *out;
    qn_value x, scale, zero, w, bias;
    int64_t group = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &scale));
    QN_TRY(qn_arg_tensor(c, 2, &zero));
    QN_TRY(qn_arg_int(c, 6, &group));
    QN_TRY(qn_arg_optional(c, 7, &bias));
    QN_TRY(qn_out_desc(c, 0, &out));
    QN_TRY(q4_matrix(c, 3, 5, group, qn_shape_2(last_dim(out->shape), last_dim(qn_max_shape(c, x))), &w));
    return qn_give(c, qn_linear(c->t->g, qn_quantize_rows(c->t->g, x, scale, zero), w, bias));
}

/* x [..., K], weight i8 [N, K], scales f32 [N], out */
qn_status qn_translate_linear_q8(const qn_call *c)
{
    const qn_vk_tensor *weight, *scales;
    qn_value x, w;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_desc(c, 1, &weight));
    QN_TRY(qn_arg_desc(c, 2, &scales));
    if (weight->dtype != QN_VK_INT8 || weight->shape.rank != 2 || scales->dtype != QN_VK_FLOAT32 ||
        qn_shape_count(&scales->shape) < weight->shape.dim[0])
        return qn_call_fail(c, QN_ERR_FORMAT, "no matrix of 8-bit codes with a scale for each row");
    qn_weight_desc desc = {.kind = QN_WEIGHT_Q8, .shape = weight->shape, .group = weight->shape.dim[1]};
    QN_TRY(qn_arg_matrix(c, 1, 2, &desc, &w));
    return qn_give(c, qn_linear(c->t->g, x, w, 0));
}

/* x [B, N, C], pairs (cos, sin) of any shape with N C elements, out */
qn_status qn_translate_rope_pairs(const qn_call *c)
{
    qn_value x, table;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &table));
    qn_shape shape = qn_max_shape(c, x);
    if (shape.rank != 3 || shape.dim[2] % 2)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "x has rank %u, not 3, or an odd row", shape.rank);
    static const int8_t heads[] = {0, 1, -1, 2}, rows[] = {0, 1, 3};
    qn_graph *g = c->t->g;
    qn_value y = qn_view_dims(g, x, 4, heads);
    y = qn_rope(g, y, qn_view(g, table, qn_shape_3(0, shape.dim[2] / 2, 2)), qn_graph_const_int(g, 0),
                QN_ROPE_INTERLEAVED);
    return qn_give(c, qn_view_dims(g, y, 3, rows));
}

/* x [..., K], weight u8 [N, K/2] (even k in the high nibble), scales f32 [N], out: a scale for each row */
qn_status qn_translate_linear_row_q4(const qn_call *c)
{
    const qn_vk_tensor *weight, *scales;
    qn_value x, w;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_desc(c, 1, &weight));
    QN_TRY(qn_arg_desc(c, 2, &scales));
    if (weight->dtype != QN_VK_UINT8 || weight->shape.rank != 2 || weight->shape.dim[1] > UINT32_MAX / 2 ||
        scales->dtype != QN_VK_FLOAT32 || qn_shape_count(&scales->shape) < weight->shape.dim[0])
        return qn_call_fail(c, QN_ERR_FORMAT, "no matrix of 4-bit codes with a scale for each row");
    uint32_t k = weight->shape.dim[1] * 2;
    qn_weight_desc desc = {
        .kind = QN_WEIGHT_Q4, .shape = qn_shape_2(weight->shape.dim[0], k), .group = k, .high_nibble_first = true};
    QN_TRY(qn_arg_matrix(c, 1, 2, &desc, &w));
    return qn_give(c, qn_linear(c->t->g, x, w, 0));
}
