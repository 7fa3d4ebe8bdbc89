#include "text/bpe.h"

#include <string.h>

#include "text/utf8.h"

enum { SHORT_PIECE = 48 }; /* up to here a plain scan for the best pair is faster than a heap */
static const uint32_t NONE = UINT32_MAX;

/* ---- tables ---------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits, folded: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint32_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

/* The odd constant is 2^64 / golden ratio; the high half of the product mixes both ids. */
static uint32_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32);
}

enum { MAX_ENTRIES = 1 << 29 }; /* of a table: slots are counted in 32 bits */

/* A power of two that leaves a table of n entries at most half full. */
static uint32_t table_size(size_t n)
{
    uint32_t slots = 16;
    while (slots < 2 * n) slots *= 2;
    return slots;
}

qn_status qn_bpe_room_for_merges(qn_bpe *bpe, size_t n_merges)
{
    if (n_merges > MAX_ENTRIES) return qn_fail(QN_ERR_LIMIT, "vocabulary: %zu merges are too many", n_merges);
    uint32_t n_slots = table_size(n_merges);
    void *p;
    QN_TRY(qn_alloc(bpe->a, n_slots, sizeof *bpe->merges, "merge table", &p));
    qn_free(bpe->a, bpe->merges);
    bpe->merges = p;
    bpe->merge_mask = n_slots - 1;
    return qn_ok();
}

static qn_status alloc_tables(qn_bpe *bpe, size_t n_tokens, size_t n_bytes, size_t n_merges)
{
    if (n_tokens > MAX_ENTRIES) return qn_fail(QN_ERR_LIMIT, "vocabulary: %zu tokens are too many", n_tokens);
    if (n_bytes > UINT32_MAX) return qn_fail(QN_ERR_LIMIT, "vocabulary: %zu bytes of tokens are too many", n_bytes);
    uint32_t n_words = table_size(n_tokens);
    void *p;
    QN_TRY(qn_alloc(bpe->a, n_bytes, 1, "token bytes", &p));
    bpe->bytes = p;
    QN_TRY(qn_alloc(bpe->a, n_tokens + 1, sizeof *bpe->offset, "token offsets", &p));
    bpe->offset = p;
    QN_TRY(qn_alloc(bpe->a, n_words, sizeof *bpe->words, "token table", &p));
    bpe->words = p;
    QN_TRY(qn_bpe_room_for_merges(bpe, n_merges));
    memset(bpe->words, 0xFF, n_words * sizeof *bpe->words);
    memset(bpe->byte_token, 0xFF, sizeof bpe->byte_token);
    memset(bpe->fallback, 0xFF, sizeof bpe->fallback);
    bpe->unk = -1;
    bpe->whole_first = true;
    bpe->n_tokens = (uint32_t)n_tokens;
    bpe->word_mask = n_words - 1;
    return qn_ok();
}

qn_status qn_bpe_open(const qn_allocator *a, size_t n_tokens, size_t n_bytes, size_t n_merges, qn_bpe *bpe)
{
    *bpe = (qn_bpe){.a = a};
    qn_status s = alloc_tables(bpe, n_tokens, n_bytes, n_merges);
    if (s.code != QN_OK) qn_bpe_close(bpe);
    return s;
}

void qn_bpe_close(qn_bpe *bpe)
{
    qn_free(bpe->a, bpe->bytes);
    qn_free(bpe->a, bpe->offset);
    qn_free(bpe->a, bpe->words);
    qn_free(bpe->a, bpe->merges);
    *bpe = (qn_bpe){0};
}

/* The slot that holds these bytes, or the empty one where they would go. */
static int32_t *word_slot(const qn_bpe *bpe, const char *bytes, size_t n_bytes)
{
    for (uint32_t at = hash_bytes(bytes, n_bytes);; at++) {
        int32_t *slot = &bpe->words[at & bpe->word_mask];
        if (*slot < 0) return slot;
        size_t n;
        const char *other = qn_bpe_token(bpe, (uint32_t)*slot, &n);
        if (n == n_bytes && memcmp(other, bytes, n) == 0) return slot;
    }
}

