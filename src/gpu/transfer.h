/* transfer.h - the readback, as src/gpu sees it. */
#ifndef QN_GPU_TRANSFER_H
#define QN_GPU_TRANSFER_H

#include "gpu/answer.h"

struct qn_readback {
    qn_gpu *gpu;
    WGPUBuffer handle;
    uint64_t size, mapped_size;
    qn_answer *mapping; /* NULL: to be made */
};

#endif
