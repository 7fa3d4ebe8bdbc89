/* status.h - making and passing on qn_status. */
#ifndef QN_BASE_STATUS_H
#define QN_BASE_STATUS_H

#include "quern.h"

/* Success. Writes two fields only: statuses are returned on hot paths. */
static inline qn_status qn_ok(void)
{
    qn_status s;
    s.code = QN_OK;
    s.text[0] = '\0';
    return s;
}

/* A failure with a formatted text (cut at QN_STATUS_TEXT - 1 bytes). */
qn_status qn_fail(qn_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "where: " in front of a failure's text; success passes through. */
qn_status qn_in(qn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns from the enclosing function when the expression fails. */
#define QN_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        qn_status qn_try_ = (expr);                                                                                    \
        if (qn_try_.code != QN_OK) return qn_try_;                                                                     \
    } while (0)

#endif
