/* self_test.c - whether this driver computes the kernel rows rightly: every row is forced on small tensors and compared
 * with the plain C reference, for many live rows, one and a few.
 *
 * What is computed are small graphs in which every other kernel is of the baseline. Random numbers, so that no error in
 * an index goes unseen; the bounds are wide, as wrong kernels are far off. */
#include "base/random.h"
#include "graph/graph.h"
#include "ops/attention_ref.h"
#include "ops/linear_ref.h"
#include "ops/norm_ref.h"
#include "ops/rope_ref.h"

#include <math.h>
#include <string.h>

#define QN_OP(ID, name, plan)
#define QN_KERNELS(table) extern const qn_kernel_table table;
#include "ops/ops.def"
#undef QN_OP
#undef QN_KERNELS

enum { K = 256, N = 72, GROUP = 32, HEADS = 8, KV_HEADS = 2, DIM = 64, CONTEXT = 80 };
enum { Q_ROW = HEADS * DIM, KV_ROW = KV_HEADS * DIM, QKV_ROW = Q_ROW + 2 * KV_ROW };
enum { MAX_IN = 3, MAX_TABLES = 6, MAX_ROWS = 70 };

static const float eps = 1e-5f;

/* In this order, so that the first one fills the caches for the others. */
static const struct {
    uint32_t rows, pos;
} calls[] = {{MAX_ROWS, 0}, {1, 70}, {5, 71}};
enum { N_CALLS = sizeof calls / sizeof calls[0] };

typedef struct fixture fixture;

/* A graph that is tried. */
typedef struct bench {
    qn_graph *g;
    qn_value in[MAX_IN], w, norm, pos, caches[2];
} bench;

typedef struct self_case {
    const qn_kernel_table *tables[MAX_TABLES]; /* whose rows it tries                       */
    qn_shape in[MAX_IN];                       /* f32; a dimension 0: the live rows         */
    uint32_t n;                                /* rows of a 4-bit weight [n, K]; 0: none    */
    bool floats;                               /* it is of floats instead                   */
    qn_dtype kv;                               /* of caches; 0: none                        */
    double bound;                              /* error, of the largest number; 0: 1e-3     */
    qn_value (*add)(const bench *b);
    qn_status (*reference)(fixture *f, uint32_t rows, uint32_t pos, double *y);
    uint32_t out; /* elements of a row of the result */
} self_case;

struct fixture {
    qn_engine *engine;
    const self_case *c;
    qn_weight *w, *norm;
    double *values;     /* [n, K] of w                           */
    float *norm_values; /* [K]                                  */
    float *in[MAX_IN];
    float *scratch;   /* [MAX_ROWS, QKV_ROW] of references    */
    float *caches[2]; /* [CONTEXT, KV_ROW], likewise          */
    double *want[N_CALLS];
};

/* ---- references ------------------------------------------------------------------------------ */

static void to_f32(const double *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
}

static qn_status ref_norm(fixture *f, uint32_t rows, uint32_t pos, double *y)
{
    (void)pos;
    qn_rms_norm_ref(f->in[0], f->norm_values, eps, rows, K, y);
    return qn_ok();
}

/* The norm's rows into f->scratch. */
static void normalize(fixture *f, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) {
        double row[K];
        qn_rms_norm_ref(f->in[0] + (size_t)r * K, f->norm_values, eps, 1, K, row);
        to_f32(row, f->scratch + (size_t)r * K, K);
    }
}

static qn_status ref_projection(fixture *f, uint32_t rows, uint32_t pos, double *y)
{
    (void)pos;
    normalize(f, rows);
    qn_linear_ref(f->scratch, f->values, NULL, rows, N, K, y);
    for (size_t i = 0; i < (size_t)rows * N; i++) y[i] += (double)f->in[1][i];
    return qn_ok();
}

static qn_status ref_gated(fixture *f, uint32_t rows, uint32_t pos, double *y)
{
    (void)pos;
    normalize(f, rows);
    for (uint32_t r = 0; r < rows; r++) {
        double both[2 * N];
        qn_linear_ref(f->scratch + (size_t)r * K, f->values, NULL, 1, 2 * N, K, both);
        for (int i = 0; i < N; i++) y[(size_t)r * N + (size_t)i] = both[i] / (1 + exp(-both[i])) * both[N + i];
    }
    return qn_ok();
}

