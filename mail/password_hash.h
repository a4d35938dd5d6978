// SPDX-License-Identifier: Apache-2.0
// The slow functions behind password.c that need more than a line: crypt(3) with its bounds, Argon2 on one thread, PBKDF2 text.
#ifndef PASSWORD_HASH_H
#define PASSWORD_HASH_H

#include "mail/password.h"

enum {
	PASSWORD_SALT_BYTES = 16,
	PASSWORD_KEY_BYTES_MAX = 64,
	PASSWORD_ARGON2_MEMORY_KIB = 19456, // OWASP Password Storage: one of its equivalent Argon2id sets
	PASSWORD_ARGON2_PASSES = 2,
	PASSWORD_ARGON2_LANES = 1,
	PASSWORD_PBKDF2_ROUNDS = 600000, // OWASP Password Storage, PBKDF2-HMAC-SHA256
};

// a and b have n bytes each; the time does not depend on them.
bool password_same(const unsigned char *a, const unsigned char *b, size_t n);

void password_random(unsigned char *bytes, size_t n);

// A value of PASSWORD_DEFAULT that no password is known for, behind its {SCHEME}.
#define PASSWORD_NOBODY "$y$j9T$......................$..........................................."

// Each takes what follows the "{SCHEME}".
enum password_result password_crypt_verify(struct str value, struct str password);
enum password_result password_argon2_verify(struct str value, struct str password);
enum password_result password_pbkdf2_verify(struct str value, struct str password, const char *digest);

// Each adds what follows the "{SCHEME}"; false when b overflows or the library fails (a limit of memory).
bool password_crypt_make(struct str password, struct buf *b);
bool password_argon2_make(struct str password, struct buf *b);
bool password_pbkdf2_make(struct str password, const char *digest, struct buf *b);

#endif
