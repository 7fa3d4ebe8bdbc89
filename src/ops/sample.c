/* sample.c - picking the next token from logits (base/sample_rule.h says which).
 *
 * Slices of the vocabulary are worked on by a workgroup each, until the last kernel has to look into one of them only:
 *   scan   logits to keys; each slice's best token                    -> best   a greedy pick ends here
 *   count  tokens and weights by bins of their gap, with top-k or top-p
 *   sift   finds the bins in which these end; sums the slices' final weights; lists the tokens of those bins
 *   draw   finds the exact ends among the listed tokens, then the slice and the token that the random word hits
 * The settings are read on the host, where they choose the kernels; the number of dispatches depends on them only. */
#include "base/random.h"
#include "base/sample_rule.h"
#include "ops/check.h"

#include <inttypes.h>

/* SLICE and BINS are the same in all rows: the kernels of a pick share what they leave in scratch. The most tokens keep
 * a lane of the last kernel below the 65,535 iterations that a software device allows, also where all logits are equal
 * and so on its list: a lane goes through that up to 15 times. Narrow rows count in `work` (OWN 0)
 * instead of workgroup memory, which is no slower on software devices: one of them clears that memory in code, word by
 * word, and took seconds to compile it. */
enum { SLICE = 1024, BINS = 1024, HEAD = 16, NARROW_TOKENS = 1 << 18, WORK = 0, WORDS = 1 };

#define SAMPLE_ROW(stage, variant, bindings, wg, fan, own)                                                             \
    .name = "sample." stage variant, .source = "sample_" stage, .with = {"sample"}, .entry = stage,                    \
    .access = "ww" bindings, .workgroup = {wg, 1, 1},                                                                  \
    .consts = {{"SLICE", SLICE}, {"BINS", BINS}, {"HEAD", HEAD}, {"FAN", fan}, {"OWN", own}}

typedef enum stage { SCAN = 0, BEST = 2, COUNT = 4, SIFT = 6, DRAW = 8 } stage; /* the first of its rows */

static const qn_kernel_row rows[] = {
    [SCAN] = {SAMPLE_ROW("scan", "", "rr", 256, 16, 1), .preferred = QN_ROW_GPU},
    {SAMPLE_ROW("scan", "_narrow", "rr", 16, 4, 0), .preferred = QN_ROW_SOFTWARE},
    [BEST] = {SAMPLE_ROW("best", "", "w", 256, 16, 1), .preferred = QN_ROW_GPU},
    {SAMPLE_ROW("best", "_narrow", "w", 16, 4, 0), .preferred = QN_ROW_SOFTWARE},
    [COUNT] = {SAMPLE_ROW("count", "", "", 256, 16, 1), .preferred = QN_ROW_GPU},
    {SAMPLE_ROW("count", "_narrow", "", 16, 4, 0), .preferred = QN_ROW_SOFTWARE},
    [SIFT] = {SAMPLE_ROW("sift", "", "", 256, 16, 1), .preferred = QN_ROW_GPU},
    {SAMPLE_ROW("sift", "_narrow", "", 16, 4, 0), .preferred = QN_ROW_SOFTWARE},
    [DRAW] = {SAMPLE_ROW("draw", "", "w", 256, 16, 1), .preferred = QN_ROW_GPU},
    {SAMPLE_ROW("draw", "_narrow", "w", 64, 8, 0), .preferred = QN_ROW_SOFTWARE},
};
const qn_kernel_table qn_sample_kernels = {rows, sizeof rows / sizeof rows[0]};

/* One pick. */
typedef struct pick {
    uint32_t n, slices, rows; /* tokens; slices of them; live rows of logits */
    uint32_t window;          /* rows of logits that a binding holds         */
    uint32_t from, end;       /* the repetition window                       */
    uint32_t word;            /* the random one                              */
    qn_sample_rule rule;
} pick;

enum { LOGITS, HISTORY, N_HISTORY, SETTINGS, DRAW_NUMBER };

/* ---- checks ---------------------------------------------------------------------------------- */

static qn_status check_logits(const qn_plan *p, pick *k)
{
    qn_tensor *x;
    char text[96];
    uint32_t elements;
    QN_TRY(qn_check_f32(p, LOGITS, &x));
    QN_TRY(qn_check_elements(p, &x->live, &elements));
    if (x->live.rank != 2 || x->live.dim[1] != x->max.dim[1])
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the logits are %s, not rows of the whole vocabulary",
                            qn_shape_text(&x->live, text, sizeof text));
    k->rows = x->live.dim[0];
    k->n = x->live.dim[1];
    k->slices = qn_div_up(k->n, SLICE);
    if (k->n > (uint32_t)QN_SAMPLE_MAX_VOCAB)
        return qn_plan_fail(p, QN_ERR_LIMIT, "a vocabulary of %u tokens is over %u", k->n,
                            (uint32_t)QN_SAMPLE_MAX_VOCAB);
    return qn_plan_window(p, (uint64_t)k->n * sizeof(float), x->max.dim[0], &k->window);
}

static qn_status check_settings(const qn_plan *p, pick *k)
{
    const qn_tensor *t = qn_plan_in(p, SETTINGS);
    if (!t || t->is_int || t->dtype != QN_I32 || qn_shape_count(&t->live) != QN_SAMPLE_WORDS)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "the settings must be an i32 input [%d]", QN_SAMPLE_WORDS);
    if (p->building) return qn_ok();
    memcpy(&k->rule, t->host, sizeof k->rule);
    uint32_t seed_low = k->rule.seed[0];
    k->word = qn_random_word((uint64_t)k->rule.seed[1] << 32 | seed_low, (uint64_t)qn_plan_int(p, DRAW_NUMBER));
    return qn_ok();
}

