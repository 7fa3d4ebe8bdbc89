/* Loading: in steps from any source, progress and cancelling, failures that can be tried again, every kind of damage
 * with a message that names the tensor or key, and files without a tokenizer. */
#include "support/model_harness.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/quant.h"
#include "model/model.h"

enum { N_VOCAB = 61, ENGINE_BYTES = 256 /* an empty engine holds */ };

typedef struct fixture {
    qn_engine *engine;
    qn_test_bytes bytes; /* of qn_test_small_model */
    int32_t tokens[12];
    float logits[N_VOCAB]; /* behind the tokens */
} fixture;

static void run(qn_model *model, const int32_t *tokens, size_t n, float *out)
{
    qn_session *s = qn_test_session(model, 0, 0);
    qn_test_feed(s, tokens, n, qn_model_get_info(model)->n_vocab, out);
    qn_session_close(s);
}

static int set_up(void **state)
{
    static fixture f;
    qn_random_model m = qn_test_small_model();
    m.untied = true;
    m.rope_freqs = true;
    f.bytes = qn_test_random_bytes(&m);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &f.engine));
    qn_test_tokens(f.tokens, 12, N_VOCAB, 3);
    qn_model *model;
    qn_assert_ok(qn_test_load_bytes(f.engine, f.bytes, NULL, &model));
    run(model, f.tokens, 12, f.logits);
    qn_model_close(model);
    assert_int_equal(qn_engine_gpu_bytes(f.engine, NULL), ENGINE_BYTES);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), ENGINE_BYTES); /* no test left anything */
    qn_engine_close(f->engine);
    free(f->bytes.data);
    return 0;
}

static void assert_runs(const fixture *f, qn_model *model)
{
    float got[N_VOCAB];
    assert_non_null(model);
    run(model, f->tokens, 12, got);
    assert_memory_equal(got, f->logits, sizeof got);
    qn_model_close(model);
}

/* ---- sources --------------------------------------------------------------------------------- */

static void pending_sources_are_asked_again(void **state)
{
    fixture *f = *state;
    for (unsigned stalls = 0; stalls < 3; stalls++) {
        qn_test_source source = {.bytes = f->bytes, .stalls = stalls};
        qn_model *model;
        qn_assert_ok(qn_test_load_source(f->engine, &source, NULL, &model));
        assert_int_equal(source.n_pending, stalls * source.n_reads);
        assert_runs(f, model);
    }
}

static void a_failed_read_can_be_tried_again(void **state)
{
    fixture *f = *state;
    uint64_t n_reads = UINT64_MAX;
    for (uint64_t at = 1; at <= n_reads; at++) {
        qn_test_source source = {.bytes = f->bytes, .fail_at = at};
        qn_source s = qn_test_source_of(&source);
        qn_loader *loader;
        qn_model *model = NULL;
        size_t n_failed = 0;
        qn_assert_ok(qn_loader_open(f->engine, &s, NULL, &loader));
        while (!model) {
            qn_status status = qn_loader_step(loader, &model, NULL);
            if (status.code == QN_OK) continue;
            qn_assert_fails(status, QN_ERR_IO, "interrupted");
            n_failed++;
        }
        assert_int_equal(n_failed, 1);
        n_reads = source.n_reads - 1;
        qn_loader_close(loader);
        qn_test_source_free(&source);
        assert_runs(f, model);
    }
    assert_true(n_reads > 20);
}

static void the_loader_says_when_it_is_done(void **state)
{
    fixture *f = *state;
    qn_test_source source = {.bytes = f->bytes};
    qn_source s = qn_test_source_of(&source);
    qn_loader *loader;
    qn_model *model = NULL, *second = NULL;
    qn_assert_ok(qn_loader_open(f->engine, &s, NULL, &loader));
    while (!model) qn_assert_ok(qn_loader_step(loader, &model, NULL));
    qn_assert_fails(qn_loader_step(loader, &second, NULL), QN_ERR_STATE, "loaded already");
    assert_null(second);
    assert_runs(f, model); /* while the loader is open, and before it */
    qn_loader_close(loader);
    qn_test_source_free(&source);
}

