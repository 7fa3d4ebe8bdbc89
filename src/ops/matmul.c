/* matmul.c - linear: y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]), for every weight storage.
 *
 * The live row count M (product of x's leading live dimensions) chooses the kernel: one row a GEMV, a few rows the
 * skinny kernel, many a tiled GEMM. A weight split in parts takes a dispatch for each; an output over the binding
 * limit one for each window of rows. */
#include "ops/check.h"
#include "ops/op.h"

#include <string.h>

/* TILE_N x TILE_M: outputs of a workgroup. MIN_GROUPS: a row gives way to the next below so many workgroups; measured
 * on an H100 (132 multiprocessors), docs/performance.md. */
static const qn_kernel_row linear_rows[] = {
    {.name = "linear.gemv",
     .source = "linear_gemv",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {256, 1, 1},
     .consts = {{"TILE_N", 8}, {"TILE_M", 1}, {"MIN_GROUPS", 512}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU,
     .min_rows = 1,
     .max_rows = 1},
    {.name = "linear.gemv_narrow",
     .source = "linear_gemv",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {256, 1, 1},
     .consts = {{"TILE_N", 4}, {"TILE_M", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU,
     .min_rows = 1,
     .max_rows = 1},
    {.name = "linear.few",
     .source = "linear_gemv",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {256, 1, 1},
     .consts = {{"TILE_N", 16}, {"TILE_M", 4}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU,
     .min_rows = 2,
     .max_rows = 64},
    {.name = "linear.gemm",
     .source = "linear_gemm",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {128, 1, 1},
     .consts = {{"TILE_N", 64}, {"TILE_M", 128}, {"MICRO_M", 2}, {"MICRO_N", 2}, {"MIN_GROUPS", 256}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU,
     .min_rows = 65},
    {.name = "linear.gemm_narrow",
     .source = "linear_gemm",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {64, 1, 1},
     .consts = {{"TILE_N", 32}, {"TILE_M", 64}, {"MICRO_M", 2}, {"MICRO_N", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU,
     .min_rows = 65},
    {.name = "linear.quad1",
     .source = "linear_quad",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {8, 1, 1},
     .consts = {{"TILE_N", 32}, {"TILE_M", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE,
     .min_rows = 1,
     .max_rows = 1},
    {.name = "linear.quad4",
     .source = "linear_quad",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {8, 1, 1},
     .consts = {{"TILE_N", 32}, {"TILE_M", 4}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE,
     .min_rows = 2,
     .max_rows = 4},
    {.name = "linear.quad8",
     .source = "linear_quad",
     .with = {"storage", "linear4", "weights4"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {8, 1, 1},
     .consts = {{"TILE_N", 32}, {"TILE_M", 8}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE,
     .min_rows = 5},
    /* Any group size and any K: the reference among the kernels. */
    {.name = "linear.any",
     .source = "linear_any",
     .with = {"storage", "weights"},
     .entry = "main",
     .access = "rrrrrw",
     .workgroup = {64, 1, 1},
     .consts = {{"TILE_N", 64}, {"TILE_M", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"}},
};
/* llvmpipe leaves an invocation after 65,535 rounds of loops, without an error: what linear_any.wgsl, which takes four
 * elements a round, can do there. */
enum { SOFTWARE_MAX_K = 250000 };
enum { N_LINEAR_ROWS = sizeof linear_rows / sizeof linear_rows[0], ROW_ANY = N_LINEAR_ROWS - 1 };

const qn_kernel_table qn_linear_kernels = {linear_rows, N_LINEAR_ROWS};

/* Bit i: row i can compute this weight. The fast rows read x in vec4 and weights in blocks of 32 elements whose
 * scale groups are whole blocks or halves of one. */
static uint64_t usable_rows(const qn_weight *w)
{
    uint32_t k = w->shape.dim[1], group = w->format.group;
    bool blocks = group == 0 || group == 16 || group % 32 == 0;
    if (k % 4 == 0 && blocks) return (1u << N_LINEAR_ROWS) - 1;
    return 1u << ROW_ANY;
}

static qn_status check(const qn_plan *p, qn_shape *out, uint32_t *rows)
{
    qn_tensor *x;
    QN_TRY(qn_check_f32(p, 0, &x));
    const qn_tensor *w = qn_plan_in(p, 1), *bias = qn_plan_in(p, 2);
    char shape[128];
    if (!w->weight || !w->weight->matrix)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the second input is not a weight matrix");
    uint32_t n = w->weight->shape.dim[0], k = w->weight->shape.dim[1];
    if (x->live.rank == 0 || x->live.dim[x->live.rank - 1] != k)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %s %s must have a last dimension of %u", x->name,
                            qn_shape_text(&x->live, shape, sizeof shape), k);
    if (bias && (!bias->weight || bias->weight->matrix || bias->live.rank != 1 || bias->live.dim[0] != n))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "bias %s must be a plain f32 weight of [%u]",
                            qn_shape_text(&bias->live, shape, sizeof shape), n);
    if (p->device->type == QN_ADAPTER_SOFTWARE && k > SOFTWARE_MAX_K)
        return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "rows of %u elements are over the %d of a software device", k,
                            SOFTWARE_MAX_K);
    uint64_t m = qn_shape_count(&x->live) / k;
    if (m > INT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "%llu rows are too many", (unsigned long long)m);
    *out = x->live;
    out->dim[out->rank - 1] = n;
    *rows = (uint32_t)m;
    return qn_ok();
}

/* Rows of x and y that one dispatch can bind, index with 32 bits and count in the grid. */
static qn_status window_rows(const qn_plan *p, const qn_kernel_row *row, uint64_t row_bytes, uint32_t max_m,
                             uint32_t *window)
{
    QN_TRY(qn_plan_window(p, row_bytes, max_m, window));
    uint64_t grid = (uint64_t)p->device->max_grid * qn_row_const(row, "TILE_M") / 64 * 64;
    if (*window > grid) *window = (uint32_t)grid;
    uint64_t indices = UINT32_MAX / (row_bytes / 4);
    if (*window > indices && max_m > indices) *window = (uint32_t)(indices / 64 * 64);
    if (*window == 0)
        return qn_plan_fail(p, QN_ERR_LIMIT, "a row of %llu bytes is too long", (unsigned long long)row_bytes);
    return qn_ok();
}

/* One dispatch: a part of the weight, and a window of x's rows. */
typedef struct piece {
    const qn_kernel_row *row;
    uint32_t part;
    uint32_t row0, n_rows;  /* of the live rows            */
    uint32_t window, max_m; /* what is bound: qn_bind_rows */
} piece;

static qn_status add_dispatch(qn_plan *p, const piece *at)
{
    const qn_node *node = p->node;
    const qn_weight *w = qn_plan_in(p, 1)->weight;
    const qn_weight_part *part = &w->parts[at->part];
    uint32_t n = w->shape.dim[0], k = w->shape.dim[1];
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, at->row, &s);
    if (!d) return s;
    const uint32_t spec[] = {w->format.storage, w->format.group ? w->format.group : 1, w->format.scale_f16,
                             node->inputs[2] != 0, k};
    memcpy(d->spec, spec, sizeof spec);
    qn_bind_rows(p, d, node->inputs[0], (uint64_t)k * 4, at->max_m, at->window, at->row0);
    qn_bind_weight(d, node->inputs[1], at->part);
    if (node->inputs[2])
        qn_bind_section(d, node->inputs[2], 0, QN_BIND_DATA);
    else
        qn_bind_dummy(d);
    qn_bind_rows(p, d, node->outputs[0], (uint64_t)n * 4, at->max_m, at->window, at->row0);
    qn_param_u32(d, at->n_rows);
    qn_param_u32(d, n);
    qn_param_u32(d, part->row0);
    qn_param_u32(d, part->n_rows);
    qn_param_u32(d, qn_pack_words(w->format.storage, k));
    qn_param_u32(d, qn_pack_groups(&w->format, k));
    /* Tiles along N fold over z where they pass the grid. */
    QN_TRY(qn_grid_1d(p, d, qn_div_up(part->n_rows, qn_row_const(at->row, "TILE_N"))));
    d->grid[2] = d->grid[1];
    d->grid[1] = qn_div_up(at->n_rows, qn_row_const(at->row, "TILE_M"));
    return qn_ok();
}

/* The picked row for m rows. A row with MIN_GROUPS gives way to the next where it would make fewer workgroups than
 * that and leave most of a GPU idle. Fewer rows make fewer workgroups, so the counts that qn_plan_probe visits
 * (the smallest and the largest) meet both choices. */
static const qn_kernel_row *pick_row(const qn_plan *p, const qn_weight *w, uint32_t m)
{
    uint64_t mask = usable_rows(w);
    for (;;) {
        const qn_kernel_row *row = qn_plan_pick(p, &qn_linear_kernels, mask, m);
        if (!row || (p->forced && strcmp(row->name, p->forced) == 0)) return row;
        uint64_t groups = (uint64_t)qn_div_up(m, qn_row_const(row, "TILE_M")) *
                          qn_div_up(w->shape.dim[0], qn_row_const(row, "TILE_N"));
        if (groups >= qn_row_const(row, "MIN_GROUPS")) return row;
        mask &= ~(1ull << (row - linear_rows));
    }
}

static qn_status plan_rows(qn_plan *p, uint32_t m)
{
    const qn_weight *w = qn_plan_in(p, 1)->weight;
    piece at = {.row = pick_row(p, w, m)};
    if (!at.row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this weight on this device");
    uint32_t n = w->shape.dim[0], k = w->shape.dim[1];
    at.max_m = (uint32_t)(qn_shape_count(&qn_plan_in(p, 0)->max) / k);
    QN_TRY(window_rows(p, at.row, (uint64_t)(n > k ? n : k) * 4, at.max_m, &at.window));
    for (at.part = 0; at.part < w->n_parts; at.part++)
        for (at.row0 = 0; at.row0 < m; at.row0 += at.n_rows) {
            at.n_rows = m - at.row0 < at.window ? m - at.row0 : at.window;
            QN_TRY(add_dispatch(p, &at));
        }
    return qn_ok();
}

qn_status qn_plan_linear(qn_plan *p)
{
    qn_shape out;
    uint32_t rows = 0, m, i = 0;
    QN_TRY(check(p, &out, &rows));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    while (qn_plan_probe(p, &qn_linear_kernels, rows, &i, &m)) QN_TRY(plan_rows(p, m));
    return qn_ok();
}
