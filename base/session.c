// SPDX-License-Identifier: Apache-2.0
// What the servers of all line protocols do in the same way.
#include "base/session.h"

#include "base/random.h"

void session_name_init(struct session_name *who, const struct conn *conn)
{
	static const char digits[16] = "0123456789abcdef";
	uint8_t random[4];
	random_bytes(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++) {
		who->id[2 * i] = digits[random[i] >> 4];
		who->id[2 * i + 1] = digits[random[i] & 15];
	}
	who->id[2 * sizeof random] = '\0';
	netaddr_text(conn_peer(conn), who->peer);
	who->log_peer = (struct log_context){.parent = NULL, .name = "peer", .value = str_of_c(who->peer)};
	who->log = (struct log_context){.parent = &who->log_peer, .name = "session", .value = str_of_c(who->id)};
}

enum err_code session_start_tls(struct conn *conn, struct tls_slot *slot, const struct log_context *log, size_t *discarded_out,
	struct err *err)
{
	size_t discarded = 0;
	struct tls_server *tls = tls_slot_get(slot);
	enum err_code code =
		tls ? conn_tls_accept(conn, tls, &discarded, err) : err_set(err, ERR_TLS, "no tls_certificate is set");
	tls_server_drop(&tls);
	if (code) {
		log_info(log, "TLS handshake failed", log_err(err));
		return code;
	}
	if (discarded)
		log_warning(log, "plaintext behind STARTTLS was thrown away", log_u64("bytes", discarded));
	*discarded_out = discarded;
	return ERR_OK;
}