static void a_loader_closes_at_any_step(void **state)
{
    fixture *f = *state;
    bool finished = false;
    for (size_t n = 0; !finished; n++) {
        qn_test_source source = {.bytes = f->bytes, .stalls = n % 2};
        qn_source s = qn_test_source_of(&source);
        qn_loader *loader;
        qn_model *model = NULL;
        qn_assert_ok(qn_loader_open(f->engine, &s, NULL, &loader));
        for (size_t i = 0; i < n && !model; i++) qn_assert_ok(qn_loader_step(loader, &model, NULL));
        finished = model != NULL;
        qn_loader_close(loader);
        qn_model_close(model);
        qn_test_source_free(&source);
        assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), ENGINE_BYTES);
    }
    qn_loader_close(NULL);
    qn_model_close(NULL);
}

/* ---- progress -------------------------------------------------------------------------------- */

typedef struct progress {
    uint64_t done, total;
    size_t n, cancel_at; /* calls; 0: never */
} progress;

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    progress *p = user;
    assert_true(done > p->done && done <= total);
    if (p->n) assert_int_equal(total, p->total);
    p->done = done;
    p->total = total;
    p->n++;
    return p->n != p->cancel_at;
}

static void progress_rises_to_the_total(void **state)
{
    fixture *f = *state;
    progress p = {0};
    qn_model *model;
    qn_model_options options = {.progress = on_progress, .progress_user = &p};
    qn_assert_ok(qn_test_load_bytes(f->engine, f->bytes, &options, &model));
    assert_int_equal(p.done, p.total);
    assert_true(p.total < f->bytes.size && p.total > f->bytes.size / 2);
    assert_runs(f, model);
    for (size_t at = 1; at <= p.n; at++) {
        progress q = {.cancel_at = at};
        options.progress_user = &q;
        qn_assert_fails(qn_test_load_bytes(f->engine, f->bytes, &options, &model), QN_ERR_STATE, "cancelled");
        assert_null(model);
        assert_int_equal(q.n, at);
        assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), ENGINE_BYTES);
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

static qn_test_bytes copy(qn_test_bytes b, size_t extra)
{
    qn_test_bytes c = {malloc(b.size + extra), b.size};
    assert_non_null(c.data);
    memcpy(c.data, b.data, b.size);
    return c;
}

static void set_u32(qn_test_bytes b, const char *key, uint32_t value)
{
    memcpy(qn_test_behind(b, key) + 4, &value, 4);
}

/* A tensor's entry behind its name: u32 n_dims, u64 dims[n_dims], u32 type, u64 offset. */
static void set_dims(qn_test_bytes b, const char *matrix, uint64_t d0, uint64_t d1)
{
    uint8_t *p = qn_test_behind(b, matrix);
    memcpy(p + 4, &d0, 8);
    memcpy(p + 12, &d1, 8);
}

static void set_type(qn_test_bytes b, const char *tensor, uint32_t type)
{
    uint8_t *p = qn_test_behind(b, tensor);
    memcpy(p + 4 + 8 * p[0], &type, 4);
}

static void rename_last(qn_test_bytes b, const char *text)
{
    qn_test_behind(b, text)[-1] ^= 1;
}

static void set_factor(qn_test_bytes b, size_t i, float value)
{
    qn_test_source source = {.bytes = b};
    qn_source s = qn_test_source_of(&source);
    qn_gguf *gguf;
    qn_assert_ok(qn_gguf_open(NULL, &s, &gguf));
    memcpy(b.data + qn_gguf_find_tensor(gguf, "rope_freqs.weight")->offset + 4 * i, &value, 4);
    qn_gguf_close(gguf);
    qn_test_source_free(&source);
}

