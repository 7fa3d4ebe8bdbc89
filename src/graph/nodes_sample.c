/* nodes_sample.c - picking a token, and keeping tokens on the GPU. */
#include "base/sample_rule.h"
#include "graph/graph.h"

_Static_assert(sizeof(qn_sample_rule) == QN_SAMPLE_WORDS * sizeof(int32_t), "the settings are the rule's words");

qn_status qn_sample_settings(const qn_sampler_options *options, int32_t words[QN_SAMPLE_WORDS])
{
    qn_sample_rule rule;
    qn_status s = qn_sample_rule_make(options, &rule);
    memcpy(words, &rule, sizeof rule);
    return s;
}

qn_value qn_sample(qn_graph *g, const qn_sample_inputs *inputs)
{
    if (g->status.code != QN_OK) return 0;
    qn_graph_failed(g, qn_graph_keep_on_host(g, inputs->settings, "sample"));
    qn_value in[] = {inputs->logits, inputs->history, inputs->n_history, inputs->settings, inputs->draw};
    qn_node_desc d = {.op = QN_OP_SAMPLE,
                      .inputs = in,
                      .n_inputs = 5,
                      .optional = 1 << 1 | 1 << 2,
                      .integers = 1 << 2 | 1 << 4,
                      .name = "token"};
    return qn_graph_add_node(g, &d, NULL);
}

/* An input or state, which keeps what a node writes into it. */
static bool stays(const qn_graph *g, qn_value v)
{
    if (v == 0 || v >= g->n_values) return false;
    const qn_place *place = qn_graph_place(g, v);
    return (place->kind == QN_PLACE_INPUT || place->kind == QN_PLACE_STATE) && !qn_graph_tensor(g, v)->host;
}

qn_value qn_append_tokens(qn_graph *g, qn_value tokens, qn_value history, qn_value pos)
{
    if (g->status.code == QN_OK && !stays(g, history))
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "append_tokens: the history is not a state of this graph"));
    qn_value in[] = {tokens, history, pos};
    qn_node_desc d = {.op = QN_OP_APPEND_TOKENS, .inputs = in, .n_inputs = 3, .integers = 4, .no_output = true};
    qn_graph_add_node(g, &d, NULL);
    return history;
}

void qn_feed_token(qn_graph *g, qn_value token, qn_value tokens)
{
    if (g->status.code == QN_OK && !stays(g, tokens))
        qn_graph_failed(g, qn_fail(QN_ERR_ARGUMENT, "feed_token: the tokens are not an input that the GPU may write"));
    qn_value in[] = {token, tokens};
    qn_node_desc d = {.op = QN_OP_FEED_TOKEN, .inputs = in, .n_inputs = 2, .no_output = true};
    qn_graph_add_node(g, &d, NULL);
}