static qn_status ref_sdpa(fixture *f, uint32_t rows, uint32_t pos, double *y)
{
    const qn_sdpa_ref_shape shape = {rows, pos, HEADS, KV_HEADS, DIM, 0};
    for (int i = 0; i < 2; i++) qn_update_cache_ref(f->in[1 + i], f->caches[i], rows, pos, KV_ROW);
    return qn_sdpa_ref(f->engine->allocator, &shape, f->in[0], f->caches[0], f->caches[1], y);
}

/* Row r of qkv: its q into scratch, its k and v into the caches, rotated. */
static void append_row(fixture *f, uint32_t r, uint32_t pos)
{
    const float *qkv = f->in[0] + (size_t)r * QKV_ROW;
    float table[DIM]; /* cosine and sine of this position */
    double rotated[Q_ROW];
    for (int i = 0; i < DIM / 2; i++) {
        double angle = pos * pow(10000.0, -2.0 * i / (int)DIM);
        table[2 * i] = (float)cos(angle);
        table[2 * i + 1] = (float)sin(angle);
    }
    qn_rope_ref(qkv, table, rotated, 1, HEADS, DIM, 0, QN_ROPE_HALF);
    to_f32(rotated, f->scratch + (size_t)r * Q_ROW, Q_ROW);
    qn_rope_ref(qkv + Q_ROW, table, rotated, 1, KV_HEADS, DIM, 0, QN_ROPE_HALF);
    to_f32(rotated, f->caches[0] + (size_t)pos * KV_ROW, KV_ROW);
    memcpy(f->caches[1] + (size_t)pos * KV_ROW, qkv + Q_ROW + KV_ROW, KV_ROW * sizeof *qkv);
}

