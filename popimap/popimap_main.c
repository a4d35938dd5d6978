// SPDX-License-Identifier: Apache-2.0
// posthouse-popimap: the mailboxes. LMTP in from the front-ends, IMAP and POP3 out to the people.
//
// Start: certificates are read and the front-end's socket is made while still privileged (pre_jail); then, as posthouse-popimap
// and in the sandbox, the store opens, the runtime's schedulers start, and only then the listeners accept. Stop runs backwards:
// no accept, sessions finish their command and say goodbye, the store commits what waits and closes every database. A crash loses
// nothing that was promised: each mailbox is its last commit.
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/daemon.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/must.h"
#include "base/runtime.h"
#include "crowd.h"
#include "ldapsync/directory_views.h"
#include "lmtp_session.h"
#include "mail/charset.h"
#include "popimap_metrics.h"
#include "router/login.h"
#include "schema/daemons.h"
#include "schema/settings_tls.h"
#include "sender.h"
#include "server.h"
#include "store.h"

enum {
	STORE_DESCRIPTORS_EACH = 3, // database, its WAL, a large body
	STORE_OPEN_MIN = 16,
	STORE_OPEN_BYTES = 256 << 10, // of memory, rounded up
	STORE_MEMORY_PART = 16,       // of the machine's memory one in so many for open mailboxes
	MAILBOX_LIST_ROWS = 100, // of one look into node.db
	WORKERS = 4,             // beside the store's threads, which do nearly all that blocks
	TIDY_ROWS = 50,          // mailboxes looked at in one step
	TIDY_STEP_MS = 1000,
	TIDY_ROUND_MS = 600000,    // between the end of the list and its start
	CLOCK_TOLERANCE_MS = 300000, // a wall clock that moved further than this against the monotonic one is not believed
};

struct node {
	struct daemon *daemon;
	void *shared_logins;
	struct runtime *runtime;
	struct directory_views *views;
	struct popimap popimap;
	struct tls_client *sender_tls; // of the start, until the sender has it
	struct lmtp_service lmtp;
	struct popimap_service clear, tls_at_start;
	struct listen_service listeners[5];
	struct listen_caps *lmtp_caps, *imap_caps, *pop3_caps; // owned; with TLS and without together
	int64_t clock_offset_ms; // wall minus monotonic clock at the start
};

// --- What sessions ask for ---

static struct settings_snapshot *settings_now(void *arg)
{
	struct node *node = arg;
	return daemon_settings(node->daemon);
}

static struct directory *directory_here(void *arg)
{
	struct node *node = arg;
	return directory_views_here(node->views);
}

static void die_of_eio(const struct err *err, void *arg)
{
	(void)arg;
	daemon_die_of_eio(err);
}

// --- Certificates ---

static void set_client(struct node *node, struct tls_client **client)
{
	if (node->popimap.sender) {
		sender_set_tls(node->popimap.sender, client);
		return;
	}
	node->sender_tls = *client;
	*client = NULL;
}

static enum err_code load_tls(struct node *node, const struct settings *settings, struct err *err)
{
	struct tls_server *public = NULL, *private = NULL;
	struct tls_client *client = NULL;
	enum err_code code = settings_tls_server(settings, true, &public, err);
	if (code == ERR_OK)
		code = settings_tls_node_server(settings, &private, err);
	if (code == ERR_OK)
		code = settings_tls_node_client(settings, &client, err);
	if (code == ERR_OK) {
		tls_slot_set(&node->popimap.tls, &public);
		tls_slot_set(&node->lmtp.tls, &private);
		set_client(node, &client);
	}
	tls_client_drop(&client);
	tls_server_drop(&public);
	tls_server_drop(&private);
	return code;
}

// --- Start ---

static enum err_code open_local(struct node *node, const struct settings *settings, struct err *err)
{
	struct arena *arena = arena_new(4096);
	enum err_code code = local_socket_open(settings, daemons_lmtp_path(settings, arena), DAEMONS_MTA, &node->lmtp.local, err);
	arena_free(&arena);
	return code;
}

static enum err_code popimap_pre_jail(struct daemon *daemon, struct err *err)
{
	struct node *node = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	node->daemon = daemon;
	node->shared_logins = login_share(settings_of(snapshot)->run_dir);
	charset_preload(); // iconv reads modules from disk at a charset's first use
	enum err_code code = load_tls(node, settings_of(snapshot), err);
	if (code == ERR_OK)
		code = open_local(node, settings_of(snapshot), err);
	settings_unref(&snapshot);
	return code;
}

