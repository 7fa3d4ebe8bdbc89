/* The built-in model against models/quern-tales/logits.json, which another program made (Hugging Face transformers,
 * float32): logits of four prompts, greedy continuations, prefill in chunks. The perplexity of the held-out text is in
 * tests/cli/test_perplexity.py. */
#include "graph/graph.h"
#include "support/model_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { N_VOCAB = 4096, MAX_TOKENS = 512, MAX_PROMPTS = 8 };

typedef struct prompt {
    const char *name, *text;
    int32_t ids[MAX_TOKENS], greedy[MAX_TOKENS];
    double margin[MAX_TOKENS]; /* of every greedy step: the best logit minus the second */
    size_t n_ids, n_greedy;
    qn_test_bytes last, all; /* f32 [V], [n_ids, V]; all may be empty */
} prompt;

typedef struct fixture {
    json_t *json;
    prompt prompts[MAX_PROMPTS];
    size_t n_prompts;
    qn_engine *engine;
    qn_model *model;
} fixture;

static size_t read_ids(const json_t *array, int32_t *ids)
{
    size_t n = json_array_size(array);
    assert_true(n > 0 && n <= MAX_TOKENS);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return n;
}

static qn_test_bytes read_logits(const json_t *name, size_t n_rows)
{
    char path[256];
    if (!name) return (qn_test_bytes){0};
    snprintf(path, sizeof path, "models/quern-tales/%s", json_string_value(name));
    qn_test_bytes b = qn_test_read(path);
    assert_int_equal(b.size, n_rows * N_VOCAB * sizeof(float));
    return b;
}

static void read_prompt(const json_t *o, prompt *p)
{
    p->name = json_string_value(json_object_get(o, "name"));
    p->text = json_string_value(json_object_get(o, "text"));
    p->n_ids = read_ids(json_object_get(o, "ids"), p->ids);
    p->n_greedy = read_ids(json_object_get(o, "greedy_ids"), p->greedy);
    const json_t *margin = json_object_get(o, "margin");
    assert_int_equal(json_array_size(margin), p->n_greedy);
    for (size_t i = 0; i < p->n_greedy; i++) p->margin[i] = json_number_value(json_array_get(margin, i));
    p->last = read_logits(json_object_get(o, "last"), 1);
    p->all = read_logits(json_object_get(o, "all"), p->n_ids);
}

static int set_up(void **state)
{
    static fixture f;
    qn_test_bytes text = qn_test_read("models/quern-tales/logits.json");
    json_error_t error;
    f.json = json_loadb((const char *)text.data, text.size, 0, &error);
    if (!f.json) fail_msg("logits.json: %s", error.text);
    free(text.data);
    const json_t *prompts = json_object_get(f.json, "prompts");
    f.n_prompts = json_array_size(prompts);
    assert_true(f.n_prompts > 0 && f.n_prompts <= MAX_PROMPTS);
    for (size_t i = 0; i < f.n_prompts; i++) read_prompt(json_array_get(prompts, i), &f.prompts[i]);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){0}, &f.engine));
    f.model = qn_test_load_file(f.engine, "models/quern-tales/quern-tales-q4_0.gguf");
    assert_int_equal(qn_model_get_info(f.model)->n_vocab, N_VOCAB);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qn_model_close(f->model);
    qn_engine_close(f->engine);
    for (size_t i = 0; i < f->n_prompts; i++) {
        free(f->prompts[i].last.data);
        free(f->prompts[i].all.data);
    }
    json_decref(f->json);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* How a session may round, and how far its logits may be from the reference's then. llama.cpp's own 8-bit activations
 * are 0.13 to 0.17 away. */
typedef struct accuracy {
    const char *name;
    qn_session_options options;
    double bound;
} accuracy;

static const accuracy accuracies[] = {
    {"exact", {.precision = QN_PRECISION_EXACT}, 2e-3},
    {"auto", {.precision = QN_PRECISION_AUTO}, 0.2},
    {"f16 cache", {.kv_type = QN_KV_F16}, 2e-2},
    {"q8_0 cache", {.kv_type = QN_KV_Q8_0}, 0.2},
};
enum { N_ACCURACIES = sizeof accuracies / sizeof accuracies[0], EXACT = 0, AUTO };

static void compare(const accuracy *a, const prompt *p, const float *got, const qn_test_bytes *want, size_t n_rows)
{
    double worst = qn_test_max_diff(got, (const float *)(const void *)want->data, n_rows * N_VOCAB);
    print_message("%s, %s: %zu x %d logits, largest difference %.2g\n", a->name, p->name, n_rows, N_VOCAB, worst);
    if (!(worst <= a->bound)) fail_msg("%s, %s: logits differ by %g", a->name, p->name, worst);
}

static void check_prompts(const accuracy *a, qn_model *model, const fixture *f)
{
    static float got[MAX_TOKENS * N_VOCAB];
    qn_session *s;
    qn_assert_ok(qn_session_open(model, &a->options, &s));
    assert_int_equal(qn_session_graph(s)->plan.precision, a->options.precision);
    for (size_t i = 0; i < f->n_prompts; i++) {
        const prompt *p = &f->prompts[i];
        qn_test_feed(s, p->ids, p->n_ids, N_VOCAB, got);
        compare(a, p, got, &p->last, 1);
        if (!p->all.data) continue;
        qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_LAST, NULL)); /* forget the prefix */
        assert_int_equal(qn_test_feed_all(s, p->ids, p->n_ids, N_VOCAB, got), 0);
        compare(a, p, got, &p->all, p->n_ids);
    }
    qn_session_close(s);
}

