/* update_cache and sdpa_with_kv_cache on the software device, every kernel row, against the plain references. Caches
 * hold NaN wherever no row was written: a kernel that reads past the live context shows. */
#include "ops/attention_ref.h"
#include "ops/op.h"
#include "support/op_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const qn_tolerance tolerance = {1e-4, 1e-3};

/* ---- one attention graph --------------------------------------------------------------------- */

typedef struct heads {
    uint32_t q, kv, dim; /* Hq, Hkv, D */
} heads;

typedef struct call {
    uint32_t seq, pos;
} call;

typedef struct fixture {
    heads heads;
    uint32_t cache_rows;
    size_t row; /* elements of a cache row */
    qn_graph *graph;
    qn_value q, k, v, k_cache, v_cache, pos, o;
    float *k_host, *v_host; /* what the caches must hold */
    float scale;            /* of random q and k         */
} fixture;

static fixture open_graph(qn_engine *engine, heads h, uint32_t max_seq, uint32_t cache_rows)
{
    fixture f = {.heads = h, .cache_rows = cache_rows, .row = (size_t)h.kv * h.dim, .scale = 1.0f};
    qn_graph *g = f.graph = qn_test_graph(engine);
    f.q = qn_graph_input(g, "q", QN_F32, qn_shape_4(1, max_seq, h.q, h.dim));
    f.k = qn_graph_input(g, "k", QN_F32, qn_shape_4(1, max_seq, h.kv, h.dim));
    f.v = qn_graph_input(g, "v", QN_F32, qn_shape_4(1, max_seq, h.kv, h.dim));
    f.k_cache = qn_graph_state(g, "k_cache", QN_F32, qn_shape_4(1, cache_rows, h.kv, h.dim));
    f.v_cache = qn_graph_state(g, "v_cache", QN_F32, qn_shape_4(1, cache_rows, h.kv, h.dim));
    f.pos = qn_graph_int(g, "input_pos", cache_rows);
    f.o = qn_sdpa_with_kv_cache(g, f.q, f.k, f.v, f.k_cache, f.v_cache, f.pos, NULL);
    qn_graph_output(g, f.o, "o");
    qn_assert_ok(qn_graph_build(g));
    f.k_host = qn_test_allocate(cache_rows * f.row * sizeof(float));
    f.v_host = qn_test_allocate(cache_rows * f.row * sizeof(float));
    return f;
}

static void close_graph(fixture *f)
{
    qn_graph_close(f->graph);
    free(f->k_host);
    free(f->v_host);
}

/* Rows 0..n-1 of both caches become random numbers, all others NaN. */
static void fill_caches(fixture *f, uint32_t n)
{
    for (size_t i = 0; i < f->cache_rows * f->row; i++) f->k_host[i] = f->v_host[i] = NAN;
    qn_test_fill(f->k_host, n * f->row, 11, f->scale);
    qn_test_fill(f->v_host, n * f->row, 12, 1.0f);
    qn_assert_ok(qn_graph_write_state(f->graph, f->k_cache, f->k_host));
    qn_assert_ok(qn_graph_write_state(f->graph, f->v_cache, f->v_host));
}

/* Random q, k, v; the host's caches get k and v, too. Returns q (free it). */
static float *set_inputs(fixture *f, call c)
{
    heads h = f->heads;
    uint64_t seed = 1000 * c.pos + c.seq;
    float *q = qn_test_floats((size_t)c.seq * h.q * h.dim, seed, f->scale);
    float *k = qn_test_floats(c.seq * f->row, seed + 1, f->scale), *v = qn_test_floats(c.seq * f->row, seed + 2, 1.0f);
    qn_assert_ok(qn_graph_set_input(f->graph, f->q, qn_shape_4(1, c.seq, h.q, h.dim), q));
    qn_assert_ok(qn_graph_set_input(f->graph, f->k, qn_shape_4(1, c.seq, h.kv, h.dim), k));
    qn_assert_ok(qn_graph_set_input(f->graph, f->v, qn_shape_4(1, c.seq, h.kv, h.dim), v));
    qn_assert_ok(qn_graph_set_int(f->graph, f->pos, c.pos));
    qn_update_cache_ref(k, f->k_host, c.seq, c.pos, f->row);
    qn_update_cache_ref(v, f->v_host, c.seq, c.pos, f->row);
    free(k);
    free(v);
    return q;
}

