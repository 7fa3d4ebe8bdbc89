/* log.h - the injected logger. The library never prints. */
#ifndef QN_BASE_LOG_H
#define QN_BASE_LOG_H

#include "quern.h"

typedef struct qn_log {
    qn_log_fn fn; /* NULL: silent */
    void *user;
} qn_log;

/* Formats one line (cut at 1 KiB) and hands it to the logger. */
void qn_log_line(const qn_log *log, qn_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
