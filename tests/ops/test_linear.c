/* Linear: every shape of the project's table, every storage, every kernel row, against the float64 reference. */
#include "ops/blocks8_ref.h"
#include "ops/linear.h"
#include "ops/linear_ref.h"
#include "ops/norm_ref.h"
#include "support/op_harness.h"
#include "support/plan_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const qn_tolerance q4_bound = {1e-4, 1e-3}; /* the bound of the issue for q4gsw */

enum { MAX_M = 128 };
static const uint32_t all_rows[] = {1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 64, 127, 128};
static const uint32_t some_rows[] = {128, 1, 3, 128, 1, 9, 33};

typedef struct linear_case {
    qn_weight_kind kind;
    uint32_t n, k, group;
    bool half_scales, bias;
} linear_case;

/* x[MAX_M, k] as an inexact row sees it: in blocks of 8-bit codes. */
static void round_to_blocks(float *x, uint32_t k)
{
    float *rounded = malloc(sizeof(float) * MAX_M * k);
    qn_blocks8_ref(x, MAX_M, k, rounded);
    memcpy(x, rounded, sizeof(float) * MAX_M * k);
    free(rounded);
}

static double largest(const double *w, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(w[i]));
    return most;
}

/* The same bound; where x is rounded, also what one code more or less gives: another device may round a number that is
 * nearly in the middle of two codes the other way. */
static qn_tolerance bound_of(qn_tolerance bound, const qn_test_matrix *m, double largest_x, bool rounded)
{
    size_t n = (size_t)m->desc.shape.dim[0] * m->desc.shape.dim[1];
    if (rounded) bound.abs += largest(m->values, n) * largest_x / 127;
    return bound;
}

static qn_graph *open_graph(qn_engine *engine, const qn_kernel_row *row)
{
    qn_graph *g = qn_test_graph(engine);
    if (row && row->inexact) qn_graph_set_precision(g, QN_PRECISION_AUTO);
    return g;
}

/* Builds one graph at 128 rows and runs it at each live M of the list; row: the one that is forced, or NULL. */
static void run_case(qn_engine *engine, const linear_case *c, const uint32_t *rows, size_t n_rows,
                     const qn_kernel_row *row)
{
    qn_test_matrix m = qn_test_matrix_make(c->kind, c->n, c->k, c->group, c->half_scales, c->n * 31 + c->k);
    float *x = qn_test_floats((size_t)MAX_M * c->k, 7, 1.0f), *bias = qn_test_floats(c->n, 8, 1.0f);
    float *seen = qn_test_floats((size_t)MAX_M * c->k, 7, 1.0f);
    bool rounded = row && row->inexact;
    if (rounded) round_to_blocks(seen, c->k);
    double *want = malloc(sizeof(double) * MAX_M * c->n);
    qn_linear_ref(seen, m.values, c->bias ? bias : NULL, MAX_M, c->n, c->k, want);

    qn_weight *w;
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    qn_weight *b = c->bias ? qn_test_plain(engine, "bias", qn_shape_1(c->n), bias) : NULL;
    qn_graph *g = open_graph(engine, row);
    qn_value input = qn_graph_input(g, "x", QN_F32, qn_shape_2(MAX_M, c->k));
    qn_value y = qn_linear(g, input, qn_graph_weight(g, w), b ? qn_graph_weight(g, b) : 0);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < n_rows; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s M=%u N=%u K=%u group=%u", qn_test_kind_name(c->kind), rows[i], c->n, c->k,
                 c->group);
        qn_assert_ok(qn_graph_set_input(g, input, qn_shape_2(rows[i], c->k), x));
        const float *got = qn_test_run(g, y, qn_shape_2(rows[i], c->n));
        qn_test_compare(what, got, want, (size_t)rows[i] * c->n, bound_of(q4_bound, &m, 1.0, rounded));
        if (row) assert_true(qn_test_dispatched(g, row->name));
    }
    qn_graph_close(g);
    qn_weight_free(w);
    qn_weight_free(b);
    qn_test_matrix_free(&m);
    free(x);
    free(seen);
    free(bias);
    free(want);
}

