/* prelude.c - the WGSL text of a kernel row: constants first, then its files. */
#include "gpu/shaders.h"
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

typedef struct text_builder {
    const qn_allocator *allocator;
    void *data;
    size_t size, capacity;
    qn_status status;
} text_builder;

static void put(text_builder *b, const char *text)
{
    size_t n = strlen(text);
    if (b->status.code != QN_OK) return;
    b->status = qn_grow(b->allocator, &b->data, &b->capacity, b->size + n + 1, 1, "shader text");
    if (b->status.code != QN_OK) return;
    memcpy((char *)b->data + b->size, text, n + 1);
    b->size += n;
}

static void put_const(text_builder *b, const char *name, uint32_t value)
{
    char line[128];
    snprintf(line, sizeof line, "const %s: u32 = %uu;\n", name, value);
    put(b, line);
}

static void put_file(text_builder *b, const char *name)
{
    for (const qn_shader_source *s = qn_shader_sources; s->name; s++)
        if (strcmp(s->name, name) == 0) {
            put(b, s->text);
            put(b, "\n");
            return;
        }
    if (b->status.code == QN_OK) b->status = qn_fail(QN_ERR_INTERNAL, "no WGSL file %s is built in", name);
}

qn_status qn_row_source(const qn_allocator *a, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                        const char *subgroups, char **text)
{
    text_builder b = {.allocator = a, .status = qn_ok()};
    *text = NULL;
    char line[128];
    snprintf(line, sizeof line, "// %s\n", row->name);
    if (row->needs & QN_NEEDS_F16) put(&b, "enable f16;\n");
    if (row->needs & QN_NEEDS_SUBGROUPS) put(&b, subgroups);
    put(&b, line);
    static const char *const axes[] = {"WG_X", "WG_Y", "WG_Z"};
    for (int i = 0; i < 3; i++) put_const(&b, axes[i], row->workgroup[i]);
    for (uint32_t i = 0; i < QN_MAX_CONSTS && row->consts[i].name; i++)
        put_const(&b, row->consts[i].name, row->consts[i].value);
    for (uint32_t i = 0; i < QN_MAX_SPEC && row->spec[i]; i++) put_const(&b, row->spec[i], spec[i]);
    if (row->write) {
        char written[1024];
        row->write(spec, written, sizeof written);
        put(&b, written);
    }
    for (int i = 0; i < QN_MAX_WITH && row->with[i]; i++) put_file(&b, row->with[i]);
    put_file(&b, row->source);
    if (b.status.code != QN_OK)
        qn_free(a, b.data);
    else
        *text = b.data;
    return b.status;
}
