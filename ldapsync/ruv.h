// SPDX-License-Identifier: Apache-2.0
// The replica update vector of a 389-ds, which says how far it is: values of nsds50ruv, as CSNs of its form (csn.h).
//
//     {replicageneration} 6b02c458000000010000
//     {replica 1 ldap://ldap1.uni.example:389} 6b02c458000200010000 6b02c45d000300010000
//     {replica 2 ldap://ldap2.uni.example:389}
//
// A replica that has made no change yet comes to a CSN of zeros, which everybody has: it is known to the server. The generation
// is that of the database, given out when it was made, and those of different generations know nothing of each other; it is taken
// as the last change of an origin of its own (replica ids begin with 1), so that a server with an older database lacks it. Pure.
#ifndef LDAPSYNC_RUV_H
#define LDAPSYNC_RUV_H

#include "csn.h"

// Takes one value in; false when it is none.
bool ruv_add(struct csns *csns, struct str value);

#endif
