/* common.h - what the commands share: failures, the engine's options, model files, waiting, printing. */
#ifndef QN_APP_COMMON_H
#define QN_APP_COMMON_H

#include "args.h"
#include "platform.h"
#include "quern.h"
#include "quern_graph.h"
#include "quern_program.h"

#include <jansson.h>

/* ---- failures -------------------------------------------------------------------------------- */

qn_status qn_cli_ok(void);
qn_status qn_cli_fail(qn_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "where: " in front of a failure's text. */
qn_status qn_cli_in(qn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints a failure as "quern COMMAND: text"; returns the exit code: 0 for success, 1 for a failure. */
int qn_cli_exit(const char *command, qn_status status);
/* malloc of count * size zeroed bytes; ends the program with a message when there is no memory. */
void *qn_cli_alloc(size_t count, size_t size);
void *qn_cli_resize(void *ptr, size_t count, size_t size);

#define QN_CLI_TRY(expr)                                                                                               \
    do {                                                                                                               \
        qn_status qn_cli_try_ = (expr);                                                                                \
        if (qn_cli_try_.code != QN_OK) return qn_cli_try_;                                                             \
    } while (0)

/* ---- engine and model file ------------------------------------------------------------------- */

typedef struct qn_cli_engine {
    const char *device;
    bool baseline;
    uint64_t gpu_memory;
    const char *route;
    bool trace;
    const char *dump_shaders;
    uint32_t threads;
    bool checked, no_cache, timings;
    double start; /* of the command */
} qn_cli_engine;

enum { QN_CLI_ENGINE_OPTIONS = 11 };
/* The options that every command with a device has. */
void qn_cli_engine_table(qn_cli_engine *e, qn_cli_option table[QN_CLI_ENGINE_OPTIONS]);
/* Opens the engine with a logger to stderr; refuses unknown --route names, listing the known ones. */
qn_status qn_cli_open_engine(const qn_cli_engine *e, qn_engine **engine);
/* With --timings: the seconds since the command began, and what is done by now. */
void qn_cli_mark(const qn_cli_engine *e, const char *what);

/* path, or the built-in model when path is NULL. */
qn_status qn_cli_model_path(const char *path, char *out, size_t capacity);

/* The file's tokenizer and info without a GPU. Close with qn_inspect_close. */
qn_status qn_cli_inspect(const char *path, qn_inspection **inspection, char *out_path, size_t capacity);
/* Its tokenizer, or a failure that says why there is none. */
qn_status qn_cli_tokenizer(const qn_inspection *inspection, const char *path, const qn_tokenizer **tokenizer);

/* Waits for the GPU, also in builds without the library's blocking helpers. */
qn_status qn_cli_open_device(const qn_engine_options *options, qn_engine **engine);
qn_status qn_cli_wait(qn_session *session, qn_step_state *state);
qn_status qn_cli_execute(qn_graph *graph);
qn_status qn_cli_execute_program(qn_program *program, uint32_t method, const qn_program_tensor *inputs,
                                 uint32_t n_inputs);
/* Waits for a call that was submitted. */
qn_status qn_cli_finish_program(qn_program *program);
/* qn_graph_set_profile; QN_ERR_UNSUPPORTED also in such builds, where nothing reads the timestamps. */
qn_status qn_cli_profile(qn_graph *graph, qn_profile profile);

/* ---- text ------------------------------------------------------------------------------------ */

/* A whole file ("-": standard input). The caller frees *data, which ends with a zero byte not counted. */
qn_status qn_cli_read_file(const char *path, char **data, size_t *size);
/* Text to ids; the caller frees *tokens. */
qn_status qn_cli_encode(const qn_tokenizer *t, const char *text, size_t size, bool bos, bool special, int32_t **tokens,
                        size_t *n);
/* Appends the ids of "1, 2 3" (commas, spaces, newlines) to a list that the caller frees. */
qn_status qn_cli_read_ids(const char *text, int32_t **tokens, size_t *n);

/* ---- printing -------------------------------------------------------------------------------- */

/* "25.1 MiB"; returns text. */
const char *qn_cli_bytes(uint64_t bytes, char text[32]);
/* "[1,5,96]"; returns text. */
const char *qn_cli_shape(const qn_shape *shape, char text[128]);
/* A bar on stderr when that is a terminal: done of total; total 0 ends it. */
void qn_cli_progress(const char *what, uint64_t done, uint64_t total);
/* Prints an object on stdout and frees it. */
void qn_cli_print_json(json_t *object);
/* null for what JSON cannot hold. */
json_t *qn_cli_json_real(double value);
/* A string; invalid UTF-8 becomes U+FFFD. */
json_t *qn_cli_json_text(const char *text, size_t n);
json_t *qn_cli_json_u64(uint64_t value);

int qn_cli_compare_doubles(const void *a, const void *b); /* for qsort */
/* Median of n sorted values. */
double qn_cli_median(const double *sorted, size_t n);

#endif