static size_t lower_cap(size_t cap, int64_t setting)
{
	return setting > 0 && (uint64_t)setting < cap ? (size_t)setting : cap;
}

static enum err_code start_runtime(struct node *node, const struct settings *settings, struct limits *limits_out, struct err *err)
{
	node->lmtp_caps = listen_caps_new((size_t)settings->lmtp_connections_max, 0);
	node->imap_caps =
		listen_caps_new((size_t)settings->imap_connections_max, (size_t)settings->imap_strangers_per_address_max);
	node->pop3_caps =
		listen_caps_new((size_t)settings->pop3_connections_max, (size_t)settings->imap_strangers_per_address_max);
	enum err_code code = limits_compute(limits_out, err);
	if (code)
		return code;
	const struct runtime_config config = {
		.name = "popimap", .schedulers = (unsigned)settings->threads, .workers = WORKERS, .limits = limits_out};
	return runtime_new(&config, &node->runtime, err);
}

// As many as there are descriptors for, and memory.
static size_t store_open_max(const struct settings *settings, const struct limits *limits)
{
	size_t by_handles = limits->handles_max / STORE_DESCRIPTORS_EACH;
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	size_t by_memory = (size_t)(memory / STORE_MEMORY_PART / STORE_OPEN_BYTES);
	size_t computed = by_handles < by_memory ? by_handles : by_memory;
	return lower_cap(computed > STORE_OPEN_MIN ? computed : STORE_OPEN_MIN, settings->store_open_max);
}

static enum err_code start_store(struct node *node, const struct settings *settings, const struct limits *limits, struct err *err)
{
	struct arena *arena = arena_new(4096);
	const struct store_config config = {
		.dir = settings_data_path(settings, arena, "mailboxes"),
		.threads = (unsigned)settings->store_threads,
		.open_max = store_open_max(settings, limits),
		.idle_ms = settings->store_idle_s * 1000,
		.again_ms = settings->store_again_s * 1000,
		.key_days = (unsigned)settings->delivered_key_days,
		.on_eio = die_of_eio,
	};
	enum err_code code = store_open(&config, &node->popimap.store, err);
	arena_free(&arena);
	return code;
}

static void open_views(struct node *node, const struct settings *settings)
{
	struct arena *arena = arena_new(4096);
	node->views =
		directory_views_open(node->runtime, settings_data_path(settings, arena, "shadow/shadow.db").p, settings->fresh_s);
	arena_free(&arena);
}

static enum err_code listen_one(struct node *node, size_t i, struct listen_service listener, struct err *err)
{
	int fds[DAEMON_SOCKETS_MAX];
	enum err_code code = ERR_OK;
	node->listeners[i] = listener;
	size_t n = daemon_take_sockets(node->daemon, listener.name, fds, DAEMON_SOCKETS_MAX);
	for (size_t k = 0; k < n && code == ERR_OK; k++)
		code = runtime_listen(node->runtime, &node->listeners[i], fds[k], err);
	return code;
}

// Webmail servers and our own proxies come for everybody.
static bool is_trusted(const struct netaddr *peer, void *arg)
{
	const struct popimap_service *service = arg;
	struct settings_snapshot *snapshot = service->popimap->settings_get(service->popimap->arg);
	bool trusted = settings_networks_have(&settings_of(snapshot)->trusted_networks, peer);
	settings_unref(&snapshot);
	return trusted;
}

static enum err_code start_listeners(struct node *node, struct err *err)
{
	node->lmtp.popimap = &node->popimap;
	node->clear = (struct popimap_service){.popimap = &node->popimap};
	node->tls_at_start = (struct popimap_service){.popimap = &node->popimap, .tls_at_start = true};
	const struct listen_service listeners[] = {
		{.name = "lmtp", .serve = lmtp_serve, .arg = &node->lmtp, .refusal = LMTP_REFUSAL, .caps = node->lmtp_caps},
		{.name = "imap", .serve = imap_serve, .arg = &node->clear, .refusal = IMAP_REFUSAL, .caps = node->imap_caps,
			.is_exempt = is_trusted},
		{.name = "imaps", .serve = imap_serve, .arg = &node->tls_at_start, .caps = node->imap_caps,
		.is_exempt = is_trusted},
		{.name = "pop3", .serve = pop3_serve, .arg = &node->clear, .refusal = POP3_REFUSAL, .caps = node->pop3_caps,
			.is_exempt = is_trusted},
		{.name = "pop3s", .serve = pop3_serve, .arg = &node->tls_at_start, .caps = node->pop3_caps,
		.is_exempt = is_trusted},
	};
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < sizeof listeners / sizeof *listeners && code == ERR_OK; i++)
		code = listen_one(node, i, listeners[i], err);
	if (code == ERR_OK && node->lmtp.local.fd >= 0)
		code = runtime_listen(node->runtime, &node->listeners[0], node->lmtp.local.fd, err); // LMTP, as on its port
	return code;
}

