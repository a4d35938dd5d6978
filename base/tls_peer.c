// SPDX-License-Identifier: Apache-2.0
// The names of a peer's certificate, as text that somebody can write into a rule and nobody can forge: a value cannot hold what
// parts it.
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/conn.h"
#include "base/must.h"
#include "tls_private.h"

enum { NAMES_MAX = 100, TEXT_BYTES_MAX = 64 << 10 };

static void add_escaped(struct buf *b, const unsigned char *p, int n)
{
	for (int i = 0; i < n; i++)
		if (p[i] > ' ' && p[i] < 0x7f && strchr("<>()\"+/", p[i]) == NULL)
			buf_add_byte(b, (char)p[i]);
		else
			buf_printf(b, "+%02X", p[i]);
}

static void add_part(struct buf *b, const X509_NAME_ENTRY *entry)
{
	char type[64];
	const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
	int nid = OBJ_obj2nid(object);
	unsigned char *value = NULL;
	if (nid == NID_undef)
		OBJ_obj2txt(type, sizeof type, object, 1);
	int n = ASN1_STRING_to_UTF8(&value, X509_NAME_ENTRY_get_data(entry));
	buf_printf(b, "/%s=", nid == NID_undef ? type : OBJ_nid2sn(nid));
	add_escaped(b, value, n);
	OPENSSL_free(value);
}

static size_t add_subject(struct buf *b, const X509_NAME *name)
{
	size_t before = b->n;
	for (int i = 0; i < X509_NAME_entry_count(name); i++)
		add_part(b, X509_NAME_get_entry(name, i));
	return b->n - before;
}

static void add_name(struct buf *b, const ASN1_STRING *name, size_t ends[NAMES_MAX], size_t *n)
{
	if (name == NULL || *n == NAMES_MAX)
		return;
	add_escaped(b, ASN1_STRING_get0_data(name), ASN1_STRING_length(name));
	ends[(*n)++] = b->n;
}

static size_t add_names(struct buf *b, X509 *cert, size_t ends[NAMES_MAX])
{
	size_t n = 0;
	X509_NAME *subject = X509_get_subject_name(cert);
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
		if (one->type == GEN_DNS)
			add_name(b, one->d.dNSName, ends, &n);
	}
	GENERAL_NAMES_free(all);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (n == 0 && at >= 0) // RFC 6125 section 6.4.4
		add_name(b, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), ends, &n);
	return n;
}

struct conn_tls_peer *tls_peer_names(X509 *cert)
{
	size_t ends[NAMES_MAX];
	struct buf b;
	buf_init(&b, TEXT_BYTES_MAX);
	size_t subject_n = add_subject(&b, X509_get_subject_name(cert));
	size_t issuer_n = add_subject(&b, X509_get_issuer_name(cert)), at = b.n;
	size_t n = add_names(&b, cert, ends);
	if (b.overflow) { // nobody's rule is so long
		buf_fini(&b);
		return NULL;
	}
	struct conn_tls_peer *peer = calloc(1, sizeof *peer + n * sizeof *peer->names + b.n + 1);
	must(peer != NULL);
	char *text = (char *)&peer->names[n];
	if (b.n)
		memcpy(text, b.p, b.n);
	peer->subject = str_of(text, subject_n);
	peer->issuer = str_of(text + subject_n, issuer_n);
	peer->names_n = n;
	for (size_t i = 0; i < n; at = ends[i++])
		peer->names[i] = str_of(text + at, ends[i] - at);
	buf_fini(&b);
	return peer;
}

// --- Digests ---

static void hex_of(const unsigned char *digest, size_t n, char text[65])
{
	struct buf hex;
	buf_init(&hex, 64);
	must(n == 32 && codec_hex_add(&hex, str_of((const char *)digest, n)) && str_to_c(buf_str(&hex), text, 65));
	buf_fini(&hex);
}

void tls_peer_digests(X509 *cert, char fingerprint[65], char spki_out[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE], *spki = NULL;
	unsigned n;
	must(X509_digest(cert, EVP_sha256(), digest, &n) == 1);
	hex_of(digest, n, fingerprint);
	int spki_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	if (spki_bytes <= 0)
		return;
	must(EVP_Digest(spki, (size_t)spki_bytes, digest, &n, EVP_sha256(), NULL) == 1);
	hex_of(digest, n, spki_out);
	OPENSSL_free(spki);
}
