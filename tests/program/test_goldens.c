/* The committed exports (tests/data/executorch) through the library, against the numbers of PyTorch: calls in order;
 * programs without states also in another order, with the calls that must fail in between. Whole language models: the
 * prompt in one call and in two. */
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/model_harness.h"
#include "support/program_harness.h"

enum { MOST_TENSORS = 16, MOST_CALLS = 32 };

static qn_engine *engine;

static int set_up(void **state)
{
    *state = engine = qn_test_engine(NULL);
    return 0;
}

static int tear_down(void **state)
{
    qn_engine_close(*state);
    return 0;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static qn_test_bytes read_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "tests/data/executorch/%s/%s", folder, name);
    return qn_test_read(path);
}

typedef struct tensors {
    uint32_t n;
    qn_program_tensor at[MOST_TENSORS];
    qn_test_bytes bytes[MOST_TENSORS];
    bool compared[MOST_TENSORS];
} tensors;

static tensors read_tensors(const char *folder, const json_t *list)
{
    tensors t = {.n = (uint32_t)json_array_size(list)};
    assert_true(t.n <= MOST_TENSORS);
    for (uint32_t i = 0; i < t.n; i++) {
        const json_t *item = json_array_get(list, i), *shape = json_object_get(item, "shape");
        t.at[i].shape.rank = (uint32_t)json_array_size(shape);
        for (uint32_t k = 0; k < t.at[i].shape.rank; k++)
            t.at[i].shape.dim[k] = (uint32_t)json_integer_value(json_array_get(shape, k));
        t.bytes[i] = read_file(folder, json_string_value(json_object_get(item, "file")));
        t.at[i].data = t.bytes[i].data;
        t.compared[i] = !json_is_false(json_object_get(item, "compare"));
    }
    return t;
}

static void free_tensors(tensors *t)
{
    for (uint32_t i = 0; i < t->n; i++) free(t->bytes[i].data);
}

/* A case, its program and its calls. */
typedef struct export
{
    char name[64];
    json_t *json;
    json_t *calls[MOST_CALLS], *errors[MOST_CALLS]; /* of json */
    size_t n_calls, n_errors;
    qn_tolerance tolerance;
    qn_program *p;
    bool rejected;
}
export;

/* Opens a program with the data files that its case names. */
static qn_status open_program(const char *name, const json_t *data_files, qn_program **p)
{
    char path[512], files[4][512];
    const char *names[4];
    qn_program_options options = {names, (uint32_t)json_array_size(data_files)};
    assert_true(options.n_data_files <= 4);
    for (uint32_t i = 0; i < options.n_data_files; i++) {
        snprintf(files[i], sizeof files[i], QN_SOURCE_DIR "/tests/data/executorch/%s/%s", name,
                 json_string_value(json_array_get(data_files, i)));
        names[i] = files[i];
    }
    snprintf(path, sizeof path, QN_SOURCE_DIR "/tests/data/executorch/%s/model.pte", name);
    return qn_program_open(engine, path, &options, p);
}

static export open_export(const char *name)
{
    export e = {.n_calls = 1};
    char path[512];
    snprintf(e.name, sizeof e.name, "%s", name);
    snprintf(path, sizeof path, QN_SOURCE_DIR "/tests/data/executorch/%s/case.json", name);
    e.json = json_load_file(path, 0, NULL);
    assert_non_null(e.json);
    const json_t *tolerance = json_object_get(e.json, "tolerance");
    e.tolerance.abs = json_number_value(json_object_get(tolerance, "abs"));
    e.tolerance.rel = json_number_value(json_object_get(tolerance, "rel"));
    json_t *calls = json_object_get(e.json, "calls"), *errors = json_object_get(e.json, "error_calls");
    e.calls[0] = e.json; /* without a list, the case is the one call */
    if (calls) e.n_calls = json_array_size(calls);
    e.n_errors = json_array_size(errors);
    assert_true(e.n_calls <= MOST_CALLS && e.n_errors <= MOST_CALLS);
    for (size_t i = 0; calls && i < e.n_calls; i++) e.calls[i] = json_array_get(calls, i);
    for (size_t i = 0; i < e.n_errors; i++) e.errors[i] = json_array_get(errors, i);
    const char *expect = json_string_value(json_object_get(e.json, "expect"));
    e.rejected = expect && strcmp(expect, "reject") == 0;
    qn_status s = open_program(name, json_object_get(e.json, "data_files"), &e.p);
    if (!e.rejected) qn_assert_ok(s);
    bool runs_here = strcmp(name, "dyn_expand_reject") == 0; /* what its own runtime lacks, this one has */
    if (e.rejected && s.code == QN_OK && !runs_here) fail_msg("%s must be refused", name);
    return e;
}

static void close_export(export *e)
{
    qn_program_close(e->p);
    json_decref(e->json);
}

/* A call with fresh copies of its inputs, which are gone when it has been made. */
static qn_status make_call(const export *e, const json_t *call)
{
    tensors in = read_tensors(e->name, json_object_get(call, "inputs"));
    qn_status s = qn_test_call(e->p, 0, in.at, in.n);
    free_tensors(&in);
    return s;
}

