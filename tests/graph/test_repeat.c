/* A repeated execute plans and uploads only what changed, in one pass and one submit, and makes nothing: no GPU object,
 * and not one host allocation, whatever the live shapes. The token loop of a session: run.token_loop. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

enum { ROWS = 20, HEADS = 4, KV_HEADS = 2, DIM = 16, EMBD = HEADS * DIM, CTX = 64, VOCAB = 90 };

/* One layer of a transformer: every operation but the plain activations. */
typedef struct layer {
    qn_test_allocator allocator;
    qn_engine *engine;
    qn_weight *weights[4];
    qn_graph *g;
    qn_value ids, pos, n, logits;
    int32_t tokens[ROWS];
} layer;

static qn_weight *matrix(qn_engine *engine, uint32_t n, uint32_t k, uint64_t seed)
{
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, n, k, 32, true, seed);
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    qn_test_matrix_free(&m);
    return w;
}

static void build_layer(layer *l)
{
    qn_graph *g = l->g = qn_test_graph(l->engine);
    qn_value embd = qn_graph_weight(g, l->weights[0]), norm = qn_graph_weight(g, l->weights[1]);
    qn_value wq = qn_graph_weight(g, l->weights[2]), wk = qn_graph_weight(g, l->weights[3]);
    l->ids = qn_graph_input(g, "ids", QN_I32, qn_shape_1(ROWS));
    l->pos = qn_graph_int(g, "pos", CTX);
    l->n = qn_graph_int(g, "n", ROWS);
    qn_shape cache = qn_shape_4(1, CTX, KV_HEADS, DIM);
    qn_value kc = qn_graph_state(g, "k", QN_F32, cache), vc = qn_graph_state(g, "v", QN_F32, cache);
    qn_rope_table_options table = {.head_dim = DIM, .n_positions = CTX, .freq_base = 10000};
    qn_value angles = qn_rope_table(g, &table), h = qn_embedding(g, embd, l->ids);
    qn_value x = qn_rms_norm(g, h, norm, 1e-5f);
    qn_value q = qn_view(g, qn_linear(g, x, wq, 0), qn_shape_4(1, 0, HEADS, DIM));
    qn_value k = qn_view(g, qn_linear(g, x, wk, 0), qn_shape_4(1, 0, KV_HEADS, DIM));
    q = qn_rope(g, q, angles, l->pos, QN_ROPE_INTERLEAVED);
    k = qn_rope(g, k, angles, l->pos, QN_ROPE_INTERLEAVED);
    qn_value o = qn_view(g, qn_sdpa_with_kv_cache(g, q, k, k, kc, vc, l->pos, NULL), qn_shape_2(0, EMBD));
    h = qn_add(g, h, qn_silu_mul(g, qn_linear(g, o, wq, 0), qn_silu(g, h)));
    l->logits = qn_linear(g, qn_rms_norm(g, qn_last_rows(g, h, l->n, 2), norm, 1e-5f), embd, 0);
    qn_graph_output(g, l->logits, "logits");
    qn_assert_ok(qn_graph_build(g));
}

static int set_up(void **state)
{
    layer *l = calloc(1, sizeof *l);
    assert_non_null(l);
    qn_test_allocator_init(&l->allocator);
    qn_engine_options options = {.baseline = true, .allocator = &l->allocator.allocator};
    qn_assert_ok(qn_test_open_engine(options, &l->engine));
    float *ones = qn_test_floats(EMBD, 1, 1.0f);
    l->weights[0] = matrix(l->engine, VOCAB, EMBD, 2);
    l->weights[1] = qn_test_plain(l->engine, "norm", qn_shape_1(EMBD), ones);
    l->weights[2] = matrix(l->engine, EMBD, EMBD, 3);
    l->weights[3] = matrix(l->engine, KV_HEADS * DIM, EMBD, 4);
    free(ones);
    qn_test_tokens(l->tokens, ROWS, VOCAB, 5);
    build_layer(l);
    *state = l;
    return 0;
}

