/* make_model_seeds.c - writes the seed corpus of fuzz/fuzz_model.c: make_model_seeds fuzz/corpus/model */
#include <stdio.h>
#include <stdlib.h>

#include "format/quant.h"
#include "support/random_model.h"

static void save(const qn_random_model *m, const char *dir, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    const char *wrong = qn_random_model_check(m);
    FILE *f = wrong ? NULL : fopen(path, "wb");
    if (!f || !qn_random_model_write(m, f) || fclose(f) != 0) {
        fprintf(stderr, "%s: %s\n", path, wrong ? wrong : "cannot write");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_model_seeds OUT_DIR\n");
        return 2;
    }
    qn_random_model m = qn_random_model_tiny();
    m.n_layers = 1;
    m.n_embd = m.n_ff = 8;
    m.n_heads = 2;
    m.n_kv_heads = 1;
    m.head_dim = 4;
    m.n_vocab = 9;
    m.type = m.embd_type = QN_GGML_F32;
    m.tokenizer = QN_RANDOM_TOKENIZER_NONE;
    save(&m, argv[1], "f32");
    m.untied = true;
    m.rope_freqs = true;
    m.type = QN_GGML_F16;
    m.n_layers = 2;
    save(&m, argv[1], "f16_untied_rope_freqs");
    m.rope_freqs = false;
    m.n_layers = 1;
    m.n_embd = m.n_ff = 32;
    m.head_dim = 16;
    m.type = QN_GGML_Q4_0;
    m.embd_type = QN_GGML_Q8_0;
    save(&m, argv[1], "q4_0");
    m.type = m.embd_type = QN_GGML_BF16;
    m.tokenizer = QN_RANDOM_TOKENIZER_BYTES;
    m.n_embd = m.n_ff = 8;
    m.head_dim = 4;
    m.n_vocab = 300;
    save(&m, argv[1], "bf16_bytes");
    return 0;
}
