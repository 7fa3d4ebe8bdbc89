/* load.h - loading a model file. */
#ifndef QN_APP_LOAD_H
#define QN_APP_LOAD_H

#include "quern.h"

/* As qn_model_open, also in builds that have only the loader. */
qn_status qn_cli_load(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model);

#endif
