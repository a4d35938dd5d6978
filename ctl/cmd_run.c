// SPDX-License-Identifier: Apache-2.0
// posthouse run: starts the daemons and looks after them.
//
// The supervisor opens the listening sockets once and keeps them, so that a daemon that is started again loses no connection: new
// ones wait in the kernel's backlog. Each daemon drops to its own user itself, after it has read keys as root (base/daemon.h);
// its sockets and READY go over systemd's protocols, so that systemd can take our place.
//
// A daemon that dies is started again: after 1 s, then twice as long each time up to 60 s; one that lived for 60 s begins at 1 s
// again. Not after exit 74 (an I/O error on a disk that must be durable: an operator must act) and not after exit 0 (somebody
// asked it to end). One that ends before it was ever ready ends the whole with exit 1: nothing is half started.
//
// One thread, no fibers: signals come from a signalfd, READY from a datagram socket whose sender the kernel names.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/must.h"
#include "ctl.h"
#include "layout.h"

enum {
	BACKLOG = 1024,
	DELAY_FIRST_MS = 1000,
	DELAY_MAX_MS = 60000,
	LIVED_WELL_MS = 60000,
	KILL_AFTER_MS = 5000, // beyond the daemons' own stop_deadline_s
	FIRST_PASSED_FD = 3,
	EXIT_NO_PROGRAM = 127,
};

struct child {
	enum daemons_id id;
	pid_t pid; // 0: does not run
	bool ready, was_ready, finished;
	int64_t started_ms, restart_at_ms, delay_ms;
	int fds[DAEMON_SOCKETS_MAX]; // owned; kept for the next start
	const char *names[DAEMON_SOCKETS_MAX];
	size_t fds_n;
};

struct run {
	struct ctl *ctl;
	const struct settings *settings;
	struct child children[DAEMONS_N];
	int signal_fd, notify_fd;
	char notify_name[64]; // "@posthouse-run-PID": an abstract address
	const char *outer_notify;
	char *programs; // owned: the folder of this program
	sigset_t signals;
	bool stopping, announced;
	int64_t kill_at_ms;
	int exit_code;
};

static enum err_code open_sockets(struct run *run, struct err *err)
{
	for (size_t i = 0; i < daemons_sockets_n; i++) {
		const struct daemons_socket *row = &daemons_sockets[i];
		struct child *child = &run->children[row->daemon];
		const struct settings_addresses *addresses = (const void *)((const char *)run->settings + row->offset);
		for (size_t k = 0; k < addresses->n; k++) {
			if (child->fds_n == DAEMON_SOCKETS_MAX)
				return err_set(err, ERR_LIMIT, "more than %d addresses for %s", DAEMON_SOCKETS_MAX,
					daemons_name(row->daemon));
			if (listen_open(&addresses->v[k], BACKLOG, &child->fds[child->fds_n], NULL, err))
				return err_wrap(err, "listen_%s", row->name);
			child->names[child->fds_n++] = row->name;
		}
	}
	return ERR_OK;
}

static enum err_code open_notify(struct run *run, struct err *err)
{
	run->outer_notify = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(run->notify_name, sizeof run->notify_name, "@posthouse-run-%d", (int)getpid());
	memcpy(address.sun_path, run->notify_name, strlen(run->notify_name));
	address.sun_path[0] = 0;
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(run->notify_name));
	int on = 1;
	run->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (run->notify_fd < 0 || setsockopt(run->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
		bind(run->notify_fd, (const struct sockaddr *)&address, bytes) < 0)
		return err_errno(err, "make the socket for READY");
	return ERR_OK;
}

