// SPDX-License-Identifier: Apache-2.0
// The sender over a store and front-ends of the test: who is asked in which order, what becomes of a message, what is left for another time.
#include <stdatomic.h>

#include "base/clock.h"
#include "base/listen.h"
#include "base/runtime.h"
#include "outbox.h"
#include "outbox_data.h"
#include "sender.h"
#include "server.h"
#include "test_store.h"
#include "test_settings.h"

enum { SERVERS = 2, PATIENCE = 2000 };

// A front-end; what it says can be changed while it serves.
struct server {
	_Atomic(const char *) greeting, to_rcpt; // NULL: 220, 250
	_Atomic bool mute;     // hangs up after a message, without a word
	_Atomic size_t got, connections, rcpts;
	int fd;
	uint16_t port;
	struct listen_service service;
};

static struct server servers[SERVERS];
static struct runtime *runtime;
static struct settings_snapshot *settings;
static struct popimap popimap;

static bool take_body(struct conn *conn)
{
	struct str line;
	enum conn_eol eol;
	struct err err;
	while (conn_read_line(conn, 65536, &line, &eol, &err) == ERR_OK)
		if (str_eq(line, STR(".")))
			return true;
	return false;
}

// False: hang up.
static bool answer(struct server *server, struct conn *conn, struct str line)
{
	struct err err;
	const char *to_rcpt = server->to_rcpt;
	if (str_starts(line, STR("RCPT"))) {
		server->rcpts++;
		conn_printf(conn, "%s\r\n", to_rcpt ? to_rcpt : "250 2.1.5 ok");
	} else if (str_eq(line, STR("DATA"))) {
		conn_printf(conn, "354 go\r\n");
		if (conn_flush(conn, &err) || !take_body(conn))
			return false;
		server->got++;
		if (server->mute)
			return false;
		conn_printf(conn, "250 2.0.0 queued\r\n");
	} else if (str_eq(line, STR("QUIT"))) {
		return false;
	} else {
		conn_printf(conn, "250 2.0.0 ok\r\n");
	}
	return true;
}

static void serve(struct conn *conn, void *arg)
{
	struct server *server = arg;
	struct str line;
	enum conn_eol eol;
	struct err err;
	const char *greeting = server->greeting;
	server->connections++;
	conn_printf(conn, "%s\r\n", greeting ? greeting : "220 mx ESMTP");
	while (conn_flush(conn, &err) == ERR_OK && conn_read_line(conn, 4096, &line, &eol, &err) == ERR_OK && answer(server, conn, line))
		;
	conn_close(&conn, 0);
}

static struct settings_snapshot *get_settings(void *arg)
{
	(void)arg;
	return settings_ref(settings);
}

static void configure(void)
{
	char text[512];
	int n = snprintf(text, sizeof text,
		"hostname = mb1.uni.example\nlisten_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\n"
		"submit_servers = {\"127.0.0.1:%u\", \"127.0.0.1:%u\"}\n", servers[0].port, servers[1].port);
	must(n > 0 && (size_t)n < sizeof text);
	settings = settings_of_text(text);
}

static void open_server(struct server *server)
{
	struct netaddr any, local;
	struct err err;
	*server = (struct server){.service = {.name = "mx", .serve = serve}};
	server->service.arg = server;
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &any));
	assert_int_equal(listen_open(&any, 100, &server->fd, &local, &err), ERR_OK);
	server->port = local.port;
	assert_int_equal(runtime_listen(runtime, &server->service, server->fd, &err), ERR_OK);
}

static int setup(void **state)
{
	struct err err;
	int failed = test_setup(state);
	assert_int_equal(runtime_new(&(struct runtime_config){.name = "test", .schedulers = 2, .workers = 2}, &runtime, &err), ERR_OK);
	for (size_t i = 0; i < SERVERS; i++)
		open_server(&servers[i]);
	configure();
	popimap = (struct popimap){.store = test_store, .settings_get = get_settings};
	popimap.sender = sender_new(&popimap, runtime_workers(runtime));
	return failed;
}

static void start(void)
{
	assert_true(runtime_spawn(runtime, sender_run, popimap.sender, "sender"));
}

static int teardown(void **state)
{
	runtime_stop(runtime, 5000);
	int failed = test_teardown(state); // the store's threads answer calls of fibers
	sender_free(&popimap.sender);
	runtime_free(&runtime);
	for (size_t i = 0; i < SERVERS; i++)
		close(servers[i].fd);
	settings_unref(&settings);
	return failed;
}

