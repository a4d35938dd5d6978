// SPDX-License-Identifier: Apache-2.0
// The octets of a client's connection: opening, reading, writing, TLS. Private to client.c.
#ifndef MAILLOAD_CLIENT_IO_H
#define MAILLOAD_CLIENT_IO_H

#include "client.h"

void client_io_setup(size_t in_bytes);

// Begins to connect. False when that failed at once; what was said.
bool client_io_connect(struct client *c);
void client_io_close(struct client *c);

// Writes what waits. False when the connection is broken.
bool client_io_flush(struct client *c);

// Reads what fits. 1: some came, 0: nothing now, -1: closed, broken, or a line longer than the buffer.
int client_io_fill(struct client *c);

#endif
