#include "text/pretokenize.h"

/* Unicode's White_Space property. Spelled out because \s differs: PCRE2 adds U+180E, ECMAScript adds U+FEFF and
 * leaves out U+0085. Characters past U+00FF stand as themselves, since \x{...} and \u{...} are not common. */
#define SPACE "\\t-\\r \\x85\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
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
