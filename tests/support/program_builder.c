#include "support/program_builder.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ----------------------------------------------------------------------------------- */

typedef struct list {
    void *items; /* malloc */
    size_t n, capacity;
} list;

static void *push(list *l, size_t width, const void *item)
{
    if (l->n == l->capacity) l->items = realloc(l->items, (l->capacity = 2 * l->n + 8) * width);
    if (!l->items) abort();
    return memcpy((char *)l->items + l->n++ * width, item, width);
}

static void *copy_of(const void *data, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy) abort();
    return memcpy(copy, data ? data : "", bytes);
}

static void *zeroed(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p) abort();
    return p;
}

static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static size_t count_of(const qn_shape *shape)
{
    size_t n = 1;
    for (uint32_t i = 0; i < shape->rank; i++) n *= shape->dim[i];
    return n;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

typedef struct vk_value {
    uint8_t kind; /* qn_vk_kind */
    uint8_t dtype;
    int32_t constant;
    qn_shape shape;
    uint64_t bits; /* of a number */
    void *items;   /* of a list or string */
    size_t n;
} vk_value;

typedef struct vk_op {
    char *name;
    int32_t *args;
    size_t n;
} vk_op;

typedef struct vk_constant {
    size_t offset, bytes;
} vk_constant;

struct qn_vk_maker {
    list values, ops, inputs, outputs, constants;
    list data; /* bytes */
};

qn_vk_maker *qn_vk_make(void)
{
    return zeroed(sizeof(qn_vk_maker));
}

static int32_t add_value(qn_vk_maker *g, vk_value v)
{
    push(&g->values, sizeof v, &v);
    return (int32_t)g->values.n - 1;
}

int32_t qn_vk_tensor_of(qn_vk_maker *g, qn_vk_dtype dtype, qn_shape shape)
{
    return add_value(g, (vk_value){.kind = QN_VK_TENSOR, .dtype = (uint8_t)dtype, .constant = -1, .shape = shape});
}

int32_t qn_vk_f32(qn_vk_maker *g, qn_shape shape)
{
    return qn_vk_tensor_of(g, QN_VK_FLOAT32, shape);
}

int32_t qn_vk_constant_of(qn_vk_maker *g, qn_vk_dtype dtype, qn_shape shape, const void *data)
{
    const uint8_t *bytes = data;
    vk_constant c = {g->data.n, count_of(&shape) * qn_vk_dtype_bytes((int8_t)dtype)};
    for (size_t i = 0; i < c.bytes; i++) push(&g->data, 1, bytes + i);
    push(&g->constants, sizeof c, &c);
    int32_t id = qn_vk_tensor_of(g, dtype, shape);
    ((vk_value *)g->values.items)[id].constant = (int32_t)g->constants.n - 1;
    return id;
}

int32_t qn_vk_f32_constant(qn_vk_maker *g, qn_shape shape, const float *data)
{
    return qn_vk_constant_of(g, QN_VK_FLOAT32, shape, data);
}

int32_t qn_vk_shared(qn_vk_maker *g, int32_t id, qn_vk_dtype dtype, qn_shape shape)
{
    int32_t constant = ((vk_value *)g->values.items)[id].constant, other = qn_vk_tensor_of(g, dtype, shape);
    ((vk_value *)g->values.items)[other].constant = constant;
    return other;
}

int32_t qn_vk_int(qn_vk_maker *g, int64_t number)
{
    return add_value(g, (vk_value){.kind = QN_VK_INT, .bits = (uint64_t)number});
}

int32_t qn_vk_double(qn_vk_maker *g, double number)
{
    return add_value(g, (vk_value){.kind = QN_VK_DOUBLE, .bits = bits_of(number)});
}

int32_t qn_vk_bool(qn_vk_maker *g, bool flag)
{
    return add_value(g, (vk_value){.kind = QN_VK_BOOLEAN, .bits = flag});
}

int32_t qn_vk_null(qn_vk_maker *g)
{
    return add_value(g, (vk_value){.kind = QN_VK_NULL});
}

int32_t qn_vk_string(qn_vk_maker *g, const char *text)
{
    return add_value(g, (vk_value){.kind = QN_VK_STRING, .items = copy_of(text, strlen(text) + 1)});
}

int32_t qn_vk_symint(qn_vk_maker *g)
{
    return add_value(g, (vk_value){.kind = QN_VK_SYMINT});
}

int32_t qn_vk_ints(qn_vk_maker *g, uint32_t n, const int64_t *numbers)
{
    return add_value(g, (vk_value){.kind = QN_VK_INT_LIST, .items = copy_of(numbers, n * sizeof *numbers), .n = n});
}

int32_t qn_vk_list(qn_vk_maker *g, uint32_t n, const int32_t *ids)
{
    return add_value(g, (vk_value){.kind = QN_VK_VALUE_LIST, .items = copy_of(ids, n * sizeof *ids), .n = n});
}

void qn_vk_op_of(qn_vk_maker *g, const char *name, uint32_t n, const int32_t *args)
{
    vk_op op = {copy_of(name, strlen(name) + 1), copy_of(args, n * sizeof *args), n};
    push(&g->ops, sizeof op, &op);
}

void qn_vk_input(qn_vk_maker *g, int32_t id)
{
    push(&g->inputs, sizeof id, &id);
}

void qn_vk_output(qn_vk_maker *g, int32_t id)
{
    push(&g->outputs, sizeof id, &id);
}

static void write_vk_tensor(qn_fbb *b, size_t ref, const vk_value *v)
{
    size_t t = qn_fbb_tagged(
        b, ref, v->kind,
        QN_FIELDS({4, 1, v->dtype}, {6, 4, 0}, {8, 4, (uint32_t)v->constant}, {10, 4, UINT32_MAX}, {16, 1, v->dtype}));
    qn_fbb_items(b, t, 6, v->shape.dim, v->shape.rank, 4);
}

static void write_vk_value(qn_fbb *b, size_t ref, const vk_value *v)
{
    switch (v->kind) {
    case QN_VK_TENSOR:
        write_vk_tensor(b, ref, v);
        break;
    case QN_VK_INT:
    case QN_VK_DOUBLE:
        qn_fbb_tagged(b, ref, v->kind, QN_FIELDS({4, 8, v->bits}));
        break;
    case QN_VK_BOOLEAN:
        qn_fbb_tagged(b, ref, v->kind, QN_FIELDS({4, 1, v->bits}));
        break;
    case QN_VK_STRING:
        qn_fbb_text(b, qn_fbb_tagged(b, ref, v->kind, QN_FIELDS({4, 4, 0})), 4, v->items);
        break;
    case QN_VK_INT_LIST:
    case QN_VK_VALUE_LIST:
        qn_fbb_items(b, qn_fbb_tagged(b, ref, v->kind, QN_FIELDS({4, 4, 0})), 4, v->items, v->n,
                     v->kind == QN_VK_INT_LIST ? 8 : 4);
        break;
    default: /* Null and SymInt have no table of their own */
        qn_fbb_table(b, ref, QN_FIELDS({4, 1, v->kind}));
    }
}

static void free_vk(qn_vk_maker *g)
{
    for (size_t i = 0; i < g->values.n; i++) free(((vk_value *)g->values.items)[i].items);
    for (size_t i = 0; i < g->ops.n; i++) {
        free(((vk_op *)g->ops.items)[i].name);
        free(((vk_op *)g->ops.items)[i].args);
    }
    list *lists[] = {&g->values, &g->ops, &g->inputs, &g->outputs, &g->constants, &g->data};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) free(lists[i]->items);
    free(g);
}

