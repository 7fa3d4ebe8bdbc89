/* embedding on the software device: every storage, group sizes, clamping, weights in parts. */
#include "graph/engine.h"
#include "ops/embedding_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 150 };

/* Floats come out as they are; a quantized value is one or two roundings away. */
static qn_tolerance tolerance_of(qn_weight_kind kind)
{
    return kind >= QN_WEIGHT_Q8 ? (qn_tolerance){1e-7, 1e-6} : (qn_tolerance){0, 0};
}

/* Dispatches that n_tokens rows of k elements take for each part. */
static uint32_t windows(const qn_engine *engine, uint32_t k, uint32_t n_tokens)
{
    uint64_t fit = qn_engine_device(engine)->max_binding_bytes / (k * 4);
    return fit < 64 ? 1 : qn_div_up(n_tokens, (uint32_t)(fit / 64 * 64));
}

/* Looks up n_tokens random ids (and a few beyond both ends) in a graph built for MAX_TOKENS. */
static void check(qn_engine *engine, qn_weight *weight, const qn_test_matrix *m, uint32_t n_tokens)
{
    uint32_t n = m->desc.shape.dim[0], k = m->desc.shape.dim[1];
    int32_t ids[MAX_TOKENS];
    for (uint32_t i = 0; i < MAX_TOKENS; i++) ids[i] = (int32_t)(qn_test_random(7, i) % n);
    ids[0] = (int32_t)n - 1;
    ids[3] = -1;
    ids[4] = (int32_t)n;
    ids[5] = INT32_MIN;
    ids[6] = INT32_MAX;
    double *want = calloc((size_t)MAX_TOKENS * k, sizeof *want);
    qn_graph *g = qn_test_graph(engine);
    qn_value in = qn_graph_input(g, "ids", QN_I32, qn_shape_2(1, MAX_TOKENS));
    qn_value out = qn_embedding(g, qn_graph_weight(g, weight), in);
    qn_graph_output(g, out, "y");
    qn_assert_ok(qn_graph_build(g));
    const uint32_t live[] = {MAX_TOKENS, 1, n_tokens};
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
        qn_assert_ok(qn_graph_set_input(g, in, qn_shape_2(1, live[i]), ids));
        const float *got = qn_test_run(g, out, qn_shape_3(1, live[i], k));
        qn_embedding_ref(m->values, n, k, ids, live[i], want);
        char what[96];
        snprintf(what, sizeof what, "%s [%u,%u] group %u, %u tokens", m->desc.name, n, k, m->desc.group, live[i]);
        qn_test_compare(what, got, want, (size_t)live[i] * k, tolerance_of(m->desc.kind));
        assert_int_equal(qn_graph_n_dispatches(g), weight->n_parts * windows(engine, k, live[i]));
        assert_string_equal(qn_graph_dispatch(g, 0).kernel, "embedding.token");
    }
    qn_graph_close(g);
    free(want);
}

static void every_storage(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {{37, 32, 32},  {5, 100, 32},  {16, 7, 3},
                                         {33, 130, 16}, {18, 64, 200}, {1, 1, 1}};
    qn_engine *engine = qn_test_engine(NULL);
    for (qn_weight_kind kind = QN_WEIGHT_F32; kind <= QN_WEIGHT_Q4A; kind++)
        for (int halves = 0; halves <= (kind >= QN_WEIGHT_Q8); halves++)
            for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
                qn_test_matrix m = qn_test_matrix_make(kind, shapes[i][0], shapes[i][1], shapes[i][2], halves, i);
                qn_weight *weight = NULL;
                qn_assert_ok(qn_weight_create(engine, &m.desc, &weight));
                assert_int_equal(weight->format.scale_f16, halves);
                check(engine, weight, &m, 13);
                qn_weight_free(weight);
                qn_test_matrix_free(&m);
            }
    qn_engine_close(engine);
}

/* Uploads a described affine 4-bit weight, a part at a time. */
static void upload(qn_weight *w, qn_gpu *gpu, const qn_test_matrix *m)
{
    uint32_t n = m->desc.shape.dim[0], k = m->desc.shape.dim[1];
    qn_assert_ok(qn_weight_allocate(w, gpu));
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const qn_weight_part *part = &w->parts[i];
        char *host = calloc(1, part->bytes);
        qn_pack_rows rows = {(uint32_t *)(void *)(host + part->data_offset), host + part->scale_offset,
                             host + part->min_offset};
        qn_pack_source source = {.data = m->data,
                                 .row_bytes = (k + 1) / 2,
                                 .scales = m->scales,
                                 .mins = m->mins,
                                 .scale_row = 1,
                                 .scale_group = n};
        qn_pack_matrix(&w->format, &source, part->row0, part->n_rows, k, &rows);
        qn_assert_ok(qn_buffer_write(part->buffer, 0, host, part->bytes));
        free(host);
    }
}

