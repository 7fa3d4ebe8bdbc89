/* check.c - `quern check`: runs case folders and compares what comes out with what they expect. */
#include "check.h"

#include "commands.h"
#include "lm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- running --------------------------------------------------------------------------------- */

static qn_status write_states(check *k)
{
    for (size_t i = 0; i < k->g.states.n; i++) {
        const qn_case_array *a = qn_case_find(&k->c.states, k->g.states.names[i]);
        QN_CLI_TRY(qn_cli_in(qn_graph_write_state(k->g.graph, k->g.states.values[i], a->data), "state %s", a->name));
    }
    return qn_cli_ok();
}

/* What the call gives to the graph. *mistake: the case is wrong, not the values refused. */
static qn_status set_call(check *k, const qn_case_call *call, bool *mistake)
{
    *mistake = true;
    for (size_t i = 0; i < k->g.inputs.n; i++)
        if (!qn_case_find(&call->inputs, k->g.inputs.names[i]))
            return qn_cli_fail(QN_ERR_FORMAT, "there is no input %s", k->g.inputs.names[i]);
    for (size_t i = 0; i < k->g.integers.n; i++) {
        size_t at = 0;
        while (at < call->n_integers && strcmp(call->integers[at].name, k->g.integers.names[i]) != 0) at++;
        if (at == call->n_integers) return qn_cli_fail(QN_ERR_FORMAT, "there is no integer %s", k->g.integers.names[i]);
    }
    for (size_t i = 0; i < call->inputs.n; i++) {
        const qn_case_array *a = &call->inputs.items[i];
        if (!qn_case_value(&k->g.inputs, a->name) || a->dtype != QN_CASE_F32)
            return qn_cli_fail(QN_ERR_FORMAT, "%s is no f32 input of %s", a->name, k->c.op);
    }
    for (size_t i = 0; i < call->n_integers; i++)
        if (!qn_case_value(&k->g.integers, call->integers[i].name))
            return qn_cli_fail(QN_ERR_FORMAT, "%s is no integer of %s", call->integers[i].name, k->c.op);
    *mistake = false;
    for (size_t i = 0; i < call->inputs.n; i++) {
        const qn_case_array *a = &call->inputs.items[i];
        QN_CLI_TRY(qn_graph_set_input(k->g.graph, qn_case_value(&k->g.inputs, a->name), a->shape, a->data));
    }
    for (size_t i = 0; i < call->n_integers; i++) {
        const qn_case_integer *n = &call->integers[i];
        QN_CLI_TRY(qn_graph_set_int(k->g.graph, qn_case_value(&k->g.integers, n->name), n->value));
    }
    return qn_cli_ok();
}

void qn_check_kernels(check *k, const qn_graph *graph)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(graph); i++) {
        const char *kernel = qn_graph_dispatch(graph, i).kernel;
        const char *route = k->options->engine.route;
        size_t at = 0;
        while (at < k->n_kernels && strcmp(k->kernels[at], kernel) != 0) at++;
        if (at == k->n_kernels && at < MAX_KERNELS) k->kernels[k->n_kernels++] = kernel;
        if (route && strcmp(route, kernel) == 0) k->route_used = true;
    }
}

