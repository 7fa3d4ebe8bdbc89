/* vocab.h - a tiny Llama 3 style vocabulary as GGUF metadata, for tests of the tokenizer and the chat template.
 * Support code: it ends the program when memory runs out. */
#ifndef QN_TESTS_VOCAB_H
#define QN_TESTS_VOCAB_H

#include "support/gguf_builder.h"
#include "text/tokenizer.h"

/* Token ids: byte b is token b, then these. */
enum {
    V_TH = 256, /* merges, in this order: t h, th e, " " the, "\n" "\n" */
    V_THE,
    V_SPACE_THE,
    V_NEWLINES,
    V_USER,         /* "user": no merge makes it, so only a whole piece is this token */
    V_BEGIN,        /* <|begin_of_text|>   control; bos */
    V_END,          /* <|end_of_text|>     control; eos */
    V_START_HEADER, /* <|start_header_id|> control */
    V_END_HEADER,   /* <|end_header_id|>   control */
    V_EOT,          /* <|eot_id|>          control */
    V_EOM,          /* <|eom_id|>          control */
    V_TOOL,         /* <tool>              user defined */
    V_TOOLS,        /* <tool>s             user defined */
    V_N,
};

/* Every key of the vocabulary but those named in `without` (separated by spaces; NULL: none), so that a test may add
 * them in another form. */
qn_builder *qn_test_vocab(const char *without);

/* The tokens' texts as they stand in the file, and their types: [V_N]. Valid until the program ends. */
const char *const *qn_test_vocab_tokens(void);
const int32_t *qn_test_vocab_types(void);
extern const char *const qn_test_vocab_merges[4];

/* Makes a tokenizer of what a builder wrote, and frees the builder. */
qn_status qn_test_open(qn_builder *b, const qn_allocator *a, qn_tokenizer **tokenizer);

/* The metadata alone. Close with qn_test_gguf_close. */
typedef struct qn_test_gguf {
    uint8_t *bytes;
    qn_gguf *gguf;
} qn_test_gguf;
qn_test_gguf qn_test_gguf_open(qn_builder *b);
void qn_test_gguf_close(qn_test_gguf *g);

#endif
