#include "support/random_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "format/quant.h"
#include "support/gguf_builder.h"

qn_random_model qn_random_model_tiny(void)
{
    return (qn_random_model){
        .n_embd = 256,
        .n_layers = 2,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_dim = 64,
        .n_ff = 512,
        .n_vocab = 512,
        .n_ctx = 512,
        .rope_base = 10000.0f,
        .rms_eps = 1e-5f,
        .type = QN_GGML_Q4_0,
        .embd_type = QN_GGML_Q4_0,
        .tokenizer = QN_RANDOM_TOKENIZER_LLAMA3,
    };
}

qn_random_model qn_random_model_llama_3_2_1b(void)
{
    return (qn_random_model){
        .n_embd = 2048,
        .n_layers = 16,
        .n_heads = 32,
        .n_kv_heads = 8,
        .head_dim = 64,
        .n_ff = 8192,
        .n_vocab = 128256,
        .n_ctx = 131072,
        .rope_base = 500000.0f,
        .rms_eps = 1e-5f,
        .type = QN_GGML_Q4_0,
        .embd_type = QN_GGML_Q4_0,
        .rope_freqs = true,
        .tokenizer = QN_RANDOM_TOKENIZER_LLAMA3,
    };
}

/* ---- random weights ------------------------------------------------------------------------------------ */

typedef enum weight_kind { MATRIX, NORM, ROPE_FACTORS } weight_kind;

typedef struct weights {
    weight_kind kind;
    uint32_t type;
    float spread; /* standard deviation */
    uint64_t rng;
    uint32_t at; /* ROPE_FACTORS: next element */
    uint32_t head_dim;
    float rope_base;
} weights;

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Uniform in [-1, 1). */
static float signed_unit(uint64_t bits)
{
    return (float)(int32_t)(bits >> 32) * 0x1p-31f;
}

static void put_half(uint8_t *p, float value)
{
    uint16_t h = qn_float_to_half(value);
    memcpy(p, &h, sizeof h);
}

static void put_random(uint64_t *rng, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t bits = next(rng);
        memcpy(p + i, &bits, n - i < 8 ? n - i : 8);
    }
}

/* A scale around `scale` with a random sign, so that the lowest code (which has no positive twin) does not shift the
 * mean. */
static float random_scale(uint64_t *rng, float scale)
{
    uint64_t bits = next(rng);
    float s = scale * (1.0f + 0.25f * signed_unit(bits));
    return bits & 1 ? -s : s;
}

/* Uniform codes -8..7 have a root mean square of 4.637. */
static void fill_q4_0(weights *w, uint8_t *p)
{
    put_half(p, random_scale(&w->rng, w->spread / 4.637f));
    put_random(&w->rng, p + 2, 16);
}

/* -128..127: 73.9 */
static void fill_q8_0(weights *w, uint8_t *p)
{
    put_half(p, random_scale(&w->rng, w->spread / 73.9f));
    put_random(&w->rng, p + 2, 32);
}

/* scale * code - min with equal 6-bit scales and minimums of 32..63 and dmin = 7.5 d: the mean is zero, and codes
 * around 7.5 have a root mean square of 4.61. */
static void fill_q4_k(weights *w, uint8_t *p)
{
    float d = w->spread / (4.61f * 48.0f);
    put_half(p, d);
    put_half(p + 2, 7.5f * d);
    uint64_t bits = next(&w->rng);
    uint8_t s[8];
    for (uint32_t j = 0; j < 8; j++) s[j] = (uint8_t)(32 + (bits >> 5 * j & 31));
    for (uint32_t j = 0; j < 4; j++) {
        p[4 + j] = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
        p[8 + j] = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
        p[12 + j] = (uint8_t)((s[j + 4] & 15) | (s[j + 4] & 15) << 4);
    }
    put_random(&w->rng, p + 16, 128);
}

