/* linear.c - linear: y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]) (+ residual[..., N]), for every weight storage; x
 * may be normalized first, and a gated product gives silu(gate) * up of a weight that holds the rows of both.
 *
 * The live row count M (product of x's leading live dimensions) chooses the kernel: one row a GEMV, a few rows the
 * skinny kernel, many a tiled GEMM. A weight split in parts takes a dispatch for each; tensors over the binding limit
 * are computed in windows of rows. What the chosen kernel cannot do itself, norm and gate, takes a dispatch before or
 * after it, through scratch of one window. */
#include "ops/linear.h"

#include "ops/blocks8.h"
#include "ops/check.h"
#include "ops/norm.h"

#include <string.h>

/* y[m, f] = silu(t[m, i]) * t[m, f + i] */
static const qn_kernel_row gate_rows[] = {
    {.name = "gate.four",
     .source = "gate",
     .with = {"item4"},
     .entry = "gate",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .consts = {{"ITEM", 4}}},
    {.name = "gate.one",
     .source = "gate",
     .with = {"item1"},
     .entry = "gate",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .consts = {{"ITEM", 1}}},
};
const qn_kernel_table qn_gate_kernels = {gate_rows, sizeof gate_rows / sizeof gate_rows[0]};

/* llvmpipe leaves an invocation after 65,535 rounds of loops, without an error: what linear_any.wgsl, which takes four
 * elements a round, can do there. */
enum { SOFTWARE_MAX_K = 250000, SOFTWARE_ROUNDS = 65000 };

enum { IN_X, IN_W, IN_BIAS, IN_NORM, IN_RESIDUAL };
enum { SCRATCH_X, SCRATCH_Y, SCRATCH_SCALES };

/* ---- checks ---------------------------------------------------------------------------------- */

static qn_status check_vector(const qn_plan *p, uint32_t i, const char *what, uint32_t n)
{
    const qn_tensor *t = qn_plan_in(p, i);
    char shape[128];
    if (!t || (t->weight && !t->weight->matrix && t->dtype == QN_F32 && t->live.rank == 1 && t->live.dim[0] == n))
        return qn_ok();
    return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s %s must be a plain f32 weight of [%u]", what,
                        qn_shape_text(&t->live, shape, sizeof shape), n);
}

static qn_status check_residual(const qn_plan *p, const qn_shape *out)
{
    if (!p->node->inputs[IN_RESIDUAL]) return qn_ok();
    qn_tensor *r;
    QN_TRY(qn_check_f32(p, IN_RESIDUAL, &r));
    char have[128], want[128];
    if (r->weight || !qn_shape_equal(&r->live, out))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the residual %s must be a tensor of the output's shape %s",
                            qn_shape_text(&r->live, have, sizeof have), qn_shape_text(out, want, sizeof want));
    return qn_ok();
}

static qn_status check_options(const qn_plan *p, uint32_t n, uint32_t k)
{
    QN_TRY(check_vector(p, IN_BIAS, "bias", n));
    QN_TRY(check_vector(p, IN_NORM, "norm", k));
    QN_TRY(qn_check_eps(p, p->node->attrs.linear.eps));
    if (!p->node->attrs.linear.gated) return qn_ok();
    if (n % 2 != 0) return qn_plan_fail(p, QN_ERR_ARGUMENT, "%u rows are no gate and up of equal size", n);
    if (p->node->inputs[IN_RESIDUAL]) return qn_plan_fail(p, QN_ERR_ARGUMENT, "a gated product takes no residual");
    return qn_ok();
}

