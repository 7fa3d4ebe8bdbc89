/* Dispatch math of attention, update_cache and rope: plans without a device. */
#include "ops/attention.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dims {
    uint32_t seq, n_heads, n_kv_heads, head_dim, cache_rows;
} dims;

/* Values of an attention node, in the order of its inputs. */
enum { Q = 2, K, V, K_CACHE, V_CACHE, POS };

static void sdpa_init(qn_test_plan *t, dims d)
{
    qn_test_plan_init(t, QN_OP_SDPA);
    t->plan.forced = "sdpa.softmax_row"; /* in steps, not fused */
    qn_test_plan_tensor(t, "q", QN_F32, qn_shape_4(1, d.seq, d.n_heads, d.head_dim));
    qn_test_plan_tensor(t, "k", QN_F32, qn_shape_4(1, d.seq, d.n_kv_heads, d.head_dim));
    qn_test_plan_tensor(t, "v", QN_F32, qn_shape_4(1, d.seq, d.n_kv_heads, d.head_dim));
    qn_test_plan_tensor(t, "k_cache", QN_F32, qn_shape_4(1, d.cache_rows, d.n_kv_heads, d.head_dim));
    qn_test_plan_tensor(t, "v_cache", QN_F32, qn_shape_4(1, d.cache_rows, d.n_kv_heads, d.head_dim));
    qn_test_plan_integer(t, "input_pos", d.cache_rows - 1);
}

static qn_status plan_at(qn_test_plan *t, uint32_t seq, int64_t pos)
{
    for (qn_value v = Q; v <= V; v++) t->tensors[v].live.dim[1] = seq;
    t->tensors[POS].number = pos;
    return qn_test_plan_live(t);
}

static const qn_dispatch *dispatch(const qn_test_plan *t, size_t i)
{
    assert_true(i < t->plan.n_dispatches);
    return &t->plan.dispatches[i];
}

static void assert_dispatch(const qn_test_plan *t, size_t i, const char *row, uint32_t x, uint32_t y)
{
    const qn_dispatch *d = dispatch(t, i);
    assert_string_equal(d->row->name, row);
    assert_int_equal(d->grid[0], x);
    assert_int_equal(d->grid[1], y);
    assert_int_equal(d->grid[2], 1);
}

static float param_float(const qn_dispatch *d, uint32_t i)
{
    float f;
    memcpy(&f, &d->params[i], sizeof f);
    return f;
}

/* ---- the five dispatches --------------------------------------------------------------------- */

static void prompt_and_decode(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){512, 32, 8, 64, 2048});
    qn_assert_ok(qn_test_plan_build(&t));
    assert_int_equal(t.plan.max_dispatches, 5);
    assert_int_equal(t.plan.scratch[0], 512 * 32 * 2048 * 4);

    qn_assert_ok(plan_at(&t, 512, 100)); /* 612 live rows; 512 * 4 = 2048 queries of each kv head */
    assert_int_equal(t.plan.n_dispatches, 5);
    assert_dispatch(&t, 0, "update_cache.vec4", 512 * 8 * 16 / 64, 1);
    assert_dispatch(&t, 1, "update_cache.vec4", 512 * 8 * 16 / 64, 1);
    assert_dispatch(&t, 2, "sdpa.qk_tile", 10 * 32 * 8, 1);
    assert_dispatch(&t, 3, "sdpa.softmax_row", 512 * 32, 1);
    assert_dispatch(&t, 4, "sdpa.av_tile", 1 * 32 * 8, 1);
    const uint32_t update[] = {512 * 8 * 16, 0, 100 * 8 * 16};
    assert_memory_equal(dispatch(&t, 0)->params, update, sizeof update);
    const uint32_t words[] = {100, 612, 0, 612, 0, 2048, 0, 8, 4, 0, 4, 8};
    for (size_t i = 2; i < 5; i++) {
        assert_int_equal(dispatch(&t, i)->n_params, QN_SDPA_PARAMS);
        assert_memory_equal(dispatch(&t, i)->params, words, sizeof words);
        assert_true(param_float(dispatch(&t, i), 12) == 0.125f);
    }
    assert_int_equal(qn_test_plan_out(&t)->live.dim[1], 512);
    assert_int_equal(dispatch(&t, 2)->spec[0], 16);

    qn_assert_ok(plan_at(&t, 1, 2047));
    assert_int_equal(t.plan.n_dispatches, 5);
    assert_dispatch(&t, 0, "update_cache.vec4", 2, 1);
    assert_dispatch(&t, 2, "sdpa.qk_few", 2048 / 32 * 8, 1);
    assert_dispatch(&t, 3, "sdpa.softmax_row", 32, 1);
    assert_dispatch(&t, 4, "sdpa.av_split", 4 * 8, 1);
    const uint32_t one[] = {2047, 2048, 0, 2048, 0, 4, 0, 8, 4, 0, 4, 8};
    assert_memory_equal(dispatch(&t, 4)->params, one, sizeof one);
    assert_int_equal(qn_test_plan_out(&t)->live.dim[1], 1);
    qn_test_plan_free(&t);
}

