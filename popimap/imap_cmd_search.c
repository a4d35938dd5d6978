// SPDX-License-Identifier: Apache-2.0
// SEARCH (RFC 3501 section 6.4.4): numbers become UIDs here, the store scans in slices, the answer goes out in pieces.
#include "base/must.h"
#include "imap_match.h"
#include "imap_session.h"

enum {
	TEXT_KEYS_MAX = 100,  // that look into bodies: each may cost the length of every message
	OUTER_SETS_MAX = 8,   // that narrow the search down on the fiber; more are looked at on the store's thread
	OUTPUT_BYTES = 8 << 10,
};

struct preparing {
	const struct imap_folder *folder;
	struct arena *arena;
	bool bad; // a number that does not exist
	size_t text_keys;
};

// A set of sequence numbers as the UIDs they mean: positions first to last of the map are what lies between their UIDs.
static void numbers_to_uids(struct preparing *p, struct imap_search_key *key)
{
	const struct imap_folder *folder = p->folder;
	if (folder->n == 0) {
		p->bad = true;
		return;
	}
	imap_seqset_resolve(&key->set, (uint32_t)folder->n);
	if (imap_seqset_last(&key->set) > folder->n) {
		p->bad = true;
		return;
	}
	for (size_t i = 0; i < key->set.n; i++) {
		struct imap_range *r = &key->set.ranges[i];
		r->first = folder->uids[r->first - 1];
		r->last = folder->uids[r->last - 1];
	}
	key->kind = IMAP_SEARCH_UID;
}

static void prepare_set(struct imap_search_key *key, void *arg)
{
	struct preparing *p = arg;
	if (key->kind == IMAP_SEARCH_SEQUENCE)
		numbers_to_uids(p, key);
	else
		imap_seqset_resolve(&key->set, p->folder->n ? p->folder->uids[p->folder->n - 1] : 0);
}

static void prepare_keywords(struct preparing *p, struct imap_search_key *key)
{
	for (; key; key = key->next) {
		prepare_keywords(p, key->child);
		p->text_keys += key->kind == IMAP_SEARCH_TEXT || key->kind == IMAP_SEARCH_BODY;
		if (key->kind != IMAP_SEARCH_KEYWORD && key->kind != IMAP_SEARCH_UNKEYWORD)
			continue;
		key->number = IMAP_MATCH_NO_KEYWORD;
		for (size_t i = 0; i < p->folder->keywords_n; i++)
			if (str_eq_nocase(p->folder->keywords[i], key->field))
				key->number = FLAG_KEYWORD_0 + (uint32_t)i + 1;
	}
}

// Is there more to look at than the few outermost sets, which candidates() has looked at?
static bool needs_store(const struct imap_search_key *key)
{
	size_t sets = 0;
	for (const struct imap_search_key *child = key->child; child; child = child->next) {
		sets += child->kind == IMAP_SEARCH_UID;
		if ((child->kind != IMAP_SEARCH_ALL && child->kind != IMAP_SEARCH_UID) || sets > OUTER_SETS_MAX)
			return true;
	}
	return false;
}

// The UIDs that the outermost sets leave over, so that a search in few messages costs few.
static struct uid_list candidates(const struct imap_folder *folder, const struct imap_search_key *key, struct arena *arena)
{
	const struct imap_seqset *sets[OUTER_SETS_MAX];
	size_t n = 0;
	for (const struct imap_search_key *child = key->child; child && n < OUTER_SETS_MAX; child = child->next)
		if (child->kind == IMAP_SEARCH_UID)
			sets[n++] = &child->set;
	struct uid_list list = {.p = arena_array(arena, folder->n, sizeof(uint32_t))};
	for (size_t i = 0; list.p && i < folder->n; i++) {
		bool in = true;
		for (size_t k = 0; k < n && in; k++)
			in = imap_seqset_has(sets[k], folder->uids[i]);
		if (in)
			list.p[list.n++] = folder->uids[i];
	}
	return list;
}

static enum err_code scan(struct imap_session *s, const struct imap_search *search, struct uid_list uids, struct arena *arena,
	struct uid_list *matched_out)
{
	static const unsigned what[] = {0, FETCH_HEADER, FETCH_TEXT};
	const struct imap_seqset recent = {.ranges = s->folder->recent, .n = s->folder->recent_n};
	struct imap_match match;
	if (!needs_store(search->key)) {
		*matched_out = uids;
		return ERR_OK;
	}
	must(search->cost < sizeof what / sizeof *what);
	imap_match_init(&match, search->key, &recent);
	enum err_code code = message_scan(s->mailbox, s->folder->id, uids.p, uids.n, what[search->cost], imap_match_one, &match,
		arena, matched_out, &s->err);
	imap_match_fini(&match);
	return code;
}

static void write_result(struct imap_session *s, const struct imap_command *c, const struct uid_list *matched)
{
	struct buf b;
	buf_init(&b, 2 * OUTPUT_BYTES);
	buf_add(&b, STR("* SEARCH"));
	for (size_t i = 0; i < matched->n; i++) {
		uint32_t number = c->uid ? matched->p[i] : imap_folder_number(s->folder, matched->p[i]);
		buf_add_byte(&b, ' ');
		buf_add_u64(&b, number);
		if (b.n > OUTPUT_BYTES) {
			conn_write(s->conn, buf_str(&b));
			buf_clear(&b);
		}
	}
	buf_add(&b, STR("\r\n"));
	conn_write(s->conn, buf_str(&b));
	buf_fini(&b);
}

struct imap_result imap_cmd_search(struct imap_session *s, struct imap_command *c)
{
	struct imap_search search;
	struct preparing preparing = {.folder = s->folder, .arena = c->arena};
	struct uid_list matched = {0};
	if (!imap_parse_space(&c->p) || !imap_search_parse(&c->p, &search))
		return imap_bad(c, "bad arguments");
	if (!imap_search_prepare(&search, c->arena))
		return arena_overflowed(c->arena) ? imap_no(IMAP_CODE_LIMIT, "search too complex")
						  : imap_no(IMAP_CODE_BADCHARSET, "charset not supported");
	imap_search_each_set(search.key, prepare_set, &preparing);
	if (preparing.bad)
		return imap_bad(c, "no such message number");
	prepare_keywords(&preparing, search.key);
	if (preparing.text_keys > TEXT_KEYS_MAX)
		return imap_no(IMAP_CODE_LIMIT, "too many texts to search for");
	struct uid_list uids = candidates(s->folder, search.key, c->arena);
	if (s->folder->n && uids.p == NULL)
		return imap_no(IMAP_CODE_LIMIT, "too many messages");
	enum err_code code = scan(s, &search, uids, c->arena, &matched);
	if (code)
		return imap_failed(s, code, "search failed");
	write_result(s, c, &matched);
	return imap_ok("done");
}
