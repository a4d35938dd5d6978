// SPDX-License-Identifier: Apache-2.0
// The commands of POP3: one row each. What a row demands is checked by the dispatcher in pop3_session.c, before its handler runs.
#include "pop3_session.h"

#define BEFORE POP3_STATE_BIT(POP3_AUTHORIZATION)
#define AFTER POP3_STATE_BIT(POP3_TRANSACTION)

static const struct pop3_command_row rows[] = {
	{STR("CAPA"), pop3_cmd_capa, BEFORE | AFTER, POP3_NO_ARGUMENT}, // RFC 2449
	{STR("STLS"), pop3_cmd_stls, BEFORE, POP3_NO_ARGUMENT},         // RFC 2595
	{STR("USER"), pop3_cmd_user, BEFORE, POP3_MUST_ARGUMENT},
	{STR("PASS"), pop3_cmd_pass, BEFORE, POP3_MUST_ARGUMENT},
	{STR("AUTH"), pop3_cmd_auth, BEFORE, POP3_MAY_ARGUMENT}, // RFC 5034
	{STR("STAT"), pop3_cmd_stat, AFTER, POP3_NO_ARGUMENT},
	{STR("LIST"), pop3_cmd_list, AFTER, POP3_MAY_ARGUMENT},
	{STR("UIDL"), pop3_cmd_uidl, AFTER, POP3_MAY_ARGUMENT},
	{STR("RETR"), pop3_cmd_retr, AFTER, POP3_MUST_ARGUMENT},
	{STR("TOP"), pop3_cmd_top, AFTER, POP3_MUST_ARGUMENT},
	{STR("DELE"), pop3_cmd_dele, AFTER, POP3_MUST_ARGUMENT},
	{STR("NOOP"), pop3_cmd_noop, AFTER, POP3_NO_ARGUMENT},
	{STR("RSET"), pop3_cmd_rset, AFTER, POP3_NO_ARGUMENT},
	{STR("QUIT"), pop3_cmd_quit, BEFORE | AFTER, POP3_NO_ARGUMENT},
};

const struct pop3_command_row *pop3_command_find(struct str name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (str_eq_nocase(rows[i].name, name))
			return &rows[i];
	return NULL;
}
