// SPDX-License-Identifier: Apache-2.0
// Addresses of the network: texts, networks, and the kernel's form.
#include "base/netaddr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/must.h"

enum { IPV4_BITS = 32, IPV6_BITS = 128, PORT_MAX = 65535 };

// RFC 4291 section 2.5.5.2: an IPv4 address inside IPv6.
static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static void set_ipv6(struct netaddr *addr, const uint8_t ip[16])
{
	if (memcmp(ip, mapped, sizeof mapped) == 0) {
		addr->family = NETADDR_IPV4;
		memcpy(addr->ip, ip + sizeof mapped, 4);
	} else {
		addr->family = NETADDR_IPV6;
		memcpy(addr->ip, ip, 16);
	}
}

// An address without port or brackets; "%eth0" or "%2" after a link-local one.
static bool parse_ip(struct str text, struct netaddr *addr_out)
{
	char c[NETADDR_TEXT_BYTES + IF_NAMESIZE];
	struct str ip = text, zone = STR_NONE;
	struct netaddr addr = {.family = NETADDR_NONE};
	uint8_t bytes[16];
	bool has_zone = str_cut(text, '%', &ip, &zone);
	if (!str_to_c(ip, c, sizeof c))
		return false;
	if (inet_pton(AF_INET, c, addr.ip) == 1)
		addr.family = NETADDR_IPV4;
	else if (inet_pton(AF_INET6, c, bytes) == 1)
		set_ipv6(&addr, bytes);
	else
		return false;
	if (has_zone) {
		uint64_t index;
		if (addr.family != NETADDR_IPV6 || !str_to_c(zone, c, sizeof c))
			return false;
		if (!str_to_u64(zone, UINT32_MAX, &index))
			index = if_nametoindex(c);
		if (index == 0)
			return false;
		addr.scope = (uint32_t)index;
	}
	*addr_out = addr;
	return true;
}

bool netaddr_parse(struct str text, uint16_t port_default, struct netaddr *addr_out)
{
	struct str ip = text, after = STR_NONE;
	uint64_t port = port_default;
	bool has_port = false;
	ptrdiff_t colon = str_index(text, ':');
	if (text.n > 0 && text.p[0] == '[') {
		if (!str_cut(str_from(text, 1), ']', &ip, &after) || str_index(ip, ':') < 0)
			return false;
		has_port = after.n > 0;
		if (has_port && after.p[0] != ':')
			return false;
		after = str_from(after, 1);
	} else if (colon >= 0 && colon == str_rindex(text, ':')) {
		has_port = str_cut(text, ':', &ip, &after);
	}
	struct netaddr addr;
	if ((has_port && !str_to_u64(after, PORT_MAX, &port)) || !parse_ip(ip, &addr))
		return false;
	addr.port = (uint16_t)port;
	*addr_out = addr;
	return true;
}

const char *netaddr_text(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES])
{
	switch (addr->family) {
	case NETADDR_NONE:
		snprintf(text, NETADDR_TEXT_BYTES, "local");
		return text;
	case NETADDR_IPV4:
		return inet_ntop(AF_INET, addr->ip, text, NETADDR_TEXT_BYTES);
	case NETADDR_IPV6:
		return inet_ntop(AF_INET6, addr->ip, text, NETADDR_TEXT_BYTES);
	}
	unreachable("address family");
}

const char *netaddr_text_port(const struct netaddr *addr, char text[NETADDR_TEXT_BYTES])
{
	char ip[NETADDR_TEXT_BYTES];
	netaddr_text(addr, ip);
	if (addr->family == NETADDR_NONE)
		snprintf(text, NETADDR_TEXT_BYTES, "%s", ip);
	else
		snprintf(text, NETADDR_TEXT_BYTES, addr->family == NETADDR_IPV6 ? "[%.39s]:%u" : "%.39s:%u", ip, addr->port);
	return text;
}

