// SPDX-License-Identifier: Apache-2.0
// POP3 before the maildrop is open: CAPA (RFC 2449), STLS (RFC 2595), USER and PASS, AUTH (RFC 5034), and QUIT.
#include "base/fiber.h"
#include "base/must.h"
#include "pop3_session.h"
#include "signin.h"

void pop3_cmd_capa(struct pop3_session *s, struct str argument)
{
	bool may_plaintext = popimap_may_plaintext(s->settings, s->conn);
	(void)argument;
	pop3_ok(s, "capabilities");
	conn_write(s->conn, STR("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"));
	if (s->state == POP3_AUTHORIZATION) {
		struct str mechanisms = sasl_mechanisms(may_plaintext ? SASL_PLAINTEXT_OK : 0);
		if (conn_tls(s->conn) == NULL && tls_slot_is_set(&s->popimap->tls))
			conn_write(s->conn, STR("STLS\r\n"));
		if (may_plaintext)
			conn_write(s->conn, STR("USER\r\n"));
		if (mechanisms.n)
			conn_printf(s->conn, "SASL %.*s\r\n", STR_FMT(mechanisms));
	}
	conn_write(s->conn, STR("IMPLEMENTATION Posthouse\r\n.\r\n"));
}

void pop3_cmd_stls(struct pop3_session *s, struct str argument)
{
	(void)argument;
	if (conn_tls(s->conn)) {
		pop3_err(s, "TLS is active already");
		return;
	}
	if (!tls_slot_is_set(&s->popimap->tls)) {
		pop3_err(s, "TLS is not available");
		return;
	}
	pop3_ok(s, "begin TLS now");
	// What was sent behind the command is thrown away, and what was said before it forgotten (PROTOCOLS 88).
	s->user[0] = '\0';
	if (conn_flush(s->conn, &s->err) || popimap_start_tls(s->popimap, s->conn, &s->who.log, &s->err))
		pop3_enter(s, POP3_ENDED);
}

static void logged_in(struct pop3_session *s, struct signin *in)
{
	s->mailbox = in->mailbox;
	must(str_to_c(in->login, s->login, sizeof s->login));
	if (!pop3_open_drop(s)) {
		mailbox_close(&s->mailbox);
		crowd_leave(&in->seat);
		return;
	}
	s->seat = in->seat;
	s->log_login.value = str_of_c(s->login);
	pop3_enter(s, POP3_TRANSACTION);
	log_info(&s->log_login, "logged in", log_c("protocol", "pop3"), log_bool("tls", conn_tls(s->conn) != NULL));
	pop3_ok(s, "maildrop is open");
}

static void answer(struct pop3_session *s, struct signin *in, enum signin_outcome outcome)
{
	switch (outcome) {
	case SIGNIN_OK:
		logged_in(s, in);
		return;
	case SIGNIN_FAILED:
		s->auth_failures++;
		pop3_err(s, "[AUTH] authentication failed");
		return;
	case SIGNIN_CROWDED:
		conn_printf(s->conn, "-ERR [SYS/TEMP] %s\r\n", in->text);
		pop3_enter(s, POP3_ENDED);
		return;
	case SIGNIN_UNAVAILABLE:
		s->bad_in_a_row++;
		conn_printf(s->conn, "-ERR [SYS/TEMP] %s\r\n", in->text);
		return;
	case SIGNIN_ABORTED:
		pop3_err(s, "authentication aborted");
		return;
	case SIGNIN_BAD_MECH:
		pop3_err(s, "mechanism not supported");
		return;
	case SIGNIN_BAD_DATA:
		s->auth_failures++;
		pop3_err(s, "bad authentication data");
		return;
	case SIGNIN_CLOSED:
		pop3_enter(s, POP3_ENDED);
		return;
	}
	unreachable("outcome of a log-in");
}

// Does the channel carry passwords? Else the answer is given.
static bool may_authenticate(struct pop3_session *s)
{
	if (popimap_may_plaintext(s->settings, s->conn))
		return true;
	pop3_err(s, "start TLS first");
	return false;
}

// Every name is welcome here: whether there is such a user shows with the password, or not at all.
void pop3_cmd_user(struct pop3_session *s, struct str argument)
{
	if (!may_authenticate(s))
		return;
	if (!str_to_c(argument, s->user, sizeof s->user))
		str_to_c(STR("\xFF"), s->user, sizeof s->user); // nobody's name: fails like any other
	pop3_ok(s, "password?");
}

void pop3_cmd_pass(struct pop3_session *s, struct str argument)
{
	struct signin in;
	if (!may_authenticate(s))
		return;
	if (s->user[0] == '\0') {
		pop3_err(s, "USER comes first");
		return;
	}
	signin_begin(s->popimap, s->settings, STR("pop"), s->conn, &s->who.log, s->auth_failures, &s->err, &in);
	answer(s, &in, signin_plain(&in, str_of_c(s->user), argument)); // a password may hold spaces
	signin_end(&in);
	s->user[0] = '\0';
}

void pop3_cmd_auth(struct pop3_session *s, struct str argument)
{
	struct str mechanism = argument, initial = STR_NONE;
	struct signin in;
	if (argument.n == 0) { // what clients did before CAPA
		pop3_err(s, "mechanism?");
		return;
	}
	if (!may_authenticate(s))
		return;
	bool has_initial = str_cut(argument, ' ', &mechanism, &initial);
	signin_begin(s->popimap, s->settings, STR("pop"), s->conn, &s->who.log, s->auth_failures, &s->err, &in);
	fiber_shield_leave(); // a stop does not wait for a client that thinks about its answer
	enum signin_outcome outcome = signin_sasl(&in, mechanism, has_initial ? &initial : NULL);
	fiber_shield_enter();
	answer(s, &in, outcome);
	signin_end(&in);
}

void pop3_cmd_quit(struct pop3_session *s, struct str argument)
{
	(void)argument;
	if (s->state == POP3_TRANSACTION && pop3_update_drop(s))
		pop3_err(s, "[SYS/TEMP] some deleted messages were not removed");
	else
		pop3_ok(s, "goodbye");
	conn_peer_is_done(s->conn);
	pop3_enter(s, POP3_ENDED);
}
