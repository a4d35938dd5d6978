// SPDX-License-Identifier: Apache-2.0
// ENVELOPE with the caller's scratch memory: a BODYSTRUCTURE may hold thousands of them.
#ifndef ENVELOPE_INSIDE_H
#define ENVELOPE_INSIDE_H

#include "base/arena.h"
#include "base/buf.h"

enum { ENVELOPE_ARENA_BYTES = 8 << 20 }; // address lists of ENVELOPE_READ_BYTES_MAX bytes; over it later addresses are left out

// Resets arena as it goes. False when b overflowed.
bool envelope_render(struct str header, struct arena *arena, struct buf *b);

#endif
