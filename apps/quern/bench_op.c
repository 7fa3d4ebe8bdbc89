/* bench_op.c - the time of one operation.
 *
 * One graph holds several copies of the operation, each over its own weights (or caches), so that together they are
 * larger than any cache and every copy reads from memory. The copies' results share one buffer of the pool, so a
 * copy starts when the one before it is done, as in a model. The time is that of the whole pass, by GPU timestamps
 * at its ends, divided by the number of copies; wall_us is a whole execution, seen from the host, divided likewise. */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COPIES = 512, SOFTWARE_COPIES = 2, MAX_FIELDS = 8 };
static const uint64_t cold_bytes = (uint64_t)256 << 20;      /* more than the caches of today's GPUs */
static const double warm_seconds = 1.0, most_seconds = 20.0; /* a GPU: clocks rise, pages arrive */

/* "M=1,N=2048": names and values. */
typedef struct shape_field {
    const char *name;
    uint32_t value;
    bool required, given;
    bool flag; /* may be 0 */
} shape_field;

typedef struct op_bench {
    const qn_cli_bench_op *o;
    qn_engine *engine;
    qn_graph *graph;
    shape_field fields[MAX_FIELDS];
    size_t n_fields;
    uint32_t copies;
    qn_weight *weights[MAX_COPIES], *norm;
    uint32_t n_inputs, n_states;
    qn_value inputs[3], states[2 * MAX_COPIES], pos, output;
    qn_shape input_shapes[3];
    qn_value settings; /* of sampling: the input is then a vocabulary's logits     */
    int32_t words[QN_SAMPLE_WORDS];
    uint64_t state_count; /* elements of a state                              */
    double flops, bytes;  /* of one operation: arithmetic, and memory touched */
    /* Results, microseconds per operation: */
    double *gpu, *wall; /* sorted */
    size_t n_gpu, n_wall;
    qn_peaks peaks; /* if asked for */
} op_bench;

/* ---- shape ----------------------------------------------------------------------------------- */

static uint32_t field(const op_bench *b, const char *name)
{
    for (size_t i = 0; i < b->n_fields; i++)
        if (strcmp(b->fields[i].name, name) == 0) return b->fields[i].value;
    return 0;
}

static qn_status set_field(op_bench *b, const char *text, size_t n)
{
    const char *equals = memchr(text, '=', n);
    size_t name = equals ? (size_t)(equals - text) : n;
    for (size_t i = 0; i < b->n_fields; i++) {
        shape_field *f = &b->fields[i];
        if (strlen(f->name) != name || memcmp(f->name, text, name) != 0) continue;
        char *end = NULL;
        unsigned long v = equals ? strtoul(equals + 1, &end, 10) : 0;
        if (!equals || end != text + n || end == equals + 1 || equals[1] == '-' || v > INT32_MAX) break;
        f->value = (uint32_t)v;
        f->given = true;
        return qn_cli_ok();
    }
    char known[128] = "";
    for (size_t i = 0; i < b->n_fields; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), " %s=", b->fields[i].name);
    return qn_cli_fail(QN_ERR_ARGUMENT, "--shape: \"%.*s\" is none of%s with a number", (int)n, text, known);
}

static qn_status read_shape(op_bench *b)
{
    for (const char *p = b->o->shape; *p;) {
        size_t n = strcspn(p, ",");
        QN_CLI_TRY(set_field(b, p, n));
        p += n + (p[n] == ',');
    }
    for (size_t i = 0; i < b->n_fields; i++) {
        const shape_field *f = &b->fields[i];
        if (f->required && !f->given) return qn_cli_fail(QN_ERR_ARGUMENT, "--shape: %s= is missing", f->name);
        if (f->value == 0 && !f->flag && (f->required || f->given))
            return qn_cli_fail(QN_ERR_ARGUMENT, "--shape: %s is 0", f->name);
    }
    return qn_cli_ok();
}

