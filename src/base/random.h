/* random.h - the one random generator: counter-based, so that any draw can be made anywhere (a shader too) from the
 * seed and its number alone. Source: Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011. */
#ifndef QN_BASE_RANDOM_H
#define QN_BASE_RANDOM_H

#include <stdint.h>

/* Philox4x32-10: four random words from a counter and a key. */
void qn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Random word `index` of a seed: the first output word for the counter (index low, index high, 0, 0) and the key
 * (seed low, seed high). */
uint32_t qn_random_word(uint64_t seed, uint64_t index);

/* The same as a number in [0, 1), a multiple of 2^-32. */
double qn_random_unit(uint64_t seed, uint64_t index);

#endif
