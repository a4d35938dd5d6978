// SPDX-License-Identifier: Apache-2.0
// How much this process may hold: what the kernel allows, divided between connections and files.
#include "base/limits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fiber_stack.h"

enum {
	DESCRIPTORS_MIN = 64,
	DESCRIPTORS_OWN = 32,   // listeners, epoll, logs, control sockets; and one in 32 more
	MAPPINGS_OWN = 4096,    // libraries, heaps, thread stacks, SQLite's shared memory; at most half
	FIBERS_EXTRA = 8,       // one in so many fibers serves no connection
	CONNECTIONS_MAX = 1 << 20,
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

// Two thirds of the descriptors for connections, one for files: most sessions of a mailbox server idle, and an idle one has no
// mailbox open; a front-end's spool files and outgoing connections live for moments.
void limits_divide(size_t descriptors_max, size_t mappings_max, bool has_guard_regions, struct limits *limits_out)
{
	size_t own = smaller(DESCRIPTORS_OWN + descriptors_max / 32, descriptors_max / 2);
	size_t usable = descriptors_max - own;
	size_t mappings = mappings_max - smaller(MAPPINGS_OWN, mappings_max / 2);
	size_t stacks_max = has_guard_regions ? mappings : mappings / 2;
	size_t connections = smaller(usable / 3 * 2, CONNECTIONS_MAX);
	connections = smaller(connections, stacks_max - stacks_max / FIBERS_EXTRA);
	*limits_out = (struct limits){
		.descriptors_max = descriptors_max,
		.mappings_max = mappings_max,
		.connections_max = connections,
		.fibers_max = smaller(connections + connections / (FIBERS_EXTRA - 1) + DESCRIPTORS_OWN, stacks_max),
		.handles_max = usable - connections,
	};
}

static size_t read_number(const char *path, size_t otherwise)
{
	char text[32];
	uint64_t value;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return otherwise;
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	if (n <= 0 || !str_to_u64(str_trim(str_of(text, (size_t)n)), SIZE_MAX, &value))
		return otherwise;
	return (size_t)value;
}

enum err_code limits_compute(struct limits *limits_out, struct err *err)
{
	enum { MAP_COUNT_DEFAULT = 65530 }; // the kernel's, where /proc does not tell
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return err_errno(err, "ask for the limit of descriptors");
	rlim_t soft = files.rlim_cur;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		files.rlim_cur = soft;
	if (files.rlim_cur < DESCRIPTORS_MIN)
		return err_set(err, ERR_NOMEM, "only %llu descriptors are allowed (RLIMIT_NOFILE)",
			       (unsigned long long)files.rlim_cur);
	size_t descriptors = smaller(files.rlim_cur, INT32_MAX);
	size_t mappings = read_number("/proc/sys/vm/max_map_count", MAP_COUNT_DEFAULT);
	limits_divide(descriptors, mappings, fiber_stack_has_guard_regions(), limits_out);
	return ERR_OK;
}
