// SPDX-License-Identifier: Apache-2.0
// Seats: who counts with whom, and that what was left is free again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "crowd.h"

static struct crowd_seat *enter(struct crowd *crowd, const char *service, const char *account, const char *address)
{
	struct netaddr peer;
	must(netaddr_parse(str_of_c(address), 0, &peer));
	return crowd_enter(crowd, str_of_c(service), str_of_c(account), &peer, 2);
}

static void counts_one_user_at_one_address(void **state)
{
	(void)state;
	struct crowd *crowd = crowd_new();
	struct crowd_seat *one = enter(crowd, "imap", "ann", "192.0.2.1:1000"), *two = enter(crowd, "imap", "ann", "192.0.2.1:1001");
	assert_true(one != NULL && two != NULL);
	assert_null(enter(crowd, "imap", "ann", "192.0.2.1:1002"));
	struct crowd_seat *others[] = {enter(crowd, "pop", "ann", "192.0.2.1:1"), enter(crowd, "imap", "bob", "192.0.2.1:1"),
		enter(crowd, "imap", "ann", "192.0.2.2:1"), enter(crowd, "imap", "ann", "[2001:db8::1]:1"), enter(crowd, "imap", "ann", "[2001:db8::2]:1")};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_non_null(others[i]);
	assert_null(enter(crowd, "imap", "ann", "[2001:db8:0:0:ffff::9]:1")); // of the same /64
	crowd_leave(&one);
	assert_null(one);
	one = enter(crowd, "imap", "ann", "192.0.2.1:1003");
	assert_non_null(one);
	assert_null(enter(crowd, "imap", "ann", "192.0.2.1:1004"));
	crowd_leave(&one);
	crowd_leave(&two);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		crowd_leave(&others[i]);
	crowd_leave(&one); // none: nothing
	crowd_free(&crowd); // must() there: nothing is left
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(counts_one_user_at_one_address)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
