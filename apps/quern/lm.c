/* lm.c - opening a language model of either kind; a session as a source of logits. */
#include "lm.h"
#include "load.h"
#include "program.h"

#include <string.h>

const char *const qn_cli_precision_auto =
    "exact: activations, keys and values as f32; auto: kernels may\nround them (auto); programs are always exact";
const char *const qn_cli_precision_exact =
    "exact: activations, keys and values as f32; auto: kernels may\nround them (exact); programs are always exact";

const char *const qn_cli_model_help = "GGUF file (default: the built-in model)";
const char *const qn_cli_ctx_help =
    "context in tokens (default: the model's own up to 4096,\nand what fits in --gpu-memory)";

qn_cli_option qn_cli_model_option(const char **target, const char *help)
{
    return (qn_cli_option){
        .name = "model", .letter = 'm', .kind = QN_CLI_TEXT, .argument = "FILE", .target = target, .help = help};
}

qn_cli_option qn_cli_data_option(qn_cli_texts *target)
{
    return (qn_cli_option){.name = "data",
                           .kind = QN_CLI_TEXTS,
                           .argument = "FILE",
                           .target = target,
                           .help = ".ptd file that holds data of the program; may be repeated"};
}

qn_cli_option qn_cli_ctx_option(uint32_t *target, const char *help)
{
    return (qn_cli_option){
        .name = "ctx", .letter = 'c', .kind = QN_CLI_U32, .argument = "N", .target = target, .help = help};
}

qn_cli_option qn_cli_kv_type_option(uint32_t *target)
{
    return (qn_cli_option){.name = "kv-type",
                           .kind = QN_CLI_CHOICE,
                           .argument = "auto|f32|f16|q8_0", /* qn_kv_type in order */
                           .target = target,
                           .help = "how keys and values are kept (auto: f16 with precision auto on a GPU,\nelse f32)"};
}

void qn_cli_lm_table(qn_cli_lm_options *o, qn_cli_option table[QN_CLI_LM_OPTIONS])
{
    const qn_cli_option options[QN_CLI_LM_OPTIONS] = {
        qn_cli_model_option(&o->model, "GGUF file, or program of ExecuTorch (.pte)\n(default: the built-in model)"),
        qn_cli_data_option(&o->data),
        {.name = "precision",
         .kind = QN_CLI_CHOICE,
         .argument = "exact|auto",
         .target = &o->precision,
         .help = o->precision == QN_PRECISION_AUTO ? qn_cli_precision_auto : qn_cli_precision_exact},
        qn_cli_kv_type_option(&o->kv_type),
        {.name = "tokenizer",
         .kind = QN_CLI_TEXT,
         .argument = "FILE",
         .target = &o->tokenizer,
         .help = "tokenizer.json of Hugging Face or tokenizer.model of\nLlama 3; a program needs one, a GGUF file has "
                 "its own"},
        {.name = NULL},
    };
    memcpy(table, options, sizeof options);
    if (o->no_tokenizer) table[4] = table[5];
}

/* ---- a session ------------------------------------------------------------------------------- */

static qn_status session_set_tokens(qn_cli_lm *lm, const int32_t *tokens, size_t n, qn_logits_mode mode,
                                    size_t *n_reused)
{
    return qn_session_set_tokens(lm->session, tokens, n, mode, n_reused);
}

static qn_status session_append(qn_cli_lm *lm, int32_t token)
{
    return qn_session_append(lm->session, token);
}

static qn_status session_wait(qn_cli_lm *lm, qn_step_state *state)
{
    QN_CLI_TRY(qn_cli_wait(lm->session, state));
    if (!lm->computed && *state == QN_STEP_READY) qn_cli_mark(lm->options, "the first logits are there");
    lm->computed |= *state == QN_STEP_READY;
    return qn_cli_ok();
}

static const float *session_logits(qn_cli_lm *lm, size_t *n_rows, size_t *first_row)
{
    return qn_session_logits(lm->session, n_rows, first_row);
}

static const int32_t *session_tokens(qn_cli_lm *lm, size_t *n)
{
    return qn_session_tokens(lm->session, n);
}

static qn_graph *session_graph(qn_cli_lm *lm, uint32_t i)
{
    return i == 0 ? qn_session_graph(lm->session) : NULL;
}

static bool session_is_end(const qn_cli_lm *lm, int32_t token)
{
    return lm->tokenizer && qn_tokenizer_is_end(lm->tokenizer, token);
}

static void close_session(qn_cli_lm *lm)
{
    if (lm->session) qn_session_close(lm->session);
    if (lm->model) qn_model_close(lm->model);
}

static const qn_cli_source session_source = {.set_tokens = session_set_tokens,
                                             .append = session_append,
                                             .wait = session_wait,
                                             .logits = session_logits,
                                             .tokens = session_tokens,
                                             .graph = session_graph,
                                             .is_end = session_is_end,
                                             .close = close_session};

/* ---- opening --------------------------------------------------------------------------------- */

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    qn_cli_progress("loading", done, total);
    return !qn_cli_interrupted();
}

