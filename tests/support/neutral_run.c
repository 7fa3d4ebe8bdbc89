/* neutral_run.c - building and running the cases of operations. */
#include "support/neutral_run.h"

#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

qn_shape qn_neutral_shape(qn_shape shape, uint32_t rows)
{
    for (uint32_t i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 0) shape.dim[i] = rows;
    return shape;
}

static size_t bytes_of(qn_shape shape)
{
    return (size_t)qn_shape_count(&shape) * 4;
}

static qn_dtype state_type(const op_case *c)
{
    return c->state_type ? c->state_type : QN_F32;
}

/* Random contents; of 16-bit and 8-bit types small positive numbers. */
static float *fill_state(const op_case *c, uint32_t i)
{
    size_t n = (size_t)qn_state_bytes(state_type(c), &c->states[i]) / 4;
    float *x = qn_test_floats(n, 200 + i, 1.0f);
    for (size_t k = 0; k < n && state_type(c) != QN_F32; k++) {
        uint32_t word = qn_test_random(200 + i, k) & 0x3F3F3F3F;
        memcpy(&x[k], &word, sizeof word);
    }
    return x;
}

static void open_weight(qn_neutral_fixture *f, uint32_t i)
{
    qn_shape shape = f->c->w[i].shape;
    qn_weight_desc plain = {.name = "plain", .kind = QN_WEIGHT_F32, .shape = shape};
    float *data = NULL;
    if (shape.rank == 2)
        f->matrix[i] =
            qn_test_matrix_make(f->c->w[i].kind, shape.dim[0], shape.dim[1], f->c->w[i].group, f->c->halves, i);
    else
        plain.data = data = qn_test_floats(shape.dim[0], i, 1.0f);
    const qn_weight_desc *desc = shape.rank == 2 ? &f->matrix[i].desc : &plain;
    qn_assert_ok(f->engine ? qn_weight_create(f->engine, desc, &f->weight[i])
                           : qn_weight_plan(NULL, f->device, desc, &f->weight[i]));
    free(data);
}

static void open_fixture(qn_neutral_fixture *f)
{
    const op_case *c = f->c;
    for (uint32_t i = 0; i < MAX_WEIGHTS && c->w[i].kind; i++) open_weight(f, i);
    for (uint32_t i = 0; i < MAX_INPUTS && c->in[i].dtype; i++) {
        size_t n = bytes_of(qn_neutral_shape(c->in[i].shape, MAX_ROWS)) / 4;
        float *x = qn_test_floats(n, 100 + i, 1.0f);
        if (c->in[i].dtype == QN_I32) /* ids of a small vocabulary */
            for (size_t k = 0; k < n; k++) {
                int32_t id = (int32_t)(1 + qn_test_random(1, k) % 49);
                memcpy(&x[k], &id, sizeof id);
            }
        if (c->data[i]) memcpy(x, c->data[i], n * sizeof *x);
        f->data[i] = x;
    }
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++) f->state[i] = fill_state(c, i);
}

void qn_neutral_open(qn_neutral_fixture *f, qn_engine *engine, const op_case *c)
{
    *f = (qn_neutral_fixture){.engine = engine, .c = c};
    open_fixture(f);
}

void qn_neutral_open_dry(qn_neutral_fixture *f, const qn_device_info *device, const op_case *c)
{
    *f = (qn_neutral_fixture){.device = device, .c = c};
    open_fixture(f);
}

void qn_neutral_close(qn_neutral_fixture *f)
{
    for (uint32_t i = 0; i < MAX_WEIGHTS; i++) {
        qn_weight_free(f->weight[i]);
        qn_test_matrix_free(&f->matrix[i]);
    }
    for (uint32_t i = 0; i < MAX_INPUTS; i++) free(f->data[i]);
    for (uint32_t i = 0; i < MAX_STATES; i++) free(f->state[i]);
}

