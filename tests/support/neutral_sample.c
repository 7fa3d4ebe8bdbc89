/* neutral_sample.c - cases of sampling and of what keeps tokens on the GPU. Histories are inputs here: they are given
 * anew before every call; a call at position CONTEXT is to be refused. */
#include "support/neutrality.h"

#include "base/sample_rule.h"

static const qn_sample_rule greedy = {.greedy = 1, .above = 0.5f, .below = 2, .window = 20};
static const qn_sample_rule filters = {.top_k = 300,
                                       .top_p = UINT32_C(0xc0000000),
                                       .gap = 1.5f,
                                       .scale = 9.7e7f,
                                       .reach = 22,
                                       .above = 0.5f,
                                       .below = 2,
                                       .window = 20,
                                       .seed = {5, 6}};

static qn_value sample(const built *b)
{
    return qn_sample(b->g, &(qn_sample_inputs){b->in[0], b->in[1], b->number, b->in[2], qn_graph_const_int(b->g, 7)});
}

static qn_value append_tokens(const built *b)
{
    return qn_append_tokens(b->g, b->in[0], b->in[1], b->number);
}

static qn_value feed_token(const built *b)
{
    qn_feed_token(b->g, b->in[1], b->in[0]);
    return b->in[0];
}

#define SAMPLE(text, rule)                                                                                             \
    {                                                                                                                  \
        .name = text, .op = QN_OP_SAMPLE, .tables = {&qn_sample_kernels},                                              \
        .in = {{{2, {0, 1500}}, QN_F32}, {{1, {CONTEXT - 1}}, QN_I32}, {{1, {QN_SAMPLE_WORDS}}, QN_I32}},              \
        .data = {NULL, NULL, &(rule)}, .number = POSITION, .add = sample                                               \
    }

static const op_case cases[] = {
    SAMPLE("greedy", greedy),
    SAMPLE("all filters", filters),
    {.name = "history",
     .op = QN_OP_APPEND_TOKENS,
     .tables = {&qn_update_cache_kernels},
     .in = {{{1, {0}}, QN_I32}, {{1, {CONTEXT}}, QN_I32}},
     .number = POSITION,
     .add = append_tokens},
    {.name = "next tokens",
     .op = QN_OP_FEED_TOKEN,
     .tables = {&qn_update_cache_kernels},
     .in = {{{1, {0}}, QN_I32}, {{1, {1}}, QN_I32}},
     .add = feed_token},
};

const neutral_family qn_neutral_sample = {cases, sizeof cases / sizeof cases[0]};
