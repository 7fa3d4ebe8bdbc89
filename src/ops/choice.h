/* choice.h - what is known of the kernel rows on one device: which row was measured to be the fastest for a node
 * (quern tune), and which rows the self-test found right or wrong. plan() asks; the same table gives the same answer.
 *
 * A choice is for a key: kernel table, operation, precision, the shapes and formats of the node's weights, what the
 * operation itself adds with qn_plan_sign, and the class of the live rows. Nothing in it depends on the maximum shapes.
 */
#ifndef QN_OPS_CHOICE_H
#define QN_OPS_CHOICE_H

#include "ops/op.h"

typedef struct qn_choice {
    uint64_t key;
    const qn_kernel_row *row;
    char what[64]; /* for people: "linear 2048x2048 q4, 1 row" */
} qn_choice;

typedef struct qn_row_test {
    const qn_kernel_row *row;
    bool wrong;
} qn_row_test;

typedef struct qn_choices {
    const qn_allocator *allocator;
    void *chosen; /* qn_choice[n_chosen]  */
    void *tests;  /* qn_row_test[n_tests] */
    size_t n_chosen, chosen_capacity, n_tests, test_capacity, n_wrong;
} qn_choices;

void qn_choices_free(qn_choices *c);
qn_status qn_choices_copy(const qn_choices *from, const qn_allocator *a, qn_choices *to);

const qn_kernel_row *qn_choices_find(const qn_choices *c, uint64_t key);
/* row NULL: forgets the choice. */
qn_status qn_choices_set(qn_choices *c, uint64_t key, const char *what, const qn_kernel_row *row);
const qn_row_test *qn_choices_test(const qn_choices *c, const qn_kernel_row *row); /* NULL: not tested */
bool qn_choices_wrong(const qn_choices *c, const qn_kernel_row *row);
qn_status qn_choices_set_test(qn_choices *c, const qn_kernel_row *row, bool wrong);

/* As lines of text, for a file. `head` says what it is for, in one or more whole lines. Free *text with qn_free. */
qn_status qn_choices_write(const qn_choices *c, const char *head, char **text);
/* Adds what a text says. False, with nothing added, where it begins otherwise or is not whole. */
bool qn_choices_read(qn_choices *c, const char *head, const char *text, size_t size);

/* Live rows are told apart by their class: 1, 2 to 8, 9 to 64, more. */
enum { QN_ROW_CLASSES = 4 };
uint32_t qn_row_class_of(uint32_t rows);
uint32_t qn_row_class_first(uint32_t c); /* fewest rows of class c */

uint64_t qn_choice_key(const qn_plan *p, const qn_kernel_table *table, uint32_t rows);

/* The decisions that a graph's plans met at build. */
typedef struct qn_decisions {
    const qn_allocator *allocator;
    void *items; /* qn_decision[n] */
    size_t n, capacity;
    qn_status status; /* whether all could be noted */
} qn_decisions;

/* Notes that a row is picked out of those in mask; the first time counts. */
void qn_decisions_note(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows);

#endif
