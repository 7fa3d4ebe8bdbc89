/* kernels.c - the operators that exporters leave outside of the delegates, on the CPU: aten::copy_ (a method's cache
 * gets its new contents), aten::embedding (tables over the exporter's limit), aten::cumsum. */
#include "program/program.h"

#include <inttypes.h>
#include <string.h>

typedef struct cpu_kernel {
    const char *name, *overload;
    uint32_t n_args;
    uint32_t tensors; /* bit i: argument i is a tensor            */
    uint32_t outputs; /* those among them that are the one output */
    qn_status (*check)(const qn_cpu_call *c);
    qn_status (*run)(const qn_cpu_call *c);
} cpu_kernel;

static uint32_t value_of(const qn_cpu_call *c, uint32_t i)
{
    return (uint32_t)qn_fb_i32_at(&c->args, i);
}

static const qn_pte_tensor *tensor(const qn_cpu_call *c, uint32_t i)
{
    return &c->method->pte->values[value_of(c, i)].u.tensor;
}

static qn_cell *cell(const qn_cpu_call *c, uint32_t i)
{
    return &c->method->cells[value_of(c, i)];
}

static uint32_t element_bytes(const qn_cpu_call *c, uint32_t i)
{
    return qn_scalar_bytes((qn_scalar)tensor(c, i)->scalar_type);
}

/* The result of live shape `live` in argument i's own room; it must fit there. */
static qn_status give(const qn_cpu_call *c, uint32_t i, qn_shape live)
{
    const qn_pte_tensor *t = tensor(c, i);
    bool fits = live.rank == t->shape.rank;
    for (uint32_t k = 0; fits && k < live.rank; k++) fits = live.dim[k] <= t->shape.dim[k];
    char a[96], b[96];
    if (!fits)
        return qn_fail(QN_ERR_FORMAT, "the result %s does not fit %s", qn_shape_text(&live, a, sizeof a),
                       qn_shape_text(&t->shape, b, sizeof b));
    cell(c, i)->live = live;
    cell(c, i)->data = cell(c, i)->own;
    cell(c, i)->stable = false;
    return qn_ok();
}

/* ---- copy_: self, source, non_blocking, out (self) ------------------------------------------- */

static qn_status check_copy(const qn_cpu_call *c)
{
    if (tensor(c, 0)->scalar_type != tensor(c, 1)->scalar_type)
        return qn_fail(QN_ERR_UNSUPPORTED, "it converts between element types");
    return qn_ok();
}

static qn_status run_copy(const qn_cpu_call *c)
{
    const qn_cell *source = cell(c, 1);
    qn_cell *self = cell(c, 0);
    QN_TRY(give(c, 0, source->live));
    if (source->stable && !self->kept) {
        self->data = source->data; /* what a delegate has given stays as it is: no copy */
        self->stable = true;
    } else if (self->own != source->data) {
        memcpy(self->own, source->data, (size_t)(qn_shape_count(&source->live) * element_bytes(c, 1)));
    }
    return qn_ok();
}

/* ---- cumsum: x, dim, dtype, out, out --------------------------------------------------------- */

static qn_status check_cumsum(const qn_cpu_call *c)
{
    const qn_pte_tensor *x = tensor(c, 0);
    const qn_pte_value *dim = &c->method->pte->values[value_of(c, 1)];
    if (x->scalar_type != QN_PTE_FLOAT || tensor(c, 4)->scalar_type != QN_PTE_FLOAT)
        return qn_fail(QN_ERR_UNSUPPORTED, "only f32 is supported");
    int64_t rank = x->shape.rank ? x->shape.rank : 1;
    if (dim->kind != QN_PTE_INT64 || dim->u.integer < -rank || dim->u.integer >= rank)
        return qn_fail(QN_ERR_FORMAT, "its dimension is none of the tensor's");
    return qn_ok();
}

static qn_status run_cumsum(const qn_cpu_call *c)
{
    const qn_cell *x = cell(c, 0);
    int64_t dim = c->method->pte->values[value_of(c, 1)].u.integer;
    qn_shape live = x->live;
    QN_TRY(give(c, 4, live));
    if (dim < 0) dim += live.rank;
    uint64_t n = live.rank ? live.dim[dim] : 1, inner = 1;
    for (uint32_t k = (uint32_t)dim + 1; k < live.rank; k++) inner *= live.dim[k];
    uint64_t outer = qn_shape_count(&live) / (n * inner);
    const char *in = x->data; /* of a file, perhaps at an odd address */
    float *out = cell(c, 4)->own;
    for (uint64_t o = 0; o < outer; o++)
        for (uint64_t i = 0; i < inner; i++) {
            double sum = 0;
            for (uint64_t k = 0; k < n; k++) {
                uint64_t at = (o * n + k) * inner + i;
                float element;
                memcpy(&element, in + at * sizeof element, sizeof element);
                sum += (double)element;
                out[at] = (float)sum;
            }
        }
    return qn_ok();
}

/* ---- embedding: weight, ids, padding_idx, scale_grad_by_freq, sparse, out, out ---------------- */