static void check_state(const fixture *f, qn_value cache, const float *want)
{
    size_t bytes = f->cache_rows * f->row * sizeof(float);
    float *got = qn_test_allocate(bytes);
    qn_assert_ok(qn_test_read_state(f->graph, cache, got));
    assert_true(memcmp(got, want, bytes) == 0);
    free(got);
}

/* Runs one call and compares output and caches with the reference. */
static void check_call(fixture *f, call c, bool states)
{
    heads h = f->heads;
    char what[128];
    snprintf(what, sizeof what, "D=%u Hq=%u Hkv=%u C=%u S=%u pos=%u (%s)", h.dim, h.q, h.kv, f->cache_rows, c.seq,
             c.pos, qn_graph_n_dispatches(f->graph) ? qn_graph_dispatch(f->graph, 4).kernel : "first");
    float *q = set_inputs(f, c);
    const float *got = qn_test_run(f->graph, f->o, qn_shape_4(1, c.seq, h.q, h.dim));
    size_t n = (size_t)c.seq * h.q * h.dim;
    double *want = qn_test_allocate(n * sizeof *want);
    qn_sdpa_ref_shape shape = {c.seq, c.pos, h.q, h.kv, h.dim, 0};
    qn_assert_ok(qn_sdpa_ref(NULL, &shape, q, f->k_host, f->v_host, want));
    qn_test_compare(what, got, want, n, tolerance);
    if (states) {
        check_state(f, f->k_cache, f->k_host);
        check_state(f, f->v_cache, f->v_host);
    }
    free(want);
    free(q);
}

/* One graph driven through prompts and decode steps, contexts of every remainder by 4, and to the cache's end. */
static void drive(qn_engine *engine, heads h, uint32_t max_seq, uint32_t cache_rows)
{
    static const call calls[] = {{5, 0}, {1, 5}, {1, 6}, {17, 7}, {2, 24}, {1, 26}, {64, 27}, {5, 91}};
    fixture f = open_graph(engine, h, max_seq, cache_rows);
    fill_caches(&f, 0);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].seq <= max_seq && calls[i].pos + calls[i].seq <= cache_rows) {
            if (calls[i].pos > 27) fill_caches(&f, calls[i].pos);
            check_call(&f, calls[i], i == 3);
        }
    fill_caches(&f, cache_rows - 1);
    check_call(&f, (call){1, cache_rows - 1}, false);
    fill_caches(&f, cache_rows - max_seq);
    check_call(&f, (call){max_seq, cache_rows - max_seq}, true);
    close_graph(&f);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static const uint32_t head_dims[] = {4, 8, 12, 64, 80, 96, 128, 256};
static const uint32_t head_counts[][2] = {{1, 1}, {4, 4}, {6, 2}, {8, 1}, {32, 8}};

static void every_shape(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t d = 0; d < sizeof head_dims / sizeof head_dims[0]; d++)
        for (size_t h = 0; h < sizeof head_counts / sizeof head_counts[0]; h++) {
            bool large = head_counts[h][0] * head_dims[d] > 2048;
            drive(engine, (heads){head_counts[h][0], head_counts[h][1], head_dims[d]}, large ? 17 : 64, 97);
        }
    qn_engine_close(engine);
}

/* The rows of attention's tables that the engine's device can run; the others are named. */
static size_t list_rows(const char **names, size_t capacity)
{
    qn_engine *engine = qn_test_engine(NULL);
    size_t n = 0;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows && n < capacity; i++) {
            const qn_kernel_row *row = &(*t)->rows[i];
            if (strncmp(row->name, "sdpa.", 5) != 0) continue;
            if (qn_row_runs_on(row, qn_engine_device(engine)))
                names[n++] = row->name;
            else
                print_message("this device cannot run %s\n", row->name);
        }
    qn_engine_close(engine);
    return n;
}

