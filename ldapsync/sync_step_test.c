// SPDX-License-Identifier: Apache-2.0
// The step machine of a persistent search, message by message: what goes and when (I5), what may be stored as cookie (I3, I7), which server is
// not loaded from (I4), when a copy is confirmed (I8).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "heartbeat.h"
#include "sync_step.h"

#define A1 "20261122010203.000001Z#000000#001#000000"
#define A2 "20261122010203.000002Z#000000#001#000000"
#define B1 "20251122010203.000001Z#000000#002#000000"
#define URI "ldap://one"

static const struct guid scope = {.b = {1}};

static struct sync_cookie stored(const char *csns)
{
	struct sync_cookie cookie = {.scope = scope, .usable = csns[0] != '\0', .uri = URI};
	assert_true(csns_parse(str_of_c(csns), &cookie.csns));
	return cookie;
}

static void begin(struct sync_step *step, const char *csns)
{
	struct sync_cookie cookie = stored(csns);
	sync_step_begin(step, &cookie, &scope, STR(URI), csns[0] != '\0');
}

static enum sync_do entry(struct sync_step *step, enum sync_change change, const char *cookie)
{
	struct sync_state state = {.change = change, .cookie = cookie ? str_of_c(cookie) : STR_NONE};
	return sync_step_state(step, &state);
}

static enum sync_do info(struct sync_step *step, enum sync_info_kind kind, bool done, bool deletes, const char *cookie)
{
	struct sync_info message = {.kind = kind, .refresh_done = done, .refresh_deletes = deletes, .cookie = cookie ? str_of_c(cookie) : STR_NONE};
	return sync_step_info(step, &message);
}

// The cookie that would be sent to a server after this one is stored.
static void assert_sends(const struct sync_cookie *cookie, const char *uri, const char *wanted)
{
	struct buf request;
	buf_init(&request, 8000);
	sync_cookie_request(cookie, &scope, str_of_c(uri), &request);
	assert_string_equal(buf_c(&request), wanted);
	buf_fini(&request);
}

static void a_full_load_purges_at_its_end_alone(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, "");
	assert_int_equal(entry(&step, SYNC_ADD, NULL), SYNC_PUT);
	assert_int_equal(entry(&step, SYNC_ADD, "rid=000,csn=" A1), SYNC_PUT);
	assert_false(step.cookie.usable); // not before the end (I2)
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, "rid=000,sid=001,csn=" A2), SYNC_FINISH); // so OpenLDAP ends it
	assert_true(step.purge);
	assert_false(step.refreshing);
	assert_sends(&step.cookie, URI, "rid=000,csn=" A2);
	assert_sends(&step.cookie, "ldap://other", "rid=000,csn=" A2); // CSNs mean the same to all
}

static void with_a_cookie_only_the_present_phase_purges(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, A1);
	assert_int_equal(info(&step, SYNC_ID_SET, false, true, NULL), SYNC_DROP_ALL);
	assert_int_equal(entry(&step, SYNC_MODIFY, NULL), SYNC_PUT);
	assert_int_equal(entry(&step, SYNC_DELETE, NULL), SYNC_DROP);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, "rid=000,csn=" A2), SYNC_FINISH);
	assert_false(step.purge);

	begin(&step, A1);
	assert_int_equal(entry(&step, SYNC_PRESENT, NULL), SYNC_KEEP);
	assert_int_equal(info(&step, SYNC_ID_SET, false, false, NULL), SYNC_KEEP_ALL);
	assert_int_equal(info(&step, SYNC_REFRESH_PRESENT, true, false, "rid=000,csn=" A2), SYNC_FINISH);
	assert_true(step.purge);

	begin(&step, A1); // present, then delete: RFC 4533, 3.3.2
	assert_int_equal(info(&step, SYNC_REFRESH_PRESENT, false, false, NULL), SYNC_NOTHING);
	assert_true(step.refreshing);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, "rid=000,csn=" A2), SYNC_FINISH);
	assert_true(step.purge);
}

static void persist_cookies_are_merged(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, A1 ";" B1);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, "rid=000,csn=" A1 ";" B1), SYNC_FINISH);
	assert_int_equal(entry(&step, SYNC_MODIFY, "rid=000,sid=001,csn=" A2), SYNC_PUT); // one SID is named, the other stays (I3)
	assert_sends(&step.cookie, URI, "rid=000,csn=" A2 ";" B1);
	assert_int_equal(info(&step, SYNC_NEW_COOKIE, false, false, "rid=000,csn=" A1), SYNC_COMMIT); // never back
	assert_sends(&step.cookie, URI, "rid=000,csn=" A2 ";" B1);
	assert_int_equal(entry(&step, SYNC_PRESENT, NULL), SYNC_NOTHING);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, NULL), SYNC_FAIL); // twice
}

