/* The WGSL of every kernel row, with every combination of constants that the cases of neutrality, projections of every
 * storage, models and the exported programs call for: planned for devices that are not there. Every row must have come
 * up.
 *
 *   test_sources [FOLDER]   also writes each text to FOLDER, which exists, and their list to FOLDER/kernels.json,
 *                           for a compiler that knows `enable subgroups;` (tests/shaders/test_tint.py). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "format/quant.h"
#include "graph/graph.h"
#include "model/model.h"
#include "quern_program.h"
#include "support/model_harness.h"
#include "support/neutral_run.h"

/* ---- what came up ---------------------------------------------------------------------------- */

typedef struct found {
    const qn_kernel_row *row;
    uint32_t spec[QN_MAX_SPEC];
} found;

static found *kernels;
static size_t n_kernels, capacity;

static void note(const qn_kernel_row *row, const uint32_t *spec)
{
    for (size_t i = 0; i < n_kernels; i++)
        if (kernels[i].row == row && memcmp(kernels[i].spec, spec, sizeof kernels[i].spec) == 0) return;
    if (n_kernels == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        kernels = realloc(kernels, capacity * sizeof *kernels);
        assert_non_null(kernels);
    }
    kernels[n_kernels].row = row;
    memcpy(kernels[n_kernels++].spec, spec, sizeof kernels->spec);
}

/* The tables of the graph's kernels (tables: room for all), besides. */
static void collect(const qn_graph *g, bool *tables)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const qn_node_state *node = qn_graph_node(g, i);
        const qn_variant *v = node->variants;
        for (size_t k = 0; k < node->n_variants; k++) {
            note(v[k].row, v[k].spec);
            for (size_t t = 0; tables && qn_kernel_tables[t]; t++)
                if (v[k].row >= qn_kernel_tables[t]->rows &&
                    v[k].row < qn_kernel_tables[t]->rows + qn_kernel_tables[t]->n_rows)
                    tables[t] = true;
        }
    }
}

/* ---- devices --------------------------------------------------------------------------------- */

enum { N_DEVICES = 4, MOST_TABLES = 64 };

/* A GPU and a software adapter, each with core limits, and with all that a row may need. */
static qn_device_info device_of(int i)
{
    qn_device_info d = qn_core_device();
    d.type = i % 2 ? QN_ADAPTER_SOFTWARE : QN_ADAPTER_DISCRETE;
    if (i < 2) return d;
    d.f16 = d.subgroups = true;
    d.subgroup_min = d.subgroup_max = 32;
    d.max_workgroup_bytes = 48 << 10;
    d.max_workgroup_invocations = d.max_workgroup_size[0] = d.max_workgroup_size[1] = 1024;
    return d;
}

/* A graph for a device with the row forced (NULL: none): what `make` adds to it is noted. */
typedef struct job {
    void (*plan)(const struct job *job, const qn_device_info *device, const char *route, bool *tables);
    const op_case *c;
    qn_model *model;
    qn_model_sizes sizes;
    qn_precision precision;
} job;

