// SPDX-License-Identifier: Apache-2.0
// SELECT, EXAMINE, CHECK, CLOSE (RFC 3501 sections 6.3.1, 6.3.2, 6.4.1, 6.4.2) and UNSELECT (RFC 3691).
#include <stdlib.h>

#include "imap_session.h"

// A folder is left, whether the next one opens or not (PROTOCOLS 20).
static void leave(struct imap_session *s)
{
	if (s->state != IMAP_SELECTED)
		return;
	imap_enter(s, IMAP_USER);
	conn_write(s->conn, STR("* OK [CLOSED] the previous mailbox is closed\r\n"));
}

static void announce(struct imap_session *s, const struct folder_view *view)
{
	const struct imap_folder *folder = s->folder;
	imap_folder_announce_flags(folder, s->conn);
	conn_printf(s->conn, "* %zu EXISTS\r\n* %zu RECENT\r\n", folder->n, imap_folder_recent_count(folder));
	if (view->first_unseen)
		conn_printf(s->conn, "* OK [UNSEEN %u] first unseen\r\n", imap_folder_number(folder, view->first_unseen));
	conn_printf(s->conn, "* OK [UIDVALIDITY %u] UIDs are valid\r\n* OK [UIDNEXT %u] next UID\r\n", view->info.uidvalidity,
		view->info.uidnext);
}

static struct imap_result select_folder(struct imap_session *s, struct imap_command *c, bool read_only)
{
	struct mailbox_name name;
	struct folder_view view;
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox(&c->p, &name) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	leave(s);
	enum err_code code =
		folder_select(s->mailbox, &name, read_only ? FOLDER_READ_ONLY : FOLDER_READ_WRITE, c->arena, &view, &s->err);
	if (code)
		return imap_failed(s, code, code == ERR_NOTFOUND ? "no such mailbox" : "mailbox cannot be opened");
	s->folder = imap_folder_new(s->mailbox, &view, read_only);
	imap_enter(s, IMAP_SELECTED);
	announce(s, &view);
	return (struct imap_result){
		.status = IMAP_OK, .code = read_only ? IMAP_CODE_READONLY : IMAP_CODE_READWRITE, .text = "selected"};
}

struct imap_result imap_cmd_select(struct imap_session *s, struct imap_command *c)
{
	return select_folder(s, c, false);
}

struct imap_result imap_cmd_examine(struct imap_session *s, struct imap_command *c)
{
	return select_folder(s, c, true);
}

// Every commit is on the disk already.
struct imap_result imap_cmd_check(struct imap_session *s, struct imap_command *c)
{
	return imap_cmd_noop(s, c);
}

// Expunges in silence, but not after EXAMINE (PROTOCOLS 72).
struct imap_result imap_cmd_close(struct imap_session *s, struct imap_command *c)
{
	struct uid_list gone;
	enum err_code code = ERR_OK;
	if (!s->folder->read_only)
		code = message_expunge(s->mailbox, s->folder->id, NULL, 0, c->arena, &gone, &s->err);
	imap_enter(s, IMAP_USER);
	if (code && code != ERR_NOTFOUND)
		return imap_failed(s, code, "closed, but not expunged");
	return imap_ok("closed");
}

struct imap_result imap_cmd_unselect(struct imap_session *s, struct imap_command *c)
{
	(void)c;
	imap_enter(s, IMAP_USER);
	return imap_ok("unselected");
}