static void without_a_closing_cookie_the_next_search_loads_all(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, A1);
	assert_int_equal(entry(&step, SYNC_ADD, NULL), SYNC_PUT);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, NULL), SYNC_FINISH);
	assert_sends(&step.cookie, URI, "");
	assert_int_equal(step.cookie.csns.n, 1); // still known, so that a lagging server is seen (I4)
	begin(&step, "");
	assert_int_equal(info(&step, SYNC_REFRESH_PRESENT, true, false, "rid=000"), SYNC_FINISH); // an empty OpenLDAP
	assert_sends(&step.cookie, URI, "");
}

static void a_search_without_news_leaves_the_cookie(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, A1);
	assert_int_equal(info(&step, SYNC_REFRESH_DELETE, true, false, NULL), SYNC_FINISH);
	assert_sends(&step.cookie, URI, "rid=000,csn=" A1);
	assert_int_equal(entry(&step, SYNC_MODIFY, NULL), SYNC_PUT);
	assert_sends(&step.cookie, URI, ""); // news without a cookie (I7)
	begin(&step, A1);
	assert_int_equal(info(&step, SYNC_REFRESH_PRESENT, true, false, NULL), SYNC_FINISH); // nobody is there: that is news
	assert_sends(&step.cookie, URI, "");
}

static void an_opaque_cookie_is_of_its_server(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, "");
	assert_int_equal(info(&step, SYNC_REFRESH_PRESENT, true, false, "one:389#cn=x:dc=y:(a=b)#7"), SYNC_FINISH);
	assert_sends(&step.cookie, URI, "one:389#cn=x:dc=y:(a=b)#7");
	assert_sends(&step.cookie, "ldap://other", "");
	char large[SYNC_OPAQUE_BYTES_MAX + 2];
	memset(large, 'x', sizeof large);
	large[sizeof large - 1] = '\0';
	assert_int_equal(info(&step, SYNC_NEW_COOKIE, false, false, large), SYNC_FAIL);
}

static void ends_of_a_search(void **state)
{
	(void)state;
	struct sync_step step;
	begin(&step, A1);
	assert_int_equal(sync_step_end(&step, SYNC_REFRESH_REQUIRED), SYNC_RELOAD); // I7
	assert_int_equal(sync_step_end(&step, 0), SYNC_FAIL);
	assert_int_equal(sync_step_end(&step, 4), SYNC_FAIL); // threat ldap-partial: a size limit
}

