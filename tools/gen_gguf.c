/* gen_gguf - writes a llama model with random weights as a GGUF file, for benchmarks and tests.
 *
 * Without the build system:
 *   cc -O2 -Iinclude -Isrc -Itests tools/gen_gguf.c tests/support/gguf_builder.c tests/support/random_model.c \
 *      src/format/quant.c src/format/pack.c -lm -o gen_gguf */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/quant.h"
#include "support/random_model.h"

static const char usage[] =
    "usage: gen_gguf [options] -o OUT.gguf\n"
    "\n"
    "  --shape NAME        llama-3.2-1b, tiny (the default), or custom (tiny, to be changed by the sizes below)\n"
    "  --embd N --layers N --heads N --kv-heads N --head-dim N --ff N --vocab N --ctx N\n"
    "                      sizes, on top of any shape\n"
    "  --type TYPE         of the matrices: q4_0 (the default), q8_0, q4_k, q6_k, f32, f16, bf16\n"
    "  --embd-type TYPE    of the token embedding and the output matrix; by default as --type\n"
    "  --more-bits         attn_v and ffn_down of every second layer in q6_k, as Q4_K_M has it\n"
    "  --tied, --untied    without (the default) or with a separate output matrix\n"
    "  --rope-freqs, --no-rope-freqs\n"
    "                      Llama 3.2's frequency factors; on for llama-3.2-1b\n"
    "  --rope-base X       base of the RoPE frequencies\n"
    "  --tokenizer KIND    llama3 (the default), bytes, spm or none\n"
    "  --seed N            the same options and seed give the same file\n";

typedef struct options {
    qn_random_model model;
    bool embd_type_given;
    const char *out;
} options;

static bool parse_type(const char *text, uint32_t *type)
{
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {
        {"f32", QN_GGML_F32},   {"f16", QN_GGML_F16},   {"bf16", QN_GGML_BF16}, {"q4_0", QN_GGML_Q4_0},
        {"q8_0", QN_GGML_Q8_0}, {"q4_k", QN_GGML_Q4_K}, {"q6_k", QN_GGML_Q6_K},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(text, types[i].name) == 0) {
            *type = types[i].type;
            return true;
        }
    return false;
}

static bool parse_tokenizer(const char *text, qn_random_tokenizer *out)
{
    static const char *const names[] = {"none", "bytes", "llama3", "spm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (qn_random_tokenizer)i;
            return true;
        }
    return false;
}

/* --shape replaces the sizes, so it is looked for first. */
static bool parse_shape(int argc, char **argv, qn_random_model *m)
{
    *m = qn_random_model_tiny();
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--shape") != 0) continue;
        if (strcmp(argv[i + 1], "llama-3.2-1b") == 0)
            *m = qn_random_model_llama_3_2_1b();
        else if (strcmp(argv[i + 1], "tiny") != 0 && strcmp(argv[i + 1], "custom") != 0)
            return false;
    }
    return true;
}

static bool parse_size(const char *name, const char *value, options *o, bool *known)
{
    const struct {
        const char *name;
        uint32_t *size;
    } sizes[] = {
        {"--embd", &o->model.n_embd},         {"--layers", &o->model.n_layers},   {"--heads", &o->model.n_heads},
        {"--kv-heads", &o->model.n_kv_heads}, {"--head-dim", &o->model.head_dim}, {"--ff", &o->model.n_ff},
        {"--vocab", &o->model.n_vocab},       {"--ctx", &o->model.n_ctx},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(name, sizes[i].name) != 0) continue;
        *known = true;
        char *end;
        errno = 0;
        unsigned long long n = strtoull(value, &end, 10);
        *sizes[i].size = (uint32_t)n;
        return end != value && *end == '\0' && errno == 0 && n <= UINT32_MAX && value[0] != '-';
    }
    return true;
}

/* An option with a value. */
static bool parse_value(const char *name, const char *value, options *o)
{
    char *end = NULL;
    bool known = false;
    if (!parse_size(name, value, o, &known)) return false;
    if (known || strcmp(name, "--shape") == 0) return true;
    if (strcmp(name, "--type") == 0) return parse_type(value, &o->model.type);
    if (strcmp(name, "--embd-type") == 0) {
        o->embd_type_given = true;
        return parse_type(value, &o->model.embd_type);
    }
    if (strcmp(name, "--tokenizer") == 0) return parse_tokenizer(value, &o->model.tokenizer);
    if (strcmp(name, "--seed") == 0) {
        o->model.seed = strtoull(value, &end, 10);
        return end != value && *end == '\0';
    }
    if (strcmp(name, "--rope-base") == 0) {
        o->model.rope_base = strtof(value, &end);
        return end != value && *end == '\0' && o->model.rope_base > 1;
    }
    if (strcmp(name, "-o") != 0) return false;
    o->out = value;
    return true;
}

static bool parse_options(int argc, char **argv, options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--tied") == 0)
            o->model.untied = false;
        else if (strcmp(name, "--untied") == 0)
            o->model.untied = true;
        else if (strcmp(name, "--more-bits") == 0)
            o->model.more_bits = true;
        else if (strcmp(name, "--rope-freqs") == 0)
            o->model.rope_freqs = true;
        else if (strcmp(name, "--no-rope-freqs") == 0)
            o->model.rope_freqs = false;
        else if (i + 1 >= argc || !parse_value(name, argv[i + 1], o)) {
            fprintf(stderr, "gen_gguf: cannot use %s %s (see --help)\n", name, i + 1 < argc ? argv[i + 1] : "");
            return false;
        } else {
            i++;
        }
    }
    if (!o->embd_type_given) o->model.embd_type = o->model.type;
    if (!o->out) fprintf(stderr, "gen_gguf: name the output file with -o (see --help)\n");
    return o->out != NULL;
}

int main(int argc, char **argv)
{
    options o = {0};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse_shape(argc, argv, &o.model)) {
        fprintf(stderr, "gen_gguf: unknown shape (see --help)\n");
        return 2;
    }
    if (!parse_options(argc, argv, &o)) return 2;
    const char *wrong = qn_random_model_check(&o.model);
    if (wrong) {
        fprintf(stderr, "gen_gguf: %s\n", wrong);
        return 2;
    }
    FILE *f = fopen(o.out, "wb");
    bool ok = f && qn_random_model_write(&o.model, f);
    if (f && fclose(f) != 0) ok = false;
    if (!ok) {
        fprintf(stderr, "gen_gguf: %s: %s\n", o.out, strerror(errno));
        return 1;
    }
    return 0;
}
