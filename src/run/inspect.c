/* inspect.c - a model file's header, and the memory that it would take, without a GPU. */
#include "base/limits.h"
#include "format/quant.h"
#include "graph/graph.h"
#include "run/session.h"

#include <inttypes.h>
#include <stdio.h>

/* What a qn_tensor_info points to. */
typedef struct tensor_text {
    char *name;    /* owned, zero-terminated            */
    char type[24]; /* of a type number without a name   */
} tensor_text;

struct qn_inspection {
    const qn_allocator *allocator;
    uint64_t file_bytes;
    qn_gguf *gguf;
    qn_model *model;
    qn_status runnable; /* why the model does not run here, or ok */
    qn_tensor_info *tensors;
    tensor_text *texts;
    size_t n_tensors;
};

static void describe_tensor(const qn_gguf_tensor *t, tensor_text *text, qn_tensor_info *info)
{
    const qn_quant_type *type = qn_quant_find(t->type);
    snprintf(text->type, sizeof text->type, "type %" PRIu32, t->type);
    info->name = text->name;
    info->type = type ? type->name : text->type;
    info->supported = type && type->supported;
    info->n_dims = t->n_dims;
    for (int i = 0; i < 4; i++) info->dims[i] = t->dims[i];
    info->file_bytes = t->size;
}

static qn_status list_tensors(qn_inspection *in)
{
    size_t n = qn_gguf_n_tensors(in->gguf);
    void *p;
    QN_TRY(qn_alloc(in->allocator, n, sizeof(qn_tensor_info), "tensor list", &p));
    in->tensors = p;
    QN_TRY(qn_alloc(in->allocator, n, sizeof(tensor_text), "tensor names", &p));
    in->texts = p;
    for (size_t i = 0; i < n; i++) {
        const qn_gguf_tensor *t = qn_gguf_tensor_at(in->gguf, i);
        QN_TRY(qn_copy_string(in->allocator, t->name.data, t->name.size, &in->texts[i].name));
        describe_tensor(t, &in->texts[i], &in->tensors[i]);
        in->n_tensors = i + 1;
    }
    return qn_ok();
}

/* A second model from the same header, with its weights described for a device: the inspection's own stays as it is. */
static qn_status describe_for(const qn_inspection *in, const qn_device_info *device, qn_model **model)
{
    *model = NULL;
    QN_TRY(in->runnable);
    qn_status runnable;
    QN_TRY(qn_model_read(in->allocator, in->gguf, in->file_bytes, true, model, &runnable));
    qn_model_tensor *tensors = NULL;
    size_t n_tensors;
    qn_status s = qn_model_describe(*model, in->gguf, device, &tensors, &n_tensors);
    qn_free(in->allocator, tensors);
    if (s.code != QN_OK) {
        qn_model_close(*model);
        *model = NULL;
    }
    return s;
}

/* What the whole header says. */
static qn_status fill_inspection(qn_inspection *in)
{
    QN_TRY(qn_model_read(in->allocator, in->gguf, in->file_bytes, false, &in->model, &in->runnable));
    qn_device_info core = qn_core_device();
    qn_model *described;
    if (describe_for(in, &core, &described).code == QN_OK)
        in->model->info.weight_gpu_bytes = described->info.weight_gpu_bytes;
    qn_model_close(described);
    return list_tensors(in);
}

void qn_inspect_close(qn_inspection *inspection)
{
    qn_inspection *in = inspection;
    if (!in) return;
    for (size_t i = 0; i < in->n_tensors; i++) qn_free(in->allocator, in->texts[i].name);
    qn_free(in->allocator, in->texts);
    qn_free(in->allocator, in->tensors);
    qn_model_close(in->model);
    qn_gguf_close(in->gguf);
    qn_free(in->allocator, in);
}

/* ---- steps ----------------------------------------------------------------------------------- */

struct qn_inspector {
    const qn_allocator *allocator;
    qn_source source;
    qn_gguf_reader *reader;
    qn_inspection *inspection;
};

qn_status qn_inspector_open(const qn_allocator *allocator, const qn_source *source, qn_inspector **inspector)
{
    *inspector = NULL;
    void *p;
    allocator = qn_allocator_or_default(allocator);
    QN_TRY(qn_alloc(allocator, 1, sizeof(qn_inspector), "inspector", &p));
    qn_inspector *r = p;
    r->allocator = allocator;
    r->source = *source;
    qn_status s = qn_gguf_reader_open(allocator, &r->source, &r->reader);
    if (s.code == QN_OK && (s = qn_alloc(allocator, 1, sizeof(qn_inspection), "inspection", &p)).code == QN_OK) {
        r->inspection = p;
        r->inspection->allocator = allocator;
        r->inspection->file_bytes = source->size;
        *inspector = r;
    } else {
        qn_inspector_close(r);
    }
    return s;
}

