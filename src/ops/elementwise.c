/* elementwise.c - the functions of functions.def, with broadcasting. One kernel serves every shape: the live shapes are
 * merged into as few dimensions as the operands' strides allow (one where they are equal), and where the innermost
 * divides by 4 the items are of four elements. */
#include "ops/check.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_OPERANDS = 3, NAN_BITS = 0x7fc00000 };

/* Type of a function's result. */
typedef enum result { RESULT_SAME = 0, RESULT_F32, RESULT_I32, RESULT_WORDS } result;

typedef struct function {
    const char *f32, *i32; /* WGSL, by type of the operands; NULL: not for that type */
    uint32_t arity;
    result result;
} function;

static const function functions[QN_OP_COUNT] = {
#define QN_FUNCTION(ID, name, arity, result, f32, i32, c) [QN_OP_##ID] = {f32, i32, arity, RESULT_##result},
#include "ops/functions.def"
#undef QN_FUNCTION
};

/* ---- kernels --------------------------------------------------------------------------------- */

enum { ROW_VEC4, ROW_SCALAR };
enum { SPEC_FUNCTION, SPEC_DTYPE, SPEC_NUMBER }; /* op, type of the operands, whether s is the second operand */

/* apply(): the function on the words of its operands. */
static void write_function(const uint32_t *spec, char *text, size_t capacity)
{
    bool i32 = spec[SPEC_DTYPE] == QN_I32;
    const function *f = &functions[spec[SPEC_FUNCTION]];
    const char *expression = i32 ? f->i32 : f->f32;
    snprintf(text, capacity,
             "alias Item = %s;\n"
             "alias Element = %s;\n"
             "fn apply(x: U, y: U, z: U) -> U {\n"
             "    let s = Item(bitcast<Element>(p.s));\n"
             "    let t = Item(bitcast<Element>(p.t));\n"
             "    let a = bitcast<Item>(x);\n"
             "    let b = %s;\n"
             "    let c = bitcast<Item>(z);\n"
             "    return bitcast<U>(%s);\n"
             "}\n",
             i32 ? "I" : "F", i32 ? "i32" : "f32", spec[SPEC_NUMBER] ? "s" : "bitcast<Item>(y)",
             expression ? expression : "a");
}

#ifdef QN_MODELS_ONLY
#define FUNCTIONS "silu"
#else
#define FUNCTIONS "silu", "functions"
#endif

static const qn_kernel_row rows[] = {
    [ROW_VEC4] = {.name = "elementwise.vec4",
                  .source = "elementwise",
                  .with = {"element4", FUNCTIONS},
                  .entry = "main",
                  .access = "rrrw",
                  .workgroup = {256, 1, 1},
                  .consts = {{"ITEM", 4}},
                  .spec = {"FUNCTION", "DTYPE", "NUMBER"},
                  .write = write_function},
    [ROW_SCALAR] = {.name = "elementwise.scalar",
                    .source = "elementwise",
                    .with = {"element1", FUNCTIONS},
                    .entry = "main",
                    .access = "rrrw",
                    .workgroup = {256, 1, 1},
                    .consts = {{"ITEM", 1}},
                    .spec = {"FUNCTION", "DTYPE", "NUMBER"},
                    .write = write_function},
};
const qn_kernel_table qn_elementwise_kernels = {rows, 2};

/* ---- operands -------------------------------------------------------------------------------- */

/* One dimension of the merged shape: its size and the operands' strides, as the kernel reads them. */
typedef struct merged {
    uint32_t size, stride[MAX_OPERANDS];
} merged;

typedef struct job {
    const function *f;
    uint32_t n_operands; /* tensors */
    const qn_tensor *x[MAX_OPERANDS];
    qn_dtype dtype; /* as the kernel takes the operands */
    qn_shape out;
    uint32_t n; /* elements of out */
    uint32_t rank;
    merged dims[QN_MAX_RANK]; /* innermost first */
    uint32_t numbers[2];      /* s and t, as words of dtype */
    uint32_t window;          /* elements of y in a dispatch */
} job;

static const char *type_name(qn_dtype dtype)
{
    return dtype == QN_I32 ? "i32" : "f32";
}

static const char *name_of(const qn_tensor *t)
{
    return t->name ? t->name : "";
}

static qn_status take_operands(const qn_plan *p, job *j)
{
    j->n_operands = j->f->arity - (p->node->attrs.function.number ? 1 : 0);
    for (uint32_t k = 0; k < j->n_operands; k++) {
        const qn_tensor *x = j->x[k] = qn_plan_in(p, k);
        if (!x || x->is_int) return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u is not a tensor", k);
        if (x->weight && x->weight->matrix)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is a packed matrix, not a plain tensor", k,
                                name_of(x));
    }
    return qn_ok();
}

