/* unroll.c - WGSL loops whose ends are constants, written out.
 *
 * A compiler that checks indices clamps those that it does not know. Drivers then no longer see through loops over
 * arrays of an invocation, and keep these in memory instead of registers: kernels run up to four times as long (figures
 * in docs/performance.md). Where loops are written out the indices are constants, and nothing is clamped. */
#include "ops/unroll.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct span {
    const char *at, *end;
} span;

typedef struct constant {
    span name;
    int64_t value;
} constant;

typedef struct unroller {
    uint32_t most;
    const qn_allocator *allocator;
    constant *constants; /* the innermost last */
    size_t n_constants, capacity;
    qn_text out;
} unroller;

/* ---- words ----------------------------------------------------------------------------------- */

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Past spaces and comments. */
static const char *skip(const char *at, const char *end)
{
    while (at < end) {
        if (isspace((unsigned char)*at)) {
            at++;
        } else if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
            while (at < end && *at != '\n') at++;
        } else {
            return at;
        }
    }
    return end;
}

/* The word or the one other character after what skip leaves out; empty at the end. */
static span token(const char *at, const char *end)
{
    span t = {skip(at, end), NULL};
    t.end = t.at;
    while (t.end < end && in_word(*t.end)) t.end++;
    if (t.end == t.at && t.at < end) t.end++;
    return t;
}

static bool same(span a, span b)
{
    return a.end - a.at == b.end - b.at && memcmp(a.at, b.at, (size_t)(a.end - a.at)) == 0;
}

static bool is(span s, const char *text)
{
    return same(s, (span){text, text + strlen(text)});
}

/* Takes a token if it is the wanted one. */
static bool take(span *rest, const char *wanted)
{
    span t = token(rest->at, rest->end);
    if (!is(t, wanted)) return false;
    rest->at = t.end;
    return true;
}

/* Up to the token `stop` outside of brackets, which is taken too; false if there is none. */
static bool take_until(span *rest, const char *stop, span *taken)
{
    int depth = 0;
    for (span t = token(rest->at, rest->end); t.at < rest->end; t = token(t.end, rest->end)) {
        if (depth == 0 && is(t, stop)) {
            *taken = (span){rest->at, t.at};
            rest->at = t.end;
            return true;
        }
        if (strchr("({[", *t.at)) depth++;
        if (strchr(")}]", *t.at) && --depth < 0) return false;
    }
    return false;
}

/* ---- constant expressions -------------------------------------------------------------------- */

typedef struct reader {
    const unroller *u;
    span rest;
    bool known; /* false once there was something that has no value here */
} reader;

static int64_t read_expression(reader *r, int least_rank);

static int64_t unknown(reader *r)
{
    r->known = false;
    return 0;
}

static int64_t read_call(reader *r, span name)
{
    int64_t v[4] = {0};
    int n = 0;
    do v[n++] = read_expression(r, 1);
    while (n < 4 && r->known && take(&r->rest, ","));
    if (!take(&r->rest, ")")) return unknown(r);
    if (n == 3 && is(name, "select")) return v[2] ? v[1] : v[0];
    if (n == 2 && is(name, "min")) return v[0] < v[1] ? v[0] : v[1];
    if (n == 2 && is(name, "max")) return v[0] > v[1] ? v[0] : v[1];
    return unknown(r);
}

static int64_t read_number(reader *r, span t)
{
    char text[16], *end;
    size_t n = (size_t)(t.end - t.at);
    if (n >= sizeof text || (t.end < r->rest.end && *t.end == '.')) return unknown(r);
    memcpy(text, t.at, n);
    text[n] = 0;
    int64_t value = strtoll(text, &end, 0);
    return *end == 0 || strcmp(end, "u") == 0 ? value : unknown(r);
}

