/* bridge.h - what JavaScript cannot say with quern.h alone: C's function pointers, which end in imports. */
#ifndef QUERN_WEB_BRIDGE_H
#define QUERN_WEB_BRIDGE_H

#include "quern.h"

/* Zeroes the options, and lets the log (the progress) end in the import of that name. */
QN_API void qw_engine_options(qn_engine_options *options);
QN_API void qw_model_options(qn_model_options *options);
/* A source whose reads end in the import `read` with this number. */
QN_API void qw_source(qn_source *source, uint32_t number, double size);

#endif
