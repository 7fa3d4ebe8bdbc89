/* Kernels that tuning chose and kernels that the self-test found wrong, from an engine to the dispatches of its graphs,
 * and what a cache folder keeps of both. */
#include "support/gpu_harness.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/graph.h"

enum { N = 96, K = 64, MOST = 100 };

typedef struct fixture {
    char folder[64], file[400];
    char warning[1100]; /* the last one */
    int n_warnings;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "choose.XXXXXX");
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

/* The one file of the folder; false: there is none. */
static bool find_file(fixture *f)
{
    DIR *dir = opendir(f->folder);
    bool found = false;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            assert_false(found);
            snprintf(f->file, sizeof f->file, "%s/%s", f->folder, e->d_name);
            found = true;
        }
    closedir(dir);
    return found;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    if (find_file(f)) remove(f->file);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void on_log(void *user, qn_log_level level, const char *line)
{
    fixture *f = user;
    if (level != QN_LOG_WARNING || strstr(line, "software adapter")) return;
    snprintf(f->warning, sizeof f->warning, "%s", line);
    f->n_warnings++;
}

static qn_engine *open_engine(fixture *f, qn_engine_options o)
{
    qn_engine *engine = NULL;
    o.log = on_log;
    o.log_user = f;
    qn_assert_ok(qn_test_open_engine(o, &engine));
    return engine;
}

/* ---- choices --------------------------------------------------------------------------------- */

/* The kernel that serves `rows` live rows of a linear node, and its result. */
static const char *kernel_for(qn_engine *engine, uint32_t rows, uint32_t n, float *y)
{
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, n, K, 32, true, 1);
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(MOST, K));
    qn_value out = qn_linear(g, x, qn_graph_weight(g, w), 0);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    float *data = qn_test_floats(MOST * K, 3, 1.0f);
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(rows, K), data));
    const void *got = qn_test_run(g, out, qn_shape_2(rows, n));
    if (y) memcpy(y, got, (size_t)rows * n * sizeof *y);
    const char *name = qn_graph_dispatch(g, 0).kernel;
    free(data);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
    return name;
}

/* The decision of that node for `rows` live rows. */
static qn_decision decision_for(qn_engine *engine, uint32_t rows)
{
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, 32, true, 1);
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    qn_graph *g = qn_test_graph(engine);
    qn_linear(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(MOST, K)), qn_graph_weight(g, w), 0);
    qn_assert_ok(qn_graph_build(g));
    qn_decision d[8], found = {0};
    size_t n = qn_graph_decisions(g, d, 8);
    assert_int_equal(n, 4); /* one for each class of rows */
    for (size_t i = 0; i < n; i++)
        if (rows >= d[i].min_rows && (d[i].max_rows == 0 || rows <= d[i].max_rows)) found = d[i];
    qn_graph_close(g);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
    return found;
}

static void a_choice_is_for_its_shape_and_rows(void **state)
{
    fixture *f = *state;
    qn_engine *engine = open_engine(f, (qn_engine_options){0});
    const char *one = kernel_for(engine, 1, N, NULL), *many = kernel_for(engine, 70, N, NULL);
    qn_decision d = decision_for(engine, 70);
    assert_string_equal(d.what, "linear 96x64 q4");
    assert_true(d.n_rows > 1);
    static float want[70 * N], got[70 * N];
    kernel_for(engine, 70, N, want);
    qn_assert_ok(qn_engine_choose(engine, &d, "linear.any"));
    assert_string_equal(kernel_for(engine, 70, N, got), "linear.any");
    for (int i = 0; i < 70 * N; i++) assert_true(got[i] - want[i] < 1e-3f && want[i] - got[i] < 1e-3f);
    assert_string_equal(kernel_for(engine, MOST, N, NULL), "linear.any");
    assert_string_equal(kernel_for(engine, 65, N, NULL), "linear.any");
    assert_string_not_equal(kernel_for(engine, 64, N, NULL), "linear.any");
    assert_string_equal(kernel_for(engine, 1, N, NULL), one);
    assert_string_equal(kernel_for(engine, 70, N + 4, NULL), many); /* another weight */
    qn_assert_ok(qn_engine_choose(engine, &d, NULL));
    assert_string_equal(kernel_for(engine, 70, N, NULL), many);
    qn_assert_fails(qn_engine_choose(engine, &d, "linear.none"), QN_ERR_ARGUMENT, "linear.none");
    qn_assert_fails(qn_engine_save_choices(engine), QN_ERR_STATE, "cache");
    qn_engine_close(engine);
}

