/* bench_report.c - what `quern bench` found, as tables and as JSON.
 *
 * A mark between two dispatches costs time itself, several microseconds on a GPU, and makes the second wait for the
 * first. How much is known: the marked dispatches together against the same run with marks at the ends of its passes
 * only. That difference, taken from all alike, leaves a dispatch's net time. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *qn_bench_name(const qn_bench_test *t, char text[64])
{
    int n = snprintf(text, 64, "%s%" PRIu32, t->prompt ? "pp" : "tg", t->prompt ? t->prompt : t->steps);
    if (t->depth) snprintf(text + n, 64 - (size_t)n, "@%" PRIu32, t->depth);
    return text;
}

/* ---- figures --------------------------------------------------------------------------------- */

static uint32_t tokens_of(const qn_bench_test *t)
{
    return t->prompt ? t->prompt : t->steps;
}

/* What the times below are of: one prompt, or one token. */
static double units_of(const qn_bench_test *t)
{
    return t->prompt ? 1 : t->steps;
}

static double wall_us(const qn_bench_test *t)
{
    double rate = qn_cli_median(t->rates, t->n_runs);
    return rate > 0 ? 1e6 * tokens_of(t) / rate / units_of(t) : 0;
}

static double gpu_us(const qn_bench_test *t)
{
    return 1e-3 * t->pass_ns / units_of(t);
}

/* Of all measured runs, per prompt or token. */
static double mean(const qn_bench_test *t, double sum)
{
    return sum / (units_of(t) * t->n_runs);
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double marked_ns(const qn_bench_test *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->n_kernels; i++) sum += t->kernels[i].ns;
    return sum;
}

/* What a mark costs. */
static double mark_ns(const qn_bench_test *t)
{
    double n = 0, more = marked_ns(t) - t->pass_ns;
    for (size_t i = 0; i < t->n_kernels; i++) n += (double)t->kernels[i].dispatches;
    return more > 0 ? ratio(more, n) : 0;
}

static int by_time(const void *a, const void *b)
{
    const qn_bench_kernel *x = a, *y = b;
    return (x->net_ns < y->net_ns) - (x->net_ns > y->net_ns);
}

void qn_bench_settle(qn_bench_test *t)
{
    double mark = mark_ns(t);
    for (size_t i = 0; i < t->n_kernels; i++) {
        qn_bench_kernel *k = &t->kernels[i];
        k->net_ns = k->ns - mark * (double)k->dispatches;
        if (k->net_ns < 0) k->net_ns = 0;
    }
    if (t->n_kernels) qsort(t->kernels, t->n_kernels, sizeof t->kernels[0], by_time);
}

/* ---- text ------------------------------------------------------------------------------------ */

void qn_bench_print_head(void)
{
    printf("%-14s %10s %20s %7s %54s\n", "", "tok/s", "least to most", "spread", "of the prompt, or of one token:");
    printf("%-14s %10s %20s %7s %10s %10s %8s %10s %8s %9s\n", "test", "median", "", "", "wall us", "GPU us",
           "wall/GPU", "dispatches", "plan us", "encode us");
}

