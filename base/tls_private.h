// SPDX-License-Identifier: Apache-2.0
// What a TLS context gives to a connection. Private to base/.
#ifndef TLS_PRIVATE_H
#define TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "base/tls.h"

// A new SSL of the context, in accept or connect state; never NULL.
// Is it to say the names of clients whose certificates are good?
bool tls_server_trusts(const struct tls_server *server);

SSL *tls_server_ssl(struct tls_server *server);
SSL *tls_client_ssl(struct tls_client *client);
bool tls_client_verifies(const struct tls_client *client);

// Sets err to ERR_TLS with "format: " and the first reason in OpenSSL's queue, and empties the queue.
enum err_code tls_failed(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Names of a certificate, for struct conn_tls (base/conn.h); the caller frees them.
struct conn_tls_peer;
struct conn_tls_peer *tls_peer_names(X509 *cert);

// SHA-256 of it and of its key, in hexadecimal.
void tls_peer_digests(X509 *cert, char fingerprint[65], char spki_out[65]);

#endif
