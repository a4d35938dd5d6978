// SPDX-License-Identifier: Apache-2.0
// What the access table makes of a session. A client that is refused hears it in the place of a greeting and may then only leave;
// a sender hears it at MAIL. DISCARD of either throws every recipient away that would have been accepted, so that nothing is
// learnt from it; QUARANTINE holds the whole message.
#include "smtp_access.h"

#include <string.h>

#include "base/must.h"
#include "mail/pin.h"
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
	session_client(&table, conn_peer(conn), arena, &s->access);
	if (s->access.client.found)
		s->client_arena = arena;
	else
		arena_free(&arena);
}

struct reply smtp_access_refusal(const struct smtp_session *s)
{
	struct reply reply = s->access.client.reply;
	if (!s->access.client.refuses)
		return (struct reply){.code = 0};
	reply.code = reply.code < 500 ? reply_of(REPLY_NOT_READY).code : REFUSED_AT_GREETING; // RFC 5321 section 3.1
	return reply;
}

static void log_refused(struct smtp_session *s, const char *who, const struct access *access)
{
	metric_add(&metric_mta_access_refused, 1);
	log_info(&s->d.who.log, "refused by the access table", log_c("who", who), log_str("key", access->key),
		log_str("action", access->value), log_str("entry", access->entry));
}

void smtp_access_log(struct smtp_session *s)
{
	if (s->access.client.refuses)
		log_refused(s, "client", &s->access.client);
}

bool smtp_access_sender(struct smtp_session *s, const struct addr *from, struct reply *why_out)
{
	const struct access_table table = table_of(s);
	session_sender(&table, from, s->d.txn.arena, &s->access);
	s->quarantine = session_quarantine(&s->access);
	if (!s->access.sender.refuses)
		return true;
	log_refused(s, "sender", &s->access.sender);
	*why_out = s->access.sender.reply;
	return false;
}

static const struct access *ask_names(struct smtp_session *s, const struct conn_tls_peer *peer)
{
	const struct access_table table = table_of(s);
	const struct access_certificate certificate = {
		.issuer = peer->issuer, .subject = peer->subject, .names = peer->names, .names_n = peer->names_n};
	struct access *access = arena_alloc(s->d.txn.arena, sizeof *access);
	if (access)
		access_certificate(&table, &certificate, s->d.txn.arena, access);
	return access;
}

struct relay_client smtp_access_relay(struct smtp_session *s)
{
	const struct conn_tls *tls = conn_tls(s->d.conn);
	struct relay_client client = {.address = *conn_peer(s->d.conn), .networks = &s->settings->relay_networks,
		.certificates = &s->settings->relay_certificates, .access = &s->access.client,
		.mailboxes = smtp_is_of_mailboxes(s)};
	if (tls)
		client.certificate = pin_of(s->d.txn.arena, tls->peer_spki);
	if (tls && tls->peer)
		client.names = ask_names(s, tls->peer);
	return client;
}

void smtp_access_log_certificate(struct smtp_session *s, const struct recipient_verdict *verdict)
{
	const struct conn_tls *tls = conn_tls(s->d.conn);
	bool refused = false;
	for (size_t i = 0; i < verdict->n_reasons; i++)
		refused |= strcmp(verdict->reasons[i].rule, "relay refused") == 0;
	if (!refused || tls == NULL || tls->peer_spki[0] == '\0')
		return;
	const struct conn_tls_peer *peer = tls->peer ? tls->peer : tls->stranger;
	log_info(&s->d.who.log, "the client's certificate lets it relay nothing", log_str("subject", peer ? peer->subject : STR_NONE),
		log_str("issuer", peer ? peer->issuer : STR_NONE), log_str("name", peer && peer->names_n ? peer->names[0] : STR_NONE),
		log_str("key", pin_of(s->d.txn.arena, tls->peer_spki)), log_c("problem", tls->stranger ? tls->stranger_trouble : ""));
}

void smtp_access_accepted(struct smtp_session *s, const struct addr *to, struct recipient_verdict *verdict)
{
	const struct access *discards = s->access.client.discards ? &s->access.client : &s->access.sender;
	session_apply(&s->access, to, s->d.txn.arena, verdict);
	if (discards->discards)
		log_info(&s->d.who.log, "recipient will be thrown away by the access table", log_str("recipient", to->text),
			log_str("key", discards->key), log_str("entry", discards->entry));
	if (s->quarantine.n == 0)
		s->quarantine = verdict->quarantine;
}
