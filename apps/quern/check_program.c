/* check_program.c - `quern check` of a folder with a program (model.pte). */
#include "check.h"

#include <stdlib.h>
#include <string.h>

static const char method_name[] = "forward";

typedef struct run {
    check *k;
    qn_program *program;
    uint32_t method;
} run;

static qn_scalar scalar_of(qn_case_dtype dtype)
{
    static const qn_scalar scalars[] = {
        [QN_CASE_F32] = QN_SCALAR_F32, [QN_CASE_I32] = QN_SCALAR_INT32, [QN_CASE_U8] = QN_SCALAR_UINT8,
        [QN_CASE_I8] = QN_SCALAR_INT8, [QN_CASE_I64] = QN_SCALAR_INT64, [QN_CASE_BOOL] = QN_SCALAR_BOOL,
        [QN_CASE_F64] = QN_SCALAR_F64};
    return scalars[dtype];
}

/* The call's inputs as the method takes them. */
static qn_status give_inputs(const run *r, const qn_case_call *call, qn_program_tensor *inputs)
{
    for (size_t i = 0; i < call->inputs.n; i++) {
        const qn_case_array *a = &call->inputs.items[i];
        qn_value_info info = qn_program_input(r->program, r->method, (uint32_t)i);
        if (!info.is_tensor || info.scalar != scalar_of(a->dtype))
            return qn_cli_fail(QN_ERR_FORMAT, "input %zu is %s in the case, not in the program", i,
                               qn_case_dtype_name(a->dtype));
        inputs[i] = (qn_program_tensor){a->shape, a->data};
    }
    return qn_cli_ok();
}

static qn_status execute(const run *r, const qn_case_call *call)
{
    qn_program_tensor *inputs = qn_cli_alloc(call->inputs.n, sizeof *inputs);
    qn_status s = give_inputs(r, call, inputs);
    if (s.code == QN_OK) s = qn_cli_execute_program(r->program, r->method, inputs, (uint32_t)call->inputs.n);
    free(inputs);
    return s;
}

static qn_status check_output(const run *r, const qn_case_array *expected, uint32_t i, size_t index, bool write)
{
    qn_program_tensor got = qn_program_output_data(r->program, r->method, i);
    qn_value_info info = qn_program_output(r->program, r->method, i);
    char a[128], b[128];
    if (!got.data) return qn_cli_fail(QN_ERR_INTERNAL, "output %u is no tensor", i);
    if (expected->ignored) return qn_cli_ok();
    if (info.scalar != scalar_of(expected->dtype))
        return qn_cli_fail(QN_ERR_FORMAT, "output %u is %s, expected is %s", i, qn_scalar_name(info.scalar),
                           qn_case_dtype_name(expected->dtype));
    if (strcmp(qn_cli_shape(&got.shape, a), qn_cli_shape(&expected->shape, b)) != 0)
        return qn_cli_fail(QN_ERR_INTERNAL, "output %u has the shape %s, expected is %s", i, a, b);
    if (expected->dtype == QN_CASE_F32)
        qn_case_compare(&r->k->c, expected, got.data, index, &r->k->result);
    else
        qn_case_compare_exact(expected, got.data, index, &r->k->result);
    if (!write) return qn_cli_ok();
    return qn_check_write(r->k, index, expected->name, got.data,
                          expected->count * qn_case_dtype_bytes(expected->dtype));
}

static qn_status run_call(const run *r, size_t index, bool write)
{
    check *k = r->k;
    const qn_case_call *call = &k->c.calls[index];
    QN_CLI_TRY(execute(r, call));
    for (uint32_t i = 0; qn_program_graph(r->program, r->method, i); i++)
        qn_check_kernels(k, qn_program_graph(r->program, r->method, i));
    uint32_t n = qn_program_method(r->program, r->method).n_outputs;
    if (n != call->outputs.n)
        return qn_cli_fail(QN_ERR_FORMAT, "%zu outputs are expected, the method has %u", call->outputs.n, n);
    for (uint32_t i = 0; i < n; i++) QN_CLI_TRY(check_output(r, &call->outputs.items[i], i, index, write));
    if (k->result.worst > 1)
        return qn_cli_fail(QN_ERR_INTERNAL, "%s is %.9g, expected %.9g", k->result.where, k->result.got,
                           k->result.expected);
    return qn_cli_ok();
}