/* By default on every device, and with every row forced of the tables that it uses then. */
static void plan_all(const job *j)
{
    bool tables[MOST_TABLES] = {false};
    for (int i = 0; i < N_DEVICES; i++) {
        qn_device_info device = device_of(i);
        j->plan(j, &device, NULL, tables);
    }
    qn_device_info device = device_of(2);
    for (size_t t = 0; qn_kernel_tables[t]; t++)
        for (uint32_t r = 0; tables[t] && r < qn_kernel_tables[t]->n_rows; r++)
            j->plan(j, &device, qn_kernel_tables[t]->rows[r].name, NULL);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void plan_case(const job *j, const qn_device_info *device, const char *route, bool *tables)
{
    qn_neutral_fixture f;
    qn_neutral_open_dry(&f, device, j->c);
    f.route = route;
    built b = qn_neutral_build(&f, MAX_ROWS);
    collect(b.g, tables);
    qn_graph_close(b.g);
    qn_neutral_close(&f);
}

static void plan_op(op_case c)
{
    static const qn_precision precisions[] = {QN_PRECISION_EXACT, QN_PRECISION_AUTO};
    for (int i = 0; i < 2; i++) {
        c.precision = precisions[i];
        plan_all(&(job){.plan = plan_case, .c = &c});
    }
}

static void cases_of_neutrality(void **state)
{
    (void)state;
    for (const neutral_family *const *f = qn_neutral_families; *f; f++)
        for (size_t i = 0; i < (*f)->n; i++) plan_op((*f)->cases[i]);
}

/* The cases of these operations again with other head sizes. */
static void head_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {4, 16, 32, 64, 80, 96, 128, 256};
    for (const neutral_family *const *f = qn_neutral_families; *f; f++)
        for (size_t i = 0; i < (*f)->n; i++)
            for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
                op_case c = (*f)->cases[i];
                if (c.op != QN_OP_SDPA && c.op != QN_OP_ATTEND) continue;
                if ((c.state_type == QN_F16 && sizes[k] % 8) || (c.state_type == QN_Q8_0 && sizes[k] % 32)) continue;
                for (int n = 0; n < MAX_INPUTS; n++) c.in[n].shape.dim[3] = sizes[k];
                for (int n = 0; n < MAX_STATES; n++) c.states[n].dim[3] = sizes[k];
                plan_op(c);
            }
}

static qn_value add_plain(const built *b)
{
    return qn_linear(b->g, b->in[0], b->w[0], 0);
}

static qn_value add_with_bias(const built *b)
{
    return qn_linear(b->g, b->in[0], b->w[0], b->w[1]);
}

static qn_value add_with_residual(const built *b)
{
    return qn_linear_with(b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .residual = b->in[1]});
}

static qn_value add_with_norm(const built *b)
{
    return qn_linear_with(b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .norm = b->w[1], .eps = 1e-5f});
}

static qn_value add_with_all(const built *b)
{
    return qn_linear_with(
        b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .norm = b->w[1], .eps = 1e-5f, .residual = b->in[1]});
}

static qn_value add_gated(const built *b)
{
    return qn_linear_with(b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .gated = true});
}

static qn_value add_norm_gated(const built *b)
{
    return qn_linear_with(
        b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .norm = b->w[1], .eps = 1e-5f, .gated = true});
}

static qn_value add_rows(const built *b)
{
    return qn_embedding(b->g, b->w[0], b->in[0]);
}

enum { N = 96 };

/* Everything that stands around a projection, with one matrix [N, k]. */
static void plan_matrix(qn_weight_kind kind, uint32_t k, uint32_t group, bool halves)
{
    static const struct {
        qn_value (*add)(const built *b);
        bool bias, norm, residual;
    } forms[] = {
        {add_plain, false, false, false},        {add_with_bias, true, false, false},
        {add_with_residual, false, false, true}, {add_with_norm, false, true, false},
        {add_with_all, false, true, true},       {add_gated, false, false, false},
        {add_norm_gated, false, true, false},
    };
    op_case c = {.name = qn_test_kind_name(kind), .halves = halves, .op = QN_OP_LINEAR};
    c.w[0].kind = kind;
    c.w[0].shape = qn_shape_2(N, k);
    c.w[0].group = group;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        op_case l = c;
        l.add = forms[i].add;
        l.in[0].shape = qn_shape_2(0, k);
        l.in[0].dtype = QN_F32;
        l.in[1].shape = qn_shape_2(0, N);
        l.in[1].dtype = forms[i].residual ? QN_F32 : 0;
        l.w[1].kind = forms[i].bias || forms[i].norm ? QN_WEIGHT_F32 : 0;
        l.w[1].shape = (qn_shape){1, {forms[i].bias ? N : k}};
        plan_op(l);
    }
    c.op = QN_OP_EMBEDDING;
    c.add = add_rows;
    c.in[0].shape = (qn_shape){1, {0}};
    c.in[0].dtype = QN_I32;
    plan_op(c);
}

