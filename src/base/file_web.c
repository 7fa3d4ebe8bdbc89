/* file_web.c - a page has no files with paths: their bytes come through a qn_source. */
#include "base/file.h"

static qn_status no_files(const char *path)
{
    return qn_fail(QN_ERR_UNSUPPORTED, "%s: there are no files here", path);
}

qn_status qn_file_open(const char *path, qn_file *file)
{
    *file = (qn_file){0};
    return no_files(path);
}

void qn_file_close(qn_file *file)
{
    (void)file;
}

bool qn_file_exists(const char *path)
{
    (void)path;
    return false;
}

qn_status qn_file_replace(const char *path, const void *data, size_t size)
{
    (void)data;
    (void)size;
    return no_files(path);
}
