/* Routes: which kernel a graph dispatches at which live row count, with which grid; and the list of all kernel rows.
 * That every row of every table runs is ops.neutrality's. */
#include "support/gpu_harness.h"
#include "support/model_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "graph/graph.h"

extern const qn_kernel_table qn_linear_kernels;

enum { N = 100, K = 64, MOST = 128 };

typedef struct fixture {
    qn_engine *engine;
    qn_weight *w;
    qn_graph *g;
    qn_value x, y;
    float *data;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.engine = qn_test_engine(NULL);
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, 32, true, 1);
    qn_assert_ok(qn_weight_create(f.engine, &m.desc, &f.w));
    qn_test_matrix_free(&m);
    f.g = qn_test_graph(f.engine);
    f.x = qn_graph_input(f.g, "x", QN_F32, qn_shape_3(1, MOST, K));
    f.y = qn_linear(f.g, f.x, qn_graph_weight(f.g, f.w), 0);
    qn_graph_output(f.g, f.y, "y");
    qn_assert_ok(qn_graph_build(f.g));
    f.data = qn_test_floats(MOST * K, 2, 1.0f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    free(f->data);
    qn_graph_close(f->g);
    qn_weight_free(f->w);
    qn_engine_close(f->engine);
    return 0;
}

/* The row that the adapter's table prefers for m rows. */
static const qn_kernel_row *preferred(const qn_device_info *device, uint32_t m)
{
    for (uint32_t i = 0; i < qn_linear_kernels.n_rows; i++) {
        const qn_kernel_row *row = &qn_linear_kernels.rows[i];
        if (!qn_row_preferred_on(row, device) || m < row->min_rows || (row->max_rows && m > row->max_rows)) continue;
        return row;
    }
    fail_msg("no row of the table takes %u rows", m);
    return NULL;
}

static void assert_dispatched(const fixture *f, uint32_t m, const char *kernel, uint32_t x, uint32_t y)
{
    qn_assert_ok(qn_graph_set_input(f->g, f->x, qn_shape_3(1, m, K), f->data));
    qn_test_run(f->g, f->y, qn_shape_3(1, m, N));
    assert_int_equal(qn_graph_n_dispatches(f->g), 1);
    qn_trace t = qn_graph_dispatch(f->g, 0);
    assert_string_equal(t.op, "linear");
    assert_string_equal(t.kernel, kernel);
    assert_int_equal(t.grid[0], x);
    assert_int_equal(t.grid[1], y);
    assert_int_equal(t.grid[2], 1);
    assert_int_equal(t.params[0], m);
    assert_int_equal(t.params[1], N);
}

static const uint32_t live[] = {128, 1, 3, 128, 1};
enum { N_LIVE = sizeof live / sizeof live[0] };

/* The trace that the founding issue asks for, from the table that plan() and the shaders are made of. */
static void one_graph_takes_the_route_of_each_live_shape(void **state)
{
    fixture *f = *state;
    const qn_device_info *device = qn_engine_device(f->engine);
    const char *names[N_LIVE];
    for (int i = 0; i < N_LIVE; i++) {
        const qn_kernel_row *row = preferred(device, live[i]);
        names[i] = row->name;
        assert_dispatched(f, live[i], row->name, qn_div_up(N, qn_row_const(row, "TILE_N")),
                          qn_div_up(live[i], qn_row_const(row, "TILE_M")));
    }
    assert_string_not_equal(names[0], names[1]); /* many, one, few: three kernels */
    assert_string_not_equal(names[0], names[2]);
    assert_string_not_equal(names[1], names[2]);
}

/* The same in literal numbers: this is the software device. */
static void on_software_these_are_the_grids(void **state)
{
    fixture *f = *state;
    static const struct {
        uint32_t m;
        const char *kernel;
        uint32_t x, y;
    } want[] = {{128, "linear.quad8", 4, 16}, {1, "linear.quad1", 4, 1}, {3, "linear.quad4", 4, 1},
                {128, "linear.quad8", 4, 16}, {1, "linear.quad1", 4, 1}, {2, "linear.quad4", 4, 1},
                {4, "linear.quad4", 4, 1},    {5, "linear.quad8", 4, 1}, {9, "linear.quad8", 4, 2}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_dispatched(f, want[i].m, want[i].kernel, want[i].x, want[i].y);
}

/* A GPU's routes, planned only: the graph itself, with a device that is not there. */
static void on_a_gpu_these_are_the_grids(void **state)
{
    (void)state;
    enum { N_LARGE = 16384, K_LARGE = 2048 };
    static const struct {
        uint32_t m;
        const char *kernel;
        uint32_t x, y;
    } want[] = {{128, "linear.gemm", 128, 1}, {1, "linear.gemv_plain", 1024, 1}, {3, "linear.few", 1024, 1},
                {128, "linear.gemm", 128, 1}, {1, "linear.gemv_plain", 1024, 1}, {8, "linear.few", 1024, 2}};
    qn_device_info device = qn_core_device();
    device.type = QN_ADAPTER_DISCRETE;
    qn_pack_format format = {QN_STORE_Q4, 32, true};
    qn_weight *w = NULL;
    qn_graph *g = NULL;
    qn_assert_ok(qn_weight_describe(NULL, &device, "w", true, qn_shape_2(N_LARGE, K_LARGE), &format, &w));
    qn_assert_ok(qn_graph_open_dry(NULL, &device, &g));
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(MOST, K_LARGE));
    qn_linear(g, x, qn_graph_weight(g, w), 0);
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        qn_graph_tensor(g, x)->live.dim[0] = want[i].m;
        g->plan.tensors = g->tensors;
        qn_assert_ok(qn_plan_node(&g->plan, &qn_graph_node(g, 0)->node));
        assert_int_equal(g->plan.n_dispatches, 1);
        const qn_dispatch *d = &g->plan.dispatches[0];
        assert_string_equal(d->row->name, want[i].kernel);
        assert_int_equal(d->grid[0], want[i].x);
        assert_int_equal(d->grid[1], want[i].y);
        assert_int_equal(d->grid[2], 1);
        assert_non_null(qn_graph_find_variant(qn_graph_node(g, 0), d, NULL)); /* prepared when the graph was built */
    }
    qn_graph_close(g);
    qn_weight_free(w);
}