/* A forced row wins over a choice, and a chosen row that is of another table or cannot serve is not taken. */
static void a_choice_bends_to_what_is_possible(void **state)
{
    fixture *f = *state;
    qn_engine *engine = open_engine(f, (qn_engine_options){.route = "linear.quad4"});
    qn_decision d = decision_for(engine, 1);
    qn_assert_ok(qn_engine_choose(engine, &d, "linear.any"));
    assert_string_equal(kernel_for(engine, 1, N, NULL), "linear.quad4");
    qn_engine_close(engine);
    engine = open_engine(f, (qn_engine_options){0});
    const char *one = kernel_for(engine, 1, N, NULL);
    qn_assert_ok(qn_engine_choose(engine, &d, "rope.pairs"));
    assert_string_equal(kernel_for(engine, 1, N, NULL), one);
    qn_engine_close(engine);
}

static void a_cache_folder_keeps_choices(void **state)
{
    fixture *f = *state;
    const qn_engine_options options = {.cache_dir = f->folder};
    qn_engine *engine = open_engine(f, options);
    assert_false(find_file(f));
    qn_decision d = decision_for(engine, 1);
    qn_assert_ok(qn_engine_choose(engine, &d, "linear.any"));
    qn_assert_ok(qn_engine_save_choices(engine));
    qn_engine_close(engine);
    assert_true(find_file(f));
    engine = open_engine(f, options);
    assert_string_equal(kernel_for(engine, 1, N, NULL), "linear.any");
    qn_engine_close(engine);
    engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder, .baseline = true}); /* another device */
    assert_string_not_equal(kernel_for(engine, 1, N, NULL), "linear.any");
    qn_engine_close(engine);
    assert_int_equal(f->n_warnings, 0);
}

static void a_damaged_file_is_left_alone(void **state)
{
    fixture *f = *state;
    const qn_engine_options options = {.cache_dir = f->folder};
    qn_engine *engine = open_engine(f, options);
    qn_decision d = decision_for(engine, 1);
    qn_assert_ok(qn_engine_choose(engine, &d, "linear.any"));
    qn_assert_ok(qn_engine_save_choices(engine));
    qn_engine_close(engine);
    assert_true(find_file(f));
    static const char *const contents[] = {"", "quern kernels\n", "\x7fXYZ"};
    for (int i = 0; i < 3; i++) {
        FILE *file = fopen(f->file, "wb");
        assert_int_equal(fwrite(contents[i], 1, strlen(contents[i]), file), strlen(contents[i]));
        fclose(file);
        engine = open_engine(f, options);
        assert_int_equal(f->n_warnings, i + 1);
        assert_non_null(strstr(f->warning, "damaged"));
        assert_string_not_equal(kernel_for(engine, 1, N, NULL), "linear.any");
        qn_engine_close(engine);
    }
    engine = open_engine(f, (qn_engine_options){.cache_dir = "no/such/folder"});
    qn_assert_fails(qn_engine_save_choices(engine), QN_ERR_IO, "no/such/folder");
    qn_engine_close(engine);
}

static void *save_often(void *engine)
{
    qn_status s = {.code = QN_OK};
    for (int i = 0; i < 50 && s.code == QN_OK; i++) s = qn_engine_save_choices(engine);
    return s.code == QN_OK ? NULL : engine;
}

/* Of one process, at a time: neither takes the other's file away. */
static void two_engines_save_alike(void **state)
{
    fixture *f = *state;
    qn_engine *engines[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) engines[i] = open_engine(f, (qn_engine_options){.cache_dir = f->folder});
    qn_decision d = decision_for(engines[0], 1);
    for (int i = 0; i < 2; i++) {
        qn_assert_ok(qn_engine_choose(engines[i], &d, "linear.any"));
        assert_int_equal(pthread_create(&threads[i], NULL, save_often, engines[i]), 0);
    }
    void *failed[2];
    for (int i = 0; i < 2; i++) pthread_join(threads[i], &failed[i]);
    for (int i = 0; i < 2; i++) qn_engine_close(engines[i]);
    assert_true(!failed[0] && !failed[1]);
    assert_true(find_file(f)); /* and no other is left */
    qn_engine *engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder});
    assert_string_equal(kernel_for(engine, 1, N, NULL), "linear.any");
    qn_engine_close(engine);
    assert_int_equal(f->n_warnings, 0);
}

/* ---- self-test ------------------------------------------------------------------------------- */

static const qn_route_info *route(const qn_engine *engine, const char *name)
{
    static qn_route_info routes[256];
    size_t n = qn_engine_routes(engine, routes, 256);
    assert_true(n <= 256);
    for (size_t i = 0; i < n; i++)
        if (strcmp(routes[i].name, name) == 0) return &routes[i];
    fail_msg("no row %s", name);
    return NULL;
}

/* As qn_engine_self_test does, in builds that have it not. */
static void test_all(qn_engine *engine)
{
    qn_self_test *test;
    bool done = false;
    qn_assert_ok(qn_self_test_open(engine, true, &test));
    while (!done) qn_assert_ok(qn_self_test_step(test, &done));
    qn_assert_ok(qn_self_test_step(test, &done)); /* nothing more happens */
    assert_true(done);
    qn_self_test_close(test);
    if (engine->cache_dir) qn_assert_ok(qn_engine_save_choices(engine));
}

