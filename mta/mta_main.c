// SPDX-License-Identifier: Apache-2.0
// posthouse-mta: the front-end. SMTP in on 25, 587 and 465, the queue, deliveries out.
//
// Start: certificates are read while still privileged (pre_jail); then, as posthouse-mta and in the sandbox, the queue is
// recovered, the runtime's schedulers start, deliveries begin, and only then the listeners accept. Stop runs backwards: no
// accept, sessions finish their command and say 421, running tries finish, the queue commits what waits. A crash at any point
// loses nothing that was promised; the next start recovers.
#include "base/daemon.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/must.h"
#include "base/runtime.h"
#include "ldapsync/directory_views.h"
#include "mail/charset.h"
#include "mta/queue.h"
#include "mta_directory.h"
#include "mta_route.h"
#include "mta_rules.h"
#include "mta_tls.h"
#include "router/list_answers.h"
#include "router/login.h"
#include "schema/daemons.h"
#include "smtp_metrics.h"
#include "smtp_server.h"

enum {
	SOCKETS_MAX = DAEMON_SOCKETS_MAX,
};

struct mta {
	struct daemon *daemon;
	struct runtime *runtime;
	struct login *login;
	void *shared_logins;
	struct directory_views *views;
	struct mta_tls tls;
	struct mta_rules rules;
	struct queue *queue;
	struct smtp_server smtp;
	struct smtp_service services[3], mailboxes;
	struct listen_service listeners[3], mailboxes_listener;
	struct local_socket mailboxes_socket;
	struct listen_caps *caps; // of the three together
};

// 25, 587 and 465, by the names that their sockets are passed under.
static const struct {
	const char *name;
	bool submission, tls_at_start;
} services[3] = {{"smtp", false, false}, {"submission", true, false}, {"submissions", true, true}};

static struct settings_snapshot *settings_now(void *arg)
{
	struct mta *mta = arg;
	return daemon_settings(mta->daemon);
}

static struct rules *rules_now(void *arg)
{
	struct mta *mta = arg;
	return mta_rules_get(&mta->rules);
}

static struct directory *directory_here(void *arg)
{
	struct mta *mta = arg;
	return directory_views_here(mta->views);
}

static bool is_trusted(const struct netaddr *peer, void *arg)
{
	const struct smtp_service *service = arg;
	struct settings_snapshot *snapshot = service->server->settings_get(service->server->arg);
	bool trusted = settings_networks_have(&settings_of(snapshot)->trusted_networks, peer);
	settings_unref(&snapshot);
	return trusted;
}

static enum err_code open_local(struct mta *mta, const struct settings *settings, struct err *err)
{
	struct arena *arena = arena_new(4096);
	enum err_code code =
		local_socket_open(settings, daemons_smtp_path(settings, arena), DAEMONS_POPIMAP, &mta->mailboxes_socket, err);
	arena_free(&arena);
	return code;
}

static enum err_code mta_pre_jail(struct daemon *daemon, struct err *err)
{
	struct mta *mta = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	mta->daemon = daemon;
	mta->shared_logins = login_share(settings_of(snapshot)->run_dir);
	charset_preload(); // iconv reads modules from disk at a charset's first use
	struct err bad;
	enum err_code code = mta_tls_load(settings_of(snapshot), &mta->tls, err);
	if (code == ERR_OK)
		code = open_local(mta, settings_of(snapshot), err);
	// A slip in a table does not take the mailboxes away with it: what the table decides waits.
	if (mta_rules_load(&mta->rules, settings_of(snapshot), &bad))
		log_error(NULL,
			"a table cannot be used: mail that it may have a row for waits until it is corrected and read again",
			log_err(&bad));
	settings_unref(&snapshot);
	return code;
}

static enum err_code start_queue(struct mta *mta, struct settings_snapshot *snapshot, struct err *err)
{
	struct arena *arena = arena_new(4096);
	const struct queue_config config = {
		.dir = settings_data_path(settings_of(snapshot), arena, "queue").p,
		.runtime = mta->runtime,
		.settings = snapshot,
		.resolve = mta_directory_resolve,
		.host = mta_directory_host,
		.expand = mta_directory_expand,
		.route = mta_route,
		.world = mta_route_world,
		.arg = &mta->smtp,
		.tls = mta->tls.out,
		.died = daemon_die_of_eio,
	};
	enum err_code code = queue_open(&config, &mta->queue, err);
	arena_free(&arena);
	return code;
}

