// SPDX-License-Identifier: Apache-2.0
// Listening sockets and the fibers that accept from them.
//
// One descriptor is watched by every scheduler, exclusively and edge-triggered: the kernel tells one of them, and that one
// accepts until there is nothing left, with a pause after each 16 so that its sessions get their turn. Which one it is says
// nothing about who has time: an idle kernel wakes the same one again and again. So the connection is handed to the scheduler
// that has the fewest. Caps are counted at the accept and given back when the session's function has returned, whatever its end
// was.
#include "base/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "fiber_private.h"

enum {
	BUCKETS = 4096,
	V4_BITS = 32, // the unit of the cap for each address
	V6_BITS = 64,
	PAUSE_MS = 100, // when descriptors are used up
	FD_FIRST = 3,   // SD_LISTEN_FDS_START of sd_listen_fds(3)
	NAME_BYTES = 64,
};

// --- Opening ---

static enum err_code bind_and_listen(int fd, const struct sockaddr *sa, size_t bytes, int backlog, const char *name,
				     struct err *err)
{
	if (bind(fd, sa, (socklen_t)bytes) == 0 && listen(fd, backlog) == 0)
		return ERR_OK;
	return err_errno(err, "listen on %s", name);
}

static void ask_local(int fd, struct netaddr *local_out)
{
	struct sockaddr_storage sa;
	socklen_t bytes = sizeof sa;
	must(getsockname(fd, (struct sockaddr *)&sa, &bytes) == 0);
	*local_out = netaddr_of_sockaddr((struct sockaddr *)&sa, bytes);
}

enum err_code listen_open(const struct netaddr *addr, int backlog, int *fd_out, struct netaddr *local_out, struct err *err)
{
	char sa[NETADDR_SOCKADDR_BYTES], text[NETADDR_TEXT_BYTES];
	int one = 1;
	size_t bytes = netaddr_to_sockaddr(addr, sa);
	must(bytes > 0);
	netaddr_text_port(addr, text);
	int fd = socket(addr->family == NETADDR_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "make a socket for %s", text);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr->family == NETADDR_IPV6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	enum err_code code = bind_and_listen(fd, (struct sockaddr *)sa, bytes, backlog, text, err);
	if (code) {
		close(fd);
		return code;
	}
	if (local_out)
		ask_local(fd, local_out);
	*fd_out = fd;
	return ERR_OK;
}

// A socket file stays behind when its owner dies. Whether somebody listens there is asked by connecting.
static void remove_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)sa, sizeof *sa) != 0 && errno == ECONNREFUSED)
		unlink(sa->sun_path);
	close(fd);
}

enum err_code listen_open_unix(const char *path, unsigned mode, int backlog, int *fd_out, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!str_to_c(str_of_c(path), sa.sun_path, sizeof sa.sun_path))
		return err_set(err, ERR_INVALID, "the path of a socket has less than %zu bytes: %s", sizeof sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "make a socket for %s", path);
	remove_stale(&sa);
	// The mode is set before anybody can connect: a socket that is bound and does not listen yet refuses.
	enum err_code code = ERR_OK;
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || chmod(path, mode) != 0 || listen(fd, backlog) != 0)
		code = err_errno(err, "listen on %s", path);
	if (code) {
		close(fd);
		return code;
	}
	*fd_out = fd;
	return ERR_OK;
}

size_t listen_inherited(void (*each)(int fd, const char *name, void *arg), void *arg)
{
	uint64_t pid, n;
	const char *names_text = getenv("LISTEN_FDNAMES");
	struct str names = str_of_c(names_text);
	if (!str_to_u64(str_of_c(getenv("LISTEN_PID")), INT32_MAX, &pid) || pid != (uint64_t)getpid())
		return 0; // meant for another process
	if (!str_to_u64(str_of_c(getenv("LISTEN_FDS")), INT32_MAX - FD_FIRST, &n))
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		char name[NAME_BYTES];
		struct str one = names, rest = STR_NONE;
		str_cut(names, ':', &one, &rest);
		names = rest;
		int fd = FD_FIRST + (int)i, flags = fcntl(fd, F_GETFD);
		if (flags < 0 || !str_to_c(one, name, sizeof name))
			continue;
		fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
		each(fd, name, arg);
	}
	return (size_t)n;
}

// --- Caps ---

struct counted {
	struct counted *next; // in its bucket
	struct netaddr prefix;
	size_t n;
};

// A scheduler that accepts, and how many of the connections it serves.
struct home {
	struct sched *sched; // borrowed
	size_t sessions;
};

struct listen_caps {
	pthread_mutex_t mutex; // for what follows; held for a few instructions
	struct home *homes;    // owned; they only become more
	size_t homes_n;
	size_t connections_max, per_address_max;
	struct listen_stats stats;
	struct counted *buckets[BUCKETS]; // owned; addresses with a connection
};

struct listen_caps *listen_caps_new(size_t connections_max, size_t per_address_max)
{
	struct listen_caps *caps = calloc(1, sizeof *caps);
	must(caps != NULL && pthread_mutex_init(&caps->mutex, NULL) == 0);
	caps->connections_max = connections_max;
	caps->per_address_max = per_address_max;
	return caps;
}

