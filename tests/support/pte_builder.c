#include "support/pte_builder.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_AT = 8 };

/* ---- program --------------------------------------------------------------------------------------------- */

static size_t tensor(qn_fbb *b, size_t ref, uint8_t scalar_type, uint32_t buffer, size_t rank, const int32_t *sizes)
{
    static const uint8_t order[] = {0, 1};
    size_t t = qn_fbb_tagged(b, ref, 5, QN_FIELDS({4, 1, scalar_type}, {8, 4, 0}, {10, 4, 0}, {14, 4, buffer}));
    qn_fbb_items(b, t, 8, sizes, rank, 4);
    qn_fbb_items(b, t, 10, order, rank, 1);
    return t;
}

/* Tensors with data that is not a plain constant: planned, and external. */
static void special_tensors(qn_pte_builder *p, size_t ref, bool has_segments)
{
    static const int32_t one[] = {1}, two[] = {2};
    static const uint8_t order[] = {0};
    qn_fbb *b = &p->b;
    size_t t =
        qn_fbb_tagged(b, ref + 4 * 7, 5, QN_FIELDS({4, 1, 4}, {8, 4, 0}, {14, 4, has_segments ? 1u : 0u}, {16, 4, 0}));
    qn_fbb_items(b, t, 8, one, 1, 4);
    qn_fbb_child(b, t, 16, QN_FIELDS({4, 4, 1}));
    p->values[7] = t;
    t = qn_fbb_tagged(b, ref + 4 * 8, 5, QN_FIELDS({4, 1, 6}, {8, 4, 0}, {10, 4, 0}, {22, 4, 0}));
    qn_fbb_items(b, t, 8, two, 1, 4);
    qn_fbb_items(b, t, 10, order, 1, 1);
    size_t extra = qn_fbb_child(b, t, 22, QN_FIELDS({6, 4, 0}, {8, 1, 1}));
    qn_fbb_text(b, extra, 6, "outside");
    p->values[8] = t;
}

static void values(qn_pte_builder *p, bool has_segments)
{
    static const int32_t shape[] = {2, 3};
    static const int64_t ints[] = {1};
    static const double doubles[] = {0.25};
    static const uint8_t bools[] = {1, 0};
    static const int32_t tensors[] = {0, 6}, optional[] = {0, 5};
    static const struct {
        const void *items;
        size_t count, width;
    } lists[] = {{ints, 1, 8}, {doubles, 1, 8}, {bools, 2, 1}, {tensors, 2, 4}, {optional, 2, 4}};
    static const uint8_t list_kinds[] = {7, 8, 9, 10, 11};
    qn_fbb *b = &p->b;
    size_t ref = qn_fbb_children(b, p->plan, 8, 14);
    p->values[0] = tensor(b, ref, 6, 0, 2, shape);
    p->values[1] = qn_fbb_tagged(b, ref + 4, 2, QN_FIELDS({4, 8, (uint64_t)-7}));
    p->values[2] = qn_fbb_tagged(b, ref + 8, 3, QN_FIELDS({4, 1, 1}));
    p->values[3] = qn_fbb_tagged(b, ref + 12, 4, QN_FIELDS({4, 8, 0x3FE0000000000000u}));
    p->values[4] = qn_fbb_tagged(b, ref + 16, 6, QN_FIELDS({4, 4, 0}));
    qn_fbb_text(b, p->values[4], 4, "text");
    p->values[5] = qn_fbb_table(b, ref + 20, QN_FIELDS({4, 1, 1})); /* null, without a table of its own */
    p->values[6] = tensor(b, ref + 24, 6, 1, 1, shape);
    special_tensors(p, ref, has_segments);
    for (size_t i = 0; i < 5; i++) {
        p->values[9 + i] = qn_fbb_tagged(b, ref + 4 * (9 + i), list_kinds[i], QN_FIELDS({4, 4, 0}));
        qn_fbb_items(b, p->values[9 + i], 4, lists[i].items, lists[i].count, lists[i].width);
    }
}

