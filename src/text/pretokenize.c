/* pretokenize.c - the patterns that are built in, and the walk over the pieces of a text. */
#include "text/piece_walk.h"

#define SPACE QN_PATTERN_SPACE
#define OTHER "\\p{L}\\p{N}"

/* Source: tokenizer.json of Llama 3, whose (?i:'s|'t|'re|'ve|'m|'ll|'d) is written out here; U+017F (long s) folds
 * to s. */
#define CONTRACTION "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"

const char *qn_pattern_llama3(void)
{
    return CONTRACTION "|[^\\r\\n" OTHER "]?\\p{L}+"
                       "|\\p{N}{1,3}"
                       "| ?[^" SPACE OTHER "]+[\\r\\n]*"
                       "|[" SPACE "]*[\\r\\n]+"
                       "|[" SPACE "]+(?![^" SPACE "])"
                       "|[" SPACE "]+";
}

/* Source: the pattern of GPT-2's encoder.py. */
const char *qn_pattern_gpt2(void)
{
    return "'s|'t|'re|'ve|'m|'ll|'d"
           "| ?\\p{L}+| ?\\p{N}+"
           "| ?[^" SPACE OTHER "]+"
           "|[" SPACE "]+(?![^" SPACE "])"
           "|[" SPACE "]+";
}

/* ---- walking --------------------------------------------------------------------------------- */

void qn_piece_walk_start(qn_piece_walk *walk, const char *text, size_t n_bytes)
{
    *walk = (qn_piece_walk){.text = text, .n_bytes = n_bytes};
}

qn_status qn_piece_scan_next(qn_piece_scan *scan, size_t *start, size_t *end)
{
    qn_piece_walk *w = (qn_piece_walk *)scan;
    *start = *end = w->at;
    if (w->at == w->n_bytes) return qn_ok();
    if (w->match_end <= w->at) QN_TRY(qn_piece_scan_find(scan));
    w->matched = w->at == w->match_start;
    *end = w->matched ? w->match_end : w->match_start;
    w->at = *end;
    return qn_ok();
}

bool qn_piece_scan_matched(const qn_piece_scan *scan)
{
    return ((const qn_piece_walk *)scan)->matched;
}