/* Puts a value in front of the metadata, and one that fills up to a multiple of the alignment. */
static qn_test_bytes insert_value(qn_test_bytes b, const char *key, uint32_t type, const void *value, uint64_t size)
{
    uint8_t kv[256] = {0};
    uint64_t n_key = strlen(key), n = 8 + n_key + 4 + size, n_kv, pad_key = n_key - 1, pad, at = 0;
    uint64_t pad_size = (32 - (n + 8 + pad_key + 4 + 8) % 32) % 32;
    const uint32_t string = 8;
    struct {
        const void *data;
        uint64_t size;
    } parts[] = {{&n_key, 8},   {key, n_key},       {&type, 4},   {value, size},
                 {&pad_key, 8}, {key + 1, pad_key}, {&string, 4}, {&pad_size, 8}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_true(at + parts[i].size <= sizeof kv);
        memcpy(kv + at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    pad = at + pad_size;
    assert_true(pad % 32 == 0 && pad <= sizeof kv);
    qn_test_bytes c = copy(b, pad);
    memmove(c.data + 24 + pad, c.data + 24, c.size - 24);
    memcpy(c.data + 24, kv, pad);
    c.size += pad;
    memcpy(&n_kv, c.data + 16, 8);
    n_kv += 2;
    memcpy(c.data + 16, &n_kv, 8);
    return c;
}

static qn_test_bytes insert_string(qn_test_bytes b, const char *key, const char *text)
{
    uint8_t value[64];
    uint64_t n = strlen(text);
    memcpy(value, &n, 8);
    memcpy(value + 8, text, n);
    return insert_value(b, key, QN_GGUF_STRING, value, 8 + n);
}

static qn_test_bytes insert_f32(qn_test_bytes b, const char *key, float x)
{
    return insert_value(b, key, QN_GGUF_F32, &x, 4);
}

/* Refused, by the loader and (with the same words) before anything is loaded; takes the bytes. */
static void assert_refused(const fixture *f, qn_test_bytes b, qn_code code, const char *part)
{
    qn_model *model;
    qn_test_source source = {.bytes = b};
    qn_source s = qn_test_source_of(&source);
    qn_loader *loader;
    qn_status first = qn_loader_open(f->engine, &s, NULL, &loader);
    model = NULL;
    while (first.code == QN_OK && !model) first = qn_loader_step(loader, &model, NULL);
    qn_assert_fails(first, code, part);
    if (loader) { /* a failure is final */
        qn_status again = qn_loader_step(loader, &model, NULL);
        assert_null(model);
        assert_int_equal(again.code, first.code);
    }
    qn_loader_close(loader);
    qn_test_source_free(&source);
    assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), ENGINE_BYTES);
    free(b.data);
}

static void damaged_tensors_are_named(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"token_embd.weight",        "output_norm.weight",    "blk.0.attn_norm.weight",
                                        "blk.0.attn_q.weight",      "blk.0.attn_k.weight",   "blk.1.attn_v.weight",
                                        "blk.1.attn_output.weight", "blk.1.ffn_norm.weight", "blk.1.ffn_gate.weight",
                                        "blk.0.ffn_up.weight",      "blk.1.ffn_down.weight"};
    qn_test_bytes b;
    char text[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rename_last(b = copy(f->bytes, 0), names[i]);
        snprintf(text, sizeof text, "tensor %s is missing", names[i]);
        assert_refused(f, b, QN_ERR_FORMAT, text);
    }
    rename_last(b = copy(f->bytes, 0), "output.weight");
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor output.weighu is not part");
    rename_last(b = copy(f->bytes, 0), "rope_freqs.weight");
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor rope_freqs.weighu is not part");
    set_dims(b = copy(f->bytes, 0), "blk.1.ffn_up.weight", 96, 64);
    assert_refused(f, b, QN_ERR_FORMAT, "tensor blk.1.ffn_up.weight has shape [96,64,1,1], expected [64,96]");
    set_dims(b = copy(f->bytes, 0), "blk.0.attn_k.weight", 64, 31);
    assert_refused(f, b, QN_ERR_FORMAT, "tensor blk.0.attn_k.weight has shape [64,31,1,1], expected [64,32]");
    set_dims(b = copy(f->bytes, 0), "token_embd.weight", 32, 122);
    assert_refused(f, b, QN_ERR_FORMAT, "tensor token_embd.weight has shape [32,122,1,1]");
    set_type(b = copy(f->bytes, 0), "blk.1.attn_v.weight", 3);
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor blk.1.attn_v.weight: type Q4_1 is not supported");
    set_type(b = copy(f->bytes, 0), "blk.1.attn_v.weight", 99);
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor blk.1.attn_v.weight: type 99 is not known");
    set_type(b = copy(f->bytes, 0), "output_norm.weight", QN_GGML_Q8_0);
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor output_norm.weight: a vector of type Q8_0");
    set_type(b = copy(f->bytes, 0), "rope_freqs.weight", QN_GGML_F16);
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "tensor rope_freqs.weight: type F16");
    set_u32(b = copy(f->bytes, 0), "rope_freqs.weight", 15);
    assert_refused(f, b, QN_ERR_FORMAT, "tensor rope_freqs.weight has shape [15,1,1,1], expected [16,1]");
}