static void bindings(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){4, 6, 2, 64, 64});
    qn_assert_ok(qn_test_plan_build(&t));
    qn_assert_ok(plan_at(&t, 2, 3));
    static const struct {
        uint8_t kind;
        qn_value value;
    } want[5][3] = {
        {{QN_BIND_VALUE, K}, {QN_BIND_VALUE, K_CACHE}, {0, 0}},
        {{QN_BIND_VALUE, V}, {QN_BIND_VALUE, V_CACHE}, {0, 0}},
        {{QN_BIND_VALUE, Q}, {QN_BIND_VALUE, K_CACHE}, {QN_BIND_SCRATCH, 0}},
        {{QN_BIND_SCRATCH, 0}, {0, 0}, {0, 0}},
        {{QN_BIND_SCRATCH, 0}, {QN_BIND_VALUE, V_CACHE}, {QN_BIND_VALUE, 1}},
    };
    static const uint32_t n_binds[] = {2, 2, 3, 1, 3};
    for (size_t i = 0; i < 5; i++) {
        const qn_dispatch *d = dispatch(&t, i);
        assert_int_equal(d->n_binds, n_binds[i]);
        assert_int_equal(d->n_binds, strlen(d->row->access));
        for (uint32_t b = 0; b < d->n_binds; b++) {
            assert_int_equal(d->binds[b].kind, want[i][b].kind);
            assert_int_equal(d->binds[b].value, want[i][b].value);
        }
    }
    qn_test_plan_free(&t);
}

static void software_rows(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){64, 6, 2, 64, 512});
    t.device.type = QN_ADAPTER_SOFTWARE;
    t.plan.forced = NULL;
    qn_assert_ok(qn_test_plan_build(&t));
    for (uint32_t seq = 1; seq <= 64; seq += 63) {
        qn_assert_ok(plan_at(&t, seq, 7));
        assert_string_equal(dispatch(&t, 2)->row->name, "sdpa.qk_each");
        assert_string_equal(dispatch(&t, 3)->row->name, "sdpa.softmax_each");
        assert_string_equal(dispatch(&t, 4)->row->name, "sdpa.av");
    }
    qn_test_plan_free(&t);
}

/* Software Vulkan leaves a shader after 65,535 loop iterations: long caches take rows that loop less. */
static void software_rows_for_long_caches(void **state)
{
    (void)state;
    static const struct {
        uint32_t cache_rows;
        const char *softmax, *av;
    } want[] = {
        {21000, "sdpa.softmax_each", "sdpa.av"},
        {21001, "sdpa.softmax_row", "sdpa.av"},
        {262000, "sdpa.softmax_row", "sdpa.av"},
        {262001, "sdpa.softmax_row", "sdpa.av_split"},
    };
    for (size_t i = 0; i < 4; i++) {
        qn_test_plan t;
        sdpa_init(&t, (dims){1, 1, 1, 4, want[i].cache_rows});
        t.device.type = QN_ADAPTER_SOFTWARE;
        t.plan.forced = NULL;
        qn_assert_ok(qn_test_plan_build(&t));
        qn_assert_ok(plan_at(&t, 1, 0)); /* whatever the live context */
        assert_string_equal(dispatch(&t, 3)->row->name, want[i].softmax);
        assert_string_equal(dispatch(&t, 4)->row->name, want[i].av);
        qn_test_plan_free(&t);
    }
    qn_test_plan t;
    sdpa_init(&t, (dims){1, 1, 1, 4, 3000000});
    t.device.type = QN_ADAPTER_SOFTWARE;
    t.plan.forced = NULL;
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_UNSUPPORTED, "cache of 3000000 rows");
    qn_test_plan_free(&t);
}

