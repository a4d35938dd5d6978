// SPDX-License-Identifier: Apache-2.0
// The trace that we leave on every message that we take in: one Received field (RFC 5321 section 4.4), in front of all others.
//
//     Received: from client.example (192.0.2.7)
//      by mx.uni.example (Posthouse) with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)
//      id 0123456789AB for <u@uni.example>; Sat, 21 Nov 2026 19:44:15 +0000
//
// And its counterpart, which keeps a message from running in circles: how many such fields there are already.
#ifndef MTA_TRACE_HEADER_H
#define MTA_TRACE_HEADER_H

#include "base/buf.h"
#include "base/conn.h"
#include "mail/addr.h"

enum {
	TRACE_BYTES_MAX = 2048, // of the field that trace_received adds
	TRACE_HOPS_MAX = 100,   // RFC 5321 section 6.3: at least 100
};

struct trace_facts {
	struct str helo;           // as the client gave it; checked by smtp_helo_parse
	const struct netaddr *peer;
	struct str hostname;       // ours
	struct str queue_id;
	const struct conn_tls *tls; // NULL: none
	bool esmtp, login, smtputf8;
	bool mailboxes;             // the peer is those of this node
	const struct addr *only_recipient; // NULL when there are several: one must not learn of the others
	int64_t wall_ms;
};

// Adds the field. A login hides the client's address: where roaming users sit is nobody's business.
void trace_received(const struct trace_facts *facts, struct buf *out);

// The protocol word of RFC 3848 and RFC 6531: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP…
const char *trace_protocol(const struct trace_facts *facts);

// Received fields at the top of a message; linear in the length of its header.
size_t trace_hops(struct str message);

#endif