/* As many copies as pass the caches; few on a software device, which has no more than the host's. */
static uint32_t choose_copies(const op_bench *b, uint64_t bytes_of_one)
{
    if (b->o->copies) return b->o->copies;
    if (qn_engine_device(b->engine)->type == QN_ADAPTER_SOFTWARE) return SOFTWARE_COPIES;
    uint64_t n = cold_bytes / (bytes_of_one ? bytes_of_one : 1) + 1;
    return n < 2 ? 2 : n > MAX_COPIES ? MAX_COPIES : (uint32_t)n;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Values in -1..1. */
static float *random_floats(uint64_t n)
{
    uint32_t state = 7;
    float *values = qn_cli_alloc(n, sizeof *values);
    for (uint64_t i = 0; i < n; i++) values[i] = (float)(next_random(&state) & 0xffff) / 32768.0f - 1.0f;
    return values;
}

/* Logits of -log of values in 0..1: probabilities as Zipf has those of words. */
static float *random_logits(uint64_t n)
{
    uint32_t state = 7;
    float *values = qn_cli_alloc(n, sizeof *values);
    for (uint64_t i = 0; i < n; i++) values[i] = -logf(((float)next_random(&state) + 0.5f) / 16777216.0f);
    return values;
}

static qn_status open_graph(op_bench *b)
{
    QN_CLI_TRY(qn_graph_open(b->engine, &b->graph));
    qn_graph_set_precision(b->graph, b->o->precision);
    return qn_cli_ok();
}

static qn_value add_input(op_bench *b, const char *name, qn_shape shape)
{
    qn_value v = qn_graph_input(b->graph, name, QN_F32, shape);
    b->input_shapes[b->n_inputs] = shape;
    b->inputs[b->n_inputs++] = v;
    return v;
}

/* ---- linear_q4gsw ---------------------------------------------------------------------------- */

static qn_status make_weights(op_bench *b, uint32_t n, uint32_t k, uint32_t group)
{
    uint64_t row = k / 2 + k % 2, groups = k / group + (k % group != 0);
    uint32_t random = 1;
    uint8_t *codes = qn_cli_alloc(row * n, 1);
    float *scales = qn_cli_alloc(groups * n, sizeof *scales);
    for (uint64_t i = 0; i < row * n; i++) codes[i] = (uint8_t)next_random(&random);
    for (uint64_t i = 0; i < groups * n; i++) /* exact in f16 too */
        scales[i] = (float)(1 + (next_random(&random) & 1023)) / 65536.0f;
    const qn_weight_desc desc = {.name = "w",
                                 .kind = QN_WEIGHT_Q4,
                                 .matrix = true,
                                 .shape = qn_shape_2(n, k),
                                 .group = group,
                                 .data = codes,
                                 .scales = scales,
                                 .scales_f16 = strcmp(b->o->scales, "f16") == 0};
    qn_status s = qn_cli_ok();
    for (uint32_t i = 0; s.code == QN_OK && i < b->copies; i++) s = qn_weight_create(b->engine, &desc, &b->weights[i]);
    free(codes);
    free(scales);
    return s;
}

static qn_status make_norm(op_bench *b, uint32_t k)
{
    float *values = random_floats(k);
    const qn_weight_desc desc = {.name = "norm", .kind = QN_WEIGHT_F32, .shape = qn_shape_1(k), .data = values};
    qn_status s = qn_weight_create(b->engine, &desc, &b->norm);
    free(values);
    return s;
}

static qn_status build_linear(op_bench *b)
{
    const shape_field fields[] = {{.name = "M", .required = true},   {.name = "N", .required = true},
                                  {.name = "K", .required = true},   {.name = "group", .value = 32},
                                  {.name = "norm", .flag = true},    {.name = "gated", .flag = true},
                                  {.name = "residual", .flag = true}};
    b->n_fields = sizeof fields / sizeof fields[0];
    memcpy(b->fields, fields, sizeof fields);
    bool f16 = strcmp(b->o->scales, "f16") == 0;
    if (!f16 && strcmp(b->o->scales, "f32") != 0)
        return qn_cli_fail(QN_ERR_ARGUMENT, "--scales: \"%s\" is neither f16 nor f32", b->o->scales);
    QN_CLI_TRY(read_shape(b));
    uint32_t m = field(b, "M"), n = field(b, "N"), k = field(b, "K"), group = field(b, "group");
    uint32_t outputs = field(b, "gated") ? n / 2 : n;
    uint64_t groups = k / group + (k % group != 0);
    uint64_t weight = (uint64_t)n * (k / 2 + k % 2) + n * groups * (f16 ? 2 : 4);
    b->copies = choose_copies(b, weight);
    b->flops = 2.0 * m * n * k;
    b->bytes = (double)weight + 4.0 * m * ((double)outputs + k);
    QN_CLI_TRY(make_weights(b, n, k, group));
    if (field(b, "norm")) QN_CLI_TRY(make_norm(b, k));
    QN_CLI_TRY(open_graph(b));
    qn_linear_options with = {.x = add_input(b, "x", qn_shape_2(m, k)), .eps = 1e-5f, .gated = field(b, "gated")};
    if (field(b, "residual")) with.residual = add_input(b, "residual", qn_shape_2(m, outputs));
    if (b->norm) with.norm = qn_graph_weight(b->graph, b->norm);
    for (uint32_t i = 0; i < b->copies; i++) {
        with.w = qn_graph_weight(b->graph, b->weights[i]);
        b->output = qn_linear_with(b->graph, &with);
    }
    qn_graph_output(b->graph, b->output, "y");
    return qn_graph_build(b->graph);
}

/* ---- sdpa_with_kv_cache ---------------------------------------------------------------------- */

static qn_status build_sdpa(op_bench *b)
{
    const shape_field fields[] = {{.name = "S", .required = true},  {.name = "pos", .required = true, .flag = true},
                                  {.name = "Hq", .required = true}, {.name = "Hkv", .required = true},
                                  {.name = "D", .required = true},  {.name = "C"}};
    b->n_fields = sizeof fields / sizeof fields[0];
    memcpy(b->fields, fields, sizeof fields);
    QN_CLI_TRY(read_shape(b));
    uint32_t s = field(b, "S"), pos = field(b, "pos"), hq = field(b, "Hq"), hkv = field(b, "Hkv"), d = field(b, "D");
    uint32_t c = field(b, "C") ? field(b, "C") : pos + s;
    double kv_row = 4.0 * hkv * d, q_row = 4.0 * hq * d;
    b->bytes = 2 * kv_row * ((double)pos + s) + 2 * kv_row * s + 2 * q_row * s; /* caches, k and v, q and o */
    b->flops = 4.0 * hq * d * ((double)s * pos + 0.5 * s * (s + 1.0));
    b->copies = choose_copies(b, (uint64_t)(2 * kv_row * ((double)pos + s)));
    b->state_count = (uint64_t)c * hkv * d;
    QN_CLI_TRY(open_graph(b));
    qn_value q = add_input(b, "q", qn_shape_4(1, s, hq, d)), k = add_input(b, "k", qn_shape_4(1, s, hkv, d));
    qn_value v = add_input(b, "v", qn_shape_4(1, s, hkv, d)), o = 0;
    b->pos = qn_graph_int(b->graph, "input_pos", c);
    for (uint32_t i = 0; i < b->copies; i++) {
        qn_value kc = qn_graph_state(b->graph, "k_cache", QN_F32, qn_shape_4(1, c, hkv, d));
        qn_value vc = qn_graph_state(b->graph, "v_cache", QN_F32, qn_shape_4(1, c, hkv, d));
        b->states[b->n_states++] = kc;
        b->states[b->n_states++] = vc;
        o = qn_sdpa_with_kv_cache(b->graph, q, k, v, kc, vc, b->pos, NULL);
    }
    qn_graph_output(b->graph, b->output = o, "o");
    return qn_graph_build(b->graph);
}

/* ---- attend ---------------------------------------------------------------------------------- */

static qn_status build_attend(op_bench *b)
{
    const shape_field fields[] = {{.name = "S", .required = true},
                                  {.name = "pos", .required = true, .flag = true},
                                  {.name = "Hq", .required = true},
                                  {.name = "Hkv", .required = true},
                                  {.name = "D", .required = true},
                                  {.name = "C"},
                                  {.name = "kv"}};
    b->n_fields = sizeof fields / sizeof fields[0];
    memcpy(b->fields, fields, sizeof fields);
    QN_CLI_TRY(read_shape(b));
    uint32_t s = field(b, "S"), pos = field(b, "pos"), hq = field(b, "Hq"), hkv = field(b, "Hkv"), d = field(b, "D");
    uint32_t c = field(b, "C") ? field(b, "C") : pos + s, bits = field(b, "kv");
    qn_dtype dtype = bits == 16 ? QN_F16 : bits == 8 ? QN_Q8_0 : QN_F32;
    qn_shape live = qn_shape_4(1, pos + s, hkv, d), cache = qn_shape_4(1, c, hkv, d);
    uint64_t read = 2 * qn_state_bytes(dtype, &live);
    b->bytes = (double)read + 2 * 4.0 * hq * d * s; /* caches, q and o */
    b->flops = 4.0 * hq * d * ((double)s * pos + 0.5 * s * (s + 1.0));
    b->copies = choose_copies(b, read);
    b->state_count = qn_state_bytes(dtype, &cache) / 4;
    QN_CLI_TRY(open_graph(b));
    qn_value q = add_input(b, "q", qn_shape_4(1, s, hq, d)), o = 0;
    b->pos = qn_graph_int(b->graph, "input_pos", c);
    for (uint32_t i = 0; i < b->copies; i++) {
        qn_value kc = qn_graph_state(b->graph, "k_cache", dtype, cache);
        qn_value vc = qn_graph_state(b->graph, "v_cache", dtype, cache);
        b->states[b->n_states++] = kc;
        b->states[b->n_states++] = vc;
        o = qn_attend(b->graph, &(qn_attend_options){.q = q, .k_cache = kc, .v_cache = vc, .pos = b->pos});
    }
    qn_graph_output(b->graph, b->output = o, "o");
    return qn_graph_build(b->graph);
}

/* ---- sample ---------------------------------------------------------------------------------- */

/* t and p in percent; without t: greedy. */
static qn_status build_sample(op_bench *b)
{
    enum { COPIES = 32 };
    const shape_field fields[] = {{.name = "V", .required = true}, {.name = "t"}, {.name = "k"}, {.name = "p"}};
    b->n_fields = sizeof fields / sizeof fields[0];
    memcpy(b->fields, fields, sizeof fields);
    QN_CLI_TRY(read_shape(b));
    uint32_t n = field(b, "V");
    const qn_sampler_options options = {.temperature = (float)field(b, "t") / 100,
                                        .top_k = field(b, "k"),
                                        .top_p = (float)field(b, "p") / 100,
                                        .seed = 1};
    QN_CLI_TRY(qn_sample_settings(&options, b->words));
    b->copies = b->o->copies ? b->o->copies : choose_copies(b, cold_bytes / COPIES);
    b->bytes = 4.0 * n;
    QN_CLI_TRY(open_graph(b));
    qn_value logits = add_input(b, "logits", qn_shape_2(1, n)), token = 0;
    b->settings = qn_graph_input(b->graph, "settings", QN_I32, qn_shape_1(QN_SAMPLE_WORDS));
    qn_value draw = qn_graph_const_int(b->graph, 0);
    for (uint32_t i = 0; i < b->copies; i++)
        token = qn_sample(b->graph, &(qn_sample_inputs){.logits = logits, .settings = b->settings, .draw = draw});
    qn_graph_output(b->graph, b->output = token, "token");
    return qn_graph_build(b->graph);
}

static const struct {
    const char *name;
    qn_status (*build)(op_bench *b);
} ops[] = {{"linear_q4gsw", build_linear},
           {"sdpa_with_kv_cache", build_sdpa},
           {"attend", build_attend},
           {"sample", build_sample}};

/* ---- measuring ------------------------------------------------------------------------------- */

static uint64_t elements(const qn_shape *shape)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < shape->rank; i++) n *= shape->dim[i];
    return n;
}