/* ---- the project's table --------------------------------------------------------------------- */

static const struct {
    uint32_t n, k;
} shapes[] = {{1, 32}, {5, 8}, {48, 64}, {64, 2048}, {96, 100}, {256, 256}, {512, 2048}, {2048, 512}, {1000, 4096}};

static void q4_covers_the_table(void **state)
{
    static const uint32_t groups[] = {32, 64, 128};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        bool large = (uint64_t)shapes[i].n * shapes[i].k > 200000;
        for (size_t g = 0; g < 3; g++) {
            if (large && g != i % 3) continue; /* each large shape with one group size */
            linear_case c = {QN_WEIGHT_Q4, shapes[i].n, shapes[i].k, groups[g], g != 1, g == 2};
            run_case(*state, &c, all_rows, sizeof all_rows / sizeof all_rows[0], NULL);
        }
    }
}

static void odd_groups_and_ragged_rows_work(void **state)
{
    static const linear_case cases[] = {
        {QN_WEIGHT_Q4, 7, 36, 5, false, true},    {QN_WEIGHT_Q4, 33, 52, 12, true, false},
        {QN_WEIGHT_Q4, 20, 104, 32, false, true}, {QN_WEIGHT_Q4, 17, 33, 32, true, true},
        {QN_WEIGHT_Q4, 9, 1, 1, false, false},    {QN_WEIGHT_Q4, 65, 130, 1000, false, false},
        {QN_WEIGHT_Q4A, 19, 84, 24, false, true}, {QN_WEIGHT_Q8, 31, 77, 16, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_case(*state, &cases[i], some_rows, sizeof some_rows / sizeof some_rows[0], NULL);
}

/* ---- every row, every storage ---------------------------------------------------------------- */

static bool serves(const qn_kernel_row *row, qn_weight_kind kind)
{
    return !qn_row_const(row, kind >= QN_WEIGHT_Q8 ? "NO_CODES" : "NO_FLOATS");
}

static void every_row_computes_every_storage(void **state)
{
    (void)state;
    static const linear_case cases[] = {
        {QN_WEIGHT_F32, 50, 100, 0, false, true},   {QN_WEIGHT_F16, 33, 136, 0, false, false},
        {QN_WEIGHT_BF16, 70, 64, 0, false, true},   {QN_WEIGHT_Q8, 48, 96, 32, true, false},
        {QN_WEIGHT_Q8, 40, 144, 16, false, true},   {QN_WEIGHT_Q4, 65, 128, 32, true, true},
        {QN_WEIGHT_Q4, 96, 100, 64, false, false},  {QN_WEIGHT_Q4A, 34, 256, 32, false, true},
        {QN_WEIGHT_Q4A, 130, 288, 32, true, false}, {QN_WEIGHT_Q4, 20, 36, 16, false, true},
        {QN_WEIGHT_Q4, 17, 8196, 32, true, false},  {QN_WEIGHT_F16, 9, 6180, 0, false, false},
        {QN_WEIGHT_Q8, 18, 4256, 32, false, false}, /* several passes over K */
    };
    static const uint32_t rows[] = {1, 5, 128};
    for (uint32_t r = 0; r < qn_linear_kernels.n_rows; r++) {
        const qn_kernel_row *row = &qn_linear_kernels.rows[r];
        qn_engine *engine = qn_test_row_engine(row);
        if (!qn_row_runs_on(row, qn_engine_device(engine))) {
            printf("not run on this device: %s\n", row->name);
            qn_engine_close(engine);
            continue;
        }
        size_t n_rows = row->max_rows == 1 ? 2 : sizeof rows / sizeof rows[0]; /* one row after the other: slow */
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            if (serves(row, cases[i].kind)) run_case(engine, &cases[i], rows, n_rows, row);
        qn_engine_close(engine);
    }
}

/* ---- with norm, residual and gate ------------------------------------------------------------- */

enum { WITH_NORM = 1, WITH_RESIDUAL = 2, WITH_GATE = 4 };

typedef struct with_case {
    qn_weight_kind kind;
    uint32_t n, k, with; /* n: rows of the weight */
    bool bias;
} with_case;

static double *reference(const with_case *c, const double *w, float *const in[4], bool rounded)
{
    const float *norm = in[1], *residual = in[2], *bias = in[3];
    float *x = malloc(sizeof(float) * MAX_M * c->k);
    double *normal = malloc(sizeof(double) * MAX_M * c->k);
    qn_rms_norm_ref(in[0], norm, 1e-5, MAX_M, c->k, normal);
    for (size_t i = 0; i < (size_t)MAX_M * c->k; i++) x[i] = c->with & WITH_NORM ? (float)normal[i] : in[0][i];
    free(normal);
    if (rounded) round_to_blocks(x, c->k);
    double *y = malloc(sizeof(double) * MAX_M * c->n);
    qn_linear_ref(x, w, c->bias ? bias : NULL, MAX_M, c->n, c->k, y);
    uint32_t f = c->n / 2;
    for (uint32_t i = 0; i < MAX_M && (c->with & WITH_GATE); i++)
        for (uint32_t j = 0; j < f; j++) {
            double gate = y[(size_t)i * c->n + j];
            y[(size_t)i * f + j] = gate / (1 + exp(-gate)) * y[(size_t)i * c->n + f + j];
        }
    for (size_t i = 0; i < (size_t)MAX_M * c->n && (c->with & WITH_RESIDUAL); i++) y[i] += (double)residual[i];
    free(x);
    return y;
}

static void run_with(qn_engine *engine, const with_case *c, const qn_kernel_row *row)
{
    static const uint32_t rows[] = {MAX_M, 3, 70};
    qn_test_matrix m = qn_test_matrix_make(c->kind, c->n, c->k, 32, true, c->n * 31 + c->k);
    uint32_t columns = c->with & WITH_GATE ? c->n / 2 : c->n;
    float *in[4] = {qn_test_floats((size_t)MAX_M * c->k, 7, 1.0f), qn_test_floats(c->k, 8, 1.0f),
                    qn_test_floats((size_t)MAX_M * c->n, 9, 1.0f), qn_test_floats(c->n, 10, 1.0f)};
    bool rounded = row && row->inexact;
    double *want = reference(c, m.values, in, rounded);
    qn_tolerance bound = bound_of((qn_tolerance){3e-4, 1e-3}, &m, 2.0, rounded);
    if (rounded && c->with & WITH_GATE)
        bound.abs *= largest(want, (size_t)MAX_M * columns); /* times the other factor */
    qn_weight *w, *norm = qn_test_plain(engine, "norm", qn_shape_1(c->k), in[1]);
    qn_weight *bias = qn_test_plain(engine, "bias", qn_shape_1(c->n), in[3]);
    qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
    qn_graph *g = open_graph(engine, row);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(MAX_M, c->k));
    qn_value r = c->with & WITH_RESIDUAL ? qn_graph_input(g, "r", QN_F32, qn_shape_2(MAX_M, c->n)) : 0;
    qn_linear_options o = {.x = x, .w = qn_graph_weight(g, w), .eps = 1e-5f, .residual = r};
    o.gated = c->with & WITH_GATE;
    if (c->with & WITH_NORM) o.norm = qn_graph_weight(g, norm);
    if (c->bias) o.bias = qn_graph_weight(g, bias);
    qn_value y = qn_linear_with(g, &o);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s M=%u N=%u K=%u with %u", qn_test_kind_name(c->kind), rows[i], c->n, c->k,
                 c->with);
        qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(rows[i], c->k), in[0]));
        if (r) qn_assert_ok(qn_graph_set_input(g, r, qn_shape_2(rows[i], c->n), in[2]));
        const float *got = qn_test_run(g, y, qn_shape_2(rows[i], columns));
        qn_test_compare(what, got, want, (size_t)rows[i] * columns, bound);
        if (row) assert_true(qn_test_dispatched(g, row->name));
    }
    qn_graph_close(g);
    qn_weight_free(w);
    qn_weight_free(norm);
    qn_weight_free(bias);
    qn_test_matrix_free(&m);
    for (int i = 0; i < 4; i++) free(in[i]);
    free(want);
}

