#include "format/pte.h"

#include <string.h>

/* ---- tensors --------------------------------------------------------------------------------------------- */

uint32_t qn_pte_scalar_bytes(int8_t scalar_type)
{
    switch (scalar_type) {
    case QN_PTE_BYTE:
    case QN_PTE_CHAR:
    case QN_PTE_BOOL:
        return 1;
    case QN_PTE_SHORT:
    case QN_PTE_HALF:
    case QN_PTE_BFLOAT16:
        return 2;
    case QN_PTE_INT:
    case QN_PTE_FLOAT:
        return 4;
    case QN_PTE_LONG:
    case QN_PTE_DOUBLE:
        return 8;
    default:
        return 0;
    }
}

static void read_shape(qn_fb *fb, const qn_fb_table *t, qn_pte_tensor *tensor)
{
    qn_fb_vector sizes = qn_fb_scalars(t, 8, 4, "Tensor.sizes");
    qn_fb_vector order = qn_fb_scalars(t, 10, 1, "Tensor.dim_order");
    if (sizes.count > QN_MAX_RANK) {
        qn_fb_refuse(fb, t->at, "a tensor has %u dimensions; at most %d are supported", sizes.count, QN_MAX_RANK);
        return;
    }
    tensor->shape.rank = sizes.count;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < sizes.count; i++) {
        int32_t size = qn_fb_i32_at(&sizes, i);
        uint8_t outer = order.count == 0 ? (uint8_t)i : qn_fb_u8_at(&order, i);
        if (size < 0) qn_fb_fail(fb, t->at, "a tensor has dimension %u of size %d", i, size);
        tensor->shape.dim[i] = (uint32_t)size;
        tensor->dim_order[i] = outer;
        if (outer < sizes.count) seen |= 1u << outer;
    }
    if ((order.count != 0 && order.count != sizes.count) || seen != (1u << sizes.count) - 1)
        qn_fb_fail(fb, t->at, "Tensor.dim_order is no order of %u dimensions", sizes.count);
}

static void read_tensor(qn_fb *fb, const qn_fb_table *t, qn_pte_tensor *tensor)
{
    qn_fb_table extra = qn_fb_sub(t, 22, "Tensor.extra_tensor_info");
    tensor->scalar_type = qn_fb_i8(t, 4, 0);
    tensor->buffer = qn_fb_u32(t, 14, 0);
    tensor->planned = qn_fb_has(t, 16);
    tensor->dynamism = qn_fb_u8(t, 20, QN_PTE_STATIC);
    tensor->mutable_segment = qn_fb_u64(&extra, 4, 0);
    tensor->name = qn_fb_string(&extra, 6, "ExtraTensorInfo.fully_qualified_name");
    tensor->external = qn_fb_u8(&extra, 8, 0) == 1;
    read_shape(fb, t, tensor);
    if (tensor->dynamism > QN_PTE_DYNAMIC_UNBOUND)
        qn_fb_refuse(fb, t->at, "a tensor has the shape dynamism %u, which is unknown", tensor->dynamism);
    if (qn_fb_i32(t, 6, 0) != 0)
        qn_fb_refuse(fb, t->at, "a tensor has the storage offset %d; only 0 is supported", qn_fb_i32(t, 6, 0));
}

