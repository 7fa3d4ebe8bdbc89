#include "ops/choice.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

void qn_choices_free(qn_choices *c)
{
    qn_free(c->allocator, c->chosen);
    qn_free(c->allocator, c->tests);
    *c = (qn_choices){.allocator = c->allocator};
}

qn_status qn_choices_copy(const qn_choices *from, const qn_allocator *a, qn_choices *to)
{
    *to = (qn_choices){.allocator = a};
    const qn_choice *chosen = from->chosen;
    const qn_row_test *tests = from->tests;
    qn_status s = qn_ok();
    for (size_t i = 0; s.code == QN_OK && i < from->n_chosen; i++)
        s = qn_choices_set(to, chosen[i].key, chosen[i].what, chosen[i].row);
    for (size_t i = 0; s.code == QN_OK && i < from->n_tests; i++)
        s = qn_choices_set_test(to, tests[i].row, tests[i].wrong);
    if (s.code != QN_OK) qn_choices_free(to);
    return s;
}

static qn_choice *find(const qn_choices *c, uint64_t key)
{
    qn_choice *chosen = c->chosen;
    for (size_t i = 0; i < c->n_chosen; i++)
        if (chosen[i].key == key) return &chosen[i];
    return NULL;
}

const qn_kernel_row *qn_choices_find(const qn_choices *c, uint64_t key)
{
    const qn_choice *choice = find(c, key);
    return choice ? choice->row : NULL;
}

qn_status qn_choices_set(qn_choices *c, uint64_t key, const char *what, const qn_kernel_row *row)
{
    qn_choice *choice = find(c, key);
    if (choice && !row) {
        *choice = ((qn_choice *)c->chosen)[--c->n_chosen];
        return qn_ok();
    }
    if (!row) return qn_ok();
    if (!choice) {
        QN_TRY(qn_grow(c->allocator, &c->chosen, &c->chosen_capacity, c->n_chosen + 1, sizeof *choice, "choices"));
        choice = (qn_choice *)c->chosen + c->n_chosen++;
    }
    *choice = (qn_choice){.key = key, .row = row};
    snprintf(choice->what, sizeof choice->what, "%s", what);
    return qn_ok();
}

const qn_row_test *qn_choices_test(const qn_choices *c, const qn_kernel_row *row)
{
    const qn_row_test *tests = c->tests;
    for (size_t i = 0; i < c->n_tests; i++)
        if (tests[i].row == row) return &tests[i];
    return NULL;
}

bool qn_choices_wrong(const qn_choices *c, const qn_kernel_row *row)
{
    const qn_row_test *test = c->n_wrong ? qn_choices_test(c, row) : NULL;
    return test && test->wrong;
}

qn_status qn_choices_set_test(qn_choices *c, const qn_kernel_row *row, bool wrong)
{
    for (size_t i = 0; i < c->n_tests; i++) {
        qn_row_test *test = (qn_row_test *)c->tests + i;
        if (test->row != row) continue;
        c->n_wrong = c->n_wrong - test->wrong + wrong;
        test->wrong = wrong;
        return qn_ok();
    }
    QN_TRY(qn_grow(c->allocator, &c->tests, &c->test_capacity, c->n_tests + 1, sizeof(qn_row_test), "row tests"));
    ((qn_row_test *)c->tests)[c->n_tests++] = (qn_row_test){row, wrong};
    c->n_wrong += wrong;
    return qn_ok();
}

/* ---- as text ---------------------------------------------------------------------------------
 * head, then lines "right ROW", "wrong ROW", "choose KEY ROW what", then "end LINES". */

enum { MAX_LINE = 256 };

static const char *const test_words[] = {"right", "wrong"};

qn_status qn_choices_write(const qn_choices *c, const char *head, char **text)
{
    qn_text t = {.allocator = c->allocator};
    const qn_choice *chosen = c->chosen;
    const qn_row_test *tests = c->tests;
    qn_text_puts(&t, head);
    for (size_t i = 0; i < c->n_tests; i++)
        qn_text_printf(&t, "%s %s\n", test_words[tests[i].wrong], tests[i].row->name);
    for (size_t i = 0; i < c->n_chosen; i++)
        qn_text_printf(&t, "choose %016" PRIx64 " %s %s\n", chosen[i].key, chosen[i].row->name, chosen[i].what);
    qn_text_printf(&t, "end %zu\n", c->n_tests + c->n_chosen);
    return qn_text_take(&t, text);
}

