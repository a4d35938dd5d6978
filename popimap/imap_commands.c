// SPDX-License-Identifier: Apache-2.0
// The commands of IMAP: one row each. What a row demands is checked by the dispatcher in imap_session.c, before its handler runs.
#include "imap_session.h"
#include "popimap_metrics.h"

#define STRANGER IMAP_STATE_BIT(IMAP_STRANGER)
#define LOGGED_IN (IMAP_STATE_BIT(IMAP_USER) | IMAP_STATE_BIT(IMAP_SELECTED))
#define SELECTED IMAP_STATE_BIT(IMAP_SELECTED)
#define ANY (STRANGER | LOGGED_IN)
#define TELLS_ALL (IMAP_TELLS | IMAP_TELLS_GONE)
#define UID (IMAP_BY_UID | TELLS_ALL)

static const struct imap_command_row rows[] = {
	// RFC 3501 section 6.1
	{STR("CAPABILITY"), imap_cmd_capability, ANY, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	{STR("NOOP"), imap_cmd_noop, ANY, IMAP_NO_ARGUMENT | TELLS_ALL, &metric_popimap_imap_noop},
	{STR("LOGOUT"), imap_cmd_logout, ANY, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	// Section 6.2
	{STR("STARTTLS"), imap_cmd_starttls, STRANGER, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	{STR("LOGIN"), imap_cmd_login, STRANGER, 0, &metric_popimap_imap_login},
	{STR("AUTHENTICATE"), imap_cmd_authenticate, STRANGER, 0, &metric_popimap_imap_login},
	// Section 6.3
	{STR("SELECT"), imap_cmd_select, LOGGED_IN, 0, &metric_popimap_imap_select},
	{STR("EXAMINE"), imap_cmd_examine, LOGGED_IN, 0, &metric_popimap_imap_select},
	{STR("CREATE"), imap_cmd_create, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_folder},
	{STR("DELETE"), imap_cmd_delete, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_folder},
	{STR("RENAME"), imap_cmd_rename, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_folder},
	{STR("SUBSCRIBE"), imap_cmd_subscribe, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_folder},
	{STR("UNSUBSCRIBE"), imap_cmd_unsubscribe, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_folder},
	{STR("LIST"), imap_cmd_list, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_list},
	{STR("LSUB"), imap_cmd_lsub, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_list},
	{STR("STATUS"), imap_cmd_status, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_status},
	{STR("APPEND"), imap_cmd_append, LOGGED_IN, TELLS_ALL, &metric_popimap_imap_append},
	// Section 6.4
	{STR("CHECK"), imap_cmd_check, SELECTED, IMAP_NO_ARGUMENT | TELLS_ALL, &metric_popimap_imap_noop},
	{STR("CLOSE"), imap_cmd_close, SELECTED, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	{STR("EXPUNGE"), imap_cmd_expunge, SELECTED, IMAP_NO_ARGUMENT | IMAP_WRITES | TELLS_ALL, &metric_popimap_imap_expunge},
	{STR("SEARCH"), imap_cmd_search, SELECTED, IMAP_TELLS, &metric_popimap_imap_search},
	{STR("FETCH"), imap_cmd_fetch, SELECTED, IMAP_TELLS, &metric_popimap_imap_fetch},
	{STR("STORE"), imap_cmd_store, SELECTED, IMAP_WRITES | IMAP_TELLS, &metric_popimap_imap_store},
	{STR("COPY"), imap_cmd_copy, SELECTED, TELLS_ALL, &metric_popimap_imap_copy},
	{STR("UID SEARCH"), imap_cmd_search, SELECTED, UID, &metric_popimap_imap_search},
	{STR("UID FETCH"), imap_cmd_fetch, SELECTED, UID, &metric_popimap_imap_fetch},
	{STR("UID STORE"), imap_cmd_store, SELECTED, IMAP_WRITES | UID, &metric_popimap_imap_store},
	{STR("UID COPY"), imap_cmd_copy, SELECTED, UID, &metric_popimap_imap_copy},
	// RFC 6851 MOVE, RFC 4315 UIDPLUS, RFC 3691 UNSELECT
	{STR("MOVE"), imap_cmd_move, SELECTED, IMAP_WRITES | TELLS_ALL, &metric_popimap_imap_copy},
	{STR("UID MOVE"), imap_cmd_move, SELECTED, IMAP_WRITES | UID, &metric_popimap_imap_copy},
	{STR("UID EXPUNGE"), imap_cmd_expunge, SELECTED, IMAP_WRITES | UID, &metric_popimap_imap_expunge},
	{STR("UNSELECT"), imap_cmd_unselect, SELECTED, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	// RFC 2177 IDLE, RFC 2342 NAMESPACE, RFC 2971 ID, RFC 5161 ENABLE
	{STR("IDLE"), imap_cmd_idle, LOGGED_IN, IMAP_NO_ARGUMENT, &metric_popimap_imap_idle},
	{STR("NAMESPACE"), imap_cmd_namespace, LOGGED_IN, IMAP_NO_ARGUMENT, &metric_popimap_imap_other},
	{STR("ID"), imap_cmd_id, ANY, 0, &metric_popimap_imap_other},
	{STR("ENABLE"), imap_cmd_enable, LOGGED_IN, 0, &metric_popimap_imap_other},
};

const struct imap_command_row *imap_command_find(struct str name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (str_eq_nocase(rows[i].name, name))
			return &rows[i];
	return NULL;
}
