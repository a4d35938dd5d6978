// SPDX-License-Identifier: Apache-2.0
// The pin of a public key, as directory, settings and routes write it: "sha256:" and the digest of its SubjectPublicKeyInfo (RFC
// 7469, 2.4) in 64 hexadecimal digits of either case.
#ifndef MAIL_PIN_H
#define MAIL_PIN_H

#include "base/arena.h"

// Is text one? Pure.
bool pin_is_one(struct str text);

// The pin of a digest in hexadecimal, such as conn_tls(…)->peer_spki; {NULL, 0} of an empty one. In the arena.
struct str pin_of(struct arena *arena, const char *hex);

#endif
