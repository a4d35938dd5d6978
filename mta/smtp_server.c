// SPDX-License-Identifier: Apache-2.0
// What all SMTP sessions of a front-end share.
#include "smtp_server.h"

enum {
	VERDICT_BYTES = 8 << 10,       // a mailbox with its reasons
	EXPANSION_BYTES = 32 << 20,    // all lists of a transaction together
};

bool smtp_server_has_tls(struct smtp_server *server)
{
	struct tls_server *tls = tls_slot_get(&server->tls);
	bool has = tls != NULL;
	tls_server_drop(&tls);
	return has;
}

size_t smtp_transaction_bytes_max(const struct settings *settings)
{
	return (size_t)settings->recipients_max * VERDICT_BYTES + EXPANSION_BYTES;
}

struct str smtp_server_relayhost(const struct settings *settings, struct arena *arena)
{
	const struct settings_address *relay = &settings->relayhost;
	return relay->host.n ? arena_printf(arena, "%.*s:%u", STR_FMT(relay->host), relay->port) : STR_NONE;
}