static void given_scale(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){1, 2, 1, 12, 8});
    qn_assert_ok(qn_test_plan_build(&t));
    qn_assert_ok(plan_at(&t, 1, 0));
    assert_true(param_float(dispatch(&t, 2), 12) == (float)(1.0 / sqrt(12.0)));
    t.node.attrs.sdpa.scale = 0.25f;
    qn_assert_ok(plan_at(&t, 1, 0));
    assert_true(param_float(dispatch(&t, 2), 12) == 0.25f);
    qn_test_plan_free(&t);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuses_head_dim(void **state)
{
    (void)state;
    for (uint32_t d = 1; d < 16; d++) {
        qn_test_plan t;
        char text[32];
        sdpa_init(&t, (dims){2, 2, 2, d, 8});
        snprintf(text, sizeof text, "head_dim %u ", d);
        if (d % 4 == 0)
            qn_assert_ok(qn_test_plan_build(&t));
        else
            qn_assert_fails(qn_test_plan_build(&t), QN_ERR_UNSUPPORTED, text);
        qn_test_plan_free(&t);
    }
}

static void refuses_shapes(void **state)
{
    (void)state;
    static const struct {
        qn_value value;
        qn_shape shape;
        const char *part;
    } bad[] = {
        {K, {4, {1, 4, 2, 12}}, "head_dim 12"},
        {V, {4, {1, 4, 2, 4}}, "head_dim 4"},
        {V, {4, {1, 4, 1, 8}}, "v has 1 heads"},
        {K_CACHE, {4, {1, 16, 4, 8}}, "k_cache has 16 rows of 4 heads"},
        {V_CACHE, {4, {1, 15, 2, 8}}, "v_cache 15 of 2"},
        {Q, {4, {1, 4, 5, 8}}, "5 query heads"},
        {Q, {4, {2, 4, 4, 8}}, "q is [2,4,4,8]"},
        {Q, {3, {4, 4, 8}}, "q is [4,4,8]"},
        {K, {4, {1, 0, 2, 8}}, "k is empty"},
        {K_CACHE, {4, {1, 65536, 65536, 8}}, "32-bit index"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        qn_test_plan t;
        sdpa_init(&t, (dims){4, 4, 2, 8, 16});
        t.tensors[bad[i].value].live = t.tensors[bad[i].value].max = bad[i].shape;
        qn_status s = qn_test_plan_build(&t);
        assert_int_not_equal(s.code, QN_OK);
        qn_assert_fails(s, s.code, bad[i].part);
        qn_test_plan_free(&t);
    }
}

static void refuses_live(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){4, 4, 2, 8, 16});
    qn_assert_ok(qn_test_plan_build(&t));
    qn_assert_ok(plan_at(&t, 4, 12));
    qn_assert_fails(plan_at(&t, 4, 13), QN_ERR_ARGUMENT, "input_pos 13 + 4 rows passes the end of the cache of 16");
    qn_assert_fails(plan_at(&t, 1, 16), QN_ERR_ARGUMENT, "input_pos 16 + 1 rows");
    qn_assert_fails(plan_at(&t, 1, -1), QN_ERR_ARGUMENT, "input_pos is -1");
    qn_assert_fails(plan_at(&t, 1, INT64_MIN), QN_ERR_ARGUMENT, "below 0");
    qn_assert_fails(plan_at(&t, 1, INT64_MAX), QN_ERR_ARGUMENT, "passes the end");
    qn_assert_fails(plan_at(&t, 0, 0), QN_ERR_ARGUMENT, "empty");
    for (qn_value v = Q; v <= V; v++) {
        qn_assert_ok(plan_at(&t, 2, 0));
        t.tensors[v].live.dim[1] = 3;
        qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "rows; they must be the same");
    }
    qn_assert_ok(plan_at(&t, 4, 0));
    qn_test_plan_free(&t);
}

