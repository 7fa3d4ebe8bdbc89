/* engine.c - opening the engine and a model file's header; waiting for the GPU. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

/* ---- engine ---------------------------------------------------------------------------------- */

void qn_cli_engine_table(qn_cli_engine *e, qn_cli_option table[QN_CLI_ENGINE_OPTIONS])
{
    const qn_cli_option options[QN_CLI_ENGINE_OPTIONS] = {
        {.name = "device",
         .letter = 'd',
         .kind = QN_CLI_TEXT,
         .argument = "N|NAME",
         .target = &e->device,
         .help = "GPU by number or part of its name (quern devices);\ndefault: the best one"},
        {.name = "baseline",
         .kind = QN_CLI_FLAG,
         .target = &e->baseline,
         .help = "core WebGPU limits and no optional feature"},
        {.name = "gpu-memory",
         .kind = QN_CLI_SIZE,
         .argument = "SIZE",
         .target = &e->gpu_memory,
         .help = "take at most this much GPU memory, for example 512M or 8G"},
        {.name = "route",
         .kind = QN_CLI_TEXT,
         .argument = "KERNEL",
         .target = &e->route,
         .help = "force this kernel wherever it is usable (quern devices)"},
        {.name = "trace", .kind = QN_CLI_FLAG, .target = &e->trace, .help = "print every dispatch on stderr"},
        {.name = "dump-shaders",
         .kind = QN_CLI_TEXT,
         .argument = "DIR",
         .target = &e->dump_shaders,
         .help = "write every compiled WGSL source into this folder"},
        {.name = "threads",
         .kind = QN_CLI_U32,
         .argument = "N",
         .target = &e->threads,
         .help = "compile kernels on at most N threads (default: one a\nprocessor, at most 16)"},
        {.name = "checked",
         .kind = QN_CLI_FLAG,
         .target = &e->checked,
         .help = "compile all kernels with bounds checks (slower)"},
        {.name = "no-cache",
         .kind = QN_CLI_FLAG,
         .target = &e->no_cache,
         .help = "neither use nor keep what is known of this device: tested\nkernels, choices of quern tune"},
        {.name = "timings", .kind = QN_CLI_FLAG, .target = &e->timings, .help = "print on stderr when what was done"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
    e->start = qn_cli_seconds();
}

void qn_cli_mark(const qn_cli_engine *e, const char *what)
{
    if (e->timings) fprintf(stderr, "quern: %.3f s: %s\n", qn_cli_seconds() - e->start, what);
}

static void print_log(void *user, qn_log_level level, const char *line)
{
    const qn_cli_engine *e = user;
    if (level >= QN_LOG_DEBUG && !e->trace) return;
    fprintf(stderr, "quern: %s%s\n", level == QN_LOG_ERROR ? "error: " : "", line);
}

/* Names do not depend on the device, so a wrong one is found before a device is opened. The list of names may be
 * longer than a status: it goes to stderr by itself. */
static qn_status check_route(const char *route)
{
    const qn_device_info none = {.name = ""};
    size_t n = qn_routes(&none, NULL, 0);
    qn_route_info *routes = qn_cli_alloc(n, sizeof *routes);
    n = qn_routes(&none, routes, n);
    bool known = false;
    for (size_t i = 0; i < n && !known; i++) known = strcmp(routes[i].name, route) == 0;
    if (!known) {
        fprintf(stderr, "kernels:");
        for (size_t i = 0; i < n; i++) fprintf(stderr, " %s", routes[i].name);
        fprintf(stderr, "\n");
    }
    free(routes);
    if (known) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_ARGUMENT, "--route: there is no kernel \"%s\" (all names are listed above)", route);
}

qn_status qn_cli_open_engine(const qn_cli_engine *e, qn_engine **engine)
{
    *engine = NULL;
    if (e->route) QN_CLI_TRY(check_route(e->route));
    if (e->dump_shaders && !qn_cli_make_folder(e->dump_shaders))
        return qn_cli_fail(QN_ERR_IO, "--dump-shaders: cannot make the folder %s", e->dump_shaders);
    char cache[4096];
    const qn_engine_options options = {
        .device = e->device,
        .baseline = e->baseline,
        .gpu_memory = e->gpu_memory,
        .route = e->route,
        .dump_shaders = e->dump_shaders,
        .trace = e->trace,
        .threads = e->threads,
        .checked = e->checked,
        .cache_dir = !e->no_cache && qn_cli_user_cache(cache, sizeof cache) ? cache : NULL,
        .self_test = true,
        .log = print_log,
        .log_user = (void *)(uintptr_t)e, /* print_log only reads it */
    };
    qn_status s = qn_cli_open_device(&options, engine);
    if (s.code == QN_OK) qn_cli_mark(e, "the device is open");
    return s;
}

/* ---- model file ------------------------------------------------------------------------------ */

static qn_status copy_path(const char *path, char *out, size_t capacity)
{
    if (strlen(path) >= capacity) return qn_cli_fail(QN_ERR_ARGUMENT, "the path of the model is too long");
    memcpy(out, path, strlen(path) + 1);
    return qn_cli_ok();
}

qn_status qn_cli_model_path(const char *path, char *out, size_t capacity)
{
    if (path) return copy_path(path, out, capacity);
    char folder[4096];
    if (qn_cli_program_folder(folder, sizeof folder)) {
        int n = snprintf(out, capacity, "%s/%s", folder, QN_MODEL_INSTALL_PATH);
        if (n > 0 && (size_t)n < capacity && qn_cli_is_file(out)) return qn_cli_ok();
    }
    if (qn_cli_is_file(QN_MODEL_SOURCE_PATH)) return copy_path(QN_MODEL_SOURCE_PATH, out, capacity);
    return qn_cli_fail(QN_ERR_IO, "the built-in model is neither at %s beside this program nor at %s; name one with -m",
                       QN_MODEL_INSTALL_PATH, QN_MODEL_SOURCE_PATH);
}

qn_status qn_cli_inspect(const char *path, qn_inspection **inspection, char *out_path, size_t capacity)
{
    *inspection = NULL;
    QN_CLI_TRY(qn_cli_model_path(path, out_path, capacity));
    if (qn_cli_is_program(out_path))
        return qn_cli_fail(QN_ERR_UNSUPPORTED,
                           "%s is a program, which has no tokenizer: name its file with --tokenizer", out_path);
    return qn_inspect_open(NULL, out_path, inspection);
}

qn_status qn_cli_tokenizer(const qn_inspection *inspection, const char *path, const qn_tokenizer **tokenizer)
{
    const char *why = NULL;
    *tokenizer = qn_inspect_tokenizer(inspection, &why);
    if (*tokenizer) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_UNSUPPORTED, "%s has no tokenizer that this version reads: %s", path,
                       why ? why : "no reason given");
}

