// SPDX-License-Identifier: Apache-2.0
// A daemon that serves connections: who serves whom, how many, how it stops, and sockets that it is given.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/call.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/random.h"
#include "base/runtime.h"
#include "base/thread.h"
#include "fiber_switch.h"
#include "metrics_base.h"

// --- A daemon ---

struct echo {
	_Atomic int sessions, slow;
};

// Echoes lines; "slow" lasts until the stop comes, and is shielded from it; "known" ends being a stranger.
static void echo_serve(struct conn *conn, void *arg)
{
	struct echo *echo = arg;
	struct str line;
	enum conn_eol eol;
	struct err err;
	atomic_fetch_add(&echo->sessions, 1);
	for (;;) {
		if (!conn_has_input(conn) && conn_flush(conn, &err))
			break;
		enum err_code code = conn_read_line(conn, 100, &line, &eol, &err);
		if (code == ERR_CANCELLED)
			conn_write(conn, STR("421 stopping\r\n"));
		if (code)
			break;
		fiber_shield_enter();
		for (bool slow = str_eq(line, STR("slow")); slow && !fiber_is_cancelled();) {
			atomic_store(&echo->slow, 1);
			must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
		}
		if (str_eq(line, STR("known")))
			listen_known();
		conn_printf(conn, "%.*s\r\n", STR_FMT(line));
		fiber_shield_leave();
	}
	conn_close(&conn, fiber_is_cancelled() ? 500 : 20000);
}

struct daemon_case {
	struct runtime *rt;
	struct echo echo;
	struct listen_service service;
	struct netaddr addr;
	int fd;
};

static void start_daemon(struct daemon_case *d, size_t connections_max, size_t per_address_max)
{
	struct limits limits;
	struct err err = {0};
	*d = (struct daemon_case){0};
	limits_divide(4096, 65530, true, &limits);
	limits.connections_max = connections_max;
	d->service = (struct listen_service){
		.name = "echo", .serve = echo_serve, .arg = &d->echo, .refusal = STR("421 full\r\n")};
	assert_int_equal(runtime_new(&(struct runtime_config){.name = "test", .schedulers = 2, .workers = 2, .limits = &limits,
							      .per_address_max = per_address_max},
				     &d->rt, &err),
			 ERR_OK);
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &d->addr));
	assert_int_equal(listen_open(&d->addr, 128, &d->fd, &d->addr, &err), ERR_OK);
	assert_int_equal(runtime_listen(d->rt, &d->service, d->fd, &err), ERR_OK);
}

static void end_daemon(struct daemon_case *d, int64_t grace_ms)
{
	runtime_stop(d->rt, grace_ms);
	struct listen_stats stats;
	listen_stats(runtime_caps(d->rt), &stats);
	assert_int_equal(stats.connections, 0);
	runtime_free(&d->rt);
	close(d->fd);
}

static int connect_plain(const struct netaddr *addr)
{
	char sa[NETADDR_SOCKADDR_BYTES];
	size_t n = netaddr_to_sockaddr(addr, sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)sa, (socklen_t)n), 0);
	return fd;
}

static int connect_from(const char *from, const struct netaddr *addr)
{
	char sa[NETADDR_SOCKADDR_BYTES];
	struct netaddr own;
	assert_true(netaddr_parse(str_of_c(from), 0, &own));
	size_t n = netaddr_to_sockaddr(&own, sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)sa, (socklen_t)n), 0);
	n = netaddr_to_sockaddr(addr, sa);
	assert_int_equal(connect(fd, (struct sockaddr *)sa, (socklen_t)n), 0);
	return fd;
}

static void expect_text(int fd, const char *want)
{
	char got[128];
	size_t n = 0, bytes = strlen(want);
	while (n < bytes) {
		ssize_t some = read(fd, got + n, bytes - n);
		assert_true(some > 0);
		n += (size_t)some;
	}
	assert_memory_equal(got, want, bytes);
}

