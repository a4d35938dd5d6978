// SPDX-License-Identifier: Apache-2.0
// The life of a daemon, in named phases of privilege, the same for all.
//
//     int main(int argc, char **argv)
//     {
//             static const struct daemon_spec spec = {
//                     .name = "mta", .settings = &settings_table, .options = daemons_mta_options, .pre_jail = mta_pre_jail,
//                     .post_jail = mta_post_jail, .reload = mta_reload, .stop = mta_stop,
//             };
//             struct mta mta = {...};
//             return daemon_main(&spec, &mta, argc, argv);
//     }
//
// (daemons_mta_options: schema/daemons.h, where the one table says what each daemon may do.)
//
// 1. Settings are read (-c FILE, else $POSTHOUSE_CONF, else /etc/posthouse/posthouse.conf); wrong ones end it with exit 1 and
//    every error.
// 2. Listening sockets are taken over by name (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: systemd's protocol, `posthouse run`
//    speaks it too). umask 027, no core dump with secrets unless asked for, RLIMIT_NOFILE raised to its hard limit.
// 3. pre_jail: as the user that started us (root, when started by hand or by `posthouse run`). Reads keys and certificates,
//    opens what only root may open. No thread may be started.
// 4. User and groups are set for good, the sandbox is entered, the log's thread started.
// 5. post_jail: opens databases, starts schedulers and workers. Then READY=1 goes to systemd or to `posthouse run`.
// 6. The main thread waits for signals: SIGHUP reads the settings again and calls reload with old and new; SIGTERM and SIGINT
//    call stop, once, and end with exit 0. A second SIGTERM ends at once.
//
// Exit codes: 0 clean end; 1 settings or start failed (do not restart at once); DAEMON_EXIT_EIO after an I/O error on the disk
// (do not restart at all: ARCHITECTURE 4); anything else is a crash.
#ifndef BASE_DAEMON_H
#define BASE_DAEMON_H

#include "base/control.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/settings.h"

enum {
	DAEMON_EXIT_OK = 0,
	DAEMON_EXIT_START = 1, // wrong settings, or it could not start
	DAEMON_EXIT_USAGE = 2,
	DAEMON_EXIT_EIO = 74, // EX_IOERR
	DAEMON_SOCKETS_MAX = 64,
};

struct daemon;

// -c FILE, else $POSTHOUSE_CONF, else /etc/posthouse/posthouse.conf. Other arguments end the process with DAEMON_EXIT_USAGE.
const char *daemon_settings_path(int argc, char **argv);

// What the phases need of the settings; filled by the daemon's spec.
struct daemon_options {
	const char *user;       // whom to become; empty: stay who we are (tests, unprivileged runs)
	const char *group;      // group of the control socket; empty: ours
	const char *control;    // path of the control socket; empty: none
	enum sandbox_mode sandbox;
	const struct sandbox_rule *may; // what it may do from the jail on
	enum log_destination log_destination;
	enum log_level log_level;
};

struct daemon_spec {
	const char *name; // "mta": in the log, and of the program
	const struct settings_table *settings;

	// values are those of the table; strings and tables are borrowed or in the arena. Called at start and after each reload.
	void (*options)(const void *values, struct arena *arena, struct daemon_options *out);

	enum err_code (*pre_jail)(struct daemon *daemon, struct err *err);  // may be NULL
	enum err_code (*post_jail)(struct daemon *daemon, struct err *err); // starts the work; calls daemon_serve_control()
	// On the main thread, which may block. The new snapshot is current already (daemon_settings()).
	void (*reload)(struct daemon *daemon); // may be NULL
	// On the main thread; returns when all is stopped, at the latest after the deadline that the settings give. Also called
	// when post_jail failed half-way.
	void (*stop)(struct daemon *daemon);
};

// Runs the daemon from start to end; returns the exit code. arg is its own (daemon_arg).
int daemon_main(const struct daemon_spec *spec, void *arg, int argc, char **argv);

void *daemon_arg(const struct daemon *daemon);

// A reference to the settings of now; any thread. Give it back with settings_unref().
struct settings_snapshot *daemon_settings(struct daemon *daemon);

// Gives up to max listening sockets of that name (FORMATS.md section 8) to the caller and returns how many; one name may have
// several.
size_t daemon_take_sockets(struct daemon *daemon, const char *name, int *fds, size_t max);

// In post_jail, once schedulers run: serves the control socket on one of them as soon as post_jail is over, with ping, metrics,
// stats, reload, settings and stop. Add commands with control_register(). NULL when there is no control socket. Freed by
// daemon_main after stop.
struct control *daemon_serve_control(struct daemon *daemon, struct sched *sched);

// In reload: something of the settings could not be taken over, and why. It is the caller's to log; `posthouse reload` prints it.
void daemon_not_taken_over(struct daemon *daemon, const char *what, const struct err *err);

// Asks the daemon to end or to reload as the signal would; any thread.
void daemon_request_stop(struct daemon *daemon);
void daemon_request_reload(struct daemon *daemon);

// After EIO on what must be durable: logs and ends the process at once with DAEMON_EXIT_EIO; nothing is flushed or answered any
// more.
_Noreturn void daemon_die_of_eio(const struct err *err);

#endif
