// SPDX-License-Identifier: Apache-2.0
// The TLS contexts of a front-end, made from the settings.
#include "mta_tls.h"

#include <stdlib.h>

#include "base/must.h"

static enum err_code load_server(const struct settings *settings, struct tls_server **server_out, struct err *err)
{
	size_t n = settings->tls_certificate.n;
	if (n == 0)
		return ERR_OK;
	struct tls_files *files = calloc(n, sizeof *files);
	must(files != NULL && settings->tls_key.n == n); // the rule between the two settings was checked when they were read
	for (size_t i = 0; i < n; i++)
		files[i] = (struct tls_files){.cert_path = settings->tls_certificate.v[i].p, .key_path = settings->tls_key.v[i].p};
	enum err_code code = tls_server_new(files, n, server_out, err);
	free(files);
	return code;
}

static enum err_code load_lmtp(const struct settings *settings, struct tls_client **client_out, struct err *err)
{
	if (settings->node_certificate.n == 0)
		return ERR_OK;
	const struct tls_client_config config = {
		.verify = TLS_VERIFY_NONE,
		.certificate = {.cert_path = settings->node_certificate.p, .key_path = settings->node_key.p},
	};
	return tls_client_new(&config, client_out, err);
}

static enum err_code load_relay(const struct settings *settings, struct tls_client **client_out, struct err *err)
{
	if (settings->relayhost_tls == SETTINGS_RELAYHOST_TLS_NONE)
		return ERR_OK;
	const struct tls_client_config config = {
		.verify = settings->relayhost_tls == SETTINGS_RELAYHOST_TLS_VERIFY ? TLS_VERIFY_HOST : TLS_VERIFY_NONE,
		.ca_path = settings->tls_ca_file.n ? settings->tls_ca_file.p : NULL,
	};
	return tls_client_new(&config, client_out, err);
}

enum err_code mta_tls_load(const struct settings *settings, struct mta_tls *tls_out, struct err *err)
{
	struct mta_tls tls = {NULL};
	enum err_code code = load_server(settings, &tls.server, err);
	if (code == ERR_OK)
		code = load_lmtp(settings, &tls.lmtp, err);
	if (code == ERR_OK)
		code = load_relay(settings, &tls.relay, err);
	if (code)
		mta_tls_drop(&tls);
	else
		*tls_out = tls;
	return code;
}

void mta_tls_drop(struct mta_tls *tls)
{
	tls_server_drop(&tls->server);
	tls_client_drop(&tls->lmtp);
	tls_client_drop(&tls->relay);
}
