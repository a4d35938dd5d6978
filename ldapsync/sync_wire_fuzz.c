// SPDX-License-Identifier: Apache-2.0
// What an LDAP server sends for RFC 4533, and the cookies in it: the first byte says which structure, the rest is its bytes. What
// parses borrows from the input and is whole; a vector of CSNs prints as something that parses to itself; a merge dominates both.
// Covers: ldapsync/sync_wire.c ldapsync/sync_cookie.c ldapsync/sync_step.c
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "sync_step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guid scope = {.b = {7}};

static void check_borrowed(struct str part, struct str whole)
{
	must(part.p == NULL || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void check_cookie(struct str text)
{
	struct csns csns, again, merged = {0};
	struct buf printed;
	if (!csns_parse_cookie(text, &csns))
		return;
	buf_init(&printed, CSNS_TEXT_BYTES_MAX);
	must(csns_print(&csns, &printed) && csns_parse(buf_str(&printed), &again) && csns_eq(&csns, &again));
	must(csns_merge(&merged, &csns) && csns_eq(&merged, &csns));
	buf_fini(&printed);
}

// What would be stored is read back, and asks for the same.
static void check_stored(const struct sync_cookie *cookie)
{
	struct buf text, first, second;
	struct sync_cookie *back = malloc(sizeof *back);
	must(back != NULL);
	buf_init(&text, 8000);
	buf_init(&first, 8000);
	buf_init(&second, 8000);
	must(sync_cookie_write(cookie, &text) && sync_cookie_read(buf_str(&text), back));
	sync_cookie_request(cookie, &scope, STR("ldap://a"), &first);
	sync_cookie_request(back, &scope, STR("ldap://a"), &second);
	must(str_eq(buf_str(&first), buf_str(&second)));
	buf_fini(&text);
	buf_fini(&first);
	buf_fini(&second);
	free(back);
}

// A request has its cookie as it is: behind three heads, before nothing.
static void check_request(struct str cookie)
{
	struct buf request;
	buf_init(&request, 1 << 20);
	must(sync_request_add(&request, cookie, false) && str_ends(buf_str(&request), cookie));
	buf_clear(&request);
	must(sync_request_add(&request, cookie, true) && request.n > cookie.n + 5);
	buf_fini(&request);
}

static void one_info(struct sync_step *step, struct str bytes)
{
	struct sync_info info;
	struct guid uuid;
	if (!sync_info_parse(bytes, &info))
		return;
	check_borrowed(info.cookie, bytes);
	check_borrowed(info.uuids, bytes);
	check_cookie(info.cookie);
	while (sync_uuid_next(&info.uuids, &uuid))
		;
	must(info.uuids.n == 0);
	bool was_refreshing = step->refreshing;
	enum sync_do what = sync_step_info(step, &info);
	must(what != SYNC_FINISH || (was_refreshing && !step->refreshing));
	must(what == SYNC_FAIL || sync_step_info(step, &info) != SYNC_FINISH); // once
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	struct str bytes = str_of(copy, size - 1);
	struct sync_step *step = malloc(sizeof *step);
	struct sync_cookie *cookie = calloc(1, sizeof *cookie);
	must(step != NULL && cookie != NULL);
	sync_step_begin(step, cookie, &scope, STR("ldap://a"), data[0] & 4);
	struct sync_state state;
	struct str rest, content;
	switch (data[0] & 3) {
	case 0:
		if (sync_state_parse(bytes, &state)) {
			check_borrowed(state.cookie, bytes);
			check_cookie(state.cookie);
			(void)sync_step_state(step, &state);
		}
		break;
	case 1:
		one_info(step, bytes);
		break;
	case 2:
		rest = bytes;
		while (sync_wire_take(&rest, SYNC_WIRE_OCTETS, &content) || sync_wire_take(&rest, SYNC_WIRE_SET, &content))
			check_borrowed(content, bytes);
		break;
	case 3:
		(void)sync_cookie_read(bytes, cookie);
		check_cookie(bytes);
		step->cookie = *cookie;
		break;
	}
	must(sync_step_end(step, data[0]) == SYNC_FAIL);
	must(sync_step_check_server(&step->cookie, &step->cookie.csns) == SYNC_SERVER_GOOD);
	check_request(bytes);
	check_stored(&step->cookie);
	free(cookie);
	free(step);
	free(copy);
	return 0;
}
