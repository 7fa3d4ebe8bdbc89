/* args.h - command line options from tables; --help is printed from the same tables. */
#ifndef QN_APP_ARGS_H
#define QN_APP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum qn_cli_kind {
    QN_CLI_FLAG = 1, /* bool: set to true                                    */
    QN_CLI_TEXT,     /* const char *                                         */
    QN_CLI_U32,      /* uint32_t                                             */
    QN_CLI_U64,      /* uint64_t                                             */
    QN_CLI_FLOAT,    /* float                                                */
    QN_CLI_SIZE,     /* uint64_t: bytes, with a suffix K, M, G or T (1024s)  */
    QN_CLI_LIST,     /* qn_cli_list: numbers with commas                     */
    QN_CLI_TEXTS,    /* qn_cli_texts: one more with each time it is given    */
    QN_CLI_CHOICE,   /* uint32_t: place of the value in `argument`, "a|b|c"  */
} qn_cli_kind;

enum { QN_CLI_MAX_LIST = 16, QN_CLI_MAX_TABLES = 4 };

typedef struct qn_cli_list {
    uint32_t n;
    uint32_t value[QN_CLI_MAX_LIST];
} qn_cli_list;

typedef struct qn_cli_texts {
    uint32_t n;
    const char *value[QN_CLI_MAX_LIST];
} qn_cli_texts;

typedef struct qn_cli_option {
    const char *name; /* without the dashes; NULL ends a table            */
    char letter;      /* short form, 0: none                              */
    qn_cli_kind kind;
    const char *argument; /* what --help calls the value; NULL for flags      */
    const char *help;     /* '\n' begins a new line                           */
    void *target;         /* holds the default before parsing                 */
    double min, max;      /* allowed numbers; both 0: any that fits the type  */
} qn_cli_option;

typedef struct qn_cli_usage {
    const char *command;  /* "run"                                            */
    const char *synopsis; /* behind the command: "[-m FILE] [options]"        */
    const char *about;    /* paragraph under the synopsis                     */
    const qn_cli_option *tables[QN_CLI_MAX_TABLES];
    int max_rest; /* most arguments that are no options; -1: any      */
} qn_cli_usage;

typedef struct qn_cli_rest {
    int n;
    char **items; /* inside argv */
} qn_cli_rest;

/* Reads argv[1..] into the targets; what is no option is collected in rest (argv is reordered). False when the
 * command is over: --help was printed (*exit_code 0), or an option is wrong (message on stderr, *exit_code 2). */
bool qn_cli_parse(const qn_cli_usage *usage, int argc, char **argv, qn_cli_rest *rest, int *exit_code);

/* A wrong use found by the command itself: message, a pointer to --help; returns exit code 2. */
int qn_cli_misuse(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
