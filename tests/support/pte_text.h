/* pte_text.h - everything that the reader of .pte files gives, as lines of text. tools/make_pte_expectations.py writes
 * the same lines from another reader's output (flatc's JSON), so that two texts are compared. */
#ifndef QN_TESTS_PTE_TEXT_H
#define QN_TESTS_PTE_TEXT_H

#include <stdio.h>

#include "format/vk_graph.h"

/* The whole program and the graphs of its Vulkan delegates. Returns the first failure: a graph that cannot be opened,
 * or data of a tensor that cannot be found. */
qn_status qn_pte_text(const qn_pte *pte, FILE *out);

#endif
