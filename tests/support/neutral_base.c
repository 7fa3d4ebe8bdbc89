/* neutral_base.c - cases of the operations that language models are made of, and the list of all families. */
#include "support/neutrality.h"

static qn_value add_linear_gated(const built *b)
{
    return qn_linear_with(
        b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .norm = b->w[1], .eps = 1e-5f, .gated = true});
}

static qn_value add_linear_residual(const built *b)
{
    return qn_linear_with(
        b->g, &(qn_linear_options){.x = b->in[0], .w = b->w[0], .norm = b->w[1], .eps = 1e-5f, .residual = b->in[1]});
}

static qn_value add_linear(const built *b)
{
    return qn_linear(b->g, b->in[0], b->w[0], b->w[1]);
}

static qn_value add_embedding(const built *b)
{
    return qn_embedding(b->g, b->w[0], b->in[0]);
}

static qn_value add_rms_norm(const built *b)
{
    return qn_rms_norm(b->g, b->in[0], b->w[0], 1e-5f);
}

static qn_value rope(const built *b, qn_rope_mode mode)
{
    qn_rope_table_options table = {.head_dim = 8, .n_positions = CONTEXT, .freq_base = 10000.0};
    return qn_rope(b->g, b->in[0], qn_rope_table(b->g, &table), b->number, mode);
}

static qn_value add_rope_interleaved(const built *b)
{
    return rope(b, QN_ROPE_INTERLEAVED);
}

static qn_value add_rope_half(const built *b)
{
    return rope(b, QN_ROPE_HALF);
}

static qn_value add_update_cache(const built *b)
{
    qn_update_cache(b->g, b->in[0], b->state[0], b->number);
    return 0;
}

static qn_value add_sdpa(const built *b)
{
    return qn_sdpa_with_kv_cache(b->g, b->in[0], b->in[1], b->in[2], b->state[0], b->state[1], b->number, NULL);
}

static qn_rope_append_options append_options(const built *b, qn_rope_mode mode)
{
    uint32_t dim = qn_graph_live_shape(b->g, b->state[0]).dim[3];
    qn_rope_table_options table = {.head_dim = dim, .n_positions = CONTEXT, .freq_base = 10000.0};
    return (qn_rope_append_options){b->in[0], qn_rope_table(b->g, &table), b->state[0], b->state[1], b->number, mode};
}

static qn_value add_rope_append(const built *b)
{
    qn_rope_append_options o = append_options(b, QN_ROPE_HALF);
    return qn_rope_append(b->g, &o);
}

static qn_value add_rope_attend(const built *b)
{
    return qn_rope_attend(b->g, &(qn_rope_attend_options){.append = append_options(b, QN_ROPE_INTERLEAVED)});
}

static qn_value add_attend(const built *b)
{
    qn_attend_options o = {.q = b->in[0], .k_cache = b->state[0], .v_cache = b->state[1], .pos = b->number};
    return qn_attend(b->g, &o);
}

static qn_value add_add(const built *b)
{
    return qn_add(b->g, b->in[0], b->in[1]);
}

static qn_value add_mul(const built *b)
{
    return qn_mul(b->g, b->in[0], b->in[1]);
}

static qn_value add_silu(const built *b)
{
    return qn_silu(b->g, b->in[0]);
}

static qn_value add_silu_mul(const built *b)
{
    return qn_silu_mul(b->g, b->in[0], b->in[1]);
}

static qn_value add_view(const built *b)
{
    return qn_view(b->g, b->in[0], qn_shape_4(1, 0, 3, 4));
}

static qn_value add_last_rows(const built *b)
{
    return qn_last_rows(b->g, b->in[0], b->number, MAX_LAST);
}

/* x[1, S, 12] as [S * 3, 4], its rows computed from S and a number that cancels out. */
static qn_value add_integers(const built *b)
{
    qn_value n = qn_int_from_tensor(b->g, b->in[1], -1), one = qn_int_floordiv(b->g, n, n);
    qn_value rows = qn_int_mul(b->g, qn_int_dim(b->g, b->in[0], -2), qn_graph_const_int(b->g, 3));
    const qn_value sizes[QN_MAX_RANK] = {qn_int_sub(b->g, qn_int_add(b->g, rows, one), one), 0};
    return qn_view_computed(b->g, b->in[0], qn_shape_2(b->rows * 3, 4), sizes);
}

#define LINEAR(text, kind, n, k, group)                                                                                \
    {                                                                                                                  \
        .name = text, .op = QN_OP_LINEAR, .tables = {&qn_linear_kernels}, .in = {ROWS_OF(k)},                          \
        .w = {MATRIX(kind, n, k, group), VECTOR(n)}, .add = add_linear                                                 \
    }
#define NOTHING                                                                                                        \
    {                                                                                                                  \
        {0}, 0                                                                                                         \
    }