// In the child: the sockets from descriptor 3 on, their names, no other descriptors; then the program. Does not return.
static _Noreturn void become_daemon(const struct run *run, const struct child *child)
{
	setpgid(0, 0); // a terminal's Ctrl-C is for us, who tell them once; twice would end them at once
	// Out of the way first: a source may stand where a target will be.
	int moved[DAEMON_SOCKETS_MAX];
	for (size_t i = 0; i < child->fds_n; i++)
		moved[i] = fcntl(child->fds[i], F_DUPFD_CLOEXEC, FIRST_PASSED_FD + DAEMON_SOCKETS_MAX);
	char names[DAEMON_SOCKETS_MAX * 16] = "", number[16];
	for (size_t i = 0; i < child->fds_n; i++) {
		dup2(moved[i], FIRST_PASSED_FD + (int)i);
		size_t n = strlen(names);
		snprintf(names + n, sizeof names - n, "%s%s", i ? ":" : "", child->names[i]);
	}
	snprintf(number, sizeof number, "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof number, "%zu", child->fds_n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	setenv("NOTIFY_SOCKET", run->notify_name, 1);
	snprintf(number, sizeof number, "%d", (int)getppid());
	setenv("POSTHOUSE_RUN_PID", number, 1); // base/daemon.c: end when this one does
	// What glibc keeps of freed memory, so that the threads of popimap give back what SQLite had (bench/idle): for a thread
	// only small pieces, which no trim reaches; none that are not joined with their neighbours, because the end of a heap is
	// given back when they are, and not later; and limits that do not grow with the largest piece there was. An
	// administrator's own choice stays.
	if (child->id == DAEMONS_POPIMAP)
		setenv("GLIBC_TUNABLES",
			"glibc.malloc.tcache_max=128:glibc.malloc.mxfast=0:glibc.malloc.trim_threshold=262144:glibc.malloc.mmap_"
			"threshold=4194304",
			0);
	// Signals stay blocked: a reload that comes while the daemon still starts waits for it (base/daemon.c) and does not end
	// it.
	const char *program = arena_printf(run->ctl->arena, "%s/posthouse-%s", run->programs, daemons_name(child->id)).p;
	execl(program, program, "-c", run->ctl->path, (char *)NULL);
	fprintf(stderr, "posthouse: cannot start %s: %s\n", program, strerror(errno));
	_exit(EXIT_NO_PROGRAM);
}

static void start_child(struct run *run, struct child *child)
{
	child->ready = false;
	child->restart_at_ms = CLOCK_NEVER;
	child->started_ms = clock_mono_ms();
	pid_t pid = fork();
	if (pid == 0)
		become_daemon(run, child);
	if (pid < 0) {
		log_error(NULL, "cannot start a process", log_c("daemon", daemons_name(child->id)),
			log_c("error", strerror(errno)));
		child->restart_at_ms = clock_after_ms(DELAY_MAX_MS);
		return;
	}
	child->pid = pid;
	log_info(NULL, "daemon started", log_c("daemon", daemons_name(child->id)), log_i64("pid", pid));
}

static void signal_all(struct run *run, int which)
{
	for (size_t i = 0; i < DAEMONS_N; i++)
		if (run->children[i].pid > 0)
			kill(run->children[i].pid, which);
}

static void stop_all(struct run *run, int exit_code)
{
	if (!run->stopping)
		run->exit_code = exit_code;
	run->stopping = true;
	run->kill_at_ms = clock_after_ms(run->settings->stop_deadline_s * 1000 + KILL_AFTER_MS);
	signal_all(run, SIGTERM);
}

static void child_ended(struct run *run, struct child *child, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	int by_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	bool lived_well = clock_mono_ms() - child->started_ms >= LIVED_WELL_MS;
	child->pid = 0;
	child->ready = false;
	if (run->stopping) {
		log_info(NULL, "daemon ended", log_c("daemon", daemons_name(child->id)), log_i64("exit", code),
			log_i64("signal", by_signal));
		if (code != 0)
			run->exit_code = CTL_NO;
		return;
	}
	if (code == DAEMON_EXIT_OK || code == DAEMON_EXIT_EIO) {
		child->finished = true;
		if (code == DAEMON_EXIT_EIO)
			log_error(NULL,
				"daemon ended after an input/output error and stays down; look at the disk and its space, then "
				"start it",
				log_c("daemon", daemons_name(child->id)));
		else
			log_warning(NULL, "daemon ended because it was asked to, and stays down",
				log_c("daemon", daemons_name(child->id)));
		return;
	}
	if (!child->was_ready) {
		log_error(NULL, "daemon cannot start; ending all", log_c("daemon", daemons_name(child->id)),
			log_i64("exit", code), log_i64("signal", by_signal));
		stop_all(run, CTL_NO);
		return;
	}
	child->delay_ms = lived_well || child->delay_ms == 0 ? DELAY_FIRST_MS : child->delay_ms * 2;
	if (child->delay_ms > DELAY_MAX_MS)
		child->delay_ms = DELAY_MAX_MS;
	child->restart_at_ms = clock_after_ms(child->delay_ms);
	log_error(NULL, "daemon died and is started again", log_c("daemon", daemons_name(child->id)), log_i64("exit", code),
		log_i64("signal", by_signal), log_i64("in_ms", child->delay_ms));
}

static void reap(struct run *run)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (size_t i = 0; i < DAEMONS_N; i++)
			if (run->children[i].pid == pid)
				child_ended(run, &run->children[i], status);
}

