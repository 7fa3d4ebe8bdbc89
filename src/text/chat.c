/* chat.c - Llama 3's chat layout, and the names of other templates.
 *
 * Source of the layout: "Llama 3 model card and prompt formats", Meta:
 *   <|begin_of_text|> and for each message
 *   <|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>
 * The template that Llama 3.1 and later files carry also puts "Cutting Knowledge Date" and today's date into the
 * system message; that is left to the caller, as llama.cpp leaves it. */
#include "text/chat.h"

#include <string.h>

#include "text/utf8.h"

#define START_HEADER "<|start_header_id|>"
#define END_HEADER   "<|end_header_id|>"
#define END_OF_TURN  "<|eot_id|>"

/* ---- recognising ----------------------------------------------------------------------------- */

/* Texts that tell templates apart, looked for in this order; `also` (may be NULL) must be there too. */
static const struct {
    const char *text, *also;
    qn_chat_kind kind;
} marks[] = {
    {START_HEADER, END_OF_TURN, QN_CHAT_LLAMA3},
    {"<|header_start|>", NULL, QN_CHAT_LLAMA4},
    {"<|im_start|>", NULL, QN_CHAT_CHATML},
    {"<start_of_turn>", NULL, QN_CHAT_GEMMA},
    {"<|start|>", "<|message|>", QN_CHAT_GPT_OSS},
    {"<|START_OF_TURN_TOKEN|>", NULL, QN_CHAT_COMMAND_R},
    {"<\xef\xbd\x9c"
     "Assistant\xef\xbd\x9c>",
     NULL, QN_CHAT_DEEPSEEK}, /* with fullwidth vertical lines */
    {"<|assistant|>", "<|end|>", QN_CHAT_PHI3},
    {"<|assistant|>", "<|user|>", QN_CHAT_ZEPHYR},
    {"<<SYS>>", "[INST]", QN_CHAT_LLAMA2},
    {"[INST]", NULL, QN_CHAT_MISTRAL},
};

static const char *const names[] = {
    [QN_CHAT_NONE] = "",
    [QN_CHAT_LLAMA3] = "llama3",
    [QN_CHAT_LLAMA3_NO_TOKENS] = "unsupported: llama3 without its special tokens",
    [QN_CHAT_LLAMA2] = "unsupported: llama2",
    [QN_CHAT_LLAMA4] = "unsupported: llama4",
    [QN_CHAT_CHATML] = "unsupported: chatml",
    [QN_CHAT_GEMMA] = "unsupported: gemma",
    [QN_CHAT_MISTRAL] = "unsupported: mistral",
    [QN_CHAT_PHI3] = "unsupported: phi3",
    [QN_CHAT_ZEPHYR] = "unsupported: zephyr",
    [QN_CHAT_DEEPSEEK] = "unsupported: deepseek",
    [QN_CHAT_COMMAND_R] = "unsupported: command-r",
    [QN_CHAT_GPT_OSS] = "unsupported: gpt-oss",
    [QN_CHAT_UNKNOWN] = "unsupported: a template this version does not recognise",
};

const char *qn_chat_kind_name(qn_chat_kind kind)
{
    size_t n = sizeof names / sizeof names[0];
    return (size_t)kind < n ? names[kind] : names[QN_CHAT_UNKNOWN];
}

static bool contains(qn_gguf_string s, const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at + n <= s.size; at++) {
        const char *p = memchr(s.data + at, text[0], s.size - n - at + 1);
        if (!p) return false;
        at = (size_t)(p - s.data);
        if (memcmp(p, text, n) == 0) return true;
    }
    return false;
}

qn_chat_kind qn_chat_detect(const qn_gguf *gguf, const qn_tokenizer *tokenizer)
{
    qn_gguf_string s;
    if (!qn_gguf_str(qn_gguf_find(gguf, "tokenizer.chat_template"), &s)) return QN_CHAT_NONE;
    return qn_chat_detect_text(s.data, s.size, tokenizer);
}

qn_chat_kind qn_chat_detect_text(const char *text, size_t n_bytes, const qn_tokenizer *tokenizer)
{
    qn_gguf_string s = {text, n_bytes};
    if (n_bytes == 0) return QN_CHAT_NONE;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (!contains(s, marks[i].text) || (marks[i].also && !contains(s, marks[i].also))) continue;
        if (marks[i].kind != QN_CHAT_LLAMA3) return marks[i].kind;
        bool all = tokenizer && qn_tokenizer_find_special(tokenizer, START_HEADER) >= 0 &&
                   qn_tokenizer_find_special(tokenizer, END_HEADER) >= 0 &&
                   qn_tokenizer_find_special(tokenizer, END_OF_TURN) >= 0;
        return all ? QN_CHAT_LLAMA3 : QN_CHAT_LLAMA3_NO_TOKENS;
    }
    return QN_CHAT_UNKNOWN;
}

/* ---- rendering ------------------------------------------------------------------------------- */

