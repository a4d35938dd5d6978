// SPDX-License-Identifier: Apache-2.0
// An LMTP session: the commands, who may use them, and the settings that a session begins with. Its life is the dialogue's
// (mail/dialogue.h).
#include "lmtp_session.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "mail/pin.h"
#include "popimap_metrics.h"
#include "router/host.h"

enum {
	COMMAND_BYTES_MAX = 4096, // MAIL and RCPT with keys
	RECIPIENT_BYTES = 4096,   // of memory, for the longest address with its key
	TRANSACTION_BYTES = 64 << 10,
	// Received, Authentication-Results and the like: what a front-end may add to message_size_max
	FRONT_END_BYTES = 128 << 10,
};

#define BEFORE_LHLO DIALOGUE_BIT(DIALOGUE_CONNECTED)
#define READY DIALOGUE_BIT(DIALOGUE_READY)
#define IN_MAIL DIALOGUE_BIT(DIALOGUE_IN_MAIL)
#define IN_RCPT DIALOGUE_BIT(DIALOGUE_IN_RCPT)
#define ANY DIALOGUE_ANY

// RFC 2033 section 4.1: HELO and EHLO are not LMTP; who says them has the wrong port.
static void cmd_not_lmtp(struct dialogue *d, struct str argument)
{
	(void)argument;
	dialogue_say(d, reply_with(REPLY_UNKNOWN_COMMAND, STR("this is LMTP: say LHLO")));
}

static const struct dialogue_command rows[] = {
	{STR("LHLO"), dialogue_cmd_ehlo, ANY, DIALOGUE_SYNCHRONISES, NULL},
	{STR("STARTTLS"), dialogue_cmd_starttls, BEFORE_LHLO | READY, DIALOGUE_NO_ARGUMENT, NULL},
	{STR("MAIL"), dialogue_cmd_mail, READY, LMTP_TRUSTED, NULL},
	{STR("RCPT"), dialogue_cmd_rcpt, IN_MAIL | IN_RCPT, LMTP_TRUSTED, NULL},
	{STR("DATA"), dialogue_cmd_data, IN_MAIL | IN_RCPT, DIALOGUE_NO_ARGUMENT | LMTP_TRUSTED | DIALOGUE_SYNCHRONISES, NULL},
	{STR("BDAT"), dialogue_cmd_bdat, ANY, 0, NULL},
	{STR("RSET"), dialogue_cmd_rset, ANY, DIALOGUE_NO_ARGUMENT, NULL},
	{STR("NOOP"), dialogue_cmd_noop, ANY, 0, NULL},
	{STR("VRFY"), dialogue_cmd_vrfy, ANY, LMTP_TRUSTED, NULL},
	{STR("HELP"), dialogue_cmd_help, ANY, 0, NULL},
	{STR("QUIT"), dialogue_cmd_quit, ANY, 0, NULL},
	{STR("HELO"), cmd_not_lmtp, ANY, 0, NULL},
	{STR("EHLO"), cmd_not_lmtp, ANY, 0, NULL},
};

static bool may_run(struct dialogue *d, const struct dialogue_command *row, struct reply *why_out)
{
	const struct lmtp_session *s = d->session;
	if (!(row->flags & LMTP_TRUSTED) || s->peer_kind == LMTP_NODE ||
		settings_networks_have(&s->settings->lmtp_networks, conn_peer(d->conn)))
		return true;
	*why_out = s->peer_kind == LMTP_UNSURE
			   ? reply_of(REPLY_DEFERRED)
			   : reply_with(REPLY_TLS_REQUIRED, STR("STARTTLS with the certificate of a node is required"));
	return false;
}

