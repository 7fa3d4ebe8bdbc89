#include "ops/blocks8.h"

enum { BLOCK = 32 };

#define BLOCKS8_ROW(variant, lanes, where)                                                                             \
    {                                                                                                                  \
        .name = "blocks8." variant, .source = "blocks8", .entry = "blocks8", .access = "rrww",                         \
        .workgroup = {lanes, 1, 1}, .spec = {"K", "NORM"}, .preferred = where                                          \
    }

/* An invocation takes a block at a time: 64 of them a row of 2048 elements. */
static const qn_kernel_row rows[] = {
    BLOCKS8_ROW("wide", 64, QN_ROW_GPU),
    BLOCKS8_ROW("narrow", 8, QN_ROW_SOFTWARE),
};
const qn_kernel_table qn_blocks8_kernels = {rows, sizeof rows / sizeof rows[0]};

uint64_t qn_blocks8_code_bytes(uint32_t m, uint32_t k)
{
    return (uint64_t)m * qn_div_up(k, BLOCK) * BLOCK;
}

uint64_t qn_blocks8_scale_bytes(uint32_t m, uint32_t k)
{
    return (uint64_t)m * qn_div_up(k, BLOCK) * 8;
}

qn_status qn_plan_blocks8_step(qn_plan *p, const qn_blocks8_step *step)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_blocks8_kernels, 3, step->m);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device makes blocks of bytes");
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->spec[0] = step->k;
    d->spec[1] = step->norm.kind != QN_BIND_DUMMY;
    qn_bind_to(d, step->x);
    qn_bind_to(d, step->norm);
    qn_bind_to(d, step->codes);
    qn_bind_to(d, step->scales);
    qn_param_u32(d, step->m);
    qn_param_f32(d, step->eps);
    return qn_grid_1d(p, d, step->m);
}