static void a_server_that_lacks_changes_is_left(void **state)
{
	(void)state;
	const struct {
		const char *held, *server;
		enum sync_server wanted;
	} cases[] = {
		{"", "", SYNC_SERVER_GOOD}, {"", A1, SYNC_SERVER_GOOD}, {A1, A1, SYNC_SERVER_GOOD}, {A1, A2, SYNC_SERVER_GOOD}, {A2, A1, SYNC_SERVER_LAGS},
		{A1 ";" B1, A2, SYNC_SERVER_LAGS}, {A1, "", SYNC_SERVER_MUTE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sync_cookie held = stored(cases[i].held), server = stored(cases[i].server);
		assert_int_equal(sync_step_check_server(&held, &server.csns), cases[i].wanted);
		held.usable = false; // whether the cookie can be sent does not matter
		assert_int_equal(sync_step_check_server(&held, &server.csns), cases[i].wanted);
	}
}

static void a_stored_cookie_is_whole_or_none(void **state)
{
	(void)state;
	struct buf text;
	struct sync_cookie cookie = stored(A1 ";" B1), back;
	buf_init(&text, 8000);
	assert_true(sync_cookie_write(&cookie, &text));
	assert_true(sync_cookie_read(buf_str(&text), &back));
	assert_sends(&back, URI, "rid=000,csn=" A1 ";" B1);
	assert_string_equal(back.uri, URI);
	for (size_t i = 0; i < text.n; i++) { // any byte
		text.p[i] ^= 1;
		assert_false(sync_cookie_read(buf_str(&text), &back));
		assert_sends(&back, URI, "");
		text.p[i] ^= 1;
	}
	for (size_t n = 0; n < text.n; n++)
		assert_false(sync_cookie_read(str_upto(buf_str(&text), n), &back));
	assert_false(sync_cookie_read(STR("ldif 1 2 3 4 5.6 7.8"), &back));
	struct guid other = {.b = {2}}; // another base, filter, schema
	struct buf request;
	buf_init(&request, 8000);
	sync_cookie_request(&cookie, &other, STR(URI), &request);
	assert_int_equal(request.n, 0);
	buf_fini(&request);
	buf_clear(&text);
	cookie = (struct sync_cookie){.scope = scope, .usable = true, .opaque = "a b", .opaque_n = 3, .uri = URI};
	assert_true(sync_cookie_write(&cookie, &text));
	assert_true(sync_cookie_read(buf_str(&text), &back));
	assert_sends(&back, URI, "a b");
	buf_clear(&text);
	cookie = (struct sync_cookie){.scope = scope, .usable = true, .polled = "a 1 2", .uri = URI};
	assert_true(sync_cookie_write(&cookie, &text));
	assert_true(sync_cookie_read(buf_str(&text), &back));
	assert_string_equal(back.polled, "a 1 2");
	assert_sends(&back, URI, ""); // no server is sent what was polled
	buf_fini(&text);
}

static void heartbeats(void **state)
{
	(void)state;
	struct heartbeat heartbeat;
	struct csns none = {0}, a1 = stored(A1).csns, a2 = stored(A2).csns;
	heartbeat_begin(&heartbeat);
	heartbeat_sent(&heartbeat, &a1, 1000);
	assert_int_equal(heartbeat_answered(&heartbeat, &a1, &a1, 1001), HEARTBEAT_EQUAL);
	assert_int_equal(heartbeat_lag_ms(&heartbeat, 5000), 0);
	heartbeat_sent(&heartbeat, &a1, 3000);
	assert_int_equal(heartbeat_answered(&heartbeat, &a2, &a1, 3001), HEARTBEAT_BEHIND);
	assert_int_equal(heartbeat_lag_ms(&heartbeat, 3101), 100);
	assert_false(heartbeat_advanced(&heartbeat, &a1));
	assert_true(heartbeat_advanced(&heartbeat, &a2)); // the change came: confirmed as of the question
	assert_int_equal(heartbeat.answer_of_ms, 3000);
	assert_int_equal(heartbeat_lag_ms(&heartbeat, 3101), 0);
	heartbeat_sent(&heartbeat, &a1, 5000); // a change overtakes the answer: no server that went back
	assert_int_equal(heartbeat_answered(&heartbeat, &a1, &a2, 5001), HEARTBEAT_EQUAL);
	heartbeat_sent(&heartbeat, &a2, 7000);
	assert_int_equal(heartbeat_answered(&heartbeat, &a1, &a2, 7001), HEARTBEAT_BACK);
	heartbeat_sent(&heartbeat, &a2, 9000);
	assert_int_equal(heartbeat_answered(&heartbeat, &none, &a2, 9001), HEARTBEAT_MUTE);
	heartbeat_begin(&heartbeat);
	heartbeat_sent(&heartbeat, &none, 1000); // a server without CSNs: that it answers is all there is
	assert_int_equal(heartbeat_answered(&heartbeat, &none, &none, 1001), HEARTBEAT_EQUAL);
}

static void a_refresh_that_never_ends(void **state)
{
	(void)state;
	struct {
		struct sync_step step;
		struct sync_cookie stored;
	} *f = calloc(1, sizeof *f);
	char set[10 * 18];
	for (size_t i = 0; i < 10; i++)
		memcpy(set + 18 * i, "\x04\x10" "0123456789abcdef", 18);
	const struct sync_info present = {.kind = SYNC_ID_SET, .uuids = {set, sizeof set}};
	sync_step_begin(&f->step, &f->stored, &scope, STR("ldap://a"), false);
	for (size_t i = 0; i < 1000000; i++)
		assert_int_equal(sync_step_info(&f->step, &present), SYNC_KEEP_ALL);
	assert_int_equal(f->step.mentions, 10000000);
	assert_false(sync_step_is_endless(&f->step, 0));
	const struct sync_state put = {.change = SYNC_ADD};
	assert_int_equal(sync_step_state(&f->step, &put), SYNC_PUT);
	assert_true(sync_step_is_endless(&f->step, 0));
	assert_false(sync_step_is_endless(&f->step, 1)); // of a larger directory more is plausible
	f->step.refreshing = false;
	assert_false(sync_step_is_endless(&f->step, 0));
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_load_purges_at_its_end_alone),
		cmocka_unit_test(with_a_cookie_only_the_present_phase_purges),
		cmocka_unit_test(persist_cookies_are_merged),
		cmocka_unit_test(without_a_closing_cookie_the_next_search_loads_all),
		cmocka_unit_test(a_search_without_news_leaves_the_cookie),
		cmocka_unit_test(an_opaque_cookie_is_of_its_server),
		cmocka_unit_test(ends_of_a_search),
		cmocka_unit_test(a_server_that_lacks_changes_is_left),
		cmocka_unit_test(a_stored_cookie_is_whole_or_none),
		cmocka_unit_test(heartbeats),
		cmocka_unit_test(a_refresh_that_never_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