static qn_fbb vk_flatbuffer(const qn_vk_maker *g)
{
    qn_fbb b = qn_fbb_new("VK00", 0);
    size_t root = qn_fbb_table(&b, 0, QN_FIELDS({6, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}));
    size_t ref = qn_fbb_children(&b, root, 6, g->ops.n);
    for (size_t i = 0; i < g->ops.n; i++) {
        const vk_op *op = (const vk_op *)g->ops.items + i;
        size_t t = qn_fbb_table(&b, ref + 4 * i, QN_FIELDS({4, 4, i}, {6, 4, 0}, {8, 4, 0}));
        qn_fbb_text(&b, t, 6, op->name);
        qn_fbb_items(&b, t, 8, op->args, op->n, 4);
    }
    ref = qn_fbb_children(&b, root, 8, g->values.n);
    for (size_t i = 0; i < g->values.n; i++) write_vk_value(&b, ref + 4 * i, (const vk_value *)g->values.items + i);
    qn_fbb_items(&b, root, 10, g->inputs.items, g->inputs.n, 4);
    qn_fbb_items(&b, root, 12, g->outputs.items, g->outputs.n, 4);
    ref = qn_fbb_children(&b, root, 14, g->constants.n);
    for (size_t i = 0; i < g->constants.n; i++) {
        const vk_constant *c = (const vk_constant *)g->constants.items + i;
        qn_fbb_table(&b, ref + 4 * i, QN_FIELDS({4, 8, c->offset}, {6, 8, c->bytes}));
    }
    return b;
}

