#include "text/pretokenize.h"

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
