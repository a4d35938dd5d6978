// SPDX-License-Identifier: Apache-2.0
// The maildrop: INBOX as it was at the log-in, what is sent of it, and the one moment at which it changes.
//
// One session at a time holds the lock (PROTOCOLS 81); IMAP and deliveries go on beside it, and what they do is not seen. A
// message that IMAP expunged meanwhile can still be read while the store keeps it; later it is -ERR for it alone (PROTOCOLS 89).
#include <stdlib.h>

#include "base/must.h"
#include "pop3_session.h"
#include "popimap_metrics.h"

enum {
	SLICE_ARENA_BYTES_MAX = 4 << 20,
	LIST_ARENA_BYTES_MAX = 128 << 20, // uids of a folder with millions of messages
	PIECE_BYTES = 64 << 10,
	AHEAD_BYTES_MAX = 32 << 10, // of texts that are read at once
	AHEAD_MESSAGES_MAX = 16,
};

// A last line without its end gets one: the answer's own end is a line (RFC 1939 section 3). Its octets are counted, so that LIST
// says what RETR sends.
static struct pop3_message message_of(const struct message *message)
{
	bool unended = message->flags & FLAG_UNENDED;
	return (struct pop3_message){
		.uid = message->uid, .unended = unended, .bytes = message->bytes + (unended ? STR("\r\n").n : 0)};
}

// Sizes of the messages that the view names; those that went meanwhile are left out.
static enum err_code load_sizes(struct pop3_session *s, const struct uid_list *uids)
{
	struct arena *arena = arena_new(SLICE_ARENA_BYTES_MAX);
	enum err_code code = ERR_OK;
	s->messages = reallocarray(NULL, uids->n ? uids->n : 1, sizeof *s->messages);
	must(s->messages != NULL);
	for (size_t done = 0, n = 0; done < uids->n && code == ERR_OK; done += n) {
		struct message *messages;
		arena_reset(arena);
		code = message_fetch(s->mailbox, s->folder, uids->p + done, uids->n - done, 0, arena, &messages, &n, &s->err);
		for (size_t i = 0; i < n && code == ERR_OK; i++)
			if (messages[i].found && !messages[i].expunged)
				s->messages[s->n++] = message_of(&messages[i]);
	}
	arena_free(&arena);
	return code;
}

bool pop3_open_drop(struct pop3_session *s)
{
	const struct mailbox_name inbox = mailbox_name_inbox();
	struct folder_view view;
	if (!mailbox_lock_maildrop(s->mailbox)) {
		pop3_err(s, "[IN-USE] another session has the maildrop");
		return false;
	}
	struct arena *arena = arena_new(LIST_ARENA_BYTES_MAX);
	// Read-only: \Recent is for IMAP's sessions.
	enum err_code code = folder_select(s->mailbox, &inbox, FOLDER_READ_ONLY, arena, &view, &s->err);
	if (code == ERR_OK) {
		s->folder = view.info.id;
		s->uidvalidity = view.info.uidvalidity;
		code = load_sizes(s, &view.uids);
	}
	arena_free(&arena);
	if (code == ERR_OK)
		return true;
	log_warning(&s->who.log, "maildrop cannot be opened", log_c("login", s->login), log_err(&s->err));
	pop3_err(s, "[SYS/TEMP] maildrop not available now");
	return false;
}

// UIDs of the messages for which the mark is set, in the arena.
static struct uid_list marked(const struct pop3_session *s, bool deleted, struct arena *arena)
{
	struct uid_list list = {.p = arena_must(arena, s->n * sizeof *list.p)};
	for (size_t i = 0; i < s->n; i++)
		if (deleted ? s->messages[i].deleted : s->messages[i].retrieved && !s->messages[i].deleted)
			list.p[list.n++] = s->messages[i].uid;
	return list;
}