static const with_case with_cases[] = {
    {QN_WEIGHT_Q4, 96, 128, WITH_NORM, false},
    {QN_WEIGHT_Q4, 96, 128, WITH_RESIDUAL, true},
    {QN_WEIGHT_Q4, 192, 128, WITH_NORM | WITH_GATE, false},
    {QN_WEIGHT_Q4A, 130, 288, WITH_NORM | WITH_RESIDUAL, true},
    {QN_WEIGHT_Q8, 34, 100, WITH_NORM | WITH_GATE, true}, /* gate and up in one block of rows */
    {QN_WEIGHT_F16, 66, 36, WITH_GATE, false},
    {QN_WEIGHT_Q4, 48, 4160, WITH_NORM | WITH_GATE, true},
    {QN_WEIGHT_F16, 33, 2200, WITH_NORM | WITH_RESIDUAL, false},
    {QN_WEIGHT_F32, 33, 68, WITH_NORM | WITH_RESIDUAL, false},
};

static void every_row_computes_norm_residual_and_gate(void **state)
{
    (void)state;
    for (uint32_t r = 0; r < qn_linear_kernels.n_rows; r++) {
        const qn_kernel_row *row = &qn_linear_kernels.rows[r];
        qn_engine *engine = qn_test_row_engine(row);
        for (size_t i = 0; i < sizeof with_cases / sizeof with_cases[0]; i++)
            if (qn_row_runs_on(row, qn_engine_device(engine)) && serves(row, with_cases[i].kind))
                run_with(engine, &with_cases[i], row);
        qn_engine_close(engine);
    }
}

