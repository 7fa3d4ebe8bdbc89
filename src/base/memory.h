/* memory.h - host memory through the caller's allocator. */
#ifndef QN_BASE_MEMORY_H
#define QN_BASE_MEMORY_H

#include "base/status.h"

/* The allocator to use: `a` itself, or malloc when a is NULL. */
const qn_allocator *qn_allocator_or_default(const qn_allocator *a);

/* Allocates count * size zeroed bytes into *out (product checked; zero bytes give a valid pointer).
 * QN_ERR_MEMORY names `what`. */
qn_status qn_alloc(const qn_allocator *a, size_t count, size_t size, const char *what, void **out);

/* Grows *ptr (count elements now) to at least `need` elements of `size` bytes, doubling; *capacity is
 * updated. New bytes are zero. On failure nothing changes. */
qn_status qn_grow(const qn_allocator *a, void **ptr, size_t *capacity, size_t need, size_t size, const char *what);

/* Frees; NULL is allowed. */
void qn_free(const qn_allocator *a, void *ptr);

/* A zero-terminated copy of n bytes. */
qn_status qn_copy_string(const qn_allocator *a, const char *text, size_t n, char **out);

/* Overflow-checked products and sums: false when the result would not fit. */
static inline bool qn_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a != 0 && b > UINT64_MAX / a) return false;
    *out = a * b;
    return true;
}

/* Bytes of a tensor of `rank` dimensions; 0 when one of them is 0, whatever the others are. */
static inline bool qn_mul_dims(uint64_t element_bytes, const uint32_t *dims, uint32_t rank, uint64_t *out)
{
    uint64_t n = element_bytes;
    *out = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] == 0) return true;
    for (uint32_t i = 0; i < rank; i++)
        if (!qn_mul_u64(n, dims[i], &n)) return false;
    *out = n;
    return true;
}

static inline bool qn_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b > UINT64_MAX - a) return false;
    *out = a + b;
    return true;
}

static inline uint64_t qn_div_up_u64(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static inline uint32_t qn_div_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static inline uint64_t qn_round_up_u64(uint64_t a, uint64_t multiple)
{
    return qn_div_up_u64(a, multiple) * multiple;
}

#endif