// --- Background work ---

// Has the wall clock jumped since the start? Then nothing is ended by its age.
static bool clock_is_odd(const struct node *node)
{
	int64_t moved_ms = clock_wall_ms() - clock_mono_exact_ms() - node->clock_offset_ms;
	return moved_ms > CLOCK_TOLERANCE_MS || moved_ms < -CLOCK_TOLERANCE_MS;
}

// Ends what lay in the trash for a day, forgets old keys, sweeps files that nobody names.
static void tidy_fiber(void *arg)
{
	struct node *node = arg;
	struct guid cursor = {0};
	struct err *err = calloc(1, sizeof *err);
	must(err != NULL);
	while (!(fiber_sleep_ms(guid_is_zero(&cursor) ? TIDY_ROUND_MS : TIDY_STEP_MS) & FIBER_CANCELLED)) {
		if (clock_is_odd(node)) {
			log_error(NULL, "the clock has jumped: old mail and delivery keys are kept until a restart");
			cursor = (struct guid){0};
		} else if (store_tidy(node->popimap.store, clock_wall_ms(), TIDY_ROWS, &cursor, err)) {
			log_warning(NULL, "a mailbox could not be tidied", log_err(err));
		}
	}
	free(err);
}

static void collect_server(struct node *node)
{
	struct listen_caps *const services[] = {node->lmtp_caps, node->imap_caps, node->pop3_caps, runtime_caps(node->runtime)};
	uint64_t refused = 0;
	for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
		struct listen_stats stats;
		listen_stats(services[i], &stats);
		refused += stats.refused_full + stats.refused_address;
	}
	metric_set(&metric_popimap_over_cap, (int64_t)refused);
	struct tls_server *tls = tls_slot_get(&node->popimap.tls);
	metric_set(&metric_popimap_tls_expires, tls ? tls_server_expires_wall_ms(tls) / 1000 : 0);
	tls_server_drop(&tls);
}

static void collect(void *arg)
{
	struct node *node = arg;
	struct store_stats stats;
	runtime_collect(node->runtime);
	collect_server(node);
	store_stats(node->popimap.store, &stats);
	metric_set(&metric_popimap_store_mailboxes, (int64_t)stats.strands);
	metric_set(&metric_popimap_store_open, (int64_t)stats.open);
	metric_set(&metric_popimap_store_waiting, (int64_t)stats.waiting);
	metric_set(&metric_popimap_store_commits, (int64_t)stats.commits);
	metric_set(&metric_popimap_store_batched, (int64_t)stats.batched);
	metric_set(&metric_popimap_store_opened, (int64_t)stats.opened);
}

// --- Commands of the control socket ---

static json_t *describe(const struct store_mailbox *row)
{
	char id[GUID_TEXT_BYTES];
	guid_text(&row->id, id);
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "mailbox", id, "made_ms", (json_int_t)row->made_ms, "changed_ms",
		(json_int_t)row->changed_ms, "bytes", (json_int_t)row->bytes, "messages", (json_int_t)row->messages);
}

// mailbox.list: all mailboxes of this node, as node.db knows them.
static void cmd_mailbox_list(struct control_request *request, void *arg)
{
	struct node *node = arg;
	struct store_mailbox *rows = calloc(MAILBOX_LIST_ROWS, sizeof *rows);
	struct err *err = calloc(1, sizeof *err);
	struct guid after = {0};
	size_t n = MAILBOX_LIST_ROWS;
	must(rows != NULL && err != NULL);
	enum err_code code = ERR_OK;
	bool gone = false;
	while (code == ERR_OK && n == MAILBOX_LIST_ROWS && !gone) {
		code = store_mailboxes(node->popimap.store, &after, rows, MAILBOX_LIST_ROWS, &n, err);
		for (size_t i = 0; code == ERR_OK && i < n && !gone; i++) {
			gone = control_item(request, describe(&rows[i])) != ERR_OK;
			after = rows[i].id;
		}
	}
	if (code)
		control_fail(request, code, "%s", err->text);
	else if (!gone)
		control_ok(request, NULL);
	free(rows);
	free(err);
}