static void refuses_too_large(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){65536, 8, 8, 128, 65536}); /* q: 268 MB */
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "binding limit");
    qn_test_plan_free(&t);
    sdpa_init(&t, (dims){1, 1, 1, 4, 1u << 26}); /* the weights of one query row: 268 MB */
    qn_assert_fails(qn_test_plan_build(&t), QN_ERR_LIMIT, "one query row");
    qn_test_plan_free(&t);
}

/* ---- grids ----------------------------------------------------------------------------------- */

static void grids_fold(void **state)
{
    (void)state;
    static const uint32_t want[][3] = {{65535, 65535, 1}, {65536, 32768, 2}, {65537, 32769, 2}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t n = want[i][0], x = want[i][1], y = want[i][2];
        qn_test_plan t;
        sdpa_init(&t, (dims){1, n, n, 64, 3}); /* one workgroup a head; the heads' row is n * 16 vec4s */
        qn_assert_ok(qn_test_plan_build(&t));
        qn_assert_ok(plan_at(&t, 1, 2));
        assert_dispatch(&t, 2, "sdpa.qk_few", x, y);
        assert_dispatch(&t, 3, "sdpa.softmax_row", x, y);
        qn_test_plan_free(&t);

        sdpa_init(&t, (dims){1, n, n, 16, 3});
        qn_assert_ok(qn_test_plan_build(&t));
        qn_assert_ok(plan_at(&t, 1, 2));
        assert_dispatch(&t, 4, "sdpa.av_split", x, y);
        qn_test_plan_free(&t);

        qn_test_plan_init(&t, QN_OP_UPDATE_CACHE);
        t.node.n_outputs = 0;
        qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_4(1, 1, n, 256));
        qn_test_plan_tensor(&t, "cache", QN_F32, qn_shape_4(1, 1, n, 256));
        qn_test_plan_integer(&t, "input_pos", 0);
        qn_assert_ok(qn_test_plan_build(&t));
        qn_assert_ok(qn_test_plan_live(&t));
        assert_dispatch(&t, 0, "update_cache.vec4", x, y);
        qn_test_plan_free(&t);
    }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Every query row of every head is in exactly one round, and no round passes the cap. */
static void check_rounds(uint32_t heads, uint32_t kv_heads, uint32_t seq, uint32_t pos, uint64_t cap)
{
    qn_sdpa_shape shape = {.n_heads = heads, .n_kv_heads = kv_heads, .head_dim = 4, .scale = 1, .scratch_cap = cap};
    qn_assert_ok(qn_cache_windows_make(pos + seq, kv_heads * 16, UINT64_MAX, &shape.windows));
    qn_sdpa_live live;
    qn_assert_ok(qn_sdpa_live_make(&shape, seq, pos, &live));
    assert_true(live.scratch_bytes <= cap);
    uint8_t *seen = calloc(seq, heads);
    assert_non_null(seen);
    for (uint32_t i = 0; i < live.n_rounds; i++) {
        qn_sdpa_round r = qn_sdpa_round_at(&shape, &live, i);
        assert_true((uint64_t)r.n_rows * r.n_kv * r.gn * live.ctx * 4 <= live.scratch_bytes);
        for (uint32_t kv = r.kv0; kv < r.kv0 + r.n_kv; kv++)
            for (uint32_t h = r.g0; h < r.g0 + r.gn; h++)
                for (uint32_t row = r.row0; row < r.row0 + r.n_rows; row++) {
                    assert_true(row < seq && kv < kv_heads && h < heads / kv_heads);
                    seen[row * heads + kv * (heads / kv_heads) + h]++;
                }
    }
    for (uint32_t i = 0; i < seq * heads; i++) assert_int_equal(seen[i], 1);
    free(seen);
}

static void rounds_cover(void **state)
{
    (void)state;
    static const uint32_t heads[][2] = {{1, 1}, {6, 2}, {8, 1}, {32, 8}, {7, 7}, {12, 4}};
    for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++)
        for (uint32_t seq = 1; seq <= 9; seq += 4)
            for (uint32_t lines = 1; lines < 80; lines++) /* lines: rows of weights that fit */
                check_rounds(heads[h][0], heads[h][1], seq, 91, lines * (uint64_t)(seq + 91) * 4 + lines % 3);
}