/* All operands have one type, except that the first of three is a condition. */
static qn_status check_types(const qn_plan *p, job *j)
{
    const qn_tensor *last = j->x[j->n_operands - 1];
    for (uint32_t k = 0; k < j->n_operands; k++) {
        qn_dtype want = j->f->arity == MAX_OPERANDS && k == 0 ? QN_I32 : last->dtype;
        if (j->x[k]->dtype != want)
            return qn_plan_fail(p, QN_ERR_ARGUMENT, "input %u (%s) is of type %s and should be %s", k, name_of(j->x[k]),
                                type_name(j->x[k]->dtype), type_name(want));
    }
    j->dtype = j->f->result == RESULT_WORDS ? QN_I32 : last->dtype;
    if (!(j->dtype == QN_I32 ? j->f->i32 : j->f->f32))
        return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s is of type %s, which it does not take", name_of(last),
                            type_name(j->dtype));
    return qn_ok();
}

static qn_dtype result_type(const job *j)
{
    if (j->f->result == RESULT_SAME || j->f->result == RESULT_WORDS) return j->x[j->n_operands - 1]->dtype;
    return j->f->result == RESULT_F32 ? QN_F32 : QN_I32;
}

static qn_status fail_shapes(const qn_plan *p, const job *j)
{
    char text[300] = "", shape[96];
    size_t at = 0;
    for (uint32_t k = 0; k < j->n_operands && at < sizeof text; k++) {
        qn_shape_text(&j->x[k]->live, shape, sizeof shape);
        int n = snprintf(text + at, sizeof text - at, "%s%.60s%s", k ? " and " : "", name_of(j->x[k]), shape);
        at += n > 0 ? (size_t)n : 0;
    }
    return qn_plan_fail(p, QN_ERR_ARGUMENT, "%s do not broadcast: a dimension differs and is not 1", text);
}

/* Size of the dimension `back` places from the end; 1 beyond the first. */
static uint32_t dim_from_end(const qn_shape *shape, uint32_t back)
{
    return back <= shape->rank ? shape->dim[shape->rank - back] : 1;
}

static qn_status broadcast_shapes(const qn_plan *p, job *j)
{
    qn_shape *out = &j->out;
    for (uint32_t k = 0; k < j->n_operands; k++)
        if (j->x[k]->live.rank > out->rank) out->rank = j->x[k]->live.rank;
    for (uint32_t back = 1; back <= out->rank; back++) {
        uint32_t *size = &out->dim[out->rank - back];
        *size = 1;
        for (uint32_t k = 0; k < j->n_operands; k++) {
            uint32_t own = dim_from_end(&j->x[k]->live, back);
            if (own != 1 && *size != 1 && own != *size) return fail_shapes(p, j);
            if (own != 1) *size = own;
        }
    }
    return qn_check_elements(p, out, &j->n);
}

/* Merges a dimension into the one inside it where that leaves every operand's elements at their places. */
static void merge_dimensions(job *j)
{
    uint32_t inside[MAX_OPERANDS] = {1, 1, 1}; /* elements of each operand within the dimension */
    for (uint32_t back = 1; back <= j->out.rank; back++) {
        merged outer = {.size = dim_from_end(&j->out, back)};
        for (uint32_t k = 0; k < j->n_operands; k++) {
            uint32_t own = dim_from_end(&j->x[k]->live, back);
            outer.stride[k] = own == 1 ? 0 : inside[k];
            inside[k] *= own;
        }
        if (outer.size == 1) continue;
        merged *inner = j->rank ? &j->dims[j->rank - 1] : NULL;
        bool joins = inner != NULL;
        for (uint32_t k = 0; k < j->n_operands && joins; k++) joins = outer.stride[k] == inner->stride[k] * inner->size;
        if (joins)
            inner->size *= outer.size;
        else
            j->dims[j->rank++] = outer;
    }
    if (j->rank == 0) j->dims[j->rank++] = (merged){.size = 1};
}

/* ---- windows --------------------------------------------------------------------------------- */

/* An operand over the device's binding limit moves with the window of y: it can be read at y's own elements only. */
static bool is_large(const job *j, uint32_t k)
{
    return !j->x[k]->weight && qn_shape_count(&j->x[k]->max) > j->window;
}

/* Bit k: operand k moves with the window. */
static qn_status find_moving(const qn_plan *p, const job *j, uint32_t *moving)
{
    *moving = 0;
    for (uint32_t k = 0; k < j->n_operands; k++) {
        uint64_t count = qn_shape_count(&j->x[k]->live);
        if (!is_large(j, k)) continue;
        if (count == j->n)
            *moving |= 1u << k;
        else if (count != 1)
            return qn_plan_fail(p, QN_ERR_LIMIT,
                                "%s was made for %" PRIu64 " elements, which is over the device's binding limit of "
                                "%" PRIu64 " bytes: it cannot be broadcast",
                                name_of(j->x[k]), qn_shape_count(&j->x[k]->max), p->device->max_binding_bytes);
    }
    return qn_ok();
}

