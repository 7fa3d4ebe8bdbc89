/* Inspecting a model file without a GPU: facts, tensors, tokenizer, and files that this version does not run. */
#include "support/model_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/quant.h"

/* Inspects bytes as a file; takes them. */
static qn_status inspect(qn_test_bytes b, qn_inspection **inspection)
{
    char path[512];
    qn_test_write("inspect.gguf", b.data, b.size, path);
    qn_status s = qn_inspect_open(NULL, path, inspection);
    if (s.code != QN_OK) assert_non_null(strstr(s.text, path));
    remove(path); /* the header was copied */
    free(b.data);
    return s;
}

static qn_test_bytes model_bytes(qn_random_tokenizer tokenizer)
{
    qn_random_model m = qn_random_model_tiny();
    m.tokenizer = tokenizer;
    m.embd_type = QN_GGML_Q6_K;
    m.rope_freqs = true;
    return qn_test_random_bytes(&m);
}

static void built_in_model(void **state)
{
    (void)state;
    qn_inspection *in;
    qn_memory_plan plan;
    qn_assert_ok(qn_inspect_open(NULL, QN_SOURCE_DIR "/models/quern-tales/quern-tales-q4_0.gguf", &in));
    const qn_model_info *info = qn_inspect_info(in);
    assert_string_equal(info->architecture, "llama");
    assert_int_equal(info->n_vocab, 4096);
    assert_true(info->has_tokenizer && info->tied_output && info->weight_gpu_bytes > 0);
    const char *why = "not set";
    assert_non_null(qn_inspect_tokenizer(in, &why));
    assert_null(why);
    assert_int_equal(qn_tokenizer_n_vocab(qn_inspect_tokenizer(in, NULL)), 4096);
    qn_assert_ok(qn_inspect_memory(in, NULL, NULL, 0, &plan));
    assert_int_equal(plan.weights, info->weight_gpu_bytes);
    assert_int_equal(plan.kv, plan.ctx * info->kv_bytes_per_token);
    qn_inspect_close(in);
    qn_inspect_close(NULL);
}

static void tensors_are_listed_as_in_the_file(void **state)
{
    (void)state;
    qn_inspection *in;
    qn_assert_ok(inspect(model_bytes(QN_RANDOM_TOKENIZER_NONE), &in));
    assert_int_equal(qn_inspect_n_tensors(in), 2 * 9 + 3);
    const qn_tensor_info *t = qn_inspect_tensor(in, 0);
    assert_string_equal(t->name, "token_embd.weight");
    assert_string_equal(t->type, "Q6_K");
    assert_true(t->supported);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 256);
    assert_int_equal(t->dims[1], 512);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->file_bytes, 512 * 210);
    uint64_t total = 0;
    for (size_t i = 0; i < qn_inspect_n_tensors(in); i++) total += qn_inspect_tensor(in, i)->file_bytes;
    assert_true(total < qn_inspect_info(in)->file_bytes);
    assert_null(qn_inspect_tensor(in, qn_inspect_n_tensors(in)));
    assert_null(qn_inspect_tensor(in, SIZE_MAX));
    qn_inspect_close(in);
}

/* A type that the format does not define, and one that this version does not read. */
static void unknown_types_are_listed_and_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name, *refusal;
    } cases[] = {{99, "type 99", "tensor blk.1.ffn_up.weight: type 99 is not known"},
                 {3, "Q4_1", "tensor blk.1.ffn_up.weight: type Q4_1 is not supported"}};
    for (size_t i = 0; i < 2; i++) {
        qn_test_bytes b = model_bytes(QN_RANDOM_TOKENIZER_NONE);
        memcpy(qn_test_behind(b, "blk.1.ffn_up.weight") + 4 + 16, &cases[i].type, 4);
        qn_inspection *in;
        qn_memory_plan plan;
        size_t n_unsupported = 0;
        qn_assert_ok(inspect(b, &in));
        for (size_t k = 0; k < qn_inspect_n_tensors(in); k++) {
            const qn_tensor_info *t = qn_inspect_tensor(in, k);
            if (t->supported) continue;
            n_unsupported++;
            assert_string_equal(t->name, "blk.1.ffn_up.weight");
            assert_string_equal(t->type, cases[i].name);
            if (i == 0) assert_int_equal(t->file_bytes, 0);
        }
        assert_int_equal(n_unsupported, 1);
        assert_int_equal(qn_inspect_info(in)->n_layers, 2); /* the rest is said */
        assert_int_equal(qn_inspect_info(in)->weight_gpu_bytes, 0);
        qn_assert_fails(qn_inspect_memory(in, NULL, NULL, 0, &plan), QN_ERR_UNSUPPORTED, cases[i].refusal);
        assert_int_equal(plan.total, 0);
        qn_inspect_close(in);
    }
}

