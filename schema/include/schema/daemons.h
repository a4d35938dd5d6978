// SPDX-License-Identifier: Apache-2.0
// The daemons of Posthouse: who they are, which sockets they get, and what each may do once it runs. One table (daemons.c), read
// by the daemons themselves, by `posthouse run` and by `posthouse check`.
//
// A daemon's main passes daemons_mta_options (or its like) as the `options` of base/daemon.h.
#ifndef SCHEMA_DAEMONS_H
#define SCHEMA_DAEMONS_H

#include "base/daemon.h"
#include "schema/settings.h"

enum daemons_id { DAEMONS_LDAPSYNC, DAEMONS_MTA, DAEMONS_POPIMAP, DAEMONS_N }; // in the order of their start

// A listening socket: its name as FORMATS.md section 8 has it, and where the settings have its addresses.
struct daemons_socket {
	enum daemons_id daemon;
	const char *name; // "smtp"
	size_t offset;    // of struct settings_addresses in struct settings
};

extern const struct daemons_socket daemons_sockets[];
extern const size_t daemons_sockets_n;

// "mta"; the program is posthouse-mta, the control socket run_dir/mta.sock.
const char *daemons_name(enum daemons_id id);

// The user of the settings; empty: whoever starts it.
struct str daemons_user(const struct settings *settings, enum daemons_id id);

// Whom that is; false: there is no such user here. Reads the system's users: before the jail.
bool daemons_user_id(const struct settings *settings, enum daemons_id id, uid_t *uid_out);

// Where popimap takes deliveries of the front-end on the same node (FORMATS.md section 7); in the arena, NUL after it.
struct str daemons_lmtp_path(const struct settings *settings, struct arena *arena);

// Where mta takes what the mailboxes of this node send themselves (FORMATS.md section 3); likewise.
struct str daemons_smtp_path(const struct settings *settings, struct arena *arena);

// Path of the control socket; in the arena, NUL after it.
struct str daemons_control_path(const struct settings *settings, struct arena *arena, enum daemons_id id);

// For struct daemon_spec.
void daemons_ldapsync_options(const void *values, struct arena *arena, struct daemon_options *out);
void daemons_mta_options(const void *values, struct arena *arena, struct daemon_options *out);
void daemons_popimap_options(const void *values, struct arena *arena, struct daemon_options *out);

#endif
