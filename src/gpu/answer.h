/* answer.h - what a callback of WebGPU writes to, now or later. One that nobody waits for any more is left to the
 * callback to free: a browser calls back after everything was closed. */
#ifndef QN_GPU_ANSWER_H
#define QN_GPU_ANSWER_H

#include "gpu/internal.h"

typedef enum qn_answer_state {
    QN_ANSWER_NONE,
    QN_ANSWER_WAITING,
    QN_ANSWER_READY,
    QN_ANSWER_FAILED,
    QN_ANSWER_ORPHANED,
} qn_answer_state;

struct qn_answer {
    qn_allocator allocator; /* a copy: the engine's may be gone */
    _Atomic int state;      /* qn_answer_state                  */
    void *object;           /* an adapter or a device           */
    char message[400];
};

qn_status qn_answer_create(const qn_allocator *a, qn_answer **answer);
/* NULL is allowed. The object, if it came, is the caller's. */
void qn_answer_free(qn_answer *answer);
/* What a callback does last. false: nobody waits, and the object is the callback's to release. */
bool qn_answer_settle(qn_answer *answer, bool good, WGPUStringView message);

#endif