qn_status qn_check_write(const check *k, size_t call, const char *name, const void *data, size_t bytes)
{
    char path[4096];
    if (!k->options->out) return qn_cli_ok();
    int n = snprintf(path, sizeof path, "%s/%s/c%zu.%s.bin", k->options->out, k->name, call, name);
    if (n < 0 || (size_t)n >= sizeof path) return qn_cli_fail(QN_ERR_ARGUMENT, "--out: the path is too long");
    FILE *f = fopen(path, "wb");
    if (!f) return qn_cli_fail(QN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    bool written = fwrite(data, 1, bytes, f) == bytes;
    if (fclose(f) != 0) written = false;
    return written ? qn_cli_ok() : qn_cli_fail(QN_ERR_IO, "cannot write %s", path);
}

static qn_status check_outputs(check *k, const qn_case_call *call, size_t index)
{
    for (size_t i = 0; i < call->outputs.n; i++) {
        const qn_case_array *expected = &call->outputs.items[i];
        qn_value value = qn_case_value(&k->g.outputs, expected->name);
        if (!value || expected->dtype != QN_CASE_F32)
            return qn_cli_fail(QN_ERR_FORMAT, "%s is no f32 output of %s", expected->name, k->c.op);
        qn_shape live;
        const float *got = qn_graph_output_data(k->g.graph, value, &live);
        if (!got) return qn_cli_fail(QN_ERR_INTERNAL, "output %s was not read back", expected->name);
        char a[128], b[128];
        if (strcmp(qn_cli_shape(&live, a), qn_cli_shape(&expected->shape, b)) != 0)
            return qn_cli_fail(QN_ERR_INTERNAL, "output %s has the shape %s, expected is %s", expected->name, a, b);
        qn_case_compare(&k->c, expected, got, index, &k->result);
        QN_CLI_TRY(qn_check_write(k, index, expected->name, got, expected->count * sizeof *got));
    }
    return qn_cli_ok();
}

#ifdef QN_NO_BLOCKING
/* States can be read only by a blocking call, which this build lacks. */
static qn_status check_states(check *k, const qn_case_call *call, size_t index)
{
    (void)index;
    k->states_skipped = call->states_after.n > 0;
    return qn_cli_ok();
}
#else
/* Compares a state that was read. A refused call has to leave it as it was, bit for bit: that is what is checked. A
 * case whose file says otherwise contradicts itself (one of the published cases does), which its line tells. */
static qn_status compare_state(check *k, const qn_case_array *expected, const float *data, const float *before,
                               size_t index)
{
    if (k->c.calls[index].reject && before && memcmp(data, before, expected->count * sizeof *data) == 0) {
        qn_case_result apart = {0}; /* the case's mistake is not the result's */
        if (!qn_case_compare_state(expected, data, index, &apart)) k->contradicts = true;
        return qn_cli_ok();
    }
    if (qn_case_compare_state(expected, data, index, &k->result)) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_INTERNAL, "state %s differs at %s: %.9g, expected %.9g", expected->name, k->result.where,
                       k->result.got, k->result.expected);
}

static qn_status check_state(check *k, const qn_case_array *expected, size_t index)
{
    const qn_case_array *initial = qn_case_find(&k->c.states, expected->name);
    size_t slot = 0;
    while (slot < k->g.states.n && strcmp(k->g.states.names[slot], expected->name) != 0) slot++;
    if (slot == k->g.states.n || expected->dtype != QN_CASE_F32 || expected->count != initial->count)
        return qn_cli_fail(QN_ERR_FORMAT, "states_after: %s is no state of %s, or of another shape", expected->name,
                           k->c.op);
    float *data = qn_cli_alloc(expected->count, sizeof *data);
    qn_status s = qn_graph_read_state(k->g.graph, k->g.states.values[slot], data);
    if (s.code == QN_OK) s = compare_state(k, expected, data, k->before[slot], index);
    char after[QN_CASE_NAME + 8];
    snprintf(after, sizeof after, "%s.after", expected->name);
    qn_status written = qn_check_write(k, index, after, data, expected->count * sizeof *data);
    free(k->before[slot]);
    k->before[slot] = data;
    return s.code == QN_OK ? written : s;
}

static qn_status check_states(check *k, const qn_case_call *call, size_t index)
{
    for (size_t i = 0; i < call->states_after.n; i++) QN_CLI_TRY(check_state(k, &call->states_after.items[i], index));
    return qn_cli_ok();
}
#endif

/* A refusal says what is wrong with the values; a device that fails, or memory that runs out, is none. */
bool qn_check_refusal(const qn_status *s)
{
    return s->text[0] && (s->code == QN_ERR_ARGUMENT || s->code == QN_ERR_UNSUPPORTED || s->code == QN_ERR_LIMIT ||
                          s->code == QN_ERR_CONTEXT);
}

static qn_status run_call(check *k, size_t index)
{
    const qn_case_call *call = &k->c.calls[index];
    bool mistake;
    qn_status s = set_call(k, call, &mistake);
    if (s.code != QN_OK && mistake) return s;
    if (s.code == QN_OK) s = qn_cli_execute(k->g.graph);
    if (call->reject) {
        if (s.code == QN_OK) return qn_cli_fail(QN_ERR_INTERNAL, "it ran, but it has to be refused");
        if (!qn_check_refusal(&s)) return s;
        snprintf(k->note, sizeof k->note, "%s", s.text);
        return check_states(k, call, index);
    }
    QN_CLI_TRY(s);
    qn_check_kernels(k, k->g.graph);
    QN_CLI_TRY(check_outputs(k, call, index));
    QN_CLI_TRY(check_states(k, call, index));
    if (k->result.worst > 1)
        return qn_cli_fail(QN_ERR_INTERNAL, "%s is %.9g, expected %.9g", k->result.where, k->result.got,
                           k->result.expected);
    return qn_cli_ok();
}

