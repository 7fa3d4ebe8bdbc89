#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

qn_status qn_fail(qn_code code, const char *format, ...)
{
    qn_status s;
    s.code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(s.text, sizeof s.text, format, args);
    va_end(args);
    return s;
}

qn_status qn_in(qn_status status, const char *format, ...)
{
    if (status.code == QN_OK) return status;
    qn_status s;
    s.code = status.code;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s.text, sizeof s.text, format, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < sizeof s.text - 1) snprintf(s.text + at, sizeof s.text - at, ": %s", status.text);
    return s;
}

const char *qn_code_name(qn_code code)
{
    static const char *const names[] = {
        [QN_OK] = "ok",
        [QN_ERR_ARGUMENT] = "bad argument",
        [QN_ERR_STATE] = "wrong state",
        [QN_ERR_IO] = "input/output",
        [QN_ERR_FORMAT] = "bad format",
        [QN_ERR_UNSUPPORTED] = "unsupported",
        [QN_ERR_MEMORY] = "out of memory",
        [QN_ERR_GPU_MEMORY] = "out of GPU memory",
        [QN_ERR_GPU] = "WebGPU error",
        [QN_ERR_DEVICE_LOST] = "device lost",
        [QN_ERR_LIMIT] = "limit exceeded",
        [QN_ERR_CONTEXT] = "context full",
        [QN_ERR_INTERNAL] = "internal error",
    };
    size_t n = sizeof names / sizeof names[0];
    return (size_t)code < n && names[code] ? names[code] : "unknown";
}

const char *qn_version(void)
{
    return QN_VERSION;
}
