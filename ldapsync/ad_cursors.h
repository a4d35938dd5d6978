// SPDX-License-Identifier: Apache-2.0
// How far a domain controller has come with what others have changed: its up-to-dateness vector, of the top entry of a naming
// context ([MS-ADTS] 3.1.1.1.9), as CSNs of its form (csn.h). A cursor says that all changes which the domain controller
// of this invocation made up to this number are here. It moves at the end of a replication cycle with that one, or with one that
// has had such a cycle, which brings what it had from others too: so all that was seen there up to this number is here.
//
//     ad_cursors_pick(&theirs, &ours, value)     // a value of replUpToDateVector or msDS-NCReplCursors
//
// replUpToDateVector is one value of octets: a version (1 or 2), 4 octets, how many, 4 octets, and so many cursors: an invocation
// id, a number of 8 octets and, in version 2, a time of 8; numbers are little-endian (UPTODATE_VECTOR of [MS-DRSR]).
// msDS-NCReplCursors is one value of XML for each cursor ([MS-ADTS]). Pure.
#ifndef LDAPSYNC_AD_CURSORS_H
#define LDAPSYNC_AD_CURSORS_H

#include "csn.h"

// Takes in those of its cursors whose invocations are in `wanted`. False when it is neither of the two.
bool ad_cursors_pick(struct csns *csns, const struct csns *wanted, struct str value);

#endif
