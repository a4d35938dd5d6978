// SPDX-License-Identifier: Apache-2.0
// The life of a daemon: settings, inherited sockets, pre_jail, another user, the sandbox, post_jail, signals, a clean end.
//
// All of this runs on the main thread. Until the jail there is no other thread, because Landlock holds only for the thread that
// enters it and for those that it starts. The signals we wait for are blocked before anything else, so every thread inherits that
// and the main thread alone takes them.
//
// A failure before "ready" ends with exit 1 after its text is in the log. After that nothing here ends the process but SIGTERM,
// SIGINT and daemon_die_of_eio().
#include "base/daemon.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/listen.h"
#include "base/must.h"
#include "metrics_base.h"

enum { ARENA_BYTES = 256 << 10, RULES_MAX = 160, NAMES_BYTES_MAX = 64 << 10 };

static const char default_path[] = "/etc/posthouse/posthouse.conf";

// One inherited socket; fd is -1 once it was taken.
struct inherited {
	const char *name; // owned
	int fd;
};

struct daemon {
	const struct daemon_spec *spec;
	void *arg;
	const char *path; // of the settings
	pthread_mutex_t lock;
	struct settings_snapshot *settings; // under lock
	struct settings_snapshot *started;  // those of the start
	json_t *not_taken_over;             // by the last reload, as text; under lock
	uint64_t reloads;                   // that are done; under lock
	struct arena *arena;                // of options
	struct daemon_options options;
	uid_t uid;
	gid_t gid, control_gid;
	bool changes_user;
	struct inherited sockets[DAEMON_SOCKETS_MAX];
	size_t sockets_n;
	int control_fd, notify_fd;
	struct control *control;
};

void *daemon_arg(const struct daemon *daemon)
{
	return daemon->arg;
}

struct settings_snapshot *daemon_settings(struct daemon *daemon)
{
	pthread_mutex_lock(&daemon->lock);
	struct settings_snapshot *snapshot = settings_ref(daemon->settings);
	pthread_mutex_unlock(&daemon->lock);
	return snapshot;
}

const char *daemon_settings_path(int argc, char **argv)
{
	int option;
	const char *path = NULL;
	while ((option = getopt(argc, argv, "c:")) == 'c')
		path = optarg;
	if (option != -1 || optind != argc) {
		fprintf(stderr, "usage: %s [-c FILE]\n", argv[0]);
		exit(DAEMON_EXIT_USAGE);
	}
	const char *set = getenv("POSTHOUSE_CONF");
	return path != NULL ? path : set != NULL && *set ? set : default_path;
}

// Reads the file; complaints go to stderr, for the one who starts us, and to the log as one event each for everyone else.
static enum err_code load(struct daemon *daemon, struct settings_snapshot **out)
{
	struct settings_report report;
	settings_report_init(&report);
	enum err_code code = settings_load(daemon->spec->settings, daemon->path, &report, out);
	struct str rest = buf_str(&report.lines), line;
	while (str_next_line(&rest, &line))
		log_error(NULL, "the settings are wrong", log_str("place", line));
	settings_report_fini(&report);
	return code;
}

static void inherit(int fd, const char *name, void *arg)
{
	struct daemon *daemon = arg;
	must(daemon->sockets_n < DAEMON_SOCKETS_MAX);
	char *copy = strdup(name);
	must(copy != NULL);
	daemon->sockets[daemon->sockets_n++] = (struct inherited){.name = copy, .fd = fd};
}

size_t daemon_take_sockets(struct daemon *daemon, const char *name, int *fds, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < daemon->sockets_n && n < max; i++)
		if (daemon->sockets[i].fd >= 0 && strcmp(daemon->sockets[i].name, name) == 0) {
			fds[n++] = daemon->sockets[i].fd;
			daemon->sockets[i].fd = -1;
		}
	return n;
}

static void set_limits(void)
{
	umask(027);
	struct rlimit limit = {0, 0}; // a core would hold mail and passwords
	(void)!setrlimit(RLIMIT_CORE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)!setrlimit(RLIMIT_NOFILE, &limit);
	}
}

