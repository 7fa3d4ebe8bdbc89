/* quern.h - Quern's public interface: status, engine, model, tokenizer, session, sampler.
 *
 * Conventions
 *  - Functions that can fail return qn_status; its text says what, where and what to do.
 *  - Option structs: zero (or NULL) means the default that the field's comment states.
 *  - The library never prints, exits or aborts; messages go to the caller's log function.
 *  - Engine and model may be shared between threads; a session belongs to one thread at a time.
 *  - Tensors are row-major, little-endian; sizes are in bytes unless a comment says otherwise.
 */
#ifndef QUERN_H
#define QUERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define QN_API
#else
#define QN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define QN_VERSION "0.1.0"

/* The library's version, for example "0.1.0". */
QN_API const char *qn_version(void);

/* ---- status ---------------------------------------------------------------------------------- */

typedef enum qn_code {
    QN_OK = 0,
    QN_ERR_ARGUMENT,    /* the caller asked for something impossible (shape, index, option)          */
    QN_ERR_STATE,       /* the call does not fit the object's state (not built, already closed)      */
    QN_ERR_IO,          /* a file could not be opened or read                                        */
    QN_ERR_FORMAT,      /* a file's contents are damaged or contradict themselves                    */
    QN_ERR_UNSUPPORTED, /* well-formed, but this version does not run it                             */
    QN_ERR_MEMORY,      /* host memory ran out                                                       */
    QN_ERR_GPU_MEMORY,  /* GPU memory ran out, or --gpu-memory forbids the allocation                */
    QN_ERR_GPU,         /* WebGPU refused an object (its own message is in the text)                 */
    QN_ERR_DEVICE_LOST, /* the device is gone; close the engine and open a new one                   */
    QN_ERR_LIMIT,       /* larger than a limit of the device or of this library                      */
    QN_ERR_CONTEXT,     /* the tokens do not fit the session's context                               */
    QN_ERR_INTERNAL,    /* a broken invariant of the library: a bug worth reporting                  */
} qn_code;

enum { QN_STATUS_TEXT = 500 };

typedef struct qn_status {
    qn_code code;              /* QN_OK or the kind of failure                    */
    char text[QN_STATUS_TEXT]; /* empty when ok; else one line for a human reader */
} qn_status;

/* A short name of the code, for example "device lost". */
QN_API const char *qn_code_name(qn_code code);

/* ---- allocator and log ----------------------------------------------------------------------- */

/* Memory hook. resize(user, NULL, n) allocates, resize(user, p, n) resizes, resize(user, p, 0)
 * frees and returns NULL. Must be callable from any thread that uses the engine. */
typedef struct qn_allocator {
    void *(*resize)(void *user, void *ptr, size_t size);
    void *user;
} qn_allocator;

typedef enum qn_log_level { QN_LOG_ERROR = 1, QN_LOG_WARNING, QN_LOG_INFO, QN_LOG_DEBUG } qn_log_level;

typedef void (*qn_log_fn)(void *user, qn_log_level level, const char *line);

/* ---- devices --------------------------------------------------------------------------------- */

typedef enum qn_adapter_type {
    QN_ADAPTER_UNKNOWN = 0,
    QN_ADAPTER_DISCRETE,
    QN_ADAPTER_INTEGRATED,
    QN_ADAPTER_SOFTWARE,
} qn_adapter_type;

