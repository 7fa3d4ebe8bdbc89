/* translate_vision.c - convolutions, pooling and other operators on pictures [N, C, H, W]. */
#include "program/translate.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

/* One or two numbers of a list, for height and width; one: both, or with `line` (x[N, C, L]) the second. Absent: as
 * they are. */
static qn_status pair(const qn_call *c, uint32_t i, bool line, uint32_t out[2])
{
    int64_t list[2];
    uint32_t n = 0;
    QN_TRY(qn_arg_ints(c, i, list, 2, &n));
    for (uint32_t k = 0; k < n; k++)
        if (list[k] < 0 || list[k] > INT32_MAX)
            return qn_call_fail(c, QN_ERR_FORMAT, "argument %u has the number %" PRId64, i, list[k]);
    if (n == 2) {
        out[0] = (uint32_t)list[0];
        out[1] = (uint32_t)list[1];
    } else if (n == 1) {
        out[1] = (uint32_t)list[0];
        if (!line) out[0] = out[1];
    }
    return qn_ok();
}

qn_status qn_arg_conv(const qn_call *c, uint32_t first, const char *order, qn_conv_options *o)
{
    bool line = qn_arg(c, 0)->u.tensor.shape.rank == 3;
    int64_t groups = 1;
    qn_status s = qn_ok();
    *o = qn_conv_default();
    for (uint32_t i = 0; order[i] && s.code == QN_OK; i++) {
        if (order[i] == 's') s = pair(c, first + i, line, o->stride);
        if (order[i] == 'p') s = pair(c, first + i, line, o->padding);
        if (order[i] == 'd') s = pair(c, first + i, line, o->dilation);
        if (order[i] == 'o') s = pair(c, first + i, line, o->output_padding);
        if (order[i] == 't') s = qn_arg_bool(c, first + i, &o->transposed);
        if (order[i] == 'g') s = qn_arg_int(c, first + i, &groups);
    }
    QN_TRY(s);
    if (groups < 1 || groups > INT32_MAX) return qn_call_fail(c, QN_ERR_FORMAT, "%" PRId64 " groups", groups);
    o->groups = (uint32_t)groups;
    return qn_ok();
}

/* x, weight, bias or Null, stride, padding, dilation, transposed, output padding, groups, (min, max,) out */
qn_status qn_translate_conv(const qn_call *c)
{
    qn_value x, w, bias;
    qn_conv_options o;
    double low = -(double)INFINITY, high = (double)INFINITY;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &w));
    QN_TRY(qn_arg_optional(c, 2, &bias));
    QN_TRY(qn_arg_conv(c, 3, "spdtog", &o));
    if (qn_arg_out(c) >= 11) {
        QN_TRY(qn_arg_double_or(c, 9, low, &low));
        QN_TRY(qn_arg_double_or(c, 10, high, &high));
    }
    o.clamp = isfinite(low) || isfinite(high);
    o.min = low < -(double)FLT_MAX ? -FLT_MAX : (float)low;
    o.max = high > (double)FLT_MAX ? FLT_MAX : (float)high;
    return qn_give(c, qn_conv2d(c->t->g, x, w, bias, &o));
}

/* in, kernel, stride, padding, dilation, ceil mode, out (list [y, indices], or y) */
qn_status qn_translate_max_pool(const qn_call *c)
{
    qn_value x, indices = 0;
    qn_pool_options o = {.kernel = {0}};
    uint32_t last = qn_arg_out(c);
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(pair(c, 1, false, o.kernel));
    if (last > 2) QN_TRY(pair(c, 2, false, o.stride));
    if (last > 3) QN_TRY(pair(c, 3, false, o.padding));
    if (last > 4) QN_TRY(pair(c, 4, false, o.dilation));
    if (last > 5) QN_TRY(qn_arg_bool(c, 5, &o.ceil_mode));
    const qn_vk_value *out = qn_arg(c, last);
    bool list = out->kind == QN_VK_VALUE_LIST && out->u.list.count > 1;
    QN_TRY(qn_give_at(c, 0, qn_max_pool2d(c->t->g, x, &o, list ? &indices : NULL)));
    return list ? qn_give_at(c, 1, indices) : qn_ok();
}