/* Codes -32..31 have a root mean square of 18.5; scales of 64..127 and either sign one of 97. */
static void fill_q6_k(weights *w, uint8_t *p)
{
    put_random(&w->rng, p, 208);
    for (size_t i = 192; i < 208; i++) {
        uint8_t magnitude = (uint8_t)(64 | (p[i] & 63));
        p[i] = p[i] & 64 ? (uint8_t)(256 - magnitude) : magnitude;
    }
    put_half(p + 208, w->spread / (18.5f * 97.0f));
}

/* The factor that divides the frequency of pair i: 1 for short wavelengths, 32 for long ones, blended between
 * (Llama 3.2: factor 32, low 1, high 4, original context 8192). */
static float rope_factor(const weights *w, uint32_t i)
{
    const double factor = 32, low = 1, high = 4, context = 8192;
    double wavelength = 2 * 3.14159265358979323846 * pow((double)w->rope_base, 2.0 * i / w->head_dim);
    if (wavelength < context / high) return 1.0f;
    if (wavelength > context / low) return (float)factor;
    double smooth = (context / wavelength - low) / (high - low);
    return (float)(1 / ((1 - smooth) / factor + smooth));
}

static float next_value(weights *w)
{
    switch (w->kind) {
    case NORM:
        return 1.0f + 0.1f * signed_unit(next(&w->rng));
    case ROPE_FACTORS:
        return rope_factor(w, w->at++);
    case MATRIX:
        break;
    }
    return 1.7320508f * w->spread * signed_unit(next(&w->rng)); /* uniform of the same spread */
}

static void fill_element(weights *w, uint8_t *p)
{
    float v = next_value(w);
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (w->type == QN_GGML_F32) {
        memcpy(p, &bits, 4);
    } else if (w->type == QN_GGML_F16) {
        put_half(p, v);
    } else {
        uint16_t upper = (uint16_t)(bits >> 16);
        memcpy(p, &upper, 2);
    }
}

static void fill_weights(void *user, void *out, size_t n)
{
    weights *w = user;
    const qn_quant_type *type = qn_quant_find(w->type);
    uint8_t *p = out;
    for (uint8_t *end = p + n; p < end; p += type->block_bytes) {
        switch (w->type) {
        case QN_GGML_Q4_0:
            fill_q4_0(w, p);
            break;
        case QN_GGML_Q8_0:
            fill_q8_0(w, p);
            break;
        case QN_GGML_Q4_K:
            fill_q4_k(w, p);
            break;
        case QN_GGML_Q6_K:
            fill_q6_k(w, p);
            break;
        default:
            fill_element(w, p);
            break;
        }
    }
}

/* ---- lists of strings ------------------------------------------------------------------------------------- */

typedef struct list {
    char **items;
    size_t n, capacity;
} list;

static void add(list *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(list *l, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->n == l->capacity) {
        l->capacity = 2 * l->capacity + 64;
        l->items = realloc(l->items, l->capacity * sizeof *l->items);
        if (!l->items) exit(2);
    }
    char *copy = malloc(strlen(text) + 1);
    if (!copy) exit(2);
    l->items[l->n++] = strcpy(copy, text);
}

static void free_list(list *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->items[i]);
    free(l->items);
}

/* ---- tokenizers --------------------------------------------------------------------------------------------- */

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 }; /* tokenizer.ggml.token_type */

/* Merges of a byte-level vocabulary: _ stands for a space and ~ for a newline, in their spelling inside it. Both
 * sides of a merge are bytes or the result of an earlier one, and no two have the same result. */