static void damaged_metadata_is_named(void **state)
{
    fixture *f = *state;
    static const char *const required[] = {"llama.context_length", "llama.embedding_length", "llama.block_count",
                                           "llama.attention.head_count", "llama.feed_forward_length"};
    static const struct {
        const char *key;
        uint32_t value;
        qn_code code;
        const char *part;
    } numbers[] = {
        {"llama.block_count", 1000, QN_ERR_FORMAT, "1000 layers need at least 9002 tensors, the file has 22"},
        {"llama.block_count", 3, QN_ERR_FORMAT, "3 layers need at least 29 tensors"},
        {"llama.block_count", 1, QN_ERR_UNSUPPORTED, "tensor blk.1.attn_norm.weight is not part"},
        {"llama.block_count", UINT32_MAX, QN_ERR_FORMAT, "llama.block_count is 4294967295, not within 1..1024"},
        {"llama.block_count", 0, QN_ERR_FORMAT, "llama.block_count is 0"},
        {"llama.context_length", 0, QN_ERR_FORMAT, "llama.context_length is 0"},
        {"llama.embedding_length", 2097152, QN_ERR_FORMAT, "llama.embedding_length is 2097152"},
        {"llama.embedding_length", 128, QN_ERR_FORMAT, "tensor token_embd.weight has shape"},
        {"llama.feed_forward_length", UINT32_MAX, QN_ERR_FORMAT, "llama.feed_forward_length is"},
        {"llama.attention.head_count_kv", 3, QN_ERR_FORMAT, "not a multiple of 3 key/value heads"},
        {"llama.attention.head_count_kv", 0, QN_ERR_FORMAT, "head_count_kv is 0"},
        {"llama.attention.key_length", 65536, QN_ERR_UNSUPPORTED, "keys of 65536 and values of 32"},
        {"llama.attention.key_length", 30, QN_ERR_UNSUPPORTED, "keys of 30"},
        {"llama.rope.dimension_count", 16, QN_ERR_UNSUPPORTED, "RoPE over 16 of 32"},
    };
    qn_test_bytes b;
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        char text[96];
        b = copy(f->bytes, 0);
        rename_last(b, required[i]);
        snprintf(text, sizeof text, "metadata %s is missing", required[i]);
        assert_refused(f, b, QN_ERR_FORMAT, text);
        const uint32_t f32 = QN_GGUF_F32;
        memcpy(qn_test_behind(b = copy(f->bytes, 0), required[i]), &f32, 4);
        snprintf(text, sizeof text, "metadata %s is not one non-negative integer", required[i]);
        assert_refused(f, b, QN_ERR_UNSUPPORTED, text);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        b = copy(f->bytes, 0);
        set_u32(b, numbers[i].key, numbers[i].value);
        assert_refused(f, b, numbers[i].code, numbers[i].part);
    }
    b = copy(f->bytes, 0); /* 65536 heads of 65536: their product does not fit 32 bits */
    set_u32(b, "llama.attention.head_count", 65536);
    set_u32(b, "llama.attention.key_length", 65536);
    assert_refused(f, b, QN_ERR_FORMAT, "65536 heads of 65536 elements are too many");
    memcpy(qn_test_behind(b = copy(f->bytes, 0), "general.architecture") + 12, "gemma", 5);
    assert_refused(f, b, QN_ERR_UNSUPPORTED, "architecture \"gemma\" is not supported");
    rename_last(b = copy(f->bytes, 0), "general.architecture");
    assert_refused(f, b, QN_ERR_FORMAT, "general.architecture is missing");
    float nan_value = NAN;
    memcpy(qn_test_behind(b = copy(f->bytes, 0), "llama.rope.freq_base") + 4, &nan_value, 4);
    assert_refused(f, b, QN_ERR_FORMAT, "llama.rope.freq_base is not a positive number");
}

