/* linear_rows.c - the kernel rows of linear.
 *
 * TILE_N x TILE_M: outputs of a workgroup. The choices were measured on an H100 (132 multiprocessors) and on llvmpipe:
 * docs/performance.md. */
#include "ops/linear.h"

#define LINEAR_ROW(variant, file, operands, weights, lanes)                                                            \
    .name = "linear." variant, .source = file, .with = {"storage", "linear_out", operands, weights}, .entry = "main",  \
    .access = "rrrrrrrw", .workgroup = {lanes, 1, 1}, .spec = {QN_LINEAR_SPEC}

/* One row of x: quads x tiles quads of weight rows a workgroup. The rows with subgroups come first. What is exchanged
 * through memory needs fewer registers, so that more workgroups run at once: best for the largest matrices. */
#define GEMV_ROW(variant, ending, operand, lanes, quads, tiles, ...)                                                   \
    .name = "linear." variant, .source = "linear_gemv_" ending,                                                        \
    .with = {"storage", "linear_out", "linear4", "weights4", "linear_gemv", operand}, .entry = "main",                 \
    .access = "rrrrrrrw", .workgroup = {lanes, 1, 1}, .spec = {QN_LINEAR_SPEC}, .preferred = QN_ROW_GPU,               \
    .min_rows = 1, .max_rows = 1, .unroll = 8,                                                                         \
    .consts = {{"TILE_N", 4 * (quads) * (tiles)}, {"TILE_M", 1}, {"QUADS", quads}, {"NORMS", 1},                       \
               {"GATES", 2 * (quads) * (tiles)},  __VA_ARGS__}
#define X_FLOAT   "linear_x_float"
#define X_MEMORY  "linear_x_int", "linear_share_memory"
#define X_SHUFFLE "linear_x_int", "linear_share_shuffle"
#define SUBGROUPS .needs = QN_NEEDS_SUBGROUPS

/* x in 8-bit blocks. m x n outputs of a workgroup, micro_m x micro_n of an invocation of each slice. EACH and ONCE are
 * microseconds where K is 2048. */
#define GEMM8_ROW(variant, lanes)                                                                                      \
    .name = "linear." variant, .source = "linear_gemm8", .with = {"storage", "linear_out", "weights", "linear8"},      \
    .entry = "main", .access = "rrrrrrrw", .workgroup = {lanes, 1, 1}, .spec = {QN_LINEAR_SPEC}, .inexact = true,      \
    .preferred = QN_ROW_GPU, .min_rows = 17, .unroll = 16
#define TILE8(m, n, micro_m, micro_n, slices)                                                                          \
    {"BLOCKS8", 1}, {"NO_FLOATS", 1}, {"GATES", (n) / 2}, {"TILE_M", m}, {"TILE_N", n}, {"MICRO_M", micro_m},          \
        {"MICRO_N", micro_n},                                                                                          \
    {                                                                                                                  \
        "SLICES", slices                                                                                               \
    }
#define GEMM_TILE(m, n, k, micro_m, micro_n)                                                                           \
    {"TILE_M", m}, {"TILE_N", n}, {"TILE_K", k}, {"MICRO_M", micro_m}, {"MICRO_N", micro_n},                           \
    {                                                                                                                  \
        "BUFFERS", 2                                                                                                   \
    }

