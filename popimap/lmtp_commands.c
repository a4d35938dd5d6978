// SPDX-License-Identifier: Apache-2.0
// The commands of LMTP: one row each, and the small ones. What a row demands is checked by the dispatcher in lmtp_session.c.
#include "lmtp_session.h"
#include "popimap_metrics.h"
#include "router/host.h"

#define BEFORE_LHLO LMTP_STATE_BIT(LMTP_CONNECTED)
#define READY LMTP_STATE_BIT(LMTP_READY)
#define IN_MAIL LMTP_STATE_BIT(LMTP_IN_MAIL)
#define IN_RCPT LMTP_STATE_BIT(LMTP_IN_RCPT)
#define ANY (BEFORE_LHLO | READY | IN_MAIL | IN_RCPT)

static void cmd_rset(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	lmtp_reset(s);
	lmtp_say_id(s, REPLY_OK);
}

static void cmd_noop(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	lmtp_say_id(s, REPLY_OK);
}

static void cmd_vrfy(struct lmtp_session *s, struct str argument)
{
	lmtp_say_id(s, argument.n ? REPLY_VRFY : REPLY_SYNTAX);
}

static void cmd_quit(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	lmtp_say_id(s, REPLY_BYE);
	lmtp_enter(s, LMTP_ENDED);
}

// RFC 2033 section 4.1: HELO and EHLO are not LMTP; who says them has the wrong port.
static void cmd_not_lmtp(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	lmtp_say(s, reply_with(REPLY_UNKNOWN_COMMAND, STR("this is LMTP: say LHLO")));
}

// CHUNKING is not offered. Who sends BDAT all the same may have the chunk on the way, and that is never read as commands.
static void cmd_bdat(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	lmtp_say_id(s, REPLY_NOT_IMPLEMENTED);
	lmtp_enter(s, LMTP_ENDED);
}

static const struct lmtp_command_row rows[] = {
	{STR("LHLO"), lmtp_cmd_lhlo, ANY, LMTP_SYNCHRONISES},
	{STR("STARTTLS"), lmtp_cmd_starttls, BEFORE_LHLO | READY, LMTP_NO_ARGUMENT},
	{STR("MAIL"), lmtp_cmd_mail, READY, LMTP_TRUSTED},
	{STR("RCPT"), lmtp_cmd_rcpt, IN_MAIL | IN_RCPT, LMTP_TRUSTED},
	{STR("DATA"), lmtp_cmd_data, IN_MAIL | IN_RCPT, LMTP_NO_ARGUMENT | LMTP_TRUSTED | LMTP_SYNCHRONISES},
	{STR("RSET"), cmd_rset, ANY, LMTP_NO_ARGUMENT},
	{STR("NOOP"), cmd_noop, ANY, 0},
	{STR("VRFY"), cmd_vrfy, ANY, LMTP_TRUSTED},
	{STR("QUIT"), cmd_quit, ANY, 0},
	{STR("HELO"), cmd_not_lmtp, ANY, 0},
	{STR("EHLO"), cmd_not_lmtp, ANY, 0},
	{STR("BDAT"), cmd_bdat, ANY, 0},
};

const struct lmtp_command_row *lmtp_command_find(struct str verb)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (str_eq_nocase(rows[i].verb, verb))
			return &rows[i];
	return NULL;
}

// Whose certificate is it? Asked at each LHLO, because pins change while sessions last.
static enum lmtp_peer look_at_peer(struct lmtp_session *s)
{
	const struct conn_tls *tls = conn_tls(s->conn);
	if (tls == NULL || tls->peer_spki[0] == '\0')
		return LMTP_STRANGER;
	struct popimap *popimap = s->service->popimap;
	struct str pin = arena_printf(s->txn.arena, "sha256:%s", tls->peer_spki), name = STR_NONE;
	enum host_answer answer = host_by_pin(popimap->directory(popimap->arg), pin, s->txn.arena, &name);
	log_debug(&s->log, "peer certificate", log_str("pin", pin), log_str("host", name));
	arena_reset(s->txn.arena);
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

static bool has_tls(struct lmtp_session *s)
{
	struct tls_server *tls = tls_slot_get(&s->service->tls);
	bool has = tls != NULL;
	tls_server_drop(&tls);
	return has;
}

void lmtp_cmd_lhlo(struct lmtp_session *s, struct str argument)
{
	struct str name;
	if (!smtp_helo_parse(argument, &name)) {
		lmtp_say_id(s, REPLY_SYNTAX);
		return;
	}
	lmtp_reset(s);
	lmtp_enter(s, LMTP_READY);
	s->peer_kind = look_at_peer(s);
	conn_printf(s->conn,
		"250-%.*s\r\n"
		"250-PIPELINING\r\n"
		"250-SIZE %llu\r\n",
		STR_FMT(s->settings->hostname), (unsigned long long)lmtp_bytes_max(s->settings));
	if (conn_tls(s->conn) == NULL && has_tls(s))
		conn_write(s->conn, STR("250-STARTTLS\r\n"));
	if (s->peer_kind != LMTP_STRANGER)
		conn_write(s->conn, STR("250-XPHKEY\r\n"));
	conn_write(s->conn,
		STR("250-ENHANCEDSTATUSCODES\r\n"
		    "250-8BITMIME\r\n"
		    "250 SMTPUTF8\r\n"));
}

void lmtp_cmd_starttls(struct lmtp_session *s, struct str argument)
{
	(void)argument;
	if (conn_tls(s->conn)) {
		lmtp_say_id(s, REPLY_BAD_SEQUENCE);
		return;
	}
	struct tls_server *tls = tls_slot_get(&s->service->tls);
	if (tls == NULL) {
		lmtp_say_id(s, REPLY_TLS_UNAVAILABLE);
		return;
	}
	lmtp_say_id(s, REPLY_READY_TLS);
	size_t discarded = 0;
	enum err_code code = conn_flush(s->conn, &s->err);
	if (code == ERR_OK)
		code = conn_tls_accept(s->conn, tls, &discarded, &s->err);
	tls_server_drop(&tls);
	if (code) {
		metric_add(&metric_popimap_tls_failed, 1);
		log_info(&s->log, "TLS handshake failed", log_err(&s->err));
		lmtp_enter(s, LMTP_ENDED);
		return;
	}
	if (discarded) {
		metric_add(&metric_popimap_injected, 1);
		log_warning(&s->log, "plaintext behind STARTTLS was thrown away", log_u64("bytes", discarded));
	}
	lmtp_reset(s); // RFC 3207 section 4.2: forget what was said in the clear
	s->peer_kind = LMTP_STRANGER;
	lmtp_enter(s, LMTP_CONNECTED);
}
