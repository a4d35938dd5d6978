// SPDX-License-Identifier: Apache-2.0
// TLS contexts as the settings want them, for every daemon that serves or calls.
//
//     struct tls_server *server = NULL;
//     if (settings_tls_server(settings, &server, err)) ...        // names the file that is wrong
//     tls_slot_set(&slot, &server);                               // NULL: no TLS is offered
//
// Reads certificates and keys, and so blocks: at start, before the sandbox, and on reload; never on a fiber. On failure the
// output is untouched.
#ifndef SCHEMA_SETTINGS_TLS_H
#define SCHEMA_SETTINGS_TLS_H

#include "base/tls.h"
#include "schema/settings.h"

// To the world: tls_certificate and tls_key. NULL without any. tickets: as of struct tls_server_config.
enum err_code settings_tls_server(const struct settings *settings, bool tickets, struct tls_server **server_out,
	struct err *err) ERR_CHECKED;

// The same, and it asks clients for a certificate: those of relay_certificates are known by their keys, others by their names
// where tls_ca_file vouches for them (smtp_client_certificate). NULL when neither is wanted. ca_missing_out: tls_ca_file cannot
// be read, *err says why; then names are known of nobody.
enum err_code settings_tls_asking_server(const struct settings *settings, struct tls_server **server_out, bool *ca_missing_out,
	struct err *err) ERR_CHECKED;

// To our other nodes, which show us their certificate too and are known by their pins: node_certificate. NULL without it.
enum err_code settings_tls_node_server(const struct settings *settings, struct tls_server **server_out,
	struct err *err) ERR_CHECKED;
enum err_code settings_tls_node_client(const struct settings *settings, struct tls_client **client_out,
	struct err *err) ERR_CHECKED;

// To the relayhost, as relayhost_tls demands. NULL when that is none.
enum err_code settings_tls_relay(const struct settings *settings, struct tls_client **client_out, struct err *err) ERR_CHECKED;

// To next hops of routes: to whoever answers, or only to whom tls_ca_file vouches for.
enum err_code settings_tls_route(const struct settings *settings, bool verify, struct tls_client **client_out,
	struct err *err) ERR_CHECKED;

#endif