/* The delegate's data: header, flatbuffer, constants. */
static qn_fbb vk_blob(qn_vk_maker *g)
{
    qn_fbb b = vk_flatbuffer(g), out = {0};
    qn_fbb_bytes(&out, NULL, 32);
    memcpy(out.data + 4, "VH00", 4);
    qn_fbb_bytes(&out, b.data, b.size);
    qn_fbb_put(&out, 8, 30, 2);
    qn_fbb_put(&out, 10, 32, 4);
    qn_fbb_put(&out, 14, b.size, 4);
    qn_fbb_put(&out, 18, out.size, 4); /* constants begin at any address */
    qn_fbb_put(&out, 22, g->data.n, 8);
    qn_fbb_bytes(&out, g->data.items, g->data.n);
    qn_fbb_free(&b);
    free_vk(g);
    return out;
}

/* ---- programs -------------------------------------------------------------------------------- */

typedef struct value {
    uint8_t kind; /* qn_pte_kind */
    uint8_t scalar;
    bool planned, dynamic;
    qn_shape shape;
    uint8_t order[QN_MAX_RANK];
    uint32_t buffer; /* index into the constants, or the first contents of states */
    uint64_t bits;
} value;

typedef struct instruction {
    uint8_t kind;
    int32_t index; /* operator or delegate */
    int32_t *args;
    size_t n;
} instruction;

typedef struct operator
{
    char *name, *overload;
}
operator;

typedef struct delegate {
    char *backend;
    int32_t data; /* index into the program's inline data */
} delegate;

typedef struct method {
    char *name;
    list values, inputs, outputs, instructions, operators, delegates;
} method;

/* A segment of pieces, each at its offset. */
typedef struct pieces {
    list offsets; /* uint64_t; [0] stands for none */
    qn_fbb bytes;
} pieces;

struct qn_program_maker {
    list methods;
    list blobs; /* qn_fbb: data of delegates */
    bool segments;
    pieces constants, states;
};

qn_program_maker *qn_program_make(void)
{
    static const uint64_t none = 0;
    qn_program_maker *p = zeroed(sizeof *p);
    push(&p->constants.offsets, sizeof none, &none);
    push(&p->states.offsets, sizeof none, &none);
    return p;
}

void qn_program_use_segments(qn_program_maker *p)
{
    p->segments = true;
}

void qn_program_make_method(qn_program_maker *p, const char *name)
{
    method m = {.name = copy_of(name, strlen(name) + 1)};
    push(&p->methods, sizeof m, &m);
}