static int64_t read_primary(reader *r)
{
    span t = token(r->rest.at, r->rest.end);
    if (t.at == r->rest.end) return unknown(r);
    r->rest.at = t.end;
    if (is(t, "!")) return !read_primary(r);
    if (is(t, "(")) {
        int64_t value = read_expression(r, 1);
        return take(&r->rest, ")") ? value : unknown(r);
    }
    if (isdigit((unsigned char)*t.at)) return read_number(r, t);
    if (take(&r->rest, "(")) return read_call(r, t);
    if (is(t, "true") || is(t, "false")) return is(t, "true");
    for (size_t i = r->u->n_constants; i-- > 0;)
        if (same(r->u->constants[i].name, t)) return r->u->constants[i].value;
    return unknown(r);
}

typedef enum operation {
    OR = 1,
    AND,
    EQUAL,
    UNEQUAL,
    AT_MOST,
    AT_LEAST,
    LESS,
    MORE,
    ADD,
    SUBTRACT,
    TIMES,
    OVER,
    REST
} operation;

/* Longer ones first. */
static const struct {
    char text[3];
    int rank;
    operation operation;
} operators[] = {
    {"||", 1, OR},       {"&&", 2, AND}, {"==", 3, EQUAL}, {"!=", 3, UNEQUAL}, {"<=", 3, AT_MOST},
    {">=", 3, AT_LEAST}, {"<", 3, LESS}, {">", 3, MORE},   {"+", 4, ADD},      {"-", 4, SUBTRACT},
    {"*", 5, TIMES},     {"/", 5, OVER}, {"%", 5, REST},
};

/* Of u32: what is not one has no value here. */
static int64_t apply(reader *r, operation o, int64_t a, int64_t b)
{
    int64_t value = 0;
    switch (o) {
    case OR:
        return a || b;
    case AND:
        return a && b;
    case EQUAL:
        return a == b;
    case UNEQUAL:
        return a != b;
    case AT_MOST:
        return a <= b;
    case AT_LEAST:
        return a >= b;
    case LESS:
        return a < b;
    case MORE:
        return a > b;
    case ADD:
        value = a + b;
        break;
    case SUBTRACT:
        value = a - b;
        break;
    case TIMES:
        value = a * b;
        break;
    case OVER:
        value = b ? a / b : -1;
        break;
    case REST:
        value = b ? a % b : -1;
        break;
    }
    return value >= 0 && value <= UINT32_MAX ? value : unknown(r);
}

/* The operator that comes next, if it binds at least so closely: its position in the table, or -1. */
static int next_operator(const reader *r, int least_rank)
{
    const char *at = skip(r->rest.at, r->rest.end);
    size_t left = (size_t)(r->rest.end - at);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        size_t n = strlen(operators[i].text);
        if (n <= left && memcmp(at, operators[i].text, n) == 0) return operators[i].rank < least_rank ? -1 : (int)i;
    }
    return -1;
}

static int64_t read_expression(reader *r, int least_rank)
{
    int64_t left = read_primary(r);
    for (int i; r->known && (i = next_operator(r, least_rank)) >= 0;) {
        r->rest.at = skip(r->rest.at, r->rest.end) + strlen(operators[i].text);
        left = apply(r, operators[i].operation, left, read_expression(r, operators[i].rank + 1));
    }
    return left;
}

/* The value of the whole text; false: it has none that is known here. */
static bool evaluate(const unroller *u, span text, int64_t *value)
{
    reader r = {.u = u, .rest = text, .known = true};
    *value = read_expression(&r, 1);
    return r.known && skip(r.rest.at, r.rest.end) == r.rest.end;
}

static void push(unroller *u, span name, int64_t value)
{
    void *p = u->constants;
    qn_status s = qn_grow(u->allocator, &p, &u->capacity, u->n_constants + 1, sizeof(constant), "constants");
    u->constants = p;
    if (s.code == QN_OK)
        u->constants[u->n_constants++] = (constant){name, value};
    else
        u->out.status = s;
}

