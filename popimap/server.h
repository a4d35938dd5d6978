// SPDX-License-Identifier: Apache-2.0
// What all IMAP and POP3 sessions of a node share, and the services that start them. Made by popimap_main.c before the first
// connection.
//
//     struct popimap popimap = {.store = store, .login = login, .directory = …, .settings_get = …, .arg = daemon};
//     tls_slot_set(&popimap.tls, &tls_server);
//     struct popimap_service imaps = {.popimap = &popimap, .tls_at_start = true};
//     runtime_listen(rt, &(struct listen_service){.name = "imaps", .serve = imap_serve, .arg = &imaps}, fd, err);
#ifndef POPIMAP_SERVER_H
#define POPIMAP_SERVER_H

#include "base/conn.h"
#include "base/log.h"
#include "base/netaddr.h"
#include "base/settings.h"
#include "base/tls.h"
#include "ldapsync/directory.h"
#include "schema/settings.h"

struct crowd;
struct login;
struct sender;
struct store;

struct popimap {
	struct store *store;
	struct login *login;  // router/login.h
	struct crowd *crowd;  // crowd.h; NULL: no cap for users
	struct sender *sender; // sender.h; NULL: what mailboxes send waits
	struct tls_slot tls;  // empty: STARTTLS and STLS are not offered
	// The view of the shadow that belongs to the calling thread's scheduler; borrowed.
	struct directory *(*directory)(void *arg);
	// A reference to the settings of now.
	struct settings_snapshot *(*settings_get)(void *arg);
	void *arg; // of both
};

// One kind of listener.
struct popimap_service {
	struct popimap *popimap;
	bool tls_at_start; // imaps, pop3s (RFC 8314)
};

// Sessions from greeting to goodbye, for base/listen.h; arg is a struct popimap_service. They own conn.
void imap_serve(struct conn *conn, void *arg);
void pop3_serve(struct conn *conn, void *arg);

// What is written to a client for whom there is no room (struct listen_service, refusal).
#define IMAP_REFUSAL STR("* BYE [UNAVAILABLE] too many connections\r\n")
#define POP3_REFUSAL STR("-ERR [SYS/TEMP] too many connections\r\n")

struct home;
struct store_home;

// May the mailbox be made if it is not there (store.h)? home says that it is here. NULL while the directory says that it is being
// moved; else out, which borrows from home.
const struct store_home *popimap_may_make(const struct home *home, struct store_home *out);

// What the mailbox may hold, by its entry or its class of service (router/service.h), else by the settings; nothing is refused
// for what cannot be known now.
struct store_quota popimap_quota(struct directory *directory, const struct home *home, const struct settings *settings,
	struct arena *arena);

// May the channel carry a password? TLS, or a trusted network under auth_plaintext = trusted.
bool popimap_may_plaintext(const struct settings *settings, const struct conn *conn);

// The server's side of STARTTLS and STLS, after the reply was flushed, and of implicit TLS. Plaintext that was sent ahead is
// thrown away and counted. May wait.
enum err_code popimap_start_tls(struct popimap *popimap, struct conn *conn, const struct log_context *log,
	struct err *err) ERR_CHECKED;

#endif
