// SPDX-License-Identifier: Apache-2.0
// An agent's connection: where to, under which TLS, and what becomes of one that cannot be made.
//
// A mailbox host is asked of the directory, the relayhost of the settings, next hops of a route stand in the destination.
// Mailboxes of this node are behind a socket in run_dir, tried before their port. On the agent's fiber.
#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "base/runtime.h"
#include "base/tls.h"
#include "deliver_core.h"
#include "queue_metrics.h"
#include "schema/local_socket.h"

enum { WORLD_LINE_BYTES_MAX = 998 }; // RFC 5321 section 4.5.3.1.6

void deliver_hang_up(struct agent *a)
{
	peer_quit(&a->peer);
	if (a->client)
		tls_client_drop(&a->client);
	settings_unref(&a->connected_under);
	dispatch_disconnected(a->slot);
}

static enum err_code find_relay(struct agent *a, struct queue_host *host, struct err *err)
{
	const struct settings_address *relay = &a->settings->relayhost;
	if (relay->host.n == 0)
		return err_set(err, ERR_NOTFOUND, "no relayhost is set any more");
	*host = (struct queue_host){.host = relay->host, .port = relay->port};
	return ERR_OK;
}

static enum peer_tls relay_policy(const struct settings *settings)
{
	switch ((enum settings_relayhost_tls)settings->relayhost_tls) {
	case SETTINGS_RELAYHOST_TLS_NONE:
		return PEER_TLS_NONE;
	case SETTINGS_RELAYHOST_TLS_MAY:
		return PEER_TLS_MAY;
	case SETTINGS_RELAYHOST_TLS_ENCRYPT:
	case SETTINGS_RELAYHOST_TLS_VERIFY:
		return PEER_TLS_MUST;
	}
	unreachable("relayhost_tls");
}

static enum peer_tls route_policy(enum route_rule_tls tls)
{
	switch (tls) {
	case ROUTE_RULE_TLS_MAY:
		return PEER_TLS_MAY;
	case ROUTE_RULE_TLS_NONE:
		return PEER_TLS_NONE;
	case ROUTE_RULE_TLS_ENCRYPT:
	case ROUTE_RULE_TLS_VERIFY:
		return PEER_TLS_MUST;
	case ROUTE_RULE_TLS_PINNED:
		return PEER_TLS_PINNED;
	}
	unreachable("TLS of a route");
}

// Where to, how, and under which name its certificate is looked at.
struct way {
	struct queue_host host;
	enum peer_tls tls;
	struct str tls_name;
};

// Takes conn.
static enum err_code greet_over(struct agent *a, const struct way *way, struct conn *conn, struct err *err)
{
	const struct settings *s = a->settings;
	struct peer_config config = {.lmtp = !a->relay, .client = a->client, .pins = way->host.pins, .pins_n = way->host.pins_n,
		.reply_ms = s->delivery_reply_s * 1000, .final_reply_ms = s->delivery_final_reply_s * 1000,
		.line_bytes_max = a->relay ? WORLD_LINE_BYTES_MAX : 0, .tls = way->tls};
	config.hostname = arena_dup(a->peer_arena, s->hostname);
	config.host = arena_dup(a->peer_arena, way->tls_name.n ? way->tls_name : way->host.host);
	if (config.tls != PEER_TLS_NONE && a->client == NULL) {
		conn_close(&conn, 0);
		return err_set(err, ERR_TLS,
			a->relay ? "tls_ca_file cannot be read, and the route verifies: correct it and reload"
				 : "no certificate of ours to show: set node_certificate");
	}
	a->peer = peer_new(&conn, &config);
	return peer_greet(a->peer, err);
}

static enum err_code greet(struct agent *a, const struct way *way, struct err *err)
{
	struct conn *conn;
	enum err_code code = conn_connect_host(runtime_workers(a->queue->config.runtime), way->host.host, way->host.port,
		clock_after_ms(a->settings->delivery_connect_s * 1000), &conn, err);
	return code ? code : greet_over(a, way, conn, err);
}

// The mailboxes of this node, without TLS: the kernel says who is there, to both sides. Whatever is wrong with that way, its port
// in the directory is another: a mailbox node that restarts keeps its port open and not its socket.
static enum err_code greet_local(struct agent *a, const struct way *way, struct err *err)
{
	struct conn *conn;
	struct way plain = *way;
	plain.tls = PEER_TLS_NONE;
	enum err_code code =
		conn_connect_unix(way->host.local, clock_after_ms(a->settings->delivery_connect_s * 1000), &conn, err);
	if (code)
		return code;
	if (!local_socket_is_ours(conn)) {
		conn_close(&conn, 0);
		return err_set(err, ERR_DENIED, "%.*s is not ours", STR_FMT(way->host.local));
	}
	code = greet_over(a, &plain, conn, err);
	if (code == ERR_OK && !peer_has_key(a->peer))
		code = err_set(err, ERR_DENIED, "%.*s does not know us", STR_FMT(way->host.local));
	if (code) {
		log_info(NULL, "no delivery over the socket of this node", log_str("destination", dispatch_name(a->slot)),
			log_err(err));
		peer_quit(&a->peer);
	}
	return code;
}

