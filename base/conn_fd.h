// SPDX-License-Identifier: Apache-2.0
// A connection's socket. Private to base/: TLS stands on it, and connecting begins with it.
#ifndef CONN_FD_H
#define CONN_FD_H

#include "conn_private.h"

struct conn_fd {
	int fd;              // owned
	struct fiber_io *io; // owned
	bool ending;         // what is written waits for the end, in the kernel
	bool agreed;         // and the peer sends nothing any more
};

// Takes fd, makes it non-blocking and watches it; closes it on failure (NULL).
struct conn_fd *conn_fd_open(int fd, struct err *err);

// A connection over it, with the addresses that the kernel knows. Takes self.
struct conn *conn_over_fd(struct conn_fd *self);

// As struct conn_io has them.
ptrdiff_t conn_fd_read(struct conn_fd *self, char *p, size_t n, struct err *err);
ptrdiff_t conn_fd_write(struct conn_fd *self, const char *p, size_t n, struct err *err);
unsigned conn_fd_wait(struct conn_fd *self, unsigned events, int64_t deadline_ms);
void conn_fd_end(struct conn_fd *self, bool agreed);
void conn_fd_close(struct conn_fd *self, int64_t linger_ms);

// Has all that came been read, as far as is known? A read would only say CONN_IO_WANT_READ.
bool conn_fd_is_drained(const struct conn_fd *self);

extern const struct conn_io conn_fd_io;

#endif
