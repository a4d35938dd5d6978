// SPDX-License-Identifier: Apache-2.0
// The outbox: what a delivery sends is there once, until it is sent; who was answered is remembered; which mailboxes send.
#include "test_store.h"

#include "base/file.h"
#include "mailbox_private.h"
#include "outbox.h"
#include "outbox_data.h"

static const int64_t now_ms = 1795286655000, hour_ms = 3600 * 1000;

static struct outbox_item item_to(const char *key, int64_t at_ms, int64_t since_ms)
{
	return (struct outbox_item){.kind = STR("vacation"), .key = str_of_c(key), .guid = test_id(77), .made_ms = at_ms, .until_ms = at_ms + hour_ms,
		.since_ms = since_ms, .data = str_of_c(key)};
}

// Delivers a message to mailbox 1 under a key; it sends the item.
static enum outbox_fate deliver(unsigned key, struct outbox_item item)
{
	struct incoming *body = test_incoming(str_of_c(test_message));
	struct delivery delivery = test_delivery(1, key, body);
	delivery.sends = &item;
	store_deliver(test_store, &delivery, 1);
	assert_int_equal(delivery.code, ERR_OK);
	incoming_free(&body);
	return item.fate;
}

// The keys of what waits in mailbox 1: "a b ".
static const char *waiting(void)
{
	static char text[256];
	struct guid id = test_id(1);
	struct outbox_row row, after = {.kind = STR("")};
	struct err err;
	bool found = true;
	size_t n = 0;
	text[0] = '\0';
	while (found) {
		assert_int_equal(outbox_next(test_store, &id, &after, test_arena, &row, &found, &err), ERR_OK);
		if (!found)
			break;
		assert_true(str_eq(row.key, row.data));
		n += (size_t)snprintf(text + n, sizeof text - n, "%.*s ", STR_FMT(row.key));
		after = row;
	}
	return text;
}

static void send_one(const char *key, struct guid guid)
{
	struct guid id = test_id(1);
	struct err err;
	const struct outbox_row row = {.kind = STR("vacation"), .key = str_of_c(key), .guid = guid};
	assert_int_equal(outbox_sent(test_store, &id, &row, &err), ERR_OK);
}

static bool is_listed(unsigned mailbox)
{
	struct guid ids[8], id = test_id(mailbox);
	struct err err;
	size_t n;
	assert_int_equal(outbox_mailboxes(test_store, NULL, ids, 8, &n, &err), ERR_OK);
	for (size_t i = 0; i < n; i++)
		if (guid_eq(&ids[i], &id))
			return true;
	return false;
}

static void settle(unsigned mailbox)
{
	struct guid id = test_id(mailbox);
	struct err err;
	assert_int_equal(outbox_settle(test_store, &id, &err), ERR_OK);
}