static int tear_down(void **state)
{
    layer *l = *state;
    qn_graph_close(l->g);
    for (int i = 0; i < 4; i++) qn_weight_free(l->weights[i]);
    qn_engine_close(l->engine);
    assert_int_equal(l->allocator.blocks, 0);
    free(l);
    return 0;
}

/* Executes through the functions that never block. */
static qn_execute_counts run(const layer *l, uint32_t rows, uint32_t pos, uint32_t n)
{
    qn_assert_ok(qn_graph_set_input(l->g, l->ids, qn_shape_1(rows), l->tokens));
    qn_assert_ok(qn_graph_set_int(l->g, l->pos, pos));
    qn_assert_ok(qn_graph_set_int(l->g, l->n, n));
    qn_assert_ok(qn_graph_submit(l->g));
    for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(l->g, &done));
    assert_non_null(qn_graph_output_data(l->g, l->logits, NULL));
    qn_execute_counts c = qn_graph_execute_counts(l->g);
    assert_int_equal(c.submits, 1);
    assert_int_equal(c.passes, 1);
    return c;
}

static void the_same_again_plans_nothing(void **state)
{
    const layer *l = *state;
    qn_execute_counts c = run(l, 7, 3, 1);
    assert_int_equal(c.nodes_planned, l->g->n_nodes);
    assert_true(c.param_bytes_uploaded > 0);
    for (int i = 0; i < 3; i++) {
        c = run(l, 7, 3, 1);
        assert_int_equal(c.nodes_planned, 0);
        assert_int_equal(c.param_bytes_uploaded, 0);
        assert_int_equal(c.objects_made, 0);
    }
}

/* How many nodes have this operation. */
static uint32_t count_nodes(const qn_graph *g, qn_op op)
{
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += qn_graph_node(g, i)->node.op == op;
    return n;
}

static void only_what_depends_on_a_change_is_planned(void **state)
{
    const layer *l = *state;
    uint32_t with_pos = count_nodes(l->g, QN_OP_ROPE) + count_nodes(l->g, QN_OP_SDPA);
    qn_execute_counts first = run(l, 7, 3, 1), c = run(l, 7, 4, 1); /* pos: rope and attention */
    assert_int_equal(c.nodes_planned, with_pos);
    assert_in_range(c.param_bytes_uploaded, with_pos * QN_PARAM_SLOT, first.param_bytes_uploaded - QN_PARAM_SLOT);
    c = run(l, 7, 4, 2); /* n: last_rows and the norm and linear behind it */
    assert_int_equal(c.nodes_planned, 3);
    /* last_rows has a slot for each of its two routes, one of which is live */
    assert_int_equal(c.param_bytes_uploaded, 4 * QN_PARAM_SLOT);
    c = run(l, 8, 4, 2); /* rows: everything but those two, whose input stays [2, EMBD] */
    assert_int_equal(c.nodes_planned, l->g->n_nodes - 2);
    c = run(l, 8, 5, 1);
    assert_int_equal(c.nodes_planned, with_pos + 3);
    /* There and back without an execute between: planned, to the same result. */
    qn_assert_ok(qn_graph_set_int(l->g, l->pos, 9));
    c = run(l, 8, 5, 1);
    assert_int_equal(c.nodes_planned, with_pos);
    c = run(l, 8, 5, 1);
    assert_int_equal(c.nodes_planned, 0);
}

/* The same call gives the same bytes, whatever was planned between. */
static void results_do_not_depend_on_the_way(void **state)
{
    const layer *l = *state;
    float want[2 * VOCAB], got[2 * VOCAB];
    run(l, 5, 0, 2);
    memcpy(want, qn_graph_output_data(l->g, l->logits, NULL), sizeof want);
    static const uint32_t between[][3] = {{20, 0, 1}, {1, 30, 1}, {20, 44, 2}, {2, 5, 2}};
    for (size_t i = 0; i < sizeof between / sizeof between[0]; i++) {
        run(l, between[i][0], between[i][1], between[i][2]);
        run(l, 5, 0, 2);
        memcpy(got, qn_graph_output_data(l->g, l->logits, NULL), sizeof got);
        assert_memory_equal(got, want, sizeof want);
    }
}

