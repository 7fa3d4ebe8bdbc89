/* unroll.h - WGSL loops whose ends are constants, written out. */
#ifndef QN_OPS_UNROLL_H
#define QN_OPS_UNROLL_H

#include "base/memory.h"

/* Writes out the loops
 *     for (var i = START; i < END; i++) { BODY }      or  i += STEP
 * that take at most `most` turns, inner ones too, as  { const i = START + 0; BODY }  for each turn. START, END and STEP
 * are expressions of numbers, of constants of the module, and of variables of outer loops that are written out. Loops
 * with break, continue or a barrier in their body stay. A local name must not be that of a constant of the module
 * (those are in capitals). Free *unrolled with qn_free. */
qn_status qn_unroll(const qn_allocator *a, const char *wgsl, uint32_t most, char **unrolled);

#endif
