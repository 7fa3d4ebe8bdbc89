/* fuzz_tokenizer.c - libFuzzer target: the input is a GGUF file; its tokenizer encodes the input's own last bytes in
 * every mode, decodes them, and renders them as a chat message. */
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT = 400 };

static const void *read_input(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    (void)size;
    *pending = false;
    *status = qn_ok();
    return (const uint8_t *)user + offset;
}

static void require(bool what)
{
    if (!what) abort();
}

/* Tokens give back the bytes that they were made of, and each is in the vocabulary. */
static void check_decodes(const qn_tokenizer *t, const int32_t *ids, size_t n, const char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k;
        const char *bytes = qn_tokenizer_bytes(t, ids[i], &k);
        require(bytes && k > 0 && k <= size - at && memcmp(bytes, text + at, k) == 0);
        at += k;
        (void)qn_tokenizer_is_end(t, ids[i]);
    }
    require(at == size);
}

static void encode(const qn_tokenizer *t, const char *text, size_t size)
{
    static const qn_special_mode modes[] = {QN_SPECIAL_NONE, QN_SPECIAL_USER, QN_SPECIAL_ALL};
    for (size_t i = 0; i < 3; i++) {
        int32_t ids[TEXT];
        qn_token_sink sink = {ids, TEXT, 0};
        if (qn_tokenizer_append(t, text, size, modes[i], &sink).code != QN_OK) continue; /* a byte has no token */
        require(sink.n <= size);
        check_decodes(t, ids, sink.n, text, size);
        for (size_t k = 0; k < sink.n && modes[i] != QN_SPECIAL_ALL; k++) require(!qn_tokenizer_is_special(t, ids[k]));
    }
}

static void chat(const qn_gguf *gguf, const qn_tokenizer *t, const char *text, size_t size)
{
    char content[TEXT + 1];
    memcpy(content, text, size);
    content[size] = '\0';
    const qn_chat_message messages[] = {{"user", content}, {"assistant", "the"}};
    int32_t ids[TEXT + 64];
    size_t n;
    (void)qn_chat_render(qn_chat_detect(gguf, t), t, messages, 2, true, ids, TEXT + 64, &n);
}

static void decode_all(const qn_tokenizer *t)
{
    qn_utf8_hold hold = {0};
    uint32_t n = qn_tokenizer_n_vocab(t);
    for (uint32_t i = 0; i < n; i++) {
        size_t k;
        const char *bytes = qn_tokenizer_bytes(t, (int32_t)i, &k);
        char *out = malloc(3 * (k + 4));
        if (!out) return;
        require(qn_utf8_push(&hold, bytes, k, out) <= 3 * (k + 4));
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_source source = {.user = (void *)(uintptr_t)data, .size = size, .read = read_input};
    qn_gguf *gguf = NULL;
    qn_tokenizer *t = NULL;
    if (qn_gguf_open(NULL, &source, &gguf).code != QN_OK || !gguf) return 0;
    if (qn_tokenizer_from_gguf(NULL, gguf, &t).code == QN_OK) {
        size_t n = size < TEXT ? size : TEXT;
        const char *text = (const char *)data + (size - n);
        encode(t, text, n);
        encode(t, text + n / 2, n - n / 2);
        chat(gguf, t, text + n / 2, n - n / 2);
        decode_all(t);
    }
    qn_tokenizer_close(t);
    qn_gguf_close(gguf);
    return 0;
}