static qn_status ref_attend(fixture *f, uint32_t rows, uint32_t pos, double *y)
{
    const qn_sdpa_ref_shape shape = {rows, pos, HEADS, KV_HEADS, DIM, 0};
    for (uint32_t r = 0; r < rows; r++) append_row(f, r, pos + r);
    return qn_sdpa_ref(f->engine->allocator, &shape, f->scratch, f->caches[0], f->caches[1], y);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static qn_value add_norm(const bench *b)
{
    return qn_rms_norm(b->g, b->in[0], b->norm, eps);
}

static qn_value add_projection(const bench *b)
{
    const qn_linear_options o = {.x = b->in[0], .w = b->w, .norm = b->norm, .eps = eps, .residual = b->in[1]};
    return qn_linear_with(b->g, &o);
}

static qn_value add_gated(const bench *b)
{
    const qn_linear_options o = {.x = b->in[0], .w = b->w, .norm = b->norm, .eps = eps, .gated = true};
    return qn_linear_with(b->g, &o);
}

static qn_value add_sdpa(const bench *b)
{
    return qn_sdpa_with_kv_cache(b->g, b->in[0], b->in[1], b->in[2], b->caches[0], b->caches[1], b->pos, NULL);
}

static qn_rope_append_options append_options(const bench *b)
{
    const qn_rope_table_options table = {.head_dim = DIM, .n_positions = CONTEXT, .freq_base = 10000.0};
    return (qn_rope_append_options){b->in[0],    qn_rope_table(b->g, &table), b->caches[0], b->caches[1], b->pos,
                                    QN_ROPE_HALF};
}

static qn_value add_rope_attend(const bench *b)
{
    return qn_rope_attend(b->g, &(qn_rope_attend_options){.append = append_options(b)});
}

static qn_value add_attend(const bench *b)
{
    const qn_rope_append_options append = append_options(b);
    qn_value q = qn_rope_append(b->g, &append);
    return qn_attend(b->g, &(qn_attend_options){q, b->caches[0], b->caches[1], b->pos, 0});
}

#define LINEAR_TABLES                                                                                                  \
    {                                                                                                                  \
        &qn_linear_kernels, &qn_gate_kernels, &qn_rms_norm_kernels, &qn_blocks8_kernels                                \
    }
#define STEPS &qn_sdpa_qk_kernels, &qn_sdpa_softmax_kernels, &qn_sdpa_av_kernels
#define ATTEND(type, error)                                                                                            \
    {                                                                                                                  \
        .tables = {&qn_rope_append_kernels, &qn_attend_kernels, &qn_attend_reduce_kernels, STEPS},                     \
        .in = {{2, {0, QKV_ROW}}}, .kv = type, .bound = error, .add = add_attend, .reference = ref_attend,             \
        .out = Q_ROW                                                                                                   \
    }

#define ROPE_ATTEND(type, error)                                                                                       \
    {                                                                                                                  \
        .tables = {&qn_rope_attend_kernels}, .in = {{2, {0, QKV_ROW}}}, .kv = type, .bound = error,                    \
        .add = add_rope_attend, .reference = ref_attend, .out = Q_ROW                                                  \
    }

static const self_case cases[] = {
    {.tables = LINEAR_TABLES,
     .in = {{2, {0, K}}, {2, {0, N}}},
     .n = N,
     .add = add_projection,
     .reference = ref_projection,
     .out = N},
    {.tables = {&qn_linear_kernels},
     .in = {{2, {0, K}}, {2, {0, N}}},
     .n = N,
     .floats = true,
     .add = add_projection,
     .reference = ref_projection,
     .out = N},
    {.tables = LINEAR_TABLES, .in = {{2, {0, K}}}, .n = 2 * N, .add = add_gated, .reference = ref_gated, .out = N},
    {.tables = {&qn_rms_norm_kernels}, .in = {{2, {0, K}}}, .add = add_norm, .reference = ref_norm, .out = K},
    {.tables = {&qn_update_cache_kernels, &qn_attend_kernels, &qn_attend_reduce_kernels, STEPS},
     .in = {{4, {1, 0, HEADS, DIM}}, {4, {1, 0, KV_HEADS, DIM}}, {4, {1, 0, KV_HEADS, DIM}}},
     .kv = QN_F32,
     .add = add_sdpa,
     .reference = ref_sdpa,
     .out = Q_ROW},
    ATTEND(QN_F32, 0),
    ATTEND(QN_F16, 1e-2),
    ATTEND(QN_Q8_0, 3e-2),
    ROPE_ATTEND(QN_F32, 0),
    ROPE_ATTEND(QN_F16, 1e-2),
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* ---- data ------------------------------------------------------------------------------------ */

static qn_shape with_rows(qn_shape shape, uint32_t rows)
{
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0) shape.dim[i] = rows;
    return shape;
}

static qn_status make_floats(const qn_allocator *a, size_t n, uint64_t seed, float **out)
{
    void *p;
    QN_TRY(qn_alloc(a, n, sizeof(float), "self-test", &p));
    *out = p;
    for (size_t i = 0; i < n; i++) (*out)[i] = (float)(2 * qn_random_unit(seed, i) - 1);
    return qn_ok();
}

static qn_status make_doubles(const qn_allocator *a, size_t n, double **out)
{
    void *p;
    QN_TRY(qn_alloc(a, n, sizeof(double), "self-test", &p));
    *out = p;
    return qn_ok();
}

static qn_status make_norm(fixture *f)
{
    QN_TRY(make_floats(f->engine->allocator, K, 1, &f->norm_values));
    const qn_weight_desc d = {
        .name = "self-test", .kind = QN_WEIGHT_F32, .shape = qn_shape_1(K), .data = f->norm_values};
    return qn_weight_create(f->engine, &d, &f->norm);
}

static qn_status make_floats_matrix(fixture *f, uint32_t n)
{
    float *data;
    QN_TRY(make_floats(f->engine->allocator, (size_t)n * K, 2, &data));
    for (uint32_t i = 0; i < n * K; i++) f->values[i] = (double)data[i];
    const qn_weight_desc d = {
        .name = "self-test", .kind = QN_WEIGHT_F32, .matrix = true, .shape = qn_shape_2(n, K), .data = data};
    qn_status s = qn_weight_create(f->engine, &d, &f->w);
    qn_free(f->engine->allocator, data);
    return s;
}

/* Random codes, and scales that f16 holds. */
static qn_status make_codes_matrix(fixture *f, uint32_t n)
{
    enum { MAX_N = 2 * N };
    uint8_t codes[MAX_N * K / 2];
    float scales[MAX_N * K / GROUP];
    for (uint32_t i = 0; i < n * K / 2; i++) codes[i] = (uint8_t)qn_random_word(2, i);
    for (uint32_t i = 0; i < n * K / GROUP; i++) scales[i] = (float)(1 + qn_random_word(3, i) % 31) / 1024.0f;
    for (uint32_t i = 0; i < n * K; i++) {
        int code = codes[i / 2] >> (i % 2 * 4) & 15;
        f->values[i] = (code - 8) * (double)scales[i % K / GROUP * n + i / K];
    }
    const qn_weight_desc d = {.name = "self-test",
                              .kind = QN_WEIGHT_Q4,
                              .matrix = true,
                              .shape = qn_shape_2(n, K),
                              .group = GROUP,
                              .data = codes,
                              .scales = scales,
                              .scales_f16 = true};
    return qn_weight_create(f->engine, &d, &f->w);
}

static qn_status make_matrix(fixture *f, uint32_t n)
{
    QN_TRY(make_doubles(f->engine->allocator, (size_t)n * K, &f->values));
    return f->c->floats ? make_floats_matrix(f, n) : make_codes_matrix(f, n);
}

static void close_fixture(fixture *f)
{
    const qn_allocator *a = f->engine->allocator;
    qn_weight_free(f->w);
    qn_weight_free(f->norm);
    void *const blocks[] = {f->values, f->norm_values, f->scratch, f->caches[0], f->caches[1]};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) qn_free(a, blocks[i]);
    for (int i = 0; i < MAX_IN; i++) qn_free(a, f->in[i]);
    for (int i = 0; i < N_CALLS; i++) qn_free(a, f->want[i]);
}

