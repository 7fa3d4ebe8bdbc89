#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void *default_resize(void *user, void *ptr, size_t size)
{
    (void)user;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

const qn_allocator *qn_allocator_or_default(const qn_allocator *a)
{
    static const qn_allocator fallback = {default_resize, NULL};
    return a ? a : &fallback;
}

qn_status qn_alloc(const qn_allocator *a, size_t count, size_t size, const char *what, void **out)
{
    *out = NULL;
    if (size != 0 && count > SIZE_MAX / size)
        return qn_fail(QN_ERR_MEMORY, "%s: %zu x %zu bytes is more than an address space", what, count, size);
    size_t bytes = count * size;
    a = qn_allocator_or_default(a);
    void *p = a->resize(a->user, NULL, bytes ? bytes : 1);
    if (!p) return qn_fail(QN_ERR_MEMORY, "%s: no memory for %zu bytes", what, bytes);
    memset(p, 0, bytes);
    *out = p;
    return qn_ok();
}

qn_status qn_grow(const qn_allocator *a, void **ptr, size_t *capacity, size_t need, size_t size, const char *what)
{
    if (need <= *capacity) return qn_ok();
    size_t next = *capacity ? *capacity : 8;
    while (next < need) {
        if (next > SIZE_MAX / 2) return qn_fail(QN_ERR_MEMORY, "%s: %zu elements are too many", what, need);
        next *= 2;
    }
    if (next > SIZE_MAX / size) return qn_fail(QN_ERR_MEMORY, "%s: %zu elements are too many", what, need);
    a = qn_allocator_or_default(a);
    void *p = a->resize(a->user, *ptr, next * size);
    if (!p) return qn_fail(QN_ERR_MEMORY, "%s: no memory for %zu bytes", what, next * size);
    memset((char *)p + *capacity * size, 0, (next - *capacity) * size);
    *ptr = p;
    *capacity = next;
    return qn_ok();
}

void qn_free(const qn_allocator *a, void *ptr)
{
    if (!ptr) return;
    a = qn_allocator_or_default(a);
    a->resize(a->user, ptr, 0);
}

qn_status qn_copy_string(const qn_allocator *a, const char *text, size_t n, char **out)
{
    void *p;
    QN_TRY(qn_alloc(a, n + 1, 1, "string", &p));
    if (n) memcpy(p, text, n);
    *out = p;
    return qn_ok();
}
