// SPDX-License-Identifier: Apache-2.0
// The TLS contexts of a front-end, made from the settings.
#include "mta_tls.h"

#include "base/log.h"
#include "schema/settings_tls.h"

// Without tls_ca_file mail goes on; who relays by a name does not.
static enum err_code load_asking(const struct settings *settings, struct tls_server **server_out, struct err *err)
{
	bool ca_missing;
	enum err_code code = settings_tls_asking_server(settings, server_out, &ca_missing, err);
	if (code == ERR_OK && ca_missing)
		log_error(NULL, "clients are not known by the names of their certificates: tls_ca_file cannot be read",
			log_err(err));
	return code;
}

enum err_code mta_tls_load(const struct settings *settings, struct mta_tls *tls_out, struct err *err)
{
	struct mta_tls tls = {.server = NULL};
	struct err none;
	// No tickets: a mail server comes when it has mail, and who submits has one message; few come back before a ticket ends.
	enum err_code code = settings_tls_server(settings, false, &tls.server, err);
	if (code == ERR_OK)
		code = load_asking(settings, &tls.asking, err);
	if (code == ERR_OK)
		code = settings_tls_node_client(settings, &tls.out.lmtp, err);
	if (code == ERR_OK)
		code = settings_tls_relay(settings, &tls.out.relay, err);
	if (code == ERR_OK)
		code = settings_tls_route(settings, false, &tls.out.open, err);
	if (code == ERR_OK && settings_tls_route(settings, true, &tls.out.verified, &none) != ERR_OK)
		tls.out.verified = NULL; // only routes that verify need it, and the directory has them, which is not read yet
	if (code)
		mta_tls_drop(&tls);
	else
		*tls_out = tls;
	return code;
}

void mta_tls_drop(struct mta_tls *tls)
{
	tls_server_drop(&tls->server);
	tls_server_drop(&tls->asking);
	tls_client_drop(&tls->out.lmtp);
	tls_client_drop(&tls->out.relay);
	tls_client_drop(&tls->out.open);
	tls_client_drop(&tls->out.verified);
}