/* The limits of a pretended small device split the weight; each part answers for its own rows. */
static void weight_in_parts(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    qn_device_info small = qn_test_baseline_device();
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4A, 100, 40, 8, false, 3);
    qn_pack_format format = {.storage = QN_STORE_Q4A, .group = 8};
    small.max_binding_bytes = 2 * qn_pack_bytes(&format, QN_PACK_ROWS, 40).data_bytes;
    qn_weight *weight = NULL;
    qn_assert_ok(qn_weight_describe(NULL, &small, "parts", true, m.desc.shape, &format, &weight));
    assert_int_equal(weight->n_parts, 4);
    upload(weight, engine->gpu, &m);
    check(engine, weight, &m, 20);
    qn_test_limit_bindings(engine, 40 * 4 * 70); /* windows of 64 tokens, too */
    check(engine, weight, &m, 65);
    qn_weight_free(weight);
    qn_test_matrix_free(&m);
    qn_engine_close(engine);
}

static void any_rank_of_ids(void **state)
{
    (void)state;
    static const qn_shape shapes[] = {{0, {0}}, {1, {6}}, {3, {1, 2, 3}}};
    qn_engine *engine = qn_test_engine(NULL);
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_F32, 9, 5, 0, false, 1);
    qn_weight *weight = NULL;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &weight));
    static const int32_t ids[] = {8, 0, 3, 3, 7, 1};
    double want[30];
    qn_embedding_ref(m.values, 9, 5, ids, 6, want);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        qn_graph *g = qn_test_graph(engine);
        qn_value in = qn_graph_input(g, "ids", QN_I32, shapes[i]);
        qn_value out = qn_embedding(g, qn_graph_weight(g, weight), in);
        qn_graph_output(g, out, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, in, shapes[i], ids));
        qn_shape y = shapes[i];
        y.dim[y.rank++] = 5;
        qn_test_compare("rank", qn_test_run(g, out, y), want, (size_t)qn_shape_count(&y), (qn_tolerance){0, 0});
        qn_graph_close(g);
    }
    qn_weight_free(weight);
    qn_test_matrix_free(&m);
    qn_engine_close(engine);
}

/* ---- plans without a device ------------------------------------------------------------------ */

static void grids(void **state)
{
    (void)state;
    static const uint32_t cases[][3] = {{1, 1, 1}, {65535, 65535, 1}, {65536, 32768, 2}, {65537, 32769, 2}};
    qn_device_info device = qn_test_baseline_device();
    qn_pack_format f16 = {.storage = QN_STORE_F16};
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_describe(NULL, &device, "w", true, qn_shape_2(128256, 2048), &f16, &w));
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_EMBEDDING);
    t.device.max_binding_bytes = UINT64_C(8) << 30; /* one window */
    qn_test_plan_weight(&t, w);
    qn_value ids = qn_test_plan_tensor(&t, "ids", QN_I32, qn_shape_1(70000));
    qn_assert_ok(qn_test_plan_build(&t));
    assert_int_equal(t.plan.max_dispatches, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t.tensors[ids].live = qn_shape_1(cases[i][0]);
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 4);
        uint32_t row = 0;
        for (uint32_t k = 0; k < 4; k++) {
            const qn_dispatch *d = &t.plan.dispatches[k];
            assert_true(d->grid[0] == cases[i][1] && d->grid[1] == cases[i][2] && d->grid[2] == 1);
            assert_int_equal(d->params[0], cases[i][0]);
            assert_int_equal(d->params[3], row);
            row += d->params[4];
        }
        assert_int_equal(row, 128256);
    }
    t.tensors[ids].live = qn_shape_1(1u << 20); /* 2^20 x 2^11 elements */
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_LIMIT, "[1048576,2048]");
    qn_test_plan_free(&t);
    qn_weight_free(w);
}

static void refusals(void **state)
{
    (void)state;
    qn_device_info device = qn_test_baseline_device();
    qn_weight *plain = NULL, *matrix = NULL;
    qn_pack_format f32 = {.storage = QN_STORE_F32};
    qn_assert_ok(qn_weight_describe(NULL, &device, "plain", false, qn_shape_2(4, 4), NULL, &plain));
    qn_assert_ok(qn_weight_describe(NULL, &device, "matrix", true, qn_shape_2(4, 4), &f32, &matrix));
    const struct {
        const qn_weight *w;
        qn_dtype dtype;
        qn_shape ids;
        const char *text;
    } cases[] = {
        {plain, QN_I32, {1, {3}}, "matrix weight"},
        {matrix, QN_F32, {1, {3}}, "i32"},
        {matrix, QN_I32, {8, {1, 1, 1, 1, 1, 1, 1, 1}}, "rank 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_EMBEDDING);
        qn_test_plan_weight(&t, cases[i].w);
        qn_test_plan_tensor(&t, "ids", cases[i].dtype, cases[i].ids);
        qn_assert_fails(qn_test_plan_build(&t), QN_ERR_ARGUMENT, cases[i].text);
        qn_test_plan_free(&t);
    }
    qn_weight_free(plain);
    qn_weight_free(matrix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_storage), cmocka_unit_test(weight_in_parts), cmocka_unit_test(any_rank_of_ids),
        cmocka_unit_test(grids),         cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("embedding", tests, NULL, NULL);
}