#define LINEAR_WITH(text, n, k, function, other)                                                                       \
    {                                                                                                                  \
        .name = text, .op = QN_OP_LINEAR, .tables = {&qn_linear_kernels, &qn_gate_kernels, &qn_rms_norm_kernels},      \
        .in = {ROWS_OF(k), other}, .w = {MATRIX(Q4, n, k, 32), VECTOR(k)}, .add = function                             \
    }
/* With activations rounded to 8 bits where a row does that. */
#define LINEAR_AUTO(text, matrix, k, function, other)                                                                  \
    {                                                                                                                  \
        .name = text, .op = QN_OP_LINEAR, .tables = {&qn_linear_kernels, &qn_blocks8_kernels},                         \
        .in = {ROWS_OF(k), other}, .w = {matrix, VECTOR(k)}, .precision = QN_PRECISION_AUTO, .add = function           \
    }
#define EMBEDDING(text, kind, k, group)                                                                                \
    {                                                                                                                  \
        .name = text, .op = QN_OP_EMBEDDING, .tables = {&qn_embedding_kernels}, .in = {{{2, {1, 0}}, QN_I32}},         \
        .w = {MATRIX(kind, 50, k, group)}, .add = add_embedding                                                        \
    }
#define PAIR(text, ID, e, function)                                                                                    \
    {                                                                                                                  \
        .name = text, .op = QN_OP_##ID, .tables = {&qn_elementwise_kernels}, .in = {ROWS_OF(e), ROWS_OF(e)},           \
        .any_rows = true, .add = function                                                                              \
    }
#define ROPE(text, function)                                                                                           \
    {                                                                                                                  \
        .name = text, .op = QN_OP_ROPE, .tables = {&qn_rope_kernels}, .in = {HEADS(3, 8)}, .number = POSITION,         \
        .add = function                                                                                                \
    }
#define CACHE(heads, dim)                                                                                              \
    {                                                                                                                  \
        4,                                                                                                             \
        {                                                                                                              \
            1, CONTEXT, heads, dim                                                                                     \
        }                                                                                                              \
    }
#define SDPA(text, heads, kv_heads, dim)                                                                               \
    {                                                                                                                  \
        .name = text, .op = QN_OP_SDPA,                                                                                \
        .tables = {&qn_sdpa_qk_kernels, &qn_sdpa_softmax_kernels, &qn_sdpa_av_kernels, &qn_update_cache_kernels},      \
        .in = {HEADS(heads, dim), HEADS(kv_heads, dim), HEADS(kv_heads, dim)},                                         \
        .states = {CACHE(kv_heads, dim), CACHE(kv_heads, dim)}, .number = POSITION, .add = add_sdpa                    \
    }
#define ROPE_APPEND(text, heads, kv_heads, dim, type)                                                                  \
    {                                                                                                                  \
        .name = text, .op = QN_OP_ROPE_APPEND, .tables = {&qn_rope_append_kernels},                                    \
        .in = {{{2, {0, (heads + 2 * kv_heads) * dim}}, QN_F32}},                                                      \
        .states = {CACHE(kv_heads, dim), CACHE(kv_heads, dim)}, .state_type = type, .number = POSITION,                \
        .add = add_rope_append                                                                                         \
    }
#define ATTEND(text, heads, kv_heads, dim, type)                                                                       \
    {                                                                                                                  \
        .name = text, .op = QN_OP_ATTEND, .tables = {&qn_attend_kernels, &qn_attend_reduce_kernels},                   \
        .in = {HEADS(heads, dim)}, .states = {CACHE(kv_heads, dim), CACHE(kv_heads, dim)}, .state_type = type,         \
        .number = POSITION, .add = add_attend                                                                          \
    }
#define ROPE_ATTEND(text, heads, kv_heads, dim, type)                                                                  \
    {                                                                                                                  \
        .name = text, .op = QN_OP_ROPE_ATTEND, .tables = {&qn_rope_attend_kernels},                                    \
        .in = {{{2, {0, (heads + 2 * kv_heads) * dim}}, QN_F32}},                                                      \
        .states = {CACHE(kv_heads, dim), CACHE(kv_heads, dim)}, .state_type = type, .number = POSITION,                \
        .add = add_rope_attend                                                                                         \
    }
#define UPDATE_CACHE(text, heads, dim)                                                                                 \
    {                                                                                                                  \
        .name = text, .op = QN_OP_UPDATE_CACHE, .tables = {&qn_update_cache_kernels}, .in = {HEADS(heads, dim)},       \
        .states = {CACHE(heads, dim)}, .number = POSITION, .add = add_update_cache                                     \
    }

#define INTEGERS(ID)                                                                                                   \
    {                                                                                                                  \
        .name = "rows of a view", .op = QN_OP_##ID, .in = {ROWS_OF(12), {{1, {1}}, QN_I32}}, .add = add_integers       \
    }