qn_status qn_pte_tensor_bytes(const qn_pte_tensor *tensor, uint64_t *bytes)
{
    uint64_t n = qn_pte_scalar_bytes(tensor->scalar_type);
    if (n == 0) return qn_fail(QN_ERR_UNSUPPORTED, "element type %d is not supported", tensor->scalar_type);
    if (!qn_mul_dims(n, tensor->shape.dim, tensor->shape.rank, bytes))
        return qn_fail(QN_ERR_FORMAT, "the size of a tensor passes 64 bits; the file is damaged");
    return qn_ok();
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static void read_value(qn_fb *fb, const qn_fb_table *t, qn_pte_value *v)
{
    uint8_t kind = qn_fb_u8(t, 4, 0);
    qn_fb_table val = qn_fb_sub(t, 6, "EValue.val");
    v->kind = (qn_pte_kind)kind;
    switch (kind) {
    case QN_PTE_NULL:
        break;
    case QN_PTE_INT64:
        v->u.integer = qn_fb_i64(&val, 4, 0);
        break;
    case QN_PTE_BOOLEAN:
        v->u.boolean = qn_fb_u8(&val, 4, 0) != 0;
        break;
    case QN_PTE_DOUBLE64:
        v->u.number = qn_fb_f64(&val, 4, 0);
        break;
    case QN_PTE_TENSOR:
        read_tensor(fb, &val, &v->u.tensor);
        break;
    case QN_PTE_STRING:
        v->u.string = qn_fb_string(&val, 4, "String.string_val");
        break;
    case QN_PTE_INT_LIST:
        v->u.list = qn_fb_scalars(&val, 4, 8, "IntList.items");
        break;
    case QN_PTE_DOUBLE_LIST:
        v->u.list = qn_fb_scalars(&val, 4, 8, "DoubleList.items");
        break;
    case QN_PTE_BOOL_LIST:
        v->u.list = qn_fb_scalars(&val, 4, 1, "BoolList.items");
        break;
    case QN_PTE_TENSOR_LIST:
    case QN_PTE_OPTIONAL_TENSOR_LIST:
        v->u.list = qn_fb_scalars(&val, 4, 4, "TensorList.items");
        break;
    default:
        v->kind = QN_PTE_NULL;
        qn_fb_refuse(fb, t->at, "a value is of kind %u, which is unknown: the file is damaged or of a later version",
                     kind);
    }
}

/* Element i of a list as an index of values. */
static int64_t item(const qn_pte_value *list, uint32_t i)
{
    return list->kind == QN_PTE_INT_LIST ? qn_fb_i64_at(&list->u.list, i) : qn_fb_i32_at(&list->u.list, i);
}

/* Lists of values name values that exist, and of the right kind: lists hold no lists. */
static void check_lists(qn_fb *fb, const qn_fb_table *plan, const qn_pte_method *m)
{
    for (uint32_t v = 0; v < m->n_values; v++) {
        const qn_pte_value *list = &m->values[v];
        bool integers = list->kind == QN_PTE_INT_LIST, optional = list->kind == QN_PTE_OPTIONAL_TENSOR_LIST;
        if (!integers && !optional && list->kind != QN_PTE_TENSOR_LIST) continue;
        for (uint32_t i = 0; i < list->u.list.count; i++) {
            int64_t index = item(list, i);
            qn_pte_kind kind = index >= 0 && index < m->n_values ? m->values[index].kind : 0;
            if (kind == (integers ? QN_PTE_INT64 : QN_PTE_TENSOR) || (optional && kind == QN_PTE_NULL)) continue;
            qn_fb_fail(fb, plan->at, "method %.80s: item %u of list %u refers to value %lld, which is no %s", m->name,
                       i, v, (long long)index, integers ? "integer" : "tensor");
            return;
        }
    }
}

static qn_status read_values(const qn_allocator *a, qn_fb *fb, const qn_fb_table *plan, qn_pte_method *m)
{
    qn_fb_vector refs = qn_fb_refs(plan, 8, "ExecutionPlan.values");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *m->values, "values of a program", &p));
    m->values = p;
    m->n_values = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "EValue");
        read_value(fb, &t, &m->values[i]);
    }
    if (fb->status.code == QN_OK) check_lists(fb, plan, m);
    return fb->status;
}

/* ---- instructions ---------------------------------------------------------------------------------------- */

static uint32_t check_index(qn_fb *fb, uint64_t at, int64_t index, uint32_t n, const char *what)
{
    if (index >= 0 && index < n) return (uint32_t)index;
    qn_fb_fail(fb, at, "%s %lld does not exist, there are %u", what, (long long)index, n);
    return 0;
}

/* Values that a vector of i32 names. */
static qn_fb_vector value_list(qn_fb *fb, const qn_fb_table *t, uint16_t slot, uint32_t n_values, const char *name)
{
    qn_fb_vector v = qn_fb_scalars(t, slot, 4, name);
    for (uint32_t i = 0; i < v.count && fb->status.code == QN_OK; i++)
        check_index(fb, t->at, qn_fb_i32_at(&v, i), n_values, name);
    return v;
}