static qn_status fill(op_bench *b)
{
    qn_status s = qn_cli_ok();
    for (uint32_t i = 0; s.code == QN_OK && i < b->n_inputs; i++) {
        uint64_t n = elements(&b->input_shapes[i]);
        float *data = b->settings ? random_logits(n) : random_floats(n);
        s = qn_graph_set_input(b->graph, b->inputs[i], b->input_shapes[i], data);
        free(data);
    }
    if (s.code == QN_OK && b->settings)
        s = qn_graph_set_input(b->graph, b->settings, qn_shape_1(QN_SAMPLE_WORDS), b->words);
    if (s.code == QN_OK && b->pos) s = qn_graph_set_int(b->graph, b->pos, field(b, "pos"));
    float *state = b->n_states ? random_floats(b->state_count) : NULL;
    for (uint32_t i = 0; s.code == QN_OK && i < b->n_states; i++)
        s = qn_graph_write_state(b->graph, b->states[i], state);
    free(state);
    return s;
}

/* Executes until `runs` samples are taken, or for so long that fewer have to do. */
static qn_status sample(op_bench *b, bool gpu, double *samples, size_t *n)
{
    double begin = qn_cli_seconds();
    for (*n = 0; *n < b->o->runs && (*n < 3 || qn_cli_seconds() - begin < most_seconds); (*n)++) {
        double start = qn_cli_seconds();
        QN_CLI_TRY(qn_cli_execute(b->graph));
        double us = gpu ? 1e-3 * qn_graph_gpu_ns(b->graph) : 1e6 * (qn_cli_seconds() - start);
        samples[*n] = us / b->copies;
    }
    qsort(samples, *n, sizeof *samples, qn_cli_compare_doubles);
    return qn_cli_ok();
}

