/* rope_append and attend, apart and joined, with caches of every type on the software device, against the plain
 * references. Rows of the caches that no call wrote hold NaN: a kernel that reads past the live context shows. */
#include "format/pack.h"
#include "ops/attention_ref.h"
#include "ops/op.h"
#include "ops/rope_ref.h"
#include "support/op_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const qn_tolerance tolerance = {1e-4, 1e-3};

typedef struct heads {
    uint32_t q, kv, dim; /* Hq, Hkv, D */
} heads;

typedef struct call {
    uint32_t seq, pos;
} call;

typedef struct fixture {
    heads heads;
    qn_dtype dtype;
    uint32_t cache_rows;
    size_t row, row_bytes; /* of a cache: elements, bytes */
    qn_rope_mode mode;
    bool joined; /* in one node: q is not seen */
    float *table;
    qn_graph *graph;
    qn_value qkv, k_cache, v_cache, pos, q, o;
    uint8_t *k, *v; /* the caches as they were read last */
} fixture;

static fixture open_graph(qn_engine *engine, heads h, qn_dtype dtype, bool joined, uint32_t cache_rows)
{
    enum { MAX_SEQ = 64 };
    fixture f = {.heads = h, .dtype = dtype, .joined = joined, .cache_rows = cache_rows, .row = (size_t)h.kv * h.dim};
    qn_graph *g = f.graph = qn_test_graph(engine);
    f.mode = h.dim % 8 == 0 && h.kv % 2 == 0 ? QN_ROPE_HALF : QN_ROPE_INTERLEAVED;
    size_t angles = (size_t)cache_rows * h.dim / 2;
    f.table = qn_test_allocate(2 * angles * sizeof(float));
    for (size_t i = 0; i < angles; i++) {
        f.table[2 * i] = (float)cos(0.7 * (double)i);
        f.table[2 * i + 1] = (float)sin(0.7 * (double)i);
    }
    qn_shape cache = qn_shape_4(1, cache_rows, h.kv, h.dim);
    f.row_bytes = (size_t)qn_state_bytes(dtype, &cache) / cache_rows;
    f.qkv = qn_graph_input(g, "qkv", QN_F32, qn_shape_2(MAX_SEQ, (h.q + 2 * h.kv) * h.dim));
    qn_value table = qn_graph_input(g, "table", QN_F32, qn_shape_3(cache_rows, h.dim / 2, 2));
    f.k_cache = qn_graph_state(g, "k_cache", dtype, cache);
    f.v_cache = qn_graph_state(g, "v_cache", dtype, cache);
    f.pos = qn_graph_int(g, "input_pos", cache_rows);
    const qn_rope_append_options append = {f.qkv, table, f.k_cache, f.v_cache, f.pos, f.mode};
    if (joined) {
        f.o = qn_rope_attend(g, &(qn_rope_attend_options){.append = append});
    } else {
        f.q = qn_rope_append(g, &append);
        f.o = qn_attend(g, &(qn_attend_options){.q = f.q, .k_cache = f.k_cache, .v_cache = f.v_cache, .pos = f.pos});
        qn_graph_output(g, f.q, "q");
    }
    qn_graph_output(g, f.o, "o");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, table, qn_shape_3(cache_rows, h.dim / 2, 2), f.table));
    f.k = qn_test_allocate(cache_rows * f.row_bytes);
    f.v = qn_test_allocate(cache_rows * f.row_bytes);
    return f;
}

static void close_graph(fixture *f)
{
    qn_graph_close(f->graph);
    free(f->table);
    free(f->k);
    free(f->v);
}

/* ---- the types ------------------------------------------------------------------------------- */

