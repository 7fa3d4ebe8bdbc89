/* args.c - reading options, printing help. */
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 30 };

int qn_cli_misuse(const char *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "quern %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nsee: quern %s --help\n", command);
    return 2;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_option(const qn_cli_option *o)
{
    char left[80];
    char letter[5] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    int n = snprintf(left, sizeof left, "  %s--%s%s%s", letter, o->name, o->argument ? " " : "",
                     o->argument ? o->argument : "");
    if (n < HELP_COLUMN)
        printf("%-*s", HELP_COLUMN, left);
    else
        printf("%s\n%*s", left, HELP_COLUMN, "");
    for (const char *p = o->help; *p; p++) {
        putchar(*p);
        if (*p == '\n') printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

static void print_help(const qn_cli_usage *usage)
{
    printf("usage: quern %s %s\n\n%s\n\noptions:\n", usage->command, usage->synopsis, usage->about);
    for (int t = 0; t < QN_CLI_MAX_TABLES && usage->tables[t]; t++)
        for (const qn_cli_option *o = usage->tables[t]; o->name; o++) print_option(o);
    const qn_cli_option help = {.name = "help", .letter = 'h', .help = "this text"};
    print_option(&help);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A whole number without sign or spaces; *end is left behind it. */
static bool read_number(const char *text, uint64_t *out, const char **end)
{
    if (!isdigit((unsigned char)*text)) return false;
    char *stop;
    errno = 0;
    unsigned long long v = strtoull(text, &stop, 10);
    if (errno != 0) return false;
    *out = v;
    *end = stop;
    return true;
}

static bool read_u64(const char *text, uint64_t *out)
{
    const char *end;
    return read_number(text, out, &end) && *end == '\0';
}

static bool read_size(const char *text, uint64_t *out)
{
    const char *end;
    uint64_t v;
    if (!read_number(text, &v, &end)) return false;
    unsigned shift = 0;
    if (*end) {
        static const char suffixes[] = "KMGT";
        const char *at = strchr(suffixes, toupper((unsigned char)*end));
        if (!at) return false;
        shift = 10 * (unsigned)(at - suffixes + 1);
        end++;
        if (*end == 'i') end++; /* "4GiB" and "4GB" are what people write too */
        if (*end == 'B') end++;
        if (*end) return false;
    }
    if (v > UINT64_MAX >> shift) return false;
    *out = v << shift;
    return true;
}

static bool read_float(const char *text, float *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || isspace((unsigned char)*text)) return false;
    *out = (float)v;
    return true;
}

static bool read_list(const char *text, qn_cli_list *list)
{
    qn_cli_list l = {0};
    for (;;) {
        uint64_t v;
        const char *end;
        if (l.n == QN_CLI_MAX_LIST || !read_number(text, &v, &end) || v > UINT32_MAX) return false;
        l.value[l.n++] = (uint32_t)v;
        if (*end == '\0') break;
        if (*end != ',') return false;
        text = end + 1;
    }
    *list = l;
    return true;
}

/* Place of text among choices with '|' between them. */
static bool read_choice(const char *choices, const char *text, uint32_t *out)
{
    size_t n = strlen(text);
    for (uint32_t i = 0;; i++) {
        size_t length = strcspn(choices, "|");
        if (length == n && memcmp(choices, text, n) == 0) {
            *out = i;
            return true;
        }
        if (!choices[length]) return false;
        choices += length + 1;
    }
}

static bool in_range(const qn_cli_option *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

static const char *add_text(qn_cli_texts *texts, const char *text)
{
    if (texts->n == QN_CLI_MAX_LIST) return "is one too many";
    texts->value[texts->n++] = text;
    return NULL;
}

/* NULL, or what is wrong with the value. */
static const char *set_value(const qn_cli_option *o, const char *text)
{
    uint64_t n;
    float f;
    qn_cli_list list;
    switch (o->kind) {
    case QN_CLI_FLAG:
        *(bool *)o->target = true;
        return NULL;
    case QN_CLI_TEXT:
        *(const char **)o->target = text;
        return NULL;
    case QN_CLI_U32:
        if (!read_u64(text, &n) || n > UINT32_MAX) return "is not a whole number";
        if (!in_range(o, (double)n)) return "is out of range";
        *(uint32_t *)o->target = (uint32_t)n;
        return NULL;
    case QN_CLI_U64:
        if (!read_u64(text, &n)) return "is not a whole number";
        *(uint64_t *)o->target = n;
        return NULL;
    case QN_CLI_SIZE:
        if (!read_size(text, &n)) return "is not a size such as 512M or 4G";
        *(uint64_t *)o->target = n;
        return NULL;
    case QN_CLI_FLOAT:
        if (!read_float(text, &f)) return "is not a number";
        if (!in_range(o, (double)f)) return "is out of range";
        *(float *)o->target = f;
        return NULL;
    case QN_CLI_LIST:
        if (!read_list(text, &list)) return "is not a list of whole numbers such as 128,512";
        for (uint32_t i = 0; i < list.n; i++)
            if (!in_range(o, (double)list.value[i])) return "is out of range";
        *(qn_cli_list *)o->target = list;
        return NULL;
    case QN_CLI_TEXTS:
        return add_text(o->target, text);
    case QN_CLI_CHOICE:
        return read_choice(o->argument, text, o->target) ? NULL : "is none of the choices";
    }
    return "has an unknown kind";
}

/* ---- parsing --------------------------------------------------------------------------------- */

static const qn_cli_option *find(const qn_cli_usage *usage, const char *name, size_t n, char letter)
{
    for (int t = 0; t < QN_CLI_MAX_TABLES && usage->tables[t]; t++)
        for (const qn_cli_option *o = usage->tables[t]; o->name; o++)
            if (name ? strlen(o->name) == n && memcmp(o->name, name, n) == 0 : o->letter == letter) return o;
    return NULL;
}

/* Handles the option at argv[*i]; moves *i over its value. Returns an exit code, or -1 to go on. */
static int take_option(const qn_cli_usage *usage, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *value = NULL;
    const qn_cli_option *o;
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        print_help(usage);
        return 0;
    }
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        o = find(usage, arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2), 0);
        if (equals) value = equals + 1;
    } else {
        o = find(usage, NULL, 0, arg[1]);
        if (arg[2]) value = arg + 2; /* -n20 */
    }
    if (!o) return qn_cli_misuse(usage->command, "unknown option %s", arg);
    if (o->kind == QN_CLI_FLAG) {
        if (value) return qn_cli_misuse(usage->command, "%s: --%s takes no value", arg, o->name);
    } else if (!value) {
        if (*i + 1 >= argc) return qn_cli_misuse(usage->command, "--%s needs a value (%s)", o->name, o->argument);
        value = argv[++*i];
    }
    const char *wrong = set_value(o, value);
    if (!wrong) return -1;
    if (o->kind == QN_CLI_CHOICE)
        return qn_cli_misuse(usage->command, "--%s: \"%s\" is none of %s", o->name, value, o->argument);
    if (o->min != 0 || o->max != 0)
        return qn_cli_misuse(usage->command, "--%s: \"%s\" %s (%g to %g)", o->name, value, wrong, o->min, o->max);
    return qn_cli_misuse(usage->command, "--%s: \"%s\" %s", o->name, value, wrong);
}

bool qn_cli_parse(const qn_cli_usage *usage, int argc, char **argv, qn_cli_rest *rest, int *exit_code)
{
    bool options = true;
    *rest = (qn_cli_rest){0, argv + 1};
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (!options || argv[i][0] != '-' || argv[i][1] == '\0') {
            rest->items[rest->n++] = argv[i]; /* never in front of i: earlier slots are read already */
            continue;
        }
        int code = take_option(usage, argc, argv, &i);
        if (code >= 0) {
            *exit_code = code;
            return false;
        }
    }
    if (usage->max_rest >= 0 && rest->n > usage->max_rest) {
        *exit_code = qn_cli_misuse(usage->command, "unexpected argument \"%s\"", rest->items[usage->max_rest]);
        return false;
    }
    return true;
}