static qn_status measure(op_bench *b)
{
    double begin = qn_cli_seconds();
    b->gpu = qn_cli_alloc(b->o->runs, sizeof *b->gpu);
    b->wall = qn_cli_alloc(b->o->runs, sizeof *b->wall);
    bool software = qn_engine_device(b->engine)->type == QN_ADAPTER_SOFTWARE;
    do QN_CLI_TRY(qn_cli_execute(b->graph));
    while (!software && qn_cli_seconds() - begin < warm_seconds);
    QN_CLI_TRY(sample(b, false, b->wall, &b->n_wall));
    qn_status s = qn_cli_profile(b->graph, QN_PROFILE_TOTAL);
    if (s.code == QN_ERR_UNSUPPORTED) return qn_cli_ok(); /* no timestamps: the wall clock has to do */
    QN_CLI_TRY(s);
    return sample(b, true, b->gpu, &b->n_gpu);
}

/* ---- reporting ------------------------------------------------------------------------------- */

/* The kernels of one operation, joined by "+". */
static void route_of(const op_bench *b, char *text, size_t capacity)
{
    size_t n = qn_graph_n_dispatches(b->graph) / b->copies;
    const char *last = "";
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *kernel = qn_graph_dispatch(b->graph, i).kernel;
        size_t at = strlen(text);
        if (strcmp(kernel, last) != 0) snprintf(text + at, capacity - at, "%s%s", at ? "+" : "", kernel);
        last = kernel;
    }
}

