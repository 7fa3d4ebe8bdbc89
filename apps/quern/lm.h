/* lm.h - a language model to generate with: a GGUF file in a session, or a program (.pte) with a tokenizer beside it.
 * Both are driven through the same functions. */
#ifndef QN_APP_LM_H
#define QN_APP_LM_H

#include "common.h"

/* What the user names; ctx and chunk 0: chosen. */
typedef struct qn_cli_lm_options {
    const char *model;     /* NULL: the built-in one                        */
    const char *tokenizer; /* NULL: the one inside of the model's file      */
    qn_cli_texts data;     /* .ptd files                                    */
    bool no_tokenizer;
    uint32_t ctx, chunk;
    uint32_t precision; /* qn_precision: what the command takes by default */
    uint32_t kv_type;   /* qn_kv_type                                      */
} qn_cli_lm_options;

/* The help of --precision, by what is the default. */
extern const char *const qn_cli_precision_auto, *const qn_cli_precision_exact;

/* Options that more than one command lists by itself; the help of --model and --ctx where nothing else is to be said.
 */
qn_cli_option qn_cli_model_option(const char **target, const char *help);
qn_cli_option qn_cli_data_option(qn_cli_texts *target);
qn_cli_option qn_cli_ctx_option(uint32_t *target, const char *help);
qn_cli_option qn_cli_kv_type_option(uint32_t *target); /* a qn_kv_type */
extern const char *const qn_cli_model_help, *const qn_cli_ctx_help;

enum { QN_CLI_LM_OPTIONS = 6 };
/* --model, --data, --precision, --kv-type and, unless o->no_tokenizer, --tokenizer. */
void qn_cli_lm_table(qn_cli_lm_options *o, qn_cli_option table[QN_CLI_LM_OPTIONS]);

typedef struct qn_cli_lm qn_cli_lm;
typedef struct qn_cli_program_lm qn_cli_program_lm;

/* Where logits come from; meanings and errors are those of the session's functions of the same names. */
typedef struct qn_cli_source {
    qn_status (*set_tokens)(qn_cli_lm *lm, const int32_t *tokens, size_t n, qn_logits_mode mode, size_t *n_reused);
    qn_status (*append)(qn_cli_lm *lm, int32_t token);
    qn_status (*wait)(qn_cli_lm *lm, qn_step_state *state); /* never gives QN_STEP_PENDING */
    const float *(*logits)(qn_cli_lm *lm, size_t *n_rows, size_t *first_row);
    const int32_t *(*tokens)(qn_cli_lm *lm, size_t *n);
    qn_graph *(*graph)(qn_cli_lm *lm, uint32_t i); /* NULL past the last */
    bool (*is_end)(const qn_cli_lm *lm, int32_t token);
    void (*close)(qn_cli_lm *lm);
} qn_cli_source;

struct qn_cli_lm {
    const qn_cli_source *source;
    qn_engine *engine;
    qn_model *model;               /* of a GGUF file */
    qn_session *session;           /* likewise       */
    qn_cli_program_lm *program;    /* of a program   */
    qn_tokenizer *own;             /* from --tokenizer */
    const qn_tokenizer *tokenizer; /* NULL: none; why not is in no_tokenizer */
    char no_tokenizer[256];
    char path[4096];
    const qn_cli_engine *options; /* of the engine */
    bool computed;                /* logits came   */
    double device_seconds, load_seconds;
    uint64_t file_bytes;
    uint32_t n_vocab, chunk;
    qn_precision precision; /* what it really runs with */
    uint32_t ctx;           /* 0: not known (a program that does not say) */
};

/* Opens the engine and the model, with a progress bar when stderr is a terminal. Close in any case. */
qn_status qn_cli_open_lm(const qn_cli_engine *e, const qn_cli_lm_options *o, qn_cli_lm *lm);
void qn_cli_close_lm(qn_cli_lm *lm);

/* "exact" or "auto". */
const char *qn_cli_lm_precision(const qn_cli_lm *lm);
/* lm->tokenizer, or a failure that says why there is none and then `instead`. */
qn_status qn_cli_lm_tokenizer(const qn_cli_lm *lm, const char *instead, const qn_tokenizer **tokenizer);
/* Waits until all queued tokens are done; stops early, with *done false, after Ctrl-C (done may be NULL). */
qn_status qn_cli_lm_finish(qn_cli_lm *lm, bool *done);

#endif
