// SPDX-License-Identifier: Apache-2.0
// What the queue asks of the directory: who a report goes to, where a mailbox host listens.
#include "mta_directory.h"

#include "base/must.h"
#include "router/host.h"
#include "router/recipient.h"
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
	smtp_server_decide(server, settings_of(snapshot), &rcpt.to, true, arena, &verdict);
	*temporary_out = verdict.outcome == RECIPIENT_DEFER;
	recipients_out->v = arena_array(arena, verdict.n_targets ? verdict.n_targets : 1, sizeof *recipients_out->v);
	recipients_out->n = recipients_out->v ? verdict.n_targets : 0;
	for (size_t i = 0; i < recipients_out->n; i++)
		target_to_record(arena, &rcpt, &verdict.targets[i], &recipients_out->v[i]);
	settings_unref(&snapshot);
	return recipients_out->n > 0;
}

enum err_code mta_directory_host(void *arg, struct arena *arena, struct str mail_host, struct queue_host *host_out, struct err *err)
{
	const struct smtp_server *server = arg;
	struct host host;
	switch (host_find(server->directory(server->arg), mail_host, STR("lmtp"), arena, &host)) {
	case HOST_FOUND:
		break;
	case HOST_UNKNOWN:
		return err_set(err, ERR_NOTFOUND, "mailbox host %.*s: no phMailHost of that name with an lmtp endpoint", STR_FMT(mail_host));
	case HOST_UNAVAILABLE:
		return err_set(err, ERR_BUSY, "mailbox host %.*s: the directory cannot say now", STR_FMT(mail_host));
	}
	if (host.down)
		return err_set(err, ERR_BUSY, "mailbox host %.*s: its phHostState is down", STR_FMT(mail_host));
	struct str *pins = arena_array(arena, host.n_pins ? host.n_pins : 1, sizeof *pins);
	if (pins == NULL)
		return err_set(err, ERR_LIMIT, "mailbox host %.*s: too many pins", STR_FMT(mail_host));
	if (host.n_pins)
		memcpy(pins, host.pins, host.n_pins * sizeof *pins);
	*host_out = (struct queue_host){
		.host = host.endpoint.host, .port = host.endpoint.port, .pins = pins, .pins_n = host.n_pins, .tls = host.n_pins > 0};
	return ERR_OK;
}
