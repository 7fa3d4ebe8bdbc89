/* file_web.c - a page has no files with paths: models come through a qn_source. What is kept of a device is a small
 * text under its path's name. */
#include "base/file.h"
#include "base/memory.h"
#include "base/web.h"

qn_status qn_file_open(const char *path, qn_file *file)
{
    uint32_t size = 0;
    *file = (qn_file){.handle = qn_web_kept_read(path, &size)};
    if (!file->handle) return qn_fail(QN_ERR_IO, "%s is not kept", path);
    file->data = file->handle;
    file->size = size;
    return qn_ok();
}

void qn_file_close(qn_file *file)
{
    qn_free(NULL, file->handle);
    *file = (qn_file){0};
}

qn_status qn_file_replace(const char *path, const void *data, size_t size)
{
    qn_web_kept_replace(path, data, (uint32_t)size);
    return qn_ok();
}
