// SPDX-License-Identifier: Apache-2.0
// COPY (RFC 3501 section 6.4.7), MOVE (RFC 6851), EXPUNGE and UID EXPUNGE (RFC 4315): all or nothing, in one commit each.
#include "imap_session.h"

// "COPYUID 38505 304,319:320 3956:3958": both sets in the same order (PROTOCOLS 70).
static struct str copyuid(struct arena *arena, const struct copy_result *result)
{
	struct buf b;
	buf_init(&b, 32 << 20);
	buf_printf(&b, "COPYUID %u ", result->uidvalidity);
	struct imap_seqset_out from = {.b = &b}, to = {.b = &b};
	for (size_t i = 0; i < result->from.n; i++)
		imap_seqset_out_add(&from, result->from.p[i]);
	imap_seqset_out_end(&from);
	buf_add_byte(&b, ' ');
	for (size_t i = 0; i < result->to.n; i++)
		imap_seqset_out_add(&to, result->to.p[i]);
	imap_seqset_out_end(&to);
	struct str code = b.overflow ? STR_NONE : arena_dup(arena, buf_str(&b));
	buf_fini(&b);
	return code;
}

static struct imap_result copy(struct imap_session *s, struct imap_command *c, bool move)
{
	struct imap_seqset set;
	struct imap_picked picked;
	struct mailbox_name to;
	struct copy_result result;
	bool to_missing = false;
	if (!imap_parse_space(&c->p) || !imap_seqset_parse(&c->p, &set) || !imap_parse_space(&c->p) ||
		!imap_parse_mailbox(&c->p, &to) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	if (!imap_folder_pick(s->folder, &set, c->uid, c->arena, &picked))
		return imap_bad(c, "no such message number");
	if (picked.n == 0)
		return imap_ok("nothing to do");
	enum err_code code = message_copy(s->mailbox, s->folder->id, picked.uids, picked.n, &to, move, c->arena, &result,
		&to_missing, &s->err);
	if (code == ERR_NOTFOUND && to_missing)
		return imap_no(IMAP_CODE_TRYCREATE, "no such mailbox");
	if (code)
		return imap_failed(s, code, move ? "messages could not be moved" : "messages could not be copied");
	s->folder->stale = true;
	if (result.to.n == 0)
		return imap_ok("nothing to do");
	struct imap_result ok = {.status = IMAP_OK, .code_text = copyuid(c->arena, &result), .text = move ? "moved" : "copied"};
	if (move) {
		// Before the EXPUNGEs, while the client still knows these UIDs (RFC 6851 section 4.3).
		const struct imap_result untagged = {.status = IMAP_OK, .code_text = ok.code_text, .text = "moved"};
		imap_say(s, STR("*"), &untagged);
		ok.code_text = STR_NONE;
	}
	return ok;
}

struct imap_result imap_cmd_copy(struct imap_session *s, struct imap_command *c)
{
	return copy(s, c, false);
}

struct imap_result imap_cmd_move(struct imap_session *s, struct imap_command *c)
{
	return copy(s, c, true);
}

// The EXPUNGE lines come from the dispatcher, which tells of everything that is gone.
struct imap_result imap_cmd_expunge(struct imap_session *s, struct imap_command *c)
{
	struct imap_picked picked = {0};
	struct uid_list gone;
	if (c->uid) {
		struct imap_seqset set;
		if (!imap_parse_space(&c->p) || !imap_seqset_parse(&c->p, &set) || !imap_parse_end(&c->p))
			return imap_bad(c, "bad arguments");
		if (!imap_folder_pick(s->folder, &set, true, c->arena, &picked))
			return imap_bad(c, "too many messages");
		if (picked.n == 0)
			return imap_ok("nothing to do");
	}
	enum err_code code =
		message_expunge(s->mailbox, s->folder->id, c->uid ? picked.uids : NULL, picked.n, c->arena, &gone, &s->err);
	if (code)
		return imap_failed(s, code, "messages could not be expunged");
	s->folder->stale = true;
	return imap_ok("expunged");
}