/* A NaN among the inputs is in every output, also where x is rounded. */
static void a_nan_is_not_lost(void **state)
{
    (void)state;
    for (uint32_t r = 0; r < qn_linear_kernels.n_rows; r++) {
        const qn_kernel_row *row = &qn_linear_kernels.rows[r];
        qn_engine *engine = qn_test_row_engine(row);
        if (qn_row_runs_on(row, qn_engine_device(engine)) && serves(row, QN_WEIGHT_Q4)) {
            qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, 16, 64, 32, true, 3);
            qn_weight *w;
            qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
            qn_graph *g = qn_test_graph(engine);
            qn_graph_set_precision(g, QN_PRECISION_AUTO);
            qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_2(2, 64));
            qn_value y = qn_linear(g, x, qn_graph_weight(g, w), 0);
            qn_graph_output(g, y, "y");
            qn_assert_ok(qn_graph_build(g));
            float *data = qn_test_floats(128, 5, 1.0f);
            data[5] = NAN;
            qn_assert_ok(qn_graph_set_input(g, x, qn_shape_2(2, 64), data));
            const float *got = qn_test_run(g, y, qn_shape_2(2, 16));
            for (int i = 0; i < 32; i++) assert_true((isnan(got[i]) != 0) == (i < 16));
            free(data);
            qn_graph_close(g);
            qn_weight_free(w);
            qn_test_matrix_free(&m);
        }
        qn_engine_close(engine);
    }
}

/* llvmpipe leaves an invocation after 65,535 rounds of loops: rows that would pass that are not taken there. */
static void long_rows_are_right_on_software(void **state)
{
    enum { K = 28672, M = 8, N = 16 };
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4A, N, K, 32, true, 3);
    float *x = calloc((size_t)M * K, sizeof *x);
    double want[M * N];
    assert_non_null(x);
    for (uint32_t i = 0; i < M; i++)
        for (uint32_t k = K - 64; k < K; k++) x[i * K + k] = (float)(1 + i);
    qn_linear_ref(x, m.values, NULL, M, N, K, want);
    qn_weight *w;
    qn_assert_ok(qn_weight_create(*state, &m.desc, &w));
    qn_graph *g = qn_test_graph(*state);
    qn_value input = qn_graph_input(g, "x", QN_F32, qn_shape_2(M, K));
    qn_value y = qn_linear(g, input, qn_graph_weight(g, w), 0);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, input, qn_shape_2(M, K), x));
    qn_test_compare("long rows", qn_test_run(g, y, qn_shape_2(M, N)), want, M * N, q4_bound);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
    free(x);
}

