/* limits.h - the limits that every WebGPU device has. */
#ifndef QN_BASE_LIMITS_H
#define QN_BASE_LIMITS_H

#include "quern.h"

/* A device with core WebGPU's limits (https://www.w3.org/TR/webgpu/#limits) and no optional feature. */
qn_device_info qn_core_device(void);

#endif