static void put_params(qn_dispatch *d, const job *j, uint32_t items, uint32_t first, uint32_t moving)
{
    const uint32_t head[] = {items, j->rank, first, j->numbers[0], j->numbers[1], NAN_BITS, 0, 0};
    for (uint32_t i = 0; i < 8; i++) qn_param_u32(d, head[i]);
    for (uint32_t k = 0; k < 4; k++) qn_param_u32(d, moving >> k & 1 ? first : 0);
    for (uint32_t i = 0; i < j->rank; i++) {
        qn_param_u32(d, j->dims[i].size);
        for (uint32_t k = 0; k < MAX_OPERANDS; k++) qn_param_u32(d, j->dims[i].stride[k]);
    }
}

/* Elements first .. first + n - 1 of y. */
static qn_status dispatch(qn_plan *p, const job *j, const qn_kernel_row *row, uint32_t moving, uint32_t first,
                          uint32_t n)
{
    qn_status s;
    qn_dispatch *d = qn_plan_dispatch(p, row, &s);
    if (!d) return s;
    d->spec[SPEC_FUNCTION] = p->node->op;
    d->spec[SPEC_DTYPE] = j->dtype;
    d->spec[SPEC_NUMBER] = p->node->attrs.function.number;
    for (uint32_t k = 0; k < MAX_OPERANDS; k++) {
        if (k >= j->n_operands)
            qn_bind_dummy(d);
        else
            qn_bind_rows(p, d, p->node->inputs[k], 4, (uint32_t)qn_shape_count(&j->x[k]->max), j->window,
                         moving >> k & 1 ? first : 0);
    }
    qn_bind_rows(p, d, p->node->outputs[0], 4, (uint32_t)qn_shape_count(&qn_plan_out(p, 0)->max), j->window, first);
    uint32_t items = n / qn_row_const(row, "ITEM");
    put_params(d, j, items, first, moving);
    return qn_grid_1d(p, d, qn_div_up(items, row->workgroup[0]));
}

static qn_status dispatch_windows(qn_plan *p, const job *j, uint64_t mask, uint32_t moving)
{
    const qn_kernel_row *row = qn_plan_pick(p, &qn_elementwise_kernels, mask, 0);
    if (!row) return qn_plan_fail(p, QN_ERR_UNSUPPORTED, "no kernel of this device takes %u elements", j->n);
    for (uint32_t first = 0; first < j->n; first += j->window) {
        uint32_t n = j->n - first < j->window ? j->n - first : j->window;
        bool inside = n >= qn_row_const(row, "ITEM");
        for (uint32_t k = 0; k < j->n_operands; k++)
            if ((moving >> k & 1) && first >= qn_shape_count(&j->x[k]->max)) inside = false;
        if (inside) QN_TRY(dispatch(p, j, row, moving, first, n));
    }
    return qn_ok();
}

static const uint64_t SCALAR = 1u << ROW_SCALAR, ANY = 1u << ROW_SCALAR | 1u << ROW_VEC4;

/* Every row and binding that a live shape may choose: large operands move with the window or, with one element, stay.
 */
static qn_status dispatch_all(qn_plan *p, const job *j)
{
    uint32_t large = 0;
    for (uint32_t k = 0; k < j->n_operands; k++)
        if (is_large(j, k)) large |= 1u << k;
    for (uint32_t moving = 0; moving <= large; moving++) {
        if (moving & ~large) continue;
        if (j->n_operands == 1 && moving != large) continue; /* a single operand has the result's shape */
        QN_TRY(dispatch_windows(p, j, ANY, moving));
        QN_TRY(dispatch_windows(p, j, SCALAR, moving));
    }
    return qn_ok();
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* y[...] = f(a[...], b[...], c[...]), the operands broadcast to one shape as NumPy does. */
qn_status qn_plan_function(qn_plan *p)
{
    job j = {.f = &functions[p->node->op]};
    uint32_t moving;
    QN_TRY(take_operands(p, &j));
    QN_TRY(check_types(p, &j));
    QN_TRY(broadcast_shapes(p, &j));
    QN_TRY(qn_plan_word(p, j.dtype, p->node->attrs.function.s, &j.numbers[0]));
    QN_TRY(qn_plan_word(p, j.dtype, p->node->attrs.function.t, &j.numbers[1]));
    QN_TRY(qn_plan_set_out(p, 0, result_type(&j), j.out));
    merge_dimensions(&j);
    QN_TRY(qn_plan_window(p, 4, j.n, &j.window));
    QN_TRY(find_moving(p, &j, &moving));
    if (p->building) return dispatch_all(p, &j);
    return dispatch_windows(p, &j, j.dims[0].size % 4 == 0 ? ANY : SCALAR, moving);
}
