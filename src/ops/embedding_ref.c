#include "ops/embedding_ref.h"

#include <string.h>

void qn_embedding_ref(const double *w, uint32_t n, uint32_t k, const int32_t *ids, uint32_t n_tokens, double *y)
{
    for (uint32_t t = 0; t < n_tokens; t++) {
        uint32_t id = ids[t] < 0 ? 0 : (uint32_t)ids[t];
        if (id >= n) id = n - 1;
        memcpy(y + (size_t)t * k, w + (size_t)id * k, k * sizeof *y);
    }
}
