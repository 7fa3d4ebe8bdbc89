/* What loading costs: speed from a warm file cache, and the process's memory. A software device keeps its GPU memory in
 * the process, so the file, the weights and little more are what loading may take. Each model is loaded by a process of
 * its own, whose peak is then its own, too. */
#include "support/model_harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "format/quant.h"

#if defined(__SANITIZE_ADDRESS__)
enum { MEASURABLE = 0 }; /* shadow memory and quarantine count, too */
#elif defined(__OPTIMIZE__)
enum { MEASURABLE = 1 };
#else
enum { MEASURABLE = 0 };
#endif

enum { MIB = 1 << 20 };

typedef struct cost {
    qn_status status;
    uint64_t file_bytes, gpu_bytes, gpu_peak;
    uint64_t most_rss;
    double seconds[3]; /* of loading once and again: the first time maps the file's pages */
} cost;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The peak of this process's resident memory. */
static uint64_t peak_rss(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) break;
    if (f) fclose(f);
    return (uint64_t)kib * 1024;
}

static qn_status load(qn_engine *engine, qn_file *file, qn_model **model)
{
    qn_source source = qn_file_source(file);
    qn_loader *loader;
    qn_status s = qn_loader_open(engine, &source, &(qn_model_options){.no_tokenizer = true}, &loader);
    while (s.code == QN_OK && !*model) s = qn_loader_step(loader, model, NULL);
    qn_loader_close(loader);
    return s;
}

static qn_status measure(const char *path, cost *c)
{
    qn_engine *engine;
    qn_file file;
    QN_TRY(qn_test_open_engine((qn_engine_options){.baseline = true}, &engine));
    QN_TRY(qn_file_open(path, &file));
    c->file_bytes = file.size;
    for (int i = 0; i < 3; i++) {
        qn_model *model = NULL;
        double start = now();
        QN_TRY(load(engine, &file, &model));
        c->seconds[i] = now() - start;
        if (i == 0) c->most_rss = peak_rss();
        c->gpu_bytes = qn_model_get_info(model)->weight_gpu_bytes;
        qn_engine_gpu_bytes(engine, &c->gpu_peak);
        qn_model_close(model);
    }
    qn_file_close(&file);
    qn_engine_close(engine);
    return qn_ok();
}

/* In a child, which has not touched the GPU before. */
static cost measure_apart(const char *path)
{
    cost c = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        c.status = measure(path, &c);
        ssize_t n = write(ends[1], &c, sizeof c);
        _exit(n == (ssize_t)sizeof c ? 0 : 1);
    }
    close(ends[1]);
    size_t at = 0;
    for (ssize_t n; at < sizeof c && (n = read(ends[0], (char *)&c + at, sizeof c - at)) > 0;) at += (size_t)n;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(at, sizeof c);
    return c;
}

static void check(const char *name, uint32_t type, uint32_t n_layers)
{
    qn_random_model m = qn_random_model_llama_3_2_1b();
    char path[512], file_name[64];
    m.type = m.embd_type = type;
    m.n_vocab = 8192;
    m.n_layers = n_layers;
    m.tokenizer = QN_RANDOM_TOKENIZER_NONE;
    snprintf(file_name, sizeof file_name, "%s.gguf", name);
    qn_test_write(file_name, "", 0, path);
    FILE *f = fopen(path, "wb");
    if (!f || !qn_random_model_write(&m, f) || fclose(f) != 0) fail_msg("%s: %s", path, strerror(errno));
    cost c = measure_apart(path);
    remove(path);
    qn_assert_ok(c.status);
    double best = c.seconds[0];
    for (int i = 1; i < 3; i++)
        if (c.seconds[i] < best) best = c.seconds[i];
    uint64_t allowed = c.file_bytes + c.gpu_bytes + 256 * (uint64_t)MIB;
    print_message(
        "%s: %.0f MB in %.2f s, %.2f, %.2f: best %.2f GB/s; peak of the process %.0f MB (file %.0f, GPU %.0f)\n", name,
        (double)c.file_bytes * 1e-6, c.seconds[0], c.seconds[1], c.seconds[2], (double)c.file_bytes * 1e-9 / best,
        (double)c.most_rss * 1e-6, (double)c.file_bytes * 1e-6, (double)c.gpu_bytes * 1e-6);
    assert_true(c.gpu_peak <= c.gpu_bytes + 40 * MIB); /* staging is bounded */
    if (!MEASURABLE) return;
    assert_true(c.most_rss > 0 && c.most_rss <= allowed);
    assert_true((double)c.file_bytes * 1e-9 / best >= 0.3); /* a slow and busy machine's */
}

static void eight_bits(void **state)
{
    (void)state;
    check("q8_0", QN_GGML_Q8_0, 6);
}

static void four_bits(void **state)
{
    (void)state;
    check("q4_0", QN_GGML_Q4_0, 10);
}

static void four_bits_in_super_blocks(void **state)
{
    (void)state;
    check("q4_k", QN_GGML_Q4_K, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bits),
        cmocka_unit_test(four_bits),
        cmocka_unit_test(four_bits_in_super_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