static qn_status check_history(const qn_plan *p, pick *k)
{
    const qn_tensor *t = qn_plan_in(p, HISTORY);
    uint32_t elements;
    if (!t) return qn_ok();
    if (t->is_int || t->dtype != QN_I32) return qn_plan_fail(p, QN_ERR_ARGUMENT, "the history must be an i32 tensor");
    QN_TRY(qn_check_elements(p, &t->live, &elements));
    if (!qn_plan_in(p, N_HISTORY)) return qn_plan_fail(p, QN_ERR_ARGUMENT, "the history lacks its length");
    int64_t end = qn_plan_int(p, N_HISTORY);
    if (p->building) return qn_ok();
    if (end < 0 || end > elements)
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%" PRId64 " tokens of a history of %u", end, elements);
    k->end = (uint32_t)end;
    k->from = k->end - (k->rule.window < k->end ? k->rule.window : k->end);
    return qn_ok();
}

/* ---- dispatches ------------------------------------------------------------------------------ */

static void put_params(qn_dispatch *d, const pick *k)
{
    const qn_sample_rule *r = &k->rule;
    float unit_scale, unit_reach;
    qn_sample_scale(1.0, &unit_scale, &unit_reach);
    uint32_t id_bits = 1;
    while (k->n > 1u << id_bits) id_bits++;
    const uint32_t first = (k->rows - 1) % k->window * k->n;
    const uint32_t counts[] = {k->n, k->slices, first, k->from, k->end};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) qn_param_u32(d, counts[i]);
    qn_param_f32(d, r->above);
    qn_param_f32(d, r->below);
    qn_param_u32(d, r->greedy);
    qn_param_u32(d, r->top_k);
    qn_param_u32(d, r->top_p);
    qn_param_f32(d, r->gap);
    qn_param_f32(d, r->scale);
    qn_param_f32(d, r->reach);
    qn_param_f32(d, unit_scale);
    qn_param_f32(d, unit_reach);
    qn_param_u32(d, k->word);
    qn_param_u32(d, id_bits);
}

/* A stage's dispatch, with the bindings that all have; NULL with *status set. */
static qn_dispatch *begin(qn_plan *p, const pick *k, stage s, qn_status *status)
{
    bool wide = s == DRAW && k->n > NARROW_TOKENS;
    uint64_t mask = (wide ? 1u : 3u) << s;
    const qn_kernel_row *row = qn_plan_pick(p, &qn_sample_kernels, mask, k->n);
    if (!row) {
        *status = qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel runs on this device");
        return NULL;
    }
    qn_dispatch *d = qn_plan_dispatch(p, row, status);
    if (!d) return NULL;
    put_params(d, k);
    qn_bind_scratch(d, WORK);
    qn_bind_scratch(d, WORDS);
    *status = qn_grid_1d(p, d, s == BEST || s == DRAW ? 1 : k->slices);
    return d;
}

static qn_status plan_scan(qn_plan *p, const pick *k, uint32_t row0)
{
    qn_status s;
    qn_dispatch *d = begin(p, k, SCAN, &s);
    if (!d) return s;
    qn_bind_rows(p, d, p->node->inputs[LOGITS], (uint64_t)k->n * sizeof(float), qn_plan_in(p, LOGITS)->max.dim[0],
                 k->window, row0);
    if (qn_plan_in(p, HISTORY))
        qn_bind_value(d, p->node->inputs[HISTORY]);
    else
        qn_bind_dummy(d);
    return s;
}

static qn_status plan_stage(qn_plan *p, const pick *k, stage of)
{
    qn_status s;
    qn_dispatch *d = begin(p, k, of, &s);
    if (!d) return s;
    if (of == BEST || of == DRAW) qn_bind_value(d, p->node->outputs[0]);
    return s;
}

/* token[1] = pick from the last row of logits[n, V] */
qn_status qn_plan_sample(qn_plan *p)
{
    pick k = {0};
    QN_TRY(check_logits(p, &k));
    QN_TRY(check_settings(p, &k));
    QN_TRY(check_history(p, &k));
    QN_TRY(qn_plan_set_out(p, 0, QN_I32, qn_shape_1(1)));
    uint64_t work = HEAD + 3 * BINS + (3 + 2) * (uint64_t)k.slices;
    QN_TRY(qn_plan_scratch(p, WORK, work * sizeof(uint32_t)));
    QN_TRY(qn_plan_scratch(p, WORDS, 3 * (uint64_t)k.n * sizeof(uint32_t)));
    uint32_t last = (k.rows - 1) / k.window * k.window;
    for (uint32_t row0 = p->building ? 0 : last; row0 <= last; row0 += k.window) QN_TRY(plan_scan(p, &k, row0));
    if (p->building || k.rule.greedy) QN_TRY(plan_stage(p, &k, BEST));
    if (k.rule.greedy) return qn_ok();
    if (p->building || k.rule.top_k < k.n || k.rule.top_p) QN_TRY(plan_stage(p, &k, COUNT));
    QN_TRY(plan_stage(p, &k, SIFT));
    return plan_stage(p, &k, DRAW);
}
