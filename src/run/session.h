/* session.h - sizes of a session, for opening one and for predicting its memory. */
#ifndef QN_RUN_SESSION_H
#define QN_RUN_SESSION_H

#include "model/model.h"

/* Context, chunk and logits rows for a model on a device; options NULL: defaults. */
qn_status qn_session_sizes(const qn_model *model, const qn_device_info *device, const qn_session_options *options,
                           qn_model_sizes *sizes);
/* Whether every tensor of these sizes fits a buffer of the device: QN_ERR_LIMIT with the numbers where one does not.
 * Called before anything of their size is made. */
qn_status qn_session_check(const qn_model *model, const qn_device_info *device, const qn_model_sizes *sizes);
/* Makes the next smaller context when one chosen by default did not fit; false when it is the smallest. */
bool qn_session_shrink(qn_model_sizes *sizes);

#endif
