// SPDX-License-Identifier: Apache-2.0
// FETCH (RFC 3501 section 6.4.5): messages in slices, each slice at most FETCH_BYTES_MAX in memory, large bodies in pieces.
//
// ENVELOPE, BODY and BODYSTRUCTURE go out as they stand in the cache; no body is read for them. Sections are slices of the
// message: the cache's part table says where. Happy path of a slice: message_fetch, then \Seen for those that need it (one
// commit), then the lines. A message that somebody expunged meanwhile is still readable (PROTOCOLS 14); one that is gone from the
// trash too is left out, and NO [EXPUNGEISSUED] ends the command (RFC 5530). When the disk fails after a literal was announced,
// nothing true can follow: the connection ends. It ends too when the client takes no more; what else it has asked for is not read
// for nobody.
#include "base/fiber.h"
#include "imap_session.h"
#include "mail/cache.h"
#include "mail/imap_fetch.h"

enum {
	SLICE_ARENA_BYTES_MAX = 32 << 20,
	HEADER_BYTES_MAX = 1 << 20, // of a header that is filtered; what is beyond is not looked at
	PIECE_BYTES = 64 << 10,     // of a body, between two waits for the client
	FILTER_BYTES = 16 << 10,    // of a header that is filtered, between two looks at the turn
	NODE_BYTES_SPENT = 8,       // decoding a part of the table costs as much as sending so many bytes
	COPIED_BYTES_MAX = 8 << 10, // a copy costs less than a system call of its own
};

struct fetching {
	struct imap_session *s;
	struct imap_command *c;
	struct imap_fetch want;
	unsigned what;        // of message_fetch
	struct arena *arena;  // of the slice
	struct buf line;      // the answer's beginning
	bool sets_seen;
	bool missing;         // a message was gone
};

static bool is_header(const struct mime_section *section)
{
	return section->path_n == 0 && (section->kind == MIME_SECTION_HEADER || section->kind == MIME_SECTION_FIELDS ||
					       section->kind == MIME_SECTION_FIELDS_NOT);
}

static bool is_whole(const struct mime_section *section)
{
	return section->path_n == 0 && section->kind == MIME_SECTION_ALL;
}

// What the store must give for what the client wants.
static unsigned what_of(const struct imap_fetch *want)
{
	unsigned what = 0;
	if (want->items & (IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE))
		what |= FETCH_CACHE;
	for (size_t i = 0; i < want->sections_n; i++) {
		const struct mime_section *section = &want->sections[i].section;
		if (is_header(section))
			what |= FETCH_HEADER;
		else if (is_whole(section))
			what |= FETCH_TEXT;
		else
			what |= FETCH_TEXT | FETCH_CACHE;
	}
	if (what == 0 && !(want->items & (IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE)))
		what = FETCH_FLAGS;
	if (what & FETCH_TEXT && what & FETCH_HEADER)
		what = (what & ~(unsigned)FETCH_HEADER) | FETCH_CACHE; // the header is where the cache says
	return what;
}

// --- Sections ---

// One message on its way out, with the part table when it was needed.
struct outgoing {
	const struct message *m;
	struct cache cache;
	const struct mime_node *nodes;
	size_t nodes_n;
	bool text_is_header; // m->text is the header alone
};

// The cache of a message whose header alone was asked for, and was too long for that.
static enum err_code fetch_cache(struct fetching *f, const struct message *m, struct str *cache_out)
{
	struct message *again;
	size_t n;
	enum err_code code =
		message_fetch(f->s->mailbox, f->s->folder->id, &m->uid, 1, FETCH_CACHE, f->arena, &again, &n, &f->s->err);
	if (code == ERR_OK && (n == 0 || !again->found))
		code = err_set(&f->s->err, ERR_NOTFOUND, "message is gone");
	if (code == ERR_OK)
		*cache_out = again->cache;
	return code;
}

static enum err_code load_cache(struct fetching *f, struct outgoing *out)
{
	struct str blob = out->m->cache;
	enum err_code code = ERR_OK;
	if (blob.p == NULL)
		code = fetch_cache(f, out->m, &blob);
	if (code == ERR_OK)
		code = cache_open(blob, &out->cache, &f->s->err);
	return code;
}

static enum err_code load_nodes(struct fetching *f, struct outgoing *out)
{
	enum err_code code = ERR_OK;
	if (out->nodes)
		return ERR_OK;
	if (out->cache.envelope.p == NULL)
		code = load_cache(f, out);
	if (code == ERR_OK)
		code = cache_nodes(&out->cache, out->m->bytes, f->arena, &out->nodes, &out->nodes_n, &f->s->err);
	if (code == ERR_OK)
		fiber_spent(out->nodes_n * NODE_BYTES_SPENT, 0);
	return code;
}