/* Cuts the next word off a line; "" at its end. */
static const char *next_word(char **line)
{
    char *word = *line, *end = word + strcspn(word, " ");
    *line = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

static bool read_number(const char *word, int base, uint64_t *number)
{
    char *end;
    *number = strtoull(word, &end, base);
    return end != word && *end == '\0';
}

/* One line without its end, after its first word. */
static bool read_line(qn_choices *c, const char *word, char *rest)
{
    uint64_t key = 0;
    bool chosen = strcmp(word, "choose") == 0, wrong = strcmp(word, test_words[1]) == 0;
    if (!chosen && !wrong && strcmp(word, test_words[0]) != 0) return false;
    if (chosen && !read_number(next_word(&rest), 16, &key)) return false;
    const qn_kernel_row *row = qn_row_find(next_word(&rest));
    if (!row) return false;
    return (chosen ? qn_choices_set(c, key, rest, row) : qn_choices_set_test(c, row, wrong)).code == QN_OK;
}

static bool read_lines(qn_choices *c, const char *text, size_t size)
{
    uint64_t n = 0, count = 0;
    for (const char *end; (end = memchr(text, '\n', size)) != NULL; n++) {
        char line[MAX_LINE];
        size_t length = (size_t)(end - text);
        if (length >= sizeof line) return false;
        memcpy(line, text, length);
        line[length] = '\0';
        size -= length + 1;
        text = end + 1;
        char *rest = line;
        const char *word = next_word(&rest);
        if (strcmp(word, "end") == 0) return read_number(rest, 10, &count) && count == n && size == 0;
        if (!read_line(c, word, rest)) return false;
    }
    return false;
}

bool qn_choices_read(qn_choices *c, const char *head, const char *text, size_t size)
{
    size_t n = strlen(head);
    if (size < n || memcmp(text, head, n) != 0) return false;
    qn_choices read;
    if (qn_choices_copy(c, c->allocator, &read).code != QN_OK) return false;
    bool whole = read_lines(&read, text + n, size - n);
    qn_choices_free(whole ? c : &read);
    if (whole) *c = read;
    return whole;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static const uint32_t class_first[QN_ROW_CLASSES] = {1, 2, 9, 65};

uint32_t qn_row_class_of(uint32_t rows)
{
    uint32_t c = QN_ROW_CLASSES - 1;
    while (c > 0 && rows < class_first[c]) c--;
    return c;
}

uint32_t qn_row_class_first(uint32_t c)
{
    return class_first[c];
}

/* FNV-1a, a word at a time. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * UINT64_C(0x100000001b3);
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    while (*text) hash = mix(hash, (unsigned char)*text++);
    return mix(hash, 0);
}

uint64_t qn_choice_key(const qn_plan *p, const qn_kernel_table *table, uint32_t rows)
{
    uint64_t h = mix_text(UINT64_C(0xcbf29ce484222325), table->rows[0].name);
    h = mix_text(h, qn_ops[p->node->op].name);
    h = mix(mix(h, p->precision), qn_row_class_of(rows));
    for (uint32_t i = 0; i < p->node->n_inputs; i++) {
        const qn_tensor *t = qn_plan_in(p, i);
        if (!t || !t->weight) continue;
        const qn_weight *w = t->weight;
        h = mix(mix(mix(mix(h, i), w->format.storage), w->format.group), w->format.scale_f16);
        for (uint32_t d = 0; d < w->shape.rank; d++) h = mix(h, w->shape.dim[d]);
    }
    for (uint32_t i = 0; i < p->n_signs; i++) h = mix(h, p->signs[i]);
    return h ^ h >> 32;
}

/* ---- decisions ------------------------------------------------------------------------------- */

static const char *storage_name(uint32_t storage)
{
    static const char *const names[] = {[QN_STORE_F32] = "f32", [QN_STORE_F16] = "f16", [QN_STORE_BF16] = "bf16",
                                        [QN_STORE_Q8] = "q8",   [QN_STORE_Q4] = "q4",   [QN_STORE_Q4A] = "q4a"};
    return storage < sizeof names / sizeof names[0] && names[storage] ? names[storage] : "?";
}

/* "linear 2048x2048 q4": the operation, its matrices and what it signed with. */
static void describe(const qn_plan *p, char *text, size_t capacity)
{
    snprintf(text, capacity, "%s", qn_ops[p->node->op].name);
    for (uint32_t i = 0; i < p->node->n_inputs; i++) {
        const qn_tensor *t = qn_plan_in(p, i);
        size_t at = strlen(text);
        if (t && t->weight && t->weight->matrix)
            snprintf(text + at, capacity - at, " %ux%u %s", t->weight->shape.dim[0], t->weight->shape.dim[1],
                     storage_name(t->weight->format.storage));
    }
    for (uint32_t i = 0; i < p->n_signs; i++) {
        size_t at = strlen(text);
        snprintf(text + at, capacity - at, i ? "x%u" : " %u", p->signs[i]);
    }
}

static void list_rows(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, qn_decision *d)
{
    for (uint32_t i = 0; i < table->n_rows && d->n_rows < QN_MAX_CANDIDATES; i++) {
        const qn_kernel_row *row = &table->rows[i];
        if ((mask >> i & 1) && qn_plan_may_use(p, row) && qn_row_preferred_on(row, p->device))
            d->rows[d->n_rows++] = row->name;
    }
}

void qn_decisions_note(const qn_plan *p, const qn_kernel_table *table, uint64_t mask, uint32_t rows)
{
    qn_decisions *all = p->decisions;
    uint64_t key = qn_choice_key(p, table, rows);
    for (size_t i = 0; i < all->n; i++)
        if (((qn_decision *)all->items)[i].key == key) return;
    qn_decision d = {.key = key};
    uint32_t c = qn_row_class_of(rows);
    d.min_rows = qn_row_class_first(c);
    d.max_rows = c + 1 < QN_ROW_CLASSES ? qn_row_class_first(c + 1) - 1 : 0;
    describe(p, d.what, sizeof d.what);
    list_rows(p, table, mask, &d);
    if (all->status.code == QN_OK)
        all->status = qn_grow(all->allocator, &all->items, &all->capacity, all->n + 1, sizeof d, "decisions");
    if (all->status.code == QN_OK) ((qn_decision *)all->items)[all->n++] = d;
}
