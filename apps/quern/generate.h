/* generate.h - the token loop that `run` and `chat` share, and the sampling options. */
#ifndef QN_APP_GENERATE_H
#define QN_APP_GENERATE_H

#include "lm.h"

typedef struct qn_cli_sampling {
    float temperature, top_p, min_p, repeat_penalty;
    uint32_t top_k, repeat_window;
    uint64_t seed; /* UINT64_MAX: choose one */
} qn_cli_sampling;

enum { QN_CLI_SAMPLING_OPTIONS = 8 };
/* Sets the defaults and the options that change them. */
void qn_cli_sampling_table(qn_cli_sampling *s, qn_cli_option table[QN_CLI_SAMPLING_OPTIONS]);
typedef enum qn_cli_stop {
    QN_CLI_STOP_LIMIT = 0, /* n_max tokens           */
    QN_CLI_STOP_END,       /* the model ended        */
    QN_CLI_STOP_CONTEXT,   /* no room for more       */
    QN_CLI_STOP_INTERRUPT, /* Ctrl-C                 */
} qn_cli_stop;

/* Why a generation stopped, in words. */
const char *qn_cli_stop_name(qn_cli_stop stop);

typedef struct qn_cli_generation {
    qn_cli_lm *lm;
    qn_sampler_options sampling;
    qn_sampler *sampler;           /* of the same options, for models that give logits only */
    uint64_t n_drawn;              /* random numbers that the GPU's sampler has taken       */
    const qn_tokenizer *tokenizer; /* NULL: the tokens' ids are printed */
    uint32_t n_max;                /* 0: no limit of its own            */
    /* Results: */
    size_t n_prompt, n_reused, n_generated, n_steps; /* n_steps: tokens that went through the model one by one */
    double prompt_seconds, step_seconds;
    qn_cli_stop stop;
    bool at_line_start; /* the last byte on stdout was a newline */
    int32_t *made;      /* the generated tokens [n_generated]; freed by qn_cli_end_generation */
    size_t made_capacity;
} qn_cli_generation;

/* Chooses a seed if none was given (it stays in s->seed) and sets the generation's sampling. */
qn_status qn_cli_open_sampler(qn_cli_sampling *s, qn_cli_generation *g);
/* Runs the model over tokens (keeping what it already holds of them), then generates to stdout until
 * something stops it. Ctrl-C stops it after the current token. */
qn_status qn_cli_generate(qn_cli_generation *g, const int32_t *tokens, size_t n);

void qn_cli_end_generation(qn_cli_generation *g);

/* Speeds and memory, on stderr; as one JSON object if json. */
void qn_cli_print_stats(const qn_cli_generation *g, const qn_cli_sampling *s, bool json);

#endif
