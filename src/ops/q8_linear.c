/* q8_linear.c - a linear layer of 8-bit codes with 8-bit weights. */
#include "ops/quantize.h"

enum { ROW_WORD, ROW_BYTE, N_ROWS };

#define Q8_LINEAR_ROW(variant, sums)                                                                                   \
    {                                                                                                                  \
        .name = "q8ta_linear." variant, .source = "q8_linear", .with = {"quantize", sums}, .entry = "main",            \
        .access = "rrrrw", .workgroup = {64, 1, 1}, .spec = {                                                          \
            "HAS_BIAS",                                                                                                \
            "RELU",                                                                                                    \
            "FLOAT_OUTPUT"                                                                                             \
        }                                                                                                              \
    }

static const qn_kernel_row rows[] = {
    [ROW_WORD] = Q8_LINEAR_ROW("word", "q8_word"),
    [ROW_BYTE] = Q8_LINEAR_ROW("byte", "q8_byte"),
};
const qn_kernel_table qn_q8_linear_kernels = {rows, N_ROWS};

/* *k: elements of a row of x; *row_bytes: of w. */
static qn_status check(const qn_plan *p, const qn_q8_linear_options *o, uint32_t *k, uint32_t *row_bytes)
{
    qn_tensor *x;
    QN_TRY(qn_check_codes(p, 0, &x));
    QN_TRY(qn_check_quant(p, "the input", &o->input));
    if (!o->float_output) QN_TRY(qn_check_quant(p, "the output", &o->output));
    if (x->live.rank == 0 || o->n == 0)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x of rank %u, and %u outputs", x->live.rank, o->n);
    *k = x->live.dim[x->live.rank - 1];
    *row_bytes = o->row_bytes ? o->row_bytes : *k;
    if (*k > QN_Q8_MOST)
        return qn_plan_fail(p, QN_ERR_LIMIT, "sums of %u products; at most %d are exact", *k, (int)QN_Q8_MOST);
    if (*row_bytes < *k) return qn_plan_fail(p, QN_ERR_ARGUMENT, "rows of %u bytes hold no %u weights", *row_bytes, *k);
    return qn_check_q8_weights(p, (uint64_t)*row_bytes * o->n, o->n, o->n);
}

qn_status qn_plan_q8ta_linear(qn_plan *p)
{
    const qn_q8_linear_options *o = &p->node->attrs.q8_linear;
    uint32_t k = 0, row_bytes = 0, n_in = 0, n_out = 0;
    QN_TRY(check(p, o, &k, &row_bytes));
    qn_shape out = qn_plan_in(p, 0)->live;
    QN_TRY(qn_check_elements(p, &out, &n_in));
    out.dim[out.rank - 1] = o->n;
    QN_TRY(qn_check_elements(p, &out, &n_out));
    QN_TRY(qn_plan_set_out(p, 0, o->float_output ? QN_F32 : QN_I32, out));
    uint64_t mask = 1u << ROW_BYTE;
    if (k % 4 == 0 && row_bytes % 4 == 0) mask |= 1u << ROW_WORD;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_q8_linear_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    uint32_t blocks = qn_div_up(o->n, 4), n = n_in / k * blocks;
    qn_quant none = {1.0, 0};
    d->spec[0] = p->node->inputs[3] != 0;
    d->spec[1] = o->relu;
    d->spec[2] = o->float_output;
    qn_bind_q8(p, d);
    qn_param_quant(d, o->float_output ? &none : &o->output, -128, 127);
    qn_param_f32(d, (float)o->input.scale);
    const uint32_t words[] = {(uint32_t)o->input.zero_point, n, k, o->n, blocks, row_bytes};
    for (uint32_t i = 0; i < 6; i++) qn_param_u32(d, words[i]);
    return qn_grid_1d(p, d, qn_div_up(n, row->workgroup[0]));
}
