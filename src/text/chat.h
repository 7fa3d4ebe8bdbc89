/* chat.h - chat templates, recognised by the file's template text and special tokens. Public call: qn_chat_encode. */
#ifndef QN_TEXT_CHAT_H
#define QN_TEXT_CHAT_H

#include "format/gguf.h"
#include "text/tokenizer.h"

typedef enum qn_chat_kind {
    QN_CHAT_NONE = 0, /* the file has no chat template: its model continues text */
    QN_CHAT_LLAMA3,   /* the one that this version renders                       */
    /* recognised, to name them in an error */
    QN_CHAT_LLAMA3_NO_TOKENS, /* Llama 3's text, but the vocabulary lacks its special tokens */
    QN_CHAT_LLAMA2,
    QN_CHAT_LLAMA4,
    QN_CHAT_CHATML,
    QN_CHAT_GEMMA,
    QN_CHAT_MISTRAL,
    QN_CHAT_PHI3,
    QN_CHAT_ZEPHYR,
    QN_CHAT_DEEPSEEK,
    QN_CHAT_COMMAND_R,
    QN_CHAT_GPT_OSS,
    QN_CHAT_UNKNOWN,
} qn_chat_kind;

/* Which template a file carries (tokenizer.chat_template and the special tokens it needs). tokenizer may be NULL
 * when this version does not read the file's. */
qn_chat_kind qn_chat_detect(const qn_gguf *gguf, const qn_tokenizer *tokenizer);

/* The same for the text of a template. */
qn_chat_kind qn_chat_detect_text(const char *text, size_t n_bytes, const qn_tokenizer *tokenizer);

/* As qn_model_info.chat_template has it: "llama3", "" when there is none, or "unsupported: chatml". */
const char *qn_chat_kind_name(qn_chat_kind kind);

/* Renders a conversation; arguments as qn_chat_encode in quern.h. Messages are encoded one by one, so the tokens of a
 * conversation begin with the tokens of each shorter one. */
qn_status qn_chat_render(qn_chat_kind kind, const qn_tokenizer *tokenizer, const qn_chat_message *messages,
                         size_t n_messages, bool add_generation_prompt, int32_t *tokens, size_t capacity,
                         size_t *n_tokens);

#endif
