// SPDX-License-Identifier: Apache-2.0
// People whose mailHost is no host of ours and whose entry (phMailHostRelay) has their mail passed on to it over SMTP, and what
// mailRoutingAddress means: the table of sendmail's ldap_routing. A part of recipient.c's decision.
//
//     mailHost      mailRoutingAddress    mail goes
//     of ours       yes                   to that address, by the rules for that address
//     of ours       no                    into the mailbox
//     another       yes                   over SMTP to mailHost, for that address
//     another       no                    over SMTP to mailHost, for the address it was sent to
//     none          yes                   to that address, by the rules for that address
//     none          no                    nowhere: the entry has no host
//     several values of either            nowhere for now: nobody guesses
//
// The way to another mailHost: the row of the route table that is for it (its name, .parents, "."), else port 25 of the host
// itself, whose MX records are not looked up. The relayhost is not asked. This node by another name is no other host: a mailHost
// that is hostname, or one of serves, waits until it is in the directory, rather than going round.
#ifndef ROUTER_OTHER_HOST_H
#define ROUTER_OTHER_HOST_H

#include "decision.h"

// True: the entry's mail goes to another host, or waits; all is said. False: its mailHost is ours, or it has none, or the entry
// is not of that kind. addr: the address it was found by; NULL when by DN.
bool other_host_takes(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr);

// The routing address of an entry, as what is still to be looked at; detail follows it when the settings say so.
void other_host_route(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr,
	struct str detail);

#endif
