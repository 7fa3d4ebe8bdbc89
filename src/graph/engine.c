/* engine.c - a device, the kernels compiled for it, and what is known of them. Opening: opening.c. */
#include "graph/graph.h"

#include <string.h>

qn_status qn_devices(qn_device_info *infos, size_t capacity, size_t *count)
{
    return qn_gpu_list(infos, capacity, count);
}

void qn_engine_close(qn_engine *engine)
{
    if (!engine) return;
    qn_cached_kernel *cached = engine->kernels;
    for (size_t i = 0; i < engine->n_kernels; i++) qn_kernel_free(cached[i].kernel);
    qn_free(engine->allocator, engine->kernels);
    qn_buffer_free(engine->dummy);
    qn_gpu_close(engine->gpu);
    qn_choices_free(&engine->choices);
    char *const texts[] = {engine->route, engine->break_route, engine->dump_shaders, engine->cache_dir};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) qn_free(engine->allocator, texts[i]);
    qn_lock_close(&engine->lock);
    qn_allocator a = engine->allocator_copy;
    qn_free(&a, engine);
}

const qn_device_info *qn_engine_device(const qn_engine *engine)
{
    return qn_gpu_info(engine->gpu);
}

qn_status qn_engine_check(qn_engine *engine)
{
    return qn_gpu_poll(engine->gpu, false);
}

uint64_t qn_engine_gpu_bytes(const qn_engine *engine, uint64_t *peak)
{
    return qn_gpu_bytes(engine->gpu, peak);
}

uint64_t qn_engine_gpu_refused(const qn_engine *engine)
{
    return qn_gpu_refused(engine->gpu);
}

void qn_engine_lose_device(qn_engine *engine)
{
    qn_gpu_lose(engine->gpu);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static qn_cached_kernel *find_kernel(const qn_engine *e, const qn_cached_kernel *wanted)
{
    qn_cached_kernel *cached = e->kernels;
    for (size_t i = 0; i < e->n_kernels; i++)
        if (cached[i].row == wanted->row && memcmp(cached[i].spec, wanted->spec, sizeof wanted->spec) == 0)
            return &cached[i];
    return NULL;
}

static bool trusted(const qn_engine *e, const qn_kernel_row *row)
{
    return !row->checked && !e->checked;
}

static qn_status kernel_source(const qn_engine *e, const qn_kernel_row *row, const uint32_t *spec, char **source)
{
    static const char nothing[] = "@compute @workgroup_size(1) fn main() {}\n";
    if (e->break_route && strcmp(row->name, e->break_route) == 0)
        return qn_copy_string(e->allocator, nothing, strlen(nothing), source);
    qn_wgsl_target target = qn_gpu_wgsl_target();
    target.checks |= !trusted(e, row);
    return qn_row_source(e->allocator, row, spec, &target, source);
}

/* Room for compiling n kernels. */
typedef struct workbench {
    qn_kernel_desc *descs;
    char **sources;
    qn_kernel **kernels;
} workbench;

static qn_status compile_on(qn_engine *e, workbench *w, size_t first, size_t n)
{
    void *p;
    QN_TRY(qn_alloc(e->allocator, n, sizeof *w->descs, "kernels to compile", &p));
    w->descs = p;
    QN_TRY(qn_alloc(e->allocator, n, sizeof *w->sources, "kernels to compile", &p));
    w->sources = p;
    QN_TRY(qn_alloc(e->allocator, n, sizeof *w->kernels, "kernels to compile", &p));
    w->kernels = p;
    qn_cached_kernel *cached = (qn_cached_kernel *)e->kernels + first;
    for (size_t i = 0; i < n; i++) {
        const qn_kernel_row *row = cached[i].row;
        QN_TRY(kernel_source(e, row, cached[i].spec, &w->sources[i]));
        bool broken = e->break_route && strcmp(row->name, e->break_route) == 0;
        w->descs[i] = (qn_kernel_desc){.label = row->name,
                                       .source = w->sources[i],
                                       .entry = broken ? "main" : row->entry,
                                       .access = row->access,
                                       .trusted = trusted(e, row)};
    }
    QN_TRY(qn_kernels_create(e->gpu, e->threads, w->descs, n, w->kernels));
    for (size_t i = 0; i < n; i++) cached[i].kernel = w->kernels[i];
    return qn_ok();
}

/* The entries of the cache from `first` on. */
static qn_status compile_new(qn_engine *e, size_t first)
{
    size_t n = e->n_kernels - first;
    workbench w = {0};
    qn_status s = n ? compile_on(e, &w, first, n) : qn_ok();
    for (size_t i = 0; w.sources && i < n; i++) qn_free(e->allocator, w.sources[i]);
    qn_free(e->allocator, w.descs);
    qn_free(e->allocator, w.sources);
    qn_free(e->allocator, w.kernels);
    return s;
}

static qn_status add_missing(qn_engine *e, const qn_cached_kernel *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (find_kernel(e, &wanted[i])) continue;
        QN_TRY(qn_grow(e->allocator, &e->kernels, &e->capacity, e->n_kernels + 1, sizeof *wanted, "kernel cache"));
        qn_cached_kernel *entry = (qn_cached_kernel *)e->kernels + e->n_kernels++;
        *entry = wanted[i];
        entry->kernel = NULL;
    }
    return qn_ok();
}