static void damaged_data_is_found(void **state)
{
    fixture *f = *state;
    static const float factors[] = {NAN, 0.0f, -1.0f, INFINITY};
    qn_test_bytes b;
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        b = copy(f->bytes, 0);
        set_factor(b, i, factors[i]);
        char text[64];
        snprintf(text, sizeof text, "tensor rope_freqs.weight: element %zu", i);
        assert_refused(f, b, QN_ERR_FORMAT, text);
    }
    for (size_t cut = 1; cut < f->bytes.size; cut *= 3) { /* from the last byte to a part of the header */
        b = copy(f->bytes, 0);
        b.size -= cut;
        assert_refused(f, b, QN_ERR_FORMAT, "");
    }
    b = copy(f->bytes, 0);
    b.size = 0;
    assert_refused(f, b, QN_ERR_FORMAT, "");
}

/* Every byte of the header, changed: refused with words, or loaded; nothing is left behind. */
static void any_header_byte_may_be_wrong(void **state)
{
    fixture *f = *state;
    size_t n_header = (size_t)(qn_test_behind(f->bytes, "output.weight") - f->bytes.data) + 32, n_loaded = 0, n = 0;
    for (size_t i = 0; i < n_header; i += 3, n++) {
        qn_test_bytes b = copy(f->bytes, 0);
        b.data[i] ^= (uint8_t)(1u << i % 8);
        qn_model *model;
        qn_status s = qn_test_load_bytes(f->engine, b, NULL, &model);
        if (s.code == QN_OK)
            n_loaded++;
        else
            assert_true(s.text[0] != '\0' && s.code != QN_ERR_INTERNAL && s.code != QN_ERR_GPU);
        qn_model_close(model);
        free(b.data);
        assert_int_equal(qn_engine_gpu_bytes(f->engine, NULL), ENGINE_BYTES);
    }
    assert_true(n_loaded < n); /* names, alignment filler and numbers that are not used may change */
}

/* ---- RoPE scaling ---------------------------------------------------------------------------- */

/* What every frequency is divided by; takes the bytes. */
static float factor_of(const fixture *f, qn_test_bytes b)
{
    qn_model *model;
    qn_assert_ok(qn_test_load_bytes(f->engine, b, NULL, &model));
    float factor = model->freq_factors ? model->freq_factors[0] : 1.0f;
    for (size_t i = 0; model->freq_factors && i < 16; i++) assert_true(model->freq_factors[i] == factor);
    qn_model_close(model);
    free(b.data);
    return factor;
}

/* A model that says both. */
static qn_test_bytes scaling(qn_test_bytes plain, const char *type, float factor)
{
    qn_test_bytes a = insert_f32(plain, "llama.rope.scaling.factor", factor);
    qn_test_bytes b = insert_string(a, "llama.rope.scaling.type", type);
    free(a.data);
    return b;
}

