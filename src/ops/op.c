/* op.c - the table of operations, and the helpers that plan functions are written with. */
#include "ops/choice.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QN_OP(ID, name, plan) qn_status plan(qn_plan *p);
#define QN_KERNELS(table)     extern const qn_kernel_table table;
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS

const qn_op_info qn_ops[QN_OP_COUNT] = {
#define QN_OP(ID, name, plan) [QN_OP_##ID] = {name, plan},
#define QN_KERNELS(table)
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS
};

const qn_kernel_table *const qn_kernel_tables[] = {
#define QN_OP(ID, name, plan)
#define QN_KERNELS(table) &table,
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS
    NULL,
};

/* ---- shapes ---------------------------------------------------------------------------------- */

uint64_t qn_shape_count(const qn_shape *shape)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        if (!qn_mul_u64(n, shape->dim[i], &n)) return UINT64_MAX;
    return n;
}

uint64_t qn_state_bytes(qn_dtype dtype, const qn_shape *shape)
{
    uint64_t count = qn_shape_count(shape), bytes;
    if (dtype == QN_F32 || dtype == QN_I32) return qn_mul_u64(count, 4, &bytes) ? bytes : UINT64_MAX;
    if (shape->rank < 2 || count == UINT64_MAX || count == 0) return count;
    uint64_t row = (uint64_t)shape->dim[shape->rank - 1] * shape->dim[shape->rank - 2];
    uint64_t row_bytes = dtype == QN_F16 ? row * 2 : row + qn_round_up_u64(row / 32 * 2, 16);
    return qn_mul_u64(count / row, qn_round_up_u64(row_bytes, 16), &bytes) ? bytes : UINT64_MAX;
}

bool qn_shape_equal(const qn_shape *a, const qn_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

const char *qn_shape_text(const qn_shape *shape, char *text, size_t capacity)
{
    size_t at = 0;
    int n = snprintf(text, capacity, "[");
    for (uint32_t i = 0; i < shape->rank && n >= 0; i++) {
        at += (size_t)n;
        if (at >= capacity) return text;
        n = snprintf(text + at, capacity - at, i ? ",%u" : "%u", shape->dim[i]);
    }
    at += n > 0 ? (size_t)n : 0;
    if (at < capacity) snprintf(text + at, capacity - at, "]");
    return text;
}

/* ---- rows ------------------------------------------------------------------------------------ */

uint32_t qn_row_const(const qn_kernel_row *row, const char *name)
{
    for (uint32_t i = 0; i < QN_MAX_CONSTS && row->consts[i].name; i++) {
        const char *have = row->consts[i].name; /* plans ask often: most names differ at once */
        if (have[0] == name[0] && have[1] == name[1] && strcmp(have, name) == 0) return row->consts[i].value;
    }
    return 0;
}

const qn_kernel_row *qn_row_find(const char *name)
{
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++)
            if (strcmp((*t)->rows[i].name, name) == 0) return &(*t)->rows[i];
    return NULL;
}

bool qn_row_runs_on(const qn_kernel_row *row, const qn_device_info *device)
{
    if ((row->needs & QN_NEEDS_F16) && !device->f16) return false;
    if ((row->needs & QN_NEEDS_SUBGROUPS) && !device->subgroups) return false;
    if (device->subgroup_min != 0 && device->subgroup_min < qn_row_const(row, "LEAST_SUBGROUP")) return false;
    if (row->workgroup_bytes > device->max_workgroup_bytes) return false;
    const uint32_t *wg = row->workgroup;
    return wg[0] * wg[1] * wg[2] <= device->max_workgroup_invocations && wg[0] <= device->max_workgroup_size[0] &&
           wg[1] <= device->max_workgroup_size[1] && wg[2] <= device->max_workgroup_size[2];
}