static void chain(qn_pte_builder *p)
{
    static const int32_t kernel_args[] = {0, 5, 6}, delegate_args[] = {0, 6};
    qn_fbb *b = &p->b;
    p->chains = qn_fbb_children(b, p->plan, 14, 1);
    size_t c = qn_fbb_table(b, p->chains, QN_FIELDS({8, 4, 0}));
    size_t ref = qn_fbb_children(b, c, 8, 6);
    p->instructions[0] = qn_fbb_tagged(b, ref, 1, QN_FIELDS({4, 4, 0}, {6, 4, 0}));
    qn_fbb_items(b, p->instructions[0], 6, kernel_args, 3, 4);
    for (size_t i = 1; i <= 2; i++) {
        p->instructions[i] = qn_fbb_tagged(b, ref + 4 * i, 2, QN_FIELDS({4, 4, p->header ? i - 1 : 0}, {6, 4, 0}));
        qn_fbb_items(b, p->instructions[i], 6, delegate_args, 2, 4);
    }
    p->instructions[3] = qn_fbb_tagged(b, ref + 12, 3, QN_FIELDS({4, 4, 1}, {6, 4, 2}));
    p->instructions[4] = qn_fbb_tagged(b, ref + 16, 4, QN_FIELDS({4, 4, 2}, {6, 4, 6}));
    p->instructions[5] = qn_fbb_tagged(b, ref + 20, 5, QN_FIELDS({4, 4, 0}));
}

static void delegates(qn_pte_builder *p, bool has_segments)
{
    static const uint8_t spec_value[] = {1, 2};
    qn_fbb *b = &p->b;
    size_t ref = qn_fbb_children(b, p->plan, 18, has_segments ? 2 : 1);
    p->delegates[0] = qn_fbb_table(b, ref, QN_FIELDS({4, 4, 0}, {6, 4, 0}));
    qn_fbb_text(b, p->delegates[0], 4, "VulkanBackend");
    p->delegates[0] = qn_fbb_child(b, p->delegates[0], 6, QN_FIELDS({4, 1, 0}, {6, 4, 0}));
    if (!has_segments) return;
    size_t d = qn_fbb_table(b, ref + 4, QN_FIELDS({4, 4, 0}, {6, 4, 0}, {8, 4, 0}));
    qn_fbb_text(b, d, 4, "OtherBackend");
    p->delegates[1] = qn_fbb_child(b, d, 6, QN_FIELDS({4, 1, 1}, {6, 4, 2}));
    size_t spec = qn_fbb_table(b, qn_fbb_children(b, d, 8, 1), QN_FIELDS({4, 4, 0}, {6, 4, 0}));
    qn_fbb_text(b, spec, 4, "key");
    qn_fbb_items(b, spec, 6, spec_value, 2, 1);
}

/* Tables of the segments; their offsets and sizes are filled in at the end. */
static void segments(qn_pte_builder *p)
{
    static const uint64_t constants[] = {0, 16}, mutables[] = {0, 8};
    qn_fbb *b = &p->b;
    size_t ref = qn_fbb_children(b, p->program, 12, 4);
    for (size_t i = 0; i < 4; i++) p->segments[i] = qn_fbb_table(b, ref + 4 * i, QN_FIELDS({4, 8, 0}, {6, 8, 0}));
    size_t t = qn_fbb_table(b, qn_fbb_children(b, p->program, 16, 1), QN_FIELDS({4, 4, 1}, {6, 4, 0}));
    qn_fbb_items(b, t, 6, mutables, 2, 8);
    p->named = qn_fbb_table(b, qn_fbb_children(b, p->program, 18, 1), QN_FIELDS({4, 4, 0}, {6, 4, 3}));
    qn_fbb_text(b, p->named, 4, "blob");
    t = qn_fbb_child(b, p->program, 14, QN_FIELDS({4, 4, 0}, {6, 4, 0}));
    qn_fbb_items(b, t, 6, constants, 2, 8);
}

