/* case.c - reading case folders. The files are hostile until checked. */
#include "case.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON fields ----------------------------------------------------------------------------- */

static qn_status bad(const char *format, const char *a, const char *b)
{
    return qn_cli_fail(QN_ERR_FORMAT, format, a, b);
}

/* A name that may become part of a file name: letters, digits, and inside it also _ - and dots. */
static qn_status read_name(const json_t *object, const char *key, char out[QN_CASE_NAME], const char *where)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text) return bad("%s: \"%s\" is missing or no string", where, key);
    size_t n = strlen(text);
    bool fine = n > 0 && n < QN_CASE_NAME && text[0] != '.';
    for (size_t i = 0; fine && i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
    }
    if (!fine) return bad("%s: \"%s\" is not a plain name", where, key);
    memcpy(out, text, n + 1);
    return qn_cli_ok();
}

static qn_status read_shape(const json_t *list, qn_shape *shape, const char *where)
{
    if (!json_is_array(list)) return bad("%s: the shape is missing or no list%s", where, "");
    if (json_array_size(list) > QN_MAX_RANK) return bad("%s: the shape has more than %s dimensions", where, "8");
    *shape = (qn_shape){.rank = (uint32_t)json_array_size(list)};
    for (uint32_t i = 0; i < shape->rank; i++) {
        const json_t *d = json_array_get(list, i);
        json_int_t v = json_integer_value(d);
        if (!json_is_integer(d) || v < 0 || v > INT32_MAX)
            return bad("%s: a dimension of the shape is no number from 0 to 2147483647%s", where, "");
        shape->dim[i] = (uint32_t)v;
    }
    return qn_cli_ok();
}

static qn_status read_expect(const json_t *object, bool *reject, const char *where)
{
    const char *text = json_string_value(json_object_get(object, "expect"));
    if (text && strcmp(text, "ok") == 0)
        *reject = false;
    else if (text && strcmp(text, "reject") == 0)
        *reject = true;
    else
        return bad("%s: \"expect\" is neither \"ok\" nor \"reject\"%s", where, "");
    return qn_cli_ok();
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [QN_CASE_F32] = {"f32", 4}, [QN_CASE_I32] = {"i32", 4},   [QN_CASE_U8] = {"u8", 1},  [QN_CASE_I8] = {"i8", 1},
    [QN_CASE_I64] = {"i64", 8}, [QN_CASE_BOOL] = {"bool", 1}, [QN_CASE_F64] = {"f64", 8}};

const char *qn_case_dtype_name(qn_case_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t qn_case_dtype_bytes(qn_case_dtype dtype)
{
    return dtypes[dtype].bytes;
}

/* One of the types up to `last`. */
static qn_status read_dtype(const json_t *object, qn_case_dtype last, qn_case_dtype *dtype, const char *where)
{
    const char *text = json_string_value(json_object_get(object, "dtype"));
    for (int i = QN_CASE_F32; text && i <= (int)last; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *dtype = (qn_case_dtype)i;
            return qn_cli_ok();
        }
    return bad("%s: \"dtype\" %s is not supported here", where, text ? text : "(missing)");
}

/* Reads exactly `bytes` bytes: a shorter or longer file is an error. */
static qn_status read_data(const char *path, size_t bytes, void **data)
{
    FILE *f = fopen(path, "rb");
    if (!f) return qn_cli_fail(QN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    long size = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1; /* before memory is taken for it */
    qn_status s = qn_cli_ok();
    if (size < 0 || (unsigned long)size != bytes)
        s = qn_cli_fail(QN_ERR_FORMAT, "%s has %ld bytes, its shape and dtype ask for %zu", path, size, bytes);
    if (s.code == QN_OK) {
        rewind(f);
        *data = qn_cli_alloc(bytes, 1);
        if (fread(*data, 1, bytes, f) != bytes) s = qn_cli_fail(QN_ERR_IO, "cannot read %s", path);
    }
    fclose(f);
    return s;
}

/* Shape, type (one up to `last`) and data of an array that has its name. */
static qn_status read_contents(const char *folder, const json_t *object, qn_case_dtype last, const char *where,
                               qn_case_array *a)
{
    char file[QN_CASE_NAME], path[4096];
    QN_CLI_TRY(read_dtype(object, last, &a->dtype, where));
    QN_CLI_TRY(read_shape(json_object_get(object, "shape"), &a->shape, where));
    QN_CLI_TRY(read_name(object, "file", file, where));
    size_t width = qn_case_dtype_bytes(a->dtype), count = 1;
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        if (a->shape.dim[i] && count > LONG_MAX / 8 / a->shape.dim[i])
            return bad("%s: the shape has too many elements%s", where, "");
        count *= a->shape.dim[i];
    }
    a->count = count;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, file) >= sizeof path)
        return bad("%s: the path of %s is too long", where, file);
    return qn_cli_in(read_data(path, count * width, &a->data), "%s", where);
}

