/* web.h - what the build for browsers asks of JavaScript (docs/web.md); WebGPU's own functions are in webgpu.h. */
#ifndef QN_BASE_WEB_H
#define QN_BASE_WEB_H

#include <stdint.h>

#define QN_IMPORT(name) __attribute__((import_module("quern"), import_name(#name)))

/* Milliseconds of a clock that only goes forward. */
QN_IMPORT(now) double qn_web_now(void);

/* Those of Math. */
QN_IMPORT(math_sin) double qn_web_sin(double x);
QN_IMPORT(math_cos) double qn_web_cos(double x);
QN_IMPORT(math_exp) double qn_web_exp(double x);
QN_IMPORT(math_log) double qn_web_log(double x);
QN_IMPORT(math_pow) double qn_web_pow(double x, double y);

/* A text that is kept under a name: memory of malloc that the caller frees, or NULL where there is none. */
QN_IMPORT(kept_read) void *qn_web_kept_read(const char *name, uint32_t *n_bytes);
/* Keeps another in its place. Whether that lasts is not known yet when it returns. */
QN_IMPORT(kept_replace) void qn_web_kept_replace(const char *name, const void *text, uint32_t n_bytes);

/* A regular expression of ECMAScript with the u flag: its number, or 0 where the engine refuses it. */
QN_IMPORT(regex_open) uint32_t qn_web_regex_open(const char *pattern, uint32_t n_bytes);
QN_IMPORT(regex_close) void qn_web_regex_close(uint32_t regex);
/* All matches in a UTF-8 text: their number, and in *spans their starts and ends in bytes, memory of malloc that the
 * caller frees. */
QN_IMPORT(regex_scan)
uint32_t qn_web_regex_scan(uint32_t regex, const char *text, uint32_t n_bytes, uint32_t **spans);

#endif