static void a_gated_product_of_a_split_weight_is_right(void **state)
{
    (void)state;
    qn_engine *engine = NULL;
    qn_assert_ok(qn_test_open_engine((qn_engine_options){.max_binding_bytes = 262144}, &engine));
    run_with(engine, &(with_case){QN_WEIGHT_F32, 1024, 128, WITH_NORM | WITH_GATE, true}, NULL);
    qn_engine_close(engine);
}

static void impossible_combinations_are_refused(void **state)
{
    static const struct {
        uint32_t n;
        bool gated, residual, long_norm;
        const char *why;
    } cases[] = {{63, true, false, false, "63 rows are no gate and up"},
                 {64, true, true, false, "takes no residual"},
                 {63, false, true, false, "the residual [3,64] must be"},
                 {64, false, false, true, "norm [64] must be"}};
    float zeros[64] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t k = cases[i].long_norm ? 32 : 64;
        qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, cases[i].n, k, 32, false, 3);
        qn_weight *w, *norm = qn_test_plain(*state, "norm", qn_shape_1(64), zeros);
        qn_assert_ok(qn_weight_create(*state, &m.desc, &w));
        qn_graph *g = qn_test_graph(*state);
        qn_linear_options o = {.x = qn_graph_input(g, "x", QN_F32, qn_shape_2(3, k)),
                               .w = qn_graph_weight(g, w),
                               .norm = qn_graph_weight(g, norm),
                               .gated = cases[i].gated};
        if (cases[i].residual) o.residual = qn_graph_input(g, "r", QN_F32, qn_shape_2(3, 64));
        qn_linear_with(g, &o);
        qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, cases[i].why);
        qn_graph_close(g);
        qn_weight_free(w);
        qn_weight_free(norm);
        qn_test_matrix_free(&m);
    }
}

/* The exact product, within what rounding every x to the nearest code of its block can do at most. */
static void rounded_activations_stay_within_half_a_code(void **state)
{
    (void)state;
    static const qn_weight_kind kinds[] = {QN_WEIGHT_Q4, QN_WEIGHT_Q4A, QN_WEIGHT_Q8};
    enum { N = 70, K = 320 };
    qn_engine *engine = qn_test_engine("linear.gemm8_few");
    float *x = qn_test_floats((size_t)MAX_M * K, 7, 3.0f), *half_codes = qn_test_floats((size_t)MAX_M * K, 7, 3.0f);
    for (size_t block = 0; block < (size_t)MAX_M * K / 32; block++) {
        float peak = 0.0f;
        for (size_t i = 0; i < 32; i++) peak = fmaxf(peak, fabsf(x[block * 32 + i]));
        for (size_t i = 0; i < 32; i++) half_codes[block * 32 + i] = peak / 254.0f;
    }
    for (size_t c = 0; c < sizeof kinds / sizeof kinds[0]; c++) {
        qn_test_matrix m = qn_test_matrix_make(kinds[c], N, K, 32, true, 5);
        double want[MAX_M * N], most[MAX_M * N];
        qn_linear_ref(x, m.values, NULL, MAX_M, N, K, want);
        for (size_t i = 0; i < (size_t)N * K; i++) m.values[i] = fabs(m.values[i]);
        qn_linear_ref(half_codes, m.values, NULL, MAX_M, N, K, most);
        qn_weight *w;
        qn_assert_ok(qn_weight_create(engine, &m.desc, &w));
        qn_graph *g = qn_test_graph(engine);
        qn_graph_set_precision(g, QN_PRECISION_AUTO);
        qn_value input = qn_graph_input(g, "x", QN_F32, qn_shape_2(MAX_M, K));
        qn_value y = qn_linear(g, input, qn_graph_weight(g, w), 0);
        qn_graph_output(g, y, "y");
        qn_assert_ok(qn_graph_build(g));
        qn_assert_ok(qn_graph_set_input(g, input, qn_shape_2(MAX_M, K), x));
        const float *got = qn_test_run(g, y, qn_shape_2(MAX_M, N));
        for (size_t i = 0; i < MAX_M * N; i++) assert_true(fabs((double)got[i] - want[i]) <= 1.001 * most[i] + 1e-3);
        qn_graph_close(g);
        qn_weight_free(w);
        qn_test_matrix_free(&m);
    }
    qn_engine_close(engine);
    free(x);
    free(half_codes);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void leading_dimensions_count_as_rows(void **state)
{
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, 24, 64, 32, false, 3);
    qn_weight *w;
    qn_assert_ok(qn_weight_create(*state, &m.desc, &w));
    qn_graph *g = qn_test_graph(*state);
    qn_value x = qn_graph_input(g, "x", QN_F32, qn_shape_4(2, 3, 4, 64));
    qn_value y = qn_linear(g, x, qn_graph_weight(g, w), 0);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    float *data = qn_test_floats(2 * 3 * 4 * 64, 5, 1.0f);
    double want[24 * 24];
    qn_linear_ref(data, m.values, NULL, 24, 24, 64, want);
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_4(2, 3, 4, 64), data));
    qn_test_compare("rank 4", qn_test_run(g, y, qn_shape_4(2, 3, 4, 24)), want, 24 * 24, q4_bound);
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_4(1, 3, 1, 64), data));
    qn_test_compare("rank 4, smaller", qn_test_run(g, y, qn_shape_4(1, 3, 1, 24)), want, 3 * 24, q4_bound);
    qn_graph_close(g);

    g = qn_test_graph(*state); /* a vector: one row */
    x = qn_graph_input(g, "x", QN_F32, qn_shape_1(64));
    y = qn_linear(g, x, qn_graph_weight(g, w), 0);
    qn_graph_output(g, y, "y");
    qn_assert_ok(qn_graph_build(g));
    qn_assert_ok(qn_graph_set_input(g, x, qn_shape_1(64), data));
    qn_test_compare("rank 1", qn_test_run(g, y, qn_shape_1(24)), want, 24, q4_bound);
    qn_graph_close(g);
    qn_weight_free(w);
    qn_test_matrix_free(&m);
    free(data);
}