static void expect_end(int fd)
{
	char byte;
	assert_true(read(fd, &byte, 1) <= 0);
	close(fd);
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void sessions_are_served_and_stopped_in_order(void **state)
{
	(void)state;
	enum { SESSIONS = 40 };
	struct daemon_case d;
	int fds[SESSIONS];
	start_daemon(&d, 1000, 0);
	for (int i = 0; i < SESSIONS; i++) {
		fds[i] = connect_plain(&d.addr);
		say(fds[i], "one\r\ntwo\r\n");
	}
	for (int i = 0; i < SESSIONS; i++)
		expect_text(fds[i], "one\r\ntwo\r\n");
	assert_int_equal(atomic_load(&d.echo.sessions), SESSIONS);
	runtime_collect(d.rt);
	assert_int_equal(metric_read(&metric_connections), SESSIONS);
	assert_true(metric_read(&metric_fibers) >= SESSIONS);
	say(fds[0], "slow\r\nnever\r\n");
	while (atomic_load(&d.echo.slow) == 0)
		usleep(1000);
	for (int i = 1; i < SESSIONS; i += 2) { // half of the peers leave by themselves
		shutdown(fds[i], SHUT_WR);
		expect_end(fds[i]);
	}
	for (runtime_collect(d.rt); metric_read(&metric_fiber_stack_high_water) == 0; runtime_collect(d.rt)) // measured as fibers end
		usleep(1000);
	end_daemon(&d, 10000);
	expect_text(fds[0], "slow\r\n421 stopping\r\n"); // the command under way was finished, the next one not begun
	expect_end(fds[0]);
	for (int i = 2; i < SESSIONS; i += 2) {
		expect_text(fds[i], "421 stopping\r\n");
		expect_end(fds[i]);
	}
}

// --- Who serves whom ---

enum { PLACES = 4 };

struct places {
	struct runtime *rt;
	_Atomic int sessions[PLACES];
};

// Counts itself where it runs, and stays until its client goes.
static void count_serve(struct conn *conn, void *arg)
{
	struct places *places = arg;
	struct str line;
	enum conn_eol eol;
	unsigned i = 0;
	while (runtime_sched(places->rt, i) != sched_self())
		i++;
	atomic_fetch_add(&places->sessions[i], 1);
	must(conn_printf(conn, "hello\r\n") == ERR_OK && conn_flush(conn, NULL) == ERR_OK);
	must(conn_read_line(conn, 100, &line, &eol, NULL) != ERR_OK);
	conn_close(&conn, 0);
	atomic_fetch_sub(&places->sessions[i], 1);
}

static void expect_even(const struct places *places, int all)
{
	for (int i = 0; i < PLACES; i++)
		assert_int_equal(atomic_load(&places->sessions[i]), all / PLACES);
}

// However the kernel wakes them: each scheduler serves as many as the others, at the start and after some have gone.
static void connections_go_to_the_scheduler_with_the_fewest(void **state)
{
	(void)state;
	enum { CLIENTS = 200 };
	struct places places = {0};
	struct listen_service service = {.name = "count", .serve = count_serve, .arg = &places};
	struct netaddr addr;
	struct err err;
	int listening, fd[CLIENTS];
	assert_int_equal(runtime_new(&(struct runtime_config){.name = "test", .schedulers = PLACES, .workers = 1}, &places.rt, &err), ERR_OK);
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &addr));
	assert_int_equal(listen_open(&addr, 128, &listening, &addr, &err), ERR_OK);
	assert_int_equal(runtime_listen(places.rt, &service, listening, &err), ERR_OK);
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = connect_plain(&addr);
		expect_text(fd[i], "hello\r\n");
	}
	expect_even(&places, CLIENTS);
	for (int i = 0; i < CLIENTS; i += 2)
		close(fd[i]);
	struct listen_stats stats = {.connections = CLIENTS};
	while (stats.connections > CLIENTS / 2) {
		usleep(1000);
		listen_stats(runtime_caps(places.rt), &stats);
	}
	for (int i = 0; i < CLIENTS; i += 2) {
		fd[i] = connect_plain(&addr);
		expect_text(fd[i], "hello\r\n");
	}
	expect_even(&places, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	runtime_stop(places.rt, 1000);
	runtime_free(&places.rt);
	close(listening);
}

