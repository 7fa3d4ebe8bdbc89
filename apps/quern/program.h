/* program.h - what the commands ask of programs (.pte), and programs as language models. */
#ifndef QN_APP_PROGRAM_H
#define QN_APP_PROGRAM_H

#include "lm.h"

/* Whether a file's contents begin as a program's; false also when it cannot be read. */
bool qn_cli_is_program(const char *path);
/* A program without a device; data: its .ptd files. */
qn_status qn_cli_read_program(const char *path, const qn_cli_texts *data, qn_program **program);
/* "f32 up to [1,63]", or the number; returns text. */
const char *qn_cli_value_text(const qn_value_info *value, char text[160]);

enum { QN_CLI_MAX_ENDS = 32 };

/* How a method is used as a language model. */
typedef struct qn_cli_lm_facts {
    uint32_t method;
    uint32_t tokens, position, logits; /* which inputs, which output                              */
    qn_scalar token_type, position_type;
    bool position_each; /* a position for every token, not only of the first              */
    bool logits_each;   /* logits of every token, not only of the last                    */
    uint32_t n_vocab;
    uint32_t chunk; /* most tokens of a call                                          */
    uint32_t ctx;   /* positions, as the program says; 0: it does not                 */
    uint32_t n_ends;
    int32_t ends[QN_CLI_MAX_ENDS]; /* tokens that end a text, as the program says */
} qn_cli_lm_facts;

/* QN_ERR_UNSUPPORTED says what was found instead of a language model, and what is needed. */
qn_status qn_cli_program_facts(const qn_program *program, qn_cli_lm_facts *facts);

/* The number that a method without inputs gives: get_max_seq_len and the like; i: which of its outputs. */
bool qn_cli_program_constant(const qn_program *program, const char *method, uint32_t i, double *number);

/* Fill lm from its path; build once lm->engine is open. */
qn_status qn_cli_read_program_lm(const qn_cli_lm_options *o, qn_cli_lm *lm);
qn_status qn_cli_build_program_lm(qn_cli_lm *lm);

extern const qn_cli_source qn_cli_program_source;

#endif
