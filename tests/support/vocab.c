#include "support/vocab.h"

#include <stdlib.h>
#include <string.h>

const char *const qn_test_vocab_merges[4] = {"t h", "th e", "\xC4\xA0 the", "\xC4\x8A \xC4\x8A"};

static const char *const extra[V_N - 256] = {"th",
                                             "the",
                                             "\xC4\xA0the",
                                             "\xC4\x8A\xC4\x8A",
                                             "user",
                                             "<|begin_of_text|>",
                                             "<|end_of_text|>",
                                             "<|start_header_id|>",
                                             "<|end_header_id|>",
                                             "<|eot_id|>",
                                             "<|eom_id|>",
                                             "<tool>",
                                             "<tool>s"};

/* GPT-2's character for a byte, in UTF-8. */
static void spell(int byte, char out[3])
{
    int code = byte, next = 256;
    for (int b = 0; b <= byte; b++) {
        bool own = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        code = own ? b : next++;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        out[2] = '\0';
    }
}

const char *const *qn_test_vocab_tokens(void)
{
    static char bytes[256][3];
    static const char *tokens[V_N];
    for (int i = 0; i < 256; i++) {
        spell(i, bytes[i]);
        tokens[i] = bytes[i];
    }
    for (int i = 256; i < V_N; i++) tokens[i] = extra[i - 256];
    return tokens;
}

const int32_t *qn_test_vocab_types(void)
{
    static int32_t types[V_N];
    for (int i = 0; i < V_N; i++) types[i] = i < V_BEGIN ? 1 : i < V_TOOL ? 3 : 4;
    return types;
}

static bool wanted(const char *key, const char *without)
{
    return !without || !strstr(without, key);
}

qn_builder *qn_test_vocab(const char *without)
{
    qn_builder *b = qn_builder_new(3);
    if (wanted("tokenizer.ggml.model", without)) qn_builder_str(b, "tokenizer.ggml.model", "gpt2");
    if (wanted("tokenizer.ggml.pre", without)) qn_builder_str(b, "tokenizer.ggml.pre", "llama-bpe");
    if (wanted("tokenizer.ggml.tokens", without))
        qn_builder_strs(b, "tokenizer.ggml.tokens", qn_test_vocab_tokens(), V_N);
    if (wanted("tokenizer.ggml.token_type", without))
        qn_builder_i32s(b, "tokenizer.ggml.token_type", qn_test_vocab_types(), V_N);
    if (wanted("tokenizer.ggml.merges", without)) qn_builder_strs(b, "tokenizer.ggml.merges", qn_test_vocab_merges, 4);
    if (wanted("tokenizer.ggml.bos_token_id", without)) qn_builder_u32(b, "tokenizer.ggml.bos_token_id", V_BEGIN);
    if (wanted("tokenizer.ggml.eos_token_id", without)) qn_builder_u32(b, "tokenizer.ggml.eos_token_id", V_END);
    return b;
}

static const void *read_bytes(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    (void)size;
    *pending = false;
    *status = qn_ok();
    return (const uint8_t *)user + offset;
}

qn_test_gguf qn_test_gguf_open(qn_builder *b)
{
    qn_test_gguf g = {0};
    size_t size;
    g.bytes = qn_builder_bytes(b, &size);
    qn_builder_free(b);
    qn_source source = {.user = g.bytes, .size = size, .read = read_bytes};
    qn_status s = qn_gguf_open(NULL, &source, &g.gguf);
    if (s.code != QN_OK) {
        fprintf(stderr, "vocab: %s\n", s.text);
        exit(2);
    }
    return g;
}

void qn_test_gguf_close(qn_test_gguf *g)
{
    qn_gguf_close(g->gguf);
    free(g->bytes);
    *g = (qn_test_gguf){0};
}

qn_status qn_test_open(qn_builder *b, const qn_allocator *a, qn_tokenizer **tokenizer)
{
    qn_test_gguf g = qn_test_gguf_open(b);
    qn_status s = qn_tokenizer_from_gguf(a, g.gguf, tokenizer);
    qn_test_gguf_close(&g);
    return s;
}