static void long_prompt(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){2047, 32, 8, 64, 2048}); /* all weights: 537 MB */
    qn_assert_ok(qn_test_plan_build(&t));
    assert_true(t.plan.scratch[0] == 128 << 20);
    assert_int_equal(t.plan.max_dispatches, 2 + 3 * 4);
    qn_assert_ok(plan_at(&t, 2047, 1));
    assert_int_equal(t.plan.n_dispatches, 2 + 3 * 4);
    for (uint32_t r = 0; r < 4; r++) {
        const uint32_t n = r < 3 ? 512 : 2047 - 3 * 512;
        const uint32_t words[] = {1, 2048, 0, 2048, r * 512, n * 4, 0, 8, 4, 0, 4, 8};
        for (size_t step = 0; step < 3; step++)
            assert_memory_equal(dispatch(&t, 2 + 3 * r + step)->params, words, sizeof words);
        assert_dispatch(&t, 3 + 3 * r, "sdpa.softmax_row", n * 32, 1);
        assert_memory_equal(dispatch(&t, 2 + 3 * r)->binds, dispatch(&t, 2)->binds, sizeof t.plan.dispatches->binds);
    }
    qn_test_plan_free(&t);

    qn_device_info larger = qn_test_baseline_device(); /* more than core limits: the same plan */
    sdpa_init(&t, (dims){2047, 32, 8, 64, 2048});
    larger.max_binding_bytes = larger.max_buffer_bytes = UINT64_C(1) << 40;
    t.device = larger;
    qn_assert_ok(qn_test_plan_build(&t));
    assert_int_equal(t.plan.max_dispatches, 2 + 3 * 4);
    qn_test_plan_free(&t);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void windows_align(void **state)
{
    (void)state;
    qn_cache_windows w;
    qn_assert_ok(qn_cache_windows_make(131072, 8 * 64 * 4, 128 << 20, &w));
    assert_int_equal(w.rows, 65536);
    assert_int_equal(w.n, 2);
    qn_assert_ok(qn_cache_windows_make(65536, 8 * 64 * 4, 128 << 20, &w));
    assert_int_equal(w.n, 1);
    for (uint32_t row = 4; row < 3000; row += 4) {
        qn_assert_ok(qn_cache_windows_make(1000000, row, 1 << 20, &w));
        assert_true((w.rows * w.row_bytes) % 256 == 0 && w.rows % 4 == 0);
        assert_true(w.rows * w.row_bytes <= 1 << 20 && (uint64_t)w.rows * w.n >= 1000000);
        assert_true((uint64_t)w.rows * (w.n - 1) < 1000000);
    }
    qn_assert_fails(qn_cache_windows_make(100, 4096, 4096, &w), QN_ERR_LIMIT, "4096 bytes");
}

static void windows_in_plan(void **state)
{
    (void)state;
    qn_test_plan t;
    sdpa_init(&t, (dims){100, 32, 8, 64, 131072}); /* caches of 268 MB: two windows of 65536 rows */
    qn_assert_ok(qn_test_plan_build(&t));
    qn_assert_ok(plan_at(&t, 100, 0)); /* only the first window is live */
    assert_int_equal(t.plan.n_dispatches, 5);
    qn_assert_ok(plan_at(&t, 100, 65500)); /* rows 65500..65599 */
    assert_int_equal(t.plan.n_dispatches, 4 + 7 * 5);
    const uint32_t first[] = {36 * 128, 0, 65500 * 128}, second[] = {64 * 128, 36 * 128, 0};
    assert_memory_equal(dispatch(&t, 0)->params, first, sizeof first);
    assert_memory_equal(dispatch(&t, 1)->params, second, sizeof second);
    assert_true(dispatch(&t, 0)->binds[1].offset == 0 && dispatch(&t, 0)->binds[1].size == 128 << 20);
    assert_true(dispatch(&t, 1)->binds[1].offset == 128 << 20 && dispatch(&t, 1)->binds[1].size == 128 << 20);
    const uint32_t low[] = {65500, 65600, 0, 65536}, high[] = {65500, 65600, 65536, 65600};
    assert_memory_equal(dispatch(&t, 4)->params, low, sizeof low);   /* Q.K^T, first window     */
    assert_memory_equal(dispatch(&t, 5)->params, high, sizeof high); /* Q.K^T, second window    */
    assert_string_equal(dispatch(&t, 6)->row->name, "sdpa.softmax_row");
    assert_memory_equal(dispatch(&t, 7)->params, low, sizeof low); /* times V, first window     */
    assert_memory_equal(dispatch(&t, 8)->params, high, sizeof high);
    assert_true(dispatch(&t, 8)->binds[1].offset == 128 << 20);
    qn_test_plan_free(&t);
}

