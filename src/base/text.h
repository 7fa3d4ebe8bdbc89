/* text.h - a text that grows. */
#ifndef QN_BASE_TEXT_H
#define QN_BASE_TEXT_H

#include "base/memory.h"

/* Starts as {.allocator = a}. After a failure, which `status` keeps, nothing more is put. */
typedef struct qn_text {
    const qn_allocator *allocator;
    char *data; /* zero-terminated, or NULL: nothing was put; free with qn_free */
    size_t size, capacity;
    qn_status status;
} qn_text;

void qn_text_put(qn_text *t, const char *bytes, size_t n);
void qn_text_puts(qn_text *t, const char *text);
/* A line or part of one, of at most 255 bytes. */
void qn_text_printf(qn_text *t, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* What was put, or why not; then the text is empty. */
qn_status qn_text_take(qn_text *t, char **text);

#endif