static void every_row(void **state)
{
    (void)state;
    const char *names[32];
    size_t n = list_rows(names, 32);
    for (size_t i = 0; i < n; i++) {
        qn_engine *engine = qn_test_engine(names[i]);
        drive(engine, (heads){6, 2, 64}, 64, 97);
        drive(engine, (heads){4, 4, 12}, 5, 9);
        drive(engine, (heads){8, 1, 80}, 17, 40);
        fixture f = open_graph(engine, (heads){1, 1, 4}, 1, 2);
        fill_caches(&f, 1);
        check_call(&f, (call){1, 1}, true);
        assert_true(qn_test_dispatched(f.graph, names[i]));
        close_graph(&f);
        qn_engine_close(engine);
    }
}

static void long_context(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = open_graph(engine, (heads){4, 2, 64}, 64, 2048);
    fill_caches(&f, 1984);
    check_call(&f, (call){64, 1984}, true);
    check_call(&f, (call){1, 2047}, false);
    close_graph(&f);
    f = open_graph(engine, (heads){2, 1, 4}, 1, 70000);
    fill_caches(&f, 69999);
    check_call(&f, (call){1, 69999}, true);
    close_graph(&f);
    qn_engine_close(engine);
}

/* Logits of several thousand: only subtracting the largest keeps exp finite. */
static void large_logits(void **state)
{
    (void)state;
    static const char *const rows[] = {"sdpa.softmax_each", "sdpa.softmax_row"};
    for (size_t i = 0; i < 2; i++) {
        qn_engine *engine = qn_test_engine(rows[i]);
        fixture f = open_graph(engine, (heads){4, 1, 32}, 6, 16);
        f.scale = 60.0f;
        fill_caches(&f, 0);
        check_call(&f, (call){6, 0}, false);
        check_call(&f, (call){1, 6}, false);
        close_graph(&f);
        qn_engine_close(engine);
    }
}

/* ---- bit for bit ----------------------------------------------------------------------------- */

/* Outputs of some calls under a forced row, one after the other in *out (free it). */
static size_t outputs_of(const char *route, heads h, float **out)
{
    qn_engine *engine = qn_test_engine(route);
    fixture f = open_graph(engine, h, 17, 64);
    size_t n = 0, row = (size_t)h.q * h.dim;
    *out = qn_test_allocate(64 * row * sizeof(float));
    fill_caches(&f, 0);
    uint32_t pos = 0;
    static const uint32_t seqs[] = {5, 1, 1, 1, 1, 17, 2, 4, 3, 1};
    for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
        free(set_inputs(&f, (call){seqs[i], pos}));
        const float *o = qn_test_run(f.graph, f.o, qn_shape_4(1, seqs[i], h.q, h.dim));
        assert_true(qn_test_dispatched(f.graph, route));
        memcpy(*out + n, o, sizeof(float) * seqs[i] * row);
        n += seqs[i] * row;
        pos += seqs[i];
    }
    close_graph(&f);
    qn_engine_close(engine);
    return n;
}

static void equals_plain_kernel(void **state)
{
    (void)state;
    static const heads shapes[] = {{6, 2, 64}, {4, 4, 12}, {8, 1, 80}, {2, 1, 4}};
    for (size_t i = 0; i < 4; i++) {
        float *plain, *vec4;
        size_t n = outputs_of("sdpa.av_plain", shapes[i], &plain);
        assert_true(outputs_of("sdpa.av", shapes[i], &vec4) == n);
        for (size_t k = 0; k < n; k++)
            if (isnan(plain[k])) fail_msg("element %zu is NaN", k);
        assert_true(memcmp(plain, vec4, n * sizeof(float)) == 0);
        free(plain);
        free(vec4);
    }
}

/* ---- rounds and windows ---------------------------------------------------------------------- */

static void check_rounds(heads h, uint32_t max_seq, uint32_t cache_rows, call c, size_t n_dispatches)
{
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = open_graph(engine, h, max_seq, cache_rows);
    fill_caches(&f, c.pos);
    check_call(&f, c, false);
    assert_int_equal(qn_graph_n_dispatches(f.graph), n_dispatches);
    close_graph(&f);
    qn_engine_close(engine);
}

static void rounds_over_rows(void **state)
{
    (void)state;
    check_rounds((heads){32, 2, 4}, 64, 17000, (call){64, 16930}, 2 + 3 * 2);
}

static void rounds_over_heads(void **state)
{
    (void)state;
    check_rounds((heads){64, 2, 4}, 2, 540001, (call){1, 539999}, 2 + 3 * 2); /* 32 heads of 64 at a time */
    check_rounds((heads){64, 1, 4}, 2, 540001, (call){1, 539999}, 2 + 3 * 2); /* 62 of a group of 64      */
}