static qn_status check(const qn_plan *p, qn_shape *out, uint32_t *rows)
{
    qn_tensor *x;
    QN_TRY(qn_check_f32(p, IN_X, &x));
    const qn_tensor *w = qn_plan_in(p, IN_W);
    char shape[128];
    if (!w->weight || !w->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the second input is not a weight matrix");
    uint32_t n = w->weight->shape.dim[0], k = w->weight->shape.dim[1];
    if (x->live.rank == 0 || x->live.dim[x->live.rank - 1] != k)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %s %s must have a last dimension of %u", x->name,
                            qn_shape_text(&x->live, shape, sizeof shape), k);
    QN_TRY(check_options(p, n, k));
    if (p->device->type == QN_ADAPTER_SOFTWARE && k > SOFTWARE_MAX_K)
        return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "rows of %u elements are over the %d of a software device", k,
                            SOFTWARE_MAX_K);
    uint64_t m = qn_shape_count(&x->live) / k;
    if (m > INT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "%llu rows are too many", (unsigned long long)m);
    *out = x->live;
    out->dim[out->rank - 1] = p->node->attrs.linear.gated ? n / 2 : n;
    *rows = (uint32_t)m;
    return check_residual(p, out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rounds of loops of an invocation of linear_quad.wgsl, as llvmpipe counts them: one more than a loop's turns. */
static uint64_t quad_rounds(const qn_plan *p, const qn_kernel_row *row, const qn_weight *w)
{
    uint32_t run = w->format.group == 16 ? 2 : 4; /* RUN there */
    uint64_t each = 1 + (run + 1);
    if (w->format.storage == QN_STORE_Q4A) each += (uint64_t)qn_row_const(row, "TILE_M") * (2 * run + 1);
    uint64_t rounds = qn_div_up(w->shape.dim[1], 8 * run) * each;
    return p->node->attrs.linear.gated && qn_row_const(row, "GATES") ? 2 * rounds : rounds;
}

/* The fast rows read x in vec4 and weights in blocks of 32 elements whose scale groups are whole blocks or halves of
 * one; those that take blocks of bytes of x know no minimums of halves. A row with MIN_K is not for shorter rows. */
static bool can_compute(const qn_plan *p, const qn_kernel_row *row, const qn_weight *w)
{
    if (qn_row_const(row, "ANY_K")) return true;
    bool software = p->device->type == QN_ADAPTER_SOFTWARE && row->preferred == QN_ROW_SOFTWARE;
    if (software && quad_rounds(p, row, w) > SOFTWARE_ROUNDS) return false;
    uint32_t k = w->shape.dim[1], group = w->format.group;
    bool forced = p->forced && strcmp(row->name, p->forced) == 0;
    if (qn_row_const(row, w->format.storage >= QN_STORE_Q8 ? "NO_CODES" : "NO_FLOATS")) return false;
    if (qn_row_const(row, "BLOCKS8") && w->format.storage == QN_STORE_Q4A && group == 16) return false;
    return k % 4 == 0 && (group == 0 || group == 16 || group % 32 == 0) && (forced || k >= qn_row_const(row, "MIN_K"));
}

/* A forced kernel of the step that makes blocks wants a product that takes them. */
static bool forces_blocks(const qn_plan *p)
{
    for (uint32_t i = 0; p->forced && p->precision == QN_PRECISION_AUTO && i < qn_blocks8_kernels.n_rows; i++)
        if (strcmp(qn_blocks8_kernels.rows[i].name, p->forced) == 0) return true;
    return false;
}

/* Bit i: row i can compute this weight. */
static uint64_t usable_rows(const qn_plan *p, const qn_weight *w)
{
    uint64_t mask = 0, taking_blocks = 0;
    for (uint32_t i = 0; i < qn_linear_kernels.n_rows; i++) {
        const qn_kernel_row *row = &qn_linear_kernels.rows[i];
        if (!can_compute(p, row, w)) continue;
        mask |= UINT64_C(1) << i;
        if (qn_row_const(row, "BLOCKS8")) taking_blocks |= UINT64_C(1) << i;
    }
    return forces_blocks(p) && taking_blocks ? taking_blocks : mask;
}

static uint64_t bit_of(const qn_kernel_row *row)
{
    return UINT64_C(1) << (row - qn_linear_kernels.rows);
}

static uint64_t workgroups(const qn_kernel_row *row, const qn_weight *w, uint32_t m)
{
    return (uint64_t)qn_div_up(m, qn_row_const(row, "TILE_M")) *
           qn_div_up(w->shape.dim[0], qn_row_const(row, "TILE_N"));
}

/* Multiprocessors of a large GPU: WebGPU does not tell how many there are. */
enum { MULTIPROCESSORS = 132 };

/* The cheapest of the rows in *mask from `first` on, in order of preference, that tell their cost. *mask: the others.
 */
static const qn_kernel_row *cheapest_row(const qn_plan *p, const qn_weight *w, uint32_t m, uint64_t *mask,
                                         const qn_kernel_row *first)
{
    const qn_kernel_row *best = first;
    uint64_t least = UINT64_MAX, left = *mask, seen = 0;
    for (const qn_kernel_row *row = first; row && qn_row_const(row, "EACH");
         row = left ? qn_plan_pick(p, &qn_linear_kernels, left, m) : NULL) {
        uint64_t rounds = qn_div_up_u64(workgroups(row, w, m), MULTIPROCESSORS);
        uint64_t cost = rounds * qn_row_const(row, "EACH") + qn_row_const(row, "ONCE");
        if (cost < least) best = row;
        if (cost < least) least = cost;
        seen |= bit_of(row);
        left &= ~bit_of(row);
    }
    *mask = seen & ~bit_of(best);
    return best;
}

/* The picked row of those in *mask for m rows: of rows that tell their cost the cheapest; a row with MIN_GROUPS gives
 * way to the next where it would make fewer workgroups than that and leave most of a GPU idle. *mask: the rows that
 * fewer rows of x may take instead. */
static const qn_kernel_row *pick_row(const qn_plan *p, const qn_weight *w, uint32_t m, uint64_t *mask)
{
    for (;;) {
        const qn_kernel_row *row = qn_plan_pick(p, &qn_linear_kernels, *mask, m);
        bool decided = row && row == qn_plan_decided(p, &qn_linear_kernels, *mask, m);
        if (row && !decided && qn_row_const(row, "EACH")) return cheapest_row(p, w, m, mask, row);
        uint32_t least = row && !decided ? qn_row_const(row, "MIN_GROUPS") : 0;
        *mask = least ? *mask & ~bit_of(row) : 0;
        if (!*mask) return row;
        if (workgroups(row, w, m) < least) continue;
        if (m <= row->min_rows) *mask = 0;
        return row;
    }
}

/* ---- one window ------------------------------------------------------------------------------ */

/* How a call is computed: all of it but the window's first row does not depend on the live shape. */
typedef struct call {
    const qn_kernel_row *row;
    const qn_weight *w;
    bool norm_before, gate_after; /* in dispatches of their own     */
    bool blocks8;                 /* x in blocks of signed bytes, and normalized with that */
    uint32_t max_m, window;       /* most rows; rows of a window    */
    uint32_t row0, m;             /* this window's first row, and rows */
} call;

static qn_bind rows_of(const qn_plan *p, const call *c, qn_value value, uint32_t columns)
{
    return qn_window_of(p, value, &(qn_row_window){(uint64_t)columns * 4, c->max_m, c->window, c->row0});
}

static const qn_bind scratch_x = {.kind = QN_BIND_SCRATCH, .value = SCRATCH_X};
static const qn_bind scratch_scales = {.kind = QN_BIND_SCRATCH, .value = SCRATCH_SCALES};
static const qn_bind scratch_y = {.kind = QN_BIND_SCRATCH, .value = SCRATCH_Y};

static qn_status add_norm(qn_plan *p, const call *c)
{
    uint32_t k = c->w->shape.dim[1];
    QN_TRY(qn_plan_scratch(p, SCRATCH_X, (uint64_t)c->m * k * 4));
    const qn_value *in = p->node->inputs;
    qn_norm_step step = {.x = rows_of(p, c, in[IN_X], k),
                         .w = qn_whole(p, in[IN_NORM]),
                         .y = scratch_x,
                         .n = c->m,
                         .e = k,
                         .eps = p->node->attrs.linear.eps};
    return qn_plan_norm_step(p, &step);
}

/* x in blocks of signed bytes, normalized before if it is to be. */
static qn_status add_blocks(qn_plan *p, const call *c)
{
    uint32_t k = c->w->shape.dim[1];
    QN_TRY(qn_plan_scratch(p, SCRATCH_X, qn_blocks8_code_bytes(c->m, k)));
    QN_TRY(qn_plan_scratch(p, SCRATCH_SCALES, qn_blocks8_scale_bytes(c->m, k)));
    const qn_value *in = p->node->inputs;
    qn_blocks8_step step = {.x = rows_of(p, c, in[IN_X], k),
                            .norm = in[IN_NORM] ? qn_whole(p, in[IN_NORM]) : (qn_bind){.kind = QN_BIND_DUMMY},
                            .codes = scratch_x,
                            .scales = scratch_scales,
                            .m = c->m,
                            .k = k,
                            .eps = p->node->attrs.linear.eps};
    return qn_plan_blocks8_step(p, &step);
}

static void bind_optional(const qn_plan *p, qn_dispatch *d, qn_value value)
{
    if (value)
        qn_bind_to(d, qn_whole(p, value));
    else
        qn_bind_dummy(d);
}

static void set_spec(const qn_plan *p, const call *c, qn_dispatch *d)
{
    const qn_pack_format *f = &c->w->format;
    const qn_value *in = p->node->inputs;
    d->spec[QN_LINEAR_STORAGE] = f->storage;
    d->spec[QN_LINEAR_GROUP] = f->group ? f->group : 1;
    d->spec[QN_LINEAR_SCALE_F16] = f->scale_f16;
    d->spec[QN_LINEAR_K] = c->w->shape.dim[1];
    d->spec[QN_LINEAR_HAS_BIAS] = in[IN_BIAS] != 0;
    d->spec[QN_LINEAR_HAS_RESIDUAL] = in[IN_RESIDUAL] != 0;
    d->spec[QN_LINEAR_NORM] = in[IN_NORM] != 0 && !c->norm_before && !c->blocks8;
    d->spec[QN_LINEAR_GATED] = p->node->attrs.linear.gated && !c->gate_after;
}

static void tell_work(const qn_plan *p, const call *c, const qn_weight_part *part, qn_dispatch *d)
{
    double m = c->m, rows = part->n_rows, k = c->w->shape.dim[1];
    double outputs = rows * (d->spec[QN_LINEAR_GATED] ? 0.5 : 1) * (p->node->inputs[IN_RESIDUAL] ? 2 : 1);
    double weight = (double)(part->data_bytes + part->scale_bytes + part->min_bytes);
    qn_plan_work(d, 2 * m * rows * k, weight + 4 * m * (k + outputs));
}

/* The product with one part of the weight. */
static qn_status add_product(qn_plan *p, const call *c, uint32_t part_index)
{
    const qn_node *node = p->node;
    const qn_value *in = node->inputs;
    const qn_weight_part *part = &c->w->parts[part_index];
    uint32_t n = c->w->shape.dim[0], k = c->w->shape.dim[1];
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, c->row, &s);
    if (!d) return s;
    set_spec(p, c, d);
    uint32_t columns = d->spec[QN_LINEAR_GATED] ? n / 2 : n;
    d->spec[QN_LINEAR_N] = part->n_rows;
    d->spec[QN_LINEAR_N0] = part->row0;
    d->spec[QN_LINEAR_COLUMNS] = columns;
    if (d->spec[QN_LINEAR_NORM]) memcpy(&d->spec[QN_LINEAR_EPS], &node->attrs.linear.eps, sizeof(uint32_t));
    qn_bind_to(d, c->norm_before || c->blocks8 ? scratch_x : rows_of(p, c, in[IN_X], k));
    qn_bind_weight(d, in[IN_W], part_index);
    bind_optional(p, d, in[IN_BIAS]);
    if (c->blocks8)
        qn_bind_to(d, scratch_scales);
    else
        bind_optional(p, d, d->spec[QN_LINEAR_NORM] ? in[IN_NORM] : 0);
    if (in[IN_RESIDUAL])
        qn_bind_to(d, rows_of(p, c, in[IN_RESIDUAL], columns));
    else
        qn_bind_dummy(d);
    qn_bind_to(d, c->gate_after ? scratch_y : rows_of(p, c, node->outputs[0], columns));
    qn_param_u32(d, c->m);
    qn_param_u32(d, columns);
    qn_param_u32(d, part->row0);
    qn_param_u32(d, part->n_rows);
    qn_param_u32(d, qn_pack_words(c->w->format.storage, k));
    qn_param_u32(d, qn_pack_groups(&c->w->format, k));
    tell_work(p, c, part, d);
    /* Tiles along N fold over z where they pass the grid. */
    uint32_t tiles = d->spec[QN_LINEAR_GATED] ? qn_div_up(columns, qn_row_const(c->row, "GATES"))
                                              : qn_div_up(part->n_rows, qn_row_const(c->row, "TILE_N"));
    QN_TRY(qn_grid_1d(p, d, tiles));
    d->grid[2] = d->grid[1];
    d->grid[1] = qn_div_up(c->m, qn_row_const(c->row, "TILE_M"));
    return qn_ok();
}

