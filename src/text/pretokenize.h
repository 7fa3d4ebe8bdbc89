/* pretokenize.h - splitting text into the pieces that byte-pair merges stay within. The only file that knows
 * the regular-expression engine is pretokenize_pcre2.c; pretokenize_ecma.c instead in the build for browsers. */
#ifndef QN_TEXT_PRETOKENIZE_H
#define QN_TEXT_PRETOKENIZE_H

#include "base/memory.h"

typedef struct qn_pretokenizer qn_pretokenizer;
typedef struct qn_piece_scan qn_piece_scan;

/* Unicode's White_Space property, for use within a class. Spelled out because \s differs: PCRE2 adds U+180E,
 * ECMAScript adds U+FEFF and leaves out U+0085. Characters past U+00FF stand as themselves, since \x{...} and \u{...}
 * are not common. */
#define QN_PATTERN_SPACE "\\t-\\r \\x85\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

/* The patterns of Llama 3's and of GPT-2's tokenizer: common to PCRE2 and to ECMAScript with the u flag. */
const char *qn_pattern_llama3(void);
const char *qn_pattern_gpt2(void);

/* A pattern of Oniguruma, as tokenizer.json has it, in our subset; the caller frees *out. QN_ERR_UNSUPPORTED names
 * what is not known to mean the same there. */
qn_status qn_pattern_translate(const qn_allocator *a, const char *pattern, size_t n_bytes, char **out);
/* The pattern that matches exactly this text. */
qn_status qn_pattern_literal(const qn_allocator *a, const char *text, size_t n_bytes, char **out);

/* `pattern`: a Unicode regular expression in the common subset of PCRE2 (UTF, UCP) and ECMAScript's u flag. Only
 * classes that mean the same to both may be used: \s and (?i) do not. May be shared by threads. */
qn_status qn_pretokenizer_open(const qn_allocator *a, const char *pattern, qn_pretokenizer **pretokenizer);
void qn_pretokenizer_close(qn_pretokenizer *pretokenizer);

/* For a pattern out of a file, which may need exponential time: a match gives up (QN_ERR_LIMIT) after a number of steps
 * linear in the text. */
void qn_pretokenizer_limit(qn_pretokenizer *pretokenizer);
/* Whether the pattern may match the empty text; walks leave such matches out. */
bool qn_pretokenizer_matches_empty(const qn_pretokenizer *pretokenizer);

/* A walk over one text after another; belongs to one thread. Holds the memory that matching needs, so that
 * nothing is allocated for each piece. */
qn_status qn_piece_scan_open(const qn_pretokenizer *pretokenizer, qn_piece_scan **scan);
void qn_piece_scan_close(qn_piece_scan *scan);

/* Begins a text, which must be valid UTF-8 and stay in place until the walk is over. */
qn_status qn_piece_scan_start(qn_piece_scan *scan, const char *text, size_t n_bytes);

/* The next piece is text[*start .. *end); both are n_bytes when there is none left. Pieces are contiguous: text
 * that no match covers is a piece of its own. */
qn_status qn_piece_scan_next(qn_piece_scan *scan, size_t *start, size_t *end);
/* Whether the piece given last is a match. */
bool qn_piece_scan_matched(const qn_piece_scan *scan);

#endif