// Where the section is. *found_out is false when the message has no such part: then the answer is NIL.
static enum err_code find_slice(struct fetching *f, struct outgoing *out, const struct mime_section *section,
	struct mime_slice *slice_out, bool *found_out)
{
	*found_out = true;
	if (is_whole(section)) {
		*slice_out = (struct mime_slice){.at = 0, .n = out->m->bytes};
		return ERR_OK;
	}
	if (is_header(section) && out->text_is_header && out->m->text.p) {
		*slice_out = (struct mime_slice){.at = 0, .n = out->m->text.n};
		return ERR_OK;
	}
	enum err_code code = load_nodes(f, out);
	if (code == ERR_OK) {
		*found_out = mime_section_find(out->nodes, out->nodes_n, section, slice_out);
		// two hundred sections of a message with ten thousand parts are work, though little goes out
		fiber_spent(out->nodes_n, 0);
	}
	return code;
}

// Is [at, at + n) in memory already?
static bool in_memory(const struct outgoing *out, const struct mime_slice *slice)
{
	return out->m->text.p && slice->at <= out->m->text.n && slice->n <= out->m->text.n - slice->at;
}

// The result of a write. A client that went away or does not read is its own affair: the session ends, nothing is said in the
// log.
static enum err_code written(struct fetching *f, enum err_code code)
{
	if (code)
		imap_enter(f->s, IMAP_ENDED);
	return code;
}

// Writes a slice behind its literal's length.
static enum err_code write_slice(struct fetching *f, const struct outgoing *out, struct mime_slice slice)
{
	struct imap_session *s = f->s;
	struct buf piece;
	enum err_code code = ERR_OK;
	conn_printf(s->conn, "{%llu}\r\n", (unsigned long long)slice.n);
	if (in_memory(out, &slice)) {
		struct str text = str_of(out->m->text.p + slice.at, (size_t)slice.n);
		return written(f, text.n > COPIED_BYTES_MAX ? conn_write_through(s->conn, text) : conn_write(s->conn, text));
	}
	buf_init(&piece, PIECE_BYTES);
	while (slice.n && code == ERR_OK) {
		size_t n = slice.n < PIECE_BYTES ? (size_t)slice.n : PIECE_BYTES;
		buf_clear(&piece);
		code = message_read(s->mailbox, s->folder->id, out->m->uid, slice.at, n, &piece, &s->err);
		if (code == ERR_OK && piece.n != n)
			code = err_set(&s->err, ERR_CORRUPT, "message is shorter than its size");
		if (code == ERR_OK)
			code = written(f, conn_write_through(s->conn, buf_str(&piece)));
		slice.at += n;
		slice.n -= n;
	}
	buf_fini(&piece);
	return code;
}

// RFC 3501 section 6.4.5: "<start.count>" beyond the end is the empty string (PROTOCOLS 51).
static void cut(uint64_t bytes, const struct imap_fetch_section *want, uint64_t *at_out, uint64_t *n_out)
{
	uint64_t at = 0, n = bytes;
	if (want->partial) {
		at = want->start < bytes ? want->start : bytes;
		n = want->count < bytes - at ? want->count : bytes - at;
	}
	*at_out = at;
	*n_out = n;
}

static enum err_code read_header(struct fetching *f, const struct outgoing *out, struct mime_slice slice, struct buf *header)
{
	enum err_code code = ERR_OK;
	if (in_memory(out, &slice)) {
		buf_add(header, str_of(out->m->text.p + slice.at, (size_t)slice.n));
		return ERR_OK;
	}
	uint64_t left = slice.n < HEADER_BYTES_MAX ? slice.n : HEADER_BYTES_MAX;
	while (left && code == ERR_OK) {
		size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		code = message_read(f->s->mailbox, f->s->folder->id, out->m->uid, slice.at, n, header, &f->s->err);
		slice.at += n;
		left -= n;
	}
	return code;
}

// HEADER.FIELDS and its like: the fields are picked in memory. Two hundred such sections of one message are work, and so are a
// hundred thousand fields of one header, though little may come of either.
static void pick_fields(const struct mime_section *section, struct str header, struct buf *picked)
{
	struct mime_filter filter;
	mime_filter_init(&filter, header, section->fields, section->fields_n, section->kind == MIME_SECTION_FIELDS_NOT);
	while (mime_filter_more(&filter, FILTER_BYTES, picked))
		fiber_spent(FILTER_BYTES, 0);
	mime_filter_fini(&filter);
	fiber_spent(header.n < FILTER_BYTES ? header.n : FILTER_BYTES, 0);
}

