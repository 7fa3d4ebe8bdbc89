/* adapter.h - adapters inside src/gpu. */
#ifndef QN_GPU_ADAPTER_H
#define QN_GPU_ADAPTER_H

#include "gpu/internal.h"

enum { QN_MAX_FEATURES = 16 };

/* Identity, features and limits; with baseline, those of core WebGPU. */
void qn_adapter_read(WGPUAdapter adapter, bool baseline, qn_device_info *info);
/* The adapter that `device` (as in qn_engine_options) names. */
qn_status qn_adapter_pick(const qn_adapter_list *list, const char *device, size_t *index);

#endif