// A session that ends while its peer still talks: the peer gets an end, no reset that could swallow our last words.
static void what_is_not_read_does_not_reset_the_connection(void **state)
{
	(void)state;
	enum { UNREAD_BYTES = 300000 };
	struct daemon_case d;
	start_daemon(&d, 10, 0);
	int fd = connect_plain(&d.addr);
	char *unread = malloc(UNREAD_BYTES), byte;
	memset(unread, 'u', UNREAD_BYTES);
	unread[200] = '\n'; // a line over the limit ends the session
	assert_int_equal(write(fd, unread, UNREAD_BYTES), UNREAD_BYTES);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	free(unread);
	end_daemon(&d, 1000);
}

// Two services of one process: the cap of one does not touch the other, and what it refuses is counted nowhere else.
static void a_cap_of_a_service_is_its_own(void **state)
{
	(void)state;
	struct daemon_case d;
	struct listen_caps *own = listen_caps_new(2, 0);
	start_daemon(&d, 100, 0);
	struct listen_service capped = d.service;
	struct netaddr addr;
	int fd;
	capped.caps = own;
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &addr));
	assert_int_equal(listen_open(&addr, 128, &fd, &addr, NULL), ERR_OK);
	assert_int_equal(runtime_listen(d.rt, &capped, fd, NULL), ERR_OK);
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = connect_plain(i < 2 ? &addr : &d.addr);
		say(fds[i], "hello\r\n");
		expect_text(fds[i], "hello\r\n");
	}
	int over = connect_plain(&addr);
	expect_text(over, "421 full\r\n");
	expect_end(over);
	struct listen_stats stats;
	listen_stats(runtime_caps(d.rt), &stats);
	assert_int_equal(stats.connections, 3);
	end_daemon(&d, 100);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	listen_stats(own, &stats);
	assert_int_equal(stats.connections, 0);
	listen_caps_free(&own);
	close(fd);
}

