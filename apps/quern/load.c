/* load.c - opening a model file, also in builds without the library's blocking helpers: there it is a source of range
 * reads, stepped through the loader. */
#include "load.h"
#include "common.h"

#ifndef QN_NO_BLOCKING

qn_status qn_cli_load(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model)
{
    return qn_model_open(engine, path, options, model);
}

#else

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    FILE *file;
    const char *path;
    void *bytes;
    size_t capacity;
} reader;

static const void *read_range(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    reader *r = user;
    *pending = false;
    *status = qn_cli_ok();
    if (size > r->capacity) {
        r->bytes = qn_cli_resize(r->bytes, size, 1);
        r->capacity = size;
    }
    if (offset <= INT64_MAX && fseeko(r->file, (off_t)offset, SEEK_SET) == 0 &&
        fread(r->bytes, 1, size, r->file) == size)
        return r->bytes;
    *status =
        qn_cli_fail(QN_ERR_IO, "cannot read %zu bytes of %s at byte %llu", size, r->path, (unsigned long long)offset);
    return NULL;
}

qn_status qn_cli_load(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model)
{
    reader r = {.file = fopen(path, "rb"), .path = path};
    if (!r.file) return qn_cli_fail(QN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    off_t size = fseeko(r.file, 0, SEEK_END) == 0 ? ftello(r.file) : -1;
    qn_loader *loader = NULL;
    *model = NULL;
    qn_status s = size >= 0 ? qn_cli_ok() : qn_cli_fail(QN_ERR_IO, "cannot read the size of %s", path);
    const qn_source source = {.user = &r, .size = size >= 0 ? (uint64_t)size : 0, .read = read_range};
    if (s.code == QN_OK) s = qn_loader_open(engine, &source, options, &loader);
    while (s.code == QN_OK && !*model) s = qn_loader_step(loader, model, NULL);
    if (loader) qn_loader_close(loader);
    fclose(r.file);
    free(r.bytes);
    return qn_cli_in(s, "%s", path);
}

#endif
