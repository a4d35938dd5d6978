// SPDX-License-Identifier: Apache-2.0
// What peer.c and peer_send.c share.
#ifndef MTA_PEER_CORE_H
#define MTA_PEER_CORE_H

#include "mail/reply.h"
#include "peer.h"

enum {
	PEER_PIPELINING = 1 << 0,
	PEER_8BITMIME = 1 << 1,
	PEER_UTF8 = 1 << 2,
	PEER_DSN = 1 << 3,
	PEER_STARTTLS = 1 << 4,
	PEER_KEY = 1 << 5,
	PEER_SIZE = 1 << 6,
	PEER_CHUNKING = 1 << 7,
};

struct peer {
	struct conn *conn; // owned
	struct peer_config config;
	struct reply_reader reader;
	unsigned extensions;
	uint64_t size_max; // 0: not said
	bool broken;       // no byte more may be sent or believed
	bool closing;      // it said 421
	bool tls_failed;
	bool used;         // a transaction has begun
};

// One reply; on failure the peer is broken. The reply borrows until the next one.
enum err_code peer_read_reply(struct peer *peer, int64_t wait_ms, struct reply *reply_out, struct err *err) ERR_CHECKED;
enum err_code peer_command(struct peer *peer, struct str command, struct reply *reply_out, struct err *err) ERR_CHECKED;

#endif
