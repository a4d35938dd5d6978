// SPDX-License-Identifier: Apache-2.0
// The machine's own limits: turns over loopback (echo, answered by echod) and durable files (fsfile).
#include "stats.h"
#include "workloads.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 512 };

static enum step echo_dialogue(struct client *c)
{
	BEGIN(c->place);
	for (c->done = 0; c->op >= 0; c->done++) {
		if (c->done || opt.per_connection != 1)
			c->begin_us = stats_now_us();
		client_say(c, "NOOP as long as a short command of a mail protocol is\r\n");
		AWAIT(c->place, client_line(c));
		client_op_done(c);
		if (opt.per_connection && c->done + 1 >= opt.per_connection)
			break;
		c->op = client_next_op();
	}
	END;
}

void machine_run_echo(void)
{
	workload_run(echo_dialogue);
}

static int echo_listen(void)
{
	struct sockaddr_storage address;
	client_resolve(opt.server, &address);
	socklen_t n = address.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int one = 1, sock = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (sock < 0 || bind(sock, (const struct sockaddr *)&address, n) || listen(sock, SOMAXCONN))
		client_die("echod: %s: %s", opt.server, strerror(errno));
	return sock;
}

static void echo_serve(int epoll, int sock, int listener)
{
	char octets[2048];
	int one = 1;
	if (sock == listener) {
		int made = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (made < 0)
			return;
		struct epoll_event event = {.events = EPOLLIN, .data.fd = made};
		setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		epoll_ctl(epoll, EPOLL_CTL_ADD, made, &event);
		return;
	}
	ssize_t n = recv(sock, octets, sizeof octets, 0);
	if (n > 0)
		send(sock, octets, (size_t)n, MSG_NOSIGNAL);
	else if (!n || errno != EAGAIN)
		close(sock);
}

// Serves until a signal or the time is up.
void machine_run_echod(void)
{
	int listener = echo_listen(), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[64], event = {.events = EPOLLIN, .data.fd = listener};
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	uint64_t deadline_us = stats_now_us() + (uint64_t)(opt.seconds_max * 1e6);
	while (stats_now_us() < deadline_us) {
		int n = epoll_wait(epoll, events, 64, 100);
		if (n < 0)
			return; // the signal
		for (int i = 0; i < n; i++)
			echo_serve(epoll, events[i].data.fd, listener);
	}
}

// As a mailbox in files does it for each message.
static void make_files(const char *folder, long n)
{
	char being_made[PATH_BYTES], made[PATH_BYTES];
	char *octets = malloc((size_t)opt.message_bytes);
	if (!octets)
		client_die("out of memory");
	memset(octets, 'x', (size_t)opt.message_bytes);
	mkdir(folder, 0700);
	for (long i = 0; i < n; i++) {
		snprintf(being_made, sizeof being_made, "%s/new.%ld", folder, i);
		snprintf(made, sizeof made, "%s/message.%ld", folder, i);
		int fd = open(being_made, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
		bool written = fd >= 0 && write(fd, octets, (size_t)opt.message_bytes) == opt.message_bytes;
		if (!written || fsync(fd) || close(fd) || rename(being_made, made))
			client_die("fsfile: %s: %s", made, strerror(errno));
	}
	free(octets);
}

void machine_run_files(void)
{
	uint64_t start_us = stats_now_us();
	long each = opt.operations / opt.connections;
	for (long i = 0; i < opt.connections; i++) {
		char folder[PATH_BYTES - 64];
		if (snprintf(folder, sizeof folder, "%s/writer%ld", opt.folder, i) >= (int)sizeof folder)
			client_die("fsfile: a long path");
		pid_t child = fork();
		if (child < 0)
			client_die("fork: %s", strerror(errno));
		if (!child) {
			make_files(folder, each);
			_exit(0);
		}
	}
	int status;
	while (wait(&status) > 0)
		totals.err += !WIFEXITED(status) || WEXITSTATUS(status);
	char extra[64];
	snprintf(extra, sizeof extra, "conns=%ld size=%ld", opt.connections, opt.message_bytes);
	stats_result(opt.workload, each * opt.connections, stats_seconds(start_us, stats_now_us()), &latency, extra);
}