// Whose certificate is it? Asked at each LHLO, because pins change while sessions last.
static enum lmtp_peer look_at_peer(struct dialogue *d)
{
	const struct lmtp_session *s = d->session;
	const struct conn_tls *tls = conn_tls(d->conn);
	if (local_socket_is_peer(&s->service->local, d->conn))
		return LMTP_NODE;
	if (tls == NULL || tls->peer_spki[0] == '\0')
		return LMTP_STRANGER;
	struct popimap *popimap = s->service->popimap;
	struct str pin = pin_of(d->txn.arena, tls->peer_spki), name = STR_NONE;
	enum host_answer answer = host_by_pin(popimap->directory(popimap->arg), pin, d->txn.arena, &name);
	log_debug(&d->who.log, "peer certificate", log_str("pin", pin), log_str("host", name));
	arena_reset(d->txn.arena);
	switch (answer) {
	case HOST_FOUND:
		return LMTP_NODE;
	case HOST_UNKNOWN:
		return LMTP_STRANGER;
	case HOST_UNAVAILABLE:
		break;
	}
	return LMTP_UNSURE;
}

static void offer(struct dialogue *d)
{
	struct lmtp_session *s = d->session;
	s->peer_kind = look_at_peer(d);
	if (s->peer_kind != LMTP_STRANGER)
		conn_write(d->conn, STR("250-XPHKEY\r\n"));
}

static void forget_peer(struct dialogue *d)
{
	struct lmtp_session *s = d->session;
	s->peer_kind = LMTP_STRANGER;
}

static const struct dialogue_protocol protocol = {
	.name = "LMTP",
	.rows = rows,
	.rows_n = sizeof rows / sizeof *rows,
	.metrics = {&metric_popimap_lmtp_sessions, &metric_popimap_lmtp_sessions_open, &metric_popimap_lmtp_unknown,
		&metric_popimap_lmtp_junk, &metric_popimap_lmtp_early, &metric_popimap_injected, &metric_popimap_tls_failed,
		&metric_popimap_lmtp_replies_4xx, &metric_popimap_lmtp_replies_5xx},
	.per_recipient = true,
	.forgives = true,
	.recipient_bytes = sizeof(struct lmtp_recipient),
	.may_run = may_run,
	.offer = offer,
	.sender = lmtp_sender,
	.recipient = lmtp_recipient,
	.begin = lmtp_message_begin,
	.take = lmtp_message_take,
	.finish = lmtp_message_finish,
	.forget = lmtp_message_forget,
	.forget_peer = forget_peer,
};

static struct dialogue_config configure(struct lmtp_session *s)
{
	const struct settings *settings = s->settings;
	return (struct dialogue_config){
		.protocol = &protocol,
		.session = s,
		.tls = &s->service->tls,
		.hostname = settings->hostname,
		.forbidden = settings->smtp_forbidden_commands.v,
		.forbidden_n = settings->smtp_forbidden_commands.n,
		.newline = settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_NORMALIZE ? SMTP_NEWLINE_NORMALIZE
											  : SMTP_NEWLINE_REJECT,
		.parameters = SMTP_FOR_LMTP,
		.line_bytes_max = COMMAND_BYTES_MAX,
		.message_bytes_max = (uint64_t)settings->message_size_max + FRONT_END_BYTES,
		.recipients_max = (size_t)settings->recipients_max,
		.transaction_bytes_max = TRANSACTION_BYTES + (size_t)settings->recipients_max * RECIPIENT_BYTES,
		.errors_max = (unsigned)settings->smtp_errors_max,
		.greet_pause_ms = -1, // peers are servers of ours, not strangers
		.idle_ms = settings->lmtp_idle_s * 1000,
		.session_ms = CLOCK_NEVER, // a front-end keeps its connections
		.message_ms = settings->smtp_data_s * 1000,
	};
}

void lmtp_serve(struct conn *conn, void *arg)
{
	struct lmtp_service *service = arg;
	struct popimap *popimap = service->popimap;
	// On the stack, in the page that an idle fiber keeps anyhow (base/fiber.h).
	struct lmtp_session session = {.service = service, .snapshot = popimap->settings_get(popimap->arg)}, *s = &session;
	s->settings = settings_of(s->snapshot);
	const struct dialogue_config config = configure(s);
	dialogue_init(&s->d, conn, &config);

	dialogue_run(&s->d);

	dialogue_fini(&s->d);
	settings_unref(&s->snapshot);
}
