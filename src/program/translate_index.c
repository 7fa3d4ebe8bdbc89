/* translate_index.c - operators that look rows or elements up. Ids that the caller gives are checked on the host when a
 * call is made (PyTorch refuses them as well); others are clamped on the GPU. */
#include "program/translate.h"

/* weight [V, E] (a constant matrix, or any tensor), ids [...], ..., out [..., E] */
qn_status qn_translate_embedding(const qn_call *c)
{
    qn_value table, ids;
    const qn_vk_tensor *weight;
    QN_TRY(qn_arg_desc(c, 0, &weight));
    QN_TRY(qn_arg_tensor(c, 1, &ids));
    if (weight->shape.rank == 0) return qn_call_fail(c, QN_ERR_FORMAT, "the table is a scalar");
    qn_check_ids(c, 1, weight->shape.dim[0], false);
    if (qn_arg_is_float_matrix(c, 0)) {
        qn_weight_desc desc = {.kind = QN_WEIGHT_F32, .shape = weight->shape};
        QN_TRY(qn_arg_matrix(c, 0, 0, &desc, &table));
        return qn_give(c, qn_embedding(c->t->g, table, ids));
    }
    QN_TRY(qn_arg_tensor(c, 0, &table));
    return qn_give(c, qn_index_select(c->t->g, table, 0, ids));
}

/* in, dim, ids [n], out */
qn_status qn_translate_index_select(const qn_call *c)
{
    qn_value x, ids;
    uint32_t dim = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    qn_shape shape = qn_max_shape(c, x);
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_tensor(c, 2, &ids));
    if (shape.rank == 0) return qn_call_fail(c, QN_ERR_UNSUPPORTED, "the tensor is a scalar");
    qn_check_ids(c, 2, shape.dim[dim], false);
    return qn_give(c, qn_index_select(c->t->g, x, (int32_t)dim, ids));
}

/* in, dim, ids, ..., out: by element */
qn_status qn_translate_gather(const qn_call *c)
{
    qn_value x, ids;
    uint32_t dim = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    qn_shape shape = qn_max_shape(c, x);
    QN_TRY(qn_arg_dim(c, 1, shape.rank, &dim));
    QN_TRY(qn_arg_tensor(c, 2, &ids));
    if (shape.rank) qn_check_ids(c, 2, shape.dim[dim], false);
    return qn_give(c, qn_gather(c->t->g, x, (int32_t)dim, ids));
}

/* in, indices (a list with one tensor of ids, Null for the dimensions before it), out */
qn_status qn_translate_index(const qn_call *c)
{
    const qn_vk_value *list = qn_arg(c, 1);
    qn_value x, ids[QN_MAX_RANK];
    uint32_t n = 0, dim = QN_MAX_RANK;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensors(c, 1, ids, QN_MAX_RANK, &n));
    for (uint32_t i = 0; i < n; i++) {
        if (!ids[i]) continue;
        if (dim != QN_MAX_RANK)
            return qn_call_fail(c, QN_ERR_UNSUPPORTED, "more than one dimension is indexed by a tensor");
        dim = i;
    }
    qn_shape shape = qn_max_shape(c, x);
    if (dim >= shape.rank) return qn_call_fail(c, QN_ERR_FORMAT, "no dimension is indexed");
    uint32_t id = (uint32_t)qn_fb_i32_at(&list->u.list, dim);
    if (c->t->vk->values[id].u.tensor.dtype == QN_VK_BOOL)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED, "a mask as index");
    qn_check_id_value(c, ids[dim], shape.dim[dim], true);
    return qn_give(c, qn_index_select(c->t->g, x, (int32_t)dim, ids[dim]));
}
