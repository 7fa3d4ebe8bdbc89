#include "format/vk_graph.h"

#include <string.h>

enum { HEADER_BYTES = 30 };

/* ---- tensors --------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
    [QN_VK_BOOL] = {"BOOL", 1},       [QN_VK_UINT8] = {"UINT8", 1},     [QN_VK_INT8] = {"INT8", 1},
    [QN_VK_INT32] = {"INT32", 4},     [QN_VK_FLOAT16] = {"FLOAT16", 2}, [QN_VK_FLOAT32] = {"FLOAT32", 4},
    [QN_VK_FLOAT64] = {"FLOAT64", 8}, [QN_VK_INT64] = {"INT64", 8},
};

static bool known(int8_t dtype)
{
    return dtype >= 0 && (size_t)dtype < sizeof dtypes / sizeof dtypes[0];
}

const char *qn_vk_dtype_name(int8_t dtype)
{
    return known(dtype) ? dtypes[dtype].name : NULL;
}

uint32_t qn_vk_dtype_bytes(int8_t dtype)
{
    return known(dtype) ? dtypes[dtype].bytes : 0;
}

static void read_tensor(qn_fb *fb, const qn_fb_table *t, uint32_t n_constants, qn_vk_tensor *tensor)
{
    qn_fb_vector dims = qn_fb_scalars(t, 6, 4, "VkTensor.dims");
    tensor->dtype = qn_fb_i8(t, 4, QN_VK_BOOL);
    tensor->constant_id = qn_fb_i32(t, 8, 0); /* absent is constant 0: not constant is written as -1 */
    tensor->mem_obj_id = qn_fb_i32(t, 10, 0);
    tensor->staging_dtype = qn_fb_i8(t, 16, 127);
    if (!known(tensor->dtype))
        qn_fb_refuse(fb, t->at, "a tensor has the element type %d, which is unknown", tensor->dtype);
    if (tensor->constant_id < -1 || (tensor->constant_id >= 0 && (uint32_t)tensor->constant_id >= n_constants))
        qn_fb_fail(fb, t->at, "VkTensor.constant_id %d does not exist, there are %u constants", tensor->constant_id,
                   n_constants);
    if (dims.count > QN_MAX_RANK) {
        qn_fb_refuse(fb, t->at, "a tensor has %u dimensions; at most %d are supported", dims.count, QN_MAX_RANK);
        return;
    }
    tensor->shape.rank = dims.count;
    for (uint32_t i = 0; i < dims.count; i++) tensor->shape.dim[i] = qn_fb_u32_at(&dims, i);
}

qn_status qn_vk_tensor_bytes(const qn_vk_tensor *tensor, uint64_t *bytes)
{
    uint64_t n = qn_vk_dtype_bytes(tensor->dtype);
    if (!qn_mul_dims(n, tensor->shape.dim, tensor->shape.rank, bytes))
        return qn_fail(QN_ERR_FORMAT, "the size of a tensor passes 64 bits; the file is damaged");
    return qn_ok();
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static void read_value(qn_fb *fb, const qn_fb_table *t, uint32_t n_constants, qn_vk_value *v)
{
    uint8_t kind = qn_fb_u8(t, 4, 0);
    qn_fb_table value = qn_fb_sub(t, 6, "VkValue.value");
    v->kind = (qn_vk_kind)kind;
    switch (kind) {
    case QN_VK_NULL:
        break;
    case QN_VK_INT:
        v->u.integer = qn_fb_i64(&value, 4, 0);
        break;
    case QN_VK_DOUBLE:
        v->u.number = qn_fb_f64(&value, 4, 0);
        break;
    case QN_VK_BOOLEAN:
        v->u.boolean = qn_fb_u8(&value, 4, 0) != 0;
        break;
    case QN_VK_TENSOR:
        read_tensor(fb, &value, n_constants, &v->u.tensor);
        break;
    case QN_VK_INT_LIST:
        v->u.list = qn_fb_scalars(&value, 4, 8, "IntList.items");
        break;
    case QN_VK_DOUBLE_LIST:
        v->u.list = qn_fb_scalars(&value, 4, 8, "DoubleList.items");
        break;
    case QN_VK_BOOL_LIST:
        v->u.list = qn_fb_scalars(&value, 4, 1, "BoolList.items");
        break;
    case QN_VK_VALUE_LIST:
        v->u.list = qn_fb_scalars(&value, 4, 4, "ValueList.items");
        break;
    case QN_VK_STRING:
        v->u.string = qn_fb_string(&value, 4, "String.string_val");
        break;
    case QN_VK_SYMINT:
        v->u.integer = qn_fb_i32(&value, 4, 0);
        break;
    default:
        v->kind = QN_VK_NULL;
        qn_fb_refuse(fb, t->at, "a value is of kind %u, which is unknown: the file is damaged or of a later version",
                     kind);
    }
}

/* Ids of values in a vector of 32-bit numbers. */
static void check_ids(qn_fb *fb, uint64_t at, const qn_fb_vector *ids, uint32_t n_values, const char *name)
{
    for (uint32_t i = 0; i < ids->count; i++) {
        uint32_t id = qn_fb_u32_at(ids, i);
        if (id < n_values) continue;
        qn_fb_fail(fb, at, "%s names value %d, but there are %u", name, (int32_t)id, n_values);
        return;
    }
}

/* Lists hold values that exist and are no lists, so that who follows them cannot go in circles. */
static void check_lists(qn_fb *fb, uint64_t at, const qn_vk_graph *g)
{
    for (uint32_t v = 0; v < g->n_values && fb->status.code == QN_OK; v++) {
        if (g->values[v].kind != QN_VK_VALUE_LIST) continue;
        const qn_fb_vector *list = &g->values[v].u.list;
        check_ids(fb, at, list, g->n_values, "ValueList.items");
        for (uint32_t i = 0; i < list->count && fb->status.code == QN_OK; i++)
            if (g->values[qn_fb_u32_at(list, i)].kind == QN_VK_VALUE_LIST)
                qn_fb_refuse(fb, at, "value %u is a list of lists, which is not supported", v);
    }
}

static qn_status read_values(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, qn_vk_graph *g)
{
    qn_fb_vector refs = qn_fb_refs(root, 8, "VkGraph.values");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *g->values, "values of a graph", &p));
    g->values = p;
    g->n_values = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "VkValue");
        read_value(fb, &t, g->n_constants, &g->values[i]);
    }
    if (fb->status.code == QN_OK) check_lists(fb, root->at, g);
    return fb->status;
}

