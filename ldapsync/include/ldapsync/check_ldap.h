// SPDX-License-Identifier: Apache-2.0
// What ldapsync would meet at its LDAP servers: for `posthouse check --connect`.
#ifndef LDAPSYNC_CHECK_LDAP_H
#define LDAPSYNC_CHECK_LDAP_H

#include "base/str.h"
#include "schema/settings.h"

// server: of ldap_uri; setting: the one that the trouble is about most likely. is_warning: it would be followed all the same.
typedef void check_ldap_complain_fn(void *context, struct str server, const char *setting, const char *what, bool is_warning);

// Connects to each server of ldap_uri, with TLS, binds, and looks for ldap_base, its contextCSN and an entry of ours below it, as
// whoever calls. Nothing is changed there. One server after the other, each for a few times ldap_timeout_s at most. Blocks;
// starts a thread.
void check_ldap(const struct settings *settings, check_ldap_complain_fn *complain, void *context);

#endif