void qn_bpe_add(qn_bpe *bpe, uint32_t id, const char *bytes, size_t n_bytes, bool findable)
{
    uint32_t start = bpe->offset[id];
    if (n_bytes > 0) memcpy(bpe->bytes + start, bytes, n_bytes);
    bpe->offset[id + 1] = start + (uint32_t)n_bytes;
    if (!findable || n_bytes == 0) return;
    int32_t *slot = word_slot(bpe, bytes, n_bytes);
    if (*slot >= 0) return;
    *slot = (int32_t)id;
    if (n_bytes == 1) bpe->byte_token[(uint8_t)bytes[0]] = (int32_t)id;
    if (n_bytes > bpe->longest) bpe->longest = n_bytes;
}

int32_t qn_bpe_find(const qn_bpe *bpe, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > bpe->longest) return -1;
    return *word_slot(bpe, bytes, n_bytes);
}

/* The slot of the pair's merge, or the empty one where it would go. */
static uint32_t merge_slot(const qn_bpe *bpe, int32_t left, int32_t right)
{
    for (uint32_t at = hash_pair(left, right);; at++) {
        const qn_merge *m = &bpe->merges[at & bpe->merge_mask];
        if (m->order == 0 || (m->left == left && m->right == right)) return at & bpe->merge_mask;
    }
}

void qn_bpe_add_merge(qn_bpe *bpe, int32_t left, int32_t right, int32_t result, uint32_t order)
{
    qn_merge *m = &bpe->merges[merge_slot(bpe, left, right)];
    if (m->order == 0) *m = (qn_merge){left, right, result, order};
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* The merge of a pair: its order (NONE when there is none) and result. */
typedef struct pair {
    uint32_t order;
    int32_t result;
} pair;

static pair find_pair(const qn_bpe *bpe, int32_t left, int32_t right)
{
    const qn_merge *m = &bpe->merges[merge_slot(bpe, left, right)];
    return (pair){m->order == 0 ? NONE : m->order, m->result};
}

/* The tokens of the bytes of a character that has none itself: all of them, or false. */
static bool put_fallback(const qn_bpe *bpe, const char *bytes, size_t n_bytes, int32_t *ids, size_t *n)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (bpe->fallback[(uint8_t)bytes[i]] < 0) return false;
    for (size_t i = 0; i < n_bytes; i++) ids[(*n)++] = bpe->fallback[(uint8_t)bytes[i]];
    return true;
}

/* The tokens that a piece begins as, never more than bytes. */
static qn_status first_tokens(const qn_bpe *bpe, const char *piece, size_t n_bytes, int32_t *ids, size_t *n)
{
    bool unknown = false; /* an unk that waits for its neighbours. As in Hugging Face's tokenizers, fallback bytes
                             between two unknown characters go before the unk that both become. */
    *n = 0;
    for (size_t at = 0, length = 1; at < n_bytes; at += length) {
        int32_t id;
        if (bpe->by_char) {
            int read = qn_utf8_read(piece + at, n_bytes - at, NULL);
            length = read > 0 ? (size_t)read : 1;
            id = qn_bpe_find(bpe, piece + at, length);
        } else {
            id = bpe->byte_token[(uint8_t)piece[at]];
        }
        if (id >= 0) {
            if (unknown) ids[(*n)++] = bpe->unk;
            unknown = false;
            ids[(*n)++] = id;
        } else if (!bpe->by_char || !put_fallback(bpe, piece + at, length, ids, n)) {
            if (bpe->unk < 0)
                return qn_fail(QN_ERR_FORMAT, "the vocabulary has no token for byte 0x%02X",
                               (unsigned)(uint8_t)piece[at]);
            if (unknown && !bpe->fuse_unk) ids[(*n)++] = bpe->unk;
            unknown = true;
        }
    }
    if (unknown) ids[(*n)++] = bpe->unk;
    return qn_ok();
}

static void merge_short(const qn_bpe *bpe, int32_t *ids, size_t n, qn_token_sink *sink)
{
    pair pairs[SHORT_PIECE]; /* pairs[i] joins ids[i] and ids[i + 1] */
    for (size_t i = 0; i + 1 < n; i++) pairs[i] = find_pair(bpe, ids[i], ids[i + 1]);
    for (;;) {
        size_t best = 0;
        uint32_t order = NONE;
        for (size_t i = 0; i + 1 < n; i++) {
            if (pairs[i].order < order) {
                order = pairs[i].order;
                best = i;
            }
        }
        if (order == NONE) break;
        ids[best] = pairs[best].result;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            pairs[i - 1] = pairs[i];
        }
        if (best + 1 < n) pairs[best] = find_pair(bpe, ids[best], ids[best + 1]);
        if (best > 0) pairs[best - 1] = find_pair(bpe, ids[best - 1], ids[best]);
    }
    for (size_t i = 0; i < n; i++) qn_token_push(sink, ids[i]);
}

