// SPDX-License-Identifier: Apache-2.0
// From settings to TLS contexts.
#include "schema/settings_tls.h"

#include <stdlib.h>

#include "base/must.h"

static enum tls_version least(const struct settings *settings)
{
	switch ((enum settings_tls_min)settings->tls_min) {
	case SETTINGS_TLS_MIN_1_2:
		return TLS_VERSION_1_2;
	case SETTINGS_TLS_MIN_1_3:
		return TLS_VERSION_1_3;
	}
	unreachable("tls_min");
}

static enum err_code make_server(const struct settings *settings, const struct tls_server_config *wanted,
	struct tls_server **server_out, struct err *err)
{
	size_t n = settings->tls_certificate.n;
	struct tls_server *server = NULL;
	enum err_code code = ERR_OK;
	if (n > 0) {
		struct tls_files *files = calloc(n, sizeof *files);
		// the rule between the two settings was checked when they were read
		must(files != NULL && settings->tls_key.n == n);
		for (size_t i = 0; i < n; i++)
			files[i] = (struct tls_files){
				.cert_path = settings->tls_certificate.v[i].p, .key_path = settings->tls_key.v[i].p};
		struct tls_server_config config = *wanted;
		config.files = files;
		config.n = n;
		config.min = least(settings);
		code = tls_server_new(&config, &server, err);
		free(files);
	}
	if (code == ERR_OK)
		*server_out = server;
	return code;
}

enum err_code settings_tls_server(const struct settings *settings, bool tickets, struct tls_server **server_out, struct err *err)
{
	return make_server(settings, &(struct tls_server_config){.tickets = tickets}, server_out, err);
}

enum err_code settings_tls_asking_server(const struct settings *settings, struct tls_server **server_out, bool *ca_missing_out,
	struct err *err)
{
	bool by_name = settings->smtp_client_certificate == SETTINGS_SMTP_CLIENT_CERTIFICATE_ASK;
	const struct tls_server_config pins = {.asks = true}, names = {.asks = true, .ca_path = settings->tls_ca_file.p};
	struct err because;
	*ca_missing_out = false;
	*server_out = NULL;
	if (by_name && make_server(settings, &names, server_out, &because) == ERR_OK)
		return ERR_OK;
	enum err_code code =
		by_name || settings->relay_certificates.n ? make_server(settings, &pins, server_out, err) : ERR_OK;
	if (code == ERR_OK && by_name) { // so it was the file
		*ca_missing_out = true;
		*err = because;
	}
	return code;
}

static struct tls_files node_files(const struct settings *settings)
{
	return (struct tls_files){.cert_path = settings->node_certificate.p, .key_path = settings->node_key.p};
}

enum err_code settings_tls_node_server(const struct settings *settings, struct tls_server **server_out, struct err *err)
{
	const struct tls_files files = node_files(settings);
	const struct tls_server_config config = {.files = &files, .n = 1, .min = least(settings), .asks = true};
	if (settings->node_certificate.n)
		return tls_server_new(&config, server_out, err);
	*server_out = NULL;
	return ERR_OK;
}

enum err_code settings_tls_node_client(const struct settings *settings, struct tls_client **client_out, struct err *err)
{
	const struct tls_client_config config = {
		.verify = TLS_VERIFY_NONE, .min = least(settings), .certificate = node_files(settings)};
	if (settings->node_certificate.n)
		return tls_client_new(&config, client_out, err);
	*client_out = NULL;
	return ERR_OK;
}

enum err_code settings_tls_route(const struct settings *settings, bool verify, struct tls_client **client_out, struct err *err)
{
	const struct tls_client_config config = {
		.verify = verify ? TLS_VERIFY_HOST : TLS_VERIFY_NONE,
		.min = least(settings),
		.ca_path = verify && settings->tls_ca_file.n ? settings->tls_ca_file.p : NULL,
	};
	return tls_client_new(&config, client_out, err);
}

enum err_code settings_tls_relay(const struct settings *settings, struct tls_client **client_out, struct err *err)
{
	if (settings->relayhost_tls != SETTINGS_RELAYHOST_TLS_NONE)
		return settings_tls_route(settings, settings->relayhost_tls == SETTINGS_RELAYHOST_TLS_VERIFY, client_out, err);
	*client_out = NULL;
	return ERR_OK;
}
