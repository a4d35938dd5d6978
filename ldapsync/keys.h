// SPDX-License-Identifier: Apache-2.0
// The keys of an entry as one blob: kind u8, length u16, bytes; each once. Kept beside the entry, so that an update finds the
// rows it made.
#ifndef LDAPSYNC_KEYS_H
#define LDAPSYNC_KEYS_H

#include "base/buf.h"
#include "ldapsync/directory.h"

enum { KEYS_BYTES_MAX = 8 << 20, KEYS_KEY_BYTES_MAX = 1024 };

// Adds a key unless it is there. A key over KEYS_KEY_BYTES_MAX is left out: nothing so long can be asked for.
void keys_add(struct buf *keys, enum directory_key kind, struct str key);

bool keys_has(struct str keys, enum directory_key kind, struct str key);

// Takes the next key off *rest; false at the end, and for what keys_add did not write.
bool keys_next(struct str *rest, enum directory_key *kind_out, struct str *key_out);

#endif
