/* Trusted kernels stay inside of their bindings, at the edges of every operation and kernel row: the cases of
 * ops.neutrality run at ragged live shapes, up to the largest that the graph is built for, three times: with the
 * implementation's bounds checks, and without them but with bytes behind every buffer that are bound with it, filled
 * with two different patterns. The patterns must be as they were afterwards, and the results the same to the bit, and
 * but for rounding those with checks. */
#include "support/neutral_run.h"

#ifdef QN_NO_BLOCKING

int main(void)
{
    return 77; /* skipped: guards are read with a blocking call */
}

#else

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

enum { GUARD = 4096 };

/* The edges: full, one, and sizes that no tile divides. */
static const qn_neutral_call calls[] = {{40, 0}, {1, 40}, {33, 1}};
enum { N_CALLS = sizeof calls / sizeof calls[0] };

static const qn_engine_options variants[] = {
    {.checked = true},
    {.guard_bytes = GUARD, .guard_byte = 0xff}, /* NaN, -1 */
    {.guard_bytes = GUARD, .guard_byte = 0x3d}, /* small numbers */
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

static void assert_intact(qn_buffer *buffer, const char *name, const char *route)
{
    bool intact = true;
    if (buffer) qn_assert_ok(qn_buffer_check_guard(buffer, &intact));
    if (!intact) fail_msg("%s, %s: something was written behind a buffer", name, route);
}

static void assert_guards_intact(const qn_graph *g, const char *name, const char *route)
{
    for (qn_value v = 1; v < g->n_values; v++) {
        assert_intact(qn_graph_place(g, v)->buffer, name, route);
        const qn_weight *w = qn_graph_tensor(g, v)->weight;
        for (uint32_t i = 0; w && i < w->n_parts; i++) assert_intact(w->parts[i].buffer, name, route);
    }
}

static qn_engine *open_engine(qn_engine_options o)
{
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine(o, &engine));
    return engine;
}

/* All calls of a case, one after the other. */
static qn_neutral_result run_case(qn_engine *engine, const op_case *c, const char *route)
{
    qn_neutral_result all = {0};
    qn_neutral_fixture f;
    qn_neutral_open(&f, engine, c);
    built b = qn_neutral_build(&f, MAX_ROWS);
    for (int i = 0; i < N_CALLS; i++) qn_neutral_run(&f, &b, &calls[i], &all);
    assert_guards_intact(b.g, c->name, route ? route : "default");
    qn_graph_close(b.g);
    qn_neutral_close(&f);
    return all;
}

static bool same(const qn_neutral_result *a, const qn_neutral_result *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The same but for the rounding of floats: the driver may order a sum in another way where checks stand between. */
static bool near(const qn_neutral_result *a, const qn_neutral_result *b)
{
    if (a->size != b->size || a->size % 4 != 0) return false;
    for (size_t i = 0; i < a->size; i += 4) {
        float x, y;
        memcpy(&x, a->bytes + i, 4);
        memcpy(&y, b->bytes + i, 4);
        if (memcmp(&x, &y, 4) == 0) continue;
        bool floats = fabsf(x) > 1e-30f || fabsf(y) > 1e-30f; /* small integers are smaller as floats */
        if (!floats || !(fabsf(x - y) <= 1e-5f * (1 + fabsf(x)))) return false;
    }
    return true;
}

static bool uses(const op_case *c, const qn_kernel_table *table)
{
    for (int i = 0; i < MAX_TABLES; i++)
        if (c->tables[i] == table) return true;
    return false;
}

typedef struct fixture {
    qn_engine *engines[N_VARIANTS];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    for (int i = 0; i < N_VARIANTS; i++) f.engines[i] = open_engine(variants[i]);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < N_VARIANTS; i++) qn_engine_close(f->engines[i]);
    return 0;
}

