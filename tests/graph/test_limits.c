/* A device with small limits (qn_engine_options.max_binding_bytes): weights in parts, outputs, caches and attention in
 * windows and rounds give what the same graph gives undivided. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

extern const qn_kernel_table qn_linear_kernels;

static qn_engine *open_engine(uint64_t max_binding_bytes, const char *route)
{
    qn_engine *engine = NULL;
    qn_engine_options options = {.baseline = true, .max_binding_bytes = max_binding_bytes, .route = route};
    qn_assert_ok(qn_test_open_engine(options, &engine));
    return engine;
}

static qn_weight *make_weight(qn_engine *engine, const qn_test_matrix *m)
{
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_create(engine, &m->desc, &w));
    return w;
}

/* Dispatches of an operation in the last submit. */
static size_t count_dispatches(const qn_graph *g, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++) n += strcmp(qn_graph_dispatch(g, i).op, op) == 0;
    return n;
}

/* ---- linear ---------------------------------------------------------------------------------- */

enum { LINEAR_N = 512, LINEAR_K = 256, LINEAR_M = 100, LINEAR_LIMIT = 128 << 10 };
static const uint32_t linear_live[] = {100, 1, 65, 64, 3, 100};
enum { N_LINEAR_LIVE = sizeof linear_live / sizeof linear_live[0] };

/* y[M, N] of every live M, one after another; *most: dispatches of the largest. */
static float *run_linear(qn_engine *engine, const qn_test_matrix *m, const float *x_data, size_t *most)
{
    qn_weight *w = make_weight(engine, m);
    float bias[LINEAR_N];
    qn_test_fill(bias, LINEAR_N, 7, 1.0f);
    qn_weight *b = qn_test_plain(engine, "bias", qn_shape_1(LINEAR_N), bias);
    qn_graph *g = qn_test_graph(engine);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(LINEAR_M, LINEAR_K));
    qn_value y = qn_linear(g, x, qn_graph_weight(g, w), qn_graph_weight(g, b));
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    float *all = calloc(N_LINEAR_LIVE * LINEAR_M * LINEAR_N, sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < N_LINEAR_LIVE; i++) {
        uint32_t rows = linear_live[i];
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(rows, LINEAR_K), x_data));
        const void *got = qn_test_run(g, y, qn_shape_2(rows, LINEAR_N));
        memcpy(all + (size_t)i * LINEAR_M * LINEAR_N, got, rows * LINEAR_N * sizeof *all);
    }
    *most = qn_graph_n_dispatches(g);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_weight_free(b);
    return all;
}

static void linear_in_parts_and_windows(void **state)
{
    (void)state;
    /* f32 [512, 256] in 4 parts; an output of 200 KiB in windows of 64 rows: 8 dispatches. */
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_F32, LINEAR_N, LINEAR_K, 0, false, 1);
    m.desc.matrix = true;
    float *x = qn_test_floats(LINEAR_M * LINEAR_K, 2, 1.0f);
    for (uint32_t r = 0; r <= qn_linear_kernels.n_rows; r++) { /* the last: unforced */
        const char *route = r < qn_linear_kernels.n_rows ? qn_linear_kernels.rows[r].name : NULL;
        qn_engine *whole = open_engine(0, route), *small = open_engine(LINEAR_LIMIT, route);
        size_t one = 0, many = 0, size = N_LINEAR_LIVE * LINEAR_M * LINEAR_N * sizeof(float);
        float *want = run_linear(whole, &m, x, &one), *got = run_linear(small, &m, x, &many);
        assert_int_equal(one, 1);
        assert_int_equal(many, 8);
        if (memcmp(got, want, size) != 0) fail_msg("%s: another result in parts", route ? route : "the usual routes");
        free(want);
        free(got);
        qn_engine_close(small);
        qn_engine_close(whole);
    }
    free(x);
    qn_test_matrix_free(&m);
}

/* Too long a row for windows of 64: refused when the graph is built, with the numbers. */
static void what_cannot_be_divided_is_refused(void **state)
{
    (void)state;
    qn_engine *engine = open_engine(16 << 10, NULL);
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, 1000, 32, 32, true, 1);
    qn_weight *w = make_weight(engine, &m);
    qn_graph *g = qn_test_graph(engine);
    qn_linear(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(8, 32)), qn_graph_weight(g, w), 0);
    qn_assert_fails(qn_graph_build(g), QN_ERR_LIMIT, "16384"); /* 8 rows of 4000 bytes */
    qn_graph_close(g);
    g = qn_test_graph(engine);
    qn_graph_input(g, "wide input", QN_F32, qn_shape_1(10000)); /* no buffer is as large */
    qn_assert_fails(qn_graph_build(g), QN_ERR_LIMIT, "wide input");
    qn_graph_close(g);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
    float *data = qn_test_floats(10000, 1, 1.0f);
    qn_weight_desc desc = {.name = "wide table", .kind = QN_WEIGHT_F32, .shape = {1, {10000}}, .data = data};
    qn_assert_fails(qn_weight_create(engine, &desc, &w), QN_ERR_LIMIT, "wide table");
    desc =
        (qn_weight_desc){.name = "long", .kind = QN_WEIGHT_F32, .matrix = true, .shape = {2, {1, 10000}}, .data = data};
    qn_assert_fails(qn_weight_create(engine, &desc, &w), QN_ERR_LIMIT, "long: one row block");
    free(data);
    qn_engine_close(engine);
}