static void inline_constants(qn_pte_builder *p)
{
    static const float one_two[] = {1.0f, 2.0f};
    qn_fbb *b = &p->b;
    size_t ref = qn_fbb_children(b, p->program, 8, 2);
    size_t t = qn_fbb_table(b, ref, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, t, 4, NULL, 0, 1);
    t = qn_fbb_table(b, ref + 4, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, t, 4, one_two, sizeof one_two, 1);
    qn_fbb_child(b, p->program, 14, QN_FIELDS({4, 4, 0})); /* no offsets */
}

static void inline_delegate(qn_pte_builder *p)
{
    qn_fbb *b = &p->b;
    qn_vk_builder v = qn_vk_builder_new();
    qn_fbb blob = qn_vk_builder_finish(&v);
    size_t t = qn_fbb_table(b, qn_fbb_children(b, p->program, 10, 1), QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, t, 4, blob.data, blob.size, 1);
    qn_fbb_free(&blob);
}

/* A reference to an empty vector, for a field that has nothing. */
static void empty(qn_fbb *b, size_t table, uint16_t slot)
{
    qn_fbb_scalars(b, qn_fbb_field_at(b, table, slot), NULL, 0, 4);
}

qn_pte_builder qn_pte_builder_new(uint32_t header)
{
    static const int32_t inputs[] = {0}, outputs[] = {6, 0};
    qn_pte_builder p = {.b = qn_fbb_new("ET12", header), .header = header};
    qn_fbb *b = &p.b;
    p.program = qn_fbb_table(
        b, 0, QN_FIELDS({4, 4, 0}, {6, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}, {16, 4, 0}, {18, 4, 0}));
    p.plan = qn_fbb_table(b, qn_fbb_children(b, p.program, 6, 1),
                          QN_FIELDS({4, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}, {16, 4, 0}, {18, 4, 0}));
    qn_fbb_text(b, p.plan, 4, "forward");
    values(&p, header != 0);
    qn_fbb_items(b, p.plan, 10, inputs, 1, 4);
    qn_fbb_items(b, p.plan, 12, outputs, 2, 4);
    p.operators = qn_fbb_table(b, qn_fbb_children(b, p.plan, 16, 1), QN_FIELDS({4, 4, 0}, {6, 4, 0}));
    qn_fbb_text(b, p.operators, 4, "aten::copy_");
    qn_fbb_text(b, p.operators, 6, "out");
    chain(&p);
    delegates(&p, header != 0);
    inline_delegate(&p);
    if (header) {
        segments(&p);
        empty(b, p.program, 8);
    } else {
        inline_constants(&p);
        empty(b, p.program, 12);
        empty(b, p.program, 16);
        empty(b, p.program, 18);
    }
    return p;
}

void qn_pte_builder_finish(qn_pte_builder *p)
{
    static const float one_two[] = {1.0f, 2.0f}, named[] = {30.0f, 40.0f};
    static const int64_t five = 5;
    static const size_t sizes[] = {24, 16, 4, 8};
    qn_fbb *b = &p->b;
    if (!p->header) return;
    size_t program_size = b->size;
    qn_fbb_align(b, 128);
    size_t base = b->size;
    for (size_t i = 0; i < 4; i++) {
        qn_fbb_align(b, 128);
        size_t at = qn_fbb_bytes(b, NULL, sizes[i]);
        qn_fbb_put(b, qn_fbb_field_at(b, p->segments[i], 4), at - base, 8);
        qn_fbb_put(b, qn_fbb_field_at(b, p->segments[i], 6), sizes[i], 8);
        if (i == 0) memcpy(b->data + at + 16, one_two, 8);
        if (i == 1) memcpy(b->data + at + 8, &five, 8);
        if (i == 2) memcpy(b->data + at, "data", 4);
        if (i == 3) memcpy(b->data + at, named, 8);
    }
    memcpy(b->data + HEADER_AT, "eh00", 4);
    qn_fbb_put(b, HEADER_AT + 4, p->header, 4);
    qn_fbb_put(b, HEADER_AT + 8, program_size, 8);
    qn_fbb_put(b, HEADER_AT + 16, base, 8);
    if (p->header >= 32) qn_fbb_put(b, HEADER_AT + 24, b->size - base, 8);
}

