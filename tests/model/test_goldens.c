/* Small random models of every weight type and many shapes against logits that Hugging Face transformers computed from
 * them (tools/make_model_goldens.py): tests/data/models. */
#include "support/model_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "format/quant.h"

enum { MAX_TOKENS = 256, MAX_VOCAB = 512 };

static json_t *read_json(const char *path)
{
    qn_test_bytes text = qn_test_read(path);
    json_error_t error;
    json_t *json = json_loadb((const char *)text.data, text.size, 0, &error);
    if (!json) fail_msg("%s: %s", path, error.text);
    free(text.data);
    return json;
}

static uint32_t type_of(const json_t *model, const char *key, uint32_t fallback)
{
    static const uint32_t types[] = {QN_GGML_F32,  QN_GGML_F16,  QN_GGML_BF16, QN_GGML_Q4_0,
                                     QN_GGML_Q8_0, QN_GGML_Q4_K, QN_GGML_Q6_K};
    static const char *const names[] = {"f32", "f16", "bf16", "q4_0", "q8_0", "q4_k", "q6_k"};
    const char *name = json_string_value(json_object_get(model, key));
    if (!name) return fallback;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(names[i], name) == 0) return types[i];
    fail_msg("unknown type %s", name);
    return 0;
}

/* The description of a model as tools/gen_gguf reads it from these options. */
static qn_random_model describe(const json_t *model)
{
    qn_random_model m = qn_random_model_tiny();
    const struct {
        const char *key;
        uint32_t *size;
    } sizes[] = {{"embd", &m.n_embd},       {"layers", &m.n_layers}, {"heads", &m.n_heads}, {"kv-heads", &m.n_kv_heads},
                 {"head-dim", &m.head_dim}, {"ff", &m.n_ff},         {"vocab", &m.n_vocab}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const json_t *value = json_object_get(model, sizes[i].key);
        if (value) *sizes[i].size = (uint32_t)json_integer_value(value);
    }
    m.type = type_of(model, "type", m.type);
    m.embd_type = type_of(model, "embd-type", m.type);
    m.untied = json_is_true(json_object_get(model, "untied"));
    m.more_bits = json_is_true(json_object_get(model, "more-bits"));
    m.rope_freqs = json_is_true(json_object_get(model, "rope-freqs"));
    if (json_object_get(model, "rope-base"))
        m.rope_base = (float)json_number_value(json_object_get(model, "rope-base"));
    m.seed = (uint64_t)json_integer_value(json_object_get(model, "seed"));
    m.tokenizer = QN_RANDOM_TOKENIZER_NONE;
    return m;
}

static size_t read_ids(const json_t *array, int32_t *ids)
{
    size_t n = json_array_size(array);
    assert_true(n > 0 && n <= MAX_TOKENS);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return n;
}

typedef struct golden {
    const char *name;
    qn_random_model model;
    qn_test_bytes file, logits;
    int32_t prompt[MAX_TOKENS], decode[MAX_TOKENS];
    size_t n_prompt, n_decode;
} golden;

static golden read_golden(const json_t *description, const json_t *goldens)
{
    golden g = {.name = json_string_value(json_object_get(description, "name")), .model = describe(description)};
    const json_t *entry = json_object_get(json_object_get(goldens, "models"), g.name);
    if (!entry) fail_msg("%s has no golden: run tools/make_model_goldens.py", g.name);
    g.n_prompt = read_ids(json_object_get(entry, "prompt"), g.prompt);
    g.n_decode = read_ids(json_object_get(entry, "decode"), g.decode);
    g.file = qn_test_random_bytes(&g.model);
    uint32_t want = (uint32_t)json_integer_value(json_object_get(entry, "crc32"));
    uint32_t crc = qn_test_crc32(g.file.data, g.file.size);
    if (crc != want)
        fail_msg("%s: the generated file has CRC-32 %08x, not %08x: the generator has changed, and "
                 "tools/make_model_goldens.py must be run again",
                 g.name, crc, want);
    char path[256];
    snprintf(path, sizeof path, "tests/data/models/%s.bin", g.name);
    g.logits = qn_test_read(path);
    assert_true(g.model.n_vocab <= MAX_VOCAB);
    assert_int_equal(g.logits.size, (1 + g.n_decode) * g.model.n_vocab * sizeof(float));
    return g;
}

/* The largest difference over the logits' range. */
static double run(qn_engine *engine, const golden *g, bool short_ctx, uint32_t chunk)
{
    uint32_t n_vocab = g->model.n_vocab;
    const float *want = (const float *)(const void *)g->logits.data;
    float got[MAX_VOCAB], low = want[0], high = want[0];
    qn_model *model = NULL;
    qn_assert_ok(qn_test_load_bytes(engine, g->file, NULL, &model));
    qn_session *s = qn_test_session(model, short_ctx ? (uint32_t)(g->n_prompt + g->n_decode) : 0, chunk);
    double worst = 0;
    for (size_t i = 0; i <= g->n_decode; i++, want += n_vocab) {
        if (i == 0)
            qn_test_feed(s, g->prompt, g->n_prompt, n_vocab, got);
        else
            qn_test_append(s, g->decode[i - 1], n_vocab, got);
        double d = qn_test_max_diff(got, want, n_vocab);
        if (!(d <= worst)) worst = d;
        for (uint32_t k = 0; k < n_vocab; k++) {
            if (want[k] < low) low = want[k];
            if (want[k] > high) high = want[k];
        }
    }
    qn_session_close(s);
    qn_model_close(model);
    return worst / (double)(high - low);
}

/* Bindings that hold 64 rows of the widest activation and no more (what linear asks for), and so not the larger
 * weights: these, caches and activations are split as on a device with small bindings. */
static uint64_t small_bindings(const qn_random_model *m)
{
    const uint32_t widths[] = {m->n_embd, m->n_ff, m->n_vocab, (m->n_heads + 2 * m->n_kv_heads) * m->head_dim};
    uint64_t widest = 0;
    for (size_t i = 0; i < 4; i++)
        if (widths[i] > widest) widest = widths[i];
    return (64 * widest * sizeof(float) + 255) / 256 * 256;
}

static void run_all(const char *what, bool baseline, bool split, uint32_t chunk)
{
    json_t *models = read_json("tests/data/models/models.json"), *goldens = read_json("tests/data/models/goldens.json");
    const json_t *list = json_object_get(models, "models");
    assert_true(json_array_size(list) >= 12);
    for (size_t i = 0; i < json_array_size(list); i++) {
        golden g = read_golden(json_array_get(list, i), goldens);
        qn_engine_options options = {.baseline = baseline, .max_binding_bytes = split ? small_bindings(&g.model) : 0};
        qn_engine *engine;
        qn_assert_ok(qn_test_open_engine(options, &engine));
        double worst = run(engine, &g, split, chunk);
        print_message("%s, %-15s largest difference %.2g of the range\n", what, g.name, worst);
        if (!(worst <= 2e-5)) fail_msg("%s, %s: logits differ by %g of their range", what, g.name, worst);
        qn_engine_close(engine);
        free(g.file.data);
        free(g.logits.data);
    }
    json_decref(models);
    json_decref(goldens);
}

static void all_features(void **state)
{
    (void)state;
    run_all("all features", false, false, 0);
}

static void baseline_in_small_chunks(void **state)
{
    (void)state;
    run_all("baseline, chunks of 5", true, false, 5);
}

static void split_over_small_bindings(void **state)
{
    (void)state;
    run_all("small bindings", true, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_features),
        cmocka_unit_test(baseline_in_small_chunks),
        cmocka_unit_test(split_over_small_bindings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
