/* text.c - a text that grows. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void qn_text_put(qn_text *t, const char *bytes, size_t n)
{
    if (t->status.code != QN_OK) return;
    void *p = t->data;
    t->status = qn_grow(t->allocator, &p, &t->capacity, t->size + n + 1, 1, "text");
    t->data = p;
    if (t->status.code != QN_OK) return;
    memcpy(t->data + t->size, bytes, n);
    t->size += n;
    t->data[t->size] = 0;
}

void qn_text_puts(qn_text *t, const char *text)
{
    qn_text_put(t, text, strlen(text));
}

void qn_text_printf(qn_text *t, const char *format, ...)
{
    char line[256];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (t->status.code == QN_OK && (n < 0 || (size_t)n >= sizeof line))
        t->status = qn_fail(QN_ERR_INTERNAL, "a line of text has %d bytes, over %zu", n, sizeof line - 1);
    qn_text_put(t, line, strlen(line));
}

qn_status qn_text_take(qn_text *t, char **text)
{
    qn_status s = t->status;
    if (s.code != QN_OK) {
        qn_free(t->allocator, t->data);
        t->data = NULL;
    }
    *text = t->data;
    *t = (qn_text){.allocator = t->allocator};
    return s;
}