/* ---- all rows -------------------------------------------------------------------------------- */

static void all_rows_are_listed(void **state)
{
    const fixture *f = *state;
    enum { MANY = 200 };
    qn_route_info routes[MANY], few[2];
    size_t n = qn_routes(qn_engine_device(f->engine), routes, MANY);
    assert_in_range(n, 10, MANY);
    assert_int_equal(qn_routes(qn_engine_device(f->engine), NULL, 0), n);
    memset(few, 0, sizeof few);
    assert_int_equal(qn_routes(qn_engine_device(f->engine), few, 1), n);
    assert_string_equal(few[0].name, routes[0].name);
    assert_null(few[1].name);
    size_t at = 0;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t i = 0; i < (*t)->n_rows; i++, at++) {
            const qn_kernel_row *row = &(*t)->rows[i];
            assert_string_equal(routes[at].name, row->name);
            assert_int_equal(routes[at].usable, qn_row_runs_on(row, qn_engine_device(f->engine)));
            assert_true(routes[at].usable || !routes[at].preferred);
            for (size_t k = 0; k < at; k++) assert_string_not_equal(routes[k].name, row->name);
            if (!routes[at].usable) print_message("%s (%s): this device cannot run it\n", row->name, routes[at].needs);
        }
    assert_int_equal(at, n);
}

/* On every device, each table has a row that runs without being forced. */
static void every_device_has_a_route(void **state)
{
    (void)state;
    static const qn_adapter_type types[] = {QN_ADAPTER_UNKNOWN, QN_ADAPTER_DISCRETE, QN_ADAPTER_INTEGRATED,
                                            QN_ADAPTER_SOFTWARE};
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        qn_device_info device = qn_core_device();
        device.type = types[k];
        for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++) {
            bool any = (*t)->rows[0].joins; /* without it: the steps */
            for (uint32_t i = 0; i < (*t)->n_rows; i++) any |= qn_row_preferred_on(&(*t)->rows[i], &device);
            if (!any) fail_msg("the table of %s has no row for adapter type %d", (*t)->rows[0].name, (int)types[k]);
        }
    }
}

/* A forced row is taken at every live shape; one that cannot compute a node leaves it its usual route. */
static void a_forced_row_is_taken(void **state)
{
    const fixture *f = *state;
    for (uint32_t i = 0; i < qn_linear_kernels.n_rows; i++) {
        const char *name = qn_linear_kernels.rows[i].name;
        if (qn_linear_kernels.rows[i].inexact || qn_row_const(&qn_linear_kernels.rows[i], "NO_CODES")) continue;
        qn_engine *engine = qn_test_row_engine(&qn_linear_kernels.rows[i]);
        qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, N, 50, 25, true, 1);
        qn_weight *w = NULL, *ragged = NULL;
        qn_assert_ok(qn_weight_create(engine, &m.desc, &ragged));
        qn_test_matrix_free(&m);
        m = qn_test_matrix_make(QN_WEIGHT_Q4, N, K, 32, true, 1);
        qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
        qn_test_matrix_free(&m);
        qn_graph *g = qn_test_graph(engine);
        qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(MOST, K));
        qn_value z = qn_graph_input(g, "z", QN_F32, qn_shape_2(MOST, 50));
        qn_value y = qn_linear(g, x, qn_graph_weight(g, w), 0);
        qn_graph_output(g, y, "y");
        qn_linear(g, z, qn_graph_weight(g, ragged), 0);
        qn_assert_ok(qn_graph_build(g));
        for (int k = 0; k < N_LIVE; k++) {
            qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(live[k], K), f->data));
            qn_assert_ok(qn_graph_set_input(g, z, qn_shape_2(live[k], 50), f->data));
            qn_test_run(g, y, qn_shape_2(live[k], N));
            assert_string_equal(qn_graph_dispatch(g, 0).kernel, name);
            assert_string_equal(qn_graph_dispatch(g, 1).kernel, "linear.any");
        }
        qn_graph_close(g);
        qn_weight_free(w);
        qn_weight_free(ragged);
        qn_engine_close(engine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_graph_takes_the_route_of_each_live_shape),
        cmocka_unit_test(on_software_these_are_the_grids),
        cmocka_unit_test(on_a_gpu_these_are_the_grids),
        cmocka_unit_test(all_rows_are_listed),
        cmocka_unit_test(every_device_has_a_route),
        cmocka_unit_test(a_forced_row_is_taken),
    };
    return cmocka_run_group_tests_name("routes", tests, set_up, tear_down);
}
