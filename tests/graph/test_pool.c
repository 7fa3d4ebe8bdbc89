/* Placing tensors that live at different times: pure, no device. */
#include "support/op_harness.h"

#include <stdlib.h>
#include <string.h>

#include "graph/pool.h"

enum { MOST = 60 };

typedef struct placed {
    qn_life lives[MOST];
    uint64_t slot_bytes[MOST];
    uint32_t free_after[MOST], n_slots;
    size_t n;
} placed;

static void place(placed *p)
{
    qn_pool pool = {.slot_bytes = p->slot_bytes};
    qn_pool_place(p->lives, p->n, &pool, p->free_after);
    p->n_slots = pool.n_slots;
}

static bool overlap(const qn_life *a, const qn_life *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static void check(const placed *p)
{
    uint64_t total = 0, naive = 0;
    for (uint32_t s = 0; s < p->n_slots; s++) total += p->slot_bytes[s];
    for (size_t i = 0; i < p->n; i++) {
        const qn_life *a = &p->lives[i];
        naive += a->bytes;
        assert_true(a->slot < p->n_slots);
        assert_true(a->bytes <= p->slot_bytes[a->slot]);
        for (size_t k = i + 1; k < p->n; k++)
            if (overlap(a, &p->lives[k])) assert_int_not_equal(a->slot, p->lives[k].slot);
    }
    assert_true(total <= naive);
    for (uint32_t s = 0; s < p->n_slots; s++) { /* no slot is larger than what lives in it, and none is empty */
        uint64_t largest = 0;
        for (size_t i = 0; i < p->n; i++)
            if (p->lives[i].slot == s && p->lives[i].bytes > largest) largest = p->lives[i].bytes;
        assert_int_equal(p->slot_bytes[s], largest);
    }
}

static int by_first(const void *a, const void *b)
{
    const qn_life *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void random_lives(placed *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    uint64_t at = 0;
    p->n = qn_test_random(seed, at++) % (MOST + 1);
    uint32_t n_nodes = 1 + qn_test_random(seed, at++) % 40, longest = 1 + qn_test_random(seed, at++) % 10;
    for (size_t i = 0; i < p->n; i++) {
        qn_life *l = &p->lives[i];
        l->first = qn_test_random(seed, at++) % n_nodes;
        l->last = l->first + qn_test_random(seed, at++) % longest;
        l->bytes = 16 * (1 + qn_test_random(seed, at++) % 1000);
    }
    qsort(p->lives, p->n, sizeof p->lives[0], by_first);
}

static void random_lives_never_collide(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        static placed a, b;
        random_lives(&a, seed);
        b = a;
        place(&a);
        check(&a);
        memset(b.slot_bytes, 0x55, sizeof b.slot_bytes); /* the same again, whatever was there before */
        memset(b.free_after, 0x55, sizeof b.free_after);
        place(&b);
        assert_int_equal(a.n_slots, b.n_slots);
        for (size_t i = 0; i < a.n; i++) assert_int_equal(a.lives[i].slot, b.lives[i].slot);
        assert_memory_equal(a.slot_bytes, b.slot_bytes, a.n_slots * sizeof a.slot_bytes[0]);
    }
}

/* A chain: each tensor is read by the node that writes the next, so two slots serve any number. */
static void a_chain_takes_two_slots(void **state)
{
    (void)state;
    placed p = {.n = 50};
    for (uint32_t i = 0; i < 50; i++) p.lives[i] = (qn_life){.bytes = 1024, .first = i, .last = i + 1};
    place(&p);
    check(&p);
    assert_int_equal(p.n_slots, 2);
}

/* The smallest slot that is large enough is taken; else the largest grows. */
static void the_best_fit_is_taken(void **state)
{
    (void)state;
    placed p = {.n = 6,
                .lives = {{.bytes = 100, .first = 0, .last = 0},
                          {.bytes = 300, .first = 0, .last = 0},
                          {.bytes = 200, .first = 0, .last = 0},
                          {.bytes = 150, .first = 1, .last = 2}, /* into the 200 */
                          {.bytes = 400, .first = 1, .last = 1}, /* the 300 grows */
                          {.bytes = 90, .first = 2, .last = 2}}};
    place(&p);
    check(&p);
    assert_int_equal(p.n_slots, 3);
    assert_int_equal(p.lives[3].slot, p.lives[2].slot);
    assert_int_equal(p.lives[4].slot, p.lives[1].slot);
    assert_int_equal(p.slot_bytes[p.lives[1].slot], 400);
    assert_int_equal(p.lives[5].slot, p.lives[0].slot);
}

static void none_take_nothing(void **state)
{
    (void)state;
    placed p = {0};
    place(&p);
    assert_int_equal(p.n_slots, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives_never_collide),
        cmocka_unit_test(a_chain_takes_two_slots),
        cmocka_unit_test(the_best_fit_is_taken),
        cmocka_unit_test(none_take_nothing),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
