/* make_pte_seeds.c - writes the seeds of fuzz/fuzz_pte.c that are no real exports: make_pte_seeds fuzz/corpus/pte */
#include <stdio.h>
#include <stdlib.h>

#include "support/pte_builder.h"

static void save(qn_fbb *b, const char *dir, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->data, 1, b->size, f) != b->size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    qn_fbb_free(b);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"everything.pte", "no_header.pte"};
    if (argc != 2) {
        fprintf(stderr, "usage: make_pte_seeds DIRECTORY\n");
        return 2;
    }
    for (uint32_t i = 0; i < 2; i++) {
        qn_pte_builder p = qn_pte_builder_new(i ? 0 : 32);
        qn_pte_builder_finish(&p);
        save(&p.b, argv[1], names[i]);
    }
    qn_vk_builder v = qn_vk_builder_new();
    qn_fbb graph = qn_vk_builder_finish(&v), data = qn_ptd_build("outside");
    save(&graph, argv[1], "graph.vh00");
    save(&data, argv[1], "data.ptd");
    return 0;
}
