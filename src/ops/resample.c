/* resample.c - pictures at other places: upsample2d, grid_sampler_2d, grid_priors. */
#include "ops/check.h"

#include <math.h>

static const qn_kernel_row upsample_rows[] = {
    {.name = "upsample2d.element",
     .source = "upsample",
     .entry = "upsample",
     .access = "rw",
     .workgroup = {64, 1, 1},
     .spec = {"MODE"}},
};
const qn_kernel_table qn_upsample_kernels = {upsample_rows, 1};

/* Indexed by data: the kernel bounds the places, and the bounds checks stay as well. */
static const qn_kernel_row sampler_rows[] = {
    {.name = "grid_sampler_2d.place",
     .source = "grid_sampler",
     .entry = "grid_sampler",
     .access = "rrw",
     .workgroup = {64, 1, 1},
     .spec = {"BORDER", "ALIGN"},
     .checked = true},
};
const qn_kernel_table qn_grid_sampler_kernels = {sampler_rows, 1};

static const qn_kernel_row prior_rows[] = {
    {.name = "grid_priors.row",
     .source = "grid_priors",
     .entry = "grid_priors",
     .access = "w",
     .workgroup = {64, 1, 1}},
};
const qn_kernel_table qn_grid_priors_kernels = {prior_rows, 1};

/* Input i is an f32 tensor [N, C, H, W]. */
static qn_status check_picture(const qn_plan *p, uint32_t i, qn_tensor **t)
{
    char text[96];
    uint32_t n;
    QN_TRY(qn_check_f32(p, i, t));
    if ((*t)->live.rank != 4)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u%s has rank %u, not 4", i,
                            qn_shape_text(&(*t)->live, text, sizeof text), (*t)->live.rank);
    return qn_check_elements(p, &(*t)->live, &n);
}

static qn_status begin_dispatch(qn_plan *p, const qn_kernel_table *table, qn_dispatch **d)
{
    const qn_kernel_row *row = qn_plan_pick(p, table, 1, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
    qn_status s;
    *d = qn_plan_dispatch(p, row, &s);
    return s;
}

/* ---- upsample -------------------------------------------------------------------------------- */

/* The output's size in direction i, and how many input positions one of its positions takes; computed as torch does, in
 * float32, so that the nearest neighbour is the same one. */
static qn_status scale_axis(const qn_plan *p, uint32_t i, uint32_t in, uint32_t *out, float *step)
{
    const qn_upsample_options *o = &p->node->attrs.upsample;
    bool by_scale = o->size[i] == 0;
    double size = by_scale ? floor((double)in * o->scale[i]) : o->size[i];
    if (by_scale && !(o->scale[i] > 0.0))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "neither a size nor a scale above 0 (%g) is given", o->scale[i]);
    if (!(size >= 1.0) || size > INT32_MAX)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "an output of %g rows or columns, from %u", size, in);
    *out = (uint32_t)size;
    *step = by_scale ? (float)(1.0 / o->scale[i]) : (float)in / (float)*out;
    if (o->mode == QN_UPSAMPLE_BILINEAR && o->align_corners)
        *step = *out > 1 ? (float)(in - 1) / (float)(*out - 1) : 0.0f;
    else if (o->mode == QN_UPSAMPLE_NEAREST && *out == in)
        *step = 1.0f;
    else if (o->mode == QN_UPSAMPLE_NEAREST && *out == 2 * (uint64_t)in)
        *step = 0.5f;
    return qn_ok();
}