/* What an adapter (or an opened device: then what was granted) is and can do. */
typedef struct qn_device_info {
    char name[128];     /* "NVIDIA H100 80GB HBM3"                                  */
    char vendor[64];    /* may be empty                                             */
    char driver[128];   /* driver name and version, may be empty                    */
    char backend[16];   /* "vulkan", "metal", "d3d12", "opengl"                     */
    char type_name[16]; /* "discrete", "integrated", "software", "unknown"         */
    qn_adapter_type type;
    bool baseline;                       /* opened with core limits and no optional feature          */
    bool f16;                            /* WGSL shader-f16                                          */
    bool subgroups;                      /* WGSL subgroup operations                                 */
    bool timestamps;                     /* GPU timestamps at pass boundaries                        */
    bool timestamps_in_pass;             /* GPU timestamps between dispatches of one pass (native)   */
    uint32_t subgroup_min, subgroup_max; /* 0 when the adapter does not say              */
    uint64_t max_buffer_bytes;
    uint64_t max_binding_bytes;   /* maxStorageBufferBindingSize                  */
    uint32_t max_storage_buffers; /* per shader stage                             */
    uint32_t max_workgroup_bytes; /* maxComputeWorkgroupStorageSize               */
    uint32_t max_workgroup_invocations;
    uint32_t max_workgroup_size[3];
    uint32_t max_grid;          /* maxComputeWorkgroupsPerDimension             */
    uint32_t storage_alignment; /* minStorageBufferOffsetAlignment              */
    uint32_t uniform_alignment; /* minUniformBufferOffsetAlignment              */
} qn_device_info;

/* Lists the adapters of this machine, best first within each kind as the implementation gives them.
 * Writes at most `capacity` entries to infos (may be NULL when capacity is 0) and the full number to
 * *count. The position in this list is what qn_engine_options.device takes. */
QN_API qn_status qn_devices(qn_device_info *infos, size_t capacity, size_t *count);

/* ---- engine ---------------------------------------------------------------------------------- */

typedef struct qn_engine qn_engine;

/* What the kernels of a graph may round. */
typedef enum qn_precision {
    QN_PRECISION_EXACT = 0, /* nothing: f32 activations and sums                                         */
    QN_PRECISION_AUTO,      /* what is fastest: activations may be rounded to 8 bits in blocks of 32     */
} qn_precision;

typedef struct qn_engine_options {
    const char *device;       /* NULL: the best GPU, a software adapter only when there is no other.
                                 "2": position in qn_devices. Otherwise: a part of the adapter's name. */
    bool baseline;            /* core WebGPU limits and no optional feature, on any adapter            */
    uint64_t gpu_memory;      /* most bytes of GPU memory this engine may hold; 0: no own limit        */
    const char *route;        /* force this kernel row ("linear.gemv") wherever it is usable           */
    const char *dump_shaders; /* folder into which every compiled WGSL source is written           */
    bool trace;               /* log every dispatch (kernel, grid, parameters) at QN_LOG_DEBUG         */
    uint32_t threads;         /* most threads that compile kernels; 0: one a processor, at most 16     */
    bool checked;             /* keep the implementation's bounds checks in all kernels (slower)       */
    const char *cache_dir;    /* folder in which is kept, by adapter, driver and version, which kernels
                                 passed their test and which ones tuning chose; it must exist.
                                 NULL: nothing is kept                                                */
    bool self_test;           /* tries each kernel row that plan() may choose and that is not of the
                                 baseline once, on small tensors, unless cache_dir remembers it; one
                                 that computes wrongly is not used. Not with baseline                 */
    qn_log_fn log;            /* NULL: silent                                                          */
    void *log_user;
    const qn_allocator *allocator;  /* NULL: malloc; must outlive the engine                        */
    uint64_t fail_allocation_after; /* testing: the GPU allocation that would pass this many bytes
                                       fails as if the device were out of memory; 0: never         */
    uint64_t max_binding_bytes;     /* testing: report at most this as the device's max_binding_bytes and
                                       twice this as max_buffer_bytes, so that what is split on large
                                       tensors is split on small ones; 0: the device's own             */
    const char *break_route;        /* testing: the kernels of this row do nothing, as if the driver
                                       compiled them wrongly                                        */
    uint32_t guard_bytes;           /* testing: as many bytes behind every binding that ends its buffer
                                       are bound with it, and filled with guard_byte                 */
    uint8_t guard_byte;
} qn_engine_options;

/* Opens an engine (blocking; see qn_opening for steps). */
#ifndef QN_NO_BLOCKING
QN_API qn_status qn_engine_open(const qn_engine_options *options, qn_engine **engine);
#endif

/* Opening in steps, for where adapter and device come later: open, step until *engine is set, close (also before that,
 * which gives it up). No step blocks. */
