// SPDX-License-Identifier: Apache-2.0
// Connections between fibers: lines, much at once, time that is over, cancels, connecting.
#include "test_conn.h"

// --- Plain talk ---

static void lines_go_back_and_forth(void **state)
{
	(void)state;
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct talk talk = {.serve = echo_lines, .ask = asks_lines, .bytewise = bytewise};
		run_talk(&talk);
		assert_int_equal(talk.code, ERR_CLOSED);
		assert_int_equal(talk.n, 10 * 5 * 8);
	}
}

static void a_slow_reader_holds_the_writer_back(void **state)
{
	(void)state;
	struct talk talk = {.serve = sends_much, .ask = reads_much_late};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
}

// --- Time and cancelling ---

static void waits_in_vain(struct conn *conn, struct talk *talk)
{
	struct str line;
	enum conn_eol eol;
	conn_set_idle_ms(conn, 10);
	must(conn_read_line(conn, 100, &line, &eol, &talk->err) == ERR_TIMEOUT);
	must(talk->err.code == ERR_TIMEOUT && talk->err.text[0]);
	conn_set_idle_ms(conn, 100000);
	conn_set_deadline_ms(conn, clock_after_ms(10));
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_TIMEOUT);
	conn_set_deadline_ms(conn, CLOCK_NEVER);
	conn_write(conn, STR("250 go on\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	// A byte now and then keeps the idle time from passing, but not the deadline (THREATS slow).
	conn_set_idle_ms(conn, 1000);
	conn_set_deadline_ms(conn, clock_after_ms(30));
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_TIMEOUT);
	// The line that was too long goes on being too long after a timeout.
	conn_set_deadline_ms(conn, CLOCK_NEVER);
	conn_set_idle_ms(conn, 100000);
	conn_write(conn, STR("250 go on\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_LIMIT);
	must_line(conn, STR("NOOP"));
	conn_write(conn, STR("421 too slow\r\n"));
	conn_close(&conn, 1000);
	talk->n++;
}

static void drips(struct conn *conn, struct talk *talk)
{
	char many[2000];
	memset(many, 'M', sizeof many);
	must_line(conn, STR("250 go on"));
	conn_write(conn, str_of(many, sizeof many));
	while (conn_wait(conn, FIBER_READABLE, clock_after_ms(5)) == FIBER_TIMEOUT) {
		conn_write(conn, STR("M"));
		must(conn_flush(conn, NULL) == ERR_OK);
	}
	must_line(conn, STR("250 go on"));
	conn_write(conn, STR("RCPT\r\nNOOP\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("421 too slow"));
	conn_close(&conn, 0);
	talk->n++;
}

static void silence_and_slowness_time_out(void **state)
{
	(void)state;
	struct talk talk = {.serve = waits_in_vain, .ask = drips};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
}

enum { IN_READ, IN_WRITE, IN_WAIT, IN_HANDSHAKE, IN_KINDS };

static void is_cancelled_somewhere(struct conn *conn, struct talk *talk)
{
	struct str line;
	enum conn_eol eol;
	char *big;
	switch (talk->n) {
	case IN_READ:
		must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_CANCELLED);
		must(conn_read_line(conn, 100, &line, &eol, NULL) == ERR_CANCELLED);
		conn_write(conn, STR("421 bye\r\n"));
		break;
	case IN_WRITE:
		big = calloc(1, 4 << 20);
		must(conn_write_through(conn, str_of(big, 4 << 20)) == ERR_CANCELLED);
		must(conn_write(conn, STR("250 torn\r\n")) == ERR_CANCELLED); // nothing may follow half a body
		free(big);
		break;
	case IN_WAIT:
		must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, CLOCK_NEVER) == FIBER_CANCELLED);
		conn_write(conn, STR("* BYE\r\n"));
		break;
	case IN_HANDSHAKE:
		must(conn_tls_accept(conn, talk->server, NULL, &talk->err) == ERR_CANCELLED);
		break;
	}
	conn_close(&conn, 100);
}

static void cancels_the_other(struct conn *conn, struct talk *talk)
{
	struct str chunk;
	must(fiber_sleep_ms(5) == FIBER_TIMEOUT);
	fiber_cancel(talk->serving);
	if (talk->n == IN_READ)
		must_line(conn, STR("421 bye"));
	if (talk->n == IN_WAIT)
		must_line(conn, STR("* BYE"));
	while (conn_read_some(conn, 100000, &chunk, NULL) == ERR_OK)
		;
	conn_close(&conn, 0);
}

static void a_cancel_ends_every_wait_and_last_words_are_said(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	for (size_t kind = 0; kind < IN_KINDS; kind++) {
		struct talk talk = {.serve = is_cancelled_somewhere, .ask = cancels_the_other, .server = server, .n = kind};
		run_talk(&talk);
	}
	tls_server_drop(&server);
}

// An IDLE: waits for the peer and for messages, and holds no buffers meanwhile.
static void idles(struct conn *conn, struct talk *talk)
{
	must_line(conn, STR("IDLE"));
	must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, clock_after_ms(20000)) == FIBER_MESSAGE);
	must(conn->in == NULL && conn->out.p == NULL);
	conn_printf(conn, "* 1 EXISTS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must(conn_wait(conn, FIBER_READABLE | FIBER_MESSAGE, clock_after_ms(20000)) == FIBER_READABLE);
	must_line(conn, STR("DONE"));
	must(conn_wait(conn, FIBER_READABLE, clock_after_ms(1)) == FIBER_TIMEOUT);
	conn_close(&conn, 0);
	talk->n++;
}

