// SPDX-License-Identifier: Apache-2.0
// The commands of SMTP: one row each. What a row demands is checked by the dispatcher in smtp_session.c, before its handler runs.
#include "smtp_metrics.h"
#include "smtp_session.h"

#define BEFORE_EHLO SMTP_STATE_BIT(SMTP_CONNECTED)
#define READY SMTP_STATE_BIT(SMTP_READY)
#define IN_MAIL SMTP_STATE_BIT(SMTP_IN_MAIL)
#define IN_RCPT SMTP_STATE_BIT(SMTP_IN_RCPT)
#define ANY (BEFORE_EHLO | READY | IN_MAIL | IN_RCPT)

static const struct smtp_command_row rows[] = {
	// RFC 5321 section 4.1
	{STR("HELO"), smtp_cmd_helo, ANY, SMTP_SYNCHRONISES, &metric_mta_smtp_helo},
	{STR("EHLO"), smtp_cmd_ehlo, ANY, SMTP_SYNCHRONISES, &metric_mta_smtp_ehlo},
	{STR("MAIL"), smtp_cmd_mail, READY, SMTP_NEEDS_TLS | SMTP_NEEDS_LOGIN, &metric_mta_smtp_mail},
	{STR("RCPT"), smtp_cmd_rcpt, IN_MAIL | IN_RCPT, SMTP_NEEDS_TLS | SMTP_NEEDS_LOGIN, &metric_mta_smtp_rcpt},
	{STR("DATA"), smtp_cmd_data, IN_MAIL | IN_RCPT, SMTP_NO_ARGUMENT | SMTP_SYNCHRONISES, &metric_mta_smtp_data},
	{STR("RSET"), smtp_cmd_rset, ANY, SMTP_NO_ARGUMENT, &metric_mta_smtp_other},
	{STR("NOOP"), smtp_cmd_noop, ANY, 0, &metric_mta_smtp_other},
	{STR("VRFY"), smtp_cmd_vrfy, ANY, SMTP_NEEDS_LOGIN, &metric_mta_smtp_other},
	{STR("HELP"), smtp_cmd_help, ANY, 0, &metric_mta_smtp_other},
	{STR("QUIT"), smtp_cmd_quit, ANY, 0, &metric_mta_smtp_other},
	{STR("EXPN"), smtp_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	{STR("TURN"), smtp_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	{STR("ETRN"), smtp_cmd_not_implemented, ANY, 0, &metric_mta_smtp_other},
	{STR("BDAT"), smtp_cmd_bdat, ANY, 0, &metric_mta_smtp_other},
	// RFC 3207, RFC 4954
	{STR("STARTTLS"), smtp_cmd_starttls, BEFORE_EHLO | READY, SMTP_NO_ARGUMENT, &metric_mta_smtp_starttls},
	{STR("AUTH"), smtp_cmd_auth, READY, SMTP_ONLY_SUBMISSION, &metric_mta_smtp_auth},
	// What a browser made to talk to us says: its body must not be read as commands.
	{STR("GET"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
	{STR("POST"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
	{STR("PUT"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
	{STR("HEAD"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
	{STR("OPTIONS"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
	{STR("CONNECT"), smtp_cmd_junk, ANY, 0, &metric_mta_smtp_junk},
};

const struct smtp_command_row *smtp_command_find(struct str verb)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (str_eq_nocase(rows[i].verb, verb))
			return &rows[i];
	return NULL;
}
