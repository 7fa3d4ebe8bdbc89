/* utf8.h - well-formed UTF-8 by table 3-7 of the Unicode Standard. */
#ifndef QN_TEXT_UTF8_H
#define QN_TEXT_UTF8_H

#include "quern.h"

/* Reads the sequence at the start of s (n >= 1 bytes).
 *  > 0  a whole sequence of that many bytes; its code point is in *code (may be NULL)
 *    0  all n bytes are the beginning of a sequence that goes on
 *  < 0  that many bytes are ill-formed: the "maximal subpart" that one U+FFFD stands for */
int qn_utf8_read(const char *s, size_t n, uint32_t *code);

/* Bytes at the start of s that are whole, well-formed sequences. */
size_t qn_utf8_valid_prefix(const char *s, size_t n);

/* Unicode's White_Space property. */
bool qn_is_white_space(uint32_t code);

#endif
