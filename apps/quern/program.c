/* program.c - recognizing programs, and language models among them. */
#include "program.h"

#include <string.h>

static const char method_name[] = "forward";

bool qn_cli_is_program(const char *path)
{
    char start[8] = "";
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    bool is = fread(start, 1, sizeof start, f) == sizeof start && memcmp(start + 4, "ET12", 4) == 0;
    fclose(f);
    return is;
}

qn_status qn_cli_read_program(const char *path, const qn_cli_texts *data, qn_program **program)
{
    const qn_program_options options = {.data_files = data->value, .n_data_files = data->n};
    return qn_program_read(NULL, path, &options, program);
}

const char *qn_cli_value_text(const qn_value_info *value, char text[160])
{
    char shape[128];
    if (value->is_tensor)
        snprintf(text, 160, "%s %s%s", qn_scalar_name(value->scalar), value->is_dynamic ? "up to " : "",
                 qn_cli_shape(&value->shape, shape));
    else
        snprintf(text, 160, "%.17g", value->number);
    return text;
}

bool qn_cli_program_constant(const qn_program *program, const char *method, uint32_t i, double *number)
{
    uint32_t m = qn_program_find_method(program, method);
    qn_method_info info = qn_program_method(program, m);
    if (m == qn_program_n_methods(program) || info.n_inputs != 0 || i >= info.n_outputs) return false;
    qn_value_info value = qn_program_output(program, m, i);
    *number = value.number;
    return !value.is_tensor;
}

/* ---- language models ------------------------------------------------------------------------- */

static bool is_id(const qn_value_info *v)
{
    return v->is_tensor && (v->scalar == QN_SCALAR_INT64 || v->scalar == QN_SCALAR_INT32);
}

static bool find_tokens(const qn_program *p, qn_cli_lm_facts *f)
{
    bool tokens = false, position = false;
    uint32_t n = qn_program_method(p, f->method).n_inputs, positions = 0;
    for (uint32_t i = 0; i < n; i++) {
        qn_value_info v = qn_program_input(p, f->method, i);
        if (!v.is_tensor) continue;
        if (is_id(&v) && v.shape.rank == 2 && v.shape.dim[0] == 1 && !tokens) {
            tokens = true;
            f->tokens = i;
            f->token_type = v.scalar;
            f->chunk = v.shape.dim[1];
            if (!v.is_dynamic && f->chunk != 1) return false;
        } else if (is_id(&v) && v.shape.rank == 1 && !position) {
            position = true;
            f->position = i;
            f->position_type = v.scalar;
            positions = v.shape.dim[0];
        } else {
            return false;
        }
    }
    f->position_each = positions > 1;
    return tokens && position && (positions == 1 || positions >= f->chunk);
}

static bool find_logits(const qn_program *p, qn_cli_lm_facts *f)
{
    uint32_t n = qn_program_method(p, f->method).n_outputs;
    for (uint32_t i = 0; i < n; i++) {
        qn_value_info v = qn_program_output(p, f->method, i);
        uint32_t rank = v.shape.rank;
        if (!v.is_tensor || v.scalar != QN_SCALAR_F32 || (rank != 2 && rank != 3) || v.shape.dim[0] != 1) continue;
        if (rank == 3 && v.shape.dim[1] != 1 && v.shape.dim[1] != f->chunk) continue;
        f->logits = i;
        f->logits_each = rank == 3 && v.shape.dim[1] == f->chunk;
        f->n_vocab = v.shape.dim[rank - 1];
        return true;
    }
    return false;
}

/* Appends a list of inputs or outputs to text. */
static void list_values(const qn_program *p, uint32_t method, bool inputs, char *text, size_t capacity)
{
    qn_method_info info = qn_program_method(p, method);
    uint32_t n = inputs ? info.n_inputs : info.n_outputs;
    size_t at = strlen(text);
    for (uint32_t i = 0; i < n && at < capacity; i++) {
        char one[160];
        qn_value_info v = inputs ? qn_program_input(p, method, i) : qn_program_output(p, method, i);
        int added = i < 4 ? snprintf(text + at, capacity - at, "%s%s", i ? ", " : "", qn_cli_value_text(&v, one))
                          : snprintf(text + at, capacity - at, ", ...");
        at += (size_t)added;
        if (i == 4) break;
    }
}

static qn_status no_language_model(const qn_program *p, uint32_t method)
{
    char inputs[200] = "", outputs[120] = "";
    list_values(p, method, true, inputs, sizeof inputs);
    list_values(p, method, false, outputs, sizeof outputs);
    return qn_cli_fail(QN_ERR_UNSUPPORTED,
                       "method %s is no language model: its inputs are %s; its outputs %s; needed are tokens i64 [1,S] "
                       "(S = 1 or dynamic) and a position i64 [1], giving logits f32 [1,V] or [1,S,V]",
                       method_name, inputs, outputs);
}

qn_status qn_cli_program_facts(const qn_program *program, qn_cli_lm_facts *facts)
{
    static const char *const contexts[] = {"get_max_context_len", "get_max_seq_len"};
    qn_cli_lm_facts f = {.method = qn_program_find_method(program, method_name)};
    if (f.method == qn_program_n_methods(program))
        return qn_cli_fail(QN_ERR_UNSUPPORTED, "the program has no method %s", method_name);
    if (!find_tokens(program, &f) || !find_logits(program, &f)) return no_language_model(program, f.method);
    double number;
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0] && !f.ctx; i++)
        if (qn_cli_program_constant(program, contexts[i], 0, &number) && number >= 1 && number <= INT32_MAX)
            f.ctx = (uint32_t)number;
    if (f.ctx && f.chunk > f.ctx) f.chunk = f.ctx;
    for (uint32_t i = 0; i < QN_CLI_MAX_ENDS && qn_cli_program_constant(program, "get_eos_ids", i, &number); i++)
        f.ends[f.n_ends++] = number >= 0 && number <= INT32_MAX ? (int32_t)number : -1;
    *facts = f;
    return qn_cli_ok();
}
