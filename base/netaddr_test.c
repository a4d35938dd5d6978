// SPDX-License-Identifier: Apache-2.0
// Addresses as people write them, networks, and the way to the kernel and back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/netaddr.h"

static void texts_are_read_and_written(void **state)
{
	(void)state;
	const struct {
		const char *in, *out; // NULL: refused
	} cases[] = {
		{"192.0.2.1", "192.0.2.1:7"}, {"192.0.2.1:25", "192.0.2.1:25"}, {"2001:db8::1", "[2001:db8::1]:7"},
		{"[2001:db8::1]", "[2001:db8::1]:7"}, {"[2001:db8::1]:25", "[2001:db8::1]:25"}, {"::ffff:192.0.2.1", "192.0.2.1:7"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1:1"}, {"[::]:0", "[::]:0"}, {"", NULL}, {"192.0.2.1:", NULL}, {"192.0.2.1:65536", NULL},
		{"192.0.2.256", NULL}, {"[192.0.2.1]:25", NULL}, {"[2001:db8::1]25", NULL}, {"[2001:db8::1", NULL}, {"host:25", NULL},
		{"1.2.3", NULL}, {"2001:db8::1%nosuchinterface", NULL}, {"192.0.2.1:-1", NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct netaddr addr, again;
		char text[NETADDR_TEXT_BYTES];
		assert_int_equal(netaddr_parse(str_of_c(cases[i].in), 7, &addr), cases[i].out != NULL);
		if (cases[i].out == NULL)
			continue;
		assert_string_equal(netaddr_text_port(&addr, text), cases[i].out);
		_Alignas(16) char sa[NETADDR_SOCKADDR_BYTES];
		size_t n = netaddr_to_sockaddr(&addr, sa);
		again = netaddr_of_sockaddr((const struct sockaddr *)sa, n);
		assert_true(netaddr_same_host(&addr, &again) && addr.port == again.port);
		assert_true(netaddr_hash(&addr) == netaddr_hash(&again));
	}
}

static void networks_hold_what_they_say(void **state)
{
	(void)state;
	const struct {
		const char *net, *addr;
		bool has;
	} cases[] = {
		{"10.0.0.0/8", "10.255.0.1", true}, {"10.0.0.0/8", "11.0.0.1", false}, {"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.128/25", "192.0.2.200", true}, {"0.0.0.0/0", "1.2.3.4", true}, {"0.0.0.0/0", "::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false}, {"::1", "::1", true},
		{"127.0.0.0/8", "::ffff:127.0.0.1", true}, {"192.0.2.1", "192.0.2.2", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct netaddr_net net;
		struct netaddr addr;
		assert_true(netaddr_net_parse(str_of_c(cases[i].net), &net));
		assert_true(netaddr_parse(str_of_c(cases[i].addr), 25, &addr));
		assert_int_equal(netaddr_net_has(&net, &addr), cases[i].has);
	}
	const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/x", "x/8", "10.0.0.0/8/8"};
	struct netaddr_net net;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(netaddr_net_parse(str_of_c(bad[i]), &net));
}

static void budgets_count_an_ipv6_network_as_one(void **state)
{
	(void)state;
	struct netaddr a, b, c;
	assert_true(netaddr_parse(STR("2001:db8:0:1::a"), 1, &a) && netaddr_parse(STR("2001:db8:0:1:ffff::b"), 2, &b));
	assert_true(netaddr_parse(STR("2001:db8:0:2::a"), 1, &c));
	struct netaddr pa = netaddr_prefix(&a, 32, 64), pb = netaddr_prefix(&b, 32, 64), pc = netaddr_prefix(&c, 32, 64);
	assert_true(netaddr_same_host(&pa, &pb) && netaddr_hash(&pa) == netaddr_hash(&pb));
	assert_false(netaddr_same_host(&pa, &pc));
	struct netaddr local = {.family = NETADDR_NONE};
	char text[NETADDR_TEXT_BYTES];
	assert_true(netaddr_is_loopback(&local));
	assert_string_equal(netaddr_text_port(&local, text), "local");
	assert_false(netaddr_is_loopback(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_read_and_written),
		cmocka_unit_test(networks_hold_what_they_say),
		cmocka_unit_test(budgets_count_an_ipv6_network_as_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