/* Every row that runs here is right, and every one that is not of the baseline is tried. */
static void every_row_passes(void **state)
{
    fixture *f = *state;
    qn_engine *engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder});
    test_all(engine);
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++) {
            const qn_kernel_row *row = &(*t)->rows[i];
            const qn_route_info *r = route(engine, row->name);
            if (r->wrong) fail_msg("%s is found wrong", row->name);
            if ((row->needs || row->inexact) && r->usable && !r->tested)
                fail_msg("%s needs a case in self_test.c", row->name);
        }
    assert_true(route(engine, "linear.gemm")->tested);
    assert_true(find_file(f));
    qn_engine_close(engine);
    engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder}); /* remembered */
    assert_true(route(engine, "linear.gemm")->tested);
    qn_engine_close(engine);
    assert_int_equal(f->n_warnings, 0);
}

/* A row whose kernels do nothing is found, and what it would have served is served by another. */
static void a_wrong_row_is_dropped(void **state)
{
    fixture *f = *state;
    static const char *const rows[] = {"linear.quad1", "sdpa.qk_each", "gate.four"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_engine *engine = open_engine(f, (qn_engine_options){.break_route = rows[i]});
        assert_false(route(engine, rows[i])->wrong);
        test_all(engine);
        assert_true(route(engine, rows[i])->wrong);
        assert_non_null(strstr(f->warning, rows[i]));
        assert_int_equal(f->n_warnings, (int)i + 1); /* and no other */
        if (i == 0) {
            static float got[N], want[N];
            assert_string_not_equal(kernel_for(engine, 1, N, got), rows[i]);
            qn_decision d = decision_for(engine, 1); /* not even when it was chosen */
            qn_assert_ok(qn_engine_choose(engine, &d, rows[i]));
            assert_string_not_equal(kernel_for(engine, 1, N, got), rows[i]);
            qn_engine *sound = open_engine(f, (qn_engine_options){0});
            kernel_for(sound, 1, N, want);
            qn_engine_close(sound);
            for (int k = 0; k < N; k++) assert_true(got[k] - want[k] < 1e-3f && want[k] - got[k] < 1e-3f);
        }
        qn_engine_close(engine);
    }
}

/* Given up at any step, nothing of it stays. */
static void an_opening_is_given_up(void **state)
{
    (void)state;
    qn_test_allocator a;
    for (int steps = 0; steps < 5; steps++) {
        qn_opening *opening;
        qn_engine *engine = NULL, *second;
        bool pending = true;
        qn_test_allocator_init(&a);
        const qn_engine_options options = {.self_test = true, .allocator = &a.allocator};
        qn_assert_ok(qn_opening_open(&options, &opening));
        for (int i = 0; i < steps && !engine; i++) qn_assert_ok(qn_opening_step(opening, &engine, &pending));
        assert_false(engine && pending);
        if (engine) qn_assert_fails(qn_opening_step(opening, &second, NULL), QN_ERR_STATE, "open already");
        qn_opening_close(opening);
        qn_engine_close(engine);
        assert_int_equal(atomic_load(&a.blocks), 0);
    }
}

static void a_self_test_is_given_up(void **state)
{
    qn_engine *engine = open_engine(*state, (qn_engine_options){0});
    for (int steps = 0; steps < 5; steps++) {
        qn_self_test *test;
        bool done = false;
        qn_assert_ok(qn_self_test_open(engine, true, &test));
        for (int i = 0; i < steps; i++) qn_assert_ok(qn_self_test_step(test, &done));
        assert_false(done);
        qn_self_test_close(test);
    }
    assert_false(route(engine, "linear.gemm")->tested);
    qn_engine_close(engine);
}

/* What an earlier run found wrong is not used in this one. */
static void a_wrong_row_is_remembered(void **state)
{
    fixture *f = *state;
    qn_engine *engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder});
    const char *one = kernel_for(engine, 1, N, NULL);
    qn_assert_ok(qn_choices_set_test(&engine->choices, qn_row_find(one), true));
    qn_assert_ok(qn_engine_save_choices(engine));
    qn_engine_close(engine);
    engine = open_engine(f, (qn_engine_options){.cache_dir = f->folder, .self_test = true});
    assert_true(route(engine, one)->wrong);
    assert_string_not_equal(kernel_for(engine, 1, N, NULL), one);
    qn_engine_close(engine);
}

/* ---- what passes ------------------------------------------------------------------------------ */

static const char tried[] = "linear.gemm8_few";
enum { TRIES = 4, CALLS = 3 }; /* a row is tried so often at most, each time with so many dispatches of it */