// Who we shall be, looked up while all files can still be read.
static enum err_code find_user(struct daemon *daemon, struct err *err)
{
	const struct daemon_options *options = &daemon->options;
	daemon->uid = geteuid();
	daemon->gid = getegid();
	if (*options->user) {
		const struct passwd *entry = getpwnam(options->user);
		if (entry == NULL)
			return err_set(err, ERR_NOTFOUND, "there is no user %s; make it, or set %s_user", options->user,
				daemon->spec->name);
		daemon->changes_user = entry->pw_uid != geteuid();
		daemon->uid = entry->pw_uid;
		daemon->gid = entry->pw_gid;
		if (daemon->changes_user && geteuid() != 0)
			return err_set(err, ERR_DENIED, "only root can become %s; start as root, or set %s_user to \"\"",
				options->user, daemon->spec->name);
	}
	daemon->control_gid = daemon->gid;
	if (*options->group) {
		const struct group *entry = getgrnam(options->group);
		if (entry == NULL)
			return err_set(err, ERR_NOTFOUND, "there is no group %s; make it, or set group", options->group);
		daemon->control_gid = entry->gr_gid;
	}
	return ERR_OK;
}

// To systemd or `posthouse run` (sd_notify(3)): one datagram. Opened before the jail, so that the address need not be reachable
// in it.
static void open_notify(struct daemon *daemon)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	daemon->notify_fd = -1;
	if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (*path == '@')
		address.sun_path[0] = 0;
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, bytes) == 0)
		daemon->notify_fd = fd;
	else if (fd >= 0)
		close(fd);
	unsetenv("NOTIFY_SOCKET");
}

static void notify(const struct daemon *daemon, const char *state)
{
	if (daemon->notify_fd >= 0)
		(void)!send(daemon->notify_fd, state, strlen(state), MSG_NOSIGNAL);
}

// Supplementary groups come from the system's group file: posthouse and posthouse-auth (FORMATS.md section 3).
static enum err_code become_user(struct daemon *daemon, struct err *err)
{
	if (!daemon->changes_user)
		return ERR_OK;
	if (initgroups(daemon->options.user, daemon->gid) < 0 || setresgid(daemon->gid, daemon->gid, daemon->gid) < 0 ||
		setresuid(daemon->uid, daemon->uid, daemon->uid) < 0)
		return err_errno(err, "become user %s", daemon->options.user);
	must(setresuid(0, 0, 0) < 0); // for good
	return ERR_OK;
}

// A supervisor that is killed takes its daemons along: alone they would hold the sockets, and nobody would start them again.
// After the change of user, which clears this.
static enum err_code end_with_supervisor(struct daemon *daemon, struct err *err)
{
	(void)daemon;
	(void)err;
	const char *supervisor = getenv("POSTHOUSE_RUN_PID");
	uint64_t pid;
	if (supervisor == NULL || !str_to_u64(str_of_c(supervisor), INT32_MAX, &pid))
		return ERR_OK;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != (pid_t)pid)
		raise(SIGTERM); // it died meanwhile; taken when we wait for signals
	unsetenv("POSTHOUSE_RUN_PID");
	return ERR_OK;
}

// What the daemon may do, and the folder of the settings' file, which a reload reads.
static enum err_code enter_sandbox(struct daemon *daemon, struct err *err)
{
	struct sandbox_rule may[RULES_MAX];
	size_t n = 0;
	for (; daemon->options.may[n].permission != SANDBOX_END; n++) {
		must(n < RULES_MAX - 2);
		may[n] = daemon->options.may[n];
	}
	const char *slash = strrchr(daemon->path, '/');
	must(slash != NULL);
	may[n++] = (struct sandbox_rule){
		SANDBOX_READ, arena_dup(daemon->arena, str_of(daemon->path, (size_t)(slash - daemon->path) + 1)).p};
	may[n] = (struct sandbox_rule){SANDBOX_END, NULL};
	return sandbox_enter(may, daemon->options.sandbox, err);
}

static enum err_code listen_control(struct daemon *daemon, struct err *err)
{
	if (*daemon->options.control == 0)
		return ERR_OK;
	return control_listen(daemon->options.control, daemon->uid, daemon->control_gid, &daemon->control_fd, err);
}