static const char *const merges[] = {
    "_ _",     "__ __",   "~ ~",        "_ t",   "h e",   "i n",   "e r",    "_ a",     "o n",   "r e",
    "_t he",   "a n",     "_ s",        "_ w",   "a t",   "e n",   "o r",    "_ b",     "n d",   "_ c",
    "_ h",     "o u",     "i s",        "i t",   "_ o",   "e s",   "_ f",    "_ m",     "in g",  "_a nd",
    "_ p",     "e d",     "_o f",       "_ d",   "_t o",  "_ l",   "a r",    "a l",     "_ n",   "_ i",
    "_i n",    "a s",     "_w as",      "_h e",  "_s he", "_i t",  "l l",    "l e",     "l y",   "_ y",
    "_y ou",   "_ g",     "_ re",       "i c",   "v e",   "r o",   "s t",    "_t h",    "at h",  "_th at",
    "g h",     "gh t",    "u s",        "us er", "s y",   "sy st", "e m",    "syst em", "as s",  "is t",
    "an t",    "ass ist", "assist ant", "_ H",   "e l",   "l o",   "H el",   "Hel lo",  "_w or", "l d",
    "_wor ld", "O n",     "c e",        "On ce", "_ u",   "p on",  "_u pon", "i m",     "_t im", "_tim e",
};

static void add_byte_level(char *out, const char *text)
{
    for (; *text; text++) {
        const char *s = *text == '_' ? "\xC4\xA0" : *text == '~' ? "\xC4\x8A" : NULL;
        if (s)
            while (*s) *out++ = *s++;
        else
            *out++ = *text;
    }
    *out = '\0';
}

/* The 256 bytes in GPT-2's order: printable ones stand for themselves, the others for U+0100 and up. */
static void add_bytes(list *tokens)
{
    static const uint32_t printable[][2] = {{33, 126}, {161, 172}, {174, 255}};
    for (size_t i = 0; i < 3; i++)
        for (uint32_t c = printable[i][0]; c <= printable[i][1]; c++) {
            if (c < 128)
                add(tokens, "%c", (int)c);
            else
                add(tokens, "%c%c", (int)(0xC0 | c >> 6), (int)(0x80 | (c & 63)));
        }
    for (uint32_t c = 256; tokens->n < 256; c++) add(tokens, "%c%c", (int)(0xC0 | c >> 6), (int)(0x80 | (c & 63)));
}

/* The merges in order, and their results as tokens, up to `most` tokens in all. */
static void add_merges(list *tokens, list *merged, size_t most)
{
    for (size_t i = 0; i < sizeof merges / sizeof merges[0] && tokens->n < most; i++) {
        char spelled[64], result[64];
        add_byte_level(spelled, merges[i]);
        add(merged, "%s", spelled);
        size_t n = strcspn(spelled, " ");
        snprintf(result, sizeof result, "%.*s%s", (int)n, spelled, spelled + n + 1);
        add(tokens, "%s", result);
    }
}

/* Special token i counted from <|begin_of_text|>, as Llama 3.1 and 3.2 name them. */
static void add_llama3_special(list *tokens, uint32_t i)
{
    static const char *const names[11] = {
        [0] = "<|begin_of_text|>",   [1] = "<|end_of_text|>",   [4] = "<|finetune_right_pad_id|>",
        [6] = "<|start_header_id|>", [7] = "<|end_header_id|>", [8] = "<|eom_id|>",
        [9] = "<|eot_id|>",          [10] = "<|python_tag|>",
    };
    if (i < 11 && names[i])
        add(tokens, "%s", names[i]);
    else
        add(tokens, "<|reserved_special_token_%u|>", i < 4 ? i - 2 : i == 5 ? 2 : i - 8);
}

static const char llama3_template[] = "{{- bos_token }}\n"
                                      "{%- for message in messages %}\n"
                                      "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
                                      "    {{- message['content'] | trim + '<|eot_id|>' }}\n"
                                      "{%- endfor %}\n"
                                      "{%- if add_generation_prompt %}\n"
                                      "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
                                      "{%- endif %}\n";

