/* model_harness.h - what the tests of models and sessions share: engines on the software device, models loaded from
 * memory through the step functions (so that the tests also run without the blocking helpers), running a session.
 * Every function fails the running cmocka test with a message. */
#ifndef QN_TESTS_MODEL_HARNESS_H
#define QN_TESTS_MODEL_HARNESS_H

#include "support/op_harness.h"

#include "support/random_model.h"

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct qn_test_bytes {
    uint8_t *data; /* malloc'ed */
    size_t size;
} qn_test_bytes;

/* A file of the source tree, by its path there. */
qn_test_bytes qn_test_read(const char *path);
/* The random model's file. */
qn_test_bytes qn_test_random_bytes(const qn_random_model *m);
/* A small model without a tokenizer: 2 layers, 64 wide, 2 heads of 32, 1 kv head, 61 tokens, 96 positions, Q8_0. */
qn_random_model qn_test_small_model(void);
/* CRC-32 as of zlib. */
uint32_t qn_test_crc32(const void *data, size_t size);
/* Where a GGUF file goes on behind a name: of a key with its type and value, of a tensor with its table entry. */
uint8_t *qn_test_behind(qn_test_bytes b, const char *name);
/* Writes bytes to a new file below the build folder; path: 512 bytes. */
void qn_test_write(const char *name, const void *data, size_t size, char *path);

/* ---- loading --------------------------------------------------------------------------------- */

/* A file in memory. Every read is checked, and hands out a copy that is freed at the next read, as a source may. */
typedef struct qn_test_source {
    qn_test_bytes bytes;
    unsigned stalls; /* pending this many times before every read */
    unsigned stalled;
    uint64_t fail_at; /* the read numbered so fails once (the first is 1); 0: none */
    uint64_t n_reads, n_pending;
    uint64_t n_read; /* bytes handed out */
    uint64_t most;   /* the largest read */
    void *last;
} qn_test_source;

qn_source qn_test_source_of(qn_test_source *source);
void qn_test_source_free(qn_test_source *source); /* not its bytes */

/* Loads through a loader. */
qn_status qn_test_load_source(qn_engine *engine, qn_test_source *source, const qn_model_options *options,
                              qn_model **model);
qn_status qn_test_load_bytes(qn_engine *engine, qn_test_bytes bytes, const qn_model_options *options, qn_model **model);
/* A random model; a file of the source tree. */
qn_model *qn_test_load_random(qn_engine *engine, const qn_random_model *m);
qn_model *qn_test_load_file(qn_engine *engine, const char *path);

/* ---- sessions -------------------------------------------------------------------------------- */

qn_session *qn_test_session(qn_model *model, uint32_t ctx, uint32_t chunk);
/* Steps, never blocking, until the state is not PENDING (or READY, for finish). */
qn_status qn_test_step(qn_session *session, qn_step_state *state);
qn_status qn_test_finish(qn_session *session);
/* Sets the tokens, finishes, and copies the last logits [vocab] to out (NULL: not). Returns the kept prefix. */
size_t qn_test_feed(qn_session *session, const int32_t *tokens, size_t n, uint32_t n_vocab, float *out);
/* Sets the tokens with QN_LOGITS_ALL and collects every row [n - reused, vocab]. */
size_t qn_test_feed_all(qn_session *session, const int32_t *tokens, size_t n, uint32_t n_vocab, float *out);
/* Appends one token and copies its logits [vocab]. */
void qn_test_append(qn_session *session, int32_t token, uint32_t n_vocab, float *out);
/* n tokens below n_vocab. */
void qn_test_tokens(int32_t *tokens, size_t n, uint32_t n_vocab, uint64_t seed);

size_t qn_test_argmax(const float *x, size_t n);
/* max |a - b|; infinite when one of them is not finite. */
double qn_test_max_diff(const float *a, const float *b, size_t n);

#endif