static void matrices(void **state)
{
    (void)state;
    static const qn_weight_kind floats[] = {QN_WEIGHT_F32, QN_WEIGHT_F16, QN_WEIGHT_BF16};
    static const qn_weight_kind codes[] = {QN_WEIGHT_Q8, QN_WEIGHT_Q4, QN_WEIGHT_Q4A};
    for (int i = 0; i < 3; i++) {
        plan_matrix(floats[i], 64, 0, false);
        plan_matrix(floats[i], 50, 0, false);
        plan_matrix(codes[i], 64, 16, false);
        plan_matrix(codes[i], 64, 32, false);
        plan_matrix(codes[i], 64, 32, true);
        plan_matrix(codes[i], 128, 64, true);
        plan_matrix(codes[i], 50, 20, false);
    }
}

/* ---- models ---------------------------------------------------------------------------------- */

static void plan_session(const job *j, const qn_device_info *device, const char *route, bool *tables)
{
    qn_graph *g;
    qn_assert_ok(qn_graph_open_dry(NULL, device, &g));
    g->plan.forced = route;
    qn_graph_set_precision(g, j->precision);
    qn_llama_graph(g, j->model, &j->sizes);
    qn_assert_ok(qn_graph_build(g));
    collect(g, tables);
    qn_graph_close(g);
}

static void plan_model(qn_test_bytes file)
{
    static const qn_dtype kv_types[] = {QN_F32, QN_F16, QN_Q8_0};
    qn_test_source memory = {.bytes = file};
    qn_source source = qn_test_source_of(&memory);
    qn_gguf *gguf;
    qn_model *model;
    qn_status runnable;
    qn_model_tensor *tensors;
    size_t n_tensors;
    qn_device_info core = qn_core_device();
    qn_assert_ok(qn_gguf_open(NULL, &source, &gguf));
    qn_assert_ok(qn_model_read(NULL, gguf, file.size, true, &model, &runnable));
    qn_assert_ok(runnable);
    qn_assert_ok(qn_model_describe(model, gguf, &core, &tensors, &n_tensors));
    qn_free(NULL, tensors);
    for (int i = 0; i < 6; i++) {
        qn_dtype kv = kv_types[i % 3];
        if (kv == QN_Q8_0 && model->hparams.head_dim % 32) continue;
        plan_all(&(job){.plan = plan_session,
                        .model = model,
                        .sizes = {.ctx = 256, .chunk = 128, .max_logits = 8, .in_flight = 2, .kv_type = kv},
                        .precision = i / 3 ? QN_PRECISION_AUTO : QN_PRECISION_EXACT});
    }
    qn_model_close(model);
    qn_gguf_close(gguf);
    qn_test_source_free(&memory);
    free(file.data);
}

static void models(void **state)
{
    (void)state;
    static const uint32_t types[] = {QN_GGML_F32,  QN_GGML_F16,  QN_GGML_BF16, QN_GGML_Q4_0,
                                     QN_GGML_Q8_0, QN_GGML_Q4_K, QN_GGML_Q6_K};
    static const uint32_t head_dims[] = {32, 80, 128};
    qn_random_model m = qn_random_model_tiny();
    m.tokenizer = QN_RANDOM_TOKENIZER_NONE;
    m.n_vocab = 96;
    m.n_layers = 1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        m.type = m.embd_type = types[i];
        plan_model(qn_test_random_bytes(&m));
    }
    m.type = m.embd_type = QN_GGML_Q4_0;
    for (size_t i = 0; i < sizeof head_dims / sizeof head_dims[0]; i++) {
        m.head_dim = head_dims[i];
        plan_model(qn_test_random_bytes(&m));
    }
    plan_model(qn_test_read("models/quern-tales/quern-tales-q4_0.gguf"));
}

/* ---- exported programs ----------------------------------------------------------------------- */

enum { MOST_FILES = 8 };