qn_status qn_engine_kernels(qn_engine *engine, qn_cached_kernel *wanted, size_t n)
{
    qn_lock_take(&engine->lock);
    size_t before = engine->n_kernels;
    qn_status s = add_missing(engine, wanted, n);
    if (s.code == QN_OK) s = compile_new(engine, before);
    if (s.code != QN_OK) engine->n_kernels = before;
    for (size_t i = 0; s.code == QN_OK && i < n; i++) wanted[i].kernel = find_kernel(engine, &wanted[i])->kernel;
    qn_lock_give(&engine->lock);
    return s;
}

/* ---- rows ------------------------------------------------------------------------------------ */

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

size_t qn_engine_routes(const qn_engine *engine, qn_route_info *routes, size_t capacity)
{
    qn_lock *lock = (qn_lock *)(uintptr_t)&engine->lock;
    size_t n = qn_routes(qn_engine_device(engine), routes, capacity);
    qn_lock_take(lock);
    for (size_t i = 0; i < n && i < capacity; i++) {
        const qn_row_test *test = qn_choices_test(&engine->choices, qn_row_find(routes[i].name));
        routes[i].tested = test != NULL;
        routes[i].wrong = test && test->wrong;
    }
    qn_lock_give(lock);
    return n;
}

#ifndef QN_NO_BLOCKING
qn_status qn_engine_self_test(qn_engine *engine)
{
    qn_self_test *test;
    QN_TRY(qn_self_test_open(engine, true, &test));
    bool done = false;
    qn_status s = qn_ok();
    while (s.code == QN_OK && !done) {
        s = qn_self_test_step(test, &done);
        if (s.code == QN_OK && !done) s = qn_gpu_poll(engine->gpu, true);
    }
    qn_self_test_close(test);
    QN_TRY(s);
    return engine->cache_dir && !engine->break_route ? qn_cache_save(engine) : qn_ok();
}
#endif

qn_status qn_engine_choose(qn_engine *engine, const qn_decision *decision, const char *row)
{
    const qn_kernel_row *chosen = row ? qn_row_find(row) : NULL;
    if (row && !chosen) return qn_fail(QN_ERR_ARGUMENT, "there is no kernel route \"%s\"", row);
    qn_lock_take(&engine->lock);
    qn_status s = qn_choices_set(&engine->choices, decision->key, decision->what, chosen);
    qn_lock_give(&engine->lock);
    return s;
}

void qn_engine_forget_choices(qn_engine *engine)
{
    qn_lock_take(&engine->lock);
    engine->choices.n_chosen = 0;
    qn_lock_give(&engine->lock);
}

qn_status qn_engine_save_choices(qn_engine *engine)
{
    if (!engine->cache_dir) return qn_fail(QN_ERR_STATE, "the engine was opened without a cache folder");
    return qn_cache_save(engine);
}
