/* platform.c - POSIX. */
#include "platform.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

/* Mesa's device-select layer, part of every Vulkan instance, asks a Wayland display which GPU is its own, and
 * the Wayland library complains on stderr when XDG_RUNTIME_DIR is not an absolute path. The layer only reorders
 * the adapters, which Quern does by itself, so it is switched off where it would complain. */
void qn_cli_quiet_drivers(void)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");
    if (!folder || folder[0] != '/') setenv("NODEVICE_SELECT", "1", 0);
}

double qn_cli_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void qn_cli_pause(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

uint64_t qn_cli_random_seed(void)
{
    uint32_t seed = 0;
    FILE *f = fopen("/dev/urandom", "rb");
    if (f) {
        size_t n = fread(&seed, sizeof seed, 1, f);
        fclose(f);
        if (n == 1) return seed;
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint32_t)t.tv_nsec ^ (uint32_t)t.tv_sec ^ ((uint32_t)getpid() << 16);
}

uint64_t qn_cli_peak_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) return 0;
#if defined(__APPLE__)
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

bool qn_cli_is_terminal(FILE *file)
{
    return isatty(fileno(file)) == 1;
}

bool qn_cli_program_folder(char *path, size_t capacity)
{
#if defined(__APPLE__)
    uint32_t size = (uint32_t)capacity;
    if (_NSGetExecutablePath(path, &size) != 0) return false;
#else
    ssize_t n = readlink("/proc/self/exe", path, capacity - 1);
    if (n <= 0 || (size_t)n >= capacity - 1) return false;
    path[n] = '\0';
#endif
    char *slash = strrchr(path, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

bool qn_cli_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

bool qn_cli_is_file(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

uint64_t qn_cli_file_bytes(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && s.st_size > 0 ? (uint64_t)s.st_size : 0;
}

bool qn_cli_make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || qn_cli_is_folder(path);
}

bool qn_cli_user_cache(char *path, size_t capacity)
{
    const char *folder = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *below = "";
    if (!folder || folder[0] != '/') {
        if (!home || home[0] != '/') return false;
        folder = home;
        below = "/.cache";
    }
    int n = snprintf(path, capacity, "%s%s", folder, below);
    if (n < 0 || (size_t)n + sizeof "/quern" > capacity || !qn_cli_make_folder(path)) return false;
    memcpy(path + n, "/quern", sizeof "/quern");
    return qn_cli_make_folder(path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **qn_cli_list_folder(const char *path, size_t *n)
{
    DIR *dir = opendir(path);
    if (!dir) return NULL;
    size_t capacity = 16;
    char **names = malloc(capacity * sizeof *names);
    *n = 0;
    for (struct dirent *e; names && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        if (*n == capacity) {
            char **grown = realloc(names, 2 * capacity * sizeof *names);
            if (!grown) break;
            names = grown;
            capacity *= 2;
        }
        names[*n] = strdup(e->d_name);
        if (!names[*n]) break;
        (*n)++;
    }
    closedir(dir);
    if (names) qsort(names, *n, sizeof *names, compare_names);
    return names;
}

void qn_cli_free_names(char **names, size_t n)
{
    for (size_t i = 0; names && i < n; i++) free(names[i]);
    free(names);
}

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted; /* a signal handler can reach nothing else */

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

void qn_cli_arm_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}; /* once */
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
}

bool qn_cli_interrupted(void)
{
    return interrupted != 0;
}
