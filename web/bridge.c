/* bridge.c - the imports behind the core's function pointers (docs/web.md). */
#include "bridge.h"

#include "base/status.h"

#include <wasi/api.h>

#define QW_IMPORT(name) __attribute__((import_module("quern"), import_name(#name)))

QW_IMPORT(read)
const void *qw_read(uint32_t source, double offset, size_t size, uint32_t *pending, qn_status *status);
QW_IMPORT(log) void qw_log(uint32_t level, const char *line);
QW_IMPORT(progress) uint32_t qw_progress(double done, double total);

static void on_log(void *user, qn_log_level level, const char *line)
{
    (void)user;
    qw_log((uint32_t)level, line);
}

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return qw_progress((double)done, (double)total) != 0;
}

static const void *on_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    uint32_t waits = 0;
    *status = qn_ok();
    const void *bytes = qw_read((uint32_t)(uintptr_t)user, (double)offset, size, &waits, status);
    *pending = waits != 0;
    return bytes;
}

void qw_engine_options(qn_engine_options *options)
{
    *options = (qn_engine_options){.log = on_log};
}

void qw_model_options(qn_model_options *options)
{
    *options = (qn_model_options){.progress = on_progress};
}

void qw_source(qn_source *source, uint32_t number, double size)
{
    *source = (qn_source){.user = (void *)(uintptr_t)number, .size = (uint64_t)size, .read = on_read};
}

/* ---- no files -------------------------------------------------------------------------------- */

/* wasi-libc's formatting refers to stderr, though nothing here prints: with these the module imports nothing of WASI.
 */

__wasi_errno_t __wasi_fd_close(__wasi_fd_t fd)
{
    (void)fd;
    return __WASI_ERRNO_BADF;
}

__wasi_errno_t __wasi_fd_seek(__wasi_fd_t fd, __wasi_filedelta_t offset, __wasi_whence_t whence,
                              __wasi_filesize_t *position)
{
    (void)fd;
    (void)offset;
    (void)whence;
    (void)position;
    return __WASI_ERRNO_BADF;
}

__wasi_errno_t __wasi_fd_write(__wasi_fd_t fd, const __wasi_ciovec_t *parts, size_t n, __wasi_size_t *written)
{
    (void)fd;
    (void)parts;
    (void)n;
    *written = 0;
    return __WASI_ERRNO_BADF;
}