/* ---- constants ------------------------------------------------------------------------------------------- */

static qn_status read_constants(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, qn_vk_graph *g)
{
    qn_fb_vector refs = qn_fb_refs(root, 14, "VkGraph.constants");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *g->constants, "constants of a graph", &p));
    g->constants = p;
    g->n_constants = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_vk_constant *c = &g->constants[i];
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "VkBytes");
        c->offset = qn_fb_u64(&t, 4, 0);
        c->length = qn_fb_u64(&t, 6, 0);
        c->key = qn_fb_string(&t, 8, "VkBytes.named_key");
        uint64_t size = g->inline_data.size;
        if (c->offset == UINT64_MAX) {
            if (!c->key[0]) qn_fb_fail(fb, t.at, "constant %u is named data, but has no key", i);
        } else {
            c->key = "";
            if (c->offset > size || c->length > size - c->offset)
                qn_fb_fail(fb, t.at, "constant %u, %llu bytes at %llu, passes the end of the graph's data (%llu bytes)",
                           i, (unsigned long long)c->length, (unsigned long long)c->offset, (unsigned long long)size);
        }
    }
    return fb->status;
}

qn_status qn_vk_constant_data(const qn_vk_graph *graph, const qn_pte *pte, uint32_t constant, qn_bytes *data)
{
    *data = (qn_bytes){0};
    if (constant >= graph->n_constants)
        return qn_fail(QN_ERR_ARGUMENT, "constant %u does not exist, the graph has %u", constant, graph->n_constants);
    const qn_vk_constant *c = &graph->constants[constant];
    if (!c->key[0]) {
        *data = (qn_bytes){graph->inline_data.data + c->offset, c->length};
        return qn_ok();
    }
    const qn_pte_blob *blob = qn_pte_find_blob(pte, c->key);
    if (!blob)
        return qn_fail(QN_ERR_FORMAT,
                       "constant %u, named data \"%.200s\", is not in the file: give the .ptd file that was "
                       "exported with the program",
                       constant, c->key);
    if (blob->bytes.size < c->length)
        return qn_fail(QN_ERR_FORMAT,
                       "constant %u has %llu bytes, its named data \"%.200s\" only %llu; the file is "
                       "damaged",
                       constant, (unsigned long long)c->length, c->key, (unsigned long long)blob->bytes.size);
    *data = (qn_bytes){blob->bytes.data, c->length};
    return qn_ok();
}

qn_status qn_vk_tensor_data(const qn_vk_graph *graph, const qn_pte *pte, const qn_vk_tensor *tensor, qn_bytes *data)
{
    uint64_t need;
    *data = (qn_bytes){0};
    if (tensor->constant_id < 0) return qn_ok();
    QN_TRY(qn_vk_tensor_bytes(tensor, &need));
    QN_TRY(qn_vk_constant_data(graph, pte, (uint32_t)tensor->constant_id, data));
    if (data->size < need)
        return qn_fail(QN_ERR_FORMAT, "constant %d has %llu bytes, its tensor %llu; the file is damaged",
                       tensor->constant_id, (unsigned long long)data->size, (unsigned long long)need);
    data->size = need;
    return qn_ok();
}

/* ---- graph ----------------------------------------------------------------------------------------------- */

