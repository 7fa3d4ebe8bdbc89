/* embedding.c - rows of a matrix by token id: one dispatch a part of the matrix, each for the ids in its rows. */
#include "ops/check.h"

/* Indexed by data: the kernel clamps the ids, and the bounds checks stay as well. */
static const qn_kernel_row rows[] = {
    {.name = "embedding.token",
     .source = "embedding",
     .with = {"weights"},
     .entry = "main",
     .access = "rrrrw",
     .workgroup = {128, 1, 1},
     .spec = {"STORAGE", "GROUP", "SCALE_F16"},
     .checked = true},
};
const qn_kernel_table qn_embedding_kernels = {rows, 1};

static qn_status check(const qn_plan *p, const qn_tensor *w, const qn_tensor *ids)
{
    if (!w || !w->weight || !w->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the first input must be a matrix weight [N,K]");
    if (!ids || ids->is_int || ids->weight || ids->dtype != QN_I32)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the ids must be an i32 tensor");
    if (ids->live.rank >= QN_MAX_RANK)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the ids' rank %u leaves no room for the embedding", ids->live.rank);
    if (w->weight->shape.dim[0] > INT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "more rows than an i32 id can name");
    return qn_ok();
}

static qn_status dispatch_part(qn_plan *p, uint32_t part, uint32_t n_tokens)
{
    const qn_weight *w = qn_plan_in(p, 0)->weight;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_embedding_kernels, 1, n_tokens);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    uint32_t k = w->shape.dim[1];
    d->spec[0] = w->format.storage;
    d->spec[1] = w->format.group ? w->format.group : 1; /* WGSL refuses to divide by a constant 0 */
    d->spec[2] = w->format.scale_f16;
    qn_bind_weight(d, p->node->inputs[0], part);
    qn_bind_value(d, p->node->inputs[1]);
    qn_bind_value(d, p->node->outputs[0]);
    qn_param_u32(d, n_tokens);
    qn_param_u32(d, k);
    qn_param_u32(d, w->shape.dim[0]);
    qn_param_u32(d, w->parts[part].row0);
    qn_param_u32(d, w->parts[part].n_rows);
    qn_param_u32(d, qn_pack_words(w->format.storage, k));
    qn_param_u32(d, qn_pack_groups(&w->format, k));
    return qn_grid_1d(p, d, n_tokens);
}

/* y[..., K] = w[ids[...], K] */
qn_status qn_plan_embedding(qn_plan *p)
{
    const qn_tensor *w = qn_plan_in(p, 0), *ids = qn_plan_in(p, 1);
    QN_TRY(check(p, w, ids));
    qn_shape out = ids->live;
    out.dim[out.rank++] = w->weight->shape.dim[1];
    uint32_t elements;
    QN_TRY(qn_check_elements(p, &out, &elements));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    uint32_t n_tokens = elements / w->weight->shape.dim[1];
    for (uint32_t part = 0; part < w->weight->n_parts; part++) QN_TRY(dispatch_part(p, part, n_tokens));
    return qn_ok();
}
