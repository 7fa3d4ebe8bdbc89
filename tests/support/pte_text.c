#include "support/pte_text.h"

#include <inttypes.h>
#include <string.h>

static void print_list(const char *name, const qn_fb_vector *v, bool doubles, FILE *out)
{
    fprintf(out, "%s (", name);
    for (uint32_t i = 0; i < v->count; i++) {
        if (i) fputc(' ', out);
        if (doubles)
            fprintf(out, "%.17g", qn_fb_f64_at(v, i));
        else if (v->width == 8)
            fprintf(out, "%" PRId64, qn_fb_i64_at(v, i));
        else if (v->width == 4)
            fprintf(out, "%d", qn_fb_i32_at(v, i));
        else
            fprintf(out, "%u", qn_fb_u8_at(v, i));
    }
    fputs(")\n", out);
}

static void print_shape(const qn_shape *shape, FILE *out)
{
    for (uint32_t i = 0; i < shape->rank; i++) fprintf(out, "%s%u", i ? "," : "[", shape->dim[i]);
    fputs(shape->rank ? "]" : "[]", out);
}

static uint64_t where(const qn_pte *pte, qn_bytes bytes)
{
    return (uint64_t)(bytes.data - pte->program.file.data);
}

/* ---- program --------------------------------------------------------------------------------------------- */

static void print_container(const qn_pte *pte, FILE *out)
{
    const qn_pte_container *c = &pte->program;
    fprintf(out,
            "file %" PRIu64 ", header %u, flatbuffer %" PRIu64 ", segments %" PRIu64 " at %" PRIu64 ", version %u\n",
            c->file.size, c->header_length, c->flatbuffer.size, c->segment_data_size, c->segment_base, pte->version);
    for (uint32_t i = 0; i < c->n_segments; i++)
        fprintf(out, "segment %u: %" PRIu64 " at %" PRIu64 "\n", i, c->segments[i].size, where(pte, c->segments[i]));
    for (uint32_t i = 0; i < c->n_blobs; i++)
        fprintf(out, "named %s: segment %u, %" PRIu64 " at %" PRIu64 "\n", c->blobs[i].key, c->blobs[i].segment,
                c->blobs[i].bytes.size, where(pte, c->blobs[i].bytes));
    print_list("constants", &pte->constants.offsets, false, out);
    for (uint32_t i = 0; i < pte->n_mutable; i++) print_list("mutable", &pte->mutable_data[i].offsets, false, out);
    for (uint32_t i = 0; i < pte->n_inline_constants; i++)
        fprintf(out, "inline %u: %" PRIu64 "\n", i, pte->inline_constants[i].size);
}

static qn_status print_tensor(const qn_pte *pte, const qn_pte_tensor *t, FILE *out)
{
    static const char *const types[] = {"BYTE", "CHAR", "SHORT", "INT", "LONG", "HALF", "FLOAT", "DOUBLE"};
    static const char *const dynamism[] = {"STATIC", "DYNAMIC_BOUND", "DYNAMIC_UNBOUND"};
    const char *type = t->scalar_type == QN_PTE_BOOL ? "BOOL" : "?";
    if (t->scalar_type >= 0 && t->scalar_type <= QN_PTE_DOUBLE) type = types[t->scalar_type];
    fprintf(out, "tensor %s ", type);
    print_shape(&t->shape, out);
    fputs(" order", out);
    for (uint32_t i = 0; i < t->shape.rank; i++) fprintf(out, " %u", t->dim_order[i]);
    fprintf(out, " %s%s, buffer %u", dynamism[t->dynamism], t->planned ? " planned" : "", t->buffer);
    if (t->external || t->name[0]) fprintf(out, ", %s \"%s\"", t->external ? "external" : "name", t->name);
    qn_bytes data;
    qn_status s = qn_pte_tensor_data(pte, t, &data);
    if (data.data && !t->external) fprintf(out, ", %" PRIu64 " at %" PRIu64, data.size, where(pte, data));
    fputc('\n', out);
    return s;
}