static void wrong_shapes_are_refused_when_the_graph_is_built(void **state)
{
    qn_test_matrix m = qn_test_matrix_make(QN_WEIGHT_Q4, 24, 64, 32, false, 3);
    qn_weight *w, *bias = NULL;
    float zeros[24] = {0};
    qn_assert_ok(qn_weight_create(*state, &m.desc, &w));
    bias = qn_test_plain(*state, "bias", qn_shape_1(23), zeros);
    qn_graph *g = qn_test_graph(*state);
    qn_linear(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(3, 60)), qn_graph_weight(g, w), 0);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "last dimension of 64");
    qn_graph_close(g);
    g = qn_test_graph(*state);
    qn_linear(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(3, 64)), qn_graph_weight(g, w), qn_graph_weight(g, bias));
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "bias [23]");
    qn_graph_close(g);
    g = qn_test_graph(*state);
    qn_linear(g, qn_graph_input(g, "x", QN_F32, qn_shape_2(3, 24)), qn_graph_weight(g, bias), 0);
    qn_assert_fails(qn_graph_build(g), QN_ERR_ARGUMENT, "not a weight matrix");
    qn_graph_close(g);
    qn_weight_free(w);
    qn_weight_free(bias);
    qn_test_matrix_free(&m);
}

/* ---- routes and grids, without a device ------------------------------------------------------ */

static qn_weight *described(const qn_device_info *device, uint32_t n, uint32_t k)
{
    qn_pack_format format = {QN_STORE_Q4, 32, true};
    qn_weight *w;
    qn_assert_ok(qn_weight_describe(NULL, device, "w", true, qn_shape_2(n, k), &format, &w));
    return w;
}

static qn_value plan_for(qn_test_plan *t, const qn_weight *w, uint32_t max_m)
{
    qn_value x = qn_test_plan_tensor(t, "x", QN_F32, qn_shape_2(max_m, w->shape.dim[1]));
    qn_test_plan_weight(t, w);
    for (int i = 0; i < 3; i++) qn_test_plan_absent(t); /* bias, norm, residual */
    qn_assert_ok(qn_test_plan_build(t));
    return x;
}

