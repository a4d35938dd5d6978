// SPDX-License-Identifier: Apache-2.0
// One key for a DN, however it is written (RFC 4514): case, spaces, escapes, the order inside a multi-valued RDN do not matter.
//
//     struct guid key = dn_key(STR("UID = a\\2Cb , dc=Uni,dc=Example"));
//
// 128 bits of SHA-256 over the normalised DN. Comparison is by caseIgnoreMatch for every attribute: good for the names that directories
// are built of. Text that is no DN gets a key of its own. Nothing here blocks.
#ifndef LDAPSYNC_DN_H
#define LDAPSYNC_DN_H

#include "base/guid.h"

struct guid dn_key(struct str dn);

// Is this a DN at all: "type=value", separated by commas or semicolons? The empty DN is none.
bool dn_is_valid(struct str dn);

#endif