typedef struct qn_opening qn_opening;
QN_API qn_status qn_opening_open(const qn_engine_options *options, qn_opening **opening);
/* *engine is NULL until it is open. *pending (may be NULL): nothing can be done before a callback of WebGPU. */
QN_API qn_status qn_opening_step(qn_opening *opening, qn_engine **engine, bool *pending);
QN_API void qn_opening_close(qn_opening *opening);

/* Frees the engine. Models, sessions and graphs made from it must be closed before. NULL is allowed. */
QN_API void qn_engine_close(qn_engine *engine);
QN_API const qn_device_info *qn_engine_device(const qn_engine *engine);
/* GPU bytes that this engine holds now, and the most it ever held. */
QN_API uint64_t qn_engine_gpu_bytes(const qn_engine *engine, uint64_t *peak);
/* GPU bytes that this engine would have held with what was refused last, by gpu_memory or the device; 0: nothing was.
 * After QN_ERR_GPU_MEMORY of opening a model or a session: what is needed at least. */
QN_API uint64_t qn_engine_gpu_refused(const qn_engine *engine);
/* Whether the device is lost, or an error waits that WebGPU told later than in the call that caused it, as browsers do
 * (QN_ERR_GPU, QN_ERR_GPU_MEMORY; told once). Other calls report it too, but then it is of an earlier one: ask after a
 * model or a session was opened, and the GPU was heard of since. */
QN_API qn_status qn_engine_check(qn_engine *engine);
/* Testing: destroys the device as a driver reset would; later calls return QN_ERR_DEVICE_LOST. */
QN_API void qn_engine_lose_device(qn_engine *engine);

/* One kernel row (a compiled variant that plan() may choose). */
typedef struct qn_route_info {
    const char *name;  /* "linear.gemv"                                                     */
    const char *needs; /* "baseline", "f16" or "subgroups"                                  */
    bool usable;       /* this device can run it                                            */
    bool preferred;    /* plan() may choose it on this device without being forced          */
    bool tested;       /* by the engine's self-test, now or as remembered                   */
    bool wrong;        /* it failed: plan() does not choose it                              */
    bool inexact;      /* rounds activations: only where the precision is QN_PRECISION_AUTO */
} qn_route_info;

/* The kernel rows of every operation on a device described by info (of a listed or opened adapter). */
QN_API size_t qn_routes(const qn_device_info *info, qn_route_info *routes, size_t capacity);
/* The same on an opened device, with what its self-test found. */
QN_API size_t qn_engine_routes(const qn_engine *engine, qn_route_info *routes, size_t capacity);
#ifndef QN_NO_BLOCKING
/* The self-test, now, of every row that this device can run, the baseline's too. Results are kept as at open. */
QN_API qn_status qn_engine_self_test(qn_engine *engine);
#endif

/* ---- model ----------------------------------------------------------------------------------- */

typedef struct qn_model qn_model;
typedef struct qn_tokenizer qn_tokenizer;

