/* check.h - what the two kinds of cases of `quern check` share. */
#ifndef QN_APP_CHECK_H
#define QN_APP_CHECK_H

#include "case.h"

enum { MAX_KERNELS = 16 };

typedef struct check_options {
    const char *out;
    bool json;
    uint32_t precision; /* qn_precision */
    qn_cli_engine engine;
} check_options;

/* One case on its way through. */
typedef struct check {
    const check_options *options;
    qn_engine *engine;
    char name[256]; /* the folder's own name */
    qn_case c;
    qn_case_graph g;
    qn_case_result result;
    const char *kernels[MAX_KERNELS]; /* rows that were dispatched, each once */
    size_t n_kernels;
    bool route_used;
    char note[QN_STATUS_TEXT];    /* how a case that must be refused was refused */
    float *before[QN_CASE_SLOTS]; /* states after the call before this one, as far as they were read */
    bool states_skipped;
    bool runs_here;   /* a program that the case expects to be refused */
    bool contradicts; /* a refused call's states_after differ from the states before it */
} check;

/* Notes the kernel rows of the graph's last plan. */
void qn_check_kernels(check *k, const qn_graph *graph);
/* Writes an array as DIR/<case>/c<call>.<name>.bin, as the case files are. */
qn_status qn_check_write(const check *k, size_t call, const char *name, const void *data, size_t bytes);
/* Whether a failure says what is wrong with what was asked, and not that a device or memory failed. */
bool qn_check_refusal(const qn_status *s);

/* check_program.c: a folder with a program. */
qn_status qn_check_program(check *k, const char *folder, const char *path);

#endif
