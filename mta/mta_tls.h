// SPDX-License-Identifier: Apache-2.0
// The TLS contexts of a front-end: as a server to the world, as a client to our mailbox hosts, to the relayhost and to next hops
// of routes.
#ifndef MTA_MTA_TLS_H
#define MTA_MTA_TLS_H

#include "base/tls.h"
#include "mta/queue.h"
#include "schema/settings.h"

struct mta_tls {
	struct tls_server *server; // owned; NULL: no tls_certificate
	struct tls_server *asking; // owned; for port 25; NULL: no relay_certificates
	// owned; lmtp NULL: no node_certificate, peers are known by their pins and not by a CA; relay NULL:
	struct queue_tls out;
	                           // relayhost_tls is none; verified NULL: tls_ca_file cannot be read
};

// Reads the files: at start and on reload, never on a fiber. On failure tls_out is untouched.
enum err_code mta_tls_load(const struct settings *settings, struct mta_tls *tls_out, struct err *err) ERR_CHECKED;
void mta_tls_drop(struct mta_tls *tls);

#endif
