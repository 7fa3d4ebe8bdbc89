/* program_lm.c - a program as a source of logits: its KV cache holds what a call wrote at its positions, so going back
 * to an earlier position is only a matter of what the next call says. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

struct qn_cli_program_lm {
    qn_program *program;
    qn_cli_lm_facts facts;
    uint32_t ctx, chunk; /* ctx 0: not known */
    int32_t *tokens;     /* [n_tokens]; the first n_done went through the program */
    size_t n_tokens, n_done, capacity;
    qn_logits_mode mode;
    const float *logits; /* of rows first_row ...; NULL: none yet */
    size_t n_rows, first_row;
    qn_program_tensor *inputs; /* in the method's order              */
    uint32_t n_inputs;
    void *ids, *positions; /* [chunk] in the method's own types  */
};

static void put(void *list, qn_scalar type, size_t i, int64_t value)
{
    if (type == QN_SCALAR_INT64)
        ((int64_t *)list)[i] = value;
    else
        ((int32_t *)list)[i] = (int32_t)value;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static qn_status check_token(const qn_cli_program_lm *p, int32_t token, size_t at)
{
    if (token >= 0 && (uint32_t)token < p->facts.n_vocab) return qn_cli_ok();
    return qn_cli_fail(QN_ERR_ARGUMENT, "token %zu is %d, outside the vocabulary of %u", at, token, p->facts.n_vocab);
}

static void make_room(qn_cli_program_lm *p, size_t n)
{
    if (n <= p->capacity) return;
    p->capacity = 2 * n + 64;
    p->tokens = qn_cli_resize(p->tokens, p->capacity, sizeof *p->tokens);
}

static qn_status set_tokens(qn_cli_lm *lm, const int32_t *tokens, size_t n, qn_logits_mode mode, size_t *n_reused)
{
    qn_cli_program_lm *p = lm->program;
    if (p->ctx && n > p->ctx) return qn_cli_fail(QN_ERR_CONTEXT, "%zu tokens do not fit the context of %u", n, p->ctx);
    for (size_t i = 0; i < n; i++) QN_CLI_TRY(check_token(p, tokens[i], i));
    size_t kept = 0;
    while (kept < p->n_done && kept < n && p->tokens[kept] == tokens[kept]) kept++;
    if (kept == n && kept > 0) kept--; /* its logits are wanted */
    make_room(p, n);
    if (n > kept) memmove(p->tokens + kept, tokens + kept, (n - kept) * sizeof *tokens);
    p->n_tokens = n;
    p->n_done = kept;
    p->mode = mode;
    p->logits = NULL;
    if (n_reused) *n_reused = kept;
    return qn_cli_ok();
}

static qn_status append(qn_cli_lm *lm, int32_t token)
{
    qn_cli_program_lm *p = lm->program;
    QN_CLI_TRY(check_token(p, token, p->n_tokens));
    if (p->ctx && p->n_tokens >= p->ctx)
        return qn_cli_fail(QN_ERR_CONTEXT, "the context of %u positions is full", p->ctx);
    make_room(p, p->n_tokens + 1);
    p->tokens[p->n_tokens++] = token;
    return qn_cli_ok();
}

static const int32_t *done_tokens(qn_cli_lm *lm, size_t *n)
{
    *n = lm->program->n_done;
    return lm->program->tokens;
}

static bool is_end(const qn_cli_lm *lm, int32_t token)
{
    const qn_cli_lm_facts *f = &lm->program->facts;
    for (uint32_t i = 0; i < f->n_ends; i++)
        if (f->ends[i] == token) return true;
    return lm->tokenizer && qn_tokenizer_is_end(lm->tokenizer, token);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The inputs of a call for n tokens from position `first` on. */
static void set_inputs(qn_cli_program_lm *p, const int32_t *tokens, size_t first, size_t n)
{
    const qn_cli_lm_facts *f = &p->facts;
    size_t n_positions = f->position_each ? n : 1;
    for (size_t i = 0; i < n; i++) put(p->ids, f->token_type, i, tokens[i]);
    for (size_t i = 0; i < n_positions; i++) put(p->positions, f->position_type, i, (int64_t)(first + i));
    p->inputs[f->tokens] = (qn_program_tensor){{.rank = 2, .dim = {1, (uint32_t)n}}, p->ids};
    p->inputs[f->position] = (qn_program_tensor){{.rank = 1, .dim = {(uint32_t)n_positions}}, p->positions};
}

/* While the GPU works on the last tokens, the call of the next one is recorded: all of it is known but the token. */
static qn_status call(qn_cli_program_lm *p, size_t n)
{
    size_t next = p->n_done + n;
    set_inputs(p, p->tokens + p->n_done, p->n_done, n);
    QN_CLI_TRY(qn_program_submit(p->program, p->facts.method, p->inputs, p->n_inputs));
    if (p->mode == QN_LOGITS_LAST && next == p->n_tokens && (!p->ctx || next < p->ctx)) {
        set_inputs(p, p->tokens + next - 1, next, 1);
        qn_program_prepare(p->program, p->facts.method, p->inputs, p->n_inputs);
    }
    return qn_cli_finish_program(p->program);
}

/* The rows that the last call gave; only its last one counts unless all are wanted. */
static qn_status take_logits(qn_cli_program_lm *p)
{
    const qn_cli_lm_facts *f = &p->facts;
    qn_program_tensor out = qn_program_output_data(p->program, f->method, f->logits);
    if (!out.data) return qn_cli_fail(QN_ERR_INTERNAL, "the program gave no logits");
    size_t rows = out.shape.rank == 3 ? out.shape.dim[1] : 1;
    p->logits = out.data;
    p->n_rows = rows;
    p->first_row = p->n_done - rows;
    return qn_cli_ok();
}

/* Logits of every token of a chunk that nothing follows from are not read back: they may be many. */
static qn_status next_chunk(qn_cli_lm *lm, qn_step_state *state)
{
    qn_cli_program_lm *p = lm->program;
    const qn_cli_lm_facts *f = &p->facts;
    bool all = p->mode == QN_LOGITS_ALL;
    size_t left = p->n_tokens - p->n_done, most = all && !f->logits_each ? 1 : p->chunk;
    size_t n = left < most ? left : most;
    bool wanted = all || n == left || !f->logits_each;
    *state = QN_STEP_READY;
    if (n == 0) {
        if (p->logits) return qn_cli_ok();
        return qn_cli_fail(QN_ERR_STATE, "there are no tokens to compute");
    }
    p->logits = NULL;
    QN_CLI_TRY(qn_program_want(p->program, f->method, f->logits, wanted));
    QN_CLI_TRY(call(p, n));
    p->n_done += n;
    if (n < left) *state = QN_STEP_CHUNK;
    return wanted ? take_logits(p) : qn_cli_ok();
}

static const float *logits(qn_cli_lm *lm, size_t *n_rows, size_t *first_row)
{
    const qn_cli_program_lm *p = lm->program;
    *n_rows = p->logits ? p->n_rows : 0;
    *first_row = p->first_row;
    return p->logits;
}

static qn_graph *graph(qn_cli_lm *lm, uint32_t i)
{
    return qn_program_graph(lm->program->program, lm->program->facts.method, i);
}

/* ---- opening --------------------------------------------------------------------------------- */

static qn_status limit_context(const qn_cli_lm_options *o, qn_cli_program_lm *p)
{
    p->ctx = p->facts.ctx;
    p->chunk = p->facts.chunk;
    if (o->ctx && p->ctx && o->ctx > p->ctx)
        return qn_cli_fail(QN_ERR_CONTEXT, "%u positions are needed; the program has %u", o->ctx, p->ctx);
    if (o->ctx) p->ctx = o->ctx;
    if (o->chunk && o->chunk < p->chunk) p->chunk = o->chunk;
    return qn_cli_ok();
}

qn_status qn_cli_read_program_lm(const qn_cli_lm_options *o, qn_cli_lm *lm)
{
    qn_cli_program_lm *p = lm->program = qn_cli_alloc(1, sizeof *p);
    QN_CLI_TRY(qn_cli_read_program(lm->path, &o->data, &p->program));
    QN_CLI_TRY(qn_cli_in(qn_cli_program_facts(p->program, &p->facts), "%s", lm->path));
    QN_CLI_TRY(qn_cli_in(limit_context(o, p), "%s", lm->path));
    p->n_inputs = qn_program_method(p->program, p->facts.method).n_inputs;
    p->inputs = qn_cli_alloc(p->n_inputs, sizeof *p->inputs);
    p->ids = qn_cli_alloc(p->chunk, sizeof(int64_t));
    p->positions = qn_cli_alloc(p->chunk, sizeof(int64_t));
    lm->n_vocab = p->facts.n_vocab;
    lm->ctx = p->ctx;
    lm->chunk = p->chunk;
    lm->file_bytes = qn_cli_file_bytes(lm->path);
    return qn_cli_ok();
}

qn_status qn_cli_build_program_lm(qn_cli_lm *lm)
{
    const qn_cli_program_lm *p = lm->program;
    QN_CLI_TRY(qn_program_build(p->program, lm->engine));
    uint32_t n = qn_program_method(p->program, p->facts.method).n_outputs;
    for (uint32_t i = 0; i < n; i++)
        if (i != p->facts.logits) QN_CLI_TRY(qn_program_want(p->program, p->facts.method, i, false));
    return qn_cli_ok();
}

static void close_program(qn_cli_lm *lm)
{
    qn_cli_program_lm *p = lm->program;
    if (!p) return;
    qn_program_close(p->program);
    free(p->tokens);
    free(p->inputs);
    free(p->ids);
    free(p->positions);
    free(p);
}

const qn_cli_source qn_cli_program_source = {.set_tokens = set_tokens,
                                             .append = append,
                                             .wait = next_chunk,
                                             .logits = logits,
                                             .tokens = done_tokens,
                                             .graph = graph,
                                             .is_end = is_end,
                                             .close = close_program};
