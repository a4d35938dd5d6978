// SPDX-License-Identifier: Apache-2.0
// TLS contexts: certificates grouped into identities, SNI, references.
//
// An identity is an SSL_CTX with the certificates for one set of names, one for each kind of key. A handshake begins on the first
// identity and moves to the one that SNI names. Session tickets are sealed and opened by the first identity's SSL_CTX, whose key
// OpenSSL draws at random when it is made: no other node, process or snapshot can open them.
#include "tls_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"
#include "base/str.h"

enum { IDENTITIES_MAX = 64, KINDS_MAX = 4, NAMES_MAX = 200 };

struct identity {
	SSL_CTX *ctx;
	char **names; // lower case; each owned
	size_t names_n;
	int kinds[KINDS_MAX]; // EVP_PKEY_* of its certificates
	size_t kinds_n;
};

struct tls_server {
	_Atomic unsigned refs;
	enum tls_version min;
	bool asks; // clients for their certificate
	bool tickets; // in TLS 1.3
	X509_STORE *trusted; // owned; NULL: nobody is
	int64_t expires_wall_ms;
	size_t identities_n;
	struct identity identities[IDENTITIES_MAX]; // the first is for those who name none
};

struct tls_client {
	_Atomic unsigned refs;
	enum tls_verify verify;
	SSL_CTX *ctx;
};

// --- Common ---

enum err_code tls_failed(struct err *err, const char *format, ...)
{
	char what[256];
	unsigned long first = ERR_get_error();
	const char *reason = ERR_SYSTEM_ERROR(first) ? strerrordesc_np(ERR_GET_REASON(first))
			     : first                 ? ERR_reason_error_string(first)
						     : NULL;
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	ERR_clear_error();
	return err_set(err, ERR_TLS, "%s: %s", what, reason ? reason : "unknown reason");
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return 0; // the default would ask at the terminal
}

static int protocol_of(enum tls_version version)
{
	switch (version) {
	case TLS_VERSION_1_2:
		return TLS1_2_VERSION;
	case TLS_VERSION_1_3:
		return TLS1_3_VERSION;
	}
	unreachable("TLS version");
}

static void set_common(SSL_CTX *ctx, enum tls_version min)
{
	must(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, protocol_of(min)) == 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	// Our protocols say themselves where they end, so a TCP end without close_notify is an end.
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
}

// --- Names of a certificate ---

static void add_name(struct identity *identity, const unsigned char *p, int n)
{
	if (n <= 0 || identity->names_n == NAMES_MAX || memchr(p, '\0', (size_t)n))
		return;
	char *name = malloc((size_t)n + 1);
	must(name != NULL);
	for (int i = 0; i < n; i++)
		name[i] = chr_lower((char)p[i]);
	name[n] = '\0';
	identity->names[identity->names_n++] = name;
}

// DNS names of the subject alternative name; without any, the common name (RFC 6125 section 6.4.4).
static void take_names(struct identity *identity, X509 *cert)
{
	identity->names = calloc(NAMES_MAX, sizeof *identity->names);
	must(identity->names != NULL);
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
		if (one->type == GEN_DNS)
			add_name(identity, ASN1_STRING_get0_data(one->d.dNSName), ASN1_STRING_length(one->d.dNSName));
	}
	GENERAL_NAMES_free(all);
	int at = X509_NAME_get_index_by_NID(X509_get_subject_name(cert), NID_commonName, -1);
	if (identity->names_n == 0 && at >= 0) {
		const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(cert), at));
		add_name(identity, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
	}
}

static bool has_name(const struct identity *identity, const char *name)
{
	for (size_t i = 0; i < identity->names_n; i++)
		if (strcmp(identity->names[i], name) == 0)
			return true;
	return false;
}

static bool same_names(const struct identity *a, const struct identity *b)
{
	if (a->names_n != b->names_n)
		return false;
	for (size_t i = 0; i < a->names_n; i++)
		if (!has_name(b, a->names[i]))
			return false;
	return true;
}

static void identity_fini(struct identity *identity)
{
	for (size_t i = 0; i < identity->names_n; i++)
		free(identity->names[i]);
	free(identity->names);
	SSL_CTX_free(identity->ctx);
	*identity = (struct identity){0};
}

// --- SNI ---