static void rope_scaling_is_read_as_llama_cpp_does(void **state)
{
    fixture *f = *state;
    qn_random_model m = qn_test_small_model();
    qn_test_bytes plain = qn_test_random_bytes(&m);
    const char *factor = "llama.rope.scaling.factor";
    assert_true(factor_of(f, copy(plain, 0)) == 1.0f);
    assert_true(factor_of(f, insert_f32(plain, factor, 4.0f)) == 4.0f); /* no type: linear */
    assert_true(factor_of(f, insert_f32(plain, "llama.rope.scale_linear", 2.0f)) == 2.0f);
    assert_true(factor_of(f, scaling(plain, "linear", 8.0f)) == 8.0f);
    assert_true(factor_of(f, scaling(plain, "none", 8.0f)) == 1.0f);
    assert_refused(f, scaling(plain, "yarn", 8.0f), QN_ERR_UNSUPPORTED, "RoPE scaling \"yarn\"");
    assert_refused(f, insert_f32(plain, factor, -1.0f), QN_ERR_FORMAT, "llama.rope.scaling.factor");
    assert_refused(f, insert_f32(plain, factor, NAN), QN_ERR_FORMAT, "llama.rope.scaling.factor");
    free(plain.data);
}

/* ---- tokenizers ------------------------------------------------------------------------------ */

static void models_run_without_a_tokenizer(void **state)
{
    fixture *f = *state;
    static const struct {
        qn_random_tokenizer kind;
        bool skip;
        const char *why;
    } cases[] = {
        {QN_RANDOM_TOKENIZER_SPM, false, "llama"},
        {QN_RANDOM_TOKENIZER_NONE, false, "none"},
        {QN_RANDOM_TOKENIZER_LLAMA3, true, "without its tokenizer"},
        {QN_RANDOM_TOKENIZER_LLAMA3, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_random_model m = qn_random_model_tiny();
        m.tokenizer = cases[i].kind;
        qn_test_bytes b = qn_test_random_bytes(&m);
        qn_model *model;
        qn_assert_ok(qn_test_load_bytes(f->engine, b, &(qn_model_options){.no_tokenizer = cases[i].skip}, &model));
        const char *why = "not set";
        const qn_tokenizer *t = qn_model_tokenizer(model, &why);
        assert_int_equal(t != NULL, cases[i].why == NULL);
        assert_int_equal(qn_model_get_info(model)->has_tokenizer, t != NULL);
        assert_ptr_equal(qn_model_tokenizer(model, NULL), t);
        if (t)
            assert_null(why);
        else if (!strstr(why, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
        if (!t) {
            qn_chat_message message = {"user", "hello"};
            int32_t ids[8];
            size_t n;
            qn_assert_fails(qn_chat_encode(model, &message, 1, true, ids, 8, &n), QN_ERR_UNSUPPORTED, why);
        }
        float logits[512];
        run(model, f->tokens, 12, logits);
        assert_true(qn_test_max_diff(logits, logits, 512) == 0); /* finite */
        qn_model_close(model);
        free(b.data);
    }
}

static void info_says_what_the_file_says(void **state)
{
    fixture *f = *state;
    qn_model *model;
    qn_assert_ok(qn_test_load_bytes(f->engine, f->bytes, NULL, &model));
    const qn_model_info *info = qn_model_get_info(model);
    assert_string_equal(info->architecture, "llama");
    assert_string_equal(info->name, "random llama");
    assert_int_equal(info->file_bytes, f->bytes.size);
    uint64_t layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96 + 2 * 64;
    assert_int_equal(info->n_parameters, 2 * layer + 2 * 61 * 64 + 64 + 16);
    assert_int_equal(info->n_vocab, 61);
    assert_int_equal(info->n_ctx_train, 96);
    assert_int_equal(info->n_embd, 64);
    assert_int_equal(info->n_layers, 2);
    assert_int_equal(info->n_heads, 2);
    assert_int_equal(info->n_kv_heads, 1);
    assert_int_equal(info->head_dim, 32);
    assert_int_equal(info->n_ff, 96);
    assert_true(info->rope_freq_base == 10000.0f && info->rms_eps == 1e-5f);
    assert_false(info->tied_output);
    assert_int_equal(info->kv_bytes_per_token, 2 * 2 * 32 * 4);
    assert_int_equal(info->weight_gpu_bytes + ENGINE_BYTES, qn_engine_gpu_bytes(f->engine, NULL));
    qn_model_close(model);
}

/* ---- running out, losing the device ---------------------------------------------------------- */

static void host_memory_may_run_out_anywhere(void **state)
{
    fixture *f = *state;
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    a.for_good = true;
    qn_engine *engine;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true, .allocator = &a.allocator}, &engine));
    qn_model *model;
    qn_session *session = NULL;
    bool done = false;
    size_t n_failed = 0;
    for (uint64_t at = 1; !done; at += 1 + at / 12) {
        a.calls = 0;
        a.fail_at = at;
        qn_status s = qn_test_load_bytes(engine, f->bytes, NULL, &model);
        if (s.code == QN_OK) s = qn_session_open(model, NULL, &session);
        done = s.code == QN_OK;
        if (!done) {
            assert_int_equal(s.code, QN_ERR_MEMORY);
            assert_null(session);
            n_failed++;
        }
        a.fail_at = 0;
        qn_session_close(session);
        qn_model_close(model);
        assert_int_equal(qn_engine_gpu_bytes(engine, NULL), ENGINE_BYTES);
    }
    assert_true(n_failed > 20);
    qn_engine_close(engine);
    assert_int_equal(a.blocks, 0);
}