/* ---- embedding ------------------------------------------------------------------------------- */

enum { VOCAB = 3000, EMBD = 128, TOKENS = 100 };

static void run_embedding(qn_engine *engine, const qn_test_matrix *m, const int32_t *ids, size_t least, float *out)
{
    qn_weight *w = make_weight(engine, m);
    qn_graph *g = qn_test_graph(engine);
    qn_value i = qn_graph_input(g, "ids", QN_I32, qn_shape_1(TOKENS)), y = qn_embedding(g, qn_graph_weight(g, w), i);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, i, qn_shape_1(TOKENS), ids));
    memcpy(out, qn_test_run(g, y, qn_shape_2(TOKENS, EMBD)), TOKENS * EMBD * sizeof *out);
    assert_true(qn_graph_n_dispatches(g) >= least);
    qn_graph_close(g);
    qn_weight_free(w);
}

static void embedding_over_parts(void **state)
{
    (void)state;
    static const qn_weight_kind kinds[] = {QN_WEIGHT_Q4, QN_WEIGHT_Q8, QN_WEIGHT_F16, QN_WEIGHT_F32, QN_WEIGHT_Q4A};
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)(qn_test_random(1, (uint64_t)i) % VOCAB);
    ids[0] = 0; /* the ends, and ids outside, which clamp */
    ids[1] = VOCAB - 1;
    ids[2] = VOCAB;
    ids[3] = -1;
    ids[4] = INT32_MAX;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        qn_test_matrix m = qn_test_matrix_make(kinds[k], VOCAB, EMBD, 32, k % 2, 3);
        m.desc.matrix = true;
        qn_engine *whole = open_engine(0, NULL), *small = open_engine(48 << 10, NULL);
        float *want = calloc(TOKENS * EMBD, sizeof *want), *got = calloc(TOKENS * EMBD, sizeof *got);
        run_embedding(whole, &m, ids, 1, want);
        run_embedding(small, &m, ids, 2 * 4, got); /* two windows of tokens, four parts or more */
        assert_memory_equal(got, want, TOKENS * EMBD * sizeof *got);
        free(want);
        free(got);
        qn_engine_close(small);
        qn_engine_close(whole);
        qn_test_matrix_free(&m);
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

typedef struct attention {
    uint32_t heads, kv_heads, dim, rows, cache;
    uint64_t limit;
    size_t least_softmax, least_writes; /* rounds; dispatches that write the caches */
} attention;

static void fill_inputs(qn_graph *g, const attention *a, const qn_value in[3], qn_value pos, uint32_t rows, uint32_t at)
{
    for (int i = 0; i < 3; i++) {
        uint32_t heads = i == 0 ? a->heads : a->kv_heads;
        float *x = qn_test_floats((size_t)rows * heads * a->dim, 10 + (uint64_t)i, 1.0f);
        qn_assert_ok(qn_graph_set_input(g, in[i], qn_shape_4(1, rows, heads, a->dim), x));
        free(x);
    }
    qn_assert_ok(qn_graph_set_int(g, pos, at));
}

