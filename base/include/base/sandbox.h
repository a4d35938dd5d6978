// SPDX-License-Identifier: Apache-2.0
// The sandbox: what a daemon may do after its start, as one readable table; seccomp and Landlock hold it to that.
//
//     static const struct sandbox_rule mta_may[] = {
//             {SANDBOX_READ_WRITE, "queue"}, {SANDBOX_READ, "shadow"}, {SANDBOX_NETWORK, NULL}, {SANDBOX_READ, "/etc/ssl"}, {0},
//     };
//
// What every daemon needs (memory, threads, files that are open, clocks, epoll, reading /usr and what resolvers and TLS read
// below /etc) is always allowed. What only an attacker would do (exec, ptrace, mount, new namespaces, kernel modules, keyrings)
// ends the process with SIGSYS. Every other call fails with EPERM, so that a library that merely tries goes on.
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include "base/err.h"

enum sandbox_permission {
	SANDBOX_END,        // ends a table
	SANDBOX_READ,       // files and folders below a path: read
	SANDBOX_READ_WRITE, // the same: read, write, create, delete, rename, link
	SANDBOX_NETWORK,    // open connections over IPv4 and IPv6 (path NULL)
};

struct sandbox_rule {
	enum sandbox_permission permission;
	const char *path; // absolute; a path that is missing is left out
};

enum sandbox_mode {
	SANDBOX_REQUIRED, // the kernel lacks something: refuse to start
	SANDBOX_OPTIONAL, // the kernel lacks something: say so in the log and go on
};

// Locks the process in, for good: no new privileges, Landlock over the paths, seccomp over the calls. As the daemon's user,
// before any other thread exists: Landlock holds for the calling thread and what it starts. ERR_UNSUPPORTED when the kernel lacks
// one of them.
enum err_code sandbox_enter(const struct sandbox_rule *may, enum sandbox_mode mode, struct err *err) ERR_CHECKED;

// What the kernel here has, for `posthouse check`: Landlock's ABI version (0: none) and whether seccomp filters work.
int sandbox_landlock_version(void);
bool sandbox_has_seccomp(void);

#endif