/* Writes the token list and types: the last n_control tokens are special. */
static void put_tokens(qn_builder *b, const list *tokens, size_t n_control)
{
    int32_t *types = malloc(tokens->n * sizeof *types);
    if (!types) exit(2);
    for (size_t i = 0; i < tokens->n; i++) types[i] = i < tokens->n - n_control ? TYPE_NORMAL : TYPE_CONTROL;
    qn_builder_strs(b, "tokenizer.ggml.tokens", (const char *const *)tokens->items, tokens->n);
    qn_builder_i32s(b, "tokenizer.ggml.token_type", types, tokens->n);
    free(types);
}

/* Byte-level BPE: bytes, merged tokens, filler (" qn17"), special tokens at the end. */
static void put_byte_level(qn_builder *b, const qn_random_model *m, bool llama3)
{
    list tokens = {0}, merged = {0};
    uint32_t n_special = !llama3 ? 2 : m->n_vocab >= 4096 ? 256 : 16, first = m->n_vocab - n_special;
    add_bytes(&tokens);
    if (llama3) add_merges(&tokens, &merged, first);
    while (tokens.n < first) add(&tokens, "\xC4\xA0qn%zu", tokens.n);
    for (uint32_t i = 0; i < n_special; i++) add_llama3_special(&tokens, i);
    qn_builder_str(b, "tokenizer.ggml.model", "gpt2");
    qn_builder_str(b, "tokenizer.ggml.pre", "llama-bpe");
    put_tokens(b, &tokens, n_special);
    qn_builder_strs(b, "tokenizer.ggml.merges", (const char *const *)merged.items, merged.n);
    qn_builder_u32(b, "tokenizer.ggml.bos_token_id", first);
    qn_builder_u32(b, "tokenizer.ggml.eos_token_id", first + (llama3 ? 9 : 1));
    qn_builder_bool(b, "tokenizer.ggml.add_bos_token", true);
    if (llama3) qn_builder_str(b, "tokenizer.chat_template", llama3_template);
    free_list(&tokens);
    free_list(&merged);
}

/* SentencePiece: <unk> <s> </s>, bytes, pieces with falling scores. */
static void put_spm(qn_builder *b, uint32_t n_vocab)
{
    list tokens = {0};
    int32_t *types = calloc(n_vocab, sizeof *types);
    float *scores = calloc(n_vocab, sizeof *scores);
    if (!types || !scores) exit(2);
    add(&tokens, "<unk>");
    add(&tokens, "<s>");
    add(&tokens, "</s>");
    for (uint32_t i = 0; i < 256; i++) add(&tokens, "<0x%02X>", i);
    while (tokens.n < n_vocab) add(&tokens, "\xE2\x96\x81qn%zu", tokens.n);
    for (uint32_t i = 0; i < n_vocab; i++) {
        types[i] = i == 0 ? TYPE_UNKNOWN : i < 3 ? TYPE_CONTROL : i < 259 ? TYPE_BYTE : TYPE_NORMAL;
        scores[i] = i < 259 ? 0.0f : -(float)(i - 259);
    }
    qn_builder_str(b, "tokenizer.ggml.model", "llama");
    qn_builder_str(b, "tokenizer.ggml.pre", "default");
    qn_builder_strs(b, "tokenizer.ggml.tokens", (const char *const *)tokens.items, tokens.n);
    qn_builder_f32s(b, "tokenizer.ggml.scores", scores, n_vocab);
    qn_builder_i32s(b, "tokenizer.ggml.token_type", types, n_vocab);
    qn_builder_u32(b, "tokenizer.ggml.bos_token_id", 1);
    qn_builder_u32(b, "tokenizer.ggml.eos_token_id", 2);
    qn_builder_u32(b, "tokenizer.ggml.unknown_token_id", 0);
    qn_builder_bool(b, "tokenizer.ggml.add_bos_token", true);
    free_list(&tokens);
    free(types);
    free(scores);
}