static void read_instruction(qn_fb *fb, const qn_fb_table *t, const qn_pte_method *m, uint32_t n_instructions,
                             qn_pte_instruction *in)
{
    uint8_t kind = qn_fb_u8(t, 4, 0);
    qn_fb_table args = qn_fb_sub(t, 6, "Instruction.instr_args");
    int32_t first = qn_fb_i32(&args, 4, 0);
    in->kind = (qn_pte_instruction_kind)kind;
    switch (kind) {
    case QN_PTE_KERNEL_CALL:
        in->index = check_index(fb, t->at, first, m->n_operators, "KernelCall.op_index");
        in->args = value_list(fb, &args, 6, m->n_values, "KernelCall.args");
        break;
    case QN_PTE_DELEGATE_CALL:
        in->index = check_index(fb, t->at, first, m->n_delegates, "DelegateCall.delegate_index");
        in->args = value_list(fb, &args, 6, m->n_values, "DelegateCall.args");
        break;
    case QN_PTE_MOVE:
        in->index = check_index(fb, t->at, first, m->n_values, "MoveCall.move_from");
        in->target = check_index(fb, t->at, qn_fb_i32(&args, 6, 0), m->n_values, "MoveCall.move_to");
        break;
    case QN_PTE_JUMP_FALSE:
        in->index = check_index(fb, t->at, first, m->n_values, "JumpFalseCall.cond_value_index");
        in->target =
            check_index(fb, t->at, qn_fb_i32(&args, 6, 0), n_instructions + 1, "JumpFalseCall.destination_instruction");
        break;
    case QN_PTE_FREE:
        in->index = check_index(fb, t->at, first, m->n_values, "FreeCall.value_index");
        break;
    default:
        qn_fb_refuse(fb, t->at,
                     "an instruction is of kind %u, which is unknown: the file is damaged or of a later "
                     "version",
                     kind);
    }
}

static qn_status read_chains(const qn_allocator *a, qn_fb *fb, const qn_fb_table *plan, qn_pte_method *m)
{
    qn_fb_vector refs = qn_fb_refs(plan, 14, "ExecutionPlan.chains");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *m->chains, "chains of a program", &p));
    m->chains = p;
    m->n_chains = refs.count;
    for (uint32_t c = 0; c < refs.count && fb->status.code == QN_OK; c++) {
        qn_fb_table chain = qn_fb_table_at(fb, &refs, c, "Chain");
        qn_fb_vector list = qn_fb_refs(&chain, 8, "Chain.instructions");
        QN_TRY(qn_alloc(a, list.count, sizeof *m->chains->instructions, "instructions of a program", &p));
        m->chains[c] = (qn_pte_chain){list.count, p};
        for (uint32_t i = 0; i < list.count && fb->status.code == QN_OK; i++) {
            qn_fb_table t = qn_fb_table_at(fb, &list, i, "Instruction");
            read_instruction(fb, &t, m, list.count, &m->chains[c].instructions[i]);
        }
    }
    return fb->status;
}

/* ---- operators and delegates ----------------------------------------------------------------------------- */

static qn_status read_operators(const qn_allocator *a, qn_fb *fb, const qn_fb_table *plan, qn_pte_method *m)
{
    qn_fb_vector refs = qn_fb_refs(plan, 16, "ExecutionPlan.operators");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *m->operators, "operators of a program", &p));
    m->operators = p;
    m->n_operators = refs.count;
    for (uint32_t i = 0; i < refs.count; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "Operator");
        m->operators[i].name = qn_fb_string(&t, 4, "Operator.name");
        m->operators[i].overload = qn_fb_string(&t, 6, "Operator.overload");
    }
    return fb->status;
}

static qn_bytes bytes_of(const qn_fb_table *t, uint16_t slot, const char *name)
{
    qn_fb_vector v = qn_fb_scalars(t, slot, 1, name);
    return (qn_bytes){v.data, v.count};
}

static qn_status read_specs(const qn_allocator *a, qn_fb *fb, const qn_fb_table *delegate, qn_pte_delegate *d)
{
    qn_fb_vector refs = qn_fb_refs(delegate, 8, "BackendDelegate.compile_specs");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *d->specs, "compile specs of a program", &p));
    d->specs = p;
    d->n_specs = refs.count;
    for (uint32_t i = 0; i < refs.count; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "CompileSpec");
        d->specs[i].key = qn_fb_string(&t, 4, "CompileSpec.key");
        d->specs[i].value = bytes_of(&t, 6, "CompileSpec.value");
    }
    return fb->status;
}

