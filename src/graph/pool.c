#include "graph/pool.h"

void qn_pool_place(qn_life *lives, size_t n, qn_pool *pool, uint32_t *free_after)
{
    pool->n_slots = 0;
    for (size_t i = 0; i < n; i++) {
        qn_life *life = &lives[i];
        uint32_t best = UINT32_MAX, largest = UINT32_MAX;
        for (uint32_t s = 0; s < pool->n_slots; s++) {
            if (free_after[s] >= life->first) continue; /* still alive when this one is written */
            uint64_t bytes = pool->slot_bytes[s];
            if (bytes >= life->bytes && (best == UINT32_MAX || bytes < pool->slot_bytes[best])) best = s;
            if (largest == UINT32_MAX || bytes > pool->slot_bytes[largest]) largest = s;
        }
        uint32_t slot = best != UINT32_MAX ? best : largest != UINT32_MAX ? largest : pool->n_slots++;
        if (best == UINT32_MAX && largest == UINT32_MAX) pool->slot_bytes[slot] = 0;
        if (life->bytes > pool->slot_bytes[slot]) pool->slot_bytes[slot] = life->bytes;
        free_after[slot] = life->last;
        life->slot = slot;
    }
}