static qn_status check_embedding(const qn_cpu_call *c)
{
    const qn_pte_tensor *w = tensor(c, 0), *ids = tensor(c, 1), *out = tensor(c, 6);
    if (w->shape.rank != 2 || w->scalar_type != out->scalar_type || !element_bytes(c, 0))
        return qn_fail(QN_ERR_UNSUPPORTED, "the table is no matrix, or of another element type than the result");
    if (ids->scalar_type != QN_PTE_LONG && ids->scalar_type != QN_PTE_INT)
        return qn_fail(QN_ERR_UNSUPPORTED, "the ids are neither i64 nor i32");
    return qn_ok();
}

static qn_status run_embedding(const qn_cpu_call *c)
{
    const qn_cell *w = cell(c, 0), *ids = cell(c, 1);
    qn_shape live = ids->live;
    if (live.rank == QN_MAX_RANK) return qn_fail(QN_ERR_LIMIT, "the ids have rank %d", QN_MAX_RANK);
    uint64_t n = qn_shape_count(&live), rows = w->live.dim[0];
    uint32_t width = element_bytes(c, 1);
    size_t row_bytes = (size_t)w->live.dim[1] * element_bytes(c, 0);
    live.dim[live.rank++] = w->live.dim[1];
    QN_TRY(give(c, 6, live));
    uint8_t *out = cell(c, 6)->own;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t bits = qn_fb_le((const uint8_t *)ids->data + i * width, width);
        int64_t id = width == 8 ? (int64_t)bits : (int32_t)(uint32_t)bits;
        if (id < 0 || (uint64_t)id >= rows)
            return qn_fail(QN_ERR_ARGUMENT, "id %" PRIu64 " is %" PRId64 "; the table has %" PRIu64 " rows", i, id,
                           rows);
        memcpy(out + i * row_bytes, (const uint8_t *)w->data + (size_t)id * row_bytes, row_bytes);
    }
    return qn_ok();
}

/* ---- the table ------------------------------------------------------------------------------- */

static const cpu_kernel kernels[] = {
    {"aten::copy_", "", 4, 1 | 2 | 8, 1 | 8, check_copy, run_copy},
    {"aten::cumsum", "out", 5, 1 | 8 | 16, 8 | 16, check_cumsum, run_cumsum},
    {"aten::embedding", "out", 7, 1 | 2 | 32 | 64, 32 | 64, check_embedding, run_embedding},
};

static const cpu_kernel *find(const qn_pte_operator *op)
{
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if (strcmp(op->name, kernels[i].name) == 0 && strcmp(op->overload, kernels[i].overload) == 0)
            return &kernels[i];
    return NULL;
}

bool qn_cpu_knows(const qn_pte_operator *op)
{
    return find(op) != NULL;
}

bool qn_cpu_reads(const qn_pte_operator *op, uint32_t i)
{
    const cpu_kernel *k = find(op);
    return i < k->n_args && ((k->tensors & ~k->outputs) >> i & 1);
}

static qn_status in_operator(const qn_cpu_call *call, qn_status s)
{
    return qn_in(s, "%s", call->op->name);
}

/* A row-major tensor; only the output may be there twice. */
static qn_status check_tensor(const qn_cpu_call *c, uint32_t i)
{
    const qn_pte_tensor *t = qn_program_tensor_of(c->method->pte, value_of(c, i));
    uint32_t out = value_of(c, c->args.count - 1);
    if (!t) return qn_fail(QN_ERR_UNSUPPORTED, "argument %u is no tensor", i);
    if (!qn_is_row_major(t)) return qn_fail(QN_ERR_UNSUPPORTED, "argument %u is not row-major", i);
    if (qn_shape_count(&t->shape) == 0) return qn_fail(QN_ERR_UNSUPPORTED, "argument %u has no elements", i);
    bool may_be_output = find(c->op)->outputs >> i & 1;
    if ((value_of(c, i) == out) != may_be_output)
        return qn_fail(QN_ERR_FORMAT, "argument %u %s the output", i, may_be_output ? "is not" : "is");
    return qn_ok();
}

qn_status qn_cpu_check(const qn_cpu_call *call)
{
    const cpu_kernel *k = find(call->op);
    if (call->args.count != k->n_args)
        return in_operator(call, qn_fail(QN_ERR_FORMAT, "%u arguments, %u are needed", call->args.count, k->n_args));
    for (uint32_t i = 0; i < k->n_args; i++)
        if (k->tensors >> i & 1) QN_TRY(in_operator(call, check_tensor(call, i)));
    return in_operator(call, k->check(call));
}

qn_status qn_cpu_run(const qn_cpu_call *call)
{
    const cpu_kernel *k = find(call->op);
    for (uint32_t i = 0; i < k->n_args; i++)
        if ((k->tensors & ~k->outputs) >> i & 1 && !cell(call, i)->data)
            return in_operator(call, qn_fail(QN_ERR_FORMAT, "argument %u is read before anything gives it", i));
    return in_operator(call, k->run(call));
}