/* Delegates that hold their data inside the flatbuffer refer to this list of the program. */
static qn_status read_delegates(qn_pte *pte, qn_fb *fb, const qn_fb_table *plan, const qn_fb_vector *inline_data,
                                qn_pte_method *m)
{
    qn_fb_vector refs = qn_fb_refs(plan, 18, "ExecutionPlan.delegates");
    void *p;
    QN_TRY(qn_alloc(&pte->allocator, refs.count, sizeof *m->delegates, "delegates of a program", &p));
    m->delegates = p;
    m->n_delegates = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_pte_delegate *d = &m->delegates[i];
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "BackendDelegate");
        qn_fb_table where = qn_fb_sub(&t, 6, "BackendDelegate.processed");
        uint8_t location = qn_fb_u8(&where, 4, 0);
        uint32_t index = qn_fb_u32(&where, 6, 0);
        d->id = qn_fb_string(&t, 4, "BackendDelegate.id");
        d->in_segment = location == 1;
        if (location > 1)
            qn_fb_refuse(fb, t.at, "the data of delegate %u is at location %u, which is unknown", i, location);
        if (d->in_segment) {
            index =
                check_index(fb, t.at, index, pte->program.n_segments, "BackendDelegateDataReference.index (segment)");
            if (fb->status.code == QN_OK) d->data = pte->program.segments[index];
        } else {
            index = check_index(fb, t.at, index, inline_data->count, "BackendDelegateDataReference.index (inline)");
            qn_fb_table data = qn_fb_table_at(fb, inline_data, index, "BackendDelegateInlineData");
            d->data = bytes_of(&data, 4, "BackendDelegateInlineData.data");
        }
        QN_TRY(read_specs(&pte->allocator, fb, &t, d));
    }
    return fb->status;
}

/* ---- methods --------------------------------------------------------------------------------------------- */

static qn_status read_methods(qn_pte *pte, qn_fb *fb, const qn_fb_table *program)
{
    const qn_allocator *a = &pte->allocator;
    qn_fb_vector inline_data = qn_fb_refs(program, 10, "Program.backend_delegate_data");
    qn_fb_vector refs = qn_fb_refs(program, 6, "Program.execution_plan");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *pte->methods, "methods of a program", &p));
    pte->methods = p;
    pte->n_methods = refs.count;
    for (uint32_t i = 0; i < refs.count; i++) {
        qn_pte_method *m = &pte->methods[i];
        qn_fb_table plan = qn_fb_table_at(fb, &refs, i, "ExecutionPlan");
        m->name = qn_fb_string(&plan, 4, "ExecutionPlan.name");
        QN_TRY(read_values(a, fb, &plan, m));
        m->inputs = value_list(fb, &plan, 10, m->n_values, "ExecutionPlan.inputs");
        m->outputs = value_list(fb, &plan, 12, m->n_values, "ExecutionPlan.outputs");
        QN_TRY(read_operators(a, fb, &plan, m));
        QN_TRY(read_delegates(pte, fb, &plan, &inline_data, m));
        QN_TRY(read_chains(a, fb, &plan, m));
    }
    if (refs.count == 0) qn_fb_fail(fb, 0, "the program has no method");
    return fb->status;
}

const qn_pte_method *qn_pte_find_method(const qn_pte *pte, const char *name)
{
    for (uint32_t i = 0; i < pte->n_methods; i++)
        if (strcmp(pte->methods[i].name, name) == 0) return &pte->methods[i];
    return NULL;
}

/* ---- data of tensors ------------------------------------------------------------------------------------- */

static void read_offsets(const qn_pte *pte, qn_fb *fb, const qn_fb_table *t, qn_pte_offsets *out)
{
    uint32_t segment = qn_fb_u32(t, 4, 0);
    out->offsets = qn_fb_scalars(t, 6, 8, "SubsegmentOffsets.offsets");
    if (out->offsets.count == 0) return;
    segment = check_index(fb, t->at, segment, pte->program.n_segments, "SubsegmentOffsets.segment_index");
    if (fb->status.code == QN_OK) out->segment = pte->program.segments[segment];
}

static qn_status read_data(qn_pte *pte, qn_fb *fb, const qn_fb_table *program)
{
    const qn_allocator *a = &pte->allocator;
    qn_fb_vector old = qn_fb_refs(program, 8, "Program.constant_buffer");
    qn_fb_vector mutable_refs = qn_fb_refs(program, 16, "Program.mutable_data_segments");
    qn_fb_table constants = qn_fb_sub(program, 14, "Program.constant_segment");
    void *p;
    QN_TRY(qn_alloc(a, old.count, sizeof *pte->inline_constants, "constants of a program", &p));
    pte->inline_constants = p;
    pte->n_inline_constants = old.count;
    for (uint32_t i = 0; i < old.count; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &old, i, "Buffer");
        pte->inline_constants[i] = bytes_of(&t, 4, "Buffer.storage");
    }
    QN_TRY(qn_alloc(a, mutable_refs.count, sizeof *pte->mutable_data, "mutable data of a program", &p));
    pte->mutable_data = p;
    pte->n_mutable = mutable_refs.count;
    for (uint32_t i = 0; i < mutable_refs.count; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &mutable_refs, i, "SubsegmentOffsets");
        read_offsets(pte, fb, &t, &pte->mutable_data[i]);
    }
    read_offsets(pte, fb, &constants, &pte->constants);
    return fb->status;
}

