/* pretokenize.h - splitting text into the pieces that byte-pair merges stay within. The only file that knows
 * the regular-expression engine is pretokenize_pcre2.c; the browser build brings another. */
#ifndef QN_TEXT_PRETOKENIZE_H
#define QN_TEXT_PRETOKENIZE_H

#include "base/memory.h"

typedef struct qn_pretokenizer qn_pretokenizer;
typedef struct qn_piece_scan qn_piece_scan;

/* The pattern of Llama 3's tokenizer: common to PCRE2 and to ECMAScript with the u flag. */
const char *qn_pattern_llama3(void);

/* `pattern`: a Unicode regular expression in the common subset of PCRE2 (UTF, UCP) and ECMAScript's u flag. Only
 * classes that mean the same to both may be used: \s and (?i) do not. May be shared by threads. */
qn_status qn_pretokenizer_open(const qn_allocator *a, const char *pattern, qn_pretokenizer **pretokenizer);
void qn_pretokenizer_close(qn_pretokenizer *pretokenizer);

/* A walk over one text after another; belongs to one thread. Holds the memory that matching needs, so that
 * nothing is allocated for each piece. */
qn_status qn_piece_scan_open(const qn_pretokenizer *pretokenizer, qn_piece_scan **scan);
void qn_piece_scan_close(qn_piece_scan *scan);

/* Begins a text, which must be valid UTF-8 and stay in place until the walk is over. */
qn_status qn_piece_scan_start(qn_piece_scan *scan, const char *text, size_t n_bytes);

/* The next piece is text[*start .. *end); both are n_bytes when there is none left. Pieces are contiguous: text
 * that no match covers is a piece of its own. */
qn_status qn_piece_scan_next(qn_piece_scan *scan, size_t *start, size_t *end);

#endif
