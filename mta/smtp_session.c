// SPDX-License-Identifier: Apache-2.0
// An SMTP session of a front-end: the commands, what a row demands, and the settings that a session begins with. Its life is the
// dialogue's (mail/dialogue.h); it runs on a fiber of its own, started by the listener (base/listen.h).
#include "smtp_session.h"

#include <stdlib.h>

#include "base/must.h"
#include "mail/sasl.h"
#include "smtp_access.h"
#include "smtp_metrics.h"

enum {
	COMMAND_BYTES_MAX = 2048, // RFC 5321 section 4.5.3.1.4 asks for 512, ESMTP parameters add to it
	LOGIN_BYTES_MAX = 4096,   // the arena of a login
};

#define BEFORE_EHLO DIALOGUE_BIT(DIALOGUE_CONNECTED)
#define READY DIALOGUE_BIT(DIALOGUE_READY)
#define IN_MAIL DIALOGUE_BIT(DIALOGUE_IN_MAIL)
#define IN_RCPT DIALOGUE_BIT(DIALOGUE_IN_RCPT)
#define ANY DIALOGUE_ANY

static const struct dialogue_command rows[] = {
	// RFC 5321 section 4.1
	{STR("HELO"), dialogue_cmd_helo, ANY, DIALOGUE_SYNCHRONISES, &metric_mta_smtp_helo},
	{STR("EHLO"), dialogue_cmd_ehlo, ANY, DIALOGUE_SYNCHRONISES, &metric_mta_smtp_ehlo},
	{STR("MAIL"), dialogue_cmd_mail, READY, SMTP_NEEDS_TLS | SMTP_NEEDS_LOGIN, &metric_mta_smtp_mail},
	{STR("RCPT"), dialogue_cmd_rcpt, IN_MAIL | IN_RCPT, SMTP_NEEDS_TLS | SMTP_NEEDS_LOGIN, &metric_mta_smtp_rcpt},
	{STR("DATA"), dialogue_cmd_data, IN_MAIL | IN_RCPT, DIALOGUE_NO_ARGUMENT | DIALOGUE_SYNCHRONISES, &metric_mta_smtp_data},
	{STR("BDAT"), dialogue_cmd_bdat, ANY, 0, &metric_mta_smtp_bdat}, // RFC 3030
	{STR("RSET"), dialogue_cmd_rset, ANY, DIALOGUE_NO_ARGUMENT, &metric_mta_smtp_other},
	{STR("NOOP"), dialogue_cmd_noop, ANY, 0, &metric_mta_smtp_other},
	{STR("VRFY"), dialogue_cmd_vrfy, ANY, SMTP_NEEDS_LOGIN, &metric_mta_smtp_other},
	{STR("HELP"), dialogue_cmd_help, ANY, 0, &metric_mta_smtp_other},
	{STR("QUIT"), dialogue_cmd_quit, ANY, 0, &metric_mta_smtp_other},
	{STR("EXPN"), dialogue_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	{STR("TURN"), dialogue_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	{STR("ETRN"), dialogue_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	// RFC 3207, RFC 4954
	{STR("STARTTLS"), dialogue_cmd_starttls, BEFORE_EHLO | READY, DIALOGUE_NO_ARGUMENT, &metric_mta_smtp_starttls},
	{STR("AUTH"), smtp_cmd_auth, READY, SMTP_ONLY_SUBMISSION, &metric_mta_smtp_auth},
};

bool smtp_is_of_mailboxes(const struct smtp_session *s)
{
	return s->service->mailboxes != NULL;
}

// Nobody else can reach it (its file has mode 0600), and if he could, he would get no further than here.
static struct reply refusal(const struct smtp_session *s, const struct conn *conn)
{
	if (smtp_is_of_mailboxes(s) && !local_socket_is_peer(s->service->mailboxes, conn))
		return (struct reply){.code = 554, .text = STR("this socket is for the mailboxes of this node")};
	return smtp_access_refusal(s);
}

static struct tls_slot *tls_of(const struct smtp_session *s)
{
	if (smtp_is_of_mailboxes(s))
		return NULL;
	return s->service->submission || !tls_slot_is_set(&s->server->tls_asking) ? &s->server->tls : &s->server->tls_asking;
}

// Users' own programs are not kept waiting; the mailboxes are no strangers.
static int64_t greet_pause_ms(const struct smtp_session *s)
{
	return smtp_is_of_mailboxes(s) ? -1 : s->service->submission ? 0 : s->settings->smtp_greet_pause_ms;
}

bool smtp_may_plaintext(const struct smtp_session *s)
{
	return conn_tls(s->d.conn) != NULL || (s->settings->auth_plaintext == SETTINGS_AUTH_PLAINTEXT_TRUSTED &&
						settings_networks_have(&s->settings->trusted_networks, conn_peer(s->d.conn)));
}

static bool may_run(struct dialogue *d, const struct dialogue_command *row, struct reply *why_out)
{
	const struct smtp_session *s = d->session;
	bool submission = s->service->submission;
	if (s->access.client.refuses && row->run != dialogue_cmd_quit && row->run != dialogue_cmd_bdat) // RFC 5321 section 3.1
		*why_out = reply_of(REPLY_BAD_SEQUENCE);
	else if ((row->flags & SMTP_ONLY_SUBMISSION) && !submission)
		*why_out = reply_of(REPLY_NOT_IMPLEMENTED);
	else if ((row->flags & SMTP_NEEDS_TLS) && submission && !smtp_may_plaintext(s))
		*why_out = reply_of(REPLY_TLS_REQUIRED);
	else if ((row->flags & SMTP_NEEDS_LOGIN) && submission && s->login.n == 0)
		*why_out = reply_of(REPLY_AUTH_REQUIRED);
	else
		return true;
	return false;
}

static void offer(struct dialogue *d)
{
	const struct smtp_session *s = d->session;
	if (s->service->submission && smtp_may_plaintext(s) && s->login.n == 0)
		conn_printf(d->conn, "250-AUTH %.*s\r\n", STR_FMT(sasl_mechanisms(SASL_PLAINTEXT_OK)));
	if (smtp_is_of_mailboxes(s)) // what they hand over twice is one message to mailboxes of ours
		conn_write(d->conn, STR("250-XPHKEY\r\n"));
	conn_write(d->conn, STR("250-DSN\r\n"));
}

static void forget_peer(struct dialogue *d)
{
	struct smtp_session *s = d->session;
	s->login = s->account = STR_NONE;
}

static const struct dialogue_protocol protocol = {
	.name = "ESMTP",
	.rows = rows,
	.rows_n = sizeof rows / sizeof *rows,
	.metrics = {&metric_mta_smtp_sessions, &metric_mta_smtp_sessions_open, &metric_mta_smtp_unknown, &metric_mta_smtp_junk,
		&metric_mta_smtp_early, &metric_mta_smtp_injected, &metric_mta_smtp_tls_failed, &metric_mta_smtp_replies_4xx,
		&metric_mta_smtp_replies_5xx},
	.recipient_bytes = sizeof(struct smtp_recipient),
	.may_run = may_run,
	.offer = offer,
	.sender = smtp_sender,
	.recipient = smtp_recipient,
	.begin = smtp_message_begin,
	.take = smtp_message_take,
	.finish = smtp_message_finish,
	.forget = smtp_message_forget,
	.forget_peer = forget_peer,
};

static struct dialogue_config configure(struct smtp_session *s, const struct conn *conn)
{
	const struct settings *settings = s->settings;
	bool submission = s->service->submission;
	return (struct dialogue_config){
		.protocol = &protocol,
		.session = s,
		.tls = tls_of(s),
		.refusal = refusal(s, conn),
		.tls_at_start = s->service->tls_at_start,
		.hostname = settings->hostname,
		.forbidden = settings->smtp_forbidden_commands.v,
		.forbidden_n = settings->smtp_forbidden_commands.n,
		.newline = settings->smtp_bare_newline == SETTINGS_BARE_NEWLINE_NORMALIZE ? SMTP_NEWLINE_NORMALIZE
											  : SMTP_NEWLINE_REJECT,
		.parameters = submission                ? SMTP_FOR_SUBMISSION
			      : smtp_is_of_mailboxes(s) ? SMTP_FOR_MX | SMTP_PARAM_KEY
							: SMTP_FOR_MX,
		.line_bytes_max = COMMAND_BYTES_MAX,
		.message_bytes_max = (uint64_t)settings->message_size_max,
		.recipients_max = (size_t)settings->recipients_max,
		.transaction_bytes_max = smtp_transaction_bytes_max(settings),
		.errors_max = (unsigned)settings->smtp_errors_max,
		.greet_pause_ms = greet_pause_ms(s),
		.idle_ms = settings->smtp_idle_s * 1000,
		.session_ms = settings->smtp_session_s * 1000,
		.message_ms = settings->smtp_data_s * 1000,
	};
}

void smtp_server_serve(struct conn *conn, void *arg)
{
	const struct smtp_service *service = arg;
	struct smtp_server *server = service->server;
	// On the stack, in the page that an idle fiber keeps anyhow (base/fiber.h).
	struct smtp_session session = {
		.service = service,
		.server = server,
		.snapshot = server->settings_get(server->arg),
		.rules = server->rules_get(server->arg),
		.login_arena = arena_new(LOGIN_BYTES_MAX),
	}, *s = &session;
	s->settings = settings_of(s->snapshot);
	if (!smtp_is_of_mailboxes(s))
		smtp_access_client(s, conn);
	const struct dialogue_config config = configure(s, conn);
	dialogue_init(&s->d, conn, &config);
	smtp_access_log(s);

	dialogue_run(&s->d);

	dialogue_fini(&s->d);
	arena_free(&s->login_arena);
	arena_free(&s->client_arena);
	rules_drop(&s->rules);
	settings_unref(&s->snapshot);
}
