/* What a dispatch may bind, checked without a device: the rule itself, and every operation's plan against it. */
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "graph/extent.h"
#include "graph/graph.h"

/* ---- the rule -------------------------------------------------------------------------------- */

enum { LIMIT = 4096 };

static void what_is_allowed(void **state)
{
    (void)state;
    const int a = 0, b = 0;
    const struct {
        const char *access;
        qn_extent e[3];
    } good[] = {
        {"rrw", {{&a, 0, 0, 256}, {&a, 0, 0, 256}, {&b, 0, 0, 256}}},      /* read twice                    */
        {"rrw", {{&a, 0, 0, 512}, {&a, 0, 256, 512}, {&b, 0, 0, 256}}},    /* read twice, overlapping       */
        {"rww", {{&b, 0, 0, 256}, {&a, 0, 0, 256}, {&a, 0, 256, 256}}},    /* written in two disjoint parts */
        {"rww", {{&b, 0, 0, 256}, {&a, 0, 512, 4}, {&a, 0, 0, 512}}},      /* the same, in the other order  */
        {"rww", {{&a, 1, 0, 256}, {&a, 0, 0, 256}, {&a, 2, 0, 256}}},      /* other buffers of one owner    */
        {"rrw", {{&a, 0, 0, LIMIT}, {&a, 0, 0, 4}, {&b, 0, 1024, LIMIT}}}, /* up to the limit               */
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        qn_assert_ok(qn_check_extents("k", good[i].access, good[i].e, 3, LIMIT));
    qn_assert_ok(qn_check_extents("k", "", NULL, 0, LIMIT));
}

static void what_is_not(void **state)
{
    (void)state;
    const int a = 0, b = 0;
    const struct {
        const char *access;
        uint32_t n;
        qn_extent e[3];
        qn_code code;
        const char *part;
    } bad[] = {
        {"rrw", 3, {{&a, 0, 0, 256}, {&b, 0, 0, 256}, {&a, 0, 0, 256}}, QN_ERR_ARGUMENT, "bindings 1 and 3"},
        {"wrr", 3, {{&a, 0, 0, 256}, {&b, 0, 0, 256}, {&a, 0, 0, 256}}, QN_ERR_ARGUMENT, "bindings 1 and 3"},
        /* read and written, though disjoint: usage is of the whole buffer */
        {"rrw", 3, {{&b, 0, 0, 256}, {&a, 0, 0, 256}, {&a, 0, 256, 256}}, QN_ERR_ARGUMENT, "bindings 2 and 3"},
        {"ww", 2, {{&a, 0, 0, 256}, {&a, 0, 0, 256}}, QN_ERR_INTERNAL, "twice for writing"},
        {"ww", 2, {{&a, 0, 256, 256}, {&a, 0, 0, 260}}, QN_ERR_INTERNAL, "twice for writing"},
        {"ww", 2, {{&a, 0, 0, 1024}, {&a, 0, 256, 4}}, QN_ERR_INTERNAL, "twice for writing"},
        {"rw", 2, {{&a, 0, 128, 256}, {&b, 0, 0, 256}}, QN_ERR_INTERNAL, "binding 1"},
        {"rw", 2, {{&a, 0, 0, 256}, {&b, 0, 0, 254}}, QN_ERR_INTERNAL, "binding 2"},
        {"rw", 2, {{&a, 0, 0, 0}, {&b, 0, 0, 256}}, QN_ERR_INTERNAL, "empty"},
        {"rw", 2, {{&a, 0, 0, LIMIT + 4}, {&b, 0, 0, 256}}, QN_ERR_LIMIT, "4096"},
        {"rw", 1, {{&a, 0, 0, 256}}, QN_ERR_INTERNAL, "takes 2"},
        {"r", 2, {{&a, 0, 0, 256}, {&b, 0, 0, 256}}, QN_ERR_INTERNAL, "gave 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_status s = qn_check_extents("some.kernel", bad[i].access, bad[i].e, bad[i].n, LIMIT);
        qn_assert_fails(s, bad[i].code, bad[i].part);
        qn_assert_fails(s, bad[i].code, "some.kernel");
    }
    qn_extent nine[9];
    for (uint32_t i = 0; i < 9; i++) nine[i] = (qn_extent){&a, i, 0, 256};
    qn_assert_ok(qn_check_extents("k", "rrrrrrrr", nine, 8, LIMIT));
    qn_assert_fails(qn_check_extents("k", "rrrrrrrrr", nine, 9, LIMIT), QN_ERR_INTERNAL, "at most 8");
}

/* ---- every plan ------------------------------------------------------------------------------ */

typedef struct sizes {
    uint32_t rows, embd, vocab, heads, kv_heads, dim, ctx, max_last;
} sizes;

static qn_weight *describe(const qn_device_info *device, const char *name, qn_shape shape, qn_storage storage)
{
    qn_pack_format format = {storage, storage >= QN_STORE_Q8 ? 32 : 0, true};
    qn_weight *w = NULL;
    qn_assert_ok(qn_weight_describe(NULL, device, name, shape.rank == 2, shape, &format, &w));
    return w;
}

enum { N_WEIGHTS = 6 };

/* A graph with every operation, planned for a device that is not there (forced: a kernel row, or NULL): building it
 * checks every variant of every node against the rule. */
static qn_graph *everything(const qn_device_info *device, const char *forced, const sizes *z, qn_weight *w[N_WEIGHTS])
{
    qn_graph *g = NULL;
    uint32_t q = z->heads * z->dim, kv = z->kv_heads * z->dim;
    qn_assert_ok(qn_graph_open_dry(NULL, device, &g));
    g->plan.forced = forced;
    w[0] = describe(device, "embd", qn_shape_2(z->vocab, z->embd), QN_STORE_Q8);
    w[1] = describe(device, "norm", qn_shape_1(z->embd), QN_STORE_F32);
    w[2] = describe(device, "wq", qn_shape_2(q, z->embd), QN_STORE_Q4);
    w[3] = describe(device, "wk", qn_shape_2(kv, z->embd), QN_STORE_Q4A);
    w[4] = describe(device, "wo", qn_shape_2(z->embd, q), QN_STORE_F16);
    w[5] = describe(device, "bias", qn_shape_1(z->vocab), QN_STORE_F32);
    qn_value v[N_WEIGHTS];
    for (int i = 0; i < N_WEIGHTS; i++) v[i] = qn_graph_weight(g, w[i]);
    qn_value ids = qn_graph_input(g, "ids", QN_I32, qn_shape_1(z->rows)), pos = qn_graph_int(g, "pos", z->ctx);
    qn_value n = qn_graph_int(g, "n", z->rows);
    qn_shape cache = qn_shape_4(1, z->ctx, z->kv_heads, z->dim);
    qn_value kc = qn_graph_state(g, "k", QN_F32, cache), vc = qn_graph_state(g, "v", QN_F32, cache);
    qn_value extra = qn_graph_state(g, "extra", QN_F32, cache);
    qn_rope_table_options table = {.head_dim = z->dim, .n_positions = z->ctx, .freq_base = 10000};
    qn_value angles = qn_rope_table(g, &table);
    qn_value h = qn_embedding(g, v[0], ids), x = qn_rms_norm(g, h, v[1], 1e-5f);
    qn_value qv = qn_view(g, qn_linear(g, x, v[2], 0), qn_shape_4(1, 0, z->heads, z->dim));
    qn_value kv4 = qn_view(g, qn_linear(g, x, v[3], 0), qn_shape_4(1, 0, z->kv_heads, z->dim));
    qv = qn_rope(g, qv, angles, pos, QN_ROPE_INTERLEAVED);
    qn_value k = qn_rope(g, kv4, angles, pos, QN_ROPE_HALF);
    qn_update_cache(g, k, extra, pos);
    qn_value o = qn_sdpa_with_kv_cache(g, qv, k, kv4, kc, vc, pos, NULL);
    qn_value y = qn_linear(g, qn_view(g, o, qn_shape_2(0, q)), v[4], 0);
    y = qn_add(g, h, qn_mul(g, qn_silu(g, y), qn_silu_mul(g, y, y)));
    qn_value logits = qn_linear(g, qn_last_rows(g, y, n, z->max_last), v[0], v[5]);
    qn_graph_output(g, logits, "logits");
    return g;
}

static void check_device(const char *what, const qn_device_info *device, const sizes *z, size_t least_variants)
{
    qn_weight *w[N_WEIGHTS];
    qn_graph *g = everything(device, NULL, z, w);
    qn_status s = qn_graph_build(g);
    if (s.code != QN_OK) fail_msg("%s: (%s) %s", what, qn_code_name(s.code), s.text);
    size_t variants = 0;
    bool seen[QN_OP_COUNT] = {false};
    for (size_t i = 0; i < g->n_nodes; i++) {
        seen[qn_graph_node(g, i)->node.op] = true;
        variants += qn_graph_node(g, i)->n_variants;
    }
    static const qn_op needed[] = {QN_OP_LINEAR, QN_OP_EMBEDDING, QN_OP_RMS_NORM, QN_OP_ROPE,     QN_OP_UPDATE_CACHE,
                                   QN_OP_SDPA,   QN_OP_ADD,       QN_OP_MUL,      QN_OP_SILU_MUL, QN_OP_LAST_ROWS};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) /* the others: ops.neutrality builds them */
        if (!seen[needed[i]]) fail_msg("operation %s is not in this graph: add it", qn_ops[needed[i]].name);
    if (variants < least_variants) fail_msg("%s: %zu variants, %zu expected", what, variants, least_variants);
    qn_graph_close(g);
    for (int i = 0; i < N_WEIGHTS; i++) qn_weight_free(w[i]);
}

static void every_plan_keeps_the_rule(void **state)
{
    (void)state;
    const sizes small = {20, 64, 100, 4, 2, 16, 64, 20}, large = {100, 256, 3000, 8, 2, 32, 2000, 6};
    qn_device_info core = qn_core_device();
    check_device("core", &core, &small, 20);
    qn_device_info tight = core; /* all is split: weights, caches, outputs, attention */
    tight.max_binding_bytes = 256 << 10;
    tight.max_buffer_bytes = 512 << 10;
    check_device("tight", &tight, &large, 40);
    qn_device_info software = core;
    software.type = QN_ADAPTER_SOFTWARE;
    check_device("software", &software, &small, 20);
    tight.type = QN_ADAPTER_SOFTWARE;
    check_device("tight software", &tight, &large, 40);
    qn_device_info gpu = core;
    gpu.type = QN_ADAPTER_DISCRETE;
    gpu.f16 = gpu.subgroups = true;
    gpu.max_binding_bytes = gpu.max_buffer_bytes = UINT64_C(1) << 32;
    gpu.max_workgroup_invocations = gpu.max_workgroup_size[0] = gpu.max_workgroup_size[1] = 1024;
    check_device("gpu", &gpu, &small, 20);
}

/* Every kernel row forced in turn. */
static void every_forced_row_keeps_the_rule(void **state)
{
    (void)state;
    const sizes z = {100, 256, 3000, 8, 2, 32, 2000, 6};
    qn_device_info device = qn_core_device();
    device.max_binding_bytes = 256 << 10;
    device.max_buffer_bytes = 512 << 10;
    device.f16 = device.subgroups = true;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++) {
            qn_weight *w[N_WEIGHTS];
            qn_graph *g = everything(&device, (*t)->rows[i].name, &z, w);
            qn_status s = qn_graph_build(g);
            if (s.code != QN_OK) fail_msg("%s: %s", (*t)->rows[i].name, s.text);
            qn_graph_close(g);
            for (int k = 0; k < N_WEIGHTS; k++) qn_weight_free(w[k]);
        }
}

/* A graph that reads what it writes is refused where it is built, with the operation's name. */
static void a_graph_that_breaks_it_is_refused(void **state)
{
    (void)state;
    qn_device_info core = qn_core_device();
    qn_graph *g = NULL;
    qn_assert_ok(qn_graph_open_dry(NULL, &core, &g));
    qn_value cache = qn_graph_state(g, "cache", QN_F32, qn_shape_4(1, 8, 2, 4)), pos = qn_graph_int(g, "pos", 8);
    qn_update_cache(g, cache, cache, pos);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "update_cache (cache)");
    qn_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_allowed),
        cmocka_unit_test(what_is_not),
        cmocka_unit_test(every_plan_keeps_the_rule),
        cmocka_unit_test(every_forced_row_keeps_the_rule),
        cmocka_unit_test(a_graph_that_breaks_it_is_refused),
    };
    return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