/* Called while loading; done and total are bytes of weights. Return false to cancel. */
typedef bool (*qn_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef struct qn_model_options {
    bool no_tokenizer;       /* load the weights only; qn_model_tokenizer returns NULL              */
    qn_progress_fn progress; /* NULL: none                                                          */
    void *progress_user;
} qn_model_options;

/* Facts of a model file, read without loading the weights. */
typedef struct qn_model_info {
    char architecture[32];
    char name[128];
    uint64_t file_bytes, n_parameters, weight_gpu_bytes;
    uint32_t n_vocab, n_ctx_train, n_embd, n_layers, n_heads, n_kv_heads, head_dim, n_ff;
    float rope_freq_base, rms_eps;
    bool tied_output;
    bool has_tokenizer;          /* a tokenizer that this version reads                           */
    char tokenizer[64];          /* "gpt2 / llama-bpe", or why there is none                      */
    char chat_template[64];      /* "llama3", "" when the file has none, or "unsupported: ..."    */
    uint64_t kv_bytes_per_token; /* GPU bytes of KV cache for one position, all layers, in f32    */
} qn_model_info;

/* Opens a GGUF file and loads its weights into GPU memory (blocking; see qn_loader for steps). */
#ifndef QN_NO_BLOCKING
QN_API qn_status qn_model_open(qn_engine *engine, const char *path, const qn_model_options *options, qn_model **model);
#endif
QN_API void qn_model_close(qn_model *model);
QN_API const qn_model_info *qn_model_get_info(const qn_model *model);
/* NULL when the file has no tokenizer that this version reads; why says so (may be NULL). */
QN_API const qn_tokenizer *qn_model_tokenizer(const qn_model *model, const char **why);

/* Loading in steps, never blocking longer than one step (about 8 MiB of weights): open, step until
 * *model is set, close. Bytes come from a source: a function that reads a range of the file. */
typedef struct qn_source {
    void *user;
    uint64_t size; /* bytes of the file */
    /* Returns a pointer to `size` bytes at `offset`, valid until the next call, or NULL with *status
     * set. A source whose bytes are still on their way sets *pending and returns NULL. */
    const void *(*read)(void *user, uint64_t offset, size_t size, bool *pending, qn_status *status);
} qn_source;

typedef struct qn_loader qn_loader;
QN_API qn_status qn_loader_open(qn_engine *engine, const qn_source *source, const qn_model_options *options,
                                qn_loader **loader);
/* Works for a bounded time. *model is NULL until everything is loaded. *pending (may be NULL): nothing can be done
 * before the GPU or the source moves on. */
QN_API qn_status qn_loader_step(qn_loader *loader, qn_model **model, bool *pending);
QN_API void qn_loader_close(qn_loader *loader);

/* A model file's header alone: no GPU, no weights. */
typedef struct qn_inspection qn_inspection;

typedef struct qn_tensor_info {
    const char *name; /* zero-terminated; as in the file                                          */
    const char *type; /* "Q4_0"; "type 99" for a number that the format does not define           */
    bool supported;   /* a type that this version reads                                           */
    uint32_t n_dims;
    uint64_t dims[4];    /* as in the file: dims[0] is the fastest (K of a matrix); unused are 1     */
    uint64_t file_bytes; /* 0 when the type's size is not known                                      */
} qn_tensor_info;

/* GPU bytes that a model with one session takes. */
typedef struct qn_memory_plan {
    uint32_t ctx, chunk;                  /* that the session would choose                              */
    uint64_t weights, kv, working, total; /* working: activations, scratch, inputs, outputs, parameters */
} qn_memory_plan;

/* Reads the header of a GGUF file. Succeeds on every well-formed file, also one that this version does not run:
 * what the file does not say stays 0 or empty in its qn_model_info. allocator NULL: malloc. */
QN_API qn_status qn_inspect_open(const qn_allocator *allocator, const char *path, qn_inspection **inspection);
QN_API void qn_inspect_close(qn_inspection *inspection);
/* The same in steps from any source, as qn_loader: open, step until *inspection is set, close. Only the head of the
 * file is read, about a MiB at a time; the source is not used after that. */
typedef struct qn_inspector qn_inspector;
QN_API qn_status qn_inspector_open(const qn_allocator *allocator, const qn_source *source, qn_inspector **inspector);
/* *pending (may be NULL): nothing can be done before the source moves on. */
QN_API qn_status qn_inspector_step(qn_inspector *inspector, qn_inspection **inspection, bool *pending);
QN_API void qn_inspector_close(qn_inspector *inspector);
QN_API const qn_model_info *qn_inspect_info(const qn_inspection *inspection);
QN_API size_t qn_inspect_n_tensors(const qn_inspection *inspection);
QN_API const qn_tensor_info *qn_inspect_tensor(const qn_inspection *inspection, size_t i); /* NULL past the end */
/* NULL when the file has no tokenizer that this version reads; why says so (may be NULL). */
QN_API const qn_tokenizer *qn_inspect_tokenizer(const qn_inspection *inspection, const char **why);
/* What the model and a session opened with these options would take on a device (NULL: core WebGPU limits) under
 * gpu_memory (as in qn_engine_options). The errors are those of qn_model_open and qn_session_open: architecture or
 * tensor type not supported, memory not enough. With QN_ERR_GPU_MEMORY *plan says what would be needed (of the shortest
 * context that was tried, where it is chosen), with others it is 0. options NULL: defaults. */
struct qn_session_options;
QN_API qn_status qn_inspect_memory(const qn_inspection *inspection, const qn_device_info *device,
                                   const struct qn_session_options *options, uint64_t gpu_memory, qn_memory_plan *plan);

/* ---- tokenizer ------------------------------------------------------------------------------- */

/* Reads a tokenizer that lies beside a model instead of in it, told apart by its contents:
 *  - Hugging Face's tokenizer.json: BPE, byte-level or with byte fallback. What tokenizer_config.json and
 *    chat_template.jinja in the same folder say of bos, eos and the chat template is read too. Its "truncation" and
 *    "padding" are left to the caller.
 *  - tiktoken's lines of "base64 rank", as Llama 3's tokenizer.model has them; its 256 special tokens are numbered
 *    behind the last rank (Llama 3.1's names).
 * QN_ERR_UNSUPPORTED names the part of a file that this version does not know; QN_ERR_FORMAT says where a file is
 * damaged. allocator NULL: malloc. */
QN_API qn_status qn_tokenizer_open_file(const qn_allocator *allocator, const char *path, qn_tokenizer **tokenizer);

/* The same from memory, which may go away afterwards. */
typedef struct qn_tokenizer_files {
    const void *data; /* tokenizer.json or tokenizer.model */
    size_t size;
    const void *config; /* tokenizer_config.json; NULL: none */
    size_t config_size;
    const void *chat_template; /* chat_template.jinja; NULL: none */
    size_t chat_template_size;
} qn_tokenizer_files;
QN_API qn_status qn_tokenizer_open_memory(const qn_allocator *allocator, const qn_tokenizer_files *files,
                                          qn_tokenizer **tokenizer);
/* Closes what these two opened; a model's or an inspection's tokenizer goes with its owner. */
QN_API void qn_tokenizer_close(qn_tokenizer *tokenizer);

typedef struct qn_encode_options {
    bool add_bos;       /* put the file's bos token first                                     */
    bool parse_special; /* read special tokens such as <|eot_id|> in the text as tokens        */
} qn_encode_options;

/* Text (UTF-8; invalid bytes are encoded byte by byte) to token ids. Writes at most capacity ids and
 * the full number to *n_tokens; QN_ERR_ARGUMENT when they do not fit. At most n_bytes + 1 ids, but for
 * a tokenizer.json that rewrites the text (normalizer, prefix): there ask again with what it says. */
QN_API qn_status qn_tokenizer_encode(const qn_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                     const qn_encode_options *options, int32_t *tokens, size_t capacity,
                                     size_t *n_tokens);
/* The bytes of one token (not zero-terminated; NULL and 0 for ids outside the vocabulary). Special
 * tokens give their text, for example "<|eot_id|>". */
QN_API const char *qn_tokenizer_bytes(const qn_tokenizer *tokenizer, int32_t token, size_t *n_bytes);
QN_API bool qn_tokenizer_is_special(const qn_tokenizer *tokenizer, int32_t token);
/* True for tokens that end a generation (eos, eot, eom). */
QN_API bool qn_tokenizer_is_end(const qn_tokenizer *tokenizer, int32_t token);
QN_API int32_t qn_tokenizer_bos(const qn_tokenizer *tokenizer);   /* -1: none */
QN_API int32_t qn_tokenizer_eos(const qn_tokenizer *tokenizer);   /* -1: none */
QN_API bool qn_tokenizer_adds_bos(const qn_tokenizer *tokenizer); /* the file asks for bos first */
QN_API uint32_t qn_tokenizer_n_vocab(const qn_tokenizer *tokenizer);
/* Spaces that are to be left out at the start of a whole decoded text: some tokenizers put one before every
 * text. 0 for most. */
QN_API uint32_t qn_tokenizer_strip_start(const qn_tokenizer *tokenizer);

/* Streaming decoder: holds back an incomplete UTF-8 sequence until it is whole. */
typedef struct qn_utf8_hold {
    char bytes[4];
    uint32_t n;
} qn_utf8_hold;

/* Appends bytes and writes what is whole to out (at most n_bytes + 4 bytes; invalid bytes become
 * U+FFFD, three bytes each, so give out 3 * (n_bytes + 4) bytes). Returns the number written. With
 * bytes NULL flushes what is held. */
QN_API size_t qn_utf8_push(qn_utf8_hold *hold, const char *bytes, size_t n_bytes, char *out);

/* ---- chat ------------------------------------------------------------------------------------ */

typedef struct qn_chat_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, zero-terminated         */
} qn_chat_message;