/* Long pieces: the symbols are a doubly linked list, and a heap holds (order of the merge, position) of every pair.
 * An entry is stale, and skipped, when its position no longer carries a pair of that order. */
typedef struct node {
    int32_t id;
    uint32_t prev, next; /* positions, NONE at the ends */
    pair pair;           /* with next; order NONE when there is no merge or this node is gone */
} node;

typedef struct heap {
    uint64_t *entries;
    size_t n;
} heap;

static void heap_push(heap *h, uint64_t entry)
{
    size_t at = h->n++;
    while (at > 0 && entry < h->entries[(at - 1) / 2]) {
        h->entries[at] = h->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->entries[at] = entry;
}

static uint64_t heap_pop(heap *h)
{
    uint64_t top = h->entries[0], last = h->entries[--h->n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && h->entries[child + 1] < h->entries[child]) child++;
        if (last <= h->entries[child]) break;
        h->entries[at] = h->entries[child];
        at = child;
    }
    h->entries[at] = last;
    return top;
}

static void set_pair(const qn_bpe *bpe, node *nodes, heap *h, uint32_t at)
{
    node *left = &nodes[at];
    left->pair.order = NONE;
    if (left->next == NONE) return;
    left->pair = find_pair(bpe, left->id, nodes[left->next].id);
    if (left->pair.order != NONE) heap_push(h, (uint64_t)left->pair.order << 32 | at);
}

static qn_status merge_long(const qn_bpe *bpe, qn_bpe_scratch *scratch, const int32_t *ids, size_t n,
                            qn_token_sink *sink)
{
    /* Each symbol pushes one entry at first, and each of at most n merges takes one out and pushes at most two. */
    QN_TRY(qn_grow(bpe->a, &scratch->nodes, &scratch->n_nodes, n, sizeof(node), "long piece"));
    QN_TRY(qn_grow(bpe->a, &scratch->heap, &scratch->n_heap, 2 * n, sizeof(uint64_t), "long piece"));
    node *nodes = scratch->nodes;
    heap h = {scratch->heap, 0};
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].id = ids[i];
        nodes[i].prev = i == 0 ? NONE : i - 1;
        nodes[i].next = i + 1 < n ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < n; i++) set_pair(bpe, nodes, &h, i);
    while (h.n > 0) {
        uint64_t entry = heap_pop(&h);
        uint32_t at = (uint32_t)entry;
        node *left = &nodes[at];
        if (left->pair.order != entry >> 32) continue;
        node *right = &nodes[left->next];
        left->id = left->pair.result;
        left->next = right->next;
        right->pair.order = NONE;
        if (left->next != NONE) nodes[left->next].prev = at;
        set_pair(bpe, nodes, &h, at);
        if (left->prev != NONE) set_pair(bpe, nodes, &h, left->prev);
    }
    for (uint32_t i = 0; i != NONE; i = nodes[i].next) qn_token_push(sink, nodes[i].id);
    return qn_ok();
}

qn_status qn_bpe_encode(const qn_bpe *bpe, qn_bpe_scratch *scratch, const char *piece, size_t n_bytes,
                        qn_token_sink *sink)
{
    int32_t whole = bpe->whole_first ? qn_bpe_find(bpe, piece, n_bytes) : -1;
    if (whole >= 0) {
        qn_token_push(sink, whole);
        return qn_ok();
    }
    int32_t few[SHORT_PIECE], *ids = few;
    size_t n;
    if (n_bytes > SHORT_PIECE) {
        QN_TRY(qn_grow(bpe->a, &scratch->ids, &scratch->n_ids, n_bytes, sizeof *ids, "long piece"));
        ids = scratch->ids;
    }
    QN_TRY(first_tokens(bpe, piece, n_bytes, ids, &n));
    if (n > SHORT_PIECE) return merge_long(bpe, scratch, ids, n, sink);
    merge_short(bpe, ids, n, sink);
    return qn_ok();
}

void qn_bpe_scratch_free(const qn_bpe *bpe, qn_bpe_scratch *scratch)
{
    qn_free(bpe->a, scratch->ids);
    qn_free(bpe->a, scratch->nodes);
    qn_free(bpe->a, scratch->heap);
    *scratch = (qn_bpe_scratch){0};
}
