/* pte_builder.h - ExecuTorch files with what the committed exports lack: every kind of value and instruction, data in
 * all places where it can be, and what a test wants spoiled. */
#ifndef QN_TESTS_PTE_BUILDER_H
#define QN_TESTS_PTE_BUILDER_H

#include <stdbool.h>

#include "support/fb_builder.h"

/* A program with one method, "forward":
 *
 *   value 0 tensor f32 [2,3] input        value 6 tensor f32 [2] constant 1 (floats 1, 2)
 *   value 1 int -7                        value 7 tensor i64 [1] planned, mutable buffer 1 (integer 5)
 *   value 2 bool true                     value 8 tensor f32 [2] external "outside"
 *   value 3 double 0.5                    value 9 int list (1), value 10 double list (0.25)
 *   value 4 string "text"                 value 11 bool list (1 0), value 12 tensor list (0 6)
 *   value 5 null                          value 13 optional tensor list (0 5)
 *
 * inputs (0), outputs (6 0); operator aten::copy_ "out"; delegates: 0 "VulkanBackend" inline, the graph of
 * qn_vk_builder; 1 "OtherBackend" in segment 2 (4 bytes) with compile spec key -> (1 2);
 * chain: kernel call, delegate calls 0 and 1, move 1 to 2, jump if not 2 to 5 (the end), free 0.
 * Segment 0: constants, 1: mutable data, 2: delegate, 3: named data "blob" (8 bytes). */
typedef struct qn_pte_builder {
    qn_fbb b;
    uint32_t header;
    /* places, for spoiling */
    size_t program, plan, chains, values[14], instructions[6], operators, delegates[2], named, segments[4];
} qn_pte_builder;

/* With a header of so many bytes; 0: without, and then all data is in the flatbuffer (constant 1 as old files have it),
 * and delegate 1 and the first contents of value 7 are left out. */
qn_pte_builder qn_pte_builder_new(uint32_t header);
/* Fills in the header and appends the segments: the file is in b.data, b.size. */
void qn_pte_builder_finish(qn_pte_builder *p);

/* The data of a Vulkan delegate: every kind of value, one inline and one named constant ("blob", 8 bytes).
 *
 *   value 0 tensor f32 [2,3] input            value 6 int list (-1 9)     value 9 value list (0 1 10)
 *   value 1 tensor f32 [2] constant 0         value 7 double list (0.5)   value 10 symint
 *   value 2 tensor i32 [2] constant 1         value 8 bool list (1 0)     value 11 string "mode"
 *   value 3 int 4, value 4 double 1.5, value 5 bool true                  value 12 null
 *
 * op 3 "aten.add.Tensor" (0 1 3 0); inputs (0); outputs (0). */
typedef struct qn_vk_builder {
    qn_fbb b; /* the flatbuffer */
    size_t graph, values[13], op, constants[2];
} qn_vk_builder;

qn_vk_builder qn_vk_builder_new(void);
/* The blob: header, flatbuffer, the inline constant (floats 3, 4). Frees the builder. */
qn_fbb qn_vk_builder_finish(qn_vk_builder *v);

/* A .ptd file: key -> a tensor f32 [2] of floats 10, 20; "blob" -> 8 bytes without a layout. */
qn_fbb qn_ptd_build(const char *key);

#endif
