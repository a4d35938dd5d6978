// SPDX-License-Identifier: Apache-2.0
// CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS (RFC 3501 sections 6.3.3 to 6.3.7 and 6.3.10), NAMESPACE (RFC 2342).
#include "imap_session.h"

// What the store says of a folder, in IMAP's words.
static struct imap_result folder_result(struct imap_session *s, enum err_code code, const char *done)
{
	switch (code) {
	case ERR_OK:
		return imap_ok(done);
	case ERR_NOTFOUND:
		return imap_no(IMAP_CODE_NONEXISTENT, "no such mailbox");
	case ERR_EXISTS:
		return imap_no(IMAP_CODE_ALREADYEXISTS, "a mailbox of that name exists");
	case ERR_DENIED:
	case ERR_INVALID:
		return imap_no(IMAP_CODE_CANNOT, "that cannot be done with this mailbox");
	case ERR_LIMIT:
		return imap_no(IMAP_CODE_LIMIT, "too many mailboxes");
	default:
		return imap_failed(s, code, "the store cannot do that now");
	}
}

struct imap_result imap_cmd_create(struct imap_session *s, struct imap_command *c)
{
	struct mailbox_name name;
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox_new(&c->p, &name) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	if (mailbox_name_is_inbox(&name))
		return imap_no(IMAP_CODE_ALREADYEXISTS, "INBOX always exists");
	return folder_result(s, folder_create(s->mailbox, &name, FOLDER_USE_NONE, &s->err), "created");
}

static bool is_selected(struct imap_session *s, struct arena *arena, const struct mailbox_name *name)
{
	struct folder_info info;
	return s->state == IMAP_SELECTED && folder_status(s->mailbox, name, arena, &info, &s->err) == ERR_OK &&
	       info.id == s->folder->id;
}

// Whoever deletes the folder that it has selected is left without one; other sessions in it hear BYE.
struct imap_result imap_cmd_delete(struct imap_session *s, struct imap_command *c)
{
	struct mailbox_name name;
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox(&c->p, &name) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	bool selected = is_selected(s, c->arena, &name);
	enum err_code code = folder_delete(s->mailbox, &name, &s->err);
	if (code == ERR_OK && selected) {
		imap_enter(s, IMAP_USER);
		conn_write(s->conn, STR("* OK [CLOSED] the selected mailbox was deleted\r\n"));
	}
	if (code == ERR_EXISTS)
		return imap_no(IMAP_CODE_CANNOT, "it has children and is no mailbox itself"); // PROTOCOLS 35
	return folder_result(s, code, "deleted");
}

struct imap_result imap_cmd_rename(struct imap_session *s, struct imap_command *c)
{
	struct mailbox_name from, to;
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox(&c->p, &from) || !imap_parse_space(&c->p) ||
		!imap_parse_mailbox_new(&c->p, &to) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	return folder_result(s, folder_rename(s->mailbox, &from, &to, &s->err), "renamed");
}

static struct imap_result subscribe(struct imap_session *s, struct imap_command *c, bool subscribed)
{
	struct mailbox_name name;
	// One "/" at the end is forgiven: LSUB of other servers hands such names out.
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox_new(&c->p, &name) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	enum err_code code = folder_subscribe(s->mailbox, &name, subscribed, &s->err);
	return folder_result(s, code, subscribed ? "subscribed" : "unsubscribed");
}

struct imap_result imap_cmd_subscribe(struct imap_session *s, struct imap_command *c)
{
	return subscribe(s, c, true);
}

struct imap_result imap_cmd_unsubscribe(struct imap_session *s, struct imap_command *c)
{
	return subscribe(s, c, false);
}

enum status_item {
	STATUS_MESSAGES = 1,
	STATUS_RECENT = 2,
	STATUS_UIDNEXT = 4,
	STATUS_UIDVALIDITY = 8,
	STATUS_UNSEEN = 16,
};

static const struct {
	struct str name;
	enum status_item item;
} status_items[] = {
	{STR("MESSAGES"), STATUS_MESSAGES},       {STR("RECENT"), STATUS_RECENT}, {STR("UIDNEXT"), STATUS_UIDNEXT},
	{STR("UIDVALIDITY"), STATUS_UIDVALIDITY}, {STR("UNSEEN"), STATUS_UNSEEN},
};

static bool parse_status_item(struct imap_parse *p, unsigned *items)
{
	struct str word;
	if (!imap_parse_atom(p, &word))
		return false;
	for (size_t i = 0; i < sizeof status_items / sizeof *status_items; i++)
		if (str_eq_nocase(word, status_items[i].name)) {
			*items |= status_items[i].item;
			return true;
		}
	return imap_parse_fail(p, "unknown item of STATUS");
}

static bool parse_status_items(struct imap_parse *p, unsigned *items_out)
{
	unsigned items = 0;
	if (!imap_parse_open(p) || !parse_status_item(p, &items))
		return false;
	while (imap_parse_peek(p) == ' ')
		if (!imap_parse_space(p) || !parse_status_item(p, &items))
			return false;
	*items_out = items;
	return imap_parse_close(p);
}

static void write_status(struct imap_session *s, const struct mailbox_name *name, const struct folder_info *info, unsigned items)
{
	const uint32_t values[] = {info->messages, info->recent, info->uidnext, info->uidvalidity, info->unseen};
	struct buf b;
	const char *before = "";
	buf_init(&b, 64 << 10);
	buf_add(&b, STR("* STATUS "));
	imap_reply_mailbox(&b, name);
	buf_add(&b, STR(" ("));
	for (size_t i = 0; i < sizeof status_items / sizeof *status_items; i++)
		if (items & status_items[i].item) {
			buf_printf(&b, "%s%.*s %u", before, STR_FMT(status_items[i].name), values[i]);
			before = " ";
		}
	buf_add(&b, STR(")\r\n"));
	conn_write(s->conn, buf_str(&b));
	buf_fini(&b);
}

// Works on the selected folder too (PROTOCOLS 44).
struct imap_result imap_cmd_status(struct imap_session *s, struct imap_command *c)
{
	struct mailbox_name name;
	struct folder_info info;
	unsigned items = 0;
	if (!imap_parse_space(&c->p) || !imap_parse_mailbox(&c->p, &name) || !imap_parse_space(&c->p) ||
		!parse_status_items(&c->p, &items) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	enum err_code code = folder_status(s->mailbox, &name, c->arena, &info, &s->err);
	if (code)
		return folder_result(s, code, NULL);
	write_status(s, &name, &info, items);
	return imap_ok("done");
}

struct imap_result imap_cmd_namespace(struct imap_session *s, struct imap_command *c)
{
	(void)c;
	conn_write(s->conn, STR("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
	return imap_ok("done");
}