static void put_tokenizer(qn_builder *b, const qn_random_model *m)
{
    switch (m->tokenizer) {
    case QN_RANDOM_TOKENIZER_NONE:
        qn_builder_str(b, "tokenizer.ggml.model", "none");
        break;
    case QN_RANDOM_TOKENIZER_BYTES:
        put_byte_level(b, m, false);
        break;
    case QN_RANDOM_TOKENIZER_LLAMA3:
        put_byte_level(b, m, true);
        break;
    case QN_RANDOM_TOKENIZER_SPM:
        put_spm(b, m->n_vocab);
        break;
    }
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

/* llama.cpp's number of the mostly used type (its llama_ftype). */
static uint32_t file_type(uint32_t type)
{
    switch (type) {
    case QN_GGML_F16:
        return 1;
    case QN_GGML_Q4_0:
        return 2;
    case QN_GGML_Q8_0:
        return 7;
    case QN_GGML_Q4_K:
        return 15;
    case QN_GGML_Q6_K:
        return 18;
    case QN_GGML_BF16:
        return 32;
    default:
        return 0;
    }
}

static void put_metadata(qn_builder *b, const qn_random_model *m)
{
    qn_builder_str(b, "general.architecture", "llama");
    qn_builder_str(b, "general.type", "model");
    qn_builder_str(b, "general.name", "random llama");
    qn_builder_alignment(b, 32);
    qn_builder_u32(b, "general.file_type", file_type(m->type));
    qn_builder_u32(b, "general.quantization_version", 2);
    qn_builder_u32(b, "llama.block_count", m->n_layers);
    qn_builder_u32(b, "llama.context_length", m->n_ctx);
    qn_builder_u32(b, "llama.embedding_length", m->n_embd);
    qn_builder_u32(b, "llama.feed_forward_length", m->n_ff);
    qn_builder_u32(b, "llama.attention.head_count", m->n_heads);
    qn_builder_u32(b, "llama.attention.head_count_kv", m->n_kv_heads);
    qn_builder_u32(b, "llama.attention.key_length", m->head_dim);
    qn_builder_u32(b, "llama.attention.value_length", m->head_dim);
    qn_builder_f32(b, "llama.attention.layer_norm_rms_epsilon", m->rms_eps);
    qn_builder_u32(b, "llama.rope.dimension_count", m->head_dim);
    qn_builder_f32(b, "llama.rope.freq_base", m->rope_base);
    qn_builder_u32(b, "llama.vocab_size", m->n_vocab);
    put_tokenizer(b, m);
}

typedef struct writer {
    const qn_random_model *m;
    qn_builder *b;
    weights *weights; /* one per tensor, used while the file is written */
    size_t n;
} writer;

/* [n, k] as dims {k, n}; n = 1 makes a vector. */
static void put_tensor(writer *w, weight_kind kind, uint32_t type, uint64_t k, uint64_t n, const char *name)
{
    const qn_quant_type *t = qn_quant_find(type);
    uint64_t dims[2] = {k, n}, size = 0;
    qn_quant_bytes(t, k * n, &size);
    weights *fill = &w->weights[w->n++];
    *fill = (weights){
        .kind = kind,
        .type = type,
        .spread = 1.0f / sqrtf((float)k),
        .rng = w->m->seed * 0x9E3779B97F4A7C15u + w->n * 0xD1B54A32D192ED03u,
        .head_dim = w->m->head_dim,
        .rope_base = w->m->rope_base,
    };
    qn_builder_tensor(w->b, name, type, kind == MATRIX ? 2 : 1, dims, size, t->block_bytes, fill_weights, fill);
}

static void put_layer(writer *w, uint32_t layer)
{
    enum { V = 3, DOWN = 8 }; /* in the list below */
    const qn_random_model *m = w->m;
    uint64_t d = m->n_embd, q = (uint64_t)m->n_heads * m->head_dim, kv = (uint64_t)m->n_kv_heads * m->head_dim;
    const struct {
        const char *name;
        weight_kind kind;
        uint64_t k, n;
    } tensors[] = {
        {"attn_norm", NORM, d, 1},        {"attn_q", MATRIX, d, q},       {"attn_k", MATRIX, d, kv},
        {"attn_v", MATRIX, d, kv},        {"attn_output", MATRIX, q, d},  {"ffn_norm", NORM, d, 1},
        {"ffn_gate", MATRIX, d, m->n_ff}, {"ffn_up", MATRIX, d, m->n_ff}, {"ffn_down", MATRIX, m->n_ff, d},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, tensors[i].name);
        bool more_bits = m->more_bits && layer % 2 == 0 && (i == V || i == DOWN);
        uint32_t type = more_bits ? QN_GGML_Q6_K : tensors[i].kind == MATRIX ? m->type : QN_GGML_F32;
        put_tensor(w, tensors[i].kind, type, tensors[i].k, tensors[i].n, name);
    }
}