static method *last_method(qn_program_maker *p)
{
    return (method *)p->methods.items + p->methods.n - 1;
}

static int32_t add(qn_program_maker *p, value v)
{
    for (uint8_t i = 0; i < QN_MAX_RANK; i++) v.order[i] = i;
    push(&last_method(p)->values, sizeof v, &v);
    return (int32_t)last_method(p)->values.n - 1;
}

static uint32_t add_piece(pieces *s, qn_scalar scalar, const qn_shape *shape, const void *data)
{
    uint64_t at = qn_fbb_bytes(&s->bytes, data, count_of(shape) * qn_scalar_bytes(scalar));
    push(&s->offsets, sizeof at, &at);
    return (uint32_t)s->offsets.n - 1;
}

int32_t qn_make_tensor(qn_program_maker *p, qn_scalar scalar, qn_shape shape, bool dynamic)
{
    return add(
        p,
        (value){.kind = QN_PTE_TENSOR, .scalar = (uint8_t)scalar, .planned = true, .dynamic = dynamic, .shape = shape});
}

int32_t qn_make_constant(qn_program_maker *p, qn_scalar scalar, qn_shape shape, const void *data)
{
    uint32_t buffer = add_piece(&p->constants, scalar, &shape, data);
    return add(p, (value){.kind = QN_PTE_TENSOR, .scalar = (uint8_t)scalar, .shape = shape, .buffer = buffer});
}

int32_t qn_make_state(qn_program_maker *p, qn_scalar scalar, qn_shape shape, const void *data)
{
    uint32_t buffer = add_piece(&p->states, scalar, &shape, data);
    return add(
        p,
        (value){.kind = QN_PTE_TENSOR, .scalar = (uint8_t)scalar, .planned = true, .shape = shape, .buffer = buffer});
}

int32_t qn_make_int(qn_program_maker *p, int64_t number)
{
    return add(p, (value){.kind = QN_PTE_INT64, .bits = (uint64_t)number});
}

int32_t qn_make_double(qn_program_maker *p, double number)
{
    return add(p, (value){.kind = QN_PTE_DOUBLE64, .bits = bits_of(number)});
}

int32_t qn_make_null(qn_program_maker *p)
{
    return add(p, (value){.kind = QN_PTE_NULL});
}

void qn_make_dim_order(qn_program_maker *p, int32_t index, const uint8_t *order)
{
    value *v = (value *)last_method(p)->values.items + index;
    memcpy(v->order, order, v->shape.rank);
}

int32_t qn_make_delegate_for(qn_program_maker *p, qn_vk_maker *g, const char *backend)
{
    qn_fbb blob = vk_blob(g);
    push(&p->blobs, sizeof blob, &blob);
    delegate d = {copy_of(backend, strlen(backend) + 1), (int32_t)p->blobs.n - 1};
    push(&last_method(p)->delegates, sizeof d, &d);
    return (int32_t)last_method(p)->delegates.n - 1;
}

int32_t qn_make_delegate(qn_program_maker *p, qn_vk_maker *g)
{
    return qn_make_delegate_for(p, g, "VulkanBackend");
}

int32_t qn_make_same_delegate(qn_program_maker *p, int32_t index)
{
    delegate d = ((delegate *)last_method(p)->delegates.items)[index];
    d.backend = copy_of(d.backend, strlen(d.backend) + 1);
    push(&last_method(p)->delegates, sizeof d, &d);
    return (int32_t)last_method(p)->delegates.n - 1;
}

static void add_instruction(qn_program_maker *p, uint8_t kind, int32_t index, uint32_t n, const int32_t *values)
{
    instruction in = {kind, index, copy_of(values, n * sizeof *values), n};
    push(&last_method(p)->instructions, sizeof in, &in);
}