static void check_case(const fixture *f, const op_case *c, const char *route)
{
    qn_neutral_result r[N_VARIANTS];
    r[0] = run_case(f->engines[0], c, route);
    if (route && !strstr(r[0].kernels, route)) { /* it does not serve here: the default rows were tried already */
        free(r[0].bytes);
        return;
    }
    for (int i = 1; i < N_VARIANTS; i++) r[i] = run_case(f->engines[i], c, route);
    const char *what = !near(&r[0], &r[1])   ? "without bounds checks the result is another"
                       : !same(&r[1], &r[2]) ? "the result depends on what lies behind a buffer"
                                             : NULL;
    if (what) fail_msg("%s (%s), route %s: %s", qn_ops[c->op].name, c->name, route ? route : "default", what);
    for (int i = 0; i < N_VARIANTS; i++) free(r[i].bytes);
}

/* The cases that use the table (NULL: all), with `route` forced. */
static void check(const fixture *f, const qn_kernel_table *table, const char *route)
{
    for (int i = 0; i < N_VARIANTS; i++) {
        qn_free(f->engines[i]->allocator, f->engines[i]->route);
        f->engines[i]->route = NULL;
        if (route) qn_assert_ok(qn_copy_string(f->engines[i]->allocator, route, strlen(route), &f->engines[i]->route));
    }
    for (const neutral_family *const *family = qn_neutral_families; *family; family++)
        for (size_t k = 0; k < (*family)->n; k++)
            if (!table || uses(&(*family)->cases[k], table)) check_case(f, &(*family)->cases[k], route);
}

static void default_rows_stay_inside(void **state)
{
    check(*state, NULL, NULL);
}

static void every_row_stays_inside(void **state)
{
    const fixture *f = *state;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++)
            if (qn_row_runs_on(&(*t)->rows[i], qn_engine_device(f->engines[0]))) check(f, *t, (*t)->rows[i].name);
}

/* A trusted kernel that writes one element too far: the guard tells. */
static void the_guards_see(void **state)
{
    const fixture *f = *state;
    static const char source[] = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;\n"
                                 "@compute @workgroup_size(64)\n"
                                 "fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = 1.0; }\n";
    qn_gpu *gpu = f->engines[1]->gpu;
    const qn_kernel_desc desc = {.label = "too far", .source = source, .entry = "main", .access = "w", .trusted = true};
    for (uint32_t n = 63; n <= 64; n++) {
        qn_kernel *kernel = NULL;
        qn_buffer *y = NULL, *params = NULL;
        qn_bindings *bindings = NULL;
        qn_encoder *encoder = NULL;
        qn_assert_ok(qn_kernels_create(gpu, 1, &desc, 1, &kernel));
        qn_assert_ok(qn_buffer_create(gpu, QN_BUFFER_STORAGE, (uint64_t)(n - n % 4) * 4, "y", &y));
        qn_assert_ok(qn_buffer_create(gpu, QN_BUFFER_PARAMS, QN_PARAM_SLOT, "params", &params));
        const qn_range range = {y, 0, qn_buffer_size(y)};
        qn_assert_ok(qn_bindings_create(gpu, kernel, params, &range, 1, &bindings));
        qn_assert_ok(qn_encoder_create(gpu, 0, &encoder));
        qn_assert_ok(qn_encoder_begin(encoder, QN_TIME_NOTHING));
        qn_encoder_dispatch(encoder, kernel, bindings, 0, (const uint32_t[]){1, 1, 1});
        qn_assert_ok(qn_encoder_submit(encoder));
        bool intact = false;
        qn_assert_ok(qn_buffer_check_guard(y, &intact));
        assert_int_equal(intact, n == 64); /* 60 elements, of which 64 are written, and 64 */
        qn_encoder_free(encoder);
        qn_bindings_free(bindings);
        qn_buffer_free(params);
        qn_buffer_free(y);
        qn_kernel_free(kernel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guards_see),
        cmocka_unit_test(default_rows_stay_inside),
        cmocka_unit_test(every_row_stays_inside),
    };
    return cmocka_run_group_tests_name("bounds", tests, set_up, tear_down);
}

#endif
