/* fuzz_program.c - libFuzzer target: reads the input as an ExecuTorch program, describes it, and plans its graphs for
 * two devices that are not opened: every translation and every plan function at the shapes of the file. Host memory
 * ends at a bound, as it would on a small machine. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "quern_program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static volatile uint64_t sink; /* keeps reads from being optimized away */

static void check_failure(qn_status s)
{
    if (s.code != QN_OK && (s.text[0] == '\0' || s.code == QN_ERR_INTERNAL)) abort();
}

/* ---- host memory ----------------------------------------------------------------------------- */

enum { MOST_BYTES = 256 << 20, BLOCK_HEADER = 16 };

/* malloc, with the block's size in front of it, as long as all blocks together stay below the bound. */
static void *bounded_resize(void *user, void *ptr, size_t size)
{
    size_t *held = user, old = 0;
    uint8_t *block = ptr ? (uint8_t *)ptr - BLOCK_HEADER : NULL;
    if (block) memcpy(&old, block, sizeof old);
    if (size == 0) {
        *held -= old;
        free(block);
        return NULL;
    }
    if (size > MOST_BYTES || *held - old + size > MOST_BYTES) return NULL;
    block = realloc(block, size + BLOCK_HEADER);
    if (!block) return NULL;
    *held += size - old;
    memcpy(block, &size, sizeof size);
    return block + BLOCK_HEADER;
}

/* ---- programs -------------------------------------------------------------------------------- */

static void touch(const char *text)
{
    for (; *text; text++) sink += (uint8_t)*text;
}

static void touch_value(qn_value_info info)
{
    if (info.is_tensor && info.shape.rank > QN_MAX_RANK) abort();
    for (uint32_t i = 0; info.is_tensor && i < info.shape.rank; i++) sink += info.shape.dim[i];
    touch(qn_scalar_name(info.scalar));
}

static void describe(qn_program *p)
{
    const qn_operator_use *uses;
    uint32_t n_uses = qn_program_operators(p, &uses);
    for (uint32_t i = 0; i < n_uses; i++) {
        if (uses[i].method >= qn_program_n_methods(p) || uses[i].count == 0) abort();
        touch(uses[i].name);
    }
    for (uint32_t m = 0; m < qn_program_n_methods(p); m++) {
        qn_method_info info = qn_program_method(p, m);
        if (qn_program_find_method(p, info.name) > m) abort();
        for (uint32_t i = 0; i < info.n_inputs; i++) touch_value(qn_program_input(p, m, i));
        for (uint32_t i = 0; i < info.n_outputs; i++) touch_value(qn_program_output(p, m, i));
        sink += info.constant_bytes + info.memory.activations + info.n_nodes;
    }
}

static void plan(const uint8_t *data, size_t size, const qn_device_info *device)
{
    size_t held = 0;
    const qn_allocator allocator = {bounded_resize, &held};
    const qn_program_memory file = {"input", data, size};
    qn_program *p;
    qn_status s = qn_program_read_memory(&allocator, &file, 1, &p);
    check_failure(s);
    if (s.code == QN_OK) {
        describe(p);
        check_failure(qn_program_plan(p, device));
        describe(p);
        qn_program_close(p);
    } else if (p) {
        abort();
    }
    if (held) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_device_info device = qn_core_device();
    plan(data, size, &device);
    device.max_binding_bytes = 64 << 10; /* so that what is split on large tensors is split on small ones */
    device.max_buffer_bytes = 256 << 10;
    plan(data, size, &device);
    return 0;
}

/* ---- mutation -------------------------------------------------------------------------------- */

/* Every second time changes up to four aligned words to what means something in such a file: ids, dimensions, lengths,
 * kinds. Bytes changed anywhere seldom leave offsets that still point at tables. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const uint32_t numbers[] = {0,          1,          2,          3,         7,     16,        64,
                                       255,        256,        4095,       65535,     65536, 1u << 20,  1u << 24,
                                       0x3fffffff, 0x40000000, 0x7fffffff, 1u << 31u, ~0u,   ~0u - 127, ~0u - 1};
    if (seed % 2 || size < 8) return LLVMFuzzerMutate(data, size, max_size);
    uint32_t random = seed / 2;
    for (unsigned i = 0; i <= seed / 2 % 4; i++) {
        random = random * 1664525u + 1013904223u;
        size_t at = (random >> 8) % (size / 4) * 4;
        random = random * 1664525u + 1013904223u;
        uint32_t which = random >> 8 & 3, bits = random >> 16, number;
        memcpy(&number, data + at, 4);
        if (number < 256 || which == 3) /* ids, dimensions and small numbers, mostly; offsets seldom */
            number = which == 0   ? number + 1
                     : which == 1 ? number - 1
                     : which == 2 ? bits % 64
                                  : numbers[bits % (sizeof numbers / sizeof numbers[0])];
        memcpy(data + at, &number, 4);
    }
    return size;
}