void qn_make_call_of(qn_program_maker *p, int32_t index, uint32_t n, const int32_t *values)
{
    add_instruction(p, QN_PTE_DELEGATE_CALL, index, n, values);
}

void qn_make_kernel_of(qn_program_maker *p, const char *name, const char *overload, uint32_t n, const int32_t *values)
{
    operator op = {copy_of(name, strlen(name) + 1), copy_of(overload, strlen(overload) + 1)};
    list *operators = &last_method(p)->operators;
    push(operators, sizeof op, &op);
    add_instruction(p, QN_PTE_KERNEL_CALL, (int32_t)operators->n - 1, n, values);
}

void qn_make_input(qn_program_maker *p, int32_t index)
{
    push(&last_method(p)->inputs, sizeof index, &index);
}

void qn_make_output(qn_program_maker *p, int32_t index)
{
    push(&last_method(p)->outputs, sizeof index, &index);
}

static qn_scalar scalar_of(uint8_t dtype)
{
    static const qn_scalar scalars[] = {
        [QN_VK_BOOL] = QN_SCALAR_BOOL,   [QN_VK_UINT8] = QN_SCALAR_UINT8, [QN_VK_INT8] = QN_SCALAR_INT8,
        [QN_VK_INT32] = QN_SCALAR_INT32, [QN_VK_FLOAT32] = QN_SCALAR_F32, [QN_VK_FLOAT64] = QN_SCALAR_F64,
        [QN_VK_INT64] = QN_SCALAR_INT64};
    return scalars[dtype];
}

/* The method's value for a value of the graph: one even where the graph has it as input and output. */
static int32_t method_value(qn_program_maker *p, const qn_vk_maker *g, int32_t id, bool dynamic, int32_t *known)
{
    const vk_value *v = (const vk_value *)g->values.items + id;
    if (known[id] < 0) known[id] = qn_make_tensor(p, scalar_of(v->dtype), v->shape, dynamic);
    return known[id];
}