void listen_caps_free(struct listen_caps **caps_taken)
{
	struct listen_caps *caps = *caps_taken;
	*caps_taken = NULL;
	if (caps == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		must(caps->buckets[i] == NULL);
	pthread_mutex_destroy(&caps->mutex);
	free(caps->homes);
	free(caps);
}

void listen_caps_set(struct listen_caps *caps, size_t connections_max, size_t per_address_max)
{
	pthread_mutex_lock(&caps->mutex);
	must((caps->per_address_max == 0) == (per_address_max == 0)); // those who are in are counted, or not
	caps->connections_max = connections_max;
	caps->per_address_max = per_address_max;
	pthread_mutex_unlock(&caps->mutex);
}

void listen_stats(struct listen_caps *caps, struct listen_stats *stats_out)
{
	pthread_mutex_lock(&caps->mutex);
	*stats_out = caps->stats;
	pthread_mutex_unlock(&caps->mutex);
}

static struct counted **find(struct listen_caps *caps, const struct netaddr *prefix)
{
	struct counted **at = &caps->buckets[netaddr_hash(prefix) % BUCKETS];
	while (*at && !netaddr_same_host(&(*at)->prefix, prefix))
		at = &(*at)->next;
	return at;
}

static bool count_address(struct listen_caps *caps, const struct netaddr *prefix)
{
	if (prefix->family == NETADDR_NONE || caps->per_address_max == 0)
		return true;
	struct counted **at = find(caps, prefix);
	if (*at == NULL) {
		*at = calloc(1, sizeof **at);
		must(*at != NULL);
		(*at)->prefix = *prefix;
	}
	if ((*at)->n >= caps->per_address_max)
		return false;
	(*at)->n++;
	return true;
}

// True: the connection is counted and caps_leave must follow.
static bool caps_enter(struct listen_caps *caps, const struct netaddr *prefix)
{
	pthread_mutex_lock(&caps->mutex);
	bool full = caps->connections_max && caps->stats.connections >= caps->connections_max;
	bool entered = !full && count_address(caps, prefix);
	if (entered) {
		caps->stats.connections++;
		caps->stats.accepted++;
	} else if (full) {
		caps->stats.refused_full++;
	} else {
		caps->stats.refused_address++;
	}
	pthread_mutex_unlock(&caps->mutex);
	return entered;
}

static void uncount_address(struct listen_caps *caps, const struct netaddr *prefix)
{
	if (prefix->family == NETADDR_NONE || caps->per_address_max == 0)
		return;
	struct counted **at = find(caps, prefix), *counted = *at;
	if (--counted->n == 0) {
		*at = counted->next;
		free(counted);
	}
}

static void caps_leave(struct listen_caps *caps, const struct netaddr *prefix)
{
	pthread_mutex_lock(&caps->mutex);
	caps->stats.connections--;
	uncount_address(caps, prefix);
	pthread_mutex_unlock(&caps->mutex);
}

// Of an address that was counted: one connection less, which stays itself.
static void caps_leave_address(struct listen_caps *caps, const struct netaddr *prefix)
{
	pthread_mutex_lock(&caps->mutex);
	uncount_address(caps, prefix);
	pthread_mutex_unlock(&caps->mutex);
}

static size_t find_home(const struct listen_caps *caps, const struct sched *sched)
{
	size_t i = 0;
	while (i < caps->homes_n && caps->homes[i].sched != sched)
		i++;
	return i;
}

static void add_home(struct listen_caps *caps, struct sched *sched)
{
	pthread_mutex_lock(&caps->mutex);
	if (find_home(caps, sched) == caps->homes_n) {
		caps->homes = reallocarray(caps->homes, caps->homes_n + 1, sizeof *caps->homes);
		must(caps->homes != NULL);
		caps->homes[caps->homes_n++] = (struct home){.sched = sched};
	}
	pthread_mutex_unlock(&caps->mutex);
}

// The scheduler that has the fewest, preferably this thread's own; counted there until leave_home.
static struct sched *enter_home(struct listen_caps *caps)
{
	pthread_mutex_lock(&caps->mutex);
	size_t best = find_home(caps, sched_self());
	for (size_t i = 0; i < caps->homes_n; i++)
		if (caps->homes[i].sessions < caps->homes[best].sessions)
			best = i;
	caps->homes[best].sessions++;
	struct sched *sched = caps->homes[best].sched;
	pthread_mutex_unlock(&caps->mutex);
	return sched;
}

static void leave_home(struct listen_caps *caps, const struct sched *sched)
{
	pthread_mutex_lock(&caps->mutex);
	caps->homes[find_home(caps, sched)].sessions--;
	pthread_mutex_unlock(&caps->mutex);
}

static void caps_count(struct listen_caps *caps, uint64_t *counter)
{
	pthread_mutex_lock(&caps->mutex);
	++*counter;
	pthread_mutex_unlock(&caps->mutex);
}

// --- Accepting ---

struct acceptor {
	const struct listen_service *service; // borrowed
	struct listen_caps *caps;             // borrowed
	int fd;                               // borrowed
	struct fiber_io *io;                  // owned
};

struct session {
	const struct listen_service *service; // borrowed
	struct listen_caps *caps;             // borrowed; counted in it, and in the service's own
	struct netaddr prefix;
	struct sched *home; // borrowed; counted there
	int fd;
};

static bool enter_both(struct listen_caps *caps, const struct listen_service *service, const struct netaddr *prefix)
{
	if (!caps_enter(caps, prefix))
		return false;
	if (service->caps == NULL || caps_enter(service->caps, prefix))
		return true;
	caps_leave(caps, prefix);
	return false;
}

static void leave_both(struct listen_caps *caps, const struct listen_service *service, const struct netaddr *prefix)
{
	if (service->caps)
		caps_leave(service->caps, prefix);
	caps_leave(caps, prefix);
}

static void leave_all(const struct session *session)
{
	leave_home(session->caps, session->home);
	leave_both(session->caps, session->service, &session->prefix);
}

void listen_known(void)
{
	struct session *session = fiber_user();
	if (session == NULL)
		return;
	if (session->service->caps)
		caps_leave_address(session->service->caps, &session->prefix);
	caps_leave_address(session->caps, &session->prefix);
	session->prefix = (struct netaddr){0}; // counted no more
}

static void serve(void *arg)
{
	struct session session = *(struct session *)arg;
	struct conn *conn;
	free(arg);
	fiber_set_user(&session);
	if (conn_of_fd(session.fd, &conn, NULL) == ERR_OK)
		session.service->serve(conn, session.service->arg);
	leave_all(&session);
}

// Without waiting: a fresh socket takes a line. The peer has at most begun to speak, so its input is not waited for either.
static void refuse(const struct listen_service *service, int fd)
{
	struct str text = service->refusal;
	if (text.n)
		send(fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	close(fd);
}

// Its home has no fiber for it, or is stopping. On the thread of its home, or of who accepted it.
static void turn_away(void *arg)
{
	struct session *session = arg;
	caps_count(session->caps, &session->caps->stats.refused_full);
	refuse(session->service, session->fd);
	leave_all(session);
	free(session);
}

static bool spawn_at_home(struct session *session)
{
	const char *name = session->service->name;
	return session->home == sched_self() ? fiber_spawn(serve, session, name) != NULL
					     : sched_spawn_or(session->home, serve, session, name, turn_away);
}

static void welcome(const struct acceptor *acceptor, int fd, const struct netaddr *peer)
{
	const struct listen_service *service = acceptor->service;
	bool exempt = service->is_exempt && service->is_exempt(peer, service->arg);
	struct netaddr prefix = exempt ? (struct netaddr){0} : netaddr_prefix(peer, V4_BITS, V6_BITS);
	if (!enter_both(acceptor->caps, service, &prefix)) {
		refuse(service, fd);
		return;
	}
	struct session *session = malloc(sizeof *session);
	must(session != NULL);
	*session = (struct session){service, acceptor->caps, prefix, enter_home(acceptor->caps), fd};
	if (!spawn_at_home(session))
		turn_away(session);
}

// One connection, if there is one. False: nothing is left, wait for more.
static bool accept_one(const struct acceptor *acceptor)
{
	struct sockaddr_storage sa;
	socklen_t bytes = sizeof sa;
	int fd = accept4(acceptor->fd, (struct sockaddr *)&sa, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		struct netaddr peer = netaddr_of_sockaddr((struct sockaddr *)&sa, bytes);
		welcome(acceptor, fd, &peer);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		caps_count(acceptor->caps, &acceptor->caps->stats.failed);
		fiber_sleep_ms(PAUSE_MS); // the backlog keeps them
		return true;
	default:
		return true; // this connection is gone again (accept(2): ECONNABORTED and the network's own errors)
	}
}

static void accept_all(void *arg)
{
	struct acceptor *acceptor = arg;
	while (!fiber_is_cancelled()) {
		if (accept_one(acceptor)) {
			fiber_spent(0, 1);
			continue;
		}
		fiber_io_drained(acceptor->io, FIBER_READABLE);
		fiber_wait(acceptor->io, FIBER_READABLE, CLOCK_NEVER);
	}
	fiber_io_close(&acceptor->io);
	free(acceptor);
}

enum err_code listen_start(const struct listen_service *service, int fd, struct listen_caps *caps, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_errno(err, "accept for %s", service->name);
	struct acceptor *acceptor = calloc(1, sizeof *acceptor);
	must(acceptor != NULL);
	*acceptor = (struct acceptor){service, caps, fd, fiber_io_open_exclusive(fd)};
	add_home(caps, sched_self());
	if (acceptor->io && fiber_spawn(accept_all, acceptor, service->name))
		return ERR_OK;
	fiber_io_close(&acceptor->io);
	free(acceptor);
	return err_set(err, ERR_NOMEM, "accept for %s: no fiber or no room in epoll", service->name);
}
