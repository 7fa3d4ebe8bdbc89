/* program_builder.h - ExecuTorch programs made in memory: graphs of delegates, and methods that call them and CPU
 * kernels. Values are added in any order and named by the number that adding gives; nothing is checked, so that what a
 * test wants wrong can be. Out of memory ends the test program. */
#ifndef QN_TESTS_PROGRAM_BUILDER_H
#define QN_TESTS_PROGRAM_BUILDER_H

#include "format/vk_graph.h"
#include "quern_program.h"
#include "support/fb_builder.h"

/* ---- graphs ---------------------------------------------------------------------------------- */

typedef struct qn_vk_maker qn_vk_maker;

qn_vk_maker *qn_vk_make(void);

/* Each adds a value and returns its id. */
int32_t qn_vk_tensor_of(qn_vk_maker *g, qn_vk_dtype dtype, qn_shape shape);
int32_t qn_vk_f32(qn_vk_maker *g, qn_shape shape);
/* A constant; `data` is copied, in the file's type. */
int32_t qn_vk_constant_of(qn_vk_maker *g, qn_vk_dtype dtype, qn_shape shape, const void *data);
int32_t qn_vk_f32_constant(qn_vk_maker *g, qn_shape shape, const float *data);
/* Another tensor of the constant that `id` has. */
int32_t qn_vk_shared(qn_vk_maker *g, int32_t id, qn_vk_dtype dtype, qn_shape shape);
int32_t qn_vk_int(qn_vk_maker *g, int64_t number);
int32_t qn_vk_double(qn_vk_maker *g, double number);
int32_t qn_vk_bool(qn_vk_maker *g, bool flag);
int32_t qn_vk_null(qn_vk_maker *g);
int32_t qn_vk_string(qn_vk_maker *g, const char *text);
int32_t qn_vk_symint(qn_vk_maker *g);
int32_t qn_vk_ints(qn_vk_maker *g, uint32_t n, const int64_t *numbers);
int32_t qn_vk_list(qn_vk_maker *g, uint32_t n, const int32_t *ids);
#define QN_VK_INTS(g, ...)                                                                                             \
    qn_vk_ints((g), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]){__VA_ARGS__})
#define QN_VK_LIST(g, ...)                                                                                             \
    qn_vk_list((g), sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (const int32_t[]){__VA_ARGS__})

/* An operator; its node id is its position. */
void qn_vk_op_of(qn_vk_maker *g, const char *name, uint32_t n, const int32_t *args);
#define QN_VK_CALL(g, name, ...)                                                                                       \
    qn_vk_op_of((g), (name), sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (const int32_t[]){__VA_ARGS__})
void qn_vk_input(qn_vk_maker *g, int32_t id);
void qn_vk_output(qn_vk_maker *g, int32_t id);

/* ---- programs -------------------------------------------------------------------------------- */

typedef struct qn_program_maker qn_program_maker;

qn_program_maker *qn_program_make(void);
/* Delegates' data goes into segments of its own, as exporters put it; else it lies in the flatbuffer. */
void qn_program_use_segments(qn_program_maker *p);
/* Starts a method; what follows belongs to it. */
void qn_program_make_method(qn_program_maker *p, const char *name);

/* Each adds a value and returns its index. Tensors may be smaller than their shape if `dynamic`. */
int32_t qn_make_tensor(qn_program_maker *p, qn_scalar scalar, qn_shape shape, bool dynamic);
int32_t qn_make_constant(qn_program_maker *p, qn_scalar scalar, qn_shape shape, const void *data);
/* A tensor that kernels may write, with first contents. */
int32_t qn_make_state(qn_program_maker *p, qn_scalar scalar, qn_shape shape, const void *data);
int32_t qn_make_int(qn_program_maker *p, int64_t number);
int32_t qn_make_double(qn_program_maker *p, double number);
int32_t qn_make_null(qn_program_maker *p);
/* The order in memory of the dimensions of tensor `value` (rank of them). */
void qn_make_dim_order(qn_program_maker *p, int32_t value, const uint8_t *order);

/* A delegate; its graph is freed here. Returns its index. */
int32_t qn_make_delegate(qn_program_maker *p, qn_vk_maker *g);
/* Another delegate with the data of the one before. */
int32_t qn_make_same_delegate(qn_program_maker *p, int32_t delegate);
/* The first, of another backend. */
int32_t qn_make_delegate_for(qn_program_maker *p, qn_vk_maker *g, const char *backend);
void qn_make_call_of(qn_program_maker *p, int32_t delegate, uint32_t n, const int32_t *values);
void qn_make_kernel_of(qn_program_maker *p, const char *name, const char *overload, uint32_t n, const int32_t *values);
#define QN_MAKE_CALL(p, delegate, ...)                                                                                 \
    qn_make_call_of((p), (delegate), sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                         \
                    (const int32_t[]){__VA_ARGS__})
#define QN_MAKE_KERNEL(p, name, overload, ...)                                                                         \
    qn_make_kernel_of((p), (name), (overload), sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),               \
                      (const int32_t[]){__VA_ARGS__})
void qn_make_input(qn_program_maker *p, int32_t value);
void qn_make_output(qn_program_maker *p, int32_t value);

/* A whole method that takes the graph's inputs and gives its outputs, all in the graph's order and types. */
void qn_make_method_of(qn_program_maker *p, const char *name, qn_vk_maker *g, bool dynamic);

/* The file; frees the maker. */
qn_fbb qn_program_finish(qn_program_maker *p);
/* The file of a program with the one method "forward" of that graph, of static shapes; and of dynamic ones. */
qn_fbb qn_program_of(qn_vk_maker *g);
qn_fbb qn_dynamic_program_of(qn_vk_maker *g);

#endif
