/* normalize.h - normalizers: the steps that rewrite a text before it is split. */
#ifndef QN_TEXT_NORMALIZE_H
#define QN_TEXT_NORMALIZE_H

#include "text/pretokenize.h"

typedef enum qn_normalize_kind {
    QN_NORMALIZE_NFC = 0, /* the forms of Unicode Standard Annex 15 */
    QN_NORMALIZE_NFD,
    QN_NORMALIZE_NFKC,
    QN_NORMALIZE_NFKD,
    QN_NORMALIZE_PREPEND, /* `text` goes before a text that is not empty */
    QN_NORMALIZE_REPLACE, /* each match of `pattern` becomes `text`      */
} qn_normalize_kind;

enum { QN_NORMALIZE_MAX_STEPS = 16, QN_NORMALIZE_MAX_TEXT = 64 };

typedef struct qn_normalize_step {
    qn_normalize_kind kind;
    size_t n_text;
    char text[QN_NORMALIZE_MAX_TEXT];
    qn_pretokenizer *pattern;
} qn_normalize_step;

typedef struct qn_normalizer {
    const qn_allocator *a;
    size_t n;
    qn_normalize_step steps[QN_NORMALIZE_MAX_STEPS];
} qn_normalizer;

void qn_normalizer_close(qn_normalizer *normalizer);

/* Memory kept from text to text; zero to begin with. */
typedef struct qn_normalize_scratch {
    void *text[2];
    size_t capacity[2];
    void *codes, *classes; /* code points of a form, combining marks being sorted */
    size_t n_codes, n_classes;
} qn_normalize_scratch;

/* Runs the steps over valid UTF-8. The result is the text itself or lies in the scratch until the next call.
 * QN_ERR_LIMIT when it is more than 16 times the text. */
qn_status qn_normalize(const qn_normalizer *normalizer, qn_normalize_scratch *scratch, const char *text, size_t n_bytes,
                       const char **out, size_t *n_out);
void qn_normalize_scratch_free(const qn_normalizer *normalizer, qn_normalize_scratch *scratch);

/* One of the four forms, into scratch->text[to]. Only in builds with QN_WITH_UTF8PROC. */
qn_status qn_normalize_form(const qn_allocator *a, qn_normalize_kind form, qn_normalize_scratch *scratch, size_t to,
                            const char *text, size_t n_bytes, size_t *n_out);

#endif
