/* rope.c - rotary position embedding: pairs of a head rotate by the angles of their position, read from one table of
 * cosines and sines or from a table of each. */
#include "ops/check.h"

enum { ROW_ONE, ROW_TWO };

static const qn_kernel_row rope_rows[] = {
    [ROW_ONE] = {.name = "rope.pairs",
                 .source = "rope",
                 .with = {"rope_one"},
                 .entry = "rope",
                 .access = "rwr",
                 .workgroup = {64, 1, 1},
                 .spec = {"INTERLEAVED"}},
    [ROW_TWO] = {.name = "rope.tables",
                 .source = "rope",
                 .with = {"rope_two"},
                 .entry = "rope",
                 .access = "rwrr",
                 .workgroup = {64, 1, 1},
                 .spec = {"INTERLEAVED"}},
};

const qn_kernel_table qn_rope_kernels = {rope_rows, 2};

/* x[B, S, H, D] as the kernels see it, and the tables' rows. */
typedef struct rope_size {
    uint32_t batch, rows, heads, head_dim;
    uint32_t positions;
    bool two;     /* tables                                                 */
    uint32_t pos; /* its input; absent: row s of the tables is for row s of x */
} rope_size;

static qn_status check_bytes(const qn_plan *p, const char *what, const qn_shape *shape)
{
    char text[96];
    uint64_t count = qn_shape_count(shape);
    if (count > UINT32_MAX || count * sizeof(float) > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%s %s is over the device's binding limit of %llu bytes", what,
                            qn_shape_text(shape, text, sizeof text), (unsigned long long)p->device->max_binding_bytes);
    return qn_ok();
}

static qn_status check_x(const qn_plan *p, rope_size *size)
{
    char text[96];
    qn_tensor *x;
    QN_TRY(qn_check_f32(p, 0, &x));
    const qn_shape *s = &x->live;
    if (s->rank < 3)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x is %s, not [..., rows, heads, head_dim]",
                            qn_shape_text(s, text, sizeof text));
    size->rows = s->dim[s->rank - 3];
    size->heads = s->dim[s->rank - 2];
    size->head_dim = s->dim[s->rank - 1];
    if (size->head_dim % 2 != 0) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "head_dim %u is odd", size->head_dim);
    if (qn_shape_count(s) == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x is empty: %s", qn_shape_text(s, text, sizeof text));
    QN_TRY(check_bytes(p, "x", s));
    size->batch = (uint32_t)(qn_shape_count(s) / ((uint64_t)size->rows * size->heads * size->head_dim));
    return qn_ok();
}

/* The form with one table: [positions, D/2, 2]. */
static qn_status check_table(const qn_plan *p, rope_size *size)
{
    char text[96];
    qn_tensor *table;
    QN_TRY(qn_check_f32(p, 1, &table));
    const qn_shape *s = &table->live;
    if (s->rank != 3 || s->dim[1] != size->head_dim / 2 || s->dim[2] != 2)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the table is %s, not f32 [positions, %u, 2]",
                            qn_shape_text(s, text, sizeof text), size->head_dim / 2);
    size->positions = s->dim[0];
    return check_bytes(p, "the table", s);
}

/* The form with two: both [..., D/2] (interleaved) or [..., D]. */
static qn_status check_tables(const qn_plan *p, rope_size *size)
{
    char text[96], other[96];
    qn_tensor *c, *s;
    QN_TRY(qn_check_f32(p, 1, &c));
    QN_TRY(qn_check_f32(p, 2, &s));
    uint32_t width = p->node->attrs.rope.mode == QN_ROPE_INTERLEAVED ? size->head_dim / 2 : size->head_dim;
    if (!qn_shape_equal(&c->live, &s->live))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the tables differ in shape: cosines %s, sines %s",
                            qn_shape_text(&c->live, text, sizeof text), qn_shape_text(&s->live, other, sizeof other));
    if (c->live.rank < 2 || c->live.dim[c->live.rank - 1] != width)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the tables are %s, not f32 [positions, %u]",
                            qn_shape_text(&c->live, text, sizeof text), width);
    QN_TRY(check_bytes(p, "the table of cosines", &c->live));
    size->positions = (uint32_t)(qn_shape_count(&c->live) / width);
    if (!qn_plan_in(p, size->pos) && size->positions != size->rows)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the tables have %u rows for x's %u", size->positions, size->rows);
    return qn_ok();
}

/* The position of the first row; while building 0: calls past the table are refused when they come. */
static qn_status check_pos(const qn_plan *p, const rope_size *size, uint32_t *pos)
{
    const qn_tensor *t = qn_plan_in(p, size->pos);
    *pos = 0;
    if (!t && size->two) return qn_ok();
    if (!t || !t->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is not an integer");
    if (p->building && !t->is_const) return qn_ok();
    int64_t n = t->number;
    if (n < 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos is %lld, below 0", (long long)n);
    if (p->building) return qn_ok();
    if (size->rows > size->positions || n > (int64_t)(size->positions - size->rows))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input_pos %lld + %u rows passes the table's %u positions",
                            (long long)n, size->rows, size->positions);
    *pos = (uint32_t)n;
    return qn_ok();
}

static qn_status dispatch(qn_plan *p, const rope_size *size, uint32_t rows, uint32_t pos)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_rope_kernels, 1u << (size->two ? ROW_TWO : ROW_ONE), rows);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this device");
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    d->spec[0] = p->node->attrs.rope.mode == QN_ROPE_INTERLEAVED;
    qn_bind_operand(p, d, 0);
    qn_bind_value(d, p->node->outputs[0]);
    qn_bind_operand(p, d, 1);
    if (size->two) qn_bind_operand(p, d, 2);
    uint32_t half = size->head_dim / 2, n = size->batch * rows * size->heads * half;
    qn_param_u32(d, n);
    qn_param_u32(d, half);
    qn_param_u32(d, size->heads);
    qn_param_u32(d, rows);
    qn_param_u32(d, pos);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}

static qn_status plan(qn_plan *p, rope_size *size)
{
    uint32_t pos = 0, rows = 0;
    qn_rope_mode mode = p->node->attrs.rope.mode;
    QN_TRY(check_x(p, size));
    if (mode != QN_ROPE_INTERLEAVED && mode != QN_ROPE_HALF)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "there is no rope mode %d", (int)mode);
    QN_TRY(size->two ? check_tables(p, size) : check_table(p, size));
    QN_TRY(check_pos(p, size, &pos));
    for (uint32_t i = 0; qn_plan_probe(p, &qn_rope_kernels, size->rows, &i, &rows);)
        QN_TRY(dispatch(p, size, rows, pos));
    return qn_plan_set_out(p, 0, QN_F32, qn_plan_in(p, 0)->live);
}

/* Inputs: x[..., S, H, D], table[positions, D/2, 2] (cosine, sine), input_pos. Output: y of x's shape. */
qn_status qn_plan_rope(qn_plan *p)
{
    return plan(p, &(rope_size){.pos = 2});
}

/* Inputs: x[..., S, H, D], cosines and sines, both [S or positions, D/2 or D], input_pos or none. */
qn_status qn_plan_rope_tables(qn_plan *p)
{
    return plan(p, &(rope_size){.two = true, .pos = 3});
}
