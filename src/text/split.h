/* split.h - pre-tokenizers: the steps that cut a text into the pieces that merges stay within. */
#ifndef QN_TEXT_SPLIT_H
#define QN_TEXT_SPLIT_H

#include "text/pretokenize.h"

/* What becomes of the matches of a step's pattern (of the text between them, if inverted). Names: Hugging Face's
 * SplitDelimiterBehavior. */
typedef enum qn_split_behaviour {
    QN_SPLIT_ISOLATED = 0,  /* each a piece of its own         */
    QN_SPLIT_REMOVED,       /* dropped                         */
    QN_SPLIT_CONTIGUOUS,    /* neighbours together are a piece */
    QN_SPLIT_WITH_PREVIOUS, /* joined to the text before       */
    QN_SPLIT_WITH_NEXT,     /* joined to the text behind       */
} qn_split_behaviour;

typedef enum qn_split_prefix {
    QN_PREFIX_NEVER = 0,
    QN_PREFIX_FIRST, /* at the start of the whole text */
    QN_PREFIX_ALWAYS,
} qn_split_prefix;

/* In this order: spaces are replaced, the prefix is added unless the piece begins with it, the pattern splits. */
typedef struct qn_split_step {
    char space[8]; /* what replaces U+0020; empty: nothing does */
    char prefix[8];
    qn_split_prefix prefix_where;
    qn_pretokenizer *pattern; /* NULL: no split */
    qn_split_behaviour behaviour;
    bool invert;
} qn_split_step;

enum { QN_SPLIT_MAX_STEPS = 16 };

typedef struct qn_splitter {
    const qn_allocator *a;
    size_t n;
    qn_split_step steps[QN_SPLIT_MAX_STEPS];
} qn_splitter;

void qn_splitter_close(qn_splitter *splitter);

/* Receives the pieces in order; none is empty. */
typedef qn_status (*qn_split_sink)(void *user, const char *piece, size_t n_bytes);

/* Walks over texts; belongs to one thread. Holds the memory that the steps need. */
typedef struct qn_split_scan {
    const qn_splitter *splitter;
    qn_piece_scan *scans[QN_SPLIT_MAX_STEPS];
    void *buffers[QN_SPLIT_MAX_STEPS];
    size_t capacities[QN_SPLIT_MAX_STEPS];
    qn_split_sink sink;
    void *user;
} qn_split_scan;

/* `scan` is zero to begin with; close it also after a failure. */
qn_status qn_split_scan_open(const qn_splitter *splitter, qn_split_sink sink, void *user, qn_split_scan *scan);
void qn_split_scan_close(qn_split_scan *scan);

/* Gives the pieces of a valid UTF-8 text to the sink. `first`: it is the start of the whole text. */
qn_status qn_split_run(qn_split_scan *scan, const char *text, size_t n_bytes, bool first);

#endif