static qn_status read_array(const char *folder, const json_t *object, const char *list, qn_case_array *a)
{
    char where[2 * QN_CASE_NAME];
    QN_CLI_TRY(read_name(object, "name", a->name, list));
    snprintf(where, sizeof where, "%s: %s", list, a->name);
    return read_contents(folder, object, QN_CASE_U8, where, a);
}

static qn_status read_arrays(const char *folder, const json_t *object, const char *key, qn_case_arrays *arrays)
{
    const json_t *list = json_object_get(object, key);
    if (!json_is_array(list)) return bad("\"%s\" is missing or no list%s", key, "");
    size_t n = json_array_size(list);
    arrays->items = qn_cli_alloc(n, sizeof *arrays->items);
    for (; arrays->n < n; arrays->n++) {
        qn_status s = read_array(folder, json_array_get(list, arrays->n), key, &arrays->items[arrays->n]);
        if (s.code != QN_OK) {
            arrays->n++; /* its data may be there already */
            return s;
        }
        for (size_t i = 0; i < arrays->n; i++)
            if (strcmp(arrays->items[i].name, arrays->items[arrays->n].name) == 0) {
                arrays->n++;
                return bad("%s: %s appears twice", key, arrays->items[i].name);
            }
    }
    return qn_cli_ok();
}

static void free_arrays(qn_case_arrays *arrays)
{
    for (size_t i = 0; i < arrays->n; i++) free(arrays->items[i].data);
    free(arrays->items);
}

const qn_case_array *qn_case_find(const qn_case_arrays *arrays, const char *name)
{
    for (size_t i = 0; i < arrays->n; i++)
        if (strcmp(arrays->items[i].name, name) == 0) return &arrays->items[i];
    return NULL;
}

/* ---- the case -------------------------------------------------------------------------------- */

static qn_status read_max_shapes(const json_t *root, qn_case *c)
{
    const json_t *shapes = json_object_get(root, "max_shapes");
    if (!json_is_object(shapes)) return bad("\"%s\" is missing or no object%s", "max_shapes", "");
    c->max_shapes.items = qn_cli_alloc(json_object_size(shapes), sizeof *c->max_shapes.items);
    const char *key;
    const json_t *shape;
    json_object_foreach((json_t *)(uintptr_t)shapes, key, shape) /* the macro reads only */
    {
        qn_case_array *a = &c->max_shapes.items[c->max_shapes.n];
        if (strlen(key) >= QN_CASE_NAME) return bad("max_shapes: the name %s is too long%s", key, "");
        memcpy(a->name, key, strlen(key) + 1);
        char where[2 * QN_CASE_NAME];
        snprintf(where, sizeof where, "max_shapes: %s", key);
        QN_CLI_TRY(read_shape(shape, &a->shape, where));
        c->max_shapes.n++;
    }
    return qn_cli_ok();
}

static qn_status read_integers(const json_t *object, qn_case_call *call)
{
    const json_t *integers = json_object_get(object, "integers");
    if (!json_is_object(integers)) return bad("\"%s\" is missing or no object%s", "integers", "");
    call->integers = qn_cli_alloc(json_object_size(integers), sizeof *call->integers);
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)integers, key, value)
    {
        qn_case_integer *i = &call->integers[call->n_integers];
        if (strlen(key) >= QN_CASE_NAME) return bad("integers: the name %s is too long%s", key, "");
        if (!json_is_integer(value)) return bad("integers: %s is no whole number%s", key, "");
        memcpy(i->name, key, strlen(key) + 1);
        i->value = json_integer_value(value);
        call->n_integers++;
    }
    return qn_cli_ok();
}