/* ---- build covers every live call, and the maximum does not matter --------------------------- */

typedef struct prepared {
    qn_dispatch *dispatches;
    size_t n, max;
    uint64_t scratch;
} prepared;

static prepared build(qn_test_plan *t)
{
    qn_assert_ok(qn_test_plan_build(t));
    prepared p = {.n = t->plan.n_dispatches, .max = t->plan.max_dispatches, .scratch = t->plan.scratch[0]};
    p.dispatches = malloc(p.n * sizeof *p.dispatches);
    assert_non_null(p.dispatches);
    memcpy(p.dispatches, t->plan.dispatches, p.n * sizeof *p.dispatches);
    return p;
}

static bool is_prepared(const prepared *p, const qn_dispatch *d)
{
    for (size_t i = 0; i < p->n; i++) {
        const qn_dispatch *have = &p->dispatches[i];
        if (have->row == d->row && memcmp(have->spec, d->spec, sizeof d->spec) == 0 &&
            memcmp(have->binds, d->binds, sizeof d->binds) == 0)
            return true;
    }
    return false;
}

static void build_covers_calls(void **state)
{
    (void)state;
    static const uint64_t limits[] = {128 << 20, 8192, 4096, 2048}; /* binding limits: many rounds and windows */
    static const qn_adapter_type types[] = {QN_ADAPTER_DISCRETE, QN_ADAPTER_SOFTWARE};
    static const char *const routes[] = {NULL, "sdpa.softmax_row", "attend.few", "attend.tile", "attend.each"};
    for (size_t i = 0; i < 40; i++) {
        qn_test_plan t;
        sdpa_init(&t, (dims){9, 6, 2, 8, 150});
        t.device.max_binding_bytes = limits[i % 4];
        t.device.type = types[i / 4 % 2];
        t.plan.forced = routes[i / 8];
        prepared p = build(&t);
        for (uint32_t seq = 1; seq <= 9; seq++)
            for (uint32_t pos = 0; pos + seq <= 150; pos++) {
                qn_assert_ok(plan_at(&t, seq, pos));
                assert_true(t.plan.n_dispatches <= p.max && t.plan.scratch[0] <= p.scratch);
                for (size_t k = 0; k < t.plan.n_dispatches; k++) assert_true(is_prepared(&p, dispatch(&t, k)));
            }
        free(p.dispatches);
        qn_test_plan_free(&t);
    }
}

static void maximum_does_not_matter(void **state)
{
    (void)state;
    static const uint32_t seqs[] = {1, 4, 5, 64};
    for (size_t i = 0; i < 4; i++) {
        qn_test_plan large, exact;
        sdpa_init(&large, (dims){64, 6, 2, 64, 512});
        sdpa_init(&exact, (dims){seqs[i], 6, 2, 64, 512});
        qn_assert_ok(qn_test_plan_build(&large));
        qn_assert_ok(qn_test_plan_build(&exact));
        qn_assert_ok(plan_at(&large, seqs[i], 77));
        qn_assert_fails(plan_at(&large, seqs[i], 512), QN_ERR_ARGUMENT, "passes"); /* a failed call in between */
        qn_assert_ok(plan_at(&large, seqs[i], 77));
        qn_assert_ok(plan_at(&exact, seqs[i], 77));
        assert_int_equal(large.plan.n_dispatches, exact.plan.n_dispatches);
        assert_memory_equal(large.plan.dispatches, exact.plan.dispatches,
                            exact.plan.n_dispatches * sizeof(qn_dispatch));
        qn_test_plan_free(&large);
        qn_test_plan_free(&exact);
    }
}

/* ---- update_cache ---------------------------------------------------------------------------- */