/* The constants of the module that have a value: `const NAME: type = expression;` outside of functions. */
static void read_constants(unroller *u, span text)
{
    int depth = 0;
    for (span t = token(text.at, text.end); t.at < text.end; t = token(t.end, text.end)) {
        depth += *t.at == '{' ? 1 : *t.at == '}' ? -1 : 0;
        if (depth != 0 || !is(t, "const")) continue;
        span name = token(t.end, text.end), rest = {name.end, text.end}, type, expression;
        int64_t value;
        if (take_until(&rest, "=", &type) && take_until(&rest, ";", &expression) && evaluate(u, expression, &value))
            push(u, name, value);
    }
}

/* ---- loops ----------------------------------------------------------------------------------- */

typedef struct loop {
    span name, start, body;
    int64_t first, end, step;
} loop;

/* Loops that may be left early, and those with a barrier of their own: these go over tiles, whose indices need not be
 * constants, and written out take a driver seconds to compile. */
static bool stays(span body)
{
    static const char *const words[] = {"break", "continue", "workgroupBarrier", "storageBarrier"};
    for (span t = token(body.at, body.end); t.at < body.end; t = token(t.end, body.end))
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (is(t, words[i])) return true;
    return false;
}

/* Reads what follows `for`; on success *rest is behind the loop. */
static bool read_loop(const unroller *u, span *rest, loop *l)
{
    span r = *rest, type, end, step, name;
    if (!take(&r, "(") || !take(&r, "var")) return false;
    l->name = token(r.at, r.end);
    r.at = l->name.end;
    if (!take_until(&r, "=", &type) || !take_until(&r, ";", &l->start)) return false;
    name = token(r.at, r.end);
    r.at = name.end;
    if (!same(name, l->name) || !take(&r, "<") || !take_until(&r, ";", &end)) return false;
    name = token(r.at, r.end);
    r.at = name.end;
    if (!same(name, l->name) || !take(&r, "+") || !take_until(&r, ")", &step)) return false;
    if (!take(&r, "{") || !take_until(&r, "}", &l->body)) return false;
    l->step = 1;
    if (*step.at == '=') {
        step.at++;
        if (!evaluate(u, step, &l->step)) return false;
    } else if (!is(step, "+")) {
        return false;
    }
    if (!evaluate(u, l->start, &l->first) || !evaluate(u, end, &l->end) || l->step <= 0 || stays(l->body)) return false;
    *rest = r;
    return l->end - l->first <= l->step * (int64_t)u->most;
}

static void write_out(unroller *u, span text);

static void write_loop(unroller *u, const loop *l)
{
    const size_t outer = u->n_constants;
    for (int64_t i = l->first; u->out.status.code == QN_OK && i < l->end; i += l->step) {
        qn_text_puts(&u->out, "{ const ");
        qn_text_put(&u->out, l->name.at, (size_t)(l->name.end - l->name.at));
        qn_text_puts(&u->out, " = ");
        qn_text_put(&u->out, l->start.at, (size_t)(l->start.end - l->start.at)); /* which brings the type */
        qn_text_printf(&u->out, " + %lld;", (long long)(i - l->first));
        push(u, l->name, i);
        write_out(u, l->body);
        u->n_constants = outer;
        qn_text_puts(&u->out, "}\n");
    }
}

static void write_out(unroller *u, span text)
{
    const char *done = text.at;
    for (span t = token(text.at, text.end); t.at < text.end; t = token(t.end, text.end)) {
        loop l;
        span rest = {t.end, text.end};
        if (!is(t, "for") || !read_loop(u, &rest, &l)) continue;
        qn_text_put(&u->out, done, (size_t)(t.at - done));
        write_loop(u, &l);
        done = t.end = rest.at;
    }
    qn_text_put(&u->out, done, (size_t)(text.end - done));
}

qn_status qn_unroll(const qn_allocator *a, const char *wgsl, uint32_t most, char **unrolled)
{
    unroller u = {.most = most, .allocator = a, .out = {.allocator = a}};
    span text = {wgsl, wgsl + strlen(wgsl)};
    read_constants(&u, text);
    write_out(&u, text);
    qn_free(a, u.constants);
    return qn_text_take(&u.out, unrolled);
}
