/* file.h - files by their paths: mapped, as a qn_source, written. The build for browsers has small texts that
 * JavaScript keeps under such names (file_web.c). */
#ifndef QN_BASE_FILE_H
#define QN_BASE_FILE_H

#include "base/status.h"

typedef struct qn_file {
    const uint8_t *data; /* NULL for an empty file */
    uint64_t size;       /* bytes */
    void *handle;        /* platform's */
} qn_file;

/* Maps the whole file read-only. Errors: QN_ERR_IO with the path and the system's reason. */
qn_status qn_file_open(const char *path, qn_file *file);
void qn_file_close(qn_file *file);
/* Writes the file through one beside it, so that others see the old one or the new one. Its name has the process, and
 * an address on this thread's stack: two threads may write at a time. */
qn_status qn_file_replace(const char *path, const void *data, size_t size);
/* The file as a source of range reads (pointers stay valid until qn_file_close). */
qn_source qn_file_source(qn_file *file);

#endif
