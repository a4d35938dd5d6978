// SPDX-License-Identifier: Apache-2.0
// An address of the network, parsed: IPv4 or IPv6 with a port. A v4 address mapped into v6 (::ffff:192.0.2.1) is the v4 address.
//
//     struct netaddr a;
//     if (netaddr_parse(STR("[2001:db8::1]:25"), 0, &a)) ...
//     char text[NETADDR_TEXT_BYTES];
//     log(netaddr_text(&a, text));                    // "2001:db8::1"
//
// Nothing here blocks or resolves names.
#ifndef BASE_NETADDR_H
#define BASE_NETADDR_H

#include "base/str.h"

struct sockaddr;

enum netaddr_family { NETADDR_NONE, NETADDR_IPV4, NETADDR_IPV6 }; // NONE: a Unix socket or a pipe

struct netaddr {
	enum netaddr_family family;
	uint16_t port; // host order; 0 when there is none
	uint32_t scope; // interface of a link-local IPv6 address, else 0
	uint8_t ip[16]; // 4 bytes for IPV4, the rest 0
};

enum { NETADDR_TEXT_BYTES = 48, NETADDR_SOCKADDR_BYTES = 128 };

// "192.0.2.1", "2001:db8::1", "[2001:db8::1]", each with ":port" after it (IPv6 then in brackets); without one, port_default. No
// names.
bool netaddr_parse(struct str text, uint16_t port_default, struct netaddr *addr_out);

// The address without port, and "192.0.2.1:25" or "[2001:db8::1]:25"; "local" for NETADDR_NONE. Both return text.
const char *netaddr_text(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES]);
const char *netaddr_text_port(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES]);

// The network it is in, the unit of budgets and caps: the first v4_bits or v6_bits bits, the rest and the port 0. Usually 32
// and 64.
struct netaddr netaddr_prefix(const struct netaddr *addr, unsigned v4_bits, unsigned v6_bits);

// Family, address and scope are the same; the port is not looked at.
bool netaddr_same_host(const struct netaddr *a, const struct netaddr *b);
uint64_t netaddr_hash(const struct netaddr *addr);

// 127.0.0.0/8, ::1, or NETADDR_NONE.
bool netaddr_is_loopback(const struct netaddr *addr);

// A network such as "192.0.2.0/24", "2001:db8::/32" or a single address. Bits beyond the length must be 0.
struct netaddr_net {
	struct netaddr addr;
	unsigned bits;
};
bool netaddr_net_parse(struct str text, struct netaddr_net *net_out);
bool netaddr_net_has(const struct netaddr_net *net, const struct netaddr *addr);

// From and to the kernel's form. An unknown family becomes NETADDR_NONE. to_sockaddr returns the length used, 0 for NETADDR_NONE.
struct netaddr netaddr_of_sockaddr(const struct sockaddr *sa, size_t bytes);
size_t netaddr_to_sockaddr(const struct netaddr *addr, char sockaddr_out[NETADDR_SOCKADDR_BYTES]);

#endif
