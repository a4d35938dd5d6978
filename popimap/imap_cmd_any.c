// SPDX-License-Identifier: Apache-2.0
// The commands of any state: CAPABILITY, NOOP, LOGOUT (RFC 3501 section 6.1), ID (RFC 2971), ENABLE (RFC 5161).
#include "imap_session.h"

struct imap_result imap_cmd_capability(struct imap_session *s, struct imap_command *c)
{
	struct buf b;
	(void)c;
	buf_init(&b, 1024);
	buf_add(&b, STR("* "));
	imap_capabilities(s, &b);
	buf_add(&b, STR("\r\n"));
	conn_write(s->conn, buf_str(&b));
	buf_fini(&b);
	return imap_ok("done");
}

// What there is to tell the dispatcher tells.
struct imap_result imap_cmd_noop(struct imap_session *s, struct imap_command *c)
{
	(void)s;
	(void)c;
	return imap_ok("done");
}

struct imap_result imap_cmd_logout(struct imap_session *s, struct imap_command *c)
{
	const struct imap_result bye = {.status = IMAP_BYE, .text = "logging out"}, ok = imap_ok("goodbye");
	imap_say(s, STR("*"), &bye);
	imap_say(s, c->tag, &ok);
	conn_peer_is_done(s->conn);
	imap_enter(s, IMAP_ENDED);
	return (struct imap_result){0};
}

// "NIL" or "(field value …)": at most 30 pairs, fields of 30 and values of 1024 bytes (RFC 2971 section 3.3). It is believed in
// nothing and kept nowhere but in the log (threat spoof-xclient).
static bool parse_id(struct imap_parse *p, struct str *name_out)
{
	enum { PAIRS_MAX = 30, FIELD_BYTES_MAX = 30, VALUE_BYTES_MAX = 1024 };
	if (imap_parse_peek(p) != '(')
		return imap_parse_nstring(p, name_out) && (name_out->p == NULL || imap_parse_fail(p, "NIL or a list expected"));
	if (!imap_parse_open(p))
		return false;
	for (int i = 0; imap_parse_peek(p) != ')'; i++) {
		struct str field, value;
		if (i == PAIRS_MAX)
			return imap_parse_fail(p, "too many fields");
		if ((i && !imap_parse_space(p)) || !imap_parse_string(p, &field) || !imap_parse_space(p) ||
			!imap_parse_nstring(p, &value))
			return false;
		if (field.n > FIELD_BYTES_MAX || value.n > VALUE_BYTES_MAX)
			return imap_parse_fail(p, "field too long");
		if (str_eq_nocase(field, STR("name")))
			*name_out = value;
	}
	return imap_parse_close(p);
}

struct imap_result imap_cmd_id(struct imap_session *s, struct imap_command *c)
{
	struct str name = STR_NONE;
	if (!imap_parse_space(&c->p) || !parse_id(&c->p, &name) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	log_debug(&s->log_login, "client named itself", log_str("name", name));
	conn_write(s->conn, STR("* ID (\"name\" \"Posthouse\")\r\n"));
	return imap_ok("done");
}

// Nothing can be enabled yet; unknown names are ignored (RFC 5161 section 3.1), and no ENABLED line lists what was not (PROTOCOLS
// 31).
struct imap_result imap_cmd_enable(struct imap_session *s, struct imap_command *c)
{
	struct str name;
	do {
		if (!imap_parse_space(&c->p) || !imap_parse_atom(&c->p, &name))
			return imap_bad(c, "bad arguments");
	} while (imap_parse_peek(&c->p) == ' ');
	if (!imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	conn_write(s->conn, STR("* ENABLED\r\n"));
	return imap_ok("nothing to enable");
}