static qn_status open_fixture(fixture *f, qn_engine *e, const self_case *c)
{
    const qn_allocator *a = e->allocator;
    *f = (fixture){.engine = e, .c = c};
    QN_TRY(make_norm(f));
    if (c->n) QN_TRY(make_matrix(f, c->n));
    for (uint32_t i = 0; i < MAX_IN && c->in[i].rank; i++) {
        qn_shape shape = with_rows(c->in[i], MAX_ROWS);
        QN_TRY(make_floats(a, (size_t)qn_shape_count(&shape), 100 + i, &f->in[i]));
    }
    QN_TRY(make_floats(a, (size_t)MAX_ROWS * QKV_ROW, 0, &f->scratch));
    for (int i = 0; i < 2; i++) QN_TRY(make_floats(a, (size_t)CONTEXT * KV_ROW, 0, &f->caches[i]));
    for (int i = 0; i < N_CALLS; i++) {
        QN_TRY(make_doubles(a, (size_t)calls[i].rows * c->out, &f->want[i]));
        QN_TRY(c->reference(f, calls[i].rows, calls[i].pos, f->want[i]));
    }
    return qn_ok();
}

/* ---- running --------------------------------------------------------------------------------- */

/* A row to be tried, and what is known of it. */
typedef struct trial {
    const qn_kernel_table *table;
    const qn_kernel_row *row;
    bool ran, wrong;
} trial;

/* A wrong row is wrong in any company, and every time; a right one may be spoiled by a wrong one that serves beside it,
 * so it gets a second chance with other companions, and by what passes, so it gets both twice: what is found wrong is
 * remembered. */
static const qn_plain companies[] = {QN_PLAIN_DEFAULT, QN_PLAIN_OTHER, QN_PLAIN_DEFAULT, QN_PLAIN_OTHER};
enum { N_COMPANIES = sizeof companies / sizeof companies[0] };

struct qn_self_test {
    qn_engine *engine;
    trial *trials;
    size_t n_trials;
    /* Where it is: the case and the trial, what the row is tried with, the call under way of the graph that is open. */
    size_t at_case, at_trial;
    fixture fixture;
    bool in_case;
    qn_precision precision;
    uint32_t company; /* of companies */
    bench bench;
    qn_value out;
    int at_call;
    bool ran;   /* the row was dispatched in this precision           */
    bool right; /* the results of this graph are as they should be    */
    bool done;
};

static trial *this_trial(const qn_self_test *t)
{
    return &t->trials[t->at_trial];
}

static qn_status build(qn_self_test *t)
{
    const fixture *f = &t->fixture;
    const self_case *c = f->c;
    bench *b = &t->bench;
    QN_TRY(qn_graph_open(f->engine, &b->g));
    qn_graph_set_precision(b->g, t->precision);
    b->g->plan.forced = this_trial(t)->row->name;
    b->g->plan.plain = companies[t->company];
    for (uint32_t i = 0; i < MAX_IN && f->in[i]; i++)
        b->in[i] = qn_graph_input(b->g, "x", QN_F32, with_rows(c->in[i], MAX_ROWS));
    b->norm = qn_graph_weight(b->g, f->norm);
    if (f->w) b->w = qn_graph_weight(b->g, f->w);
    if (c->kv) {
        b->pos = qn_graph_int(b->g, "pos", CONTEXT - 1);
        for (int i = 0; i < 2; i++)
            b->caches[i] = qn_graph_state(b->g, "cache", c->kv, qn_shape_4(1, CONTEXT, KV_HEADS, DIM));
    }
    t->out = c->add(b);
    qn_graph_output(b->g, t->out, "y");
    return qn_graph_build(b->g);
}

