#include "support/model_harness.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/quant.h"

/* ---- files ----------------------------------------------------------------------------------- */

qn_test_bytes qn_test_read(const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", QN_SOURCE_DIR, path);
    FILE *f = fopen(full, "rb");
    if (!f) fail_msg("%s: %s", full, strerror(errno));
    qn_test_bytes b = {0};
    fseek(f, 0, SEEK_END);
    b.size = (size_t)ftell(f);
    rewind(f);
    b.data = qn_test_allocate(b.size);
    if (fread(b.data, 1, b.size, f) != b.size) fail_msg("%s: cannot read", full);
    fclose(f);
    return b;
}

qn_test_bytes qn_test_random_bytes(const qn_random_model *m)
{
    const char *wrong = qn_random_model_check(m);
    if (wrong) fail_msg("random model: %s", wrong);
    qn_test_bytes b = {0};
    b.data = qn_random_model_bytes(m, &b.size);
    return b;
}

qn_random_model qn_test_small_model(void)
{
    qn_random_model m = qn_random_model_tiny();
    m.n_embd = 64;
    m.n_heads = 2;
    m.n_kv_heads = 1;
    m.head_dim = 32;
    m.n_ff = 96;
    m.n_vocab = 61;
    m.n_ctx = 96;
    m.type = m.embd_type = QN_GGML_Q8_0;
    m.tokenizer = QN_RANDOM_TOKENIZER_NONE;
    return m;
}

/* A length of 8 bytes precedes it. */
uint8_t *qn_test_behind(qn_test_bytes b, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 1; i + n <= b.size; i++)
        if (b.data[i - 1] == 0 && memcmp(b.data + i, name, n) == 0) return b.data + i + n;
    fail_msg("the file has no %s", name);
    return NULL;
}

uint32_t qn_test_crc32(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

void qn_test_write(const char *name, const void *data, size_t size, char *path)
{
    snprintf(path, 512, "%s/%s.%ld", QN_BUILD_DIR, name, (long)getpid());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) fail_msg("%s: %s", path, strerror(errno));
}

/* ---- loading --------------------------------------------------------------------------------- */

static const void *read_range(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    qn_test_source *s = user;
    *status = qn_ok();
    *pending = s->stalled < s->stalls;
    if (*pending) {
        s->stalled++;
        s->n_pending++;
        return NULL;
    }
    s->stalled = 0;
    s->n_reads++;
    if (s->fail_at == s->n_reads) {
        s->fail_at = 0;
        *status = qn_fail(QN_ERR_IO, "the connection was interrupted");
        return NULL;
    }
    if (offset > s->bytes.size || size > s->bytes.size - offset)
        fail_msg("read of %zu bytes at %llu from a file of %zu", size, (unsigned long long)offset, s->bytes.size);
    s->n_read += size;
    if (size > s->most) s->most = size;
    free(s->last);
    s->last = qn_test_allocate(size);
    memcpy(s->last, s->bytes.data + offset, size);
    return s->last;
}

qn_source qn_test_source_of(qn_test_source *source)
{
    return (qn_source){.user = source, .size = source->bytes.size, .read = read_range};
}

void qn_test_source_free(qn_test_source *source)
{
    free(source->last);
    source->last = NULL;
}

qn_status qn_test_load_source(qn_engine *engine, qn_test_source *source, const qn_model_options *options,
                              qn_model **model)
{
    *model = NULL;
    qn_source s = qn_test_source_of(source);
    qn_loader *loader;
    qn_status status = qn_loader_open(engine, &s, options, &loader);
    while (status.code == QN_OK && !*model) {
        uint64_t before = source->n_reads;
        status = qn_loader_step(loader, model, NULL);
        if (source->n_reads == before) sched_yield();
    }
    qn_loader_close(loader);
    qn_test_source_free(source);
    return status;
}

