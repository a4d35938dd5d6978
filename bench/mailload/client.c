// SPDX-License-Identifier: Apache-2.0
// The loop: opens connections, runs dialogues when their connections have news, counts what fails.
//
// Happy path: client_run opens as many clients as may be opening at a time; each takes an operation, connects, and its dialogue
// runs until it is done; then it takes another operation with a new connection, or rests.
// Failures: an operation that fails counts as an error and its client goes on with the next one; when a tenth of all has failed,
// or a connection that was to be held is lost, the run ends. The first few say why.
#include "client.h"

#include "client_io.h"
#include "stats.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum { EVENTS = 256, TURN_MS = 50, POLL_TURN_MS = 20, READS_A_TURN = 8, COMPLAINTS_MAX = 5, ERRORS_ALLOWED = 200 };

static struct client **clients;
static long count, started, active, opening, next_op, complaints;
static bool stopped;
static int epoll_fd;
static volatile sig_atomic_t signalled;

long client_poll, client_opened;

static void on_signal(int number)
{
	(void)number;
	signalled = 1;
}

void client_setup(size_t in_bytes)
{
	struct rlimit files;
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		client_die("epoll: %s", strerror(errno));
	client_io_setup(in_bytes);
}

void client_add(long n, client_step *step, const struct sockaddr_storage *to, enum tls_mode tls, bool polls)
{
	clients = reallocarray(clients, (size_t)(count + n), sizeof(struct client *));
	if (!clients)
		client_die("out of memory");
	for (long i = 0; i < n; i++) {
		struct client *c = calloc(1, sizeof *c);
		if (!c)
			client_die("out of memory");
		*c = (struct client){.fd = -1, .id = (int)count, .op = -1, .step = step, .to = to, .tls = tls, .polls = polls};
		clients[count++] = c;
	}
}

long client_count(void)
{
	return count;
}

bool client_stopped(void)
{
	return stopped;
}

void client_stop(void)
{
	stopped = true;
}

long client_next_op(void)
{
	return stopped || next_op >= opt.operations ? -1 : next_op++;
}

void client_op_done(struct client *c)
{
	stats_operation_done(c->begin_us);
	c->op = -1;
}

void client_is_open(struct client *c)
{
	c->open = true;
	client_opened++;
	opening--;
}

static void complain(const struct client *c, const char *what, const char *more)
{
	int n = (int)strcspn(more, "\r\n");
	if (complaints++ < COMPLAINTS_MAX)
		fprintf(stderr, "mailload %s: connection %d: %s: %.*s\n", opt.workload, c->id, what, n, more);
}

enum step client_fail(struct client *c, const char *what)
{
	complain(c, what, c->head);
	return STEP_FAIL;
}

// --- one client ---

static void arm(struct client *c, bool write)
{
	uint32_t events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (c->armed == events)
		return;
	struct epoll_event event = {.events = events, .data.ptr = c};
	if (epoll_ctl(epoll_fd, c->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event))
		client_die("epoll: %s", strerror(errno));
	c->armed = events;
}

static void close_client(struct client *c)
{
	if (c->state == CLIENT_IDLE)
		return;
	client_io_close(c);
	if (!c->open)
		opening--;
	c->state = CLIENT_IDLE;
	active--;
}

static void open_client(struct client *c)
{
	c->place = c->login_place = c->code = 0;
	c->head_bytes = 0;
	c->head[0] = 0;
	memset(&c->imap, 0, sizeof c->imap);
	c->open = false;
	c->begin_us = stats_now_us();
	c->state = CLIENT_CONNECTING;
	active++;
	opening++;
	if (client_io_connect(c)) {
		arm(c, true);
		return;
	}
	complain(c, "connect", strerror(errno));
	totals.err++;
	c->op = -1;
	close_client(c);
}

// Another connection, where there is work for it.
static void go_on(struct client *c)
{
	if (stopped)
		return;
	if (c->op < 0 && !c->polls)
		c->op = client_next_op();
	if (c->op >= 0 || c->polls)
		open_client(c);
}