void qn_make_method_of(qn_program_maker *p, const char *name, qn_vk_maker *g, bool dynamic)
{
    const int32_t *inputs = g->inputs.items, *outputs = g->outputs.items;
    list args = {0};
    int32_t *known = zeroed((g->values.n + 1) * sizeof *known);
    memset(known, 0xFF, g->values.n * sizeof *known);
    qn_program_make_method(p, name);
    for (size_t i = 0; i < g->inputs.n; i++) {
        int32_t v = method_value(p, g, inputs[i], dynamic, known);
        push(&args, sizeof v, &v);
        qn_make_input(p, v);
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        int32_t v = method_value(p, g, outputs[i], dynamic, known);
        push(&args, sizeof v, &v);
        qn_make_output(p, v);
    }
    qn_make_call_of(p, qn_make_delegate(p, g), (uint32_t)args.n, args.items);
    free(args.items);
    free(known);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void write_tensor(qn_fbb *b, size_t ref, const value *v)
{
    const qn_fbb_field fields[] = {{4, 1, v->scalar},  {8, 4, 0},           {10, 4, 0},
                                   {14, 4, v->buffer}, {20, 1, v->dynamic}, {16, 4, 0}};
    size_t t = qn_fbb_tagged(b, ref, v->kind, fields, v->planned ? 6 : 5);
    qn_fbb_items(b, t, 8, v->shape.dim, v->shape.rank, 4);
    qn_fbb_items(b, t, 10, v->order, v->shape.rank, 1);
    if (v->planned) qn_fbb_child(b, t, 16, QN_FIELDS({4, 4, 1}));
}

static void write_values(qn_fbb *b, size_t plan, const method *m)
{
    size_t ref = qn_fbb_children(b, plan, 8, m->values.n);
    for (size_t i = 0; i < m->values.n; i++) {
        const value *v = (const value *)m->values.items + i;
        if (v->kind == QN_PTE_TENSOR)
            write_tensor(b, ref + 4 * i, v);
        else if (v->kind == QN_PTE_NULL)
            qn_fbb_table(b, ref + 4 * i, QN_FIELDS({4, 1, v->kind}));
        else
            qn_fbb_tagged(b, ref + 4 * i, v->kind, QN_FIELDS({4, 8, v->bits}));
    }
}

enum { FIRST_BLOB_SEGMENT = 2 }; /* after those of constants and states */

static void write_calls(qn_fbb *b, size_t plan, const method *m, bool segments)
{
    size_t chain = qn_fbb_table(b, qn_fbb_children(b, plan, 14, 1), QN_FIELDS({8, 4, 0}));
    size_t ref = qn_fbb_children(b, chain, 8, m->instructions.n);
    for (size_t i = 0; i < m->instructions.n; i++) {
        const instruction *in = (const instruction *)m->instructions.items + i;
        size_t t = qn_fbb_tagged(b, ref + 4 * i, in->kind, QN_FIELDS({4, 4, (uint32_t)in->index}, {6, 4, 0}));
        qn_fbb_items(b, t, 6, in->args, in->n, 4);
    }
    ref = qn_fbb_children(b, plan, 16, m->operators.n);
    for (size_t i = 0; i < m->operators.n; i++) {
        const operator* op =(const operator*) m->operators.items + i;
        size_t t = qn_fbb_table(b, ref + 4 * i, QN_FIELDS({4, 4, 0}, {6, 4, 0}));
        qn_fbb_text(b, t, 4, op->name);
        qn_fbb_text(b, t, 6, op->overload);
    }
    ref = qn_fbb_children(b, plan, 18, m->delegates.n);
    for (size_t i = 0; i < m->delegates.n; i++) {
        const delegate *d = (const delegate *)m->delegates.items + i;
        size_t t = qn_fbb_table(b, ref + 4 * i, QN_FIELDS({4, 4, 0}, {6, 4, 0}));
        qn_fbb_text(b, t, 4, d->backend);
        uint32_t at = (uint32_t)d->data + (segments ? FIRST_BLOB_SEGMENT : 0);
        qn_fbb_child(b, t, 6, QN_FIELDS({4, 1, segments}, {6, 4, at}));
    }
}

static void write_methods(qn_fbb *b, size_t program, const qn_program_maker *p)
{
    size_t ref = qn_fbb_children(b, program, 6, p->methods.n);
    for (size_t i = 0; i < p->methods.n; i++) {
        const method *m = (const method *)p->methods.items + i;
        size_t plan =
            qn_fbb_table(b, ref + 4 * i,
                         QN_FIELDS({4, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}, {16, 4, 0}, {18, 4, 0}));
        qn_fbb_text(b, plan, 4, m->name);
        write_values(b, plan, m);
        qn_fbb_items(b, plan, 10, m->inputs.items, m->inputs.n, 4);
        qn_fbb_items(b, plan, 12, m->outputs.items, m->outputs.n, 4);
        write_calls(b, plan, m, p->segments);
    }
}

static void write_offsets(qn_fbb *b, size_t table, const pieces *s)
{
    qn_fbb_items(b, table, 6, s->offsets.items, s->offsets.n, 8);
}

/* Segment i begins at a multiple of 16 from the first. */
static void append_segment(qn_fbb *b, size_t base, size_t table, const qn_fbb *bytes)
{
    qn_fbb_align(b, 16);
    size_t at = qn_fbb_bytes(b, bytes->data, bytes->size);
    qn_fbb_put(b, qn_fbb_field_at(b, table, 4), at - base, 8);
    qn_fbb_put(b, qn_fbb_field_at(b, table, 6), bytes->size, 8);
}

static void free_method(method *m)
{
    for (size_t i = 0; i < m->instructions.n; i++) free(((instruction *)m->instructions.items)[i].args);
    for (size_t i = 0; i < m->operators.n; i++) {
        free(((operator*)m->operators.items)[i].name);
        free(((operator*)m->operators.items)[i].overload);
    }
    for (size_t i = 0; i < m->delegates.n; i++) free(((delegate *)m->delegates.items)[i].backend);
    list *lists[] = {&m->values, &m->inputs, &m->outputs, &m->instructions, &m->operators, &m->delegates};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) free(lists[i]->items);
    free(m->name);
}

