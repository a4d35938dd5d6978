// SPDX-License-Identifier: Apache-2.0
// LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9), with \HasChildren (RFC 3348) and special uses (RFC 6154).
//
// The store has a row for each parent, so what "%" shows in between is a row too. A subscription may stand alone: for LSUB,
// parents of subscribed names are made up here as \Noselect (PROTOCOLS 39).
#include "base/fiber.h"
#include "imap_session.h"
#include "mail/imap_pattern.h"

enum { FOLDER_COSTS_BYTES = 128 }; // a name that does not match is work too: some hundreds of them make a turn

static const char *const uses[] = {
	[FOLDER_USE_NONE] = "",
	[FOLDER_USE_ARCHIVE] = " \\Archive",
	[FOLDER_USE_DRAFTS] = " \\Drafts",
	[FOLDER_USE_JUNK] = " \\Junk",
	[FOLDER_USE_SENT] = " \\Sent",
	[FOLDER_USE_TRASH] = " \\Trash",
};

static void write_line(struct imap_session *s, const char *command, const char *attributes, const struct mailbox_name *name)
{
	struct buf b;
	buf_init(&b, 64 << 10);
	buf_printf(&b, "* %s (%s) \"/\" ", command, attributes);
	imap_reply_mailbox(&b, name);
	buf_add(&b, STR("\r\n"));
	conn_write(s->conn, buf_str(&b));
	buf_fini(&b);
}

static void list_folder(struct imap_session *s, const struct folder_info *folder)
{
	char attributes[64];
	struct buf b;
	buf_init(&b, sizeof attributes - 1);
	buf_add_c(&b, folder->has_children ? "\\HasChildren" : "\\HasNoChildren");
	if (!folder->selectable)
		buf_add_c(&b, " \\Noselect");
	buf_add_c(&b, uses[folder->use]);
	if (str_to_c(buf_str(&b), attributes, sizeof attributes))
		write_line(s, "LIST", attributes, &folder->name);
	buf_fini(&b);
}

// The longest parent of a subscribed name that the pattern ending in "%" shows instead of it.
static bool shown_parent(const struct imap_pattern *pattern, const struct mailbox_name *name, struct mailbox_name *parent_out)
{
	struct mailbox_name parent = *name;
	while (mailbox_name_parent(&parent, &parent))
		if (imap_pattern_match(pattern, parent.path)) {
			*parent_out = parent;
			return true;
		}
	return false;
}

// Subscribed names come in the order of folder_list: those below one parent stand together, so remembering the last one is
// enough.
static void lsub_folder(struct imap_session *s, const struct imap_pattern *pattern, bool level, const struct folder_info *folder,
	struct mailbox_name *last_parent)
{
	struct mailbox_name parent;
	if (!folder->subscribed)
		return;
	if (imap_pattern_match(pattern, folder->name.path)) {
		write_line(s, "LSUB", folder->selectable ? "" : "\\Noselect", &folder->name);
		*last_parent = folder->name;
		return;
	}
	if (!level || !shown_parent(pattern, &folder->name, &parent) || str_eq(parent.path, last_parent->path))
		return;
	write_line(s, "LSUB", "\\Noselect", &parent);
	*last_parent = parent;
}

// Reference and pattern are put together as they are, the delimiter in them included (RFC 3501 section 6.3.8).
static bool parse_arguments(struct imap_command *c, struct str *pattern_out, bool *root_out)
{
	struct str reference, pattern;
	if (!imap_parse_space(&c->p) || !imap_parse_pattern(&c->p, &reference) || !imap_parse_space(&c->p) ||
		!imap_parse_pattern(&c->p, &pattern) || !imap_parse_end(&c->p))
		return false;
	*root_out = pattern.n == 0;
	// A pattern that begins at the root does not care for the reference.
	if (pattern.n && pattern.p[0] == MAILBOX_NAME_DELIMITER) {
		*pattern_out = str_from(pattern, 1);
		return true;
	}
	*pattern_out = arena_printf(c->arena, "%.*s%.*s", STR_FMT(reference), STR_FMT(pattern));
	return true;
}

static struct imap_result list(struct imap_session *s, struct imap_command *c, bool lsub)
{
	struct str text;
	struct folder_info *folders;
	size_t n;
	bool root;
	struct mailbox_name last_parent = {0};
	if (!parse_arguments(c, &text, &root))
		return imap_bad(c, "bad arguments");
	if (root) {
		conn_printf(s->conn, "* %s (\\Noselect) \"/\" \"\"\r\n", lsub ? "LSUB" : "LIST"); // PROTOCOLS 37
		return imap_ok("done");
	}
	struct imap_pattern *pattern = imap_pattern_new(text, c->arena);
	if (pattern == NULL)
		return imap_no(IMAP_CODE_LIMIT, "pattern too long");
	enum err_code code = folder_list(s->mailbox, c->arena, &folders, &n, &s->err);
	if (code)
		return imap_failed(s, code, "folders cannot be listed now");
	bool level = text.n && text.p[text.n - 1] == '%';
	for (size_t i = 0; i < n; i++) {
		if (lsub)
			lsub_folder(s, pattern, level, &folders[i], &last_parent);
		else if (folders[i].id && imap_pattern_match(pattern, folders[i].name.path))
			list_folder(s, &folders[i]);
		fiber_spent(FOLDER_COSTS_BYTES, 0);
	}
	return imap_ok("done");
}

struct imap_result imap_cmd_list(struct imap_session *s, struct imap_command *c)
{
	return list(s, c, false);
}

struct imap_result imap_cmd_lsub(struct imap_session *s, struct imap_command *c)
{
	return list(s, c, true);
}
