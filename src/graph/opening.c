/* opening.c - opening an engine in steps: device, dummy buffer, what is known of the kernel rows, self-test. */
#include "base/parallel.h"
#include "graph/graph.h"

#include <string.h>

struct qn_opening {
    qn_allocator allocator;
    qn_engine *engine; /* NULL once it was handed out          */
    char *device;      /* the option, until the device is open */
    bool wants_test, open;
    qn_self_test *test;
    qn_status failed; /* final */
};

static qn_status copy_option(const qn_engine *e, const char *text, char **copy)
{
    return text ? qn_copy_string(e->allocator, text, strlen(text), copy) : qn_ok();
}

static qn_status copy_route(const qn_engine *e, const char *name, char **copy)
{
    if (name && !qn_row_find(name))
        return qn_fail(QN_ERR_ARGUMENT, "there is no kernel route \"%s\" (see: quern devices)", name);
    return copy_option(e, name, copy);
}

static qn_status copy_options(qn_opening *opening, const qn_engine_options *o)
{
    qn_engine *e = opening->engine;
    QN_TRY(copy_option(e, o->device, &opening->device));
    QN_TRY(copy_route(e, o->route, &e->route));
    QN_TRY(copy_route(e, o->break_route, &e->break_route));
    QN_TRY(copy_option(e, o->dump_shaders, &e->dump_shaders));
    QN_TRY(copy_option(e, o->cache_dir, &e->cache_dir));
    e->trace = o->trace;
    e->checked = o->checked;
    e->threads = o->threads ? o->threads : qn_parallel_threads();
    opening->wants_test = o->self_test;
    return qn_ok();
}

static qn_status begin(qn_opening *opening, const qn_engine_options *o)
{
    void *p;
    QN_TRY(qn_alloc(&opening->allocator, 1, sizeof(qn_engine), "engine", &p));
    qn_engine *e = p;
    opening->engine = e;
    e->allocator_copy = opening->allocator;
    e->allocator = &e->allocator_copy;
    e->choices.allocator = e->allocator;
    e->log = (qn_log){o->log, o->log_user};
    qn_lock_open(&e->lock);
    QN_TRY(copy_options(opening, o));
    qn_gpu_options gpu = {
        .device = opening->device,
        .baseline = o->baseline,
        .memory_limit = o->gpu_memory,
        .fail_after = o->fail_allocation_after,
        .max_binding_bytes = o->max_binding_bytes,
        .dump_shaders = e->dump_shaders,
        .guard_bytes = o->guard_bytes,
        .guard_byte = o->guard_byte,
    };
    return qn_gpu_open(e->allocator, &e->log, &gpu, &e->gpu);
}

qn_status qn_opening_open(const qn_engine_options *options, qn_opening **opening)
{
    static const qn_engine_options defaults;
    const qn_engine_options *o = options ? options : &defaults;
    *opening = NULL;
    void *p;
    QN_TRY(qn_alloc(o->allocator, 1, sizeof(qn_opening), "engine", &p));
    qn_opening *made = p;
    made->allocator = *qn_allocator_or_default(o->allocator);
    made->failed = qn_ok();
    qn_status s = begin(made, o);
    if (s.code != QN_OK) {
        qn_opening_close(made);
        return s;
    }
    *opening = made;
    return s;
}

void qn_opening_close(qn_opening *opening)
{
    if (!opening) return;
    qn_allocator a = opening->allocator;
    qn_self_test_close(opening->test);
    qn_engine_close(opening->engine);
    qn_free(&a, opening->device);
    qn_free(&a, opening);
}

/* The device is there. */
static qn_status begin_rows(qn_opening *opening)
{
    qn_engine *e = opening->engine;
    QN_TRY(qn_buffer_create(e->gpu, QN_BUFFER_STORAGE, QN_DUMMY_BYTES, "dummy", &e->dummy));
    if (e->cache_dir) qn_cache_load(e);
    bool baseline = qn_engine_device(e)->baseline; /* what a driver that falls over its test is opened with */
    return opening->wants_test && !baseline ? qn_self_test_open(e, false, &opening->test) : qn_ok();
}

/* What the self-test found joins what was remembered. */
static void keep_rows(const qn_opening *opening)
{
    qn_engine *e = opening->engine;
    if (!opening->test || qn_self_test_found(opening->test) == 0 || !e->cache_dir || e->break_route) return;
    qn_status s = qn_cache_save(e);
    if (s.code != QN_OK) qn_log_line(&e->log, QN_LOG_WARNING, "%s", s.text);
}

static qn_status step(qn_opening *opening, bool *done)
{
    qn_engine *e = opening->engine;
    *done = false;
    if (!opening->open) {
        QN_TRY(qn_gpu_open_step(e->gpu, &opening->open));
        return opening->open ? begin_rows(opening) : qn_ok();
    }
    *done = true;
    if (opening->test) QN_TRY(qn_self_test_step(opening->test, done));
    if (*done) keep_rows(opening);
    return qn_ok();
}

qn_status qn_opening_step(qn_opening *opening, qn_engine **engine, bool *pending)
{
    *engine = NULL;
    if (pending) *pending = false;
    if (opening->failed.code != QN_OK) return opening->failed;
    if (!opening->engine) return qn_fail(QN_ERR_STATE, "the engine is open already");
    bool was_open = opening->open, done;
    opening->failed = step(opening, &done);
    if (opening->failed.code != QN_OK) return opening->failed;
    if (done) {
        *engine = opening->engine;
        opening->engine = NULL;
    } else if (pending)
        *pending = opening->open == was_open;
    return qn_ok();
}

#ifndef QN_NO_BLOCKING
qn_status qn_engine_open(const qn_engine_options *options, qn_engine **engine)
{
    qn_opening *opening;
    bool pending;
    *engine = NULL;
    QN_TRY(qn_opening_open(options, &opening));
    qn_status s = qn_ok();
    while (s.code == QN_OK && !*engine) {
        s = qn_opening_step(opening, engine, &pending);
        if (s.code == QN_OK && pending && opening->open) (void)qn_gpu_poll(opening->engine->gpu, true);
    }
    qn_opening_close(opening);
    return s;
}
#endif