/* `need` bytes of buffer `index` of a table of offsets. */
static qn_status slice(const qn_pte_offsets *t, uint32_t index, uint64_t need, const char *what, qn_bytes *data)
{
    if (index >= t->offsets.count)
        return qn_fail(QN_ERR_FORMAT, "%s %u does not exist, the file has %u", what, index, t->offsets.count);
    uint64_t offset = qn_fb_u64_at(&t->offsets, index);
    if (offset > t->segment.size || need > t->segment.size - offset)
        return qn_fail(QN_ERR_FORMAT,
                       "%s %u, %llu bytes at %llu, passes the end of its segment of %llu bytes; the file "
                       "is damaged",
                       what, index, (unsigned long long)need, (unsigned long long)offset,
                       (unsigned long long)t->segment.size);
    *data = (qn_bytes){t->segment.data + offset, need};
    return qn_ok();
}

/* Named data must be what the program says. A .ptd file tells the type, a program's own named data does not. */
static qn_status external_data(const qn_pte *pte, const qn_pte_tensor *t, uint64_t need, qn_bytes *data)
{
    const qn_pte_blob *blob = qn_pte_find_blob(pte, t->name);
    if (!blob)
        return qn_fail(QN_ERR_FORMAT,
                       "the data of \"%.200s\" is in another file: give the .ptd file that was exported "
                       "with the program",
                       t->name);
    bool same = blob->bytes.size == need;
    if (blob->is_tensor) {
        same = same && blob->scalar_type == t->scalar_type && blob->sizes.count == t->shape.rank;
        for (uint32_t i = 0; same && i < t->shape.rank; i++)
            same =
                qn_fb_u32_at(&blob->sizes, i) == t->shape.dim[i] && qn_fb_u8_at(&blob->dim_order, i) == t->dim_order[i];
    }
    if (!same)
        return qn_fail(QN_ERR_FORMAT,
                       "the data of \"%.200s\" (%llu bytes) is not of the type and shape that the program "
                       "has (%llu bytes): the .ptd file belongs to another program",
                       t->name, (unsigned long long)blob->bytes.size, (unsigned long long)need);
    *data = blob->bytes;
    return qn_ok();
}

qn_status qn_pte_tensor_data(const qn_pte *pte, const qn_pte_tensor *t, qn_bytes *data)
{
    uint64_t need;
    *data = (qn_bytes){0};
    if (!t->external && t->buffer == 0) return qn_ok();
    QN_TRY(qn_pte_tensor_bytes(t, &need));
    if (t->external) return external_data(pte, t, need, data);
    if (t->planned) {
        if (t->mutable_segment >= pte->n_mutable)
            return qn_fail(QN_ERR_FORMAT, "mutable data segment %llu does not exist, the file has %u",
                           (unsigned long long)t->mutable_segment, pte->n_mutable);
        return slice(&pte->mutable_data[t->mutable_segment], t->buffer, need, "mutable buffer", data);
    }
    if (pte->constants.offsets.count > 0) return slice(&pte->constants, t->buffer, need, "constant buffer", data);
    if (t->buffer >= pte->n_inline_constants || need > pte->inline_constants[t->buffer].size)
        return qn_fail(QN_ERR_FORMAT,
                       "constant buffer %u is missing or shorter than its tensor (%llu bytes); the file is "
                       "damaged",
                       t->buffer, (unsigned long long)need);
    *data = (qn_bytes){pte->inline_constants[t->buffer].data, need};
    return qn_ok();
}

/* ---- named data ------------------------------------------------------------------------------------------ */

/* Where a key is, or the free slot where it belongs. There is a free slot always. */
static uint32_t find_slot(const qn_pte *pte, const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = key; *c; c++) hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    uint32_t i = (uint32_t)(hash >> 32) & (pte->n_slots - 1);
    while (pte->slots[i] && strcmp(pte->slots[i]->key, key) != 0) i = (i + 1) & (pte->n_slots - 1);
    return i;
}

const qn_pte_blob *qn_pte_find_blob(const qn_pte *pte, const char *key)
{
    return pte->slots[find_slot(pte, key)];
}

