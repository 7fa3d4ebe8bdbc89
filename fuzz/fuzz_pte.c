/* fuzz_pte.c - libFuzzer target: opens the input as an ExecuTorch program, a .ptd file or the data of a Vulkan delegate
 * (by its identifier), and reads everything in it: values, lists, instructions, graphs, every byte of every tensor. */
#include <stdlib.h>
#include <string.h>

#include "format/vk_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* keeps reads from being optimized away */

static void check_failure(qn_status s)
{
    if (s.code != QN_OK && (s.text[0] == '\0' || s.code == QN_ERR_INTERNAL)) abort();
}

static void touch(qn_bytes b)
{
    uint64_t step = b.size > 4096 ? b.size / 4096 : 1; /* a sample of what is large, and the last byte */
    for (uint64_t i = 0; i < b.size; i += step) sink += b.data[i];
    if (b.size) sink += b.data[b.size - 1];
}

static void touch_text(const char *text)
{
    touch((qn_bytes){(const uint8_t *)text, strlen(text) + 1});
}

static void touch_list(const qn_fb_vector *v)
{
    for (uint32_t i = 0; i < v->count; i++) sink += qn_fb_bits_at(v, i, v->width);
}

/* Everything that indexes values does so within them. */
static void check_indices(const qn_fb_vector *v, uint32_t n_values)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (qn_fb_u32_at(v, i) >= n_values) abort();
}

/* ---- graph ----------------------------------------------------------------------------------------------- */

static void walk_vk_value(const qn_vk_graph *g, const qn_pte *pte, const qn_vk_value *v)
{
    qn_bytes bytes;
    switch (v->kind) {
    case QN_VK_TENSOR: {
        if (v->u.tensor.shape.rank > QN_MAX_RANK || !qn_vk_dtype_name(v->u.tensor.dtype)) abort();
        qn_status s = qn_vk_tensor_data(g, pte, &v->u.tensor, &bytes);
        check_failure(s);
        if (s.code == QN_OK) touch(bytes);
        break;
    }
    case QN_VK_STRING:
        touch_text(v->u.string);
        break;
    case QN_VK_VALUE_LIST:
        check_indices(&v->u.list, g->n_values);
        break;
    case QN_VK_INT_LIST:
    case QN_VK_DOUBLE_LIST:
    case QN_VK_BOOL_LIST:
        touch_list(&v->u.list);
        break;
    default:
        break;
    }
}

static void walk_graph(qn_bytes data, const qn_pte *pte)
{
    qn_vk_graph *g;
    qn_status s = qn_vk_graph_open(NULL, data, 0, &g);
    check_failure(s);
    if (s.code != QN_OK) return;
    touch_text(g->version);
    for (uint32_t i = 0; i < g->n_values; i++) walk_vk_value(g, pte, &g->values[i]);
    for (uint32_t i = 0; i < g->n_ops; i++) {
        touch_text(g->ops[i].name);
        check_indices(&g->ops[i].args, g->n_values);
    }
    check_indices(&g->input_ids, g->n_values);
    check_indices(&g->output_ids, g->n_values);
    for (uint32_t i = 0; i < g->n_constants; i++) {
        qn_bytes bytes;
        s = qn_vk_constant_data(g, pte, i, &bytes);
        check_failure(s);
        if (s.code == QN_OK) touch(bytes);
    }
    qn_vk_graph_close(g);
}

/* ---- program --------------------------------------------------------------------------------------------- */

static void walk_value(const qn_pte *pte, const qn_pte_method *m, const qn_pte_value *v)
{
    qn_bytes bytes;
    switch (v->kind) {
    case QN_PTE_TENSOR: {
        if (v->u.tensor.shape.rank > QN_MAX_RANK) abort();
        qn_status s = qn_pte_tensor_data(pte, &v->u.tensor, &bytes);
        check_failure(s);
        if (s.code == QN_OK) touch(bytes);
        break;
    }
    case QN_PTE_STRING:
        touch_text(v->u.string);
        break;
    case QN_PTE_TENSOR_LIST:
    case QN_PTE_OPTIONAL_TENSOR_LIST:
        check_indices(&v->u.list, m->n_values);
        break;
    case QN_PTE_INT_LIST:
    case QN_PTE_DOUBLE_LIST:
    case QN_PTE_BOOL_LIST:
        touch_list(&v->u.list);
        break;
    default:
        break;
    }
}

