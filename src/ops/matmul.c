/* matmul.c - linear: y[..., N] = x[..., K] . w[N, K]^T (+ bias[N]), for every weight storage.
 *
 * The live row count M (product of x's leading live dimensions) chooses the kernel: one row a GEMV, a few rows the
 * skinny kernel, many a tiled GEMM. A weight split in parts takes a dispatch for each; an output over the binding
 * limit one for each window of rows. */
#include "ops/op.h"

#include <string.h>

/* TILE_N x TILE_M: outputs of a workgroup. */
static const qn_kernel_row linear_rows[] = {
    {.name = "linear.gemv", .source = "linear_gemv", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {256, 1, 1}, .consts = {{"TILE_N", 16}, {"TILE_M", 1}, {"ROWS", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU, .min_rows = 1, .max_rows = 1},
    {.name = "linear.few", .source = "linear_gemv", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {256, 1, 1}, .consts = {{"TILE_N", 16}, {"TILE_M", 4}, {"ROWS", 4}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU, .min_rows = 2, .max_rows = 8},
    {.name = "linear.gemm", .source = "linear_gemm", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {128, 1, 1}, .consts = {{"TILE_N", 64}, {"TILE_M", 128}, {"TILE_K", 16}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_GPU, .min_rows = 9},
    {.name = "linear.quad1", .source = "linear_quad", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {8, 1, 1}, .consts = {{"TILE_N", 32}, {"TILE_M", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE, .min_rows = 1, .max_rows = 1},
    {.name = "linear.quad4", .source = "linear_quad", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {8, 1, 1}, .consts = {{"TILE_N", 32}, {"TILE_M", 4}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE, .min_rows = 2, .max_rows = 4},
    {.name = "linear.quad8", .source = "linear_quad", .with = {"weights4"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {8, 1, 1}, .consts = {{"TILE_N", 32}, {"TILE_M", 8}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"},
     .preferred = QN_ROW_SOFTWARE, .min_rows = 5},
    /* Any group size and any K: the reference among the kernels. */
    {.name = "linear.any", .source = "linear_any", .with = {"weights"}, .entry = "main", .access = "rrrrrw",
     .workgroup = {64, 1, 1}, .consts = {{"TILE_N", 64}, {"TILE_M", 1}},
     .spec = {"STORAGE", "GROUP", "SCALE_F16", "HAS_BIAS", "K"}},
};
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
    const qn_tensor *x = qn_plan_in(p, 0), *w = qn_plan_in(p, 1), *bias = qn_plan_in(p, 2);
    char shape[128];
    if (!w->weight || !w->weight->matrix) return qn_plan_fail(p, QN_ERR_ARGUMENT, "the second input is not a weight matrix");
    uint32_t n = w->weight->shape.dim[0], k = w->weight->shape.dim[1];
    if (x->dtype != QN_F32 || x->live.rank == 0 || x->live.dim[x->live.rank - 1] != k)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %s %s must be f32 with a last dimension of %u", x->name,
                            qn_shape_text(&x->live, shape, sizeof shape), k);
    if (bias && (!bias->weight || bias->weight->matrix || bias->live.rank != 1 || bias->live.dim[0] != n))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "bias %s must be a plain f32 weight of [%u]",
                            qn_shape_text(&bias->live, shape, sizeof shape), n);
    uint64_t m = qn_shape_count(&x->live) / k;
    if (m > UINT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "%llu rows are too many", (unsigned long long)m);
    *out = x->live;
    out->dim[out->rank - 1] = n;
    *rows = (uint32_t)m;
    return qn_ok();
}

/* Rows of x and y that one dispatch can bind and count: a multiple of 64, so that windows start at multiples of 256
 * bytes. It depends on the device and the node only. */
static uint32_t window_rows(const qn_plan *p, const qn_kernel_row *row, uint32_t n, uint32_t k)
{
    uint64_t widest = (uint64_t)(n > k ? n : k) * 4;
    uint64_t rows = p->device->max_binding_bytes / widest;
    uint64_t grid = (uint64_t)p->device->max_grid * qn_row_const(row, "TILE_M");
    if (rows > grid) rows = grid;
    if (rows > UINT32_MAX / (n > k ? n : k)) rows = UINT32_MAX / (n > k ? n : k); /* 32-bit element indices */
    return (uint32_t)(rows / 64 * 64);
}

typedef struct piece {
    const qn_kernel_row *row;
    uint32_t part;         /* of the weight           */
    uint32_t row0, n_rows; /* window of x's live rows */
    uint32_t bound;        /* rows bound: those of the window at the maximum; 0: the whole tensor */
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
    qn_bind_window(d, node->inputs[0], (uint64_t)at->row0 * k * 4, (uint64_t)at->bound * k * 4);
    qn_bind_weight(d, node->inputs[1], at->part);
    if (node->inputs[2])
        qn_bind_section(d, node->inputs[2], 0, QN_BIND_DATA);
    else
        qn_bind_dummy(d);
    qn_bind_window(d, node->outputs[0], (uint64_t)at->row0 * n * 4, (uint64_t)at->bound * n * 4);
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

static qn_status plan_rows(qn_plan *p, uint32_t m)
{
    const qn_weight *w = qn_plan_in(p, 1)->weight;
    piece at = {.row = qn_plan_pick(p, &qn_linear_kernels, usable_rows(w), m)};
    if (!at.row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel for this weight on this device");
    uint32_t window = window_rows(p, at.row, w->shape.dim[0], w->shape.dim[1]);
    if (window == 0) return qn_plan_fail(p, QN_ERR_LIMIT, "64 rows of the output are over the device's binding limit");
    /* What is bound depends on the tensors' maximum, so that it is the same at any live M. */
    uint64_t max_m = qn_shape_count(&qn_plan_in(p, 0)->max) / w->shape.dim[1];
    for (at.part = 0; at.part < w->n_parts; at.part++)
        for (at.row0 = 0; at.row0 < m; at.row0 += at.n_rows) {
            at.n_rows = m - at.row0 < window ? m - at.row0 : window;
            if (max_m > window) at.bound = max_m - at.row0 < window ? (uint32_t)(max_m - at.row0) : window;
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
