// SPDX-License-Identifier: Apache-2.0
// Relay control: who may send mail through us to where no mailbox of ours is. Denied unless one of these says otherwise:
//
//     the client has logged in
//     its address is in one of relay_networks
//     it shows a certificate whose key is one of relay_certificates
//     it shows one that tls_ca_file vouches for, and the access table says RELAY of its names (CERTIssuer:, CERTSubject:,
//     CERTName:) it is the mailboxes of this node, which send what their owners' rules make: the kernel says so
//     (schema/local_socket.h) the access table says RELAY of its address (Connect:)
//     the access table says RELAY of the recipient (To:, or a domain without a tag)
//     the recipient is named by somebody of ours: an alias, a group, a forward
//
// The sender counts for nothing: he is whoever he says he is. There is no way to let everybody relay: a network with a prefix
// shorter than 8 bits counts nowhere, nor does RELAY for a top-level domain; OK is not RELAY; domains whose MX we are, are no
// recipients of ours for that. What an unknown client relays holds no way of its own in the local part (% ! @).
//
//     struct relay_client client = {.address = *conn_peer(conn), .networks = &s->relay_networks, …};
//     struct relay_why why;
//     if (relay_allowed(&client, authenticated, &access_of_recipient, &why)) …
//
// Pure.
#ifndef ROUTER_RELAY_H
#define ROUTER_RELAY_H

#include "base/settings.h"
#include "router/access.h"

// The client, and what the settings say of clients. Borrowed for the decision.
struct relay_client {
	struct netaddr address;
	struct str certificate;                        // "sha256:<64 hex digits>" of the key it has shown; empty: none
	const struct settings_networks *networks;      // relay_networks
	const struct settings_list *certificates;      // relay_certificates
	const struct access *access;                   // access_client() of it; NULL: nothing was found
	const struct access *names;                    // access_certificate() of it; NULL: it has shown none that was verified
	bool mailboxes;                                // it is posthouse-popimap of this node
};

struct relay_why {
	const char *rule; // of RECIPIENT_RULES
	struct str entry;
	const char *attribute;
	struct str value;
};

// recipient: what the access table says of it; NULL: nothing. client NULL: only a log-in counts. why_out is set when it is
// allowed.
bool relay_allowed(const struct relay_client *client, bool authenticated, const struct access *recipient,
	struct relay_why *why_out);

// A network that may not be in relay_networks: it is too large. For the check of the settings.
bool relay_network_is_everybody(const struct netaddr_net *net);

#endif
