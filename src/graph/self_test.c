/* self_test.c - whether this driver computes the kernel rows rightly: every row is forced on small tensors and compared
 * with the plain C reference, for many live rows, one and a few.
 *
 * What is computed are small graphs in which every other kernel is of the baseline. Random numbers, so that no error in
 * an index goes unseen; the bounds are wide, as wrong kernels are far off. */
#include "graph/graph.h"

#ifndef QN_NO_BLOCKING

#include "base/random.h"
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
        double angle = pos * pow(10000.0, -2.0 * i / DIM);
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

/* A row to be tried, and what is known of it. */
typedef struct trial {
    const qn_kernel_table *table;
    const qn_kernel_row *row;
    bool ran, wrong;
} trial;

/* ---- running --------------------------------------------------------------------------------- */

/* What a row is tried with. */
typedef struct setting {
    qn_precision precision;
    qn_plain plain;
} setting;

static qn_status build(const fixture *f, const qn_kernel_row *row, setting with, bench *b, qn_value *out)
{
    const self_case *c = f->c;
    QN_TRY(qn_graph_open(f->engine, &b->g));
    qn_graph_set_precision(b->g, with.precision);
    b->g->plan.forced = row->name;
    b->g->plan.plain = with.plain;
    for (uint32_t i = 0; i < MAX_IN && f->in[i]; i++)
        b->in[i] = qn_graph_input(b->g, "x", QN_F32, with_rows(c->in[i], MAX_ROWS));
    b->norm = qn_graph_weight(b->g, f->norm);
    if (f->w) b->w = qn_graph_weight(b->g, f->w);
    if (c->kv) {
        b->pos = qn_graph_int(b->g, "pos", CONTEXT - 1);
        for (int i = 0; i < 2; i++)
            b->caches[i] = qn_graph_state(b->g, "cache", c->kv, qn_shape_4(1, CONTEXT, KV_HEADS, DIM));
    }
    *out = c->add(b);
    qn_graph_output(b->g, *out, "y");
    return qn_graph_build(b->g);
}

static bool dispatched(const qn_graph *g, const qn_kernel_row *row)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++)
        if (strcmp(qn_graph_dispatch(g, i).kernel, row->name) == 0) return true;
    return false;
}