static qn_status print_value(const qn_pte *pte, const qn_pte_value *v, FILE *out)
{
    switch (v->kind) {
    case QN_PTE_NULL:
        fputs("null\n", out);
        break;
    case QN_PTE_INT64:
        fprintf(out, "int %" PRId64 "\n", v->u.integer);
        break;
    case QN_PTE_BOOLEAN:
        fprintf(out, "bool %d\n", v->u.boolean);
        break;
    case QN_PTE_DOUBLE64:
        fprintf(out, "double %.17g\n", v->u.number);
        break;
    case QN_PTE_TENSOR:
        return print_tensor(pte, &v->u.tensor, out);
    case QN_PTE_STRING:
        fprintf(out, "string \"%s\"\n", v->u.string);
        break;
    case QN_PTE_INT_LIST:
        print_list("ints", &v->u.list, false, out);
        break;
    case QN_PTE_DOUBLE_LIST:
        print_list("doubles", &v->u.list, true, out);
        break;
    case QN_PTE_BOOL_LIST:
        print_list("bools", &v->u.list, false, out);
        break;
    case QN_PTE_TENSOR_LIST:
        print_list("tensors", &v->u.list, false, out);
        break;
    case QN_PTE_OPTIONAL_TENSOR_LIST:
        print_list("optional tensors", &v->u.list, false, out);
        break;
    }
    return qn_ok();
}

static void print_instruction(const qn_pte_instruction *in, FILE *out)
{
    char name[64];
    switch (in->kind) {
    case QN_PTE_KERNEL_CALL:
    case QN_PTE_DELEGATE_CALL:
        snprintf(name, sizeof name, "  call %s %u", in->kind == QN_PTE_KERNEL_CALL ? "kernel" : "delegate", in->index);
        print_list(name, &in->args, false, out);
        break;
    case QN_PTE_MOVE:
        fprintf(out, "  move %u to %u\n", in->index, in->target);
        break;
    case QN_PTE_JUMP_FALSE:
        fprintf(out, "  jump if not %u to %u\n", in->index, in->target);
        break;
    case QN_PTE_FREE:
        fprintf(out, "  free %u\n", in->index);
        break;
    }
}

static void print_delegate(const qn_pte *pte, uint32_t i, const qn_pte_delegate *d, FILE *out)
{
    fprintf(out, " delegate %u: %s, %s, %" PRIu64 " at %" PRIu64 "\n", i, d->id, d->in_segment ? "segment" : "inline",
            d->data.size, where(pte, d->data));
    for (uint32_t s = 0; s < d->n_specs; s++) {
        fprintf(out, "  spec %s:", d->specs[s].key);
        for (uint64_t b = 0; b < d->specs[s].value.size; b++) fprintf(out, " %u", d->specs[s].value.data[b]);
        fputc('\n', out);
    }
}

static qn_status print_method(const qn_pte *pte, const qn_pte_method *m, FILE *out)
{
    fprintf(out, "method %s\n", m->name);
    for (uint32_t i = 0; i < m->n_values; i++) {
        fprintf(out, " value %u: ", i);
        QN_TRY(qn_in(print_value(pte, &m->values[i], out), "method %s, value %u", m->name, i));
    }
    print_list(" inputs", &m->inputs, false, out);
    print_list(" outputs", &m->outputs, false, out);
    for (uint32_t i = 0; i < m->n_operators; i++)
        fprintf(out, " operator %u: %s \"%s\"\n", i, m->operators[i].name, m->operators[i].overload);
    for (uint32_t i = 0; i < m->n_delegates; i++) print_delegate(pte, i, &m->delegates[i], out);
    for (uint32_t c = 0; c < m->n_chains; c++) {
        fprintf(out, " chain %u\n", c);
        for (uint32_t i = 0; i < m->chains[c].n_instructions; i++)
            print_instruction(&m->chains[c].instructions[i], out);
    }
    return qn_ok();
}

/* ---- graph ----------------------------------------------------------------------------------------------- */