static void reload(struct run *run)
{
	struct settings_report report;
	settings_report_init(&report);
	struct settings_snapshot *fresh;
	if (settings_load(&settings_table, run->ctl->path, &report, &fresh)) {
		fputs(buf_c(&report.lines), stderr);
		log_error(NULL, "the settings have errors and were not taken over");
	} else {
		settings_unref(&fresh);
		signal_all(run, SIGHUP);
	}
	settings_report_fini(&report);
}

static void take_signals(struct run *run)
{
	struct signalfd_siginfo info;
	while (read(run->signal_fd, &info, sizeof info) == sizeof info) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(run);
			break;
		case SIGHUP:
			reload(run);
			break;
		default: // SIGTERM, SIGINT; a second one changes nothing
			if (!run->stopping)
				stop_all(run, CTL_YES);
		}
	}
}

// READY=1 of one of our children; the kernel says whose.
static void take_notice(struct run *run)
{
	char text[256];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = {.iov_base = text, .iov_len = sizeof text};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	for (ssize_t n; (n = recvmsg(run->notify_fd, &message, MSG_CMSG_CLOEXEC)) >= 0; message.msg_controllen = sizeof control) {
		const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		struct ucred who;
		if (header == NULL || header->cmsg_type != SCM_CREDENTIALS ||
			str_find(str_of(text, (size_t)n), STR("READY=1")) < 0)
			continue;
		memcpy(&who, CMSG_DATA(header), sizeof who);
		for (size_t i = 0; i < DAEMONS_N; i++)
			if (run->children[i].pid == who.pid)
				run->children[i].ready = run->children[i].was_ready = true;
	}
}

// Once all are ready for the first time, whoever waits for us is told.
static void announce(struct run *run)
{
	bool all = true;
	for (size_t i = 0; i < DAEMONS_N; i++)
		all = all && run->children[i].was_ready;
	if (!all || run->announced)
		return;
	run->announced = true;
	log_info(NULL, "all daemons are ready");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (run->outer_notify == NULL || strlen(run->outer_notify) >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, run->outer_notify, strlen(run->outer_notify));
	if (address.sun_path[0] == '@')
		address.sun_path[0] = 0;
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(run->outer_notify));
	(void)!sendto(run->notify_fd, "READY=1", 7, MSG_NOSIGNAL, (const struct sockaddr *)&address, bytes);
}

static int64_t next_event_ms(const struct run *run)
{
	int64_t at = run->stopping ? run->kill_at_ms : CLOCK_NEVER;
	for (size_t i = 0; !run->stopping && i < DAEMONS_N; i++)
		at = clock_earlier(at, run->children[i].restart_at_ms);
	return at;
}