static void windows_of_large_caches(void **state)
{
    (void)state;
    /* 8 KiB a row: 16,384 rows in the first window, 16 in the second; the new rows lie in both. */
    check_rounds((heads){8, 8, 256}, 5, 16400, (call){5, 16381}, 2 * 2 + 5);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused_calls_write_nothing(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    fixture f = open_graph(engine, (heads){2, 2, 8}, 4, 8);
    fill_caches(&f, 0);
    check_call(&f, (call){4, 0}, true);
    size_t bytes = f.cache_rows * f.row * sizeof(float);
    float *k = qn_test_allocate(bytes), *v = qn_test_allocate(bytes);
    memcpy(k, f.k_host, bytes);
    memcpy(v, f.v_host, bytes);
    float rows[4 * 2 * 8] = {0};
    for (qn_value x = f.q; x <= f.v; x++) qn_assert_ok(qn_graph_set_input(f.graph, x, qn_shape_4(1, 4, 2, 8), rows));
    qn_assert_ok(qn_graph_set_int(f.graph, f.pos, 6));
    qn_assert_fails(qn_test_execute(f.graph), QN_ERR_ARGUMENT, "input_pos 6 + 4 rows");
    check_state(&f, f.k_cache, k);
    check_state(&f, f.v_cache, v);
    qn_assert_ok(qn_graph_set_int(f.graph, f.pos, 4));
    qn_assert_ok(qn_graph_set_input(f.graph, f.v, qn_shape_4(1, 3, 2, 8), rows));
    qn_assert_fails(qn_test_execute(f.graph), QN_ERR_ARGUMENT, "4, 4 and 3 rows");
    assert_int_not_equal(qn_graph_set_input(f.graph, f.q, qn_shape_4(1, 0, 2, 8), rows).code, QN_OK);
    assert_int_not_equal(qn_graph_set_int(f.graph, f.pos, -1).code, QN_OK);
    check_state(&f, f.k_cache, k);
    check_state(&f, f.v_cache, v);
    check_call(&f, (call){1, 4}, true); /* and the graph goes on */
    free(k);
    free(v);
    close_graph(&f);
    qn_engine_close(engine);
}

static void refuses_head_dim(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_graph *g = qn_test_graph(engine);
    qn_shape rows = qn_shape_4(1, 2, 2, 6), cache = qn_shape_4(1, 8, 2, 6);
    qn_value q = qn_graph_input(g, "q", QN_F32, rows), k = qn_graph_input(g, "k", QN_F32, rows);
    qn_value v = qn_graph_input(g, "v", QN_F32, rows), pos = qn_graph_int(g, "input_pos", 7);
    qn_value kc = qn_graph_state(g, "k_cache", QN_F32, cache), vc = qn_graph_state(g, "v_cache", QN_F32, cache);
    qn_graph_output(g, qn_sdpa_with_kv_cache(g, q, k, v, kc, vc, pos, NULL), "o");
    qn_assert_fails(qn_graph_build(g), QN_ERR_UNSUPPORTED, "head_dim 6");
    qn_graph_close(g);
    qn_engine_close(engine);
}

/* ---- neutrality ------------------------------------------------------------------------------ */

static void maximum_does_not_matter(void **state)
{
    (void)state;
    static const call calls[] = {{1, 9}, {5, 9}, {64, 9}, {5, 40}, {1, 9}};
    heads h = {6, 2, 64};
    qn_engine *engine = qn_test_engine(NULL);
    fixture large = open_graph(engine, h, 64, 128);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        call c = calls[i];
        fixture exact = open_graph(engine, h, c.seq, 128);
        fixture *both[] = {&large, &exact};
        const float *o[2];
        for (size_t k = 0; k < 2; k++) {
            fill_caches(both[k], c.pos);
            free(set_inputs(both[k], c));
            o[k] = qn_test_run(both[k]->graph, both[k]->o, qn_shape_4(1, c.seq, h.q, h.dim));
        }
        assert_true(memcmp(o[0], o[1], (size_t)c.seq * h.q * h.dim * sizeof(float)) == 0);
        assert_int_equal(qn_graph_n_dispatches(exact.graph), 5);
        for (size_t d = 0; d < 5; d++) {
            qn_trace a = qn_graph_dispatch(large.graph, d), b = qn_graph_dispatch(exact.graph, d);
            assert_string_equal(a.kernel, b.kernel);
            assert_memory_equal(a.grid, b.grid, sizeof a.grid);
            assert_int_equal(a.n_params, b.n_params);
            assert_memory_equal(a.params, b.params, a.n_params * sizeof(uint32_t));
        }
        close_graph(&exact);
    }
    close_graph(&large);
    qn_engine_close(engine);
}