/* ---- graph ----------------------------------------------------------------------------------------------- */

/* An absent constant_id means constant 0, so that a tensor that is none says -1. */
static size_t vk_tensor(qn_fbb *b, size_t ref, uint8_t dtype, uint64_t constant, size_t rank)
{
    static const uint32_t dims[] = {2, 3};
    size_t t =
        constant ? qn_fbb_tagged(b, ref, 5, QN_FIELDS({4, 1, dtype}, {6, 4, 0}, {8, 4, constant}, {10, 4, UINT32_MAX}))
                 : qn_fbb_tagged(b, ref, 5, QN_FIELDS({4, 1, dtype}, {6, 4, 0}, {16, 1, dtype}));
    qn_fbb_items(b, t, 6, dims, rank, 4);
    return t;
}

static void vk_values(qn_vk_builder *v)
{
    static const int64_t ints[] = {-1, 9};
    static const double doubles[] = {0.5};
    static const uint8_t bools[] = {1, 0};
    static const int32_t ids[] = {0, 1, 10};
    qn_fbb *b = &v->b;
    size_t ref = qn_fbb_children(b, v->graph, 8, 13);
    v->values[0] = vk_tensor(b, ref, 5, UINT32_MAX, 2);
    v->values[1] = vk_tensor(b, ref + 4, 5, 0, 1);
    v->values[2] = vk_tensor(b, ref + 8, 3, 1, 1);
    v->values[3] = qn_fbb_tagged(b, ref + 12, 2, QN_FIELDS({4, 8, 4}));
    v->values[4] = qn_fbb_tagged(b, ref + 16, 3, QN_FIELDS({4, 8, 0x3FF8000000000000u}));
    v->values[5] = qn_fbb_tagged(b, ref + 20, 4, QN_FIELDS({4, 1, 1}));
    v->values[6] = qn_fbb_tagged(b, ref + 24, 6, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, v->values[6], 4, ints, 2, 8);
    v->values[7] = qn_fbb_tagged(b, ref + 28, 7, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, v->values[7], 4, doubles, 1, 8);
    v->values[8] = qn_fbb_tagged(b, ref + 32, 8, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, v->values[8], 4, bools, 2, 1);
    v->values[9] = qn_fbb_tagged(b, ref + 36, 9, QN_FIELDS({4, 4, 0}));
    qn_fbb_items(b, v->values[9], 4, ids, 3, 4);
    v->values[10] = qn_fbb_table(b, ref + 40, QN_FIELDS({4, 1, 11}));
    v->values[11] = qn_fbb_tagged(b, ref + 44, 10, QN_FIELDS({4, 4, 0}));
    qn_fbb_text(b, v->values[11], 4, "mode");
    v->values[12] = qn_fbb_table(b, ref + 48, QN_FIELDS({4, 1, 1}));
}