/* A number, or "-" where there is none. */
static void print_cell(int width, int digits, double value)
{
    if (value > 0)
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

/* A rate and its part of a peak. */
static void print_rate(double per_second, double unit, double peak)
{
    char part[16] = "-";
    if (per_second > 0 && peak > 0) snprintf(part, sizeof part, "%.1f%%", 100 * per_second / peak);
    if (per_second > 0)
        printf(" %8.4g %7s", per_second / unit, part);
    else
        printf(" %8s %7s", "-", "-");
}

static void print_kernels(const qn_bench_test *t, const qn_peaks *peaks)
{
    double total = 0;
    for (size_t i = 0; i < t->n_kernels; i++) total += t->kernels[i].net_ns;
    printf("\n  %-26s %-26s %6s %9s %10s %6s %8s %7s %8s %7s\n", "kernel", "node", "count", "us each", "us", "share",
           "GB/s", "of copy", "TFLOP/s", "of FMA");
    for (size_t i = 0; i < t->n_kernels; i++) {
        const qn_bench_kernel *k = &t->kernels[i];
        printf("  %-26s %-26s %6.4g", k->kernel, k->node, (double)k->dispatches / units_of(t));
        printf(" %9.2f %10.1f %5.1f%%", 1e-3 * k->net_ns / (double)k->dispatches, 1e-3 * k->net_ns / units_of(t),
               100 * ratio(k->net_ns, total));
        print_rate(1e9 * ratio(k->bytes, k->net_ns), 1e9, peaks->copy_bytes);
        print_rate(1e9 * ratio(k->flops, k->net_ns), 1e12, peaks->f32_flops);
        putchar('\n');
    }
    printf("  sum %.1f us, %.1f with marks between dispatches; a mark costs %.2f us, which is taken off above\n\n",
           1e-3 * total / units_of(t), 1e-3 * marked_ns(t) / units_of(t), 1e-3 * mark_ns(t));
}

void qn_bench_print(const qn_bench_test *t, const qn_peaks *peaks)
{
    char name[64], range[64];
    double median = qn_cli_median(t->rates, t->n_runs), least = t->rates[0], most = t->rates[t->n_runs - 1];
    snprintf(range, sizeof range, "%.1f to %.1f", least, most);
    printf("%-14s %10.1f %20s %6.1f%%", qn_bench_name(t, name), median, range, 100 * ratio(most - least, median));
    print_cell(10, 1, wall_us(t));
    print_cell(10, 1, gpu_us(t));
    print_cell(8, 3, ratio(wall_us(t), gpu_us(t)));
    print_cell(10, 0, mean(t, (double)t->dispatches));
    print_cell(8, 1, 1e-3 * mean(t, t->plan_ns));
    print_cell(9, 1, 1e-3 * mean(t, t->encode_ns));
    putchar('\n');
    if (t->n_kernels) print_kernels(t, peaks);
}

void qn_bench_print_peaks(const qn_peaks *peaks)
{
    printf("peaks: copy %.1f GB/s (read and written), f32 FMA %.2f TFLOP/s, 8-bit dot products %.2f TOP/s\n",
           1e-9 * peaks->copy_bytes, 1e-12 * peaks->f32_flops, 1e-12 * peaks->i8_ops);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void set_real(json_t *o, const char *name, double value)
{
    json_object_set_new(o, name, qn_cli_json_real(value));
}

/* A figure that may be missing. */
static void set_known(json_t *o, const char *name, double value)
{
    json_object_set_new(o, name, value > 0 ? qn_cli_json_real(value) : json_null());
}

static json_t *kernels_json(const qn_bench_test *t, const qn_peaks *peaks)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_kernels; i++) {
        const qn_bench_kernel *k = &t->kernels[i];
        double gbps = ratio(k->bytes, k->net_ns), gflops = ratio(k->flops, k->net_ns);
        json_t *o = json_object();
        json_object_set_new(o, "kernel", json_string(k->kernel));
        json_object_set_new(o, "node", json_string(k->node));
        json_object_set_new(o, "dispatches", qn_cli_json_u64(k->dispatches));
        set_real(o, "gpu_us", 1e-3 * k->ns);
        set_real(o, "net_us", 1e-3 * k->net_ns);
        set_known(o, "gbps", gbps);
        set_known(o, "of_copy", ratio(gbps * 1e9, peaks->copy_bytes));
        set_known(o, "tflops", gflops * 1e-3);
        set_known(o, "of_fma", ratio(gflops * 1e9, peaks->f32_flops));
        json_array_append_new(list, o);
    }
    return list;
}

json_t *qn_bench_json(const qn_bench_test *t, const qn_peaks *peaks)
{
    char name[64];
    json_t *o = json_object(), *rates = json_array();
    for (uint32_t i = 0; i < t->n_runs; i++) json_array_append_new(rates, qn_cli_json_real(t->rates[i]));
    json_object_set_new(o, "test", json_string(qn_bench_name(t, name)));
    json_object_set_new(o, "prompt", qn_cli_json_u64(t->prompt));
    json_object_set_new(o, "steps", qn_cli_json_u64(t->steps));
    json_object_set_new(o, "depth", qn_cli_json_u64(t->depth));
    json_object_set_new(o, "runs", qn_cli_json_u64(t->n_runs));
    set_real(o, "median_tokens_per_second", qn_cli_median(t->rates, t->n_runs));
    set_real(o, "min_tokens_per_second", t->rates[0]);
    set_real(o, "max_tokens_per_second", t->rates[t->n_runs - 1]);
    json_object_set_new(o, "tokens_per_second", rates);
    json_object_set_new(o, "times_of", json_string(t->prompt ? "prompt" : "token"));
    set_real(o, "wall_us", wall_us(t));
    set_known(o, "gpu_us", gpu_us(t));
    set_known(o, "wall_per_gpu", ratio(wall_us(t), gpu_us(t)));
    set_real(o, "executions", mean(t, (double)t->executions));
    set_real(o, "dispatches", mean(t, (double)t->dispatches));
    set_real(o, "plan_us", 1e-3 * mean(t, t->plan_ns));
    set_real(o, "encode_us", 1e-3 * mean(t, t->encode_ns));
    if (!t->n_kernels) return o;
    json_object_set_new(o, "kernels", kernels_json(t, peaks));
    set_real(o, "kernels_gpu_us", 1e-3 * marked_ns(t));
    set_real(o, "passes_gpu_us", 1e-3 * t->pass_ns);
    set_real(o, "mark_us", 1e-3 * mark_ns(t));
    return o;
}

json_t *qn_bench_peaks_json(const qn_peaks *peaks)
{
    json_t *o = json_object();
    set_known(o, "copy_gbps", 1e-9 * peaks->copy_bytes);
    set_known(o, "f32_tflops", 1e-12 * peaks->f32_flops);
    set_known(o, "i8_tops", 1e-12 * peaks->i8_ops);
    return o;
}

/* ---- peaks ----------------------------------------------------------------------------------- */

void qn_bench_measure_peaks(qn_engine *engine, qn_peaks *peaks)
{
#ifdef QN_NO_BLOCKING
    (void)engine;
    qn_status s = qn_cli_fail(QN_ERR_UNSUPPORTED, "this build has no blocking calls to read timestamps with");
#else
    qn_status s = qn_engine_measure_peaks(engine, peaks);
#endif
    if (s.code == QN_OK) return;
    *peaks = (qn_peaks){0};
    fprintf(stderr, "quern bench: no peaks: %s\n", s.text);
}