static void a_device_may_be_lost_while_loading(void **state)
{
    fixture *f = *state;
    bool finished = false;
    for (size_t n = 1; !finished; n += 7) {
        qn_engine *engine;
        qn_test_source source = {.bytes = f->bytes};
        qn_source s = qn_test_source_of(&source);
        qn_loader *loader;
        qn_model *model = NULL;
        qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
        qn_assert_ok(qn_loader_open(engine, &s, NULL, &loader));
        for (size_t i = 0; i < n && !model; i++) qn_assert_ok(qn_loader_step(loader, &model, NULL));
        finished = model != NULL;
        qn_engine_lose_device(engine);
        qn_status status = qn_ok();
        for (size_t i = 0; i < 10 && status.code == QN_OK && !model; i++) status = qn_loader_step(loader, &model, NULL);
        if (!finished) qn_assert_fails(status, QN_ERR_DEVICE_LOST, "open a new one");
        qn_loader_close(loader);
        qn_model_close(model);
        qn_engine_close(engine);
        qn_test_source_free(&source);
    }
}

#ifndef QN_NO_BLOCKING
static void opening_a_path(void **state)
{
    fixture *f = *state;
    char path[512];
    qn_model *model;
    qn_test_write("load.gguf", f->bytes.data, f->bytes.size, path);
    progress p = {0};
    qn_model_options options = {.progress = on_progress, .progress_user = &p};
    qn_assert_ok(qn_model_open(f->engine, path, &options, &model));
    assert_int_equal(p.done, p.total);
    assert_runs(f, model);
    qn_test_write("load.gguf", f->bytes.data, f->bytes.size - 100, path);
    qn_assert_fails(qn_model_open(f->engine, path, NULL, &model), QN_ERR_FORMAT, path);
    assert_null(model);
    remove(path);
    qn_assert_fails(qn_model_open(f->engine, path, NULL, &model), QN_ERR_IO, path);
    assert_null(model);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_says_what_the_file_says),
        cmocka_unit_test(pending_sources_are_asked_again),
        cmocka_unit_test(a_failed_read_can_be_tried_again),
        cmocka_unit_test(the_loader_says_when_it_is_done),
        cmocka_unit_test(a_loader_closes_at_any_step),
        cmocka_unit_test(progress_rises_to_the_total),
        cmocka_unit_test(damaged_tensors_are_named),
        cmocka_unit_test(damaged_metadata_is_named),
        cmocka_unit_test(damaged_data_is_found),
        cmocka_unit_test(any_header_byte_may_be_wrong),
        cmocka_unit_test(rope_scaling_is_read_as_llama_cpp_does),
        cmocka_unit_test(models_run_without_a_tokenizer),
        cmocka_unit_test(host_memory_may_run_out_anywhere),
        cmocka_unit_test(a_device_may_be_lost_while_loading),
#ifndef QN_NO_BLOCKING
        cmocka_unit_test(opening_a_path),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
