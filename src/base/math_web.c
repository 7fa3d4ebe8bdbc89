/* math_web.c - the functions of math.h that wasi-libc has as long tables (20 KB): those of JavaScript instead. */
#include "base/web.h"

#include <math.h>

double sin(double x)
{
    return qn_web_sin(x);
}

double cos(double x)
{
    return qn_web_cos(x);
}

double exp(double x)
{
    return qn_web_exp(x);
}

double log(double x)
{
    return qn_web_log(x);
}

double pow(double x, double y)
{
    return qn_web_pow(x, y);
}