static qn_status run_case(check *k, const char *folder)
{
    QN_CLI_TRY(qn_case_load(folder, &k->c));
    bool refused;
    qn_status s = qn_case_build(&k->c, k->engine, (qn_precision)k->options->precision, &k->g, &refused);
    if (k->c.reject) {
        if (s.code == QN_OK) return qn_cli_fail(QN_ERR_INTERNAL, "it was built, but it has to be refused");
        if (!refused || !qn_check_refusal(&s)) return s;
        snprintf(k->note, sizeof k->note, "%s", s.text);
        return qn_cli_ok();
    }
    QN_CLI_TRY(s);
    QN_CLI_TRY(write_states(k));
    for (size_t i = 0; i < k->c.n_calls; i++) QN_CLI_TRY(qn_cli_in(run_call(k, i), "call %zu", i));
    return qn_cli_ok();
}

/* ---- reporting ------------------------------------------------------------------------------- */

static void print_line(const check *k, const qn_status *s)
{
    printf("%-4s %-24s", s->code == QN_OK ? "ok" : "FAIL", k->name);
    if (k->c.n_calls && !k->c.reject) {
        printf(" max abs %.2e, max rel %.2e", k->result.max_abs, k->result.max_rel);
        if (k->result.where[0]) printf(", worst at %s", k->result.where);
    }
    for (size_t i = 0; i < k->n_kernels; i++) printf("%s%s", i ? " " : "  [", k->kernels[i]);
    if (k->n_kernels) printf("]");
    if (s->code == QN_OK && k->note[0]) printf("  refused as it has to be: %s", k->note);
    if (k->runs_here) printf("  (the case expects a refusal, but its program runs here)");
    if (k->options->engine.route && !k->route_used) printf("  (%s was not used)", k->options->engine.route);
    if (k->contradicts) printf("  (states unchanged by the refused call; the case's files expect a change)");
    if (k->states_skipped) printf("  (states not compared: this build has no blocking calls)");
    if (s->code != QN_OK) printf("  %s", s->text);
    printf("\n");
    fflush(stdout);
}

static json_t *case_json(const check *k, const char *folder, const qn_status *s)
{
    json_t *o = json_object(), *kernels = json_array();
    for (size_t i = 0; i < k->n_kernels; i++) json_array_append_new(kernels, json_string(k->kernels[i]));
    json_object_set_new(o, "case", qn_cli_json_text(k->name, strlen(k->name)));
    json_object_set_new(o, "folder", qn_cli_json_text(folder, strlen(folder)));
    json_object_set_new(o, "ok", json_boolean(s->code == QN_OK));
    if (s->code != QN_OK) json_object_set_new(o, "error", qn_cli_json_text(s->text, strlen(s->text)));
    if (k->note[0]) json_object_set_new(o, "refused", qn_cli_json_text(k->note, strlen(k->note)));
    json_object_set_new(o, "calls", qn_cli_json_u64(k->c.n_calls));
    json_object_set_new(o, "max_abs", qn_cli_json_real(k->result.max_abs));
    json_object_set_new(o, "max_rel", qn_cli_json_real(k->result.max_rel));
    json_object_set_new(o, "worst", qn_cli_json_real(k->result.worst));
    json_object_set_new(o, "where", json_string(k->result.where));
    json_object_set_new(o, "kernels", kernels);
    if (k->options->engine.route) json_object_set_new(o, "route_used", json_boolean(k->route_used));
    if (k->runs_here) json_object_set_new(o, "runs_here", json_true());
    if (k->contradicts) json_object_set_new(o, "case_contradicts_itself", json_true());
    if (k->states_skipped) json_object_set_new(o, "states_compared", json_false());
    return o;
}

/* The last part of a path; a path that ends in "." or "..", or in nothing, has none. */
static void folder_name(const char *path, char *name, size_t capacity)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    snprintf(name, capacity, "%.*s", (int)(end - start), path + start);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) snprintf(name, capacity, "case");
}

static qn_status prepare_out(const check *k)
{
    char path[4096];
    if (!k->options->out) return qn_cli_ok();
    snprintf(path, sizeof path, "%s/%s", k->options->out, k->name);
    if (qn_cli_make_folder(k->options->out) && qn_cli_make_folder(path)) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_IO, "--out: cannot make the folder %s: %s", path, strerror(errno));
}

/* ---- the command ----------------------------------------------------------------------------- */

typedef struct totals {
    json_t *cases; /* NULL without --json */
    size_t passed, failed;
    bool lost; /* the device is gone: nothing more can run */
} totals;