/* Renders a conversation with the model's own template to tokens (special tokens parsed only where the
 * template puts them, never inside the messages). QN_ERR_UNSUPPORTED names a template that this version
 * does not know. */
QN_API qn_status qn_chat_encode(const qn_model *model, const qn_chat_message *messages, size_t n_messages,
                                bool add_generation_prompt, int32_t *tokens, size_t capacity, size_t *n_tokens);

/* The same for a tokenizer that was opened by itself, and its template's name: "llama3", "" when there is none, or
 * "unsupported: chatml". */
QN_API qn_status qn_tokenizer_chat_encode(const qn_tokenizer *tokenizer, const qn_chat_message *messages,
                                          size_t n_messages, bool add_generation_prompt, int32_t *tokens,
                                          size_t capacity, size_t *n_tokens);
QN_API const char *qn_tokenizer_chat_template(const qn_tokenizer *tokenizer);

/* ---- sampler --------------------------------------------------------------------------------- */

typedef struct qn_sampler qn_sampler;

typedef struct qn_sampler_options {
    float temperature;          /* 0: greedy                                                        */
    uint32_t top_k;             /* 0: off                                                           */
    float top_p;                /* 0 or 1: off                                                      */
    float min_p;                /* 0: off                                                           */
    float repetition_penalty;   /* 0 or 1: off; > 1 lowers tokens of the last repetition_window     */
    uint32_t repetition_window; /* 0: 64                                                          */
    uint64_t seed;              /* the same seed and logits give the same tokens                    */
} qn_sampler_options;

