// SPDX-License-Identifier: Apache-2.0
// The three TLS contexts of a front-end: as a server to the world, as a client to our mailbox hosts, as a client to the relayhost.
#ifndef MTA_MTA_TLS_H
#define MTA_MTA_TLS_H

#include "base/tls.h"
#include "schema/settings.h"

struct mta_tls {
	struct tls_server *server; // owned; NULL: no tls_certificate
	struct tls_client *lmtp;   // owned; NULL: no node_certificate. Peers are known by their pins, not by a CA
	struct tls_client *relay;  // owned; NULL: relayhost_tls is none
};

// Reads the files: at start and on reload, never on a fiber. On failure tls_out is untouched.
enum err_code mta_tls_load(const struct settings *settings, struct mta_tls *tls_out, struct err *err) ERR_CHECKED;
void mta_tls_drop(struct mta_tls *tls);

#endif