static void the_live_row_count_chooses_the_kernel(void **state)
{
    (void)state;
    static const struct {
        qn_adapter_type type;
        const char *many, *one, *few;
    } devices[] = {{QN_ADAPTER_DISCRETE, "linear.gemm", "linear.gemv_plain", "linear.few"},
                   {QN_ADAPTER_SOFTWARE, "linear.quad8", "linear.quad1", "linear.quad4"}};
    static const uint32_t live[] = {128, 1, 3, 128, 1};
    for (size_t d = 0; d < 2; d++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_LINEAR);
        t.device.type = devices[d].type;
        qn_weight *w = described(&t.device, 16384, 2048);
        qn_value x = plan_for(&t, w, 128);
        for (size_t i = 0; i < 5; i++) {
            t.tensors[x].live.dim[0] = live[i];
            qn_assert_ok(qn_test_plan_live(&t));
            const char *want = live[i] == 128 ? devices[d].many : live[i] == 1 ? devices[d].one : devices[d].few;
            assert_int_equal(t.plan.n_dispatches, 1);
            const qn_dispatch *dispatch = &t.plan.dispatches[0];
            assert_string_equal(dispatch->row->name, want);
            assert_int_equal(dispatch->grid[0], qn_div_up(16384, qn_row_const(dispatch->row, "TILE_N")));
            assert_int_equal(dispatch->grid[1], qn_div_up(live[i], qn_row_const(dispatch->row, "TILE_M")));
            assert_int_equal(dispatch->grid[2], 1);
        }
        qn_test_plan_free(&t);
        qn_weight_free(w);
    }
}

/* Where the usual tile would make too few workgroups, a narrower one serves. */
static void narrow_matrices_take_narrow_tiles(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_LINEAR);
    qn_weight *w = described(&t.device, 512, 2048);
    qn_value x = plan_for(&t, w, 512);
    static const struct {
        uint32_t live;
        const char *name;
    } rows[] = {
        {1, "linear.gemv_plain_8"}, {64, "linear.few"}, {65, "linear.gemm_narrow"}, {512, "linear.gemm_narrow"}};
    for (size_t i = 0; i < 4; i++) {
        t.tensors[x].live.dim[0] = rows[i].live;
        qn_assert_ok(qn_test_plan_live(&t));
        assert_string_equal(t.plan.dispatches[0].row->name, rows[i].name);
    }
    qn_test_plan_free(&t);
    qn_weight_free(w);
}

/* Whatever row a live shape takes, with whatever constants, was planned at build. */
static void every_choice_is_met_at_build(void **state)
{
    (void)state;
    static const uint32_t widths[] = {512, 2048, 8192};
    for (size_t i = 0; i < 2 * sizeof widths / sizeof widths[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_LINEAR);
        t.plan.precision = i % 2 ? QN_PRECISION_AUTO : QN_PRECISION_EXACT;
        qn_weight *w = described(&t.device, widths[i / 2], 2048);
        qn_value x = plan_for(&t, w, 700);
        qn_dispatch built[64];
        size_t n = t.plan.n_dispatches;
        assert_true(n <= 64);
        memcpy(built, t.plan.dispatches, n * sizeof built[0]);
        for (uint32_t m = 1; m <= 700; m++) {
            t.tensors[x].live.dim[0] = m;
            qn_assert_ok(qn_test_plan_live(&t));
            for (size_t k = 0; k < t.plan.n_dispatches; k++) {
                const qn_dispatch *d = &t.plan.dispatches[k];
                size_t at = 0;
                while (at < n && (built[at].row != d->row || memcmp(built[at].spec, d->spec, sizeof d->spec) != 0))
                    at++;
                if (at == n) fail_msg("%u rows take %s, which was not planned at build", m, d->row->name);
            }
        }
        qn_test_plan_free(&t);
        qn_weight_free(w);
    }
}