// --- The phases ---

static enum err_code popimap_post_jail(struct daemon *daemon, struct err *err)
{
	struct node *node = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	const struct settings *settings = settings_of(snapshot);
	static struct control_command commands[] = {{"mailbox.list", cmd_mailbox_list, NULL}, {0}};
	struct limits limits;
	metrics_register(popimap_metrics);
	metrics_register(login_metrics);
	metrics_on_render(collect, node);
	node->clock_offset_ms = clock_wall_ms() - clock_mono_exact_ms();
	enum err_code code = start_runtime(node, settings, &limits, err);
	if (code == ERR_OK) {
		open_views(node, settings);
		code = login_open(&(struct login_config){
				.settings = settings, .settings_get = settings_now, .arg = node, .shared = node->shared_logins},
			&node->popimap.login, err);
	}
	if (code == ERR_OK)
		code = start_store(node, settings, &limits, err);
	if (code == ERR_OK) {
		node->popimap.crowd = crowd_new();
		node->popimap.directory = directory_here;
		node->popimap.settings_get = settings_now;
		node->popimap.arg = commands[0].arg = node;
		struct control *control = daemon_serve_control(daemon, runtime_sched(node->runtime, 0));
		if (control)
			control_register(control, commands);
		node->popimap.sender = sender_new(&node->popimap, runtime_workers(node->runtime));
		sender_set_tls(node->popimap.sender, &node->sender_tls);
		must(runtime_spawn(node->runtime, tidy_fiber, node, "tidy"));
		must(runtime_spawn(node->runtime, sender_run, node->popimap.sender, "sender"));
		code = start_listeners(node, err);
	}
	settings_unref(&snapshot);
	return code;
}

#define CERTIFICATES_NOT_READ "certificates were not read again; the old ones stay in use"

static void popimap_reload(struct daemon *daemon)
{
	struct node *node = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	const struct settings *settings = settings_of(snapshot);
	struct err err;
	listen_caps_set(node->lmtp_caps, (size_t)settings->lmtp_connections_max, 0);
	listen_caps_set(node->imap_caps, (size_t)settings->imap_connections_max,
		(size_t)settings->imap_strangers_per_address_max);
	listen_caps_set(node->pop3_caps, (size_t)settings->pop3_connections_max,
		(size_t)settings->imap_strangers_per_address_max);
	if (load_tls(node, settings, &err)) {
		log_error(NULL, CERTIFICATES_NOT_READ, log_err(&err));
		daemon_not_taken_over(daemon, CERTIFICATES_NOT_READ, &err);
	}
	store_set_key_days(node->popimap.store, (unsigned)settings->delivered_key_days);
	settings_unref(&snapshot);
}

static void popimap_stop(struct daemon *daemon)
{
	struct node *node = daemon_arg(daemon);
	struct settings_snapshot *snapshot = daemon_settings(daemon);
	if (node->runtime)
		runtime_stop(node->runtime, settings_of(snapshot)->stop_deadline_s * 1000);
	settings_unref(&snapshot);
	local_socket_close(&node->lmtp.local);
	sender_free(&node->popimap.sender);
	tls_client_drop(&node->sender_tls);
	store_close(&node->popimap.store);
	login_close(&node->popimap.login);
	directory_views_close(&node->views);
	if (node->runtime)
		runtime_free(&node->runtime);
	crowd_free(&node->popimap.crowd);
	listen_caps_free(&node->lmtp_caps);
	listen_caps_free(&node->imap_caps);
	listen_caps_free(&node->pop3_caps);
	struct tls_server *none = NULL;
	tls_slot_set(&node->popimap.tls, &none);
	tls_slot_set(&node->lmtp.tls, &none);
}

int main(int argc, char **argv)
{
	static struct node node = {.popimap.tls = TLS_SLOT_INIT, .lmtp.tls = TLS_SLOT_INIT, .lmtp.local = LOCAL_SOCKET_NONE};
	static const struct daemon_spec spec = {
		.name = "popimap",
		.settings = &settings_table,
		.options = daemons_popimap_options,
		.pre_jail = popimap_pre_jail,
		.post_jail = popimap_post_jail,
		.reload = popimap_reload,
		.stop = popimap_stop,
	};
	return daemon_main(&spec, &node, argc, argv);
}
