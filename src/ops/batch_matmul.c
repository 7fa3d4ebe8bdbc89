/* batch_matmul.c - y[..., M, N] = scale * a[..., M, K] . b[..., K, N], both operands tensors of the graph.
 *
 * The live shape chooses the row: by M as in linear.c, and the half of the table that reads whole vec4s where the lines
 * of both operands divide by 4. */
#include "ops/check.h"

/* TILE_M x TILE_N: outputs of a workgroup. MIN_GROUPS: a row gives way to the next below so many workgroups. MAX_K: it
 * sums without putting partial sums aside, which loses digits on longer lines. LOOPS: how often an invocation goes
 * round its loops for 64 elements of K. */
#define ROW(text, file, item_file, device, low, high, threads, ...)                                                    \
    {                                                                                                                  \
        .name = text, .source = file, .with = {"matmul", item_file}, .entry = "main", .access = "rrw",                 \
        .workgroup = {threads, 1, 1}, .consts = {__VA_ARGS__}, .spec = {"TRANSPOSE_B"}, .preferred = device,           \
        .min_rows = low, .max_rows = high                                                                              \
    }
#define TILES(m, n, loops)                                                                                             \
    {"TILE_M", m}, {"TILE_N", n},                                                                                      \
    {                                                                                                                  \
        "LOOPS", loops                                                                                                 \
    }
#define ROWS(suffix, file)                                                                                             \
    ROW("matmul.gemv" suffix, "matmul_gemv", file, QN_ROW_GPU, 1, 1, 256, TILES(1, 64, 2)),                            \
        ROW("matmul.few" suffix, "matmul_gemv", file, QN_ROW_GPU, 2, 8, 256, TILES(4, 64, 5)),                         \
        ROW("matmul.tile" suffix, "matmul_tile", file, QN_ROW_GPU, 9, 0, 64, TILES(64, 64, 68), {"TILE_K", 16},        \
            {"MICRO", 2}, {"FOLD", 0}, {"MAX_K", 8192}, {"MIN_GROUPS", 256}),                                          \
        ROW("matmul.tile_narrow" suffix, "matmul_tile", file, QN_ROW_GPU, 9, 0, 64, TILES(32, 32, 66), {"TILE_K", 32}, \
            {"MICRO", 1}, {"FOLD", 16}),                                                                               \
        ROW("matmul.block1" suffix, "matmul_block", file, QN_ROW_SOFTWARE, 1, 1, 8, TILES(1, 32, 17)),                 \
        ROW("matmul.block4" suffix, "matmul_block", file, QN_ROW_SOFTWARE, 2, 4, 8, TILES(4, 32, 17)),                 \
        ROW("matmul.block8" suffix, "matmul_block", file, QN_ROW_SOFTWARE, 5, 0, 8, TILES(8, 32, 17))

static const qn_kernel_row rows[] = {ROWS("", "matmul_item4"), ROWS("_any", "matmul_item1")};
enum { N_ROWS = sizeof rows / sizeof rows[0], N_VEC4 = N_ROWS / 2 };
const qn_kernel_table qn_matmul_kernels = {rows, N_ROWS};

/* llvmpipe leaves an invocation after 65,535 rounds of loops, without an error. */
enum { SOFTWARE_ROUNDS = 60000, MAX_MATMUL_RANK = 4 };

typedef struct matmul_size {
    uint32_t m, n, k;
    uint32_t outer, inner;           /* batches                                           */
    uint32_t a_batch[2], b_batch[2]; /* elements from batch to batch, outer and inner */
} matmul_size;

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Dimension i from the end, 1 past the first. */
static uint32_t from_end(const qn_shape *s, uint32_t i)
{
    return i < s->rank ? s->dim[s->rank - 1 - i] : 1;
}

static qn_status shapes_differ(const qn_plan *p, const qn_tensor *a, const qn_tensor *b, const char *why)
{
    char at[96], bt[96];
    return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%s and %s%s%s %s", a->name ? a->name : "",
                        qn_shape_text(&a->live, at, sizeof at), b->name ? b->name : "",
                        qn_shape_text(&b->live, bt, sizeof bt),
                        p->node->attrs.matmul.transpose_b ? " (transposed)" : "", why);
}

/* Checks the operands, and fills the sizes and the output's shape. */
static qn_status check(const qn_plan *p, matmul_size *s, qn_shape *out)
{
    qn_tensor *a, *b;
    QN_TRY(qn_check_f32(p, 0, &a));
    QN_TRY(qn_check_f32(p, 1, &b));
    const qn_shape *as = &a->live, *bs = &b->live;
    bool t = p->node->attrs.matmul.transpose_b;
    if (as->rank < 2 || bs->rank < 2 || as->rank > MAX_MATMUL_RANK || bs->rank > MAX_MATMUL_RANK)
        return shapes_differ(p, a, b, "must have a rank of 2 to 4");
    *s = (matmul_size){.m = from_end(as, 1), .k = from_end(as, 0), .n = from_end(bs, t ? 1 : 0)};
    if (from_end(bs, t ? 0 : 1) != s->k) return shapes_differ(p, a, b, "do not agree in K");
    uint32_t n_elements, batch[2];
    QN_TRY(qn_check_elements(p, as, &n_elements));
    QN_TRY(qn_check_elements(p, bs, &n_elements));
    uint32_t a_step = s->m * s->k, b_step = s->k * s->n;
    for (uint32_t i = 0; i < 2; i++) { /* the inner one first */
        uint32_t x = from_end(as, 2 + i), y = from_end(bs, 2 + i);
        if (x != y && x != 1 && y != 1) return shapes_differ(p, a, b, "have batch dimensions that do not broadcast");
        batch[i] = x > y ? x : y;
        s->a_batch[1 - i] = x == 1 ? 0 : a_step;
        s->b_batch[1 - i] = y == 1 ? 0 : b_step;
        a_step *= x;
        b_step *= y;
    }
    s->inner = batch[0];
    s->outer = batch[1];
    out->rank = as->rank > bs->rank ? as->rank : bs->rank;
    for (uint32_t i = 0; i + 2 < out->rank; i++) out->dim[out->rank - 3 - i] = batch[i];
    out->dim[out->rank - 2] = s->m;
    out->dim[out->rank - 1] = s->n;
    return qn_check_elements(p, out, &n_elements);
}