static qn_status print_vk_tensor(const qn_pte *pte, const qn_vk_graph *g, const qn_vk_tensor *t, FILE *out)
{
    const char *staging = qn_vk_dtype_name(t->staging_dtype);
    qn_bytes data;
    fprintf(out, "tensor %s/%s ", qn_vk_dtype_name(t->dtype), staging ? staging : "UNSET");
    print_shape(&t->shape, out);
    fprintf(out, " constant %d, memory %d\n", t->constant_id, t->mem_obj_id);
    return qn_vk_tensor_data(g, pte, t, &data);
}

static qn_status print_vk_value(const qn_pte *pte, const qn_vk_graph *g, const qn_vk_value *v, FILE *out)
{
    switch (v->kind) {
    case QN_VK_NULL:
        fputs("null\n", out);
        break;
    case QN_VK_INT:
        fprintf(out, "int %" PRId64 "\n", v->u.integer);
        break;
    case QN_VK_DOUBLE:
        fprintf(out, "double %.17g\n", v->u.number);
        break;
    case QN_VK_BOOLEAN:
        fprintf(out, "bool %d\n", v->u.boolean);
        break;
    case QN_VK_TENSOR:
        return print_vk_tensor(pte, g, &v->u.tensor, out);
    case QN_VK_INT_LIST:
        print_list("ints", &v->u.list, false, out);
        break;
    case QN_VK_DOUBLE_LIST:
        print_list("doubles", &v->u.list, true, out);
        break;
    case QN_VK_BOOL_LIST:
        print_list("bools", &v->u.list, false, out);
        break;
    case QN_VK_VALUE_LIST:
        print_list("values", &v->u.list, false, out);
        break;
    case QN_VK_STRING:
        fprintf(out, "string \"%s\"\n", v->u.string);
        break;
    case QN_VK_SYMINT:
        fprintf(out, "symint %" PRId64 "\n", v->u.integer);
        break;
    }
    return qn_ok();
}

static qn_status print_graph(const qn_pte *pte, const qn_vk_graph *g, FILE *out)
{
    char name[512];
    for (uint32_t i = 0; i < g->n_constants; i++) {
        const qn_vk_constant *c = &g->constants[i];
        qn_bytes data;
        QN_TRY(qn_vk_constant_data(g, pte, i, &data));
        fprintf(out, " constant %u: %s, %" PRIu64 " at %" PRIu64 "\n", i, c->key[0] ? c->key : "inline", data.size,
                where(pte, data));
    }
    for (uint32_t i = 0; i < g->n_values; i++) {
        fprintf(out, " value %u: ", i);
        QN_TRY(qn_in(print_vk_value(pte, g, &g->values[i], out), "value %u", i));
    }
    print_list(" inputs", &g->input_ids, false, out);
    print_list(" outputs", &g->output_ids, false, out);
    for (uint32_t i = 0; i < g->n_ops; i++) {
        snprintf(name, sizeof name, " op %u: %s", g->ops[i].node_id, g->ops[i].name);
        print_list(name, &g->ops[i].args, false, out);
    }
    return qn_ok();
}

qn_status qn_pte_text(const qn_pte *pte, FILE *out)
{
    print_container(pte, out);
    for (uint32_t m = 0; m < pte->n_methods; m++) QN_TRY(print_method(pte, &pte->methods[m], out));
    for (uint32_t m = 0; m < pte->n_methods; m++) {
        for (uint32_t d = 0; d < pte->methods[m].n_delegates; d++) {
            const qn_pte_delegate *delegate = &pte->methods[m].delegates[d];
            qn_vk_graph *g;
            if (strcmp(delegate->id, "VulkanBackend") != 0) continue;
            QN_TRY(qn_vk_graph_open(NULL, delegate->data, where(pte, delegate->data), &g));
            fprintf(out, "graph %u.%u, version %s\n", m, d, g->version);
            qn_status s = qn_in(print_graph(pte, g, out), "graph %u.%u", m, d);
            qn_vk_graph_close(g);
            QN_TRY(s);
        }
    }
    return qn_ok();
}
