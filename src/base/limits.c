#include "base/limits.h"

qn_device_info qn_core_device(void)
{
    return (qn_device_info){
        .name = "core WebGPU",
        .baseline = true,
        .max_buffer_bytes = 256u << 20,
        .max_binding_bytes = 128u << 20,
        .max_storage_buffers = 8,
        .max_workgroup_bytes = 16384,
        .max_workgroup_invocations = 256,
        .max_workgroup_size = {256, 256, 64},
        .max_grid = 65535,
        .storage_alignment = 256,
        .uniform_alignment = 256,
    };
}
