/* make_tokenizer_seeds.c - writes the seed corpus of fuzz/fuzz_tokenizer.c: make_tokenizer_seeds fuzz/corpus/tokenizer
 *
 * Each file is a GGUF header with a vocabulary, and behind it the text that the target encodes. */
#include <stdlib.h>
#include <string.h>

#include "support/vocab.h"

static void save(qn_builder *b, const char *text, const char *dir, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || !qn_builder_write(b, f) || fputs(text, f) == EOF || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    qn_builder_free(b);
}

/* A few letters instead of all bytes: small files mutate faster. */
static qn_builder *letters(bool special)
{
    static const char *const tokens[] = {"a",
                                         "b",
                                         "c",
                                         "ab",
                                         "aa",
                                         "aab",
                                         "ba",
                                         "\xC4\xA0",
                                         ("\xC4\xA0"
                                          "ab"),
                                         "<|eot_id|>",
                                         "<x>"};
    static const char *const merges[] = {"a b", "a a", "aa b", "b a", "\xC4\xA0 ab"};
    static const int32_t types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4};
    qn_builder *b = qn_builder_new(3);
    qn_builder_str(b, "tokenizer.ggml.model", "gpt2");
    qn_builder_str(b, "tokenizer.ggml.pre", "llama-bpe");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, 11);
    if (special) qn_builder_i32s(b, "tokenizer.ggml.token_type", types, 11);
    qn_builder_strs(b, "tokenizer.ggml.merges", merges, 5);
    if (special) qn_builder_u32(b, "tokenizer.ggml.eos_token_id", 9);
    return b;
}

/* Enough of a's and b's that the target's text, the last bytes of the file, holds nothing else. */
static void letters_text(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) text[i] = "ab aab  ba"[i * i % 10];
    text[n] = '\0';
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_tokenizer_seeds OUT_DIR\n");
        return 2;
    }
    char text[420];
    letters_text(text, 410);
    save(letters(false), text, argv[1], "letters");
    save(letters(true), text, argv[1], "letters_special");
    memset(text, 'a', 410);
    save(letters(true), text, argv[1], "letters_long");
    save(qn_test_vocab(NULL), "the user's the\n\n 123 <|eot_id|><tool>s \xF0\x9F\x98\x80\xFF\xE4\xBD", argv[1],
         "bytes");
    qn_builder *b = qn_test_vocab(NULL);
    qn_builder_bool(b, "tokenizer.ggml.add_bos_token", true);
    qn_builder_u32(b, "tokenizer.ggml.eot_token_id", V_EOT);
    qn_builder_u32(b, "tokenizer.ggml.eom_token_id", V_EOM);
    qn_builder_str(b, "tokenizer.chat_template", "<|start_header_id|>user<|end_header_id|>\n\n{{ m }}<|eot_id|>");
    save(b, " \xE3\x80\x80 <|start_header_id|>the\xC2\xA0 ", argv[1], "chat");
    return 0;
}
