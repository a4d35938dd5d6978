// SPDX-License-Identifier: Apache-2.0
// A client's certificate, looked at without a connection: for who has to explain what it is good for.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/tls.h"
#include "tls_private.h"

enum { CHAIN_MAX = 32 };

static enum err_code read_chain(const char *path, STACK_OF(X509) *chain, struct err *err)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return err_errno(err, "open the certificate %s", path);
	X509 *cert;
	ERR_clear_error();
	while (sk_X509_num(chain) < CHAIN_MAX && (cert = PEM_read_X509(file, NULL, NULL, NULL)) != NULL)
		must(sk_X509_push(chain, cert) > 0);
	fclose(file);
	ERR_clear_error();
	return sk_X509_num(chain) ? ERR_OK : err_set(err, ERR_TLS, "%s holds no certificate in PEM", path);
}

// As SSL_accept does of a client's.
static enum err_code verify(STACK_OF(X509) *chain, const char *ca_path, const char **trouble_out, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	must(store != NULL && context != NULL);
	ERR_clear_error();
	enum err_code code = ERR_OK;
	if (X509_STORE_load_file(store, ca_path) != 1) {
		code = err_set(err, ERR_TLS, "read the trusted certificates %s", ca_path);
	} else {
		must(X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), chain) == 1);
		must(X509_STORE_CTX_set_default(context, "ssl_client") == 1);
		bool good = X509_verify_cert(context) == 1;
		*trouble_out = good ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
	}
	ERR_clear_error();
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return code;
}

enum err_code tls_certificate_read(const char *path, const char *ca_path, struct tls_certificate *certificate_out,
	struct err *err)
{
	struct tls_certificate certificate = {.names = NULL};
	STACK_OF(X509) *chain = sk_X509_new_null();
	must(chain != NULL);
	enum err_code code = read_chain(path, chain, err);
	if (code == ERR_OK)
		code = verify(chain, ca_path, &certificate.trouble, err);
	if (code == ERR_OK) {
		certificate.names = tls_peer_names(sk_X509_value(chain, 0));
		tls_peer_digests(sk_X509_value(chain, 0), certificate.fingerprint, certificate.spki);
		*certificate_out = certificate;
	}
	sk_X509_pop_free(chain, X509_free);
	return code;
}

void tls_certificate_fini(struct tls_certificate *certificate)
{
	free(certificate->names);
	certificate->names = NULL;
}
