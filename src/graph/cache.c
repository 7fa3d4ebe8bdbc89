/* cache.c - the file of the cache folder that keeps what is known of the kernel rows on one adapter: one for each
 * adapter, driver and version of Quern. */
#include "base/file.h"
#include "gpu/shaders.h"
#include "graph/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 512, MAX_FILE = 1 << 20 };

static uint64_t hash_text(uint64_t hash, const char *text)
{
    while (*text) hash = (hash ^ (unsigned char)*text++) * UINT64_C(0x100000001b3);
    return hash;
}

static const uint64_t hash_start = UINT64_C(0xcbf29ce484222325);

/* The first lines: for what the file is. The hash is of all shaders: a changed kernel is not the one that was tried. */
static void write_head(const qn_engine *e, char head[HEAD])
{
    const qn_device_info *d = qn_engine_device(e);
    uint64_t shaders = hash_start;
    for (const qn_shader_source *s = qn_shader_sources; s->name; s++) shaders = hash_text(shaders, s->text);
    snprintf(head, HEAD, "quern kernels\nversion %s %016" PRIx64 "\nadapter %s, %s%s%s\ndriver %s\n", qn_version(),
             shaders, d->name, d->backend, d->baseline ? ", baseline" : "", e->checked ? ", checked" : "", d->driver);
}

static void file_path(const qn_engine *e, const char *head, char *path, size_t capacity)
{
    snprintf(path, capacity, "%s/kernels-%016" PRIx64 ".txt", e->cache_dir, hash_text(hash_start, head));
}

void qn_cache_load(qn_engine *engine)
{
    char head[HEAD], path[4096];
    write_head(engine, head);
    file_path(engine, head, path, sizeof path);
    qn_file file;
    if (qn_file_open(path, &file).code != QN_OK) return; /* mostly there is none yet */
    bool read =
        file.size <= MAX_FILE && qn_choices_read(&engine->choices, head, (const char *)file.data, (size_t)file.size);
    if (!read)
        qn_log_line(&engine->log, QN_LOG_WARNING,
                    "%s is damaged and not used: delete it, or let quern tune write it anew", path);
    qn_file_close(&file);
}

qn_status qn_cache_save(qn_engine *engine)
{
    char head[HEAD], path[4096], *text;
    write_head(engine, head);
    file_path(engine, head, path, sizeof path);
    qn_lock_take(&engine->lock);
    qn_status s = qn_choices_write(&engine->choices, head, &text);
    qn_lock_give(&engine->lock);
    QN_TRY(s);
    s = qn_file_replace(path, text, strlen(text));
    qn_free(engine->allocator, text);
    return s;
}
