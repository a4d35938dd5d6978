// SPDX-License-Identifier: Apache-2.0
// What the access table makes of a session. A client that is refused hears it in the place of a greeting and may then only leave; a
// sender hears it at MAIL. DISCARD of either throws every recipient away that would have been accepted, so that nothing is learnt from it;
// QUARANTINE holds the whole message.
#include "smtp_access.h"

#include "base/must.h"
#include "mail/pin.h"
#include "mail/route_rule.h"
#include "smtp_metrics.h"

enum { CLIENT_BYTES_MAX = 16 << 10, REFUSED_AT_GREETING = 554 };

static struct access_table table_of(struct smtp_session *s)
{
	return (struct access_table){
		.directory = s->server->directory(s->server->arg), .rules = s->rules, .delimiters = s->settings->delimiter};
}

void smtp_access_client(struct smtp_session *s, struct conn *conn)
{
	const struct access_table table = table_of(s);
	struct arena *arena = arena_new(CLIENT_BYTES_MAX);
	access_client(&table, conn_peer(conn), arena, &s->client_access);
	if (s->client_access.found)
		s->client_arena = arena;
	else
		arena_free(&arena);
}

struct reply smtp_access_refusal(const struct smtp_session *s)
{
	struct reply reply = s->client_access.reply;
	if (!s->client_access.refuses)
		return (struct reply){.code = 0};
	reply.code = reply.code < 500 ? reply_of(REPLY_NOT_READY).code : REFUSED_AT_GREETING; // RFC 5321 section 3.1
	return reply;
}

static void log_refused(struct smtp_session *s, const char *who, const struct access *access)
{
	metric_add(&metric_mta_access_refused, 1);
	log_info(&s->d.who.log, "refused by the access table", log_c("who", who), log_str("key", access->key), log_str("action", access->value),
		log_str("entry", access->entry));
}

void smtp_access_log(struct smtp_session *s)
{
	if (s->client_access.refuses)
		log_refused(s, "client", &s->client_access);
}

bool smtp_access_sender(struct smtp_session *s, const struct addr *from, struct reply *why_out)
{
	const struct access_table table = table_of(s);
	access_sender(&table, from, s->d.txn.arena, &s->sender_access);
	s->quarantine = s->client_access.quarantine.n ? s->client_access.quarantine : s->sender_access.quarantine;
	if (!s->sender_access.refuses)
		return true;
	log_refused(s, "sender", &s->sender_access);
	*why_out = s->sender_access.reply;
	return false;
}

struct relay_client smtp_access_relay(struct smtp_session *s)
{
	const struct conn_tls *tls = conn_tls(s->d.conn);
	struct relay_client client = {.address = *conn_peer(s->d.conn), .networks = &s->settings->relay_networks,
		.certificates = &s->settings->relay_certificates, .access = &s->client_access};
	if (tls)
		client.certificate = pin_of(s->d.txn.arena, tls->peer_spki);
	return client;
}

static void throw_away(struct smtp_session *s, const struct addr *to, struct recipient_verdict *verdict)
{
	struct arena *arena = s->d.txn.arena;
	struct recipient_target *target = arena_alloc(arena, sizeof *target);
	if (target == NULL)
		return; // the transaction's memory is used up, which its end finds out
	*target = (struct recipient_target){
		.kind = RECIPIENT_OUTSIDE, .address = to, .host = route_rule_text(arena, &(struct route_rule){.kind = ROUTE_RULE_DISCARD})};
	verdict->targets = target;
	verdict->n_targets = 1;
}

void smtp_access_accepted(struct smtp_session *s, const struct addr *to, struct recipient_verdict *verdict)
{
	const struct access *discards = s->client_access.discards ? &s->client_access : &s->sender_access;
	if (discards->discards) {
		log_info(&s->d.who.log, "recipient will be thrown away by the access table", log_str("recipient", to->text),
			log_str("key", discards->key), log_str("entry", discards->entry));
		throw_away(s, to, verdict);
	}
	if (s->quarantine.n == 0)
		s->quarantine = verdict->quarantine;
}
