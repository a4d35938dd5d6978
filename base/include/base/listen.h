// SPDX-License-Identifier: Apache-2.0
// Listening sockets and the fibers that accept from them.
//
//     static const struct listen_service smtp = {.name = "smtp", .serve = smtp_serve, .refusal = STR("421 4.3.2 too busy\r\n")};
//     struct listen_caps *caps = listen_caps_new(limits.connections_max, 50);
//     listen_start(&smtp, fd, caps, err);              // on each scheduler: runtime_listen does it for all
//
// `posthouse run` (or systemd) opens the sockets and passes them on, so that a restart loses no connection: those that came
// meanwhile wait in the kernel's backlog. One descriptor serves all schedulers; the kernel wakes one of them for each connection
// (EPOLLEXCLUSIVE), which hands it to the one that has the fewest. A cap on all connections and one for each address (IPv4
// address, IPv6 /64) keep slow or hostile peers from taking all: over a cap the refusal is written, without waiting, and the
// connection closed. A service that many share one address for (users behind NAT) caps only strangers there: it calls
// listen_known() after the log-in.
#ifndef BASE_LISTEN_H
#define BASE_LISTEN_H

#include "base/conn.h"

struct listen_caps;

struct listen_service {
	const char *name;                            // of the fibers; borrowed for ever
	void (*serve)(struct conn *conn, void *arg); // on a fiber of its own, on any of the schedulers; owns conn and closes it
	void *arg;                                   // borrowed while the scheduler runs
	struct str refusal;                          // a whole reply with its line end; borrowed for ever; empty under TLS
	// of this service, or of several together, beside those of the process; NULL: none
	struct listen_caps *caps;
	// Is the cap for each address not for this peer? NULL: it is for all. On a scheduler; with arg.
	bool (*is_exempt)(const struct netaddr *peer, void *arg);
};

// Opens a TCP socket that listens: SO_REUSEADDR, and IPV6_V6ONLY for IPv6. Port 0 gets one from the kernel (*local_out may be
// NULL).
enum err_code listen_open(const struct netaddr *addr, int backlog, int *fd_out, struct netaddr *local_out,
			  struct err *err) ERR_CHECKED;

// The same at a path; a socket file that nobody listens on is replaced. mode is that of the file.
enum err_code listen_open_unix(const char *path, unsigned mode, int backlog, int *fd_out, struct err *err) ERR_CHECKED;

// The sockets this process was given (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: descriptors from 3 on, names divided by ":";
// sd_listen_fds(3)). Sets them close-on-exec. Returns how many, 0 without any; calls each(fd, name, arg) for every one. Call
// once, at start.
size_t listen_inherited(void (*each)(int fd, const char *name, void *arg), void *arg);

// Caps and counts, shared by all schedulers of a process, and by the services that name them.
struct listen_caps *listen_caps_new(size_t connections_max, size_t per_address_max); // 0: no cap
void listen_caps_free(struct listen_caps **caps);                                  // after the schedulers have stopped

// New caps for what comes from now on; who is in stays. The one for each address can be moved, not begun or ended (0). Any
// thread.
void listen_caps_set(struct listen_caps *caps, size_t connections_max, size_t per_address_max);

struct listen_stats {
	uint64_t connections;      // now
	uint64_t accepted;         // ever
	uint64_t refused_full;     // over connections_max, or no fiber
	uint64_t refused_address;  // over per_address_max
	uint64_t failed;           // accept(2) failed (descriptors used up); tried again after a pause
};
void listen_stats(struct listen_caps *caps, struct listen_stats *stats_out);

// The peer of the session that runs on this fiber is no stranger any more (it has logged in): it counts no longer against the cap
// of its address, only against that on all. Again is fine; on a fiber that the listener did not start (a test's) nothing.
void listen_known(void);

// Starts accepting from fd on this thread's scheduler, until it stops. fd stays open and the caller's; service and caps are
// borrowed while the scheduler runs. Schedulers that accept under the same caps hand connections to each other, and are all freed
// after the last of them has ended. From a fiber or a posted function.
enum err_code listen_start(const struct listen_service *service, int fd, struct listen_caps *caps, struct err *err) ERR_CHECKED;

#endif
