/* pte_dump.c - prints what the reader sees in a .pte file: pte_dump model.pte [DATA.ptd...] */
#include <stdlib.h>

#include "base/file.h"
#include "support/pte_text.h"

enum { MAX_FILES = 16 };

static int fail(qn_status status)
{
    fprintf(stderr, "pte_dump: %s\n", status.text);
    return 1;
}

int main(int argc, char **argv)
{
    qn_file mapped[MAX_FILES];
    qn_pte_file files[MAX_FILES];
    if (argc < 2 || argc > MAX_FILES) {
        fprintf(stderr, "usage: pte_dump model.pte [DATA.ptd...]\n");
        return 2;
    }
    uint32_t n = (uint32_t)argc - 1;
    for (uint32_t i = 0; i < n; i++) {
        qn_status s = qn_file_open(argv[i + 1], &mapped[i]);
        if (s.code != QN_OK) return fail(s);
        files[i] = (qn_pte_file){argv[i + 1], {mapped[i].data, mapped[i].size}};
    }
    qn_pte *pte;
    qn_status s = qn_pte_open(NULL, &files[0], files + 1, n - 1, &pte);
    if (s.code != QN_OK) return fail(s);
    s = qn_pte_text(pte, stdout);
    qn_pte_close(pte);
    for (uint32_t i = 0; i < n; i++) qn_file_close(&mapped[i]);
    return s.code == QN_OK ? 0 : fail(s);
}