qn_vk_builder qn_vk_builder_new(void)
{
    static const int32_t args[] = {0, 1, 3, 0}, ids[] = {0};
    qn_vk_builder v = {.b = qn_fbb_new("VK00", 0)};
    qn_fbb *b = &v.b;
    v.graph = qn_fbb_table(b, 0, QN_FIELDS({6, 4, 0}, {8, 4, 0}, {10, 4, 0}, {12, 4, 0}, {14, 4, 0}));
    v.op = qn_fbb_table(b, qn_fbb_children(b, v.graph, 6, 1), QN_FIELDS({4, 4, 3}, {6, 4, 0}, {8, 4, 0}));
    qn_fbb_text(b, v.op, 6, "aten.add.Tensor");
    qn_fbb_items(b, v.op, 8, args, 4, 4);
    vk_values(&v);
    qn_fbb_items(b, v.graph, 10, ids, 1, 4);
    qn_fbb_items(b, v.graph, 12, ids, 1, 4);
    size_t ref = qn_fbb_children(b, v.graph, 14, 2);
    v.constants[0] = qn_fbb_table(b, ref, QN_FIELDS({4, 8, 0}, {6, 8, 8}));
    v.constants[1] = qn_fbb_table(b, ref + 4, QN_FIELDS({4, 8, UINT64_MAX}, {6, 8, 8}, {8, 4, 0}));
    qn_fbb_text(b, v.constants[1], 8, "blob");
    return v;
}

qn_fbb qn_vk_builder_finish(qn_vk_builder *v)
{
    static const float three_four[] = {3.0f, 4.0f};
    qn_fbb out = {0};
    qn_fbb_bytes(&out, NULL, 32);
    qn_fbb_bytes(&out, v->b.data, v->b.size);
    qn_fbb_align(&out, 16);
    memcpy(out.data + 4, "VH00", 4);
    qn_fbb_put(&out, 8, 30, 2);
    qn_fbb_put(&out, 10, 32, 4);
    qn_fbb_put(&out, 14, v->b.size, 4);
    qn_fbb_put(&out, 18, out.size, 4);
    qn_fbb_put(&out, 22, sizeof three_four, 8);
    qn_fbb_bytes(&out, three_four, sizeof three_four);
    qn_fbb_free(&v->b);
    return out;
}

/* ---- data file ------------------------------------------------------------------------------------------- */

qn_fbb qn_ptd_build(const char *key)
{
    static const int32_t sizes[] = {2};
    static const uint8_t order[] = {0};
    static const float ten_twenty[] = {10.0f, 20.0f};
    qn_fbb b = qn_fbb_new("FT01", 40);
    size_t root = qn_fbb_table(&b, 0, QN_FIELDS({6, 4, 0}, {8, 4, 0}));
    size_t ref = qn_fbb_children(&b, root, 6, 2);
    qn_fbb_table(&b, ref, QN_FIELDS({4, 8, 0}, {6, 8, 8}));
    qn_fbb_table(&b, ref + 4, QN_FIELDS({4, 8, 16}, {6, 8, 8}));
    ref = qn_fbb_children(&b, root, 8, 2);
    size_t named = qn_fbb_table(&b, ref, QN_FIELDS({4, 4, 0}, {8, 4, 0})); /* segment 0 by default */
    qn_fbb_text(&b, named, 4, key);
    size_t layout = qn_fbb_child(&b, named, 8, QN_FIELDS({4, 1, 6}, {6, 4, 0}, {8, 4, 0}));
    qn_fbb_items(&b, layout, 6, sizes, 1, 4);
    qn_fbb_items(&b, layout, 8, order, 1, 1);
    named = qn_fbb_table(&b, ref + 4, QN_FIELDS({4, 4, 0}, {6, 4, 1}));
    qn_fbb_text(&b, named, 4, "blob");
    size_t flatbuffer = b.size;
    qn_fbb_align(&b, 16);
    size_t base = qn_fbb_bytes(&b, ten_twenty, 8);
    qn_fbb_align(&b, 16);
    qn_fbb_bytes(&b, "ptd blob", 8);
    memcpy(b.data + HEADER_AT, "FH01", 4);
    qn_fbb_put(&b, HEADER_AT + 4, 40, 4);
    qn_fbb_put(&b, HEADER_AT + 8, 48, 8);
    qn_fbb_put(&b, HEADER_AT + 16, flatbuffer - 48, 8);
    qn_fbb_put(&b, HEADER_AT + 24, base, 8);
    qn_fbb_put(&b, HEADER_AT + 32, b.size - base, 8);
    return b;
}
