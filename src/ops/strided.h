/* strided.h - copies between strided arrangements of elements, for the plan functions of several families. They move
 * 32-bit words, whatever the type. */
#ifndef QN_OPS_STRIDED_H
#define QN_OPS_STRIDED_H

#include "ops/op.h"

enum {
    QN_MOVE_DIMS = 2 * QN_MAX_RANK, /* of a copy as it is described                                      */
    QN_MOVE_MERGED = 15,            /* of one as it runs, after merging: what a parameter block holds    */
};

/* y[y_first + idx . y] = x[x_first + idx . x] for every idx within the sizes; in elements, the innermost dimension
 * last. A stride of x may be negative or 0. No two idx may name the same element of y. */
typedef struct qn_move {
    uint32_t rank;
    struct {
        uint32_t size;
        int64_t x, y;
    } dim[QN_MOVE_DIMS];
    int64_t x_first, y_first;
} qn_move;

/* Appends a dimension inside those that are there already. */
void qn_move_add_dim(qn_move *c, uint32_t size, int64_t x, int64_t y);
/* Drops dimensions of size 1 and joins neighbours that are one dimension on both sides; at least one remains. */
void qn_move_merge(qn_move *c);

/* Row-major strides of a shape, in elements. */
void qn_shape_strides(const qn_shape *shape, int64_t strides[QN_MAX_RANK]);

/* Input i as a move reads it, output i as one writes it. */
qn_bind qn_move_from(const qn_plan *p, uint32_t i);
qn_bind qn_move_to(const qn_plan *p, uint32_t i);

/* Appends the dispatch of a copy (while building: one for each route that a live shape may take). The caller has
 * checked that both sides have less than 2^31 elements and fit a binding. QN_ERR_LIMIT: more than QN_MOVE_MERGED
 * dimensions remain. */
qn_status qn_plan_move(qn_plan *p, const qn_move *move, qn_bind x, qn_bind y);
/* Appends the dispatch that sets the first n words of y. */
qn_status qn_plan_fill_words(qn_plan *p, uint32_t n, uint32_t word, qn_bind y);

#endif