static qn_status call(const fixture *f, const bench *b, int i)
{
    for (uint32_t k = 0; k < MAX_IN && f->in[k]; k++)
        QN_TRY(qn_graph_set_input(b->g, b->in[k], with_rows(f->c->in[k], calls[i].rows), f->in[k]));
    if (b->pos) QN_TRY(qn_graph_set_int(b->g, b->pos, calls[i].pos));
    return qn_graph_execute(b->g);
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

/* *ran: the row was dispatched; *right: all results are as they should be. */
static qn_status run_row(const fixture *f, const qn_kernel_row *row, setting with, bool *ran, bool *right)
{
    bench b = {0};
    qn_value out = 0;
    bool rounds = with.precision == QN_PRECISION_AUTO || (row->needs & QN_NEEDS_F16);
    double bound = f->c->bound > 0 ? f->c->bound : 1e-3;
    if (rounds && bound < 3e-2) bound = 3e-2;
    *right = true;
    qn_status s = build(f, row, with, &b, &out);
    for (int i = 0; s.code == QN_OK && i < N_CALLS; i++) {
        s = call(f, &b, i);
        if (s.code != QN_OK) break;
        *ran |= dispatched(b.g, row);
        *right &= agree(qn_graph_output_data(b.g, out, NULL), f->want[i], (size_t)calls[i].rows * f->c->out, bound);
    }
    qn_graph_close(b.g);
    return s;
}

/* A kernel that does not compile, or whose companions are not there. */
static bool is_about_row(qn_code code)
{
    return code == QN_ERR_GPU || code == QN_ERR_UNSUPPORTED;
}

/* A wrong row is wrong in any company, and every time; a right one may be spoiled by a wrong one that serves beside it,
 * so it gets a second chance with other companions, and by what passes, so it gets both twice: what is found wrong is
 * remembered. */
static qn_status try_with(const fixture *f, trial *t, qn_precision precision, bool *ran)
{
    static const qn_plain companies[] = {QN_PLAIN_DEFAULT, QN_PLAIN_OTHER, QN_PLAIN_DEFAULT, QN_PLAIN_OTHER};
    bool right = false;
    for (size_t i = 0; !right && i < sizeof companies / sizeof companies[0]; i++) {
        qn_status s = run_row(f, t->row, (setting){precision, companies[i]}, ran, &right);
        if (s.code != QN_OK && !is_about_row(s.code)) return s;
        if (s.code == QN_OK && !*ran) return qn_ok(); /* the row does not serve this case */
        *ran = true;
        right &= s.code == QN_OK;
    }
    t->ran = true;
    t->wrong |= !right;
    return qn_ok();
}

/* Rows that round, and steps that only they take, need a graph in which they may. */
static qn_status try_row(const fixture *f, trial *t)
{
    bool ran = false;
    if (!t->row->inexact) QN_TRY(try_with(f, t, QN_PRECISION_EXACT, &ran));
    return ran ? qn_ok() : try_with(f, t, QN_PRECISION_AUTO, &ran);
}

static bool serves(const self_case *c, const qn_kernel_table *table)
{
    for (int i = 0; i < MAX_TABLES; i++)
        if (c->tables[i] == table) return true;
    return false;
}

static qn_status try_case(qn_engine *e, const self_case *c, trial *trials, size_t n)
{
    fixture f = {.engine = e};
    qn_status s = qn_ok();
    for (size_t i = 0; s.code == QN_OK && i < n; i++) {
        if (trials[i].wrong || !serves(c, trials[i].table)) continue;
        if (!f.c) s = open_fixture(&f, e, c);
        if (s.code == QN_OK) s = try_row(&f, &trials[i]);
    }
    close_fixture(&f);
    return s;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool wanted(const qn_engine *e, const qn_kernel_row *row, bool all)
{
    const qn_device_info *d = qn_engine_device(e);
    if (all) return qn_row_runs_on(row, d);
    return (row->needs || row->inexact) && qn_row_preferred_on(row, d) && !qn_choices_test(&e->choices, row);
}

static qn_status list_trials(qn_engine *e, bool all, trial **trials, size_t *n)
{
    void *list = NULL;
    size_t capacity = 0;
    qn_status s = qn_ok();
    pthread_mutex_lock(&e->lock);
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t && s.code == QN_OK; t++)
        for (uint32_t i = 0; i < (*t)->n_rows && s.code == QN_OK; i++) {
            if (!wanted(e, &(*t)->rows[i], all)) continue;
            s = qn_grow(e->allocator, &list, &capacity, *n + 1, sizeof(trial), "self-test");
            if (s.code == QN_OK) ((trial *)list)[(*n)++] = (trial){.table = *t, .row = &(*t)->rows[i]};
        }
    pthread_mutex_unlock(&e->lock);
    *trials = list;
    return s;
}

static qn_status note(qn_engine *e, const trial *t)
{
    if (!t->ran) return qn_ok();
    if (t->wrong)
        qn_log_line(&e->log, QN_LOG_WARNING, "the kernel %s computes wrongly on this device: it is not used",
                    t->row->name);
    pthread_mutex_lock(&e->lock);
    qn_status s = qn_choices_set_test(&e->choices, t->row, t->wrong);
    pthread_mutex_unlock(&e->lock);
    return s;
}

qn_status qn_self_test(qn_engine *engine, bool all, uint32_t *n_new)
{
    trial *trials = NULL;
    size_t n = 0;
    *n_new = 0;
    qn_status s = list_trials(engine, all, &trials, &n);
    for (size_t i = 0; s.code == QN_OK && i < N_CASES; i++) s = try_case(engine, &cases[i], trials, n);
    for (size_t i = 0; s.code == QN_OK && i < n; i++) {
        s = note(engine, &trials[i]);
        *n_new += trials[i].ran;
    }
    qn_free(engine->allocator, trials);
    return qn_in(s, s.code == QN_ERR_DEVICE_LOST ? "self-test (left out where an engine is opened with baseline, "
                                                   "--baseline)"
                                                 : "self-test");
}

#endif
