// SPDX-License-Identifier: Apache-2.0
// STORE (RFC 3501 section 6.4.6): flags change by name, so that two sessions do not undo each other (PROTOCOLS 15).
#include "imap_session.h"
#include "mail/imap_seqset.h"

enum { SLICE_MESSAGES = 10000 }; // that share a commit; other sessions get their turn in between

struct storing {
	enum flag_change change;
	bool silent;
	struct imap_flags flags;
};

static const struct {
	struct str word;
	enum flag_change change;
	bool silent;
} words[] = {
	{STR("FLAGS"), FLAG_REPLACE, false},       {STR("+FLAGS"), FLAG_ADD, false},       {STR("-FLAGS"), FLAG_REMOVE, false},
	{STR("FLAGS.SILENT"), FLAG_REPLACE, true}, {STR("+FLAGS.SILENT"), FLAG_ADD, true},
	{STR("-FLAGS.SILENT"), FLAG_REMOVE, true},
};

static bool parse_change(struct imap_parse *p, struct storing *out)
{
	struct str word;
	if (!imap_parse_atom(p, &word))
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(word, words[i].word)) {
			out->change = words[i].change;
			out->silent = words[i].silent;
			return imap_parse_space(p) && imap_parse_flags(p, true, &out->flags);
		}
	return imap_parse_fail(p, "FLAGS, +FLAGS or -FLAGS expected");
}

// Of all messages; with .SILENT of those that somebody else has changed too: what the client believes of them is wrong, and their
// news has our MODSEQ, which is not told again (RFC 3501 section 6.4.6, note).
static void write_flags(struct imap_session *s, const struct imap_command *c, const struct flag_result *result, bool silent)
{
	struct imap_flags_line line;
	imap_flags_line_init(&line);
	for (size_t i = 0, covered = 0; i < result->n; i++) {
		bool is_covered = covered < result->covered.n && result->covered.p[covered] == result->now[i].uid;
		covered += is_covered;
		if (!silent || is_covered)
			imap_folder_write_flags(s->folder, s->conn, &result->now[i], c->uid, &line);
	}
	imap_flags_line_fini(&line);
}

static enum err_code store_slice(struct imap_session *s, struct imap_command *c, const struct storing *storing,
	const uint32_t *uids, size_t n)
{
	struct arena *arena = arena_new(16 << 20);
	struct flag_result result;
	const struct flag_request request = {
		.change = storing->change,
		.flags = {.system = storing->flags.system, .keywords = storing->flags.keywords, .n = storing->flags.keywords_n},
		.unchanged_since = UINT64_MAX,
		.known_modseq = s->folder->modseq,
	};
	enum err_code code = message_flag(s->mailbox, s->folder->id, uids, n, &request, arena, &result, &s->err);
	if (code == ERR_OK) {
		imap_folder_changed_by_us(s->folder, &result, &c->own, c->arena);
		if (imap_folder_learn_keywords(s->folder, &result.keywords))
			imap_folder_announce_flags(s->folder, s->conn);
		write_flags(s, c, &result, storing->silent);
	}
	arena_free(&arena);
	return code;
}

struct imap_result imap_cmd_store(struct imap_session *s, struct imap_command *c)
{
	struct storing storing;
	struct imap_seqset set;
	struct imap_picked picked;
	if (!imap_parse_space(&c->p) || !imap_seqset_parse(&c->p, &set) || !imap_parse_space(&c->p) ||
		!parse_change(&c->p, &storing) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	if (!imap_folder_pick(s->folder, &set, c->uid, c->arena, &picked))
		return imap_bad(c, "no such message number");
	for (size_t done = 0; done < picked.n; done += SLICE_MESSAGES) {
		size_t n = picked.n - done < SLICE_MESSAGES ? picked.n - done : SLICE_MESSAGES;
		enum err_code code = store_slice(s, c, &storing, picked.uids + done, n);
		if (code == ERR_LIMIT)
			return imap_no(IMAP_CODE_LIMIT, "too many keywords in this mailbox");
		if (code)
			return imap_failed(s, code, "flags could not be stored");
	}
	return imap_ok("done");
}