qn_status qn_plan_upsample(qn_plan *p)
{
    const qn_upsample_options *o = &p->node->attrs.upsample;
    if (o->mode != QN_UPSAMPLE_NEAREST && o->mode != QN_UPSAMPLE_BILINEAR)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "unknown mode %d", (int)o->mode);
    qn_tensor *x;
    QN_TRY(check_picture(p, 0, &x));
    qn_shape out = x->live;
    float step[2] = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < 2; i++) QN_TRY(scale_axis(p, i, x->live.dim[2 + i], &out.dim[2 + i], &step[i]));
    QN_TRY(qn_check_elements(p, &out, &n));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    qn_dispatch *d = NULL;
    QN_TRY(begin_dispatch(p, &qn_upsample_kernels, &d));
    d->spec[0] = o->mode == QN_UPSAMPLE_NEAREST ? 0 : o->align_corners ? 2 : 1;
    qn_bind_operand(p, d, 0);
    qn_bind_value(d, p->node->outputs[0]);
    const uint32_t words[] = {n, x->live.dim[2], x->live.dim[3], out.dim[2], out.dim[3]};
    for (uint32_t i = 0; i < 5; i++) qn_param_u32(d, words[i]);
    qn_param_f32(d, step[0]);
    qn_param_f32(d, step[1]);
    return qn_grid_1d(p, d, qn_div_up(n, d->row->workgroup[0]));
}

/* ---- grid_sampler ---------------------------------------------------------------------------- */

qn_status qn_plan_grid_sampler(qn_plan *p)
{
    bool border = p->node->attrs.grid_sampler.padding == QN_GRID_BORDER;
    if (!border && p->node->attrs.grid_sampler.padding != QN_GRID_ZEROS)
        return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "padding mode %d", (int)p->node->attrs.grid_sampler.padding);
    qn_tensor *x, *grid;
    QN_TRY(check_picture(p, 0, &x));
    QN_TRY(check_picture(p, 1, &grid));
    char xt[96], gt[96];
    if (grid->live.dim[3] != 2 || grid->live.dim[0] != x->live.dim[0])
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "grid%s does not fit x%s", qn_shape_text(&grid->live, gt, sizeof gt),
                            qn_shape_text(&x->live, xt, sizeof xt));
    uint32_t n = 0, channels = x->live.dim[1], places = grid->live.dim[1] * grid->live.dim[2];
    qn_shape out = qn_shape_4(x->live.dim[0], channels, grid->live.dim[1], grid->live.dim[2]);
    QN_TRY(qn_check_elements(p, &out, &n));
    if (p->device->type == QN_ADAPTER_SOFTWARE && channels > 65000)
        return qn_plan_fail(p, QN_ERR_LIMIT, "%u channels are too many for a software device", channels);
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    qn_dispatch *d = NULL;
    QN_TRY(begin_dispatch(p, &qn_grid_sampler_kernels, &d));
    d->spec[0] = border;
    d->spec[1] = p->node->attrs.grid_sampler.align_corners;
    qn_bind_operand(p, d, 0);
    qn_bind_operand(p, d, 1);
    qn_bind_value(d, p->node->outputs[0]);
    const uint32_t words[] = {n / channels, channels, x->live.dim[2], x->live.dim[3], places};
    for (uint32_t i = 0; i < 5; i++) qn_param_u32(d, words[i]);
    return qn_grid_1d(p, d, qn_div_up(n / channels, d->row->workgroup[0]));
}

/* ---- grid_priors ----------------------------------------------------------------------------- */

/* Of x only the live shape counts. */
qn_status qn_plan_grid_priors(qn_plan *p)
{
    const qn_tensor *x = qn_plan_in(p, 0);
    const qn_shape *s = &x->live;
    char text[96];
    if (s->rank < 2)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "x%s is not [...,H,W]", qn_shape_text(s, text, sizeof text));
    uint32_t n, elements, w = s->dim[s->rank - 1];
    qn_shape rows = qn_shape_2(s->dim[s->rank - 2], w);
    QN_TRY(qn_check_elements(p, &rows, &n));
    qn_shape out = qn_shape_2(n, 2);
    QN_TRY(qn_check_elements(p, &out, &elements));
    QN_TRY(qn_plan_set_out(p, 0, QN_F32, out));
    qn_dispatch *d = NULL;
    QN_TRY(begin_dispatch(p, &qn_grid_priors_kernels, &d));
    qn_bind_value(d, p->node->outputs[0]);
    qn_param_u32(d, n);
    qn_param_u32(d, w);
    qn_param_f32(d, p->node->attrs.grid_priors.stride);
    qn_param_f32(d, p->node->attrs.grid_priors.offset);
    return qn_grid_1d(p, d, qn_div_up(n, d->row->workgroup[0]));
}
