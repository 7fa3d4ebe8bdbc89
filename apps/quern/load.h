/* load.h - loading a model file in builds without the library's blocking helpers. */
#ifndef QN_APP_LOAD_H
#define QN_APP_LOAD_H

#include "quern.h"

/* As qn_model_open, through qn_loader and a source that reads ranges of the file. */
qn_status qn_cli_load(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model);

#endif