static struct identity *identity_for(struct tls_server *server, const char *host)
{
	char name[256];
	struct str given = str_of_c(host);
	if (!str_to_c(given, name, sizeof name))
		return NULL;
	for (char *c = name; *c; c++)
		*c = chr_lower(*c);
	for (size_t i = 0; i < server->identities_n; i++)
		if (has_name(&server->identities[i], name))
			return &server->identities[i];
	// A wildcard stands for one whole label (RFC 6125 section 6.4.3).
	char *dot = strchr(name, '.');
	if (dot == NULL || dot == name)
		return NULL;
	dot[-1] = '*';
	for (size_t i = 0; i < server->identities_n; i++)
		if (has_name(&server->identities[i], dot - 1))
			return &server->identities[i];
	return NULL;
}

static int choose_identity(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *server = arg;
	(void)alert;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct identity *identity = host ? identity_for(server, host) : NULL;
	if (identity == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_SSL_CTX(ssl, identity->ctx);
	return SSL_TLSEXT_ERR_OK;
}

static int accept_any_certificate(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	// checked by pin, after the handshake; what is wrong with it stays the verdict of the chain (SSL_get_verify_result)
	return 1;
}

// --- Loading ---

static SSL_CTX *new_server_ctx(struct tls_server *server)
{
	static const unsigned char session_context[] = "posthouse";
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	set_common(ctx, server->min);
	// Of TLS 1.3's suites the one with SHA-256 first: the key schedule and the transcript are some thirty hashes a handshake,
	// and SHA-384, which OpenSSL prefers, makes them a quarter of it. Who has no AES in hardware says so by naming ChaCha20
	// first.
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	must(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") == 1);
	must(SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) == 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // tickets only: no memory for sessions
	SSL_CTX_set_num_tickets(ctx, server->tickets);
	SSL_CTX_set_tlsext_servername_callback(ctx, choose_identity);
	SSL_CTX_set_tlsext_servername_arg(ctx, server);
	if (server->asks)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any_certificate);
	if (server->trusted)
		must(SSL_CTX_set1_verify_cert_store(ctx, server->trusted) == 1);
	return ctx;
}

static enum err_code read_certificate(const char *path, X509 **cert_out, struct err *err)
{
	ERR_clear_error();
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return err_errno(err, "open the certificate %s", path);
	X509 *cert = PEM_read_X509(file, NULL, no_passphrase, NULL);
	fclose(file);
	if (cert == NULL)
		return tls_failed(err, "read the certificate %s", path);
	*cert_out = cert;
	return ERR_OK;
}

static enum err_code use_files(SSL_CTX *ctx, const struct tls_files *files, struct err *err)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, files->cert_path) != 1)
		return tls_failed(err, "use the certificate %s", files->cert_path);
	FILE *key = fopen(files->key_path, "re");
	if (key == NULL)
		return err_errno(err, "open the key %s", files->key_path);
	fclose(key);
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key_path, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return tls_failed(err, "use the key %s with the certificate %s", files->key_path, files->cert_path);
	return ERR_OK;
}

static int64_t ends_wall_ms(const X509 *cert)
{
	struct tm end;
	return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1 ? (int64_t)timegm(&end) * 1000 : 0;
}

static bool add_kind(struct identity *identity, int kind)
{
	for (size_t i = 0; i < identity->kinds_n; i++)
		if (identity->kinds[i] == kind)
			return false;
	if (identity->kinds_n == KINDS_MAX)
		return false;
	identity->kinds[identity->kinds_n++] = kind;
	return true;
}

// Puts the certificate into the identity with its names, or into a new one.
static enum err_code add_certificate(struct tls_server *server, const struct tls_files *files, X509 *cert, struct err *err)
{
	struct identity new = {0}, *identity = NULL;
	take_names(&new, cert);
	for (size_t i = 0; i < server->identities_n && identity == NULL; i++)
		if (same_names(&server->identities[i], &new))
			identity = &server->identities[i];
	if (identity) {
		identity_fini(&new);
	} else if (server->identities_n == IDENTITIES_MAX) {
		identity_fini(&new);
		return err_set(err, ERR_LIMIT, "more than %d certificates", IDENTITIES_MAX);
	} else {
		identity = &server->identities[server->identities_n++];
		*identity = new;
		identity->ctx = new_server_ctx(server);
	}
	if (!add_kind(identity, EVP_PKEY_get_base_id(X509_get0_pubkey(cert))))
		return err_set(err, ERR_INVALID, "%s: another certificate has the same names and kind of key", files->cert_path);
	int64_t end_ms = ends_wall_ms(cert);
	if (end_ms < server->expires_wall_ms)
		server->expires_wall_ms = end_ms;
	return use_files(identity->ctx, files, err);
}

