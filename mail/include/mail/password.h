// SPDX-License-Identifier: Apache-2.0
// Passwords as directories store them: verify a userPassword value, make one, make a phScram value.
//
//     switch (password_verify(stored, given)) {
//     case PASSWORD_MATCH: ...
//     }
//     password_make(PASSWORD_DEFAULT, given, &value, &err);          // "{CRYPT}$y$j9T$…"
//     password_scram_make(given, PASSWORD_SCRAM_ITERATIONS, &value, &err);     // "SCRAM-SHA-256$15000:salt$StoredKey:ServerKey"
//
// All of it costs CPU on purpose, from 3 ms to a second: on worker threads only, behind mail/password_cache.h. Comparisons take
// the same time wherever values differ. Parameters that would cost absurdly much (bounds below) make a value PASSWORD_UNUSABLE:
// whoever can write userPassword could otherwise stop every worker.
//
// The default is {CRYPT} with yescrypt, Debian's own choice for /etc/shadow: it costs a guesser 16 MiB and 15 ms a try, and it is
// the strongest that the directory servers of Debian 12 compare as they are installed, slapd and 389-ds alike. A value that only
// we can read would let its user in here and lock him out of everything that binds to the directory. ARGON2 (Argon2id with 19
// MiB, 2 passes, 1 lane: what OWASP recommends at least) is there for directories that have it; slapd does with its module
// argon2. Either goes into userPassword for clients that send the password (PLAIN, LOGIN under TLS). Clients that can use
// SCRAM-SHA-256 should: its verifier is phScram, computed once on each side, so the server never hashes. SSHA is there for
// comparisons and for other software that reads the same directory: a salted SHA-1 falls to a graphics card at 10^10 guesses a
// second.
#ifndef MAIL_PASSWORD_H
#define MAIL_PASSWORD_H

#include "base/buf.h"
#include "base/err.h"

enum {
	PASSWORD_BYTES_MAX = 1024,          // of a password; a longer one matches nothing
	PASSWORD_STORED_BYTES_MAX = 1024,   // of a stored value
	PASSWORD_PBKDF2_ROUNDS_MAX = 2 << 20,
	PASSWORD_ARGON2_MEMORY_KIB_MAX = 256 << 10,
	PASSWORD_ARGON2_PASSES_MAX = 16,
	PASSWORD_ARGON2_LANES_MAX = 16,
	PASSWORD_CRYPT_SHA_ROUNDS_MAX = 1 << 20,
	PASSWORD_CRYPT_BCRYPT_COST_MAX = 14,
	PASSWORD_CRYPT_MEMORY_KIB_MAX = 256 << 10, // yescrypt and scrypt
	PASSWORD_SCRAM_ITERATIONS = 15000,  // RFC 7677 asks for 4096 at least; the client pays, phones too
	PASSWORD_SCRAM_ITERATIONS_MIN = 4096,
	PASSWORD_SCRAM_ITERATIONS_MAX = 1 << 20,
};

enum password_result {
	PASSWORD_MATCH,
	PASSWORD_MISMATCH,
	PASSWORD_UNUSABLE, // scheme unknown, value malformed, cost out of bounds: an administrator must look at the entry
};

// stored is one value of userPassword: "{SCHEME}rest", scheme in any case. {SHA} {SSHA} {SHA256} {SSHA256} {SHA384} {SSHA384}
// {SHA512} {SSHA512} (RFC 2307's form; salt after the digest), {CRYPT} (crypt(5): yescrypt, gost-yescrypt, scrypt, bcrypt,
// sha512crypt, sha256crypt and, since old directories have them, md5crypt and DES), {PBKDF2} {PBKDF2-SHA1} {PBKDF2-SHA256}
// {PBKDF2-SHA512} (OpenLDAP's pw-pbkdf2: rounds$salt$key), {ARGON2} (encoded form), {CLEARTEXT}. A value without a scheme is
// taken as cleartext, as RFC 4519 defines it. An empty password, one with a NUL and one over PASSWORD_BYTES_MAX match nothing.
// May take a second; never blocks otherwise.
enum password_result password_verify(struct str stored, struct str password);

// Costs what verifying PASSWORD_DEFAULT costs and matches nothing: for users who do not exist.
void password_dummy(struct str password);

// scheme, name on the command line, what it makes
#define PASSWORD_SCHEMES(X)                                                   \
	X(PASSWORD_ARGON2, "ARGON2", "Argon2id")                              \
	X(PASSWORD_PBKDF2_SHA256, "PBKDF2-SHA256", "600,000 rounds")          \
	X(PASSWORD_CRYPT, "CRYPT", "yescrypt, the default")              \
	X(PASSWORD_SSHA512, "SSHA512", "salted SHA-512, fast to guess")       \
	X(PASSWORD_SSHA, "SSHA", "salted SHA-1, fast to guess")

enum password_scheme {
#define PASSWORD_ENUM(scheme, name, text) scheme,
	PASSWORD_SCHEMES(PASSWORD_ENUM)
#undef PASSWORD_ENUM
};

#define PASSWORD_DEFAULT PASSWORD_CRYPT

// A name from the command line, any case; false when it is none of the above.
bool password_scheme_parse(struct str name, enum password_scheme *out);
const char *password_scheme_name(enum password_scheme scheme);

// Appends a userPassword value with a fresh salt. ERR_INVALID: empty, too long, not UTF-8, with a NUL. ERR_LIMIT: b overflowed.
enum err_code password_make(enum password_scheme scheme, struct str password, struct buf *b, struct err *err) ERR_CHECKED;

// Appends a phScram value (RFC 5803 section 4, RFC 7677). The password is prepared with SASLprep (RFC 4013), as RFC 5802 demands
// of both sides: NFKC, unusual spaces become spaces, soft hyphens vanish. ERR_INVALID also for what SASLprep prohibits (controls,
// private use, surrogates, mixed directions). Clients that skip SASLprep see no difference for ASCII passwords.
enum err_code password_scram_make(struct str password, uint32_t iterations, struct buf *b, struct err *err) ERR_CHECKED;

// The same with a given salt: for tests and for whoever must make a value twice.
enum err_code password_scram_make_salted(struct str password, struct str salt, uint32_t iterations, struct buf *b,
                                         struct err *err) ERR_CHECKED;

// A phScram value that a SCRAM-SHA-256 exchange can use: its form, 32-byte keys, iterations within the bounds above.
bool password_scram_is_usable(struct str value);

// SASLprep (RFC 4013). Unassigned code points are those of the Unicode version of libunistring, not of Unicode 3.2: a password
// with a newer letter is better than none. ERR_INVALID as above, ERR_LIMIT: b overflowed.
enum err_code password_prepare(struct str password, struct buf *b, struct err *err) ERR_CHECKED;

#endif
