/* common.c - failures, memory, files, printing. */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- failures -------------------------------------------------------------------------------- */

qn_status qn_cli_ok(void)
{
    qn_status s;
    s.code = QN_OK;
    s.text[0] = '\0';
    return s;
}

qn_status qn_cli_fail(qn_code code, const char *format, ...)
{
    qn_status s = {.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(s.text, sizeof s.text, format, args);
    va_end(args);
    return s;
}

qn_status qn_cli_in(qn_status status, const char *format, ...)
{
    if (status.code == QN_OK) return status;
    qn_status s = {.code = status.code};
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s.text, sizeof s.text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof s.text) snprintf(s.text + n, sizeof s.text - (size_t)n, ": %s", status.text);
    return s;
}

int qn_cli_exit(const char *command, qn_status status)
{
    if (status.code == QN_OK) return 0;
    fflush(stdout); /* keeps the order on a terminal */
    fprintf(stderr, "quern %s: %s\n", command, status.text[0] ? status.text : qn_code_name(status.code));
    return 1;
}

static void *or_die(void *p)
{
    if (!p) {
        fprintf(stderr, "quern: out of memory\n");
        exit(1);
    }
    return p;
}

void *qn_cli_alloc(size_t count, size_t size)
{
    return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *qn_cli_resize(void *ptr, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) or_die(NULL);
    size_t bytes = count * size;
    return or_die(realloc(ptr, bytes ? bytes : 1));
}

/* ---- text ------------------------------------------------------------------------------------ */

qn_status qn_cli_read_file(const char *path, char **data, size_t *size)
{
    bool from_stdin = strcmp(path, "-") == 0;
    const char *name = from_stdin ? "standard input" : path;
    if (!from_stdin && qn_cli_is_folder(path)) return qn_cli_fail(QN_ERR_IO, "%s is a folder, not a file", path);
    FILE *f = from_stdin ? stdin : fopen(path, "rb");
    if (!f) return qn_cli_fail(QN_ERR_IO, "cannot open %s: %s", name, strerror(errno));
    size_t n = 0, capacity = 1 << 16;
    char *text = qn_cli_alloc(capacity, 1);
    for (;;) {
        n += fread(text + n, 1, capacity - 1 - n, f);
        if (n < capacity - 1) break;
        capacity *= 2;
        text = qn_cli_resize(text, capacity, 1);
    }
    bool failed = ferror(f) != 0;
    if (!from_stdin) fclose(f);
    if (failed) {
        free(text);
        return qn_cli_fail(QN_ERR_IO, "cannot read %s: %s", name, strerror(errno));
    }
    text[n] = '\0';
    *data = text;
    *size = n;
    return qn_cli_ok();
}

qn_status qn_cli_encode(const qn_tokenizer *t, const char *text, size_t size, bool bos, bool special, int32_t **tokens,
                        size_t *n)
{
    const qn_encode_options options = {.add_bos = bos, .parse_special = special};
    size_t capacity = size + 1;
    *n = 0;
    *tokens = qn_cli_alloc(capacity, sizeof **tokens);
    qn_status s = qn_tokenizer_encode(t, text, size, &options, *tokens, capacity, n);
    if (s.code == QN_ERR_ARGUMENT && *n > capacity) { /* a tokenizer that adds to the text */
        capacity = *n;
        *tokens = qn_cli_resize(*tokens, capacity, sizeof **tokens);
        s = qn_tokenizer_encode(t, text, size, &options, *tokens, capacity, n);
    }
    if (s.code == QN_OK) return s;
    free(*tokens);
    *tokens = NULL;
    return s;
}

qn_status qn_cli_read_ids(const char *text, int32_t **tokens, size_t *n)
{
    size_t capacity = 0;
    for (const char *p = text; *p;) {
        size_t gap = strspn(p, ", \t\r\n");
        p += gap;
        if (!*p) break;
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX || (*end && !strchr(", \t\r\n", *end)))
            return qn_cli_fail(QN_ERR_ARGUMENT, "\"%.*s\" is not a token id", (int)strcspn(p, ", \t\r\n"), p);
        if (*n >= capacity) {
            capacity = capacity ? 2 * capacity : *n + 64;
            *tokens = qn_cli_resize(*tokens, capacity, sizeof **tokens);
        }
        (*tokens)[(*n)++] = (int32_t)v;
        p = end;
    }
    return qn_cli_ok();
}

/* ---- printing -------------------------------------------------------------------------------- */

const char *qn_cli_bytes(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 1024 && unit < 4; unit++) v /= 1024;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return text;
}

const char *qn_cli_shape(const qn_shape *shape, char text[128])
{
    size_t at = (size_t)snprintf(text, 128, "[");
    for (uint32_t i = 0; i < shape->rank && i < QN_MAX_RANK; i++)
        at += (size_t)snprintf(text + at, 128 - at, i ? ",%u" : "%u", shape->dim[i]);
    snprintf(text + at, 128 - at, "]");
    return text;
}

void qn_cli_progress(const char *what, uint64_t done, uint64_t total)
{
    enum { WIDTH = 40 };
    if (!qn_cli_is_terminal(stderr)) return;
    if (total == 0) {
        fprintf(stderr, "\r\033[K"); /* wipes the bar */
        return;
    }
    int full = (int)((double)done / (double)total * WIDTH);
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3.0f %%", what, bar, 100.0 * (double)done / (double)total);
    fflush(stderr);
}

void qn_cli_print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(object);
}

json_t *qn_cli_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *qn_cli_json_u64(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *qn_cli_json_text(const char *text, size_t n)
{
    qn_utf8_hold hold = {0};
    char *clean = qn_cli_alloc(3 * (n + 4) + 12, 1);
    size_t size = n ? qn_utf8_push(&hold, text, n, clean) : 0;
    size += qn_utf8_push(&hold, NULL, 0, clean + size);
    json_t *string = json_stringn(clean, size);
    free(clean);
    return string ? string : json_null();
}

int qn_cli_compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double qn_cli_median(const double *sorted, size_t n)
{
    if (n == 0) return 0;
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}