bool qn_row_preferred_on(const qn_kernel_row *row, const qn_device_info *device)
{
    if (row->never_preferred || !qn_row_runs_on(row, device)) return false;
    bool software = device->type == QN_ADAPTER_SOFTWARE;
    return row->preferred == QN_ROW_ANY || (row->preferred == QN_ROW_SOFTWARE) == software;
}

static bool row_prefers(const qn_kernel_row *row, uint32_t rows)
{
    return rows >= row->min_rows && (row->max_rows == 0 || rows <= row->max_rows);
}

bool qn_plan_may_use(const qn_plan *p, const qn_kernel_row *row)
{
    if (!qn_row_runs_on(row, p->device)) return false;
    if (p->plain && row->needs) return false;
    if (row->inexact && p->precision == QN_PRECISION_EXACT) return false;
    return !p->choices || !qn_choices_wrong(p->choices, row);
}

static bool in_mask(const qn_kernel_table *table, uint64_t mask, const qn_kernel_row *row)
{
    return row >= table->rows && row < table->rows + table->n_rows && (mask >> (row - table->rows) & 1);
}

static const qn_kernel_row *forced_row(const qn_plan *p, const qn_kernel_table *table, uint64_t mask)
{
    for (uint32_t i = 0; p->forced && i < table->n_rows; i++) {
        const qn_kernel_row *row = &table->rows[i];
        if (!(mask >> i & 1) || strcmp(row->name, p->forced) != 0) continue;
        bool exact = row->inexact && p->precision == QN_PRECISION_EXACT;
        return qn_row_runs_on(row, p->device) && !exact ? row : NULL;
    }
    return NULL;
}

const qn_kernel_row *qn_plan_decided(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows)
{
    const qn_kernel_row *row = forced_row(p, table, mask);
    bool known = !row && p->choices && p->choices->n_chosen && p->probed && p->probed == rows;
    if (known) row = qn_choices_find(p->choices, qn_choice_key(p, table, rows));
    return row && in_mask(table, mask, row) && (!known || qn_plan_may_use(p, row)) ? row : NULL;
}

static const qn_kernel_row *default_row(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows)
{
    const qn_kernel_row *second = NULL;
    for (uint32_t i = 0; i < table->n_rows; i++) {
        const qn_kernel_row *row = &table->rows[i];
        if (!(mask >> i & 1) || !qn_plan_may_use(p, row)) continue;
        if (qn_row_preferred_on(row, p->device) && row_prefers(row, rows)) return row;
        if (!second && !row->never_preferred) second = row;
    }
    return second;
}

/* The last row that may serve besides this one; else this one. */
static const qn_kernel_row *other_row(const qn_plan *p, const qn_kernel_table *table, uint64_t mask,
                                      const qn_kernel_row *row)
{
    for (uint32_t i = table->n_rows; i-- > 0;)
        if ((mask >> i & 1) && &table->rows[i] != row && qn_plan_may_use(p, &table->rows[i])) return &table->rows[i];
    return row;
}

const qn_kernel_row *qn_plan_pick(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows)
{
    const qn_kernel_row *row = qn_plan_decided(p, table, mask, rows);
    if (!row) {
        row = default_row(p, table, mask, rows);
        if (p->plain == QN_PLAIN_OTHER) row = other_row(p, table, mask, row);
    }
    if (row && p->decisions && p->probed && p->probed == rows) qn_decisions_note(p, table, mask, rows);
    return row;
}

/* Counts the dispatches since the last probe: the most that one live shape needs. */
static void end_probe(qn_plan *p)
{
    size_t made = p->n_dispatches - p->probe_start;
    if (made > p->max_dispatches) p->max_dispatches = made;
    p->probe_start = p->n_dispatches;
}

/* The least of `next` and the rows on both sides of a boundary that is past i. */
static uint32_t nearer(uint32_t i, uint32_t next, uint32_t boundary)
{
    if (boundary > i && boundary < next) next = boundary;
    if (boundary && boundary - 1 > i && boundary - 1 < next) next = boundary - 1;
    return next;
}