// Phases 2 to 5. On failure the text is in *err and post_jail may have started something.
static enum err_code start(struct daemon *daemon, bool *started_out, struct err *err)
{
	const struct daemon_spec *spec = daemon->spec;
	set_limits();
	listen_inherited(inherit, daemon);
	open_notify(daemon);
	enum err_code (*const before[])(struct daemon *, struct err *) = {find_user, listen_control, spec->pre_jail, become_user,
		end_with_supervisor, enter_sandbox};
	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		enum err_code code = before[i] != NULL ? before[i](daemon, err) : ERR_OK;
		if (code)
			return code;
	}
	// A change of user clears the flag that lets our own user, and so a debugger, look into us: as it should be.
	metrics_register_base();
	log_start(spec->name, daemon->options.log_destination, daemon->options.log_level);
	*started_out = true;
	enum err_code code = spec->post_jail(daemon, err);
	if (code == ERR_OK && daemon->control)
		control_begin(daemon->control); // its commands are all there now
	return code;
}

// "what: why", whatever bytes it quotes.
static json_t *complaint(const char *what, const char *why)
{
	char text[2 * ERR_TEXT_BYTES];
	snprintf(text, sizeof text, "%s: %s", what, why);
	json_t *line = json_string(text);
	return line ? line : json_string(what);
}

// A bad new file changes nothing.
static void reload(struct daemon *daemon)
{
	struct settings_snapshot *fresh;
	pthread_mutex_lock(&daemon->lock);
	json_array_clear(daemon->not_taken_over);
	pthread_mutex_unlock(&daemon->lock);
	if (load(daemon, &fresh)) {
		metric_add(&metric_settings_reload_errors, 1);
		log_error(NULL, "the settings have errors and were not taken over");
		daemon_not_taken_over(daemon, "the settings have errors and were not taken over",
			&(struct err){ERR_INVALID, "the log of this daemon says which"});
		return;
	}
	struct buf names;
	buf_init(&names, NAMES_BYTES_MAX);
	settings_start_only_changes(daemon->spec->settings, settings_values(daemon->settings), settings_values(fresh), &names);
	struct str rest = buf_str(&names), name;
	while (str_next_line(&rest, &name))
		log_warning(NULL, "a setting has changed that takes effect at the next start", log_str("setting", name));
	buf_fini(&names);
	pthread_mutex_lock(&daemon->lock);
	struct settings_snapshot *old = daemon->settings;
	daemon->settings = fresh;
	pthread_mutex_unlock(&daemon->lock);
	settings_unref(&old);
	struct arena *arena = arena_new(ARENA_BYTES);
	struct daemon_options options;
	daemon->spec->options(settings_values(fresh), arena, &options);
	log_set_level(options.log_level);
	arena_free(&arena);
	if (daemon->spec->reload != NULL)
		daemon->spec->reload(daemon);
	metric_add(&metric_settings_reloads, 1);
	log_info(NULL, "settings were read again");
}