static void compare(const export *e, uint32_t i, const qn_program_tensor *got, const tensors *want)
{
    qn_value_info info = qn_program_output(e->p, 0, i);
    size_t bytes = want->bytes[i].size, n = bytes / sizeof(float);
    if (!got->data) fail_msg("%s: output %u has no data", e->name, i);
    assert_int_equal(got->shape.rank, want->at[i].shape.rank);
    assert_memory_equal(got->shape.dim, want->at[i].shape.dim, got->shape.rank * sizeof got->shape.dim[0]);
    if (info.scalar != QN_SCALAR_F32) {
        assert_memory_equal(got->data, want->at[i].data, bytes);
        return;
    }
    double *wide = calloc(n + 1, sizeof *wide);
    assert_non_null(wide);
    for (size_t k = 0; k < n; k++) wide[k] = (double)((const float *)want->at[i].data)[k];
    qn_test_compare(e->name, got->data, wide, n, e->tolerance);
    free(wide);
}

static void check_call(const export *e, const json_t *call)
{
    tensors want = read_tensors(e->name, json_object_get(call, "outputs"));
    qn_assert_ok(make_call(e, call));
    for (uint32_t i = 0; i < want.n; i++) {
        qn_program_tensor got = qn_program_output_data(e->p, 0, i);
        if (want.compared[i]) compare(e, i, &got, &want);
    }
    free_tensors(&want);
}

static void check_error(const export *e, size_t i)
{
    qn_status s = make_call(e, e->errors[i]);
    if (s.code == QN_OK) fail_msg("%s: the wrong call %zu succeeds", e->name, i);
    assert_true(s.code == QN_ERR_ARGUMENT && s.text[0]);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Calls in order, wrong ones before each: they change nothing. Then, where a call leaves nothing behind, backwards and
 * each twice. */
static void check_export(const char *name)
{
    export e = open_export(name);
    if (!e.rejected) {
        bool stateless = qn_program_method(e.p, 0).n_states == 0;
        for (size_t i = 0; i < e.n_calls; i++) {
            if (e.n_errors) check_error(&e, i % e.n_errors);
            check_call(&e, e.calls[i]);
        }
        for (size_t i = e.n_calls; stateless && i-- > 0;) {
            check_call(&e, e.calls[(i * 7 + 3) % e.n_calls]);
            check_call(&e, e.calls[i]);
            check_call(&e, e.calls[i]);
        }
        qn_assert_ok(qn_program_reset(e.p, 0)); /* and all over again */
        for (size_t i = 0; i < e.n_calls; i++) check_call(&e, e.calls[i]);
    }
    close_export(&e);
}

static void every_committed_export(void **state)
{
    (void)state;
    int n = 0;
    DIR *folder = opendir(QN_SOURCE_DIR "/tests/data/executorch");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[512];
        snprintf(path, sizeof path, QN_SOURCE_DIR "/tests/data/executorch/%s/case.json", entry->d_name);
        FILE *f = fopen(path, "rb");
        if (!f) continue;
        fclose(f);
        check_export(entry->d_name);
        n++;
    }
    closedir(folder);
    assert_true(n >= 10);
}

/* ---- language models ------------------------------------------------------------------------- */

/* The prompt of the first call in pieces; the last piece's logits, then every decode step, within 1e-3. */
static void prompt_in_pieces(const char *name, const uint32_t *pieces, size_t n_pieces)
{
    export e = open_export(name);
    e.tolerance = (qn_tolerance){1e-3, 0};
    tensors in = read_tensors(name, json_object_get(e.calls[0], "inputs"));
    tensors want = read_tensors(name, json_object_get(e.calls[0], "outputs"));
    int64_t pos = 0;
    for (size_t i = 0; i < n_pieces; i++) {
        const qn_program_tensor piece[] = {{qn_shape_2(1, pieces[i]), (const int64_t *)in.at[0].data + pos},
                                           {qn_shape_1(1), &pos}};
        qn_assert_ok(qn_test_call(e.p, 0, piece, 2));
        pos += pieces[i];
    }
    assert_int_equal(pos, in.at[0].shape.dim[1]);
    qn_program_tensor got = qn_program_output_data(e.p, 0, 0);
    compare(&e, 0, &got, &want);
    for (size_t i = 1; i < e.n_calls; i++) check_call(&e, e.calls[i]);
    free_tensors(&in);
    free_tensors(&want);
    close_export(&e);
}

static void prompts_in_one_call_and_in_two(void **state)
{
    (void)state;
    static const char *const models[] = {"llama_tiny", "qwen3_tiny"};
    for (size_t i = 0; i < 2; i++) {
        prompt_in_pieces(models[i], (const uint32_t[]){17}, 1);
        prompt_in_pieces(models[i], (const uint32_t[]){1, 16}, 2);
        prompt_in_pieces(models[i], (const uint32_t[]){8, 9}, 2);
        prompt_in_pieces(models[i], (const uint32_t[]){3, 1, 1, 12}, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_committed_export),
        cmocka_unit_test(prompts_in_one_call_and_in_two),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
