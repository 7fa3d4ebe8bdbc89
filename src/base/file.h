/* file.h - a read-only memory-mapped file, as a qn_source. */
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
/* The file as a source of range reads (pointers stay valid until qn_file_close). */
qn_source qn_file_source(qn_file *file);

#endif