QN_API qn_status qn_sampler_open(const qn_sampler_options *options, uint32_t n_vocab, qn_sampler **sampler);
QN_API void qn_sampler_close(qn_sampler *sampler);
/* Picks a token. logits [n_vocab]; history: the tokens so far, for the repetition penalty. */
QN_API qn_status qn_sampler_pick(qn_sampler *sampler, const float *logits, const int32_t *history, size_t n_history,
                                 int32_t *token);

/* How unexpected a token is, -log softmax(logits)[token] in nats: its mean over a text is the log of the perplexity.
 * logits [n_vocab]; token is one of them. */
QN_API double qn_surprise(const float *logits, size_t n_vocab, int32_t token);

/* ---- session --------------------------------------------------------------------------------- */

typedef struct qn_session qn_session;

/* How keys and values are kept. */
typedef enum qn_kv_type {
    QN_KV_DEFAULT = 0, /* f16 with QN_PRECISION_AUTO on a GPU, else f32       */
    QN_KV_F32,
    QN_KV_F16,
    QN_KV_Q8_0, /* blocks of 32 signed bytes with an f16 scale         */
} qn_kv_type;

typedef struct qn_session_options {
    uint32_t ctx;   /* positions; 0: the model's own context up to 4096 and what fits in gpu_memory */
    uint32_t chunk; /* most tokens of one prefill step; 0: chosen for the device                    */
    qn_precision precision;
    qn_kv_type kv_type;
} qn_session_options;

