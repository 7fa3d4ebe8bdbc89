/* bpe.h - byte-pair encoding over a vocabulary of byte strings. */
#ifndef QN_TEXT_BPE_H
#define QN_TEXT_BPE_H

#include "base/memory.h"

/* Where token ids go. Ids past the capacity are counted and not written. */
typedef struct qn_token_sink {
    int32_t *tokens;
    size_t capacity;
    size_t n;
} qn_token_sink;

static inline void qn_token_push(qn_token_sink *sink, int32_t token)
{
    if (sink->n < sink->capacity) sink->tokens[sink->n] = token;
    sink->n++;
}

/* One merge: the tokens left and right, side by side, become result. A slot of an open-addressing table. */
typedef struct qn_merge {
    int32_t left, right, result;
    uint32_t order; /* 1 for the first merge, which goes before all others; 0: an empty slot */
} qn_merge;

typedef struct qn_bpe {
    const qn_allocator *a;
    uint32_t n_tokens;
    char *bytes;             /* of all tokens, one after another */
    uint32_t *offset;        /* [n_tokens + 1] token i is bytes[offset[i] .. offset[i + 1]) */
    int32_t *words;          /* open-addressing table from bytes to token: id, or -1 for an empty slot */
    uint32_t word_mask;      /* slots - 1 */
    size_t longest;          /* bytes of the longest token in the table */
    qn_merge *merges;        /* open-addressing table from (left, right) */
    uint32_t merge_mask;     /* slots - 1 */
    int32_t byte_token[256]; /* the token of a single byte, -1: none */
    /* How a piece is begun; set after qn_bpe_open, whose values are those of GGUF's byte-level files. */
    bool whole_first;      /* a piece that is a token as a whole is that token (ignore_merges); true */
    bool by_char;          /* a piece begins as UTF-8 characters, not as bytes; false */
    bool fuse_unk;         /* unknown neighbours become one unk; false */
    int32_t unk;           /* for a character that has no token, -1: an error; -1 */
    int32_t fallback[256]; /* by_char: the tokens of the bytes of a character that has none, -1: none; -1 */
} qn_bpe;

/* Memory for long pieces, kept from piece to piece within one encode call; zero to begin with. */
typedef struct qn_bpe_scratch {
    void *ids, *nodes, *heap;
    size_t n_ids, n_nodes, n_heap; /* capacities */
} qn_bpe_scratch;

/* Makes an empty vocabulary of n_tokens tokens whose bytes are n_bytes together, and room for n_merges merges. */
qn_status qn_bpe_open(const qn_allocator *a, size_t n_tokens, size_t n_bytes, size_t n_merges, qn_bpe *bpe);
void qn_bpe_close(qn_bpe *bpe);

/* Sets token id; ids come in rising order, none left out. Only a findable token is ever produced by encoding. Of
 * tokens with the same bytes the lowest id is found; empty ones are never found. */
void qn_bpe_add(qn_bpe *bpe, uint32_t id, const char *bytes, size_t n_bytes, bool findable);

/* Makes room for n_merges merges in place of what qn_bpe_open made; none may have been added. */
qn_status qn_bpe_room_for_merges(qn_bpe *bpe, size_t n_merges);

/* Adds the next merge in order. A repeated pair keeps its first place. */
void qn_bpe_add_merge(qn_bpe *bpe, int32_t left, int32_t right, int32_t result, uint32_t order);

/* The findable token with these bytes, or -1. */
int32_t qn_bpe_find(const qn_bpe *bpe, const char *bytes, size_t n_bytes);

static inline const char *qn_bpe_token(const qn_bpe *bpe, uint32_t id, size_t *n_bytes)
{
    *n_bytes = bpe->offset[id + 1] - bpe->offset[id];
    return bpe->bytes + bpe->offset[id];
}

/* Encodes one piece: it begins as the tokens of its bytes (or characters), and the pair whose merge comes first, the
 * leftmost of equals, is merged until no pair has one. O(n log n). QN_ERR_FORMAT when the vocabulary lacks a byte of
 * the piece, and has no other way to write it. */
qn_status qn_bpe_encode(const qn_bpe *bpe, qn_bpe_scratch *scratch, const char *piece, size_t n_bytes,
                        qn_token_sink *sink);
void qn_bpe_scratch_free(const qn_bpe *bpe, qn_bpe_scratch *scratch);

#endif
