// SPDX-License-Identifier: Apache-2.0
// The life of a daemon, in named phases of privilege, the same for all.
//
//     int main(int argc, char **argv)
//     {
//             static const struct daemon_spec mta = {
//                     .name = "mta", .settings = &settings_table, .pre_jail = mta_pre_jail, .may = mta_may, .post_jail = mta_post_jail,
//                     .reload = mta_reload, .stop = mta_stop,
//             };
//             return daemon_main(&mta, argc, argv);
//     }
//
// 1. Settings are read (-c FILE, else $POSTHOUSE_CONF, else /etc/posthouse/posthouse.conf); wrong ones end it with exit 1 and every error.
// 2. Listening sockets are taken over by name (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: systemd's protocol, `posthouse run` speaks it too).
//    umask 027, no core dump with secrets unless asked for, RLIMIT_NOFILE raised to its hard limit.
// 3. pre_jail: as the user that started us (root, when started by hand or by `posthouse run`). Reads keys and certificates, opens what only
//    root may open. No thread may be started.
// 4. User and groups are set for good; then the log's thread is started and the sandbox is entered.
// 5. post_jail: opens databases, starts schedulers and workers. Then READY=1 goes to systemd or to `posthouse run`.
// 6. The main thread waits for signals: SIGHUP reads the settings again and calls reload with old and new; SIGTERM and SIGINT call stop,
//    once, and end with exit 0. A second SIGTERM ends at once.
//
// Exit codes: 0 clean end; 1 settings or start failed (do not restart at once); DAEMON_EXIT_EIO after an I/O error on the disk (do not
// restart at all: ARCHITECTURE 4); anything else is a crash.
#ifndef BASE_DAEMON_H
#define BASE_DAEMON_H

#include "base/control.h"
#include "base/err.h"
#include "base/sandbox.h"
#include "base/settings.h"

enum {
	DAEMON_EXIT_EIO = 74, // EX_IOERR
	DAEMON_SOCKETS_MAX = 64,
};

// A listening socket that was passed on. Names are those of the settings (listen_smtp gives "smtp"), one name may have several.
struct daemon_socket {
	const char *name;
	int fd; // -1 after daemon_take_sockets() gave it away
};

struct daemon;

struct daemon_spec {
	const char *name; // "mta": log name, user posthouse-mta, control socket
	const struct settings_table *settings;

	// What of the settings the phases need; each points into values.
	struct str (*user)(const void *values);    // whom to become; empty: stay who we are (tests, unprivileged runs)
	struct str (*group)(const void *values);   // its group for files and the control socket, in addition to the user's own
	struct str (*control)(const void *values); // path of the control socket
	enum sandbox_mode (*sandbox)(const void *values);
	void (*log)(const void *values, int *destination_out, int *level_out); // enum log_destination, enum log_level

	// Fills the table of what this daemon may do, paths from the settings; in the arena.
	const struct sandbox_rule *(*may)(const void *values, struct arena *arena);

	enum err_code (*pre_jail)(struct daemon *daemon, struct err *err);  // may be NULL
	enum err_code (*post_jail)(struct daemon *daemon, struct err *err); // starts the work; must call daemon_serve_control()
	// On the main thread, which may block. The new snapshot is current already (daemon_settings()).
	void (*reload)(struct daemon *daemon); // may be NULL
	void (*stop)(struct daemon *daemon);   // returns when all is stopped, within the deadline that the settings give
	void *arg;                             // the daemon's own
};

int daemon_main(const struct daemon_spec *spec, int argc, char **argv);

void *daemon_arg(const struct daemon *daemon);

// A reference to the settings of now; any thread. Give it back with settings_unref().
struct settings_snapshot *daemon_settings(struct daemon *daemon);

// Moves up to max descriptors of that name into fds and returns how many. They are listening, close-on-exec, non-blocking.
size_t daemon_take_sockets(struct daemon *daemon, const char *name, int *fds, size_t max);

// In post_jail, once a scheduler runs: serves the control socket on it, with reload and stop. Borrowed until the end of stop.
struct control *daemon_serve_control(struct daemon *daemon, struct sched *sched);

// Asks the daemon to end or to reload as the signal would; any thread.
void daemon_request_stop(struct daemon *daemon);
void daemon_request_reload(struct daemon *daemon);

// After EIO on what must be durable: logs and ends the process at once with DAEMON_EXIT_EIO; nothing is flushed or answered any more.
_Noreturn void daemon_die_of_eio(const struct err *err);

#endif