static void an_item_waits_until_it_is_sent(void **state)
{
	(void)state;
	assert_int_equal(deliver(1, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
	assert_int_equal(deliver(2, item_to("kim", now_ms, 0)), OUTBOX_ADDED);
	assert_string_equal(waiting(), "kim pat ");
	settle(1);
	assert_true(is_listed(1));
	test_reopen();
	assert_string_equal(waiting(), "kim pat ");
	assert_true(is_listed(1));
	send_one("kim", test_id(77));
	assert_string_equal(waiting(), "pat ");
	send_one("pat", test_id(78)); // another one's
	assert_string_equal(waiting(), "pat ");
	send_one("pat", test_id(77));
	assert_string_equal(waiting(), "");
	assert_true(is_listed(1));
	settle(1);
	assert_false(is_listed(1));
}

static void who_was_answered_is_remembered(void **state)
{
	(void)state;
	assert_int_equal(deliver(1, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
	send_one("pat", test_id(77));
	settle(1);
	assert_int_equal(deliver(2, item_to("pat", now_ms + 5, now_ms - 5)), OUTBOX_KNOWN);
	assert_string_equal(waiting(), "");
	assert_false(is_listed(1)); // nothing was written for it
	assert_int_equal(deliver(3, item_to("pat", now_ms + 10, now_ms + 1)), OUTBOX_ADDED); // the interval is over
	assert_string_equal(waiting(), "pat ");
	assert_int_equal(deliver(4, item_to("pat", now_ms - 1000, 0)), OUTBOX_ADDED); // the clock was set back
	assert_int_equal(deliver(1, item_to("lee", now_ms, 0)), OUTBOX_NONE); // the message is known: a second try of the front-end
	assert_string_equal(waiting(), "pat ");
}

static void an_hour_has_its_limit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		char key[2] = {(char)('a' + i), '\0'};
		struct outbox_item item = item_to(key, now_ms + i, 0);
		item.hour_max = 3;
		assert_int_equal(deliver(1 + i, item), i < 3 ? OUTBOX_ADDED : OUTBOX_MANY);
	}
	struct outbox_item later = item_to("d", now_ms + hour_ms + 1, 0);
	later.hour_max = 3;
	assert_int_equal(deliver(9, later), OUTBOX_ADDED);
	assert_string_equal(waiting(), "a b c d ");
}

static void two_at_once_are_one(void **state)
{
	(void)state;
	struct incoming *body = test_incoming(str_of_c(test_message));
	static struct delivery two[2];
	static struct outbox_item items[2];
	for (unsigned i = 0; i < 2; i++) {
		items[i] = item_to("pat", now_ms, 0);
		two[i] = test_delivery(1, 1 + i, body);
		two[i].sends = &items[i];
	}
	store_deliver(test_store, two, 2);
	incoming_free(&body);
	assert_int_equal(items[0].fate, OUTBOX_ADDED);
	assert_int_equal(items[1].fate, OUTBOX_KNOWN);
}

static void a_refused_message_is_not_answered(void **state)
{
	(void)state;
	test_deliver(1, 1);
	struct incoming *body = test_incoming(str_of_c(test_message));
	struct outbox_item item = item_to("pat", now_ms, 0);
	struct delivery delivery = test_delivery(1, 2, body);
	delivery.quota.messages = 1;
	delivery.sends = &item;
	store_deliver(test_store, &delivery, 1);
	incoming_free(&body);
	assert_int_equal(delivery.code, ERR_QUOTA);
	assert_int_equal(item.fate, OUTBOX_NONE);
	assert_string_equal(waiting(), "");
	settle(1);
	assert_false(is_listed(1));
}

static void a_mailbox_is_not_taken_off_under_a_delivery(void **state)
{
	(void)state;
	test_deliver(1, 1);
	struct guid id = test_id(1);
	struct strand *strand = strand_get(test_store, &id);
	assert_int_equal(deliver(2, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
	send_one("pat", test_id(77));
	strand->sends_open = 1; // a delivery has listed it, and is not committed
	settle(1);
	assert_true(is_listed(1));
	strand->sends_open = 0;
	settle(1);
	assert_false(is_listed(1));
	strand_drop(strand);
	settle(2); // one that never was
}

static void a_lost_list_is_made_anew(void **state)
{
	(void)state;
	assert_int_equal(deliver(1, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
	store_close(&test_store);
	static const char *const names[] = {"node.db", "node.db-wal"};
	for (size_t i = 0; i < 2; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s", test_dir, names[i]);
		unlink(path);
	}
	test_open(4, 100);
	assert_true(is_listed(1));
	assert_string_equal(waiting(), "pat ");
}

static void what_is_over_is_forgotten(void **state)
{
	(void)state;
	struct guid cursor = {0};
	struct err err;
	assert_int_equal(deliver(1, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
	assert_int_equal(deliver(2, item_to("kim", now_ms, 0)), OUTBOX_ADDED);
	send_one("pat", test_id(77));
	assert_int_equal(store_tidy(test_store, now_ms + 2 * hour_ms, 10, &cursor, &err), ERR_OK);
	assert_string_equal(waiting(), "kim "); // what waits stays
	assert_int_equal(deliver(3, item_to("pat", now_ms, 0)), OUTBOX_ADDED);
}

static void data_comes_back(void **state)
{
	(void)state;
	struct buf out;
	struct outbox_data data = {.mail.from = addr_null(), .message = STR("Subject: x\r\n\r\ny\r\n")}, back;
	assert_int_equal(addr_parse(test_arena, STR("p\xc3\xa4t@else.example"), ADDR_UTF8, &data.rcpt.to), ADDR_OK);
	data.mail.smtputf8 = true;
	buf_init(&out, 1024);
	assert_true(outbox_data_write(&data, &out));
	assert_true(str_eq(buf_str(&out), STR("FROM:<> SMTPUTF8\r\nTO:<p\xc3\xa4t@else.example>\r\n\r\nSubject: x\r\n\r\ny\r\n")));
	assert_true(outbox_data_read(test_arena, buf_str(&out), &back));
	assert_true(addr_is_null(&back.mail.from) && back.mail.smtputf8 && addr_same(&back.rcpt.to, &data.rcpt.to) && str_eq(back.message, data.message));
	assert_false(outbox_data_read(test_arena, STR("FROM:<>\r\nTO:<a@b.example>\r\nx\r\n"), &back));
	assert_false(outbox_data_read(test_arena, STR("FROM:<>\r\n\r\n"), &back));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_item_waits_until_it_is_sent, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(who_was_answered_is_remembered, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(an_hour_has_its_limit, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(two_at_once_are_one, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(a_refused_message_is_not_answered, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(a_mailbox_is_not_taken_off_under_a_delivery, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(a_lost_list_is_made_anew, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(what_is_over_is_forgotten, test_setup, test_teardown),
		cmocka_unit_test_setup_teardown(data_comes_back, test_setup, test_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
