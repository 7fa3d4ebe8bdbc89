/* json_value.c - values of a JSON text, with errors that name them. */
#include "text/json.h"

#include <string.h>

bool qn_json_is(qn_json_text s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.text, text, s.n) == 0;
}

qn_status qn_json_parse(const char *data, size_t size, json_t **root)
{
    json_error_t error;
    *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
    if (!*root && json_error_code(&error) == json_error_out_of_memory) return qn_fail(QN_ERR_MEMORY, "no memory");
    if (!*root)
        return qn_fail(QN_ERR_FORMAT, "line %d, column %d: %s", error.line, error.column,
                       qn_show(error.text, sizeof error.text).text);
    if (json_is_object(*root)) return qn_ok();
    json_decref(*root);
    *root = NULL;
    return qn_fail(QN_ERR_FORMAT, "not an object");
}

const json_t *qn_json_get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

qn_status qn_json_string(const json_t *object, const char *key, qn_json_text *out)
{
    const json_t *value = qn_json_get(object, key);
    if (!json_is_string(value)) return qn_fail(QN_ERR_FORMAT, "%s is %s", key, value ? "not a string" : "missing");
    *out = (qn_json_text){json_string_value(value), json_string_length(value)};
    return qn_ok();
}

qn_status qn_json_bool(const json_t *object, const char *key, bool missing, bool *out)
{
    const json_t *value = qn_json_get(object, key);
    if (value && !json_is_boolean(value)) return qn_fail(QN_ERR_FORMAT, "%s is neither true nor false", key);
    *out = value ? json_is_true(value) : missing;
    return qn_ok();
}

qn_status qn_json_array(const json_t *object, const char *key, const json_t **out)
{
    *out = qn_json_get(object, key);
    if (*out && !json_is_array(*out)) return qn_fail(QN_ERR_FORMAT, "%s is not an array", key);
    return qn_ok();
}

qn_status qn_json_id(const json_t *value, int32_t *id)
{
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || n >= INT32_MAX) return qn_fail(QN_ERR_FORMAT, "the id is not a number from 0 to %d", INT32_MAX - 1);
    *id = (int32_t)n;
    return qn_ok();
}