static void print_result(const op_bench *b, const char *route)
{
    bool gpu = b->n_gpu > 0;
    const double *times = gpu ? b->gpu : b->wall;
    size_t n = gpu ? b->n_gpu : b->n_wall;
    double median = qn_cli_median(times, n), per_us = median > 0 ? 1 / median : 0;
    const char *device = qn_engine_device(b->engine)->name;
    bool linear = strcmp(b->o->op, "linear_q4gsw") == 0;
    if (!b->o->json) {
        printf("%s %s%s%s on %s\n", b->o->op, b->o->shape, linear ? ", scales " : "", linear ? b->o->scales : "",
               device);
        printf("  kernel   %s, %" PRIu32 " copies, %zu runs\n", route, b->copies, n);
        printf("  time     %.2f us (%.2f to %.2f)%s\n", median, times[0], times[n - 1],
               gpu ? "" : ", wall clock: this device has no timestamps");
        printf("  wall     %.2f us\n", qn_cli_median(b->wall, b->n_wall));
        printf("  speed    %.1f GB/s, %.3f TFLOP/s\n", b->bytes * per_us * 1e-3, b->flops * per_us * 1e-6);
        if (b->o->peaks) qn_bench_print_peaks(&b->peaks);
        return;
    }
    json_t *o = json_object(), *shape = json_object();
    for (size_t i = 0; i < b->n_fields; i++)
        if (b->fields[i].value || b->fields[i].given)
            json_object_set_new(shape, b->fields[i].name, qn_cli_json_u64(b->fields[i].value));
    json_object_set_new(o, "op", json_string(b->o->op));
    json_object_set_new(o, "shape", shape);
    if (linear) json_object_set_new(o, "scales", json_string(b->o->scales));
    json_object_set_new(o, "route", json_string(route));
    json_object_set_new(o, "median_us", qn_cli_json_real(median));
    json_object_set_new(o, "min_us", qn_cli_json_real(times[0]));
    json_object_set_new(o, "max_us", qn_cli_json_real(times[n - 1]));
    json_object_set_new(o, "clock", json_string(gpu ? "gpu" : "wall"));
    json_object_set_new(o, "wall_us", qn_cli_json_real(qn_cli_median(b->wall, b->n_wall)));
    json_object_set_new(o, "runs", qn_cli_json_u64(n));
    json_object_set_new(o, "copies", qn_cli_json_u64(b->copies));
    json_object_set_new(o, "gbps", qn_cli_json_real(b->bytes * per_us * 1e-3));
    json_object_set_new(o, "tflops", qn_cli_json_real(b->flops * per_us * 1e-6));
    json_object_set_new(o, "device", json_string(device));
    if (b->o->peaks) json_object_set_new(o, "peaks", qn_bench_peaks_json(&b->peaks));
    qn_cli_print_json(o);
}