/* x[row] of one cache row, and how far each element may be from what was stored. */
static void decode_row(const fixture *f, const uint8_t *bytes, float *x, float *step)
{
    for (size_t i = 0; i < f->row; i++) {
        uint16_t half;
        float scale;
        if (f->dtype == QN_F32) {
            memcpy(&x[i], bytes + 4 * i, 4);
            step[i] = 1e-6f + 1e-6f * fabsf(x[i]);
        } else if (f->dtype == QN_F16) {
            memcpy(&half, bytes + 2 * i, 2);
            x[i] = qn_half_to_float(half);
            step[i] = 1e-6f + fabsf(x[i]) / 2040.0f;
        } else {
            memcpy(&half, bytes + f->row + i / 32 * 2, 2);
            scale = qn_half_to_float(half);
            x[i] = scale * (float)(int8_t)bytes[i];
            step[i] = scale * 0.56f + 1e-6f; /* the largest code may be cut: the scale is a rounded half */
        }
    }
}

/* All bits set are NaN in f32 and f16, and in the scales of q8_0. */
static void poison(fixture *f)
{
    memset(f->k, 0xFF, f->cache_rows * f->row_bytes);
    memset(f->v, 0xFF, f->cache_rows * f->row_bytes);
    qn_assert_ok(qn_graph_write_state(f->graph, f->k_cache, f->k));
    qn_assert_ok(qn_graph_write_state(f->graph, f->v_cache, f->v));
}

/* Rows outside the call's are as before; those of the call are x[seq, row] as well as the type holds them. `now` is
 * kept and decoded to cache[pos + seq, row]. */
static void check_cache(const fixture *f, const char *what, qn_value state, uint8_t *before, call c, const double *x,
                        float *cache)
{
    size_t bytes = f->cache_rows * f->row_bytes, begin = c.pos * f->row_bytes, end = (c.pos + c.seq) * f->row_bytes;
    uint8_t *now = qn_test_allocate(bytes);
    qn_assert_ok(qn_test_read_state(f->graph, state, now));
    assert_memory_equal(now, before, begin);
    assert_memory_equal(now + end, before + end, bytes - end);
    float *step = qn_test_allocate(f->row * sizeof *step);
    for (uint32_t r = 0; r < c.pos + c.seq; r++) {
        decode_row(f, now + r * f->row_bytes, cache + r * f->row, step);
        for (size_t i = 0; r >= c.pos && i < f->row; i++) {
            double want = x[(r - c.pos) * f->row + i], got = (double)cache[r * f->row + i];
            if (!(fabs(got - want) <= (double)step[i]))
                fail_msg("%s: row %u element %zu is %g, not %g", what, r, i, got, want);
        }
    }
    memcpy(before, now, bytes);
    free(step);
    free(now);
}

/* ---- one call -------------------------------------------------------------------------------- */

/* Columns first .. first + n - 1 of qkv. */
static float *columns(const fixture *f, const float *qkv, uint32_t seq, uint32_t first, uint32_t n)
{
    size_t width = (size_t)(f->heads.q + 2 * f->heads.kv) * f->heads.dim;
    float *x = qn_test_allocate((size_t)seq * n * sizeof *x);
    for (uint32_t s = 0; s < seq; s++) memcpy(x + (size_t)s * n, qkv + s * width + first, n * sizeof *x);
    return x;
}

