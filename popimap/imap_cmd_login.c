// SPDX-License-Identifier: Apache-2.0
// STARTTLS, LOGIN and AUTHENTICATE (RFC 3501 section 6.2, RFC 4959). The dialogue is router/login.h's, the way home signin.h's.
#include "base/fiber.h"
#include "base/must.h"
#include "imap_session.h"
#include "popimap_metrics.h"
#include "signin.h"

struct imap_result imap_cmd_starttls(struct imap_session *s, struct imap_command *c)
{
	if (conn_tls(s->conn))
		return imap_bad(c, "TLS is active already");
	if (!tls_slot_is_set(&s->popimap->tls))
		return imap_no(IMAP_CODE_UNAVAILABLE, "TLS is not available");
	const struct imap_result ok = imap_ok("begin TLS now");
	imap_say(s, c->tag, &ok);
	// What was sent behind the command is thrown away: it came before the handshake and may be somebody else's (PROTOCOLS
	// 26).
	if (conn_flush(s->conn, &s->err) || popimap_start_tls(s->popimap, s->conn, &s->who.log, &s->err))
		imap_enter(s, IMAP_ENDED);
	return (struct imap_result){0};
}

static struct imap_result logged_in(struct imap_session *s, struct imap_command *c, struct signin *in)
{
	struct buf b;
	s->mailbox = in->mailbox;
	s->seat = in->seat;
	must(str_to_c(in->login, s->login, sizeof s->login));
	s->log_login.value = str_of_c(s->login);
	imap_enter(s, IMAP_USER);
	log_info(&s->log_login, "logged in", log_c("protocol", "imap"), log_bool("tls", conn_tls(s->conn) != NULL));
	buf_init(&b, 1024);
	imap_capabilities(s, &b);
	struct imap_result result = {.status = IMAP_OK, .code_text = arena_dup(c->arena, buf_str(&b)), .text = "logged in"};
	buf_fini(&b);
	return result;
}

static struct imap_result answer(struct imap_session *s, struct imap_command *c, struct signin *in, enum signin_outcome outcome)
{
	switch (outcome) {
	case SIGNIN_OK:
		return logged_in(s, c, in);
	case SIGNIN_FAILED:
		s->auth_failures++;
		return imap_no(IMAP_CODE_AUTHENTICATIONFAILED, "authentication failed");
	case SIGNIN_CROWDED: {
		const struct imap_result no = imap_no(IMAP_CODE_LIMIT, in->text);
		imap_say(s, c->tag, &no);
		imap_bye(s, IMAP_CODE_NONE, in->text);
		return (struct imap_result){0};
	}
	case SIGNIN_UNAVAILABLE:
		return imap_no(IMAP_CODE_UNAVAILABLE, in->text);
	case SIGNIN_ABORTED:
		return imap_bad(c, "authentication aborted");
	case SIGNIN_BAD_MECH:
		return imap_no(IMAP_CODE_CANNOT, "mechanism not supported");
	case SIGNIN_BAD_DATA:
		s->auth_failures++;
		return imap_bad(c, "bad authentication data");
	case SIGNIN_CLOSED:
		if (in->code == ERR_TIMEOUT)
			imap_bye(s, IMAP_CODE_NONE, "timeout");
		else if (in->code == ERR_CANCELLED)
			imap_bye(s, IMAP_CODE_UNAVAILABLE, "server is stopping");
		else
			imap_enter(s, IMAP_ENDED);
		return (struct imap_result){0};
	}
	unreachable("outcome of a log-in");
}

struct imap_result imap_cmd_login(struct imap_session *s, struct imap_command *c)
{
	struct str login, password;
	struct signin in;
	if (!imap_parse_space(&c->p) || !imap_parse_astring(&c->p, &login) || !imap_parse_space(&c->p) ||
		!imap_parse_astring(&c->p, &password) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	if (!popimap_may_plaintext(s->settings, s->conn))
		return imap_no(IMAP_CODE_PRIVACYREQUIRED, "start TLS first");
	signin_begin(s->popimap, s->settings, STR("imap"), s->conn, &s->who.log, s->auth_failures, &s->err, &in);
	struct imap_result result = answer(s, c, &in, signin_plain(&in, login, password));
	signin_end(&in);
	return result;
}

struct imap_result imap_cmd_authenticate(struct imap_session *s, struct imap_command *c)
{
	struct str mechanism, initial = STR_NONE;
	struct signin in;
	if (!imap_parse_space(&c->p) || !imap_parse_atom(&c->p, &mechanism))
		return imap_bad(c, "bad arguments");
	bool has_initial = imap_parse_peek(&c->p) == ' ';
	if (has_initial) {
		imap_parse_space(&c->p);
		initial = imap_parse_rest(&c->p);
	} else if (!imap_parse_end(&c->p)) {
		return imap_bad(c, "bad arguments");
	}
	if (!popimap_may_plaintext(s->settings, s->conn))
		return imap_no(IMAP_CODE_PRIVACYREQUIRED, "start TLS first");
	signin_begin(s->popimap, s->settings, STR("imap"), s->conn, &s->who.log, s->auth_failures, &s->err, &in);
	fiber_shield_leave(); // a stop does not wait for a client that thinks about its answer
	enum signin_outcome outcome = signin_sasl(&in, mechanism, has_initial ? &initial : NULL);
	fiber_shield_enter();
	struct imap_result result = answer(s, c, &in, outcome);
	signin_end(&in);
	return result;
}