/* ---- routes ---------------------------------------------------------------------------------- */

/* What a shape allows, as bits: lines of whole vec4s; K short enough for a software device's rounds; and enough work
 * and short enough lines for the large tile. */
enum { LINES_OF_4 = 1, FEW_ROUNDS = 2, LARGE = 4, ALL_ALLOWED = 7 };

static uint64_t groups_of(const qn_kernel_row *row, const matmul_size *s)
{
    return (uint64_t)s->outer * s->inner * qn_div_up(s->m, qn_row_const(row, "TILE_M")) *
           qn_div_up(s->n, qn_row_const(row, "TILE_N"));
}

/* Bit i: row i may be taken for a shape of which `allowed` holds. */
static uint64_t usable_rows(const qn_plan *p, const matmul_size *s, uint32_t allowed)
{
    uint64_t mask = 0;
    bool software = p->device->type == QN_ADAPTER_SOFTWARE;
    for (uint32_t i = 0; i < N_ROWS; i++) {
        if (i < N_VEC4 && !(allowed & LINES_OF_4)) continue;
        if (qn_row_const(&rows[i], "MAX_K") && !(allowed & LARGE)) continue;
        uint64_t rounds = (uint64_t)qn_div_up(s->k, 64) * qn_row_const(&rows[i], "LOOPS");
        if (software && rounds > SOFTWARE_ROUNDS && !(allowed & FEW_ROUNDS)) continue;
        mask |= 1ull << i;
    }
    return mask;
}

static uint32_t allowed_by(const qn_plan *p, const matmul_size *s)
{
    bool transposed = p->node->attrs.matmul.transpose_b;
    uint32_t allowed = s->k % 4 == 0 && (transposed || s->n % 4 == 0) ? LINES_OF_4 : 0;
    for (uint32_t i = 0; i < N_ROWS; i++) {
        uint32_t max_k = qn_row_const(&rows[i], "MAX_K");
        if (max_k && s->k <= max_k && (p->forced || groups_of(&rows[i], s) >= qn_row_const(&rows[i], "MIN_GROUPS")))
            allowed |= LARGE;
    }
    return allowed;
}

static qn_status dispatch(qn_plan *p, const matmul_size *s, uint32_t allowed)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_matmul_kernels, usable_rows(p, s, allowed), s->m);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "lines of %u elements are too long for this device", s->k);
    qn_status status;
    qn_dispatch *d = qn_plan_dispatch(p, row, &status);
    if (!d) return status;
    uint64_t groups = groups_of(row, s);
    if (groups > UINT32_MAX) return qn_plan_fail(p, QN_ERR_LIMIT, "more than 2^32 workgroups");
    d->spec[0] = p->node->attrs.matmul.transpose_b;
    qn_bind_operand(p, d, 0);
    qn_bind_operand(p, d, 1);
    qn_bind_value(d, p->node->outputs[0]);
    const uint32_t params[] = {s->m,
                               s->n,
                               s->k,
                               qn_div_up(s->m, qn_row_const(row, "TILE_M")),
                               qn_div_up(s->n, qn_row_const(row, "TILE_N")),
                               (uint32_t)groups,
                               s->inner,
                               s->a_batch[0],
                               s->a_batch[1],
                               s->b_batch[0],
                               s->b_batch[1]};
    for (uint32_t i = 0; i < sizeof params / sizeof params[0]; i++) qn_param_u32(d, params[i]);
    qn_param_f32(d, p->node->attrs.matmul.scale);
    return qn_grid_1d(p, d, groups);
}

/* Every row that a live shape within the maximum may choose. */
static qn_status plan_all(qn_plan *p, const matmul_size *most)
{
    for (uint32_t allowed = 0; allowed <= ALL_ALLOWED; allowed++) {
        matmul_size s = *most;
        for (uint32_t i = 0; qn_plan_probe(p, &qn_matmul_kernels, most->m, &i, &s.m);) QN_TRY(dispatch(p, &s, allowed));
    }
    return qn_ok();
}

/* y[..., M, N] = scale * a[..., M, K] . b[..., K, N] (b[..., N, K] transposed) */
qn_status qn_plan_matmul(qn_plan *p)
{
    matmul_size s = {0};
    qn_shape out = {0};
    QN_TRY(check(p, &s, &out));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    return p->building ? plan_all(p, &s) : dispatch(p, &s, allowed_by(p, &s));
}
