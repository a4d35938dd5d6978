// SPDX-License-Identifier: Apache-2.0
// Single entries as a server has them now, for `posthouse why --ldif` and `posthouse directory diff`: the control command
// directory.entries.
//
//     -> {"command": "directory.entries", "dns": ["uid=ann,…", …]}
//     <- {"item": {"which": 0, "name": "mail", "value": "<base64>"}}     one a value; name "": of an attribute, a part was given
//     <- {"ok": true}
//
// The server that is followed is asked, else the others in turn, over a connection of its own. What ldapsync reads of entries is
// asked for and what names them (as entryUUID, whatever that server calls it), but no hash; of names outside of ldap_base nothing
// is said.
#ifndef LDAPSYNC_ENTRIES_H
#define LDAPSYNC_ENTRIES_H

#include "base/control.h"
#include "base/worker.h"
#include "schema/profile.h"

// Of a request; of an answer; for all its searches together, apart from the one at hand, which has ldap_timeout_s.
enum { ENTRIES_DNS_MAX = 2000, ENTRIES_BYTES_MAX = 256 << 20, ENTRIES_MS_MAX = 60000 };

struct entries;

// profile is borrowed until entries_free.
enum err_code entries_new(const struct profile *profile, struct entries **entries_out, struct err *err) ERR_CHECKED;

// Ends what a server is waited for, now and from now on. Any thread.
void entries_end_waits(struct entries *entries);

// When no answer is under way any more.
void entries_free(struct entries **entries);

// On a fiber: asks on the workers, of which there must be one, and answers. provider: the URI to begin with, or "".
void entries_answer(struct entries *entries, struct settings_snapshot *settings, const char *provider,
	struct worker_pool *workers, struct control_request *request);

#endif