bool qn_plan_probe(qn_plan *p, const qn_kernel_table *table, uint32_t rows, uint32_t *i, uint32_t *m)
{
    p->probed = 0;
    if (!p->building) {
        *m = rows;
        if (*i == 0) p->probed = rows;
        return (*i)++ == 0;
    }
    end_probe(p);
    if (*i >= rows) return false;
    /* One row, then both sides of every boundary in ascending order, `rows` last. */
    uint32_t next = *i == 0 ? 1 : rows;
    for (uint32_t r = 0; r < table->n_rows; r++) {
        next = nearer(*i, next, table->rows[r].min_rows);
        if (table->rows[r].max_rows) next = nearer(*i, next, table->rows[r].max_rows + 1);
    }
    for (uint32_t c = 1; p->choices && c < QN_ROW_CLASSES; c++) next = nearer(*i, next, qn_row_class_first(c));
    *i = *m = p->probed = next;
    return true;
}

/* ---- plan ------------------------------------------------------------------------------------ */

qn_status qn_plan_node(qn_plan *p, const qn_node *node)
{
    p->node = node;
    p->n_dispatches = p->max_dispatches = p->probe_start = 0;
    p->probed = p->n_signs = 0;
    memset(p->scratch, 0, sizeof p->scratch);
    qn_status s = qn_ops[node->op].plan(p);
    end_probe(p); /* of ops that do not probe: all their dispatches */
    return s;
}

void qn_plan_sign(qn_plan *p, uint32_t number)
{
    if (p->n_signs < QN_MAX_SIGNS) p->signs[p->n_signs++] = number;
}

qn_tensor *qn_plan_in(const qn_plan *p, uint32_t i)
{
    if (i >= p->node->n_inputs || p->node->inputs[i] == 0) return NULL;
    return &p->tensors[p->node->inputs[i]];
}

qn_tensor *qn_plan_out(const qn_plan *p, uint32_t i)
{
    return i < p->node->n_outputs ? &p->tensors[p->node->outputs[i]] : NULL;
}

int64_t qn_plan_int(const qn_plan *p, uint32_t i)
{
    const qn_tensor *t = qn_plan_in(p, i);
    return t ? t->number : 0;
}

qn_status qn_plan_fail(const qn_plan *p, qn_code code, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *name = p->node->name ? p->node->name : "";
    return qn_fail(code, "%s%s%s%s: %s", qn_ops[p->node->op].name, name[0] ? " (" : "", name, name[0] ? ")" : "", text);
}

qn_status qn_plan_set_out(qn_plan *p, uint32_t i, qn_dtype dtype, qn_shape shape)
{
    qn_tensor *t = qn_plan_out(p, i);
    if (p->building) {
        t->dtype = dtype;
        t->max = shape;
        t->live = shape;
        return qn_ok();
    }
    if (shape.rank != t->max.rank) return qn_plan_fail(p, QN_ERR_INTERNAL, "output rank changed");
    /* The place was made for the maximum shape: an output that would not fit it never runs. */
    if (qn_shape_count(&shape) > qn_shape_count(&t->max))
        return qn_plan_fail(p, QN_ERR_LIMIT, "output is larger than the maximum that the graph was built for");
    t->live = shape;
    return qn_ok();
}

qn_status qn_plan_set_int(qn_plan *p, int64_t number)
{
    if (p->building) { /* an upper bound: saturate */
        if (number > INT32_MAX) number = INT32_MAX;
        if (number < INT32_MIN) number = INT32_MIN;
        qn_plan_out(p, 0)->max_number = number;
    }
    if (number > INT32_MAX || number < INT32_MIN)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the number %lld does not fit 32 bits", (long long)number);
    qn_plan_out(p, 0)->number = number;
    return qn_ok();
}

