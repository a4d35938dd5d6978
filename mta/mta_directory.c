// SPDX-License-Identifier: Apache-2.0
// What the queue asks of the directory: who a report goes to, where a mailbox host listens.
#include "mta_directory.h"

#include "base/must.h"
#include "router/home.h"
#include "router/host.h"
#include "router/recipient.h"
#include "schema/daemons.h"
#include "smtp_server.h"
#include "targets.h"

bool mta_directory_resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *recipients_out,
	bool *temporary_out)
{
	struct smtp_server *server = arg;
	struct settings_snapshot *snapshot = server->settings_get(server->arg);
	struct smtp_rcpt rcpt = {.notify = 0};
	struct recipient_verdict verdict;
	*temporary_out = false;
	if (addr_parse(arena, address, ADDR_UTF8 | ADDR_LONG_LOCAL, &rcpt.to) != ADDR_OK) {
		settings_unref(&snapshot);
		return false;
	}
	// As a login: the report is ours, and we may send to the world.
	const struct addr nobody = addr_null();
	const struct recipient_query query = {.recipient = &rcpt.to, .sender = &nobody, .authenticated = true};
	smtp_server_decide(server, settings_of(snapshot), &query, arena, &verdict);
	settings_unref(&snapshot);
	bool fits = targets_to_records(arena, &rcpt, &verdict, recipients_out);
	*temporary_out = verdict.outcome == RECIPIENT_DEFER || !fits;
	return fits && recipients_out->n > 0;
}

static enum recipient_lists lists_of(const struct queue_expand_query *query)
{
	return query->as_at_rcpt ? RECIPIENT_LISTS_LATER : query->from_list ? RECIPIENT_LISTS_INLINE : RECIPIENT_LISTS_NOW;
}

static enum queue_expand_answer expanded(struct arena *arena, const struct smtp_rcpt *rcpt,
	const struct recipient_verdict *verdict, struct queue_expansion *out)
{
	out->is_list = verdict->is_list;
	out->owner = verdict->owner;
	out->header = verdict->header;
	if (!targets_to_records(arena, rcpt, verdict, &out->to)) {
		out->reply = STR("451 4.3.0 too many recipients behind this address");
		return QUEUE_EXPAND_LATER;
	}
	out->reply = arena_printf(arena, "%d %.*s %.*s", verdict->code, STR_FMT(verdict->enhanced), STR_FMT(verdict->text));
	return verdict->code < 400 ? QUEUE_EXPAND_DONE : verdict->code < 500 ? QUEUE_EXPAND_LATER : QUEUE_EXPAND_NOBODY;
}

enum queue_expand_answer mta_directory_expand(void *arg, struct arena *arena, const struct queue_expand_query *query,
	struct queue_expansion *expansion_out)
{
	struct smtp_server *server = arg;
	struct settings_snapshot *snapshot = server->settings_get(server->arg);
	struct smtp_rcpt rcpt = {.notify = 0};
	struct addr sender = addr_null();
	struct recipient_verdict verdict;
	struct recipient_query asked = {.recipient = &rcpt.to, .sender = &sender, .authenticated = query->authenticated,
		.lists = lists_of(query), .waits = query->as_at_rcpt,
		.moderated = query->moderated, .message_bytes = query->message_bytes};
	*expansion_out = (struct queue_expansion){.reply = STR("550 5.1.3 this is no address")};
	bool readable = addr_parse(arena, query->address, ADDR_UTF8 | ADDR_LONG_LOCAL, &rcpt.to) == ADDR_OK;
	if (readable && query->sender.n && addr_parse(arena, query->sender, ADDR_UTF8 | ADDR_LONG_LOCAL, &sender) != ADDR_OK)
		asked.sender = NULL;
	if (readable)
		smtp_server_decide(server, settings_of(snapshot), &asked, arena, &verdict);
	settings_unref(&snapshot);
	return readable ? expanded(arena, &rcpt, &verdict, expansion_out) : QUEUE_EXPAND_NOBODY;
}

// Mailboxes of this node are behind a socket in run_dir. Empty for those of another one.
static struct str local_path(const struct smtp_server *server, struct arena *arena, struct str mail_host)
{
	struct settings_snapshot *snapshot = server->settings_get(server->arg);
	const struct settings *s = settings_of(snapshot);
	const struct home_rules rules = {.serves = s->serves.v, .n_serves = s->serves.n, .hostname = s->hostname};
	struct str path = home_serves(&rules, mail_host) ? daemons_lmtp_path(s, arena) : STR_NONE;
	settings_unref(&snapshot);
	return path;
}

enum err_code mta_directory_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out,
	struct err *err)
{
	const struct smtp_server *server = arg;
	struct host host;
	switch (host_find(server->directory(server->arg), mail_host, STR("lmtp"), arena, &host)) {
	case HOST_FOUND:
		break;
	case HOST_UNKNOWN:
		return err_set(err, ERR_NOTFOUND, "mailbox host %.*s: no phMailHost of that name with an lmtp endpoint",
			STR_FMT(mail_host));
	case HOST_UNAVAILABLE:
		return err_set(err, ERR_BUSY, "mailbox host %.*s: the directory cannot say now", STR_FMT(mail_host));
	}
	if (host.waits_by.n)
		return err_set(err, ERR_BUSY, "mailbox host %.*s: its phHostState is %.*s", STR_FMT(mail_host),
			STR_FMT(host.waits_by));
	struct str *pins = arena_array(arena, host.n_pins ? host.n_pins : 1, sizeof *pins);
	if (pins == NULL)
		return err_set(err, ERR_LIMIT, "mailbox host %.*s: too many pins", STR_FMT(mail_host));
	if (host.n_pins)
		memcpy(pins, host.pins, host.n_pins * sizeof *pins);
	*host_out = (struct queue_host){.host = host.endpoint.host, .port = host.endpoint.port, .pins = pins,
		.pins_n = host.n_pins,
		.tls = host.n_pins > 0, .local = local_path(server, arena, mail_host)};
	return ERR_OK;
}