static void check_folder(const check_options *o, qn_engine *engine, const char *folder, totals *t)
{
    check *k = qn_cli_alloc(1, sizeof *k);
    k->options = o;
    k->engine = engine;
    folder_name(folder, k->name, sizeof k->name);
    char program[4096];
    snprintf(program, sizeof program, "%s/model.pte", folder);
    qn_status s = prepare_out(k);
    if (s.code == QN_OK) s = qn_cli_is_file(program) ? qn_check_program(k, folder, program) : run_case(k, folder);
    if (s.code == QN_OK)
        t->passed++;
    else
        t->failed++;
    t->lost = t->lost || s.code == QN_ERR_DEVICE_LOST;
    if (t->cases)
        json_array_append_new(t->cases, case_json(k, folder, &s));
    else
        print_line(k, &s);
    for (size_t i = 0; i < QN_CASE_SLOTS; i++) free(k->before[i]);
    qn_case_close(&k->g);
    qn_case_free(&k->c);
    free(k);
}

static bool is_case(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/case.json", folder);
    if (qn_cli_is_file(path)) return true;
    snprintf(path, sizeof path, "%s/model.pte", folder);
    return qn_cli_is_file(path);
}

/* A case, or a folder of cases: then all of them. */
static void check_argument(const check_options *o, qn_engine *engine, const char *path, totals *t)
{
    size_t n = 0, cases = 0;
    char **names = is_case(path) ? NULL : qn_cli_list_folder(path, &n);
    for (size_t i = 0; names && i < n && !t->lost; i++) {
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, names[i]);
        if (!is_case(child)) continue;
        check_folder(o, engine, child, t);
        cases++;
    }
    qn_cli_free_names(names, n);
    if (cases == 0) check_folder(o, engine, path, t); /* fails with the reason if it is no case either */
}

static bool parse(int argc, char **argv, check_options *o, qn_cli_rest *rest, int *code)
{
    *o = (check_options){.out = NULL};
    const qn_cli_option own[] = {
        {.name = "out",
         .letter = 'o',
         .kind = QN_CLI_TEXT,
         .argument = "DIR",
         .target = &o->out,
         .help = "write what was computed as DIR/<case>/c<call>.<name>.bin,\nstates with .after before .bin"},
        {.name = "precision",
         .kind = QN_CLI_CHOICE,
         .argument = "exact|auto",
         .target = &o->precision,
         .help = qn_cli_precision_exact},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &o->json, .help = "print JSON"},
        {.name = NULL},
    };
    qn_cli_option engine[QN_CLI_ENGINE_OPTIONS];
    qn_cli_engine_table(&o->engine, engine);
    const qn_cli_usage usage = {
        .command = "check",
        .synopsis = "CASE... [--out DIR] [--route KERNEL] [--json] [options]",
        .about =
            "Runs cases (folders with case.json and perhaps model.pte, or folders of such folders) and compares the\n"
            "results with the expected numbers. One line a case; exit code 1 if any failed.",
        .tables = {own, engine},
        .max_rest = -1,
    };
    if (!qn_cli_parse(&usage, argc, argv, rest, code)) return false;
    if (rest->n) return true;
    *code = qn_cli_misuse("check", "name at least one case folder");
    return false;
}

int qn_cli_check(int argc, char **argv)
{
    check_options o;
    qn_cli_rest rest;
    int code;
    if (!parse(argc, argv, &o, &rest, &code)) return code;
    qn_engine *engine;
    qn_status s = qn_cli_open_engine(&o.engine, &engine);
    if (s.code != QN_OK) return qn_cli_exit("check", s);
    totals t = {.cases = o.json ? json_array() : NULL};
    int done = 0;
    for (; done < rest.n && !t.lost; done++) check_argument(&o, engine, rest.items[done], &t);
    if (o.json) {
        json_t *object = json_object();
        json_object_set_new(object, "device", json_string(qn_engine_device(engine)->name));
        json_object_set_new(object, "route", o.engine.route ? json_string(o.engine.route) : json_null());
        json_object_set_new(object, "passed", qn_cli_json_u64(t.passed));
        json_object_set_new(object, "failed", qn_cli_json_u64(t.failed));
        json_object_set_new(object, "cases", t.cases);
        qn_cli_print_json(object);
    } else
        printf("%zu passed, %zu failed\n", t.passed, t.failed);
    qn_engine_close(engine);
    if (t.lost)
        return qn_cli_exit("check", qn_cli_fail(QN_ERR_DEVICE_LOST, "the device was lost; the rest did not run"));
    return t.failed ? 1 : 0;
}
