/* fuzz_tokenizer_file.c - libFuzzer target: the input is a tokenizer.json or a tokenizer.model (tiktoken), behind a
 * zero byte also its tokenizer_config.json; it encodes the input's own last bytes in every mode, decodes every token,
 * and renders a chat message. */
#include <stdlib.h>
#include <string.h>

#include "text/internal.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT = 200 };

static void require(bool what)
{
    if (!what) abort();
}

static void encode(const qn_tokenizer *t, const char *text, size_t size)
{
    static const qn_special_mode modes[] = {QN_SPECIAL_NONE, QN_SPECIAL_USER, QN_SPECIAL_ALL};
    static int32_t ids[1 << 16];
    for (size_t i = 0; i < 3; i++) {
        qn_token_sink sink = {ids, sizeof ids / sizeof ids[0], 0};
        if (qn_tokenizer_append(t, text, size, modes[i], &sink).code != QN_OK) continue;
        require(sink.n <= sink.capacity);
        for (size_t k = 0; k < sink.n; k++) {
            size_t n;
            require(ids[k] >= 0 && (uint32_t)ids[k] < qn_tokenizer_n_vocab(t));
            require(qn_tokenizer_bytes(t, ids[k], &n) != NULL);
            /* plain text never becomes a control token, but unk may be one */
            require(modes[i] == QN_SPECIAL_ALL || ids[k] == t->bpe.unk || !qn_tokenizer_is_special(t, ids[k]));
        }
    }
}

static void decode_all(const qn_tokenizer *t)
{
    uint64_t sum = 0; /* every byte is read */
    uint32_t n = qn_tokenizer_n_vocab(t);
    for (uint32_t i = 0; i < n; i++) {
        size_t k;
        const char *bytes = qn_tokenizer_bytes(t, (int32_t)i, &k);
        for (size_t j = 0; j < k; j++) sum += (uint8_t)bytes[j];
    }
    require(sum < UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - data) : size;
    const qn_tokenizer_files files = {
        .data = data,
        .size = n,
        .config = zero ? zero + 1 : NULL,
        .config_size = zero ? size - n - 1 : 0,
    };
    qn_tokenizer *t;
    qn_status s = qn_tokenizer_open_memory(NULL, &files, &t);
    require((s.code == QN_OK) == (t != NULL) && (s.code == QN_OK || s.text[0] != '\0'));
    if (!t) return 0;
    size_t tail = size < TEXT ? size : TEXT;
    const char *text = (const char *)data + (size - tail);
    encode(t, text, tail);
    encode(t, text + tail / 2, tail - tail / 2);
    decode_all(t);
    int32_t ids[256];
    const qn_chat_message hello = {"user", "the"};
    (void)qn_tokenizer_chat_encode(t, &hello, 1, true, ids, 256, &n);
    qn_tokenizer_close(t);
    return 0;
}