static void rounded_activations_have_their_own_rows(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, live;
        const char *name;
    } cases[] = {{8192, 512, "linear.gemm8"},
                 {2048, 512, "linear.gemm8_split"},
                 {512, 512, "linear.gemm8_narrow"},
                 {2048, 17, "linear.gemm8_few"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_LINEAR);
        t.plan.precision = QN_PRECISION_AUTO;
        qn_weight *w = described(&t.device, cases[i].n, 2048);
        plan_for(&t, w, cases[i].live);
        qn_assert_ok(qn_test_plan_live(&t));
        assert_int_equal(t.plan.n_dispatches, 2);
        assert_string_equal(t.plan.dispatches[0].row->name, "blocks8.wide");
        assert_string_equal(t.plan.dispatches[1].row->name, cases[i].name);
        qn_test_plan_free(&t);
        qn_weight_free(w);
    }
}

/* Tiles along N beyond 65,535 fold over z. */
static void large_matrices_fold_the_grid(void **state)
{
    (void)state;
    static const uint32_t tiles[] = {65535, 65536, 65537};
    for (size_t i = 0; i < 3; i++) {
        qn_test_plan t;
        qn_test_plan_init(&t, QN_OP_LINEAR);
        t.device.max_binding_bytes = t.device.max_buffer_bytes = 1ull << 34;
        qn_weight *w = described(&t.device, tiles[i] * 16 - 3, 32);
        plan_for(&t, w, 1);
        qn_assert_ok(qn_test_plan_live(&t));
        const uint32_t *grid = t.plan.dispatches[0].grid;
        assert_true(grid[0] <= 65535 && grid[2] <= 65535);
        assert_true((uint64_t)grid[0] * grid[2] >= tiles[i]);
        assert_int_equal(grid[2], tiles[i] > 65535 ? 2 : 1);
        qn_test_plan_free(&t);
        qn_weight_free(w);
    }
}

/* An output over the binding limit is computed in windows of rows that start at multiples of 256 bytes. */
static void large_outputs_take_windows(void **state)
{
    (void)state;
    qn_test_plan t;
    qn_test_plan_init(&t, QN_OP_LINEAR);
    qn_weight *w = described(&t.device, 128256, 64);
    plan_for(&t, w, 1000); /* 513 MB of logits under a limit of 128 MiB */
    qn_assert_ok(qn_test_plan_live(&t));
    uint32_t rows = 0;
    for (size_t i = 0; i < t.plan.n_dispatches; i++) {
        const qn_dispatch *d = &t.plan.dispatches[i];
        const qn_bind *y = &d->binds[7];
        assert_int_equal(y->offset, (uint64_t)rows * 128256 * 4);
        assert_int_equal(y->offset % 256, 0);
        assert_true(y->size <= t.device.max_binding_bytes);
        rows += d->params[0];
    }
    assert_int_equal(rows, 1000);
    assert_true(t.plan.n_dispatches > 1);
    qn_test_plan_free(&t);
    qn_weight_free(w);
}

/* ---- main ------------------------------------------------------------------------------------ */

static int open_engine(void **state)
{
    *state = qn_test_engine(NULL);
    return 0;
}

static int close_engine(void **state)
{
    qn_engine_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_live_row_count_chooses_the_kernel),
        cmocka_unit_test(narrow_matrices_take_narrow_tiles),
        cmocka_unit_test(every_choice_is_met_at_build),
        cmocka_unit_test(rounded_activations_have_their_own_rows),
        cmocka_unit_test(large_matrices_fold_the_grid),
        cmocka_unit_test(large_outputs_take_windows),
        cmocka_unit_test(leading_dimensions_count_as_rows),
        cmocka_unit_test(wrong_shapes_are_refused_when_the_graph_is_built),
        cmocka_unit_test(q4_covers_the_table),
        cmocka_unit_test(odd_groups_and_ragged_rows_work),
        cmocka_unit_test(every_row_computes_every_storage),
        cmocka_unit_test(every_row_computes_norm_residual_and_gate),
        cmocka_unit_test(rounded_activations_stay_within_half_a_code),
        cmocka_unit_test(a_nan_is_not_lost),
        cmocka_unit_test(long_rows_are_right_on_software),
        cmocka_unit_test(a_gated_product_of_a_split_weight_is_right),
        cmocka_unit_test(impossible_combinations_are_refused),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
