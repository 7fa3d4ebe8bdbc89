/* inspect_file.c - inspecting by path, where there are files. */
#include "base/file.h"
#include "run/session.h"

qn_status qn_inspect_open(const qn_allocator *allocator, const char *path, qn_inspection **inspection)
{
    *inspection = NULL;
    qn_file file;
    QN_TRY(qn_file_open(path, &file));
    qn_source source = qn_file_source(&file); /* never pending */
    qn_inspector *inspector;
    qn_status s = qn_inspector_open(allocator, &source, &inspector);
    while (s.code == QN_OK && !*inspection) s = qn_inspector_step(inspector, inspection, NULL);
    qn_inspector_close(inspector);
    qn_file_close(&file);
    return qn_in(s, "%s", path);
}