/* ---- the command ----------------------------------------------------------------------------- */

static qn_status run(op_bench *b)
{
    size_t i = 0, n = sizeof ops / sizeof ops[0];
    while (i < n && strcmp(ops[i].name, b->o->op) != 0) i++;
    if (i == n)
        return qn_cli_fail(QN_ERR_ARGUMENT, "--op: \"%s\" is none of linear_q4gsw, sdpa_with_kv_cache, attend, sample",
                           b->o->op);
    QN_CLI_TRY(ops[i].build(b));
    QN_CLI_TRY(fill(b));
#ifndef QN_NO_BLOCKING /* where a polled execution is over only when its outputs are there */
    QN_CLI_TRY(qn_graph_want(b->graph, b->output, false));
#endif
    QN_CLI_TRY(measure(b));
    if (b->o->peaks) qn_bench_measure_peaks(b->engine, &b->peaks);
    char route[256];
    route_of(b, route, sizeof route);
    print_result(b, route);
    return qn_cli_ok();
}

qn_status qn_cli_run_bench_op(const qn_cli_bench_op *o, const qn_cli_engine *e)
{
    op_bench *b = qn_cli_alloc(1, sizeof *b);
    b->o = o;
    qn_status s = qn_cli_open_engine(e, &b->engine);
    if (s.code == QN_OK) s = run(b);
    if (b->graph) qn_graph_close(b->graph);
    for (uint32_t i = 0; i < MAX_COPIES; i++) qn_weight_free(b->weights[i]);
    qn_weight_free(b->norm);
    qn_engine_close(b->engine);
    free(b->gpu);
    free(b->wall);
    free(b);
    return s;
}