// A delivery into a mailbox, which sends to pat.
static void deliver(unsigned mailbox, unsigned key, int64_t made_ms)
{
	struct outbox_data data = {.mail.from = addr_null(), .message = STR("Subject: x\r\n\r\ny\r\n")};
	struct buf bytes;
	struct incoming *body = test_incoming(str_of_c(test_message));
	struct delivery delivery = test_delivery(mailbox, key, body);
	buf_init(&bytes, 4096);
	assert_int_equal(addr_parse(test_arena, STR("pat@else.example"), 0, &data.rcpt.to), ADDR_OK);
	assert_true(outbox_data_write(&data, &bytes));
	struct outbox_item item = {.kind = STR(SENDER_VACATION), .key = STR("pat@else.example"), .guid = test_id(70 + key), .made_ms = made_ms,
		.until_ms = made_ms + 1000000000, .data = buf_str(&bytes)};
	delivery.sends = &item;
	store_deliver(test_store, &delivery, 1);
	assert_int_equal(item.fate, OUTBOX_ADDED);
	incoming_free(&body);
	buf_fini(&bytes);
}

static bool waits_in(unsigned mailbox)
{
	struct guid id = test_id(mailbox);
	struct outbox_row row, after = {.kind = STR("")};
	struct err err;
	bool found;
	arena_reset(test_arena);
	assert_int_equal(outbox_next(test_store, &id, &after, test_arena, &row, &found, &err), ERR_OK);
	return found;
}

static void await(const char *what, _Atomic size_t *count, size_t n)
{
	for (int i = 0; i < PATIENCE && *count < n; i++)
		usleep(10000);
	if (*count < n)
		fail_msg("%s: %zu of %zu", what, *count, n);
}

static void await_sent(unsigned mailbox)
{
	for (int i = 0; i < PATIENCE && waits_in(mailbox); i++)
		usleep(10000);
	assert_false(waits_in(mailbox));
}

static void the_first_that_takes_it_has_it(void **state)
{
	(void)state;
	deliver(1, 1, clock_wall_ms());
	start(); // its first look is at all mailboxes
	await("the first", &servers[0].got, 1);
	await_sent(1);
	deliver(2, 2, clock_wall_ms());
	struct guid id = test_id(2);
	sender_wake(popimap.sender, &id);
	await("and again", &servers[0].got, 2);
	await_sent(2);
	assert_int_equal(servers[1].connections, 0);
}

static void one_that_greets_nobody_is_passed_over(void **state)
{
	(void)state;
	servers[0].greeting = "421 4.3.2 not now";
	deliver(1, 1, clock_wall_ms());
	start();
	await("the second", &servers[1].got, 1);
	await_sent(1);
	assert_int_equal(servers[0].got, 0);
}

// An Exim says no status: 550 relay not permitted. The reply goes by the other, and nothing is dropped.
static void one_that_does_not_let_us_relay_is_passed_over(void **state)
{
	(void)state;
	servers[0].to_rcpt = "550 relay not permitted";
	deliver(1, 1, clock_wall_ms());
	deliver(2, 2, clock_wall_ms());
	start();
	await("the second", &servers[1].got, 2);
	await_sent(1);
	await_sent(2);
	assert_int_equal(servers[0].rcpts, 1); // the other is asked first then
}

static void put_off_by_all_it_waits(void **state)
{
	(void)state;
	servers[0].to_rcpt = servers[1].to_rcpt = "451 4.7.1 later";
	deliver(1, 1, clock_wall_ms());
	start();
	await("the first", &servers[0].rcpts, 2); // a second round
	await("the second", &servers[1].rcpts, 1);
	assert_true(waits_in(1));
	servers[1].to_rcpt = NULL;
	await("the second takes it", &servers[1].got, 1);
	await_sent(1);
	assert_int_equal(servers[0].got, 0);
}

// It may be there: asking another one would make a second copy sure.
static void in_doubt_no_other_is_asked(void **state)
{
	(void)state;
	servers[0].mute = true;
	deliver(1, 1, clock_wall_ms());
	start();
	await("the first", &servers[0].got, 2); // a second later, again
	assert_int_equal(servers[1].connections, 0);
	assert_true(waits_in(1));
	servers[0].mute = false;
	await("the first says so", &servers[0].got, 3);
	await_sent(1);
}

static void what_is_refused_or_too_old_is_dropped(void **state)
{
	(void)state;
	servers[0].to_rcpt = "550 5.1.1 no such user";
	deliver(1, 1, clock_wall_ms());
	deliver(2, 2, clock_wall_ms() - INT64_C(25) * 3600 * 1000);
	start();
	await_sent(1);
	await_sent(2);
	assert_int_equal(servers[0].rcpts, 1);
	assert_int_equal(servers[1].connections, 0);
}

static void woken_too_often_it_looks_at_all(void **state)
{
	struct guid nobody = test_id(7);
	(void)state;
	start();
	deliver(1, 1, clock_wall_ms());
	for (unsigned i = 0; i < 4 * SENDER_WOKEN_MAX; i++)
		sender_wake(popimap.sender, &nobody);
	struct guid id = test_id(1);
	sender_wake(popimap.sender, &id);
	await("the first", &servers[0].got, 1);
	await_sent(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_that_takes_it_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_greets_nobody_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_does_not_let_us_relay_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(put_off_by_all_it_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(in_doubt_no_other_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused_or_too_old_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(woken_too_often_it_looks_at_all, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