static void check_call(fixture *f, call c)
{
    heads h = f->heads;
    char what[128];
    uint32_t nq = h.q * h.dim, nk = h.kv * h.dim;
    snprintf(what, sizeof what, "%s: type %d D=%u Hq=%u Hkv=%u C=%u S=%u pos=%u",
             qn_graph_n_dispatches(f->graph) > 1 ? qn_graph_dispatch(f->graph, 1).kernel : "joined or first",
             (int)f->dtype, h.dim, h.q, h.kv, f->cache_rows, c.seq, c.pos);
    float *qkv = qn_test_floats((size_t)c.seq * (nq + 2 * nk), 1000 * c.pos + c.seq, 1.5f);
    qn_assert_ok(qn_graph_set_input(f->graph, f->qkv, qn_shape_2(c.seq, nq + 2 * nk), qkv));
    qn_assert_ok(qn_graph_set_int(f->graph, f->pos, c.pos));
    const float *o = qn_test_run(f->graph, f->o, qn_shape_4(1, c.seq, h.q, h.dim));
    float *q_in = columns(f, qkv, c.seq, 0, nq), *k_in = columns(f, qkv, c.seq, nq, nk);
    float *v_in = columns(f, qkv, c.seq, nq + nk, nk);
    double *want = qn_test_allocate((size_t)c.seq * nq * sizeof *want),
           *rows = qn_test_allocate((size_t)c.seq * nk * sizeof *rows);
    float *k = qn_test_allocate((c.pos + c.seq) * f->row * sizeof *k),
          *v = qn_test_allocate((c.pos + c.seq) * f->row * sizeof *v);
    qn_rope_ref(q_in, f->table, want, c.seq, h.q, h.dim, c.pos, f->mode);
    if (!f->joined)
        qn_test_compare(what, qn_graph_output_data(f->graph, f->q, NULL), want, (size_t)c.seq * nq,
                        (qn_tolerance){1e-5, 1e-5});
    for (size_t i = 0; i < (size_t)c.seq * nq; i++) q_in[i] = (float)want[i];
    qn_rope_ref(k_in, f->table, rows, c.seq, h.kv, h.dim, c.pos, f->mode);
    check_cache(f, what, f->k_cache, f->k, c, rows, k);
    for (size_t i = 0; i < (size_t)c.seq * nk; i++) rows[i] = (double)v_in[i];
    check_cache(f, what, f->v_cache, f->v, c, rows, v);
    qn_sdpa_ref_shape shape = {c.seq, c.pos, h.q, h.kv, h.dim, 0};
    qn_assert_ok(qn_sdpa_ref(NULL, &shape, q_in, k, v, want));
    qn_test_compare(what, o, want, (size_t)c.seq * nq, tolerance);
    void *const blocks[] = {qkv, q_in, k_in, v_in, want, rows, k, v};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) free(blocks[i]);
}

/* One graph driven through prompts and decode steps. */
static void drive(qn_engine *engine, heads h, qn_dtype dtype, bool joined)
{
    static const call calls[] = {{5, 0},   {1, 5},  {1, 6},  {17, 7},  {2, 24},   {1, 26},
                                 {64, 27}, {5, 91}, {1, 96}, {40, 96}, {64, 136}, {1, 200}};
    fixture f = open_graph(engine, h, dtype, joined, 201);
    poison(&f);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) check_call(&f, calls[i]);
    close_graph(&f);
}

extern const qn_kernel_table qn_attend_kernels, qn_attend_reduce_kernels, qn_rope_attend_kernels;

/* ---- tests ----------------------------------------------------------------------------------- */

static const qn_dtype types[] = {QN_F32, QN_F16, QN_Q8_0};

static const heads shapes[] = {{4, 4, 32}, {6, 2, 64}, {8, 1, 96}, {32, 8, 64}, {3, 1, 128}, {5, 5, 32}, {2, 2, 256}};

static void every_type(void **state)
{
    (void)state;
    qn_engine *engine = qn_test_engine(NULL);
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) drive(engine, shapes[i], types[t], i % 2);
    drive(engine, (heads){4, 2, 8}, QN_F16, false);
    drive(engine, (heads){4, 2, 40}, QN_F16, false);
    drive(engine, (heads){2, 2, 12}, QN_F32, false);
    qn_engine_close(engine);
}

static void every_row(void **state)
{
    (void)state;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t r = 0; r < (*t)->n_rows; r++) {
            const qn_kernel_row *row = &(*t)->rows[r];
            bool joined = *t == &qn_rope_attend_kernels;
            if (*t != &qn_attend_kernels && *t != &qn_attend_reduce_kernels && !joined) continue;
            qn_engine *engine = qn_test_row_engine(row);
            for (size_t i = 0; qn_row_runs_on(row, qn_engine_device(engine)) && i < 3; i++) {
                drive(engine, (heads){6, 2, 64}, types[i], joined);
                drive(engine, (heads){5, 1, joined ? 64 : 32}, types[i], joined);
                drive(engine, (heads){2, 1, 96}, types[i], joined);
            }
            qn_engine_close(engine);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
