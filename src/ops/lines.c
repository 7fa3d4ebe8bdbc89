#include "ops/lines.h"

#include "ops/check.h"

#include <inttypes.h>
#include <string.h>

qn_lines qn_lines_of(const qn_shape *shape, uint32_t mask)
{
    qn_lines l = {.n = 1, .length = 1};
    uint32_t stride = 1;
    int last = -1; /* kind of the dimension inside of this one */
    for (uint32_t i = shape->rank; i-- > 0;) {
        uint32_t size = shape->dim[i];
        int along = mask >> i & 1;
        if (size == 1) continue; /* no neighbour is parted by it */
        uint32_t *n = along ? &l.n_along : &l.n_across;
        uint32_t(*dims)[2] = along ? l.along : l.across;
        if (along != last) {
            dims[*n][0] = 1;
            dims[*n][1] = stride;
            ++*n;
        }
        dims[*n - 1][0] *= size;
        if (along)
            l.length *= size;
        else
            l.n *= size;
        stride *= size;
        last = along;
    }
    return l;
}

qn_status qn_check_dim(const qn_plan *p, const char *what, const qn_shape *shape, int32_t dim, uint32_t *result)
{
    int32_t rank = shape->rank ? (int32_t)shape->rank : 1;
    char text[96];
    if (dim < -rank || dim >= rank)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s%sx%s has no dimension %d", what, what[0] ? ": " : "",
                            qn_shape_text(shape, text, sizeof text), dim);
    *result = (uint32_t)(dim < 0 ? dim + rank : dim);
    return qn_ok();
}

/* ---- routes ---------------------------------------------------------------------------------- */

/* What decides the route. */
typedef struct shape_class {
    uint32_t length;
    bool four;    /* lines can be read four elements at a time */
    bool columns; /* neighbouring lines lie side by side: an invocation a line reads them together */
} shape_class;

static shape_class classify(const qn_lines *l)
{
    enum { ENOUGH_COLUMNS = 32 };
    bool side_by_side = l->n_across > 0 && l->across[0][1] == 1 && l->across[0][0] >= ENOUGH_COLUMNS;
    bool contiguous = l->n_along == 0 || (l->n_along == 1 && l->along[0][1] == 1);
    return (shape_class){
        .length = l->length,
        .four = contiguous && l->length % 4 == 0,
        .columns = side_by_side && l->length <= QN_LONGEST_EACH,
    };
}

/* A software device stops an invocation after 65,535 iterations of its loops; three passes of this many stay below. */
static bool iterations_fit(const qn_plan *p, const qn_kernel_row *row, uint32_t length)
{
    const uint64_t most = 20000;
    uint64_t at_once = (uint64_t)qn_row_const(row, "LANES") * qn_row_const(row, "ITEM");
    return p->device->type != QN_ADAPTER_SOFTWARE || length <= most * at_once;
}

static uint64_t usable(const qn_plan *p, const qn_line_job *job, const shape_class *c)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < job->table->n_rows; i++) {
        const qn_kernel_row *row = &job->table->rows[i];
        uint32_t longest = qn_row_const(row, "LONGEST");
        if (longest && c->length > longest) continue;
        if (qn_row_const(row, "ITEM") == 4 && (!c->four || job->scalar)) continue;
        if (iterations_fit(p, row, c->length)) mask |= UINT64_C(1) << i;
    }
    return mask;
}

/* Columns take the row of the shortest lines, which dispatch_all sees in any case. */
static const qn_kernel_row *choose(const qn_plan *p, const qn_line_job *job, const shape_class *c)
{
    return qn_plan_pick(p, job->table, usable(p, job, c), c->columns ? 1 : c->length);
}

/* ---- dispatches ------------------------------------------------------------------------------ */

static void put_dims(qn_dispatch *d, const qn_lines *l, uint32_t item)
{
    for (uint32_t i = 0; i < QN_LINE_DIMS; i++) {
        bool across = i < l->n_across, along = i < l->n_along;
        qn_param_u32(d, across ? l->across[i][0] : 1);
        qn_param_u32(d, across ? l->across[i][1] / item : 0);
        qn_param_u32(d, along ? (i == 0 ? l->along[i][0] / item : l->along[i][0]) : 1);
        qn_param_u32(d, along ? l->along[i][1] : 0); /* items of four: lines are contiguous, stride 1 */
    }
}

static qn_status dispatch(qn_plan *p, const qn_line_job *job, const qn_kernel_row *row)
{
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    const qn_lines *l = job->lines;
    uint32_t item = qn_row_const(row, "ITEM"), lines = row->workgroup[0] / qn_row_const(row, "LANES");
    memcpy(d->spec, job->spec, sizeof d->spec);
    for (uint32_t i = 0; i < job->n_inputs; i++) {
        if (qn_plan_in(p, i))
            qn_bind_operand(p, d, i);
        else
            qn_bind_dummy(d);
    }
    for (uint32_t i = 0; i < job->n_outputs; i++) qn_bind_value(d, p->node->outputs[job->first_output + i]);
    qn_param_u32(d, l->n);
    qn_param_u32(d, l->length / item);
    qn_param_u32(d, l->length);
    qn_param_u32(d, l->n_across);
    qn_param_u32(d, l->n_along);
    qn_param_f32(d, job->number);
    qn_param_u32(d, job->a);
    qn_param_u32(d, job->b);
    put_dims(d, l, item);
    return qn_grid_1d(p, d, qn_div_up(l->n, lines));
}

/* Every row that a line of up to `most` elements may choose: the choice changes at the bounds of the rows only. */
static qn_status dispatch_all(qn_plan *p, const qn_line_job *job, uint32_t most)
{
    uint64_t seen = 0;
    const qn_kernel_table *table = job->table;
    for (uint32_t i = 0; i < table->n_rows; i++) {
        const qn_kernel_row *row = &table->rows[i];
        uint32_t bounds[] = {1, row->min_rows, row->max_rows + 1, qn_row_const(row, "LONGEST") + 1, most};
        for (size_t k = 0; k < 2 * sizeof bounds / sizeof bounds[0]; k++) {
            uint32_t length = bounds[k / 2];
            if (length > most) continue;
            const qn_kernel_row *chosen = choose(p, job, &(shape_class){.length = length ? length : 1, .four = k % 2});
            uint64_t bit = chosen ? UINT64_C(1) << (chosen - table->rows) : 0;
            if (!chosen || (seen & bit)) continue;
            seen |= bit;
            QN_TRY(dispatch(p, job, chosen));
        }
    }
    return qn_ok();
}

qn_status qn_plan_lines(qn_plan *p, const qn_line_job *job)
{
    shape_class c = classify(job->lines);
    const qn_kernel_row *row = choose(p, job, &c);
    if (!row)
        return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device takes lines of %u elements", c.length);
    return p->building ? dispatch_all(p, job, c.length) : dispatch(p, job, row);
}