static void sends_a_message(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "IDLE\r\n");
	must(conn_flush(conn, NULL) == ERR_OK && fiber_sleep_ms(5) == FIBER_TIMEOUT);
	fiber_wake(talk->serving);
	must_line(conn, STR("* 1 EXISTS"));
	conn_printf(conn, "DONE\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	struct str chunk;
	must(conn_read_some(conn, 1, &chunk, NULL) == ERR_CLOSED);
	conn_close(&conn, 0);
}

static void an_idle_connection_hears_messages_and_its_peer(void **state)
{
	(void)state;
	struct talk talk = {.serve = idles, .ask = sends_a_message};
	run_talk(&talk);
	assert_int_equal(talk.n, 1);
}

// --- Connecting ---

struct outgoing {
	struct netaddr addr;
	struct worker_pool *pool;
	int ended;
};

static void connects(void *arg)
{
	struct outgoing *out = arg;
	struct conn *conn = NULL;
	struct err err = {0};
	must(conn_connect(&out->addr, NULL, clock_after_ms(10000), &conn, &err) == ERR_OK);
	must(netaddr_same_host(conn_peer(conn), &out->addr) && conn_peer(conn)->port == out->addr.port);
	must(netaddr_is_loopback(conn_local(conn)));
	conn_close(&conn, 0);
	must(conn_connect_host(out->pool, STR("127.0.0.1"), out->addr.port, clock_after_ms(10000), &conn, &err) == ERR_OK);
	conn_close(&conn, 0);
	must(conn_connect_host(out->pool, STR("localhost"), out->addr.port, clock_after_ms(10000), &conn, &err) == ERR_OK);
	conn_close(&conn, 0);
	struct netaddr closed = out->addr;
	closed.port = 1;
	must(conn_connect(&closed, NULL, clock_after_ms(10000), &conn, &err) == ERR_CONNECT && conn == NULL);
	must(strstr(err.text, "127.0.0.1:1: connect: ") != NULL);
	must(conn_connect_unix(STR("/nonexistent/socket"), clock_after_ms(10000), &conn, &err) == ERR_CONNECT);
	struct netaddr bind_to = {.family = NETADDR_IPV4, .ip = {127, 0, 0, 3}};
	must(conn_connect(&out->addr, &bind_to, clock_after_ms(10000), &conn, &err) == ERR_OK);
	must(conn_local(conn)->ip[3] == 3);
	conn_close(&conn, 0);
	out->ended++;
}

static void connecting_works_or_says_why(void **state)
{
	(void)state;
	struct outgoing out = {0};
	int fd;
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &out.addr));
	assert_int_equal(listen_open(&out.addr, 16, &fd, &out.addr, NULL), ERR_OK);
	assert_int_equal(worker_pool_new("resolve", 1, 4, &out.pool, NULL), ERR_OK);
	run(connects, &out);
	assert_int_equal(out.ended, 1);
	worker_pool_free(&out.pool);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_go_back_and_forth),
		cmocka_unit_test(a_slow_reader_holds_the_writer_back),
		cmocka_unit_test(silence_and_slowness_time_out),
		cmocka_unit_test(a_cancel_ends_every_wait_and_last_words_are_said),
		cmocka_unit_test(an_idle_connection_hears_messages_and_its_peer),
		cmocka_unit_test(connecting_works_or_says_why),
	};
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