// One connection is what posthouse-popimap uses; it needs no caps.
static enum err_code listen_to_mailboxes(struct mta *mta, struct err *err)
{
	mta->mailboxes = (struct smtp_service){.server = &mta->smtp, .mailboxes = &mta->mailboxes_socket};
	mta->mailboxes_listener =
		(struct listen_service){.name = "mailboxes", .serve = smtp_server_serve, .arg = &mta->mailboxes};
	if (mta->mailboxes_socket.fd < 0)
		return ERR_OK;
	return runtime_listen(mta->runtime, &mta->mailboxes_listener, mta->mailboxes_socket.fd, err);
}

static enum err_code start_listeners(struct mta *mta, struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
		int fds[SOCKETS_MAX];
		size_t n = daemon_take_sockets(mta->daemon, services[i].name, fds, SOCKETS_MAX);
		mta->services[i] = (struct smtp_service){.server = &mta->smtp, .submission = services[i].submission,
			.tls_at_start = services[i].tls_at_start};
		mta->listeners[i] = (struct listen_service){
			.name = services[i].name,
			.serve = smtp_server_serve,
			.arg = &mta->services[i],
			.refusal = services[i].tls_at_start ? STR_NONE : STR("421 4.7.0 too many connections\r\n"),
			.caps = mta->caps,
			.is_exempt = is_trusted,
		};
		for (size_t k = 0; code == ERR_OK && k < n; k++)
			code = runtime_listen(mta->runtime, &mta->listeners[i], fds[k], err);
	}
	return code ? code : listen_to_mailboxes(mta, err);
}

static void collect(void *arg)
{
	struct mta *mta = arg;
	struct listen_stats own, all;
	runtime_collect(mta->runtime);
	listen_stats(mta->caps, &own);
	listen_stats(runtime_caps(mta->runtime), &all);
	metric_set(&metric_mta_smtp_over_cap,
		(int64_t)(own.refused_full + own.refused_address + all.refused_full + all.refused_address));
	struct tls_server *tls = tls_slot_get(&mta->smtp.tls);
	metric_set(&metric_mta_tls_expires, tls ? tls_server_expires_wall_ms(tls) / 1000 : 0);
	tls_server_drop(&tls);
}

static enum err_code start_runtime(struct mta *mta, const struct settings *settings, struct err *err)
{
	const struct runtime_config config = {.name = "mta", .schedulers = (unsigned)settings->threads};
	mta->caps = listen_caps_new((size_t)settings->smtp_connections_max, (size_t)settings->smtp_connections_per_address_max);
	return runtime_new(&config, &mta->runtime, err);
}

static void open_views(struct mta *mta, const struct settings *settings)
{
	struct arena *arena = arena_new(4096);
	mta->views =
		directory_views_open(mta->runtime, settings_data_path(settings, arena, "shadow/shadow.db").p, settings->fresh_s);
	arena_free(&arena);
}

static void trouble(void *arg, struct buf *text)
{
	struct mta *mta = arg;
	mta_rules_trouble(&mta->rules, text);
	queue_trouble(mta->queue, text);
}

