#include "gpu/answer.h"

qn_status qn_answer_create(const qn_allocator *a, qn_answer **answer)
{
    void *p;
    *answer = NULL;
    QN_TRY(qn_alloc(a, 1, sizeof(qn_answer), "answer", &p));
    *answer = p;
    (*answer)->allocator = *qn_allocator_or_default(a);
    return qn_ok();
}

void qn_answer_free(qn_answer *answer)
{
    if (!answer) return;
    int waiting = QN_ANSWER_WAITING;
    if (atomic_compare_exchange_strong(&answer->state, &waiting, QN_ANSWER_ORPHANED)) return;
    qn_allocator a = answer->allocator;
    qn_free(&a, answer);
}

bool qn_answer_settle(qn_answer *answer, bool good, WGPUStringView message)
{
    qn_copy_view(message, answer->message, sizeof answer->message);
    int waiting = QN_ANSWER_WAITING, state = good ? QN_ANSWER_READY : QN_ANSWER_FAILED;
    if (atomic_compare_exchange_strong(&answer->state, &waiting, state)) return true;
    qn_allocator a = answer->allocator;
    qn_free(&a, answer);
    return false;
}
