#include "graph/engine.h"

#include <string.h>

qn_status qn_devices(qn_device_info *infos, size_t capacity, size_t *count)
{
    return qn_gpu_list(infos, capacity, count);
}

static bool route_exists(const char *name)
{
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++)
            if (strcmp((*t)->rows[i].name, name) == 0) return true;
    return false;
}

static qn_status open_engine(qn_engine *e, const qn_engine_options *o)
{
    if (o->route) {
        if (!route_exists(o->route))
            return qn_fail(QN_ERR_ARGUMENT, "there is no kernel route \"%s\" (see: quern devices)", o->route);
        QN_TRY(qn_copy_string(e->allocator, o->route, strlen(o->route), &e->route));
    }
    if (o->dump_shaders)
        QN_TRY(qn_copy_string(e->allocator, o->dump_shaders, strlen(o->dump_shaders), &e->dump_shaders));
    e->trace = o->trace;
    qn_gpu_options gpu = {
        .device = o->device,
        .baseline = o->baseline,
        .memory_limit = o->gpu_memory,
        .fail_after = o->fail_allocation_after,
        .max_binding_bytes = o->max_binding_bytes,
        .dump_shaders = e->dump_shaders,
    };
    QN_TRY(qn_gpu_open(e->allocator, &e->log, &gpu, &e->gpu));
    return qn_buffer_create(e->gpu, QN_BUFFER_STORAGE, QN_DUMMY_BYTES, "dummy", &e->dummy);
}

qn_status qn_engine_open(const qn_engine_options *options, qn_engine **engine)
{
    static const qn_engine_options defaults;
    const qn_engine_options *o = options ? options : &defaults;
    *engine = NULL;
    void *p;
    QN_TRY(qn_alloc(o->allocator, 1, sizeof(qn_engine), "engine", &p));
    qn_engine *e = p;
    e->allocator_copy = *qn_allocator_or_default(o->allocator);
    e->allocator = &e->allocator_copy;
    e->log = (qn_log){o->log, o->log_user};
    pthread_mutex_init(&e->lock, NULL);
    qn_status s = open_engine(e, o);
    if (s.code != QN_OK) {
        qn_engine_close(e);
        return s;
    }
    *engine = e;
    return qn_ok();
}

void qn_engine_close(qn_engine *engine)
{
    if (!engine) return;
    qn_cached_kernel *cached = engine->kernels;
    for (size_t i = 0; i < engine->n_kernels; i++) qn_kernel_free(cached[i].kernel);
    qn_free(engine->allocator, engine->kernels);
    qn_buffer_free(engine->dummy);
    qn_gpu_close(engine->gpu);
    qn_free(engine->allocator, engine->route);
    qn_free(engine->allocator, engine->dump_shaders);
    pthread_mutex_destroy(&engine->lock);
    qn_allocator a = engine->allocator_copy;
    qn_free(&a, engine);
}

const qn_device_info *qn_engine_device(const qn_engine *engine)
{
    return qn_gpu_info(engine->gpu);
}

uint64_t qn_engine_gpu_bytes(const qn_engine *engine, uint64_t *peak)
{
    return qn_gpu_bytes(engine->gpu, peak);
}

void qn_engine_lose_device(qn_engine *engine)
{
    qn_gpu_lose(engine->gpu);
}

static qn_status compile(qn_engine *e, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC], qn_kernel **kernel)
{
    char *source = NULL;
    QN_TRY(qn_row_source(e->allocator, row, spec, &source));
    qn_kernel_desc desc = {
        .label = row->name, .source = source, .entry = row->entry, .access = row->access, .trusted = !row->checked};
    qn_status s = qn_kernel_create(e->gpu, &desc, kernel);
    qn_free(e->allocator, source);
    return s;
}

static qn_status find_or_compile(qn_engine *e, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                                 qn_kernel **kernel)
{
    qn_cached_kernel *cached = e->kernels;
    for (size_t i = 0; i < e->n_kernels; i++)
        if (cached[i].row == row && memcmp(cached[i].spec, spec, sizeof cached[i].spec) == 0) {
            *kernel = cached[i].kernel;
            return qn_ok();
        }
    QN_TRY(qn_grow(e->allocator, &e->kernels, &e->capacity, e->n_kernels + 1, sizeof *cached, "kernel cache"));
    QN_TRY(compile(e, row, spec, kernel));
    qn_cached_kernel *entry = (qn_cached_kernel *)e->kernels + e->n_kernels++;
    entry->row = row;
    memcpy(entry->spec, spec, sizeof entry->spec);
    entry->kernel = *kernel;
    return qn_ok();
}

qn_status qn_engine_kernel(qn_engine *engine, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                           qn_kernel **kernel)
{
    pthread_mutex_lock(&engine->lock);
    qn_status s = find_or_compile(engine, row, spec, kernel);
    pthread_mutex_unlock(&engine->lock);
    return s;
}

size_t qn_routes(const qn_device_info *info, qn_route_info *routes, size_t capacity)
{
    size_t n = 0;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++, n++) {
            const qn_kernel_row *row = &(*t)->rows[i];
            if (n >= capacity) continue;
            routes[n] = (qn_route_info){
                .name = row->name,
                .needs = row->needs & QN_NEEDS_SUBGROUPS ? "subgroups"
                         : row->needs & QN_NEEDS_F16     ? "f16"
                                                         : "baseline",
                .usable = qn_row_runs_on(row, info),
                .preferred = qn_row_preferred_on(row, info),
                .inexact = row->inexact,
            };
        }
    return n;
}