static enum err_code write_fields(struct fetching *f, const struct outgoing *out, const struct imap_fetch_section *want,
	struct mime_slice slice)
{
	struct buf header, picked;
	uint64_t at, n;
	buf_init(&header, HEADER_BYTES_MAX);
	buf_init(&picked, HEADER_BYTES_MAX);
	enum err_code code = read_header(f, out, slice, &header);
	if (code == ERR_OK) {
		pick_fields(&want->section, buf_str(&header), &picked);
		cut(picked.n, want, &at, &n);
		conn_printf(f->s->conn, "{%llu}\r\n", (unsigned long long)n);
		code = written(f, conn_write_through(f->s->conn, str_of(picked.p ? picked.p + at : NULL, (size_t)n)));
	}
	buf_fini(&header);
	buf_fini(&picked);
	return code;
}

static enum err_code write_section(struct fetching *f, struct outgoing *out, const struct imap_fetch_section *want)
{
	struct mime_slice slice;
	bool found;
	enum err_code code = find_slice(f, out, &want->section, &slice, &found);
	if (code)
		return code;
	if (!found)
		return written(f, conn_write(f->s->conn, STR("NIL")));
	if (want->section.kind == MIME_SECTION_FIELDS || want->section.kind == MIME_SECTION_FIELDS_NOT)
		return write_fields(f, out, want, slice);
	uint64_t at, n;
	cut(slice.n, want, &at, &n);
	return write_slice(f, out, (struct mime_slice){.at = slice.at + at, .n = n});
}

// --- Lines ---

// Adds " NAME " or "NAME " as the first.
static void add_name(struct buf *line, bool *first, struct str name)
{
	if (!*first)
		buf_add_byte(line, ' ');
	buf_add(line, name);
	buf_add_byte(line, ' ');
	*first = false;
}

// Everything but the sections.
static enum err_code add_items(struct fetching *f, struct outgoing *out, uint64_t flags, unsigned items, bool *first)
{
	struct buf *line = &f->line;
	const struct message *m = out->m;
	if (items & IMAP_FETCH_UID || f->c->uid) {
		add_name(line, first, STR("UID"));
		buf_add_u64(line, m->uid);
	}
	if (items & IMAP_FETCH_FLAGS) {
		add_name(line, first, STR("FLAGS"));
		imap_folder_flags_add(f->s->folder, flags, imap_folder_is_recent(f->s->folder, m->uid), line);
	}
	if (items & IMAP_FETCH_INTERNALDATE) {
		add_name(line, first, STR("INTERNALDATE"));
		imap_reply_date(line, m->received);
	}
	if (items & IMAP_FETCH_SIZE) {
		add_name(line, first, STR("RFC822.SIZE"));
		buf_add_u64(line, m->bytes);
	}
	if (!(items & (IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE)))
		return ERR_OK;
	enum err_code code = load_cache(f, out);
	if (code)
		return code;
	if (items & IMAP_FETCH_ENVELOPE) {
		add_name(line, first, STR("ENVELOPE"));
		buf_add(line, out->cache.envelope);
	}
	if (items & IMAP_FETCH_BODY) {
		add_name(line, first, STR("BODY"));
		buf_add(line, out->cache.body);
	}
	if (items & IMAP_FETCH_BODYSTRUCTURE) {
		add_name(line, first, STR("BODYSTRUCTURE"));
		buf_add(line, out->cache.bodystructure);
	}
	return ERR_OK;
}

// Looks everything up that can fail before the first byte goes out.
static enum err_code prepare(struct fetching *f, struct outgoing *out)
{
	struct mime_slice slice;
	bool found;
	for (size_t i = 0; i < f->want.sections_n; i++) {
		enum err_code code = find_slice(f, out, &f->want.sections[i].section, &slice, &found);
		if (code)
			return code;
	}
	return ERR_OK;
}

// One message. An error means that nothing was written, or that the session ended.
static enum err_code write_message(struct fetching *f, const struct message *m, uint64_t flags, bool flags_changed)
{
	struct imap_session *s = f->s;
	struct outgoing out = {.m = m, .text_is_header = !(f->what & FETCH_TEXT)};
	unsigned items = f->want.items | (flags_changed ? IMAP_FETCH_FLAGS : 0);
	bool first = true;
	buf_clear(&f->line);
	buf_add(&f->line, STR("* "));
	buf_add_u64(&f->line, imap_folder_number(s->folder, m->uid));
	buf_add(&f->line, STR(" FETCH ("));
	enum err_code code = prepare(f, &out);
	if (code == ERR_OK)
		code = add_items(f, &out, flags, items, &first);
	if (code)
		return code;
	conn_write(s->conn, buf_str(&f->line));
	for (size_t i = 0; i < f->want.sections_n; i++) {
		buf_clear(&f->line);
		if (!first)
			buf_add_byte(&f->line, ' ');
		first = false;
		imap_fetch_section_add(&f->want.sections[i], &f->line);
		buf_add_byte(&f->line, ' ');
		conn_write(s->conn, buf_str(&f->line));
		code = write_section(f, &out, &f->want.sections[i]);
		if (code && s->state != IMAP_ENDED) { // in the middle of an answer
			log_warning(&s->log_login, "message cannot be sent", log_u64("uid", m->uid), log_err(&s->err));
			imap_enter(s, IMAP_ENDED);
		}
		if (code)
			return code;
	}
	return written(f, conn_write(s->conn, STR(")\r\n")));
}