static void free_program(qn_program_maker *p)
{
    for (size_t i = 0; i < p->methods.n; i++) free_method((method *)p->methods.items + i);
    for (size_t i = 0; i < p->blobs.n; i++) qn_fbb_free((qn_fbb *)p->blobs.items + i);
    qn_fbb_free(&p->constants.bytes);
    qn_fbb_free(&p->states.bytes);
    free(p->constants.offsets.items);
    free(p->states.offsets.items);
    free(p->methods.items);
    free(p->blobs.items);
    free(p);
}

qn_fbb qn_program_finish(qn_program_maker *p)
{
    enum { HEADER_AT = 8, HEADER_BYTES = 32 };
    qn_fbb b = qn_fbb_new("ET12", HEADER_BYTES);
    size_t program =
        qn_fbb_table(&b, 0, QN_FIELDS({4, 4, 0}, {6, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}, {16, 4, 0}));
    write_methods(&b, program, p);
    const qn_fbb *blobs = p->blobs.items;
    size_t n_inline = p->segments ? 0 : p->blobs.n, n_segments = FIRST_BLOB_SEGMENT + p->blobs.n - n_inline;
    size_t ref = qn_fbb_children(&b, program, 10, n_inline);
    for (size_t i = 0; i < n_inline; i++)
        qn_fbb_items(&b, qn_fbb_table(&b, ref + 4 * i, QN_FIELDS({4, 4, 0})), 4, blobs[i].data, blobs[i].size, 1);
    size_t *segments = zeroed(n_segments * sizeof *segments);
    ref = qn_fbb_children(&b, program, 12, n_segments);
    for (size_t i = 0; i < n_segments; i++)
        segments[i] = qn_fbb_table(&b, ref + 4 * i, QN_FIELDS({4, 8, 0}, {6, 8, 0}));
    write_offsets(&b, qn_fbb_child(&b, program, 14, QN_FIELDS({4, 4, 0}, {6, 4, 0})), &p->constants);
    write_offsets(&b, qn_fbb_table(&b, qn_fbb_children(&b, program, 16, 1), QN_FIELDS({4, 4, 1}, {6, 4, 0})),
                  &p->states);
    size_t program_size = b.size;
    qn_fbb_align(&b, 16);
    size_t base = b.size;
    append_segment(&b, base, segments[0], &p->constants.bytes);
    append_segment(&b, base, segments[1], &p->states.bytes);
    for (size_t i = FIRST_BLOB_SEGMENT; i < n_segments; i++)
        append_segment(&b, base, segments[i], &blobs[i - FIRST_BLOB_SEGMENT]);
    free(segments);
    memcpy(b.data + HEADER_AT, "eh00", 4);
    qn_fbb_put(&b, HEADER_AT + 4, HEADER_BYTES, 4);
    qn_fbb_put(&b, HEADER_AT + 8, program_size, 8);
    qn_fbb_put(&b, HEADER_AT + 16, base, 8);
    qn_fbb_put(&b, HEADER_AT + 24, b.size - base, 8);
    free_program(p);
    return b;
}

static qn_fbb one_method(qn_vk_maker *g, bool dynamic)
{
    qn_program_maker *p = qn_program_make();
    qn_make_method_of(p, "forward", g, dynamic);
    return qn_program_finish(p);
}

qn_fbb qn_program_of(qn_vk_maker *g)
{
    return one_method(g, false);
}

qn_fbb qn_dynamic_program_of(qn_vk_maker *g)
{
    return one_method(g, true);
}
