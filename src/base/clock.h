/* clock.h - elapsed time. */
#ifndef QN_BASE_CLOCK_H
#define QN_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that only goes forward; its zero means nothing. */
uint64_t qn_clock_ns(void);

#endif