/* The same on an engine of its own. */
static void check_engine(qn_engine_options options, const accuracy *a, const fixture *f)
{
    qn_engine *engine;
    qn_assert_ok(qn_test_open_engine(options, &engine));
    qn_model *model = qn_test_load_file(engine, "models/quern-tales/quern-tales-q4_0.gguf");
    check_prompts(a, model, f);
    qn_model_close(model);
    qn_engine_close(engine);
}

static void logits_are_the_reference_s(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < N_ACCURACIES; i++) check_prompts(&accuracies[i], f->model, f);
}

static void baseline_logits_are_the_reference_s(void **state)
{
    check_engine((qn_engine_options){.baseline = true}, &accuracies[EXACT], *state);
}

/* Every row that rounds, also those that no device of this kind would take. */
static void inexact_rows_stay_within_their_bound(void **state)
{
    const fixture *f = *state;
    for (const qn_kernel_table *const *table = qn_kernel_tables; *table; table++)
        for (uint32_t i = 0; i < (*table)->n_rows; i++) {
            const qn_kernel_row *row = &(*table)->rows[i];
            if (!row->inexact || !qn_row_runs_on(row, qn_engine_device(f->engine))) continue;
            accuracy a = accuracies[AUTO];
            a.name = row->name;
            check_engine((qn_engine_options){.route = row->name}, &a, f);
        }
}

/* Greedy steps are compared token by token. Where the reference's margin is under 0.01, rounding may choose otherwise:
 * the reference's own token goes on. */
static void greedy_continuations_are_the_reference_s(void **state)
{
    const fixture *f = *state;
    float got[N_VOCAB];
    qn_session *s = qn_test_session(f->model, 0, 0);
    for (size_t i = 0; i < f->n_prompts; i++) {
        const prompt *p = &f->prompts[i];
        size_t close_calls = 0;
        qn_test_feed(s, p->ids, p->n_ids, N_VOCAB, got);
        for (size_t k = 0; k < p->n_greedy; k++) {
            int32_t token = (int32_t)qn_test_argmax(got, N_VOCAB);
            if (token != p->greedy[k] && p->margin[k] >= 0.01)
                fail_msg("%s: token %zu is %d, the reference's %d (margin %g)", p->name, k, token, p->greedy[k],
                         p->margin[k]);
            close_calls += p->margin[k] < 0.01;
            qn_test_append(s, p->greedy[k], N_VOCAB, got);
        }
        print_message("%s: %zu greedy tokens, %zu with a margin under 0.01\n", p->name, p->n_greedy, close_calls);
    }
    qn_session_close(s);
}

static void prefill_does_not_depend_on_the_chunk(void **state)
{
    const fixture *f = *state;
    static const uint32_t chunks[] = {512, 32, 7, 1};
    const prompt *p = &f->prompts[f->n_prompts - 1]; /* the longest */
    assert_true(p->n_ids > 100);
    float *rows = malloc(p->n_ids * N_VOCAB * sizeof *rows), *whole = malloc(p->n_ids * N_VOCAB * sizeof *whole);
    float last[N_VOCAB];
    assert_true(rows && whole);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        /* one by one, fewer tokens do */
        size_t n = chunks[i] == 1 ? 60 : p->n_ids;
        qn_session *s = qn_test_session(f->model, 0, chunks[i]);
        assert_int_equal(qn_session_chunk(s), chunks[i]);
        qn_test_feed_all(s, p->ids, n, N_VOCAB, i == 0 ? whole : rows);
        double worst = i == 0 ? 0 : qn_test_max_diff(rows, whole, n * N_VOCAB);
        qn_assert_ok(qn_session_set_tokens(s, NULL, 0, QN_LOGITS_LAST, NULL));
        qn_test_feed(s, p->ids, n, N_VOCAB, last);
        double one = qn_test_max_diff(last, whole + (n - 1) * N_VOCAB, N_VOCAB);
        print_message("chunks of %3u: all rows differ by %.2g, the last alone by %.2g\n", chunks[i], worst, one);
        assert_true(worst <= 1e-4 && one <= 1e-4);
        qn_session_close(s);
    }
    free(rows);
    free(whole);
}

static void prompt_ids_are_the_tokenizer_s(void **state)
{
    const fixture *f = *state;
    const qn_tokenizer *t = qn_model_tokenizer(f->model, NULL);
    assert_non_null(t);
    for (size_t i = 0; i < f->n_prompts; i++) {
        const prompt *p = &f->prompts[i];
        int32_t ids[MAX_TOKENS];
        size_t n = 0;
        qn_assert_ok(qn_tokenizer_encode(t, p->text, strlen(p->text), &(qn_encode_options){.add_bos = true}, ids,
                                         MAX_TOKENS, &n));
        assert_int_equal(n, p->n_ids);
        assert_memory_equal(ids, p->ids, n * sizeof ids[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_ids_are_the_tokenizer_s),
        cmocka_unit_test(logits_are_the_reference_s),
        cmocka_unit_test(baseline_logits_are_the_reference_s),
        cmocka_unit_test(inexact_rows_stay_within_their_bound),
        cmocka_unit_test(greedy_continuations_are_the_reference_s),
        cmocka_unit_test(prefill_does_not_depend_on_the_chunk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