static qn_status open_engine(const qn_cli_engine *e, qn_cli_lm *lm)
{
    double start = qn_cli_seconds();
    QN_CLI_TRY(qn_cli_open_engine(e, &lm->engine));
    lm->device_seconds = qn_cli_seconds() - start;
    return qn_cli_ok();
}

static qn_status open_gguf(const qn_cli_engine *e, const qn_cli_lm_options *o, qn_cli_lm *lm)
{
    lm->source = &session_source;
    if (o->data.n) return qn_cli_fail(QN_ERR_ARGUMENT, "--data: %s is no program", lm->path);
    QN_CLI_TRY(open_engine(e, lm));
    double start = qn_cli_seconds();
    const qn_model_options options = {.no_tokenizer = o->no_tokenizer || lm->own, .progress = show_loading};
    qn_status s = qn_cli_load(lm->engine, lm->path, &options, &lm->model);
    qn_cli_progress("", 0, 0);
    QN_CLI_TRY(s);
    qn_cli_mark(e, "the weights are loaded");
    lm->load_seconds = qn_cli_seconds() - start;
    const char *why = NULL;
    if (!lm->own) lm->tokenizer = qn_model_tokenizer(lm->model, &why);
    snprintf(lm->no_tokenizer, sizeof lm->no_tokenizer, "%s has no tokenizer that this version reads: %s", lm->path,
             why ? why : "no reason given");
    const qn_model_info *info = qn_model_get_info(lm->model);
    lm->n_vocab = info->n_vocab;
    lm->file_bytes = info->file_bytes;
    const qn_session_options session = {
        .ctx = o->ctx, .chunk = o->chunk, .precision = (qn_precision)o->precision, .kv_type = (qn_kv_type)o->kv_type};
    QN_CLI_TRY(qn_session_open(lm->model, &session, &lm->session));
    qn_cli_mark(e, "the session is open");
    lm->precision = session.precision;
    lm->ctx = qn_session_ctx(lm->session);
    lm->chunk = qn_session_chunk(lm->session);
    return qn_cli_ok();
}

/* A program is read before a device is opened: most reasons against it show there. */
static qn_status open_program(const qn_cli_engine *e, const qn_cli_lm_options *o, qn_cli_lm *lm)
{
    lm->source = &qn_cli_program_source;
    snprintf(lm->no_tokenizer, sizeof lm->no_tokenizer,
             "%s is a program without a tokenizer: name one with --tokenizer", lm->path);
    double start = qn_cli_seconds();
    QN_CLI_TRY(qn_cli_read_program_lm(o, lm));
    lm->load_seconds = qn_cli_seconds() - start;
    QN_CLI_TRY(open_engine(e, lm));
    start = qn_cli_seconds();
    QN_CLI_TRY(qn_cli_build_program_lm(lm));
    lm->load_seconds += qn_cli_seconds() - start;
    return qn_cli_ok();
}

qn_status qn_cli_open_lm(const qn_cli_engine *e, const qn_cli_lm_options *o, qn_cli_lm *lm)
{
    *lm = (qn_cli_lm){.options = e};
    QN_CLI_TRY(qn_cli_model_path(o->model, lm->path, sizeof lm->path));
    if (!qn_cli_is_file(lm->path)) { /* before a device is opened for nothing */
        if (qn_cli_is_folder(lm->path)) return qn_cli_fail(QN_ERR_IO, "%s is a folder, not a model file", lm->path);
        return qn_cli_fail(QN_ERR_IO, "there is no file %s", lm->path);
    }
    if (o->tokenizer) QN_CLI_TRY(qn_tokenizer_open_file(NULL, o->tokenizer, &lm->own));
    lm->tokenizer = lm->own;
    return qn_cli_is_program(lm->path) ? open_program(e, o, lm) : open_gguf(e, o, lm);
}

void qn_cli_close_lm(qn_cli_lm *lm)
{
    if (lm->source) lm->source->close(lm);
    qn_tokenizer_close(lm->own);
    qn_engine_close(lm->engine);
    *lm = (qn_cli_lm){.engine = NULL};
}

const char *qn_cli_lm_precision(const qn_cli_lm *lm)
{
    return lm->precision == QN_PRECISION_AUTO ? "auto" : "exact";
}

qn_status qn_cli_lm_tokenizer(const qn_cli_lm *lm, const char *instead, const qn_tokenizer **tokenizer)
{
    *tokenizer = lm->tokenizer;
    if (*tokenizer) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_UNSUPPORTED, "%s%s", lm->no_tokenizer, instead);
}

qn_status qn_cli_lm_finish(qn_cli_lm *lm, bool *done)
{
    qn_step_state state = QN_STEP_PENDING;
    if (done) *done = false;
    while (state != QN_STEP_READY) {
        if (done && qn_cli_interrupted()) return qn_cli_ok();
        QN_CLI_TRY(lm->source->wait(lm, &state));
    }
    if (done) *done = true;
    return qn_cli_ok();
}
