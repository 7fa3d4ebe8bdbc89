/* random_model.h - GGUF files of llama architecture with random weights, named and described as llama.cpp writes
 * them. Weights have a spread of 1 / sqrt(K), so activations stay near 1. Same description, same bytes. */
#ifndef QN_TESTS_RANDOM_MODEL_H
#define QN_TESTS_RANDOM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum qn_random_tokenizer {
    QN_RANDOM_TOKENIZER_NONE = 0, /* tokenizer.ggml.model = "none"                                          */
    QN_RANDOM_TOKENIZER_BYTES,    /* byte-level BPE without merges: 256 bytes, filler, bos, eos             */
    QN_RANDOM_TOKENIZER_LLAMA3,   /* byte-level BPE with some merges, Llama 3's special tokens and template */
    QN_RANDOM_TOKENIZER_SPM,      /* SentencePiece as in Llama 2                                            */
} qn_random_tokenizer;

typedef struct qn_random_model {
    uint32_t n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_ctx;
    float rope_base, rms_eps;
    uint32_t type;      /* ggml type of the matrices                         */
    uint32_t embd_type; /* of the token embedding and the output matrix      */
    bool more_bits;     /* attn_v and ffn_down of every second layer in Q6_K, as Q4_K_M has it */
    bool untied;        /* a separate output.weight                          */
    bool rope_freqs;    /* rope_freqs.weight by Llama 3.2's scaling          */
    qn_random_tokenizer tokenizer;
    uint64_t seed;
} qn_random_model;

/* A small model that every type can describe: 2 layers, 256 wide, 4 heads of 64, 2 kv heads, 512 tokens. */
qn_random_model qn_random_model_tiny(void);
/* Llama 3.2 1B: tied Q4_0, RoPE frequency factors, Llama 3's tokenizer layout. */
qn_random_model qn_random_model_llama_3_2_1b(void);

/* NULL when the description can be written, else what is wrong with it. */
const char *qn_random_model_check(const qn_random_model *m);

/* The file in malloc'ed memory, or written to a stream (false when writing fails). The description must be valid. */
uint8_t *qn_random_model_bytes(const qn_random_model *m, size_t *size);
bool qn_random_model_write(const qn_random_model *m, FILE *f);

#endif