static void changing_shapes_allocate_nothing(void **state)
{
    layer *l = *state;
    run(l, 1, 0, 1);
    uint64_t calls = l->allocator.calls, blocks = l->allocator.blocks;
    qn_gpu_counts before = qn_gpu_get_counts(l->engine->gpu);
    l->allocator.fail_at = 1; /* none would be given */
    l->allocator.for_good = true;
    enum { TURNS = 60 };
    for (uint32_t i = 0; i < TURNS; i++) {
        uint32_t rows = 1 + qn_test_random(1, i) % ROWS, n = 1 + qn_test_random(2, i) % 2;
        uint32_t pos = qn_test_random(3, i) % (CTX - rows + 1);
        qn_execute_counts c = run(l, rows, pos, n > rows ? 1 : n);
        assert_int_equal(c.objects_made, 0);
        if (i % 8 == 0) { /* a refused call allocates nothing either */
            qn_assert_ok(qn_graph_set_int(l->g, l->pos, CTX));
            qn_assert_fails(qn_graph_submit(l->g), QN_ERR_ARGUMENT, "64");
        }
        if (i % 8 == 4) qn_assert_ok(qn_graph_want(l->g, l->logits, true));
    }
    qn_gpu_counts after = qn_gpu_get_counts(l->engine->gpu);
    assert_int_equal(l->allocator.calls, calls);
    assert_int_equal(l->allocator.blocks, blocks);
    assert_int_equal(after.buffers, before.buffers);
    assert_int_equal(after.kernels, before.kernels);
    assert_int_equal(after.bindings, before.bindings);
    assert_int_equal(after.encoders - before.encoders, TURNS);
    assert_int_equal(after.passes - before.passes, TURNS);
    assert_int_equal(after.submits - before.submits, TURNS);
    l->allocator.fail_at = 0;
}

static void take(const layer *l, float logits[VOCAB])
{
    qn_shape live;
    const float *data = qn_graph_output_data(l->g, l->logits, &live);
    assert_non_null(data);
    memcpy(logits, data, VOCAB * sizeof *data);
}

/* One call is submitted and the next prepared before the first is done: both give what they give alone, the second
 * plans nothing when it is made, and one that differs from what was prepared is planned again. */
static void a_prepared_call_gives_the_same(void **state)
{
    const layer *l = *state;
    float first[VOCAB], second[VOCAB], got[VOCAB];
    run(l, 5, 0, 1);
    take(l, first);
    run(l, 1, 5, 1);
    take(l, second);
    for (uint32_t pos = 5; pos <= 6; pos++) {
        qn_assert_ok(qn_graph_set_input(l->g, l->ids, qn_shape_1(5), l->tokens));
        qn_assert_ok(qn_graph_set_int(l->g, l->pos, 0));
        qn_assert_ok(qn_graph_submit(l->g));
        qn_assert_ok(qn_graph_set_input(l->g, l->ids, qn_shape_1(1), l->tokens + 9)); /* the token is not known yet */
        qn_assert_ok(qn_graph_set_int(l->g, l->pos, pos));
        qn_assert_ok(qn_graph_prepare(l->g));
        for (bool done = false; !done;) qn_assert_ok(qn_graph_poll(l->g, &done));
        take(l, got);
        assert_memory_equal(got, first, sizeof got);
        assert_true(qn_graph_execute_counts(l->g).nodes_planned > 0); /* of the first */
        qn_execute_counts c = run(l, 1, 5, 1);
        take(l, got);
        assert_memory_equal(got, second, sizeof got);
        assert_int_equal(c.objects_made, 0);
        assert_int_equal(c.passes, 1);
    }
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_same_again_plans_nothing),     test(only_what_depends_on_a_change_is_planned),
        test(results_do_not_depend_on_the_way), test(a_prepared_call_gives_the_same),
        test(changing_shapes_allocate_nothing),
    };
    return cmocka_run_group_tests_name("repeat", tests, NULL, NULL);
}