/* ---- waiting --------------------------------------------------------------------------------- */

#ifdef QN_NO_BLOCKING
static const double poll_seconds = 20e-6;
#endif

qn_status qn_cli_wait(qn_session *session, qn_step_state *state)
{
#ifdef QN_NO_BLOCKING
    for (;;) {
        QN_CLI_TRY(qn_session_step(session, state));
        if (*state != QN_STEP_PENDING) return qn_cli_ok();
        qn_cli_pause(poll_seconds);
    }
#else
    return qn_session_wait(session, state);
#endif
}

qn_status qn_cli_open_device(const qn_engine_options *options, qn_engine **engine)
{
#ifdef QN_NO_BLOCKING
    qn_opening *opening;
    bool pending;
    *engine = NULL;
    QN_CLI_TRY(qn_opening_open(options, &opening));
    qn_status s = qn_cli_ok();
    while (s.code == QN_OK && !*engine) {
        s = qn_opening_step(opening, engine, &pending);
        if (pending) qn_cli_pause(poll_seconds);
    }
    qn_opening_close(opening);
    return s;
#else
    return qn_engine_open(options, engine);
#endif
}

qn_status qn_cli_execute(qn_graph *graph)
{
#ifdef QN_NO_BLOCKING
    QN_CLI_TRY(qn_graph_submit(graph));
    for (bool done = false;;) {
        QN_CLI_TRY(qn_graph_poll(graph, &done));
        if (done) return qn_cli_ok();
        qn_cli_pause(poll_seconds);
    }
#else
    return qn_graph_execute(graph);
#endif
}

qn_status qn_cli_finish_program(qn_program *program)
{
#ifdef QN_NO_BLOCKING
    for (bool done = false;;) {
        QN_CLI_TRY(qn_program_poll(program, &done));
        if (done) return qn_cli_ok();
        qn_cli_pause(poll_seconds);
    }
#else
    return qn_program_wait(program);
#endif
}

qn_status qn_cli_execute_program(qn_program *program, uint32_t method, const qn_program_tensor *inputs,
                                 uint32_t n_inputs)
{
    QN_CLI_TRY(qn_program_submit(program, method, inputs, n_inputs));
    return qn_cli_finish_program(program);
}

qn_status qn_cli_profile(qn_graph *graph, qn_profile profile)
{
#ifdef QN_NO_BLOCKING
    (void)graph;
    if (profile) return qn_cli_fail(QN_ERR_UNSUPPORTED, "this build has no blocking calls to read timestamps with");
    return qn_cli_ok();
#else
    return qn_graph_set_profile(graph, profile);
#endif
}