/* An engine whose self-test has this row left to try. */
static qn_engine *open_for_one(qn_engine_options o)
{
    qn_engine *engine = NULL;
    o.baseline = true;
    qn_assert_ok(qn_test_open_engine(o, &engine));
    ((qn_device_info *)(uintptr_t)qn_engine_device(engine))->type = QN_ADAPTER_DISCRETE;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++)
            if (strcmp((*t)->rows[i].name, tried) != 0)
                qn_assert_ok(qn_choices_set_test(&engine->choices, &(*t)->rows[i], false));
    return engine;
}

/* What the self-test finds of it; error_behind: the step behind which WebGPU reports an error. */
static bool is_found_wrong(qn_engine *engine, uint32_t error_behind)
{
    qn_self_test *test;
    bool done = false;
    qn_assert_ok(qn_self_test_open(engine, false, &test));
    for (uint32_t n = 1; !done; n++) {
        qn_assert_ok(qn_self_test_step(test, &done));
        if (!done && n == error_behind) qn_test_cause_error(engine);
    }
    assert_int_equal(qn_self_test_found(test), 1);
    qn_self_test_close(test);
    assert_true(route(engine, tried)->tested);
    return route(engine, tried)->wrong;
}

/* The broken row's kernels are forgotten, and those compiled from now on are whole. */
static void mend(qn_engine *engine)
{
    qn_cached_kernel *cached = engine->kernels;
    for (size_t i = 0; i < engine->n_kernels; i++)
        if (cached[i].row && strcmp(cached[i].row->name, engine->break_route) == 0) cached[i].row = NULL;
    qn_free(engine->allocator, engine->break_route);
    engine->break_route = NULL;
}

/* A row is right if it was right in one try of four. */
static void a_row_that_was_wrong_at_first_is_used(void **state)
{
    (void)state;
    for (uint32_t wrong_tries = 1; wrong_tries <= TRIES; wrong_tries++) {
        qn_test_mishap mending = {0};
        qn_engine_options options = qn_test_mishap_options(&mending);
        options.break_route = tried;
        qn_engine *engine = open_for_one(options);
        mending = (qn_test_mishap){engine, tried, (wrong_tries - 1) * CALLS, mend};
        assert_int_equal(is_found_wrong(engine, 0), wrong_tries == TRIES);
        assert_null(mending.engine);
        qn_engine_close(engine);
    }
}

/* WebGPU fails once, while a call is recorded or while its results are waited for: as well. */
static void an_error_that_passes_condemns_no_row(void **state)
{
    (void)state;
    for (uint32_t call = 0; call < CALLS; call++) {
        qn_test_mishap mishap = {0};
        qn_engine *engine = open_for_one(qn_test_mishap_options(&mishap));
        mishap = (qn_test_mishap){engine, tried, call, qn_test_cause_error};
        assert_false(is_found_wrong(engine, 0));
        assert_null(mishap.engine);
        qn_engine_close(engine);
    }
    for (uint32_t step = 1; step <= CALLS; step++) {
        qn_engine *engine = open_for_one((qn_engine_options){0});
        assert_false(is_found_wrong(engine, step));
        qn_engine_close(engine);
    }
}

/* Which kernels it falls over cannot be told, but how to go on without them. */
static void a_device_lost_in_the_test_is_told(void **state)
{
    (void)state;
    qn_test_mishap mishap = {0};
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine(qn_test_mishap_options(&mishap), &engine));
    mishap = (qn_test_mishap){.engine = engine, .happen = qn_engine_lose_device};
    qn_self_test *test;
    bool done = false;
    qn_assert_ok(qn_self_test_open(engine, true, &test));
    qn_status s = qn_ok();
    while (s.code == QN_OK && !done) s = qn_self_test_step(test, &done);
    qn_self_test_close(test);
    qn_assert_fails(s, QN_ERR_DEVICE_LOST, "--baseline");
    assert_null(mishap.engine);
    qn_engine_close(engine);
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.baseline = true, .self_test = true}, &engine));
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++) assert_false(route(engine, (*t)->rows[i].name)->tested);
    qn_engine_close(engine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_choice_is_for_its_shape_and_rows),
        TEST(a_choice_bends_to_what_is_possible),
        TEST(a_cache_folder_keeps_choices),
        TEST(a_damaged_file_is_left_alone),
        TEST(two_engines_save_alike),
        TEST(every_row_passes),
        TEST(a_wrong_row_is_dropped),
        TEST(a_wrong_row_is_remembered),
        TEST(an_opening_is_given_up),
        TEST(a_self_test_is_given_up),
        TEST(a_row_that_was_wrong_at_first_is_used),
        TEST(an_error_that_passes_condemns_no_row),
        TEST(a_device_lost_in_the_test_is_told),
    };
    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