static void walk_chain(const qn_pte_method *m, const qn_pte_chain *c)
{
    for (uint32_t i = 0; i < c->n_instructions; i++) {
        const qn_pte_instruction *in = &c->instructions[i];
        uint32_t n = m->n_values;
        if (in->kind == QN_PTE_KERNEL_CALL) n = m->n_operators;
        if (in->kind == QN_PTE_DELEGATE_CALL) n = m->n_delegates;
        if (in->index >= n) abort();
        if (in->kind == QN_PTE_JUMP_FALSE && in->target > c->n_instructions) abort();
        if (in->kind == QN_PTE_MOVE && in->target >= m->n_values) abort();
        check_indices(&in->args, m->n_values);
    }
}

static void walk_method(const qn_pte *pte, const qn_pte_method *m)
{
    touch_text(m->name);
    if (!qn_pte_find_method(pte, m->name)) abort();
    for (uint32_t i = 0; i < m->n_values; i++) walk_value(pte, m, &m->values[i]);
    for (uint32_t i = 0; i < m->n_chains; i++) walk_chain(m, &m->chains[i]);
    for (uint32_t i = 0; i < m->n_operators; i++) {
        touch_text(m->operators[i].name);
        touch_text(m->operators[i].overload);
    }
    check_indices(&m->inputs, m->n_values);
    check_indices(&m->outputs, m->n_values);
    for (uint32_t i = 0; i < m->n_delegates; i++) {
        const qn_pte_delegate *d = &m->delegates[i];
        touch_text(d->id);
        touch(d->data);
        for (uint32_t k = 0; k < d->n_specs; k++) touch_text(d->specs[k].key);
        walk_graph(d->data, pte);
    }
}

static void walk_blobs(const qn_pte_container *c)
{
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        touch_text(c->blobs[i].key);
        touch(c->blobs[i].bytes);
        touch_list(&c->blobs[i].sizes);
        touch_list(&c->blobs[i].dim_order);
    }
}

static void walk_program(qn_bytes input, const qn_pte_file *data_files, uint32_t n)
{
    const qn_pte_file file = {"input", input};
    qn_pte *pte;
    qn_status s = qn_pte_open(NULL, &file, data_files, n, &pte);
    check_failure(s);
    if (s.code != QN_OK) return;
    walk_blobs(&pte->program);
    for (uint32_t i = 0; i < pte->program.n_blobs; i++)
        if (!qn_pte_find_blob(pte, pte->program.blobs[i].key)) abort();
    for (uint32_t i = 0; i < pte->n_methods; i++) walk_method(pte, &pte->methods[i]);
    qn_pte_close(pte);
}

/* The smallest program: one method without anything, and no named data. */
static const uint8_t nothing[] = {
    20, 0, 0, 0, 'E', 'T', '1', '2', /* root at 20                                    */
    8,  0, 8, 0, 0,   0,   4,   0,   /* vtable at 8: slot 6 at 4                      */
    0,  0, 0, 0,                     /* filler                                        */
    12, 0, 0, 0, 4,   0,   0,   0,   /* table at 20; its vector of methods at 28      */
    1,  0, 0, 0, 8,   0,   0,   0,   /* one, at 32 + 8                                */
    4,  0, 4, 0, 4,   0,   0,   0,   /* vtable at 36, table without fields at 40      */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qn_bytes input = {data, size};
    if (size >= 8 && memcmp(data + 4, "FT01", 4) == 0) {
        qn_pte_container c;
        qn_status s = qn_ptd_open(NULL, input, &c);
        check_failure(s);
        if (s.code == QN_OK) {
            const qn_pte_file file = {"input", input};
            walk_blobs(&c);
            walk_program((qn_bytes){nothing, sizeof nothing}, &file, 1);
            qn_pte_container_close(NULL, &c);
        }
    } else if (size >= 8 && memcmp(data + 4, "VH00", 4) == 0) {
        const qn_pte_file file = {"nothing", {nothing, sizeof nothing}};
        qn_pte *pte;
        if (qn_pte_open(NULL, &file, NULL, 0, &pte).code != QN_OK) abort();
        walk_graph(input, pte);
        qn_pte_close(pte);
    } else {
        walk_program(input, NULL, 0);
    }
    return 0;
}
