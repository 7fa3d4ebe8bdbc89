/* tokenizer.h - tokenizers read from GGUF metadata and from files. The public calls are in quern.h. */
#ifndef QN_TEXT_TOKENIZER_H
#define QN_TEXT_TOKENIZER_H

#include "base/memory.h"
#include "format/gguf.h"
#include "text/bpe.h"

/* Builds the tokenizer named by tokenizer.ggml.model. QN_ERR_UNSUPPORTED names a kind that this version does
 * not read (for example SentencePiece of Llama 2); QN_ERR_FORMAT damaged metadata. Copies what it needs: the
 * gguf may be closed afterwards. */
qn_status qn_tokenizer_from_gguf(const qn_allocator *a, const qn_gguf *gguf, qn_tokenizer **tokenizer);
/* The id of a token by its text ("<|eot_id|>"), or -1. Looks among special tokens only. */
int32_t qn_tokenizer_find_special(const qn_tokenizer *tokenizer, const char *text);
/* "gpt2 / llama-bpe" */
const char *qn_tokenizer_description(const qn_tokenizer *tokenizer);

/* Which special tokens are read in a text. The file's token types decide: control tokens direct the model,
 * user-defined ones are ordinary text that the vocabulary keeps whole. */
typedef enum qn_special_mode {
    QN_SPECIAL_NONE = 0, /* none: what others wrote (chat messages)                               */
    QN_SPECIAL_USER,     /* user-defined ones: qn_encode_options.parse_special false, as llama.cpp */
    QN_SPECIAL_ALL,      /* control tokens too: parse_special true                                */
} qn_special_mode;

/* Encodes text behind what the sink holds. */
qn_status qn_tokenizer_append(const qn_tokenizer *tokenizer, const char *text, size_t n_bytes, qn_special_mode mode,
                              qn_token_sink *sink);

#endif