qn_status qn_inspector_step(qn_inspector *inspector, qn_inspection **inspection, bool *pending)
{
    qn_inspection *in = inspector->inspection;
    *inspection = NULL;
    if (pending) *pending = false;
    if (!in) return qn_fail(QN_ERR_STATE, "the inspection was handed out already");
    QN_TRY(qn_gguf_reader_step(inspector->reader, &in->gguf));
    if (pending) *pending = !in->gguf;
    if (!in->gguf) return qn_ok();
    inspector->inspection = NULL;
    qn_status s = fill_inspection(in);
    if (s.code == QN_OK)
        *inspection = in;
    else
        qn_inspect_close(in);
    return s;
}

void qn_inspector_close(qn_inspector *inspector)
{
    if (!inspector) return;
    qn_inspect_close(inspector->inspection);
    qn_gguf_reader_close(inspector->reader);
    qn_free(inspector->allocator, inspector);
}

/* ---- facts ----------------------------------------------------------------------------------- */

const qn_model_info *qn_inspect_info(const qn_inspection *inspection)
{
    return &inspection->model->info;
}

size_t qn_inspect_n_tensors(const qn_inspection *inspection)
{
    return inspection->n_tensors;
}

const qn_tensor_info *qn_inspect_tensor(const qn_inspection *inspection, size_t i)
{
    return i < inspection->n_tensors ? &inspection->tensors[i] : NULL;
}

const qn_tokenizer *qn_inspect_tokenizer(const qn_inspection *inspection, const char **why)
{
    return qn_model_tokenizer(inspection->model, why);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Plans a session's graph without a device, and so with the kernels of the defaults: a choice of quern tune belongs to
 * an engine, and may take more or less scratch. A session checks its memory by what it makes. */
static qn_status plan_session(const qn_model *model, const qn_device_info *device, const qn_model_sizes *sizes,
                              qn_precision precision, qn_memory_plan *plan)
{
    qn_graph *g;
    QN_TRY(qn_session_check(model, device, sizes));
    QN_TRY(qn_graph_open_dry(model->allocator, device, &g));
    qn_graph_set_precision(g, precision);
    qn_llama_graph(g, model, sizes);
    qn_status s = qn_graph_build(g);
    if (s.code == QN_OK) {
        qn_memory_table table = qn_graph_memory(g);
        uint64_t rope = table.weights - model->info.weight_gpu_bytes; /* the graph's own table */
        const qn_hparams *h = &model->hparams;
        qn_shape keys = qn_shape_4(1, sizes->ctx, h->n_kv_heads, h->head_dim);
        uint64_t cache = qn_round_up_u64(qn_state_bytes(sizes->kv_type, &keys), 16); /* as memory.c places it */
        *plan = (qn_memory_plan){.ctx = sizes->ctx,
                                 .chunk = sizes->chunk,
                                 .weights = model->info.weight_gpu_bytes,
                                 .kv = 2 * h->n_layers * cache};
        plan->working = table.activations + table.scratch + table.io + rope + QN_DUMMY_BYTES;
        plan->working += table.states - plan->kv; /* the tokens' history */
        plan->total = plan->weights + plan->kv + plan->working;
    }
    qn_graph_close(g);
    return s;
}

static qn_status predict(const qn_model *model, const qn_device_info *device, const qn_session_options *options,
                         uint64_t gpu_memory, qn_memory_plan *plan)
{
    qn_model_sizes sizes;
    QN_TRY(qn_session_sizes(model, device, options, &sizes));
    bool chosen = options && options->ctx;
    for (;;) {
        *plan = (qn_memory_plan){0};
        qn_status s = plan_session(model, device, &sizes, options ? options->precision : QN_PRECISION_EXACT, plan);
        if (s.code == QN_OK && gpu_memory && plan->total > gpu_memory)
            s = qn_fail(QN_ERR_GPU_MEMORY, "%" PRIu64 " bytes of GPU memory are needed, %" PRIu64 " are allowed",
                        plan->total, gpu_memory);
        bool too_large = s.code == QN_ERR_GPU_MEMORY || s.code == QN_ERR_LIMIT;
        if (!too_large || chosen || !qn_session_shrink(&sizes)) return qn_in(s, "session of %u positions", sizes.ctx);
    }
}

qn_status qn_inspect_memory(const qn_inspection *inspection, const qn_device_info *device,
                            const qn_session_options *options, uint64_t gpu_memory, qn_memory_plan *plan)
{
    *plan = (qn_memory_plan){0};
    qn_device_info core = qn_core_device();
    if (!device) device = &core;
    qn_model *model;
    QN_TRY(describe_for(inspection, device, &model));
    qn_status s = predict(model, device, options, gpu_memory, plan);
    qn_model_close(model);
    return s;
}