static const op_case cases[] = {
    LINEAR("q4 by 32", Q4, 48, 128, 32),
    LINEAR("q4 by 64", Q4, 40, 128, 64),
    LINEAR("q4 by 128", Q4, 33, 256, 128),
    LINEAR("q4, ragged", Q4, 17, 100, 20),
    LINEAR("q4a", Q4A, 48, 64, 32),
    LINEAR("q8", Q8, 48, 64, 16),
    LINEAR("f16", F16, 21, 96, 0),
    LINEAR("bf16", BF16, 16, 32, 0),
    LINEAR("f32", F32, 20, 37, 0),
    LINEAR_WITH("norm and gate", 48, 64, add_linear_gated, NOTHING),
    LINEAR_WITH("norm and gate, ragged", 22, 35, add_linear_gated, NOTHING),
    LINEAR_WITH("norm and residual", 20, 64, add_linear_residual, ROWS_OF(20)),
    LINEAR_AUTO("8-bit x, norm and gate", MATRIX(Q4, 44, 96, 32), 96, add_linear_gated, NOTHING),
    LINEAR_AUTO("8-bit x, norm and residual", MATRIX(Q4A, 21, 68, 32), 68, add_linear_residual, ROWS_OF(21)),
    LINEAR_AUTO("8-bit x and w", MATRIX(Q8, 20, 80, 16), 80, add_linear_residual, ROWS_OF(20)),
    EMBEDDING("q4", Q4, 64, 32),
    EMBEDDING("f16", F16, 37, 0),
    {.name = "E=64",
     .op = QN_OP_RMS_NORM,
     .tables = {&qn_rms_norm_kernels},
     .in = {ROWS_OF(64)},
     .w = {VECTOR(64)},
     .add = add_rms_norm},
    {.name = "E=25",
     .op = QN_OP_RMS_NORM,
     .tables = {&qn_rms_norm_kernels},
     .in = {ROWS_OF(25)},
     .w = {VECTOR(25)},
     .add = add_rms_norm},
    ROPE("interleaved", add_rope_interleaved),
    ROPE("half", add_rope_half),
    UPDATE_CACHE("D=8", 2, 8),
    UPDATE_CACHE("D=3", 3, 3),
    {.name = "f16",
     .op = QN_OP_UPDATE_CACHE,
     .tables = {&qn_update_cache_kernels},
     .in = {HEADS(2, 8)},
     .states = {CACHE(2, 8)},
     .state_type = QN_F16,
     .number = POSITION,
     .add = add_update_cache},
    ROPE_APPEND("f32", 4, 2, 8, QN_F32),
    ROPE_APPEND("f16", 4, 2, 16, QN_F16),
    ROPE_APPEND("q8_0", 3, 1, 32, QN_Q8_0),
    ATTEND("f32", 6, 2, 16, QN_F32),
    ATTEND("f16", 8, 1, 24, QN_F16),
    ATTEND("q8_0", 4, 4, 32, QN_Q8_0),
    ATTEND("D=64", 4, 2, 64, QN_F16),
    ROPE_ATTEND("f16", 4, 2, 64, QN_F16),
    ROPE_ATTEND("q8_0", 2, 2, 32, QN_Q8_0),
    SDPA("4 heads", 4, 4, 8),
    SDPA("6 heads on 2", 6, 2, 16),
    PAIR("E=16", ADD, 16, add_add),
    PAIR("E=5", ADD, 5, add_add),
    PAIR("E=6", MUL, 6, add_mul),
    {.name = "E=7", .op = QN_OP_SILU, .tables = {&qn_elementwise_kernels}, .in = {ROWS_OF(7)}, .add = add_silu},
    PAIR("E=20", SILU_MUL, 20, add_silu_mul),
    {.name = "heads", .op = QN_OP_VIEW, .in = {ROWS_OF(12)}, .add = add_view},
    {.name = "E=10",
     .op = QN_OP_LAST_ROWS,
     .tables = {&qn_strided_kernels},
     .in = {{{2, {0, 10}}, QN_F32}},
     .number = LAST_ROWS,
     .add = add_last_rows},
    INTEGERS(INT_FROM_TENSOR),
    INTEGERS(INT_DIM),
    INTEGERS(INT_ADD),
    INTEGERS(INT_SUB),
    INTEGERS(INT_MUL),
    INTEGERS(INT_FLOORDIV),
};

static const neutral_family base = {cases, sizeof cases / sizeof cases[0]};
extern const neutral_family qn_neutral_matmul, qn_neutral_elementwise, qn_neutral_strided, qn_neutral_reduce,
    qn_neutral_vision, qn_neutral_q8, qn_neutral_sample;

const neutral_family *const qn_neutral_families[] = {&base,
                                                     &qn_neutral_matmul,
                                                     &qn_neutral_elementwise,
                                                     &qn_neutral_strided,
                                                     &qn_neutral_reduce,
                                                     &qn_neutral_vision,
                                                     &qn_neutral_q8,
                                                     &qn_neutral_sample,
                                                     NULL};