enum err_code tls_server_new(const struct tls_server_config *config, struct tls_server **server_out, struct err *err)
{
	if (config->n == 0)
		return err_set(err, ERR_INVALID, "no certificate is given");
	struct tls_server *server = calloc(1, sizeof *server);
	must(server != NULL);
	atomic_init(&server->refs, 1);
	server->min = config->min;
	server->asks = config->asks;
	server->tickets = config->tickets;
	server->expires_wall_ms = INT64_MAX;
	if (config->ca_path) {
		server->trusted = X509_STORE_new();
		must(server->trusted != NULL);
		ERR_clear_error();
		if (X509_STORE_load_file(server->trusted, config->ca_path) != 1) {
			tls_server_drop(&server);
			return tls_failed(err, "read the trusted certificates %s", config->ca_path);
		}
	}
	for (size_t i = 0; i < config->n; i++) {
		X509 *cert = NULL;
		enum err_code code = read_certificate(config->files[i].cert_path, &cert, err);
		if (code == ERR_OK)
			code = add_certificate(server, &config->files[i], cert, err);
		X509_free(cert);
		if (code) {
			tls_server_drop(&server);
			return code;
		}
	}
	*server_out = server;
	return ERR_OK;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
	atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
	return server;
}

void tls_server_drop(struct tls_server **server_taken)
{
	struct tls_server *server = *server_taken;
	*server_taken = NULL;
	if (server == NULL || atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < server->identities_n; i++)
		identity_fini(&server->identities[i]);
	X509_STORE_free(server->trusted);
	free(server);
}

int64_t tls_server_expires_wall_ms(const struct tls_server *server)
{
	return server->expires_wall_ms;
}

bool tls_server_trusts(const struct tls_server *server)
{
	return server->trusted != NULL;
}

SSL *tls_server_ssl(struct tls_server *server)
{
	SSL *ssl = SSL_new(server->identities[0].ctx);
	must(ssl != NULL);
	SSL_set_accept_state(ssl);
	return ssl;
}

// --- Clients ---

static enum err_code set_client(struct tls_client *client, const struct tls_client_config *config, struct err *err)
{
	ERR_clear_error();
	if (config->verify == TLS_VERIFY_HOST) {
		SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
		if (config->ca_path && SSL_CTX_load_verify_file(client->ctx, config->ca_path) != 1)
			return tls_failed(err, "read the trusted certificates %s", config->ca_path);
		if (!config->ca_path && SSL_CTX_set_default_verify_paths(client->ctx) != 1)
			return tls_failed(err, "read the system's trusted certificates");
	}
	return config->certificate.cert_path ? use_files(client->ctx, &config->certificate, err) : ERR_OK;
}

enum err_code tls_client_new(const struct tls_client_config *config, struct tls_client **client_out, struct err *err)
{
	struct tls_client *client = calloc(1, sizeof *client);
	must(client != NULL);
	atomic_init(&client->refs, 1);
	client->verify = config->verify;
	client->ctx = SSL_CTX_new(TLS_client_method());
	set_common(client->ctx, config->min);
	enum err_code code = set_client(client, config, err);
	if (code) {
		tls_client_drop(&client);
		return code;
	}
	*client_out = client;
	return ERR_OK;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
	atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
	return client;
}

void tls_client_drop(struct tls_client **client_taken)
{
	struct tls_client *client = *client_taken;
	*client_taken = NULL;
	if (client == NULL || atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) > 1)
		return;
	SSL_CTX_free(client->ctx);
	free(client);
}

SSL *tls_client_ssl(struct tls_client *client)
{
	SSL *ssl = SSL_new(client->ctx);
	must(ssl != NULL);
	SSL_set_connect_state(ssl);
	return ssl;
}

bool tls_client_verifies(const struct tls_client *client)
{
	return client->verify == TLS_VERIFY_HOST;
}

// --- The current one ---

void tls_slot_set(struct tls_slot *slot, struct tls_server **server)
{
	pthread_mutex_lock(&slot->mutex);
	struct tls_server *before = slot->server;
	slot->server = *server;
	pthread_mutex_unlock(&slot->mutex);
	*server = NULL;
	tls_server_drop(&before);
}

bool tls_slot_is_set(struct tls_slot *slot)
{
	pthread_mutex_lock(&slot->mutex);
	bool is_set = slot->server != NULL;
	pthread_mutex_unlock(&slot->mutex);
	return is_set;
}

struct tls_server *tls_slot_get(struct tls_slot *slot)
{
	pthread_mutex_lock(&slot->mutex);
	struct tls_server *server = slot->server ? tls_server_ref(slot->server) : NULL;
	pthread_mutex_unlock(&slot->mutex);
	return server;
}
