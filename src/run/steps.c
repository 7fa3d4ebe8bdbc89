/* steps.c - the executions of a session: chunks of queued tokens, and generating with the sampled token fed back on the
 * GPU. Several are under way at a time, so that the GPU never waits for the host; they end in the order of submits. */
#include "base/sample_rule.h"
#include "graph/graph.h"
#include "run/session.h"

#include <string.h>

bool qn_session_is_busy(const qn_session *session)
{
    return session->pending || session->generation.on;
}

/* What was written to the cache, the next execution at these positions writes anew. */
void qn_session_abandon(qn_session *session)
{
    qn_session *s = session;
    for (uint32_t i = 0; i < s->n_flights; i++) s->flights[(s->oldest + i) % QN_MAX_IN_FLIGHT].stale = true;
    s->n_sent = s->n_done;
    s->pending = s->generation.on = false;
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Encodes the step of the next token while the GPU works on this chunk: all of it is known but the token. A failure
 * comes back when the step is made. */
static void prepare_next(qn_session *s, size_t n)
{
    if (s->mode == QN_LOGITS_ALL || s->n_sent < s->n_tokens || s->n_sent >= s->sizes.ctx) return;
    /* After a single token the input has its shape already, and only that counts yet. */
    bool shaped = n == 1 || qn_graph_set_live(s->graph, s->io.tokens, qn_shape_1(1)).code == QN_OK;
    if (shaped && qn_graph_set_int(s->graph, s->io.pos, (int64_t)s->n_sent).code == QN_OK)
        (void)qn_graph_prepare(s->graph);
}

static bool has_logits_under_way(const qn_session *s)
{
    bool has = false;
    for (uint32_t i = 0; i < s->n_flights; i++) has |= s->flights[(s->oldest + i) % QN_MAX_IN_FLIGHT].logits;
    return has;
}

/* The next execution; n 0: there is nothing to submit now. */
static qn_session_flight next_flight(const qn_session *s)
{
    const qn_generation *gen = &s->generation;
    qn_session_flight none = {0};
    bool all = s->mode == QN_LOGITS_ALL;
    if (qn_graph_room(s->graph) == 0 || (gen->on && gen->left == 0)) return none;
    if (s->n_sent < s->n_tokens) {
        size_t left = s->n_tokens - s->n_sent, most = all ? s->sizes.max_logits : s->sizes.chunk;
        bool last = left <= most, sampled = gen->on && last, logits = all || (last && !sampled);
        if (logits && has_logits_under_way(s)) return none; /* they have one readback */
        return (qn_session_flight){.n = last ? left : most, .logits = logits, .sampled = sampled};
    }
    if (!gen->on || s->n_sent >= s->sizes.ctx) return none;
    return (qn_session_flight){.n = 1, .fed = true, .sampled = true};
}

static qn_status set_inputs(const qn_session *s, const qn_session_flight *f)
{
    qn_graph *g = s->graph;
    const qn_model_io *io = &s->io;
    qn_shape shape = qn_shape_1((uint32_t)f->n);
    int64_t rows = s->mode == QN_LOGITS_ALL ? (int64_t)f->n : f->logits || f->sampled;
    if (f->fed)
        QN_TRY(qn_graph_set_live(g, io->tokens, shape));
    else
        QN_TRY(qn_graph_set_input(g, io->tokens, shape, s->tokens + s->n_sent));
    QN_TRY(qn_graph_set_int(g, io->pos, (int64_t)s->n_sent));
    QN_TRY(qn_graph_set_int(g, io->n_logits, rows));
    QN_TRY(qn_graph_set_int(g, io->sample, f->sampled));
    if (f->sampled) QN_TRY(qn_graph_set_int(g, io->n_history, (int64_t)(s->n_sent + f->n)));
    if (f->sampled) QN_TRY(qn_graph_set_int(g, io->draw, (int64_t)s->generation.draw));
    QN_TRY(qn_graph_want(g, io->logits, f->logits));
    return io->token ? qn_graph_want(g, io->token, f->sampled) : qn_ok();
}

static qn_status submit(qn_session *s, qn_session_flight f)
{
    s->has_logits = false;
    QN_TRY(set_inputs(s, &f));
    QN_TRY(qn_graph_submit(s->graph));
    s->flights[(s->oldest + s->n_flights++) % QN_MAX_IN_FLIGHT] = f;
    s->n_sent += f.n;
    if (!f.sampled) {
        prepare_next(s, f.n);
    } else {
        s->generation.left--;
        s->generation.draw += s->generation.draws;
    }
    return qn_ok();
}

/* ---- landing --------------------------------------------------------------------------------- */

static void end(qn_session *s, qn_stop stop)
{
    qn_session_abandon(s);
    s->generation.stop = stop;
}

static qn_status take_token(qn_session *s, qn_step_state *state)
{
    const int32_t *token = qn_graph_output_data(s->graph, s->io.token, NULL);
    if (!token || *token < 0 || (uint32_t)*token >= s->model->hparams.n_vocab)
        return qn_fail(QN_ERR_GPU, "the GPU chose a token outside of the vocabulary: the model's output is damaged");
    s->generation.token = *token;
    *state = QN_STEP_TOKEN;
    if (s->generation.tokenizer && qn_tokenizer_is_end(s->generation.tokenizer, *token)) {
        end(s, QN_STOP_TOKEN);
        *state = QN_STEP_END;
    } else if (s->n_tokens < s->sizes.ctx) {
        s->tokens[s->n_tokens++] = *token;
    }
    return qn_ok();
}

static qn_status land(qn_session *s, const qn_session_flight *f, qn_step_state *state)
{
    s->n_done += f->n;
    if (f->sampled) return take_token(s, state);
    bool all = s->mode == QN_LOGITS_ALL;
    s->has_logits = all || s->n_done == s->n_tokens;
    s->n_rows = all ? f->n : 1;
    s->first_row = s->n_done - s->n_rows;
    *state = s->n_done == s->n_tokens ? QN_STEP_READY : QN_STEP_CHUNK;
    return qn_ok();
}

/* Nothing is under way and nothing can be submitted. */
static qn_status rest(qn_session *s, qn_step_state *state)
{
    if (s->generation.on) {
        end(s, s->generation.left == 0 ? QN_STOP_LIMIT : QN_STOP_CONTEXT);
        *state = QN_STEP_END;
        return qn_ok();
    }
    if (!s->has_logits) return qn_fail(QN_ERR_STATE, "the session has no tokens to compute");
    *state = QN_STEP_READY;
    return qn_ok();
}

/* ---- steps ----------------------------------------------------------------------------------- */

static qn_status submit_ahead(qn_session *s, bool *submitted)
{
    *submitted = false;
    for (qn_session_flight f = next_flight(s); f.n; f = next_flight(s)) {
        QN_TRY(submit(s, f));
        *submitted = true;
    }
    return qn_ok();
}

static qn_status step(qn_session *s, qn_step_state *state)
{
    for (;;) {
        bool there;
        QN_TRY(submit_ahead(s, &there));
        if (there) return qn_ok();
        if (s->n_flights == 0) return rest(s, state);
        QN_TRY(qn_graph_poll(s->graph, &there));
        if (!there) return qn_ok();
        qn_session_flight f = s->flights[s->oldest];
        s->oldest = (s->oldest + 1) % QN_MAX_IN_FLIGHT;
        s->n_flights--;
        if (!f.stale) return land(s, &f, state);
    }
}

qn_status qn_session_step(qn_session *session, qn_step_state *state)
{
    *state = QN_STEP_PENDING;
    qn_status status = step(session, state);
    session->pending = status.code == QN_OK && *state == QN_STEP_PENDING;
    if (status.code == QN_OK) return status;
    qn_session_abandon(session);                        /* what was under way will be computed again */
    uint32_t kept = qn_graph_in_flight(session->graph); /* a failed one is gone there */
    session->oldest = (session->oldest + session->n_flights - kept) % QN_MAX_IN_FLIGHT;
    session->n_flights = kept;
    *state = QN_STEP_PENDING;
    return status;
}

const float *qn_session_logits(const qn_session *session, size_t *n_rows, size_t *first_row)
{
    /* They lie in memory of the device, and go with it. */
    bool there = session->has_logits && qn_gpu_poll(session->model->engine->gpu, false).code == QN_OK;
    if (n_rows) *n_rows = there ? session->n_rows : 0;
    if (first_row) *first_row = session->first_row;
    return there ? qn_graph_output_data(session->graph, session->io.logits, NULL) : NULL;
}

#ifndef QN_NO_BLOCKING
qn_status qn_session_wait(qn_session *session, qn_step_state *state)
{
    for (;;) {
        QN_TRY(qn_session_step(session, state));
        if (*state != QN_STEP_PENDING) return qn_ok();
        QN_TRY(qn_graph_wait(session->graph));
    }
}
#endif

/* ---- generating ------------------------------------------------------------------------------ */

/* The sampler's settings, and the tokens so far for its repetition penalty. */
static qn_status set_sampler(const qn_session *s, const qn_sample_rule *rule)
{
    bool penalized = rule->window != 0;
    QN_TRY(qn_graph_set_input(s->graph, s->io.settings, qn_shape_1(QN_SAMPLE_WORDS), rule));
    QN_TRY(qn_graph_set_int(s->graph, s->io.penalized, penalized));
    return penalized ? qn_graph_write_state(s->graph, s->io.history, s->tokens) : qn_ok();
}

qn_status qn_session_generate(qn_session *session, const qn_generate_options *options)
{
    static const qn_generate_options defaults;
    const qn_generate_options *o = options ? options : &defaults;
    qn_session *s = session;
    qn_sample_rule rule;
    if (s->io.token == 0)
        return qn_fail(QN_ERR_UNSUPPORTED, "the GPU samples from at most %d tokens, the vocabulary has %u",
                       QN_SAMPLE_MAX_VOCAB, s->model->hparams.n_vocab);
    if (qn_session_is_busy(s)) return qn_fail(QN_ERR_STATE, "a step is under way: step until it is done");
    if (s->n_tokens == 0) return qn_fail(QN_ERR_STATE, "the session has no tokens to go on from");
    if (o->first_draw > INT32_MAX)
        return qn_fail(QN_ERR_LIMIT, "draw %llu is past the last, %d", (unsigned long long)o->first_draw, INT32_MAX);
    QN_TRY(qn_sample_rule_make(&o->sampler, &rule));
    QN_TRY(set_sampler(s, &rule));
    qn_session_abandon(s);                     /* a chunk that was sent ahead */
    if (s->n_done == s->n_tokens) s->n_done--; /* its sample is wanted */
    s->n_sent = s->n_done;
    s->mode = QN_LOGITS_LAST;
    s->has_logits = false;
    s->generation = (qn_generation){
        .on = true,
        .draws = !rule.greedy,
        .draw = o->first_draw,
        .left = o->max_tokens ? o->max_tokens : SIZE_MAX,
        .tokenizer = o->tokenizer,
        .token = -1,
    };
    return qn_ok();
}

void qn_session_stop(qn_session *session)
{
    if (session->generation.on) end(session, QN_STOP_CALLER);
}

int32_t qn_session_token(const qn_session *session, qn_stop *stop)
{
    if (stop) *stop = session->generation.stop;
    return session->generation.token;
}
