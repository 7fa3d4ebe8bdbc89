/* fake_llama.c - the functions of llama.cpp that tools/compare_llama.py calls, for its test: every logit is 0, and a
 * decode takes a millisecond, or two without tensor cores. It checks what it is given and refuses the rest. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { VOCAB = 4096 };

typedef struct model_params {
    void *devices, *overrides;
    int32_t n_gpu_layers, rest[15];
} model_params;

typedef struct context_params {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, rest[36];
} context_params;

typedef struct batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos, *n_seq_id, **seq_id;
    int8_t *logits;
} batch;

static uint32_t n_ctx, n_batch, n_done;
static float logits[512 * VOCAB];

void llama_log_set(void (*log)(int, const char *, void *), void *user)
{
    if (log) log(2, "not an error\n", user);
}
void ggml_backend_load_all_from_path(const char *folder)
{
    if (!folder[0]) abort();
}
void llama_backend_init(void)
{
}
size_t ggml_backend_dev_count(void)
{
    return 1;
}
void *ggml_backend_dev_get(size_t i)
{
    return logits + i;
}
const char *ggml_backend_dev_description(void *device)
{
    return device == logits ? "a device" : "?";
}
const char *llama_version(void)
{
    return "fake";
}
model_params llama_model_default_params(void)
{
    return (model_params){.n_gpu_layers = -1};
}
context_params llama_context_default_params(void)
{
    return (context_params){WRONG_DEFAULT ? 513 : 512, 2048, 512, 1, {0}};
}
void *llama_model_load_from_file(const char *path, model_params params)
{
    return path[0] && params.n_gpu_layers == -1 ? logits : NULL;
}
void *llama_init_from_model(void *model, context_params params)
{
    n_ctx = params.n_ctx;
    n_batch = params.n_batch;
    return model == logits && params.n_ubatch <= n_batch && n_batch <= n_ctx && params.n_seq_max == 1 ? logits : NULL;
}
void *llama_get_memory(void *context)
{
    return context;
}
void llama_memory_clear(void *memory, bool data)
{
    if (memory == logits && data) n_done = 0;
}
bool llama_memory_seq_rm(void *memory, int32_t seq, int32_t from, int32_t to)
{
    if (memory != logits || seq != 0 || to != -1 || (uint32_t)from > n_done) return false;
    n_done = (uint32_t)from;
    return true;
}
batch llama_batch_init(int32_t n_tokens, int32_t embd, int32_t n_seq_max)
{
    size_t n = (size_t)n_tokens;
    batch b = {0, calloc(n, 4), NULL, calloc(n, 4), calloc(n, 4), calloc(n, sizeof(int32_t *)), calloc(n, 1)};
    for (size_t i = 0; i < n; i++) b.seq_id[i] = calloc((size_t)(n_seq_max + embd), 4);
    return b;
}
batch llama_batch_get_one(int32_t *tokens, int32_t n)
{
    return (batch){.n_tokens = n, .token = tokens};
}
int32_t llama_decode(void *context, batch b)
{
    bool coopmat = !getenv("GGML_VK_DISABLE_COOPMAT") || !getenv("GGML_VK_DISABLE_COOPMAT2");
    if (context != logits || b.n_tokens < 1 || (uint32_t)b.n_tokens > n_batch) return 1;
    for (int32_t i = 0; i < b.n_tokens; i++) {
        if (b.token[i] < 0 || b.token[i] >= VOCAB) return 2;
        if (b.pos && (b.pos[i] != (int32_t)n_done + i || b.n_seq_id[i] != 1 || b.seq_id[i][0] != 0 || !b.logits[i]))
            return 3;
    }
    n_done += (uint32_t)b.n_tokens;
    if (n_done > n_ctx) return 4;
    nanosleep(&(struct timespec){.tv_nsec = coopmat ? 1000000 : 2000000}, NULL);
    return 0;
}
float *llama_get_logits(void *context)
{
    return context;
}
void *llama_model_get_vocab(void *model)
{
    return model;
}
int32_t llama_vocab_n_tokens(void *vocab)
{
    return vocab == logits ? VOCAB : 0;
}
int32_t llama_vocab_bos(void *vocab)
{
    return vocab == logits ? 1 : -1;
}