static void update_cache_alone(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_UPDATE_CACHE);
    t.node.n_outputs = 0;
    qn_value x = qn_test_plan_tensor(&t, "x", QN_F32, qn_shape_4(1, 5, 3, 7));
    qn_test_plan_tensor(&t, "cache", QN_F32, qn_shape_4(1, 9, 3, 7));
    qn_value pos = qn_test_plan_integer(&t, "input_pos", 100);
    qn_assert_ok(qn_test_plan_build(&t));
    t.tensors[x].live.dim[1] = 4;
    t.tensors[pos].number = 5;
    qn_assert_ok(qn_test_plan_live(&t));
    assert_int_equal(t.plan.n_dispatches, 1);
    assert_dispatch(&t, 0, "update_cache.scalar", 2, 1);
    const uint32_t words[] = {84, 0, 105};
    assert_memory_equal(dispatch(&t, 0)->params, words, sizeof words);
    t.tensors[pos].number = 6;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "input_pos 6 + 4 rows passes the end of the cache of 9");
    t.tensors[x].live.dim[2] = 2;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "2 heads");
    qn_test_plan_free(&t);
}

/* ---- rope ------------------------------------------------------------------------------------ */

static void rope_init(qn_test_plan *t, uint32_t rows, uint32_t heads, uint32_t head_dim, uint32_t positions)
{
    qn_test_plan_init(t, QN_OP_ROPE);
    t->node.attrs.rope.mode = QN_ROPE_HALF;
    qn_test_plan_tensor(t, "x", QN_F32, qn_shape_4(1, rows, heads, head_dim));
    qn_test_plan_tensor(t, "table", QN_F32, qn_shape_3(positions, head_dim / 2, 2));
    qn_test_plan_integer(t, "input_pos", positions);
}

static void rope_plans(void **state)
{
    (void)state;
    qn_test_plan t;
    rope_init(&t, 8, 3, 10, 20);
    qn_assert_ok(qn_test_plan_build(&t));
    t.tensors[2].live.dim[1] = 5;
    t.tensors[4].number = 15;
    qn_assert_ok(qn_test_plan_live(&t));
    assert_int_equal(t.plan.n_dispatches, 1);
    assert_dispatch(&t, 0, "rope.pairs", 2, 1); /* 75 pairs */
    const uint32_t words[] = {75, 5, 3, 5, 15};
    assert_memory_equal(dispatch(&t, 0)->params, words, sizeof words);
    assert_int_equal(qn_test_plan_out(&t)->live.dim[1], 5);
    t.tensors[4].number = 16;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "input_pos 16 + 5 rows passes the table's 20");
    t.tensors[4].number = -3;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "input_pos is -3");
    t.tensors[3].live.dim[1] = 4;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_ARGUMENT, "the table is [20,4,2]");
    t.tensors[2].live.dim[3] = 9;
    qn_assert_fails(qn_test_plan_live(&t), QN_ERR_UNSUPPORTED, "head_dim 9 is odd");
    qn_test_plan_free(&t);

    static const uint32_t want[][3] = {{65535, 65535, 1}, {65536, 32768, 2}, {65537, 32769, 2}};
    for (size_t i = 0; i < 3; i++) {
        rope_init(&t, 1, want[i][0], 128, 1);
        qn_assert_ok(qn_test_plan_build(&t));
        t.tensors[4].number = 0;
        qn_assert_ok(qn_test_plan_live(&t));
        assert_dispatch(&t, 0, "rope.pairs", want[i][1], want[i][2]);
        qn_test_plan_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_and_decode),  cmocka_unit_test(bindings),
        cmocka_unit_test(software_rows),      cmocka_unit_test(software_rows_for_long_caches),
        cmocka_unit_test(given_scale),        cmocka_unit_test(refuses_head_dim),
        cmocka_unit_test(refuses_shapes),     cmocka_unit_test(refuses_live),
        cmocka_unit_test(refuses_too_large),  cmocka_unit_test(grids_fold),
        cmocka_unit_test(rounds_cover),       cmocka_unit_test(long_prompt),
        cmocka_unit_test(windows_align),      cmocka_unit_test(windows_in_plan),
        cmocka_unit_test(build_covers_calls), cmocka_unit_test(maximum_does_not_matter),
        cmocka_unit_test(update_cache_alone), cmocka_unit_test(rope_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
