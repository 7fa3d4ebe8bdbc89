/* main.c - the program `quern`: a table of commands. */
#include "commands.h"
#include "platform.h"
#include "quern.h"

#include <stdio.h>
#include <string.h>

typedef struct command {
    const char *name;
    int (*function)(int argc, char **argv);
    const char *help;
} command;

static const command commands[] = {
    {"run", qn_cli_run, "continue a text"},
    {"chat", qn_cli_chat, "talk with a model that has a chat template"},
    {"info", qn_cli_info, "what a model file holds and what memory it will take"},
    {"devices", qn_cli_devices, "list the GPUs and which kernels they would use"},
    {"tokenize", qn_cli_tokenize, "text to token ids"},
    {"detokenize", qn_cli_detokenize, "token ids to text"},
    {"perplexity", qn_cli_perplexity, "how well a model predicts a text"},
    {"logits", qn_cli_logits, "write a model's raw output for given tokens"},
    {"check", qn_cli_check, "run case folders and compare with their expected numbers"},
    {"tune", qn_cli_tune, "measure which kernels are the fastest on this device, and keep the choice"},
    {"bench", qn_cli_bench, "measure speed: of a model, or of one operation"},
};

static void print_help(void)
{
    printf("usage: quern COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        printf("  %-12s%s\n", commands[i].name, commands[i].help);
    printf("\n"
           "quern COMMAND --help describes a command; quern --version prints the version.\n"
           "Without -m a command uses the built-in model, which continues stories.\n");
}

static int dispatch(int argc, char **argv)
{
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("quern %s\n", qn_version());
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].function(argc - 1, argv + 1);
    fprintf(stderr, "quern: unknown command \"%s\"\nsee: quern --help\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    qn_cli_quiet_drivers();
    int code = 0;
    if (argc < 2)
        print_help();
    else
        code = dispatch(argc, argv);
    /* A full disk shows here at the latest: no success without the output. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
        fprintf(stderr, "quern: cannot write to standard output\n");
        return 1;
    }
    return code;
}
