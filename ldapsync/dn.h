// SPDX-License-Identifier: Apache-2.0
// One key for a DN, however it is written (RFC 4514): case, spaces, escapes, the order inside a multi-valued RDN do not matter.
//
//     struct guid key = dn_key(STR("UID = a\\2Cb , dc=Uni,dc=Example"));
//
// 128 bits of SHA-256 over the normalised DN. Comparison is by caseIgnoreMatch for every attribute: good for the names that
// directories are built of. Text that is no DN gets a key of its own. Nothing here blocks.
#ifndef LDAPSYNC_DN_H
#define LDAPSYNC_DN_H

#include "base/buf.h"
#include "base/guid.h"

struct guid dn_key(struct str dn);

// The same for a DN; false for what is none.
bool dn_parse_key(struct str dn, struct guid *key_out);

// Is this a DN at all: "type=value", separated by commas or semicolons? The empty DN is none.
bool dn_is_valid(struct str dn);

// The first RDN and what is after its separator, as they are written; *parent_out is empty for the last. False: dn is empty.
bool dn_cut(struct str dn, struct str *rdn_out, struct str *parent_out);

// Takes the next "type=value" off an RDN, the value without its escapes, appended to value. False at the end, and for what is
// none.
bool dn_take_part(struct str *rdn, struct str *type_out, struct buf *value);

#endif
