/* commands.h - one function per command: argv[0] is the command's name; returns the exit code. */
#ifndef QN_APP_COMMANDS_H
#define QN_APP_COMMANDS_H

int qn_cli_run(int argc, char **argv);
int qn_cli_chat(int argc, char **argv);
int qn_cli_info(int argc, char **argv);
int qn_cli_devices(int argc, char **argv);
int qn_cli_tokenize(int argc, char **argv);
int qn_cli_detokenize(int argc, char **argv);
int qn_cli_perplexity(int argc, char **argv);
int qn_cli_logits(int argc, char **argv);
int qn_cli_check(int argc, char **argv);
int qn_cli_tune(int argc, char **argv);
int qn_cli_bench(int argc, char **argv);

#endif