static void failed(struct client *c)
{
	totals.err++;
	c->op = -1;
	if (c->polls || c->open)
		stopped = true; // a watcher, or a connection that was to be held: the run is spoilt
	close_client(c);
	if (totals.err > ERRORS_ALLOWED + opt.operations / 10) {
		if (!stopped)
			fputs("mailload: too many errors, stopping\n", stderr);
		stopped = true;
	}
	totals.reconnects++;
	go_on(c);
}

static void done(struct client *c)
{
	close_client(c);
	if (c->polls || (c->op < 0 && next_op >= opt.operations))
		return;
	totals.reconnects++;
	go_on(c);
}

// As far as the dialogue goes now.
static void run_dialogue(struct client *c)
{
	enum step step = c->step(c);
	if (step == STEP_FAIL) {
		failed(c);
		return;
	}
	bool written = client_io_flush(c);
	if (step == STEP_DONE) {
		done(c);
	} else if (!written || c->broken) {
		complain(c, c->broken ? "TLS handshake" : "write", strerror(errno));
		failed(c);
	} else {
		arm(c, c->out_pos < c->out_bytes || c->tls_wants_write);
	}
}

static void connected(struct client *c)
{
	int error = 0;
	socklen_t n = sizeof error;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		complain(c, "connect", strerror(error));
		failed(c);
		return;
	}
	arm(c, false);
	c->state = c->tls == TLS_IMPLICIT ? CLIENT_HANDSHAKE : CLIENT_TALKING;
	if (c->state == CLIENT_TALKING)
		run_dialogue(c); // where the client speaks first
}

static void shake_hands(struct client *c)
{
	bool up = client_tls_up(c);
	if (c->broken) {
		complain(c, "TLS handshake", strerror(errno));
		failed(c);
		return;
	}
	arm(c, c->tls_wants_write);
	if (up) {
		c->state = CLIENT_TALKING;
		run_dialogue(c);
	}
}

static void readable(struct client *c)
{
	for (int turn = 0; turn < READS_A_TURN; turn++) {
		if (c->ssl && !c->tls_up) { // in the handshake after STARTTLS: the dialogue drives it
			run_dialogue(c);
			return;
		}
		int fd = c->fd, got = client_io_fill(c);
		if (got < 0) {
			client_fail(c, "closed by the server; last line");
			failed(c);
		}
		if (got <= 0)
			return;
		run_dialogue(c);
		if (c->state != CLIENT_TALKING || c->fd != fd || !c->ssl || SSL_pending(c->ssl) <= 0)
			return;
	}
}

static void writable(struct client *c)
{
	if (c->tls_wants_write)
		run_dialogue(c);
	else if (!client_io_flush(c))
		failed(c);
	else if (c->out_pos == c->out_bytes)
		arm(c, false);
}

static void on_event(struct client *c, uint32_t events)
{
	switch (c->state) {
	case CLIENT_IDLE:
		break;
	case CLIENT_CONNECTING:
		connected(c);
		if (c->state == CLIENT_HANDSHAKE)
			shake_hands(c);
		break;
	case CLIENT_HANDSHAKE:
		shake_hands(c);
		break;
	case CLIENT_TALKING:
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			readable(c);
		else
			writable(c);
		break;
	}
}

// --- all of them ---

static void turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll_fd, events, EVENTS, client_poll ? POLL_TURN_MS : TURN_MS);
	for (int i = 0; i < n; i++)
		on_event(events[i].data.ptr, events[i].events);
	for (long i = 0; client_poll && i < count; i++)
		if (clients[i]->polls && clients[i]->open && clients[i]->state == CLIENT_TALKING)
			run_dialogue(clients[i]);
}

void client_close_all(void)
{
	for (long i = 0; i < count; i++)
		close_client(clients[i]);
}

void client_run(bool (*enough)(void))
{
	if (!totals.start_us)
		totals.start_us = totals.end_us = stats_now_us();
	uint64_t deadline_us = totals.start_us + (uint64_t)(opt.seconds_max * 1e6);
	while (!enough || !enough()) {
		while (started < count && opening < opt.opening && !stopped)
			go_on(clients[started++]);
		if (!active && (started == count || stopped))
			return;
		if (stats_now_us() >= deadline_us)
			totals.timed_out = stopped = true;
		if (signalled)
			stopped = true;
		if (stopped) {
			client_close_all();
			return;
		}
		turn();
	}
}