static void other_architectures_are_described(void **state)
{
    (void)state;
    qn_test_bytes b = model_bytes(QN_RANDOM_TOKENIZER_LLAMA3);
    memcpy(qn_test_behind(b, "general.architecture") + 12, "gemma", 5);
    qn_inspection *in;
    qn_memory_plan plan;
    qn_assert_ok(inspect(b, &in));
    assert_string_equal(qn_inspect_info(in)->architecture, "gemma");
    assert_string_equal(qn_inspect_info(in)->name, "random llama");
    assert_int_equal(qn_inspect_info(in)->n_vocab, 512); /* from the embedding */
    assert_true(qn_inspect_info(in)->has_tokenizer);
    qn_assert_fails(qn_inspect_memory(in, NULL, NULL, 0, &plan), QN_ERR_UNSUPPORTED, "architecture \"gemma\"");
    qn_inspect_close(in);
}

static void a_tokenizer_that_is_not_read_says_why(void **state)
{
    (void)state;
    qn_inspection *in;
    qn_memory_plan plan;
    const char *why = NULL;
    qn_assert_ok(inspect(model_bytes(QN_RANDOM_TOKENIZER_SPM), &in));
    assert_null(qn_inspect_tokenizer(in, &why));
    assert_non_null(strstr(why, "llama"));
    assert_false(qn_inspect_info(in)->has_tokenizer);
    assert_true(qn_inspect_info(in)->tokenizer[0] != '\0');
    qn_assert_ok(qn_inspect_memory(in, NULL, NULL, 0, &plan)); /* it runs all the same */
    qn_inspect_close(in);
}

/* The head alone is read, in steps; a read that fails may be tried again. */
static void a_source_is_read_as_it_comes(void **state)
{
    (void)state;
    qn_test_bytes b = model_bytes(QN_RANDOM_TOKENIZER_LLAMA3);
    for (unsigned stalls = 0; stalls < 3; stalls++) {
        qn_test_source file = {.bytes = b, .stalls = stalls, .fail_at = 1};
        qn_source source = qn_test_source_of(&file);
        qn_inspector *inspector;
        qn_inspection *in = NULL, *none;
        bool pending = false;
        unsigned n_pending = 0, n_failed = 0;
        qn_assert_ok(qn_inspector_open(NULL, &source, &inspector));
        while (!in) {
            qn_status s = qn_inspector_step(inspector, &in, &pending);
            if (s.code != QN_OK) {
                qn_assert_fails(s, QN_ERR_IO, "interrupted");
                n_failed++;
            }
            n_pending += pending;
        }
        assert_int_equal(n_failed, 1);
        assert_int_equal(n_pending, stalls * file.n_reads);
        qn_assert_fails(qn_inspector_step(inspector, &none, NULL), QN_ERR_STATE, "handed out");
        assert_null(none);
        qn_inspector_close(inspector);
        qn_test_source_free(&file);
        assert_string_equal(qn_inspect_info(in)->chat_template, "llama3"); /* the source is not needed any more */
        assert_int_equal(qn_inspect_info(in)->file_bytes, b.size);
        qn_inspect_close(in);
    }
    qn_test_source file = {.bytes = b, .stalls = 1};
    qn_source source = qn_test_source_of(&file);
    qn_inspector *inspector;
    qn_inspection *in;
    qn_assert_ok(qn_inspector_open(NULL, &source, &inspector));
    qn_assert_ok(qn_inspector_step(inspector, &in, NULL));
    assert_null(in);
    qn_inspector_close(inspector); /* given up */
    qn_test_source_free(&file);
    free(b.data);
}

static void files_that_are_none_are_refused(void **state)
{
    (void)state;
    qn_inspection *in;
    qn_assert_fails(qn_inspect_open(NULL, QN_BUILD_DIR "/no-such-file.gguf", &in), QN_ERR_IO, "no-such-file.gguf");
    assert_null(in);
    qn_assert_fails(qn_inspect_open(NULL, QN_BUILD_DIR, &in), QN_ERR_IO, QN_BUILD_DIR);
    assert_null(in);
    qn_assert_fails(qn_inspect_open(NULL, QN_SOURCE_DIR "/LICENSE", &in), QN_ERR_FORMAT, "LICENSE");
    assert_null(in);
    qn_test_bytes b = model_bytes(QN_RANDOM_TOKENIZER_NONE);
    b.size -= 5;
    qn_assert_fails(inspect(b, &in), QN_ERR_FORMAT, "");
    assert_null(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_model),
        cmocka_unit_test(tensors_are_listed_as_in_the_file),
        cmocka_unit_test(unknown_types_are_listed_and_refused),
        cmocka_unit_test(other_architectures_are_described),
        cmocka_unit_test(a_tokenizer_that_is_not_read_says_why),
        cmocka_unit_test(a_source_is_read_as_it_comes),
        cmocka_unit_test(files_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