/* Calls that must fail; what the others give shows that they changed nothing. */
static qn_status run_error_calls(const run *r)
{
    check *k = r->k;
    for (size_t i = 0; i < k->c.n_error_calls; i++) {
        qn_status s = execute(r, &k->c.error_calls[i]);
        if (s.code == QN_OK) return qn_cli_fail(QN_ERR_INTERNAL, "error call %zu ran, but it has to be refused", i);
        if (!qn_check_refusal(&s)) return qn_cli_in(s, "error call %zu", i);
        snprintf(k->note, sizeof k->note, "%s", s.text);
    }
    return qn_cli_ok();
}

static qn_status run_in_order(const run *r)
{
    for (size_t i = 0; i < r->k->c.n_calls; i++) {
        QN_CLI_TRY(qn_cli_in(run_call(r, i, true), "call %zu", i));
        QN_CLI_TRY(run_error_calls(r));
    }
    return qn_cli_ok();
}

/* Without states, the calls give the same in any order. */
static qn_status run_shuffled(const run *r)
{
    size_t n = r->k->c.n_calls;
    for (size_t i = n; i-- > 0;) QN_CLI_TRY(qn_cli_in(run_call(r, i, false), "call %zu in reverse order", i));
    for (size_t i = 0; i < n; i++) {
        size_t at = (i * (n / 2 * 2 + 1) / 2 + n / 2) % n;
        QN_CLI_TRY(qn_cli_in(run_call(r, at, false), "call %zu in mixed order", at));
    }
    return qn_cli_ok();
}

static qn_status run_program(run *r)
{
    r->method = qn_program_find_method(r->program, method_name);
    qn_method_info info = qn_program_method(r->program, r->method);
    if (!info.name[0]) return qn_cli_fail(QN_ERR_FORMAT, "the program has no method %s", method_name);
    QN_CLI_TRY(run_in_order(r));
    if (info.n_states) { /* from the start again: the states as the file has them */
        QN_CLI_TRY(qn_program_reset(r->program, r->method));
        return qn_cli_in(run_call(r, 0, false), "call 0 after a reset");
    }
    return r->k->c.n_calls > 1 ? run_shuffled(r) : qn_cli_ok();
}

/* Some cases expect a refusal because the program's own runtime lacks something, not because anything is wrong: tensors
 * that expand to a live size. Such a program runs here; that it does is what is checked then. */
static bool only_expands(const qn_program *p)
{
    const qn_operator_use *uses;
    uint32_t n = qn_program_operators(p, &uses), expands = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool expand = strcmp(uses[i].name, "aten.expand_copy.default") == 0;
        if (!expand && strcmp(uses[i].name, "sym_size.int") != 0) return false;
        expands += expand;
    }
    return expands > 0;
}

static qn_status run_on_zeros(const run *r)
{
    uint32_t n = qn_program_method(r->program, r->method).n_inputs;
    qn_program_tensor *inputs = qn_cli_alloc(n, sizeof *inputs);
    void **data = qn_cli_alloc(n, sizeof *data);
    for (uint32_t i = 0; i < n; i++) {
        qn_value_info info = qn_program_input(r->program, r->method, i);
        size_t bytes = qn_scalar_bytes(info.scalar);
        for (uint32_t k = 0; k < info.shape.rank; k++) bytes *= info.shape.dim[k];
        data[i] = qn_cli_alloc(bytes, 1);
        inputs[i] = (qn_program_tensor){info.shape, data[i]};
    }
    qn_status s = qn_cli_execute_program(r->program, r->method, inputs, n);
    for (uint32_t i = 0; i < n; i++) free(data[i]);
    free(data);
    free(inputs);
    return s;
}

/* A program that has to be refused; s: what loading it gave. */
static qn_status check_refused(run *r, qn_status s)
{
    check *k = r->k;
    if (s.code == QN_OK && only_expands(r->program)) {
        r->method = qn_program_find_method(r->program, method_name);
        k->runs_here = true;
        return run_on_zeros(r);
    }
    if (s.code == QN_OK) return qn_cli_fail(QN_ERR_INTERNAL, "it was loaded, but it has to be refused");
    if (!qn_check_refusal(&s)) return s;
    snprintf(k->note, sizeof k->note, "%s", s.text);
    return qn_cli_ok();
}

qn_status qn_check_program(check *k, const char *folder, const char *path)
{
    QN_CLI_TRY(qn_case_load_program(folder, &k->c));
    run r = {.k = k};
    qn_program_options options = {.data_files = (const char *const *)k->c.data_files,
                                  .n_data_files = (uint32_t)k->c.n_data_files};
    qn_status s = qn_program_open(k->engine, path, &options, &r.program);
    if (k->c.reject)
        s = check_refused(&r, s);
    else if (s.code == QN_OK)
        s = run_program(&r);
    qn_program_close(r.program);
    return s;
}
