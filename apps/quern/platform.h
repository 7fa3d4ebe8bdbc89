/* platform.h - what the command line needs from the operating system. platform.c is written for POSIX; another
 * system brings another file. */
#ifndef QN_APP_PLATFORM_H
#define QN_APP_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Before anything else: keeps drivers from printing what no user should see. */
void qn_cli_quiet_drivers(void);

double qn_cli_seconds(void); /* monotonic clock                              */
void qn_cli_pause(double seconds);
uint64_t qn_cli_random_seed(void); /* 32 bits: short enough to type again          */
uint64_t qn_cli_peak_memory(void); /* bytes of host memory at the peak; 0: unknown */
bool qn_cli_is_terminal(FILE *file);
/* The folder of the running program, without a slash at the end; false when it cannot be found. */
bool qn_cli_program_folder(char *path, size_t capacity);

bool qn_cli_is_folder(const char *path);
bool qn_cli_is_file(const char *path);
uint64_t qn_cli_file_bytes(const char *path); /* 0 when there is none */
/* Makes a folder (its parent must be there); true when it is there afterwards. */
bool qn_cli_make_folder(const char *path);
/* The user's folder for what Quern keeps between runs, made where it is missing; false when there is none. */
bool qn_cli_user_cache(char *path, size_t capacity);
/* Sorted names of what is in a folder, without those that begin with a dot; NULL on failure. Free with
 * qn_cli_free_names. */
char **qn_cli_list_folder(const char *path, size_t *n);
void qn_cli_free_names(char **names, size_t n);

/* The first Ctrl-C after arming sets a flag; the one after it ends the program as usual. */
void qn_cli_arm_interrupt(void);
bool qn_cli_interrupted(void);

#endif