static bool somebody_runs(const struct run *run)
{
	bool some = false;
	for (size_t i = 0; i < DAEMONS_N; i++)
		some = some || run->children[i].pid > 0 || (!run->stopping && !run->children[i].finished);
	return some;
}

static void do_what_is_due(struct run *run)
{
	int64_t now = clock_mono_ms();
	if (run->stopping && now >= run->kill_at_ms) {
		log_error(NULL, "daemons that did not stop in time are killed");
		signal_all(run, SIGKILL);
		run->kill_at_ms = CLOCK_NEVER;
	}
	for (size_t i = 0; !run->stopping && i < DAEMONS_N; i++)
		if (run->children[i].pid == 0 && now >= run->children[i].restart_at_ms)
			start_child(run, &run->children[i]);
}

static void supervise(struct run *run)
{
	for (size_t i = 0; i < DAEMONS_N; i++)
		start_child(run, &run->children[i]);
	while (somebody_runs(run)) {
		struct pollfd waits[] = {{.fd = run->signal_fd, .events = POLLIN}, {.fd = run->notify_fd, .events = POLLIN}};
		int64_t at = next_event_ms(run), wait_ms = at == CLOCK_NEVER ? -1 : at - clock_mono_ms();
		(void)poll(waits, 2, wait_ms < -1 ? 0 : (int)wait_ms);
		take_notice(run); // before the signals: a daemon may be ready and dead by now
		take_signals(run);
		announce(run);
		do_what_is_due(run);
	}
}

static enum err_code prepare(struct run *run, struct err *err)
{
	// AT_EXECFN where /proc is not mounted.
	run->programs = realpath("/proc/self/exe", NULL);
	if (run->programs == NULL)
		run->programs = realpath((const char *)getauxval(AT_EXECFN), NULL);
	if (run->programs == NULL)
		return err_errno(err, "find this program");
	*strrchr(run->programs, '/') = 0;
	sigemptyset(&run->signals);
	const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		sigaddset(&run->signals, wanted[i]);
	sigprocmask(SIG_BLOCK, &run->signals, NULL);
	run->signal_fd = signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0)
		return err_errno(err, "take signals");
	enum err_code code = layout_make(run->settings, err);
	if (code == ERR_OK)
		code = open_notify(run, err);
	return code ? code : open_sockets(run, err);
}

static void fini(struct run *run)
{
	for (size_t i = 0; i < DAEMONS_N; i++)
		for (size_t k = 0; k < run->children[i].fds_n; k++)
			close(run->children[i].fds[k]);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	if (run->notify_fd >= 0)
		close(run->notify_fd);
	free(run->programs);
}

int cmd_run(struct ctl *ctl)
{
	struct run run = {.ctl = ctl, .settings = ctl_settings(ctl), .signal_fd = -1, .notify_fd = -1};
	struct err err = {ERR_OK, ""};
	if (layout_may(run.settings, &err))
		return ctl_fail(&err);
	for (size_t i = 0; i < DAEMONS_N; i++)
		run.children[i].id = (enum daemons_id)i;
	char *path = realpath(ctl->path, NULL); // the daemons find it whatever their working directory
	if (path != NULL)
		ctl->path = arena_dup(ctl->arena, str_of_c(path)).p;
	free(path);
	log_set_level((enum log_level)run.settings->log_level);
	int code;
	if (prepare(&run, &err)) {
		log_error(NULL, "cannot start", log_err(&err));
		code = CTL_NO;
	} else {
		supervise(&run);
		log_info(NULL, "all daemons have ended");
		code = run.exit_code;
	}
	fini(&run);
	return code;
}

int cmd_setup(struct ctl *ctl)
{
	struct err err = {ERR_OK, ""};
	enum err_code code = layout_may(ctl_settings(ctl), &err);
	return code || layout_make(ctl_settings(ctl), &err) ? ctl_fail(&err) : CTL_YES;
}