static qn_status submit_call(qn_self_test *t)
{
    const fixture *f = &t->fixture;
    const bench *b = &t->bench;
    const self_case *c = f->c;
    for (uint32_t k = 0; k < MAX_IN && f->in[k]; k++)
        QN_TRY(qn_graph_set_input(b->g, b->in[k], with_rows(c->in[k], calls[t->at_call].rows), f->in[k]));
    if (b->pos) QN_TRY(qn_graph_set_int(b->g, b->pos, calls[t->at_call].pos));
    return qn_graph_submit(b->g);
}

static bool dispatched(const qn_graph *g, const qn_kernel_row *row)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++)
        if (strcmp(qn_graph_dispatch(g, i).kernel, row->name) == 0) return true;
    return false;
}

static bool agree(const float *got, const double *want, size_t n, double bound)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)got[i] - want[i]);
        largest = fmax(largest, fabs(want[i]));
        if (!(difference <= worst)) worst = difference; /* NaN stays */
        if (isnan(difference)) return false;
    }
    return worst <= bound * largest;
}

static void judge_call(qn_self_test *t)
{
    const self_case *c = t->fixture.c;
    const qn_kernel_row *row = this_trial(t)->row;
    bool rounds = t->precision == QN_PRECISION_AUTO || (row->needs & QN_NEEDS_F16);
    double bound = c->bound > 0 ? c->bound : 1e-3;
    if (rounds && bound < 3e-2) bound = 3e-2;
    t->ran |= dispatched(t->bench.g, row);
    t->right &= agree(qn_graph_output_data(t->bench.g, t->out, NULL), t->fixture.want[t->at_call],
                      (size_t)calls[t->at_call].rows * c->out, bound);
}

/* The graph that is open: submits what is to be submitted. *over: all its calls were judged. */
static qn_status run_graph(qn_self_test *t, bool *waits, bool *over)
{
    bool done;
    *waits = *over = false;
    QN_TRY(qn_graph_poll(t->bench.g, &done));
    *waits = !done;
    if (!done) return qn_ok();
    QN_TRY(qn_engine_check(t->engine)); /* browsers tell late that a kernel did not compile */
    judge_call(t);
    *over = ++t->at_call == N_CALLS;
    return *over ? qn_ok() : submit_call(t);
}

static qn_status begin_graph(qn_self_test *t)
{
    t->at_call = 0;
    t->right = true;
    t->bench = (bench){0};
    QN_TRY(build(t));
    return submit_call(t);
}

/* ---- from row to row -------------------------------------------------------------------------- */

static void close_case(qn_self_test *t)
{
    if (t->in_case) close_fixture(&t->fixture);
    t->in_case = false;
}

/* Rows that round, and steps that only they take, need a graph in which they may. */
static void begin_row(qn_self_test *t, qn_precision precision)
{
    t->precision = precision;
    t->company = 0;
    t->ran = false;
}

static bool serves(const self_case *c, const qn_kernel_table *table)
{
    for (int i = 0; i < MAX_TABLES; i++)
        if (c->tables[i] == table) return true;
    return false;
}

/* To the first trial from at_trial on that a case from at_case on serves; at_case N_CASES: there is none. */
static void find_row(qn_self_test *t)
{
    for (; t->at_case < N_CASES; t->at_case++, t->at_trial = 0, close_case(t))
        for (; t->at_trial < t->n_trials; t->at_trial++) {
            const trial *next = this_trial(t);
            if (next->wrong || !serves(&cases[t->at_case], next->table)) continue;
            begin_row(t, next->row->inexact ? QN_PRECISION_AUTO : QN_PRECISION_EXACT);
            return;
        }
}

/* A kernel that does not compile, or whose companions are not there. */
static bool is_about_row(qn_code code)
{
    return code == QN_ERR_GPU || code == QN_ERR_UNSUPPORTED;
}