// A process that does not end although told twice is ended.
static void exit_at_once(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void wait_for_signals(struct daemon *daemon, const sigset_t *signals)
{
	for (;;) {
		int which;
		if (sigwait(signals, &which) != 0)
			continue;
		if (which != SIGHUP)
			break;
		reload(daemon);
		pthread_mutex_lock(&daemon->lock);
		daemon->reloads++;
		pthread_mutex_unlock(&daemon->lock);
	}
	// The kernel tells of the supervisor's death once for each of its threads: what came together is one order.
	const struct timespec now = {0};
	prctl(PR_SET_PDEATHSIG, 0);
	while (sigtimedwait(signals, NULL, &now) > 0)
		;
	const struct sigaction at_once = {.sa_handler = exit_at_once};
	sigaction(SIGTERM, &at_once, NULL);
	sigaction(SIGINT, &at_once, NULL);
	pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static void fini(struct daemon *daemon)
{
	control_free(&daemon->control);
	for (size_t i = 0; i < daemon->sockets_n; i++) {
		if (daemon->sockets[i].fd >= 0)
			close(daemon->sockets[i].fd);
		free((void *)(uintptr_t)daemon->sockets[i].name);
	}
	settings_unref(&daemon->settings);
	settings_unref(&daemon->started);
	json_decref(daemon->not_taken_over);
	arena_free(&daemon->arena);
	pthread_mutex_destroy(&daemon->lock);
}

static int run(struct daemon *daemon, const sigset_t *signals)
{
	struct err err = {ERR_OK, ""};
	bool started = false;
	if (start(daemon, &started, &err)) {
		log_error(NULL, "cannot start", log_c("daemon", daemon->spec->name), log_err(&err));
		if (started)
			daemon->spec->stop(daemon);
		log_stop();
		return DAEMON_EXIT_START;
	}
	notify(daemon, "READY=1");
	log_info(NULL, "ready", log_c("version", POSTHOUSE_VERSION));
	wait_for_signals(daemon, signals);
	notify(daemon, "STOPPING=1");
	log_info(NULL, "stopping");
	daemon->spec->stop(daemon);
	log_info(NULL, "stopped");
	log_stop();
	return DAEMON_EXIT_OK;
}

int daemon_main(const struct daemon_spec *spec, void *arg, int argc, char **argv)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	struct daemon daemon = {.spec = spec, .arg = arg, .control_fd = -1, .notify_fd = -1};
	pthread_mutex_init(&daemon.lock, NULL);
	daemon.arena = arena_new(ARENA_BYTES);
	const char *given = daemon_settings_path(argc, argv);
	char *path = realpath(given, NULL); // a reload finds it whatever the working directory
	daemon.path = path != NULL ? path : given;
	int code = DAEMON_EXIT_START;
	daemon.not_taken_over = json_array();
	if (load(&daemon, &daemon.settings) == ERR_OK) {
		daemon.started = settings_ref(daemon.settings);
		spec->options(settings_values(daemon.settings), daemon.arena, &daemon.options);
		code = run(&daemon, &signals);
	}
	fini(&daemon);
	free(path);
	return code;
}

void daemon_not_taken_over(struct daemon *daemon, const char *what, const struct err *err)
{
	pthread_mutex_lock(&daemon->lock);
	json_array_append_new(daemon->not_taken_over, complaint(what, err->text));
	pthread_mutex_unlock(&daemon->lock);
}

// {"reloads", "errors": ["…"], "restart": ["listen_smtp", …]}: of the last reload, and what has changed since the start that only
// a start takes over.
static void on_settings(struct control_request *request, void *arg)
{
	struct daemon *daemon = arg;
	struct buf names;
	struct str rest, name;
	json_t *restart = json_array();
	struct settings_snapshot *now = daemon_settings(daemon);
	buf_init(&names, NAMES_BYTES_MAX);
	settings_start_only_changes(daemon->spec->settings, settings_values(daemon->started), settings_values(now), &names);
	for (rest = buf_str(&names); str_next_line(&rest, &name);)
		json_array_append_new(restart, json_stringn(name.p, name.n));
	settings_unref(&now);
	buf_fini(&names);
	pthread_mutex_lock(&daemon->lock);
	json_t *answer = json_pack("{s:I, s:O, s:o}", "reloads", (json_int_t)daemon->reloads, "errors", daemon->not_taken_over,
		"restart", restart);
	json_t *copy = json_deep_copy(answer); // its references are counted by one thread at a time
	json_decref(answer);
	pthread_mutex_unlock(&daemon->lock);
	control_ok(request, copy);
}

static void on_reload(struct control_request *request, void *arg)
{
	daemon_request_reload(arg);
	control_ok(request, NULL);
}

static void on_stop(struct control_request *request, void *arg)
{
	control_ok(request, NULL);
	daemon_request_stop(arg);
}

struct control *daemon_serve_control(struct daemon *daemon, struct sched *sched)
{
	if (daemon->control_fd < 0)
		return NULL;
	must(daemon->control == NULL);
	daemon->control = control_start(sched, daemon->control_fd, daemon->control_gid, daemon->spec->name);
	daemon->control_fd = -1;
	struct control_command *commands = arena_must(daemon->arena, 4 * sizeof *commands);
	commands[0] = (struct control_command){"reload", on_reload, daemon};
	commands[1] = (struct control_command){"stop", on_stop, daemon};
	commands[2] = (struct control_command){"settings", on_settings, daemon};
	control_register(daemon->control, commands);
	return daemon->control;
}

void daemon_request_stop(struct daemon *daemon)
{
	(void)daemon;
	kill(getpid(), SIGTERM);
}

void daemon_request_reload(struct daemon *daemon)
{
	(void)daemon;
	kill(getpid(), SIGHUP);
}

void daemon_die_of_eio(const struct err *err)
{
	log_error(NULL,
		"input/output error on a disk that must be durable: this process ends and is not restarted; look at the disk, "
		"make space if that was missing, then start it",
		log_err(err));
	log_stop(); // the line must get out; nothing else is written
	_exit(DAEMON_EXIT_EIO);
}
