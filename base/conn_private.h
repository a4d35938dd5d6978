// SPDX-License-Identifier: Apache-2.0
// What a connection is made of. Private to base/: conn.c is the buffering, conn_fd.c the socket, conn_tls.c TLS over it,
// conn_memory.c the script of tests, conn_connect.c the way out.
#ifndef CONN_PRIVATE_H
#define CONN_PRIVATE_H

#include "base/conn.h"
#include "base/fiber.h"

struct conn {
	const struct conn_io *io; // borrowed for ever
	void *self;               // owned, ends in io->close
	struct fiber_io *fd_io;   // of a socket, borrowed from self; NULL over memory
	int fd;                   // borrowed from self; -1 over memory

	char *in;       // owned
	size_t in_size; // bytes allocated
	size_t in_at;   // consumed
	size_t in_n;    // received; in[in_at … in_n) is input
	size_t scanned; // bytes after in_at that hold no LF
	bool swallowing;   // inside a line that was too long
	bool lost;         // its end did not come: nothing is read any more
	size_t swallowed;

	struct buf out;
	int64_t deadline_ms, idle_ms;
	uint64_t bytes_in, bytes_out;

	// The connection is broken (or ended, for reading) for good; the text of the first failure.
	enum err_code read_failed, write_failed;
	struct err *failure; // owned, made with the first failure

	bool peer_is_done; // as conn_peer_is_done() says
	struct conn_tls *tls; // owned; NULL while plain
	struct netaddr peer, local;
};

// Waits for event (FIBER_READABLE or FIBER_WRITABLE) within the conn's deadline and idle time. ERR_OK, ERR_TIMEOUT,
// ERR_CANCELLED.
enum err_code conn_await(struct conn *conn, unsigned event, struct err *err);

// Empties the input, as TLS begins; how many bytes there were.
size_t conn_discard_input(struct conn *conn);

// Remembers that reading or writing has failed, with the text in err; returns code.
enum err_code conn_failed_read(struct conn *conn, enum err_code code, const struct err *err);
enum err_code conn_failed_write(struct conn *conn, enum err_code code, const struct err *err);

// That of a script (conn_memory.c): a handshake over it is none.
extern const struct conn_io conn_memory_io;
const char *conn_memory_peer_spki(const void *self);

#endif
