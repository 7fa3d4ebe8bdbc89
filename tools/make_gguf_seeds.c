/* make_gguf_seeds.c - writes the seed corpus of fuzz/fuzz_gguf.c: make_gguf_seeds fuzz/corpus/gguf */
#include <stdio.h>
#include <stdlib.h>

#include "format/quant.h"
#include "support/gguf_builder.h"

static void save(qn_builder *b, const char *dir, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || !qn_builder_write(b, f) || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    qn_builder_free(b);
}

/* Bytes 1, 8, 15, ...: scales that are finite, and no two codes alike. */
static void fill(void *user, void *out, size_t n)
{
    (void)user;
    for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = (uint8_t)(1 + 7 * i);
}

static qn_builder *metadata(uint32_t version)
{
    static const char *const tokens[] = {"a", "b", "\xC4\xA0", "ab", "<|end_of_text|>"};
    static const char *const merges[] = {"a b"};
    static const int32_t types[] = {1, 1, 1, 1, 3};
    static const float scores[] = {0.0f, -1.0f, -2.0f, -3.0f, -4.0f};
    qn_builder *b = qn_builder_new(version);
    qn_builder_str(b, "general.architecture", "llama");
    qn_builder_alignment(b, 16);
    qn_builder_u32(b, "llama.block_count", 1);
    qn_builder_f32(b, "llama.rope.freq_base", 10000.0f);
    qn_builder_str(b, "tokenizer.ggml.model", "gpt2");
    qn_builder_str(b, "tokenizer.ggml.pre", "llama-bpe");
    qn_builder_strs(b, "tokenizer.ggml.tokens", tokens, 5);
    qn_builder_i32s(b, "tokenizer.ggml.token_type", types, 5);
    qn_builder_f32s(b, "tokenizer.ggml.scores", scores, 5);
    qn_builder_strs(b, "tokenizer.ggml.merges", merges, 1);
    qn_builder_u32(b, "tokenizer.ggml.eos_token_id", 4);
    qn_builder_bool(b, "tokenizer.ggml.add_bos_token", false);
    return b;
}

/* A value of every type. */
static qn_builder *values(void)
{
    static const uint8_t one[8] = {1};
    static const struct {
        const char *key;
        uint32_t type;
        size_t bytes;
    } scalars[] = {
        {"u8", 0, 1},  {"i8", 1, 1},   {"u16", 2, 2},  {"i16", 3, 2},  {"u32", 4, 4},  {"i32", 5, 4},
        {"f32", 6, 4}, {"bool", 7, 1}, {"u64", 10, 8}, {"i64", 11, 8}, {"f64", 12, 8},
    };
    qn_builder *b = qn_builder_new(3);
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        uint8_t array[20] = {(uint8_t)scalars[i].type, 0, 0, 0, 1};
        array[12] = 1;
        char key[16];
        qn_builder_raw(b, scalars[i].key, scalars[i].type, one, scalars[i].bytes);
        snprintf(key, sizeof key, "%ss", scalars[i].key);
        qn_builder_raw(b, key, 9, array, 12 + scalars[i].bytes);
    }
    return b;
}

static void add_tensor(qn_builder *b, const char *name, uint32_t type, uint64_t k, uint64_t n)
{
    const qn_quant_type *t = qn_quant_find(type);
    uint64_t dims[2] = {k, n}, size = 0;
    qn_quant_bytes(t, k * n, &size);
    qn_builder_tensor(b, name, type, n == 1 ? 1 : 2, dims, size, t->block_bytes, fill, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_gguf_seeds OUT_DIR\n");
        return 2;
    }
    static const struct {
        const char *name;
        uint32_t type;
        uint64_t k, n;
    } tensors[] = {
        {"f32", QN_GGML_F32, 5, 3},     {"f16", QN_GGML_F16, 33, 2},   {"bf16", QN_GGML_BF16, 7, 2},
        {"q4_0", QN_GGML_Q4_0, 64, 3},  {"q8_0", QN_GGML_Q8_0, 32, 2}, {"q4_k", QN_GGML_Q4_K, 256, 2},
        {"q6_k", QN_GGML_Q6_K, 256, 1},
    };
    for (uint32_t version = 2; version <= 3; version++) {
        qn_builder *b = metadata(version);
        add_tensor(b, "token_embd.weight", QN_GGML_Q4_0, 32, 5);
        add_tensor(b, "output_norm.weight", QN_GGML_F32, 32, 1);
        save(b, argv[1], version == 2 ? "model_v2" : "model_v3");
    }
    save(values(), argv[1], "values");
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        qn_builder *b = qn_builder_new(3);
        add_tensor(b, "t", tensors[i].type, tensors[i].k, tensors[i].n);
        save(b, argv[1], tensors[i].name);
    }
    return 0;
}
