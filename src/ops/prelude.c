/* prelude.c - the WGSL text of a kernel row: constants first, then its files. */
#include "base/text.h"
#include "gpu/shaders.h"
#include "ops/op.h"
#include "ops/unroll.h"

#include <string.h>

static void put_const(qn_text *t, const char *name, uint32_t value)
{
    qn_text_printf(t, "const %s: u32 = %uu;\n", name, value);
}

static void put_file(qn_text *t, const char *name)
{
    for (const qn_shader_source *s = qn_shader_sources; s->name; s++)
        if (strcmp(s->name, name) == 0) {
            qn_text_puts(t, s->text);
            qn_text_puts(t, "\n");
            return;
        }
    if (t->status.code == QN_OK) t->status = qn_fail(QN_ERR_INTERNAL, "no WGSL file %s is built in", name);
}

qn_status qn_row_source(const qn_allocator *a, const qn_kernel_row *row, const uint32_t spec[QN_MAX_SPEC],
                        const qn_wgsl_target *target, char **text)
{
    qn_text t = {.allocator = a};
    *text = NULL;
    if (row->needs & QN_NEEDS_F16) qn_text_puts(&t, "enable f16;\n");
    if (row->needs & QN_NEEDS_SUBGROUPS) qn_text_puts(&t, target->enable_subgroups);
    qn_text_printf(&t, "// %s\n", row->name);
    static const char *const axes[] = {"WG_X", "WG_Y", "WG_Z"};
    for (int i = 0; i < 3; i++) put_const(&t, axes[i], row->workgroup[i]);
    for (uint32_t i = 0; i < QN_MAX_CONSTS && row->consts[i].name; i++)
        put_const(&t, row->consts[i].name, row->consts[i].value);
    for (uint32_t i = 0; i < QN_MAX_SPEC && row->spec[i]; i++) put_const(&t, row->spec[i], spec[i]);
    if (row->write) {
        char written[1024];
        row->write(spec, written, sizeof written);
        qn_text_puts(&t, written);
    }
    for (int i = 0; i < QN_MAX_WITH && row->with[i]; i++) put_file(&t, row->with[i]);
    put_file(&t, row->source);
    char *whole;
    QN_TRY(qn_text_take(&t, &whole));
    if (row->unroll == 0 || !target->checks) {
        *text = whole;
        return qn_ok();
    }
    qn_status s = qn_unroll(a, whole, row->unroll, text);
    qn_free(a, whole);
    return s;
}
