/* session.h - the inside of a session; its sizes, for opening one and for predicting its memory. */
#ifndef QN_RUN_SESSION_H
#define QN_RUN_SESSION_H

#include "model/model.h"
#include "quern_graph.h"

/* One execution from its submit until its results are taken. */
typedef struct qn_session_flight {
    size_t n;     /* tokens that it computes                                           */
    bool fed;     /* its one token is what the execution before it sampled             */
    bool logits;  /* it reads back logits                                              */
    bool sampled; /* it gives a token                                                  */
    bool stale;   /* its results are not wanted: a generation has ended, or the like   */
} qn_session_flight;

/* Generating on the GPU. */
typedef struct qn_generation {
    bool on;
    bool draws;                    /* each token takes a random number    */
    uint64_t draw;                 /* the next one's                      */
    size_t left;                   /* tokens that may still be sampled    */
    const qn_tokenizer *tokenizer; /* whose end tokens end it; or NULL */
    int32_t token;                 /* the newest                          */
    qn_stop stop;
} qn_generation;

struct qn_session {
    const qn_allocator *allocator;
    qn_model *model;
    qn_graph *graph;
    qn_model_io io;
    qn_model_sizes sizes;
    qn_precision precision;
    int32_t *tokens;                             /* [ctx] the session's content                                */
    size_t n_tokens;                             /* its length                                                 */
    size_t n_done;                               /* tokens whose keys and values are in the cache              */
    size_t n_sent;                               /* those and the ones of the executions under way             */
    qn_session_flight flights[QN_MAX_IN_FLIGHT]; /* a ring, parallel to the graph's */
    uint32_t oldest, n_flights;
    bool pending; /* the last step had no result yet */
    qn_logits_mode mode;
    bool has_logits; /* of the newest step: rows first_row .. first_row + n_rows - 1 */
    size_t n_rows, first_row;
    qn_generation generation;
};

/* A step is under way: the content must not change. */
bool qn_session_is_busy(const qn_session *session);
/* What is under way is not wanted any more. */
void qn_session_abandon(qn_session *session);

/* Context, chunk and logits rows for a model on a device; options NULL: defaults. */
qn_status qn_session_sizes(const qn_model *model, const qn_device_info *device, const qn_session_options *options,
                           qn_model_sizes *sizes);
/* Whether every tensor of these sizes fits a buffer of the device: QN_ERR_LIMIT with the numbers where one does not.
 * Called before anything of their size is made. */
qn_status qn_session_check(const qn_model *model, const qn_device_info *device, const qn_model_sizes *sizes);
/* Makes the next smaller context when one chosen by default did not fit; false when it is the smallest. */
bool qn_session_shrink(qn_model_sizes *sizes);

#endif
