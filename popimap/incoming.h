// SPDX-License-Identifier: Apache-2.0
// The inside of struct incoming (store.h), for what puts it into mailboxes. Private to the store.
#ifndef POPIMAP_INCOMING_H
#define POPIMAP_INCOMING_H

#include "base/buf.h"
#include "store.h"

struct strand;

enum { INCOMING_CHUNK_BYTES = 256 << 10 }; // what is collected before it is written to the file

struct incoming {
	struct store *store;
	struct strand *strand; // serves its file jobs; NULL until there is a file
	struct guid guid;      // name of the file, once there is a strand
	uint64_t bytes, bytes_max;
	uint64_t written;      // to the file
	struct buf memory;     // all of it, or what is not written yet
	char last;             // byte; meaningless while bytes is 0
	bool sealed;
	enum err_code failure; // remembered
	int fd; // -1: in memory
};

// Nothing is added any more; a file is on the disk when it returns ERR_OK. May wait.
enum err_code incoming_seal(struct incoming *incoming, struct err *err) ERR_CHECKED;

// FLAG_UNENDED where the message does not end with its last line.
uint64_t incoming_flags(const struct incoming *incoming);

#endif