/* in, kernel, stride, padding, ceil mode, count padding, divisor or Null, out */
qn_status qn_translate_avg_pool(const qn_call *c)
{
    qn_value x;
    qn_pool_options o = {.count_include_pad = true};
    int64_t divisor = 0;
    uint32_t last = qn_arg_out(c);
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(pair(c, 1, false, o.kernel));
    if (last > 2) QN_TRY(pair(c, 2, false, o.stride));
    if (last > 3) QN_TRY(pair(c, 3, false, o.padding));
    if (last > 4) QN_TRY(qn_arg_bool(c, 4, &o.ceil_mode));
    if (last > 5) QN_TRY(qn_arg_bool(c, 5, &o.count_include_pad));
    if (last > 6) QN_TRY(qn_arg_int_or(c, 6, 0, &divisor));
    if (divisor < INT32_MIN || divisor > INT32_MAX)
        return qn_call_fail(c, QN_ERR_FORMAT, "the divisor is %" PRId64, divisor);
    o.divisor_override = (int32_t)divisor;
    return qn_give(c, qn_avg_pool2d(c->t->g, x, &o));
}

/* in, weight or Null, bias or Null, mean, var, momentum, eps, out (list [y, ...], whose others say nothing) */
qn_status qn_translate_batch_norm(const qn_call *c)
{
    qn_value x;
    qn_batch_norm_operands o;
    double eps = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_optional(c, 1, &o.weight));
    QN_TRY(qn_arg_optional(c, 2, &o.bias));
    QN_TRY(qn_arg_tensor(c, 3, &o.mean));
    QN_TRY(qn_arg_tensor(c, 4, &o.var));
    QN_TRY(qn_arg_double(c, 6, &eps));
    return qn_give(c, qn_batch_norm(c->t->g, x, &o, (float)eps));
}

/* in, output size or Null, (align corners,) scale factors or Null, out */
qn_status qn_translate_upsample(const qn_call *c)
{
    qn_value x;
    qn_upsample_options o = {.mode = (qn_upsample_mode)c->row->variant};
    uint32_t i = 2, n = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(pair(c, 1, false, o.size));
    if (o.mode == QN_UPSAMPLE_BILINEAR) QN_TRY(qn_arg_bool(c, i++, &o.align_corners));
    QN_TRY(qn_arg_doubles(c, i, o.scale, 2, &n));
    if (n != 2 && !(o.size[0] && o.size[1])) return qn_call_fail(c, QN_ERR_FORMAT, "neither a size nor two factors");
    return qn_give(c, qn_upsample2d(c->t->g, x, &o));
}

/* in, grid, interpolation (0: bilinear), padding (0: zeros, 1: border), align corners, out */
qn_status qn_translate_grid_sampler(const qn_call *c)
{
    qn_value x, grid;
    int64_t mode = 0, padding = 0;
    bool align = false;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_tensor(c, 1, &grid));
    QN_TRY(qn_arg_int(c, 2, &mode));
    QN_TRY(qn_arg_int(c, 3, &padding));
    QN_TRY(qn_arg_bool(c, 4, &align));
    if (mode != 0 || padding < 0 || padding > 1)
        return qn_call_fail(c, QN_ERR_UNSUPPORTED,
                            "interpolation %" PRId64 " with padding %" PRId64
                            "; only bilinear (0) with zeros (0) or the border (1) is supported",
                            mode, padding);
    return qn_give(c, qn_grid_sampler_2d(c->t->g, x, grid, padding ? QN_GRID_BORDER : QN_GRID_ZEROS, align));
}

/* in, stride, offset, out */
qn_status qn_translate_grid_priors(const qn_call *c)
{
    qn_value x;
    double stride = 0, offset = 0;
    QN_TRY(qn_arg_tensor(c, 0, &x));
    QN_TRY(qn_arg_double(c, 1, &stride));
    QN_TRY(qn_arg_double(c, 2, &offset));
    return qn_give(c, qn_grid_priors(c->t->g, x, (float)stride, (float)offset));
}