qn_dispatch *qn_plan_dispatch(qn_plan *p, const qn_kernel_row *row, qn_status *status)
{
    *status = qn_ok();
    if (p->n_dispatches >= p->capacity) {
        if (!p->building) {
            *status = qn_plan_fail(p, QN_ERR_INTERNAL, "more dispatches than the %zu planned at build", p->capacity);
            return NULL;
        }
        void *grown = p->dispatches;
        *status = qn_grow(p->allocator, &grown, &p->capacity, p->n_dispatches + 1, sizeof(qn_dispatch), "plan");
        if (status->code != QN_OK) return NULL;
        p->dispatches = grown;
    }
    qn_dispatch *d = &p->dispatches[p->n_dispatches++];
    memset(d, 0, sizeof *d);
    d->row = row;
    d->grid[0] = d->grid[1] = d->grid[2] = 1;
    return d;
}

qn_status qn_plan_scratch(qn_plan *p, uint32_t index, uint64_t bytes)
{
    if (bytes > p->device->max_binding_bytes)
        return qn_plan_fail(p, QN_ERR_LIMIT, "scratch of %llu bytes is over the device's binding limit of %llu",
                            (unsigned long long)bytes, (unsigned long long)p->device->max_binding_bytes);
    if (bytes > p->scratch[index]) p->scratch[index] = bytes;
    return qn_ok();
}

/* ---- dispatches ------------------------------------------------------------------------------ */

void qn_bind_to(qn_dispatch *d, qn_bind bind)
{
    if (d->n_binds < QN_MAX_BINDINGS) d->binds[d->n_binds++] = bind;
}

void qn_bind_value(qn_dispatch *d, qn_value value)
{
    qn_bind_to(d, (qn_bind){.kind = QN_BIND_VALUE, .value = value});
}

void qn_bind_window(qn_dispatch *d, qn_value value, uint64_t offset, uint64_t size)
{
    qn_bind_to(d, (qn_bind){.kind = QN_BIND_VALUE, .value = value, .offset = offset, .size = size});
}

void qn_bind_section(qn_dispatch *d, qn_value weight, uint32_t part, qn_bind_kind section)
{
    qn_bind_to(d, (qn_bind){.kind = (uint8_t)section, .value = weight, .part = (uint16_t)part});
}

void qn_bind_weight(qn_dispatch *d, qn_value weight, uint32_t part)
{
    qn_bind_section(d, weight, part, QN_BIND_DATA);
    qn_bind_section(d, weight, part, QN_BIND_SCALES);
    qn_bind_section(d, weight, part, QN_BIND_MINS);
}

void qn_bind_scratch(qn_dispatch *d, uint32_t index)
{
    qn_bind_to(d, (qn_bind){.kind = QN_BIND_SCRATCH, .value = index});
}

void qn_bind_dummy(qn_dispatch *d)
{
    qn_bind_to(d, (qn_bind){.kind = QN_BIND_DUMMY});
}

void qn_param_u32(qn_dispatch *d, uint32_t value)
{
    if (d->n_params < QN_MAX_PARAMS) d->params[d->n_params++] = value;
}

void qn_param_f32(qn_dispatch *d, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    qn_param_u32(d, bits);
}

void qn_plan_work(qn_dispatch *d, double flops, double bytes)
{
    d->flops = flops;
    d->bytes = bytes;
}

qn_status qn_grid_1d(const qn_plan *p, qn_dispatch *d, uint64_t n)
{
    uint64_t max = p->device->max_grid;
    uint64_t y = qn_div_up_u64(n, max);
    if (y > max) return qn_plan_fail(p, QN_ERR_LIMIT, "%llu workgroups pass the device's grid", (unsigned long long)n);
    d->grid[0] = (uint32_t)(y > 1 ? qn_div_up_u64(n, y) : n);
    d->grid[1] = (uint32_t)y;
    d->grid[2] = 1;
    return qn_ok();
}