/* The output at (rows, pos) over caches of random rows; the caches afterwards behind it. */
static float *run_attention(qn_engine *engine, const attention *a, uint32_t rows, uint32_t at, bool divided)
{
    size_t n_out = (size_t)rows * a->heads * a->dim, n_cache = (size_t)a->cache * a->kv_heads * a->dim;
    qn_graph *g = qn_test_graph(engine);
    const qn_value in[3] = {qn_graph_input(g, "q", QN_F32, qn_shape_4(1, a->rows, a->heads, a->dim)),
                            qn_graph_input(g, "k", QN_F32, qn_shape_4(1, a->rows, a->kv_heads, a->dim)),
                            qn_graph_input(g, "v", QN_F32, qn_shape_4(1, a->rows, a->kv_heads, a->dim))};
    qn_shape shape = qn_shape_4(1, a->cache, a->kv_heads, a->dim);
    const qn_value caches[2] = {qn_graph_state(g, "kc", QN_F32, shape), qn_graph_state(g, "vc", QN_F32, shape)};
    qn_value pos = qn_graph_int(g, "pos", a->cache);
    qn_value o = qn_sdpa_with_kv_cache(g, in[0], in[1], in[2], caches[0], caches[1], pos, NULL);
    qn_graph_output(g, o, "o");
    qn_assert_ok(qn_graph_build(g));
    for (int i = 0; i < 2; i++) {
        float *x = qn_test_floats(n_cache, 20 + (uint64_t)i, 1.0f);
        qn_assert_ok(qn_graph_write_state(g, caches[i], x));
        free(x);
    }
    fill_inputs(g, a, in, pos, rows, at);
    float *out = calloc(n_out + 2 * n_cache, sizeof *out);
    assert_non_null(out);
    memcpy(out, qn_test_run(g, o, qn_shape_4(1, rows, a->heads, a->dim)), n_out * sizeof *out);
    for (size_t i = 0; i < 2; i++) qn_assert_ok(qn_test_read_state(g, caches[i], out + n_out + i * n_cache));
    size_t softmax = 0, total = count_dispatches(g, "sdpa_with_kv_cache");
    for (size_t i = 0; i < total; i++) softmax += strstr(qn_graph_dispatch(g, i).kernel, "softmax") != NULL;
    if (divided)
        assert_true(softmax >= a->least_softmax && total >= a->least_softmax * 3 + a->least_writes);
    else
        assert_true(softmax == 1 && total == 5);
    qn_graph_close(g);
    return out;
}

static void check_attention(const attention *a, uint32_t rows, uint32_t at)
{
    qn_engine *whole = open_engine(0, NULL), *small = open_engine(a->limit, NULL);
    size_t n_out = (size_t)rows * a->heads * a->dim, n_cache = 2 * (size_t)a->cache * a->kv_heads * a->dim;
    float *want = run_attention(whole, a, rows, at, false), *got = run_attention(small, a, rows, at, true);
    double *exact = calloc(n_out, sizeof *exact);
    for (size_t i = 0; i < n_out; i++) exact[i] = (double)want[i];
    qn_test_compare("attention", got, exact, n_out, (qn_tolerance){1e-6, 1e-5});
    assert_memory_equal(got + n_out, want + n_out, n_cache * sizeof *got); /* the caches: bit for bit */
    free(exact);
    free(want);
    free(got);
    qn_engine_close(small);
    qn_engine_close(whole);
}

static void attention_in_rounds_and_windows(void **state)
{
    (void)state;
    /* Rounds over rows: 8 heads over 1,050 positions are 33 KB a row, of 128 KiB; the cache lies in two windows of
     * 1,024 rows, and the new rows in both. */
    check_attention(&(attention){8, 2, 16, 40, 2000, 128 << 10, 10, 4}, 40, 1010);
    check_attention(&(attention){8, 2, 16, 40, 2000, 128 << 10, 2, 2}, 40, 120); /* in the first window only */
    /* Rounds over heads: one row of 32 heads over 1,000 positions is 128 KB, of 16 KiB: 4 of a group of 16. */
    check_attention(&(attention){32, 2, 4, 2, 1000, 16 << 10, 2 * 8, 2}, 2, 998);
    check_attention(&(attention){32, 8, 4, 2, 100, 8 << 10, 2 * 2, 2}, 2, 95); /* whole groups of 4 heads */
}

/* ---- a model --------------------------------------------------------------------------------- */

/* A model whose token embedding is over the limit: in three parts as embedding and as output matrix. */
static void a_model_in_parts(void **state)
{
    (void)state;
    qn_random_model description = qn_test_small_model();
    description.n_vocab = 40000;
    description.embd_type = 0; /* f32: 10 MB */
    enum { N_TOKENS = 21 };
    int32_t tokens[N_TOKENS];
    qn_test_tokens(tokens, N_TOKENS, description.n_vocab, 1);
    float *logits[2];
    for (int small = 0; small < 2; small++) {
        qn_engine *engine = open_engine(small ? 4 << 20 : 0, NULL);
        qn_model *model = qn_test_load_random(engine, &description);
        qn_session *s = qn_test_session(model, 32, 8);
        logits[small] = calloc(description.n_vocab, sizeof(float));
        assert_non_null(logits[small]);
        qn_test_feed(s, tokens, N_TOKENS, description.n_vocab, logits[small]);
        const qn_graph *g = qn_session_graph(s);
        assert_int_equal(count_dispatches(g, "embedding"), small ? 3 : 1);
        qn_session_close(s);
        qn_model_close(model);
        qn_engine_close(engine);
    }
    assert_memory_equal(logits[0], logits[1], description.n_vocab * sizeof(float));
    free(logits[0]);
    free(logits[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_in_parts_and_windows),
        cmocka_unit_test(what_cannot_be_divided_is_refused),
        cmocka_unit_test(embedding_over_parts),
        cmocka_unit_test(attention_in_rounds_and_windows),
        cmocka_unit_test(a_model_in_parts),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