/* A key that two files have is the first one's; twice in one file is an error. */
static qn_status index_blobs(qn_pte *pte, const qn_pte_container *c)
{
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        const qn_pte_blob **slot = &pte->slots[find_slot(pte, c->blobs[i].key)];
        if (!*slot)
            *slot = &c->blobs[i];
        else if (*slot >= c->blobs && *slot < c->blobs + c->n_blobs)
            return qn_fail(QN_ERR_FORMAT, "two pieces of named data have the key \"%.200s\"", c->blobs[i].key);
    }
    return qn_ok();
}

static qn_status index_all(qn_pte *pte, const qn_pte_file *file, const qn_pte_file *data_files)
{
    uint64_t keys = pte->program.n_blobs;
    for (uint32_t i = 0; i < pte->n_data_files; i++) keys += pte->data_files[i].n_blobs;
    pte->n_slots = 16;
    while (pte->n_slots < 2 * keys && pte->n_slots < UINT32_MAX / 4) pte->n_slots *= 2;
    if (pte->n_slots < 2 * keys) return qn_fail(QN_ERR_LIMIT, "too many pieces of named data");
    void *p;
    QN_TRY(qn_alloc(&pte->allocator, pte->n_slots, sizeof(const qn_pte_blob *), "index of named data", &p));
    pte->slots = p;
    QN_TRY(qn_in(index_blobs(pte, &pte->program), "%s", file->name));
    for (uint32_t i = 0; i < pte->n_data_files; i++)
        QN_TRY(qn_in(index_blobs(pte, &pte->data_files[i]), "%s", data_files[i].name));
    return qn_ok();
}

/* ---- open and close -------------------------------------------------------------------------------------- */

static qn_status read_program(qn_pte *pte, qn_bytes file)
{
    QN_TRY(qn_pte_program_header(file, &pte->program));
    qn_fb fb;
    qn_fb_open(&fb, pte->program.flatbuffer, 0, "ET12");
    if (fb.status.code != QN_OK) return qn_in(fb.status, "not an ExecuTorch program that this version reads");
    qn_fb_table program = qn_fb_root(&fb);
    pte->version = qn_fb_u32(&program, 4, 0);
    QN_TRY(qn_pte_container_read(&pte->allocator, &fb, &program, 12, 18, &pte->program));
    QN_TRY(read_data(pte, &fb, &program));
    return read_methods(pte, &fb, &program);
}

qn_status qn_pte_open(const qn_allocator *a, const qn_pte_file *file, const qn_pte_file *data_files,
                      uint32_t n_data_files, qn_pte **out)
{
    *out = NULL;
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_pte), "program", &p));
    qn_pte *pte = p;
    pte->allocator = *qn_allocator_or_default(a);
    qn_status s = qn_in(read_program(pte, file->bytes), "%s", file->name);
    if (s.code == QN_OK) s = qn_alloc(a, n_data_files, sizeof *pte->data_files, "data files", &p);
    if (s.code == QN_OK) pte->data_files = p;
    for (uint32_t i = 0; i < n_data_files && s.code == QN_OK; i++) {
        s = qn_in(qn_ptd_open(a, data_files[i].bytes, &pte->data_files[i]), "%s", data_files[i].name);
        pte->n_data_files = i + 1;
    }
    if (s.code == QN_OK) s = index_all(pte, file, data_files);
    if (s.code == QN_OK)
        *out = pte;
    else
        qn_pte_close(pte);
    return s;
}

static void free_method(const qn_allocator *a, qn_pte_method *m)
{
    for (uint32_t i = 0; i < m->n_chains; i++) qn_free(a, m->chains[i].instructions);
    for (uint32_t i = 0; i < m->n_delegates; i++) qn_free(a, m->delegates[i].specs);
    qn_free(a, m->values);
    qn_free(a, m->chains);
    qn_free(a, m->operators);
    qn_free(a, m->delegates);
}

void qn_pte_close(qn_pte *pte)
{
    if (!pte) return;
    qn_allocator a = pte->allocator;
    for (uint32_t i = 0; i < pte->n_methods; i++) free_method(&a, &pte->methods[i]);
    for (uint32_t i = 0; i < pte->n_data_files; i++) qn_pte_container_close(&a, &pte->data_files[i]);
    qn_pte_container_close(&a, &pte->program);
    qn_free(&a, pte->methods);
    qn_free(&a, pte->inline_constants);
    qn_free(&a, pte->mutable_data);
    qn_free(&a, pte->data_files);
    qn_free(&a, pte->slots);
    qn_free(&a, pte);
}
