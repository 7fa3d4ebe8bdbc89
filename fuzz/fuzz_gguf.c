/* fuzz_gguf.c - libFuzzer target: opens the input as a GGUF file, reads every value in every way, and dequantizes and
 * packs its small tensors. */
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/quant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size;
    bool stalls, stalled; /* every second read is pending */
    void *last;           /* what was handed out; freed at the next read, as a source may */
} input;

static const void *input_read(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status)
{
    input *in = user;
    *status = qn_ok();
    *pending = in->stalls && !in->stalled;
    in->stalled = *pending;
    if (*pending) return NULL;
    if (offset > in->size || size > in->size - offset) abort();
    free(in->last);
    in->last = malloc(size ? size : 1);
    if (in->last && size) memcpy(in->last, in->data + offset, size);
    return in->last;
}

static volatile uint64_t sink; /* keeps reads from being optimized away */

static void touch(qn_gguf_string s)
{
    for (size_t i = 0; i < s.size; i++) sink += (uint8_t)s.data[i];
}

static void walk_kv(const qn_gguf_kv *kv)
{
    uint64_t u;
    int64_t i;
    double f;
    bool flag;
    qn_gguf_string s;
    qn_gguf_type element;
    size_t count;
    touch(qn_gguf_key(kv));
    sink += (uint64_t)qn_gguf_kv_type(kv);
    sink += (uint64_t)qn_gguf_u64(kv, &u) + qn_gguf_i64(kv, &i) + qn_gguf_f64(kv, &f) + qn_gguf_bool(kv, &flag);
    if (qn_gguf_str(kv, &s)) touch(s);
    if (!qn_gguf_array(kv, &element, &count)) return;
    for (size_t e = 0; e <= count; e++) {
        if (qn_gguf_array_str(kv, e, &s)) touch(s);
        sink += (uint64_t)qn_gguf_array_i64(kv, e, &i) + qn_gguf_array_f64(kv, e, &f);
    }
}

static void walk_tensor(const qn_gguf_tensor *t, const uint8_t *data, size_t size)
{
    const qn_quant_type *type = qn_quant_find(t->type);
    touch(t->name);
    if (t->offset > size || t->size > size - t->offset) abort();
    uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3], rows = n / t->dims[0];
    if (!type || !type->supported || n > 1 << 16) return;
    float *values = malloc((size_t)n * sizeof *values);
    qn_quant_to_f32(type, data + t->offset, n, values);
    qn_pack_size bytes = qn_pack_bytes(&type->format, rows, (uint32_t)t->dims[0]);
    qn_pack_rows out = {malloc((size_t)bytes.data_bytes), malloc((size_t)bytes.scale_bytes + 1),
                        malloc((size_t)bytes.min_bytes + 1)};
    qn_quant_pack(type, data + t->offset, (uint32_t)rows, (uint32_t)t->dims[0], &out);
    for (uint64_t i = 0; i < n; i++) { /* the layout holds the same values, bit by bit except for NaN */
        float v = qn_pack_value(&type->format, &out, (uint32_t)t->dims[0], (uint32_t)(i / t->dims[0]),
                                (uint32_t)(i % t->dims[0]));
        if (!(v == values[i]) && v == v && values[i] == values[i]) abort();
    }
    free(values);
    free(out.data);
    free(out.scales);
    free(out.mins);
}

static void walk(const qn_gguf *g, const uint8_t *data, size_t size)
{
    sink += qn_gguf_version(g);
    for (size_t i = 0; i < qn_gguf_n_kv(g); i++) walk_kv(qn_gguf_kv_at(g, i));
    for (size_t i = 0; i < qn_gguf_n_tensors(g); i++) walk_tensor(qn_gguf_tensor_at(g, i), data, size);
    if (qn_gguf_find(g, "general.architecture")) sink++;
    if (qn_gguf_find_tensor(g, "token_embd.weight")) sink++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Every input is read twice: in one call, and in steps from a source that is pending before each read. */
    for (int stalls = 0; stalls < 2; stalls++) {
        input in = {.data = data, .size = size, .stalls = stalls != 0};
        qn_source source = {.user = &in, .size = size, .read = input_read};
        qn_gguf_reader *reader;
        qn_gguf *g = NULL;
        qn_status status = qn_gguf_reader_open(NULL, &source, &reader);
        while (status.code == QN_OK && !g) status = qn_gguf_reader_step(reader, &g);
        if (status.code != QN_OK && status.text[0] == '\0') abort();
        qn_gguf_reader_close(reader);
        free(in.last);
        if (g) walk(g, data, size);
        qn_gguf_close(g);
    }
    return 0;
}
