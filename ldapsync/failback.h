// SPDX-License-Identifier: Apache-2.0
// A thread that asks servers which were left whether they are back: those earlier in ldap_uri than the one in use.
//
//     failback_start(settings, &failback, err);
//     failback_watch(failback, 2);                             // servers 0 and 1 are asked from now on; 0: none
//     if (failback_find(failback, 2, &ours, &server)) ...      // one of them answers for ldap_failback_s and has all we hold
//     failback_stop(&failback);
//
// A thread of its own, because a server that hangs costs each question ldap_timeout_s, which the one in use must not notice. Each
// question is a connection, a bind and a search: for contextCSN, of a server that shows none for the base entry. Calls do not
// wait, apart from failback_stop, which ends the question at hand.
#ifndef LDAPSYNC_FAILBACK_H
#define LDAPSYNC_FAILBACK_H

#include "csn.h"
#include "schema/settings.h"

struct failback;

// settings are borrowed. Not started where ldap_failback_s is 0 or there is one server: *failback_out is then NULL, which all
// calls take.
enum err_code failback_start(const struct settings *settings, struct failback **failback_out, struct err *err) ERR_CHECKED;
void failback_stop(struct failback **failback);

// The first servers of ldap_uri, so many; what was known of them is forgotten when the number changes.
void failback_watch(struct failback *failback, size_t n);

// The first of the first n that has answered every time for ldap_failback_s, and had every change of `ours` the last time. Where
// `ours` is empty, of servers without contextCSN, nothing shows that one lags: that it has answered for so long is all there is.
bool failback_find(struct failback *failback, size_t n, const struct csns *ours, size_t *server_out);

#endif