static qn_status add_gate(qn_plan *p, const call *c)
{
    uint32_t f = c->w->shape.dim[0] / 2;
    uint64_t mask = f % 4 == 0 ? 3 : 2;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_gate_kernels, mask, c->m);
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    qn_bind_to(d, scratch_y);
    qn_bind_to(d, rows_of(p, c, p->node->outputs[0], f));
    qn_plan_work(d, 0, 12.0 * c->m * f);
    uint32_t items = f / qn_row_const(row, "ITEM");
    qn_param_u32(d, c->m * items);
    qn_param_u32(d, items);
    return qn_grid_1d(p, d, qn_div_up_u64((uint64_t)c->m * items, row->workgroup[0]));
}

static qn_status add_window(qn_plan *p, const call *c)
{
    if (c->norm_before) QN_TRY(add_norm(p, c));
    if (c->blocks8) QN_TRY(add_blocks(p, c));
    if (c->gate_after) QN_TRY(qn_plan_scratch(p, SCRATCH_Y, (uint64_t)c->m * c->w->shape.dim[0] * 4));
    for (uint32_t part = 0; part < c->w->n_parts; part++) QN_TRY(add_product(p, c, part));
    return c->gate_after ? add_gate(p, c) : qn_ok();
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* Rows that one dispatch can bind, index with 32 bits and count in the grid. */
static qn_status window_rows(const qn_plan *p, call *c)
{
    uint32_t n = c->w->shape.dim[0], k = c->w->shape.dim[1], columns = p->node->attrs.linear.gated ? n / 2 : n;
    uint64_t row_bytes = (uint64_t)(n > k ? n : k) * 4;
    if (c->blocks8 && row_bytes < qn_blocks8_code_bytes(1, k)) row_bytes = qn_blocks8_code_bytes(1, k);
    uint32_t x = qn_window_granule((uint64_t)k * 4), y = qn_window_granule((uint64_t)columns * 4);
    QN_TRY(qn_plan_windows(p, row_bytes, x > y ? x : y, c->max_m, &c->window));
    uint64_t grid = (uint64_t)p->device->max_grid * qn_row_const(c->row, "TILE_M") / 64 * 64;
    if (c->window > grid) c->window = (uint32_t)grid;
    uint64_t indices = UINT32_MAX / (row_bytes / 4);
    if (c->window > indices && c->max_m > indices) c->window = (uint32_t)(indices / 64 * 64);
    if (c->window == 0)
        return qn_plan_fail(p, QN_ERR_LIMIT, "a row of %llu bytes is too long", (unsigned long long)row_bytes);
    return qn_ok();
}

static qn_status plan_rows(qn_plan *p, uint32_t m, uint64_t *mask)
{
    call c = {.w = qn_plan_in(p, IN_W)->weight};
    c.row = pick_row(p, c.w, m, mask);
    if (!c.row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this weight on this device");
    c.blocks8 = qn_row_const(c.row, "BLOCKS8");
    c.norm_before = p->node->inputs[IN_NORM] && !c.blocks8 && !qn_row_const(c.row, "NORMS");
    /* Gate and up of an output lie in the same part only where there is just one; rows of floats of x take four of each
     * at a time. */
    bool gates = qn_row_const(c.row, "GATES") && c.w->n_parts == 1 && (c.blocks8 || c.w->shape.dim[0] % 8 == 0);
    c.gate_after = p->node->attrs.linear.gated && !gates;
    c.max_m = (uint32_t)(qn_shape_count(&qn_plan_in(p, IN_X)->max) / c.w->shape.dim[1]);
    QN_TRY(window_rows(p, &c));
    for (c.row0 = 0; c.row0 < m; c.row0 += c.m) {
        c.m = m - c.row0 < c.window ? m - c.row0 : c.window;
        QN_TRY(add_window(p, &c));
    }
    return qn_ok();
}

qn_status qn_plan_linear(qn_plan *p)
{
    qn_shape out;
    uint32_t rows = 0, m, i = 0;
    QN_TRY(check(p, &out, &rows));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    while (qn_plan_probe(p, &qn_linear_kernels, rows, &i, &m)) {
        uint64_t mask = usable_rows(p, qn_plan_in(p, IN_W)->weight);
        do QN_TRY(plan_rows(p, m, &mask)); /* building: also what fewer rows choose for their fewer workgroups */
        while (p->building && mask);
    }
    return qn_ok();
}