static void a_cap_on_connections_refuses_politely(void **state)
{
	(void)state;
	struct daemon_case d;
	int fds[4];
	start_daemon(&d, 3, 0);
	for (int i = 0; i < 3; i++) {
		fds[i] = connect_plain(&d.addr);
		say(fds[i], "hello\r\n");
		expect_text(fds[i], "hello\r\n");
	}
	fds[3] = connect_plain(&d.addr);
	expect_text(fds[3], "421 full\r\n");
	expect_end(fds[3]);
	shutdown(fds[0], SHUT_WR);
	expect_end(fds[0]);
	struct listen_stats stats;
	do {
		usleep(1000);
		listen_stats(runtime_caps(d.rt), &stats);
	} while (stats.connections == 3);
	assert_int_equal(stats.refused_full, 1);
	fds[0] = connect_plain(&d.addr);
	say(fds[0], "again\r\n");
	expect_text(fds[0], "again\r\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	end_daemon(&d, 1000);
}

static void a_cap_for_each_address_spares_the_others(void **state)
{
	(void)state;
	struct daemon_case d;
	int fds[3];
	start_daemon(&d, 1000, 2);
	for (int i = 0; i < 2; i++) {
		fds[i] = connect_plain(&d.addr);
		say(fds[i], "hello\r\n");
		expect_text(fds[i], "hello\r\n");
	}
	int refused = connect_plain(&d.addr);
	expect_text(refused, "421 full\r\n");
	expect_end(refused);
	fds[2] = connect_from("127.0.0.2", &d.addr);
	say(fds[2], "other\r\n");
	expect_text(fds[2], "other\r\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	end_daemon(&d, 1000);
}

static bool is_127_0_0_2(const struct netaddr *peer, void *arg)
{
	char text[NETADDR_TEXT_BYTES];
	(void)arg;
	return strcmp(netaddr_text(peer, text), "127.0.0.2") == 0;
}

static void expect_welcome(int fd)
{
	say(fd, "hello\r\n");
	expect_text(fd, "hello\r\n");
}

static void caps_can_be_moved_and_some_addresses_have_none(void **state)
{
	(void)state;
	struct daemon_case d;
	struct listen_caps *own = listen_caps_new(100, 1);
	struct netaddr addr;
	int fd, fds[5];
	start_daemon(&d, 100, 0);
	struct listen_service capped = d.service;
	capped.caps = own;
	capped.is_exempt = is_127_0_0_2;
	assert_true(netaddr_parse(STR("127.0.0.1"), 0, &addr));
	assert_int_equal(listen_open(&addr, 128, &fd, &addr, NULL), ERR_OK);
	assert_int_equal(runtime_listen(d.rt, &capped, fd, NULL), ERR_OK);
	for (int i = 0; i < 3; i++)
		expect_welcome(fds[i] = connect_from(i < 2 ? "127.0.0.2" : "127.0.0.1", &addr));
	fds[3] = connect_plain(&addr);
	expect_text(fds[3], "421 full\r\n");
	close(fds[3]);
	listen_caps_set(own, 4, 2);
	expect_welcome(fds[3] = connect_plain(&addr));
	fds[4] = connect_from("127.0.0.2", &addr);
	expect_text(fds[4], "421 full\r\n"); // the cap on all is for the exempt too
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	end_daemon(&d, 1000);
	listen_caps_free(&own);
	close(fd);
}

static void only_strangers_count_for_their_address(void **state)
{
	(void)state;
	struct daemon_case d;
	int fds[3];
	start_daemon(&d, 100, 1);
	for (int i = 0; i < 3; i++) {
		fds[i] = connect_plain(&d.addr);
		say(fds[i], "known\r\nknown\r\n");
		expect_text(fds[i], "known\r\nknown\r\n");
	}
	int stranger = connect_plain(&d.addr);
	expect_welcome(stranger);
	int refused = connect_plain(&d.addr);
	expect_text(refused, "421 full\r\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(stranger);
	close(refused);
	end_daemon(&d, 1000);
}

// --- Sockets given to us ---

struct given {
	int fds[4];
	char names[4][32];
	size_t n;
};

static void take_given(int fd, const char *name, void *arg)
{
	struct given *given = arg;
	must(given->n < 4);
	given->fds[given->n] = fd;
	snprintf(given->names[given->n++], 32, "%s", name);
}

static void inherited_sockets_come_by_name(void **state)
{
	(void)state;
	struct given given = {0};
	char pid[32];
	assert_int_equal(listen_inherited(take_given, &given), 0);
	snprintf(pid, sizeof pid, "%d", getpid());
	int three = fcntl(0, F_DUPFD, 3), four = fcntl(0, F_DUPFD, 3);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "smtp:imaps", 1);
	if (three == 3 && four == 4) { // nothing else of ours is there
		assert_int_equal(listen_inherited(take_given, &given), 2);
		assert_int_equal(given.n, 2);
		assert_string_equal(given.names[1], "imaps");
		assert_int_equal(given.fds[1], 4);
		assert_true(fcntl(4, F_GETFD) & FD_CLOEXEC);
	}
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(listen_inherited(take_given, &given), 0);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	close(three);
	close(four);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	(void)state;
	char folder[] = "/tmp/listen-test-XXXXXX", path[64];
	int first, second;
	struct stat st;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/socket", folder);
	assert_int_equal(listen_open_unix(path, 0660, 8, &first, NULL), ERR_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_not_equal(listen_open_unix(path, 0660, 8, &second, NULL), ERR_OK);
	close(first);
	assert_int_equal(listen_open_unix(path, 0600, 8, &second, NULL), ERR_OK);
	close(second);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inherited_sockets_come_by_name),
		cmocka_unit_test(sessions_are_served_and_stopped_in_order),
		cmocka_unit_test(what_is_not_read_does_not_reset_the_connection),
		cmocka_unit_test(connections_go_to_the_scheduler_with_the_fewest),
		cmocka_unit_test(a_cap_on_connections_refuses_politely),
		cmocka_unit_test(a_cap_of_a_service_is_its_own),
		cmocka_unit_test(a_cap_for_each_address_spares_the_others),
		cmocka_unit_test(caps_can_be_moved_and_some_addresses_have_none),
		cmocka_unit_test(only_strangers_count_for_their_address),
		cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