static qn_status read_call(const char *folder, const json_t *object, qn_case_call *call)
{
    QN_CLI_TRY(read_expect(object, &call->reject, "the call"));
    QN_CLI_TRY(read_integers(object, call));
    QN_CLI_TRY(read_arrays(folder, object, "inputs", &call->inputs));
    QN_CLI_TRY(read_arrays(folder, object, "outputs", &call->outputs));
    return read_arrays(folder, object, "states_after", &call->states_after);
}

static qn_status read_tolerance(const json_t *root, qn_case *c)
{
    const json_t *t = json_object_get(root, "tolerance");
    const json_t *abs = json_object_get(t, "abs"), *rel = json_object_get(t, "rel");
    const char *rule = json_string_value(json_object_get(t, "rule"));
    if (!json_is_number(abs) || !json_is_number(rel) || json_number_value(abs) < 0 || json_number_value(rel) < 0)
        return bad("\"%s\" has no numbers abs and rel of at least 0%s", "tolerance", "");
    if (rule && strcmp(rule, "abs or rel") != 0 && strcmp(rule, "bit-exact") != 0)
        return bad("tolerance: the rule \"%s\" is not known%s", rule, "");
    c->abs_tolerance = json_number_value(abs);
    c->rel_tolerance = json_number_value(rel);
    return qn_cli_ok();
}

static qn_status read_case(const char *folder, const json_t *root, qn_case *c)
{
    char kind[QN_CASE_NAME];
    if (!json_is_object(root)) return bad("%s%s", "it is no object", "");
    QN_CLI_TRY(read_name(root, "kind", kind, "the case"));
    if (strcmp(kind, "op") != 0) return bad("the kind \"%s\" is not supported by this version%s", kind, "");
    QN_CLI_TRY(read_name(root, "op", c->op, "the case"));
    c->attrs = json_object_get(root, "attrs");
    if (!json_is_object(c->attrs)) return bad("\"%s\" is missing or no object%s", "attrs", "");
    QN_CLI_TRY(read_tolerance(root, c));
    QN_CLI_TRY(read_expect(root, &c->reject, "the case"));
    QN_CLI_TRY(read_arrays(folder, root, "weights", &c->weights));
    QN_CLI_TRY(read_arrays(folder, root, "states", &c->states));
    QN_CLI_TRY(read_max_shapes(root, c));
    const json_t *calls = json_object_get(root, "calls");
    if (!json_is_array(calls)) return bad("\"%s\" is missing or no list%s", "calls", "");
    size_t n = json_array_size(calls);
    if (n == 0 && !c->reject) return bad("there are no calls%s%s", "", "");
    c->calls = qn_cli_alloc(n, sizeof *c->calls);
    while (c->n_calls < n) {
        size_t i = c->n_calls++;
        QN_CLI_TRY(qn_cli_in(read_call(folder, json_array_get(calls, i), &c->calls[i]), "call %zu", i));
    }
    return qn_cli_ok();
}

/* ---- the case of a program ------------------------------------------------------------------- */

static qn_status read_program_arrays(const char *folder, const json_t *object, const char *key, qn_case_arrays *arrays)
{
    const json_t *list = json_object_get(object, key);
    if (!json_is_array(list)) return bad("\"%s\" is missing or no list%s", key, "");
    size_t n = json_array_size(list);
    arrays->items = qn_cli_alloc(n, sizeof *arrays->items);
    while (arrays->n < n) {
        const json_t *item = json_array_get(list, arrays->n);
        qn_case_array *a = &arrays->items[arrays->n];
        snprintf(a->name, sizeof a->name, "%s%zu", strcmp(key, "inputs") == 0 ? "in" : "out", arrays->n);
        arrays->n++;
        a->ignored = json_is_false(json_object_get(item, "compare"));
        if (!a->ignored) QN_CLI_TRY(read_contents(folder, item, QN_CASE_F64, a->name, a));
    }
    return qn_cli_ok();
}