/* What Python's str.strip takes away, which is what the template's `trim` does. */
static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* The code point that the text begins with (from_end: ends with), and its length; 0 for bytes that are none. */
static size_t edge(const char *s, size_t n, bool from_end, uint32_t *code)
{
    size_t back = 1;
    if (from_end)
        while (back < n && back < 4 && ((uint8_t)s[n - back] & 0xC0) == 0x80) back++;
    int length = from_end ? qn_utf8_read(s + n - back, back, code) : qn_utf8_read(s, n, code);
    return length <= 0 || (from_end && (size_t)length != back) ? 0 : (size_t)length;
}

static void trim(const char **s, size_t *n)
{
    uint32_t code = 0;
    size_t length;
    while (*n > 0 && (length = edge(*s, *n, false, &code)) > 0 && is_space(code)) {
        *s += length;
        *n -= length;
    }
    while (*n > 0 && (length = edge(*s, *n, true, &code)) > 0 && is_space(code)) *n -= length;
}

typedef struct llama3 {
    const qn_tokenizer *tokenizer;
    int32_t start_header, end_header, end_of_turn;
    qn_token_sink *sink;
} llama3;

static qn_status put_header(const llama3 *l, const char *role)
{
    qn_token_push(l->sink, l->start_header);
    QN_TRY(qn_tokenizer_append(l->tokenizer, role, strlen(role), QN_SPECIAL_NONE, l->sink));
    qn_token_push(l->sink, l->end_header);
    return qn_tokenizer_append(l->tokenizer, "\n\n", 2, QN_SPECIAL_NONE, l->sink);
}

static qn_status put_message(const llama3 *l, const qn_chat_message *message, size_t index)
{
    static const char *const roles[] = {"system", "user", "assistant", "ipython"}; /* ipython: a tool's answer */
    if (!message->role || !message->content)
        return qn_fail(QN_ERR_ARGUMENT, "message %zu has no %s", index, message->role ? "content" : "role");
    size_t known = 0;
    while (known < 4 && strcmp(message->role, roles[known]) != 0) known++;
    if (known == 4)
        return qn_fail(QN_ERR_ARGUMENT, "message %zu has the role '%.40s'; Llama 3 knows system, user and assistant",
                       index, message->role);
    const char *content = message->content;
    size_t n = strlen(content);
    trim(&content, &n);
    QN_TRY(put_header(l, message->role));
    QN_TRY(qn_tokenizer_append(l->tokenizer, content, n, QN_SPECIAL_NONE, l->sink));
    qn_token_push(l->sink, l->end_of_turn);
    return qn_ok();
}

static qn_status render_llama3(const llama3 *l, const qn_chat_message *messages, size_t n_messages,
                               bool add_generation_prompt)
{
    if (l->start_header < 0 || l->end_header < 0 || l->end_of_turn < 0)
        return qn_fail(QN_ERR_UNSUPPORTED, "the vocabulary lacks the special tokens of Llama 3's chat template");
    int32_t bos = qn_tokenizer_find_special(l->tokenizer, "<|begin_of_text|>");
    if (bos < 0) bos = qn_tokenizer_bos(l->tokenizer);
    if (bos >= 0) qn_token_push(l->sink, bos);
    for (size_t i = 0; i < n_messages; i++) QN_TRY(put_message(l, &messages[i], i));
    return add_generation_prompt ? put_header(l, "assistant") : qn_ok();
}

qn_status qn_chat_render(qn_chat_kind kind, const qn_tokenizer *tokenizer, const qn_chat_message *messages,
                         size_t n_messages, bool add_generation_prompt, int32_t *tokens, size_t capacity,
                         size_t *n_tokens)
{
    *n_tokens = 0;
    if (kind == QN_CHAT_NONE)
        return qn_fail(QN_ERR_UNSUPPORTED, "the model has no chat template: it continues text and does not chat");
    if (kind != QN_CHAT_LLAMA3 || !tokenizer) {
        const char *name = strchr(qn_chat_kind_name(kind), ':');
        return qn_fail(QN_ERR_UNSUPPORTED, "the model's chat template is not supported (%s); this version knows llama3",
                       name ? name + 2 : "no tokenizer");
    }
    qn_token_sink sink = {tokens, capacity, 0};
    llama3 l = {
        .tokenizer = tokenizer,
        .start_header = qn_tokenizer_find_special(tokenizer, START_HEADER),
        .end_header = qn_tokenizer_find_special(tokenizer, END_HEADER),
        .end_of_turn = qn_tokenizer_find_special(tokenizer, END_OF_TURN),
        .sink = &sink,
    };
    qn_status s = render_llama3(&l, messages, n_messages, add_generation_prompt);
    *n_tokens = sink.n;
    if (s.code == QN_OK && sink.n > capacity)
        return qn_fail(QN_ERR_ARGUMENT, "the conversation is %zu tokens, but there is room for %zu", sink.n, capacity);
    return s;
}