enum err_code pop3_update_drop(struct pop3_session *s)
{
	const struct flag_request seen = {.change = FLAG_ADD, .flags = {.system = FLAG_SEEN}, .unchanged_since = UINT64_MAX};
	struct arena *arena = arena_new(SLICE_ARENA_BYTES_MAX + 64 * s->n);
	struct uid_list deleted = marked(s, true, arena), retrieved = marked(s, false, arena), gone = {0};
	struct flag_result result;
	enum err_code code = ERR_OK;
	if (deleted.n)
		code = message_remove(s->mailbox, s->folder, deleted.p, deleted.n, arena, &gone, &s->err);
	metric_add(&metric_popimap_pop3_removed, (int64_t)gone.n);
	if (code)
		log_warning(&s->log_login, "messages cannot be removed", log_err(&s->err));
	// For a reader's convenience only: its failure is nobody's loss.
	if (code == ERR_OK && retrieved.n &&
		message_flag(s->mailbox, s->folder, retrieved.p, retrieved.n, &seen, arena, &result, &s->err))
		log_debug(&s->log_login, "retrieved messages are not marked as read", log_err(&s->err));
	arena_free(&arena);
	return code;
}

struct pop3_message *pop3_message_of(struct pop3_session *s, struct str number)
{
	uint64_t n;
	if (!str_to_u64(str_trim(number), UINT32_MAX, &n) || n == 0 || n > s->n || s->messages[n - 1].deleted) {
		pop3_err(s, "no such message");
		return NULL;
	}
	return &s->messages[n - 1];
}

// --- Reading ahead ---
//
// Who fetches his mail asks for one message after the other. From the second in a row on, or from message 1, those that follow
// are read with it: one job of the store for many. What was read stays true: a message does not change, and one that is expunged
// meanwhile could be read for a day.

static void forget_ahead(struct pop3_ahead *ahead)
{
	arena_free(&ahead->arena);
	ahead->n = 0;
}

// A session that has all it wanted keeps nothing.
static void forget_if_sent(struct pop3_ahead *ahead)
{
	if (ahead->next == ahead->first + ahead->n)
		forget_ahead(ahead);
}

// Reads messages[first] and what may follow. Nothing when it is large, or on a failure, which whoever reads it in pieces hears
// again.
static void read_ahead(struct pop3_session *s, size_t first)
{
	struct pop3_ahead *ahead = &s->ahead;
	uint32_t uids[AHEAD_MESSAGES_MAX];
	size_t most = first == ahead->next ? AHEAD_MESSAGES_MAX : 1, n = 0;
	uint64_t bytes = 0;
	forget_ahead(ahead);
	for (; n < most && first + n < s->n; n++) {
		const struct pop3_message *message = &s->messages[first + n];
		bytes += message->bytes;
		if (message->deleted || bytes > AHEAD_BYTES_MAX)
			break;
		uids[n] = message->uid;
	}
	if (n == 0)
		return;
	ahead->first = first;
	ahead->arena = arena_new(2 * AHEAD_BYTES_MAX);
	if (message_fetch(s->mailbox, s->folder, uids, n, FETCH_TEXT, ahead->arena, &ahead->texts, &ahead->n, &s->err))
		forget_ahead(ahead);
}

// The text of a message that is there, or can be read, as a whole; else STR_NONE.
static struct str whole_text(struct pop3_session *s, const struct pop3_message *message)
{
	struct pop3_ahead *ahead = &s->ahead;
	size_t i = (size_t)(message - s->messages);
	if (i < ahead->first || i - ahead->first >= ahead->n)
		read_ahead(s, i);
	ahead->next = i + 1;
	return ahead->n ? ahead->texts[i - ahead->first].text : STR_NONE;
}

// --- Sending ---

struct sending {
	struct pop3_session *s;
	uint64_t lines_left; // of the body; UINT64_MAX: all
	uint64_t bytes;      // of the message
	bool begun;          // the answer
	bool in_header;
	bool at_start;       // of a line
	bool blank;          // the line has been empty so far
	bool done;
};

