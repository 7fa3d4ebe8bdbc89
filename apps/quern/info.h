/* info.h - `quern info`, of GGUF files and of programs. */
#ifndef QN_APP_INFO_H
#define QN_APP_INFO_H

#include "common.h"

typedef struct qn_cli_info_options {
    const char *model;
    qn_cli_texts data;
    uint32_t ctx;
    uint32_t kv_type; /* qn_kv_type */
    bool json, tensors;
    qn_cli_engine engine;
} qn_cli_info_options;

/* The device that memory is predicted for, and its name; NULL, with a line on stderr and name as it was, when none can
 * be opened: then core limits of WebGPU are assumed. */
qn_engine *qn_cli_info_engine(const qn_cli_engine *e, char name[128]);

/* Of a program. */
qn_status qn_cli_info_program(const qn_cli_info_options *o, const char *path);

#endif
