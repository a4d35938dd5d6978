// SPDX-License-Identifier: Apache-2.0
// The small commands: RSET, NOOP, VRFY, HELP, QUIT, and those that we do not do.
#include "base/log.h"
#include "smtp_session.h"

void smtp_cmd_rset(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_reset(s);
	smtp_say_id(s, REPLY_OK);
}

void smtp_cmd_noop(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_say_id(s, REPLY_OK);
}

// RFC 5321 section 7.3: an answer would be a directory for address harvesters.
void smtp_cmd_vrfy(struct smtp_session *s, struct str argument)
{
	smtp_say_id(s, argument.n ? REPLY_VRFY : REPLY_SYNTAX);
}

void smtp_cmd_help(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_say(s, (struct reply){.code = 214, .enhanced = STR("2.0.0"), .text = STR("see RFC 5321")});
}

void smtp_cmd_quit(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_say_id(s, REPLY_BYE);
	smtp_enter(s, SMTP_ENDED);
}

void smtp_cmd_not_implemented(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_say_id(s, REPLY_NOT_IMPLEMENTED);
}

// We do not offer CHUNKING. Who sends BDAT all the same may have the chunk on the way, and that is never read as commands.
void smtp_cmd_bdat(struct smtp_session *s, struct str argument)
{
	(void)argument;
	smtp_say_id(s, REPLY_NOT_IMPLEMENTED);
	smtp_enter(s, SMTP_ENDED);
}

void smtp_cmd_junk(struct smtp_session *s, struct str argument)
{
	(void)argument;
	log_warning(&s->log_session, "another protocol on a mail port: session ended");
	smtp_say_id(s, REPLY_EARLY_TALKER);
	smtp_enter(s, SMTP_ENDED);
}
