/* lines.h - lines of a tensor: the sets of elements that a reduction makes one of, or that a normalization works on,
 * and the plan that the kernels over lines (lines.wgsl) share. */
#ifndef QN_OPS_LINES_H
#define QN_OPS_LINES_H

#include "ops/op.h"

enum { QN_LINE_DIMS = 4 }; /* of 8 dimensions, as neighbours of a kind are merged */

/* Dimensions after merging, the innermost first; strides in elements. */
typedef struct qn_lines {
    uint32_t n, length;                                       /* lines; elements of a line             */
    uint32_t n_across, n_along;                               /* dimensions across lines, along a line */
    uint32_t across[QN_LINE_DIMS][2], along[QN_LINE_DIMS][2]; /* size, stride */
} qn_lines;

/* The lines of a contiguous tensor of fewer than 2^31 elements; bit i of mask: they run along dimension i. */
qn_lines qn_lines_of(const qn_shape *shape, uint32_t mask);

/* A row of a kernel over lines: LANES invocations work on a line, ITEM words at a time. Its min_rows and max_rows are
 * elements of a line, and it takes no longer line than its constant LONGEST (0: no bound). */
#define QN_LINE_ROW(family, variant, file, function, bindings, words, wg, lanes, item, longest)                        \
    .name = family "." variant, .source = file, .with = {words, "lines"}, .entry = function, .access = bindings,       \
    .workgroup = {wg, 1, 1}, .consts = {{"LANES", lanes}, {"ITEM", item}, {"LONGEST", longest}}

/* The longest line that one invocation takes, for its time and its rounding. A workgroup of 16 (software devices) takes
 * 2^16, then wider ones are used. */
enum { QN_LONGEST_EACH = 4096, QN_LONGEST_NARROW = 65536 };

/* The rows of a kernel that uses all of them; at the end their spec: .spec = {..}. Where neither lanes nor a workgroup
 * of 256 are preferred (software, long lines) the first that takes the line serves: hence the order. */
#define QN_LINE_ROWS(family, file, function, bindings, ...)                                                            \
    {QN_LINE_ROW(family, "each", file, function, bindings, "words1", 64, 1, 1, QN_LONGEST_EACH), __VA_ARGS__,          \
     .max_rows = 32},                                                                                                  \
        {QN_LINE_ROW(family, "team", file, function, bindings, "words1", 256, 32, 1, QN_LONGEST_EACH), __VA_ARGS__,    \
         .preferred = QN_ROW_GPU, .min_rows = 33, .max_rows = 512},                                                    \
        {QN_LINE_ROW(family, "narrow4", file, function, bindings, "words4", 16, 16, 4, QN_LONGEST_NARROW),             \
         __VA_ARGS__, .preferred = QN_ROW_SOFTWARE, .min_rows = 33},                                                   \
        {QN_LINE_ROW(family, "narrow1", file, function, bindings, "words1", 16, 16, 1, QN_LONGEST_NARROW),             \
         __VA_ARGS__, .preferred = QN_ROW_SOFTWARE, .min_rows = 33},                                                   \
        {QN_LINE_ROW(family, "wide4", file, function, bindings, "words4", 256, 256, 4, 0), __VA_ARGS__,                \
         .preferred = QN_ROW_GPU, .min_rows = 513},                                                                    \
        {QN_LINE_ROW(family, "wide1", file, function, bindings, "words1", 256, 256, 1, 0), __VA_ARGS__,                \
         .preferred = QN_ROW_GPU, .min_rows = 513},

/* The wider ones alone, for lines that are long as a rule. */
#define QN_LONG_LINE_ROWS(family, file, function, bindings, ...)                                                       \
    {QN_LINE_ROW(family, "narrow4", file, function, bindings, "words4", 16, 16, 4, QN_LONGEST_NARROW), __VA_ARGS__,    \
     .preferred = QN_ROW_SOFTWARE},                                                                                    \
        {QN_LINE_ROW(family, "narrow1", file, function, bindings, "words1", 16, 16, 1, QN_LONGEST_NARROW),             \
         __VA_ARGS__, .preferred = QN_ROW_SOFTWARE},                                                                   \
        {QN_LINE_ROW(family, "wide4", file, function, bindings, "words4", 256, 256, 4, 0), __VA_ARGS__,                \
         .preferred = QN_ROW_GPU},                                                                                     \
        {QN_LINE_ROW(family, "wide1", file, function, bindings, "words1", 256, 256, 1, 0), __VA_ARGS__,                \
         .preferred = QN_ROW_GPU},

/* One dispatch over lines: what it binds, and the parameters besides the geometry. */
typedef struct qn_line_job {
    const qn_kernel_table *table;
    const qn_lines *lines;
    bool scalar;       /* rows of four words in an item cannot be used */
    uint32_t n_inputs; /* the node's first ones; an absent one is bound as zeros */
    uint32_t first_output, n_outputs;
    uint32_t spec[QN_MAX_SPEC];
    float number;
    uint32_t a, b;
} qn_line_job;

/* Appends the dispatch (while building one for every kernel that a live shape may choose). */
qn_status qn_plan_lines(qn_plan *p, const qn_line_job *job);

/* A tensor's dimension, negative ones from the end; a scalar has dimension 0, as PyTorch has it. `what` for the
 * message. */
qn_status qn_check_dim(const qn_plan *p, const char *what, const qn_shape *shape, int32_t dim, uint32_t *result);

#endif
