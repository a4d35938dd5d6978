// SPDX-License-Identifier: Apache-2.0
// Addresses and networks as text, a line each: what is accepted can be printed and is the same again; a network has its own
// address.
// Covers: base/netaddr.c
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/must.h"
#include "base/netaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct str text)
{
	struct netaddr addr, again;
	char printed[NETADDR_TEXT_BYTES], sockaddr[NETADDR_SOCKADDR_BYTES];
	if (!netaddr_parse(text, 25, &addr))
		return;
	must(addr.family != NETADDR_NONE);
	must(netaddr_parse(str_of_c(netaddr_text_port(&addr, printed)), 0, &again));
	again.scope = addr.scope; // has no text
	must(netaddr_same_host(&addr, &again) && again.port == addr.port && netaddr_hash(&addr) == netaddr_hash(&again));
	must(netaddr_parse(str_of_c(netaddr_text(&addr, printed)), 7, &again) && again.port == 7);
	size_t n = netaddr_to_sockaddr(&addr, sockaddr);
	must(n > 0 && n <= sizeof sockaddr);
	again = netaddr_of_sockaddr((const struct sockaddr *)(const void *)sockaddr, n);
	must(netaddr_same_host(&addr, &again) && again.port == addr.port);
	must(netaddr_is_loopback(&addr) == netaddr_is_loopback(&again));
	struct netaddr prefix = netaddr_prefix(&addr, 24, 64), twice = netaddr_prefix(&prefix, 24, 64);
	must(netaddr_same_host(&prefix, &twice));
}

static void check_network(struct str text)
{
	struct netaddr_net net, again;
	char printed[NETADDR_TEXT_BYTES], full[NETADDR_TEXT_BYTES + 8];
	if (!netaddr_net_parse(text, &net))
		return;
	must(netaddr_net_has(&net, &net.addr) && net.bits <= 128);
	snprintf(full, sizeof full, "%s/%u", netaddr_text(&net.addr, printed), net.bits);
	must(netaddr_net_parse(str_of_c(full), &again) && again.bits == net.bits);
	again.addr.scope = net.addr.scope;
	must(netaddr_same_host(&net.addr, &again.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_of((const char *)data, size), line;
	while (str_next_line(&rest, &line)) {
		check_address(line);
		check_network(line);
	}
	return 0;
}