static qn_status read_ops(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, qn_vk_graph *g)
{
    qn_fb_vector refs = qn_fb_refs(root, 6, "VkGraph.chain");
    void *p;
    QN_TRY(qn_alloc(a, refs.count, sizeof *g->ops, "operations of a graph", &p));
    g->ops = p;
    g->n_ops = refs.count;
    for (uint32_t i = 0; i < refs.count && fb->status.code == QN_OK; i++) {
        qn_vk_op *op = &g->ops[i];
        qn_fb_table t = qn_fb_table_at(fb, &refs, i, "OperatorCall");
        op->node_id = qn_fb_u32(&t, 4, 0);
        op->name = qn_fb_string(&t, 6, "OperatorCall.name");
        op->args = qn_fb_scalars(&t, 8, 4, "OperatorCall.args");
        check_ids(fb, t.at, &op->args, g->n_values, "OperatorCall.args");
    }
    return fb->status;
}

static qn_status read_graph(qn_vk_graph *g, qn_bytes flatbuffer, uint64_t base)
{
    const qn_allocator *a = &g->allocator;
    qn_fb fb;
    qn_fb_open(&fb, flatbuffer, base, "VK00");
    qn_fb_table root = qn_fb_root(&fb);
    g->version = qn_fb_has(&root, 4) ? qn_fb_string(&root, 4, "VkGraph.version") : "0";
    QN_TRY(read_constants(a, &fb, &root, g));
    QN_TRY(read_values(a, &fb, &root, g));
    QN_TRY(read_ops(a, &fb, &root, g));
    g->input_ids = qn_fb_scalars(&root, 10, 4, "VkGraph.input_ids");
    g->output_ids = qn_fb_scalars(&root, 12, 4, "VkGraph.output_ids");
    check_ids(&fb, root.at, &g->input_ids, g->n_values, "VkGraph.input_ids");
    check_ids(&fb, root.at, &g->output_ids, g->n_values, "VkGraph.output_ids");
    return fb.status;
}

/* The header's parts must be inside the data. */
static qn_status read_header(qn_bytes data, uint64_t base, qn_bytes *flatbuffer, uint64_t *offset,
                             qn_bytes *inline_data)
{
    unsigned long long at = base;
    if (data.size < HEADER_BYTES || memcmp(data.data + 4, "VH00", 4) != 0)
        return qn_fail(QN_ERR_FORMAT, "byte %llu: no header \"VH00\": not the data of a Vulkan delegate", at);
    uint64_t header = qn_fb_le(data.data + 8, 2), size = qn_fb_le(data.data + 14, 4);
    uint64_t bytes_at = qn_fb_le(data.data + 18, 4), bytes = qn_fb_le(data.data + 22, 8);
    *offset = qn_fb_le(data.data + 10, 4);
    if (header < HEADER_BYTES || *offset < HEADER_BYTES || *offset > data.size || size > data.size - *offset)
        return qn_fail(QN_ERR_FORMAT,
                       "byte %llu: the header says %llu bytes of flatbuffer at %llu, but the delegate has "
                       "%llu bytes; the file is cut off or damaged",
                       at, (unsigned long long)size, (unsigned long long)*offset, (unsigned long long)data.size);
    /* without inline constants the exporter still says where they would start: at the end, or past its padding */
    if (bytes > 0 && (bytes_at > data.size || bytes > data.size - bytes_at))
        return qn_fail(QN_ERR_FORMAT,
                       "byte %llu: the header says %llu bytes of constants at %llu, but the delegate has "
                       "%llu bytes; the file is cut off or damaged",
                       at, (unsigned long long)bytes, (unsigned long long)bytes_at, (unsigned long long)data.size);
    *flatbuffer = (qn_bytes){data.data + *offset, size};
    *inline_data = bytes > 0 ? (qn_bytes){data.data + bytes_at, bytes} : (qn_bytes){data.data, 0};
    return qn_ok();
}

qn_status qn_vk_graph_open(const qn_allocator *a, qn_bytes data, uint64_t base, qn_vk_graph **out)
{
    qn_bytes flatbuffer = {0}, inline_data = {0};
    uint64_t offset = 0;
    *out = NULL;
    QN_TRY(read_header(data, base, &flatbuffer, &offset, &inline_data));
    void *p;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_vk_graph), "graph", &p));
    qn_vk_graph *g = p;
    g->allocator = *qn_allocator_or_default(a);
    g->inline_data = inline_data;
    qn_status s = read_graph(g, flatbuffer, base + offset);
    if (s.code == QN_OK)
        *out = g;
    else
        qn_vk_graph_close(g);
    return s;
}

void qn_vk_graph_close(qn_vk_graph *graph)
{
    if (!graph) return;
    qn_allocator a = graph->allocator;
    qn_free(&a, graph->values);
    qn_free(&a, graph->ops);
    qn_free(&a, graph->constants);
    qn_free(&a, graph);
}
