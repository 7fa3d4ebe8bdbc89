/* The perplexity of the built-in model on its held-out text, whole, by the recipe in models/quern-tales/logits.json. */
#include "support/model_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

enum { N_VOCAB = 4096, PIECE = 511 };

static double reference(const char *key)
{
    qn_test_bytes text = qn_test_read("models/quern-tales/logits.json");
    json_t *json = json_loadb((const char *)text.data, text.size, 0, NULL);
    const json_t *o = json_object_get(json_object_get(json, "heldout"), "dequantized_q4_0");
    double value = json_number_value(json_object_get(o, key));
    assert_true(value > 0);
    json_decref(json);
    free(text.data);
    return value;
}

static int32_t *tokenize(const qn_model *model, size_t *n)
{
    qn_test_bytes text = qn_test_read("models/quern-tales/heldout.txt");
    int32_t *ids = malloc((text.size + 1) * sizeof *ids);
    assert_non_null(ids);
    qn_assert_ok(qn_tokenizer_encode(qn_model_tokenizer(model, NULL), (const char *)text.data, text.size,
                                     &(qn_encode_options){0}, ids, text.size + 1, n));
    free(text.data);
    return ids;
}

/* -log p(token) */
static double surprise(const float *logits, int32_t token)
{
    double max = (double)logits[qn_test_argmax(logits, N_VOCAB)], sum = 0;
    for (size_t i = 0; i < N_VOCAB; i++) sum += exp((double)logits[i] - max);
    return log(sum) + max - (double)logits[token];
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void heldout_perplexity(void **state)
{
    (void)state;
    qn_engine *engine;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){0}, &engine));
    qn_model *model = qn_test_load_file(engine, "models/quern-tales/quern-tales-q4_0.gguf");
    size_t n = 0;
    int32_t *ids = tokenize(model, &n);
    assert_int_equal(n, (size_t)reference("tokens"));
    qn_session *s = qn_test_session(model, PIECE + 1, 128);
    float *rows = malloc((PIECE + 1) * N_VOCAB * sizeof *rows);
    assert_non_null(rows);
    double sum = 0, start = seconds();
    for (size_t at = 0; at < n; at += PIECE) {
        size_t length = n - at < PIECE ? n - at : PIECE;
        int32_t tokens[PIECE + 1] = {qn_tokenizer_bos(qn_model_tokenizer(model, NULL))};
        memcpy(tokens + 1, ids + at, length * sizeof *ids);
        qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_ALL, NULL)); /* an empty cache */
        qn_test_feed_all(s, tokens, length, N_VOCAB, rows); /* what the last token says is not asked for */
        for (size_t i = 0; i < length; i++) sum += surprise(rows + i * N_VOCAB, tokens[i + 1]);
    }
    double got = exp(sum / (double)n), want = reference("perplexity"), off = got / want - 1;
    print_message("perplexity %.5f of %zu tokens, the reference's %.5f (%+.5f %%), %.1f s\n", got, n, want, 100 * off,
                  seconds() - start);
    assert_true(fabs(off) <= 1e-3);
    qn_session_close(s);
    qn_model_close(model);
    qn_engine_close(engine);
    free(rows);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heldout_perplexity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