// --- Slices ---

// Sets \Seen on those of a slice that lack it; now_out, in the arena, are their flags after it. Where that fails (a full disk)
// mail is still read.
static void set_seen(struct fetching *f, const struct message *messages, size_t n, struct flag_result *now_out)
{
	struct imap_session *s = f->s;
	const struct flag_request request = {.change = FLAG_ADD,
		.flags = {.system = FLAG_SEEN},
		.unchanged_since = UINT64_MAX,
		.known_modseq = s->folder->modseq};
	uint32_t *uids = arena_must(f->arena, n * sizeof *uids);
	size_t unseen = 0;
	for (size_t i = 0; i < n; i++)
		if (messages[i].found && !messages[i].expunged && !(messages[i].flags & FLAG_SEEN))
			uids[unseen++] = messages[i].uid;
	if (unseen == 0)
		return;
	if (message_flag(s->mailbox, s->folder->id, uids, unseen, &request, f->arena, now_out, &s->err)) {
		log_warning(&s->log_login, "messages that are read cannot be marked as read", log_err(&s->err));
		return;
	}
	imap_folder_changed_by_us(s->folder, now_out, &f->c->own, f->c->arena);
	if (imap_folder_learn_keywords(s->folder, &now_out->keywords))
		imap_folder_announce_flags(s->folder, s->conn);
}

static enum err_code write_slice_of_messages(struct fetching *f, const struct message *messages, size_t n)
{
	struct flag_result seen = {0};
	enum err_code code = ERR_OK;
	size_t next = 0;
	if (f->sets_seen)
		set_seen(f, messages, n, &seen);
	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		const struct message *m = &messages[i];
		while (next < seen.n && seen.now[next].uid < m->uid)
			next++;
		bool changed = next < seen.n && seen.now[next].uid == m->uid;
		if (m->found)
			code = write_message(f, m, changed ? seen.now[next].flags : m->flags, changed);
		else
			f->missing = true;
	}
	return code;
}

static enum err_code fetch_all(struct fetching *f, const struct imap_picked *picked)
{
	struct imap_session *s = f->s;
	size_t done = 0, n = 0;
	while (done < picked->n) {
		struct message *messages;
		arena_reset(f->arena);
		enum err_code code = message_fetch(s->mailbox, s->folder->id, picked->uids + done, picked->n - done, f->what,
			f->arena, &messages, &n, &s->err);
		if (code == ERR_OK)
			code = write_slice_of_messages(f, messages, n);
		if (code)
			return code;
		done += n;
	}
	return ERR_OK;
}

struct imap_result imap_cmd_fetch(struct imap_session *s, struct imap_command *c)
{
	struct fetching f = {.s = s, .c = c};
	struct imap_seqset set;
	struct imap_picked picked;
	if (!imap_parse_space(&c->p) || !imap_seqset_parse(&c->p, &set) || !imap_parse_space(&c->p) ||
		!imap_fetch_parse(&c->p, &f.want) || !imap_parse_end(&c->p))
		return imap_bad(c, "bad arguments");
	if (!imap_folder_pick(s->folder, &set, c->uid, c->arena, &picked))
		return imap_bad(c, "no such message number");
	f.what = what_of(&f.want);
	f.sets_seen = f.want.sets_seen && !s->folder->read_only;
	f.arena = arena_new(SLICE_ARENA_BYTES_MAX);
	buf_init(&f.line, 2 * CACHE_BYTES_MAX);
	enum err_code code = fetch_all(&f, &picked);
	buf_fini(&f.line);
	arena_free(&f.arena);
	if (s->state == IMAP_ENDED)
		return (struct imap_result){0};
	if (code)
		return imap_failed(s, code, "some messages could not be read");
	if (f.missing && !c->uid)
		return imap_no(IMAP_CODE_EXPUNGEISSUED, "some messages are gone");
	return imap_ok("done");
}
