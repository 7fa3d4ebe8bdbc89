#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void qn_log_line(const qn_log *log, qn_log_level level, const char *format, ...)
{
    if (!log || !log->fn) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->fn(log->user, level, line);
}