QN_API qn_status qn_session_open(qn_model *model, const qn_session_options *options, qn_session **session);
QN_API void qn_session_close(qn_session *session);
QN_API uint32_t qn_session_ctx(const qn_session *session);
QN_API uint32_t qn_session_chunk(const qn_session *session);
/* The tokens whose keys and values the session holds. */
QN_API const int32_t *qn_session_tokens(const qn_session *session, size_t *n_tokens);

typedef enum qn_logits_mode {
    QN_LOGITS_LAST = 0, /* of the last position only              */
    QN_LOGITS_ALL,      /* of every newly computed position       */
} qn_logits_mode;

/* Makes `tokens` the session's content: keeps the longest common prefix of what it holds (at least the
 * last token is computed again) and queues the rest. Ids outside the vocabulary and lists longer than
 * the context are refused and nothing changes. *n_reused (may be NULL) gets the kept length. */
QN_API qn_status qn_session_set_tokens(qn_session *session, const int32_t *tokens, size_t n_tokens, qn_logits_mode mode,
                                       size_t *n_reused);
/* Queues one more token; QN_ERR_CONTEXT when the context is full (nothing changes). */
QN_API qn_status qn_session_append(qn_session *session, int32_t token);

typedef enum qn_step_state {
    QN_STEP_PENDING = 0, /* the GPU is working: call again                                          */
    QN_STEP_CHUNK,       /* a chunk is done and more are queued; with QN_LOGITS_ALL its logits are
                            there to be read                                                        */
    QN_STEP_READY,       /* all queued tokens are done; logits are there to be read                 */
    QN_STEP_TOKEN,       /* generating: a token is there, qn_session_token                          */
    QN_STEP_END,         /* generating: it is over; qn_session_token says why                       */
} qn_step_state;

/* Advances without blocking. */
QN_API qn_status qn_session_step(qn_session *session, qn_step_state *state);
/* Logits of the newest step, [*n_rows, n_vocab] f32; *first_row is the position of row 0. Valid until
 * the next call on the session. */
QN_API const float *qn_session_logits(const qn_session *session, size_t *n_rows, size_t *first_row);

/* ---- generating on the GPU -------------------------------------------------------------------- */

typedef struct qn_generate_options {
    qn_sampler_options sampler;
    uint64_t first_draw;           /* random numbers that the same seed gave before: 0 at first           */
    size_t max_tokens;             /* 0: until the context is full                                        */
    const qn_tokenizer *tokenizer; /* its end tokens end the generation; NULL: none does                  */
} qn_generate_options;

/* Starts generating after the session's tokens: steps compute what is queued, then give a token each with
 * QN_STEP_TOKEN, and QN_STEP_END once. The token is sampled on the GPU, the same one as qn_sampler_pick takes from the
 * same logits, and fed back there, so that several steps are under way and the GPU does not wait for the host; logits
 * are not read back. Each token joins the session's content, but one that ends the generation, and one for which the
 * context has no room. QN_ERR_STATE while a step is under way or where there are no tokens to go on from. options NULL:
 * defaults. */
QN_API qn_status qn_session_generate(qn_session *session, const qn_generate_options *options);
/* Ends the generation: the tokens handed out stay the session's content, what was computed beyond them counts for
 * nothing. Nothing happens where none is under way. */
QN_API void qn_session_stop(qn_session *session);

/* Why a generation ended. */
typedef enum qn_stop {
    QN_STOP_NONE = 0, /* it has not           */
    QN_STOP_TOKEN,    /* by an end token      */
    QN_STOP_LIMIT,    /* max_tokens           */
    QN_STOP_CONTEXT,  /* the context is full  */
    QN_STOP_CALLER,   /* qn_session_stop      */
} qn_stop;

/* The newest token of the generation (-1: none yet), also the end token; *stop (may be NULL): why it ended. */
QN_API int32_t qn_session_token(const qn_session *session, qn_stop *stop);

#ifndef QN_NO_BLOCKING
/* Steps until the state is not PENDING, waiting for the GPU in between. */
QN_API qn_status qn_session_wait(qn_session *session, qn_step_state *state);
#endif

#ifdef __cplusplus
}
#endif
#endif
