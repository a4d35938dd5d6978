// SPDX-License-Identifier: Apache-2.0
// A host of ours by its name in the directory: where it listens, and which certificates are its own.
//
//     switch (host_find(directory, target->host, STR("lmtp"), arena, &host)) {
//     case HOST_FOUND:       connect(host.endpoint.host, host.endpoint.port) ...
//     case HOST_UNKNOWN:     ... no phMailHost of that name, or no such endpoint: nothing goes there (threat host-allow) ...
//     case HOST_UNAVAILABLE: ... the directory cannot say now ...
//     }
//
// Asked at each try, never recorded: a host moves without its queue. Pure; results live in the arena.
#ifndef ROUTER_HOST_H
#define ROUTER_HOST_H

#include "base/arena.h"
#include "ldapsync/directory.h"

enum host_answer { HOST_FOUND, HOST_UNKNOWN, HOST_UNAVAILABLE };

struct host_endpoint {
	struct str host; // name or IP address, without brackets; NUL after it
	uint16_t port;
};

struct host {
	struct str name;               // domain.key
	struct host_endpoint endpoint; // of the service asked for
	struct str endpoint_text;      // the value of phHostEndpoint that it is from
	const struct str *pins;        // phHostTlsPin: "sha256:<64 hex digits>"
	size_t n_pins;
	struct str waits_by; // phHostState by which its mail waits: down, readonly, a word that is none; empty: it does not
	const struct entry *entry;
};

// service: the word before "=" in phHostEndpoint ("lmtp=inet:mb1.uni.example:24", "lmtp=inet:[2001:db8::1]:24", "imap=…").
enum host_answer host_find(struct directory *directory, struct str name, struct str service, struct arena *arena,
	struct host *host_out);

// Is it one of ours, with this service? entry_out and text_out (the value of phHostEndpoint) are in the arena.
enum host_answer host_has(struct directory *directory, struct str name, struct str service, struct arena *arena,
	const struct entry **entry_out, struct str *text_out);

// Is this the key of one of our hosts? pin is "sha256:<64 hex digits>" of a peer's SubjectPublicKeyInfo: the delivery key on LMTP
// is believed from such peers only (FORMATS section 7). name_out may be NULL.
enum host_answer host_by_pin(struct directory *directory, struct str pin, struct arena *arena, struct str *name_out);

// Takes "service=inet:host:port" apart; false when it is not of that form. Strings borrow from text, host_out.host without NUL.
bool host_endpoint_parse(struct str text, struct str *service_out, struct host_endpoint *endpoint_out);

#endif