static qn_status read_program_calls(const char *folder, const json_t *list, bool reject, qn_case_call **calls,
                                    size_t *n_calls)
{
    size_t n = json_array_size(list);
    *calls = qn_cli_alloc(n, sizeof **calls);
    while (*n_calls < n) {
        size_t i = (*n_calls)++;
        const json_t *item = json_array_get(list, i);
        (*calls)[i].reject = reject;
        QN_CLI_TRY(qn_cli_in(read_program_arrays(folder, item, "inputs", &(*calls)[i].inputs), "call %zu", i));
        if (!reject)
            QN_CLI_TRY(qn_cli_in(read_program_arrays(folder, item, "outputs", &(*calls)[i].outputs), "call %zu", i));
    }
    return qn_cli_ok();
}

static qn_status read_data_files(const char *folder, const json_t *list, qn_case *c)
{
    size_t n = json_array_size(list);
    c->data_files = qn_cli_alloc(n, sizeof *c->data_files);
    for (; c->n_data_files < n; c->n_data_files++) {
        const char *name = json_string_value(json_array_get(list, c->n_data_files));
        if (!name || strchr(name, '/')) return bad("\"data_files\" are no names of files%s%s", "", "");
        size_t size = strlen(folder) + strlen(name) + 2;
        c->data_files[c->n_data_files] = qn_cli_alloc(size, 1);
        snprintf(c->data_files[c->n_data_files], size, "%s/%s", folder, name);
    }
    return qn_cli_ok();
}

static qn_status read_program_case(const char *folder, json_t *root, qn_case *c)
{
    if (!json_is_object(root)) return bad("%s%s", "it is no object", "");
    QN_CLI_TRY(read_data_files(folder, json_object_get(root, "data_files"), c));
    QN_CLI_TRY(read_tolerance(root, c));
    if (json_object_get(root, "expect")) QN_CLI_TRY(read_expect(root, &c->reject, "the case"));
    if (c->reject) return qn_cli_ok(); /* nothing is computed */
    const json_t *calls = json_object_get(root, "calls");
    json_t *one = NULL; /* without calls, the case itself is the only one */
    if (!calls) calls = one = json_pack("[O]", root);
    qn_status s = json_is_array(calls) && json_array_size(calls)
                      ? read_program_calls(folder, calls, false, &c->calls, &c->n_calls)
                      : bad("there are no calls%s%s", "", "");
    json_decref(one);
    QN_CLI_TRY(s);
    return qn_cli_in(
        read_program_calls(folder, json_object_get(root, "error_calls"), true, &c->error_calls, &c->n_error_calls),
        "error_calls");
}

/* ---- loading --------------------------------------------------------------------------------- */

static qn_status open_case(const char *folder, qn_case *c)
{
    *c = (qn_case){.root = NULL};
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/case.json", folder) >= sizeof path)
        return qn_cli_fail(QN_ERR_ARGUMENT, "the path is too long");
    if (!qn_cli_is_file(path)) return qn_cli_fail(QN_ERR_IO, "there is no file %s", path);
    json_error_t error;
    c->root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!c->root) return qn_cli_fail(QN_ERR_FORMAT, "case.json: line %d: %s", error.line, error.text);
    return qn_cli_ok();
}

qn_status qn_case_load(const char *folder, qn_case *c)
{
    QN_CLI_TRY(open_case(folder, c));
    return qn_cli_in(read_case(folder, c->root, c), "case.json");
}

qn_status qn_case_load_program(const char *folder, qn_case *c)
{
    QN_CLI_TRY(open_case(folder, c));
    return qn_cli_in(read_program_case(folder, c->root, c), "case.json");
}

static void free_calls(qn_case_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free_arrays(&calls[i].inputs);
        free_arrays(&calls[i].outputs);
        free_arrays(&calls[i].states_after);
        free(calls[i].integers);
    }
    free(calls);
}

void qn_case_free(qn_case *c)
{
    free_arrays(&c->weights);
    free_arrays(&c->states);
    free_arrays(&c->max_shapes);
    free_calls(c->calls, c->n_calls);
    free_calls(c->error_calls, c->n_error_calls);
    for (size_t i = 0; i < c->n_data_files; i++) free(c->data_files[i]);
    free(c->data_files);
    json_decref(c->root);
    *c = (qn_case){.root = NULL};
}