/* ---- update_cache ---------------------------------------------------------------------------- */

/* Arbitrary bits, among them NaNs with payloads, infinities, subnormals and -0. */
static void copies_bits(qn_engine *engine, uint32_t n_heads, uint32_t dim, const char *kernel)
{
    enum { ROWS = 5, CACHE_ROWS = 12 };
    size_t row = (size_t)n_heads * dim;
    uint32_t *x = qn_test_allocate(ROWS * row * 4), *cache = qn_test_allocate(CACHE_ROWS * row * 4);
    uint32_t *got = qn_test_allocate(CACHE_ROWS * row * 4);
    static const uint32_t special[] = {0x7FC12345, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0x00000001, 0x80000000};
    for (size_t i = 0; i < ROWS * row; i++) x[i] = i % 7 < 6 ? special[i % 7] : qn_test_random(1, i);
    for (size_t i = 0; i < CACHE_ROWS * row; i++) cache[i] = qn_test_random(2, i);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "x", QN_F32, qn_shape_4(1, ROWS, n_heads, dim));
    qn_value state = qn_graph_state(g, "cache", QN_F32, qn_shape_4(1, CACHE_ROWS, n_heads, dim));
    qn_value pos = qn_graph_int(g, "input_pos", CACHE_ROWS);
    qn_update_cache(g, in, state, pos);
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_write_state(g, state, cache));
    static const call calls[] = {{5, 0}, {1, 5}, {3, 9}, {1, 11}, {2, 3}};
    for (size_t i = 0; i < 5; i++) {
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_4(1, calls[i].seq, n_heads, dim), x));
        qn_assert_ok(qn_graph_set_int(g, pos, calls[i].pos));
        qn_assert_ok(qn_test_execute(g));
        assert_true(qn_test_dispatched(g, kernel));
        memcpy(cache + calls[i].pos * row, x, calls[i].seq * row * 4);
        qn_assert_ok(qn_test_read_state(g, state, got));
        assert_true(memcmp(got, cache, CACHE_ROWS * row * 4) == 0);
    }
    qn_assert_ok(qn_graph_set_input(g, in, qn_shape_4(1, 5, n_heads, dim), x));
    qn_assert_ok(qn_graph_set_int(g, pos, 8));
    qn_assert_fails(qn_test_execute(g), QN_ERR_ARGUMENT, "input_pos 8 + 5 rows");
    qn_assert_ok(qn_test_read_state(g, state, got));
    assert_true(memcmp(got, cache, CACHE_ROWS * row * 4) == 0);
    qn_graph_close(g);
    free(x);
    free(cache);
    free(got);
}

static void update_cache_is_exact(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    copies_bits(engine, 1, 1, "update_cache.scalar");
    copies_bits(engine, 3, 7, "update_cache.scalar");
    copies_bits(engine, 2, 6, "update_cache.vec4");
    copies_bits(engine, 8, 64, "update_cache.vec4");
    qn_engine_close(engine);
    engine = qn_test_engine("update_cache.scalar");
    copies_bits(engine, 8, 64, "update_cache.scalar");
    qn_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),
        cmocka_unit_test(every_row),
        cmocka_unit_test(long_context),
        cmocka_unit_test(large_logits),
        cmocka_unit_test(equals_plain_kernel),
        cmocka_unit_test(rounds_over_rows),
        cmocka_unit_test(rounds_over_heads),
        cmocka_unit_test(windows_of_large_caches),
        cmocka_unit_test(refused_calls_write_nothing),
        cmocka_unit_test(refuses_head_dim),
        cmocka_unit_test(maximum_does_not_matter),
        cmocka_unit_test(update_cache_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
