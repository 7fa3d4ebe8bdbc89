/* special.h - finding special tokens in text: a trie of their bytes. */
#ifndef QN_TEXT_SPECIAL_H
#define QN_TEXT_SPECIAL_H

#include "base/memory.h"

typedef struct qn_special_node {
    uint32_t child, sibling; /* node numbers, 0: none */
    int32_t token;           /* that ends here, -1: none */
    uint8_t byte;
    bool control; /* of that token: found only where control tokens are asked for */
} qn_special_node;

typedef struct qn_specials {
    const qn_allocator *a;
    void *nodes; /* qn_special_node[n]; node 0 is unused */
    size_t n, capacity;
    uint32_t root[256]; /* node of the first byte, 0: none */
    bool any, any_user; /* there is a special token; there is one that is not a control token */
} qn_specials;

/* Special tokens longer than this decode but are not looked for in text: it bounds the trie of a hostile file
 * and the cost of a position. */
enum { QN_SPECIAL_MAX_BYTES = 256 };

/* Adds a token; of tokens with the same text the first stays. `s` is zero to begin with, but for `a`. */
qn_status qn_specials_add(qn_specials *s, const char *text, size_t n_bytes, int32_t token, bool control);
void qn_specials_close(qn_specials *s);

/* The longest token that text begins with: its id and length, or -1. */
int32_t qn_specials_match(const qn_specials *s, const char *text, size_t n_bytes, bool control, size_t *length);

/* The leftmost (there the longest) token in text[at..n_bytes): its id, place and length, or -1. */
int32_t qn_specials_find(const qn_specials *s, const char *text, size_t n_bytes, size_t at, bool control, size_t *place,
                         size_t *length);

#endif