// Opportunistic TLS that fails is done without (PROTOCOLS 114).
static enum err_code greet_or_plain(struct agent *a, const struct way *way, struct err *err)
{
	enum err_code code = greet(a, way, err);
	if (code == ERR_OK || way->tls != PEER_TLS_MAY || a->peer == NULL || !peer_tls_failed(a->peer))
		return code;
	struct way plain = *way;
	plain.tls = PEER_TLS_NONE;
	log_info(NULL, "next hop: TLS failed, trying without", log_str("host", way->host.host), log_err(err));
	peer_quit(&a->peer);
	return greet(a, &plain, err);
}

// Each next hop from the first one given; the last one's trouble is what is told.
static enum err_code greet_route(struct agent *a, size_t first, struct err *err)
{
	const struct route_rule *route = &a->route;
	bool verifies = route->tls == ROUTE_RULE_TLS_VERIFY;
	enum err_code code = err_set(err, ERR_NOTFOUND, "the route has no next hop that we can read");
	a->client = queue_client(a->queue, verifies ? &a->queue->tls.verified : &a->queue->tls.open);
	for (size_t i = first; i < route->hops_n && code && code != ERR_CANCELLED; i++) {
		const struct way way = {.host = {.host = route->hops[i].host,
						.port = route->hops[i].port,
						.pins = a->route.pins,
						.pins_n = route->pins_n},
			.tls = route_policy(route->tls),
			.tls_name = route->tls_name};
		if (i > first)
			log_info(NULL, "next hop failed, trying another", log_str("destination", dispatch_name(a->slot)),
				log_err(err));
		peer_quit(&a->peer);
		code = greet_or_plain(a, &way, err);
		a->hop = i;
		a->host = way.host.host;
	}
	return code;
}

static enum err_code find_and_greet(struct agent *a, struct err *err)
{
	struct way way = {.tls_name = STR_NONE};
	if (a->routed)
		return greet_route(a, 0, err);
	enum err_code code =
		a->relay ? find_relay(a, &way.host, err)
			 : a->queue->config.host(a->queue->config.arg, a->peer_arena, dispatch_name(a->slot), &way.host, err);
	if (code)
		return code;
	a->client = queue_client(a->queue, a->relay ? &a->queue->tls.relay : &a->queue->tls.lmtp);
	way.tls = a->relay ? relay_policy(a->settings) : way.host.tls ? PEER_TLS_PINNED : PEER_TLS_NONE;
	a->host = dispatch_name(a->slot);
	if (way.host.local.n && ((code = greet_local(a, &way, err)) == ERR_OK || code == ERR_CANCELLED))
		return code;
	return greet_or_plain(a, &way, err);
}

enum err_code deliver_connect(struct agent *a, struct str *why_out)
{
	struct err err;
	if (a->peer)
		return ERR_OK;
	arena_reset(a->peer_arena);
	fiber_shield_leave(); // nothing was said of a message yet: a stop does not wait for the peer
	enum err_code code = find_and_greet(a, &err);
	fiber_shield_enter();
	metric_add(code ? &metric_mta_queue_connections_failed : &metric_mta_queue_connections, 1);
	if (code == ERR_OK) {
		a->connected_under = settings_ref(a->snapshot);
		dispatch_connected(a->slot);
		return ERR_OK;
	}
	*why_out = arena_printf(a->arena, "451 4.4.1 %.*s: %s", STR_FMT(dispatch_name(a->slot)), err.text);
	deliver_hang_up(a);
	if (code == ERR_CANCELLED)
		return code;
	log_warning(NULL, "no connection", log_str("destination", dispatch_name(a->slot)), log_err(&err));
	dispatch_failed(a->slot, *why_out);
	return code;
}

bool deliver_connect_next(struct agent *a)
{
	struct err err;
	if (!a->routed || a->hop + 1 >= a->route.hops_n)
		return false;
	deliver_hang_up(a);
	arena_reset(a->peer_arena);
	fiber_shield_leave();
	enum err_code code = greet_route(a, a->hop + 1, &err);
	fiber_shield_enter();
	metric_add(code ? &metric_mta_queue_connections_failed : &metric_mta_queue_connections, 1);
	if (code == ERR_OK) {
		a->connected_under = settings_ref(a->snapshot);
		dispatch_connected(a->slot);
		return true;
	}
	log_info(NULL, "no other next hop", log_str("destination", dispatch_name(a->slot)), log_err(&err));
	deliver_hang_up(a);
	a->hop = a->route.hops_n - 1;
	return false;
}