static enum err_code mta_post_jail(struct daemon *daemon, struct err *err)
{
	struct mta *mta = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	const struct settings *settings = settings_of(snapshot);
	metrics_register(mta_smtp_metrics);
	metrics_register(login_metrics);
	metrics_on_render(collect, mta);
	mta->smtp.directory = directory_here;
	mta->smtp.settings_get = settings_now;
	mta->smtp.rules_get = rules_now;
	mta->smtp.arg = mta;
	enum err_code code = start_runtime(mta, settings, err);
	if (code == ERR_OK) {
		open_views(mta, settings);
		code = login_open(&(struct login_config){
				.settings = settings, .settings_get = settings_now, .arg = mta, .shared = mta->shared_logins},
			&mta->login, err);
	}
	if (code == ERR_OK)
		code = start_queue(mta, snapshot, err);
	if (code == ERR_OK) {
		mta->smtp.queue = mta->queue;
		mta->smtp.workers = runtime_workers(mta->runtime);
		mta->smtp.login = mta->login;
		mta->smtp.submit_rate = hour_rate_new();
		mta->smtp.unknown_rate = hour_rate_new();
		mta->smtp.list_answers = list_answers_new();
		tls_slot_set(&mta->smtp.tls, &mta->tls.server);
		tls_slot_set(&mta->smtp.tls_asking, &mta->tls.asking);
		struct control *control = daemon_serve_control(daemon, runtime_sched(mta->runtime, 0));
		if (control) {
			control_on_trouble(control, trouble, mta);
			queue_register_commands(mta->queue, control);
		}
		queue_start(mta->queue);
		code = start_listeners(mta, err);
	}
	settings_unref(&snapshot);
	return code;
}

#define TABLES_NOT_READ "the tables of routes_file and access_file were not read again; the old ones stay in use"
#define CERTIFICATES_NOT_READ "certificates were not read again; the old ones stay in use"

static void mta_reload(struct daemon *daemon)
{
	struct mta *mta = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	struct mta_tls fresh = {.server = NULL};
	const struct settings *settings = settings_of(snapshot);
	struct err err;
	listen_caps_set(mta->caps, (size_t)settings->smtp_connections_max, (size_t)settings->smtp_connections_per_address_max);
	if (mta_rules_load(&mta->rules, settings, &err)) {
		log_error(NULL, TABLES_NOT_READ, log_err(&err));
		daemon_not_taken_over(daemon, TABLES_NOT_READ, &err);
	}
	if (mta_tls_load(settings, &fresh, &err)) {
		log_error(NULL, CERTIFICATES_NOT_READ, log_err(&err));
		daemon_not_taken_over(daemon, CERTIFICATES_NOT_READ, &err);
		queue_reload(mta->queue, snapshot, &mta->tls.out);
	} else {
		mta_tls_drop(&mta->tls);
		mta->tls = fresh;
		tls_slot_set(&mta->smtp.tls, &mta->tls.server);
		tls_slot_set(&mta->smtp.tls_asking, &mta->tls.asking);
		queue_reload(mta->queue, snapshot, &mta->tls.out);
	}
	list_answers_forget(mta->smtp.list_answers);
	atomic_fetch_add_explicit(&mta->smtp.reloads, 1, memory_order_relaxed);
	settings_unref(&snapshot);
}

static void mta_stop(struct daemon *daemon)
{
	struct mta *mta = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	if (mta->queue)
		queue_stop(mta->queue);
	if (mta->runtime)
		runtime_stop(mta->runtime, settings_of(snapshot)->stop_deadline_s * 1000);
	settings_unref(&snapshot);
	local_socket_close(&mta->mailboxes_socket);
	if (mta->queue)
		queue_close(&mta->queue);
	login_close(&mta->login);
	directory_views_close(&mta->views);
	if (mta->runtime)
		runtime_free(&mta->runtime);
	listen_caps_free(&mta->caps);
	hour_rate_free(&mta->smtp.submit_rate);
	hour_rate_free(&mta->smtp.unknown_rate);
	list_answers_free(&mta->smtp.list_answers);
	mta_tls_drop(&mta->tls);
	struct tls_server *none = NULL;
	tls_slot_set(&mta->smtp.tls, &none);
	tls_slot_set(&mta->smtp.tls_asking, &none);
	mta_rules_drop(&mta->rules);
}

int main(int argc, char **argv)
{
	static struct mta mta = {.smtp.tls = TLS_SLOT_INIT, .smtp.tls_asking = TLS_SLOT_INIT, .rules = MTA_RULES_INIT,
		.mailboxes_socket = LOCAL_SOCKET_NONE};
	static const struct daemon_spec spec = {
		.name = "mta",
		.settings = &settings_table,
		.options = daemons_mta_options,
		.pre_jail = mta_pre_jail,
		.post_jail = mta_post_jail,
		.reload = mta_reload,
		.stop = mta_stop,
	};
	return daemon_main(&spec, &mta, argc, argv);
}