/* The program of a folder with the data files beside it. */
static void plan_program(const char *from)
{
    char paths[MOST_FILES][600];
    const char *data_files[MOST_FILES];
    uint32_t n = 0;
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        const char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".ptd") != 0) continue;
        assert_true(n < MOST_FILES);
        snprintf(paths[n], sizeof paths[n], "%s/%s", from, e->d_name);
        data_files[n] = paths[n];
        n++;
    }
    closedir(dir);
    char path[600];
    snprintf(path, sizeof path, "%s/model.pte", from);
    for (int i = 0; i < N_DEVICES; i++) {
        qn_device_info device = device_of(i);
        qn_program *p;
        qn_assert_ok(qn_program_read(NULL, path, &(qn_program_options){data_files, n}, &p));
        qn_assert_ok(qn_program_plan(p, &device));
        for (uint32_t m = 0; m < qn_program_n_methods(p); m++) {
            const qn_graph *g;
            for (uint32_t d = 0; (g = qn_program_graph(p, m, d)) != NULL; d++) collect(g, NULL);
        }
        qn_program_close(p);
    }
}

static void programs(void **state)
{
    (void)state;
    static const char root[] = QN_SOURCE_DIR "/tests/data/executorch";
    DIR *dir = opendir(root);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512], file[600];
        snprintf(path, sizeof path, "%s/%s", root, e->d_name);
        snprintf(file, sizeof file, "%s/model.pte", path);
        bool skipped = e->d_name[0] == '.' || strstr(e->d_name, "reject_");
        FILE *f = skipped ? NULL : fopen(file, "rb");
        if (!f) continue;
        fclose(f);
        plan_program(path);
    }
    closedir(dir);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void every_row_came_up(void **state)
{
    (void)state;
    for (const qn_kernel_table *const *t = qn_kernel_tables; *t; t++)
        for (uint32_t r = 0; r < (*t)->n_rows; r++) {
            size_t i = 0;
            while (i < n_kernels && kernels[i].row != &(*t)->rows[r]) i++;
            if (i == n_kernels) fail_msg("nothing planned here dispatches %s: add a case", (*t)->rows[r].name);
        }
    print_message("%zu kernels\n", n_kernels);
}

static const char *folder;

static void write_text(const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) fail_msg("cannot write %s", path);
}

static void write_them(void **state)
{
    (void)state;
    if (!folder) return;
    char path[600];
    snprintf(path, sizeof path, "%s/kernels.json", folder);
    FILE *list = fopen(path, "w");
    assert_non_null(list);
    for (size_t i = 0; i < n_kernels; i++) {
        const qn_kernel_row *row = kernels[i].row;
        char name[128], *text;
        snprintf(name, sizeof name, "%s.%zu.wgsl", row->name, i);
        const qn_wgsl_target browser = {.enable_subgroups = "enable subgroups;\n", .checks = true};
        qn_assert_ok(qn_row_source(NULL, row, kernels[i].spec, &browser, &text));
        write_text(name, text);
        qn_free(NULL, text);
        fprintf(list, "%s{\"file\": \"%s\", \"row\": \"%s\", \"entry\": \"%s\", \"access\": \"%s\"", i ? ",\n" : "[\n",
                name, row->name, row->entry, row->access);
        fprintf(list, ", \"invocations\": %u, \"workgroup_bytes\": %u}",
                row->workgroup[0] * row->workgroup[1] * row->workgroup[2], row->workgroup_bytes);
    }
    fputs("\n]\n", list);
    assert_int_equal(fclose(list), 0);
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_of_neutrality),
        cmocka_unit_test(head_sizes),
        cmocka_unit_test(matrices),
        cmocka_unit_test(models),
        cmocka_unit_test(programs),
        cmocka_unit_test(every_row_came_up),
        cmocka_unit_test(write_them),
    };
    int failed = cmocka_run_group_tests_name("sources", tests, NULL, NULL);
    free(kernels);
    return failed;
}