/* The graph is over, with this status. */
static qn_status end_graph(qn_self_test *t, qn_status s)
{
    trial *row = this_trial(t);
    qn_graph_close(t->bench.g);
    t->bench.g = NULL;
    if (s.code != QN_OK && !is_about_row(s.code)) return s;
    bool right = t->right && s.code == QN_OK;
    if (s.code == QN_OK && !t->ran) { /* the row does not serve this case in this precision */
        if (t->precision == QN_PRECISION_EXACT) {
            begin_row(t, QN_PRECISION_AUTO);
            return qn_ok();
        }
    } else {
        t->ran = true;
        if (!right && t->company + 1 < N_COMPANIES) {
            t->company++;
            return qn_ok();
        }
        row->ran = true;
        row->wrong |= !right;
    }
    t->at_trial++;
    find_row(t);
    return qn_ok();
}

static qn_status note(qn_engine *e, const trial *t)
{
    if (!t->ran) return qn_ok();
    if (t->wrong)
        qn_log_line(&e->log, QN_LOG_WARNING, "the kernel %s computes wrongly on this device: it is not used",
                    t->row->name);
    qn_lock_take(&e->lock);
    qn_status s = qn_choices_set_test(&e->choices, t->row, t->wrong);
    qn_lock_give(&e->lock);
    return s;
}

static qn_status note_all(const qn_self_test *t)
{
    for (size_t i = 0; i < t->n_trials; i++) QN_TRY(note(t->engine, &t->trials[i]));
    return qn_ok();
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool wanted(const qn_engine *e, const qn_kernel_row *row, bool all)
{
    const qn_device_info *d = qn_engine_device(e);
    if (all) return qn_row_runs_on(row, d);
    return (row->needs || row->inexact) && qn_row_preferred_on(row, d) && !qn_choices_test(&e->choices, row);
}

static qn_status list_trials(qn_self_test *t, bool all)
{
    qn_engine *e = t->engine;
    void *list = NULL;
    size_t capacity = 0;
    qn_status s = qn_ok();
    qn_lock_take(&e->lock);
    for (const qn_kernel_table *const *table = qn_kernel_tables; *table && s.code == QN_OK; table++)
        for (uint32_t i = 0; i < (*table)->n_rows && s.code == QN_OK; i++) {
            const qn_kernel_row *row = &(*table)->rows[i];
            if (!wanted(e, row, all)) continue;
            s = qn_grow(e->allocator, &list, &capacity, t->n_trials + 1, sizeof(trial), "self-test");
            if (s.code == QN_OK) ((trial *)list)[t->n_trials++] = (trial){.table = *table, .row = row};
        }
    qn_lock_give(&e->lock);
    t->trials = list;
    return s;
}

qn_status qn_self_test_open(qn_engine *engine, bool all, qn_self_test **test)
{
    void *p;
    *test = NULL;
    QN_TRY(qn_alloc(engine->allocator, 1, sizeof(qn_self_test), "self-test", &p));
    qn_self_test *t = p;
    t->engine = engine;
    qn_status s = list_trials(t, all);
    if (s.code != QN_OK) {
        qn_self_test_close(t);
        return s;
    }
    find_row(t);
    *test = t;
    return s;
}

static qn_status step(qn_self_test *t)
{
    bool waits = false;
    while (!waits && t->at_case < N_CASES) {
        bool over = false;
        if (!t->in_case) {
            t->in_case = true;
            QN_TRY(open_fixture(&t->fixture, t->engine, &cases[t->at_case]));
        }
        qn_status s = t->bench.g ? run_graph(t, &waits, &over) : begin_graph(t);
        if (s.code != QN_OK || over) QN_TRY(end_graph(t, s));
    }
    t->done = t->at_case == N_CASES;
    return t->done ? note_all(t) : qn_ok();
}

qn_status qn_self_test_step(qn_self_test *test, bool *done)
{
    qn_status s = test->done ? qn_ok() : step(test);
    *done = s.code == QN_OK && test->done;
    bool lost = s.code == QN_ERR_DEVICE_LOST;
    return qn_in(s, lost ? "self-test (left out where an engine is opened with baseline, --baseline)" : "self-test");
}

uint32_t qn_self_test_found(const qn_self_test *test)
{
    uint32_t n = 0;
    for (size_t i = 0; i < test->n_trials; i++) n += test->trials[i].ran;
    return n;
}

void qn_self_test_close(qn_self_test *test)
{
    if (!test) return;
    qn_graph_close(test->bench.g);
    close_case(test);
    qn_free(test->engine->allocator, test->trials);
    qn_free(test->engine->allocator, test);
}