/* The one-op graph of the case, built for at most `rows` rows. */
built qn_neutral_build(const qn_neutral_fixture *f, uint32_t rows)
{
    const op_case *c = f->c;
    built b = {.rows = rows};
    qn_assert_ok(f->engine ? qn_graph_open(f->engine, &b.g) : qn_graph_open_dry(NULL, f->device, &b.g));
    if (!f->engine) b.g->plan.forced = f->route;
    qn_graph_set_precision(b.g, c->precision);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (uint32_t i = 0; i < MAX_INPUTS && c->in[i].dtype; i++)
        b.in[i] = qn_graph_input(b.g, names[i], c->in[i].dtype, qn_neutral_shape(c->in[i].shape, rows));
    for (uint32_t i = 0; i < MAX_WEIGHTS && f->weight[i]; i++) b.w[i] = qn_graph_weight(b.g, f->weight[i]);
    for (uint32_t i = 0; i < MAX_STATES && c->states[i].rank; i++)
        b.state[i] = qn_graph_state(b.g, names[i], state_type(c), c->states[i]);
    if (c->number) b.number = qn_graph_int(b.g, "number", CONTEXT);
    b.out = c->add(&b);
    if (b.out) qn_graph_output(b.g, b.out, "out");
    qn_assert_ok(qn_graph_build(b.g));
    return b;
}

static int64_t number_of(const op_case *c, const qn_neutral_call *call)
{
    if (c->number == POSITION) return call->pos;
    uint32_t most = call->rows < MAX_LAST ? call->rows : MAX_LAST;
    return 1 + call->pos % most;
}

void qn_neutral_set(const qn_neutral_fixture *f, const built *b, const qn_neutral_call *call)
{
    for (uint32_t i = 0; i < MAX_INPUTS && b->in[i]; i++)
        qn_assert_ok(qn_graph_set_input(b->g, b->in[i], qn_neutral_shape(f->c->in[i].shape, call->rows), f->data[i]));
    for (uint32_t i = 0; i < MAX_STATES && b->state[i]; i++)
        qn_assert_ok(qn_graph_write_state(b->g, b->state[i], f->state[i]));
    if (f->c->number) qn_assert_ok(qn_graph_set_int(b->g, b->number, number_of(f->c, call)));
}

/* ---- what a call did ------------------------------------------------------------------------- */

static void append(qn_neutral_result *r, const void *data, size_t n)
{
    r->bytes = realloc(r->bytes, r->size + n + 1);
    assert_non_null(r->bytes);
    if (n) memcpy(r->bytes + r->size, data, n);
    r->size += n;
}

static void append_dispatches(qn_neutral_result *r, const qn_graph *g)
{
    for (size_t i = 0; i < qn_graph_n_dispatches(g); i++) {
        qn_trace t = qn_graph_dispatch(g, i);
        char name[64] = {0}; /* as words, like all that follows */
        memcpy(name, t.kernel, strlen(t.kernel));
        append(r, name, sizeof name);
        append(r, t.grid, sizeof t.grid);
        append(r, &t.n_params, sizeof t.n_params);
        append(r, t.params, t.n_params * sizeof t.params[0]);
        size_t used = strlen(r->kernels);
        snprintf(r->kernels + used, sizeof r->kernels - used, " %s(%u,%u,%u)", t.kernel, t.grid[0], t.grid[1],
                 t.grid[2]);
    }
}

void qn_neutral_run(const qn_neutral_fixture *f, const built *b, const qn_neutral_call *call, qn_neutral_result *r)
{
    qn_neutral_set(f, b, call);
    qn_assert_ok(qn_test_execute(b->g));
    append_dispatches(r, b->g);
    if (b->out) {
        qn_shape live;
        const void *data = qn_graph_output_data(b->g, b->out, &live);
        assert_non_null(data);
        append(r, &live.rank, sizeof live.rank);
        append(r, live.dim, live.rank * sizeof live.dim[0]);
        append(r, data, bytes_of(live));
    }
    for (uint32_t i = 0; i < MAX_STATES && b->state[i]; i++) {
        size_t bytes = (size_t)qn_state_bytes(state_type(f->c), &f->c->states[i]);
        void *contents = calloc(1, bytes);
        qn_assert_ok(qn_test_read_state(b->g, b->state[i], contents));
        append(r, contents, bytes);
        free(contents);
    }
}