// One line, or a piece of one that does not end here.
static void send_line(struct sending *out, struct str piece)
{
	if (out->at_start && piece.p[0] == '.')
		conn_write(out->s->conn, STR(".")); // PROTOCOLS 86
	if (out->in_header)
		out->blank = (out->at_start || out->blank) && str_trim(piece).n == 0 && piece.p[0] != ' ' && piece.p[0] != '\t';
	conn_write(out->s->conn, piece);
	out->at_start = piece.p[piece.n - 1] == '\n';
	if (!out->at_start)
		return;
	if (out->in_header)
		out->in_header = !out->blank;
	else if (out->lines_left != UINT64_MAX)
		out->lines_left--;
	out->done = !out->in_header && out->lines_left == 0;
}

// Bytes up to the next line that begins with a dot. There are fewer dots than lines.
static size_t next_dot(struct str lines)
{
	ptrdiff_t more;
	for (size_t at = 1; (more = str_index(str_from(lines, at), '.')) >= 0; at++) {
		at += (size_t)more;
		if (lines.p[at - 1] == '\n')
			return at;
	}
	return lines.n;
}

// Lines of a body that is sent to its end.
static void send_lines(struct sending *out, struct str lines)
{
	while (lines.n) {
		size_t n = next_dot(lines);
		send_line(out, str_upto(lines, n));
		lines = str_from(lines, n);
	}
}

static void send_piece(struct sending *out, struct str piece)
{
	if (!out->begun && piece.n)
		conn_printf(out->s->conn, "+OK %llu octets\r\n", (unsigned long long)out->bytes);
	out->begun |= piece.n > 0;
	while (piece.n && !out->done) {
		if (!out->in_header && out->lines_left == UINT64_MAX) {
			send_lines(out, piece);
			return;
		}
		ptrdiff_t end = str_index(piece, '\n');
		size_t n = end < 0 ? piece.n : (size_t)end + 1;
		send_line(out, str_upto(piece, n));
		piece = str_from(piece, n);
	}
}

// What is too large to be read as a whole, or is not what it should be.
static enum err_code send_in_pieces(struct sending *out, const struct pop3_message *message, uint64_t stored)
{
	struct pop3_session *s = out->s;
	struct buf piece;
	enum err_code code = ERR_OK;
	buf_init(&piece, PIECE_BYTES);
	for (uint64_t at = 0; at < stored && !out->done && code == ERR_OK; at += piece.n) {
		buf_clear(&piece);
		code = message_read(s->mailbox, s->folder, message->uid, at, PIECE_BYTES, &piece, &s->err);
		if (code == ERR_OK && piece.n == 0)
			code = err_set(&s->err, ERR_CORRUPT, "message is shorter than its size");
		if (code == ERR_OK)
			send_piece(out, buf_str(&piece));
	}
	buf_fini(&piece);
	return code;
}

void pop3_send(struct pop3_session *s, const struct pop3_message *message, uint64_t body_lines)
{
	struct sending out = {.s = s, .bytes = message->bytes, .lines_left = body_lines, .in_header = true, .at_start = true};
	enum err_code code = ERR_OK;
	const uint64_t stored = message->bytes - (message->unended ? STR("\r\n").n : 0);
	const struct str whole = whole_text(s, message);
	if (whole.n == stored)
		send_piece(&out, whole);
	else
		code = send_in_pieces(&out, message, stored);
	forget_if_sent(&s->ahead);
	if (code == ERR_OK) {
		if (!out.begun)
			pop3_ok(s, "0 octets");
		s->bad_in_a_row = 0;
		conn_write(s->conn, out.at_start ? STR(".\r\n") : STR("\r\n.\r\n"));
		return;
	}
	log_warning(&s->log_login, "message cannot be sent", log_u64("uid", message->uid), log_err(&s->err));
	if (out.begun)
		pop3_enter(s, POP3_ENDED); // nothing true can follow
	else
		pop3_err(s, "[SYS/TEMP] message cannot be read");
}
