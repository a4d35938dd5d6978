// SPDX-License-Identifier: Apache-2.0
// TLS contexts: immutable snapshots with a reference count. A session keeps the one it began with; a reload makes a new one
// beside it.
//
//     struct tls_files files[] = {{"mx.pem", "mx.key"}, {"mx-rsa.pem", "mx-rsa.key"}};
//     struct tls_server_config config = {.files = files, .n = 2};
//     if (tls_server_new(&config, &server, err)) ...                  // the old one, if any, stays in use
//     tls_slot_set(&slot, &server);                                   // from now on new sessions get this one
//     struct tls_server *mine = tls_slot_get(&slot);                  // a session: its own reference
//     conn_tls_accept(conn, mine, &discarded, err);
//     tls_server_drop(&mine);                                         // the connection has its own
//
// TLS 1.2 is the least, or what the configuration asks for. Several certificates: those for the same names form one identity (an
// ECDSA and an RSA key: ECDSA is preferred); the client's SNI chooses the identity by the certificates' DNS names, wildcards
// included; the first is for clients that name none or an unknown one. Session tickets are sealed with a key that only this
// process has: a ticket from another node or from before a restart costs a full handshake, nothing else.
//
// Loading reads files and so blocks: at start, on reload, on a worker; never on a fiber. The rest does not block; any thread.
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include <pthread.h>

#include "base/err.h"

struct tls_server;
struct tls_client;

struct tls_files {
	const char *cert_path; // PEM: the certificate, then its chain
	const char *key_path;  // PEM, without a passphrase
};

// The oldest version that is spoken.
enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_server_config {
	const struct tls_files *files; // n of them; borrowed for the call
	size_t n;
	enum tls_version min;
	// Ask clients for a certificate: none is required and no handshake fails for it, the caller compares what came (peer_spki
	// of struct conn_tls) with its pins.
	bool asks;
	// File of CAs: the names of certificates that lead to one of them, for the use as a client and today, are in struct
	// conn_tls (peer). NULL: of none. A file that cannot be read is ERR_TLS.
	const char *ca_path;
	// Give TLS 1.3 clients a ticket to come back with. Making one costs a ninth of a handshake, and who comes back with it
	// spares us a fifth of his (and himself no turn): it pays where two of three do, as clients that open several sessions,
	// or one every few minutes. TLS 1.2 clients, whom it spares a turn, have one when they ask.
	bool tickets;
};

// ERR_TLS or what the system says, naming the file: missing, not PEM, key and certificate that do not belong together, none at
// all.
enum err_code tls_server_new(const struct tls_server_config *config, struct tls_server **server_out, struct err *err) ERR_CHECKED;
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_drop(struct tls_server **server);

// A certificate in a file (PEM; behind it its chain, if there is one) as a server with this ca_path would see it of a client.
struct conn_tls_peer;
struct tls_certificate {
	struct conn_tls_peer *names; // owned; NULL: they are too long for any rule
	char fingerprint[65], spki[65]; // as those of struct conn_tls
	const char *trouble; // why its names count for nothing, a literal; NULL: they count
};
enum err_code tls_certificate_read(const char *path, const char *ca_path, struct tls_certificate *certificate_out,
	struct err *err) ERR_CHECKED;
void tls_certificate_fini(struct tls_certificate *certificate);

// When the first of its certificates ends, in milliseconds since 1970: for an alarm before it does.
int64_t tls_server_expires_wall_ms(const struct tls_server *server);

enum tls_verify {
	TLS_VERIFY_NONE, // encrypt to whoever answers (opportunistic SMTP); the fingerprint is still known
	TLS_VERIFY_HOST, // chain to a trusted CA, and the certificate names the host
};

struct tls_client_config {
	enum tls_verify verify;
	enum tls_version min;
	const char *ca_path;          // file of trusted CAs; NULL: the system's
	struct tls_files certificate; // our own, for mutual TLS; {NULL, NULL}: none
};
enum err_code tls_client_new(const struct tls_client_config *config, struct tls_client **client_out, struct err *err) ERR_CHECKED;
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_drop(struct tls_client **client);

// Where a daemon keeps its current server context. Made with TLS_SLOT_INIT; set to NULL at the end.
struct tls_slot {
	pthread_mutex_t mutex;
	struct tls_server *server; // owned; NULL: no TLS
};
#define TLS_SLOT_INIT {.mutex = PTHREAD_MUTEX_INITIALIZER}

// Takes *server (NULL: none any more) and nulls it; the one before is dropped.
void tls_slot_set(struct tls_slot *slot, struct tls_server **server);

// A reference for the caller; NULL when there is none.
struct tls_server *tls_slot_get(struct tls_slot *slot);

// Is TLS on offer?
bool tls_slot_is_set(struct tls_slot *slot);

#endif
