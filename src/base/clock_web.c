/* clock_web.c - the clock of a page. */
#include "base/clock.h"
#include "base/web.h"

uint64_t qn_clock_ns(void)
{
    return (uint64_t)(qn_web_now() * 1e6);
}
