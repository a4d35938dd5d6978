// SPDX-License-Identifier: Apache-2.0
// An entry as libldap has it, as a raw_entry: names and values borrowed from the message.
#ifndef LDAPSYNC_LDAP_ENTRY_H
#define LDAPSYNC_LDAP_ENTRY_H

#include <ldap.h>

#include "raw_entry.h"

struct ldap_entry;

struct ldap_entry *ldap_entry_new(void);
void ldap_entry_free(struct ldap_entry **entry);

// What comes out is good until the next read, clear or the end of the message. False when it does not parse.
bool ldap_entry_read(struct ldap_entry *entry, LDAP *ld, LDAPMessage *message, struct raw_entry *entry_out);
void ldap_entry_clear(struct ldap_entry *entry);

#endif