qn_status qn_test_load_bytes(qn_engine *engine, qn_test_bytes bytes, const qn_model_options *options, qn_model **model)
{
    qn_test_source source = {.bytes = bytes};
    return qn_test_load_source(engine, &source, options, model);
}

qn_model *qn_test_load_random(qn_engine *engine, const qn_random_model *m)
{
    qn_test_bytes b = qn_test_random_bytes(m);
    qn_model *model = NULL;
    qn_assert_ok(qn_test_load_bytes(engine, b, NULL, &model));
    free(b.data);
    return model;
}

qn_model *qn_test_load_file(qn_engine *engine, const char *path)
{
    qn_test_bytes b = qn_test_read(path);
    qn_model *model = NULL;
    qn_assert_ok(qn_test_load_bytes(engine, b, NULL, &model));
    free(b.data);
    return model;
}

/* ---- sessions -------------------------------------------------------------------------------- */

qn_session *qn_test_session(qn_model *model, uint32_t ctx, uint32_t chunk)
{
    qn_session *s = NULL;
    qn_assert_ok(qn_session_open(model, &(qn_session_options){.ctx = ctx, .chunk = chunk}, &s));
    return s;
}

qn_status qn_test_step(qn_session *session, qn_step_state *state)
{
    for (;;) {
        QN_TRY(qn_session_step(session, state));
        if (*state != QN_STEP_PENDING) return qn_ok();
        sched_yield();
    }
}

qn_status qn_test_finish(qn_session *session)
{
    qn_step_state state = QN_STEP_PENDING;
    while (state != QN_STEP_READY) QN_TRY(qn_test_step(session, &state));
    return qn_ok();
}

static void copy_last(const qn_session *s, uint32_t n_vocab, float *out)
{
    size_t n_rows = 0, first = 0, n_tokens = 0;
    const float *logits = qn_session_logits(s, &n_rows, &first);
    qn_session_tokens(s, &n_tokens);
    if (!logits || n_rows == 0) fail_msg("%s", "a finished session has no logits");
    assert_int_equal(first + n_rows, n_tokens);
    if (out) memcpy(out, logits + (n_rows - 1) * (size_t)n_vocab, n_vocab * sizeof *out);
}

size_t qn_test_feed(qn_session *session, const int32_t *tokens, size_t n, uint32_t n_vocab, float *out)
{
    size_t reused = 0;
    qn_assert_ok(qn_session_set_tokens(session, tokens, n, QN_LOGITS_LAST, &reused));
    qn_assert_ok(qn_test_finish(session));
    copy_last(session, n_vocab, out);
    return reused;
}

size_t qn_test_feed_all(qn_session *session, const int32_t *tokens, size_t n, uint32_t n_vocab, float *out)
{
    size_t reused = 0, at = 0, n_rows, first;
    qn_assert_ok(qn_session_set_tokens(session, tokens, n, QN_LOGITS_ALL, &reused));
    for (qn_step_state state = QN_STEP_PENDING; state != QN_STEP_READY;) {
        qn_assert_ok(qn_test_step(session, &state));
        const float *logits = qn_session_logits(session, &n_rows, &first);
        assert_non_null(logits);
        assert_int_equal(first, reused + at); /* no row is left out or comes twice */
        assert_true(at + n_rows <= n - reused);
        memcpy(out + at * (size_t)n_vocab, logits, n_rows * (size_t)n_vocab * sizeof *out);
        at += n_rows;
    }
    assert_int_equal(at, n - reused);
    return reused;
}

void qn_test_append(qn_session *session, int32_t token, uint32_t n_vocab, float *out)
{
    qn_assert_ok(qn_session_append(session, token));
    qn_assert_ok(qn_test_finish(session));
    copy_last(session, n_vocab, out);
}

void qn_test_tokens(int32_t *tokens, size_t n, uint32_t n_vocab, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)(qn_test_random(seed, i) % n_vocab);
}

size_t qn_test_argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

double qn_test_max_diff(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(d)) return INFINITY;
        if (d > worst) worst = d;
    }
    return worst;
}
