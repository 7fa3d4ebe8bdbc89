/* Damaged ExecuTorch files: an error or a success, never a read outside of the file, a leak or a large allocation.
 * Under the sanitizers (make asan) a read past the end is seen: every input lies in memory of exactly its size. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "support/host_memory.h"
#include "support/pte_builder.h"
#include "support/pte_text.h"

enum { FLIPS = 10000, EXPANSION = 64 }; /* bytes of memory for a byte of the file, and 64 KiB beside */

static FILE *nowhere;

/* Opens and reads everything; says whether the file was accepted and its graphs and data were found. */
static bool try_with(qn_test_allocator *a, const uint8_t *data, size_t size, const qn_fbb *ptd)
{
    qn_pte_file file = {"test.pte", {data, size}}, extra = {0};
    if (ptd) extra = (qn_pte_file){"data.ptd", {ptd->data, ptd->size}};
    qn_pte *pte;
    qn_status s = qn_pte_open(&a->allocator, &file, &extra, ptd ? 1 : 0, &pte);
    if (s.code == QN_OK) s = qn_pte_text(pte, nowhere);
    if (s.code != QN_OK && s.text[0] == '\0') fail_msg("a failure without a text");
    qn_pte_close(pte);
    uint64_t blocks = a->blocks, asked = a->asked;
    if (blocks != 0) fail_msg("%" PRIu64 " allocations are left", blocks);
    if (asked > (uint64_t)EXPANSION * size + (64u << 10)) fail_msg("%" PRIu64 " bytes for a file of %zu", asked, size);
    return s.code == QN_OK;
}

static bool try_bytes(const uint8_t *data, size_t size, const qn_fbb *ptd)
{
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    return try_with(&a, data, size, ptd);
}

typedef struct fixture {
    uint8_t *data;
    size_t size;
} fixture;

static fixture read_fixture(const char *folder)
{
    char path[1024];
    qn_file file;
    snprintf(path, sizeof path, "%s/tests/data/executorch/%s/model.pte", QN_SOURCE_DIR, folder);
    qn_status s = qn_file_open(path, &file);
    if (s.code != QN_OK) fail_msg("%s", s.text);
    fixture f = {malloc((size_t)file.size), (size_t)file.size};
    memcpy(f.data, file.data, f.size);
    qn_file_close(&file);
    return f;
}

static void test_truncation(void **state)
{
    (void)state;
    static const char *const folders[] = {"sdpa_dyn_state", "q4_dyn"};
    for (size_t i = 0; i < 2; i++) {
        fixture f = read_fixture(folders[i]);
        for (size_t size = 0; size < f.size; size += 64) {
            uint8_t *part = malloc(size ? size : 1);
            memcpy(part, f.data, size);
            assert_false(try_bytes(part, size, NULL));
            free(part);
        }
        assert_true(try_bytes(f.data, f.size, NULL));
        free(f.data);
    }
}

/* One to four changed bytes, in the first half mostly: that is where the tables are. */
static void flip(uint8_t *data, size_t size, uint64_t seed, uint64_t *draw)
{
    uint32_t n = 1 + qn_random_word(seed, (*draw)++) % 4;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t where = qn_random_word(seed, (*draw)++), how = qn_random_word(seed, (*draw)++);
        size_t range = where & 1 ? size / 2 : size;
        data[(where >> 1) % range] = (uint8_t)(how & 1 ? 0xFF * (how >> 1 & 1) : how >> 8);
    }
}

static void test_random_flips(void **state)
{
    (void)state;
    uint64_t draw = 0;
    size_t accepted = 0;
    qn_fbb ptd = qn_ptd_build("outside");
    qn_pte_builder p = qn_pte_builder_new(32);
    qn_pte_builder_finish(&p);
    fixture files[] = {read_fixture("sdpa_dyn_state"), read_fixture("rope_table_dynpos"), {p.b.data, p.b.size}};
    for (int i = 0; i < FLIPS; i++) {
        const fixture *f = &files[i % 3];
        uint8_t *copy = malloc(f->size);
        memcpy(copy, f->data, f->size);
        flip(copy, f->size, 4, &draw);
        accepted += try_bytes(copy, f->size, i % 3 == 2 ? &ptd : NULL);
        free(copy);
    }
    print_message("%zu of %d changed files were accepted\n", accepted, FLIPS);
    assert_true(accepted > 0 && accepted < FLIPS);
    for (int i = 0; i < 3; i++) free(files[i].data);
    qn_fbb_free(&ptd);
}

static void test_random_flips_of_a_data_file(void **state)
{
    (void)state;
    uint64_t draw = 0;
    qn_pte_builder p = qn_pte_builder_new(32);
    qn_pte_builder_finish(&p);
    for (int i = 0; i < FLIPS / 10; i++) {
        qn_fbb ptd = qn_ptd_build("outside");
        uint8_t *copy = malloc(ptd.size);
        memcpy(copy, ptd.data, ptd.size);
        flip(copy, ptd.size, 5, &draw);
        const qn_fbb exact = {copy, ptd.size, ptd.size};
        try_bytes(p.b.data, p.b.size, &exact);
        free(copy);
        qn_fbb_free(&ptd);
    }
    qn_fbb_free(&p.b);
}

static void test_out_of_memory_at_every_request(void **state)
{
    (void)state;
    qn_fbb ptd = qn_ptd_build("outside");
    qn_pte_builder p = qn_pte_builder_new(32);
    qn_pte_builder_finish(&p);
    qn_test_allocator a;
    qn_test_allocator_init(&a);
    assert_true(try_with(&a, p.b.data, p.b.size, &ptd));
    for (uint64_t n = a.calls; n > 0; n--) {
        qn_test_allocator_init(&a);
        a.fail_at = n;
        assert_false(try_with(&a, p.b.data, p.b.size, &ptd));
    }
    qn_fbb_free(&p.b);
    qn_fbb_free(&ptd);
}

/* Many tables that are one table: memory and time stay in proportion to the file. */
static void test_one_method_many_times(void **state)
{
    (void)state;
    enum { METHODS = 20000 };
    qn_fbb b = qn_fbb_new("ET12", 0);
    size_t program = qn_fbb_table(&b, 0, QN_FIELDS({6, 4, 0}));
    size_t refs = qn_fbb_refs(&b, qn_fbb_field_at(&b, program, 6), METHODS);
    size_t plan = qn_fbb_table(&b, refs + 4, QN_FIELDS({8, 4, 0}));
    size_t values = qn_fbb_refs(&b, qn_fbb_field_at(&b, plan, 8), METHODS);
    size_t value = qn_fbb_table(&b, values + 4, QN_FIELDS({4, 1, 1}));
    for (size_t i = 1; i < METHODS; i++) {
        qn_fbb_point(&b, refs + 4 + 4 * i, plan);
        qn_fbb_point(&b, values + 4 + 4 * i, value);
    }
    assert_false(try_bytes(b.data, b.size, NULL));
    qn_fbb_free(&b);
}

int main(void)
{
    nowhere = fopen("/dev/null", "w");
    if (!nowhere) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_random_flips),
        cmocka_unit_test(test_random_flips_of_a_data_file),
        cmocka_unit_test(test_out_of_memory_at_every_request),
        cmocka_unit_test(test_one_method_many_times),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fclose(nowhere);
    return failed;
}