static writer begin(const qn_random_model *m)
{
    writer w = {.m = m, .b = qn_builder_new(3), .weights = calloc((size_t)m->n_layers * 9 + 4, sizeof(weights))};
    if (!w.weights) exit(2);
    put_metadata(w.b, m);
    put_tensor(&w, MATRIX, m->embd_type, m->n_embd, m->n_vocab, "token_embd.weight");
    if (m->rope_freqs) put_tensor(&w, ROPE_FACTORS, QN_GGML_F32, m->head_dim / 2, 1, "rope_freqs.weight");
    for (uint32_t i = 0; i < m->n_layers; i++) put_layer(&w, i);
    put_tensor(&w, NORM, QN_GGML_F32, m->n_embd, 1, "output_norm.weight");
    if (m->untied) put_tensor(&w, MATRIX, m->embd_type, m->n_embd, m->n_vocab, "output.weight");
    return w;
}

static void end(writer *w)
{
    qn_builder_free(w->b);
    free(w->weights);
}

const char *qn_random_model_check(const qn_random_model *m)
{
    static const uint32_t min_vocab[] = {1, 258, 272, 259};
    const qn_quant_type *type = qn_quant_find(m->type), *embd = qn_quant_find(m->embd_type);
    if (!type || !type->supported || !embd || !embd->supported) return "a type that this generator does not write";
    if (!m->n_embd || !m->n_heads || !m->n_kv_heads || !m->head_dim || !m->n_ff || !m->n_ctx) return "a size is zero";
    if (m->n_embd > 1 << 20 || m->n_heads > 1 << 12 || m->n_kv_heads > 1 << 12 || m->head_dim > 1 << 12 ||
        m->n_ff > 1 << 22 || m->n_layers > 1 << 12 || m->n_vocab > 1 << 24)
        return "a size is beyond what makes sense";
    if (m->n_heads % m->n_kv_heads) return "the heads are not a multiple of the kv heads";
    if (m->head_dim % 2) return "the head dimension is odd";
    if (m->n_embd % type->block || m->n_ff % type->block || m->n_heads * m->head_dim % type->block ||
        m->n_embd % embd->block)
        return "embedding, heads x head dimension and feed-forward must be multiples of the type's block";
    if (m->more_bits && (m->n_embd % 256 || m->n_ff % 256))
        return "for Q6_K, embedding and feed-forward must be multiples of 256";
    if (m->n_vocab < min_vocab[m->tokenizer]) return "the vocabulary is too small for this tokenizer";
    return NULL;
}

uint8_t *qn_random_model_bytes(const qn_random_model *m, size_t *size)
{
    writer w = begin(m);
    uint8_t *data = qn_builder_bytes(w.b, size);
    end(&w);
    return data;
}

bool qn_random_model_write(const qn_random_model *m, FILE *f)
{
    writer w = begin(m);
    bool ok = qn_builder_write(w.b, f);
    end(&w);
    return ok;
}