static unsigned family_bits(const struct netaddr *addr)
{
	return addr->family == NETADDR_IPV4 ? IPV4_BITS : addr->family == NETADDR_IPV6 ? IPV6_BITS : 0;
}

struct netaddr netaddr_prefix(const struct netaddr *addr, unsigned v4_bits, unsigned v6_bits)
{
	struct netaddr prefix = {.family = addr->family, .scope = addr->scope};
	unsigned bits = addr->family == NETADDR_IPV4 ? v4_bits : v6_bits;
	for (unsigned i = 0; i < family_bits(addr) / 8; i++) {
		unsigned left = bits > 8 * i ? bits - 8 * i : 0;
		prefix.ip[i] = addr->ip[i] & (uint8_t)(left >= 8 ? 0xff : 0xff00 >> left);
	}
	return prefix;
}

bool netaddr_same_host(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->scope == b->scope && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

uint64_t netaddr_hash(const struct netaddr *addr)
{
	uint8_t key[1 + sizeof addr->ip] = {(uint8_t)addr->family};
	memcpy(key + 1, addr->ip, sizeof addr->ip);
	return str_hash(str_of((const char *)key, sizeof key));
}

bool netaddr_is_loopback(const struct netaddr *addr)
{
	static const uint8_t one[16] = {[15] = 1};
	switch (addr->family) {
	case NETADDR_NONE:
		return true;
	case NETADDR_IPV4:
		return addr->ip[0] == 127;
	case NETADDR_IPV6:
		return memcmp(addr->ip, one, sizeof one) == 0;
	}
	unreachable("address family");
}

bool netaddr_net_parse(struct str text, struct netaddr_net *net_out)
{
	struct str ip = text, length = STR_NONE;
	struct netaddr_net net;
	bool has_length = str_cut(text, '/', &ip, &length);
	if (!parse_ip(ip, &net.addr))
		return false;
	uint64_t bits = family_bits(&net.addr);
	if (has_length && !str_to_u64(length, bits, &bits))
		return false;
	struct netaddr prefix = netaddr_prefix(&net.addr, (unsigned)bits, (unsigned)bits);
	if (!netaddr_same_host(&prefix, &net.addr))
		return false;
	net.bits = (unsigned)bits;
	*net_out = net;
	return true;
}

bool netaddr_net_has(const struct netaddr_net *net, const struct netaddr *addr)
{
	struct netaddr prefix = netaddr_prefix(addr, net->bits, net->bits);
	prefix.scope = net->addr.scope;
	return netaddr_same_host(&prefix, &net->addr);
}

struct netaddr netaddr_of_sockaddr(const struct sockaddr *sa, size_t bytes)
{
	struct netaddr addr = {.family = NETADDR_NONE};
	if (bytes >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof in);
		addr.family = NETADDR_IPV4;
		addr.port = ntohs(in.sin_port);
		memcpy(addr.ip, &in.sin_addr, 4);
	} else if (bytes >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof in6);
		addr.port = ntohs(in6.sin6_port);
		set_ipv6(&addr, in6.sin6_addr.s6_addr);
		if (addr.family == NETADDR_IPV6)
			addr.scope = in6.sin6_scope_id;
	}
	return addr;
}

size_t netaddr_to_sockaddr(const struct netaddr *addr, char sockaddr_out[NETADDR_SOCKADDR_BYTES])
{
	switch (addr->family) {
	case NETADDR_NONE:
		return 0;
	case NETADDR_IPV4: {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
		memcpy(&in.sin_addr, addr->ip, 4);
		memcpy(sockaddr_out, &in, sizeof in);
		return sizeof in;
	}
	case NETADDR_IPV6: {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port), .sin6_scope_id = addr->scope};
		memcpy(&in6.sin6_addr, addr->ip, 16);
		memcpy(sockaddr_out, &in6, sizeof in6);
		return sizeof in6;
	}
	}
	unreachable("address family");
}
