/* embedding.c - rows of a matrix by token id: one dispatch a part of the matrix, each for the ids in its rows. */
#include "ops/check.h"

/* Indexed by data: the kernel clamps the ids, and the bounds checks stay as well. */
static const qn_kernel_row rows[] = {
    {.name = "embedding.token",
     .source = "embedding",
     .with = {"storage", "weights"},
     .entry = "main",
     .access = "rrrrw",
     .workgroup = {256, 1, 1},
     .consts = {{"ITEM", 8}},
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

/* What a dispatch covers: a part of the matrix, and a window of tokens (as of qn_plan_window). */
typedef struct piece {
    uint32_t part, window, first, n_tokens;
} piece;

static qn_status dispatch(qn_plan *p, const piece *at)
{
    const qn_weight *w = qn_plan_in(p, 0)->weight;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_embedding_kernels, 1, at->n_tokens);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    uint32_t k = w->shape.dim[1], max_tokens = (uint32_t)qn_shape_count(&qn_plan_in(p, 1)->max);
    d->spec[0] = w->format.storage;
    d->spec[1] = w->format.group ? w->format.group : 1; /* WGSL refuses to divide by a constant 0 */
    d->spec[2] = w->format.scale_f16;
    qn_bind_weight(d, p->node->inputs[0], at->part);
    qn_bind_rows(p, d, p->node->inputs[1], 4, max_tokens, at->window, at->first);
    qn_bind_rows(p, d, p->node->outputs[0], (uint64_t)k * 4, max_tokens, at->window, at->first);
    qn_param_u32(d, at->n_tokens);
    qn_param_u32(d, k);
    qn_param_u32(d, w->shape.dim[0]);
    qn_param_u32(d, w->parts[at->part].row0);
    qn_param_u32(d, w->parts[at->part].n_rows);
    qn_param_u32(d, qn_pack_words(w->format.storage, k));
    qn_param_u32(d, qn_pack_groups(&w->format, k));
    qn_plan_work(d, 0, at->n_tokens * ((double)qn_pack_words(w->format.storage, k) * 4 + 4.0 * k));
    return qn_grid_1d(p, d, at->n_tokens);
}

/* y[..., K] = w[ids[...], K] */
qn_status qn_plan_embedding(qn_plan *p)
{
    const qn_tensor *w = qn_plan_in(p, 0), *ids = qn_plan_in(p, 1);
    QN_TRY(check(p, w, ids));
    uint32_t elements = 0, k = w->weight->shape.dim[1];
    qn_shape out = ids->live;
    out.dim[out.rank++] = k;
    QN_TRY(qn_check_elements(p, &out, &elements));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    piece at = {0};
    QN_TRY(qn_plan_window(p, (uint64_t)k * 4, (uint32_t)qn_shape_count(&ids->max), &at.window));
    uint32_t n = elements / k;
    for (at.part = 0; at.part < w->weight->n_parts; at.part++)
        for (at.first = 0; at.first < n; at.first += at.window) {
            at.n_tokens = n - at.first < at.window ? n - at.first : at.window;
            QN_TRY(dispatch(p, &at));
        }
    return qn_ok();
}
