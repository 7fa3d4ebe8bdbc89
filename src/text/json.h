/* json.h - tokenizer.json: reading values, and the parts of a tokenizer that are made of components. Errors say where:
 * "pre_tokenizer.pretokenizers[1]: ...". Only the json_*.c files and tokenizer_json.c know jansson. */
#ifndef QN_TEXT_JSON_H
#define QN_TEXT_JSON_H

#include <jansson.h>

#include "text/internal.h"

typedef struct qn_json_text {
    const char *text; /* zero-terminated, valid UTF-8 */
    size_t n;
} qn_json_text;

bool qn_json_is(qn_json_text s, const char *text);

/* Parses a whole text, which must be an object. Close with json_decref. */
qn_status qn_json_parse(const char *data, size_t size, json_t **root);
/* A member; NULL when it is missing or null. */
const json_t *qn_json_get(const json_t *object, const char *key);
qn_status qn_json_string(const json_t *object, const char *key, qn_json_text *out); /* must be there */
qn_status qn_json_bool(const json_t *object, const char *key, bool missing, bool *out);
/* An array, or NULL when it is missing or null. */
qn_status qn_json_array(const json_t *object, const char *key, const json_t **out);
/* A token id: 0 to 2^31 - 2. */
qn_status qn_json_id(const json_t *value, int32_t *id);

/* ---- components ------------------------------------------------------------------------------ */

/* One step of what makes text of tokens again. */
typedef enum qn_decode_kind {
    QN_DECODE_REPLACE = 0,   /* `from` becomes `to`                      */
    QN_DECODE_BYTE_FALLBACK, /* <0x0A> becomes its byte                  */
    QN_DECODE_STRIP,         /* `from`, up to n times, at start and end  */
} qn_decode_kind;

typedef struct qn_decode_step {
    qn_decode_kind kind;
    qn_json_text from, to;
    uint32_t start, end;
} qn_decode_step;

enum { QN_DECODE_MAX_STEPS = 8 };

/* What the components say; texts are the JSON's own. */
typedef struct qn_components {
    bool byte_level; /* the vocabulary is written in the byte-level alphabet */
    bool byte_level_decoder, fused;
    size_t n_decode;
    qn_decode_step decode[QN_DECODE_MAX_STEPS];
    uint32_t strip_start;
    const json_t *begin_ids; /* the ids that the post-processor puts before a text, or NULL */
} qn_components;

/* Each reads one member of the file into t or c. */
qn_status qn_json_normalizer(const json_t *root, qn_normalizer *normalizer);
qn_status qn_json_pre_tokenizer(const json_t *root, qn_splitter *splitter, qn_components *c);
qn_status qn_json_decoder(const json_t *root, qn_components *c);
qn_status qn_json_post_processor(const json_t *root, qn_components *c);

/* The bytes that a token's text decodes to, into `out` (4 * n + 64 bytes of room). QN_ERR_UNSUPPORTED when they do not
 * fit. */
qn_status qn_components_decode(const qn_components *c, const char *text, size_t n, char *out, size_t *n_out);

#endif