static const qn_kernel_row rows[] = {
    {GEMV_ROW("gemv", "subgroup", X_MEMORY, 256, 4, 1, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1}, {"MIN_GROUPS", 2048}),
     SUBGROUPS},
    {GEMV_ROW("gemv_64", "subgroup", X_SHUFFLE, 256, 4, 4, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1},
              {"MIN_GROUPS", 256}),
     SUBGROUPS},
    {GEMV_ROW("gemv_16", "subgroup", X_SHUFFLE, 256, 4, 1, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1},
              {"MIN_GROUPS", 512}),
     SUBGROUPS},
    {GEMV_ROW("gemv_longest", "subgroup", X_SHUFFLE, 1024, 4, 1, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1},
              {"MIN_K", 8192}),
     SUBGROUPS},
    {GEMV_ROW("gemv_long", "subgroup", X_SHUFFLE, 512, 4, 1, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1}, {"MIN_K", 4096}),
     SUBGROUPS},
    {GEMV_ROW("gemv_8", "subgroup", X_MEMORY, 256, 2, 1, {"LEAST_SUBGROUP", 8}, {"NO_FLOATS", 1}), SUBGROUPS},
    {GEMV_ROW("gemv_float", "subgroup", X_FLOAT, 256, 2, 2, {"LEAST_SUBGROUP", 8}, {"NO_CODES", 1},
              {"MIN_GROUPS", 256}),
     SUBGROUPS},
    {GEMV_ROW("gemv_float_8", "subgroup", X_FLOAT, 256, 2, 1, {"LEAST_SUBGROUP", 8}, {"NO_CODES", 1}), SUBGROUPS},
    {GEMV_ROW("gemv_plain", "barrier", X_MEMORY, 256, 4, 1, {"NO_FLOATS", 1}, {"MIN_GROUPS", 256})},
    {GEMV_ROW("gemv_plain_8", "barrier", X_MEMORY, 256, 2, 1, {"NO_FLOATS", 1})},
    {GEMV_ROW("gemv_plain_float", "barrier", X_FLOAT, 256, 2, 1, {"NO_CODES", 1})},
    {GEMM8_ROW("gemm8", 128), .consts = {TILE8(64, 128, 4, 16, 1), {"EACH", 50}, {"ONCE", 11}}},
    {GEMM8_ROW("gemm8_split", 128), .consts = {TILE8(64, 64, 8, 8, 2), {"EACH", 26}, {"ONCE", 7}}},
    {GEMM8_ROW("gemm8_narrow", 128), .consts = {TILE8(32, 32, 4, 8, 4), {"EACH", 7}, {"ONCE", 6}}},
    {GEMM8_ROW("gemm8_few", 256), .consts = {TILE8(16, 32, 4, 4, 8), {"EACH", 5}, {"ONCE", 2}}},
    {LINEAR_ROW("few", "linear_few", "linear4", "weights4", 256), .consts = {{"TILE_N", 16}, {"TILE_M", 4}},
     .preferred = QN_ROW_GPU, .min_rows = 2, .max_rows = 64},
    {LINEAR_ROW("gemm", "linear_gemm", "linear4", "weights4", 256),
     .consts = {GEMM_TILE(128, 128, 8, 2, 2), {"MIN_GROUPS", 128}}, .preferred = QN_ROW_GPU, .min_rows = 65},
    {LINEAR_ROW("gemm_narrow", "linear_gemm", "linear4", "weights4", 128), .consts = {GEMM_TILE(64, 64, 16, 1, 2)},
     .preferred = QN_ROW_GPU, .min_rows = 65},
    {LINEAR_ROW("quad1", "linear_quad", "linear4", "weights4", 8),
     .consts = {{"TILE_N", 32}, {"TILE_M", 1}, {"NORMS", 1}, {"GATES", 32}}, .preferred = QN_ROW_SOFTWARE,
     .min_rows = 1, .max_rows = 1},
    {LINEAR_ROW("quad4", "linear_quad", "linear4", "weights4", 8), .consts = {{"TILE_N", 32}, {"TILE_M", 4}},
     .preferred = QN_ROW_SOFTWARE, .min_rows = 2, .max_rows = 4},
    {LINEAR_ROW("quad8", "linear_quad", "linear4", "weights4", 8), .consts = {{"TILE_N", 32}, {"TILE_M", 8}},
     .preferred = QN_ROW_SOFTWARE, .min_rows = 5},
    /* Any group size and any K: the reference among the kernels. */
    {LINEAR_ROW("any", "linear_any", "linear1", "weights", 64),
     .consts = {{"TILE_N", 64}, {"TILE_M", 1}, {"ANY_K", 1}}},
};

const qn_kernel_table qn_linear_kernels = {rows, sizeof rows / sizeof rows[0]};
