/* piece_walk.h - what the engines of regular expressions (pretokenize_pcre2.c, pretokenize_ecma.c) leave to
 * pretokenize.c: the walk from match to match. */
#ifndef QN_TEXT_PIECE_WALK_H
#define QN_TEXT_PIECE_WALK_H

#include "text/pretokenize.h"

/* A qn_piece_scan begins with it. */
typedef struct qn_piece_walk {
    const char *text;
    size_t n_bytes, at;
    size_t match_start, match_end; /* a match found past `at`, returned after the uncovered text before it */
    bool matched;                  /* the piece returned last is a match */
} qn_piece_walk;

void qn_piece_walk_start(qn_piece_walk *walk, const char *text, size_t n_bytes);

/* The engine's: sets match_start and match_end to the next match from `at` on that is not empty, both to n_bytes when
 * there is none. */
qn_status qn_piece_scan_find(qn_piece_scan *scan);

#endif
