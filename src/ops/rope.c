/* rope.c - rotary position embedding: pairs of a head rotate by the angles of their position, read from a table. */
#include "ops/op.h"

static const qn_kernel_row rope_rows[] = {
    {.name = "rope.pairs",
     .source = "rope",
     .entry = "rope",
     .access = "rrw",
     .workgroup = {64, 1, 1},
     .spec = {"INTERLEAVED"}},
};

const qn_kernel_table qn_rope_kernels = {rope_rows, 1};

static qn_status check_shapes(const qn_plan *p, const qn_tensor *x, const qn_tensor *table, const qn_tensor *pos)
{
    char text[96];
    if (!x || x->is_int || x->dtype != QN_F32 || x->live.rank != 4 || x->live.dim[0] != 1)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x is %s, not an f32 tensor [1, rows, heads, head_dim]",
                            x && !x->is_int ? qn_shape_text(&x->live, text, sizeof text) : "absent");
    uint32_t head_dim = x->live.dim[3];
    uint64_t count = qn_shape_count(&x->live);
    if (head_dim % 2 != 0) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "head_dim %u is odd", head_dim);
    if (count == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x is empty: %s", qn_shape_text(&x->live, text, sizeof text));
    if (count > UINT32_MAX || count * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "x %s is over the device's binding limit of %llu bytes",
                            qn_shape_text(&x->live, text, sizeof text),
                            (unsigned long long)p->device->max_binding_bytes);
    if (!table || table->is_int || table->dtype != QN_F32 || table->live.rank != 3 ||
        table->live.dim[1] != head_dim / 2 || table->live.dim[2] != 2)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the table is %s, not f32 [positions, %u, 2]",
                            table && !table->is_int ? qn_shape_text(&table->live, text, sizeof text) : "absent",
                            head_dim / 2);
    count = qn_shape_count(&table->live);
    if (count > UINT32_MAX || count * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "the table %s is over the device's binding limit of %llu bytes",
                            qn_shape_text(&table->live, text, sizeof text),
                            (unsigned long long)p->device->max_binding_bytes);
    if (!pos || !pos->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is not an integer");
    return qn_ok();
}

static qn_status add_rows(qn_plan *p, const qn_tensor *x, const qn_tensor *table, uint32_t rows, uint32_t pos)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_rope_kernels, UINT64_MAX, rows);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this device");
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    d->spec[0] = p->node->attrs.rope.mode == QN_ROPE_INTERLEAVED;
    qn_bind_value(d, p->node->inputs[0]);
    if (table->weight)
        qn_bind_section(d, p->node->inputs[1], 0, QN_BIND_DATA);
    else
        qn_bind_value(d, p->node->inputs[1]);
    qn_bind_value(d, p->node->outputs[0]);
    uint32_t heads = x->live.dim[2], half = x->live.dim[3] / 2, n = rows * heads * half;
    qn_param_u32(d, n);
    qn_param_u32(d, half);
    qn_param_u32(d, heads);
    qn_param_u32(d, pos);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

/* Inputs: x[1, S, H, D], table[positions, D/2, 2] (cosine, sine), input_pos. Output: y[1, S, H, D]. */
qn_status qn_plan_rope(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0), *table = qn_plan_in(p, 1), *pos = qn_plan_in(p, 2);
    qn_rope_mode mode = p->node->attrs.rope.mode;
    QN_TRY(check_shapes(p, x, table, pos));
    if (mode != QN_ROPE_INTERLEAVED && mode != QN_ROPE_HALF)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "there is no rope mode %d", (int)mode);
    int64_t n = pos->number;
    uint32_t rows = x->live.dim[1], positions = table->live.dim[0], m;
    if (p->building) n = 0; /* calls past the table are refused when they come */
    if (n < 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is %lld, below 0", (long long)n);
    if (!p->building && (rows > positions || n > (int64_t)(positions - rows)))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos %lld + %u rows passes the table's %u positions",
                            (long long)n, rows, positions);
    for (uint32_t i = 0; qn_plan_probe(p, &qn_rope_kernels, rows, &i, &m);)
        QN_TRY(add_rows(p, x, table, m, (uint32_t)n));
    return qn_plan_set_out(p, 0, QN_F32, x->live);
}
