#include "graph/extent.h"

#include "gpu/gpu.h"

#include <inttypes.h>
#include <string.h>

static qn_status check_range(const char *kernel, uint32_t i, const qn_extent *e, uint64_t max_binding_bytes)
{
    if (e->size == 0) return qn_fail(QN_ERR_INTERNAL, "kernel %s: binding %u is empty", kernel, i + 1);
    if (e->offset % QN_PARAM_SLOT || e->size % 4)
        return qn_fail(QN_ERR_INTERNAL, "kernel %s: binding %u has %" PRIu64 " bytes at %" PRIu64 ", not aligned",
                       kernel, i + 1, e->size, e->offset);
    if (e->size > max_binding_bytes)
        return qn_fail(QN_ERR_LIMIT,
                       "kernel %s: binding %u of %" PRIu64 " bytes is over this device's binding limit of %" PRIu64,
                       kernel, i + 1, e->size, max_binding_bytes);
    return qn_ok();
}

static bool same_buffer(const qn_extent *a, const qn_extent *b)
{
    return a->owner == b->owner && a->part == b->part;
}

static bool disjoint(const qn_extent *a, const qn_extent *b)
{
    return a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
}

static qn_status check_pair(const char *kernel, const char *access, const qn_extent *extents, uint32_t i, uint32_t k)
{
    if (!same_buffer(&extents[i], &extents[k])) return qn_ok();
    bool a = access[i] == 'w', b = access[k] == 'w';
    if (!a && !b) return qn_ok();
    if (a != b)
        return qn_fail(QN_ERR_ARGUMENT, "kernel %s binds one buffer for reading and for writing (bindings %u and %u)",
                       kernel, i + 1, k + 1);
    if (!disjoint(&extents[i], &extents[k]))
        return qn_fail(QN_ERR_INTERNAL, "kernel %s binds one range twice for writing (bindings %u and %u)", kernel,
                       i + 1, k + 1);
    return qn_ok();
}

qn_status qn_check_extents(const char *kernel, const char *access, const qn_extent *extents, uint32_t n,
                           uint64_t max_binding_bytes)
{
    if (n != strlen(access) || n > QN_MAX_BINDINGS)
        return qn_fail(QN_ERR_INTERNAL, "kernel %s takes %zu bindings (at most %d), the plan gave %u", kernel,
                       strlen(access), QN_MAX_BINDINGS, n);
    for (uint32_t i = 0; i < n; i++) QN_TRY(check_range(kernel, i, &extents[i], max_binding_bytes));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = i + 1; k < n; k++) QN_TRY(check_pair(kernel, access, extents, i, k));
    return qn_ok();
}
